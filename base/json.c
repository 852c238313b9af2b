/* base/json.c - the grammar, then jsmn's tokens, then siblings and duplicate keys. */
#include "base/json.h"

#include "base/digits.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Parent links: without them jsmn searches back through all tokens at each bracket. */
#define JSMN_STATIC
#define JSMN_PARENT_LINKS
#include <jsmn.h>

/* --- the grammar ----------------------------------------------------------------- */

struct scan {
        const char *text;
        size_t len, at;
        const char *what; /* NULL, or what is wrong at @at */
};

static bool refuse(struct scan *c, size_t at, const char *what)
{
        c->at = at;
        c->what = what;
        return false;
}

static char peek(const struct scan *c)
{
        if (c->at == c->len)
                return '\0';
        return c->text[c->at];
}

static bool take(struct scan *c, char wanted)
{
        if (c->at == c->len || c->text[c->at] != wanted)
                return false;
        c->at++;
        return true;
}

static void skip_space(struct scan *c)
{
        while (take(c, ' ') || take(c, '\n') || take(c, '\t') || take(c, '\r'))
                ;
}

/* Four hex digits at @s, of which @len bytes may be read; -1: they are not. */
static int hex4(const char *s, size_t len)
{
        int n = 0;

        if (len < 4)
                return -1;
        for (size_t i = 0; i < 4; i++) {
                int digit = hex_value(s[i]);

                if (digit < 0)
                        return -1;
                n = n * 16 + digit;
        }
        return n;
}

static bool is_high(int unit)
{
        return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int unit)
{
        return unit >= 0xdc00 && unit <= 0xdfff;
}

/* The cursor stands on the backslash. */
static bool scan_escape(struct scan *c)
{
        static const char known[] = "\"\\/bfnrtu";
        size_t at = c->at++;
        int unit;

        if (c->at == c->len || !memchr(known, c->text[c->at], sizeof(known) - 1))
                return refuse(c, at, "unknown escape in a string");
        if (c->text[c->at++] != 'u')
                return true;
        unit = hex4(c->text + c->at, c->len - c->at);
        if (unit < 0)
                return refuse(c, at, "\\u needs four hex digits");
        c->at += 4;
        if (is_high(unit)) {
                if (!take(c, '\\') || !take(c, 'u') ||
                    !is_low(hex4(c->text + c->at, c->len - c->at)))
                        return refuse(c, at, "half of a surrogate pair");
                c->at += 4;
        }
        return !is_low(unit) || refuse(c, at, "half of a surrogate pair");
}

/* The cursor stands on the opening quote. */
static bool scan_string(struct scan *c)
{
        size_t start = c->at++;

        while (c->at < c->len) {
                size_t n = utf8_len(c->text + c->at, c->len - c->at);
                char b = c->text[c->at];

                if (!n)
                        return refuse(c, c->at, "bytes that are not UTF-8");
                if ((unsigned char)b < 0x20)
                        return refuse(c, c->at, "a control byte in a string; escape it");
                if (b == '\\') {
                        if (!scan_escape(c))
                                return false;
                        continue;
                }
                c->at += n;
                if (b == '"')
                        return true;
        }
        return refuse(c, start, "this string has no end");
}

static bool scan_digits(struct scan *c)
{
        size_t start = c->at;

        while (peek(c) >= '0' && peek(c) <= '9')
                c->at++;
        return c->at > start;
}

static bool scan_number(struct scan *c)
{
        size_t start = c->at;
        bool ok;

        take(c, '-');
        ok = take(c, '0') || scan_digits(c);
        if (ok && take(c, '.'))
                ok = scan_digits(c);
        if (ok && (take(c, 'e') || take(c, 'E'))) {
                if (!take(c, '+'))
                        take(c, '-');
                ok = scan_digits(c);
        }
        return ok || refuse(c, start, "not a JSON number");
}

static bool scan_word(struct scan *c)
{
        static const char words[][6] = { "true", "false", "null" };

        for (size_t i = 0; i < COUNT(words); i++) {
                size_t n = strlen(words[i]);

                if (n <= c->len - c->at && !memcmp(c->text + c->at, words[i], n)) {
                        c->at += n;
                        return true;
                }
        }
        return refuse(c, c->at, "expected a value");
}

