"""tests/e2e/test_proxy.py - airlock-proxy as clients and PID 1 use it: HTTP/1.1, CONNECT,
SOCKS5, transparent connections, DNS, phases, an upstream proxy, and its own confinement."""
import netlab
netlab.enter()

import json  # noqa: E402
import os  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

from lib import case, main, skip, status, until  # noqa: E402
from netlab import (ALLOWED, ALLOWED6, EVIL, OTHER, TMP, Child,  # noqa: E402
                    Nameserver, Proxy, Server, ask, ask_dns, banner, client_context,
                    drain, echo, http,
                    is_reset, memfd, parsed, query, read_response, socks, text_file, tunnel)

web = Server(ALLOWED, 80, http)
web6 = Server(ALLOWED6, 80, http)
other = Server(OTHER, 80, http)
evil = Server(EVIL, 80, http)
tls = Server(ALLOWED, 443, http, tls=True)
ssh = Server(ALLOWED, 22, banner)
echoes = Server(ALLOWED, 7, echo)
names = Nameserver()
SERVERS = (web, web6, other, evil, tls, ssh, echoes)


def fresh(*options, **more):
    for s in SERVERS:
        s.clear()
    names.asked.clear()
    return Proxy(*options, **more)


def allowing(*options, **more):
    return fresh("--allow", "example", *options, **more)


def get(url, extra=b""):
    return b"GET " + url.encode() + b" HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n"


# --- HTTP/1.1 ---------------------------------------------------------------------------

