"""Setup is a bash session of its own: what it prints is seen, what it writes to
$AIRLOCK_ENV or to files goes on, and every process of it is dead before the agent."""
import os
import re
import sys
import time

import lib
from lib import case, main, skip, start
from task import Task, put

lib.TIMEOUT_S = 60  # nine ways to hide are nine tasks


def task():
    t = Task()
    t.repo()
    return t


# --- the session ---------------------------------------------------------------------------

@case
def it_is_a_login_shell_in_the_work_tree():
    t = task()
    put(t.dir + "/home/.bash_profile", "PROFILE=was-read\n")
    env = dict(os.environ, HOME=t.dir + "/home")
    r = t.run(setup="echo profile=$PROFILE; shopt login_shell; pwd; echo phase=$AIRLOCK_PHASE",
              popen={"env": env}).expect(0)
    log = r.file("setup.log")
    assert "profile=was-read" in log and re.search(r"login_shell\s+on", log), log
    assert "/workspace/app" in log and "phase=setup" in log, log


@case
def it_has_a_session_of_its_own_and_no_terminal():
    r = task().run(setup="""
        read -r pid comm state ppid pgrp sid tty rest < /proc/$$/stat
        echo own=$((pid == sid && pid == pgrp)) tty=$tty
        (exec 3</dev/tty) 2>/dev/null && echo terminal
        readlink /proc/$$/fd/0; ls /proc/$$/fd | tr '\\n' ' '""").expect(0)
    log = r.file("setup.log")
    assert "own=1 tty=0" in log and "terminal" not in log and "/dev/null" in log, log


@case
def it_sees_the_specs_variables():
    r = task().run(setup='printf "%s|%s\\n" "$CI" "$ODD"',
                   env={"CI": "1", "ODD": "a b\"'$x\u00e9"}).expect(0)
    assert "1|a b\"'$x\u00e9" in r.file("setup.log"), r.file("setup.log")


@case
def exports_do_not_carry_but_files_do():
    t = task()
    home = t.dir + "/home"
    os.mkdir(home)
    r = t.run('echo "[$LEAKED]"; bash -ic "echo [\\$FROM_RC]" 2>/dev/null; cat /made',
              setup="export LEAKED=1; echo 'FROM_RC=rc' >> ~/.bashrc; echo file > /made",
              popen={"env": dict(os.environ, HOME=home)}).expect(0)
    assert r.answer.split() == ["[]", "[rc]", "file"], r.answer


# --- $AIRLOCK_ENV --------------------------------------------------------------------------

@case
def airlock_env_reaches_the_agent():
    lines = ["A=plain", "export B=exported", 'C="double quoted"', "D='single quoted'", "E=",
             "", "# a comment", "  F=indented", "G=a=b=c", 'H="half', "PATH=/opt/x:$PATH",
             "CR=dos\r", "I=\u00e9\u4e16", "A=again"]
    script = "cat >> $AIRLOCK_ENV <<'END'\n" + "\n".join(lines) + "\nEND\n"
    script = script.replace("PATH=/opt/x:$PATH", "PATH=/opt/x:/usr/bin:/bin")
    r = task().run("env", setup=script).expect(0)
    env = dict(x.split("=", 1) for x in r.answer.splitlines() if "=" in x)
    want = {"A": "again", "B": "exported", "C": "double quoted", "D": "single quoted", "E": "",
            "F": "indented", "G": "a=b=c", "H": '"half', "CR": "dos", "I": "\u00e9\u4e16",
            "PATH": "/opt/x:/usr/bin:/bin"}
    for name, value in want.items():
        assert env.get(name) == value, (name, env.get(name))
    assert "AIRLOCK_ENV" not in env and "AIRLOCK_STATE" not in env, env


@case
def airlock_env_can_not_move_what_airlock_reads():
    r = task().run("echo x > $AIRLOCK_ANSWER; echo $AIRLOCK_PHASE", setup="""
        echo AIRLOCK_ANSWER=/etc/hostname >> $AIRLOCK_ENV
        echo AIRLOCK_PHASE=setup >> $AIRLOCK_ENV""").expect(0)
    assert r.answer == "x\n" and "work" in r.stdout, (r.answer, r.stdout)


