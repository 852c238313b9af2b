/*
 * init/box.c - namespaces of our own: what the box sees, and what it never touches.
 *
 * Two processes. The one that was started stays outside, holds nothing but the child's
 * pid, passes signals on and exits with its status (outside). The other is PID 1 of the
 * box; it builds its root file system (inside) and returns to the caller.
 *
 * The root. Every directory of the host's that the box sees is the lower layer of an
 * overlay whose upper layer is one tmpfs: private, in memory, gone with the last process
 * of the box. The tmpfs is mounted over the old /proc, the one directory that exists
 * everywhere and that the box never takes anything from. Lower layers are named "." from
 * inside them: no path has to be escaped, whatever bytes are in its name.
 *
 *   real root    an overlay over DIR, then one over each file system mounted below it
 *   user ns      the kernel refuses a lower layer that has a locked mount below it
 *                (CVE-2021-3732), so where DIR has mounts the root is a plain tmpfs
 *                directory, with an overlay for each entry that has none (descend)
 *
 * What happens to mounts below DIR: disk-like ones and tmpfs are overlaid, so that a
 * file is seen wherever the host keeps it; what can't be a lower layer (vfat, some
 * network file systems) becomes a read-only bind; single files are copied; kernel file
 * systems are left out. /run is always empty: the host's sockets live there (a socket
 * below an overlay can't be connected to, so those in /tmp are harmless). /proc, /dev,
 * /dev/pts and /dev/shm are new; /sys is the host's, read-only, for cgroup limits.
 *
 * As real root the agent is uid 0 without capabilities, and file modes alone would let
 * it write /proc/sys (core_pattern!): the kernel's settings are read-only there and its
 * secrets covered, as the engines do it. In a user namespace the kernel refuses by
 * itself, and a covered /proc would forbid nested namespaces.
 *
 * In a user namespace one id is mapped, ours to 0. Whoever else owns a file of the host
 * is `nobody`, and the overlay can't copy up what it can't chown: such files can be
 * replaced, not changed, and only in directories that are ours. So the usual places to
 * install into are made in the upper layer beforehand (places).
 *
 * Terminal. The box stays in our session and process group: it reads the terminal, and
 * may hand it to a child's group. What the terminal sends to the group has reached both
 * of us and is not passed on again. When a job inside is stopped, PID 1 tells us by
 * kill(0, SIGTSTP): only it is in our group, and nobody in the box can join it.
 */
#include "init/box.h"

#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/sig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#define ATTR_RDONLY 0x01 /* linux/mount.h, which does not go with sys/mount.h */
#define ATTR_NOSUID 0x02
#define ATTR_NODEV 0x04

struct attributes { /* struct mount_attr */
        uint64_t set, clear, propagation, userns_fd;
};
#define AT_TREE 0x8000 /* AT_RECURSIVE */

#define CAP_BIT_SYS_ADMIN (UINT64_C(1) << 21)

#define OLD "/.airlock-old" /* the host's root, until leave_host */
#define MOUNTS_MAX (8U << 20)
#define COPY_MAX (64U * 1024) /* mounted single files up to here are copied */
#define DEPTH_MAX 64

/* What the new PID 1 knows while it builds; mapped for that time only. */
struct plan {
        const struct box *box;
        const char *hint; /* what would allow a refused mount */
        bool userns;    /* in a user namespace, made here or found */
        bool flat;      /* no overlay over all of DIR: see descend */
        unsigned uppers; /* upper layers made so far */
        char root[PATH_MAX]; /* DIR, without symbolic links; "" for / */
        char binds[BOX_BINDS][PATH_MAX];
        char tty[64]; /* of stdin: "/dev/pts/3" or "" */
        char resolv[4096];
        size_t resolv_len;
        char copy[COPY_MAX + 1];
        size_t mounts_len;
        char mounts[MOUNTS_MAX]; /* mountinfo, cut into NUL-terminated lines */
};

static NORETURN void refused(const struct plan *p, const char *what)
{
        int err = errno;

        if (err == EPERM || err == EACCES)
                die(STATUS_PROVISION, "box: %s: %s (%s)", what, strerror(err), p->hint);
        if (err == EINVAL || err == ENODEV)
                die(STATUS_PROVISION,
                    "box: %s: %s (needs overlayfs, Linux 5.11 or newer, and a root file "
                    "system that is not an overlay on an overlay or an initramfs)",
                    what, strerror(err));
        die_errno(STATUS_PROVISION, err, "box: %s", what);
}

