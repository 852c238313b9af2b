"""tests/bench/bench_locks.py - what the locks cost, beside other tools, in one run.

Every round does each thing once, in shuffled order, in fresh network namespaces; medians
are printed, each with its ratio or its aim.

    python3 tests/bench/bench_locks.py [ROUNDS] [apply|connect|seal|sandbox]

Needs root, nft, iptables and gcc; `sandbox` none of them, and takes along what of bwrap and
firejail is in PATH, and codex and srt as npm has them.
"""
import ctypes
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
import lib  # noqa: E402
from lib import AIRLOCK, ROOT, npm_package  # noqa: E402
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
    nft = statistics.median(took["nft -f"])
    print("time to apply, ms (median of %d, exec to exit); aim: airlock's at most 1.0 x nft -f" % n)
    for name, values in took.items():
        m = statistics.median(values)
        print("  %-38s %7.2f   %+7.2f over nothing   %5.2f x nft -f" % (name, m, m - base, m / nft))


def connects(space, program, address, port):
    done = space.run(program, address, str(port), "2000")
    assert done.returncode == 0, done.stdout
    return float(done.stdout)


def under_rules(form, address):
    def one(program):
        box, _ = pair()
        server = lib.start(["nsenter", "--net=" + box.path, program, "serve", str(PROXY)])
        assert server.stdout.readline() == b"ready\n"
        if form:
            assert box.run(PROBE, form, "apply", *PLAN).returncode == 0
        return connects(box, program, address, PROXY if address != FAR4 else 443)
    return one


def in_sandbox(lock, own):
    """To a server beside it, or to a far address, which ends at the real proxy."""
    def one(program):
        space = Space()
        shell = "exec %s %s 443 2000" % (program, FAR4)
        if own:
            shell = "%s serve %d >/dev/null & sleep 0.5; %s 127.0.0.1 %d 2000; kill $!" % (
                program, PROXY, program, PROXY)
        done = space.run(AIRLOCK, "sandbox", "--net", "limited", "--allow", FAR4, "--lock", lock,
                         "--", "sh", "-c", shell)
        assert done.returncode == 0, (lock, done)
        return float(done.stdout)
    return one


def bench_connect(n):
    """Own loopback, and a far address that ends at the proxy; without a lock, loopback."""
    rows = {"no lock, loopback": (under_rules(None, "127.0.0.1"), None)}
    for name, form, aim in (("netfilter, nf_tables", "inet", 12), ("netfilter, ip_tables", "xt", 12)):
        rows[name + ", loopback"] = under_rules(form, "127.0.0.1"), aim
        rows[name + ", redirected"] = under_rules(form, FAR4), aim
    for lock, aim in (("netns", 12), ("notify", 45)):
        rows[lock + ", loopback"] = in_sandbox(lock, True), aim
        rows[lock + ", to the proxy"] = in_sandbox(lock, False), aim
    took = {name: [] for name in rows}
    with tempfile.TemporaryDirectory() as directory:
        program = directory + "/connect"
        subprocess.run(["gcc", "-O2", HERE + "/connect.c", "-o", program], check=True)
        lib.TIMEOUT_S = 60
        for _ in range(n):
            for name in random.sample(list(rows), len(rows)):
                took[name].append(rows[name][0](program))
                lib._end_started()
    base = statistics.median(took["no lock, loopback"])
    print("connect(2), us (median of %d runs of 2000)" % n)
    for name, (_, aim) in rows.items():
        m = statistics.median(took[name])
        print("  %-38s %7.2f   %+7.2f over no lock%s" % (
            name, m, m - base, "   aim: at most +%d" % aim if aim else ""))


NOW = """#include <stdio.h>
#include <time.h>
int main(int argc, char **argv)
{
        struct timespec t;
        FILE *f = fopen(argv[1], "w");
        clock_gettime(CLOCK_REALTIME, &t);
        return argc != 2 || !f || fprintf(f, "%ld.%09ld", (long)t.tv_sec, t.tv_nsec) < 0;
}
"""


