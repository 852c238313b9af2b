#!/usr/bin/python3
"""The agent loop beside `codex exec`, on the same script of a model that answers at once.

Start-up is a turn of one request; the time a turn adds is taken from a script of TURNS
commands. Memory is what all processes of the run hold of their own (PSS), at its highest.
Medians of RUNS; codex alternates with airlock, so that a busy moment hits both.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, TOP + "/tests/e2e")
import codex  # noqa: E402
from model_server import Model, call, say  # noqa: E402

RUNS, TURNS = int(os.environ.get("RUNS", "7")), 20
AIRLOCK = TOP + "/build/release/airlock"


def tree(pid):
    """The process and all below it."""
    found = [pid]
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            for child in f.read().split():
                found += tree(int(child))
    except OSError:
        pass
    return found


def held(pid):
    """kB of the tree, each page shared by n counted as 1/n."""
    total = 0
    for one in tree(pid):
        try:
            with open("/proc/%d/smaps_rollup" % one) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total


def measure(argv, where, env, watch):
    """(seconds, kB at its highest)"""
    begun = time.monotonic()
    p = subprocess.Popen(argv, cwd=where, env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while watch and p.poll() is None:
        most = max(most, held(p.pid))
        time.sleep(0.005)
    if p.wait():
        sys.exit("%s: exit %d" % (argv[0], p.returncode))
    return time.monotonic() - begun, most


def repository(folder):
    subprocess.run("git init -q . && echo a > a && git add a && "
                   "git -c user.name=a -c user.email=a@b commit -qm a", shell=True, cwd=folder, check=True)
    return folder


def main():
    where = repository(tempfile.mkdtemp(prefix="airlock-bench-"))
    env = {"PATH": "/usr/bin:/bin", "HOME": where, "CODEX_HOME": where + "/.codex"}
    os.mkdir(where + "/.codex")
    program = codex.program()
    figures = {}
    for run in range(RUNS):
        for name in ["airlock", "codex"]:
            for turns in (0, TURNS):
                for watch in (False, True):
                    script = [call("exec_command", cmd="true # %d" % n, login=False, yield_time_ms=5000)
                              for n in range(turns)]
                    with Model(script + [say("done")]) as m:
                        provider = "model_providers.m={name='m',base_url='%s',wire_api='responses'}" % m.url
                        argv = [AIRLOCK, "agent", "--base-url", m.url, "-m", "x", "-q",
                                "-s", "danger-full-access", "go"] if name == "airlock" else [
                                program, "exec", "--dangerously-bypass-approvals-and-sandbox", "-c",
                                "model_provider=m", "-c", provider, "-m", "x", "go"]
                        seconds, kb = measure(argv, where, env, watch)
                    figures.setdefault((name, turns, watch), []).append(kb if watch else seconds)
    subprocess.run(["rm", "-rf", where])
    median = {key: statistics.median(values) for key, values in figures.items()}
    rows = [("start-up and one answer, ms", lambda n: 1000 * median[n, 0, False]),
            ("each turn with a command, ms",
             lambda n: 1000 * (median[n, TURNS, False] - median[n, 0, False]) / TURNS),
            ("memory of all processes, MB", lambda n: median[n, TURNS, True] / 1024)]
    print("%-34s %10s %10s %8s   aim" % ("", "airlock", "codex", "ratio"))
    for (label, value), aim in zip(rows, ("1/10", "1/10", "1/20")):
        ours = value("airlock")
        theirs = value("codex")
        print("%-34s %10.2f %10.2f %8s   %s" % (label, ours, theirs, "1/%.1f" % (theirs / ours), aim))


if __name__ == "__main__":
    main()
