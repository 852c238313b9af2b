"""airlock sandbox: one command under the seal, for root and for a plain user: its exit
status, signals and terminal are the command's, and nothing gets out, whoever dies first."""
import errno
import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading

import lib
from lib import AIRLOCK, case, children, main, skip, start, until
from nets import pair
from users import AS_USER, need_root, need_user_namespaces, users

lib.TIMEOUT_S = 90  # a failing call takes some two hundred runs of the sandbox
HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
SANDBOX = [AIRLOCK, "sandbox"]


class Folder(tempfile.TemporaryDirectory):
    """A working folder that uid 1000 may use too."""

    def __enter__(self):
        name = super().__enter__()
        os.chmod(name, 0o777)
        return name


def run(argv, prefix=(), seconds=15, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("cwd", "/tmp")
    return subprocess.run(list(prefix) + argv, capture_output=True, text=True,
                          timeout=seconds * lib.PATIENCE, **options)


def good(argv, **options):
    r = run(argv, **options)
    assert r.returncode == 0, (argv, r.returncode, r.stdout, r.stderr)
    return r.stdout


def beside_a_proxy(folder):
    """airlock's programs in a folder of their own, with a stand-in for airlock-proxy."""
    os.chmod(folder, 0o755)
    for name in ("airlock", "airlock-lock", "airlock-notify"):
        source = os.path.dirname(AIRLOCK) + "/" + name
        if not os.path.exists(source):
            source = os.path.dirname(AIRLOCK) + "/../libexec/airlock/" + name
        shutil.copy(source, folder)
    shutil.copy(HERE + "/fake_proxy.py", folder)
    with open(folder + "/airlock-proxy", "w") as f:
        f.write("#!/bin/sh\nexec %s %s/fake_proxy.py \"$@\"\n" % (PYTHON, folder))
    os.chmod(folder + "/airlock-proxy", 0o755)
    return [folder + "/airlock", "sandbox"]


LOCKS = ("netns", "notify", "closed")


def holding(prefix, net="off"):
    """The locks that hold here for these rights."""
    return [lock for lock in LOCKS if not (lock == "closed" and net != "off")
            and run(SANDBOX + ["--lock", lock, "--", "true"], prefix).returncode == 0]


# --- the command's own -------------------------------------------------------------------------

@case
def the_exit_status_is_the_commands():
    for name, prefix in users():
        for n in (0, 1, 7, 125, 255):
            r = run(SANDBOX + ["--", "sh", "-c", "exit %d" % n], prefix)
            assert r.returncode == n and not r.stderr, (name, n, r.returncode, r.stderr)
        assert run(SANDBOX + ["sh", "-c", "kill -9 $$"], prefix).returncode == 137


@case
def a_missing_or_unrunnable_command_is_127_or_126_and_named():
    for command, status in (("no-such-program", 127), ("/etc/passwd", 126), ("/no/such", 127)):
        r = run(SANDBOX + ["--", command])
        assert r.returncode == status and command in r.stderr, (r.returncode, r.stderr)
        assert len(r.stderr.splitlines()) == 1, r.stderr


@case
def a_wrong_command_line_is_2_with_one_line():
    for argv in ([], ["--"], ["--net", "on", "true"], ["--net"], ["--fs", "x", "true"],
                 ["--lock", "x", "true"], ["--lock", "netfilter", "true"], ["--no-such-option", "true"],
                 ["--allow", "a.example", "true"], ["--journal", "/tmp/x", "true"]):
        r = run(SANDBOX + argv)
        assert r.returncode == 2 and len(r.stderr.splitlines()) == 1, (argv, r.stderr)


@case
def input_output_and_environment_are_the_commands():
    r = subprocess.run(SANDBOX + ["--", "sh", "-c", "cat; echo $MARK >&2"], input=b"in\n",
                       capture_output=True, env=dict(os.environ, MARK="m"), cwd="/tmp", timeout=10)
    assert (r.stdout, r.stderr) == (b"in\n", b"m\n")
    # A pipe by number, as a shell's <(...) makes one.
    out = good(["bash", "-c", " ".join(SANDBOX) + " cat <(echo piped)"])
    assert out == "piped\n"


@case
def signals_are_forwarded_and_end_it_as_they_end_the_command():
    trap = ("import signal,sys,time\nfor n in (%s): signal.signal(n, lambda n, f: (print(n, "
            "flush=True)))\nprint('up', flush=True)\nwhile True: time.sleep(0.01)")
    wanted = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
              signal.SIGWINCH]
    p = start(SANDBOX + ["--", PYTHON, "-c", trap % ",".join(str(int(n)) for n in wanted)],
              cwd="/tmp")
    assert p.stdout.readline() == b"up\n"
    for n in wanted:
        p.send_signal(n)
        assert p.stdout.readline().decode().strip() == str(int(n))
    p.send_signal(signal.SIGQUIT)
    assert p.wait(10) == 128 + signal.SIGQUIT
    p = start(SANDBOX + ["--", "sleep", "30"], cwd="/tmp")
    until(lambda: children(p.pid), "the command")
    p.terminate()
    assert p.wait(10) == 143


