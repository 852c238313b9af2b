"""tests/e2e/nets.py - network namespaces for a case, and work done inside them.

    box, world = pair()      two namespaces and a cable; both end with the case
    box.do(function, ...)    runs it in a child there; returns what it returns (JSON)
    box.serve(function, ...) the same, in the background until the case ends
    box.run("nft", ...)      a program there: CompletedProcess

box is 10.9.0.2 and fd09::2; world, the way to everywhere, is 10.9.0.1, fd09::1 and, for
addresses that are far away, 203.0.113.5 and 2001:db8::5.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback

import lib

BOX4, BOX6 = "10.9.0.2", "fd09::2"
NEAR4, NEAR6 = "10.9.0.1", "fd09::1"
FAR4, FAR6 = "203.0.113.5", "2001:db8::5"
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Forked:
    """A child as lib's list of started processes wants it."""
    stdin = stdout = stderr = None

    def __init__(self, pid):
        self.pid, self.code = pid, None

    def poll(self):
        if self.code is None:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            self.code = code if pid else None
        return self.code

    def wait(self):
        if self.code is None:
            self.code = os.waitpid(self.pid, 0)[1]
        return self.code


class Space:
    def __init__(self, *options):
        self.anchor = lib.start(["unshare", "--net", *options, "sleep", "1000"])
        mine = os.stat("/proc/self/ns/net").st_ino
        lib.until(lambda: os.stat(self.path).st_ino != mine and
                  open("/proc/%d/comm" % self.anchor.pid).read() == "sleep\n", "a namespace")
        self.ip("link set lo up")

    @property
    def path(self):
        return "/proc/%d/ns/net" % self.anchor.pid

    def _fork(self, function, arguments):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writer)
            return pid, os.fdopen(reader)
        try:
            signal.alarm(lib.TIMEOUT_S)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            os.close(reader)
            fd = os.open(self.path, os.O_RDONLY)
            if libc.setns(fd, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            out = os.fdopen(writer, "w")

            def say(value):
                out.write(json.dumps(value) + "\n")
                out.flush()
            value = function(*arguments, **({"say": say} if "say" in
                             function.__code__.co_varnames[:function.__code__.co_argcount]
                             else {}))
            say(value)
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)

    def do(self, function, *arguments):
        pid, out = self._fork(function, arguments)
        with out:
            text = out.read()
        if os.waitpid(pid, 0)[1]:
            raise AssertionError("%s failed inside" % function.__name__)
        return json.loads(text.splitlines()[-1])

    def serve(self, function, *arguments):
        """@function says(...) once when it is ready. Returns what it says, line by line."""
        pid, out = self._fork(function, arguments)
        lib._started.append(Forked(pid))
        lib._started[-1].stdout = out
        assert json.loads(out.readline() or "null") == "ready", function.__name__
        return out

    def run(self, *argv, **options):
        options.setdefault("timeout", 15)
        return subprocess.run(["nsenter", "--net=" + self.path, *argv], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, **options)

    def ip(self, words, check=True):
        done = self.run("ip", *words.split())
        assert not check or not done.returncode, "ip %s: %s" % (words, done.stdout)
        return done.stdout

    def nft(self, text):
        done = self.run("nft", text)
        assert not done.returncode, done.stdout
        return done.stdout


def pair(v6=True):
    if os.getuid():
        lib.skip("needs root for network namespaces")
    box, world = Space(), Space()
    world.ip("link add w type veth peer name eth0 netns %d" % box.anchor.pid)
    for space, device, addresses in ((world, "w", [NEAR4 + "/24", NEAR6 + "/64"]),
                                     (box, "eth0", [BOX4 + "/24", BOX6 + "/64"]),
                                     (world, "lo", [FAR4 + "/32", FAR6 + "/128"])):
        if not v6:
            space.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        if device != "lo":  # no link-local address that comes a second later
            space.ip("link set %s addrgenmode none" % device)
        for address in addresses:
            if v6 or ":" not in address:
                space.ip("addr add %s dev %s%s" % (address, device,
                                                   " nodad" * (":" in address)))
        space.ip("link set %s up" % device)
    box.ip("route add default via " + NEAR4)
    if v6:
        box.ip("route add default via " + NEAR6)
    # The kernel sends nothing by a device before it has noticed the cable.
    for space, device in ((box, "eth0"), (world, "w")):
        lib.until(lambda: "state UP" in space.ip("-o link show " + device), "a cable")
    return box, world
