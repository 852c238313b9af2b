#!/usr/bin/python3
"""The agent's seccomp filter: what it refuses, with which errno, and what still works.

One table of calls is tried twice: by the kernel, with the filter of this machine loaded, and
by a few lines of Python that run the BPF of every architecture. The tests run as root, so a
refusal is the filter's and not a missing capability's.
"""
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import lib
from lib import PATIENCE, ROOT, case, main, skip

PROBE = ROOT + "/build/release/probe_filter"
GENERATOR = ROOT + "/build/generated/filter_gen"
FILTERS = ("agent", "netns")
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HERE = os.uname().machine
NEW = {"NS": 0x20000, "CGROUP": 0x2000000, "UTS": 0x4000000, "IPC": 0x8000000,
       "USER": 0x10000000, "PID": 0x20000000, "NET": 0x40000000}
STREAM, DGRAM, RAW = 1, 2, 3
UNIX, INET, INET6, NETLINK, PACKET, VSOCK = 1, 2, 10, 16, 17, 40
CLOEXEC, NONBLOCK = 0x80000, 0x800
FASTOPEN = 0x20000000
BAD = 0xfffffffffffff000  # an address that is nobody's
OK = None
NOTSUP = errno.errorcode[errno.EOPNOTSUPP]  # Python knows it by another name

