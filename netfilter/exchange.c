/*
 * netfilter/exchange.c - HTTP requests and responses, each read, judged and written anew.
 *
 * One request is under way at a time; what a client pipelines waits in up_in. Every request
 * is decided by itself, whatever was allowed before on the same connection. A server
 * connection serves the next request when that goes to the same host and port, and is
 * never shared between clients.
 */
#include "netfilter/conn.h"

#include "netfilter/git.h"
#include "netfilter/inspect_head.h"
#include "netfilter/look.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PUSHES 16       /* at a time, with refs to check */
#define CHUNK_FRAME ((size_t)24)  /* a chunk's size line and what follows its data, at most */

/* Heads are dead when their handler returns. */
static struct http1 head LARGE_BUFFER;
static struct git_push pushes[PUSHES] LARGE_BUFFER;
static bool push_used[PUSHES];

void exchange_init(struct conn *c)
{
        c->x = (struct exchange){ .rule = -1, .keep_client = true };
}

void exchange_drop(struct conn *c)
{
        if (c->x.refs)
                push_used[c->x.refs - 1] = false;
        c->x.refs = 0;
}

/* ---- saying no ---- */

static const char *status_line(enum policy_reason reason)
{
        if (reason == POLICY_DENY_REQUEST)
                return "400 Bad Request";
        if (reason == POLICY_DENY_RESOLVE || reason == POLICY_DENY_UPSTREAM ||
            reason == POLICY_DENY_TLS_UPSTREAM)
                return "502 Bad Gateway";
        if (reason == POLICY_DENY_LIMIT)
                return "503 Service Unavailable";
        return "403 Forbidden";
}

static void put_reason(struct wr *w, struct proxy *p, struct conn *c, enum policy_reason reason,
                       const char *detail)
{
        const struct exchange *x = &c->x;

        wr_fmt(w, "airlock: refused (%s)", policy_reason_str(reason));
        if (detail)
                wr_fmt(w, ": %s", detail);
        wr_str(w, "\n");
        if (c->known) {
                policy_explain(w, conn_policy(p, c), reason, &c->verdict.host, c->verdict.port,
                               x->method_len ? x->method : NULL, x->method_len,
                               x->path_len ? x->path : NULL, x->path_len);
                wr_str(w, "\n");
        }
}

static bool put_refusal(struct proxy *p, struct conn *c, enum policy_reason reason,
                        const char *detail, bool keep)
{
        bool no_body = c->x.method_len == 4 && !memcmp(c->x.method, "HEAD", 4);
        char text[2048], out[512];
        struct wr body = wr_of(text, sizeof(text));
        struct wr w = wr_of(out, sizeof(out));

        put_reason(&body, p, c, reason, detail);
        wr_fmt(&w,
               "HTTP/1.1 %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
               "Content-Length: %zu\r\nx-airlock-denied: %s\r\n%s\r\n",
               status_line(reason), body.len, policy_reason_str(reason),
               keep ? "" : "Connection: close\r\n");
        return conn_put(&c->down_out, out, w.len) &&
               (no_body || conn_put(&c->down_out, text, body.len));
}

void exchange_refuse(struct proxy *p, struct conn *c, enum policy_reason reason,
                     const char *detail)
{
        struct exchange *x = &c->x;
        bool keep = x->keep_client && x->request.done && c->door != DOOR_CONNECT &&
                    reason != POLICY_DENY_REQUEST && reason != POLICY_DENY_LIMIT;

        x->code = x->answering ? x->code : (unsigned)(status_line(reason)[0] - '0') * 100 +
                  (unsigned)(status_line(reason)[2] - '0');
        conn_report(p, c, reason, detail);
        if (x->answering) {
                conn_linger(p, c); /* cut short: the framing says so */
                return;
        }
        if (!put_refusal(p, c, reason, detail, keep)) {
                conn_reset(p, c);
                return;
        }
        exchange_drop(c);
        exchange_init(c);
        if (!keep) {
                conn_linger(p, c);
                return;
        }
        buf_give(&c->up_out);
        if (c->state != CONN_HEAD) {
                conn_drop_server(c);
                conn_go(c, CONN_HEAD);
        }
        conn_wait(p, c, WAIT_IDLE);
        if (conn_flush(&c->client, &c->down_out) < 0)
                conn_close(p, c);
        else
                conn_arm_buffers(p, c);
}

