/* agent/inventory.c - walks the places where skills and plugins are installed. In a helper. */
#include "agent/inventory.h"

#include "agent/find.h"
#include "agent/helper.h"
#include "agent/semver.h"
#include "agent/skill.h"
#include "agent/tree.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRECTORIES_MAX 2000   /* of the cache of plugins */
#define VERSIONS_MAX 4096      /* names that are looked at for one plugin's version */
#define REMOTE_MAX 16384       /* bytes of what an installer left beside a plugin */
#define REMOTE_ID_MAX 1024
#define REMOTE ".codex-remote-plugin-install.json"

/* A folder with a manifest: the name that goes before those of the skills below it. */
struct space {
        struct space *next;
        char *dir;
        struct buf name;
};

struct inventory {
        struct place place;       /* of the call: its rules */
        char home[URI_PATH_MAX];  /* of Codex */
        struct buf *out;
        bool no_room, no_place;   /* not all of it fits; not all of it was found */
        size_t bad_roots;         /* with something in them that could not be read */
        struct found skills, manifests;
        struct yaml yaml;
};

static struct inventory the_inventory LARGE_BUFFER;

static void warn(struct buf *out, const char *text)
{
        buf_str(out, *(buf_at(out) + out->len - 1) == '[' ? "\"" : ",\"");
        buf_str(out, text);
        buf_str(out, "\"");
}

static void put_warnings(struct inventory *v)
{
        if (v->no_room)
                warn(v->out, "capability discovery size limit reached");
        if (v->no_place)
                warn(v->out, "some capability locations could not be resolved; "
                             "discovery may be incomplete");
        while (v->bad_roots--)
                warn(v->out, "some capability metadata could not be loaded; "
                             "discovery may be incomplete");
}

/* A root is done with. */
static void forget(struct inventory *v, struct find *f)
{
        v->bad_roots += f->warnings.len > 0;
        buf_free(&f->warnings);
}

/* Something is wrong with this root; what it is stays here. */
static void note(struct find *f)
{
        if (!f->warnings.len)
                buf_str(&f->warnings, "\"\"");
}

/* One more item of a list that has @any already. */
static bool put_item(struct inventory *v, const struct buf *item, bool any)
{
        if (v->out->len + item->len > INVENTORY_MAX) {
                v->no_room = true;
                return any;
        }
        buf_str(v->out, any ? "," : "");
        buf_put(v->out, buf_at(item), item->len);
        return true;
}

/* ,"key":"text"; the key comes with what stands before it. */
static void put_text(struct buf *out, const char *key, const struct buf *text)
{
        buf_str(out, key);
        if (text->len)
                buf_json(out, buf_at(text), text->len);
        else
                buf_str(out, "null");
}

/* --- manifests ------------------------------------------------------------------------------ */

/* The member, which may not be there twice: *@bad then. */
static struct value member(const struct value *object, const char *key, bool *bad)
{
        struct value_iter i = value_items(object);
        struct value name, item, found = { .type = VALUE_ABSENT };

        while (object->type == VALUE_OBJECT && value_next(&i, &name, &item)) {
                if (!value_is(&name, key))
                        continue;
                *bad |= found.type != VALUE_ABSENT;
                found = item;
        }
        return found;
}

/* A string, or nothing; null is nothing where @null says so. */
static struct value string_member(const struct value *object, const char *key, bool null, bool *bad)
{
        struct value v = member(object, key, bad);

        *bad |= v.type != VALUE_STRING && v.type != VALUE_ABSENT && !(v.type == VALUE_NULL && null);
        return v;
}

static bool put_string(struct buf *b, const struct value *v)
{
        if (v->type != VALUE_STRING)
                return false;
        buf_added(b, value_string(v, buf_room(b, v->len)));
        return true;
}

static bool is_blank(const struct buf *b)
{
        struct buf trimmed = { 0 };
        bool blank;

        skill_trim(b, &trimmed);
        blank = !trimmed.len;
        buf_free(&trimmed);
        return blank;
}

