"""tests/e2e/proof.py - looks for secrets in everything that a container is, from outside.

    findings = proof.look(pid, {"TOKEN": "s3cr3t-0123"})    # [] or [(where, name, how), …]

pid is any process of the container, in our own numbers; we are root of the host. Looked at:
of every process in its pid namespace and those below, memory (all maps), registers,
environment, command line, open files (deleted ones too), pipes, and what waits in sockets;
System V and POSIX shared memory and message queues; the kernel's keys; every file of the
root and of what is mounted in it (their names, links, attributes, and inside of gzip).

The spellings are made here, by Python's own modules and not by airlock's; of raw values any
18 bytes are enough. What can't be looked at is a finding too: ("…", "", "hidden: WHY").

    python3 proof.py PID [--no-files] [--since SECONDS] < secrets.json
"""
import array
import base64
import ctypes
import gzip
import json
import os
import socket
import stat
import struct
import sys
import tempfile
import urllib.parse
import zlib

CHUNK = 1 << 22
ZEROS = bytes(4096)
SKIP_FS = {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "securityfs", "debugfs", "tracefs",
           "bpf", "pstore", "efivarfs", "configfs", "selinuxfs", "binfmt_misc", "fusectl"}
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.tee.restype = ctypes.c_ssize_t
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD = 434, 438
SYS_KEYCTL, SYS_MQ_OPEN = {"x86_64": (250, 240), "aarch64": (219, 180)}[os.uname().machine]


# --- what to look for -------------------------------------------------------------------------

def spellings(value):
    """{bytes: how} of one value."""
    v = value if isinstance(value, bytes) else value.encode()
    out = {}

    def add(needle, how):
        if len(needle) >= 8:
            out.setdefault(bytes(needle), how)
    add(v, "raw")
    for line in v.splitlines():
        if not line.startswith(b"-----"):
            add(line, "line")
    add(v.hex().encode(), "hex")
    add(v.hex().upper().encode(), "hex")
    for safe in ("", "/", "!'()*"):
        quoted = urllib.parse.quote(v, safe=safe)
        add(quoted.encode(), "url")
        add(quoted.replace("%20", "+").encode(), "url")
    try:
        text = v.decode()
        for ascii_ in (True, False):
            add(json.dumps(text, ensure_ascii=ascii_)[1:-1].encode(), "json")
    except UnicodeDecodeError:
        pass
    for pre in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            whole = encode(b"\0" * pre + v).rstrip(b"=")
            add(whole[pre + (pre > 0):-1], "base64")
    borders = [line for line in v.splitlines() if line.startswith(b"-----")]  # no secret
    for at in range(0, len(v) - 11, 6):
        part = v[at:at + 12]
        if len(set(part)) > 4 and not any(part in line for line in borders):
            add(part, "raw, in part")
    return out


class Needles:
    def __init__(self, secrets):
        self.list = [(needle, name, how) for name, value in secrets.items()
                     for needle, how in spellings(value).items()]
        self.longest = max(len(n) for n, _, _ in self.list)
        # Registers hold eight bytes and more.
        self.eights = [(v[i:i + 8], name) for name, value in secrets.items()
                       for v in [value.encode() if isinstance(value, str) else value]
                       for i in range(0, len(v) - 7)
                       if len(set(v[i:i + 8])) > 4 and not v[i:i + 8].startswith(b"--")]

    def find(self, data):
        return {(name, how) for needle, name, how in self.list if needle in data}


class Look:
    def __init__(self, secrets):
        self.secrets = secrets
        self.needles = Needles(secrets)
        self.findings = []
        self.bytes = 0

    def add(self, where, name, how):
        if (where, name, how) not in self.findings:
            self.findings.append((where, name, how))

    def hidden(self, where, why):
        self.add(where, "", "hidden: %s" % why)

    def data(self, where, data):
        self.bytes += len(data)
        # Most memory is zeros, and no needle has one.
        start = None
        for at in range(0, len(data), 4096):
            if data[at:at + 4096] == ZEROS:
                if start is not None:
                    self.run(where, data[start:at])
                start = None
            elif start is None:
                start = at
        if start is not None:
            self.run(where, data[start:])

    def run(self, where, data):
        for name, how in self.needles.find(data):
            self.add(where, name, how)

    def stream(self, where, read):
        """read() gives bytes until b''."""
        kept = b""
        while True:
            data = read()
            if not data:
                return
            self.data(where, kept + data)
            kept = (kept + data)[-self.needles.longest:]


