#!/usr/bin/python3
"""The built-in loop in a container of docker and podman, under the lock that its rights give, with
its model at the other end of a cable: it alone reaches it, with a key that it never has."""
import netlab
netlab.alone()

import json  # noqa: E402
import os  # noqa: E402

import cable  # noqa: E402
from engines import Docker, Podman, stop_engines  # noqa: E402
from front import certificate  # noqa: E402
import lib  # noqa: E402
from lib import case, main  # noqa: E402
from model_box import ATTACK, KEY, outputs  # noqa: E402
from model_server import Model, call, say  # noqa: E402
from task import Task, git, sealed  # noqa: E402

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon


def loop(engine, lock, network={}, **options):
    cable.ready(engine)
    t = Task()
    t.repo({"a.txt": "one\n", "attack.py": ATTACK})
    git(t.url, "bundle", "create", "-q", t.dir + "/app.bundle", "--all")
    path, identity = sealed(t, {"MODEL_KEY": KEY})
    authority, *tls = certificate(t.dir, "DNS:model.test")
    with Model(tls=tls, host="0.0.0.0") as m:
        there = "model.test:%d" % m.port
        m.script = [call("exec_command", cmd="echo two >> a.txt; MODEL=%s python3 attack.py" % there),
                    say("Added a line.")]
        spec = t.spec(repo={"url": "/airlock/app.bundle"}, prompt="add a line",
                      model={"base_url": "https://%s/v1" % there, "name": "m", "key": "${MODEL_KEY}"},
                      secrets={"sealed": "/airlock/secrets.age"},
                      network=dict(network, ca_file="/airlock/" + os.path.basename(authority)))
        del spec["agent"]
        r = cable.run(engine, t, spec, identity, hosts=cable.HERE + " model.test\n",
                      **options).expect(0)
    assert r.event("lock")[0]["lock"] == lock, r.event("lock")
    assert "+two" in r.diff and r.answer.strip() == "Added a line.", (r.diff, r.answer)
    assert [x.headers["authorization"] for x in m.requests] == ["Bearer " + KEY] * 2, m.requests
    r.jsonl = [json.loads(line) for line in r.file("agent.jsonl").splitlines()]
    text = "".join(outputs(r))
    assert "tried" in text and "LEAK" not in text and "loops 1" in text, text
    assert KEY not in r.stdout + r.err + "".join(r.file(n) for n in ("agent.jsonl", "events.ndjson"))


docker, podman = Docker(), Podman()
LIMITED = {"agent": "limited", "allow": ["example.org"]}


@case
def docker_as_it_is():
    loop(docker, "notify")
    loop(docker, "notify", network=LIMITED)


@case
def docker_with_net_admin():
    for network in ({}, LIMITED):
        loop(docker, "netfilter", network=network, flags=["--cap-add", "NET_ADMIN"])


@case
def docker_without_any_right():
    loop(docker, "notify", user="1000", caps="none")


@case
def podman_as_it_is():
    loop(podman, "netns")
    loop(podman, "netns", network=LIMITED)


try:
    main()
finally:
    stop_engines()
