"""tests/e2e/legit_agent.py - the agent of test_legit.py: everyday tools, each in its own folder.

    python3 legit_agent.py OUT LOCK BIN…    writes OUT/legit.json: {tool: "" or why not}

BIN are folders of further programs.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

OUT, LOCK = sys.argv[1:3]
PATH = ":".join(["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *sys.argv[3:]])
INET = LOCK != "closed"
os.environ.update(PATH=PATH, LANG="C.UTF-8")


def run(*argv, ok=True, seconds=40, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.STDOUT, timeout=seconds, errors="replace", **options)
    assert not ok or done.returncode == 0, "%s: exit %d: %s" % (argv[0], done.returncode,
                                                                done.stdout[-500:])
    return done


def put(name, text):
    with open(name, "w") as f:
        f.write(text)


def gdb():
    put("a.c", "int main(void) { return 7; }\n")
    run("gcc", "-g", "a.c", "-o", "a")
    out = run("gdb", "-nx", "-batch", "-ex", "break main", "-ex", "run", "-ex", "print 6*7",
              "-ex", "continue", "./a").stdout
    assert "$1 = 42" in out and "exited with code 07" in out, out


def strace():
    out = run("strace", "-f", "-e", "trace=execve", "sh", "-c", "true; /bin/true").stdout
    assert out.count("execve(") >= 2, out


def gcc():
    put("a.c", "#include <stdio.h>\nint main(void) { puts(\"made\"); }\n")
    run("gcc", "-O2", "a.c", "-o", "a")
    assert run("./a").stdout == "made\n"


NODE = """
const net = require('net'), fs = require('fs'), cp = require('child_process');
const { Worker } = require('worker_threads');
const where = process.argv[2] === 'inet' ? { port: 0, host: '127.0.0.1' } : { path: 'node.sock' };
const server = net.createServer(c => c.end('hello')).listen(where, () => {
  const a = server.address();
  const c = net.connect(typeof a === 'string' ? { path: a } : { port: a.port, host: '127.0.0.1' });
  c.on('data', d => {
    if (String(d) !== 'hello') process.exit(3);
    cp.execFileSync('true');
    fs.promises.writeFile('x', 'y').then(() => fs.promises.readFile('x', 'utf8')).then(t => {
      new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true })
        .on('message', () => { console.log('works ' + t); server.close(); });
    });
  });
});
"""


def node():
    put("a.js", NODE)
    assert run("node", "a.js", "inet" if INET else "unix").stdout == "works y\n"


def node_http():
    put("a.js", "const h = require('http'); const s = h.createServer((q, r) => r.end('page'));"
        "s.listen(0, 'localhost', async () => { const r = await fetch('http://localhost:' + "
        "s.address().port); console.log(await r.text()); s.close(); s.closeAllConnections(); });")
    assert run("node", "a.js").stdout == "page\n"


def npm_offline():
    os.mkdir("dep")
    put("dep/package.json", '{"name": "dep", "version": "1.0.0", "main": "i.js"}')
    put("dep/i.js", "module.exports = 42;\n")
    put("package.json", '{"name": "app", "version": "1.0.0", "scripts": {"test": "node t.js"}}')
    put("t.js", "console.log('dep is ' + require('dep'));\n")
    env = dict(os.environ, HOME=os.getcwd(), npm_config_cache=os.getcwd() + "/cache",
               npm_config_update_notifier="false")
    run("npm", "install", "--offline", "--no-audit", "--no-fund", "./dep", env=env)
    assert "dep is 42" in run("npm", "test", env=env).stdout


PYTHON = """
import asyncio, multiprocessing, os, socketserver, sqlite3, ssl, sys, tempfile, threading
inet = sys.argv[1] == 'inet'

async def main():
    async def echo(r, w):
        w.write(await r.readline()); await w.drain(); w.close()
    if inet:
        s = await asyncio.start_server(echo, 'localhost', 0)
        r, w = await asyncio.open_connection('localhost', s.sockets[0].getsockname()[1])
    else:
        s = await asyncio.start_unix_server(echo, 'py.sock')
        r, w = await asyncio.open_unix_connection('py.sock')
    w.write(b'line\\n')
    assert await r.readline() == b'line\\n'
    p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1)
    assert (await p.communicate(b'in'))[0] == b'in'
    assert await asyncio.to_thread(lambda: 5) == 5

if __name__ == '__main__':
    asyncio.run(main())
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    sqlite3.connect('a.db').execute('create table t (a)')
    print('works')
"""


def python():
    put("a.py", PYTHON)
    assert run("/usr/bin/python3", "a.py", "inet" if INET else "unix").stdout == "works\n"


JAVA = """
import java.net.*; import java.io.*;
public class A { public static void main(String[] a) throws Exception {
  ServerSocket s = new ServerSocket(0, 5, InetAddress.getLoopbackAddress());
  Thread t = new Thread(() -> { try (Socket c = s.accept()) { c.getOutputStream().write(42); }
    catch (IOException e) { throw new RuntimeException(e); } }); t.start();
  try (Socket c = new Socket(s.getInetAddress(), s.getLocalPort())) {
    System.out.println("got " + c.getInputStream().read()); } t.join(); } }
