/* agent/cage.c - Landlock, a mount namespace where that is not enough, and a filter. */
#include "agent/cage.h"

#include "agent/uri.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filter.h> /* generated: closed_filter, guard_filter */

#define ABI_NEEDED 3          /* before it truncate(2) was free for all */

struct mount_attr_set {
        uint64_t set, clear, propagation, userns;
};

/* --- what is asked for ------------------------------------------------------------------------ */

/* May less be done to @path than to the directory that holds it? */
static bool is_narrower(const struct grants *g, const struct grant *e)
{
        char above[URI_PATH_MAX];
        const char *slash = strrchr(e->path, '/');
        size_t n = (size_t)(slash - e->path);

        if (!e->path[1] || n >= sizeof(above))
                return false;
        memcpy(above, e->path, n);
        above[n] = '\0';
        return grants_access(g, e->path) < grants_access(g, n ? above : "/");
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

bool cage_needs_namespaces(const struct grants *g)
{
        for (unsigned i = 0; i < g->count && !g->everything; i++)
                if (is_narrower(g, &g->list[i]) && exists(g->list[i].path))
                        return true;
        return false;
}

/* Is a component of @path a link in a place that the sandbox may write to? */
static bool through_own_link(const struct grants *g, const char *path)
{
        char part[URI_PATH_MAX], above[URI_PATH_MAX];
        struct stat st;

        strcpy(above, "/");
        for (size_t i = 1; i < URI_PATH_MAX; i++) {
                if (path[i] && path[i] != '/')
                        continue;
                memcpy(part, path, i);
                part[i] = '\0';
                if (lstat(part, &st) == 0 && S_ISLNK(st.st_mode) &&
                    grants_access(g, above) == ACCESS_WRITE)
                        return true;
                memcpy(above, part, i + 1);
                if (!path[i])
                        break;
        }
        return false;
}

bool cage_settle(struct grants *g, struct wr *why)
{
        static char texts[2][GRANTS_TEXT] LARGE_BUFFER;
        static unsigned turn;
        struct wr w = wr_of(texts[turn ^= 1], GRANTS_TEXT);
        unsigned count = g->count;

        for (unsigned i = 0; i < count && !g->everything; i++) {
                struct grant *e = &g->list[i];
                char real[PATH_MAX];
                char *at = w.buf + w.len;

                if (!realpath(e->path, real) || !strcmp(real, e->path))
                        continue;
                if (e->access == ACCESS_WRITE && through_own_link(g, e->path)) {
                        wr_fmt(why, "sandbox: %s is a link that the sandbox itself could have made",
                               e->path);
                        return false;
                }
                wr_bytes(&w, real, strlen(real) + 1);
                if (w.full || g->count == GRANTS_MAX) {
                        wr_str(why, "sandbox: too many entries");
                        return false;
                }
                /* The link's own name keeps its rule: it must not be replaced either. */
                g->list[g->count++] = (struct grant){ at, e->access, e->skip_missing };
        }
        return true;
}

/* --- namespaces ------------------------------------------------------------------------------- */

static int write_text(const char *path, const char *text)
{
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -errno : write_full(fd, text, strlen(text));
}

/*
 * We stay who we are. Since Linux 5.12 uid 0 can't be mapped by a root without CAP_SETFCAP, as
 * agents of ours are: then the process goes by the overflow id, "nobody", and owns what it owned.
 */
static int map_ids(uid_t uid, gid_t gid)
{
        char map[64];
        struct wr w = wr_of(map, sizeof(map) - 1);
        int r;

        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* or our files in /proc are root's; we have memory of our own */
        r = write_text("/proc/self/setgroups", "deny");
        wr_fmt(&w, "%u %u 1", uid, uid);
        if (!r)
                r = write_text("/proc/self/uid_map", wr_cstr(&w));
        w = wr_of(map, sizeof(map) - 1);
        wr_fmt(&w, "%u %u 1", gid, gid);
        if (!r)
                r = write_text("/proc/self/gid_map", wr_cstr(&w));
        return r == -EPERM && !uid ? 0 : r;
}

/* A user namespace besides, when a mount namespace alone is not given. */
static int enter_namespaces(void)
{
        uid_t uid = geteuid();
        gid_t gid = getegid();
        int r;

        if (unshare(CLONE_NEWNS) < 0) {
                if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                        return -errno;
                r = map_ids(uid, gid);
                if (r < 0)
                        return r;
        }
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* With @below the mounts that are below @path too. */
static int set_read_only(const char *path, bool read_only, bool below)
{
        struct mount_attr_set attr = { read_only ? 1 : 0, read_only ? 0 : 1, 0, 0 };

        unsigned flags = below ? 0x8000U /* AT_RECURSIVE */ : 0;

        return syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &attr, sizeof(attr)) < 0 ? -errno
                                                                                          : 0;
}

/*
 * Our user namespace may not lift what its parent made read-only, a mask over an engine's
 * socket say. Then all that is mounted below stays as it is now.
 */
static int set_writable(const char *path)
{
        int r = set_read_only(path, false, true);

        return r == -EPERM ? set_read_only(path, false, false) : r;
}

/* Covers one entry by itself read-only (or writable again), or by nothing. */
static int cover(const char *path, enum access access)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (access == ACCESS_NONE && S_ISDIR(st.st_mode)) {
                if (mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "mode=0,size=4k") < 0)
                        return -errno;
                return 0;
        }
        if (access == ACCESS_NONE) {
                if (mount("/dev/null", path, NULL, MS_BIND, NULL) < 0)
                        return -errno;
                return set_read_only(path, true, false);
        }
        if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0)
                return -errno;
        return access == ACCESS_READ ? set_read_only(path, true, true) : set_writable(path);
}

