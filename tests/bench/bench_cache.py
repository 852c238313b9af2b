"""tests/bench/bench_cache.py - saving and restoring a state, beside tar, in one run.

Two trees: a project of 20,000 small files as npm leaves it, and one of a few large files.
Every round does each thing once, in shuffled order, in fresh directories of one file
system. Printed are medians, and of the ratios that of each round's, so that who else is busy on
the machine matters less. What is saved anew is removed before, by both sides: a virtual
machine's memory that nobody has touched yet costs more than the copy. Small files stay until
the end: ext4 does not give the inodes of deleted files out again for some seconds, and
looks at each of them for every new file. Neither side is fsynced, but our meta.json is; tar sums
nothing up, and checks nothing before it writes.

    python3 tests/bench/bench_cache.py [ROUNDS]
"""
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
from cachelab import MISS, Box  # noqa: E402


def project(root):
    r = random.Random(1)
    for d in range(1000):
        path = "%s/n/%d/%d" % (root, d // 40, d)
        os.makedirs(path)
        for n in range(20):
            with open("%s/%d.js" % (path, n), "wb") as f:
                f.write(r.randbytes(int(min(r.expovariate(1 / 4000), 200000))))


def large(root):
    r = random.Random(2)
    os.mkdir(root + "/d")
    for n in range(4):
        with open("%s/d/%d" % (root, n), "wb") as f:
            for _ in range(64):
                f.write(r.randbytes(1 << 20))


def cpu():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def timed(argv, **options):
    start, used = time.perf_counter(), cpu()
    subprocess.run(argv, check=True, **options)
    return time.perf_counter() - start, cpu() - used


def program(box, command):
    start, used = time.perf_counter(), cpu()
    code = box.do(command)
    took = time.perf_counter() - start, cpu() - used
    assert code in (0, MISS), (code, box.err)
    return took, code


class Round:
    def __init__(self, top, grow):
        self.top = top
        os.mkdir(top + "/cache")
        os.mkdir(top + "/a")
        self.box = Box(top + "/a", top + "/cache")
        assert program(self.box, "restore")[1] == MISS
        grow(top + "/a")
        self.files = sum(len(f) for _, _, f in os.walk(top + "/a"))
        self.bytes = sum(os.path.getsize(os.path.join(d, n))
                         for d, _, f in os.walk(top + "/a") for n in f)
        assert program(self.box, "save")[1] == 0
        self.tar()

    def fresh(self):
        return tempfile.mkdtemp(dir=self.top)

    def done_with(self, out):
        if self.files < 1000:
            shutil.rmtree(out)

    def save(self):
        for name in os.listdir(self.top + "/cache"):
            if name != "lock":
                shutil.rmtree(self.top + "/cache/" + name)
        return program(self.box, "save")[0]

    def tar(self):
        if os.path.exists(self.top + "/t.tar"):
            os.unlink(self.top + "/t.tar")
        return timed(["tar", "--format=pax", "--xattrs", "--sparse", "-cf", self.top + "/t.tar",
                      "-C", self.top + "/a", "."])

    def restore(self):
        out = self.fresh()
        box = Box(out, self.top + "/cache")
        took, code = program(box, "restore")
        assert code == 0, box.err
        box.close()
        self.done_with(out)
        return took

    def untar(self):
        out = self.fresh()
        took = timed(["tar", "--xattrs", "-xpf", self.top + "/t.tar", "-C", out])
        self.done_with(out)
        return took

    def index(self):
        """What a miss costs before setup: the key, and the index of this tree."""
        box = Box(self.top + "/a", self.top + "/cache", parts=[("other", "1")])
        took = program(box, "restore")[0]
        box.close()
        return took


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for name, grow in (("20,000 small files", project), ("4 files of 64 MiB", large)):
        with tempfile.TemporaryDirectory(prefix="airlock-bench-", dir=os.environ.get("BENCH_DIR")) as top:
            r = Round(top, grow)
            rows = {"save": r.save, "tar -c": r.tar, "restore": r.restore, "tar -x": r.untar,
                    "key and index, at a miss": r.index}
            took = {n: [] for n in rows}
            for _ in range(rounds):
                for n in random.sample(list(rows), len(rows)):
                    took[n].append(rows[n]())
            print("%s, %.1f MB (median of %d)" % (name, r.bytes / 1e6, rounds))
            for n in rows:
                m, used = (statistics.median(t[k] for t in took[n]) for k in (0, 1))
                print("  %-28s %7.1f ms  %7.0f MB/s  %8.0f files/s  processor %7.1f ms"
                      % (n, m * 1e3, r.bytes / 1e6 / m, r.files / m, used * 1e3))
            for ours, theirs in (("save", "tar -c"), ("restore", "tar -x")):
                ratio = [statistics.median(b[k] / a[k] for a, b in zip(took[ours], took[theirs]))
                         for k in (0, 1)]
                print("  %s: %.2f times as fast as %s (%.2f by processor time)"
                      % (ours, ratio[0], theirs, ratio[1]))


if __name__ == "__main__":
    main()