@case
def a_stopped_command_stops_it_and_goes_on_with_it():
    p = start(SANDBOX + ["--", "sh", "-c", "kill -STOP $$; echo on"], cwd="/tmp")
    until(lambda: open("/proc/%d/stat" % p.pid).read().rsplit(") ", 1)[1][0] == "T", "stopped")
    p.send_signal(signal.SIGCONT)
    out, err = p.communicate(timeout=10)
    assert out == b"on\n" and p.returncode == 0, (out, err)


def on_terminal(argv, act):
    """Runs argv with a terminal of its own; act(master) drives it. (output, exit status)."""
    pid, master = pty.fork()
    if not pid:
        os.execv(argv[0], argv)
    try:
        act(master)
        out = b""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                break
            if not data:
                break
            out += data
        return out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(master)


def read_until(master, word):
    seen = b""
    while word not in seen:
        seen += os.read(master, 1024)


@case
def ctrl_c_reaches_the_command_once():
    code = ("import signal,time\nn = []\nsignal.signal(2, lambda *a: n.append(1))\n"
            "print('up', flush=True)\nend = time.time() + 5\n"
            "while not n and time.time() < end: time.sleep(0.01)\n"
            "time.sleep(0.3)\nprint('got', len(n))")

    def act(master):
        read_until(master, b"up")
        os.write(master, b"\x03")
    out, status = on_terminal(SANDBOX + ["--", PYTHON, "-c", code], act)
    assert b"got 1" in out and status == 0, (out, status)


@case
def the_terminal_cannot_be_typed_into():
    code = ("import fcntl,sys\ntry: fcntl.ioctl(0, %d, b'x')\nexcept OSError as e: "
            "print('errno', e.errno)\nelse: print('typed')" % termios.TIOCSTI)
    for lock in holding([]):
        out, _ = on_terminal(SANDBOX + ["--lock", lock, "--", PYTHON, "-c", code], lambda m: None)
        assert b"errno %d" % errno.EPERM in out, (lock, out)


# --- the ladder --------------------------------------------------------------------------------

@case
def the_strongest_lock_that_holds_is_taken_and_named():
    need_user_namespaces()
    for name, prefix in users():
        r = run(SANDBOX + ["-v", "--prove", "--", "true"], prefix)
        want = "lock notify" if name == "nobody" else "lock netns"
        assert r.returncode == 0 and want in r.stderr and "Landlock" in r.stderr, (name, r.stderr)


@case
def every_lock_that_holds_is_proved_for_whoever_asks():
    for name, prefix in users():
        locks = holding(prefix)
        assert locks, name
        for lock in locks:
            r = run(SANDBOX + ["--lock", lock, "--prove", "--", "echo", "ran"], prefix)
            assert r.stdout == "ran\n" and not r.stderr, (name, lock, r.stdout, r.stderr)


@case
def none_that_holds_is_73_with_each_ones_errno_and_what_would_help():
    nobody = dict(users())["nobody"]
    r = run(SANDBOX + ["--lock", "netns", "--", "echo", "ran"], nobody)
    assert r.returncode == 73 and "ran" not in r.stdout, r
    assert "lock netns: leave the network: " in r.stderr and "seccomp=unconfined" in r.stderr
    assert "not starting echo" in r.stderr, r.stderr


