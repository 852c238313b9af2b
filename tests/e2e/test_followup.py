#!/usr/bin/python3
"""A follow-up: `airlock run --resume OUT`. The files are as the last turn left them, whatever
kind they are; the conversation goes on; the diff is that to the first turn's start; and what
lies in OUT gives nobody a right."""
import json
import os
import shutil
import subprocess

import lib
from engines import make_rootfs
from lib import case, main
from model_box import KEY, Trusted, built_in
from model_server import Model, call, items, message, reasoning, say
from task import Task, git, put


def follow(t, agent="true", out=None, options=(), **more):
    """Turn N + 1 of @t, from its OUT to @out (the same folder by default)."""
    old, t.out = t.out, out or t.out
    os.makedirs(t.out, exist_ok=True)
    r = t.run(agent, options=["--resume", old, *options], **more)
    t.out = old
    return r


def bundle(t):
    """The repository in OUT, the one folder that a box with a root of its own shares."""
    git(t.url, "bundle", "create", "-q", t.out + "/app.bundle", "--all")
    return t.out + "/app.bundle"


def plan(t, *options, **more):
    return subprocess.run([lib.AIRLOCK, "check", *options, t.write_spec(t.spec(**more))],
                          capture_output=True, timeout=10)


def refused(r, code, *words):
    """One line says why, and nothing was begun."""
    lines = [line for line in r.err.splitlines() if "airlock: error: " in line]
    assert r.code == code and len(lines) == 1, (r.code, r.err[-900:])
    for word in words:
        assert word in lines[0], (word, lines[0])


def files(path):
    """Every file below @path: mode and content."""
    found = {}
    for where, _, names in os.walk(path):
        for name in names:
            full = where + "/" + name
            if os.path.islink(full) or os.path.isfile(full):
                found[full[len(path) + 1:]] = (os.lstat(full).st_mode, os.readlink(full)
                                               if os.path.islink(full) else open(full, "rb").read())
    return found


# --- the files -------------------------------------------------------------------------------

EVERY_KIND = r"""
printf 'one\r\ntwo' > a.txt; rm gone.txt; chmod 755 mode.sh; ln -sf /etc/passwd link
head -c 3000 /dev/zero | tr '\0' '\377' > blob.bin; printf '\0\1\2' >> blob.bin
mkdir -p 'deep/a b'; echo new > 'deep/a b/"quoted" ü'; git mv moved.txt other.txt
rm -r dir; echo file > dir; echo ignored > build.log; git add -A; git commit -qm mine
mkdir staged; echo s > staged/s; git add staged; : > empty
"""
LOOK = r"""
find . -path ./.git -prune -o -type f -printf '%m %p\n' | sort
find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum; readlink link
"""


@case
def every_kind_of_change_is_there_again():
    t = Task()
    t.repo({"a.txt": "one\n", "gone.txt": "g\n", "mode.sh": "#!/bin/sh\n", "link": ("a.txt",),
            "blob.bin": bytes(range(256)), "moved.txt": "m\n" * 40, "dir/f": "f\n",
            ".gitignore": "*.log\n", "same": "same\n"})
    first = t.run("%s rm build.log; %s" % (EVERY_KIND, LOOK)).expect(0)
    assert first.result["turn"] == 1 and first.result["resumed_from"] is None, first.result
    assert first.result["diff"]["since_last_bytes"] is None
    second = follow(t, LOOK + "echo three >> same", out=t.dir + "/second").expect(0)
    assert second.stdout == first.stdout, (first.stdout, second.stdout)
    assert second.result["turn"] == 2 and second.result["resumed_from"] == t.out
    # Against the original start, and by itself only what is new.
    since = second.file("since-last.diff")
    assert since.count("diff --git") == 1 and "+three" in since, since
    assert second.result["diff"]["since_last_bytes"] == len(since)
    tree = t.dir + "/check"
    git(t.dir, "clone", "-q", t.url, tree)
    git(tree, "apply", "--index", second.out + "/changes.diff")
    assert open(tree + "/same").read() == "same\nthree\n" and not os.path.exists(tree + "/gone.txt")
    git(tree, "reset", "-q", "--hard")
    git(tree, "apply", "--index", first.out + "/changes.diff")
    git(tree, "apply", "--index", second.out + "/since-last.diff")
    assert "first" not in first.err and t.out + "/turn-1" not in os.listdir(t.out)