def sealed(directory, lock):
    """One task: (ms from the end of setup to the agent's first instruction, the proof's)."""
    with tempfile.TemporaryDirectory(dir=directory) as d:
        os.mkdir(d + "/out")
        with open(d + "/task.json", "w") as f:
            json.dump({"version": 1, "setup": {"auto": False, "script": "true"},
                       "network": {"agent": "off", "lock": lock}, "output": {"dir": d + "/out"},
                       "agent": {"command": [directory + "/now", d + "/out/now"]}}, f)
        done = subprocess.run(["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh",
                               AIRLOCK, "run", d + "/task.json"], stdin=subprocess.DEVNULL,
                              capture_output=True)
        assert done.returncode == 0, (lock, done)
        with open(d + "/out/events.ndjson") as f:
            steps = {e["name"]: e for e in map(json.loads, f) if e["event"] == "step"}
        with open(d + "/out/now") as f:
            began = float(f.read())
    ended = datetime.fromisoformat(steps["run the setup script"]["time"].replace("Z", "+00:00"))
    return ((began - ended.timestamp()) * 1000,
            steps["prove that nothing gets out"]["took_ms"])


def bench_seal(n):
    locks = ("netns", "netfilter", "notify", "closed")
    took = {lock: [] for lock in locks}
    with tempfile.TemporaryDirectory(prefix="airlock-bench-", dir=ROOT + "/build") as directory:
        subprocess.run(["gcc", "-O2", "-static", "-x", "c", "-", "-o", directory + "/now"],
                       input=NOW.encode(), check=True)
        for _ in range(n):
            for lock in random.sample(locks, len(locks)):
                took[lock].append(sealed(directory, lock))
    print("seal, ms (median of %d): from the end of setup to the agent's first instruction" % n)
    for lock in locks:
        whole = statistics.median(t for t, _ in took[lock])
        less = statistics.median(t - p for t, p in took[lock])
        print("  %-38s %7.2f   aim: at most 15   without the proof %6.2f   aim: at most 5" %
              (lock, whole, less))


def sandboxes():
    """`true` without a network: a name and a command line each."""
    airlock = [AIRLOCK, "sandbox"]
    lock = os.path.dirname(AIRLOCK) + "/airlock-lock"
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
    }
    for name, words in peers.items():
        path = shutil.which(name)
        if path:
            rows[name] = [path] + words
    modules = ROOT + "/build/npm/node_modules/"
    for package, version, path, words in (
            ("@anthropic-ai/sandbox-runtime", "0.0.78", modules + ".bin/srt", ["true"]),
            ("@openai/codex", "0.169.0", modules + CODEX, ["sandbox", "--", "/bin/true"])):
        why = npm_package(package, version, 300)
        if why:
            print("  %s: %s" % (package, why))
        else:
            rows[package] = [path] + words
    return rows


CODEX = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"  # past its launcher


def time_sandboxes(n, rows, title):
    took = {name: [] for name in rows}
    for _ in range(n):
        for name in random.sample(list(rows), len(rows)):
            took[name].append(spawned(rows[name]))
    bwrap = statistics.median(took.get("bwrap", took["no sandbox"]))
    print("%s, ms (median of %d, exec to exit)" % (title, n))
    for name in rows:
        m = statistics.median(took[name])
        print("  %-38s %7.2f   %5.2f x bwrap%s" % (
            name, m, m / bwrap, "   aim: at most 1.00" if name == "airlock sandbox" else ""))


def leave_mounted_folders():
    """In a mount namespace of our own: what is mounted besides / and the kernel's is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(0x20000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNS
    subprocess.run(["mount", "--make-rslave", "/"], check=True)
    with open("/proc/self/mountinfo") as f:
        points = [line.split()[4] for line in f]
    for point in reversed(points):
        if point == "/dev/shm" or point.split("/")[1] not in ("", "proc", "sys", "dev"):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)


def bench_sandbox(n):
    """
    airlock looks for other people's sockets below every mounted folder, up to 256 folders of
    each; bwrap does not. So a second time with nothing mounted: Docker's folder alone is worth
    a millisecond.
    """
    rows = sandboxes()
    os.environ["HOME"] = ROOT + "/build/npm"  # codex wants one that is not in /tmp
    for name, argv in list(rows.items()):
        try:
            spawned(argv)
        except (AssertionError, OSError):
            print("  %s does not run here" % name)
            del rows[name]
    time_sandboxes(n, rows, "a sandbox around true")
    if os.geteuid() == 0:
        leave_mounted_folders()
        time_sandboxes(n, {name: rows[name] for name in ("no sandbox", "airlock sandbox", "bwrap")
                           if name in rows}, "the same where no folder is mounted")


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    what = sys.argv[2] if len(sys.argv) > 2 else ""
    if what in ("", "apply"):
        bench_apply(n)
    if what in ("", "connect"):
        bench_connect(max(n // 4, 3))
    if what in ("", "seal"):
        bench_seal(n)
    if what in ("", "sandbox"):
        bench_sandbox(n * 2)


if __name__ == "__main__":
    main()
