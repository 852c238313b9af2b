#!/usr/bin/python3
"""Automatic setup: what a repository's files ask for is installed, in order, timed, with its
reason; lock files stay as they were; what is wrong is said.

The package managers are the real ones: Debian's npm, pip, pipenv and poetry; yarn (classic
and Berry) and pnpm from npm, below build/auto. JavaScript's dependency comes from npm's
registry, Python's is a wheel that the test makes. Of those that only fetch, cargo, go, bundler,
composer, Maven and Gradle are real too, with sources that the test makes; how each is called is
shown with stand-ins.
"""
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import zipfile

import javascript
import lib
from engines import make_rootfs
from lib import AIRLOCK, case, main, skip
from task import Result, Task, git, put

lib.TIMEOUT_S = 120  # Maven and Gradle start a Java machine three times
BIN = javascript.TOOLS + "/bin"
SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEPENDENCY = {"is-number": "7.0.0"}


def need(*programs):
    for name in programs:
        if not shutil.which(name, path=SYSTEM):
            skip("no %s here: make deps-test" % name)
    if os.geteuid():
        skip("needs root for a box over another root")


def need_javascript(*names):
    need("node", "npm")
    if names:
        javascript.fetch()


def package(**more):
    return json.dumps(dict({"name": "app", "version": "1.0.0", "private": True}, **more))


