"""tests/e2e/test_proxy_clients.py - real programs through airlock-proxy, by variable and by
SOCKS: what people run, not what we think they send."""
import netlab
netlab.enter()

import os  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402

from lib import case, main, skip, until  # noqa: E402
from netlab import (ALLOWED, TMP, Nameserver, Proxy, Server, certificate, have, http,  # noqa: E402
                    text_file)

web = Server(ALLOWED, 80, http)
tls = Server(ALLOWED, 443, http, tls=True)
names = Nameserver()
CA = certificate()[0]


def environment(proxy):
    clean = {k: v for k, v in os.environ.items()
             if k.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
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


@case
def programs_that_know_no_proxy_find_their_way_by_name():
    """DNS and transparent connections together, as the netfilter lock has them."""
    if subprocess.run(["nft", "list", "ruleset"], capture_output=True).returncode:
        skip("no nft here")
    for s in (web, tls):
        s.clear()
    names.asked.clear()
    c = netlab.Child("--mark", "77", "--resolv", names.docker())
    assert c.policy("mode limited\nallow allowed.example\n") == 0
    dns = c.listen(netlab.LISTEN_DNS_UDP)
    port = c.listen(netlab.LISTEN_REDIRECTED)
    subprocess.run(["ip", "route", "replace", "local", "198.18.0.0/15", "dev", "lo"], check=True)
    rules = ("table inet t { chain o { type nat hook output priority -110; "
             "meta mark 77 accept; udp dport 53 redirect to :%d; "
             "ip daddr 198.18.0.0/15 meta l4proto tcp redirect to :%d; }; }" % (dns, port))
    if subprocess.run(["nft", rules], capture_output=True).returncode:
        skip("no nat in this kernel")
    resolv = text_file("agent-resolv", "nameserver 93.184.216.53\noptions timeout:2\n")

    def inside(*argv, code=0):
        if not have(argv[0]):
            skip("no " + argv[0])
        r = subprocess.run(["unshare", "--mount", "sh", "-c",
                            'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv, *argv],
                           capture_output=True, timeout=15,
                           env=dict(PATH=os.environ["PATH"], HOME=TMP, SSL_CERT_FILE=CA,
                                    NODE_EXTRA_CA_CERTS=CA))
        assert r.returncode == code, (argv, r.returncode, r.stdout[-300:], r.stderr[-500:])
        return r.stdout
    try:
        for url in ("http://allowed.example/t", "https://allowed.example/t"):
            assert inside("curl", "-sS", url) == b"GET /t 0\n"
            assert inside("/usr/bin/python3", "-c", "import urllib.request as u;"
                          "print(u.urlopen('%s').read())" % url) == b"b'GET /t 0\\n'\n"
            assert inside("node", "-e", "require('%s').get('%s', r => r.pipe(process.stdout))"
                          % (url.split(":")[0], url)) == b"GET /t 0\n"
        inside("curl", "-sS", "http://evil.example/", code=6)
        assert not names.asked or set(names.asked) == {"allowed.example"}, names.asked
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "t"], check=True)


main()
