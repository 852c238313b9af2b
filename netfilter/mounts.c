/* netfilter/mounts.c - covers other people's sockets, and the kernel's settings. */
#include "netfilter/mounts.h"

#include "base/io.h"
#include "base/wr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define LISTING_MAX (256 * 1024) /* /proc/net/unix of a busy desktop has 100 */
#define UNIX_FIELDS 7 /* before the path: slot references protocol flags type state inode */
#define UNIX_FLAGS 3
#define UNIX_TYPE 4
#define MOUNT_POINT 4 /* of /proc/self/mountinfo, from 0 */
#define WALK_DEPTH 3      /* of folders below a mount: /run/user/1000/docker.sock has two */
#define WALK_FOLDERS 256  /* of one mount, the nearest first: a work tree has more, without */
#define WALK_BYTES 131072 /* of their lists: some 4,000 names */
#define WALK_QUEUE 65536  /* bytes of paths */
#define LIST_MAX 16384    /* bytes of one getdents64(2): most folders in one call */

/* Sockets that may come from another machine's, by a mount, and so be in no list of ours. */
static const char known[] =
        "/run/docker.sock\0" "/var/run/docker.sock\0" "/run/containerd/containerd.sock\0"
        "/run/podman/podman.sock\0" "/run/crio/crio.sock\0" "/run/buildkit/buildkitd.sock\0"
        "/run/dbus/system_bus_socket\0" "/var/run/dbus/system_bus_socket\0"
        "/run/systemd/private\0" "/run/k3s/containerd/containerd.sock\0"
        "/var/run/containerd/containerd.sock\0" "/var/run/podman/podman.sock\0"
        "/var/run/crio/crio.sock\0" "/run/snapd.socket\0" "/run/libvirt/libvirt-sock\0";

static const char trees[][24] = { "/proc/sys", "/proc/sysrq-trigger", "/sys" };

static LARGE_BUFFER char listing[LISTING_MAX];

/* The field @n of a line, counted from 0; NULL when it has fewer. */
static const char *field(const char *line, unsigned n)
{
        for (;;) {
                line += strspn(line, " ");
                if (!*line || !n--)
                        return *line ? line : NULL;
                line += strcspn(line, " ");
        }
}

const char *mounts_unix_path(const char *line)
{
        const char *path = field(line, UNIX_FIELDS);
        const char *flags = field(line, UNIX_FLAGS), *type = field(line, UNIX_TYPE);

        if (!path || *path != '/' || !flags || !type)
                return NULL;
        /* Accepted connections bear the listener's path too: __SO_ACCEPTCON tells. */
        return !strncmp(flags, "00010000 ", 9) || !strncmp(type, "0002 ", 5) ? path : NULL;
}

/* A disk has the machine's files on it, for whoever owns its device as uid 0 does. */
static bool leads_out(mode_t mode)
{
        return S_ISSOCK(mode) || S_ISBLK(mode);
}

static int add(struct mounts *m, const char *path)
{
        size_t len = strlen(path) + 1;
        struct stat st;

        if (fstatat(AT_FDCWD, path, &st, AT_NO_AUTOMOUNT) < 0 || !leads_out(st.st_mode))
                return 0;
        if (len > MOUNTS_PATHS_MAX - m->len)
                return -EFBIG;
        memcpy(m->paths + m->len, path, len);
        m->len += len;
        return 0;
}

/* mountinfo writes blanks and backslashes as \040 and the like. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 3;
                } else {
                        *to++ = *s;
                }
        }
        *to = '\0';
}

static int add_unix(struct mounts *m, char *line, const char *rest)
{
        const char *path = mounts_unix_path(line);

        (void)rest;
        return path ? add(m, path) : 0;
}

static const char *spared;

void mounts_spare(const char *path)
{
        spared = path;
}

/* What setup left behind refuses: it is nobody's, and its owner may want it again. */
static bool answers(const char *path)
{
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        size_t len = strlen(path);

        if (spared && !strcmp(path, spared))
                return false;
        if (len >= sizeof(to.sun_path))
                return true; /* by a shorter way it might */
        memcpy(to.sun_path, path, len);
        return !connect(fd, (struct sockaddr *)&to, sizeof(to)) || errno != ECONNREFUSED;
}

/* The kernel's getdents64(2) record; opendir(3) would allocate. */
struct entry {
        uint64_t inode;
        int64_t next;
        uint16_t len;
        uint8_t type;
        char name[];
};

/*
 * Breadth first, so that what the limits cut off is the deepest. Each folder is opened once:
 * its sockets are looked at as they come, and its folders wait in a queue. What is mounted
 * below has a walk of its own.
 */