def registry():
    return subprocess.run(["npm", "config", "get", "registry"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, cwd="/", check=True).stdout.decode().strip()


def environment(t, path=BIN + ":" + SYSTEM, **more):
    """The spec's. A login shell has its own idea of PATH, and everybody's registry is npm's."""
    where = registry()
    put(t.dir + "/home/.bash_profile", "PATH='%s'\n" % path)
    return dict({"PATH": path, "HOME": t.dir + "/home", "PIPENV_PYTHON": "/usr/bin/python3",
                 "PIPENV_DONT_USE_PYENV": "1", "PYENV_ROOT": "", "YARN_REGISTRY": where,
                 "npm_config_registry": where, "YARN_NPM_REGISTRY_SERVER": where, "PIP_NO_INDEX": "1",
                 "PIP_FIND_LINKS": t.dir + "/wheels /usr/share/python-wheels"}, **more)


def locked(t, files, command):
    """@files and the lock files that @command, run outside, adds to them."""
    where = t.dir + "/lock"
    shutil.rmtree(where, ignore_errors=True)
    for name, content in files.items():
        put(where + "/" + name, content)
    env = dict(os.environ, **environment(t))
    env.pop("CI", None)  # there lock files are only read
    done = subprocess.run(command, cwd=where, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert not done.returncode, done.stdout.decode()[-800:]
    for name in ("package-lock.json", "yarn.lock", "pnpm-lock.yaml", "Pipfile.lock", "poetry.lock",
                 ".yarnrc.yml", "Cargo.lock", "go.sum", "Gemfile.lock", "composer.lock"):
        if os.path.exists(where + "/" + name):
            with open(where + "/" + name) as f:
                files[name] = f.read()
    return files


def run(t, files, agent="true", setup=None, env=None, code=0):
    t.repo(dict(files))
    return again(t, agent, setup, env).expect(code)


def again(t, agent="true", setup=None, env=None):
    """The task on the repository as it is; setup is the spec's own."""
    spec = t.spec(agent, env=environment(t, **(env or {})))
    if setup:
        spec["setup"] = setup
    t.spec = lambda *a, **k: spec
    try:
        return t.run()
    finally:
        del t.spec


def steps(r):
    """[(command, dir, exit or None)], and each step has its reason and its time."""
    took = {e["step"]: e for e in r.event("auto_step")}
    for e in r.event("auto"):
        assert e["because"], e
        assert e["step"] not in took or took[e["step"]]["took_ms"] >= 0
    return [(e["command"], e["dir"], took.get(e["step"], {}).get("exit")) for e in r.event("auto")]


def notes(r):
    return [e["note"] for e in r.event("auto_note")]


def expect_clean(r):
    assert r.diff == "", "setup is in the agent's difference: " + r.diff[:600]


NODE = "node -p 'require(\"is-number\")(7)'"


# --- JavaScript ---------------------------------------------------------------------------

@case
def npm_with_a_lock_file():
    need_javascript()
    t = Task()
    files = locked(t, {"package.json": package(dependencies=DEPENDENCY)},
                   ["npm", "install", "--package-lock-only", "--no-audit", "--silent"])
    r = run(t, files, agent=NODE)
    assert r.answer == "true\n", r.err[-900:]
    assert steps(r) == [("npm ci --no-audit --no-fund", "", 0)], steps(r)
    assert "1 of 1: npm ci --no-audit --no-fund (package-lock.json)" in r.file("setup.log")
    expect_clean(r)


@case
def npm_without_a_lock_file_writes_none():
    need_javascript()
    t = Task()
    r = run(t, {"package.json": package(dependencies=DEPENDENCY)}, agent=NODE + "; ls")
    assert r.answer == "true\nnode_modules\npackage.json\n", (r.answer, r.err[-900:])
    expect_clean(r)


@case
def yarn_classic():
    need_javascript("yarn")
    t = Task()
    files = locked(t, {"package.json": package(dependencies=DEPENDENCY)},
                   [BIN + "/yarn", "install", "--silent", "--non-interactive"])
    assert "__metadata" not in files["yarn.lock"]
    r = run(t, files, agent=NODE)
    assert r.answer == "true\n", r.err[-900:]
    assert steps(r) == [("yarn install --frozen-lockfile --non-interactive", "", 0)], steps(r)
    expect_clean(r)


@case
def yarn_berry_as_the_repository_brings_it():
    need_javascript("yarn")
    t = Task()
    with open(javascript.BERRY) as f:
        berry = f.read()
    files = locked(t, {"package.json": package(dependencies=DEPENDENCY),
                       ".yarn/releases/yarn.cjs": berry, ".gitignore": ".yarn/cache\n.yarn/*.gz\n",
                       ".yarnrc.yml": "yarnPath: .yarn/releases/yarn.cjs\n"
                                      "nodeLinker: node-modules\nenableGlobalCache: false\n"},
                   ["node", javascript.BERRY, "install"])
    assert "__metadata" in files["yarn.lock"]
    r = run(t, files, agent=NODE)
    assert r.answer == "true\n", r.err[-900:]
    assert steps(r) == [("yarn install --immutable", "", 0)], steps(r)
    expect_clean(r)


@case
def pnpm_installs_a_workspace_once():
    need_javascript("pnpm")
    t = Task()
    files = locked(t, {"package.json": package(), "pnpm-workspace.yaml": "packages:\n  - 'libs/*'\n",
                       "libs/a/package.json": package(name="a", dependencies=DEPENDENCY),
                       "libs/b/package.json": package(name="b", dependencies={"a": "workspace:*"})},
                   [BIN + "/pnpm", "install", "--lockfile-only"])
    r = run(t, files, agent="cd libs/a; %s; cd ../b; node -p 'require(\"a/package.json\").name'" % NODE)
    assert r.answer == "true\na\n", r.err[-900:]
    assert steps(r) == [("pnpm install --frozen-lockfile", "", 0)], steps(r)
    expect_clean(r)


@case
def a_monorepo_without_workspaces_has_a_step_for_each_lock_file():
    need_javascript("pnpm", "yarn")
    t = Task()
    package_json = {"package.json": package(dependencies=DEPENDENCY)}
    files = {}
    for where, command in (("web", ["npm", "install", "--package-lock-only", "--silent"]),
                           ("it's $(touch pwned); \"app\"", [BIN + "/pnpm", "install", "--lockfile-only"])):
        for name, content in locked(t, dict(package_json), command).items():
            files[where + "/" + name] = content
    files["web/fixtures/x/package.json"] = package(dependencies={"no-such-thing-at-all": "1"})
    r = run(t, files, agent="cd web; %s; cd ../it*; %s; cd ..; ls" % (NODE, NODE))
    assert r.answer == "true\ntrue\nit's $(touch pwned); \"app\"\nweb\n", (r.answer, r.err[-900:])
    assert [s[1:] for s in steps(r)] == [("it's $(touch pwned); \"app\"", 0), ("web", 0)], steps(r)
    expect_clean(r)


@case
def a_stale_lock_file_fails_setup_and_says_which_step():
    need_javascript()
    t = Task()
    files = locked(t, {"package.json": package(dependencies=DEPENDENCY)},
                   ["npm", "install", "--package-lock-only", "--silent"])
    files["package.json"] = package(dependencies={"is-number": "6.0.0"})
    r = run(t, files, code=71)
    assert "automatic setup: npm ci --no-audit --no-fund" in r.reason(), r.reason()
    assert steps(r)[0][2] not in (0, None), steps(r)
    r = again(t, "cat package.json", {"on_failure": "continue"}).expect(0)
    assert "6.0.0" in r.answer, r.err[-900:]


@case
def of_two_lock_files_one_is_taken_and_it_is_said():
    need_javascript("yarn")
    t = Task()
    files = locked(t, {"package.json": package(dependencies=DEPENDENCY)},
                   ["npm", "install", "--package-lock-only", "--silent"])
    files["yarn.lock"] = "# not what yarn would accept\n}{\n"
    files["package.json"] = package(dependencies=DEPENDENCY, packageManager="npm@9.2.0")
    r = run(t, files, agent=NODE)
    assert r.answer == "true\n" and steps(r)[0][0].startswith("npm ci"), r.err[-900:]
    assert any("npm is taken, because packageManager says so" in n for n in notes(r)), notes(r)
    with open(t.url + "/yarn.lock") as f:
        assert f.read() == files["yarn.lock"]


# --- Python -------------------------------------------------------------------------------

def wheel(t, name="airdep", version="1.0", value="wheel"):
    """A wheel made here; returns its path."""
    os.makedirs(t.dir + "/wheels", exist_ok=True)
    path = "%s/wheels/%s-%s-py3-none-any.whl" % (t.dir, name, version)
    info = "%s-%s.dist-info/" % (name, version)
    members = {name + ".py": "value = %r\n" % value,
               info + "METADATA": "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version),
               info + "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
                               "Tag: py3-none-any\n"}
    record = "".join("%s,,\n" % m for m in members) + info + "RECORD,,\n"
    with zipfile.ZipFile(path, "w") as z:
        for member, text in dict(members, **{info + "RECORD": record}).items():
            z.writestr(member, text)
    return path


@case
def pip_installs_requirements_where_debian_forbids_it():
    need("python3", "pip3")
    t = Task()
    wheel(t)
    wheel(t, "airtest", value="dev")
    r = run(t, {"requirements.txt": "airdep==1.0\n", "requirements-dev.txt": "airtest\n"},
            agent="python3 -c 'import airdep, airtest; print(airdep.value, airtest.value)'")
    assert r.answer == "wheel dev\n", r.err[-900:]
    assert steps(r) == [("python -m pip install -r requirements.txt -r requirements-dev.txt", "", 0)]
    expect_clean(r)


@case
def pip_installs_the_project_itself_and_its_leftovers_are_no_change():
    need("python3", "pip3")
    t = Task()
    wheel(t)
    files = {"setup.py": "from setuptools import setup\n"
                         "setup(name='own', version='1', packages=['own'], package_dir={'': 'src'},"
                         " install_requires=['airdep'])\n", "src/own/__init__.py": "x = 3\n"}
    r = run(t, files,
            agent="cd /; python3 -c 'import own, airdep; print(own.x)'; ls -d /workspace/app/src/*info")
    assert r.answer.startswith("3\n/workspace/app/src/own.egg-info"), (r.answer, r.err[-900:])
    expect_clean(r)


@case
def several_python_projects_have_their_own_versions():
    need("python3", "pip3")
    t = Task()
    wheel(t, version="1.0", value="one")
    wheel(t, version="2.0", value="two")
    r = run(t, {"requirements.txt": "airdep==1.0\n", "b/requirements.txt": "airdep==2.0\n"},
            agent="for p in python3 b/.venv/bin/python; do $p -c 'import airdep; print(airdep.value)';"
                  "done")
    assert r.answer == "one\ntwo\n", r.err[-900:]
    assert any("2 Python projects" in n for n in notes(r)), notes(r)
    expect_clean(r)


@case
def pipenv_with_a_lock_file():
    need("pipenv")
    t = Task()
    path = wheel(t)
    with open(path, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    source = [{"name": "here", "url": "https://localhost/simple", "verify_ssl": True}]
    pipfile = '[[source]]\nname = "here"\nurl = "https://localhost/simple"\nverify_ssl = true\n\n' \
              '[packages]\nairdep = "==1.0"\n'
    lock = {"_meta": {"hash": {"sha256": "0" * 64}, "pipfile-spec": 6, "requires": {},
                      "sources": source},
            "default": {"airdep": {"hashes": ["sha256:" + digest], "index": "here",
                                   "version": "==1.0"}}, "develop": {}}
    r = run(t, {"Pipfile": pipfile, "Pipfile.lock": json.dumps(lock, indent=4) + "\n"},
            agent="pipenv run python -c 'import airdep; print(airdep.value)'")
    assert "wheel" in r.answer, (r.answer, r.err[-1500:])
    assert steps(r) == [("pipenv sync --dev", "", 0)], steps(r)
    expect_clean(r)


@case
def poetry_without_a_lock_file_leaves_none():
    need("poetry")
    t = Task()
    path = wheel(t)
    pyproject = '[tool.poetry]\nname = "own"\nversion = "1"\ndescription = ""\nauthors = []\n' \
                '[tool.poetry.dependencies]\npython = "^3.9"\nairdep = {path = "%s"}\n' \
                '[build-system]\nrequires = ["poetry-core"]\n' \
                'build-backend = "poetry.core.masonry.api"\n' % path
    r = run(t, {"pyproject.toml": pyproject, "own.py": "x = 1\n"},
            agent="poetry run python -c 'import airdep, own; print(airdep.value)'; ls")
    assert r.answer == "wheel\nown.py\npyproject.toml\n", (r.answer, r.err[-1500:])
    assert steps(r) == [("poetry install --no-interaction", "", 0)], steps(r)
    expect_clean(r)


# --- what is only fetched, and what is not there --------------------------------------------

@case
def cargo_has_its_crates_when_the_network_is_gone():
    need("cargo", "rustc")
    t = Task()
    crate = t.dir + "/airdep"
    put(crate + "/Cargo.toml", '[package]\nname = "airdep"\nversion = "1.0.0"\n')
    put(crate + "/src/lib.rs", "pub fn value() -> i32 { 7 }\n")
    git(crate, "init", "-q", "-b", "main")
    git(crate, "add", "-A")
    git(crate, "commit", "-q", "-m", "one")
    files = locked(t, {"Cargo.toml": '[package]\nname = "app"\nversion = "1.0.0"\n[dependencies]\n'
                                     'airdep = {git = "file://%s"}\n' % crate,
                       "src/main.rs": "fn main() { println!(\"{}\", airdep::value()); }\n",
                       ".gitignore": "target\n"}, ["cargo", "generate-lockfile"])
    assert "airdep" in files["Cargo.lock"]
    shutil.rmtree(t.dir + "/home/.cargo")
    r = run(t, files, agent="rm -r %s; cargo run -q --offline --locked" % crate)
    assert r.answer == "7\n", (r.answer, r.err[-900:])
    assert steps(r) == [("cargo fetch --locked", "", 0)], steps(r)
    expect_clean(r)


@case
def go_has_its_modules_when_the_network_is_gone():
    need("go")
    t = Task()
    at, name = t.dir + "/proxy/example.test/dep/@v/", "example.test/dep@v1.0.0/"
    put(at + "list", "v1.0.0\n")
    put(at + "v1.0.0.info", '{"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}')
    put(at + "v1.0.0.mod", "module example.test/dep\n")
    with zipfile.ZipFile(at + "v1.0.0.zip", "w") as z:
        z.writestr(name + "go.mod", "module example.test/dep\n")
        z.writestr(name + "dep.go", "package dep\n\nconst V = 7\n")
    env = {"GOPROXY": "file://%s/proxy" % t.dir, "GOSUMDB": "off", "GOFLAGS": "-modcacherw"}
    files = locked(t, {"go.mod": "module app\n\ngo 1.19\n\nrequire example.test/dep v1.0.0\n",
                       "main.go": 'package main\n\nimport "example.test/dep"\n\nfunc main() { println(dep.V) }\n'},
                   ["env", *("%s=%s" % v for v in env.items()), "go", "mod", "tidy"])
    assert "example.test/dep" in files["go.sum"]
    shutil.rmtree(t.dir + "/home/go")
    ask = "rm -r %s/proxy; go mod verify; go list -f '{{.GoFiles}}' example.test/dep" % t.dir
    r = run(t, files, agent=ask, env=env)
    assert r.answer == "all modules verified\n[dep.go]\n", (r.answer, r.err[-900:])
    assert steps(r) == [("go mod download", "", 0)], steps(r)
    expect_clean(r)



def gem_source(t):
    """A folder that is a source of gems, with one gem in it."""
    put(t.dir + "/gem/lib/airdep.rb", "module Airdep\n  V = 7\nend\n")
    put(t.dir + "/gem/airdep.gemspec", """Gem::Specification.new do |s|
  s.name, s.version, s.summary, s.authors = "airdep", "1.0.0", "one", ["us"]
  s.files = ["lib/airdep.rb"]
end
""")
    os.makedirs(t.dir + "/gems/gems")
    for argv, at in ((["gem", "build", "-q", "-o", "../gems/gems/airdep-1.0.0.gem", "airdep.gemspec"], "/gem"),
                     (["gem", "generate_index", "-q", "-d", "."], "/gems")):
        done = subprocess.run(argv, cwd=t.dir + at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert not done.returncode, done.stdout.decode()
    return "source 'file://%s/gems'\ngem 'airdep'\n" % t.dir


USE_GEM = "rm -r %s/gems; bundle exec ruby -e 'require \"airdep\"; puts Airdep::V'"


@case
def bundler_has_its_gems_when_the_network_is_gone():
    need("bundle", "gem")
    t = Task()
    files = locked(t, {"Gemfile": gem_source(t)}, ["bundle", "lock"])
    assert "airdep (1.0.0)" in files["Gemfile.lock"]
    r = run(t, files, agent=USE_GEM % t.dir)
    assert r.answer == "7\n", (r.answer, r.err[-900:])
    assert steps(r) == [("bundle install", "", 0)], steps(r)
    expect_clean(r)


@case
def bundler_without_a_lock_file_leaves_none():
    need("bundle", "gem")
    t = Task()
    r = run(t, {"Gemfile": gem_source(t)}, agent="ls; " + USE_GEM % t.dir + "; rm -f Gemfile.lock")
    assert r.answer == "Gemfile\n7\n", (r.answer, r.err[-900:])
    assert steps(r) == [("bundle install", "", 0)], steps(r)
    expect_clean(r)


def by_hand(t, files, uid=0):
    """The script of automatic setup, as the setup session runs it; and what runs a command beside it."""
    for name, content in files.items():
        put(t.dir + "/app/" + name, content)
    for name in ("/state", "/own-home"):
        os.makedirs(t.dir + name, exist_ok=True)
    script = subprocess.run([os.path.dirname(AIRLOCK) + "/airlock-auto", "plan", "2", "0"],
                            cwd=t.dir + "/app", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            check=True).stdout.decode()
    os.chmod(t.dir, 0o755)
    for name in ("/app", "/state", "/own-home"):
        subprocess.run(["chown", "-R", str(uid), t.dir + name], check=True)

    def run_as(command, script=None):
        return subprocess.run(["bash", *(("-c", command) if command else ())], input=script, text=True,
                              user=uid, group=uid, extra_groups=[], cwd=t.dir + "/app", timeout=100,
                              env={"PATH": SYSTEM, "HOME": t.dir + "/own-home", "AIRLOCK_STATE": t.dir + "/state",
                                   "JAVA_TOOL_OPTIONS": "-Duser.home=%s/own-home" % t.dir},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    said = run_as(None, script)
    assert "airlock: automatic setup: 1 of 1: done in " in said, said
    return run_as


@case
def bundler_has_a_place_for_an_ordinary_user():
    need("bundle", "gem")
    t = Task()
    use = by_hand(t, {"Gemfile": gem_source(t)}, uid=1234)(USE_GEM % "/nowhere")
    assert use.endswith("7\n"), use


@case
def composer_has_its_packages_when_the_network_is_gone():
    need("composer", "php")
    for lock in (True, False):
        t = Task()
        put(t.dir + "/dep/composer.json", json.dumps({
            "name": "air/dep", "version": "1.0.0", "autoload": {"psr-4": {"Air\\": ""}}}))
        put(t.dir + "/dep/Dep.php", "<?php\nnamespace Air;\nclass Dep { const V = 7; }\n")
        files = {"composer.json": json.dumps({
            "require": {"air/dep": "1.0.0"},
            "repositories": [{"packagist": False}, {"type": "path", "url": t.dir + "/dep",
                                                        "options": {"symlink": False}}]})}
        if lock:
            files = locked(t, files, ["composer", "update", "--no-interaction", "--no-install"])
            assert "air/dep" in files["composer.lock"]
        use = "rm -r %s/dep; php -r 'require \"vendor/autoload.php\"; echo Air\\Dep::V;'" % t.dir
        r = run(t, dict(files), agent="ls composer.*; " + use)
        assert r.answer == "\n".join(sorted(files)) + "\n7", (lock, r.answer, r.err[-900:])
        assert steps(r) == [("composer install --no-interaction --no-progress", "", 0)], steps(r)
        expect_clean(r)


POM = "<project><modelVersion>4.0.0</modelVersion><groupId>%s</groupId><artifactId>%s</artifactId>" \
      "<version>%s</version>%s</project>"
JARS = "/usr/share/maven-repo"  # Debian's: what its own packages are built from


def in_repository(t, group, name, version="1"):
    at = "%s/jars/%s/%s/%s/%s-%s" % (t.dir, group.replace(".", "/"), name, version, name, version)
    put(at + ".pom", POM % (group, name, version, ""))
    with zipfile.ZipFile(at + ".jar", "w") as z:
        z.writestr("value.txt", "7")


@case
def maven_has_its_jars_when_the_network_is_gone():
    need("mvn")
    plugin = JARS + "/org/apache/maven/plugins/maven-dependency-plugin"
    if not os.path.exists(plugin) or not os.path.exists(JARS + "/junit/junit/4.x"):
        skip("no libmaven-dependency-plugin-java and junit4 here: make deps-test")
    t = Task()
    in_repository(t, "air", "dep", "1.0.0")
    others = ("clean", "install", "deploy", "site")  # wanted, and not run
    for name in others:
        in_repository(t, "org.apache.maven.plugins", "maven-%s-plugin" % name)
    version = max(v for v in os.listdir(plugin) if os.path.exists(
        "%s/%s/maven-dependency-plugin-%s.jar" % (plugin, v, v)))
    put(t.dir + "/own-home/.m2/settings.xml",
        "<settings><mirrors><mirror><id>all</id><mirrorOf>central</mirrorOf><url>file://%s</url></mirror>"
        "</mirrors></settings>" % JARS)
    where = "<id>ours</id><url>file://%s/jars</url>" % t.dir
    named = "<plugin><artifactId>maven-%s-plugin</artifactId><version>%s</version></plugin>"
    top = "<packaging>pom</packaging><modules><module>a</module><module>b</module></modules>" \
          "<repositories><repository>%s</repository></repositories><pluginRepositories><pluginRepository>%s" \
          "</pluginRepository></pluginRepositories><build><pluginManagement><plugins>%s</plugins>" \
          "</pluginManagement></build>" % (where, where, named % ("dependency", version)
                                           + "".join(named % (n, 1) for n in others))
    module = "<parent><groupId>air</groupId><artifactId>top</artifactId><version>1</version></parent>" \
             "<packaging>pom</packaging>%s"
    needs = "<dependency><groupId>air</groupId><artifactId>%s</artifactId><version>%s</version>%s</dependency>"
    both = needs % ("dep", "1.0.0", "") + needs % ("a", "1", "<type>pom</type>")
    files = {"pom.xml": POM % ("air", "top", "1", top), "a/pom.xml": POM % ("air", "a", "1", module % ""),
             "b/pom.xml": POM % ("air", "b", "1", module % ("<dependencies>%s</dependencies>" % both))}
    beside = by_hand(t, files)
    path = beside("rm -r ../jars; mvn -B -q -o dependency:build-classpath -Dmdep.outputFile=/dev/stdout -pl b,a")
    assert "air/dep/1.0.0/dep-1.0.0.jar" in path, path


@case
def gradle_has_its_jars_when_the_network_is_gone():
    need("gradle")
    t = Task()
    in_repository(t, "air", "dep", "1.0.0")
    folder = functools.partial(http.server.SimpleHTTPRequestHandler, directory=t.dir + "/jars")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), folder)
    folder.func.log_message = lambda *a: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    beside = by_hand(t, {"build.gradle": """apply plugin: 'java'
repositories { maven { url 'http://127.0.0.1:%d' } }
dependencies { compile 'air:dep:1.0.0' }
task show { doLast { println configurations.compileClasspath.files } }
""" % server.server_port})
    server.shutdown()
    server.server_close()
    files = beside("gradle --no-daemon -q --offline show")
    assert "/dep-1.0.0.jar]" in files, files


STANDIN = "#!/bin/sh\necho \"$(basename \"$0\") $* in $PWD\" >>/var/called\n%s"
FETCHED = {
    "rust/Cargo.toml": "", "rust/Cargo.lock": "kept\n", "golang/go.mod": "module x\n",
    "ruby/Gemfile": "", "ruby/Gemfile.lock": "kept\n", "php/composer.json": "{}",
    "java/pom.xml": "<project/>", "gradle/build.gradle": "", "py/uv.lock": "",
    "py/pyproject.toml": "[project]\n",
}


@case
def what_is_only_fetched_fails_nothing_and_lock_files_stand():
    need("bash")
    t = Task()
    for name in ("cargo", "go", "bundle", "composer", "mvn", "gradle", "uv"):
        put(t.dir + "/bin/" + name, STANDIN % "echo changed >Cargo.lock; echo >>go.mod; exit 3\n")
        os.chmod(t.dir + "/bin/" + name, 0o755)
    r = run(t, FETCHED, agent="cat /var/called; cat rust/Cargo.lock; git status --short; ls golang",
            env={"path": t.dir + "/bin:" + SYSTEM})
    called = re.sub("-I /[^ ]*/fetch", "-I fetch", r.answer.split("kept\n")[0]).splitlines()
    assert called == ["%s in /workspace/app/%s" % c for c in (
        ("go mod download", "golang"), ("gradle --no-daemon -q -I fetch.gradle help", "gradle"),
        ("mvn -B -q dependency:go-offline", "java"),
        ("composer install --no-interaction --no-progress", "php"), ("uv sync --frozen", "py"),
        ("bundle install", "ruby"), ("cargo fetch --locked", "rust"))], called
    assert [s[2] for s in steps(r)] == [3] * 7, steps(r)
    assert "module x" in git(t.url, "show", "HEAD:golang/go.mod")
    assert " M golang" not in r.answer and " M rust" not in r.answer, r.answer


@case
def a_tool_that_the_image_lacks_is_said_and_left_out():
    need("bash")
    t = Task()
    for name in ("git", "rm", "mkdir", "cp", "cmp", "bash"):
        os.makedirs(t.dir + "/bin", exist_ok=True)
        os.symlink(shutil.which(name, path=SYSTEM), t.dir + "/bin/" + name)
    r = run(t, {"Gemfile": "", "package.json": "{}"}, env={"path": t.dir + "/bin"}, agent=":")
    assert [e.get("missing") for e in r.event("auto_step")] == [True, True], r.events
    for tool in ("npm", "bundle"):
        assert "left out: there is no %s in this image" % tool in r.file("setup.log")


NPM = """#!/bin/sh
[ "$1 $2" = "ci --no-audit" ] || exit 9
mkdir -p node_modules && cp package-lock.json node_modules/installed && echo >>/var/called
"""


@case
def with_a_cache_it_runs_once_and_again_when_a_lock_file_changes():
    need("bash")
    t = Task()
    root = t.dir + "/root"
    subprocess.run(["cp", "-a", make_rootfs(), root], check=True)
    put(root + "/usr/bin/npm", NPM)
    os.chmod(root + "/usr/bin/npm", 0o755)
    t.repo({"package.json": "{}", "package-lock.json": "one"})

    def go():
        bundle = t.out + "/repo.bundle"
        git(t.url, "bundle", "create", "-q", bundle, "main")
        spec = t.write_spec(t.spec("cat node_modules/installed; wc -l </var/called",
                                   repo={"url": bundle}, cache={"dir": t.dir + "/cache"}))
        done = subprocess.run([AIRLOCK, "run", "--box", root, spec], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        r = Result(t.out, done.returncode, done.stdout, done.stderr).expect(0)
        return r, [e["outcome"] for e in r.event("cache")], len(r.event("auto_step"))
    r, outcomes, ran = go()
    assert (r.answer, outcomes, ran) == ("one1\n", ["miss", "saved"], 1), (r.answer, r.err[-900:])
    r, outcomes, ran = go()
    assert (r.answer, outcomes, ran) == ("one1\n", ["restored"], 0), (r.answer, r.err[-900:])
    t.commit({"package-lock.json": "two"})
    r, outcomes, ran = go()
    assert (r.answer, outcomes, ran) == ("two2\n", ["restored"], 1), (r.answer, r.err[-900:])
    expect_clean(r)
    t.commit({"Cargo.toml": ""})
    assert go()[1][0] == "miss", "another step is another state"


# --- when it runs, and what a person is shown ------------------------------------------------

@case
def a_script_of_ones_own_replaces_it_unless_both_are_asked_for():
    need_javascript()
    t = Task()
    files = {"package.json": package(dependencies=DEPENDENCY)}
    r = run(t, files, agent="ls", setup={"script": "touch own"})
    assert "node_modules" not in r.answer and not steps(r), r.answer
    r = again(t, "ls", {"auto": True, "script": "ls; touch own"}).expect(0)
    assert "node_modules" in r.answer and "own" in r.answer and steps(r), r.err[-900:]
    assert "node_modules" in r.file("setup.log").split("done in")[1], "the script ran first"
    r = again(t, "ls", {"auto": False}).expect(0)
    assert "node_modules" not in r.answer and not steps(r), r.answer


@case
def the_repository_itself_may_switch_it_off():
    need_javascript()
    t = Task()
    r = run(t, {"package.json": package(dependencies=DEPENDENCY),
                ".airlock.json": '{"version": 1, "setup": {"auto": false}}'}, agent="ls")
    assert "node_modules" not in r.answer and not steps(r), r.answer


@case
def what_a_step_says_of_itself_is_numbers_alone():
    need_javascript()
    t = Task()
    line = "echo '1 2 0 ,\\\"x\\\":1' > $AIRLOCK_STATE/auto.steps; echo '99 1 1' >> $AIRLOCK_STATE/auto.steps"
    r = run(t, {"package.json": package(scripts={"postinstall": line})}, setup={"auto": True})
    assert not r.event("auto_step"), r.event("auto_step")


@case
def links_and_odd_files_are_no_way_out_of_the_work_tree():
    need_javascript()
    t = Task()
    files = {"package.json": ("/etc/passwd",), "web": ("/",), "yarn.lock/x": "", "deep/package.json/y": "",
             "requirements.txt": ("/proc/self/mem",), ".nvmrc": "$(id)\n"}
    r = run(t, files, agent="true", setup={"on_failure": "continue"})
    assert all(s[1] == "" for s in steps(r)), steps(r)
    assert not notes(r), notes(r)


@case
def check_shows_what_it_would_run():
    need("bash")
    t = Task()
    t.repo({"web/package.json": package(), "web/yarn.lock": "", "web/package-lock.json": "{}"})
    spec = t.write_spec(t.spec("true"))
    for words in ([], ["--repo", t.url]):
        out = subprocess.run([AIRLOCK, "check", *words, spec], stdout=subprocess.PIPE, timeout=20,
                             check=True).stdout.decode()
        assert "1. yarn install --frozen-lockfile --non-interactive in web (yarn.lock)" in out, out
        assert "several lock files: yarn is taken" in out, out
    far = t.write_spec(t.spec("true", repo={"url": "https://git.example/app.git"}))
    out = subprocess.run([AIRLOCK, "check", far], stdout=subprocess.PIPE, timeout=20).stdout.decode()
    assert "--repo DIR" in out, out
    none = t.write_spec(t.spec("true", setup="true"))
    out = subprocess.run([AIRLOCK, "check", none], stdout=subprocess.PIPE, timeout=20).stdout.decode()
    assert "yarn" not in out, out


main()
