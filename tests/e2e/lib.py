"""tests/e2e/lib.py - cases, their runner, and airlock as PID 1 of a pid namespace.

    from lib import case, main, skip, pid1

    @case
    def exits_as_its_child_did():
        assert pid1(["init", "--", "sh", "-c", "exit 7"]).wait() == 7

    main()

`python3 tests/e2e/test_x.py [WORD]` runs the cases whose name contains WORD.
AIRLOCK names the program; build/release/airlock otherwise. Standard library only.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AIRLOCK = os.path.abspath(os.environ.get("AIRLOCK", ROOT + "/build/release/airlock"))
PROGRAMS = sorted(name for name in os.listdir(os.path.dirname(AIRLOCK))
                  if name.startswith("airlock"))  # airlock and what it starts
os.environ.pop("LC_ALL", None)  # bash warns where a test's root lacks the locale
TIMEOUT_S = 20
PATIENCE = int(os.environ.get("TEST_PATIENCE", "1"))  # times longer: an emulated machine is slow
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a script's job in the background:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what we start would inherit it

_cases = []
_started = []


class Skip(Exception):
    pass


def npm_package(name, version, seconds=15):
    """"" once build/npm holds that package, fetched once for each build tree, or why not."""
    tree = ROOT + "/build/npm"
    if not shutil.which("npm") or not shutil.which("node"):
        return "no node and npm here"
    if os.path.isdir(tree + "/node_modules/" + name):
        return ""
    os.makedirs(tree, exist_ok=True)
    try:
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund",
                               "--prefix", tree, "%s@%s" % (name, version)], timeout=seconds,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return "npm did not fetch %s in time" % name
    return "npm can't fetch %s" % name if done.returncode else ""


def skip(reason):
    raise Skip(reason)


def case(function):
    _cases.append(function)
    return function


def until(condition, why, seconds=5.0):
    """Waits until condition() is true and returns its value; fails with why."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %gs: %s" % (seconds, why))
        time.sleep(0.002)


def start(argv, **options):
    """Popen with pipes, ended when the case ends."""
    options.setdefault("stdin", subprocess.PIPE)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    process = subprocess.Popen(argv, **options)
    _started.append(process)
    return process


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(word) for word in f.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def status(pid):
    """/proc/PID/status as a dict; {} when it is gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            pairs = (line.split(":", 1) for line in f if ":" in line)
            return {key: value.strip() for key, value in pairs}
    except (FileNotFoundError, ProcessLookupError):
        return {}


class Running:
    """A program with airlock in front; pid and child are this side's numbers."""

    def __init__(self, process, namespace):
        self.process = process
        self.stdout, self.stdin = process.stdout, process.stdin
        self.namespace = namespace

    @property
    def pid(self):
        if not self.namespace:
            return self.process.pid
        return until(lambda: children(self.process.pid), "PID 1 started")[0]

    @property
    def child(self):
        return until(lambda: children(self.pid), "a child of PID 1")[0]

    def kill(self, number):
        os.kill(self.pid, number)

    def line(self):
        return self.stdout.readline().decode().rstrip("\n")

    def expect(self, text):
        got = self.line()
        assert got == text, "expected %r, got %r" % (text, got)

    def wait(self, seconds=10):
        """The exit status as a shell gives it. stdout and stderr are in .out, .err."""
        self.out, self.err = self.process.communicate(timeout=seconds * PATIENCE)
        code = self.process.returncode
        return 128 - code if code < 0 else code


def pid1(arguments, wrap=(), **options):
    """airlock with these arguments as PID 1 of a pid namespace with its own /proc."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.getuid():
        unshare.append("--map-root-user")
    program = options.pop("program", AIRLOCK)
    return Running(start(unshare + list(wrap) + [program] + arguments, **options), True)


def beside(arguments, wrap=(), **options):
    """airlock with these arguments, not PID 1."""
    program = options.pop("program", AIRLOCK)
    return Running(start(list(wrap) + [program] + arguments, **options), False)


_built = {}


def compiled(source, *flags):
    """The program made from tests/e2e/SOURCE, once per run; or made before, where there is
    no compiler: in the folder AIRLOCK_COMPILED."""
    if "AIRLOCK_COMPILED" in os.environ:
        return os.path.join(os.environ["AIRLOCK_COMPILED"], source.split(".")[0])
    if source not in _built:
        directory = _built.setdefault("", tempfile.TemporaryDirectory())
        out = directory.name + "/" + source.split(".")[0]
        path = os.path.dirname(os.path.abspath(__file__)) + "/" + source
        subprocess.run(["gcc", "-O2", "-static", *flags, path, "-o", out], check=True)
        _built[source] = out
    return _built[source]


def _end_started():
    while _started:
        process = _started.pop()
        for pid in [process.pid] + children(process.pid):
            try:
                if process.poll() is None:
                    os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        process.wait()


def _timed_out(*_):
    raise AssertionError("timed out after %d s" % (TIMEOUT_S * PATIENCE))


def _why(error):
    where = traceback.extract_tb(error.__traceback__)
    lines = [f for f in where if not f.filename.endswith("lib.py")] or list(where)
    return "%s (line %d: %s)" % (str(error) or type(error).__name__, lines[-1].lineno,
                                 lines[-1].line)


def _run(function):
    signal.signal(signal.SIGALRM, _timed_out)
    signal.alarm(TIMEOUT_S * PATIENCE)
    try:
        function()
        return "ok", ""
    except Skip as reason:
        return "skip", ": %s" % reason
    except Exception as error:
        return "not ok", ": " + _why(error)
    finally:
        signal.alarm(0)
        _end_started()


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    totals = {"ok": 0, "not ok": 0, "skip": 0}
    for function in _cases:
        if wanted not in function.__name__:
            continue
        result, why = _run(function)
        totals[result] += 1
        print("%s - %s%s" % (result, function.__name__, why), flush=True)
    print("%d passed, %d failed, %d skipped" %
          (totals["ok"], totals["not ok"], totals["skip"]))
    sys.exit(1 if totals["not ok"] else 0)
