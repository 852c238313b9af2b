#!/usr/bin/python3
"""The leak scan: whatever setup wrote is found, wherever and however; nothing else is touched."""
import base64
import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import zipfile
import zlib

from lib import ROOT, case, main, skip, until
from unsealed import Unsealed, _directories

PROBE = ROOT + "/build/release/probe_leak"
TOKEN = "tok_s3cr3t/+0123456789=&xyz"
PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
c2hvcnQ0aXNoLWxhc3QtbGluZQ==
-----END PRIVATE KEY-----
"""
SECRETS = {"TOKEN": TOKEN, "PEM": PEM}


class Scan:
    """Files below a directory, searched by tests/probe/leak.c."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="airlock-leak-")
        _directories.append(self.dir)
        self.root = self.dir + "/root"
        os.mkdir(self.root)
        with open(self.dir + "/vars", "w") as f:
            json.dump(SECRETS, f)

    def put(self, name, content):
        path = self.root + "/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, *more, since=0, wrap=(), root=None):
        done = subprocess.run([*wrap, PROBE, self.dir + "/vars", root or self.root, str(since),
                               *more], capture_output=True, timeout=18)
        self.code, self.text = done.returncode, done.stdout.decode("utf-8", "replace")
        assert self.code in (0, 72), (self.code, done.stderr)
        lines = self.text.split("\n")
        self.hits = [l.split(" ", 1)[1].replace(self.root + "/", "") for l in lines
                     if l.startswith("hit ")]
        self.skips = [l.split(" ", 1)[1].replace(self.root + "/", "") for l in lines
                      if l.startswith("skip ")]
        return self


def git(cwd, *words):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
               GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b", GIT_COMMITTER_NAME="a",
               GIT_COMMITTER_EMAIL="a@b")
    subprocess.run(["git", *words], cwd=cwd, env=env, check=True, capture_output=True)


# --- what is found ---------------------------------------------------------------------------

@case
def every_encoding_in_a_file():
    s = Scan()
    t = TOKEN.encode()
    s.put("raw", "//registry/:_authToken=%s\n" % TOKEN)
    s.put("middle", b"\0" * 300000 + t + b"\0" * 5000)
    s.put("border", b"x" * (256 * 1024 - 7) + t + b"y" * 100)
    s.put("b64", base64.b64encode(t))
    s.put("b64user", base64.b64encode(b"user:" + t))
    s.put("b64json", base64.b64encode(json.dumps({"auth": TOKEN}).encode()))
    s.put("b64url", base64.urlsafe_b64encode(b"\xff" + t))
    s.put("hex", t.hex())
    s.put("HEX", t.hex().upper())
    s.put("url", "https://u:%s@host/" % urllib.parse.quote(TOKEN, safe=""))
    s.put("json", json.dumps({"key": PEM}))
    s.put("line", "key = %s\n" % PEM.split("\n")[1])
    s.put("pem", PEM)
    s.put("wrapped", base64.encodebytes(PEM.encode()))
    s.put("clean", "tok_s3cr3t/+0123456789=&xy -----BEGIN PRIVATE KEY-----\n")
    s.run()
    want = {"raw": "TOKEN raw", "middle": "TOKEN raw", "border": "TOKEN raw",
            "b64": "TOKEN base64", "b64user": "TOKEN base64", "b64json": "TOKEN base64",
            "b64url": "TOKEN base64", "hex": "TOKEN hex", "HEX": "TOKEN hex",
            "url": "TOKEN url", "json": "PEM json", "line": "PEM line", "pem": "PEM raw",
            "wrapped": "PEM base64"}
    for name, text in want.items():
        assert "%s %s file stays" % (name, text) in s.hits, (name, s.hits)
    assert not [h for h in s.hits if h.startswith("clean")], s.hits
    assert s.code == 72


