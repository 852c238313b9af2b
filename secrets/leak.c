/* secrets/leak.c - the walk. */
#include "secrets/leak.h"

#include "base/wr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#define ENTRIES 8192
#define MQUEUE_MAGIC 0x19800202
#define CONFIGFS_MAGIC 0x62656570
#define XATTR_MAX 65536
#ifndef MSG_COPY /* musl has no name for it */
#define MSG_COPY 040000
#endif

/* One open directory on the way down. */
struct level {
        int fd;
        dev_t dev;
        size_t path_len; /* of the path up to and with this directory */
        size_t at, len;  /* in entries */
        bool queues;     /* a mount of message queues */
        char entries[ENTRIES];
};

struct walk {
        struct leak *leak;
        struct level levels[LEAK_DEPTH];
        unsigned depth;
        char path[LEAK_PATH];
        struct linked {
                dev_t dev;
                ino_t ino;
                bool used, gone; /* gone: every name of it must go */
                struct finding first;
        } links[LEAK_LINKS];
        size_t link_count;
};

/* The kernel's own record, as getdents64(2) writes it; libc's has the same shape on 64 bits. */
struct entry {
        uint64_t ino;
        int64_t off;
        uint16_t len;
        uint8_t type;
        char name[];
};

static LARGE_BUFFER struct walk the_walk;

static bool is_allowed(const struct leak *l, const char *path)
{
        for (size_t i = 0; i < l->allow_count; i++) {
                size_t len = strlen(l->allow[i]);

                if (!strcmp(path, l->allow[i]) ||
                    (len && l->allow[i][len - 1] == '/' && !strncmp(path, l->allow[i], len)))
                        return true;
        }
        return false;
}

static bool is_recent(const struct leak *l, const struct stat *st)
{
        return st->st_ctim.tv_sec >= l->since_s - LEAK_CLOCK_S;
}

static void skip(struct walk *w, const char *why, int error)
{
        w->leak->skips++;
        w->leak->skipped(w->leak, w->path, why, error);
}

/* --- what was found ------------------------------------------------------------------- */

/* Away with the name; with the bytes at least, where the name is a mount. */
static int remove_file(int dir, const char *name, const struct stat *st)
{
        int fd, r = 0;

        if (unlinkat(dir, name, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0) == 0)
                return 0;
        r = -errno;
        if (!S_ISREG(st->st_mode))
                return r;
        fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return r;
        r = ftruncate(fd, 0) < 0 ? -errno : 0;
        close(fd);
        return r;
}

/* Tells, and acts, on what look->found says about the entry @name of @dir. */
static void judge(struct walk *w, int dir, const char *name, const struct stat *st)
{
        struct leak *l = w->leak;
        struct leak_hit h = { .path = w->path, .found = l->look->found,
                              .count = l->look->count, .fate = LEAK_STAYS };

        if (is_allowed(l, w->path)) {
                h.fate = LEAK_ALLOWED;
        } else if (l->act == LEAK_REMOVE) {
                h.error = -remove_file(dir, name, st);
                h.fate = h.error ? LEAK_IN_THE_WAY : LEAK_REMOVED;
        }
        l->hits += h.fate != LEAK_ALLOWED;
        l->allowed += h.fate == LEAK_ALLOWED;
        l->stay += h.fate == LEAK_STAYS || h.fate == LEAK_IN_THE_WAY;
        l->hit(l, &h);
}

/* --- one file -------------------------------------------------------------------------- */

/* The slot of a file with several names; NULL: there is no room to remember it. */
static struct linked *link_slot(struct walk *w, const struct stat *st)
{
        size_t i = (st->st_ino * UINT64_C(0x9e3779b97f4a7c15) ^ st->st_dev) % LEAK_LINKS;

        while (w->links[i].used && (w->links[i].ino != st->st_ino || w->links[i].dev != st->st_dev))
                i = (i + 1) % LEAK_LINKS;
        if (!w->links[i].used && w->link_count >= LEAK_LINKS - LEAK_LINKS / 8)
                return NULL;
        return &w->links[i];
}

