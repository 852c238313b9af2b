"""tests/e2e/cachelab.py - airlock-cache as PID 1 calls it, and trees to try it on.

A Box is one container: a root directory, its index and lock descriptors. restore() and
save() run the program and return its exit status; report() reads what PID 1 would read.
"""
import fcntl
import hashlib
import json
import os
import random
import socket
import stat
import struct
import subprocess

import lib

CACHE = os.path.dirname(lib.AIRLOCK) + "/airlock-cache"
MISS, AGAIN = 3, 75
REPORT = struct.Struct("<8sIIQQQQQ72s400s300s108s")
OUTCOMES = ["nothing", "restored", "build", "build-own", "saved", "unsaved", "broken", "stamped"]


class Report:
    def __init__(self, raw):
        magic, outcome, self.maintenance, self.age, self.bytes, self.entries, self.ms, \
            self.left_out, *texts = REPORT.unpack(raw)
        assert magic == b"ALCACHE1", magic
        self.outcome = OUTCOMES[outcome]
        self.key, self.reason, self.locks = (t.split(b"\0")[0].decode() for t in texts[:3])

    def __repr__(self):
        return repr(vars(self))


class Box:
    """One container over the root directory `root`, sharing the cache `cache`."""

    def __init__(self, root, cache, parts=(("setup.script", "npm ci"),), work=None, uid=None,
                 exclude=(), lock=True):
        self.root, self.cache, self.work, self.uid = root, cache, work, uid
        self.exclude = exclude
        self.index = os.memfd_create("index")
        self.parts = os.memfd_create("parts")
        os.write(self.parts, b"".join(n.encode() + b"\0" + v.encode() + b"\0" for n, v in parts))
        self.lock = os.open(cache + "/lock", os.O_RDWR | os.O_CREAT, 0o600) if lock else -1

    def argv(self, command, *more):
        argv = [CACHE, command, "--dir", self.cache, "--root", self.root,
                "--index-fd", str(self.index)]
        if command == "restore":
            argv += ["--parts-fd", str(self.parts)]
            if self.lock >= 0:
                argv += ["--lock-fd", str(self.lock)]
            if self.work:
                argv += ["--work", self.work]
        for path in self.exclude:
            argv += ["--exclude", path]
        return argv + list(more)

    def start(self, command, *more, **options):
        fds = [fd for fd in (self.index, self.parts, self.lock) if fd >= 0]
        if self.uid:
            options.update(user=self.uid, group=self.uid, extra_groups=[])
        return lib.start(self.argv(command, *more), pass_fds=fds, **options)

    def do(self, command, *more, **options):
        process = self.start(command, *more, **options)
        self.err = process.communicate()[1].decode()
        return process.returncode

    def restore(self, *more, **options):
        return self.do("restore", *more, **options)

    def save(self, *more, **options):
        return self.do("save", *more, **options)

    def report(self):
        return Report(os.pread(self.index, REPORT.size, 0))

    def close(self):
        for fd in (self.index, self.parts, self.lock):
            if fd >= 0:
                os.close(fd)


def entry_dir(box):
    return box.cache + "/" + box.report().key


# --- what an entry says of itself: base/sum.h and cache_entry.h, written a second time ---------

SUM_KEY = [w for n in range(0, 512, 4) for w in struct.unpack(
    "<4Q", hashlib.sha256(b"airlock layer sum\0" + n.to_bytes(8, "little")).digest())]


def layer_sum(data):
    results = hashlib.sha256()
    for at in range(0, len(data), 4096):
        m = struct.unpack("<512Q", data[at:at + 4096].ljust(4096, b"\0"))
        pairs = [(a + b) % 2 ** 64 for a, b in zip(m, SUM_KEY)]
        total = sum(a * b for a, b in zip(pairs[::2], pairs[1::2])) % 2 ** 128
        results.update(total.to_bytes(16, "little"))
    results.update(len(data).to_bytes(8, "little"))
    return results.hexdigest()