@case
def packed_files_are_opened():
    s = Scan()
    text = b"x\n" * 50000 + TOKEN.encode() + b"\ny\n" * 50000
    s.put("a.gz", gzip.compress(text))
    s.put("two.gz", gzip.compress(b"nothing here") + gzip.compress(text))
    s.put("zlib", zlib.compress(text, 9))
    with zipfile.ZipFile(s.root + "/z.zip", "w") as z:
        z.writestr("stored", "nothing")
        z.writestr("deflated", text, zipfile.ZIP_DEFLATED)
    subprocess.run("mkdir t; cp z.zip t/; head -c 100000 /dev/urandom > t/a; printf %s > t/b; "
                   "tar czf t.tgz t/a t/b; rm -r t" % repr(TOKEN).replace("%", "%%"),
                   shell=True, cwd=s.root, check=True)
    s.put("cut.gz", gzip.compress(text)[:-30])
    s.put("broken.gz", gzip.compress(text)[:40] + b"\xff" * 100)
    s.run()
    for name, place in (("a.gz", "gzip"), ("two.gz", "gzip"), ("zlib", "zlib"), ("z.zip", "zip"),
                        ("t.tgz", "gzip"), ("cut.gz", "gzip")):
        assert "%s TOKEN raw %s stays" % (name, place) in s.hits, (name, s.hits)


@case
def gits_objects_and_packs_are_opened():
    s = Scan()
    repo = s.root + "/repo"
    os.mkdir(repo)
    git(repo, "init", "-q")
    s.put("repo/.npmrc", "token=%s\n" % TOKEN)
    git(repo, "add", "-f", ".npmrc")
    git(repo, "commit", "-qm", "one")
    git(repo, "rm", "-qf", ".npmrc")
    git(repo, "commit", "-qm", "two")
    s.run()
    assert [h for h in s.hits if "/objects/" in h and "TOKEN raw zlib" in h], s.hits
    for i in range(40):
        s.put("repo/f%d" % i, "line\n" * 100 + str(i))
    git(repo, "add", "-f", ".")
    git(repo, "commit", "-qm", "three")
    git(repo, "gc", "-q", "--prune=now")
    s.run()
    assert [h for h in s.hits if h.endswith(".pack TOKEN raw git pack stays")], s.hits
    git(repo, "remote", "add", "origin", "https://x:%s@h/r" % urllib.parse.quote(TOKEN, safe=""))
    s.run()
    assert "repo/.git/config TOKEN url file stays" in s.hits, s.hits


@case
def what_can_not_be_unpacked_is_told():
    s = Scan()
    for tool in ("xz", "zstd", "bzip2", "lz4"):
        if shutil.which(tool):
            out = subprocess.run([tool, "-c"], input=TOKEN.encode(), stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True).stdout
            s.put(tool, out)
    assert os.listdir(s.root), "no tool at all"
    s.run()
    for name in os.listdir(s.root):
        assert "%s packed with %s: not searched inside" % (name, name) in s.text, s.text


@case
def names_links_and_attributes_are_searched():
    s = Scan()
    name = "tok_s3cr3t"
    s.put("x/%s" % base64.urlsafe_b64encode(TOKEN.encode()).decode(), "nothing")
    os.mkdir(s.root + "/" + TOKEN.encode().hex())
    os.symlink("/no/" + TOKEN.replace("/", "") + TOKEN, s.root + "/link")
    s.put("attr", "nothing")
    try:
        os.setxattr(s.root + "/attr", "user.note", TOKEN.encode())
    except OSError:
        pass
    s.run()
    found = " | ".join(s.hits)
    assert "TOKEN base64 its name" in found and "TOKEN hex its name" in found, s.hits
    assert "link TOKEN raw its target" in found, s.hits
    try:
        os.getxattr(s.root + "/attr", "user.note")
    except OSError:
        return
    assert "attr TOKEN raw an extended attribute" in found, s.hits


@case
def only_what_changed_since_is_searched():
    s = Scan()
    old = s.put("old", TOKEN)
    since = int(time.time()) + 1000
    s.run(since=since)
    assert not s.hits, s.hits
    # Neither mtime nor atime is asked: both can be set.
    os.utime(old, (1, 1))
    s.run(since=int(time.time()) - 1)
    assert s.hits == ["old TOKEN raw file stays"], s.hits


