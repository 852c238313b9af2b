"""tests/e2e/engines.py - the engines that airlock must be PID 1 under, as one table.

    for e in engines():
        reason = e.available()          # None, or why it cannot run here
        done = e.run(["airlock", "init", "--", "true"], user="1000", caps="none")

run(argv, user, caps, readonly, mounts, stdin, tty, timeout) -> CompletedProcess
start(argv, user, caps, readonly, mounts) -> Popen with .kill_pid1(signal)
    user      "root" or "1000"
    caps      "default" (the engine's) or "none" (none at all, and no-new-privileges)
    readonly  a root file system that can't be written
    mounts    [(host, guest, writable)]; host None: a fresh tmpfs
    tty       a terminal as the three standard descriptors (out holds both streams)

Every engine gets the same root file system, made once from the machine's own packages
(build/rootfs.tar, with airlock in it), and no network but loopback. Daemons are started
on demand, on sockets and directories below one temporary directory, and stopped by
their process ids in stop_engines(); nothing of the machine's own engines is touched.
Needs root: dockerd, containerd and overlay mounts do.
"""
import atexit
import json
import os
import pty
import shutil
import signal
import subprocess
import tempfile
import time

from lib import AIRLOCK, PROGRAMS, ROOT, case

PACKAGES = ["base-files", "base-passwd", "bash", "coreutils", "curl", "dash", "debianutils",
            "diffutils", "findutils", "git", "grep", "gzip", "hostname", "iproute2", "login",
            "mawk", "ncurses-base", "passwd", "procps", "python3.11-minimal",
            "libpython3.11-minimal", "libpython3.11-stdlib", "sed", "tar", "util-linux"]
SKIP = ("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info",
        "/usr/share/lintian", "/usr/share/bash-completion", "/usr/lib/python3.11/test")
IMAGE = "airlock-e2e"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CLOSED = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

_temp = None
_daemons = []
_mounted = []
_serial = 0


def temp():
    global _temp
    if not _temp:
        _temp = tempfile.mkdtemp(prefix="airlock-e2e.")
        os.chmod(_temp, 0o755)
        atexit.register(stop_engines)
    return _temp


def quiet(argv, timeout=120, **options):
    """Runs a helper; its output is the error when it fails."""
    done = subprocess.run(argv, timeout=timeout, **{**CLOSED, **options})
    if done.returncode:
        raise RuntimeError("%s: %s" % (argv[0], done.stdout.decode(errors="replace")[-800:]))
    return done.stdout


def stop_engines():
    """Daemons by pid, youngest first; then mounts; then the temporary directory."""
    global _temp
    for engine in ENGINES:
        engine.cleanup()
    while _daemons:
        daemon = _daemons.pop()
        daemon.terminate()
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    if _temp:
        with open("/proc/self/mounts") as f:
            below = [line.split()[1] for line in f if line.split()[1].startswith(_temp + "/")]
        for point in reversed(below):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL)
        shutil.rmtree(_temp, ignore_errors=True)
        _temp = None


# --- one root file system for all ---------------------------------------------------------

