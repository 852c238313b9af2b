#!/usr/bin/python3
"""Secrets in a whole task: setup has them, the log does not, nobody has them afterwards.

In a box over build/rootfs, a small Debian: the scan for leaks looks at every file."""
import base64
import ctypes
import hashlib
import json
import os
import subprocess

from engines import make_rootfs
from lib import AIRLOCK, case, main, skip
from task import Result, Task, sealed

TOKEN = "tok-Zq8yXw4vUt2sRr0p"
OTHER = "other-6bN1mK9jH3gF5d"


def own_network():
    """Runs in the child: a network that is shared with nobody, for the netfilter lock."""
    assert ctypes.CDLL(None).unshare(0x40000000) == 0 and os.system("ip link set lo up") == 0


def run(setup, agent="true", values=None, key=None, secrets=None, env=None, popen=None, **more):
    if os.geteuid():
        skip("needs root to show the sealed file in a box")
    t = Task()
    path, identity = sealed(t, values or {"TOKEN": TOKEN, "OTHER": OTHER})
    inside = t.out + "/secrets.age"  # OUT is the one folder of the host in a box
    os.rename(path, inside)
    spec = t.spec(agent, setup, repo={"url": None, "ref": None},
                  secrets=dict({"sealed": inside}, **(secrets or {})), **more)
    spec["repo"] = {"dir": "/workspace/app"}
    t.spec = lambda *a, **k: spec
    p = t.start(options=["--box", make_rootfs()],
                popen={"stdin": subprocess.PIPE, "env": dict(os.environ, **(env or {})),
                       **(popen or {})})
    out, err = p.communicate(identity if key is None else key, timeout=60)
    r = Result(t.out, p.returncode, out, err)
    for text in (r.err, r.stdout, r.file("setup.log"), r.file("events.ndjson"),
                 r.file("result.json"), r.answer):
        for value in (values or {"TOKEN": TOKEN, "OTHER": OTHER}).values():
            assert value not in text, "a secret in the clear: " + text[-600:]
            assert base64.b64encode(value.encode()).decode()[:-4] not in text, text[-600:]
    return r


@case
def setup_has_them_and_the_agent_has_not():
    r = run('printf %%s "$TOKEN$OTHER" | md5sum | grep -q %s && echo right; echo "$TOKEN"; '
            'echo $OTHER | base64' % hashlib.md5((TOKEN + OTHER).encode()).hexdigest(), "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'").expect(0)
    assert "right\n***\n" in r.file("setup.log"), r.file("setup.log")
    assert "TOKEN=" not in r.answer and r.event("leak_scan")[0]["leaks"] == 0, r.answer


@case
def a_value_that_setup_wrote_ends_the_task_with_72():
    for write in ('echo "//registry/:_authToken=$TOKEN" > ~/.npmrc',
                  'echo $OTHER | base64 > /var/x', 'echo $TOKEN | gzip > /var/tmp/x.gz'):
        r = run(write, "touch ran").expect(72)
        assert r.result["agent"]["ran"] is False and "leak" in r.reason(), r.result


@case
def a_leak_may_be_removed_or_allowed_or_only_named():
    write = 'echo $TOKEN > /root/left'
    r = run(write, "test ! -e /root/left && echo gone", secrets={"on_leak": "remove"}).expect(0)
    assert r.answer == "gone\n", r.answer
    r = run(write, "test -s /root/left && echo there", secrets={"on_leak": "warn"}).expect(0)
    assert r.answer == "there\n" and r.event("leak"), r.events
    run(write, secrets={"allow_leak": ["/root/left"]}).expect(0)


@case
def a_process_that_keeps_them_is_ended_before_the_scan():
    r = run("(setsid sleep 300 &) ; (trap '' TERM; exec setsid sleep 301) & sleep 0.1",
            "ps ax | grep -c '[s]leep 30'; true").expect(0)
    assert r.answer == "0\n" and r.result["leftovers"]["setup"] >= 2, (r.answer, r.result)


@case
def the_scripts_failure_is_its_own_with_its_line():
    r = run('set -e\ntrue\nls "/$TOKEN"\n').expect(71)
    assert "line 3: ls" in r.reason() and "***" in r.file("setup.log"), r.reason()