/* What a manifest calls its plugin; the folder's name if it does not say. False: it is wrong. */
static bool read_name(const struct value *manifest, const char *dir, struct buf *name)
{
        bool bad = manifest->type != VALUE_OBJECT;
        struct value v = string_member(manifest, "name", false, &bad);

        (void)put_string(name, &v);
        if (is_blank(name)) {
                buf_drop(name, name->len, SIZE_MAX);
                buf_str(name, strrchr(dir, '/') + 1);
        }
        if (bad)
                buf_free(name);
        return !bad;
}

/* The root of the plugin that a manifest is of. */
static char *root_of(const char *manifest)
{
        char dir[URI_PATH_MAX], *root;

        memcpy(dir, manifest, strlen(manifest) + 1);
        place_up(dir);
        place_up(dir);
        root = take_memory(strlen(dir) + 1);
        memcpy(root, dir, strlen(dir));
        return root;
}

/* Takes what was read of one; a broken one names nothing. */
static void add_space(struct space **all, struct text *t)
{
        struct space *s = take_memory(sizeof(*s));
        struct value manifest;
        struct value_error e;

        s->dir = t->text ? root_of(t->path) : NULL;
        if (t->text && value_parse(&manifest, t->text, t->len, &e) &&
            read_name(&manifest, s->dir, &s->name)) {
                s->next = *all;
                *all = s;
        } else {
                free(s->dir);
                free(s);
        }
        free(t->text);
        t->text = NULL;
}

static struct space *find_spaces(struct inventory *v, struct find *f)
{
        struct space *all = NULL;
        struct text t;
        char dir[URI_PATH_MAX], last[URI_PATH_MAX] = "";

        find_manifest(f, f->root.path, &t);
        if (!t.text)
                find_manifest_above(f, f->root.path, &t);
        add_space(&all, &t);
        for (size_t i = 0; i < v->manifests.count; i++) {
                if (!find_folder(&v->manifests.uris[i], 2, dir) || !strcmp(dir, last))
                        continue;
                memcpy(last, dir, sizeof(last));
                find_manifest(f, dir, &t);
                add_space(&all, &t);
        }
        return all;
}

static void free_spaces(struct space *s)
{
        while (s) {
                struct space *next = s->next;

                free(s->dir);
                buf_free(&s->name);
                free(s);
                s = next;
        }
}

/* The innermost one. */
static const struct space *space_of(const struct space *s, const char *dir)
{
        const struct space *best = NULL;

        for (; s; s = s->next) {
                size_t n = strlen(s->dir);

                if (!strncmp(dir, s->dir, n) && (n == 1 || dir[n] == '/' || !dir[n]) &&
                    (!best || n > strlen(best->dir)))
                        best = s;
        }
        return best;
}

/* --- skills --------------------------------------------------------------------------------------- */

struct location {
        const char *id; /* NULL: a plugin's */
        const char *path;
};

static void put_location(struct buf *out, const struct location *l)
{
        if (!l->id)
                return;
        buf_str(out, ",\"discoveryRoot\":{\"id\":");
        buf_json(out, l->id, strlen(l->id));
        buf_str(out, ",\"path\":");
        tree_put_uri(out, l->path);
        buf_str(out, "}");
}

static void put_skill(struct buf *out, const struct skill *s, const struct buf *name,
                      const char *path, const struct location *l)
{
        put_text(out, "{\"name\":", name);
        put_text(out, ",\"description\":", &s->description);
        put_text(out, ",\"shortDescription\":", &s->brief);
        buf_str(out, ",\"path\":");
        tree_put_uri(out, path);
        put_location(out, l);
}

