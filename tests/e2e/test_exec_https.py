#!/usr/bin/python3
"""http/request for https: airlock-proxy speaks TLS in the exec-server's place, so its policy
holds for the request itself, and the server's certificate is checked."""
import http.server
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading

from exec_client import Client, RpcError, b64, unb64
from lib import AIRLOCK, case, main, start, until

PROXY = os.path.join(os.path.dirname(AIRLOCK), "airlock-proxy")
SECRET = "tok_Zz91aXc77QpLmN0oRsTuVwXyZ"
_dir = tempfile.TemporaryDirectory()
D = _dir.name
EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def certificates():
    """root.pem; a.pem for a.test, signed by it; self.pem for a.test, signed by nobody."""
    if os.path.exists(D + "/root.pem"):
        return
    with open(D + "/ext", "w") as f:
        f.write("subjectAltName=DNS:a.test\n")
    subprocess.run(
        "openssl req -x509 %s -keyout root.key -out root.pem -subj /CN=root -days 3 && "
        "openssl req -new %s -keyout a.key -out a.csr -subj /CN=a.test && "
        "openssl x509 -req -in a.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 "
        "-extfile ext -out a.pem && "
        "openssl req -x509 %s -keyout self.key -out self.pem -subj /CN=a.test -days 3 "
        "-addext subjectAltName=DNS:a.test" % (EC, EC, EC),
        shell=True, check=True, cwd=D, capture_output=True)


class Origin:
    def __init__(self, name="a"):
        certificates()
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append((self.command, self.path, dict(self.headers), body))
                if self.path == "/sse":
                    self.send_response(200)
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for word in (b"one", b"two"):
                        self.wfile.write(b"3\r\n%s\r\n" % word)
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                    return
                self.send_response(302 if self.path == "/away" else 200)
                if self.path == "/away":
                    self.send_header("Location", "/here")
                text = json.dumps([self.command, self.path, body.decode()]).encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("%s/%s.pem" % (D, name), "%s/%s.key" % (D, name))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return "https://a.test:%d%s" % (self.port, path)


class World:
    """An origin, a proxy with a rule for it, and an exec-server that knows just the proxy."""

    def __init__(self, rule="", origin="a"):
        self.origin = Origin(origin)
        d = self.dir = tempfile.mkdtemp(dir=D)
        with socket.create_server(("127.0.0.1", 0)) as s:
            door = s.getsockname()[1]
        self.put("policy", "rule host=a.test ports=%d%s\n"
                 "rule host=127.0.0.1 ports=%d raw=1\n" % (self.origin.port, rule and " " + rule, self.origin.port))
        self.put("hosts", "127.0.0.1 a.test\n")
        self.put("secrets", "TOKEN=%s\n" % SECRET)
        p = start([PROXY, "--listen", "127.0.0.1:%d" % door, "--rules", d + "/policy", "--hosts",
                   d + "/hosts", "--ca-bundle", D + "/root.pem", "--journal", d + "/journal",
                   "--secrets", d + "/secrets", "--placeholders", d + "/placeholders"],
                  stderr=subprocess.STDOUT)
        line = p.stdout.readline().decode()
        assert "listening" in line, line
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        self.exec = start([AIRLOCK, "exec-server"],
                          env=dict(env, https_proxy="http://127.0.0.1:%d" % door))
        self.client = Client.websocket(self.exec.stdout.readline().decode().strip())
        self.client.hello()

    def put(self, name, text):
        with open(self.dir + "/" + name, "w") as f:
            f.write(text)

    def ask(self, path, method="GET", **more):
        return self.client.call("http/request", method=method, url=self.origin.url(path),
                                requestId=more.pop("requestId", "r"), **more)

    def net(self, **want):
        def found():
            with open(self.dir + "/journal") as f:
                events = [json.loads(line) for line in f]
            return [e for e in events if all(e.get(k) == v for k, v in want.items())]
        return until(found, "an event with %s" % want)


@case
def an_https_request_goes_through_the_proxy_which_sees_it():
    w = World()
    r = w.ask("/x?y", "POST", bodyBase64=b64(b"hi"), headers=[{"name": "X-A", "value": "1"}])
    assert r["status"] == 200 and json.loads(unb64(r["bodyBase64"])) == ["POST", "/x?y", "hi"]
    method, path, headers, body = w.origin.seen[0]
    assert headers["X-A"] == "1" and headers["Host"] == "a.test:%d" % w.origin.port, headers
    assert not any("airlock" in k.lower() for k in headers), headers
    assert w.net(verdict="allow", method="POST", path="/x", name="a.test")
    assert json.loads(unb64(w.ask("/away")["bodyBase64"]))[1] == "/here"


@case
def its_response_is_streamed():
    w = World()
    assert w.ask("/sse", streamResponse=True, requestId="s")["status"] == 200
    out, done = b"", False
    while not done:
        m = w.client.event("http/request/bodyDelta")
        out, done = out + unb64(m["deltaBase64"]), m["done"]
    assert out == b"onetwo" and m["error"] is None


@case
def the_policy_judges_each_request():
    w = World("methods=GET,POST paths=/ok*")
    assert w.ask("/ok")["status"] == 200
    for path, method, reason in (("/no", "GET", "path"), ("/ok", "DELETE", "method")):
        r = w.ask(path, method)
        denied = [h["value"] for h in r["headers"] if h["name"] == "x-airlock-denied"]
        assert r["status"] == 403 and denied == [reason], (path, method, r)
    assert [s[1] for s in w.origin.seen] == ["/ok"]
    try:
        w.client.call("http/request", method="GET", url="https://b.test/", requestId="r")
        raise AssertionError("another host")
    except RpcError as e:
        assert "the proxy refused: 403 not-allowed" in e.message, e


@case
def a_secret_is_used_and_never_seen():
    w = World("methods=GET inject=X-Token value=%24%7BTOKEN%7D")
    r = w.ask("/x")
    assert w.origin.seen[0][2]["X-Token"] == SECRET
    assert SECRET not in json.dumps(r) and SECRET not in unb64(r["bodyBase64"]).decode()


@case
def a_certificate_of_nobody_s_is_refused():
    w = World(origin="self")
    r = w.ask("/x")
    assert r["status"] == 502 and not w.origin.seen, r
    assert "tls" in [h["value"] for h in r["headers"] if h["name"] == "x-airlock-denied"][0], r


@case
def a_proxy_that_speaks_no_tls_for_us_is_not_trusted_with_plain_text():
    seen = []

    def tunnel(server):
        while True:
            s = server.accept()[0]
            s.recv(65536)
            s.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            seen.append(s.recv(65536))
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=tunnel, args=(server,), daemon=True).start()
        env = dict(os.environ, https_proxy="http://127.0.0.1:%d" % server.getsockname()[1])
        p = start([AIRLOCK, "exec-server"], env=env)
        c = Client.websocket(p.stdout.readline().decode().strip())
        c.hello()
        said = c.fails(-32603, "http/request", method="POST", url="https://a.test/", requestId="r",
                       headers=[{"name": "Authorization", "value": "Bearer hush"}])
        assert "speaks no TLS in our place" in said, said
        until(lambda: seen, "the tunnel's end")
        assert seen == [b""], seen


main()
