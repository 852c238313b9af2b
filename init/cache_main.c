/* init/cache_main.c - the main of airlock-cache: see cache.h. */
#include "init/cache.h"

#include "base/clock.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "init/cache_entry.h"
#include "init/cache_key.h"
#include "init/cache_parts.h"
#include "init/journal.h"
#include "init/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#define BASIS_AT 1024 /* behind the report: text, then the index of the tree */
#define POLL_MS 100
#define TTL_S 43200
#define PROXY_MS 10000
#define PLACEHOLDERS_MAX ((size_t)64 << 10) /* as many as airlock-unseal hands out */

struct options {
        const char *dir, *root, *work, *state;
        int parts_fd, index_fd, lock_fd, proxy, placeholders;
        bool stamp;
        struct journal journal;
        uint64_t ttl_s, wait_s, max_bytes, max_total;
        const char *exclude[TREE_EXCLUDES];
        size_t exclude_count;
};

struct job {
        struct options o;
        int dir;
        struct tree tree;
        struct cache_report report;
        size_t records_len;
        uint64_t start_ms;
};

static LARGE_BUFFER struct cache_parts parts;
static LARGE_BUFFER struct cache_locks locks;
static LARGE_BUFFER struct entry entry;
static LARGE_BUFFER char records[CACHE_PARTS_MAX];
static LARGE_BUFFER char meta[ENTRY_META_MAX];
static char image[SHA256_HEX];

/* What `save` finds in the index before the tree's records. */
struct basis {
        uint64_t text_len, nodes, ttl_s;
        char key[72], slot[72], image[72];
};

/* --- options ---------------------------------------------------------------------------- */

static bool number(const char *text, uint64_t *n)
{
        *n = 0;
        if (!*text || strlen(text) > 18)
                return false;
        for (; *text; text++) {
                if (*text < '0' || *text > '9')
                        return false;
                *n = *n * 10 + (uint64_t)(*text - '0');
        }
        return true;
}

static bool descriptor(const char *text, int *fd)
{
        uint64_t n;

        if (!number(text, &n) || n > 1 << 20)
                return false;
        *fd = (int)n;
        return true;
}

static bool take_option(struct options *o, const char *name, const char *value)
{
        if (!strcmp(name, "--dir"))
                return (o->dir = value) != NULL;
        if (!strcmp(name, "--root"))
                return (o->root = value) != NULL;
        if (!strcmp(name, "--work"))
                return (o->work = value) != NULL;
        if (!strcmp(name, "--state"))
                return (o->state = value) != NULL;
        if (!strcmp(name, "--parts-fd"))
                return descriptor(value, &o->parts_fd);
        if (!strcmp(name, "--index-fd"))
                return descriptor(value, &o->index_fd);
        if (!strcmp(name, "--lock-fd"))
                return descriptor(value, &o->lock_fd);
        if (!strcmp(name, "--proxy"))
                return descriptor(value, &o->proxy);
        if (!strcmp(name, "--placeholders"))
                return descriptor(value, &o->placeholders);
        if (!strcmp(name, "--journal"))
                return descriptor(value, &o->journal.fd);
        if (!strcmp(name, "--journal-start-ms"))
                return number(value, &o->journal.start_ms);
        if (!strcmp(name, "--ttl"))
                return number(value, &o->ttl_s);
        if (!strcmp(name, "--wait"))
                return number(value, &o->wait_s);
        if (!strcmp(name, "--max-bytes"))
                return number(value, &o->max_bytes);
        if (!strcmp(name, "--max-total"))
                return number(value, &o->max_total);
        if (!strcmp(name, "--exclude") && o->exclude_count < COUNT(o->exclude)) {
                o->exclude[o->exclude_count++] = value;
                return true;
        }
        return false;
}

static void parse_options(struct options *o, int argc, char **argv)
{
        *o = (struct options){ .root = "/", .parts_fd = -1, .index_fd = -1, .lock_fd = -1,
                               .proxy = -1, .placeholders = -1, .journal.fd = -1, .ttl_s = TTL_S, .max_bytes = CACHE_MAX_BYTES };
        for (int i = 1; i < argc; i++)
                if (!strcmp(argv[i], "--stamp"))
                        o->stamp = true;
                else if (i + 1 == argc || !take_option(o, argv[i], argv[i + 1]))
                        die(STATUS_USAGE, "%s: unknown, or no value for it", argv[i]);
                else
                        i++;
        if (!o->dir || o->index_fd < 0)
                die(STATUS_USAGE, "usage: airlock-cache restore|save --dir DIR --index-fd FD …");
}

