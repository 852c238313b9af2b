#!/usr/bin/python3
"""The real Codex client works in a sealed box through our exec-server: it runs commands, edits
files and tests a repository, over every transport, and no way leads out."""
import base64
import os
import select
import socket
import threading
import time

from codex import Model, begin, codex, finish, image, patch, program, run, say, stdin
from front import pump
from lib import AIRLOCK, case, main, start, until
from sealed import Sealed, free_port

BROKEN = {"sum.py": "def add(a, b):\n    return a - b\n",
          "test_sum.py": "from sum import add\nassert add(2, 2) == 4, 'add is broken'\n"
                         "print('all is well')\n"}
FIX = "*** Update File: sum.py\n@@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
TEST = "python3 -B test_sum.py"
ADDED = "*** Add File: notes/new file.txt\n+made by a patch\n"


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


DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9"
                       "awAAAABJRU5ErkJggg==")
SCRIPT = [run(TEST), patch(FIX + ADDED), run(TEST), say("mended")]


@case
def the_client_can_be_had():
    done = start([program(), "--version"])
    assert b"0.169.0" in done.communicate(timeout=15)[0]


@case
def a_repository_is_mended_over_websocket():
    sealed = Sealed("ws://127.0.0.1:%d" % free_port(), idle_s=8, files=BROKEN).start()
    with Model(SCRIPT) as model:
        events = codex(model, url=sealed.address, cwd=sealed.cwd)
        result = sealed.end().expect(0)
        repaired(model, result)
    assert [e["item"]["text"] for e in events if e.get("type") == "item.completed" and
            e["item"]["type"] == "agent_message"] == ["mended"]
    assert result.result["network"]["agent"] == "off"


@case
def a_repository_is_mended_with_a_token():
    sealed = Sealed("ws://0.0.0.0:%d" % free_port(), token="open sesame",
                    files=BROKEN).start()
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
        repaired(model, sealed.stop().expect(77))


@case
def a_repository_is_mended_over_stdio():
    """Codex starts the sealed box itself, as the program of an environment."""
    sealed = Sealed("stdio", files=BROKEN)
    with Model(SCRIPT) as model:
        codex(model, {"program": AIRLOCK, "args": ["run", sealed.path]}, cwd=sealed.cwd)
        repaired(model, until_result(sealed))


def until_result(sealed):
    """The task ends with the client's end, which nobody waits for."""
    until(lambda: sealed.result().result.get("status"), "a result", 10)
    return sealed.result()


@case
def its_own_sandbox_holds_inside_ours():
    """
    Workspace-write is what Codex asks for unless told otherwise: .git is read-only then. An
    engine's socket below /tmp, which the lock covers for good, is no hindrance.
    """
    sealed = Sealed("stdio", files=BROKEN, network={"lock": "netns"})
    engine = socket.socket(socket.AF_UNIX)
    engine.bind(sealed.task.dir + "/docker.sock")
    engine.listen()
    last = run("touch .git/x; touch /opt/x; touch /tmp/y && echo tmp; touch top && ls top; "
               "exec 3<>/dev/tcp/127.0.0.1/9")
    with Model([run(TEST), patch(FIX), patch("*** Add File: .git/hooks/p\n+x\n"), last,
                patch(ADDED), run(TEST), say("mended")]) as model:
        codex(model, {"program": AIRLOCK, "args": ["run", sealed.path]}, cwd=sealed.cwd,
              options=("-s", "workspace-write"))
        result = until_result(sealed)
        repaired(model, result)
    said = model.outputs[3]
    assert "'.git/x': Read-only file system" in said and "'/opt/x': Permission denied" in said, said
    assert "tmp\ntop\n" in said and "socket: Permission denied" in said, said
    assert "Success" not in model.outputs[2], model.outputs[2]
    assert all(e.get("sandboxed") for e in result.event("command"))


WAYS_OUT = """
import socket, sys
def tries(name, way):
    try:
        way()
        print("OUT by", name)
    except OSError as e:
        print("no", name, e)
def send(kind, to):
    s = socket.socket(socket.AF_INET, kind)
    s.settimeout(2)
    s.connect(to)
    s.send(b"x")
    if kind == socket.SOCK_DGRAM:
        s.recv(1)
for to in (("127.0.0.1", %d), ("%s", %d), ("192.0.2.1", 443)):
    tries("tcp %%s" %% to[0], lambda: send(socket.SOCK_STREAM, to))
tries("udp", lambda: send(socket.SOCK_DGRAM, ("127.0.0.1", %d)))
tries("names", lambda: socket.getaddrinfo("example.org", 443))
tries("abstract", lambda: socket.socket(socket.AF_UNIX).connect("\\0%s"))
own = socket.create_server(("127.0.0.1", 0))
socket.create_connection(own.getsockname()).close()
print("own servers work")
"""


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.2"
        return s.getsockname()[0]


