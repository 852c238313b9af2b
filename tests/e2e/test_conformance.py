#!/usr/bin/python3
"""The exec-server protocol, statement by statement, on our server and on Codex's own.

    @check("8.4")
    def a_write_id_is_taken_once(t): …        t.client(): a connection to the server under test

A check whose quirk= is given states what is right and known to be otherwise in Codex's
server: there it has to fail, so that a fault which was mended is noticed. With sometimes=
it may fail there. What expires after 80 s does so sooner under --keep, which only ours has.
"""
import atexit
import base64
import hashlib
import hmac
import http.server
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import tomllib

import codex
from exec_client import Client, Closed, RpcError, b64, connect, frame, unb64, uri
from lib import AIRLOCK, case, children, main, start, status, until

FOLDER = tempfile.mkdtemp(prefix="airlock-conformance-")
atexit.register(shutil.rmtree, FOLDER, True)


class Target:
    """A server under test: one that all checks share, and those that a check starts itself."""

    def __init__(self, name, program):
        self.name, self.program = name, program
        self.process = self.address = None
        self.count = 0

    def argv(self, *options):
        return [self.program(), "exec-server", *options]

    def begin(self):
        if not self.process:
            self.process = subprocess.Popen(self.argv("--listen", "ws://127.0.0.1:0"),
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                            stdin=subprocess.DEVNULL, cwd=FOLDER)
            atexit.register(self.process.kill)
            self.address = self.process.stdout.readline().decode().strip()
        return self

    def client(self, hello=True, headers=(), address=None):
        c = Client.websocket(address or self.address, headers)
        c.ordered = self is OURS  # 17.4: a check of its own asks for that
        if hello:
            c.hello()
        return c

    def server(self, *options, listen="ws://127.0.0.1:0", **more):
        """(address, process) of a new one."""
        p = start(self.argv("--listen", listen, *options), **more)
        return p.stdout.readline().decode().strip(), p

    def stdio(self):
        p = start(self.argv("--listen", "stdio"))
        c = Client.stdio(p)
        c.ordered = self is OURS
        c.hello()
        return p, c

    def path(self, name=""):
        """A new name in a folder of the check's own."""
        self.count += 1
        folder = "%s/%s-%d" % (FOLDER, self.name, self.count)
        os.mkdir(folder)
        return folder + "/" + name if name else folder


OURS = Target("airlock", lambda: AIRLOCK)
REAL = Target("codex", codex.program)


def check(section, quirk=None, sometimes=None):
    def add(function):
        for target in (OURS, REAL):
            def run(target=target):
                expected = quirk if target is REAL else None
                target.begin()
                try:
                    function(target)
                except Exception as e:
                    if expected or (sometimes and target is REAL):
                        return
                    raise e
                assert not expected, "no longer so: %s" % expected
            run.__name__ = "%s_%s_%s" % (target.name, section, function.__name__)
            case(run)
        return function
    return add


