"""tests/e2e/test_box.py - the box's promises: the host is read, never changed, never reached.

Each case runs as root and as uid 1000 without rights.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from lib import AIRLOCK, PROGRAMS, case, main, skip, until

MARK = "airlock-box-test"


class Box:
    """A task in a box over /; its agent is a bash script, its out/ is the host's."""

    def __init__(self, script, user):
        self.folder = tempfile.mkdtemp(prefix=MARK, dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.out = self.folder + "/out"
        os.mkdir(self.out)
        os.chown(self.out, user, user)
        for name in PROGRAMS:
            shutil.copy(os.path.join(os.path.dirname(AIRLOCK), name), self.folder)
        spec = {"version": 1, "repo": {"dir": "/workspace/w"}, "output": {"dir": self.out},
                "network": {"setup": "full", "agent": "full"},
                "agent": {"command": ["bash", "-c", script]}}
        with open(self.folder + "/task.json", "w") as f:
            json.dump(spec, f)
        drop = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups",
                "env", "HOME=/tmp"] if user else []
        with open(self.folder + "/task.json") as f:
            self.process = subprocess.Popen(
                drop + [self.folder + "/airlock", "run", "--box", "/", "-"], stdin=f,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self):
        out, err = self.process.communicate(timeout=30)
        shutil.rmtree(self.folder)
        return self.process.returncode, out.decode(errors="replace"), err.decode(errors="replace")


def both(what):
    def as_root():
        if os.geteuid():
            skip("needs root")
        what(0)

    def as_uid_1000():
        if os.geteuid():
            skip("needs root to become uid 1000")
        what(1000)

    as_root.__name__ = what.__name__ + ", root"
    as_uid_1000.__name__ = what.__name__ + ", uid 1000"
    case(as_root)
    case(as_uid_1000)


def says(user, script, text):
    code, out, err = Box(script, user).end()
    assert code == 0 and text in out + err, (code, out[-800:], err[-800:])


@both
def host_root_is_never_changed(user):
    path = "/etc/" + MARK
    says(user, "echo x > %s; cat %s && echo written" % (path, path), "written")
    assert not os.path.exists(path)


@both
def host_devices_keep_their_modes(user):
    before = [os.stat("/dev/" + d).st_mode for d in ("null", "zero", "tty")]
    says(user, "chmod 600 /dev/null /dev/zero /dev/tty 2>/dev/null; chown 1:1 /dev/null "
         "2>/dev/null; echo x > /dev/null && echo writable", "writable")
    assert [os.stat("/dev/" + d).st_mode for d in ("null", "zero", "tty")] == before


@both
def output_is_the_hosts(user):
    box = Box("echo hello", user)
    box.process.wait(30)
    assert os.listdir(box.out), box.end()
    box.end()


@both
def sees_its_own_processes_only(user):
    says(user, "cat /proc/1/comm; test ! -e /proc/%d || cmp -s /proc/%d/comm "
         "/proc/self/comm || echo alone" % (os.getppid(), os.getppid()), "airlock")
    says(user, "n=$(ls -d /proc/[0-9]* | wc -l); [ $n -lt 12 ] && echo few", "few")


@both
def has_a_name_devices_and_resolvers(user):
    says(user, "hostname; for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || "
         "exit 1; done; [ $(ls /dev | wc -l) -lt 20 ] || exit 2; [ -d /dev/shm ] || exit 3; "
         "cat /etc/resolv.conf >/dev/null || exit 4", "airlock")


@both
def kernel_settings_are_out_of_reach(user):
    says(user, "(echo x > /proc/sys/kernel/core_pattern) 2>/dev/null && exit 1; "
         "(mkdir /sys/fs/cgroup/x) 2>/dev/null && exit 2; echo safe", "safe")


def mounts():
    """Those at a box's places; what engines mount below /tmp, /run and /var is not ours."""
    with open("/proc/self/mountinfo") as f:
        return [line for line in f if not line.split()[4].startswith(("/tmp/", "/run/", "/var/"))]


@both
def a_killed_parent_leaves_nothing(user):
    before = mounts()
    box = Box("sleep 7654 & sleep 7654", user)
    there = lambda: subprocess.run(["pgrep", "-x", "-f", "sleep 7654"],
                                   stdout=subprocess.PIPE).stdout.split()
    try:
        until(there, "the agent runs", 10)
    finally:
        box.process.send_signal(signal.SIGKILL)
    until(lambda: not there(), "everything in the box is dead", 5)
    assert mounts() == before
    box.end()


if __name__ == "__main__":
    main()
