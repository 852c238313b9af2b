#!/usr/bin/python3
"""The built-in loop in a sealed task: it alone reaches the model, and nobody reaches it."""
import os
import shutil
import subprocess

import lib
from lib import case, main, skip
from model_box import ATTACK, KEY, Trusted, built_in, elsewhere, outputs
from model_server import Model, call, error, say
from task import Task

LIMITED = {"agent": "limited", "allow": ["example.org"]}


@case
def the_repository_is_changed_with_the_network_off():
    with Model([call("exec_command", cmd="echo two >> a.txt"), say("Added a line.")]) as m:
        r = built_in(m, "add a line").expect(0)
    assert "+two" in r.diff and r.answer.strip() == "Added a line.", (r.diff, r.answer)
    assert "Added a line." in r.stdout
    assert m.requests[0].body["input"][-1]["content"][0]["text"] == "add a line"
    assert "authorization" not in m.requests[0].headers
    types = [e["type"] for e in r.jsonl]
    assert types[0] == "thread.started" and "turn.completed" in types and "airlock.totals" in types
    doors = [(e["door"], e["path"], e["verdict"]) for e in r.event("net") if e["phase"] == "work"]
    assert doors == [("model", "/v1/responses", "allow")] * 2, doors


def attacked(network, lock):
    box, model = elsewhere([])
    with model as m:
        m.script = [call("exec_command", cmd="MODEL=%s python3 attack.py" % m.url[7:-3]), say("done")]
        t = Task()
        t.repo({"attack.py": ATTACK})
        r = built_in(m, task=t, space=box, network=dict(network, lock=lock))
        if r.code == 73:
            skip("lock %s does not hold here" % lock)
        r.expect(0)
        text = "".join(outputs(r))
        assert "tried" in text and "LEAK" not in text, text
        assert "loops 1" in text, text  # it was there to be attacked
        assert len(m.requests) == 2, [x.path for x in m.requests]


@case
def no_command_reaches_the_model_or_the_loop_under_netns():
    attacked({"agent": "off"}, "netns")
    attacked(LIMITED, "netns")


@case
def no_command_reaches_the_model_or_the_loop_under_notify():
    attacked({"agent": "off"}, "notify")
    attacked(LIMITED, "notify")


@case
def no_command_reaches_the_model_or_the_loop_under_netfilter():
    attacked({"agent": "off"}, "netfilter")
    attacked(LIMITED, "netfilter")


@case
def no_command_reaches_the_model_or_the_loop_under_closed():
    attacked({"agent": "off"}, "closed")


@case
def the_loop_has_no_file_no_socket_and_no_program():
    look = r"""
for p in /proc/[0-9]*; do
  [ "$(cat $p/comm)" = airlock-agent ] || [ "$(cat $p/comm)" = exe ] || continue
  grep -E '^(Seccomp|NoNewPrivs|CapEff):' $p/status
done"""
    with Model([call("exec_command", cmd=look), say("ok")]) as m:
        r = built_in(m).expect(0)
    text = outputs(r)[0]
    assert "Seccomp:\t2" in text and "NoNewPrivs:\t1" in text, text
    assert "CapEff:\t0000000000000000" in text, text


@case
def its_failures_are_the_tasks():
    with Model([error(401, "bad key")]) as m:
        r = built_in(m)
    assert r.code == 7 and "bad key" in r.err and r.result["agent"]["exit"] == 7, (r.code, r.result)
    with Model([call("exec_command", cmd="sleep 60", yield_time_ms=30000)]) as m:
        r = built_in(m, agent={"timeout_s": 2})
    assert r.code == 76, r.code
    assert r.jsonl and [e for e in r.jsonl if e["type"] == "turn.failed"], r.jsonl


@case
def limits_come_from_the_spec():
    with Model([call("exec_command", cmd="echo %d" % n) for n in range(9)]) as m:
        r = built_in(m, model={"max_requests": 2, "wire": "chat", "effort": "low"})
    assert r.code == 5 and len(m.requests) == 2, (r.code, len(m.requests))
    assert m.requests[0].chat and m.requests[0].body["reasoning_effort"] == "low"


@case
def what_makes_no_sense_is_refused_before_anything_starts():
    t = Task()
    t.repo()
    base = t.spec("unused", prompt="p")
    base["agent"].pop("command")

    def refused(word, **model):
        spec = dict(base, model=model) if model else dict(base)
        done = subprocess.run([lib.AIRLOCK, "run", t.write_spec(spec)], capture_output=True, timeout=10)
        text = done.stderr.decode()
        assert done.returncode == 78 and word in text and text.count("\n") == 1, (done.returncode, text)
        check = subprocess.run([lib.AIRLOCK, "check", t.write_spec(spec)], capture_output=True, timeout=10)
        assert check.returncode == 0 and word in check.stdout.decode(), check.stdout
    refused("agent.command: missing")
    refused("model.base_url", name="m")
    refused("model.name", base_url="http://127.0.0.1/v1")
    refused("https://", base_url="http://127.0.0.1/v1", name="m", key="${KEY}")
    refused("model.base_url", base_url="http://u:p@127.0.0.1/v1", name="m")
    base.pop("prompt")
    refused("prompt: missing", base_url="http://127.0.0.1/v1", name="m")


@case
def the_key_is_the_proxys_alone():
    look = "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; cat /proc/*/cmdline"
    t = Trusted([call("exec_command", cmd=look), say("ok")])
    with t.model as m:
        r = built_in(m, model={"key": "${MODEL_KEY}"}, **t.more).expect(0)
    assert [x.headers["authorization"] for x in m.requests] == ["Bearer " + KEY] * 2
    assert "PATH=" in outputs(r)[0] and KEY not in outputs(r)[0]
    for name in os.listdir(t.task.out):
        with open(t.task.out + "/" + name, "rb") as f:
            assert KEY.encode() not in f.read(), name
    assert KEY not in r.err + r.stdout


@case
def a_server_that_is_not_who_it_says_gets_no_key():
    t = Trusted([say("never")])
    shutil.copy(t.task.dir + "/m.pem", t.box + "/etc/ssl/certs/ca-certificates.crt")  # no authority
    with open(t.box + "/etc/ssl/certs/ca-certificates.crt", "w"):
        pass
    with t.model as m:
        r = built_in(m, model={"key": "${MODEL_KEY}"}, **t.more)
    assert r.code in (1, 6) and not m.requests, (r.code, r.err[-500:])
    assert "certificate" in r.err or "authority" in r.err or "tls-upstream" in r.err, r.err[-800:]


@case
def a_command_of_ones_own_gets_the_model_and_nothing_else():
    script = r"""
import urllib.request, urllib.error, sys
def ask(url):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, data=b"{}"), timeout=5).status
    except urllib.error.HTTPError as e:
        return e.code
    except Exception as e:
        return type(e).__name__
print(ask(sys.argv[1] + "/responses"), ask(sys.argv[1][:-3] + "/other"), ask("http://example.org/"))
"""
    box, model = elsewhere([say("hi")])
    with model as m:
        t = Task()
        t.repo({"ask.py": script, ".airlock.json": '{"version":1,"network":{"agent":"off"}}'})
        r = t.run(["python3", "ask.py", m.url], model={"base_url": m.url},
                  wrap=["nsenter", "--net=" + box.path]).expect(0)
    assert r.stdout.split() == ["200", "403", "403"], (r.stdout, r.err[-800:])
    assert len(m.requests) == 1


if __name__ == "__main__":
    main()
