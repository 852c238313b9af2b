#!/usr/bin/python3
"""tests/e2e/test_cache.py - what setup changed comes back whole, or not at all."""
import json
import os
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
import unsealed  # noqa: E402
from lib import case, main, skip  # noqa: E402
from cachelab import *  # noqa: E402,F403

lib.TIMEOUT_S = 120


class Place:
    """A temporary directory with a cache and as many roots as asked for."""

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix="airlock-cache-")
        os.chmod(self.top, 0o755)
        self.cache = self.top + "/cache"
        os.mkdir(self.cache, 0o755)
        self.boxes = []
        return self

    def __exit__(self, *_):
        for box in self.boxes:
            box.close()
        subprocess.run(["chmod", "-R", "u+rwx", self.top], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.top, ignore_errors=True)

    def root(self, name):
        os.makedirs(self.top + "/" + name, exist_ok=True)
        return self.top + "/" + name

    def box(self, root, **options):
        self.boxes.append(Box(root, self.cache, **options))
        return self.boxes[-1]

    def saved(self, change, root=None, **options):
        """A box in which `change(root)` was setup, saved; and a twin root from before it."""
        root = root or self.root("a")
        twin = self.top + "/twin%d" % len(self.boxes)
        copy_tree(root, twin)
        box = self.box(root, **options)
        assert box.restore() == MISS, box.err
        assert box.report().outcome in ("build", "build-own"), box.report()
        change(root)
        code = box.save()
        assert code == 0, (code, box.err)
        assert box.report().outcome == "saved"
        return box, twin


def small(root):
    os.makedirs(root + "/app/node_modules/x")
    with open(root + "/app/node_modules/x/index.js", "w") as f:
        f.write("1\n" * 1000)


@case
def a_state_is_restored_as_it_was_saved():
    with Place() as p:
        box, twin = p.saved(small)
        other = p.box(twin)
        assert other.restore() == 0, other.err
        assert other.report().outcome == "restored" and other.report().entries == 5, other.report()
        assert not differences(snapshot(box.root), snapshot(twin))


@case
def generated_trees_come_back_in_every_attribute():
    if os.getuid():
        skip("needs root for owners and capabilities")
    for seed in range(int(os.environ.get("CACHE_SEEDS", "40"))):
        with Place() as p:
            grower = Grower(p.root("a"), seed)
            grower.grow(60)
            box, twin = p.saved(lambda root: grower.alter(80))
            before = snapshot(box.root)
            other = p.box(twin)
            assert other.restore() == 0, (seed, other.err)
            lines = differences(before, snapshot(twin))
            assert not lines, "seed %d:\n%s" % (seed, "\n".join(lines))


@case
def an_ordinary_user_gets_its_own_tree_back():
    if os.getuid():
        skip("needs root to become another user")
    for seed in range(10):
        with Place() as p:
            os.chown(p.cache, 1000, 1000)
            root = p.root("a")
            os.chown(root, 1000, 1000)
            child = os.fork()
            if not child:
                os.setgroups([])
                os.setgid(1000)
                os.setuid(1000)
                Grower(root, seed, False).grow(40)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            def alter(_):
                child = os.fork()
                if not child:
                    os.setgid(1000)
                    os.setuid(1000)
                    Grower(root, seed + 1000, False).alter(50)
                    os._exit(0)
                assert os.waitpid(child, 0)[1] == 0
            box, twin = p.saved(alter, root, uid=1000, lock=False)
            other = p.box(twin, uid=1000, lock=False)
            assert other.restore() == 0, (seed, other.err)
            lines = differences(snapshot(box.root), snapshot(twin))
            assert not lines, "seed %d:\n%s" % (seed, "\n".join(lines))



# --- what is deleted, left out, or shared ---------------------------------------------------


@case
def what_setup_deleted_is_deleted_again():
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/usr/share/doc/x")
        for n in ("a", "b", "c"):
            with open(root + "/usr/share/doc/x/" + n, "w") as f:
                f.write(n)

        def change(root):
            os.unlink(root + "/usr/share/doc/x/b")
            shutil.rmtree(root + "/usr/share/doc/x")
            os.mkdir(root + "/usr/share/doc/y")
        box, twin = p.saved(change)
        names = tar_names(box)
        assert "usr/share/doc/.wh.x" in names and "usr/share/doc/y/" in names, names
        assert p.box(twin).restore() == 0
        assert not differences(snapshot(root), snapshot(twin))


def tar_names(box):
    return subprocess.run(["tar", "-tf", entry_dir(box) + "/layer.tar"], check=True,
                          capture_output=True, text=True).stdout.split("\n")


@case
def only_what_changed_is_in_the_layer():
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/usr/lib")
        for n in range(50):
            with open("%s/usr/lib/%d" % (root, n), "w") as f:
                f.write("x")
        time.sleep(0.05)  # older than the clock's grain, as an image is
        def change(root):
            with open(root + "/usr/lib/7", "a") as f:
                f.write("y")
        box, _ = p.saved(change)
        assert tar_names(box) == ["usr/lib/7", ""], tar_names(box)


@case
def excluded_places_and_mounts_stay_out():
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/out")
        def change(root):
            for n in ("out", "proc", "sys", "dev", "in"):
                os.makedirs("%s/%s" % (root, n), exist_ok=True)
                with open("%s/%s/f" % (root, n), "w") as f:
                    f.write("x")
        box, _ = p.saved(change, exclude=[root + "/out"])
        assert tar_names(box) == ["./", "in/", "in/f", ""], tar_names(box)


