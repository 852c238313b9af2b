#!/usr/bin/python3
"""The netfilter lock: whatever form it takes, only marked packets leave.

Each case has two network namespaces of its own: the box, under the lock, and the world
behind a cable. build/release/probe_netfilter applies the lock; a few lines of Python stand
for the proxy.
"""
import errno
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

import lib
from engines import containerd, stop_engines
from lib import ROOT, case, main, skip, start, until
from nets import BOX4, BOX6, FAR4, FAR6, NEAR4, NEAR6, Space, pair

PROBE = ROOT + "/build/release/probe_netfilter"
MARK, DNS, PROXY = 0x41524c4b, 1053, 1080
PLAN = ["mark=%d" % MARK, "dns=%d" % DNS, "redirect=%d" % PROXY]
FORMS = [["inet"], ["split"], ["nofib"], ["split", "nofib"], ["xt"]]
SO_ORIGINAL_DST = 80
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
FAR, NEAR = {4: FAR4, 6: FAR6}, {4: NEAR4, 6: NEAR6}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def in_every_form(function):
    """The same claim for each form: one case each."""
    for form in FORMS:
        def one(form=form):
            function(form)
        one.__name__ = "%s_%s" % (function.__name__, "_".join(form))
        case(one)
    return function


def lock(space, form, *words, plan=PLAN, expect=0):
    done = space.run(PROBE, *form, "apply", *plan, *words)
    assert done.returncode == expect, "apply %s: %d %s" % (form, done.returncode, done.stdout)
    return done.stdout


def new_socket(v, kind, mark=0, timeout=5):
    """v6 sockets leave the v4 port to others."""
    s = socket.socket(FAMILY[v], kind)
    s.settimeout(timeout)
    if v == 6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if mark:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    return s


def stream(v, mark=0, timeout=5):
    return new_socket(v, socket.SOCK_STREAM, mark, timeout)


def datagram(v, mark=0, timeout=5):
    return new_socket(v, socket.SOCK_DGRAM, mark, timeout)


def listener(v, address, port, kind=stream):
    s = kind(v, 0, None)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    if kind is stream:
        s.listen(64)
    return s


def listeners(kinds, ports, addresses=((4, "0.0.0.0"), (6, "::"))):
    return [listener(v, address, port, kind) for v, address in addresses for port in ports
            for kind in kinds]


def greet(say, sockets, greeting):
    """Answers every connection and datagram with greeting(socket, connection or None)."""
    say("ready")
    while True:
        for s in select.select(sockets, [], [])[0]:
            if s.type == socket.SOCK_STREAM:
                c = s.accept()[0]
                c.sendall(greeting(s, c).encode())
                c.close()
            else:
                try:
                    s.sendto(greeting(s, None).encode(), s.recvfrom(512)[1])
                except OSError:
                    pass


def original(c):
    """Where a redirected connection was going, as the proxy finds it out."""
    if c.family == socket.AF_INET:
        raw = c.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        return "%s %d" % (socket.inet_ntop(socket.AF_INET, raw[4:8]),
                          struct.unpack("!H", raw[2:4])[0])
    raw = c.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    return "%s %d" % (socket.inet_ntop(socket.AF_INET6, raw[8:24]),
                      struct.unpack("!H", raw[2:4])[0])


def serve_world(world, families=(4, 6)):
    def run(say):
        at = [(v, FAR[v]) for v in families] + [(v, NEAR[v]) for v in families]
        greet(say, listeners((stream, datagram), (53, 443), at), lambda s, c: "world")
    world.serve(run)


def serve_proxy(box, families=(4, 6)):
    def run(say):
        at = [(v, LOOPBACK[v]) for v in families]
        greet(say, listeners((stream, datagram), (DNS,), at) + listeners((stream,), (PROXY,), at),
              lambda s, c: "dns" if s.getsockname()[1] == DNS else "proxy " + original(c))
    box.serve(run)


def ask(v, address, port, mark=0, uid=None, kind=stream):
    """What answers there, or the errno's name."""
    if uid is not None:
        os.setresuid(uid, uid, 0)
    s = kind(v, mark)
    try:
        s.connect((address, port))
        if kind is datagram:
            s.send(b"?")
        return s.recv(512).decode()
    except socket.timeout:
        return "silence"
    except OSError as e:
        return errno.errorcode[e.errno]


def ping(v, address=None):
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as f:
        f.write("0 0")
    s = socket.socket(FAMILY[v], socket.SOCK_DGRAM, 1 if v == 4 else 58)
    try:
        s.settimeout(0.3)
        s.sendto(bytes([8 if v == 4 else 128]) + bytes(7), (address or FAR[v], 0))
        return "answer " + s.recv(99).hex()
    except socket.timeout:
        return "silence"
    except OSError as e:
        return errno.errorcode[e.errno]


