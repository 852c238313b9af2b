#!/usr/bin/python3
"""airlock exec-client: a command there is as a command here, on airlock's server and Codex's."""
import fcntl
import hashlib
import os
import pty
import select
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time

import codex
from exec_fake import Cutter, Fake
from lib import AIRLOCK, case, main, start, status, until

BIG = 5 << 20


def server(*options, program=None, listen="ws://127.0.0.1:0"):
    """The address of a new one; ours, or the program's."""
    argv = [AIRLOCK, "exec-server"] if program is None else [program, "exec-server"]
    p = start(argv + ["--listen", listen, *options], cwd="/tmp")
    address = p.stdout.readline().decode().strip()
    assert address, p.stderr.read()
    return address, p


def argv_of(where, command, *options):
    where = [where] if isinstance(where, str) else list(where)
    return [AIRLOCK, "exec-client", *options, *where, "--", *command]


def run(where, command, *options, data=None, seconds=15, env=None):
    """(exit status, stdout, stderr)"""
    if data is None:
        options = ("-n",) + options
    p = start(argv_of(where, command, *options), env=env)
    out, err = p.communicate(data, timeout=seconds)
    return p.returncode, out, err.decode()


def sh(where, script, *options, **more):
    return run(where, ["sh", "-c", script], *options, **more)


def file_of(text):
    f = tempfile.NamedTemporaryFile("w", suffix=".token")
    f.write(text)
    f.flush()
    return f


# --- a command there is as one here --------------------------------------------------------


def behaves(where, *options, stdin=True):
    r = sh(where, "echo out; echo err >&2; exit 7", *options)
    assert r == (7, b"out\n", "err\n"), r
    assert sh(where, "kill -TERM $$", *options)[0] == 128 + 15
    code, out, err = run(where, ["no-such-program"], *options)
    assert code == 127 and not out and "no-such-program: No such file" in err, (code, err)
    assert run(where, ["/etc/passwd"], *options)[0] == 126
    assert sh(where, "pwd", "--cwd", "/usr/lib", *options)[1] == b"/usr/lib\n"
    assert sh(where, "echo $A-$B", "--env", "A=1 2", "--env=B=é", *options)[1] == \
        "1 2-é\n".encode()
    assert run(where, ["env"], "--clean-env", "--env", "ONLY=this", *options)[1] == b"ONLY=this\n"
    assert run(where, ["printf", "%s|", "a b", "", "*", "'"], *options)[1] == b"a b||*|'|"
    code, out, _ = run(where, ["head", "-c", str(20 << 20), "/dev/zero"], *options)
    assert code == 0 and out == bytes(20 << 20), len(out)
    if stdin:
        data = os.urandom(BIG)
        for size in (0, 1, 100000, BIG):
            code, out, err = run(where, ["md5sum"], *options, data=data[:size])
            want = hashlib.md5(data[:size]).hexdigest()
            assert code == 0 and out.decode().split()[0] == want, (size, code, out, err)
        code, out, _ = run(where, ["true"], *options, data=data)  # it does not read
        assert code == 0, code


@case
def over_a_websocket():
    behaves(server()[0])


@case
def over_a_websocket_with_a_token():
    with file_of("  open-sesame\n") as token:
        where, _ = server("--ws-auth", "capability-token", "--ws-token-file", token.name)
        behaves(where, "--token-file", token.name, stdin=False)
        code, _, err = sh(where, "true")
        assert code == 75 and "401, missing websocket bearer token" in err, (code, err)
        with file_of("wrong") as other:
            code, _, err = sh(where, "true", "--token-file", other.name)
            assert code == 75 and "401, invalid websocket bearer token" in err, (code, err)
            assert "wrong" not in err


@case
def over_a_unix_socket():
    with tempfile.TemporaryDirectory() as d:
        where, _ = server(listen="unix:%s/s" % d)
        behaves(where)