@case
def a_mount_in_the_way_is_a_miss_and_nothing_is_changed():
    if os.getuid():
        skip("needs root to mount")
    with Place() as p:
        box, twin = p.saved(small)
        os.makedirs(twin + "/app/node_modules")
        subprocess.run(["mount", "-t", "tmpfs", "none", twin + "/app/node_modules"], check=True)
        try:
            before = snapshot(twin)
            other = p.box(twin)
            assert other.restore() == MISS
            assert "another mount" in other.report().reason, other.report()
            assert snapshot(twin) == before
        finally:
            subprocess.run(["umount", twin + "/app/node_modules"], check=True)


@case
def sockets_and_devices_are_left_out_and_counted():
    if os.getuid():
        skip("needs root for a device")
    with Place() as p:
        def change(root):
            small(root)
            s = socket.socket(socket.AF_UNIX)
            s.bind(root + "/app/s")
            os.mknod(root + "/app/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        box, twin = p.saved(change)
        assert box.report().left_out == 2
        assert p.box(twin).restore() == 0
        assert sorted(os.listdir(twin + "/app")) == ["node_modules"]


def dig(root, name, levels):
    """A directory in a directory in …, too deep for a path of one piece."""
    fds = [os.open(root, os.O_RDONLY)]
    for _ in range(levels):
        os.mkdir(name, dir_fd=fds[-1])
        fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))
        os.close(fds.pop(-2))
    os.close(fds.pop())


@case
def a_tree_that_was_too_deep_before_setup_is_in_nobodys_way():
    with Place() as p:
        root = p.root("a")
        dig(root, "d", 420)
        box = p.box(root)
        assert box.restore() == MISS and box.report().outcome == "build", box.report()
        small(root)
        assert box.save() == 0, box.err
        deeper = p.box(p.root("b"), parts=[("env.X", "1")])
        assert deeper.restore() == MISS
        dig(deeper.root, "d", 420)
        assert deeper.save() == MISS and "too long" in deeper.report().reason, deeper.report()


@case
def a_name_that_no_layer_can_hold_is_not_saved():
    with Place() as p:
        box = p.box(p.root("a"))
        assert box.restore() == MISS
        os.mkdir(box.root + "/.wh.x")
        assert box.save() == MISS
        assert "can't hold" in box.report().reason, box.report()
        assert os.listdir(p.cache) == ["lock"], os.listdir(p.cache)


# --- entries that are not to be believed -------------------------------------------------------


def damaged(damage, reason, **options):
    """A saved state, damaged: a miss with the reason, nothing restored, and saved anew."""
    with Place() as p:
        box, twin = p.saved(small)
        before = snapshot(twin)
        damage(entry_dir(box))
        other = p.box(twin, **options)
        assert other.restore() == MISS, (reason, other.err)
        assert reason in other.report().reason, other.report()
        assert snapshot(twin) == before
        small(twin)
        assert other.save() == 0, other.err
        third = p.box(p.root("third"))
        assert third.restore() == 0, third.err


def edit_meta(**changes):
    def edit(entry):
        with open(entry + "/meta.json") as f:
            meta = json.load(f)
        for key, value in changes.items():
            meta[key] = value(meta[key]) if callable(value) else value
        with open(entry + "/meta.json", "w") as f:
            f.write(seal_meta(meta))
    return edit


@case
def a_torn_or_foreign_entry_is_a_miss_with_a_reason():
    def cut(entry):
        os.truncate(entry + "/layer.tar", 2048)

    def flip(entry):
        with open(entry + "/layer.tar", "r+b") as f:
            f.seek(1600)
            byte = f.read(1)
            f.seek(1600)
            f.write(bytes([byte[0] ^ 1]))

    def write(name, text):
        def do(entry):
            with open(entry + "/" + name, "w") as f:
                f.write(text)
        return do

    def flip_meta(where):
        """One bit, and it is still JSON and of the right form."""
        def do(entry):
            with open(entry + "/meta.json", "r+b") as f:
                at = f.read().rindex(where) + len(where)
                f.seek(at)
                byte = f.read(1)
                f.seek(at)
                f.write(bytes([byte[0] ^ 1]))
        return do

    def foreign_tar(entry):
        subprocess.run("cd %s && tar -cf layer.tar meta.json" % entry, shell=True, check=True)
        sum_and_size(entry)

    def link(entry):
        os.rename(entry + "/layer.tar", entry + "/x")
        os.symlink("x", entry + "/layer.tar")

    older_by_uptime = edit_meta(uptime_s=lambda s: max(s - 10 ** 6, 0), created_s=0)
    rows = [(cut, "cut short"), (flip, "sum is wrong"), (write("meta.json", "{"), "damaged"),
            (write("meta.json", ""), "damaged"), (flip_meta(b'"entries":'), "damaged"),
            (flip_meta(b'"image":"'), "damaged"), (flip_meta(b'"sha256":"'), "damaged"),
            (lambda e: os.unlink(e + "/meta.json"), "no meta"),
            (lambda e: os.unlink(e + "/layer.tar"), "no layer"), (link, "no layer"),
            (foreign_tar, "can't be restored"),
            (edit_meta(format="airlock-cache 9"), "another format"),
            (edit_meta(key="0" * 64), "damaged"),
            (edit_meta(created_s=lambda s: s - 10 ** 6, boot="other"), "old, and lives"),
            (older_by_uptime, "old, and lives"),
            (edit_meta(created_s=lambda s: s + 1000, boot="other"), "from the future"),
            (edit_meta(uptime_s=lambda s: s + 1000), "from the future"),
            (lambda e: os.chmod(e + "/layer.tar", 0o666), "others may write"),
            (lambda e: os.chmod(e, 0o777), "others may write"),
            (lambda e: os.link(e + "/layer.tar", e + "/../x"), "layer.tar is another")]
    if not os.getuid():
        rows += [(lambda e: os.chown(e, 1234, 0), "another user's"),
                 (lambda e: os.chown(e + "/meta.json", 1234, 0), "another user's"),
                 (lambda e: os.chown(e + "/layer.tar", 1234, 0), "another user's")]
    for damage, reason in rows:
        if reason.startswith("old") and float(open("/proc/uptime").read().split()[0]) < 43300 \
                and damage is older_by_uptime:
            continue
        damaged(damage, reason)