@case
def a_file_of_many_names_is_searched_once_and_removed_everywhere():
    s = Scan()
    s.put("a", TOKEN)
    for name in ("b", "c", "d"):
        os.link(s.root + "/a", s.root + "/" + name)
    s.put("clean", "nothing")
    os.link(s.root + "/clean", s.root + "/clean2")
    s.run()
    assert "searched 2 of 6 files" in s.text and len(s.hits) == 4, s.text
    s.run("remove")
    assert sorted(os.listdir(s.root)) == ["clean", "clean2"] and s.code == 0, s.text


@case
def holes_cost_nothing():
    s = Scan()
    path = s.root + "/sparse"
    with open(path, "wb") as f:
        f.seek(1 << 39)
        f.write(TOKEN.encode())
        f.truncate(1 << 40)
    s.put("empty-sparse", "")
    os.truncate(s.root + "/empty-sparse", 1 << 40)
    began = time.monotonic()
    s.run()
    assert s.hits == ["sparse TOKEN raw file stays"], s.hits
    assert time.monotonic() - began < 5


@case
def what_can_not_be_searched_is_told():
    if os.getuid():
        skip("needs root")
    s = Scan()
    os.chmod(s.dir, 0o755)
    os.chmod(s.root, 0o777)
    s.put("mine", TOKEN)
    os.chmod(s.root + "/mine", 0)
    os.mkdir(s.root + "/closed")
    os.chmod(s.root + "/closed", 0)
    deep = s.root
    fd = os.open(s.root, os.O_RDONLY)
    for i in range(600):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    os.mkfifo(s.root + "/fifo")
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(s.root + "/socket")
    s.run(wrap=["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    assert [x for x in s.skips if x.startswith("mine can't be opened")], s.skips
    assert [x for x in s.skips if x.startswith("closed can't be opened")], s.skips
    assert [x for x in s.skips if "too many directories deep" in x], s.skips[:5]
    assert not s.hits
    sock.close()
    subprocess.run(["rm", "-rf", s.root + "/d"], check=True)


@case
def other_mounts_are_searched_and_the_kernels_views_are_not():
    s = Scan()
    os.mkdir(s.root + "/tmpfs")
    os.mkdir(s.root + "/proc")
    script = 'mount -t tmpfs none "$1/tmpfs" && mount -t proc proc "$1/proc" && ' \
             'echo "$3" > "$1/tmpfs/x" && exec "$2" "$4" "$1" 0'
    done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh",
                           s.root, PROBE, TOKEN, s.dir + "/vars"], capture_output=True)
    text = done.stdout.decode()
    if "searched" not in text:
        skip("no mount namespace: " + done.stderr.decode())
    assert "/tmpfs/x TOKEN raw file stays" in text and "/proc/" not in text, text


@case
def shared_memory_and_messages_are_searched():
    s = Scan()
    script = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
i = libc.shmget(0, 4096, 0o1600)
ctypes.memmove(libc.shmat(i, None, 0) + 100, sys.argv[1].encode(), len(sys.argv[1]))
q = libc.msgget(0, 0o1600)
class M(ctypes.Structure):
    _fields_ = [("type", ctypes.c_long), ("text", ctypes.c_char * 200)]