def http_get(address, request):
    """(status, head, body)"""
    s = connect(address)
    s.sendall(request.encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = [h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
    length = int(length[0].split(b":")[1]) if length and not request.startswith("HEAD") else 0
    while len(body) < length:
        piece = s.recv(65536)
        if not piece:
            break
        body += piece
    s.close()
    return int(head.split()[1]), head.decode().lower(), body.decode()


UPGRADE = ("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")


def ended(c, seconds=3):
    """The connection ends, whatever else is said first."""
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            c.receive(max(0.01, end - time.monotonic()))
    except Closed as e:
        return e
    raise AssertionError("the connection goes on")


def alive(c):
    assert c.call("environment/status") == {"status": "ready"}


def message(c, text):
    """Sends it as it is; the next message with an id."""
    c.text(text)
    while True:
        m = c.receive(5)
        if "id" in m:
            return m


def malformed(c, text):
    m = message(c, text)
    assert m["id"] == -1 and m["error"]["code"] == -32600, m
    return m["error"]["message"]


def memory(p):
    """Its private memory, kB."""
    with open("/proc/%d/smaps_rollup" % p.pid) as f:
        return sum(int(x.split()[1]) for x in f if x.startswith("Private_Dirty"))


def process(c, name, script="exit 0", **more):
    return c.run(name, ["sh", "-c", script], **more)


def chunks(r):
    return b"".join(unb64(x["chunk"]) for x in r["chunks"])


# --- 1 transports --------------------------------------------------------------------------


@check("1.1")
def a_wrong_listen_url_is_an_error(t):
    for url, text in (("http://x", "unsupported --listen URL `http://x`; expected `ws://IP:PORT`"),
                      ("ws://localhost:1", "invalid websocket --listen URL `ws://localhost:1`"),
                      ("ws://127.0.0.1", "invalid websocket --listen URL `ws://127.0.0.1`")):
        p = subprocess.run(t.argv("--listen", url), capture_output=True, timeout=10)
        assert p.returncode == 1 and text in p.stderr.decode(), p
    p = subprocess.run(t.argv("--bogus"), capture_output=True, timeout=10)
    assert p.returncode == 2


@check("1.1")
def the_address_is_one_line_on_stdout(t):
    address, p = t.server(listen="ws://[::1]:0")
    assert address.startswith("ws://[::1]:") and not address.endswith(":0")
    p.terminate()
    assert p.stdout.read() == b"" and p.wait(5) == 0


@check("1.1")
def the_default_is_loopback_and_a_free_port(t):
    p = start(t.argv())
    assert p.stdout.readline().startswith(b"ws://127.0.0.1:")


@check("1.1", quirk="17.8: it listens to everybody without authentication")
def an_open_address_needs_authentication(t):
    p = start(t.argv("--listen", "ws://0.0.0.0:0"))
    assert p.stdout.readline() == b"" and p.wait(5) == 1


@check("1.1", quirk="the flag is for --remote alone")
def exit_on_stdin_close_ends_it(t):
    _, p = t.server("--exit-on-stdin-close")
    time.sleep(0.2)
    assert p.poll() is None
    p.stdin.close()
    assert p.wait(5) == 0


@check("1.1")
def without_it_stdin_is_ignored(t):
    address, p = t.server()
    p.stdin.close()
    time.sleep(0.2)
    assert p.poll() is None
    alive(t.client(address=address))


@check("1.2")
def lines_may_end_in_crlf_and_be_blank(t):
    _, c = t.stdio()
    c.raw(b"\r\n\n  \n" + b'{"id":50,"method":"environment/status"}\r\n')
    assert c.answer(50) == {"status": "ready"}


@check("1.2", sometimes="it may exit before it answered")
def a_last_line_without_newline_counts(t):
    p, c = t.stdio()
    c.raw(b'{"id":50,"method":"environment/status"}')
    p.stdin.close()
    p.stdin = None
    assert c.answer(50) == {"status": "ready"} and p.wait(5) == 0


@check("1.2")
def stdout_has_protocol_lines_only(t):
    p, c = t.stdio()
    process(c, "p", "echo out; echo err >&2")
    c.writer.close()
    p.stdin = None
    for line in p.stdout.read().splitlines():
        json.loads(line)


@check("1.3")
def http_is_answered_as_in_the_table(t):
    bare = "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert http_get(t.address, bare % "/") [::2] == (400, "Connection header did not include 'upgrade'")
    for path in ("/healthz", "/x", "/readyz/"):
        assert http_get(t.address, bare % path)[::2] == (404, ""), path
    assert http_get(t.address, bare % "/readyz")[::2] == (200, "")
    assert http_get(t.address, (bare % "/readyz").replace("GET", "HEAD", 1))[0] == 200
    code, head, _ = http_get(t.address, (bare % "/readyz").replace("GET", "POST", 1))
    assert code == 405 and "allow: get,head" in head, head
    for drop, text in (("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
                        "`Sec-WebSocket-Key` header missing"),
                       ("Sec-WebSocket-Version: 13\r\n",
                        "`Sec-WebSocket-Version` header did not include '13'")):
        assert http_get(t.address, UPGRADE.replace(drop, "") + "\r\n")[::2] == (400, text)


@check("1.3")
def a_query_string_does_not_matter(t):
    code, head, _ = http_get(t.address, UPGRADE.replace("GET / ", "GET /?a=b&c ") + "\r\n")
    assert code == 101


@check("1.3")
def no_extension_and_no_subprotocol_is_accepted(t):
    _, head, _ = http_get(t.address, UPGRADE + "Sec-WebSocket-Protocol: chat\r\n"
                          "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    assert " 101 " in head and "extensions" not in head and "protocol" not in head.split("\n", 1)[1]


@check("1.3")
def an_origin_is_forbidden_everywhere(t):
    for request in (UPGRADE, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"):
        for origin in ("http://evil.example", "http://x", "null"):
            assert http_get(t.address, request + "Origin: %s\r\n\r\n" % origin)[::2] == (403, "")


@check("1.3")
def binary_and_fragmented_messages_are_text_too(t):
    c = t.client()
    text = b' \n{ "id" : 70 , "method":"environment/status"}\t '
    c.raw(frame(2, text))
    assert c.answer(70)
    c.raw(frame(1, text[:5], fin=False) + frame(9, b"x") + frame(0, text[5:9], fin=False) +
          frame(0, text[9:]))
    assert c.answer(70)


@check("1.3")
def two_values_in_a_message_are_a_parse_error(t):
    c = t.client()
    malformed(c, '{"id":1,"method":"environment/status"} {}')
    alive(c)


@check("1.3")
def text_that_is_not_utf8_ends_the_connection(t):
    c = t.client()
    c.raw(frame(1, b'{"id":1,"method":"\xff"}'))
    ended(c)


@check("1.3")
def a_frame_above_16_mib_ends_the_connection(t):
    c = t.client()
    try:
        c.raw(struct.pack(">BBQ", 0x81, 0xff, (16 << 20) + 1) + b"\0\0\0\0")
        c.raw(bytes(1 << 20))
    except OSError:
        pass
    ended(c)


@check("1.3")
def a_message_of_16_mib_in_one_frame_is_fine(t):
    c = t.client()
    pad = (16 << 20) - 60
    text = b'{"id":71,"method":"environment/status","pad":"' + b"x" * pad + b'"}'
    c.raw(frame(1, text[:16 << 20]))
    assert c.answer(71)


@check("1.3")
def long_messages_come_in_fragments_up_to_64_mib(t):
    c = t.client()
    text = b'{"id":72,"method":"environment/status","pad":"' + b"x" * (40 << 20) + b'"}'
    step = 8 << 20
    for at in range(0, len(text), step):
        c.raw(frame(1 if at == 0 else 0, text[at:at + step], fin=at + step >= len(text)))
    assert c.answer(72)


@check("1.3")
def a_ping_is_answered_with_its_payload(t):
    c = t.client()
    c.raw(frame(9, b"payload"))
    alive(c)
    assert ("pong", b"payload") in c.events


@check("1.3", quirk="17.5: it never sends a Close frame")
def a_close_frame_is_answered(t):
    c = t.client()
    c.raw(frame(8, struct.pack(">H", 1000)))
    assert ended(c).code == 1000


@check("1.3", quirk="17.5: it never sends a Close frame")
def shutdown_is_said_with_a_close_frame(t):
    address, p = t.server()
    c = t.client(address=address)
    p.terminate()
    assert ended(c).code == 1001


# --- 1.4 authentication -----------------------------------------------------------------------


def authorized(t, address, value):
    """(status, body) of an upgrade with that header."""
    header = "" if value is None else "Authorization: %s\r\n" % value
    return http_get(address, UPGRADE + header + "\r\n")[::2]


@check("1.4")
def a_capability_token_is_compared(t):
    name = t.path("token")
    with open(name, "w") as f:
        f.write("  sesame\n")
    digest = hashlib.sha256(b"sesame").hexdigest().upper()
    for option, value in (("--ws-token-file", name), ("--ws-token-sha256", digest)):
        address, _ = t.server("--ws-auth", "capability-token", option, value)
        for header, want in ((None, (401, "missing websocket bearer token")),
                             ("Bearer wrong", (401, "invalid websocket bearer token")),
                             ("Basic sesame", (401, "invalid authorization header")),
                             ("Bearer sesame", (101, "")), ("bEaReR   sesame ", (101, ""))):
            assert authorized(t, address, header) == want, header
        assert http_get(address, UPGRADE.replace("/ ", "/?token=sesame ") + "\r\n")[0] == 401
        assert http_get(address, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 200
        assert http_get(address, UPGRADE + "Origin: x\r\n\r\n")[0] == 403


SECRET = b"0123456789abcdef0123456789abcdef"


def jwt(claims, secret=SECRET, algorithm="HS256"):
    def enc(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = enc(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + \
        enc(json.dumps(claims).encode())
    return "Bearer " + text + "." + enc(hmac.new(secret, text.encode(), hashlib.sha256).digest())


@check("1.4")
def a_signed_token_is_verified(t):
    name = t.path("secret")
    with open(name, "wb") as f:
        f.write(SECRET + b"\n")
    address, _ = t.server("--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", name,
                          "--ws-issuer", "me", "--ws-audience", "you")
    now = int(time.time())
    good = {"exp": now + 100, "iss": "me", "aud": "you"}
    for token, want in (
            (jwt(good), (101, "")), (jwt(dict(good, aud=["x", "you"])), (101, "")),
            (jwt(dict(good, exp=now - 10)), (101, "")), (jwt(dict(good, nbf=now + 10)), (101, "")),
            (jwt(dict(good, exp=now - 100)), (401, "expired websocket jwt")),
            (jwt(dict(good, nbf=now + 100)), (401, "websocket jwt is not valid yet")),
            (jwt(dict(good, iss="x")), (401, "websocket jwt issuer mismatch")),
            (jwt({"exp": now + 100, "aud": "you"}), (401, "websocket jwt issuer mismatch")),
            (jwt(dict(good, aud="x")), (401, "websocket jwt audience mismatch")),
            (jwt({"iss": "me", "aud": "you"}), (401, "invalid websocket jwt")),
            (jwt(good, secret=b"x" * 32), (401, "invalid websocket jwt")),
            (jwt(good, algorithm="none"), (401, "invalid websocket jwt")),
            ("Bearer a.b.c", (401, "invalid websocket jwt"))):
        assert authorized(t, address, token) == want, (token, want, authorized(t, address, token))


@check("1.4")
def wrong_auth_options_are_refused(t):
    name = t.path("short")
    with open(name, "w") as f:
        f.write(" x\n")
    empty = t.path("empty")
    open(empty, "w").close()
    for options in (["--ws-auth", "capability-token"],
                    ["--ws-auth", "capability-token", "--ws-token-file", empty],
                    ["--ws-auth", "capability-token", "--ws-token-sha256", "abc"],
                    ["--ws-auth", "capability-token", "--ws-token-file", name,
                     "--ws-token-sha256", "0" * 64],
                    ["--ws-auth", "signed-bearer-token", "--ws-shared-secret-file", name],
                    ["--listen", "stdio", "--ws-auth", "capability-token", "--ws-token-file",
                     name]):
        p = subprocess.run(t.argv(*options), capture_output=True, timeout=10,
                           stdin=subprocess.DEVNULL)
        assert p.returncode in (1, 2) and p.stderr, (options, p)


# --- 2 envelope ---------------------------------------------------------------------------------


@check("2")
def ids_are_strings_or_signed_64_bit_integers(t):
    c = t.client()
    for number in ('"a"', '""', "0", "-5", str(2**63 - 1), str(-2**63), '"\\u00e9"'):
        m = message(c, '{"id":%s,"method":"environment/status"}' % number)
        assert m["id"] == json.loads(number) and type(m["id"]) is type(json.loads(number)), m
    for number in ("null", "1.5", str(2**63), "1e3", "true", "[]", "{}"):
        malformed(c, '{"id":%s,"method":"environment/status"}' % number)
    alive(c)


@check("2")
def what_is_no_message_is_a_parse_error(t):
    c = t.client()
    for text in ("{", "", "null", '"x"', "7", "[]", '[{"id":1,"method":"environment/status"}]',
                 "{}", '{"id":1}', "{x}", '{"id":1,"method":"environment/status"',
                 '{"id":1,"method":"environment/status","trace":7}'):
        assert "failed to parse websocket JSON-RPC message from exec-server websocket" in \
            malformed(c, text), text
    alive(c)


@check("2")
def so_it_is_over_stdio(t):
    _, c = t.stdio()
    assert "failed to parse JSON-RPC message from exec-server stdio" in malformed(c, "{")
    alive(c)


@check("2")
def unknown_members_their_order_and_jsonrpc_do_not_matter(t):
    c = t.client()
    assert message(c, '{"params":null,"x":{"y":[1]},"jsonrpc":"2.0","method":'
                      '"environment/status","id":80}')["result"] == {"status": "ready"}
    assert message(c, '{"id":81,"method":"environment/status","trace":{"traceparent":"a",'
                      '"tracestate":"b"}}')["result"]
    r = c.call("fs/getMetadata", path=uri("/tmp"), bogus=1, sandbox=None)
    assert r["isDirectory"]


@check("2")
def answers_have_no_jsonrpc_and_no_data(t):
    c = t.client()
    m = message(c, '{"id":82,"method":"environment/status"}')
    assert set(m) == {"id", "result"}
    m = message(c, '{"id":83,"method":"bogus/method"}')
    assert set(m) == {"id", "error"} and set(m["error"]) == {"code", "message"}


@check("2")
def protocol_violations_end_the_connection(t):
    for hello, text in ((True, '{"method":"bogus","params":{}}'),
                        (False, '{"method":"initialized"}'),
                        (False, '{"method":"initialize","params":{"clientName":"x"}}'),
                        (True, '{"id":1,"result":{}}'),
                        (True, '{"id":1,"error":{"code":1,"message":"x"}}')):
        c = t.client(hello=hello)
        c.text(text)
        ended(c)


# --- 3 ordering ------------------------------------------------------------------------------------


@check("3")
def pipelined_requests_are_all_answered_in_order(t):
    c = t.client()
    numbers = [c.send("fs/getMetadata", path=uri("/tmp")) for _ in range(300)]
    for n in numbers:
        c.answer(n)
    assert [m[1] for m in c.log if m[0] == "answer"][-300:] == numbers


@check("3")
def one_id_twice_is_answered_twice(t):
    c = t.client()
    c.text('{"id":90,"method":"environment/status"}')
    c.text('{"id":90,"method":"environment/status"}')
    assert c.answer(90) and c.answer(90)


@check("3", quirk="17.2: the connection deadlocks")
def twenty_thousand_pipelined_requests_are_answered(t):
    address, p = t.server()
    c = t.client(address=address)
    text = b"".join(frame(1, b'{"id":%d,"method":"environment/status"}' % n)
                    for n in range(100, 20100))

    def send():
        try:
            c.raw(text)
        except OSError:
            pass
    threading.Thread(target=send, daemon=True).start()
    for n in range(100, 20100):
        c.answer(n, timeout=2)


@check("3", quirk="17.3: a long poll blocks everything behind it")
def a_long_poll_blocks_nothing(t):
    c = t.client()
    c.answer(c.start("p", ["sleep", "100"]))
    poll = c.send("process/read", processId="p", waitMs=1500)
    begin = time.monotonic()
    alive(c)
    assert time.monotonic() - begin < 1
    c.answer(poll)
    c.call("process/terminate", processId="p")


@check("3", quirk="17.3: with a fifo at the end of a path the call never ends")
def a_write_to_a_fifo_blocks_nothing(t):
    name = t.path("fifo")
    os.mkfifo(name)
    c = t.client()
    c.send("fs/writeFile", path=uri(name), dataBase64="eA==")
    n = c.send("environment/status")
    try:
        c.answer(n, timeout=2)
    finally:
        os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK))


@check("3", quirk="17.1: a short command takes the delayed ACK's 40 ms")
def a_short_command_takes_no_40_ms(t):
    c = t.client()
    times = []
    for n in range(15):
        begin = time.monotonic()
        c.run("p%d" % n, ["true"], env={"PATH": "/bin"})
        times.append(time.monotonic() - begin)
    assert statistics.median(times) < 0.030, times


@check("3", sometimes="17.4: out of order now and then")
def events_come_by_seq_and_behind_the_start(t):
    c = t.client()
    for n in range(60):
        c.start("p%d" % n, ["sh", "-c", "echo a; echo b >&2"], env={"PATH": "/bin"})
    for n in range(60):
        c.finish("p%d" % n)
    seen = {}
    for e in c.log:
        if e[0] == "event":
            p = e[2]
            assert p["seq"] == seen.get(p["processId"], 0) + 1
            seen[p["processId"]] = p["seq"]


@check("3")
def closed_has_the_highest_seq_and_no_number_is_missing(t):
    c = t.client()
    c.start("p", ["sh", "-c", "echo 1; echo 2 >&2; (sleep 0.3; echo late) & exit 4"])
    seqs, done = {}, False
    while not done:
        m = c.receive()
        if "method" in m:
            seqs[m["params"]["seq"]] = m["method"]
            done = m["method"] == "process/closed"
    until(lambda: sorted(seqs) == list(range(1, max(seqs) + 1)), "no gap", 1)
    assert seqs[max(seqs)] == "process/closed"


@check("3")
def connections_do_not_wait_for_each_other(t):
    a, b = t.client(), t.client()
    a.answer(a.start("p", ["sleep", "100"]))
    a.send("process/read", processId="p", waitMs=3000)
    begin = time.monotonic()
    alive(b)
    assert time.monotonic() - begin < 1
    a.close()


@check("3")
def a_client_that_does_not_read_pauses_the_program(t):
    c, other = t.client(), t.client()
    counter = t.path("count")
    c.start("p", ["sh", "-c", "head -c 300000000 /dev/zero | tee /dev/stderr >/dev/null; "
                              "echo done > %s" % counter])
    time.sleep(1)
    assert not os.path.exists(counter)
    alive(other)
    c.close()


# --- 4 errors ----------------------------------------------------------------------------------------


@check("4")
def an_unknown_method_is_said_at_any_time(t):
    for c in (t.client(hello=False), t.client()):
        assert c.fails(-32601, "bogus/method") == \
            "exec-server stub does not implement `bogus/method` yet"


@check("4")
def wrong_parameters_are_said(t):
    c = t.client()
    for method, params, text in (
            ("process/read", {}, "missing field `processId`"),
            ("process/read", {"processId": 5}, "invalid type"),
            ("process/read", {"processId": "x", "afterSeq": -1}, "invalid"),
            ("process/read", {"processId": "x", "waitMs": 1.5}, "invalid"),
            ("process/signal", {"processId": "x", "signal": "bogus"},
             "unknown variant `bogus`, expected `interrupt`"),
            ("fs/readFile", {}, "missing field `path`"),
            ("fs/walk", {"path": uri("/")}, "missing field `options`"),
            ("process/write", {"processId": "x", "chunk": "", "writeId": ""},
             "writeId must not be empty")):
        assert text in c.fails(-32602, method, **params), (method, params)


@check("4")
def parameters_are_looked_at_before_the_state(t):
    c = t.client(hello=False)
    c.fails(-32602, "process/read")
    c.fails(-32600, "process/read", processId="x")


@check("4")
def errors_of_the_system_have_its_words(t):
    c = t.client()
    assert c.fails(-32004, "fs/readFile", path=uri("/nonexistent")) == \
        "No such file or directory (os error 2)"
    assert c.fails(-32603, "fs/writeFile", path=uri("/tmp"), dataBase64="") == \
        "Is a directory (os error 21)"


# --- 5 path URIs -----------------------------------------------------------------------------------------


@check("5")
def paths_are_file_uris(t):
    c = t.client()
    for text, part in (("/tmp", "relative URL without a base"),
                       ("http://x/tmp", "unsupported path URI scheme `http`"),
                       ("file:///tmp?x", "query parameters are not allowed in path URIs"),
                       ("file:///tmp#x", "fragments are not allowed in path URIs"),
                       ("file:///tmp%00", "")):
        assert part in c.fails(-32602, "fs/getMetadata", path=text), text
    try:
        c.call("fs/getMetadata", path="file://host/tmp")
        raise AssertionError("it is another host's")
    except RpcError as e:  # Codex's says -32602 where a path is needed at once, else -32600
        assert e.code in (-32602, -32600), e
        assert e.message == "'file://host/tmp' is invalid on 'linux'", e


@check("5")
def uris_are_read_as_browsers_do(t):
    c = t.client()
    folder = t.path()
    name = folder + "/a b é%20#?x"
    with open(name, "w") as f:
        f.write("seven!!")
    bare = folder[1:]
    for text in (uri(name), "FILE://" + uri(name)[7:], "file:/" + uri(name)[8:],
                 "file://localhost" + uri(name)[7:], uri(folder) + "/x/../a%20b%20é%2520%23%3Fx",
                 uri(folder) + "/./a b%20%C3%A9%2520%23%3Fx",
                 "file:///%s%%2Fa%%20b%%20%%C3%%A9%%2520%%23%%3Fx" % bare):
        assert c.call("fs/getMetadata", path=text)["size"] == 7, text
    assert c.call("fs/canonicalize", path=uri(name))["path"] == uri(name)


@check("5")
def names_that_are_not_utf8_come_back_lossy(t):
    folder = t.path().encode()
    with open(folder + b"/\xff", "w") as f:
        f.write("x")
    c = t.client()
    entries = c.call("fs/readDirectory", path=uri(folder.decode()))["entries"]
    assert entries[0]["fileName"] == "\ufffd", entries
    assert c.call("fs/getMetadata", path=uri(folder.decode()) + "/%FF")["size"] == 1


# --- 6 sessions ---------------------------------------------------------------------------------------------


@check("6")
def initialize_comes_first_and_once(t):
    c = t.client(hello=False)
    for method, params, family in (
            ("process/read", {"processId": "x"}, "exec"),
            ("fs/readFile", {"path": uri("/x")}, "filesystem"),
            ("environment/info", {}, "environment info"),
            ("http/request", {"method": "GET", "url": "http://127.0.0.1/", "requestId": "r"},
             "http")):
        assert c.fails(-32600, method, **params) == \
            "client must call initialize before using %s methods" % family
    c.fails(-32602, "initialize")
    c.call("initialize", clientName="x")
    assert c.fails(-32600, "process/read", processId="x") == \
        "client must send initialized before using exec methods"
    assert c.fails(-32600, "initialize", clientName="x") == \
        "initialize may only be sent once per connection"
    c.notify("initialized")
    c.notify("initialized")
    alive(c)


@check("6")
def both_may_be_pipelined_with_the_first_requests(t):
    c = t.client(hello=False)
    n = c.send("initialize", clientName="x")
    c.notify("initialized")
    m = c.send("environment/status")
    assert c.answer(n)["sessionId"] and c.answer(m)["status"] == "ready"


@check("6")
def an_unknown_session_is_refused(t):
    c = t.client(hello=False)
    assert c.fails(-32600, "initialize", clientName="x", resumeSessionId="nobody") == \
        "unknown session id nobody"
    c.hello()  # a failed one may be tried again
    alive(c)


@check("6")
def an_attached_session_is_not_given_away(t):
    a, b = t.client(), t.client(hello=False)
    assert "is already attached to another connection" in b.fails(
        -32010, "initialize", clientName="x", resumeSessionId=a.session)


def again(t, session, seconds=5, address=None):
    """The session on a new connection, when the server has noticed the loss."""
    end = time.monotonic() + seconds
    while True:
        c = t.client(hello=False, address=address)
        try:
            c.hello(resume=session)
            return c
        except RpcError as e:
            assert e.code == -32010 and time.monotonic() < end, e
            c.close()
            time.sleep(0.02)


@check("6")
def a_session_outlives_its_connection(t):
    a = t.client()
    a.answer(a.start("p", ["sh", "-c", "echo one; sleep 0.5; echo two; sleep 0.4; echo three; "
                                       "sleep 100"]))
    a.event("process/output", "p")
    a.close()
    time.sleep(0.7)
    b = again(t, a.session)
    assert b.session == a.session
    r = b.call("process/read", processId="p", afterSeq=1)
    assert chunks(r).startswith(b"two\n") and not r["exited"]
    if b"three" not in chunks(r):
        assert unb64(b.event("process/output", "p")["chunk"]) == b"three\n"
    b.call("process/terminate", processId="p")
    assert b.event("process/exited", "p")["exitCode"] == 137


@check("6")
def processes_are_private_to_their_session(t):
    a, b = t.client(), t.client()
    a.answer(a.start("p", ["sleep", "100"]))
    assert b.fails(-32600, "process/read", processId="p") == "unknown process id p"
    assert b.call("process/terminate", processId="p") == {"running": False}
    b.run("p", ["true"])
    assert a.call("process/terminate", processId="p") == {"running": True}


def lasting(t, seconds):
    """A session on a server of its own that keeps it so long: (address, server, client)."""
    address, p = t.server("--keep", str(seconds))
    return address, p, t.client(address=address)


@check("6", quirk="it has no --keep")
def a_session_expires_with_all_it_runs(t):
    address, p, c = lasting(t, 2)
    before = memory(p)
    for n in range(8):
        process(c, "full-%d" % n, "head -c 1048576 /dev/zero")
    until(lambda: memory(p) > before + 8 * 1024, "it retains")  # a fork shares it for a moment
    c.answer(c.start("gone", ["sh", "-c", "setsid sleep 1000 & echo $!; sleep 1000"]))
    hidden = int(unb64(c.event("process/output", "gone")["chunk"]))
    c.close()
    d = again(t, c.session, address=address)  # not yet: it is kept that long from each loss
    assert d.call("process/terminate", processId="none") == {"running": False}
    d.close()
    lost = time.monotonic()
    until(lambda: not os.path.exists("/proc/%d" % hidden), "what it ran was killed", 4)
    assert time.monotonic() - lost > 1.8, "too soon"
    e = t.client(hello=False, address=address)
    assert e.fails(-32600, "initialize", clientName="x", resumeSessionId=c.session) == \
        "unknown session id " + c.session
    until(lambda: memory(p) < before + 1024, "its output was given back", 3)


@check("8.6", quirk="it has no --keep")
def a_closed_process_is_forgotten_later(t):
    _, _, c = lasting(t, 1)
    process(c, "p")
    assert c.call("process/read", processId="p")["closed"]
    assert "already exists" in c.fails(-32600, "process/start", processId="p", argv=["true"],
                                       cwd=uri("/"), env={}, tty=False)
    time.sleep(1.3)
    assert c.fails(-32600, "process/read", processId="p") == "unknown process id p"
    process(c, "p")


def kept_as_long_as_it_should_be():
    """What --keep changes from is 80 s: that much is read, not waited for."""
    p = subprocess.run([AIRLOCK, "exec-server", "--help"], capture_output=True, timeout=10)
    assert b"(80)" in p.stdout
    for wrong in ("0", "86401", "x", ""):
        assert subprocess.run([AIRLOCK, "exec-server", "--keep", wrong], timeout=10,
                              capture_output=True).returncode == 2, wrong


case(kept_as_long_as_it_should_be)


# --- 7 information -------------------------------------------------------------------------------------------


@check("7")
def the_information_is_complete_and_the_same_twice(t):
    c = t.client(hello=False)
    r = c.hello()["environmentInfo"]
    c.text('{"id":75,"method":"environment/info","params":null}')
    assert r == c.answer(75)
    assert r["shell"]["path"].endswith("/" + r["shell"]["name"]) and r["platformOs"] == "linux"
    for key in ("cwd", "userHomeDir", "tempDir"):
        assert r[key].startswith("file:///"), key
    assert r["cwd"] == uri(FOLDER) and isinstance(r["capabilities"], dict)
    assert isinstance(r["temporaryDirectories"], list) and r["executorVersion"]


@check("7")
def what_is_not_advertised_is_not_there(t):
    c = t.client(hello=False)
    able = c.hello()["environmentInfo"]["capabilities"]
    for name, method in (("fsWatchMissing", "fs/watchMissing"),
                         ("environmentConfigRead", "environmentConfig/read"),
                         ("capabilityDiscoveryV2", "capabilities/discoverV2"),
                         ("processCloseStdin", "process/closeStdin"),
                         ("processResize", "process/resize")):
        try:
            c.call(method)
        except RpcError as e:
            assert (e.code == -32601) == (not able.get(name)), (method, e)


# --- 8 processes ------------------------------------------------------------------------------------------------


@check("8.1")
def start_answers_with_the_id_and_the_sandbox(t):
    c = t.client()
    r = c.answer(c.start("an id é", ["true"]))
    assert r["processId"] == "an id é" and r.get("sandboxType", "none") == "none"
    c.answer(c.start("", ["true"]))
    assert c.finish("")[0] == 0


@check("8.1")
def an_id_is_unused_in_the_session(t):
    c = t.client()
    process(c, "p")
    assert c.fails(-32600, "process/start", processId="p", argv=["true"], cwd=uri("/"), env={},
                   tty=False) == "process p already exists"
    c.fails(-32603, "process/start", processId="q", argv=["/nonexistent"], cwd=uri("/"), env={},
            tty=False)
    process(c, "q")


@check("8.1")
def a_start_that_fails_says_why(t):
    c = t.client()
    for argv, cwd, code, text in (
            ([], "/", -32602, "argv must not be empty"),
            (["/nonexistent"], "/", -32603, "No such file or directory (os error 2)"),
            (["/etc/passwd"], "/", -32603, "Permission denied (os error 13)"),
            (["true"], "/nonexistent", -32603, "No such file or directory (os error 2)"),
            (["x" * 140000, "y" * 140000], "/", -32603, "")):
        assert text in c.fails(code, "process/start", processId="p", argv=argv, cwd=uri(cwd),
                               env={"PATH": "/bin"}, tty=False)
    for missing in ("processId", "argv", "cwd", "env", "tty"):
        params = {"processId": "p", "argv": ["true"], "cwd": uri("/"), "env": {}, "tty": False}
        del params[missing]
        assert c.fails(-32602, "process/start", **params) == "missing field `%s`" % missing


@check("8.1")
def a_program_is_searched_even_without_a_path(t):
    c = t.client()
    assert c.run("p", ["env"], env={}) == (0, {})
    assert c.run("q", ["env"], env={"A": "1"})[1]["stdout"] == b"A=1\n"


@check("8.1")
def arg0_is_what_the_program_sees(t):
    c = t.client()
    assert c.run("p", ["/bin/sh", "-c", "echo $0"], arg0="-sh")[1]["stdout"] == b"-sh\n"


@check("8.1")
def metadata_is_checked_and_ignored(t):
    c = t.client()
    thread = "01a1faaa-dab2-7a72-a508-fd4b08fc8fdd"
    process(c, "p", metadata={"threadId": thread, "toolCallId": "x"})
    c.fails(-32602, "process/start", processId="q", argv=["true"], cwd=uri("/"), env={},
            tty=False, metadata={"threadId": "no uuid"})


@check("8.1")
def a_child_leads_a_session_and_has_three_descriptors(t):
    c = t.client()
    _, out = process(c, "p", "set -- $(cat /proc/self/stat); echo $$ $(ps -o pid=,pgid=,sid= -p $$);"
                             "ls /proc/$$/fd; readlink /proc/$$/fd/0")
    lines = out["stdout"].decode().split("\n")
    pid = lines[0].split()[0]
    assert lines[0].split()[1:] == [pid] * 3, lines
    assert lines[1:5] == ["0", "1", "2", "/dev/null"], lines


@check("8.1")
def signals_are_the_default_in_a_child(t):
    c = t.client()
    _, out = process(c, "p", "grep SigIgn /proc/self/status; grep SigBlk /proc/self/status")
    for line in out["stdout"].decode().splitlines():
        ignored = int(line.split()[1], 16)
        assert not ignored & (1 << 1 | 1 << 14 | 1 << 12), line  # INT TERM PIPE


@check("8.1")
def a_pty_is_24_by_80_and_the_controlling_terminal(t):
    c = t.client()
    code, out = process(c, "p", "stty size; tty; stty -a | tr ' ' '\\n' | grep -x -e echo -e icanon "
                                "-e isig -e 'onlcr;*'; exec 3</dev/tty && echo tty; echo T=$TERM",
                        tty=True, env={"PATH": os.environ["PATH"]})
    text = out["pty"].decode()
    assert set(out) == {"pty"} and text.startswith("24 80\r\n/dev/pts/"), text
    assert all(word in text for word in ("echo", "icanon", "isig", "onlcr", "tty\r\n")), text
    assert "T=\r\n" in text or "T=dumb\r\n" in text, text


POLICY = {"inherit": "all", "ignoreDefaultExcludes": True, "exclude": [], "set": {},
          "includeOnly": []}


def environment(c, name, env=None, **policy):
    _, out = c.run(name, ["env"], env=env or {}, envPolicy=dict(POLICY, **policy))
    return dict(line.split("=", 1) for line in out.get("stdout", b"").decode().splitlines())


@check("8.2")
def the_environment_follows_its_policy(t):
    address, _ = t.server(env={"PATH": os.environ["PATH"], "HOME": "/root", "MY_TOKEN": "1",
                               "Secret_x": "2", "AKEYB": "3", "OTHER": "4", "LANG": "C"})
    c = t.client(address=address)
    assert environment(c, "1")["MY_TOKEN"] == "1"
    assert environment(c, "2", inherit="none", set={"A": "1"}) == {"A": "1"}
    e = environment(c, "3", inherit="core")
    assert "HOME" in e and "LANG" in e and "OTHER" not in e
    e = environment(c, "4", ignoreDefaultExcludes=False)
    assert "OTHER" in e and not {"MY_TOKEN", "Secret_x", "AKEYB"} & set(e), e
    e = environment(c, "5", exclude=["oth*", "?ANG"])
    assert "OTHER" not in e and "LANG" not in e and "HOME" in e
    e = environment(c, "6", includeOnly=["o*"], set={"OX": "1", "A": "1"}, env={"B": "2"})
    assert e == {"OTHER": "4", "OX": "1", "B": "2"}, e
    assert environment(c, "7", set={"OTHER": "set"}, env={"OTHER": "env"})["OTHER"] == "env"
    c.fails(-32602, "process/start", processId="8", argv=["env"], cwd=uri("/"), env={}, tty=False,
            envPolicy={"inherit": "all"})


@check("8.3")
def events_have_their_members(t):
    c = t.client()
    c.answer(c.start("p", ["sh", "-c", "echo out; sleep 0.2; echo err >&2; exit 3"]))
    a, b = c.event("process/output"), c.event("process/output")
    assert a == {"processId": "p", "seq": 1, "stream": "stdout", "chunk": b64(b"out\n")}
    assert b == {"processId": "p", "seq": 2, "stream": "stderr", "chunk": b64(b"err\n")}
    e = c.event("process/exited")
    assert e.pop("sandboxDenied", False) is False
    assert e == {"processId": "p", "seq": 3, "exitCode": 3}
    assert c.event("process/closed") == {"processId": "p", "seq": 4}


@check("8.3")
def a_chunk_is_at_most_8192_bytes(t):
    c = t.client()
    c.run("p", ["head", "-c", "300000", "/dev/zero"])
    sizes = [len(unb64(e[2]["chunk"])) for e in c.log if e[0] == "event" and "chunk" in e[2]]
    assert sum(sizes) == 300000 and max(sizes) <= 8192


@check("8.3")
def a_signal_is_128_and_its_number(t):
    c = t.client()
    assert process(c, "p", "kill -TERM $$")[0] == 143
    assert process(c, "q", "kill -KILL $$")[0] == 137


@check("8.3", quirk="a child of a pty that a signal killed reports 1")
def so_it_is_on_a_pty(t):
    assert process(t.client(), "p", "kill -KILL $$", tty=True)[0] == 137


@check("8.3")
def a_grandchild_holds_closed_back_but_not_exited(t):
    c = t.client()
    c.start("p", ["sh", "-c", "sleep 0.6 & exit 0"])
    begin = time.monotonic()
    c.event("process/exited")
    assert time.monotonic() - begin < 0.5
    c.event("process/closed")
    assert time.monotonic() - begin > 0.5


@check("8.3")
def the_end_of_a_ptys_leader_closes_it(t):
    c = t.client()
    c.start("p", ["sh", "-c", "sleep 100 & exit 0"], tty=True)
    c.event("process/exited")
    c.event("process/closed", timeout=2)


@check("8.4")
def writes_are_delivered(t):
    c = t.client()
    c.answer(c.start("p", ["head", "-c", "300006"], pipeStdin=True))
    data = os.urandom(300000)
    for n, piece in enumerate((b"abc", data, b"xyz")):
        assert c.call("process/write", processId="p", chunk=b64(piece), writeId=str(n)) == \
            {"status": "accepted"}
    assert c.finish("p")[1]["stdout"] == b"abc" + data + b"xyz"
    assert c.call("process/write", processId="p", chunk="", writeId="9") == {"status": "accepted"}


@check("8.4")
def a_write_that_goes_nowhere_says_so(t):
    c = t.client()
    c.answer(c.start("p", ["sleep", "100"]))
    for name, want in (("p", "stdinClosed"), ("nobody", "unknownProcess")):
        assert c.call("process/write", processId=name, chunk="eA==", writeId="1") == \
            {"status": want}
    c.call("process/terminate", processId="p")


@check("8.4")
def a_write_id_is_taken_once(t):
    c = t.client()
    c.answer(c.start("p", ["head", "-c", "2"], pipeStdin=True))
    for number, letter in (("1", b"a"), ("1", b"b"), ("2", b"c")):
        assert c.call("process/write", processId="p", chunk=b64(letter), writeId=number) == \
            {"status": "accepted"}
    assert c.finish("p")[1]["stdout"] == b"ac"


@check("8.4", quirk="it can't end a command's input")
def a_write_id_counts_when_it_was_delivered(t):
    c = t.client()
    c.answer(c.start("p", ["cat"], pipeStdin=True))

    def write(number):
        return c.call("process/write", processId="p", chunk=b64(b"x"), writeId=number)["status"]
    assert write("1") == "accepted"
    assert c.call("process/closeStdin", processId="p") == {"status": "accepted"}
    assert write("1") == "accepted"  # it was, whoever asks again
    assert [write("2"), write("2")] == ["stdinClosed", "stdinClosed"]
    assert c.finish("p")[1]["stdout"] == b"x"
    assert [write("1"), write("2")] == ["accepted", "accepted"]  # as to whoever has exited


@check("8.4")
def end_of_transmission_ends_a_ptys_input(t):
    c = t.client()
    c.answer(c.start("p", ["cat"], tty=True))
    c.call("process/write", processId="p", chunk=b64(b"hi\n\x04"), writeId="1")
    code, out = c.finish("p")
    assert code == 0 and out["pty"] == b"hi\r\nhi\r\n", out


@check("8.5")
def an_interrupt_goes_to_the_group(t):
    c = t.client()
    c.answer(c.start("p", ["sh", "-c", "trap 'echo got' INT; echo go; (trap 'echo too' INT; sleep 2; :) & "
                                       "sleep 2; wait; exit 5"]))
    time.sleep(0.4)
    assert c.call("process/signal", processId="p", signal="interrupt") == {}
    code, out = c.finish("p")
    assert code == 5 and b"got" in out["stdout"], (code, out)


@check("8.5")
def an_interrupt_of_nobody_is_fine(t):
    c = t.client()
    process(c, "p")
    assert c.call("process/signal", processId="p", signal="interrupt") == {}
    assert c.call("process/signal", processId="nobody", signal="interrupt") == {}


@check("8.5")
def terminate_kills_the_group_at_once(t):
    c = t.client()
    c.answer(c.start("p", ["sh", "-c", "trap '' TERM INT; sleep 100 & echo $!; wait; wait"]))
    child = int(unb64(c.event("process/output", "p")["chunk"]))
    assert c.call("process/terminate", processId="p") == {"running": True}
    assert c.event("process/exited", "p", timeout=2)["exitCode"] == 137
    c.event("process/closed", "p", timeout=2)
    until(lambda: status(child).get("State", "Z")[0] == "Z", "the group is gone", 2)
    assert c.call("process/terminate", processId="p") == {"running": False}
    assert c.call("process/terminate", processId="nobody") == {"running": False}
    assert c.call("process/read", processId="p")["exited"]


@check("8.5", quirk="17.6: who left the group survives")
def terminate_catches_who_left_the_group(t):
    c = t.client()
    c.answer(c.start("p", ["sh", "-c", "setsid sh -c 'echo $$; exec sleep 100' & sleep 100"]))
    child = int(unb64(c.event("process/output", "p")["chunk"]))
    c.call("process/terminate", processId="p")
    c.event("process/exited", "p")
    try:
        until(lambda: status(child).get("State", "Z")[0] == "Z", "it is gone", 1)
    finally:
        if status(child):
            os.kill(child, signal.SIGKILL)


@check("8.6", sometimes="17.4: out of order now and then")
def a_read_gives_what_is_retained(t):
    c = t.client()
    process(c, "p", "echo out; sleep 0.1; echo err >&2; exit 3")
    r = c.call("process/read", processId="p")
    assert r.pop("sandboxDenied", False) is False and r.pop("failure", None) is None
    assert r == {"chunks": [{"seq": 1, "stream": "stdout", "chunk": b64(b"out\n")},
                            {"seq": 2, "stream": "stderr", "chunk": b64(b"err\n")}],
                 "nextSeq": 5, "exited": True, "exitCode": 3, "closed": True}
    r = c.call("process/read", processId="p", afterSeq=1, maxBytes=None, waitMs=None)
    assert [x["seq"] for x in r["chunks"]] == [2]
    assert c.fails(-32600, "process/read", processId="nobody") == "unknown process id nobody"


@check("8.6")
def a_read_is_cut_by_its_bytes_but_never_empty(t):
    c = t.client()
    process(c, "p", "echo 123; sleep 0.1; echo 456; sleep 0.1; echo 789")
    for most, seqs in ((0, [1]), (4, [1]), (7, [1]), (8, [1, 2]), (100, [1, 2, 3])):
        r = c.call("process/read", processId="p", maxBytes=most)
        assert [x["seq"] for x in r["chunks"]] == seqs, (most, r)
        assert r["nextSeq"] == len(seqs) + 1 or most == 100, (most, r)
    r = c.call("process/read", processId="p", afterSeq=3, maxBytes=100)
    assert r["chunks"] == [] and r["nextSeq"] == 6, r


@check("8.6")
def the_newest_mebibyte_is_retained(t):
    c = t.client()
    c.run("p", ["head", "-c", str(3 << 20), "/dev/zero"])
    r = c.call("process/read", processId="p")
    size = len(chunks(r))
    assert (1 << 20) - 8192 <= size <= 1 << 20 and r["chunks"][0]["seq"] > 1, size


@check("8.6")
def a_read_waits_for_news(t):
    c = t.client()
    c.answer(c.start("p", ["sh", "-c", "sleep 0.3; echo x; sleep 0.3; exit 2"]))
    begin = time.monotonic()
    r = c.call("process/read", processId="p", waitMs=5000)
    assert chunks(r) == b"x\n" and 0.2 < time.monotonic() - begin < 2, r
    r = c.call("process/read", processId="p", afterSeq=1, waitMs=5000)
    assert r["exited"] and r["exitCode"] == 2
    c.event("process/closed", "p")
    begin = time.monotonic()
    c.call("process/read", processId="p", afterSeq=100, waitMs=5000)
    assert time.monotonic() - begin < 1
    c.answer(c.start("q", ["sleep", "100"]))
    begin = time.monotonic()
    r = c.call("process/read", processId="q", waitMs=200)
    assert 0.15 < time.monotonic() - begin < 1 and r["chunks"] == [] and not r["exited"]
    c.call("process/terminate", processId="q")


# --- 9 files ------------------------------------------------------------------------------------------------------


def read(c, name):
    return unb64(c.call("fs/readFile", path=uri(name))["dataBase64"])


def write(c, name, data):
    assert c.call("fs/writeFile", path=uri(name), dataBase64=b64(data)) == {}


@check("9")
def files_are_written_in_place_and_read(t):
    c, name = t.client(), t.path("f")
    for data in (b"", b"x", os.urandom(100000)):
        write(c, name, data)
        assert read(c, name) == data
    os.chmod(name, 0o600)
    inode = os.stat(name).st_ino
    write(c, name, b"short")
    st = os.stat(name)
    assert st.st_ino == inode and st.st_mode & 0o777 == 0o600 and st.st_size == 5
    os.symlink("target", os.path.dirname(name) + "/link")
    write(c, os.path.dirname(name) + "/link", b"through")
    with open(os.path.dirname(name) + "/target") as f:
        assert f.read() == "through"
    assert b"Name:" in read(c, "/proc/self/status")


@check("9")
def what_is_no_file_is_not_read(t):
    c, folder = t.client(), t.path()
    os.mkfifo(folder + "/fifo")
    for name in (folder, "/dev/null", folder + "/fifo"):
        assert c.fails(-32600, "fs/readFile", path=uri(name)) == "path `%s` is not a file" % name
    c.fails(-32004, "fs/writeFile", path=uri(folder + "/no/f"), dataBase64="")
    assert "requires valid base64 dataBase64" in c.fails(
        -32600, "fs/writeFile", path=uri(folder + "/f"), dataBase64="%")


@check("9")
def sixteen_mebibytes_are_written_in_fragments(t):
    c, name = t.client(), t.path("big")
    data = os.urandom(16 << 20)
    text = json.dumps({"id": 95, "method": "fs/writeFile",
                       "params": {"path": uri(name), "dataBase64": b64(data)}}).encode()
    step = 12 << 20
    for at in range(0, len(text), step):
        c.raw(frame(1 if not at else 0, text[at:at + step], fin=at + step >= len(text)))
    assert c.answer(95) == {}
    assert read(c, name) == data


@check("9")
def directories_are_made(t):
    c, folder = t.client(), t.path()
    assert c.call("fs/createDirectory", path=uri(folder + "/a/b/c")) == {}
    assert c.call("fs/createDirectory", path=uri(folder + "/a/b/c")) == {}
    assert c.call("fs/createDirectory", path=uri(folder + "/d"), recursive=False) == {}
    assert c.fails(-32603, "fs/createDirectory", path=uri(folder + "/d"), recursive=False) == \
        "File exists (os error 17)"
    c.fails(-32004, "fs/createDirectory", path=uri(folder + "/x/y"), recursive=False)
    write(c, folder + "/f", b"")
    c.fails(-32603, "fs/createDirectory", path=uri(folder + "/f"))


@check("9")
def metadata_follows_links_but_tells_of_them(t):
    c, folder = t.client(), t.path()
    write(c, folder + "/f", b"1234")
    os.symlink("f", folder + "/link")
    os.symlink("nothing", folder + "/dangling")
    m = c.call("fs/getMetadata", path=uri(folder + "/link"))
    assert m["isFile"] and m["isSymlink"] and not m["isDirectory"] and m["size"] == 4, m
    assert abs(m["modifiedAtMs"] / 1000 - time.time()) < 60 and "createdAtMs" in m
    assert c.call("fs/getMetadata", path=uri(folder))["isDirectory"]
    c.fails(-32004, "fs/getMetadata", path=uri(folder + "/dangling"))
    m = c.call("fs/getMetadata", path=uri("/dev/null"))
    assert not m["isFile"] and not m["isDirectory"]


@check("9")
def a_directory_is_listed(t):
    c, folder = t.client(), t.path()
    os.mkdir(folder + "/d")
    write(c, folder + "/.f", b"")
    os.symlink("d", folder + "/link")
    os.symlink("nothing", folder + "/dangling")
    got = sorted((e["fileName"], e["isDirectory"], e["isFile"])
                 for e in c.call("fs/readDirectory", path=uri(folder))["entries"])
    assert got == [(".f", False, True), ("d", True, False), ("link", True, False)], got
    assert c.fails(-32603, "fs/readDirectory", path=uri(folder + "/.f")) == \
        "Not a directory (os error 20)"


@check("9")
def things_are_removed(t):
    c, folder = t.client(), t.path()
    os.makedirs(folder + "/d/e")
    write(c, folder + "/d/f", b"")
    os.symlink("d", folder + "/link")
    assert c.call("fs/remove", path=uri(folder + "/link")) == {} and os.path.isdir(folder + "/d/e")
    assert c.fails(-32603, "fs/remove", path=uri(folder + "/d"), recursive=False) == \
        "Directory not empty (os error 39)"
    assert c.call("fs/remove", path=uri(folder + "/d")) == {} and not os.path.exists(folder + "/d")
    assert c.call("fs/remove", path=uri(folder + "/d")) == {}
    c.fails(-32004, "fs/remove", path=uri(folder + "/d"), force=False)


@check("9")
def things_are_copied(t):
    c, folder = t.client(), t.path()
    os.makedirs(folder + "/d/e")
    write(c, folder + "/d/f", b"1")
    os.chmod(folder + "/d/f", 0o751)
    os.symlink("f", folder + "/d/link")

    def copy(a, b, recursive=False):
        return dict(sourcePath=uri(folder + a), destinationPath=uri(folder + b), recursive=recursive)
    assert c.call("fs/copy", **copy("/d/f", "/g")) == {}
    assert os.stat(folder + "/g").st_mode & 0o777 == 0o751
    assert c.call("fs/copy", **copy("/d/link", "/l")) == {} and os.readlink(folder + "/l") == "f"
    assert c.fails(-32600, "fs/copy", **copy("/d", "/h")) == \
        "fs/copy requires recursive: true when sourcePath is a directory"
    assert c.call("fs/copy", **copy("/d", "/h", True)) == {} and os.path.isdir(folder + "/h/e")
    assert c.fails(-32600, "fs/copy", **copy("/d", "/d/x", True)) == \
        "fs/copy cannot copy a directory to itself or one of its descendants"
    assert c.fails(-32600, "fs/copy", sourcePath=uri("/dev/null"), recursive=False,
                   destinationPath=uri(folder + "/n")) == \
        "fs/copy only supports regular files, directories, and symlinks"
    c.fails(-32602, "fs/copy", sourcePath=uri("/a"), destinationPath=uri("/b"))


@check("9")
def a_path_without_symlinks_is_enforced(t):
    c, folder = t.client(), t.path()
    os.mkdir(folder + "/d")
    write(c, folder + "/d/f", b"1")
    os.symlink("d", folder + "/link")
    os.symlink("d/f", folder + "/file")
    for name in ("/file", "/link/f"):
        for method, more in (("fs/readFile", {}), ("fs/writeFile", {"dataBase64": "eA=="})):
            c.fails(-32603, method, path=uri(folder + name), followSymlinks=False, **more)
        try:
            c.call("fs/getMetadata", path=uri(folder + name), followSymlinks=False)
            raise AssertionError(name)
        except RpcError as e:  # Codex's tells a link at the end from one on the way
            assert e.message == "path contains a symbolic link" or name == "/link/f", e
    assert c.call("fs/readFile", path=uri(folder + "/d/f"), followSymlinks=False)


@check("9")
def blocks_are_read_and_written(t):
    c, name = t.client(), t.path("f")
    assert c.call("fs/open", handleId="w", path=uri(name), mode="replace") == {"handleId": "w"}
    assert os.path.exists(name)
    assert c.call("fs/writeBlock", handleId="w", offset=5, chunk=b64(b"world")) == {}
    assert c.call("fs/writeBlock", handleId="w", offset=0, chunk=b64(b"hello")) == {}
    assert c.call("fs/close", handleId="w") == {} and c.call("fs/close", handleId="w") == {}
    c.call("fs/open", handleId="r", path=uri(name))
    assert c.call("fs/readBlock", handleId="r", offset=3, len=4) == \
        {"chunk": b64(b"lowo"), "eof": False}
    assert c.call("fs/readBlock", handleId="r", offset=8, len=100) == \
        {"chunk": b64(b"ld"), "eof": True}
    c.fails(-32004, "fs/readBlock", handleId="nobody", offset=0, len=1)
    for size in (0, (1 << 20) + 1):
        try:
            c.call("fs/readBlock", handleId="r", offset=0, len=size)
            raise AssertionError(size)
        except RpcError:
            pass


@check("9")
def handles_are_named_and_counted(t):
    c, name = t.client(), t.path("f")
    write(c, name, b"1")
    c.fails(-32600, "fs/open", handleId="x" * 33, path=uri(name))
    c.call("fs/open", handleId="h0", path=uri(name))
    assert c.fails(-32600, "fs/open", handleId="h0", path=uri(name)) == \
        "file handle `h0` already exists"
    for n in range(1, 128):
        c.call("fs/open", handleId="h%d" % n, path=uri(name))
    assert c.fails(-32600, "fs/open", handleId="more", path=uri(name)) == \
        "at most 128 file handles may be open per connection"
    assert t.client().fails(-32004, "fs/readBlock", handleId="h0", offset=0, len=1)


WALK = {"maxDepth": 10, "maxDirectories": 100, "maxEntries": 100,
        "followDirectorySymlinks": False}


@check("9")
def a_tree_is_walked_breadth_first(t):
    c, folder = t.client(), t.path()
    os.makedirs(folder + "/b/c")
    os.mkdir(folder + "/.h")
    for name in ("/z", "/a", "/b/f", "/b/c/g", "/.h/i"):
        write(c, folder + name, b"")
    os.symlink("b", folder + "/link")

    def walk(**more):
        r = c.call("fs/walk", path=uri(folder), options=dict(WALK, **more))
        return [e["path"][len(uri(folder)):] for e in r["entries"]], r["truncated"]
    every = ["/.h", "/a", "/b", "/z", "/.h/i", "/b/c", "/b/f", "/b/c/g"]
    assert walk() == (every, False), walk()
    assert walk(maxDepth=0) == (every[:4], False) or walk(maxDepth=0)[0] == every[:4]
    assert walk(pruneHiddenDirectories=True)[0] == [n for n in every if n != "/.h/i"]
    names, cut = walk(maxEntries=3)
    assert names == every[:3] and cut
    assert "/link" in walk(followDirectorySymlinks=True)[0]
    assert c.call("fs/walk", path=uri(folder + "/a"), options=WALK)["entries"] == []


# --- 10 http ---------------------------------------------------------------------------------------------------------


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.say(200, json.dumps([self.headers.items(), body.decode()]).encode(),
                 [("X-Multi", "a"), ("X-Multi", "b")])

    def do_GET(self):
        if self.path.startswith("/to"):
            self.say(302, b"there", [("Location", "/end")])
        elif self.path == "/slow":
            time.sleep(1)
            self.say(200, b"late")
        else:
            self.say(200, self.path.encode())

    def say(self, code, body, headers=()):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


web = None


def website():
    global web
    if not web:
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=web.serve_forever, daemon=True).start()
    return "http://127.0.0.1:%d" % web.server_port


def fetch(c, path="/x", method="GET", **more):
    return c.call("http/request", method=method, url=website() + path, requestId="r", **more)


@check("10")
def a_request_is_made(t):
    c = t.client()
    r = fetch(c, method="POST", bodyBase64=b64(b"payload"),
              headers=[{"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}])
    headers, body = json.loads(unb64(r["bodyBase64"]))
    headers = [(n.lower(), v) for n, v in headers]
    assert r["status"] == 200 and body == "payload"
    assert ("x-a", "1") in headers and ("x-a", "2") in headers and ("accept", "*/*") in headers
    assert "user-agent" not in dict(headers)
    assert [h["value"] for h in r["headers"] if h["name"].lower() == "x-multi"] == ["a", "b"]


@check("10")
def redirects_are_followed_or_not(t):
    c = t.client()
    assert unb64(fetch(c, "/to")["bodyBase64"]) == b"/end"
    assert fetch(c, "/to", redirectPolicy="stop")["status"] == 302


@check("10")
def wrong_requests_are_said(t):
    c = t.client()
    good = {"method": "GET", "url": website(), "requestId": "r"}
    for change, part in (({"url": "ftp://x/"}, "http/request only supports http and https URLs, got ftp"),
                         ({"url": "http://"}, "http/request "), ({"method": "A B"}, "method is invalid"),
                         ({"headers": [{"name": "a b", "value": "x"}]}, "header name is invalid"),
                         ({"headers": [{"name": "a", "value": "x\ny"}]},
                          "header value is invalid for a")):
        assert part in c.fails(-32602, "http/request", **dict(good, **change)), change
    assert c.fails(-32603, "http/request", **dict(good, url="http://127.0.0.1:1/")).startswith(
        "http/request failed: ")
    c.fails(-32603, "http/request", **dict(good, url=website() + "/slow", timeoutMs=100))


@check("10")
def a_streamed_answer_comes_in_ordered_deltas(t):
    c = t.client()
    r = fetch(c, "/streamed", streamResponse=True)
    assert r["status"] == 200 and not r.get("bodyBase64")
    body, seq = b"", 0
    while True:
        d = c.event("http/request/bodyDelta")
        seq += 1
        assert d["requestId"] == "r" and d["seq"] == seq, d
        body += unb64(d["deltaBase64"])
        if d["done"]:
            break
    assert body == b"/streamed" and not d.get("error")


# --- 11 extras ----------------------------------------------------------------------------------


TOO_OFTEN = "under load it was seen to speak of a neighbour's change"


class Watched:
    """A folder, and what a client is told of what is not there."""

    def __init__(self, t):
        self.folder, self.c, self.count = t.path(), t.client(), 0

    def path(self, name):
        return self.folder + "/" + name

    def watch(self, *missing, present=None):
        self.count += 1
        r = self.c.call("fs/watchMissing", watchId=self.count,
                        missing=[uri(self.path(m)) for m in missing],
                        present=present and uri(self.path(present)))
        return r["watching"]

    def told(self):
        """The watch that just spoke; twice would be one too often."""
        number = self.c.event("fs/missingChanged")["watchId"]
        alive(self.c)
        assert not [e for e in self.c.events if e == ("fs/missingChanged", {"watchId": number})]
        return number

    def quiet(self, seconds=0.2):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.c.receive(max(0.001, end - time.monotonic()))
            except AssertionError:
                break
        return not [e for e in self.c.events if e[0] == "fs/missingChanged"]

    def make(self, name, text=""):
        with open(self.path(name), "w") as f:
            f.write(text)


@check("11.2")
def what_appears_is_told_once(t):
    w = Watched(t)
    os.makedirs(w.path("deep/er"))
    for number, act in enumerate((lambda n: w.make(n), lambda n: os.mkdir(w.path(n)),
                                  lambda n: os.symlink("/nowhere", w.path(n)),
                                  lambda n: os.rename(w.path("deep/er"), w.path(n))), 1):
        assert w.watch("other", "new-%d" % number)
        act("new-%d" % number)
        assert w.told() == number


@check("11.2")
def a_missing_folder_counts_too(t):
    w = Watched(t)
    os.mkdir(w.path("a"))
    assert w.watch("a/b/c")
    os.mkdir(w.path("a/b"))
    assert w.told() == 1
    assert w.watch("a/b/c")
    os.rename(w.path("a/b"), w.path("a/z"))
    assert w.told() == 2
    assert w.watch("a/b/c")
    os.rename(w.path("a"), w.path("y"))
    assert w.told() == 3


@check("11.2")
def only_what_is_missing_is_watched(t):
    w = Watched(t)
    w.make("there")
    os.symlink("there", w.path("link"))
    os.symlink(".", w.path("around"))
    assert [w.watch(), w.watch("there"), w.watch("no", "there"), w.watch("link"),
            w.watch("around/no"), w.watch("there/no"), w.watch("no", present="link"),
            w.watch("no", present="neither")] == 8 * [False]
    assert not w.watch("../../../../../../../../proc/1/no")
    w.make("no")
    assert w.quiet()


@check("11.2")
def what_is_present_must_stay_as_it_is(t):
    w = Watched(t)
    for number, act in enumerate((lambda: w.make("p", "more"), lambda: os.unlink(w.path("p")),
                                  lambda: os.rename(w.path("other"), w.path("p"))), 1):
        w.make("p", "text")
        w.make("other")
        assert w.watch("no", present="p")
        act()
        assert w.told() == number


@check("11.2", sometimes=TOO_OFTEN)
def other_things_are_not_told(t):
    w = Watched(t)
    assert w.watch("no")
    w.make("yes")
    w.make("no-")
    os.unlink(w.path("yes"))
    assert w.quiet()
    w.make("no")
    assert w.told() == 1


@check("11.2", sometimes=TOO_OFTEN)
def a_watch_id_is_used_once_at_a_time(t):
    w = Watched(t)
    assert w.watch("a")
    w.count = 0
    assert not w.watch("b")
    w.make("b")
    assert w.quiet()
    w.make("a")
    assert w.told() == 1
    assert "invalid URI" in w.c.fails(-32602, "fs/watchMissing", watchId=9, missing=["x"])
    assert "watchId" in w.c.fails(-32602, "fs/watchMissing", missing=[])
    w.c.fails(-32602, "fs/watchMissing", watchId=-1, missing=[])


@check("11.2", sometimes=TOO_OFTEN)
def watches_are_private_and_end_with_their_connection(t):
    a, b = Watched(t), Watched(t)
    b.folder = a.folder
    assert a.watch("x", "y") and b.watch("x")
    a.c.close()
    b.make("y")
    assert b.quiet()
    b.make("x")
    assert b.told() == 1


@check("11.2", sometimes=TOO_OFTEN)
def too_many_paths_are_not_watched(t):
    w = Watched(t)
    assert not w.watch(*["no-%d" % n for n in range(3000)])
    w.make("no-5")
    assert w.quiet()


def tree(t, **files):
    """A folder with those files; __ stands for a slash. Its path."""
    root = t.path()
    for name, text in files.items():
        path = root + "/" + name.replace("__", "/")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
    return root


def discover(t, *paths, **more):
    roots = [dict({"id": "root %d" % n, "path": uri(p)}, **more) for n, p in enumerate(paths)]
    found = t.client().call("capabilityRoots/discoverV1", roots=roots)["roots"]
    assert [(r["id"], r["path"]) for r in found] == [(r["id"], r["path"]) for r in roots]
    return found


def text_file(path, contents):
    return {"path": uri(path), "contents": contents}


@check("11.4")
def skills_are_found_and_read(t):
    root = tree(t, SKILL_md="", **{"b__SKILL.md": "two", "a b__SKILL.md": "one",
                                   "b__agents__openai.yaml": "about", "b__skill.md": "no",
                                   ".c__SKILL.md": "hidden", "1__2__3__4__5__6__SKILL.md": "deep",
                                   "1__2__3__4__5__6__7__SKILL.md": "too deep"})
    os.makedirs(root + "/d/SKILL.md")
    os.symlink(root + "/b/SKILL.md", root + "/1/SKILL.md")
    found, = discover(t, root)
    got = [(s["instructions"], s["metadata"]) for s in found["skills"]]
    assert got == [(text_file(root + "/.c/SKILL.md", "hidden"), None),
                   (text_file(root + "/1/2/3/4/5/6/SKILL.md", "deep"), None),
                   (text_file(root + "/a b/SKILL.md", "one"), None),
                   (text_file(root + "/b/SKILL.md", "two"),
                    text_file(root + "/b/agents/openai.yaml", "about"))], got
    assert (found["plugin"], found["namespaceManifests"], found["warnings"], found["error"]) == \
        (None, [], [], None)


@check("11.4")
def what_is_no_text_is_a_warning(t):
    root = tree(t, **{"a__SKILL.md": b"\xff\xfe", "b__SKILL.md": b"x" * ((1 << 20) + 1),
                      "c__SKILL.md": b"x" * (1 << 20)})
    os.mkfifo(root + "/SKILL.md")
    found, = discover(t, root)
    assert [len(s["instructions"]["contents"]) for s in found["skills"]] == [1 << 20]
    a, b = found["warnings"]
    assert a.startswith("capability file %s is not UTF-8" % uri(root + "/a/SKILL.md"))
    assert b == "capability file %s exceeds the 1048576-byte limit" % uri(root + "/b/SKILL.md")


@check("11.4")
def a_root_has_its_bounds(t):
    root = tree(t, **{"%02d__SKILL.md" % n: b"x" * (1 << 20) for n in range(18)})
    found, = discover(t, root)
    assert len(found["skills"]) == 16 and len(found["warnings"]) == 2, found["warnings"]
    for n in range(2100):
        os.mkdir(root + "/%04d" % n)
    found, = discover(t, root)
    assert "capability scan reached its traversal limit (root: %s)" % uri(root) in \
        found["warnings"]


PLUGIN = ".codex-plugin__plugin.json"


@check("11.4")
def a_plugin_is_its_manifest_and_what_that_names(t):
    root = tree(t, **{PLUGIN: '{"mcpServers":"./m x.json","apps":"./apps.json"}',
                      "m x.json": "servers", "apps.json": "apps", ".mcp.json": "not this",
                      "in__.cursor-plugin__plugin.json": "third",
                      "in__.claude-plugin__plugin.json": "second", "s__SKILL.md": "skill"})
    own = text_file(root + "/.codex-plugin/plugin.json",
                    '{"mcpServers":"./m x.json","apps":"./apps.json"}')
    whole, below = discover(t, root, root + "/s")
    assert whole["plugin"] == {"manifest": own, "mcpConfig": text_file(root + "/m x.json",
                                                                       "servers"),
                               "appsConfig": text_file(root + "/apps.json", "apps")}
    assert whole["namespaceManifests"] == \
        [own, text_file(root + "/in/.claude-plugin/plugin.json", "second")]
    # A root inside a plugin is in its name space, and no plugin.
    assert below["plugin"] is None and below["namespaceManifests"] == [own]


@check("11.4")
def a_manifest_names_nothing_outside_its_root(t):
    usual = {"why": "usual", "servers": ".mcp.json"}
    for manifest, servers, warned in (
            ('{}', "usual", []), ("no json", "usual", []), ("[1]", "usual", []),
            ('{"mcpServers":7,"apps":7}', "usual", []), ('{"mcpServers":{"a":{}}}', None, []),
            ('{"mcpServers":"./gone.json"}', None, []),
            ('{"mcpServers":"/etc/passwd"}', "usual", ["path must start with `./`"]),
            ('{"mcpServers":"../x"}', "usual", ["path must start with `./`"]),
            ('{"mcpServers":"./a/../../x"}', "usual",
             ["path must remain below the capability root"]),
            ('{"mcpServers":".//etc/passwd","apps":"./"}', "usual",
             2 * ["path must remain below the capability root"])):
        root = tree(t, **{PLUGIN: manifest, usual["servers"]: usual["why"]})
        found, = discover(t, root)
        got = found["plugin"]["mcpConfig"]
        assert (got and got["contents"]) == servers, manifest
        assert [w.rsplit(": ", 1)[1] for w in found["warnings"]] == warned, found["warnings"]
        assert found["plugin"]["appsConfig"] is None


@check("11.4")
def a_root_that_is_none_says_so(t):
    root = tree(t, file="x")
    file, gone = discover(t, root + "/file", root + "/gone")
    assert file["error"] == "capability root %s is not a directory" % uri(root + "/file")
    assert gone["error"].startswith("failed to inspect capability root " + uri(root + "/gone"))
    c = t.client()
    assert c.call("capabilityRoots/discoverV1", roots=[]) == {"roots": []}
    for wrong in ([{}], [{"id": 1, "path": uri(root)}], [{"id": "a", "path": "x"}], None,
                  [{"id": "a", "path": uri(root), "sandbox": {}}]):
        c.fails(-32602, "capabilityRoots/discoverV1", roots=wrong)
    many = [{"id": "a", "path": uri(root)}]
    assert len(c.call("capabilityRoots/discoverV1", roots=128 * many)["roots"]) == 128
    assert c.fails(-32600, "capabilityRoots/discoverV1", roots=129 * many) == \
        "capability root discovery accepts at most 128 roots"


@check("11.4", quirk="it finds no program for its own sandbox when it is not installed")
def a_roots_sandbox_is_enforced(t):
    root = tree(t, **{"in__SKILL.md": "in", "out__SKILL.md": "out",
                      "in__.mcp.json": "no", "in__.codex-plugin__plugin.json": "{}"})
    os.symlink(root + "/out", root + "/in/way")
    os.remove(root + "/in/.mcp.json")
    os.symlink(root + "/out/SKILL.md", root + "/in/.mcp.json")
    box = {"permissions": {"type": "managed", "network": "restricted", "file_system": {
        "type": "restricted", "entries": [{"path": {"type": "path", "path": uri(root + "/in")},
                                           "access": "read"}]}},
           "cwd": uri(root), "workspaceRoots": [uri(root)]}
    inside, outside = discover(t, root + "/in", root + "/out", sandbox=box)
    assert [s["instructions"]["contents"] for s in inside["skills"]] == ["in"], inside
    assert inside["plugin"]["mcpConfig"] is None
    assert "Permission denied" in outside["error"] and not outside["skills"]
    assert "Permission denied" in " ".join(inside["warnings"])


ETC = """mount -t tmpfs none /mnt && cp -a /etc /mnt/ && mount --bind /mnt/etc /etc &&
         rm -rf /etc/codex && ln -s "$1" /etc/codex && shift && exec "$@\""""


class Configured:
    """A server with a home, an /etc/codex and a repository of the check's own."""

    def __init__(self, t, etc=False, begin=True):
        self.t, self.etc = t, etc
        self.root = os.path.realpath(t.path())
        for name in ("home/.codex", "etc", "repo/sub/deep"):
            os.makedirs(self.path(name))
        subprocess.run(["git", "init", "-q", self.path("repo")], check=True)
        if begin:
            self.begin()

    def begin(self):
        home = {"HOME": self.path("home"), "CODEX_HOME": self.path("home/.codex")}
        around = ["unshare", "--mount", "sh", "-c", ETC, "sh", self.path("etc")] if self.etc else []
        p = start(around + self.t.argv("--listen", "stdio"), env=dict(os.environ, **home))
        self.c = Client.stdio(p)
        self.c.hello()

    def path(self, name):
        return self.root + "/" + name

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w") as f:
            f.write(text)

    def trust(self, name, level="trusted", more=""):
        self.write("home/.codex/config.toml", '%s\n[projects."%s"]\ntrust_level = "%s"\n' %
                   (more, self.path(name), level))

    def ask(self, where="repo", config=("model",), requirements=()):
        return self.c.call("environmentConfig/read", cwd=uri(self.path(where)),
                           configPaths=[p.split("/") for p in config],
                           requirementsPaths=[p.split("/") for p in requirements])

    def layers(self, *args, kind="config", **more):
        """[(source, base, document)], the weakest first."""
        stack = self.ask(*args, **more)[kind]
        return [(x["source"].replace(self.root + "/", ""), x["baseDir"].replace(uri(self.root), ""),
                 tomllib.loads(x["toml"])) for x in stack["layers"]]

    def models(self, where="repo"):
        return [x[2]["model"] for x in self.layers(where)]

    def refused(self, where="repo"):
        return self.c.fails(-32603, "environmentConfig/read", cwd=uri(self.path(where)),
                            configPaths=[["model"]], requirementsPaths=[])


METADATA = "some capability metadata could not be loaded; discovery may be incomplete"
LOCATIONS = "some capability locations could not be resolved; discovery may be incomplete"
CACHE = "home/.codex/plugins/cache/"
REMOTE = ".codex-remote-plugin-install.json"


class Installed(Configured):
    """What is installed there: skills and plugins. Codex looks when it starts, and keeps what
    it saw for a while: so a server is started for each question."""

    def __init__(self, t, etc=False):
        super().__init__(t, etc, begin=False)

    def skill(self, folder, head="name: n\ndescription: d\n", about=None):
        self.write(folder + "/SKILL.md", "---\n%s---\nbody\n" % head)
        if about is not None:
            self.write(folder + "/agents/openai.yaml", about)

    def plugin(self, where, manifest='{"name":"p"}'):
        """@where: MARKETPLACE/NAME/VERSION."""
        self.write(CACHE + where + "/.codex-plugin/plugin.json", manifest)

    def all(self):
        self.begin()
        with self.c as c:
            return c.call("capabilities/discoverV2", cwd=uri(self.path("repo")))

    def refusal(self):
        self.begin()
        with self.c as c:
            return c.fails(-32603, "capabilities/discoverV2", cwd=uri("/"))

    def names(self):
        """[(name, path below the home)] of skills, [id] of plugins, warnings."""
        r = self.all()
        return ([(s["name"], self.short(s["path"])) for s in r["skills"]],
                [p["id"] for p in r["plugins"]], r["warnings"])

    def short(self, path):
        return path.replace(uri(self.path("home")) + "/", "").replace("/SKILL.md", "")


@check("11.3")
def a_place_has_skills_of_its_own(t):
    k = Installed(t, etc=True)
    assert k.all() == {"plugins": [], "skills": [], "warnings": []}
    k.skill("home/.codex/skills/b", "name: one\ndescription:  a  b \nmetadata:\n"
            "  short-description: s\n")
    k.skill("home/.agents/skills/a", "description: d\n", "policy:\n  products: [CODEX]\n")
    k.skill("etc/skills/z", about="dependencies:\n  tools:\n  - {type: mcp, value: v}\n")
    for elsewhere in ("repo/.agents/skills/r", "repo/.codex/skills/r", "home/skills/r"):
        k.skill(elsewhere)
    k.write("home/.codex/skills/SKILL.md", "no head")
    root = lambda id, path: {"id": id, "path": uri(path)}
    tool = {"type": "mcp", "value": "v", "description": None, "transport": None, "command": None,
            "url": None, "oauthCallbackPort": None}
    none = {"shortDescription": None, "dependencies": None, "policy": None}
    assert k.all() == {"plugins": [], "warnings": [METADATA], "skills": [
        dict(none, name="one", description="a b", shortDescription="s",
             path=uri(k.path("home/.codex/skills/b/SKILL.md")),
             discoveryRoot=root("codex-home-skills", k.path("home/.codex/skills"))),
        dict(none, name="a", description="d", path=uri(k.path("home/.agents/skills/a/SKILL.md")),
             policy={"allowImplicitInvocation": None, "products": ["codex"]},
             discoveryRoot=root("user-agent-skills", k.path("home/.agents/skills"))),
        dict(none, name="n", description="d", path="file:///etc/codex/skills/z/SKILL.md",
             dependencies={"tools": [tool]},
             discoveryRoot=root("system-skills", "/etc/codex/skills"))]}


@check("11.3")
def a_call_for_skills_names_a_folder(t):
    c = t.client()
    for wrong in ({}, {"cwd": 5}, {"cwd": "/x"}, {"cwd": "http://x/"}, {"cwd": uri("/"), "sandbox": {}},
                  {"cwd": uri("/"), "sandbox": []}):
        c.fails(-32602, "capabilities/discoverV2", **wrong)
    assert c.call("capabilities/discoverV2", cwd=uri("/no/such/folder"))["plugins"] == []
    c = t.client(hello=False)
    assert c.fails(-32600, "capabilities/discoverV2", cwd=uri("/")) == \
        "client must call initialize before using capability discovery methods"


@check("11.3")
def a_home_that_is_named_is_there(t):
    k = Installed(t)
    shutil.rmtree(k.path("home/.codex"))
    assert k.refusal() == \
        'CODEX_HOME points to "%s", but that path does not exist' % k.path("home/.codex")
    k.write("home/.codex", "")
    assert k.refusal().endswith("but that path is not a directory")


@check("11.3")
def skills_are_found_by_their_file(t):
    k = Installed(t)
    home = "home/.codex/skills/"
    for folder in ("a b%#é", ".h", "z/y", "1/2/3/4/5/6", "1/2/3/4/5/6/7"):
        k.skill(home + folder, "description: d\n")
    k.skill("repo/out/s")
    os.symlink(k.path("repo/out"), k.path(home + "link"))
    os.symlink("..", k.path(home + "z/up"))
    for name, make in (("f", os.mkfifo), ("d", os.mkdir)):
        os.mkdir(k.path(home + name))
        make(k.path(home + name + "/SKILL.md"))
    os.mkdir(k.path(home + "s"))
    os.symlink(k.path("repo/out/s/SKILL.md"), k.path(home + "s/SKILL.md"))
    skills, _, warnings = k.names()
    assert [s[0] for s in skills] == [".h", "6", "a b%#é", "n", "y"] and not warnings, skills
    assert [s[1] for s in skills][3:] == [".codex/skills/link/s", ".codex/skills/z/y"]


HEADS = {  # a head: what the skill "folder" says by it; None: nothing
    "name: x\ndescription: y\n": ("x", "y"), "description: y\n": ("folder", "y"),
    "name: ~\ndescription: y # c\n": ("folder", "y"), "name: 12\ndescription: true\n": ("12", "true"),
    "name: 'x''z'\ndescription: \"a\\u00e9\\n b\"\n": ("x'z", "aé b"),
    "description: >-\n  a\n\n   b\nname:\tx\n": ("x", "a b"),
    "description: |2\n   a: b\n  [c\n": ("folder", "a: b [c"), "description: a\n  b\n": ("folder", "a b"),
    "{name: x, description: 'y'}\n": ("x", "y"), "# c\n\ndescription: y#z\n...\n": ("folder", "y#z"),
    "description: y\nother:\n- a: [b, {c: d}]\n  e: 'f\n    g'\n- - h\n": ("folder", "y"),
    "description: y\nmetadata:\n": ("folder", "y"), "description: y\nx: 1\nx: 2\n": ("folder", "y"),
    "name: a 　b\ndescription: y\n": ("a b", "y"), "name: {a: b}\ndescription: y\n": ("{a: b}", "y"),
    "description: for AWS: ECS # c\n": ("folder", "for AWS: ECS"), "description: @a\n": ("folder", "@a"),
    "description: it's: [a\nhint: [b] [c]\n": ("folder", "it's: [a"), "description: [a\n": ("folder", "[a"),
    "description: **A**: b\n": ("folder", "**A**: b"), "name: %s\ndescription: y\n" % ("é" * 64): ("é" * 64, "y"),
    "name: %s\ndescription: y\n" % ("n" * 65): None, "name: x\n": None, "description: ''\n": None,
    "": None, "# c\n": None, "- description\n": None, "description: [y]\n": None,
    "description: y\ndescription: z\n": None, "description: y\nmetadata: z\n": None,
    "description: - y\n": None, "description: \"y\" z\n": None, "description: 'y\n": None,
    "description: y:\n": None, "description: *y\n": None, "description: %y\n": None,
    "description: > y\n": None, "description: y\n\tx: z\n": None, "description: y\nx\n": None,
    "description: a\x01b\n": None, "description: a\0b\n": None, "description: y\n x: z\n": None,
    "description: a: b\n  c\n": None, "description: y\n...\nx: z\n": None,
    "description: y\nmetadata: {short-description: [a]}\n": None}


@check("11.3")
def a_head_is_yaml_or_nearly_so(t):
    k = Installed(t)
    for n, head in enumerate(HEADS):
        k.skill("home/.codex/skills/%03d/folder" % n, head)
    r = k.all()
    got = {s["path"].split("/")[-3]: (s["name"], s["description"]) for s in r["skills"]}
    for n, (head, says) in enumerate(HEADS.items()):
        assert got.get("%03d" % n) == says, (head, got.get("%03d" % n))
    assert r["warnings"] == [METADATA]
    for fences in ("name: n\ndescription: d\n", "\n---\ndescription: d\n---\n", "---\ndescription: d\n",
                   "\ufeff---\ndescription: d\n---\n"):
        k.write("home/.agents/skills/s/SKILL.md", fences)
        assert len(k.all()["skills"]) == len(got), fences
    k.write("home/.agents/skills/s/SKILL.md", " --- \r\ndescription: d\r\n\u3000---\r\n")
    assert len(k.all()["skills"]) == len(got) + 1


@check("11.3", quirk="it reads anchors, aliases and tags too")
def yaml_that_is_not_read_is_left_out(t):
    k = Installed(t)
    k.skill("home/.codex/skills/a", "name: &a x\ndescription: *a\n")
    k.skill("home/.codex/skills/b", "description: !!str y\n")
    # The policy of this one would be lost without a word otherwise.
    k.skill("home/.codex/skills/c", about="x: &x {allow_implicit_invocation: false}\npolicy: *x\n")
    k.skill("home/.codex/skills/d", "description: d\n")
    assert k.names() == ([("d", ".codex/skills/d")], [], [METADATA])


ABOUTS = {  # an agents/openai.yaml: the skill's policy and dependencies by it
    "policy: {allow_implicit_invocation: FALSE, products: [chatgpt, ATLAS]}":
        ((False, ["chatgpt", "atlas"]), None),
    "policy: {}": ((None, []), None), "policy:": (None, None), "": (None, None), "---\npolicy: {}\n...": ((None, []), None),
    "policy: {products: }\ninterface: {icon_small: 5}": ((None, []), None),
    "policy: {allow_implicit_invocation: 'true'}": (None, None), "policy: {products: [Codex]}": (None, None),
    "policy: {}\npolicy: {}": (None, None), "policy: {}\ninterface: {display_name: [a]}": (None, None),
    "policy: {}\nx: *y": (None, None), "policy: {}\n---\nx: y": (None, None), "[policy]": (None, None),
    "dependencies: {tools: [{type: t, value: 5, url: ' u  u ', oauth: {callback_port: 80}}]}":
        (None, [("t", "5", "u u", 80)]),
    "dependencies:\n  tools:\n  - type: a\n    value: b\n  - value: c\n  - type: d\n    value: e\n":
        (None, [("a", "b", None, None), ("d", "e", None, None)]),
    "dependencies: {tools: [{type: %s, value: v}]}" % ("t" * 65): (None, None),
    "dependencies: {tools: [{type: t, value: v, url: %s}]}" % ("u" * 1025): (None, [("t", "v", None, None)]),
    "dependencies: {tools: [{type: t, value: v, oauth: {callbackPort: 65536}}]}": (None, None),
    "dependencies: {tools: []}": (None, None), "dependencies: {tools: x}": (None, None)}


@check("11.3")
def what_stands_beside_a_skill_is_all_right_or_nothing(t):
    k = Installed(t)
    for n, about in enumerate(ABOUTS):
        k.skill("home/.codex/skills/%03d" % n, about=about)
    r = k.all()
    assert len(r["skills"]) == len(ABOUTS) and r["warnings"] == []
    for s, (about, want) in zip(r["skills"], ABOUTS.items()):
        policy, tools = s["policy"], s["dependencies"] and s["dependencies"]["tools"]
        assert (policy and (policy["allowImplicitInvocation"], policy["products"]),
                tools and [(x["type"], x["value"], x["url"], x["oauthCallbackPort"])
                           for x in tools]) == want, (about, policy, tools)


@check("11.3")
def the_latest_version_of_a_plugin_is_it(t):
    k = Installed(t)
    for where in ("m/a/1.9.0", "m/a/1.10.0", "m/a/1.10.0-rc.1", "m/b/2.0.0", "m/b/local", "m/c/1.0.0+2",
                  "m/c/1.0.0+10", "m/d/.x", "m x/e/1", "m.x/e/1", "m/e e/1", "m/f/1 0", "M_-1/a/1"):
        k.plugin(where)
    k.write(CACHE + "m/file", "")
    os.symlink("local", k.path(CACHE + "m/b/z"))
    r = k.all()
    assert [(p["id"], p["version"]) for p in r["plugins"]] == \
        [("a@M_-1", "1"), ("a@m", "1.10.0"), ("b@m", "local"), ("c@m", "1.0.0+10"), ("d@m", ".x")]
    assert r["plugins"][1]["root"] == uri(k.path(CACHE + "m/a/1.10.0")) and r["warnings"] == []


@check("11.3")
def a_plugin_brings_its_files_and_skills(t):
    k = Installed(t)
    k.plugin("m/p/1", '{"name":"q","interface":{"displayName":" D "},"mcpServers":{"a": {"b" : "c d"}},"apps":"./y.json"}')
    k.write(CACHE + "m/p/1/y.json", "apps")
    k.write(CACHE + "m/p/" + REMOTE, '{"schema_version":1,"remote_plugin_id":" r "}')
    k.skill(CACHE + "m/p/1/skills/s", "description: d\n")
    k.skill(CACHE + "m/p/1/skills/in/x", "description: d\n")
    k.write(CACHE + "m/p/1/skills/in/.claude-plugin/plugin.json", "{}")
    r, = k.all()["plugins"]
    assert (r["displayName"], r["remotePluginId"]) == ("D", "r")
    manifest = k.path(CACHE + "m/p/1/.codex-plugin/plugin.json")
    assert r["files"]["manifest"]["path"] == r["files"]["mcpConfig"]["path"] == uri(manifest)
    assert r["files"]["mcpConfig"]["contents"] == '{"a":{"b":"c d"}}'
    assert r["files"]["appsConfig"] == text_file(k.path(CACHE + "m/p/1/y.json"), "apps")
    assert [(s["name"], s["path"].rsplit("/", 2)[1]) for s in r["skills"]] == [("in:x", "x"), ("q:s", "s")]
    assert "discoveryRoot" not in r["skills"][0]


@check("11.3")
def what_is_wrong_with_a_plugin_is_a_warning(t):
    good, usual = ["p@m"], ("M", "A")
    for manifest, plugins, files, warnings in (
            ("{}", good, usual, 0), ("{", [], None, 1), ("[]", [], None, 1), ('{"name":null}', [], None, 1),
            ('{"name":"a","name":"b"}', [], None, 1), ('{"interface":[]}', [], None, 1),
            ('{"interface":{"displayName":5}}', [], None, 1), ('{"apps":5}', [], None, 1),
            ('{"mcpServers":5,"apps":null}', good, usual, 0), ('{"mcpServers":"x"}', good, usual, 1),
            ('{"mcpServers":"./gone","apps":"./../y"}', good, (None, "A"), 1),
            ('{"skills":"../x","version":5,"interface":null}', good, usual, 0)):
        k = Installed(t)
        k.plugin("m/p/1", manifest)
        k.write(CACHE + "m/p/1/.mcp.json", "M")
        k.write(CACHE + "m/p/1/.app.json", "A")
        r = k.all()
        assert [p["id"] for p in r["plugins"]] == plugins, manifest
        assert r["warnings"] == warnings * [METADATA], (manifest, r["warnings"])
        for p in r["plugins"]:
            got = [p["files"][x] and p["files"][x]["contents"] for x in ("mcpConfig", "appsConfig")]
            assert tuple(got) == files and p["displayName"] == "1", (manifest, got)


@check("11.3")
def an_installers_mark_is_small_and_right(t):
    k = Installed(t)
    marks = ('{"schema_version":1,"remote_plugin_id":"%s"}' % (1024 * "x"),
             '{"schema_version":1,"remote_plugin_id":"%s"}' % (1025 * "x"),
             '{"schema_version":"1","remote_plugin_id":"r"}', '{"remote_plugin_id":"r"}', "{",
             '{"schema_version":1,"remote_plugin_id":" "}', '{"schema_version":1}',
             '{"schema_version":1,"remote_plugin_id":"r"}'.ljust(16384),
             '{"schema_version":1,"remote_plugin_id":"r"}'.ljust(16385))
    for n, mark in enumerate(marks):
        k.plugin("m/p%d/1" % n)
        k.write(CACHE + "m/p%d/%s" % (n, REMOTE), mark)
    k.plugin("m/q/1", "{")
    r = k.all()
    assert [p["remotePluginId"] for p in r["plugins"]] == [1024 * "x"] + 6 * [None] + ["r", None]
    assert r["warnings"] == [LOCATIONS, METADATA]


@check("11.3")
def a_root_of_skills_has_its_bounds(t):
    k = Installed(t)
    k.skill("home/.codex/skills/a", "description: d\n" + (1 << 20) * "#" + "\n")
    for n in range(30):
        k.skill("home/.agents/skills/%02d" % n, "description: %s\n" % (200000 * "y" if n != 29 else "y"))
    skills, _, warnings = k.names()
    assert [s[0] for s in skills] == ["%02d" % n for n in [*range(20), 29]], skills
    assert warnings == ["capability discovery size limit reached", METADATA]
    k = Installed(t)
    for n in range(2100):
        k.skill("home/.codex/skills/%04d" % n)
    skills, _, warnings = k.names()
    assert len(skills) == 1999 and warnings == [METADATA]
    for n in range(520):
        k.plugin("m/%03d/1" % n)
    _, plugins, warnings = k.names()
    assert len(plugins) == 512 and LOCATIONS in warnings


@check("11.1")
def the_users_configuration_is_cut_down(t):
    k = Configured(t)
    k.write("home/.codex/config.toml", """
        model = "m" # of the user
        "odd key".x = 1
        list = [1, # one
                "two", { three = [3.0] }]
        [mcp_servers.a]
        command = 'ls'
        env = { A = "1", B.C = 2 }
        [mcp_servers.b]
        url = \"\"\"http://x\"\"\"
        [[tables]]
        n = 1
        [tables.in]
        m = 2
        [[tables]]
        """)
    a, b = {"command": "ls", "env": {"A": "1", "B": {"C": 2}}}, {"url": "http://x"}
    for config, left in (
            (["mcp_servers"], {"mcp_servers": {"a": a, "b": b}}),
            (["mcp_servers/b"], {"mcp_servers": {"b": b}}),
            (["mcp_servers/a/env/B", "model"],
             {"model": "m", "mcp_servers": {"a": {"env": {"B": {"C": 2}}}}}),
            (["model/of/nothing"], {"model": "m"}), (["mcp_servers/none"], {"mcp_servers": {}}),
            (["tables"], {"tables": [{"n": 1, "in": {"m": 2}}, {}]}),
            (["odd key", "list"], {"odd key": {"x": 1}, "list": [1, "two", {"three": [3.0]}]})):
        assert k.layers(config=config) == \
            [("user (home/.codex/config.toml)", "/home/.codex", left)], (config, left)
    assert k.layers(config=["none"]) == []
    r = k.ask()
    assert r["userHomeDir"] == uri(k.path("home")) and r["requirements"] == \
        {"layers": [], "cloudInsertionIndex": 0} and r["config"]["cloudInsertionIndex"] == 0
    assert r["codexHomeDir"] == uri(k.path("home/.codex")) and r["hostname"] == socket.gethostname()


@check("11.1")
def paths_have_a_key_and_there_is_one(t):
    k = Configured(t)

    def wrong(**params):
        return k.c.fails(-32602, "environmentConfig/read", **params)
    assert wrong(cwd="file:///", configPaths=[], requirementsPaths=[]) == \
        "at least one config or requirements path is required"
    assert wrong(cwd="file:///", configPaths=[[]], requirementsPaths=[]) == \
        "TOML paths must contain at least one key segment"
    for bad in (["x"], [[1]], "x", None):
        wrong(cwd="file:///", configPaths=bad, requirementsPaths=[])
    for missing in ("cwd", "configPaths", "requirementsPaths"):
        params = {"cwd": "file:///", "configPaths": [["a"]], "requirementsPaths": []}
        del params[missing]
        assert wrong(**params) == "missing field `%s`" % missing
    wrong(cwd="x", configPaths=[["a"]], requirementsPaths=[])
    # A key with all that JSON escapes is one key, and harms nothing behind it.
    k.write("home/.codex/config.toml", '"q\\"\\\\u00e9]" = 1\n"q\\"\\u00e9]" = 2\n')
    assert k.layers(config=['q"\u00e9]'])[0][2] == {'q"\u00e9]': 2}


@check("11.1")
def a_repository_counts_where_it_is_trusted(t):
    k = Configured(t)
    for where in ("", "repo/", "repo/sub/", "repo/sub/deep/"):
        k.write(where + ".codex/config.toml", 'model = "%s"\n' % where)
    assert k.models("repo/sub") == []
    k.trust("repo")
    assert k.models("repo/sub") == ["repo/", "repo/sub/"]
    assert k.models("repo/sub/deep/no/folder") == ["repo/", "repo/sub/", "repo/sub/deep/"]
    assert k.layers("repo")[0][:2] == ("project (repo/.codex/config.toml)", "/repo/.codex")
    os.symlink(k.path("repo"), k.path("link"))
    assert k.models("link/sub") == ["repo/", "repo/sub/"]
    k.trust("repo/sub")
    assert k.models("repo/sub/deep") == ["repo/sub/"]
    k.trust("repo", more='[projects."%s"]\ntrust_level = "untrusted"' % k.path("repo/sub"))
    assert k.models("repo/sub/deep") == ["repo/", "repo/sub/deep/"]
    # One inside another, whatever stands around it.
    k.trust("repo")
    subprocess.run(["git", "init", "-q", k.path("repo/sub")], check=True)
    assert k.models("repo/sub/deep") == []
    k.trust("repo/sub/deep", more='project_root_markers = ["gone"]')
    assert k.models("repo/sub/deep") == ["repo/sub/deep/"]


@check("11.1")
def a_work_tree_is_of_its_repository(t):
    k = Configured(t)
    subprocess.run("git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && "
                   "git worktree add -q ../tree", shell=True, cwd=k.path("repo"), check=True)
    k.write("tree/.codex/config.toml", 'model = "tree"\n')
    k.trust("repo")
    assert k.models("tree") == ["tree"]


@check("11.1")
def a_forged_work_tree_is_not(t):
    k = Configured(t)
    subprocess.run("git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && "
                   "git worktree add -q ../tree", shell=True, cwd=k.path("repo"), check=True)
    k.trust("repo")
    k.write("forged/.codex/config.toml", 'model = "forged"\n')
    shutil.copy(k.path("tree/.git"), k.path("forged/.git"))
    assert k.models("forged") == []


@check("11.1")
def a_repository_has_no_say_in_some_things(t):
    k = Configured(t)
    private = ("model_provider", "model_providers", "profile", "profiles", "notify", "otel",
               "chatgpt_base_url", "openai_base_url", "experimental_realtime_ws_base_url")
    k.trust("repo")
    k.write("repo/.codex/config.toml", "".join("%s = 1\n" % p for p in private + ("other",)))
    assert k.layers(config=private + ("other",))[0][2] == {"other": 1}


@check("11.1")
def what_is_no_toml_is_an_error_where_it_counts(t):
    k = Configured(t)
    k.write("repo/.codex/config.toml", "model = \n")
    assert k.models() == []  # nobody trusts it, and nobody reads it
    k.trust("repo")
    message = k.refused()
    assert message.startswith("failed to load executor-local config: ")
    assert k.path("repo/.codex/config.toml") in message
    os.remove(k.path("repo/.codex/config.toml"))
    for wrong in ("a = 1\na = 2\n", "project_root_markers = 5\n", "projects = 5\n"):
        k.write("home/.codex/config.toml", wrong)
        assert k.refused().startswith("failed to load executor-local config: "), wrong
    os.remove(k.path("home/.codex/config.toml"))
    assert k.models() == []
    os.mkdir(k.path("home/.codex/config.toml"))
    assert "is not a file" in k.refused()


@check("11.1")
def the_system_comes_first_and_the_manager_last(t):
    k = Configured(t, etc=True)
    k.write("etc/config.toml", 'model = "system"\nmcp_servers = 5\n')
    k.trust("repo", more='model = "user"')
    k.write("repo/.codex/config.toml", 'model = "project"\n')
    k.write("etc/managed_config.toml", 'model = "managed"\nsandbox_mode = "workspace-write"\n'
                                       'approval_policy = "never"\n')
    k.write("etc/requirements.toml", 'allowed_web_search_modes = ["cached"]\n')
    asked = k.ask(requirements=["allowed_web_search_modes", "allowed_sandbox_modes",
                                "allowed_approval_policies"])
    assert [x["source"].split(" (")[0] for x in asked["config"]["layers"]] == \
        ["system", "user", "project", "legacy managed_config.toml"]
    assert asked["config"]["cloudInsertionIndex"] == 1
    assert k.models() == ["system", "user", "project", "managed"]
    assert [(x["source"], tomllib.loads(x["toml"])) for x in asked["requirements"]["layers"]] == [
        ("/etc/codex/requirements.toml", {"allowed_web_search_modes": ["cached"]}),
        ("/etc/codex/managed_config.toml",
         {"allowed_sandbox_modes": ["read-only", "workspace-write"],
          "allowed_approval_policies": ["never"]})]
    assert asked["requirements"]["cloudInsertionIndex"] == 1
    k.write("etc/managed_config.toml", 'sandbox_mode = "none at all"\n')
    assert "sandbox_mode" in k.refused()
    k.write("etc/managed_config.toml", "projects.'%s'.trust_level = 'untrusted'" % k.path("repo"))
    assert k.models() == ["system", "user"]


# --- 13 disconnect and shutdown, 17 faults -----------------------------------------------------------------------------


@check("13")
def sigterm_ends_server_and_processes(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        address, p = t.server()
        c = t.client(address=address)
        c.answer(c.start("p", ["sh", "-c", "echo $$; trap '' TERM; while :; do sleep 1; done"]))
        child = int(unb64(c.event("process/output", "p")["chunk"]))
        p.send_signal(number)
        assert p.wait(5) == 0
        until(lambda c=child: status(c).get("State", "Z")[0] == "Z", "the process is gone", 2)


@check("13")
def the_end_of_stdin_ends_a_stdio_server(t):
    p, c = t.stdio()
    c.answer(c.start("p", ["sh", "-c", "echo $$; exec sleep 100"]))
    child = int(unb64(c.event("process/output", "p")["chunk"]))
    p.stdin.close()
    p.stdin = None
    assert p.wait(5) == 0
    until(lambda: status(child).get("State", "Z")[0] == "Z", "the process is gone", 2)


@check("13", sometimes="17.5: a stdio server mostly ignores SIGTERM while stdin is open")
def sigterm_ends_a_stdio_server(t):
    p, _ = t.stdio()
    p.terminate()
    try:
        assert p.wait(2) == 0
    except subprocess.TimeoutExpired as e:
        raise AssertionError("it goes on") from e


@check("17", quirk="17.7: memory stays at ten times what it was")
def memory_comes_back_after_big_streams(t):
    address, p = t.server()

    c = t.client(address=address)
    before = memory(p)
    for n in range(2):
        c.start("p%d" % n, ["head", "-c", str(100 << 20), "/dev/zero"])
        tail = b""
        while b"process/closed" not in tail:
            tail = (tail + c.reader.recv(1 << 20))[-400:]
        c.bytes.clear()
    until(lambda: memory(p) < before + 4096, "within 4 MB of before", 3)


main()
