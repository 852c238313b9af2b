#!/usr/bin/python3
"""In a whole task no secret is anywhere once setup has ended: seen from the host, as its root.

Docker as it comes, Docker without a right, Podman, and a box. The agent waits while every
process, every file and the engine's own folder are searched. One secret is injected by a
rule: that one the proxy must have, and nobody else; so the scanner is known to see."""
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import engines
import lib
import proof
from engines import Docker, Podman, make_rootfs
from lib import AIRLOCK, case, main, skip, start, until
from unsealed import _directories, keys, seal

lib.TIMEOUT_S = 60
ENGINES = {"docker": Docker(), "podman": Podman()}
WHY = {name: e.available() for name, e in ENGINES.items()}  # before any case's clock runs


def value():
    """Another one each time: nothing that was here before knows it."""
    return "tok_" + base64.urlsafe_b64encode(os.urandom(27)).decode().replace("-", "x")


SETUP = """
echo up $TOKEN $PEM; (sleep 50; echo $TOKEN) & setsid sleep 51 & nohup sleep 52 > /dev/null &
printf %s "$TOKEN" | base64; cat <<< "$TOKEN" > /dev/null; export COPY=$TOKEN; bash -c 'echo $COPY'
echo "$TOKEN" > /tmp/was-here; rm /tmp/was-here; python3 -c 'import os; print(os.environ["TOKEN"])'
mkfifo /tmp/f; (sleep 53 < /tmp/f) & (echo "$TOKEN" > /tmp/f; sleep 54) &
touch OUT/up; until [ -e OUT/go ]; do sleep 0.05; done; LEAK
"""
AGENT = "touch OUT/work; until [ -e OUT/end ]; do sleep 0.05; done; env | grep -c TOKEN; true"


def pid_of(spec):
    """PID 1 of the container whose command line has this word."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/status" % name) as f:
                last = [l.split()[-1] for l in f if l.startswith("NSpid:")]
        except OSError:
            continue
        if last == ["1"] and spec.encode() in words:
            return int(name)
    raise AssertionError("no container")


class Run:
    """A task that stands still in setup (until go) and at work (until end)."""

    def __init__(self, where, user="root", caps="default", leak="", network=None, **secrets):
        self.values = {"TOKEN": value(), "INJECTED": value(), "PEM": "-----BEGIN X-----\n%s\n%s\n"
                       "-----END X-----\n" % (value(), value())}
        self.dir = tempfile.mkdtemp(prefix="airlock-proof-")
        _directories.append(self.dir)
        self.here = self.dir + "/out"
        os.mkdir(self.here)
        os.chmod(self.here, 0o777)
        os.chmod(self.dir, 0o755)
        box = where == "box"
        out = self.here if box else "/airlock/out"
        identity, recipient = keys()
        self.key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
        with open(self.here + "/secrets.age", "wb") as f:
            f.write(seal(json.dumps(self.values).encode(), recipient))
        os.chmod(self.here + "/secrets.age", 0o644)
        rule = {"host": "api.example.test", "inject": {"header": "Authorization",
                                                       "value": "Bearer ${INJECTED}"}}
        task = {"version": 1, "output": {"dir": out},
                "secrets": dict({"sealed": out + "/secrets.age"}, **secrets),
                "setup": {"script": SETUP.replace("OUT", out).replace("LEAK", leak or "true")},
                "network": dict({"agent": "limited", "rules": [rule]}, **(network or {})),
                "agent": {"command": ["bash", "-c", AGENT.replace("OUT", out)]}}
        name = os.path.basename(self.dir) + ".json"
        with open(self.dir + "/" + name, "w") as f:
            json.dump(task, f)
        os.chmod(self.dir + "/" + name, 0o644)
        self.since = time.time() - 3
        if box:
            spec = self.dir + "/" + name
            self.process = start([AIRLOCK, "run", "--box", make_rootfs(), spec])
        else:
            spec = "/airlock/" + name
            self.process = ENGINES[where].start(
                ["airlock", "run", spec], user=user, caps=caps, stdin=subprocess.PIPE,
                mounts=[(self.here, out, True), (self.dir + "/" + name, spec, False)])
        self.process.stdin.write(identity)
        self.process.stdin.close()
        self.process.stdin = None
        self.until("up")
        self.pid = pid_of(spec)

    def until(self, name):
        def there():
            if self.process.poll() is not None:
                raise AssertionError("ended: %s" % self.process.stderr.read()[-1500:])
            return os.path.exists(self.here + "/" + name)
        until(there, name, 30)

    def say(self, name):
        with open(self.here + "/" + name, "w"):
            pass

    def look(self, **options):
        # Less the key's beginning, which is no secret.
        return proof.look(self.pid, dict(self.values, KEY=self.key[16:]), **options)

    def end(self):
        self.say("end")
        out, err = self.process.communicate(timeout=30)
        for text in [out, err] + [open(self.here + "/" + n, "rb").read()
                                  for n in os.listdir(self.here)]:
            for one in self.values.values():
                assert one.split("\n")[0 if "\n" not in one else 1].encode() not in text, text
        return self.process.returncode


def judge(found):
    """What is not as it should be: the injected one in the proxy's memory."""
    return [f for f in found if not (f[1] == "INJECTED" and "(airlock-proxy) memory" in f[0])]


