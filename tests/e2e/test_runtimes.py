#!/usr/bin/python3
"""Runtimes are pinned by the image's own script, outside the repository, or it is an error."""
import os
import shutil

from lib import AIRLOCK, case, main
from task import Task, put


def image(t, script):
    """An /opt/codex of the test's own: a tmpfs in a mount namespace that only the run sees."""
    put(t.dir + "/setup_universal.sh", script)
    put(t.dir + "/airlock", "#!/bin/sh\nexec unshare -m sh -c 'mount -t tmpfs opt /opt && "
        "mkdir /opt/codex && cp %s/setup_universal.sh /opt/codex/ && "
        "exec %s \"$@\"' airlock \"$@\"\n"
        % (t.dir, AIRLOCK))
    os.chmod(t.dir + "/airlock", 0o755)
    return t.dir + "/airlock"


def run(t, script, agent="true", **more):
    return t.run(agent, program=image(t, script), **more)


@case
def the_images_script_runs_in_a_login_shell_with_the_versions():
    t = Task()
    t.repo({"a.txt": "one\n"})
    r = run(t, "shopt -q login_shell && echo login; pwd; env | grep CODEX_ENV | sort; "
            "touch .nvmrc\n",
            "echo $CODEX_ENV_NODE_VERSION $CODEX_ENV_PYTHON_VERSION; ls -A",
            setup="echo setup has $CODEX_ENV_NODE_VERSION",
            runtimes={"node": "22", "python": "3.12"}).expect(0)
    log = r.file("setup.log")
    versions = "CODEX_ENV_NODE_VERSION=22\nCODEX_ENV_PYTHON_VERSION=3.12\n"
    assert log.startswith("login\n/\n" + versions), log
    assert "setup has 22\n" in log
    assert r.answer == "22 3.12\n.git\na.txt\n", r.answer
    assert r.diff == "", r.diff


@case
def a_failed_switch_is_70_with_the_scripts_own_words():
    t = Task()
    t.repo({"a.txt": "one\n"})
    r = run(t, "echo no python 9.9 here >&2; exit 4\n", runtimes={"python": "9.9"}).expect(70)
    assert "setup_universal.sh ended with exit 4" in r.result["reason"], r.result
    assert "no python 9.9 here" in r.file("setup.log")


@case
def without_runtimes_the_script_does_not_run():
    t = Task()
    t.repo({"a.txt": "one\n"})
    run(t, "exit 1\n").expect(0)


@case
def without_the_script_the_variables_are_set():
    t = Task()
    t.repo({"a.txt": "one\n"})
    assert not os.path.exists("/opt/codex/setup_universal.sh")
    r = t.run("echo $CODEX_ENV_JAVA_VERSION", runtimes={"java": "21"}).expect(0)
    assert r.answer == "21\n", r.answer


if __name__ == "__main__":
    assert shutil.which("unshare")
    main()
