#!/usr/bin/python3
"""After setup no secret is anywhere; and the scanner that says so finds what others leave."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

import proof
from lib import case, children, compiled, main, skip, start, until
from unsealed import UNSEAL, _directories, keys, seal

# Another one each time: nothing that was here before knows it.
TOKEN, OURS = ("tok_" + base64.urlsafe_b64encode(os.urandom(27)).decode().replace("-", "x")
               for _ in range(2))
SECRETS = {"TOKEN": TOKEN}


def namespaced(argv, **options):
    if os.getuid():
        skip("needs root")
    process = start(["unshare", "--pid", "--fork", "--mount-proc", "--ipc", "--kill-child",
                     *argv], **options)
    return process


def inner(process):
    return until(lambda: children(process.pid), "the namespace's PID 1")[0]


def found(process, ready=b"ready", **options):
    line = process.stdout.readline()
    assert ready in line, line
    options.setdefault("files", False)
    return proof.look(inner(process), SECRETS, **options)


def where(findings):
    return " | ".join("%s: %s" % (w, how) for w, _, how in findings)


# --- the scanner finds what others leave -------------------------------------------------------

def tell(p):
    """The token, on its stdin."""
    p.stdin.write(TOKEN.encode() + b"\n")
    p.stdin.flush()


@case
def a_bash_that_unsets_it_still_has_it():
    p = namespaced(["bash", "-c", "X=$TOKEN; unset TOKEN X; echo ready; read -t 60 || sleep 60"],
                   env=dict(os.environ, TOKEN=TOKEN))
    text = where(found(p))
    assert "environ: raw" in text and "memory [stack]: raw" in text, text
    assert "memory [heap]" in text, text


@case
def setenv_and_unsetenv_leave_it_in_the_heap():
    code = ("import ctypes,sys,time; c=ctypes.CDLL(None); v=sys.stdin.readline().encode();"
            "c.setenv(b'T',v.strip(),1); c.unsetenv(b'T'); del v; print('ready',flush=True);"
            "time.sleep(60)")
    p = namespaced(["python3", "-c", code])
    tell(p)
    text = where(found(p))
    assert "memory" in text and "raw" in text, text


@case
def a_left_over_daemon_is_found():
    p = namespaced(["bash", "-c", "T=$(cat); (TOKEN=$T exec setsid sleep 60) & "
                    "sleep 0.3; echo ready; sleep 60"])
    p.stdin.write(TOKEN.encode())
    p.stdin.close()
    p.stdin = None
    findings = found(p)
    assert [f for f in findings if "(sleep) environ" in f[0]], findings


@case
def an_unread_pipe_and_a_socket_queue_are_found():
    code = ("import os,socket,sys,time; r,w=os.pipe(); a,b=socket.socketpair();"
            "v=sys.stdin.readline().strip().encode(); os.write(w,v); b.send(v.hex().encode());"
            "print('ready',flush=True); time.sleep(60)")
    p = namespaced(["python3", "-c", code])
    tell(p)
    text = where(found(p))
    assert "(pipe:[" in text and "(socket:[" in text and "hex" in text, text
    # Nothing was taken away.
    assert "(pipe:[" in where(proof.look(inner(p), SECRETS, files=False))


@case
def files_deleted_ones_and_encoded_ones_are_found():
    d = tempfile.mkdtemp(prefix="airlock-proof-")
    _directories.append(d)
    p = namespaced(["bash", "-c", "T=$(cat); cd %s; echo $T > plain; echo $T | base64 > b64;"
                    "echo $T | gzip > g.gz; exec 9> gone; echo $T >&9; rm gone; unset T;"
                    "echo ready; sleep 60" % d])
    p.stdin.write(TOKEN.encode())
    p.stdin.close()
    p.stdin = None
    since = time.time() - 10
    assert b"ready" in p.stdout.readline()
    look = proof.Look(SECRETS)
    proof.look_files(look, inner(p), since, top=d)
    proof.look_process(look, inner(p))
    text = where(look.findings)
    for word in ("/plain: raw", "/b64: base64", "/g.gz (gzip): raw", "(deleted)"):
        assert word in text, (word, text)


@case
def shared_memory_is_found():
    code = ("import ctypes,os,sys,time; c=ctypes.CDLL(None); c.shmat.restype=ctypes.c_void_p;"
            "i=c.shmget(0,4096,0o1600); v=sys.stdin.readline().strip().encode();"
            "m=c.shmat(i,None,0); ctypes.memmove(m,v,len(v)); c.shmdt(ctypes.c_void_p(m));"
            "os.execvp('bash',['bash','-c','echo ready; sleep 60'])")
    p = namespaced(["python3", "-c", code])
    tell(p)
    text = where(found(p))
    assert "shared memory" in text, text


@case
def keys_of_the_kernel_are_found():
    # Root's, and another user's; with their owners' permissions, which are possession's.
    for user in ([], ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]):
        code = ("import ctypes,sys,os; c=ctypes.CDLL(None,use_errno=True);"
                "v=sys.stdin.readline().strip().encode();"
                "k=c.syscall(248,b'user',b'airlock-proof',v,ctypes.c_size_t(len(v)),-4);"
                "assert k>0,ctypes.get_errno();"
                "os.execvp('bash',['bash','-c','echo ready; sleep 60; :'])")
        p = namespaced([*user, "/usr/bin/python3", "-c", code])
        tell(p)
        try:
            text = where(found(p))
            assert "key " in text, text
        finally:
            subprocess.run([*user, "/usr/bin/python3", "-c", "import ctypes; c=ctypes.CDLL(None);"
                            "k=c.syscall(250,10,-4,b'user',b'airlock-proof',0);"
                            "c.syscall(250,9,k,-4)"], check=True)  # UNLINK what SEARCH found


@case
def a_posix_message_queue_is_found_and_left_as_it_was():
    code = ("import ctypes,sys,os; c=ctypes.CDLL(None); v=sys.stdin.readline().strip().encode();"
            "q=c.syscall(240,b'airlock-proof',0o102,0o600,None);"
            "c.syscall(242,q,v,len(v),3,None); c.syscall(242,q,b'x',1,7,None);"
            "os.execvp('bash',['bash','-c','echo ready; sleep 60; :'])")
    p = namespaced(["python3", "-c", code])
    tell(p)
    text = where(found(p))
    assert "message queue /airlock-proof: raw" in text, text
    assert "message queue /airlock-proof: raw" in where(proof.look(inner(p), SECRETS, files=False))


@case
def registers_are_looked_at():
    source = """
        #include <string.h>
        #include <unistd.h>
        int main(int c, char **v) {
                char buf[64] = { 0 };
                read(0, buf, 38);
                unsigned long x; memcpy(&x, buf + 8, 8);
                explicit_bzero(buf, sizeof buf);
                write(1, "ready\\n", 6);
                for (;;) __asm__ volatile("" : "+r"(x));
        }"""
    d = tempfile.mkdtemp(prefix="airlock-proof-")
    _directories.append(d)
    with open(d + "/r.c", "w") as f:
        f.write(source)
    subprocess.run(["gcc", "-O2", "-static", d + "/r.c", "-o", d + "/r"], check=True)
    p = namespaced([d + "/r"])
    p.stdin.write(TOKEN.encode())
    p.stdin.flush()
    text = where(found(p))
    assert "registers" in text, text


@case
def a_clean_process_is_clean():
    p = namespaced(["bash", "-c", "echo ready; sleep 60"])
    findings = found(p)
    assert not findings, findings


# --- ours ----------------------------------------------------------------------------------------

def standin():
    """Where a user without rights may run it, too."""
    path = compiled("standin.c")
    os.chmod(os.path.dirname(path), 0o755)
    return path


def task(script, options=(), wrap=(), secret=OURS):
    if os.getuid():
        skip("needs root")
    d = tempfile.mkdtemp(prefix="airlock-proof-")
    _directories.append(d)
    os.chmod(d, 0o777)
    os.mkdir(d + "/root")
    os.chmod(d + "/root", 0o777)
    identity, recipient = keys()
    with open(d + "/secrets.age", "wb") as f:
        f.write(seal(json.dumps({"TOKEN": secret, "OTHER": "other-" + secret[::-1]}).encode(),
                     recipient))
    os.chmod(d + "/secrets.age", 0o644)
    p = namespaced([*wrap, standin(), UNSEAL, "--sealed",
                    d + "/secrets.age", "--scan-root", d + "/root", *options, "--", "bash", "-c",
                    "cd %s/root; " % d + script], env={"PATH": os.environ["PATH"]})
    p.stdin.write(identity)
    p.stdin.close()
    p.stdin = None
    key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
    # Less its beginning, which is no secret.
    return p, d, {"TOKEN": secret, "OTHER": "other-" + secret[::-1], "KEY": key[16:]}


SCRIPT = """echo up $TOKEN; (sleep 40; echo $TOKEN) & sleep 50 &
            T2=$TOKEN$OTHER; printf %s "$T2" | base64
            until [ -e ../go ]; do sleep 0.1; done; exit 0"""


def proves(options=(), wrap=()):
    since = time.time() - 3
    p, d, secrets = task(SCRIPT, options, wrap)
    line = p.stdout.readline()
    assert line == b"session\n", (line, p.stderr.read())
    during = proof.look(inner(p), secrets, files=False)
    names = {name for _, name, _ in during if name}
    assert names >= {"TOKEN", "OTHER"}, "the scanner is blind: %s" % during
    with open(d + "/go", "w"):
        pass
    line = p.stdout.readline()
    assert line == b"agent 0\n", (line, p.stderr.read())
    look = proof.Look(secrets)
    for process in proof.processes(inner(p)):
        proof.look_process(look, process)
    proof.look_ipc(look, inner(p))
    proof.look_keys(look, inner(p))
    for top in (d, "/run", "/var/tmp", "/dev/shm"):
        proof.look_files(look, inner(p), since, top=top)
    ours = [f for f in look.findings if f[1]]
    assert not ours, ours
    assert proof.processes(inner(p)) == [inner(p)]
    return during


@case
def during_setup_it_is_there_and_afterwards_nowhere():
    proves(["--visible-memory"])


@case
def the_same_with_memory_that_nobody_can_read():
    during = proves()
    if not [f for f in during if "nobody can read" in f[2]]:
        skip("this kernel has no memfd_secret")


@case
def the_same_without_a_right():
    proves(["--visible-memory"], ["setpriv", "--reuid", "1000", "--regid", "1000",
                                  "--clear-groups", "--bounding-set", "-all", "--inh-caps",
                                  "-all", "--no-new-privs"])


@case
def killed_in_the_middle_nothing_is_left_either():
    p, d, secrets = task("echo up $TOKEN; sleep 30")
    assert p.stdout.readline() == b"session\n"
    unseal = [c for c in proof.processes(inner(p)) if b"airlock-unseal" in
              open("/proc/%d/cmdline" % c, "rb").read().split(b"\0")[0]]
    os.kill(unseal[0], 9)
    session = [c for c in proof.processes(inner(p)) if c != inner(p)]
    for c in session:
        try:
            os.kill(c, 9)
        except ProcessLookupError:
            pass  # a child of one that is gone
    line = p.stdout.readline()
    assert line.startswith(b"agent -9"), line
    findings = [f for f in proof.look(inner(p), secrets, files=False) if f[1]]
    assert not findings, findings


main()
