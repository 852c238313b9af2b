/* netfilter/conn.c - the table of connections, their sides, and how they end. */
#include "netfilter/conn.h"

#include "base/log.h"
#include "netfilter/look.h"
#include "netfilter/names.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const uint32_t conn_next[CONN_STATES] = {
        [CONN_FREE] = BIT(CONN_GREET),
        [CONN_GREET] = BIT(CONN_SOCKS) | BIT(CONN_HEAD) | BIT(CONN_PEEK) | BIT(CONN_RESOLVE) |
                       BIT(CONN_DIAL) | BIT(CONN_DNS) | BIT(CONN_LINGER),
        [CONN_SOCKS] = BIT(CONN_RESOLVE) | BIT(CONN_DIAL) | BIT(CONN_PEEK) | BIT(CONN_LINGER),
        [CONN_HEAD] = BIT(CONN_RESOLVE) | BIT(CONN_DIAL) | BIT(CONN_EXCHANGE) |
                      BIT(CONN_PEEK) | BIT(CONN_LINGER) | BIT(CONN_LOOK),
        [CONN_PEEK] = BIT(CONN_RESOLVE) | BIT(CONN_DIAL) | BIT(CONN_TUNNEL) | BIT(CONN_HEAD) |
                      BIT(CONN_LOOK) | BIT(CONN_LINGER),
        [CONN_RESOLVE] = BIT(CONN_RESOLVE) | BIT(CONN_DIAL) | BIT(CONN_LINGER) |
                         BIT(CONN_HEAD) | BIT(CONN_LOOK),
        [CONN_DIAL] = BIT(CONN_PARENT) | BIT(CONN_PEEK) | BIT(CONN_HEAD) | BIT(CONN_TUNNEL) |
                      BIT(CONN_EXCHANGE) | BIT(CONN_LINGER) | BIT(CONN_DIAL) | BIT(CONN_LOOK),
        [CONN_PARENT] = BIT(CONN_PEEK) | BIT(CONN_HEAD) | BIT(CONN_TUNNEL) |
                        BIT(CONN_EXCHANGE) | BIT(CONN_LINGER) | BIT(CONN_LOOK),
        [CONN_LOOK] = BIT(CONN_RESOLVE) | BIT(CONN_DIAL) | BIT(CONN_LOOK) | BIT(CONN_LINGER),
        [CONN_EXCHANGE] = BIT(CONN_HEAD) | BIT(CONN_TUNNEL) | BIT(CONN_LINGER),
        [CONN_TUNNEL] = 0,
        [CONN_LINGER] = 0,
        [CONN_DNS] = 0,
};

void conn_go(struct conn *c, enum conn_state to)
{
        if (!(conn_next[c->state] & BIT(to))) /* assert(3) would bring stdio: 13 KB */
                die(STATUS_LOCK, "a connection can't go from state %u to %u", c->state, to);
        c->state = to;
}

