#!/usr/bin/python3
"""tests/bench/bench_exec.py [PROGRAM ARGUMENTS…] - the exec-server over WebSocket, in figures.

Without arguments our own; else whatever command line starts a server that prints its
address, e.g. `codex exec-server`. Best of several rounds: other work on the machine only
ever makes it slower.
"""
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT + "/tests/e2e")
from exec_client import Client, b64, uri  # noqa: E402

ENV = {"PATH": os.environ["PATH"]}
MIB = 1 << 20


def memory(pid):
    """Private kB of the process."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("Private"))


def latency(c, label, rounds=200):
    times = []
    for i in range(rounds):
        start = time.perf_counter()
        c.answer(c.start("%s-%d" % (label, i), ["/bin/true"], env=ENV))
        c.event("process/exited", "%s-%d" % (label, i))
        times.append(time.perf_counter() - start)
        c.event("process/closed", "%s-%d" % (label, i))
        c.log.clear()
    return statistics.median(times) * 1e3


def rate(c, at_once, total=400):
    start = time.perf_counter()
    begun = ended = 0
    while ended < total:
        while begun < total and begun - ended < at_once:
            c.start("r%d-%d" % (at_once, begun), ["/bin/true"], env=ENV)
            begun += 1
        m = c.receive()
        ended += m.get("method") == "process/closed"
        c.events.clear()
        c.answers.clear()
        c.log.clear()
    return total / (time.perf_counter() - start)


def output(c, name, size):
    start = time.perf_counter()
    c.start(name, ["head", "-c", str(size), "/dev/zero"], env=ENV)
    tail = b""
    while b"process/closed" not in tail:
        tail = (tail + c.reader.recv(MIB))[-400:]
    c.bytes.clear()
    return size / (time.perf_counter() - start) / 1e6


def timed(call):
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def main():
    command = sys.argv[1:] or [ROOT + "/build/release/airlock", "exec-server"]
    start = time.perf_counter()
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    address = server.stdout.readline().decode().strip()
    print("start-up                 %8.1f ms" % ((time.perf_counter() - start) * 1e3))
    try:
        c = Client.websocket(address)
        c.hello()
        print("idle, private            %8d kB" % memory(server.pid))
        print("start -> exited, p50     %8.2f ms" % min(latency(c, "l%d" % i) for i in range(3)))
        for n in (1, 8, 32):
            print("processes/s at %-2d        %8.0f" % (n, max(rate(d, n) for d in clients(address))))
        print("200 MiB of output        %8.0f MB/s" %
              max(output(c, "o%d" % i, 200 * MIB) for i in range(3)))
        f = "/tmp/bench-exec-%d" % os.getpid()
        for size in (1024, 11 * MIB):
            data = b64(os.urandom(size))
            print("writeFile %8d B     %8.2f ms" % (size, min(
                timed(lambda: c.call("fs/writeFile", path=uri(f), dataBase64=data))
                for _ in range(5))))
            print("readFile  %8d B     %8.2f ms" % (size, min(
                timed(lambda: c.call("fs/readFile", path=uri(f))) for _ in range(5))))
        os.unlink(f)
        time.sleep(1.5)
        print("afterwards, private      %8d kB" % memory(server.pid))
    finally:
        server.terminate()
        server.wait(10)


def clients(address):
    for _ in range(3):
        c = Client.websocket(address)
        c.hello()
        yield c


main()
