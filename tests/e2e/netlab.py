"""tests/e2e/netlab.py - a small internet in a network namespace of its own.

    import netlab
    netlab.enter()                  # first line of a test file: runs it again, inside
    from netlab import ALLOWED, EVIL, proxy, ...

Everything lives on the namespace's loopback: fake servers on public addresses (allowed,
evil), on private and metadata ones and on IPv6, each remembering every byte that arrived;
and a name server that remembers every question. The namespace ends with the process.
Standard library only; openssl(1) makes the certificate.
"""
import array
import base64
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from lib import ROOT, start, until  # noqa: E402

PROXY = os.path.abspath(os.environ.get("AIRLOCK_PROXY", ROOT + "/build/release/airlock-proxy"))

ALLOWED, OTHER, EVIL = "93.184.216.10", "93.184.216.11", "93.184.216.66"
PACKAGES = "93.184.216.12"
NAMESERVER = "93.184.216.53"
PRIVATE, METADATA, CGNAT = "10.9.8.7", "169.254.169.254", "100.64.1.1"
ALLOWED6 = "2606:2800:220:1::10"
ULA6, NAT64 = "fd00:ec2::254", "64:ff9b::a09:807"
ADDRESSES = [ALLOWED, OTHER, EVIL, PACKAGES, NAMESERVER, PRIVATE, METADATA, CGNAT]
ADDRESSES6 = [ALLOWED6, ULA6, NAT64]

# name: (A, AAAA)
ZONE = {
    "allowed.example": ([ALLOWED], []),
    "www.allowed.example": ([ALLOWED], []),
    "other.example": ([OTHER], []),
    "evil.example": ([EVIL], []),
    "evilallowed.example": ([EVIL], []),
    "allowed.example.evil.example": ([EVIL], []),
    "six.example": ([], [ALLOWED6]),
    "both.example": ([ALLOWED], [ALLOWED6]),
    "to-private.example": ([PRIVATE], []),
    "to-loopback.example": (["127.0.0.1"], ["::1"]),
    "to-zero.example": (["0.0.0.0"], []),
    "to-metadata.example": ([METADATA], []),
    "to-cgnat.example": ([CGNAT], []),
    "to-ula.example": ([], [ULA6]),
    "to-nat64.example": ([], [NAT64]),
    "to-mapped.example": ([], ["::ffff:10.9.8.7"]),
    "to-6to4.example": ([], ["2002:a09:807::1"]),
    "to-compatible.example": ([], ["::10.9.8.7"]),
    "mixed.example": ([PRIVATE, ALLOWED], []),
    "dead.example": ([ALLOWED], []),
    "hang.example": ([], []),
    "empty.example": ([], []),
    "git.example": ([ALLOWED], []),
    "big.example": ([ALLOWED], []),
    "packages.example": ([PACKAGES], []),
}


def enter():
    """Runs the calling test file inside a network namespace that has all that is above."""
    alone()
    _build()


def alone():
    """Runs the calling test file inside a new network namespace; skips where that fails."""
    if os.environ.get("AIRLOCK_NETLAB") == str(os.getppid()):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    flags = ["--net"] if os.getuid() == 0 else ["--net", "--map-root-user"]
    tried = subprocess.run(["unshare", *flags, "ip", "link", "set", "lo", "up"],
                           capture_output=True)
    if tried.returncode:
        print("skip - %s: no network namespace here" % os.path.basename(sys.argv[0]))
        print("0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    env = dict(os.environ, AIRLOCK_NETLAB=str(os.getpid()))
    code = subprocess.call(["unshare", *flags, sys.executable, "-u"] + sys.argv, env=env)
    sys.exit(code if code >= 0 else 128 - code)


def _build():
    # Every local address is on lo; a route makes unknown ones fail at once, not hang.
    for a in ADDRESSES:
        subprocess.run(["ip", "addr", "add", a + "/32", "dev", "lo"], check=True)
    for a in ADDRESSES6:
        subprocess.run(["ip", "-6", "addr", "add", a + "/128", "dev", "lo", "nodad"],
                       check=False, capture_output=True)
    resource_up()


def resource_up():
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


# --- certificates ---------------------------------------------------------------------

_dir = tempfile.TemporaryDirectory()
TMP = _dir.name


def certificate():
    """(cert, key) for every *.example here; itself its CA. Made once."""
    cert, key = TMP + "/cert.pem", TMP + "/key.pem"
    if not os.path.exists(cert):
        names = ",".join("DNS:" + n for n in ZONE)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=netlab", "-addext", "subjectAltName=" + names, "-keyout", key,
                        "-out", cert], check=True, capture_output=True)
    return cert, key