static void need(const struct plan *p, int r, const char *what)
{
        if (r < 0)
                refused(p, what);
}

/* The first setting that is in the way, for people who can change it. */
static const char *what_would_allow(bool userns)
{
        static const struct {
                const char *path, *refusing, *text;
        } settings[] = {
                { "/proc/sys/user/max_user_namespaces", "0\n",
                  "sysctl user.max_user_namespaces is 0: raise it, or run as root" },
                { "/proc/sys/kernel/unprivileged_userns_clone", "0\n",
                  "set sysctl kernel.unprivileged_userns_clone=1, or run as root" },
                { "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n",
                  "set sysctl kernel.apparmor_restrict_unprivileged_userns=0, give "
                  "airlock an AppArmor profile with `userns`, or run as root" },
        };
        char text[4096];

        for (size_t i = 0; userns && i < COUNT(settings); i++)
                if (read_file(AT_FDCWD, settings[i].path, text, sizeof(text)) > 0 &&
                    !strcmp(text, settings[i].refusing))
                        return settings[i].text;
        if (read_file(AT_FDCWD, "/proc/self/status", text, sizeof(text)) > 0 &&
            strstr(text, "\nSeccomp:\t2"))
                return "a seccomp profile is in the way: in a container `airlock run` as "
                       "PID 1 needs no box; else seccomp=unconfined or --privileged";
        return userns ? "needs user namespaces, a /proc that is not covered, or root with "
                        "CAP_SYS_ADMIN" :
                        "needs CAP_SYS_ADMIN that no security module takes back";
}

/* Not the first user namespace: a rootless engine's, say, with root rights only there. */
static bool in_user_namespace(void)
{
        char map[256];
        ssize_t n = read_file(AT_FDCWD, "/proc/self/uid_map", map, sizeof(map));

        return n > 0 && !strstr(map, " 4294967295\n");
}

/* --- paths and mountinfo ------------------------------------------------------------- */

/* @a and @b in one, or death: no path of the host is longer than PATH_MAX. */
static const char *join(char out[static PATH_MAX], const char *a, const char *b)
{
        struct wr w = wr_of(out, PATH_MAX - 1);

        wr_str(&w, a);
        wr_str(&w, b);
        if (w.full)
                die(STATUS_PROVISION, "box: path too long: %s%s", a, b);
        return wr_cstr(&w);
}

/* Is @path @dir itself or below it? "" is the root. */
static bool within(const char *path, const char *dir)
{
        size_t n = strlen(dir);

        return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/* Undoes mountinfo's \ooo for blanks and backslashes, in place. */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 3;
                } else {
                        *to++ = *s;
                }
        }
        *to = 0;
}

/*
 * Reads mountinfo as records of two strings: mount point and file system type. Lines are
 * `id parent maj:min root POINT options [optional…] - TYPE source options`.
 */
static void read_mounts(struct plan *p)
{
        char *in = p->mounts, *end, *out = p->mounts;
        ssize_t n = read_file(AT_FDCWD, "/proc/self/mountinfo", p->mounts, MOUNTS_MAX);

        if (n < 0)
                die_errno(STATUS_PROVISION, (int)-n, "box: read /proc/self/mountinfo");
        for (end = in + n; in < end;) {
                char *line = in, *point = line, *type;
                size_t len;

                in = strchr(line, '\n');
                if (!in)
                        break;
                *in++ = 0;
                for (int i = 0; i < 4 && point; i++) {
                        point = strchr(point, ' ');
                        point = point ? point + 1 : NULL;
                }
                type = point ? strstr(point, " - ") : NULL;
                if (!type)
                        die(STATUS_PROVISION, "box: unknown line in mountinfo: %s", line);
                type += 3;
                type[strcspn(type, " ")] = 0;
                point[strcspn(point, " ")] = 0;
                unescape(point);
                len = strlen(point) + 1;
                memmove(out, point, len);
                out += len;
                len = strlen(type) + 1;
                memmove(out, type, len);
                out += len;
        }
        p->mounts_len = (size_t)(out - p->mounts);
}

