"""tests/e2e/task.py - one `airlock run`: a repository, a spec, and what came out.

    t = Task()
    t.repo({"a.txt": "one\\n"})
    r = t.run(agent="echo two >> a.txt")
    assert r.code == 0 and "+two" in r.diff

Run as root outside a container, airlock makes a box: what a task writes stays in it,
all but OUT. So a canary that hostile code would make lives in OUT (t.canary).
"""
import atexit
import json
import os
import shutil
import subprocess
import tempfile

from lib import AIRLOCK, start

_directories = []
GIT_ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@b", "GIT_ALLOW_PROTOCOL": "file:http",
           "GIT_AUTHOR_DATE": "1700000000 +0000", "GIT_COMMITTER_DATE": "1700000000 +0000"}


@atexit.register
def _remove():
    for path in _directories:
        shutil.rmtree(path, ignore_errors=True)


def git(cwd, *words, **options):
    """Output of git, without the machine's configuration."""
    env = dict(os.environ, **GIT_ENV, **options.pop("env", {}))
    done = subprocess.run(["git", *words], cwd=cwd, env=env, capture_output=True, **options)
    assert done.returncode == 0, "git %s: %s" % (words, done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8", "replace").strip()


def put(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())


def small_repo(folder, files):
    """The path of a new repository in @folder, with one commit of @files on main."""
    path = tempfile.mkdtemp(prefix="app-", dir=folder)
    git(path, "init", "-q", "-b", "main", ".")
    for name, text in files.items():
        put(path + "/" + name, text)
    git(path, "add", "-f", ".")
    git(path, "commit", "-q", "-m", "first")
    return path


def sealed(t, values, recipient=None):
    """(path of the sealed file, identity)."""
    key = subprocess.run([AIRLOCK, "secret", "keygen"], capture_output=True, check=True)
    public = recipient or [w for w in key.stdout.decode().split() if w.startswith("age1")][0]
    done = subprocess.run([AIRLOCK, "secret", "encrypt", "-r", public], check=True,
                          input=json.dumps(values).encode(), capture_output=True)
    path = t.dir + "/secrets.age"
    with open(path, "wb") as f:
        f.write(done.stdout)
    os.chmod(path, 0o644)
    return path, key.stdout


class Result:
    def __init__(self, out, code, stdout, stderr):
        self.out, self.code = out, code
        self.stdout = stdout.decode("utf-8", "replace")
        self.err = stderr.decode("utf-8", "replace")

    def file(self, name, default=""):
        try:
            with open(self.out + "/" + name, "rb") as f:
                return f.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return default

    @property
    def diff(self):
        return self.file("changes.diff")

    @property
    def answer(self):
        return self.file("answer.md")

    @property
    def result(self):
        return json.loads(self.file("result.json", "{}"))

    @property
    def events(self):
        return [json.loads(line) for line in self.file("events.ndjson").splitlines()]

    def event(self, name):
        return [e for e in self.events if e["event"] == name]

    def reason(self):
        """airlock's lines that say why; a failure has exactly one."""
        return self.result.get("reason") or ""

    def expect(self, code):
        assert self.code == code, "exit %d, not %d: %s" % (self.code, code, self.err[-1500:])
        return self


class Task:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="airlock-test-")
        _directories.append(self.dir)
        os.chmod(self.dir, 0o755)
        self.url = self.dir + "/repo"
        self.out = self.dir + "/out"
        self.canary = self.out + "/pwned"
        os.mkdir(self.out)

    def repo(self, files=None, name="repo", *init):
        """A repository with one commit on main; returns its path."""
        path = self.dir + "/" + name
        git(self.dir, "init", "-q", "-b", "main", *init, path)
        self.commit(files or {"a.txt": "one\n"}, name=name)
        return path

    def commit(self, files, message="change", name="repo"):
        path = self.dir + "/" + name
        for file, content in files.items():
            full = path + "/" + file
            if isinstance(content, tuple):
                os.makedirs(os.path.dirname(full), exist_ok=True)
                os.symlink(content[0], full)
            else:
                put(full, content)
        git(path, "add", "-f", "--all", ".")
        git(path, "commit", "-q", "--allow-empty", "-m", message)
        return git(path, "rev-parse", "HEAD")

    def spec(self, agent="true", setup=None, **more):
        repo = {"url": self.url, "ref": "main", "dir": "/workspace/app"}
        repo.update(more.pop("repo", {}))
        repo = {k: v for k, v in repo.items() if v is not None}
        command = ["bash", "-c", agent] if isinstance(agent, str) else agent
        spec = {"version": 1, "repo": repo, "network": {"agent": "off"},
                "agent": {"command": command}, "output": {"dir": self.out}}
        if setup is not None:
            spec["setup"] = {"script": setup, "timeout_s": 15}
        for key, value in more.items():
            spec[key] = dict(spec.get(key, {}), **value) if isinstance(value, dict) else value
        return spec

    def write_spec(self, spec):
        path = self.dir + "/task.json"
        with open(path, "w") as f:
            json.dump(spec, f)
        return path

    def start(self, agent="true", setup=None, options=(), popen=None, program=AIRLOCK, wrap=(),
              **more):
        path = self.write_spec(self.spec(agent, setup, **more))
        return start([*wrap, program, "run", *options, path], **(popen or {}))

    def run(self, agent="true", setup=None, options=(), popen=None, seconds=18, **more):
        popen = dict({"stdin": subprocess.DEVNULL}, **(popen or {}))
        process = self.start(agent, setup, options, popen, **more)
        stdout, stderr = process.communicate(timeout=seconds)
        code = process.returncode
        return Result(self.out, 128 - code if code < 0 else code, stdout or b"", stderr or b"")

    def safe(self):
        assert not os.path.exists(self.canary), "hostile code ran: " + open(self.canary).read()