/* --- the report ------------------------------------------------------------------------- */

static void write_journal(struct job *job)
{
        static const char *const words[] = {
                [CACHE_NOTHING] = "failed",     [CACHE_RESTORED] = "restored",
                [CACHE_BUILD] = "miss",         [CACHE_BUILD_OWN] = "miss",
                [CACHE_SAVED] = "saved",        [CACHE_UNSAVED] = "not saved",
                [CACHE_BROKEN] = "broken",      [CACHE_STAMPED] = "stamped",
        };
        const struct cache_report *r = &job->report;
        char fields[5120];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"outcome\":\"%s\",\"key\":\"%s\",\"reason\":", words[r->outcome], r->key);
        wr_json(&w, r->reason, strlen(r->reason));
        wr_str(&w, ",\"locks\":");
        wr_json(&w, r->locks, strlen(r->locks));
        wr_fmt(&w, ",\"age_s\":%llu,\"bytes\":%llu,\"entries\":%llu,\"took_ms\":%llu",
               (unsigned long long)r->age_s, (unsigned long long)r->bytes,
               (unsigned long long)r->entries, (unsigned long long)r->ms);
        journal_event(&job->o.journal, "cache", fields, w.len);
}

static void give_report(struct job *job, enum cache_outcome outcome)
{
        struct cache_report *r = &job->report;

        memcpy(r->magic, CACHE_MAGIC, sizeof(r->magic));
        r->outcome = outcome;
        r->ms = now_ms() - job->start_ms;
        if (pwrite(job->o.index_fd, r, sizeof(*r), 0) != sizeof(*r))
                log_errno(LOG_ERROR, errno, "write the report");
        write_journal(job);
}

