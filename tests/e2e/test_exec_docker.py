"""README's remote agent, typed as it stands there: the real Codex, on the port that a docker
container publishes, mends a repository in the image that README's two lines make.

All of it happens in a network namespace of the test's own: docker's bridge, its proxy, the
model. What is replaced in the text is named in `typed`, and has to be there.
"""
import json
import os
import shutil
import subprocess
import tempfile

import codex
from codex import Model, patch, run, say
from engines import Docker, IMAGE, quiet, stop_engines
import lib
from lib import ROOT, case, main, skip, until
from netlab import alone

lib.TIMEOUT_S = 120  # it starts a daemon and builds two images

BROKEN = {"sum.py": "def add(a, b):\n    return a - b\n",
          "test_sum.py": "from sum import add\nassert add(2, 2) == 4, 'add is broken'\n"
                         "print('all is well')\n"}
FIX = "*** Update File: sum.py\n@@\n def add(a, b):\n-    return a - b\n+    return a + b\n"
TEST = "python3 -B test_sum.py"


def readme():
    with open(ROOT + "/README.md") as f:
        return f.read()


def block(after):
    """The first indented block behind that line of the README, without its indent."""
    lines = readme().split(after, 1)[1].split("\n")
    start = next(n for n, line in enumerate(lines) if line.startswith("    "))
    end = next(n for n, line in enumerate(lines) if n > start and line and line[0] != " ")
    return "\n".join(line[4:] for line in lines[start:end]).strip() + "\n"


def typed(text, **instead):
    for old, new in instead.items():
        assert text.count(old) == 1, (old, text)
        text = text.replace(old, new)
    return text


def shell(script, cwd, env, timeout=60):
    done = subprocess.run(["bash", "-e", "-c", script], cwd=cwd, env=env, timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True)
    assert not done.returncode, (done.stdout.decode()[-2000:], done.stderr.decode()[-2000:])
    return done.stdout.decode()


def build_image(folder, env):
    """README's two lines, and its three of a Containerfile, on a small Debian with the repository."""
    make, image = block("## Bake it in").split("\n\n")
    assert make.startswith("make install") and image.startswith("#")
    shell(make.replace("build/image", folder + "/image"), ROOT, env)
    os.mkdir(folder + "/yours")
    shell("git init -q --bare -b main yours/app.git && git init -q -b main made && cd made && "
          "git remote add o ../yours/app.git", folder, env)
    for name, text in BROKEN.items():
        with open(folder + "/made/" + name, "w") as f:
            f.write(text)
    shell("git add . && git -c user.name=a -c user.email=a@b commit -qm broken && "
          "git push -q o main", folder + "/made", env)
    with open(folder + "/yours/Containerfile", "w") as f:
        f.write("FROM %s\nCOPY app.git /srv/app.git\n" % IMAGE)
    shell("docker build -q -t your-image -f yours/Containerfile yours", folder, env)
    with open(folder + "/Containerfile", "w") as f:
        f.write(image)
    shell("docker build -q -t image -f Containerfile made", folder, env)


def home_of(folder, model):
    """A user who has a login to the model: that much is not in the README."""
    os.makedirs(folder + "/home/.codex")
    with open(folder + "/home/.codex/config.toml", "w") as f:
        f.write(codex.config_toml(model))
    return folder + "/home"


@case
def readmes_lines_put_codex_in_front_of_a_container():
    docker = Docker()
    docker.network = []  # its usual bridge: ports are published
    reason = docker.available()
    if reason:
        skip(reason)
    os.makedirs(ROOT + "/build/docker-test", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT + "/build/docker-test") as folder, \
            Model([run(TEST), run("exec 3<>/dev/tcp/192.0.2.1/80 || echo no way out"), patch(FIX),
                   run(TEST), say("mended")]) as model:
        env = {"PATH": os.path.dirname(codex.program()) + ":" + os.environ["PATH"],
               "HOME": home_of(folder, model), "DOCKER_HOST": docker.command()[-1]}
        build_image(folder, env)
        shell("git clone -q yours/app.git app", folder, env)
        lines = typed(block("## A remote agent"), **{
            "https://example.org/app.git": "file:///srv/app.git", '"idle_s": 120': '"idle_s": 10',
            "IMAGE": "image", "codex exec ": "codex exec --json "})
        try:
            out = shell(lines, folder + "/app", env)
            assert '"text":"mended"' in out, out
            assert "add is broken" in model.outputs[0] and "no way out" in model.outputs[1]
            assert "all is well" in model.outputs[3], model.outputs
            until(lambda: os.path.exists(folder + "/app/out/changes.diff"), "the diff", 20)
            with open(folder + "/app/out/changes.diff") as f:
                assert "+    return a + b" in f.read()
            until(lambda: not shell("docker ps -q", folder, env), "the container's end", 20)
            with open(folder + "/app/out/result.json") as f:
                result = json.load(f)
            assert (result["status"], result["agent"]["exit"]) == ("done", 0), result
            with open(folder + "/app/out/events.ndjson") as f:
                events = [json.loads(line) for line in f]
            assert [e["exit"] for e in events if e["event"] == "command"] == [1, 0, 0], events
        finally:
            shell("docker logs $(docker ps -aql) >log 2>&1 || :; docker rm -f $(docker ps -aq)",
                  folder, env)


alone()
try:
    main()
finally:
    stop_engines()
