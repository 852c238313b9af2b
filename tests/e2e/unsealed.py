"""tests/e2e/unsealed.py - airlock-unseal with a stand-in for PID 1.

    u = Unsealed({"TOKEN": "s3cr3t-0123456789"}, "echo $TOKEN")
    u.wait()
    assert u.code == 0 and u.output == "***\\n"

Everything lies below u.dir; the scan looks at u.root alone, where the session starts.
"""
import array
import atexit
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from lib import AIRLOCK, ROOT, start

UNSEAL = os.path.abspath(os.environ.get("AIRLOCK_UNSEAL", ROOT + "/build/release/airlock-unseal"))
MESSAGE = struct.Struct("=IIiI HH16s H3H 200s")  # base/msg.h
SECRETS, DONE, ENDED, SCAN, OPENED, LEND, RUN, PLACEHOLDERS = 3, 6, 7, 8, 9, 10, 11, 14
LEND_FIRST = 64

_directories = []


@atexit.register
def _remove():
    for path in _directories:
        shutil.rmtree(path, ignore_errors=True)


def keys():
    """(identity file's text, recipient)"""
    text = subprocess.run([AIRLOCK, "secret", "keygen"], check=True, capture_output=True).stdout
    recipient = [w for w in text.decode().split() if w.startswith("age1")][0]
    return text, recipient


def seal(plain, recipient, *options):
    return subprocess.run([AIRLOCK, "secret", "encrypt", "-r", recipient, *options], input=plain, check=True,
                          capture_output=True).stdout


def receive(sock):
    """(type, error, text, descriptors); None at the end."""
    data, control, _, _ = sock.recvmsg(MESSAGE.size, socket.CMSG_SPACE(16))
    if len(data) != MESSAGE.size:
        return None
    fields = MESSAGE.unpack(data)
    fds = array.array("i")
    for level, kind, value in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(value[:len(value) - len(value) % fds.itemsize])
    return fields[0], fields[2], fields[-1].split(b"\0")[0].decode(), list(fds)


def message(kind, error=0, number=0):
    return MESSAGE.pack(kind, number, error, 0, 0, 0, b"", 0, 0, 0, 0, b"")


def send_fd(sock, data, fd):
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def order(sock, cwd, words, env, again=0):
    """RUN, with its memfd."""
    fd = os.memfd_create("session")
    strings = [cwd, *words, "", *("%s=%s" % pair for pair in env.items())]
    with os.fdopen(fd, "wb") as f:
        f.write(b"".join(os.fsencode(s) + b"\0" for s in strings))
        f.flush()
        send_fd(sock, message(RUN, number=again), fd)


