#!/usr/bin/python3
"""The real codex exec as a task's agent: sealed, with a model that only the proxy reaches.

Its environment has no key; the proxy sends one. It is started as the spec of README's page
"Agents" starts it, and repairs a repository whose test fails.
"""
import shutil

import lib
import nets
from codex import program
from lib import case, main
from model_box import KEY, Trusted
from model_server import call, say
from task import Result

BROKEN = {"sum.py": "def add(a, b):\n    return a - b\n",
          "test.sh": "grep -q 'a + b' sum.py && echo all is well\n"}
FIX = ("apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: sum.py\n@@\n-    return a - b\n"
       "+    return a + b\n*** End Patch\nEOF\n")
ATTEMPT = ("env; (exec 3<>/dev/tcp/203.0.113.5/80) 2>&1; "
           "curl -sS --max-time 4 -o /dev/null -w '%{http_code}\\n' http://example.org/ 2>&1")


def codex_command(url):
    return ["codex", "exec", "--json", "--dangerously-bypass-approvals-and-sandbox",
            "-c", "model_provider=m", "-m", "scripted",
            "-c", "model_providers.m={name='m', base_url='%s', wire_api='responses'}" % url,
            "the test fails: repair it"]


@case
def codex_repairs_a_repository_through_the_proxy_without_a_key():
    t = Trusted([call("exec_command", cmd="sh test.sh"), call("exec_command", cmd=FIX),
                 call("exec_command", cmd="sh test.sh"), call("exec_command", cmd=ATTEMPT),
                 say("mended")])
    t.task.repo(BROKEN, name="out/broken")
    shutil.copy(program(), t.box + "/usr/bin/codex")
    spec = t.task.spec(codex_command(t.model.url), model={"base_url": t.model.url, "key": "${MODEL_KEY}"},
                       repo={"url": t.task.out + "/broken"}, secrets=t.more["secrets"],
                       env={"HOME": "/workspace", "CODEX_HOME": "/workspace/.codex"},
                       setup="mkdir -p /workspace/.codex")
    with t.model as m:
        p = lib.start(["nsenter", "--net=" + t.space.path, lib.AIRLOCK, "run", "--box", t.box,
                       t.task.write_spec(spec)])
        out, err = p.communicate(t.identity, timeout=90)
    r = Result(t.task.out, p.returncode, out, err).expect(0)
    asked = [x for x in m.requests if x.path == "/v1/responses"]
    assert asked and all(x.headers["authorization"] == "Bearer " + KEY for x in asked)
    assert "+    return a + b" in r.diff, r.diff
    outputs = asked[-1].outputs()
    text = "".join(str(o) for o in outputs.values())
    assert "all is well" in text and KEY not in text, text[-1500:]
    assert KEY not in r.stdout + r.err
    assert "mended" in r.stdout
    allowed = {e["name"] for e in r.event("net") if e["phase"] == "work" and e["verdict"] == "allow"}
    assert allowed == {nets.NEAR4}, allowed


if __name__ == "__main__":
    main()