def locked(form, *words, v6=True, plan=PLAN):
    box, world = pair(v6)
    families = (4, 6) if v6 else (4,)
    serve_world(world, families)
    serve_proxy(box, families)
    lock(box, form, *words, plan=plan)
    return box, world


# --- what passes and what does not ----------------------------------------------------------

@case
def without_the_lock_everything_passes():
    box, world = pair()
    serve_world(world)
    for v in (4, 6):
        assert box.do(ask, v, FAR[v], 443) == "world"
        assert box.do(lambda: ask(v, FAR[v], 443, 0, None, datagram)) == "world"
        assert box.do(ping, v).startswith("answer")


@in_every_form
def a_marked_socket_reaches_the_world(form):
    box, world = locked(form)
    for v in (4, 6):
        assert box.do(ask, v, FAR[v], 443, MARK) == "world"
        assert box.do(lambda: ask(v, FAR[v], 443, MARK, None, datagram)) == "world"
        assert box.do(lambda: ask(v, FAR[v], 53, MARK, None, datagram)) == "world"
        assert box.do(ask, v, FAR[v], 443, MARK + 1) == "proxy %s 443" % FAR[v]


@in_every_form
def tcp_ends_at_the_proxy_which_learns_where_to(form):
    box, world = locked(form)
    for v, far in ((4, FAR4), (6, FAR6), (4, NEAR4), (6, NEAR6)):
        for port in (443, 22, 9):
            got = box.do(ask, v, far, port)
            assert got == "proxy %s %d" % (far, port), got


@in_every_form
def datagrams_are_refused_at_once(form):
    box, world = locked(form)
    for v in (4, 6):
        got = box.do(lambda: ask(v, FAR[v], 443, 0, None, datagram))
        assert got in ("EPERM", "EHOSTUNREACH", "EACCES"), got
    for v in (4, 6):
        got = box.do(ping, v)
        assert got in ("EPERM", "EHOSTUNREACH", "EACCES", "silence"), got


@in_every_form
def dns_to_any_server_ends_at_our_port(form):
    box, world = locked(form)
    servers = [(4, FAR4), (6, FAR6), (4, NEAR4), (4, "127.0.0.11"), (4, "127.0.0.53"),
               (4, BOX4), (6, BOX6), (6, "::1")]
    for v, server in servers:
        for kind in (datagram, stream):
            got = box.do(lambda: ask(v, server, 53, 0, None, kind))
            assert got == "dns", "%s by %s: %s" % (server, kind.__name__, got)


@in_every_form
def own_servers_work(form):
    box, world = locked(form)

    mine = ((4, "127.0.0.1"), (4, "127.9.9.9"), (4, BOX4), (6, "::1"), (6, BOX6))

    def servers(say):
        greet(say, listeners((stream, datagram), (8000, 80), mine), lambda s, c: "own")
    box.serve(servers)
    for v, address in mine:
        assert box.do(ask, v, address, 8000) == "own", address
        assert box.do(ask, v, address, 80) == "own", address
        assert box.do(lambda: ask(v, address, 8000, 0, None, datagram)) == "own", address
        assert box.do(ask, v, address, 8001) == "ECONNREFUSED", address


@in_every_form
def docker_resolver_is_out_of_reach_by_every_port(form):
    box, world = locked(form)

    def docker(say):
        greet(say, listeners((stream, datagram), (40000,), ((4, "127.0.0.11"),)),
              lambda s, c: "docker")
    box.serve(docker)
    assert box.do(ask, 4, "127.0.0.11", 40000) == "ECONNREFUSED"
    assert box.do(lambda: ask(4, "127.0.0.11", 40000, 0, None, datagram)) == "EPERM"
    assert box.do(ask, 4, "127.0.0.11", 40000, MARK) == "docker"
    assert box.do(lambda: ask(4, "127.0.0.11", 40000, MARK, None, datagram)) == "docker"


@in_every_form
def no_user_id_passes(form):
    box, world = locked(form)
    for uid in (0, 1, 1000, 65534):
        got = box.do(ask, 4, FAR4, 443, 0, uid)
        assert got == "proxy %s 443" % FAR4, "uid %d: %s" % (uid, got)


