/* init/layer_restore.c - reads a layer twice: to know that it can be restored, then to do it. */
#include "base/confine.h"
#include "base/io.h"
#include "base/sum.h"
#include "init/hand.h"
#include "init/layer.h"
#include "init/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>

#define READ (1 << 20)
#define KEPT (UINT32_C(1) << 30) /* address space for attributes and the set of files */
#define FILES_MAX (UINT64_C(1) << 24)
#define BLOCK 4096
#define COPY (256U << 10) /* from here on it is worth a call of its own */
#define COPY_MAX (1U << 30)
#define READY_MIN (UINT64_C(512) << 10) /* from here on a file is made while the sum is taken */
#define HAND_WORTH 500 /* entries: for fewer there is no point in a helper */
#define LATE 64
#define READY 256                       /* how many at most: each holds a descriptor */

/*
 * One directory on the way to where we are. Its attributes come last, when everything in it
 * is there: else its times would change, and its mode might keep us out.
 */
struct level {
        int fd;            /* -1: it will be there once the archive is restored */
        size_t path_len;   /* of its path */
        bool declared;     /* by an entry of its own */
        bool made;         /* by us: nothing else is in it */
        bool gives;        /* what is made in it a group or an ACL of its own */
        uint64_t given;    /* the helper's number of its last file that makes one here; 0 */
        struct tar_entry e; /* with @declared; xattrs are in `kept` */
        size_t kept_before;
        struct timespec was[2]; /* without @declared: setup left it alone, and so do we */
};

/* A directory that we have left while the helper has not. */
struct late {
        int fd;
        uint64_t given;
        struct tar_entry e; /* without attributes */
};

struct restore {
        int fd, root;
        bool dry;
        struct layer_count *c;
        struct sum sum;
        /* The window on the archive. */
        size_t at, end;
        bool ended;
        bool by_hand; /* the kernel can't copy between these files */
        /* Where we are. */
        struct level level[TREE_DEPTH + 2];
        size_t depth; /* level[depth] is the innermost */
        char path[TAR_PATH + 2], last[TAR_PATH + 2];
        struct tar_names names;
        /* Hashes of the paths of all regular files, for hard links. Dry runs only. */
        uint64_t *files;
        size_t files_mask, file_count;
        size_t kept_used;
        struct hand hand;
        struct late late[LATE];
        size_t late_at, late_count;
        uid_t uid;
        gid_t gid;
        uint64_t caps;
        int r;
};

static LARGE_BUFFER uint8_t window[READ + TAR_HEAD_MAX + TAR_MAP_MAX];
static LARGE_BUFFER struct tar_extent extents[TAR_EXTENTS];
static LARGE_BUFFER struct restore state;

/*
 * Large files, copied while the child sums the archive up: files without a name, which nobody sees
 * and which vanish with us unless the archive turns out to be right. What can't be made
 * so is copied later.
 */
static struct {
        struct {
                uint64_t entry; /* which of the archive's */
                int fd;
        } file[READY];
        size_t count, next;
        uint64_t bytes; /* on disk */
} ready;
static char *kept;

static int fail(struct restore *s, int r, const char *what)
{
        struct wr w = wr_of(s->c->why, sizeof(s->c->why) - 1);

        if (s->r)
                return s->r;
        s->r = r;
        wr_char(&w, '/');
        wr_plain(&w, s->path, strnlen(s->path, 180));
        wr_fmt(&w, ": %s", what);
        if (r != -EBADMSG)
                wr_fmt(&w, ": %s", strerror(-r));
        wr_cstr(&w);
        return r;
}

static int damaged(struct restore *s, const char *what)
{
        return fail(s, -EBADMSG, what);
}

/* --- the archive ------------------------------------------------------------------------ */