@case
def a_clock_that_was_set_is_no_matter_within_one_boot():
    with Place() as p:
        box, twin = p.saved(small)
        edit_meta(created_s=lambda s: s + 10 ** 6)(entry_dir(box))
        assert p.box(twin).restore() == 0


@case
def another_value_of_any_part_is_another_key():
    with Place() as p:
        box, twin = p.saved(small)
        for parts in ([("setup.script", "npm install")], [("setup.script", "npm ci"), ("env.A", "1")],
                      [("setup.script2", "npm ci")], [], [("setup.script", "npm ci"), ("secrets", "00")]):
            other = p.box(twin, parts=parts)
            assert other.restore() == MISS and other.report().key != box.report().key
        assert p.box(twin).restore() == 0


@case
def lock_files_tell_whether_maintenance_is_needed():
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/w/packages/x/node_modules/y")
        for n in ("package-lock.json", "packages/x/requirements.txt",
                  "packages/x/node_modules/y/yarn.lock"):
            with open(root + "/w/" + n, "w") as f:
                f.write("1")
        box, twin = p.saved(small, root, work=root + "/w")
        third = p.top + "/third"
        copy_tree(twin, third)
        other = p.box(twin, work=twin + "/w")
        assert other.restore() == 0
        assert (other.report().maintenance, other.report().locks) == (0, "no lock file changed")
        with open(third + "/w/packages/x/requirements.txt", "w") as f:
            f.write("2")
        other = p.box(third, work=third + "/w")
        assert other.restore() == 0
        assert (other.report().maintenance, other.report().locks) == \
            (1, "packages/x/requirements.txt changed"), other.report()
        again = p.top + "/again"
        copy_tree(twin, again)
        shutil.rmtree(again + "/app")
        assert p.box(again).restore() == 0
        assert p.boxes[-1].report().maintenance == 1


# --- hostile archives, with a hash that is right -----------------------------------------------


def sum_and_size(entry, entries=1000):
    with open(entry + "/layer.tar", "rb") as f:
        data = f.read()
    edit_meta(layer=lambda l: dict(l, size=len(data), entries=entries,
                                   sum=layer_sum(data)))(entry)


def head(name, kind=b"0", data=b"", link=b"", pax=b"", mode=b"0000644"):
    out = b""
    if pax:
        out += head(b"PaxHeaders", b"x", pax)
    h = bytearray(512)
    h[0:len(name)] = name
    h[100:107], h[108:115], h[116:123] = mode, b"0000000", b"0000000"
    h[124:135], h[136:147] = b"%011o" % len(data), b"%011o" % 1000
    h[156:157] = kind
    h[157:157 + len(link)] = link
    h[257:265] = b"ustar\x0000"
    h[148:156] = b" " * 8
    h[148:156] = b"%06o\0 " % sum(h)
    return out + bytes(h) + data + bytes(-len(data) % 512)


END = bytes(1024)


@case
def no_trick_in_an_archive_leads_out_of_the_root():
    pax_path = lambda p: b"%d path=%s\n" % (len(p) + 8, p) if len(p) + 8 < 100 else b""
    rows = [
        ("absolute", head(b"/etc/x")), ("dots", head(b"../x")), ("dots inside", head(b"a/../../x")),
        ("dot", head(b"./x")), ("empty component", head(b"a//x")), ("pax absolute", head(b"x", pax=pax_path(b"/etc/x"))),
        ("pax dots", head(b"x", pax=pax_path(b"../../x"))),
        ("through a link", head(b"l", b"2", link=b"/OUT") + head(b"l/x", data=b"out")),
        ("through a link of the tree", head(b"there/x", data=b"out")),
        ("directory over a link, then through", head(b"l", b"2", link=b"/OUT") + head(b"l/", b"5")
         + head(b"l/x")),
        ("twice", head(b"a", data=b"1") + head(b"a", data=b"2")),
        ("out of order", head(b"b") + head(b"a")),
        ("hard link outside", head(b"a", b"1", link=b"../OUT/secret")),
        ("hard link absolute", head(b"a", b"1", link=b"/OUT/secret")),
        ("hard link to what was there", head(b"a", b"1", link=b"was")),
        ("hard link through a link", head(b"a", b"1", link=b"there/secret")),
        ("character device", head(b"a", b"3")), ("block device", head(b"a", b"4")),
        ("contiguous", head(b"a", b"7")), ("GNU long name", head(b"././@LongLink", b"L", b"x\0")),
        ("old GNU sparse", head(b"a", b"S")), ("global records", head(b"g", b"g", b"11 a=bcdef\n")),
        ("unknown record", head(b"a", pax=b"12 hello=ab\n")),
        ("whiteout of dots", head(b".wh...")), ("whiteout of nothing", head(b".wh.")),
        ("whiteout with slash", head(b".wh../x")), ("whiteout of the parent", head(b"a/.wh...")),
        ("directory in a file's place", head(b"was/x")), ("no end", None),
        ("after the end", END + head(b"a")), ("a size that lies", head(b"a", data=b"x")[:512]),
        ("root twice", head(b"./", b"5") + head(b"./", b"5")), ("NUL in a record", head(b"a", pax=b"13 path=a\0bc\n")),
    ]
    for why, archive in rows:
        with Place() as p:
            out = p.root("OUT")
            with open(out + "/secret", "w") as f:
                f.write("secret")
            root = p.root("a")
            with open(root + "/was", "w") as f:
                f.write("was")
            os.symlink(out, root + "/there")
            box, twin = p.saved(small)
            entry = entry_dir(box)
            data = head(b"a") if archive is None else archive.replace(b"/OUT", out.encode()[:60]) + END
            with open(entry + "/layer.tar", "wb") as f:
                f.write(data)
            sum_and_size(entry)
            before, outside = snapshot(twin), snapshot(out)
            other = p.box(twin)
            code = other.restore()
            assert code == MISS, (why, code, other.err)
            assert "can't be restored" in other.report().reason, (why, other.report())
            assert snapshot(twin) == before, why
            assert snapshot(out) == outside, why


