"""tests/bench/bench_proxy.py - airlock-proxy beside the proxies installed here, in one run.

    python3 tests/bench/bench_proxy.py [ROUNDS]

Every round runs each proxy once, in shuffled order; medians and ratios are printed, and
beside them what airlock aims at. The clients and nginx share CPU 0, the proxy has CPU 1.
airlock writes its journal, the others no log. "TLS" rows: airlock and squid's ssl-bump look
inside of requests to a host of nginx's that speaks TLS. Needs wrk, nginx, openssl, gcc with
libssl and any of squid, tinyproxy, privoxy.
"""
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
from lib import ROOT, until  # noqa: E402

WEB, SECURE, FIRST = 18080, 18443, 18100
BUMPED = 50  # squid looks inside on a port that is so much higher
NAME = "bench.example"
SECONDS = 2
HELD = 500
BIG = 512 << 20


def find(name):
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    return path


def nginx(d):
    os.makedirs(d + "/www")
    write(d + "/www/index.html", "x" * 128)
    with open(d + "/www/big", "wb") as f:
        f.truncate(BIG)
    conf = write(d + "/nginx.conf", """
        daemon off; worker_processes 1; pid %s/nginx.pid; error_log /dev/null;
        events { worker_connections 8192; }
        http { access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000;
               client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;
               uwsgi_temp_path %s; scgi_temp_path %s;
               server { listen 127.0.0.1:%d backlog=4096; root %s/www; }
               server { listen 127.0.0.1:%d ssl backlog=4096; root %s/www;
                        ssl_certificate %s/tls.pem; ssl_certificate_key %s/tls.key; } }"""
                 % (d, d, d, d, d, d, WEB, d, SECURE, d, d, d))
    return ["taskset", "-c", "0", find("nginx"), "-c", conf, "-e", "/dev/null", "-g",
            "user root;"]


def certificates(d):
    """tls.pem is nginx's, and its own authority; bump.pem squid's, key and all."""
    for name, subject in (("tls", NAME), ("bump", "bump")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                        "/CN=" + subject, "-addext", "subjectAltName=DNS:" + subject,
                        "-keyout", d + "/%s.key" % name, "-out", d + "/%s.pem" % name],
                       check=True, capture_output=True)
    with open(d + "/bump.pem", "a") as to, open(d + "/bump.key") as key:
        to.write(key.read())
    write(d + "/hosts", "127.0.0.1 localhost %s\n" % NAME)


def airlock(d, port):
    rules = write(d + "/rules", "rule host=127.0.0.1 ports=%d,%d raw=1\n"
                                "rule host=%s ports=%d methods=GET\n"
                  % (WEB, SECURE, NAME, SECURE))
    return [ROOT + "/build/release/airlock-proxy", "--listen", "127.0.0.1:%d" % port, "--rules",
            rules, "--journal", d + "/journal", "--hosts", d + "/hosts", "--ca-bundle",
            d + "/tls.pem", "--ca-out", d + "/ca.pem"]


CERTGEN = "/usr/lib/squid/security_file_certgen"


def bumping(d, port):
    """A second port that looks inside, where squid is Debian's squid-openssl."""
    if not os.path.exists(CERTGEN):
        return ""
    if not os.path.exists(d + "/certs"):
        subprocess.run([CERTGEN, "-c", "-s", d + "/certs", "-M", "4MB"], check=True,
                       capture_output=True)
        subprocess.run(["chown", "-R", "proxy", d + "/certs", d + "/bump.pem"], check=False)
    return """
        http_port 127.0.0.1:%d ssl-bump tls-cert=%s/bump.pem generate-host-certificates=on
        sslcrtd_program %s -s %s/certs -M 4MB
        sslcrtd_children 1
        acl first at_step SslBump1
        ssl_bump peek first
        ssl_bump bump all
        tls_outgoing_options cafile=%s/tls.pem
        hosts_file %s/hosts
        """ % (port + BUMPED, d, CERTGEN, d, d, d)


def squid(d, port):
    return [find("squid"), "-N", "-f", write(d + "/squid.conf", bumping(d, port) + """
        http_port 127.0.0.1:%d
        http_access allow all
        cache deny all
        access_log none
        cache_log %s/squid.log
        memory_cache_shared off
        cache_mem 0
        cache_store_log none
        pid_filename none
        via off
        forwarded_for delete
        shutdown_lifetime 0 seconds
        cache_effective_user proxy
        pinger_enable off
        netdb_filename none
        coredump_dir %s
        max_filedescriptors 16384
        """ % (port, d, d))]