struct walk {
        struct mounts *m;
        int top;         /* the mount's folder, */
        size_t top_len;  /* and how much of a path it is */
        size_t from, to; /* of the queue */
        unsigned folders; /* of this mount that may still be opened, */
        long bytes;       /* and what their lists may be long */
        char queue[WALK_QUEUE]; /* depth left, "path" NUL, … */
};

/* Does a folder's entry of this type say what it is? Some file systems leave that open. */
static uint8_t type_of(const char *path, uint8_t type)
{
        struct stat st;

        if (type != DT_UNKNOWN || lstat(path, &st) < 0)
                return type;
        return S_ISSOCK(st.st_mode)  ? DT_SOCK
               : S_ISBLK(st.st_mode) ? DT_BLK
               : S_ISDIR(st.st_mode) ? DT_DIR
                                     : DT_REG;
}

static void walk_queue(struct walk *w, const char *path, unsigned depth)
{
        size_t len = strlen(path) + 1;

        if (len + 1 > sizeof(w->queue) - w->to)
                return;
        w->queue[w->to++] = (char)depth;
        memcpy(w->queue + w->to, path, len);
        w->to += len;
}

static int walk_entry(struct walk *w, const char *folder, const struct entry *e, unsigned depth)
{
        char path[PATH_MAX];
        struct wr p = wr_of(path, sizeof(path));
        uint8_t type = e->type;

        if (type != DT_SOCK && type != DT_BLK && type != DT_UNKNOWN &&
            (type != DT_DIR || !depth))
                return 0;
        if (!strcmp(e->name, ".") || !strcmp(e->name, ".."))
                return 0;
        wr_fmt(&p, "%s/%s", folder, e->name);
        wr_cstr(&p);
        if (p.full)
                return 0;
        type = type_of(path, type);
        if (type == DT_DIR && depth)
                walk_queue(w, path, depth - 1);
        if (type == DT_BLK)
                return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) ? 0 : add(w->m, path);
        return type == DT_SOCK && !w->m->machine && answers(path) ? add(w->m, path) : 0;
}

/* A kernel before 5.6, or an engine's filter, has no openat2(2): there some is walked twice. */
static int open_folder(const struct walk *w, const char *path)
{
        const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
        struct open_how how = { .flags = flags, .resolve = RESOLVE_NO_XDEV };
        const char *below = path[w->top_len] ? path + w->top_len + 1 : ".";
        int fd = -1;

        errno = ENOSYS;
        if (!w->m->machine) /* who takes /dev alone takes what is mounted there, too */
                fd = (int)syscall(SYS_openat2, w->top, below, &how, sizeof(how));
        if (fd < 0 && (errno == ENOSYS || errno == EPERM))
                fd = openat(AT_FDCWD, path, flags);
        return fd;
}

static int walk_folder(struct walk *w, const char *path, unsigned depth)
{
        static LARGE_BUFFER union {
                struct entry align;
                char bytes[LIST_MAX];
        } list;
        AUTO_CLOSE int dir = open_folder(w, path);
        long n;
        int r = 0;

        while (dir >= 0 && !r && w->bytes > 0 &&
               (n = syscall(SYS_getdents64, dir, list.bytes, sizeof(list.bytes))) > 0) {
                w->bytes -= n;
                for (long at = 0; at < n && !r;) {
                        const struct entry *e = (const struct entry *)(list.bytes + at);

                        r = walk_entry(w, path, e, depth);
                        at += e->len;
                }
        }
        return r;
}

/* The sockets in the folder @path and below. */
static int walk(struct mounts *m, const char *path)
{
        static LARGE_BUFFER struct walk w;
        AUTO_CLOSE int top = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r = 0;

        w.m = m;
        w.top = top;
        w.top_len = strlen(path);
        w.folders = WALK_FOLDERS;
        w.bytes = WALK_BYTES;
        w.from = w.to = 0;
        walk_queue(&w, path, WALK_DEPTH);
        while (!r && w.from < w.to && w.folders--) {
                unsigned depth = (unsigned char)w.queue[w.from++];

                path = w.queue + w.from;
                w.from += strlen(path) + 1;
                r = walk_folder(&w, path, depth);
        }
        return r;
}

/* File systems that hold the kernel's own things. */
static bool is_kernels(const char *type)
{
        static const char types[][12] = { "proc ", "sysfs ", "cgroup ", "cgroup2 ", "devpts ",
                                          "mqueue ", "securityfs ", "debugfs ", "tracefs ",
                                          "autofs " };

        for (size_t i = 0; i < COUNT(types); i++) {
                if (!strncmp(type, types[i], strlen(types[i])))
                        return true;
        }
        return false;
}

