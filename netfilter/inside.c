/* netfilter/inside.c - the proxy's listeners inside the command's network namespace. */
#include "netfilter/inside.h"

#include "base/msg.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#define BACKLOG 4096
#define FREEBIND_V6 78 /* IPV6_FREEBIND; not in every libc's headers */
#define ANSWER_MS 5000

/* HTTP, HTTPS, ssh, git, and nothing that a database or a server under test likes. */
static const uint16_t usual_ports[] = { 80, 443, 22, 9418 };

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
};

struct place {
        int family, type;
        bool loopback; /* else every address */
        uint16_t port;
};

static socklen_t address_of(const struct place *p, union address *a)
{
        if (p->family == AF_INET) {
                a->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(p->port) };
                a->v4.sin_addr.s_addr = htonl(p->loopback ? INADDR_LOOPBACK : INADDR_ANY);
                return sizeof(a->v4);
        }
        a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(p->port) };
        a->v6.sin6_addr = p->loopback ? in6addr_loopback : in6addr_any;
        return sizeof(a->v6);
}

static int set(int fd, int level, int name)
{
        int on = 1;

        return setsockopt(fd, level, name, &on, sizeof(on)) < 0 ? -errno : 0;
}

/*
 * An answer must come from the address that was asked: the proxy needs to know it. IPv6
 * lets nobody answer from an address that only a route makes local.
 */
static int tell_addresses(int fd, const struct place *p)
{
        int r;

        if (p->type != SOCK_DGRAM)
                return set(fd, SOL_SOCKET, SO_REUSEADDR);
        if (p->family == AF_INET)
                return set(fd, IPPROTO_IP, IP_PKTINFO);
        r = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
        return r < 0 ? r : set(fd, IPPROTO_IPV6, FREEBIND_V6);
}

/* A bound, listening socket, or -errno. */
static int open_at(const struct place *p)
{
        AUTO_CLOSE int fd = socket(p->family, p->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        union address a;
        socklen_t len = address_of(p, &a);
        int r;

        if (fd < 0)
                return -errno;
        r = p->family == AF_INET6 ? set(fd, IPPROTO_IPV6, IPV6_V6ONLY) : 0;
        if (!r)
                r = tell_addresses(fd, p);
        if (r < 0)
                return r;
        if (bind(fd, &a.any, len) < 0 || (p->type == SOCK_STREAM && listen(fd, BACKLOG) < 0))
                return -errno;
        return fd_take(&fd);
}

struct handing {
        int proxy;
        unsigned sent;
};

static int hand_over(struct handing *h, const struct place *p, enum listener kind)
{
        struct msg m = { .type = MSG_LISTENER, .kind = kind };
        AUTO_CLOSE int fd = open_at(p);
        int r;

        if (fd < 0)
                return fd;
        r = msg_send(h->proxy, &m, fd);
        h->sent += !r;
        return r;
}

/* The same at both families; a namespace without IPv6 has one less way to the proxy. */
static int hand_over_both(struct handing *h, struct place p, enum listener kind)
{
        int r;

        p.family = AF_INET;
        r = hand_over(h, &p, kind);
        if (r < 0)
                return r;
        p.family = AF_INET6;
        r = hand_over(h, &p, kind);
        return r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL ? 0 : r;
}

static int collect_answers(const struct handing *h)
{
        for (unsigned i = 0; i < h->sent; i++) {
                struct pollfd p = { .fd = h->proxy, .events = POLLIN };
                struct msg answer = { 0 };
                int fd, r = poll(&p, 1, ANSWER_MS);

                if (r <= 0)
                        return r ? -errno : -ETIMEDOUT;
                r = msg_receive(h->proxy, &answer, &fd);
                if (r < 0)
                        return r;
                if (fd >= 0)
                        close(fd);
                if (answer.type != MSG_DONE || answer.error)
                        return answer.type == MSG_DONE ? -answer.error : -EPROTO;
        }
        return 0;
}

static int hand_over_ports(struct handing *h, const uint16_t *ports, size_t count)
{
        int r = 0;

        for (size_t i = 0; i < count && !r; i++) {
                r = hand_over_both(h, (struct place){ .type = SOCK_STREAM, .port = ports[i] },
                                   LISTEN_LOCAL);
                if (r == -EADDRINUSE)
                        r = 0; /* named twice */
        }
        return r;
}

uint16_t inside_redirect_port(const struct inside *in)
{
        return (uint16_t)(in->http_port == UINT16_MAX ? UINT16_MAX - 1 : in->http_port + 1);
}

int inside_listen(struct inside *in, const char **stage)
{
        struct handing h = { .proxy = in->proxy };
        struct place http = { .type = SOCK_STREAM, .loopback = true, .port = in->http_port };
        struct place redirect = { .type = SOCK_STREAM, .loopback = true,
                                  .port = inside_redirect_port(in) };
        struct place dns = { .type = SOCK_DGRAM, .port = INSIDE_DNS_PORT };
        int r;

        *stage = "listen for proxy clients";
        r = hand_over_both(&h, http, LISTEN_PROXY);
        if (r < 0)
                return r;
        *stage = "listen for DNS";
        r = hand_over_both(&h, dns, LISTEN_DNS_UDP);
        dns.type = SOCK_STREAM;
        if (!r)
                r = hand_over_both(&h, dns, LISTEN_DNS_TCP);
        if (r < 0)
                return r;
        *stage = "listen for connections";
        if (in->redirected)
                r = hand_over_both(&h, redirect, LISTEN_REDIRECTED);
        else
                r = hand_over_ports(&h, usual_ports, COUNT(usual_ports));
        if (!r && !in->redirected)
                r = hand_over_ports(&h, in->ports, in->port_count);
        if (r < 0)
                return r;
        *stage = "hand the listeners to the proxy";
        return collect_answers(&h);
}
