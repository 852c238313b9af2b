"""`airlock init`: PID 1 reaps, forwards, stops and exits as tini does, and where other
inits lose a signal, hang, steal a terminal or leave something behind, it does not."""
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import time

from lib import AIRLOCK, beside, case, children, compiled, main, pid1, skip, start, status, until

PYTHON = sys.executable


def helper(*words):
    return ["init", "--", compiled("init_child.c"), *words]


def sh(script, *flags):
    return ["init", *flags, "--", "sh", "-c", script]


# --- exit status ---------------------------------------------------------------------

@case
def every_exit_status_is_passed_on():
    script = """for n in $(seq 0 255); do "$0" init -s -- sh -c "exit $n"; r=$?
                [ $r = $n ] || echo "$n became $r"; done"""
    out = subprocess.run(["bash", "-c", script, AIRLOCK], capture_output=True)
    assert out.stdout == b"", out.stdout


@case
def death_by_signal_is_128_plus_its_number():
    for n in (1, 2, 6, 9, 11, 15, 34, 64):
        got = pid1(sh("kill -%d $$; sleep 9" % n)).wait()
        assert got == 128 + n, (n, got)


@case
def statuses_are_remapped_to_0_by_e():
    for code, flags, want in ((143, ["-e", "143"], 0), (5, ["-e5", "-e", "255"], 0),
                              (255, ["-e5", "-e", "255"], 0), (6, ["-e5"], 6)):
        assert pid1(sh("exit %d" % code, *flags)).wait() == want, (code, flags)


@case
def e_takes_0_to_255_only():
    for bad in ("256", "-1", "", "1x"):
        assert pid1(sh("exit 0", "-e", bad)).wait() == 2, bad


@case
def a_missing_program_is_127_and_named():
    for name in ("no-such-program", "/no/such/program", "/etc/passwd/x", ""):
        r = pid1(["init", "--", name])
        assert r.wait() == 127, name
        assert name.encode() in r.err and b"airlock" in r.err, r.err


@case
def a_program_that_can_not_run_is_126_and_named():
    r = pid1(["init", "--", "/etc/passwd"])
    assert r.wait() == 126
    assert b"/etc/passwd: Permission denied" in r.err, r.err


@case
def a_script_without_interpreter_line_runs():
    with tempfile.NamedTemporaryFile("w", dir="/var/tmp") as f:
        f.write("echo $1-$#\n")
        f.flush()
        os.chmod(f.name, 0o755)
        copy = f.name + ".sh"
        subprocess.run(["cp", "-p", f.name, copy], check=True)
        try:
            r = pid1(["init", "--", copy, "a", "b"])
            assert r.wait() == 0 and r.out == b"a-2\n", (r.out, r.err)
        finally:
            os.unlink(copy)


# --- the command line ----------------------------------------------------------------

@case
def an_unknown_option_is_2_with_usage():
    r = pid1(["init", "-x", "--", "true"])
    assert r.wait() == 2 and b"-x" in r.err and b"usage" in r.err, r.err


@case
def flags_without_a_command_word_mean_init():
    for words in (["--"], ["-g", "--"], ["-vg"], []):
        assert pid1(words + ["sh", "-c", "exit 9"]).wait() == 9, words


@case
def an_unknown_command_outside_pid_1_is_2():
    r = beside(["frobnicate"])
    assert r.wait() == 2 and b"frobnicate" in r.err, r.err


@case
def as_docker_init_it_answers_tini_version():
    with tempfile.TemporaryDirectory() as d:
        os.symlink(AIRLOCK, d + "/docker-init")
        r = beside(["--version"], program=d + "/docker-init")
        assert r.wait() == 0 and r.out.startswith(b"tini version 0.19.0"), r.out
        assert pid1(["--", "sh", "-c", "exit 4"], program=d + "/docker-init").wait() == 4


@case
def version_is_on_stdout():
    r = beside(["--version"])
    assert r.wait() == 0 and r.out.startswith(b"airlock ") and r.err == b"", r.out


