#!/usr/bin/python3
"""airlock-unseal by itself: setup gets the secrets, its output is masked, faults end it with
one line and no plaintext."""
import base64
import json
import os
import resource
import signal
import subprocess
import time
import urllib.parse

from lib import case, children, main, skip, status, until
from unsealed import UNSEAL, Unsealed, keys, seal

TOKEN = "tok_s3cr3t/+0123456789=&xyz"
PEM = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF
c2hvcnQ0aXNoLWxhc3QtbGluZQ==
-----END PRIVATE KEY-----
"""


# --- the session -----------------------------------------------------------------------------

@case
def the_session_gets_the_secrets_and_its_status_comes_back():
    u = Unsealed({"TOKEN": TOKEN, "PEM": PEM, "EMPTY": ""},
                 'printf %s "$TOKEN" | md5sum > got; printf %s "$PEM" | md5sum >> got;'
                 'echo "$PLAIN ${EMPTY-unset}" >> got; exit 7', env={"PLAIN": "plain"}).wait()
    assert u.code == 0 and os.WEXITSTATUS(u.ended) == 7, (u.code, u.ended, u.err)
    with open(u.root + "/got") as f:
        got = f.read().split("\n")
    for i, value in enumerate((TOKEN, PEM)):
        want = subprocess.run(["md5sum"], input=value.encode(), capture_output=True).stdout
        assert got[i] == want.decode().strip(), (got, want)
    assert got[2] == "plain ", got


@case
def dotenv_is_read_as_well():
    u = Unsealed(b"# mine\nA='x y'\nexport B=\"1\\n2\"\n", 'echo "$A|$B"').wait()
    assert u.output == "x y|1\n2\n", (u.output, u.err)


@case
def a_signal_ends_the_session_and_not_us():
    u = Unsealed({"TOKEN": TOKEN}, "trap 'echo got it; exit 3' TERM; echo up; sleep 30 & wait")
    until(lambda: b"up" in u._raw, "the session is up")
    u.process.send_signal(signal.SIGTERM)
    u.wait()
    assert u.code == 0 and os.WEXITSTATUS(u.ended) == 3 and "got it" in u.output, vars(u)


@case
def a_stop_and_a_continue_change_nothing():
    u = Unsealed({"TOKEN": TOKEN}, "echo up; sleep 1; echo $TOKEN; exit 4")
    until(lambda: b"up" in u._raw, "the session is up")
    for _ in range(3):
        u.process.send_signal(signal.SIGSTOP)
        until(lambda: status(u.process.pid)["State"].startswith("T"), "stopped")
        u.process.send_signal(signal.SIGCONT)
    u.wait()
    assert u.code == 0 and os.WEXITSTATUS(u.ended) == 4 and u.output == "up\n***\n", vars(u)


@case
def a_session_that_ignores_it_is_killed_in_time():
    u = Unsealed({"TOKEN": TOKEN}, "trap '' TERM; echo up; while :; do sleep 1; done")
    until(lambda: b"up" in u._raw, "the session is up")
    u.process.send_signal(signal.SIGTERM)
    u.wait()
    assert u.code == 0 and os.WIFSIGNALED(u.ended) and os.WTERMSIG(u.ended) == 9, vars(u)


@case
def what_cannot_be_started_says_so():
    u = Unsealed({"TOKEN": TOKEN}, ["no-such-program-here"]).wait()
    assert os.WEXITSTATUS(u.ended) == 127 and "no-such-program-here" in u.output, vars(u)


@case
def the_session_leaves_no_core_and_has_only_its_descriptors():
    u = Unsealed({"TOKEN": TOKEN}, "ulimit -c; ls /proc/$$/fd | tr '\\n' ' '; readlink "
                 "/proc/$$/fd/0; grep Seccomp: /proc/self/status; tr '\\0' '\\n' "
                 "< /proc/$$/environ | grep -c TOKEN=").wait()
    lines = u.output.split("\n")
    assert lines[0] == "0" and lines[1].startswith("0 1 2 "), u.output
    assert "/dev/null" in lines[1] and lines[2].split() == ["Seccomp:", "0"], u.output
    assert lines[3] == "1", u.output


@case
def nobody_may_look_into_us():
    u = Unsealed({"TOKEN": TOKEN}, "echo up; sleep 20")
    until(lambda: b"up" in u._raw, "the session is up")
    s = status(u.process.pid)
    assert s["Seccomp"] == "2" and s["NoNewPrivs"] == "1", s
    assert int(s["CapEff"], 16) & ~0x802e == 0, s["CapEff"]
    assert os.stat("/proc/%d/environ" % u.process.pid).st_uid == 0
    got = subprocess.run(["setpriv", "--reuid", "0", "--bounding-set", "-all", "--inh-caps",
                          "-all", "cat", "/proc/%d/environ" % u.process.pid],
                         capture_output=True)
    assert got.returncode != 0, "environ of a process that is not dumpable"
    u.process.send_signal(signal.SIGTERM)
    u.wait()


# --- masking ---------------------------------------------------------------------------------

@case
def everything_that_is_printed_is_masked():
    script = """
        echo "raw $TOKEN."
        printf %s "$TOKEN" | base64
        printf 'user:%s' "$TOKEN" | base64 -w0; echo
        printf 'u:%s' "$TOKEN" | base64 -w0; echo
        printf %s "$TOKEN" | od -An -tx1 | tr -d ' \\n'; echo
        echo "$PEM"
        echo "err $TOKEN" >&2
        python3 - <<'END'