@case
def no_way_leads_out_of_the_box():
    """Asked from inside, by the client, of listeners that stand outside: nobody comes."""
    name = "airlock-test-%d" % os.getpid()
    with socket.create_server(("0.0.0.0", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        unix.bind("\0" + name)
        unix.listen()
        port = tcp.getsockname()[1]
        code = WAYS_OUT % (port, own_address(), port, udp.getsockname()[1], name)
        sealed = Sealed("ws://127.0.0.1:%d" % free_port(), idle_s=20,
                        files={"out.py": code}).start()
        with Model([run("python3 -B out.py"), say("done")]) as model:
            codex(model, url=sealed.address, cwd=sealed.cwd)
        sealed.stop().expect(77)
        came = select.select([tcp, udp, unix], [], [], 0)[0]
        assert not came, (came, model.outputs[0])
    said = model.outputs[0]
    assert "own servers work" in said and said.count("\nno ") == 6 and "OUT" not in said, said


class Wire:
    """A road to the server that can be cut: every connection through it ends at once."""

    def __init__(self, address):
        host, port = address[len("ws://"):].split(":")
        self.to = (host, int(port))
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = "ws://127.0.0.1:%d" % self.server.getsockname()[1]
        self.open, self.count = [], 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.server.accept()[0]
                server = socket.create_connection(self.to)
            except OSError:
                return
            self.count += 1
            self.open += [client, server]
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=pump, args=(a, b), daemon=True).start()

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open = []


@case
def a_connection_that_drops_in_the_middle_loses_nothing():
    sealed = Sealed("ws://127.0.0.1:%d" % free_port(), files=BROKEN).start()
    wire = Wire(sealed.address)
    slow = "echo once >> ran; for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.25; done; exit 7"
    with Model([run(slow), say("done")]) as model:
        process = begin(model, url=wire.address, cwd=sealed.cwd,
                        options=("--dangerously-bypass-approvals-and-sandbox",))
        until(lambda: wire.count == 1 and len(model.requests) == 1, "it has begun", 15)
        time.sleep(0.8)
        wire.cut()
        code, events = finish(process)
        assert code == 0, process.errors
    said = model.outputs[0]
    assert "exited with code 7" in said and wire.count >= 2, (said, wire.count)
    assert [w for w in said.split("\n") if w.startswith("line")] == \
        ["line %d" % i for i in range(1, 9)], said
    result = sealed.stop().expect(77)
    assert "+once\n" in result.diff and "+once\n+once" not in result.diff
    assert [e["exit"] for e in result.event("command")] == [7]


@case
def a_terminal_is_typed_into_and_interrupted():
    sealed = Sealed("ws://127.0.0.1:%d" % free_port(), files={"dot.png": DOT}).start()

    def session(outputs):
        return int(outputs[-1].split("session ID ")[1].split()[0])
    first = {}

    def keep(outputs):
        first["id"] = session(outputs)
        return stdin(first["id"], "echo $((6 * 7)); tty\n", yield_time_ms=1000)
    with Model([run("bash --norc", tty=True, yield_time_ms=300), keep,
                lambda _: stdin(first["id"], "sleep 600\n", yield_time_ms=300),
                lambda _: stdin(first["id"], "\x03", yield_time_ms=300),
                lambda _: stdin(first["id"], "exit 5\n", yield_time_ms=1000),
                image("dot.png"), say("done")]) as model:
        codex(model, url=sealed.address, cwd=sealed.cwd)
    result = sealed.stop().expect(77)
    said = "".join(model.outputs)
    assert "42" in model.outputs[1] and "/dev/pts/" in model.outputs[1], model.outputs
    assert "exited with code 5" in said, model.outputs
    assert base64.b64encode(DOT).decode() in model.outputs[5], model.outputs[5]
    assert result.event("command")[-1]["tty"] and result.event("command")[-1]["exit"] == 5


main()