# --- signals -------------------------------------------------------------------------

NOT_FORWARDED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGTTIN,
                 signal.SIGTTOU, signal.SIGUSR2}


@case
def all_signals_are_forwarded_34_and_64_too():
    r = pid1(helper("signals"))
    r.expect("ready")
    for n in range(1, 65):
        if n in NOT_FORWARDED:
            continue
        r.kill(n)
        r.expect(str(n))
    r.kill(signal.SIGUSR2)
    assert r.wait() == 0


@case
def fault_signals_from_others_do_not_end_it_beside():
    r = beside(["init", "-s", "--", "sh", "-c",
                "trap '' ILL TRAP ABRT BUS FPE SYS; echo ready; read x; exit 3"])
    r.expect("ready")
    for n in (4, 5, 6, 7, 8, 31):
        r.kill(n)
    time.sleep(0.05)
    assert r.process.poll() is None
    r.process.stdin.write(b"\n")
    assert r.wait() == 3


@case
def tty_stop_signals_are_not_forwarded():
    r = pid1(helper("signals"))
    r.expect("ready")
    for n in (signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP):
        r.kill(n)
    r.expect("1")


GRANDCHILD = "trap 'echo child' TERM; (trap 'echo grand; exit' TERM; echo r; while :; do " \
             "sleep 0.01; done) & while :; do wait; sleep 0.01; done"


@case
def g_signals_the_group_and_its_absence_the_child_alone():
    for flags, env in ((["-g"], {}), ([], {"TINI_KILL_PROCESS_GROUP": "1"})):
        r = pid1(sh(GRANDCHILD, *flags), env={**os.environ, **env})
        r.expect("r")
        r.kill(signal.SIGTERM)
        assert {r.line(), r.line()} == {"child", "grand"}
        r.kill(signal.SIGKILL)
    r = pid1(sh(GRANDCHILD))
    r.expect("r")
    r.kill(signal.SIGTERM)
    r.expect("child")
    r.kill(signal.SIGKILL)
    r.wait()
    assert b"grand" not in r.out, r.out


@case
def a_signal_before_the_program_runs_is_not_lost():
    """Blocked from the first system call: a TERM at any moment after exec arrives."""
    for round in range(20):
        gate = os.pipe()
        r = start(["unshare", "--pid", "--fork", "--kill-child", PYTHON, "-Sc",
                   "import os; os.read(%d, 1); os.execv(%r, ['airlock', 'init', '--', "
                   "'sleep', '9'])" % (gate[0], AIRLOCK)], pass_fds=[gate[0]])
        pid = until(lambda: children(r.pid), "python")[0]
        os.write(gate[1], b"x")
        # Blocked, or already waiting: then the kernel shows the mask without them.
        while "airlock" not in status(pid).get("Name", ""):
            pass
        until(lambda: status(pid).get("SigBlk") == "fffffffffffbfeff" or children(pid),
              "blocked", 1)
        os.kill(pid, signal.SIGTERM)
        assert r.wait(5) == 143, round
        for fd in gate:
            os.close(fd)


@case
def the_first_system_call_blocks_all_signals():
    if subprocess.run(["which", "strace"], capture_output=True).returncode:
        skip("no strace")
    r = subprocess.run(["strace", AIRLOCK, "init", "-s", "--", "true"], capture_output=True)
    lines = r.stderr.decode().splitlines()
    assert lines[1] == "rt_sigprocmask(SIG_SETMASK, ~[], [], 8) = 0", lines[1]