static PRINTF_LIKE(2, 3) void because(struct job *job, const char *fmt, ...)
{
        char text[sizeof(job->report.reason)];
        struct wr w = wr_of(text, sizeof(text) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        memcpy(job->report.reason, text, sizeof(text));
}

/* --- setting out ------------------------------------------------------------------------ */

static void open_job(struct job *job)
{
        char stamp[PATH_MAX];
        struct wr w = wr_of(stamp, sizeof(stamp) - 1);
        struct rlimit files;
        int r;

        if (!getrlimit(RLIMIT_NOFILE, &files)) {
                files.rlim_cur = files.rlim_max; /* a descriptor for each level of the tree */
                (void)!setrlimit(RLIMIT_NOFILE, &files);
        }
        r = tree_open(&job->tree, job->o.root);
        if (r < 0)
                die_errno(STATUS_USAGE, -r, "%s", job->o.root);
        wr_fmt(&w, "%s/" ENTRY_STAMP_DIR, job->o.root);
        r = tree_exclude(&job->tree, wr_cstr(&w));
        if (!r)
                r = tree_exclude(&job->tree, job->o.dir);
        for (size_t i = 0; !r && i < job->o.exclude_count; i++)
                r = tree_exclude(&job->tree, job->o.exclude[i]);
        if (r < 0)
                die_errno(STATUS_USAGE, -r, "leave out what --exclude says");
        job->dir = open(job->o.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int open_state(const struct job *job)
{
        return job->o.state ? open(job->o.state, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                            : -1;
}

/* What automatic setup would run here is a part like what PID 1 knows. */
static int add_steps(struct job *job)
{
        static const char name[] = "setup.steps";
        size_t head = job->records_len + sizeof(name), room = sizeof(records) - head;
        AUTO_CLOSE int dir = open_state(job);
        ssize_t n = -ENOENT;

        if (head < sizeof(records) && dir >= 0)
                n = read_file(dir, "auto.sh", records + head, room);
        if (n == -ENOENT || !n)
                return 0;
        if (n < 0)
                return (int)n;
        memcpy(records + job->records_len, name, sizeof(name));
        job->records_len = head + (size_t)n + 1;
        return 0;
}

static int make_key(struct job *job)
{
        ssize_t n = 0;

        if (job->o.parts_fd >= 0) {
                if (lseek(job->o.parts_fd, 0, SEEK_SET) < 0)
                        return -errno;
                n = read_full(job->o.parts_fd, records, sizeof(records));
        }
        if (n < 0)
                return (int)n;
        job->records_len = (size_t)n;
        n = add_steps(job);
        if (n < 0)
                return (int)n;
        cache_image_hash(job->tree.root, image);
        n = cache_key_make(&parts, records, job->records_len, image);
        if (!n)
                memcpy(job->report.key, parts.key, sizeof(parts.key));
        return (int)n;
}

/* The byte of the key: two keys in one are two that wait for each other, and no harm. */
static bool lock_key(const struct job *job, const char *key, short type)
{
        struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_len = 1 };

        for (unsigned i = 0; i < 15; i++)
                l.l_start = l.l_start << 4 |
                            (key[i] <= '9' ? key[i] - '0' : key[i] - 'a' + 10);
        return job->o.lock_fd >= 0 && !fcntl(job->o.lock_fd, F_OFD_SETLK, &l);
}

/* --- restore ---------------------------------------------------------------------------- */

/* Which lock files differ from those that the state was made with. */
static void compare_locks(struct job *job)
{
        struct wr w = wr_of(job->report.locks, sizeof(job->report.locks) - 1);
        struct entry_pair was;
        size_t i = 0;
        unsigned changed = 0;
        uint32_t at = 0;
        bool more = entry_next(&entry, "locks", &at, &was);
        const char *first = NULL;
        char gone[sizeof(was.name)];

        while (i < locks.count || more) {
                int d = i == locks.count ? 1 : !more ? -1 : strcmp(locks.at[i].path, was.name);

                if (d || strcmp(locks.at[i].hash, was.value) != 0) {
                        if (d > 0)
                                memcpy(gone, was.name, sizeof(gone));
                        if (!changed++)
                                first = d > 0 ? gone : locks.at[i].path;
                }
                i += d <= 0;
                if (d >= 0)
                        more = entry_next(&entry, "locks", &at, &was);
        }
        job->report.maintenance = changed || !locks.count;
        if (changed)
                wr_plain(&w, first, strnlen(first, 60));
        if (changed == 1)
                wr_str(&w, " changed");
        else if (changed)
                wr_fmt(&w, " and %u more changed", changed - 1);
        else
                wr_str(&w, locks.count ? "no lock file changed" : "there is no lock file to tell");
        wr_cstr(&w);
}

static int put_marker(const struct job *job, struct timespec times[static 2])
{
        struct stat st;
        int fd;

        if (fstat(job->tree.root, &st) < 0)
                return -errno;
        times[0] = st.st_atim;
        times[1] = st.st_mtim;
        fd = openat(job->tree.root, CACHE_MARKER,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

static bool has_marker(const struct job *job)
{
        struct stat st;

        return !fstatat(job->tree.root, CACHE_MARKER, &st, AT_SYMLINK_NOFOLLOW);
}

static void broken(struct job *job) NORETURN;
static void broken(struct job *job)
{
        give_report(job, CACHE_BROKEN);
        die(STATUS_AGAIN, "%s: this container can't be used any more; start a new one",
            job->report.reason);
}

/* What was in $AIRLOCK_ENV after setup; -errno, and then nothing was changed. */
static int restore_env(const struct job *job)
{
        static LARGE_BUFFER char text[CACHE_ENV_MAX];
        AUTO_CLOSE int dir = open_state(job);
        ssize_t n = entry_text(&entry, "env", text, sizeof(text));

        return n < 0 ? (int)n : dir < 0 ? 0 : write_file(dir, "env", text, (size_t)n);
}

static void put_hex(struct wr *w, const char *name, const char *text, ssize_t len)
{
        wr_fmt(w, "\"%s\":\"", name);
        for (ssize_t i = 0; i < len; i++) {
                static const char digits[] = "0123456789abcdef";

                wr_char(w, digits[(uint8_t)text[i] >> 4]);
                wr_char(w, digits[text[i] & 15]);
        }
        wr_str(w, "\",\n");
}

static void put_env(struct wr *w, const struct job *job)
{
        static LARGE_BUFFER char text[CACHE_ENV_MAX];
        AUTO_CLOSE int dir = open_state(job);
        ssize_t n = dir < 0 ? 0 : read_file(dir, "env", text, sizeof(text));

        if (n < 0 && n != -ENOENT)
                w->full = true; /* without them it would be another state */
        put_hex(w, "env", text, n);
}

/* --- placeholders ----------------------------------------------------------------------- */

/* What setup had in the place of injected secrets may stand in the files that it wrote. */
static void put_placeholders(struct wr *w, const struct job *job)
{
        static LARGE_BUFFER char text[PLACEHOLDERS_MAX];
        ssize_t n = job->o.placeholders < 0 ? 0
                            : pread(job->o.placeholders, text, sizeof(text), 0);

        if (n < 0 || (size_t)n == sizeof(text))
                w->full = true;
        put_hex(w, "placeholders", text, n);
}

/* The proxy takes them for this task's own. */
static int send_placeholders(int proxy, const char *text, size_t len)
{
        struct msg m = { .type = MSG_PLACEHOLDERS };
        AUTO_CLOSE int fd = memfd_create("placeholders", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : write_full(fd, text, len);

        if (!r && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        return r ? r : msg_ask(proxy, &m, fd, PROXY_MS);
}

static void revive_placeholders(const struct job *job)
{
        static LARGE_BUFFER char text[PLACEHOLDERS_MAX];
        ssize_t n = job->o.proxy < 0 ? 0 : entry_text(&entry, "placeholders", text, sizeof(text));
        int r = 0;

        for (ssize_t i = 0; i < n; i++)
                if (text[i] == '\n')
                        text[i] = '\0';
        if (n > 0)
                r = send_placeholders(job->o.proxy, text, (size_t)n);
        if (n < 0 || r < 0)
                log_line(LOG_WARN, "placeholders of secrets that setup wrote into files are no "
                         "good any more: %s", n < 0 ? "the entry has none" : strerror(-r));
}

/* Restores what was checked. Comes back only when all of it is there. */
static void restore_layer(struct job *job, int layer, const struct stat *checked)
{
        static LARGE_BUFFER struct layer_count c;
        struct timespec times[2];
        struct stat now;
        int marked = put_marker(job, times), r;

        c = (struct layer_count){ .entries = entry.entries };
        r = layer_restore(layer, job->tree.root, &c);
        /* Not its ctime: another builder may put a newer state in its place. */
        if (!r && (fstat(layer, &now) < 0 || now.st_mtim.tv_sec != checked->st_mtim.tv_sec ||
                   now.st_mtim.tv_nsec != checked->st_mtim.tv_nsec ||
                   now.st_size != checked->st_size)) {
                r = -EBADMSG;
                memcpy(c.why, "somebody wrote to the layer", 28);
        }
        if (r < 0) {
                because(job, "restored in part: %s", c.why);
                (void)!entry_remove(job->dir, entry.key);
                broken(job);
        }
        if (!marked) {
                if (c.has_root)
                        times[1] = c.root_time;
                (void)!unlinkat(job->tree.root, CACHE_MARKER, 0);
                (void)!futimens(job->tree.root, times); /* the marker came and went in it */
        }
        job->report.bytes = c.bytes;
        job->report.entries = c.entries;
        job->report.left_out = c.owners + c.attributes;
}

/* A hit, or false and the report has the reason. */
static bool try_entry(struct job *job)
{
        static LARGE_BUFFER struct layer_count c;
        struct stat st;
        int r = job->dir < 0 ? -ENOENT : entry_open(&entry, job->dir, parts.key, job->o.ttl_s);

        if (job->dir < 0)
                because(job, "%s can't be opened", job->o.dir);
        if (r) {
                if (job->dir >= 0)
                        because(job, "%s", entry.why);
                return false;
        }
        AUTO_CLOSE int layer = entry_layer(&entry);
        c = (struct layer_count){ .entries = entry.entries };
        if (layer < 0 || fstat(layer, &st) < 0) {
                because(job, "its layer vanished");
                return false;
        }
        r = layer_check(layer, job->tree.root, &c);
        if (r < 0 || strcmp(c.sum, entry.sum) != 0)
                layer_forget();
        if (strcmp(c.sum, entry.sum) != 0) {
                because(job, "the layer's sum is wrong: it is damaged");
                (void)!entry_remove(job->dir, parts.key);
                return false;
        }
        if (r < 0) {
                because(job, "it can't be restored here: %s", c.why);
                return false;
        }
        if (restore_env(job) < 0) {
                layer_forget();
                because(job, "its variables can't be had");
                return false;
        }
        compare_locks(job);
        job->report.age_s = entry.age_s;
        restore_layer(job, layer, &st);
        return true;
}

/*
 * Is this root the state itself, made an image by the engine's own commit? Then the key is
 * the stamp's, with the image that it was made from in the place of this one.
 */
static bool is_stamped(struct job *job)
{
        static LARGE_BUFFER struct cache_parts stamped;
        struct entry_pair p = { "", "" };
        uint32_t at = 0;
        int r = entry_open_stamp(&entry, job->tree.root, image, job->o.ttl_s);

        if (r) {
                if (r != -ENOENT)
                        log_line(LOG_INFO, "the stamp of this image: %s", entry.why);
                return false;
        }
        while (entry_next(&entry, "was", &at, &p) && strcmp(p.name, "image") != 0)
                ;
        if (cache_key_make(&stamped, records, job->records_len, p.value) < 0 ||
            strcmp(stamped.key, entry.key) != 0) {
                log_line(LOG_INFO, "the stamp of this image is of another setup");
                return false;
        }
        if (restore_env(job) < 0) {
                log_line(LOG_INFO, "the stamp of this image has no variables");
                return false;
        }
        memcpy(job->report.key, entry.key, sizeof(entry.key));
        job->report.age_s = entry.age_s;
        job->report.entries = entry.entries;
        compare_locks(job);
        return true;
}

/* A stamp is good for one start: after that an agent has been here. */
static void drop_stamp(const struct job *job)
{
        if (!job->o.stamp && entry.dir >= 0)
                (void)!unlinkat(entry.dir, ENTRY_STAMP, 0);
}

/* Until the entry is there, or the lock is ours, or the wait is over. */
static bool wait_for_entry(struct job *job, bool *builder)
{
        const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };
        uint64_t deadline = job->start_ms + job->o.wait_s * 1000;
        char first[sizeof(job->report.reason)];
        bool said = false;

        memcpy(first, job->report.reason, sizeof(first));
        for (;;) {
                bool got = lock_key(job, parts.key, F_WRLCK);

                entry_close(&entry);
                /* With the lock just given back, its holder may have published. */
                if (try_entry(job)) {
                        if (got) /* PID 1 keeps the file open, and nobody builds */
                                (void)!lock_key(job, parts.key, F_UNLCK);
                        return true;
                }
                memcpy(job->report.reason, first, sizeof(first));
                *builder = got;
                if (got || job->o.lock_fd < 0 || now_ms() >= deadline)
                        return false;
                if (!said)
                        log_line(LOG_INFO, "another container prepares the same state: waiting "
                                 "for it, at most %llu s", (unsigned long long)job->o.wait_s);
                said = true;
                nanosleep(&pause, NULL);
        }
}

static int write_index(struct job *job)
{
        struct wr w = wr_of(meta, sizeof(meta));
        struct basis b = { .ttl_s = job->o.ttl_s };
        int fd = job->o.index_fd, r;

        cache_key_put(&w, &parts, &locks);
        if (w.full)
                return -E2BIG;
        memcpy(b.key, parts.key, sizeof(parts.key));
        memcpy(b.slot, parts.slot, sizeof(parts.slot));
        memcpy(b.image, image, sizeof(image));
        b.text_len = w.len;
        if (ftruncate(fd, 0) < 0 ||
            lseek(fd, BASIS_AT + (off_t)sizeof(b) + (off_t)w.len, SEEK_SET) < 0)
                return -errno;
        r = tree_index(&job->tree, fd, &b.nodes);
        if (r < 0)
                return r;
        if (pwrite(fd, &b, sizeof(b), BASIS_AT) != sizeof(b) ||
            pwrite(fd, meta, w.len, BASIS_AT + (off_t)sizeof(b)) != (ssize_t)w.len)
                return -EIO;
        job->report.entries = b.nodes;
        return 0;
}

static void say_hit(const struct job *job)
{
        const struct cache_report *r = &job->report;

        log_line(LOG_INFO, "hit %.*s: %llu names, %llu.%llu MB, %llu min old, restored in "
                 "%llu ms; maintenance %s: %s", 12, r->key, (unsigned long long)r->entries,
                 (unsigned long long)r->bytes / 1000000,
                 (unsigned long long)r->bytes / 100000 % 10, (unsigned long long)r->age_s / 60,
                 (unsigned long long)(now_ms() - job->start_ms),
                 r->maintenance ? "needed" : "not needed", r->locks);
        if (r->left_out)
                log_line(LOG_WARN, "%llu owners or attributes can't be set here",
                         (unsigned long long)r->left_out);
}

static int restore(struct job *job)
{
        bool builder = false, stamped;
        int r;

        if (has_marker(job)) {
                because(job, "an earlier restore did not come to its end");
                broken(job);
        }
        r = make_key(job);
        if (r < 0) {
                because(job, "no key: %s", strerror(-r));
                give_report(job, CACHE_BUILD_OWN);
                log_line(LOG_WARN, "%s", job->report.reason);
                return CACHE_MISS;
        }
        if (job->o.work)
                cache_locks_find(&locks, job->o.work);
        entry.dir = -1;
        stamped = is_stamped(job);
        drop_stamp(job);
        if (stamped) {
                revive_placeholders(job);
                give_report(job, CACHE_STAMPED);
                say_hit(job);
                return STATUS_OK;
        }
        entry_close(&entry);
        if (try_entry(job) || wait_for_entry(job, &builder)) {
                revive_placeholders(job);
                give_report(job, CACHE_RESTORED);
                say_hit(job);
                return STATUS_OK;
        }
        r = write_index(job);
        if (r < 0)
                because(job, "and the tree can't be indexed: %s", strerror(-r));
        give_report(job, builder ? CACHE_BUILD : CACHE_BUILD_OWN);
        log_line(LOG_INFO, "miss %.*s: %s", 12, job->report.key, job->report.reason);
        return CACHE_MISS;
}

/* --- save ------------------------------------------------------------------------------- */

static int unsaved(struct job *job)
{
        give_report(job, CACHE_UNSAVED);
        log_line(LOG_WARN, "not saved: %s", job->report.reason);
        return CACHE_MISS;
}

static void put_meta(struct wr *w, const struct job *job, const struct basis *b,
                     const struct layer_count *c, const char *text)
{
        struct entry_clock now;

        entry_clock_read(&now);
        wr_fmt(w, "{\"format\":\"%s\",\n\"airlock\":\"%s\",\n\"key\":\"%s\",\n\"slot\":\"%s\",\n",
               CACHE_FORMAT, AIRLOCK_VERSION, b->key, b->slot);
        wr_fmt(w, "\"created_s\":%llu,\n\"uptime_s\":%llu,\n\"boot\":\"%s\",\n\"ttl_s\":%llu,\n",
               (unsigned long long)now.wall_s, (unsigned long long)now.boot_s, now.boot,
               (unsigned long long)b->ttl_s);
        wr_fmt(w, "\"layer\":{\"sum\":\"%s\",\"size\":%llu,\"entries\":%llu,"
               "\"whiteouts\":%llu},\n", c->sum, (unsigned long long)c->bytes,
               (unsigned long long)c->entries, (unsigned long long)c->whiteouts);
        wr_fmt(w, "\"left_out\":{\"sockets\":%llu,\"devices\":%llu,\"attributes\":%llu},\n",
               (unsigned long long)c->sockets, (unsigned long long)c->devices,
               (unsigned long long)c->attributes);
        wr_fmt(w, "\"save_ms\":%llu,\n", (unsigned long long)(now_ms() - job->start_ms));
        /* For a stamp: the image before and after. */
        wr_fmt(w, "\"was\":{\"image\":\"%s\"},\n\"image_after\":\"%s\",\n", b->image, image);
        put_env(w, job);
        put_placeholders(w, job);
        wr_bytes(w, text, (size_t)b->text_len);
        entry_seal(w);
}

/* The index that `restore` wrote, mapped for good. */
static bool map_index(const struct job *job, struct basis *b, const char **text, struct rd *index)
{
        struct stat st;
        size_t len, head = BASIS_AT + sizeof(*b);
        const char *at;

        if (fstat(job->o.index_fd, &st) < 0 || (size_t)st.st_size < head)
                return false;
        len = (size_t)st.st_size;
        at = mmap(NULL, len, PROT_READ, MAP_PRIVATE, job->o.index_fd, 0);
        if (at == MAP_FAILED)
                return false;
        memcpy(b, at + BASIS_AT, sizeof(*b));
        if (b->text_len > len - head || !b->nodes || b->key[64] || b->slot[64] || b->image[64] ||
            !entry_is_name(b->key))
                return false;
        *text = at + head;
        *index = rd_of(at + head + b->text_len, len - head - (size_t)b->text_len);
        return true;
}

static int save(struct job *job)
{
        static LARGE_BUFFER struct layer_count c;
        struct wr w = wr_of(meta, sizeof(meta));
        struct entry_new new;
        const char *text;
        struct basis b;
        struct rd index;
        unsigned pruned;
        int r;

        if (!map_index(job, &b, &text, &index)) {
                because(job, "there is no index of the tree before setup");
                return unsaved(job);
        }
        memcpy(job->report.key, b.key, sizeof(b.key));
        pruned = job->dir < 0 ? 0 : entry_prune(job->dir, b.key, 0);
        r = job->dir < 0 ? -ENOENT : entry_begin(&new, job->dir, b.key);
        if (r < 0) {
                because(job, "%s: %s", job->o.dir, strerror(-r));
                return unsaved(job);
        }
        r = layer_save(&job->tree, index, new.layer, job->o.max_bytes, &c);
        if (r < 0)
                because(job, "%s", c.why[0] ? c.why : strerror(-r));
        cache_image_hash(job->tree.root, image);
        if (!r) {
                put_meta(&w, job, &b, &c, text);
                r = w.full ? -E2BIG : entry_publish(&new, b.key, meta, w.len);
                if (r < 0)
                        because(job, "%s: %s", job->o.dir, strerror(-r));
        }
        entry_abandon(&new);
        if (r < 0)
                return unsaved(job);
        if (job->o.max_total)
                pruned += entry_prune(job->dir, b.key, job->o.max_total);
        if (job->o.stamp) {
                r = entry_write_stamp(job->tree.root, meta, w.len);
                if (r < 0)
                        log_errno(LOG_INFO, -r, "no stamp in the root file system");
        }
        job->report.bytes = c.bytes;
        job->report.entries = c.entries;
        job->report.left_out = c.sockets + c.devices + c.attributes;
        give_report(job, CACHE_SAVED);
        log_line(LOG_INFO, "saved %.*s: %llu names, %llu.%llu MB in %llu ms%s", 12, b.key,
                 (unsigned long long)c.entries, (unsigned long long)c.bytes / 1000000,
                 (unsigned long long)c.bytes / 100000 % 10, (unsigned long long)job->report.ms,
                 pruned ? "; removed states that nobody can use" : "");
        return STATUS_OK;
}

/* --- which command ---------------------------------------------------------------------- */

static int job_main(int argc, char **argv, int (*run)(struct job *))
{
        static LARGE_BUFFER struct job job;

        job.start_ms = now_ms();
        parse_options(&job.o, argc, argv);
        job.o.journal.phase = run == save ? "seal" : "provision";
        open_job(&job);
        return run(&job);
}

int main(int argc, char **argv)
{
        static const char usage[] =
                "usage: airlock cache ls [DIR] | key SPEC | why SPEC | reset DIR|SPEC [KEY]";

        confine_relro();
        log_role("cache");
        if (argc < 2)
                die(STATUS_USAGE, "%s", usage);
        if (!strcmp(argv[1], "restore"))
                return job_main(argc - 1, argv + 1, restore);
        if (!strcmp(argv[1], "save"))
                return job_main(argc - 1, argv + 1, save);
        if (!strcmp(argv[1], "ls"))
                return cache_ls(argc - 1, argv + 1);
        if (!strcmp(argv[1], "key"))
                return cache_key_command(argc - 1, argv + 1);
        if (!strcmp(argv[1], "why"))
                return cache_why(argc - 1, argv + 1);
        if (!strcmp(argv[1], "reset"))
                return cache_reset(argc - 1, argv + 1);
        die(STATUS_USAGE, "%s", usage);
}
