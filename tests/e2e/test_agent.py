#!/usr/bin/python3
"""The agent loop outside a task, against a model server that says what a script tells it to.

Every row of "errors and retries" is here, with its message and exit status; the stream in
pieces of random sizes; both wires; the tools; budgets; a signal in the middle.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import model_server as ms
from lib import AIRLOCK, case, main, start, until
from model_server import Model, call, error, function, items, message, patch, say, status, stream
from task import git, put, small_repo

_home = tempfile.mkdtemp(prefix="airlock-agent-")
ENV = {"PATH": "/usr/bin:/bin", "HOME": _home, "LANG": "C.UTF-8"}


class Run:
    def __init__(self, code, out, err, where):
        self.code, self.out, self.err, self.dir = code, out.decode(), err.decode(), where
        self.events = []
        if self.out.startswith("{"):
            self.events = [json.loads(line) for line in self.out.split("\n") if line]

    def types(self):
        """The codex types alone, in order."""
        return [e["type"] for e in self.events if not e["type"].startswith("airlock.")]

    def items(self, kind, how="item.completed"):
        return [e["item"] for e in self.events if e["type"] == how and e["item"]["type"] == kind]

    def own(self, kind):
        return [e for e in self.events if e["type"] == "airlock." + kind]

    def failure(self):
        return self.events[[e["type"] for e in self.events].index("turn.failed")]["error"]["message"]

    def expect(self, code):
        assert self.code == code, (self.code, self.out[-1500:], self.err[-1500:])
        # whatever happened, the stream has one end
        if self.events:
            ends = [t for t in self.types() if t in ("turn.completed", "turn.failed")]
            assert ends == ["turn.completed" if code == 0 else "turn.failed"], ends
        return self


def repo(files=None):
    return small_repo(_home, files or {"a.txt": "one\n"})


def argv(model, *options, json_lines=True):
    url = model if isinstance(model, str) else model.url
    return [AIRLOCK, "agent", "--base-url", url, "-m", "test-model",
            *(["--json"] if json_lines else []), *options]


def agent(model, *options, where=None, prompt="do it", stdin=subprocess.DEVNULL, env=None,
          json_lines=True, seconds=15):
    where = where or repo()
    p = start(argv(model, *options, json_lines=json_lines) + ([prompt] if prompt else []),
              cwd=where, stdin=stdin, env=dict(ENV, **(env or {})))
    out, err = p.communicate(timeout=seconds)
    return Run(p.returncode if p.returncode >= 0 else 128 - p.returncode, out, err, where)


def quick(*script, options=("--retries", "2"), **more):
    """One run of that script; (run, model)."""
    with Model(script, **more) as m:
        return agent(m, *options), m


# --- a turn ----------------------------------------------------------------------------------

@case
def a_turn_runs_what_the_model_asks_for_and_ends_with_its_answer():
    run, m = quick(items(ms.reasoning("Look first."), function("exec_command", "c1", cmd="cat a.txt")),
                   say("It says one."))
    run.expect(0)
    assert run.types() == ["thread.started", "turn.started", "item.completed", "item.started",
                           "item.completed", "item.completed", "turn.completed"], run.types()
    thread = run.events[0]["thread_id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", thread)
    assert run.items("reasoning") == [{"id": "item_0", "type": "reasoning", "text": "Look first."}]
    command = run.items("command_execution")[0]
    assert command["id"] == "item_1" and command["exit_code"] == 0
    assert command["status"] == "completed" and command["aggregated_output"] == "one\n"
    begun = run.items("command_execution", "item.started")[0]
    assert begun["exit_code"] is None and begun["status"] == "in_progress" and begun["id"] == "item_1"
    assert run.items("agent_message")[0]["text"] == "It says one."
    usage = [e for e in run.events if e["type"] == "turn.completed"][0]["usage"]
    assert usage == {"input_tokens": 200, "cached_input_tokens": 128, "output_tokens": 40,
                     "reasoning_output_tokens": 16}, usage

    first, second = m.requests
    assert first.path == "/v1/responses" and first.headers["accept"] == "text/event-stream"
    body = first.body
    assert body["model"] == "test-model" and body["stream"] is True and body["store"] is False
    assert body["prompt_cache_key"] == thread and body["parallel_tool_calls"] is True
    assert body["input"][-1]["content"][0]["text"] == "do it"
    assert "<cwd>%s</cwd>" % run.dir in first.raw.decode()
    # what came before is the same bytes, so that a prefix cache works
    assert second.raw.startswith(first.raw[:-2]), (first.raw[-200:], second.raw[:200])
    again = second.body["input"]
    assert [i["type"] for i in again[-3:]] == ["reasoning", "function_call", "function_call_output"]
    assert not [i for i in again if "id" in i or "status" in i]
    assert again[-3]["encrypted_content"] == "gAAAA"
    output = second.outputs()["c1"]
    assert re.fullmatch(r"Chunk ID: [0-9a-f]{6}\nWall time: \d\.\d{4} seconds\nProcess exited with "
                        r"code 0\nOriginal token count: 1\nOutput:\none\n", output), output


@case
def chat_completions_carries_the_same_turn():
    with Model([items(function("exec_command", "c1", cmd="cat a.txt"),
                      function("exec_command", "c2", cmd="echo two")), say("Done.")]) as m:
        run = agent(m, "--wire", "chat").expect(0)
    assert m.requests[0].path == "/v1/chat/completions"
    messages = m.requests[1].body["messages"]
    assert [x["role"] for x in messages[-4:]] == ["user", "assistant", "tool", "tool"], messages
    assert [c["id"] for c in messages[-3]["tool_calls"]] == ["c1", "c2"]
    assert messages[-3]["content"] is None and messages[0]["role"] == "system"
    assert m.requests[0].body["stream_options"] == {"include_usage": True}
    assert "one\n" in m.requests[1].outputs()["c1"] and "two\n" in m.requests[1].outputs()["c2"]
    usage = [e for e in run.events if e["type"] == "turn.completed"][0]["usage"]
    assert usage["input_tokens"] == 200 and usage["cached_input_tokens"] == 128


@case
def a_server_without_responses_is_spoken_to_in_chat_and_remembered():
    kept = _home + "/kept"
    with Model([call("exec_command", cmd="true"), say("ok")], only="/chat/completions") as m:
        run = agent(m, "--save", kept).expect(0)
        assert [e["wire"] for e in run.own("wire")] == ["chat"]
        assert len(m.requests) == 2 and m.connections == 1, (m.requests, m.connections)
        m.script.append(say("again"))
        m.only = None  # a second probe would be seen now
        agent(m, "--resume", kept).expect(0)
        assert m.requests[2].path == "/v1/chat/completions"
    with Model([say("there")], only="/responses") as other:  # what one speaks says nothing of another
        agent(other, "--resume", kept).expect(0)
        assert other.requests[-1].path == "/v1/responses"


@case
def pieces_of_any_size_give_the_same_history():
    random.seed(int(os.environ.get("SEED", "7")))
    script = [items(ms.reasoning("a \U0001f600 b"), function("exec_command", "c1", cmd="printf 'x\\ny'")),
              say("Done \U0001f680, \u00e4 \u2028 \"q\" \\ end")]
    want = None
    for sizes in [lambda _: 1, lambda _: random.randint(1, 7), lambda _: random.randint(1, 900)]:
        for chat in (False, True):
            with Model([lambda r, s=s: s(r) for s in script], pieces=sizes) as m:
                run = agent(m, "--wire", "chat" if chat else "responses").expect(0)
            got = (run.items("agent_message")[0]["text"],
                   re.sub(r"Chunk ID.*\nWall.*", "", m.requests[1].outputs()["c1"]))
            want = want or got
            assert got == want, (got, want)


@case
def events_with_crlf_comments_and_a_very_large_one():
    big = "x" * (5 << 20)
    events = list(ms.response_events([message(big)]))
    text = ": hello\r\n\r\n" + "".join("event: %s\r\ndata: %s\r\n\r\n: keep-alive\r\n\r\n"
                                       % (e["type"], json.dumps(e)) for e in events)
    answer = ms.head() + ms.chunk(text.encode()) + b"0\r\n\r\n"
    run, _ = quick(answer)
    run.expect(0)
    assert run.items("agent_message")[0]["text"] == big


@case
def a_whole_answer_without_a_stream_is_taken_too():
    whole = {"id": "r", "status": "completed", "output": [message("plain")], "usage": ms.USAGE}
    run, _ = quick(status(200, whole))
    assert run.expect(0).items("agent_message")[0]["text"] == "plain"
    chat = {"choices": [{"message": {"role": "assistant", "content": "chat"},
                         "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    run, _ = quick(status(200, chat), options=("--wire", "chat"))
    assert run.expect(0).items("agent_message")[0]["text"] == "chat"


@case
def items_only_in_the_last_event_count():
    end = {"type": "response.completed", "response": {"output": [message("late")], "usage": None}}
    run, _ = quick(stream({"type": "response.created", "response": {}}, end))
    assert run.expect(0).items("agent_message")[0]["text"] == "late"


# --- errors ----------------------------------------------------------------------------------

def fails(answer, code, words, tries=1, options=("--retries", "2")):
    script = [answer] * tries if not isinstance(answer, list) else answer
    run, m = quick(*script, options=options)
    run.expect(code)
    text = run.failure()
    for word in words if isinstance(words, (list, tuple)) else [words]:
        assert word in text, (word, text)
    assert "\n" not in text
    assert len(m.requests) == tries, (len(m.requests), text)
    return run


@case
def what_is_wrong_for_good_fails_at_once():
    fails(error(400, "bad tool", "invalid_request_error", "invalid_prompt"), 1,
          ["refused the request", "HTTP 400", "bad tool"])
    fails(error(401, "Incorrect API key", name="invalid_api_key"), 7, ["refused the key", "Incorrect"])
    fails(error(403, "Country not supported"), 7, "Country")
    fails(error(404, "The model `x` does not exist", name="model_not_found"), 1, "does not exist")
    fails(error(429, "You exceeded your current quota", name="insufficient_quota"), 8, "quota")
    fails(status(429, {"error": {"type": "usage_limit_reached", "message": "limit", "resets_at": 1799999999}}),
          8, ["limit", "1799999999"])
    fails(status(429, {"error": {"type": "usage_not_included", "message": "plan"}}), 8, "plan")
    fails(error(429, "slow", x_should_retry="false"), 8, "slow")
    fails(status(200, b"<html>hello</html>", kind="text/html"), 11, "OpenAI-compatible")


@case
def what_may_pass_is_tried_again_and_told():
    for code in (408, 409, 500, 502, 503, 504):
        run, m = quick(error(code, "later"), say("ok"))
        run.expect(0)
        assert len(m.requests) == 2 and m.requests[0].raw == m.requests[1].raw
        assert [e["attempt"] for e in run.own("retry")] == [1], run.events
        assert "HTTP %d" % code in [e for e in run.events if e["type"] == "error"][0]["message"]
    fails(status(502, b"<html>Bad Gateway</html>", kind="text/html"), 6, "HTTP 502", tries=3)
    fails(error(503, "busy"), 6, ["HTTP 503", "busy", "after 2 tries"], tries=3)


@case
def the_server_says_how_long_to_wait():
    for answer, low, high in [(error(429, "x", retry_after_ms="300"), .3, .8),
                              (error(429, "x", retry_after="1"), 1, 1.6),
                              (error(429, "Please try again in 400ms."), .4, .9),
                              (error(503, "x", retry_after="0"), 0, .4)]:
        run, m = quick(answer, say("ok"))
        run.expect(0)
        took = m.requests[1].at - m.requests[0].at
        assert low <= took < high, (took, low, high)
    run = fails(error(429, "x", retry_after="86400"), 9, ["rate limit", "86400 s"])
    assert not run.own("retry")


@case
def a_broken_stream_is_asked_for_again_and_leaves_no_trace():
    whole = items(function("exec_command", "c1", cmd="echo ran >> ran"))
    cut = stream({"type": "response.created", "response": {}},
                 {"type": "response.output_item.done", "item": function("exec_command", "c0", cmd="echo no >> ran")},
                 end=False)
    run, m = quick((cut, "close"), whole, say("ok"))
    run.expect(0)
    assert m.requests[0].raw == m.requests[1].raw
    with open(run.dir + "/ran") as f:
        assert f.read() == "ran\n"
    calls = [i["call_id"] for i in m.requests[2].body["input"] if i["type"] == "function_call"]
    assert calls == ["c1"], calls
    # the same when the connection is reset, when it ends well but too early, and when the
    # answer is empty
    for broken in [(cut, "reset"), stream({"type": "response.created", "response": {}}),
                   ms.head(length=0), (b"", "close"), (ms.head()[:40], "close")]:
        run, m = quick(broken, say("ok"))
        run.expect(0)
        assert len(m.requests) == 2, (broken, len(m.requests))
    fails((cut, "close"), 6, "closed before", tries=3)


@case
def errors_inside_a_stream():
    def failed(code, text="m"):
        return stream({"type": "response.failed", "response": {"error": {"code": code, "message": text}}})
    fails(failed("insufficient_quota"), 8, "quota")
    fails(failed("invalid_prompt"), 1, "refused the request")
    fails(failed("cyber_policy"), 1, "refused the request")
    fails(failed("context_length_exceeded"), 10, "too long", tries=2)  # and one try to sum up
    fails(failed("something_new", "odd"), 6, "odd", tries=3)
    fails(stream({"type": "error", "code": "usage_not_included", "message": "m"}), 8, "m")
    fails(stream({"type": "error", "error": {"type": "invalid_prompt", "message": "nested"}}), 1, "nested")
    fails(stream("{not json"), 6, "not JSON", tries=3)
    fails(stream({"type": "response.incomplete", "response": {
        "incomplete_details": {"reason": "max_output_tokens"}}}), 11, "max_output_tokens")
    fails(stream({"error": {"message": "mid", "code": "insufficient_quota"}}), 8, "mid",
          options=("--wire", "chat"))
    fails(stream({"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]}), 11, "length",
          options=("--wire", "chat"))
    run, m = quick(failed("rate_limit_exceeded", "Please try again in 500ms"), say("ok"))
    assert m.requests[1].at - m.requests[0].at >= .5 and run.expect(0)


@case
def an_overloaded_server_gets_few_tries_and_longer_waits():
    overloaded = stream({"type": "response.failed", "response": {"error": {
        "code": "server_is_overloaded", "message": "busy"}}})
    run, m = quick(overloaded, say("ok"))
    run.expect(0)
    assert m.requests[1].at - m.requests[0].at >= 1.7


@case
def nobody_there_is_said_after_every_try():
    run = agent("http://127.0.0.1:1/v1", "--retries", "1").expect(6)
    assert "can't be reached" in run.failure() and "refused" in run.failure(), run.failure()
    run = agent("http://no-such-host.invalid/v1", "--retries", "0").expect(6)
    assert "can't be reached" in run.failure(), run.failure()


@case
def a_conversation_that_is_too_long_is_cut_and_goes_on():
    long = error(400, "too long", name="context_length_exceeded")
    run, m = quick(call("exec_command", "c1", cmd="seq 20000"), long, say("ok"))
    run.expect(0)  # outputs go first
    assert m.requests[2].outputs()["c1"] == "[output removed to save space]"
    assert [e["how"] for e in run.own("compaction")] == ["outputs"]
    run, m = quick(call("exec_command", "c1", cmd="echo a"), long, say("Summary: was here."),
                   say("ok"))
    run.expect(0)
    sent = m.requests[3].body["input"]
    assert not [i for i in sent if i["type"] != "message"], sent
    texts = [i["content"][0]["text"] for i in sent]
    assert texts[-2] == "do it" and "Summary: was here." in texts[-1], texts
    assert "tools" not in m.requests[2].body
    assert run.items("agent_message")[-1]["text"] == "ok"
    fails([call("exec_command", cmd="true"), long, long], 10, "too long", tries=3)


@case
def a_known_window_is_never_filled():
    big = dict(ms.USAGE, total_tokens=9500)
    run, m = quick(items(function("exec_command", "c1", cmd="echo a"), usage=big),
                   say("The hand-over."), say("ok"), options=("--context-window", "10000"))
    run.expect(0)
    assert [e["how"] for e in run.own("compaction")] == ["summary"]
    assert "The hand-over." in m.requests[2].raw.decode()


# --- tools -----------------------------------------------------------------------------------

@case
def every_call_is_answered_once_whatever_it_was():
    broken = dict(function("exec_command", "c2"), arguments="{not json")
    run, m = quick(items(function("no_such_tool", "c1"), broken,
                         function("exec_command", "c3", wrong=1),
                         function("exec_command", "c4", cmd="exit 3")), say("ok"))
    run.expect(0)
    outputs = m.requests[1].outputs()
    order = [i["call_id"] for i in m.requests[1].body["input"] if i["type"] == "function_call_output"]
    assert order == ["c1", "c2", "c3", "c4"], order
    assert outputs["c1"] == "unsupported call: no_such_tool"
    assert "cmd" in outputs["c3"] and outputs["c2"]
    assert "Process exited with code 3" in outputs["c4"]
    assert run.items("command_execution")[0]["status"] == "failed"


@case
def what_a_command_prints_is_utf8_and_cut_in_the_middle():
    run, m = quick(items(function("exec_command", "c1", cmd="printf 'a\\377b\\0c'"),
                         function("exec_command", "c2", cmd="seq 100000", max_output_tokens=50)),
                   say("ok"))
    run.expect(0)
    outputs = m.requests[1].outputs()
    assert outputs["c1"].endswith("Output:\na\ufffdb\0c"), outputs["c1"]
    assert "tokens truncated" in outputs["c2"] and len(outputs["c2"]) < 600
    assert run.items("command_execution")[0]["aggregated_output"] == "a\ufffdb\0c"


@case
def a_session_goes_on_with_write_stdin():
    def third(request):
        assert "Process running with session ID" in request.outputs()["c1"]
        session = int(re.search(r"session ID (\d+)", request.outputs()["c1"]).group(1))
        return items(function("write_stdin", "c2", session_id=session, chars="hello\n"),
                     function("write_stdin", "c3", session_id=session, chars="\x04"),
                     function("write_stdin", "c4", session_id=session),
                     function("write_stdin", "c5", session_id=99))(request)
    run, m = quick(call("exec_command", "c1", cmd="read x; echo got $x; cat", tty=True, yield_time_ms=300),
                   third, say("ok"))
    run.expect(0)
    outputs = m.requests[2].outputs()
    assert "got hello" in outputs["c2"], outputs
    assert "exited with code 0" in outputs["c3"], outputs
    assert "nknown" in outputs["c4"] and "nknown" in outputs["c5"], outputs
    assert len(run.items("command_execution")) == 1


@case
def a_patch_is_applied_and_told_also_inside_a_command():
    text = "*** Begin Patch\n*** Update File: a.txt\n-one\n+two\n*** Add File: new/b.txt\n+b\n*** End Patch\n"
    in_shell = "apply_patch <<'EOF'\n*** Begin Patch\n*** Delete File: a.txt\n*** End Patch\nEOF\n"
    run, m = quick(items(function("apply_patch", "c1", input=text)),
                   items(function("exec_command", "c2", cmd=in_shell),
                         function("apply_patch", "c3", input="*** Begin Patch\n*** Add File: ../out\n+x\n*** End Patch")),
                   say("ok"))
    run.expect(0)
    changes = run.items("file_change")
    assert changes[0]["status"] == "completed"
    assert {(c["path"], c["kind"]) for c in changes[0]["changes"]} == {("a.txt", "update"), ("new/b.txt", "add")}
    assert [c["status"] for c in changes] == ["completed", "completed", "failed"]
    assert m.requests[1].outputs()["c1"].startswith("Success. Updated the following files:\nA new/b.txt\nM a.txt")
    assert os.listdir(run.dir + "/new") == ["b.txt"] and not os.path.exists(run.dir + "/a.txt")
    assert not os.path.exists(os.path.dirname(run.dir) + "/out")


@case
def a_plan_is_a_todo_list_that_ends_with_the_turn():
    steps = [{"step": "look", "status": "in_progress"}, {"step": "mend", "status": "pending"}]
    done = [dict(s, status="completed") for s in steps]
    run, m = quick(call("update_plan", "c1", plan=steps), call("update_plan", "c2", plan=done), say("ok"))
    run.expect(0)
    lists = [(e["type"], [i["completed"] for i in e["item"]["items"]]) for e in run.events
             if e.get("item", {}).get("type") == "todo_list"]
    assert lists == [("item.started", [False, False]), ("item.updated", [True, True]),
                     ("item.completed", [True, True])], lists
    assert m.requests[1].outputs()["c1"] == "Plan updated"


@case
def an_image_goes_to_the_model_as_one():
    png = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
    where = repo({"a.png": png, "b.txt": "no"})
    with Model([items(function("view_image", "c1", path="a.png"), function("view_image", "c2", path="b.txt"),
                      function("view_image", "c3", path="none.png")), say("ok")]) as m:
        agent(m, "--images", where=where).expect(0)
    outputs = m.requests[1].outputs()
    assert outputs["c1"][0]["type"] == "input_image"
    assert outputs["c1"][0]["image_url"].startswith("data:image/png;base64,iVBORw0KGgo")
    assert "not a PNG" in outputs["c2"] and "unable to read" in outputs["c3"]


@case
def the_classic_shell_tool_has_its_own_answer():
    run, m = quick(call("shell", "c1", command=["bash", "-lc", "echo a; exit 2"]),
                   call("shell", "c2", command=["sleep", "9"], timeout_ms=300), say("ok"),
                   options=("--shell-tool",))
    run.expect(0)
    names = {t["name"] for t in m.requests[0].body["tools"]}
    assert "shell" in names and "exec_command" not in names and "write_stdin" not in names
    assert re.fullmatch(r"Exit code: 2\nWall time: \d\.\d seconds\nOutput:\na\n", m.requests[1].outputs()["c1"])
    assert "command timed out after 300 milliseconds" in m.requests[2].outputs()["c2"]
    assert "124" in m.requests[2].outputs()["c2"]


# --- the way there ---------------------------------------------------------------------------

def parent(seen, answer):
    """A proxy that takes CONNECT: notes its head, and connects, or says @answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(a, b):
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)

    def serve():
        while True:
            client, _ = listener.accept()
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            seen.append(head.decode())
            client.sendall(answer)
            if b" 200 " in answer:
                host, port = head.split()[1].decode().rsplit(":", 1)
                server = socket.create_connection((host, int(port)))
                threading.Thread(target=pump, args=(client, server), daemon=True).start()
                threading.Thread(target=pump, args=(server, client), daemon=True).start()
    threading.Thread(target=serve, daemon=True).start()
    return "127.0.0.1:%d" % listener.getsockname()[1]