/* ---- a request ---- */

static void remember(struct proxy *p, struct exchange *x)
{
        size_t path = head.path.at ? head.path.len : 0;

        x->method_len = (uint8_t)(head.method.len < sizeof(x->method) ? head.method.len
                                                                      : sizeof(x->method));
        memcpy(x->method, head.method.at, x->method_len);
        x->path_len = (uint8_t)(path < CONN_PATH ? path : CONN_PATH);
        if (x->path_len)
                memcpy(x->path, head.path.at, x->path_len);
        x->start_ms = p->now_ms;
        x->old_client = head.minor == 0;
        x->keep_client = head.keep_alive && !x->old_client;
        x->websocket = head.websocket;
        x->request = (struct body){ .kind = head.body, .left = head.length,
                                    .done = head.body == HTTP1_NONE,
                                    .rechunk = head.body == HTTP1_CHUNKED };
        http1_chunked_init(&x->request.chunked);
}

static void connect_request(struct proxy *p, struct conn *c)
{
        uint16_t port = head.port;
        struct host h;
        enum name_status s = host_parse(&h, head.host.at, head.host.len);
        bool ours = http1_header(&head, "X-Airlock-TLS").at;

        c->door = DOOR_CONNECT;
        c->x.keep_client = false;
        buf_used(c->up_in, head.head_len);
        if (!buf_len(c->up_in))
                buf_give(&c->up_in);
        conn_drop_server(c); /* a tunnel begins with a connection of its own */
        if (s != NAME_OK)
                conn_refuse(p, c, POLICY_DENY_NAME, name_status_str(s));
        else if (!port)
                conn_refuse(p, c, POLICY_DENY_REQUEST, "CONNECT without a port");
        else if (conn_decide(p, c, &h, port))
                ours ? door_speak_tls(p, c) : conn_reach(p, c);
}

static bool same_host(const struct host *a, const struct host *b)
{
        if (a->literal != b->literal)
                return false;
        return a->literal ? address_equal(&a->address, &b->address)
                          : name_equal(&a->name, &b->name);
}

/* Transparent, or inside CONNECT: the connection says where to, and Host has to agree. */
static bool judge_fixed(struct proxy *p, struct conn *c)
{
        struct host h;

        if (head.form == HTTP1_AUTHORITY || head.https) {
                conn_refuse(p, c, POLICY_DENY_REQUEST, "a request to a proxy, not to a server");
                return false;
        }
        if (!head.host.at) /* HTTP/1.0: the server will get the name from us */
                return true;
        if (host_parse(&h, head.host.at, head.host.len) == NAME_OK &&
            same_host(&h, &c->verdict.host) && (!head.port || head.port == c->verdict.port))
                return true;
        conn_refuse(p, c, POLICY_DENY_SNI, "Host is another name");
        return false;
}

static bool judge_absolute(struct proxy *p, struct conn *c)
{
        enum name_status s;
        struct host h;

        if (head.form != HTTP1_ABSOLUTE) {
                c->known = false;
                conn_refuse(p, c, POLICY_DENY_REQUEST,
                            "this is a proxy: CONNECT, or a whole http:// address");
                return false;
        }
        s = host_parse(&h, head.host.at, head.host.len);
        if (s != NAME_OK) {
                c->known = false;
                conn_refuse(p, c, POLICY_DENY_NAME, name_status_str(s));
                return false;
        }
        if (head.https) {
                conn_refuse(p, c, POLICY_DENY_REQUEST, "https:// goes by CONNECT");
                return false;
        }
        if (!conn_decide(p, c, &h, head.port ? head.port : 80))
                return false;
        if (c->verdict.port == 443 && !c->verdict.raw) {
                conn_refuse(p, c, POLICY_DENY_NOT_TLS, NULL);
                return false;
        }
        return true;
}

