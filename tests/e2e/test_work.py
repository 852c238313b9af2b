"""Work: the agent's exit is the task's, its rights are none, its network is closed,
and nothing it does to PID 1 has an effect."""
import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import termios
import time

from lib import AIRLOCK, case, children, main
from task import Task

PYTHON = "/usr/bin/python3"


def task():
    t = Task()
    t.repo()
    return t


def python(code):
    return [PYTHON, "-c", code]


# --- exit status ---------------------------------------------------------------------------

@case
def the_agents_exit_is_ours():
    for n in (0, 1, 3, 70, 255):
        r = task().run("exit %d" % n).expect(n)
        assert r.result["agent"]["exit"] == n and r.result["status"] == "done", r.result
        assert r.result["airlock_status"] == 0


@case
def death_by_signal_is_128_plus_its_number():
    for n, name in ((9, "KILL"), (11, "SEGV"), (15, "TERM")):
        r = task().run("kill -%d $$; sleep 9" % n).expect(128 + n)
        assert name in r.result["agent"]["signal"] and r.result["agent"]["exit"] is None


@case
def a_missing_or_unrunnable_command_is_127_or_126_and_named():
    for command, code in ((["no-such-agent"], 127), (["/etc/passwd"], 126), (["/etc"], 126),
                          (["/no/such"], 127)):
        r = task().run(command).expect(code)
        assert command[0] in r.err, r.err
        assert r.result["agent"]["ran"] is False or r.result["status"] == "failed", r.result


@case
def the_agents_deadline_is_76_with_a_report():
    t = task()
    spec = t.spec("echo half >> a.txt; echo so far; sleep 60")
    spec["agent"]["timeout_s"] = 1
    t.spec = lambda *a, **k: spec
    r = t.run().expect(76)
    assert r.result["status"] == "deadline" and r.result["agent"]["timed_out"] is True
    assert "+half" in r.diff and r.answer == "so far\n"


@case
def an_agent_that_ignores_term_is_killed_at_its_deadline():
    t = task()
    spec = t.spec("echo half >> a.txt; trap '' TERM; while :; do sleep 0.2; done")
    spec["agent"]["timeout_s"] = 1
    t.spec = lambda *a, **k: spec
    began = time.monotonic()
    r = t.run().expect(76)
    assert time.monotonic() - began < 10 and "+half" in r.diff


@case
def what_the_agent_leaves_is_ended():
    r = task().run("setsid sleep 60 & (trap '' TERM; exec setsid sleep 60) & sleep 0.1").expect(0)
    assert r.result["leftovers"]["agent"] >= 2, r.result


# --- rights --------------------------------------------------------------------------------

def status_fields(answer):
    return dict(x.split(":\t", 1) for x in answer.splitlines() if ":\t" in x)


