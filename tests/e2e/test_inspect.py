#!/usr/bin/python3
"""What looks into TLS: real clients, real TLS servers, and what really arrived at them.

Most cases run twice: through a probe (tests/probe/inspect.c) that has the machine of
netfilter/inspect.h and little else, and through airlock-proxy. Every case reads at the
origin what came through, not only what the client was told.
"""
import base64
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import ROOT, main, skip, start, until  # noqa: E402
from lib import case as register  # noqa: E402

PROBE = os.environ.get("PROBE_INSPECT", ROOT + "/build/release/probe_inspect")
PROXY = ROOT + "/build/release/airlock-proxy"
TRUST = ROOT + "/build/release/airlock-trust"
SECRET = "ghp_Zz91aXc77QpLmN0oRsTuVwXyZ23456789AbC"

backend = "probe"


def case(function):
    """Once in front of the probe, once through the proxy."""
    def through_the_proxy():
        global backend
        backend = "proxy"
        try:
            function()
        finally:
            backend = "probe"
    register(function)
    through_the_proxy.__name__ = function.__name__ + "_through_the_proxy"
    register(through_the_proxy)
    return function


def probe_only(function):
    return register(function)


_dir = tempfile.TemporaryDirectory()
D = _dir.name


def sh(command):
    subprocess.run(command, shell=True, check=True, cwd=D, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def pki():
    """root.pem, and KIND.pem/KIND.key for each kind of server certificate."""
    if os.path.exists(D + "/root.pem"):
        return
    sh("openssl req -x509 %s -keyout root.key -out root.part -subj /CN=testroot -days 3 && "
       "mv root.part root.pem" % EC)
    sh("openssl req -x509 %s -keyout self.key -out self.pem -subj /CN=a.example -days 3 "
       "-addext subjectAltName=DNS:a.example" % EC)
    for kind, name, key, dates in (("good", "a.example", EC, ""),
                                   ("rsa", "a.example", "-newkey rsa:2048 -nodes", ""),
                                   ("name", "b.example", EC, ""),
                                   ("address", "127.0.0.1", EC, ""),
                                   ("old", "a.example", EC,
                                    "-not_before 20200101000000Z -not_after 20200201000000Z")):
        sh("openssl req -new %s -keyout %s.key -out %s.csr -subj /CN=%s" % (key, kind, kind, name))
        with open(D + "/ext", "w") as f:
            f.write("subjectAltName=%s:%s\n" % ("IP" if kind == "address" else "DNS", name))
        if not dates:
            sh("openssl x509 -req -in %s.csr -CA root.pem -CAkey root.key -CAcreateserial "
               "-days 2 -extfile ext -out %s.pem" % (kind, kind))
            continue
        with open(D + "/ca.cnf", "w") as f:
            f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=%s/db\nserial=%s/sn\nnew_certs_dir=%s\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n" % (D, D, D))
        open(D + "/db", "w").close()
        with open(D + "/sn", "w") as f:
            f.write("1000\n")
        sh("openssl ca -batch -config ca.cnf -in %s.csr -cert root.pem -keyfile root.key "
           "-startdate 20200101000000Z -enddate 20200201000000Z -extfile ext -notext "
           "-out %s.pem" % (kind, kind))


class Origin:
    """A TLS server that records what it gets and answers by `answer(request)`."""

    def __init__(self, kind="good", answer=None, versions=None, tls=True):
        pki()
        self.requests, self.raw, self.errors, self.connections = [], b"", [], 0
        self.resumed = 0
        self.answer = answer or (lambda r: r.reply(json.dumps(r.headers).encode()))
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain("%s/%s.pem" % (D, kind), "%s/%s.key" % (D, kind))
            if versions:
                self.tls.minimum_version, self.tls.maximum_version = versions
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        self.connections += 1
        try:
            s.settimeout(10)
            if self.tls:
                s = self.tls.wrap_socket(s, server_side=True)
                self.resumed += bool(s.session_reused)
            while True:
                r = Request(self, s)
                if not r.read():
                    break
                self.requests.append(r)
                if self.answer(r) is False:
                    break
        except (OSError, ValueError) as e:
            self.errors.append(str(e))
        finally:
            try:
                if self.tls:
                    s = s.unwrap()
            except (OSError, ValueError, AttributeError):
                pass  # TLS never stood, or is gone
            s.close()


class Request:
    def __init__(self, origin, s):
        self.origin, self.s, self.buffer = origin, s, b""

    def more(self):
        piece = self.s.recv(65536)
        self.origin.raw += piece
        self.buffer += piece
        return bool(piece)

    def line(self):
        while b"\r\n" not in self.buffer:
            if not self.more():
                raise ValueError("end in a line")
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, n):
        while len(self.buffer) < n:
            if not self.more():
                raise ValueError("end in a body")
        piece, self.buffer = self.buffer[:n], self.buffer[n:]
        return piece

    def read(self):
        if not self.more():
            return False
        self.method, self.path, _ = self.line().decode().split(" ")
        self.headers = {}
        while True:
            line = self.line().decode()
            if not line:
                break
            key, value = line.split(":", 1)
            assert key.lower() not in self.headers, "twice: " + key
            self.headers[key.lower()] = value.strip()
        if self.headers.get("expect") == "100-continue":
            self.s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body = b""
        if self.headers.get("transfer-encoding") == "chunked":
            while True:
                n = int(self.line(), 16)
                self.body += self.take(n)
                self.line()
                if not n:
                    break
        else:
            self.body = self.take(int(self.headers.get("content-length", 0)))
        assert not self.buffer, "more than a request: %r" % self.buffer
        return True

    def reply(self, body=b"", code="200 OK", headers="", chunked=False):
        if chunked:
            head = headers + "Transfer-Encoding: chunked\r\n"
            parts = [body[i:i + 777] for i in range(0, len(body), 777)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
        else:
            head = headers + "Content-Length: %d\r\n" % len(body)
        if self.method == "HEAD":
            body = b""
        self.s.sendall(b"HTTP/1.1 %s\r\n%s\r\n%s" % (code.encode(), head.encode(), body))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Probe:
    """What is in front of an origin; rules are for host=a.example and its port."""

    def __init__(self, origin, *rules, mode="tls", name="a.example", secrets="", dead=False):
        pki()
        self.dir = tempfile.mkdtemp(dir=D)
        self.ca = self.dir + "/ca.pem"
        self.name, self.proxied = name, backend == "proxy"
        self.placeholders, self.lines = {}, []
        there = free_port() if dead else origin.port
        self.port = there if self.proxied else free_port()
        self.door = free_port()
        with open(self.dir + "/policy", "w") as f:
            f.write("" if self.proxied else "mode limited\n")
            for rule in rules:
                f.write("rule host=%s ports=%d %s\n" % (name, self.port, rule))
            if self.proxied and name != "127.0.0.1":
                f.write("rule host=127.0.0.1 ports=%d raw=1\n" % self.port)
        with open(self.dir + "/secrets", "w") as f:
            f.write(secrets.replace("\0", "\n") if self.proxied else secrets)
        (self.start_proxy if self.proxied else self.start_probe)(mode, there)

    def start_proxy(self, mode, there):
        if not os.path.exists(PROXY):
            skip("build/release/airlock-proxy is not built")
        with open(self.dir + "/hosts", "w") as f:
            f.write("127.0.0.1 %s\n" % self.name)
        self.process = start([PROXY, "--listen", "127.0.0.1:%d" % self.door, "--rules",
                              self.dir + "/policy", "--hosts", self.dir + "/hosts", "--ca-out",
                              self.ca, "--ca-bundle", D + "/root.pem", "--journal",
                              self.dir + "/journal", "--secrets", self.dir + "/secrets",
                              "--placeholders", self.dir + "/placeholders"],
                             stderr=subprocess.STDOUT)
        line = self.process.stdout.readline().decode()
        assert "listening" in line, line
        with open(self.dir + "/placeholders") as f:
            self.placeholders = dict(line.rstrip("\n").split("=", 1) for line in f)
        self.env = {"https_proxy": "http://127.0.0.1:%d" % self.door, "no_proxy": ""}

    def start_probe(self, mode, there):
        if not os.path.exists(PROBE):
            skip("build/release/probe_inspect is not built")
        self.env = {}
        self.process = start([PROBE, str(self.port), str(there), self.name, str(self.port),
                              self.dir + "/policy", self.ca, D + "/root.pem",
                              self.dir + "/secrets", mode], stderr=subprocess.STDOUT)
        while True:
            line = self.process.stdout.readline().decode()
            assert line, "the probe ended"
            m = re.match(r"placeholder (\w+)=(.*)", line)
            if m:
                self.placeholders[m[1]] = m[2]
            if line == "ready\n":
                break
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        try:
            for line in self.process.stdout:
                self.lines.append(line.decode().strip())
        except ValueError:
            pass  # the case is over

    def decisions(self):
        if not self.proxied:
            return self.lines
        with open(self.dir + "/journal") as f:
            events = [json.loads(line) for line in f]
        return ["%s %s %s %s %s" % (e.get("reason", "allowed"), e.get("status", 0),
                                    e.get("method", "-"), e.get("path", "-"), e.get("detail", ""))
                for e in events if e["event"] == "net"]

    def said(self, start_of_line):
        return until(lambda: [x for x in self.decisions() if x.startswith(start_of_line)],
                     "a decision %r among %r" % (start_of_line, self.lines))

    def url(self, path="/"):
        return "https://%s:%d%s" % (self.name, self.port, path)

    def way(self, ca=None):
        """curl's options for the way there."""
        there = (["-x", self.env["https_proxy"]] if self.proxied else
                 ["--resolve", "%s:%d:127.0.0.1" % (self.name, self.port)])
        return ["-sS", "--max-time", "10", "--cacert", ca or self.ca, *there]

    def curl(self, *arguments, path="/", ca=None):
        """(status, headers and body as text)"""
        r = subprocess.run(["curl", *self.way(ca), "-i", "--suppress-connect-headers", "-w",
                            "\n%{http_code}", *arguments, self.url(path)],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = r.stdout.decode("utf-8", "replace")
        return int(text.rsplit("\n", 1)[1] or 0), text

    def socket(self):
        s = socket.create_connection(("127.0.0.1", self.door if self.proxied else self.port),
                                     timeout=10)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.proxied:
            s.sendall(b"CONNECT %s:%d HTTP/1.1\r\nHost: x\r\n\r\n" %
                      (self.name.encode(), self.port))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                piece = s.recv(1)
                assert piece, head
                head += piece
            assert b" 200 " in head, head
        return s

    def connect(self, alpn=None, sni=None):
        c = ssl.create_default_context(cafile=self.ca)
        if alpn:
            c.set_alpn_protocols(alpn)
        if sni:
            c.check_hostname = False
        return c.wrap_socket(self.socket(), server_hostname=sni or self.name)

    def raw(self, data, step=0):
        """Sends bytes inside of TLS and reads to the end."""
        with self.connect() as s:
            for i in range(0, len(data), step or len(data)):
                s.sendall(data[i:i + (step or len(data))])
            return read_all(s)


def read_all(s, seconds=3):
    out = b""
    s.settimeout(seconds)
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            out += piece
    except OSError:
        pass
    return out


def host(p):
    return b"Host: a.example:%d\r\n" % p.port


def s_client(p):
    if p.proxied:
        return ["-proxy", "127.0.0.1:%d" % p.door, "-connect", "%s:%d" % (p.name, p.port)]
    return ["-connect", "127.0.0.1:%d" % p.port]


# --- certificates ----------------------------------------------------------------------------


@case
def openssl_finds_nothing_wrong_with_authority_and_leaf():
    p = Probe(Origin(), "methods=GET")
    leaf = subprocess.run(["openssl", "s_client", *s_client(p), "-servername", "a.example",
                           "-CAfile", p.ca, "-verify_return_error"],
                          input=b"", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    assert b"Verify return code: 0 (ok)" in leaf, leaf
    with open(p.dir + "/leaf.pem", "wb") as f:
        f.write(leaf[leaf.index(b"-----BEGIN"):leaf.index(b"-----END CERTIFICATE-----") + 26])
    out = subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver",
                          "-verify_hostname", "a.example", "-CAfile", p.ca, p.dir + "/leaf.pem"],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode()
    assert out.rstrip().endswith("OK"), out
    text = subprocess.run(["openssl", "x509", "-in", p.dir + "/leaf.pem", "-noout", "-text"],
                          stdout=subprocess.PIPE).stdout.decode()
    for part in ("DNS:a.example", "CA:FALSE", "Digital Signature", "TLS Web Server Authentication"):
        assert part in text, part
    bad = subprocess.run(["openssl", "verify", "-verify_hostname", "b.example", "-CAfile", p.ca,
                          p.dir + "/leaf.pem"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert bad.returncode, "a leaf for any name"


@case
def an_address_has_its_leaf_too():
    p = Probe(Origin(), "methods=GET", name="127.0.0.1")
    s = subprocess.run(["openssl", "s_client", *s_client(p), "-noservername",
                        "-CAfile", p.ca, "-verify_return_error", "-verify_ip", "127.0.0.1"],
                       input=b"", stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    assert b"Verify return code: 0 (ok)" in s, s


@case
def a_host_that_is_an_address_is_looked_into_and_has_to_prove_it():
    origin = Origin("address")
    p = Probe(origin, "methods=GET", name="127.0.0.1")
    code, text = p.curl(path="/by-address")
    assert code == 200 and [r.path for r in origin.requests] == ["/by-address"], text
    code, text = p.curl("-d", "x")
    assert code == 403 and "x-airlock-denied: method" in text and len(origin.requests) == 1, text
    origin = Origin("good")
    code, text = Probe(origin, "methods=GET", name="127.0.0.1").curl()
    assert code == 502 and "another name" in text and not origin.requests, text


@case
def sessions_are_resumed_on_both_sides():
    origin = Origin(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
    origin.tls.options |= ssl.OP_NO_TICKET
    p = Probe(origin, "methods=GET")
    c = ssl.create_default_context(cafile=p.ca)
    session = None
    for i in range(2):
        s = c.wrap_socket(p.socket(), server_hostname="a.example", session=session)
        s.sendall(b"GET / HTTP/1.1\r\n" + host(p) + b"Connection: close\r\n\r\n")
        assert b"200 OK" in read_all(s)
        assert s.session_reused == bool(i)
        session = s.session
        s.close()
    assert origin.resumed == 1, "upstream resumed %d" % origin.resumed


@case
def an_upstream_certificate_is_checked():
    for kind, why in (("name", "another name"), ("old", "not valid today"),
                      ("self", "no trusted authority")):
        origin = Origin(kind)
        p = Probe(origin, "methods=GET")
        code, text = p.curl()
        assert code == 502 and "x-airlock-denied: tls-upstream" in text and why in text, text
        assert not origin.requests
        p.said("tls-upstream 502 GET /")


@case
def an_rsa_server_is_fine():
    origin = Origin("rsa")
    code, text = Probe(origin, "methods=GET").curl()
    assert code == 200, text


@case
def a_server_of_tls_1_3_alone_gets_a_reason_that_names_the_way_out():
    origin = Origin(versions=(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3))
    code, text = Probe(origin, "methods=GET").curl()
    assert code == 502 and "x-airlock-denied: tls-upstream" in text, text
    assert "TLS 1.2" in text and "raw" in text, text


@case
def a_server_that_is_not_there_or_ends_early_is_a_502():
    code, text = Probe(Origin(), "methods=GET", dead=True).curl()
    assert code == 502 and "x-airlock-denied: upstream" in text, text
    origin = Origin(answer=lambda r: False)
    code, text = Probe(origin, "methods=GET").curl()
    assert code == 502 and "x-airlock-denied: upstream" in text, text


# --- clients ---------------------------------------------------------------------------------


@case
def curl_keeps_its_connection_across_a_refusal():
    origin = Origin()
    p = Probe(origin, "methods=GET,HEAD")
    url = p.url("/x")
    each = [*p.way(), "-i"]
    text = subprocess.run(["curl", *each, "-d", "a=b", url, "--next", *each, "-w",
                           "\n%{num_connects} %{http_code}", p.url("/y")],
                          stdout=subprocess.PIPE).stdout.decode()
    assert "403 Forbidden" in text and "x-airlock-denied: method" in text, text
    assert text.endswith("0 200"), text
    assert [r.path for r in origin.requests] == ["/y"]
    assert '"methods": ["POST"]' in text, "the body names the rule that would help"
    p.said("method 403 POST /x")
    p.said("allowed 200 GET /y")


@case
def python_urllib_works():
    origin = Origin(answer=lambda r: r.reply(b"x" * 100000, chunked=True))
    p = Probe(origin, "methods=GET")
    code = """
import socket, ssl, sys, urllib.request
real = socket.getaddrinfo
socket.getaddrinfo = lambda h, *a, **k: real("127.0.0.1", *a, **k)
print(len(urllib.request.urlopen(sys.argv[1], timeout=10).read()))
"""
    r = subprocess.run([sys.executable, "-c", code, p.url()], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, env={**os.environ, **p.env, "SSL_CERT_FILE": p.ca})
    assert r.stdout == b"100000\n", r.stdout


@case
def node_fetch_works_and_reuses_its_connection():
    if not shutil.which("node"):
        skip("no node")
    if backend == "proxy":
        skip("this node's fetch knows no proxy: transparent mode is for it")
    origin = Origin()
    p = Probe(origin, "methods=GET")
    code = """
const dns = require("dns"), real = dns.lookup;
dns.lookup = (h, o, cb) => real("127.0.0.1", o, cb);
(async () => {
  for (const path of ["/one", "/two"]) {
    const r = await fetch(process.argv[1] + path);
    await r.text();
    console.log(r.status);
  }
  const r = await fetch(process.argv[1] + "/three", { method: "POST", body: "x" });
  console.log(r.status, r.headers.get("x-airlock-denied"));
})();
"""
    r = subprocess.run(["node", "-e", code, p.url("")], stdout=subprocess.PIPE, timeout=20,
                       stderr=subprocess.STDOUT, env={**os.environ, "NODE_EXTRA_CA_CERTS": p.ca})
    assert r.stdout == b"200\n200\n403 method\n", r.stdout
    assert [q.path for q in origin.requests] == ["/one", "/two"]


@case
def java_works_with_the_trust_store_that_airlock_writes():
    if not shutil.which("java"):
        skip("no java")
    p = Probe(Origin(), "methods=GET")
    sh("cd %s && %s --dir %s < ca.pem > env" % (p.dir, TRUST, p.dir))
    with open(p.dir + "/hosts", "w") as f:
        f.write("127.0.0.1 a.example\n")
    with open(p.dir + "/G.java", "w") as f:
        f.write("""public class G { public static void main(String[] a) throws Exception {
            var c = (java.net.HttpURLConnection) new java.net.URL(a[0]).openConnection();
            System.out.println(c.getResponseCode()); } }""")
    with open(p.dir + "/env") as f:
        env = dict(line.rstrip("\n").split("=", 1) for line in f)
    way = (["-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=%d" % p.door] if p.proxied else
           ["-Djdk.net.hosts.file=" + p.dir + "/hosts"])
    r = subprocess.run(["java", *way, p.dir + "/G.java", p.url()], timeout=60,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env={**os.environ, **env})
    assert r.stdout == b"200\n", (r.stdout, r.stderr)


@case
def a_client_of_http_2_alone_gets_a_clear_end():
    p = Probe(Origin(), "methods=GET")
    try:
        p.connect(alpn=["h2"])
        assert False, "it was let in"
    except ssl.SSLError as e:
        assert "no application protocol" in str(e).lower() or "NO_APPLICATION_PROTOCOL" in str(e), e
    assert "HTTP/2" in p.said("request 0 -")[0]
    assert p.connect(alpn=["h2", "http/1.1"]).selected_alpn_protocol() == "http/1.1"


@case
def a_client_of_tls_1_3_alone_gets_a_clear_end():
    p = Probe(Origin(), "methods=GET")
    c = ssl.create_default_context(cafile=p.ca)
    c.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        c.wrap_socket(p.socket(), server_hostname=p.name)
        assert False, "it was let in"
    except ssl.SSLError as e:
        assert "ALERT" in str(e), e
    assert "the client does not speak TLS 1.2" in p.said("not-tls 0 -")[0]


@case
def a_client_that_does_not_trust_us_is_journalled():
    p = Probe(Origin(), "methods=GET")
    code, text = p.curl(ca=D + "/root.pem")
    assert code == 0
    assert "does not trust" in p.said("not-tls 0 -")[0]


# --- one request, and no more -------------------------------------------------------------------


@case
def what_two_readers_could_read_in_two_ways_is_refused():
    origin = Origin(answer=lambda r: r.reply(b"ok"))
    p = Probe(origin, "methods=GET,POST")
    h = host(p)
    post, get = b"POST /x HTTP/1.1\r\n" + h, b"GET /x HTTP/1.1\r\n" + h
    second = b"GET /smuggled HTTP/1.1\r\n" + h + b"\r\n"
    rows = {
        "CL.TE": post + b"Content-Length: 6\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second,
        "TE.CL": post + b"Transfer-Encoding: chunked\r\n"
                 b"Content-Length: 4\r\n\r\n5c\r\n" + second,
        "two lengths": post + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
        "a list of lengths": post + b"Content-Length: 0, 44\r\n\r\n",
        "a plus": post + b"Content-Length: +5\r\n\r\nhello",
        "space before colon": post + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "tab": post + b"Transfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n",
        "vertical tab": post + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "folded": post + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        "xchunked": post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "chunked twice": post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "bare LF": b"GET /x HTTP/1.1\n" + h + b"\r\n",
        "bare LF in a header": get + b"X: a\nContent-Length: 5\r\n\r\n",
        "bare CR": get + b"X: a\rContent-Length: 5\r\n\r\n",
        "NUL": get + b"X: a\0b\r\n\r\n",
        "Connection: Content-Length": b"POST /x HTTP/1.1\r\n" + h +
                                      b"Connection: Content-Length\r\nContent-Length: 5"
                                      b"\r\n\r\nhello",
        "two hosts": get + b"Host: evil.example\r\n\r\n",
        "no host": b"GET /x HTTP/1.1\r\n\r\n",
        "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "user info": b"GET http://a.example@evil.example/x HTTP/1.1\r\n" + h + b"\r\n",
        "backslash": b"GET \\x HTTP/1.1\r\n" + h + b"\r\n",
        "fragment": b"GET /x#y HTTP/1.1\r\n" + h + b"\r\n",
        "leading empty line": b"\r\nGET /x HTTP/1.1\r\n" + h + b"\r\n",
    }
    for why, data in rows.items():
        for step in (0, 1):
            out = p.raw(data, step)
            assert out.startswith(b"HTTP/1.1 400 "), (why, out)
            assert b"x-airlock-denied: request" in out, (why, out)
            assert out.count(b"HTTP/1.1 400") == 1 and b"200 OK" not in out, (why, out)
    assert not origin.requests, [r.path for r in origin.requests]
    # A chunk that lies about its size ends the connection; what the host got is cut short.
    p.raw(b"POST /cut HTTP/1.1\r\n" + h +
          b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n")
    assert not [r for r in origin.requests if r.path == "/cut"]


@case
def a_request_for_another_host_is_refused_also_as_the_second():
    origin = Origin(answer=lambda r: r.reply(b"ok"))
    p = Probe(origin, "methods=GET")
    bad = [b"GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
           b"GET /x HTTP/1.1\r\nHost: a.example:1\r\n\r\n",
           b"GET https://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n",
           b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n"]
    for data in bad:
        out = p.raw(data + b"")
        assert b"403 Forbidden" in out, (data, out)
    good = b"GET /good HTTP/1.1\r\n" + host(p) + b"\r\n"
    out = p.raw(good + bad[0] + good.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert [int(c) for c in re.findall(rb"HTTP/1.1 (\d+)", out)] == [200, 403, 200], out
    assert b"x-airlock-denied: sni" in out
    assert [r.path for r in origin.requests] == ["/good", "/good"]
    assert all(r.headers["host"] == "a.example:%d" % p.port for r in origin.requests)


@case
def a_tls_name_other_than_the_connections_is_refused():
    origin = Origin()
    p = Probe(origin, "methods=GET")
    try:
        s = p.connect(sni="evil.example")
        s.sendall(b"GET / HTTP/1.1\r\nHost: a.example:%d\r\n\r\n" % p.port)
        assert read_all(s) == b""
    except ConnectionResetError:
        pass  # the proxy read the hello before it answered
    p.said("sni 0 -")
    assert not origin.connections


@case
def paths_and_methods_are_judged_one_by_one():
    origin = Origin(answer=lambda r: r.reply(b"ok"))
    p = Probe(origin, "methods=GET paths=/pub/*", "methods=POST paths=/api")
    h = host(p)
    rows = [("GET /pub/a", 200), ("GET /pub/../etc", 403), ("GET /pub/%2e%2e/etc", 403),
            ("GET /etc", 403), ("POST /pub/a", 403), ("POST /api", 200), ("get /pub/a", 403),
            ("GET /pub//x", 403), ("DELETE /api", 403), ("GET /pub/%2f", 403),
            ("GET /%70ub/x", 200), ("OPTIONS *", 403), ("TRACE /pub/x", 403)]
    for line, code in rows:
        body = b"Content-Length: 0\r\n" if line.startswith("POST") else b""
        out = p.raw(line.encode() + b" HTTP/1.1\r\n" + h + body + b"Connection: close\r\n\r\n")
        assert out.startswith(b"HTTP/1.1 %d " % code), (line, out)
    out = p.raw(b"GET /pub/a HTTP/1.1\r\n" + h + b"X-Original-URL: /etc\r\n"
                b"Connection: close\r\n\r\n")
    assert b"x-airlock-denied: path" in out and b"names another path" in out, out


@case
def what_can_carry_data_out_needs_a_rule_with_post():
    origin = Origin(answer=lambda r: r.reply(b"ok"))
    p = Probe(origin, "methods=GET,HEAD,OPTIONS")
    for extra in (b"Content-Length: 5\r\n\r\nhello", b"X-HTTP-Method-Override: DELETE\r\n\r\n",
                  b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                  b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"):
        out = p.raw(b"GET / HTTP/1.1\r\n" + host(p) + extra)
        assert b"403 Forbidden" in out and b"x-airlock-denied: method" in out, (extra, out)
    assert not origin.requests


@case
def bodies_go_both_ways_in_every_framing():
    origin = Origin(answer=lambda r: r.reply(r.body, chunked="chunked" in r.path))
    p = Probe(origin, "methods=POST")
    body = os.urandom(300000)
    with open(p.dir + "/body", "wb") as f:
        f.write(body)
    for path in ("/length", "/chunked"):
        for headers in ([], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]):
            r = subprocess.run(["curl", *p.way(), *headers, "--data-binary",
                                "@" + p.dir + "/body", p.url(path)], stdout=subprocess.PIPE)
            assert r.stdout == body, (path, headers, len(r.stdout))
    out = p.raw(b"POST /chunked HTTP/1.0\r\n" + host(p) + b"Content-Length: 5\r\n\r\nhello")
    assert out.endswith(b"\r\n\r\nhello"), out
    assert b"chunked" not in out.split(b"\r\n\r\n")[0].lower(), out


@case
def a_response_until_the_end_is_whole_only_with_a_goodbye():
    def answer(r):
        r.s.sendall(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        if r.path == "/cut":
            os.close(os.dup(r.s.fileno()))
            r.s.shutdown(socket.SHUT_RDWR)
        return False
    p = Probe(Origin(answer=answer), "methods=GET")
    code, text = p.curl(path="/whole")
    assert code == 200 and "until the end" in text and "curl:" not in text, text
    code, text = p.curl(path="/cut")
    assert "curl:" in text, "a cut response looked whole: " + text


@case
def pipelined_requests_are_answered_in_order():
    origin = Origin(answer=lambda r: r.reply(r.path.encode()))
    p = Probe(origin, "methods=GET")
    data = b"".join(b"GET /%d HTTP/1.1\r\n" % i + host(p) + b"\r\n" for i in range(20))
    data += b"GET /last HTTP/1.1\r\n" + host(p) + b"Connection: close\r\n\r\n"
    out = p.raw(data)
    assert out.count(b"200 OK") == 21 and out.endswith(b"/last"), out[-200:]
    assert [r.path for r in origin.requests] == ["/%d" % i for i in range(20)] + ["/last"]
    assert origin.connections == 1


@case
def a_websocket_goes_through_where_post_may():
    def answer(r):
        r.s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                    b"Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello")
        while True:
            data = r.s.recv(4096)
            if not data:
                return False
            r.s.sendall(data.upper())
    p = Probe(Origin(answer=answer), "methods=GET,POST")
    with p.connect() as s:
        s.sendall(b"GET /ws HTTP/1.1\r\n" + host(p) + b"Connection: Upgrade\r\n"
                  b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        got = b""
        while b"hello" not in got:
            got += s.recv(4096)
        assert b" 101 " in got and b"websocket" in got.lower(), got
        s.sendall(b"frames")
        assert s.recv(100) == b"FRAMES"


@case
def large_heads_are_bounded():
    origin = Origin()
    p = Probe(origin, "methods=GET")
    code, text = p.curl("-H", "X-Large: " + "x" * 20000)
    assert code == 200
    out = p.raw(b"GET / HTTP/1.1\r\n" + host(p) + b"X-Large: " + b"x" * 40000 + b"\r\n\r\n")
    assert b"400 Bad Request" in out, out[:200]
    out = p.raw(b"GET / HTTP/1.1\r\n" + host(p) + b"".join(b"X%d: y\r\n" % i for i in range(20000)))
    assert b"400 Bad Request" in out or out == b"", out[:200]
    assert len(origin.requests) == 1
    big = Origin(answer=lambda r: r.reply(b"", headers="X: %s\r\n" % ("y" * 60000)))
    code, text = Probe(big, "methods=GET").curl()
    assert code == 502 and "x-airlock-denied: upstream" in text, text


@probe_only
def without_tls_the_same_checks_hold_and_nothing_is_injected():
    origin = Origin(tls=False)
    p = Probe(origin, "methods=GET", mode="clear")
    for data, code in ((b"GET / HTTP/1.1\r\n" + host(p) + b"Connection: close\r\n\r\n", 200),
                       (b"POST / HTTP/1.1\r\n" + host(p) + b"Content-Length: 0\r\n\r\n", 403)):
        with socket.create_connection(("127.0.0.1", p.port)) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            out = read_all(s)
        assert out.startswith(b"HTTP/1.1 %d " % code), out


# --- credentials ---------------------------------------------------------------------------------

INJECT = "methods=GET,POST inject=Authorization value=Bearer%20%24%7BTOKEN%7D"


@case
def a_secret_arrives_at_its_host_and_comes_back_masked():
    def answer(r):
        body = b"you sent " + r.headers.get("authorization", "-").encode() + b" to me"
        if r.path == "/slow":
            r.s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            for i in range(len(body)):
                r.s.sendall(body[i:i + 1])
            return
        r.reply(body, chunked=r.path == "/chunked", headers="X-Echo: %s\r\n" %
                r.headers.get("authorization", "-"))
    origin = Origin(answer=answer)
    p = Probe(origin, INJECT, secrets="TOKEN=%s\0" % SECRET)
    fake = p.placeholders["TOKEN"]
    assert len(fake) == len(SECRET) and fake != SECRET and fake.startswith("ghp_")
    for path in ("/length", "/chunked", "/slow"):
        for headers in ([], ["-H", "Authorization: other"],
                        ["-H", "Authorization: Bearer " + fake]):
            code, text = p.curl(*headers, path=path)
            assert code == 200, text
            assert origin.requests[-1].headers["authorization"] == "Bearer " + SECRET
            assert SECRET not in text and "you sent Bearer " + fake in text, (path, text)
    with open("/proc/%d/cmdline" % p.process.pid) as f:
        assert SECRET not in f.read()


@case
def a_clients_form_with_the_placeholder_in_it_is_kept():
    origin = Origin()
    p = Probe(origin, INJECT, secrets="TOKEN=%s\0" % SECRET)
    fake = p.placeholders["TOKEN"]
    code, text = p.curl("-u", "me:" + fake)
    want = "Basic " + base64.b64encode(("me:" + SECRET).encode()).decode()
    assert origin.requests[-1].headers["authorization"] == want
    assert code == 200 and want[6:] not in text, text
    assert base64.b64encode(("me:" + fake).encode()).decode() in text, text


@case
def a_placeholder_goes_nowhere_else():
    origin = Origin()
    p = Probe(origin, INJECT + " paths=/api/*", "methods=GET paths=/open/*",
              secrets="TOKEN=%s\0" % SECRET)
    fake = p.placeholders["TOKEN"]
    for arguments, path in ((["-H", "Authorization: Bearer " + fake], "/open/x"),
                            (["-H", "X-Other: " + fake], "/open/x"),
                            (["-u", "me:" + fake], "/open/x"),
                            (["-H", "X-Other: " + fake], "/api/x"),
                            ([], "/open/x?token=" + fake), ([], "/api/x?token=" + fake)):
        code, text = p.curl(*arguments, path=path)
        assert code == 403 and "x-airlock-denied: inject" in text, (arguments, path, text)
    assert not origin.requests
    p.said("inject 403 GET /open/x")
    code, text = p.curl(path="/open/x")
    assert code == 200 and "authorization" not in origin.requests[-1].headers


@case
def nothing_in_the_response_may_hide_the_secret():
    def answer(r):
        r.reply(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n" if r.path == "/gzip" else "")
    origin = Origin(answer=answer)
    p = Probe(origin, INJECT, secrets="TOKEN=%s\0" % SECRET)
    code, text = p.curl("-H", "Accept-Encoding: gzip", "-H", "Range: bytes=0-3", path="/plain")
    assert code == 200
    assert not {"accept-encoding", "range"} & set(origin.requests[-1].headers)
    code, text = p.curl(path="/gzip")
    assert code == 502 and "x-airlock-denied: inject" in text, text


@case
def a_missing_secret_is_a_refusal_and_plain_http_gets_none():
    origin = Origin()
    p = Probe(origin, INJECT)
    code, text = p.curl()
    assert code == 403 and "x-airlock-denied: inject" in text and not origin.requests, text
    if backend == "proxy":
        return
    plain = Origin(tls=False)
    p = Probe(plain, INJECT, mode="clear", secrets="TOKEN=%s\0" % SECRET)
    with socket.create_connection(("127.0.0.1", p.port)) as s:
        s.sendall(b"GET / HTTP/1.1\r\n" + host(p) + b"Connection: close\r\n\r\n")
        out = read_all(s)
    assert b"x-airlock-denied: inject" in out and not plain.requests, out


@case
def a_secret_is_not_given_to_a_host_that_cannot_prove_itself():
    origin = Origin("self")
    p = Probe(origin, INJECT, secrets="TOKEN=%s\0" % SECRET)
    code, text = p.curl()
    assert code == 502 and "tls-upstream" in text and SECRET not in text
    assert not origin.requests and SECRET.encode() not in origin.raw


# --- git ---------------------------------------------------------------------------------


def git_answer(directory):
    """git http-backend behind the origin; what it was told by Authorization is recorded."""
    def answer(r):
        path, _, query = r.path.partition("?")
        env = {**os.environ, "GIT_PROJECT_ROOT": directory, "GIT_HTTP_EXPORT_ALL": "1",
               "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": r.method,
               "CONTENT_TYPE": r.headers.get("content-type", ""), "REMOTE_USER": "me",
               "CONTENT_LENGTH": str(len(r.body)), "REMOTE_ADDR": "127.0.0.1",
               "HTTP_CONTENT_ENCODING": r.headers.get("content-encoding", ""),
               "GIT_PROTOCOL": r.headers.get("git-protocol", "")}
        out = subprocess.run(["git", "http-backend"], input=r.body, env=env,
                             stdout=subprocess.PIPE).stdout
        head, body = out.split(b"\r\n\r\n", 1)
        code, headers = "200 OK", ""
        for line in head.decode().split("\r\n"):
            if line.lower().startswith("status:"):
                code = line[7:].strip()
            else:
                headers += line + "\r\n"
        r.reply(body, code=code, headers=headers, chunked=True)
    return answer


def repository():
    d = tempfile.mkdtemp(dir=D)
    subprocess.run("git init -q --bare -b main app.git && "
                   "git -C app.git config http.receivepack true"
                   " && git init -q -b main w && cd w && git config user.email a@b && "
                   "git config user.name a && seq 20000 > f && git add f && git commit -qm one && "
                   "git push -q ../app.git main", shell=True, check=True, cwd=d)
    return d


def git(p, d, *arguments):
    return subprocess.run(
        ["git", *([] if p.proxied else
                   ["-c", "http.curloptResolve=a.example:%d:127.0.0.1" % p.port]),
         "-c", "protocol.version=2",
         "-c", "user.email=a@b", "-c", "user.name=a", *arguments],
        cwd=d, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "HOME": d,
             "GIT_SSL_CAINFO": p.ca, **p.env})


@case
def git_clones_with_a_token_that_it_does_not_have_and_may_not_push():
    d = repository()
    origin = Origin(answer=git_answer(d))
    p = Probe(origin, "git=read inject=Authorization "
              "value=Basic%20%24%7Bbase64%3Ax-access-token%3ATOKEN%7D",
              secrets="TOKEN=%s\0" % SECRET)
    r = git(p, d, "clone", "-q", p.url("/app.git"), "copy")
    assert r.returncode == 0 and os.path.exists(d + "/copy/f"), r.stdout
    want = "Basic " + base64.b64encode(("x-access-token:" + SECRET).encode()).decode()
    assert origin.requests and all(q.headers.get("authorization") == want
                                   for q in origin.requests)
    found = subprocess.run(["grep", "-rl", SECRET, d], stdout=subprocess.PIPE).stdout
    assert not found, found
    sh("cd %s/copy && git config user.email a@b && git config user.name a && "
       "git commit -q --allow-empty -m two" % d)
    r = git(p, d + "/copy", "push", "-q", "origin", "main")
    assert r.returncode and b"403" in r.stdout, r.stdout
    p.said("git 403 GET /app.git/info/refs")
    assert not [q for q in origin.requests if "receive-pack" in q.path]


@case
def git_pushes_to_the_branch_that_the_rule_names_and_to_no_other():
    d = repository()
    origin = Origin(answer=git_answer(d))
    p = Probe(origin, "git=push branch=task/*")
    r = git(p, d, "clone", "-q", p.url("/app.git"), "copy")
    assert r.returncode == 0, (r.stdout, p.lines)
    sh("cd %s/copy && git config user.email a@b && git config user.name a && seq 90000 >> f && "
       "git commit -qam two" % d)
    for buffer in ("1000000", "1000"):  # with a length, and chunked after a probe
        branch = "task/" + buffer
        r = git(p, d + "/copy", "-c", "http.postBuffer=" + buffer, "push", "-q", "origin",
                "HEAD:refs/heads/" + branch)
        assert r.returncode == 0, r.stdout
        assert subprocess.run(["git", "-C", d + "/app.git", "rev-parse", "--verify", "-q", branch],
                              stdout=subprocess.PIPE).returncode == 0
    r = git(p, d + "/copy", "push", "-q", "origin", "HEAD:refs/heads/main")
    assert r.returncode and b"403" in r.stdout, r.stdout
    r = git(p, d + "/copy", "push", "-q", "origin", "HEAD:refs/heads/task/b", "HEAD:refs/tags/x")
    assert r.returncode
    refs = subprocess.run(["git", "-C", d + "/app.git", "for-each-ref", "--format=%(refname)"],
                          stdout=subprocess.PIPE).stdout.decode().split()
    assert sorted(refs) == ["refs/heads/main", "refs/heads/task/1000", "refs/heads/task/1000000"]


# --- trust stores --------------------------------------------------------------------------------


@probe_only
def the_authority_reaches_bundle_environment_and_trust_store():
    p = Probe(Origin(), "methods=GET")
    # A private copy of the stores, in a mount namespace of its own.
    script = """
set -eu
mount -t tmpfs none /mnt; cp -a /etc/ssl /mnt/ssl; mount --bind /mnt/ssl /etc/ssl
mkdir -p /mnt/local; mount --bind /mnt/local /usr/local/share/ca-certificates
cd "$1"; mkdir trust
"$2" --dir "$1/trust" --store < ca.pem > env
before=$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)
"$2" --dir "$1/trust" --store < ca.pem > env       # a second task: replaced, not added
test "$before" = "$(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt)"
openssl verify -CApath /etc/ssl/certs ca.pem
openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt ca.pem
openssl verify -CAfile trust/ca-bundle.pem ca.pem
test -e /usr/local/share/ca-certificates/airlock.crt
curl -sS -o /dev/null -w '%{http_code}\n' --resolve a.example:$3:127.0.0.1 https://a.example:$3/
"""
    r = subprocess.run(["unshare", "-m", *([] if os.getuid() == 0 else ["-r"]), "bash", "-c",
                        script,
                        "x", p.dir, TRUST, str(p.port)], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    if r.returncode and b"unshare" in r.stdout:
        skip("no mount namespace here")
    assert r.returncode == 0 and r.stdout.count(b": OK") == 3, r.stdout
    assert r.stdout.endswith(b"200\n"), r.stdout
    with open(p.dir + "/env") as f:
        env = dict(line.rstrip("\n").split("=", 1) for line in f)
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "PIP_CERT",
                 "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO", "NPM_CONFIG_CAFILE",
                 "AWS_CA_BUNDLE", "DENO_CERT", "CODEX_PROXY_CERT"):
        assert env[name] == p.dir + "/trust/ca-bundle.pem", name


# How images of other families keep their authorities: what is made, the files that clients
# read, and where the family's own tool looks for additions.
LAYOUTS = {
    "alpine": ("mkdir -p /etc/ssl/certs; cp $B /etc/ssl/certs/ca-certificates.crt; "
               "ln -s certs/ca-certificates.crt /etc/ssl/cert.pem",
               ("/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"),
               "/usr/local/share/ca-certificates/airlock.crt"),
    "rhel": ("mkdir -p /etc/pki/ca-trust/extracted/pem /etc/pki/ca-trust/source/anchors "
             "/etc/pki/tls/certs /etc/ssl; cd /etc/pki/ca-trust/extracted/pem; "
             "cp $B tls-ca-bundle.pem; cd /etc/pki/tls/certs; "
             "ln -s ../../ca-trust/extracted/pem/tls-ca-bundle.pem ca-bundle.crt; "
             "ln -s ../pki/tls/certs /etc/ssl/certs",
             ("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
              "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-bundle.crt"),
             "/etc/pki/ca-trust/source/anchors/airlock.pem"),
    "suse": ("mkdir -p /var/lib/ca-certificates /etc/ssl /etc/pki/trust/anchors; "
             "cp $B /var/lib/ca-certificates/ca-bundle.pem; "
             "ln -s /var/lib/ca-certificates/ca-bundle.pem /etc/ssl/ca-bundle.pem",
             ("/var/lib/ca-certificates/ca-bundle.pem", "/etc/ssl/ca-bundle.pem"),
             "/etc/pki/trust/anchors/airlock.pem"),
}


@probe_only
def the_stores_of_other_families_are_found_and_their_links_kept():
    p = Probe(Origin(), "methods=GET")
    for name, (make, files, addition) in LAYOUTS.items():
        script = """
set -eu
mount -t tmpfs none /mnt; cp /etc/ssl/certs/ca-certificates.crt /mnt/bundle; B=/mnt/bundle
mkdir -p /mnt/var /mnt/local
mount --bind /mnt/var /var/lib; mount --bind /mnt/local /usr/local/share/ca-certificates
mount -t tmpfs none /etc
""" + make + """
cd "$1"; rm -rf trust; mkdir trust
for round in 1 2; do "$2" --dir "$1/trust" --store < ca.pem > env; done
for f in """ + " ".join(files) + """; do
        openssl verify -CAfile $f ca.pem
        test $(grep -c BEGIN $f) = $(($(grep -c BEGIN $B) + 1))
done
openssl verify -CAfile trust/ca-bundle.pem ca.pem
test $(grep -c BEGIN trust/ca-bundle.pem) = $(($(grep -c BEGIN $B) + 1))
test -s """ + addition + """
find /etc /var/lib -type l | wc -l
"""
        r = subprocess.run(["unshare", "-m", *([] if os.getuid() == 0 else ["-r"]), "bash", "-c",
                            script, "x", p.dir, TRUST], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
        if r.returncode and b"unshare" in r.stdout:
            skip("no mount namespace here")
        assert r.returncode == 0, (name, r.stdout)
        assert r.stdout.count(b": OK") == len(files) + 1, (name, r.stdout)
        assert int(r.stdout.split()[-1]) == make.count("ln -s"), (name, r.stdout)


@case
def keep_alive_requests_are_many_a_second():
    """Not a judgement: a number for the log, on a loaded machine."""
    p = Probe(Origin(answer=lambda r: r.reply(b"ok")), "methods=GET")
    with p.connect() as s:
        request = b"GET / HTTP/1.1\r\n" + host(p) + b"\r\n"
        began = time.monotonic()
        for _ in range(500):
            s.sendall(request)
            assert s.recv(4096)
        print("    %d intercepted GET/s by one Python client and a Python origin" %
              (500 / (time.monotonic() - began)))


main()
