/* agent/value.c - the grammar, then slices. */
#include "agent/value.h"

#include "base/utf8.h"

#include <string.h>

struct scan {
        const char *text;
        size_t len, at;
        const char *what;
        const char *plain_at, *plain_end; /* as in a value */
};

const char *value_type_str(enum value_type t)
{
        switch (t) {
        case VALUE_ABSENT:
                return "nothing";
        case VALUE_NULL:
                return "null";
        case VALUE_BOOL:
                return "boolean";
        case VALUE_NUMBER:
                return "number";
        case VALUE_STRING:
                return "string";
        case VALUE_ARRAY:
                return "sequence";
        case VALUE_OBJECT:
                return "map";
        }
        return "?";
}

static bool wrong(struct scan *s, const char *what)
{
        if (!s->what)
                s->what = what;
        return false;
}

static char peek(const struct scan *s)
{
        if (s->at >= s->len)
                return '\0';
        return s->text[s->at];
}

static bool take(struct scan *s, char c)
{
        if (s->at == s->len || s->text[s->at] != c)
                return false;
        s->at++;
        return true;
}

/* A NUL is in no set. */
static bool is_of(const char *set, char c)
{
        return c && strchr(set, c);
}

static void skip_space(struct scan *s)
{
        while (s->at < s->len) {
                char c = s->text[s->at];

                if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
                        return;
                s->at++;
        }
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int hex4(const char *s, size_t len)
{
        int n = 0;

        if (len < 4)
                return -1;
        for (size_t i = 0; i < 4; i++) {
                int d = hex_digit(s[i]);

                if (d < 0)
                        return -1;
                n = n * 16 + d;
        }
        return n;
}

/* Behind the backslash. */
static bool scan_escape(struct scan *s)
{
        int unit;

        if (s->at == s->len || !is_of("\"\\/bfnrtu", s->text[s->at]))
                return wrong(s, "invalid escape");
        if (s->text[s->at++] != 'u')
                return true;
        unit = hex4(s->text + s->at, s->len - s->at);
        if (unit < 0)
                return wrong(s, "invalid escape");
        s->at += 4;
        if (unit < 0xd800 || unit > 0xdfff)
                return true;
        if (unit > 0xdbff || !take(s, '\\') || !take(s, 'u'))
                return wrong(s, "lone surrogate in hex escape");
        unit = hex4(s->text + s->at, s->len - s->at);
        if (unit < 0xdc00 || unit > 0xdfff)
                return wrong(s, "lone surrogate in hex escape");
        s->at += 4;
        return true;
}

/* Not 0: no ASCII (negative), a control, a quote or a backslash. No branch: it is for vectors. */
static inline unsigned char is_special(signed char c)
{
        return (unsigned char)((c < 0x20) | (c == '"') | (c == '\\'));
}

#define BLOCK 64 /* bytes: the compiler makes a few vector instructions of the inner loop */

/* How many of the next bytes are plain. */
OPTIMIZE("O3") static size_t plain_run(const char *text, size_t len)
{
        const signed char *p = (const signed char *)text;
        size_t n = 0;

        for (; n + BLOCK <= len; n += BLOCK) {
                unsigned char special = 0;

                for (size_t i = 0; i < BLOCK; i++)
                        special |= is_special(p[n + i]);
                if (special)
                        break;
        }
        while (n < len && !is_special(p[n]))
                n++;
        return n;
}

/* A string of @n plain bytes ends here: is it the longest so far? */
static void remember_plain(struct scan *s, size_t n)
{
        if (n <= (size_t)(s->plain_end - s->plain_at))
                return;
        s->plain_end = s->text + s->at;
        s->plain_at = s->plain_end - n;
}

/* Behind the opening quote. */
static bool scan_string(struct scan *s)
{
        size_t start = s->at;

        for (;;) {
                size_t n = plain_run(s->text + s->at, s->len - s->at);

                s->at += n;
                if (s->at == s->len)
                        return wrong(s, "EOF while parsing a string");
                if (s->text[s->at] == '"' && s->at - start == n)
                        remember_plain(s, n);
                if (take(s, '"'))
                        return true;
                if (take(s, '\\')) {
                        if (!scan_escape(s))
                                return false;
                        continue;
                }
                n = (unsigned char)s->text[s->at] < 0x80
                            ? 0
                            : utf8_len(s->text + s->at, s->len - s->at);
                if (!n)
                        return wrong(s, "control character (\\u0000-\\u001F) found while parsing "
                                        "a string");
                s->at += n;
        }
}

static bool scan_digits(struct scan *s)
{
        size_t start = s->at;

        while (peek(s) >= '0' && peek(s) <= '9')
                s->at++;
        return s->at > start || wrong(s, "invalid number");
}

static bool scan_number(struct scan *s)
{
        take(s, '-');
        if (!take(s, '0') && !scan_digits(s))
                return false;
        if (take(s, '.') && !scan_digits(s))
                return false;
        if (!take(s, 'e') && !take(s, 'E'))
                return true;
        if (!take(s, '+'))
                take(s, '-');
        return scan_digits(s);
}

static bool scan_word(struct scan *s)
{
        static const char words[][6] = { "true", "false", "null" };

        for (size_t i = 0; i < COUNT(words); i++) {
                size_t n = strlen(words[i]);

                if (n <= s->len - s->at && !memcmp(s->text + s->at, words[i], n)) {
                        s->at += n;
                        return true;
                }
        }
        if (is_of("tfn", peek(s)))
                return wrong(s, "expected ident");
        return wrong(s, s->at == s->len ? "EOF while parsing a value" : "expected value");
}

static bool scan_scalar(struct scan *s)
{
        if (take(s, '"'))
                return scan_string(s);
        if (peek(s) == '-' || (peek(s) >= '0' && peek(s) <= '9'))
                return scan_number(s);
        return scan_word(s);
}

static bool scan_key(struct scan *s)
{
        skip_space(s);
        if (!take(s, '"'))
                return wrong(s, s->at == s->len ? "EOF while parsing an object"
                                                : "key must be a string");
        if (!scan_string(s))
                return false;
        skip_space(s);
        return take(s, ':') || wrong(s, "expected `:`");
}

/* After a value: closes what ends here. *@more: another value follows. */
static bool scan_after(struct scan *s, char *open, size_t *depth, bool *more)
{
        while (*depth) {
                bool object = open[*depth - 1] == '{';

                skip_space(s);
                if (take(s, ',')) {
                        *more = true;
                        return !object || scan_key(s);
                }
                if (!take(s, object ? '}' : ']'))
                        return wrong(s, s->at == s->len ? "EOF while parsing an object"
                                        : object        ? "expected `,` or `}`"
                                                        : "expected `,` or `]`");
                --*depth;
        }
        *more = false;
        return true;
}

/* Opens an object or array. *@empty: it was closed at once. */
static bool scan_open(struct scan *s, char *open, size_t *depth, bool *empty)
{
        char c = s->text[s->at++];

        if (*depth == VALUE_DEPTH)
                return wrong(s, "recursion limit exceeded");
        skip_space(s);
        *empty = take(s, c == '{' ? '}' : ']');
        if (*empty)
                return true;
        open[(*depth)++] = c;
        return c != '{' || scan_key(s);
}

static bool scan_value(struct scan *s)
{
        char open[VALUE_DEPTH];
        size_t depth = 0;
        bool more = true;

        while (more) {
                bool done = true;

                skip_space(s);
                if (peek(s) == '{' || peek(s) == '[') {
                        if (!scan_open(s, open, &depth, &done))
                                return false;
                } else if (!scan_scalar(s)) {
                        return false;
                }
                if (done && !scan_after(s, open, &depth, &more))
                        return false;
        }
        return true;
}

/* --- in text that is known to be right ----------------------------------------------- */

/* i->at stands behind the opening quote: to the closing one. */
static void skip_string(struct value_iter *i)
{
        if (i->at == i->plain_at) {
                i->at = i->plain_end;
                return;
        }
        for (;;) {
                i->at += plain_run(i->at, (size_t)(i->end - i->at));
                if (*i->at == '"')
                        return;
                i->at += *i->at == '\\' ? 2 : 1;
        }
}

static const char *skip(const char *p, const char *end)
{
        while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r' || *p == ',' ||
                           *p == ':'))
                p++;
        return p;
}

