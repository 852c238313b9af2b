/* init/tty.c - the foreground of the terminal on stdin. */
#include "init/tty.h"

#include <fcntl.h>
#include <sys/ioctl.h>

static int foreground(pid_t *group)
{
        return ioctl(STDIN_FILENO, TIOCGPGRP, group);
}

/*
 * In a pid namespace whose terminal was opened outside, both groups may have no number
 * here: 0 equals 0, whoever is in front. A read tells: with SIGTTIN blocked it fails
 * with EIO in the background, and a read of nothing takes nothing. Through a
 * descriptor of our own, because only a non-blocking one can't wait for another reader.
 */
static bool in_front_unnamed(void)
{
        AUTO_CLOSE int fd = open("/dev/tty", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        char nothing;

        return fd >= 0 && read(fd, &nothing, 0) == 0;
}

bool tty_may_hand_over(void)
{
        pid_t front;

        if (foreground(&front) < 0 || front != getpgrp())
                return false;
        return front > 0 || in_front_unnamed();
}

void tty_hand_over(void)
{
        tty_give(getpid());
}

void tty_give(pid_t group)
{
        /* SIGTTOU is blocked, so this is allowed from the background too. */
        if (ioctl(STDIN_FILENO, TIOCSPGRP, &group) < 0)
                return;
}

void tty_take_back(pid_t group)
{
        pid_t front;
        pid_t own = getpgrp();

        if (own > 0 && !foreground(&front) && front == group)
                tty_give(own);
}