@case
def mask_and_dispositions_reach_the_child_unchanged():
    show = "import signal,os; print([l for l in open('/proc/self/status') " \
           "if l.startswith(('SigBlk', 'SigIgn'))])"
    before = "import os, signal; %s; os.execvp(%r, %r)"
    for setup in ("pass",
                  "[signal.signal(n, signal.SIG_IGN) for n in (1, 13, 17, 20, 22, 64)]",
                  "signal.signal(13, signal.SIG_DFL)",
                  "signal.pthread_sigmask(signal.SIG_BLOCK, [2, 15, 17, 20, 34, 64])"):
        probe = [PYTHON, "-Sc", show]
        plain = subprocess.run([PYTHON, "-Sc", before % (setup, probe[0], probe)],
                               capture_output=True)
        words = [AIRLOCK, "init", "-s", "--", *probe]
        under = subprocess.run([PYTHON, "-Sc", before % (setup, AIRLOCK, words)],
                               capture_output=True)
        assert plain.stdout and plain.stdout == under.stdout, (setup, plain, under)


@case
def a_parent_that_ignores_sigchld_does_not_hang_it():
    for run in (pid1, beside):
        r = run(sh("exit 5", "-s"), wrap=["env", "--ignore-signal=CHLD"])
        assert r.wait(5) == 5


# --- reaping -------------------------------------------------------------------------

@case
def twenty_thousand_orphans_at_once_are_all_reaped():
    r = pid1(helper("orphans", "20000"))
    r.expect("born")
    r.stdin.write(b"x")
    r.stdin.flush()
    r.expect("ended")
    until(lambda: len(children(r.pid)) == 1, "all reaped", 10)
    r.stdin.write(b"x")
    assert r.wait() == 0


@case
def orphans_do_not_pile_up_as_zombies():
    r = pid1(sh("i=0; while [ $i -lt 300 ]; do (: & ); i=$((i+1)); done; echo done; read x"))
    most = 0
    while not until(lambda: children(r.pid), "child"):
        pass
    os.set_blocking(r.stdout.fileno(), False)
    while r.stdout.read() is None:
        zombies = [c for c in children(r.pid) if status(c).get("State", "").startswith("Z")]
        most = max(most, len(zombies))
    assert most < 64, most  # of 20,000; the machine may be busy


@case
def w_tells_of_reaped_orphans():
    r = pid1(sh("(sleep 0.05 &) ; sleep 0.2", "-w"))
    assert r.wait() == 0 and b"reaped" in r.err, r.err
    r = pid1(sh("(sleep 0.05 &) ; sleep 0.2"))
    assert r.wait() == 0 and r.err == b"", r.err


# --- the end -------------------------------------------------------------------------

LEFTOVER = "setsid sh -c 'trap \"sleep 0.3; echo cleaned; exit\" TERM; echo up; " \
           "while :; do sleep 0.02; done' & read x; exit 6"


@case
def leftovers_in_other_sessions_get_term_and_time():
    for run, flags in ((pid1, []), (beside, ["-s"])):
        r = run(sh(LEFTOVER, *flags))
        r.expect("up")
        r.stdin.write(b"\n")
        assert r.wait() == 6
        assert r.out == b"cleaned\n", (run, r.out)


@case
def it_exits_as_soon_as_nobody_is_left():
    for run, flags in ((pid1, ["-t", "9"]), (beside, ["-s", "-t", "9"])):
        r = run(sh("setsid sleep 60 & sleep 60 & exit 0", *flags))
        began = time.monotonic()
        r.wait()
        assert time.monotonic() - began < 1, "slept through the grace period"


@case
def who_ignores_term_is_killed_after_the_grace_and_not_before():
    for run, flags in ((pid1, []), (beside, ["-s"])):
        began = time.monotonic()
        r = run(sh("setsid sh -c 'trap \"\" TERM; echo up; sleep 60; sleep 60' & "
                   "read x; exit 0", "--grace=1", *flags))
        r.expect("up")
        r.stdin.write(b"\n")
        assert r.wait() == 0
        assert 0.95 < time.monotonic() - began < 3, time.monotonic() - began


@case
def a_stopped_leftover_ends_too():
    r = pid1(sh("sleep 60 & kill -STOP $!; echo up; read x", "-t", "5"))
    r.expect("up")
    r.stdin.write(b"\n")
    began = time.monotonic()
    assert r.wait() == 0
    assert time.monotonic() - began < 1