static void skip_nest(struct value_iter *i)
{
        size_t depth = 0;

        for (; i->at < i->end; i->at++) {
                if (*i->at == '"') {
                        i->at++;
                        skip_string(i);
                } else if (*i->at == '{' || *i->at == '[') {
                        depth++;
                } else if ((*i->at == '}' || *i->at == ']') && --depth == 0) {
                        break;
                }
        }
        i->at++;
}

/* The value that starts at i->at, and on behind it. */
static struct value take_value(struct value_iter *i)
{
        struct value v = { .at = i->at, .plain_at = i->plain_at, .plain_end = i->plain_end };

        switch (*i->at) {
        case '"':
                v.type = VALUE_STRING;
                v.at = ++i->at;
                skip_string(i);
                v.len = (size_t)(i->at - v.at);
                i->at++;
                return v;
        case '{':
        case '[':
                v.type = *i->at == '{' ? VALUE_OBJECT : VALUE_ARRAY;
                skip_nest(i);
                break;
        default:
                v.type = *i->at == 'n'                    ? VALUE_NULL
                         : *i->at == 't' || *i->at == 'f' ? VALUE_BOOL
                                                          : VALUE_NUMBER;
                while (i->at < i->end && !is_of(" \n\t\r,]}", *i->at))
                        i->at++;
        }
        v.len = (size_t)(i->at - v.at);
        return v;
}

bool value_parse(struct value *v, const char *text, size_t len, struct value_error *e)
{
        struct scan s = { .text = text, .len = len, .plain_at = text, .plain_end = text };
        struct value_iter i = { .at = skip(text, text + len), .end = text + len };
        bool ok = scan_value(&s);
        size_t end = s.at;

        skip_space(&s);
        if (ok && s.at < len)
                ok = wrong(&s, "trailing characters");
        *e = (struct value_error){ s.at, s.what };
        if (!ok)
                return false;
        i.plain_at = s.plain_at;
        i.plain_end = s.plain_end;
        if (*i.at == '{' || *i.at == '[') /* its end is known: no second pass */
                *v = (struct value){ *i.at == '{' ? VALUE_OBJECT : VALUE_ARRAY, i.at,
                                     (size_t)(text + end - i.at), i.plain_at, i.plain_end };
        else
                *v = take_value(&i);
        return true;
}

