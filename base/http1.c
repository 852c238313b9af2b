/* base/http1.c - one reading of an HTTP/1.1 message, or none (RFC 9110, 9112). */
#include "base/http1.h"

#include "base/digits.h"

#include <string.h>
#include <strings.h>

enum {
        METHOD_LEN = 32,
        EXTENSION_LEN = 256, /* bytes of a chunk's size line */
        SIZE_DIGITS = 15,
        LENGTH_DIGITS = 18,
};

static const char *const status_names[] = {
        [HTTP1_OK] = "a message",
        [HTTP1_MORE] = "more to come",
        [HTTP1_DONE] = "the end of the body",
        [HTTP1_LINE] = "a malformed first line",
        [HTTP1_VERSION] = "another version than HTTP/1.1 or HTTP/1.0",
        [HTTP1_METHOD] = "a malformed method",
        [HTTP1_TARGET] = "a malformed or ambiguous target",
        [HTTP1_NEWLINE] = "a bare CR or LF",
        [HTTP1_CONTROL] = "a control byte, or a tab around a value",
        [HTTP1_FOLDED] = "a folded header",
        [HTTP1_NAME] = "a malformed or ambiguous header name",
        [HTTP1_TOO_LONG] = "too long a head, trailer or chunk extension",
        [HTTP1_HOST] = "no Host, two, or a malformed one",
        [HTTP1_LENGTHS] = "a malformed, listed or repeated Content-Length",
        [HTTP1_CODING] = "another Transfer-Encoding than chunked",
        [HTTP1_BOTH] = "Content-Length and Transfer-Encoding",
        [HTTP1_HOPS] = "a Connection header that names what frames the message",
        [HTTP1_EXPECT] = "another Expect than 100-continue",
        [HTTP1_CHUNK] = "a malformed chunk",
};

const char *http1_status_str(enum http1_status s)
{
        return status_names[s];
}

/* --- text ------------------------------------------------------------------------------ */

static struct http1_text text_of(const char *at, size_t len)
{
        return (struct http1_text){ at, len };
}

bool http1_text_is(struct http1_text t, const char *s)
{
        return t.len == strlen(s) && !strncasecmp(t.at, s, t.len);
}

static bool begins(struct http1_text t, const char *s)
{
        return t.len >= strlen(s) && !strncasecmp(t.at, s, strlen(s));
}

static struct http1_text skip(struct http1_text t, size_t n)
{
        return text_of(t.at + n, t.len - n);
}

