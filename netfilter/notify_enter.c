/* netfilter/notify_enter.c - two filters, one with a listener, and the listener handed over. */
#include "netfilter/notify_enter.h"

#include "base/msg.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filter.h> /* generated: notify_refuse_filter, notify_filter, notify_hold_filter */

static int load(const struct sock_filter *filter, size_t len, unsigned flags)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { (unsigned short)len,
                                      (struct sock_filter *)(uintptr_t)filter };
        long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

        return r < 0 ? -errno : (int)r;
}

/* A test builds it without, as for an older kernel. */
#ifndef NOTIFY_WAIT
#define NOTIFY_WAIT SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#endif

/*
 * WAIT_KILLABLE_RECV (Linux 5.19): a signal no longer interrupts a call that is being answered,
 * so nothing is done twice. Kernels without it get the flag refused, and airlock-notify
 * remembers what it answered to whom. There a signal between the answer and the caller's waking
 * goes unseen: the repeated connect(2) then says EISCONN.
 */
static int listen_for_calls(bool hold)
{
        const struct sock_filter *filter = hold ? notify_hold_filter : notify_filter;
        size_t len = hold ? COUNT(notify_hold_filter) : COUNT(notify_filter);
        int fd = load(filter, len, SECCOMP_FILTER_FLAG_NEW_LISTENER | NOTIFY_WAIT);

        if (fd == -EINVAL)
                fd = load(filter, len, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        return fd;
}

/* An ordinary sendmsg(2) works after the filter: those of descriptors below 960 are not watched. */
int notify_enter(int channel, bool hold)
{
        static const struct msg here = { .type = MSG_LISTENER };
        int r;

        if (channel >= 960)
                return -EBADF;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        AUTO_CLOSE int listener = listen_for_calls(hold);
        if (listener < 0)
                return listener;
        r = msg_send(channel, &here, listener);
        if (r < 0)
                return r;
        return load(notify_refuse_filter, COUNT(notify_refuse_filter), 0);
}

bool notify_can_take(void)
{
        bool can = false;
        pid_t pid = _Fork();

        if (pid < 0)
                return false;
        if (!pid) {
                for (;;)
                        pause();
        }
        int process = (int)syscall(SYS_pidfd_open, pid, 0);
        int taken = process < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0);

        /* A standard stream that is not there is no refusal. */
        can = taken >= 0 || (process >= 0 && errno == EBADF);
        if (taken >= 0)
                close(taken);
        if (process >= 0)
                close(process);
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return can;
}