@case
def a_bad_line_is_71_with_its_number():
    for line in ("not a variable", "1A=x", "=x", "A B=c", "A", "export", "$(touch /x)=1",
                 "A\\x00B=1", "\\xff=1"):
        r = task().run(setup="printf 'GOOD=1\\n%%b\\n' '%s' >> $AIRLOCK_ENV" % line)
        assert r.code == 71 and "$AIRLOCK_ENV:2" in r.reason(), (line, r.code, r.result)
        assert not r.result["agent"]["ran"]


@case
def an_env_file_that_is_no_file_is_refused():
    for how in ("ln -sf /etc/passwd $AIRLOCK_ENV", "rm $AIRLOCK_ENV", "rm $AIRLOCK_ENV; "
                "mkdir $AIRLOCK_ENV", "rm $AIRLOCK_ENV; mkfifo $AIRLOCK_ENV",
                "head -c 70000 /dev/zero | tr '\\0' '\\n' > $AIRLOCK_ENV"):
        r = task().run(setup=how).expect(71)
        assert "$AIRLOCK_ENV" in r.reason() and not r.result["agent"]["ran"], r.result


# --- output --------------------------------------------------------------------------------

@case
def output_comes_line_by_line_while_it_runs():
    t = task()
    p = t.start(setup="echo first; sleep 3; echo second")
    began = time.monotonic()
    for line in p.stderr:
        if line == b"setup | first\n":
            break
        assert b"second" not in line
    assert time.monotonic() - began < 2, "buffered"
    rest = p.stderr.read()
    assert b"setup | second\n" in rest, rest
    assert p.wait() == 0
    assert open(t.out + "/setup.log").read() == "first\nsecond\n"


@case
def long_lines_binary_bytes_and_a_last_line_without_newline_survive():
    r = task().run(setup="head -c 300000 /dev/zero | tr '\\0' x; echo; "
                   "printf '\\000\\377\\033[31m\\n'; printf end").expect(0)
    with open(r.out + "/setup.log", "rb") as f:
        assert f.read() == b"x" * 300000 + b"\n\0\xff\x1b[31m\nend"
    assert "setup | end\n" in r.err


@case
def a_log_of_any_size_is_bounded():
    r = task().run(setup="head -c 20000000 /dev/zero | tr '\\0' '\\n'", options=["-q"]).expect(0)
    assert os.stat(r.out + "/setup.log").st_size < 8 * 1024 * 1024 + 4096
    assert "8 MiB" in r.file("setup.log")[-200:]


# --- failure -------------------------------------------------------------------------------

@case
def a_failure_is_71_with_code_line_and_command():
    cases = (("set -e\ntrue\nls /no/such/dir\ntrue\n", "exit 2", "line 3", "ls /no/such/dir"),
             ("true\n\n\ngrep -q x /dev/null", "exit 1", "line 4", "grep -q x /dev/null"),
             ("set -eu\nf() {\n  false\n}\nf\n", "exit 1", "line 3", "false"),
             ("true\nexit 9\n", "exit 9", "", ""),
             ("true\nreturn 7\n", "exit 7", "", ""),
             ("set -eo pipefail\nfalse | cat\n", "exit 1", "line 2", "cat"),
             ("true\nno-such-command-here x\n", "exit 127", "line 2", "no-such-command-here x"))
    for script, how, line, command in cases:
        r = task().run(setup=script).expect(71)
        assert how in r.reason() and line in r.reason() and command in r.reason(), (
            script, r.reason())
        assert r.result["phase"] == "setup" and r.result["step"] == "run the setup script"
        assert not r.result["agent"]["ran"]


@case
def a_syntax_error_is_71():
    r = task().run(setup="echo one\nif true; then\n").expect(71)
    assert "syntax error" in r.file("setup.log") or "syntax error" in r.err, r.err


@case
def a_handled_failure_is_no_failure():
    task().run(setup="false || true\nif false; then :; fi\nfalse\ntrue").expect(0)