@case
def one_connection_carries_many_requests_to_many_hosts():
    proxy = allowing()
    with proxy.connect() as s:
        for i in range(50):
            host = ("allowed.example", "other.example")[i // 10 % 2]
            s.sendall(get("http://%s/%d" % (host, i)))
            code, _, body = read_response(s)
            assert (code, body) == (200, b"GET /%d 0\n" % i)
    assert len(web.seen.requests) == 30 and len(other.seen.requests) == 20
    assert web.seen.connections == 3, web.seen.connections  # kept while the host stays


@case
def pipelined_answers_come_in_order():
    proxy = allowing()
    with proxy.connect() as s:
        s.sendall(b"".join(get("http://allowed.example/n%d" % i) for i in range(200)))
        buffered = b""
        while buffered.count(b"GET /") < 200:
            data = s.recv(65536)
            assert data, buffered[-200:]
            buffered += data
    got = [int(n) for n in re.findall(rb"GET /n(\d+) 0\n", buffered)]
    assert got == list(range(200))


@case
def bodies_go_both_ways_by_length_and_in_chunks():
    proxy = allowing()
    body = os.urandom(300000)
    with proxy.connect() as s:
        s.sendall(b"POST http://allowed.example/p HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
                  % len(body) + body)
        assert read_response(s)[2] == b"POST /p 300000\n"
        s.sendall(b"POST http://allowed.example/q HTTP/1.1\r\nHost: x\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(body), 7001):
            piece = body[i:i + 7001]
            s.sendall(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
        s.sendall(b"0\r\nTrailer: x\r\n\r\n")
        assert read_response(s)[2] == b"POST /q 300000\n"
        s.sendall(get("http://allowed.example/chunked"))
        code, head, answer = read_response(s)
        assert answer == b"one,two,three" and b"chunked" in head
        s.sendall(get("http://allowed.example/big/5000000"))
        answer = read_response(s)[2]
        assert answer == (bytes(range(256)) * 20000)[:5000000]
        s.sendall(get("http://allowed.example/204"))
        assert read_response(s)[0] == 204
        s.sendall(b"HEAD http://allowed.example/h HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_response(s, "HEAD")[0] == 200
        s.sendall(get("http://allowed.example/close"))
        code, head, answer = read_response(s)
        assert len(answer) == 100000 and b"Connection: close" in head
    assert [b for _, b in web.seen.requests[:2]] == [body, body]
    assert all(b"ext=1" not in h for h, _ in web.seen.requests) and b"ext=1" not in web.seen.bytes


@case
def a_body_waits_for_100_continue():
    proxy = allowing()
    with proxy.connect() as s:
        s.sendall(b"POST http://allowed.example/p HTTP/1.1\r\nHost: x\r\n"
                  b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        code, _, rest = read_response(s)
        assert code == 100 and not rest
        s.sendall(b"hello")
        assert read_response(s)[2] == b"POST /p 5\n"


@case
def a_client_that_ends_after_its_request_is_let_go_with_the_answer():
    proxy = allowing()
    for url, code in (("http://allowed.example/last", b"200"), ("http://evil.test/", b"403"),
                      ("http://dead.example:81/", b"403"), ("http://empty.example/", b"502")):
        with proxy.connect() as s:
            s.sendall(get(url))
            s.shutdown(socket.SHUT_WR)
            began = time.monotonic()
            reply = drain(s)
            assert reply.startswith(b"HTTP/1.1 " + code) and b"<TIMEOUT>" not in reply, reply
            assert time.monotonic() - began < 3, url
    # The same when the end comes while an upstream is being tried.
    names.zone["refusing.example"] = (["93.184.216.250"], [])
    with proxy.connect() as s:
        s.sendall(get("http://refusing.example/"))
        s.shutdown(socket.SHUT_WR)
        assert b"<TIMEOUT>" not in drain(s)


@case
def http_1_0_clients_get_an_answer_that_ends_with_the_connection():
    proxy = allowing()
    reply = ask(proxy, b"GET http://allowed.example/chunked HTTP/1.0\r\n\r\n")
    head, body = reply.split(b"\r\n\r\n", 1)
    assert body == b"one,two,three" and b"chunked" not in head.lower(), reply


@case
def a_websocket_becomes_a_tunnel():
    proxy = allowing()
    with proxy.connect() as s:
        s.sendall(get("http://allowed.example/ws",
                      b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"))
        code, head, rest = read_response(s)
        assert code == 101 and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head and not rest
        for i in range(20):
            data = b"frame %d" % i
            s.sendall(bytes([0x81, 0x80 | len(data)]) + b"\0\0\0\0" + data)
            assert s.recv(100) == bytes([0x81, len(data)]) + data
    assert proxy.event(path="/ws")["status"] == 101


@case
def answers_that_are_cut_short_look_cut_short():
    proxy = allowing()
    reply = ask(proxy, get("http://allowed.example/cut"))
    assert reply.endswith(b"\r\n\r\nhalf") and b"Content-Length: 1000" in reply, reply
    reply = ask(proxy, get("http://allowed.example/vanish", b"Connection: close\r\n"))
    assert b"502" in reply and b"x-airlock-denied: upstream" in reply
    reply = ask(proxy, get("http://nowhere.example/", b"Connection: close\r\n"))
    assert b"502" in reply and b"x-airlock-denied: resolve" in reply
    reply = ask(proxy, get("http://allowed.example:80/", b"Connection: close\r\n"))
    assert b"200 OK" in reply


@case
def a_refused_connection_is_an_upstream_error_at_once():
    rules = text_file("rules", "rule host=allowed.example ports=81,443\n")
    proxy = fresh("--rules", rules)
    before = time.monotonic()
    assert b"x-airlock-denied: upstream" in ask(
        proxy, get("http://allowed.example:81/", b"Connection: close\r\n"))
    s, code = socks(proxy, "allowed.example", 81)
    assert code == 5
    assert time.monotonic() - before < 2


@case
def ipv6_only_names_and_literals_work():
    proxy = allowing("--allow", ALLOWED6)
    reply = ask(proxy, get("http://six.example/", b"Connection: close\r\n"))
    assert reply.startswith(b"HTTP/1.1 200"), reply
    reply = ask(proxy, get("http://[%s]/" % ALLOWED6, b"Connection: close\r\n"))
    assert reply.startswith(b"HTTP/1.1 200"), reply
    assert b"\r\nHost: [2606:2800:220:1::10]\r\n" in web6.seen.requests[1][0]


@case
def the_next_address_is_tried_when_one_refuses():
    rules = text_file("rules", "rule host=both.example ports=7\n")
    names.zone["both.example"] = ([OTHER, ALLOWED], [])
    try:
        proxy = fresh("--rules", rules)
        s = tunnel(proxy, "both.example:7")
        assert not isinstance(s, bytes), s
        s.sendall(b"hello")
        assert s.recv(5) == b"hello"
    finally:
        names.zone["both.example"] = ([ALLOWED], [ALLOWED6])


# --- CONNECT and SOCKS5 -----------------------------------------------------------------

@case
def tls_passes_untouched_with_its_own_certificate():
    proxy = allowing()
    s = tunnel(proxy, "allowed.example:443")
    wrapped = client_context().wrap_socket(s, server_hostname="allowed.example")
    wrapped.sendall(b"GET /in HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
    assert b"GET /in 0\n" in wrapped.recv(4096)
    wrapped.close()
    assert tls.seen.names == ["allowed.example"]
    event = proxy.event(door="connect", port=443)
    assert event["up"] > 300 and event["down"] > 300 and event["verdict"] == "allow"


@case
def a_hello_sent_together_with_connect_gets_through():
    import ssl
    proxy = allowing()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = client_context().wrap_bio(incoming, outgoing, server_hostname="allowed.example")
    try:
        engine.do_handshake()
    except ssl.SSLWantReadError:
        pass
    s = tunnel(proxy, "allowed.example:443", early=outgoing.read())
    for _ in range(10):
        incoming.write(s.recv(65536))
        try:
            engine.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(outgoing.read())
    assert engine.version()


@case
def socks_goes_by_name_and_by_address():
    rules = text_file("rules", "rule host=allowed.example ports=7,443,80\nallow %s/32\n"
                      "rule host=%s ports=7\n" % (ALLOWED, ALLOWED))
    proxy = fresh("--rules", rules)
    for literal in (None, ALLOWED):
        s, code = socks(proxy, "allowed.example", 7, literal=literal)
        assert code == 0
        s.sendall(b"hello")
        assert s.recv(5) == b"hello"
        s.close()


@case
def socks_refuses_what_it_does_not_do():
    proxy = allowing()
    for raw, answer in ((b"\5\1\2", b"\5\xff"), (b"\5\1\0\5\2\0\1\0\0\0\0\0\0", b"\5\0\5\1"),
                        (b"\5\1\0\5\3\0\1\0\0\0\0\0\0", b"\5\0\5\1"), (b"\4\1\0\x50aaaa\0", b"")):
        with proxy.connect() as s:
            s.sendall(raw)
            got = drain(s)
            assert got.startswith(answer), (raw, got)


@case
def half_closed_tunnels_carry_the_other_half():
    rules = text_file("rules", "rule host=allowed.example ports=9\n")

    def late(server, connection):
        got = b""
        while True:
            data = connection.recv(65536)
            if not data:
                break
            got += data
        connection.sendall(b"%d" % len(got))
    server = Server(ALLOWED, 9, late)
    proxy = fresh("--rules", rules)
    s = tunnel(proxy, "allowed.example:9")
    s.sendall(b"x" * 500000)
    s.shutdown(socket.SHUT_WR)
    assert drain(s) == b"500000"
    server.close()


@case
def a_reset_on_one_side_is_one_on_the_other():
    rules = text_file("rules", "rule host=allowed.example ports=7\n")
    proxy = fresh("--rules", rules)
    s = tunnel(proxy, "allowed.example:7")
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    assert proxy.event(port=7)["up"] == 1


@case
def a_unix_socket_is_a_door_too():
    path = TMP + "/proxy.sock"
    proxy = allowing("--listen", "unix:" + path)
    until(lambda: os.path.exists(path), "the socket")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(path)
    s.sendall(get("http://allowed.example/u", b"Connection: close\r\n"))
    assert b"GET /u 0\n" in drain(s)
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect(path)
    s.sendall(b"CONNECT allowed.example:443 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"200" in s.recv(100)
    wrapped = client_context().wrap_socket(s, server_hostname="allowed.example")
    wrapped.sendall(b"GET /big/3000000 HTTP/1.1\r\nHost: allowed.example\r\n"
                    b"Connection: close\r\n\r\n")
    got = b""
    while len(got) < 3000000:
        data = wrapped.recv(65536)
        assert data
        got += data


# --- transparent ------------------------------------------------------------------------

POLICY = "mode limited\nallow allowed.example\nrule host=ssh.example ports=22\n"


def child(policy=POLICY):
    for s in SERVERS:
        s.clear()
    names.zone["ssh.example"] = ([ALLOWED], [])
    c = Child()
    assert c.policy(policy) == 0
    return c


@case
def virtual_addresses_lead_to_their_names():
    """LISTEN_LOCAL: in the agent's namespace every address is local."""
    c = child()
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    rcode, found = ask_dns(dns, "allowed.example")
    assert rcode == 0 and found[0].startswith("198.18.") or found[0].startswith("198.19.")
    rcode, ssh_at = ask_dns(dns, "ssh.example")
    subprocess.run(["ip", "route", "replace", "local", "198.18.0.0/15", "dev", "lo"], check=True)
    # A listener on one virtual address stands for "all addresses are local".
    for address, ports in ((found[0], (80, 443, 22)), (ssh_at[0], (22, 443))):
        for port in ports:
            c.listen(netlab.LISTEN_LOCAL, address, port)
    with socket.create_connection((found[0], 80), timeout=5) as s:
        s.sendall(b"GET /t HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        assert read_response(s)[2] == b"GET /t 0\n"
        s.sendall(b"GET /t HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert read_response(s)[0] == 403
    with socket.create_connection((found[0], 443), timeout=5) as s:
        wrapped = client_context().wrap_socket(s, server_hostname="allowed.example")
        wrapped.sendall(b"GET /tt HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        assert b"GET /tt 0\n" in wrapped.recv(4096)
    with socket.create_connection((ssh_at[0], 22), timeout=5) as s:
        assert s.recv(100).startswith(b"SSH-2.0")
    # 22 of a host whose rule does not say so, and 443 of one that is for 22 alone.
    for address, port in ((found[0], 22), (ssh_at[0], 443)):
        assert is_reset(address, port)
    event = c.event(door="direct", name="allowed.example", port=22)
    assert event["reason"] == "port" and event["phase"] == "work"
    assert c.end() == 0


@case
def addresses_that_were_never_given_out_are_reset():
    c = child()
    subprocess.run(["ip", "route", "replace", "local", "198.18.0.0/15", "dev", "lo"], check=True)
    for address, port in (("198.18.77.7", 80), ("198.19.255.255", 443)):
        c.listen(netlab.LISTEN_LOCAL, address, port)
        assert is_reset(address, port)
        assert c.event(port=port)["reason"] == "name"
    c.listen(netlab.LISTEN_LOCAL, "93.184.216.66", 8080)
    assert is_reset("93.184.216.66", 8080)
    assert c.event(port=8080)["reason"] == "literal"


@case
def notified_connections_go_where_the_message_says():
    c = child()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    assert c.send(netlab.CHANNEL, fd=theirs.fileno()) == 0
    theirs.close()
    ours.settimeout(5)
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    address = ask_dns(dns, "allowed.example")[1][0]
    port = c.listen(netlab.LISTEN_NOTIFIED, channel=ours)

    def tell(to):
        """Says where the next connection is meant for; its source address."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        source = s.getsockname()
        s.close()
        assert c.send(netlab.CONNECT, to=to, from_port=source[1], pid=4711,
                      text=b"curl http://allowed.example/", channel=ours) == 0
        return source
    with socket.create_connection(("127.0.0.1", port), timeout=5,
                                  source_address=tell((address, 80))) as s:
        s.sendall(b"GET /n HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
        assert read_response(s)[2] == b"GET /n 0\n"
    event = c.event(path="/n")
    assert event["pid"] == 4711 and event["command"] == "curl http://allowed.example/"
    assert is_reset("127.0.0.1", port)
    assert is_reset("127.0.0.1", port, tell((EVIL, 80)))
    assert is_reset("127.0.0.1", port, tell(("::1", 80)))
    assert not evil.seen.connections
    # A channel of that kind may not set policies: it ends, the proxy does not.
    fd = memfd(b"mode full\n")
    c.send(netlab.POLICY, fd=fd, channel=ours, answered=False)
    assert ours.recv(1024) == b""
    assert c.process.poll() is None
    assert c.policy(POLICY) == 0
    assert c.end() == 0
    totals = {h["host"]: h for e in c.journal() if e["event"] == "net_totals" for h in e["hosts"]}
    assert totals["allowed.example"]["commands"] == ["curl http://allowed.example/"], totals
    assert totals[EVIL]["refused"] == 1 and totals[EVIL]["commands"], totals


@case
def redirected_connections_know_where_they_were_going():
    if subprocess.run(["nft", "list", "ruleset"], capture_output=True).returncode:
        skip("no nft here")
    c = child()
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    address = ask_dns(dns, "allowed.example")[1][0]
    port = c.listen(netlab.LISTEN_REDIRECTED)
    rules = ("table inet t { chain o { type nat hook output priority -110; "
             "ip daddr 198.18.0.0/15 tcp dport { 80, 443 } redirect to :%d ; }; }" % port)
    if subprocess.run(["nft", rules], capture_output=True).returncode:
        skip("no nat in this kernel")
    subprocess.run(["ip", "route", "replace", "local", "198.18.0.0/15", "dev", "lo"], check=True)
    try:
        with socket.create_connection((address, 80), timeout=5) as s:
            s.sendall(b"GET /r HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
            assert read_response(s)[2] == b"GET /r 0\n"
        # Straight to the listener: nobody redirected it, so it would come round again.
        assert is_reset("127.0.0.1", port)
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "t"], check=True)


# --- DNS --------------------------------------------------------------------------------

@case
def names_keep_their_address_and_addresses_their_name():
    proxy = allowing(dns=True)
    first = ask_dns(proxy.dns_port, "allowed.example")
    assert first[0] == 0 and first == ask_dns(proxy.dns_port, "ALLOWED.example")
    other_name = ask_dns(proxy.dns_port, "www.allowed.example")
    assert other_name[1] != first[1]
    back = ".".join(reversed(first[1][0].split("."))) + ".in-addr.arpa"
    rcode, records = ask_dns(proxy.dns_port, back, 12)
    assert rcode == 0 and records == [b"\7allowed\7example\0"], records
    assert ask_dns(proxy.dns_port, "8.8.8.8.in-addr.arpa", 12) == (3, [])
    for kind in (28, 65, 64, 16):
        assert ask_dns(proxy.dns_port, "allowed.example", kind) == (0, [])
    assert ask_dns(proxy.dns_port, "evil.test") == (3, [])
    assert not names.asked


@case
def dns_answers_over_tcp_and_through_a_pair():
    proxy = allowing(dns=True)
    with socket.create_connection(("127.0.0.1", proxy.dns_port), timeout=5) as s:
        for name in ("allowed.example", "evil.test"):
            q = query(name)
            s.sendall(struct.pack("!H", len(q)) + q)
            size = struct.unpack("!H", s.recv(2))[0]
            assert parsed(s.recv(size))[0] == (0 if name == "allowed.example" else 3)
    c = child()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    c.send(netlab.LISTENER, listener=netlab.LISTEN_DNS_PAIR, fd=theirs.fileno(), answered=False)
    theirs.close()
    ours.settimeout(5)
    ours.send(query("allowed.example"))
    assert parsed(ours.recv(4096))[0] == 0
    ours.send(b"junk")
    ours.send(query("evil.example"))
    assert parsed(ours.recv(4096))[0] == 3
    ours.close()
    assert c.policy(POLICY) == 0


@case
def localhost_is_the_askers_own_unless_a_rule_means_another():
    for policy in (POLICY, "mode full\n"):
        c = child(policy)
        dns = c.listen(netlab.LISTEN_DNS_UDP)
        for name in ("localhost", "LocalHost", "app.localhost"):
            assert ask_dns(dns, name) == (0, ["127.0.0.1"]), (policy, name)
            assert ask_dns(dns, name, 28) == (0, []), (policy, name)
        assert ask_dns(dns, "notlocalhost")[0] == 3
    c = child("mode limited\nallow localhost\n")
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    assert ask_dns(dns, "localhost")[1][0].startswith("198.1")


@case
def no_name_server_that_the_task_could_be_is_asked():
    """Under netfilter the proxy and the task share their addresses: whoever binds to port 53 of
    127.0.0.1 first would tell the proxy where an allowed name is."""
    if os.getuid():
        skip("a mark needs CAP_NET_ADMIN")
    names.serve("127.0.0.1")
    request = get("http://allowed.example/", b"Connection: close\r\n")
    for text, docker in (("", False), ("nameserver 127.0.0.1\n", False),
                         ("nameserver 0.0.0.0\n", False), ("nameserver ::ffff:127.0.0.1\n", False),
                         ("nameserver %s\n" % netlab.NAMESERVER, False),  # it is ours here
                         (open(names.docker()).read(), True)):
        names.asked.clear()
        resolv = text_file("resolv-own", text)
        marked = allowing("--resolv", resolv, "--mark", "77")
        reply = ask(marked, request)
        if docker:
            assert b"200 OK" in reply and names.asked, (text, reply)
            continue
        assert b"x-airlock-denied: resolve" in reply and not names.asked, (text, reply)
        assert b"200 OK" in ask(allowing("--resolv", resolv), request), text


@case
def the_answer_comes_from_the_address_that_was_asked():
    c = child()
    subprocess.run(["ip", "route", "replace", "local", "8.8.0.0/16", "dev", "lo"], check=True)
    port = c.listen(netlab.LISTEN_DNS_UDP, "0.0.0.0")
    assert ask_dns(port, "allowed.example", address="8.8.8.8")[0] == 0
    port = c.listen(netlab.LISTEN_DNS_UDP, "::")
    assert ask_dns(port, "allowed.example", address="::1")[0] == 0


@case
def malformed_queries_end_nothing():
    proxy = allowing(dns=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", proxy.dns_port))
        for n in range(0, 40):
            s.send(os.urandom(n))
            s.send(query("allowed.example")[:n])
    assert ask_dns(proxy.dns_port, "allowed.example")[0] == 0


# --- the resolver -----------------------------------------------------------------------

@case
def an_answer_cut_off_is_asked_again_over_tcp():
    names.truncate, before = True, names.tcp
    try:
        proxy = allowing()
        assert b"200 OK" in ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))
        assert names.tcp > before
    finally:
        names.truncate = False


@case
def hosts_come_first_and_special_addresses_of_theirs_are_refused():
    proxy = Proxy("--allow", "example", "--hosts",
                  text_file("h", "# c\n%s box.example # x\n127.0.0.1 me.example\n" % ALLOWED))
    names.asked.clear()
    assert b"200 OK" in ask(proxy, get("http://box.example/", b"Connection: close\r\n"))
    assert b"address" in ask(proxy, get("http://me.example/", b"Connection: close\r\n"))
    assert not names.asked


@case
def an_answer_is_remembered_for_its_time():
    proxy = allowing()
    for _ in range(5):
        assert b"200 OK" in ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))
    assert len(names.asked) == 2, names.asked  # A and AAAA


@case
def a_silent_name_server_is_a_clear_error_in_five_seconds():
    proxy = allowing()
    began = time.monotonic()
    reply = ask(proxy, get("http://hang.example/", b"Connection: close\r\n"), timeout=9)
    took = time.monotonic() - began
    assert b"x-airlock-denied: resolve" in reply and b"no answer from the name servers" in reply
    assert 2 < took < 8, took


def resolving(text, *options):
    """A proxy with those lines in its resolv.conf."""
    conf = text_file("resolv-of-its-own", "nameserver %s\n%s\n" % (netlab.NAMESERVER, text))
    return fresh("--resolv", conf, *options)


@case
def the_options_of_resolv_conf_are_heeded():
    for text, least, most in (("options timeout:1 attempts:1", 0.8, 1.9),
                              ("options attempts:2 timeout:1", 1.8, 3.5)):
        proxy = resolving(text, "--allow", "example")
        began = time.monotonic()
        reply = ask(proxy, get("http://hang.example/", b"Connection: close\r\n"), timeout=9)
        took = time.monotonic() - began
        assert b"no answer from the name servers" in reply and least < took < most, (text, took)


@case
def the_search_list_completes_what_the_policy_named():
    names.zone.update({"db.corp.example": ([ALLOWED], []), "a.b.corp.example": ([ALLOWED], [])})
    rules = text_file("short", "rule host=db\nrule host=a.b\nrule host=evil\n")
    proxy = resolving("search wrong.example corp.example\noptions ndots:3", "--rules", rules)
    for name, asked in (("db", ["db.wrong.example", "db.corp.example"]),
                        ("a.b", ["a.b", "a.b.wrong.example", "a.b.corp.example"])):
        names.asked.clear()
        assert b"200 OK" in ask(proxy, get("http://%s/" % name, b"Connection: close\r\n")), name
        assert list(dict.fromkeys(names.asked)) == asked, names.asked
        assert web.seen.requests[-1][0].lower().count(b"host: %s\r\n" % name.encode()) == 1
    # What the policy did not name is asked for under no name at all.
    names.asked.clear()
    assert b"not-allowed" in ask(proxy, get("http://dc/", b"Connection: close\r\n"))
    assert not names.asked
    # One dot is enough where ndots says nothing else.
    proxy = resolving("search corp.example", "--rules", rules)
    assert b"no such name" in ask(proxy, get("http://a.b/", b"Connection: close\r\n"))
    assert set(names.asked) == {"a.b"}, names.asked


# --- phases -----------------------------------------------------------------------------

@case
def a_new_policy_resets_everything_at_once():
    c = child("mode full\n")
    port = c.listen(netlab.LISTEN_PROXY)
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    address = ask_dns(dns, "allowed.example")[1][0]
    idle = c.connect()
    kept = c.connect()
    kept.sendall(get("http://allowed.example/a"))
    assert read_response(kept)[0] == 200
    long = tunnel(c, "allowed.example:22")
    assert long.recv(100).startswith(b"SSH")
    hanging = c.connect()
    hanging.sendall(get("http://allowed.example/hang"))
    until(lambda: any(b"/hang" in r[0] for r in web.seen.requests), "the request arrived")
    assert c.policy("mode limited\nallow other.example\n", phase=b"agent") == 0
    for s in (idle, kept, long, hanging):
        s.settimeout(5)
        assert drain(s) == b"<RESET>"
    assert ask_dns(dns, "allowed.example") == (3, [])
    reply = ask(c, get("http://allowed.example/b", b"Connection: close\r\n"))
    assert b"x-airlock-denied: not-allowed" in reply
    assert b"200 OK" in ask(c, get("http://other.example/b", b"Connection: close\r\n"))
    assert c.event(name="allowed.example", verdict="deny")["phase"] == "agent"
    assert c.event(name="allowed.example", port=22)["phase"] == "work"
    # The old address means nothing now, nor does another name get it.
    back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    assert ask_dns(dns, back, 12) == (3, [])
    assert ask_dns(dns, "other.example")[1][0] != address
    assert port == c.port


@case
def what_waits_at_the_door_is_not_judged_by_the_next_policy():
    """Setup's last request, still in the backlog when setup is dead, may carry its secrets."""
    c = child("mode full\n")
    c.listen(netlab.LISTEN_PROXY)
    os.kill(c.pid, signal.SIGSTOP)
    waiting = [c.connect() for _ in range(5)]
    for n, s in enumerate(waiting):
        s.sendall(get("http://allowed.example/of-setup-%d" % n))
    answer = []
    switch = threading.Thread(target=lambda: answer.append(
        c.policy("mode limited\nallow allowed.example\n", phase=b"agent")))
    switch.start()
    time.sleep(0.2)
    os.kill(c.pid, signal.SIGCONT)
    switch.join()
    assert answer == [0]
    for s in waiting:
        s.settimeout(5)
        assert drain(s) == b"<RESET>"
    assert b"200 OK" in ask(c, get("http://allowed.example/b", b"Connection: close\r\n"))
    assert not any(b"/of-setup" in r[0] for r in web.seen.requests), web.seen.requests


@case
def a_policy_with_a_wrong_line_allows_nothing():
    c = child("mode full\n")
    c.listen(netlab.LISTEN_PROXY)
    assert c.policy("mode full\nallwo x\n") != 0
    reply = ask(c, get("http://allowed.example/", b"Connection: close\r\n"))
    assert b"403" in reply
    assert c.policy("") != 0
    assert b"403" in ask(c, get("http://allowed.example/", b"Connection: close\r\n"))
    assert c.policy("mode full\n" + "#" * (256 << 10)) != 0
    assert b"403" in ask(c, get("http://allowed.example/", b"Connection: close\r\n"))


@case
def before_the_first_policy_nothing_is_allowed():
    c = Child()
    c.listen(netlab.LISTEN_PROXY)
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    names.asked.clear()
    assert b"403" in ask(c, get("http://allowed.example/", b"Connection: close\r\n"))
    assert ask_dns(dns, "allowed.example") == (3, [])
    assert not names.asked


@case
def whoever_asks_for_ever_fills_no_disk():
    """An agent's refused requests are lines too: after 32 MiB there are only the totals."""
    c = child()
    c.listen(netlab.LISTEN_PROXY)
    asked, each = 0, get("http://evil.example/" + "%22" * 80 + "\x7e" * 400)
    client = c.connect()
    client.settimeout(10)
    answer = len(ask(c, get("http://evil.example/" + "%22" * 80 + "\x7e" * 400,
                            b"Connection: close\r\n"))) - len(b"Connection: close\r\n")
    limit = 32 << 20
    while os.path.getsize(c.journal_path) < limit - 65536 and asked < 200000:
        client.sendall(each * 32)
        left = answer * 32
        while left > 0:
            left -= len(client.recv(min(left, 1 << 20)))
        asked += 32
    for _ in range(20):
        ask(c, (each * 31) + get("http://evil.example/" + "%22" * 80, b"Connection: close\r\n"))
    size = os.path.getsize(c.journal_path)
    assert limit - 65536 <= size <= limit + 4096, size
    assert c.end() == 0
    with open(c.journal_path) as f:
        last = [json.loads(line) for line in f][-2:]
    assert [e["event"] for e in last] == ["net_cut", "net_totals"], last
    assert last[1]["lost"] and last[1]["hosts"][0]["refused"] > asked, last[1]


@case
def the_end_of_the_control_channel_is_the_proxy_s():
    c = child()
    c.listen(netlab.LISTEN_PROXY)
    s = c.connect()
    s.sendall(get("http://allowed.example/last"))
    assert read_response(s)[0] == 200
    assert c.end() == 0
    assert drain(s) in (b"<RESET>", b"")
    totals = [e for e in c.journal() if e["event"] == "net_totals"]
    assert totals and totals[-1]["hosts"][0]["host"] == "allowed.example"


# --- an upstream proxy ------------------------------------------------------------------

@case
def everything_goes_through_the_upstream_proxy_after_our_checks():
    parent = Server("10.9.8.7", 8080, netlab.upstream)
    c = child("mode limited\nallow example\nupstream http://10.9.8.7:8080\n"
              "upstream-auth PROXY_LOGIN\n")
    c.listen(netlab.LISTEN_PROXY)
    reply = ask(c, get("http://allowed.example/", b"Connection: close\r\n"))
    assert b"x-airlock-denied: upstream" in reply  # the secret is not there yet
    fd = memfd(b"OTHER=x\0PROXY_LOGIN=me:pass\0TOKEN=0123456789abcdef\0")
    assert c.send(netlab.SECRETS, fd=fd) == 0
    given = os.pread(fd, 100, 0)  # placeholders; what is too short to be told has none
    assert re.fullmatch(rb"TOKEN=[0-9]{10}[a-z]{6}\0+", given) and b"0123456" not in given, given
    os.close(fd)
    reply = ask(c, get("http://allowed.example/up", b"Connection: close\r\n"))
    assert b"GET /up 0\n" in reply, reply
    s = tunnel(c, "allowed.example:443")
    wrapped = client_context().wrap_socket(s, server_hostname="allowed.example")
    wrapped.sendall(b"GET /tls HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
    assert b"GET /tls 0\n" in wrapped.recv(4096)
    before = len(parent.seen.requests)
    assert b"403" in ask(c, get("http://evil.test/", b"Connection: close\r\n"))
    assert b"address" in ask(c, get("http://to-private.example/", b"Connection: close\r\n"))
    assert len(parent.seen.requests) == before
    assert not any(b"me:pass" in r[0] for r in web.seen.requests)
    # What only the upstream can resolve goes there, but for private names that nobody named.
    assert c.policy("mode full\nallow known.internal\nupstream http://10.9.8.7:8080\n"
                    "upstream-auth PROXY_LOGIN\n") == 0
    for name in ("elsewhere.test", "known.internal"):
        reply = ask(c, get("http://%s/u" % name, b"Connection: close\r\n"))
        assert b"GET /u 0\n" in reply, (name, reply)
    before = len(parent.seen.requests)
    for name in ("metadata.google.internal", "metadata", "db.corp", "x.home.arpa", "a.local"):
        reply = ask(c, get("http://%s/" % name, b"Connection: close\r\n"))
        assert b"x-airlock-denied: address" in reply and b"private name" in reply, (name, reply)
    assert len(parent.seen.requests) == before
    parent.close()


# --- by itself --------------------------------------------------------------------------

@case
def help_version_and_mistakes_on_the_command_line():
    def run(*arguments):
        r = subprocess.run([netlab.PROXY, *arguments], capture_output=True, text=True, timeout=5)
        return r.returncode, r.stdout, r.stderr
    code, out, _ = run("--help")
    assert code == 0 and "--learn" in out and max(map(len, out.splitlines())) <= 100
    assert run("--version")[0] == 0
    for arguments, word in ((["--nonsense", "x"], "--nonsense"), (["--allow"], "--allow"),
                            (["--allow", "a b"], "line 1"), (["--net", "sometimes"], "line 1"),
                            (["--listen", "nowhere"], "--listen"), (["x"], "not an option"),
                            (["--mark", "x"], "--mark"), (["--rules", "/none"], "/none"),
                            (["--dns", "x"], "--dns")):
        code, out, err = run(*arguments)
        assert code == 2 and word in err and err.count("\n") == 1, (arguments, code, err)


@case
def every_reason_is_in_the_manual():
    with open(netlab.ROOT + "/netfilter/policy.c") as f:
        reasons = set(re.findall(r'\[POLICY_DENY_\w+\] = "([a-z-]+)"', f.read()))
    with open(netlab.ROOT + "/rootfs/airlock.1") as f:
        section = f.read().split(".Sh REFUSALS")[1].split(".Sh ")[0]
    assert len(reasons) > 15 and reasons == set(re.findall(r"\.It Cm (\S+)", section)), reasons


@case
def learning_allows_what_is_public_and_proposes_a_list():
    proxy = fresh("--learn")
    assert b"200 OK" in ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))
    assert b"200 OK" in ask(proxy, get("http://other.example/", b"Connection: close\r\n"))
    s = tunnel(proxy, "allowed.example:22")
    assert s.recv(100).startswith(b"SSH")
    s.close()
    s = tunnel(proxy, "evil.example:80")
    s.close()
    assert b"403" in ask(proxy, get("http://to-private.example/", b"Connection: close\r\n"))
    proxy.event(port=22)
    assert proxy.stop() == 0
    import json
    proposed = json.loads(proxy.out)["network"]
    assert proposed["allow"] == ["other.example"], proposed
    assert {"host": "allowed.example", "ports": [80, 22]} in proposed["rules"], proposed


@case
def the_role_holds_nothing_it_does_not_need():
    proxy = allowing()
    until(lambda: status(proxy.pid).get("Seccomp") == "2", "its filter")
    s = status(proxy.pid)
    assert s["CapPrm"] == s["CapEff"] == "0" * 16 and s["NoNewPrivs"] == "1", s
    assert s["Threads"] == "1"
    with open("/proc/%d/limits" % proxy.pid) as f:
        assert re.search(r"Max core file size +0 +0", f.read())
    if os.getuid() == 0:
        proxy = allowing("--uid", "65534", "--gid", "65534", "--mark", "77", "--resolv", names.docker())
        until(lambda: status(proxy.pid).get("Seccomp") == "2", "its filter")
        s = status(proxy.pid)
        assert s["Uid"].split() == ["65534"] * 4 and s["Gid"].split() == ["65534"] * 4
        assert bin(int(s["CapEff"], 16)).count("1") == 1 and s["CapEff"] == s["CapPrm"], s
        assert b"200 OK" in ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))


@case
def marked_sockets_pass_a_filter_that_stops_all_others():
    rules = ("table inet m { chain o { type filter hook output priority 0; "
             "ip daddr %s tcp dport 80 meta mark != 77 reject with tcp reset; "
             "ip daddr 127.0.0.11 udp dport 53 meta mark != 77 drop ; }; }" % ALLOWED)
    if subprocess.run(["nft", rules], capture_output=True).returncode:
        skip("no nft here")
    try:
        proxy = allowing("--resolv", names.docker())
        assert b"200 OK" not in ask(proxy, get("http://both.example:80/", b"Connection: close\r\n"),
                                    timeout=8)
        proxy = allowing("--mark", "77", "--resolv", names.docker())
        assert b"200 OK" in ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "m"], check=True)


@case
def an_idle_proxy_is_small_and_sleeps():
    proxy = allowing()
    ask(proxy, get("http://allowed.example/", b"Connection: close\r\n"))
    time.sleep(0.2)
    assert proxy.memory() < 1500, proxy.memory()

    def switches():
        return int(status(proxy.pid)["voluntary_ctxt_switches"])
    before = switches()
    time.sleep(1.2)
    assert switches() == before


main()
