"""tests/e2e/fake_proxy.py - a proxy's side of --proxy: takes listeners, and denies.

    with FakeProxy() as proxy:
        start([LOCK, "--enter", "netns", "--proxy", str(proxy.fd), …], pass_fds=[proxy.fd])

Denies every connection with where it was going, and answers DNS as airlock-proxy does:
198.18.0.1 for allowed.example, NXDOMAIN for anything else. As a program it stands in for
`airlock-proxy --control 3 --ca-out-fd 4 [--journal 5]`; its journal is the policies that
it was given.
"""
import os
import select
import socket
import struct
import sys
import threading

MSG = "=IIiIHH16sHHHH200s"  # base/msg.h
POLICY, CHANNEL, LISTENER, CONNECT, DONE = 1, 2, 4, 5, 6
PROXY, REDIRECTED, LOCAL, NOTIFIED, DNS_UDP, DNS_TCP, DNS_PAIR = range(7)
SO_ORIGINAL_DST = 80
IP_PKTINFO = 8
IPV6_PKTINFO = 50


def answer(query):
    """A DNS answer to the question."""
    name = query[12:].split(b"\0")[0].lower()
    if os.environ.get("FAKE_PROXY_LIES"):  # somebody's address, for any name
        return (query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:]
                + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\5")
    if name == b"\7allowed\7example" and query[-4:-2] == b"\0\1":
        return (query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:]
                + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\0\1")
    return query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:]


class FakeProxy:
    def __init__(self, refuse=0, control=None):
        self.ours, self.theirs = control, None
        if not control:
            self.ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.fd = self.theirs.fileno()
        self.channels = [self.ours]
        self.policies = []
        self.refuse = refuse    # an errno for every listener
        self.listeners = []     # (kind, socket)
        self.seen = []          # (kind, "ADDRESS:PORT") of each connection
        self.stop, self.stopped = socket.socketpair()
        self.thread = threading.Thread(target=self.loop, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """As airlock-proxy does when it dies: everything it held is closed."""
        self.stop.close()
        self.thread.join(5)
        for _, s in self.listeners:
            s.close()
        self.ours.close()
        self.theirs.close()
        self.stopped.close()

    def kinds(self):
        return sorted(kind for kind, _ in self.listeners)

    def loop(self):
        while True:
            readable = select.select([self.stopped] + self.channels
                                     + [s for _, s in self.listeners], [], [])[0]
            if self.stopped in readable:
                return
            for r in readable:
                try:
                    self.take(r)
                except OSError:
                    pass

    def take(self, r):
        if r in self.channels:
            data, fds, *_ = socket.recv_fds(r, 1024, 4)
            if not data:
                self.channels.remove(r)
                return r.close() if self.channels and r is not self.ours else self.stop.close()
            what, kind = struct.unpack(MSG, data)[:2]
            self.obey(fds, *struct.unpack(MSG, data))
            if (what, kind) == (LISTENER, DNS_PAIR):
                return None
            return r.send(struct.pack(MSG, DONE, 0, self.refuse, 0, 0, 0, b"", 0, 0, 0, 0, b""))
        kind = next(k for k, s in self.listeners if s is r)
        if kind == DNS_PAIR:
            query = r.recv(512)
            if query:
                return r.send(answer(query))
            self.listeners = [(k, s) for k, s in self.listeners if s is not r]
            return r.close()
        if kind == DNS_UDP:
            query, control, _, peer = r.recvmsg(512, 128)
            for level, name, data in control:
                if (level, name) == (socket.IPPROTO_IP, IP_PKTINFO):
                    # Answered from the address that was asked: spec_dst.
                    data = struct.pack("=I4s4s", 0, data[4:8], b"\0\0\0\0")
                    return r.sendmsg([answer(query)], [(level, name, data)], 0, peer)
                if (level, name) == (socket.IPPROTO_IPV6, IPV6_PKTINFO):
                    return r.sendmsg([answer(query)], [(level, name, data)], 0, peer)
            return None
        connection, _ = r.accept()
        connection.setblocking(True)
        connection.settimeout(2)
        with connection:
            self.serve(kind, connection)

    def obey(self, fds, what, kind, *rest):
        for fd in fds:
            if what == POLICY:
                self.policies.append((rest[-1].rstrip(b"\0").decode(),
                                      os.pread(fd, 1 << 18, 0).decode()))
                os.close(fd)
            elif what == CHANNEL:
                self.channels.append(socket.socket(fileno=fd))
            else:
                self.listeners.append((kind, socket.socket(fileno=fd)))

    def serve(self, kind, c):
        to = c.getsockname()
        if kind == REDIRECTED and c.family == socket.AF_INET:
            raw = c.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
            to = (socket.inet_ntoa(raw[4:8]), struct.unpack("!H", raw[2:4])[0])
        elif kind == REDIRECTED:
            raw = c.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
            to = (socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack("!H", raw[2:4])[0])
        where = "%s:%d" % to[:2]
        self.seen.append((kind, where))
        request = c.recv(4096)
        if kind == DNS_TCP:
            reply = answer(request[2:])
            c.sendall(struct.pack("!H", len(reply)) + reply)
        else:
            c.sendall(b"HTTP/1.1 403 Forbidden\r\nx-airlock-denied: not-allowed\r\n"
                      b"content-length: %d\r\n\r\n%s" % (len(where), where.encode()))


if __name__ == "__main__":
    if os.environ.get("FAKE_PROXY_PEM"):
        os.write(int(sys.argv[sys.argv.index("--ca-out-fd") + 1]), b"a certificate\n")
    # The control channel's number is a socket of ours from here on.
    proxy = FakeProxy(control=socket.socket(fileno=int(sys.argv[sys.argv.index("--control") + 1])))
    proxy.loop()
    if "--journal" in sys.argv:
        text = "".join("%s: %s" % pair for pair in proxy.policies)
        os.write(int(sys.argv[sys.argv.index("--journal") + 1]), text.encode())