@case
def the_key_comes_in_a_variable_too_and_is_gone():
    t = Task()
    path, identity = sealed(t, {"TOKEN": TOKEN})
    key = [w for w in identity.decode().split() if w.startswith("AGE-SECRET")][0]
    os.rename(path, t.out + "/secrets.age")
    spec = t.spec("env | grep -c AGE-SECRET; true", 'test -n "$TOKEN"', repo={"url": None},
                  secrets={"sealed": t.out + "/secrets.age"})
    spec["repo"] = {"dir": "/workspace/app"}
    t.spec = lambda *a, **k: spec
    p = t.start(options=["--box", make_rootfs()],
                popen={"stdin": subprocess.DEVNULL, "env": dict(os.environ, AIRLOCK_KEY=key)})
    out, err = p.communicate(timeout=60)
    assert p.returncode == 0 and out == b"0\n", (p.returncode, out, err[-800:])
    assert key.encode() not in err


@case
def what_a_rule_injects_is_nobodys_but_the_proxys():
    rule = {"host": "api.example.test", "inject": {"header": "Authorization",
                                                   "value": "Bearer ${TOKEN}"}}
    r = run('echo "setup $TOKEN $OTHER"', 'echo "agent $TOKEN $OTHER"',
            network={"agent": "limited", "rules": [rule]}).expect(0)
    words = r.answer.split()
    assert words[0] == "agent" and len(words) == 2 and words[1] != TOKEN, r.answer
    assert len(words[1]) == len(TOKEN), "a placeholder has the value's shape: " + r.answer
    assert "setup %s ***" % words[1] in r.file("setup.log"), r.file("setup.log")


@case
def a_wrong_or_missing_key_is_one_clear_line():
    other = subprocess.run([AIRLOCK, "secret", "keygen"], capture_output=True).stdout
    r = run("touch /ran", key=other)
    assert r.code == 78 and "secrets:" in r.reason(), (r.code, r.reason())
    r = run("touch /ran", key=b"nonsense\n")
    assert r.code in (75, 78) and "secrets:" in r.reason(), (r.code, r.reason())
    r = run("touch /ran", secrets={"sha256": "0" * 64})
    assert r.code == 78 and "secrets:" in r.reason(), (r.code, r.reason())
    r = run("touch /ran", secrets={"names": ["ANOTHER"]})
    assert r.code == 78 and "secrets:" in r.reason(), (r.code, r.reason())


@case
def a_locked_setup_has_them_too():
    for mode, lock in (("off", "closed"), ("off", "netns"), ("off", "notify"), ("off", "netfilter"),
                       ("limited", "netns"), ("limited", "notify"), ("limited", "netfilter")):
        r = run('echo "have $TOKEN"; curl -sS -m 3 http://192.0.2.1/ 2>&1 | head -c 300; '
                'curl -sf -m 3 -o /dev/null http://192.0.2.1/ && echo OUT; '
                'echo "$OTHER" > /dev/shm/x; rm /dev/shm/x; echo A=b >> $AIRLOCK_ENV',
                "echo $A${TOKEN-none}", network={"setup": mode, "agent": "off", "lock": lock},
                popen={"preexec_fn": own_network})
        r.expect(0)
        log = r.file("setup.log")
        assert log.startswith("have ***\n") and "OUT" not in log, (mode, lock, log)
        assert r.answer == "bnone\n", r.answer
        assert r.event("lock")[0]["setup_lock"] == lock, r.event("lock")
        assert r.event("leak_scan")[0]["leaks"] == 0


@case
def a_locked_setup_that_leaks_or_fails_says_so():
    locked = {"setup": "off", "agent": "off"}
    r = run('echo "$TOKEN" > /root/x', network=locked).expect(72)
    r = run('true\nls "/$TOKEN"\nexit 73', network=locked).expect(71)
    assert "ended with exit 73" in r.reason(), r.reason()


@case
def a_session_over_its_time_is_71():
    t_limit = {"script": "echo $TOKEN; sleep 60", "timeout_s": 1}
    t = Task()
    path, identity = sealed(t, {"TOKEN": TOKEN})
    os.rename(path, t.out + "/secrets.age")
    spec = t.spec("true", None, repo={"url": None}, secrets={"sealed": t.out + "/secrets.age"})
    spec["repo"], spec["setup"] = {"dir": "/workspace/app"}, t_limit
    t.spec = lambda *a, **k: spec
    p = t.start(options=["--box", make_rootfs()], popen={"stdin": subprocess.PIPE})
    _, err = p.communicate(identity, timeout=60)
    assert p.returncode == 71 and b"took over 1 s" in err, (p.returncode, err[-600:])
    assert TOKEN.encode() not in err


main()
