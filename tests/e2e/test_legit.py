"""tests/e2e/test_legit.py - what must still work in the sealed box: tools x locks.

A task in a box over this machine's root for each lock, network off; its agent
(legit_agent.py) tries every tool that is here. Each is a case; one that is missing is
skipped. The box has a network namespace of its own, so that netfilter's rules are its own.
"""
import json
import os
import re
import subprocess
import tempfile

import lib
from lib import AIRLOCK, ROOT, case, main, npm_package, skip

lib.TIMEOUT_S = 240
HERE = os.path.dirname(os.path.abspath(__file__))
LOCKS = ("netns", "netfilter", "notify", "closed")
with open(HERE + "/legit_agent.py") as f:
    TOOLS = re.findall(r"^def (\w+)\(\):", f.read(), re.M)  # those without arguments
_results = {}
NOT_ASKED = {"closed": ("node_http", "ip_addr")}  # it has no network sockets, so they can't work


def results(lock):
    """Runs the task once per lock; {tool: "" or why not}."""
    if lock in _results:
        return _results[lock]
    if os.getuid():
        skip("needs root")
    no_bun = npm_package("bun", "1.4.5", 60)  # 100 MB
    with tempfile.TemporaryDirectory(prefix="airlock-legit-") as d:
        os.mkdir(d + "/out")
        with open(d + "/task.json", "w") as f:
            json.dump({"version": 1, "setup": {"auto": False},
                       "network": {"agent": "off", "lock": lock}, "output": {"dir": d + "/out"},
                       "agent": {"command": ["/usr/bin/python3", HERE + "/legit_agent.py",
                                             d + "/out", lock,
                                             ROOT + "/build/npm/node_modules/.bin"]}}, f)
        done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh",
                               AIRLOCK, "run", d + "/task.json"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=220)
        try:
            with open(d + "/out/legit.json") as f:
                _results[lock] = json.load(f)
        except FileNotFoundError:
            _results[lock] = {}
        if no_bun and "bun" in _results[lock]:
            _results[lock]["bun"] = "skip: " + no_bun
        _results[lock]["the task"] = "" if done.returncode == 0 else done.stdout.decode()[-800:]
    return _results[lock]


def add(lock, tool):
    def works():
        found = results(lock)
        assert not found["the task"], found["the task"]
        if found[tool].startswith("skip: "):
            skip(found[tool][6:])
        assert not found[tool], found[tool]
    works.__name__ = "%s: %s" % (lock, tool)
    case(works)


for one in LOCKS:
    for name in TOOLS:
        if name not in ("run", "put") and name not in NOT_ASKED.get(one, ()):
            add(one, name)

if __name__ == "__main__":
    main()
