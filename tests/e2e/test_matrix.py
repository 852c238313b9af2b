"""tests/e2e/test_matrix.py - engine x user x lock x network: nothing gets out, and work goes on.

    test_matrix.py [WORD]      the cells whose name contains WORD
    test_matrix.py --table     all of them, and a table at the end

A cell is one whole `airlock run` under an engine, with a cable to a world of its own
(world.py). Its setup leaves a daemon and a connection behind; its agent (matrix_agent.py,
matrix_attack.c) tries every way out and then does honest work. Judged is what arrives
in the world once the agent has begun. A lock that a row can't have must end it with 73
and say what would unlock it.
"""
import concurrent.futures
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime

import lib
from engines import Docker, engines, layer, rootfs, stop_engines, temp
from lib import case, compiled, skip
from world import (ALLOWED4, ALLOWED6, EVIL4, PUBLIC4, PUBLIC6, RESOLVER, WAIT, World,
                   first_process)

lib.TIMEOUT_S = 300  # a case waits for its cell, and cells for each other
CELL_S = 75 * lib.PATIENCE
AT_ONCE = 2
HERE = os.path.dirname(os.path.abspath(__file__))
MODES = ("off", "limited", "full")
LOCKS = ("netns", "netfilter", "notify", "closed")
ALLOW = ["allowed.test", ALLOWED4, ALLOWED6]
PYTHON = "/usr/bin/python3"


# --- rows -----------------------------------------------------------------------------------

class Flagged(Docker):
    """docker with one flag more; the daemon is the plain one's."""

    def __init__(self, base, flag):
        self.base, self.extra = base, flag

    def available(self):
        return self.base.available()


class Row:
    def __init__(self, engine, user, options, locks):
        self.engine, self.user, self.options, self.locks = engine, user, options, locks

    @property
    def name(self):
        return "%s, %s" % (self.title, self.user)

    @property
    def title(self):
        return self.engine.name + "".join(" " + w for w in getattr(self.engine, "flags", []))


USERS = {
    "root": dict(user="root"),
    "uid 1000": dict(user="1000", caps="none"),
    "read-only": dict(user="root", readonly=True),
}
# The locks that hold, strongest first; measured, and what README's table says.
OPEN, STRICT = ["netns", "notify", "closed"], ["notify", "closed"]
EXPECTED = {"box": OPEN, "docker": STRICT, "podman": OPEN, "containerd": OPEN, "runc": OPEN,
            "crun": OPEN, "bubblewrap": OPEN}
RICH = ["netns", "netfilter", "notify", "closed"]
UNLESS = {("box", "root"): RICH, ("bubblewrap", "root"): RICH, ("bubblewrap", "read-only"): RICH}


def rows():
    found = []
    for engine in engines():
        for user, options in USERS.items():
            if engine.name == "box" and options.get("readonly"):
                continue
            locks = UNLESS.get((engine.name, user), EXPECTED[engine.name])
            found.append(Row(engine, user, options, locks))
        if engine.name == "docker":
            for flags, locks in ((["--cap-add", "NET_ADMIN"], ["netfilter"] + STRICT),
                                 (["--security-opt", "seccomp=unconfined"], OPEN)):
                flagged = Flagged(engine, flags)
                flagged.flags = [flags[1]]
                found.append(Row(flagged, "root", USERS["root"], locks))
    return found


# --- what all cells share ---------------------------------------------------------------------

_once = threading.Lock()
_start = threading.Lock()
_shared = {}


