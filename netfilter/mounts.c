/* netfilter/mounts.c - covers other people's sockets, and the kernel's settings. */
#include "netfilter/mounts.h"

#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define LISTING_MAX (256 * 1024) /* /proc/net/unix of a busy desktop has 100 */
#define UNIX_FIELDS 7            /* before the path: slot references protocol flags type state inode */
#define UNIX_FLAGS 3
#define UNIX_TYPE 4
#define MOUNT_ROOT 3 /* of /proc/self/mountinfo, from 0 */
#define MOUNT_POINT 4
#define LOOK_DEPTH 12

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

static int add(struct mounts *m, const char *path)
{
        size_t len = strlen(path) + 1;
        struct stat st;

        if (fstatat(AT_FDCWD, path, &st, AT_NO_AUTOMOUNT) < 0 || !S_ISSOCK(st.st_mode))
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

static int add_unix(struct mounts *m, char *line)
{
        const char *path = mounts_unix_path(line);

        return path ? add(m, path) : 0;
}

/* A folder's path, and room for the names below it. */
struct folder {
        char path[PATH_MAX];
        unsigned depth;
};

struct entry { /* linux_dirent64 */
        uint64_t inode;
        int64_t next;
        unsigned short length;
        unsigned char type;
        char name[];
};

/*
 * A socket that nobody listens on any more is a file which its owner, one of the command's
 * own servers perhaps, will want to replace: covered, it could not be.
 */
static bool is_left_over(const char *path)
{
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        size_t len = strlen(path);

        if (fd < 0 || len >= sizeof(a.sun_path))
                return false;
        memcpy(a.sun_path, path, len);
        return connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 && errno == ECONNREFUSED;
}

static int look_below(struct mounts *m, struct folder *f, size_t len);

static int look_at(struct mounts *m, struct folder *f, size_t len, const struct entry *e)
{
        size_t more = strlen(e->name);
        int r = 0;

        if (!strcmp(e->name, ".") || !strcmp(e->name, "..") || len + more + 2 > sizeof(f->path))
                return 0;
        f->path[len] = '/';
        memcpy(f->path + len + 1, e->name, more + 1);
        if (e->type == DT_SOCK) {
                r = is_left_over(f->path) ? 0 : add(m, f->path);
        } else if (e->type == DT_DIR && f->depth < LOOK_DEPTH) {
                f->depth++;
                r = look_below(m, f, len + 1 + more);
                f->depth--;
        }
        f->path[len] = '\0';
        return r;
}

/* What can't be read is left out, and so is what comes after MOUNTS_LOOK entries. */
static int look_below(struct mounts *m, struct folder *f, size_t len)
{
        _Alignas(struct entry) char buf[2048];
        AUTO_CLOSE int fd = open(f->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r = 0;
        long n;

        while (fd >= 0 && !r && (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
                for (long at = 0; at < n && !r;) {
                        const struct entry *e = (const void *)(buf + at);

                        if (m->looked++ >= MOUNTS_LOOK)
                                return 0;
                        r = look_at(m, f, len, e);
                        at += e->length;
                }
        }
        return r;
}

static bool is_the_kernels(const char *path)
{
        return !strncmp(path, "/proc/", 6) || !strncmp(path, "/sys/", 5) ||
               !strncmp(path, "/dev/", 5);
}

/*
 * A socket that is mounted itself; or a part of another file system, as an engine's volumes
 * are, whose sockets may have listeners in networks that we can't list.
 */
static int add_mounted(struct mounts *m, char *line)
{
        static struct folder f;
        const char *root = field(line, MOUNT_ROOT), *point = field(line, MOUNT_POINT);
        char *path = point ? line + (point - line) : NULL;
        size_t len;
        int r;

        if (!path)
                return 0;
        path[strcspn(path, " ")] = '\0';
        unescape(path);
        len = strlen(path);
        r = add(m, path);
        if (r < 0 || !strncmp(root, "/ ", 2) || is_the_kernels(path) || len < 2 ||
            len >= sizeof(f.path))
                return r;
        memcpy(f.path, path, len + 1);
        return look_below(m, &f, len);
}

/* Every line of the file @path; one that can't be read has none. */
static int each_line(struct mounts *m, const char *path, int (*take)(struct mounts *, char *))
{
        ssize_t n = read_file(AT_FDCWD, path, listing, sizeof(listing));
        int r = 0;

        if (n == -EFBIG)
                return (int)n;
        for (char *line = listing, *end; n > 0 && *line && !r; line = end) {
                end = line + strcspn(line, "\n");
                if (*end)
                        *end++ = '\0';
                r = take(m, line);
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

bool mounts_wanted(const struct mounts *m)
{
        return m->len || m->kernel;
}

const char *mounts_reachable(const struct mounts *m)
{
        for (size_t at = 0; at < m->len; at += strlen(m->paths + at) + 1) {
                if (!faccessat(AT_FDCWD, m->paths + at, W_OK, AT_EACCESS))
                        return m->paths + at;
        }
        return NULL;
}

/* A path named twice is no socket the second time. */
static int cover(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return 0;
        return mount("/dev/null", path, NULL, MS_BIND, NULL) < 0 && errno != ENOENT ? -errno : 0;
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
