/* init/auto_files.c - what a project's files say, as far as it decides anything. */
#include "init/auto.h"

#include "base/json.h"

#include <string.h>

static const char *const names[FILE_COUNT] = {
        [FILE_PACKAGE_JSON] = "package.json",
        [FILE_PNPM_WORKSPACE] = "pnpm-workspace.yaml",
        [FILE_YARNRC_YML] = ".yarnrc.yml",
        [FILE_PNPM_LOCK] = "pnpm-lock.yaml",
        [FILE_YARN_LOCK] = "yarn.lock",
        [FILE_SHRINKWRAP] = "npm-shrinkwrap.json",
        [FILE_NPM_LOCK] = "package-lock.json",
        [FILE_BUN_LOCK] = "bun.lock",
        [FILE_BUN_LOCKB] = "bun.lockb",
        [FILE_POETRY_LOCK] = "poetry.lock",
        [FILE_UV_LOCK] = "uv.lock",
        [FILE_PIPFILE_LOCK] = "Pipfile.lock",
        [FILE_PIPFILE] = "Pipfile",
        [FILE_PYPROJECT] = "pyproject.toml",
        [FILE_SETUP_PY] = "setup.py",
        [FILE_REQUIREMENTS] = "requirements.txt",
        [FILE_REQUIREMENTS + 1] = "requirements-dev.txt",
        [FILE_REQUIREMENTS + 2] = "requirements_dev.txt",
        [FILE_REQUIREMENTS + 3] = "dev-requirements.txt",
        [FILE_REQUIREMENTS + 4] = "requirements-test.txt",
        [FILE_REQUIREMENTS + 5] = "requirements_test.txt",
        [FILE_REQUIREMENTS + 6] = "test-requirements.txt",
        [FILE_CARGO_TOML] = "Cargo.toml",
        [FILE_CARGO_LOCK] = "Cargo.lock",
        [FILE_GO_WORK] = "go.work",
        [FILE_GO_MOD] = "go.mod",
        [FILE_GEMFILE] = "Gemfile",
        [FILE_GEMFILE_LOCK] = "Gemfile.lock",
        [FILE_COMPOSER_JSON] = "composer.json",
        [FILE_COMPOSER_LOCK] = "composer.lock",
        [FILE_POM] = "pom.xml",
        [FILE_MVNW] = "mvnw",
        [FILE_SETTINGS_GRADLE] = "settings.gradle",
        [FILE_SETTINGS_GRADLE_KTS] = "settings.gradle.kts",
        [FILE_BUILD_GRADLE] = "build.gradle",
        [FILE_BUILD_GRADLE_KTS] = "build.gradle.kts",
        [FILE_GRADLEW] = "gradlew",
        [FILE_NVMRC] = ".nvmrc",
        [FILE_NODE_VERSION] = ".node-version",
        [FILE_PYTHON_VERSION] = ".python-version",
};

const char *auto_file_name(enum auto_file f)
{
        return names[f];
}

enum auto_file auto_file_of(const char *name)
{
        enum auto_file f = 0;

        while (f < FILE_COUNT && strcmp(names[f], name) != 0)
                f++;
        return f;
}

bool auto_file_tells(enum auto_file f)
{
        return f == FILE_PACKAGE_JSON || f == FILE_PNPM_WORKSPACE || f == FILE_YARN_LOCK ||
               f == FILE_PYPROJECT || f == FILE_NVMRC || f == FILE_NODE_VERSION ||
               f == FILE_PYTHON_VERSION;
}

static bool starts(const char *text, size_t len, const char *with)
{
        size_t n = strlen(with);

        return len >= n && !memcmp(text, with, n);
}

