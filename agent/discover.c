/* agent/discover.c - roots are walked, what has a known name is read. Runs in a helper. */
#include "agent/discover.h"

#include "agent/find.h"
#include "agent/helper.h"
#include "agent/tree.h"
#include "agent/value.h"
#include "base/io.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 6
#define DIRECTORIES_MAX 2000

/* Where a plugin's manifest may lie, the first that is there counts. */
static const char *const manifests[] = {
        ".codex-plugin/plugin.json",
        ".claude-plugin/plugin.json",
        ".cursor-plugin/plugin.json",
};

/* As text, for a sentence. */
static void put_uri(struct buf *b, const char *path)
{
        struct wr w = wr_of(buf_room(b, URI_ROOM(URI_PATH_MAX)), URI_ROOM(URI_PATH_MAX));

        uri_put(&w, path, strlen(path));
        buf_added(b, w.len);
}

static void warn(struct find *f, const char *before, const char *path, const char *after)
{
        struct buf line = { 0 };

        buf_str(&line, before);
        put_uri(&line, path);
        buf_str(&line, after);
        if (f->warnings.len)
                buf_str(&f->warnings, ",");
        buf_json(&f->warnings, buf_at(&line), line.len);
        buf_free(&line);
}

static void warn_error(struct find *f, const char *before, const char *path, int err)
{
        struct buf text = { 0 };

        buf_str(&text, ": ");
        files_error(&text, err);
        buf_put(&text, "", 1);
        warn(f, before, path, buf_at(&text));
        buf_free(&text);
}

/* --- files ---------------------------------------------------------------------------------- */

/* Is it a file that fits? It may grow while it is read: then it is cut off there and refused. */
static bool read_open(struct find *f, int fd, const struct stat *st, struct text *t)
{
        ssize_t n;

        if (st->st_size > DISCOVER_FILE_MAX) {
                warn(f, "capability file ", t->path, " exceeds the 1048576-byte limit");
                return false;
        }
        if (f->bytes + (size_t)st->st_size > DISCOVER_ROOT_MAX) {
                warn(f, "capability root bundle exceeds the 16777216-byte limit at ", t->path, "");
                return false;
        }
        t->text = take_memory((size_t)st->st_size + 1);
        n = read_full(fd, t->text, (size_t)st->st_size + 1);
        if (n < 0) {
                warn_error(f, "failed to read capability file ", t->path, (int)-n);
        } else if (n > st->st_size) {
                warn(f, "capability file ", t->path, " exceeded its read limit");
        } else if (utf8_prefix(t->text, (size_t)n) != (size_t)n) {
                warn(f, "capability file ", t->path, " is not UTF-8");
        } else {
                t->len = (size_t)n;
                f->bytes += t->len;
                return true;
        }
        return false;
}

void find_text(struct find *f, const char *dir, const char *name, struct text *t)
{
        struct place p = { .grants = f->root.grants };
        struct stat st;
        int fd;

        *t = (struct text){ 0 };
        if (!place_join(t->path, dir, name))
                return;
        memcpy(p.path, t->path, sizeof(p.path));
        fd = place_open(&p, O_RDONLY, ACCESS_READ);
        if (fd == -ENOENT || fd == -ENXIO)
                return;
        if (fd < 0) {
                warn_error(f, "failed to read capability file ", t->path, -fd);
                return;
        }
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !read_open(f, fd, &st, t)) {
                free(t->text);
                t->text = NULL;
        }
        close(fd);
}

void find_put(struct buf *out, const struct text *t)
{
        if (!t->text) {
                buf_str(out, "null");
                return;
        }
        buf_str(out, "{\"path\":");
        tree_put_uri(out, t->path);
        buf_str(out, ",\"contents\":");
        buf_json(out, t->text, t->len);
        buf_str(out, "}");
}

static void put_and_free(struct buf *out, struct text *t)
{
        find_put(out, t);
        free(t->text);
        t->text = NULL;
}

void find_manifest(struct find *f, const char *dir, struct text *t)
{
        t->text = NULL;
        for (size_t i = 0; i < COUNT(manifests) && !t->text; i++)
                find_text(f, dir, manifests[i], t);
}