/* What stands beside it. False: it is not for our eyes, and may hold what matters. */
static bool put_about(struct inventory *v, struct find *f, const char *dir, struct buf *out)
{
        struct buf dependencies = { 0 }, policy = { 0 };
        struct text about;
        bool good;

        find_text(f, dir, "agents/openai.yaml", &about);
        good = skill_read_about(&v->yaml, about.text, about.len, &dependencies, &policy);
        buf_str(out, ",\"dependencies\":");
        buf_put(out, buf_at(&dependencies), dependencies.len);
        buf_str(out, ",\"policy\":");
        buf_put(out, buf_at(&policy), policy.len);
        buf_str(out, "}");
        free(about.text);
        buf_free(&dependencies);
        buf_free(&policy);
        return good;
}

/* The skill in @dir as JSON. False: there is none that is right. */
static bool read_skill(struct inventory *v, struct find *f, const struct space *spaces,
                       const char *dir, const struct location *l, struct buf *out)
{
        const struct space *space = space_of(spaces, dir);
        struct buf name = { 0 };
        struct skill skill;
        struct text t;
        bool good;

        find_text(f, dir, "SKILL.md", &t);
        if (!t.text)
                return false;
        good = skill_read(&v->yaml, t.text, t.len, strrchr(dir, '/') + 1, &skill);
        if (good) {
                if (space) {
                        buf_put(&name, buf_at(&space->name), space->name.len);
                        buf_str(&name, ":");
                }
                buf_put(&name, buf_at(&skill.name), skill.name.len);
                good = skill_chars(&name) <= SKILL_FULL_NAME_MAX;
                put_skill(out, &skill, &name, t.path, l);
                skill_free(&skill);
                good = good && put_about(v, f, dir, out);
        }
        if (!good)
                note(f);
        buf_free(&name);
        free(t.text);
        return good;
}

/* Those below f->root, as items of v->out or of @list. */
static bool put_skills(struct inventory *v, struct find *f, const struct location *l,
                       struct buf *list, bool any)
{
        struct buf text = { 0 };
        struct space *spaces;
        char dir[URI_PATH_MAX];

        if (find_walk(f, &text, &v->skills, &v->manifests)) {
                note(f);
                buf_free(&text);
                return any;
        }
        spaces = find_spaces(v, f);
        for (size_t i = 0; i < v->skills.count; i++) {
                struct buf one = { 0 };

                if (find_folder(&v->skills.uris[i], 1, dir) &&
                    read_skill(v, f, spaces, dir, l, &one)) {
                        if (!list) {
                                any = put_item(v, &one, any);
                        } else if (list->len <= INVENTORY_MAX) {
                                buf_str(list, any ? "," : "");
                                buf_put(list, buf_at(&one), one.len);
                                any = true;
                        }
                }
                buf_free(&one);
        }
        free_spaces(spaces);
        buf_free(&text);
        return any;
}

/* --- plugins ------------------------------------------------------------------------------------------ */

struct plugin {
        char *market, *name;
};

static bool is_name(const char *s, const char *more)
{
        size_t n = 0;

        for (; s[n]; n++)
                if (!((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'A' && s[n] <= 'Z') ||
                      (s[n] >= 'a' && s[n] <= 'z') || strchr(more, s[n])))
                        return false;
        return n > 0;
}

static bool is_folder(int dir, const struct dirent *e)
{
        struct stat st;

        return e->d_type == DT_DIR ||
               (e->d_type == DT_UNKNOWN &&
                fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode));
}

/* The version that counts: "local", or the latest. False: there is none. */
static bool find_version(struct inventory *v, const char *base, char version[256])
{
        struct place p = { .grants = v->place.grants };
        unsigned names = 0;
        struct dirent *e;
        DIR *dir;
        int fd;

        version[0] = '\0';
        memcpy(p.path, base, strlen(base) + 1);
        fd = place_open(&p, O_RDONLY | O_DIRECTORY, ACCESS_READ);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return false;
        }
        while (strcmp(version, "local") != 0 && names++ < VERSIONS_MAX && (e = readdir(dir))) {
                if (!is_name(e->d_name, "-_.+") || !strcmp(e->d_name, ".") ||
                    !strcmp(e->d_name, "..") || !is_folder(fd, e))
                        continue;
                if (!version[0] || !strcmp(e->d_name, "local") ||
                    semver_compare(e->d_name, version) > 0)
                        memcpy(version, e->d_name, strlen(e->d_name) + 1);
        }
        closedir(dir);
        if (names > VERSIONS_MAX)
                v->no_place = true;
        return version[0] != '\0';
}