def libraries(files):
    """The shared libraries that these programs load, by ldd."""
    found = set()
    out = subprocess.run(["ldd"] + files, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for word in out.stdout.decode().split():
        if word.startswith("/") and not word.endswith(":"):
            found.add(word)
    return found


def is_elf(path):
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as f:
        return f.read(4) == b"\x7fELF"


def make_rootfs():
    """build/rootfs: a small Debian, copied from the packages of this machine."""
    rootfs = ROOT + "/build/rootfs"
    made_of = "\n".join(PACKAGES)
    if os.path.exists(rootfs + ".done") and open(rootfs + ".done").read() == made_of:
        return rootfs
    part = rootfs + ".part"
    shutil.rmtree(part, ignore_errors=True)
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run",
                 "tmp", "var/tmp", "root", "home/user", "workspace", "airlock"):
        os.makedirs(part + "/" + name)
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink("usr/" + name, part + "/" + name)
    for name in ("tmp", "var/tmp", "workspace"):
        os.chmod(part + "/" + name, 0o1777)
    listed = quiet(["dpkg", "-L"] + PACKAGES).decode().split("\n")
    # dpkg may name /bin/x for what is /usr/bin/x on this machine
    files = sorted({os.path.realpath(os.path.dirname(f)) + "/" + os.path.basename(f) for f in listed
                    if f.startswith("/") and not f.startswith(SKIP) and
                    not f.startswith(("/etc/", "/var/")) and
                    (os.path.islink(f) or os.path.isfile(f))})
    files += ["/usr/bin/python3", "/usr/bin/awk", "/etc/bash.bashrc", "/etc/profile", "/etc/alternatives/awk"]
    needed = libraries([f for f in files if is_elf(f)])
    names = set(files)
    for lib in needed:
        at = os.path.realpath(os.path.dirname(lib)) + "/" + os.path.basename(lib)
        names |= {at, os.path.realpath(at)}
    with tempfile.NamedTemporaryFile("w", dir=ROOT + "/build") as f:
        f.write("\n".join(n for n in sorted(names) if os.path.lexists(n)))
        f.flush()
        quiet(["sh", "-c", 'tar -C / -c -T "$1" 2>/dev/null | tar -x -C "$2"', "sh", f.name, part])
    with open(part + "/etc/passwd", "w") as f:
        f.write("root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000::/home/user:/bin/bash\n"
                "nobody:x:65534:65534::/:/bin/sh\n")
    with open(part + "/etc/group", "w") as f:
        f.write("root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n")
    os.chown(part + "/home/user", 1000, 1000)
    quiet(["chroot", part, "bash", "-c",
           "exec 2>&1 <&-; bash --version; type git sed ps; sed --version"])
    shutil.rmtree(rootfs, ignore_errors=True)
    os.rename(part, rootfs)
    with open(rootfs + ".done", "w") as f:
        f.write(made_of)
    return rootfs


def rootfs():
    """A throw-away copy (an overlay) with the airlock under test in /usr/bin."""
    merged = temp() + "/rootfs"
    if not os.path.isdir(merged):
        lower = make_rootfs()
        for name in ("/rootfs", "/upper", "/work"):
            os.mkdir(temp() + name)
        quiet(["mount", "-t", "overlay", "e2e", "-o",
               "lowerdir=%s,upperdir=%s/upper,workdir=%s/work"
               % (lower, temp(), temp()), merged])
        shutil.copy(AIRLOCK, merged + "/usr/bin/airlock")
        os.chmod(merged + "/usr/bin/airlock", 0o755)
        os.makedirs(merged + "/usr/libexec/airlock", exist_ok=True)
        for name in set(PROGRAMS) - {"airlock"}:
            shutil.copy(os.path.join(os.path.dirname(AIRLOCK), name),
                        merged + "/usr/libexec/airlock")
    return merged


def layer():
    tar = temp() + "/layer.tar"
    if not os.path.exists(tar):
        quiet(["tar", "-C", rootfs(), "-cf", tar, "."])
    return tar


# --- engines --------------------------------------------------------------------------------

