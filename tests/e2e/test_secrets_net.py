#!/usr/bin/python3
"""What a rule injects, in a whole task: a private repository is cloned with a token that only
the proxy has, the agent uses it as well, and nobody can read it anywhere."""
import netlab
netlab.enter()

import base64  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

from git_server import GitHost, authority, make_root, serve  # noqa: E402
from lib import case, main, skip  # noqa: E402
from netlab import ALLOWED  # noqa: E402
from task import Result, Task  # noqa: E402
from unsealed import keys, seal  # noqa: E402

TOKEN = "ghp_Zz91aXc77QpLmN0oRsTuVwXyZ23456789AbC"
OTHER = "npm_6bN1mK9jH3gF5dS2aP0oI8uY"
LOGIN = "me:Pq7rS2tU9vW4xY1zA6bC3dE8"


def basic(token):
    return "Basic " + base64.b64encode(("x-access-token:" + token).encode()).decode()


BASIC = basic(TOKEN)
RULE = {"host": "git.example", "methods": ["GET", "POST"],
        "inject": {"header": "Authorization", "value": "Basic ${base64:x-access-token:GIT_TOKEN}"}}


class Private(GitHost):
    """git's smart protocol for who has the token; /echo tells everybody what he sent."""
    seen, login = [], BASIC

    def do_GET(self):
        got = self.body()
        self.seen.append((self.path, self.headers.get("authorization")))
        if self.path == "/echo":
            return self.reply(200, ("you sent %s\n" % self.headers["authorization"]).encode())
        if self.headers.get("authorization") != self.login:
            return self.reply(401, b"who are you?\n", ("WWW-Authenticate", "Basic realm=x"))
        return self.git(got)

    do_POST = do_GET


def known(believed=True):
    """A root where git.example is known, and believed; or not by the image."""
    return make_root({"/etc/hosts": "127.0.0.1 localhost\n%s git.example\n" % ALLOWED,
                      "/etc/ssl/certs/ca-certificates.crt": authority() if believed else "",
                      "/own-ca.pem": authority()})


if os.geteuid():
    print("skip - needs root for a box over another root\n0 passed, 0 failed, 1 skipped")
    raise SystemExit
HOME = Task()
HOME.repo({"a.txt": "private\n"})
serve(Private, HOME.dir, [ALLOWED])
BOX = known()


def run(agent="true", setup=None, network=None, box=None, token=TOKEN, **more):
    t = Task()
    identity, recipient = keys()
    Private.login = basic(token)
    values = {"GIT_TOKEN": token, "NPM_TOKEN": OTHER, "PROXY_LOGIN": LOGIN}
    with open(t.out + "/secrets.age", "wb") as f:
        f.write(seal(json.dumps(values).encode(), recipient))
    spec = t.spec(agent, setup, repo={"url": "https://git.example/repo/.git"},
                  secrets={"sealed": t.out + "/secrets.age", "names": list(values)},
                  network=dict({"agent": "limited", "rules": [RULE]}, **(network or {})), **more)
    t.spec = lambda *a, **k: spec
    del Private.seen[:]
    p = t.start(options=["--box", box or BOX], popen={"stdin": subprocess.PIPE})
    out, err = p.communicate(identity, timeout=60)
    r = Result(t.out, p.returncode, out, err)
    for name in os.listdir(t.out):
        text = r.file(name)
        for bad in (token, OTHER, LOGIN, basic(token)[6:], basic(token)[20:-6]):
            assert bad not in text, "%s holds %s: %s" % (name, bad, text[-600:])
    assert token.encode() not in out + err and basic(token)[6:].encode() not in out + err
    return r


@case
def a_private_repository_is_cloned_with_a_token_that_only_the_proxy_has():
    read = {"host": "git.example", "git": "read", "inject": RULE["inject"]}
    for network in ({}, {"rules": [read]}, {"setup": "limited"}, {"setup": "limited", "lock": "notify"}):
        r = run("cat a.txt .git/config; git status --porcelain", network=network)
        assert r.code == 0, (network, r.reason(), r.err[-900:])
        assert r.answer.startswith("private\n") and "git.example" in r.answer, r.answer
        assert BASIC in [a for _, a in Private.seen], Private.seen


