/* agent/push_relay.c - bytes from git to the proxy and back, unread. */
#include "agent/fetch.h"
#include "agent/push.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PAIRS ((RELAY_FDS - 1) / 2)
#define PIECE 65536
#define OPEN_MS 30000

/* What one side said, on its way to the other. */
struct flow {
        char bytes[PIECE];
        size_t at, len;
        bool ended, told; /* no more comes; the other side was told */
};

/* A connection: fd[0] is git's, fd[1] the proxy's; 0: a free place. flow[i] comes from fd[i]. */
struct pair {
        int fd[2];
        struct flow flow[2];
};

static int listener;
static struct pair pairs[PAIRS] LARGE_BUFFER;

int relay_open(void)
{
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof(at);

        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *)&at, len) < 0 ||
            listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&at, &len) < 0)
                return -errno;
        return ntohs(at.sin_port);
}

static void pair_close(struct pair *c)
{
        close(c->fd[0]);
        close(c->fd[1]);
        c->fd[0] = c->fd[1] = 0;
}

static struct pair *free_place(void)
{
        for (size_t i = 0; i < PAIRS; i++) {
                if (!pairs[i].fd[0])
                        return &pairs[i];
        }
        return NULL;
}

static void take(struct push *p)
{
        struct pair *c = free_place();
        struct buf why = { 0 };
        int git = c ? accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
        int proxy = git < 0 ? -1 : fetch_tunnel(p->channel, p->url, OPEN_MS, &why);

        if (proxy >= 0) {
                for (size_t i = 0; i < 2; i++)
                        c->flow[i].at = c->flow[i].len = c->flow[i].ended = c->flow[i].told = 0;
                c->fd[0] = git;
                c->fd[1] = proxy;
        } else if (git >= 0) {
                log_line(LOG_ERROR, "to %s: %.*s", p->url, (int)why.len, buf_at(&why));
                close(git);
        }
        buf_free(&why);
}

/* Is there something for side @i to do? */
static short wants(const struct pair *c, size_t i)
{
        const struct flow *in = &c->flow[i], *out = &c->flow[!i];

        return (short)((!in->ended && !in->len ? POLLIN : 0) | (out->len ? POLLOUT : 0));
}

size_t relay_poll(struct pollfd p[static RELAY_FDS])
{
        p[0] = (struct pollfd){ .fd = free_place() ? listener : -1, .events = POLLIN };
        for (size_t i = 0; i < PAIRS; i++) {
                for (size_t side = 0; side < 2; side++) {
                        short events = pairs[i].fd[0] ? wants(&pairs[i], side) : 0;

                        p[1 + 2 * i + side] = (struct pollfd){
                                .fd = events ? pairs[i].fd[side] : -1, .events = events };
                }
        }
        return RELAY_FDS;
}

/* False: the connection is no good any more. */
static bool flow_in(struct flow *f, int fd)
{
        ssize_t n = read(fd, f->bytes, sizeof(f->bytes));

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        f->at = 0;
        f->len = (size_t)n;
        f->ended = !n;
        return true;
}

static bool flow_out(struct flow *f, int fd)
{
        ssize_t n = f->len ? send(fd, f->bytes + f->at, f->len, MSG_NOSIGNAL) : 0;

        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        f->at += (size_t)n;
        f->len -= (size_t)n;
        if (!f->len && f->ended && !f->told) {
                f->told = true;
                shutdown(fd, SHUT_WR);
        }
        return true;
}

static void pair_step(struct pair *c, const struct pollfd fds[2])
{
        for (size_t i = 0; i < 2; i++) {
                struct flow *f = &c->flow[i];

                if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR) && !f->len && !f->ended &&
                     !flow_in(f, c->fd[i])) ||
                    !flow_out(f, c->fd[!i])) {
                        pair_close(c);
                        return;
                }
        }
        if (c->flow[0].told && c->flow[1].told)
                pair_close(c);
}

void relay_step(struct push *p, const struct pollfd *fds, size_t count)
{
        must_hold(count == RELAY_FDS);
        for (size_t i = 0; i < PAIRS; i++) {
                if (pairs[i].fd[0])
                        pair_step(&pairs[i], fds + 1 + 2 * i);
        }
        if (fds[0].revents & POLLIN)
                take(p);
}

void relay_close(void)
{
        for (size_t i = 0; i < PAIRS; i++) {
                if (pairs[i].fd[0])
                        pair_close(&pairs[i]);
        }
        close(listener);
}
