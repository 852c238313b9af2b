"""tests/bench/bench_start.py - the second start of a task beside its first, for a project whose
setup leaves 20,000 files, and beside an image that the engine's own commit makes.

Setup unpacks the files from an archive: the least that any installation does, without its
network and its resolver, so what a hit saves on a real one is more. Whole tasks are timed, from
the command to its end, with an agent that does nothing; medians of ROUNDS. `commit` is the time
of the engine's commit of such a container, which is what a first start costs on that road.

    python3 tests/bench/bench_start.py [ROUNDS]
"""
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

SETUP = "tar -C /workspace/app -xf %s/deps.tar"


class Place(Task):
    """A repository in a bundle, the archive beside it, and a cache."""

    def __init__(self):
        super().__init__()
        self.repo({"a.txt": "one\n", ".gitignore": "n\n"})
        git(self.url, "bundle", "create", "-q", self.dir + "/app.bundle", "--all")
        with tempfile.TemporaryDirectory() as tree:
            project(tree)
            subprocess.run(["tar", "-C", tree, "-cf", self.dir + "/deps.tar", "n"], check=True)
        os.mkdir(self.dir + "/cache")

    def fresh(self):
        shutil.rmtree(self.dir + "/cache")
        os.mkdir(self.dir + "/cache")

    def write(self, here, out, cache=None):
        spec = {"version": 1, "repo": {"url": here + "/app.bundle", "ref": "main", "dir": "/workspace/app"},
                "setup": {"script": SETUP % here}, "agent": {"command": ["true"]}, "output": {"dir": out}}
        if cache:
            spec["cache"] = cache
        return self.write_spec(spec)


def timed(argv):
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, (argv, done.stderr[-1500:])
    return (time.perf_counter() - start) * 1000, done.stderr


def outcome(p, text):
    with open(p.out + "/events.ndjson") as f:
        assert '"outcome":"%s"' % text in f.read(), text


class Box:
    """No engine. What is shared lies in OUT, which is the host's."""

    def __init__(self, p):
        self.p = p
        for name in ("app.bundle", "deps.tar"):
            shutil.copy(p.dir + "/" + name, p.out)

    def task(self, cache):
        path = self.p.write(self.p.out, self.p.out, {"dir": self.p.dir + "/cache"} if cache else None)
        return timed([AIRLOCK, "run", "-q", "--box", make_rootfs(), path])[0]


class Container:
    def __init__(self, p, engine):
        self.p, self.engine = p, engine
        quiet(engine.command() + ["import", "--change", 'ENTRYPOINT ["airlock"]', layer(), IMAGE + "-run"])

    def run(self, image, *words):
        mounts = [self.p.dir + "/task.json:/airlock/task.json:ro", self.p.out + ":/airlock/out",
                  self.p.dir + "/cache:/airlock/cache", self.p.dir + "/app.bundle:/airlock/app.bundle:ro",
                  self.p.dir + "/deps.tar:/airlock/deps.tar:ro"]
        argv = self.engine.command() + ["run", "--network", "none", *words, *self.engine.extra]
        for mount in mounts:
            argv += ["-v", mount]
        return timed(argv + [image, "run", "-q", "/airlock/task.json"])[0]

    def task(self, cache):
        self.p.write("/airlock", "/airlock/out", {"dir": "/airlock/cache"} if cache else None)
        return self.run(IMAGE + "-run", "--rm")

    def commit(self):
        """(the commit, a start of what it made)"""
        name = "airlock-bench-%d" % os.getpid()
        self.p.fresh()
        self.p.write("/airlock", "/airlock/out", {"dir": "/airlock/cache", "stamp": True})
        self.run(IMAGE + "-run", "--name", name)
        took = timed(self.engine.command() + ["commit", name, name])[0]
        self.p.fresh()
        start = self.run(name, "--rm")
        outcome(self.p, "stamped")
        quiet(self.engine.command() + ["rm", name])
        quiet(self.engine.command() + ["rmi", name])
        return took, start


def show(name, values, against=None):
    m = statistics.median(values)
    print("  %-44s %8.0f ms%s" % (name, m, "   %.2f of the first" % (m / against) if against else ""))
    return m


def bench(title, place, p, rounds):
    rows = {"none": [], "miss": [], "hit": [], "commit": [], "stamped": []}
    for _ in range(rounds):
        p.fresh()
        rows["none"].append(place.task(False))
        rows["miss"].append(place.task(True))
        outcome(p, "saved")
        rows["hit"].append(place.task(True))
        outcome(p, "restored")
        if isinstance(place, Container):
            for key, value in zip(("commit", "stamped"), place.commit()):
                rows[key].append(value)
    print("%s (median of %d)" % (title, rounds))
    show("without a cache", rows["none"])
    first = show("first start: setup runs, its state is saved", rows["miss"])
    show("second start: a hit", rows["hit"], first)
    if rows["commit"]:
        show("the engine's commit after setup", rows["commit"])
        show("a start of the image it made", rows["stamped"], first)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    p = Place()
    bench("a box", Box(p), p, rounds)
    for engine in (Docker(), Podman()):
        p = Place()
        why = engine.available()
        if why:
            print("%s: %s" % (engine.name, why[:100]))
        else:
            bench(engine.name, Container(p, engine), p, rounds)


if __name__ == "__main__":
    try:
        main()
    finally:
        stop_engines()
