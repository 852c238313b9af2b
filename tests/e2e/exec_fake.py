"""tests/e2e/exec_fake.py - servers that are not what they seem, for clients to survive.

    with Cutter(address) as cutter: …cutter.address…; cutter.cut()
    with Fake(play) as fake: …fake.address…

A Cutter carries bytes to a real server and breaks connections when told. A Fake speaks
WebSocket and lets play(peer) say what it likes.
"""
import hashlib
import json
import socket
import struct
import threading

from exec_client import b64, frame


class Listener:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = "ws://127.0.0.1:%d" % self.socket.getsockname()[1]
        self.count = 0
        self.lock = threading.Lock()
        self.open = []

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.cut()

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.count += 1
            with self.lock:
                self.open.append(s)
            threading.Thread(target=self.serve_safely, args=(s,), daemon=True).start()

    def serve_safely(self, s):
        try:
            self.serve(s)
        except OSError:
            pass
        finally:
            s.close()

    def serve(self, s):
        raise NotImplementedError

    def cut(self):
        """Every connection breaks, without a word."""
        with self.lock:
            for s in self.open:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.open.clear()


class Cutter(Listener):
    """cut_every: each connection breaks by itself when so many bytes came from the server."""

    def __init__(self, address, cut_every=None):
        super().__init__()
        self.host, port = address[5:].split(":")
        self.port = int(port)
        self.cut_every = cut_every

    def serve(self, s):
        far = socket.create_connection((self.host, self.port))
        with self.lock:
            self.open.append(far)
        threading.Thread(target=self.carry, args=(s, far), daemon=True).start()
        self.carry(far, s, self.cut_every)

    @staticmethod
    def carry(near, far, limit=None):
        passed = 0
        try:
            while True:
                data = near.recv(65536)
                passed += len(data)
                if not data or (limit and passed > limit):
                    break
                far.sendall(data)
        except OSError:
            pass
        for s in (near, far):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Peer:
    """One client of a Fake."""

    def __init__(self, s):
        self.socket = s
        self.file = s.makefile("rb")

    def upgrade(self):
        key, self.head = "", []
        while True:
            line = self.file.readline().decode().strip()
            if not line:
                break
            self.head.append(line)
            if line.lower().startswith("sec-websocket-key:"):
                key = line.split(":", 1)[1].strip()
        accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
                 b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + b64(accept).encode() +
                 b"\r\n\r\n")

    def raw(self, data):
        self.socket.sendall(data)

    def tell(self, message):
        self.raw(frame(1, json.dumps(message).encode(), mask=False))

    def read(self):
        """The next text message; None at the end."""
        text = b""
        while True:
            head = self.file.read(2)
            if len(head) < 2:
                return None
            length = head[1] & 127
            assert head[1] & 128, "a client's frame without a mask"
            if length > 125:
                size = 2 if length == 126 else 8
                length = int.from_bytes(self.file.read(size), "big")
            mask = self.file.read(4)
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(self.file.read(length)))
            if head[0] & 15 >= 8:
                continue
            text += payload
            if head[0] & 128:
                return json.loads(text)

    def request(self, method):
        """Reads on until that request."""
        while True:
            m = self.read()
            if m is None:
                raise OSError("gone")
            if m.get("method") == method:
                return m

    def answer(self, m, **result):
        self.tell({"id": m["id"], "result": result})

    def hello(self, session="s", **capabilities):
        self.upgrade()
        m = self.request("initialize")
        self.answer(m, sessionId=session,
                    environmentInfo={"shell": {"name": "sh", "path": "/bin/sh"},
                                     "cwd": "file:///tmp", "capabilities": capabilities})
        self.request("initialized")
        return m

    def event(self, kind, seq, process="1", **more):
        self.tell({"method": "process/" + kind,
                   "params": dict({"processId": process, "seq": seq}, **more)})

    def output(self, seq, data, stream="stdout", process="1"):
        self.event("output", seq, process, stream=stream, chunk=b64(data))


class Fake(Listener):
    def __init__(self, play):
        super().__init__()
        self.play = play
        self.failed = None

    def serve(self, s):
        try:
            self.play(Peer(s))
        except OSError:
            pass
        except Exception as e:
            self.failed = e
            raise