/* The record behind @point (NULL: the first), or NULL; *@type is its type. */
static const char *next_mount(const struct plan *p, const char *point, const char **type)
{
        if (point) {
                point += strlen(point) + 1;
                point += strlen(point) + 1;
        } else {
                point = p->mounts;
        }
        if (point >= p->mounts + p->mounts_len)
                return NULL;
        *type = point + strlen(point) + 1;
        return point;
}

/* Type of what is mounted on top at @path, or NULL when it is no mount point. */
static const char *mount_type(const struct plan *p, const char *path)
{
        const char *type, *found = NULL;

        for (const char *m = NULL; (m = next_mount(p, m, &type));)
                if (!strcmp(m, path))
                        found = type;
        return found;
}

static bool has_mounts_below(const struct plan *p, const char *path)
{
        const char *type;

        for (const char *m = NULL; (m = next_mount(p, m, &type));)
                if (within(m, path) && strcmp(m, *path ? path : "/") != 0)
                        return true;
        return false;
}

/* File systems made of the kernel's own objects: nothing to see there for a task. */
static bool is_kernel_fs(const char *type)
{
        static const char *const kernel[] = {
                "autofs",   "binfmt_misc", "bpf",        "cgroup",    "cgroup2",
                "configfs", "debugfs",     "devpts",     "devtmpfs",  "efivarfs",
                "fusectl",  "hugetlbfs",   "mqueue",     "nsfs",      "proc",
                "pstore",   "rpc_pipefs",  "securityfs", "selinuxfs", "sysfs",
                "tracefs",
        };

        for (size_t i = 0; i < COUNT(kernel); i++)
                if (!strcmp(type, kernel[i]))
                        return true;
        return false;
}

/* What the box makes anew. @rel is a path of the box. */
static bool is_ours(const char *rel)
{
        return within(rel, "/proc") || within(rel, "/sys") || within(rel, "/dev") ||
               within(rel, "/run");
}

/* --- layers -------------------------------------------------------------------------- */

/*
 * Where software of a task is installed. In a user namespace these get a directory of
 * ours in the upper layer, where the lower one has them.
 */
static const char *const places[] = {
        "/etc",           "/home",
        "/mnt",           "/opt",
        "/root",          "/srv",
        "/tmp",           "/usr",
        "/usr/local",     "/usr/local/bin",
        "/usr/local/etc", "/usr/local/include",
        "/usr/local/lib", "/usr/local/lib/node_modules",
        "/usr/local/man", "/usr/local/sbin",
        "/usr/local/share", "/usr/local/src",
        "/var",           "/var/cache",
        "/var/lib",       "/var/log",
        "/var/tmp",       "/workspace",
        "/airlock",
};

/* Below the upper layer @upper of the overlay at @rel; our working directory is @rel's. */
static void make_places(const struct plan *p, const char *upper, const char *rel)
{
        char path[PATH_MAX];
        struct stat st;

        for (size_t i = 0; p->userns && i < COUNT(places); i++) {
                const char *below = places[i] + strlen(rel);

                if (!within(places[i], rel) || !*below)
                        continue;
                if (lstat(below + 1, &st) < 0 || !S_ISDIR(st.st_mode) ||
                    access(below + 1, R_OK | X_OK) < 0)
                        continue;
                /* Fails below a place that is unreadable or a symlink: then none is made. */
                if (!mkdir(join(path, upper, below), 0700) &&
                    chmod(path, st.st_mode & 07777) < 0)
                        refused(p, "make a directory of the upper layer");
        }
}

/*
 * Overlays the working directory on @target with an upper layer of its own, in @stage
 * (the tmpfs). @rel is the same place as a path of the box. 0 or -errno.
 */