class Engine:
    name = None
    needs = ()
    only = None  # the airlock command that is all it can run
    _why = False

    def available(self):
        """None when it runs here, else the reason. Starts what has to be started."""
        if self._why is False:
            missing = [n for n in self.needs if not shutil.which(n)]
            if os.geteuid():
                self._why = "needs root"
            elif missing:
                self._why = "%s is not installed" % missing[0]
            else:
                try:
                    self._why = self.prepare()
                except (RuntimeError, OSError) as error:  # not a timeout: that is a failure
                    self._why = "does not start here: %s" % str(error)[-600:]
        return self._why

    def prepare(self):
        return None

    def cleanup(self):
        pass

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        raise NotImplementedError

    def signal(self, serial, process, number):
        raise NotImplementedError

    def start(self, argv, user="root", caps="default", readonly=False, mounts=(), tty=False,
              **options):
        global _serial
        _serial += 1
        serial = "e2e-%d-%d" % (os.getpid(), _serial)
        full = self.argv(serial, argv, user, caps, readonly, list(mounts), tty)
        for key, value in (("stdin", subprocess.DEVNULL), ("stdout", subprocess.PIPE),
                           ("stderr", subprocess.PIPE)):
            options.setdefault(key, value)
        process = subprocess.Popen(full, **options)
        process.kill_pid1 = lambda number: self.signal(serial, process, number)
        return process

    def run(self, argv, user="root", caps="default", readonly=False, mounts=(), stdin=None,
            tty=False, timeout=60):
        rest = dict(user=user, caps=caps, readonly=readonly, mounts=mounts, tty=tty)
        if tty:
            return self._run_tty(argv, rest, timeout)
        process = self.start(argv, stdin=subprocess.PIPE if stdin is not None else
                             subprocess.DEVNULL, **rest)
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            self._abandon(process)
            raise
        return subprocess.CompletedProcess(argv, exit_status(process), out, err)

    def _abandon(self, process):
        try:
            process.kill_pid1(signal.SIGKILL)
            process.wait(10)
        except Exception:
            process.kill()
            process.wait()

    def _run_tty(self, argv, rest, timeout):
        ours, theirs = pty.openpty()
        process = self.start(argv, stdin=theirs, stdout=theirs, stderr=theirs,
                             start_new_session=True, **rest)
        os.close(theirs)
        out, deadline = b"", time.monotonic() + timeout
        try:
            while time.monotonic() < deadline:
                got = os.read(ours, 65536)
                if not got:
                    break
                out += got
        except OSError:
            pass  # EIO: the last one has closed it
        os.close(ours)
        process.wait(10)
        return subprocess.CompletedProcess(argv, exit_status(process), out, b"")


def exit_status(process):
    code = process.returncode
    return 128 - code if code < 0 else code


def daemon(argv, ready, seconds=40):
    """Starts it with its log below temp(); ready() raises or is false until it is."""
    log = "%s/%s.log" % (temp(), os.path.basename(argv[0]))
    with open(log, "wb") as f:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
    _daemons.append(process)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if ready():
            return
        time.sleep(0.1)
    with open(log, "rb") as f:
        raise RuntimeError(f.read()[-500:].decode(errors="replace"))


def answers(argv):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


class DockerLike(Engine):
    """docker and podman take the same words."""

    def command(self):
        raise NotImplementedError

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        full = self.command() + ["run", "--rm", "-i", "--name", serial, "--network", "none"]
        if tty:
            full += ["-t"]
        if user != "root":
            full += ["--user", "%s:%s" % (user, user)]
        if caps == "none":
            full += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        if readonly:
            full += ["--read-only"]
        for host, guest, writable in mounts:
            if host is None:
                full += ["--tmpfs", guest + ":mode=1777,exec"]
            else:
                full += ["-v", "%s:%s:%s" % (host, guest, "rw" if writable else "ro")]
        return full + self.extra + [IMAGE] + argv

    extra = []

    def signal(self, serial, process, number):
        quiet(self.command() + ["kill", "-s", str(int(number)), serial])