@case
def a_proxy_in_between_gets_its_credentials():
    seen = []
    address = parent(seen, b"HTTP/1.1 200 OK\r\n\r\n")
    with Model([say("ok"), say("ok"), say("ok")]) as m:
        agent(m, "--upstream", "http://me:pass%3A@" + address).expect(0)
        agent(m, env={"http_proxy": "http://" + address}).expect(0)
        agent(m, env={"http_proxy": "http://" + address, "no_proxy": "x,127.0.0.1"}).expect(0)
    assert len(seen) == 2 and seen[0].startswith("CONNECT 127.0.0.1:"), seen
    assert "Proxy-Authorization: Basic bWU6cGFzczo=" in seen[0] and "Proxy-Auth" not in seen[1], seen
    agent("http://127.0.0.1:9/v1", "--upstream", "http://me:pa%zz@" + address).expect(6)
    assert len(seen) == 2, seen
    no = parent(seen, b"HTTP/1.1 407 Authentication Required\r\nContent-Length: 0\r\n\r\n")
    run = agent("http://127.0.0.1:9/v1", "--upstream", "http://" + no, "--retries", "0").expect(6)
    assert "wants other credentials" in run.failure(), run.failure()


@case
def the_key_leaves_the_environment_and_goes_over_tls_alone():
    new = "openssl req -newkey rsa:2048 -nodes -subj /CN="
    put(_home + "/ext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(new + "ca -x509 -keyout ca.key -out ca.pem -days 3 && " + new + "m -keyout m.key -out m.csr "
                   "&& openssl x509 -req -in m.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out m.pem -days 3 "
                   "-extfile ext", shell=True, cwd=_home, check=True, capture_output=True)
    key = "sk-test-0123456789abcdef"
    look = "env; for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; done 2>/dev/null; echo seen"
    for name, options in [("OPENAI_API_KEY", ()), ("OTHER_KEY", ("--key-env", "OTHER_KEY"))]:
        with Model([call("exec_command", cmd=look, yield_time_ms=9000), say("ok")],
                   tls=(_home + "/m.pem", _home + "/m.key")) as m:
            p = start(["env", "-i", *["%s=%s" % (k, v) for k, v in ENV.items()], "PROBE=1", name + "=" + key,
                       *argv(m, "--ca-bundle", _home + "/ca.pem", *options), "do it"], cwd=repo(),
                      stdin=subprocess.DEVNULL, env={})
            out, err = p.communicate(timeout=18)
        assert p.returncode == 0, (out[-800:], err[-800:])
        assert [r.headers.get("authorization") for r in m.requests] == ["Bearer " + key] * 2
        assert b"seen" in out and b"PROBE=1" in out and key.encode() not in out + err
    with Model([say("ok")]) as m:
        run = agent(m, env={"OPENAI_API_KEY": key})
    assert run.code == 0 and "plain HTTP" in run.err and "authorization" not in m.requests[0].headers
    with Model([say("ok")], tls=(_home + "/m.pem", _home + "/m.key")) as m:  # and not to anybody
        run = agent(m, "--retries", "0", env={"OPENAI_API_KEY": key})
    assert run.code in (1, 6) and not m.requests, run.code


