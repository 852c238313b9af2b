"""Provision: git brings the task's commit, by any ref and any road, and a hostile
repository runs nothing and writes nothing outside of its work tree."""
import functools
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from lib import case, main, skip
from task import Task, git, put

SHOW = "git log -1 --format=%H; git rev-parse --abbrev-ref HEAD; cat a.txt"


class Server:
    """A directory over http on loopback; the dumb protocol, or git's own CGI."""

    def __init__(self, directory, smart=False):
        class Handler(http.server.CGIHTTPRequestHandler if smart
                      else http.server.SimpleHTTPRequestHandler):
            cgi_directories = ["/cgi"]
            have_fork = True

            def log_message(self, *_):
                pass

        if smart:
            put(directory + "/cgi/git", "#!/bin/sh\nGIT_PROJECT_ROOT='%s' GIT_HTTP_EXPORT_ALL=1 "
                "exec git -c safe.directory='*' http-backend\n" % directory)
            # CGIHTTPRequestHandler runs as nobody when we are root.
            os.chmod(directory + "/cgi/git", 0o755)
            os.chmod(directory, 0o755)
            self.handler = Handler
        else:
            Handler = functools.partial(Handler, directory=directory)
        self.cwd = directory
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        if smart:
            self.url += "/cgi/git"

    def __enter__(self):
        self.before = os.getcwd()
        os.chdir(self.cwd)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        os.chdir(self.before)


def two_commits():
    """main with two commits, tag v1 and branch other on the first; returns (t, first, second)."""
    t = Task()
    path = t.repo({"a.txt": "first\n"})
    first = git(path, "rev-parse", "HEAD")
    git(path, "tag", "-a", "-m", "v1", "v1")
    git(path, "branch", "feature/x")
    return t, first, t.commit({"a.txt": "second\n"})


# --- refs --------------------------------------------------------------------------------

@case
def a_branch_is_checked_out_as_a_branch():
    t, first, second = two_commits()
    for ref, commit, text in (("main", second, "second"), ("feature/x", first, "first")):
        r = t.run(SHOW, repo={"ref": ref}).expect(0)
        assert r.answer.split() == [commit, ref, text], r.answer
        assert r.result["start_commit"] == commit


@case
def a_tag_is_checked_out_detached():
    t, first, _ = two_commits()
    r = t.run(SHOW, repo={"ref": "v1"}).expect(0)
    assert r.answer.split() == [first, "HEAD", "first"], r.answer


@case
def no_ref_is_the_remotes_default_branch():
    t, _, second = two_commits()
    assert t.run(SHOW, repo={"ref": None}).expect(0).answer.split() == [second, "main", "second"]


@case
def a_commit_is_found_by_its_whole_and_its_short_id():
    t, first, _ = two_commits()
    for ref in (first, first[:7], first[:12], first.upper()):
        r = t.run(SHOW, repo={"ref": ref}).expect(0)
        assert r.answer.split() == [first, "HEAD", "first"], (ref, r.answer)


@case
def a_branch_that_looks_like_a_commit_id_is_a_branch():
    t, first, _ = two_commits()
    git(t.url, "branch", "deadbeef", first)
    assert t.run(SHOW, repo={"ref": "deadbeef"}).expect(0).answer.split()[1] == "deadbeef"


@case
def a_commit_on_no_branch_is_found():
    t, _, second = two_commits()
    lost = t.commit({"a.txt": "lost\n"})
    git(t.url, "update-ref", "refs/pull/1/head", lost)
    git(t.url, "reset", "-q", "--hard", second)
    for depth in (0, 1):
        r = t.run(SHOW, repo={"ref": lost, "depth": depth, "url": "file://" + t.url}).expect(0)
        assert r.answer.split() == [lost, "HEAD", "lost"], (depth, r.answer)


@case
def depth_1_has_one_commit():
    t, first, second = two_commits()
    for ref, commit in (("main", second), ("v1", first), (second, second)):
        r = t.run("git rev-list --count HEAD; git rev-parse HEAD", repo={
            "ref": ref, "depth": 1, "url": "file://" + t.url}).expect(0)
        assert r.answer.split() == ["1", commit], (ref, r.answer)