@case
def the_start_is_the_first_turns_wherever_the_branch_is_now():
    t = Task()
    t.repo()
    start = git(t.url, "rev-parse", "HEAD")
    t.run("echo two >> a.txt").expect(0)
    for n in range(3):
        t.commit({"a.txt": "other %d\n" % n, "new%d" % n: "n\n"})
    look = "git rev-parse HEAD; git symbolic-ref --short HEAD; cat a.txt; ls"
    for depth in (0, 1):
        r = follow(t, look, out=t.dir + "/second", repo={"depth": depth}).expect(0)
        assert r.stdout.split() == [start, "main", "one", "two", "a.txt"], r.stdout
        assert r.result["start_commit"] == start
        assert r.file("since-last.diff") == "" and "+two" in r.diff


@case
def three_turns_in_one_folder_and_each_is_kept():
    t = Task()
    t.repo()
    kept = []
    for n in range(1, 4):
        r = (t.run if n == 1 else lambda a: follow(t, a))(
            "echo %d >> a.txt; echo $AIRLOCK_TURN > $AIRLOCK_ANSWER" % n).expect(0)
        kept.append(r.diff)
        assert r.answer == "%d\n" % n and r.result["turn"] == n
    assert "+1\n+2\n+3" in r.diff and [e["from"] for e in r.event("resume")] == [t.out]
    since = r.file("since-last.diff")
    assert "+3" in since and "+2" not in since
    for n in (1, 2):
        old = t.out + "/turn-%d/" % n
        assert open(old + "changes.diff").read() == kept[n - 1]
        assert json.load(open(old + "result.json"))["turn"] == n
        assert open(old + "answer.md").read() == "%d\n" % n
    # And from one of them another way.
    r = t.run("cat a.txt", options=["--resume", t.out + "/turn-1"]).expect(0)
    assert r.stdout == "one\n1\n" and r.result["turn"] == 2


@case
def setup_sees_the_start_and_never_what_the_agent_wrote():
    t = Task()
    t.repo({"a.txt": "one\n", "install.sh": "echo clean\n", "lock": "1\n", ".gitignore": "*.log\n"})
    setup = "sh install.sh; echo setup >> lock; echo made > made.txt; ls; echo s > x.log"
    t.run("echo 'echo STOLEN; touch %s' > install.sh; echo agent >> a.txt; rm made.txt;"
          "rm .gitignore; echo mine > x.log" % t.canary, setup=setup).expect(0)
    r = follow(t, "cat install.sh lock; ls; cat x.log", setup=setup).expect(0)
    log = r.file("setup.log")
    assert "clean" in log and "STOLEN" not in log and "made.txt" in log, log
    t.safe()
    assert r.stdout.split("\n", 1)[1] == "1\nsetup\na.txt\ninstall.sh\nlock\nx.log\nmine\n", r.stdout
    assert r.file("since-last.diff") == ""


