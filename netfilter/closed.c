/* netfilter/closed.c - loads the seccomp filters. */
#include "netfilter/closed.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <filter.h> /* generated: the four filters */

static int load(const struct sock_filter *filter, unsigned short len)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { len, (struct sock_filter *)(uintptr_t)filter };

        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int closed_load_filters(enum lock lock)
{
        int r;

        switch (lock) {
        case LOCK_NETNS:
                return load(netns_filter, COUNT(netns_filter));
        case LOCK_NETFILTER:
                return load(agent_filter, COUNT(agent_filter));
        case LOCK_CLOSED:
                r = load(closed_filter, COUNT(closed_filter));
                return r < 0 ? r : load(guard_filter, COUNT(guard_filter));
        case LOCK_NONE:
        case LOCK_NOTIFY: /* notify_enter.c has its own besides */
                return load(guard_filter, COUNT(guard_filter));
        case LOCK_COUNT:
                break;
        }
        return -EINVAL;
}
