/* agent/tree.c - whole trees, by descriptors. */
#include "agent/tree.h"

#include "agent/rpc.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DEPTH_MAX 512 /* directories open at once */

int files_error(struct buf *out, int err)
{
        buf_fmt(out, "%s (os error %d)", strerror(err), err);
        if (err == ENOENT)
                return RPC_NOT_FOUND;
        return err == EACCES || err == EPERM || err == EINVAL ? RPC_INVALID : RPC_INTERNAL;
}

void tree_put_uri(struct buf *b, const char *path)
{
        size_t len = strlen(path), room = URI_ROOM(len);
        struct wr w;

        buf_str(b, "\"");
        w = wr_of(buf_room(b, room), room);
        uri_put(&w, path, len); /* nothing in it that JSON escapes */
        buf_added(b, w.len);
        buf_str(b, "\"");
}

static int refuse(struct buf *out, int code, const char *text)
{
        buf_str(out, text);
        return code;
}

static bool limited(const struct place *p)
{
        return p->grants && !p->grants->everything;
}

/* --- list -------------------------------------------------------------------------------- */

static void put_entry(struct buf *out, const char *name, const struct stat *st, bool first)
{
        buf_str(out, first ? "{\"fileName\":" : ",{\"fileName\":");
        buf_json(out, name, strlen(name));
        buf_fmt(out, ",\"isDirectory\":%s,\"isFile\":%s}", S_ISDIR(st->st_mode) ? "true" : "false",
                S_ISREG(st->st_mode) ? "true" : "false");
}

int tree_list_some(const struct place *place, size_t max, struct buf *out)
{
        int fd = place_open(place, O_RDONLY | O_DIRECTORY, ACCESS_READ);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        size_t seen = 0, told = 0;
        struct dirent *e;

        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return files_error(out, fd < 0 ? -fd : ENOMEM);
        }
        buf_str(out, "{\"entries\":[");
        while ((e = readdir(dir)) && seen++ <= max) {
                struct stat st;

                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
                    fstatat(dirfd(dir), e->d_name, &st, 0) == 0)
                        put_entry(out, e->d_name, &st, !told++);
        }
        closedir(dir);
        buf_str(out, "]}");
        return e ? TREE_MORE : 0;
}

int tree_list(void *place, struct buf *out)
{
        return tree_list_some(place, SIZE_MAX - 1, out);
}

/* --- walk -------------------------------------------------------------------------------- */

struct entry {
        char *path;
        unsigned depth;
};

struct walker {
        const struct walk *w;
        struct buf entries, errors;
        uint64_t listed, read;
        bool truncated;
        struct entry *queue;
        size_t head, count, cap;
        struct {
                dev_t dev;
                ino_t ino;
        } *seen;
        size_t seen_count, seen_cap;
};

static void add_error(struct walker *k, const char *path, int err)
{
        buf_str(&k->errors, k->errors.len ? ",{\"path\":" : "{\"path\":");
        tree_put_uri(&k->errors, path);
        buf_fmt(&k->errors, ",\"message\":\"%s (os error %d)\"}", strerror(err), err);
}

static void push(struct walker *k, char *path, unsigned depth)
{
        if (k->count == k->cap) {
                size_t cap = k->cap ? 2 * k->cap : 64;
                struct entry *more = take_memory(cap * sizeof(*more));

                if (k->count)
                        memcpy(more, k->queue, k->count * sizeof(*more));
                free(k->queue);
                k->queue = more;
                k->cap = cap;
        }
        k->queue[k->count++] = (struct entry){ path, depth };
}

/* True the first time: a link back up would go round for ever. */
static bool first_visit(struct walker *k, const struct stat *st)
{
        for (size_t i = 0; i < k->seen_count; i++)
                if (k->seen[i].dev == st->st_dev && k->seen[i].ino == st->st_ino)
                        return false;
        if (k->seen_count == k->seen_cap) {
                k->seen_cap = k->seen_cap ? 2 * k->seen_cap : 64;
                k->seen = realloc(k->seen, k->seen_cap * sizeof(*k->seen));
                if (!k->seen)
                        _exit(1);
        }
        k->seen[k->seen_count].dev = st->st_dev;
        k->seen[k->seen_count++].ino = st->st_ino;
        return true;
}

static int by_name(const void *a, const void *b)
{
        const char *const *x = a, *const *y = b;

        return strcmp(*x, *y);
}