/* Host and port are fine; is the request? */
static bool judge_request(struct proxy *p, struct conn *c)
{
        static const struct http1_text root = { "/", 1 };
        struct http1_text path = head.form == HTTP1_ASTERISK ? root : head.path;
        struct policy_request_verdict v;

        v = policy_request(conn_policy(p, c), &c->verdict, head.method.at, head.method.len, path.at,
                           path.len, head.query.at, head.query.len);
        c->x.rule = v.rule;
        if (v.reason != POLICY_ALLOWED) {
                conn_refuse(p, c, v.reason, NULL);
                return false;
        }
        if (inspect_carries(&head) &&
            policy_request(conn_policy(p, c), &c->verdict, "POST", 4, path.at, path.len, head.query.at,
                           head.query.len).reason != POLICY_ALLOWED) {
                conn_refuse(p, c, POLICY_DENY_METHOD, inspect_carries(&head));
                return false;
        }
        if (inspect_strays(conn_policy(p, c), &v, &head)) {
                conn_refuse(p, c, POLICY_DENY_PATH, "a header names another path");
                return false;
        }
        if (v.rule >= 0 && conn_policy(p, c)->rules[v.rule].inject) {
                conn_refuse(p, c, POLICY_DENY_INJECT, "a secret goes over verified TLS only");
                return false;
        }
        if (look_foreign(&head)) {
                conn_refuse(p, c, POLICY_DENY_INJECT, "a secret's placeholder over plain HTTP");
                return false;
        }
        if (!v.check_refs)
                return true;
        for (size_t i = 0; i < PUSHES && !c->x.refs; i++)
                if (!push_used[i]) {
                        push_used[i] = true;
                        git_push_init(&pushes[i]);
                        c->x.refs = (uint8_t)(i + 1);
                }
        if (!c->x.refs || http1_header(&head, "Content-Encoding").at) {
                conn_refuse(p, c, c->x.refs ? POLICY_DENY_GIT : POLICY_DENY_LIMIT,
                            c->x.refs ? "a push that is compressed" : "too many pushes at once");
                return false;
        }
        return true;
}

/* The head as the server gets it. */
static bool put_request(struct conn *c)
{
        bool v6 = c->verdict.host.literal && c->verdict.host.address.family == 6;
        char authority[NAME_LEN + 16];
        struct wr a = wr_of(authority, sizeof(authority) - 1);
        struct wr w;
        size_t room;
        uint8_t *at;

        wr_str(&a, v6 ? "[" : "");
        host_put(&a, &c->verdict.host);
        wr_str(&a, v6 ? "]" : "");
        if (c->verdict.port != 80)
                wr_fmt(&a, ":%u", (unsigned)c->verdict.port);
        if (!c->up_out)
                c->up_out = buf_take();
        if (!c->up_out)
                return false;
        at = buf_room(c->up_out, &room);
        w = wr_of(at, room);
        http1_put_request_line(&w, &head, false, wr_cstr(&a));
        http1_put_headers(&w, &head, NULL);
        http1_put_end(&w, &head, false);
        buf_put(c->up_out, w.len);
        return !w.full;
}

/* False: wait for more, or the connection is in other hands. */
static void take_request(struct proxy *p, struct conn *c)
{
        enum http1_status s;

        if (!c->up_in) {
                if (c->client.eof)
                        conn_close(p, c);
                else
                        conn_arm_buffers(p, c);
                return;
        }
        s = http1_parse_request(&head, (char *)c->up_in->bytes + c->up_in->from,
                                buf_len(c->up_in), &c->x.scanned);
        if (s == HTTP1_MORE && !c->client.eof) {
                conn_arm_buffers(p, c);
                return;
        }
        if (s != HTTP1_OK) {
                c->known = c->known && c->fixed;
                conn_refuse(p, c, POLICY_DENY_REQUEST,
                            s == HTTP1_MORE ? "ends in its head" : http1_status_str(s));
                return;
        }
        exchange_init(c);
        remember(p, &c->x);
        if (!c->fixed && head.form == HTTP1_AUTHORITY) {
                connect_request(p, c);
                return;
        }
        if (!c->fixed)
                c->door = DOOR_HTTP;
        if (c->fixed ? !judge_fixed(p, c) : !judge_absolute(p, c)) {
                if (c->state == CONN_HEAD && c->up_in)
                        buf_used(c->up_in, head.head_len);
                return;
        }
        if (!judge_request(p, c)) {
                if (c->state == CONN_HEAD && c->up_in)
                        buf_used(c->up_in, head.head_len);
                return;
        }
        if (!put_request(c)) {
                conn_refuse(p, c, POLICY_DENY_LIMIT, "no room for the request's head");
                return;
        }
        buf_used(c->up_in, head.head_len);
        c->x.reused = c->reached_port != 0;
        conn_reach(p, c);
}

