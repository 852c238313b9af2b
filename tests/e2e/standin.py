"""tests/e2e/standin.py - PID 1's part around airlock-unseal, in a pid namespace of its own.

    standin.py UNSEAL OPTION… -- COMMAND…

Our stdin is the key. Prints "session" when the session has printed something, and after the
scan, with everybody else dead, "agent STATUS"; then sleeps for a minute. What else the
session prints goes to stderr.
"""
import os
import signal
import socket
import struct
import subprocess
import sys
import time

MESSAGE = struct.Struct("=IIiI HH16s H3H 200s")
control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
read, write = os.pipe()
pid = os.posix_spawn(sys.argv[1], [sys.argv[1], "--control", "100", "--output", "101",
                                   *sys.argv[2:]], os.environ,
                     file_actions=[(os.POSIX_SPAWN_DUP2, other.fileno(), 100),
                                   (os.POSIX_SPAWN_DUP2, write, 101)])
null = os.open("/dev/null", os.O_RDONLY)
os.dup2(null, 0)
other.close()
os.close(write)
first = os.read(read, 65536)
if first:
    print("session", flush=True)
while True:
    more = os.read(read, 65536)
    if not more:
        break
    sys.stderr.buffer.write(more)
if control.recv(MESSAGE.size):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, pid):
            os.kill(int(name), signal.SIGKILL)
    control.send(MESSAGE.pack(8, 0, 0, 0, 0, 0, b"", 0, 0, 0, 0, b""))
_, status = os.waitpid(pid, 0)
try:
    os.kill(-1, signal.SIGKILL)
    while True:
        os.waitpid(-1, 0)
except (ProcessLookupError, ChildProcessError):
    pass
print("agent %d" % os.waitstatus_to_exitcode(status), flush=True)
time.sleep(60)
