/* agent/fetch.c - connects, asks, follows, and hands on what comes. */
#include "agent/fetch.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define REDIRECTS_MAX 10
#define PIECE 65536

struct url {
        bool https;
        char host[256], port[6], authority[264];
        const char *path; /* from the slash on, or "" */
};

/* One exchange under way. */
struct way {
        int fd;
        uint64_t deadline_ms; /* 0: none */
        struct buf in;
        struct buf *why;
};

static void fail(struct buf *why, const char *what, int err)
{
        buf_fmt(why, err ? "%s: %s" : "%s", what, err ? strerror(err) : "");
}

/* http[s]://HOST[:PORT][/…]; no user info. */
static bool split(struct url *u, const char *text)
{
        bool https = !strncmp(text, "https://", 8);
        size_t n, colon;

        *u = (struct url){ .https = https };
        if (!https && strncmp(text, "http://", 7) != 0)
                return false;
        memcpy(u->port, https ? "443" : "80", https ? 4 : 3);
        text += https ? 8 : 7;
        n = strcspn(text, "/?#");
        if (!n || n >= sizeof(u->host) || memchr(text, '@', n))
                return false;
        memcpy(u->authority, text, n);
        u->path = text + n;
        memcpy(u->host, text, n);
        colon = text[0] == '[' ? strcspn(text, "]") + 1 : strcspn(text, ":");
        if (colon < n) {
                if (text[colon] != ':' || n - colon - 1 >= sizeof(u->port) || n == colon + 1)
                        return false;
                memset(u->port, 0, sizeof(u->port));
                memcpy(u->port, text + colon + 1, n - colon - 1);
                u->host[colon] = '\0';
        }
        if (u->host[0] == '[') { /* getaddrinfo wants it bare */
                size_t len = strlen(u->host);

                if (u->host[len - 1] != ']')
                        return false;
                memmove(u->host, u->host + 1, len - 2);
                u->host[len - 2] = '\0';
        }
        return strspn(u->port, "0123456789") == strlen(u->port);
}

/* --- bytes, with a deadline ------------------------------------------------------------------- */

/* 0, -ETIMEDOUT or -errno. */
static int wait_for(const struct way *w, short events)
{
        struct pollfd p = { .fd = w->fd, .events = events };

        for (;;) {
                uint64_t now = now_ms();
                int left = -1, r;

                if (w->deadline_ms)
                        left = w->deadline_ms > now ? (int)(w->deadline_ms - now) : 0;
                r = poll(&p, 1, left);
                if (r > 0)
                        return 0;
                if (!r)
                        return -ETIMEDOUT;
                if (errno != EINTR)
                        return -errno;
        }
}

static int write_way(const struct way *w, const char *bytes, size_t len)
{
        while (len) {
                int r = wait_for(w, POLLOUT);
                ssize_t n;

                if (r < 0)
                        return r;
                n = send(w->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        bytes += n;
                        len -= (size_t)n;
                }
        }
        return 0;
}

/* More of the response behind w->in. How much, 0 at the end, -errno. */
static ssize_t read_way(struct way *w)
{
        int r = wait_for(w, POLLIN);
        ssize_t n;

        if (r < 0)
                return r;
        do
                n = read(w->fd, buf_room(&w->in, PIECE), PIECE);
        while (n < 0 && errno == EINTR);
        if (n > 0)
                buf_added(&w->in, (size_t)n);
        return n < 0 ? -errno : n;
}

/* --- heads -------------------------------------------------------------------------------------- */

/* The next head of w->in, which it drops from there when it is no final one. False: said why. */
static bool take_head(struct way *w, struct http1 *h, const char *method)
{
        size_t scanned = 0;

        for (;;) {
                enum http1_status s = http1_parse_response(h, buf_at(&w->in), w->in.len, &scanned,
                                                           method, strlen(method));
                ssize_t n;

                if (s == HTTP1_OK && h->code >= 200)
                        return true;
                if (s == HTTP1_OK) { /* a 1xx is not the answer */
                        buf_drop(&w->in, h->head_len, SIZE_MAX);
                        scanned = 0;
                        continue;
                }
                if (s != HTTP1_MORE) {
                        fail(w->why, http1_status_str(s), 0);
                        return false;
                }
                n = read_way(w);
                if (n <= 0) {
                        fail(w->why, n ? "exchange" : "the response is cut off", (int)-n);
                        return false;
                }
        }
}

static void put_target(struct buf *b, const struct url *u)
{
        if (u->path[0] != '/')
                buf_str(b, "/");
        buf_put(b, u->path, strcspn(u->path, "#"));
}