# --- fake servers -----------------------------------------------------------------------

class Seen:
    """What arrived at one address and port."""

    def __init__(self):
        self.bytes = b""
        self.connections = 0
        self.requests = []  # (head, body) of HTTP
        self.names = []     # SNI


class Server:
    """Accepts on (address, port); each connection is handled in a thread."""

    def __init__(self, address, port, handler, tls=False):
        self.seen = Seen()
        self.handler, self.tls = handler, tls
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(1024)
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate())
            self.context.sni_callback = lambda _s, name, _c: self.seen.names.append(name)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.seen.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            self.handler(self, connection)
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            try:
                connection.close()
            except OSError:
                pass

    def clear(self):
        self.seen = Seen()

    def close(self):
        self.socket.close()


class Reader:
    """Buffered reads that the server remembers."""

    def __init__(self, server, connection):
        self.server, self.connection, self.buffer = server, connection, b""

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise OSError("end")
        self.server.seen.bytes += data
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        at = self.buffer.index(mark) + len(mark)
        out, self.buffer = self.buffer[:at], self.buffer[at:]
        return out

    def exactly(self, n):
        while len(self.buffer) < n:
            self.more()
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out


def read_request(reader):
    """(head, body): one HTTP/1.1 request, strictly as RFC 9112 frames it."""
    head = reader.until(b"\r\n\r\n")
    lower = head.lower()
    body = b""
    if b"\r\nexpect: 100-continue" in lower:
        reader.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", lower)
    if b"\r\ntransfer-encoding: chunked\r\n" in lower:
        while True:
            size = int(reader.until(b"\r\n").split(b";")[0], 16)
            body += reader.exactly(size)
            reader.until(b"\r\n")
            if not size:
                break
    elif length:
        body = reader.exactly(int(length[1]))
    return head, body


def http(server, connection):
    """Answers every request with what it was: method, target and body length."""
    reader = Reader(server, connection)
    while True:
        head, body = read_request(reader)
        server.seen.requests.append((head, body))
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        path = target.split("?")[0]
        text = b"%s %s %d\n" % (method.encode(), target.encode(), len(body))
        if path == "/chunked":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"one,", b"two,", b"three"):
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\nTrailer: dropped\r\n\r\n")
        elif path == "/close":
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 100000)
            return
        elif path.startswith("/big/"):
            size = int(path[5:])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            block = bytes(range(256)) * 256
            while size:
                n = min(size, len(block))
                connection.sendall(block[:n])
                size -= n
        elif path == "/hang":
            time.sleep(600)
        elif path == "/cut":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            return
        elif path == "/vanish":
            return
        elif path == "/split":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                               b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        elif path == "/101":
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                               b"Upgrade: other\r\n\r\n")
        elif path == "/redirect":
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\n"
                               b"Content-Length: 0\r\n\r\n")
        elif path == "/204":
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif path == "/ws":
            key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
            import base64
            import hashlib
            accept = base64.b64encode(hashlib.sha1(
                key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                               b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept +
                               b"\r\n\r\n")
            while True:
                first, second = reader.exactly(2)
                mask = reader.exactly(4)
                data = bytes(b ^ mask[i % 4]
                             for i, b in enumerate(reader.exactly(second & 127)))
                connection.sendall(bytes([first, len(data)]) + data)
        else:
            answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text)
            connection.sendall(answer + (b"" if method == "HEAD" else text))
        if b"\r\nconnection: close" in head.lower():
            return


def echo(server, connection):
    while True:
        data = connection.recv(65536)
        if not data:
            return
        server.seen.bytes += data
        connection.sendall(data)


def banner(server, connection):
    connection.sendall(b"SSH-2.0-netlab\r\n")
    echo(server, connection)


def sink(server, connection):
    while True:
        data = connection.recv(65536)
        if not data:
            return
        server.seen.bytes += data