void find_manifest_above(struct find *f, const char *dir, struct text *t)
{
        char at[URI_PATH_MAX];

        memcpy(at, dir, strlen(dir) + 1);
        t->text = NULL;
        while (strcmp(at, "/") != 0 && !t->text) {
                place_up(at);
                find_manifest(f, at, t);
        }
}

/* --- what a manifest names -------------------------------------------------------------------- */

static void warn_field(struct find *f, const char *field, const struct text *manifest,
                       const char *why)
{
        char before[64];
        struct wr w = wr_of(before, sizeof(before) - 1);

        wr_fmt(&w, "ignoring %s in ", field);
        warn(f, wr_cstr(&w), manifest->path, why);
}

/* Does a component between slashes, of either kind, lead up? */
static bool leads_up(const char *path)
{
        while (*path) {
                size_t n = strcspn(path, "/\\");

                if (n == 2 && path[0] == '.' && path[1] == '.')
                        return true;
                path += n + (path[n] != '\0');
        }
        return false;
}

bool find_declared(struct find *f, const char *field, const struct value *v,
                   const struct text *manifest, struct text *t)
{
        char *path = take_memory(v->len + 1);
        size_t n = value_string(v, path);
        const char *wrong = NULL;

        path[n] = '\0';
        if (strncmp(path, "./", 2) != 0)
                wrong = ": path must start with `./`";
        else if (!path[2] || path[2] == '/' || leads_up(path) || strlen(path) != n)
                wrong = ": path must remain below the capability root";
        if (wrong)
                warn_field(f, field, manifest, wrong);
        else
                find_text(f, f->root.path, path + 2, t);
        free(path);
        return !wrong;
}

/* A path that is refused leaves the usual place; servers that stand in the manifest, nothing. */
static void read_servers(struct find *f, const struct value *v, const struct text *manifest,
                         struct text *t)
{
        if (v->type == VALUE_OBJECT)
                return;
        if (v->type != VALUE_STRING || !find_declared(f, "mcpServers", v, manifest, t))
                find_text(f, f->root.path, ".mcp.json", t);
}

static void put_plugin(struct find *f, const struct text *manifest, struct buf *out)
{
        struct text servers = { 0 }, apps = { 0 };
        struct value all, v = { .type = VALUE_ABSENT }, a = v;
        struct value_error e;

        if (!manifest->text) {
                buf_str(out, "null");
                return;
        }
        if (value_parse(&all, manifest->text, manifest->len, &e)) {
                v = value_get(&all, "mcpServers");
                a = value_get(&all, "apps");
        }
        read_servers(f, &v, manifest, &servers);
        if (a.type == VALUE_STRING)
                (void)find_declared(f, "apps", &a, manifest, &apps);
        buf_str(out, "{\"manifest\":");
        find_put(out, manifest);
        buf_str(out, ",\"mcpConfig\":");
        put_and_free(out, &servers);
        buf_str(out, ",\"appsConfig\":");
        put_and_free(out, &apps);
        buf_str(out, "}");
}

/* --- the walk ----------------------------------------------------------------------------------- */

static bool ends_with(const struct value *v, const char *end)
{
        size_t n = strlen(end);

        return v->len > n && v->at[v->len - n - 1] == '/' && !memcmp(v->at + v->len - n, end, n);
}

static size_t manifest_rank(const struct value *v)
{
        size_t i = 0;

        while (i < COUNT(manifests) && !ends_with(v, manifests[i]))
                i++;
        return i;
}

/* The length of the URI of the plugin's root, of its manifest's. */
static size_t plugin_root_len(const struct value *v)
{
        return v->len - strlen(manifests[manifest_rank(v)]) - 1;
}

