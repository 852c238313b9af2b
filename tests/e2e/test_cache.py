#!/usr/bin/python3
"""tests/e2e/test_cache.py - what setup changed comes back whole, or not at all."""
import json
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
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


if __name__ == "__main__":
    main()
