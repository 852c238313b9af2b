#!/usr/bin/python3
"""tests/bench/bench_exec.py [WORD] - our exec-server beside Codex's, by a client in C.

Both are loaded in turns, so that other work on the machine slows both alike; of each figure
the best round counts. Aims are those of the task that this server was written for: where
one is missed the row says so, and the exit status is 1. With WORD only rows that have it.
"""
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/tests/e2e")
import codex  # noqa: E402

LOAD = ROOT + "/build/release/bench_exec"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
AIRLOCK = [ROOT + "/build/release/airlock", "exec-server", "--listen", "ws://127.0.0.1:0"]
CODEX = [codex.program(), "exec-server", "--listen", "ws://127.0.0.1:0"]

# name, unit, load, aim: ours is so many times better (None: no aim is set)
ROWS = (
    ("start to exited, /bin/true", "us", ["latency", "100"], 20),
    ("processes at once: 1", "/s", ["rate", "1", "200"], 4),
    ("processes at once: 8", "/s", ["rate", "8", "400"], 4),
    ("processes at once: 32", "/s", ["rate", "32", "400"], 4),
    ("200 MiB of output", "MB/s", ["output", "200"], 3),
    ("readFile 1 KiB", "us", ["read", "SMALL", "200"], None),
    ("readFile 16 MiB", "us", ["read", "LARGE", "5"], None),
    ("writeFile 1 KiB", "us", ["write", "NEW", "1024", "200"], None),
    ("writeFile 8 MiB", "us", ["write", "NEW", str(8 << 20), "5"], None),
)


def private_kb(pid):
    """Of the process alone: what it would give back if it ended."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private"))


class Server:
    def __init__(self, argv):
        self.argv = argv
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.address = self.process.stdout.readline().decode().strip()
        time.sleep(0.5)
        self.idle = private_kb(self.process.pid)

    def load(self, what):
        out = subprocess.run([LOAD, self.address, *what], stdout=subprocess.PIPE, check=True,
                             timeout=120).stdout
        return int(out)

    def loaded(self):
        time.sleep(2)
        return private_kb(self.process.pid)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


def row(name, unit, ours, theirs, more_is_better, aim):
    """Prints it; False: the aim is missed."""
    ratio = (ours / theirs if more_is_better else theirs / ours) if ours and theirs else 0
    missed = aim is not None and ratio < aim
    print("%-28s %10d %10d %-5s %7.1f x%s" % (
        name, ours, theirs, unit, ratio,
        "" if aim is None else "  aim %d%s" % (aim, ": MISSED" if missed else "")), flush=True)
    return not missed


def startup(argv):
    return int(subprocess.run([LOAD, "-", "startup", "15", *argv], stdout=subprocess.PIPE,
                              check=True, timeout=60).stdout)


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    version = subprocess.run([CODEX[0], "--version"], stdout=subprocess.PIPE).stdout
    print("%-28s %10s %10s       (%s)" % ("", "airlock", "codex", version.decode().strip()))
    fine = True
    servers = [Server(AIRLOCK), Server(CODEX)]
    try:
        with tempfile.TemporaryDirectory(prefix="bench-exec-") as d:
            for name, size in (("SMALL", 1024), ("LARGE", 16 << 20)):
                with open(d + "/" + name, "wb") as f:
                    f.write(os.urandom(size))
            if "start-up" in "start-up " + wanted:
                fine &= row("start-up", "us", startup(AIRLOCK), startup(CODEX), False, 3)
            fine &= row("idle, private", "kB", servers[0].idle, servers[1].idle, False, 20)
            for name, unit, what, aim in ROWS:
                if wanted not in name:
                    continue
                what = [d + "/" + w if w.isupper() else w for w in what]
                more = unit.endswith("/s")
                best = [None, None]
                for _ in range(ROUNDS):
                    for i, server in enumerate(servers):
                        n = server.load(what)
                        best[i] = n if best[i] is None else (max if more else min)(best[i], n)
                fine &= row(name, unit, *best, more, aim)
            row("after all that, private", "kB", *[s.loaded() for s in servers], False, None)
    finally:
        for server in servers:
            server.stop()
    return 0 if fine else 1


sys.exit(main())
