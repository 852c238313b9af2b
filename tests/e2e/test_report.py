"""Report: the diff gives the agent's tree again, hostile repositories run nothing while
it is made, and every file in OUT is whole or absent, however the task ended."""
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import time

from lib import case, children, main, until
from task import Task, git, put

PYTHON = "/usr/bin/python3"
KEYS = {"version", "airlock", "status", "airlock_status", "phase", "step", "reason", "agent",
        "repo", "ref", "start_commit", "network", "answer", "diff", "pull_request", "leftovers",
        "ignored_signals", "durations_ms", "resources", "cgroup", "log_whole", "turn", "resumed_from",
        "conversation"}


def task():
    t = Task()
    t.repo()
    return t


# --- the diff gives the same tree ----------------------------------------------------------

NAMES = ["plain", "two words", "quo\"te", "apo'strophe", "new\nline", "tab\there", "back\\slash",
         "h\u00e9ll\u00f6", "\u4e16\u754c", "-dash", "--all", "a b/c d", "deep/er/est", ".hidden",
         "trailing ", " leading", "*", "[x]", "!bang", "#hash", "a:b", "%s%n", "b\u0301", "con",
         "x" * 200]


def content(rng):
    return rng.choice((b"", b"line\n" * rng.randrange(1, 60), b"no newline", b"dos\r\nlines\r\n",
                       bytes(rng.randrange(256) for _ in range(300)), b"\0\0\0",
                       b"".join(b"%d\n" % rng.randrange(9) for _ in range(200))))


def make(root, name, rng):
    path = root + "/" + name
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if rng.random() < 0.15:
            os.symlink(rng.choice(("target", "/etc/passwd", "../..", "no\nsuch")), path)
            return
        with open(path, "wb") as f:
            f.write(content(rng))
        os.chmod(path, rng.choice((0o644, 0o644, 0o755)))
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        pass


def files_of(root):
    found = []
    for at, dirs, files in os.walk(root):
        if at == root and ".git" in dirs:
            dirs.remove(".git")
        found += [os.path.join(at, f) for f in files + [d for d in dirs
                  if os.path.islink(os.path.join(at, d))]]
    return sorted(found)


def snapshot(root):
    tree = {}
    for path in files_of(root):
        mode = os.lstat(path).st_mode
        name = os.path.relpath(path, root)
        if stat.S_ISLNK(mode):
            tree[name] = ("link", os.readlink(path))
        else:
            with open(path, "rb") as f:
                tree[name] = (bool(mode & 0o100), f.read())
    return tree


def mutate(root, rng):
    for path in files_of(root):
        if not os.path.lexists(path):
            continue
        what = rng.choice(("keep", "keep", "edit", "delete", "rename", "chmod", "dir", "link"))
        regular = not os.path.islink(path)
        if what == "edit" and regular:
            with open(path, "ab") as f:
                f.write(content(rng))
        elif what == "delete":
            os.unlink(path)
        elif what == "rename":
            os.rename(path, path + rng.choice((".new", " moved")) if len(path) < 180 else path)
        elif what == "chmod" and regular:
            os.chmod(path, os.stat(path).st_mode ^ 0o111)
        elif what == "dir":
            os.unlink(path)
            make(path, "inside", rng)
        elif what == "link":
            os.unlink(path)
            os.symlink("somewhere", path)
    top = [d for d in os.listdir(root) if d != ".git" and os.path.isdir(root + "/" + d)
           and not os.path.islink(root + "/" + d)]
    for d in top[:1]:  # a directory becomes a file
        shutil.rmtree(root + "/" + d)
        put(root + "/" + d, b"was a directory\n")
    for name in rng.sample(NAMES, 8):
        make(root, name, rng)


@case
def on_generated_trees_the_diff_gives_the_agents_tree():
    for seed in range(12):
        rng = random.Random(seed)
        t = Task()
        path = t.repo()
        for name in rng.sample(NAMES, 14):
            make(path, name, rng)
        if seed % 3 == 0:
            put(path + "/.gitattributes", b"*.txt text=auto\n* -diff\n")
        t.commit({})
        after = t.dir + "/after"
        shutil.copytree(path, after, symlinks=True)
        shutil.rmtree(after + "/.git")
        mutate(after, rng)
        if seed == 1:
            put(after + "/large", bytes(rng.getrandbits(8) for _ in range(3 << 20)))
        want = snapshot(after)
        # The agent makes its tree that one; ignored files come on top.
        r = t.run("git rm -rqf . ; find . -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} + ;"
                  " cp -a %s/. . && git reset -q && echo ok" % after).expect(0)
        assert r.answer == "ok\n" and r.result["diff"]["whole"] is True, (seed, r.err[-500:])
        fresh = t.dir + "/fresh"
        git(t.dir, "clone", "-q", t.url, fresh)
        if r.diff:
            git(fresh, "apply", "--index", "--whitespace=nowarn", t.out + "/changes.diff")
        got = snapshot(fresh)
        assert got == want, (seed, [n for n in set(got) | set(want) if got.get(n) != want.get(n)])


