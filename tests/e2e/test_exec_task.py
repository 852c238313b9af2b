#!/usr/bin/python3
"""A task whose agent is somebody far away: the sealed box waits for a client, lets it in under
every lock, lets nothing out beside it, and writes down what was run."""
import json
import os
import select
import signal
import socket
import subprocess
import time

from exec_client import Client, Closed, RpcError, b64, connect, frame, uri
from lib import AIRLOCK, case, main, status, until
from nets import BOX4, NEAR4, pair
from sealed import Sealed, free_port

LOCKS = ("netns", "notify", "closed")


def commands(result):
    return [(e["command"], e["exit"]) for e in result.event("command")]


def ws(host="127.0.0.1"):
    return "ws://%s:%d" % (host, free_port())


# --- every lock, every road ---------------------------------------------------------------------


@case
def a_client_gets_in_under_every_lock_and_nothing_out():
    with socket.create_server(("0.0.0.0", 0)) as outside:
        port = outside.getsockname()[1]
        for lock in LOCKS:
            for where in (ws(), "unix:OUT/s", "stdio"):
                s = Sealed(where, idle_s=1, network={"lock": lock}).start()
                c = s.client()
                code, out = c.run("p", ["bash", "-c", "echo two >> a.txt; id -u; "
                                        "exec 3<>/dev/tcp/192.0.2.1/%d" % port], cwd=s.cwd)
                assert code == 1 and out["stdout"] == b"%d\n" % os.getuid(), (lock, where, out)
                c.close()
                result = s.end().expect(0)
                assert "+two" in result.diff and len(commands(result)) == 1, (lock, where)
                assert result.result["network"]["lock"] == lock, result.result
        assert not select.select([outside], [], [], 0)[0]


@case
def every_lock_lets_a_client_in_from_another_machine():
    """Two namespaces with a wire between them: what an engine's published port is."""
    box, world = pair(v6=False)

    def work(s):
        with s.client(s.address.replace("0.0.0.0", BOX4)) as c:
            in_code, _ = c.run("p", ["true"])
            code, out = c.run("q", ["bash", "-c", "exec 3<>/dev/tcp/%s/9" % NEAR4])
            return [in_code, code, out["stderr"].decode()]
    for lock in ("netfilter", *LOCKS):
        s = Sealed(ws("0.0.0.0"), token="t", network={"lock": lock},
                   wrap=["nsenter", "--net=" + box.path]).start()
        assert s.address, s.end().err[-1000:]
        in_code, code, said = world.do(lambda: work(s))
        assert (in_code, code) == (0, 1), (lock, in_code, code, said)
        assert "refused" in said or "unreachable" in said or "denied" in said, (lock, said)
        assert s.stop().result["network"]["lock"] == lock


@case
def nothing_of_the_network_is_held_inside():
    """A socket of the container's network would be a way out of a namespace without one."""
    s = Sealed(ws(), network={"lock": "netns"}).start()
    c = s.client()
    _, out = c.run("p", ["sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | "
                         "grep -q airlock-exec && ls -l $p/fd; done; cat /proc/net/tcp | wc -l"])
    assert b"socket:" not in out["stdout"], out  # and it is nobody's to look into
    code, out = c.run("q", ["python3", "-c", "import ctypes, os\n"
                            "libc = ctypes.CDLL(None, use_errno=True)\n"
                            "me = os.getppid()\n"
                            "fd = os.pidfd_open(os.getppid())\n"
                            "print([libc.syscall(438, fd, n, 0) for n in range(110)])"])
    assert code == 0 and set(json.loads(out["stdout"])) == {-1}, out
    inside = c.run("r", ["readlink", "/proc/self/ns/net"])[1]["stdout"].decode().strip()
    held = 0
    for pid in family(s.process.pid):
        if status(pid).get("Name") == "airlock-porch":
            assert os.readlink("/proc/%d/ns/net" % pid) != inside
            assert status(pid)["CapEff"] == "0" * 16 and status(pid)["NoNewPrivs"] == "1"
            held += 1
    assert held == 1
    c.close()
    s.stop()


def family(pid):
    """Everybody below @pid, and the orphans that its init took over."""
    found, more = set(), [pid]
    while more:
        p = more.pop()
        found.add(p)
        try:
            for t in os.listdir("/proc/%d/task" % p):
                with open("/proc/%d/task/%s/children" % (p, t)) as f:
                    more += [int(x) for x in f.read().split()]
        except FileNotFoundError:
            pass
    return found


# --- the porch -----------------------------------------------------------------------------------