@case
def over_the_stdio_of_a_command():
    behaves(["--via", AIRLOCK + " exec-server --listen stdio"])


@case
def against_the_real_server_over_a_websocket():
    behaves(server(program=codex.program())[0])


@case
def against_the_real_server_over_stdio():
    behaves(["--via", codex.program() + " exec-server --listen stdio"])


@case
def the_address_may_come_from_the_environment():
    where, _ = server()
    env = dict(os.environ, CODEX_EXEC_SERVER_URL=where)
    assert run([], ["echo", "there"], env=env)[1] == b"there\n"


@case
def a_name_is_tried_at_all_its_addresses():
    port = server()[0].rsplit(":", 1)[1]
    assert run("ws://localhost:" + port, ["echo", "there"])[1] == b"there\n"


# --- stdin and terminals ------------------------------------------------------------------------


@case
def stdin_flows_while_the_command_runs():
    where, _ = server()
    p = start(argv_of(where, ["cat"]))
    for line in (b"one\n", b"two\n"):
        p.stdin.write(line)
        p.stdin.flush()
        assert p.stdout.readline() == line
    p.stdin.close()
    assert p.wait(5) == 0


@case
def a_server_that_cannot_end_stdin_gets_no_endless_one():
    where, _ = server(program=codex.program())
    p = start(argv_of(where, ["true"]))
    try:
        p.stdin.write(bytes(17 << 20))
    except BrokenPipeError:
        pass
    assert p.wait(10) == 2
    assert b"more than 16 MiB" in p.stderr.read()


class Terminal:
    """A program on a terminal of ours."""

    def __init__(self, argv, rows=40, columns=100):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(argv[0], argv)
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text, seconds=8):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], self.seen
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                raise AssertionError(self.seen) from None
        self.seen = self.seen.split(text, 1)[1]

    def type(self, text):
        os.write(self.fd, text)

    def wait(self):
        try:
            while os.read(self.fd, 65536):
                pass
        except OSError:
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


@case
def a_pty_is_a_terminal_of_our_size():
    t = Terminal(argv_of(server()[0], ["sh"], "--pty", "--env", "PS1=ready>"))
    t.expect(b"ready>")
    t.type(b"stty size; tty; echo $TERM-\r")
    t.expect(b"40 100")
    t.expect(b"/dev/pts/")
    t.resize(50, 120)
    t.type(b"until [ \"$(stty size)\" = '50 120' ]; do sleep 0.05; done; echo s''o\r")
    t.expect(b"so\r\n")
    t.expect(b"ready>")
    t.type(b"sh -c 'echo g\"\"o; exec sleep 100'\r")  # said by whom ^C is for
    t.expect(b"go\r\n")
    t.type(b"\x03")
    t.expect(b"ready>")
    t.type(b"exit 5\r")
    assert t.wait() == 5


@case
def the_real_servers_pty_works_too():
    t = Terminal(argv_of(server(program=codex.program())[0], ["sh"], "--pty", "--env", "PS1=ok>"))
    t.expect(b"ok>")
    t.type(b"sleep 100\r")
    time.sleep(0.3)
    t.type(b"\x03")
    t.expect(b"ok>")
    t.type(b"\x04")
    assert t.wait() in (0, 130)


# --- signals --------------------------------------------------------------------------------------


def begun(where, script, trap=""):
    p = start(argv_of(where, ["sh", "-c", trap + "echo begun; " + script], "-n"))
    assert p.stdout.readline() == b"begun\n", p.stderr.read()
    return p


@case
def an_interrupt_reaches_the_command():
    for where in (server()[0], server(program=codex.program())[0]):
        p = begun(where, "while :; do sleep 0.05; done", "trap 'echo got it; exit 9' INT; ")
        p.send_signal(signal.SIGINT)
        assert p.wait(5) == 9 and p.stdout.read() == b"got it\n"


