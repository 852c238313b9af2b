#!/usr/bin/python3
"""The schema and `airlock check` take the same specs; a wrong one gets one line that says where.

tests/corpus/spec: good is taken by both, bad refused by both; bad-semantic is what a
schema can't say, and only the reader is asked.
"""
import copy
import glob
import json
import os
import random
import re
import subprocess
import tempfile

from lib import AIRLOCK, ROOT, case, main, skip

CORPUS = ROOT + "/tests/corpus/spec/"
MUTATIONS = 200


def run(*arguments, stdin=b""):
    return subprocess.run([AIRLOCK, *arguments], input=stdin, timeout=15,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def specs(kind):
    paths = sorted(glob.glob(CORPUS + kind + "/*.json"))
    assert len(paths) >= {"good": 15}.get(kind, 40), "the corpus is not there"
    return paths


def schema():
    """A validator that reads patterns as ECMAScript does: $ is the end of the text."""
    try:
        import jsonschema
    except ImportError:
        skip("no python3-jsonschema here")

    def pattern(_, wanted, instance, __):
        ends = re.sub(r"\$(?=\)|$)", r"\\Z", wanted)
        if isinstance(instance, str) and not re.search(ends, instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {wanted}")

    with open(ROOT + "/rootfs/task.schema.json") as f:
        text = json.load(f)
    base = jsonschema.Draft202012Validator
    base.check_schema(text)
    return jsonschema.validators.extend(base, {"pattern": pattern})(
        text, format_checker=jsonschema.FormatChecker(["ipv6"]))


def one_line(done, path):
    """The only thing on stderr is FILE:LINE:COL: and a reason; nothing was started."""
    err = done.stderr.decode()
    assert done.returncode == 78, (path, done.returncode, err)
    assert not done.stdout, (path, done.stdout)
    assert re.fullmatch(re.escape(path) + r":\d+:\d+: [ -~\u0080-\U0010ffff]+\n", err), (path, err)


@case
def schema_and_reader_take_what_is_good():
    valid = schema()
    for path in specs("good"):
        with open(path) as f:
            errors = [e.message for e in valid.iter_errors(json.load(f))]
        assert not errors, (path, errors)
        done = run("check", path)
        assert done.returncode == 0 and not done.stderr, (path, done.stderr)


@case
def schema_and_reader_refuse_what_is_bad():
    valid = schema()
    for path in specs("bad"):
        with open(path) as f:
            assert not valid.is_valid(json.load(f)), path
        one_line(run("check", path), path)


@case
def the_reader_refuses_what_a_schema_cannot_see():
    for path in specs("bad-semantic"):
        one_line(run("check", path), path)


def places(value, at=()):
    yield at
    items = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, at + (key,))


def mutated(rng, spec, donors):
    """The spec with one or two places removed, replaced, renamed or taken from another."""
    spec = copy.deepcopy(spec)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.choice([p for p in places(spec) if p] or [("version",)])
        parent = spec
        for key in at[:-1]:
            parent = parent[key]
        how = rng.randrange(5)
        if how == 0:
            parent.pop(at[-1], None) if isinstance(parent, dict) else parent.pop(at[-1])
        elif how == 1:
            parent[at[-1]] = rng.choice((None, True, 0, 1, -1, 65536, 604801, "", "x", "-x", "a b",
                                         "a\n", "/a", "/a/..", "*.a", "full", "${A}", [], {},
                                         ["GET"], {"A": "b"}, 2**33, 0.5, "::1", ":", "a.lock"))
        elif how == 2 and isinstance(parent, dict):
            parent[rng.choice(("", "x", "url", "script", "host", "title"))] = parent[at[-1]]
        elif how == 3 and isinstance(parent.get(at[-1]) if isinstance(parent, dict) else
                                     parent[at[-1]], str):
            text = parent[at[-1]]
            i = rng.randrange(len(text) + 1)
            parent[at[-1]] = text[:i] + rng.choice("\0\n\x7f -./:@~$*{é\u2028") + text[i:]
        else:
            donor = rng.choice(donors)
            key = rng.choice(list(donor))
            spec[key] = copy.deepcopy(donor[key])
    return spec


@case
def schema_and_reader_agree_on_mutations():
    valid = schema()
    rng = random.Random(1)
    good = []
    for path in specs("good"):
        with open(path) as f:
            good.append(json.load(f))
    seen = {True: 0, False: 0}
    for _ in range(MUTATIONS):
        spec = mutated(rng, rng.choice(good), good)
        done = run("check", "-", stdin=json.dumps(spec).encode())
        errors = [e.message for e in valid.iter_errors(spec)]
        # The schema can't look names up in another list, nor name a directory.
        if re.search(rb"secrets\.names lacks|names no directory|is not configured|is duplicated",
                     done.stderr):
            continue
        assert (done.returncode == 0) == (not errors), (spec, errors, done.stderr)
        seen[not errors] += 1
    assert min(seen.values()) > MUTATIONS / 8, seen  # else the mutations ask nothing


@case
def a_longer_file_than_1_MiB_is_refused():
    start, end = b'{"version":1,"prompt":"', b'"}'
    for over in (0, 1):
        with tempfile.NamedTemporaryFile(suffix=".json") as f:
            f.write(start + b"x" * (1024 * 1024 + over - len(start) - len(end)) + end)
            f.flush()
            if over:
                one_line(run("check", f.name), f.name)
            else:
                assert run("check", f.name).returncode == 0


@case
def an_error_stands_where_its_second_key_is():
    rows = (("command-and-exec-server", "exec_server"), ("ref-without-url", '"ref"'),
            ("title-without-branch", '"title"'), ("branch-with-git-read", '"branch"'),
            ("raw-with-methods", '"raw"'))
    for name, token in rows:
        path = CORPUS + "bad/" + name + ".json"
        line = int(run("check", path).stderr.decode()[len(path) + 1:].split(":")[0])
        with open(path) as f:
            assert token in f.readlines()[line - 1], (name, line)


@case
def a_spec_that_cannot_be_read_is_one_line():
    for path in ("/nowhere/task.json", "/", "/etc/shadow/x"):
        done = run("check", path)
        assert done.returncode == 78 and not done.stdout, done
        assert done.stderr.count(b"\n") == 1 and path.encode() in done.stderr, done


@case
def a_dash_is_stdin():
    assert run("check", "-", stdin=b'{"version":1}').returncode == 0
    one_line(run("check", "-", stdin=b'{"version":2}'), "-")


@case
def no_argument_is_a_question_of_usage():
    for arguments in ([], ["a", "b"]):
        assert run("check", *arguments).returncode == 2


@case
def run_refuses_the_same_before_anything_starts():
    rng = random.Random(2)
    paths = rng.sample(specs("bad"), 3) + rng.sample(specs("bad-semantic"), 2)
    for path in paths:
        with tempfile.TemporaryDirectory() as out:
            one_line(run("run", "--out", out, path), path)
            assert not os.listdir(out), os.listdir(out)


@case
def what_is_missing_is_named():
    done = run("run", CORPUS + "good/only-a-version.json")
    assert done.returncode == 78
    assert b"agent.command: missing, and so is model" in done.stderr, done.stderr
    for name in ("smallest-that-runs", "network-off", "goes-on-after-a-failure"):
        assert b"it can't be run" not in run("check", CORPUS + f"good/{name}.json").stdout


@case
def what_names_a_secret_needs_secrets():
    rule = {"host": "a.example", "inject": {"header": "X", "value": "${K}"}}
    model = {"base_url": "https://m.example/v1", "name": "m"}
    far = {"environments": [{"id": "far", "url": "wss://far.example",
                             "auth_bearer_token": "${K}"}]}
    for place, spec in (
            ("model.key", {"model": dict(model, key="${K}"), "prompt": "p"}),
            ("network.rules", {"network": {"agent": "limited", "rules": [rule]}}),
            ("network.upstream_auth", {"network": {"upstream_proxy": "http://10.0.0.1:1",
                                                   "upstream_auth": "${K}"}}),
            ("agent.environments", {"model": model, "prompt": "p", "agent": {"environments": far}})):
        spec = dict({"version": 1, "agent": {"command": ["true"]}}, **spec)
        if "prompt" in spec and "environments" not in spec["agent"]:
            del spec["agent"]
        for command, stream in (("check", "stdout"), ("run", "stderr")):
            done = run(command, "-", stdin=json.dumps(spec).encode())
            said = getattr(done, stream).decode()
            assert place in said and '"secrets" are missing' in said, (place, command, said)
            assert command == "check" or done.returncode == 78, (place, done.returncode)
        spec["secrets"] = {"sealed": "/nowhere.age", "names": ["K"]}
        said = run("check", "-", stdin=json.dumps(spec).encode()).stdout.decode()
        assert "can't be run" not in said, (place, said)


@case
def the_plan_is_never_cut():
    spec = {"version": 1, "env": {"V%04d" % i: "" for i in range(1000)},
            "runtimes": {"node": "22"}, "maintenance": {"script": "update"},
            "setup": {"script": "\nfirst line\nsecond"}, "network": {"lock": "closed"},
            "agent": {"command": ["x" * 100000, "a\nb"]}}
    plan = run("check", "-", stdin=json.dumps(spec).encode()).stdout.decode()
    for part in ("V0999\n", "node 22\n", ": first line ...\n", "maintenance, after a cache hit: update\n",
                 "demanded: closed\n", " " + "x" * 100000 + " a\\x0ab\n", "/airlock/out\n"):
        assert part in plan, part[:40]
    assert plan.endswith("report     /airlock/out\n"), plan[-80:]


@case
def the_plan_says_what_binds_setup():
    for network, words in (({}, ["unlocked", "go straight out"]),
                           ({"deny": ["a.example"]}, ["unlocked", "deny"]),
                           ({"setup": "limited"}, []), ({"setup": "off"}, [])):
        plan = run("check", "-", stdin=json.dumps({
            "version": 1, "network": network, "agent": {"command": ["x"]}}).encode())
        line = next(x for x in plan.stdout.decode().splitlines() if x.startswith("setup "))
        assert all(w in line for w in words), line
        assert words or "unlocked" not in line, line


if __name__ == "__main__":
    main()