int conn_open_table(struct proxy *p)
{
        static const uint32_t spans_ms[WAIT_COUNT] = {
                [WAIT_STEP] = 2000,   [WAIT_LINGER] = 5000, [WAIT_DIAL] = 10000,
                [WAIT_HEAD] = 30000,  [WAIT_IDLE] = 60000,  [WAIT_HALF] = 300000,
                [WAIT_STALL] = 600000,
        };
        /* Pages come with use: a quiet proxy has the first few. */
        void *at = mmap(NULL, sizeof(struct conn) * CONN_COUNT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
                return -errno;
        madvise(at, sizeof(struct conn) * CONN_COUNT, MADV_NOHUGEPAGE);
        p->conns = at;
        for (size_t i = 0; i < WAIT_COUNT; i++)
                ev_queue_init(&p->waits[i], spans_ms[i]);
        return 0;
}

static struct ev_ref ref_of(const struct proxy *p, const struct conn *c, enum ev_kind kind)
{
        return (struct ev_ref){ .kind = (uint8_t)kind, .slot = (uint32_t)(c - p->conns),
                                .gen = c->gen };
}

struct conn *conn_new(struct proxy *p, int fd)
{
        struct conn *c;
        uint32_t gen;

        if (p->free_count) {
                c = &p->conns[p->free_conns[--p->free_count]];
        } else if (p->conn_fresh < p->conn_limit) {
                c = &p->conns[p->conn_fresh++];
        } else {
                return NULL;
        }
        gen = c->gen;
        *c = (struct conn){ .gen = gen, .start_ms = p->now_ms };
        c->client.fd = fd;
        c->server.fd = -1;
        c->up_pipe = (struct pipe){ -1, -1, 0 };
        c->down_pipe = c->up_pipe;
        conn_go(c, CONN_GREET);
        p->conn_count++;
        if (p->conn_count == p->conn_limit)
                listen_accepting(p, false);
        return c;
}

void conn_wait(struct proxy *p, struct conn *c, enum deadline d)
{
        ev_arm(&p->waits[d], &c->timer, p->now_ms);
}

void conn_no_deadline(struct conn *c)
{
        ev_disarm(&c->timer);
}

static void side_close(struct side *s, bool hard)
{
        if (s->fd < 0)
                return;
        if (hard)
                sock_reset(s->fd);
        else
                close(s->fd);
        *s = (struct side){ .fd = -1 };
}

void conn_drop_server(struct conn *c)
{
        side_close(&c->server, false);
        buf_give(&c->down_in);
        c->reached_port = 0;
}

static void conn_end(struct proxy *p, struct conn *c, bool hard)
{
        if (c->client.fd < 0)
                return; /* ended already; one that was refused at once was never more than FREE */
        if (c->relayed)
                conn_report(p, c, POLICY_ALLOWED, NULL);
        exchange_drop(c);
        look_cut(p, c);
        resolve_cancel(&c->waiter);
        ev_disarm(&c->timer);
        side_close(&c->client, hard);
        side_close(&c->server, hard);
        buf_give(&c->up_in);
        buf_give(&c->up_out);
        buf_give(&c->down_in);
        buf_give(&c->down_out);
        pipe_give(&c->up_pipe);
        pipe_give(&c->down_pipe);
        if (c->synthetic)
                names_release(c->synthetic);
        c->state = CONN_FREE;
        c->gen++;
        p->free_conns[p->free_count++] = (uint32_t)(c - p->conns);
        p->conn_count--;
        if (!p->accepting)
                listen_accepting(p, true);
}

void conn_close(struct proxy *p, struct conn *c)
{
        conn_end(p, c, false);
}

void conn_reset(struct proxy *p, struct conn *c)
{
        conn_end(p, c, true);
}

void conn_reset_all(struct proxy *p)
{
        for (uint32_t i = 0; i < p->conn_fresh; i++)
                conn_reset(p, &p->conns[i]);
}

void conn_arm(struct proxy *p, struct conn *c, struct side *s, uint32_t events)
{
        struct ev_ref ref = ref_of(p, c, s == &c->client ? EV_CLIENT : EV_SERVER);

        if (s->fd < 0 || s->armed == events)
                return; /* equal and not watched: both none */
        if (s->watched ? ev_change(p->ev, s->fd, events, ref) < 0
                       : ev_add(p->ev, s->fd, events, ref) < 0)
                return; /* out of watches: the deadline ends it */
        s->watched = true;
        s->armed = events;
}

bool conn_lost(struct proxy *p, struct conn *c, struct side *s, uint32_t events)
{
        if (!(events & (EPOLLHUP | EPOLLERR)) || s->armed & EPOLLIN)
                return false; /* reading tells */
        if (events & EPOLLERR) {
                conn_reset(p, c);
                return true;
        }
        /* Hang-up is told again and again; it can wait until there is room to read. */
        ev_remove(p->ev, s->fd);
        s->watched = false;
        s->armed = 0;
        return true;
}

static bool has_room(const struct buf *b)
{
        return !b || b->to < BUF_LEN || b->from;
}

void conn_arm_client(struct proxy *p, struct conn *c)
{
        uint32_t events = 0;

        if (!c->client.eof && has_room(c->up_in))
                events |= EPOLLIN;
        if (buf_len(c->down_out))
                events |= EPOLLOUT;
        conn_arm(p, c, &c->client, events);
}

void conn_arm_buffers(struct proxy *p, struct conn *c)
{
        uint32_t events = 0;

        /* HEAD: a kept connection that has something to say is over. */
        if (!c->server.eof && has_room(c->down_in) &&
            (c->state == CONN_EXCHANGE || c->state == CONN_HEAD))
                events |= EPOLLIN;
        if (buf_len(c->up_out) && c->state == CONN_EXCHANGE && !c->x.refs)
                events |= EPOLLOUT;
        conn_arm(p, c, &c->server, events);
        conn_arm_client(p, c);
}

ssize_t conn_read(struct side *s, struct buf **b)
{
        size_t room;
        uint8_t *at;
        ssize_t n;

        if (!*b)
                *b = buf_take();
        if (!*b)
                return -ENOBUFS;
        at = buf_room(*b, &room);
        if (!room)
                return 0;
        n = read(s->fd, at, room);
        if (n < 0)
                n = errno == EAGAIN || errno == EINTR ? 0 : -errno;
        else if (!n)
                s->eof = true;
        else
                buf_put(*b, (size_t)n);
        if (!buf_len(*b))
                buf_give(b);
        return n;
}

int conn_flush(struct side *s, struct buf **b)
{
        while (*b && buf_len(*b)) {
                ssize_t n = write(s->fd, (*b)->bytes + (*b)->from, buf_len(*b));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? 0 : -errno;
                buf_used(*b, (size_t)n);
        }
        buf_give(b);
        return 0;
}

bool conn_put(struct buf **b, const char *text, size_t len)
{
        size_t room;
        uint8_t *at;

        if (!*b)
                *b = buf_take();
        if (!*b)
                return false;
        at = buf_room(*b, &room);
        if (len > room)
                return false;
        memcpy(at, text, len);
        buf_put(*b, len);
        return true;
}

static const char *door_name(enum door d)
{
        switch (d) {
        case DOOR_HTTP:
                return "http";
        case DOOR_CONNECT:
                return "connect";
        case DOOR_SOCKS:
                return "socks";
        case DOOR_DIRECT:
                return "direct";
        case DOOR_DNS:
                return "dns";
        }
        return NULL;
}

void conn_report(struct proxy *p, struct conn *c, enum policy_reason reason,
                 const char *detail)
{
        const struct exchange *x = &c->x;
        struct net_event e = {
                .door = c->model ? "model" : door_name(c->door),
                .host = c->known ? &c->verdict.host : NULL,
                .port = c->known ? c->verdict.port : 0,
                .dialled = &c->dialled,
                .up = c->up,
                .down = c->down,
                .duration_ms = p->now_ms - c->start_ms,
                .reason = reason,
                .detail = detail,
                .rule = c->known ? c->verdict.rule : -1,
                .pid = c->pid,
                .command = c->command,
        };

        if (x->method_len) {
                e.ask.method = x->method;
                e.ask.method_len = x->method_len;
                e.ask.path = x->path;
                e.ask.path_len = x->path_len;
                e.code = x->code;
                if (c->state != CONN_TUNNEL) {
                        e.up = x->up;
                        e.down = x->down;
                }
                e.duration_ms = p->now_ms - x->start_ms;
                if (x->rule >= 0)
                        e.rule = x->rule;
        }
        journal_net(&e, conn_policy(p, c), p->now_ms);
        c->relayed = false;
}

bool conn_decide(struct proxy *p, struct conn *c, const struct host *h, uint16_t port)
{
        c->verdict = policy_host(conn_policy(p, c), h, port);
        c->verdict.host = *h;
        c->verdict.port = port;
        c->known = true;
        if (c->verdict.reason == POLICY_ALLOWED)
                return true;
        conn_refuse(p, c, c->verdict.reason, NULL);
        return false;
}

void conn_linger(struct proxy *p, struct conn *c)
{
        conn_go(c, CONN_LINGER);
        exchange_drop(c);
        resolve_cancel(&c->waiter);
        conn_drop_server(c);
        buf_give(&c->up_out);
        conn_wait(p, c, WAIT_LINGER);
        conn_linger_event(p, c);
}

void conn_linger_event(struct proxy *p, struct conn *c)
{
        buf_give(&c->up_in);
        if (conn_flush(&c->client, &c->down_out) < 0) {
                conn_close(p, c);
                return;
        }
        if (!c->down_out && !c->client.shut) {
                shutdown(c->client.fd, SHUT_WR);
                c->client.shut = true;
        }
        if (c->client.eof && c->client.shut)
                conn_close(p, c);
        else
                conn_arm_buffers(p, c);
}

/* RFC 1928: 1 general failure, 2 not allowed by ruleset, 4 host unreachable, 5 refused. */
static char socks_code(enum policy_reason reason)
{
        if (reason == POLICY_DENY_RESOLVE)
                return 4;
        if (reason == POLICY_DENY_UPSTREAM)
                return 5;
        if (reason == POLICY_DENY_LIMIT || reason == POLICY_DENY_REQUEST)
                return 1;
        return 2;
}

void conn_refuse(struct proxy *p, struct conn *c, enum policy_reason reason,
                 const char *detail)
{
        char reply[10] = { 5, socks_code(reason), 0, 1 };

        if (c->look) {
                look_refused(p, c, reason, detail);
                return;
        }
        switch (c->door) {
        case DOOR_HTTP:
                exchange_refuse(p, c, reason, detail);
                return;
        case DOOR_CONNECT:
                if (!c->told || c->fixed) {
                        exchange_refuse(p, c, reason, detail);
                        return;
                }
                break;
        case DOOR_SOCKS:
                if (c->fixed) {
                        exchange_refuse(p, c, reason, detail);
                        return;
                }
                if (!c->told && conn_put(&c->down_out, reply, sizeof(reply))) {
                        conn_report(p, c, reason, detail);
                        conn_linger(p, c);
                        return;
                }
                break;
        case DOOR_DIRECT:
                if (c->fixed) {
                        exchange_refuse(p, c, reason, detail);
                        return;
                }
                break;
        case DOOR_DNS:
                break;
        }
        conn_report(p, c, reason, detail);
        conn_reset(p, c);
}
