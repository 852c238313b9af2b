#!/usr/bin/python3
"""airlock exec-server: every statement that it makes to its clients, tried by one."""
import atexit
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from exec_client import Client, Closed, RpcError, b64, connect, frame, unb64, uri
from lib import AIRLOCK, ROOT, case, children, main, skip, start, status, until

BIG = 16 << 20


class Server:
    def __init__(self, *options, listen="ws://127.0.0.1:0", **popen):
        self.process = start([AIRLOCK, "exec-server", "--listen", listen, *options], **popen)
        self.address = self.process.stdout.readline().decode().strip()

    @property
    def pid(self):
        return self.process.pid

    def client(self, headers=(), hello=True):
        c = Client.websocket(self.address, headers)
        if hello:
            c.hello()
        return c

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(10)


def served(*options, **more):
    server = Server(*options, **more)
    return server, server.client()


def stdio():
    p = start([AIRLOCK, "exec-server", "--listen", "stdio"])
    c = Client.stdio(p)
    c.hello()
    return p, c


def http(address, request):
    """(status, head, body) of a plain HTTP request."""
    s = connect(address)
    s.sendall(request.encode())
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.decode().partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


def fails_to_start(*options):
    p = start([AIRLOCK, "exec-server", *options])
    out, err = p.communicate(timeout=10)
    return p.returncode, out.decode(), err.decode()


def folder():
    return tempfile.mkdtemp(prefix="exec-", dir="/tmp")


def alive(pid):
    return status(pid).get("State", "Z")[0] not in "ZX"


# --- start-up and transports -------------------------------------------------------------


@case
def prints_its_real_address_and_nothing_else():
    server = Server()
    assert server.address.startswith("ws://127.0.0.1:") and not server.address.endswith(":0")
    assert server.stop() == 0
    assert server.process.stdout.read() == b"" and server.process.stderr.read() == b""


@case
def listens_on_v6_and_on_a_unix_socket():
    v6 = Server(listen="ws://[::1]:0")
    assert v6.address.startswith("ws://[::1]:"), v6.address
    v6.client().call("environment/status")
    path = folder() + "/s"
    unix = Server(listen="unix:" + path)
    assert unix.address == "unix:" + path and os.stat(path).st_mode & 0o777 == 0o600
    unix.client().call("environment/status")
    unix.stop()
    assert not os.path.exists(path)


@case
def says_what_is_wrong_with_a_listen_url():
    for url in ("ws://localhost:1", "ws://127.0.0.1", "ws://127.0.0.1:x", "ws://::1:2"):
        code, _, err = fails_to_start("--listen", url)
        assert code == 1 and "invalid websocket --listen URL `%s`; expected `ws://IP:PORT`" % url \
            in err, (url, code, err)
    code, _, err = fails_to_start("--listen", "http://x")
    assert code == 1 and "unsupported --listen URL `http://x`; expected `ws://IP:PORT` or " \
        "`stdio`" in err
    assert fails_to_start("--bogus", "1")[0] == 2
    assert fails_to_start("--concurrent-requests", "0")[0] == 2


@case
def other_addresses_than_loopback_need_authentication():
    code, _, err = fails_to_start("--listen", "ws://0.0.0.0:0")
    assert code == 1 and "--insecure-no-auth" in err, (code, err)
    assert Server("--insecure-no-auth", listen="ws://0.0.0.0:0").stop() == 0