@case
def a_second_interrupt_kills_it():
    where, s = server()
    p = begun(where, "sleep 100 & echo $!; wait; wait", "trap '' INT; ")
    child = int(p.stdout.readline())
    p.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert p.poll() is None
    p.send_signal(signal.SIGINT)
    assert p.wait(5) == 130
    until(lambda: not status(child), "the command's child is gone")


@case
def sigterm_kills_the_command():
    p = begun(server()[0], "echo $$; sleep 100", "trap '' TERM; ")
    command = int(p.stdout.readline())
    p.send_signal(signal.SIGTERM)
    assert p.wait(5) == 143
    until(lambda: not status(command), "the command is gone")


@case
def a_closed_stdout_ends_the_command():
    p = begun(server()[0], "echo $$; exec yes")
    command = int(p.stdout.readline())
    p.stdout.close()
    assert p.wait(5) == 128 + 13
    until(lambda: not status(command), "the command is gone")


@case
def output_that_nobody_reads_is_not_hoarded():
    p = begun(server()[0], "exec head -c %d /dev/zero" % (300 << 20))
    time.sleep(1)
    assert int(status(p.pid)["VmRSS"].split()[0]) < 4000, status(p.pid)["VmRSS"]
    size = 0
    while True:
        piece = p.stdout.read(1 << 20)
        if not piece:
            break
        size += len(piece)
    assert size == 300 << 20 and p.wait(5) == 0
    # nothing else but a few buffers
    p = begun(server()[0], "exec sleep 1")
    assert int(status(p.pid)["VmRSS"].split()[0]) < 1500, status(p.pid)["VmRSS"]


# --- a connection that breaks ---------------------------------------------------------------------

COUNT = 60000


def counts_on(where, cuts, **options):
    with Cutter(where, **options) as cutter:
        p = start(argv_of(cutter.address, ["sh", "-c", "seq %d; sleep 0.2; seq 5; exit 3" % COUNT],
                          "-n", "--wait", "10"))
        for _ in range(cuts):
            time.sleep(0.05)
            cutter.cut()
        out, err = p.communicate(timeout=15)
        want = b"".join(b"%d\n" % n for n in list(range(1, COUNT + 1)) + [1, 2, 3, 4, 5])
        assert p.returncode == 3 and out == want, (p.returncode, len(out), len(want), err)
        return cutter.count


@case
def a_broken_connection_is_not_noticed():
    where, _ = server()
    assert counts_on(where, 4) > 1
    assert counts_on(where, 0, cut_every=150000) >= 3


@case
def a_broken_connection_to_the_real_server_neither():
    assert counts_on(server(program=codex.program())[0], 3) > 1


@case
def input_is_written_once_over_broken_connections():
    data = os.urandom(8 << 20)
    for where in (server()[0], server(program=codex.program())[0]):
        with Cutter(where) as cutter:
            p = start(argv_of(cutter.address, ["sh", "-c", "echo go; md5sum"], "--wait", "10"))
            done = threading.Thread(target=lambda: [p.stdin.write(data), p.stdin.close()])
            done.start()
            assert p.stdout.readline() == b"go\n"
            for _ in range(5):
                cutter.cut()
                time.sleep(0.02)
            done.join()
            out, err = p.stdout.read(), p.stderr.read()  # what readline() took beyond its line, too
            assert out.decode()[:32] == hashlib.md5(data).hexdigest(), (where, out, err, p.wait(5))


