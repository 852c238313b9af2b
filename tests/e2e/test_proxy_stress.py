"""tests/e2e/test_proxy_stress.py - many, slow, greedy and silent peers: bounded memory,
deadlines, and nobody waits for somebody else."""
import netlab
netlab.enter()

import atexit  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import resource  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

import lib  # noqa: E402
from lib import case, main, skip, until  # noqa: E402
from netlab import (ALLOWED, Nameserver, Proxy, Server, ask, drain, echo, http, sink,  # noqa: E402
                    text_file, tunnel)

web = Server(ALLOWED, 80, http)
echoes = Server(ALLOWED, 7, echo)
sinks = Server(ALLOWED, 9, sink)
names = Nameserver()
SMALL_KB = 1500
RUBBISH_S = float(os.environ.get("RUBBISH_S", 4))


def flood(server, connection):
    """Writes as long as it is read."""
    block = b"f" * 65536
    while True:
        connection.sendall(block)


floods = Server(ALLOWED, 19, flood)
silent_socket = socket.socket()
silent_socket.bind((ALLOWED, 11))
silent_socket.listen(0)  # never accepted: a few connect, the rest hang


def begin_trickles():
    """Begun with the file, looked at by its last case: nobody waits for the deadline."""
    proxy = Proxy("--allow", "allowed.example", "--rules",
                  text_file("rules5", "rule host=packages.example methods=GET\n"),
                  "--ca-out", netlab.TMP + "/trickle-ca.pem")
    lib._started.remove(proxy.process)
    atexit.register(proxy.process.kill)
    hello = netlab.hello("packages.example")
    inside = iter(b"\x16\x03\x03\0\x25\x10\0\0\x21\x20" + bytes(30))
    looked, peeked = tunnel(proxy, "packages.example:443"), tunnel(proxy, "packages.example:443")
    looked.sendall(hello)
    peeked.sendall(hello[:50])
    rest = iter(hello[50:])
    out = [(looked, "the handshake inside", b""), (peeked, "a hello", b"")]
    for first, what, said in ((b"", "nothing yet", b""), (get("/slow")[:20], "a head", b"503"),
                              (b"\5", "SOCKS", b""), (b"CONNECT allowed.ex", "CONNECT", b"503")):
        s = proxy.connect()
        s.sendall(first)
        out.append((s, what, said))

    def trickle():
        while True:
            time.sleep(2)
            for s, what, _ in out:
                try:
                    if what == "the handshake inside":
                        s.sendall(bytes([next(inside)]))
                    elif what == "a hello":
                        s.sendall(bytes([next(rest)]))
                    elif what in ("a head", "CONNECT"):
                        s.sendall(b"x")
                except OSError:
                    pass
    threading.Thread(target=trickle, daemon=True).start()
    return out, time.monotonic()


def fresh(*options, **more):
    for s in (web, echoes, sinks):
        s.clear()
    rules = text_file("rules", "rule host=allowed.example ports=7,9,11,19,80,443\n")
    return Proxy("--rules", rules, "--allow", "example", *options, **more)


def get(path, extra=b""):
    return b"GET http://allowed.example" + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + extra + \
        b"\r\n"


TRICKLES, TRICKLING = begin_trickles()


def alive(proxy, seconds=2.0):
    """Somebody else is served meanwhile."""
    began = time.monotonic()
    reply = ask(proxy, get("/alive", b"Connection: close\r\n"))
    took = time.monotonic() - began
    assert b"GET /alive 0\n" in reply, reply
    assert took < seconds, "%.1f s" % took


@case
def a_thousand_idle_tunnels_cost_little_each():
    proxy = fresh()
    ask(proxy, get("/", b"Connection: close\r\n"))
    before = proxy.memory()
    held = [tunnel(proxy, "allowed.example:7") for _ in range(1000)]
    assert not any(isinstance(s, bytes) for s in held)
    for s in held:
        s.sendall(b"ping")
    for s in held:
        assert s.recv(4) == b"ping"
    each = (proxy.memory() - before) * 1024 / len(held)
    assert each < 20000, "%d bytes a tunnel" % each
    alive(proxy)
    fds = len(os.listdir("/proc/%d/fd" % proxy.pid))
    assert fds < 2 * len(held) + 150, fds  # an idle tunnel holds no pipe
    for s in held:
        s.close()
    until(lambda: len(os.listdir("/proc/%d/fd" % proxy.pid)) < 150, "all closed", 10)


@case
def slow_readers_hold_back_their_servers_alone():
    proxy = fresh()
    slow = [tunnel(proxy, "allowed.example:19") for _ in range(20)]
    slow += [proxy.connect() for _ in range(20)]
    for s in slow[20:]:
        s.sendall(get("/big/200000000"))
    time.sleep(1)
    before = proxy.memory()
    time.sleep(1)
    assert proxy.memory() <= before + 200, (before, proxy.memory())
    assert proxy.memory() < SMALL_KB + 40 * 80, proxy.memory()
    alive(proxy)
    for s in slow:
        s.close()
    alive(proxy)


