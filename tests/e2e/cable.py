"""tests/e2e/cable.py - a task in a container of docker or podman, with a cable to this process.

    cable.ready(engine)                or the case is skipped with the reason
    r = cable.run(engine, t, spec)     its Result; @spec names OUT as t.out

The container has no other network: its way to everywhere is HERE, in the network namespace of
the test (netlab.enter() or alone()). /airlock is t.dir, and names are t.dir's hosts.
"""
import json
import os
import subprocess

import lib
from engines import layer, rootfs
from task import Result
from world import WAIT, first_process

HERE = "10.50.0.1"
INSIDE = """ip link set lo up; ip addr add 10.50.0.2/24 dev eth0; ip link set eth0 up
ip route add default via """ + HERE


def ready(engine):
    why = engine.available()
    if why:
        lib.skip(why)
    with open(rootfs() + "/etc/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n")
    layer()


def lay(pid):
    subprocess.run(["sh", "-ec", "ip link add cable type veth peer name eth0 netns %d\n"
                    "ip addr add %s/24 dev cable; ip link set cable up" % (pid, HERE)], check=True)
    subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % pid, "sh", "-ec", INSIDE], check=True)


def run(engine, t, spec, stdin=b"", hosts="", user="root", caps="default", flags=(), seconds=60):
    with open(t.dir + "/task.json", "w") as f:
        f.write(json.dumps(spec).replace('"' + t.out, '"/airlock/out'))
    with open(t.dir + "/hosts", "w") as f:
        f.write("127.0.0.1 localhost\n" + hosts)
    uid = 0 if user == "root" else int(user)
    os.chown(t.out, uid, uid)
    serial = os.path.basename(t.dir)
    argv = engine.argv(serial, ["sh", "-c", WAIT + 'exec "$@"', serial, "airlock", "run",
                                "/airlock/task.json"], user=user, caps=caps, readonly=False, tty=False,
                       mounts=[(None, "/workspace", True), (None, "/tmp", True),
                               (t.dir, "/airlock", False), (t.out, "/airlock/out", True),
                               (t.dir + "/hosts", "/etc/hosts", False)])
    at = argv.index("--name")
    p = lib.start([*argv[:at], *flags, *argv[at:]], stdin=subprocess.PIPE)
    lib.until(lambda: first_process(serial) or p.poll() is not None, "a container", 40)
    assert p.poll() is None, p.stderr.read()
    lay(first_process(serial))
    out, err = p.communicate(stdin, timeout=seconds)
    return Result(t.out, p.returncode, out, err)