@case
def root_may_ask_upstream_only_where_the_plan_says_so():
    for form in FORMS:
        box, world = locked(form, "root")
        for uid, answer in ((0, "world"), (1000, "dns")):
            for kind in (stream, datagram):
                got = box.do(lambda: ask(4, FAR4, 53, 0, uid, kind))
                assert got == answer, "%s, uid %d: %s" % (form, uid, got)
        assert box.do(ask, 4, FAR4, 443) == "proxy %s 443" % FAR4
        lib._end_started()


def send_and_close(v, size):
    """As much as the socket takes in one go, while nobody reads; then gone."""
    SO_SNDBUFFORCE = 32
    s = stream(v, MARK, 15)
    s.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * size)
    s.connect((FAR[v], 9000))
    s.sendall(bytes(size))
    s.close()


def count(say):
    sockets = listeners((stream,), (9000,))
    say("ready")
    while True:
        c = select.select(sockets, [], [])[0][0].accept()[0]
        time.sleep(0.3)
        n = 0
        c.settimeout(3)
        try:
            while got := len(c.recv(65536)):
                n += got
        except OSError:
            pass
        say(n)


@in_every_form
def a_closed_socket_loses_nothing(form):
    size = 3 << 20
    box, world = locked(form)
    out = world.serve(count)
    for v in (4, 6):
        box.do(send_and_close, v, size)
        assert int(out.readline()) == size


@in_every_form
def neighbours_are_found(form):
    box, world = locked(form)
    for flush in ("neigh flush dev eth0", "-6 neigh flush dev eth0"):
        box.ip(flush)
    assert box.do(ask, 6, FAR6, 443, MARK) == "world"
    assert box.do(ask, 4, FAR4, 443, MARK) == "world"


@in_every_form
def a_published_port_answers_where_the_plan_says_so(form):
    box, world = locked(form)

    def server(say):
        greet(say, listeners((stream,), (8000,)), lambda s, c: "published")
    box.serve(server)
    for v, address in ((4, BOX4), (6, BOX6)):
        assert world.do(lambda: ask(v, address, 8000, 0, None,
                                    lambda v, m: stream(v, m, 0.5))) != "published"
    lock(box, form, "inbound")
    for v, address in ((4, BOX4), (6, BOX6)):
        assert world.do(ask, v, address, 8000) == "published"
        assert box.do(ask, v, FAR[v], 443) == "proxy %s 443" % FAR[v]


@in_every_form
def the_kernel_itself_answers_nobody_outside(form):
    """Packets without an owner: an echo reply could carry what it was asked with."""
    box, world = pair()
    for v, address in ((4, BOX4), (6, BOX6)):
        got = world.do(ping, v, address)
        assert got.startswith("answer"), got
    lock(box, form)
    for v, address in ((4, BOX4), (6, BOX6)):
        assert world.do(ping, v, address) == "silence"


