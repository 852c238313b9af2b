"""tests/e2e/codex.py - the real Codex client, and a model that plays a script for it.

    with Model([run("make test"), patch("…"), say("done")]) as model:
        done = codex(model, {"CODEX_EXEC_SERVER_URL": url}, "fix it")
    assert done.returncode == 0 and "1 failed" in model.outputs[0]

The client is npm's @openai/codex, fetched once for each build tree (`make build/codex`). The
model is an HTTP server on loopback that speaks as much of the Responses API as it takes.
"""
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading

from lib import ROOT, skip, start

VERSION = "0.169.0"
TREE = ROOT + "/build/codex"


def fetch(seconds):
    """Installs it below build/; says what is wrong, or None."""
    if not shutil.which("npm"):
        return "no npm here"
    try:
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save",
                               "--prefix", TREE, "@openai/codex@" + VERSION], timeout=seconds,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired:
        return "npm did not fetch @openai/codex in %d s: `make build/codex`" % seconds
    return "npm can't fetch @openai/codex: %s" % done.stderr.decode()[-300:] \
        if done.returncode else None


def program():
    """The path of the client itself, not of its launcher: one process less to lose."""
    found = None
    for folder, _, files in os.walk(TREE + "/node_modules/@openai"):
        if "codex" in files and folder.endswith("/bin") and "vendor" in folder:
            found = folder + "/codex"
    if not found:
        why = fetch(15)
        if why:
            skip(why)
        return program()
    return found


# --- what the model says -----------------------------------------------------------------------


def run(cmd, **more):
    return {"type": "function_call", "name": "exec_command",
            "arguments": json.dumps(dict({"cmd": cmd}, **more))}


def stdin(session, chars, **more):
    return {"type": "function_call", "name": "write_stdin",
            "arguments": json.dumps(dict({"session_id": session, "chars": chars}, **more))}


def image(path):
    return {"type": "function_call", "name": "view_image", "arguments": json.dumps({"path": path})}


def patch(text):
    """Codex takes this for what it is, and edits by file calls: no command runs."""
    return run("apply_patch <<'EOF'\n*** Begin Patch\n%s*** End Patch\nEOF\n" % text)


def say(text):
    return {"type": "message", "role": "assistant",
            "content": [{"type": "output_text", "text": text}]}


class Model:
    """Plays one item of the script for each request; an item may be made from the outputs so far."""

    def __init__(self, script):
        self.script, self.outputs, self.at = script, [], 0
        self.requests = []
        self.server = None

    def __enter__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return "http://127.0.0.1:%d/v1" % self.server.server_port

    def turn(self, request):
        self.requests.append(request)
        self.outputs = []
        for item in request["input"]:
            if item["type"] == "function_call_output":
                out = item["output"]
                self.outputs.append(out if isinstance(out, str) else json.dumps(out))
        item = self.script[self.at] if self.at < len(self.script) else say("the script is over")
        self.at += 1
        item = dict(item(self.outputs) if callable(item) else item, id="item_%d" % self.at)
        if item["type"] == "function_call":
            item["call_id"] = "call_%d" % self.at
        return item

    def handler(self):
        model = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self, kind, body):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                self.answer("application/json", b'{"models":[]}')

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                item = model.turn(json.loads(body))
                usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1,
                         "output_tokens_details": None, "total_tokens": 2}
                events = [{"type": "response.created", "response": {"id": "r"}},
                          {"type": "response.output_item.done", "output_index": 0, "item": item},
                          {"type": "response.completed", "response": {"id": "r", "usage": usage}}]
                text = "".join("event: %s\ndata: %s\n\n" % (e["type"], json.dumps(e))
                               for e in events)
                self.answer("text/event-stream", text.encode())

            def log_message(self, *_):
                pass
        return Handler


# --- the client --------------------------------------------------------------------------------


def config_toml(model):
    """Of a user who has a login to the model."""
    return ('model = "scripted"\nmodel_provider = "local"\n[model_providers.local]\n'
            'name = "local"\nbase_url = "%s"\nwire_api = "responses"\n' % model.url)


class Home:
    """A CODEX_HOME of its own, with one environment or by a variable."""

    def __init__(self, model, environment=None):
        # Below /tmp it refuses to put helpers of its own anywhere, and says so on stderr.
        self.path = tempfile.mkdtemp(prefix="codex-home-", dir=ROOT + "/build")
        with open(self.path + "/config.toml", "w") as f:
            f.write(config_toml(model))
        if environment:
            with open(self.path + "/environments.toml", "w") as f:
                f.write('default = "box"\ninclude_local = false\n[[environments]]\nid = "box"\n')
                for key, value in environment.items():
                    f.write("%s = %s\n" % (key, json.dumps(value)))


def begin(model, environment=None, url=None, prompt="go", options=(), cwd="/tmp"):
    """`codex exec`, started: its events are lines on stdout."""
    home = Home(model, environment)
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    env["CODEX_HOME"] = home.path
    env.pop("CODEX_EXEC_SERVER_URL", None)
    if url:
        env["CODEX_EXEC_SERVER_URL"] = url
    process = start([program(), "exec", "--json", "--skip-git-repo-check", *options, prompt],
                    env=env, cwd=cwd, stdin=subprocess.DEVNULL)
    process.home = home.path
    return process


def finish(process, seconds=17):
    """(exit status, events). Removes its home."""
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        shutil.rmtree(process.home, ignore_errors=True)
    events = [json.loads(line) for line in out.splitlines() if line.startswith(b"{")]
    process.errors = err.decode("utf-8", "replace")
    return process.returncode, events


UNSANDBOXED = ("--dangerously-bypass-approvals-and-sandbox",)


def codex(model, environment=None, url=None, options=UNSANDBOXED, **more):
    process = begin(model, environment, url, options=options, **more)
    code, events = finish(process)
    assert code == 0, (code, process.errors[-2000:], events[-3:])
    return events
