"""tests/e2e/users.py - whom a lock's tests run as: prefixes for a command line.

    root            all that this machine's root has
    user            uid 1000, as on a laptop
    userns          uid 0 of a user namespace: root's name, nobody's rights outside
    nobody          uid 1000 where no namespaces can be made and nothing can be gained
"""
import os
import subprocess

from lib import skip

AS_USER = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"]
NO_NAMESPACES = ["unshare", "-Ur", "sh", "-c",
                 "for n in user net mnt; do echo 0 > /proc/sys/user/max_${n}_namespaces; done; "
                 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"', "sh"]


def users():
    """(name, prefix) of all that can be tried here."""
    if os.getuid() != 0:
        return [("user", []), ("userns", ["unshare", "-Ur"]), ("nobody", NO_NAMESPACES)]
    return [("root", []), ("user", AS_USER), ("userns", ["unshare", "-Ur"]),
            ("nobody", AS_USER + NO_NAMESPACES)]


def need_root():
    if os.getuid() != 0:
        skip("needs root")


def need_user_namespaces():
    if subprocess.run(["unshare", "-Urn", "true"], stderr=subprocess.DEVNULL).returncode:
        skip("no user namespaces here")