# --- environments ----------------------------------------------------------------------------

def exec_server(where):
    """The address of an exec-server elsewhere."""
    p = start([AIRLOCK, "exec-server", "--listen", "ws://127.0.0.1:0"], cwd=where, env=ENV)
    return p.stdout.readline().decode().strip()


@case
def without_an_environment_there_are_no_hands():
    with Model([call("exec_command", "c1", cmd="id"), say("ok")]) as m:
        run = agent(m, env={"CODEX_EXEC_SERVER_URL": "none"}).expect(0)
    assert [t["name"] for t in m.requests[0].body["tools"]] == ["update_plan"]
    assert m.requests[1].outputs()["c1"] == "unsupported call: exec_command"
    assert "<cwd>" not in m.requests[0].raw.decode() and not run.items("command_execution")


@case
def commands_run_on_a_server_elsewhere():
    where = repo({"there.txt": "far\n"})
    text = "*** Begin Patch\n*** Update File: there.txt\n-far\n+near\n*** End Patch\n"
    with Model([call("exec_command", "c1", cmd="cat there.txt; pwd"),
                call("apply_patch", "c2", input=text), say("ok")]) as m:
        agent(m, env={"CODEX_EXEC_SERVER_URL": exec_server(where)}).expect(0)
    assert m.requests[1].outputs()["c1"].endswith("far\n%s\n" % where), m.requests[1].outputs()
    with open(where + "/there.txt") as f:
        assert f.read() == "near\n"
    with Model([call("exec_command", "c1", cmd="id"), say("ok")]) as m:  # lazily, and no end
        agent(m, env={"CODEX_EXEC_SERVER_URL": "ws://127.0.0.1:1"}).expect(0)
    assert "environment `remote` is unavailable" in m.requests[1].outputs()["c1"]
    with Model([say("ok")]) as m:
        agent(m, env={"CODEX_EXEC_SERVER_URL": "ws://127.0.0.1:1"}).expect(0)