@case
def a_start_that_the_branch_never_had_is_not_begun_at():
    """The agent may write to OUT/turn-1, and a branch of the repository may hold what it wrote."""
    t = Task()
    t.repo({"a.txt": "one\n", "install.sh": "echo clean\n"})
    git(t.url, "checkout", "-q", "-b", "airlock/task-1")
    pushed = t.commit({"install.sh": "touch %s\n" % t.canary})
    git(t.url, "checkout", "-q", "main")
    here = {"repo": {"url": bundle(t)}, "setup": "sh install.sh"}
    t.run("echo two >> a.txt", **here).expect(0)
    follow(t, "cd %s/turn-1; : > changes.diff; sed -i 's/start_commit\": \"[0-9a-f]*/start_commit\": \"%s/;"
           "s/\"diff\": {\"bytes\": [0-9]*/\"diff\": {\"bytes\": 0/' result.json" % (t.out, pushed),
           **here).expect(0)
    shutil.copytree(t.out, t.dir + "/good")
    again = ["--resume", t.out + "/turn-1"]
    stamped = standing(t)  # an image that a container of an earlier task was made
    put(stamped[1] + "/var/lib/airlock/state.json", "{}")
    git(stamped[1] + "/workspace/app", "reset", "-q", "--hard", pushed)
    for options in ([], stamped):
        refused(t.run(options=again + options, **here), 70, "not in the history of ", pushed)
    here["repo"]["depth"] = 1
    refused(t.run(options=again, **here), 70, "not in the history of ", pushed)
    t.safe()
    r = t.run("cat a.txt; git rev-parse HEAD", options=["--resume", t.dir + "/good"] + stamped,
              **here).expect(0)
    assert r.stdout.split() == ["one", "two", r.result["start_commit"]], r.stdout


@case
def a_failed_follow_up_loses_nothing():
    t = Task()
    t.repo()
    t.run("echo two >> a.txt").expect(0)
    before = files(t.out)
    r = follow(t, "true", setup="exit 3")
    assert r.code == 71 and not r.diff, r.err[-500:]
    assert {k: v for k, v in files(t.out + "/turn-1").items()} == before
    refused(follow(t), 78, t.out + "/result.json:", "did not run", "turn 2")
    r = t.run("cat a.txt", options=["--resume", t.out + "/turn-1"]).expect(0)
    assert r.stdout == "one\ntwo\n"
    # Refused before anything: not even a copy is made.
    t.out, old = t.dir + "/third", t.out
    os.mkdir(t.out)
    refused(t.run(options=["--resume", old], repo={"ref": None}), 78, "expected null", "ref is main")
    assert os.listdir(t.out) == []


# --- what OUT may be --------------------------------------------------------------------------

@case
def a_folder_that_is_not_that_turns_is_refused_with_its_place():
    t = Task()
    t.repo()
    t.run("echo two >> a.txt").expect(0)
    other = t.repo(name="other")
    good = t.dir + "/good"
    shutil.copytree(t.out, good)
    result = json.load(open(good + "/result.json"))

    def broken(code, *words, edit=None, **more):
        shutil.rmtree(t.out)
        shutil.copytree(good, t.out)
        if edit:
            edit(t.out)
        before = files(t.out)
        # Neither run nor check, and the same words.
        refused(follow(t, out=t.dir + "/x", **more), code, *words)
        if code == 78:
            done = plan(t, "--resume", t.out, **more)
            assert done.returncode == code and words[0] in done.stderr.decode(), done
        assert files(t.out) == before

    def write(**changes):
        return lambda out: put(out + "/result.json", json.dumps(dict(result, **changes)))

    def cut(name, size):
        return lambda out: os.truncate(out + "/" + name, size)

    broken(78, "result.json", "No such file", edit=lambda out: os.unlink(out + "/result.json"))
    broken(78, "result.json:", edit=cut("result.json", 200))
    broken(78, "result.json:10:", "expected " + other, repo={"url": other})
    broken(78, "result.json:11:", "ref is main", repo={"ref": None})
    broken(78, "result.json:1:", "start_commit", edit=write(start_commit="--upload-pack=x"))
    broken(78, "changes.diff: 20 bytes", "expected %d" % result["diff"]["bytes"],
           edit=cut("changes.diff", 20))
    broken(78, "changes.diff", edit=lambda out: os.unlink(out + "/changes.diff"))

    def link(out):
        os.unlink(out + "/changes.diff")
        os.symlink(good + "/changes.diff", out + "/changes.diff")
    broken(78, "changes.diff", "regular file", edit=link)

    def fifo(out):
        os.unlink(out + "/result.json")
        os.mkfifo(out + "/result.json")
    broken(78, "result.json", "regular file", edit=fifo)
    broken(70, "f" * 40, t.url, "start_commit", edit=write(start_commit="f" * 40))
    broken(70, "changes.diff does not apply to " + result["start_commit"], "a.txt",
           edit=lambda out: put(out + "/changes.diff",
                                open(good + "/changes.diff").read().replace(" one", " uno")))
    shutil.rmtree(t.out)
    refused(follow(t, out=t.dir + "/x"), 78, "--resume " + t.out)


