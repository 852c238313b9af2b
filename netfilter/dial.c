/*
 * netfilter/dial.c - from a name that is allowed to a connected socket.
 *
 * The addresses that the policy lets through are tried one after the other; the one that
 * was checked is the one that is dialled. With an upstream proxy the name is resolved and
 * checked all the same, as far as the container's resolver knows it, and the dialled
 * address is the upstream's. A name that only the upstream can resolve is the upstream's to
 * check; of those that no pattern names, private ones (metadata.google.internal) are not left
 * to it.
 */
#include "netfilter/conn.h"

#include "base/rd.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

static void dial_next(struct proxy *p, struct conn *c);

static bool same_target(const struct conn *c)
{
        const struct host *a = &c->reached, *b = &c->verdict.host;

        if (c->reached_port != c->verdict.port || a->literal != b->literal)
                return false;
        return a->literal ? address_equal(&a->address, &b->address)
                          : name_equal(&a->name, &b->name);
}

static void add_address(struct proxy *p, struct conn *c, const struct address *a)
{
        enum policy_reason reason = policy_address(conn_policy(p, c), &c->verdict, a);

        if (reason != POLICY_ALLOWED)
                c->refused_all = (uint8_t)reason;
        else if (c->address_count < CONN_ADDRESSES)
                c->addresses[c->address_count++] = *a;
}

static void look_up(struct proxy *p, struct conn *c, const struct name *name)
{
        struct resolved r;

        conn_go(c, CONN_RESOLVE);
        conn_no_deadline(c); /* the resolver has its own */
        conn_arm_client(p, c);
        if (resolve_start(name, &c->waiter, &r, p->now_ms) != RESOLVE_WAIT)
                conn_resolved(p, c, &r);
}

static void dial_parent(struct proxy *p, struct conn *c)
{
        c->parent = true;
        c->to_parent = true;
        c->address_count = 0;
        if (!conn_policy(p, c)->upstream.literal) {
                look_up(p, c, &conn_policy(p, c)->upstream.name);
                return;
        }
        c->addresses[c->address_count++] = conn_policy(p, c)->upstream.address;
        dial_next(p, c);
}

void conn_reach(struct proxy *p, struct conn *c)
{
        /* Whoever is looked into is dialled when a request of his was allowed. */
        if (!c->look && !c->told && c->verdict.needs_inspection && c->verdict.port != 80 &&
            (c->door == DOOR_CONNECT || c->door == DOOR_SOCKS)) {
                conn_reached(p, c);
                return;
        }
        if (c->reached_port && same_target(c) && !c->server.eof) {
                conn_reached(p, c);
                return;
        }
        conn_drop_server(c);
        c->address_count = 0;
        c->address_at = 0;
        c->refused_all = POLICY_ALLOWED;
        c->parent = false;
        c->to_parent = false;
        c->dialled = (struct endpoint){ 0 };
        if (!c->verdict.host.literal) {
                look_up(p, c, &c->verdict.host.name);
                return;
        }
        add_address(p, c, &c->verdict.host.address);
        if (c->refused_all != POLICY_ALLOWED) {
                conn_refuse(p, c, (enum policy_reason)c->refused_all, NULL);
                return;
        }
        if (conn_policy(p, c)->upstream_port)
                dial_parent(p, c);
        else
                dial_next(p, c);
}

void conn_resolved(struct proxy *p, struct conn *c, const struct resolved *r)
{
        if (c->to_parent) {
                /* The operator named this host: no range is too special for it. */
                for (size_t i = 0; i < r->count && c->address_count < CONN_ADDRESSES; i++)
                        c->addresses[c->address_count++] = r->addresses[i];
                if (!c->address_count)
                        conn_refuse(p, c, POLICY_DENY_UPSTREAM, "upstream proxy: no address");
                else
                        dial_next(p, c);
                return;
        }
        for (size_t i = 0; i < r->count; i++)
                add_address(p, c, &r->addresses[i]);
        if (!c->address_count && c->refused_all != POLICY_ALLOWED)
                conn_refuse(p, c, (enum policy_reason)c->refused_all,
                            "the name leads to a special address");
        else if (!c->address_count && conn_policy(p, c)->upstream_port && !c->verdict.named &&
                 name_is_private(&c->verdict.host.name))
                conn_refuse(p, c, POLICY_DENY_ADDRESS,
                            "a private name, and only the upstream proxy knows where it leads");
        else if (conn_policy(p, c)->upstream_port)
                dial_parent(p, c);
        else if (!c->address_count)
                conn_refuse(p, c, POLICY_DENY_RESOLVE, resolve_status_str(r->status));
        else
                dial_next(p, c);
}

static const char *connect_error(int err)
{
        switch (err) {
        case ECONNREFUSED:
                return "connection refused";
        case ENETUNREACH:
        case EHOSTUNREACH:
                return "no route to it";
        case EMFILE:
        case ENFILE:
                return "no descriptor is free";
        case ELOOP:
                return "it is this proxy";
        default:
                return "connect failed";
        }
}

static void all_failed(struct proxy *p, struct conn *c, int err)
{
        bool ours = err == EMFILE || err == ENFILE;

        conn_refuse(p, c,
                    ours           ? POLICY_DENY_LIMIT
                    : err == ELOOP ? POLICY_DENY_ADDRESS
                                   : POLICY_DENY_UPSTREAM,
                    err == ETIMEDOUT ? "no answer to connect" : connect_error(err));
}

static void connected(struct proxy *p, struct conn *c)
{
        c->reached = c->verdict.host;
        c->reached_port = c->verdict.port;
        if (!c->parent) {
                conn_reached(p, c);
                return;
        }
        conn_go(c, CONN_PARENT);
        conn_parent_event(p, c);
}