# call, arguments, errno under agent, errno under netns (OK: the kernel decides)
CALLS = [
    ("io_uring_setup", (1, BAD), "ENOSYS", "ENOSYS"),
    ("io_uring_enter", (-1,), "ENOSYS", "ENOSYS"),
    ("io_uring_register", (-1,), "ENOSYS", "ENOSYS"),
    ("clone3", (BAD, 64), "ENOSYS", OK),
    ("setns", (-1, 0), "EPERM", OK),
    ("unshare", (0x80,), "EPERM", OK),
    ("unshare", (0x400,), OK, OK),
    ("bpf", (0, BAD, 0), "EPERM", "EPERM"),
    ("perf_event_open", (BAD, 0, -1, -1, 0), "EPERM", "EPERM"),
    ("userfaultfd", (1 << 30,), "EPERM", "EPERM"),
    ("keyctl", (0, -3, 0), "EPERM", "EPERM"),
    ("add_key", (BAD, BAD, 0, 0, -3), "EPERM", "EPERM"),
    ("request_key", (BAD, BAD, 0, -3), "EPERM", "EPERM"),
    ("init_module", (BAD, 0, BAD), "EPERM", "EPERM"),
    ("finit_module", (-1, BAD, 0), "EPERM", "EPERM"),
    ("delete_module", (BAD, 0), "EPERM", "EPERM"),
    ("kexec_load", (0, -1, BAD, 0), "EPERM", "EPERM"),
    ("kexec_file_load", (-1, -1, 0, BAD, 1 << 30), "EPERM", "EPERM"),
    ("open_by_handle_at", (-1, BAD, 0), "EPERM", "EPERM"),
    ("swapon", (BAD, 0), "EPERM", "EPERM"),
    ("swapoff", (BAD,), "EPERM", "EPERM"),
    ("reboot", (0, 0, 0, 0), "EPERM", "EPERM"),
    ("quotactl", (0, BAD, 0, 0), "EPERM", "EPERM"),
    ("ioctl", (0, 0x5412, 0), "EPERM", "EPERM"),
    ("ioctl", (0, 0x541c, 0), "EPERM", "EPERM"),
    # The kernel sees 32 bits of these.
    ("ioctl", (0, 1 << 32 | 0x5412, 0), "EPERM", "EPERM"),
    ("ioctl", (0, 0xffffffff << 32 | 0x541c, 0), "EPERM", "EPERM"),
    ("prlimit64", (1 << 32 | 1, 7, BAD, 0), "EPERM", "EPERM"),
    ("socket", (1 << 32 | PACKET, RAW, 0), "EAFNOSUPPORT", "EAFNOSUPPORT"),
    ("socket", (1 << 32 | INET, DGRAM, 1), "EPROTONOSUPPORT", "EPROTONOSUPPORT"),
    ("socket", (INET, 1 << 32 | RAW, 1), "EPERM", "EPERM"),
    ("socket", (INET, STREAM, 1 << 32 | 132), "EPROTONOSUPPORT", "EPROTONOSUPPORT"),
    ("socket", (NETLINK, RAW, 1 << 32 | 12), "EPROTONOSUPPORT", "EPROTONOSUPPORT"),
    ("sendto", (-1, 0, 0, 1 << 32 | FASTOPEN, 0, 0), NOTSUP, NOTSUP),
    ("personality", (1 << 32 | 0x400000,), "EPERM", "EPERM"),
    ("unshare", (1 << 32 | 0x40000000,), "EPERM", OK),
    ("ioctl", (-1, 0x5413, 0), OK, OK),
    ("prlimit64", (1, 7, BAD, 0), "EPERM", "EPERM"),
    ("prlimit64", (99999, 7, BAD, 0), "EPERM", "EPERM"),
    ("prlimit64", (1, 7, 0, 0), OK, OK),
    ("prlimit64", (0, 7, 0, 0), OK, OK),
    ("sendto", (-1, 0, 0, FASTOPEN, 0, 0), NOTSUP, NOTSUP),
    ("sendto", (-1, 0, 0, FASTOPEN | 0x4000, 0, 0), NOTSUP, NOTSUP),
    ("sendmsg", (-1, 0, FASTOPEN), NOTSUP, NOTSUP),
    ("sendmmsg", (-1, 0, 0, FASTOPEN), NOTSUP, NOTSUP),
    ("sendto", (-1, 0, 0, 0x4000, 0, 0), OK, OK),
    ("sendmsg", (-1, 0, 0x4000), OK, OK),
    ("personality", (0xffffffff,), OK, OK),
    ("personality", (0,), OK, OK),
    ("personality", (0x40000,), OK, OK),
    ("personality", (8,), OK, OK),
    ("personality", (0x400000,), "EPERM", "EPERM"),
    ("personality", (0x440000,), "EPERM", "EPERM"),
    ("personality", (0x80400000,), "EPERM", "EPERM"),
    ("personality", (0xfffffffe,), "EPERM", "EPERM"),
    ("personality", (0x100000,), "EPERM", "EPERM"),
    ("personality", (0x7fffffff,), "EPERM", "EPERM"),
    ("setsockopt", (-1, 1, 25, 0, 0), "EPERM", OK),
    ("setsockopt", (-1, 1, 62, 0, 0), "EPERM", OK),
    ("setsockopt", (-1, 0, 50, 0, 0), "EPERM", OK),
    ("setsockopt", (-1, 41, 76, 0, 0), "EPERM", OK),
    ("setsockopt", (-1, 1 << 32 | 1, 1 << 32 | 25, 0, 0), "EPERM", OK),
    ("setsockopt", (-1, 1, 2, 0, 0), OK, OK),
    ("getpid", (), OK, OK),
    ("connect", (-1, BAD, 16), OK, OK),
    ("ptrace", (0x4200, 0, 0, 0), OK, OK),
]
CALLS += [("unshare", (flag,), "EPERM", OK) for flag in NEW.values()]
CALLS += [("unshare", (0x400 | flag,), "EPERM", OK) for flag in NEW.values()]
# For the interpreter alone: the kernel would make the children.
CLONES = [("clone", (flag | 17,), "EPERM", OK) for flag in NEW.values()]
CLONES += [("clone", (flags,), OK, OK) for flags in (17, 0x80 | 17, 0x3d0f00, 0x4111)]


def socket_errno(family, kind, protocol):
    kind &= 0xf
    if family == UNIX:
        return OK
    if family == NETLINK:
        return "EPROTONOSUPPORT" if protocol else OK
    if family not in (INET, INET6):
        return "EAFNOSUPPORT"
    if kind == RAW:
        return "EPERM"
    if kind not in (STREAM, DGRAM):
        return "ESOCKTNOSUPPORT"
    return OK if protocol in (0, {STREAM: 6, DGRAM: 17}[kind]) else "EPROTONOSUPPORT"