@case
def what_the_probe_finds_keeps_the_command_from_starting():
    """A proxy that gives real addresses away: the probe asks for a name and sees one."""
    need_user_namespaces()
    with Folder() as d:
        sandbox = beside_a_proxy(d) + ["--net", "limited"]
        for lock in holding([], "limited"):
            argv = sandbox + ["--lock", lock, "--prove", "--", "echo", "ran"]
            r = run(argv, env=dict(os.environ, FAKE_PROXY_LIES="1"))
            assert r.returncode == 73 and not r.stdout, (lock, r.returncode, r.stdout, r.stderr)
            assert "LEAK dns " in r.stderr and "not starting echo" in r.stderr, (lock, r.stderr)
            assert good(argv) == "ran\n"


# --- what must work ----------------------------------------------------------------------------

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEGIT = {
    "http.server": "python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 & "
                   "export no_proxy=*; for i in $(seq 100); do "
                   "curl -s -o /dev/null localhost:8123 && break; sleep 0.05; done; "
                   "curl -sS -o /dev/null http://127.0.0.1:8123/ && kill $!",
    "asyncio": "python3 -c 'import asyncio\nasync def f():\n"
               " s = await asyncio.start_server(lambda r, w: w.close(), \"127.0.0.1\", 0)\n"
               " r, w = await asyncio.open_connection(*s.sockets[0].getsockname())\n"
               " await r.read()\n"
               " p = await asyncio.create_subprocess_exec(\"true\"); await p.wait()\n"
               "asyncio.run(f())'",
    "multiprocessing": "python3 -c 'import multiprocessing as m\n"
                       "with m.Pool(2) as p: assert p.map(abs, [-1]) == [1]'",
    "node": "node -e 'const h=require(\"http\");const s=h.createServer((q,r)=>r.end(\"x\"));"
            "s.listen(0,\"127.0.0.1\",()=>h.get({port:s.address().port,host:\"127.0.0.1\"},"
            "r=>{r.resume();r.on(\"end\",()=>process.exit(0))}))'",
    "unix sockets": "python3 -c 'import socket,os,tempfile\nd=tempfile.mkdtemp()\n"
                    "s=socket.socket(socket.AF_UNIX);s.bind(d+\"/s\");s.listen()\n"
                    "c=socket.socket(socket.AF_UNIX);c.connect(d+\"/s\")\n"
                    "s.accept()[0].send(b\"x\")\n"
                    "assert c.recv(1)==b\"x\"'",
    "git": "git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty "
           "-m x && git clone -q . ../r2",
    "ip addr": "ip addr >/dev/null",
    "strace": "strace -f -o /dev/null true",
    "threads": "python3 -c 'import threading\nt=threading.Thread(target=print);t.start();t.join()'",
    "scripts and /dev": "echo x > /dev/null; head -c1 /dev/urandom >/dev/null; test -d /proc/self",
}


@case
def what_programs_do_at_home_works_under_every_lock():
    need_user_namespaces()
    for name, prefix in users():
        for lock in holding(prefix):
            for what, shell in LEGIT.items():
                if lock == "closed" and what in ("http.server", "asyncio", "node", "ip addr"):
                    continue    # no INET and no netlink socket at all
                if what == "strace" and not shutil.which("strace"):
                    continue
                if what == "node" and not shutil.which("node"):
                    continue
                with Folder() as d:
                    r = run(SANDBOX + ["--lock", lock, "--", "bash", "-ec", shell], prefix, cwd=d,
                            env={"PATH": PATH, "HOME": d, "TMPDIR": d})
                    assert r.returncode == 0, (name, lock, what, r.stdout, r.stderr)


@case
def a_sandbox_in_a_sandbox_and_bwrap_inside_work():
    need_user_namespaces()
    for name, prefix in users()[:2]:
        out = good(SANDBOX + ["--fs", "full", "--"] + SANDBOX + ["--", "echo", "deep"],
                   prefix=prefix)
        assert out == "deep\n", (name, out)
    if shutil.which("bwrap"):
        prefix = dict(users())["user"]
        out = good(SANDBOX + ["--fs", "full", "--", "bwrap", "--unshare-all", "--ro-bind", "/", "/",
                              "echo", "deep"], prefix=prefix)
        assert out == "deep\n", out


# --- files -------------------------------------------------------------------------------------