/* Without memory the helper ends, and its caller hears of that. */
static char *copy_of(const char *s)
{
        char *copy = strdup(s);

        if (!copy)
                _exit(1);
        return copy;
}

/* The names in @dir, sorted; the list and each name are malloc'ed. */
static char **names_in(DIR *dir, size_t *count)
{
        char **names = NULL;
        size_t cap = 0;
        struct dirent *e;

        *count = 0;
        while ((e = readdir(dir))) {
                if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
                        continue;
                if (*count == cap) {
                        cap = cap ? 2 * cap : 64;
                        names = realloc(names, cap * sizeof(*names));
                        if (!names)
                                _exit(1);
                }
                names[(*count)++] = copy_of(e->d_name);
        }
        if (names)
                qsort(names, *count, sizeof(*names), by_name);
        return names;
}

static char *join(const char *path, const char *name)
{
        size_t n = strlen(path), cap = n + strlen(name) + 2;
        char *both = take_memory(cap);
        struct wr w = wr_of(both, cap);

        wr_str(&w, path);
        if (!n || path[n - 1] != '/')
                wr_char(&w, '/');
        wr_str(&w, name);
        return both;
}

static void list_entry(struct walker *k, const char *path, bool directory)
{
        if (k->listed++)
                buf_str(&k->entries, ",");
        buf_str(&k->entries, "{\"path\":");
        tree_put_uri(&k->entries, path);
        buf_str(&k->entries, directory ? ",\"kind\":\"directory\"}" : ",\"kind\":\"file\"}");
}

static void visit_child(struct walker *k, int dir, const char *path, const char *name,
                        unsigned depth)
{
        struct stat st;
        char *full;
        bool directory;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        if (S_ISLNK(st.st_mode)) {
                if (!k->w->follow || fstatat(dir, name, &st, 0) < 0 || !S_ISDIR(st.st_mode))
                        return;
        }
        directory = S_ISDIR(st.st_mode);
        if (!directory && !S_ISREG(st.st_mode))
                return;
        if (k->listed >= k->w->max_entries) {
                k->truncated = true;
                return;
        }
        full = join(path, name);
        list_entry(k, full, directory);
        if (directory && depth < k->w->max_depth && !(k->w->prune_hidden && name[0] == '.'))
                push(k, full, depth + 1);
        else
                free(full);
}

static void visit(struct walker *k, const char *path, unsigned depth)
{
        struct place p = { .grants = k->w->root.grants, .no_links = false };
        size_t count, len = strlen(path);
        struct stat st;
        char **names;
        DIR *dir;
        int fd;

        if (len >= sizeof(p.path)) {
                add_error(k, path, ENAMETOOLONG);
                return;
        }
        memcpy(p.path, path, len + 1);
        fd = place_open(&p, O_RDONLY | O_DIRECTORY | (k->w->follow ? 0 : O_NOFOLLOW), ACCESS_READ);
        if (fd < 0) {
                add_error(k, path, -fd);
                return;
        }
        if (fstat(fd, &st) < 0 || !first_visit(k, &st)) {
                close(fd);
                return;
        }
        if (k->read == k->w->max_directories) {
                k->truncated = true;
                close(fd);
                return;
        }
        k->read++;
        dir = fdopendir(fd);
        if (!dir)
                _exit(1);
        names = names_in(dir, &count);
        for (size_t i = 0; i < count; i++) {
                if (!k->truncated)
                        visit_child(k, dirfd(dir), path, names[i], depth);
                free(names[i]);
        }
        free(names);
        closedir(dir);
}

static void forget(struct walker *k)
{
        for (; k->head < k->count; k->head++)
                free(k->queue[k->head].path);
        free(k->queue);
        free(k->seen);
        buf_free(&k->entries);
        buf_free(&k->errors);
}

int tree_walk(void *walk, struct buf *out)
{
        const struct walk *w = walk;
        struct walker k = { .w = w };
        struct stat st;
        AUTO_CLOSE int fd = place_open(&w->root, O_PATH, ACCESS_READ);

        if (fd < 0)
                return files_error(out, -fd);
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
                push(&k, copy_of(w->root.path), 0);
        for (; k.head < k.count && !k.truncated; k.head++) {
                visit(&k, k.queue[k.head].path, k.queue[k.head].depth);
                free(k.queue[k.head].path);
        }
        buf_str(out, "{\"entries\":[");
        buf_put(out, buf_at(&k.entries), k.entries.len);
        buf_str(out, "],\"errors\":[");
        buf_put(out, buf_at(&k.errors), k.errors.len);
        buf_fmt(out, "],\"truncated\":%s}", k.truncated ? "true" : "false");
        forget(&k);
        return 0;
}