def sockets():
    """Every family with every type, and every protocol of the two that have any."""
    some = (0, 1, 2, 6, 17, 33, 58, 132, 136, 255, 262, 0xffffffff)
    for family in list(range(50)) + [255, 0x10000 | INET, 0x80000000]:
        for kind in range(16):
            for protocol in (some if family in (INET, INET6, NETLINK) else (0, 1)):
                yield family, kind | (CLOEXEC if protocol != 1 else 0), protocol
    for protocol in range(300):
        for family in (INET, INET6, NETLINK):
            for kind in (STREAM | CLOEXEC, DGRAM | NONBLOCK, RAW):
                yield family, kind, protocol


# --- the BPF, by hand ---------------------------------------------------------------------------

def programs(arch):
    out = subprocess.run([GENERATOR, arch], capture_output=True, text=True, check=True).stdout
    found = {}
    for name, body in re.findall(r"struct sock_filter (\w+)_filter\[\] = \{(.*?)\n\};", out, re.S):
        found[name] = [tuple(int(n.rstrip("U"), 0) for n in line.split(","))
                       for line in re.findall(r"\{ (.*?) \}", body)]
    return found


def run_bpf(program, arch, number, arguments):
    data = struct.pack("=IIQ6Q", number & 0xffffffff, arch, 0,
                       *[a & (2**64 - 1) for a in (list(arguments) + [0] * 6)[:6]])
    at = a = 0
    while True:
        code, jt, jf, k = program[at]
        at += 1
        if code == 0x20:
            a = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:
            a &= k
        elif code == 0x05:
            at += k
        elif code in (0x15, 0x25, 0x35, 0x45):
            true = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]
            at += jt if true else jf
        elif code == 0x06:
            return k
        else:
            raise AssertionError("BPF code %#x" % code)


def decision(program, arch, number, arguments):
    value = run_bpf(program, arch, number, arguments)
    if value == 0x7fff0000:
        return OK
    if value & 0xffff0000 == 0x50000:
        return errno.errorcode[value & 0xffff]
    assert value == 0x80000000, hex(value)
    return "KILL"


def resolver():
    library = ctypes.CDLL("libseccomp.so.2")

    def number(arch, name):
        return library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(arch), name.encode())
    return number


@case
def every_architecture_decides_as_the_table_says():
    number = resolver()
    for arch, token in ARCHES.items():
        found = programs(arch)
        for name, arguments, agent, netns in CALLS + CLONES:
            for which, expected in zip(FILTERS, (agent, netns)):
                got = decision(found[which], token, number(token, name), arguments)
                assert got == expected, (arch, which, name, arguments, got, expected)


@case
def every_architecture_decides_on_sockets_as_the_table_says():
    number = resolver()
    for arch, token in ARCHES.items():
        found = programs(arch)
        call, pair = number(token, "socket"), number(token, "socketpair")
        for which in FILTERS:
            for triple in sockets():
                got = decision(found[which], token, call, triple)
                assert got == socket_errno(*triple), (arch, which, triple, got)
            for family in range(50):
                got = decision(found[which], token, pair, (family, STREAM, 0))
                assert got == (OK if family == UNIX else "EAFNOSUPPORT"), (arch, family, got)


@case
def a_foreign_architecture_is_killed_by_every_filter():
    number = resolver()
    foreign = list(ARCHES.values()) + [0x40000003, 0x40000028, 0]
    for arch, token in ARCHES.items():
        for name, program in programs(arch).items():
            for other in foreign:
                got = decision(program, other, number(token, "close"), ())
                assert (got == "KILL") == (other != token), (arch, name, hex(other), got)
    x32 = decision(programs("x86_64")["agent"], ARCHES["x86_64"], 0x40000000 | 41,
                   (INET, STREAM, 0))
    assert x32 == "KILL", x32


# --- the kernel ------------------------------------------------------------------------------

