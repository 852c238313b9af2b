"""tests/e2e/test_proxy_clients.py - real programs through airlock-proxy, by variable, by SOCKS
and transparently, looked into and not: what people run, not what we think they send."""
import javascript
import netlab
NODE_PROGRAMS = javascript.fetch()  # from the network that netlab leaves
netlab.enter()

import base64  # noqa: E402
import hashlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import tarfile  # noqa: E402
import threading  # noqa: E402
import zipfile  # noqa: E402

from lib import case, main, skip, until  # noqa: E402
from netlab import (ALLOWED, TMP, Nameserver, Proxy, Server, certificate, have, http,  # noqa: E402
                    text_file)

if NODE_PROGRAMS:
    os.environ["PATH"] += ":" + NODE_PROGRAMS
web = Server(ALLOWED, 80, http)
tls = Server(ALLOWED, 443, http, tls=True)
names = Nameserver()
CA = certificate()[0]


def environment(proxy):
    clean = {k: v for k, v in os.environ.items()
             if k.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY") if proxy else ():
        clean[name] = proxy.url
    clean.update(no_proxy="localhost,127.0.0.1", NO_PROXY="localhost,127.0.0.1", HOME=TMP,
                 SSL_CERT_FILE=CA, CURL_CA_BUNDLE=CA, GIT_SSL_CAINFO=CA, NODE_EXTRA_CA_CERTS=CA,
                 NODE_USE_ENV_PROXY="1", GIT_TERMINAL_PROMPT="0")
    return clean


def allowing(*options):
    for s in (web, tls):
        s.clear()
    return Proxy("--allow", "example", *options)


def run(proxy, *argv, code=0, **options):
    if not have(argv[0]):
        skip("no " + argv[0])
    r = subprocess.run(argv, capture_output=True, timeout=15, env=environment(proxy), **options)
    assert r.returncode == code, (argv, r.returncode, r.stdout[-500:], r.stderr[-500:])
    return r.stdout


@case
def curl_by_variable():
    proxy = allowing()
    assert run(proxy, "curl", "-sS", "http://allowed.example/c") == b"GET /c 0\n"
    assert run(proxy, "curl", "-sS", "https://allowed.example/c") == b"GET /c 0\n"
    assert run(proxy, "curl", "-sS", "-d", "x" * 2000, "http://allowed.example/p",
               "http://allowed.example/p") == b"POST /p 2000\n" * 2
    assert run(proxy, "curl", "-sS", "-T", "-", "http://allowed.example/up",
               input=b"y" * 100000) == b"PUT /up 100000\n"
    assert b"not-allowed" in run(proxy, "curl", "-sS", "http://evil.test/")
    # 56: the proxy answered CONNECT with something else than 200
    run(proxy, "curl", "-sS", "https://evil.test/", code=56)


@case
def curl_by_socks():
    proxy = allowing()
    at = "127.0.0.1:%d" % proxy.port
    for url in ("http://allowed.example/s", "https://allowed.example/s"):
        assert run(proxy, "curl", "-sS", "--socks5-hostname", at, url) == b"GET /s 0\n"
    # 97: refused by the SOCKS server
    run(proxy, "curl", "-sS", "--socks5-hostname", at, "https://evil.test/", code=97)


@case
def curl_through_a_unix_socket():
    proxy = allowing("--listen", "unix:" + TMP + "/p.sock")
    until(lambda: os.path.exists(TMP + "/p.sock"), "the socket")
    assert run(proxy, "curl", "-sS", "--noproxy", "*", "--unix-socket", TMP + "/p.sock",
               "--request-target", "http://allowed.example/unix", "http://allowed.example/unix"
               ) == b"GET /unix 0\n"


@case
def curl_sends_many_at_once():
    proxy = allowing()
    urls = ["https://allowed.example/%d" % i for i in range(60)]
    out = run(proxy, "curl", "-sS", "--parallel", "--parallel-max", "30", *urls)
    assert out.count(b"\n") == 60


@case
def wget_and_python_and_node():
    proxy = allowing()
    assert run(proxy, "wget", "-qO-", "http://allowed.example/w") == b"GET /w 0\n"
    assert run(proxy, "wget", "-qO-", "--ca-certificate", CA,
               "https://allowed.example/w") == b"GET /w 0\n"
    code = ("import urllib.request as u;"
            "print(u.urlopen('http://allowed.example/py').read(),"
            "u.urlopen('https://allowed.example/py').read())")
    assert run(proxy, "/usr/bin/python3", "-c", code).count(b"GET /py 0") == 2


@case
def node_by_connect():
    proxy = allowing()
    code = """
        const http = require('http'), tls = require('tls');
        const [host, port] = ['127.0.0.1', %d];
        const r = http.request({host, port, method: 'CONNECT', path: 'allowed.example:443'});
        r.on('connect', (_, socket) => {
            const t = tls.connect({socket, servername: 'allowed.example'}, () =>
                t.write('GET /node HTTP/1.1\\r\\nHost: allowed.example\\r\\n' +
                        'Connection: close\\r\\n\\r\\n'));
            t.on('data', d => process.stdout.write(d));
        });
        r.end();""" % proxy.port
    assert b"GET /node 0" in run(proxy, "node", "-e", code)


def git_http(server, connection):
    """git http-backend behind a few lines of CGI."""
    reader = netlab.Reader(server, connection)
    while True:
        head, body = netlab.read_request(reader)
        server.seen.requests.append((head, body))
        lines = head.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        path, _, query = target.partition("?")
        headers = {k.lower(): v for k, v in (s.split(": ", 1) for s in lines[1:] if ": " in s)}
        env = dict(os.environ, GIT_PROJECT_ROOT=TMP + "/repos", GIT_HTTP_EXPORT_ALL="1",
                   REQUEST_METHOD=method, PATH_INFO=path, QUERY_STRING=query,
                   CONTENT_TYPE=headers.get("content-type", ""), REMOTE_USER="me",
                   HTTP_CONTENT_ENCODING=headers.get("content-encoding", ""),
                   GIT_PROTOCOL=headers.get("git-protocol", ""), CONTENT_LENGTH=str(len(body)))
        out = subprocess.run(["git", "http-backend"], input=body, env=env,
                             capture_output=True).stdout
        top, _, rest = out.partition(b"\r\n\r\n")
        status = b"200 OK"
        kept = []
        for line in top.split(b"\r\n"):
            if line.lower().startswith(b"status: "):
                status = line[8:]
            else:
                kept.append(line)
        connection.sendall(b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(kept) +
                           b"\r\nContent-Length: %d\r\n\r\n" % len(rest) + rest)


def repository():
    def git(*arguments, cwd):
        subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments],
                       cwd=cwd, check=True, capture_output=True)
    if os.path.exists(TMP + "/repos"):
        return
    os.makedirs(TMP + "/work", exist_ok=True)
    git("init", "-q", "-b", "main", cwd=TMP + "/work")
    for i in range(20):
        with open(TMP + "/work/f%d" % i, "wb") as f:
            f.write(os.urandom(3000))
    git("add", ".", cwd=TMP + "/work")
    git("commit", "-qm", "one", cwd=TMP + "/work")
    os.makedirs(TMP + "/repos", exist_ok=True)
    git("clone", "-q", "--bare", TMP + "/work", TMP + "/repos/r.git", cwd=TMP)
    git("config", "http.receivepack", "true", cwd=TMP + "/repos/r.git")


