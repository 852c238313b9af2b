"""tests/e2e/world.py - a little internet in a network namespace, and a tap on every cable to it.

    with World() as world:
        cell = world.wire(pid)          a cable and an address to the namespace of that process
        world.frames(cell)              what came in by that cable: a list of Frame

A cell is judged by the frames that arrive, whoever says what about them inside. ARP,
neighbour discovery and bare ACKs are not kept. Who lives there:

    10.77.0.80  fd77::80    allowed.test: HTTP on 80 (a repository, /hello), TCP on other ports
    10.77.0.66  fd77::66    evil: TCP on any of TCP_PORTS begins with "EVIL"; UDP, DNS
    10.77.0.53              the resolver: knows NAMES
    169.254.169.254         a metadata service
    93.184.216.34, 2a00:1450::80   public.test

Runs as `world.py serve` below `unshare --net`, and is asked by lines of JSON.
"""
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

ALLOWED4, ALLOWED6 = "10.77.0.80", "fd77::80"
EVIL4, EVIL6 = "10.77.0.66", "fd77::66"
RESOLVER, METADATA = "10.77.0.53", "169.254.169.254"
PUBLIC4, PUBLIC6 = "93.184.216.34", "2a00:1450::80"
TCP_PORTS = [22, 53, 80, 443, 853, 3128, 6666, 6667, 6668, 8080]
UDP_PORTS = [53, 443, 6666, 6667]
NAMES = {
    "allowed.test": (ALLOWED4, ALLOWED6), "evil.test": (EVIL4, EVIL6),
    "meta.allowed.test": (METADATA, None), "inner.allowed.test": (EVIL4, EVIL6),
    "local.allowed.test": ("127.0.0.1", "::1"), "public.test": (PUBLIC4, PUBLIC6),
}
# What a container's shell does before anything else; first_process finds it.
WAIT = 'until grep -q "^eth0.00000000" /proc/net/route; do sleep 0.02; done; '
QUIET6 = {133, 134, 135, 136, 137, 143}


class Frame:
    def __init__(self, when, protocol, to, port, kind, text):
        self.when, self.protocol, self.to, self.port = when, protocol, to, port
        self.kind, self.text = kind, text  # syn, data or other; the first bytes

    def __repr__(self):
        port = ":%d" % self.port if self.port else ""
        return "%.3f %s to %s%s (%s) %s" % (self.when % 1000, self.protocol, self.to, port,
                                           self.kind, repr(self.text[:40]) if self.text else "")


# --- the tests' side ------------------------------------------------------------------------

def first_process(token):
    """The container's first process, which waits for its cable; known by its fourth word."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if len(words) > 3 and words[0] == b"sh" and words[3] == token.encode():
                return int(entry)
    return None

class World:
    def __init__(self, folder):
        self.lock, self.cells = threading.Lock(), 0
        self.process = subprocess.Popen(
            ["unshare", "--net", sys.executable, os.path.abspath(__file__), "serve", folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n", "the world does not start"

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def ask(self, *words):
        with self.lock:
            self.process.stdin.write(json.dumps(words) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        if isinstance(answer, str):
            raise AssertionError(answer)
        return answer

    def wire(self, pid):
        with self.lock:
            self.cells += 1
            cell = self.cells
        self.ask("wire", cell, pid)
        return cell

    def frames(self, cell):
        return [Frame(*f) for f in self.ask("frames", cell)]

    def unwire(self, cell):
        self.ask("unwire", cell)


# --- the world's own ------------------------------------------------------------------------

frames = {}
devices = {}


def sh(script, *words):
    done = subprocess.run(["sh", "-ec", script, "sh", *words], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(done.stdout)


def make():
    """The bridge has an address of its own: else it takes a cable's, and changes with them."""
    batch = ["link set lo up", "link add br0 address 02:00:00:00:00:01 type bridge",
             "link set br0 addrgenmode none"]
    for address in (ALLOWED4, EVIL4, RESOLVER, "10.77.0.1"):
        batch.append("addr add %s/16 dev br0" % address)
    for address in (ALLOWED6, EVIL6, "fd77::1"):
        batch.append("addr add %s/64 dev br0 nodad" % address)
    for address in (METADATA, PUBLIC4):
        batch.append("addr add %s/32 dev lo" % address)
    batch += ["addr add %s/128 dev lo nodad" % PUBLIC6, "link set br0 up"]
    sh('printf "%s\\n" "$1" | ip -batch -', "\n".join(batch))


INSIDE = """
for d in all default; do echo 0 > /proc/sys/net/ipv6/conf/$d/disable_ipv6; done
printf 'link set eth0 addrgenmode none\nlink set lo up
addr add 10.77.1.%d/16 dev eth0\naddr add fd77::1:%d/64 dev eth0 nodad\nlink set eth0 up
route add default via fd77::1\nroute add default via 10.77.0.1\n' $1 $1 | ip -batch -
"""


