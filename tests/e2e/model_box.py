"""tests/e2e/model_box.py - a model that a task reaches by its proxy, and by nothing else.

    r = built_in(model, "prompt")      a task with the built-in loop
    box, model = elsewhere(script)     a network for the task, the model at its cable's other end
    beyond(box, f)                     what f() makes there: a second server at that end
    t = Trusted(script, NAME=value)    with TLS, in a root file system that trusts it, and a key
                                       that is sealed for the task: t.model, t.more
"""
import json
import os
import shutil
import subprocess

import lib
import nets
from engines import make_rootfs
from model_server import Model
from task import Result, Task, sealed


def built_in(server, prompt="do it", task=None, space=None, box=None, key=None, seconds=18,
             options=(), **more):
    """A task with the built-in loop; its Result, with the loop's events."""
    t = task or Task()
    if not task:
        t.repo()
    spec = t.spec("unused", prompt=prompt, **{k: v for k, v in more.items() if k != "agent"})
    spec["model"] = dict({"base_url": server.url, "name": "m"}, **more.get("model", {}))
    spec["agent"] = more.get("agent", {})
    argv = ["nsenter", "--net=" + space.path] if space else []
    process = lib.start(argv + [lib.AIRLOCK, "run", *(["--box", box] if box else []),
                                *options, t.write_spec(spec)])
    out, err = process.communicate(key, timeout=seconds)
    r = Result(t.out, process.returncode, out, err)
    r.jsonl = [json.loads(line) for line in r.file("agent.jsonl").splitlines()]
    r.task = t
    return r


def outputs(r):
    return [e["item"]["aggregated_output"] for e in r.jsonl
            if e["type"] == "item.completed" and e["item"]["type"] == "command_execution"]


def elsewhere(script, **more):
    """(a network for the task, a model at the other end of its cable): under notify what
    listens in the task's own network is the commands' own too."""
    box, world = nets.pair()
    box.world = world
    return box, beyond(box, lambda: Model(script, host=nets.NEAR4, **more))


def beyond(box, make):
    mine = os.open("/proc/self/ns/net", os.O_RDONLY)
    theirs = os.open(box.world.path, os.O_RDONLY)
    try:
        assert not nets.libc.setns(theirs, nets.CLONE_NEWNET)
        return make()
    finally:
        assert not nets.libc.setns(mine, nets.CLONE_NEWNET)
        os.close(mine)
        os.close(theirs)


KEY = "sk-model-Zq8yXw4vUt2sRr0p"


class Trusted:
    """A model with a certificate, a box that trusts it, and a key sealed for the task."""
    def __init__(self, script, **secrets):
        self.task = t = Task()
        t.repo()
        with open(t.dir + "/ext", "w") as f:
            f.write("subjectAltName=IP:" + nets.NEAR4)
        new = "openssl req -newkey rsa:2048 -nodes -subj /CN="
        subprocess.run(new + "test-ca -x509 -keyout ca.key -out ca.pem -days 3 && " + new +
                       "model -keyout m.key -out m.csr && openssl x509 -req -in m.csr -CA ca.pem "
                       "-CAkey ca.key -CAcreateserial -out m.pem -days 3 -extfile ext", shell=True,
                       cwd=t.dir, check=True, capture_output=True)
        self.tls = t.dir + "/m.pem", t.dir + "/m.key"
        self.space, self.model = elsewhere(script, tls=self.tls)
        self.box = t.dir + "/box"
        subprocess.run(["cp", "-a", make_rootfs(), self.box], check=True)
        os.makedirs(self.box + "/etc/ssl/certs", exist_ok=True)
        bundle = self.box + "/etc/ssl/certs/ca-certificates.crt"
        shutil.copy(t.dir + "/ca.pem", bundle)
        path, self.identity = sealed(t, dict(secrets, MODEL_KEY=KEY))
        os.rename(path, t.out + "/secrets.age")
        self.more = {"task": t, "space": self.space, "box": self.box, "key": self.identity,
                     "repo": {"url": None, "ref": None}, "secrets": {"sealed": t.out + "/secrets.age"}}


# Everything that a command could try, to reach the model or the loop; each line it prints is a leak.
ATTACK = r"""
import ctypes, os, re, signal, socket
host, port = os.environ["MODEL"].split(":")
def attempt(name, f):
    try:
        r = f()
    except Exception as e:
        return
    if r:
        print("LEAK", name, r)
def connect(to):
    s = socket.create_connection(to, 2)
    s.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: %s:%s\r\nContent-Length: 2\r\n\r\n{}" % (host.encode(), port.encode()))
    answer = s.recv(1000)
    return b"x-airlock-denied" not in answer and answer
attempt("direct", lambda: connect((host, int(port))))
for name in ("http_proxy", "HTTP_PROXY"):
    if os.environ.get(name):
        p = re.search(r"//([^:]+):(\d+)", os.environ[name])
        attempt(name, lambda: connect((p[1], int(p[2]))))
loops = [int(p) for p in os.listdir("/proc") if p.isdigit() and open("/proc/%s/comm" % p).read().strip() in ("airlock-agent", "exe") and int(p) != os.getpid()]
print("loops", len(loops))
libc = ctypes.CDLL(None, use_errno=True)
for pid in loops:
    attempt("fd", lambda: [os.readlink("/proc/%d/fd/%d" % (pid, n)) for n in range(3, 9)])
    attempt("mem", lambda: open("/proc/%d/mem" % pid, "rb").read(0) == b"" )
    attempt("environ", lambda: open("/proc/%d/environ" % pid, "rb").read())
    attempt("ptrace", lambda: libc.ptrace(16, pid, 0, 0) == 0)
    def getfd():
        pidfd = libc.syscall(434, pid, 0)
        return [n for n in range(3, 12) if pidfd >= 0 and libc.syscall(438, pidfd, n, 0) >= 0]
    attempt("pidfd_getfd", getfd)
    attempt("signal", lambda: os.kill(pid, signal.SIGUSR1) is None)
print("tried")
"""