/* What an installer knows the plugin by; a mark that is wrong is none. */
static void read_remote_id(struct inventory *v, const char *base, struct buf *out)
{
        struct find apart = { .root.grants = v->place.grants };
        struct value all, id, version;
        struct buf text = { 0 };
        struct value_error e;
        struct text t;
        bool bad = false;

        find_text(&apart, base, REMOTE, &t);
        if (t.text && t.len <= REMOTE_MAX && value_parse(&all, t.text, t.len, &e)) {
                version = member(&all, "schema_version", &bad);
                id = string_member(&all, "remote_plugin_id", false, &bad);
                bad |= version.type != VALUE_NUMBER || version.len != 1 || *version.at != '1' || !put_string(&text, &id);
                skill_trim(&text, out);
        }
        if (bad || out->len > REMOTE_ID_MAX)
                buf_drop(out, out->len, SIZE_MAX);
        v->no_place |= !out->len && access(t.path, F_OK) == 0;
        free(t.text);
        buf_free(&text);
        buf_free(&apart.warnings);
}

/* Servers that stand in the manifest itself: without the white space between them. */
static void put_inline(struct buf *out, const struct text *manifest, const struct value *v)
{
        struct text t = *manifest;
        struct buf small = { 0 };
        bool quoted = false;

        for (size_t i = 0; i < v->len; i++) {
                if (v->at[i] == '"')
                        quoted = !quoted;
                if (quoted || !strchr(" \t\r\n", v->at[i]))
                        buf_put(&small, v->at + i, 1);
                if (quoted && v->at[i] == '\\')
                        buf_put(&small, v->at + ++i, 1);
        }
        t.text = buf_at(&small);
        t.len = small.len;
        find_put(out, &t);
        buf_free(&small);
}

/* The file that the manifest names, or the usual one. */
static void put_config(struct find *f, const char *field, const struct value *v, const char *usual,
                       const struct text *manifest, struct buf *out)
{
        struct text t = { 0 };
        bool named = v->type == VALUE_STRING && find_declared(f, field, v, manifest, &t);

        if (!named)
                find_text(f, f->root.path, usual, &t);
        else if (!t.text)
                note(f);
        find_put(out, &t);
        free(t.text);
}

static void put_files(struct find *f, const struct value *all, const struct text *manifest,
                      const struct value *apps, struct buf *out)
{
        struct value servers = value_get(all, "mcpServers");

        buf_str(out, ",\"files\":{\"manifest\":");
        find_put(out, manifest);
        buf_str(out, ",\"mcpConfig\":");
        if (servers.type == VALUE_OBJECT)
                put_inline(out, manifest, &servers);
        else
                put_config(f, "mcpServers", &servers, ".mcp.json", manifest, out);
        buf_str(out, ",\"appsConfig\":");
        put_config(f, "apps", apps, ".app.json", manifest, out);
        buf_str(out, "}");
}

/* What a manifest has to be right in, for its plugin to be one. */
struct said {
        struct buf name;
        struct value apps;
};

static bool read_manifest(const struct value *all, const char *dir, struct said *s)
{
        struct buf title = { 0 }, trimmed = { 0 };
        bool bad = false;
        struct value face = member(all, "interface", &bad), display;

        s->name = (struct buf){ 0 };
        s->apps = string_member(all, "apps", true, &bad);
        (void)member(all, "mcpServers", &bad);
        bad |= face.type != VALUE_OBJECT && face.type != VALUE_ABSENT && face.type != VALUE_NULL;
        display = string_member(&face, "displayName", true, &bad);
        if (bad || !read_name(all, dir, &s->name))
                return false;
        (void)put_string(&title, &display);
        skill_trim(&title, &trimmed);
        if (trimmed.len) {
                buf_free(&s->name);
                s->name = trimmed;
        } else {
                buf_free(&trimmed);
        }
        buf_free(&title);
        return true;
}