@case
def the_model_chooses_among_several_places():
    far, listing = repo({"a.txt": "far\n"}), _home + "/places.json"
    put(listing, json.dumps({"default": "local", "environments": [
        {"id": "far", "url": exec_server(far)},
        {"id": "piped", "program": AIRLOCK, "args": ["exec-server", "--listen", "stdio"], "cwd": far},
        {"id": "gone", "url": "ws://127.0.0.1:1"}]}))
    def where(n, **more):
        return function("exec_command", "c%d" % n, cmd="cat a.txt", **more)
    with Model([items(where(1), where(2, environment_id="far"), where(3, environment_id="piped"),
                      where(4, environment_id="gone"), where(5, environment_id="nowhere")), say("ok")]) as m:
        agent(m, "--environments", listing).expect(0)
    out = m.requests[1].outputs()
    assert out["c1"].endswith("\none\n") and out["c2"].endswith("\nfar\n") and out["c3"].endswith("\nfar\n"), out
    assert "unavailable" in out["c4"] and "nowhere" in out["c5"], out
    schema = m.requests[0].body["tools"][0]["parameters"]["properties"]["environment_id"]
    assert schema["enum"] == ["local", "far", "piped", "gone"], schema
    for n in ("far", "piped", "gone"):
        assert '<environment id=\\"%s\\"/>' % n in m.requests[0].raw.decode()


