/*
 * agent/http.c - one HTTP/1.1 request in a helper, through the proxy of our environment.
 *
 * Policy is the proxy's business, and the lock's where there is no such variable. What this
 * build can't do is answered with an error that says so: https, and streamed responses.
 */
#include "base/base64.h"
#include "agent/env_policy.h"
#include "agent/helper.h"
#include "base/http1.h"
#include "base/io.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define BODY_MAX (32U << 20)
#define REDIRECTS_MAX 10
#define URL_MAX 8192

struct request {
        char method[33], url[URL_MAX];
        struct buf headers; /* "name: value\r\n" each */
        struct buf body;
        uint64_t timeout_ms; /* 0: none */
        bool follow;
        const char *proxy;
};

struct url {
        char host[256], port[6], authority[264];
        const char *path; /* from the slash on, or "" */
};

static int failed(struct buf *out, const char *what, int err)
{
        buf_fmt(out, err ? "http/request failed: %s: %s" : "http/request failed: %s", what,
                err ? strerror(err) : "");
        return RPC_INTERNAL;
}

/* http://HOST[:PORT][/…]; no user info. */
static bool split(struct url *u, const char *text)
{
        size_t n, colon;

        *u = (struct url){ .port = "80" };
        text += 7;
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

static int dial(const struct url *u, uint64_t timeout_ms)
{
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all, *a;
        struct timeval t = { (time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000 * 1000) };
        int fd = -1;

        if (getaddrinfo(u->host, u->port, &hints, &all) != 0)
                return -EHOSTUNREACH;
        for (a = all; a && fd < 0; a = a->ai_next) {
                fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
                if (fd < 0)
                        continue;
                setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
                if (connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
                        int err = errno;

                        close(fd);
                        fd = -1;
                        errno = err;
                }
        }
        freeaddrinfo(all);
        return fd < 0 ? -errno : fd;
}

static int send_request(int fd, const struct request *r, const struct url *u)
{
        struct buf b = { 0 };
        int err;

        buf_str(&b, r->method);
        buf_str(&b, " ");
        if (r->proxy) {
                buf_str(&b, "http://");
                buf_str(&b, u->authority);
        }
        if (u->path[0] != '/')
                buf_str(&b, "/");
        buf_put(&b, u->path, strcspn(u->path, "#"));
        buf_str(&b, " HTTP/1.1\r\nhost: ");
        buf_str(&b, u->authority);
        buf_str(&b, "\r\naccept: */*\r\nconnection: close\r\n");
        buf_put(&b, buf_at(&r->headers), r->headers.len);
        if (r->body.len || !strcmp(r->method, "POST") || !strcmp(r->method, "PUT"))
                buf_fmt(&b, "content-length: %zu\r\n", r->body.len);
        buf_str(&b, "\r\n");
        buf_put(&b, buf_at(&r->body), r->body.len);
        err = write_full(fd, buf_at(&b), b.len);
        buf_free(&b);
        return err;
}

/* The body behind the head, decoded, into @body. False: it was cut off or is malformed. */
static bool take_body(const struct http1 *h, const char *bytes, size_t len, struct buf *body)
{
        struct http1_chunked chunked;

        if (h->body == HTTP1_LENGTH && len < h->length)
                return false;
        if (h->body == HTTP1_LENGTH)
                len = (size_t)h->length;
        if (h->body == HTTP1_NONE)
                return true;
        if (h->body != HTTP1_CHUNKED) {
                buf_put(body, bytes, len);
                return true;
        }
        http1_chunked_init(&chunked);
        for (;;) {
                struct http1_text piece;
                size_t used;
                enum http1_status s = http1_chunk_next(&chunked, bytes, len, &used, &piece);

                if (s != HTTP1_OK)
                        return s == HTTP1_DONE;
                buf_put(body, piece.at, piece.len);
                bytes += used;
                len -= used;
        }
}

static void put_result(struct buf *out, const struct http1 *h, const struct buf *body)
{
        buf_fmt(out, "{\"status\":%u,\"headers\":[", h->code);
        for (size_t i = 0; i < h->count; i++) {
                size_t at;

                buf_str(out, i ? ",{\"name\":" : "{\"name\":");
                at = out->len;
                buf_json(out, h->headers[i].name.at, h->headers[i].name.len);
                for (char *c = buf_at(out) + at; c < buf_at(out) + out->len; c++)
                        if (*c >= 'A' && *c <= 'Z')
                                *c = (char)(*c + 32);
                buf_str(out, ",\"value\":");
                buf_json(out, h->headers[i].value.at, h->headers[i].value.len);
                buf_str(out, "}");
        }
        buf_str(out, "],\"bodyBase64\":\"");
        buf_base64(out, buf_at(body), body->len);
        buf_str(out, "\"}");
}

static int read_all(int fd, struct buf *in)
{
        for (;;) {
                ssize_t n = read(fd, buf_room(in, 65536), 65536);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
                if (!n)
                        return 0;
                buf_added(in, (size_t)n);
                if (in->len > BODY_MAX)
                        return -EFBIG;
        }
}

/* Where a redirect leads, into r->url. False: it is none that we follow. */
static bool redirect(struct request *r, const struct url *u, const struct http1 *h)
{
        struct http1_text to = http1_header(h, "location");
        char next[URL_MAX];
        struct wr w = wr_of(next, sizeof(next) - 1);

        if (!r->follow || !to.at || h->code < 301 || h->code > 308 || (h->code > 303 && h->code < 307))
                return false;
        if (to.len && to.at[0] == '/' && !(to.len > 1 && to.at[1] == '/'))
                wr_fmt(&w, "http://%s", u->authority);
        wr_bytes(&w, to.at, to.len);
        if (w.full || strncmp(wr_cstr(&w), "http://", 7) != 0)
                return false;
        if (h->code <= 303 && strcmp(r->method, "HEAD") != 0) {
                memcpy(r->method, "GET", 4);
                buf_free(&r->body);
        }
        memcpy(r->url, next, w.len + 1);
        return true;
}

/* One exchange. 0 with the result in @out, an error's number, or -1: follow r->url. */
static int exchange(struct request *r, struct buf *out)
{
        static struct http1 h;
        struct buf in = { 0 }, body = { 0 };
        size_t scanned = 0;
        struct url u, via;
        enum http1_status s;
        int err;

        if (!split(&u, r->url) || (r->proxy && (strncmp(r->proxy, "http://", 7) != 0 ||
                                                !split(&via, r->proxy))))
                return failed(out, "the URL, or the proxy's, is not http://HOST[:PORT]/", 0);
        AUTO_CLOSE int fd = dial(r->proxy ? &via : &u, r->timeout_ms);
        if (fd < 0)
                return failed(out, "connect", -fd);
        err = send_request(fd, r, &u);
        if (!err)
                err = read_all(fd, &in);
        if (err)
                return failed(out, "exchange", -err);
        for (;;) { /* a 1xx is not the answer */
                s = http1_parse_response(&h, buf_at(&in), in.len, &scanned, r->method,
                                         strlen(r->method));
                if (s != HTTP1_OK || h.code >= 200)
                        break;
                buf_drop(&in, h.head_len, SIZE_MAX);
                scanned = 0;
        }
        if (s != HTTP1_OK)
                return failed(out, s == HTTP1_MORE ? "the response is cut off" : http1_status_str(s), 0);
        if (redirect(r, &u, &h))
                return -1;
        if (!take_body(&h, buf_at(&in) + h.head_len, in.len - h.head_len, &body)) {
                buf_str(out, "failed to read http/request response body: it is cut off or malformed");
                return RPC_INTERNAL;
        }
        put_result(out, &h, &body);
        return 0;
}

static int work(void *argument, struct buf *out)
{
        for (unsigned n = 0; n <= REDIRECTS_MAX; n++) {
                int r = exchange(argument, out);

                if (r >= 0 || r < -1)
                        return r;
        }
        return failed(out, "too many redirects", 0);
}

/* --- the call --------------------------------------------------------------------------------- */

static bool is_token(const char *s, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)s[i] <= ' ' || (unsigned char)s[i] >= 127 ||
                    strchr("\"(),/:;<=>?@[\\]{}", s[i]))
                        return false;
        return len > 0;
}

