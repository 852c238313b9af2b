/* netfilter/apart.c - forks what stays outside of a lock. */
#include "netfilter/apart.h"

#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Whoever reads our standard streams waits for their end: we have none. */
static void keep_two(int channel, int own)
{
        int a = fcntl(channel, F_DUPFD, 10), b = fcntl(own, F_DUPFD, 10);

        if (a < 0 || b < 0 || dup2(a, APART_CHANNEL) < 0 || dup2(b, APART_OWN) < 0 ||
            syscall(SYS_close_range, 5U, ~0U, 0U) < 0)
                _exit(1);
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                close(fd);
}

static NORETURN void begin(const char *name, void (*work)(void *argument), void *argument)
{
        static const struct confine nothing = { .no_new_privs = true };
        const char *stage;
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        setsid();
        prctl(PR_SET_NAME, name, 0, 0, 0);
        if (confine_apply(&nothing, &stage) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                _exit(1);
        work(argument);
        _exit(0);
}

int apart_start(const char *name, int own, void (*work)(void *argument), void *argument)
{
        int ends[2], status = 0;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        pid = _Fork();
        if (!pid) { /* a grandchild: whoever the command waits for, it is none of these */
                pid = _Fork();
                if (!pid) {
                        keep_two(ends[1], own);
                        begin(name, work, argument);
                }
                _exit(pid < 0);
        }
        close(ends[1]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (pid > 0 && !status)
                return ends[0];
        close(ends[0]);
        return -EAGAIN;
}