def sniff(device, say):
    """Says each packet that arrives by @device, until one with the word `enough` does."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind((device, 0))
    say("ready")
    while True:
        packet, where = s.recvfrom(65536)
        if where[2] != 4:  # PACKET_OUTGOING
            say(describe(packet))
            if b"enough" in packet:
                return "end"


def describe(packet):
    kind = struct.unpack("!H", packet[12:14])[0]
    if kind == 0x0806:
        return "arp for " + socket.inet_ntoa(packet[38:42])
    if kind == 0x0800:
        return "v4 protocol %d to %s" % (packet[23], socket.inet_ntoa(packet[30:34]))
    if kind != 0x86dd:
        return "type %#x" % kind
    # A neighbour's name is asked of its own multicast group; the type says what it is.
    what = "%d" % packet[54] if packet[20] == 58 else "-"
    if packet[20] == 58 and packet[54] == 135:
        return "neighbour " + socket.inet_ntop(socket.AF_INET6, packet[62:78])
    return "v6 protocol %d type %s to %s" % (packet[20], what, socket.inet_ntop(
        socket.AF_INET6, packet[38:54]))


def hostile():
    """Every way out that asks for no capability. Nothing here must raise."""
    index = struct.pack("=I", socket.if_nametoindex("eth0"))
    UDPLITE, MPTCP, SCTP, DCCP = 136, 262, 132, 33

    def send(v, address, port=9999, data=b"x", options=(), kind=socket.SOCK_DGRAM, protocol=0,
             flags=0, ancillary=()):
        try:
            s = socket.socket(FAMILY[v], kind, protocol)
        except OSError:
            return
        with s:
            s.settimeout(0.2)
            for level, name, value in options:
                try:
                    s.setsockopt(level, name, value)
                except OSError:
                    pass
            try:
                if kind == socket.SOCK_DGRAM:
                    s.sendmsg([data], ancillary, flags, (address, port))
                elif flags:
                    s.sendto(data, flags, (address, port))
                else:
                    s.connect((address, port))
                    s.send(data)
            except OSError:
                pass

    far = ((4, FAR4), (6, FAR6), (4, NEAR4), (6, NEAR6), (4, "10.9.0.77"), (6, "fd09::77"))
    IP, V6, SOCKET = socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.SOL_SOCKET
    for v, address in far:
        for port in (53, 123, 443, 9999):
            send(v, address, port)
        send(v, address, data=bytes(30000))
        send(v, address, 53, data=bytes(30000))
        send(v, address, flags=0x8000)  # MSG_MORE, and close
        send(v, address, options=[(SOCKET, 25, b"eth0")])
        send(v, address, options=[(IP, 50, index), (V6, 76, index)])  # UNICAST_IF
        send(v, address, protocol=UDPLITE)
        send(v, address, kind=socket.SOCK_STREAM, protocol=MPTCP)
        send(v, address, kind=socket.SOCK_STREAM, protocol=SCTP)
        send(v, address, kind=6, protocol=DCCP)
        send(v, address, kind=socket.SOCK_STREAM, flags=0x20000000)
        send(v, address, kind=socket.SOCK_STREAM, options=[(SOCKET, 25, b"eth0")])
        send(v, address, kind=socket.SOCK_STREAM, options=[(6, 30, 1)])  # FASTOPEN_CONNECT
        send(v, address, kind=socket.SOCK_RAW, protocol=255)
        s = stream(v)
        s.setblocking(False)
        s.connect_ex((address, 443))
        s.close()
        s = datagram(v)
        try:
            s.setsockopt(SOCKET, socket.SO_MARK, MARK)
            raise AssertionError("an agent may mark")
        except PermissionError:
            pass
    for v, address in ((4, "127.0.0.1"), (4, "127.0.0.11"), (4, BOX4), (6, "::1"), (6, BOX6)):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            for options in ([(SOCKET, 25, b"eth0")], [(IP, 50, index), (V6, 76, index)],
                            [(SOCKET, 62, index)]):
                send(v, address, PROXY, options=options, kind=kind)
                send(v, address, 53, options=options, kind=kind)
        nowhere = (IP, 8, index + bytes(8)) if v == 4 else (V6, 50, bytes(16) + index)
        send(v, address, ancillary=[nowhere])
    source = socket.inet_aton(BOX4)
    send(4, FAR4, ancillary=[(IP, 8, index + source + source)])  # IP_PKTINFO
    send(6, FAR6, ancillary=[(V6, 50, bytes(16) + index)])
    route = b"\x01\x83\x07\x04" + socket.inet_aton(NEAR4)  # loose source route
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        send(4, FAR4, options=[(IP, 4, route)], kind=kind)
        header = b"\0\2\0\1\0\0\0\0" + socket.inet_pton(socket.AF_INET6, NEAR6)
        send(6, FAR6, options=[(V6, 57, header)], kind=kind)
    broadcast = [(SOCKET, socket.SO_BROADCAST, 1)]
    for address in ("255.255.255.255", "10.9.0.255", "224.0.0.251", "239.1.2.3"):
        send(4, address, options=broadcast + [(IP, 32, source)])  # IP_MULTICAST_IF
    for address in ("ff02::1%eth0", "ff02::fb%eth0", "ff0e::1"):
        send(6, address, options=[(V6, 17, index)])
    for address in ("::ffff:" + FAR4, "::ffff:" + NEAR4):
        send(6, address)
        send(6, address, kind=socket.SOCK_STREAM)
    for group in ("239.9.9.9", "224.1.2.3"):  # the kernel would tell the routers
        s = datagram(4)
        s.setsockopt(IP, 35, socket.inet_aton(group) + source)
        send(4, group)
    s = datagram(6)
    s.setsockopt(V6, 20, socket.inet_pton(socket.AF_INET6, "ff0e::4141") + index)
    for v in (4, 6):
        ping(v)


@in_every_form
def nothing_of_a_hostile_agent_is_seen_outside(form):
    box, world = pair()
    serve_proxy(box)
    for address in (NEAR4, NEAR6):  # what is not the agent's doing comes first
        box.run("ping", "-c", "1", "-W", "1", address)
    lock(box, form)
    out = world.serve(sniff, "w")
    code = ("import sys; sys.path.insert(0, %r); import test_netfilter as t; t.hostile()"
            % (ROOT + "/tests/e2e"))
    done = box.run("setpriv", "--bounding-set=-net_admin,-net_raw", "/usr/bin/python3", "-c", code,
                   timeout=60)
    assert not done.returncode, done.stdout
    time.sleep(0.3)
    box.do(finish)
    seen = [json.loads(line) for line in out]
    assert seen[-1] == "end" and len(seen) > 1, seen
    allowed = {"arp for " + NEAR4, "neighbour " + NEAR6, "v4 protocol 17 to " + FAR4, "end"}
    assert set(seen) <= allowed and seen.count("v4 protocol 17 to " + FAR4) == 1, seen


def finish():
    s = datagram(4, MARK)
    s.sendto(b"enough", (FAR4, 9))


@in_every_form
def off_lets_nothing_out_at_all(form):
    box, world = pair()
    serve_world(world)
    serve_proxy(box)
    lock(box, form, "off", plan=[])
    for v in (4, 6):
        for mark in (0, MARK):
            assert box.do(ask, v, FAR[v], 443, mark) == "ECONNREFUSED"
            assert box.do(lambda: ask(v, FAR[v], 53, mark, None, datagram)) == "EPERM"
        assert box.do(lambda: ask(v, LOOPBACK[v], DNS, 0, None, datagram)) == "dns"


@case
def filter_only_refuses_what_does_not_know_the_proxy():
    for form in (["nonat"], ["nonat", "split"], ["nonat", "nofib"]):
        box, world = locked(form)
        for v in (4, 6):
            assert box.do(ask, v, FAR[v], 443) == "ECONNREFUSED"
            assert box.do(ask, v, FAR[v], 443, MARK) == "world"
            assert box.do(lambda: ask(v, LOOPBACK[v], DNS, 0, None, datagram)) == "dns"
        lib._end_started()


@in_every_form
def without_ipv6_there_is_ipv4(form):
    box, world = locked(form, v6=False)
    assert box.do(ask, 4, FAR4, 443, MARK) == "world"
    assert box.do(ask, 4, FAR4, 443) == "proxy %s 443" % FAR4
    assert box.do(ask, 6, FAR6, 443) in ("ENETUNREACH", "EADDRNOTAVAIL")


@in_every_form
def ipv6_that_comes_later_is_locked_too(form):
    box, world = locked(form, v6=False)
    for space, address, device in ((box, BOX6, "eth0"), (world, NEAR6, "w")):
        space.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        space.ip("addr add %s/64 dev %s nodad" % (address, device))
    # An open way answers in less than a millisecond.
    got = box.do(lambda: ask(6, NEAR6, 443, kind=lambda v, mark: stream(v, mark, timeout=1)))
    assert got in ("ECONNREFUSED", "EADDRNOTAVAIL", "silence"), got


# --- how it gets there and goes away ----------------------------------------------------------

def rules_of(space):
    legacy = [space.run(p + "-legacy-save").stdout for p in ("iptables", "ip6tables")]
    text = "\n".join(legacy) + space.run("nft", "list", "ruleset").stdout
    return [line for line in text.splitlines()
            if line and line != "COMMIT" and line[0] not in "#:*"]


@case
def nft_lists_the_rules_in_its_own_words():
    box, world = locked(["inet"])
    listed = box.nft("list ruleset")
    for text in ("table inet airlock",
                 "type filter hook output priority filter; policy drop",
                 "type filter hook postrouting priority filter; policy drop",
                 "type filter hook forward priority filter; policy drop",
                 'oif "lo" accept',
                 "meta mark 0x41524c4b accept",
                 "udp dport 53 redirect to :1053", "fib daddr type local accept",
                 "meta l4proto tcp redirect to :1080", "icmpv6 type 133-136 accept",
                 "reject with icmpx admin-prohibited", "type nat hook output priority -110"):
        assert text in listed, text
    assert "unknown" not in listed and "[" not in listed, listed


@in_every_form
def applied_twice_is_applied_once(form):
    box, world = locked(form)
    once = rules_of(box)
    lock(box, form)
    assert rules_of(box) == once
    lock(box, form, "inbound")
    assert len(rules_of(box)) > len(once)
    lock(box, form)
    assert rules_of(box) == once


@in_every_form
def what_others_put_there_stays(form):
    box, world = pair()
    if form == ["xt"]:
        for words in ("-N MINE", "-A MINE -p tcp --dport 7 -j DROP", "-A OUTPUT -j MINE",
                      "-A INPUT -s 192.0.2.1 -j DROP", "-P INPUT ACCEPT",
                      "-t nat -N DOCKER_OUTPUT", "-t nat -A OUTPUT -d 127.0.0.11 "
                      "-j DOCKER_OUTPUT", "-t nat -A DOCKER_OUTPUT -d 127.0.0.11 -p udp "
                      "-j DNAT --to-destination 127.0.0.11:40000"):
            done = box.run("iptables-legacy", *words.split())
            assert not done.returncode, done.stdout
    box.nft("table ip mine { chain c { type filter hook input priority 0; accept; }; "
            "set s { type ipv4_addr; }; }; table inet airlock2 { }")
    before = rules_of(box)
    lock(box, form)
    with_ours = rules_of(box)
    missing = [r for r in before if r not in with_ours]
    assert not missing, missing
    assert len(with_ours) > len(before)
    lock(box, form)
    assert rules_of(box) == with_ours
    done = box.run(PROBE, "remove")
    assert done.returncode == 0, done.stdout
    after = rules_of(box)
    assert after == before, (before, after)


@in_every_form
def removed_is_as_it_was(form):
    box, world = locked(form)
    done = box.run(PROBE, "remove")
    assert done.returncode == 0, done.stdout
    assert box.do(ask, 4, FAR4, 443) == "world"
    assert box.run(PROBE, "remove").returncode == 0


@case
def verify_sees_what_is_not_as_it_was_put():
    box, world = locked(["inet"])

    def verify():
        return box.run(PROBE, "inet", "verify", *PLAN)
    assert verify().returncode == 0, verify().stdout
    changes = ["flush chain inet airlock agent",
               "add rule inet airlock out accept",
               "chain inet airlock out { policy accept; }",
               "add chain inet airlock more",
               "delete table inet airlock"]
    for change in changes:
        box.nft(change)
        assert "Stale" in verify().stdout, change
        lock(box, ["inet"])
        assert verify().returncode == 0


@case
def a_lock_in_another_form_replaces_the_first():
    box, world = locked(["split"])
    lock(box, ["inet"], "inbound")
    lock(box, ["inet"])
    listed = box.nft("list tables")
    lock(box, ["split"])
    assert listed.split() == ["table", "inet", "airlock"], listed
    assert box.nft("list tables").split() == ["table", "ip", "airlock", "table", "ip6", "airlock"]


@case
def killed_on_the_way_there_is_all_or_nothing():
    # The first request asks for tables, the second is the batch.
    for call, when, left in (("sendto", 1, 0), ("sendto", 2, 0), ("recvfrom", 3, 1)):
        box, world = pair()
        for again in (False, True):
            before = box.nft("list ruleset")
            done = box.run("strace", "-o", "/dev/null", "-e", "trace=" + call, "-e",
                           "inject=%s:signal=SIGKILL:when=%d" % (call, when), PROBE, "inet",
                           "apply", *PLAN, *(["inbound"] if again else []))
            assert done.returncode in (-9, 137), (call, done.returncode, done.stdout)
            after = box.nft("list ruleset")
            if left:
                plan = PLAN + (["inbound"] if again else [])
                assert box.run(PROBE, "inet", "verify", *plan).returncode == 0
            else:
                assert after == before, call
        lib._end_started()


@case
def without_the_capability_it_says_what_would_help():
    box, world = pair()
    done = box.run("setpriv", "--bounding-set=-net_admin", PROBE, "apply", *PLAN)
    assert done.returncode == 2 and "--cap-add NET_ADMIN" in done.stdout, done.stdout
    assert box.nft("list ruleset") == ""


@case
def in_a_user_namespace_of_its_own_it_needs_no_privilege():
    space = Space("--user", "--map-root-user")
    done = subprocess.run(["nsenter", "--target", str(space.anchor.pid), "--user", "--net",
                           PROBE, "apply", *PLAN], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "nf_tables\n"), done


@case
def without_nf_tables_it_is_ip_tables():
    """The agent's filter refuses netlink to netfilter: a kernel that has none."""
    box, world = pair()
    serve_world(world)
    serve_proxy(box)
    done = box.run(ROOT + "/build/release/probe_filter", "agent", PROBE, "apply", *PLAN)
    assert (done.returncode, done.stdout) == (0, "ip_tables\n"), done
    for v in (4, 6):
        assert box.do(ask, v, FAR[v], 443, MARK) == "world"
        assert box.do(ask, v, FAR[v], 443) == "proxy %s 443" % FAR[v]
    assert "-j REDIRECT" in box.run("iptables-legacy-save").stdout
    assert not box.run(PROBE, "remove").returncode
    assert "airlock" not in box.nft("list ruleset") and "-A" not in "".join(rules_of(box))