def shared():
    with _once:
        if not _shared:
            if os.getuid():
                skip("needs root for network namespaces")
            merged = rootfs()
            for name in ("/etc/resolv.conf", "/run/docker.sock"):
                open(merged + name, "w").close()
            with open(merged + "/etc/hosts", "w") as f:
                f.write("127.0.0.1 localhost\n::1 localhost\n")
            layer()
            given = temp() + "/given"
            os.makedirs(given + "/out")
            program = compiled("matrix_attack.c", "-pthread")
            open(given + "/task.json", "w").close()  # what a cell's own is mounted over
            for name in ("matrix_attack", "suid"):
                shutil.copy(program, given + "/" + name)
            os.chmod(given + "/suid", 0o4755)
            shutil.copy(HERE + "/matrix_agent.py", given)
            with open(given + "/resolv.conf", "w") as f:
                f.write("nameserver %s\noptions timeout:5 attempts:3\n" % RESOLVER)
            with open(given + "/setup.sh", "w") as f:
                f.write("#!/bin/bash\n(exec 3<>/dev/tcp/%s/80) 2>/dev/null\n" % PUBLIC4 +
                        'setsid "$(dirname "$0")/matrix_attack" daemon >/dev/null 2>&1 '
                        "</dev/null &\nsleep 0.2\n")
            os.chmod(given + "/setup.sh", 0o755)
            web = temp() + "/web"
            repository(web)
            _shared.update(given=given, world=World(web))
        return _shared


def repository(web):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")
    os.makedirs(web)
    subprocess.run(["sh", "-ec", 'git init -q -b main "$0/work"; cd "$0/work"; echo one > a.txt; '
                    "git add .; git -c user.name=a -c user.email=a@b commit -qm first; "
                    'git clone -q --bare . "$0/repo.git"; git -C "$0/repo.git" update-server-info',
                    web], env=env, check=True)


def ready(engine):
    with _once:
        reason = engine.available()
    if reason:
        skip(reason)


# --- one cell ------------------------------------------------------------------------------------