@case
def a_missing_ref_ends_with_70_and_one_line():
    t, _, _ = two_commits()
    for ref in ("no-such-branch", "0" * 40, "deadbeef", "--upload-pack=touch " + t.canary,
                "main:evil", "refs/heads/../x"):
        r = t.run("true", repo={"ref": ref})
        assert r.code in (70, 78), (ref, r.code, r.err)
        if r.code == 70:
            assert ref in r.reason(), (ref, r.result)
            lines = [x for x in r.err.splitlines() if x.startswith("airlock: error:")
                     and "can't" in x]
            assert len(lines) == 1, r.err
        t.safe()


@case
def a_missing_repository_ends_with_70_and_names_it():
    t = Task()
    for url in (t.dir + "/nothing", "file://" + t.dir + "/nothing", "http://127.0.0.1:1/x.git"):
        r = t.run("true", repo={"url": url}).expect(70)
        assert url in r.reason() and r.result["phase"] == "provision", r.result
        assert r.result["agent"]["ran"] is False


@case
def a_directory_with_files_is_not_overwritten():
    t = Task()
    t.repo()
    r = t.run("true", repo={"dir": "/etc"}).expect(70)
    assert "not empty" in r.reason() and "/etc" in r.reason(), r.result


@case
def nothing_is_left_on_the_host():
    t = Task()
    t.repo()
    before = [set(os.listdir(d)) for d in ("/tmp", "/run", "/")]
    workspace = os.path.exists("/workspace")
    t.run("touch /tmp/left /run/left /left", "touch /var/tmp/left").expect(0)
    for d, names in zip(("/tmp", "/run", "/"), before):
        new = set(os.listdir(d)) - names
        assert not [n for n in new if n == "left" or re.fullmatch("airlock-[A-Za-z0-9]{6}", n)], \
            (d, new)
    assert os.path.exists("/workspace") == workspace


# --- roads -------------------------------------------------------------------------------

@case
def a_bundle_file_is_a_repository():
    t, _, second = two_commits()
    git(t.url, "bundle", "create", "-q", t.dir + "/app.bundle", "--all")
    r = t.run(SHOW, repo={"url": t.dir + "/app.bundle"}).expect(0)
    assert r.answer.split() == [second, "main", "second"], r.answer


@case
def a_bare_repository_of_another_user_is_read():
    t, _, second = two_commits()
    git(t.dir, "clone", "-q", "--bare", t.url, t.dir + "/app.git")
    subprocess.run(["chown", "-R", "65534:65534", t.dir + "/app.git"], check=True)
    assert t.run(SHOW, repo={"url": t.dir + "/app.git"}).expect(0).answer.split()[0] == second


@case
def a_clone_shares_nothing_with_its_source():
    t, _, _ = two_commits()
    t.run("cat .git/objects/info/alternates; find .git/objects -type f -links +1").expect(0)
    assert t.run("cat .git/objects/info/alternates; find .git/objects -type f -links +1; true"
                 ).answer == ""


@case
def the_dumb_http_protocol_works():
    t, _, second = two_commits()
    git(t.url, "update-server-info")
    with Server(t.dir) as s:
        for ref, depth in (("main", 0), (second, 0)):
            r = t.run(SHOW, repo={"url": s.url + "/repo/.git", "ref": ref}).expect(0)
            assert r.answer.split()[0] == second


@case
def smart_http_works_also_with_depth_1():
    t, first, second = two_commits()
    with Server(t.dir, smart=True) as s:
        for ref, depth, commit in (("main", 0, second), ("main", 1, second), (first, 1, first),
                                   (first[:8], 0, first)):
            r = t.run("git rev-list --count HEAD; git rev-parse HEAD", repo={
                "url": s.url + "/repo/.git", "ref": ref, "depth": depth}).expect(0)
            assert r.answer.split()[1] == commit, (ref, r.answer)
            assert (r.answer.split()[0] == "1") == (depth == 1 or commit == first), r.answer