@case
def a_start_that_was_cut_off_happens_once():
    """It reached the server or it did not: that is asked, and only then is it sent again."""
    for arrived in (True, False):
        calls = []

        def play(peer, arrived=arrived, calls=calls):
            m = peer.hello()
            calls.append("hello %s" % m["params"]["resumeSessionId"])
            while True:
                m = peer.read()
                if m is None:
                    return
                calls.append(m["method"])
                first = calls.count("process/start") == 1
                if m["method"] == "process/start" and first:
                    peer.socket.shutdown(2)
                    return
                if m["method"] == "process/start":
                    peer.answer(m, processId="1")
                    peer.output(1, b"again")
                    peer.event("exited", 2, exitCode=0)
                    peer.event("closed", 3)
                elif not arrived:
                    peer.tell({"id": m["id"], "error": {"code": -32600,
                                                        "message": "unknown process id 1"}})
                elif calls.count("process/read") == 1:
                    peer.socket.shutdown(2)  # and again
                    return
                elif calls.count("process/read") == 2:
                    peer.tell({"id": m["id"], "error": {"code": -32600,
                                                        "message": "process id 1 is starting"}})
                elif m["params"]["afterSeq"] == 0:
                    peer.answer(m, chunks=[{"seq": 1, "stream": "stdout", "chunk": "b25jZQ=="}],
                                nextSeq=4, exited=True, exitCode=0, closed=True)
                else:
                    peer.answer(m, chunks=[], nextSeq=4, exited=True, exitCode=0, closed=True)
        r = faked(play)
        if arrived:
            assert r == (0, b"once", "") and calls == [
                "hello None", "process/start", "hello s", "process/read", "hello s",
                "process/read", "process/read", "process/read"], (r, calls)
        else:
            assert r == (0, b"again", "") and calls == [
                "hello None", "process/start", "hello s", "process/read", "process/start"], calls


@case
def a_start_that_was_only_late_happens_once():
    """Unknown when it is asked about, and there when it is sent again."""
    def play(peer):
        m = peer.hello()
        if m["params"]["resumeSessionId"] is None:
            peer.request("process/start")
            peer.socket.shutdown(2)
            return
        m = peer.request("process/read")
        peer.tell({"id": m["id"], "error": {"code": -32600, "message": "unknown process id 1"}})
        m = peer.request("process/start")
        peer.tell({"id": m["id"], "error": {"code": -32600,
                                            "message": "process 1 already exists"}})
        peer.answer(peer.request("process/read"), chunks=[], nextSeq=1, exited=False,
                    exitCode=None, closed=False)
        peer.output(1, b"late")
        peer.event("exited", 2, exitCode=4)
        peer.event("closed", 3)
        peer.read()
    assert faked(play) == (4, b"late", ""), faked(play)


@case
def output_that_the_server_dropped_is_not_passed_over():
    def play(peer):
        m = peer.hello()
        if m["params"]["resumeSessionId"] is None:
            peer.answer(peer.request("process/start"), processId="1")
            peer.output(1, b"one")
            peer.socket.shutdown(2)
            return
        for chunks in ([{"seq": 5, "stream": "stdout", "chunk": "Zml2ZQ=="}], []):
            peer.answer(peer.request("process/read"), chunks=chunks, nextSeq=6, exited=False,
                        exitCode=None, closed=False)
        peer.read()
    code, out, err = faked(play)
    assert code == 75 and out == b"one" and "dropped output" in err, (code, out, err)


@case
def a_session_that_is_gone_is_said():
    where, s = server()
    with Cutter(where) as cutter:
        p = begun(cutter.address, "sleep 100")
        s.kill()
        s.wait()
        again, _ = server()
        cutter.port = int(again.rsplit(":", 1)[1])
        cutter.cut()
        assert p.wait(10) == 75
        assert b"unknown session" in p.stderr.read()


@case
def nobody_there_is_said_at_once():
    begin = time.monotonic()
    code, _, err = sh("ws://127.0.0.1:1", "true")
    assert code == 75 and "Connection refused" in err and time.monotonic() - begin < 1, err
    code, _, err = sh("unix:/nonexistent", "true")
    assert code == 75 and "/nonexistent: No such file" in err, err
    code, _, err = sh(["--via", "echo no protocol"], "true")
    assert code == 75 and "no message" in err, err
    code, _, err = sh(["--via", "exit 1"], "true")
    assert code == 75 and "closed the connection" in err, err