class Unsealed:
    def __init__(self, secrets, script="true", options=(), key=None, sealed=None, env=None,
                 wrap=(), proxy=False, root=None, journal=None, popen=None, hold=False):
        """secrets: a dict (as JSON) or bytes. key: other bytes for stdin; False: none at all.
        hold: nothing is ordered yet; see run()."""
        self.dir = tempfile.mkdtemp(prefix="airlock-unseal-")
        _directories.append(self.dir)
        self.root = root or self.dir + "/root"
        os.makedirs(self.root, exist_ok=True)
        identity, recipient = keys()
        plain = secrets if isinstance(secrets, bytes) else json.dumps(secrets).encode()
        self.sealed = self.dir + "/secrets.age"
        with open(self.sealed, "wb") as f:
            f.write(seal(plain, recipient) if sealed is None else sealed)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.read, write = os.pipe()
        self.env_read, env_write = os.pipe()
        journal = os.open(journal or self.dir + "/events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        fds = [control.fileno(), write, env_write, journal]
        argv = [UNSEAL, "--sealed", self.sealed, "--control", str(fds[0]), "--output",
                str(write), "--env", str(env_write), "--journal", str(journal),
                "--scan-root", self.root]
        self.proxy = None
        if proxy:
            self.proxy, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            fds.append(other.fileno())
            argv += ["--proxy", str(other.fileno())]
        self.command = ["bash", "-c", script] if isinstance(script, str) else script
        self.env = dict(os.environ, **(env or {}))
        self.session_env = {k: v for k, v in self.env.items() if "env:" + k not in options}
        self.process = start([*wrap, *argv, *options], pass_fds=fds,
                             cwd=self.root, env=self.env, stdout=subprocess.DEVNULL,
                             **(popen or {}))
        for fd in fds[:1]:
            control.close()
        os.close(write)
        os.close(env_write)
        os.close(journal)
        if proxy:
            other.close()
        self.given = {}
        if key is None:
            key = identity
        if key is not False:
            try:
                self.process.stdin.write(key)
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.output, self.chunks, self.err = "", [], b""
        self.ended = self.line = self.hash = None
        self._raw = b""
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()
        if (key is not False or "--key-from" in options) and not proxy and not hold:
            self.run()

    def opened(self, seconds=15):
        """Waits for OPENED; False: it ended without."""
        if self.proxy:
            ready, _, _ = select.select([self.proxy], [], [], seconds)
            if ready:
                try:
                    self.serve_proxy()
                except (TypeError, BrokenPipeError):
                    pass
        ready, _, _ = select.select([self.control], [], [], seconds)
        assert ready, "neither open nor ended"
        got = receive(self.control)
        if got:
            assert got[0] == OPENED, got
            self.hash = got[2]
        return bool(got)

    def run(self, again=0):
        """Once it has opened the file: the session."""
        if self.hash is None and not self.opened():
            return
        try:
            order(self.control, self.root, self.command, self.session_env, again)
        except BrokenPipeError:
            pass

    def _collect(self):
        while True:
            data = os.read(self.read, 65536)
            if not data:
                break
            self._raw += data
            self.chunks.append((time.monotonic(), data))
        os.close(self.read)

    def serve_proxy(self):
        kind, _, _, fds = receive(self.proxy)
        assert kind == SECRETS and len(fds) == 1, (kind, fds)
        with os.fdopen(fds[0], "r+b") as f:
            whole = f.read()
            for item in whole.split(b"\0")[:-1]:
                name, _, value = item.partition(b"=")
                self.given[name.decode()] = value
            shown = b"".join(name.encode() + b"=injected-by-airlock\0" for name in self.given)
            f.seek(0)
            f.write(shown.ljust(len(whole), b"\0"))
        self.proxy.send(message(DONE))

    def until_ended(self, seconds=15):
        """The session's end; None when airlock-unseal ended without one."""
        if self.hash is None:
            self.run()
        ready, _, _ = select.select([self.control], [], [], seconds)
        assert ready, "no end of the session"
        got = receive(self.control)
        if got:
            assert got[0] == ENDED, got
            self.ended, self.line = got[1], got[2]
        return got

    def scan(self, seconds=15):
        try:
            self.control.send(message(SCAN))
        except OSError:
            pass
        return self.finish(seconds)

    def finish(self, seconds=15):
        self.err = self.process.stderr.read().decode("utf-8", "replace")
        code = self.process.wait(seconds)
        self.code = 128 - code if code < 0 else code
        self._thread.join(seconds)
        self.output = self._raw.decode("utf-8", "replace")
        with os.fdopen(self.env_read, "rb") as f:
            self.placeholders = f.read().decode()
        self.control.close()
        if self.proxy:
            self.proxy.close()
        return self

    def wait(self):
        return self.scan() if self.until_ended() else self.finish()

    @property
    def events(self):
        with open(self.dir + "/events") as f:
            return [json.loads(line) for line in f]

    def event(self, name):
        return [e for e in self.events if e["event"] == name]

    def refused(self, code, *words):
        """No session, one line that says why, and nothing else."""
        self.wait()
        assert self.code == code, (self.code, self.err)
        assert self.ended is None and self.output == "", (self.ended, self.output)
        lines = [l for l in self.err.splitlines() if "warning" not in l]
        assert len(lines) == 1 and lines[0].startswith("airlock: unseal: fatal: "), self.err
        for word in words:
            assert word in self.err, (word, self.err)
        return self
