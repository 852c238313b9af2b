/* netfilter/porch.c - a listener, and two buffers for each client. */
#include "netfilter/porch.h"

#include "base/clock.h"
#include "base/digits.h"
#include "base/msg.h"
#include "netfilter/apart.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS 320 /* more than the server takes: who has to go is its choice */
#define BUFFER 16384
#define BACKLOG 128
#define LINGER_MS 2000 /* for a client to take the server's last words */

/* Bytes on their way to @to. */
struct way {
        int to;
        bool ended; /* the other side said all */
        bool told;  /* and so did we, here */
        size_t at, len;
        char bytes[BUFFER];
};

struct client {
        bool used;
        int tcp, unix;
        struct way in, out;
        uint64_t linger_ms; /* the server is gone; 0: it is there */
};

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

static struct client clients[CLIENTS] LARGE_BUFFER;
static struct pollfd watched[2 + 2 * CLIENTS] LARGE_BUFFER;

static void let_go(struct client *c)
{
        close(c->tcp);
        close(c->unix);
        c->used = false;
}

static bool is_full(const struct way *w)
{
        return w->len == BUFFER;
}

/*
 * What comes from @fd goes to @in, what goes there is in @out. Where nothing is wanted it is not
 * watched at all: a hang-up would be told again and again.
 */
static struct pollfd watch(int fd, const struct way *in, const struct way *out)
{
        int events = (!in->ended && !is_full(in) ? POLLIN : 0) | (out->len ? POLLOUT : 0);

        return (struct pollfd){ .fd = events ? fd : -1, .events = (short)events };
}

/* False: @from is broken. */
static bool take(struct way *w, int from)
{
        ssize_t n;

        if (w->at) {
                memmove(w->bytes, w->bytes + w->at, w->len);
                w->at = 0;
        }
        if (w->ended || is_full(w))
                return true;
        n = recv(from, w->bytes + w->len, BUFFER - w->len, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR;
        w->ended = n == 0;
        w->len += (size_t)n;
        return true;
}

/* False: nobody is there to get it. */
static bool give(struct way *w)
{
        while (w->len) {
                ssize_t n = send(w->to, w->bytes + w->at, w->len, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                w->at += (size_t)n;
                w->len -= (size_t)n;
        }
        w->at = 0;
        if (w->ended && !w->told) {
                shutdown(w->to, SHUT_WR);
                w->told = true;
        }
        return true;
}

static void serve(struct client *c, const struct pollfd *tcp, const struct pollfd *unix, uint64_t now)
{
        bool well = !(tcp->revents & POLLERR);

        if (well && tcp->revents & (POLLIN | POLLHUP))
                well = take(&c->in, c->tcp);
        if (well && unix->revents & (POLLIN | POLLHUP | POLLERR))
                well = take(&c->out, c->unix);
        well = well && give(&c->out);
        if (well && !give(&c->in)) { /* the server hung up: its last words may still be there */
                c->in.len = 0;
                c->in.ended = c->in.told = true;
        }
        if (c->out.told && !c->linger_ms)
                c->linger_ms = now + LINGER_MS;
        if (!well || (c->in.ended && c->out.told) || (c->linger_ms && now >= c->linger_ms))
                let_go(c);
}

/* For error messages; inet_ntop(3) would bring printf(3). */
static void put_peer(char *text, size_t cap, const union address *a)
{
        const uint8_t *b = (const uint8_t *)&a->v4.sin_addr;
        struct wr w = wr_of(text, cap - 1);

        if (a->any.sa_family == AF_INET6) {
                b = a->v6.sin6_addr.s6_addr;
                for (unsigned i = 0; i < 16; i += 2)
                        wr_fmt(&w, i ? ":%lx" : "[%lx", (unsigned long)(b[i] << 8 | b[i + 1]));
                wr_fmt(&w, "]:%u", ntohs(a->v6.sin6_port));
        } else {
                wr_fmt(&w, "%u.%u.%u.%u:%u", b[0], b[1], b[2], b[3], ntohs(a->v4.sin_port));
        }
        wr_cstr(&w);
}

static struct client *free_client(void)
{
        for (size_t i = 0; i < CLIENTS; i++)
                if (!clients[i].used)
                        return &clients[i];
        return NULL;
}

/* False: the server is gone. */
static bool welcome(struct client *c)
{
        struct msg m = { .type = MSG_VISITOR };
        union address from = { .any.sa_family = AF_UNSPEC };
        socklen_t len = sizeof(from);
        int tcp = accept4(APART_OWN, &from.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int pair[2], r, one = 1;

        if (tcp < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                if (tcp >= 0)
                        close(tcp);
                return true;
        }
        setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        put_peer(m.text, sizeof(m.text), &from);
        r = msg_send(APART_CHANNEL, &m, pair[1]);
        close(pair[1]);
        c->used = true;
        c->tcp = tcp;
        c->unix = pair[0];
        c->in = (struct way){ .to = pair[0] };
        c->out = (struct way){ .to = tcp };
        c->linger_ms = 0;
        if (r < 0)
                let_go(c);
        return r != -EPIPE && r != -ECONNRESET;
}

static void receive_all(void *unused)
{
        (void)unused;
        for (;;) {
                struct client *room = free_client();
                int wait_ms = -1;
                uint64_t now;

                watched[0] = (struct pollfd){ .fd = APART_CHANNEL };
                watched[1] = (struct pollfd){ .fd = room ? APART_OWN : -1, .events = POLLIN };
                for (size_t i = 0; i < CLIENTS; i++) {
                        const struct client *c = &clients[i];

                        watched[2 + 2 * i] = watch(c->used ? c->tcp : -1, &c->in, &c->out);
                        watched[3 + 2 * i] = watch(c->used ? c->unix : -1, &c->out, &c->in);
                        if (c->used && c->linger_ms)
                                wait_ms = LINGER_MS / 4;
                }
                if (poll(watched, COUNT(watched), wait_ms) < 0)
                        continue;
                if (watched[0].revents)
                        return; /* the server ended, and with it all of this */
                now = now_ms();
                for (size_t i = 0; i < CLIENTS; i++)
                        if (clients[i].used)
                                serve(&clients[i], &watched[2 + 2 * i], &watched[3 + 2 * i], now);
                if (room && watched[1].revents && !welcome(room))
                        return;
        }
}

static bool parse(const char *url, union address *a, socklen_t *len)
{
        const char *colon = strrchr(url, ':'), *host = url + 5;
        char text[64] = "";
        uint64_t port;
        size_t n;

        *a = (union address){ .any.sa_family = AF_UNSPEC };
        if (strncmp(url, "ws://", 5) != 0 || colon < host || !digits_parse(colon + 1, UINT16_MAX, &port))
                return false;
        n = (size_t)(colon - host);
        if (n < 3 || n >= sizeof(text))
                return false;
        if (*host != '[') {
                memcpy(text, host, n);
                a->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
                *len = sizeof(a->v4);
                return inet_pton(AF_INET, text, &a->v4.sin_addr) == 1;
        }
        memcpy(text, host + 1, n - 2);
        a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        *len = sizeof(a->v6);
        return host[n - 1] == ']' && inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1;
}

int porch_open(const char *url)
{
        union address a;
        socklen_t len;
        int one = 1;

        if (!parse(url, &a, &len))
                return -EINVAL;
        AUTO_CLOSE int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, &a.any, len) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return apart_start("airlock-porch", fd, receive_all, NULL);
}