@case
def ignored_files_are_left_out_and_tracked_ones_are_not():
    t = Task()
    t.repo({".gitignore": "*.log\nbuild/\n", "kept.log": "tracked\n", "a.txt": "one\n"})
    r = t.run("echo x >> kept.log; echo y > new.log; mkdir build; echo z > build/z; echo n > n; "
              "echo n >> .git/info/exclude").expect(0)
    assert "b/kept.log" in r.diff and "b/n\n" in r.diff, r.diff
    assert "new.log" not in r.diff and "build" not in r.diff


@case
def what_the_agent_committed_is_in_the_diff():
    r = task().run("git config user.name a; git config user.email a@b; echo two >> a.txt; "
                   "git commit -qam x; git checkout -q -b other; echo b > b; git add b; "
                   "git commit -qm y; echo three >> a.txt; git update-ref -d refs/heads/main"
                   ).expect(0)
    assert "+two" in r.diff and "+three" in r.diff and "b/b" in r.diff, r.diff


@case
def a_merge_or_rebase_or_stash_in_progress_does_not_matter():
    r = task().run("echo x >> a.txt; git stash -q; echo two >> a.txt; touch .git/index.lock "
                   ".git/MERGE_HEAD .git/shallow.lock; echo garbage > .git/index; "
                   "echo bad > .git/HEAD").expect(0)
    assert "+two" in r.diff, r.diff


@case
def hostile_git_configuration_runs_nothing_and_the_diff_is_right():
    t = task()
    r = t.run(r"""
cat > /tmp/evil <<'END'
#!/bin/sh
echo "$0 $@" >> CANARY
END
chmod +x /tmp/evil
for k in core.fsmonitor core.pager core.editor diff.external diff.evil.command diff.evil.textconv \
    filter.evil.clean filter.evil.smudge filter.evil.process core.sshCommand core.gitProxy \
    gpg.program credential.helper core.attributesFile core.alternateRefsCommand alias.add; do
    git config $k /tmp/evil
done
git config filter.evil.required true; git config core.hooksPath /tmp/hooks; mkdir -p /tmp/hooks
for h in post-index-change pre-commit reference-transaction fsmonitor-watchman; do
    cp /tmp/evil /tmp/hooks/$h; cp /tmp/evil .git/hooks/$h; done
git config core.worktree /etc; git config include.path /tmp/include
echo '* filter=evil diff=evil' > .git/info/attributes
echo '* filter=evil diff=evil' > .gitattributes
printf '[core]\n\tfsmonitor = /tmp/evil\n' > ~/.gitconfig
rm -f CANARY; echo two >> a.txt""".replace("CANARY", t.canary)).expect(0)
    t.safe()
    assert "+two" in r.diff and "filter=evil" in r.diff, r.diff


@case
def a_nested_repository_runs_nothing():
    t = task()
    r = t.run(r"""
printf '#!/bin/sh\necho "$@" >> %s\n' CANARY > /tmp/evil; chmod +x /tmp/evil
for how in commit empty; do
    git init -q $how; cd $how; echo in > inside
    git config user.name a; git config user.email a@b
    if [ $how = commit ]; then git add .; git commit -qm x; fi
    git config core.fsmonitor /tmp/evil; git config core.hooksPath /tmp; cd ..
done
rm -f CANARY; echo two >> a.txt""".replace("CANARY", t.canary)).expect(0)
    t.safe()
    assert "+two" in r.diff, r.diff


@case
def a_hostile_submodule_runs_nothing():
    t = Task()
    t.repo({"s": "s\n"}, "sub")
    t.repo()
    git(t.url, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", t.dir + "/sub",
        "sub")
    git(t.url, "commit", "-qm", "sub")
    r = t.run(r"""
printf '#!/bin/sh\necho "$@" >> %s\n' CANARY > /tmp/evil; chmod +x /tmp/evil
git -c protocol.file.allow=always submodule --quiet update --init
cd sub; git config core.fsmonitor /tmp/evil; echo dirty >> s; touch new; cd ..
rm -f CANARY; echo two >> a.txt""".replace("CANARY", t.canary)).expect(0)
    t.safe()
    assert "+two" in r.diff, r.diff


