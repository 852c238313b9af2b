#!/usr/bin/python3
"""The build keeps its promises: static, small, hardened, reproducible, installable."""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AIRLOCK = "build/release/airlock"
SIZE_MAX = 96 * 1024  # bytes, DESIGN: budgets
tests = []
count = {"ok": 0, "not ok": 0, "skip": 0}


class Skip(Exception):
    pass


def test(function):
    tests.append(function)
    return function


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=options.pop("timeout", 300), **options)


def make(*targets, **options):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    result = run("make", "--no-print-directory", *targets, env=env, **options)
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


def readelf(*flags, program=AIRLOCK):
    return run("readelf", *flags, "-W", program).stdout


def need(command):
    if not shutil.which(command):
        raise Skip(f"no {command} here")


@test
def airlock_is_at_most_96_KiB():
    size = os.path.getsize(AIRLOCK)
    assert size <= SIZE_MAX, f"{size} bytes, {size - SIZE_MAX} too many"


@test
def no_interpreter_and_no_shared_library():
    assert "INTERP" not in readelf("-l")
    assert "NEEDED" not in readelf("-d")


@test
def position_independent():
    assert re.search(r"Type:\s+DYN", readelf("-h"))


@test
def nothing_is_writable_and_executable():
    segments = readelf("-l")
    assert "RWE" not in segments
    stack = next(l for l in segments.splitlines() if "GNU_STACK" in l)
    assert " RW " in stack, stack


@test
def no_build_id_and_no_symbols():
    sections = readelf("-S")
    assert ".note.gnu.build-id" not in sections
    assert ".symtab" not in sections


@test
def no_path_of_the_build_machine_in_the_program():
    with open(AIRLOCK, "rb") as f:
        assert TOP.encode() not in f.read()


@test
def constant_tables_are_read_only_after_confine_relro():
    make("build/release/probe_relro")
    result = run("build/release/probe_relro")
    assert result.returncode == 0, f"read(2) into the table succeeded: {result}"
    # And it is confine_relro that does it: without the call the table can be written.
    assert run("build/release/probe_relro", "before").returncode == 1


