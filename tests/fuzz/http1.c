/*
 * tests/fuzz/http1.c - byte by byte gives the same as all at once; what was accepted,
 * written anew, is accepted again with the same meaning; and writing that anew changes nothing.
 * The first byte chooses: a request, or a response to GET, HEAD or CONNECT.
 */
#include "base/http1.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static enum http1_status parse(struct http1 *h, unsigned kind, const char *s, size_t len,
                               size_t *scanned)
{
        static const char *const methods[] = { "GET", "HEAD", "CONNECT" };
        const char *method = methods[kind % 3];

        if (kind % 4 == 3)
                return http1_parse_request(h, s, len, scanned);
        return http1_parse_response(h, s, len, scanned, method, strlen(method));
}

static bool inside(struct http1_text t, const char *s, size_t len)
{
        return !t.at || !t.len || (t.at >= s && t.at + t.len <= s + len) ||
               (t.len == 1 && *t.at == '/');
}

static size_t rewrite(char *out, size_t cap, const struct http1 *h)
{
        struct wr w = wr_of(out, cap);

        if (h->code)
                http1_put_status_line(&w, h);
        else
                http1_put_request_line(&w, h, false, h->host.at ? NULL : "none");
        http1_put_headers(&w, h, NULL);
        http1_put_end(&w, h, !h->keep_alive);
        if (w.full)
                abort();
        return w.len;
}

static bool same(struct http1_text a, struct http1_text b)
{
        return a.len == b.len && (!a.len || !memcmp(a.at, b.at, a.len));
}

/* The same message as far as the next hop is told. */
static bool means_the_same(const struct http1 *a, const struct http1 *b)
{
        return same(a->method, b->method) && same(a->path, b->path) && same(a->query, b->query) &&
               !a->query.at == !b->query.at && (!a->host.at || same(a->host, b->host)) &&
               a->host_ip6 == b->host_ip6 && a->port == b->port && a->code == b->code &&
               same(a->reason, b->reason) && a->body == b->body && a->websocket == b->websocket &&
               (a->body != HTTP1_LENGTH || a->length == b->length) &&
               a->expect_continue == b->expect_continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static struct http1 h, again;
        static char out[2 * HTTP1_HEAD_MAX], twice[2 * HTTP1_HEAD_MAX];
        const char *s = (const char *)data + 1;
        unsigned kind = len ? data[0] % 4 : 0;
        enum http1_status whole, status = HTTP1_MORE;
        size_t scanned = 0;
        size_t out_len, twice_len;

        if (!len--)
                return 0;
        whole = parse(&h, kind, s, len, &scanned);
        scanned = 0;
        for (size_t n = 0; n <= len && status == HTTP1_MORE; n++)
                status = parse(&again, kind, s, n, &scanned);
        if (status != whole)
                abort();
        if (whole)
                return 0;
        if (h.head_len > len || memcmp(s + h.head_len - 4, "\r\n\r\n", 4) != 0)
                abort();
        for (size_t i = 0; i < h.count; i++) {
                if (!inside(h.headers[i].name, s, len) || !inside(h.headers[i].value, s, len))
                        abort();
        }
        if (!inside(h.method, s, len) || !inside(h.path, s, len) || !inside(h.query, s, len) ||
            !inside(h.host, s, len) || !inside(h.reason, s, len))
                abort();
        if (h.form == HTTP1_AUTHORITY && kind == 3)
                return 0; /* not for writing */
        out_len = rewrite(out, sizeof(out), &h);
        scanned = 0;
        if (out_len > HTTP1_HEAD_MAX || h.count + 3 > HTTP1_HEADERS)
                return 0; /* what we add may be over the limit */
        if (parse(&again, kind, out, out_len, &scanned) || again.head_len != out_len)
                abort();
        if (!means_the_same(&h, &again))
                abort();
        twice_len = rewrite(twice, sizeof(twice), &again);
        if (twice_len != out_len || memcmp(out, twice, out_len) != 0)
                abort();
        return 0;
}
