/*
 * tests/probe/filter.c - a command under one of the seccomp filters, for test_filter.py.
 *
 * Usage: probe_filter agent|netns COMMAND…
 */
#include "base/base.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <filter.h>

static int load(const struct sock_filter *filter, unsigned short len)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { len, (struct sock_filter *)(uintptr_t)filter };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
        const bool agent = argc > 2 && !strcmp(argv[1], "agent");

        if (argc < 3)
                return 2;
        if (load(agent ? agent_filter : netns_filter,
                 agent ? COUNT(agent_filter) : COUNT(netns_filter)) < 0)
                return 3;
        execvp(argv[2], argv + 2);
        return 4;
}