def upstream(server, connection, login=b"me:pass"):
    """A proxy that wants credentials and carries every CONNECT to ALLOWED."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    server.seen.requests.append((data, b""))
    if b"Proxy-Authorization: Basic " + base64.b64encode(login) not in data:
        connection.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
        return
    port = int(data.split(b" ")[1].rsplit(b":", 1)[1])
    beyond = socket.create_connection((ALLOWED, port))
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def back():
        try:
            while True:
                got = beyond.recv(65536)
                if not got:
                    break
                connection.sendall(got)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    threading.Thread(target=back, daemon=True).start()
    while True:
        got = connection.recv(65536)
        if not got:
            break
        server.seen.bytes += got
        beyond.sendall(got)
    beyond.shutdown(socket.SHUT_WR)


class Nameserver:
    """UDP and TCP on port 53; .asked has each name in lower case."""

    def __init__(self):
        self.asked, self.silent, self.truncate, self.tcp = [], False, False, 0
        self.zone = dict(ZONE)
        self.serving = set()
        self.serve(NAMESERVER)
        self.stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.stream.bind((NAMESERVER, 53))
        self.stream.listen(64)
        threading.Thread(target=self._tcp, daemon=True).start()

    def serve(self, address):
        """The same over UDP from one more address; once for each."""
        if address in self.serving:
            return
        self.serving.add(address)
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 53))
        threading.Thread(target=self._udp, args=(s,), daemon=True).start()

    def docker(self):
        """A resolv.conf whose server a marked proxy may ask in this one network."""
        self.serve("127.0.0.11")
        return text_file("resolv-docker", "nameserver 127.0.0.11\n")

    def answer(self, query, tcp):
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1:at + 1 + query[at]])
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack("!H", query[at + 1:at + 3])[0]
        text = b".".join(name).decode("latin1").lower()
        self.asked.append(text)
        if self.silent or text == "hang.example":
            return None
        found = self.zone.get(text)
        head = query[:2]
        if self.truncate and not tcp:
            return head + b"\x83\x80\0\1\0\0\0\0\0\0" + question
        if found is None:
            return head + b"\x81\x83\0\1\0\0\0\0\0\0" + question
        records = []
        if kind == 1:
            records = [socket.inet_aton(a) for a in found[0]]
        elif kind == 28:
            records = [socket.inet_pton(socket.AF_INET6, a) for a in found[1]]
        out = head + b"\x81\x80\0\1" + struct.pack("!H", len(records)) + b"\0\0\0\0" + question
        for data in records:
            out += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 30, len(data)) + data
        return out

    def _udp(self, udp):
        while True:
            query, peer = udp.recvfrom(4096)
            reply = self.answer(query, False)
            if reply:
                udp.sendto(reply, peer)

    def _tcp(self):
        while True:
            connection, _ = self.stream.accept()
            with connection:
                try:
                    length = struct.unpack("!H", connection.recv(2))[0]
                    reply = self.answer(connection.recv(length), True)
                    self.tcp += 1
                    if reply:
                        connection.sendall(struct.pack("!H", len(reply)) + reply)
                except (OSError, struct.error):
                    pass


# --- the proxy ------------------------------------------------------------------------

def text_file(name, text):
    path = TMP + "/" + name
    with open(path, "w") as f:
        f.write(text)
    return path


class Proxy:
    """airlock-proxy by itself: options are the policy."""

    def __init__(self, *options, dns=False, environment=None, program=PROXY):
        self.journal_path = TMP + "/journal"
        if os.path.exists(self.journal_path):
            os.unlink(self.journal_path)
        argv = [program, "--listen", "127.0.0.1:0", "--journal", self.journal_path,
                "--resolv", text_file("resolv", "nameserver %s\n" % NAMESERVER),
                "--hosts", text_file("hosts", "127.0.0.1 localhost\n")]
        if dns:
            argv += ["--dns", "127.0.0.1:0"]
        self.process = start(argv + list(options), env=environment)
        self.dns_port = None
        self.log = []
        while True:
            line = self.process.stderr.readline().decode()
            assert line, "the proxy ended: %s" % self.log
            self.log.append(line)
            if "listening on" in line:
                self.port = int(line.rsplit(":", 1)[1])
                if not dns:
                    break
            if "answering names" in line:
                self.dns_port = int(line.rsplit(":", 1)[1])
                if sum("answering" in s for s in self.log) == 2:
                    break
        self.url = "http://127.0.0.1:%d" % self.port

    @property
    def pid(self):
        return self.process.pid

    def connect(self, timeout=5):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def journal(self):
        with open(self.journal_path) as f:
            return [json.loads(line) for line in f]

    def event(self, **want):
        """The last event that has these values; waits for it."""
        def found():
            for e in reversed(self.journal()):
                if all(e.get(k) == v for k, v in want.items()):
                    return e
            return None
        return until(found, "an event with %s; there are %s" % (want, self.journal()[-5:]))

    def stop(self):
        self.process.terminate()
        self.out, err = self.process.communicate(timeout=5)
        self.log.append(err.decode())
        return self.process.returncode

    def memory(self):
        """Private kB."""
        with open("/proc/%d/smaps_rollup" % self.pid) as f:
            kb = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
        return int(kb["Private_Dirty"]) + int(kb["Private_Clean"])


def ask(proxy, request, until_close=True, timeout=5):
    """Sends bytes to the proxy and returns what comes back until it closes."""
    with proxy.connect(timeout) as s:
        s.sendall(request)
        return drain(s)


def drain(s):
    out = b""
    try:
        while True:
            data = s.recv(65536)
            if not data:
                return out
            out += data
    except ConnectionResetError:
        return out + b"<RESET>"
    except (TimeoutError, socket.timeout):
        return out + b"<TIMEOUT>"


def is_reset(address, port, source=None):
    """A connection there is reset, before or after connect() returns."""
    try:
        with socket.create_connection((address, port), timeout=5, source_address=source) as s:
            return drain(s) == b"<RESET>"
    except (ConnectionResetError, ConnectionRefusedError):
        return True


def read_response(s, method="GET"):
    """(code, head, body) of one response."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(65536)
        assert piece, "ended in the head: %r" % data
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    head += b"\r\n\r\n"
    code = int(head.split(b" ")[1])
    lower = head.lower()
    length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", lower)
    if method == "HEAD" or code in (204, 304) or code < 200:
        assert not rest or code < 200, rest
        return code, head, rest
    if b"\r\ntransfer-encoding: chunked\r\n" in lower:
        body = b""
        while True:
            while b"\r\n" not in rest:
                rest += s.recv(65536)
            size, rest = rest.split(b"\r\n", 1)
            size = int(size, 16)
            while len(rest) < size + 2:
                rest += s.recv(65536)
            body, rest = body + rest[:size], rest[size + 2:]
            if not size:
                return code, head, body
    if length:
        while len(rest) < int(length[1]):
            piece = s.recv(65536)
            assert piece, "cut short"
            rest += piece
        return code, head, rest
    return code, head, rest + drain(s)


