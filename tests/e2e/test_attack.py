#!/usr/bin/python3
"""Attacks on the seal and on PID 1: each of these got through once."""
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from lib import AIRLOCK, case, main, pid1, skip, start  # noqa: E402
from task import Result, Task  # noqa: E402

lib.TIMEOUT_S = 60  # a PID 1 that may open 20 files waits its own 10 s for a child
PYTHON = "/usr/bin/python3"
OFF = {"setup": "full", "agent": "off"}


def task():
    t = Task()
    t.repo()
    return t


# --- who outlives setup ----------------------------------------------------------------------

HIDER = """
cat >"$AIRLOCK_STATE/../hider.py" <<'EOF'
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
def stay():
    at = os.path.dirname(os.environ["AIRLOCK_STATE"])
    while True:
        with open(at + "/network.part", "w") as f:
            f.write(os.readlink("/proc/thread-self/ns/net"))
        os.rename(at + "/network.part", at + "/network")
        time.sleep(0.02)
threading.Thread(target=stay, daemon=True).start()
HOW
EOF
cd /; setsid PYTHON "$AIRLOCK_STATE/../hider.py" </dev/null >/dev/null 2>&1 &
echo $! >"$AIRLOCK_STATE/../pid"
until [ -e "$AIRLOCK_STATE/../network" ]; do sleep 0.01; done
sleep 0.2
"""
AGENT = """
cd AT; kill -CONT "$(cat pid)" 2>/dev/null && echo alive
rm -f network; sleep 0.3; [ ! -e network ] || echo "runs in $(cat network)"
rm -f hider.py pid network.part; echo done
"""


def outlive(how, run):
    """Setup leaves a process, which hides by @how. The seal ends it, or the task ends."""
    t = task()
    setup = HIDER.replace("HOW", how).replace("PYTHON", PYTHON)
    r = run(t, setup, AGENT.replace("AT", '"$(dirname "$(dirname "$AIRLOCK_ANSWER")")"'))
    assert "alive" not in r.answer and "runs in" not in r.answer, r.answer
    return r


def in_a_box(t, setup, agent):
    return t.run(agent, setup, network=OFF)


@case
def a_process_whose_main_thread_has_ended_does_not_outlive_setup():
    # /proc calls it a zombie; what it still has is the network that setup had.
    r = outlive("libc.syscall(60, 0)", in_a_box).expect(0)
    assert r.answer == "done\n" and r.result["leftovers"]["setup"] >= 1, r.result


def with_processes_hidden(t, setup, agent):
    """As PID 1 of a container whose /proc hides processes from who may not trace them
    (hidepid=ptraceable): from PID 1, those that are not dumpable."""
    spec = t.spec(agent, setup, network=OFF, repo={"dir": t.dir + "/work"})
    run = pid1(["run", t.write_spec(spec)],
               wrap=["sh", "-c", 'mount -o remount,hidepid=4 /proc && exec setpriv --bounding-set '
                     '-sys_ptrace --inh-caps -sys_ptrace -- "$@"', "sh"])
    code = run.wait(25)
    return Result(t.out, code, run.out, run.err)


@case
def processes_that_proc_hides_are_not_taken_for_gone():
    if os.getuid():
        skip("needs root")
    r = outlive("libc.prctl(4, 0); time.sleep(60)", with_processes_hidden)
    assert r.code == 73 and "can't be ended" in r.reason(), (r.code, r.reason())


# --- sockets of others -------------------------------------------------------------------------

@case
def nothing_that_setup_made_of_dev_null_uncovers_a_socket():
    if os.getuid():
        skip("needs root")
    t = Task()
    at = t.dir + "/engine.sock"
    engine = socket.socket(socket.AF_UNIX)
    engine.bind(at)
    engine.listen()
    connect = ("import socket\n"
               "try: socket.socket(1).connect(%r); print('connected')\n"
               "except OSError: print('refused')" % at)
    for null, code in ((None, 0), (at, 73)):
        p = start(["unshare", "-m", "sh", "-c", 'test -z "$1" || mount --bind "$1" /dev/null; '
                   'shift; exec "$@"', "sh", null or "", os.path.dirname(AIRLOCK) + "/airlock-lock",
                   "--enter", "netns", "--", PYTHON, "-c", connect])
        out, err = p.communicate(timeout=10)
        assert p.returncode == code and b"connected" not in out, (null, p.returncode, out, err)
    engine.close()


ENGINE = """
import os, socket, sys
os.chdir(sys.argv[1])
s = socket.socket(1); s.bind(sys.argv[2]); s.listen(); print("up", flush=True)
while True:
    c = s.accept()[0]
    try: c.sendall(b"engine")
    except OSError: pass
    c.close()
"""
VISIT = """
import os, socket, sys
for name in ("relative.sock", "run/user/other.sock"):
    s = socket.socket(1)
    try:
        s.connect(sys.argv[1] + "/" + name)
        print("reached", name, s.recv(9))
    except OSError: print("refused")
os.unlink(sys.argv[1] + "/stale.sock"); print("stale")
"""