@case
def beside_it_kills_no_stranger():
    stranger = start(["sleep", "60"])
    r = beside(sh("setsid sleep 60 & exit 0", "-s", "-t", "1"))
    assert r.wait() == 0
    time.sleep(0.05)
    assert stranger.poll() is None


@case
def beside_with_a_foreign_proc_it_kills_no_stranger():
    """Another pid namespace's /proc has other numbers; they must not be believed."""
    stranger = start(["sleep", "60"])
    r = start(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c",
               "%s init -s -t1 -- sh -c 'trap \"\" TERM; sleep 30 & exit 0'; echo $?" % AIRLOCK])
    out, _ = r.communicate(timeout=10)
    assert out == b"0\n" and stranger.poll() is None, out


# --- not PID 1 -----------------------------------------------------------------------

@case
def beside_it_is_a_subreaper_and_says_so_unless_told():
    script = "(sleep 0.2 &) ; sleep 0.1; cat /proc/$PPID/task/$PPID/children | wc -w"
    r = beside(sh(script))
    assert r.wait() == 0 and int(r.out) == 2, r.out
    assert r.err.count(b"\n") == 1 and b"PID 1" in r.err, r.err
    for flags, env in ((["-s"], {}), ([], {"TINI_SUBREAPER": ""})):
        r = beside(sh("exit 0", *flags), env={**os.environ, **env})
        assert r.wait() == 0 and r.err == b"", r.err


@case
def p_sends_a_signal_when_the_parent_dies():
    script = "%s init -s -p USR1 -- sh -c 'trap \"echo told; exit\" USR1; echo up; " \
             "while :; do sleep 0.02; done' & wait" % AIRLOCK
    r = start(["sh", "-c", script])
    assert r.stdout.readline() == b"up\n"
    r.kill()
    assert r.stdout.readline() == b"told\n"


# --- what the child gets, what the init keeps ---------------------------------------

@case
def the_child_gets_the_descriptors_and_the_init_keeps_none():
    a, b = os.pipe()
    os.set_inheritable(b, True)
    r = pid1(sh("echo up; read x"), pass_fds=[b])
    r.expect("up")
    assert os.listdir("/proc/%d/fd" % r.child).count(str(b)) == 1
    assert sorted(os.listdir("/proc/%d/fd" % r.pid)) == ["0", "1", "2"]
    os.close(a)
    os.close(b)


@case
def the_init_does_not_hold_the_working_directory():
    r = pid1(sh("pwd; read x"), cwd="/usr")
    r.expect("/usr")
    until(lambda: os.readlink("/proc/%d/cwd" % r.pid) == "/", "PID 1 leaves the directory")
    assert os.readlink("/proc/%d/cwd" % r.child) == "/usr"


@case
def listen_pid_becomes_the_childs():
    env = {**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"}
    r = pid1(sh("echo $LISTEN_PID $$"), env=env)
    assert r.wait() == 0
    listen, own = r.out.split()
    assert listen == own != b"1", r.out
    env["LISTEN_PID"] = "77"
    r = pid1(sh("echo $LISTEN_PID"), env=env)
    assert r.wait() == 0 and r.out == b"77\n", r.out


@case
def closed_standard_descriptors_are_fine():
    for closing in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        r = start(["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c",
                   'exec "$0" init -- sh -c "exit 8" ' + closing, AIRLOCK])
        r.communicate(timeout=5)
        assert r.returncode == 8, closing
    r = start(["sh", "-c", 'exec "$0" init -s -- "$1" fds <&-', AIRLOCK,
               compiled("init_child.c")])
    out, _ = r.communicate(timeout=5)
    assert out == b"1 2 \n", out


@case
def it_needs_no_proc_no_rights_and_no_writable_root():
    inner = "mount -o bind,ro / /mnt 2>/dev/null; umount -l /proc; exec setpriv --reuid 1000 " \
            "--regid 1000 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs " \
            '"$0" init -- sh -c "(sleep 30 &) ; exit 3"'
    if os.getuid():
        skip("not root")
    r = start(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inner, AIRLOCK])
    began = time.monotonic()
    _, err = r.communicate(timeout=5)
    assert r.returncode == 3 and time.monotonic() - began < 1.5, (r.returncode, err)


