/* agent/config.c - finds, reads and cuts down Codex's configuration files. Runs in a helper. */
#include "agent/config.h"

#include "agent/files.h"
#include "agent/helper.h"
#include "agent/toml.h"
#include "agent/tree.h"
#include "agent/uri.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ETC "/etc/codex"
#define NAME "config.toml"
#define MARKERS_MAX 32
#define LAYERS_MAX 64 /* of a project: folders between its root and the one asked about */

struct selection {
        struct toml_path paths[TOML_PATHS];
        size_t count;
};

/* What the call asks for; the keys are in one piece of memory of their own. */
struct question {
        char cwd[URI_PATH_MAX];
        char home[URI_PATH_MAX], codex_home[URI_PATH_MAX];
        struct selection config, requirements;
};

/* The documents that decide about projects, the strongest first. */
enum { MANAGED, USER, SYSTEM, DECIDERS };

struct document {
        bool there;
        struct toml toml;
        char text[TOML_TEXT_MAX];
};

struct answer {
        const struct question *q;
        struct document deciders[DECIDERS], one;
        char root[URI_PATH_MAX]; /* of the project */
        char repo[URI_PATH_MAX]; /* of the git repository, linked work trees undone; "": none */
        struct buf layers, *out;
        unsigned cloud; /* layers before those that a cloud would add */
        int code;
};

static struct answer the_answer LARGE_BUFFER;