@case
def a_kernel_without_ipv6_needs_no_ip6_table():
    box, world = pair(v6=False)
    serve_world(world, (4,))
    serve_proxy(box, (4,))
    lock(box, ["split", "nov6"])
    assert box.nft("list tables").split() == ["table", "ip", "airlock"]
    assert box.do(ask, 4, FAR4, 443) == "proxy %s 443" % FAR4


@case
def a_mark_of_zero_is_refused():
    box, world = pair()
    done = box.run(PROBE, "apply", "mark=0", "dns=53", "redirect=80")
    assert done.returncode == 2 and "mark of 0" in done.stdout, done.stdout


@case
def a_packet_socket_passes_every_rule_so_its_capability_must_go():
    """No promise of ours but the reason for one: CAP_NET_RAW is taken from the agent."""
    box, world = locked(["inet"])
    world.run("sh", "-c", "ip neigh; true")
    mac = world.ip("-o link show w").split("link/ether ")[1].split()[0]

    def watch(say):
        s = datagram(4, timeout=5)
        s.bind(("0.0.0.0", 7777))
        say("ready")
        say(s.recv(99).decode())

    def send(mac):
        payload = b"past the rules"
        udp = struct.pack("!HHHH", 9, 7777, 8 + len(payload), 0) + payload
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                           socket.inet_aton(BOX4), socket.inet_aton(NEAR4))
        total = sum(struct.unpack("!10H", head))
        total = (total & 0xffff) + (total >> 16)
        head = head[:10] + struct.pack("!H", ~total & 0xffff) + head[12:]
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        s.sendto(head + udp, ("eth0", 0x0800, 0, 0, bytes.fromhex(mac.replace(":", ""))))
    out = world.serve(watch)
    box.do(send, mac)
    assert out.readline() == '"past the rules"\n'