DIFF = "diff --git a/{0} b/{0}\nnew file mode {1}\n--- /dev/null\n+++ b/{0}\n@@ -0,0 +1 @@\n+x\n"
LINK = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+%s\n" \
       "\\ No newline at end of file\n"


@case
def a_forged_diff_reaches_nothing_but_the_work_tree():
    t = Task()
    t.repo({"a.txt": "one\n", ".gitignore": "outside\n"})
    t.run("true").expect(0)
    t.canary = t.dir + "/second/pwned"  # the folder that the box does not keep to itself
    good = json.load(open(t.out + "/result.json"))

    def forged(text):
        put(t.out + "/changes.diff", text)
        good["diff"]["bytes"] = len(text)
        put(t.out + "/result.json", json.dumps(good))
        return follow(t, "cat .git/hooks/post-checkout .git/config; ls -A; ls /tmp",
                      out=t.dir + "/second", setup="ln -s /airlock-outside outside")
    for path in ("../escape", ".git/hooks/post-checkout", ".git/config", "a/../../x",
                 "/etc/cron.d/x"):
        r = forged(DIFF.format(path, "100755"))
        assert r.code == 70 and "does not apply" in r.reason(), (path, r.err[-600:])
    t.safe()
    # By a link of its own, or one that setup made: the link gives way, or git refuses.
    r = forged(LINK % t.out + DIFF.format("l/pwned", "100644"))
    assert r.code == 70, r.err[-600:]
    r = forged(DIFF.format("outside/pwned", "100644"))
    assert r.code in (0, 70) and "pwned" not in r.stdout, r.stdout
    # A filter or a hook is not run: .gitattributes is just a file.
    r = forged(DIFF.format(".gitattributes", "100644").replace("+x", "+* filter=evil diff=evil"))
    assert r.code == 0 and ".gitattributes" in r.stdout, r.err[-600:]
    t.safe()


@case
def a_log_that_the_agent_made_huge_is_not_copied():
    t = Task()
    t.repo()
    t.run("truncate -s 1100M %s/agent.log" % t.out).expect(0)
    r = follow(t).expect(0)
    assert "agent.log: over 1 GiB" in r.err and "agent.log" not in os.listdir(t.out + "/turn-1"), r.err
    assert "setup.log" in os.listdir(t.out + "/turn-1")


@case
def a_turn_folder_that_is_a_link_is_not_written_through():
    t = Task()
    t.repo()
    victim = t.dir + "/victim"
    os.mkdir(victim)
    put(victim + "/result.json", "mine")
    t.run("ln -s ../victim %s/turn-1" % t.out).expect(0)
    assert os.path.islink(t.out + "/turn-1")
    refused(follow(t), 74, "turn-1")
    assert open(victim + "/result.json").read() == "mine" and os.listdir(victim) == ["result.json"]


# --- a work tree that still stands ------------------------------------------------------------

def standing(t, change=""):
    """A root file system like a container's in which the first turn has just ended."""
    box = t.dir + "/box"
    subprocess.run(["cp", "-a", make_rootfs(), box], check=True)
    git(t.dir, "clone", "-q", t.url, box + "/workspace/app")
    git(box + "/workspace/app", "apply", t.out + "/changes.diff")
    subprocess.run(["bash", "-c", change or ":"], cwd=box + "/workspace/app", check=True)
    return ["--box", box]


