/* netfilter/enter.c - takes rights away until only the command's are left. */
#include "netfilter/enter.h"

#include "base/confine.h"
#include "netfilter/closed.h"
#include "netfilter/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static int enter_namespace(const struct enter *e, const char **stage)
{
        *stage = "leave the network";
        if (e->lock == LOCK_NETNS)
                return netns_enter();
        if (e->lock == LOCK_CLOSED)
                return closed_enter();
        return e->lock == LOCK_NONE ? 0 : -ENOSYS;
}

int enter_lock(const struct enter *e, const char **stage)
{
        struct confine confine = { .set_ids = e->set_ids, .uid = e->uid, .gid = e->gid,
                                   .keep_caps = e->keep_caps, .no_new_privs = true };
        int r = enter_namespace(e, stage);

        if (r < 0)
                return r;
        r = confine_apply(&confine, stage);
        if (r < 0)
                return r;
        *stage = "load the filter";
        r = e->lock == LOCK_CLOSED ? closed_filter_load() : 0;
        if (!r)
                r = closed_guard();
        if (r < 0)
                return r;
        *stage = "enter the working directory";
        return e->chdir && chdir(e->chdir) < 0 ? -errno : 0;
}

/*
 * EACCES is remembered while later folders are tried, so that "found and not executable"
 * is told from "not found".
 */
static int exec_by_path(char *const *argv)
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
                        execve(len ? file : argv[0], argv, environ);
                        if (errno != ENOENT && errno != ENOTDIR)
                                err = errno;
                }
                if (!path[len])
                        return -err;
                path += len + 1;
        }
}

int enter_exec(const struct enter *e, char *const *argv)
{
        if (e->exec_fd >= 0)
                syscall(SYS_execveat, e->exec_fd, "", argv, environ, AT_EMPTY_PATH);
        else if (strchr(argv[0], '/'))
                execve(argv[0], argv, environ);
        else
                return exec_by_path(argv);
        return -errno;
}
