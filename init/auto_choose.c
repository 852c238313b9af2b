/* init/auto_choose.c - one directory's files in, its steps out; each decision has a reason. */
#include "init/auto.h"

#include <string.h>

#define SHALLOW 2U /* levels below the work tree where no lock file is needed */

/* What a directory looks like to each of the choices below. */
struct site {
        struct auto_plan *p;
        const struct auto_dir *d;
        const char *path;
        unsigned depth;
        const struct auto_above *above;
};

static PRINTF_LIKE(2, 3) void note(const struct site *s, const char *fmt, ...)
{
        struct wr *w = &s->p->notes;
        va_list ap;

        if (*s->path) {
                wr_plain(w, s->path, strlen(s->path));
                wr_str(w, ": ");
        }
        va_start(ap, fmt);
        wr_vfmt(w, fmt, ap);
        va_end(ap);
        wr_char(w, '\n');
}

static void set(char *out, size_t cap, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static void set(char *out, size_t cap, const char *fmt, va_list ap)
{
        struct wr w = wr_of(out, cap - 1);

        wr_vfmt(&w, fmt, ap);
        wr_cstr(&w);
}

static PRINTF_LIKE(2, 3) void because(struct auto_step *step, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        set(step->why, sizeof(step->why), fmt, ap);
        va_end(ap);
}

/* A new step with its command, or NULL: there is no room. */
static PRINTF_LIKE(4, 5) struct auto_step *add(const struct site *s, enum auto_kind kind,
                                               const char *keep, const char *fmt, ...)
{
        struct auto_plan *p = s->p;
        struct auto_step *step = &p->steps[p->count];
        size_t len = strlen(s->path);
        va_list ap;

        if (p->count == AUTO_STEPS || len >= sizeof(step->dir)) {
                if (!p->full)
                        note(s, "over %d steps: this and what comes behind it is left out",
                             AUTO_STEPS);
                p->full = true;
                return NULL;
        }
        p->count++;
        *step = (struct auto_step){ .kind = kind, .keep = keep };
        memcpy(step->dir, s->path, len + 1);
        va_start(ap, fmt);
        set(step->command, sizeof(step->command), fmt, ap);
        va_end(ap);
        return step;
}

/* The nearest directory above that has a step for @l. */
static const struct auto_above *owner(const struct site *s, enum auto_language l)
{
        const struct auto_above *a = s->above;

        while (a && !(a->languages & BIT(l)))
                a = a->up;
        return a;
}

/* Its own lock file makes a directory a project; without one, being near the top does. */
static bool is_project(const struct site *s, enum auto_language l, bool has_lock)
{
        return has_lock || (!owner(s, l) && s->depth <= SHALLOW);
}

/* --- JavaScript ------------------------------------------------------------------------- */

static const char js_keep[] = "package.json package-lock.json npm-shrinkwrap.json yarn.lock "
                              "pnpm-lock.yaml";

static bool is_member(const struct site *s)
{
        for (const struct auto_above *a = s->above; a; a = a->up)
                if ((a->languages & BIT(JAVASCRIPT)) &&
                    auto_dir_has_member(a->dir, s->path + a->path_len))
                        return true;
        return false;
}

static bool is_below_pnpm_workspace(const struct site *s)
{
        for (const struct auto_above *a = s->above; a; a = a->up)
                if (AUTO_HAS(a->dir, FILE_PNPM_WORKSPACE))
                        return true;
        return false;
}

static const char *js_command(const struct site *s, enum auto_manager m, bool lock)
{
        const struct auto_dir *d = s->d;

        switch (m) {
        case MANAGER_PNPM:
                return lock ? "pnpm install --frozen-lockfile" : "pnpm install --no-lockfile";
        case MANAGER_YARN:
                if (d->berry || AUTO_HAS(d, FILE_YARNRC_YML) ||
                    (d->manager == MANAGER_YARN && d->manager_modern))
                        return lock ? "yarn install --immutable" : "yarn install --no-immutable";
                return lock ? "yarn install --frozen-lockfile --non-interactive"
                            : "yarn install --no-lockfile --non-interactive";
        case MANAGER_NPM:
        case MANAGER_NONE:
        case MANAGER_OTHER:
                break;
        }
        return lock ? "npm ci --no-audit --no-fund"
                    : "npm install --no-package-lock --no-audit --no-fund";
}

static bool choose_javascript(const struct site *s)
{
        static const char *const managers[] = { "", "npm", "yarn", "pnpm" };
        const struct auto_dir *d = s->d;
        enum auto_file npm_lock = AUTO_HAS(d, FILE_SHRINKWRAP) ? FILE_SHRINKWRAP : FILE_NPM_LOCK;
        const enum auto_file locks[] = { FILE_COUNT, npm_lock, FILE_YARN_LOCK, FILE_PNPM_LOCK };
        bool pnpm = AUTO_HAS(d, FILE_PNPM_LOCK), yarn = AUTO_HAS(d, FILE_YARN_LOCK);
        bool npm = AUTO_HAS(d, npm_lock), lock;
        bool bun = AUTO_HAS(d, FILE_BUN_LOCK) || AUTO_HAS(d, FILE_BUN_LOCKB);
        bool any = pnpm || yarn || npm;
        enum auto_manager m = d->manager ? d->manager : pnpm ? MANAGER_PNPM
                              : yarn ? MANAGER_YARN : MANAGER_NPM;
        struct auto_step *step;

        if (!AUTO_HAS(d, FILE_PACKAGE_JSON))
                return false;
        if (is_member(s)) {
                if (any)
                        note(s, "its lock file is left alone: it belongs to a workspace above");
                return false;
        }
        if (!is_project(s, JAVASCRIPT, any))
                return false;
        if (m == MANAGER_OTHER || (bun && !any && !d->manager)) {
                note(s, "left to a setup script: its package manager is none of npm, yarn and pnpm");
                return false;
        }
        lock = AUTO_HAS(d, locks[m]);
        if (pnpm + yarn + npm > 1)
                note(s, "several lock files: %s is taken, %s", managers[m],
                     d->manager ? "because packageManager says so"
                                : "because pnpm goes before yarn, and yarn before npm");
        else if (any && !lock)
                note(s, "packageManager says %s, and the lock file is another's: it is not used",
                     managers[m]);
        step = add(s, d->manager ? AUTO_PINNED : AUTO_INSTALL, js_keep, "%s%s", js_command(s, m, lock),
                   m == MANAGER_PNPM && is_below_pnpm_workspace(s) ? " --ignore-workspace" : "");
        if (step)
                because(step, "%s%s%s", d->manager ? "packageManager in package.json" : "",
                        d->manager && lock ? ", " : "",
                        lock ? auto_file_name(locks[m])
                        : d->manager ? ", no lock file" : "package.json, no lock file");
        return step != NULL;
}

/* --- Python ----------------------------------------------------------------------------- */

static size_t put_requirements(const struct auto_dir *d, struct wr *w, const char *before)
{
        size_t count = 0;

        for (unsigned i = 0; i < AUTO_REQUIREMENTS; i++)
                if (AUTO_HAS(d, FILE_REQUIREMENTS + i))
                        wr_fmt(w, "%s%s%s", count++ ? " " : "", before,
                               auto_file_name(FILE_REQUIREMENTS + i));
        return count;
}

static bool choose_pip(const struct site *s, bool package)
{
        const struct auto_dir *d = s->d;
        char options[260], why[200];
        struct wr o = wr_of(options, sizeof(options) - 1);
        struct wr y = wr_of(why, sizeof(why) - 1);
        bool self = package && !AUTO_HAS(d, FILE_REQUIREMENTS);
        struct auto_step *step;

        if (self) {
                wr_str(&o, "-e . ");
                wr_fmt(&y, "%s ", AUTO_HAS(d, FILE_PYPROJECT) && d->build ? "pyproject.toml"
                                                                          : "setup.py");
        }
        put_requirements(d, &o, "-r ");
        put_requirements(d, &y, "");
        step = add(s, AUTO_INSTALL, "", "python -m pip install %s", wr_cstr(&o));
        if (!step)
                return false;
        step->pip = true;
        because(step, "%s", wr_cstr(&y));
        return true;
}

static bool choose_python(const struct site *s)
{
        const struct auto_dir *d = s->d;
        bool poetry_lock = AUTO_HAS(d, FILE_POETRY_LOCK), uv_lock = AUTO_HAS(d, FILE_UV_LOCK);
        bool pipfile_lock = AUTO_HAS(d, FILE_PIPFILE_LOCK), pipfile = AUTO_HAS(d, FILE_PIPFILE);
        bool requirements = d->files >> FILE_REQUIREMENTS & ((1U << AUTO_REQUIREMENTS) - 1);
        bool package = (AUTO_HAS(d, FILE_PYPROJECT) && d->build) || AUTO_HAS(d, FILE_SETUP_PY);
        const char *taken = poetry_lock ? "poetry.lock" : uv_lock ? "uv.lock"
                : pipfile_lock ? "Pipfile.lock" : d->poetry ? "pyproject.toml ([tool.poetry])"
                : pipfile ? "Pipfile" : NULL;
        struct auto_step *step;

        if (!taken && !requirements && !package)
                return false;
        if (!is_project(s, PYTHON, poetry_lock || uv_lock || pipfile_lock || requirements))
                return false;
        if (!taken)
                return choose_pip(s, package);
        if ((poetry_lock || d->poetry) + uv_lock + (pipfile || pipfile_lock) + requirements > 1)
                note(s, "several kinds of Python project: %s is taken, the others are left alone",
                     taken);
        if (poetry_lock || (d->poetry && !uv_lock && !pipfile_lock))
                step = add(s, AUTO_INSTALL, "poetry.lock pyproject.toml",
                           "poetry install --no-interaction");
        else if (uv_lock)
                step = add(s, AUTO_FETCH, "uv.lock pyproject.toml", "uv sync --frozen");
        else
                step = add(s, AUTO_INSTALL, "Pipfile Pipfile.lock", pipfile_lock
                           ? "pipenv sync --dev" : "pipenv install --dev --skip-lock");
        if (step)
                because(step, "%s", taken);
        return step != NULL;
}

/* --- what is only fetched ------------------------------------------------------------------- */

static bool fetch(const struct site *s, enum auto_language l, bool lock, const char *keep,
                  const char *command, enum auto_file why)
{
        struct auto_step *step;

        if (!is_project(s, l, lock))
                return false;
        step = add(s, AUTO_FETCH, keep, "%s", command);
        if (step)
                because(step, "%s", auto_file_name(why));
        return step != NULL;
}

static bool choose_rust(const struct site *s)
{
        bool lock = AUTO_HAS(s->d, FILE_CARGO_LOCK);

        return AUTO_HAS(s->d, FILE_CARGO_TOML) &&
               fetch(s, RUST, lock, "Cargo.lock", lock ? "cargo fetch --locked" : "cargo fetch",
                     lock ? FILE_CARGO_LOCK : FILE_CARGO_TOML);
}

/* Each go.mod is a module of its own, unless a go.work above binds them together. */
static bool choose_go(const struct site *s)
{
        const struct auto_above *a = owner(s, GO);
        bool work = AUTO_HAS(s->d, FILE_GO_WORK), mod = AUTO_HAS(s->d, FILE_GO_MOD);

        return (work || mod) &&
               fetch(s, GO, work || !a || !AUTO_HAS(a->dir, FILE_GO_WORK),
                     "go.mod go.sum go.work.sum", "go mod download",
                     work ? FILE_GO_WORK : FILE_GO_MOD);
}

static bool choose_ruby(const struct site *s)
{
        bool lock = AUTO_HAS(s->d, FILE_GEMFILE_LOCK);

        return AUTO_HAS(s->d, FILE_GEMFILE) &&
               fetch(s, RUBY, lock, "Gemfile.lock", "bundle install",
                     lock ? FILE_GEMFILE_LOCK : FILE_GEMFILE);
}

static bool choose_php(const struct site *s)
{
        bool lock = AUTO_HAS(s->d, FILE_COMPOSER_LOCK);

        return AUTO_HAS(s->d, FILE_COMPOSER_JSON) &&
               fetch(s, PHP, lock, "composer.lock", "composer install --no-interaction --no-progress",
                     lock ? FILE_COMPOSER_LOCK : FILE_COMPOSER_JSON);
}

static bool choose_maven(const struct site *s)
{
        return AUTO_HAS(s->d, FILE_POM) &&
               fetch(s, MAVEN, false, "", AUTO_HAS(s->d, FILE_MVNW)
                     ? "sh ./mvnw -B -q dependency:go-offline" : "mvn -B -q dependency:go-offline",
                     FILE_POM);
}

static bool choose_gradle(const struct site *s)
{
        static const enum auto_file files[] = { FILE_SETTINGS_GRADLE, FILE_SETTINGS_GRADLE_KTS,
                                                FILE_BUILD_GRADLE, FILE_BUILD_GRADLE_KTS };

        for (size_t i = 0; i < COUNT(files); i++)
                if (AUTO_HAS(s->d, files[i]))
                        return fetch(s, GRADLE, false, "gradle.lockfile",
                                     AUTO_HAS(s->d, FILE_GRADLEW)
                                     ? "gradle-fetch sh ./gradlew"
                                     : "gradle-fetch gradle", files[i]);
        return false;
}

/* --- all of them ------------------------------------------------------------------------ */

/* Pinning is the operator's: an image may have its reasons for what it runs. */
static void give_hints(const struct site *s)
{
        if (s->d->node[0])
                note(s, "%s asks for node %s: \"runtimes\": {\"node\": …} in the spec pins it",
                     auto_file_name(AUTO_HAS(s->d, FILE_NVMRC) ? FILE_NVMRC : FILE_NODE_VERSION),
                     s->d->node);
        if (s->d->python[0])
                note(s, "%s asks for python %s: \"runtimes\": {\"python\": …} in the spec pins it",
                     auto_file_name(FILE_PYTHON_VERSION), s->d->python);
}

unsigned auto_choose(struct auto_plan *p, const struct auto_dir *d, const char *path,
                     unsigned depth, const struct auto_above *above)
{
        static bool (*const choices[AUTO_LANGUAGES])(const struct site *s) = {
                [JAVASCRIPT] = choose_javascript, [PYTHON] = choose_python, [RUST] = choose_rust,
                [GO] = choose_go, [RUBY] = choose_ruby, [PHP] = choose_php,
                [MAVEN] = choose_maven, [GRADLE] = choose_gradle,
        };
        const struct site s = { p, d, path, depth, above };
        unsigned languages = 0;

        for (enum auto_language l = 0; l < AUTO_LANGUAGES; l++)
                if (choices[l](&s))
                        languages |= BIT(l);
        if (!depth)
                give_hints(&s);
        return languages;
}

void auto_settle(struct auto_plan *p)
{
        const struct site s = { .p = p, .path = "" };
        unsigned projects = 0;

        for (size_t i = 0; i < p->count; i++)
                projects += p->steps[i].pip;
        if (projects < 2)
                return;
        note(&s, "%u Python projects: each below the work tree gets a .venv of its own", projects);
        for (size_t i = 0; i < p->count; i++) {
                static const char shared[] = "python -m pip ", own[] = "venv-pip ";
                struct auto_step *step = &p->steps[i];
                size_t cut = sizeof(shared) - 1, put = sizeof(own) - 1;

                if (!step->pip || !step->dir[0])
                        continue;
                memmove(step->command + put, step->command + cut, strlen(step->command + cut) + 1);
                memcpy(step->command, own, put);
        }
}
