#!/usr/bin/python3
"""`airlock secret` and the age format: every vector, other programs both ways, no bit to spare.

tests/corpus/age holds the format's public test vectors, and ours (x_): a header that says
what must happen, an empty line, and the file. Those for passphrases and post-quantum keys we must
refuse, and say why.
"""
import base64
import concurrent.futures
import fcntl
import filecmp
import glob
import hashlib
import hmac
import os
import pty
import shutil
import stat
import subprocess
import tempfile
import termios
import zlib

from lib import AIRLOCK, ROOT, case, main, npm_package, skip, until

CORPUS = ROOT + "/tests/corpus/age/"
# X25519 with nothing in it: for the vectors that name no identity.
NOBODY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
# How each class of failure is told: a line that holds one of these.
CLASSES = {
    "header failure": ["malformed header", "not an age file", "another version",
                       "low order"],
    "armor failure": ["damaged armor", "malformed header", "not an age file"],
    "no match": ["not sealed for this key"],
    "HMAC failure": ["wrong header MAC"],
    "payload failure": ["damaged payload"],
}
MIB = 1 << 20


def secret(*arguments, stdin=b"", **options):
    return subprocess.run([AIRLOCK, "secret", *arguments], input=stdin, timeout=15,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def good(*arguments, stdin=b""):
    done = secret(*arguments, stdin=stdin)
    assert done.returncode == 0, (arguments, done.returncode, done.stderr)
    return done.stdout


def refused(done, *words, status=78):
    """One line that says why, nothing released."""
    assert done.returncode == status, (done.returncode, done.stderr)
    assert not done.stdout, "released %d bytes" % len(done.stdout)
    assert done.stderr.count(b"\n") == 1 and done.stderr.startswith(b"airlock: secret: "), \
        done.stderr
    for word in words:
        assert word.encode() in done.stderr, (word, done.stderr)


class Keys:
    """A directory with identity files; recipient(n) and path(n)."""

    def __init__(self, directory, count=1):
        self.directory = directory
        self.recipients = []
        for n in range(count):
            done = secret("keygen", "-o", self.path(n))
            assert done.returncode == 0, done.stderr
            assert done.stderr.startswith(b"Public key: age1"), done.stderr
            self.recipients.append(done.stderr.split()[2].decode())

    def path(self, n=0):
        return "%s/key%d" % (self.directory, n)

    def text(self, n=0):
        with open(self.path(n)) as f:
            return f.read().split("\n")[2]


def with_keys(count=1):
    def wrap(function):
        def run():
            with tempfile.TemporaryDirectory() as d:
                function(Keys(d, count), d)
        run.__name__ = function.__name__
        return case(run)
    return wrap


def vector(path):
    """(name, fields as lists, the file)."""
    with open(path, "rb") as f:
        head, _, body = f.read().partition(b"\n\n")
    fields = {}
    for line in head.decode().split("\n"):
        key, _, value = line.partition(": ")
        fields.setdefault(key, []).append(value)
    if fields.get("compressed") == ["zlib"]:
        body = zlib.decompress(body)
    return os.path.basename(path), fields, body


def vectors():
    found = [vector(path) for path in sorted(glob.glob(CORPUS + "*"))]
    assert len(found) == 160, "the corpus is not there"
    return found


def is_ours(fields):
    """Only X25519 identities, or none at all."""
    return "passphrase" not in fields and all(
        i.startswith("AGE-SECRET-KEY-1") for i in fields.get("identity", []))


def try_vector(name, fields, body, directory):
    with open(directory + "/" + name, "w") as f:
        f.write("\n".join(fields.get("identity", [NOBODY])))
    done = secret("decrypt", "-i", f.name, stdin=body)
    expected = fields["expect"][0]
    if expected == "success" and len(body) <= 1600 * 1024:
        if done.returncode or hashlib.sha256(done.stdout).hexdigest() != fields["payload"][0]:
            return "%s: %s" % (name, done.stderr)
    elif done.returncode != 78 or done.stdout:
        return "%s: exit %d, %d bytes released" % (name, done.returncode, len(done.stdout))
    elif len(body) > 1600 * 1024:
        return "" if b"1 MiB" in done.stderr else "%s: %s" % (name, done.stderr)
    elif not any(word.encode() in done.stderr for word in CLASSES[expected]):
        return "%s: expected %s: %s" % (name, expected, done.stderr)
    return ""


@case
def every_x25519_and_armor_vector_ends_as_it_must():
    ours = [v for v in vectors() if is_ours(v[1])]
    assert len(ours) == 115, len(ours)
    with tempfile.TemporaryDirectory() as d:
        wrong = [w for w in (try_vector(*v, d) for v in ours) if w]
    assert not wrong, "\n".join(wrong)


@case
def vectors_for_other_kinds_of_keys_are_refused_and_release_nothing():
    theirs = [v for v in vectors() if not is_ours(v[1])]
    assert len(theirs) == 45, len(theirs)
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/key", "w") as f:
            f.write(NOBODY)
        for name, fields, body in theirs:
            done = secret("decrypt", "-i", f.name, stdin=body)
            refused(done)
            if fields["expect"] == ["success"] and name.startswith("scrypt"):
                refused(done, "passphrase (scrypt), which is not supported", "age -d")
            if fields["expect"] == ["success"] and name == "hybrid":
                refused(done, "post-quantum", "airlock secret keygen")


@case
def the_file_key_of_a_vector_opens_it_and_no_other():
    opened = 0
    for name, fields, body in vectors():
        if fields["expect"] != ["success"] or "file key" not in fields or len(body) > MIB:
            continue
        with tempfile.NamedTemporaryFile() as f:
            f.write(body)
            f.flush()
            raw = bytes.fromhex(fields["file key"][0])
            for key in (raw, fields["file key"][0].encode(), raw.hex().encode() + b"\n"):
                out = good("decrypt", "--file-key", "-", f.name, stdin=key)
                assert hashlib.sha256(out).hexdigest() == fields["payload"][0], name
            refused(secret("decrypt", "--file-key", "-", f.name,
                           stdin=bytes([raw[0] ^ 1]) + raw[1:]), "wrong header MAC")
            refused(secret("decrypt", "--file-key", "-", f.name, stdin=raw[1:]),
                    "not a file key")
        opened += 1
    assert opened > 20, opened # scrypt and hybrid ones among them


@case
def keygen_writes_what_age_keygen_writes():
    with tempfile.TemporaryDirectory() as d:
        keys = Keys(d)
        lines = open(keys.path()).read().split("\n")
        assert lines[0].startswith("# created: 20") and lines[0].endswith("Z"), lines
        assert lines[1] == "# public key: " + keys.recipients[0] and lines[3:] == [""], lines
        assert stat.S_IMODE(os.stat(keys.path()).st_mode) == 0o600
        refused(secret("keygen", "-o", keys.path()), "exists", status=74)
        assert open(keys.path()).read().split("\n") == lines
        done = secret("keygen")
        text = done.stdout.decode()
        assert text.count("\n") == 3 and "\nAGE-SECRET-KEY-1" in text, text
        assert text not in (secret("keygen").stdout.decode(),)
        if shutil.which("age-keygen"):
            said = subprocess.run(["age-keygen", "-y", keys.path()], stdout=subprocess.PIPE,
                                  check=True).stdout.decode().strip()
            assert said == keys.recipients[0], said


SIZES = (0, 1, 65535, 65536, 65537, 131072, 200001, MIB)


@with_keys()
def every_size_round_trips_and_a_byte_more_than_1_mib_is_refused(keys, _):
    for size in SIZES:
        plain = os.urandom(size)
        for armor in ([], ["-a"]):
            sealed = good("encrypt", "-r", keys.recipients[0], *armor, stdin=plain)
            assert good("decrypt", "-i", keys.path(), stdin=sealed) == plain, size
    refused(secret("encrypt", "-r", keys.recipients[0], stdin=bytes(MIB + 1)), "1 MiB")


def age(*arguments, stdin):
    if not shutil.which("age"):
        skip("no age here")
    return subprocess.run(["age", *arguments], input=stdin, stdout=subprocess.PIPE,
                          timeout=15, check=True).stdout


@with_keys(3)
def age_opens_what_we_seal_and_we_open_what_it_seals(keys, _):
    to = [word for r in keys.recipients for word in ("-r", r)]
    for size in SIZES[:6]:
        plain = os.urandom(size)
        for armor in ([], ["-a"]):
            ours = good("encrypt", *to, *armor, stdin=plain)
            theirs = age(*to, *armor, stdin=plain)
            for n in range(3):
                assert age("-d", "-i", keys.path(n), stdin=ours) == plain
                assert good("decrypt", "-i", keys.path(n), stdin=theirs) == plain


@with_keys()
def an_ssh_or_passphrase_stanza_beside_ours_is_what_the_format_says(keys, d):
    if not shutil.which("ssh-keygen"):
        skip("no ssh-keygen here")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/ssh"], check=True)
    ssh = open(d + "/ssh.pub").read().strip()
    both = age("-r", ssh, "-r", keys.recipients[0], stdin=b"both")
    assert good("decrypt", "-i", keys.path(), stdin=both) == b"both"
    refused(secret("decrypt", "-i", keys.path(), stdin=age("-r", ssh, stdin=b"x")),
            "ssh key, which is not supported")
    refused(secret("decrypt", "-i", d + "/ssh", stdin=both), "ssh keys are not supported")
    refused(secret("encrypt", "-r", ssh, stdin=b"x"), "ssh keys are not supported", status=2)
    refused(secret("encrypt", "-R", d + "/ssh.pub", stdin=b"x"), "line 1",
            "ssh keys are not supported")


_npm = {}


def npm(*arguments, stdin):
    """age-encryption from build/npm, fetched once for each build tree."""
    if not _npm:
        _npm["why"] = _fetch_npm()
    if _npm["why"]:
        skip(_npm["why"])
    return subprocess.run(["node", ROOT + "/build/npm/age_npm.mjs", *arguments], input=stdin,
                          stdout=subprocess.PIPE, timeout=15, check=True).stdout


def _fetch_npm():
    tree, why = ROOT + "/build/npm", npm_package("age-encryption", "0.3.1")
    if why:
        return why
    script = ROOT + "/tests/e2e/age_npm.mjs"
    if not os.path.exists(tree + "/age_npm.mjs") or \
            not filecmp.cmp(script, tree + "/age_npm.mjs", shallow=False):
        shutil.copy(script, tree)
    return ""


@case
def age_encryption_can_be_had():
    assert npm("encrypt", "0", "age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm",
               stdin=b"x")


@with_keys(2)
def age_encryption_opens_what_we_seal_and_we_open_what_it_seals(keys, _):
    to = [word for r in keys.recipients for word in ("-r", r)]
    for size, armor in ((0, False), (5, True), (65536, False), (65537, True)):
        plain = os.urandom(size)
        ours = good("encrypt", *to, *(["-a"] if armor else []), stdin=plain)
        assert npm("decrypt", keys.text(1), stdin=ours) == plain
        theirs = npm("encrypt", "1" if armor else "0", *keys.recipients, stdin=plain)
        assert good("decrypt", "-i", keys.path(1), stdin=theirs) == plain


def all_refused(keys, files):
    """Whether none of @files opens or releases a byte; two at a time."""
    def one(item):
        what, body = item
        done = secret("decrypt", "-i", keys.path(), stdin=body)
        ok = done.returncode == 78 and not done.stdout and done.stderr.count(b"\n") == 1
        return "" if ok else "%s: exit %d, %d bytes" % (what, done.returncode, len(done.stdout))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        wrong = [w for w in pool.map(one, files) if w]
    assert not wrong, wrong[:5]


@with_keys()
def no_bit_of_a_small_file_can_be_flipped(keys, _):
    sealed = bytearray(good("encrypt", "-r", keys.recipients[0], stdin=b"secret"))
    files = []
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        files.append(("bit %d" % bit, bytes(changed)))
    all_refused(keys, files)


@with_keys()
def no_file_opens_that_was_cut_or_has_a_tail(keys, _):
    for armor in ([], ["-a"]):
        sealed = good("encrypt", "-r", keys.recipients[0], *armor, stdin=b"secret")
        # The newline behind an armored file may be missing.
        end = len(sealed) - 1 if armor else len(sealed)
        all_refused(keys, [("cut at %d" % n, sealed[:n]) for n in range(end)])
        all_refused(keys, [("tail", sealed + b"x"), ("twice", sealed + sealed)])


def hkdf(key, info, salt=b""):
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def with_stanzas(stanzas, before):
    """The vector x25519 with more stanzas, its MAC made again with its file key."""
    _, fields, body = vector(CORPUS + "x25519")
    head, rest = body.split(b"--- ", 1)
    version, stanza = head.split(b"\n", 1)
    more = b"".join(stanzas)
    head = version + b"\n" + (more + stanza if before else stanza + more) + b"---"
    key = bytes.fromhex(fields["file key"][0])
    mac = base64.b64encode(hmac.digest(hkdf(key, b"header"), head, "sha256")).rstrip(b"=")
    return fields, head + b" " + mac + rest[43:]


@case
def unknown_and_grease_stanzas_are_skipped():
    line = b"QUFB" * 16
    stanzas = [b"-> grease-~ !\"# %^&\nQUFB\n", b"-> x\n\n", b"-> unknown\n" + line + b"\n\n",
               b"-> large\n" + (line + b"\n") * 8000 + b"QQ\n"]
    for before in (True, False):
        fields, body = with_stanzas(stanzas, before)
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(fields["identity"][0])
            f.flush()
            out = good("decrypt", "-i", f.name, stdin=body)
            assert hashlib.sha256(out).hexdigest() == fields["payload"][0]
            # Skipped, and yet all of it must be right.
            for bad in (b"-> x\nQR\n", b"-> x \n\n", b"-> x\nQUFB", b"->  x\n\n", b"-> x\nQ\n",
                        b"-> X25519 x\nQUFB\n", b"-> x\n" + line + b"\n"):
                refused(secret("decrypt", "-i", f.name, stdin=with_stanzas([bad], before)[1]),
                        "malformed header")


@with_keys(3)
def any_of_several_identities_will_do_from_files_or_stdin(keys, d):
    sealed = good("encrypt", "-r", keys.recipients[2], stdin=b"third")
    with open(d + "/sealed", "wb") as f:
        f.write(sealed)
    assert good("decrypt", "-i", keys.path(0), "-i", keys.path(2), stdin=sealed) == b"third"
    with open(d + "/all", "w") as f:
        f.write("# mine\r\n\n" + "\r\n".join(keys.text(n) for n in range(3)))
    assert good("decrypt", "-i", d + "/all", d + "/sealed") == b"third"
    text = open(d + "/all", "rb").read()
    assert good("decrypt", "-i", "-", d + "/sealed", stdin=text) == b"third"
    refused(secret("decrypt", "-i", keys.path(0), "-i", keys.path(1), stdin=sealed),
            "not sealed for this key")


@with_keys(2)
def recipients_come_from_files_too(keys, d):
    with open(d + "/to", "w") as f:
        f.write("# both\n%s\n\n%s" % tuple(keys.recipients))
    sealed = good("encrypt", "-R", f.name, stdin=b"x")
    for n in range(2):
        assert good("decrypt", "-i", keys.path(n), stdin=sealed) == b"x"
    with open(d + "/secret", "wb") as f:
        f.write(b"x")
    sealed = good("encrypt", "-R", "-", d + "/secret", stdin=keys.recipients[0].encode())
    assert good("decrypt", "-i", keys.path(0), stdin=sealed) == b"x"
    refused(secret("encrypt", "-R", "/dev/null", stdin=b"x"), "no key in it")
    many = "\n".join([keys.recipients[0]] * 256)
    assert good("decrypt", "-i", keys.path(0),
                stdin=good("encrypt", "-a", "-R", "-", d + "/secret", stdin=many.encode())) == b"x"
    refused(secret("encrypt", "-R", "-", d + "/secret", stdin=(many + "\n" + many).encode()),
            "more than 256")


@with_keys()
def keys_we_do_not_know_are_named_and_never_shown(keys, d):
    with open(d + "/sealed", "wb") as f:
        f.write(good("encrypt", "-r", keys.recipients[0], stdin=b"x"))
    for text, word in (("AGE-SECRET-KEY-PQ-1QQQQ", "post-quantum keys are not supported"),
                       ("AGE-PLUGIN-YUBIKEY-1QQ", "plugin and hardware keys"),
                       ("-----BEGIN OPENSSH PRIVATE KEY-----", "ssh keys are not supported"),
                       ("-----BEGIN AGE ENCRYPTED FILE-----", "itself sealed"),
                       (keys.text().lower(), "upper case"),
                       (keys.text()[:-1], "mistyped"),
                       ("# nothing\n", "the key is empty"),
                       (keys.text() + "\nnonsense", "line 2 of the key"),
                       (keys.recipients[0], "the other of the two")):
        done = secret("decrypt", "-i", "-", d + "/sealed", stdin=text.encode())
        refused(done, word)
        assert text.encode() not in done.stderr or text.startswith("-----"), done.stderr
    for text, word in (("age1pq1qqqq", "post-quantum"), ("age1yubikey1qq", "plugin"),
                       ("age1qqqq", "not a key"), (keys.text(), "the other of the two")):
        done = secret("encrypt", "-r", text, stdin=b"x")
        refused(done, word, status=2)
        assert b"AGE-SECRET-KEY-1" + b"Q" not in done.stderr, done.stderr
        assert keys.text().encode() not in done.stderr, "shows a secret key"


@case
def a_wrong_command_line_is_2_and_says_why():
    for arguments, word in (
            ((), "keygen, encrypt or decrypt?"), (("seal",), "seal"),
            (("encrypt",), "for whom"), (("decrypt",), "with what"),
            (("encrypt", "-p"), "passphrases (scrypt) are not supported"),
            (("encrypt", "-r"), "missing after -r"), (("encrypt", "-i", "x"), "not -i"),
            (("decrypt", "-r", "age1x"), "not -r"), (("decrypt", "-a", "-i", "x"), "no -a"),
            (("decrypt", "-i", "-"), "stdin can't be"), (("keygen", "x"), "nothing but -o"),
            (("decrypt", "-i", "x", "--file-key", "y"), "with what"),
            (("decrypt", "-i", "x", "a", "b"), "one file"), (("decrypt", "--nope"), "--nope"),
            (("decrypt", "-j", "x"), "plugins are not supported"),
            (("encrypt", "-o", "a", "-o", "b", "-r", "x"), "twice")):
        refused(secret(*arguments), word, status=2)


@with_keys()
def files_that_are_not_there_or_no_age_files_are_78(keys, d):
    refused(secret("decrypt", "-i", keys.path(), d + "/none"), d + "/none", "No such file")
    refused(secret("decrypt", "-i", d + "/none", keys.path()), d + "/none", "No such file")
    refused(secret("decrypt", "-i", keys.path(), keys.path()), "not an age file")
    refused(secret("decrypt", "-i", keys.path(), stdin=bytes(2 * MIB)), "1 MiB")
    refused(secret("decrypt", "-i", "/dev/zero", stdin=b"age"), "too long for keys")


@with_keys()
def an_output_file_is_whole_private_and_replaced_at_once(keys, d):
    sealed = good("encrypt", "-r", keys.recipients[0], stdin=b"secret")
    out = d + "/out"
    with open(out, "w") as f:
        f.write("before")
    refused(secret("decrypt", "-i", keys.path(), "-o", out, stdin=sealed[:-1]), "damaged")
    assert open(out).read() == "before"
    good("decrypt", "-i", keys.path(), "-o", out, stdin=sealed)
    assert open(out).read() == "secret" and stat.S_IMODE(os.stat(out).st_mode) == 0o600
    good("encrypt", "-r", keys.recipients[0], "--output=" + out, out)
    assert good("decrypt", "-i", keys.path(), out) == b"secret"
    assert good("decrypt", "-i", keys.path(), "-o", "/dev/stdout", out) == b"secret"
    refused(secret("decrypt", "-i", keys.path(), "-o", d + "/no/where", out), "No such file",
            status=74)
    assert sorted(os.listdir(d)) == ["key0", "out"], os.listdir(d)


@with_keys()
def a_full_disk_leaves_no_plaintext(keys, d):
    if os.getuid():
        skip("needs root to mount a tmpfs")
    with open(d + "/sealed", "wb") as f:
        f.write(good("encrypt", "-r", keys.recipients[0], stdin=b"secret" * 10000))
    script = ("mount -t tmpfs -o size=8k none /mnt && "
              "%s secret decrypt -i %s -o /mnt/out %s/sealed; echo $? $(ls -A /mnt | wc -l)"
              % (AIRLOCK, keys.path(), d))
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], timeout=15,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout == b"74 0\n" and b"No space left" in done.stderr, done