/* Is a later one mounted at the same point? Each line of @rest ends with a newline. */
static bool is_hidden(const char *point, const char *rest)
{
        size_t len = strcspn(point, " ") + 1;

        if (!strncmp(point, "/sys/", 5) || !strncmp(point, "/proc/", 6))
                return true; /* the kernel's, whatever it is */
        for (; *rest; rest += strcspn(rest, "\n") + 1) {
                const char *other = field(rest, MOUNT_POINT);

                if (other && !strncmp(other, point, len))
                        return true;
        }
        return false;
}

/*
 * A mounted socket, or the sockets below a mounted folder: /proc/net/unix has neither those of
 * another network namespace, as the engine's is, nor the path of one that was bound by a
 * relative name.
 */
static int add_mounted(struct mounts *m, char *line, const char *rest)
{
        const char *point = field(line, MOUNT_POINT), *type = strstr(line, " - ");
        char *path = point ? line + (point - line) : NULL;
        int r;

        if (!path || (type && is_kernels(type + 3)) || is_hidden(point, rest))
                return 0;
        path[strcspn(path, " ")] = '\0';
        unescape(path);
        r = add(m, path);
        return r || !path[1] ? r : walk(m, path);
}

/* Every line of the file @path, and what follows it; one that can't be read has none. */
static int each_line(struct mounts *m, const char *path,
                     int (*take)(struct mounts *, char *, const char *))
{
        ssize_t n = read_file(AT_FDCWD, path, listing, sizeof(listing));
        int r = 0;

        if (n == -EFBIG)
                return (int)n;
        for (char *line = listing, *end; n > 0 && *line && !r; line = end) {
                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = '\0';
                r = take(m, line, end);
        }
        return r;
}

/* Only root has a say there, and an engine's container has them read-only already. */
static bool kernel_is_ours(void)
{
        struct statvfs sys;

        if (geteuid() != 0)
                return false;
        return (!statvfs("/proc/sys", &sys) && !(sys.f_flag & ST_RDONLY)) ||
               (!statvfs("/sys", &sys) && !(sys.f_flag & ST_RDONLY));
}

int mounts_find(struct mounts *m)
{
        int r = each_line(m, "/proc/net/unix", add_unix);

        if (!r)
                r = each_line(m, "/proc/self/mountinfo", add_mounted);
        for (const char *p = known; *p && !r; p += strlen(p) + 1)
                r = add(m, p);
        m->kernel = kernel_is_ours();
        return r;
}

int mounts_find_machine(struct mounts *m)
{
        m->machine = true;
        m->kernel = kernel_is_ours();
        return walk(m, "/dev");
}

bool mounts_wanted(const struct mounts *m)
{
        return m->len || m->kernel;
}

const char *mounts_reachable(const struct mounts *m)
{
        struct stat st;

        /* Of a user namespace that the machine's root is not in, it belongs to nobody. */
        if (m->kernel && !stat(trees[0], &st) && st.st_uid == geteuid())
                return trees[0];
        for (size_t at = 0; at < m->len; at += strlen(m->paths + at) + 1) {
                /* A disk in a container that may mount nothing was given to it on purpose. */
                if (!stat(m->paths + at, &st) && S_ISSOCK(st.st_mode) &&
                    !faccessat(AT_FDCWD, m->paths + at, W_OK, AT_EACCESS))
                        return m->paths + at;
        }
        return NULL;
}

/*
 * A path named twice is no socket the second time. Setup may have made /dev/null a link to a
 * socket, even to this one.
 */
static int cover(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0 || !leads_out(st.st_mode))
                return 0;
        if (mount("/dev/null", path, NULL, MS_BIND, NULL) < 0)
                return errno == ENOENT && stat(path, &st) < 0 ? 0 : -errno;
        return !stat(path, &st) && leads_out(st.st_mode) ? -EBUSY : 0;
}

int mounts_freeze(const char *path)
{
        /* struct mount_attr, mount_setattr(2): what is added, taken, and two more. */
        const uint64_t read_only[4] = { 1 /* MOUNT_ATTR_RDONLY */ };

        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
                return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
        if (syscall(442 /* SYS_mount_setattr */, AT_FDCWD, path, AT_RECURSIVE, read_only,
                    sizeof(read_only)) < 0)
                return -errno;
        return 0;
}

int mounts_cover(const struct mounts *m, const char **path)
{
        int r = 0;

        for (size_t at = 0; at < m->len && !r; at += strlen(m->paths + at) + 1) {
                *path = m->paths + at;
                r = cover(*path);
        }
        for (size_t i = 0; i < COUNT(trees) && m->kernel && !r; i++) {
                *path = trees[i];
                r = mounts_freeze(*path);
        }
        return r;
}
