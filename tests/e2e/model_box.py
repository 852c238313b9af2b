"""tests/e2e/model_box.py - a model that a task reaches by its proxy, and by nothing else.

    box, model = elsewhere(script)     a network for the task, the model at its cable's other end
    beyond(box, f)                     what f() makes there: a second server at that end
    t = Trusted(script, NAME=value)    with TLS, in a root file system that trusts it, and a key
                                       that is sealed for the task: t.model, t.more
"""
import os
import shutil
import subprocess

import nets
from engines import make_rootfs
from model_server import Model
from task import Task, sealed

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