def containerd():
    """
    The socket of our own containerd, for docker too: dockerd would start one by itself,
    unless there is a socket in /run that nobody listens on any more.
    """
    socket, config = temp() + "/containerd.sock", temp() + "/containerd.toml"
    if not os.path.exists(config):
        with open(config, "w") as f:
            f.write('version = 2\nroot = "%s/containerd"\nstate = "%s/containerd-run"\n'
                    'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                    '[grpc]\n  address = "%s"\n' % (temp(), temp(), socket))
        daemon(["containerd", "-c", config], lambda: answers(["ctr", "-a", socket, "version"]))
    return socket


class Docker(DockerLike):
    name = "docker"
    needs = ("dockerd", "docker", "containerd")
    network = ("--bridge=none",)

    def command(self):
        return ["docker", "-H", "unix://%s/docker.sock" % temp()]

    def prepare(self):
        daemon(["dockerd", "-H", "unix://%s/docker.sock" % temp(), "--data-root",
                temp() + "/docker", "--exec-root", temp() + "/docker-exec", "--pidfile",
                temp() + "/docker.pid", "--containerd", containerd(), *self.network,
                "--iptables=false", "--ip6tables=false", "--ip-masq=false"],
               lambda: answers(self.command() + ["version"]))
        quiet(self.command() + ["import", layer(), IMAGE])


class Podman(DockerLike):
    name = "podman"
    needs = ("podman", "runc")
    extra = ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=4096:4096"]

    def command(self):
        return ["podman", "--root", temp() + "/podman", "--runroot", temp() + "/podman-run",
                "--tmpdir", temp() + "/podman-tmp", "--runtime", "runc", "--cgroup-manager",
                "cgroupfs", "--events-backend", "none", "--storage-driver", "overlay"]

    def prepare(self):
        quiet(self.command() + ["import", layer(), IMAGE])


class Containerd(Engine):
    name = "containerd"
    needs = ("containerd", "ctr")
    CAPS = ("CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP "
            "NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE").split()

    def command(self):
        return ["ctr", "-a", temp() + "/containerd.sock"]

    def prepare(self):
        containerd()
        for user in ("root", "1000"):
            quiet(self.command() + ["images", "import", self.archive(user)])

    def archive(self, user):
        """
        The layer as an image archive, by hand: no other engine is needed for it. One for
        each user, since this ctr has no --user.
        """
        folder = temp() + "/archive-" + user
        os.mkdir(folder)
        os.link(layer(), folder + "/layer.tar")
        digest = quiet(["sha256sum", layer()]).split()[0].decode()
        with open(folder + "/config.json", "w") as f:
            json.dump({"architecture": quiet(["dpkg", "--print-architecture"]).decode().strip(),
                       "os": "linux", "config": {"Env": ["PATH=" + PATH], "User": user},
                       "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}}, f)
        with open(folder + "/manifest.json", "w") as f:
            json.dump([{"Config": "config.json", "RepoTags": ["%s:%s" % (IMAGE, user)],
                        "Layers": ["layer.tar"]}], f)
        quiet(["tar", "-C", folder, "-cf", folder + ".tar", "manifest.json", "config.json",
               "layer.tar"])
        return folder + ".tar"

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        home = "/root" if user == "root" else "/home/user"
        full = self.command() + ["run", "--rm", "--env", "HOME=" + home]
        if tty:
            full += ["-t"]
        if caps == "none":
            for cap in self.CAPS:
                full += ["--cap-drop", "CAP_" + cap]
        if readonly:
            full += ["--read-only"]
        for host, guest, writable in mounts:
            full += ["--mount", "type=tmpfs,dst=%s,options=mode=1777" % guest if host is None else
                     "type=bind,src=%s,dst=%s,options=rbind:%s" %
                     (host, guest, "rw" if writable else "ro")]
        return full + ["docker.io/library/%s:%s" % (IMAGE, user), serial] + argv

    def signal(self, serial, process, number):
        quiet(self.command() + ["tasks", "kill", "-s", str(int(number)), serial])


class Runc(Engine):
    """A bundle by hand: what `runc spec` writes, with our process and mounts."""
    name = "runc"
    needs = ("runc",)

    def command(self):
        return ["runc", "--root", temp() + "/runc"]

    def wrap(self, full):
        return full

    def prepare(self):
        rootfs()

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        bundle = "%s/bundle-%s" % (temp(), serial)
        os.mkdir(bundle)
        quiet(["runc", "spec", "-b", bundle])
        with open(bundle + "/config.json") as f:
            spec = json.load(f)
        process, uid = spec["process"], 0 if user == "root" else int(user)
        process.update(terminal=tty, args=argv, user={"uid": uid, "gid": uid},
                       noNewPrivileges=caps == "none",
                       env=["PATH=" + PATH, "HOME=" + ("/home/user" if uid else "/root")])
        keep = [] if caps == "none" else ["CAP_" + c for c in Containerd.CAPS]
        process["capabilities"] = {k: keep for k in ("bounding", "effective", "permitted")}
        spec["root"] = {"path": rootfs(), "readonly": readonly}
        spec["linux"]["cgroupsPath"] = "/" + serial
        taken = [guest for _, guest, _ in mounts]  # the root is shared: not these two
        mounts += [(None, g, True) for g in ("/tmp", "/workspace") if g not in taken]
        for host, guest, writable in mounts:
            spec["mounts"].append(
                {"destination": guest, "type": "tmpfs", "source": "tmpfs",
                 "options": ["mode=1777"]} if host is None else
                {"destination": guest, "type": "bind", "source": host,
                 "options": ["rbind", "rw" if writable else "ro"]})
        with open(bundle + "/config.json", "w") as f:
            json.dump(spec, f)
        return self.wrap(self.command() + ["run", "-b", bundle, serial])

    def signal(self, serial, process, number):
        quiet(self.wrap(self.command() + ["kill", serial, str(int(number))]))


class Crun(Runc):
    name = "crun"
    needs = ("crun", "runc")

    def command(self):
        return ["crun", "--root", temp() + "/crun", "--cgroup-manager=cgroupfs"]

    def wrap(self, full):
        """crun refuses hybrid cgroups: it gets a mount namespace without the second."""
        return ["unshare", "--mount", "sh", "-c",
                "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"", "sh"] + full


class Bubblewrap(Engine):
    name = "bubblewrap"
    needs = ("bwrap", "setpriv")

    def prepare(self):
        rootfs()

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        uid = "0" if user == "root" else user
        full = [] if user == "root" else ["setpriv", "--reuid", uid, "--regid", uid,
                                          "--clear-groups"]
        full += ["bwrap", "--unshare-all", "--as-pid-1", "--uid", uid, "--gid", uid,
                 "--ro-bind" if readonly or user != "root" else "--bind", rootfs(), "/",
                 "--proc", "/proc", "--dev", "/dev"]
        if caps == "none":
            full += ["--cap-drop", "ALL"]
        if not readonly and user != "root":
            full += ["--tmpfs", "/tmp", "--tmpfs", "/workspace"]
        for host, guest, writable in mounts:
            full += ["--tmpfs", guest] if host is None else [
                "--bind" if writable else "--ro-bind", host, guest]
        return full + ["--clearenv", "--setenv", "PATH", PATH, "--setenv", "HOME",
                       "/home/user" if user != "root" else "/root", "--"] + argv

    def signal(self, serial, process, number):
        """bwrap passes nothing on: its only child is PID 1."""
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as f:
            for pid in f.read().split():
                os.kill(int(pid), number)


class Box(Engine):
    """No engine: `airlock run` in namespaces of its own, over this machine's root."""
    name = "box"
    needs = ("setpriv",)
    only = "run"

    def argv(self, serial, argv, user, caps, readonly, mounts, tty):
        """Paths of the container become those of the machine, in the spec too."""
        assert argv[1] == "run", "the box runs tasks only"
        if readonly:
            raise NotImplementedError("the box's root is private: it has no read-only form")
        place = sorted((m for m in mounts if m[0]), key=lambda m: -len(m[1]))
        full = []
        for word in argv[2:]:
            for host, guest, _ in place:
                if word.startswith(guest + "/"):
                    with open(host + word[len(guest):]) as f:
                        text = f.read()
                    for h, g, _ in place:
                        text = text.replace('"%s"' % g, '"%s"' % h).replace('"%s/' % g, '"%s/' % h)
                    word = "%s/%s.json" % (temp(), serial)
                    with open(word, "w") as f:
                        f.write(text)
                    break
            full.append(word)
        program = temp() + "/airlock"
        if not os.path.exists(program):
            for name in PROGRAMS:
                shutil.copy(os.path.join(os.path.dirname(AIRLOCK), name), temp())
                os.chmod(temp() + "/" + name, 0o755)
        drop = [] if user == "root" else ["setpriv", "--reuid", user, "--regid", user,
                                          "--clear-groups", "env", "HOME=/home/user"]
        return drop + [program, "run"] + full

    def signal(self, serial, process, number):
        os.kill(process.pid, number)


def each_of(*engines):
    """A decorator: the function as one case for each engine, which it is called with."""
    def cases(function):
        for engine in engines:
            def run(engine=engine):
                function(engine)
            run.__name__ = "%s_%s" % (engine.name, function.__name__)
            case(run)
        return function
    return cases


ENGINES = [Box(), Docker(), Podman(), Containerd(), Runc(), Crun(), Bubblewrap()]


def engines():
    return ENGINES