static int overlay_here(struct plan *p, const char *stage, const char *rel, const char *target)
{
        char upper[PATH_MAX], options[PATH_MAX * 2];
        struct wr u = wr_of(upper, sizeof(upper) - 1);
        struct wr o = wr_of(options, sizeof(options) - 1);
        struct stat st;

        wr_fmt(&u, "%s/w%u", stage, p->uppers);
        if (stat(".", &st) < 0 || mkdir(wr_cstr(&u), 0700) < 0)
                return -errno;
        u.len = 0;
        wr_fmt(&u, "%s/u%u", stage, p->uppers);
        if (mkdir(wr_cstr(&u), 0700) < 0)
                return -errno;
        /* The directory itself is the upper one: owner and mode are not merged. */
        if ((chown(upper, st.st_uid, st.st_gid) < 0 && !p->userns) ||
            chmod(upper, st.st_mode & 07777) < 0)
                return -errno;
        make_places(p, upper, rel);

        wr_fmt(&o, "lowerdir=.,upperdir=%s,workdir=%s/w%u%s", upper, stage, p->uppers++,
               p->userns ? ",userxattr" : "");
        if (o.full)
                return -ENAMETOOLONG;
        return mount("airlock", target, "overlay", MS_NODEV, wr_cstr(&o)) < 0 ? -errno : 0;
}

/* Read-only, with everything mounted below. Linux 5.12. 0 or -errno, and no mount. */
static int bind_readonly(const char *from, const char *to)
{
        struct attributes attr = { .set = ATTR_RDONLY | ATTR_NOSUID };
        int err;

        if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
                return -errno;
        if (!syscall(SYS_mount_setattr, AT_FDCWD, to, AT_TREE, &attr, sizeof(attr)))
                return 0;
        err = errno;
        if (umount2(to, MNT_DETACH) < 0)
                die_errno(STATUS_PROVISION, errno, "box: take %s back", to);
        return -err;
}

/* A mounted single file: engines do that to resolv.conf. Others may replace the copy. */
static int copy_file(struct plan *p, const char *from, const char *to, const struct stat *st)
{
        AUTO_CLOSE int fd = -1;
        ssize_t n = read_file(AT_FDCWD, from, p->copy, sizeof(p->copy));

        if (n < 0)
                return (int)n;
        fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (!p->userns && fchown(fd, st->st_uid, st->st_gid) < 0)
                return -errno;
        if (fchmod(fd, st->st_mode & 07777) < 0)
                return -errno;
        return write_full(fd, p->copy, (size_t)n);
}

/*
 * Shows the host's @rel (below DIR) at the same place of the box: see the head of this
 * file. What can't be shown is left out, and said.
 */
static void show(struct plan *p, const char *rel)
{
        char from[PATH_MAX], path[PATH_MAX];
        struct stat st;
        int r;

        join(from, OLD, join(path, p->root, rel));
        if (lstat(from, &st) < 0)
                return; /* hidden below another mount, or gone */
        if (S_ISDIR(st.st_mode)) {
                if (access(from, R_OK | X_OK) < 0)
                        return; /* not ours to read: empty in the box, and ours */
                r = chdir(from) < 0 ? -errno : overlay_here(p, OLD "/proc", rel, rel);
                if (chdir("/") < 0)
                        refused(p, "change to the new root");
                if (r < 0)
                        r = bind_readonly(from, rel);
        } else if (S_ISREG(st.st_mode)) {
                r = st.st_size < (off_t)sizeof(p->copy) ? copy_file(p, from, rel, &st) :
                                                          bind_readonly(from, rel);
        } else {
                return; /* sockets and devices stay the host's */
        }
        if (r < 0)
                log_errno(LOG_WARN, -r, "box: %s is not shown", rel);
}

/* DIR is overlaid; now what is mounted below it. */
static void show_mounts(struct plan *p)
{
        const char *type;

        for (const char *m = NULL; (m = next_mount(p, m, &type));) {
                const char *rel = m + strlen(p->root);

                if (!within(m, p->root) || *rel != '/' || !rel[1] || is_ours(rel))
                        continue;
                /* Of several on one place only the last is seen. */
                if (mount_type(p, m) == type && !is_kernel_fs(type))
                        show(p, rel);
        }
}

/*
 * A directory of the box that can't be one overlay, because something is mounted below
 * it: a directory of ours with each entry of the host's. @rel is "" for the root.
 */