@case
def wait_waits():
    port = server()[0].rsplit(":", 1)[1]  # of one that ends now
    from lib import _end_started
    _end_started()
    p = start(argv_of("ws://127.0.0.1:" + port, ["echo", "late"], "-n", "--wait", "8"))
    time.sleep(0.5)
    server(listen="ws://127.0.0.1:" + port)
    assert p.communicate(timeout=10)[0] == b"late\n"


# --- the child of --via --------------------------------------------------------------------------


@case
def the_server_of_via_ends_with_the_client():
    with tempfile.NamedTemporaryFile("r") as pids:
        via = "trap '' TERM; sleep 1000 & echo $$ $! >> %s; %s exec-server --listen stdio; wait" % (
            pids.name, AIRLOCK)
        begin = time.monotonic()
        assert sh(["--via", via], "exit 4")[0] == 4
        took = time.monotonic() - begin
        assert 1.8 < took < 4, took  # it heeds no SIGTERM, so SIGKILL after 2 s
        for pid in pids.read().split():
            assert status(int(pid)).get("State", "Z")[0] == "Z", pid
    begin = time.monotonic()
    assert sh(["--via", AIRLOCK + " exec-server --listen stdio"], "exit 4")[0] == 4
    assert time.monotonic() - begin < 1


# --- servers that mean no good --------------------------------------------------------------------


def faked(play, seconds=10):
    with Fake(play) as fake:
        r = run(fake.address, ["x"], seconds=seconds)
        assert not fake.failed, fake.failed
        return r


def hello(peer):
    peer.hello()
    peer.answer(peer.request("process/start"), processId="1")


@case
def events_are_told_in_their_order():
    def play(peer):
        peer.hello()
        m = peer.request("process/start")
        peer.event("closed", 5)
        peer.output(3, b"three ")
        peer.event("exited", 4, exitCode=6)
        peer.output(2, b"two ")
        peer.answer(m, processId="1")
        peer.output(2, b"again? ")
        peer.output(1, b"one ")
        peer.read()
    assert faked(play) == (6, b"one two three ", ""), faked(play)


@case
def hostile_servers_are_survived():
    def raw(data):
        def play(peer):
            hello(peer)
            peer.raw(data)
            peer.read()
        return play

    text = b'{"method":"process/output","params":{}}'
    for why, data, said in (
            ("masked", b"\x81\x82\0\0\0\0{}", "a frame with a mask"),
            ("reserved bit", b"\xc1\x02{}", "a reserved bit"),
            ("too long", b"\x81\x7f" + struct.pack(">Q", 1 << 62), "message too long"),
            ("long form", b"\x81\x7e\0\x02{}", "a length in more bytes"),
            ("long ping", b"\x89\x7e\0\x80" + bytes(128), "a control frame"),
            ("no JSON", b"\x81\x03{]}", "no message"),
            ("an array", b"\x81\x02[]", "no message"),
            ("not UTF-8", b"\x81\x04{\"\xff\"", "no message"),
            ("continuation of nothing", b"\x80\x02{}", "fragments out of order"),
            ("nested", b"\x01\x01{\x81\x02{}", "fragments out of order")):
        code, _, err = faked(raw(data))
        assert code == 75 and said in err, (why, code, err)

    def strange(peer):
        """Nonsense that harms nobody, and then a proper end."""
        hello(peer)
        for p in ({}, {"processId": 1}, {"processId": "999", "seq": 1}, {"processId": "1"},
                  {"processId": "1", "seq": -1}, {"processId": "1", "seq": "1"},
                  {"processId": "1", "seq": 1, "stream": "x", "chunk": ""},
                  {"processId": "1", "seq": 1, "stream": "stdout", "chunk": "%%%"}):
            for kind in ("output", "exited", "closed", "bogus"):
                if kind != "closed" or p.get("seq") != 1:
                    peer.tell({"method": "process/" + kind, "params": p})
        peer.tell({"id": 7777, "result": {}})
        peer.tell({"id": "x", "error": {"code": -1, "message": "?"}})
        peer.tell({"id": 5, "method": "network/policyRequest", "params": {}})
        peer.raw(b"\x89\x02hi")
        peer.raw(b"\x01\x05" + text[:5] + b"\x89\x00" + b"\x80" + bytes([len(text) - 5]) + text[5:])
        peer.output(1, b"fine")
        peer.event("exited", 2, exitCode=0)
        peer.event("closed", 3)
        peer.read()
    assert faked(strange) == (0, b"fine", "")


