"""`airlock report OUT`: a task's results as one page. What the page shows was written by the
agent, so the tests read it as a browser does and look for anything that is not text."""
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser

from lib import AIRLOCK, case, main
from task import Task, put

TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td",
        "span", "pre", "p", "i"}


class Page(HTMLParser):
    """The text, the tags with their attributes, and the text below each h2."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.sections, self.text = [], {"": ""}, ""
        self.title, self.in_title = "", False
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "h2":
            self.title, self.in_title = "", True

    def handle_endtag(self, tag):
        if tag == "h2":
            self.in_title = False
            self.sections[self.title] = ""

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        else:
            self.sections[self.title] = self.sections.get(self.title, "") + data
            self.text += data


def report(*words):
    return subprocess.run([AIRLOCK, "report", *words], capture_output=True, timeout=10)


def page_of(out):
    r = report(out)
    assert r.returncode == 0, r.stderr
    with open(out + "/report.html", encoding="utf-8") as f:
        page = Page(f.read())
    for tag, attributes in page.tags:
        assert tag in TAGS, tag
        assert not [a for a in attributes if a.startswith("on") or a in ("href", "src")], attributes
    return page


def events(t, *lines):
    put(t.out + "/events.ndjson", "".join(json.dumps(line) + "\n" for line in lines))


@case
def a_task_has_its_steps_network_proof_answer_diff_and_logs():
    t = Task()
    t.repo()
    r = t.run(setup="echo from setup", network={"agent": "limited"},
              agent="echo two >> a.txt; curl -s http://evil.test/x >/dev/null; "
                    "echo '# done' >$AIRLOCK_ANSWER").expect(0)
    page = page_of(r.out)
    assert "run the setup script" in page.sections["Timeline"]
    assert "evil.test:80/x" in page.sections["Network"], page.sections["Network"]
    assert "deny not-allowed" in page.sections["Network"]
    assert "ok ipv4-raw" in page.sections["Proof of the seal"]
    assert "agent_end" in page.sections["Other events"]
    assert page.sections["answer.md"].strip() == "# done"
    assert "+two" in page.sections["changes.diff"] and "from setup" in page.sections["setup.log"]
    assert ("span", {"class": "add"}) in page.tags and "netns" in page.text


@case
def what_the_agent_wrote_is_text_and_nothing_else():
    t = Task()
    evil = "<script>alert(1)</script><img src=x onerror=y>&lt;\"'\u202egnp.exe\x1b[31m\0"
    events(t, {"ms": 1, "phase": evil, "event": "step", "name": evil, "ok": True, "took_ms": 1},
           {"ms": 1, "event": "net", "verdict": evil, "name": evil, "path": evil, "command": evil},
           {"ms": 1, "event": "try", "result": evil}, {"event": evil, evil: evil})
    with open(t.out + "/events.ndjson", "ab") as f:
        f.write(b"not json <b>\xff\n{\"event\":\"torn <i>")
    put(t.out + "/result.json", json.dumps({"status": evil, evil: [evil]}))
    for name in ("answer.md", "changes.diff", "setup.log", "agent.log"):
        put(t.out + "/" + name, b"\xff\xfe" + evil.encode() + b"\n+" + evil.encode())
    page = page_of(t.out)
    assert page.text.count("<script>alert(1)</script>") >= 10, page.text
    assert "\u202e" not in page.text and "\x1b" not in page.text and "\0" not in page.text
    assert "U+202E" in page.text and "U+001B" in page.text and "\ufffd" in page.text
    assert page.sections["Other events"].count("not an event") == 2


@case
def links_fifos_and_devices_in_out_are_not_read():
    t = Task()
    secret = t.dir + "/secret"
    put(secret, "hunter2")
    events(t, {"event": "start"})
    os.symlink(secret, t.out + "/answer.md")
    os.mkfifo(t.out + "/changes.diff")
    os.symlink("/dev/zero", t.out + "/setup.log")
    os.mkdir(t.out + "/agent.log")
    os.symlink(secret, t.out + "/report.html")
    page = page_of(t.out)
    assert "hunter2" not in page.text and "answer.md" not in page.sections
    with open(secret) as f:
        assert f.read() == "hunter2", "written through a link"


@case
def a_task_that_was_cut_off_still_has_a_page():
    t = Task()
    events(t, {"ms": 5, "event": "step", "name": "one", "ok": False, "phase": "setup"})
    page = page_of(t.out)
    assert "no result" in page.text and "one" in page.sections["Timeline"]
    put(t.out + "/result.json", '{"status": "done", ')
    assert "no result" in page_of(t.out).text


@case
def long_files_are_cut_and_said_to_be():
    t = Task()
    events(t, {"event": "start"})
    put(t.out + "/setup.log", b"x" * (5 << 20))
    section = page_of(t.out).sections["setup.log"]
    assert section.count("x") == 4 << 20 and "Cut here" in section


@case
def it_goes_where_it_is_told():
    t = Task()
    events(t, {"event": "start"})
    r = report("-o", "-", t.out)
    assert r.returncode == 0 and r.stdout.startswith(b"<!doctype html>")
    assert not os.path.exists(t.out + "/report.html")
    assert report("-o", t.dir + "/page.html", t.out).returncode == 0
    with open(t.dir + "/page.html", "rb") as f:
        assert f.read() == r.stdout
    os.chdir(t.dir)
    assert report("-o", "other.html", t.out).returncode == 0 and os.path.exists("other.html")


@case
def mistakes_get_one_line():
    t = Task()
    rows = [((), 2, b"OUT is missing"), (("-x", t.out), 2, b"unknown option -x"),
            (("-o",), 2, b"-o needs a file"), ((t.out, t.out), 2, b"one OUT"),
            ((t.dir + "/none",), 74, b"No such file"), ((t.out,), 74, b"no task's output")]
    for words, code, line in rows:
        r = report(*words)
        assert r.returncode == code and line in r.stderr, (words, r)
        assert r.stderr.count(b"\n") == 1 and not r.stdout, r
    events(t, {"event": "start"})
    r = report("-o", t.dir + "/none/page.html", t.out)
    assert r.returncode == 74 and b"No such file" in r.stderr, r
    with open("/dev/full", "wb") as full:
        r = subprocess.run([AIRLOCK, "report", "-o", "-", t.out], stdout=full,
                           stderr=subprocess.PIPE, timeout=10)
    assert r.returncode == 74 and b"can't be written" in r.stderr, r
    r = report("--help")
    assert r.returncode == 0 and r.stdout.startswith(b"usage: airlock report")
    shutil.rmtree(t.out)


main()