/* Reads more behind what is there. False: nothing more comes. */
static bool more(struct restore *s)
{
        ssize_t n;

        if (s->at) {
                memmove(window, window + s->at, s->end - s->at);
                s->end -= s->at;
                s->at = 0;
        }
        if (s->ended || s->end == sizeof(window))
                return false;
        n = read_full(s->fd, window + s->end,
                      sizeof(window) - s->end < READ ? sizeof(window) - s->end : READ);
        if (n < 0) {
                fail(s, (int)n, "read the layer");
                return false;
        }
        s->ended = n == 0;
        s->c->bytes += (uint64_t)n;
        s->end += (size_t)n;
        return n > 0;
}

/* Passes over @len bytes, to @fd if that is not -1. */
static int pass(struct restore *s, int fd, uint64_t len)
{
        while (len && !s->r) {
                size_t have = s->end - s->at, take = have < len ? have : (size_t)len;
                int r;

                if (!have) {
                        /* Contents are the child's to read; a hole behind the end is found. */
                        if (fd < 0 && len > READ) {
                                s->at = s->end = 0;
                                if (lseek(s->fd, (off_t)(len - len % READ), SEEK_CUR) < 0)
                                        return fail(s, -errno, "seek");
                                s->c->bytes += len - len % READ;
                                len %= READ;
                                continue;
                        }
                        if (fd >= 0 && len >= COPY && !s->by_hand) {
                                ssize_t n = copy_inside(s->fd, NULL, fd, (size_t)(len < COPY_MAX
                                                                                  ? len : COPY_MAX));

                                s->by_hand = n == -EXDEV;
                                if (!n)
                                        return damaged(s, "cut short");
                                if (n < 0 && !s->by_hand)
                                        return fail(s, (int)n, "write");
                                s->c->bytes += n > 0 ? (uint64_t)n : 0;
                                len -= n > 0 ? (uint64_t)n : 0;
                                continue;
                        }
                        if (!more(s))
                                return damaged(s, "cut short");
                        continue;
                }
                r = fd < 0 ? 0 : write_full(fd, window + s->at, take);
                if (r < 0)
                        return fail(s, r, "write");
                s->at += take;
                len -= take;
        }
        return s->r;
}

/* --- directories ------------------------------------------------------------------------ */

/* One component, no link, no other mount. -ENOENT and the like. */
static int enter(int dirfd, const char *name)
{
        struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                           RESOLVE_NO_XDEV };
        long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

        if (fd < 0 && errno == ENOSYS)
                return tree_enter(dirfd, name); /* before Linux 5.6: mounts are not seen */
        return fd < 0 ? -errno : (int)fd;
}

static void set_attributes(struct restore *s, int fd, const struct tar_entry *e, bool fresh)
{
        struct rd r = rd_of(e->xattrs, e->xattrs_len);
        struct tar_xattr x;
        char names[4096];
        ssize_t len = fresh ? 0 : flistxattr(fd, names, sizeof(names));

        for (const char *n = names; len > 0 && n < names + len; n += strlen(n) + 1) {
                if (!strncmp(n, "user.", 5) || !strncmp(n, "system.posix_acl_", 17))
                        (void)!fremovexattr(fd, n);
        }
        while (tar_next_xattr(&r, &x)) {
                if (!fsetxattr(fd, x.name, x.value, x.len, 0))
                        continue;
                if (errno == ENOTSUP || (errno == EPERM && s->uid)) {
                        s->c->attributes++;
                        continue;
                }
                fail(s, -errno, x.name);
        }
}

static void set_time(struct restore *s, int fd, const struct tar_entry *e)
{
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { e->mtime, e->mtime_ns } };

        if (futimens(fd, times) < 0 && !(errno == EPERM && s->uid))
                fail(s, -errno, "set its time");
}

/* Owner, which clears capabilities; attributes, which need a mode that lets us; mode; times. */
static void finish(struct restore *s, int fd, const struct tar_entry *e, bool fresh)
{
        struct stat st;

        if (fchown(fd, e->uid, e->gid) < 0) {
                if (errno != EPERM || !s->uid) {
                        fail(s, -errno, "chown");
                        return;
                }
                /* As an ordinary user: what is ours stays ours, the group if it is one of ours. */
                if (e->uid != s->uid || fchown(fd, s->uid, e->gid) < 0)
                        s->c->owners++;
        }
        set_attributes(s, fd, e, fresh);
        if (!s->r && fchmod(fd, e->mode) < 0) {
                if (errno != EPERM || !s->uid || fstat(fd, &st) < 0 || st.st_uid == s->uid) {
                        fail(s, -errno, "chmod");
                        return;
                }
                s->c->owners++;
        }
        if (!s->r)
                set_time(s, fd, e);
}