def seal_meta(meta):
    """The text of meta.json with its hash at its end."""
    meta.pop("sha256", None)
    text = json.dumps(meta)[:-1]
    return text + ',\n"sha256":"%s"}\n' % hashlib.sha256(text.encode()).hexdigest()


# --- trees ------------------------------------------------------------------------------------

def xattrs(path):
    try:
        return {n: os.getxattr(path, n, follow_symlinks=False)
                for n in os.listxattr(path, follow_symlinks=False)}
    except OSError:
        return {}


def holes(path, size):
    """Where the data are, as lseek tells."""
    fd, out, at = os.open(path, os.O_RDONLY), [], 0
    try:
        while at < size:
            try:
                start = os.lseek(fd, at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(fd, start, os.SEEK_HOLE)
            out.append((start, at))
    finally:
        os.close(fd)
    return out


def snapshot(root, skip=()):
    """Everything a user could tell about a tree: {path: tuple}, hard links as groups."""
    out, inodes = {}, {}
    stack = [""]
    while stack:
        rel = stack.pop()
        path = os.path.join(root, rel) if rel else root
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        if rel in skip or kind == stat.S_IFSOCK:
            continue
        row = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_mtime_ns, sorted(xattrs(path).items())]
        if kind == stat.S_IFDIR:
            stack += [os.path.join(rel, n) for n in os.listdir(path)]
        elif kind == stat.S_IFLNK:
            row.append(os.readlink(path))
        elif kind == stat.S_IFREG:
            with open(path, "rb") as f:
                row.append(f.read() if st.st_size < 1 << 20 else (st.st_size, holes(path, st.st_size)))
            group = inodes.setdefault((st.st_dev, st.st_ino), [])
            group.append(rel)
            row.append(group)
        out[rel] = row
    for row in out.values():
        if isinstance(row[-1], list) and row[0].startswith("0o1"):
            row[-1] = sorted(row[-1])
    return out


def differences(a, b):
    lines = []
    for path in sorted(set(a) | set(b)):
        if a.get(path) != b.get(path):
            lines.append("%s: %.300r != %.300r" % (path, a.get(path), b.get(path)))
    return lines[:12]


