#!/usr/bin/python3
"""What a model's tools do to real files: the program apply_patch, by itself and sealed."""
import os
import shutil
import stat
import subprocess
import tempfile

from exec_client import Client, unb64, uri
from lib import AIRLOCK, case, main, start

PROGRAM = os.path.dirname(AIRLOCK) + "/path/apply_patch"


class Repository:
    """A directory with a .git, below one that is not the repository's business."""

    def __init__(self, **files):
        self.outer = tempfile.mkdtemp(prefix="patch-", dir="/tmp")
        self.root = self.outer + "/repo"
        os.makedirs(self.root + "/.git")
        for name, text in files.items():
            self.put(name.replace("__", "/"), text)

    def put(self, name, text):
        path = self.root + "/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="") as f:
            f.write(text)
        return path

    def read(self, name):
        with open(self.root + "/" + name, newline="") as f:
            return f.read()

    def state(self):
        """Everything below the outer directory, by name: what it is and what it holds."""
        found = {}
        for folder, dirs, names in os.walk(self.outer):
            for name in dirs + names:
                path = folder + "/" + name
                st = os.lstat(path)
                content = os.readlink(path) if os.path.islink(path) else \
                    open(path, "rb").read() if stat.S_ISREG(st.st_mode) else None
                found[os.path.relpath(path, self.outer)] = (oct(st.st_mode), content)
        return found

    def patch(self, *hunks, cwd="", stdin=False, env=None):
        text = "*** Begin Patch\n" + "".join(hunks) + "*** End Patch\n"
        p = subprocess.run([PROGRAM] + ([] if stdin else [text]), cwd=self.root + "/" + cwd,
                           input=text.encode() if stdin else b"", timeout=10,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
        return p.returncode, p.stdout.decode(), p.stderr.decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.outer)


def refused(repo, *hunks, why, **more):
    before = repo.state()
    status, out, err = repo.patch(*hunks, **more)
    assert status == 1 and not out and why in err, (status, out, err)
    assert repo.state() == before, "something changed"


@case
def a_patch_edits_files_whichever_way_it_comes():
    for stdin in (False, True):
        with Repository(a="one\ntwo\n", old="x\n", src__b="1\n2\n3\n") as repo:
            got = repo.patch("*** Update File: b\n@@ 1\n-2\n+two\n*** Add File: new/c\n+c\n",
                             "*** Delete File: ../old\n*** Update File: ../a\n",
                             "*** Move to: ../moved/a\n@@\n one\n-two\n+2\n",
                             cwd="src", stdin=stdin)
            assert got == (0, "Success. Updated the following files:\nA new/c\nM b\n"
                              "M ../moved/a\nD ../old\n", ""), got
            assert repo.read("src/b") == "1\ntwo\n3\n" and repo.read("src/new/c") == "c\n"
            assert repo.read("moved/a") == "one\n2\n"
            assert not os.path.exists(repo.root + "/a") and not os.path.exists(repo.root + "/old")


@case
def usage_is_told():
    for arguments, status in ((["--help"], 0), (["a", "b"], 2)):
        p = subprocess.run([PROGRAM] + arguments, capture_output=True, timeout=10)
        assert p.returncode == status and b"Usage: apply_patch" in p.stdout + p.stderr
    with Repository() as repo:
        p = subprocess.run([PROGRAM, "nonsense"], capture_output=True, cwd=repo.root, timeout=10)
        assert p.returncode == 1 and p.stderr == (b"invalid patch: The first line of the patch "
                                                  b"must be '*** Begin Patch'\n"), p.stderr


@case
def modes_names_and_line_ends_stay():
    with Repository(run="#!/bin/sh\necho 1\n", dos="a\r\nb\r\n", twin="t\n") as repo:
        os.chmod(repo.root + "/run", 0o750)
        os.link(repo.root + "/twin", repo.root + "/other")
        os.symlink("run", repo.root + "/link")
        status, _, err = repo.patch("*** Update File: link\n@@\n-echo 1\n+echo 2\n",
                                    "*** Update File: dos\n@@\n-b\n+c\n",
                                    "*** Update File: twin\n@@\n-t\n+u\n")
        assert not status, err
        assert os.readlink(repo.root + "/link") == "run"
        assert stat.S_IMODE(os.stat(repo.root + "/run").st_mode) == 0o750
        assert repo.read("run") == "#!/bin/sh\necho 2\n" and repo.read("dos") == "a\r\nc\r\n"
        assert repo.read("other") == "u\n"
        status, _, err = repo.patch("*** Update File: run\n*** Move to: bin/run\n@@\n-echo 2\n"
                                    "+echo 3\n")
        assert not status and stat.S_IMODE(os.stat(repo.root + "/bin/run").st_mode) == 0o750, err


