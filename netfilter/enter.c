/* netfilter/enter.c - takes rights away until only the command's are left. */
#include "netfilter/enter.h"

#include "base/confine.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/wr.h"
#include "netfilter/closed.h"
#include "netfilter/environment.h"
#include "netfilter/fds.h"
#include "netfilter/mounts.h"
#include "netfilter/netns.h"
#include "netfilter/notify_enter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static LARGE_BUFFER char mount_paths[MOUNTS_PATHS_MAX];

/* What the next steps must know of the namespaces that were entered. */
struct entered {
        struct mounts mounts;
        bool mount_namespace;
        bool own_users;
        bool all_ids;
};

static bool wants_frozen_paths(const struct enter *e)
{
        return e->landlock.fs == FS_WORKSPACE_WRITE && e->landlock.root_count;
}

/* "cover /run/docker.sock": the operator wants to know which. */
static const char *with_path(const char *what, const char *path)
{
        static char text[60];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "%s %.*s", what, 40, path);
        return wr_cstr(&w);
}

static int enter_netns(struct enter *e, struct entered *got, const char **stage)
{
        struct netns n = { .helper = e->helper,
                           .inside = e->inside.proxy >= 0 ? &e->inside : NULL };
        int r;

        n.mounts = mounts_wanted(&got->mounts) || wants_frozen_paths(e);
        r = netns_enter(&n, stage);
        got->mount_namespace = n.mounts;
        got->own_users = n.own_users;
        got->all_ids = n.all_ids;
        return r;
}

/*
 * What a lock without a mount namespace can't see: sockets that are files. They get covered
 * where that is allowed; where it is not, and one can be reached, the lock does not hold.
 */
static int cover_or_refuse(struct entered *got, const char **stage)
{
        const char *path;

        if (!mounts_wanted(&got->mounts))
                return 0;
        if (!unshare(CLONE_NEWNS)) {
                got->mount_namespace = true;
                *stage = "keep our mounts to ourselves";
                return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ? -errno : 0;
        }
        path = mounts_reachable(&got->mounts);
        *stage = path ? with_path("cover", path) : *stage;
        return path ? -EPERM : 0;
}

/* Abstract sockets of others stay behind with their network namespace, if they can. */
static int enter_closed(struct entered *got, const char **stage)
{
        *stage = "leave the network";
        if (unshare(CLONE_NEWNET) < 0 && errno != EPERM && errno != EINVAL && errno != ENOSYS)
                return -errno;
        return cover_or_refuse(got, stage);
}

static int enter_namespaces(struct enter *e, struct entered *got, const char **stage)
{
        /* Under notify, connect(2) itself is asked for: airlock-notify knows whose it is. */
        int r = e->lock == LOCK_NONE     ? 0
                : e->lock == LOCK_NOTIFY ? mounts_find_machine(&got->mounts)
                                         : mounts_find(&got->mounts);

        if (r < 0) {
                *stage = "list the sockets of others";
                return r;
        }
        switch (e->lock) {
        case LOCK_NONE:
                return 0;
        case LOCK_NETFILTER:
                return cover_or_refuse(got, stage);
        case LOCK_NETNS:
                return enter_netns(e, got, stage);
        case LOCK_CLOSED:
                return enter_closed(got, stage);
        case LOCK_NOTIFY:
                *stage = "reach airlock-notify";
                return e->notify < 0 ? -EBADF : cover_or_refuse(got, stage);
        case LOCK_COUNT:
                break;
        }
        return -EINVAL;
}

static bool is_below(const char *path, const char *root)
{
        size_t len = strlen(root);

        return !strncmp(path, root, len) && path[len] == '/';
}

/* The folder that our programs are in, unless it is a root itself: then it is meant. */
static int freeze_own_folder(const struct enter *e, char *path, size_t cap)
{
        ssize_t n = readlink("/proc/self/exe", path, cap - 1);
        path[n > 0 ? n : 0] = '\0';
        if (n > 0)
                *strrchr(path, '/') = '\0';
        for (unsigned i = 0; i < e->landlock.root_count; i++) {
                if (is_below(path, e->landlock.roots[i]))
                        return mounts_freeze(path);
        }
        return 0;
}

/* Below a root that may be written: its .git, and airlock's programs should they be there. */
static int freeze_paths(const struct enter *e, const char **stage)
{
        char path[PATH_MAX];
        int r = 0;

        for (unsigned i = 0; i < e->landlock.root_count && !r; i++) {
                struct wr w = wr_of(path, sizeof(path));

                wr_fmt(&w, "%s/.git", e->landlock.roots[i]);
                r = w.full ? -ENAMETOOLONG : mounts_freeze(wr_cstr(&w));
        }
        if (!r)
                r = freeze_own_folder(e, path, sizeof(path));
        if (r < 0)
                *stage = with_path("protect", path);
        return r;
}

/* Landlock gives a folder with all below, or not: without mounts, hooks can be written. */
static void warn_of_git(const struct enter *e)
{
        for (unsigned i = 0; i < e->landlock.root_count; i++) {
                char path[PATH_MAX];
                struct wr w = wr_of(path, sizeof(path));

                wr_fmt(&w, "%s/.git", e->landlock.roots[i]);
                if (!faccessat(AT_FDCWD, wr_cstr(&w), W_OK, AT_EACCESS))
                        log_line(LOG_WARN, "%s can be written: lock %s mounts nothing here, so "
                                 "look at its hooks and config before you use it", path,
                                 lock_name(e->lock));
        }
}