class Grower:
    """Random changes to a tree, from a seed."""

    def __init__(self, root, seed, root_user=True):
        self.root, self.r, self.is_root = root, random.Random(seed), root_user

    def name(self):
        r = self.r
        kind = r.random()
        if kind < 0.6:
            return "".join(r.choice("abcdef-._") for _ in range(r.randint(1, 12))).strip(".") or "x"
        if kind < 0.75:
            return "ü" + chr(r.randint(0x100, 0x2000)) + "%d" % r.randint(0, 99)
        if kind < 0.85:
            return "l" * r.choice([99, 100, 101, 150, 250])
        return r.choice(["a b", "a\nb", "tab\t", "-rf", "a\x01b", "\x7f", "'q'", "=", "%s"]) \
            + str(r.randint(0, 9))

    def all(self, kinds):
        out = []
        for top, dirs, files in os.walk(self.root):
            if "d" in kinds:
                out.append(top)
            for n in files:
                p = os.path.join(top, n)
                if "f" in kinds and stat.S_ISREG(os.lstat(p).st_mode):
                    out.append(p)
        return out

    def touch(self, path):
        r = self.r
        if r.random() < 0.7:
            ns = r.choice([r.randrange(0, 2**31) * 10**9 + r.randrange(10**9), 0,
                           -r.randrange(1, 10**18), 2**33 * 10**9 + 5, 10**9])
            try:
                os.utime(path, ns=(ns, ns), follow_symlinks=False)
            except OSError:
                pass

    def dress(self, path, directory=False):
        r = self.r
        if r.random() < 0.3:
            try:
                os.setxattr(path, "user." + r.choice(["a", "b.c", "d" * 50]),
                            bytes(r.randrange(256) for _ in range(r.randint(0, 300))))
            except OSError:
                pass
        if self.is_root and r.random() < 0.3:
            os.chown(path, r.choice([0, 1000, 65534, 3000000]), r.choice([0, 5, 2**31]))
        if r.random() < 0.5:
            os.chmod(path, r.choice([0o755, 0o644, 0o600, 0o4755, 0o2711, 0o1777, 0o000, 0o444])
                     | (0o700 if directory else 0 if self.is_root else 0o400))
        if self.is_root and not directory and r.random() < 0.1:
            os.setxattr(path, "security.capability",
                        bytes.fromhex("0100000200040000000000000000000000000000"))

    def file(self, path):
        r = self.r
        with open(path, "wb") as f:
            kind = r.random()
            if kind < 0.15:
                pass
            elif kind < 0.8:
                f.write(os.urandom(r.choice([1, 511, 512, 513, 4096, 70000])))
            elif kind < 0.9:
                f.seek(r.choice([5000, 1 << 20, 3 << 20]))
                f.write(b"end")
            else:
                f.truncate(r.choice([4096, 100000, 1 << 22]))
        self.dress(path)

    def add(self):
        r = self.r
        path = os.path.join(r.choice(self.all("d")), self.name())
        if len(path) - len(self.root) > 3500 or os.path.lexists(path):
            return
        kind = r.random()
        if kind < 0.5:
            self.file(path)
        elif kind < 0.75:
            os.mkdir(path)
            self.dress(path, True)
        elif kind < 0.85:
            os.symlink(r.choice(["x", "/etc/passwd", "../..", "l" * 300, "a\nb"]), path)
            if self.is_root:
                os.lchown(path, 7, 8)
        elif kind < 0.9:
            os.mkfifo(path, 0o640)
        else:
            files = self.all("f")
            if files:
                os.link(r.choice(files), path)
        if os.path.lexists(path):
            self.touch(path)

    def change(self):
        r = self.r
        kind = r.random()
        files, dirs = self.all("f"), self.all("d")[1:]
        if kind < 0.3 and files:
            path = r.choice(files)
            if kind < 0.2:
                os.chmod(path, os.stat(path).st_mode & 0o777 | 0o600)
                with open(path, "ab") as f:
                    f.write(b"more")
            else:
                self.dress(path)
        elif kind < 0.5 and files:
            os.unlink(r.choice(files))
        elif kind < 0.6 and dirs:
            subprocess.run(["rm", "-rf", "--", r.choice(dirs)], check=True)
        elif kind < 0.7 and files:  # a directory in the place of a file
            path = r.choice(files)
            os.unlink(path)
            os.mkdir(path)
            self.file(path + "/in it")
        elif kind < 0.8 and dirs:   # and the other way round
            path = r.choice(dirs)
            subprocess.run(["rm", "-rf", "--", path], check=True)
            self.file(path)
        elif kind < 0.9 and files:
            path = r.choice(files)
            new = os.path.join(r.choice(self.all("d")), self.name())
            if not os.path.lexists(new):
                os.rename(path, new)
        elif dirs:
            self.dress(r.choice(dirs), True)
            self.touch(r.choice(dirs))

    def grow(self, n):
        for _ in range(n):
            self.add()
        for top in sorted(self.all("d"), reverse=True):
            self.touch(top)

    def alter(self, n):
        for _ in range(n):
            self.r.choice([self.add, self.change, self.change])()
        for top in sorted(self.all("d"), reverse=True):
            if self.r.random() < 0.3:
                self.touch(top)


def copy_tree(a, b):
    subprocess.run(["cp", "-a", "--sparse=always", a, b], check=True)


def lock_byte(fd, key):
    """Holds the key's byte as a builder does."""
    at = int(key[:15], 16)
    fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, at, 1, 0))