@case
def a_survivor_of_another_user_does_not_hold_it_for_ever():
    if os.getuid():
        skip("not root")
    inner = 'sleep 60 & exec setpriv --reuid 1000 --regid 1000 --clear-groups "$0" init ' \
            '-t1 -- sh -c "exit 3"'
    r = start(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", inner,
               AIRLOCK])
    _, err = r.communicate(timeout=8)
    assert r.returncode == 3 and b"1 process" in err, (r.returncode, err)


@case
def others_of_the_same_user_can_not_trace_or_read_it():
    r = start(["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups", AIRLOCK,
               "init", "-s", "--", "sh", "-c",
               "cat /proc/$PPID/environ || echo refused; cat /proc/$$/comm"],
              env={**os.environ, "SECRET": "hunter2"})
    out, _ = r.communicate(timeout=5)
    assert out == b"refused\nsh\n", out


@case
def idle_it_never_wakes_up():
    r = pid1(sh("echo up; read x"))
    r.expect("up")
    time.sleep(0.1)
    before = status(r.pid)
    time.sleep(2.2)
    after = status(r.pid)
    key = "voluntary_ctxt_switches"
    assert before[key] == after[key] and before["State"][0] == "S", (before[key], after[key])


@case
def memory_stays_in_its_budget():
    with open(AIRLOCK, "rb") as f:
        os.fsync(f.fileno())  # a program just linked is dirty in the page cache
    r = pid1(sh("echo up; read x"))
    r.expect("up")
    time.sleep(0.05)
    with open("/proc/%d/smaps_rollup" % r.pid) as f:
        kb = {l.split()[0]: int(l.split()[1]) for l in f if l.endswith("kB\n")}
    assert kb["Rss:"] <= 100 and kb["Private_Dirty:"] <= 24, kb


# --- the termination log -------------------------------------------------------------

def with_termination_log(arguments):
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"old " * 100)
        f.flush()
        script = "mount -t tmpfs x /dev && touch /dev/termination-log /dev/null && " \
                 'mount --bind "$0" /dev/termination-log && exec "$@"'
        r = start(["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, f.name, AIRLOCK,
                   *arguments])
        r.communicate(timeout=5)
        with open(f.name) as again:
            return again.read()


@case
def the_termination_log_names_what_the_program_could_not_say():
    if os.getuid():
        skip("not root")
    text = with_termination_log(["init", "--", "no-\"such"])
    assert json.loads(text) == {"program": "no-\"such", "exit": 127,
                                "reason": "No such file or directory"}, text
    text = with_termination_log(sh("kill -SEGV $$"))
    assert json.loads(text)["reason"] == "SIGSEGV", text
    assert with_termination_log(sh("exit 1")).startswith("old old"), "not ours to say"


# --- terminals -----------------------------------------------------------------------

def in_terminal(argv, background=False):
    """argv as a session leader's job on a new pty; returns (master, leader's pid)."""
    pid, master = pty.fork()
    if not pid:
        if not background:
            os.execv(argv[0], argv)
        # A shell's background job: a group of its own that is not in front.
        job = os.fork()
        if not job:
            os.setpgid(0, 0)
            os.execv(argv[0], argv)
        os.setpgid(job, job)
        os.waitpid(job, 0)
        os.write(1, b"front %d\n" % (os.tcgetpgrp(0) == os.getpgrp()))
        os._exit(0)
    return master, pid