# --- whose namespace is it -----------------------------------------------------------------

def shared(space, *wrap):
    done = space.run(*wrap, PROBE, "shared")
    assert done.returncode in (0, 1), done.stdout
    return done.stdout.strip() if done.returncode else ""


@case
def a_namespace_of_ones_own_is_nobodys_else():
    box, world = locked(["inet"])
    assert shared(box) == ""  # with its servers and our table
    assert "table" in box.nft("list ruleset")


@case
def the_hosts_namespace_is_the_hosts():
    done = subprocess.run([PROBE, "shared"], capture_output=True, text=True)
    if not done.returncode:
        skip("this machine shows no sign of a host's namespace")
    assert done.stdout.strip(), done


@case
def a_socket_of_a_stranger_gives_a_shared_namespace_away():
    box, world = pair()
    serve_proxy(box)
    assert shared(box) == ""
    other = ["unshare", "--pid", "--fork", "--mount-proc"]
    assert "socket" in shared(box, *other)


@case
def dockers_resolver_is_no_stranger():
    box, world = pair()

    def docker(say):
        up = datagram(4)
        up.connect((FAR4, 53))
        greet(say, listeners((stream, datagram), (40000,), ((4, "127.0.0.11"),)) + [up],
              lambda s, c: "docker")
    box.serve(docker)
    for words in ("-t nat -N DOCKER_OUTPUT", "-t nat -A OUTPUT -d 127.0.0.11 -j DOCKER_OUTPUT"):
        assert not box.run("iptables-nft", *words.split()).returncode
    assert shared(box, "unshare", "--pid", "--fork", "--mount-proc") == ""


