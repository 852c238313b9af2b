/* init/cache_key.c - hashes over what decides a state. */
#include "init/cache_key.h"

#include "base/io.h"
#include "init/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add_text(struct sha256 *s, const char *text)
{
        sha256_add(s, text, strlen(text) + 1);
}

static void add_number(struct sha256 *s, uint64_t n)
{
        char text[24];
        struct wr w = wr_of(text, sizeof(text) - 1);

        wr_u64(&w, n);
        add_text(s, wr_cstr(&w));
}

static int add_part(struct cache_parts *p, const char *name, struct sha256 *s)
{
        if (p->count == COUNT(p->at))
                return -E2BIG;
        p->at[p->count].name = name;
        sha256_end_hex(s, p->at[p->count++].hash);
        return 0;
}

static int add_value(struct cache_parts *p, const char *name, const char *value)
{
        struct sha256 s;

        sha256_init(&s);
        add_text(&s, value);
        return add_part(p, name, &s);
}

/* --- the image -------------------------------------------------------------------------- */

static void hash_file(struct sha256 *s, int root, const char *path)
{
        static LARGE_BUFFER char buf[64 << 10];
        AUTO_CLOSE int fd = openat(root, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        ssize_t n;

        add_text(s, path);
        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        while ((n = read_full(fd, buf, sizeof(buf))) > 0)
                sha256_add(s, buf, (size_t)n);
}

struct listed {
        char name[NAME_MAX + 1];
        uint64_t size, mtime;
        mode_t kind;
};

static int by_listed_name(const void *a, const void *b)
{
        const struct listed *x = a, *y = b;

        return strcmp(x->name, y->name);
}

/* Directories by name alone: their times change with what is in them. */
static void hash_list(struct sha256 *s, int root, const char *path)
{
        static LARGE_BUFFER struct listed list[8192];
        int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *e;
        size_t count = 0;

        add_text(s, path);
        if (!d)
                return;
        while ((e = readdir(d)) && count < COUNT(list)) {
                struct listed *l = &list[count];
                struct stat st;

                if (e->d_name[0] == '.' || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                memcpy(l->name, e->d_name, strlen(e->d_name) + 1);
                l->kind = st.st_mode & (S_IFMT | 07777);
                l->size = S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_size;
                l->mtime = S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_mtim.tv_sec;
                count++;
        }
        closedir(d);
        qsort(list, count, sizeof(*list), by_listed_name);
        for (size_t i = 0; i < count; i++) {
                add_text(s, list[i].name);
                add_number(s, list[i].kind);
                add_number(s, list[i].size);
                add_number(s, list[i].mtime);
        }
}

void cache_image_hash(int root, char hash[static SHA256_HEX])
{
        static const char *const files[] = {
                "etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status",
                "lib/apk/db/installed",
        };
        static const char *const lists[] = {
                "usr/bin", "usr/sbin", "usr/lib", "usr/local/bin", "usr/local/sbin",
                "usr/local/lib", "opt", "var/lib/rpm", "usr/lib/sysimage/rpm",
                "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64", "bin", "lib",
        };
        struct sha256 s;

        sha256_init(&s);
        for (size_t i = 0; i < COUNT(files); i++)
                hash_file(&s, root, files[i]);
        for (size_t i = 0; i < COUNT(lists); i++)
                hash_list(&s, root, lists[i]);
        sha256_end_hex(&s, hash);
}

static int add_user(struct cache_parts *p)
{
        struct sha256 s;

        sha256_init(&s);
        add_number(&s, geteuid());
        add_number(&s, getegid());
        return add_part(p, "user", &s);
}

/* --- the key ---------------------------------------------------------------------------- */

static int by_part_name(const void *a, const void *b)
{
        const struct cache_part *x = a, *y = b;

        return strcmp(x->name, y->name);
}

static bool is_akin(const char *name)
{
        return !strcmp(name, "user") || !strcmp(name, "repo.url") || !strcmp(name, "repo.dir");
}

static int add_records(struct cache_parts *p, const char *at, size_t len)
{
        int r = 0;

        if (len && at[len - 1])
                return -EINVAL;
        while (len && !r) {
                size_t name = strlen(at) + 1, value;

                if (name == 1 || name == len)
                        return -EINVAL;
                value = strlen(at + name) + 1;
                r = add_value(p, at, at + name);
                at += name + value;
                len -= name + value;
        }
        return r;
}

int cache_key_make(struct cache_parts *p, const char *records, size_t len, const char *image)
{
        struct sha256 key, slot;
        int r;

        p->count = 0;
        r = add_value(p, "format", CACHE_FORMAT);
        if (!r)
                r = add_records(p, records, len);
        if (!r)
                r = add_user(p);
        if (!r)
                r = add_value(p, "image", image);
        if (r < 0)
                return r;
        qsort(p->at, p->count, sizeof(*p->at), by_part_name);
        sha256_init(&key);
        sha256_init(&slot);
        for (size_t i = 0; i < p->count; i++) {
                struct cache_part *part = &p->at[i];

                if (i && !strcmp(part->name, part[-1].name))
                        return -EINVAL;
                add_text(&key, part->name);
                add_text(&key, part->hash);
                if (!is_akin(part->name))
                        continue;
                add_text(&slot, part->name);
                add_text(&slot, part->hash);
        }
        sha256_end_hex(&key, p->key);
        sha256_end_hex(&slot, p->slot);
        return 0;
}

/* --- lock files ------------------------------------------------------------------------- */

static bool is_lock(const char *name)
{
        static const char *const names[] = {
                "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml",
                "bun.lock", "bun.lockb", "poetry.lock", "Pipfile.lock", "uv.lock", "pdm.lock",
                "Cargo.lock", "go.sum", "Gemfile.lock", "composer.lock", "mix.lock",
                "gradle.lockfile", "Package.resolved", "packages.lock.json", "deno.lock",
                "pubspec.lock", "flake.lock",
        };
        size_t len = strlen(name);

        for (size_t i = 0; i < COUNT(names); i++)
                if (!strcmp(name, names[i]))
                        return true;
        return !strncmp(name, "requirements", 12) && len >= 16 && !strcmp(name + len - 4, ".txt");
}

/* What package managers fill themselves. */
static bool is_theirs(const char *name)
{
        static const char *const names[] = { "node_modules", "vendor", "target", "venv",
                                             "__pycache__", "dist", "build" };

        for (size_t i = 0; i < COUNT(names); i++)
                if (!strcmp(name, names[i]))
                        return true;
        return name[0] == '.';
}

static int by_path(const void *a, const void *b)
{
        const struct cache_lock *x = a, *y = b;

        return strcmp(x->path, y->path);
}

static void find_in(struct cache_locks *l, int fd, const char *prefix, unsigned depth)
{
        DIR *d = fdopendir(fd);
        const struct dirent *e;

        while (d && (e = readdir(d)) && l->count < COUNT(l->at)) {
                struct cache_lock *lock = &l->at[l->count];
                struct wr w = wr_of(lock->path, sizeof(lock->path) - 1);
                struct sha256 s;

                if (!is_lock(e->d_name) &&
                    (!depth || is_theirs(e->d_name) || (e->d_type != DT_DIR && e->d_type)))
                        continue;
                wr_fmt(&w, "%s%s%s", prefix, *prefix ? "/" : "", e->d_name);
                if (w.full)
                        continue;
                wr_cstr(&w);
                if (is_lock(e->d_name)) {
                        sha256_init(&s);
                        hash_file(&s, dirfd(d), e->d_name);
                        sha256_end_hex(&s, lock->hash);
                        l->count++;
                } else {
                        char inner[sizeof(lock->path)];
                        int sub = openat(dirfd(d), e->d_name,
                                         O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

                        memcpy(inner, lock->path, sizeof(inner));
                        if (sub >= 0)
                                find_in(l, sub, inner, depth - 1);
                }
        }
        if (d)
                closedir(d);
        else
                close(fd);
}

void cache_locks_find(struct cache_locks *l, const char *work)
{
        int fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        l->count = 0;
        if (fd >= 0)
                find_in(l, fd, "", 4);
        qsort(l->at, l->count, sizeof(*l->at), by_path);
}

void cache_key_put(struct wr *w, const struct cache_parts *p, const struct cache_locks *l)
{
        wr_str(w, "\"parts\":{");
        for (size_t i = 0; i < p->count; i++) {
                wr_str(w, i ? ",\n" : "\n");
                wr_json(w, p->at[i].name, strlen(p->at[i].name));
                wr_fmt(w, ":\"%s\"", p->at[i].hash);
        }
        wr_str(w, "},\n\"locks\":{");
        for (size_t i = 0; i < l->count; i++) {
                wr_str(w, i ? ",\n" : "\n");
                wr_json(w, l->at[i].path, strlen(l->at[i].path));
                wr_fmt(w, ":\"%s\"", l->at[i].hash);
        }
        wr_str(w, "}");
}
