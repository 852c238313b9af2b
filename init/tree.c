/* init/tree.c - a sorted walk, and the index made of it. */
#include "init/tree.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define ARENA (UINT32_C(1) << 30) /* address space; pages come as they are touched */
#define GRAIN_NS 20000000         /* coarser than any kernel's clock for files */

static int get_statx(int dirfd, const char *name, int flags, struct statx *st)
{
        unsigned want = STATX_BASIC_STATS | STATX_MNT_ID;

        return syscall(SYS_statx, dirfd, name, flags | AT_NO_AUTOMOUNT, want, st) < 0 ? -errno : 0;
}

int tree_open(struct tree *t, const char *root)
{
        struct statx st;
        struct timespec now;
        int r;

        *t = (struct tree){ .root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        if (t->root < 0)
                return -errno;
        r = get_statx(t->root, "", AT_EMPTY_PATH, &st);
        if (r < 0)
                goto fail;
        t->mount = st.stx_mnt_id;
        t->arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (t->arena == MAP_FAILED) {
                t->arena = NULL;
                r = -ENOMEM;
                goto fail;
        }
        clock_gettime(CLOCK_REALTIME, &now);
        t->now_s = now.tv_sec;
        t->now_ns = (uint32_t)now.tv_nsec;
        return 0;
fail:
        tree_close(t);
        return r;
}

void tree_close(struct tree *t)
{
        if (t->arena)
                munmap(t->arena, ARENA);
        if (t->root > 0)
                close(t->root);
        *t = (struct tree){ .root = -1 };
}

int tree_exclude(struct tree *t, const char *path)
{
        struct statx st;
        int r = get_statx(AT_FDCWD, path, 0, &st);

        if (r == -ENOENT || r == -ENOTDIR)
                return 0;
        if (r < 0)
                return r;
        if (t->excluded_count == TREE_EXCLUDES)
                return -E2BIG;
        t->excluded[t->excluded_count++] =
                (struct tree_excluded){ st.stx_dev_major, st.stx_dev_minor, st.stx_ino };
        return 0;
}

static bool is_excluded(const struct tree *t, const struct statx *st)
{
        for (size_t i = 0; i < t->excluded_count; i++) {
                const struct tree_excluded *e = &t->excluded[i];

                if (e->ino == st->stx_ino && e->major == st->stx_dev_major &&
                    e->minor == st->stx_dev_minor)
                        return true;
        }
        return false;
}

static bool is_kernels(const char *name)
{
        return !strcmp(name, "proc") || !strcmp(name, "sys") || !strcmp(name, "dev");
}

int tree_stat(const struct tree *t, int dirfd, const char *name, struct statx *st)
{
        int r;

        if (dirfd == t->root && is_kernels(name))
                return 1;
        r = get_statx(dirfd, name, AT_SYMLINK_NOFOLLOW, st);
        if (r == -ENOENT)
                return 1;
        if (r < 0)
                return r;
        if ((st->stx_mask & STATX_MNT_ID) && st->stx_mnt_id != t->mount)
                return 1;
        return (st->stx_attributes & STATX_ATTR_MOUNT_ROOT) || is_excluded(t, st);
}

int tree_enter(int dirfd, const char *name)
{
        int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* --- one directory ---------------------------------------------------------------------- */

static const char *sort_arena; /* qsort has no argument to pass on */

static int by_name(const void *a, const void *b)
{
        const uint32_t *x = a, *y = b;

        return strcmp(sort_arena + *x, sort_arena + *y);
}

/* Names go to the arena's end as they come, and their offsets behind them all. */
static int read_names(struct tree *t, int dirfd, size_t *count)
{
        static LARGE_BUFFER _Alignas(8) char buf[64 << 10];

        *count = 0;
        for (;;) {
                long n = syscall(SYS_getdents64, dirfd, buf, sizeof(buf));

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                for (long at = 0; at < n;) {
                        const struct dirent *d = (const struct dirent *)(const void *)(buf + at);
                        size_t len = strlen(d->d_name);

                        at += d->d_reclen;
                        if (d->d_name[0] == '.' &&
                            (len == 1 || (len == 2 && d->d_name[1] == '.')))
                                continue;
                        if (t->used + len + 1 > ARENA / 2)
                                return -E2BIG;
                        memcpy(t->arena + t->used, d->d_name, len + 1);
                        t->used += len + 1;
                        ++*count;
                }
        }
}

int tree_list(struct tree *t, int dirfd, struct tree_names *n)
{
        size_t before = t->used, at = before;
        uint32_t *offsets;
        int r = read_names(t, dirfd, &n->count);

        if (r < 0) {
                t->used = before;
                return r;
        }
        t->used = (t->used + 3) & ~(size_t)3;
        offsets = (uint32_t *)(void *)(t->arena + t->used);
        for (size_t i = 0; i < n->count; i++) {
                offsets[i] = (uint32_t)at;
                at += strlen(t->arena + at) + 1;
        }
        t->used += n->count * sizeof(*offsets);
        sort_arena = t->arena;
        qsort(offsets, n->count, sizeof(*offsets), by_name);
        n->at = offsets;
        n->before = before;
        return 0;
}

void tree_forget(struct tree *t, const struct tree_names *n)
{
        t->used = n->before;
}

/* --- the index -------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
        h = (h ^ x) * UINT64_C(0x9e3779b97f4a7c15);
        return h ^ h >> 29;
}

uint64_t tree_fingerprint(const struct statx *st)
{
        uint64_t h = mix(0, st->stx_mode);

        h = mix(h, (uint64_t)st->stx_uid << 32 | st->stx_gid);
        h = mix(h, (uint64_t)st->stx_mtime.tv_sec);
        h = mix(h, (uint64_t)st->stx_ctime.tv_sec);
        h = mix(h, (uint64_t)st->stx_mtime.tv_nsec << 32 | st->stx_ctime.tv_nsec);
        if (S_ISDIR(st->stx_mode))
                return h; /* its size and its links follow from what is in it */
        h = mix(h, st->stx_size);
        h = mix(h, st->stx_ino);
        return mix(h, (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor);
}

struct index {
        struct tree *t;
        int fd;
        struct wr w;
        uint64_t count;
        int r; /* first failure, -errno */
};

static void flush(struct index *x, size_t need)
{
        if (x->w.cap - x->w.len >= need)
                return;
        if (!x->r)
                x->r = write_full(x->fd, x->w.buf, x->w.len);
        x->w.len = 0;
}

static bool is_racy(const struct tree *t, const struct statx *st)
{
        int64_t s = t->now_s - st->stx_ctime.tv_sec;

        if (S_ISDIR(st->stx_mode) || s > 1)
                return false;
        return s * 1000000000 + (int64_t)t->now_ns - st->stx_ctime.tv_nsec < GRAIN_NS;
}

static void put_node(struct index *x, enum tree_kind kind, const char *name,
                     const struct statx *st)
{
        size_t len = strlen(name);
        uint64_t print = tree_fingerprint(st);

        flush(x, 2 + len + sizeof(print));
        wr_char(&x->w, (char)kind);
        wr_char(&x->w, (char)len);
        wr_bytes(&x->w, name, len);
        wr_bytes(&x->w, &print, sizeof(print));
        x->count++;
}

static void index_dir(struct index *x, int dirfd, unsigned depth);

static void index_name(struct index *x, int dirfd, const char *name, unsigned depth)
{
        struct statx st;
        int r = tree_stat(x->t, dirfd, name, &st);

        if (r < 0)
                x->r = r;
        if (r)
                return;
        if (!S_ISDIR(st.stx_mode)) {
                put_node(x, is_racy(x->t, &st) ? TREE_RACY : TREE_LEAF, name, &st);
                return;
        }
        AUTO_CLOSE int fd = tree_enter(dirfd, name);
        if (fd < 0 && fd != -EACCES && fd != -EPERM) {
                x->r = fd;
                return;
        }
        put_node(x, TREE_DIR, name, &st);
        if (fd >= 0) /* what we may not read, we may not have changed either */
                index_dir(x, fd, depth + 1);
        flush(x, 1);
        wr_char(&x->w, TREE_UP);
}

static void index_dir(struct index *x, int dirfd, unsigned depth)
{
        struct tree_names n;
        int r;

        if (depth > TREE_DEPTH)
                return; /* nobody looks into it at the save either */
        r = tree_list(x->t, dirfd, &n);
        if (r < 0) {
                x->r = r;
                return;
        }
        for (size_t i = 0; i < n.count && !x->r; i++)
                index_name(x, dirfd, tree_name(x->t, &n, i), depth);
        tree_forget(x->t, &n);
}

int tree_index(struct tree *t, int fd, uint64_t *count)
{
        static LARGE_BUFFER char buf[256 << 10];
        struct index x = { .t = t, .fd = fd, .w = wr_of(buf, sizeof(buf)) };
        struct statx st;

        if (lseek(t->root, 0, SEEK_SET) < 0)
                return -errno;
        x.r = get_statx(t->root, "", AT_EMPTY_PATH, &st);
        if (!x.r) {
                put_node(&x, TREE_DIR, "", &st);
                index_dir(&x, t->root, 0);
                flush(&x, 1);
                wr_char(&x.w, TREE_UP);
        }
        flush(&x, sizeof(buf));
        *count = x.count;
        return x.r;
}

bool tree_next(struct rd *r, struct tree_record *out)
{
        const uint8_t *print;
        uint8_t kind;

        if (!rd_left(r))
                return false;
        kind = rd_u8(r);
        *out = (struct tree_record){ .kind = (enum tree_kind)kind };
        if (kind == TREE_UP)
                return true;
        out->len = rd_u8(r);
        out->name = (const char *)rd_bytes(r, out->len);
        print = rd_bytes(r, sizeof(out->fingerprint));
        if (!print || kind > TREE_RACY) {
                r->bad = true;
                return false;
        }
        memcpy(&out->fingerprint, print, sizeof(out->fingerprint));
        return true;
}

void tree_skip(struct rd *r)
{
        struct tree_record rec;

        for (unsigned depth = 1; depth && tree_next(r, &rec);) {
                if (rec.kind == TREE_DIR)
                        depth++;
                else if (rec.kind == TREE_UP)
                        depth--;
        }
}