# --- what comes out --------------------------------------------------------------------------

@case
def people_read_progress_on_stderr_and_the_answer_on_stdout():
    last = _home + "/last"
    with Model([call("exec_command", cmd="echo hi"), say("The answer.")]) as m:
        run = agent(m, "-o", last, json_lines=False)
    assert run.code == 0 and run.out == "The answer.\n", run.out
    assert "$ " in run.err and "echo hi" in run.err and "\033" not in run.err
    with open(last) as f:
        assert f.read() == "The answer."
    with Model([error(401)]) as m:
        run = agent(m, "-o", last, json_lines=False)
    assert run.code == 7 and run.out == "" and "no answer" in run.err
    assert os.path.getsize(last) == 0
    with Model([say("x")]) as m:
        run = agent(m, "-q", json_lines=False)
    assert run.code == 0 and run.err == "", run.err


@case
def the_answer_fits_the_schema_or_is_asked_for_once_more():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    path = _home + "/schema.json"
    put(path, json.dumps(schema))
    options = ("--output-schema", path)
    run, m = quick(say('{"ok":true}'), options=options)
    run.expect(0)
    form = m.requests[0].body["text"]["format"]
    assert form == {"type": "json_schema", "strict": True, "name": "result", "schema": schema}, form
    run, m = quick(say("Sure!"), say("```json\n{\"ok\": true}\n```"), options=options + ("-o", _home + "/o"))
    run.expect(0)
    with open(_home + "/o") as f:
        assert json.load(f) == {"ok": True}
    run, m = quick(say('{"ok":"yes","more":1}'), say('{"ok":false}'), options=options)
    run.expect(0)
    asked = m.requests[1].body["input"][-1]["content"][0]["text"]
    assert asked.endswith("/ok: string, which it may not be"), asked
    fails([say("no"), say("still no")], 11, "JSON", tries=2, options=options)
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
    fails([items(refusal), items(refusal)], 11, "refused", tries=2, options=options)
    run, m = quick(say('{"ok":true}'), options=options + ("--wire", "chat"))
    assert m.requests[0].body["response_format"]["json_schema"]["schema"] == schema
    run.expect(0)


