/* agent/upgrade.c - one HTTP request, judged; and one asked. */
#include "agent/upgrade.h"

#include "base/base64.h"
#include "base/http1.h"
#include "base/same.h"

#include <string.h>

#define KEY_LEN 24 /* letters of sixteen bytes */

static bool text_is(struct http1_text t, const char *s)
{
        return t.len == strlen(s) && !memcmp(t.at, s, t.len);
}

static enum upgrade_status answer(struct upgrade *u, unsigned status, const char *text)
{
        u->status = status;
        u->text = text;
        return UPGRADE_ANSWER;
}

static struct http1_text trimmed(struct http1_text t)
{
        while (t.len && (t.at[0] == ' ' || t.at[0] == '\t')) {
                t.at++;
                t.len--;
        }
        while (t.len && (t.at[t.len - 1] == ' ' || t.at[t.len - 1] == '\t'))
                t.len--;
        return t;
}

/* The token behind "Bearer ", or .at NULL. */
static struct http1_text bearer(struct http1_text value)
{
        struct http1_text scheme = { value.at, 6 };

        if (value.len < 7 || !http1_text_is(scheme, "bearer") || value.at[6] != ' ')
                return (struct http1_text){ NULL, 0 };
        return trimmed((struct http1_text){ value.at + 7, value.len - 7 });
}

/* NULL: the client may come in. */
static const char *refusal(const struct auth_rule *rule, const struct http1 *h, int64_t now_s)
{
        struct http1_text value = http1_header(h, "authorization"), token;
        uint8_t hash[br_sha256_SIZE];
        br_sha256_context digest;
        enum jwt_status s;

        if (rule->auth == AUTH_NONE)
                return NULL;
        if (!value.at)
                return "missing websocket bearer token";
        token = bearer(value);
        if (!token.at || !token.len)
                return "invalid authorization header";
        if (rule->auth == AUTH_TOKEN) {
                br_sha256_init(&digest);
                br_sha256_update(&digest, token.at, token.len);
                br_sha256_out(&digest, hash);
                return same_secret(hash, rule->token_hash, sizeof(hash))
                               ? NULL
                               : "invalid websocket bearer token";
        }
        s = jwt_check(&rule->jwt, token.at, token.len, now_s);
        return s == JWT_OK ? NULL : jwt_status_str(s);
}

static bool key_is_right(struct http1_text key)
{
        uint8_t bytes[18];
        size_t n, at;

        return key.len == KEY_LEN && base64_decode_padded(key.at, key.len, bytes, &n, &at) && n == 16;
}

static void put_accept(char accept[UPGRADE_ACCEPT_LEN + 1], const char *key)
{
        static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        char text[KEY_LEN + sizeof(guid)];
        uint8_t hash[br_sha1_SIZE];
        br_sha1_context digest;

        memcpy(text, key, KEY_LEN);
        memcpy(text + KEY_LEN, guid, sizeof(guid));
        br_sha1_init(&digest);
        br_sha1_update(&digest, text, KEY_LEN + sizeof(guid) - 1);
        br_sha1_out(&digest, hash);
        accept[base64_encode(accept, hash, sizeof(hash))] = '\0';
}

static enum upgrade_status root(struct upgrade *u, const struct auth_rule *rule,
                                const struct http1 *h, int64_t now_s)
{
        struct http1_text key = http1_header(h, "sec-websocket-key");
        struct http1_text version = http1_header(h, "sec-websocket-version");
        const char *why;

        if (!text_is(h->method, "GET"))
                return answer(u, 405, "");
        if (!http1_has_token(h, "connection", "upgrade"))
                return answer(u, 400, "Connection header did not include 'upgrade'");
        if (!http1_has_token(h, "upgrade", "websocket"))
                return answer(u, 400, "`Upgrade` header did not include 'websocket'");
        if (!version.at || !text_is(version, "13"))
                return answer(u, 400, "`Sec-WebSocket-Version` header did not include '13'");
        if (!key.at)
                return answer(u, 400, "`Sec-WebSocket-Key` header missing");
        if (!key_is_right(key) || http1_header_count(h, "sec-websocket-key") != 1)
                return answer(u, 400, "`Sec-WebSocket-Key` header is not sixteen bytes in base64");
        if (h->body != HTTP1_NONE)
                return answer(u, 400, "a WebSocket handshake has no body");
        why = refusal(rule, h, now_s);
        if (why)
                return answer(u, 401, why);
        put_accept(u->accept, key.at);
        u->status = 101;
        u->text = "";
        return UPGRADE_OPEN;
}

enum upgrade_status upgrade_parse(struct upgrade *u, const struct auth_rule *rule, const char *buf,
                                  size_t len, size_t *scanned, int64_t now_s)
{
        static struct http1 h LARGE_BUFFER;
        enum http1_status s = http1_parse_request(&h, buf, len, scanned);

        *u = (struct upgrade){ .text = "" };
        if (s == HTTP1_MORE)
                return UPGRADE_MORE;
        if (s != HTTP1_OK)
                return answer(u, s == HTTP1_TOO_LONG ? 431 : 400, http1_status_str(s));
        u->head_len = h.head_len;
        u->head = text_is(h.method, "HEAD");
        if (http1_header(&h, "origin").at)
                return answer(u, 403, "");
        if (text_is(h.path, "/readyz"))
                return answer(u, u->head || text_is(h.method, "GET") ? 200 : 405, "");
        if (!text_is(h.path, "/"))
                return answer(u, 404, "");
        return root(u, rule, &h, now_s);
}