@case
def a_signal_is_named():
    r = task().run(setup="kill -KILL $$").expect(71)
    assert "signal SIGKILL" in r.reason() or "signal KILL" in r.reason(), r.reason()


@case
def the_last_40_lines_are_shown():
    r = task().run(setup="for i in $(seq 100); do echo line $i; done; exit 3").expect(71)
    shown = re.findall(r"^airlock: *line (\d+)$", r.err, re.M)
    assert shown == [str(i) for i in range(61, 101)], shown


@case
def on_failure_continue_goes_on():
    t = task()
    spec = t.spec("echo ran", setup="exit 3")
    spec["setup"]["on_failure"] = "continue"
    t.spec = lambda *a, **k: spec
    r = t.run().expect(0)
    assert r.answer == "ran\n" and r.event("setup_failed"), r.events


def timed(script, seconds):
    t = task()
    spec = t.spec(setup=script)
    spec["setup"]["timeout_s"] = seconds
    t.spec = lambda *a, **k: spec
    return t


@case
def a_timeout_warns_at_80_percent_then_terms():
    t = timed("trap 'echo got TERM; exit 0' TERM; echo up; while :; do sleep 0.1; done", 2)
    began = time.monotonic()
    r = t.run().expect(71)
    assert time.monotonic() - began < 5
    assert "80 %" in r.err and "got TERM" in r.err and "2 s" in r.reason(), r.err
    assert r.err.index("80 %") < r.err.index("got TERM")


@case
def a_timeout_kills_who_ignores_term():
    t = timed("trap '' TERM; while :; do sleep 0.2; done", 1)
    began = time.monotonic()
    t.run().expect(71)
    assert 4 < time.monotonic() - began < 9, "TERM, 5 s, KILL"


@case
def stopping_from_outside_during_setup_is_77():
    t = task()
    p = t.start(setup="echo up; sleep 60")
    for line in p.stderr:
        if b"| up" in line:
            break
    p.terminate()
    p.communicate(timeout=10)
    assert p.returncode == 77, p.returncode
    assert b'"status": "stopped"' in open(t.out + "/result.json", "rb").read()


# --- nothing of it survives ----------------------------------------------------------------

WHO = """import os
me = {1, os.getpid(), os.getppid()}
for p in sorted(int(x) for x in os.listdir("/proc") if x.isdigit()):
    if p not in me:
        print("alive", p, open("/proc/%d/cmdline" % p).read().replace("\\0", " "),
              open("/proc/%d/stat" % p).read().split(")")[1][:2])
print("looked")
"""


def survivors(setup, seconds=18, **more):
    t = task()
    put(t.url + "/who.py", WHO)
    t.commit({})
    r = t.run([sys_python(), "who.py"], setup=setup, seconds=seconds, **more).expect(0)
    assert r.answer == "looked\n", r.answer
    return r


def sys_python():
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


@case
def the_agent_is_alone_with_pid_1():
    survivors("true")


@case
def hidden_processes_are_dead():
    ways = {
        "background": "sleep 99 &",
        "nohup": "nohup sleep 99 >/dev/null 2>&1 &",
        "setsid": "setsid sleep 99 & setsid -f sleep 98",
        "double fork": "( ( setsid sh -c 'sleep 99 & sleep 98' & ) & )",
        "disowned": "sleep 99 & disown",
        "ignores everything": "(trap '' TERM HUP INT QUIT; exec sleep 99) &",
        "stopped": "sleep 99 & kill -STOP $!; setsid sleep 98 & sleep 0.1; kill -STOP $!",
        "holds the pipe": "exec 7>&1; sleep 99 >&7 &",
        "renamed": "exec -a /sbin/init sleep 99 &",
    }
    for why, script in ways.items():
        r = survivors(script + "\nsleep 0.1; true")
        assert r.result["leftovers"]["setup"] > 0, why