/* Bytes before the first one of @stop; all of them when there is none. */
static size_t span_until(struct http1_text t, const char *stop)
{
        if (t.len && !stop[1]) { /* most are: a line's end, a colon */
                const char *found = memchr(t.at, stop[0], t.len);

                return found ? (size_t)(found - t.at) : t.len;
        }
        for (size_t i = 0; i < t.len; i++) {
                if (t.at[i] && strchr(stop, t.at[i]))
                        return i;
        }
        return t.len;
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool is_token(struct http1_text t)
{
        for (size_t i = 0; i < t.len; i++) {
                char c = t.at[i];

                if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
                    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
                        return false;
        }
        return t.len;
}

static struct http1_text trim(struct http1_text t)
{
        while (t.len && t.at[0] == ' ')
                t = skip(t, 1);
        while (t.len && t.at[t.len - 1] == ' ')
                t.len--;
        return t;
}

/* Digits without a leading zero. */
static bool read_number(struct http1_text t, size_t max_digits, uint64_t *n)
{
        *n = 0;
        if (!t.len || t.len > max_digits || (t.len > 1 && t.at[0] == '0'))
                return false;
        for (size_t i = 0; i < t.len; i++) {
                if (!is_digit(t.at[i]))
                        return false;
                *n = *n * 10 + (uint64_t)(t.at[i] - '0');
        }
        return true;
}

/* Takes the next item off a comma list; false: the list is over. */
static bool next_item(struct http1_text *list, struct http1_text *item)
{
        size_t n;

        if (!list->at)
                return false;
        n = span_until(*list, ",");
        *item = trim(text_of(list->at, n));
        *list = n < list->len ? skip(*list, n + 1) : text_of(NULL, 0);
        return true;
}

/* --- headers ----------------------------------------------------------------------------- */

/* The next header of that name from *@i on, which moves behind it. */
static const struct http1_header *next_header(const struct http1 *h, const char *name,
                                              size_t *i)
{
        while (*i < h->count) {
                const struct http1_header *header = &h->headers[(*i)++];

                if (http1_text_is(header->name, name))
                        return header;
        }
        return NULL;
}

struct http1_text http1_header(const struct http1 *h, const char *name)
{
        size_t i = 0;
        const struct http1_header *header = next_header(h, name, &i);

        return header ? header->value : text_of(NULL, 0);
}

size_t http1_header_count(const struct http1 *h, const char *name)
{
        size_t count = 0;
        size_t i = 0;

        while (next_header(h, name, &i))
                count++;
        return count;
}

bool http1_has_token(const struct http1 *h, const char *name, const char *token)
{
        const struct http1_header *header;
        size_t i = 0;

        while ((header = next_header(h, name, &i))) {
                struct http1_text list = header->value;
                struct http1_text item;

                while (next_item(&list, &item)) {
                        if (http1_text_is(item, token))
                                return true;
                }
        }
        return false;
}

/* Does Connection name this header? */
static bool is_nominated(const struct http1 *h, struct http1_text name)
{
        const struct http1_header *header;
        size_t i = 0;

        while ((header = next_header(h, "connection", &i))) {
                struct http1_text list = header->value;
                struct http1_text item;

                while (next_item(&list, &item)) {
                        if (item.len == name.len && !strncasecmp(item.at, name.at, item.len))
                                return true;
                }
        }
        return false;
}

bool http1_ends_here(const struct http1 *h, struct http1_text name)
{
        static const char *const ends[] = {
                "connection", "keep-alive", "te",     "trailer", "transfer-encoding",
                "upgrade",    "host",       "expect", "content-length", "http2-settings",
                "close", /* no header, but our own Connection: close would name it */
        };

        for (size_t i = 0; i < COUNT(ends); i++) {
                if (http1_text_is(name, ends[i]))
                        return true;
        }
        return begins(name, "proxy-") || is_nominated(h, name);
}

/* "Content_Length": a server that makes variables of headers takes it for the real one. */
static bool imitates(struct http1_text name)
{
        static const char *const real[] = {
                "content-length", "transfer-encoding", "proxy-authorization", "proxy-connection",
        };

        for (size_t i = 0; i < COUNT(real); i++) {
                bool same = name.len == strlen(real[i]);
                bool underscore = false;

                for (size_t n = 0; same && n < name.len; n++) {
                        underscore |= name.at[n] == '_';
                        same = (name.at[n] | 0x20) == real[i][n] ||
                               (real[i][n] == '-' && (name.at[n] == '_' || name.at[n] == '-'));
                }
                if (same && underscore)
                        return true;
        }
        return false;
}

static enum http1_status read_header(struct http1 *h, struct http1_text line)
{
        size_t colon = span_until(line, ":");
        struct http1_header *header = &h->headers[h->count];

        if (line.at[0] == ' ' || line.at[0] == '\t')
                return HTTP1_FOLDED;
        if (h->count == HTTP1_HEADERS)
                return HTTP1_TOO_LONG;
        header->name = text_of(line.at, colon);
        if (colon == line.len || !is_token(header->name) || imitates(header->name))
                return HTTP1_NAME;
        header->value = trim(skip(line, colon + 1));
        if (header->value.len && (header->value.at[0] == '\t' ||
                                  header->value.at[header->value.len - 1] == '\t'))
                return HTTP1_CONTROL;
        h->count++;
        return HTTP1_OK;
}

/* --- the head as lines --------------------------------------------------------------------- */

/*
 * Looks for the empty line. What no head may hold ends the search where it is found, so a
 * client that speaks another protocol hears at once.
 */
static enum http1_status find_end(const char *buf, size_t len, size_t *scanned, size_t *end)
{
        for (size_t i = *scanned; i < len; i++) {
                unsigned char c = (unsigned char)buf[i];
                bool after_cr = i && buf[i - 1] == '\r';

                if (i == HTTP1_HEAD_MAX)
                        return HTTP1_TOO_LONG;
                if (after_cr != (c == '\n'))
                        return HTTP1_NEWLINE;
                if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
                        return HTTP1_CONTROL;
                if (c != '\n')
                        continue;
                if (i == 1)
                        return HTTP1_LINE; /* an empty first line */
                if (i >= 3 && buf[i - 2] == '\n') {
                        *end = i + 1;
                        *scanned = i;
                        return HTTP1_OK;
                }
        }
        *scanned = len > *scanned ? len : *scanned;
        return HTTP1_MORE;
}

/* Takes a line off a head whose newlines find_end has checked. */
static struct http1_text next_line(struct http1_text *rest)
{
        size_t n = span_until(*rest, "\r");
        struct http1_text line = text_of(rest->at, n);

        *rest = skip(*rest, n + 2);
        return line;
}

static enum http1_status read_headers(struct http1 *h, struct http1_text rest)
{
        enum http1_status s = HTTP1_OK;

        while (!s && rest.len > 2)
                s = read_header(h, next_line(&rest));
        return s;
}

/* --- framing ------------------------------------------------------------------------------- */

static enum http1_status read_framing(struct http1 *h)
{
        size_t lengths = http1_header_count(h, "content-length");
        size_t codings = http1_header_count(h, "transfer-encoding");

        if (lengths && codings)
                return HTTP1_BOTH;
        if (codings && (codings > 1 || !h->minor ||
                        !http1_text_is(http1_header(h, "transfer-encoding"), "chunked")))
                return HTTP1_CODING;
        if (lengths && (lengths > 1 || !read_number(http1_header(h, "content-length"),
                                                    LENGTH_DIGITS, &h->length)))
                return HTTP1_LENGTHS;
        h->has_length = lengths;
        h->body = codings ? HTTP1_CHUNKED : h->length ? HTTP1_LENGTH : HTTP1_NONE;
        if (is_nominated(h, text_of("content-length", 14)) ||
            is_nominated(h, text_of("transfer-encoding", 17)) ||
            is_nominated(h, text_of("host", 4)))
                return HTTP1_HOPS;
        h->keep_alive = h->minor ? !http1_has_token(h, "connection", "close")
                                 : http1_has_token(h, "connection", "keep-alive") &&
                                           !http1_has_token(h, "connection", "close");
        h->upgrades = http1_header_count(h, "upgrade") &&
                      http1_has_token(h, "connection", "upgrade");
        return HTTP1_OK;
}

static bool upgrades_to_websocket(const struct http1 *h)
{
        return h->upgrades && http1_header_count(h, "upgrade") == 1 &&
               http1_text_is(http1_header(h, "upgrade"), "websocket");
}

/* "HTTP/1.1": the digit; what else there may be is HTTP1_VERSION. */
static bool read_version(struct http1_text t, unsigned *minor)
{
        if (t.len != 8 || memcmp(t.at, "HTTP/1.", 7) != 0 || (t.at[7] != '0' && t.at[7] != '1'))
                return false;
        *minor = (unsigned)(t.at[7] - '0');
        return true;
}

/* --- targets ------------------------------------------------------------------------------- */

struct authority {
        struct http1_text host;
        bool host_ip6;
        uint16_t port;
};

/* HOST or HOST:PORT or HOST: or [IPV6] with these; the host itself is not judged. */
static bool read_authority(struct authority *a, struct http1_text t)
{
        size_t n = span_until(t, "@/\\?#, \t");
        uint64_t port = 0;

        if (n < t.len || !t.len)
                return false;
        a->host_ip6 = t.at[0] == '[';
        if (a->host_ip6) {
                n = span_until(t, "]");
                a->host = text_of(t.at + 1, n ? n - 1 : 0);
                if (n == t.len || !memchr(t.at, ':', n))
                        return false;
                for (size_t i = 0; i < a->host.len; i++) {
                        if (!a->host.at[i] || !strchr("0123456789abcdefABCDEF:.", a->host.at[i]))
                                return false;
                }
                n++;
        } else {
                n = span_until(t, ":");
                a->host = text_of(t.at, n);
                if (span_until(a->host, "[]") < n)
                        return false;
        }
        if (!a->host.len || (n < t.len && t.at[n] != ':'))
                return false;
        t = n < t.len ? skip(t, n + 1) : text_of(NULL, 0);
        if (t.len && (!read_number(t, 5, &port) || !port || port > 65535))
                return false;
        a->port = (uint16_t)port;
        return true;
}

static void set_authority(struct http1 *h, const struct authority *a)
{
        h->host = a->host;
        h->host_ip6 = a->host_ip6;
        h->port = a->port;
}

static void split_path(struct http1 *h, struct http1_text t)
{
        size_t n = span_until(t, "?");

        h->path = n ? text_of(t.at, n) : text_of("/", 1);
        h->query = n < t.len ? skip(t, n + 1) : text_of(NULL, 0);
}

static enum http1_status read_absolute(struct http1 *h, struct http1_text t)
{
        struct authority a = { .port = 0 };
        size_t n;

        h->form = HTTP1_ABSOLUTE;
        h->https = begins(t, "https://");
        if (!h->https && !begins(t, "http://"))
                return HTTP1_TARGET;
        t = skip(t, h->https ? 8 : 7);
        n = span_until(t, "/?");
        if (!read_authority(&a, text_of(t.at, n)))
                return HTTP1_TARGET;
        set_authority(h, &a);
        split_path(h, skip(t, n));
        return HTTP1_OK;
}

static enum http1_status read_target(struct http1 *h)
{
        struct http1_text t = h->target;
        bool connect = h->method.len == 7 && !memcmp(h->method.at, "CONNECT", 7);
        bool options = h->method.len == 7 && !memcmp(h->method.at, "OPTIONS", 7);
        struct authority a = { .port = 0 };

        if (!t.len || span_until(t, "#\\\t") < t.len)
                return HTTP1_TARGET;
        if (connect) {
                h->form = HTTP1_AUTHORITY;
                if (!read_authority(&a, t) || !a.port)
                        return HTTP1_TARGET;
                set_authority(h, &a);
                return HTTP1_OK;
        }
        if (t.at[0] == '/') {
                h->form = HTTP1_ORIGIN;
                split_path(h, t);
                return HTTP1_OK;
        }
        if (t.len == 1 && t.at[0] == '*') {
                h->form = HTTP1_ASTERISK;
                h->path = t;
                return options ? HTTP1_OK : HTTP1_TARGET;
        }
        return read_absolute(h, t);
}

/* One Host that is a host; the target's own wins over it. */
static enum http1_status read_host(struct http1 *h)
{
        size_t hosts = http1_header_count(h, "host");
        struct authority got = { .port = 0 };

        if (hosts > 1 || (!hosts && h->minor && h->form != HTTP1_AUTHORITY))
                return HTTP1_HOST;
        if (!hosts)
                return HTTP1_OK;
        if (!read_authority(&got, http1_header(h, "host")))
                return HTTP1_HOST;
        if (h->form == HTTP1_ORIGIN || h->form == HTTP1_ASTERISK)
                set_authority(h, &got);
        return HTTP1_OK;
}

/* --- requests ------------------------------------------------------------------------------- */

static enum http1_status read_request_line(struct http1 *h, struct http1_text line)
{
        size_t n = span_until(line, " ");

        h->method = text_of(line.at, n);
        if (n == line.len)
                return HTTP1_LINE;
        line = skip(line, n + 1);
        n = span_until(line, " ");
        h->target = text_of(line.at, n);
        if (n == line.len)
                return HTTP1_LINE;
        line = skip(line, n + 1);
        if (span_until(line, " ") < line.len)
                return HTTP1_LINE;
        if (!is_token(h->method) || h->method.len > METHOD_LEN)
                return HTTP1_METHOD;
        if (!read_version(line, &h->minor))
                return HTTP1_VERSION;
        return read_target(h);
}

/* Some frameworks obey these in place of the request line. */
static const char *const other_methods[] = { "x-http-method-override", "x-http-method",
                                             "x-method-override" };
static const char *const other_paths[] = { "x-original-url", "x-rewrite-url", "x-override-url" };

/* Has a header of these names, where a server may read '_' as '-'. */
static bool has_any(const struct http1 *h, const char *const *names, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                for (size_t n = 0; n < h->count; n++) {
                        struct http1_text name = h->headers[n].name;
                        bool same = name.len == strlen(names[i]);

                        for (size_t c = 0; same && c < name.len; c++)
                                same = (name.at[c] | 0x20) == names[i][c] ||
                                       (names[i][c] == '-' && name.at[c] == '_');
                        if (same)
                                return true;
                }
        }
        return false;
}

