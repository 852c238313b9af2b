/* agent/dial.c - see dial.h. */
#include "agent/dial.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Until it is connected, or is not. 0 or -errno. */
static int await(int fd, uint64_t deadline_ms)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        int err = 0, r;
        socklen_t len = sizeof(err);

        do {
                uint64_t now = now_ms();

                r = poll(&p, 1, !deadline_ms ? -1 : deadline_ms > now ? (int)(deadline_ms - now) : 0);
        } while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 ? -errno : -err;
}

int dial(const char *host, const char *port, uint64_t deadline_ms)
{
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all, *a;
        int r = -EHOSTUNREACH;

        if (getaddrinfo(host, port, &hints, &all) != 0)
                return r;
        for (a = all; a && r < 0; a = a->ai_next) {
                int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

                if (fd < 0) {
                        r = -errno;
                        continue;
                }
                r = connect(fd, a->ai_addr, a->ai_addrlen) < 0 ? -errno : 0;
                if (r == -EINPROGRESS)
                        r = await(fd, deadline_ms);
                if (r < 0)
                        close(fd);
                else
                        r = fd;
        }
        freeaddrinfo(all);
        return r;
}
