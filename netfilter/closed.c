/* netfilter/closed.c - loads the seccomp filters. */
#include "netfilter/closed.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/syscall.h>

#include <filter.h> /* generated: guard_filter, closed_filter */

static int load(const struct sock_filter *filter, unsigned short len)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { len, (struct sock_filter *)(uintptr_t)filter };

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int closed_guard(void)
{
        return load(guard_filter, COUNT(guard_filter));
}

int closed_enter(void)
{
        if (unshare(CLONE_NEWNET) < 0 && errno != EPERM && errno != EINVAL && errno != ENOSYS)
                return -errno;
        return 0;
}

int closed_filter_load(void)
{
        return load(closed_filter, COUNT(closed_filter));
}