static enum http1_status read_request(struct http1 *h, struct http1_text head)
{
        enum http1_status s = read_request_line(h, next_line(&head));

        if (!s)
                s = read_headers(h, head);
        if (!s)
                s = read_host(h);
        if (!s)
                s = read_framing(h);
        if (s)
                return s;
        if (h->form == HTTP1_AUTHORITY && h->body != HTTP1_NONE)
                return h->body == HTTP1_LENGTH ? HTTP1_LENGTHS : HTTP1_CODING;
        if (h->minor && http1_header_count(h, "expect")) {
                if (http1_header_count(h, "expect") > 1 ||
                    !http1_text_is(http1_header(h, "expect"), "100-continue"))
                        return HTTP1_EXPECT;
                h->expect_continue = true;
        }
        h->websocket = h->minor && h->body == HTTP1_NONE && h->method.len == 3 &&
                       !memcmp(h->method.at, "GET", 3) && upgrades_to_websocket(h);
        h->overrides_method = has_any(h, other_methods, COUNT(other_methods));
        h->overrides_path = has_any(h, other_paths, COUNT(other_paths));
        return HTTP1_OK;
}

enum http1_status http1_parse_request(struct http1 *h, const char *buf, size_t len,
                                      size_t *scanned)
{
        size_t end;
        enum http1_status s = find_end(buf, len, scanned, &end);

        if (s)
                return s;
        memset(h, 0, offsetof(struct http1, headers));
        h->head_len = end;
        return read_request(h, text_of(buf, end));
}