@case
def a_traced_process_is_dead():
    r = survivors("""
cat > /tmp/trace.py <<'END'
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if pid == 0:
    os.setsid()
    while True: time.sleep(1)
assert libc.ptrace(0x4206, pid, 0, 0) == 0, ctypes.get_errno()  # SEIZE
libc.ptrace(0x4207, pid, 0, 0)  # INTERRUPT
open("/tmp/traced", "w").write("yes")
os.setsid() if os.fork() == 0 else None
time.sleep(99)
END
%s /tmp/trace.py & sleep 0.5; cat /tmp/traced; true""" % sys_python())
    assert "yes" in r.file("setup.log"), "the case did not trace: " + r.file("setup.log")
    assert r.result["leftovers"]["setup"] > 0


@case
def another_users_process_is_dead():
    r = survivors("setpriv --reuid 65534 --clear-groups setsid sh -c 'trap \"\" TERM; "
                  "id -u > /tmp/uid; sleep 99; sleep 98' & sleep 0.4; cat /tmp/uid")
    assert "65534" in r.file("setup.log"), r.file("setup.log")


@case
def a_fork_storm_is_dead():
    """Also where others want the processors, and it forks faster than PID 1 reaps and lists."""
    busy = [start(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
    began = time.monotonic()
    r = survivors("""
cat > /tmp/storm.py <<'END'
import os, signal, time
for s in (1, 2, 3, 15): signal.signal(s, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.time() + 60
for i in range(6): os.fork()
os.setsid() if os.getpid() != os.getsid(0) and os.getpgrp() != os.getpid() else None
while time.time() < end:  # 64 processes, each replaced by its child all the time
    try:
        if os.fork(): os._exit(0)
    except BlockingIOError: pass
    time.sleep(0.002)
END
%s /tmp/storm.py & sleep 1; true""" % sys_python())
    assert r.result["leftovers"]["setup"] >= 1, r.result
    assert time.monotonic() - began < 12
    for p in busy:
        p.kill()


@case
def no_descriptor_of_setup_or_of_ours_reaches_the_agent():
    t = task()
    keep = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(keep, True)
    r = t.run([sys_python(), "-c", "import os\n"
               "fds = sorted(int(f) for f in os.listdir('/proc/self/fd'))\nprint(fds[:-1])"],
              setup="exec 7>/tmp/x 8<>/tmp/y; true", popen={"pass_fds": (keep,)}).expect(0)
    os.close(keep)
    assert r.answer == "[0, 1, 2]\n", r.answer


@case
def no_socket_of_setup_answers():
    server = """
cat > /tmp/s.py <<'END'
import socket, time, os
a = socket.socket(socket.AF_UNIX); a.bind("/tmp/sock"); a.listen()
b = socket.socket(socket.AF_UNIX); b.bind("\\0setup"); b.listen()
c = socket.socket(); c.bind(("127.0.0.1", 47113)); c.listen()
open("/tmp/up", "w").close(); os.setsid(); time.sleep(99)
END
%s /tmp/s.py & while [ ! -e /tmp/up ]; do sleep 0.05; done""" % sys_python()
    client = """
import socket
for family, to in ((1, "/tmp/sock"), (1, "\\0setup"), (2, ("127.0.0.1", 47113))):
    try:
        socket.socket(family).connect(to); print("answered", to)
    except OSError as e: print("refused")
"""
    r = task().run([sys_python(), "-c", client], setup=server).expect(0)
    assert r.answer == "refused\n" * 3, r.answer


KEYS = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
def add(name, value, ring): return libc.syscall(248, b"user", name, value, len(value), ring)
def search(ring, name): return libc.syscall(250, 10, ring, b"user", name, 0)
"""


@case
def the_session_keyring_is_new():
    setup = ("cat > /tmp/k.py <<'END'\n" + KEYS + "print('added', add(b'airlock-s', b'v', -3) > 0)"
             "\nEND\n%s /tmp/k.py" % sys_python())
    r = task().run([sys_python(), "-c", KEYS + "print(search(-3, b'airlock-s'))"],
                   setup=setup).expect(0)
    if "added True" not in r.file("setup.log"):
        skip("no keyrings in this kernel: " + r.file("setup.log").strip())
    assert r.answer == "-1\n", r.answer


main()