@case
def slow_writers_hold_nobody_up():
    proxy = fresh()
    slow = [proxy.connect() for _ in range(200)]
    for i, s in enumerate(slow):
        s.sendall((get("/slow")[:20], b"\5", b"CONNECT allowed.ex", b"\x16\x03")[i % 4])
    alive(proxy)
    assert proxy.memory() < SMALL_KB + 200 * 12, proxy.memory()


@case
def a_body_that_the_server_does_not_read_stops_the_client():
    def lazy(server, connection):
        time.sleep(600)
    server = Server(ALLOWED, 443 + 8000, lazy)
    rules = text_file("rules2", "rule host=allowed.example ports=8443,80\n")
    proxy = Proxy("--rules", rules)
    s = tunnel(proxy, "allowed.example:8443")
    s.settimeout(1)
    sent = 0
    try:
        while sent < 200 << 20:
            sent += s.send(b"x" * 65536)
    except (TimeoutError, socket.timeout):
        pass
    assert sent < 64 << 20, sent
    assert proxy.memory() < SMALL_KB
    alive(proxy)
    server.close()


@case
def twenty_thousand_header_lines_are_refused():
    proxy = fresh()
    reply = ask(proxy, get("/", b"".join(b"X-%d: y\r\n" % i for i in range(20000))))
    assert b" 400 " in reply.split(b"\r\n")[0] or b"<RESET>" in reply, reply[:100]
    reply = ask(proxy, b"GET http://allowed.example/" + b"a" * 200000 + b" HTTP/1.1\r\n\r\n")
    assert b" 400 " in reply.split(b"\r\n")[0] or b"<RESET>" in reply, reply[:100]
    reply = ask(proxy, get("/", b"".join(b"X-%d: y\r\n" % i for i in range(150)) +
                           b"Connection: close\r\n"))
    assert reply.startswith(b"HTTP/1.1 200"), reply[:100]
    alive(proxy)
    assert len(web.seen.requests) == 2


@case
def binary_rubbish_at_the_door_ends_that_connection_alone():
    proxy = fresh()
    for n in range(200):
        with proxy.connect() as s:
            s.sendall(os.urandom(1 + n * 17 % 3000))
            if n % 2:
                s.shutdown(socket.SHUT_WR)
    alive(proxy)