@case
def whoever_ignores_term_is_waited_for_without_haste():
    """While the proxy is spared the world stands still for each look, every 5 ms; the stops
    that this makes are no reason to look again at once (27,000 switches in those 2 s)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw
    task().run("(trap '' TERM; exec sleep 60) & sleep 0.1", network={"agent": "limited"}).expect(0)
    switches = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw - before
    assert switches < 9000, switches


@case
def the_agent_has_no_capability_and_can_gain_none():
    f = status_fields(task().run("cat /proc/self/status").expect(0).answer)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(f[name], 16) == 0, (name, f[name])
    assert f["NoNewPrivs"].strip() == "1" and f["Uid"].split() == ["0"] * 4


@case
def agent_user_is_another_user_who_owns_the_tree():
    t = task()
    spec = t.spec("id -u; id -g; id -G; cat /proc/self/status; echo x >> a.txt; mkdir d && "
                  "echo y > d/y; echo s >> deep/er; git status --porcelain >&2; "
                  "test ! -w /etc/passwd || echo writable", setup="mkdir deep; touch deep/er")
    spec["agent"]["user"] = "nobody"
    t.spec = lambda *a, **k: spec
    r = t.run().expect(0)
    f = status_fields(r.answer)
    assert r.answer.split()[:3] == ["65534"] * 3, r.answer
    assert f["Groups"].split() == ["65534"] and int(f["CapEff"], 16) == 0
    assert int(f["CapBnd"], 16) == 0 and f["NoNewPrivs"].strip() == "1"
    assert "writable" not in r.answer
    for want in ("+x", "b/d/y", "b/deep/er"):
        assert want in r.diff, r.diff
    assert "dubious" not in r.err, r.err


@case
def agent_user_may_write_its_answer():
    t = task()
    spec = t.spec("echo z > $AIRLOCK_ANSWER; echo to stdout")
    spec["agent"]["user"] = "65534:65534"
    t.spec = lambda *a, **k: spec
    assert t.run().expect(0).answer == "z\n"


@case
def an_unknown_user_is_70():
    t = task()
    spec = t.spec("true")
    spec["agent"]["user"] = "no-such-user"
    t.spec = lambda *a, **k: spec
    r = t.run().expect(70)
    assert "no-such-user" in r.reason()


@case
def nothing_that_pid_1_runs_later_has_more_rights_than_the_agent():
    """The agent may replace any program of the image; PID 1 runs git and rm after it."""
    t = task()
    r = t.run("""
        for name in rm git chown sh; do
            printf '#!/bin/bash\\n{ echo %s; grep -E "CapEff|NoNewPrivs" /proc/self/status; } """
              """>> %s/rights\\nexit 0\\n' $name """
              + t.out + """ > /usr/local/bin/$name; chmod +x /usr/local/bin/$name
        done""",
              popen={"env": dict(os.environ, PATH="/usr/local/bin:/usr/bin:/bin")})
    rights = r.file("rights")
    assert "git" in rights, "the case replaced nothing: " + r.err
    for line in rights.splitlines():
        if line.startswith("CapEff"):
            assert int(line.split()[1], 16) == 0, rights
        if line.startswith("NoNewPrivs"):
            assert line.split()[1] == "1", rights


@case
def pid_1_is_out_of_reach():
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for name in ("environ", "mem", "maps", "fd/0", "exe", "root/etc", "cwd", "auxv", "syscall"):
    try:
        f = os.open("/proc/1/" + name, os.O_RDONLY); n = len(os.read(f, 10)); print("READ", name, n)
    except OSError as e: pass
for request in (16, 0x4206):
    if libc.ptrace(request, 1, 0, 0) == 0: print("TRACED", request)
buf = ctypes.create_string_buffer(8)
class iov(ctypes.Structure): _fields_ = [("b", ctypes.c_void_p), ("n", ctypes.c_size_t)]
l, r = iov(ctypes.addressof(buf), 8), iov(0x400000, 8)
if libc.process_vm_readv(1, ctypes.byref(l), 1, ctypes.byref(r), 1, 0) > 0: print("VM_READ")
fd = libc.syscall(434, 1, 0)
if fd >= 0 and libc.syscall(438, fd, 0, 0) >= 0: print("PIDFD_GETFD")
for what in ("/proc/1/comm", "/proc/1/timerslack_ns", "/proc/1/clear_refs"):
    try: os.write(os.open(what, os.O_WRONLY), b"999"); print("WROTE", what)
    except OSError: pass
print("tried")
"""
    r = task().run(python(code)).expect(0)
    assert r.answer == "tried\n", r.answer


# --- signals -------------------------------------------------------------------------------

@case
def signals_from_inside_are_ignored_and_journalled():
    r = task().run("for s in TERM INT QUIT HUP USR1 KILL STOP; do kill -$s 1; done; sleep 0.3; "
                   "echo alive").expect(0)
    assert r.answer == "alive\n" and r.result["ignored_signals"] >= 5, r.result
    got = {e["signal"] for e in r.event("signal_ignored")}
    assert {"SIGTERM", "SIGINT"} <= got or {"TERM", "INT"} <= got, got
    assert r.result["status"] == "done"


FORGED = """
import ctypes, os, struct, time
libc = ctypes.CDLL(None, use_errno=True)
def info(code): return struct.pack("iiii", 15, 0, code, 0) + struct.pack("ii", 0, 0) + b"\\0" * 104
for code in (-1, -2, -3, -4, -5, -6, -60, 0, 0x80, 1, 2):
    libc.syscall(129, 1, 15, info(code))     # rt_sigqueueinfo
    libc.syscall(297, 1, 1, 15, info(code))  # rt_tgsigqueueinfo