@case
def git_clones_pushes_and_is_held_to_reading():
    if not have("git"):
        skip("no git")
    repository()
    host = "93.184.216.11"
    plain = Server(host, 80, git_http)
    secure = Server(host, 443, git_http, tls=True)
    names.zone["git.example"] = ([host], [])
    proxy = allowing()
    run(proxy, "git", "clone", "-q", "https://git.example/r.git", TMP + "/one")
    assert len(os.listdir(TMP + "/one")) == 21
    run(proxy, "git", "-C", TMP + "/one", "-c", "user.name=n", "-c", "user.email=e@x", "commit",
        "-q", "--allow-empty", "-m", "two")
    run(proxy, "git", "-C", TMP + "/one", "push", "-q", "origin", "HEAD:refs/heads/two")

    proxy = Proxy("--rules", text_file("g", "rule host=git.example git=read\n"))
    run(proxy, "git", "clone", "-q", "http://git.example/r.git", TMP + "/two")
    run(proxy, "git", "-C", TMP + "/two", "-c", "user.name=n", "-c", "user.email=e@x", "commit",
        "-q", "--allow-empty", "-m", "three")
    run(proxy, "git", "-C", TMP + "/two", "push", "-q", "origin", "HEAD:refs/heads/three",
        code=128)
    assert proxy.event(verdict="deny")["reason"] == "git"

    proxy = Proxy("--rules", text_file("g", "rule host=git.example git=push branch=airlock/*\n"))
    push = ("git", "-C", TMP + "/two", "push", "-q", "origin")
    run(proxy, *push, "HEAD:refs/heads/airlock/three")
    run(proxy, *push, "HEAD:refs/heads/main", code=1)
    refs = subprocess.run(["git", "-C", TMP + "/repos/r.git", "for-each-ref", "--format",
                           "%(refname)"], capture_output=True, text=True).stdout.split()
    assert refs == ["refs/heads/airlock/three", "refs/heads/main", "refs/heads/two"], refs
    plain.close()
    secure.close()