@case
def servers_that_hang_hold_nobody_up():
    proxy = fresh()
    hanging = []
    for _ in range(50):
        s = proxy.connect()
        s.sendall(get("/hang"))
        hanging.append(s)
    for _ in range(50):
        s = proxy.connect()
        s.sendall(b"CONNECT allowed.example:11 HTTP/1.1\r\nHost: a\r\n\r\n")
        hanging.append(s)
    for _ in range(20):
        s = proxy.connect()
        s.sendall(b"GET http://hang.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        hanging.append(s)
    alive(proxy)
    for s in hanging:
        s.close()
    alive(proxy)


@case
def a_connect_that_hangs_is_given_up_in_ten_seconds():
    proxy = fresh()
    fill = []  # until the backlog is full
    try:
        for _ in range(10):
            fill.append(socket.create_connection((ALLOWED, 11), timeout=0.5))
    except OSError:
        pass
    began = time.monotonic()
    reply = tunnel_late(proxy)
    took = time.monotonic() - began
    assert b"x-airlock-denied: upstream" in reply, reply
    assert 8 < took < 14, took
    alive(proxy)


def tunnel_late(proxy):
    with proxy.connect(timeout=15) as s:
        s.sendall(b"CONNECT allowed.example:11 HTTP/1.1\r\nHost: a\r\n\r\n")
        return drain(s)


@case
def descriptors_run_out_and_come_back():
    rules = text_file("rules", "rule host=allowed.example ports=7,80\n")
    script = netlab.text_file("limited", "#!/bin/bash\nulimit -n 400\nexec %s \"$@\"\n"
                              % netlab.PROXY)
    os.chmod(script, 0o755)
    proxy = Proxy("--rules", rules, program=script)
    with open("/proc/%d/limits" % proxy.pid) as f:
        assert "400" in [line for line in f if "open files" in line][0]
    clients = []
    for _ in range(300):
        s = proxy.connect(timeout=10)
        s.sendall(b"CONNECT allowed.example:7 HTTP/1.1\r\nHost: a\r\n\r\n")
        clients.append(s)
    served = []
    for s in clients:
        s.settimeout(0.3 if served and len(served) >= 60 else 3)
        try:
            if b"200" in s.recv(100):
                served.append(s)
        except (TimeoutError, socket.timeout):
            break
    assert 50 <= len(served) < 300, len(served)
    served[0].sendall(b"still")
    assert served[0].recv(5) == b"still"
    # As they end, those in the queue are served.
    for s in served[1:]:
        s.close()
    later = [s for s in clients if s not in served]
    later[0].settimeout(5)
    assert b"200" in later[0].recv(100)
    for s in clients:
        s.close()
    alive(proxy, 5)


@case
def more_connections_than_slots_wait_their_turn():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 20000:
        skip("too few descriptors here")
    proxy = fresh()
    clients = [proxy.connect() for _ in range(4300)]
    time.sleep(0.3)
    assert proxy.process.poll() is None
    for s in clients:
        s.close()
    alive(proxy, 5)


@case
def bytes_are_whole_in_many_parallel_tunnels():
    proxy = fresh()
    failures = []

    def one(seed):
        try:
            s = tunnel(proxy, "allowed.example:7")
            data = (bytes([seed]) * 1000 + bytes(range(256))) * 400
            sender = threading.Thread(target=s.sendall, args=(data,))
            sender.start()
            got = b""
            s.settimeout(10)
            while len(got) < len(data):
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
            sender.join()
            if got != data:
                failures.append((seed, len(got)))
            s.close()
        except OSError as e:
            failures.append((seed, e))
    threads = [threading.Thread(target=one, args=(i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(15)
    assert not failures, failures


@case
def clients_that_vanish_leave_nothing_behind():
    proxy = fresh()
    alive(proxy)
    before = len(os.listdir("/proc/%d/fd" % proxy.pid))
    for i in range(300):
        s = proxy.connect()
        s.sendall((get("/big/3000000"), b"CONNECT allowed.example:19 HTTP/1.1\r\nHost: a\r\n\r\n",
                   get("/vanish"), get("/ws", b"Connection: upgrade\r\nUpgrade: websocket\r\n"
                                       b"Sec-WebSocket-Key: eA==\r\n"))[i % 4])
        if i % 3:
            s.recv(100)
        s.close()
    until(lambda: len(os.listdir("/proc/%d/fd" % proxy.pid)) <= before + 70, "all closed", 10)
    assert proxy.memory() < SMALL_KB + 700, proxy.memory()
    alive(proxy)


ANSWERS = [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
           b"\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
           b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"\0",
           b"Connection: close\r\n", b"x" * 5000, b"HTTP/1.1 204 No\r\n\r\n"]
QUESTIONS = [get("/"), get("/ws", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                           b"Sec-WebSocket-Key: eA==\r\n"), b"5\r\nhello\r\n", b"0\r\n\r\n",
             get("/").replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 5"
                                                       b"\r\n\r\nhello"),
             get("/").replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: "
                                                       b"chunked\r\n\r\n"),
             b"CONNECT allowed.example:80 HTTP/1.1\r\nHost: a\r\n\r\n",
             b"CONNECT allowed.example:443 HTTP/1.1\r\nHost: a\r\n\r\n",
             b"CONNECT allowed.example:12 HTTP/1.1\r\nHost: a\r\n\r\n", b"X" * 40000,
             b"GET / HTTP/1.1\r\nHost: allowed.example\r\n\r\n", b"\5\1\0",
             b"POST /x HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 5\r\n\r\nhello",
             b"POST /y HTTP/1.1\r\nHost: allowed.example\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"5\r\nhello\r\n0\r\n\r\n", b"HEAD /z HTTP/1.1\r\nHost: allowed.example\r\n\r\n",
             b"\5\1\0\3\x0fallowed.example\0\x50", b"\5\1\0\3\x0fallowed.example\0\x0c",
             b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03" + b"r" * 32]


def any_answer(server, connection):
    connection.settimeout(0.5)
    for turn in range(random.randrange(1, 6)):
        if random.random() < 0.6:
            data = connection.recv(65536)
            if turn == 0:
                server.seen.requests.append(data)
        for _ in range(random.randrange(5)):
            connection.sendall(random.choice(ANSWERS))


def any_question(proxy, stop, connect=None):
    while time.monotonic() < stop:
        try:
            with connect() if connect else proxy.connect(1) as s:
                for _ in range(random.randrange(1, 7)):
                    data = bytearray(random.choice(QUESTIONS))
                    if random.random() < 0.2:
                        data[random.randrange(len(data))] = random.randrange(256)
                    s.sendall(data[:random.randrange(len(data) + 1)]
                              if random.random() < 0.2 else data)
                if random.random() < 0.3:
                    s.shutdown(socket.SHUT_WR)
                    s.recv(65536)
        except OSError:
            pass


@case
def rubbish_from_both_sides_ends_nothing():
    seed = int(time.time())
    random.seed(seed)
    servers = [Server("93.184.216.11", port, any_answer) for port in (12, 80, 443)]
    names.zone["allowed.example"] = (["93.184.216.11"], [])
    try:
        rules = text_file("rules3", "rule host=allowed.example ports=12,80,443\n")
        proxy = Proxy("--rules", rules, "--allow", "other.example")
        stop = time.monotonic() + RUBBISH_S
        threads = [threading.Thread(target=any_question, args=(proxy, stop)) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(10 + RUBBISH_S)
        assert proxy.process.poll() is None, "seed %d" % seed
        until(lambda: len(os.listdir("/proc/%d/fd" % proxy.pid)) < 90, "all closed", 10)
        assert len(proxy.journal()) > 100
    finally:
        names.zone["allowed.example"] = ([ALLOWED], [])
        for s in servers:
            s.close()


@case
def rubbish_inside_of_tls_ends_nothing_and_no_rubbish_arrives():
    seed = int(time.time())
    random.seed(seed)
    server = Server(netlab.PACKAGES, 443, any_answer, tls=True)
    names.zone["allowed.example"] = ([netlab.PACKAGES], [])
    ca = netlab.TMP + "/rubbish-ca.pem"
    rules = text_file("rules4", "rule host=allowed.example methods=GET,HEAD,POST\n")
    proxy = Proxy("--rules", rules, "--ca-out", ca, "--ca-bundle", netlab.certificate()[0])
    context = ssl.create_default_context(cafile=ca)

    def inside():
        s = tunnel(proxy, "allowed.example:443")
        s.settimeout(1)
        return context.wrap_socket(s, server_hostname="allowed.example",
                                   suppress_ragged_eofs=True)
    try:
        stop = time.monotonic() + RUBBISH_S
        threads = [threading.Thread(target=any_question, args=(proxy, stop, inside))
                   for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(10 + RUBBISH_S)
        assert proxy.process.poll() is None, "seed %d" % seed
        until(lambda: len(os.listdir("/proc/%d/fd" % proxy.pid)) < 90, "all closed", 15)
        assert len(server.seen.requests) > 10, len(server.seen.requests)
        for data in server.seen.requests:
            assert not data or re.match(rb"(GET|HEAD|POST) /\S* HTTP/1\.1\r\n", data), (seed, data)
            assert data.lower().count(b"\r\nhost: allowed.example\r\n") <= 1 + data.count(
                b" HTTP/1.1\r\n"), (seed, data)
    finally:
        names.zone["allowed.example"] = ([ALLOWED], [])
        server.close()


@case
def tunnels_work_where_splice_does_not():
    script = text_file("no-splice", "#!/bin/sh\nexec strace -qq -o /dev/null -e trace=splice "
                       "-e inject=splice:error=EINVAL %s \"$@\"\n" % netlab.PROXY)
    os.chmod(script, 0o755)
    if subprocess.run(["strace", "true"], capture_output=True).returncode:
        skip("no strace here")
    rules = text_file("rules", "rule host=allowed.example ports=7,9\n")
    proxy = Proxy("--rules", rules, program=script)
    s = tunnel(proxy, "allowed.example:7")
    data = os.urandom(2000000)
    sender = threading.Thread(target=s.sendall, args=(data,))
    sender.start()
    got = bytearray()
    while len(got) < len(data):
        piece = s.recv(65536)
        assert piece, len(got)
        got += piece
    sender.join()
    assert got == data
    s.shutdown(socket.SHUT_WR)
    assert drain(s) == b""
    s.close()


@case
def a_full_disk_loses_lines_and_nothing_else():
    directory = netlab.TMP + "/small"
    os.makedirs(directory, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4096", "none", directory],
                      capture_output=True).returncode:
        skip("no mount here")
    try:
        proxy = fresh("--journal", directory + "/journal")
        for _ in range(60):
            alive(proxy)
        assert os.path.getsize(directory + "/journal") <= 4096
        alive(proxy)
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


@case
def a_killed_proxy_lets_nothing_out():
    proxy = fresh()
    s = tunnel(proxy, "allowed.example:7")
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    proxy.process.kill()
    proxy.process.wait()
    assert drain(s) in (b"", b"<RESET>")
    try:
        proxy.connect().close()
        raise AssertionError("somebody listens")
    except ConnectionRefusedError:
        pass


@case
def slow_writers_are_let_go_in_half_a_minute_however_often_they_write():
    signal.alarm(45)  # of which the other cases have had most
    for s, _, _ in TRICKLES:
        s.settimeout(max(1, TRICKLING + 35 - time.monotonic()))
    for s, what, said in TRICKLES:
        reply = drain(s)
        took = time.monotonic() - TRICKLING
        assert b"<TIMEOUT>" not in reply and said in reply, (what, reply, took)
        assert took < 36, (what, took)


main()
