/* agent/grant.c - entries to paths. */
#include "agent/grant.h"

#include "agent/uri.h"

#include <string.h>

struct adding {
        struct grants *g;
        size_t used;
        struct wr *why;
        const struct value *roots; /* workspaceRoots */
        const char *cwd, *tmpdir;
};

static bool wrong(struct adding *a, const char *what)
{
        wr_fmt(a->why, "sandbox: %s", what);
        return false;
}

static bool wrong_word(struct adding *a, const char *what, const struct value *v)
{
        wr_fmt(a->why, "sandbox: %s `%.*s` is not known here, so it can't be enforced", what,
               (int)(v->len < 64 ? v->len : 64), v->type == VALUE_STRING ? v->at : "");
        return false;
}

/* @path, and @sub below it. Slashes at the end fall away; dot segments are refused. */
static bool add(struct adding *a, const char *path, const char *sub, enum access access, bool skip)
{
        struct grants *g = a->g;
        struct wr w = wr_of(g->text + a->used, sizeof(g->text) - a->used - 1);
        size_t start;

        if (g->count == GRANTS_MAX)
                return wrong(a, "too many entries");
        for (const char *const parts[] = { path, sub }, *const *p = parts; p < parts + 2; p++) {
                const char *s = *p;

                while (s && *s) {
                        size_t n = strcspn(s, "/");

                        if ((n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
                                return wrong(a, "a path with dot segments");
                        if (n) {
                                wr_char(&w, '/');
                                wr_bytes(&w, s, n);
                        }
                        s += n;
                        s += *s == '/';
                }
        }
        if (!w.len)
                wr_char(&w, '/');
        if (w.full)
                return wrong(a, "the paths are too long");
        start = a->used;
        g->text[start + w.len] = '\0';
        a->used += w.len + 1;
        g->list[g->count++] = (struct grant){ g->text + start, access, skip };
        return true;
}

static bool path_of(struct adding *a, const struct value *v, char path[URI_PATH_MAX])
{
        char text[3 * URI_PATH_MAX];
        size_t n;

        if (v->type != VALUE_STRING || v->len > sizeof(text))
                return wrong(a, "a path that is no string");
        n = value_string(v, text);
        if (n && text[0] == '/' && n < URI_PATH_MAX && !memchr(text, '\0', n)) {
                memcpy(path, text, n);
                path[n] = '\0';
                return true;
        }
        return uri_parse(path, text, n) == URI_OK || wrong(a, "a path that is no file: URI");
}

static bool add_roots(struct adding *a, const char *sub, enum access access, bool skip)
{
        struct value_iter i = value_items(a->roots);
        struct value item;
        char path[URI_PATH_MAX];
        bool any = false;

        while (value_next(&i, NULL, &item)) {
                if (!path_of(a, &item, path) || !add(a, path, sub, access, skip))
                        return false;
                any = true;
        }
        /* Without roots the working directory is the project. */
        return any || (a->cwd[0] && add(a, a->cwd, sub, access, skip)) ||
               wrong(a, "project_roots without workspaceRoots or cwd");
}

/* What any program needs to run at all. */
static bool add_minimal(struct adding *a, enum access access)
{
        static const char *const paths[] = { "/bin", "/sbin", "/usr",  "/lib", "/lib32", "/lib64",
                                             "/etc", "/opt",  "/proc", "/dev", "/nix",   "/run/current-system" };

        for (size_t i = 0; i < COUNT(paths); i++)
                if (!add(a, paths[i], NULL, access, true))
                        return false;
        return true;
}

static bool add_special(struct adding *a, const struct value *special, enum access access, bool skip)
{
        struct value kind = value_get(special, "kind"), v = value_get(special, "subpath");
        char sub[URI_PATH_MAX] = "";
        size_t n;

        if (v.type == VALUE_STRING) {
                if (v.len >= sizeof(sub))
                        return wrong(a, "a subpath that is too long");
                n = value_string(&v, sub);
                if (memchr(sub, '\0', n))
                        return wrong(a, "a NUL in a subpath");
                sub[n] = '\0';
        }
        if (value_is(&kind, "project_roots"))
                return add_roots(a, sub, access, skip);
        if (sub[0])
                return wrong(a, "a subpath of something else than project_roots");
        if (value_is(&kind, "root"))
                return add(a, "/", NULL, access, skip);
        if (value_is(&kind, "slash_tmp"))
                return add(a, "/tmp", NULL, access, skip);
        if (value_is(&kind, "tmpdir"))
                return !a->tmpdir || a->tmpdir[0] != '/' || add(a, a->tmpdir, NULL, access, skip);
        if (value_is(&kind, "minimal"))
                return add_minimal(a, access);
        return wrong_word(a, "the place", &kind);
}

static bool add_entry(struct adding *a, const struct value *entry)
{
        struct value path = value_get(entry, "path"), type = value_get(&path, "type");
        struct value how = value_get(entry, "access");
        struct value missing = value_get(entry, "missing_path_behavior");
        struct value inner = value_get(&path, "value"), plain = value_get(&path, "path");
        bool skip = value_is(&missing, "skip");
        enum access access;
        char text[URI_PATH_MAX];

        if (value_is(&how, "write"))
                access = ACCESS_WRITE;
        else if (value_is(&how, "read"))
                access = ACCESS_READ;
        else if (value_is(&how, "none") || value_is(&how, "deny"))
                access = ACCESS_NONE;
        else
                return wrong_word(a, "the access", &how);
        if (value_is(&type, "special"))
                return add_special(a, &inner, access, skip);
        if (!value_is(&type, "path"))
                return wrong_word(a, "the kind of path", &type);
        return path_of(a, plain.type == VALUE_STRING ? &plain : &inner, text) &&
               add(a, text, NULL, access, skip);
}

static bool add_files(struct adding *a, const struct value *files)
{
        struct value type = value_get(files, "type"), entries = value_get(files, "entries");
        struct value_iter i = value_items(&entries);
        struct value entry;

        a->g->everything = value_is(&type, "unrestricted");
        if (a->g->everything)
                return true;
        if (!value_is(&type, "restricted"))
                return wrong_word(a, "the file system", &type);
        if (entries.type != VALUE_ARRAY)
                return wrong(a, "no entries");
        while (value_next(&i, NULL, &entry))
                if (!add_entry(a, &entry))
                        return false;
        return true;
}

static bool add_network(struct adding *a, const struct value *network)
{
        a->g->network = value_is(network, "enabled");
        return a->g->network || value_is(network, "restricted") ||
               wrong_word(a, "the network", network);
}

bool grants_parse(struct grants *g, const struct value *sandbox, const struct grant_places *places,
                  struct wr *why)
{
        struct value permissions = value_get(sandbox, "permissions");
        struct value type = value_get(&permissions, "type"), cwd = value_get(sandbox, "cwd");
        struct value files = value_get(&permissions, "file_system");
        struct value network = value_get(&permissions, "network");
        struct value roots = value_get(sandbox, "workspaceRoots");
        char here[URI_PATH_MAX] = "";
        struct adding a = { .g = g, .why = why, .roots = &roots, .cwd = here,
                            .tmpdir = places->tmpdir };

        g->count = 0;
        g->everything = false;
        g->network = false;
        if (permissions.type != VALUE_OBJECT)
                return wrong(&a, "missing field `permissions`");
        if (cwd.type == VALUE_STRING && !path_of(&a, &cwd, here))
                return false;
        if (value_is(&type, "disabled")) {
                g->everything = true;
                g->network = true;
                return true;
        }
        if (value_is(&type, "external")) { /* files are somebody else's: the container's */
                g->everything = true;
                return add_network(&a, &network);
        }
        if (!value_is(&type, "managed"))
                return wrong_word(&a, "the type of permissions", &type);
        return add_files(&a, &files) && add_network(&a, &network);
}

static bool holds(const char *above, const char *path)
{
        size_t n = strlen(above);

        return n == 1 || (!strncmp(above, path, n) && (path[n] == '/' || !path[n]));
}

enum access grants_access(const struct grants *g, const char *path)
{
        enum access best = ACCESS_NONE;
        size_t longest = 0;

        if (g->everything)
                return ACCESS_WRITE;
        for (unsigned i = 0; i < g->count; i++) {
                size_t n = strlen(g->list[i].path);

                if (!holds(g->list[i].path, path) || n < longest)
                        continue;
                if (n > longest || g->list[i].access < best)
                        best = g->list[i].access;
                longest = n;
        }
        return best;
}

bool grants_narrower_below(const struct grants *g, const char *path)
{
        enum access here = grants_access(g, path);

        for (unsigned i = 0; i < g->count && !g->everything; i++)
                if (holds(path, g->list[i].path) && g->list[i].access < here)
                        return true;
        return false;
}