/* Outer ones first, so that what is inside them lies on top. */
static int cover_all(const struct grants *g)
{
        bool done[GRANTS_MAX] = { false };

        for (unsigned round = 0; round < g->count; round++) {
                unsigned next = g->count;
                enum access access;
                int r;

                for (unsigned i = 0; i < g->count; i++)
                        if (!done[i] && (next == g->count ||
                                         strlen(g->list[i].path) < strlen(g->list[next].path)))
                                next = i;
                done[next] = true;
                access = grants_access(g, g->list[next].path);
                if (!is_narrower(g, &g->list[next]) &&
                    (access != ACCESS_WRITE || !g->list[next].path[1]))
                        continue;
                r = cover(g->list[next].path, access);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- Landlock ---------------------------------------------------------------------------------- */

static int fill(int ruleset, const struct grants *g, uint64_t handled)
{
        int r = ruleset_allow_devices(ruleset, handled);

        for (unsigned i = 0; i < g->count && !r; i++) {
                enum access access = grants_access(g, g->list[i].path);

                if (access == ACCESS_WRITE)
                        r = ruleset_allow(ruleset, g->list[i].path, handled);
                else if (access == ACCESS_READ)
                        r = ruleset_allow(ruleset, g->list[i].path, handled & FS_READS);
        }
        return r;
}

static int enter_landlock(const struct grants *g)
{
        uint64_t handled = FS_REFER; /* any domain keeps ptrace inside */
        int r;

        if (landlock_abi() < ABI_NEEDED)
                return -EOPNOTSUPP;
        if (!g->everything)
                handled = FS_WRITES | (grants_access(g, "/") == ACCESS_NONE ? FS_READS : 0);
        AUTO_CLOSE int fd = ruleset_new(handled, true);
        if (fd < 0)
                return fd;
        r = g->everything ? ruleset_allow(fd, "/", FS_REFER) : fill(fd, g, handled);
        return r ? r : ruleset_enter(fd);
}

/* --- all of it ------------------------------------------------------------------------------------ */

static int load(const struct sock_filter *filter, unsigned short len)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { len, (struct sock_filter *)(uintptr_t)filter };

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int cage_enter(const struct grants *g, const char **stage)
{
        struct confine c = { .no_new_privs = true };
        char cwd[PATH_MAX];
        int r = 0;

        *stage = "mount namespace";
        if (cage_needs_namespaces(g)) {
                if (!getcwd(cwd, sizeof(cwd)))
                        return -errno;
                r = enter_namespaces();
                if (!r)
                        r = cover_all(g);
                if (!r && chdir(cwd) < 0) /* it may lie under a new mount */
                        r = -errno;
        }
        if (r < 0)
                return r;
        r = confine_apply(&c, stage);
        if (r < 0)
                return r;
        *stage = "Landlock";
        r = enter_landlock(g);
        if (r < 0)
                return r;
        *stage = "seccomp";
        r = g->network ? 0 : load(closed_filter, COUNT(closed_filter));
        if (!r)
                r = load(guard_filter, COUNT(guard_filter));
        if (!r)
                *stage = "";
        return r;
}

/* Does this container give a mount namespace? A child tries it, once. */
static bool namespaces_work(void)
{
        static int known; /* 1 yes, -1 no */
        int status = 1;
        pid_t pid;

        if (known)
                return known > 0;
        pid = fork();
        if (pid == 0) {
                int r = enter_namespaces();

                if (!r)
                        r = mount("/", "/", NULL, MS_BIND | MS_REC, NULL) < 0
                                    ? -errno
                                    : set_read_only("/", true, true);
                _exit(r ? 1 : 0);
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        known = pid > 0 && status == 0 ? 1 : -1;
        return known > 0;
}

bool cage_possible(const struct grants *g, struct wr *why)
{
        if (landlock_abi() < ABI_NEEDED) {
                wr_str(why, "this kernel has no Landlock of ABI 3 or later");
                return false;
        }
        for (unsigned i = 0; i < g->count && !g->everything; i++) {
                const struct grant *e = &g->list[i];

                if (!e->skip_missing && is_narrower(g, e) && !exists(e->path)) {
                        wr_fmt(why, "%s does not exist, so it can't be protected", e->path);
                        return false;
                }
        }
        if (cage_needs_namespaces(g) && !namespaces_work()) {
                wr_str(why, "an entry allows less than what is around it, which needs a mount "
                            "namespace, and this container gives none; where the container "
                            "is the sandbox, the client needs none of its own "
                            "(danger-full-access)");
                return false;
        }
        return true;
}
