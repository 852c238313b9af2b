#!/usr/bin/python3
"""The cache under docker and podman: a volume that containers share, one builder for many at
once, and an image that the engine's own commit made of a container."""
import json
import os
import subprocess

from engines import IMAGE, Docker, Podman, each_of, layer, quiet, stop_engines
from lib import ROOT, case, main, skip
from task import Task, git

SETUP = ("sleep 1; echo ran >>/workspace/app/made; mkdir -p ~/.deps; echo d >~/.deps/one; "
         "echo K=v >>$AIRLOCK_ENV")
AGENT = "cat made new ~/.deps/one; echo K=$K; ls; git status --short"


class Place(Task):
    """A task with a repository in a bundle, and a cache that any user may write to."""

    def __init__(self, engine):
        super().__init__()
        why = engine.available()
        if why:
            skip(why)
        self.engine, self.cache, self.runs = engine, self.dir + "/cache", 0
        os.mkdir(self.cache)
        os.chmod(self.cache, 0o777)
        self.repo({"a.txt": "one\n", "old": "tracked\n", ".gitignore": "made\n"})
        self.bundle()

    def bundle(self):
        git(self.url, "bundle", "create", "-q", self.dir + "/app.bundle", "--all")

    def task(self, agent=AGENT, **cache):
        return {"version": 1, "repo": {"url": "/airlock/app.bundle", "ref": "main", "dir": "/workspace/app"},
                "setup": {"script": SETUP}, "cache": dict({"dir": "/airlock/cache"}, **cache),
                "agent": {"command": ["bash", "-c", agent]}, "output": {"dir": "/airlock/out"}}

    def write(self, name, task):
        path = "%s/%s.json" % (self.dir, name)
        with open(path, "w") as f:
            json.dump(task, f)
        return path

    def start(self, image=IMAGE, user="0", task=None, options=(), cache=True):
        self.runs += 1
        out = "%s/out%d" % (self.dir, self.runs)
        os.mkdir(out)
        os.chmod(out, 0o777)
        path = self.write("task%d" % self.runs, task or self.task())
        words = self.engine.command() + ["run", "-i", "--network", "none", "--user", user, *options]
        words += [] if options else ["--rm"]
        mounts = [(path, "/airlock/task.json:ro"), (out, "/airlock/out"),
                  (self.dir + "/app.bundle", "/airlock/app.bundle:ro")]
        for host, guest in mounts + ([(self.cache, "/airlock/cache")] if cache else []):
            words += ["-v", host + ":" + guest]
        words += ["--tmpfs", "/airlock/cache"] if not cache else []
        process = subprocess.Popen(words + self.engine.extra + [image, "airlock", "run", "/airlock/task.json"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.results = out
        return process

    def end(self, process, code=0):
        out, err = process.communicate(timeout=60)
        assert process.returncode == code, (process.returncode, err.decode()[-1500:])
        with open(process.results + "/events.ndjson") as f:
            events = [json.loads(line) for line in f]
        with open(process.results + "/answer.md") as f:
            answer = f.read()
        with open(process.results + "/changes.diff") as f:
            assert not f.read()
        return [e["outcome"] for e in events if e["event"] == "cache"], answer, err.decode()

    def run(self, **more):
        return self.end(self.start(**more))


docker, podman = Docker(), Podman()
each = each_of(docker, podman)


@each
def the_second_container_finds_the_first_ones_state(engine):
    for user in ("0", "1000"):
        p = Place(engine)
        p.commit({"new": "two\n"})
        p.bundle()
        options = ["--env", "HOME=/home/user"] if user == "1000" else []
        options += ["--rm"] if options else []
        first, answer, err = p.run(user=user, options=options)
        assert first == ["miss", "saved"], err[-1500:]
        assert answer.startswith("ran\ntwo\nd\nK=v\n"), answer
        second, answer, err = p.run(user=user, options=options)
        assert second == ["restored"], err[-1500:]
        assert answer.startswith("ran\ntwo\nd\nK=v\na.txt\nmade\nnew\nold\n"), answer


@each
def another_users_directory_is_said_and_costs_only_itself(engine):
    p = Place(engine)
    p.commit({"new": "two\n"})
    p.bundle()
    assert p.run()[0] == ["miss", "saved"]
    options = ["--env", "HOME=/home/user", "--rm"]
    outcomes, answer, err = p.run(user="1000", options=options)
    assert outcomes == [] and answer.startswith("ran\ntwo\n"), (outcomes, answer)
    assert "cache.dir /airlock/cache: it is another user's: going on without it" in err, err[-1500:]


@each
def of_many_containers_at_once_one_builds(engine):
    p = Place(engine)
    p.commit({"new": "two\n"})
    p.bundle()
    done = [p.end(process) for process in [p.start() for _ in range(4)]]
    outcomes = sorted(outcome for outcome, _, _ in done)
    assert outcomes == [["miss", "saved"]] + [["restored"]] * 3, outcomes
    assert sum("waiting for it" in err for _, _, err in done) >= 1, done


@each
def an_image_that_commit_made_is_a_hit_once(engine):
    p = Place(engine)
    quiet(engine.command() + ["import", "--change", 'ENTRYPOINT ["airlock"]', layer(), IMAGE + "-run"])
    prepare = p.write("prepare", p.task(agent="true", stamp=True))
    name = "airlock-ready-%d" % os.getpid()
    done = subprocess.run([ROOT + "/rootfs/commit-state", " ".join(engine.command()), IMAGE + "-run", prepare,
                           name, *engine.extra, "--network", "none", "-v", p.dir + "/app.bundle:/airlock/app.bundle:ro"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    git(p.url, "rm", "-q", "a.txt")
    p.commit({"new": "two\n"})
    p.bundle()
    outcomes, answer, err = p.run(image=name, cache=False, options=["--name", name, "--entrypoint", ""])
    assert outcomes == ["stamped"], err[-1500:]
    assert answer == "ran\ntwo\nd\nK=v\nmade\nnew\nold\n", answer
    again = subprocess.run(engine.command() + ["start", "-a", name], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=60)
    assert again.returncode == 70 and "is not empty" in again.stderr, again
    other = p.task()
    other["env"] = {"A": "another state"}
    process = p.start(image=name, cache=False, task=other, options=["--rm", "--entrypoint", ""])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and b"is of another setup" in err, err[-1500:]


if __name__ == "__main__":
    try:
        for one in (docker, podman):
            one.available() # a daemon may take longer to start than a case may
        main()
    finally:
        stop_engines()
