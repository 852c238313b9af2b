"""tests/e2e/matrix_agent.py - the agent of a cell: attacks, then does its honest work.

    python3 matrix_agent.py OUT MODE LOCK [attack|work|sockets|linger SECONDS|race]

Writes OUT/cell.json: {"attacks": [[name, open, detail]], "work": [[name, good, detail]]}.
Standard library only; runs in every engine's image and over the machine's own root.
"""
import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
OUT, MODE, LOCK = sys.argv[1:4]
ALLOWED4, ALLOWED6, EVIL4, PUBLIC4 = "10.77.0.80", "fd77::80", "10.77.0.66", "93.184.216.34"
found = {"attacks": [], "work": []}


def note(kind, name, flag, detail=""):
    found[kind].append([name, bool(flag), str(detail)[-600:]])


# --- attacks ----------------------------------------------------------------------------------

def program(*words, name="matrix_attack"):
    done = subprocess.run([HERE + "/" + name, *words], stdin=subprocess.DEVNULL, timeout=40,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in done.stdout.splitlines():
        words = line.split(" ", 2)
        if len(words) > 1 and words[1] in ("OPEN", "shut"):
            note("attacks", ("setuid " if "suid" in name else "") + words[0], words[1] == "OPEN",
                 words[2] if len(words) > 2 else "")


def proxy():
    url = os.environ.get("http_proxy", "")
    host, _, port = url.rpartition("/")[2].rpartition(":")
    return (host, int(port)) if port.isdigit() else None


def say(address, data, then=b""):
    """What comes back for @data; @then is sent after the first answer."""
    got = b""
    try:
        with socket.create_connection(address, 3) as s:
            s.settimeout(3)
            s.sendall(data)
            while True:
                more = s.recv(4096)
                if not more:
                    break
                got += more
                if then:
                    s.sendall(then)
                    then = b""
                elif b"EVIL" in got or b"\r\n\r\n" in got:
                    break
    except OSError as error:
        got += str(error).encode()
    return got.decode("latin-1")


def misuse(door):
    """The proxy asked for what it must not do; evil.test, and the word evil, must never arrive."""
    def get(target, host, extra=""):
        return ("GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n" %
                (target, host, extra)).encode()

    def connect(target):
        return ("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (target, target)).encode()
    asks = {
        "connect-evil": (connect(EVIL4 + ":6666"), b"evil"),
        "connect-evil-80": (connect(EVIL4 + ":80"), get("/", EVIL4)),
        "connect-evil6": (connect("[fd77::66]:6666"), b"evil"),
        "connect-mapped": (connect("[::ffff:10.77.0.66]:6666"), b"evil"),
        "connect-decimal": (connect("172818498:6666"), b"evil"),
        "connect-metadata": (connect("169.254.169.254:80"), get("/", "169.254.169.254")),
        "connect-inner": (connect("inner.allowed.test:443"), b"evil"),
        "get-evil": (get("http://%s/" % EVIL4, EVIL4), b""),
        "get-metadata": (get("http://169.254.169.254/latest", "169.254.169.254"), b""),
        "get-meta-name": (get("http://meta.allowed.test/latest", "meta.allowed.test"), b""),
        "get-inner-name": (get("http://inner.allowed.test/", "inner.allowed.test"), b""),
        "get-local-name": (get("http://local.allowed.test/", "local.allowed.test"), b""),
        "get-other-host": (get("http://%s/" % EVIL4, "allowed.test"), b""),
        "get-userinfo": (get("http://allowed.test@%s/" % EVIL4, "allowed.test"), b""),
        "connect-smuggle": (connect("allowed.test:80"), get("/", "evil.test")),
        "host-mismatch": (get("http://allowed.test/hello", "evil.test"), b""),
        "connect-self": (connect("127.0.0.1:%d" % door[1]), connect(EVIL4 + ":6666")),
    }
    if MODE == "limited":
        asks.update({
            "connect-port": (connect("allowed.test:22"), b"evil"),
            "connect-name": (connect("evil.test:80"), get("/", "evil.test")),
            "get-name": (get("http://evil.test/", "evil.test"), b""),
            "connect-public": (connect(PUBLIC4 + ":80"), get("/", "evil")),
        })
    for name, (data, then) in asks.items():
        note("attacks", "proxy " + name, "EVIL" in say(door, data, then))
    try:
        with socket.create_connection(door, 3) as s:
            s.settimeout(3)
            s.sendall(connect("allowed.test:443"))
            s.recv(4096)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.wrap_socket(s, server_hostname="evil.test")
    except OSError:
        pass


def transparent_misuse():
    """The same without the proxy's name: Host and SNI that are not where it goes."""
    ask = b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    for name, address in (("evil", (EVIL4, 80)), ("allowed", (ALLOWED4, 80)),
                          ("port", (ALLOWED4, 22)), ("metadata", ("169.254.169.254", 80))):
        note("attacks", "host at " + name, "EVIL" in say(address, ask))
    for name in ("evil.test", "meta.allowed.test", "inner.allowed.test"):
        try:
            for got in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM):
                note("attacks", "name " + name, "EVIL" in say(got[4][:2], ask), got[4][0])
        except OSError as error:
            note("attacks", "name " + name, False, error)


def attack():
    steps = [lambda: program("all")]
    if os.path.exists(HERE + "/suid"):
        steps.append(lambda: program("elevated", name="suid"))
    if proxy():
        steps.append(lambda: misuse(proxy()))
    if LOCK != "closed":
        steps.append(transparent_misuse)
    threads = [threading.Thread(target=step) for step in steps]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


# --- honest work --------------------------------------------------------------------------------

def work_unix():
    with tempfile.TemporaryDirectory() as d:
        for name in (d + "/s", b"\0airlock-%d" % os.getpid()):
            s, c = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
            s.bind(name)
            s.listen()
            c.connect(name)
            s.accept()[0].send(b"x")
            assert c.recv(1) == b"x"
    a, b = socket.socketpair()
    a.send(b"y")
    assert b.recv(1) == b"y"


def work_tcp():
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        s = socket.create_server((host, 0), family=family)
        c = socket.create_connection(s.getsockname()[:2], 3)
        s.accept()[0].send(b"x")
        assert c.recv(1) == b"x"


def work_udp():
    s, c = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    s.bind(("127.0.0.1", 0))
    s.settimeout(3)
    c.sendto(b"x", s.getsockname())
    assert s.recv(1) == b"x"


def work_http_server():
    from http.server import HTTPServer, SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass
    server = HTTPServer(("127.0.0.1", 0), lambda *a: Quiet(*a, directory=HERE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open("http://127.0.0.1:%d/matrix_agent.py" % server.server_port, timeout=5) as r:
        assert b"honest work" in r.read()
    with urllib.request.urlopen("http://localhost:%d/matrix_agent.py" % server.server_port,
                                timeout=5) as r:  # no_proxy names it
        assert b"honest work" in r.read()
    server.shutdown()


async def echo(reader, writer):
    writer.write(await reader.read(1))
    writer.close()


def work_asyncio():
    async def main():
        if LOCK == "closed":
            path = tempfile.mkdtemp() + "/s"
            server = await asyncio.start_unix_server(echo, path)
            r, w = await asyncio.open_unix_connection(path)
        else:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            r, w = await asyncio.open_connection(*server.sockets[0].getsockname())
        w.write(b"z")
        assert await asyncio.wait_for(r.read(1), 5) == b"z"
        child = await asyncio.create_subprocess_exec("true")
        assert await child.wait() == 0
        server.close()
    asyncio.run(main())


def work_ip():
    done = subprocess.run(["ip", "addr"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and b"lo" in done.stdout, done
    assert socket.if_nameindex()


def work_processes():
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(1)) for _ in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(seen) == 32
    for _ in range(10):
        pid = os.fork()
        if not pid:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    out = subprocess.run(["sh", "-c", "echo a | cat; kill -0 $$"], stdout=subprocess.PIPE)
    assert out.stdout == b"a\n" and out.returncode == 0


def work_files():
    with open("file.txt", "w") as f:
        f.write("made by the agent\n")
    os.chmod("file.txt", 0o755)
    os.mkdir("folder")
    os.rename("file.txt", "folder/file.txt")
    with open("folder/file.txt") as f:
        assert f.read() == "made by the agent\n"


def fetch(url, env=True):
    opener = urllib.request.build_opener(*([] if env else [urllib.request.ProxyHandler({})]))
    try:
        with opener.open(url, timeout=8) as r:
            return r.status, r.read().decode(), r.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def hello(url, env):
    code, body, _ = fetch(url, env)
    assert code == 200 and body.startswith("hello from"), (code, body)


def work_web_by_variable():
    assert proxy(), "no http_proxy"
    hello("http://allowed.test/hello", True)
    hello("http://%s/hello" % ALLOWED4, True)


def work_web_transparent():
    hello("http://allowed.test/hello", False)
    hello("http://%s/hello" % ALLOWED4, False)


def work_web_transparent6():
    hello("http://[%s]/hello" % ALLOWED6, False)


def work_denial_says_why():
    code, body, head = fetch("http://evil.test/" if MODE == "limited" else "http://%s/" % EVIL4)
    assert code == 403 and head.get("x-airlock-denied"), (code, body)


def clone(env):
    to = tempfile.mkdtemp()
    done = subprocess.run(["git", "clone", "-q", "http://allowed.test/repo.git", to + "/r"],
                          env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20)
    assert done.returncode == 0 and os.path.exists(to + "/r/a.txt"), done.stdout


def work_git_by_variable():
    clone(dict(os.environ, HOME=tempfile.mkdtemp()))


def work_git_transparent():
    clone({k: v for k, v in dict(os.environ, HOME=tempfile.mkdtemp()).items()
           if "proxy" not in k.lower()})


def work_curl_noproxy():
    done = subprocess.run(["curl", "-sSv", "--noproxy", "*", "--max-time", "8",
                           "http://allowed.test/hello"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    assert done.returncode == 0 and b"hello from" in done.stdout, done


def work_public():
    hello("http://public.test/hello", True)
    hello("http://public.test/hello", False)
    with socket.create_connection((PUBLIC4, 8080), 5) as s:
        s.sendall(b"ping")
        assert s.recv(4) == b"ping"


def work_names_fail_at_once():
    before = time.monotonic()
    try:
        socket.getaddrinfo("evil.test", 80)
        raise AssertionError("resolved")
    except socket.gaierror:
        assert time.monotonic() - before < 4, "%g s" % (time.monotonic() - before)


def honest():
    local = [work_unix, work_asyncio, work_processes, work_files]
    if LOCK != "closed":
        local += [work_tcp, work_http_server, work_ip]
    if LOCK in ("netns", "netfilter"):
        local.append(work_udp)
    if MODE == "off":
        local.append(work_names_fail_at_once)
    else:
        local += [work_web_by_variable, work_web_transparent, work_web_transparent6,
                  work_denial_says_why, work_git_by_variable, work_git_transparent,
                  work_curl_noproxy]
    if MODE == "full":
        local.append(work_public)
    if MODE == "limited":
        local.append(work_names_fail_at_once)
    for one in local:
        try:
            one()
            note("work", one.__name__[5:], True)
        except Exception as error:
            note("work", one.__name__[5:], False, "%s: %s" % (type(error).__name__, error))


def linger(seconds):
    """Knocks at evil's until it is ended; OUT/lingers says that it is under way."""
    until, first = time.monotonic() + seconds, True
    while time.monotonic() < until:
        for kind, address in ((socket.SOCK_STREAM, (EVIL4, 6666)),
                              (socket.SOCK_DGRAM, (EVIL4, 6666)),
                              (socket.SOCK_STREAM, (ALLOWED4, 22))):
            try:
                with socket.socket(socket.AF_INET, kind) as s:
                    s.settimeout(0.05)
                    s.connect(address)
                    s.send(b"evil")
            except OSError:
                pass
        if first:
            open(OUT + "/lingers", "w").close()
            first = False


what = sys.argv[4] if len(sys.argv) > 4 else "all"
if what in ("all", "attack"):
    attack()
if what in ("all", "work"):
    honest()
if what == "sockets":
    for path in sys.argv[5:]:
        program("abstract" if path.startswith("@") else "take", path.lstrip("@"))
if what == "linger":
    linger(float(sys.argv[5]))
if what == "race":
    program("race", sys.argv[5])
with open(OUT + "/cell.json", "w") as f:
    json.dump(found, f)
sys.exit(1 if any(not good for _, good, _ in found["work"]) else 0)