static void wait_for_hand(struct restore *s)
{
        char path[HAND_PATH];
        int r = hand_wait(&s->hand, path);

        if (r < 0 && !s->r) {
                memcpy(s->path, path, strlen(path) + 1);
                fail(s, r, "create");
        }
}

/* Ends directories that were left: those that are whole now, or (@all) every one. */
static void end_late(struct restore *s, bool all)
{
        if (all)
                wait_for_hand(s);
        while (s->late_count && (all || hand_done(&s->hand, s->late[s->late_at].given))) {
                struct late *d = &s->late[s->late_at];

                if (!s->r)
                        finish(s, d->fd, &d->e, true);
                close(d->fd);
                s->late_at = (s->late_at + 1) % LATE;
                s->late_count--;
        }
}

/* Its times come when the last file is in it: then @l is left, and its descriptor is ours. */
static bool leave_late(struct restore *s, struct level *l)
{
        end_late(s, s->late_count == LATE);
        if (hand_done(&s->hand, l->given))
                return false;
        if (l->e.xattrs_len) {
                wait_for_hand(s);
                return false;
        }
        s->late[(s->late_at + s->late_count++) % LATE] = (struct late){ fd_take(&l->fd), l->given, l->e };
        return true;
}

static void leave(struct restore *s)
{
        struct level *l = &s->level[s->depth--];

        if (l->given && leave_late(s, l)) {
                s->kept_used = l->kept_before;
                return;
        }
        if (l->fd >= 0 && l->declared && !s->dry && !s->r)
                finish(s, l->fd, &l->e, l->made);
        else if (l->fd >= 0 && !s->dry && !s->r)
                (void)!futimens(l->fd, l->was); /* another's: then it was not ours to change */
        s->kept_used = l->kept_before;
        if (l->fd >= 0)
                close(l->fd);
        l->fd = -1;
}

/* Is the directory of level @l on the way to @path? */
static bool is_on_the_way(const struct restore *s, const struct level *l, const char *path)
{
        return !l->path_len || (!strncmp(s->last, path, l->path_len) && path[l->path_len] == '/');
}

/* Does the directory hand something down? It does so to directories in it, too. */
static bool gives(int fd)
{
        struct stat st;

        return fstat(fd, &st) < 0 || (st.st_mode & S_ISGID) ||
               fgetxattr(fd, "system.posix_acl_default", NULL, 0) > 0;
}

static struct level *push(struct restore *s, int fd, size_t path_len)
{
        struct level *l;

        if (s->depth == TREE_DEPTH) {
                if (fd >= 0)
                        close(fd);
                damaged(s, "too deep");
                return NULL;
        }
        l = &s->level[++s->depth];
        *l = (struct level){ .fd = fd, .path_len = path_len, .kept_before = s->kept_used };
        l->gives = fd >= 0 && !s->dry && gives(fd);
        return l;
}

/*
 * Goes to the directory that holds @path. Every component is on the stack, or is a directory
 * that the archive leaves alone and the tree has. Returns the last component.
 */
static const char *go_to(struct restore *s, const char *path)
{
        size_t at;

        while (s->depth && !is_on_the_way(s, &s->level[s->depth], path))
                leave(s);
        at = s->level[s->depth].path_len;
        at += at != 0;
        for (;;) {
                size_t len = strcspn(path + at, "/");
                char name[TAR_NAME + 1];
                struct level *l;
                struct stat st;
                int fd;

                if (!path[at + len])
                        return path + at;
                memcpy(name, path + at, len);
                name[len] = '\0';
                fd = s->level[s->depth].fd;
                fd = fd < 0 ? -ENOENT : enter(fd, name);
                if (fd < 0) {
                        fail(s, s->dry ? -EBADMSG : fd,
                             fd == -EXDEV ? "its directory is another mount here"
                                          : "its directory is not in this tree");
                        return NULL;
                }
                l = push(s, fd, at + len);
                if (!l)
                        return NULL;
                if (!s->dry && !fstat(fd, &st)) {
                        l->was[0] = st.st_atim;
                        l->was[1] = st.st_mtim;
                }
                at += len + 1;
        }
}

