/*
 * netfilter/door.c - how a connection begins: SOCKS5, CONNECT, or where the kernel says.
 *
 * Whatever the door, the policy has the last word before a name is resolved, and the first
 * bytes have to be what the port promises: TLS with the name as its SNI on 443, HTTP with
 * the name as its Host on 80, unless the rule is raw.
 */
#include "netfilter/conn.h"

#include "base/rd.h"
#include "netfilter/look.h"
#include "netfilter/names.h"
#include "netfilter/sni.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* LISTEN_PROXY: 5 is SOCKS, a letter begins an HTTP method. */
void door_greet(struct proxy *p, struct conn *c)
{
        if (!c->up_in) {
                if (c->client.eof)
                        conn_close(p, c);
                return;
        }
        if (c->up_in->bytes[c->up_in->from] == 5) {
                c->door = DOOR_SOCKS;
                conn_go(c, CONN_SOCKS);
                door_socks(p, c);
                return;
        }
        c->door = DOOR_HTTP;
        conn_go(c, CONN_HEAD);
        exchange_init(c);
        exchange_pump(p, c);
}

/* ---- SOCKS5 (RFC 1928), without authentication ---- */

/* 1: taken; 0: more is needed; -1: not SOCKS5 as we speak it. */
static int socks_greeting(struct conn *c)
{
        struct rd r = rd_of(c->up_in->bytes + c->up_in->from, buf_len(c->up_in));
        const uint8_t *methods;
        size_t count;

        if (rd_left(&r) < 2)
                return 0;
        if (rd_u8(&r) != 5)
                return -1;
        count = rd_u8(&r);
        methods = rd_bytes(&r, count);
        if (!methods)
                return 0;
        /* curl offers more than one; "none" has to be among them. */
        if (!count || !memchr(methods, 0, count)) {
                (void)conn_put(&c->down_out, "\5\377", 2);
                return -1;
        }
        buf_used(c->up_in, 2 + count);
        return conn_put(&c->down_out, "\5\0", 2) ? 1 : -1;
}

static int socks_host(struct rd *r, struct host *h, enum name_status *s)
{
        uint8_t version, command, type;
        const uint8_t *b;

        if (rd_left(r) < 4)
                return 0;
        version = rd_u8(r);
        command = rd_u8(r);
        if (version != 5 || command != 1) /* CONNECT alone */
                return -1;
        rd_u8(r);
        type = rd_u8(r);
        *h = (struct host){ .literal = type != 3 };
        *s = NAME_OK;
        if (type == 1) {
                b = rd_bytes(r, 4);
                if (b)
                        h->address = address_of_v4(b);
        } else if (type == 4) {
                b = rd_bytes(r, 16);
                if (b)
                        h->address = address_of_v6(b);
        } else if (type == 3) {
                size_t len = rd_u8(r);

                b = rd_bytes(r, len);
                if (b)
                        *s = host_parse(h, (const char *)b, len);
        } else {
                return -1;
        }
        return r->bad ? 0 : 1;
}

static void socks_no(struct proxy *p, struct conn *c, const char *detail)
{
        conn_refuse(p, c, POLICY_DENY_REQUEST, detail);
}

static void socks_request(struct proxy *p, struct conn *c)
{
        struct rd r = rd_of(c->up_in ? c->up_in->bytes + c->up_in->from : NULL,
                            buf_len(c->up_in));
        enum name_status s;
        struct host h;
        uint16_t port;
        int got = socks_host(&r, &h, &s);

        if (got < 0) {
                socks_no(p, c, "SOCKS5 CONNECT is all we do");
                return;
        }
        port = rd_be16(&r);
        if (!got || r.bad) {
                if (c->client.eof)
                        conn_close(p, c);
                return;
        }
        buf_used(c->up_in, buf_len(c->up_in) - rd_left(&r));
        if (!buf_len(c->up_in))
                buf_give(&c->up_in);
        if (s != NAME_OK) {
                conn_refuse(p, c, POLICY_DENY_NAME, name_status_str(s));
                return;
        }
        /* An address that our DNS gave out means its name here too. */
        if (h.literal && h.address.family == 4) {
                struct endpoint to = { .address = h.address, .port = port };

                if (names_covers(endpoint_v4(&to))) {
                        if (!door_synthetic(p, c, &to, &h))
                                return;
                }
        }
        if (conn_decide(p, c, &h, port))
                conn_reach(p, c);
}