static bool scan_scalar(struct scan *c)
{
        char b = peek(c);

        if (b == '"')
                return scan_string(c);
        if (b == '-' || (b >= '0' && b <= '9'))
                return scan_number(c);
        return scan_word(c);
}

/*
 * VALUE -> FIRST_KEY, FIRST_ITEM, AFTER    a value begins: brace, bracket, scalar
 * FIRST_KEY -> AFTER                       {} or a key, its colon, and VALUE
 * FIRST_ITEM -> AFTER                      [] or VALUE
 * AFTER -> KEY, VALUE, AFTER               a comma, or a closing byte
 */
enum want { WANT_VALUE, WANT_FIRST_ITEM, WANT_FIRST_KEY, WANT_KEY, WANT_AFTER };

struct nesting {
        char close[JSON_DEPTH]; /* the bytes that close what is open */
        size_t depth;
};

static bool scan_key(struct scan *c)
{
        if (peek(c) != '"')
                return refuse(c, c->at, "expected a key in double quotes");
        if (!scan_string(c))
                return false;
        skip_space(c);
        return take(c, ':') || refuse(c, c->at, "expected a colon after the key");
}

static bool scan_value(struct scan *c, struct nesting *n, enum want *want)
{
        char b = peek(c);

        if (b != '{' && b != '[') {
                *want = WANT_AFTER;
                return scan_scalar(c);
        }
        if (n->depth == JSON_DEPTH)
                return refuse(c, c->at, "nested more than 32 deep");
        n->close[n->depth++] = b == '{' ? '}' : ']';
        *want = b == '{' ? WANT_FIRST_KEY : WANT_FIRST_ITEM;
        c->at++;
        return true;
}

static bool scan_after(struct scan *c, struct nesting *n, enum want *want)
{
        char close = n->close[n->depth - 1];

        if (take(c, ',')) {
                *want = close == '}' ? WANT_KEY : WANT_VALUE;
                return true;
        }
        if (take(c, close)) {
                n->depth--;
                return true;
        }
        return refuse(c, c->at,
                      close == '}' ? "expected a comma or a closing brace"
                                   : "expected a comma or a closing bracket");
}

static bool scan_step(struct scan *c, struct nesting *n, enum want *want)
{
        switch (*want) {
        case WANT_FIRST_KEY:
        case WANT_FIRST_ITEM:
                if (take(c, n->close[n->depth - 1])) {
                        n->depth--;
                        *want = WANT_AFTER;
                        return true;
                }
                *want = *want == WANT_FIRST_KEY ? WANT_KEY : WANT_VALUE;
                return true;
        case WANT_KEY:
                *want = WANT_VALUE;
                return scan_key(c);
        case WANT_VALUE:
                return scan_value(c, n, want);
        case WANT_AFTER:
                return scan_after(c, n, want);
        }
        return false;
}

static bool scan_document(struct scan *c)
{
        struct nesting n = { .depth = 0 };
        enum want want = WANT_VALUE;

        for (;;) {
                skip_space(c);
                if (want == WANT_AFTER && !n.depth)
                        break;
                if (c->at == c->len)
                        return refuse(c, c->at, "the text ends too early");
                if (!scan_step(c, &n, &want))
                        return false;
        }
        return c->at == c->len || refuse(c, c->at, "something follows the end of the JSON");
}

/* --- tokens ------------------------------------------------------------------------ */

static void *map_bytes(size_t size)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        return p == MAP_FAILED ? NULL : p;
}

static enum json_type token_type(const char *text, const jsmntok_t *t)
{
        switch (t->type) {
        case JSMN_OBJECT:
                return JSON_OBJECT;
        case JSMN_ARRAY:
                return JSON_ARRAY;
        case JSMN_STRING:
                return JSON_STRING;
        case JSMN_PRIMITIVE:
        case JSMN_UNDEFINED:
                break;
        }
        switch (text[t->start]) {
        case 'n':
                return JSON_NULL;
        case 't':
        case 'f':
                return JSON_BOOL;
        default:
                return JSON_NUMBER;
        }
}

