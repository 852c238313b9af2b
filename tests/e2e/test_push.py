#!/usr/bin/python3
"""What an agent leaves becomes a branch and a pull request, pushed by airlock when the agent is
dead: to git http-backend over TLS, by a forge's API in both shapes. The token is the proxy's."""
import netlab
netlab.enter()

import atexit  # noqa: E402
import base64  # noqa: E402
import http.server  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import ssl  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import urllib.parse  # noqa: E402

from engines import make_rootfs  # noqa: E402
from lib import AIRLOCK, ROOT, case, main  # noqa: E402
from netlab import ALLOWED, certificate  # noqa: E402
from task import Result, Task, git  # noqa: E402
from unsealed import keys, seal  # noqa: E402

TOKEN = "ghp_Zz91aXc77QpLmN0oRsTuVwXyZ23456789AbC"
BASIC = "Basic " + base64.b64encode(("x-access-token:" + TOKEN).encode()).decode()
URL = "https://git.example/acme/app.git"
BRANCH = "airlock/task-1"
CHANGE = "echo two >> a.txt; echo new > n.txt; echo The answer. > $AIRLOCK_ANSWER"


class Forge(http.server.BaseHTTPRequestHandler):
    """git's smart protocol and a forge's API, for who has the token."""
    protocol_version = "HTTP/1.1"
    folder, seen, pulls, odd = None, [], [], None

    def log_message(self, *_):
        pass

    def reply(self, code, body, *headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        out = b""
        while True:
            n = int(self.rfile.readline().split(b";")[0], 16)
            out += self.rfile.read(n)
            self.rfile.readline()
            if not n:
                return out

    def do_GET(self):
        got = self.body()
        path, _, query = self.path.partition("?")
        auth = self.headers.get("authorization")
        Forge.seen.append((self.command, self.path, auth, got, self.headers.get("host")))
        if path.startswith("/api/"):
            return self.api(path, urllib.parse.parse_qs(query), auth, got)
        if auth != BASIC:
            return self.reply(401, b"who are you?\n", ("WWW-Authenticate", "Basic realm=x"))
        if Forge.odd and Forge.odd(self, path, query):
            return None
        done = subprocess.run(["git", "http-backend"], input=got, stdout=subprocess.PIPE, env={
            **os.environ, "GIT_PROJECT_ROOT": self.folder, "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""), "REMOTE_USER": "me",
            "REMOTE_ADDR": "127.0.0.1", "CONTENT_LENGTH": str(len(got)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", "")})
        head, _, out = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        code = [int(v.split()[0]) for k, v in headers if k.lower() == "status"] or [200]
        return self.reply(code[0], out, *[h for h in headers if h[0].lower() != "status"])

    do_POST = do_PATCH = do_GET

    def api(self, path, query, auth, got):
        github = path.startswith("/api/v3/")
        if auth != ("Bearer " if github else "token ") + TOKEN:
            return self.reply(401, {"message": "Bad credentials"})
        if Forge.odd and Forge.odd(self, path, query):
            return None
        rest = path.split("/repos/acme/app/pulls", 1)
        if len(rest) != 2:
            return self.reply(404, {"message": "Not Found"})
        if self.command == "GET":
            return self.reply(200, self.listed(github, query))
        want = json.loads(got)
        if self.command == "POST":
            if [p for p in Forge.pulls if p["head"]["ref"] == want["head"] and p["state"] == "open"]:
                return self.reply(422 if github else 409, {"message": "already exists"})
            Forge.pulls.append(pull(len(Forge.pulls) + 1, want["head"], want["base"]))
            Forge.pulls[-1].update(title=want["title"], body=want["body"],
                                   draft=want.get("draft", False))
            return self.reply(201, Forge.pulls[-1])
        one = [p for p in Forge.pulls if p["number"] == int(rest[1].lstrip("/"))][0]
        one.update({k: want[k] for k in ("title", "body") if k in want})
        return self.reply(200 if github else 201, one)

    @staticmethod
    def listed(github, query):
        """GitHub's list is what the query names; Gitea's is every open one, page by page."""
        found = [p for p in Forge.pulls if p["state"] == "open"]
        if github:
            assert query["head"] == ["acme:" + BRANCH], query
            return [p for p in found if "acme:" + p["head"]["ref"] == query["head"][0] and
                    p["head"]["repo"]["full_name"] == "acme/app"]
        page, limit = int(query["page"][0]), int(query["limit"][0])
        return found[(page - 1) * limit:page * limit]


def pull(number, head, base="main", repo="acme/app"):
    return {"number": number, "state": "open", "title": "", "body": "", "draft": False,
            "html_url": "https://git.example/acme/app/pull/%d" % number,
            "head": {"ref": head, "label": head, "repo": {"full_name": repo}},
            "base": {"ref": base, "repo": {"full_name": "acme/app"}}}


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # who is cut off says so


def serve(folder):
    Forge.folder = folder
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    server = Server((ALLOWED, 443), Forge)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def make_root():
    """The small Debian, where git.example is known; its authority is in a file of its own."""
    root = tempfile.mkdtemp(prefix="rootfs-push-", dir=ROOT + "/build")
    atexit.register(shutil.rmtree, root, True)
    subprocess.run(["cp", "-al", make_rootfs() + "/.", root], check=True)
    with open(certificate()[0]) as f:
        authority = f.read()
    for path, text in (("/etc/hosts", "127.0.0.1 localhost\n%s git.example\n" % ALLOWED),
                       ("/own-ca.pem", authority)):
        if os.path.lexists(root + path):
            os.unlink(root + path)
        with open(root + path, "w") as f:
            f.write(text)
    return root


if os.geteuid():
    print("skip - needs root for a box over another root\n0 passed, 0 failed, 1 skipped")
    raise SystemExit
HOME = Task()
SEED = HOME.repo({"a.txt": "one\n", "d/b.txt": "b\n"})
HOME.commit({"a.txt": "one\nmore\n"})
BARE = HOME.dir + "/srv/acme/app.git"
serve(HOME.dir + "/srv")
BOX = make_root()


def fresh():
    """The repository as it was at first, and a forge that has heard of nothing."""
    shutil.rmtree(HOME.dir + "/srv", ignore_errors=True)
    os.makedirs(HOME.dir + "/srv/acme")
    git(HOME.dir, "clone", "-q", "--bare", SEED, BARE)
    del Forge.seen[:], Forge.pulls[:]
    Forge.odd = None


def run(agent=CHANGE, setup=None, pr=None, box=None, keep=None, seconds=60, **more):
    t = keep or Task()
    identity, recipient = keys()
    with open(t.out + "/secrets.age", "wb") as f:
        f.write(seal(json.dumps({"GIT_TOKEN": TOKEN}).encode(), recipient))
    wish = {"branch": BRANCH, "title": "Two", "token": "${GIT_TOKEN}", "forge": "github"}
    wish.update(pr or {})
    network = dict({"agent": "off", "ca_file": "/own-ca.pem", "rules": [
        {"host": "git.example", "git": "read", "paths": ["/acme/app.git/*"], "inject": {
            "header": "Authorization", "value": "Basic ${base64:x-access-token:GIT_TOKEN}"}}]},
        **more.pop("network", {}))
    spec = t.spec(agent, setup, repo=dict({"url": URL}, **more.pop("repo", {})), network=network,
                  secrets={"sealed": t.out + "/secrets.age", "names": ["GIT_TOKEN"]},
                  output={"pull_request": {k: v for k, v in wish.items() if v is not None}}, **more)
    t.spec = lambda *a, **k: spec
    p = t.start(options=["--box", box or BOX], popen={"stdin": subprocess.PIPE})
    out, err = p.communicate(identity, timeout=seconds)
    del t.spec
    r = Result(t.out, p.returncode, out, err)
    for name in os.listdir(t.out):
        with open(t.out + "/" + name, "rb") as f:
            told_nothing(f.read(), name)
    told_nothing(out + err, "output")
    return r


def told_nothing(text, where):
    for bad in (TOKEN, BASIC[6:], BASIC[20:-6]):
        assert bad.encode() not in text, "%s holds %s: %s" % (where, bad, text[-600:])


def remote(*words):
    return git(BARE, *words)


def calls(method=None):
    return [s for s in Forge.seen if s[1].startswith("/api/") and method in (None, s[0])]


@case
def the_branch_is_pushed_and_the_pull_request_opened_in_both_shapes():
    for forge, lock in (("github", "auto"), ("gitea", "notify")):
        fresh()
        r = run(pr={"forge": forge, "link": "https://ci.example/run/7", "author": "Bot <bot@x.org>"},
                network={"lock": lock}).expect(0)
        got = r.result["pull_request"]
        tip = remote("rev-parse", BRANCH)
        assert got == {"pushed": True, "state": "open", "branch": BRANCH, "base": "main",
                       "commit": tip, "number": 1, "reason": None, "by_hand": None,
                       "url": "https://git.example/acme/app/pull/1"}, got
        assert remote("rev-parse", BRANCH + "^") == remote("rev-parse", "main")
        assert remote("show", BRANCH + ":a.txt") == "one\nmore\ntwo"
        assert remote("show", BRANCH + ":n.txt") == "new"
        assert remote("log", "-1", "--format=%an %ae %cn", BRANCH) == "Bot bot@x.org Bot"
        message = remote("log", "-1", "--format=%B", BRANCH)
        assert message.startswith("Two\n\nAirlock: ") and "Airlock-Start: " in message
        assert message.endswith("Airlock-Task: https://ci.example/run/7"), message
        one = Forge.pulls[0]
        assert (one["title"], one["base"]["ref"]) == ("Two", "main"), one
        assert one["body"].startswith("The answer.\n") and tip[:12] in one["body"], one
        assert "Task: <https://ci.example/run/7>" in one["body"], one
        assert {s[4] for s in Forge.seen} == {"git.example"}, Forge.seen
        assert remote("for-each-ref", "--format=%(refname)").split() == \
            ["refs/heads/" + BRANCH, "refs/heads/main"]


@case
def nothing_changed_is_nothing_pushed_and_said_so():
    fresh()
    r = run("true").expect(0)
    assert r.result["pull_request"]["state"] == "nothing", r.result["pull_request"]
    assert not calls() and BRANCH not in remote("branch"), Forge.seen
    assert not os.path.exists(r.out + "/branch.bundle")


main()