@case
def a_prompt_comes_from_the_command_line_or_stdin_or_both():
    def sent(prompt, text):
        with Model([say("ok")]) as m:
            p = start(argv(m) + ([prompt] if prompt else []), cwd=repo(), env=ENV)
            p.communicate(text.encode(), timeout=15)
            return m.requests[0].body["input"][-1]["content"][0]["text"] if m.requests else None
    assert sent(None, "from stdin") == "from stdin"
    assert sent("-", "dash") == "dash"
    assert sent("both", "log") == "both\n\n<stdin>\nlog\n</stdin>"
    assert sent(None, "") is None


@case
def a_wrong_command_line_is_said_in_one_line():
    def bad(*words, code=2, where=None):
        p = subprocess.run([AIRLOCK, "agent", *words], cwd=where or repo(), env=ENV,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
        lines = p.stderr.decode().splitlines()
        assert p.returncode == code and len(lines) == 1 and not p.stdout, (words, p)
        return lines[0]
    base = ["--base-url", "http://127.0.0.1:1/v1", "-m", "x"]
    assert "--base-url" in bad("-m", "x", "p")
    assert "--model" in bad("--base-url", "http://a/v1", "p")
    assert "PROMPT" in bad(*base)
    assert "--no-such" in bad(*base, "--no-such", "p")
    assert "http[s]://" in bad("--base-url", "ftp://a", "-m", "x", "p")
    assert "http[s]://" in bad("--base-url", "http://u:p@a/v1", "-m", "x", "p")
    assert "--timeout" in bad(*base, "--timeout", "soon", "p")
    assert "schema" in bad(*base, "--output-schema", "/dev/null", "p")
    assert "--environments" in bad(*base, "--environments", "/none", "p")
    assert "/etc/passwd:1: expected" in bad(*base, "--resume", "/etc/passwd", "p")
    assert "git repository" in bad(*base, "p", code=1, where=_home)
    p = subprocess.run([AIRLOCK, "agent", "--help"], capture_output=True, timeout=10)
    assert p.returncode == 0 and b"--base-url" in p.stdout and not p.stderr


@case
def a_conversation_is_kept_and_gone_on_with():
    kept, where = _home + "/conversation", repo()
    with Model([call("exec_command", "c1", cmd="echo a"), say("first answer"), say("second answer")]) as m:
        run = agent(m, "--save", kept, where=where).expect(0)
        more = agent(m, "--save", kept, "--resume", kept, where=where, prompt="and now?").expect(0)
    assert more.events[0]["thread_id"] == run.events[0]["thread_id"]
    sent = m.requests[2].body["input"]
    assert m.requests[2].raw.startswith(m.requests[1].raw[:-2])
    assert sent[-1]["content"][0]["text"] == "and now?" and sent[-2]["role"] == "assistant"


# --- budgets, ends ---------------------------------------------------------------------------

@case
def budgets_end_a_turn_with_their_own_status():
    forever = [call("exec_command", cmd="echo %d" % n) for n in range(30)]
    run, m = quick(*forever, options=("--max-requests", "3"))
    assert "3 requests" in run.expect(5).failure() and len(m.requests) == 3
    run, m = quick(*forever, options=("--max-tokens", "300"))
    assert "300 tokens" in run.expect(5).failure() and len(m.requests) == 3
    begun = time.monotonic()
    run, m = quick(call("exec_command", cmd="sleep 9", yield_time_ms=9000), say("x"), options=("--timeout", "1"))
    assert "1 s" in run.expect(5).failure() and time.monotonic() - begun < 5
    run, m = quick((ms.head(), 9), options=("--timeout", "1"))
    assert "1 s" in run.expect(5).failure()


@case
def the_same_call_again_and_again_is_noticed():
    run, m = quick(*[call("exec_command", cmd="cat a.txt")] * 30)
    run.expect(5)
    assert "same call" in run.failure()
    told = [n for n, r in enumerate(m.requests) if "find out what is different" in r.raw.decode()]
    assert told[0] == 3 and len(m.requests) == 12, (told[0], len(m.requests))


@case
def a_signal_at_any_moment_leaves_a_transcript_that_goes_on():
    moments = {
        "waiting for the model": [(ms.head(), 9)],
        "in the middle of a stream": [(stream({"type": "response.created", "response": {}}, end=False), 9)],
        "while a command runs": [items(function("exec_command", "c1", cmd="sleep 30", yield_time_ms=20000),
                                       function("exec_command", "c2", cmd="echo never"))],
        "before a retry": [error(503, "x", retry_after="20")],
    }
    for why, script in moments.items():
        kept = _home + "/aborted"
        for n in (signal.SIGINT, signal.SIGTERM):
            with Model(list(script)) as m:
                p = start(argv(m, "--save", kept) + ["do it"], cwd=repo(), env=ENV,
                          stdin=subprocess.DEVNULL)
                until(lambda: m.sent, why)
                time.sleep(.3)
                p.send_signal(n)
                out, err = p.communicate(timeout=8)
                assert p.returncode == 128 + n, (why, p.returncode, err)
                events = [json.loads(line) for line in out.decode().splitlines()]
                assert [e["type"] for e in events if e["type"] in ("turn.failed", "turn.completed")] == \
                    ["turn.failed"], why
                assert [e for e in events if e["type"] == "airlock.turn_aborted"], why
            with Model([say("on")]) as m:
                agent(m, "--resume", kept, prompt="go on").expect(0)
            sent = m.requests[0].body["input"]
            calls = [i["call_id"] for i in sent if i["type"] == "function_call"]
            outputs = [i["call_id"] for i in sent if i["type"] == "function_call_output"]
            assert calls == outputs, (why, calls, outputs)
            assert "<turn_aborted>" in sent[-2]["content"][0]["text"], why
            if calls:
                assert [i["output"] for i in sent if i.get("call_id") == "c2" and "output" in i] == ["aborted"]


@case
def nothing_is_left_when_the_loop_ends_or_is_killed():
    mark = "airlock-left-%d" % os.getpid()
    with Model([call("exec_command", cmd="exec -a %s sleep 60" % mark, yield_time_ms=300), (ms.head(), 9)]) as m:
        p = start(argv(m) + ["do it"], cwd=repo(), env=ENV, stdin=subprocess.DEVNULL)
        until(lambda: len(m.requests) == 2, "the second request")
        group = subprocess.run(["pgrep", "-f", mark], capture_output=True).stdout.split()
        assert group
        p.kill()
        p.wait()
        for pid in group:
            until(lambda: not os.path.exists("/proc/%s/cmdline" % pid.decode()) or
                  mark.encode() not in open("/proc/%s/cmdline" % pid.decode(), "rb").read(),
                  "the command's end")
        until(lambda: m.gone.is_set(), "the connection's end")


if __name__ == "__main__":
    try:
        main()
    finally:
        shutil.rmtree(_home, ignore_errors=True)