@case
def a_service_mesh_gives_a_shared_namespace_away():
    box, world = pair()
    assert not box.run("iptables-nft", "-t", "nat", "-N", "MESH_REDIRECT").returncode
    assert "packet filter" in shared(box)


@case
def a_bridge_gives_the_host_away():
    box, world = pair()
    box.ip("link add br0 type bridge")
    assert "bridge" in shared(box)


# --- in a real container ----------------------------------------------------------------------

def inside_docker():
    """Runs in the container, as root with CAP_NET_ADMIN, on a network with Docker's DNS."""
    def probe(*words):
        done = subprocess.run([PROBE, *words], capture_output=True, text=True)
        return [done.returncode, done.stdout.strip()]
    told = {"shared": probe("shared"), "before": resolve("127.0.0.11", 0)}
    port = [int(line.split()[1].split(":")[1], 16) for line in open("/proc/net/udp")
            if ":" in line and line.split()[1].startswith("0B00007F")][0]
    told["apply"] = probe("apply", *PLAN, "inbound")
    if not os.fork():
        signal.alarm(60)
        at = [(4, "127.0.0.1")]
        greet(lambda _: None, listeners((stream, datagram), (DNS,), at) +
              listeners((stream,), (PROXY,), at) + listeners((stream,), (8000,), [(4, "0.0.0.0")]),
              lambda s, c: {DNS: "dns", 8000: "published"}.get(s.getsockname()[1]) or
              "proxy " + original(c))
    time.sleep(0.3)
    told["marked"] = resolve("127.0.0.11", MARK)
    told["answers"] = {
        "dns": ask(4, "127.0.0.11", 53, 0, None, datagram),
        "docker": ask(4, "127.0.0.11", port, 0, None, datagram),
        "tcp": ask(4, "198.51.100.7", 443),
        "udp": ask(4, "198.51.100.7", 443, 0, None, datagram),
        "own": ask(4, socket.gethostbyname(socket.gethostname()), 8000),
        "v6": ask(6, FAR6, 443)}
    told["again"] = probe("apply", *PLAN, "inbound")
    told["still alone"] = probe("shared")
    print(json.dumps(told), flush=True)
    time.sleep(30)