def writes(path, prefix, cwd, *options):
    """What shell redirection into path says under the sandbox: True when it worked."""
    r = run(SANDBOX + list(options) + ["--", "sh", "-c", "echo x > %s" % path], prefix, cwd=cwd)
    assert r.returncode in (0, 1, 2) and (r.returncode == 0 or "denied" in r.stderr or
                                          "Read-only" in r.stderr), (path, r.returncode, r.stderr)
    return r.returncode == 0


@case
def each_policy_writes_where_it_may():
    for name, prefix in users():
        for lock in holding(prefix):
            # Outside of what may always be written; a plain user has no such place here.
            place = "/var/cache" if not os.getuid() else None
            with tempfile.TemporaryDirectory(dir=place) as e, \
                    tempfile.TemporaryDirectory(dir=place) as d:
                os.chmod(d, 0o777)
                os.chmod(e, 0o777)
                o = ["--lock", lock]
                assert writes("here", prefix, d, *o), (name, lock)
                if not os.getuid():
                    assert not writes(e + "/x", prefix, d, *o), (name, lock)
                    assert writes(e + "/x", prefix, d, "--root", e, *o)
                    assert writes(e + "/x", prefix, d, "--fs", "full", *o)
                assert writes("/tmp/.sandbox-test-%d" % os.getpid(), prefix, d, *o)
                os.unlink("/tmp/.sandbox-test-%d" % os.getpid())
                assert not writes("there", prefix, d, "--fs", "read-only", *o), (name, lock)
                assert writes("/dev/null", prefix, d, "--fs", "read-only", *o)
                # Neither moved away, cut, nor linked.
                r = run(SANDBOX + ["--fs", "read-only", *o, "--", "sh", "-c",
                                   "mv here gone; ln here too; mkdir x; rm here; "
                                   "truncate -s0 here; ls"], prefix, cwd=d)
                assert r.stdout == "here\n", (name, lock, r.stdout, r.stderr)
                assert os.stat(d + "/here").st_size == 2


@case
def git_metadata_of_the_workspace_is_read_only():
    need_user_namespaces()
    for name, prefix in users()[:3]:
        with tempfile.TemporaryDirectory() as d:
            subprocess.run(["git", "init", "-q", d], check=True)
            subprocess.run(["chmod", "-R", "a+rwX", d], check=True)
            r = run(SANDBOX + ["--lock", "netns", "--", "sh", "-c",
                               "echo x >> .git/config; echo y > .git/hooks/post-checkout; "
                               "mv .git gone; rm -rf .git; echo z > file; ls -A"], prefix, cwd=d)
            assert r.stdout.split() == [".git", "file"], (name, r.stdout, r.stderr)
            assert "x" not in open(d + "/.git/config").read().split("\n")
            assert not os.path.exists(d + "/.git/hooks/post-checkout")


@case
def airlocks_own_programs_are_read_only_wherever_they_are():
    need_user_namespaces()
    with Folder() as d:
        os.mkdir(d + "/programs")
        sandbox = beside_a_proxy(d + "/programs")
        os.chmod(d + "/programs", 0o777)
        r = run(sandbox + ["--lock", "netns", "--", "sh", "-c",
                           "mv programs gone; rm programs/airlock-lock; echo > programs/airlock; "
                           "echo > programs/new; ls; ls programs"], cwd=d)
        assert r.stdout.split() == ["programs"] + sorted(os.listdir(d + "/programs")), r.stdout
        assert os.path.getsize(d + "/programs/airlock") > 1000 and len(r.stdout.split()) == 6


# --- hostile -----------------------------------------------------------------------------------

@case
def inherited_sockets_do_not_come_along():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    tcp = socket.create_connection(listener.getsockname())
    os.dup2(tcp.fileno(), 99)
    for lock in holding([]):
        r = run(SANDBOX + ["--lock", lock, "--", "sh", "-c", "test -e /proc/self/fd/99"],
                pass_fds=[99])
        assert r.returncode == 1, (lock, r.returncode, r.stderr)
    os.close(99)


def give_away(server, gift):
    while True:
        try:
            taken, _ = server.accept()
        except OSError:
            return
        with taken:
            socket.send_fds(taken, [b"x"], [gift.fileno()])


@case
def a_git_folder_that_cannot_be_protected_is_named():
    user = dict(users())["user"]
    with Folder() as d:
        good(["git", "init", "-q", "."], prefix=user, cwd=d)
        for lock in ("notify", "closed"):
            argv = SANDBOX + ["--lock", lock, "--", "true"]
            r = run(argv, user, cwd=d)
            assert r.returncode == 0 and d + "/.git can be written" in r.stderr, (lock, r)
            assert not run(argv, user).stderr, lock  # in /tmp there is none


