/* init/layer_save.c - keeps in step with the index, and writes down where the tree differs. */
#include "base/io.h"
#include "base/sum.h"
#include "init/layer.h"
#include "init/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#define SINK (256 << 10)
#define COPY (256U << 10) /* from here on it is worth a call of its own */
#define COPY_MAX (8U << 20)
#define LINKS (UINT32_C(1) << 28) /* address space for the table of hard links */

/* A file with several names: where its first one is. */
struct link {
        uint64_t ino;
        uint32_t major, minor;
        uint32_t next; /* offset of the next in its bucket; 0: none */
        char path[];
};

struct save {
        struct tree *t;
        struct rd index;
        struct layer_count *c;
        int fd;
        uint64_t limit;
        struct sum sum;
        size_t len; /* bytes of the sink */
        char path[TAR_PATH + 2];
        size_t path_len;
        bool by_hand; /* the kernel can't copy between these files */
        char *links;
        size_t links_used;
        uint32_t bucket[4096];
        int r; /* first failure */
};

static LARGE_BUFFER char sink[SINK], head[TAR_HEAD_MAX], attributes[TAR_RECORDS],
        map_text[TAR_MAP_MAX];
static LARGE_BUFFER struct tar_extent extents[TAR_EXTENTS];

static void fail(struct save *s, int r)
{
        struct wr w = wr_of(s->c->why, sizeof(s->c->why) - 1);

        if (s->r)
                return;
        s->r = r;
        wr_char(&w, '/');
        wr_plain(&w, s->path, s->path_len < 200 ? s->path_len : 200);
        if (r == -EILSEQ)
                wr_str(&w, ": a layer can't hold a file of that name");
        else if (r == -ESTALE)
                wr_str(&w, ": it changed while it was saved");
        else if (r == -EFBIG)
                wr_fmt(&w, ": the layer is larger than %llu MiB",
                       (unsigned long long)s->limit >> 20);
        else
                wr_fmt(&w, ": %s", strerror(-r));
        wr_cstr(&w);
}

/* --- the sink --------------------------------------------------------------------------- */

static void flush(struct save *s)
{
        int r;

        if (s->r || !s->len)
                return;
        s->c->bytes += s->len;
        r = s->c->bytes > s->limit ? -EFBIG : write_full(s->fd, sink, s->len);
        s->len = 0;
        if (r < 0)
                fail(s, r);
        else
                sum_tell(&s->sum, s->c->bytes);
}

static void emit(struct save *s, const char *bytes, size_t len)
{
        while (len && !s->r) {
                size_t take = len < SINK - s->len ? len : SINK - s->len;

                memcpy(sink + s->len, bytes, take);
                s->len += take;
                bytes += take;
                len -= take;
                if (s->len == SINK)
                        flush(s);
        }
}

static void emit_padding(struct save *s, uint64_t size)
{
        static const char none[TAR_BLOCK];

        emit(s, none, tar_pad(size));
}

static void emit_head(struct save *s, const struct tar_entry *e)
{
        struct wr w = wr_of(head, sizeof(head));

        tar_put(&w, e);
        if (w.full)
                fail(s, -E2BIG);
        else
                emit(s, head, w.len);
        s->c->entries++;
}

/* As much of it as the kernel copies by itself; in pieces, so that its sum keeps up. */
static void emit_large(struct save *s, int fd, uint64_t *at, uint64_t *len)
{
        while (*len >= COPY && !s->by_hand && !s->r) {
                off_t from = (off_t)*at;
                ssize_t n;

                flush(s);
                if (!s->r && s->c->bytes + *len > s->limit)
                        fail(s, -EFBIG);
                if (s->r)
                        return;
                n = copy_inside(fd, &from, s->fd, *len < COPY_MAX ? (size_t)*len : COPY_MAX);
                s->by_hand = n == -EXDEV;
                if (s->by_hand)
                        return;
                if (n <= 0) {
                        fail(s, n < 0 ? (int)n : -ESTALE);
                        return;
                }
                *at += (uint64_t)n;
                *len -= (uint64_t)n;
                s->c->bytes += (uint64_t)n;
                sum_tell(&s->sum, s->c->bytes);
        }
}

