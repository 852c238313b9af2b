/* init/auto_script.c - a plan as a bash script; init/setup.c sources it in a subshell. */
#include "init/auto.h"

#include <string.h>

/*
 * airlock_step N TOTAL KIND DIR WHY KEEP COMMAND…
 *
 * The files named by KEEP are afterwards as they were before: a tool that would write a lock
 * file must not put it into the agent's difference. For the same reason a directory that a
 * step made, and that no .gitignore names, gets one of its own.
 */
static const char functions[] =
        "export COREPACK_ENABLE_AUTO_PIN=0 COREPACK_ENABLE_DOWNLOAD_PROMPT=0\n"
        "export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore\n"
        "export PIP_BREAK_SYSTEM_PACKAGES=1 # the box is thrown away\n"
        "export POETRY_NO_INTERACTION=1 PIPENV_YES=1 PIPENV_NOSPIN=1\n"
        "export YARN_ENABLE_TELEMETRY=0 COMPOSER_ALLOW_SUPERUSER=1\n"
        "export npm_config_update_notifier=false\n"
        "command -v python >/dev/null || python() { python3 \"$@\"; }\n"
        "airlock_say() { printf 'airlock: automatic setup: %s\\n' \"$*\"; }\n"
        "airlock_ms() { local t=${EPOCHREALTIME:-$SECONDS.000000}; ms=$((10#${t/[.,]/} / 1000)); }\n"
        /* An interpreter for one project alone. */
        "venv-pip() {\n"
        "        python -m venv .venv && ./.venv/bin/python -m pip \"$@\"\n"
        "}\n"
        /* Its own task "dependencies" fetches what describes the jars, and no jar. */
        "gradle-fetch() {\n"
        "        printf '%s\\n' 'gradle.projectsEvaluated { it.rootProject.allprojects { p ->' \\\n"
        "                'p.configurations.findAll { it.canBeResolved }.each { c ->' \\\n"
        "                'def a = c.incoming.artifactView { it.lenient(true) }.artifacts' \\\n"
        "                'a.artifactFiles.files' \\\n"
        "                'a.failures.each { println c.name + \": \" + it.message } } } }' \\\n"
        "                >\"$AIRLOCK_STATE/fetch.gradle\"\n"
        "        \"$@\" --no-daemon -q -I \"$AIRLOCK_STATE/fetch.gradle\" help\n"
        "}\n"
        "airlock_get() { # one of Python's tools, where there is none\n"
        "        command -v \"$1\" >/dev/null && return\n"
        "        airlock_say \"$1 is not in this image: installing it\"\n"
        "        if command -v pipx >/dev/null; then\n"
        "                pipx install \"$1\"\n"
        "        else\n"
        "                python -m pip install -q \"$1\"\n"
        "        fi\n"
        "        PATH=$PATH:$HOME/.local/bin\n"
        "        command -v \"$1\" >/dev/null\n"
        "}\n"
        "airlock_has() { # KIND TOOL\n"
        "        case $2 in\n"
        "        python | venv-pip) python -m pip --version >/dev/null 2>&1 ;;\n"
        /* Else it stops at the system's gems: in the home directory the agent finds them, too. */
        "        bundle)\n"
        "                command -v bundle >/dev/null || return\n"
        "                [[ $EUID = 0 || $BUNDLE_PATH || -w $(gem environment gemdir) ]] ||\n"
        "                        bundle config set --global path \"$HOME/.bundle/gems\" ;;\n"
        "        gradle-fetch) [ -e \"./$dir/gradlew\" ] || command -v gradle >/dev/null ;;\n"
        "        poetry | pipenv) airlock_get \"$2\" ;;\n"
        "        yarn | pnpm)\n"
        "                if command -v corepack >/dev/null &&\n"
        "                        { [ \"$1\" = pinned ] || ! command -v \"$2\" >/dev/null; }; then\n"
        "                        corepack enable \"$2\"\n"
        "                fi\n"
        "                [ \"$2\" = yarn ] || export npm_config_confirm_modules_purge=false\n"
        "                command -v \"$2\" >/dev/null ;;\n"
        "        *) command -v \"$2\" >/dev/null ;;\n"
        "        esac\n"
        "}\n"
        "airlock_keep() {\n"
        "        local f\n"
        "        rm -rf \"$AIRLOCK_STATE/auto.kept\"\n"
        "        mkdir -m 700 \"$AIRLOCK_STATE/auto.kept\"\n"
        "        for f; do\n"
        "                [ ! -f \"$f\" ] || cp -p \"$f\" \"$AIRLOCK_STATE/auto.kept/$f\"\n"
        "        done\n"
        "}\n"
        "airlock_put_back() {\n"
        "        local f kept=$AIRLOCK_STATE/auto.kept\n"
        "        for f; do\n"
        "                if [ ! -f \"$kept/$f\" ]; then\n"
        "                        [ ! -f \"$f\" ] || rm -f \"$f\"\n"
        "                elif ! cmp -s \"$kept/$f\" \"$f\"; then\n"
        "                        cp -p \"$kept/$f\" \"$f\"\n"
        "                        airlock_say \"$f was changed, and is put back\"\n"
        "                fi\n"
        "        done\n"
        "        rm -rf \"$kept\"\n"
        "}\n"
        "airlock_new() { git ls-files -o -z --exclude-standard --directory 2>/dev/null; }\n"
        "airlock_ignore() { # the directories that are new since the first step\n"
        "        local f\n"
        "        while IFS= read -r -d '' f; do\n"
        "                case $f in */) ;; *) continue ;; esac\n"
        "                [[ ${airlock_before[$f]} || -e $f.gitignore ]] || echo '*' >\"$f.gitignore\"\n"
        "        done < <(airlock_new)\n"
        "}\n"
        "airlock_step() {\n"
        "        local n=$1 total=$2 kind=$3 dir=$4 why=$5 keep=$6 start ms took status where=\n"
        "        shift 6\n"
        "        [ -z \"$dir\" ] || printf -v where ' in %q' \"$dir\"\n"
        "        airlock_say \"$n of $total: $*$where ($why)\"\n"
        "        airlock_ms; start=$ms\n"
        "        if airlock_has \"$kind\" \"$1\"; then\n"
        "                (\n"
        "                        cd \"./$dir\" || exit\n"
        "                        airlock_keep $keep\n"
        "                        ( \"$@\" ) </dev/null\n"
        "                        status=$?\n"
        "                        airlock_put_back $keep\n"
        "                        exit $status\n"
        "                )\n"
        "                status=$?\n"
        "        else\n"
        "                status=256\n"
        "        fi\n"
        "        airlock_ms; took=$((ms - start))\n"
        "        printf '%s %s %s\\n' \"$n\" \"$took\" \"$status\" >>\"$AIRLOCK_STATE/auto.steps\"\n"
        "        case $status in\n"
        "        0) airlock_say \"$n of $total: done in $took ms\" ;;\n"
        "        256) airlock_say \"$n of $total: left out: there is no ${1%-fetch} in this image\" ;;\n"
        "        *)\n"
        "                airlock_say \"$n of $total: exit $status after $took ms: $*$where\"\n"
        "                [ \"$kind\" != fetch ] || return 0\n"
        "                printf '0 automatic setup: %s%s\\n' \"$*\" \"$where\" \\\n"
        "                        >\"$AIRLOCK_STATE/setup.line\"\n"
        "                airlock_ignore\n"
        "                exit $status ;;\n"
        "        esac\n"
        "}\n"
        "declare -A airlock_before\n"
        "while IFS= read -r -d '' f; do airlock_before[$f]=1; done < <(airlock_new)\n";

/* One word of bash, whatever is in it. */
static void put_quoted(struct wr *w, const char *text)
{
        wr_char(w, '\'');
        for (; *text; text++) {
                if (*text == '\'')
                        wr_str(w, "'\\''");
                else
                        wr_char(w, *text);
        }
        wr_char(w, '\'');
}

void auto_script(struct wr *w, const struct auto_plan *p)
{
        static const char kinds[][8] = { "install", "pinned", "fetch" };

        wr_str(w, functions);
        for (size_t i = 0; i < p->count; i++) {
                const struct auto_step *s = &p->steps[i];

                wr_fmt(w, "airlock_step %zu %zu %s ", i + 1, p->count, kinds[s->kind]);
                put_quoted(w, s->dir);
                wr_char(w, ' ');
                put_quoted(w, s->why);
                wr_char(w, ' ');
                put_quoted(w, s->keep);
                wr_fmt(w, " %s\n", s->command);
        }
        wr_str(w, "airlock_ignore\n");
}