@case
def loopback_servers_go_direct():
    local = socket.socket()
    local.bind(("127.0.0.1", 0))
    local.listen(5)

    def serve():
        connection, _ = local.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        connection.close()
    threading.Thread(target=serve, daemon=True).start()
    proxy = allowing()
    assert run(proxy, "curl", "-sS", "http://localhost:%d/" % local.getsockname()[1]) == b"hi"
    local.close()


# --- transparently, and looked into -----------------------------------------------------

TOLD = "told"  # no rule looks inside, but clients know the task's authority


def world_of(looked):
    """(options of the proxy's, a bundle that its clients should trust)."""
    if not looked:
        return [], CA
    if os.path.exists(TMP + "/task-ca.pem"):
        os.unlink(TMP + "/task-ca.pem")
    return ["--ca-out", TMP + "/task-ca.pem", "--ca-bundle", CA], TMP + "/bundle.pem"


def bundle(looked):
    """What a task's clients get: the image's authorities, and the task's."""
    if looked:
        def whole():
            if not os.path.exists(TMP + "/task-ca.pem"):
                return None
            with open(TMP + "/task-ca.pem") as f:
                text = f.read()
            return text if "END CERTIFICATE" in text else None
        task = until(whole, "the task's authority")
        with open(CA) as f, open(TMP + "/bundle.pem", "w") as to:
            to.write(f.read() + task)


HOSTS = ("allowed.example", "packages.example", "git.example")


class Variable:
    """Programs that heed http_proxy and its like, or are told of the proxy."""

    def __init__(self, looked=True):
        options, self.ca = world_of(looked)
        what = " methods=GET,HEAD,POST" if looked is True else ""
        rules = "".join("rule host=%s%s\nrule host=%s ports=22\n" % (h, what, h) for h in HOSTS)
        self.proxy = Proxy("--rules", text_file("rules", rules), *options)
        self.port = self.proxy.port
        bundle(looked)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.stop()

    def run(self, *argv, code=0, seconds=40, **more):
        env = {**environment(self.proxy), **trusting(self.ca), **more.pop("env", {})}
        return finish(subprocess.run(argv, capture_output=True, timeout=seconds, env=env, **more),
                      code)