/* --- responses ------------------------------------------------------------------------------- */

static enum http1_status read_status_line(struct http1 *h, struct http1_text line)
{
        uint64_t code;

        if (line.len < 8 || memcmp(line.at, "HTTP/", 5) != 0)
                return HTTP1_LINE;
        if (!read_version(text_of(line.at, 8), &h->minor))
                return HTTP1_VERSION;
        line = skip(line, 8);
        if (line.len < 4 || line.at[0] != ' ' || !read_number(text_of(line.at + 1, 3), 3, &code) ||
            code < 100 || code > 599 || (line.len > 4 && line.at[4] != ' '))
                return HTTP1_LINE;
        h->code = (unsigned)code;
        h->reason = line.len > 5 ? skip(line, 5) : text_of("", 0);
        return HTTP1_OK;
}

static enum http1_status read_response(struct http1 *h, struct http1_text head,
                                       struct http1_text method)
{
        enum http1_status s = read_status_line(h, next_line(&head));
        bool connected = http1_text_is(method, "connect") && h->code / 100 == 2;
        bool claims_body;

        if (!s)
                s = read_headers(h, head);
        if (!s)
                s = read_framing(h);
        if (s)
                return s;
        claims_body = h->body != HTTP1_NONE;
        if (h->code < 200 && h->code != 101 && claims_body)
                return HTTP1_LENGTHS; /* what follows: a body, or the real response? */
        if (h->code == 101 || connected) {
                h->body = HTTP1_TUNNEL;
                h->websocket = h->code == 101 && upgrades_to_websocket(h);
        } else if (h->code < 200 || h->code == 204 || h->code == 304 ||
                   http1_text_is(method, "head")) {
                h->body = HTTP1_NONE;
        } else if (h->body == HTTP1_NONE && !h->has_length) {
                h->body = HTTP1_UNTIL_CLOSE;
        }
        if (h->body == HTTP1_TUNNEL || h->body == HTTP1_UNTIL_CLOSE ||
            (h->code == 204 && claims_body))
                h->keep_alive = false;
        return HTTP1_OK;
}

