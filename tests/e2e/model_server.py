"""tests/e2e/model_server.py - a model that says what a script tells it to.

    with Model([call("exec_command", cmd="ls"), say("Done.")]) as m:
        … base_url = m.url …
        m.requests[0].body["input"]

An answer of the script is bytes of an HTTP response; the functions below make them, well
formed (say, call, items) or not (status, events, raw). A callable gets the request and gives
such bytes. After the last one the server answers 500 "script is over".

Responses and Chat Completions are told apart by the path; @only leaves out one of them.
Questions about the risk of a command are no part of the script: .assess answers them, and
.assessments has them.
As a program (`model_server.py PORT-FILE SCRIPT.json`) it serves make run-agent.
"""
import json
import socket
import ssl
import sys
import threading
import time

USAGE = {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 64},
         "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 8},
         "total_tokens": 120}


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers = method, path, headers
        self.raw = body
        try:
            self.body = json.loads(body)
        except ValueError:
            self.body = None
        self.chat = path.endswith("/chat/completions")
        self.at = time.monotonic()

    def is_assessment(self):
        body = self.body if isinstance(self.body, dict) else {}
        form = body.get("text", {}).get("format", {}) or \
            body.get("response_format", {}).get("json_schema", {})
        return form.get("name") == "sandbox_assessment"

    def outputs(self):
        """What the tools gave back, by call id."""
        if self.chat:
            return {m["tool_call_id"]: m["content"] for m in self.body["messages"]
                    if m["role"] == "tool"}
        return {i["call_id"]: i["output"] for i in self.body["input"]
                if i.get("type", "").endswith("_output")}


# --- answers ---------------------------------------------------------------------------------

def head(code=200, kind="text/event-stream", length=None, **headers):
    reason = {200: "OK", 400: "Bad Request", 429: "Too Many Requests"}.get(code, "Status")
    lines = ["HTTP/1.1 %d %s" % (code, reason), "Content-Type: " + kind]
    lines += ["%s: %s" % (k.replace("_", "-"), v) for k, v in headers.items()]
    lines.append("Transfer-Encoding: chunked" if length is None else "Content-Length: %d" % length)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def stream(*events, newline="\n", end=True, **headers):
    """Events as a chunked stream; @end: with its last chunk."""
    text = b""
    for e in events:
        data = e if isinstance(e, str) else json.dumps(e)
        kind = "" if isinstance(e, str) else "event: %s%s" % (e.get("type", "x"), newline)
        text += (kind + "data: " + data + newline + newline).encode()
    return head(**headers) + chunk(text) + (b"0\r\n\r\n" if end else b"")


def status(code, body, kind="application/json", **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(code, kind, len(data), **headers) + data


def error(code, message="no", kind=None, name=None, **headers):
    return status(code, {"error": {"message": message, "type": kind, "param": None,
                                   "code": name}}, **headers)


def message(text):
    return {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}


def reasoning(text="thinking"):
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}],
            "encrypted_content": "gAAAA"}


_calls = 0


def function(name, call_id=None, **arguments):
    global _calls
    _calls += 1
    return {"type": "function_call", "id": "fc_%d" % _calls, "status": "completed",
            "call_id": call_id or "call_%d" % _calls, "name": name,
            "arguments": json.dumps(arguments)}


def patch(text, call_id="call_patch"):
    return {"type": "custom_tool_call", "id": "ctc_1", "status": "completed", "call_id": call_id,
            "name": "apply_patch", "input": text}


