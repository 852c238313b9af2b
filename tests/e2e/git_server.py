"""tests/e2e/git_server.py - a git host over TLS, and a root file system that knows it.

    class Mine(GitHost):
        def do_GET(self):
            self.git(self.body())
        do_POST = do_GET

    serve(Mine, folder, [ALLOWED])
    box = make_root({"/etc/hosts": "…", "/own-ca.pem": authority()})

For a process in netlab's network.
"""
import atexit
import http.server
import os
import shutil
import ssl
import subprocess
import tempfile
import threading

from engines import make_rootfs
from lib import ROOT
from netlab import certificate


class GitHost(http.server.BaseHTTPRequestHandler):
    """git's smart protocol, by git http-backend; who may have it is its children's affair."""
    protocol_version = "HTTP/1.1"
    folder = None

    def log_message(self, *_):
        pass

    def reply(self, code, body, *headers):
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

    def git(self, got):
        path, _, query = self.path.partition("?")
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
        self.reply(code[0], out, *[h for h in headers if h[0].lower() != "status"])


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # who is cut off says so


def serve(host, folder, addresses):
    host.folder = folder
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    for address in addresses:
        server = Server((address, 443), host)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()


def authority():
    """The certificate that its own is of."""
    with open(certificate()[0]) as f:
        return f.read()


def make_root(files):
    """The small Debian, with these files in it."""
    root = tempfile.mkdtemp(prefix="rootfs-git-", dir=ROOT + "/build")
    atexit.register(shutil.rmtree, root, True)
    subprocess.run(["cp", "-al", make_rootfs() + "/.", root], check=True)
    for path, text in files.items():
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        if os.path.lexists(root + path):
            os.unlink(root + path)  # it is one with the file that was copied
        with open(root + path, "w") as f:
            f.write(text)
    return root