@case
def a_link_in_the_archive_may_point_anywhere_and_is_not_followed():
    with Place() as p:
        out = p.root("OUT")
        def change(root):
            os.symlink(out, root + "/l")
            os.mkdir(root + "/m")
        box, twin = p.saved(change)
        assert p.box(twin).restore() == 0
        assert os.readlink(twin + "/l") == out and os.listdir(out) == []


# --- faults --------------------------------------------------------------------------------------


def many(root, files=1500):
    r = random.Random(1)
    for d in range(files // 50):
        os.makedirs("%s/n/%d" % (root, d))
        for n in range(50):
            with open("%s/n/%d/%d" % (root, d, n), "wb") as f:
                f.write(r.randbytes(r.choice([10, 3000, 20000])))


@case
def a_saver_killed_at_any_moment_leaves_no_entry_or_a_whole_one():
    with Place() as p:
        box = p.box(p.root("a"))
        assert box.restore() == MISS
        many(box.root)
        r, killed = random.Random(5), 0
        for n in range(40):
            process = box.start("save")
            try:
                process.communicate(timeout=r.random() * 0.05)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed += 1
            twin = p.top + "/t"
            os.mkdir(twin)
            other = p.box(twin)
            code = other.restore()
            assert code in (0, MISS), (n, code, other.err)
            if code == 0:
                assert not differences(snapshot(box.root), snapshot(twin))
            else:
                assert os.listdir(twin) == [] and "no such state" in other.report().reason, other.report()
            shutil.rmtree(twin)
            os.close(other.lock)
            other.lock = -1
        assert killed > 5, killed
        for n in os.listdir(p.cache):
            if n.endswith(".part"):
                os.utime(p.cache + "/" + n, (1, 1))
        assert box.save() == 0
        left = [n for n in os.listdir(p.cache) if n.endswith(".part")]
        assert not left, left


@case
def a_restore_killed_half_way_is_noticed_and_never_used():
    with Place() as p:
        box, twin = p.saved(many)
        seen = set()
        r = random.Random(6)
        whole = snapshot(box.root)
        for _ in range(25):
            copy = p.top + "/c"
            copy_tree(twin, copy)
            other = p.box(copy)
            process = other.start("restore")
            try:
                process.communicate(timeout=r.random() * 0.2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
            again = p.box(copy)
            code = again.restore()
            seen.add(code)
            if code == 0:
                assert not differences(whole, snapshot(copy))
            else:
                assert code == AGAIN and again.report().outcome == "broken", (code, again.err)
            shutil.rmtree(copy)
        assert 0 in seen and AGAIN in seen, seen


@case
def a_full_disk_is_a_state_not_saved_and_nothing_left():
    if os.getuid():
        skip("needs root to mount")
    with Place() as p:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "none", p.cache], check=True)
        try:
            box = p.box(p.root("a"))
            assert box.restore() == MISS
            many(box.root)
            assert box.save() == MISS
            assert "No space left" in box.report().reason, box.report()
            assert os.listdir(p.cache) == ["lock"], os.listdir(p.cache)
        finally:
            os.close(box.lock)
            box.lock = -1
            subprocess.run(["umount", p.cache], check=True)


@case
def a_root_without_room_is_a_miss_before_anything_is_written():
    if os.getuid():
        skip("needs root to mount")
    with Place() as p:
        box, twin = p.saved(many)
        for size, reason in (("size=2m", "not enough room"), ("size=90m,nr_inodes=100", "inodes")):
            subprocess.run(["mount", "-t", "tmpfs", "-o", size + ",mode=755", "none", twin], check=True)
            try:
                other = p.box(twin)
                assert other.restore() == MISS
                assert reason in other.report().reason, other.report()
                assert os.listdir(twin) == []
            finally:
                subprocess.run(["umount", twin], check=True)


def large(root):
    """Files that are made while the archive is still being checked, of every kind of care."""
    os.makedirs(root + "/app")
    for n, size in enumerate((512 << 10, (1 << 20) + 1, 3 << 20)):
        with open("%s/app/%d" % (root, n), "wb") as f:
            f.write(os.urandom(size))
    os.chmod(root + "/app/1", 0o4755)
    os.setxattr(root + "/app/2", "user.x", b"1")
    with open(root + "/app/holes", "wb") as f:
        f.seek(2 << 20)
        f.write(b"end")
    with open(root + "/old", "wb") as f:
        f.write(os.urandom(1 << 20))


@case
def large_files_are_made_nameless_and_named_when_all_is_checked():
    """As they were: where a directory hands down what it has, and in the place of an older file;
    by descriptor, by /proc, and copied where neither can be had."""
    with Place() as p:
        root = p.root("a")
        with open(root + "/old", "w") as f:
            f.write("before")
        if not os.getuid():
            subprocess.run(["chmod", "2755", root], check=True)
            os.chown(root, 0, 7)
        box, twin = p.saved(large, root)
        whole = snapshot(box.root)
        ways = [((), "0", "AT_EMPTY_PATH"), (("-e", "inject=linkat:error=ENOENT:when=1+2"), "0", "/proc/self/fd/"),
                (("-e", "inject=linkat:error=EPERM"), "-1 EPERM", "AT_EMPTY_PATH")]
        for options, result, how in ways:
            copy_tree(twin, p.top + "/c")
            other = p.box(p.top + "/c")
            trace = p.top + "/trace"
            argv = other.argv("restore")
            done = subprocess.run(["strace", "-qqo", trace, "-e", "trace=openat,linkat", *options, *argv],
                                  pass_fds=[other.index, other.parts, other.lock])
            assert done.returncode == 0, (how, other.report())
            assert not differences(whole, snapshot(other.root)), (how, differences(whole, snapshot(other.root)))
            with open(trace) as f:
                lines = f.read().split("\n")
            made = [l for l in lines if "O_TMPFILE" in l and " = -1" not in l]
            named = [l for l in lines if how in l and "= " + result in l]
            assert len(made) == 4 and len(named) >= 4, (how, lines)
            shutil.rmtree(other.root)