MACHINE = """
import os, stat
for at in ("/dev/disk", "/dev/deep/er/disk"):
    if stat.S_ISBLK(os.stat(at).st_mode): print("a disk,", at)
for at in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"):
    try: os.close(os.open(at, os.O_WRONLY)); print("may write", at)
    except OSError: pass
print("done")
"""
OF_ROOT = ("mount -t tmpfs t /dev; mkdir -p /dev/deep/er; mknod /dev/disk b 7 0; "
           "mknod /dev/deep/er/disk b 7 1; mknod -m 666 /dev/null c 1 3; "
           "mknod -m 666 /dev/urandom c 1 9; exec \"$@\"")


@case
def root_gets_neither_the_disks_nor_the_kernels_settings():
    """A program for core_pattern is run outside; a disk has every file of the machine."""
    need_root()
    outside = ["unshare", "-m", "sh", "-ec", OF_ROOT, "sh"]
    seen = good([PYTHON, "-c", MACHINE], prefix=outside)
    assert "a disk, /dev/disk" in seen and "a disk, /dev/deep/er/disk" in seen, seen
    assert "core_pattern" in seen or not os.access("/proc/sys/kernel/core_pattern", os.W_OK), seen
    for lock in LOCKS:
        argv = SANDBOX + ["--fs", "full", "--lock", lock, "--", PYTHON, "-c", MACHINE]
        assert good(argv, prefix=outside) == "done\n", lock


