#!/usr/bin/python3
"""The cache in a whole task: the second one finds the first one's setup, and runs none."""
import json
import os
import shutil
import subprocess

from engines import make_rootfs
from lib import case, main, skip
from task import Result, Task
from unsealed import keys, seal

SETUP = ("echo setup >> /var/ran; mkdir -p /var/deps/deep; echo x > /var/deps/deep/file; "
         "ln -s deep/file /var/deps/link; rm /etc/issue.net 2>/dev/null; echo K=v >> $AIRLOCK_ENV")
AGENT = "cat /var/ran; cat /var/deps/link; echo K=$K; git status --porcelain; git log --oneline | wc -l"


def task():
    if os.geteuid():
        skip("needs root for a box over another root")
    t = Task()
    t.repo()
    t.cache = t.dir + "/cache"
    return t


def run(t, setup=SETUP, agent=AGENT, values=None, **more):
    key = None
    bundle = t.out + "/repo.bundle"  # OUT is what a box shares with its host
    shutil.rmtree(t.out)
    os.mkdir(t.out)
    subprocess.run(["git", "bundle", "create", "-q", bundle, "main"], cwd=t.url, check=True)
    if values:  # another file key each time, and another recipient
        key, recipient = keys()
        with open(t.out + "/secrets.age", "wb") as f:
            f.write(seal(json.dumps(values).encode(), recipient))
        more["secrets"] = dict({"sealed": t.out + "/secrets.age"}, **more.get("secrets", {}))
    spec = t.spec(agent, setup, repo={"url": bundle}, cache=dict({"dir": t.cache}, **more.pop("cache", {})),
                  **more)
    plain, t.spec = t.spec, lambda *a, **k: spec
    try:
        p = t.start(options=["--box", make_rootfs()],
                    popen={"stdin": subprocess.PIPE if key else subprocess.DEVNULL})
        out, err = p.communicate(key, timeout=60)
    finally:
        t.spec = plain
    return Result(t.out, p.returncode, out, err)


def outcomes(r):
    return [e["outcome"] for e in r.event("cache")]


@case
def the_second_task_has_the_state_and_runs_no_setup():
    t = task()
    for outcome in (["miss", "saved"], ["restored"]):
        r = run(t).expect(0)
        assert outcomes(r) == outcome, r.err[-900:]
        assert r.answer == "setup\nx\nK=v\n1\n", r.answer


@case
def another_script_is_a_miss_with_its_reason_and_the_first_a_hit():
    t = task()
    run(t).expect(0)
    r = run(t, setup=SETUP + "; true").expect(0)
    assert outcomes(r) == ["miss", "saved"] and r.event("cache")[0]["reason"], r.err[-900:]
    r = run(t).expect(0)
    assert outcomes(r) == ["restored"], r.err[-900:]


@case
def a_hit_checks_out_the_tasks_own_commit_and_runs_maintenance():
    t = task()
    script = {"script": "echo maintained >> /var/ran"}
    run(t, maintenance=script).expect(0)
    t.commit({"package-lock.json": '{"lockfileVersion": 3}'})
    r = run(t, maintenance=script).expect(0)
    assert outcomes(r)[0] == "restored", r.err[-900:]
    assert r.answer.startswith("setup\nmaintained\n") and r.answer.endswith("2\n"), r.answer


@case
def a_failed_maintenance_is_followed_by_setup_once():
    t = task()
    script = {"script": "exit 9"}
    run(t, maintenance=script).expect(0)
    t.commit({"package-lock.json": '{"lockfileVersion": 3}'})
    r = run(t, maintenance=script).expect(0)
    assert r.answer.startswith("setup\nsetup\n"), (r.answer, r.err[-900:])


@case
def a_failed_setup_leaves_nothing_to_find():
    t = task()
    run(t, setup="echo x > /var/ran; exit 3").expect(71)
    r = run(t, setup="echo x > /var/ran; exit 3").expect(71)
    assert outcomes(r) == ["miss"], r.events


@case
def a_cache_that_can_not_be_opened_costs_only_itself():
    t = task()
    os.mkdir(t.cache)
    os.symlink("/etc/passwd", t.cache + "/lock")
    assert run(t).expect(0).answer == "setup\nx\nK=v\n1\n"


A, B = {"TOKEN": "tok-Zq8yXw4vUt2sRr0p", "X": "1"}, {"X": "1", "TOKEN": "tok-other-0123456789"}


@case
def the_same_secrets_are_a_hit_and_others_a_miss():
    t = task()
    setup = SETUP + '; printf %s "$TOKEN" | md5sum > /var/seen'
    run(t, setup, values=A).expect(0)
    again = dict(reversed(A.items()))
    r = run(t, setup, values=again).expect(0)
    assert outcomes(r) == ["restored"] and r.answer == "setup\nx\nK=v\n1\n", r.err[-900:]
    assert not r.event("leak_scan"), "nothing ran, so there is nothing to look for"
    r = run(t, setup, values=B).expect(0)
    assert outcomes(r) == ["miss", "saved"], r.err[-900:]
    found = subprocess.run(["grep", "-rlE", "tok-", t.cache], stdout=subprocess.PIPE).stdout
    assert not found, found


@case
def a_token_that_only_the_proxy_gets_may_change():
    t = task()
    more = {"network": {"agent": "limited", "rules": [{"host": "api.example.test", "inject": {
        "header": "Authorization", "value": "Bearer ${TOKEN}"}}]}}
    run(t, values=A, **more).expect(0)
    assert outcomes(run(t, values=B, **more).expect(0)) == ["restored"]
    assert outcomes(run(t, values=dict(B, X="2"), **more).expect(0))[0] == "miss"


@case
def maintenance_has_the_secrets_and_when_it_fails_setup_has_them_again():
    t = task()
    script = {"script": 'echo "m $TOKEN"; test -e /var/fine || exit 9'}
    setup = SETUP + '; echo "s $TOKEN"'
    run(t, setup, values=A, maintenance=script).expect(0)
    t.commit({"package-lock.json": '{"lockfileVersion": 3}'})
    r = run(t, setup, values=A, maintenance=script).expect(0)
    assert r.file("setup.log").endswith("\ns ***\n") and "m ***\n" in r.file("setup.log"), r.err
    assert r.answer.startswith("setup\nsetup\n") and r.event("leak_scan"), r.err[-900:]
    t = task()
    script["script"] = 'echo "m $TOKEN"'
    run(t, setup, values=A, maintenance=script).expect(0)
    t.commit({"package-lock.json": '{"lockfileVersion": 3}'})
    r = run(t, setup, values=A, maintenance=script).expect(0)
    assert r.file("setup.log").endswith("m ***\n") and r.event("leak_scan"), r.err[-900:]
    script["script"] = 'echo "$TOKEN" > /root/left'
    run(t, setup, values=A, maintenance=script).expect(0)
    t.commit({"package-lock.json": '{"lockfileVersion": 4}'})
    run(t, setup, values=A, maintenance=script).expect(72)


@case
def a_state_in_which_a_secret_was_found_is_not_kept():
    t = task()
    for secrets in ({"on_leak": "warn"}, {"on_leak": "remove"}, {"allow_leak": ["/root/left"]}):
        r = run(t, SETUP + '; echo "$TOKEN" > /root/left', values=A, secrets=secrets).expect(0)
        assert outcomes(r) == ["miss"] and "found a secret" in r.err, (secrets, r.err[-900:])


main()