static void look_xattrs(struct walk *w, int fd)
{
        static LARGE_BUFFER char names[XATTR_MAX];
        static LARGE_BUFFER char value[XATTR_MAX];
        ssize_t len = flistxattr(fd, names, sizeof(names));

        for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
                ssize_t n = fgetxattr(fd, names + at, value, sizeof(value));

                look_bytes(w->leak->look, names + at, strlen(names + at), PLACE_XATTR);
                if (n > 0)
                        look_bytes(w->leak->look, value, (size_t)n, PLACE_XATTR);
        }
}

static int open_to_read(int dir, const char *name)
{
        int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
        int fd = openat(dir, name, flags | O_NOATIME);

        return fd < 0 && errno == EPERM ? openat(dir, name, flags) : fd;
}

static void look_contents(struct walk *w, int dir, const char *name, const struct stat *st)
{
        AUTO_CLOSE int fd = open_to_read(dir, name);
        struct stat now;
        int r;

        if (fd < 0) {
                skip(w, "can't be opened", errno);
                return;
        }
        if (fstat(fd, &now) < 0 || now.st_ino != st->st_ino || !S_ISREG(now.st_mode)) {
                skip(w, "changed while it was searched", 0);
                return;
        }
        w->leak->searched++;
        look_xattrs(w, fd);
        r = look_file(w->leak->look, fd, (uint64_t)st->st_size,
                      st->st_blocks * 512 < st->st_size);
        if (r < 0)
                skip(w, "can't be read", -r);
        if (w->leak->look->unopened) {
                char why[60];
                struct wr t = wr_of(why, sizeof(why) - 1);

                wr_fmt(&t, "packed with %s: not searched inside", w->leak->look->unopened);
                skip(w, wr_cstr(&t), 0);
        }
        if (w->leak->look->cut)
                skip(w, "only searched in part: its size or the time limit", 0);
}

static void regular(struct walk *w, int dir, const char *name, const struct stat *st)
{
        struct look *look = w->leak->look;
        struct linked *link = st->st_nlink > 1 ? link_slot(w, st) : NULL;

        if (link && link->used) {
                if (!link->gone)
                        return; /* searched under another name */
                look->found[look->count++] = link->first;
                return;
        }
        look_contents(w, dir, name, st);
        if (!link)
                return;
        *link = (struct linked){ .dev = st->st_dev, .ino = st->st_ino, .used = true,
                                 .gone = look->count > 0 };
        if (look->count)
                link->first = look->found[0];
        w->link_count++;
}

static void other(struct walk *w, int dir, const char *name, const struct stat *st)
{
        char target[4096];
        ssize_t n;

        if (!S_ISLNK(st->st_mode))
                return;
        n = readlinkat(dir, name, target, sizeof(target));
        if (n > 0)
                look_bytes(w->leak->look, target, (size_t)n, PLACE_LINK);
}

static void queue(struct walk *w, const char *name)
{
        int r = look_queue(w->leak->look, name);

        if (r < 0)
                skip(w, "a message queue that can't be searched", -r);
}

/* --- directories ----------------------------------------------------------------------- */

/* Views of the kernel: nothing that setup wrote stands in them. */
static bool is_kernels(int fd, bool *queues)
{
        static const uint32_t magics[] = {
                PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
                DEVPTS_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC, SECURITYFS_MAGIC,
                SELINUX_MAGIC, BPF_FS_MAGIC, PSTOREFS_MAGIC, EFIVARFS_MAGIC, BINFMTFS_MAGIC,
                NSFS_MAGIC, CONFIGFS_MAGIC,
        };
        struct statfs fs;

        *queues = false;
        if (fstatfs(fd, &fs) < 0)
                return false;
        *queues = (uint32_t)fs.f_type == MQUEUE_MAGIC;
        for (size_t i = 0; i < COUNT(magics); i++) {
                if ((uint32_t)fs.f_type == magics[i])
                        return true;
        }
        return false;
}

/* Goes into the directory that w->path names; its descriptor is ours now. */
static void enter(struct walk *w, int fd, const struct stat *st)
{
        struct level *v = &w->levels[w->depth];
        bool queues = w->depth && w->levels[w->depth - 1].queues;

        if (!w->depth || w->levels[w->depth - 1].dev != st->st_dev) {
                if (is_kernels(fd, &queues)) {
                        close(fd);
                        return;
                }
        }
        v->fd = fd;
        v->dev = st->st_dev;
        v->path_len = strlen(w->path);
        v->at = v->len = 0;
        v->queues = queues;
        w->depth++;
}