def try_calls(calls):
    """Runs under the filter: [errno's name or "" for each]."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    told = []
    for number, arguments in calls:
        ctypes.set_errno(0)
        r = libc.syscall(ctypes.c_long(number), *[ctypes.c_uint64(a & (2**64 - 1))
                                                   for a in arguments])
        e = ctypes.get_errno()
        told.append(errno.errorcode[e] if r < 0 else "")
        if r > 2:
            try:
                os.close(r)
            except OSError:
                pass
    print(json.dumps(told))


def under(which, calls):
    code = ("import sys, json; sys.path.insert(0, %r); import test_filter; "
            "test_filter.try_calls(json.load(sys.stdin))" % os.path.dirname(__file__))
    argv = [sys.executable, "-c", code]
    done = subprocess.run(([PROBE, which] if which else []) + argv, input=json.dumps(calls),
                          capture_output=True, text=True, timeout=60 * PATIENCE)
    assert not done.returncode, (done.returncode, done.stderr[-500:])
    return json.loads(done.stdout)


def is_answer_of(got, expected, bare):
    return got == expected if expected else got == bare


@case
def the_kernel_decides_as_the_table_says():
    number = resolver()
    calls = [(number(ARCHES[HERE], name), arguments) for name, arguments, _, _ in CALLS]
    for column, which in enumerate(FILTERS):
        for row, got in zip(CALLS, under(which, calls)):
            expected = row[2 + column]
            if expected:
                assert got == expected, (which, row, got)
            else:
                assert got not in ("ENOSYS", NOTSUP) and \
                    (got != "EPERM" or row[0] in ("unshare", "ptrace")), (which, row, got)


@case
def the_kernel_opens_no_other_socket():
    if HERE not in ARCHES:
        skip("no filter for " + HERE)
    call = resolver()(ARCHES[HERE], "socket")
    triples = list(sockets())
    bare = under(None, [(call, t) for t in triples])
    assert any(not b and socket_errno(*t) for b, t in zip(bare, triples)), "nothing to refuse"
    for which in FILTERS:
        for triple, free, got in zip(triples, bare, under(which, [(call, t) for t in triples])):
            expected = socket_errno(*triple)
            assert got == (expected or free), (which, triple, got, expected, free)


FOREIGN = {
    "i386": '__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");',
    "x32": '__asm__ volatile("syscall" : "=a"(r) : "a"(0x40000000L + 39) '
           ': "rcx", "r11", "memory");',
}


@case
def another_abi_is_killed():
    if HERE != "x86_64":
        skip("an x86-64 matter")
    with tempfile.TemporaryDirectory() as directory:
        for name, call in FOREIGN.items():
            with open(directory + "/a.c", "w") as f:
                f.write("int main(void) { long r; %s return r <= 0; }" % call)
            subprocess.run(["gcc", "-O1", directory + "/a.c", "-o", directory + "/a"], check=True)
            for which in FILTERS:
                done = subprocess.run([PROBE, which, directory + "/a"])
                assert done.returncode == -signal.SIGSYS, (name, which, done.returncode)


@case
def aarch32_is_killed():
    if HERE != "aarch64":
        skip("an aarch64 matter")
    with open(os.path.dirname(os.path.abspath(__file__)) + "/arm32.h") as f:
        program = bytes(int(n, 16) for n in re.findall(r"\b0x(\w\w),", f.read()))
    with tempfile.TemporaryDirectory() as directory:
        path = directory + "/arm32"
        with open(path, "wb") as f:
            f.write(program)
        os.chmod(path, 0o755)
        try:
            assert subprocess.run([path]).returncode == 1, "it got no socket without a filter"
        except OSError as error:
            skip("no AArch32 here: %s" % error)
        for which in FILTERS:
            done = subprocess.run([PROBE, which, path])
            assert done.returncode == -signal.SIGSYS, (which, done.returncode)


@case
def a_child_and_what_it_executes_are_under_it_too():
    done = subprocess.run([PROBE, "agent", "sh", "-c", "exec unshare -n true"],
                          capture_output=True, text=True)
    assert done.returncode and "not permitted" in done.stderr, done
    done = subprocess.run([PROBE, "netns", "unshare", "-n", "true"], capture_output=True, text=True)
    assert not done.returncode, done


# --- what must still work ----------------------------------------------------------------------

PYTHON = sys.executable
WORK = [
    # what, needed program, shell command, netns only
    ("gdb starts and stops its own child", "gdb",
     "gdb -nx -batch -ex 'break main' -ex run -ex bt ./prog 2>&1 | tee log | grep -q 'main ()' && "
     "! grep -i 'not permitted' log"),
    ("gdb attaches to its own child", "gdb",
     "sleep 20 & gdb -nx -batch -p $! -ex bt 2>&1 | grep -q '#0'; r=$?; kill %1; exit $r"),
    ("strace of its own child", "strace",
     "strace -f -o log sh -c 'exit 0' && grep -q exit_group log"),
    ("a stopped child", "sh", "sleep 9 & kill -STOP $!; kill -KILL $!; wait; true"),
    ("gcc compiles and the result runs", "gcc", "gcc -pthread ./thread.c -o t && ./t"),
    ("threads of python", "python3", "python3 -c 'import threading; "
     "t = [threading.Thread(target=print) for _ in range(20)]; "
     "[x.start() for x in t]; [x.join() for x in t]'"),
    ("python multiprocessing", "python3", "python3 -c 'import multiprocessing as m\n"
     "with m.get_context(\"fork\").Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]'"),
    ("asyncio with subprocess and a local server", "python3", "python3 aio.py"),
    ("unix sockets, stream and datagram", "python3", "python3 -c 'import socket\n"
     "for k in (1, 2, 5):\n a, b = socket.socketpair(1, k); a.send(b\"x\"); assert b.recv(9)\n"
     "s = socket.socket(1, 2); s.bind(\"d\"); c = socket.socket(1, 2); c.sendto(b\"x\", \"d\"); "
     "assert s.recv(9) == b\"x\"'"),
    ("UDP between own sockets", "python3", "python3 -c 'import socket\n"
     "s = socket.socket(2, 2); s.bind((\"127.0.0.1\", 0)); c = socket.socket(2, 2); "
     "c.sendto(b\"x\", s.getsockname()); assert s.recv(9)'"),
    ("getaddrinfo and interface addresses", "python3",
     "python3 -c 'import socket; socket.getaddrinfo(\"localhost\", 80); socket.if_nameindex()'"),
    ("ip addr, ip route", "ip", "ip addr >/dev/null && ip route >/dev/null"),
    ("ss", "ss", "ss -tln >/dev/null"),
    ("node: http server and client", "node", "node http.js"),
    ("node: workers", "node", "node -e 'const {Worker} = require(\"worker_threads\"); "
     "new Worker(\"process.exit(0)\", {eval: true}).on(\"exit\", c => process.exit(c))'"),
    ("npm", "npm", "npm --version >/dev/null"),
    ("java starts its threads", "java", "java -version 2>&1 | grep -qi version"),
    ("javac and a program of threads", "javac", "javac T.java && java T"),
    ("go", "go", "GOFLAGS=-mod=mod GOCACHE=$PWD/gc go run ./x.go"),
    ("cargo", "cargo", "cargo --version >/dev/null"),
    ("rustc", "rustc", "rustc --version >/dev/null"),
    ("git", "git", "git init -q g && git -C g -c user.name=a -c user.email=b commit -q "
     "--allow-empty -m x && git clone -q g h"),
    ("perl's sockets", "perl",
     "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(Listen => 1) or die'"),
    ("make -j", "make", "printf 'all: a b\\na b:\\n\\ttrue\\n' > Makefile && make -s -j2"),
    ("curl from a local server", "curl", "python3 -m http.server 18431 --bind 127.0.0.1 "
     "2>/dev/null & for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; "
     "curl -sf http://127.0.0.1:18431/ >/dev/null && r=0 && break; r=1; done; kill %1; exit $r"),
    ("apt reads its lists", "apt-get", "apt-get indextargets >/dev/null"),
    ("setarch -R, as test suites use it", "setarch", "setarch -R true"),
    ("timeout, nice, nohup", "timeout", "timeout 5 nice nohup true"),
    ("ulimit for oneself", "bash", "bash -c 'ulimit -n 512 && test $(ulimit -n) = 512'"),
    ("script makes a terminal", "script", "script -qec 'test -t 0' /dev/null </dev/null"),
    ("openssl", "openssl", "openssl rand -hex 4 >/dev/null && openssl speed -seconds 1 -bytes 16 "
     "sha256 >/dev/null 2>&1"),
    ("ssh-agent", "ssh-agent", "ssh-agent sh -c 'ssh-add -l; test $? = 1'"),
    ("valgrind", "valgrind", "valgrind -q ./prog"),
    ("docker's client without a daemon says so", "docker",
     "docker -H unix:///nowhere ps 2>&1 | grep -qi 'cannot connect\\|failed to connect'"),
    ("chromium without its sandbox", "chromium", "chromium --headless --no-sandbox --disable-gpu "
     "--dump-dom about:blank | grep -q html"),
]
IN_NETNS = [
    ("bwrap makes its namespaces", "bwrap", "bwrap --unshare-all --ro-bind / / --proc /proc true"),
    ("unshare makes a network", "unshare", "unshare -n ip link >/dev/null"),
    ("nsenter goes back", "nsenter", "nsenter -t $$ -n true"),
]
FILES = {
    "prog.c": "int main(void) { return 0; }\n",
    "thread.c": "#include <pthread.h>\nstatic void *f(void *p) { return p; }\nint main(void) { "
                "pthread_t t; return pthread_create(&t, 0, f, 0) || pthread_join(t, 0); }\n",
    "T.java": "public class T { public static void main(String[] a) throws Exception { "
              "Thread t = new Thread(() -> {}); t.start(); t.join(); "
              "new java.net.ServerSocket(0).close(); } }\n",
    "x.go": "package main\nimport \"net\"\nfunc main() { l, e := net.Listen(\"tcp\", "
            "\"127.0.0.1:0\"); if e != nil { panic(e) }; l.Close() }\n",
    "http.js": "const h = require('http'); const s = h.createServer((q, r) => r.end('x')); "
               "s.listen(0, '127.0.0.1', () => h.get({port: s.address().port, "
               "host: '127.0.0.1'}, r => { r.resume(); r.on('end', () => process.exit(0)); }));\n",
    "aio.py": "import asyncio\nasync def main():\n"
              "    s = await asyncio.start_server(lambda r, w: w.close(), '127.0.0.1', 0)\n"
              "    r, w = await asyncio.open_connection(*s.sockets[0].getsockname())\n"
              "    assert await r.read() == b''\n"
              "    p = await asyncio.create_subprocess_exec('true')\n"
              "    assert await p.wait() == 0\nasyncio.run(main())\n",
}


def works(which, what, needed, command, directory):
    """None, "skip" or what went wrong; the same command without the filter decides first."""
    if not shutil.which(needed):
        return "skip"
    argv = ["bash", "-c", command]
    env = dict(os.environ, HOME=directory, PATH="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:"
               "/usr/local/go/bin", GIT_CONFIG_NOSYSTEM="1")

    def one(wrap):
        place = tempfile.mkdtemp(dir=directory)
        for name, text in FILES.items():
            with open(place + "/" + name, "w") as f:
                f.write(text)
        shutil.copy(directory + "/prog", place)
        try:
            return subprocess.run(wrap + argv, cwd=place, env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=120, errors="replace")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(argv, 999, "no end")
    filtered = one([PROBE, which])
    if not filtered.returncode:
        return None
    bare = one([])
    return "skip" if bare.returncode else "%s: %s" % (what, filtered.stdout[-400:])


def work_case(which, row):
    def one():
        with tempfile.TemporaryDirectory(prefix="airlock-filter.") as directory:
            with open(directory + "/prog.c", "w") as f:
                f.write(FILES["prog.c"])
            subprocess.run(["gcc", "-g", directory + "/prog.c", "-o", directory + "/prog"],
                           check=True)
            wrong = works(which, row[0], row[1], row[2], directory)
        if wrong == "skip":
            skip("%s is not here or does not work unfiltered" % row[1])
        assert not wrong, wrong
    one.__name__ = "%s_works_under_%s" % (re.sub(r"\W+", "_", row[0]), which)
    case(one)


for _which in FILTERS:
    for _row in WORK + (IN_NETNS if _which == "netns" else []):
        work_case(_which, _row)


if __name__ == "__main__":
    lib.TIMEOUT_S = 150  # a compiler, a JVM and others' work beside us
    main()