def wire(cell, pid):
    name = "c%d" % cell
    sh('printf "link add $1 type veth peer name eth0 netns $2\nlink set $1 addrgenmode none\n'
       'link set $1 master br0 up\n" | ip -batch -', name, str(pid))
    frames[cell] = []
    devices[name] = cell
    done = subprocess.run(["nsenter", "--net=/proc/%d/ns/net" % pid, "sh", "-ec", INSIDE, "sh",
                           str(cell % 250 + 1)], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise RuntimeError(done.stdout)


def parse(packet):
    """(protocol, to, port, kind, text), or None for what does not count."""
    kind = struct.unpack("!H", packet[12:14])[0]
    body = packet[14:]
    if kind == 0x0800:
        at, protocol = (body[0] & 15) * 4, body[9]
        to = socket.inet_ntop(socket.AF_INET, body[16:20])
        body = body[:struct.unpack("!H", body[2:4])[0]]
    elif kind == 0x86dd:
        at, protocol = 40, body[6]
        to = socket.inet_ntop(socket.AF_INET6, body[24:40])
        if protocol == 0:  # hop by hop: listener reports
            return None
        body = body[:40 + struct.unpack("!H", body[4:6])[0]]
    elif kind == 0x0806:
        return None
    else:
        return ("ethernet-%04x" % kind, "", 0, "other", "")
    rest = body[at:]
    if protocol == 58 and rest and rest[0] in QUIET6 or protocol == 2:
        return None
    if protocol == 6 and len(rest) >= 20:
        text = rest[(rest[12] >> 4) * 4:]
        syn = rest[13] & 2
        if not syn and not text:
            return None
        return ("tcp", to, struct.unpack("!H", rest[2:4])[0], "syn" if syn else "data",
                text[:600].decode("latin-1"))
    if protocol == 17 and len(rest) >= 8:
        return ("udp", to, struct.unpack("!H", rest[2:4])[0], "data",
                rest[8:300].decode("latin-1"))
    return ("ip-%d" % protocol, to, 0, "other", rest[:60].decode("latin-1"))


def tap():
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
    s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: we may be late, the kernel is not
    while True:
        packet, extra, _, (name, _, way, _, _) = s.recvmsg(65535, 64)
        cell = devices.get(name)
        if cell is None or way == socket.PACKET_OUTGOING:
            continue
        got = parse(packet)
        if got:
            seconds, nanoseconds = struct.unpack("qq", extra[0][2][:16])
            frames[cell].append((seconds + nanoseconds / 1e9,) + got)


def http(connection, head, folder, host):
    path = head.split(" ")[1].split("?")[0]
    if path.startswith("http://"):
        path = "/" + path.split("/", 3)[-1]
    full = os.path.realpath(folder + path)
    body, code = b"EVIL page\n" if host.endswith(":66") or host.endswith(".66") else b"", 200
    if not body and path == "/hello":
        body = b"hello from " + host.encode()
    elif not body:
        try:
            with open(full, "rb") as f:
                body = f.read()
        except OSError:
            code = 404
    connection.sendall(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" %
                       (code, len(body)) + body)


def serve_one(connection, folder):
    with connection:
        connection.settimeout(10)
        host, port = connection.getsockname()[:2]
        host = host.replace("::ffff:", "")
        evil = host in (EVIL4, EVIL6, METADATA)
        try:
            if evil and port not in (80, 443):
                connection.sendall(b"EVIL\n")
            while True:
                got = connection.recv(65536)
                if not got:
                    return
                head = got.decode("latin-1")
                if head.split(" ")[0] in ("GET", "HEAD", "POST"):
                    return http(connection, head, folder, host)
                connection.sendall(b"EVIL\n" if evil else got)
        except OSError:
            return


def accept(port, folder):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_TCP, 23, 100)  # TCP_FASTOPEN
    s.bind(("::", port))
    s.listen(512)
    while True:
        connection, _ = s.accept()
        threading.Thread(target=serve_one, args=(connection, folder), daemon=True).start()


def answer_names(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1"))
        at += 1 + query[at]
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    entry = NAMES.get(".".join(labels).lower())
    question = query[12:at + 5]
    value = entry and {1: entry[0], 28: entry[1]}.get(kind)
    head = struct.pack("!2sHHHHH", query[:2], 0x8180 if entry else 0x8183, 1, bool(value),
                       0, 0)
    if not value:
        return head + question
    data = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, value)
    return head + question + struct.pack("!HHHIH", 0xc00c, kind, 1, 5, len(data)) + data


def datagrams():
    sockets = []
    for host in (RESOLVER, EVIL4, EVIL6):
        for port in UDP_PORTS:
            s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
            s.bind((host, port))
            sockets.append(s)
    while True:
        for s in select.select(sockets, [], [])[0]:
            got, peer = s.recvfrom(4096)
            try:
                host, port = s.getsockname()[:2]
                s.sendto(answer_names(got) if port == 53 else b"EVIL\n", peer)
            except (OSError, IndexError, struct.error):
                pass


def help_out(path):
    """Gives whoever connects there a live connection to evil."""
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    os.chmod(path, 0o777)
    s.listen()

    def give():
        while True:
            peer, _ = s.accept()
            live = socket.create_connection((EVIL4, 6666))
            try:
                socket.send_fds(peer, [b"here"], [live.fileno()])
            except OSError:
                pass  # it only looked whether anybody listens
    threading.Thread(target=give, daemon=True).start()


def serve(folder):
    make()
    os.nice(-15)  # names are waited for, whatever else the machine does
    if not os.fork():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        datagrams()
    for target, arguments in [(tap, ())] + [
            (accept, (port, folder)) for port in TCP_PORTS]:
        threading.Thread(target=target, args=arguments, daemon=True).start()
    time.sleep(0.2)
    print("ready", flush=True)
    for line in sys.stdin:
        words = json.loads(line)
        try:
            if words[0] == "wire":
                wire(words[1], words[2])
                answer = []
            elif words[0] == "help":
                help_out(words[1])
                answer = []
            elif words[0] == "unwire":
                devices.pop("c%d" % words[1], None)
                subprocess.run(["ip", "link", "del", "c%d" % words[1]], stderr=subprocess.DEVNULL)
                answer = []
            else:
                answer = list(frames.get(words[1], []))
        except Exception as error:
            answer = "world: %s: %s" % (words, error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(sys.argv[2])