def tunnel(proxy, target, early=b""):
    """A socket after CONNECT; or the whole refusal as bytes."""
    s = proxy.connect()
    s.sendall(b"CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target.encode(), target.encode()) +
              early)
    head = b""
    while b"\r\n\r\n" not in head:
        data = s.recv(1)
        if not data:
            return head
        head += data
    if head.startswith(b"HTTP/1.1 200"):
        return s
    return head + drain(s)


def socks(proxy, host, port, literal=None):
    """(socket, reply code)."""
    s = proxy.connect()
    s.sendall(b"\5\1\0")
    assert s.recv(2) == b"\5\0"
    if literal:
        raw = socket.inet_pton(socket.AF_INET6 if ":" in literal else socket.AF_INET, literal)
        s.sendall(b"\5\1\0" + (b"\1" if len(raw) == 4 else b"\4") + raw +
                  struct.pack("!H", port))
    else:
        host = host if isinstance(host, bytes) else host.encode()
        s.sendall(b"\5\1\0\3" + bytes([len(host)]) + host + struct.pack("!H", port))
    reply = b""
    while len(reply) < 10:
        data = s.recv(10 - len(reply))
        if not data:
            break
        reply += data
    return s, reply[1] if len(reply) == 10 else None


def client_context():
    context = ssl.create_default_context(cafile=certificate()[0])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def hello(name, ech=False):
    """A ClientHello for that name, as OpenSSL makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    raw = outgoing.read()
    if ech:
        # One more extension, and the three lengths around it.
        extension = struct.pack("!HH", 0xfe0d, 4) + b"\0\0\0\0"
        body = bytearray(raw[9:])
        at = 34
        at += 1 + body[at]
        at += 2 + struct.unpack("!H", body[at:at + 2])[0]
        at += 1 + body[at]
        old = struct.unpack("!H", body[at:at + 2])[0]
        body[at:at + 2] = struct.pack("!H", old + len(extension))
        body += extension
        raw = raw[:3] + struct.pack("!H", len(body) + 4) + b"\1" + \
            struct.pack("!I", len(body))[1:] + bytes(body)
    return raw


# --- the control channel --------------------------------------------------------------

POLICY, CHANNEL, SECRETS, LISTENER, CONNECT, DONE = range(1, 7)
(LISTEN_PROXY, LISTEN_REDIRECTED, LISTEN_LOCAL, LISTEN_NOTIFIED, LISTEN_DNS_UDP,
 LISTEN_DNS_TCP, LISTEN_DNS_PAIR) = range(7)
MESSAGE = struct.Struct("=IIiIHH16sH6x200s")
assert MESSAGE.size == 244


def memfd(data):
    fd = os.memfd_create("text")
    os.write(fd, data)
    os.lseek(fd, 0, 0)
    return fd


class Child:
    """airlock-proxy as PID 1 has it: a control channel, policies and listeners by message."""

    def __init__(self, *options):
        self.control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.journal_path = TMP + "/child-journal"
        journal = os.open(self.journal_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC)
        self.process = start([PROXY, "--control", str(other.fileno()), "--journal", str(journal),
                              "--resolv", text_file("resolv", "nameserver %s\n" % NAMESERVER),
                              "--hosts", text_file("hosts", "127.0.0.1 localhost\n"),
                              *options], pass_fds=(other.fileno(), journal))
        other.close()
        os.close(journal)
        self.control.settimeout(5)
        self.port = None

    @property
    def pid(self):
        return self.process.pid

    connect = Proxy.connect
    journal = Proxy.journal
    event = Proxy.event

    def send(self, kind, listener=0, fd=None, text=b"", pid=0, to=None, from_port=0,
             answered=True, channel=None):
        channel = channel or self.control
        family, port, raw = 0, 0, b""
        if to:
            family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
            raw, port = socket.inet_pton(family, to[0]), to[1]
        message = MESSAGE.pack(kind, listener, 0, pid, family, port, raw, from_port, text)
        extra = []
        if fd is not None:
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        channel.sendmsg([message], extra)
        if not answered:
            return 0
        answer = channel.recv(1024)
        assert len(answer) == MESSAGE.size, "the channel closed"
        fields = MESSAGE.unpack(answer)
        assert fields[0] == DONE
        return fields[2]

    def policy(self, text, phase=b"work"):
        fd = memfd(text.encode())
        try:
            return self.send(POLICY, fd=fd, text=phase)
        finally:
            os.close(fd)

    def listen(self, kind, address="127.0.0.1", port=0, channel=None):
        """A listener made here and given to the proxy; its port."""
        udp = kind == LISTEN_DNS_UDP
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        if udp:
            if family == socket.AF_INET:
                s.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
            else:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if not udp:
            s.listen(128)
        error = self.send(LISTENER, listener=kind, fd=s.fileno(), channel=channel)
        assert error == 0, os.strerror(error)
        port = s.getsockname()[1]
        s.close()
        if kind == LISTEN_PROXY:
            self.port = port
        return port

    def end(self):
        self.control.close()
        return self.process.wait(timeout=5)


# --- DNS from the client's side ---------------------------------------------------------

def query(name, kind=1, ident=0x1234):
    labels = b"".join(bytes([len(p)]) + p for p in name.encode("latin1").split(b".") if p)
    return struct.pack("!HHHHHH", ident, 0x0100, 1, 0, 0, 0) + labels + b"\0" + \
        struct.pack("!HH", kind, 1)


def parsed(reply):
    """(rcode, [addresses or names as bytes])."""
    rcode, count = reply[3] & 15, struct.unpack("!H", reply[6:8])[0]
    at = 12
    while reply[at]:
        at += 1 + reply[at]
    at += 5
    out = []
    for _ in range(count):
        at += 2 if reply[at] & 0xc0 else 1 + reply[at:].index(b"\0")
        kind, _, _, length = struct.unpack("!HHIH", reply[at:at + 10])
        data = reply[at + 10:at + 10 + length]
        out.append(socket.inet_ntoa(data) if kind == 1 else data)
        at += 10 + length
    return rcode, out


def ask_dns(port, name, kind=1, address="127.0.0.1", timeout=2):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.settimeout(timeout)
        s.connect((address, port))
        s.send(query(name, kind))
        return parsed(s.recv(4096))


def have(program):
    return shutil.which(program) is not None