class Transparent:
    """Programs that know no proxy: DNS and redirected connections, as netfilter has them."""

    port = 0

    def __init__(self, looked=False):
        if subprocess.run(["nft", "list", "ruleset"], capture_output=True).returncode:
            skip("no nft here")
        options, self.ca = world_of(looked)
        what = " methods=GET,HEAD,POST" if looked is True else ""
        self.child = c = netlab.Child("--mark", "77", "--resolv", names.docker(), *options)
        bundle(looked)
        text = "mode limited\n" + "".join("rule host=%s%s\nrule host=%s ports=22\n" % (h, what, h)
                                          for h in HOSTS)
        assert c.policy(text) == 0
        dns, port = c.listen(netlab.LISTEN_DNS_UDP), c.listen(netlab.LISTEN_REDIRECTED)
        subprocess.run(["ip", "route", "replace", "local", "198.18.0.0/15", "dev", "lo"],
                       check=True)
        rules = ("table inet t { chain o { type nat hook output priority -110; "
                 "meta mark 77 accept; udp dport 53 redirect to :%d; "
                 "ip daddr 198.18.0.0/15 meta l4proto tcp redirect to :%d; }; }" % (dns, port))
        if subprocess.run(["nft", rules], capture_output=True).returncode:
            skip("no nat in this kernel")
        self.resolv = text_file("agent-resolv", "nameserver 93.184.216.53\noptions timeout:2\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["nft", "delete", "table", "inet", "t"], check=True)
        self.child.end()

    def run(self, *argv, code=0, seconds=40, **more):
        env = {**environment(None), **trusting(self.ca), **more.pop("env", {})}
        return finish(subprocess.run(
            ["unshare", "--mount", "sh", "-c",
             'mount --bind "$0" /etc/resolv.conf && exec "$@"', self.resolv, *argv],
            capture_output=True, timeout=seconds, env=env, **more), code)


def trusting(ca):
    return {name: ca for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
                                  "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "NPM_CONFIG_CAFILE")}


def finish(r, code):
    assert r.returncode == code, (r.args, r.returncode, r.stdout[-500:], r.stderr[-1500:])
    return r.stdout


def each_way(*ways):
    """A case for each way: its name, then how the client gets there."""
    def register(function):
        for way, looked in ways:
            def one(way=way, looked=looked):
                with way(looked) as w:
                    names.asked.clear()
                    packages.clear()
                    function(w)
                    assert set(names.asked) <= set(HOSTS), names.asked
            how = {True: "_looked_into", TOLD: "_told", False: ""}[looked]
            one.__name__ = "%s_%s%s" % (function.__name__, way.__name__.lower(), how)
            case(one)
        return function
    return register


ALL = ((Variable, True), (Transparent, False))
DIRECT = ((Transparent, False), (Transparent, True))


@each_way(*DIRECT)
def curl_python_and_node_know_no_proxy(w):
    for url in ("http://allowed.example/t", "https://allowed.example/t"):
        assert w.run("curl", "-sS", url) == b"GET /t 0\n"
        assert w.run("/usr/bin/python3", "-c", "import urllib.request as u;"
                     "print(u.urlopen('%s').read())" % url) == b"b'GET /t 0\\n'\n"
        if have("node"):
            assert w.run("node", "-e", "require('%s').get('%s', r => r.pipe(process.stdout))"
                         % (url.split(":")[0], url)) == b"GET /t 0\n"
    w.run("curl", "-sS", "http://evil.example/", code=6)


@each_way(*DIRECT)
def nodes_fetch(w):
    if not have("node"):
        skip("no node")
    code = """(async () => {
        for (const [path, options] of [["/f", {}], ["/f", { method: "POST", body: "12345" }]]) {
            const r = await fetch("https://allowed.example" + path, options);
            process.stdout.write(await r.text());
        } })();"""
    assert w.run("node", "-e", code) == b"GET /f 0\nPOST /f 5\n"
    assert b"ENOTFOUND" in w.run("node", "-e", "fetch('https://evil.example/')"
                                 ".catch(e => console.log(e.cause.code))")


@each_way(*DIRECT)
def nodes_websocket(w):
    if not have("node"):
        skip("no node")
    flags = []
    known = "process.exit(typeof WebSocket == 'function' ? 0 : 1)"
    if subprocess.run(["node", "-e", known]).returncode:
        flags = ["--experimental-websocket"]
        if subprocess.run(["node", *flags, "-e", "0"], capture_output=True).returncode:
            skip("this node has no WebSocket")
    code = """const s = new WebSocket("%s://allowed.example/ws");
        s.onopen = () => s.send("over there");
        s.onmessage = e => { console.log(e.data); s.close(); process.exit(0); };
        s.onerror = e => { console.log(e.message); process.exit(1); };"""
    for scheme in ("ws", "wss"):
        assert w.run("node", *flags, "-e", code % scheme) == b"over there\n"


@each_way((Variable, True), (Transparent, True), (Transparent, TOLD))
def chromium_reads_a_page(w):
    """With ECH made up in every hello, and its request sent before the handshake is over."""
    if not have("chromium"):
        skip("no chromium")
    home = clean("chromium")
    way = ["--proxy-server=http://127.0.0.1:%d" % w.port] if w.port else []
    # Its trust store is its own, and nobody fills it: hence the third option.
    out = w.run("chromium", "--headless", "--no-sandbox", "--ignore-certificate-errors",
                "--disable-gpu", "--disable-quic", "--user-data-dir=" + home, *way, "--dump-dom",
                "https://packages.example/simple/hello/", env={"HOME": home})
    assert b"hello-1.0.0-py3-none-any.whl</a>" in out, out
    fetched("/simple/hello/")


# --- package managers -------------------------------------------------------------------

def archive(kind, files):
    """A zip or a tar.gz in memory."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as z:
            for name, text in files.items():
                z.writestr(name, text)
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as t:
            for name, text in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                t.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def shelf():
    """Path -> bytes: hello 1.0.0 for everybody."""
    wheel = archive("zip", {
        "hello.py": "word = 'hello'\n", "hello-1.0.0.dist-info/RECORD": "",
        "hello-1.0.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0.0\n",
        "hello-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\n"
                                       "Root-Is-Purelib: true\nTag: py3-none-any\n"})
    package = archive("tar", {"package/package.json": '{"name":"hello","version":"1.0.0"}',
                              "package/index.js": "module.exports = 'hello';\n"})
    module = archive("zip", {"packages.example/m@v1.0.0/go.mod": "module packages.example/m\n"})
    deb = b"not really a package, which apt-get download does not mind"
    listing = ("Package: hello\nVersion: 1.0.0\nArchitecture: all\nMaintainer: x <x@x>\n"
               "Filename: ./hello_1.0.0_all.deb\nSize: %d\nSHA256: %s\nDescription: x\n\n"
               % (len(deb), hashlib.sha256(deb).hexdigest())).encode()
    release = "Origin: x\nDate: Sat, 21 Nov 2026 10:00:00 UTC\nSHA256:\n %s %d Packages\n" % (
        hashlib.sha256(listing).hexdigest(), len(listing))
    about = {"name": "hello", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
        "name": "hello", "version": "1.0.0", "dist": {
            "tarball": "https://packages.example/hello/-/hello-1.0.0.tgz",
            "shasum": hashlib.sha1(package).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()}}}}
    go = "/packages.example/m/@v/v1.0.0"
    wheel_at = "/hello-1.0.0-py3-none-any.whl"
    return {"/simple/hello/": b'<!DOCTYPE html><a href="%s">%s</a>' % ((wheel_at.encode(),
                                                                        wheel_at[1:].encode())),
            wheel_at: wheel, "/hello": json.dumps(about).encode(),
            "/hello/-/hello-1.0.0.tgz": package, go + ".zip": module,
            go + ".info": b'{"Version":"v1.0.0","Time":"2026-01-01T00:00:00Z"}',
            go + ".mod": b"module packages.example/m\n", "/apt/./Packages": listing,
            "/apt/./Release": release.encode(), "/apt/Packages": listing,
            "/apt/Release": release.encode(), "/apt/./hello_1.0.0_all.deb": deb,
            "/apt/hello_1.0.0_all.deb": deb}


def registry(server, connection):
    reader = netlab.Reader(server, connection)
    while True:
        head, body = netlab.read_request(reader)
        server.seen.requests.append((head, body))
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        found = SHELF.get(path)
        kind = b"text/html" if path.startswith("/simple") else b"application/octet-stream"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (
            b"200 OK" if found else b"404 Not Found", kind, len(found or b""),
            b"" if method == "HEAD" else found or b""))


SHELF = shelf()
packages = Server(netlab.PACKAGES, 443, registry, tls=True)


def clean(name):
    path = TMP + "/" + name
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    return path


def fetched(path):
    assert any(b"GET " + path.encode() + b" " in head for head, _ in packages.seen.requests), \
        packages.seen.requests


@each_way(*ALL)
def pip_installs(w):
    if not have("pip3"):
        skip("no pip")
    d = clean("pip")
    w.run("pip3", "install", "-q", "--no-cache-dir", "--disable-pip-version-check", "--target", d,
          "--root-user-action=ignore", "-i", "https://packages.example/simple", "hello", cwd=d)
    assert os.path.exists(d + "/hello.py")
    fetched("/hello-1.0.0-py3-none-any.whl")
    w.run("pip3", "download", "-q", "--no-cache-dir", "--disable-pip-version-check", "--retries",
          "0", "-i", "https://evil.example/simple", "hello", cwd=d, code=1)


@each_way(*ALL)
def npm_installs(w):
    node_package(w, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error")


@each_way(*ALL)
def yarn_installs(w):
    node_package(w, "yarn", "add", "--silent")


@each_way(*ALL)
def pnpm_installs(w):
    node_package(w, "pnpm", "add", "--silent", "--store-dir", TMP + "/pnpm-store")


def node_package(w, program, *words):
    if not have(program):
        skip("no " + program)
    d = clean(program)
    with open(d + "/package.json", "w") as f:
        f.write('{"name": "mine", "version": "1.0.0", "private": true}')
    for leftover in (".npm", ".cache", "pnpm-store", ".local"):
        shutil.rmtree(TMP + "/" + leftover, ignore_errors=True)
    w.run(program, *words, "hello", cwd=d,
          env={"npm_config_registry": "https://packages.example/",
               "YARN_REGISTRY": "https://packages.example/",
               "YARN_CACHE_FOLDER": d + "/yarn-cache",
               "npm_config_update_notifier": "false"})
    assert os.path.exists(d + "/node_modules/hello/index.js"), os.listdir(d)
    fetched("/hello/-/hello-1.0.0.tgz")


@each_way(*ALL)
def go_downloads_a_module(w):
    if not have("go"):
        skip("no go")
    d = clean("go")
    env = {"GOPROXY": "https://packages.example", "GOSUMDB": "off", "GOPATH": d,
           "GOFLAGS": "-modcacherw", "GOCACHE": d + "/cache"}
    out = json.loads(w.run("go", "mod", "download", "-json", "packages.example/m@v1.0.0", cwd=d,
                           env=env))
    assert os.path.exists(out["Dir"] + "/go.mod"), out
    fetched("/packages.example/m/@v/v1.0.0.zip")
    env["GOPROXY"] = "https://evil.example"
    w.run("go", "mod", "download", "evil.example/m@v1.0.0", cwd=d, env=env, code=1)


@each_way(*ALL)
def apt_updates_and_downloads(w):
    if not have("apt-get"):
        skip("no apt-get")
    d = clean("apt")
    for part in ("state/lists/partial", "cache/archives/partial", "etc", "log"):
        os.makedirs(d + "/" + part)
    with open(d + "/list", "w") as f:
        f.write("deb [trusted=yes] https://packages.example/apt ./\n")
    with open(d + "/status", "w"):
        pass
    options = ["Dir::State=" + d + "/state", "Dir::Cache=" + d + "/cache", "Dir::Log=" + d + "/log",
               "Dir::Etc::SourceList=" + d + "/list", "Dir::Etc::SourceParts=/dev/null",
               "Dir::State::status=" + d + "/status", "APT::Sandbox::User=root",
               "Acquire::https::CAInfo=" + w.ca, "Acquire::Languages=none",
               "Acquire::Check-Valid-Until=false", "Acquire::Check-Date=false"]
    apt = ["apt-get", "-qq"] + [x for o in options for x in ("-o", o)]
    w.run(*apt, "update", cwd=d)
    w.run(*apt, "download", "hello", cwd=d)
    with open(d + "/hello_1.0.0_all.deb", "rb") as f:
        assert f.read() == SHELF["/apt/hello_1.0.0_all.deb"]


@each_way(*ALL)
def java_reads_a_page(w):
    if not have("java"):
        skip("no java")
    trust = netlab.ROOT + "/build/release/airlock-trust"
    d = clean("java")
    with open(w.ca, "rb") as f:
        text = f.read()
    last = text[text.rindex(b"-----BEGIN"):]  # the task's, or the server's own
    given = subprocess.run([trust, "--dir", d], input=last, capture_output=True, check=True).stdout
    env = dict(line.split("=", 1) for line in given.decode().splitlines()
               if line.startswith("JAVA"))
    assert env, given
    with open(d + "/G.java", "w") as f:
        f.write("""public class G { public static void main(String[] a) throws Exception {
            var in = new java.net.URL("https://allowed.example/java").openStream();
            System.out.print(new String(in.readAllBytes())); } }""")
    # A JVM heeds no variable: a proxy has to be a property.
    way = ["-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=%d" % w.port] if w.port else []
    assert w.run("java", *way, d + "/G.java", env=env) == b"GET /java 0\n"


# --- git over ssh -----------------------------------------------------------------------

def ssh_server():
    """sshd on git.example's address; ssh's options for it. Ends with the case."""
    d = clean("ssh")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/" + key],
                       check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    with open(d + "/config", "w") as f:
        f.write("ListenAddress 93.184.216.11:22\nHostKey %s/host\nPidFile none\n"
                "AuthorizedKeysFile %s/user.pub\nStrictModes no\nUsePAM no\n"
                "PermitRootLogin prohibit-password\n" % (d, d))
    sshd = netlab.start(["/usr/sbin/sshd", "-D", "-e", "-f", d + "/config"])
    while b"listening" not in (line := sshd.stderr.readline()):
        assert line, "sshd ended"
    return ["-i", d + "/user", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", "-o",
            "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


@each_way((Variable, False), (Transparent, False))
def git_clones_and_pushes_over_ssh(w):
    if os.getuid():
        skip("sshd wants root")
    if not have("/usr/sbin/sshd") or not have("git"):
        skip("no sshd or git")
    repository()
    names.zone["git.example"] = (["93.184.216.11"], [])
    options = ssh_server()
    if w.port:  # ssh heeds no variable either
        options += ["-o", "'ProxyCommand=nc -X connect -x 127.0.0.1:%d %%h %%p'" % w.port]
    env = {"GIT_SSH_COMMAND": " ".join(["ssh", *options])}
    d = clean("cloned")
    w.run("git", "clone", "-q", "ssh://root@git.example" + TMP + "/repos/r.git", d, env=env)
    assert len(os.listdir(d)) == 21
    w.run("git", "-C", d, "push", "-q", "origin", "HEAD:refs/heads/by-ssh-%d" % w.port, env=env)


main()