/* The next line of *@text, without its end; false behind the last one. */
static bool next_line(const char **text, size_t *left, const char **line, size_t *len)
{
        const char *end;

        if (!*left)
                return false;
        end = memchr(*text, '\n', *left);
        *line = *text;
        *len = end ? (size_t)(end - *text) : *left;
        *text += *len + (end != NULL);
        *left -= *len + (end != NULL);
        while (*len && ((*line)[*len - 1] == '\r' || (*line)[*len - 1] == ' ' ||
                        (*line)[*len - 1] == '\t'))
                --*len;
        return true;
}

/* --- workspaces --------------------------------------------------------------------------- */

static void add_member(struct auto_dir *d, const char *pattern, size_t len)
{
        if (!len || memchr(pattern, '\0', len) || len + 2 > sizeof(d->members) - d->members_len)
                return;
        memcpy(d->members + d->members_len, pattern, len);
        d->members_len += len;
        d->members[d->members_len++] = '\0';
        d->members[d->members_len] = '\0';
}

/* One component: `*` is any run of bytes. Goes back to the last star alone. */
static bool is_like(const char *pattern, size_t pattern_len, const char *name, size_t len)
{
        size_t p = 0, n = 0, star = pattern_len, from = 0;

        while (n < len) {
                if (p < pattern_len && pattern[p] == '*') {
                        star = p++;
                        from = n;
                } else if (p < pattern_len && (pattern[p] == name[n] || pattern[p] == '?')) {
                        p++;
                        n++;
                } else if (star < pattern_len) {
                        p = star + 1;
                        n = ++from;
                } else {
                        return false;
                }
        }
        while (p < pattern_len && pattern[p] == '*')
                p++;
        return p == pattern_len;
}

/* Skips a//, ./ and **; *@any: there was a ** */
static const char *skip_idle(const char *pattern, bool *any)
{
        for (*any = false; *pattern;) {
                size_t n = strcspn(pattern, "/");
                bool stars = n == 2 && pattern[0] == '*' && pattern[1] == '*';

                if (n && !stars && !(n == 1 && *pattern == '.'))
                        break;
                *any |= stars;
                pattern += n + (pattern[n] == '/');
        }
        return pattern;
}

/* Components of both; `**` is any number of them. @path is at most AUTO_DEPTH long. */
static bool matches(const char *pattern, const char *path)
{
        bool any;

        for (;;) {
                size_t p, n = strcspn(path, "/");

                pattern = skip_idle(pattern, &any);
                p = strcspn(pattern, "/");
                if (!p)
                        return any || !n;
                if (any && *path) { /* each call takes a component, so there are few */
                        for (; *path; path += n + (path[n] == '/')) {
                                n = strcspn(path, "/");
                                if (is_like(pattern, p, path, n) &&
                                    matches(pattern + p + (pattern[p] == '/'),
                                            path + n + (path[n] == '/')))
                                        return true;
                        }
                        return false;
                }
                if (!n || !is_like(pattern, p, path, n))
                        return false;
                pattern += p + (pattern[p] == '/');
                path += n + (path[n] == '/');
        }
}

bool auto_dir_has_member(const struct auto_dir *d, const char *path)
{
        bool member = false;

        for (const char *m = d->members; *m; m += strlen(m) + 1) {
                if (*m == '!' && matches(m + 1, path))
                        member = false;
                else if (*m != '!' && matches(m, path))
                        member = true;
        }
        return member;
}

/* --- package.json --------------------------------------------------------------------------- */

static void read_manager(struct auto_dir *d, const char *text, size_t len)
{
        static const struct { const char *name; enum auto_manager manager; } managers[] = {
                { "npm@", MANAGER_NPM }, { "yarn@", MANAGER_YARN }, { "pnpm@", MANAGER_PNPM },
        };

        d->manager = MANAGER_OTHER;
        for (size_t i = 0; i < COUNT(managers); i++) {
                size_t n = strlen(managers[i].name);

                if (!starts(text, len, managers[i].name))
                        continue;
                d->manager = managers[i].manager;
                d->manager_modern = len > n && !(text[n] == '0' || text[n] == '1') ? true
                        : len > n + 1 && text[n + 1] >= '0' && text[n + 1] <= '9';
        }
}

