/*
 * netfilter/listen.c - the sockets we were given, and what an accepted connection is.
 */
#include "netfilter/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#define ACCEPTS 32       /* of one listener in one turn */
#define EXPECTED 1024    /* CONNECT messages whose connection has not come yet */
#define EXPECT_MS 5000
#define BACKLOG_MAX 4096 /* what our listeners ask for; net.core.somaxconn may be less */

struct expected {
        uint64_t until_ms; /* 0: free */
        uint16_t port;
        uint32_t pid;
        struct endpoint to;
        char command[120];
};

static struct expected expected[EXPECTED] LARGE_BUFFER;

static bool is_stream(enum listener kind)
{
        return kind != LISTEN_DNS_UDP && kind != LISTEN_DNS_PAIR;
}

static struct ev_ref ref_of(const struct proxy *p, const struct listener_slot *l)
{
        return (struct ev_ref){ .kind = EV_LISTENER, .slot = (uint32_t)(l - p->listeners),
                                .gen = l->gen };
}

/* What an accepted socket inherits, once for all of them. Unix sockets have none of it. */
static void tune(int fd)
{
        int on = 1, idle_s = 60;

        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) < 0)
                return;
}

int listen_add(struct proxy *p, int fd, enum listener kind)
{
        struct listener_slot *l = p->listeners;
        struct listener_slot *end = p->listeners + p->listener_fresh;
        int r = -ENFILE;

        while (l < end && l->fd >= 0)
                l++;
        if (kind >= LISTEN_COUNT || l == p->listeners + LISTENERS)
                goto fail;
        if (l == end)
                p->listener_fresh++;
        *l = (struct listener_slot){ .fd = fd, .kind = kind, .gen = l->gen + 1 };
        if (kind != LISTEN_DNS_PAIR && sock_local(fd, &l->at) < 0)
                l->at = (struct endpoint){ 0 };
        r = sock_nonblocking(fd);
        if (r < 0)
                goto forget;
        if (is_stream(kind))
                tune(fd);
        r = ev_add(p->ev, fd, p->accepting || !is_stream(kind) ? EPOLLIN : 0, ref_of(p, l));
        if (r == 0)
                return 0;
forget:
        l->fd = -1;
fail:
        close(fd);
        return r;
}

void listen_accepting(struct proxy *p, bool on)
{
        if (p->accepting == on)
                return;
        p->accepting = on;
        for (uint32_t i = 0; i < p->listener_fresh; i++) {
                struct listener_slot *l = &p->listeners[i];

                if (l->fd >= 0 && is_stream(l->kind) &&
                    ev_change(p->ev, l->fd, on ? EPOLLIN : 0, ref_of(p, l)) < 0)
                        continue; /* it is told again, or not at all */
        }
}

bool listen_is_own(const struct proxy *p, const struct endpoint *e)
{
        for (uint32_t i = 0; i < p->listener_fresh; i++) {
                const struct listener_slot *l = &p->listeners[i];

                /* LISTEN_LOCAL listens in another namespace, where all addresses are its. */
                if (l->fd < 0 || l->kind == LISTEN_LOCAL || !l->at.address.family ||
                    l->at.port != e->port)
                        continue;
                if (address_equal(&l->at.address, &e->address) ||
                    address_special(&l->at.address) == ADDRESS_THIS_NETWORK)
                        return true;
                /* 127.0.0.2 is no other host than 127.0.0.1. */
                if (address_special(&l->at.address) == ADDRESS_LOOPBACK &&
                    address_special(&e->address) == ADDRESS_LOOPBACK)
                        return true;
                if (address_special(&e->address) == ADDRESS_THIS_NETWORK)
                        return true;
        }
        return false;
}

/* ---- what PID 1's notifier said about a connection ---- */

void listen_expect(struct proxy *p, const struct msg *m)
{
        struct expected *e = expected, *oldest = expected;
        struct wr w;

        for (; e < expected + EXPECTED; e++) {
                if (e->port == m->from_port || e->until_ms <= p->now_ms)
                        break;
                if (e->until_ms < oldest->until_ms)
                        oldest = e;
        }
        if (e == expected + EXPECTED)
                e = oldest;
        *e = (struct expected){ .until_ms = p->now_ms + EXPECT_MS, .port = m->from_port,
                                .pid = m->pid };
        e->to.port = m->to.port;
        if (m->to.family == AF_INET)
                e->to.address = address_of_v4(m->to.bytes);
        else if (m->to.family == AF_INET6)
                e->to.address = address_of_v6(m->to.bytes);
        w = wr_of(e->command, sizeof(e->command) - 1);
        wr_bytes(&w, m->text, strnlen(m->text, sizeof(e->command) - 1));
        wr_cstr(&w);
}

