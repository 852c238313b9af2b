/* init/child.c - a pidfd, a deadline, and a kill. */
#include "init/child.h"

#include "base/clock.h"
#include "base/io.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LOOK_MS 2      /* without a pidfd */
#define KILLED_MS 5000 /* from a kill to the end */

int child_end(pid_t pid, unsigned ms)
{
        AUTO_CLOSE int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint64_t deadline = now_ms() + ms;
        int status = SIGKILL;
        bool killed = false;

        while (!waitpid(pid, &status, WNOHANG)) {
                uint64_t now = now_ms();

                if (now >= deadline) {
                        if (killed)
                                return SIGKILL;
                        killed = !kill(pid, SIGKILL);
                        deadline = now + KILLED_MS;
                }
                poll(&p, 1, fd < 0 ? LOOK_MS : (int)(deadline - now));
        }
        return status;
}