@case
def what_still_stands_is_left_as_it_is():
    t = Task()
    t.repo({"a.txt": "one\n", ".gitignore": "*.log\n"})
    t.canary = t.dir + "/second/pwned"
    setup = "touch %s" % t.canary
    t.run("echo two >> a.txt; echo n > new").expect(0)
    # A hostile configuration does not get to run anything before the seal.
    evil = ("git commit -qam agent; echo cached > run.log; git config core.fsmonitor 'touch %s';"
            "git config core.sshCommand 'touch %s'; git config filter.x.clean 'touch %s'"
            % (t.canary, t.canary, t.canary))
    os.environ.update({"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
                       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"})
    r = follow(t, "cat a.txt new run.log; echo 3 >> new", options=standing(t, evil),
               out=t.dir + "/second", setup=setup).expect(0)
    assert r.stdout == "one\ntwo\nn\ncached\n", r.stdout
    assert "+two" in r.diff and "+two" not in r.file("since-last.diff")
    assert "+3" in r.file("since-last.diff")
    t.safe()  # setup did not run either: the agent had been there
    assert not [e for e in r.event("step") if e["phase"] == "setup"], r.event("step")


@case
def git_fetches_nothing_by_the_last_agents_configuration():
    t = Task()
    t.repo()
    t.canary = t.dir + "/second/pwned"
    t.run("echo two >> a.txt").expect(0)
    evil = ("git config extensions.partialClone origin; git config remote.origin.promisor true;"
            "git config remote.origin.url 'ext::touch %s'; git config protocol.ext.allow always;"
            "git config core.repositoryFormatVersion 1; git config core.sshCommand 'touch %s';"
            "rm -rf .git/objects/[0-9a-f]* .git/objects/pack/*; true" % (t.canary, t.canary))
    r = follow(t, options=standing(t, evil), out=t.dir + "/second")
    assert r.code == 70 and "no commit" in r.reason(), (r.code, r.err[-600:])
    t.safe()


@case
def a_repository_of_the_operators_own_can_be_followed():
    t = Task()
    t.repo()
    here = {"repo": {"url": None, "ref": None, "dir": t.url}}  # the box keeps what is done to it
    t.run("echo two >> a.txt", **here).expect(0)
    r = follow(t, "cat a.txt; echo three >> a.txt", **here).expect(0)
    assert r.stdout == "one\ntwo\n" and "+three" in r.file("since-last.diff"), r.stdout
    git(t.url, "apply", t.out + "/changes.diff")
    r = follow(t, "cat a.txt", setup="touch %s" % t.canary, **here).expect(0)
    assert r.stdout == "one\ntwo\nthree\n" and r.file("since-last.diff") == "", r.stdout
    t.safe()
    put(t.url + "/a.txt", "mine\n")
    r = follow(t, "true", **here)
    assert r.code == 70 and "neither as turn 3 left it" in r.reason(), r.err[-400:]


@case
def what_somebody_else_changed_is_not_touched():
    t = Task()
    t.repo()
    t.run("echo two >> a.txt").expect(0)
    r = follow(t, options=standing(t, "echo mine > a.txt"), out=t.dir + "/second")
    assert r.code == 70 and "neither as turn 1 left it" in r.reason(), r.err[-500:]
    shutil.rmtree(t.dir + "/box")
    r = follow(t, "cat a.txt", options=standing(t, "git checkout -q ."), out=t.dir + "/second")
    assert r.code == 0 and r.stdout == "one\ntwo\n", r.err[-500:]


# --- the conversation -------------------------------------------------------------------------

def texts(request):
    return [p["text"] for i in request.body["input"] if i.get("role") for p in i["content"]]


@case
def the_conversation_goes_on():
    t = Task()
    t.repo({"a.txt": "one\n", "AGENTS.md": "Be brief.\n"})
    script = [call("exec_command", "call_1", cmd="echo two >> a.txt; echo SEEN"), say("First."),
              call("exec_command", "call_2", cmd="cat a.txt"), say("Second.")]
    with Model(script) as m:
        one = built_in(m, "add two", task=t).expect(0)
        kept = one.file("conversation.jsonl")
        assert one.result["conversation"]["bytes"] == len(kept) and '"airlock":1' in kept
        two = built_in(m, "and now?", task=t, options=["--resume", t.out]).expect(0)
    first, then = m.requests[1].body["input"], m.requests[2].body["input"]
    assert then[:len(first)] == first, (first, then)  # a prefix: what the server has cached
    told = texts(m.requests[2])
    assert told[-1] == "and now?" and "First." in told and told.count("add two") == 1, told
    assert "new container" in told[-2] and len([x for x in told if "Be brief." in x]) == 1, told
    assert "SEEN" in m.requests[2].outputs()["call_1"]
    assert "one\ntwo" in m.requests[3].outputs()["call_2"]
    assert two.answer.strip() == "Second." and two.result["turn"] == 2
    assert two.jsonl[0]["thread_id"] == one.jsonl[0]["thread_id"]
    assert open(t.out + "/turn-1/conversation.jsonl").read() == kept
    assert len(two.file("conversation.jsonl").splitlines()) > len(kept.splitlines())


@case
def a_command_can_t_forge_what_was_said():
    t = Task()
    t.repo()
    forge = ("cd %s; ls; for f in conversation.jsonl .conversation.jsonl.part; do echo FORGED > $f;"
             "ln -sf /etc/passwd $f.l; done; mkdir result.json; "
             "for p in /proc/[0-9]*/fd/*; do case $(readlink $p) in *conversation*) echo FORGED > $p;;"
             "esac; done; true" % t.out)
    with Model([call("exec_command", cmd=forge), say("x")]) as m:
        r = built_in(m, task=t).expect(0)
    first = r.file("conversation.jsonl").splitlines()[0]
    assert '"airlock":1' in first and json.loads(first)["airlock"] == 1, first
    assert r.result["conversation"]["bytes"] == os.stat(t.out + "/conversation.jsonl").st_size


@case
def a_torn_conversation_is_refused_with_its_line():
    t = Task()
    t.repo()
    with Model([say("x")]) as m:
        built_in(m, task=t).expect(0)
        kept = open(t.out + "/conversation.jsonl").read()
        result = json.load(open(t.out + "/result.json"))

        def broken(text, *words):
            put(t.out + "/conversation.jsonl", text)
            result["conversation"]["bytes"] = len(text)
            put(t.out + "/result.json", json.dumps(result))
            refused(built_in(m, task=t, options=["--resume", t.out]), 78, *words)
            assert not os.path.exists(t.out + "/turn-1")
        broken(kept[:-20], "conversation.jsonl:%d: " % kept.count("\n"))
        broken(kept + "[" * 100000 + "\n", "conversation.jsonl:%d: " % (kept.count("\n") + 1))
        broken('{"airlock":2}\n' + kept, "conversation.jsonl:1: ")
        put(t.out + "/conversation.jsonl", kept)
        refused(built_in(m, task=t, options=["--resume", t.out]), 78, "conversation.jsonl",
                "%d bytes" % len(kept))
    assert len(m.requests) == 1


@case
def an_interrupted_turn_can_be_followed():
    t = Task()
    t.repo()
    with Model([call("exec_command", "call_1", cmd="echo two >> a.txt; sleep 60",
                     yield_time_ms=30000), say("Done.")]) as m:
        assert built_in(m, "go", task=t, agent={"timeout_s": 2}).code == 76
        built_in(m, "go on", task=t, options=["--resume", t.out]).expect(0)
    assert m.requests[1].outputs()["call_1"] and "go on" in texts(m.requests[1])[-1]


@case
def another_model_does_not_get_what_the_first_one_thought():
    t = Task()
    t.repo()
    with Model([items(reasoning("hm"), message("x")), say("y"), say("z")]) as m:
        built_in(m, task=t).expect(0)
        for name in ("m", "other"):
            built_in(m, task=t, options=["--resume", t.out], model={"name": name}).expect(0)
    kinds = [[i["type"] for i in r.body["input"]].count("reasoning") for r in m.requests]
    assert kinds == [0, 1, 0] and "x" in texts(m.requests[2]), kinds


@case
def the_key_stays_the_proxys_alone():
    trusted = Trusted([say("x"), call("exec_command", cmd="env"), say("y")])
    t = trusted.task
    with trusted.model as m:
        more = dict(trusted.more, repo={"url": bundle(t)}, model={"key": "${MODEL_KEY}"})
        built_in(m, **more).expect(0)
        built_in(m, options=["--resume", t.out], **more).expect(0)
    assert [r.headers["authorization"] for r in m.requests] == ["Bearer " + KEY] * 3
    for where, _, names in os.walk(t.out):
        for name in names:
            assert KEY.encode() not in open(where + "/" + name, "rb").read(), name


@case
def the_cache_gives_setups_state_and_not_the_agents():
    t = Task()
    t.repo({"a.txt": "one\n", "lock": "1\n", ".gitignore": "*.log\n"})
    more = {"setup": "echo s >> lock; echo deps > deps.log", "cache": {"dir": t.dir + "/cache"},
            "repo": {"url": bundle(t)}}
    box = ["--box", make_rootfs()]
    t.run("echo two >> a.txt; rm deps.log", options=box, **more).expect(0)
    r = follow(t, "cat a.txt lock deps.log", options=box, **more).expect(0)
    assert [e["outcome"] for e in r.event("cache")] == ["restored"], r.event("cache")
    assert r.stdout == "one\ntwo\n1\ns\ndeps\n" and r.file("since-last.diff") == "", r.stdout


@case
def another_user_gets_the_files_as_its_own():
    t = Task()
    t.repo()
    os.chmod(t.out, 0o777)
    url = bundle(t)
    for turn, words in ((1, []), (2, ["--resume", t.out])):
        spec = t.spec("id -u; stat -c '%u %n' *; cat a.txt; echo two >> a.txt; echo new > new")
        spec["agent"]["user"] = "1000:1000"
        spec["repo"]["url"] = url
        p = lib.start([lib.AIRLOCK, "run", "--box", make_rootfs(), *words, t.write_spec(spec)])
        out, err = p.communicate(timeout=18)
        assert p.returncode == 0, err.decode()[-900:]
    assert out.decode() == "1000\n1000 a.txt\n1000 new\none\ntwo\n", out


@case
def an_agent_of_ones_own_is_told_the_turn():
    t = Task()
    t.repo()
    with Model([say("Looked.")]) as m:
        t.run("test $AIRLOCK_TURN = 1; echo $? >> a.txt", env={"AIRLOCK_TURN": "9"}).expect(0)
        r = built_in(m, "look", task=t, options=["--resume", t.out]).expect(0)
        assert "a new one begins" in r.err and "+0" in r.diff and len(m.requests) == 1
    done = plan(t, "--resume", t.out)
    assert done.returncode == 0 and "turn 3, from " in done.stdout.decode(), done.stdout


@case
def the_page_shows_what_is_new():
    t = Task()
    t.repo()
    t.run("echo two >> a.txt").expect(0)
    follow(t, "echo three >> a.txt").expect(0)
    subprocess.run([lib.AIRLOCK, "report", t.out], check=True, timeout=10)
    page = open(t.out + "/report.html").read()
    assert "since-last.diff" in page and "resumed_from" in page, page[:400]


main()
