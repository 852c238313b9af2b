"""tests/bench/bench_notify.py - what the notify lock adds to a connect, beside none.

    python3 tests/bench/bench_notify.py [ROUNDS]

Every round measures each way once, in shuffled order; medians of the rounds are printed, in
microseconds. The proxy is the tests' stub: accept, one epoll. Needs root and gcc.

The last lines are what the kernel alone takes to have a call answered by a second process,
and by one that asks a third: how fast it wakes them decides, which on a virtual machine's
idle processors is tens of microseconds, and less than one beside other work.
"""
import os
import random
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORLD = [ROOT + "/build/release/probe_notify", "--notify",
         ROOT + "/build/release/airlock-notify"]
EACH = 2000
BUDGET_US = 45


def measure(program, wrap, where):
    out = subprocess.run([*wrap, program, *where, str(EACH)], capture_output=True, check=True,
                         timeout=60).stdout
    return [float(x) for x in out.split()]


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    if "BENCH_NOTIFY" not in os.environ:
        os.execvpe("unshare", ["unshare", "--net", sys.executable, *sys.argv],
                   dict(os.environ, BENCH_NOTIFY="1"))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        for name, source in (("connect", HERE + "/notify_connect.c"),
                             ("floor", HERE + "/notify_floor.c"),
                             ("hostile", HERE + "/../e2e/notify_hostile.c")):
            subprocess.run(["gcc", "-O2", "-pthread", source, "-o", directory + "/" + name],
                           check=True)
        program = directory + "/connect"
        ways = {"native, own server": ([], ["-", "0"])}
        for name, options in (("taken", []), ("held", ["--hold"]),
                              ("held, own notifier", ["--own", "5000"])):
            wrap = [*WORLD, *options, "--"]
            ways[name + ", own server"] = (wrap, ["-", "0"])
            ways[name + ", to the proxy"] = (wrap, ["198.18.0.1", "7"])
        seen = {name: [] for name in ways}
        floors = []
        for _ in range(rounds):
            for name in random.sample(list(ways), len(ways)):
                seen[name].append(measure(program, *ways[name]))
            out = subprocess.run([directory + "/floor", str(EACH)], capture_output=True,
                                 check=True, timeout=60).stdout
            floors.append([float(x) for x in out.split()])
        native = statistics.median(x[2] for x in seen["native, own server"])
        print("%-36s %8s %8s %8s %8s" % ("us, medians", "socket", "connect", "both", "added"))
        for name, values in seen.items():
            s, c, b = (statistics.median(x[i] for x in values) for i in range(3))
            print("%-36s %8.1f %8.1f %8.1f %+8.1f%s" % (
                name, s, c, b, b - native, "" if b - native <= BUDGET_US else "  > budget"))
        for i, name in enumerate(("answered", "answered after a question")):
            print("%-36s %8s %8s %8.1f" % ("the kernel alone: " + name, "", "",
                                           statistics.median(f[i] for f in floors)))
        for options in ([], ["--hold"]):
            out = subprocess.run([*WORLD, *options, "--", directory + "/hostile", "many", "4000"],
                                 capture_output=True, timeout=60).stdout.decode()
            print("%-16s %s" % (" ".join(options) or "--take", out.strip()))


if __name__ == "__main__":
    main()