/* Those that wait, and none that comes while we look: as many as a backlog holds. */
static void reset_waiting(const struct listener_slot *l)
{
        for (unsigned n = 0; n <= BACKLOG_MAX; n++) {
                int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

                if (fd >= 0)
                        sock_reset(fd);
                else if (errno == EAGAIN)
                        return;
        }
}

static void drop_queries(const struct listener_slot *l)
{
        char byte;

        for (unsigned n = 0; n <= BACKLOG_MAX; n++) {
                if (recv(l->fd, &byte, 1, MSG_DONTWAIT) < 0)
                        return;
        }
}

void listen_drop_waiting(struct proxy *p)
{
        memset(expected, 0, sizeof(expected));
        for (uint32_t i = 0; i < p->listener_fresh; i++) {
                const struct listener_slot *l = &p->listeners[i];

                if (l->fd >= 0 && is_stream(l->kind))
                        reset_waiting(l);
                else if (l->fd >= 0)
                        drop_queries(l);
        }
}

static bool take_expected(struct proxy *p, struct conn *c, struct endpoint *to)
{
        struct endpoint from;

        if (sock_peer(c->client.fd, &from) < 0)
                return false;
        for (struct expected *e = expected; e < expected + EXPECTED; e++) {
                if (e->port != from.port || e->until_ms <= p->now_ms)
                        continue;
                *to = e->to;
                c->pid = e->pid;
                memcpy(c->command, e->command, sizeof(c->command));
                *e = (struct expected){ 0 };
                return to->address.family != 0;
        }
        return false;
}

/* ---- accepting ---- */

/* Where a transparent connection was going. False: nowhere that we could tell. */
static bool where_to(struct proxy *p, const struct listener_slot *l, struct conn *c,
                     struct endpoint *to)
{
        struct endpoint local;

        if (l->kind == LISTEN_NOTIFIED)
                return take_expected(p, c, to);
        if (l->kind == LISTEN_LOCAL)
                return sock_local(c->client.fd, to) == 0 && to->address.family;
        /* Somebody who came to our own address was not redirected: it would come round. */
        return sock_original(c->client.fd, to) == 0 && sock_local(c->client.fd, &local) == 0 &&
               !endpoint_equal(to, &local);
}

static void begin(struct proxy *p, const struct listener_slot *l, int fd)
{
        struct conn *c = conn_new(p, fd);
        struct endpoint to;

        if (!c) {
                sock_reset(fd);
                return;
        }
        conn_wait(p, c, WAIT_HEAD);
        if (l->kind == LISTEN_PROXY || l->kind == LISTEN_DNS_TCP) {
                if (l->kind == LISTEN_DNS_TCP) {
                        c->door = DOOR_DNS;
                        conn_go(c, CONN_DNS);
                }
                conn_arm_buffers(p, c);
                return;
        }
        c->door = DOOR_DIRECT;
        if (!where_to(p, l, c, &to)) {
                conn_refuse(p, c, POLICY_DENY_ADDRESS, "nobody knows where it was going");
                return;
        }
        door_direct(p, c, &to);
}

void listen_client(struct proxy *p, int fd)
{
        struct conn *c = sock_nonblocking(fd) < 0 ? NULL : conn_new(p, fd);

        if (!c) {
                close(fd);
                return;
        }
        c->model = true;
        conn_wait(p, c, WAIT_HEAD);
        conn_arm_buffers(p, c);
}

static void accept_some(struct proxy *p, struct listener_slot *l)
{
        int most = l->busy ? ACCEPTS : 1;
        int taken = 0;

        for (; taken < most && p->accepting; taken++) {
                int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                               errno == ENOMEM)) {
                        /* Until somebody ends, or a while; they wait in the backlog. */
                        listen_accepting(p, false);
                        p->retry_ms = p->now_ms + ACCEPT_RETRY_MS;
                        return;
                }
                if (fd < 0 && errno == EAGAIN)
                        break;
                if (fd >= 0) /* else: that one is gone already */
                        begin(p, l, fd);
        }
        /* One at a time is one call each; when more wait, the next turn takes them all. */
        l->busy = taken > 1 || (taken && p->now_ms == l->last_ms);
        l->last_ms = p->now_ms;
}

void listen_event(struct proxy *p, struct ev_ref ref, uint32_t events)
{
        struct listener_slot *l = &p->listeners[ref.slot % LISTENERS];

        if (l->gen != ref.gen || l->fd < 0)
                return;
        if (l->kind == LISTEN_DNS_UDP) {
                answer_udp(p, l);
        } else if (l->kind == LISTEN_DNS_PAIR) {
                if ((events & EPOLLIN && answer_pair(p, l)) || !(events & (EPOLLHUP | EPOLLERR)))
                        return;
                close(l->fd);
                l->fd = -1;
        } else if (events & EPOLLIN) {
                accept_some(p, l);
        }
}
