"""tests/e2e/front.py - what stands before a server: TLS, and a witness.

    f = Front("ws://127.0.0.1:8765")                 passes connections on, and counts them
    f = Front("ws://…", tls=(CERTIFICATE, KEY))      the same behind TLS
    f.url, f.heads                                   one head of a request for each connection

Both ends are in the network of the thread that made it.

    ca, cert, key = certificate(folder, "IP:127.0.0.1", days=3)
"""
import socket
import ssl
import subprocess
import threading

EC = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


def certificate(folder, names, days=3, name="server"):
    """(authority, certificate, key) for those subjectAltNames, as files below @folder."""
    with open(folder + "/ext", "w") as f:
        f.write("subjectAltName=%s\n" % names)
    ca = "[ -e ca.pem ] || openssl req -x509 %s -keyout ca.key -out ca.pem -subj /CN=root -days 3 && " % EC
    leaf = "openssl req -new %s -keyout %s.key -out %s.csr -subj /CN=leaf && " % (EC, name, name)
    sign = "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days %d -extfile ext -out %s.pem"
    if days < 0:  # x509 has no dates of its own to give in OpenSSL 3.0; ca has
        open(folder + "/index.txt", "w").close()
        with open(folder + "/ca.cnf", "w") as f:
            f.write("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
                    "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        sign = "openssl ca -batch -config ca.cnf -in %s.csr -cert ca.pem -keyfile ca.key " \
               "-startdate 20200101000000Z -enddate 20200102000000Z -extfile ext -out %s.pem" % (name, name)
    else:
        sign = sign % (name, days, name)
    subprocess.run(ca + leaf + sign, shell=True, cwd=folder, check=True, capture_output=True)
    return folder + "/ca.pem", "%s/%s.pem" % (folder, name), "%s/%s.key" % (folder, name)


def pump(a, b):
    """Until @a ends: a thread's work."""
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class Front:
    def __init__(self, target, tls=None, host="127.0.0.1", cut_s=None):
        self.heads = []
        self.cut_s = cut_s  # the first connection is cut off so long after its head
        self.connections = 0
        self.to = target.split("://")[1].rsplit(":", 1)
        self.context = None
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*tls)
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.url = "%s://%s:%d" % ("wss" if tls else "ws", host, self.port)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        try:
            if self.context:
                client = self.context.wrap_socket(client, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            self.heads.append(head.decode())
            if self.cut_s and len(self.heads) == 1:
                threading.Timer(self.cut_s, client.shutdown, [socket.SHUT_RDWR]).start()
            server = socket.create_connection((self.to[0], int(self.to[1])))
            server.sendall(head)
        except OSError:
            client.close()
            return
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client)