/* ---- bodies ---- */

/* The reader of a push says whether the refs so far are allowed. False: refused. */
static bool read_refs(struct proxy *p, struct conn *c, const char *bytes, size_t len)
{
        const struct policy_rule *rule = &conn_policy(p, c)->rules[c->x.rule];

        while (c->x.refs) {
                struct git_update u;
                size_t used;
                enum git_status s = git_push_next(&pushes[c->x.refs - 1], bytes, len, &used, &u);

                bytes += used;
                len -= used;
                switch (s) {
                case GIT_MORE:
                        return true;
                case GIT_UPDATE:
                        if (!rule->branch || git_ref_matches(rule->branch, u.ref))
                                continue;
                        conn_refuse(p, c, POLICY_DENY_GIT, "the rule's branch is another one");
                        return false;
                case GIT_DONE:
                        exchange_drop(c);
                        return true;
                case GIT_MALFORMED:
                case GIT_LIMIT:
                case GIT_SIGNED:
                        conn_refuse(p, c, POLICY_DENY_GIT, git_status_str(s));
                        return false;
                }
        }
        return true;
}

static void put_piece(const struct body *b, struct buf *out, const char *at, size_t len)
{
        size_t room;
        uint8_t *to = buf_room(out, &room);
        struct wr w = wr_of(to, room);

        if (b->rechunk)
                http1_put_chunk(&w, len);
        wr_bytes(&w, at, len);
        if (b->rechunk)
                wr_str(&w, "\r\n");
        buf_put(out, w.len);
}

static void body_end(struct body *b, struct buf *out)
{
        size_t room;
        uint8_t *to = buf_room(out, &room);
        struct wr w = wr_of(to, room);

        if (b->rechunk)
                wr_str(&w, HTTP1_LAST_CHUNK);
        buf_put(out, w.len);
        b->done = true;
}

/* What one step of a body gave: @piece of the input, of which @used bytes are done with. */
static enum http1_status body_step(struct body *b, const struct buf *in, size_t room,
                                   struct http1_text *piece, size_t *used)
{
        const char *at = (const char *)in->bytes + in->from;
        size_t len = buf_len(in) < room ? buf_len(in) : room;

        if (b->kind == HTTP1_CHUNKED)
                return http1_chunk_next(&b->chunked, at, len, used, piece);
        if (b->kind == HTTP1_LENGTH && len > b->left)
                len = (size_t)b->left;
        *piece = (struct http1_text){ at, len };
        *used = len;
        if (b->kind == HTTP1_LENGTH)
                b->left -= len;
        return HTTP1_OK;
}

/*
 * Moves a body on. The bytes moved; -EPROTO: its framing is broken; -ENOBUFS; -ECANCELED:
 * the connection was refused for what is in it.
 */
static ssize_t body_move(struct proxy *p, struct conn *c, struct body *b, struct buf **in,
                         struct buf **out)
{
        ssize_t moved = 0;

        while (*in && !b->done) {
                struct http1_text piece = { 0 };
                enum http1_status s;
                size_t room, used = 0;

                if (!*out)
                        *out = buf_take();
                if (!*out)
                        return -ENOBUFS;
                buf_room(*out, &room);
                if (room <= 2 * CHUNK_FRAME)
                        return moved;
                s = body_step(b, *in, room - 2 * CHUNK_FRAME, &piece, &used);
                if (s != HTTP1_OK && s != HTTP1_MORE && s != HTTP1_DONE)
                        return -EPROTO;
                if (s == HTTP1_OK && piece.len) {
                        put_piece(b, *out, piece.at, piece.len);
                        moved += (ssize_t)piece.len;
                        if (b == &c->x.request && c->x.refs &&
                            !read_refs(p, c, piece.at, piece.len))
                                return -ECANCELED;
                }
                buf_used(*in, used);
                if (s == HTTP1_DONE || (b->kind == HTTP1_LENGTH && !b->left))
                        body_end(b, *out);
                if (!buf_len(*in))
                        buf_give(in);
                if (s == HTTP1_MORE && !used)
                        break;
        }
        return moved;
}

