"""tests/e2e/exec_client.py - a client of the exec-server: WebSocket or lines, requests, events.

    with Client.websocket(address) as c:
        c.hello()
        c.call("process/start", processId="p", ...)
        c.event("process/exited")

Standard library only. Nothing is read but what somebody waits for.
"""
import base64
import hashlib
import json
import os
import select
import socket
import struct
import time

TIMEOUT_S = 20


class Closed(Exception):
    """The server ended the connection; code is its Close frame's, or None."""

    def __init__(self, code=None):
        super().__init__("closed: %s" % code)
        self.code = code


class RpcError(Exception):
    def __init__(self, error):
        super().__init__("%(code)d: %(message)s" % error)
        self.code, self.message = error["code"], error["message"]


def uri(path):
    return "file://" + "".join(c if 32 < ord(c) < 127 and c not in '%#?"<>`{}' else
                               "".join("%%%02X" % b for b in c.encode()) for c in path)


def b64(data):
    return base64.b64encode(data).decode()


def unb64(text):
    return base64.b64decode(text, validate=True)


def frame(opcode, payload, fin=True, mask=True):
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack(">BH", bit | 126, len(payload))
    else:
        head += struct.pack(">BQ", bit | 127, len(payload))
    return head + b"\0\0\0\0" + payload if mask else head + payload