/* @len bytes of the file at @at, which are there or the file changed. */
static void emit_file(struct save *s, int fd, uint64_t at, uint64_t len)
{
        emit_large(s, fd, &at, &len);
        while (len && !s->r) {
                size_t room = SINK - s->len;
                ssize_t n = pread(fd, sink + s->len, room < len ? room : (size_t)len, (off_t)at);

                if (n <= 0) {
                        fail(s, n < 0 ? -errno : -ESTALE);
                        return;
                }
                s->len += (size_t)n;
                at += (uint64_t)n;
                len -= (uint64_t)n;
                if (s->len == SINK)
                        flush(s);
        }
}

/* --- one entry -------------------------------------------------------------------------- */

static bool is_kept(const char *name)
{
        return (!strncmp(name, "user.", 5) && !strchr(name, '=')) ||
               !strcmp(name, "security.capability") ||
               !strcmp(name, "system.posix_acl_access") ||
               !strcmp(name, "system.posix_acl_default");
}

/* The attributes of an open file as records. The kernel gives at most 64 KiB of names. */
static void take_attributes(struct save *s, int fd, struct tar_entry *e)
{
        static LARGE_BUFFER char names[65536], value[65536];
        struct wr w = wr_of(attributes, sizeof(attributes));
        ssize_t len = flistxattr(fd, names, sizeof(names)), n;

        if (len < 0 && errno != ENOTSUP)
                fail(s, -errno);
        for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
                if (!is_kept(name)) {
                        s->c->attributes++;
                        continue;
                }
                n = fgetxattr(fd, name, value, sizeof(value));
                if (n < 0) {
                        fail(s, -errno);
                        return;
                }
                tar_put_xattr(&w, name, value, (size_t)n);
        }
        if (w.full)
                fail(s, -E2BIG);
        e->xattrs = (const uint8_t *)attributes;
        e->xattrs_len = w.len;
}

static struct tar_entry entry_of(const struct save *s, enum tar_type type, const struct statx *st)
{
        return (struct tar_entry){
                .type = type, .path = s->path, .link = "", .mode = st->stx_mode & 07777,
                .uid = st->stx_uid, .gid = st->stx_gid, .mtime = st->stx_mtime.tv_sec,
                .mtime_ns = st->stx_mtime.tv_nsec,
        };
}

/* The path under which this file was saved before, or NULL after noting this one. */
static const char *linked(struct save *s, const struct statx *st)
{
        uint32_t *slot = &s->bucket[(st->stx_ino * 2654435761U >> 7) % COUNT(s->bucket)];
        struct link *l;

        for (uint32_t at = *slot; at; at = l->next) {
                l = (struct link *)(void *)(s->links + at);
                if (l->ino == st->stx_ino && l->major == st->stx_dev_major &&
                    l->minor == st->stx_dev_minor)
                        return l->path;
        }
        if (s->links_used + sizeof(*l) + s->path_len + 9 > LINKS) {
                fail(s, -E2BIG);
                return NULL;
        }
        l = (struct link *)(void *)(s->links + s->links_used);
        *l = (struct link){ st->stx_ino, st->stx_dev_major, st->stx_dev_minor, *slot };
        memcpy(l->path, s->path, s->path_len + 1);
        *slot = (uint32_t)s->links_used;
        s->links_used = (s->links_used + sizeof(*l) + s->path_len + 8) & ~(size_t)7;
        return NULL;
}

/* Where the file has data, as far as it is worth it. 0: everywhere. */
static size_t find_extents(int fd, uint64_t size, uint64_t *data)
{
        size_t count = 0;
        off_t at = 0;

        *data = 0;
        while ((uint64_t)at < size) {
                off_t start = lseek(fd, at, SEEK_DATA), end;

                if (start < 0 && errno == ENXIO)
                        break;
                end = start < 0 ? -1 : lseek(fd, start, SEEK_HOLE);
                if (end < 0 || count == COUNT(extents))
                        return 0;
                if ((uint64_t)end > size)
                        end = (off_t)size;
                extents[count++] = (struct tar_extent){ (uint64_t)start, (uint64_t)(end - start) };
                *data += (uint64_t)(end - start);
                at = end;
        }
        if (!count) /* nothing but a hole */
                extents[count++] = (struct tar_extent){ size, 0 };
        return count == 1 && extents[0].len == size ? 0 : count;
}

static void save_sparse(struct save *s, int fd, struct tar_entry *e, size_t count, uint64_t data)
{
        struct wr w = wr_of(map_text, sizeof(map_text));

        tar_put_map(&w, extents, count);
        if (w.full) {
                fail(s, -E2BIG);
                return;
        }
        e->sparse = true;
        e->size = w.len + data;
        emit_head(s, e);
        emit(s, map_text, w.len);
        for (size_t i = 0; i < count; i++)
                emit_file(s, fd, extents[i].at, extents[i].len);
        emit_padding(s, e->size);
        s->c->data += data;
}