@case
def answers_http_as_the_table_says():
    a = Server().address
    get = "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n"
    upgrade = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    rows = [
        (get % ("/readyz", ""), 200, ""),
        ("HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n", 200, ""),
        ("POST /readyz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, ""),
        (get % ("/healthz", ""), 404, ""),
        (get % ("/readyz", "Origin: http://x\r\n"), 403, ""),
        (get % ("/", "Origin: http://x\r\n" + upgrade), 403, ""),
        (get % ("/", ""), 400, "Connection header did not include 'upgrade'"),
        (get % ("/", upgrade.replace("Version: 13", "Version: 12")), 400,
         "`Sec-WebSocket-Version` header did not include '13'"),
        (get % ("/", upgrade.split("Sec-WebSocket-Key")[0]), 400,
         "`Sec-WebSocket-Key` header missing"),
    ]
    for request, code, body in rows:
        got = http(a, request)
        assert (got[0], got[2]) == (code, body), (request, got)
    assert "allow: get,head" in http(a, rows[2][0])[1]
    s = connect(a)
    s.sendall((get % ("/?a=b", upgrade)).encode())
    head = s.recv(4096).decode()
    assert head.startswith("HTTP/1.1 101") and "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert "extensions" not in head.lower() and "protocol:" not in head.lower()


def refused(server, *headers):
    try:
        server.client(headers)
    except AssertionError as e:
        head, _, body = str(e).partition("\r\n\r\n")
        return int(head.split()[1]), body
    return 101, ""


@case
def a_capability_token_opens_the_door():
    path = folder() + "/token"
    with open(path, "w") as f:
        f.write(" tok \n")
    digest = hashlib.sha256(b"tok").hexdigest().upper()
    for options in (("--ws-token-file", path), ("--ws-token-sha256", digest)):
        s = Server("--ws-auth", "capability-token", *options)
        assert refused(s) == (401, "missing websocket bearer token")
        assert refused(s, "Authorization: Basic x") == (401, "invalid authorization header")
        assert refused(s, "Authorization: Bearer no") == (401, "invalid websocket bearer token")
        assert refused(s, "Authorization: bEARER   tok ")[0] == 101
        assert http(s.address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
    assert fails_to_start("--ws-auth", "capability-token")[0] == 2
    assert fails_to_start("--listen", "stdio", "--ws-auth", "capability-token",
                          "--ws-token-file", path)[0] == 2


def jwt(secret, claims, alg="HS256"):
    def part(data):
        return b64(data).rstrip("=").replace("+", "-").replace("/", "_")
    text = part(json.dumps({"alg": alg}).encode()) + "." + part(json.dumps(claims).encode())
    return text + "." + part(hmac.new(secret, text.encode(), "sha256").digest())


@case
def a_signed_token_opens_the_door():
    path, secret, now = folder() + "/secret", b"s" * 32, int(time.time())
    with open(path, "wb") as f:
        f.write(secret + b"\n")
    s = Server("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", path,
               "--ws-issuer", "me", "--ws-audience", "you")
    good = {"exp": now + 60, "iss": "me", "aud": ["x", "you"]}
    rows = [
        (jwt(secret, good), 101, ""),
        (jwt(secret, dict(good, exp=now - 10)), 101, ""),
        (jwt(secret, dict(good, exp=now - 100)), 401, "expired websocket jwt"),
        (jwt(secret, dict(good, nbf=now + 100)), 401, "websocket jwt is not valid yet"),
        (jwt(secret, dict(good, iss="you")), 401, "websocket jwt issuer mismatch"),
        (jwt(secret, dict(good, aud="me")), 401, "websocket jwt audience mismatch"),
        (jwt(secret, {"iss": "me", "aud": "you"}), 401, "invalid websocket jwt"),
        (jwt(secret, good, "none"), 401, "invalid websocket jwt"),
        (jwt(b"t" * 32, good), 401, "invalid websocket jwt"),
        ("a.b", 401, "invalid websocket jwt"),
    ]
    for token, code, body in rows:
        assert refused(s, "Authorization: Bearer " + token) == (code, body), (token, body)
    with open(path, "w") as f:
        f.write("short")
    assert fails_to_start("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file",
                          path)[0] == 1


@case
def takes_binary_and_fragmented_messages():
    _, c = served()
    text = b' {"id":"x", "method" : "environment/status"} '
    c.raw(frame(2, text))
    assert c.answer("x") == {"status": "ready"}
    c.raw(frame(1, text[:5], fin=False) + frame(9, b"hi") + frame(0, text[5:9], fin=False) +
          frame(0, text[9:]))
    assert c.answer("x") == {"status": "ready"}
    assert ("pong", b"hi") in c.events


@case
def bytes_one_by_one_are_as_good():
    _, c = served()
    for b in frame(1, b'{"id":1000,"method":"environment/status"}'):
        c.raw(bytes([b]))
    assert c.answer(1000) == {"status": "ready"}


@case
def a_violation_ends_the_connection_with_a_close_frame():
    server = Server()
    rows = [
        (frame(1, b"{}", mask=False), 1002), (frame(3, b""), 1002), (frame(0, b""), 1002),
        (frame(9, b"", fin=False), 1002), (frame(1, b"\xff"), 1007),
        (b"\x81\xff" + (17 << 20).to_bytes(8, "big") + bytes(4), 1009),
        (frame(8, b"\x03\xe8"), 1000), (frame(8, b"\x00\x01"), 1002),
        (frame(1, b'{"method":"bogus"}'), 1008),
        (frame(1, b'{"id":1,"result":1}'), 1008),
    ]
    for data, code in rows:
        c = server.client()
        c.raw(data)
        try:
            c.receive()
            raise AssertionError("still open: %r" % data)
        except Closed as e:
            assert e.code == code, (data[:20], e.code)
    for early in ("initialized", "initialize"):
        c = server.client(hello=False)
        c.notify(early)
        try:
            c.receive()
            raise AssertionError("still open after an early %s" % early)
        except Closed as e:
            assert e.code == 1008


@case
def stdio_speaks_lines_until_its_end():
    p, c = stdio()
    c.raw(b"\r\n\n" + b'{"id":7,"method":"environment/status"}\r\n')
    assert c.answer(7) == {"status": "ready"}
    assert c.run("a", ["sh", "-c", "echo hi"]) == (0, {"stdout": b"hi\n"})
    c.raw(b'{"id":8,"method":"environment/status"}')
    p.stdin.close()
    assert c.answer(8) == {"status": "ready"}
    assert p.wait(10) == 0


@case
def stdio_reads_a_file_as_well():
    path = folder() + "/in"
    with open(path, "w") as f:
        f.write('{"id":1,"method":"initialize","params":{"clientName":"x"}}\n'
                '{"method":"initialized"}\n'
                '{"id":2,"method":"process/start","params":{"processId":"p","argv":["true"],'
                '"cwd":"file:///","env":{},"tty":false}}')
    with open(path) as f:
        out = subprocess.run([AIRLOCK, "exec-server", "--listen", "stdio"], stdin=f,
                             stdout=subprocess.PIPE, timeout=10, check=True).stdout
    answers = [json.loads(line) for line in out.splitlines()]
    assert {"id": 2, "result": {"processId": "p", "sandboxType": "none"}} in answers, answers


@case
def a_signal_ends_it_and_all_it_started():
    for number in (signal.SIGTERM, signal.SIGINT):
        server, c = served()
        c.answer(c.start("p", ["sh", "-c", "setsid sleep 600 & echo $!; sleep 600"]))
        out = unb64(c.event("process/output")["chunk"])
        assert server.stop(number) == 0
        assert not alive(int(out))
        p, c = stdio()
        c.answer(c.start("p", ["sh", "-c", "setsid sleep 600 & echo $!; sleep 600"]))
        out = unb64(c.event("process/output")["chunk"])
        p.send_signal(number)
        assert p.wait(10) == 0
        assert not alive(int(out))


@case
def exit_on_stdin_close_does():
    server = Server("--exit-on-stdin-close")
    server.client()
    server.process.stdin.close()
    assert server.process.wait(10) == 0


# --- envelope and life cycle ---------------------------------------------------------------


@case
def answers_what_is_malformed_with_id_minus_one():
    _, c = served()
    for text in ("{not json", "[]", '"x"', "null", "{}", "{} {}", '{"id":null,"method":"x"}',
                 '{"id":1.5,"method":"x"}', '{"id":9223372036854775808,"method":"x"}',
                 '{"id":1,"method":"x","trace":1}', '[{"id":1,"method":"x"}]', "[" * 200):
        c.text(text)
        m = c.receive()
        assert m["id"] == -1 and m["error"]["code"] == -32600, (text, m)
        assert m["error"]["message"].startswith(
            "failed to parse websocket JSON-RPC message from exec-server websocket 127.0.0.1:")
    for number in ("-9223372036854775808", '"a\\"b"', '""'):
        c.text('{"trace":{"traceparent":"x"},"method":"environment/status","x":[{}],"id":%s}' %
               number)
        assert c.answer(json.loads(number)) == {"status": "ready"}


@case
def methods_wait_for_the_life_cycle():
    server = Server()
    c = server.client(hello=False)
    say = "client must call initialize before using %s methods"
    assert c.fails(-32600, "environment/info") == say % "environment info"
    assert c.fails(-32600, "fs/readFile", path="file:///x") == say % "filesystem"
    assert c.fails(-32600, "process/read", processId="x") == say % "exec"
    assert c.fails(-32602, "process/read") == "missing field `processId`"
    assert c.fails(-32601, "bogus/method") == \
        "exec-server stub does not implement `bogus/method` yet"
    assert c.fails(-32602, "initialize") == "missing field `clientName`"
    assert c.fails(-32602, "initialize", clientName=1) == \
        "invalid type: number, expected a string"
    r = c.call("initialize", clientName="x")
    assert r["environmentInfo"]["shell"]["path"].startswith("/")
    assert c.fails(-32600, "process/read", processId="x") == \
        "client must send initialized before using exec methods"
    assert c.fails(-32600, "initialize", clientName="x") == \
        "initialize may only be sent once per connection"
    c.notify("initialized")
    c.notify("initialized")
    assert c.call("environment/info") == r["environmentInfo"]


@case
def twenty_thousand_pipelined_requests_are_answered():
    _, c = served()
    message = b"".join(frame(1, b'{"id":%d,"method":"environment/status"}' % i)
                       for i in range(100000, 120000))
    sender = threading.Thread(target=c.raw, args=(message,))
    sender.start()
    for i in range(100000, 120000):
        assert c.answer(i) == {"status": "ready"}
    sender.join()


@case
def a_long_poll_holds_nobody_up():
    _, c = served()
    c.answer(c.start("p", ["sleep", "600"]))
    slow = c.send("process/read", processId="p", waitMs=600000)
    assert c.call("environment/status") == {"status": "ready"}
    c.call("process/terminate", processId="p")
    r = c.answer(slow)
    assert r["exited"] and r["exitCode"] == 137
    c.finish("p")
    assert c.call("process/read", processId="p", waitMs=600000)["closed"]


WALK = dict(maxDepth=9, maxDirectories=9999, maxEntries=9999, followDirectorySymlinks=False)


@case
def a_flood_of_slow_reads_is_answered_and_leaves_room_for_others():
    server, c = served()
    other = server.client()
    with tempfile.TemporaryDirectory() as d:
        for n in range(3000):
            open("%s/%04d" % (d, n), "w").close()
        asked = [c.send("fs/walk", path=uri(d), options=WALK) for _ in range(150)]
        asked += [c.send("fs/readDirectory", path=uri(d)) for _ in range(150)]
        last = c.send("fs/getMetadata", path=uri(d))
        start = time.monotonic()
        assert len(other.call("fs/walk", path=uri(d), options=WALK)["entries"]) == 3000
        assert len(children(server.process.pid)) <= 8 + 1
        assert time.monotonic() - start < 3
        for n in asked:
            assert len(c.answer(n, 30)["entries"]) == 3000
        assert c.answer(last)["isDirectory"]


def watched_by(pid):
    """What the kernel watches for it."""
    count = 0
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with open("/proc/%d/fdinfo/%s" % (pid, fd)) as f:
            count += f.read().count("inotify wd:")
    return count


@case
def a_flood_of_watches_is_bounded_and_given_back():
    server, c = served()
    with tempfile.TemporaryDirectory() as d:
        asked = [c.send("fs/watchMissing", watchId=n, missing=[uri("%s/%d-%d" % (d, n, m))
                                                              for m in range(64)])
                 for n in range(1000)]
        watching = [c.answer(n)["watching"] for n in asked]
        n = sum(watching)
        assert 10 < n <= 64 and watching == n * [True] + (1000 - n) * [False], n
        other = server.client()
        assert other.call("fs/watchMissing", watchId=1, missing=[uri(d + "/x")])["watching"]
        assert 1 < watched_by(server.pid) < 10
        c.close()
        open(d + "/x", "w").close()
        assert other.event("fs/missingChanged") == {"watchId": 1}
        until(lambda: watched_by(server.pid) == 0, "nothing is watched any more")


@case
def a_flood_of_events_holds_nobody_up():
    server, c = served()
    other = server.client()
    with tempfile.TemporaryDirectory() as d:
        for n in range(64):
            assert c.call("fs/watchMissing", watchId=n, missing=[uri("%s/no-%d" % (d, n))])["watching"]
        busy = other.start("p", ["sh", "-c", "while :; do for n in 1 2 3 4 5 6 7 8 9; do "
                                             ": >%s/yes-$n; done; rm %s/yes-*; done" % (d, d)])
        other.answer(busy)
        start = time.monotonic()
        for n in range(200):
            other.call("environment/status")
        assert time.monotonic() - start < 5
        other.call("process/terminate", processId="p")
        other.finish("p")
        alive = c.call("environment/status")
        assert alive and not [e for e in c.events if e[0].startswith("fs/")], c.events
        open(d + "/no-63", "w").close()
        assert c.event("fs/missingChanged") == {"watchId": 63}


@case
def a_root_too_many_costs_nothing():
    _, c = served()
    box = {"permissions": {"type": "managed", "network": "restricted", "file_system": {
        "type": "restricted", "entries": 100 * [{"path": {"type": "path", "path": uri("/usr/bin")},
                                                 "access": "read"}]}}, "cwd": uri("/")}
    start = time.monotonic()
    c.fails(-32600, "capabilityRoots/discoverV1",
            roots=1500 * [{"id": "a", "path": uri("/usr"), "sandbox": box}])
    assert time.monotonic() - start < 2


@case
def what_is_too_long_to_tell_is_an_error():
    _, c = served()
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(d + "/s")
        for n in range(16):
            os.mkdir("%s/s/%d" % (d, n))
            with open("%s/s/%d/SKILL.md" % (d, n), "wb") as f:
                f.write((1 << 20) * b"\x01")  # six bytes of JSON
        message = c.fails(-32603, "capabilityRoots/discoverV1",
                          roots=[{"id": "a", "path": uri(d)}])
        assert "longer than 64 MiB" in message
        assert c.call("environment/status") == {"status": "ready"}


class Skills:
    """A server whose home holds skills, and what else an attacker puts there."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="airlock-skills-")
        atexit.register(shutil.rmtree, self.root, True)
        os.makedirs(self.root + "/codex/skills")
        _, self.c = served(env=dict(os.environ, HOME=self.root, CODEX_HOME=self.root + "/codex"))

    def put(self, name, text="---\nname: n\ndescription: d\n---\n"):
        path = "%s/codex/skills/%s" % (self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def ask(self, seconds=3, **more):
        began = time.monotonic()
        r = self.c.call("capabilities/discoverV2", cwd=uri("/"), **more)
        assert time.monotonic() - began < seconds
        return [s["name"] for s in r["skills"]], r["warnings"]


@case
def a_skill_that_is_no_file_does_not_hang():
    s = Skills()
    s.put("a/SKILL.md")
    os.makedirs(s.root + "/codex/skills/a/agents")
    os.mkfifo(s.root + "/codex/skills/a/agents/openai.yaml")
    for name, target in (("b", "/dev/zero"), ("c", "/dev/tty"), ("d", "/proc/self/mem"), ("e", "gone")):
        os.mkdir(s.root + "/codex/skills/" + name)
        os.symlink(target, "%s/codex/skills/%s/SKILL.md" % (s.root, name))
    os.mkdir(s.root + "/codex/skills/f")
    os.mkfifo(s.root + "/codex/skills/f/SKILL.md")
    os.makedirs(s.root + "/codex/plugins/cache/m/p/1/.codex-plugin")
    os.mkfifo(s.root + "/codex/plugins/cache/m/p/1/.codex-plugin/plugin.json")
    names, warnings = s.ask()
    assert names == ["n"] and len(warnings) == 1, (names, warnings)


@case
def hostile_yaml_costs_nothing():
    s = Skills()
    big = 500000
    for n, head in enumerate((
            "x: " + "[" * big, "x: " + "{a: " * big, "- " * big, "x:\n" + "- a\n" * (big // 4),
            "".join("%s- \n" % (" " * i) for i in range(900)), "x: |\n" + "\n" * big, "x: '" + "''" * big,
            "a" * big + ": b", "x: " + "a: " * big, "x: [a\n" * (big // 8), "x: \"" + "\\x41" * (big // 4),
            "a: &a [b, c]\n" + "".join("a%d: &a%d [*a, *a]\n" % (i, i) for i in range(1000)),
            "x: " + "`" * big, "".join("k%d: [\n" % i for i in range(20000)))):
        s.put("%02d/SKILL.md" % n, "---\nname: h\n%s\n---\n" % head)
        s.put("x%02d/SKILL.md" % n)
        s.put("x%02d/agents/openai.yaml" % n, head)
    names, warnings = s.ask(seconds=8)
    assert "h" not in names and warnings and "n" in names, (names, warnings)
    assert s.c.call("environment/status") == {"status": "ready"}


@case
def ten_thousand_files_are_counted():
    s = Skills()
    for n in range(100):
        for m in range(100):
            s.put("%02d/%02d" % (n, m), b"")
    s.put("zz/SKILL.md")
    s.put("/".join("d" * 40) + "/SKILL.md")
    assert s.ask(seconds=8) == (["n"], [])


@case
def a_sandbox_hides_skills():
    s = Skills()
    s.put("in/SKILL.md", "---\nname: in\ndescription: d\n---\n")
    os.makedirs(s.root + "/out/s")
    with open(s.root + "/out/s/SKILL.md", "w") as f:
        f.write("---\nname: out\ndescription: d\n---\n")
    os.symlink(s.root + "/out", s.root + "/codex/skills/way")
    assert s.ask()[0] == ["in", "out"]  # a folder that is linked there is one of it

    def box(*paths):
        return {"permissions": {"type": "managed", "network": "restricted", "file_system": {
            "type": "restricted", "entries": [{"path": {"type": "path", "path": uri(p)}, "access": "read"}
                                              for p in paths]}}, "cwd": uri("/")}
    names, warnings = s.ask(sandbox=box(s.root + "/codex"))
    assert names == ["in"] and len(warnings) == 1, (names, warnings)
    names, warnings = s.ask(sandbox=box("/usr"))
    assert names == [] and warnings == [
        "some capability locations could not be resolved; discovery may be incomplete"]


# --- processes ---------------------------------------------------------------------------------


@case
def a_process_tells_its_story_in_order():
    _, c = served()
    code, out = c.run("a", ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (code, out) == (3, {"stdout": b"out\n", "stderr": b"err\n"})
    r = c.call("process/read", processId="a")
    assert [x["seq"] for x in r["chunks"]] == [1, 2] and r["nextSeq"] == 5
    assert (r["exited"], r["exitCode"], r["closed"], r["failure"]) == (True, 3, True, None)
    r = c.call("process/read", processId="a", maxBytes=0)
    assert len(r["chunks"]) == 1 and r["nextSeq"] == 2
    assert not c.call("process/read", processId="a", afterSeq=2)["chunks"]
    assert c.fails(-32600, "process/read", processId="zz") == "unknown process id zz"


@case
def the_start_answer_comes_first_and_seq_never_goes_back():
    _, c = served()
    ids = {c.start("p%d" % i, ["sh", "-c", "echo a; echo b >&2"]): "p%d" % i for i in range(100)}
    for name in ids.values():
        assert c.finish(name)[0] == 0
    seen, started = {}, set()
    for kind, *what in c.log:
        if kind == "answer":
            started.add(ids.get(what[0]))
        elif what[0].startswith("process/"):
            name, seq = what[1]["processId"], what[1]["seq"]
            assert name in started, "an event before the answer to start"
            assert seq == seen.get(name, 0) + 1, (name, seq)
            seen[name] = seq


@case
def start_says_why_it_failed_and_frees_the_id():
    _, c = served()

    def bad(code, **more):
        params = dict(processId="x", argv=["true"], cwd="file:///tmp", env={}, tty=False)
        params.update(more)
        return c.fails(code, "process/start", **params)
    assert bad(-32602, argv=[]) == "argv must not be empty"
    assert bad(-32602, cwd="/tmp") == "invalid URI: relative URL without a base"
    assert bad(-32602, metadata={"threadId": "x"})
    assert bad(-32603, argv=["no-such"]) == "No such file or directory (os error 2)"
    assert bad(-32603, argv=["/etc/passwd"]) == "Permission denied (os error 13)"
    assert bad(-32603, cwd="file:///nope") == "No such file or directory (os error 2)"
    assert bad(-32603, cwd="file:///nope", tty=True) == "No such file or directory (os error 2)"
    assert bad(-32603, argv=["true", "a\0b"]) == "nul byte found in provided data"
    assert bad(-32603, argv=["true", "a" * 140000]) == "Argument list too long (os error 7)"
    assert c.run("x", ["true"])[0] == 0
    assert bad(-32600) == "process x already exists"


@case
def the_child_stands_as_promised():
    _, c = served()
    code, out = c.run("a", ["sh", "-c", "ls -l /proc/self/fd | grep -c socket; readlink "
                            "/proc/self/fd/0; echo $$; cut -d' ' -f5,6 /proc/$$/stat; "
                            "ls /proc/$$/fd | tr '\\n' ' '; grep SigIgn /proc/self/status"])
    lines = out["stdout"].decode().split("\n")
    assert lines[0] == "0" and lines[1] == "/dev/null", lines
    assert lines[3] == "%s %s" % (lines[2], lines[2]), lines
    assert lines[4].startswith("0 1 2") and "0000000000000000" in lines[4], lines
    code, out = c.run("b", ["sh", "-c", "echo $0"], arg0="other")
    assert code == 0
    assert c.run("c", ["env"], env={"A": "1", "B": "=\n"})[1] == {"stdout": b"A=1\nB==\n\n"}


@case
def the_environment_follows_its_policy():
    server = Server(env={"PATH": os.environ["PATH"], "HOME": "/h", "MY_TOKEN": "t", "KEEP": "k",
                         "DROP_ME": "d"})
    c = server.client()

    def env(policy, own=None):
        full = {"inherit": "all", "ignoreDefaultExcludes": False, "exclude": [], "set": {},
                "includeOnly": []}
        full.update(policy)
        c.count = getattr(c, "count", 0) + 1
        _, out = c.run("e%d" % c.count, ["env"], env=own or {}, envPolicy=full)
        return dict(x.split("=", 1) for x in out.get("stdout", b"").decode().splitlines())
    assert set(env({})) == {"PATH", "HOME", "KEEP", "DROP_ME"}
    assert "MY_TOKEN" in env({"ignoreDefaultExcludes": True})
    assert set(env({"inherit": "core"})) == {"PATH", "HOME"}
    assert env({"inherit": "none", "set": {"A": "1", "B": "2"}}, {"B": "3"}) == \
        {"A": "1", "B": "3"}
    assert "DROP_ME" not in env({"exclude": ["drop?m*"]})
    assert set(env({"includeOnly": ["k*"]}, {"Z": "1"})) == {"KEEP", "Z"}
    params = dict(processId="x", argv=["true"], cwd="file:///", env={}, tty=False)
    assert "missing field" in c.fails(-32602, "process/start", envPolicy={"inherit": "all"},
                                      **params)


@case
def a_terminal_is_one():
    _, c = served()
    c.answer(c.start("t", ["sh", "-c", "tty; stty size; read x; echo got $x; kill -9 $$"],
                     tty=True))
    c.call("process/write", processId="t", chunk=b64(b"hi\n"), writeId="1")
    code, out = c.finish("t")
    text = out["pty"].decode()
    assert "/dev/pts/" in text and "24 80\r\n" in text and "got hi" in text, text
    assert code == 137
    c.answer(c.start("u", ["sleep", "600"], tty=True))
    assert c.call("process/signal", processId="u", signal="interrupt") == {}
    assert c.finish("u")[0] == 130


@case
def an_interrupt_reaches_the_foreground_of_a_terminal():
    server, c = served()
    c.answer(c.start("b", ["bash", "-i"], tty=True, env={"PATH": os.environ["PATH"], "PS1": "$ "}))
    c.call("process/write", processId="b", chunk=b64(b"sleep 600\n"), writeId="1")
    until(lambda: any("sleep" in status(p).get("Name", "")
                      for keeper in children(server.pid) for shell in children(keeper)
                      for p in children(shell)), "sleep runs")
    c.call("process/signal", processId="b", signal="interrupt")
    c.call("process/write", processId="b", chunk=b64(b"echo st=$?; exit 5\n"), writeId="2")
    code, out = c.finish("b")
    assert code == 5 and b"st=130" in out["pty"], (code, out)


@case
def signal_interrupts_the_group():
    _, c = served()
    c.answer(c.start("p", ["sh", "-c", "trap 'echo int; exit 4' INT; echo up; "
                           "while :; do sleep 0.05; done"]))
    c.event("process/output")
    assert c.call("process/signal", processId="p", signal="interrupt") == {}
    assert c.event("process/exited")["exitCode"] == 4
    assert c.call("process/signal", processId="p", signal="interrupt") == {}
    assert c.call("process/signal", processId="zz", signal="interrupt") == {}
    assert "unknown variant `kill`" in c.fails(-32602, "process/signal", processId="p",
                                              signal="kill")


@case
def writes_arrive_once_and_whole():
    _, c = served()

    def write(name, data, number):
        return c.call("process/write", processId=name, chunk=b64(data), writeId=number)["status"]
    c.answer(c.start("cat", ["head", "-c", "8"], pipeStdin=True))
    assert write("cat", b"1234", "1") == "accepted"
    assert write("cat", b"1234", "1") == "accepted"
    assert write("cat", b"5678", "2") == "accepted"
    assert c.finish("cat") == (0, {"stdout": b"12345678"})
    assert write("cat", b"x", "3") == "accepted"
    assert write("none", b"x", "3") == "unknownProcess"
    c.answer(c.start("s", ["sleep", "600"]))
    assert write("s", b"x", "1") == "stdinClosed"
    assert c.fails(-32602, "process/write", processId="s", chunk="", writeId="") == \
        "writeId must not be empty"
    assert "base64" in c.fails(-32602, "process/write", processId="s", chunk="a", writeId="1")


@case
def sixteen_mib_go_in_while_nobody_waits():
    _, c = served()
    data = os.urandom(BIG // 16) * 16
    c.answer(c.start("sum", ["sh", "-c", "sleep 0.3; head -c %d | sha256sum" % BIG],
                     pipeStdin=True))
    c.answer(c.start("deaf", ["sleep", "600"], pipeStdin=True))
    half = BIG // 2
    sent = [c.send("process/write", processId="sum", chunk=b64(data[:half]), writeId="1"),
            c.send("process/write", processId="sum", chunk=b64(data[half:]), writeId="2")]
    stuck = [c.send("process/write", processId="deaf", chunk=b64(data[:1 << 20]), writeId=str(i))
             for i in range(4)]
    assert c.call("environment/status") == {"status": "ready"}
    assert [c.answer(n)["status"] for n in sent] == ["accepted"] * 2
    assert c.finish("sum")[1]["stdout"].decode().split()[0] == hashlib.sha256(data).hexdigest()
    c.call("process/terminate", processId="deaf")
    assert [c.answer(n)["status"] for n in stuck] == ["accepted"] * 4


@case
def terminate_reaches_whoever_left():
    _, c = served()
    c.answer(c.start("p", ["sh", "-c", "setsid sh -c 'setsid sleep 601 & echo $!; sleep 602' & "
                           "(setsid sleep 603 & echo $!) ; sleep 0.2; echo up; sleep 604"]))
    text = b""
    while b"up" not in text:
        text += unb64(c.event("process/output")["chunk"])
    pids = [int(word) for word in text.split() if word.isdigit()]
    assert len(pids) == 2 and all(alive(p) for p in pids)
    assert c.call("process/terminate", processId="p") == {"running": True}
    assert c.event("process/exited")["exitCode"] == 137
    c.event("process/closed")
    until(lambda: not any(alive(p) for p in pids), "everybody is dead")
    assert c.call("process/terminate", processId="p") == {"running": False}
    assert c.call("process/terminate", processId="zz") == {"running": False}


@case
def whoever_holds_the_pipes_delays_closed_and_can_be_ended():
    _, c = served()
    c.answer(c.start("p", ["sh", "-c", "sleep 600 & exit 2"]))
    assert c.event("process/exited")["exitCode"] == 2
    r = c.call("process/read", processId="p", afterSeq=1, waitMs=50)
    assert r["exited"] and not r["closed"]
    assert c.call("process/terminate", processId="p") == {"running": False}
    c.event("process/closed")


@case
def a_daemon_that_let_go_outlives_terminate_but_not_its_session():
    server, c = served()
    _, out = c.run("p", ["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"])
    pid = int(out["stdout"])
    c.call("process/terminate", processId="p")
    time.sleep(0.1)
    assert alive(pid)
    server.stop()
    assert not alive(pid)


@case
def a_killed_server_leaves_nobody():
    server, c = served()
    c.answer(c.start("p", ["sh", "-c", "setsid sleep 600 & echo $!; sleep 600"]))
    pid = int(unb64(c.event("process/output")["chunk"]))
    server.stop(signal.SIGKILL)
    until(lambda: not alive(pid), "its keeper killed it")


@case
def the_newest_mib_is_retained():
    _, c = served()
    c.run("p", ["head", "-c", str(5 << 20), "/dev/zero"])
    r = c.call("process/read", processId="p")
    total = sum(len(unb64(x["chunk"])) for x in r["chunks"])
    assert (1 << 20) - 8192 <= total <= 1 << 20, total
    assert max(len(unb64(x["chunk"])) for x in r["chunks"]) <= 8192
    assert r["chunks"][-1]["seq"] == r["nextSeq"] - 3


@case
def a_client_that_does_not_read_pauses_its_processes_and_nobody_else():
    server, c = served()
    c.answer(c.start("flood", ["sh", "-c", "head -c 300000000 /dev/zero; echo done >&2"]))
    other = server.client()
    assert other.run("q", ["true"])[0] == 0
    time.sleep(0.3)
    size = int(status(server.pid)["VmRSS"].split()[0])
    assert size < 20000, "%d kB for one slow client" % size
    total = 0
    while True:
        m = c.receive()
        if m.get("method") == "process/closed":
            break
        if m.get("method") == "process/output" and m["params"]["stream"] == "stdout":
            total += len(m["params"]["chunk"]) // 4 * 3 - m["params"]["chunk"][-2:].count("=")
        c.events.clear()
        c.log.clear()
    assert total == 300000000, total
    until(lambda: int(status(server.pid)["VmRSS"].split()[0]) < 8000, "the memory is back")


@case
def the_pipe_of_a_flood_is_wider_and_nothing_of_it_is_lost():
    server = Server()
    code = ("import fcntl, os, sys\n"
            "for i in range(int(sys.argv[1])):\n"
            "    os.write(1, b'%8191d\\n' % i)\n"
            "print(fcntl.fcntl(1, 1032), file=sys.stderr)")  # F_GETPIPE_SZ

    def run(count):
        p = subprocess.run([AIRLOCK, "exec-client", server.address, "--", "python3", "-c", code,
                            str(count)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           check=True, timeout=60)
        assert p.stdout == b"".join(b"%8191d\n" % i for i in range(count))
        return int(p.stderr)

    assert run(2) == 65536
    assert run(6000) == 262144


@case
def what_trickles_behind_a_flood_comes_at_once():
    _, c = served()
    c.answer(c.start("p", ["sh", "-c", "head -c 30000000 /dev/zero; read x; echo $x >&2; read x"],
                     pipeStdin=True))
    total = 0
    while total < 30000000:
        total += len(unb64(c.event("process/output", "p")["chunk"]))
        c.log.clear()
    assert total == 30000000
    begin = time.monotonic()
    c.call("process/write", processId="p", chunk=b64(b"here\n"), writeId="1")
    assert unb64(c.event("process/output", "p")["chunk"]) == b"here\n"
    assert time.monotonic() - begin < 1
    c.call("process/write", processId="p", chunk=b64(b"end\n"), writeId="2")
    assert c.event("process/exited", "p")["exitCode"] == 0
    assert c.event("process/closed", "p")


# --- sessions --------------------------------------------------------------------------------


@case
def a_session_is_resumed_with_what_was_missed():
    server, c = served()
    c.answer(c.start("p", ["sh", "-c", "echo one; read x; echo two; sleep 600"], pipeStdin=True))
    assert c.event("process/output")["seq"] == 1
    c.close()
    d = server.client(hello=False)
    until(lambda: resumed(d, c.session), "the server saw the end of the connection")
    d.notify("initialized")
    d.call("process/write", processId="p", chunk=b64(b"\n"), writeId="1")
    assert unb64(d.event("process/output")["chunk"]) == b"two\n"
    r = d.call("process/read", processId="p", afterSeq=0)
    assert [unb64(x["chunk"]) for x in r["chunks"]] == [b"one\n", b"two\n"]
    e = server.client(hello=False)
    assert e.fails(-32010, "initialize", clientName="x", resumeSessionId=c.session) == \
        "session %s is already attached to another connection" % c.session
    assert e.fails(-32600, "initialize", clientName="x", resumeSessionId="nope") == \
        "unknown session id nope"
    e.hello()
    assert e.fails(-32600, "process/read", processId="p") == "unknown process id p"


def resumed(c, session):
    try:
        return c.call("initialize", clientName="x", resumeSessionId=session)["sessionId"] == session
    except RpcError as e:
        assert e.code == -32010, e
        return False


# --- files -------------------------------------------------------------------------------------


@case
def files_are_read_and_written():
    _, c = served()
    d = folder()
    f = d + "/a b%é#?"
    assert c.call("fs/writeFile", path=uri(f), dataBase64=b64(b"one")) == {}
    os.chmod(f, 0o640)
    inode = os.stat(f).st_ino
    c.call("fs/writeFile", path=uri(f), dataBase64=b64(b"tw"))
    assert os.stat(f).st_ino == inode and os.stat(f).st_mode & 0o777 == 0o640
    assert unb64(c.call("fs/readFile", path=uri(f))["dataBase64"]) == b"tw"
    os.symlink("new", d + "/dangling")
    c.call("fs/writeFile", path=uri(d + "/dangling"), dataBase64="")
    assert os.path.exists(d + "/new")
    assert c.fails(-32004, "fs/writeFile", path=uri(d + "/no/x"), dataBase64="") == \
        "No such file or directory (os error 2)"
    assert c.fails(-32603, "fs/writeFile", path=uri(d), dataBase64="")
    assert "fs/writeFile requires valid base64 dataBase64" in \
        c.fails(-32600, "fs/writeFile", path=uri(f), dataBase64="a")
    assert c.fails(-32004, "fs/readFile", path=uri(d + "/no"))
    os.mkfifo(d + "/fifo")
    for odd in (d, d + "/fifo", "/dev/null"):
        assert c.fails(-32600, "fs/readFile", path=uri(odd)) == "path `%s` is not a file" % odd
    assert c.fails(-32600, "fs/writeFile", path=uri(d + "/fifo"), dataBase64="YQ==")
    c.call("fs/writeFile", path=uri("/dev/null"), dataBase64="YQ==")
    text = unb64(c.call("fs/readFile", path=uri("/proc/self/status"))["dataBase64"])
    assert b"airlock-exec" in text


@case
def large_files_pass_in_little_memory():
    server, c = served()
    f = folder() + "/big"
    data = os.urandom(1 << 20) * 11
    c.call("fs/writeFile", path=uri(f), dataBase64=b64(data))
    # 40 MiB, in fragments of less than a frame's limit.
    text = json.dumps({"id": "w", "method": "fs/writeFile", "params": {
        "path": uri(f), "dataBase64": b64(data * 3 + data[:7 << 20])}}).encode()
    for at in range(0, len(text), 8 << 20):
        c.raw(frame(0 if at else 1, text[at:at + (8 << 20)], fin=at + (8 << 20) >= len(text)))
    assert c.answer("w") == {} and os.stat(f).st_size == 40 << 20
    before = int(status(server.pid)["VmRSS"].split()[0])
    assert before < 8000, "%d kB after a large write" % before
    number = c.send("fs/readFile", path=uri(f))
    later = c.send("environment/status")
    assert unb64(c.answer(number, 60)["dataBase64"]) == data * 3 + data[:7 << 20]
    assert c.answer(later) == {"status": "ready"}
    peak = int(status(server.pid)["VmHWM"].split()[0])
    assert peak < 200000, peak
    os.unlink(f)


@case
def uris_are_read_as_browsers_do():
    _, c = served()
    d = folder()
    with open(d + "/f", "w") as f:
        f.write("x")
    for good in ("FILE://%s/f", "file:%s/f", "file://localhost%s/f", "file://%s/./a/../f",
                 "file://%s%%2Ff", "file://%s//f", "file://%s/%%66", " file://%s/f"):
        assert unb64(c.call("fs/readFile", path=good % d)["dataBase64"]) == b"x", good
    rows = [("/tmp", "invalid URI: relative URL without a base"),
            ("http://x/", "unsupported path URI scheme `http`"),
            ("file://host/tmp", "'file://host/tmp' is invalid on 'linux'"),
            ("file:///x?y", "query parameters are not allowed in path URIs"),
            ("file:///x#y", "fragments are not allowed in path URIs"), ("file:///x%00", "")]
    for bad, text in rows:
        got = c.fails(-32602, "fs/readFile", path=bad)
        assert text in got, (bad, got)


@case
def names_and_directories():
    _, c = served()
    d = folder()
    assert c.call("fs/createDirectory", path=uri(d + "/a/b/c")) == {}
    assert c.call("fs/createDirectory", path=uri(d + "/a/b/c")) == {}
    assert c.fails(-32603, "fs/createDirectory", path=uri(d + "/a"), recursive=False) == \
        "File exists (os error 17)"
    assert c.fails(-32004, "fs/createDirectory", path=uri(d + "/x/y"), recursive=False)
    open(d + "/f", "w").close()
    assert c.fails(-32603, "fs/createDirectory", path=uri(d + "/f")) == "File exists (os error 17)"
    os.symlink("f", d + "/l")
    os.symlink("gone", d + "/dead")
    os.symlink("a", d + "/la")
    m = c.call("fs/getMetadata", path=uri(d + "/l"))
    assert (m["isFile"], m["isSymlink"], m["isDirectory"], m["createdAtMs"]) == \
        (True, True, False, 0)
    assert abs(m["modifiedAtMs"] - time.time() * 1000) < 60000
    assert c.fails(-32004, "fs/getMetadata", path=uri(d + "/dead"))
    assert c.fails(-32600, "fs/getMetadata", path=uri(d + "/la/b"), followSymlinks=False) == \
        "path contains a symbolic link"
    assert c.fails(-32603, "fs/readFile", path=uri(d + "/l"), followSymlinks=False) == \
        "Symbolic link loop (os error 40)"
    assert c.call("fs/canonicalize", path=uri(d + "/la/../l"))["path"] == uri(d + "/f")
    entries = c.call("fs/readDirectory", path=uri(d))["entries"]
    assert {e["fileName"]: (e["isDirectory"], e["isFile"]) for e in entries} == \
        {"a": (True, False), "f": (False, True), "l": (False, True), "la": (True, False)}
    assert c.fails(-32603, "fs/readDirectory", path=uri(d + "/f")) == \
        "Not a directory (os error 20)"
    assert c.fails(-32603, "fs/remove", path=uri(d + "/a"), recursive=False) == \
        "Directory not empty (os error 39)"
    assert c.call("fs/remove", path=uri(d + "/la")) == {} and os.path.isdir(d + "/a/b")
    assert c.call("fs/remove", path=uri(d + "/a")) == {} and not os.path.exists(d + "/a")
    assert c.call("fs/remove", path=uri(d + "/a")) == {}
    assert c.fails(-32004, "fs/remove", path=uri(d + "/a"), force=False)


@case
def a_walk_is_breadth_first_and_bounded():
    _, c = served()
    d = folder()
    for p in ("b/x", "a/y/z", ".h/q"):
        os.makedirs(d + "/" + p)
    open(d + "/b/f", "w").close()
    os.symlink(".", d + "/a/loop")
    options = dict(maxDepth=9, maxDirectories=99, maxEntries=99, followDirectorySymlinks=False)

    def walk(**more):
        r = c.call("fs/walk", path=uri(d), options=dict(options, **more))
        return [e["path"][len(uri(d)) + 1:] for e in r["entries"]], r["truncated"]
    assert walk() == ([".h", "a", "b", ".h/q", "a/y", "b/f", "b/x", "a/y/z"], False)
    assert walk(maxDepth=0) == ([".h", "a", "b"], False)
    assert walk(pruneHiddenDirectories=True)[0] == [".h", "a", "b", "a/y", "b/f", "b/x", "a/y/z"]
    assert walk(maxEntries=2) == ([".h", "a"], True)
    assert walk(maxDirectories=1) == ([".h", "a", "b"], True)
    assert "a/loop" in walk(followDirectorySymlinks=True)[0]
    assert c.call("fs/walk", path=uri(d + "/b/f"), options=options)["entries"] == []
    assert c.fails(-32600, "fs/walk", path=uri(d), options=dict(options, maxEntries=0))
    assert c.fails(-32602, "fs/walk", path=uri(d), options={})


@case
def copies_are_copies():
    _, c = served()
    d = folder()

    def copy(a, b, recursive=False):
        return dict(sourcePath=uri(d + a), destinationPath=uri(d + b), recursive=recursive)
    os.makedirs(d + "/s/t")
    with open(d + "/s/t/f", "w") as f:
        f.write("x" * 100000)
    os.chmod(d + "/s/t/f", 0o751)
    os.symlink("t/f", d + "/s/l")
    assert c.fails(-32600, "fs/copy", **copy("/s", "/o")) == \
        "fs/copy requires recursive: true when sourcePath is a directory"
    assert c.call("fs/copy", **copy("/s", "/o", True)) == {}
    assert os.readlink(d + "/o/l") == "t/f" and os.stat(d + "/o/t/f").st_mode & 0o777 == 0o751
    assert os.stat(d + "/o/t/f").st_size == 100000
    assert "itself or one of its descendants" in c.fails(-32600, "fs/copy",
                                                         **copy("/s", "/s/t/n", True))
    assert "itself or one of its descendants" in c.fails(-32600, "fs/copy", **copy("/s", "/s", True))
    os.mkfifo(d + "/fifo")
    assert c.fails(-32600, "fs/copy", **copy("/fifo", "/z")) == \
        "fs/copy only supports regular files, directories, and symlinks"
    assert c.fails(-32602, "fs/copy", sourcePath=uri(d), destinationPath=uri(d)) == \
        "missing field `recursive`"
    c.call("fs/copy", **copy("/s/t/f", "/s/t/f"))
    assert os.stat(d + "/s/t/f").st_size == 100000
    # Pipelined calls on what is being removed come after it.
    n = c.send("fs/remove", path=uri(d + "/o"))
    m = c.send("fs/createDirectory", path=uri(d + "/o"))
    assert c.answer(n) == {} and c.answer(m) == {} and os.listdir(d + "/o") == []


@case
def handles_read_and_write_blocks():
    _, c = served()
    f = folder() + "/f"
    assert c.call("fs/open", handleId="w", path=uri(f), mode="replace") == {"handleId": "w"}
    assert os.path.exists(f)
    assert c.call("fs/writeBlock", handleId="w", offset=10, chunk=b64(b"abc")) == {}
    assert c.call("fs/open", handleId="r", path=uri(f)) == {"handleId": "r"}
    assert c.call("fs/readBlock", handleId="r", offset=9, len=3) == \
        {"chunk": b64(b"\0ab"), "eof": False}
    assert c.call("fs/readBlock", handleId="r", offset=12, len=9) == \
        {"chunk": b64(b"c"), "eof": True}
    assert c.fails(-32600, "fs/open", handleId="r", path=uri(f)) == \
        "file handle `r` already exists"
    assert c.fails(-32600, "fs/open", handleId="x" * 33, path=uri(f))
    assert c.fails(-32600, "fs/readBlock", handleId="r", offset=0, len=1 << 21)
    assert c.fails(-32004, "fs/readBlock", handleId="zz", offset=0, len=1)
    for i in range(126):
        c.call("fs/open", handleId=str(i), path=uri(f))
    assert c.fails(-32600, "fs/open", handleId="more", path=uri(f)) == \
        "at most 128 file handles may be open per connection"
    assert c.call("fs/close", handleId="r") == {} and c.call("fs/close", handleId="r") == {}
    assert c.call("fs/open", handleId="more", path=uri(f))


# --- sandbox ------------------------------------------------------------------------------------


def sandbox(root, *extra, network="restricted", base="read"):
    def special(**value):
        return {"type": "special", "value": value}
    entries = [{"path": special(kind="root"), "access": base},
               {"path": special(kind="project_roots"), "access": "write"},
               {"path": special(kind="project_roots", subpath=".git"), "access": "read",
                "missing_path_behavior": "skip"}]
    return {"permissions": {"type": "managed", "network": network, "file_system": {
        "type": "restricted", "entries": entries + list(extra)}},
        "cwd": uri(root), "workspaceRoots": [uri(root)]}


def workspace():
    """A folder of the root user with a workspace in it, and something outside."""
    d = folder()
    for p in ("/ws/.git", "/ws/src", "/out"):
        os.makedirs(d + p)
    with open(d + "/out/secret", "w") as f:
        f.write("secret")
    return d


@case
def a_sandbox_holds_for_processes():
    _, c = served()
    d = workspace()
    script = ("echo a > src/ok && echo wrote; echo b > ../out/bad; echo c > .git/bad; "
              "rm -rf .git; mv .git g; ln ../out/secret src/hard && echo x > src/hard; "
              "mv ../out/secret .; exec 3<>/dev/tcp/127.0.0.1/%s; echo net=$?")
    with socket.create_server(("127.0.0.1", 0)) as s:
        n = c.start("p", ["bash", "-c", script % s.getsockname()[1]], cwd=d + "/ws",
                    sandbox=sandbox(d + "/ws"))
        try:
            answer = c.answer(n)
        except RpcError as e:
            skip(e.message)
    assert answer["sandboxType"] == "linuxSeccomp"
    code, out = c.finish("p")
    assert out["stdout"] == b"wrote\nnet=1\n", out
    assert os.listdir(d + "/out") == ["secret"] and os.listdir(d + "/ws/.git") == []
    with open(d + "/out/secret") as f:
        assert f.read() == "secret"


@case
def what_may_not_be_read_is_not():
    _, c = served()
    d = workspace()
    none = {"path": {"type": "path", "path": uri(d + "/out")}, "access": "none"}
    try:
        c.answer(c.start("p", ["sh", "-c", "cat ../out/secret; ls ../out; echo end"],
                         cwd=d + "/ws", sandbox=sandbox(d + "/ws", none)))
    except RpcError as e:
        skip(e.message)
    out = c.finish("p")[1]
    assert out["stdout"] == b"end\n", out
    for method in ("readFile", "getMetadata", "canonicalize"):
        assert c.fails(-32600, "fs/" + method, path=uri(d + "/out/secret"),
                       sandbox=sandbox(d + "/ws", none)) == "Permission denied (os error 13)"


@case
def a_sandbox_holds_for_file_calls():
    _, c = served()
    d = workspace()
    box = sandbox(d + "/ws")

    def denied(method, path, **more):
        c.fails(-32600, method, path=uri(path), sandbox=box, **more)
    c.call("fs/writeFile", path=uri(d + "/ws/src/a"), dataBase64="YQ==", sandbox=box)
    c.call("fs/createDirectory", path=uri(d + "/ws/x/y"), sandbox=box)
    denied("fs/writeFile", d + "/out/b", dataBase64="YQ==")
    denied("fs/writeFile", d + "/out/secret", dataBase64="YQ==")
    denied("fs/writeFile", d + "/ws/.git/b", dataBase64="YQ==")
    denied("fs/writeFile", d + "/ws/src/../../out/b", dataBase64="YQ==")
    c.fails(-32600, "fs/writeFile", path=uri(d) + "/ws/src%2F..%2F..%2Fout/b",
            dataBase64="YQ==", sandbox=box)
    denied("fs/createDirectory", d + "/out/d")
    denied("fs/remove", d + "/out")
    denied("fs/remove", d + "/ws/.git")
    denied("fs/open", d + "/out/secret", handleId="h", mode="replace")
    os.symlink(d + "/out", d + "/ws/link")
    os.symlink(d + "/out/new", d + "/ws/dangling")
    denied("fs/writeFile", d + "/ws/link/secret", dataBase64="YQ==")
    denied("fs/writeFile", d + "/ws/link/n", dataBase64="YQ==")
    denied("fs/remove", d + "/ws/link/secret")
    for path in ("/ws/dangling",):
        try:
            c.call("fs/writeFile", path=uri(d + path), dataBase64="YQ==", sandbox=box)
            raise AssertionError("written through " + path)
        except RpcError:
            pass
    try:
        c.call("fs/copy", sourcePath=uri(d + "/ws/src"), destinationPath=uri(d + "/ws/link/c"),
               recursive=True, sandbox=box)
        raise AssertionError("copied out")
    except RpcError as e:
        assert e.code == -32600, e
    c.call("fs/remove", path=uri(d + "/ws/link"), sandbox=box)
    assert os.listdir(d + "/out") == ["secret"] and os.listdir(d + "/ws/.git") == []


@case
def swapping_links_gain_nothing():
    """A thread exchanges a folder and a link out while writes go through the name."""
    server, c = served()
    d = workspace()
    os.mkdir(d + "/ws/flip")
    os.symlink(d + "/out", d + "/ws/flop")
    flips = start(["python3", "-c", """
import ctypes, sys
libc = ctypes.CDLL(None)
a, b = sys.argv[1].encode(), sys.argv[2].encode()
while True:
    libc.syscall(316, -100, a, -100, b, 2)
""", d + "/ws/flip", d + "/ws/flop"])
    box = sandbox(d + "/ws")
    went = 0
    for i in range(400):
        try:
            c.call("fs/writeFile", path=uri(d + "/ws/flip/f"), dataBase64="YQ==", sandbox=box)
            went += 1
        except RpcError as e:
            assert e.code in (-32600, -32004, -32603), e
        try:
            c.call("fs/createDirectory", path=uri(d + "/ws/flip/d%d" % i), sandbox=box)
        except RpcError:
            pass
    flips.kill()
    assert os.listdir(d + "/out") == ["secret"], os.listdir(d + "/out")
    assert went, "no write ever met the folder"


@case
def a_sandbox_that_is_not_understood_is_refused():
    _, c = served()
    d = workspace()
    params = dict(processId="p", argv=["true"], cwd=uri(d), env={}, tty=False)
    box = sandbox(d)
    box["permissions"]["file_system"]["entries"][0]["path"]["value"]["kind"] = "moon"
    assert "`moon`" in c.fails(-32602, "process/start", sandbox=box, **params)
    assert "`moon`" in c.fails(-32602, "fs/writeFile", path=uri(d + "/x"), dataBase64="",
                               sandbox=box)
    assert "permissions" in c.fails(-32602, "process/start", sandbox={}, **params)
    glob = {"path": {"type": "glob_pattern", "pattern": "**/*.env"}, "access": "none"}
    assert "glob_pattern" in c.fails(-32602, "process/start", sandbox=sandbox(d, glob), **params)
    missing = {"path": {"type": "path", "path": uri(d + "/ws/gone")}, "access": "read"}
    assert "can't be protected" in c.fails(-32603, "process/start",
                                          sandbox=sandbox(d, missing), **params)
    for extra in ({"enforceManagedNetwork": True}, {"networkProxy": {}}, {"managedNetwork": {}},
                  {"shellSnapshot": {}}):
        assert "not supported" in c.fails(-32602, "process/start", **params, **extra)
    assert not os.path.exists(d + "/x")


COME_BACK = """
import socket, sys
s = socket.socket(socket.AF_UNIX if sys.argv[1][0] == "/" else socket.AF_INET)
s.connect(sys.argv[1] if sys.argv[1][0] == "/" else ("127.0.0.1", int(sys.argv[1])))
s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
          b"Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
print(s.recv(4096)[:12])
"""


@case
def what_runs_in_a_sandbox_is_no_client_of_its_server():
    """A client may do anything: a sandbox that could become one would be none."""
    path = folder() + "/s"
    server = Server(listen="unix:" + path)
    c = server.client()
    d = workspace()

    def tries(where, name, network="restricted", client=c):
        n = client.start(name, ["python3", "-c", COME_BACK, where], cwd=d + "/ws",
                         sandbox=sandbox(d + "/ws", network=network))
        try:
            client.answer(n)
        except RpcError as e:
            return e.message
        code, out = client.finish(name)
        return out.get("stdout", b"") + out.get("stderr", b"")
    said = tries(path, "a")
    if isinstance(said, str):
        skip(said)
    assert b"101" not in said and (b"b''" in said or b"reset" in said or b"Broken" in said), said
    # Nor when whoever asked is gone before it is looked at, or hides behind a fork.
    double = "import os\nif os.fork(): os._exit(0)\nos.setsid()\n" + COME_BACK
    out = c.run("b", ["python3", "-c", double, path])[1]
    assert b"101" not in out.get("stdout", b""), out
    server.client().call("environment/status")
    # Over TCP nobody can tell who it is: a sandbox with a network needs a token between.
    plain = Server()
    said = tries(plain.address.rsplit(":", 1)[1], "c", "enabled", plain.client())
    assert "--ws-token-sha256" in said, said
    key = folder() + "/token"
    with open(key, "w") as f:
        f.write("tok")
    bearer = ["Authorization: Bearer tok"]
    by_file = Server("--ws-auth", "capability-token", "--ws-token-file", key)
    said = tries(by_file.address.rsplit(":", 1)[1], "d", "enabled", by_file.client(bearer))
    assert "--ws-token-sha256" in said, "the token can be read there: %s" % said
    by_hash = Server("--ws-auth", "capability-token", "--ws-token-sha256",
                     hashlib.sha256(b"tok").hexdigest())
    said = tries(by_hash.address.rsplit(":", 1)[1], "e", "enabled", by_hash.client(bearer))
    assert b"401" in said, said


@case
def no_file_call_reaches_into_a_process():
    server, c = served()
    other = server.client()
    d = folder()
    os.symlink("/proc/self/mem", d + "/link")
    os.symlink("/proc/self", d + "/self")
    for path in ("/proc/self/mem", "/proc/%d/mem" % server.pid, "/proc/thread-self/mem",
                 "/proc/self/task/%d/mem" % server.pid, d + "/link", d + "/self/mem",
                 "/proc/self/root/proc/self/mem"):
        for mode in ("read", "replace"):
            assert c.fails(-32600, "fs/open", handleId="h", path=uri(path), mode=mode) == \
                "Permission denied (os error 13)", path
        assert c.fails(-32600, "fs/readFile", path=uri(path))
        assert c.fails(-32600, "fs/writeFile", path=uri(path), dataBase64="YQ==")
        try:
            c.call("fs/copy", sourcePath=uri(path), destinationPath=uri(d + "/copy"), recursive=False)
        except RpcError:
            pass
        assert not os.path.isfile(d + "/copy") or not os.path.getsize(d + "/copy"), path
    # And what it runs is no debugger of it.
    code, out = c.run("p", ["sh", "-c", "cat /proc/%d/environ /proc/%d/maps | wc -c; "
                            "ls -l /proc/%d/fd | wc -l" % ((server.pid,) * 3)])
    if status(os.getpid())["CapEff"] == "0" * 16:
        assert out["stdout"].split() == [b"0", b"0"], out
    other.call("environment/status")


@case
def trees_stop_at_what_may_not_be_touched():
    _, c = served()
    d = workspace()
    os.makedirs(d + "/ws/keys/deep")
    for name in ("/ws/keys/k", "/ws/keys/deep/k", "/ws/src/f"):
        with open(d + name, "w") as f:
            f.write("hush")
    box = sandbox(d + "/ws", {"path": {"type": "path", "path": uri(d + "/ws/keys")},
                              "access": "none"})

    def tries(method, **params):
        try:
            return json.dumps(c.call(method, sandbox=box, **params))
        except RpcError as e:
            assert e.code == -32600, e
            return ""
    options = dict(maxDepth=9, maxDirectories=99, maxEntries=99, followDirectorySymlinks=True)
    os.symlink("../keys", d + "/ws/src/way")
    assert "/k" not in tries("fs/walk", path=uri(d + "/ws"), options=options).replace("/keys", "")
    assert "/k" not in tries("fs/walk", path=uri(d + "/ws/src/way"), options=options)
    assert not tries("fs/readDirectory", path=uri(d + "/ws/keys"))
    assert not tries("fs/readDirectory", path=uri(d + "/ws/src/way"))
    assert not tries("fs/readFile", path=uri(d + "/ws/src/way/k"))
    tries("fs/copy", sourcePath=uri(d + "/ws"), destinationPath=uri("/tmp/../" + d[1:] + "/ws/src/c"),
          recursive=True)
    tries("fs/copy", sourcePath=uri(d + "/ws/keys"), destinationPath=uri(d + "/ws/src/c2"),
          recursive=True)
    for root, _, files in os.walk(d + "/ws/src"):
        assert "k" not in files, root
    tries("fs/remove", path=uri(d + "/ws"), recursive=True)
    tries("fs/remove", path=uri(d + "/ws/keys"), recursive=True)
    assert os.path.exists(d + "/ws/keys/deep/k") and os.path.isdir(d + "/ws/.git")
    tries("fs/copy", sourcePath=uri(d + "/ws/src/f"), destinationPath=uri(d + "/ws/keys/k"),
          recursive=False)
    with open(d + "/ws/keys/k") as f:
        assert f.read() == "hush"


@case
def those_who_never_say_what_they_want_make_room():
    server = Server()
    crowd = [connect(server.address) for _ in range(300)]
    c = server.client()
    assert c.call("environment/status") == {"status": "ready"}
    for s in crowd:
        s.close()


# --- http ------------------------------------------------------------------------------------


@case
def an_http_request_goes_out_and_its_answer_comes_back():
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201)
            self.send_header("X-Multi", "a")
            self.send_header("X-Multi", "b")
            self.end_headers()
            self.wfile.write(json.dumps([self.path, self.headers["X-A"], self.headers["X-E"],
                                         body.decode()]).encode())

        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()

        def log_message(self, *_):
            pass
    web = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    base = "http://127.0.0.1:%d" % web.server_port
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}

    def ask(c, url, **more):
        params = dict(method="POST", url=url, requestId="r", bodyBase64=b64(b"hi"), headers=[
            {"name": "X-A", "value": "1"}, {"name": "X-E", "valueEnvVar": "SECRET_E"}])
        params.update(more)
        return c.call("http/request", **params)
    for env, path in ((dict(clean, SECRET_E="e"), "/x?y"),
                      (dict(clean, SECRET_E="e", http_proxy=base), "http://nowhere.test/x?y")):
        c = Server(env=env).client()
        r = ask(c, base + path if path[0] == "/" else path)
        assert r["status"] == 201 and json.loads(unb64(r["bodyBase64"])) == [path, "1", "e", "hi"]
        assert [h["value"] for h in r["headers"] if h["name"].lower() == "x-multi"] == ["a", "b"]
    c = Server(env=dict(clean, SECRET_E="e")).client()
    assert ask(c, base, method="GET", redirectPolicy="stop")["status"] == 302

    def fails(code, text, **more):
        params = dict(method="GET", url=base, requestId="r")
        params.update(more)
        got = c.fails(code, "http/request", **params)
        assert text in got, got
    fails(-32603, "too many redirects")
    fails(-32602, "only supports http and https URLs, got ftp", url="ftp://x/")
    fails(-32602, "method is invalid", method="A B")
    fails(-32602, "header name is invalid", headers=[{"name": "a b", "value": ""}])
    fails(-32602, "header value is invalid for a", headers=[{"name": "a", "value": "x\r\ny"}])
    fails(-32602, "is not set", headers=[{"name": "a", "valueEnvVar": "NOT_SET_X"}])
    fails(-32603, "https goes through airlock-proxy alone", url="https://x/")
    fails(-32603, "http/request failed", url="http://127.0.0.1:1/")
    c = Server(env=dict(clean, https_proxy=base)).client()
    fails(-32603, "http/request failed: the proxy refused: 501", url="https://x/")
    web.shutdown()


class Web:
    """A server that plays what @play(connection, head) does, each connection in a thread."""

    def __init__(self, play):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/x" % self.socket.getsockname()[1]
        self.heads, self.play = [], play
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                threading.Thread(target=self.serve, args=(self.socket.accept()[0],),
                                 daemon=True).start()
            except OSError:
                return

    def serve(self, s):
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(65536)
        self.heads.append(head.decode())
        with s:
            try:
                self.play(s, head.decode())
            except OSError:
                pass


def plain_env():
    return {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}


def ask(c, url, **more):
    params = dict(method="GET", url=url, requestId="r", headers=[])
    params.update(more)
    return c.send("http/request", **params)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: B\r\n\r\n"


def deltas(c, name):
    """(bytes, error) of a stream, whose pieces come in order and end once."""
    seq, out = 0, bytearray()
    while True:
        m = c.event("http/request/bodyDelta")
        c.log.clear()
        assert m["requestId"] == name and m["seq"] == seq + 1, m
        seq = m["seq"]
        if m["done"]:
            assert m["deltaBase64"] == "", m
            return bytes(out), m["error"]
        out += unb64(m["deltaBase64"])


@case
def a_response_is_streamed_as_it_comes():
    go = threading.Event()

    def play(s, _):
        s.sendall(CHUNKED + b"6\r\ndata: \r\n")
        go.wait(10)
        s.sendall(b"4\r\nnext\r\n0\r\n\r\n")
    web = Web(play)
    c = Server(env=plain_env()).client()
    n = ask(c, web.url, streamResponse=True, requestId='s"1')
    r = c.answer(n)
    assert (r["status"], r["bodyBase64"]) == (200, "") and {"name": "x-a", "value": "B"} in r["headers"]
    first = c.event("http/request/bodyDelta")
    assert first == {"requestId": 's"1', "seq": 1, "deltaBase64": b64(b"data: "), "done": False,
                     "error": None}
    assert "`s" in c.fails(-32602, "http/request", method="GET", url=web.url, requestId='s"1',
                           streamResponse=True)
    assert c.run("p", ["true"])[0] == 0  # it holds nobody up
    go.set()
    second, end = c.event("http/request/bodyDelta"), c.event("http/request/bodyDelta")
    assert unb64(second["deltaBase64"]) == b"next" and not second["done"]
    assert (end["seq"], end["done"], end["error"]) == (3, True, None)
    assert c.log.index(("answer", n)) < c.log.index(("event", "http/request/bodyDelta", first))
    # The id is free again; and one that is not streamed comes whole.
    c.answer(ask(c, web.url, streamResponse=True, requestId='s"1'))
    assert deltas(c, 's"1') == (b"data: next", None)
    assert unb64(c.answer(ask(c, web.url))["bodyBase64"]) == b"data: next"


@case
def a_stream_that_breaks_says_so():
    plays = [(CHUNKED + b"3\r\nabc\r\n", "it is cut off", b"abc"),
             (CHUNKED + b"3\r\nabc\r\nzz\r\n", "chunk", b"abc"),
             (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "it is cut off", b"abc"),
             (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", None, b"abc"),
             (b"HTTP/1.1 200 OK\r\n\r\nabc", None, b"abc"),
             (b"HTTP/1.1 204 No\r\n\r\n", None, b"")]
    c = Server(env=plain_env()).client()
    for i, (text, why, body) in enumerate(plays):
        web = Web(lambda s, _, text=text: s.sendall(text))
        c.answer(ask(c, web.url, streamResponse=True, requestId="s%d" % i))
        got, error = deltas(c, "s%d" % i)
        assert got == body and (why.lower() in error.lower() if why else error is None), (text, got, error)
        if why:
            try:
                c.answer(ask(c, web.url))
                raise AssertionError("whole: %r" % text)
            except RpcError as e:
                assert e.code == -32603 and "failed to read http/request response body" in e.message
    web = Web(lambda s, _: s.sendall(b"HTTP/1.1 200"))
    try:
        c.answer(ask(c, web.url, streamResponse=True, requestId="none"))
        raise AssertionError("no head")
    except RpcError as e:
        assert e.message == "http/request failed: the response is cut off", e
    slow = Web(lambda s, _: (s.sendall(CHUNKED + b"1\r\nx\r\n"), time.sleep(5)))
    c.answer(ask(c, slow.url, streamResponse=True, requestId="slow", timeoutMs=300))
    got, error = deltas(c, "slow")
    assert got == b"x" and "timed out" in error, error
    mute = Web(lambda s, _: time.sleep(5))
    try:
        c.answer(ask(c, mute.url, timeoutMs=300))
        raise AssertionError("in time")
    except RpcError as e:
        assert "timed out" in e.message, e


def helpers(server):
    return [p for p in children(server.pid) if status(p).get("Name") == "airlock-helper"]


@case
def a_stream_ends_with_its_connection_and_waits_for_a_slow_one():
    def play(s, _):
        s.sendall(CHUNKED)
        for _ in range(1000):
            s.sendall(b"4000\r\n" + b"y" * 0x4000 + b"\r\n")
        s.sendall(b"0\r\n\r\n")
    web = Web(play)
    server = Server(env=plain_env())
    c = server.client()
    c.answer(ask(c, web.url, streamResponse=True, requestId="big"))
    time.sleep(0.3)
    size = int(status(server.pid)["VmRSS"].split()[0])
    assert size < 12000, "%d kB for a client that does not read" % size
    got, error = deltas(c, "big")
    assert (len(got), error) == (1000 * 0x4000, None), (len(got), error)
    hang = Web(lambda s, _: time.sleep(15))
    for i in range(32):
        ask(c, hang.url, requestId="h%d" % i)
    until(lambda: len(helpers(server)) == 32, "all of them ask")
    assert "os error 11" in c.fails(-32603, "http/request", method="GET", url=hang.url,
                                    requestId="more")
    d = server.client()
    assert d.call("fs/walk", path=uri("/tmp"), options=dict(
        maxDepth=0, maxDirectories=1, maxEntries=1, followDirectorySymlinks=False))
    c.close()
    until(lambda: not helpers(server), "nobody asks for a client that is gone")


@case
def what_is_meant_for_one_server_goes_to_no_other():
    final = Web(lambda s, _: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    web = Web(lambda s, head: s.sendall(
        b"HTTP/1.1 307 T\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" %
        (b"/again" if " /x " in head else final.url.encode())))
    c = Server(env=dict(plain_env(), TOKEN_X="hush")).client()
    r = c.answer(ask(c, web.url, method="POST", bodyBase64=b64(b"body"), headers=[
        {"name": "Authorization", "value": "Bearer t"}, {"name": "X-Key", "valueEnvVar": "TOKEN_X"},
        {"name": "X-Plain", "value": "p"}]))
    assert r["status"] == 200
    near, far = web.heads[1], final.heads[0]
    assert " /again " in near and "Bearer t" in near and "hush" in near
    assert far.startswith("POST /x ") and "X-Plain: p" in far
    assert "Bearer" not in far and "hush" not in far, far


# --- capabilities ---------------------------------------------------------------------------------


@case
def what_is_advertised_is_what_works():
    _, c = served()
    info = c.call("environment/info")
    have = info["capabilities"]
    probes = {"fsWatchMissing": "fs/watchMissing", "capabilityDiscoveryV2":
              "capabilities/discoverV2", "environmentConfigRead": "environmentConfig/read"}
    for name, method in probes.items():
        try:
            c.call(method)
        except RpcError as e:
            assert have[name] == (e.code != -32601), (name, e)
    assert info["platformOs"] == "linux" and info["cwd"] == uri(os.getcwd())


main()