def on_terminal(arguments, stdin=subprocess.DEVNULL):
    """(exit status, what the terminal showed) of a command whose stdout is a terminal."""
    master, slave = pty.openpty()
    done = subprocess.run([AIRLOCK, "secret", *arguments], stdin=stdin, stdout=slave,
                          stderr=subprocess.PIPE, timeout=15)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(master)
    return done, shown


@with_keys()
def a_terminal_gets_no_binary(keys, d):
    for name, plain in (("text", "hallo\tWörld\n".encode()), ("binary", b"\x00\x1b[2J\xff")):
        with open(d + "/" + name, "wb") as f:
            f.write(good("encrypt", "-r", keys.recipients[0], stdin=plain))
    done, shown = on_terminal(["encrypt", "-r", keys.recipients[0], keys.path()])
    assert done.returncode == 2 and not shown and b"-a writes text" in done.stderr, done
    done, shown = on_terminal(["encrypt", "-a", "-r", keys.recipients[0], keys.path()])
    assert done.returncode == 0 and shown.startswith(b"-----BEGIN AGE"), (done, shown)
    done, shown = on_terminal(["decrypt", "-i", keys.path(), d + "/text"])
    assert done.returncode == 0 and "Wörld".encode() in shown, (done, shown)
    done, shown = on_terminal(["decrypt", "-i", keys.path(), d + "/binary"])
    assert done.returncode == 2 and not shown and b"binary output" in done.stderr, done
    done, shown = on_terminal(["decrypt", "-i", keys.path(), "-o", "-", d + "/binary"])
    assert done.returncode == 0 and b"\x1b[2J" in shown, (done, shown)