def tinyproxy(d, port):
    return [find("tinyproxy"), "-d", "-c", write(d + "/tiny.conf", """
Port %d
Listen 127.0.0.1
Timeout 600
LogLevel Critical
MaxClients 4000
ConnectPort %d
DisableViaHeader Yes
""" % (port, WEB))]


def privoxy(d, port):
    return [find("privoxy"), "--no-daemon", write(d + "/privoxy.conf", """
listen-address 127.0.0.1:%d
toggle 0
debug 0
keep-alive-timeout 300
tolerate-pipelining 1
max-client-connections 4000
listen-backlog 4096
confdir %s
logdir %s
templdir /etc/privoxy/templates
""" % (port, d, d))]


PEERS = {"airlock": airlock, "squid": squid, "tinyproxy": tinyproxy, "privoxy": privoxy}
BINARIES = {"airlock": ROOT + "/build/release/airlock-proxy"}
PLAIN = ("direct", "tinyproxy", "privoxy") + (() if os.path.exists(CERTGEN) else ("squid",))


def best(others, more):
    return (max if more else min)(v for n, v in others.items() if n != "direct")


# What each row aims at, and whether a value met it; others: name -> value.
AIMS = {
    "wrk c=1 req/s": (">= 1.1 x squid", lambda v, o: v >= 1.1 * o["squid"]),
    "wrk c=32 req/s": (">= 1.1 x squid", lambda v, o: v >= 1.1 * o["squid"]),
    "CONNECT p50 us": ("<= 120, and below all",
                       lambda v, o: v <= 120 and v < best(o, False)),
    "tunnels/s c=16": (">= 8000 or 1.2 x the best",
                       lambda v, o: v >= 8000 or v >= 1.2 * best(o, True)),
    "tunnel MB/s": (">= 1.1 x squid", lambda v, o: v >= 1.1 * o["squid"]),
    "TLS GET/s c=1": (">= 6000 or 1.2 x squid", lambda v, o: v >= 6000 or v >= 1.2 * o["squid"]),
    "idle private kB": ("< 1500", lambda v, o: v < 1500),
    "bytes/tunnel": ("<= 20000", lambda v, o: v <= 20000),
}


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def memory(pid):
    """(Pss, private) in kB."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        kb = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
    return int(kb["Pss"]), int(kb["Private_Dirty"]) + int(kb["Private_Clean"])


class Running:
    def __init__(self, name, argv, port, cpu="1"):
        self.process = subprocess.Popen(["taskset", "-c", cpu] + argv if name != "nginx" else argv,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port = port
        until(lambda: listens(port), name + " listens", 20)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def client(*argv):
    r = subprocess.run(["taskset", "-c", "0", *argv], capture_output=True, text=True,
                       timeout=120)
    if r.returncode:
        return None
    return r.stdout


def wrk(port, connections, script):
    out = client("wrk", "-t1", "-c%d" % connections, "-d%ds" % SECONDS, "-s", script,
                 "http://127.0.0.1:%d" % port)
    return float(re.search(r"Requests/sec: +([\d.]+)", out)[1])


def cpu_us(pid):
    """Processor time of the process and its threads, which a busy machine does not change."""
    if not pid:
        return 0
    with open("/proc/%d/stat" % pid) as f:
        user, system = f.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) * 1e6 / os.sysconf("SC_CLK_TCK")


def measure(name, port, tunnels, d, pid):
    script = d + ("/direct.lua" if name == "direct" else "/proxy.lua")
    out = {"wrk c=1 req/s": wrk(port, 1, script)}
    before = cpu_us(pid)
    out["wrk c=32 req/s"] = wrk(port, 32, script)
    out["CPU us/request"] = (cpu_us(pid) - before) / (out["wrk c=32 req/s"] * SECONDS)
    target = str(WEB)
    at = "0" if name == "direct" else str(port)
    setup = client(tunnels, "setup", at, target, "3000")
    out["CONNECT p50 us"], out["CONNECT p99 us"] = map(float, setup.split())
    if name != "direct":
        for c in (1, 16):
            before = cpu_us(pid)
            out["tunnels/s c=%d" % c] = float(client(tunnels, "rate", at, target, str(c),
                                                     str(SECONDS * 1000)) or 0)
        out["CPU us/tunnel"] = (cpu_us(pid) - before) / (out["tunnels/s c=16"] * SECONDS or 1)
    before = cpu_us(pid)
    out["tunnel MB/s"] = float(client(tunnels, "move", at, target, "/big"))
    out["CPU us/tunnel MB"] = (cpu_us(pid) - before) / (BIG / 1e6)
    if name in PLAIN and name != "direct":
        return out
    target = str(SECURE)
    if name == "squid":
        at = str(port + BUMPED)
    for c in (1, 4):
        before = cpu_us(pid)
        out["TLS GET/s c=%d" % c] = float(client(tunnels, "get", at, target, str(c),
                                                 str(SECONDS * 1000)) or 0)
        if pid:
            out["CPU us/TLS GET c=%d" % c] = \
                (cpu_us(pid) - before) / (out["TLS GET/s c=%d" % c] * SECONDS or 1)
    shook = client(tunnels, "shake", at, target, "300") or "0 0"
    out["CONNECT+TLS p50 us"], out["CONNECT+TLS p99 us"] = map(float, shook.split())
    return out


def held(running, tunnels):
    """(idle private kB, bytes for each held tunnel)"""
    time.sleep(0.3)
    pss, private = memory(running.process.pid)
    holder = subprocess.Popen([tunnels, "hold", str(running.port), str(WEB), str(HELD)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line = holder.stdout.readline()
    time.sleep(0.2)
    after = memory(running.process.pid)[1] if line else private
    holder.communicate(b"x")
    return private, (after - private) * 1024 / HELD


def show(label, values, more_is_better):
    ours = values.get("airlock")
    words = []
    for name, value in values.items():
        ratio = ""
        if name != "airlock" and value and ours:
            ratio = " (%.2fx)" % (ours / value if more_is_better else value / ours)
        words.append("%s %.0f%s" % (name, value, ratio))
    aim, met = AIMS.get(label, (None, None))
    if aim:
        others = {n: v for n, v in values.items() if n != "airlock"}
        try:
            verdict = "met" if met(ours, others) else "MISSED"
        except (KeyError, ValueError):
            verdict = "?"  # nobody here to compare with
        words.append("[aim %s: %s]" % (aim, verdict))
    print("%-19s %s" % (label, "  ".join(words)), flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    names = [n for n in PEERS if n == "airlock" or find(n)]
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o777)  # squid becomes another user
        tunnels = d + "/tunnels"
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", HERE + "/tunnels.c", "-lssl", "-lcrypto",
                        "-o", tunnels], check=True)
        certificates(d)
        write(d + "/direct.lua", 'request = function() return wrk.format("GET", "/") end\n')
        write(d + "/proxy.lua", 'local r = "GET http://127.0.0.1:%d/ HTTP/1.1\\r\\n'
              'Host: 127.0.0.1:%d\\r\\n\\r\\n"\nrequest = function() return r end\n' % (WEB, WEB))
        web = Running("nginx", nginx(d), WEB, "0")
        seen = {}
        idle = {}
        try:
            for _ in range(rounds):
                for i, name in random.sample(list(enumerate(names + ["direct"])),
                                             len(names) + 1):
                    if name == "direct":
                        got = measure(name, WEB, tunnels, d, None)
                    else:
                        running = Running(name, PEERS[name](d, FIRST + i), FIRST + i)
                        try:
                            idle.setdefault(name, []).append(held(running, tunnels))
                            got = measure(name, FIRST + i, tunnels, d, running.process.pid)
                        finally:
                            running.stop()
                    for label, value in got.items():
                        seen.setdefault(label, {}).setdefault(name, []).append(value)
        finally:
            web.stop()
        for label, by_name in seen.items():
            show(label, {n: statistics.median(by_name[n]) for n in names + ["direct"]
                         if n in by_name}, "us" not in label)
        for i, label in enumerate(("idle private kB", "bytes/tunnel")):
            show(label, {n: statistics.median(v[i] for v in idle[n]) for n in names}, False)
        show("file kB", {n: os.path.getsize(BINARIES.get(n) or find(n)) / 1024 for n in names},
             False)


main()