static const char *reason(unsigned status)
{
        switch (status) {
        case 200:
                return "OK";
        case 400:
                return "Bad Request";
        case 401:
                return "Unauthorized";
        case 403:
                return "Forbidden";
        case 404:
                return "Not Found";
        case 405:
                return "Method Not Allowed";
        default:
                return "Request Header Fields Too Large";
        }
}

void upgrade_put(struct wr *w, const struct upgrade *u)
{
        if (u->status == 101) {
                wr_fmt(w,
                       "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"
                       "upgrade: websocket\r\nsec-websocket-accept: %s\r\n\r\n",
                       u->accept);
                return;
        }
        wr_fmt(w, "HTTP/1.1 %u %s\r\nconnection: close\r\n", u->status, reason(u->status));
        if (u->status == 405)
                wr_str(w, "allow: GET,HEAD\r\n");
        if (u->status == 401)
                wr_str(w, "www-authenticate: Bearer\r\n");
        if (u->text[0])
                wr_str(w, "content-type: text/plain; charset=utf-8\r\n");
        wr_fmt(w, "content-length: %zu\r\n\r\n%s", strlen(u->text), u->head ? "" : u->text);
}

/* --- the client's side ------------------------------------------------------------------ */

void upgrade_put_request(struct wr *w, const char *host, const char *path, const char *token,
                         const uint8_t nonce[16], char accept[UPGRADE_ACCEPT_LEN + 1])
{
        char key[KEY_LEN + 1];

        key[base64_encode(key, nonce, 16)] = '\0';
        put_accept(accept, key);
        wr_fmt(w,
               "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
               path, host, key);
        if (token)
                wr_fmt(w, "Authorization: Bearer %s\r\n", token);
        wr_str(w, "\r\n");
}

static enum upgrade_status refused(struct upgrade_answer *a, const char *why)
{
        a->why = why;
        return UPGRADE_ANSWER;
}

void upgrade_put_connect(struct wr *w, const char *host, bool tls)
{
        wr_fmt(w, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", host, host,
               tls ? "X-Airlock-TLS: yes\r\n" : "");
}

/* UPGRADE_OPEN: a whole head, which may still be a refusal. */
static enum upgrade_status read_head(struct upgrade_answer *a, struct http1 *h,
                                     const char *method, const char *buf, size_t len,
                                     size_t *scanned)
{
        enum http1_status s = http1_parse_response(h, buf, len, scanned, method, strlen(method));

        *a = (struct upgrade_answer){ .why = "", .text = "" };
        if (s == HTTP1_MORE && memcmp(buf, "HTTP/", len < 5 ? len : 5) != 0)
                s = HTTP1_LINE; /* a whole head may never come */
        if (s == HTTP1_MORE)
                return UPGRADE_MORE;
        if (s != HTTP1_OK)
                return refused(a, "it does not answer in HTTP");
        a->head_len = h->head_len;
        a->status = h->code;
        a->text = buf + h->head_len;
        a->text_len = len - h->head_len;
        a->body_len = h->has_length ? h->length : 0;
        return UPGRADE_OPEN;
}

enum upgrade_status upgrade_read_connect(struct upgrade_answer *a, bool tls, const char *buf,
                                         size_t len, size_t *scanned)
{
        static struct http1 h LARGE_BUFFER;
        enum upgrade_status s = read_head(a, &h, "CONNECT", buf, len, scanned);

        if (s != UPGRADE_OPEN)
                return s;
        if (h.code != 200)
                return refused(a, "airlock-proxy does not connect");
        a->status = 0;
        return !tls || http1_header(&h, "x-airlock-tls").at
                       ? UPGRADE_OPEN
                       : refused(a, "the proxy speaks no TLS in our place, as airlock-proxy does");
}

enum upgrade_status upgrade_read_answer(struct upgrade_answer *a, const char *accept,
                                        const char *buf, size_t len, size_t *scanned)
{
        static struct http1 h LARGE_BUFFER;
        enum upgrade_status s = read_head(a, &h, "GET", buf, len, scanned);
        struct http1_text said;

        if (s != UPGRADE_OPEN)
                return s;
        if (h.code != 101)
                return refused(a, "it answers no WebSocket handshake");
        said = http1_header(&h, "sec-websocket-accept");
        if (!http1_has_token(&h, "upgrade", "websocket") || !said.at || !text_is(said, accept))
                return refused(a, "its handshake is not a WebSocket's");
        if (http1_header(&h, "sec-websocket-extensions").at ||
            http1_header(&h, "sec-websocket-protocol").at)
                return refused(a, "it wants an extension that nobody asked for");
        return UPGRADE_OPEN;
}