def response_events(output, usage=USAGE):
    yield {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
    for n, item in enumerate(output):
        yield {"type": "response.output_item.added", "output_index": n,
               "item": dict(item, status="in_progress")}
        if item["type"] == "message":
            for part in item["content"]:
                yield {"type": "response.output_text.delta", "output_index": n,
                       "content_index": 0, "delta": part.get("text", "")}
        yield {"type": "response.output_item.done", "output_index": n, "item": item}
    yield {"type": "response.completed",
           "response": {"id": "resp_1", "status": "completed", "output": [], "usage": usage}}


def chat_events(output, usage=USAGE):
    n = 0
    for item in output:
        if item["type"] == "message":
            text = item["content"][0]["text"]
            for piece in (text[:len(text) // 2], text[len(text) // 2:]):
                yield {"choices": [{"index": 0, "delta": {"content": piece},
                                    "finish_reason": None}]}
        elif item["type"] in ("function_call", "custom_tool_call"):
            arguments = item.get("arguments") or json.dumps({"input": item.get("input")})
            yield {"choices": [{"index": 0, "finish_reason": None, "delta": {"tool_calls": [
                {"index": n, "id": item["call_id"], "type": "function",
                 "function": {"name": item["name"], "arguments": ""}}]}}]}
            for piece in (arguments[:3], arguments[3:]):
                yield {"choices": [{"index": 0, "finish_reason": None, "delta": {"tool_calls": [
                    {"index": n, "function": {"arguments": piece}}]}}]}
            n += 1
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if n else "stop"}]}
    yield {"choices": [], "usage": {
        "prompt_tokens": usage["input_tokens"], "completion_tokens": usage["output_tokens"],
        "prompt_tokens_details": {"cached_tokens": usage["input_tokens_details"]["cached_tokens"]},
        "completion_tokens_details": {
            "reasoning_tokens": usage["output_tokens_details"]["reasoning_tokens"]},
        "total_tokens": usage["total_tokens"]}}


def items(*output, usage=USAGE, **options):
    """An answer in whatever wire the request has."""
    def answer(request):
        if request.chat:
            return stream(*chat_events(output, usage), "[DONE]", **options)
        return stream(*response_events(output, usage), **options)
    return answer


def say(text, **options):
    return items(message(text), **options)


def call(name, call_id=None, **arguments):
    return items(function(name, call_id, **arguments))


# --- the server ------------------------------------------------------------------------------

class Model:
    def __init__(self, script=(), only=None, pieces=None, tls=None, delay=0, host="127.0.0.1"):
        self.script, self.only, self.pieces, self.delay = list(script), only, pieces, delay
        self.requests, self.connections, self.sent = [], 0, 0
        self.assessments = []
        self.assess = say('{"description":"Nothing.","risk_level":"low","risk_categories":[]}')
        self.gone = threading.Event()  # a client hung up in the middle of an answer
        self.socket = socket.create_server((host, 0))
        self.port = self.socket.getsockname()[1]
        self.url = "%s://%s:%d/v1" % ("https" if tls else "http", host, self.port)
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Or the thread in accept(2) would go on with whatever gets this descriptor's number.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            if self.tls:
                client = self.tls.wrap_socket(client, server_side=True)
            source = client.makefile("rb")
            while True:
                request = self._read(source)
                if not request:
                    break
                if not self._answer(client, request):
                    break
        except OSError:
            self.gone.set()
        finally:
            client.close()

    @staticmethod
    def _read(source):
        line = source.readline().decode("latin-1").split()
        if len(line) != 3:
            return None
        headers = {}
        while True:
            text = source.readline().decode("latin-1").strip()
            if not text:
                break
            name, value = text.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        body = source.read(int(headers.get("content-length", 0)))
        return Request(line[0], line[1], headers, body)

    def _next(self, request):
        if self.only and not request.path.endswith(self.only):
            return error(404, "Not Found")
        with self.lock:
            if request.is_assessment():
                self.assessments.append(request)
                return self.assess(request) if callable(self.assess) else self.assess
            self.requests.append(request)
            step = self.script.pop(0) if self.script else error(400, "the script is over")
        return step(request) if callable(step) else step

    def _answer(self, client, request):
        data = self._next(request)
        if isinstance(data, tuple):  # (bytes, "close"), (bytes, "reset"), (bytes, seconds)
            data, how = data
        else:
            how = None
        if self.delay:
            time.sleep(self.delay)
        at = 0
        while at < len(data):
            n = self.pieces(at) if self.pieces else len(data)
            client.sendall(data[at:at + n])
            at += n
        self.sent += 1
        if isinstance(how, (int, float)):  # and then nothing, until the client goes
            client.settimeout(how)
            try:
                if not client.recv(1):
                    self.gone.set()
            except socket.timeout:
                pass
            return False
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return how is None


def main():
    with open(sys.argv[2]) as f:
        script = [items(*step) for step in json.load(f)]
    model = Model(script)
    with open(sys.argv[1] + ".part", "w") as f:
        f.write(model.url)
    import os
    os.rename(sys.argv[1] + ".part", sys.argv[1])
    threading.Event().wait()


if __name__ == "__main__":
    main()
