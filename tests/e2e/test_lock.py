"""The locks: the command of airlock-lock finds every way out closed, whoever it runs as,
what must work works, and a lock that does not hold is told and never entered half-way."""
import errno
import os
import socket
import struct
import subprocess
import tempfile

import lib
from fake_proxy import FakeProxy, DNS_TCP, DNS_UDP, LOCAL, PROXY, REDIRECTED
from lib import AIRLOCK, case, main, skip, start, until
from nets import Space, pair
from users import AS_USER, need_root, need_user_namespaces, users

LOCK = os.path.dirname(AIRLOCK) + "/airlock-lock"
if not os.path.exists(LOCK):
    LOCK = os.path.dirname(AIRLOCK) + "/../libexec/airlock/airlock-lock"
PYTHON = "/usr/bin/python3"
ENTER = [LOCK, "--enter"]


def run(argv, prefix=(), seconds=15, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("cwd", "/")
    return subprocess.run(list(prefix) + argv, capture_output=True, text=True,
                          timeout=seconds * lib.PATIENCE, **options)


def good(argv, **options):
    r = run(argv, **options)
    assert r.returncode == 0, (argv, r.returncode, r.stdout, r.stderr)
    return r.stdout


def probe(lock, prefix=(), mode="off", extra=(), **options):
    return run(ENTER + [lock, "--scope", *extra, "--", LOCK, "--probe", mode], prefix, **options)


# --- the attack list -------------------------------------------------------------------------

@case
def the_attack_list_fails_under_netns_for_whoever_may_have_it():
    need_user_namespaces()
    for name, prefix in users():
        r = probe("netns", prefix)
        if name == "nobody":
            assert r.returncode == 73 and "leave the network" in r.stderr, (name, r.stderr)
            continue
        assert r.returncode == 0 and "LEAK" not in r.stdout, (name, r.stdout, r.stderr)
        assert len(r.stdout.splitlines()) >= 35, r.stdout


@case
def the_attack_list_fails_under_closed_for_whoever_may_have_it():
    for name, prefix in users():
        r = probe("closed", prefix)
        if r.returncode == 73 and r.stderr.startswith("airlock: lock: error: cover /"):
            continue    # an engine's socket is in reach here: the lock says so and is none
        assert r.returncode == 0 and "LEAK" not in r.stdout, (name, r.stdout, r.stderr)


@case
def the_attack_list_fails_with_a_proxy_by_rules_and_without():
    need_user_namespaces()
    for extra, kind in (([], REDIRECTED), (["--no-rules"], LOCAL)):
        for name, prefix in users():
            if name == "nobody":
                continue
            with FakeProxy() as p:
                r = probe("netns", prefix, "limited",
                          ["--proxy", str(p.fd), "--http-port", "3128", *extra], pass_fds=[p.fd])
                assert r.returncode == 0 and "LEAK" not in r.stdout, (name, r.stdout, r.stderr)
                assert (kind, "169.254.169.254:80") in p.seen, p.seen


@case
def the_probe_finds_an_open_network():
    """A namespace with a device that is up, as root: nothing is really out there."""
    need_root()
    shell = ("ip link set lo up; ip link add name dum0 type veth peer name dum1 && "
             "ip link set dum1 up; ip link set dum0 up && "
             "ip addr add 10.9.9.9/24 dev dum0 && ip route add default dev dum0 && "
             "exec %s --probe off"
             % LOCK)
    r = run(["unshare", "-n", "sh", "-c", shell])
    leaks = {line.split()[1] for line in r.stdout.splitlines() if line.startswith("LEAK")}
    assert r.returncode == 73, r.stdout + r.stderr
    for name in ("ipv4-datagram", "ipv4-raw", "packet", "vsock", "other-families",
                 "network-admin", "io-uring", "new-network", "new-users", "trace", "open-memory",
                 "borrow", "join"):
        assert name in leaks, (name, r.stdout)


@case
def the_probe_tells_somebody_else_from_the_proxy():
    """A server at the probe's address that answers, and is not airlock-proxy."""
    need_root()
    shell = ("ip link set lo up; ip link add name dum0 type veth peer name dum1; "
             "ip link set dum1 up; ip link set dum0 up; "
             "ip addr add 198.51.100.1/32 dev dum0; cd /tmp; "
             "%s -c 'import http.server as h; h.HTTPServer((\"198.51.100.1\", 80), "
             "h.BaseHTTPRequestHandler).serve_forever()' & "
             "for i in $(seq 100); do ss -ltn | grep -q 100.1:80 && break; sleep 0.05; done; "
             "%s --probe off; kill $!" % (PYTHON, LOCK))
    r = run(["unshare", "-n", "sh", "-c", shell])
    assert "LEAK ipv4-stream somebody answered" in r.stdout, r.stdout + r.stderr


@case
def the_probe_finds_an_inherited_socket():
    ours, theirs = socket.socketpair()
    r = run([LOCK, "--probe", "off"], ["unshare", "-Urn"], pass_fds=[theirs.fileno()])
    assert "LEAK inherited descriptor %d is a socket" % theirs.fileno() in r.stdout, r.stdout


def deny_in_this_network(say):
    """What airlock-proxy listens on in the container's own network."""
    p = FakeProxy()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind, port in ((PROXY, 3128), (REDIRECTED, 3129), (DNS_TCP, 1053)):
            s = socket.socket(family)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((host, port))
            s.listen(100)
            p.listeners.append((kind, s))
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.setsockopt(*((socket.IPPROTO_IP, 8) if family == socket.AF_INET
                         else (socket.IPPROTO_IPV6, 49)), 1)
        udp.bind((host, 1053))
        p.listeners.append((DNS_UDP, udp))
    say("ready")
    p.loop()


def answer_everything(say):
    s = socket.create_server(("198.51.100.1", 80))
    say("ready")
    while True:
        c, _ = s.accept()
        c.recv(1000)
        c.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        c.close()


APPLY = ["--apply", "netfilter", "--mark", "77", "--http-port", "3128", "--dns-port", "1053",
         "--redirect-port", "3129", "--shared"]


@case
def the_attack_list_fails_under_netfilter_and_not_before():
    need_root()
    box, world = pair()
    world.ip("addr add 198.51.100.1/32 dev lo")
    world.serve(answer_everything)
    box.serve(deny_in_this_network)
    probe_it = [*ENTER, "netfilter", "--scope", "--keep-caps", "0", "--http-port", "3128", "--",
                LOCK, "--probe", "limited"]
    before = box.run(*probe_it)
    for name in ("ipv4-stream somebody answered",
                 "ipv4-datagram Connection refused, said somebody"):
        assert before.returncode == 73 and "LEAK " + name in before.stdout, before.stdout
    assert box.run(LOCK, *APPLY).returncode == 0
    for prefix in ([], AS_USER):
        r = box.run(*prefix, *probe_it)
        assert r.returncode == 0 and "ok own-server works" in r.stdout, (prefix, r.stdout)
        assert "ok ipv4-stream denied by the proxy" in r.stdout, r.stdout
    r = box.run(LOCK, "--remove", "netfilter")
    assert r.returncode == 0, r.stdout
    assert box.run(*probe_it).returncode == 73


@case
def a_shared_network_gets_no_rules_unless_told_so():
    need_root()
    r = run([LOCK, *APPLY[:-1]])    # this machine's own
    assert r.returncode == 73 and "shared" in r.stderr, (r.returncode, r.stderr)


def by_a_lent_socket(*more):
    """--apply with a netlink socket of ours as its standard input; the rules that then hold."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as lent:
        r = subprocess.run([LOCK, *APPLY, "--lent", *more], stdin=lent, capture_output=True)
        rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout
        return r.returncode, rules


@case
def a_lent_socket_carries_the_same_rules():
    need_root()
    lent, own = Space(), Space()
    for more in ([], ["--off"], []):
        assert own.run(LOCK, *APPLY, *more).returncode == 0
        status, rules = lent.do(by_a_lent_socket, *more)
        assert status == 0 and "table inet airlock" in rules, (more, status, rules)
        assert rules == own.run("nft", "list", "ruleset").stdout, (more, rules)


@case
def what_is_lent_and_no_netlink_socket_gets_no_nf_tables():
    need_root()
    space = Space()
    space.run(LOCK, *APPLY, "--lent")  # /dev/null
    assert "airlock" not in space.run("nft", "list", "tables").stdout


# --- how it is told ----------------------------------------------------------------------------

def told(lock, argv, **options):
    """(exit status, err, stage) or (exit status, None, None)."""
    ours, theirs = os.pipe()
    r = run(ENTER + [lock, "--tell", str(theirs), *options.pop("extra", []), "--"] + argv,
            pass_fds=[theirs], **options)
    os.close(theirs)
    record = os.read(ours, 100)
    os.close(ours)
    if not record:
        return r.returncode, None, None
    err, stage = struct.unpack("=i60s", record)
    return r.returncode, err, stage.split(b"\0")[0].decode()


@case
def success_is_silence_and_failure_one_record():
    assert told("none", ["true"]) == (0, None, None)
    assert told("none", ["sh", "-c", "exit 7"]) == (7, None, None)
    assert told("none", ["no-such-program"]) == (127, errno.ENOENT, "exec")
    assert told("none", ["/etc/passwd"]) == (126, errno.EACCES, "exec")
    assert told("none", ["true"], extra=["--chdir", "/no/such"]) == \
        (73, errno.ENOENT, "enter the working directory")


@case
def a_lock_that_does_not_hold_is_told_with_its_stage():
    name, prefix = users()[-1]
    assert name == "nobody"
    status, err, stage = told("netns", ["true"], prefix=prefix)
    assert status == 73 and err and stage == "leave the network", (status, err, stage)


@case
def the_command_keeps_the_pid_and_the_environment():
    need_user_namespaces()
    for lock in ("none", "netns"):
        p = start(ENTER + [lock, "--", "sh", "-c", "echo $$ $MARK"],
                  env=dict(os.environ, MARK="here"))
        out, err = p.communicate(timeout=10)
        assert out.decode().split() == [str(p.pid), "here"], (out, err)


@case
def tries_say_what_holds_and_what_would_unlock_it():
    need_user_namespaces()
    assert run([LOCK, "--try", "netns"]).returncode == 0
    nobody = dict(users())["nobody"]
    for name, prefix in users():
        r = run([LOCK, "--try", "notify"], prefix)
        assert r.returncode == 0 and not r.stderr, (name, r.returncode, r.stderr)
        r = run([LOCK, "--try", "closed"], prefix)
        assert r.returncode == 0 or "cover /" in r.stderr, (name, r.returncode, r.stderr)
    # A second listener is one too many.
    r = run([LOCK, "--try", "notify"], [AIRLOCK, "sandbox", "--lock", "notify", "--"])
    assert r.returncode == 73 and "hand calls over" in r.stderr, r.stderr
    r = run([LOCK, "--try", "netns"], nobody)
    assert r.returncode == 73 and "user namespaces" in r.stderr, r.stderr
    r = run([LOCK, "--try", "netfilter"], nobody)
    assert r.returncode == 73 and "NET_ADMIN" in r.stderr, r.stderr
    assert len(r.stderr.splitlines()) == 1


@case
def a_wrong_command_line_is_2():
    for argv in ([], ["--enter"], ["--enter", "x", "--", "true"], ["--enter", "none"],
                 ["--enter", "none", "--"], ["--enter", "none", "--uid", "-1", "--", "true"],
                 ["--enter", "none", "--uid", "", "--", "true"],
                 ["--enter", "none", "--keep-caps", "0x1", "--", "true"],
                 ["--enter", "none", "--tell", "99", "--", "true"],
                 ["--enter", "none", "--no-such", "1", "--", "true"],
                 ["--enter", "netns", "--proxy", "0", "--", "true"],
                 ["--probe", "x"], ["--apply", "netns"], ["--apply", "netfilter", "--mark"],
                 ["--remove", "netfilter", "--mark", "1"]):
        r = run([LOCK] + argv)
        assert r.returncode == 2 and r.stderr, (argv, r.returncode, r.stderr)


# --- ids and rights ----------------------------------------------------------------------------

@case
def files_belong_to_the_same_users_inside_and_outside():
    need_root()
    with tempfile.TemporaryDirectory() as d:
        good(ENTER + ["netns", "--", "sh", "-c",
                      "touch %s/a; touch %s/b; chown 1234:4321 %s/b" % (d, d, d)])
        a, b = os.stat(d + "/a"), os.stat(d + "/b")
        assert (a.st_uid, a.st_gid, b.st_uid, b.st_gid) == (0, 0, 1234, 4321)
        os.chown(d, 1000, 1000)
        good(ENTER + ["netns", "--", "touch", d + "/c"], prefix=AS_USER)
        assert os.stat(d + "/c").st_uid == 1000
        good(ENTER + ["netns", "--uid", "1000", "--gid", "1000", "--", "touch", d + "/e"])
        assert os.stat(d + "/e").st_uid == 1000


@case
def a_capability_does_where_user_namespaces_do_not():
    need_root()
    wrap = ["unshare", "-Ur", "sh", "-c",
            'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh"]
    r = probe("netns", wrap)
    assert r.returncode == 0 and "LEAK" not in r.stdout, r.stdout + r.stderr
    out = good(ENTER + ["netns", "--", "grep", "-E", "^CapBnd|NoNewPrivs", "/proc/self/status"],
               prefix=wrap)
    assert out.split() == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1"], out


@case
def setuid_programs_work_where_the_namespace_is_ours_and_are_bounded():
    need_root()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as d:
        os.chmod(d, 0o755)
        good(["cp", "/usr/bin/python3", d + "/p"])
        os.chmod(d + "/p", 0o4755)
        code = ("import os; print(os.geteuid(), [l.split()[1] for l in "
                "open('/proc/self/status') if l.startswith(('CapEff', 'NoNewPrivs'))])")
        out = good(ENTER + ["netns", "--uid", "1000", "--gid", "1000", "--", d + "/p", "-c", code])
        euid, caps, nnp = out.replace("[", "").replace("]", "").replace("'", "").replace(
            ",", "").split()
        assert euid == "0" and nnp == "0", out
        # What sudo and apt need, and neither CAP_NET_ADMIN (12), NET_RAW (13) nor SYS_ADMIN (21).
        assert int(caps, 16) and not int(caps, 16) & (1 << 12 | 1 << 13 | 1 << 21), out
        out = good(ENTER + ["netns", "--uid", "1000", "--gid", "1000", "--keep-caps", "0", "--",
                            d + "/p", "-c", code])
        assert "0000000000000000" in out, out
        out = good(ENTER + ["none", "--uid", "1000", "--gid", "1000", "--", d + "/p", "-c", code])
        assert out.startswith("1000 "), out


@case
def a_setup_session_may_gain_privileges_where_the_lock_can_do_without():
    need_root()
    caps = "a00425fb"    # an engine's defaults: no CAP_SYS_ADMIN, so no filter either
    drop = ["setpriv", "--bounding-set=-sys_admin"]
    for extra, nnp in ((["--new-privs"], "0"), ([], "1")):
        for lock in ("none", "netfilter"):
            r = run(ENTER + [lock, "--scope", "--keep-caps", caps, *extra, "--", "grep",
                             "NoNewPrivs", "/proc/self/status"], drop)
            if "cover /" in r.stderr:
                continue    # an engine's socket is in reach of this machine's root
            assert r.stdout.split() == ["NoNewPrivs:", nnp], (lock, extra, r.stdout, r.stderr)


@case
def capabilities_are_those_asked_for_in_all_five_sets():
    need_root()
    for lock in ("none", "netns", "closed"):
        r = run(ENTER + [lock, "--keep-caps", "0", "--", "grep", "^Cap", "/proc/self/status"])
        if lock == "closed" and r.returncode == 73:
            continue
        assert r.returncode == 0 and len(r.stdout.splitlines()) == 5, r.stdout + r.stderr
        assert all(int(line.split()[1], 16) == 0 for line in r.stdout.splitlines()), r.stdout
    out = good(ENTER + ["none", "--keep-caps", "21", "--", "grep", "^CapEff", "/proc/self/status"])
    assert int(out.split()[1], 16) == 0x21, out


@case
def the_kernels_settings_are_read_only_for_root():
    need_root()
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
                 "/sys/kernel/uevent_helper", "/sys/kernel/mm/ksm/run"):
        if not os.path.exists(path):
            continue
        code = ("import os,sys\ntry: os.open(%r, os.O_WRONLY)\n"
                "except OSError as e: sys.exit(e.errno)" % path)
        r = run(ENTER + ["netns", "--", PYTHON, "-c", code])
        assert r.returncode == errno.EROFS, (path, r.returncode)


# --- descriptors, sockets, processes of others ---------------------------------------------------

@case
def inherited_sockets_and_devices_are_closed_pipes_and_files_stay():
    need_user_namespaces()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    tcp = socket.create_connection(listener.getsockname())
    ours, theirs = os.pipe()
    folder, file = os.open("/", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY)
    null, net = os.open("/dev/null", os.O_RDWR), os.open("/proc/self/ns/net", os.O_RDONLY)
    fds = [tcp.fileno(), listener.fileno(), folder, null, net, theirs, file]
    for lock in ("none", "netns"):
        out = good(ENTER + [lock, "--", PYTHON, "-c",
                            "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd') "
                            "if os.path.exists('/proc/self/fd/' + f)))"], pass_fds=fds)
        kept = eval(out)
        assert theirs in kept and file in kept, out
        assert not {tcp.fileno(), listener.fileno(), folder, null, net} & set(kept[:-1]), (out, fds)
    for fd in (ours, theirs, folder, file, null, net):
        os.close(fd)


@case
def a_network_socket_as_stdin_is_refused():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    with socket.create_connection(listener.getsockname()) as tcp:
        r = run(ENTER + ["none", "--", "true"], stdin=tcp)
        assert r.returncode == 73 and "inherited descriptors" in r.stderr, r.stderr
    a, b = socket.socketpair()
    good(ENTER + ["none", "--", "true"], stdin=a)


def connect_to(address, kind="SOCK_STREAM"):
    return [PYTHON, "-c", "import socket,sys\ns = socket.socket(socket.AF_UNIX, socket.%s)\n"
            "try: s.connect(%r)\nexcept OSError as e: sys.exit(e.errno)" % (kind, address)]


@case
def sockets_of_others_are_out_of_reach():
    need_user_namespaces()
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        path, dgram, abstract = d + "/s", d + "/d", "\0airlock-test-%d" % os.getpid()
        held = []
        for address, kind in ((path, socket.SOCK_STREAM), (dgram, socket.SOCK_DGRAM),
                              (abstract, socket.SOCK_STREAM)):
            s = socket.socket(socket.AF_UNIX, kind)
            s.bind(address)
            if kind == socket.SOCK_STREAM:
                s.listen()
            if address != abstract:
                os.chmod(address, 0o777)
            held.append(s)
        for name, prefix in users()[:3]:
            for address, kind in ((path, "SOCK_STREAM"), (dgram, "SOCK_DGRAM"),
                                  (abstract, "SOCK_STREAM")):
                assert run(connect_to(address, kind), prefix).returncode == 0
                r = run(ENTER + ["netns", "--scope", "--"] + connect_to(address, kind), prefix)
                assert r.returncode == errno.ECONNREFUSED, (name, address, r.returncode, r.stderr)
        # Outside nothing has changed.
        good(connect_to(path))


@case
def an_engines_socket_that_came_by_a_mount_is_covered():
    """Its listener is in another network namespace: no list of ours shows it."""
    need_root()
    listen = ("import socket,sys,os\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\n"
              "s.listen()\nos.chmod(sys.argv[1], 0o777)\nprint(flush=True)\nsys.stdin.read()")
    with tempfile.TemporaryDirectory() as d:
        outside = start([PYTHON, "-c", listen, d + "/s"])
        outside.stdout.readline()
        for point in ("/run/podman/podman.sock", "/some where/odd.sock"):
            folder = os.path.dirname(point)
            shell = ("mount -t tmpfs t /run && mkdir -p '/run%s' && touch '/run%s' && "
                     "mount --bind %s/s '/run%s' && mkdir -p '%s' && touch '%s' && "
                     "mount --bind '/run%s' '%s' && exec \"$@\""
                     % (folder, point, d, point, folder, point, point, point)
                     if point.startswith("/run") else
                     "mount -t tmpfs t /mnt && mkdir '/mnt/some where' && "
                     "touch '/mnt/some where/odd.sock' && "
                     "mount --bind %s/s '/mnt/some where/odd.sock' && exec \"$@\"" % d)
            at = point if point.startswith("/run") else "/mnt" + point
            wrap = ["unshare", "-mn", "sh", "-ec", shell, "sh"]
            good(wrap + connect_to(at))
            r = run(wrap + ENTER + ["netns", "--"] + connect_to(at))
            assert r.returncode == errno.ECONNREFUSED, (point, r.returncode, r.stderr)


@case
def sockets_below_a_mounted_folder_are_covered_the_nearest_first():
    """A crowd deep down takes nothing from what is near; a hidden mount costs nothing."""
    need_root()
    listen = ("import socket,sys,os\nkept = []\nfor path in sys.argv[1:]:\n"
              " s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); kept.append(s)\n"
              "print(flush=True)\nsys.stdin.read()")
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/deep/a/b/c")
        for n in range(20):
            for m in range(30):
                os.makedirs("%s/crowd%d/x/%d" % (d, n, m))
        outside = start([PYTHON, "-c", listen] + [d + p for p in (
            "/s", "/crowd1/s", "/crowd19/x/s", "/deep/a/b/c/s")])
        outside.stdout.readline()
        wrap = ["unshare", "-mn", "sh", "-ec", "mount -t tmpfs t /mnt; mkdir /mnt/x; "
                "mount -t tmpfs t /mnt/x; mount --bind %s /mnt/x; mkdir /mnt/deep; "
                "mount --bind %s/deep /mnt/deep; exec \"$@\"" % (d, d), "sh"]
        for p in ("/x/s", "/x/crowd1/s", "/x/crowd19/x/s", "/deep/a/b/c/s"):
            good(wrap + connect_to("/mnt" + p))
            r = run(wrap + ENTER + ["netns", "--"] + connect_to("/mnt" + p))
            assert r.returncode == errno.ECONNREFUSED, (p, r.returncode, r.stderr)


@case
def a_crowd_in_a_mount_below_takes_nothing_from_the_one_above():
    """The newest folder of a tmpfs is listed first: the crowd's comes before the socket's."""
    need_root()
    listen = ("import socket,sys\ns = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])\n"
              "s.listen(); print(flush=True)\nsys.stdin.read()")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as above, tempfile.TemporaryDirectory() as d:
        os.makedirs(above + "/near/by")
        os.mkdir(above + "/crowd")
        for n in range(300):
            os.mkdir("%s/%d" % (d, n))
        outside = start([PYTHON, "-c", listen, above + "/near/by/s"])
        outside.stdout.readline()
        wrap = ["unshare", "-mn", "sh", "-ec", "mount --bind %s /mnt; mount --bind %s /mnt/crowd; "
                "exec \"$@\"" % (above, d), "sh"]
        good(wrap + connect_to("/mnt/near/by/s"))
        r = run(wrap + ENTER + ["netns", "--"] + connect_to("/mnt/near/by/s"))
        assert r.returncode == errno.ECONNREFUSED, (r.returncode, r.stderr)


@case
def closed_does_not_hold_beside_a_socket_that_it_cannot_cover():
    nobody = dict(users())["nobody"]
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        s = socket.socket(socket.AF_UNIX)
        s.bind(d + "/s")
        s.listen()
        os.chmod(d + "/s", 0o777)
        r = run(ENTER + ["closed", "--", "true"], nobody)
        assert r.returncode == 73 and "cover %s/s" % d in r.stderr, r.stderr


@case
def nobody_outside_can_be_joined_traced_read_or_signalled():
    need_user_namespaces()
    code = """if 1:
        import ctypes, os, sys
        libc, bad = ctypes.CDLL(None, use_errno=True), []
        pid = %d
        for ns in ("net", "user", "mnt"):
            try:
                fd = os.open("/proc/%%d/ns/%%s" %% (pid, ns), os.O_RDONLY)
                if libc.setns(fd, 0) == 0: bad.append("setns " + ns)
            except OSError: pass
        if libc.ptrace(0x4206, pid, 0, 0) == 0: bad.append("seize")
        for name, flags in (("mem", os.O_RDWR), ("environ", os.O_RDONLY)):
            try: os.close(os.open("/proc/%%d/%%s" %% (pid, name), flags)); bad.append(name)
            except OSError: pass
        for name in ("root", "cwd", "exe", "fd/0"):
            try: os.readlink("/proc/%%d/%%s" %% (pid, name)); bad.append(name)
            except OSError: pass
        try: os.kill(pid, 0); bad.append("kill")
        except OSError: pass
        sys.exit(repr(bad) if bad else 0)"""
    for name, prefix in users()[:3]:
        victim = start(prefix + ["sleep", "30"])
        until(lambda: open("/proc/%d/comm" % victim.pid).read() == "sleep\n", "sleep runs")
        r = run(ENTER + ["netns", "--scope", "--", PYTHON, "-c", code % victim.pid], prefix)
        assert r.returncode == 0, (name, r.stderr)


@case
def closed_keeps_processes_outside_out_of_reach_too():
    nobody = dict(users())["nobody"]
    victim = start((AS_USER if os.getuid() == 0 else []) + ["sleep", "30"])
    code = "import os; os.kill(%d, 0)" % victim.pid
    r = run(ENTER + ["closed", "--scope", "--", PYTHON, "-c", code], nobody)
    assert r.returncode == 1 and "PermissionError" in r.stderr, r.stderr


# --- the proxy's side ----------------------------------------------------------------------------

def proxied(argv, extra=(), prefix=(), proxy=None):
    with proxy or FakeProxy() as p:
        r = run(ENTER + ["netns", "--scope", "--proxy", str(p.fd), "--http-port", "3128", *extra,
                         "--"] + argv, prefix, pass_fds=[p.fd])
        return r, p


@case
def the_listeners_are_handed_over_and_answered_for():
    need_user_namespaces()
    r, p = proxied(["true"])
    assert r.returncode == 0, r.stderr
    assert p.kinds() == [PROXY] * 2 + [REDIRECTED] * 2 + [DNS_UDP] * 2 + [DNS_TCP] * 2, p.kinds()
    r, p = proxied(["true"], proxy=FakeProxy(refuse=errno.ENFILE))
    assert r.returncode == 73 and "hand the listeners" in r.stderr, r.stderr


@case
def every_connection_ends_at_the_proxy_which_knows_where_it_was_going():
    need_user_namespaces()
    urls = ["http://203.0.113.7/", "http://203.0.113.7:8081/", "http://[2001:db8::7]:443/",
            "http://allowed.example/"]
    want = ["203.0.113.7:80", "203.0.113.7:8081", "2001:db8::7:443", "198.18.0.1:80"]
    shell = "for u in %s; do curl --noproxy '*' -sS -m 5 \"$u\"; echo; done" % " ".join(urls)
    for name, prefix in users()[:3]:
        r, p = proxied(["sh", "-c", shell], prefix=prefix)
        assert r.stdout.split() == want, (name, r.stdout, r.stderr, p.seen)
    r, p = proxied(["sh", "-c", shell], ["--no-rules"])
    assert r.stdout.split() == [want[0]] + want[2:], (r.stdout, r.stderr)
    assert "8081" in r.stderr  # refused at once: nobody listens there
    r, p = proxied(["sh", "-c", shell], ["--no-rules", "--port", "8081"])
    assert r.stdout.split() == want, (r.stdout, r.stderr)


@case
def any_resolver_answers_over_udp_and_tcp():
    need_user_namespaces()
    code = """if 1:
        import socket, struct, sys
        q = lambda n: (b"ab\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0"
                       + b"".join(bytes([len(x)]) + x for x in n.split(b".")) + b"\\0\\0\\1\\0\\1")
        for to in ("8.8.8.8", "127.0.0.11", "127.0.0.53", "2001:db8::53"):
            family = socket.AF_INET6 if ":" in to else socket.AF_INET
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                s = socket.socket(family, kind); s.settimeout(5)
                s.connect((to, 53)) # a connected socket takes answers from there alone
                for name, end in ((b"allowed.example", b"\\xc6\\x12\\0\\1"), (b"x.example", b"")):
                    if kind == socket.SOCK_STREAM:
                        s.close(); s = socket.socket(family, kind); s.settimeout(5)
                        s.connect((to, 53))
                    head = struct.pack("!H", len(q(name))) if kind == socket.SOCK_STREAM else b""
                    s.send(head + q(name)); a = s.recv(512)[len(head):]
                    assert a[:2] == b"ab" and a.endswith(end), (to, kind, a)
                    assert a[3] & 15 == (0 if end else 3), (to, kind, a)
        print(socket.gethostbyname("allowed.example") if len(sys.argv) > 1 else "ok")"""
    for extra in ([], ["--no-rules"]):
        r, _ = proxied([PYTHON, "-c", code], extra)
        assert r.stdout == "ok\n", (extra, r.stderr)


@case
def the_proxys_variables_are_set_over_what_was_there():
    need_user_namespaces()
    with FakeProxy() as p:
        r = run(ENTER + ["netns", "--proxy", str(p.fd), "--http-port", "4000", "--", "env"],
                pass_fds=[p.fd], env=dict(os.environ, HTTP_PROXY="http://elsewhere:1", A="1"))
    env = dict(line.split("=", 1) for line in r.stdout.splitlines() if "=" in line)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        assert env[name] == env[name.upper()] == "http://127.0.0.1:4000", (name, r.stdout)
    assert "127.0.0.1" in env["no_proxy"] and "localhost" in env["NO_PROXY"] and env["A"] == "1"
    assert r.stdout.count("HTTP_PROXY=") == 1


@case
def connects_are_refused_once_the_proxy_is_gone():
    need_user_namespaces()
    p = FakeProxy().__enter__()
    child = start(ENTER + ["netns", "--proxy", str(p.fd), "--http-port", "3128", "--", "sh", "-c",
                           "echo up; read x; curl --noproxy '*' -sS -m 5 http://203.0.113.7/; "
                           "echo $?; curl -sS -m 5 http://x.example; echo $?"], pass_fds=[p.fd])
    assert child.stdout.readline() == b"up\n"
    p.end()
    out, err = child.communicate(b"\n", timeout=15)
    assert out.split() == [b"7", b"7"], (out, err)


# --- what must work -------------------------------------------------------------------------------

SERVE = """
    %s -m http.server %d --bind %s >/dev/null 2>&1 &
    for i in $(seq 100); do
        curl --noproxy '*' -s -o /dev/null http://%s:%d/ && break; sleep 0.05
    done
    curl --noproxy '*' -sS -o /dev/null -w '%%{http_code}\\n' http://%s:%d/
    kill $!"""


def serve(bind, host, port):
    return ["sh", "-c", SERVE % (PYTHON, port, bind, host, port, host, port)]


@case
def own_servers_are_reached_on_loopback_and_under_the_machines_address():
    need_user_namespaces()
    out = good(["ip", "-4", "-o", "addr", "show", "scope", "global"])
    own = [line.split()[3].split("/")[0] for line in out.splitlines()]
    for name, prefix in users()[:3]:
        assert good(ENTER + ["netns", "--"] + serve("127.0.0.1", "localhost", 8080),
                    prefix=prefix) == "200\n", name
        r, _ = proxied(serve("0.0.0.0", "127.0.0.1", 8080), prefix=prefix)
        assert r.stdout == "200\n", (name, r.stderr)
        if own:
            r, p = proxied(serve("0.0.0.0", own[0], 8080), prefix=prefix)
            assert r.stdout == "200\n", (name, r.stderr, p.seen)


@case
def a_user_needs_no_setgroups_and_apt_fails_cleanly_without_network():
    need_root()
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/lists/partial")
        with open(d + "/sources.list", "w") as f:
            f.write("deb [trusted=yes] http://203.0.113.9/debian x main\n")
        os.chmod(d, 0o755)
        r = run(ENTER + ["netns", "--scope", "--", "apt-get",
                         "-o", "Dir::Etc::SourceList=%s/sources.list" % d, "-o",
                         "Dir::Etc::SourceParts=/dev/null", "-o", "Acquire::Retries=0",
                         "-o", "Dir::State::Lists=%s/lists" % d, "update"], seconds=18,
                env=dict(os.environ, http_proxy="", APT_CONFIG="/dev/null"))
    text = r.stdout + r.stderr
    assert "etgroups" not in text and "setresuid" not in text and "seteuid" not in text, text
    assert "Network is unreachable" in text or "Could not connect" in text or \
        "connect" in text, text


main()