class Client:
    def __init__(self, reader, writer, lines, process=None):
        self.reader, self.writer, self.lines, self.process = reader, writer, lines, process
        self.bytes = bytearray()
        self.answers, self.events = {}, []
        self.next_id = 1
        self.pings = 0
        self.fragments = bytearray()
        self.session = None
        self.ordered = True  # finish() takes a process's events as they come, else by their seq
        self.log = []  # ("answer", id) and ("event", method, params) in the order they came

    @classmethod
    def websocket(cls, address, headers=(), path="/"):
        s = connect(address)
        key = b64(os.urandom(16))
        lines = ["GET %s HTTP/1.1" % path, "Host: x", "Connection: Upgrade",
                 "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + key]
        s.sendall(("\r\n".join(lines + list(headers)) + "\r\n\r\n").encode())
        c = cls(s, s, False)
        while b"\r\n\r\n" not in c.bytes:
            c.more()
        head, _, rest = bytes(c.bytes).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            try:
                while True:
                    c.more()
            except Closed:
                raise AssertionError(c.bytes.decode()) from None
        want = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert b64(want).encode() in head
        c.bytes = bytearray(rest)
        return c

    @classmethod
    def stdio(cls, process):
        return cls(process.stdout, process.stdin, True, process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for end in (self.writer, self.reader):
            try:
                end.close()
            except OSError:
                pass

    # --- bytes
    def more(self, timeout=TIMEOUT_S):
        if not select.select([self.reader], [], [], timeout)[0]:
            raise AssertionError("nothing came within %gs" % timeout)
        if self.lines:
            data = os.read(self.reader.fileno(), 1 << 20)
        else:
            try:
                data = self.reader.recv(1 << 20)
            except ConnectionError:
                data = b""
        if not data:
            raise Closed()
        self.bytes += data

    def raw(self, data):
        if self.lines:
            self.writer.write(data)
            self.writer.flush()
        else:
            self.writer.sendall(data)

    def text(self, text):
        data = text.encode() if isinstance(text, str) else text
        self.raw(data + b"\n" if self.lines else frame(1, data))

    def pop_message(self):
        """One message that is here already, or None."""
        if self.lines:
            line, newline, rest = self.bytes.partition(b"\n")
            if not newline:
                return None
            self.bytes = rest
            return json.loads(line)
        while len(self.bytes) >= 2:
            first, length, at = self.bytes[0], self.bytes[1], 2
            assert not length & 0x80, "a masked frame from the server"
            if length == 126:
                if len(self.bytes) < 4:
                    return None
                length, at = struct.unpack_from(">H", self.bytes, 2)[0], 4
            elif length == 127:
                if len(self.bytes) < 10:
                    return None
                length, at = struct.unpack_from(">Q", self.bytes, 2)[0], 10
            if len(self.bytes) < at + length:
                return None
            payload = bytes(self.bytes[at:at + length])
            del self.bytes[:at + length]
            opcode = first & 15
            if opcode == 8:
                raise Closed(struct.unpack(">H", payload[:2])[0] if payload else 1005)
            if opcode == 9:
                self.pings += 1
            elif opcode == 10:
                self.events.append(("pong", payload))
            else:
                self.fragments += payload
                if first & 0x80:
                    text, self.fragments = bytes(self.fragments), bytearray()
                    return json.loads(text)
        return None

    def receive(self, timeout=TIMEOUT_S):
        """Files one message under answers or events."""
        deadline = time.monotonic() + timeout
        while True:
            m = self.pop_message()
            if m is not None:
                break
            self.more(max(0.001, deadline - time.monotonic()))
        if "method" in m:
            self.events.append((m["method"], m["params"]))
            self.log.append(("event", m["method"], m["params"]))
        else:
            self.answers.setdefault(m["id"], []).append(m)
            self.log.append(("answer", m["id"]))
        return m

    # --- calls
    def send(self, method, /, **params):
        number = self.next_id
        self.next_id += 1
        self.text(json.dumps({"id": number, "method": method, "params": params}))
        return number

    def notify(self, method, /, **params):
        self.text(json.dumps({"method": method, "params": params}))

    def answer(self, number, timeout=TIMEOUT_S):
        deadline = time.monotonic() + timeout
        while not self.answers.get(number):
            self.receive(max(0.001, deadline - time.monotonic()))
        m = self.answers[number].pop(0)
        if "error" in m:
            raise RpcError(m["error"])
        return m["result"]

    def call(self, method, /, **params):
        return self.answer(self.send(method, **params))

    def fails(self, code, method, /, **params):
        """The message of the error with that code."""
        try:
            result = self.call(method, **params)
        except RpcError as e:
            assert e.code == code, "%s: expected %d, got %s" % (method, code, e)
            return e.message
        raise AssertionError("%s: expected %d, got %r" % (method, code, result))

    def hello(self, resume=None):
        r = self.call("initialize", clientName="test", resumeSessionId=resume)
        self.notify("initialized")
        self.session = r["sessionId"]
        return r

    def start(self, name, argv, tty=False, cwd="/tmp", env=None, **more):
        return self.send("process/start", processId=name, argv=argv, cwd=uri(cwd), tty=tty,
                         env=dict(os.environ) if env is None else env, **more)

    def event(self, method, name=None, timeout=TIMEOUT_S):
        """The next event of that method (of that process): its params."""
        deadline = time.monotonic() + timeout
        while True:
            for i, (m, p) in enumerate(self.events):
                if m == method and (name is None or p.get("processId") == name):
                    del self.events[i]
                    return p
            self.receive(max(0.001, deadline - time.monotonic()))

    def finish(self, name, timeout=TIMEOUT_S):
        """Until closed: (exit code, {stream: bytes}). Checks that seq has no gap, and its order."""
        seq, code, out = 0, None, {}
        deadline = time.monotonic() + timeout
        while True:
            for i, (m, p) in enumerate(self.events):
                if m.startswith("process/") and p["processId"] == name and (
                        self.ordered or p["seq"] == seq + 1):
                    break
            else:
                self.receive(max(0.001, deadline - time.monotonic()))
                continue
            del self.events[i]
            assert p["seq"] == seq + 1, "seq %d after %d" % (p["seq"], seq)
            seq = p["seq"]
            if m == "process/output":
                out.setdefault(p["stream"], bytearray()).extend(unb64(p["chunk"]))
            elif m == "process/exited":
                code = p["exitCode"]
            elif m == "process/closed":
                return code, {k: bytes(v) for k, v in out.items()}

    def run(self, name, argv, **more):
        self.answer(self.start(name, argv, **more))
        return self.finish(name)


def connect(address):
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(TIMEOUT_S)
        s.connect(address[5:])
        return s
    host, _, port = address[5:].rpartition(":")
    s = socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
