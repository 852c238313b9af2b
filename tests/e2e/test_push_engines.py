#!/usr/bin/python3
"""A pull request from a container of docker and podman, under the lock that its rights give, to a
forge at the other end of a cable. The agent has the rights of the container, and never the token."""
import netlab
netlab.enter()

import os  # noqa: E402

import cable  # noqa: E402
from engines import Docker, Podman, stop_engines  # noqa: E402
from forge import BRANCH, CHANGE, TOKEN, Forge, fresh, remote, spec, told_nothing  # noqa: E402
from git_server import authority  # noqa: E402
import lib  # noqa: E402
from lib import case, main  # noqa: E402
from netlab import ALLOWED  # noqa: E402
from task import Task  # noqa: E402

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon

# Looks everywhere that it may for the token, while it works; this text itself has it in two.
CURIOUS = CHANGE + """
env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline /airlock/task.json .git/config | tr '\\0' '\\n'
a=%s b=%s; grep -rsl "$a$b" /tmp /workspace /root /run /airlock && echo FO''UND; true
""" % (TOKEN[4:12], TOKEN[12:20])


def push(engine, lock, **options):
    cable.ready(engine)
    fresh()
    t = Task()
    told, identity = spec(t, CURIOUS, ca="/airlock/own-ca.pem")
    with open(t.dir + "/own-ca.pem", "w") as f:
        f.write(authority())
    r = cable.run(engine, t, told, identity, hosts=ALLOWED + " git.example\n", **options).expect(0)
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
    told_nothing((r.stdout + r.err).encode(), "output")


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
