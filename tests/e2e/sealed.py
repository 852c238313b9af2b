"""tests/e2e/sealed.py - a task whose agent is an exec-server, and a client for it."""
import hashlib
import os
import signal
import socket
import subprocess

from exec_client import Client
from lib import AIRLOCK, start
from task import Result, Task


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Sealed:
    """`airlock run` with an exec-server for its agent. OUT in @where is the output's folder."""

    def __init__(self, where, idle_s=20, token=None, files=None, wrap=(), **more):
        self.task, self.wrap, self.token = Task(), list(wrap), token
        self.task.repo(files)
        # Codex names its own working directory to the server: it has to be called the same there.
        self.cwd = self.task.dir + "/app"
        os.mkdir(self.cwd)
        spec = self.task.spec(repo={"dir": self.cwd}, **more)
        self.where = where.replace("OUT", self.task.out)
        spec["agent"] = dict({"exec_server": self.where}, **more.get("agent", {}))
        if where != "stdio":
            spec["agent"]["idle_s"] = idle_s
        if token:
            spec["agent"]["token_sha256"] = hashlib.sha256(token.encode()).hexdigest()
        self.path = self.task.write_spec(spec)

    def start(self):
        self.process = start(self.wrap + [AIRLOCK, "run", self.path])
        if self.where != "stdio":
            self.address = self.process.stdout.readline().decode().strip()
        return self

    def client(self, address=None):
        if self.where == "stdio":
            c = Client.stdio(self.process)
        else:
            bearer = ["Authorization: Bearer " + self.token] if self.token else []
            c = Client.websocket(address or self.address, bearer)
        c.hello()
        return c

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.end()

    def end(self, seconds=15):
        if self.process.stdin and not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.stdin = None
        try:
            _, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Result(self.task.out, self.process.returncode, b"", err)

    def result(self, code=0):
        """What lies in OUT now."""
        return Result(self.task.out, code, b"", b"")