def packages(root):
    """Enough small files for two to make them: some linked at once, some in places that are
    closed afterwards, or have attributes."""
    for n in range(60):
        at = "%s/p/%d" % (root, n)
        os.makedirs(at)
        for m in range(20):
            with open("%s/%d.js" % (at, m), "wb") as f:
                f.write(os.urandom((n * 37 + m * 211) % 7000))
        os.symlink("0.js", at + "/z")
        if n % 5 == 0: # whoever links waits for all files: elsewhere nobody does
            os.link(at + "/19.js", at + "/linked")
        if n and n % 5 == 1:
            os.link("%s/p/%d/18.js" % (root, n - 1), at + "/before")
        if n % 7 == 0:
            os.setxattr(at, "user.n", b"%d" % n)
        os.utime(at, ns=(5, n * 10 ** 9 + n))
        os.chmod(at, (0o755, 0o555, 0o700, 0o2755)[n % 4])


def restore_traced(box, *options):
    """(exit status, the lines of strace -f); root alone may trace an ordinary user."""
    trace = os.path.dirname(box.cache) + "/trace"
    wrap = ["setpriv", "--reuid=%d" % box.uid, "--regid=%d" % box.uid, "--clear-groups"] if box.uid else []
    done = subprocess.run(["strace", "-fqqo", trace, *options, *wrap, *box.argv("restore")],
                          pass_fds=[box.index, box.parts, box.lock], stderr=subprocess.PIPE)
    box.err = done.stderr.decode()
    with open(trace) as f:
        return done.returncode, f.read().splitlines()


@case
def two_that_make_the_files_leave_the_same_tree():
    for uid in (None, 1234) if not os.getuid() else (None,):
        with Place() as p:
            if uid:
                os.chown(p.cache, uid, uid)
                os.chown(p.root("a"), uid, uid)
            root = p.root("a")
            box = p.box(root, uid=uid)
            assert box.restore() == MISS
            packages(root)
            if uid:
                subprocess.run(["chown", "-R", "%d:%d" % (uid, uid), root], check=True)
            assert box.save() == 0, box.err
            whole = snapshot(root, skip=("",))
            for _ in range(3):
                other = p.box(tempfile.mkdtemp(dir=p.top), uid=uid)
                if uid:
                    os.chown(other.root, uid, uid)
                code, lines = restore_traced(other, "-e", "trace=clone,pread64")
                assert code == 0, other.err
                assert not differences(whole, snapshot(other.root, skip=("",)))
                if len(os.sched_getaffinity(0)) > 1:
                    helper = [l.split()[-1] for l in lines if "CLONE_FILES" in l]
                    made = [l for l in lines if helper and l.split()[0] == helper[0] and "pread64" in l]
                    assert len(made) > 50, (uid, len(made), helper)


@case
def a_helper_that_fails_or_dies_breaks_the_container():
    if len(os.sched_getaffinity(0)) < 2:
        skip("one processor: nobody helps")
    for how, reason in (("error=EIO", "create: I/O error"), ("signal=SIGKILL", "create")):
        with Place() as p:
            box, twin = p.saved(packages)
            other = p.box(twin)
            # The hash takes a few large reads, the helper one for each file.
            code, _ = restore_traced(other, "-e", "trace=pread64", "-e", "inject=pread64:%s:when=60" % how)
            assert code == AGAIN and reason in other.report().reason, (how, code, other.report())
            assert "/p/" in other.report().reason or "KILL" in how, other.report()
            assert not os.path.exists(entry_dir(box))
            assert p.box(twin).restore() == AGAIN


@case
def attributes_come_back_wherever_in_the_archive_they_stand():
    """A file's come before its contents, which may begin in one piece of what is read at a time
    and end in the next."""
    def grow(root):
        for n in range(64):
            with open("%s/%d" % (root, n), "wb") as f:
                f.write(os.urandom(100000))
            os.setxattr("%s/%d" % (root, n), "user.n", b"%d" % n)

    with Place() as p:
        box, twin = p.saved(grow)
        other = p.box(twin)
        assert other.restore() == 0, other.err
        assert not differences(snapshot(box.root), snapshot(twin))


@case
def a_flipped_bit_in_a_large_file_leaves_nothing_of_it():
    for place in ("first", "last"):
        with Place() as p:
            box, twin = p.saved(large)
            with open(entry_dir(box) + "/layer.tar", "r+b") as f:
                f.seek(4096 if place == "first" else -(1 << 19), 0 if place == "first" else 2)
                byte = f.read(1)
                f.seek(-1, 1)
                f.write(bytes([byte[0] ^ 128]))
            other = p.box(twin)
            assert other.restore() == MISS and "sum is wrong" in other.report().reason, other.report()
            assert os.listdir(twin) == [], os.listdir(twin)


