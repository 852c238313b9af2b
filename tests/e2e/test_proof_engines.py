#!/usr/bin/python3
"""In a real engine's container no secret is anywhere once setup has ended: seen from the host."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

import proof
from engines import Docker, Podman
from lib import case, compiled, main, skip
from unsealed import _directories, keys, seal

ENGINES = [Docker(), Podman()]
WHY = {e.name: e.available() for e in ENGINES}  # before any case's clock runs
TOKEN = "tok_" + base64.urlsafe_b64encode(os.urandom(27)).decode().replace("-", "x")
SCRIPT = """echo up $TOKEN; (sleep 40; echo $TOKEN) & sleep 50 &
            printf %s "$TOKEN" | base64; echo "$TOKEN" > /tmp/was-here; rm /tmp/was-here
            until [ -e /airlock/go ]; do sleep 0.1; done; LEAK true"""


def pid_of(word):
    """PID 1 of the container whose command line has this word."""
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % name, "rb") as f:
                command = f.read().split(b"\0")
            with open("/proc/%s/status" % name) as f:
                last = [l.split()[-1] for l in f if l.startswith("NSpid:")]
        except (OSError, ValueError):
            continue
        if last == ["1"] and command[0] == b"/standin" and word.encode() in b" ".join(command):
            return int(name)
    raise AssertionError("no container")


def task(engine, user, caps, leak="", options=()):
    if WHY[engine.name]:
        skip(WHY[engine.name])
    d = tempfile.mkdtemp(prefix="airlock-proof-")
    _directories.append(d)
    os.chmod(d, 0o777)
    shutil.copy(compiled("standin.c"), d + "/standin")
    identity, recipient = keys()
    name = os.path.basename(d) + ".age"
    with open(d + "/" + name, "wb") as f:
        f.write(seal(json.dumps({"TOKEN": TOKEN}).encode(), recipient))
    os.chmod(d + "/" + name, 0o644)
    p = engine.start(["/standin", "/usr/libexec/airlock/airlock-unseal", "--visible-memory",
                      "--sealed", "/airlock/" + name, *options, "--", "bash", "-c",
                      SCRIPT.replace("LEAK", leak)], user=user, caps=caps,
                     mounts=[(d, "/airlock", True), (d + "/standin", "/standin", False)],
                     stdin=subprocess.PIPE)
    try:
        p.stdin.write(identity)
        p.stdin.close()
        line = p.stdout.readline()
        assert line == b"session\n", (line, p.stderr.read())
        pid = pid_of(name)
        during = proof.look(pid, {"TOKEN": TOKEN}, files=False)
        assert [f for f in during if f[1] == "TOKEN"], "the scanner is blind"
        since = time.time() - 10
        with open(d + "/go", "w"):
            pass
        line = p.stdout.readline()
        assert line == b"agent 0\n", (line, p.stderr.read())
        key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
        return proof.look(pid, {"TOKEN": TOKEN, "KEY": key[16:]}, since=since)
    finally:
        p.kill_pid1(9)
        p.wait(10)
        p.stdout.close()
        p.stderr.close()


def nothing(engine, user, caps):
    found = [f for f in task(engine, user, caps) if f[1]]
    assert not found, found


@case
def docker_default():
    nothing(ENGINES[0], "root", "default")


@case
def docker_without_a_right():
    nothing(ENGINES[0], "1000", "none")


@case
def podman_default():
    nothing(ENGINES[1], "root", "default")


@case
def what_is_left_on_purpose_is_found():
    found = task(ENGINES[0], "root", "default", 'echo "$TOKEN" | base64 > /root/left;',
                 ["--on-leak", "warn"])
    assert ("file /root/left", "TOKEN", "base64") in found, found


main()