@case
def ssh_is_gits_own_ssh():
    """No sshd needed: what git calls is what GIT_SSH_COMMAND names, in batch mode."""
    t, _, second = two_commits()
    put(t.dir + "/bin/ssh", "#!/bin/sh\necho \"$@\" >> %s/ssh.log\n"
        "while [ $# -gt 1 ]; do shift; done\nexec sh -c \"$1\"\n" % t.out)
    os.chmod(t.dir + "/bin/ssh", 0o755)
    env = dict(os.environ, PATH=t.dir + "/bin:" + os.environ["PATH"])
    r = t.run(SHOW, repo={"url": "ssh://git@host" + t.url}, popen={"env": env}).expect(0)
    assert r.answer.split()[0] == second
    assert "BatchMode=yes" in r.file("ssh.log"), r.file("ssh.log")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@case
def ssh_through_a_real_sshd():
    """An sshd of the test's own: its keys, its port, its folder; on loopback."""
    t, _, second = two_commits()
    keys = t.dir + "/ssh"
    os.mkdir(keys, 0o700)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys + "/" + name],
                       check=True)
    port = free_port()
    put(keys + "/config", "ListenAddress 127.0.0.1:%d\nHostKey %s/host\nUsePAM no\n"
        "AuthorizedKeysFile %s/user.pub\nStrictModes no\nPidFile none\n"
        "PermitRootLogin prohibit-password\n" % (port, keys, keys))
    os.makedirs("/run/sshd", exist_ok=True)  # where it separates its privileges
    sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", keys + "/config"],
                            stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        command = "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -i %s/user" % keys
        r = t.run(SHOW, repo={"url": "ssh://root@127.0.0.1:%d%s" % (port, t.url)},
                  env={"GIT_SSH_COMMAND": command}).expect(0)
        assert r.answer.split()[0] == second
        put(keys + "/nobody", "not a key\n")
        os.chmod(keys + "/nobody", 0o600)
        r = t.run(SHOW, repo={"url": "ssh://root@127.0.0.1:%d%s" % (port, t.url)},
                  env={"GIT_SSH_COMMAND": command + "/../nobody"}).expect(70)
        assert "Permission denied" in r.file("setup.log"), r.file("setup.log")
    finally:
        sshd.terminate()
        sshd.wait()


def wait_for_port(port):
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, "sshd does not listen"
            time.sleep(0.05)


@case
def a_sha256_repository_is_checked_out_and_compared():
    t = Task()
    t.repo({"a.txt": "one\n"}, "repo", "--object-format=sha256")
    r = t.run("echo two >> a.txt; echo new > b.txt").expect(0)
    assert len(r.result["start_commit"]) == 64, r.result
    git(t.dir, "clone", "-q", t.url, t.dir + "/fresh")
    git(t.dir + "/fresh", "apply", "--index", t.out + "/changes.diff")
    assert open(t.dir + "/fresh/a.txt").read() == "one\ntwo\n"


@case
def an_empty_repository_is_refused_in_words():
    t = Task()
    git(t.dir, "init", "-q", "-b", "main", t.url)
    r = t.run("true", repo={"ref": None}).expect(70)
    assert r.reason(), r.result


# --- submodules and LFS --------------------------------------------------------------------

def with_submodule(t, server):
    t.repo({"s.txt": "sub\n"}, "sub")
    git(t.dir + "/sub", "update-server-info")
    t.repo()
    git(t.url, "submodule", "--quiet", "add", "--name", "sub", server.url + "/sub/.git", "lib/sub")
    git(t.url, "commit", "-q", "-m", "submodule")
    git(t.url, "update-server-info")


@case
def submodules_are_checked_out_when_the_spec_says_so():
    t = Task()
    with Server(t.dir) as s:
        with_submodule(t, s)
        assert t.run("cat lib/sub/s.txt", repo={"submodules": True}).expect(0).answer == "sub\n"
        assert t.run("ls -A lib/sub", repo={"submodules": False}).expect(0).answer == ""


@case
def a_new_commit_in_a_submodule_is_in_the_diff():
    t = Task()
    with Server(t.dir) as s:
        with_submodule(t, s)
        r = t.run("cd lib/sub && echo more > m && git add m && "
                  "git -c user.name=a -c user.email=a@b commit -qm m && git rev-parse HEAD",
                  repo={"submodules": True}).expect(0)
        assert "+Subproject commit " + r.answer.strip() in r.diff, r.diff


def lfs_pointer(data):
    import hashlib
    return "version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
        hashlib.sha256(data).hexdigest(), len(data))