static bool is_same(int fd, const struct statx *st)
{
        struct stat now;

        return !fstat(fd, &now) && now.st_ino == st->stx_ino &&
               (uint64_t)now.st_size == st->stx_size && S_ISREG(now.st_mode);
}

static void save_file(struct save *s, int dirfd, const char *name, const struct statx *st)
{
        struct tar_entry e = entry_of(s, TAR_FILE, st);
        const char *first = st->stx_nlink > 1 ? linked(s, st) : NULL;
        uint64_t data;
        size_t count = 0;

        if (first) {
                e.type = TAR_HARDLINK;
                e.link = first;
                emit_head(s, &e);
                return;
        }
        AUTO_CLOSE int fd = openat(dirfd, name,
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || !is_same(fd, st)) {
                fail(s, fd < 0 ? -errno : -ESTALE);
                return;
        }
        take_attributes(s, fd, &e);
        e.size = e.real_size = st->stx_size;
        if (st->stx_size >= 4096 && st->stx_blocks * 512 < st->stx_size)
                count = find_extents(fd, st->stx_size, &data);
        if (count) {
                save_sparse(s, fd, &e, count, data);
                return;
        }
        emit_head(s, &e);
        emit_file(s, fd, 0, st->stx_size);
        emit_padding(s, st->stx_size);
        s->c->data += st->stx_size;
}

static void save_symlink(struct save *s, int dirfd, const char *name, const struct statx *st)
{
        struct tar_entry e = entry_of(s, TAR_SYMLINK, st);
        char target[TAR_PATH + 2];
        ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

        if (n <= 0 || (size_t)n > TAR_PATH) {
                fail(s, n < 0 ? -errno : -ENAMETOOLONG);
                return;
        }
        target[n] = '\0';
        e.link = target;
        emit_head(s, &e);
}

static void save_leaf(struct save *s, int dirfd, const char *name, const struct statx *st)
{
        struct tar_entry e;

        switch (st->stx_mode & S_IFMT) {
        case S_IFREG:
                save_file(s, dirfd, name, st);
                break;
        case S_IFLNK:
                save_symlink(s, dirfd, name, st);
                break;
        case S_IFIFO:
                e = entry_of(s, TAR_FIFO, st);
                emit_head(s, &e);
                break;
        case S_IFSOCK:
                s->c->sockets++;
                break;
        default:
                s->c->devices++;
                break;
        }
}

static void save_dir_head(struct save *s, int fd, const struct statx *st)
{
        struct tar_entry e = entry_of(s, TAR_DIR, st);

        take_attributes(s, fd, &e);
        emit_head(s, &e);
}

/* --- the walk --------------------------------------------------------------------------- */

static bool path_push(struct save *s, const char *name, size_t len)
{
        size_t slash = s->path_len != 0;

        if (s->path_len + slash + len > TAR_PATH) {
                fail(s, -ENAMETOOLONG);
                return false;
        }
        if (slash)
                s->path[s->path_len] = '/';
        memcpy(s->path + s->path_len + slash, name, len);
        s->path_len += slash + len;
        s->path[s->path_len] = '\0';
        return true;
}

static void path_pop(struct save *s, size_t before)
{
        s->path_len = before;
        s->path[before] = '\0';
}

static void save_whiteout(struct save *s, const struct tree_record *gone)
{
        static const struct statx nothing;
        struct tar_entry e;
        char name[TAR_NAME + 1];
        struct wr w = wr_of(name, sizeof(name) - 1);
        size_t before = s->path_len;

        wr_str(&w, TAR_WHITEOUT);
        wr_bytes(&w, gone->name, gone->len);
        if (w.full) {
                fail(s, -EILSEQ);
                return;
        }
        if (!path_push(s, wr_cstr(&w), w.len))
                return;
        e = entry_of(s, TAR_FILE, &nothing);
        emit_head(s, &e);
        s->c->whiteouts++;
        path_pop(s, before);
}

static bool is_saved(const struct statx *st)
{
        return S_ISREG(st->stx_mode) || S_ISDIR(st->stx_mode) || S_ISLNK(st->stx_mode) ||
               S_ISFIFO(st->stx_mode);
}

/* @was: the index stands behind this directory's record. */
static void save_dir(struct save *s, int dirfd, bool was, unsigned depth);