@with_keys()
def a_key_typed_at_a_terminal_is_not_shown(keys, d):
    with open(d + "/sealed", "wb") as f:
        f.write(good("encrypt", "-r", keys.recipients[0], stdin=b"secret"))
    master, slave = pty.openpty()
    process = subprocess.Popen([AIRLOCK, "secret", "decrypt", "-i", "-", d + "/sealed"],
                               stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    shown = b""
    while b"key: " not in shown:
        shown += os.read(master, 100)
    assert not termios.tcgetattr(slave)[3] & termios.ECHO, "echo is on at the prompt"
    os.write(master, keys.text().encode() + b"\n")
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0 and out == b"secret", (process.returncode, err)
    assert termios.tcgetattr(slave)[3] & termios.ECHO, "echo is off afterwards"
    os.close(slave)
    flags = fcntl.fcntl(master, fcntl.F_GETFL)
    fcntl.fcntl(master, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        shown += os.read(master, 1000)
    except OSError:
        pass
    os.close(master)
    assert b"AGE-SECRET" not in shown, shown


@with_keys()
def nobody_of_the_same_user_reads_its_memory(keys, _):
    process = subprocess.Popen([AIRLOCK, "secret", "decrypt", "-i", keys.path()],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    path = "/proc/%d" % process.pid
    try:
        until(lambda: open(path + "/comm").read() == "airlock-unseal\n", "it started")
        # Not dumpable: its files in /proc belong to root, whoever runs it.
        with open(path + "/limits") as f:
            def core():
                f.seek(0)
                return [line.split()[4] for line in f if "core file" in line] == ["0"]
            until(core, "no core files")
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def readable_memory(pid):
    """Every byte of the process that the kernel shows to root."""
    found = []
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb", 0) as mem:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            try:
                mem.seek(start)
                found.append(mem.read(end - start))
            except (OSError, ValueError, OverflowError):
                pass # hidden memory, a guard page, [vvar]
    return b"\0".join(found)


def memory_while_writing(identity, sealed, directory):
    """What root sees of a decrypt that stands in the middle of its one write."""
    if os.getuid():
        skip("needs root to look")
    with open(directory + "/identity", "w") as f:
        f.write(identity)
    with open(directory + "/sealed", "wb") as f:
        f.write(sealed)
    process = subprocess.Popen([AIRLOCK, "secret", "decrypt", "-i", directory + "/identity",
                                directory + "/sealed"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    try:
        os.read(process.stdout.fileno(), 1) # the pipe takes 64 KiB
        if "/secretmem" not in open("/proc/%d/maps" % process.pid).read():
            skip("no memfd_secret here")
        memory = readable_memory(process.pid)
    finally:
        process.kill()
        process.stdout.close()
        process.wait(10)
    assert sealed[1000:2000] in memory, "this scan finds nothing at all"
    return memory


@with_keys()
def root_finds_no_plaintext_in_its_memory(keys, d):
    marker = b"airlock-marker-of-this-test"
    sealed = good("encrypt", "-r", keys.recipients[0], stdin=marker * 20000)
    assert marker not in memory_while_writing(keys.text(), sealed, d)


@with_keys()
def root_finds_no_key_in_its_memory(_, d):
    _, fields, sealed = vector(CORPUS + "stream_three_chunks")
    identity = fields["identity"][0]
    memory = memory_while_writing(identity, sealed, d)
    raw = bech32_bytes(identity)
    file_key = bytes.fromhex(fields["file key"][0])
    start = sealed.index(b"\n--- ") + 5 + 43 + 1
    payload_key = hkdf(file_key, b"payload", sealed[start:start + 16])
    assert identity[20:40].encode() not in memory, "the identity's text"
    # Its ends change when the curve clamps them.
    assert raw[1:16] not in memory and raw[16:31] not in memory, "the identity"
    assert file_key not in memory, "the file key"
    assert payload_key[:16] not in memory and payload_key[16:] not in memory, "the payload's key"


def bech32_bytes(text):
    symbols = ["qpzry9x8gf2tvdw0s3jn54khce6mua7l".index(c)
               for c in text.lower().rpartition("1")[2][:-6]]
    bits = "".join(format(s, "05b") for s in symbols)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, 256, 8))


@with_keys()
def little_locked_memory_is_enough(keys, _):
    sealed = good("encrypt", "-r", keys.recipients[0], stdin=b"secret")
    done = subprocess.run(["prlimit", "--memlock=0", AIRLOCK, "secret", "decrypt", "-i",
                           keys.path()], input=sealed, timeout=15, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stdout == b"secret", done


@case
def help_and_version_are_there():
    for arguments in (("--help",), ("-h",), ("keygen", "--help"), ("decrypt", "-h")):
        assert b"usage: airlock secret keygen" in good(*arguments)
    assert good("--version").startswith(b"airlock version ")


main()