/* --- remove ------------------------------------------------------------------------------ */

static int remove_below(int parent, const char *name, unsigned depth)
{
        AUTO_CLOSE int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        size_t count;
        char **names;
        DIR *dir;
        int r = 0;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (depth == DEPTH_MAX)
                return -ELOOP;
        dir = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
        if (!dir)
                return -errno;
        names = names_in(dir, &count);
        closedir(dir);
        for (size_t i = 0; i < count; i++) {
                if (!r && unlinkat(fd, names[i], 0) < 0 && errno != ENOENT) {
                        r = -errno;
                        if (r == -EISDIR || r == -EPERM) {
                                int below = remove_below(fd, names[i], depth + 1);

                                r = below == -ENOTDIR ? r : below;
                        }
                }
                free(names[i]);
        }
        free(names);
        if (!r && unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                r = -errno;
        return r;
}

/* Does a sandbox hold less for something below this? Then it is not for us to touch whole. */
static int judge_tree(const struct place *p)
{
        char path[URI_PATH_MAX];
        AUTO_CLOSE int fd = limited(p) ? place_open(p, O_PATH, ACCESS_READ) : -1;
        int r;

        if (!limited(p))
                return 0;
        if (fd < 0)
                return fd;
        r = path_of_fd(fd, path);
        if (r < 0)
                return r;
        return grants_narrower_below(p->grants, path) ? -EACCES : 0;
}

int tree_remove(void *removal, struct buf *out)
{
        const struct removal *m = removal;
        char name[256];
        AUTO_CLOSE int dir = place_parent(&m->place, ACCESS_WRITE, name);
        int r = dir < 0 ? dir : 0;

        if (!r && unlinkat(dir, name, 0) < 0)
                r = -errno;
        if (r == -EISDIR || (r == -EPERM && dir >= 0)) {
                int was = r;

                r = unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
                if (r == -ENOTDIR)
                        r = was;
                if (m->recursive && (r == -ENOTEMPTY || r == -EEXIST)) {
                        r = judge_tree(&m->place);
                        if (!r)
                                r = remove_below(dir, name, 0);
                }
        }
        if (r == -ENOENT && m->force)
                r = 0;
        if (r < 0)
                return files_error(out, -r);
        buf_str(out, "{}");
        return 0;
}

/* --- copy -------------------------------------------------------------------------------- */

static int copy_bytes(int from, int to)
{
        char piece[65536];

        for (;;) {
                ssize_t n = copy_file_range(from, NULL, to, NULL, 1U << 30, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        break;
                if (!n)
                        break; /* /proc says so at once: read on below */
        }
        for (;;) {
                ssize_t n = read_full(from, piece, sizeof(piece));
                int r;

                if (n <= 0)
                        return (int)n;
                r = write_full(to, piece, (size_t)n);
                if (r < 0)
                        return r;
        }
}

static int copy_link(int from_dir, const char *from, int to_dir, const char *to)
{
        char target[URI_PATH_MAX];
        ssize_t n = readlinkat(from_dir, from, target, sizeof(target) - 1);

        if (n < 0)
                return -errno;
        target[n] = '\0';
        return symlinkat(target, to_dir, to) < 0 ? -errno : 0;
}

static int copy_file(int from_dir, const char *from, int to_dir, const char *to, bool follow)
{
        struct stat st, there;
        AUTO_CLOSE int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (in < 0)
                return -errno;
        if (fstat(in, &st) < 0)
                return -errno;
        AUTO_CLOSE int out = openat(to_dir, to, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC |
                                                        (follow ? 0 : O_NOFOLLOW), st.st_mode & 0777);
        int r;

        if (out < 0)
                return -errno;
        if (fstat(out, &there) < 0)
                return -errno;
        if (!S_ISREG(there.st_mode))
                return -EOPNOTSUPP;
        if (st.st_dev == there.st_dev && st.st_ino == there.st_ino)
                return 0; /* to itself: done, and not emptied first */
        if (ftruncate(out, 0) < 0)
                return -errno;
        r = copy_bytes(in, out);
        if (!r && fchmod(out, st.st_mode & 07777) < 0)
                r = -errno;
        return r;
}

/* -EOPNOTSUPP: something that is no file, directory or link. */
static int copy_any(int from_dir, const char *from, int to_dir, const char *to, bool recursive,
                    bool follow, unsigned depth)
{
        struct stat st;
        size_t count;
        char **names;
        DIR *dir;
        int r = 0;

        if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISLNK(st.st_mode))
                return copy_link(from_dir, from, to_dir, to);
        if (S_ISREG(st.st_mode))
                return copy_file(from_dir, from, to_dir, to, follow);
        if (!S_ISDIR(st.st_mode))
                return depth ? 0 : -EOPNOTSUPP;
        if (!recursive)
                return -EISDIR;
        if (depth == DEPTH_MAX)
                return -ELOOP;
        AUTO_CLOSE int in = openat(from_dir, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (in < 0)
                return -errno;
        dir = fdopendir(fcntl(in, F_DUPFD_CLOEXEC, 3));
        if (!dir)
                return -errno;
        names = names_in(dir, &count);
        closedir(dir);
        if (mkdirat(to_dir, to, 0777) < 0 && errno != EEXIST)
                r = -errno;
        AUTO_CLOSE int out = r ? -1 : openat(to_dir, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
                                                                 (follow ? 0 : O_NOFOLLOW));
        if (!r && out < 0)
                r = -errno;
        for (size_t i = 0; i < count; i++) {
                if (!r)
                        r = copy_any(in, names[i], out, names[i], true, false, depth + 1);
                free(names[i]);
        }
        free(names);
        return r;
}

/* Is the destination the source directory, or inside it? By what the kernel calls them. */
static bool into_itself(const struct copy *c, int to_dir, const char *to)
{
        char from[URI_PATH_MAX], target[URI_PATH_MAX];
        AUTO_CLOSE int fd = place_open(&c->from, O_PATH | O_NOFOLLOW, ACCESS_READ);
        AUTO_CLOSE int there = openat(to_dir, to, O_PATH | O_CLOEXEC);
        struct stat st;
        size_t n, m;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) || path_of_fd(fd, from) < 0 ||
            path_of_fd(there >= 0 ? there : to_dir, target) < 0)
                return false;
        n = strlen(from);
        m = strlen(target);
        return m >= n && !strncmp(from, target, n) &&
               (n == 1 || target[n] == '/' || target[n] == '\0');
}