@case
def no_lock_holds_for_a_root_that_may_set_up_the_kernel():
    """A container with systempaths=unconfined: no right to mount, and /proc/sys as it is."""
    need_root()
    if os.statvfs("/proc/sys").f_flag & os.ST_RDONLY:
        skip("/proc/sys is read-only here")
    for lock in ("notify", "closed"):
        r = run(SANDBOX + ["--lock", lock, "--", "echo", "ran"],
                ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"])
        assert r.returncode == 73 and not r.stdout and "/proc/sys" in r.stderr, (lock, r)


@case
def a_helper_outside_cannot_be_asked_for_a_socket():
    """It listens on a path and passes a connected socket to whoever comes."""
    code = ("import socket,sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(3)\n"
            "try: s.connect(%r)\nexcept OSError as e: sys.exit(e.errno)\n"
            "sys.exit(200 + len(socket.recv_fds(s, 1, 1)[1]))")
    gift = socket.socket()
    gift.bind(("127.0.0.1", 0))
    for name, prefix in users():
        for lock in holding(prefix):
            with Folder() as d:
                s = socket.socket(socket.AF_UNIX)
                s.bind(d + "/s")
                s.listen()
                os.chmod(d + "/s", 0o777)
                threading.Thread(target=give_away, args=(s, gift), daemon=True).start()
                asks = [PYTHON, "-c", code % (d + "/s")]
                assert run(asks, prefix).returncode == 201
                r = run(SANDBOX + ["--lock", lock, "--"] + asks, prefix)
                refused = (errno.ECONNREFUSED, errno.EACCES, errno.EPERM)
                # Where nothing can be covered, the lock does not hold beside it.
                assert r.returncode in refused or \
                    (r.returncode == 73 and "cover %s/s" % d in r.stderr), \
                    (name, lock, r.returncode, r.stderr)
                s.close()


@case
def the_sandbox_itself_cannot_be_joined_traced_read_or_signalled():
    code = """if 1:
        import ctypes, os, sys
        libc, bad, pid = ctypes.CDLL(None), [], os.getppid()
        for ns in ("net", "user", "mnt"):
            try:
                fd = os.open("/proc/%d/ns/%s" % (pid, ns), os.O_RDONLY)
                if libc.setns(fd, 0) == 0: bad.append(ns)
            except OSError: pass
        if libc.ptrace(0x4206, pid, 0, 0) == 0: bad.append("seize")
        for name in ("mem", "environ", "fd/0"):
            try: os.open("/proc/%d/%s" % (pid, name), os.O_RDONLY); bad.append(name)
            except OSError: pass
        for n in (0, 9):
            try: os.kill(pid, n); bad.append("kill %d" % n)
            except OSError: pass
        sys.exit(repr(bad) if bad else 0)"""
    for name, prefix in users():
        for lock in holding(prefix):
            r = run(SANDBOX + ["--lock", lock, "--", PYTHON, "-c", code], prefix)
            assert r.returncode == 0, (name, lock, r.stderr)


@case
def the_command_ends_with_the_sandbox():
    for lock in holding([]):
        p = start(SANDBOX + ["--lock", lock, "--", "sh", "-c", "echo $$; exec sleep 60"],
                  cwd="/tmp")
        pid = int(p.stdout.readline())
        p.kill()
        p.wait()
        until(lambda: not os.path.exists("/proc/%d" % pid) or
              open("/proc/%d/stat" % pid).read().rsplit(") ", 1)[1][0] == "Z", "the command ends")


LOCK = os.path.dirname(AIRLOCK) + "/airlock-lock"
if not os.path.exists(LOCK):
    LOCK = os.path.dirname(AIRLOCK) + "/../libexec/airlock/airlock-lock"


def never_open(argv, what, **options):
    """The probe is the command: it may not run, and where it does nothing may be open."""
    r = run(argv + [LOCK, "--probe", "off", "--quiet"], **options)
    leaks = [line for line in r.stderr.splitlines() if line.startswith("LEAK ")
             and not line.startswith("LEAK own-")]    # what fails to work is no way out
    assert not leaks and r.returncode in (0, 73, 126, 127), (what, r.returncode, r.stderr)
    return r.returncode


@case
def short_of_descriptors_it_fails_closed():
    codes = [never_open(["sh", "-c", 'ulimit -n %d; exec "$@"' % n, "sh"] + SANDBOX + ["--"],
                        "ulimit -n %d" % n) for n in range(3, 16)]
    assert codes[0] and not codes[-1], codes


@case
def whatever_system_call_fails_it_fails_closed():
    if not shutil.which("strace"):
        skip("needs strace")
    calls = ("unshare mount mount_setattr landlock_create_ruleset landlock_add_rule "
             "landlock_restrict_self seccomp prctl capset capget socket sendto recvfrom bind "
             "socketpair readlink getdents64 fcntl lseek chdir setresuid setgroups "
             "ioctl write close_range").split()
    ran = 0
    with Folder() as d:
        # By this name the program is `airlock sandbox`, with no exec before the command's.
        os.symlink(LOCK, d + "/sandbox")
        env = dict(os.environ, PATH=d + ":" + os.environ["PATH"])
        for lock in holding([]):
            for call in calls:
                for error in ("EPERM", "ENOSYS", "ENOMEM"):
                    if error != "EPERM" and call not in ("unshare", "mount", "seccomp", "prctl"):
                        continue
                    code = never_open(["strace", "-f", "-qq", "-b", "execve", "-o", "/dev/null",
                                       "-e", "inject=%s:error=%s" % (call, error), "sandbox",
                                       "--lock", lock, "--"], (lock, call, error), env=env)
                    ran += code == 0
    assert ran, "the injection let nothing run: it was not aimed at the sandbox"


# --- with a proxy ------------------------------------------------------------------------------

@case
def the_proxy_is_started_told_the_policy_and_ended():
    need_user_namespaces()
    with Folder() as d:
        sandbox = beside_a_proxy(d)
        journal = d + "/journal"
        r = run(sandbox + ["--net", "limited", "--allow", "*.a.example", "--deny", "b.example",
                           "--methods", "GET,HEAD", "--journal", journal, "--prove", "--",
                           "curl", "--noproxy", "*", "-sS", "http://203.0.113.7:81/"], seconds=18)
        assert r.returncode == 0 and r.stdout == "203.0.113.7:81", (r.stdout, r.stderr)
        policy = ("allow *.a.example\ndeny b.example\nmethods GET,HEAD\nmode limited\n")
        until(lambda: os.path.getsize(journal), "the proxy's last words")
        assert open(journal).read() == "prove: %ssandbox: %s" % (policy, policy)


@case
def the_proxys_authority_is_made_known_to_the_command_and_goes_with_it():
    need_user_namespaces()
    with Folder() as d:
        sandbox = beside_a_proxy(d) + ["--net", "full", "--"]
        command = ["sh", "-c", "echo $SSL_CERT_FILE; cat $SSL_CERT_FILE"]
        env = dict(os.environ, FAKE_PROXY_PEM="1", SSL_CERT_FILE="before")
        r = run(sandbox + command, env=env)
        assert r.stdout.split() == ["before"] and "airlock-trust is not" in r.stderr, r
        with open(d + "/airlock-trust", "w") as f:
            f.write("#!/bin/sh\ncat > $2/ca.pem; echo SSL_CERT_FILE=$2/ca.pem; echo B=2\n")
        os.chmod(d + "/airlock-trust", 0o755)
        for lock in holding([], "full"):
            r = run(sandbox[:-1] + ["--lock", lock, "--"] + command, env=env)
            path, text = r.stdout.split("\n", 1)
            assert text == "a certificate\n" and path.startswith("/tmp/"), (lock, r)
            assert not os.path.exists(os.path.dirname(path)), path


@case
def the_same_through_the_notify_lock():
    with Folder() as d:
        sandbox = beside_a_proxy(d) + ["--lock", "notify", "--net", "full"]
        for name, prefix in users():
            if "notify" not in holding(prefix):
                continue
            r = run(sandbox + ["--", "sh", "-c", "curl -sS http://x.example/; getent hosts "
                               "x.example || echo; getent hosts allowed.example"], prefix)
            assert "127.0.0.1:" in r.stdout and "198.18.0.1" in r.stdout, (name, r.stdout, r.stderr)


def kill_during(lock, net, victim):
    """Kills a process of the sandbox's; the exit status, and the command's pid."""
    with Folder() as d:
        sandbox = beside_a_proxy(d)
        p = start(sandbox + ["--lock", lock, "--net", net, "--", "sh", "-c",
                             "echo $$; exec sleep 60"], cwd="/tmp")
        command = int(p.stdout.readline())

        def named():
            for pid in children(p.pid):
                try:
                    words = open("/proc/%d/cmdline" % pid).read()
                except OSError:
                    continue
                if victim in words and pid != command:
                    return pid
            return None
        os.kill(until(named, victim), signal.SIGKILL)
        out, err = p.communicate(timeout=10)
        assert not os.path.exists("/proc/%d" % command)
        return p.returncode, err.decode()


@case
def the_command_does_not_outlive_its_proxy_or_its_notifier():
    need_user_namespaces()
    status, err = kill_during("netns", "limited", "fake_proxy")
    assert status == 73 and "the proxy ended" in err, (status, err)
    if "notify" in holding([]):
        status, err = kill_during("notify", "limited", "fake_proxy")
        assert status == 73 and "ended: ending the command" in err, (status, err)
        status, err = kill_during("notify", "off", "airlock-notify")
        assert status == 73 and "the notifier ended" in err, (status, err)


@case
def a_proxy_that_is_not_there_is_73():
    with Folder() as d:
        sandbox = beside_a_proxy(d)
        os.unlink(d + "/airlock-proxy")
        r = run(sandbox + ["--net", "full", "--", "echo", "ran"])
        assert r.returncode == 73 and "ran" not in r.stdout and "airlock-proxy" in r.stderr, r


def answer_ok(say):
    server = socket.create_server(("203.0.113.5", 80))
    say("ready")
    while True:
        taken, _ = server.accept()
        taken.recv(1000)
        taken.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        taken.close()


@case
def the_real_proxy_lets_out_what_is_allowed_and_nothing_else():
    if not os.path.exists(os.path.dirname(AIRLOCK) + "/airlock-proxy"):
        skip("no airlock-proxy in this build")
    box, world = pair()
    world.serve(answer_ok)
    shell = ("for p in '*' ''; do for h in 203.0.113.5 203.0.113.6; do "
             "curl --noproxy \"$p\" -sS -m 5 -o /dev/null -w '%{http_code} ' http://$h/; "
             "done; done")
    for lock in ("netns", "notify"):
        for prefix in ([], AS_USER):
            r = box.run(*prefix, *SANDBOX, "--lock", lock, "--net", "limited", "--allow",
                        "203.0.113.5", "--prove", "--", "sh", "-c", shell)
            words = r.stdout.split()
            assert words[0] == "200" and "200" not in words[1], (lock, prefix, r.stdout)
            assert r.stdout.count("200") == 2 and "403" in r.stdout, (lock, prefix, r.stdout)


main()