static void save_name(struct save *s, int dirfd, const char *name,
                      const struct tree_record *old, unsigned depth)
{
        bool was_dir = old && old->kind == TREE_DIR;
        size_t before = s->path_len;
        struct statx st;
        bool changed;
        int r = tree_stat(s->t, dirfd, name, &st);

        if (!path_push(s, name, strlen(name)))
                return;
        if (r < 0)
                fail(s, r);
        changed = !r && (!old || old->kind == TREE_RACY ||
                         old->fingerprint != tree_fingerprint(&st));
        if (changed && !strncmp(name, TAR_WHITEOUT, sizeof(TAR_WHITEOUT) - 1))
                fail(s, -EILSEQ);
        if (!r && S_ISDIR(st.stx_mode)) {
                AUTO_CLOSE int fd = tree_enter(dirfd, name);

                if (fd >= 0 && changed)
                        save_dir_head(s, fd, &st);
                if (fd >= 0)
                        save_dir(s, fd, was_dir, depth + 1);
                else if (changed)
                        fail(s, fd);
                else if (was_dir)
                        tree_skip(&s->index);
        } else {
                if (changed && !s->r)
                        save_leaf(s, dirfd, name, &st);
                if (was_dir)
                        tree_skip(&s->index);
        }
        path_pop(s, before);
        /* What we leave out is not what was there before. */
        if (changed && old && !is_saved(&st))
                save_whiteout(s, old);
}

static int name_order(const char *name, const struct tree_record *old)
{
        size_t len = strlen(name);
        int d = memcmp(name, old->name, len < old->len ? len : old->len);

        return d ? d : len < old->len ? -1 : len > old->len;
}

static void save_dir(struct save *s, int dirfd, bool was, unsigned depth)
{
        struct tree_record old = { .kind = TREE_UP };
        struct tree_names n;
        size_t i = 0;
        int r;

        if (depth > TREE_DEPTH && was) { /* as deep before: the index has nothing of it */
                tree_skip(&s->index);
                return;
        }
        r = depth > TREE_DEPTH ? -E2BIG : tree_list(s->t, dirfd, &n);
        if (r < 0) {
                fail(s, r);
                return;
        }
        if (was && !tree_next(&s->index, &old))
                s->index.bad = true;
        while (!s->r && !s->index.bad && (i < n.count || old.kind != TREE_UP)) {
                int order = i == n.count ? 1 : old.kind == TREE_UP ? -1
                                : name_order(tree_name(s->t, &n, i), &old);

                if (order > 0) {
                        save_whiteout(s, &old);
                        if (old.kind == TREE_DIR)
                                tree_skip(&s->index);
                } else {
                        save_name(s, dirfd, tree_name(s->t, &n, i++), order ? NULL : &old, depth);
                }
                if (order >= 0 && !tree_next(&s->index, &old))
                        s->index.bad = true;
        }
        tree_forget(s->t, &n);
}

static void save_root(struct save *s)
{
        struct tree_record root;
        struct statx st;
        int r = tree_stat(s->t, s->t->root, ".", &st);

        /* The root is a mount itself, and not left out for that. */
        if (r < 0 || !tree_next(&s->index, &root) || root.kind != TREE_DIR) {
                fail(s, r < 0 ? r : -EBADMSG);
                return;
        }
        if (root.fingerprint != tree_fingerprint(&st))
                save_dir_head(s, s->t->root, &st);
        if (lseek(s->t->root, 0, SEEK_SET) < 0)
                fail(s, -errno);
        else
                save_dir(s, s->t->root, true, 0);
        if (s->index.bad)
                fail(s, -EBADMSG);
}

int layer_save(struct tree *t, struct rd index, int fd, uint64_t limit, struct layer_count *c)
{
        static LARGE_BUFFER struct save s;
        struct wr w = wr_of(head, sizeof(head));
        int r;

        *c = (struct layer_count){ .entries = 0 };
        s = (struct save){ .t = t, .index = index, .c = c, .fd = fd, .limit = limit,
                           .links_used = sizeof(struct link) };
        s.links = mmap(NULL, LINKS, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (s.links == MAP_FAILED)
                return -ENOMEM;
        r = sum_start(&s.sum, fd);
        if (r < 0)
                fail(&s, r);
        else
                save_root(&s);
        tar_put_end(&w);
        emit(&s, head, w.len);
        flush(&s);
        r = sum_end(&s.sum, c->sum);
        if (r < 0)
                fail(&s, r);
        munmap(s.links, LINKS);
        return s.r;
}