static void descend(struct plan *p, const char *rel, unsigned depth)
{
        char path[PATH_MAX], from[PATH_MAX], entry[PATH_MAX], link[PATH_MAX];
        DIR *dir = opendir(join(from, OLD, join(path, p->root, rel)));

        for (struct dirent *d; dir && (d = readdir(dir));) {
                const char *type;
                struct stat st;
                ssize_t n;

                if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..") ||
                    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                join(entry, join(path, rel, "/"), d->d_name);
                if (is_ours(entry))
                        continue;
                if (S_ISLNK(st.st_mode)) {
                        n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
                        link[n < 0 ? 0 : n] = 0;
                        need(p, symlink(link, entry), "copy a symbolic link");
                        continue;
                }
                if (S_ISREG(st.st_mode)) {
                        need(p, mknod(entry, S_IFREG | 0600, 0), "make a mount point");
                        show(p, entry);
                        continue;
                }
                if (!S_ISDIR(st.st_mode))
                        continue;
                need(p, mkdir(entry, 0700), "make a mount point");
                need(p, chmod(entry, st.st_mode & 07777), "make a mount point");
                join(path, p->root, entry);
                type = mount_type(p, path);
                if (type && is_kernel_fs(type))
                        continue;
                if (has_mounts_below(p, path) && depth < DEPTH_MAX)
                        descend(p, entry, depth + 1);
                else
                        show(p, entry);
        }
        if (dir)
                closedir(dir);
}

/* --- the box's own file systems ------------------------------------------------------- */

static void make_dev(const struct plan *p)
{
        static const char *const nodes[] = { "null", "zero", "full", "random", "urandom", "tty" };
        static const char *const links[][2] = {
                { "pts/ptmx", "/dev/ptmx" },          { "/proc/self/fd", "/dev/fd" },
                { "/proc/self/fd/0", "/dev/stdin" },  { "/proc/self/fd/1", "/dev/stdout" },
                { "/proc/self/fd/2", "/dev/stderr" },
        };
        char from[PATH_MAX], to[PATH_MAX];
        int r;

        need(p, mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k"),
             "mount /dev");
        for (size_t i = 0; i < COUNT(nodes); i++) {
                join(from, OLD "/dev/", nodes[i]);
                need(p, mknod(join(to, "/dev/", nodes[i]), S_IFREG | 0666, 0), "fill /dev");
                /* The inode is the host's: read-only, or uid 0 here could change its mode. */
                r = bind_readonly(from, to);
                if (r < 0) {
                        errno = -r;
                        refused(p, to);
                }
        }
        for (size_t i = 0; i < COUNT(links); i++)
                need(p, symlink(links[i][0], links[i][1]), "fill /dev");
        need(p, mkdir("/dev/pts", 0755), "fill /dev");
        need(p, mkdir("/dev/shm", 01777), "fill /dev");
        need(p, mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                      "newinstance,ptmxmode=0666,mode=0620"),
             "mount /dev/pts");
        need(p, mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"),
             "mount /dev/shm");
        /* The terminal's name is one of the host's; as the console it keeps one. */
        if (*p->tty && !mknod("/dev/console", S_IFREG | 0600, 0) &&
            mount(join(from, OLD, p->tty), "/dev/console", NULL, MS_BIND, NULL) < 0)
                (void)unlink("/dev/console");
}