def proves(*arguments, **options):
    where = arguments[0]
    if os.getuid():
        skip("needs root")
    if WHY.get(where):
        skip(WHY[where])
    r = Run(*arguments, **options)
    try:
        during = r.look(files=False)
        assert {"TOKEN", "PEM"} <= {f[1] for f in during if "(bash)" in f[0]}, during
        # PID 1 never has any, and the key is gone as soon as it has opened the file.
        assert not [f for f in during if f[1] == "KEY" or "(airlock-run)" in f[0]], during
        r.say("go")
        r.until("work")
        found = r.look(since=r.since)
        seen = [f for f in found if f[1] == "INJECTED"]
        assert seen, "the scanner is blind: the proxy has it"
        assert not judge(found), judge(found)
        if where == "docker":
            folder = proof.Look(dict(r.values, KEY=r.key[16:]))
            proof.look_files(folder, os.getpid(), r.since, top=engines.temp() + "/docker/containers")
            assert not folder.findings and folder.bytes, folder.findings
        code = r.end()
        assert code == 0, code
    finally:
        if r.process.poll() is None and where != "box":
            r.process.kill_pid1(signal.SIGKILL)


@case
def docker_as_it_comes():
    proves("docker")


@case
def docker_without_a_right():
    proves("docker", "1000", "none")


@case
def docker_with_a_locked_setup():
    proves("docker", network={"setup": "limited"})


@case
def podman_as_it_comes():
    proves("podman")


@case
def a_box():
    proves("box")


@case
def a_box_whose_setup_is_locked():
    proves("box", network={"setup": "limited", "lock": "netns"})


@case
def what_is_left_on_purpose_is_found():
    if WHY["docker"]:
        skip(WHY["docker"])
    r = Run("docker", leak='echo "$TOKEN" | base64 > /root/left', on_leak="warn")
    try:
        r.say("go")
        r.until("work")
        found = judge(r.look(since=r.since))
        assert found == [("file /root/left", "TOKEN", "base64")], found
    finally:
        r.process.kill_pid1(signal.SIGKILL)
        r.process.communicate(timeout=20)


# --- how the key comes in ------------------------------------------------------------------------