# --- processes --------------------------------------------------------------------------------

def processes(pid):
    """Every process of pid's pid namespace, and of namespaces below it."""
    target = os.stat("/proc/%d/ns/pid" % pid).st_ino
    parents, inside = {}, set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
            if os.stat("/proc/%s/ns/pid" % name).st_ino == target:
                inside.add(int(name))
        except OSError:
            pass
    grew = True
    while grew:
        more = {p for p, parent in parents.items() if parent in inside and p not in inside}
        inside |= more
        grew = bool(more)
    return sorted(inside)


def look_memory(look, pid, who):
    try:
        with open("/proc/%d/maps" % pid) as f:
            maps = f.read().splitlines()
        mem = os.open("/proc/%d/mem" % pid, os.O_RDONLY)
    except OSError as error:
        return look.hidden(who + " memory", error.strerror)
    for line in maps:
        addresses, rest = line.split(" ", 1)
        start, end = (int(x, 16) for x in addresses.split("-"))
        name = rest.split(None, 4)[-1] if len(rest.split(None, 4)) == 5 else "anonymous"
        if "[vvar" in line or "[vsyscall" in line:
            continue
        if name.startswith("/") and rest[1] != "w" and "(deleted)" not in line:
            continue  # a file's bytes, which are looked at as a file
        if "secretmem" in line:
            look.hidden(who + " memory", "a map that nobody can read")
            continue
        kept, at = b"", start
        while at < end:
            try:
                data = os.pread(mem, min(CHUNK, end - at), at)
            except OSError:
                data = b""
            if not data:
                at, kept = at + 4096, b""
                if at < end and (end - at) > 1 << 26:
                    break  # a reserved range without pages
                continue
            look.data("%s memory %s" % (who, name), kept + data)
            kept = data[-look.needles.longest:]
            at += len(data)
    os.close(mem)


def look_registers(look, pid, who):
    seize, interrupt, detach, getregset = 0x4206, 0x4207, 17, 0x4204
    for tid in os.listdir("/proc/%d/task" % pid):
        tid = int(tid)
        if libc.ptrace(seize, tid, None, None) < 0:
            look.hidden(who + " registers", os.strerror(ctypes.get_errno()))
            continue
        libc.ptrace(interrupt, tid, None, None)
        try:
            os.waitpid(tid, 0x40000000)  # __WALL
        except ChildProcessError:
            continue
        for kind in (1, 2, 0x202):  # PRSTATUS, FPREGSET, X86_XSTATE
            buf = ctypes.create_string_buffer(65536)
            vec = struct.pack("PN", ctypes.addressof(buf), 65536)
            raw = ctypes.create_string_buffer(vec, len(vec))
            if libc.ptrace(getregset, tid, ctypes.c_void_p(kind), raw) == 0:
                data = buf.raw[:struct.unpack("PN", raw.raw[:16])[1]]
                for eight, name in look.needles.eights:
                    if eight in data:
                        look.add(who + " registers", name, "raw, in part")
        libc.ptrace(detach, tid, None, None)


def look_pipe(look, path, where):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return look.hidden(where, error.strerror)
    r, w = os.pipe()
    try:
        libc.fcntl(w, 1031, 1 << 20)
        n = libc.tee(fd, w, 1 << 20, 2)  # SPLICE_F_NONBLOCK; nothing is taken away
        if n > 0:
            look.data(where, os.read(r, n))
    finally:
        for x in (fd, r, w):
            os.close(x)


