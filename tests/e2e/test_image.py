#!/usr/bin/python3
"""The Containerfiles build with a real engine, and the image does the whole task from stdin."""
import json
import os
import subprocess
import tempfile

from engines import IMAGE, Docker, quiet, stop_engines, temp
from lib import ROOT, case, main, skip

docker = Docker()
WHY = docker.available()  # before any case's clock runs


def ready():
    if WHY:
        skip(WHY)


def installed():
    """The build context: what make install lays out."""
    tree = temp() + "/image"
    if not os.path.isdir(tree):
        quiet(["make", "-C", ROOT, "install", "DESTDIR=" + tree, "PREFIX=/usr"])
    return tree


def build(name, containerfile, *words):
    quiet(docker.command() + ["build", "--network", "none", "-t", name, *words, "-f",
                              "%s/rootfs/%s" % (ROOT, containerfile), installed()])


def run(*words, **options):
    return subprocess.run(docker.command() + ["run", "--rm", "--network", "none", *words],
                          capture_output=True, text=True, timeout=60, **options)


@case
def the_scratch_image_holds_airlock_and_nothing_else():
    ready()
    build("airlock", "Containerfile")
    done = run("airlock", "--version")
    assert done.returncode == 0 and done.stdout.startswith("airlock version "), done
    done = run("airlock", "init", "--", "/usr/bin/airlock", "run", "--help")
    assert done.returncode == 0 and "usage: airlock run" in done.stdout, done
    done = run("airlock", "doctor")
    assert "bash" in done.stdout, done


@case
def the_baked_image_runs_a_task_from_stdin():
    ready()
    build("agent-box", "Containerfile.debian", "--build-arg", "BASE=" + IMAGE)
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/out")
        spec = {"version": 1, "setup": {"script": "echo ready"},
                "repo": {"dir": "/workspace"},
                "agent": {"command": ["bash", "-c", "cat; echo done; exit 4"]},
                "output": {"dir": "/airlock/out"}}
        done = run("-i", "-v", folder + "/out:/airlock/out", "agent-box", "run", "-",
                   input=json.dumps(spec))
        assert done.returncode == 4, done
        assert "setup | ready" in done.stderr and done.stdout == "done\n", done
        with open(folder + "/out/answer.md") as f:
            assert f.read() == "done\n"


@case
def the_baked_image_without_a_spec_says_which_file_it_wanted():
    ready()
    build("agent-box", "Containerfile.debian", "--build-arg", "BASE=" + IMAGE)
    done = run("agent-box")
    assert done.returncode == 78, done
    assert done.stderr == "airlock: error: /airlock/task.json: No such file or directory\n", done


if __name__ == "__main__":
    try:
        main()
    finally:
        stop_engines()