@case
def a_layer_that_changes_between_its_check_and_its_restore_breaks_the_container():
    """Only its owner could; what was restored was never checked, and is never used."""
    with Place() as p:
        box, twin = p.saved(many)
        layer = entry_dir(box) + "/layer.tar"
        other = p.box(twin)
        argv = other.argv("restore")
        # The restore proper begins with umask(); it stands still there for a moment.
        process = subprocess.Popen(["strace", "-qqo", p.top + "/trace", "-e", "trace=umask", "-e",
                                    "inject=umask:delay_exit=2000000:when=1", *argv],
                                   pass_fds=[other.index, other.parts, other.lock], stderr=subprocess.PIPE)
        lib.until(lambda: os.path.exists(twin + "/.airlock-restoring"), "the restore begins", 20)
        time.sleep(0.3)
        with open(layer, "r+b") as f:
            f.seek(-20000, 2)
            f.write(b"x")
        process.communicate()
        assert process.returncode == AGAIN, (process.returncode, other.report())
        assert "wrote to the layer" in other.report().reason or "restored in part" in other.report().reason
        assert not os.path.exists(entry_dir(box))
        again = p.box(twin)
        assert again.restore() == AGAIN and "earlier restore" in again.report().reason


@case
def a_failure_half_way_breaks_the_container_and_drops_the_entry():
    if os.getuid():
        skip("needs root for chattr")
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/m")
        with open(root + "/z", "w") as f:
            f.write("z")
        def change(root):
            small(root)
            with open(root + "/z", "a") as f:
                f.write("more")
        box, twin = p.saved(change)
        if subprocess.run(["chattr", "+i", twin + "/z"], stderr=subprocess.DEVNULL).returncode:
            skip("no chattr here")
        try:
            other = p.box(twin)
            assert other.restore() == AGAIN, other.err
            assert "/z: remove what was there" in other.report().reason, other.report()
            assert not os.path.exists(entry_dir(box))
            again = p.box(twin)
            assert again.restore() == AGAIN and "earlier restore" in again.report().reason
        finally:
            subprocess.run(["chattr", "-i", twin + "/z"])


@case
def a_layer_over_the_limit_is_not_saved():
    with Place() as p:
        box = p.box(p.root("a"))
        assert box.restore() == MISS
        many(box.root)
        assert box.save("--max-bytes", "1000000") == MISS
        assert "larger than" in box.report().reason, box.report()
        assert box.save("--max-bytes", "100000000") == 0


@case
def old_states_make_room_for_new_ones():
    with Place() as p:
        for n in range(4):
            box = p.box(p.root("r%d" % n), parts=[("env.N", str(n))])
            assert box.restore() == MISS
            small(box.root)
            assert box.save("--max-total", "25000") == 0, box.err
            edit_meta(uptime_s=lambda s: max(s - 100 + 10 * n, 0))(entry_dir(box))
        left = [n for n in os.listdir(p.cache) if len(n) == 64]
        assert box.report().key in left and 1 < len(left) < 4, left


# --- many at once ---------------------------------------------------------------------------------


@case
def one_builds_and_the_others_wait_for_it():
    with Place() as p:
        boxes = [p.box(p.root("r%d" % n)) for n in range(8)]
        started = [b.start("restore", "--wait", "60") for b in boxes]
        lib.until(lambda: any(s.poll() is not None for s in started), "one is the builder", 30)
        time.sleep(0.3)
        ended = [n for n, s in enumerate(started) if s.poll() is not None]
        assert len(ended) == 1, ended
        builder = boxes[ended[0]]
        assert builder.report().outcome == "build"
        small(builder.root)
        assert builder.save() == 0
        for n, s in enumerate(started):
            s.communicate(timeout=60)
            assert s.returncode == (MISS if n == ended[0] else 0), n
        tree = snapshot(builder.root)
        for b in boxes:
            assert not differences(tree, snapshot(b.root))


@case
def a_builder_that_dies_or_takes_too_long_holds_nobody_up():
    with Place() as p:
        first, second, third = (p.box(p.root("r%d" % n)) for n in range(3))
        assert first.restore() == MISS and first.report().outcome == "build"
        assert second.restore("--wait", "1") == MISS
        assert second.report().outcome == "build-own"
        waiting = third.start("restore", "--wait", "60")
        time.sleep(0.3)
        os.close(first.lock)
        first.lock = -1
        assert waiting.communicate(timeout=30) and waiting.returncode == MISS
        assert third.report().outcome == "build"


@case
def eight_that_all_build_and_restore_never_see_half_of_one():
    with Place() as p:
        boxes = [p.box(p.root("r%d" % n), lock=False) for n in range(8)]
        for b in boxes:
            assert b.restore() == MISS
            os.mkdir(b.root + "/d")
            many(b.root + "/d", 100)
        for _ in range(3):
            saving = [b.start("save") for b in boxes]
            roots = [p.root("x%d" % n) for n in range(8)]
            reading = [p.box(r, lock=False).start("restore") for r in roots]
            for s in saving:
                s.communicate(timeout=60)
                assert s.returncode == 0
            for r, s in zip(roots, reading):
                s.communicate(timeout=60)
                assert s.returncode in (0, MISS)
                names = sorted(os.listdir(r))
                assert names == (["d"] if s.returncode == 0 else []), names
                if not s.returncode:
                    assert len(snapshot(r)) == len(snapshot(boxes[0].root))
                shutil.rmtree(r)
        assert len(os.listdir(p.cache)) == 1, os.listdir(p.cache)


# --- other programs, and real things --------------------------------------------------------------


