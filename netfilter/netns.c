/* netfilter/netns.c - a network namespace of the command's own. */
#include "netfilter/netns.h"

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int netns_enter(void)
{
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
                return -errno;
        return 0;
}