/* jsmn knows each token's parent; a reader wants children and siblings. */
static void link_tokens(struct json *j, const jsmntok_t *from)
{
        for (uint32_t i = 0; i < j->count; i++) {
                struct json_token *t = &j->tokens[i];
                struct json_token *up;

                *t = (struct json_token){
                        .start = (uint32_t)from[i].start,
                        .end = (uint32_t)from[i].end,
                        .size = (uint32_t)from[i].size,
                        .type = token_type(j->text, &from[i]),
                };
                if (!i)
                        continue;
                up = &j->tokens[from[i].parent];
                if (up->last)
                        j->tokens[up->last].next = i;
                up->last = i;
        }
}

static int make_tokens(struct json *j, size_t len, size_t count)
{
        jsmn_parser parser;
        jsmntok_t *raw = map_bytes(count * sizeof(*raw));
        int n;

        if (!raw)
                return -ENOMEM;
        j->tokens = map_bytes(count * sizeof(*j->tokens));
        if (!j->tokens) {
                munmap(raw, count * sizeof(*raw));
                return -ENOMEM;
        }
        j->count = count;
        jsmn_init(&parser);
        n = jsmn_parse(&parser, j->text, len, raw, (unsigned)count);
        if (n == (int)count)
                link_tokens(j, raw);
        munmap(raw, count * sizeof(*raw));
        return n == (int)count ? 0 : -EINVAL;
}

/* --- strings ----------------------------------------------------------------------- */

static size_t put_utf8(char out[4], unsigned c)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xc0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xe0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3f));
                out[2] = (char)(0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char)(0xf0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3f));
        out[2] = (char)(0x80 | (c >> 6 & 0x3f));
        out[3] = (char)(0x80 | (c & 0x3f));
        return 4;
}

/* One byte or escape of a valid string, at *@s. Returns the bytes it means, 1 to 4. */
static size_t unescape(const char **s, char out[4])
{
        static const char from[] = "bfnrt";
        static const char to[] = "\b\f\n\r\t";
        const char *named;
        const char *p = *s;
        unsigned c;

        if (*p != '\\') {
                out[0] = *p;
                *s = p + 1;
                return 1;
        }
        if (p[1] != 'u') {
                named = strchr(from, p[1]);
                out[0] = p[1];
                if (named)
                        out[0] = to[named - from];
                *s = p + 2;
                return 1;
        }
        c = (unsigned)hex4(p + 2, 4);
        p += 6;
        if (is_high((int)c)) {
                c = 0x10000 + ((c - 0xd800) << 10) + ((unsigned)hex4(p + 2, 4) - 0xdc00);
                p += 6;
        }
        *s = p;
        return put_utf8(out, c);
}

size_t json_string(const struct json *j, uint32_t v, char *out)
{
        const char *s = j->text + j->tokens[v].start;
        const char *end = j->text + j->tokens[v].end;
        size_t len = 0;

        /* An escape is never shorter than what it means, so @out is long enough. */
        while (s < end) {
                char bytes[4];
                size_t n = unescape(&s, bytes);

                memcpy(out + len, bytes, n);
                len += n;
        }
        out[len] = '\0';
        return len;
}

/* Are two strings the same once they are unescaped? */
static bool same_string(const struct json *j, const struct json_token *a,
                        const struct json_token *b)
{
        const char *s[2] = { j->text + a->start, j->text + b->start };
        const char *end[2] = { j->text + a->end, j->text + b->end };
        char bytes[2][4];
        size_t at[2] = { 0, 0 };
        size_t n[2] = { 0, 0 };

        for (;;) {
                bool more[2];

                for (int i = 0; i < 2; i++) {
                        if (at[i] == n[i] && s[i] < end[i]) {
                                n[i] = unescape(&s[i], bytes[i]);
                                at[i] = 0;
                        }
                        more[i] = at[i] < n[i];
                }
                if (!more[0] || !more[1])
                        return more[0] == more[1];
                if (bytes[0][at[0]++] != bytes[1][at[1]++])
                        return false;
        }
}