@case
def tar_reads_what_we_write():
    if os.getuid():
        skip("needs root for owners")
    for seed in range(5):
        with Place() as p:
            box, twin = p.saved(lambda root: Grower(root, 500 + seed).grow(80))
            out = p.root("out")
            done = subprocess.run(["tar", "--xattrs", "--xattrs-include=*", "-xpf",
                                   entry_dir(box) + "/layer.tar", "-C", out],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            lines = differences(snapshot(box.root), snapshot(out))
            assert not lines, "seed %d:\n%s" % (seed, "\n".join(lines))


@case
def an_archive_is_the_same_bytes_for_the_same_tree():
    with Place() as p:
        box, _ = p.saved(small)
        with open(entry_dir(box) + "/layer.tar", "rb") as f:
            first = f.read()
        assert box.save() == 0
        with open(entry_dir(box) + "/layer.tar", "rb") as f:
            assert f.read() == first


def real(p, root, make):
    box, twin = p.saved(make, root)
    other = p.box(twin)
    assert other.restore() == 0, other.err
    lines = differences(snapshot(root), snapshot(twin))
    assert not lines, "\n".join(lines)
    return twin


@case
def a_venv_works_where_it_is_restored():
    with Place() as p:
        def make(root):
            subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", root + "/venv"],
                           check=True)
        twin = real(p, p.root("a"), make)
        done = subprocess.run([twin + "/venv/bin/python", "-c", "import sys; print(sys.prefix)"],
                              capture_output=True, text=True)
        assert done.stdout.strip() == twin + "/venv", done


@case
def node_modules_work_where_they_are_restored():
    if not shutil.which("npm"):
        skip("no npm here")
    with Place() as p:
        pkg = p.root("pkg")
        os.makedirs(pkg + "/bin")
        for name, text in (("package.json", '{"name":"hello","version":"1.0.0","main":"i.js",'
                                            '"bin":{"hello":"bin/hello"}}'),
                           ("i.js", "module.exports = 42;\n"),
                           ("bin/hello", "#!/usr/bin/env node\nconsole.log(require('../i.js'));\n")):
            with open(pkg + "/" + name, "w") as f:
                f.write(text)
        tarball = subprocess.run(["npm", "pack", "--offline", "--silent"], cwd=pkg, check=True,
                                 capture_output=True, text=True).stdout.strip()
        def make(root):
            os.mkdir(root + "/app")
            with open(root + "/app/package.json", "w") as f:
                json.dump({"name": "app", "version": "1.0.0"}, f)
            subprocess.run(["npm", "install", "--offline", "--no-audit", "--no-fund", "--silent",
                            pkg + "/" + tarball], cwd=root + "/app", check=True,
                           stdout=subprocess.DEVNULL)
        twin = real(p, p.root("a"), make)
        done = subprocess.run([twin + "/app/node_modules/.bin/hello"], capture_output=True, text=True)
        assert done.stdout == "42\n", done


@case
def an_installed_package_is_installed_where_it_is_restored():
    if os.getuid():
        skip("needs root for dpkg")
    with Place() as p:
        src = p.root("deb")
        os.makedirs(src + "/DEBIAN")
        os.makedirs(src + "/usr/bin")
        with open(src + "/DEBIAN/control", "w") as f:
            f.write("Package: hello-airlock\nVersion: 1\nArchitecture: all\n"
                    "Maintainer: x <x@example.org>\nDescription: x\n")
        with open(src + "/usr/bin/hello-airlock", "w") as f:
            f.write("#!/bin/sh\necho hello\n")
        os.chmod(src + "/usr/bin/hello-airlock", 0o4755)
        subprocess.run(["dpkg-deb", "-b", src, p.top + "/x.deb"], check=True, capture_output=True)
        root = p.root("a")
        os.makedirs(root + "/var/lib/dpkg/info")
        os.makedirs(root + "/var/lib/dpkg/updates")
        open(root + "/var/lib/dpkg/status", "w").close()
        def make(root):
            subprocess.run(["dpkg", "--root=" + root, "--force-not-root", "--force-script-chrootless",
                            "--log=/dev/null", "-i", p.top + "/x.deb"], check=True, capture_output=True)
        twin = real(p, root, make)
        done = subprocess.run(["dpkg-query", "--admindir=" + twin + "/var/lib/dpkg", "-W",
                               "hello-airlock"], capture_output=True, text=True)
        assert done.stdout == "hello-airlock\t1\n", done


@case
def an_image_made_of_the_container_itself_is_a_hit():
    with Place() as p:
        root = p.root("a")
        os.makedirs(root + "/usr/bin")
        with open(root + "/usr/bin/node", "w") as f:
            f.write("x")
        box = p.box(root)
        assert box.restore() == MISS
        small(root)
        with open(root + "/usr/bin/new", "w") as f:
            f.write("setup installed it")
        assert box.save("--stamp") == 0, box.err
        names = tar_names(box)
        assert "usr/bin/new" in names and not any("airlock" in n for n in names), names
        committed, later, foreign, loose = (p.top + "/" + n for n in ("b", "c", "d", "e"))
        for copy in (committed, later, foreign, loose):
            copy_tree(root, copy)
        shutil.rmtree(p.cache)
        os.mkdir(p.cache)
        before = snapshot(committed)
        other = p.box(committed)
        assert other.restore("--stamp") == 0, other.err
        assert other.report().outcome == "stamped" and other.report().key == box.report().key
        assert snapshot(committed) == before
        other = p.box(committed, parts=[("setup.script", "another")])
        assert other.restore("--stamp") == MISS and "of another setup" in other.err, other.err
        with open(later + "/usr/bin/node", "w") as f:
            f.write("a newer one")
        other = p.box(later)
        assert other.restore() == MISS and "changed after its stamp" in other.err, other.err
        stamp = "/var/lib/airlock/state.json"
        if not os.getuid():
            os.chown(foreign + stamp, 1000, 1000)
            other = p.box(foreign)
            assert other.restore() == MISS and "another user's" in other.err, other.err
        os.chmod(loose + stamp, 0o666)
        other = p.box(loose)
        assert other.restore() == MISS and "others may write" in other.err, other.err
        assert p.box(committed).restore() == 0
        assert p.box(committed).restore() == MISS, "after the first start an agent has been there"


