"""An exec-server as the agent of a container, in each engine with that engine's defaults: its
client is whoever started the container, over the container's own stdin and stdout.

`test_exec_engines.py docker` runs one engine.
"""
import json
import os
import subprocess
import tempfile

from engines import engines, stop_engines
from exec_client import Client
import lib
from lib import case, main, skip

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon


def a_client_drives_the_container(engine):
    reason = engine.available()
    if reason:
        skip(reason)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        os.mkdir(d + "/out")
        with open(d + "/task.json", "w") as f:
            json.dump({"version": 1, "repo": {"dir": "/work"}, "setup": {"auto": False},
                       "agent": {"exec_server": "stdio"}}, f)
        p = engine.start(["airlock", "run", "/airlock/task.json"], stdin=subprocess.PIPE, mounts=[
            (d + "/task.json", "/airlock/task.json", False), (d + "/out", "/airlock/out", True)])
        c = Client.stdio(p)
        c.hello()
        assert c.run("a", ["sh", "-c", "echo in; id -u"], cwd="/work") == \
            (0, {"stdout": b"in\n0\n"})
        code, out = c.run("b", ["bash", "-c", "exec 3<>/dev/tcp/192.0.2.1/80"], cwd="/")
        assert code == 1 and out["stderr"], out
        p.stdin.close()
        assert p.wait(20) == 0, p.stderr.read()
        with open(d + "/out/events.ndjson") as f:
            events = [json.loads(line) for line in f]
        assert [e["exit"] for e in events if e["event"] == "command"] == [0, 1]
        print("# %s: %s" % (engine.name, [e["lock"] for e in events if e["event"] == "lock"]))


def named(engine):
    def function():
        a_client_drives_the_container(engine)
    function.__name__ = "a_client_drives_the_container_in_" + engine.name
    return function


for one in engines():
    if not one.only and one.name in ("docker", "podman"):
        case(named(one))

try:
    main()
finally:
    stop_engines()