static void take_header(struct params *p, struct request *r, const struct value *header,
                        char *const *environment)
{
        struct params in = params_of(header);
        struct value name = params_string(&in, "name");
        struct value from = params_optional(&in, "valueEnvVar");
        struct value value = from.type == VALUE_STRING ? from : params_string(&in, "value");
        char *n = take_memory(name.len + 1), *v = take_memory(value.len + 1);
        size_t n_len = value_string(&name, n), v_len = value_string(&value, v);
        const char *text = v;

        if (in.bad)
                params_refuse(p, "%s", in.error);
        if (!is_token(n, n_len))
                params_refuse(p, "http/request header name is invalid");
        if (from.type == VALUE_STRING) {
                text = env_value(environment, v);
                if (!text)
                        params_refuse(p, "http/request header variable %s is not set", v);
                v_len = text ? strlen(text) : 0;
        }
        for (size_t i = 0; i < v_len; i++)
                if (((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 127)
                        params_refuse(p, "http/request header value is invalid for %s", n);
        if (!p->bad) {
                buf_put(&r->headers, n, n_len);
                buf_str(&r->headers, ": ");
                buf_put(&r->headers, text, v_len);
                buf_str(&r->headers, "\r\n");
        }
        free(n);
        free(v);
}

static void take_url(struct params *p, struct request *r)
{
        struct value method = params_string(p, "method"), url = params_string(p, "url");
        size_t n = 0;

        if (method.len < sizeof(r->method))
                r->method[n = value_string(&method, r->method)] = '\0';
        if (!p->bad && !is_token(r->method, n))
                params_refuse(p, "http/request method is invalid");
        n = url.len < sizeof(r->url) ? value_string(&url, r->url) : 0;
        r->url[n] = '\0';
        if (p->bad)
                return;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)r->url[i] <= ' ' || (unsigned char)r->url[i] >= 127)
                        n = 0;
        if (!n || !strchr(r->url, ':'))
                params_refuse(p, "http/request url is invalid");
        else if (strncmp(r->url, "http://", 7) != 0 && strncmp(r->url, "https://", 8) != 0)
                params_refuse(p, "http/request only supports http and https URLs, got %.*s",
                              (int)strcspn(r->url, ":"), r->url);
}