def docker(*argv, **options):
    return subprocess.run(["docker", *argv], capture_output=True, text=True, timeout=60, **options)


class Proxy:
    """The other end of --proxy: what it is told, and its answer."""

    def __init__(self, error=0):
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.told = []

        def answer():
            got = unsealed.receive(ours)
            if got:
                self.told.append((got[0], os.pread(got[3][0], 1 << 16, 0)))
                os.close(got[3][0])
                ours.send(unsealed.message(unsealed.DONE, error=error))
            ours.close()
        self.thread = threading.Thread(target=answer, daemon=True)
        self.thread.start()

    def restore(self, box, *more):
        argv = box.argv("restore", "--proxy", str(self.theirs.fileno()), *more)
        done = subprocess.run(argv, pass_fds=[box.index, box.parts, box.lock, self.theirs.fileno()],
                              stderr=subprocess.PIPE)
        self.theirs.close()
        self.thread.join(10)
        box.err = done.stderr.decode()
        return done.returncode


@case
def the_proxy_is_told_what_setup_had_in_the_place_of_secrets():
    text, told = b"TOKEN=ghp_0123456789\nOTHER=x y\n", b"TOKEN=ghp_0123456789\0OTHER=x y\0"
    with Place() as p:
        box, twin = p.box(p.root("a")), p.root("b")
        assert box.restore() == MISS
        small(box.root)
        placeholders = os.memfd_create("placeholders")
        os.write(placeholders, text)
        argv = box.argv("save", "--stamp", "--placeholders", str(placeholders))
        subprocess.run(argv, check=True, pass_fds=[box.index, box.lock, placeholders])
        os.close(placeholders)
        # As a layer, and as the image that the container itself became.
        for root, outcome, more in ((twin, "restored", ()), (box.root, "stamped", ("--stamp",))):
            proxy, other = Proxy(), p.box(root)
            assert proxy.restore(other, *more) == 0 and other.report().outcome == outcome, other.err
            assert proxy.told == [(unsealed.PLACEHOLDERS, told)], proxy.told
            assert "placeholder" not in other.err, other.err
        # A hit is a hit all the same.
        entry = entry_dir(box)
        for error, change in ((27, None), (0, "zz"), (0, None)):
            if change:
                edit_meta(placeholders=change)(entry)
            proxy, other = Proxy(error), p.box(tempfile.mkdtemp(dir=p.top))
            assert proxy.restore(other) == 0, other.err
            assert "placeholders of secrets" in other.err, (error, change, other.err)
            assert bool(proxy.told) == bool(error), proxy.told


@case
def docker_imports_what_we_write():
    if not shutil.which("docker") or docker("info").returncode:
        skip("no Docker here")
    with Place() as p:
        box, _ = p.saved(lambda root: Grower(root, 77, False).grow(40))
        with open(box.root + "/last", "wb") as f:
            f.truncate(1 << 20)
        assert box.save() == 0
        done = docker("import", entry_dir(box) + "/layer.tar")
        assert done.returncode == 0, done.stderr
        image = done.stdout.strip()
        try:
            made = docker("create", image, "x")
            assert made.returncode == 0, made.stderr
            with open(p.top + "/out.tar", "wb") as f:
                subprocess.run(["docker", "export", made.stdout.strip()], stdout=f, check=True,
                               timeout=60)
            docker("rm", made.stdout.strip())
            listed = subprocess.run(["tar", "-tf", p.top + "/out.tar"], capture_output=True).stdout
            ours = subprocess.run(["tar", "-tf", entry_dir(box) + "/layer.tar"],
                                  capture_output=True).stdout
            missing = set(ours.split(b"\n")) - set(listed.split(b"\n")) - {b"./", b""}
            assert not missing, missing
        finally:
            docker("rmi", image)


# --- the commands for a person --------------------------------------------------------------------


def airlock(*argv):
    done = subprocess.run([lib.AIRLOCK, "cache", *argv], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@case
def why_names_each_part_that_changed():
    with Place() as p:
        spec = {"version": 1, "setup": {"auto": False, "script": "npm ci"}, "env": {"A": "1"},
                "cache": {"dir": p.cache},
                "agent": {"command": ["true"]}}
        path = p.top + "/task.json"
        def write(**changes):
            with open(path, "w") as f:
                json.dump(dict(spec, **changes), f)
        write()
        root = p.root("a")
        args = (path, "--root", root)
        code, out, err = airlock("why", *args)
        assert code == MISS and "no state of this repository" in out, (code, out, err)
        code, key, err = airlock("key", *args)
        assert code == 0 and len(key) == 65, (out, err)
        box, _ = p.saved(small, root, parts=[
            ("repo.dir", "/workspace"), ("setup.auto", "false"), ("setup.script", "npm ci"),
            ("env.A", "1"), ("network.setup", "full")])
        assert box.report().key == key.strip(), (box.report(), key)
        code, out, err = airlock("why", *args)
        assert code == 0 and out.startswith("hit: " + key[:12]), out
        assert "0 s old of 12 h" in out or "1 s old of 12 h" in out or " s old of" in out, out
        write(setup={"auto": False, "script": "npm i"}, env={"B": "1"}, maintenance={"script": "x"})
        code, out, err = airlock("why", *args)
        assert code == MISS and out.startswith("miss: "), out
        assert [l.strip() for l in out.split("\n")[2:-1]] == [
            "env.A: it is gone", "env.B: it is new", "maintenance.script: the maintenance script "
            "is new", "setup.script: the setup script changed"], out
        code, out, err = airlock("ls", p.cache)
        assert code == 0 and out.startswith(key.strip()) and "5 names" in out, out
        code, out, err = airlock("reset", path)
        assert code == 0 and out.startswith("removed 1 of"), out
        assert os.listdir(p.cache) == ["lock"]


if __name__ == "__main__":
    main()