@case
def a_server_cannot_fill_our_memory():
    """Events of the future for ever: the process is given up, and the rest dropped."""
    def play(peer):
        hello(peer)
        piece = bytes(512 << 10)
        try:
            for n in range(400):
                peer.output(n + 2, piece)
        except OSError:
            pass
        peer.read()
    with Fake(play) as fake:
        p = start(["/usr/bin/time", "-f", "%M", *argv_of(fake.address, ["x"], "-n")]) \
            if os.path.exists("/usr/bin/time") else start(argv_of(fake.address, ["x"], "-n"))
        _, err = p.communicate(timeout=15)
        assert p.returncode == 75 and b"out of order without end" in err, err
        if os.path.exists("/usr/bin/time"):
            assert int(err.split()[-1]) < 16000, err


@case
def a_refusal_is_shown_as_one_line():
    for answer, said in (
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n\x1b[2Jno", "HTTP 403, \\x1b[2Jno"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP 200"),
            (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
             b"Sec-WebSocket-Accept: bm90IHRoZSByaWdodCBvbmU9PT0=\r\n\r\n", "not a WebSocket's"),
            (b"SSH-2.0-OpenSSH\r\n", "does not answer in HTTP")):
        def play(peer, answer=answer):
            while peer.file.readline().strip():
                pass
            peer.raw(answer)
            peer.read()
        code, _, err = faked(play)
        assert code == 75 and said in err and err.count("\n") == 1 and "\x1b" not in err, err


# --- the command line ------------------------------------------------------------------------------


@case
def wrong_usage_is_said():
    for argv, said in (
            ([], "the command is missing"),
            (["ws://127.0.0.1:1"], "the command is missing"),
            (["--", "true"], "URL: missing"),
            (["http://x", "--", "true"], "`http://x` must use ws://"),
            (["wss://", "--", "true"], "no valid host"),
            (["ws://", "--", "true"], "no valid host"),
            (["ws://h:0", "--", "true"], "no valid host"),
            (["ws://h:99999", "--", "true"], "no valid host"),
            (["ws://h:1/\r\nX: y", "--", "true"], "no valid host"),
            (["ws://u@h:1", "--", "true"], "no valid host"),
            (["ws://h", "ws://i", "--", "true"], "a second URL"),
            (["--via", "x", "ws://h", "--", "true"], "there is a URL too"),
            (["--token-file", "/nonexistent", "ws://h", "--", "true"], "No such file"),
            (["--cwd", "rel", "ws://h", "--", "true"], "an absolute path"),
            (["--env", "=x", "ws://h", "--", "true"], "NAME=VALUE"),
            (["--wait", "x", "ws://h", "--", "true"], "a number of seconds"),
            (["--bogus", "ws://h", "--", "true"], "no such option")):
        env = {k: v for k, v in os.environ.items() if k != "CODEX_EXEC_SERVER_URL"}
        p = subprocess.run([AIRLOCK, "exec-client", *argv], capture_output=True, env=env,
                           timeout=10)
        assert p.returncode == 2 and said in p.stderr.decode(), (argv, p)
    p = subprocess.run([AIRLOCK, "exec-client", "--help"], capture_output=True, timeout=10)
    assert p.returncode == 0 and b"--token-file" in p.stdout


main()