@case
def no_socket_below_a_mounted_folder_is_reached():
    """One bound by a relative name, and one of another network namespace: /proc/net/unix
    has no path of the former, and nothing of the latter. Nobody's stays what it is."""
    if os.getuid():
        skip("needs root")
    t = Task()
    volume = t.dir + "/volume"
    os.makedirs(volume + "/run/user")
    for wrap, name in (([], "relative.sock"), (["unshare", "-n"], volume + "/run/user/other.sock")):
        p = start([*wrap, PYTHON, "-c", ENGINE, volume, name])
        assert p.stdout.readline() == b"up\n"
    for lock in ("netns", "closed"):
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(volume + "/stale.sock")
        p = start(["unshare", "-m", "sh", "-c", 'mount --bind "$1" "$1"; shift; exec "$@"', "sh",
                   volume, os.path.dirname(AIRLOCK) + "/airlock-lock", "--enter", lock, "--",
                   PYTHON, "-c", VISIT, volume])
        out, err = p.communicate(timeout=10)
        assert out == b"refused\nrefused\nstale\n", (lock, out, err)


# --- whose loopback it is ---------------------------------------------------------------------

CALL = """
import os, socket, sys
def call(name, host, port):
    try:
        with socket.create_connection((host, port), 3) as s:
            print(name, s.recv(9).decode() or "closed")
    except OSError: print(name, "refused")
for host in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::ffff:127.0.0.1", sys.argv[2]):
    call(host, host, int(sys.argv[1]))
own = socket.create_server(("127.0.0.1", 0))
if not os.fork():
    own.accept()[0].sendall(b"own")
    os._exit(0)
call("own", "localhost", own.getsockname()[1])
"""


def own_address():
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))  # sends nothing
        return s.getsockname()[0]


@case
def a_server_of_the_hosts_network_is_not_the_agents():
    """Under notify the network stays what it was, and with --network host it is the host's."""
    server = start([PYTHON, "-c", "import socket\nl = socket.create_server(('::', 0), "
                    "family=socket.AF_INET6, dualstack_ipv6=True)\n"
                    "print(l.getsockname()[1], flush=True)\n"
                    "while True: l.accept()[0].sendall(b'host')"])
    port = int(server.stdout.readline())
    agent = [PYTHON, "-c", CALL, str(port), own_address()]
    for mode, rules in (("off", []), ("limited", []), ("full", []),
                        ("limited", [{"host": "127.0.0.1", "ports": [port]}])):
        r = task().run(agent, network={"setup": "off", "agent": mode, "lock": "notify",
                                       "rules": rules}).expect(0)
        said = dict(line.split(" ", 1) for line in r.answer.splitlines())
        assert said.pop("own") == "own", r.answer
        named = {"127.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"} if rules else set()
        assert {host for host, got in said.items() if got == "host"} == named, (mode, r.answer)


# --- what PID 1 believes ---------------------------------------------------------------------

FORGE = """
import ctypes, errno, fcntl, os, signal, socket, struct, time
libc = ctypes.CDLL(None, use_errno=True)
refused = False
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while libc.sigqueue(os.getpid(), 40, None) == 0: pass
print("no room left" if ctypes.get_errno() == errno.EAGAIN else ctypes.get_errno(), flush=True)
info = struct.pack("iiii", 15, 0, -1, 0) + bytes(112)
pidfd = libc.syscall(434, 1, 0)
for _ in range(20):
    libc.syscall(200, 1, 15); libc.syscall(234, 1, 1, 15)                      # tkill, tgkill
    libc.syscall(129, 1, 15, info); libc.syscall(297, 1, 1, 15, info)          # rt_*queueinfo
    libc.syscall(424, pidfd, 15, info, 0)                                      # pidfd_send_signal
    a, b = socket.socketpair()
    fcntl.fcntl(a, fcntl.F_SETOWN, 1)
    try: fcntl.fcntl(a, fcntl.F_SETSIG, 15)
    except OSError: pass
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    b.send(b"x")
    try: os.kill(1, 15)
    except PermissionError: refused = True                                     # Landlock's scope
    time.sleep(0.02)
print("refused" if refused else "went on", flush=True)
"""


@case
def a_signal_that_lost_its_sender_is_not_the_outside():
    # Without room for a description, the kernel says pid 0 of any sender: so does the engine's.
    for lock in ("netns", "closed", "notify"):
        r = task().run([PYTHON, "-c", FORGE], network={"setup": "off", "agent": "off",
                                                       "lock": lock}).expect(0)
        first, last = r.answer.splitlines()
        assert first == "no room left" and last in ("refused", "went on"), (lock, r.answer)
        assert r.result["status"] == "done", r.result
        assert last == "refused" or r.result["ignored_signals"], r.result


@case
def setup_that_narrows_pid_1_opens_nothing():
    """As PID 1's own user, and not yet locked, setup may set its limits: then the task ends."""
    if os.getuid():
        skip("prlimit of PID 1 asks for its user")
    ran = 0
    for limit in ("nofile=20", "as=4096", "fsize=1", "nproc=0", "stack=4096", "nofile=60"):
        r = task().run("timeout 3 bash -c 'exec 3<>/dev/tcp/192.0.2.1/80' && echo out; echo ran",
                       "prlimit --pid 1 --" + limit, network=OFF, seconds=30)
        assert r.code in (0, 73, 74), (limit, r.code, r.err)
        assert "out" not in r.answer.split(), (limit, r.answer)
        ran += r.code == 0
    assert ran < 6, "nothing was narrowed"


main()