@case
def large_messages_and_slow_clients_pass_the_porch():
    s = Sealed(ws(), network={"lock": "closed"}).start()
    c = s.client()
    data = os.urandom(1 << 20) * 8
    c.call("fs/writeFile", path=uri(s.cwd + "/big"), dataBase64=b64(data))
    d = s.client()
    slow = s.client()
    slow.answer(slow.start("p", ["head", "-c", "100000000", "/dev/zero"]))
    assert c.call("fs/readFile", path=uri(s.cwd + "/big"))["dataBase64"] == b64(data)
    for b in frame(1, b'{"id":1000,"method":"environment/status"}'):
        d.raw(bytes([b]))
    assert d.answer(1000) == {"status": "ready"}
    code, out = c.run("q", ["head", "-c", "20000000", "/dev/zero"])
    assert code == 0 and len(out["stdout"]) == 20000000
    for x in (c, d, slow):
        x.close()
    s.stop()


@case
def the_last_words_of_the_server_arrive():
    s = Sealed(ws(), network={"lock": "closed"}).start()
    for data, want in ((frame(3, b""), 1002), (frame(8, b"\x03\xe8"), 1000)):
        c = s.client()
        c.raw(data)
        try:
            c.receive()
            raise AssertionError("still open")
        except Closed as e:
            assert e.code == want, e.code
    raw = connect(s.address)
    raw.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert raw.recv(4096).startswith(b"HTTP/1.1 200") and raw.recv(4096) == b""
    s.stop()


@case
def a_crowd_of_half_open_clients_keeps_nobody_out_for_long():
    s = Sealed(ws(), idle_s=5, network={"lock": "closed"}).start()
    crowd = [connect(s.address) for _ in range(150)]
    for i, one in enumerate(crowd):
        one.sendall(b"GET / HTTP/1.1\r\n" if i % 2 else b"\0\xff\0")
    c = s.client()
    assert c.run("p", ["echo", "in"])[1] == {"stdout": b"in\n"}
    for one in crowd:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        one.close()  # a reset
    porch = [p for p in family(s.process.pid) if status(p).get("Name") == "airlock-porch"][0]
    until(lambda: len(os.listdir("/proc/%d/fd" % porch)) == 4, "the porch let go of them")

    def ticks():
        with open("/proc/%d/stat" % porch) as f:
            return sum(int(x) for x in f.read().split(")")[1].split()[11:13])
    before = ticks()
    time.sleep(0.5)
    assert ticks() - before <= 2, "the porch spins"
    c.close()
    s.stop()


# --- idle, deadline, end -------------------------------------------------------------------------


@case
def nobody_comes_and_it_ends():
    began = time.monotonic()
    s = Sealed(ws(), idle_s=1, network={"lock": "closed"}).start()
    raw = connect(s.address)  # a connection is no client yet
    result = s.end()
    raw.close()
    assert result.code == 76 and 1 <= time.monotonic() - began < 5, result.code
    assert "no client came within 1 s" in result.err, result.err[-500:]
    assert result.result["agent"]["exit"] == 76


@case
def a_client_that_comes_back_in_time_finds_its_processes():
    s = Sealed(ws(), idle_s=2, network={"lock": "closed"}).start()
    c = s.client()
    c.answer(c.start("p", ["sh", "-c", "sleep 1.2; echo late"]))
    c.close()
    time.sleep(1.5)
    d = s.client()
    d.close()
    e = until(lambda: resumed(s, c.session), "the session is there")
    r = e.call("process/read", processId="p", waitMs=3000)
    assert r["chunks"][0]["chunk"] == b64(b"late\n"), r
    e.close()
    s.end().expect(0)


def resumed(s, session):
    c = Client.websocket(s.address)
    try:
        c.hello(session)
        return c
    except RpcError:
        c.close()
        return None


@case
def the_task_s_own_deadline_holds_for_it():
    s = Sealed(ws(), idle_s=60, agent={"timeout_s": 1}, network={"lock": "closed"}).start()
    c = s.client()
    c.answer(c.start("p", ["sh", "-c", "echo started; sleep 600"]))
    result = s.end()
    assert result.code == 76 and result.result["agent"]["timed_out"], result.result
    assert commands(result) == [("sh -c 'echo started; sleep 600'", 137)]
    assert result.event("command")[0]["ended"]


@case
def a_stop_from_outside_tells_the_client():
    s = Sealed(ws(), idle_s=60, network={"lock": "closed"}).start()
    c = s.client()
    c.answer(c.start("p", ["sleep", "600"]))
    s.process.send_signal(signal.SIGTERM)
    try:
        while True:
            c.receive()
    except Closed as e:
        assert e.code == 1001, e.code
    assert s.end().code == 77


# --- the journal -----------------------------------------------------------------------------------


