"""The lock that each engine's defaults give a sandbox, proved inside: engines x users.

`test_sandbox_engines.py docker` runs one engine. Prints the lock that was taken.
"""
import re

from engines import engines, stop_engines
import lib
from lib import PROGRAMS, case, main, skip

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon

ROWS = {
    "root": dict(user="root"),
    "uid 1000 without rights": dict(user="1000", caps="none"),
    "read-only root": dict(user="root", readonly=True),
}
SCRATCH = [(None, "/tmp", True)]


def ready(engine, row):
    reason = engine.available()
    if reason:
        skip(reason)


def sandbox(engine, row, *words):
    return engine.run(["airlock", "sandbox", "-v", *words], mounts=SCRATCH, **row)


def a_lock_holds_and_is_proved(engine, row):
    done = sandbox(engine, row, "--prove", "--", "echo", "ran")
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (0, b"ran\n"), done
    lock = re.search(r"lock (\w+);", text)
    assert lock, text
    print("# %s, %s: %s" % (engine.name, row, lock.group(1)))


def each_lock_holds_or_says_why(engine, row):
    for lock in ("netns", "notify", "closed"):
        done = sandbox(engine, row, "--lock", lock, "--prove", "--", "echo", "ran")
        text = done.stderr.decode()
        if done.returncode == 0:
            assert done.stdout == b"ran\n" and "LEAK" not in text, (lock, done)
        else:
            assert done.returncode == 73 and not done.stdout, (lock, done)
            assert "LEAK" not in text and "lock %s: " % lock in text, (lock, done)


def a_filtered_network_holds_and_is_proved(engine, row):
    if "airlock-proxy" not in PROGRAMS:
        skip("no airlock-proxy in this build")
    done = sandbox(engine, row, "--net", "limited", "--allow", "allowed.example", "--prove", "--",
                   "bash", "-c", "exec 3<>/dev/tcp/denied.example/80; echo $?; "
                   "(exec 3<>/dev/tcp/203.0.113.9/22 && read -r -t 5 x <&3); echo $?; "
                   "env | grep -c _proxy=")  # taken by the proxy, and ended at once
    words = done.stdout.decode().split()
    assert done.returncode == 0 and words == ["1", "1", "4"], done
    assert b"LEAK" not in done.stderr, done


def servers_at_home_work(engine, row):
    script = ("python3 -c 'import socket\n"
              "s = socket.create_server((\"127.0.0.1\", 0))\n"
              "c = socket.create_connection(s.getsockname())\n"
              "s.accept()[0].send(b\"x\"); assert c.recv(1) == b\"x\"' 2>/dev/null || "
              "bash -c 'exec 3<>/dev/tcp/127.0.0.1/1' 2>&1 | grep -q refused")
    done = sandbox(engine, row, "--", "bash", "-c", script)
    assert done.returncode == 0, done


for _engine in [e for e in engines() if e.name != "box"]:  # that is for tasks
    for _row, _options in ROWS.items():
        for _try in (a_lock_holds_and_is_proved, each_lock_holds_or_says_why,
                     a_filtered_network_holds_and_is_proved, servers_at_home_work):
            def _case(engine=_engine, options=_options, attempt=_try):
                ready(engine, options)
                attempt(engine, options)
            _case.__name__ = "%s: %s: %s" % (_engine.name, _row, _try.__name__)
            case(_case)

try:
    main()
finally:
    stop_engines()