struct value_iter value_items(const struct value *v)
{
        bool object = v->type == VALUE_OBJECT;

        if (!object && v->type != VALUE_ARRAY)
                return (struct value_iter){ .at = NULL };
        return (struct value_iter){ v->at + 1, v->at + v->len - 1, v->plain_at, v->plain_end,
                                    object };
}

bool value_next(struct value_iter *i, struct value *key, struct value *item)
{
        struct value ignored;

        if (!i->at)
                return false;
        i->at = skip(i->at, i->end);
        if (i->at == i->end)
                return false;
        if (i->object) {
                *(key ? key : &ignored) = take_value(i);
                i->at = skip(i->at, i->end);
        }
        *item = take_value(i);
        return true;
}

size_t value_count(const struct value *v)
{
        struct value_iter i = value_items(v);
        struct value item;
        size_t n = 0;

        while (value_next(&i, NULL, &item))
                n++;
        return n;
}

bool value_is(const struct value *v, const char *text)
{
        char plain[128];
        size_t len = strlen(text);

        if (v->type != VALUE_STRING)
                return false;
        if (v->len == len)
                return !memcmp(v->at, text, len); /* an escape is longer than what it means */
        if (v->len < len || v->len > sizeof(plain) || !memchr(v->at, '\\', v->len))
                return false;
        return value_string(v, plain) == len && !memcmp(plain, text, len);
}

void value_members(const struct value *v, const char *const keys[], struct value members[],
                   size_t count)
{
        struct value_iter i = value_items(v);
        struct value k, item;
        size_t missing = count;

        for (size_t m = 0; m < count; m++)
                members[m] = (struct value){ .type = VALUE_ABSENT };
        while (missing && i.object && value_next(&i, &k, &item))
                for (size_t m = 0; m < count; m++)
                        if (members[m].type == VALUE_ABSENT && value_is(&k, keys[m])) {
                                members[m] = item;
                                missing--;
                        }
}

struct value value_get(const struct value *v, const char *key)
{
        struct value member;

        value_members(v, &key, &member, 1);
        return member;
}

static size_t put_utf8(char *out, unsigned c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xc0 | c >> 6);
                out[1] = (char)(0x80 | (c & 63));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xe0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 63));
                out[2] = (char)(0x80 | (c & 63));
                return 3;
        }
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 63));
        out[2] = (char)(0x80 | (c >> 6 & 63));
        out[3] = (char)(0x80 | (c & 63));
        return 4;
}

/* The escape behind a backslash: *@in moves past it. */
static size_t put_escape(char *out, const char **in)
{
        static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
        char c = *(*in)++;
        const char *known = strchr(from, c);
        unsigned unit;

        if (c != 'u') {
                *out = c;
                if (known)
                        *out = to[known - from];
                return 1;
        }
        unit = (unsigned)hex4(*in, 4);
        *in += 4;
        if (unit >= 0xd800 && unit < 0xdc00) {
                unsigned low = (unsigned)hex4(*in + 2, 4);

                *in += 6;
                unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
        return put_utf8(out, unit);
}

size_t value_string(const struct value *v, char *out)
{
        const char *in = v->at, *end = v->at + v->len;
        char *start = out;

        while (in < end) {
                const char *slash =
                        in == v->plain_at ? NULL : memchr(in, '\\', (size_t)(end - in));
                size_t n = (size_t)((slash ? slash : end) - in);

                if (out != in) /* musl's memmove goes byte by byte then, backwards */
                        memmove(out, in, n);
                out += n;
                in += n;
                if (slash) {
                        in++;
                        out += put_escape(out, &in);
                }
        }
        return (size_t)(out - start);
}

bool value_true(const struct value *v)
{
        return v->type == VALUE_BOOL && v->at[0] == 't';
}

bool value_u64(const struct value *v, uint64_t *n)
{
        uint64_t out = 0;

        if (v->type != VALUE_NUMBER || v->len > 20)
                return false;
        for (size_t i = 0; i < v->len; i++) {
                unsigned d = (unsigned)(v->at[i] - '0');

                if (d > 9 || out > (UINT64_MAX - d) / 10)
                        return false;
                out = out * 10 + d;
        }
        *n = out;
        return true;
}

bool value_i64(const struct value *v, int64_t *n)
{
        bool minus;
        struct value digits = *v;
        uint64_t u;

        if (v->type != VALUE_NUMBER)
                return false;
        minus = v->at[0] == '-';
        digits.at += minus;
        digits.len -= minus;
        if (!value_u64(&digits, &u) || u > (uint64_t)INT64_MAX + minus)
                return false;
        *n = minus ? (int64_t)(0 - u) : (int64_t)u;
        return true;
}