class Delivery:
    """One short task in Docker. /airlock is a directory in the host's memory."""

    def __init__(self, **secrets):
        if WHY["docker"]:
            skip(WHY["docker"])
        self.dir = tempfile.mkdtemp(prefix="airlock-key-", dir="/dev/shm")
        _directories.append(self.dir)
        identity, recipient = keys()
        self.identity, self.token = identity, value()
        self.key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
        # As Kubernetes lays a secret volume out: links, and a folder that is replaced as one.
        self.volume = self.dir + "/volume"
        os.makedirs(self.volume + "/..2026")
        with open(self.volume + "/..2026/app.age", "wb") as f:
            f.write(seal(json.dumps({"TOKEN": self.token}).encode(), recipient))
        os.symlink("..2026", self.volume + "/..data")
        os.symlink("..data/app.age", self.volume + "/app.age")
        self.airlock = self.dir + "/airlock"
        os.makedirs(self.airlock + "/out")
        with open(self.dir + "/task.json", "w") as f:
            json.dump({"version": 1, "output": {"dir": "/airlock/out"},
                       "secrets": dict({"sealed": "/run/secrets/app.age"}, **secrets),
                       "setup": {"script": "echo have $TOKEN"},
                       "agent": {"command": ["bash", "-c", "env; tr '\\0' '\\n' < /proc/1/environ; "
                                             "cat /airlock/key /run/airlock/key; true"]}}, f)

    def run(self, options=(), stdin=subprocess.DEVNULL, during=None):
        process = ENGINES["docker"].start(
            ["airlock", "run", "/task.json"], stdin=stdin,
            mounts=[(self.airlock, "/airlock", True), (self.volume, "/run/secrets", False),
                    (self.dir + "/task.json", "/task.json", False), *options])
        if during:
            during()
        out, self.err = process.communicate(timeout=40)
        with open(self.airlock + "/out/result.json") as f:
            self.reason = json.load(f)["reason"]
        for text in [out, self.err] + [open(self.airlock + "/out/" + n, "rb").read()
                                       for n in os.listdir(self.airlock + "/out")]:
            assert self.token.encode() not in text, text
        self.text = (out + self.err).decode()
        return process.returncode

    def had_them(self, *arguments, **options):
        code = self.run(*arguments, **options)
        with open(self.airlock + "/out/setup.log") as f:
            assert code == 0 and "have ***\n" in f.read(), (code, self.err[-900:])
        return self


@case
def a_fifo_or_socket_or_file_in_memory_is_emptied():
    d = Delivery()
    os.mkfifo(d.airlock + "/key")
    d.had_them(during=lambda: open(d.airlock + "/key", "wb").write(d.identity))
    assert not os.path.lexists(d.airlock + "/key") and d.key not in d.text
    d = Delivery()
    with open(d.airlock + "/key", "wb") as f:
        f.write(d.identity)
    copy = open(d.airlock + "/key", "rb")  # whoever had it open already
    d.had_them()
    assert not os.path.lexists(d.airlock + "/key") and d.key not in d.text
    assert not copy.read().strip(b"\0"), "unlinked and not overwritten"
    d = Delivery()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(d.airlock + "/key")
        os.chmod(d.airlock + "/key", 0o777)
        server.listen(1)
        server.settimeout(30)

        def say():
            peer, _ = server.accept()
            with peer:
                peer.sendall(d.identity)
        d.had_them(during=say)
        assert not os.path.lexists(d.airlock + "/key") and d.key not in d.text


@case
def a_key_that_would_stay_is_refused_unless_the_spec_allows_it():
    for allowed in (False, True):
        d = Delivery(key_may_stay=allowed)
        with open(d.dir + "/key", "wb") as f:
            f.write(d.identity)
        mounts = [(d.dir + "/key", "/airlock/key", False)]
        if allowed:
            d.had_them(mounts)
            assert "stays readable at /airlock/key" in d.text, d.text
        else:
            assert d.run(mounts) == 78 and "/airlock/key" in d.reason, d.reason


@case
def a_key_in_a_variable_is_warned_about_and_overwritten():
    d = Delivery()
    extra, Docker.extra = Docker.extra, ["-e", "AIRLOCK_KEY=" + d.key]
    try:
        d.had_them()
    finally:
        Docker.extra = extra
    assert "the engine keeps it" in d.text and d.key not in d.text, d.text


@case
def no_key_at_all_says_how_one_could_come():
    d = Delivery()
    assert d.run() == 78 and "docker run -i" in d.reason and "/airlock/key" in d.reason, d.reason


main()