@case
def nothing_outside_the_repository_is_touched():
    with Repository(a="a\n") as repo:
        with open(repo.outer + "/secret", "w") as f:
            f.write("s\n")
        os.symlink("..", repo.root + "/up")
        os.symlink("../secret", repo.root + "/s")
        os.symlink("../made", repo.root + "/made")
        os.symlink(".git", repo.root + "/g")
        add, edit, outside = "*** Add File: %s\n+x\n", "*** Update File: %s\n@@\n-s\n+x\n", \
            "outside of the repository"
        for hunk, name, why in (
                (add, "../x", outside), (add, "/tmp/patch-outside", outside),
                (add, "up/x", outside), (edit, "s", outside), (edit, "up/secret", outside),
                (add, "made", "Failed to write file made"), (add, ".git/hooks/post-commit", ".git"),
                (add, "g/config", ".git"), (add, "sub/.GIT/config", ".git"),
                (add, "a/b", "Not a directory")):
            refused(repo, hunk % name, why=why)
        refused(repo, "*** Update File: a\n*** Move to: up/b\n@@\n-a\n+b\n", why=outside)
        refused(repo, "*** Delete File: up/secret\n", why=outside)


@case
def a_patch_that_fails_late_changes_nothing():
    with Repository(a="a\n", ro__b="b\n", c="c\n") as repo:
        refused(repo, "*** Update File: a\n@@\n-a\n+A\n*** Delete File: c\n",
                "*** Update File: ro/b\n@@\n-nothing\n+B\n",
                why="Failed to find expected lines in ro/b:\nnothing")
        # The disk says no: below something that is no directory once the patch has made it.
        refused(repo, "*** Update File: a\n@@\n-a\n+A\n*** Delete File: c\n",
                "*** Add File: new\n+x\n*** Add File: new/below\n+y\n",
                why="No file was changed.")


@case
def a_full_disk_leaves_the_old_files():
    with Repository(a="a\n" * 1000, b="b\n") as repo:
        before = repo.state()
        big = "".join("+%s\n" % ("y" * 1000) for _ in range(2000))
        script = ("mount -t tmpfs -o size=256k none /mnt && cp -r %s/. /mnt && cd /mnt && "
                  "%s < /tmp/p%d; s=$?; cat b; ls -A; exit $s"
                  % (repo.root, PROGRAM, os.getpid()))
        with open("/tmp/p%d" % os.getpid(), "w") as f:
            f.write("*** Begin Patch\n*** Update File: b\n@@\n-b\n+B\n*** Add File: big\n" + big +
                    "*** End Patch\n")
        p = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, timeout=20)
        os.unlink("/tmp/p%d" % os.getpid())
        assert p.returncode == 1 and b"No space left" in p.stderr, (p.stdout, p.stderr)
        assert p.stdout == b"b\n.git\na\nb\n", p.stdout
        assert repo.state() == before


@case
def another_user_s_file_is_written_in_place_and_stays_theirs():
    if os.getuid():
        from lib import skip
        skip("needs root to make one")
    with Repository(a="a\n") as repo:
        os.chown(repo.root + "/a", 12345, 12345)
        status, _, err = repo.patch("*** Update File: a\n@@\n-a\n+b\n")
        assert not status and os.stat(repo.root + "/a").st_uid == 12345, err
        assert repo.read("a") == "b\n"


@case
def commands_of_the_exec_server_find_it_in_their_path():
    with Repository(a="a\n") as repo:
        p = start([AIRLOCK, "exec-server", "--listen", "stdio"])
        c = Client.stdio(p)
        c.hello()
        info = c.call("environment/info")
        assert uri(os.path.dirname(PROGRAM)) in info["prependPathDirs"], info
        c.call("process/start", processId="p", tty=False, env={}, cwd=uri(repo.root),
               argv=["bash", "-c", "apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: a\n@@\n"
                                   "-a\n+b\n*** End Patch\nEOF"],
               envPolicy={"inherit": "all", "ignoreDefaultExcludes": True, "exclude": [],
                          "set": {}, "includeOnly": []})
        c.event("process/closed")
        out = c.call("process/read", processId="p")
        text = b"".join(unb64(x["chunk"]) for x in out["chunks"])
        assert out["exitCode"] == 0 and b"M a\n" in text, text
        assert repo.read("a") == "b\n"


main()