libc.msgsnd(q, ctypes.byref(M(1, b"hello")), 200, 0)
libc.msgsnd(q, ctypes.byref(M(1, sys.argv[1].encode())), 200, 0)
os.chroot(sys.argv[2]); os.chdir("/")
os.execv("/probe", ["/probe", "/vars", "/", "0", *sys.argv[3:]])
"""
    shutil.copy(PROBE, s.root + "/probe")
    shutil.copy(s.dir + "/vars", s.root + "/vars")
    for more in ([], ["remove"]):
        done = subprocess.run(["unshare", "--ipc", "--fork", "python3", "-c", script, TOKEN,
                               s.root, *(["report", "/vars"] if not more else more)],
                              capture_output=True)
        text = done.stdout.decode()
        if "searched" not in text:
            skip("no IPC namespace: " + done.stderr.decode())
        fate = "removed" if more else "stays"
        assert "sysv-shm:" in text and "TOKEN raw memory " + fate in text, text
        assert "sysv-messages:" in text or "message queue that can't" in text, text


@case
def posix_queues_are_searched_and_left_as_they_were():
    s = Scan()
    os.mkdir(s.root + "/mq")
    script = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(b"mq", sys.argv[4].encode() + b"/mq", b"mqueue", 0, None) == 0
q = libc.syscall(240, b"left", 0o102, 0o600, None)
for n, (text, priority) in enumerate([(b"a", 1), (sys.argv[1].encode(), 5), (b"b", 5), (b"c", 1)]):
    assert libc.syscall(242, q, text, len(text), priority, None) == 0
os.system(" ".join(sys.argv[2:]))
buf = ctypes.create_string_buffer(8192)
if os.path.exists(sys.argv[4] + "/mq/left"):
    receive = lambda: libc.syscall(243, q, buf, 8192, None, None)
    print([(lambda n: buf.raw[:n][:2])(receive()) for _ in range(4)])
"""
    for more in (["report"], ["remove"]):
        done = subprocess.run(["unshare", "--ipc", "--mount", "--fork", "python3", "-c", script,
                               TOKEN, PROBE, s.dir + "/vars", s.root, "0",
                               *more], capture_output=True)
        text = done.stdout.decode()
        if "searched" not in text:
            skip("no IPC namespace: " + done.stderr.decode())
        assert "/mq/left TOKEN raw memory " in text, text
        if more == ["report"]:
            assert str([TOKEN.encode()[:2], b"b", b"a", b"c"]) in text, text
        else:
            assert "removed" in text and "[b" not in text, text


KEYS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def add(kind, name, value, ring):
    k = libc.syscall(248, kind, name, value, ctypes.c_size_t(len(value or b"")), ring)
    if k < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return k