@case
def without_lfs_the_pointers_stay_and_git_lfs_never_runs():
    t = Task()
    data = b"large" * 1000
    t.repo({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "x.bin": lfs_pointer(data), ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n"})
    put(t.dir + "/bin/git-lfs", "#!/bin/sh\necho $@ >> %s\nexit 1\n" % t.canary)
    os.chmod(t.dir + "/bin/git-lfs", 0o755)
    env = dict(os.environ, PATH=t.dir + "/bin:" + os.environ["PATH"])
    r = t.run("cat x.bin; echo new >> a.txt", popen={"env": env}).expect(0)
    assert r.answer == lfs_pointer(data), r.answer
    t.safe()
    assert "x.bin" not in r.diff and "a.txt" in r.diff, r.diff


@case
def with_lfs_the_files_come_and_an_untouched_one_is_not_in_the_diff():
    if not shutil.which("git-lfs"):
        skip("no git-lfs here")
    import hashlib
    t = Task()
    data = b"large" * 1000
    oid = hashlib.sha256(data).hexdigest()
    t.repo({".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
            "x.bin": lfs_pointer(data)})
    put(t.url + "/.git/lfs/objects/%s/%s/%s" % (oid[:2], oid[2:4], oid), data)
    r = t.run("sha256sum x.bin; echo new >> a.txt",
              repo={"url": "file://" + t.url, "lfs": True}).expect(0)
    assert oid in r.answer, r.answer
    assert "x.bin" not in r.diff, "an untouched LFS file in the diff: " + r.diff[:300]


# --- hostile repositories ------------------------------------------------------------------

@case
def hooks_do_not_run():
    t = Task()
    hook = "#!/bin/sh\necho hook >> %s\n" % t.canary
    names = ("post-checkout", "post-merge", "reference-transaction", "post-index-change",
             "pre-commit", "fsmonitor-watchman")
    t.repo({"hooks/" + n: hook for n in names} | {".githooks/" + n: hook for n in names}
           | {".git-hooks/x": hook, "a.txt": "one\n"})
    template = t.dir + "/template"
    for n in names:
        put(template + "/hooks/" + n, hook)
        os.chmod(template + "/hooks/" + n, 0o755)
        put(t.url + "/.git/hooks/" + n, hook)
        os.chmod(t.url + "/.git/hooks/" + n, 0o755)
    put(t.dir + "/home/.gitconfig", "[init]\n\ttemplateDir = %s\n" % template)
    for ref in ("main", git(t.url, "rev-parse", "HEAD")):
        t.run("echo x >> a.txt", repo={"ref": ref},
              popen={"env": dict(os.environ, HOME=t.dir + "/home")}).expect(0)
        t.safe()


@case
def attributes_and_committed_configuration_run_nothing():
    t = Task()
    evil = "sh -c 'echo filter >> %s'" % t.canary
    config = ("[core]\n\tfsmonitor = %s\n\thooksPath = hooks\n\tsshCommand = %s\n"
              "[filter \"evil\"]\n\tsmudge = %s\n\tclean = %s\n\trequired = true\n"
              "[diff \"evil\"]\n\tcommand = %s\n\ttextconv = %s\n" % ((evil,) * 6))
    t.repo({".gitattributes": "* filter=evil diff=evil merge=evil ident\n", ".gitconfig": config,
            "config": config, "HEAD": "ref: refs/heads/main\n", "objects/x": "", "refs/x": "",
            "sub/HEAD": "ref: refs/heads/main\n", "sub/config": config, "sub/objects/x": "",
            "sub/refs/x": "", "a.txt": "one\n"})
    r = t.run("echo two >> a.txt").expect(0)
    t.safe()
    assert "+two" in r.diff


def raw_tree(path, entries):
    """A commit whose tree git itself would refuse to write: (mode, name, blob text)."""
    body = b""
    for mode, name, content in entries:
        if mode == "160000":
            oid = content
        elif mode == "40000":
            oid = content
        else:
            done = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=path,
                                  input=content.encode(), capture_output=True, check=True)
            oid = done.stdout.decode().strip()
        body += mode.encode() + b" " + name.encode() + b"\0" + bytes.fromhex(oid)
    done = subprocess.run(["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"],
                          cwd=path, input=body, capture_output=True, check=True)
    return done.stdout.decode().strip()


def set_tree(t, tree):
    commit = git(t.url, "commit-tree", "-m", "evil", tree)
    git(t.url, "update-ref", "refs/heads/main", commit)


@case
def a_tree_with_dot_git_or_dot_dot_is_refused():
    for name in (".git", ".GIT", "..", "git~1", ".g\u200cit"):
        t = Task()
        t.repo()
        inner = raw_tree(t.url, [("100644", "config", "[core]\n\tfsmonitor = touch %s\n"
                                  % t.canary), ("100644", "pwned", "x")])
        set_tree(t, raw_tree(t.url, [("40000", name, inner), ("100644", "z", "z")]))
        r = t.run("cat .git/config; ls -A ..")
        t.safe()
        assert r.code == 70 or ("fsmonitor" not in r.answer and "pwned" not in r.answer), r.answer


@case
def a_file_through_a_symlink_is_not_written_outside():
    t = Task()
    t.repo()
    inner = raw_tree(t.url, [("100644", "pwned", "written through a link")])
    set_tree(t, raw_tree(t.url, [("120000", "link", t.out), ("40000", "link", inner)]))
    t.run("true")
    t.safe()


@case
def symlinks_out_of_the_tree_stay_links_and_are_not_followed_by_the_diff():
    t = Task()
    put(t.dir + "/secret", "very secret\n")
    t.repo({"abs": (t.dir + "/secret",), "up": ("../../../../etc/shadow",), "loop": ("loop",),
            "out": (t.out,), "a.txt": "one\n"})
    r = t.run("readlink abs up loop; rm a.txt; ln -s %s/secret a.txt" % t.dir).expect(0)
    assert r.answer.split() == [t.dir + "/secret", "../../../../etc/shadow", "loop"], r.answer
    assert "very secret" not in r.diff and "120000" in r.diff
    t.safe()


@case
def hostile_submodules_run_nothing_and_write_nothing_outside():
    urls = ["-u./x", "--upload-pack=touch %(canary)s", "ext::sh -c touch% %(canary)s",
            "ext::sh -c 'touch %(canary)s'", "file://%(dir)s/sub", "fd::17", "%(dir)s/sub",
            "ssh://-oProxyCommand=touch%%20%(canary)s/x", "-oProxyCommand=touch %(canary)s:x"]
    for url in urls:
        t = Task()
        t.repo({"s": "s\n"}, "sub")
        t.repo()
        put(t.url + "/.gitmodules", '[submodule "sub"]\n\tpath = sub\n\turl = %s\n'
            "\tupdate = !touch %s\n" % (url.replace("% ", "%% ") % vars(t), t.canary))
        git(t.url, "add", ".gitmodules")
        git(t.url, "update-index", "--add", "--cacheinfo",
            "160000,%s,sub" % git(t.dir + "/sub", "rev-parse", "HEAD"))
        git(t.url, "commit", "-qm", "evil")
        r = t.run("true", repo={"submodules": True})
        t.safe()
        assert r.code == 70, (url, r.code, r.err)
        assert "submodules" in r.reason(), r.result


@case
def gitmodules_paths_do_not_leave_the_tree():
    for path, name in (("../../out/pwned", "a"), ("sub", "../../hooks"), ("sub", "a/../../../x"),
                       (".git/modules", "b"), ("sub\r", "c")):
        t = Task()
        t.repo({"pwned": "s\n", "post-checkout": "#!/bin/sh\necho x > %s\n" % t.canary}, "sub")
        git(t.dir + "/sub", "update-index", "--chmod=+x", "post-checkout")
        git(t.dir + "/sub", "commit", "-qm", "x")
        git(t.dir + "/sub", "update-server-info")
        t.repo()
        with Server(t.dir) as s:
            quoted = path.replace("\r", "\r") if "\r" not in path else '"%s"' % path
            put(t.url + "/.gitmodules", '[submodule "%s"]\n\tpath = %s\n\turl = %s/sub/.git\n'
                % (name, quoted, s.url))
            head = git(t.dir + "/sub", "rev-parse", "HEAD")
            blob = git(t.url, "hash-object", "-w", ".gitmodules")
            entries = "100644 blob %s\t.gitmodules\n" % blob
            if path == "sub\r":  # CVE-2025-48384: the CR is lost, "sub" is a link to the hooks
                link = subprocess.run(["git", "hash-object", "-w", "--stdin"], cwd=t.url,
                                      input=b".git/modules/c/hooks", capture_output=True,
                                      check=True).stdout.decode().strip()
                entries += "120000 blob %s\tsub\n" % link
            name_in_tree = path if path.startswith("sub") else "sub"
            entries += "160000 commit %s\t%s\n" % (head, name_in_tree)
            tree = subprocess.run(["git", "mktree", "--missing", "-z"], cwd=t.url,
                                  input=entries.replace("\n", "\0").encode(),
                                  capture_output=True, check=True).stdout.decode().strip()
            set_tree(t, tree)
            r = t.run("ls -A / /workspace", repo={"submodules": True})
            t.safe()
            assert "pwned" not in r.answer, (path, r.answer)


# --- .airlock.json -------------------------------------------------------------------------

@case
def its_variables_do_not_steer_what_airlock_starts():
    for name in ("LD_PRELOAD", "BASH_ENV", "GIT_SSH_COMMAND", "AIRLOCK_PHASE", "PATH"):
        t = Task()
        t.repo({".airlock.json": json.dumps({"version": 1, "env": {name: "x"}})})
        r = t.run("true").expect(78)
        assert "env.%s: only the operator" % name in r.reason(), r.result


@case
def the_repositorys_spec_fills_in_what_the_operator_left_out():
    t = Task()
    t.repo({".airlock.json": json.dumps({"version": 1, "env": {"FROM_REPO": "1", "BOTH": "repo"},
                                         "setup": {"script": "echo made > /made"}})})
    r = t.run("cat /made; echo $FROM_REPO $BOTH", env={"BOTH": "operator"},
              setup=None).expect(0)
    assert r.answer == "made\n1 operator\n", r.answer


@case
def the_repositorys_spec_can_grant_nothing():
    grants = [{"network": {"agent": "full"}}, {"network": {"allow": ["*"]}},
              {"secrets": {"sealed": "/etc/shadow", "names": ["X"]}},
              {"agent": {"command": ["touch", "/x"]}}, {"agent": {"user": "root"}},
              {"output": {"dir": "/etc"}}, {"repo": {"url": "/tmp/x"}},
              {"network": {"rules": [{"host": "x.org"}]}}, {"cache": {"dir": "/x"}}]
    for grant in grants:
        t = Task()
        t.repo({".airlock.json": json.dumps(dict({"version": 1}, **grant))})
        r = t.run("touch %s" % t.canary).expect(78)
        assert ".airlock.json" in r.reason(), r.result
        t.safe()


@case
def a_broken_spec_of_the_repository_ends_with_78_and_its_place():
    bad = ["{", "[]", '{"version":1,}', "\ufeff{}", '{"version":1,"setup":{"script":5}}',
           "[" * 5000, '{"version":1,"version":1}', "\0", '{"version":1,"x":1}']
    for text in bad:
        t = Task()
        t.repo({".airlock.json": text})
        r = t.run("touch %s" % t.canary).expect(78)
        assert r.reason().startswith(".airlock.json:"), (text[:20], r.result)
        t.safe()


@case
def a_spec_of_2_MiB_ends_with_78():
    t = Task()
    t.repo({".airlock.json": '{"version":1,"env":{"A":"%s"}}' % ("x" * 2 * 1024 * 1024)})
    r = t.run("touch %s" % t.canary).expect(78)
    assert "1 MiB" in r.reason(), r.result
    t.safe()


@case
def a_spec_that_is_a_symlink_is_not_followed():
    t = Task()
    put(t.dir + "/other.json", json.dumps({"version": 1, "env": {"LINKED": "yes"}}))
    t.repo({".airlock.json": (t.dir + "/other.json",)})
    r = t.run("echo linked=$LINKED").expect(78)
    assert "not a regular file" in r.reason(), r.result


@case
def the_spec_is_the_commits_and_not_what_setup_wrote():
    t = Task()
    t.repo({".airlock.json": json.dumps({"version": 1, "env": {"WHO": "commit"}})})
    r = t.run("echo $WHO", setup="""echo '{"version":1,"env":{"WHO":"setup"}}' > .airlock.json"""
              ).expect(0)
    assert r.answer == "commit\n"


main()
