#!/bin/bash
# tests/demo/main-job.sh - the main job on a real repository, in a box of airlock's own.
#
# Makes a git repository whose test fails, a task whose setup finds out by itself that npm
# has to install the test's dependency, and an agent that repairs the code and runs the test
# again: a command, or with the argument `loop` the built-in loop, whose model is a script on
# this machine that it reaches through the proxy. Ends with the diff, the answer, the timeline,
# and what the cache did: the state after setup is kept in build/run/cache, so the second run
# has no setup. Exit status 0 only if the repair is in the diff.
set -eu

airlock=$(realpath "${AIRLOCK:-build/release/airlock}")
work=$(realpath -m "$(dirname "$airlock")/../run") # the same each time: it is part of the key
mkdir -p "$work/cache"
find "$work" -mindepth 1 -maxdepth 1 ! -name cache ! -name times.json -exec rm -rf {} +
mkdir "$work/out"
model=
trap '[ -z "$model" ] || kill "$model"' EXIT
repo=$work/app
here=$(dirname "$0")

make_repository() {
        git init -q -b main "$repo"
        cat >"$repo/package.json" <<'JSON'
{
  "name": "app",
  "version": "1.0.0",
  "scripts": { "test": "node --test" },
  "dependencies": { "is-number": "7.0.0" }
}
JSON
        cat >"$repo/package-lock.json" <<'JSON'
{
  "name": "app",
  "version": "1.0.0",
  "lockfileVersion": 3,
  "requires": true,
  "packages": {
    "": { "name": "app", "version": "1.0.0", "dependencies": { "is-number": "7.0.0" } },
    "node_modules/is-number": {
      "version": "7.0.0",
      "integrity": "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng=="
    }
  }
}
JSON
        cat >"$repo/sum.js" <<'JS'
const isNumber = require('is-number');

// Adds up what is a number, and skips the rest.
module.exports = (list) => list.filter(isNumber).reduce((a, b) => a - b, 0);
JS
        cat >"$repo/sum.test.js" <<'JS'
const test = require('node:test');
const assert = require('node:assert');
const sum = require('./sum.js');

test('adds numbers and skips words', () => assert.equal(sum([1, 'two', 3]), 4));
JS
        echo node_modules >"$repo/.gitignore"
        git -C "$repo" add .
        git -C "$repo" -c user.name=demo -c user.email=demo@localhost commit -qm "app: a sum"
}

write_task() { # @1: the lines that say who the agent is
        cat >"$work/task.json" <<JSON
{
  "version": 1,
  "repo": {"url": "$repo", "ref": "main"},
  "env": {"CI": "1"},
  "setup": {"auto": true},
  "cache": {"dir": "$work/cache"},
  "network": {"setup": "full", "agent": "off"},
  $1,
  "output": {"dir": "$work/out"}
}
JSON
}

# What the model will say: look, repair, look again, answer.
start_model() {
        python3 "$here/../e2e/model_server.py" "$work/url" "$here/repair.json" &
        model=$!
        for _ in $(seq 100); do
                [ ! -e "$work/url" ] || return 0
                sleep 0.05
        done
        echo 'the scripted model does not start' >&2
        exit 1
}

write_agent() {
        # The agent: any program. This one knows what it will find.
        cat >"$repo/agent.sh" <<'SH'
npm test >/dev/null 2>&1 && { echo 'nothing to repair' >"$AIRLOCK_ANSWER"; exit 1; }
sed -i 's/a - b/a + b/' sum.js
npm test || exit 1
echo 'sum() subtracted. It adds now, and the test passes.' >"$AIRLOCK_ANSWER"
SH
        git -C "$repo" add .
        git -C "$repo" -c user.name=demo -c user.email=demo@localhost commit -qm "agent"
}

show_timeline() {
        node -e '
const fs = require("fs");
for (const line of fs.readFileSync(process.argv[1], "utf8").trim().split("\n")) {
        const e = JSON.parse(line);
        if (e.event === "step")
                console.log(String(e.ms).padStart(7) + " ms  " + e.phase.padEnd(10) + e.name
                            + (e.ok ? "" : "  FAILED"));
}' "$work/out/events.ndjson"
}

# What the cache did, and how long the whole task took with and without it.
show_cache() {
        node -e '
const fs = require("fs");
const [events, times] = process.argv.slice(1);
const all = fs.readFileSync(events, "utf8").trim().split("\n").map((l) => JSON.parse(l));
const cache = all.filter((e) => e.event === "cache");
const took = all[all.length - 1].ms;
const hit = cache.some((e) => e.outcome === "restored");
let past = {};
try { past = JSON.parse(fs.readFileSync(times, "utf8")); } catch {}
for (const e of cache)
        console.log(e.outcome + (e.reason ? ": " + e.reason : "") + ", " + e.entries + " names, "
                    + (e.bytes / 1e6).toFixed(1) + " MB, " + e.took_ms + " ms");
if (hit && past.miss)
        console.log("this run took " + took + " ms; the one whose setup ran, " + past.miss
                    + " ms: " + (past.miss - took) + " ms saved");
if (!hit)
        console.log("this run took " + took + " ms; the next one finds the state");
past[hit ? "hit" : "miss"] = took;
fs.writeFileSync(times, JSON.stringify(past));
' "$work/out/events.ndjson" "$work/times.json"
}

make_repository
if [ "${1-}" = loop ]; then
        start_model
        write_task '"model": {"base_url": "'"$(cat "$work/url")"'", "name": "scripted"},
  "prompt": "The test fails. Repair it."'
else
        write_task '"agent": {"command": ["bash", "agent.sh"]}'
        write_agent
fi
status=0
"$airlock" run "$work/task.json" || status=$?
[ -e "$work/out/changes.diff" ] || exit $((status ? status : 1))
printf '\n--- changes.diff\n'
cat "$work/out/changes.diff"
printf '\n--- answer.md\n'
cat "$work/out/answer.md"
if [ -s "$work/out/agent.jsonl" ]; then
        printf '\n--- agent.jsonl\n'
        cut -c 1-160 "$work/out/agent.jsonl"
fi
printf '\n--- timeline\n'
show_timeline
printf '\n--- cache\n'
show_cache
grep -q '^+.*a + b' "$work/out/changes.diff" || {
        echo 'the repair is not in the diff' >&2
        exit 1
}
exit "$status"