/* As real root: what file modes alone would let uid 0 do to the host's kernel. */
static void cover_kernel(const struct plan *p)
{
        static const char *const readonly[] = { "/proc/sys", "/proc/sysrq-trigger", "/proc/irq",
                                                "/proc/bus", "/proc/fs" };
        static const char *const files[] = { "/proc/kcore", "/proc/keys", "/proc/timer_list",
                                             "/proc/latency_stats", "/proc/sched_debug" };
        static const char *const dirs[] = { "/proc/acpi", "/proc/scsi", "/sys/firmware" };
        int r;

        for (size_t i = 0; i < COUNT(readonly); i++) {
                r = bind_readonly(readonly[i], readonly[i]);
                if (r < 0 && r != -ENOENT)
                        die_errno(STATUS_PROVISION, -r, "box: make %s read-only", readonly[i]);
        }
        for (size_t i = 0; i < COUNT(files); i++)
                if (mount("/dev/null", files[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
                        refused(p, files[i]);
        for (size_t i = 0; i < COUNT(dirs); i++)
                if (mount("tmpfs", dirs[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV,
                          "size=4k,mode=0555") < 0 && errno != ENOENT && errno != ENOTDIR)
                        refused(p, dirs[i]);
}

static void make_kernel_views(const struct plan *p)
{
        static const char *const points[] = { "/proc", "/sys", "/dev", "/run" };
        int r;

        for (size_t i = 0; i < COUNT(points); i++)
                if (mkdir(points[i], 0755) < 0 && errno != EEXIST)
                        refused(p, points[i]);
        need(p, mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL),
             "mount /proc");
        r = bind_readonly(OLD "/sys", "/sys");
        if (r < 0)
                log_errno(LOG_WARN, -r, "box: /sys is not shown");
        make_dev(p);
        need(p, mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
             "mount /run");
        need(p, mkdir("/run/lock", 01777), "fill /run");
        if (!p->userns)
                cover_kernel(p);
        else if (access("/root", W_OK | X_OK) < 0 && !access("/root", F_OK))
                need(p, mount("tmpfs", "/root", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700"),
                     "mount /root"); /* uid 0 has its home there, and it is not ours */
}

/*
 * The network is the host's, so its resolvers are the right ones: always for another
 * root file system; for the host's own where the file was a link into /run.
 */
static void make_resolv(const struct plan *p)
{
        AUTO_CLOSE int fd = -1;

        if (!p->resolv_len || (!*p->root && !access("/etc/resolv.conf", R_OK)))
                return;
        (void)unlink("/etc/resolv.conf"); /* if it must and can't, open says so */
        fd = open("/etc/resolv.conf", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || write_full(fd, p->resolv, p->resolv_len) < 0)
                log_errno(LOG_WARN, errno, "box: no /etc/resolv.conf");
}

/* What a task writes there stays on the host: no setuid program, no device. */
static void make_binds(const struct plan *p)
{
        struct attributes attr = { .set = ATTR_NOSUID | ATTR_NODEV };
        char from[PATH_MAX];

        for (size_t i = 0; i < p->box->bind_count; i++) {
                const char *to = p->box->binds[i];
                int r = make_dirs(to, 0755);

                if (r < 0)
                        die_errno(STATUS_PROVISION, -r, "box: make %s", to);
                if (mount(join(from, OLD, p->binds[i]), to, NULL, MS_BIND | MS_REC, NULL) < 0 ||
                    syscall(SYS_mount_setattr, AT_FDCWD, to, 0, &attr, sizeof(attr)) < 0)
                        refused(p, to);
        }
}

/* --- building, in order --------------------------------------------------------------- */

static void write_map(const struct plan *p, const char *path, unsigned id)
{
        char line[32];
        struct wr w = wr_of(line, sizeof(line));
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

        wr_fmt(&w, "0 %u 1", id);
        if (fd < 0 || write(fd, line, w.len) < 0)
                refused(p, path);
}

static void map_ids(const struct plan *p, uid_t uid, gid_t gid)
{
        AUTO_CLOSE int fd = open("/proc/self/setgroups", O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "deny", 4) < 0)
                refused(p, "/proc/self/setgroups");
        write_map(p, "/proc/self/uid_map", uid);
        write_map(p, "/proc/self/gid_map", gid);
}

/* All that has to be read while the host's /proc and paths are still there. */
static void look_around(struct plan *p)
{
        ssize_t n;

        for (size_t i = 0; i < p->box->bind_count; i++) {
                const char *bind = p->box->binds[i];

                if (*bind != '/')
                        die(STATUS_PROVISION, "box: not an absolute path: %s", bind);
                if (!realpath(bind, p->binds[i]))
                        die_errno(STATUS_PROVISION, errno, "box: %s", bind);
        }
        if (isatty(STDIN_FILENO)) {
                n = readlink("/proc/self/fd/0", p->tty, sizeof(p->tty) - 1);
                p->tty[n < 0 ? 0 : n] = 0;
        }
        n = read_file(AT_FDCWD, "/etc/resolv.conf", p->resolv, sizeof(p->resolv));
        p->resolv_len = n < 0 ? 0 : (size_t)n;
        if (chdir(p->box->root) < 0 || !getcwd(p->root, sizeof(p->root)))
                die_errno(STATUS_PROVISION, errno, "box: %s", p->box->root);
        if (!strcmp(p->root, "/"))
                *p->root = 0;
        read_mounts(p);
}

/* The new root, then a new name for the old one. The working directory is DIR. */
static void change_root(struct plan *p)
{
        int r;

        need(p, mount("airlock", "/proc", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"),
             "mount a tmpfs for the upper layer");
        need(p, mkdir("/proc/root", 0755), "make the new root");
        r = overlay_here(p, "/proc", "", "/proc/root");
        p->flat = r == -EINVAL && p->userns && has_mounts_below(p, p->root);
        if (p->flat)
                r = mount("/proc/root", "/proc/root", NULL, MS_BIND, NULL) < 0 ? -errno : 0;
        if (r < 0) {
                errno = -r;
                refused(p, "mount an overlay on the root");
        }
        need(p, mkdir("/proc/root" OLD, 0700), "make a place for the old root");
        need(p, (int)syscall(SYS_pivot_root, "/proc/root", "/proc/root" OLD), "pivot_root");
        need(p, chdir("/"), "change to the new root");
}

static void leave_host(const struct plan *p)
{
        need(p, umount2(OLD, MNT_DETACH), "detach the host's file systems");
        need(p, rmdir(OLD), "remove the old root's place");
}

static void inside(struct plan *p, bool map, uid_t uid, gid_t gid)
{
        mode_t mask = umask(0);

        if (map)
                map_ids(p, uid, gid);
        need(p, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make mounts private");
        look_around(p);
        change_root(p);
        if (p->flat)
                descend(p, "", 0);
        else
                show_mounts(p);
        make_kernel_views(p);
        make_resolv(p);
        make_binds(p);
        leave_host(p);
        need(p, sethostname("airlock", 7), "set the host name");
        umask(mask);
}

/* --- outside --------------------------------------------------------------------------- */

/* Exits as the box did, if it did; stops as it did. */
static void collect(pid_t box)
{
        int status;
        pid_t r = waitpid(box, &status, WNOHANG | WUNTRACED);

        if (r < 0)
                die_errno(STATUS_PROVISION, errno, "box: wait");
        if (!r)
                return;
        if (WIFSTOPPED(status))
                kill(getpid(), SIGSTOP);
        else if (WIFSIGNALED(status))
                _exit(STATUS_SIGNAL + WTERMSIG(status));
        else
                _exit(WEXITSTATUS(status));
}

static NORETURN void outside(pid_t box)
{
        siginfo_t info;

        signal(SIGCHLD, SIG_DFL); /* else an ignoring parent's choice reaps it unseen */
        sig_mask(SIG_ALL);
        for (;;) {
                int n;

                collect(box);
                n = sig_wait(SIG_ALL, &info, -1);
                if (n <= 0 || n == SIGCHLD)
                        continue;
                /*
                 * From a terminal the whole group has it, PID 1 included; a hangup goes
                 * to the session's leader too, which may be in another group.
                 */
                if ((info.si_code <= 0 && info.si_pid != box) || n == SIGHUP || n == SIGCONT)
                        kill(box, n);
                if (n == SIGTSTP)
                        kill(getpid(), SIGSTOP);
        }
}

void box_enter(const struct box *box)
{
        struct plan *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
        struct pollfd alive = { .events = 0 };
        uid_t uid = geteuid();
        gid_t gid = getegid();
        int ends[2];
        pid_t pid;
        bool map;

        if (p == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0)
                die_errno(STATUS_PROVISION, errno, "box: prepare");
        p->box = box;
        map = uid || !(confine_permitted() & CAP_BIT_SYS_ADMIN);
        p->userns = map || in_user_namespace();
        p->hint = what_would_allow(p->userns);
        if (map)
                flags |= CLONE_NEWUSER;

        /* Not fork(): the child is PID 1 of its namespace from its first instruction. */
        pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
        if (pid < 0) {
                if (errno == ENOSPC || errno == EUSERS)
                        errno = EPERM; /* what a limit of 0 namespaces says */
                refused(p, "new namespaces");
        }
        if (pid) {
                close(ends[0]);
                outside(pid);
        }

        close(ends[1]);
        need(p, prctl(PR_SET_PDEATHSIG, SIGKILL), "die with the parent");
        alive.fd = ends[0];
        if (poll(&alive, 1, 0) != 0)
                _exit(STATUS_KILLED); /* it died before that: nobody waits for us */
        close(ends[0]);
        inside(p, map, uid, gid);
        munmap(p, sizeof(*p));
}
