#!/usr/bin/python3
"""Secrets in a whole task: setup has them, the log does not, nobody has them afterwards.

In a box over build/rootfs, a small Debian: the scan for leaks looks at every file."""
import base64
import ctypes
import gzip
import hashlib
import json
import os
import pty
import resource
import socket
import subprocess
import tempfile
import termios

from engines import make_rootfs
from lib import AIRLOCK, case, children, main, skip, until
from task import Result, Task, sealed

TOKEN = "tok-Zq8yXw4vUt2sRr0p"
OTHER = "other-6bN1mK9jH3gF5d"


def own_network():
    """Runs in the child: a network that is shared with nobody, for the netfilter lock."""
    assert ctypes.CDLL(None).unshare(0x40000000) == 0 and os.system("ip link set lo up") == 0


def served_network():
    """The same, and in it a server that answers whoever gets out."""
    libc = ctypes.CDLL(None)
    own_network()
    assert os.system("ip addr add 192.0.2.1/32 dev lo") == 0
    listener = socket.create_server(("192.0.2.1", 80))
    if os.fork():
        return listener.close()
    libc.prctl(1, 9)  # with its parent, which airlock becomes
    os.closerange(0, listener.fileno())
    os.closerange(listener.fileno() + 1, 4096)
    while True:
        peer, _ = listener.accept()
        peer.recv(4096)
        peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nOUT\n")
        peer.close()


