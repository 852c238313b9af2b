"""tests/bench/bench_leak.py - the leak scan's speed, beside grep -F -f and a plain read.

    python3 tests/bench/bench_leak.py [MiB]

Three kinds of files in memory (/dev/shm): random bytes, program text, many small files.
grep gets the same spellings as a list; every round runs each program once.
"""
import base64
import glob
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PROBE = ROOT + "/build/release/probe_leak"
ROUNDS = 5


def values(n):
    r = random.Random(1)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+/="
    return {"SECRET_%d" % i: "".join(r.choice(letters) for _ in range(40)) for i in range(n)}


def spellings(value):
    v = value.encode()
    yield from (v, v.hex().encode(), v.hex().upper().encode(),
                urllib.parse.quote(v, safe="").encode(), json.dumps(value)[1:-1].encode())
    for pre in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            yield alphabet(b"abc"[:pre] + v)[pre + (pre > 0):-4]


def sources():
    text = b""
    for path in glob.glob("/usr/lib/python3*/**/*.py", recursive=True)[:3000]:
        with open(path, "rb") as f:
            text += f.read()
        if len(text) > 20 << 20:
            break
    return text


def fill(directory, mib):
    text = sources()
    for kind in ("random", "text", "small"):
        os.mkdir(directory + "/" + kind)
    with open(directory + "/random/data", "wb") as f:
        block = os.urandom(8 << 20)
        for _ in range(mib // 8):
            f.write(block)
    with open(directory + "/text/data", "wb") as f:
        for _ in range(max(1, (mib << 20) // len(text))):
            f.write(text)
    for i in range(20000):
        sub = directory + "/small/%03d" % (i // 100)
        if i % 100 == 0:
            os.mkdir(sub)
        with open(sub + "/%d.js" % i, "wb") as f:
            f.write(text[i * 997 % 5000000:][:4000])


def size(directory):
    return sum(os.path.getsize(os.path.join(top, f)) for top, _, files in os.walk(directory)
               for f in files)


def timed(argv):
    began = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          env=dict(os.environ, LC_ALL="C"))
    assert done.returncode in (0, 1), (argv, done.returncode, done.stderr)
    return time.monotonic() - began


def main():
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    with tempfile.TemporaryDirectory(dir="/dev/shm") as d:
        fill(d, mib)
        for count in (1, 10, 100):
            secrets = values(count)
            with open(d + "/vars", "w") as f:
                json.dump(secrets, f)
            with open(d + "/list", "wb") as f:
                f.write(b"\n".join({s for v in secrets.values() for s in spellings(v)}) + b"\n")
            for kind in ("random", "text", "small"):
                where = d + "/" + kind
                runs = {"airlock": [PROBE, d + "/vars", where],
                        "grep -F -f": ["grep", "-r", "-l", "-a", "-F", "-f", d + "/list", where],
                        "cat": ["sh", "-c", "find %s -type f | xargs cat" % where]}
                seen = {name: [] for name in runs}
                for _ in range(ROUNDS):
                    for name in random.sample(list(runs), len(runs)):
                        seen[name].append(timed(runs[name]))
                bytes_ = size(where)
                ours = statistics.median(seen["airlock"])
                words = []
                for name, times in seen.items():
                    t = statistics.median(times)
                    words.append("%s %.2f GB/s%s" % (
                        name, bytes_ / t / 1e9, "" if name == "airlock" else
                        " (%.2fx our time)" % (t / ours)))
                print("%3d secrets, %-6s  %s" % (count, kind, "  ".join(words)), flush=True)


main()
