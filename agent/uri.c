/* agent/uri.c - WHATWG's file state, for one kind of host. */
#include "agent/uri.h"

#include <string.h>
#include <strings.h>

static bool is_slash(char c)
{
        return c == '/' || c == '\\';
}

static bool is_alpha(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_in_scheme(char c)
{
        return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

static char lower(char c)
{
        if (c >= 'A' && c <= 'Z')
                return (char)(c + 32);
        return c;
}

static bool is_dropped(char c)
{
        return c == '\t' || c == '\n' || c == '\r';
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct text {
        const char *at, *end;
};

static struct text trimmed(const char *text, size_t len)
{
        struct text t = { text, text + len };

        while (t.at < t.end && (unsigned char)*t.at <= ' ')
                t.at++;
        while (t.at < t.end && (unsigned char)t.end[-1] <= ' ')
                t.end--;
        return t;
}

/* The next byte that counts; '\0' at the end with *@done set. */
static char next(struct text *t, bool *done)
{
        while (t->at < t->end && is_dropped(*t->at))
                t->at++;
        *done = t->at == t->end;
        if (*done)
                return '\0';
        return *t->at++;
}

static char look(struct text t, bool *done)
{
        return next(&t, done);
}

/* Reads "scheme:"; its name in lower case into @name. */
static bool take_scheme(struct text *t, char *name, size_t cap)
{
        struct text ahead = *t;
        size_t n = 0;
        bool done;

        for (;;) {
                char c = next(&ahead, &done);

                if (done || n + 1 == cap)
                        return false;
                if (c == ':' && n)
                        break;
                if (n ? !is_in_scheme(c) : !is_alpha(c))
                        return false;
                name[n++] = lower(c);
        }
        name[n] = '\0';
        *t = ahead;
        return true;
}

/* Behind "file:": skips "//host". */
static enum uri_status take_authority(struct text *t, char *name, size_t cap)
{
        struct text ahead = *t;
        size_t n = 0;
        bool done;
        char first = next(&ahead, &done), second = next(&ahead, &done);

        if (!is_slash(first) || !is_slash(second))
                return URI_OK;
        for (;;) {
                char c = look(ahead, &done);

                if (done || is_slash(c) || c == '?' || c == '#')
                        break;
                if (n + 1 == cap)
                        return URI_TOO_LONG;
                name[n++] = c;
                next(&ahead, &done);
        }
        name[n] = '\0';
        *t = ahead;
        if (!n || !strcasecmp(name, "localhost"))
                return URI_OK;
        for (char c = next(&ahead, &done); !done && n + 1 < cap; c = next(&ahead, &done))
                name[n++] = c; /* all of it, for the message */
        name[n] = '\0';
        return URI_AUTHORITY;
}

/* Is the segment @s of @n bytes "." (1) or ".." (2), escaped or not? */
static unsigned dots(const char *s, size_t n)
{
        unsigned count = 0;

        for (size_t i = 0; i < n; count++) {
                if (s[i] == '.')
                        i++;
                else if (n - i >= 3 && s[i] == '%' && s[i + 1] == '2' && (s[i + 2] | 32) == 'e')
                        i += 3;
                else
                        return 0;
        }
        return count <= 2 ? count : 0;
}

/* The raw segments into @raw as "/a/b", dots collapsed. Returns the length, 0: too long. */
static size_t collapse(char *raw, size_t cap, struct text *t)
{
        size_t len = 0, start;
        bool done, last = false;

        if (is_slash(look(*t, &done)) && !done)
                next(t, &done);
        while (!last) {
                unsigned d;

                if (len + 1 >= cap)
                        return 0;
                raw[len++] = '/';
                start = len;
                for (;;) {
                        char c = look(*t, &done);

                        last = done || c == '?' || c == '#';
                        if (last)
                                break;
                        next(t, &done);
                        if (is_slash(c))
                                break;
                        if (len + 1 >= cap)
                                return 0;
                        raw[len++] = c;
                }
                d = dots(raw + start, len - start);
                if (!d)
                        continue;
                len = start - 1;
                while (d == 2 && len && raw[--len] != '/')
                        ;
                if (last)
                        raw[len++] = '/';
        }
        return len;
}

/* Escapes become bytes, in place. False: a NUL. */
static bool unescape(char *path, size_t *len)
{
        size_t to = 0;

        for (size_t i = 0; i < *len; to++) {
                int high = path[i] == '%' && *len - i >= 3 ? hex_digit(path[i + 1]) : -1;
                int low = high >= 0 ? hex_digit(path[i + 2]) : -1;

                path[to] = path[i];
                if (low >= 0)
                        path[to] = (char)(high * 16 + low);
                i += low >= 0 ? 3 : 1;
                if (!path[to])
                        return false;
        }
        *len = to;
        return true;
}

enum uri_status uri_parse(char path[URI_PATH_MAX], const char *text, size_t len)
{
        char raw[3 * URI_PATH_MAX];
        struct text t = trimmed(text, len);
        enum uri_status s;
        size_t n;
        bool done;
        char c;

        path[0] = '\0';
        if (!take_scheme(&t, path, 64))
                return URI_RELATIVE;
        if (strcmp(path, "file") != 0)
                return URI_SCHEME;
        path[0] = '\0';
        s = take_authority(&t, path, 256);
        if (s != URI_OK)
                return s;
        n = collapse(raw, sizeof(raw), &t);
        if (!n)
                return URI_TOO_LONG;
        c = next(&t, &done);
        if (!done)
                return c == '#' ? URI_FRAGMENT : URI_QUERY;
        if (!unescape(raw, &n))
                return URI_NUL;
        if (n >= URI_PATH_MAX)
                return URI_TOO_LONG;
        memcpy(path, raw, n);
        path[n] = '\0';
        return URI_OK;
}

void uri_error(struct wr *w, enum uri_status s, const char *path)
{
        switch (s) {
        case URI_OK:
                break;
        case URI_RELATIVE:
                wr_str(w, "invalid URI: relative URL without a base");
                break;
        case URI_SCHEME:
                wr_fmt(w, "unsupported path URI scheme `%s`", path);
                break;
        case URI_AUTHORITY:
                wr_fmt(w, "'file://%s' is invalid on 'linux'", path);
                break;
        case URI_QUERY:
                wr_str(w, "query parameters are not allowed in path URIs");
                break;
        case URI_FRAGMENT:
                wr_str(w, "fragments are not allowed in path URIs");
                break;
        case URI_NUL:
                wr_str(w, "NUL bytes are not allowed in path URIs");
                break;
        case URI_TOO_LONG:
                wr_str(w, "the path of this URI is too long");
                break;
        }
}

void uri_put(struct wr *w, const char *path, size_t len)
{
        wr_str(w, "file://");
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)path[i];

                if (c > ' ' && c < 0x7f && !strchr("\"#%<>?\\`{}", c)) {
                        wr_char(w, (char)c);
                } else {
                        wr_char(w, '%');
                        wr_char(w, "0123456789ABCDEF"[c >> 4]);
                        wr_char(w, "0123456789ABCDEF"[c & 15]);
                }
        }
}