static void read_package(struct auto_dir *d, const char *text, size_t len)
{
        struct json_error error;
        struct json j;
        uint32_t v;

        if (json_open(&j, text, len, &error) < 0)
                return;
        v = json_find(&j, 0, "packageManager");
        if (v && j.tokens[v].type == JSON_STRING)
                read_manager(d, text + j.tokens[v].start, j.tokens[v].end - j.tokens[v].start);
        v = json_find(&j, 0, "workspaces");
        if (v && j.tokens[v].type == JSON_OBJECT) /* yarn classic's other form */
                v = json_find(&j, v, "packages");
        if (v && j.tokens[v].type == JSON_ARRAY)
                for (v = json_first(&j, v); v; v = json_next(&j, v))
                        if (j.tokens[v].type == JSON_STRING)
                                add_member(d, text + j.tokens[v].start,
                                           j.tokens[v].end - j.tokens[v].start);
        json_close(&j);
}

/* --- the others --------------------------------------------------------------------------- */

/* pnpm-workspace.yaml: the items of `packages:`, each on a line of its own. */
static void read_workspace(struct auto_dir *d, const char *text, size_t len)
{
        const char *line;
        bool inside = false;
        size_t n;

        while (next_line(&text, &len, &line, &n)) {
                size_t blank = 0;

                while (blank < n && line[blank] == ' ')
                        blank++;
                if (n == blank || line[blank] == '#')
                        continue;
                if (!blank && line[0] != '-') {
                        inside = starts(line, n, "packages:");
                        continue;
                }
                line += blank;
                n -= blank;
                if (!inside || !starts(line, n, "- "))
                        continue;
                for (line += 2, n -= 2; n && *line == ' '; n--)
                        line++;
                if (n && (*line == '"' || *line == '\'')) {
                        const char *end = memchr(line + 1, *line, n - 1);

                        if (end)
                                add_member(d, line + 1, (size_t)(end - line - 1));
                } else {
                        const char *comment = memchr(line, ' ', n);

                        add_member(d, line, comment ? (size_t)(comment - line) : n);
                }
        }
}

static void read_pyproject(struct auto_dir *d, const char *text, size_t len)
{
        const char *line;
        size_t n;

        while (next_line(&text, &len, &line, &n)) {
                d->poetry |= starts(line, n, "[tool.poetry]");
                d->uv |= starts(line, n, "[tool.uv]") || starts(line, n, "[tool.uv.");
                d->build |= starts(line, n, "[build-system]");
        }
}

static void read_yarn_lock(struct auto_dir *d, const char *text, size_t len)
{
        const char *line;
        size_t n;

        for (unsigned i = 0; i < 50 && next_line(&text, &len, &line, &n); i++)
                d->berry |= starts(line, n, "__metadata:");
}

static void read_version(char out[static 24], const char *text, size_t len)
{
        const char *line;
        size_t n;

        if (!next_line(&text, &len, &line, &n) || !n || n >= 24)
                return;
        for (size_t i = 0; i < n; i++) {
                char c = line[i];

                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '.' || c == '-' || c == '_'))
                        return;
        }
        memcpy(out, line, n);
        out[n] = '\0';
}

void auto_dir_read(struct auto_dir *d, enum auto_file f, const char *text, size_t len)
{
        if (f == FILE_PACKAGE_JSON)
                read_package(d, text, len);
        else if (f == FILE_PNPM_WORKSPACE)
                read_workspace(d, text, len);
        else if (f == FILE_YARN_LOCK)
                read_yarn_lock(d, text, len);
        else if (f == FILE_PYPROJECT)
                read_pyproject(d, text, len);
        else if (f == FILE_NVMRC || f == FILE_NODE_VERSION)
                read_version(d->node, text, len);
        else if (f == FILE_PYTHON_VERSION)
                read_version(d->python, text, len);
}