@test
def a_running_program_has_one_writable_part_and_one_executable():
    process = subprocess.Popen([AIRLOCK, "init", "-s", "--", "cat"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    process.stdin.write(b"x")  # comes back from a child: main() began long before
    process.stdin.flush()
    assert process.stdout.read(1) == b"x"
    with open(f"/proc/{process.pid}/maps") as f:
        rights = [line.split()[1] for line in f if line.rstrip().endswith(AIRLOCK)]
    process.communicate(timeout=10)
    assert rights == ["r--p", "r-xp", "r--p", "rw-p"], rights


@test
def bearssl_links_with_the_release_flags_and_computes():
    if not os.path.exists("build/bearssl/libbearssl.a"):
        try:
            make("bearssl")
        except AssertionError as error:
            if re.search(r"Could not resolve|Failed to fetch|no Debian mirror|Unable to find",
                         str(error)):
                raise Skip("Debian's source package can't be fetched here") from error
            raise
    make("build/release/probe_bearssl")
    assert run("build/release/probe_bearssl").returncode == 0
    assert "INTERP" not in run("readelf", "-lW", "build/release/probe_bearssl").stdout


@test
def a_bearssl_archive_with_another_sum_is_refused():
    with tempfile.TemporaryDirectory() as tree:
        shutil.copy("Makefile", tree)
        name = re.search(r"^BEARSSL_TAR\s*:=\s*(\S+)", open("Makefile").read(), re.M)[1]
        os.makedirs(f"{tree}/build/bearssl")
        open(f"{tree}/build/bearssl/{name}", "w").write("not it")
        result = run("make", "-C", tree, "build/bearssl/src")
        assert result.returncode != 0 and "FAILED" in result.stdout, result.stdout
        assert not os.path.exists(f"{tree}/build/bearssl/src")


@test
def two_builds_in_two_directories_give_the_same_bytes():
    need("git")
    if not os.path.exists(".git"):
        raise Skip("not a git checkout")
    make("repro")


@test
def layers_refuses_an_include_against_the_order():
    for file, header, fine in [
            ("base/a.c", "init/box.h", False), ("agent/a.c", "netfilter/nft.h", False),
            ("init/a.c", "netfilter/conn.h", False), ("init/a.c", "secrets/age.h", False),
            ("netfilter/a.c", "init/spec.h", False), ("secrets/a.h", "agent/job.h", False),
            ("init/a.c", "netfilter/nft.h", True), ("agent/a.c", "base/io.h", True),
            ("secrets/a.c", "secrets/age.h", True), ("netfilter/a.c", "base/wr.h", True)]:
        with tempfile.TemporaryDirectory() as tree:
            os.makedirs(os.path.dirname(f"{tree}/{file}"))
            open(f"{tree}/{file}", "w").write(f'# include "{header}"\n')
            result = run("tests/lint/layers", tree)
            assert (result.returncode == 0) == fine, f"{file} -> {header}: {result.stdout}"


@test
def headers_refuses_one_that_needs_another_first():
    with tempfile.TemporaryDirectory() as tree:
        os.makedirs(f"{tree}/base")
        open(f"{tree}/base/x.h", "w").write("size_t f(void);\n")
        assert run("tests/lint/headers", tree).returncode != 0


@test
def install_lays_out_the_files_and_nothing_else():
    with tempfile.TemporaryDirectory() as tree:
        make("install", f"DESTDIR={tree}", "PREFIX=/usr")
        found = {os.path.relpath(os.path.join(d, f), tree)
                 for d, _, files in os.walk(tree) for f in files}
        with open("Makefile") as f:
            makefile = f.read().replace("\\\n", " ")
        programs = re.search(r"^PROGRAMS := airlock (.*)$", makefile, re.M)[1].split()
        assert found == {"usr/libexec/airlock/" + name for name in programs} | {
                         "usr/bin/airlock", "usr/share/man/man1/airlock.1",
                         "usr/bin/apply_patch", "usr/libexec/airlock/path/apply_patch",
                         "usr/share/bash-completion/completions/airlock",
                         "usr/share/airlock/commit-state",
                         "usr/share/airlock/task.schema.json"}, found
        assert run(f"{tree}/usr/bin/airlock", "--version").stdout.startswith("airlock version ")
        assert "usage: airlock check" in run(f"{tree}/usr/bin/airlock", "check", "--help").stdout
        for link in ("bin", "libexec/airlock/path"):
            assert "Usage: apply_patch" in run(f"{tree}/usr/{link}/apply_patch", "--help").stdout


@test
def a_cross_build_has_a_tree_of_its_own_and_runs():
    need("aarch64-linux-gnu-gcc")
    need("qemu-aarch64-static")
    before = os.stat(AIRLOCK).st_mtime_ns
    try:
        make("ARCH=aarch64", "build/aarch64/release/airlock")
    except AssertionError as error:
        if re.search(r"Could not resolve|Failed to fetch|no Debian mirror|Unable to", str(error)):
            raise Skip("Debian's musl for arm64 can't be fetched here") from error
        raise
    cross = "build/aarch64/release/airlock"
    assert "AArch64" in run("readelf", "-hW", cross).stdout
    assert "INTERP" not in run("readelf", "-lW", cross).stdout
    # Pages of up to 64 KiB: no two parts with different rights in one of them.
    loads = re.findall(r"^ +LOAD +\S+ (0x\w+) \S+ \S+ (0x\w+)", readelf("-l", program=cross), re.M)
    pages = [range(int(at, 16) >> 16, (int(at, 16) + int(size, 16) - 1 >> 16) + 1)
             for at, size in loads]
    assert len(pages) == 4 and all(a.stop <= b.start for a, b in zip(pages, pages[1:])), loads
    done = run("qemu-aarch64-static", cross, "--version")
    assert done.stdout == run(AIRLOCK, "--version").stdout, done.stdout
    assert os.stat(AIRLOCK).st_mtime_ns == before, "this machine's programs were built again"


@test
def a_cross_build_is_refused_where_there_is_none():
    for words, why in ((["ARCH=riscv64"], "for aarch64 alone"),
                       (["ARCH=aarch64", "check"], "make check-aarch64")):
        if os.uname().machine != "aarch64" or "riscv64" in words[0]:
            result = run("make", "-n", *words)
            assert result.returncode and why in result.stdout, (words, result.stdout)


@test
def compile_commands_names_every_source():
    make("build/compile_commands.json")
    with open("build/compile_commands.json") as f:
        entries = json.load(f)
    files = {e["file"] for e in entries}
    folders = "base", "secrets", "netfilter", "agent", "init", "tests/*"
    assert files == {f for folder in folders for f in glob.glob(folder + "/*.c")}
    entry = next(e for e in entries if e["file"] == "base/wr.c")
    assert run(*entry["arguments"], "-o", "/dev/null", cwd=entry["directory"]).returncode == 0


@test
def the_man_page_has_no_fault():
    need("mandoc")
    faults = [l for l in run("mandoc", "-Tlint", "rootfs/airlock.1").stdout.splitlines()
              if "outdated mandoc.db" not in l]
    assert not faults, faults


COMMANDS = ["run", "init", "check", "doctor", "sandbox"]
STATUSES = ["2", "70", "71", "72", "73", "74", "75", "76", "77", "78", "126", "127", "128+n"]


@test
def help_names_each_command_and_status():
    text = run(AIRLOCK, "--help")
    assert text.returncode == 0
    for word in COMMANDS + STATUSES:
        assert re.search(rf"^  {re.escape(word)}\b|^  {re.escape(word)} ", text.stdout, re.M), word


@test
def help_of_each_command_fits_a_terminal_and_is_in_the_man_page():
    with open("rootfs/airlock.1") as f:
        page = f.read()
    for command in COMMANDS:
        result = run(AIRLOCK, command, "--help")
        assert result.returncode == 0, (command, result.stdout)
        assert result.stdout.startswith(f"usage: airlock {command}"), result.stdout
        assert max(map(len, result.stdout.splitlines())) <= 90
        for option in re.findall(r"^  -(-?[a-z]+)", result.stdout, re.M):
            assert re.search(rf"\bFl {option}\b", page), f"airlock.1 lacks -{option}"


@test
def help_to_a_full_device_is_74():
    with open("/dev/full", "w") as full:
        for argument in ("--help", "--version"):
            result = subprocess.run([AIRLOCK, argument], stdout=full, timeout=10)
            assert result.returncode == 74, (argument, result.returncode)


def complete(*words):
    script = ('source rootfs/airlock.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_airlock 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"')
    return set(run("bash", "-c", script, "bash", *words).stdout.split())


@test
def completion_knows_commands_options_and_files():
    assert set(COMMANDS) <= complete("airlock", "")
    assert complete("airlock", "do") == {"doctor"}
    assert complete("airlock", "run", "--b") == {"--box"}
    assert "Makefile" in complete("airlock", "check", "Make")
    assert complete("airlock", "run", "--out", "rootf") == {"rootfs"}
    assert "-e" in complete("airlock", "init", "-")
    assert "-e" not in complete("airlock", "init", "--", "-")


@test
def doctor_gives_a_line_for_each_thing_and_a_verdict():
    result = run(AIRLOCK, "doctor")
    lines = result.stdout.splitlines()
    for line in lines[:-1]:
        assert re.match(r"(ok|no)  [^:]+: .", line), line
    assert re.search(r"^(ok  Landlock: ABI|no  Landlock: .* - a kernel from 6.12 on)", result.stdout, re.M)
    assert lines[-1].startswith("verdict: ")
    assert (result.returncode == 0) == ("can run here" in lines[-1]), result
    assert result.returncode in (0, 73)
    assert run(AIRLOCK, "doctor", "x").returncode == 2


@test
def doctor_misses_git():
    result = run(AIRLOCK, "doctor", env={"PATH": "/nonexistent"})
    assert result.returncode == 73, result
    assert "no  git: not in PATH - " in result.stdout


@test
def the_runner_counts_a_file_that_dies():
    with tempfile.TemporaryDirectory() as tree:
        for body, status, last in [
                ("print('1 passed, 0 failed')", 0, "1 passed, 0 failed"),
                ("print('skip - x: why\\n1 passed, 0 failed, 1 skipped')", 0,
                 "1 passed, 0 failed, 1 skipped"),
                ("print('ok - x')", 1, "0 passed, 1 failed"),
                ("import os; print('ok - x', flush=True); os.abort()", 1, "0 passed, 1 failed"),
                ("print('0 passed, 0 failed')", 1, "0 passed, 1 failed"),
                ("print('not ok - x\\n0 passed, 1 failed')", 1, "0 passed, 1 failed"),
                ("print('1 passed, 0 failed', flush=True); raise SystemExit(3)", 1,
                 "1 passed, 1 failed"),
                ("import time; print('ok - x', flush=True); time.sleep(60)", 1,
                 "0 passed, 1 failed")]:
            path = f"{tree}/test_x.py"
            open(path, "w").write(body + "\n")
            result = run("tests/run", path, env={**os.environ, "TEST_TIMEOUT_S": "2"})
            assert result.returncode == status, (body, result.stdout)
            assert result.stdout.splitlines()[-1] == last, (body, result.stdout)


def main():
    os.chdir(TOP)
    for function in tests:
        name = function.__name__
        try:
            function()
            outcome = "ok"
        except Skip as why:
            outcome, name = "skip", f"{name}: {why}"
        except Exception as error:  # pylint: disable=broad-except
            outcome = "not ok"
            print(f"{type(error).__name__}: {error}")
        count[outcome] += 1
        print(f"{outcome} - {name}", flush=True)
    print(f"{count['ok']} passed, {count['not ok']} failed, {count['skip']} skipped")
    return 1 if count["not ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
