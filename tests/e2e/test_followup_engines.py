#!/usr/bin/python3
"""A follow-up under docker and podman: in a fresh container, and in the last one's own files."""
import json
import os
import subprocess

from engines import IMAGE, Docker, Podman, each_of, quiet, stop_engines
import lib
from lib import case, main, skip
from task import Result, Task, git

lib.TIMEOUT_S = 90  # the first case of an engine starts its daemon


class Place(Task):
    def __init__(self, engine):
        super().__init__()
        why = engine.available()
        if why:
            skip(why)
        self.engine = engine
        os.chmod(self.out, 0o777)
        self.repo({"a.txt": "one\n", ".gitignore": "*.log\n"})
        git(self.url, "bundle", "create", "-q", self.dir + "/app.bundle", "--all")

    def turn(self, agent, image=IMAGE, options=("--rm",), words=(), user="0"):
        spec = {"version": 1, "repo": {"url": "/airlock/app.bundle", "ref": "main", "dir": "/workspace/app"},
                "setup": {"script": "echo setup >> /tmp/setup; wc -l < /tmp/setup"},
                "agent": {"command": ["bash", "-c", agent]}, "output": {"dir": "/airlock/out"}}
        with open(self.dir + "/task.json", "w") as f:
            json.dump(spec, f)
        argv = self.engine.command() + ["run", "-i", "--network", "none", "--user", user, *options]
        for host, guest in ((self.dir + "/task.json", "/airlock/task.json:ro"), (self.out, "/airlock/out"),
                            (self.dir + "/app.bundle", "/airlock/app.bundle:ro")):
            argv += ["-v", host + ":" + guest]
        done = subprocess.run(argv + self.engine.extra + [image, "airlock", "run", *words],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        return Result(self.out, done.returncode, done.stdout, done.stderr)


docker, podman = Docker(), Podman()
each = each_of(docker, podman)
AGAIN = ("--resume", "/airlock/out")


@each
def a_fresh_container_has_the_last_ones_files(engine):
    for user in ("0", "1000"):
        p = Place(engine)
        p.turn("echo two >> a.txt; head -c 99 /dev/urandom > bin; ln -s a.txt l; echo x > run.log",
               user=user).expect(0)
        first = p.turn("sha256sum bin", words=AGAIN, user=user).expect(0)
        r = p.turn("cat l; ls; sha256sum bin; echo three >> a.txt", words=AGAIN, user=user).expect(0)
        assert r.stdout.startswith("one\ntwo\na.txt\nbin\nl\n") and first.stdout in r.stdout, r.stdout
        assert r.result["turn"] == 3 and "+three" in r.file("since-last.diff")
        assert sorted(os.listdir(p.out + "/turn-2")) == sorted(
            {"answer.md", "changes.diff", "since-last.diff", "result.json", "events.ndjson", "agent.log",
             "setup.log"})
        os.chmod(p.out, 0o777)


@each
def an_image_of_the_last_container_is_left_as_it_is(engine):
    p = Place(engine)
    name = "airlock-turn-%d" % os.getpid()
    p.turn("echo two >> a.txt; echo cached > run.log", options=("--name", name)).expect(0)
    quiet(engine.command() + ["commit", name, name])
    quiet(engine.command() + ["rm", name])
    r = p.turn("cat a.txt run.log /tmp/setup; echo three >> a.txt", image=name, words=AGAIN).expect(0)
    assert r.stdout == "one\ntwo\ncached\nsetup\n", r.stdout
    assert "+two\n+three" in r.diff and "+two" not in r.file("since-last.diff")
    quiet(engine.command() + ["rmi", name])


try:
    main()
finally:
    stop_engines()