static int by_bytes(const char *a, size_t a_len, const char *b, size_t b_len)
{
        int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

        return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_uri(const void *a, const void *b)
{
        const struct value *x = a, *y = b;

        return by_bytes(x->at, x->len, y->at, y->len);
}

/* By the plugin's root, then the manifest that counts first. */
static int by_plugin(const void *a, const void *b)
{
        const struct value *x = a, *y = b;
        int order = by_bytes(x->at, plugin_root_len(x), y->at, plugin_root_len(y));

        return order ? order : (int)manifest_rank(x) - (int)manifest_rank(y);
}

static void warn_of_walk(struct find *f, const struct value *walk)
{
        struct value errors = value_get(walk, "errors"), cut = value_get(walk, "truncated");
        struct value_iter i = value_items(&errors);
        struct value item;

        while (value_next(&i, NULL, &item)) {
                struct value uri = value_get(&item, "path"), why = value_get(&item, "message");

                if (f->warnings.len)
                        buf_str(&f->warnings, ",");
                buf_str(&f->warnings, "\"failed to scan capability path ");
                buf_put(&f->warnings, uri.at, uri.len); /* JSON text already */
                buf_str(&f->warnings, ": ");
                buf_put(&f->warnings, why.at, why.len);
                buf_str(&f->warnings, "\"");
        }
        if (value_true(&cut))
                warn(f, "capability scan reached its traversal limit (root: ", f->root.path, ")");
}

static void sort_files(struct find *f, const struct value *walk, struct found *skills,
                       struct found *plugins)
{
        struct value entries = value_get(walk, "entries"), item;
        struct value_iter i = value_items(&entries);

        skills->count = 0;
        plugins->count = 0;
        while (value_next(&i, NULL, &item)) {
                struct value uri = value_get(&item, "path"), kind = value_get(&item, "kind");

                if (!value_is(&kind, "file"))
                        continue;
                if (ends_with(&uri, "SKILL.md") && skills->count < FIND_MAX)
                        skills->uris[skills->count++] = uri;
                else if (manifest_rank(&uri) < COUNT(manifests) && plugins->count < FIND_MAX)
                        plugins->uris[plugins->count++] = uri;
        }
        qsort(skills->uris, skills->count, sizeof(skills->uris[0]), by_uri);
        qsort(plugins->uris, plugins->count, sizeof(plugins->uris[0]), by_plugin);
        warn_of_walk(f, walk);
}

int find_walk(struct find *f, struct buf *text, struct found *skills, struct found *plugins)
{
        struct walk w = { .root = f->root, .max_depth = DEPTH_MAX,
                          .max_directories = DIRECTORIES_MAX, .max_entries = FIND_MAX,
                          .follow = true };
        struct value walk;
        struct value_error e;
        int r = tree_walk(&w, text);

        if (r)
                return r;
        must_hold(value_parse(&walk, buf_at(text), text->len, &e));
        sort_files(f, &walk, skills, plugins);
        return 0;
}

bool find_folder(const struct value *uri, unsigned up, char path[URI_PATH_MAX])
{
        if (uri_parse(path, uri->at, uri->len) != URI_OK)
                return false;
        while (up--)
                place_up(path);
        return true;
}

static void put_skills(struct find *f, const struct found *skills, struct buf *out)
{
        struct text instructions, metadata;
        char dir[URI_PATH_MAX];
        bool first = true;

        for (size_t i = 0; i < skills->count; i++) {
                if (!find_folder(&skills->uris[i], 1, dir))
                        continue;
                find_text(f, dir, "SKILL.md", &instructions);
                if (!instructions.text)
                        continue;
                find_text(f, dir, "agents/openai.yaml", &metadata);
                buf_str(out, first ? "{\"instructions\":" : ",{\"instructions\":");
                put_and_free(out, &instructions);
                buf_str(out, ",\"metadata\":");
                put_and_free(out, &metadata);
                buf_str(out, "}");
                first = false;
        }
}

/* One manifest for each plugin root; @nearest is the root's own, or that of a folder above. */
static void put_namespaces(struct find *f, const struct found *plugins, const struct text *nearest,
                           struct buf *out)
{
        char dir[URI_PATH_MAX], last[URI_PATH_MAX] = "";
        bool first = !nearest->text;
        struct text t;

        if (nearest->text) {
                find_put(out, nearest);
                memcpy(last, nearest->path, sizeof(last));
                place_up(last);
                place_up(last);
        }
        for (size_t i = 0; i < plugins->count; i++) {
                if (!find_folder(&plugins->uris[i], 2, dir) || !strcmp(dir, last))
                        continue;
                memcpy(last, dir, sizeof(last));
                find_text(f, dir, manifests[manifest_rank(&plugins->uris[i])], &t);
                if (!t.text)
                        continue;
                if (!first)
                        buf_str(out, ",");
                put_and_free(out, &t);
                first = false;
        }
}

static void put_found(struct find *f, const struct found *skills, const struct found *plugins,
                      struct buf *out)
{
        struct text own, above = { 0 };
        struct buf namespaces = { 0 };

        find_manifest(f, f->root.path, &own);
        if (!own.text)
                find_manifest_above(f, f->root.path, &above);
        put_namespaces(f, plugins, own.text ? &own : &above, &namespaces);
        buf_str(out, ",\"plugin\":");
        put_plugin(f, &own, out);
        buf_str(out, ",\"skills\":[");
        put_skills(f, skills, out);
        buf_str(out, "],\"namespaceManifests\":[");
        buf_put(out, buf_at(&namespaces), namespaces.len);
        buf_str(out, "],\"warnings\":[");
        buf_put(out, buf_at(&f->warnings), f->warnings.len);
        buf_str(out, "],\"error\":null}");
        buf_free(&namespaces);
        free(own.text);
        free(above.text);
}

static void put_nothing(struct buf *out, const char *before, const char *path, const char *after)
{
        struct find none = { 0 };

        warn(&none, before, path, after);
        buf_str(out, ",\"plugin\":null,\"skills\":[],\"namespaceManifests\":[],\"warnings\":[],"
                     "\"error\":");
        buf_put(out, buf_at(&none.warnings), none.warnings.len);
        buf_str(out, "}");
        buf_free(&none.warnings);
}

static void put_failure(struct buf *out, const char *before, const char *path,
                        const struct buf *why)
{
        struct buf after = { 0 };

        buf_str(&after, ": ");
        buf_put(&after, buf_at(why), why->len);
        buf_put(&after, "", 1);
        put_nothing(out, before, path, buf_at(&after));
        buf_free(&after);
}

static void search(struct find *f, struct buf *out)
{
        static struct found skills LARGE_BUFFER, plugins LARGE_BUFFER;
        struct buf text = { 0 };
        struct stat st;
        int fd = place_open(&f->root, O_PATH, ACCESS_READ);

        if (fd < 0) {
                files_error(&text, -fd);
                put_failure(out, "failed to inspect capability root ", f->root.path, &text);
        } else if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)) {
                put_nothing(out, "capability root ", f->root.path, " is not a directory");
        } else if (find_walk(f, &text, &skills, &plugins)) {
                put_failure(out, "failed to scan capability root ", f->root.path, &text);
        } else {
                put_found(f, &skills, &plugins, out);
        }
        buf_free(&f->warnings);
        buf_free(&text);
        if (fd >= 0)
                close(fd);
}