libc.syscall(250, 8, -4, -3)  # else what is below it is not ours to write
ring = add(b"keyring", b"airlock-ring", None, -4)
add(b"user", b"airlock-plain", b"nothing", -4)
add(b"user", b"airlock-key", os.environ["TOKEN"].encode(), ring)
"""


@case
def keys_that_outlive_their_session_are_searched_and_removed():
    def names():
        return subprocess.run(["python3", "-c", "import ctypes; c=ctypes.CDLL(None); k=c.syscall("
                               "250,10,-4,b'keyring',b'airlock-ring',0); print(k > 0 and c.syscall("
                               "250,10,k,b'user',b'airlock-key',0) > 0)"],
                              capture_output=True).stdout
    try:
        for act in ("fail", "remove"):
            u = Unsealed({"TOKEN": TOKEN}, ["python3", "-c", KEYS], ["--on-leak", act]).wait()
            if "not permitted" in u.output or "not implemented" in u.output:
                skip("no keys here: " + u.output)
            assert u.code == (72 if act == "fail" else 1), (u.output, u.err)
            assert "key:airlock-key holds the secret TOKEN (raw, in memory)" in u.err, u.err
            assert "airlock-plain" not in u.err, u.err
            assert names() == (b"True\n" if act == "fail" else b"False\n")
    finally:
        subprocess.run(["python3", "-c", "import ctypes; c=ctypes.CDLL(None)\n"
                        "for t,n in ((b'keyring',b'airlock-ring'),(b'user',b'airlock-plain')):\n"
                        "  c.syscall(250,9,c.syscall(250,10,-4,t,n,0),-4)"], check=True)


# --- what becomes of it ----------------------------------------------------------------------

@case
def removing_removes_what_holds_it_and_nothing_else():
    s = Scan()
    s.put("home/.npmrc", "_authToken=" + TOKEN)
    s.put("home/.profile", "PATH=/bin")
    s.put("home/x.gz", gzip.compress(TOKEN.encode()))
    os.symlink(TOKEN.replace("/", "_") + TOKEN, s.root + "/home/link")
    s.run("remove")
    assert s.code == 0 and os.listdir(s.root + "/home") == [".profile"], s.text
    assert "home/.npmrc TOKEN raw file removed" in s.hits, s.hits
    s.run()
    assert s.code == 0 and not s.hits, s.text


@case
def what_can_not_be_removed_stays_a_leak():
    s = Scan()
    os.mkdir(s.root + "/" + TOKEN.encode().hex())
    s.put(TOKEN.encode().hex() + "/file", "x")
    s.run("remove")
    assert s.code == 72 and "in-the-way" in s.text, s.text


@case
def allowed_paths_are_reported_and_kept():
    s = Scan()
    s.put("home/.npmrc", TOKEN)
    s.put("home/.npmrc2", TOKEN)
    s.put("keep/a/b", TOKEN)
    s.run("remove", s.root + "/home/.npmrc", s.root + "/keep/")
    assert sorted(s.hits) == ["home/.npmrc TOKEN raw file allowed",
                              "home/.npmrc2 TOKEN raw file removed",
                              "keep/a/b TOKEN raw file allowed"], s.hits
    assert s.code == 0 and os.path.exists(s.root + "/keep/a/b")
    assert not os.path.exists(s.root + "/home/.npmrc2")


# --- the whole of it, by airlock-unseal --------------------------------------------------------

LEAKS = """echo "$TOKEN" > plain; printf %s "$TOKEN" | base64 > b64; gzip -c plain > p.gz
           echo "history $TOKEN" >> .bash_history; echo clean > clean; rm plain"""


@case
def on_leak_fail_is_72_and_names_all():
    u = Unsealed({"TOKEN": TOKEN}, LEAKS).wait()
    assert u.code == 72 and os.WEXITSTATUS(u.ended) == 0, (u.code, u.err)
    found = {(os.path.basename(e["path"]), e["secret"], e["encoding"], e["in"], e["fate"])
             for e in u.event("leak")}
    assert found == {("b64", "TOKEN", "base64", "", "stays"),
                     ("p.gz", "TOKEN", "raw", "gzip", "stays"),
                     (".bash_history", "TOKEN", "raw", "", "stays")}, found
    scan = u.event("leak_scan")[0]
    assert scan["leaks"] == 3 and scan["stay"] == 3 and scan["phase"] == "seal", scan
    for name in ("b64", "p.gz", ".bash_history"):
        assert "/%s holds the secret TOKEN" % name in u.err, u.err
    assert TOKEN not in u.err + u.output + json.dumps(u.events)


@case
def on_leak_remove_and_warn_go_on():
    u = Unsealed({"TOKEN": TOKEN}, LEAKS, ["--on-leak", "remove"]).wait()
    assert u.code == 1 and os.listdir(u.root) == ["clean"], (u.code, u.err)
    u = Unsealed({"TOKEN": TOKEN}, LEAKS, ["--on-leak", "warn"]).wait()
    assert u.code == 1 and len(os.listdir(u.root)) == 4 and "b64 holds" in u.err, u.err


@case
def a_deliberate_case_is_allowed():
    u = Unsealed({"TOKEN": TOKEN}, "echo $TOKEN > .npmrc")
    u.wait()
    assert u.code == 72
    u = Unsealed({"TOKEN": TOKEN}, "mkdir keep; echo $TOKEN > keep/.npmrc",
                 ["--allow-leak", "/nowhere", "--allow-leak", "ROOT/keep/.npmrc"])
    u.wait()
    assert u.code == 72, "another path was allowed"
    directory = tempfile.mkdtemp(prefix="airlock-leak-")
    _directories.append(directory)
    u = Unsealed({"TOKEN": TOKEN}, "mkdir keep; echo $TOKEN > keep/.npmrc", root=directory,
                 options=["--allow-leak", directory + "/keep/.npmrc"]).wait()
    assert u.code == 1 and u.event("leak")[0]["fate"] == "allowed", u.err


@case
def what_was_there_before_setup_is_not_searched():
    directory = tempfile.mkdtemp(prefix="airlock-leak-")
    _directories.append(directory)
    with open(directory + "/before", "w") as f:
        f.write(TOKEN)
    time.sleep(3.2)  # file systems' clocks are given two seconds
    u = Unsealed({"TOKEN": TOKEN}, "echo after > after", root=directory).wait()
    assert u.code == 0 and not u.event("leak"), u.err
    assert u.event("leak_scan")[0]["searched"] == 1, u.events


@case
def the_time_limit_is_kept_and_told():
    u = Unsealed({"TOKEN": TOKEN}, "head -c 30000000 /dev/zero > big; head -c 30000000 /dev/zero "
                 "> big2", options=["--scan-timeout-s", "0"]).wait()
    assert u.code == 0 and "time limit" in u.err, u.err


main()
