#!/usr/bin/python3
"""A pull request from a container of docker and podman: under the lock that its rights give, over
a cable to a forge. The agent has the rights of the container, and never the token."""
import netlab
netlab.enter()

import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402

from engines import Docker, Podman, layer, rootfs, stop_engines  # noqa: E402
from forge import BRANCH, CHANGE, TOKEN, Forge, fresh, remote, spec, told_nothing  # noqa: E402
from git_server import authority  # noqa: E402
import lib  # noqa: E402
from lib import case, main, skip, until  # noqa: E402
from netlab import ALLOWED  # noqa: E402
from task import Result, Task  # noqa: E402
from world import WAIT, first_process  # noqa: E402

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon

INSIDE = """ip link set lo up; ip addr add 10.50.0.2/24 dev eth0; ip link set eth0 up
ip route add default via 10.50.0.1"""
# Looks everywhere that it may for the token, while it works; this text itself has it in two.
CURIOUS = CHANGE + """
env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /airlock/task.json .git/config | tr '\\0' '\\n'
a=%s b=%s; grep -rsl "$a$b" /tmp /workspace /root /run /airlock && echo FO''UND; true
""" % (TOKEN[4:12], TOKEN[12:20])


def wire(pid):
    subprocess.run(["sh", "-ec", "ip link add cable type veth peer name eth0 netns %d\n"
                    "ip addr add 10.50.0.1/24 dev cable; ip link set cable up" % pid], check=True)
    subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % pid, "sh", "-ec", INSIDE], check=True)


def push(engine, lock, user="root", caps="default", flags=()):
    why = engine.available()
    if why:
        skip(why)
    merged = rootfs()
    with open(merged + "/etc/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n")
    layer()
    fresh()
    t = Task()
    uid = 1000 if user == "1000" else 0
    told, identity = spec(t, CURIOUS, ca="/airlock/own-ca.pem")
    told["output"]["dir"] = "/airlock/out"
    told["secrets"]["sealed"] = "/airlock/out/secrets.age"
    for name, text in (("task.json", json.dumps(told)), ("own-ca.pem", authority()),
                       ("hosts", "127.0.0.1 localhost\n%s git.example\n" % ALLOWED)):
        with open(t.dir + "/" + name, "w") as f:
            f.write(text)
    os.chown(t.out, uid, uid)
    token = "push-%d-%s" % (os.getpid(), lock)
    argv = engine.argv(token, ["sh", "-c", WAIT + 'exec "$@"', token, "airlock", "run",
                               "/airlock/task.json"], user=user, caps=caps, readonly=False, tty=False,
                       mounts=[(None, "/workspace", True), (None, "/tmp", True),
                               (t.dir, "/airlock", False), (t.out, "/airlock/out", True),
                               (t.dir + "/hosts", "/etc/hosts", False)])
    at = argv.index("--name")
    p = lib.start([*argv[:at], *flags, *argv[at:]], stdin=subprocess.PIPE)
    until(lambda: first_process(token) or p.poll() is not None, "a container", 40)
    assert p.poll() is None, p.stderr.read()
    wire(first_process(token))
    out, err = p.communicate(identity, timeout=60)
    r = Result(t.out, p.returncode, out, err).expect(0)
    assert r.event("lock")[0]["lock"] == lock, r.event("lock")
    got = r.result["pull_request"]
    assert (got["pushed"], got["state"], got["number"]) == (True, "open", 1), got
    assert got["commit"] == remote("rev-parse", BRANCH) and len(Forge.pulls) == 1
    assert remote("show", BRANCH + ":n.txt") == "new"
    log = r.file("agent.log") + r.answer
    assert "FOUND" not in log and "PATH=" in log, log[-600:]
    for name in os.listdir(t.out):
        if os.path.isfile(t.out + "/" + name):
            told_nothing(r.file(name).encode("utf-8", "surrogateescape"), name)
    told_nothing(out + err, "output")


docker, podman = Docker(), Podman()


@case
def docker_as_it_is():
    push(docker, "notify")


@case
def docker_with_net_admin():
    push(docker, "netfilter", flags=["--cap-add", "NET_ADMIN"])


@case
def docker_without_any_right():
    push(docker, "notify", user="1000", caps="none")


@case
def podman_as_it_is():
    push(podman, "netns")


try:
    main()
finally:
    stop_engines()
