/* init/cache_entry.c - entries: opened with distrust, made beside their place. */
#include "init/cache_entry.h"

#include "base/digits.h"
#include "base/io.h"
#include "init/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define PART_S 10 /* how long a new part is let alone */

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static int say(struct entry *e, int r, const char *why)
{
        struct wr w = wr_of(e->why, sizeof(e->why) - 1);

        wr_plain(&w, why, strlen(why));
        wr_cstr(&w);
        return r;
}

bool entry_is_name(const char *name)
{
        return strlen(name) == SHA256_HEX - 1 &&
               strspn(name, "0123456789abcdef") == SHA256_HEX - 1;
}

void entry_clock_read(struct entry_clock *c)
{
        struct timespec t;
        ssize_t n = read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", c->boot,
                              sizeof(c->boot));

        c->boot[n > 0 ? strcspn(c->boot, "\n") : 0] = '\0';
        clock_gettime(CLOCK_REALTIME, &t);
        c->wall_s = (uint64_t)t.tv_sec;
        clock_gettime(CLOCK_BOOTTIME, &t);
        c->boot_s = (uint64_t)t.tv_sec;
}

/* --- meta.json -------------------------------------------------------------------------- */

static bool get_string(const struct json *j, uint32_t v, char *out, size_t cap)
{
        const struct json_token *t = &j->tokens[v];

        if (!v || t->type != JSON_STRING || t->end - t->start >= cap)
                return false;
        return json_string(j, v, out) == strlen(out);
}

static bool get_hash(const struct json *j, uint32_t v, char out[static SHA256_HEX])
{
        return get_string(j, v, out, SHA256_HEX) && entry_is_name(out);
}

/* Eighteen digits, without a sign, a point or an exponent. */
static bool get_number(const struct json *j, uint32_t v, uint64_t *n)
{
        const struct json_token *t = &j->tokens[v];

        *n = 0;
        if (!v || t->type != JSON_NUMBER || t->end - t->start > 18)
                return false;
        for (uint32_t i = t->start; i < t->end; i++) {
                if (j->text[i] < '0' || j->text[i] > '9')
                        return false;
                *n = *n * 10 + (uint64_t)(j->text[i] - '0');
        }
        return true;
}

bool entry_next(const struct entry *e, const char *object, uint32_t *at, struct entry_pair *p)
{
        uint32_t o = e->j.tokens ? json_find(&e->j, 0, object) : 0;

        if (!o || e->j.tokens[o].type != JSON_OBJECT)
                return false;
        *at = *at ? json_next(&e->j, *at) : json_first(&e->j, o);
        while (*at && (e->j.tokens[*at].end - e->j.tokens[*at].start >= sizeof(p->name) ||
                       !get_hash(&e->j, json_value(*at), p->value)))
                *at = json_next(&e->j, *at);
        if (*at)
                json_string(&e->j, *at, p->name);
        return *at != 0;
}

ssize_t entry_text(const struct entry *e, const char *name, char *out, size_t cap)
{
        uint32_t v = json_find(&e->j, 0, name);
        const struct json_token *t = &e->j.tokens[v];
        const char *hex = e->j.text + t->start;
        size_t len = (t->end - t->start) / 2;

        if (!v || t->type != JSON_STRING || (t->end - t->start) % 2 || len > cap)
                return -EBADMSG;
        for (size_t i = 0; i < len; i++) {
                int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

                if (high < 0 || low < 0)
                        return -EBADMSG;
                out[i] = (char)(high << 4 | low);
        }
        return (ssize_t)len;
}

/* Ours alone to write, and nobody's second name. */
static bool is_ours(int fd, mode_t kind)
{
        struct stat st;

        return !fstat(fd, &st) && (st.st_mode & S_IFMT) == kind && st.st_uid == geteuid() &&
               !(st.st_mode & 022) && (kind == S_IFDIR || st.st_nlink == 1);
}

#define SEAL "\"sha256\":\""
#define SEAL_LEN (sizeof(",\n" SEAL "\"}\n") - 1 + SHA256_HEX - 1)