@case
def every_command_is_in_the_journal_and_nothing_else_can_get_there():
    s = Sealed(ws(), idle_s=2, network={"lock": "closed"}).start()
    c = s.client()
    c.run("ok", ["sh", "-c", "printf 12345; printf 67 >&2; exit 3"], cwd=s.cwd)
    c.run("odd", ["echo", 'a"b\n\t\x01', "it's", ""])
    c.run("long", ["echo", "x" * 5000])
    c.run("tty", ["tty"], tty=True)
    for bad in (["no-such-program"], ["/etc/passwd"]):
        try:
            c.run("bad", bad)
            raise AssertionError("it ran")
        except RpcError:
            pass
    c.answer(c.start("killed", ["sleep", "600"]))
    c.call("process/terminate", processId="killed")
    c.finish("killed")
    # What runs there has no descriptor of it, and can't take one from its server.
    _, out = c.run("peek", ["sh", "-c", "ls /proc/self/fd; ls -l /proc/$PPID/fd /proc/*/fd/100; "
                            "echo '{\"event\":\"lie\"}' > /proc/$PPID/fd/100"])
    assert out["stdout"].split()[:4] == [b"0", b"1", b"2", b"3"] and b"socket:" not in out["stdout"], out
    c.close()
    result = s.end().expect(0)
    rows = result.event("command")
    by = {r["command"].split()[0] + str(r["exit"]): r for r in rows}
    first = rows[0]
    assert first["command"] == "sh -c 'printf 12345; printf 67 >&2; exit 3'", first
    assert (first["exit"], first["bytes"], first["cwd"], first["phase"]) == (3, 7, s.cwd, "work")
    assert rows[1]["command"] == "echo 'a\"b\n\t\x01' 'it'\\''s' ''", rows[1]
    assert rows[2]["cut"] and 1000 < len(rows[2]["command"]) < 1024 and rows[2]["bytes"] == 5001
    assert by["tty0"]["tty"] and "tty" not in rows[0]
    assert by["no-such-programNone"]["errno"] == 2 and by["/etc/passwdNone"]["errno"] == 13
    assert by["sleep137"]["ended"] and "ended" not in first
    assert not result.event("lie")
    assert all(e["phase"] == "work" for e in rows) and len(rows) == 8, rows


@case
def the_journal_is_whole_while_many_write_to_it():
    s = Sealed(ws(), idle_s=2, network={"agent": "limited", "allow": ["example.org"], "lock": "netns"}).start()
    c = s.client()
    ids = [c.start("p%d" % i, ["true", str(i)]) for i in range(300)]
    for i, n in enumerate(ids):
        c.answer(n)
        c.finish("p%d" % i)
    c.close()
    result = s.end().expect(0)
    assert sorted(int(e["command"].split()[1]) for e in result.event("command")) == list(range(300))


# --- the spec ----------------------------------------------------------------------------------------


def check(agent, **more):
    spec = dict({"version": 1, "agent": agent}, **more)
    return subprocess.run([AIRLOCK, "check", "-"], input=json.dumps(spec).encode(), timeout=10,
                          capture_output=True)


@case
def a_spec_says_who_may_come():
    hexes = "0" * 64
    good = [{"exec_server": "ws://127.0.0.1:1"}, {"exec_server": "ws://[::1]:65535", "idle_s": 1},
            {"exec_server": "ws://0.0.0.0:8765", "token_sha256": hexes},
            {"exec_server": "unix:/run/s", "token_sha256": hexes}, {"exec_server": "stdio"}]
    for agent in good:
        done = check(agent)
        assert done.returncode == 0 and agent["exec_server"].encode() in done.stdout, done
    bad = [({"exec_server": "ws://0.0.0.0:8765"}, "others can reach this address"),
           ({"exec_server": "ws://[::]:8765"}, "\"token_sha256\" is missing"),
           ({"exec_server": "ws://127.0.0.1:0"}, "ws://IP:PORT"),
           ({"exec_server": "ws://localhost:1"}, "ws://IP:PORT"),
           ({"exec_server": "ws://127.0.0.1:65536"}, "ws://IP:PORT"),
           ({"exec_server": "ws://::1:5"}, "ws://IP:PORT"),
           ({"exec_server": "unix:s"}, "unix:/PATH"),
           ({"exec_server": "unix:/" + "x" * 107}, "unix:/PATH"),
           ({"exec_server": "stdio", "token_sha256": hexes}, "needs no token"),
           ({"token_sha256": hexes, "command": ["x"]}, "\"exec_server\" is missing"),
           ({"idle_s": 5}, "\"exec_server\" is missing"),
           ({"exec_server": "stdio", "command": ["x"]}, "either \"command\" or")]
    for agent, text in bad:
        done = check(agent)
        assert done.returncode == 78 and text in done.stderr.decode(), (agent, done.stderr)


@case
def a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        s = Sealed("ws://127.0.0.1:%d" % taken.getsockname()[1], network={"lock": "closed"}).start()
        result = s.end()
        assert result.code == 73 and "listen for clients: Address in use" in result.err, result.err


main()
