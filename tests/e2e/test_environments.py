#!/usr/bin/python3
"""Where the loop's commands run: here, on exec-servers elsewhere (Codex's own too), or nowhere.

Nothing connects before its first use; in a task the loop alone gets to a remote, by way of the
proxy, and a token for it is the proxy's.
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile

import codex
import nets
from front import Front, certificate
from lib import AIRLOCK, case, main, skip, start, until
from model_box import KEY, Trusted, beyond, elsewhere
from model_server import Model, call, function, items, patch, say
from task import Result, Task, git, put, small_repo

TOKEN = "tok-remote-Jk2Lm9Xw5Rt7"
BROKEN = {"sum.py": "def add(a, b):\n    return a - b\n",
          "test.sh": "grep -q 'a + b' sum.py && echo all is well\n"}
MEND = "*** Begin Patch\n*** Update File: sum.py\n@@\n-    return a - b\n+    return a + b\n*** End Patch\n"

_home = tempfile.mkdtemp(prefix="airlock-places-")
ENV = {"PATH": "/usr/bin:/bin", "HOME": _home, "LANG": "C.UTF-8"}


def repo(files=None):
    return small_repo(_home, files or {"a.txt": "one\n"})


def agent(model, *options, env=None, where=None, code=0):
    """`airlock agent` outside a task; its events."""
    p = start([AIRLOCK, "agent", "--base-url", model.url, "-m", "m", "--json", *options, "do it"],
              cwd=where or repo(), stdin=subprocess.DEVNULL, env=dict(ENV, **(env or {})))
    out, err = p.communicate(timeout=18)
    assert p.returncode == code, (p.returncode, out[-1500:], err[-1500:])
    return err.decode()


def exec_server(where, program=AIRLOCK):
    """(address, argv for stdio) of a new one, airlock's or Codex's, that works in @where."""
    argv = [program, "exec-server", "--listen"]
    p = start(argv + ["ws://127.0.0.1:0"], cwd=where, env=ENV)
    return p.stdout.readline().decode().strip(), argv + ["stdio"]


def read(path):
    with open(path) as f:
        return f.read()


# --- elsewhere, outside a task --------------------------------------------------------------------


def repairs(server_program):
    """The loop repairs a repository that is on another server: by a URL, and by a program."""
    for how in ("url", "program"):
        there = repo(BROKEN)
        url, stdio = exec_server(there, server_program)
        front = Front(url)
        before = []
        place = {"id": "there", "url": front.url} if how == "url" else \
            {"id": "there", "program": stdio[0], "args": stdio[1:], "cwd": there}

        def first(request):
            before.append(front.connections)
            return call("exec_command", "c1", cmd="cat sum.py; sh test.sh", workdir=there)(request)
        with Model([first, items(patch(MEND, "c2")), call("exec_command", "c3", cmd="sh test.sh"),
                    say("mended")]) as m:
            agent(m, "--environments", json.dumps({"include_local": False, "default": "there",
                                                   "environments": [place]}))
        out = m.requests[-1].outputs()
        assert "return a - b" in out["c1"] and "Success" in out["c2"] and "all is well" in out["c3"], out
        assert "return a + b" in read(there + "/sum.py")
        assert before == [0] and front.connections == (how == "url"), (before, front.connections)


@case
def the_loop_repairs_a_repository_on_airlock_s_server():
    repairs(AIRLOCK)


@case
def the_loop_repairs_a_repository_on_codex_s_server():
    repairs(codex.program())


@case
def with_several_a_call_says_where():
    there = repo({"a.txt": "far\n"})
    url, _ = exec_server(there, codex.program())
    front, idle = Front(url), Front(url)
    listing = {"environments": [{"id": "far", "url": front.url}, {"id": "idle", "url": idle.url}]}
    with Model([items(function("exec_command", "c1", cmd="cat a.txt"),
                      function("exec_command", "c2", cmd="cat a.txt", environment_id="far")),
                say("ok")]) as m:
        agent(m, "--environments", json.dumps(listing))
    out = m.requests[1].outputs()
    assert out["c1"].endswith("\none\n") and out["c2"].endswith("\nfar\n"), out
    assert (front.connections, idle.connections) == (1, 0)
    tool = [t for t in m.requests[0].body["tools"] if t["name"] == "exec_command"][0]
    assert tool["parameters"]["properties"]["environment_id"]["enum"] == ["local", "far", "idle"]


@case
def an_answer_in_pieces_is_a_handshake_too():
    url, _ = exec_server(repo())
    front = Front(url)

    def piecemeal(a, b):
        try:
            while data := a.recv(64):
                for byte in data[:200]:
                    b.sendall(bytes([byte]))
                b.sendall(data[200:])
        except OSError:
            pass
    front.pump = piecemeal
    done = subprocess.run([AIRLOCK, "exec-client", "-n", front.url, "--", "echo", "hi"], timeout=15,
                          capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"hi\n"), done


@case
def a_program_starts_when_it_is_used_and_ends_with_the_loop():
    d = tempfile.mkdtemp(dir=_home)
    deaf = "trap '' TERM; echo $$ > %s/pid; sleep 1000 & echo $! >> %s/pid; wait; wait" % (d, d)
    listing = json.dumps({"environments": [{"id": "deaf", "program": "sh", "args": ["-c", deaf],
                                            "initialize_timeout_sec": 1}]})
    with Model([say("ok")]) as m:
        agent(m, "--environments", listing)
    assert not os.path.exists(d + "/pid")
    look = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = airlock-agent ] && " \
           "echo $(grep Seccomp: $p/status) $(ls $p/fd | wc -l); done 2>/dev/null; true"
    with Model([call("exec_command", "c1", cmd="id", environment_id="deaf"),
                call("exec_command", "c2", cmd=look), say("ok")]) as m:
        agent(m, "--environments", listing)
    out = m.requests[2].outputs()
    assert "environment `deaf` is unavailable" in out["c1"] and "Seccomp: 2" in out["c2"], out
    pids = read(d + "/pid").split()
    assert len(pids) == 2
    until(lambda: not any(os.path.exists("/proc/" + pid) for pid in pids), "the program's end")
    listing = json.dumps({"include_local": False, "default": "no", "environments": [
        {"id": "no", "program": "no-such-program"}]})
    with Model([call("exec_command", "c1", cmd="id"), say("ok")]) as m:
        assert "no-such-program: No such file" in agent(m, "--environments", listing)
    assert "environment `no` is unavailable" in m.requests[1].outputs()["c1"]


# --- TLS --------------------------------------------------------------------------------------------


def client(url, *options, code=0, env=None):
    p = start([AIRLOCK, "exec-client", "-n", *options, url, "--", "echo", "hi"],
              env=dict(ENV, **(env or {})))
    out, err = p.communicate(timeout=15)
    assert p.returncode == code, (p.returncode, out, err)
    assert out == (b"" if code else b"hi\n"), out
    return err.decode()


@case
def wss_is_checked_and_a_token_goes_along():
    d = tempfile.mkdtemp(dir=_home)
    ca, *good = certificate(d, "IP:127.0.0.1")
    url, _ = exec_server(repo())
    front = Front(url, tls=good)
    put(d + "/token", TOKEN + "\n")
    client(front.url + "/?x=1", "--ca-bundle", ca, "--token-file", d + "/token")
    assert front.heads[0].startswith("GET /?x=1 HTTP/1.1\r\n"), front.heads
    assert "Authorization: Bearer %s\r\n" % TOKEN in front.heads[0], front.heads
    assert "authority" in client(front.url, code=75)
    _, *other = certificate(d, "DNS:other.test", name="other")
    assert "another name" in client(Front(url, tls=other).url, "--ca-bundle", ca, code=75)
    _, *old = certificate(d, "IP:127.0.0.1", days=-1, name="old")
    assert "not valid today" in client(Front(url, tls=old).url, "--ca-bundle", ca, code=75)
    assert "TLS" in client(url.replace("ws:", "wss:"), code=75)  # a server that speaks none
    assert "refused" in client("wss://127.0.0.1:1", code=75)
    assert "the URL is not wss" in client(url, "--ca-bundle", ca, code=2)
    assert len(front.heads) == 1


@case
def a_connection_that_breaks_under_tls_is_made_again():
    d = tempfile.mkdtemp(dir=_home)
    ca, *good = certificate(d, "IP:127.0.0.1")
    url, _ = exec_server(repo())
    front = Front(url, tls=good, cut_s=0.7)
    p = start([AIRLOCK, "exec-client", "-n", "--ca-bundle", ca, front.url, "--", "sh", "-c",
               "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done"], env=ENV)
    out, err = p.communicate(timeout=15)
    assert p.returncode == 0 and out == b"1\n2\n3\n4\n5\n6\n", (p.returncode, out, err)
    assert len(front.heads) == 2, front.heads


@case
def the_loop_reaches_a_wss_server_and_stays_sealed():
    d = tempfile.mkdtemp(dir=_home)
    ca, *good = certificate(d, "IP:127.0.0.1")
    there = repo({"a.txt": "far\n"})
    front = Front(exec_server(there)[0], tls=good)
    look = "cat a.txt; for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = airlock-agent ] && " \
           "tr '\\0' ' ' < $p/cmdline && grep Seccomp: $p/status; done 2>/dev/null; true"
    with Model([call("exec_command", "c1", cmd=look), say("ok")]) as m:
        agent(m, "--ca-bundle", ca, env={"CODEX_EXEC_SERVER_URL": front.url})
    out = m.requests[1].outputs()["c1"]
    assert "\nfar\n" in out and "Seccomp:\t2" in out, out
    with Model([call("exec_command", "c1", cmd="id"), say("ok")]) as m:  # an authority nobody named
        agent(m, env={"CODEX_EXEC_SERVER_URL": front.url})
    assert "environment `remote` is unavailable" in m.requests[1].outputs()["c1"]
    assert "authority" in m.requests[1].outputs()["c1"], m.requests[1].outputs()


class ByName:
    """The same server under a name that leads to this machine."""

    def __init__(self, model):
        self.url = model.url.replace("127.0.0.1", "localhost")


@case
def a_name_may_lead_to_a_private_network():
    d = tempfile.mkdtemp(dir=_home)
    ca, *good = certificate(d, "DNS:localhost")
    there = repo({"a.txt": "far\n"})
    front = Front(exec_server(there)[0], tls=good)
    url = front.url.replace("127.0.0.1", "localhost")
    with Model([call("exec_command", "c1", cmd="cat a.txt"), say("ok")]) as m:
        agent(ByName(m), "--ca-bundle", ca, env={"CODEX_EXEC_SERVER_URL": url})
    assert m.requests[1].outputs()["c1"].endswith("\nfar\n"), m.requests[1].outputs()
    near = Front(exec_server(there)[0])
    url = near.url.replace("127.0.0.1", "localhost")
    with Model([call("exec_command", "c1", cmd="cat a.txt"), say("ok")]) as m:
        task(ByName(m), {"default": "near", "environments": [{"id": "near", "url": url}]}).expect(0)
    assert m.requests[1].outputs()["c1"].endswith("\nfar\n"), m.requests[1].outputs()


@case
def a_websocket_that_is_open_when_the_proxy_ends_is_in_its_journal():
    d = tempfile.mkdtemp(dir=_home)
    ca, *good = certificate(d, "IP:127.0.0.1")
    front = Front(exec_server(repo())[0], tls=good)
    with socket.create_server(("127.0.0.1", 0)) as s:
        door = s.getsockname()[1]
    put(d + "/rules", "rule host=127.0.0.1 ports=%d methods=GET,POST name=place\n" % front.port)
    p = start([os.path.dirname(AIRLOCK) + "/airlock-proxy", "--listen", "127.0.0.1:%d" % door, "--rules",
               d + "/rules", "--ca-bundle", ca, "--journal", d + "/journal"], stderr=subprocess.STDOUT)
    assert b"listening" in p.stdout.readline()
    with socket.create_connection(("127.0.0.1", door)) as s:
        for head in ("CONNECT 127.0.0.1:%d HTTP/1.1\r\nX-Airlock-TLS: yes" % front.port,
                     "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="):
            s.sendall(("%s\r\nHost: 127.0.0.1:%d\r\n\r\n" % (head, front.port)).encode())
            said = s.recv(4096)
        assert said.startswith(b"HTTP/1.1 101"), said
        p.terminate()
        p.wait(timeout=10)
    lines = [json.loads(line) for line in read(d + "/journal").splitlines()]
    assert [e for e in lines if e.get("rule") == "place" and e.get("status") == 101 and
            e["verdict"] == "allow"], lines


# --- in a task ------------------------------------------------------------------------------------


def task(server, places, t=None, space=None, box=None, key=None, **more):
    t = t or Task()
    if not os.path.isdir(t.url) and "repo" not in more:
        t.repo()
    spec = t.spec("unused", prompt="do it", **more)
    spec["model"] = dict({"base_url": server.url, "name": "m"}, **more.get("model", {}))
    spec["agent"] = {"environments": places} if places is not None else {}
    p = start((["nsenter", "--net=" + space.path] if space else []) +
              [AIRLOCK, "run", *(["--box", box] if box else []), t.write_spec(spec)])
    out, err = p.communicate(key, timeout=18)
    r = Result(t.out, p.returncode, out, err)
    r.jsonl = [json.loads(line) for line in r.file("agent.jsonl").splitlines()]
    return r


def ways(r):
    return {(e["door"], e.get("rule"), e.get("port"), e["verdict"]) for e in r.event("net")
            if e["phase"] == "work"}


KNOCK = "python3 -c \"import socket; s = socket.create_connection(('%s', %d), 3); " \
        "s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print('LEAK' if b'HTTP' in s.recv(99) else 'no')\""


def far_task(lock, agent_net="off"):
    there = repo({"a.txt": "far\n"})
    space, model = elsewhere([])
    front = beyond(space, lambda: Front(exec_server(there)[0], host=nets.NEAR4))
    before = []

    def first(request):
        before.append(front.connections)
        return call("exec_command", "c1", cmd="cat a.txt; echo more >> a.txt")(request)
    model.script = [first, call("exec_command", "c2", environment_id="local",
                                cmd=KNOCK % (nets.NEAR4, front.port)), say("ok")]
    with model as m:
        r = task(m, {"default": "far", "environments": [{"id": "far", "url": front.url}]}, space=space,
                 network={"agent": agent_net, "lock": lock})
    if r.code == 73:
        skip("lock %s does not hold here" % lock)
    r.expect(0)
    out = m.requests[2].outputs()
    assert "\nfar\n" in out["c1"] and read(there + "/a.txt") == "far\nmore\n", out
    assert "Error" in out["c2"] and "LEAK" not in out["c2"], out["c2"]
    assert before == [0] and front.connections == 1, (before, front.connections)
    assert ("model", "far", front.port, "allow") in ways(r), ways(r)
    return r


@case
def in_a_task_the_loop_alone_gets_there_under_netns():
    far_task("netns")
    far_task("netns", "limited")


@case
def in_a_task_the_loop_alone_gets_there_under_notify():
    far_task("notify")


@case
def in_a_task_the_loop_alone_gets_there_under_netfilter():
    far_task("netfilter")


@case
def in_a_task_the_loop_alone_gets_there_under_closed():
    far_task("closed")


@case
def a_token_is_the_proxy_s_and_nobody_reads_it():
    look = "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; echo seen"
    t = Trusted([call("exec_command", "c1", cmd=look, environment_id="local"),
                 call("exec_command", "c2", cmd="echo hello from there"), say("ok")], DEV_TOKEN=TOKEN)
    front = beyond(t.space, lambda: Front(exec_server(repo())[0], tls=t.tls, host=nets.NEAR4))
    with t.model as m:
        r = task(m, {"default": "dev", "environments": [
            {"id": "dev", "url": front.url, "auth_bearer_token": "${DEV_TOKEN}"}]},
            t=t.task, model={"key": "${MODEL_KEY}"}, **{k: v for k, v in t.more.items() if k != "task"})
    r.expect(0)
    out = m.requests[2].outputs()
    assert "seen" in out["c1"] and "--environments" in out["c1"] and front.url in out["c1"], out["c1"]
    assert "hello from there" in out["c2"], out["c2"]
    assert "Authorization: Bearer %s\r\n" % TOKEN in front.heads[0], front.heads
    assert TOKEN not in "".join(x.raw.decode() for x in m.requests) + r.err + r.stdout
    for name in os.listdir(t.task.out):
        with open(t.task.out + "/" + name, "rb") as f:
            assert TOKEN.encode() not in f.read(), name
    assert ("model", "dev", front.port, "allow") in ways(r), ways(r)


@case
def a_program_leads_to_a_server_with_the_agent_s_rights():
    who = "id -u; grep -E '^(CapEff|NoNewPrivs):' /proc/self/status; " \
          "(exec 3<>/dev/tcp/203.0.113.5/80) 2>&1"
    with Model([call("exec_command", "c1", cmd=who), call("exec_command", "c2", cmd="echo two >> a.txt"),
                say("ok")]) as m:
        r = task(m, {"default": "piped", "include_local": False, "environments": [
            {"id": "piped", "program": AIRLOCK, "args": ["exec-server", "--listen", "stdio"],
             "env": {"PROBE": "1"}}]}).expect(0)
    out = m.requests[2].outputs()["c1"]
    assert "CapEff:\t0000000000000000" in out and "NoNewPrivs:\t1" in out, out
    assert "203.0.113.5" in out, out
    assert "+two" in r.diff, (m.requests[2].outputs(), r.diff)


@case
def none_leaves_no_hands_and_setup_cannot_say_where():
    with Model([call("exec_command", "c1", cmd="id"), say("ok")]) as m:
        task(m, {"include_local": False}).expect(0)
    assert [t["name"] for t in m.requests[0].body["tools"]] == ["update_plan"]
    assert m.requests[1].outputs()["c1"] == "unsupported call: exec_command"
    with Model([say("ok")]) as m:  # the operator's variable means what it means to Codex
        task(m, None, env={"CODEX_EXEC_SERVER_URL": " none "}).expect(0)
    assert [t["name"] for t in m.requests[0].body["tools"]] == ["update_plan"]
    with Model([call("exec_command", "c1", cmd="echo here"), say("ok")]) as m:  # and setup's nothing
        task(m, None, setup="echo CODEX_EXEC_SERVER_URL=ws://203.0.113.5:1 >> $AIRLOCK_ENV").expect(0)
    assert "\nhere\n" in m.requests[1].outputs()["c1"], m.requests[1].outputs()


@case
def what_is_wrong_is_said_before_anything_starts():
    t = Task()
    t.repo()
    spec = t.spec("unused", prompt="p", env={"CODEX_EXEC_SERVER_URL": "http://x"})
    spec["model"], spec["agent"] = {"base_url": "http://127.0.0.1:1/v1", "name": "m"}, {}
    done = subprocess.run([AIRLOCK, "run", t.write_spec(spec)], capture_output=True, timeout=10)
    text = done.stderr.decode()
    assert done.returncode == 78 and text.count("\n") == 1, (done.returncode, text)
    assert "env.CODEX_EXEC_SERVER_URL: environment url `http://x` must use ws:// or wss://" in text, text


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(_home, ignore_errors=True)