/* The end of a meta.json whose other bytes are @text. */
static void put_seal(struct wr *w, const char *text, size_t len)
{
        char hex[SHA256_HEX];
        struct sha256 s;

        sha256_init(&s);
        sha256_add(&s, text, len);
        sha256_end_hex(&s, hex);
        wr_fmt(w, ",\n" SEAL "%s\"}\n", hex);
}

void entry_seal(struct wr *w)
{
        put_seal(w, w->buf, w->len);
}

static bool is_sealed(const char *text, size_t len)
{
        char seal[SEAL_LEN];
        struct wr w = wr_of(seal, sizeof(seal));

        if (len < sizeof(seal))
                return false;
        len -= sizeof(seal);
        put_seal(&w, text, len);
        return !w.full && !memcmp(text + len, seal, sizeof(seal));
}

static int read_meta(struct entry *e, const char *name)
{
        char format[32];
        AUTO_CLOSE int fd = openat(e->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct json_error error;
        ssize_t n;

        if (fd < 0)
                return say(e, -EBADMSG, "it has no meta.json");
        if (!is_ours(fd, S_IFREG))
                return say(e, -EBADMSG, "meta.json is another user's, or others may write to it");
        n = read_full(fd, e->text, sizeof(e->text));
        if (n < 0 || (size_t)n == sizeof(e->text) || json_open(&e->j, e->text, (size_t)n, &error))
                return say(e, -EBADMSG, "meta.json is damaged");
        if (!get_string(&e->j, json_find(&e->j, 0, "format"), format, sizeof(format)) ||
            strcmp(format, CACHE_FORMAT) != 0)
                return say(e, -EBADMSG, "it is of another format");
        if (!is_sealed(e->text, (size_t)n))
                return say(e, -EBADMSG, "meta.json is damaged");
        return 0;
}

static int take_meta(struct entry *e, const char *name, uint64_t *made_s, uint64_t *made_boot_s,
                     char *boot, size_t boot_cap)
{
        const struct json *j = &e->j;
        uint32_t layer = json_find(j, 0, "layer");

        if (!get_hash(j, json_find(j, 0, "key"), e->key) || (name && strcmp(e->key, name) != 0) ||
            !get_hash(j, json_find(j, 0, "slot"), e->slot) || !layer ||
            !get_hash(j, json_find(j, layer, "sum"), e->sum) ||
            !get_number(j, json_find(j, layer, "size"), &e->size) ||
            !get_number(j, json_find(j, layer, "entries"), &e->entries) ||
            !get_number(j, json_find(j, 0, "created_s"), made_s) ||
            !get_number(j, json_find(j, 0, "uptime_s"), made_boot_s) ||
            !get_number(j, json_find(j, 0, "ttl_s"), &e->ttl_s) ||
            !get_string(j, json_find(j, 0, "boot"), boot, boot_cap))
                return say(e, -EBADMSG, "meta.json is damaged");
        return 0;
}

/* The same boot has one clock that nobody sets. */
static int find_age(struct entry *e, uint64_t made_s, uint64_t made_boot_s, const char *boot)
{
        struct entry_clock now;
        bool same;

        entry_clock_read(&now);
        same = now.boot[0] && !strcmp(now.boot, boot);
        if (same ? made_boot_s > now.boot_s : made_s > now.wall_s)
                return say(e, -ESTALE, "it is from the future: a clock was set back");
        e->age_s = same ? now.boot_s - made_boot_s : now.wall_s - made_s;
        return 0;
}

static int check_age(struct entry *e, uint64_t ttl_s)
{
        struct wr w = wr_of(e->why, sizeof(e->why) - 1);

        if (e->age_s <= ttl_s)
                return 0;
        wr_fmt(&w, "it is %llu min old, and lives %llu min",
               (unsigned long long)e->age_s / 60, (unsigned long long)ttl_s / 60);
        wr_cstr(&w);
        return -ESTALE;
}

static int check_layer(struct entry *e)
{
        AUTO_CLOSE int fd = entry_layer(e);
        struct stat st;

        if (fd < 0)
                return say(e, -EBADMSG, "it has no layer.tar");
        if (!is_ours(fd, S_IFREG))
                return say(e, -EBADMSG, "layer.tar is another user's, or others may write to it");
        if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != e->size)
                return say(e, -EBADMSG, "layer.tar is cut short or grown");
        return 0;
}