fd = libc.syscall(434, 1, 0)
for code in (-1, -6, 0, 0x80): libc.syscall(424, fd, 15, info(code), 0)  # pidfd_send_signal
libc.syscall(200, 1, 15); libc.syscall(234, 1, 1, 15)  # tkill, tgkill
os.kill(1, 15)  # most of these the filter refuses; this one PID 1 ignores
"""


@case
def a_forged_si_pid_of_0_is_not_the_outside():
    r = task().run(python(FORGED + "time.sleep(0.5); print('alive', flush=True)")).expect(0)
    assert r.answer == "alive\n" and r.result["ignored_signals"] >= 1, r.result


@case
def a_kernel_signal_that_the_agent_orders_is_not_the_outside():
    """F_SETOWN to PID 1 and F_SETSIG TERM: the kernel sends it, with si_code POLL_IN and
    no pid at all. Then a lease and a directory notice, which travel the same road."""
    code = """
import fcntl, os, signal, socket, time
for sig in (signal.SIGTERM, signal.SIGINT, 34):
    a, b = socket.socketpair()
    fcntl.fcntl(a, fcntl.F_SETOWN, 1)
    try: fcntl.fcntl(a, fcntl.F_SETSIG, sig)
    except PermissionError: pass  # the filter knows this road
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    b.send(b"x")
    time.sleep(0.2)