/* --- the call ------------------------------------------------------------------------------------- */

/* One root of the call's list; what is wrong is in @p. Its grants hold until the next one. */
static void decode_root(struct params *p, struct value *id, struct place *place)
{
        *id = params_string(p, "id");
        files_place(p, "path", place);
}

static int discover(void *roots, struct buf *out)
{
        struct value_iter i = value_items(roots);
        struct value item, id;
        bool first = true;

        buf_str(out, "{\"roots\":[");
        while (value_next(&i, NULL, &item) && out->len <= HELPER_RESULT_MAX) {
                struct params p = params_of(&item);
                struct find f = { 0 };

                decode_root(&p, &id, &f.root);
                buf_str(out, first ? "{\"id\":\"" : ",{\"id\":\"");
                buf_put(out, id.at, id.len);
                buf_str(out, "\",\"path\":");
                tree_put_uri(out, f.root.path);
                search(&f, out);
                first = false;
        }
        buf_str(out, "]}");
        return 0;
}

void discover_call(struct call *call)
{
        static struct place place LARGE_BUFFER;
        struct value roots = params_array(call->p, "roots"), item, id;
        struct value_iter i = value_items(&roots);

        for (unsigned n = 0; n < DISCOVER_ROOTS && !call->p->bad && value_next(&i, NULL, &item); n++) {
                struct params p = params_of(&item);

                decode_root(&p, &id, &place);
                if (p.bad)
                        params_refuse(call->p, "%s", p.error);
        }
        if (call_refused(call, "capabilityRoots/discoverV1"))
                return;
        if (value_count(&roots) > DISCOVER_ROOTS)
                conn_error(call->conn, call->id, call->id_len, RPC_INVALID,
                           "capability root discovery accepts at most %u roots", DISCOVER_ROOTS);
        else
                helper_start(call, HELPER_READS, discover, &roots);
}