class Cell:
    """Runs one task; afterwards code, err, events, found and frames say how it went."""

    def __init__(self, row, lock, mode, what=("all",), mounts=(), before=None, wrap=(),
                 meanwhile=None, setup=True, **network):
        self.row, self.lock, self.mode, self.what = row, lock, mode, list(what)
        self.mounts, self.before, self.wrap = list(mounts), before, list(wrap)
        self.meanwhile, self.setup, self.network = meanwhile, setup, network
        self.folder = tempfile.mkdtemp(dir=temp())
        self.out = self.folder + "/out"
        os.chmod(self.folder, 0o755)
        os.mkdir(self.out)
        uid = 1000 if row.options["user"] == "1000" else 0
        os.chown(self.out, uid, uid)

    def spec(self, agent_lock):
        network = {"setup": "full", "agent": self.mode, "lock": self.lock}
        if self.mode != "off":
            network["allow"] = ALLOW
        network.update(self.network)
        spec = {"version": 1, "network": network, "setup": {"auto": False},
                "agent": {"command": [PYTHON, "/airlock/matrix_agent.py", "/airlock/out", self.mode,
                                      agent_lock] + self.what},
                "output": {"dir": "/airlock/out"}}
        if self.setup:
            spec["setup"] = {"auto": False, "script": "/airlock/setup.sh", "timeout_s": 20}
        return spec

    def argv(self, token):
        row, given = self.row, _shared["given"]
        scratch = [(None, "/workspace", True), (None, "/tmp", True)]
        mounts = scratch + [
            (given, "/airlock", False), (self.out, "/airlock/out", True),
            (self.folder + "/task.json", "/airlock/task.json", False)]
        wait = ["sh", "-c", WAIT + 'exec "$@"', token] + self.wrap
        if row.engine.name == "box":
            # The machine's own /etc and /run, as a mount namespace shows them.
            prepare = 'mount --bind "$0/resolv.conf" /etc/resolv.conf; '
            for host, guest, _ in self.mounts:  # a folder with that name in it
                prepare += 'mount --bind "%s" "%s"; ' % (os.path.dirname(host),
                                                        os.path.dirname(guest))
            inner = row.engine.argv(token, ["airlock", "run", self.folder + "/task.json"],
                                    mounts=[], tty=False, readonly=False, user=row.options["user"],
                                    caps="default")
            return (["unshare", "--net", "--mount", "sh", "-ec",
                     'g=$1; shift; set -- "$@"; ' + prepare.replace("$0", "$g") + 'exec "$@"',
                     "prepare", given] + wait + inner)
        mounts += [(given + "/resolv.conf", "/etc/resolv.conf", False)] + self.mounts
        options = dict(caps="default", readonly=False, tty=False)
        options.update(row.options)
        return row.engine.argv(token, wait + ["airlock", "run", "/airlock/task.json"],
                               mounts=mounts, **options)

    def run(self):
        share = shared()
        world = share["world"]
        agent_lock = self.row.locks[0] if self.lock == "auto" else self.lock
        text = json.dumps(self.spec(agent_lock))
        if self.row.engine.name == "box":  # over the machine's root: its own paths
            text = text.replace('"/airlock/out', '"' + self.out)
            text = text.replace('"/airlock/', '"%s/' % share["given"])
        with open(self.folder + "/task.json", "w") as f:
            f.write(text)
        with _start:
            _shared["serial"] = _shared.get("serial", 0) + 1
            token = "matrix-%d-%d" % (os.getpid(), _shared["serial"])
            argv = self.argv(token)
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        timer = threading.Timer(CELL_S, self.abandon, (token,))
        timer.start()
        wired = None
        try:
            pid = self.pid = self.wait_for(lambda: first_process(token))
            if pid:
                self.space = os.stat("/proc/%d/ns/net" % pid).st_ino
                assert self.space != os.stat("/proc/self/ns/net").st_ino, "no network of its own"
                if self.before:
                    self.before(pid)
                wired = world.wire(pid)
                if self.meanwhile:
                    self.meanwhile(self)
            self.err = self.process.communicate()[0].decode("utf-8", "replace")
        finally:
            timer.cancel()
        code = self.process.returncode
        self.code = 128 - code if code < 0 else code
        self.frames = world.frames(wired) if wired else []
        if wired:
            world.unwire(wired)
        self.events = [json.loads(line) for line in self.file("events.ndjson").splitlines()]
        self.found = json.loads(self.file("cell.json") or "{}")
        self.result = json.loads(self.file("result.json") or "{}")
        return self

    def wait_for(self, condition, seconds=40):
        deadline = time.monotonic() + seconds * lib.PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            value = condition()
            if value:
                return value
            time.sleep(0.01)
        return None

    def abandon(self, token):
        """Too long: its first process ends, and everything in its pid namespace with it."""
        for pid in (getattr(self, "pid", None), self.process.pid):
            try:
                if pid:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def inside(self, name):
        """The processes called @name that are in this cell's network, by their numbers here."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and open("/proc/%s/comm" % entry).read() == name + "\n" and \
                        os.stat("/proc/%s/ns/net" % entry).st_ino == self.space:
                    found.append(int(entry))
            except OSError:
                pass
        return found

    def file(self, name):
        try:
            with open(self.out + "/" + name, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    @property
    def taken(self):
        return next((e["lock"] for e in self.events if e["event"] == "lock"), None)

    def begun(self):
        """When the agent began, on the clock of the tap; None when it did not."""
        for e in self.events:
            if e["phase"] == "work":
                return datetime.fromisoformat(e["time"].replace("Z", "+00:00")).timestamp()
        return None

    def leaks(self):
        begun, found = self.begun(), []
        for f in self.frames:
            probe = f.to.startswith(("198.51.100.", "2001:db8:"))
            if (probe or begun and f.when >= begun) and not lawful(f, self.mode):
                found.append(f)
        return found

    def reached_before(self):
        begun = self.begun() or float("inf")
        return any(f.when < begun and f.to in (EVIL4, PUBLIC4) for f in self.frames)

    def why(self):
        tries = [e["result"] for e in self.events if e["event"] == "try" and "LEAK" in e["result"]]
        return "exit %d: %s %s" % (self.code, self.result.get("reason") or self.err[-700:],
                                   tries or "")

    def check_shut(self):
        leaks = self.leaks()
        assert not leaks, "%d frames got out: %s" % (len(leaks), leaks[:6])
        opened = [a for a in self.found.get("attacks", []) if a[1]]
        assert not opened, "open: %s" % opened

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def lawful(frame, mode):
    """May this arrive once the agent has begun?"""
    if frame.protocol == "ip-1":
        # The kernel's word on a late answer, from there, to the proxy or to a setup that has ended.
        return (frame.text.startswith("\3\3") and
                socket.inet_ntoa(frame.text[20:24].encode("latin-1")) == frame.to)
    if mode == "off":
        return False
    if (frame.to, frame.port) == (RESOLVER, 53):
        return mode == "full" or "\7allowed\4test" in frame.text.lower()
    web = frame.port in (80, 443)
    if frame.protocol != "tcp" or (web and "evil" in frame.text.lower()):
        return False
    if mode == "limited":
        return web and frame.to in (ALLOWED4, ALLOWED6)
    return frame.to in (ALLOWED4, ALLOWED6, PUBLIC4, PUBLIC6)


# --- claims ------------------------------------------------------------------------------------

table = {}


def holds(row, lock, mode):
    """Nothing gets out, and what should work does."""
    ready(row.engine)
    cell = Cell(row, lock, mode)
    try:
        cell.run()
        expected = row.locks[0] if lock == "auto" else lock
        table[row.name, lock, mode] = "%s%s" % ("ok" if cell.code == 0 else cell.code,
                                                " (%s)" % cell.taken if lock == "auto" else "")
        assert cell.begun() is not None, cell.why()
        assert cell.taken == expected, "lock %s, not %s" % (cell.taken, expected)
        cell.check_shut()
        work = cell.found.get("work", [])
        bad = [w for w in work if not w[1]]
        assert work and not bad, "does not work: %s; %s; arrived: %s" % (
            bad, cell.why(), [f for f in cell.frames if f.when > cell.begun()])
        assert cell.code == 0, cell.why()
        assert len(cell.found["attacks"]) > 40, "few attacks: %s" % cell.found["attacks"]
        assert cell.reached_before(), "the world was out of reach all the time: a void cell"
    except AssertionError:
        table[row.name, lock, mode] = "FAIL"
        raise
    finally:
        cell.close()


UNLOCKS = {"netns": ("seccomp", "--cap-add", "user_namespaces", "user namespaces"),
           "netfilter": ("NET_ADMIN",), "notify": ("seccomp",), "closed": ("network", "\"off\"")}


def is_refused(row, lock, mode):
    """73, the agent never ran, nothing got out, and a line names the flag."""
    ready(row.engine)
    cell = Cell(row, lock, mode)
    try:
        cell.run()
        reason = cell.result.get("reason") or cell.err
        table[row.name, lock, mode] = str(cell.code)
        table.setdefault("why", {})[row.name, lock] = " ".join(reason.split())
        assert cell.code == 73, cell.why()
        assert not cell.found and cell.begun() is None, "the agent ran"
        assert any(word in reason for word in UNLOCKS[lock]), "names no flag: %s" % reason
        assert not cell.leaks(), cell.leaks()
    except AssertionError:
        table[row.name, lock, mode] = "FAIL"
        raise
    finally:
        cell.close()


def plan():
    """(name, function, arguments) of every cell, the rows in turn."""
    for row in rows():
        best = row.locks[0]
        for mode in MODES:
            yield "%s: auto, %s" % (row.name, mode), holds, (row, "auto", mode)
        for lock in LOCKS:
            if lock == "closed":
                yield "%s: closed, off" % row.name, holds, (row, lock, "off")
                yield "%s: closed, limited" % row.name, is_refused, (row, lock, "limited")
            elif lock not in row.locks:
                yield "%s: %s, limited" % (row.name, lock), is_refused, (row, lock, "limited")
            elif lock == best:  # auto has had it in all three
                yield "%s: %s, limited" % (row.name, lock), holds, (row, lock, "limited")
            else:
                for mode in MODES:
                    yield "%s: %s, %s" % (row.name, lock, mode), holds, (row, lock, mode)


# --- when a part of it dies, or is starved ------------------------------------------------------

def box():
    return next(row for row in rows() if row.name == "box, root")


def broken(row, lock, mode, name):
    """Killed from outside while the agent knocks: the task ends, and nothing gets out."""
    ready(row.engine)

    def meanwhile(cell):
        assert cell.wait_for(lambda: os.path.exists(cell.out + "/lingers")), "no agent"
        victims = cell.inside(name)
        assert victims, "no %s" % name
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
    cell = Cell(row, lock, mode, ["linger", "20"], meanwhile=meanwhile)
    try:
        cell.run()
        assert cell.begun() is not None and cell.code == 73, cell.why()
        assert cell.result.get("status") != "done", cell.result
        cell.check_shut()
    finally:
        cell.close()


def starved(row, lock, mode, limits):
    """Too little of something: whatever becomes of the task, nothing gets out."""
    ready(row.engine)
    ran = 0
    for limit in limits:
        cell = Cell(row, lock, mode, ["linger", "0.3"], wrap=["prlimit", limit], setup=False)
        try:
            cell.run()
            cell.check_shut()
            ran += cell.begun() is not None
        finally:
            cell.close()
    assert ran < len(limits), "nothing was short"


def inherits(row, lock, mode):
    """The container was started with a live connection to the world as descriptor 9."""
    ready(row.engine)
    cell = Cell(row, lock, mode, ["attack"], setup=False, wrap=[
        "bash", "-c", 'exec 9<>/dev/tcp/%s/80 && exec "$@"' % PUBLIC4, "bash"])
    try:
        cell.run()
        assert cell.begun() is not None and cell.code == 0, cell.why()
        assert cell.reached_before(), "there was no connection to inherit"
        cell.check_shut()
    finally:
        cell.close()


def races(row, lock, mode):
    """Threads that swap what a call is given, while others exec."""
    ready(row.engine)
    cell = Cell(row, lock, mode, ["race", "2000"])
    try:
        cell.run()
        assert cell.begun() is not None and cell.code == 0, cell.why()
        cell.check_shut()
    finally:
        cell.close()


def sockets(row, lock, mode):
    """
    Others' sockets: an engine's, mounted; two helpers' in a mounted folder, one in the
    container's network and one in the world, that pass a live connection; an abstract one
    in the container's network. None is reached, or the lock refuses to hold.
    """
    ready(row.engine)
    world, helpers = shared()["world"], []
    folder = tempfile.mkdtemp(dir=temp())
    os.chmod(folder, 0o755)

    def before(pid):
        helpers.append(subprocess.Popen(
            ["nsenter", "--net=/proc/%d/ns/net" % pid, sys.executable, "-c",
             "import os, socket, sys; s = socket.socket(socket.AF_UNIX)\n"
             "s.bind('\\0matrix-abstract'); s.listen(); h = socket.socket(socket.AF_UNIX)\n"
             "h.bind(sys.argv[1]); h.listen(); os.chmod(sys.argv[1], 0o777); print(flush=True)\n"
             "while True:\n try: socket.send_fds(h.accept()[0], [b'x'], [s.fileno()])\n"
             " except OSError: 0",
             cell.out + "/near.sock"], stdout=subprocess.PIPE))
        helpers[0].stdout.readline()
    world.ask("help", folder + "/docker.sock")
    guest = "/run/docker.sock"
    boxed = row.engine.name == "box"  # no folder is mounted into it: it is the machine's root
    cell = Cell(row, lock, mode, ["sockets", "/airlock/out/near.sock", guest, "@matrix-abstract"] +
                ["/airlock/out/far.sock"] * (not boxed),
                mounts=[(folder + "/docker.sock", guest, True)], before=before)
    world.ask("help", cell.out + "/far.sock")
    try:
        cell.run()
        opened = [a for a in cell.found.get("attacks", []) if a[1]]
        table[row.name, "sockets", lock] = "OPEN" if opened else str(cell.code)
        cell.check_shut()
        if cell.code == 73:
            assert not cell.found, "the agent ran"
            assert ".sock" in cell.why() or "engine-sockets" in cell.why(), cell.why()
        else:
            assert cell.code == 0 and cell.found["attacks"], cell.why()
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
        cell.close()


def faults(lock, mode):
    """(what goes wrong, how it is done, with what) of each fault that @lock can meet."""
    yield "others pass live sockets", sockets, ()
    yield "a socket was inherited", inherits, ()
    if mode != "off":
        yield "the proxy is killed", broken, ("airlock-proxy",)
    if lock == "notify":
        yield "the notifier is killed", broken, ("airlock-notify",)
    yield "memory is short", starved, (["--as=%d" % (n << 20) for n in (1, 2, 4, 8, 16)],)
    yield "descriptors are short", starved, (["--nofile=%d" % n for n in (4, 7, 10, 13, 16)],)
    yield "threads race", races, ()


def fault(what, check, row, lock, mode, *more_arguments):
    ready(row.engine)
    table["fault", what, lock] = "FAIL"
    check(row, lock, mode, *more_arguments)
    table["fault", what, lock] = "ok"


def more():
    """Sockets of others under every row's own lock; faults once per lock, in the box."""
    for row in rows():
        yield "%s: sockets of others, auto" % row.name, sockets, (row, "auto", "limited")
    row = box()
    for lock in LOCKS:
        mode = "off" if lock == "closed" else "limited"
        for what, check, arguments in faults(lock, mode):
            yield "%s: %s: %s" % (row.name, lock, what), fault, (
                (what, check, row, lock, mode) + arguments)