d = os.open(".", os.O_RDONLY)
fcntl.fcntl(d, fcntl.F_SETSIG, 34)  # the filter refuses those that PID 1 heeds
fcntl.fcntl(d, fcntl.F_SETOWN, 1)
try: fcntl.fcntl(d, fcntl.F_NOTIFY, fcntl.DN_CREATE)
except OSError: pass
open("noticed", "w").close()
time.sleep(0.5)
print("alive", flush=True)
"""
    r = task().run(python(code)).expect(0)
    assert r.answer == "alive\n", r.answer


@case
def a_storm_of_signals_does_not_fill_the_journal():
    r = task().run(python("import os\nfor i in range(20000): os.kill(1, 10 if i % 2 else 15)")
                   ).expect(0)
    assert len(r.event("signal_ignored")) <= 100 and r.result["status"] == "done"


@case
def term_from_outside_reaches_the_agent_and_is_77_with_a_report():
    t = task()
    p = t.start("echo x >> a.txt; trap 'echo got TERM; exit 5' TERM; echo up; "
                "while :; do sleep 0.1; done")
    assert p.stdout.readline() == b"up\n"
    p.terminate()
    out, err = p.communicate(timeout=10)
    assert p.returncode == 77 and b"got TERM" in out, (p.returncode, out, err)
    result = json.load(open(t.out + "/result.json"))
    assert result["status"] == "stopped" and "+x" in open(t.out + "/changes.diff").read()


@case
def an_agent_deaf_to_term_is_killed_after_its_grace():
    t = task()
    p = t.start("trap '' TERM; echo x >> a.txt; echo up; while :; do sleep 0.1; done")
    assert p.stdout.readline() == b"up\n"
    began = time.monotonic()
    p.terminate()
    p.communicate(timeout=15)
    assert p.returncode == 77 and time.monotonic() - began < 10
    assert "+x" in open(t.out + "/changes.diff").read()


@case
def stops_that_keep_coming_do_not_cost_the_results():
    """A signal to the process group reaches PID 1 and its parent, which hands it on."""
    t = task()
    p = t.start("echo x >> a.txt; trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done")
    assert p.stdout.readline() == b"up\n"
    while p.poll() is None:
        p.terminate()
        time.sleep(0.002)
    p.communicate(timeout=10)
    result = json.load(open(t.out + "/result.json"))
    assert p.returncode == 77 and result["status"] == "stopped", (p.returncode, result)
    assert "+x" in open(t.out + "/changes.diff").read()


# --- standard streams ----------------------------------------------------------------------

@case
def stdin_is_the_agents():
    t = task()
    p = t.start("cat; echo end", popen={"stdin": subprocess.PIPE})
    out, _ = p.communicate(b"line\n" * 50000, timeout=15)
    assert p.returncode == 0 and out == b"line\n" * 50000 + b"end\n", (p.returncode, len(out))


@case
def stdout_and_stderr_stay_apart_and_unchanged():
    r = task().run("printf 'a\\0b\\nno newline'; echo problem >&2").expect(0)
    assert r.stdout == "a\0b\nno newline" and "work | problem" in r.err


@case
def a_reader_that_stopped_reading_holds_up_nothing():
    t = task()
    spec = t.spec("yes '' & yes '' >&2")
    spec["agent"]["timeout_s"] = 1
    t.spec = lambda *a, **k: spec
    for stop in (False, True):
        p = t.start()  # nobody reads its pipes
        began = time.monotonic()
        if stop:
            time.sleep(0.5)
            p.send_signal(signal.SIGTERM)
        p.wait(15)
        assert p.returncode == (77 if stop else 76), p.returncode
        assert time.monotonic() - began < 10


@case
def stdin_that_is_a_socket_of_the_network_is_not_the_agents():
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    r = task().run("readlink /proc/self/fd/0", popen={"stdin": client}).expect(0)
    assert r.answer == "/dev/null\n", r.answer


@case
def pid_1_keeps_its_limits():
    code = ("import ctypes,sys\nl=ctypes.CDLL(None,use_errno=True)\nb=(ctypes.c_ulong*2)(3,3)\n"
            "print([l.prlimit(1,7,b,None),ctypes.get_errno(),l.prlimit(0,7,b,None)])")
    r = task().run("%s -c '%s'" % (PYTHON, code)).expect(0)
    assert r.answer == "[-1, 1, 0]\n", r.answer


@case
def nobody_types_into_the_operators_terminal():
    t = task()
    code = ("import fcntl\ntry: fcntl.ioctl(0,0x5412,b\"x\"); print(\"ty\"+\"ped\")\n"
            "except PermissionError: print(\"re\"+\"fused\")")
    pid, master = on_a_terminal(t, "%s -c '%s'" % (PYTHON, code))
    try:
        assert b"typed" not in read_until(master, b"refused")
    finally:
        os.close(master)
        os.waitpid(pid, 0)


def on_a_terminal(t, agent):
    master, slave = pty.openpty()
    path = t.write_spec(t.spec(agent))
    pid = os.fork()
    if not pid:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in (0, 1, 2):
            os.dup2(slave, fd)
        os.execv(AIRLOCK, [AIRLOCK, "run", path])
    os.close(slave)
    return pid, master


def read_until(master, text, seconds=10):
    got = b""
    end = time.monotonic() + seconds
    while text not in got:
        ready, _, _ = select.select([master], [], [], max(0, end - time.monotonic()))
        if not ready:
            raise AssertionError("no %r in %r" % (text, got))
        try:
            got += os.read(master, 65536)
        except OSError:
            raise AssertionError("no %r in %r" % (text, got)) from None
    return got


@case
def a_terminal_is_the_agents_with_job_control():
    t = task()
    pid, master = on_a_terminal(t, "test -t 0 && test -t 1 && test -t 2 && echo is-a-tty; "
                                "trap 'echo got-INT; exit 4' INT; echo re''ady; "
                                "while :; do sleep 0.1; done")
    try:
        assert b"is-a-tty" in read_until(master, b"ready")
        os.write(master, b"\x03")
        read_until(master, b"got-INT")
        end = time.monotonic() + 8
        while time.monotonic() < end:
            select.select([master], [], [], 0.05)
            try:
                os.read(master, 65536)
            except OSError:
                pass
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                pid = 0
                assert os.waitstatus_to_exitcode(status) == 4, status
                return
        raise AssertionError("airlock did not end")
    finally:
        if pid:
            for child in children(pid) + [pid]:
                os.kill(child, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(master)


# --- the network ---------------------------------------------------------------------------

WAYS = """
import ctypes, socket, struct
def way(name, f):
    try: print("OPEN", name, f())
    except (OSError, AttributeError) as e: pass
def tcp(f, to):
    s = socket.socket(f); s.settimeout(1)
    try: s.connect(to)
    except socket.timeout: return "no route was missing"