@case
def without_git_the_diff_is_refused_with_74():
    for how in ("rm -rf .git", "rm -rf .git/objects", "rm -rf .git; ln -s /etc .git"):
        r = task().run("echo two >> a.txt; " + how).expect(74)
        assert "changes.diff" not in os.listdir(r.out), how
        assert ".git" in r.reason() and r.result["agent"]["exit"] == 0, r.result


@case
def an_unreadable_or_special_file_costs_only_itself():
    r = task().run("echo two >> a.txt; mkfifo pipe; %s -c \"import socket;"
                   "socket.socket(1).bind('sock')\"" % PYTHON).expect(0)
    assert "+two" in r.diff


# --- answer, result, journal -----------------------------------------------------------------

@case
def the_answer_is_the_file_or_else_the_output():
    assert task().run("echo out; printf 'from file' > $AIRLOCK_ANSWER").expect(0
                      ).answer == "from file"
    assert task().run("echo out; echo err >&2").expect(0).answer == "out\n"
    assert task().run("true").expect(0).answer == ""


@case
def an_answer_that_is_a_link_or_a_pipe_is_not_read():
    for how in ("ln -sf /etc/passwd", "mkfifo", "mkdir"):
        r = task().run("rm -f $AIRLOCK_ANSWER; %s $AIRLOCK_ANSWER; echo out" % how).expect(0)
        assert r.answer == "out\n", (how, r.answer)


@case
def the_result_has_the_documented_keys():
    for run in (lambda: task().run(), lambda: task().run(setup="exit 3"),
                lambda: task().run(repo={"ref": "nope"}), lambda: task().run("kill -9 $$")):
        r = run()
        assert set(r.result) == KEYS, set(r.result) ^ KEYS
        assert r.result["log_whole"] is True
        for e in r.events:
            assert {"time", "ms", "phase", "event"} <= set(e), e
        assert r.events[0]["event"] == "start" and r.events[-1]["event"] == "end"


@case
def results_of_an_earlier_task_are_gone_from_the_start():
    t = task()
    for name in ("answer.md", "changes.diff", "result.json", "events.ndjson", "setup.log"):
        put(t.out + "/" + name, "old\n")
    p = t.start("echo up; sleep 20")
    assert p.stdout.readline() == b"up\n"
    for name in ("answer.md", "changes.diff", "result.json"):
        assert not os.path.exists(t.out + "/" + name), name
    assert "old" not in open(t.out + "/events.ndjson").read()
    p.terminate()
    p.communicate(timeout=10)


@case
def killed_at_any_moment_no_file_is_torn():
    rng = random.Random(7)
    t = task()
    for _ in range(25):
        p = t.start("for i in 1 2 3 4 5 6 7 8 9; do kill -USR1 1; done; "
                    "head -c 300000 /dev/urandom > r; echo done", setup="echo hi")
        time.sleep(rng.uniform(0.0, 0.3))
        for pid in children(p.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        p.communicate(timeout=10)
        path = t.out + "/events.ndjson"
        text = open(path).read() if os.path.exists(path) else ""
        assert not text or text.endswith("\n"), text[-100:]
        for line in text.splitlines():
            json.loads(line)
        if os.path.exists(t.out + "/result.json"):
            assert json.load(open(t.out + "/result.json"))["version"] == 1
        if os.path.exists(t.out + "/changes.diff"):
            fresh = t.dir + "/fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            git(t.dir, "clone", "-q", t.url, fresh)
            git(fresh, "apply", "--check", t.out + "/changes.diff")


class Mounted:
    def __init__(self, path, options):
        self.path = path
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)


@case
def what_an_agent_forged_in_out_does_not_stay():
    t = task()
    r = t.run("cd %s; echo '{\"status\":\"forged\"}' > result.json; mkdir changes.diff; "
              "echo x > changes.diff/x; ln -s %s answer.md; cd - >/dev/null; echo two >> a.txt; "
              "echo true-answer > $AIRLOCK_ANSWER" % (t.out, t.canary)).expect(0)
    t.safe()
    assert r.result["status"] == "done" and "+two" in r.diff and r.answer == "true-answer\n"