def look_socket(look, pid, fd, where):
    pidfd = libc.syscall(SYS_PIDFD_OPEN, pid, 0)
    got = libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0) if pidfd >= 0 else -1
    if pidfd >= 0:
        os.close(pidfd)
    if got < 0:
        return look.hidden(where, "pidfd_getfd: " + os.strerror(ctypes.get_errno()))
    with socket.socket(fileno=got) as s:
        try:
            look.data(where, s.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            pass


def look_descriptors(look, pid, who):
    base = "/proc/%d/fd/" % pid
    for fd in os.listdir(base):
        try:
            st, target = os.stat(base + fd), os.readlink(base + fd)
        except OSError:
            continue
        where = "%s fd %s (%s)" % (who, fd, target)
        if stat.S_ISFIFO(st.st_mode):
            look_pipe(look, base + fd, where)
        elif stat.S_ISSOCK(st.st_mode):
            look_socket(look, pid, int(fd), where)
        elif stat.S_ISREG(st.st_mode):
            try:
                with open(base + fd, "rb") as f:
                    look.stream(where, lambda: f.read(CHUNK))
            except OSError as error:
                if error.errno != 22:  # a file of no bytes: an anonymous inode
                    look.hidden(where, error.strerror)


def look_process(look, pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            who = "process %d (%s)" % (pid, f.read().strip())
        with open("/proc/%d/status" % pid) as f:
            if "Kthread:\t1" in f.read():
                return
        for name in ("environ", "cmdline", "comm"):
            with open("/proc/%d/%s" % (pid, name), "rb") as f:
                look.data("%s %s" % (who, name), f.read())
        look_descriptors(look, pid, who)
        look_registers(look, pid, who)
        look_memory(look, pid, who)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile


# --- what outlives processes --------------------------------------------------------------------

def in_child(function):
    """function()'s return value, from a child whose user and keyrings are its own, by JSON."""
    r, w = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(w, json.dumps(function()).encode())
        finally:
            os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        data = f.read()
    os.waitpid(child, 0)
    return json.loads(data or b"[]")


def in_namespace(pid, function):
    """function() in a child that has pid's IPC namespace."""
    def inside():
        ns = os.open("/proc/%d/ns/ipc" % pid, os.O_RDONLY)
        if libc.setns(ns, 0x08000000):
            return [["IPC namespace", "", "hidden: setns"]]
        return function()
    return in_child(inside)


def look_ipc(look, pid):
    def inside():
        here = Look(look.secrets)
        with open("/proc/sysvipc/shm") as f:
            rows = [line.split() for line in f.read().splitlines()[1:]]
        for row in rows:
            size = int(row[3])
            at = libc.shmat(int(row[1]), None, 0o10000)
            if at in (None, ctypes.c_void_p(-1).value):
                here.hidden("shared memory %s" % row[1], "shmat")
                continue
            here.data("shared memory %s" % row[1], ctypes.string_at(at, size))
            libc.shmdt(at)
        with open("/proc/sysvipc/msg") as f:
            rows = [line.split() for line in f.read().splitlines()[1:]]
        for row in rows:
            for n in range(int(row[4])):
                buf = ctypes.create_string_buffer(65536 + 8)
                got = libc.msgrcv(int(row[1]), buf, 65536, ctypes.c_long(n), 0o40000 | 0o4000
                                  | 0o10000)
                if got < 0:
                    here.hidden("message queue %s" % row[1], os.strerror(ctypes.get_errno()))
                    break
                here.data("message queue %s" % row[1], buf.raw[8:8 + got])
        for where, name, how in queues():
            here.add(where, name, how)
        return here.findings

    def queues():
        """POSIX: all messages are taken out and put back in their order."""
        here = Look(look.secrets)
        point = tempfile.mkdtemp()
        libc.unshare(0x20000)
        libc.mount(b"none", b"/", None, 0x44000, None)
        if libc.mount(b"mqueue", point.encode(), b"mqueue", 0, None):
            here.hidden("message queues", "mount")
        for name in os.listdir(point):
            where = "message queue /" + name
            fd = libc.syscall(SYS_MQ_OPEN, name.encode(), os.O_RDWR | os.O_NONBLOCK, 0, None)
            if fd < 0:
                here.hidden(where, os.strerror(ctypes.get_errno()))
                continue
            here.data(where, name.encode())
            buf, taken = ctypes.create_string_buffer(1 << 20), []
            while True:
                priority = ctypes.c_uint()
                n = libc.syscall(SYS_MQ_OPEN + 3, fd, buf, 1 << 20, ctypes.byref(priority), None)
                if n < 0:
                    break
                taken.append((buf.raw[:n], priority))
            for data, priority in taken:
                here.data(where, data)
                libc.syscall(SYS_MQ_OPEN + 2, fd, data, len(data), priority, None)
            os.close(fd)
        libc.umount2(point.encode(), 2)
        os.rmdir(point)
        return here.findings
    for where, name, how in in_namespace(pid, inside):
        look.add(where, name, how)


def keyctl(*arguments):
    return libc.syscall(SYS_KEYCTL, *arguments)


def users(pid):
    """The uids, as we see them, of the container's processes, and its root's."""
    found = set()
    for process in processes(pid):
        try:
            with open("/proc/%d/status" % process) as f:
                found |= {int(w) for line in f if line.startswith("Uid:") for w in line.split()[1:]}
        except FileNotFoundError:
            pass
    return found | {0}


def look_keys(look, pid):
    """
    What a user may read he must possess: in a child that is that user, in the container's
    user namespace, with his keyring below its session's.
    """
    def as_user(uid):
        here = Look(look.secrets)
        libc.setns(os.open("/proc/%d/ns/user" % pid, os.O_RDONLY), 0)  # refused where it is ours
        os.setgroups([])
        os.setresuid(uid, uid, uid)
        keyctl(1, None)              # JOIN_SESSION_KEYRING
        for ring in (-4, -5):        # the user's, his sessions'
            keyctl(8, ring, -3)      # LINK
        try:
            with open("/proc/keys") as f:
                rows = [line.split() for line in f]
        except OSError:
            rows = []
        for row in rows:
            if len(row) < 9 or row[7] not in ("user", "big_key"):
                continue
            serial = ctypes.c_int(int(row[0], 16))
            buf = ctypes.create_string_buffer(1 << 16)
            here.data("key %s" % row[0], " ".join(row[8:]).encode())
            n = keyctl(11, serial, buf, 1 << 16)
            if n > 0:
                here.data("key %s" % row[0], buf.raw[:n])
        return here.findings
    for uid in users(pid):
        for where, name, how in in_child(lambda: as_user(uid)):
            look.add(where, name, how)


# --- files --------------------------------------------------------------------------------------

def mounts(pid):
    """[(mount point, type)] as pid sees them."""
    with open("/proc/%d/mountinfo" % pid) as f:
        for line in f:
            left, _, right = line.partition(" - ")
            point = left.split()[4].encode().decode("unicode_escape")
            yield point, right.split()[0]


def look_file(look, path, where):
    with open(path, "rb", opener=lambda p, f: os.open(p, f | os.O_NOFOLLOW | os.O_NONBLOCK)) as f:
        head = f.read(2)
        f.seek(0)
        look.stream(where, lambda: f.read(CHUNK))
        if head == b"\x1f\x8b":
            f.seek(0)
            try:
                with gzip.GzipFile(fileobj=f) as z:
                    look.stream(where + " (gzip)", lambda: z.read(CHUNK))
            except (OSError, EOFError, zlib.error):
                pass
        elif head[:1] == b"x":
            f.seek(0)
            try:
                look.data(where + " (zlib)", zlib.decompress(f.read()))
            except zlib.error:
                pass


def look_files(look, pid, since=0, skip=(), top="/"):
    root = "/proc/%d/root" % pid
    views = {point for point, kind in mounts(pid) if kind in SKIP_FS}
    views |= set(skip)
    stack = [top]
    while stack:
        directory = stack.pop()
        if directory.rstrip("/") in views or directory in views:
            continue
        try:
            entries = list(os.scandir(root + directory))
        except OSError as error:
            look.hidden("directory " + directory, error.strerror)
            continue
        for entry in entries:
            path = directory.rstrip("/") + "/" + entry.name
            where = "file " + path
            try:
                st = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(st.st_mode):
                    stack.append(path)
                if st.st_ctime < since:
                    continue
                look.data(where + " (name)", os.fsencode(entry.name))
                if stat.S_ISLNK(st.st_mode):
                    look.data(where + " (link)", os.fsencode(os.readlink(root + path)))
                elif path not in views and stat.S_ISREG(st.st_mode):
                    look_file(look, root + path, where)
                    for key in os.listxattr(root + path, follow_symlinks=False):
                        look.data(where + " (attribute)", os.getxattr(root + path, key))
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != 95:
                    look.hidden(where, error.strerror)


def look(pid, secrets, files=True, since=0, skip=()):
    """Everything of pid's container. skip: paths of the container that need no look."""
    look_ = Look(secrets)
    # Files last: the processes may end.
    for process in processes(pid):
        look_process(look_, process)
    look_ipc(look_, pid)
    look_keys(look_, pid)
    if files:
        look_files(look_, pid, since, skip)
    return look_.findings


def main():
    arguments = sys.argv[1:]
    files = "--no-files" not in arguments
    since = float(arguments[arguments.index("--since") + 1]) if "--since" in arguments else 0
    secrets = json.load(sys.stdin)
    findings = look(int(arguments[0]), secrets, files, since)
    for where, name, how in findings:
        print("%s: %s %s" % (where, name, how))
    print("%d findings" % len(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