static void put_plugin_head(const struct plugin *p, const struct said *s, const char *version,
                            const char *root, const struct buf *id, struct buf *out)
{
        buf_str(out, "{\"id\":\""); /* of letters that need no escapes */
        buf_str(out, p->name);
        buf_str(out, "@");
        buf_str(out, p->market);
        put_text(out, "\",\"displayName\":", &s->name);
        put_text(out, ",\"remotePluginId\":", id);
        buf_str(out, ",\"version\":");
        buf_json(out, version, strlen(version));
        buf_str(out, ",\"root\":");
        tree_put_uri(out, root);
}

/* f->root is the version's folder. */
static bool put_plugin(struct inventory *v, struct find *f, const struct plugin *p,
                       const char *version, const struct buf *id, bool any)
{
        struct location none = { 0 };
        struct buf one = { 0 };
        struct value_error e;
        struct text manifest;
        struct value all;
        struct said said;
        bool good;

        find_manifest(f, f->root.path, &manifest);
        good = manifest.text && value_parse(&all, manifest.text, manifest.len, &e) &&
               all.type == VALUE_OBJECT && read_manifest(&all, f->root.path, &said);
        if (good) {
                put_plugin_head(p, &said, version, f->root.path, id, &one);
                put_files(f, &all, &manifest, &said.apps, &one);
                buf_str(&one, ",\"skills\":[");
                (void)put_skills(v, f, &none, &one, false);
                buf_str(&one, "]}");
                any = put_item(v, &one, any);
                buf_free(&said.name);
        } else {
                note(f);
        }
        free(manifest.text);
        buf_free(&one);
        return any;
}

static int by_id(const void *a, const void *b)
{
        const struct plugin *x = a, *y = b;
        char p[520], q[520];
        struct wr w = wr_of(p, sizeof(p)), z = wr_of(q, sizeof(q));

        wr_fmt(&w, "%s@%s", x->name, x->market);
        wr_fmt(&z, "%s@%s", y->name, y->market);
        return strcmp(wr_cstr(&w), wr_cstr(&z));
}

static char *copy(const char *s, size_t len)
{
        char *c = take_memory(len + 1);

        memcpy(c, s, len);
        return c;
}

/* MARKETPLACE/NAME folders below the cache. */
static size_t list_plugins(struct inventory *v, const struct walk *w, struct plugin *list)
{
        struct buf text = { 0 };
        struct value all, entries, item, errors, cut;
        struct value_error e;
        struct value_iter i;
        size_t count = 0, root = strlen(w->root.path);
        char path[URI_PATH_MAX];

        if (tree_walk((void *)(uintptr_t)w, &text)) {
                buf_free(&text);
                return 0;
        }
        must_hold(value_parse(&all, buf_at(&text), text.len, &e));
        entries = value_get(&all, "entries");
        errors = value_get(&all, "errors");
        cut = value_get(&all, "truncated");
        if (value_true(&cut) || value_count(&errors))
                v->no_place = true;
        for (i = value_items(&entries); value_next(&i, NULL, &item);) {
                struct value kind = value_get(&item, "kind"), uri = value_get(&item, "path");
                char *slash;

                if (!value_is(&kind, "directory") || uri_parse(path, uri.at, uri.len) != URI_OK ||
                    strlen(path) <= root)
                        continue;
                slash = strchr(path + root + 1, '/');
                if (!slash)
                        continue;
                *slash = '\0';
                if (!is_name(path + root + 1, "-_") || !is_name(slash + 1, "-_"))
                        continue;
                if (count == INVENTORY_PLUGINS) {
                        v->no_place = true;
                        break;
                }
                list[count].market = copy(path + root + 1, strlen(path + root + 1));
                list[count++].name = copy(slash + 1, strlen(slash + 1));
        }
        buf_free(&text);
        qsort(list, count, sizeof(*list), by_id);
        return count;
}

