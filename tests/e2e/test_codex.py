#!/usr/bin/python3
"""The real Codex client works in a sealed box through our exec-server: it runs commands, edits
files and tests a repository, over every transport, and no way leads out."""
import hashlib
import json
import os
import select
import socket
import threading
import time

from codex import Model, begin, codex, finish, image, patch, program, run, say, stdin
from lib import AIRLOCK, case, main, start, until
from task import Result, Task

BROKEN = {"sum.py": "def add(a, b):\n    return a - b\n",
          "test_sum.py": "from sum import add\nassert add(2, 2) == 4, 'add is broken'\n"
                         "print('all is well')\n"}
FIX = "*** Update File: sum.py\n@@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
TEST = "python3 -B test_sum.py"
ADDED = "*** Add File: notes/new file.txt\n+made by a patch\n"


class Sealed:
    """`airlock run` with an exec-server for its agent, and whoever it let in."""

    def __init__(self, where, idle_s=2, token=None, files=None, **more):
        self.task = Task()
        self.task.repo(files or BROKEN)
        # Codex names its own working directory to the server: it has to be called the same there.
        self.cwd = self.task.dir + "/app"
        os.mkdir(self.cwd)
        spec = self.task.spec(repo={"dir": self.cwd}, **more)
        spec["agent"] = {"exec_server": where, "idle_s": idle_s}
        if where == "stdio":
            del spec["agent"]["idle_s"]
        if token:
            spec["agent"]["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
        self.path = self.task.write_spec(spec)

    def start(self):
        self.process = start([AIRLOCK, "run", self.path])
        self.address = self.process.stdout.readline().decode().strip()
        return self

    def end(self, seconds=15):
        _, err = self.process.communicate(timeout=seconds)
        return Result(self.task.out, self.process.returncode, b"", err)

    def result(self, code=0):
        return Result(self.task.out, code, b"", b"")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def commands(result):
    return [(e["command"], e["exit"]) for e in result.event("command")]


def repaired(model, result):
    """What every road has to lead to."""
    assert "add is broken" in model.outputs[0], model.outputs
    assert "exited with code 1" in model.outputs[0], model.outputs
    assert "all is well" in model.outputs[-1], model.outputs
    assert "+    return a + b" in result.diff and "notes/new file.txt" in result.diff, result.diff
    ran = commands(result)
    tests = [code for command, code in ran if TEST in command]
    assert tests == [1, 0], ran
    for e in result.event("command"):
        assert e["phase"] == "work" and e["took_ms"] >= 0 and e["bytes"] > 0, e
    assert not any("apply_patch" in command for command, _ in ran), ran


SCRIPT = [run(TEST), patch(FIX + ADDED), run(TEST), say("mended")]


@case
def the_client_can_be_had():
    done = start([program(), "--version"])
    assert b"0.169.0" in done.communicate(timeout=15)[0]


@case
def a_repository_is_mended_over_websocket():
    sealed = Sealed("ws://127.0.0.1:%d" % free_port()).start()
    with Model(SCRIPT) as model:
        events = codex(model, url=sealed.address, cwd=sealed.cwd)
        result = sealed.end().expect(0)
        repaired(model, result)
    assert [e["item"]["text"] for e in events if e.get("type") == "item.completed" and
            e["item"]["type"] == "agent_message"] == ["mended"]
    assert result.result["network"]["agent"] == "off"


@case
def a_repository_is_mended_with_a_token():
    sealed = Sealed("ws://0.0.0.0:%d" % free_port(), token="open sesame").start()
    address = sealed.address.replace("0.0.0.0", "127.0.0.1")
    with Model([run("true"), say("no")]) as model:
        process = begin(model, {"url": address, "auth_bearer_token": "wrong"},
                        cwd=sealed.cwd)
        until(lambda: model.outputs, "a tool call was answered", 15)
        finish(process)
        assert "exited with code" not in model.outputs[0], model.outputs
    with Model(SCRIPT) as model:
        codex(model, {"url": address, "auth_bearer_token": "open sesame"},
              cwd=sealed.cwd)
        repaired(model, sealed.end().expect(0))


@case
def a_repository_is_mended_over_stdio():
    """Codex starts the sealed box itself, as the program of an environment."""
    sealed = Sealed("stdio")
    with Model(SCRIPT) as model:
        codex(model, {"program": AIRLOCK, "args": ["run", sealed.path]}, cwd=sealed.cwd)
        repaired(model, until_result(sealed))


def until_result(sealed):
    """The task ends with the client's end, which nobody waits for."""
    until(lambda: sealed.result().result.get("status"), "a result", 10)
    return sealed.result()


main()