def read_until(master, text, seconds=5):
    got = b""
    os.set_blocking(master, False)
    deadline = time.monotonic() + seconds
    while text not in got:
        assert time.monotonic() < deadline, (text, got)
        try:
            got += os.read(master, 4096)
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:
            raise AssertionError("terminal closed before %r: %r" % (text, got))
    return got


FRONT = "import os; print('FG' if os.tcgetpgrp(0) == os.getpgrp() else 'BG', flush=True)"


@case
def in_front_the_child_gets_the_terminal():
    master, pid = in_terminal([AIRLOCK, "init", "-s", "--", PYTHON, "-Sc", FRONT])
    read_until(master, b"FG")
    os.waitpid(pid, 0)
    os.close(master)


@case
def as_pid_1_the_child_gets_the_terminal_and_ctrl_c():
    master, pid = in_terminal(["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", AIRLOCK,
                               "--", PYTHON, "-Sc", FRONT + "; import time; time.sleep(9)"])
    read_until(master, b"FG")
    os.write(master, b"\x03")
    assert os.waitpid(pid, 0)[1] == 130 << 8
    os.close(master)


@case
def from_the_background_the_foreground_is_not_stolen():
    master, pid = in_terminal([AIRLOCK, "init", "-s", "--", PYTHON, "-Sc", FRONT], True)
    read_until(master, b"BG")
    read_until(master, b"front 1")
    os.waitpid(pid, 0)
    os.close(master)
    master, pid = in_terminal(["/usr/bin/unshare", "--pid", "--fork", "--mount-proc", AIRLOCK,
                               "--", PYTHON, "-Sc", FRONT], True)
    read_until(master, b"BG")
    read_until(master, b"front 1")
    os.waitpid(pid, 0)
    os.close(master)


@case
def after_the_child_the_terminal_comes_back():
    script = '"$0" init -s -- true; exec "$1" -Sc "$2"'
    master, pid = in_terminal(["/bin/sh", "-c", script, AIRLOCK, PYTHON, FRONT])
    read_until(master, b"FG")
    os.waitpid(pid, 0)
    os.close(master)


@case
def ctrl_z_stops_a_direct_program():
    master, pid = in_terminal(["/usr/bin/unshare", "--pid", "--fork", "--mount-proc",
                               "--kill-child", AIRLOCK, "--", "/bin/sh", "-c",
                               "echo up; read x; echo got $x"])
    read_until(master, b"up")
    init = children(pid)[0]
    child = children(init)[0]
    os.write(master, b"\x1a")
    until(lambda: status(child)["State"].startswith("T"), "stopped by Ctrl-Z")
    os.kill(init, signal.SIGCONT)
    until(lambda: not status(child)["State"].startswith("T"), "continued")
    os.write(master, b"word\n")
    read_until(master, b"got word")
    os.waitpid(pid, 0)
    os.close(master)


@case
def ctrl_z_and_fg_work_under_a_shell():
    master, pid = in_terminal(["/bin/bash", "--norc", "-i"])
    os.write(master, b"%s init -s -- sh -c 'echo u''p; read x; echo got $x'\n" % AIRLOCK.encode())
    read_until(master, b"up")
    os.write(master, b"\x1a")
    read_until(master, b"Stopped")
    os.write(master, b"fg\n")
    time.sleep(0.2)
    os.write(master, b"word\n")
    read_until(master, b"got word")
    os.write(master, b"exit\n")
    os.waitpid(pid, 0)
    os.close(master)


@case
def a_window_change_reaches_the_child():
    master, pid = in_terminal([AIRLOCK, "init", "-s", "--", "/bin/bash", "-c",
                               "trap 'echo winch' WINCH; echo up; while :; do sleep 0.02; done"])
    read_until(master, b"up")
    fcntl.ioctl(master, termios.TIOCSWINSZ, b"\x20\0\x20\0\0\0\0\0")
    read_until(master, b"winch")
    os.kill(pid, signal.SIGWINCH)
    read_until(master, b"winch")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(master)


main()
