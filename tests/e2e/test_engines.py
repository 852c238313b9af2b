"""tests/e2e/test_engines.py - airlock is a good PID 1, and runs a task, under every engine.

Cases are generated: engines x rows x what is tried. `test_engines.py docker` runs one.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from engines import engines, stop_engines, temp
import lib
from lib import case, main, skip

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon

SCRATCH = [(None, "/workspace", True), (None, "/tmp", True)]
ROWS = {
    "root": dict(user="root"),
    "uid 1000 without rights": dict(user="1000", caps="none"),
    "read-only root": dict(user="root", readonly=True),
}


def scratch(row):
    return SCRATCH if row.get("readonly") else []


def ready(engine, row):
    reason = engine.available()
    if reason:
        skip(reason)
    if engine.name == "box" and row.get("readonly"):
        skip("the box's root is private: it has no read-only form")


def init(engine, row, *command):
    return engine.run(["airlock", "init", "--"] + list(command), mounts=scratch(row), **row)


def exits_as_its_child(engine, row):
    done = init(engine, row, "bash", "-c", "cat /proc/1/comm; exit 7")
    assert (done.returncode, done.stdout) == (7, b"airlock\n"), done


def missing_command_is_127(engine, row):
    done = init(engine, row, "/no/such/program")
    assert done.returncode == 127 and b"/no/such/program" in done.stderr, done


def orphans_are_reaped(engine, row):
    script = ("for i in $(seq 200); do (sleep 0.01 & ) ; done; sleep 0.7; "
              "ps -A -o stat= | grep -c Z; true")
    done = init(engine, row, "bash", "-c", script)
    assert (done.returncode, done.stdout.strip()) == (0, b"0"), done


def term_stops(engine, row):
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = engine.start(["airlock", "init", "--", "bash", "-c", script],
                           mounts=scratch(row), **row)
    try:
        assert process.stdout.readline() == b"ready\n"
        process.kill_pid1(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 9, (process.returncode, out, err)
    finally:
        if process.poll() is None:
            engine._abandon(process)


SETUP = "(setsid sleep 4321 &) >/dev/null 2>&1 </dev/null; echo from-setup > /tmp/from-setup"
AGENT = ("if ps -A -o args= | grep -q '^sleep 4321'; then echo SURVIVOR; fi; "
         "sed -i s/one/two/ a.txt; head -c 3000 /dev/zero | tr '\\0' '\\377' > blob; exit 5")


def whole_task(engine, row):
    folder = tempfile.mkdtemp(dir=temp())
    os.chmod(folder, 0o755)
    given, out, repo = folder + "/given", folder + "/out", folder + "/repo"
    for name in (given, given + "/out", out, repo):
        os.mkdir(name)
    uid = 0 if row["user"] == "root" else 1000
    os.chown(out, uid, uid)
    with open(repo + "/a.txt", "w") as f:
        f.write("one\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", repo]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"],
                  ["bundle", "create", "-q", given + "/repo.bundle", "HEAD", "main"]):
        subprocess.run(git + words, check=True)
    with open(given + "/task.json", "w") as f:
        json.dump({"version": 1, "repo": {"url": "/airlock/repo.bundle"},
                   "setup": {"script": SETUP}, "network": {"setup": "full", "agent": "off"},
                   "agent": {"command": ["bash", "-c", AGENT]},
                   "output": {"dir": "/airlock/out"}}, f)
    done = engine.run(["airlock", "run", "/airlock/task.json"], mounts=scratch(row) + [
        (given, "/airlock", False), (out, "/airlock/out", True)], **row)
    assert done.returncode == 5, (done.returncode, done.stdout[-1500:], done.stderr[-1500:])
    assert b"SURVIVOR" not in done.stdout + done.stderr
    with open(out + "/result.json") as f:
        assert "status" in json.load(f)
    fresh = folder + "/fresh"
    subprocess.run(["git", "clone", "-q", given + "/repo.bundle", fresh], check=True)
    subprocess.run(["git", "-C", fresh, "apply", out + "/changes.diff"], check=True)
    with open(fresh + "/a.txt") as a, open(fresh + "/blob", "rb") as blob:
        assert (a.read(), blob.read()) == ("two\n", b"\xff" * 3000)
    shutil.rmtree(folder)


def add(engine, title, row, what):
    def run():
        ready(engine, row)
        what(engine, row)
    run.__name__ = "%s, %s: %s" % (engine.name, title, what.__name__)
    case(run)


for one in engines():
    for row_title, row_options in ROWS.items():
        for claim in (exits_as_its_child, missing_command_is_127, orphans_are_reaped,
                      term_stops, whole_task):
            if claim is whole_task or not one.only:
                add(one, row_title, row_options, claim)

if __name__ == "__main__":
    try:
        main()
    finally:
        stop_engines()