/* ---- the exchange ---- */

/* The server takes no more: its answer may be there all the same. */
static void stop_sending(struct conn *c)
{
        exchange_drop(c);
        buf_give(&c->up_out);
        c->x.keep_client = false;
        c->x.keep_server = false;
        c->x.request.kind = HTTP1_NONE;
}

/* 1: something moved, 0: nothing, -1: the connection is in other hands. */
static int move_up(struct proxy *p, struct conn *c)
{
        struct exchange *x = &c->x;
        ssize_t n = 0;
        bool waiting;

        if (x->request.kind != HTTP1_NONE && !x->request.done) {
                n = body_move(p, c, &x->request, &c->up_in, &c->up_out);
                if (n == -ECANCELED)
                        return -1;
                if (n < 0) {
                        conn_refuse(p, c, n == -EPROTO ? POLICY_DENY_REQUEST : POLICY_DENY_LIMIT,
                                    n == -EPROTO ? "a malformed chunk" : "no buffer is free");
                        return -1;
                }
                x->up += (uint64_t)n;
        }
        if (x->refs) { /* held back until every ref is known */
                if (x->request.done || !c->up_out || BUF_LEN - c->up_out->to <= 3 * CHUNK_FRAME) {
                        conn_refuse(p, c, POLICY_DENY_GIT, "no list of refs, or too long a one");
                        return -1;
                }
                return 0;
        }
        waiting = c->up_out;
        if (c->up_out && conn_flush(&c->server, &c->up_out) < 0)
                stop_sending(c);
        if (c->client.eof && !c->up_in && x->request.kind != HTTP1_NONE && !x->request.done) {
                conn_report(p, c, POLICY_ALLOWED, "the client left");
                conn_reset(p, c);
                return -1;
        }
        return n > 0 || (waiting && !c->up_out);
}

static bool put_response(struct conn *c, bool close)
{
        struct wr w;
        size_t room;
        uint8_t *at;

        if (!c->down_out)
                c->down_out = buf_take();
        if (!c->down_out)
                return false;
        at = buf_room(c->down_out, &room);
        w = wr_of(at, room);
        http1_put_status_line(&w, &head);
        http1_put_headers(&w, &head, NULL);
        http1_put_end(&w, &head, close);
        buf_put(c->down_out, w.len);
        return !w.full;
}

static int switch_protocols(struct proxy *p, struct conn *c)
{
        if (!c->x.websocket || !head.websocket) {
                conn_refuse(p, c, POLICY_DENY_UPSTREAM, "101 that nobody asked for");
                return -1;
        }
        if (!put_response(c, false)) {
                conn_refuse(p, c, POLICY_DENY_LIMIT, "no buffer is free");
                return -1;
        }
        buf_used(c->down_in, head.head_len);
        if (!buf_len(c->down_in))
                buf_give(&c->down_in);
        c->x.code = head.code;
        tunnel_begin(p, c);
        return -1;
}

/* The head of a response: passed on. As move_up. */
static int take_response(struct proxy *p, struct conn *c)
{
        struct exchange *x = &c->x;
        enum http1_status s = http1_parse_response(
                &head, (char *)c->down_in->bytes + c->down_in->from, buf_len(c->down_in),
                &x->scanned, x->method, x->method_len);

        if (s == HTTP1_MORE && !c->server.eof)
                return 0;
        if (s != HTTP1_OK) {
                conn_refuse(p, c, POLICY_DENY_UPSTREAM,
                            s == HTTP1_MORE ? "the answer ends in its head"
                                            : http1_status_str(s));
                return -1;
        }
        x->scanned = 0;
        if (head.body == HTTP1_TUNNEL)
                return switch_protocols(p, c);
        if (head.code >= 200) {
                x->answering = true;
                x->code = head.code;
                x->keep_server = head.keep_alive;
                x->response = (struct body){ .kind = head.body, .left = head.length,
                                             .done = head.body == HTTP1_NONE };
                http1_chunked_init(&x->response.chunked);
                if (head.body == HTTP1_CHUNKED && x->old_client)
                        head.body = HTTP1_UNTIL_CLOSE;
                x->response.rechunk = head.body == HTTP1_CHUNKED;
                if (head.body == HTTP1_UNTIL_CLOSE || !x->request.done)
                        x->keep_client = false;
        }
        if (!put_response(c, head.code >= 200 && !x->keep_client)) {
                x->answering = false;
                conn_refuse(p, c, POLICY_DENY_LIMIT, "no room for the answer's head");
                return -1;
        }
        buf_used(c->down_in, head.head_len);
        if (!buf_len(c->down_in))
                buf_give(&c->down_in);
        return 1;
}