static void clear(struct entry *e)
{
        e->j = (struct json){ .text = NULL };
        e->why[0] = e->key[0] = e->slot[0] = e->sum[0] = '\0';
        e->size = e->entries = e->age_s = e->ttl_s = 0;
}

/* The directories of the stamp, none of them a link. -errno. */
static int stamp_dir(int root, bool make)
{
        static const char *const names[] = { "var", "lib", "airlock" };
        int at = root, r = 0;

        for (size_t i = 0; i < COUNT(names) && !r; i++) {
                int next;

                if (make && mkdirat(at, names[i], 0755) < 0 && errno != EEXIST)
                        r = -errno;
                next = r ? -1 : openat(at, names[i],
                                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (!r && next < 0)
                        r = -errno;
                if (at != root)
                        close(at);
                at = next;
        }
        return r ? r : at;
}

int entry_write_stamp(int root, const char *meta, size_t len)
{
        AUTO_CLOSE int dir = stamp_dir(root, true);

        return dir < 0 ? dir : write_file(dir, ENTRY_STAMP, meta, len);
}

int entry_open_stamp(struct entry *e, int root, const char *image, uint64_t ttl_s)
{
        uint64_t made_s = 0, made_boot_s = 0;
        char boot[64] = "", after[SHA256_HEX];
        int r;

        clear(e);
        e->dir = stamp_dir(root, false);
        if (e->dir < 0 || faccessat(e->dir, ENTRY_STAMP, F_OK, 0) < 0)
                return say(e, -ENOENT, "no stamp");
        r = read_meta(e, ENTRY_STAMP);
        if (!r)
                r = take_meta(e, NULL, &made_s, &made_boot_s, boot, sizeof(boot));
        if (!r && (!get_hash(&e->j, json_find(&e->j, 0, "image_after"), after) ||
                   strcmp(after, image) != 0))
                r = say(e, -EBADMSG, "the image was changed after its stamp was made");
        if (!r)
                r = find_age(e, made_s, made_boot_s, boot);
        return r ? r : check_age(e, ttl_s ? ttl_s : e->ttl_s);
}

int entry_open(struct entry *e, int dir, const char *name, uint64_t ttl_s)
{
        uint64_t made_s = 0, made_boot_s = 0;
        char boot[64] = "";
        int r;

        clear(e);
        e->dir = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (e->dir < 0 && errno == ENOENT)
                return say(e, -ENOENT, "there is no such state");
        if (e->dir < 0)
                return say(e, -EBADMSG, "it can't be opened");
        if (!is_ours(e->dir, S_IFDIR))
                return say(e, -EBADMSG, "it is another user's, or others may write to it");
        r = read_meta(e, "meta.json");
        if (!r)
                r = take_meta(e, name, &made_s, &made_boot_s, boot, sizeof(boot));
        if (!r)
                r = find_age(e, made_s, made_boot_s, boot);
        if (!r)
                r = check_age(e, ttl_s ? ttl_s : e->ttl_s);
        return r ? r : check_layer(e);
}

void entry_close(struct entry *e)
{
        json_close(&e->j);
        if (e->dir >= 0)
                close(e->dir);
        e->dir = -1;
}

int entry_layer(struct entry *e)
{
        int fd = openat(e->dir, "layer.tar", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* --- making and removing ---------------------------------------------------------------- */

/* Process ids are small and alike in containers: the clock makes the difference. */
static void name_part(char *buf, size_t cap, const char *name)
{
        struct wr w = wr_of(buf, cap - 1);
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        if (name[0] == '.')
                wr_str(&w, name); /* it is one already */
        else
                wr_fmt(&w, ".%s.%d-%ld-%ld.part", name, getpid(), (long)now.tv_sec, now.tv_nsec);
        wr_cstr(&w);
}

int entry_begin(struct entry_new *n, int dir, const char *key)
{
        int r;

        name_part(n->name, sizeof(n->name), key);
        n->dir = dir;
        n->at = n->layer = -1;
        if (mkdirat(dir, n->name, 0700) < 0)
                return -errno;
        n->at = openat(dir, n->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (n->at >= 0)
                n->layer = openat(n->at, "layer.tar",
                                  O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (n->layer >= 0)
                (void)!flock(n->layer, LOCK_EX | LOCK_NB); /* somebody is alive */
        if (n->layer >= 0)
                return 0;
        r = -errno;
        entry_abandon(n);
        return r;
}

void entry_abandon(struct entry_new *n)
{
        if (n->layer >= 0)
                close(n->layer);
        if (n->at >= 0) {
                close(n->at);
                (void)!entry_remove(n->dir, n->name);
        }
        n->at = n->layer = -1;
}

int entry_publish(struct entry_new *n, const char *key, const char *meta, size_t len)
{
        int r = write_file(n->at, "meta.json", meta, len);

        if (r < 0)
                return r;
        if (!renameat(n->dir, n->name, n->dir, key))
                return 0;
        if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR)
                return -errno;
        /* The old one goes where the new one was made, and from there. */
        if (!syscall(SYS_renameat2, n->dir, n->name, n->dir, key, RENAME_EXCHANGE))
                return 0;
        r = entry_remove(n->dir, key);
        if (r < 0)
                return r;
        return renameat(n->dir, n->name, n->dir, key) < 0 ? -errno : 0;
}

/* Two files deep and no deeper; it vanishes from its name first. */
int entry_remove(int dir, const char *name)
{
        static const char *const names[] = { "meta.json", "layer.tar", ".meta.json.part" };
        char aside[160];

        name_part(aside, sizeof(aside), name);
        if (name[0] != '.' && renameat(dir, name, dir, aside) < 0)
                return -errno;
        AUTO_CLOSE int at = openat(dir, aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (at < 0)
                return unlinkat(dir, aside, 0) < 0 ? -errno : 0;
        for (size_t i = 0; i < COUNT(names); i++)
                if (unlinkat(at, names[i], 0) < 0 && errno != ENOENT)
                        return -errno;
        return unlinkat(dir, aside, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Its maker is gone: nobody holds the layer locked, and it had time to lock it. */
static bool is_dead_part(int dir, const char *name)
{
        AUTO_CLOSE int at = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        AUTO_CLOSE int layer = at < 0 ? -1
                : openat(at, "layer.tar", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (at < 0 || fstat(at, &st) < 0 || st.st_uid != geteuid() ||
            st.st_mtim.tv_sec + PART_S > time(NULL))
                return false;
        return layer < 0 || !flock(layer, LOCK_EX | LOCK_NB);
}

static bool is_part(const char *name)
{
        size_t len = strlen(name);

        return name[0] == '.' && len > 5 && !strcmp(name + len - 5, ".part");
}

/* One pass. Leaves the size of all and the name of the oldest but @keep. */
static unsigned prune_once(int dir, const char *keep, uint64_t *total,
                           char oldest[static SHA256_HEX])
{
        static LARGE_BUFFER struct entry e;
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *n;
        uint64_t oldest_s = 0;
        unsigned gone = 0;
        int r;

        *total = 0;
        oldest[0] = '\0';
        while (d && (n = readdir(d))) {
                if (is_part(n->d_name) && is_dead_part(dir, n->d_name)) {
                        gone += !entry_remove(dir, n->d_name);
                        continue;
                }
                if (!entry_is_name(n->d_name))
                        continue;
                r = entry_open(&e, dir, n->d_name, 0);
                if (r && strcmp(n->d_name, keep) != 0 && e.dir >= 0 && is_ours(e.dir, S_IFDIR))
                        gone += !entry_remove(dir, n->d_name);
                if (!r) {
                        *total += e.size;
                        if (strcmp(n->d_name, keep) != 0 && e.age_s + 1 > oldest_s) {
                                oldest_s = e.age_s + 1;
                                memcpy(oldest, n->d_name, SHA256_HEX);
                        }
                }
                entry_close(&e);
        }
        if (d)
                closedir(d);
        return gone;
}

unsigned entry_prune(int dir, const char *keep, uint64_t max_total)
{
        char oldest[SHA256_HEX];
        uint64_t total;
        unsigned gone = prune_once(dir, keep, &total, oldest);

        while (max_total && total > max_total && oldest[0] && !entry_remove(dir, oldest)) {
                gone++;
                gone += prune_once(dir, keep, &total, oldest);
        }
        return gone;
}