enum http1_status http1_parse_response(struct http1 *h, const char *buf, size_t len,
                                       size_t *scanned, const char *method, size_t method_len)
{
        size_t end;
        enum http1_status s = find_end(buf, len, scanned, &end);

        if (s)
                return s;
        memset(h, 0, offsetof(struct http1, headers));
        h->head_len = end;
        return read_response(h, text_of(buf, end), text_of(method, method_len));
}

/* --- chunks ---------------------------------------------------------------------------------- */

/*
 * SIZE_FIRST -> SIZE       the first digit
 * SIZE -> EXTENSION        ';'
 * SIZE, EXTENSION -> SIZE_LF       CR
 * SIZE_LF -> DATA          LF of a size that is not 0
 * DATA -> DATA_CR -> DATA_LF -> SIZE_FIRST
 * SIZE_LF -> LINE_FIRST    LF of the last chunk: trailers begin
 * LINE_FIRST -> LINE -> LINE_LF -> LINE_FIRST      a trailer
 * LINE_FIRST -> LAST_LF -> done    the empty line
 */
enum {
        CHUNK_SIZE_FIRST,
        CHUNK_SIZE,
        CHUNK_EXTENSION,
        CHUNK_SIZE_LF,
        CHUNK_DATA,
        CHUNK_DATA_CR,
        CHUNK_DATA_LF,
        CHUNK_LINE_FIRST,
        CHUNK_LINE,
        CHUNK_LINE_LF,
        CHUNK_LAST_LF,
};