def udp(f, to): return socket.socket(f, socket.SOCK_DGRAM).sendto(b"x", to)
for port in (HOST_PORT, 53, 443):
    way("tcp4", lambda: tcp(2, ("1.1.1.1", port))); way("udp4", lambda: udp(2, ("1.1.1.1", port)))
    way("tcp6", lambda: tcp(10, ("2606:4700::1111", port)))
    way("udp6", lambda: udp(10, ("2606:4700::1111", port)))
    way("mapped", lambda: tcp(10, ("::ffff:1.1.1.1", port)))
way("host loopback", lambda: tcp(2, ("127.0.0.1", HOST_PORT)))
way("host loopback 6", lambda: tcp(10, ("::1", HOST_PORT)))
way("metadata", lambda: tcp(2, ("169.254.169.254", 80)))
way("broadcast", lambda: udp(2, ("255.255.255.255", 67)))
way("multicast", lambda: udp(2, ("224.0.0.1", 5353)))
way("raw", lambda: socket.socket(2, socket.SOCK_RAW, 1).sendto(b"x" * 8, ("1.1.1.1", 0)))
def packet():
    s = socket.socket(17, 3, 768)
    for i in range(2, 20): s.bind((socket.if_indextoname(i), 0)); s.send(b"x" * 60); return i
way("packet", packet)
way("ping socket", lambda: socket.socket(2, 2, 1).sendto(
    struct.pack("!BBHHH", 8, 0, 0xf7ff, 0, 0), ("1.1.1.1", 0)))
def vsock():
    s = socket.socket(40, 1); s.settimeout(1); s.connect((2, 1024))
way("vsock", vsock)
way("abstract unix of the host", lambda: socket.socket(1).connect("\\0HOST_NAME"))
way("getaddrinfo", lambda: socket.getaddrinfo("example.com", 80))
libc = ctypes.CDLL(None, use_errno=True)
def setns():
    for pid in (1,):
        import os
        fd = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
        if libc.setns(fd, 0x40000000): raise OSError
way("setns", setns)
try:  # netlink for looking is fine
    socket.socket(16, 3, 0).close(); print("netlink ok")
except OSError: print("netlink refused")
print("tried")
"""


def closed_by(lock):
    import socket
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    abstract = socket.socket(socket.AF_UNIX)
    name = "airlock-test-%d" % os.getpid()
    abstract.bind("\0" + name)
    abstract.listen()
    code = WAYS.replace("HOST_PORT", str(listener.getsockname()[1])).replace("HOST_NAME", name)
    r = task().run(python(code), network={"agent": "off", "lock": lock})
    listener.close()
    abstract.close()
    r.expect(0)
    assert "tried" in r.answer and "OPEN" not in r.answer, r.answer
    return r


@case
def no_way_leads_out_of_the_netns_lock():
    r = closed_by("netns")
    assert r.result["network"]["lock"] == "netns" and "netlink ok" in r.answer


@case
def no_way_leads_out_of_the_closed_lock():
    assert closed_by("closed").result["network"]["lock"] == "closed"


LOOPBACK = """
import socket, threading
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
threading.Thread(target=lambda: s.accept()[0].sendall(b"hello")).start()
print(socket.create_connection(s.getsockname()).recv(9).decode())
"""


@case
def a_loopback_server_of_the_agents_own_works():
    r = task().run(python(LOOPBACK), network={"agent": "off", "lock": "netns"})
    assert r.answer == "hello\n", (r.answer, r.err[-600:])


@case
def setup_has_the_network_that_the_agent_has_not():
    import socket
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    to = "exec 3<>/dev/tcp/127.0.0.1/%d && echo connected || echo refused" % (
        listener.getsockname()[1])
    r = task().run(to, setup=to).expect(0)
    listener.close()
    assert "connected" in r.file("setup.log") and r.answer == "refused\n", (r.answer, r.err)


@case
def network_full_goes_through_the_proxy_too():
    r = task().run("env | grep -c https_proxy", network={"agent": "full"}).expect(0)
    assert r.result["network"]["lock"] == "netns" and r.answer == "1\n", r.result


main()