import json, os, urllib.parse
t = os.environ["TOKEN"]; p = os.environ["PEM"]
print(urllib.parse.quote(t, safe=""))
print(json.dumps({"t": t, "p": p}))
END
    """
    u = Unsealed({"TOKEN": TOKEN, "PEM": PEM}, script).wait()
    assert u.code == 0, u.err
    forms = [TOKEN, base64.b64encode(TOKEN.encode()).decode()[:-3], TOKEN.encode().hex(),
             urllib.parse.quote(TOKEN, safe=""), json.dumps(PEM)[40:-40],
             PEM.split("\n")[1], PEM.split("\n")[2],
             base64.b64encode(b"user:" + TOKEN.encode()).decode()[10:-4],
             base64.b64encode(b"u:" + TOKEN.encode()).decode()[10:-4]]
    for form in forms:
        assert form not in u.output, (form, u.output)
    lines = u.output.split("\n")
    assert lines[0] == "raw ***." and "err ***" in lines, u.output
    assert "-----BEGIN PRIVATE KEY-----" in lines, u.output
    everything = u.err + u.output + json.dumps(u.events)
    assert TOKEN not in everything


@case
def a_secret_in_single_bytes_is_masked_and_output_is_live():
    script = """
        python3 -c '
import os, time
for c in "a " + os.environ["TOKEN"] + " b\\n":
    os.write(1, c.encode())