/* 0: under way or done; -errno: this address will not do. */
static int dial_one(struct proxy *p, struct conn *c)
{
        int fd, r;

        c->dialled.address = c->addresses[c->address_at++];
        c->dialled.port = c->parent ? conn_policy(p, c)->upstream_port : c->verdict.port;
        if (listen_is_own(p, &c->dialled))
                return -ELOOP;
        fd = sock_outside(&c->dialled.address, SOCK_STREAM);
        if (fd < 0)
                return fd;
        c->server = (struct side){ .fd = fd };
        r = sock_connect(fd, &c->dialled);
        if (r < 0) {
                conn_drop_server(c);
                return r;
        }
        return 0;
}

static void dial_next(struct proxy *p, struct conn *c)
{
        int r = -EHOSTUNREACH;

        conn_go(c, CONN_DIAL);
        while (c->address_at < c->address_count) {
                r = dial_one(p, c);
                if (r < 0)
                        continue;
                /* On loopback and in one's own network the answer is often there already. */
                r = sock_progress(c->server.fd, &c->dialled);
                if (r == 0) {
                        connected(p, c);
                        return;
                }
                if (r == -EALREADY) {
                        conn_wait(p, c, c->address_at == c->address_count ? WAIT_DIAL : WAIT_STEP);
                        conn_arm_client(p, c);
                        conn_arm(p, c, &c->server, EPOLLOUT);
                        return;
                }
                conn_drop_server(c);
        }
        all_failed(p, c, -r);
}

void conn_dial_event(struct proxy *p, struct conn *c)
{
        int r = sock_error(c->server.fd);

        if (r == 0) {
                connected(p, c);
                return;
        }
        conn_drop_server(c);
        if (c->address_at < c->address_count)
                dial_next(p, c);
        else
                all_failed(p, c, -r);
}

void conn_dial_late(struct proxy *p, struct conn *c)
{
        conn_drop_server(c);
        if (c->address_at < c->address_count)
                dial_next(p, c);
        else
                all_failed(p, c, ETIMEDOUT);
}

/* ---- the upstream proxy ---- */

static void put_base64(struct wr *w, const char *text)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        struct rd r = rd_of(text, strlen(text));

        while (rd_left(&r)) {
                size_t n = rd_left(&r) < 3 ? rd_left(&r) : 3;
                uint32_t a = rd_u8(&r), b = n > 1 ? rd_u8(&r) : 0, d = n > 2 ? rd_u8(&r) : 0;
                uint32_t word = a << 16 | b << 8 | d;

                for (size_t i = 0; i < 4; i++)
                        wr_bytes(w, i <= n ? &digits[word >> (18 - 6 * i) & 63] : "=", 1);
        }
}

static void put_authority(struct wr *w, const struct conn *c)
{
        bool v6 = c->verdict.host.literal && c->verdict.host.address.family == 6;

        wr_str(w, v6 ? "[" : "");
        host_put(w, &c->verdict.host);
        wr_fmt(w, v6 ? "]:%u" : ":%u", (unsigned)c->verdict.port);
}

/* Everything goes through CONNECT: what we check and what the upstream sees are one. */
static bool ask_parent(struct proxy *p, struct conn *c)
{
        char head[2048];
        struct wr w = wr_of(head, sizeof(head));
        const char *auth = conn_policy(p, c)->upstream_auth;
        const char *value = auth ? control_secret(auth) : NULL;
        bool ok;

        wr_str(&w, "CONNECT ");
        put_authority(&w, c);
        wr_str(&w, " HTTP/1.1\r\nHost: ");
        put_authority(&w, c);
        wr_str(&w, "\r\n");
        if (value) {
                wr_str(&w, "Proxy-Authorization: Basic ");
                put_base64(&w, value);
                wr_str(&w, "\r\n");
        }
        wr_str(&w, "\r\n");
        ok = (!auth || value) && !w.full &&
             write(c->server.fd, head, w.len) == (ssize_t)w.len; /* a new socket has room */
        explicit_bzero(head, sizeof(head));
        return ok;
}

void conn_parent_event(struct proxy *p, struct conn *c)
{
        struct http1 h;
        enum http1_status s;
        size_t scanned = 0;
        ssize_t n;

        if (!c->server.armed || c->server.armed == EPOLLOUT) { /* nothing asked yet */
                conn_wait(p, c, WAIT_DIAL);
                if (!ask_parent(p, c)) {
                        conn_refuse(p, c, POLICY_DENY_UPSTREAM, "upstream proxy: not asked");
                        return;
                }
                conn_arm(p, c, &c->server, EPOLLIN);
                return;
        }
        n = conn_read(&c->server, &c->down_in);
        if (n < 0 || c->server.eof) {
                conn_refuse(p, c, POLICY_DENY_UPSTREAM, "upstream proxy: closed");
                return;
        }
        if (!c->down_in)
                return;
        s = http1_parse_response(&h, (char *)c->down_in->bytes + c->down_in->from,
                                 buf_len(c->down_in), &scanned, "CONNECT", 7);
        if (s == HTTP1_MORE)
                return;
        if (s != HTTP1_OK) {
                conn_refuse(p, c, POLICY_DENY_UPSTREAM, "upstream proxy: not HTTP");
                return;
        }
        if (h.code / 100 != 2) {
                conn_refuse(p, c, POLICY_DENY_UPSTREAM,
                            h.code == 407 ? "upstream proxy: wants other credentials"
                                          : "upstream proxy: refused");
                return;
        }
        buf_used(c->down_in, h.head_len);
        if (!buf_len(c->down_in))
                buf_give(&c->down_in);
        conn_reached(p, c);
}