/* The plugin's latest version, and what its installer knows it by. */
static bool put_installed(struct inventory *v, const char *cache, const struct plugin *p, bool any)
{
        struct find f = { .root.grants = v->place.grants };
        char market[URI_PATH_MAX], base[URI_PATH_MAX], version[256];
        struct buf id = { 0 };

        if (!place_join(market, cache, p->market) || !place_join(base, market, p->name) ||
            !find_version(v, base, version) || !place_join(f.root.path, base, version))
                return any;
        read_remote_id(v, base, &id);
        any = put_plugin(v, &f, p, version, &id, any);
        buf_free(&id);
        forget(v, &f);
        return any;
}

static void put_plugins(struct inventory *v)
{
        static struct plugin list[INVENTORY_PLUGINS] LARGE_BUFFER;
        struct walk w = { .root = v->place, .max_depth = 1, .max_directories = DIRECTORIES_MAX,
                          .max_entries = FIND_MAX, .follow = true };
        bool any = false;
        size_t count;

        if (!place_join(w.root.path, v->home, "plugins/cache"))
                return;
        count = list_plugins(v, &w, list);
        for (size_t i = 0; i < count; i++)
                any = put_installed(v, w.root.path, &list[i], any);
}

/* --- the call --------------------------------------------------------------------------------------------- */

static bool put_location_skills(struct inventory *v, const char *id, const char *base,
                                const char *below, bool any)
{
        struct find f = { .root.grants = v->place.grants };
        struct location l = { .id = id, .path = f.root.path };
        struct stat st;
        int fd;

        if (!place_join(f.root.path, base, below))
                return any;
        fd = place_open(&f.root, O_PATH, ACCESS_READ);
        if (fd < 0) {
                if (fd != -ENOENT && fd != -ENOTDIR)
                        v->no_place = true;
                return any;
        }
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
                any = put_skills(v, &f, &l, NULL, any);
        }
        close(fd);
        forget(v, &f);
        return any;
}

/* $CODEX_HOME has to be there, ~/.codex need not. */
static bool find_home(struct inventory *v, struct buf *why)
{
        const char *home = getenv("CODEX_HOME");
        char real[PATH_MAX];
        struct stat st;

        if (!home || !home[0])
                return place_join(v->home, info_home(), ".codex");
        if (stat(home, &st) == 0 && S_ISDIR(st.st_mode) && realpath(home, real) &&
            strlen(real) < sizeof(v->home)) {
                memcpy(v->home, real, strlen(real) + 1);
                return true;
        }
        buf_str(why, "CODEX_HOME points to \"");
        buf_str(why, home);
        buf_str(why, stat(home, &st) < 0 ? "\", but that path does not exist"
                                         : "\", but that path is not a directory");
        return false;
}

static int take_inventory(void *place, struct buf *out)
{
        struct inventory *v = &the_inventory;
        bool any;

        v->place = *(const struct place *)place;
        v->out = out;
        if (!find_home(v, out))
                return RPC_INTERNAL;
        buf_str(out, "{\"plugins\":[");
        put_plugins(v);
        buf_str(out, "],\"skills\":[");
        any = put_location_skills(v, "codex-home-skills", v->home, "skills", false);
        any = put_location_skills(v, "user-agent-skills", info_home(), ".agents/skills", any);
        (void)put_location_skills(v, "system-skills", "/etc/codex", "skills", any);
        buf_str(out, "],\"warnings\":[");
        put_warnings(v);
        buf_str(out, "]}");
        return 0;
}

void inventory_call(struct call *call)
{
        static struct place place LARGE_BUFFER;

        files_place(call->p, "cwd", &place); /* the place does not matter, its rules do */
        if (!call_refused(call, "capabilities/discoverV2"))
                helper_start(call, HELPER_READS, take_inventory, &place);
}
