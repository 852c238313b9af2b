"""tests/bench/bench.py - airlock's init beside the inits installed here, in one run.

Every round runs each program once, in shuffled order, so that a busy moment hits all
of them; medians and ratios are printed, never a single number.

    python3 tests/bench/bench.py [ROUNDS]

Needs root (or user namespaces) for pid namespaces and gcc for the launcher.
"""
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
from lib import AIRLOCK, children, compiled, until  # noqa: E402

PEERS = [("airlock", [AIRLOCK, "init", "--"]),
         ("tini-static", ["/usr/bin/tini-static", "--"]),
         ("tini", ["/usr/bin/tini", "--"]),
         ("dumb-init", ["/usr/bin/dumb-init", "--"]),
         ("catatonit", ["/usr/bin/catatonit", "--"])]
BUDGETS = {"file B": 96 * 1024, "RSS kB": 100, "dirty kB": 24, "start us": 200, "stop us": 85,
           "wakes": 0}


def build(directory, name, *flags):
    out = directory + "/" + name
    subprocess.run(["gcc", "-O2", *flags, HERE + "/" + name + ".c", "-o", out], check=True)
    return out


def timed(launch, how, argv, want):
    # dumb-init loses a TERM now and then and would wait for ever: that is a round of 1 s.
    try:
        out = subprocess.run([launch, how, *argv], capture_output=True, check=True,
                             timeout=1).stdout.split()
    except subprocess.TimeoutExpired:
        return 1e6
    # A TERM may end the init itself by 128+15 or by the signal.
    assert int(out[1]) in want, (argv, out)
    return float(out[0])


def rounds(n, names, measure):
    """{name: median}, the names in another order each round."""
    seen = {name: [] for name in names}
    for _ in range(n):
        for name in random.sample(names, len(names)):
            seen[name].append(measure(name))
    return {name: statistics.median(values) for name, values in seen.items()}


def idle(launch, argv):
    """RSS, Pss and private dirty in kB of the idle init, and its wake-ups in 2 s."""
    process = subprocess.Popen([launch, "idle", *argv], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    pid = int(process.stdout.readline())
    until(lambda: children(pid), "the payload")
    time.sleep(0.1)
    wakes = -voluntary(pid)
    time.sleep(2.05)
    wakes += voluntary(pid)
    with open("/proc/%d/smaps_rollup" % pid) as f:
        kb = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
    process.communicate(b"\n")
    return int(kb["Rss"]), int(kb["Pss"]), int(kb["Private_Dirty"]), wakes


def voluntary(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(), re.M)[1])


def orphans(argv):
    """Milliseconds from the end of 20,000 orphans until the last is reaped."""
    process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", *argv,
                                compiled("init_child.c"), "orphans", "20000"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
    pid = children(process.pid)[0]
    began = time.monotonic()
    process.stdin.write(b"x")
    process.stdin.flush()
    until(lambda: len(children(pid)) == 1, "all reaped", 20)
    took = time.monotonic() - began
    process.communicate(b"x")
    return took * 1000


def row(label, values, best="low"):
    ours = values.get("airlock")
    words = []
    for name, value in values.items():
        ratio = "" if name == "airlock" or not ours else " (%.2fx)" % (value / ours)
        words.append("%s %.0f%s" % (name, value, ratio))
    budget = BUDGETS.get(label)
    verdict = "" if budget is None else "  [budget %d: %s]" % (
        budget, "met" if ours <= budget else "MISSED")
    print("%-10s %s%s" % (label, "  ".join(words), verdict), flush=True)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    peers = {name: argv for name, argv in PEERS if os.path.exists(argv[0])}
    names = list(peers)
    with open(AIRLOCK, "rb") as f:
        os.fsync(f.fileno())  # a program just linked is dirty in the page cache
    with tempfile.TemporaryDirectory() as d:
        launch = build(d, "launch", "-static")
        payload = build(d, "payload", "-static", "-nostdlib", "-fno-stack-protector")
        row("file B", {name: os.path.getsize(argv[0]) for name, argv in peers.items()})
        memory = {name: idle(launch, argv + [payload, "wait"]) for name, argv in peers.items()}
        for i, label in enumerate(("RSS kB", "Pss kB", "dirty kB", "wakes")):
            row(label, {name: memory[name][i] for name in names})
        start = rounds(n, names + ["none"],
                       lambda name: timed(launch, "start", peers.get(name, []) + [payload], (0,)))
        none = start.pop("none")
        row("start us", {name: value - none for name, value in start.items()})
        print("%-10s %.0f" % ("none us", none))
        row("stop us", rounds(max(n // 4, 20), names,
                              lambda name: timed(launch, "stop", peers[name] + [payload, "wait"],
                                                 (15, 143 << 8))))
        row("orphans ms", rounds(3, names, lambda name: orphans(peers[name])))


main()