# --- running them, two at a time ------------------------------------------------------------------

def print_table():
    columns = [("auto", m) for m in MODES] + [(lock, m) for lock in LOCKS for m in MODES
                                             if (lock, m) != ("closed", "full")]
    print("\n%-34s" % "engine, user" + " ".join("%-14s" % ("%s %s" % c) for c in columns))
    for row in rows():
        cells = [table.get((row.name,) + c, "=auto" if c[0] == row.locks[0] and
                           (row.name, "auto", c[1]) in table else
                           "73" if table.get((row.name, c[0], "limited")) == "73" else "-")
                 for c in columns]
        print("%-34s" % row.name + " ".join("%-14s" % c for c in cells))
    print()
    reasons = {}
    for (row, _), why in table.get("why", {}).items():
        reasons.setdefault(why, []).append(row)
    for why, where in reasons.items():
        print("73  %s\n      %s" % (why, "; ".join(where)))
    for key, what in sorted((k, v) for k, v in table.items() if "sockets" in k):
        print("sockets of others: %s, %s: %s" % (key[0], key[2], what))
    print("\n%-34s" % ("when, under (%s)" % box().name) + " ".join("%-14s" % c for c in LOCKS))
    for what in [w for w, _, _ in faults("notify", "limited")]:
        print("%-34s" % what + " ".join("%-14s" % table.get(("fault", what, c), "-") for c in LOCKS))
    print("In every cell of the first table besides: setup leaves a daemon and a connection; the "
          "image\nhas a setuid program; the agent is root where the row says so.")


def run_all(cells):
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    for name, function, arguments in cells:
        if wanted not in name:
            continue
        future = pool.submit(function, *arguments)

        def claim(future=future):
            return future.result()
        claim.__name__ = name
        case(claim)
    try:
        lib.main()
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    show = "--table" in sys.argv
    sys.argv = [a for a in sys.argv if a != "--table"]
    began = time.monotonic()
    try:
        shared()
        run_all(list(plan()) + list(more()))
    finally:
        if show:
            print_table()
            print("%.0f s" % (time.monotonic() - began), file=sys.stderr)
        if "world" in _shared:
            _shared["world"].close()
        stop_engines()