/* The keys of one object: few enough, and each once. */
static bool check_keys(const struct json *j, uint32_t object, struct json_error *error)
{
        if (j->tokens[object].size > JSON_KEYS) {
                *error = (struct json_error){ json_at(j, object), "more than 1024 keys" };
                return false;
        }
        for (uint32_t k = json_first(j, object); k; k = json_next(j, k)) {
                for (uint32_t l = json_first(j, object); l != k; l = json_next(j, l)) {
                        if (!same_string(j, &j->tokens[k], &j->tokens[l]))
                                continue;
                        *error = (struct json_error){ json_at(j, k),
                                                      "this key is here a second time" };
                        return false;
                }
        }
        return true;
}

/* --- the interface ----------------------------------------------------------------- */

int json_open(struct json *j, const char *text, size_t len, struct json_error *error)
{
        struct scan c = { .text = text, .len = len };
        jsmn_parser parser;
        int count;
        int r;

        *j = (struct json){ .text = NULL };
        *error = (struct json_error){ .at = 0 };
        if (len > INT32_MAX) { /* jsmn counts in int */
                error->what = "too long";
                return -EINVAL;
        }
        if (!scan_document(&c)) {
                *error = (struct json_error){ c.at, c.what };
                return -EINVAL;
        }
        jsmn_init(&parser);
        count = jsmn_parse(&parser, text, len, NULL, 0);
        if (count < 1 || count > JSON_VALUES) {
                error->what = "more than 65536 values";
                return -EINVAL;
        }
        j->text = text;
        error->what = "not JSON"; /* if jsmn ever disagreed with the grammar above */
        r = make_tokens(j, len, (size_t)count);
        for (uint32_t i = 0; !r && i < j->count; i++) {
                if (j->tokens[i].type == JSON_OBJECT && !check_keys(j, i, error))
                        r = -EINVAL;
        }
        if (r < 0)
                json_close(j);
        return r;
}

void json_close(struct json *j)
{
        if (j->tokens)
                munmap(j->tokens, j->count * sizeof(*j->tokens));
        *j = (struct json){ .text = NULL };
}

uint32_t json_first(const struct json *j, uint32_t v)
{
        return j->tokens[v].last ? v + 1 : 0;
}

uint32_t json_next(const struct json *j, uint32_t v)
{
        return j->tokens[v].next;
}

uint32_t json_value(uint32_t key)
{
        return key + 1;
}

uint32_t json_find(const struct json *j, uint32_t object, const char *key)
{
        size_t len = strlen(key);

        if (j->tokens[object].type != JSON_OBJECT)
                return 0;
        for (uint32_t k = json_first(j, object); k; k = json_next(j, k)) {
                const struct json_token *t = &j->tokens[k];

                if (t->end - t->start == len && !memcmp(j->text + t->start, key, len))
                        return json_value(k);
        }
        return 0;
}

const char *json_type_str(enum json_type type)
{
        switch (type) {
        case JSON_NULL:
                return "null";
        case JSON_BOOL:
                return "true or false";
        case JSON_NUMBER:
                return "a number";
        case JSON_STRING:
                return "a string";
        case JSON_ARRAY:
                return "a list";
        case JSON_OBJECT:
                return "an object";
        }
        return "";
}

size_t json_at(const struct json *j, uint32_t v)
{
        return j->tokens[v].start - (j->tokens[v].type == JSON_STRING);
}

bool json_u32(const struct json *j, uint32_t v, uint32_t max, uint32_t *n)
{
        uint64_t sum = 0;

        if (j->tokens[v].type != JSON_NUMBER)
                return false;
        for (size_t i = j->tokens[v].start; i < j->tokens[v].end; i++) {
                if (j->text[i] < '0' || j->text[i] > '9')
                        return false;
                sum = sum * 10 + (uint64_t)(j->text[i] - '0');
                if (sum > max)
                        return false;
        }
        *n = (uint32_t)sum;
        return true;
}

bool json_true(const struct json *j, uint32_t v)
{
        return j->tokens[v].type == JSON_BOOL && j->text[j->tokens[v].start] == 't';
}

void json_position(const char *text, size_t at, unsigned *line, unsigned *column)
{
        size_t start = 0;

        *line = 1;
        for (size_t i = 0; i < at; i++) {
                if (text[i] == '\n') {
                        ++*line;
                        start = i + 1;
                }
        }
        *column = (unsigned)(at - start + 1);
}