"""


def java():
    if not shutil.which("javac") or not INET:
        assert "ersion" in run("java", "-version").stdout
        return
    put("A.java", JAVA)
    assert run("java", "A.java", seconds=60).stdout == "got 42\n"


def cargo():
    env = dict(os.environ, CARGO_TARGET_DIR=os.getcwd() + "/target", CARGO_NET_OFFLINE="true",
               CARGO_HOME=os.getcwd() + "/home")
    os.makedirs("src")
    put("Cargo.toml", '[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n')
    put("src/main.rs", 'fn main() { println!("built"); }\n')
    assert run("cargo", "run", "-q", env=env, seconds=60).stdout == "built\n"


def go():
    env = dict(os.environ, GOCACHE=os.getcwd() + "/cache", GOPATH=os.getcwd() + "/path",
               GOFLAGS="-mod=mod", GOPROXY="off")
    put("a.go", 'package main\nfunc main() { println("built") }\n')
    assert "built" in run("go", "run", "a.go", env=env, seconds=60).stdout


def git():
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", HOME=os.getcwd())
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    run("git", "init", "-q", "-b", "main", "r", env=env)
    put("r/a", "one\n")
    run("git", "-C", "r", "add", "a", env=env)
    run("git", "-C", "r", *name, "commit", "-qm", "first", env=env)
    run("git", "clone", "-q", "r", "s", env=env)


def apt_lists():
    assert "bash" in run("apt-cache", "policy", "bash").stdout


def apt_without_network():
    """It says so and ends: it does not hang."""
    before = time.monotonic()
    for name in ("lists/partial", "cache/archives/partial"):
        os.makedirs(name)
    put("sources.list", "deb http://packages.example.invalid/debian stable main\n")
    here = os.getcwd()
    done = run("apt-get", "-o", "Dir::State::lists=%s/lists" % here, "-o",
               "Dir::Cache=%s/cache" % here, "-o", "Dir::Etc::sourcelist=%s/sources.list" % here,
               "-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Retries=0", "-o",
               "APT::Sandbox::User=", "-o", "Debug::NoLocking=1", "update", ok=False)
    assert "Err:1" in done.stdout or "Failed to fetch" in done.stdout, done.stdout
    assert time.monotonic() - before < 20, "hung for a while"


def ip_addr():
    assert "lo" in run("ip", "addr").stdout
    run("ip", "route")


def unix_sockets():
    code = ("import socket, os\nfor n in ('./s', '\\0legit'):\n a = socket.socket(1); a.bind(n); "
            "a.listen(); c = socket.socket(1); c.connect(n); a.accept()[0].send(b'x'); "
            "assert c.recv(1) == b'x'\n")
    datagrams = ("import socket\nd = socket.socket(1, 2); d.bind('./d'); "
            "e = socket.socket(1, 2); e.sendto(b'y', './d'); assert d.recv(1) == b'y'\n")
    run("/usr/bin/python3", "-c", code)
    if LOCK != "notify":  # sendmsg(2) names its target behind a pointer: none that have names
        run("/usr/bin/python3", "-c", datagrams)


def docker_client():
    done = run("docker", "-H", "unix:///nowhere/docker.sock", "version", ok=False)
    assert "Client" in done.stdout and "daemon" in done.stdout, done.stdout
    done = run("docker", "ps", ok=False)
    assert done.returncode and "daemon" in done.stdout, done.stdout


def chromium():
    name = shutil.which("chromium") or shutil.which("chromium-browser")
    put("a.html", "<p id=x></p><script>x.textContent = 6 * 7</script>")
    out = run(name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
              "--user-data-dir=" + os.getcwd() + "/data", "--dump-dom",
              "file://%s/a.html" % os.getcwd(), seconds=60).stdout
    assert "42" in out, out


def bun():
    put("a.js", "console.log('bun ' + 42)")
    assert run("bun", "a.js").stdout == "bun 42\n"


def shell_jobs():
    out = run("bash", "-c", "set -m; sleep 0.1 & wait $!; (ulimit -n 64; ulimit -n); "
              "cat <(echo sub); timeout 1 sleep 5; echo $?").stdout
    assert "64\nsub\n" in out and out.endswith("124\n"), out


TOOLS = [gdb, strace, gcc, node, npm_offline, python, java, cargo, go, git, apt_lists,
         apt_without_network, unix_sockets, docker_client, chromium, bun, shell_jobs]
NEEDS = {"npm_offline": "npm", "apt_lists": "apt-cache", "apt_without_network": "apt-get",
         "docker_client": "docker", "ip_addr": "ip", "unix_sockets": "python3", "gdb": "gdb",
         "shell_jobs": "bash", "python": "python3", "node_http": "node"}
if INET:
    TOOLS += [ip_addr, node_http]

if __name__ == "__main__":
    found = {}
    for tool in TOOLS:
        name = tool.__name__
        needed = NEEDS.get(name, name)
        if not shutil.which(needed):
            found[name] = "skip: %s is not installed" % needed
            continue
        os.chdir(tempfile.mkdtemp())
        try:
            tool()
            found[name] = ""
        except PermissionError as error:
            found[name] = "skip: %s" % error if "/root/" in str(error) else str(error)
        except Exception as error:
            found[name] = "%s: %s" % (type(error).__name__, str(error)[-600:])
        with open(OUT + "/legit.json", "w") as f:
            json.dump(found, f)