/* The destination may be a link to a file: written through, as any program would. */
static int copy_to(const struct copy *c, int from_dir, const char *from, int to_dir,
                   const char *to, struct buf *out)
{
        bool follow = !limited(&c->to) && !c->to.no_links;
        int r;

        if (c->recursive && into_itself(c, to_dir, to))
                return refuse(out, RPC_INVALID, "fs/copy cannot copy a directory to itself or one "
                                                "of its descendants");
        r = c->recursive ? judge_tree(&c->from) : 0;
        if (!r && c->recursive)
                r = judge_tree(&c->to);
        if (r == -ENOENT)
                r = 0;
        if (!r)
                r = copy_any(from_dir, from, to_dir, to, c->recursive, follow, 0);
        if (r == -EISDIR && !c->recursive) {
                struct stat st;

                if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                        return refuse(out, RPC_INVALID,
                                      "fs/copy requires recursive: true when sourcePath is a "
                                      "directory");
        }
        if (r == -EOPNOTSUPP)
                return refuse(out, RPC_INVALID, "fs/copy only supports regular files, directories, "
                                                "and symlinks");
        if (r < 0)
                return files_error(out, -r);
        buf_str(out, "{}");
        return 0;
}

int tree_copy(void *copy, struct buf *out)
{
        const struct copy *c = copy;
        char from[256], to[256];
        AUTO_CLOSE int from_dir = place_parent(&c->from, ACCESS_READ, from);
        AUTO_CLOSE int to_dir = place_parent(&c->to, ACCESS_WRITE, to);

        /* "/" can only be a source, and never one that fits. */
        if (from_dir < 0)
                return files_error(out, from_dir == -EBUSY ? EINVAL : -from_dir);
        if (to_dir < 0)
                return files_error(out, to_dir == -EBUSY ? EISDIR : -to_dir);
        return copy_to(c, from_dir, from, to_dir, to, out);
}