def resolve(server, mark):
    """Does the resolver know the container's own name? Docker's does, without asking on."""
    name = b"".join(bytes([len(w)]) + w for w in (b"lockedbox",)) + b"\0"
    s = datagram(4, mark)
    s.connect((server, 53))
    s.send(struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1))
    try:
        return struct.unpack("!6H", s.recv(512)[:12])[3] == 1
    except OSError as e:
        return str(e)


def dockerd(space, directory):
    """A dockerd whose network is @space: the machine's own rules are none of its."""
    socket_path = "unix://%s/docker.sock" % directory
    start(["nsenter", "--net=" + space.path, "dockerd", "-H", socket_path, "--containerd",
           containerd(), "--data-root",
           directory + "/data", "--exec-root", directory + "/exec", "--pidfile",
           directory + "/pid", "--bip", "10.77.0.1/24"],
          stdout=subprocess.DEVNULL, stderr=open(directory + "/log", "w"))

    def docker(*words, check=True):
        done = subprocess.run(["docker", "-H", socket_path, *words], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL, timeout=60)
        assert not check or not done.returncode, "docker %s: %s" % (words[0], done.stderr)
        return done.stdout
    try:
        until(lambda: docker("info", "-f", "{{.ServerVersion}}", check=False).strip(),
              "dockerd", 30)
    except AssertionError:
        skip("dockerd does not start here: " + open(directory + "/log").read()[-300:])
    return docker


@case
def in_a_docker_container_with_net_admin_it_holds():
    if not shutil.which("dockerd"):
        skip("dockerd is not installed")
    box, world = pair()
    box.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    with tempfile.TemporaryDirectory(prefix="airlock-nft.") as directory:
        docker = None
        try:
            docker = dockerd(box, directory)
            root = directory + "/root"
            for name in ("bin", "sbin", "lib", "lib64"):
                os.makedirs(root, exist_ok=True)
                os.symlink("usr/" + name, root + "/" + name)
            subprocess.run(["tar", "-C", root, "-cf", directory + "/root.tar", "."], check=True)
            docker("import", directory + "/root.tar", "probe")
            docker("network", "create", "--subnet", "10.78.0.0/24", "n")
            docker("run", "-d", "--name", "lockedbox", "--network", "n", "--cap-add", "NET_ADMIN",
                   "-p", "8000:8000", "-v", "/usr:/usr:ro", "-v", ROOT + ":" + ROOT + ":ro",
                   "probe", "/usr/bin/python3", "-c", "import sys; sys.path.insert(0, %r); "
                   "import test_netfilter as t; t.inside_docker()" % (ROOT + "/tests/e2e"))
            told = json.loads(until(lambda: docker("logs", "lockedbox", check=False).strip(),
                                    "what the container says", 20).splitlines()[-1])
            assert told["shared"] == [0, ""] and told["still alone"] == [0, ""], told
            assert told["apply"] == [0, "nf_tables"] and told["again"] == [0, "nf_tables"], told
            assert told["before"] is True and told["marked"] is True, told
            answers = told["answers"]
            assert answers.pop("v6") in ("ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED"), told
            assert answers == {"dns": "dns", "docker": "EPERM", "udp": "EPERM",
                               "tcp": "proxy 198.51.100.7 443", "own": "published"}, told
            assert world.do(ask, 4, BOX4, 8000) == "published"
        finally:
            if docker:
                docker("rm", "-f", "lockedbox", check=False)
            lib._started[-1].terminate()
            lib._started[-1].wait(20)
            unmount(directory)
            stop_engines()


def unmount(directory):
    """What a dockerd that is gone has left mounted."""
    with open("/proc/self/mounts") as f:
        below = [line.split()[1] for line in f if line.split()[1].startswith(directory + "/")]
    for point in reversed(below):
        subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    lib.TIMEOUT_S = 90  # dockerd takes its time
    main()
