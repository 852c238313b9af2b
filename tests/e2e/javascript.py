"""tests/e2e/javascript.py - yarn and pnpm for the tests, from npm: Debian has no pnpm.

fetch() installs them below build/, once for each build tree, and returns the folder that
holds the programs; None where there is no npm. Raises when npm fails.
"""
import fcntl
import os
import shutil
import subprocess

from lib import ROOT

TOOLS = ROOT + "/build/auto"
BERRY = TOOLS + "/node_modules/@yarnpkg/cli-dist/bin/yarn.js"
PROGRAMS = {"yarn": "yarn/bin/yarn.js", "pnpm": "pnpm/bin/pnpm.cjs"}


def fetch():
    if not shutil.which("node") or not shutil.which("npm"):
        return None
    programs = TOOLS + "/bin"
    os.makedirs(programs, exist_ok=True)
    with open(TOOLS + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(BERRY):
            done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund",
                                   "--prefix", TOOLS, "yarn@1", "pnpm@9", "@yarnpkg/cli-dist@4"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=120)
            assert not done.returncode, done.stdout.decode()[-800:]
        for name, program in PROGRAMS.items():
            if not os.path.islink(programs + "/" + name):
                os.symlink("../node_modules/" + program, programs + "/" + name)
    return programs