/* The server's end came. */
static int server_ended(struct proxy *p, struct conn *c)
{
        struct exchange *x = &c->x;

        if (x->answering && x->response.kind == HTTP1_UNTIL_CLOSE) {
                x->response.done = true;
                x->keep_server = false;
                return 1;
        }
        if (!x->answering && x->reused && !x->request.left) {
                /* It closed an idle connection as we used it: the client will try again. */
                conn_report(p, c, POLICY_DENY_UPSTREAM, "closed a connection it had kept");
                conn_close(p, c);
                return -1;
        }
        conn_refuse(p, c, POLICY_DENY_UPSTREAM,
                    x->answering ? "the answer ends early" : "closed without an answer");
        return -1;
}

static int move_down(struct proxy *p, struct conn *c)
{
        struct exchange *x = &c->x;
        ssize_t n = 0;
        bool waiting;

        if (c->down_in && !x->answering) {
                int r = take_response(p, c);

                if (r)
                        return r;
        }
        if (x->answering && !x->response.done) {
                n = body_move(p, c, &x->response, &c->down_in, &c->down_out);
                if (n < 0) {
                        conn_refuse(p, c, POLICY_DENY_UPSTREAM,
                                    n == -EPROTO ? "a malformed chunk" : "no buffer is free");
                        return -1;
                }
                x->down += (uint64_t)n;
        }
        waiting = c->down_out;
        if (c->down_out && conn_flush(&c->client, &c->down_out) < 0) {
                conn_report(p, c, POLICY_ALLOWED, "the client left");
                conn_close(p, c);
                return -1;
        }
        if (c->server.eof && !c->down_in && !x->response.done)
                return server_ended(p, c);
        /* A full buffer that went out makes room: nobody else would say so. */
        return n > 0 || (waiting && !c->down_out);
}

/* The response is with the client: the connection waits for the next request, or ends. */
static void exchange_end(struct proxy *p, struct conn *c)
{
        struct exchange *x = &c->x;
        bool keep = x->keep_client && x->request.done;

        conn_report(p, c, POLICY_ALLOWED, NULL);
        if (!keep) {
                conn_linger(p, c);
                return;
        }
        if (!x->keep_server || c->server.eof || c->down_in)
                conn_drop_server(c);
        exchange_drop(c);
        exchange_init(c);
        conn_go(c, CONN_HEAD);
        conn_wait(p, c, c->up_in ? WAIT_HEAD : WAIT_IDLE);
}

/* False: nothing more can be done now. */
static bool relay(struct proxy *p, struct conn *c)
{
        int up = move_up(p, c);
        int down = up < 0 ? -1 : move_down(p, c);

        if (down < 0)
                return false;
        if (c->x.answering && c->x.response.done && !c->down_out) {
                exchange_end(p, c);
                return c->state == CONN_HEAD;
        }
        if (up || down)
                return true;
        conn_wait(p, c, WAIT_STALL);
        conn_arm_buffers(p, c);
        return false;
}

void exchange_pump(struct proxy *p, struct conn *c)
{
        uint32_t gen = c->gen;

        while (c->gen == gen) {
                if (c->state == CONN_EXCHANGE) {
                        if (!relay(p, c))
                                return;
                        continue;
                }
                if (c->state != CONN_HEAD)
                        return;
                if (c->down_out) { /* a refusal, not taken yet */
                        if (conn_flush(&c->client, &c->down_out) < 0) {
                                conn_close(p, c);
                                return;
                        }
                        if (c->down_out) {
                                conn_arm_buffers(p, c);
                                return;
                        }
                }
                size_t before = buf_len(c->up_in);

                if (c->up_in && !before)
                        buf_give(&c->up_in);
                take_request(p, c);
                if (c->gen != gen || c->state != CONN_HEAD || buf_len(c->up_in) == before)
                        return;
        }
}