'
        echo dot; sleep 1; echo end"""
    u = Unsealed({"TOKEN": TOKEN}, script)
    until(lambda: b"dot\n" in u._raw, "the dot")
    assert b"end" not in u._raw, "output was held back"
    u.wait()
    assert u.output == "a *** b\ndot\nend\n", u.output


@case
def a_prompt_is_shown_though_it_may_begin_a_secret():
    u = Unsealed({"TOKEN": TOKEN}, "printf tok_; sleep 1; echo x; printf %s ${TOKEN:0:20}; sleep 1")
    until(lambda: b"tok_" in u._raw, "the prompt", 0.9)
    u.wait()
    assert u.output == "tok_x\n***", u.output


@case
def much_output_keeps_its_bytes():
    u = Unsealed({"TOKEN": TOKEN}, "seq 1 400000; echo $TOKEN").wait()
    want = "".join("%d\n" % i for i in range(1, 400001)) + "***\n"
    assert u.output == want, (len(u.output), len(want))


@case
def the_line_that_failed_is_masked_and_its_file_is_gone():
    u = Unsealed({"TOKEN": TOKEN}, 'echo "3 curl -H $TOKEN" > line; exit 1',
                 options=["--line-file", "line"]).wait()
    assert u.code == 0 and u.line == "3 curl -H ***", (u.line, u.err)
    assert not os.path.exists(u.root + "/line")


@case
def short_and_common_values_are_told_of():
    u = Unsealed({"PIN": "1234", "MODE": "production", "TOKEN": TOKEN},
                 "echo 1234 production").wait()
    assert u.output == "1234 production\n", u.output
    assert "PIN is too short" in u.err and "MODE is too short or too common" in u.err, u.err


# --- names -----------------------------------------------------------------------------------

@case
def names_that_run_something_are_refused_by_name():
    for name in ("LD_PRELOAD", "BASH_ENV", "PATH", "GIT_SSH_COMMAND", "ENV", "IFS"):
        Unsealed({"A": "x" * 9, name: "/tmp/x"}).refused(78, name, "line 1")


@case
def names_outside_of_the_list_are_refused():
    Unsealed({"A": TOKEN, "B": "2"}, options=["--name", "A"]).refused(78, "B is not in")
    u = Unsealed({"A": TOKEN}, "true", options=["--name", "B", "--name", "A"]).wait()
    assert u.code == 0, u.err


@case
def content_that_is_none_is_refused_without_showing_it():
    for content in (b"hunter2hunter2", b"{\"A\": 17}", b"{\"A\": \"hunter2hunter2\"", b"A='hunter2",
                    b"{\"A\":\"x\\u0000y\"}", b"A=hunter2\nA=2"):
        u = Unsealed(content).refused(78, "line")
        assert "hunter2" not in u.err, u.err


@case
def many_and_long_secrets_are_masked_as_well():
    many = {"T%d" % i: base64.b64encode(os.urandom(30)).decode() for i in range(1000)}
    u = Unsealed(many, "echo $T0 $T500 $T999 | tee ../got").wait()
    assert u.code == 0 and u.output == "*** *** ***\n", (u.output[:300], u.err)
    with open(u.dir + "/got") as f:
        assert f.read().split() == [many["T0"], many["T500"], many["T999"]]
    value = base64.b64encode(os.urandom(90000)).decode()
    u = Unsealed({"A": value}, "printf '%s\n' \"$A\"; printf %s \"$A\" | base64").wait()
    assert u.code == 0 and u.output.startswith("***\n"), (u.code, u.output[:300], u.err)
    assert len(u.output) < 10000, len(u.output)
    Unsealed({"LONG": value * 2}).refused(78, "LONG is longer")


@case
def the_digest_pins_the_file():
    identity, recipient = keys()
    sealed = seal(b'{"A":"12345678"}', recipient)
    import hashlib
    digest = hashlib.sha256(sealed).hexdigest()
    u = Unsealed({}, "true", ["--sha256", digest.upper()], key=identity, sealed=sealed).wait()
    assert u.code == 0, u.err
    Unsealed({}, "true", ["--sha256", "0" * 64], key=identity,
             sealed=sealed).refused(78, "digest", digest)


# --- inject ----------------------------------------------------------------------------------

@case
def what_a_rule_injects_goes_to_the_proxy_and_not_to_setup():
    u = Unsealed({"GH": TOKEN, "NPM": "npm_0123456789", "BOTH": "both-0123456789"},
                 "env | grep -E '^(GH|NPM|BOTH)=' | sort > ../got; echo '%s'" % TOKEN, proxy=True,
                 options=["--inject", "GH,BOTH", "--withhold", "GH"]).wait()
    assert u.code == 0, u.err
    assert u.given == {"GH": TOKEN.encode(), "BOTH": b"both-0123456789"}, u.given
    with open(u.dir + "/got") as f:
        assert f.read() == "BOTH=both-0123456789\nGH=injected-by-airlock\n" \
                           "NPM=npm_0123456789\n"
    assert u.output == "***\n", "what goes to the proxy is masked, too: " + u.output
    assert u.placeholders == "GH=injected-by-airlock\nBOTH=injected-by-airlock\n"


@case
def a_rule_for_a_secret_that_is_not_there_is_refused():
    Unsealed({"A": TOKEN}, options=["--inject", "B"], proxy=True).refused(78, "no B in it")


@case
def a_proxy_that_is_gone_ends_it():
    u = Unsealed({"A": TOKEN}, options=["--inject", "A"], proxy=True)
    u.proxy.close()
    u.proxy = None
    u.refused(75, "airlock-proxy")


# --- keys ------------------------------------------------------------------------------------

@case
def a_key_comes_by_fifo_file_and_descriptor():
    identity, recipient = keys()
    sealed = seal(json.dumps({"A": TOKEN}).encode(), recipient)
    u = Unsealed({}, "echo $A", ["--key-from", "fd:0"], key=False, sealed=sealed)
    u.wait()
    assert u.code == 2 and "--key-from" in u.err, u.err
    directory = subprocess.run(["mktemp", "-d", "/dev/shm/airlock-XXXXXX"], capture_output=True,
                               check=True).stdout.decode().strip()
    try:
        with open(directory + "/key", "wb") as f:
            f.write(identity)
        u = Unsealed({}, "echo $A", ["--key-from", "file:" + directory + "/key"], key=False,
                     sealed=sealed).wait()
        assert u.code == 0 and u.output == "***\n", u.err
        assert not os.path.exists(directory + "/key"), "the key stays"
    finally:
        subprocess.run(["rm", "-rf", directory], check=True)


@case
def a_key_in_a_variable_is_warned_about_and_gone():
    identity, recipient = keys()
    key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
    u = Unsealed({}, "env | grep -c AGE-SECRET; echo up; sleep 10", ["--key-from", "env:MYKEY"],
                 key=False, env={"MYKEY": key},
                 sealed=seal(json.dumps({"A": TOKEN}).encode(), recipient))
    until(lambda: b"up" in u._raw, "the session is up")
    with open("/proc/%d/environ" % u.process.pid, "rb") as f:
        assert key.encode() not in f.read()
    u.process.send_signal(signal.SIGTERM)
    u.wait()
    assert u.output.startswith("0\n") and "MYKEY" in u.err and "warning" in u.err, (u.output, u.err)


@case
def a_key_is_never_an_argument():
    identity, _ = keys()
    key = [l for l in identity.decode().split("\n") if l.startswith("AGE-SECRET")][0]
    u = Unsealed({"A": TOKEN}, options=["--key-from", key]).wait()
    assert u.code == 2 and key not in u.err, u.err


# --- faults ----------------------------------------------------------------------------------

@case
def a_wrong_key_is_one_line():
    Unsealed({"A": TOKEN}, key=keys()[0]).refused(78, "not sealed for this key")
    Unsealed({"A": TOKEN}, key=b"").refused(78, "no key")
    Unsealed({"A": TOKEN}, key=b"AGE-SECRET-KEY-1XX\n").refused(78, "key")


@case
def a_key_that_never_comes_is_75():
    u = Unsealed({"A": TOKEN}, key=False, options=["--key-timeout-ms", "300"])
    began = time.monotonic()
    u.refused(75, "in time")
    assert time.monotonic() - began < 10


@case
def a_cut_or_changed_file_is_78():
    identity, recipient = keys()
    sealed = seal(json.dumps({"A": TOKEN}).encode(), recipient)
    for n in (0, 10, len(sealed) // 2, len(sealed) - 1):
        Unsealed({}, key=identity, sealed=sealed[:n]).refused(78)
    for at in range(3, len(sealed), 37):
        changed = sealed[:at] + bytes([sealed[at] ^ 4]) + sealed[at + 1:]
        Unsealed({}, key=identity, sealed=changed).refused(78)
    Unsealed({}, key=identity, sealed=b"\0" * 1700000).refused(78, "too large")


@case
def a_file_that_is_not_there_is_78():
    u = Unsealed({}, options=["--unlink-sealed"])
    u.wait()
    assert u.code == 0 and not os.path.exists(u.sealed)
    process = subprocess.run([UNSEAL, "--sealed", u.sealed, "--control", "0"],
                             stdin=subprocess.DEVNULL, capture_output=True)
    assert process.returncode == 78 and process.stderr.count(b"\n") == 1, process.stderr


@case
def killed_at_any_step_nothing_remains():
    # Until the session, while it runs, and before the scan.
    for when in ("start", "session", "scan"):
        u = Unsealed({"A": TOKEN}, "echo up; sleep 20", key=False if when == "start" else None)
        if when == "start":
            time.sleep(0.2)
        else:
            until(lambda: b"up" in u._raw, "the session is up")
        session = children(u.process.pid)
        if when == "scan":
            os.killpg(session[0], signal.SIGKILL)
            u.until_ended()
        u.process.kill()
        u.finish()
        assert u.code == 137 and TOKEN not in u.output + u.err
        for pid in session:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


@case
def without_locked_memory_it_depends_on_swap():
    def limit():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    if not os.getuid() and subprocess.run(["setpriv", "--version"], capture_output=True).returncode:
        skip("no setpriv")
    u = Unsealed({"A": TOKEN}, "echo $A", wrap=["setpriv", "--bounding-set", "-ipc_lock",
                 "--inh-caps", "-all"], popen={"preexec_fn": limit}).wait()
    with open("/proc/swaps") as f:
        swap = len(f.readlines()) > 1
    if swap:
        assert u.code == 75 and "swaps" in u.err, u.err
    else:
        assert u.code == 0 and u.output == "***\n", u.err
        assert u.event("secrets")[0]["memory"] == "ordinary", u.events


@case
def a_full_disk_costs_the_journal_alone():
    u = Unsealed({"A": TOKEN}, "echo $A", journal="/dev/full").wait()
    assert u.code == 0 and u.output == "***\n", u.err
    assert "the journal could not be written" in u.err and TOKEN not in u.err, u.err


@case
def pid_1_that_is_gone_ends_it():
    u = Unsealed({"A": TOKEN}, "echo up; sleep 20")
    until(lambda: b"up" in u._raw, "the session is up")
    session = children(u.process.pid)
    u.control.close()
    u.finish()
    assert u.code == 75 and "PID 1" in u.err, (u.code, u.err)
    until(lambda: not os.path.exists("/proc/%d" % session[0]), "the session is dead")


@case
def a_scan_that_is_not_asked_for_is_not_done():
    u = Unsealed({"A": TOKEN}, "echo $A > leaked")
    u.until_ended()
    u.control.close()
    u.finish()
    assert u.code == 75 and not u.event("leak"), (u.code, u.err)


main()