@case
def without_the_rule_it_is_not_cloned():
    r = run(network={"rules": [{"host": "git.example", "git": "read"}]}).expect(70)
    assert "can't clone" in r.reason(), r.reason()
    assert not [a for _, a in Private.seen if a], Private.seen


@case
def setup_and_agent_use_it_and_an_echo_of_it_is_masked():
    ask = "curl -sS https://git.example/echo; git fetch -q origin && echo fetched; " \
          "env | grep _TOKEN | sort"
    r = run(ask, ask).expect(0)
    sent = [a for p, a in Private.seen if p == "/echo"]
    assert sent == [BASIC, BASIC], sent
    for log in (r.file("setup.log"), r.answer):
        lines = log.splitlines()
        assert lines[0].startswith("you sent ") and "fetched" in lines, log
        assert [l for l in lines if l.startswith("GIT_TOKEN=")], log
    assert "NPM_TOKEN=***" in r.file("setup.log") and "NPM_TOKEN" not in r.answer, r.answer


@case
def what_setup_wrote_into_a_file_is_as_good_after_a_hit():
    """Each task has its own placeholders; those of the state that the cache brought back count
    too, for a token that has changed since, and for the hosts of the rule alone."""
    rules = [{"host": "git.example", "paths": ["/echo"], "inject": {"header": "*", "value": "${GIT_TOKEN}"}},
             {"host": "git.example", "paths": ["/other"]},
             {"host": "git.example", "git": "read", "inject": RULE["inject"]}]
    login = '"x-access-token:$(cat /root/token)"'
    ask = ("curl -sS -u %s https://git.example/echo; curl -sS -u x-access-token:$GIT_TOKEN https://git.example/echo; "
           "curl -sSi -u %s https://git.example/other | grep -i x-airlock-denied; "
           "test $(cat /root/token) = $GIT_TOKEN || echo another one" % (login, login))
    with tempfile.TemporaryDirectory() as cache:
        for token, outcome in ((TOKEN, "saved"), (TOKEN, "restored"), (TOKEN + "longer", "restored")):
            r = run(ask, "echo $GIT_TOKEN > /root/token", {"rules": rules}, token=token,
                    cache={"dir": cache}).expect(0)
            assert r.event("cache")[-1]["outcome"] == outcome, r.err[-900:]
            sent = [a for p, a in Private.seen if p == "/echo"]
            assert sent == [basic(token)] * 2, (outcome, sent, r.answer)
            assert not [p for p, _ in Private.seen if p == "/other"], Private.seen
            lines = r.answer.splitlines()
            shown = base64.b64encode(b"x-access-token:")[:-1].decode()
            assert lines[0].startswith("you sent Basic " + shown[:12]) and lines[2].strip().endswith("inject"), lines
            assert (lines[3:] == ["another one"]) == (outcome == "restored"), lines


@case
def a_host_of_ones_own_authority_is_believed_by_ca_file():
    box = known(believed=False)
    r = run("cat a.txt", box=box).expect(70)
    assert "tls-upstream" in r.file("events.ndjson"), r.reason()
    assert not [a for _, a in Private.seen if a], "the token went to whoever answered"
    r = run("cat a.txt", network={"ca_file": "/own-ca.pem"}, box=box).expect(0)
    assert r.answer == "private\n" and BASIC in [a for _, a in Private.seen], r.answer
    r = run(network={"ca_file": "/nowhere.pem"}, box=box).expect(73)
    assert "/nowhere.pem" in r.err, r.err[-500:]


@case
def an_upstream_proxy_gets_its_login_from_a_secret():
    parent = netlab.Server("10.9.8.7", 8080,
                           lambda s, c: netlab.upstream(s, c, login=LOGIN.encode()))
    network = {"upstream_proxy": "http://10.9.8.7:8080", "upstream_auth": "${PROXY_LOGIN}"}
    ask = "cat a.txt; curl -sS https://git.example/echo; env | grep -c Pq7rS2"
    r = run(ask, network=dict(network, setup="limited")).expect(1)
    assert r.answer.startswith("private\nyou sent ") and r.answer.endswith("\n0\n"), r.answer
    heads = [head for head, _ in parent.seen.requests]
    assert heads and all(h.startswith(b"CONNECT git.example:443 ") for h in heads), heads
    assert TOKEN.encode() not in parent.seen.bytes and BASIC.encode() not in b"".join(heads)
    parent.close()


main()