class Started:
    """A task in a box, and the secrets that must be nowhere in what came of it."""

    def __init__(self, setup, agent="true", values=None, key=None, secrets=None, env=None,
                 popen=None, change=None, out=None, files=None, timeout_s=15, **more):
        """change: what becomes of the sealed file's bytes. key: False: it never comes. files:
        what else lies in OUT, which the script may name."""
        if os.geteuid():
            skip("needs root to show the sealed file in a box")
        self.t = t = Task()
        self.values = values or {"TOKEN": TOKEN, "OTHER": OTHER}
        if out:
            t.out = out
        path, self.identity = sealed(t, self.values)
        inside = t.out + "/secrets.age"  # OUT is the one folder of the host in a box
        with open(path, "rb") as f:
            whole = f.read()
        with open(inside, "wb") as f:
            f.write(change(whole) if change else whole)
        self.sealed = inside
        spec = t.spec(agent, setup, repo={"url": None, "ref": None},
                      secrets=dict({"sealed": inside}, **(secrets or {})), **more)
        spec["repo"] = {"dir": "/workspace/app"}
        spec["setup"] = {"script": setup.replace("OUT", t.out), "timeout_s": timeout_s}
        for name, content in (files or {}).items():
            with open(t.out + "/" + name, "wb") as f:
                f.write(content)
        t.spec = lambda *a, **k: spec
        self.p = t.start(options=["--box", make_rootfs()],
                         popen={"stdin": subprocess.PIPE, "env": dict(os.environ, **(env or {})),
                                **(popen or {})})
        # communicate() would close it.
        self.held = os.dup(self.p.stdin.fileno()) if key is False and self.p.stdin else -1
        if key is not False:
            try:
                self.p.stdin.write(self.identity if key is None else key)
                self.p.stdin.close()
            except BrokenPipeError:
                pass
            self.p.stdin = None

    def inside(self, name):
        """The pid of the process of that name in the box."""
        def find():
            queue = [self.p.pid]
            while queue:
                pid = queue.pop()
                try:
                    with open("/proc/%d/cmdline" % pid, "rb") as f:
                        if f.read().split(b"\0")[0] == name.encode():
                            return pid
                except OSError:
                    pass
                queue += children(pid)
        return until(find, name + " runs")

    def log(self):
        try:
            with open(self.t.out + "/setup.log") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait(self):
        """Its result; no value, and not the key, is in anything that it left or said."""
        out, err = self.p.communicate(timeout=60)
        if self.held >= 0:
            os.close(self.held)
        r = Result(self.t.out, self.p.returncode, out, err)
        key = [l for l in self.identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
        texts = [r.err, r.stdout] + [r.file(name) for name in os.listdir(self.t.out)]
        for text in texts:
            for value in [*self.values.values(), key]:
                assert value not in text, "a secret in the clear: " + text[-600:]
                assert base64.b64encode(value.encode()).decode()[:-4] not in text, text[-600:]
        return r

    def refused(self, code, *words):
        """No agent, one line that says why."""
        r = self.wait()
        assert r.code == code, (r.code, r.err[-900:])
        assert r.result["agent"]["ran"] is False and r.answer == "", r.result
        for word in words:
            assert word in r.reason(), r.reason()
        errors = [l for l in r.err.splitlines() if l.startswith("airlock: error: ")]
        assert len(errors) == 1, errors
        return r


def run(*arguments, **options):
    return Started(*arguments, **options).wait()


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
    r = run("(setsid sleep 300 &) ; (trap '' TERM; exec setsid sleep 301) & "
            "until [ $(ps -C sleep -o args= | grep -c 'sleep 30') = 2 ]; do :; done",
            "ps ax | grep -c '[s]leep 30'; true").expect(0)
    assert r.answer == "0\n" and r.result["leftovers"]["setup"] >= 2, (r.answer, r.result)


PACKED = {"z.gz": gzip.compress(bytes(1 << 24)) * 40}  # 640 MB: a second or more of scan


@case
def nobody_writes_while_the_scan_looks():
    r = run("setsid bash -c 'sleep 0.4; echo $TOKEN > /root/late; sleep 50' & cp OUT/z.gz /root/",
            "test ! -e /root/late && echo nothing", files=PACKED).expect(0)
    assert r.answer == "nothing\n" and r.event("leak_scan")[0]["took_ms"] > 500, r.events


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
def the_key_comes_by_an_inherited_descriptor():
    r, w = os.pipe()
    s = Started("ls /proc/self/fd | tr '\\n' ' '; echo ${AIRLOCK_KEY_FD-none} $TOKEN", key=b"",
                env={"AIRLOCK_KEY_FD": str(r)}, popen={"pass_fds": [r]})
    os.close(r)
    os.write(w, s.identity)
    os.close(w)
    r = s.wait().expect(0)
    assert r.file("setup.log") == "0 1 2 3 none ***\n", r.file("setup.log")


@case
def the_key_is_typed_at_a_terminal_that_does_not_show_it():
    ours, theirs = pty.openpty()
    s = Started("echo have $TOKEN", key=False, popen={"stdin": theirs, "start_new_session": True})
    until(lambda: not termios.tcgetattr(theirs)[3] & termios.ECHO, "echo off")
    key = [l for l in s.identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
    os.write(ours, key.encode() + b"\n")
    s.wait().expect(0)
    shown = os.read(ours, 65536)
    assert termios.tcgetattr(theirs)[3] & termios.ECHO, "echo stays off"
    os.close(ours)
    os.close(theirs)
    assert key.encode() not in shown and b"key" in shown, shown


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
def a_locked_setup_has_them_too():
    for mode, lock in (("off", "closed"), ("off", "netns"), ("off", "notify"), ("off", "netfilter"),
                       ("limited", "netns"), ("limited", "notify"), ("limited", "netfilter")):
        r = run('echo "have $TOKEN"; curl -sS -m 3 http://192.0.2.1/ 2>&1 | head -c 300; '
                'curl -sS -m 3 --noproxy "*" http://192.0.2.1/ 2>&1 | head -c 300; '
                'grep Seccomp: /proc/self/status; echo "$OTHER" > /dev/shm/x; rm /dev/shm/x; echo A=b >> $AIRLOCK_ENV',
                "echo $A${TOKEN-none}", network={"setup": mode, "agent": "off", "lock": lock},
                popen={"preexec_fn": own_network if lock == "netfilter" else served_network})
        r.expect(0)
        log = r.file("setup.log")
        assert log.startswith("have ***\n") and "Seccomp:\t2\n" in log, (mode, lock, log)
        # Under notify the network's own addresses are connected for real.
        assert lock == "notify" or "OUT" not in log, (mode, lock, log)
        assert r.answer == "bnone\n", r.answer
        assert r.event("lock")[0]["setup_lock"] == lock, r.event("lock")
        assert r.event("leak_scan")[0]["leaks"] == 0


@case
def an_open_setup_gets_out_of_the_same_network():
    r = run('curl -sS -m 3 --noproxy "*" http://192.0.2.1/; grep Seccomp: /proc/self/status',
            popen={"preexec_fn": served_network})
    assert r.expect(0).file("setup.log") == "OUT\nSeccomp:\t0\n", r.file("setup.log")


@case
def a_locked_setup_that_leaks_or_fails_says_so():
    locked = {"setup": "off", "agent": "off"}
    r = run('echo "$TOKEN" > /root/x', network=locked).expect(72)
    r = run('true\nls "/$TOKEN"\nexit 73', network=locked).expect(71)
    assert "ended with exit 73" in r.reason(), r.reason()


@case
def a_session_over_its_time_is_71():
    r = run("echo $TOKEN; sleep 60", timeout_s=1).expect(71)
    assert "took over 1 s" in r.reason(), r.reason()


@case
def the_sealed_file_goes_where_the_spec_says_so():
    s = Started("test -n $TOKEN", secrets={"unlink": True})
    s.wait().expect(0)
    assert not os.path.exists(s.sealed)
    s = Started("test -n $TOKEN")
    s.wait().expect(0)
    assert os.path.exists(s.sealed)


@case
def a_rule_that_injects_needs_a_network():
    Started("true", network={"setup": "off", "agent": "off", "rules": [
        {"host": "a.test", "inject": {"header": "A", "value": "${TOKEN}"}}]}).refused(78, "off")


# --- faults ------------------------------------------------------------------------------------

@case
def a_wrong_or_missing_key_is_one_clear_line():
    other = subprocess.run([AIRLOCK, "secret", "keygen"], capture_output=True).stdout
    Started("touch /ran", key=other).refused(78, "secrets:", "not sealed for this key")
    Started("touch /ran", key=b"nonsense\n").refused(78, "secrets:", "key")
    Started("touch /ran", key=b"").refused(78, "secrets:", "no key")
    Started("touch /ran", secrets={"sha256": "0" * 64}).refused(78, "secrets:", "sha256")
    Started("touch /ran", secrets={"names": ["ANOTHER"]}).refused(78, "secrets:", "names")


@case
def a_changed_or_cut_file_is_78():
    for cut in (0, 30, 200, -1):
        Started("true", change=lambda b: b[:cut]).refused(78, "secrets:")
    for at in (5, 60, 150, 210, -1):  # the version, a stanza, the MAC, the nonce, the payload
        def flip(b):
            return b[:at] + bytes([b[at] ^ 1]) + (b[at + 1:] if at != -1 else b"")
        Started("true", change=flip).refused(78, "secrets:")


@case
def a_key_that_never_comes_is_75():
    s = Started("true", key=False, secrets={"key_timeout_s": 1})
    s.refused(75, "secrets:", "in time")
    s = Started("true", key=False, secrets={"key_timeout_s": 1})
    s.p.stdin.write(s.identity[:100])  # some of it
    s.p.stdin.flush()
    s.refused(75, "secrets:", "in time")


@case
def killed_at_any_step_it_is_75():
    s = Started("true", key=False)
    os.kill(s.inside("airlock-unseal"), 9)
    s.refused(75, "airlock-unseal ended before its time")
    # By the session itself; from outside, while that runs; in the scan, of a large gzip.
    Started("kill -9 $PPID; sleep 60").refused(75, "airlock-unseal ended before its time")
    s = Started("echo $TOKEN; sleep 60")
    until(lambda: "***" in s.log(), "the session")
    os.kill(s.inside("airlock-unseal"), 9)
    s.refused(75, "airlock-unseal ended before its time")
    s = Started("cp OUT/z.gz /root/; echo up", files=PACKED)
    until(lambda: "up" in s.log(), "the session")
    unseal = s.inside("airlock-unseal")
    until(lambda: not children(unseal), "its end")
    os.kill(unseal, 9)
    s.refused(75, "airlock-unseal ended before its time")


@case
def a_full_disk_shows_no_secret():
    d = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k,mode=1777", "none", d], check=True)
    try:
        r = run("for i in $(seq 4000); do echo $i $TOKEN $TOKEN $TOKEN; done", "echo done", out=d)
        assert r.code in (0, 74), (r.code, r.err[-600:])
    finally:
        subprocess.run(["umount", "-l", d], check=True)
        os.rmdir(d)


@case
def memory_that_can_not_be_locked_is_told_or_refused():
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    with open("/proc/swaps") as f:
        swap = len(f.readlines()) > 1
    r = Started("echo $TOKEN", popen={"preexec_fn": limit})
    if swap:
        r.refused(75, "swaps")
    else:
        r = r.wait().expect(0)
        assert r.event("secrets")[0]["memory"] in ("hidden", "locked", "ordinary"), r.events


main()