/* A descriptor of the directory w->path, @st anew; -1: it is not entered. */
static int open_directory(struct walk *w, int dir, const char *name, struct stat *st)
{
        int fd;

        if (w->depth == LEAK_DEPTH) {
                skip(w, "too many directories deep", 0);
                return -1;
        }
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == EACCES && !is_recent(w->leak, st))
                return -1; /* as closed to setup, which ran with our rights */
        if (fd < 0 || fstat(fd, st) < 0) {
                skip(w, "can't be opened", errno);
                if (fd >= 0)
                        close(fd);
                return -1;
        }
        if (is_recent(w->leak, st))
                look_xattrs(w, fd);
        return fd;
}

/* w->path becomes that of @name in the innermost directory. */
static bool set_path(struct walk *w, const char *name)
{
        size_t at = w->levels[w->depth - 1].path_len;
        size_t len = strlen(name);

        if (at + len + 2 > sizeof(w->path)) {
                w->path[at] = '\0';
                skip(w, "something in it has too long a path", 0);
                return false;
        }
        if (!at || w->path[at - 1] != '/')
                w->path[at++] = '/';
        memcpy(w->path + at, name, len + 1);
        return true;
}

static void visit(struct walk *w, const char *name)
{
        const struct level *v = &w->levels[w->depth - 1];
        struct look *look = w->leak->look;
        int dir = v->fd;
        bool queues = v->queues;
        int below = -1;
        struct stat st;

        if (!set_path(w, name))
                return;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno != ENOENT)
                        skip(w, "can't be looked at", errno);
                return;
        }
        look_clear(look);
        w->leak->seen++;
        if (is_recent(w->leak, &st)) {
                look_bytes(look, name, strlen(name), PLACE_NAME);
                if (queues && S_ISREG(st.st_mode))
                        queue(w, name);
                else if (S_ISREG(st.st_mode))
                        regular(w, dir, name, &st);
                else
                        other(w, dir, name, &st);
        }
        if (S_ISDIR(st.st_mode))
                below = open_directory(w, dir, name, &st);
        if (look->count)
                judge(w, dir, name, &st);
        if (below >= 0)
                enter(w, below, &st);
}

/* The next entry's name, or NULL at the end. */
static const char *next_entry(struct walk *w, struct level *v)
{
        const struct entry *e;

        if (v->at == v->len) {
                long n = syscall(SYS_getdents64, v->fd, v->entries, sizeof(v->entries));

                if (n < 0) {
                        w->path[v->path_len] = '\0';
                        skip(w, "can't be listed", errno);
                }
                v->at = 0;
                v->len = n > 0 ? (size_t)n : 0;
                if (!v->len)
                        return NULL;
        }
        e = (const struct entry *)(const void *)(v->entries + v->at);
        v->at += e->len;
        return e->name;
}

static bool is_dot(const char *name)
{
        return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int leak_walk(struct leak *l, const char *root)
{
        struct walk *w = &the_walk;
        size_t len = strlen(root);
        int fd = -1;
        struct stat st;

        if (len >= sizeof(w->path))
                return -ENAMETOOLONG;
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
                int r = -errno;

                if (fd >= 0)
                        close(fd);
                return r;
        }
        w->leak = l;
        w->depth = 0;
        w->link_count = 0;
        memset(w->links, 0, sizeof(w->links));
        memcpy(w->path, root, len + 1);
        enter(w, fd, &st);
        while (w->depth) {
                struct level *v = &w->levels[w->depth - 1];
                const char *name = next_entry(w, v);

                if (look_is_late(l->look)) {
                        w->path[v->path_len] = '\0';
                        skip(w, "the time limit: from here on nothing was searched", 0);
                        while (w->depth)
                                close(w->levels[--w->depth].fd);
                } else if (name && !is_dot(name)) {
                        visit(w, name);
                } else if (!name) {
                        close(v->fd);
                        w->depth--;
                }
        }
        return 0;
}