void door_socks(struct proxy *p, struct conn *c)
{
        if (!c->x.sent) { /* the greeting comes first */
                int got = c->up_in ? socks_greeting(c) : 0;

                if (got < 0) {
                        if (c->down_out)
                                conn_linger(p, c);
                        else
                                conn_reset(p, c);
                        return;
                }
                if (!got) {
                        if (c->client.eof)
                                conn_close(p, c);
                        return;
                }
                c->x.sent = true;
                if (conn_flush(&c->client, &c->down_out) < 0) {
                        conn_close(p, c);
                        return;
                }
                if (!buf_len(c->up_in))
                        buf_give(&c->up_in);
        }
        socks_request(p, c);
}

/* ---- transparent ---- */

bool door_synthetic(struct proxy *p, struct conn *c, const struct endpoint *to, struct host *h)
{
        const char *name = names_find(endpoint_v4(to));

        *h = (struct host){ .literal = true, .address = to->address };
        c->verdict.host = *h;
        c->verdict.port = to->port;
        c->verdict.rule = -1;
        c->known = true;
        if (!name) {
                conn_refuse(p, c, POLICY_DENY_NAME, "an address that our DNS has not given out");
                return false;
        }
        if (host_parse(h, name, strlen(name)) != NAME_OK) {
                conn_refuse(p, c, POLICY_DENY_NAME, NULL);
                return false;
        }
        c->synthetic = endpoint_v4(to);
        names_hold(c->synthetic);
        return true;
}

/* What the client says first decides; false: it need not say anything first. */
static bool first_bytes(struct conn *c)
{
        if (c->verdict.raw || c->peeked)
                return false;
        if (c->verdict.port == 443 || (c->verdict.needs_inspection && c->verdict.port != 80)) {
                conn_go(c, CONN_PEEK);
        } else if (c->verdict.port == 80) {
                conn_go(c, CONN_HEAD);
                c->fixed = true;
                exchange_init(c);
        } else {
                return false;
        }
        return true;
}

static void go_on(struct proxy *p, struct conn *c)
{
        conn_wait(p, c, WAIT_HEAD);
        if (c->state == CONN_PEEK)
                door_peek(p, c);
        else
                exchange_pump(p, c);
}

void door_direct(struct proxy *p, struct conn *c, const struct endpoint *to)
{
        struct host h = { .literal = true, .address = to->address };

        c->door = DOOR_DIRECT;
        if (names_covers(endpoint_v4(to)) && !door_synthetic(p, c, to, &h))
                return;
        if (!conn_decide(p, c, &h, to->port))
                return;
        if (first_bytes(c)) {
                conn_wait(p, c, WAIT_HEAD);
                conn_arm_buffers(p, c);
        } else {
                conn_reach(p, c);
        }
}

/* SNI names the host; or there is none, and the host is an address, which SNI can't hold. */
static bool sni_agrees(struct proxy *p, struct conn *c, const struct sni *s,
                       enum policy_reason *reason, const char **detail)
{
        struct policy_verdict v;
        struct host h;

        if (!s->name_len) {
                *reason = POLICY_DENY_NO_SNI;
                return c->verdict.host.literal;
        }
        *reason = POLICY_DENY_SNI;
        *detail = "SNI is another name";
        if (host_parse(&h, s->name, s->name_len) != NAME_OK || h.literal) {
                *detail = "SNI is no host name";
                return false;
        }
        if (!c->verdict.host.literal)
                return name_equal(&h.name, &c->verdict.host.name);
        v = policy_host(conn_policy(p, c), &h, c->verdict.port);
        *detail = v.reason == POLICY_ALLOWED
                          ? "SNI is a name whose requests are judged: connect to it by name"
                          : "SNI is a name that is not allowed";
        return v.reason == POLICY_ALLOWED && !v.needs_inspection;
}