static int send_request(struct way *w, const struct fetch *f, const struct url *u, bool whole)
{
        struct buf b = { 0 };
        int r;

        buf_str(&b, f->method);
        buf_str(&b, " ");
        if (whole) {
                buf_str(&b, "http://");
                buf_str(&b, u->authority);
        }
        put_target(&b, u);
        buf_str(&b, " HTTP/1.1\r\nhost: ");
        buf_str(&b, u->authority);
        buf_str(&b, "\r\naccept: */*\r\nconnection: close\r\n");
        buf_put(&b, buf_at(&f->headers), f->headers.len);
        buf_put(&b, buf_at(&f->own), f->own.len);
        if (f->body.len || !strcmp(f->method, "POST") || !strcmp(f->method, "PUT"))
                buf_fmt(&b, "content-length: %zu\r\n", f->body.len);
        buf_str(&b, "\r\n");
        buf_put(&b, buf_at(&f->body), f->body.len);
        r = write_way(w, buf_at(&b), b.len);
        buf_free(&b);
        return r;
}

/* Asks the proxy for a connection on which it speaks TLS in our place. */
static bool ask_for_tls(struct way *w, const struct url *u)
{
        static struct http1 h;
        bool bare = strchr(u->host, ':');
        struct http1_text said;
        struct buf b = { 0 };
        int r;

        buf_fmt(&b, "CONNECT %s%s%s:%s HTTP/1.1\r\nhost: %s%s%s:%s\r\nx-airlock-tls: yes\r\n\r\n",
                bare ? "[" : "", u->host, bare ? "]" : "", u->port, bare ? "[" : "", u->host,
                bare ? "]" : "", u->port);
        r = write_way(w, buf_at(&b), b.len);
        buf_free(&b);
        if (r < 0) {
                fail(w->why, "exchange", -r);
                return false;
        }
        if (!take_head(w, &h, "CONNECT"))
                return false;
        said = http1_header(&h, h.code == 200 ? "x-airlock-tls" : "x-airlock-denied");
        if (h.code != 200)
                buf_fmt(w->why, "the proxy refused: %u %.*s", h.code, (int)said.len,
                        said.at ? said.at : "");
        else if (!said.at)
                fail(w->why, "https: the proxy speaks no TLS in our place, as airlock-proxy does", 0);
        buf_drop(&w->in, h.head_len, SIZE_MAX);
        return h.code == 200 && said.at;
}

/* To the server, by whatever way the environment names. False: said why. */
static bool open_way(struct way *w, const struct fetch *f, const struct url *u)
{
        const char *proxy = u->https ? f->https_proxy : f->http_proxy;
        struct url via;
        int r;

        if (f->channel) {
                w->fd = msg_client(f->channel);
                if (w->fd < 0)
                        fail(w->why, "reach airlock-proxy", -w->fd);
                return w->fd >= 0 && ask_for_tls(w, u);
        }
        must_hold(f->dial != NULL);
        if (u->https && !proxy) {
                fail(w->why, "https goes through airlock-proxy alone, and https_proxy names none", 0);
                return false;
        }
        if (proxy && (!split(&via, proxy) || via.https)) {
                fail(w->why, "the proxy's URL is not http://HOST[:PORT]", 0);
                return false;
        }
        r = f->dial(proxy ? via.host : u->host, proxy ? via.port : u->port, w->deadline_ms);
        if (r < 0) {
                fail(w->why, "connect", -r);
                return false;
        }
        w->fd = r;
        return !u->https || ask_for_tls(w, u);
}

/* --- the response ---------------------------------------------------------------------------------- */

/* Where a redirect leads, into f->url. False: it is none that we follow. */
static bool redirect(struct fetch *f, const struct url *u, const struct http1 *h)
{
        struct http1_text to = http1_header(h, "location");
        char next[FETCH_URL_MAX];
        struct wr w = wr_of(next, sizeof(next) - 1);
        struct url parsed;

        if (!f->follow || !to.at || h->code < 301 || h->code > 308 ||
            (h->code > 303 && h->code < 307))
                return false;
        if (to.len && to.at[0] == '/') {
                wr_str(&w, u->https ? "https:" : "http:");
                if (to.len < 2 || to.at[1] != '/')
                        wr_fmt(&w, "//%s", u->authority);
        }
        wr_bytes(&w, to.at, to.len);
        if (w.full || !split(&parsed, wr_cstr(&w)))
                return false;
        if (h->code <= 303 && strcmp(f->method, "HEAD") != 0) {
                memcpy(f->method, "GET", 4);
                buf_free(&f->body);
        }
        /* What was meant for one server, a token perhaps, is not another's to see. */
        if (strcmp(parsed.authority, u->authority) != 0 || parsed.https != u->https)
                buf_free(&f->own);
        memcpy(f->url, next, w.len + 1);
        return true;
}

