/*
 * init/cache_show.c - airlock cache ls, key, why and reset: what a person asks.
 *
 * They read a spec as the operator wrote it. What only the container knows - the narrower
 * spec of a repository, secret values - is said to be unknown, not guessed.
 */
#include "init/cache.h"

#include "base/io.h"
#include "base/log.h"
#include "init/cache_entry.h"
#include "init/cache_key.h"
#include "init/cache_parts.h"
#include "init/spec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define DIR_DEFAULT "/airlock/cache"

static LARGE_BUFFER struct cache_parts parts;
static LARGE_BUFFER struct entry entry;
static LARGE_BUFFER char records[CACHE_PARTS_MAX];

static PRINTF_LIKE(1, 2) void say(const char *fmt, ...)
{
        char line[2048], plain[4096];
        struct wr w = wr_of(line, sizeof(line)), p = wr_of(plain, sizeof(plain) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_plain(&p, line, w.len);
        plain[p.len++] = '\n';
        if (write_full(STDOUT_FILENO, plain, p.len) < 0)
                die(STATUS_OUTPUT, "standard output is closed");
}

static void put_age(struct wr *w, uint64_t s)
{
        if (s < 120)
                wr_fmt(w, "%llu s", (unsigned long long)s);
        else if (s < 7200)
                wr_fmt(w, "%llu min", (unsigned long long)s / 60);
        else
                wr_fmt(w, "%llu h", (unsigned long long)s / 3600);
}

static void say_entry(const char *prefix, const struct entry *e, int r)
{
        char text[160];
        struct wr w = wr_of(text, sizeof(text) - 1);

        put_age(&w, e->age_s);
        wr_fmt(&w, " old of ");
        put_age(&w, e->ttl_s);
        wr_fmt(&w, ", %llu.%llu MB, %llu names", (unsigned long long)e->size / 1000000,
               (unsigned long long)e->size / 100000 % 10, (unsigned long long)e->entries);
        if (e->size)
                say("%s%s%s%s", prefix, wr_cstr(&w), r ? "; a miss: " : "", e->why);
        else
                say("%sa miss: %s", prefix, e->why);
}

static int open_dir(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                die_errno(STATUS_USAGE, errno, "%s", path);
        return fd;
}

int cache_ls(int argc, char **argv)
{
        const char *path = argc > 1 ? argv[1] : DIR_DEFAULT;
        AUTO_CLOSE int dir = open_dir(path);
        int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = again < 0 ? NULL : fdopendir(again);
        const struct dirent *n;
        unsigned count = 0;

        while (d && (n = readdir(d))) {
                char prefix[80];
                struct wr w = wr_of(prefix, sizeof(prefix) - 1);
                int r;

                if (!entry_is_name(n->d_name))
                        continue;
                r = entry_open(&entry, dir, n->d_name, 0);
                wr_fmt(&w, "%s  ", n->d_name);
                say_entry(wr_cstr(&w), &entry, r);
                entry_close(&entry);
                count++;
        }
        if (d)
                closedir(d);
        if (!count)
                say("no states in %s", path);
        return STATUS_OK;
}

struct asked {
        const char *spec_path, *dir, *root, *secrets;
        struct spec spec;
};

static void read_options(struct asked *a, int argc, char **argv)
{
        *a = (struct asked){ .root = "/" };
        for (int i = 1; i < argc; i++) {
                const char *const name = argv[i];
                const char **value = !strcmp(name, "--dir") ? &a->dir
                                     : !strcmp(name, "--root") ? &a->root
                                     : !strcmp(name, "--secrets") ? &a->secrets : NULL;

                if (value && i + 1 < argc)
                        *value = argv[++i];
                else if (!value && !a->spec_path && (name[0] != '-' || !name[1]))
                        a->spec_path = name;
                else
                        die(STATUS_USAGE, "%s: unknown, or no value for it", name);
        }
        if (!a->spec_path)
                die(STATUS_USAGE, "usage: airlock cache key|why SPEC [--dir DIR] [--root DIR]");
}

/* The spec, and the key as far as it can be known here. */
static int ask(struct asked *a, int argc, char **argv)
{
        struct wr w = wr_of(records, sizeof(records));
        char image[SHA256_HEX];
        int r;

        read_options(a, argc, argv);
        r = spec_load(a->spec_path, &a->spec);
        if (r)
                return r;
        if (!a->dir)
                a->dir = a->spec.cache.dir ? a->spec.cache.dir : DIR_DEFAULT;
        cache_parts_put(&a->spec, &w);
        if (a->secrets) {
                wr_bytes(&w, "secrets", 8);
                wr_bytes(&w, a->secrets, strlen(a->secrets) + 1);
        }
        AUTO_CLOSE int root = open_dir(a->root);
        cache_image_hash(root, image);
        r = w.full ? -E2BIG : cache_key_make(&parts, records, w.len, image);
        if (r < 0)
                die_errno(STATUS_SPEC, -r, "make the key");
        return STATUS_OK;
}

int cache_key_command(int argc, char **argv)
{
        struct asked a;
        int r = ask(&a, argc, argv);

        if (!r)
                say("%s", parts.key);
        return r;
}

/* What a part is, in a person's words. */
static const char *meaning(const char *name)
{
        static const struct { const char *name, *text; } words[] = {
                { "format", "the format that airlock writes" },
                { "image", "the image" },
                { "user", "the user that setup runs as" },
                { "setup.script", "the setup script" },
                { "maintenance.script", "the maintenance script" },
                { "setup.auto", "automatic setup" },
                { "setup.steps", "what automatic setup runs" },
                { "secrets", "a secret's value" },
                { "secrets.names", "the names of the secrets" },
        };

        for (size_t i = 0; i < COUNT(words); i++)
                if (!strcmp(name, words[i].name))
                        return words[i].text;
        return "it";
}

/* Names each part in which the open entry differs. Returns how many. */
static unsigned compare(const struct asked *a, bool aloud)
{
        struct entry_pair was;
        uint32_t at = 0;
        bool more = entry_next(&entry, "parts", &at, &was);
        unsigned differ = 0;

        for (size_t i = 0; i < parts.count || more;) {
                int d = i == parts.count ? 1 : !more ? -1 : strcmp(parts.at[i].name, was.name);
                const char *name = d > 0 ? was.name : parts.at[i].name;

                if (d > 0 && !strcmp(name, "secrets") && !a->secrets) {
                        if (aloud)
                                say("  ? secrets: their values are not known here");
                } else if (d > 0 && !strcmp(name, "setup.steps")) {
                        if (aloud)
                                say("  ? setup.steps: what the repository's files ask for is not "
                                    "known here");
                } else if (d || strcmp(parts.at[i].hash, was.value) != 0) {
                        differ++;
                        if (aloud)
                                say("  %s: %s %s", name, meaning(name),
                                    d < 0 ? "is new" : d > 0 ? "is gone" : "changed");
                }
                i += d <= 0;
                if (d >= 0)
                        more = entry_next(&entry, "parts", &at, &was);
        }
        return differ;
}

/* The state that is most alike: same repository and user, fewest differences, youngest. */
static bool find_nearest(const struct asked *a, int dir, char name[static SHA256_HEX])
{
        int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = again < 0 ? NULL : fdopendir(again);
        const struct dirent *n;
        unsigned best = 0;
        uint64_t best_age = 0;

        name[0] = '\0';
        while (d && (n = readdir(d))) {
                unsigned differ;

                if (!entry_is_name(n->d_name))
                        continue;
                (void)!entry_open(&entry, dir, n->d_name, 0);
                differ = compare(a, false);
                if (!strcmp(entry.slot, parts.slot) &&
                    (!name[0] || differ < best || (differ == best && entry.age_s < best_age))) {
                        best = differ;
                        best_age = entry.age_s;
                        memcpy(name, n->d_name, SHA256_HEX);
                }
                entry_close(&entry);
        }
        if (d)
                closedir(d);
        return name[0] != '\0';
}

int cache_why(int argc, char **argv)
{
        struct asked a;
        char nearest[SHA256_HEX];
        int r = ask(&a, argc, argv);
        unsigned differ;

        if (r)
                return r;
        AUTO_CLOSE int dir = open(a.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0) {
                say("miss: %s: %s", a.dir, strerror(errno));
                return CACHE_MISS;
        }
        if (!find_nearest(&a, dir, nearest)) {
                say("miss: no state of this repository and user in %s", a.dir);
                return CACHE_MISS;
        }
        r = entry_open(&entry, dir, nearest, a.spec.cache.ttl_s);
        differ = compare(&a, false);
        say("%s: %.*s", r || differ ? "miss" : "hit", 12, nearest);
        say_entry("  ", &entry, r);
        compare(&a, true);
        entry_close(&entry);
        return r || differ ? CACHE_MISS : STATUS_OK;
}

/* Everything in a directory, or one key of it. */
int cache_reset(int argc, char **argv)
{
        const char *key = argc > 2 ? argv[2] : NULL;
        struct stat st;
        struct spec spec;
        const char *path = argc > 1 ? argv[1] : DIR_DEFAULT;
        const struct dirent *n;
        unsigned count = 0;
        int r, failed = 0;

        if (!stat(path, &st) && S_ISREG(st.st_mode)) {
                r = spec_load(path, &spec);
                if (r)
                        return r;
                if (!spec.cache.dir)
                        die(STATUS_USAGE, "%s: names no cache.dir", path);
                path = spec.cache.dir;
        }
        AUTO_CLOSE int dir = open_dir(path);
        int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = again < 0 ? NULL : fdopendir(again);

        while (d && (n = readdir(d))) {
                if (!entry_is_name(n->d_name) || (key && strncmp(n->d_name, key, strlen(key)) != 0))
                        continue;
                r = entry_remove(dir, n->d_name);
                if (r < 0) {
                        log_errno(LOG_ERROR, -r, "%s", n->d_name);
                        failed++;
                } else {
                        count++;
                }
        }
        if (d)
                closedir(d);
        say("removed %u of the states in %s", count, path);
        return failed ? STATUS_OUTPUT : STATUS_OK;
}