static int arrange_mounts(const struct enter *e, const struct entered *got, const char **stage)
{
        const char *path = "";
        int r;

        if (!got->mount_namespace) {
                if (wants_frozen_paths(e))
                        warn_of_git(e);
                return 0;
        }
        r = mounts_cover(&got->mounts, &path);
        if (r < 0) {
                *stage = with_path("cover", path);
                return r;
        }
        return wants_frozen_paths(e) ? freeze_paths(e, stage) : 0;
}

/*
 * With a user namespace of our own, CAP_SYS_ADMIN over it takes no_new_privs' place: a
 * setuid program gets nothing that is not bounded by the namespace. One that holds a
 * single id has no use for setuid programs.
 */
static int restrict_self(const struct enter *e, const struct entered *got, const char **stage)
{
        /* Where new privileges are wanted, these locks do without scope and filter. */
        bool optional = e->new_privs && (e->lock == LOCK_NONE || e->lock == LOCK_NETFILTER);
        bool free = !e->no_new_privs && ((got->own_users && got->all_ids) || optional);
        int r;

        *stage = "set no_new_privs";
        if (!free && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        *stage = "enter a Landlock domain";
        r = landlock_enter(&e->landlock);
        if (r == -EPERM && optional && e->landlock.fs == FS_FULL)
                r = 0;
        if (r < 0)
                return r;
        *stage = "load the filter";
        r = closed_load_filters(e->lock);
        return r == -EACCES && optional ? 0 : r;
}

static uint64_t caps_to_keep(const struct enter *e, const struct entered *got)
{
        if (e->set_caps)
                return e->keep_caps;
        return got->own_users && got->all_ids ? confine_setup_caps : 0;
}

/* Changing ids clears the signal, so it is asked for last; the parent may be gone by then. */
static int end_with_parent(const struct enter *e)
{
        if (!e->parent)
                return 0;
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return -errno;
        return getppid() == e->parent ? 0 : -ESRCH;
}

int enter_lock(struct enter *e, const char **stage)
{
        struct entered got = { .mounts.paths = mount_paths };
        struct confine confine = { .set_ids = e->set_ids, .uid = e->uid, .gid = e->gid };
        int r;

        /* The network is shared with whoever listens on an abstract socket in it. */
        if (!e->new_privs && (e->lock == LOCK_NETFILTER || e->lock == LOCK_CLOSED))
                e->landlock.scope = true;
        *stage = "close inherited descriptors";
        r = fds_keep_harmless();
        if (!r && e->socket)
                fcntl(e->socket, F_SETFD, 0);
        if (!r)
                r = enter_namespaces(e, &got, stage);
        if (!r)
                r = arrange_mounts(e, &got, stage);
        if (!r)
                r = restrict_self(e, &got, stage);
        if (r < 0)
                return r;
        confine.keep_caps = caps_to_keep(e, &got);
        r = confine_apply(&confine, stage);
        if (r < 0)
                return r;
        *stage = "follow the parent";
        r = end_with_parent(e);
        if (r < 0)
                return r;
        *stage = "enter the working directory";
        if (e->chdir && chdir(e->chdir) < 0)
                return -errno;
        *stage = "hand calls over to airlock-notify";
        if (e->lock == LOCK_NOTIFY)
                return notify_enter(e->notify, e->hold || !notify_can_take());
        return 0;
}

/*
 * EACCES is remembered while later folders are tried, so that "found and not executable"
 * is told from "not found".
 */
static int exec_by_path(char *const *argv, char *const *envp)
{
        const char *path = getenv("PATH");
        size_t name_len = strlen(argv[0]);
        int err = ENOENT;

        if (!path)
                path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        for (;;) {
                char file[PATH_MAX];
                size_t len = strcspn(path, ":");

                if (len + 1 + name_len < sizeof(file)) {
                        memcpy(file, path, len);
                        file[len] = '/';
                        memcpy(file + len + 1, argv[0], name_len + 1);
                        execve(len ? file : argv[0], argv, envp);
                        if (errno != ENOENT && errno != ENOTDIR)
                                err = errno;
                }
                if (!path[len])
                        return -err;
                path += len + 1;
        }
}

/* At @to, where the command looks for it. */
static bool place(const struct enter *e, int fd, int to)
{
        return fd < 0 || (e->exec_fd != to && dup2(fd, to) == to);
}

int enter_exec(const struct enter *e, char *const *argv)
{
        char *const *envp = environment_with(e->inside.http_port, e->variables);

        if (!envp)
                return -E2BIG;
        if (!place(e, e->scribe, JOURNAL_FD) || !place(e, e->porch, PORCH_FD))
                return -EBADF;
        if (e->exec_fd >= 0)
                syscall(SYS_execveat, e->exec_fd, "", argv, envp, AT_EMPTY_PATH);
        else if (strchr(argv[0], '/'))
                execve(argv[0], argv, envp);
        else
                return exec_by_path(argv, envp);
        return -errno;
}
