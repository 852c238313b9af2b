#!/usr/bin/python3
"""Attacks on the seal and on PID 1: each of these got through once."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import AIRLOCK, case, main, pid1, skip  # noqa: E402
from task import Result, Task  # noqa: E402

PYTHON = "/usr/bin/python3"
OFF = {"setup": "full", "agent": "off"}


def task():
    t = Task()
    t.repo()
    return t


# --- who outlives setup ----------------------------------------------------------------------

HIDER = """
cat >"$AIRLOCK_STATE/../hider.py" <<'EOF'
import ctypes, os, threading, time
libc = ctypes.CDLL(None)
def stay():
    at = os.path.dirname(os.environ["AIRLOCK_STATE"])
    while True:
        with open(at + "/network.part", "w") as f:
            f.write(os.readlink("/proc/thread-self/ns/net"))
        os.rename(at + "/network.part", at + "/network")
        time.sleep(0.02)
threading.Thread(target=stay, daemon=True).start()
HOW
EOF
cd /; setsid PYTHON "$AIRLOCK_STATE/../hider.py" </dev/null >/dev/null 2>&1 &
echo $! >"$AIRLOCK_STATE/../pid"
until [ -e "$AIRLOCK_STATE/../network" ]; do sleep 0.01; done
sleep 0.2
"""
AGENT = """
cd AT; kill -CONT "$(cat pid)" 2>/dev/null && echo alive
rm -f network; sleep 0.3; [ ! -e network ] || echo "runs in $(cat network)"
rm -f hider.py pid network.part; echo done
"""


def outlive(how, run):
    """Setup leaves a process, which hides by @how. The seal ends it, or the task ends."""
    t = task()
    setup = HIDER.replace("HOW", how).replace("PYTHON", PYTHON)
    r = run(t, setup, AGENT.replace("AT", '"$(dirname "$(dirname "$AIRLOCK_ANSWER")")"'))
    assert "alive" not in r.answer and "runs in" not in r.answer, r.answer
    return r


def in_a_box(t, setup, agent):
    return t.run(agent, setup, network=OFF)


@case
def a_process_whose_main_thread_has_ended_does_not_outlive_setup():
    # /proc calls it a zombie; what it still has is the network that setup had.
    r = outlive("libc.syscall(60, 0)", in_a_box).expect(0)
    assert r.answer == "done\n" and r.result["leftovers"]["setup"] >= 1, r.result


def with_processes_hidden(t, setup, agent):
    """As PID 1 of a container whose /proc hides processes from who may not trace them
    (hidepid=ptraceable): from PID 1, those that are not dumpable."""
    spec = t.spec(agent, setup, network=OFF, repo={"dir": t.dir + "/work"})
    run = pid1(["run", t.write_spec(spec)],
               wrap=["sh", "-c", 'mount -o remount,hidepid=4 /proc && exec setpriv --bounding-set '
                     '-sys_ptrace --inh-caps -sys_ptrace -- "$@"', "sh"])
    code = run.wait(25)
    return Result(t.out, code, run.out, run.err)


@case
def processes_that_proc_hides_are_not_taken_for_gone():
    if os.getuid():
        skip("needs root")
    r = outlive("libc.prctl(4, 0); time.sleep(60)", with_processes_hidden)
    assert r.code == 73 and "can't be ended" in r.reason(), (r.code, r.reason())


main()