void http1_chunked_init(struct http1_chunked *c)
{
        *c = (struct http1_chunked){ .state = CHUNK_SIZE_FIRST };
}

static enum http1_status go(struct http1_chunked *c, unsigned state)
{
        c->state = state;
        return HTTP1_OK;
}

/* A byte of a size line. */
static enum http1_status size_byte(struct http1_chunked *c, char b)
{
        if (hex_value(b) >= 0) {
                if (c->line > SIZE_DIGITS)
                        return HTTP1_CHUNK;
                c->left = c->left << 4 | (uint64_t)hex_value(b);
                return go(c, CHUNK_SIZE);
        }
        if (c->state == CHUNK_SIZE_FIRST)
                return HTTP1_CHUNK;
        if (b == ';')
                return go(c, CHUNK_EXTENSION);
        return b == '\r' ? go(c, CHUNK_SIZE_LF) : HTTP1_CHUNK;
}

/* A byte that is neither data nor a size; control bytes but the ones due have no place. */
static enum http1_status line_byte(struct http1_chunked *c, char b, unsigned after_cr)
{
        if (b == '\r')
                return go(c, after_cr);
        if (((unsigned char)b < ' ' && b != '\t') || b == 0x7f)
                return HTTP1_CHUNK;
        if (c->state == CHUNK_LINE_FIRST) {
                if (b == ' ' || b == '\t')
                        return HTTP1_CHUNK;
                c->state = CHUNK_LINE;
        }
        return HTTP1_OK;
}

static enum http1_status expect(struct http1_chunked *c, char b, char want, unsigned state)
{
        if (b != want)
                return HTTP1_CHUNK;
        c->state = state;
        return HTTP1_OK;
}

/* One byte that is not data. HTTP1_OK: go on. */
static enum http1_status frame_byte(struct http1_chunked *c, char b)
{
        c->line++;
        switch (c->state) {
        case CHUNK_SIZE_FIRST:
                c->left = 0;
                c->line = 1;
                return size_byte(c, b);
        case CHUNK_SIZE:
                return size_byte(c, b);
        case CHUNK_EXTENSION:
                if (c->line > EXTENSION_LEN)
                        return HTTP1_TOO_LONG;
                return line_byte(c, b, CHUNK_SIZE_LF);
        case CHUNK_SIZE_LF:
                c->line = 0;
                return expect(c, b, '\n', c->left ? CHUNK_DATA : CHUNK_LINE_FIRST);
        case CHUNK_DATA_CR:
                return expect(c, b, '\r', CHUNK_DATA_LF);
        case CHUNK_DATA_LF:
                return expect(c, b, '\n', CHUNK_SIZE_FIRST);
        case CHUNK_LINE_FIRST:
        case CHUNK_LINE:
                if (c->line > HTTP1_TRAILERS_MAX)
                        return HTTP1_TOO_LONG;
                return line_byte(c, b, c->state == CHUNK_LINE ? CHUNK_LINE_LF : CHUNK_LAST_LF);
        case CHUNK_LINE_LF:
                return expect(c, b, '\n', CHUNK_LINE_FIRST);
        default: /* CHUNK_LAST_LF */
                return b == '\n' ? HTTP1_DONE : HTTP1_CHUNK;
        }
}