/* Ends the call: RPC_INTERNAL, and why. */
static bool fail(struct answer *a, const char *path, const char *why)
{
        if (a->code)
                return false;
        a->code = RPC_INTERNAL;
        buf_drop(a->out, a->out->len, SIZE_MAX);
        buf_str(a->out, "failed to load executor-local config: ");
        buf_str(a->out, path);
        buf_str(a->out, path[0] ? ": " : "");
        buf_str(a->out, why);
        return false;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool exists(const char *dir, const char *name)
{
        char path[URI_PATH_MAX];

        return place_join(path, dir, name) && access(path, F_OK) == 0;
}

/* What is not there leaves d->there false, and is no failure. */
static bool load(struct answer *a, struct document *d, const char *dir, const char *name)
{
        struct place p = { 0 };
        char why[160];
        struct wr w = wr_of(why, sizeof(why) - 1);
        struct stat st;
        ssize_t n;
        int fd;

        d->there = false;
        if (!place_join(p.path, dir, name))
                return true;
        fd = place_open(&p, O_RDONLY, ACCESS_READ);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return true;
        if (fd < 0)
                return fail(a, p.path, strerror(-fd));
        n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read_full(fd, d->text, sizeof(d->text))
                                                       : -EISDIR;
        close(fd);
        if (n < 0 || (size_t)n == sizeof(d->text))
                return fail(a, p.path, n < 0 ? "it is not a file" : "more than 1 MiB");
        d->there = true;
        if (toml_parse(&d->toml, d->text, (size_t)n))
                return true;
        wr_fmt(&w, "line %zu: %s", toml_line(&d->toml), d->toml.s.wrong);
        return fail(a, p.path, wr_cstr(&w));
}

/* --- which folders are a project's --------------------------------------------------------------- */

static const struct toml_node *member(const struct document *d, const char *key)
{
        return d->there ? toml_get(&d->toml, &d->toml.nodes[0], key, strlen(key)) : NULL;
}

/* Is there one of the names that mark a project's root in this folder? */
static bool is_marked(struct answer *a, const struct toml_node *markers, const char *dir)
{
        struct toml_strings i = toml_strings(markers);
        static char name[TOML_TEXT_MAX] LARGE_BUFFER;
        size_t len;

        while (toml_strings_next(&i, name, &len)) {
                name[len] = '\0';
                if (len && strlen(name) == len && !strchr(name, '/') && exists(dir, name))
                        return true;
        }
        if (i.wrong)
                fail(a, "", "project_root_markers must be an array of strings");
        return false;
}

/* The nearest folder above with a mark, or the one asked about. */
static bool find_root(struct answer *a)
{
        const struct toml_node *markers = NULL;
        char dir[URI_PATH_MAX];

        for (size_t i = 0; i < DECIDERS && !markers; i++)
                markers = member(&a->deciders[i], "project_root_markers");
        memcpy(dir, a->q->cwd, sizeof(dir));
        memcpy(a->root, a->q->cwd, sizeof(dir));
        for (;;) {
                if (markers ? is_marked(a, markers, dir) : exists(dir, ".git")) {
                        memcpy(a->root, dir, sizeof(dir));
                        break;
                }
                if (a->code || !strcmp(dir, "/"))
                        break;
                place_up(dir);
        }
        return !a->code;
}

/*
 * A linked work tree's .git is a file that names MAIN/.git/worktrees/NAME, whose own gitdir
 * names it back: or any folder could claim to be of a trusted repository.
 */
static void follow_worktree(char repo[URI_PATH_MAX])
{
        char path[URI_PATH_MAX], there[URI_PATH_MAX], back[URI_PATH_MAX];
        static const char prefix[] = "gitdir: ", middle[] = "/.git/worktrees/";
        ssize_t n;
        char *at;

        if (!place_join(path, repo, ".git"))
                return;
        n = read_file(AT_FDCWD, path, there, sizeof(there) - 1);
        if (n <= (ssize_t)sizeof(prefix) || memcmp(there, prefix, sizeof(prefix) - 1) != 0)
                return;
        there[n] = '\0';
        there[strcspn(there, "\n")] = '\0';
        at = strstr(there, middle);
        if (!at || strchr(at + sizeof(middle) - 1, '/') || !place_join(back, there + sizeof(prefix) - 1, "gitdir"))
                return;
        n = read_file(AT_FDCWD, back, back, sizeof(back) - 1);
        if (n < 0)
                return;
        back[n] = '\0';
        back[strcspn(back, "\n")] = '\0';
        if (strcmp(back, path) != 0)
                return;
        *at = '\0';
        memcpy(repo, there + sizeof(prefix) - 1, strlen(there + sizeof(prefix) - 1) + 1);
}

static void find_repo(struct answer *a)
{
        memcpy(a->repo, a->q->cwd, sizeof(a->repo));
        while (!exists(a->repo, ".git")) {
                if (!strcmp(a->repo, "/")) {
                        a->repo[0] = '\0';
                        return;
                }
                place_up(a->repo);
        }
        follow_worktree(a->repo);
}

enum trust { TRUST_UNSAID, TRUSTED, UNTRUSTED };

static bool check_projects(struct answer *a)
{
        for (size_t i = 0; i < DECIDERS; i++) {
                const struct toml_node *projects = member(&a->deciders[i], "projects");

                if (projects && projects->type != TOML_TABLE)
                        return fail(a, "", "projects must be a table");
        }
        return true;
}

static enum trust trust_said(struct answer *a, const struct document *d, const char *dir)
{
        const struct toml_node *projects = member(d, "projects"), *project, *level;
        char word[16];
        size_t len = 0;

        project = projects ? toml_get(&d->toml, projects, dir, strlen(dir)) : NULL;
        level = project ? toml_get(&d->toml, project, "trust_level", 11) : NULL;
        if (!level)
                return TRUST_UNSAID;
        if (level->text_len < sizeof(word) && toml_string(level, word, &len)) {
                if (len == 7 && !memcmp(word, "trusted", len))
                        return TRUSTED;
                if (len == 9 && !memcmp(word, "untrusted", len))
                        return UNTRUSTED;
        }
        fail(a, dir, "trust_level must be `trusted` or `untrusted`");
        return UNTRUSTED;
}

/* By its real name first, then as it was given. */
static enum trust trust_of(struct answer *a, const char *dir)
{
        char real[PATH_MAX];
        const char *names[] = { realpath(dir, real) ? real : dir, dir };

        for (size_t n = 0; dir[0] && n < COUNT(names); n++)
                for (size_t i = 0; i < DECIDERS; i++) {
                        enum trust t = trust_said(a, &a->deciders[i], names[n]);

                        if (t != TRUST_UNSAID)
                                return t;
                }
        return TRUST_UNSAID;
}

static bool is_trusted(struct answer *a, const char *dir)
{
        enum trust t = trust_of(a, dir);

        if (t == TRUST_UNSAID)
                t = trust_of(a, a->root);
        if (t == TRUST_UNSAID)
                t = trust_of(a, a->repo);
        return t == TRUSTED && !a->code;
}

/* --- layers ------------------------------------------------------------------------------------------ */

/* One layer, when anything of it was asked for. @kind: "user", or "" for a name without it. */
static bool put_layer(struct answer *a, const struct document *d, const struct selection *s,
                      const char *kind, const char *dir, const char *name)
{
        struct buf toml = { 0 }, source = { 0 };
        bool any = d->there && toml_project(&d->toml, s->paths, s->count, &toml);

        if (any) {
                buf_fmt(&source, kind[0] ? "%s (" : "%s", kind);
                buf_str(&source, dir);
                buf_str(&source, "/");
                buf_str(&source, name);
                buf_str(&source, kind[0] ? ")" : "");
                buf_str(&a->layers, a->layers.len ? ",{\"source\":" : "{\"source\":");
                buf_json(&a->layers, buf_at(&source), source.len);
                buf_str(&a->layers, ",\"baseDir\":");
                tree_put_uri(&a->layers, dir);
                buf_str(&a->layers, ",\"toml\":");
                buf_json(&a->layers, buf_at(&toml), toml.len);
                buf_str(&a->layers, "}");
        }
        buf_free(&toml);
        buf_free(&source);
        return any;
}

/* What a repository has no say in, trusted or not. */
static void forget_private(struct toml *t)
{
        static const char *const keys[] = {
                "model_provider", "model_providers", "profile", "profiles", "notify", "otel",
                "chatgpt_base_url", "openai_base_url", "experimental_realtime_ws_base_url",
        };

        for (size_t i = 0; i < COUNT(keys); i++)
                toml_forget(t, keys[i]);
}

/* From the project's root down to the folder asked about. */
static bool put_project(struct answer *a)
{
        char dir[URI_PATH_MAX], dot[URI_PATH_MAX];
        size_t n = strlen(a->root), len = strlen(a->q->cwd);

        memcpy(dir, a->q->cwd, sizeof(dir));
        for (unsigned layers = 0; n <= len && layers < LAYERS_MAX; layers++) {
                dir[n] = '\0';
                if (place_join(dot, dir, ".codex") && strcmp(dot, a->q->codex_home) != 0 &&
                    exists(dot, NAME) && is_trusted(a, dir)) {
                        if (!load(a, &a->one, dot, NAME))
                                return false;
                        if (a->one.there)
                                forget_private(&a->one.toml);
                        put_layer(a, &a->one, &a->q->config, "project", dot, NAME);
                }
                memcpy(dir, a->q->cwd, sizeof(dir));
                n += strspn(dir + n, "/");
                if (n == len)
                        break;
                n += strcspn(dir + n, "/");
        }
        return !a->code;
}

static void put_stack(struct answer *a, const char *name)
{
        buf_fmt(a->out, ",\"%s\":{\"layers\":[", name);
        buf_put(a->out, buf_at(&a->layers), a->layers.len);
        buf_fmt(a->out, "],\"cloudInsertionIndex\":%u}", a->cloud);
        buf_free(&a->layers);
}

static bool put_config(struct answer *a)
{
        a->cloud = put_layer(a, &a->deciders[SYSTEM], &a->q->config, "system", ETC, NAME);
        put_layer(a, &a->deciders[USER], &a->q->config, "user", a->q->codex_home, NAME);
        if (!put_project(a))
                return false;
        put_layer(a, &a->deciders[MANAGED], &a->q->config, "legacy managed_config.toml", ETC,
                  "managed_config.toml");
        put_stack(a, "config");
        return true;
}

static bool is_mode(const struct toml_node *leaf)
{
        static const char *const modes[] = { "read-only", "workspace-write", "danger-full-access" };
        char word[32];
        size_t len;

        if (leaf->text_len >= sizeof(word) || !toml_string(leaf, word, &len))
                return false;
        for (size_t i = 0; i < COUNT(modes); i++)
                if (len == strlen(modes[i]) && !memcmp(word, modes[i], len))
                        return true;
        return false;
}

/* A mode or policy that the managed file sets is the only one allowed, but reading always is. */
static bool make_requirements(struct answer *a, struct document *d)
{
        const struct toml_node *mode = member(&a->deciders[MANAGED], "sandbox_mode"),
                               *policy = member(&a->deciders[MANAGED], "approval_policy");
        struct wr w = wr_of(d->text, sizeof(d->text));

        if (policy && policy->type == TOML_LEAF)
                wr_fmt(&w, "allowed_approval_policies = [%.*s]\n", (int)policy->text_len,
                       policy->text);
        if (mode && !is_mode(mode))
                return fail(a, ETC "/managed_config.toml", "sandbox_mode is none that there is");
        if (mode) {
                bool reads = mode->text_len == 11 && !memcmp(mode->text + 1, "read-only", 9);

                wr_fmt(&w, "allowed_sandbox_modes = [%s%.*s]\n", reads ? "" : "\"read-only\", ",
                       (int)mode->text_len, mode->text);
        }
        d->there = w.len > 0;
        return toml_parse(&d->toml, d->text, w.len) ||
               fail(a, ETC "/managed_config.toml", "sandbox_mode or approval_policy is wrong");
}

static bool put_requirements(struct answer *a)
{
        const struct selection *s = &a->q->requirements;

        if (!load(a, &a->one, ETC, "requirements.toml"))
                return false;
        a->cloud = put_layer(a, &a->one, s, "", ETC, "requirements.toml");
        if (!make_requirements(a, &a->one))
                return false;
        put_layer(a, &a->one, s, "", ETC, "managed_config.toml");
        put_stack(a, "requirements");
        return true;
}

static bool put_places(struct answer *a)
{
        char host[256] = "";

        if (access(a->q->codex_home, F_OK) < 0 && getenv("CODEX_HOME"))
                return fail(a, a->q->codex_home, "the folder that $CODEX_HOME names is not there");
        gethostname(host, sizeof(host) - 1);
        buf_str(a->out, "{\"userHomeDir\":");
        tree_put_uri(a->out, a->q->home);
        buf_str(a->out, ",\"codexHomeDir\":");
        tree_put_uri(a->out, a->q->codex_home);
        buf_str(a->out, ",\"hostname\":");
        buf_json(a->out, host, strlen(host));
        return true;
}

static int read_config(void *question, struct buf *out)
{
        struct answer *a = &the_answer;

        a->q = question;
        a->out = out;
        if (!put_places(a) || !load(a, &a->deciders[SYSTEM], ETC, NAME) ||
            !load(a, &a->deciders[USER], a->q->codex_home, NAME) ||
            !load(a, &a->deciders[MANAGED], ETC, "managed_config.toml") || !find_root(a) ||
            !check_projects(a))
                return a->code;
        find_repo(a);
        if (!put_config(a) || !put_requirements(a))
                return a->code;
        buf_str(out, "}");
        if (out->len <= CONFIG_RESULT_MAX)
                return 0;
        buf_drop(out, out->len, SIZE_MAX);
        buf_str(out, "environment config response exceeds the 1048576-byte limit");
        return RPC_PARAMS;
}

/* --- the call ---------------------------------------------------------------------------------------- */

/* Keys of one path; their bytes are unescaped where they stand, in the message. */
static void decode_path(struct params *p, const struct value *v, struct toml_path *path)
{
        struct value_iter i = value_items(v);
        struct value item;

        path->count = 0;
        if (v->type != VALUE_ARRAY)
                params_refuse(p, "invalid type: %s, expected a sequence", value_type_str(v->type));
        while (!p->bad && value_next(&i, NULL, &item)) {
                char *at = (char *)(uintptr_t)item.at;

                if (item.type != VALUE_STRING) {
                        params_refuse(p, "invalid type: %s, expected a string",
                                      value_type_str(item.type));
                } else if (path->count == TOML_KEYS) {
                        params_refuse(p, "TOML paths may contain at most %d key segments", TOML_KEYS);
                } else {
                        path->keys[path->count] = at;
                        path->lens[path->count++] = value_string(&item, at);
                }
        }
        if (!p->bad && !path->count)
                params_refuse(p, "TOML paths must contain at least one key segment");
}

static void decode_selection(struct params *p, const struct value *all, struct selection *s)
{
        struct value_iter i = value_items(all);
        struct value item;

        s->count = 0;
        while (!p->bad && value_next(&i, NULL, &item)) {
                if (s->count == TOML_PATHS)
                        params_refuse(p, "at most %d TOML selectors are allowed", TOML_PATHS);
                else
                        decode_path(p, &item, &s->paths[s->count++]);
        }
}

/* False: neither variable nor user gives one that fits. */
static bool find_homes(struct question *q)
{
        const char *home = info_home(), *codex = getenv("CODEX_HOME");

        if (strlen(home) >= sizeof(q->home) || (codex && strlen(codex) >= sizeof(q->home)))
                return false;
        memcpy(q->home, home, strlen(home) + 1);
        if (!codex || codex[0] != '/')
                return place_join(q->codex_home, home, ".codex");
        memcpy(q->codex_home, codex, strlen(codex) + 1);
        return true;
}

void config_call(struct call *call)
{
        static struct question q LARGE_BUFFER;

        struct value config, requirements;

        params_path(call->p, "cwd", q.cwd);
        config = params_array(call->p, "configPaths");
        requirements = params_array(call->p, "requirementsPaths");
        /* From here on the message is no JSON any more. */
        decode_selection(call->p, &config, &q.config);
        decode_selection(call->p, &requirements, &q.requirements);
        if (!call->p->bad && !q.config.count && !q.requirements.count)
                params_refuse(call->p, "at least one config or requirements path is required");
        if (call_refused(call, "environmentConfig/read"))
                return;
        if (!find_homes(&q))
                conn_error(call->conn, call->id, call->id_len, RPC_INTERNAL,
                           "failed to find Codex home: its path is too long");
        else
                helper_start(call, HELPER_READS, read_config, &q);
}