@case
def an_agent_can_not_rewrite_the_journal():
    """It runs as PID 1's user and OUT is a folder like any other: the file is only a copy."""
    for how in (": > events.ndjson", "rm events.ndjson", "rm events.ndjson; mkdir events.ndjson",
                "sed -i s/agent/angel/ events.ndjson", "mv events.ndjson x; ln -s x events.ndjson",
                "rm events.ndjson; echo '{\"event\":\"forged\"}' > events.ndjson",
                "exec 3<> events.ndjson; head -c 99999 /dev/zero >&3",
                "rm events.ndjson; ln -s %s events.ndjson"):
        t = task()
        shell = how % t.canary if "%s" in how else how
        r = t.run("cd %s; %s; kill -TERM 1; echo did" % (t.out, shell)).expect(0)
        t.safe()
        names = [e["event"] for e in r.events]
        assert names[0] == "start" and names[-1] == "end" and "agent_end" in names, (how, names)
        assert "forged" not in names and "lock" in names, (how, names)
        assert r.result["log_whole"] and r.result["status"] == "done", (how, r.result)


@case
def the_journal_is_shown_while_the_task_runs():
    t = task()
    p = t.start("echo up; sleep 20", network={"agent": "limited", "allow": ["a.example"]})
    assert p.stdout.readline() == b"up\n"
    with open(t.out + "/events.ndjson") as f:
        events = [json.loads(line) for line in f]
    assert [e for e in events if e["phase"] == "seal"] and events[-1]["event"] != "end", events
    p.terminate()
    p.communicate(timeout=10)


@case
def links_and_pipes_that_wait_in_out_are_replaced():
    t = task()
    os.symlink(t.dir + "/elsewhere", t.out + "/events.ndjson")
    os.mkfifo(t.out + "/setup.log")
    os.mkfifo(t.out + "/.result.json.part")
    r = t.run("echo hi", setup="echo hello").expect(0)
    assert not os.path.exists(t.dir + "/elsewhere") and "hello" in r.file("setup.log")
    assert r.events and r.result["status"] == "done"


@case
def a_planted_git_can_not_go_on_writing_the_diff():
    t = task()
    r = t.run("echo two >> a.txt; mv /usr/bin/git /usr/bin/git.real; "
              "printf '#!/bin/sh\\n(exec setsid sh -c \"sleep 0.7; echo garbage\") &\\n"
              "exec /usr/bin/git.real \"$@\"\\n' > /usr/bin/git; chmod 755 /usr/bin/git").expect(0)
    assert "+two" in r.diff, r.diff
    time.sleep(1)
    assert "garbage" not in r.diff, r.diff[-200:]


@case
def a_git_that_dies_is_no_empty_diff():
    t = task()
    r = t.run("echo two >> a.txt; mv /usr/bin/git /usr/bin/git.real; "
              "printf '#!/bin/sh\\ncase $1 in add) kill -9 $$;; esac\\n"
              "exec /usr/bin/git.real \"$@\"\\n' > /usr/bin/git; chmod 755 /usr/bin/git").expect(74)
    assert not os.path.exists(t.out + "/changes.diff") and r.result["airlock_status"] == 74


@case
def an_answer_that_is_cut_says_so():
    r = task().run("head -c 2000000 /dev/zero | tr '\\0' a > $AIRLOCK_ANSWER").expect(0)
    assert r.result["answer"] == {"bytes": 1 << 20, "whole": False}, r.result["answer"]
    assert task().run("echo x").expect(0).result["answer"] == {"bytes": 2, "whole": True}


@case
def a_long_url_fits_into_the_result():
    t = task()
    t.url = t.dir + "/" + "\u00e9" * 3000
    assert t.run("true").expect(70).result["repo"] == t.url


@case
def a_full_disk_is_74_and_nothing_is_torn():
    t = task()
    with Mounted(t.out, "size=64k"):
        r = t.run("head -c 500000 /dev/urandom > r; head -c 200000 /dev/zero | tr '\\0' a; "
                  "for i in $(seq 50); do kill -USR1 1; done").expect(74)
        for line in r.file("events.ndjson").splitlines():
            json.loads(line)
        if r.file("result.json"):
            assert r.result["airlock_status"] == 74
        assert not r.file("changes.diff"), len(r.file("changes.diff"))
        assert not [n for n in os.listdir(t.out) if n.endswith(".part")], os.listdir(t.out)


@case
def a_read_only_output_is_74_with_the_way_out():
    t = task()
    with Mounted(t.out, "size=64k,ro"):
        r = t.run("true").expect(74)
        assert "mount a writable directory" in r.err, r.err


main()