void http_call(struct call *call)
{
        static struct request r LARGE_BUFFER;
        struct params *p = call->p;
        char *const *env = call->conn->server->environment;
        struct value headers = value_get(p->v, "headers"), item, body, policy;
        struct value_iter i = value_items(&headers);
        bool stream = params_bool_or(p, "streamResponse", false);
        size_t len, at;

        r = (struct request){ .timeout_ms = params_u64_or(p, "timeoutMs", 0) };
        (void)params_string(p, "requestId");
        take_url(p, &r);
        while (value_next(&i, NULL, &item))
                take_header(p, &r, &item, env);
        body = params_optional(p, "bodyBase64");
        if (!p->bad && body.type == VALUE_STRING) {
                char *to = buf_room(&r.body, body.len + 1);

                if (!base64_decode_padded(to, value_string(&body, to), to, &len, &at))
                        params_refuse(p, "http/request bodyBase64 is invalid at offset %zu", at);
                buf_added(&r.body, len);
        }
        policy = params_optional(p, "redirectPolicy");
        r.follow = !value_is(&policy, "stop");
        r.proxy = env_value(env, "http_proxy");
        if (!r.proxy)
                r.proxy = env_value(env, "HTTP_PROXY");
        if (r.proxy && !r.proxy[0])
                r.proxy = NULL;
        if (!call_refused(call, "http/request")) {
                if (stream || !strncmp(r.url, "https:", 6))
                        conn_error(call->conn, call->id, call->id_len, RPC_INTERNAL,
                                   stream ? "http/request failed: streamResponse is not in this build"
                                          : "http/request failed: https is not in this build");
                else
                        helper_start(call, false, work, &r);
        }
        buf_free(&r.headers);
        buf_free(&r.body);
}