/* What stands in w->in goes on; *@done at the body's end. False: said why. */
static bool hand_on(struct way *w, const struct http1 *h, uint64_t *left,
                    struct http1_chunked *chunked, const struct fetch_sink *sink, bool *done)
{
        while (w->in.len && !*done) {
                struct http1_text piece = { buf_at(&w->in), w->in.len };
                size_t used = w->in.len;
                enum http1_status s = HTTP1_OK;

                if (h->body == HTTP1_CHUNKED)
                        s = http1_chunk_next(chunked, buf_at(&w->in), w->in.len, &used, &piece);
                if (s == HTTP1_MORE) { /* what it looked at is taken all the same */
                        buf_drop(&w->in, used, SIZE_MAX);
                        return true;
                }
                if (s != HTTP1_OK && s != HTTP1_DONE) {
                        fail(w->why, http1_status_str(s), 0);
                        return false;
                }
                if (h->body == HTTP1_LENGTH && piece.len > *left)
                        piece.len = (size_t)*left;
                *left -= h->body == HTTP1_LENGTH ? piece.len : 0;
                *done = s == HTTP1_DONE || (h->body == HTTP1_LENGTH && !*left);
                if (s == HTTP1_OK && piece.len && !sink->body(sink->argument, piece.at, piece.len)) {
                        fail(w->why, "it is too long", 0);
                        return false;
                }
                buf_drop(&w->in, used, SIZE_MAX);
        }
        return true;
}

static bool take_body(struct way *w, const struct http1 *h, const struct fetch_sink *sink)
{
        struct http1_chunked chunked;
        enum http1_body kind = h->body;
        uint64_t left = h->length;
        bool done = kind == HTTP1_NONE || (kind == HTTP1_LENGTH && !left);
        struct http1 plan = { .body = kind };

        http1_chunked_init(&chunked);
        buf_drop(&w->in, h->head_len, SIZE_MAX); /* the head is dead from here on */
        for (;;) {
                ssize_t n;

                if (!hand_on(w, &plan, &left, &chunked, sink, &done))
                        return false;
                if (done)
                        return true;
                n = read_way(w);
                if (n < 0 || (n == 0 && kind != HTTP1_UNTIL_CLOSE)) {
                        fail(w->why, n ? "exchange" : "it is cut off", (int)-n);
                        return false;
                }
                if (n == 0)
                        return true;
        }
}

/* FETCH_DONE with *@again: follow f->url. */
static enum fetch_end exchange(struct way *w, struct fetch *f, const struct fetch_sink *sink,
                               bool *again)
{
        static struct http1 h LARGE_BUFFER;
        struct url u;
        int r;

        *again = false;
        if (!split(&u, f->url)) {
                fail(w->why, "the URL is not http[s]://HOST[:PORT]/", 0);
                return FETCH_FAILED;
        }
        if (!open_way(w, f, &u))
                return FETCH_FAILED;
        r = send_request(w, f, &u, !u.https && f->http_proxy);
        if (r < 0) {
                fail(w->why, "exchange", -r);
                return FETCH_FAILED;
        }
        if (!take_head(w, &h, f->method))
                return FETCH_FAILED;
        *again = redirect(f, &u, &h);
        if (*again)
                return FETCH_DONE;
        if (!sink->head(sink->argument, &h))
                return FETCH_BROKEN;
        return take_body(w, &h, sink) ? FETCH_DONE : FETCH_BROKEN;
}

enum fetch_end fetch(struct fetch *f, const struct fetch_sink *sink, struct buf *why)
{
        uint64_t deadline_ms = f->timeout_ms ? now_ms() + f->timeout_ms : 0;

        for (unsigned n = 0; n <= REDIRECTS_MAX; n++) {
                struct way w = { .fd = -1, .deadline_ms = deadline_ms, .why = why };
                bool again;
                enum fetch_end end = exchange(&w, f, sink, &again);

                if (w.fd >= 0)
                        close(w.fd);
                buf_free(&w.in);
                if (!again)
                        return end;
        }
        fail(why, "too many redirects", 0);
        return FETCH_FAILED;
}

int fetch_tunnel(int channel, const char *url, uint64_t timeout_ms, struct buf *why)
{
        const struct fetch f = { .channel = channel };
        struct way w = { .fd = -1, .deadline_ms = now_ms() + timeout_ms, .why = why };
        struct url u;
        bool ok = split(&u, url) && open_way(&w, &f, &u);

        buf_free(&w.in); /* the server waits for our request */
        if (!ok && w.fd >= 0)
                close(w.fd);
        return ok ? w.fd : -1;
}
