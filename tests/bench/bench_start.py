"""tests/bench/bench_start.py - the second start of a task beside its first, for a project whose
setup leaves 20,000 files, and beside an image that the engine's own commit makes.

Setup installs 400 packages as npm does it with a warm cache: each archive is checked
against its SHA-512 and unpacked. The resolver, the network and whatever the packages build are
missing, so what a hit saves on a real project is more. Whole tasks are timed, from the command to
its end, with an agent that does nothing; medians of ROUNDS. No container is removed before the
end: ext4 does not give the inodes of deleted files out again for some seconds, and looks at each.

    python3 tests/bench/bench_start.py [ROUNDS]
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, HERE + "/../e2e")
from bench_cache import project  # noqa: E402
from engines import IMAGE, Docker, Podman, layer, make_rootfs, quiet, stop_engines  # noqa: E402
from lib import AIRLOCK  # noqa: E402
from task import Task, git  # noqa: E402

PACKAGES = 400
SETUP = """cd %s/packages && sha512sum --quiet -c SHA512SUMS && for p in *.tgz; do
        mkdir -p "/workspace/app/n/${p%%.tgz}" && tar -xzf "$p" -C "/workspace/app/n/${p%%.tgz}" || exit
done"""


def pack(to):
    """What project() grows, in as many archives as an installation would fetch."""
    os.mkdir(to)
    with tempfile.TemporaryDirectory() as tree:
        project(tree)
        tops = sorted(os.path.join(d, n) for d, names, _ in os.walk(tree + "/n") for n in names
                      if d != tree + "/n")
        for i in range(PACKAGES):
            subprocess.run(["tar", "-C", tree + "/n", "-czf", "%s/%d.tgz" % (to, i)] +
                           [os.path.relpath(t, tree + "/n") for t in tops[i::PACKAGES]], check=True)
    subprocess.run("sha512sum *.tgz > SHA512SUMS", shell=True, cwd=to, check=True)


class Place(Task):
    """A repository in a bundle, the packages beside it, and a cache for each round."""

    def __init__(self, packages):
        super().__init__()
        self.repo({"a.txt": "one\n", ".gitignore": "n\n"})
        git(self.url, "bundle", "create", "-q", self.dir + "/app.bundle", "--all")
        self.packages = packages
        self.fresh()

    def fresh(self):
        self.cache = tempfile.mkdtemp(prefix="cache", dir=self.dir)

    def write(self, here, out, cache=None):
        spec = {"version": 1, "repo": {"url": here + "/app.bundle", "ref": "main", "dir": "/workspace/app"},
                "setup": {"script": SETUP % here}, "agent": {"command": ["true"]}, "output": {"dir": out}}
        if cache:
            spec["cache"] = cache
        return self.write_spec(spec)

    def cache_event(self, outcome):
        with open(self.out + "/events.ndjson") as f:
            events = [json.loads(line) for line in f]
        found = [e for e in events if e["event"] == "cache" and e["outcome"] == outcome]
        assert found, (outcome, events[-3:])
        return found[0]


def timed(argv):
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, (argv, done.stderr[-1500:])
    return (time.perf_counter() - start) * 1000


class Box:
    """No engine. What is shared lies in OUT, which is the host's."""

    def __init__(self, p):
        self.p = p
        shutil.copy(p.dir + "/app.bundle", p.out)
        shutil.copytree(p.packages, p.out + "/packages")

    def task(self):
        path = self.p.write(self.p.out, self.p.out, {"dir": self.p.cache})
        return timed([AIRLOCK, "run", "-q", "--box", make_rootfs(), path])


class Container:
    def __init__(self, p, engine):
        self.p, self.engine, self.count = p, engine, 0
        quiet(engine.command() + ["import", "--change", 'ENTRYPOINT ["airlock"]', layer(), IMAGE + "-run"])

    def run(self, image):
        mounts = [self.p.dir + "/task.json:/airlock/task.json:ro", self.p.out + ":/airlock/out",
                  self.p.cache + ":/airlock/cache", self.p.dir + "/app.bundle:/airlock/app.bundle:ro",
                  self.p.packages + ":/airlock/packages:ro"]
        self.count += 1
        self.name = "airlock-bench-%d" % self.count
        argv = self.engine.command() + ["run", "--network", "none", "--name", self.name, *self.engine.extra]
        for mount in mounts:
            argv += ["-v", mount]
        return timed(argv + [image, "run", "-q", "/airlock/task.json"])

    def task(self, **cache):
        self.p.write("/airlock", "/airlock/out", dict({"dir": "/airlock/cache"}, **cache))
        return self.run(IMAGE + "-run")

    def commit(self):
        """(the commit, a start of what it made)"""
        self.p.fresh()
        self.task(stamp=True)
        image = self.name
        took = timed(self.engine.command() + ["commit", self.name, image])
        self.p.fresh()
        start = self.run(image)
        self.p.cache_event("stamped")
        return took, start


def bench(title, place, p, rounds):
    rows = {n: [] for n in ("first", "saved", "second", "restored", "commit", "committed")}
    for _ in range(rounds):
        p.fresh()
        rows["first"].append(place.task())
        rows["saved"].append(p.cache_event("saved")["took_ms"])
        rows["second"].append(place.task())
        rows["restored"].append(p.cache_event("restored")["took_ms"])
        if isinstance(place, Container):
            for key, value in zip(("commit", "committed"), place.commit()):
                rows[key].append(value)
    m = {n: statistics.median(v) for n, v in rows.items() if v}
    print("%s (median of %d)" % (title, rounds))
    show("first start: setup runs, its state is saved", m["first"], "")
    show("  of which the save", m["saved"], "")
    show("second start: a hit", m["second"], "%.2f of the first" % (m["second"] / m["first"]))
    show("  of which the restore", m["restored"], "")
    if "commit" in m:
        show("the engine's commit of the same state", m["commit"],
             "%.2f times our save" % (m["commit"] / m["saved"]))
        show("a start of the image it made", m["committed"], "%.2f of the first, %.2f of the second"
             % (m["committed"] / m["first"], m["committed"] / m["second"]))
    sys.stdout.flush()


def show(name, ms, against):
    print("  %-44s %8.0f ms   %s" % (name, ms, against))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory(prefix="airlock-bench-") as top:
        pack(top + "/packages")
        p = Place(top + "/packages")
        bench("a box", Box(p), p, rounds)
        for engine in (Docker(), Podman()):
            why = engine.available()
            if why:
                print("%s: %s" % (engine.name, why[:100]))
                continue
            p = Place(top + "/packages")
            bench(engine.name, Container(p, engine), p, rounds)


if __name__ == "__main__":
    try:
        main()
    finally:
        stop_engines()