void door_peek(struct proxy *p, struct conn *c)
{
        enum policy_reason reason = POLICY_DENY_NOT_TLS;
        const char *detail = NULL;
        struct sni s;

        if (!c->up_in) {
                if (c->client.eof)
                        conn_close(p, c); /* asked for nothing */
                else
                        conn_arm_buffers(p, c);
                return;
        }
        if (c->model) {
                c->peeked = true;
                look_begin(p, c);
                return;
        }
        switch (sni_parse(&s, c->up_in->bytes + c->up_in->from, buf_len(c->up_in))) {
        case SNI_MORE:
                if (c->client.eof)
                        conn_refuse(p, c, POLICY_DENY_NOT_TLS, "ends in its first message");
                else
                        conn_arm_buffers(p, c);
                return;
        case SNI_NOT_TLS:
                if (c->verdict.port == 443) {
                        conn_refuse(p, c, POLICY_DENY_NOT_TLS, NULL);
                        return;
                }
                conn_go(c, CONN_HEAD);
                c->fixed = true;
                exchange_init(c);
                exchange_pump(p, c);
                return;
        case SNI_MALFORMED:
                conn_refuse(p, c, POLICY_DENY_NOT_TLS, "a malformed ClientHello");
                return;
        case SNI_OK:
                break;
        }
        if (!sni_agrees(p, c, &s, &reason, &detail)) {
                conn_refuse(p, c, reason, detail);
                return;
        }
        c->peeked = true;
        /*
         * A browser's made-up ECH can't be told from a true one, which hides the name that
         * counts. Our own TLS reads neither: the first client goes on without, the other ends.
         */
        if (s.ech && !look_is_known()) {
                conn_refuse(p, c, POLICY_DENY_ECH, NULL);
                return;
        }
        if (c->verdict.needs_inspection || s.ech) {
                look_begin(p, c);
                return;
        }
        conn_no_deadline(c);
        conn_reach(p, c);
}

static bool say_yes(struct conn *c)
{
        static const char connect_yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
        static const char socks_yes[10] = { 5, 0, 0, 1 };

        c->told = true;
        c->x.method_len = 0; /* CONNECT was the question: what follows is the tunnel's */
        if (c->door == DOOR_CONNECT)
                return conn_put(&c->down_out, connect_yes, sizeof(connect_yes) - 1);
        if (c->door == DOOR_SOCKS)
                return conn_put(&c->down_out, socks_yes, sizeof(socks_yes));
        return true;
}

void door_speak_tls(struct proxy *p, struct conn *c)
{
        static const char yes[] = "HTTP/1.1 200 Connection established\r\nx-airlock-tls: yes\r\n\r\n";

        if (!c->verdict.raw && c->verdict.port == 80) {
                conn_refuse(p, c, POLICY_DENY_NOT_TLS, "no TLS is spoken at this port");
                return;
        }
        c->told = true;
        c->speak_tls = true;
        c->x.method_len = 0;
        if (!conn_put(&c->down_out, yes, sizeof(yes) - 1) ||
            conn_flush(&c->client, &c->down_out) < 0 || c->down_out)
                conn_reset(p, c); /* nobody has so little room for our first words */
        else
                look_begin(p, c);
}

void conn_reached(struct proxy *p, struct conn *c)
{
        conn_no_deadline(c);
        if (c->look) {
                look_reached(p, c);
                return;
        }
        if (c->fixed || c->door == DOOR_HTTP) {
                conn_go(c, CONN_EXCHANGE);
                exchange_pump(p, c);
                return;
        }
        if (!c->told) {
                if (!say_yes(c) || conn_flush(&c->client, &c->down_out) < 0) {
                        conn_reset(p, c);
                        return;
                }
        }
        if (first_bytes(c)) {
                conn_arm_buffers(p, c);
                go_on(p, c);
                return;
        }
        tunnel_begin(p, c);
}
