"""tests/e2e/forge.py - a git host with a forge's API in both shapes, for who has the token.

    fresh()                       the repository as it was, no pull request, nothing heard
    spec(t, agent, pr={...})      a task that pushes, its token sealed in OUT of @t; (spec, identity)
    remote("rev-parse", BRANCH)   git on the host's side
    Forge.seen, Forge.pulls       what was asked, what there is; Forge.odd(f, path, query) may answer

For a process in netlab's network, as root.
"""
import base64
import json
import os
import shutil
import urllib.parse

from git_server import GitHost, serve
from netlab import ALLOWED, PRIVATE
from task import Task, git
from unsealed import keys, seal

TOKEN = "ghp_Zz91aXc77QpLmN0oRsTuVwXyZ23456789AbC"
BASIC = "Basic " + base64.b64encode(("x-access-token:" + TOKEN).encode()).decode()
URL = "https://git.example/acme/app.git"
BRANCH = "airlock/task-1"
CHANGE = "echo two >> a.txt; echo new > n.txt; echo The answer. > $AIRLOCK_ANSWER"


class Forge(GitHost):
    """git's smart protocol and a forge's API, for who has the token."""
    seen, pulls, odd = [], [], None

    def json(self, code, body):
        self.reply(code, json.dumps(body).encode())

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
        return self.git(got)

    do_POST = do_PATCH = do_GET

    def api(self, path, query, auth, got):
        github = path.startswith("/api/v3/")
        if auth != ("Bearer " if github else "token ") + TOKEN:
            return self.json(401, {"message": "Bad credentials"})
        if Forge.odd and Forge.odd(self, path, query):
            return None
        rest = path.split("/repos/acme/app/pulls", 1)
        if len(rest) != 2:
            return self.json(404, {"message": "Not Found"})
        if self.command == "GET":
            return self.json(200, self.listed(github, query))
        want = json.loads(got)
        if self.command == "POST":
            if [p for p in Forge.pulls if p["head"]["ref"] == want["head"] and p["state"] == "open"]:
                return self.json(422 if github else 409, {"message": "already exists"})
            Forge.pulls.append(pull(len(Forge.pulls) + 1, want["head"], want["base"]))
            Forge.pulls[-1].update(title=want["title"], body=want["body"],
                                   draft=want.get("draft", False))
            return self.json(201, Forge.pulls[-1])
        one = [p for p in Forge.pulls if p["number"] == int(rest[1].lstrip("/"))][0]
        one.update({k: want[k] for k in ("title", "body") if k in want})
        return self.json(200 if github else 201, one)

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


HOME = Task()
SEED = HOME.repo({"a.txt": "one\n", "d/b.txt": "b\n"})
HOME.commit({"a.txt": "one\nmore\n"})
BARE = HOME.dir + "/srv/acme/app.git"
serve(Forge, HOME.dir + "/srv", (ALLOWED, PRIVATE))


def fresh():
    """The repository as it was at first, and a forge that has heard of nothing."""
    shutil.rmtree(HOME.dir + "/srv", ignore_errors=True)
    os.makedirs(HOME.dir + "/srv/acme")
    git(HOME.dir, "clone", "-q", "--bare", SEED, BARE)
    del Forge.seen[:], Forge.pulls[:]
    Forge.odd = None


def spec(t, agent=CHANGE, setup=None, pr=None, ca="/own-ca.pem", **more):
    identity, recipient = keys()
    with open(t.out + "/secrets.age", "wb") as f:
        f.write(seal(json.dumps({"GIT_TOKEN": TOKEN}).encode(), recipient))
    wish = {"branch": BRANCH, "title": "Two", "token": "${GIT_TOKEN}", "forge": "github"}
    wish.update(pr or {})
    network = dict({"agent": "off", "ca_file": ca, "rules": [
        {"host": "git.example", "git": "read", "paths": ["/acme/app.git/*"], "inject": {
            "header": "Authorization", "value": "Basic ${base64:x-access-token:GIT_TOKEN}"}}]},
        **more.pop("network", {}))
    return t.spec(agent, setup, repo=dict({"url": URL}, **more.pop("repo", {})), network=network,
                  secrets={"sealed": t.out + "/secrets.age", "names": ["GIT_TOKEN"]},
                  output={"pull_request": {k: v for k, v in wish.items() if v is not None}},
                  **more), identity


def told_nothing(text, where):
    for bad in (TOKEN, BASIC[6:], BASIC[20:-6]):
        assert bad.encode() not in text, "%s holds %s: %s" % (where, bad, text[-600:])


def remote(*words):
    return git(BARE, *words)