enum http1_status http1_chunk_next(struct http1_chunked *c, const char *buf, size_t len,
                                   size_t *used, struct http1_text *piece)
{
        *used = 0;
        while (!c->ended && *used < len) {
                size_t n = len - *used;

                if (c->state != CHUNK_DATA) {
                        c->ended = frame_byte(c, buf[(*used)++]);
                        continue;
                }
                if (n > c->left)
                        n = (size_t)c->left;
                *piece = text_of(buf + *used, n);
                *used += n;
                c->left -= n;
                if (!c->left)
                        c->state = CHUNK_DATA_CR;
                return HTTP1_OK;
        }
        return c->ended ? c->ended : HTTP1_MORE;
}

/* --- writing --------------------------------------------------------------------------------- */

static void put_text(struct wr *w, struct http1_text t)
{
        wr_bytes(w, t.at, t.len);
}

static void put_authority(struct wr *w, const struct http1 *h, const char *authority)
{
        if (authority) {
                wr_str(w, authority);
                return;
        }
        if (h->host_ip6)
                wr_char(w, '[');
        put_text(w, h->host);
        if (h->host_ip6)
                wr_char(w, ']');
        if (h->port)
                wr_fmt(w, ":%u", h->port);
}

void http1_put_request_line(struct wr *w, const struct http1 *h, bool absolute,
                            const char *authority)
{
        put_text(w, h->method);
        wr_char(w, ' ');
        if (absolute) {
                wr_str(w, "http://");
                put_authority(w, h, authority);
        }
        if (!absolute || h->form != HTTP1_ASTERISK)
                put_text(w, h->path);
        if (h->query.at) {
                wr_char(w, '?');
                put_text(w, h->query);
        }
        wr_fmt(w, " HTTP/1.%u\r\nHost: ", h->minor);
        put_authority(w, h, authority);
        wr_str(w, "\r\n");
}

void http1_put_status_line(struct wr *w, const struct http1 *h)
{
        wr_fmt(w, "HTTP/1.1 %u ", h->code);
        put_text(w, h->reason);
        wr_str(w, "\r\n");
}

void http1_put_headers(struct wr *w, const struct http1 *h, const char *const *drop)
{
        for (size_t i = 0; i < h->count; i++) {
                const struct http1_header *header = &h->headers[i];
                const char *const *d = drop;

                while (d && *d && !http1_text_is(header->name, *d))
                        d++;
                if ((d && *d) || http1_ends_here(h, header->name))
                        continue;
                put_text(w, header->name);
                wr_str(w, ": ");
                put_text(w, header->value);
                wr_str(w, "\r\n");
        }
}

void http1_put_end(struct wr *w, const struct http1 *h, bool close)
{
        if (h->body == HTTP1_CHUNKED)
                wr_str(w, "Transfer-Encoding: chunked\r\n");
        else if (h->has_length && h->body != HTTP1_TUNNEL && h->code / 100 != 1 && h->code != 204)
                wr_fmt(w, "Content-Length: %llu\r\n", (unsigned long long)h->length);
        if (h->websocket)
                wr_str(w, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
        else if (close)
                wr_str(w, "Connection: close\r\n");
        if (h->expect_continue)
                wr_str(w, "Expect: 100-continue\r\n");
        wr_str(w, "\r\n");
}

void http1_put_chunk(struct wr *w, size_t len)
{
        wr_fmt(w, "%zx\r\n", len);
}