/* --- what was there before -------------------------------------------------------------- */

static int remove_all(int dirfd, const char *name, unsigned depth);

static int remove_inside(int dirfd, unsigned depth)
{
        static LARGE_BUFFER struct tree scratch;
        struct tree_names n = { .count = 0 };
        int r = depth > TREE_DEPTH ? -E2BIG : 0;

        if (!r && !scratch.arena)
                r = tree_open(&scratch, "/");
        if (!r)
                r = tree_list(&scratch, dirfd, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n.count && !r; i++)
                r = remove_all(dirfd, tree_name(&scratch, &n, i), depth + 1);
        tree_forget(&scratch, &n);
        return r;
}

static int remove_all(int dirfd, const char *name, unsigned depth)
{
        int r;

        if (!unlinkat(dirfd, name, 0) || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        AUTO_CLOSE int fd = enter(dirfd, name);
        if (fd < 0)
                return fd == -ENOTDIR ? -EPERM : fd;
        r = remove_inside(fd, depth);
        if (!r && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
                r = -errno;
        return r;
}

static void make_room(struct restore *s, int dirfd, const char *name)
{
        int r = remove_all(dirfd, name, 0);

        if (r < 0)
                fail(s, r, "remove what was there");
}

/* --- the set of regular files ----------------------------------------------------------- */

static uint64_t hash_path(const char *path)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (; *path; path++)
                h = (h ^ (unsigned char)*path) * UINT64_C(0x100000001b3);
        return h ? h : 1;
}

static uint64_t *slot_of(const struct restore *s, uint64_t h)
{
        size_t i = (size_t)(h ^ h >> 32) & s->files_mask;

        while (s->files[i] && s->files[i] != h)
                i = (i + 1) & s->files_mask;
        return &s->files[i];
}

/* --- one entry -------------------------------------------------------------------------- */

/* The window moves on, and with it the attributes that @e points to: here they stay. */
static struct tar_entry keep(struct restore *s, const struct tar_entry *e)
{
        struct tar_entry mine = *e;

        mine.path = mine.link = "";
        mine.xattrs = (uint8_t *)kept + s->kept_used;
        if (s->kept_used + e->xattrs_len > KEPT / 2) {
                damaged(s, "too many attributes");
                mine.xattrs_len = 0;
        } else if (e->xattrs_len) {
                memcpy(kept + s->kept_used, e->xattrs, e->xattrs_len);
        }
        return mine;
}

static void do_dir(struct restore *s, const char *name, const struct tar_entry *e)
{
        struct level *parent = &s->level[s->depth], *l;
        bool made = false;
        int fd = -1;

        if (parent->fd >= 0) {
                fd = enter(parent->fd, name);
                if (fd == -EXDEV) {
                        damaged(s, "another mount here");
                        return;
                }
                if (fd < 0 && !s->dry) {
                        if (fd != -ENOENT)
                                make_room(s, parent->fd, name);
                        if (!s->r && mkdirat(parent->fd, name, 0700) < 0)
                                fail(s, -errno, "mkdir");
                        made = true;
                        fd = s->r ? s->r : enter(parent->fd, name);
                        if (fd < 0)
                                fail(s, fd, "open");
                } else if (fd >= 0 && !s->dry && s->uid) {
                        struct stat st;

                        /* Ours, and closed to us: for the time being, opened. */
                        if (!fstat(fd, &st) && st.st_uid == s->uid && (st.st_mode & 0300) != 0300)
                                (void)!fchmod(fd, 0700);
                }
        }
        if (s->r)
                return;
        l = push(s, fd < 0 ? -1 : fd, strlen(e->path));
        if (!l)
                return;
        l->declared = true;
        l->made = made;
        l->e = keep(s, e);
        s->kept_used += l->e.xattrs_len;
}

/* A sparse file: the map, then each extent at its place. */
static int do_extents(struct restore *s, int fd, const struct tar_entry *e)
{
        enum tar_status st;
        size_t count, used;

        while ((st = tar_parse_map(window + s->at, s->end - s->at, e->size, e->real_size, extents,
                                   &count, &used)) == TAR_MORE)
                if (!more(s))
                        return damaged(s, "cut short");
        if (st != TAR_OK)
                return damaged(s, tar_status_str(st));
        s->at += used;
        s->c->data += e->size - used;
        for (size_t i = 0; i < count && !s->r; i++) {
                if (fd >= 0 && lseek(fd, (off_t)extents[i].at, SEEK_SET) < 0)
                        return fail(s, -errno, "seek");
                pass(s, fd, extents[i].len);
        }
        if (fd >= 0 && !s->r && ftruncate(fd, (off_t)e->real_size) < 0)
                return fail(s, -errno, "set its size");
        return s->r;
}

/* Once more after removing what was there. */
static int create_file(struct restore *s, int dirfd, const char *name, mode_t mode)
{
        int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        int fd = openat(dirfd, name, flags, mode);

        if (fd < 0 && errno == EEXIST) {
                make_room(s, dirfd, name);
                fd = s->r ? -1 : openat(dirfd, name, flags, mode);
        }
        if (fd < 0)
                fail(s, -errno, "create");
        return fd;
}

void layer_forget(void)
{
        for (size_t i = ready.next; i < ready.count; i++)
                close(ready.file[i].fd);
        ready.count = ready.next = 0;
        ready.bytes = 0;
}

static bool has_room_for(const struct restore *s, uint64_t bytes)
{
        struct statvfs v;

        return !fstatvfs(s->root, &v) && bytes / v.f_frsize + 1 < v.f_bavail;
}

/* Passes over the contents of a file of the archive that is only checked so far. */
static void get_ready(struct restore *s, const struct tar_entry *e)
{
        int fd = -1;

        if (e->size >= READY_MIN && ready.count < READY && has_room_for(s, e->size))
                fd = openat(s->root, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (pass(s, fd, e->size) || fd < 0) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        ready.file[ready.count].entry = s->c->entries;
        ready.file[ready.count++].fd = fd;
        ready.bytes += (e->size + BLOCK - 1) / BLOCK * BLOCK;
}

/* By its descriptor, which needs a right or a new kernel; else by its name in /proc. */
static int name_it(int fd, int dirfd, const char *name)
{
        char path[40];
        struct wr w = wr_of(path, sizeof(path) - 1);

        if (!linkat(fd, "", dirfd, name, AT_EMPTY_PATH))
                return 0;
        if (errno != ENOENT)
                return -errno;
        wr_fmt(&w, "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, wr_cstr(&w), dirfd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* The file that was made for this entry, under its name now; -1: there is none. */
static int take_ready(struct restore *s, int dirfd, const char *name)
{
        int fd, r;

        if (ready.next == ready.count || ready.file[ready.next].entry != s->c->entries)
                return -1;
        fd = ready.file[ready.next++].fd;
        r = name_it(fd, dirfd, name);
        if (r == -EEXIST) {
                make_room(s, dirfd, name);
                r = s->r ? s->r : name_it(fd, dirfd, name);
        }
        if (!r)
                return fd;
        close(fd);
        return -1;
}

/* A small file in a new directory: the helper's, if it has time. */
static bool give_away(struct restore *s, const char *name, const struct tar_entry *e)
{
        struct level *dir = &s->level[s->depth];
        struct hand_file f = { .dir = dir->fd, .name = name, .path = s->path, .mode = e->mode,
                               .mtime = e->mtime, .mtime_ns = e->mtime_ns,
                               .at = s->c->bytes - (s->end - s->at), .size = e->size };
        uint64_t number = dir->made && !e->sparse ? hand_give(&s->hand, &f) : 0;

        if (!number)
                return false;
        dir->given = number;
        pass(s, -1, e->size + tar_pad(e->size));
        return true;
}

static void do_file(struct restore *s, const char *name, const struct tar_entry *e)
{
        const struct level *dir = &s->level[s->depth];
        /* What comes out right by itself: most files, and two calls less for each. */
        bool plain = !dir->gives && e->uid == s->uid && e->gid == s->gid && !(e->mode & 07000) &&
                     !e->xattrs_len;
        AUTO_CLOSE int fd = -1;
        struct tar_entry last = keep(s, e); /* for what comes after the contents */
        bool is_ready;

        if (plain && !s->dry && give_away(s, name, e))
                return;
        if (!s->dry)
                fd = take_ready(s, dir->fd, name);
        is_ready = fd >= 0;
        if (!s->dry && !is_ready && !s->r)
                fd = create_file(s, dir->fd, name, plain ? e->mode : 0600);
        if (s->r)
                return;
        if (s->dry) {
                if (++s->file_count > s->files_mask / 2) {
                        damaged(s, "more files than the entry says");
                        return;
                }
                *slot_of(s, hash_path(e->path)) = hash_path(e->path);
        }
        if (e->sparse)
                do_extents(s, fd, e);
        else if (s->dry)
                get_ready(s, e);
        else
                pass(s, is_ready ? -1 : fd, e->size);
        if (!e->sparse)
                s->c->data += (e->size + BLOCK - 1) / BLOCK * BLOCK;
        pass(s, -1, tar_pad(e->size));
        if (fd < 0 || s->r)
                return;
        if (plain && !is_ready)
                set_time(s, fd, &last);
        else
                finish(s, fd, &last, !is_ready);
}

/* The file that an earlier entry restored: by components from the root, as all. */
static int link_file(struct restore *s, const char *name, const char *target)
{
        int to = s->level[s->depth].fd, r = 0;
        int dir = s->root;

        for (;;) {
                size_t len = strcspn(target, "/");
                char part[TAR_NAME + 1];
                int next;

                if (!target[len])
                        break;
                memcpy(part, target, len);
                part[len] = '\0';
                next = enter(dir, part);
                if (dir != s->root)
                        close(dir);
                if (next < 0)
                        return next;
                dir = next;
                target += len + 1;
        }
        if (linkat(dir, target, to, name, 0) < 0)
                r = -errno;
        if (r == -EEXIST) {
                make_room(s, to, name);
                r = linkat(dir, target, to, name, 0) < 0 ? -errno : 0;
        }
        if (dir != s->root)
                close(dir);
        return r;
}

static void do_hardlink(struct restore *s, const char *name, const struct tar_entry *e)
{
        int r;

        if (s->dry) {
                if (!*slot_of(s, hash_path(e->link)))
                        damaged(s, "a hard link to what the layer has not");
                return;
        }
        wait_for_hand(s); /* it may be just making that */
        r = link_file(s, name, e->link);
        if (r < 0)
                fail(s, r, "link");
}

/* Symbolic links and FIFOs: made whole at once, finished by name. */
static void do_other(struct restore *s, const char *name, const struct tar_entry *e)
{
        struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { e->mtime, e->mtime_ns } };
        int dir = s->level[s->depth].fd;

        if (s->dry)
                return;
        for (int tries = 0;; tries++) {
                int r = e->type == TAR_SYMLINK ? symlinkat(e->link, dir, name)
                                               : mkfifoat(dir, name, 0600);

                if (!r)
                        break;
                if (errno != EEXIST || tries) {
                        fail(s, -errno, "create");
                        return;
                }
                make_room(s, dir, name);
                if (s->r)
                        return;
        }
        if (fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0) {
                if (errno != EPERM || !s->uid)
                        fail(s, -errno, "chown");
                else
                        s->c->owners++;
        }
        if (e->type == TAR_FIFO && fchmodat(dir, name, e->mode, 0) < 0)
                fail(s, -errno, "chmod");
        if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
                fail(s, -errno, "set its time");
}

static void do_whiteout(struct restore *s, const char *name, const struct tar_entry *e)
{
        int dir = s->level[s->depth].fd;

        s->c->whiteouts++;
        if (e->size)
                damaged(s, "a whiteout with contents");
        if (s->r || s->dry || dir < 0)
                return;
        if (!strcmp(name, TAR_OPAQUE)) {
                int r = remove_inside(dir, 0);

                if (r < 0)
                        fail(s, r, "empty it");
                return;
        }
        make_room(s, dir, name + sizeof(TAR_WHITEOUT) - 1);
}

static bool is_whiteout(const char *name)
{
        return !strncmp(name, TAR_WHITEOUT, sizeof(TAR_WHITEOUT) - 1);
}

/* What the entry is about: a whiteout's path without its mark. */
static void subject(const char *path, char *out)
{
        const char *slash = strrchr(path, '/');
        const char *name = slash ? slash + 1 : path;
        size_t dir = (size_t)(name - path);

        memcpy(out, path, dir);
        if (is_whiteout(name) && strcmp(name, TAR_OPAQUE) != 0 && name[sizeof(TAR_WHITEOUT) - 1])
                name += sizeof(TAR_WHITEOUT) - 1;
        memcpy(out + dir, name, strlen(name) + 1);
}

/* A mount is not ours to replace: /etc/hosts, for one. */
static bool is_mount(int dirfd, const char *name)
{
        struct statx st;

        return !syscall(SYS_statx, dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                        STATX_TYPE, &st) &&
               (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

/* What would fail half-way is better known before. */
static void check_entry(struct restore *s, const char *name, const struct tar_entry *e)
{
        struct rd r = rd_of(e->xattrs, e->xattrs_len);
        int dir = s->level[s->depth].fd;
        struct tar_xattr x;

        if (dir >= 0 && is_mount(dir, is_whiteout(name) ? name + sizeof(TAR_WHITEOUT) - 1 : name))
                damaged(s, "another mount here");
        if (!s->uid && (e->uid || e->gid) && !(s->caps & BIT(CAP_CHOWN)))
                damaged(s, "another owner, and we have no CAP_CHOWN");
        while (!s->uid && tar_next_xattr(&r, &x))
                if (!strncmp(x.name, "security.", 9) && !(s->caps & UINT64_C(1) << CAP_SETFCAP))
                        damaged(s, "capabilities, and we have no CAP_SETFCAP");
}

/* The root's own entry is the first, if it is there. */
static void do_root(struct restore *s, const struct tar_entry *e)
{
        struct level *l = &s->level[0];

        if (s->c->entries != 1) {
                damaged(s, "the root comes twice or late");
                return;
        }
        s->c->has_root = l->declared = true;
        s->c->root_time = (struct timespec){ e->mtime, e->mtime_ns };
        l->e = keep(s, e);
        s->kept_used = l->e.xattrs_len;
}

static void do_entry(struct restore *s, const struct tar_entry *e)
{
        char now[TAR_PATH + 2];
        const char *name;

        s->c->entries++;
        if (!e->path[0]) {
                do_root(s, e);
                return;
        }
        subject(e->path, now);
        memcpy(s->path, now, strlen(now) + 1);
        if (s->c->entries > 1 && tar_path_order(s->last, now) >= 0) {
                damaged(s, "out of order");
                return;
        }
        name = go_to(s, e->path);
        memcpy(s->last, now, strlen(now) + 1);
        if (name && !s->r && s->dry)
                check_entry(s, name, e);
        if (!name || s->r)
                return;
        if (is_whiteout(name)) {
                const char *gone = name + sizeof(TAR_WHITEOUT) - 1;

                if (e->type != TAR_FILE || !*gone || !strcmp(gone, ".") || !strcmp(gone, ".."))
                        damaged(s, "a whiteout of no name");
                else
                        do_whiteout(s, name, e);
        } else if (e->type == TAR_DIR) {
                do_dir(s, name, e);
        } else if (e->type == TAR_FILE) {
                do_file(s, name, e);
        } else if (e->type == TAR_HARDLINK) {
                do_hardlink(s, name, e);
        } else {
                do_other(s, name, e);
        }
}

static void run(struct restore *s)
{
        for (;;) {
                struct tar_entry e;
                size_t used;
                enum tar_status st = tar_parse(window + s->at, s->end - s->at, &e, &s->names,
                                               &used);

                if (st == TAR_MORE) {
                        if (more(s))
                                continue;
                        damaged(s, "cut short");
                        return;
                }
                s->at += used;
                if (st == TAR_END) {
                        if (s->at != s->end || more(s))
                                damaged(s, "something comes after the end");
                        return;
                }
                if (st != TAR_OK) {
                        damaged(s, tar_status_str(st));
                        return;
                }
                do_entry(s, &e);
                if (s->r)
                        return;
        }
}

/* @expected is what the entry says; at most twice as many files fit into the set. */
static int start(struct restore *s, int fd, int root, bool dry, struct layer_count *c)
{
        uint64_t expected = c->entries;
        size_t bytes;

        *c = (struct layer_count){ .entries = 0 };
        *s = (struct restore){ .fd = fd, .root = root, .dry = dry, .c = c, .uid = geteuid(),
                               .gid = getegid(), .caps = confine_permitted() };
        s->level[0] = (struct level){ .fd = root, .gives = gives(root) };
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (!kept)
                kept = mmap(NULL, KEPT, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (kept == MAP_FAILED) {
                kept = NULL;
                return -ENOMEM;
        }
        if (!dry) {
                if (expected >= HAND_WORTH)
                        hand_start(&s->hand, fd);
                return 0;
        }
        if (expected > FILES_MAX)
                return -E2BIG;
        s->files_mask = 1023;
        while (s->files_mask / 2 <= expected)
                s->files_mask = s->files_mask * 2 + 1;
        bytes = (s->files_mask + 1) * sizeof(*s->files);
        s->files = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (s->files == MAP_FAILED) {
                s->files = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int finish_all(struct restore *s)
{
        struct level *root = &s->level[0];

        wait_for_hand(s);
        while (s->depth)
                leave(s);
        end_late(s, true);
        hand_end(&s->hand);
        if (!s->r && !s->dry && root->declared) {
                s->path[0] = '\0';
                finish(s, s->root, &root->e, false);
        }
        if (s->files)
                munmap(s->files, (s->files_mask + 1) * sizeof(*s->files));
        return s->r;
}

/* Files that the layer replaces would give some of it back; we don't count on that. */
static int check_room(struct restore *s)
{
        struct statvfs v;

        if (fstatvfs(s->root, &v) < 0 || !v.f_blocks)
                return 0;
        s->path[0] = '\0';
        if ((s->c->data - ready.bytes) / v.f_frsize >= v.f_bavail)
                return damaged(s, "not enough room on its disk");
        if (v.f_files && s->c->entries >= v.f_favail)
                return damaged(s, "not enough inodes on its disk");
        return 0;
}

int layer_check(int fd, int root, struct layer_count *c)
{
        struct restore *s = &state;
        struct stat st = { .st_size = 0 };
        int r = start(s, fd, root, true, c);

        layer_forget();
        if (!r && fstat(fd, &st) < 0)
                r = -errno;
        if (!r)
                r = sum_start(&s->sum, fd);
        if (r < 0)
                return r;
        sum_tell(&s->sum, (uint64_t)st.st_size);
        run(s);
        c->bytes = (uint64_t)st.st_size;
        r = sum_end(&s->sum, c->sum);
        if (r < 0)
                fail(s, r, "sum the layer up");
        if (!s->r)
                check_room(s);
        return finish_all(s);
}

int layer_restore(int fd, int root, struct layer_count *c)
{
        struct restore *s = &state;
        mode_t mask = umask(0);
        int r = start(s, fd, root, false, c);

        if (r < 0)
                return r;
        run(s);
        r = finish_all(s);
        layer_forget();
        umask(mask);
        return r;
}
