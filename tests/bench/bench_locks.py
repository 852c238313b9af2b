"""tests/bench/bench_locks.py - what the locks cost, beside other tools, in one run.

Every round does each thing once, in shuffled order, in fresh network namespaces; medians
are printed.

    python3 tests/bench/bench_locks.py [ROUNDS] [apply|connect|sandbox]

Needs root, nft, iptables and gcc; `sandbox` none of them, and takes bwrap, firejail and
srt (npm) along where they are in PATH.
"""
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
import lib  # noqa: E402
from lib import ROOT  # noqa: E402
from nets import FAR4, Space, pair  # noqa: E402

PROBE = ROOT + "/build/release/probe_netfilter"
MARK, PROXY = 0x41524c4b, 1080
PLAN = ["mark=%d" % MARK, "dns=1053", "redirect=%d" % PROXY]


def spawned(argv, stdin=None):
    """Milliseconds from posix_spawn to exit."""
    actions = [(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
    if stdin:
        actions.append((os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0))
    start = time.perf_counter()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    code = os.waitpid(pid, 0)[1]
    took = (time.perf_counter() - start) * 1000
    assert code == 0, (argv, code)
    return took


def texts(directory):
    """The same rules in the words of nft, iptables and ip6tables."""
    space = Space()
    assert space.run(PROBE, "inet", "apply", *PLAN).returncode == 0
    files = {}
    for name, argv, form in (("nft", ["nft", "list", "ruleset"], None),
                             ("v4", ["iptables-legacy-save"], "xt"),
                             ("v6", ["ip6tables-legacy-save"], "xt")):
        if form:
            assert space.run(PROBE, form, "apply", *PLAN).returncode == 0
        files[name] = directory + "/" + name
        with open(files[name], "w") as f:
            f.write(space.run(*argv).stdout)
    lib._end_started()
    return files


def apply_rows(files):
    def one(*argv, stdin=None):
        return lambda: spawned(list(argv), stdin)

    def again():
        spawned([PROBE, "inet", "apply", *PLAN])
        return spawned([PROBE, "inet", "apply", *PLAN, "inbound"])

    def both(tool):
        return lambda: sum(spawned(["/usr/sbin/%s-%s-restore" % (v, tool)], stdin=files[f])
                           for v, f in (("iptables", "v4"), ("ip6tables", "v6")))
    return {
        "a static program that does nothing": one(PROBE, "inet", "nothing"),
        "airlock, nf_tables": one(PROBE, "inet", "apply", *PLAN),
        "airlock, nf_tables, other rules": again,
        "airlock, ip_tables": one(PROBE, "xt", "apply", *PLAN),
        "nft -f": one("/usr/sbin/nft", "-f", files["nft"]),
        "iptables-legacy-restore, v4 and v6": both("legacy"),
        "iptables-nft-restore, v4 and v6": both("nft"),
    }


def bench_apply(n):
    with tempfile.TemporaryDirectory() as directory:
        rows = apply_rows(texts(directory))
        took = {name: [] for name in rows}
        for _ in range(n):
            for name in random.sample(list(rows), len(rows)):
                space = Space()
                took[name].append(space.do(rows[name]))
                lib._end_started()
    base = statistics.median(took["a static program that does nothing"])
    print("time to apply, ms (median of %d, exec to exit)" % n)
    for name, values in took.items():
        m = statistics.median(values)
        print("  %-38s %7.2f   %+7.2f over nothing" % (name, m, m - base))


def accept(port, say):
    import socket
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", port))
    s.listen(4096)
    say("ready")
    while True:
        s.accept()[0].close()


def connects(space, program, address, port):
    done = space.run(program, address, str(port), "2000")
    assert done.returncode == 0, done.stdout
    return float(done.stdout)


def bench_connect(n):
    """Own loopback, and a far address that ends at the proxy; without a lock, loopback."""
    with tempfile.TemporaryDirectory() as directory:
        program = directory + "/connect"
        subprocess.run(["gcc", "-O2", HERE + "/connect.c", "-o", program], check=True)
        took = {}
        for _ in range(n):
            for name, form, address in random.sample(
                    [("no lock, loopback", None, "127.0.0.1"),
                     ("nf_tables, loopback", "inet", "127.0.0.1"),
                     ("nf_tables, redirected", "inet", FAR4),
                     ("ip_tables, loopback", "xt", "127.0.0.1"),
                     ("ip_tables, redirected", "xt", FAR4)], 5):
                lib.TIMEOUT_S = 60
                box, world = pair()
                box.serve(accept, PROXY)
                if form:
                    assert box.run(PROBE, form, "apply", *PLAN).returncode == 0
                took.setdefault(name, []).append(
                    connects(box, program, address, PROXY if address != FAR4 else 443))
                lib._end_started()
    base = statistics.median(took["no lock, loopback"])
    print("connect(2), us (median of %d runs of 2000)" % n)
    for name in sorted(took, key=lambda k: (k != "no lock, loopback", k)):
        m = statistics.median(took[name])
        print("  %-38s %7.2f   %+7.2f over no lock" % (name, m, m - base))


def sandboxes():
    """`true` without a network: a name and a command line each."""
    airlock = [lib.AIRLOCK, "sandbox"]
    lock = os.path.dirname(lib.AIRLOCK) + "/airlock-lock"
    rows = {
        "no sandbox": ["/bin/true"],
        "airlock sandbox": airlock + ["--", "/bin/true"],
        "airlock sandbox --fs full": airlock + ["--fs", "full", "--", "/bin/true"],
        "airlock sandbox --lock notify": airlock + ["--lock", "notify", "--", "/bin/true"],
        "airlock sandbox --lock closed": airlock + ["--lock", "closed", "--", "/bin/true"],
        "airlock sandbox --prove": airlock + ["--prove", "--", "/bin/true"],
        "airlock-lock --enter netns": [lock, "--enter", "netns", "--scope", "--", "/bin/true"],
    }
    peers = {
        "bwrap": ["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev",
                  "/bin/true"],
        "firejail": ["--quiet", "--noprofile", "--net=none", "/bin/true"],
        "srt": ["true"],
    }
    for name, words in peers.items():
        path = shutil.which(name)
        if path:
            rows[name] = [path] + words
    return rows


def bench_sandbox(n):
    took = {}
    rows = sandboxes()
    for name, argv in list(rows.items()):
        try:
            spawned(argv)
        except AssertionError:
            print("  %s does not run here" % name)
            del rows[name]
    for _ in range(n):
        for name in random.sample(list(rows), len(rows)):
            took.setdefault(name, []).append(spawned(rows[name]))
    bwrap = statistics.median(took.get("bwrap", took["no sandbox"]))
    print("a sandbox around true, ms (median of %d, exec to exit)" % n)
    for name in rows:
        m = statistics.median(took[name])
        print("  %-38s %7.2f   %5.2f x bwrap" % (name, m, m / bwrap))


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    what = sys.argv[2] if len(sys.argv) > 2 else ""
    if what in ("", "apply"):
        bench_apply(n)
    if what in ("", "connect"):
        bench_connect(max(n // 4, 3))
    if what in ("", "sandbox"):
        bench_sandbox(n * 2)


if __name__ == "__main__":
    main()
