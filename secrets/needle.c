/* secrets/needle.c - spells a value in every encoding, a byte at a time. */
#include "secrets/needle.h"

#include "base/utf8.h"

#include <string.h>

#define PIECE_SHORT 1024 /* units of raw and base64, which grow little */
#define PIECE_LONG 512   /* of those where one byte becomes up to six */
#define ENTRY_STEP 4     /* see "wrapped" in the header */
#define ENTRY_LAST 20
#define ENTRY_REST 16    /* a late entry has at least this much behind it */

/* Variants of ENCODING_HEX, ENCODING_URL and ENCODING_JSON. */
#define UPPER 1U       /* hex digits */
#define FORM 2U        /* URL: + for a space, * stands, ~ does not */
#define MARKS 4U       /* URL: ! ' ( ) * stand, as encodeURIComponent leaves them */
#define KEEP_SLASH 8U  /* URL: / stands */
#define SLASH 2U       /* JSON: \/ */
#define ASCII 4U       /* JSON: \uXXXX for everything that is not ASCII */
#define HTML 8U        /* JSON: \u003c \u003e \u0026 */

const char *encoding_str(enum encoding e)
{
        static const char *const names[] = {
                [ENCODING_RAW] = "raw",       [ENCODING_LINE] = "line",
                [ENCODING_BASE64] = "base64", [ENCODING_BASE64URL] = "base64url",
                [ENCODING_HEX] = "hex",       [ENCODING_URL] = "url",
                [ENCODING_JSON] = "json",
        };

        return e < ENCODING_COUNT ? names[e] : "?";
}

/* --- spelling ------------------------------------------------------------------------ */

struct spelling {
        const uint8_t *v;
        size_t len;
        size_t unit, to;
        enum encoding encoding;
        unsigned variant;
        uint8_t out[12]; /* what one unit became: a surrogate pair at most */
        unsigned made, given;
};

static struct spelling spelling_of(const struct needles *n, const struct needle *d)
{
        return (struct spelling){ .v = n->text + d->at, .len = d->len, .unit = d->from,
                                  .to = d->to, .encoding = (enum encoding)d->encoding,
                                  .variant = d->variant };
}

static void put(struct spelling *s, uint8_t c)
{
        s->out[s->made++] = c;
}

static uint8_t hex_digit(unsigned value, bool upper)
{
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";

        return (uint8_t)digits[(value & 15) + 16U * upper];
}

/* The byte at @i of the value behind `variant` unknown ones; what lies outside is zero. */
static unsigned shifted(const struct spelling *s, size_t i)
{
        return i >= s->variant && i - s->variant < s->len ? s->v[i - s->variant] : 0;
}

static size_t base64_total(size_t bytes)
{
        return (bytes * 8 + 5) / 6;
}

static void put_base64(struct spelling *s)
{
        static const char letters[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        size_t bit = s->unit * 6;
        unsigned pair = shifted(s, bit / 8) << 8 | shifted(s, bit / 8 + 1);
        unsigned six = pair >> (10 - bit % 8) & 63;

        if (s->unit++ >= base64_total(s->len + s->variant))
                put(s, '=');
        else if (six < 62)
                put(s, (uint8_t)letters[six]);
        else if (s->encoding == ENCODING_BASE64)
                put(s, six == 62 ? '+' : '/');
        else
                put(s, six == 62 ? '-' : '_');
}

static bool is_alnum(uint8_t c)
{
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool url_stands(uint8_t c, unsigned variant)
{
        if (is_alnum(c) || c == '-' || c == '.' || c == '_')
                return true;
        if (c == '~')
                return !(variant & FORM);
        if (c == '*')
                return variant & (FORM | MARKS);
        if (c == '/')
                return variant & KEEP_SLASH;
        return variant & MARKS && (c == '!' || c == '\'' || c == '(' || c == ')');
}

static void put_url(struct spelling *s)
{
        uint8_t c = s->v[s->unit++];

        if (url_stands(c, s->variant)) {
                put(s, c);
        } else if (c == ' ' && s->variant & FORM) {
                put(s, '+');
        } else {
                put(s, '%');
                put(s, hex_digit(c >> 4, s->variant & UPPER));
                put(s, hex_digit(c, s->variant & UPPER));
        }
}

static void put_u16(struct spelling *s, unsigned code)
{
        put(s, '\\');
        put(s, 'u');
        for (unsigned shift = 16; shift; shift -= 4)
                put(s, hex_digit(code >> (shift - 4), s->variant & UPPER));
}

static void put_code_point(struct spelling *s, size_t bytes)
{
        static const uint8_t mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t code = s->v[s->unit] & mask[bytes];

        for (size_t i = 1; i < bytes; i++)
                code = code << 6 | (s->v[s->unit + i] & 0x3f);
        s->unit += bytes;
        if (code < 0x10000) {
                put_u16(s, code);
                return;
        }
        code -= 0x10000;
        put_u16(s, 0xd800 + (code >> 10));
        put_u16(s, 0xdc00 + (code & 0x3ff));
}

static void put_json(struct spelling *s)
{
        static const char from[] = "\"\\\b\f\n\r\t";
        static const char to[] = "\"\\bfnrt";
        uint8_t c = s->v[s->unit];
        const char *short_form = c ? strchr(from, c) : NULL;
        size_t bytes = c < 0x80 ? 1 : utf8_len((const char *)s->v + s->unit, s->len - s->unit);

        if (c >= 0x80 && s->variant & ASCII && bytes) {
                put_code_point(s, bytes);
                return;
        }
        s->unit++;
        if (short_form || (c == '/' && s->variant & SLASH)) {
                put(s, '\\');
                put(s, short_form ? (uint8_t)to[short_form - from] : c);
        } else if (c < 0x20 || (s->variant & HTML && (c == '<' || c == '>' || c == '&'))) {
                put_u16(s, c);
        } else {
                put(s, c);
        }
}

/* The next byte, or -1. */
static int spell_next(struct spelling *s)
{
        if (s->given < s->made)
                return s->out[s->given++];
        if (s->unit >= s->to)
                return -1;
        s->made = s->given = 0;
        switch (s->encoding) {
        case ENCODING_RAW:
        case ENCODING_LINE:
                put(s, s->v[s->unit++]);
                break;
        case ENCODING_BASE64:
        case ENCODING_BASE64URL:
                put_base64(s);
                break;
        case ENCODING_HEX:
                put(s, hex_digit(s->v[s->unit] >> 4, s->variant & UPPER));
                put(s, hex_digit(s->v[s->unit++], s->variant & UPPER));
                break;
        case ENCODING_URL:
                put_url(s);
                break;
        case ENCODING_JSON:
                put_json(s);
                break;
        case ENCODING_COUNT:
                return -1;
        }
        return s->out[s->given++];
}

size_t needle_spell(const struct needles *n, const struct needle *needle, void *out, size_t cap)
{
        struct spelling s = spelling_of(n, needle);
        uint8_t *to = out;
        size_t len = 0;

        for (int c; (c = spell_next(&s)) >= 0; len++) {
                if (len < cap)
                        to[len] = (uint8_t)c;
        }
        explicit_bzero(&s, sizeof(s));
        return len;
}

/* --- matching ------------------------------------------------------------------------ */

static bool is_white(uint8_t c)
{
        return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

static bool may_wrap(const struct spelling *s)
{
        return s->encoding == ENCODING_BASE64 || s->encoding == ENCODING_BASE64URL ||
               s->encoding == ENCODING_HEX;
}

/* Wraps are passed over from the @head-th byte of the text on. */
static enum match match(const struct needles *n, const struct needle *needle, const void *text,
                        size_t len, size_t head, size_t *matched)
{
        struct spelling s = spelling_of(n, needle);
        const uint8_t *t = text;
        size_t bound = len < NEEDLE_TEXT_MAX ? len : NEEDLE_TEXT_MAX;
        size_t i = 0;

        for (int c; (c = spell_next(&s)) >= 0; i++) {
                if (i >= head && may_wrap(&s)) {
                        for (unsigned w = 0; i < bound && w < NEEDLE_WRAP && is_white(t[i]); w++)
                                i++;
                }
                if (i == bound)
                        return bound == len ? MATCH_PARTIAL : MATCH_NO;
                if (t[i] != c)
                        return MATCH_NO;
        }
        *matched = i;
        return MATCH_FULL;
}

enum match needle_match(const struct needles *n, const struct needle *needle, const void *text,
                        size_t len, size_t *matched)
{
        return match(n, needle, text, len, NEEDLE_HEAD, matched);
}

enum match needle_follows(const struct needles *n, const struct needle *needle,
                          const void *text, size_t len, size_t *matched)
{
        return match(n, needle, text, len, 0, matched);
}

/* --- which needles a value has --------------------------------------------------------- */

static bool is_everyday(const uint8_t *v, size_t len)
{
        static const char *const words[] = {
                "localhost", "127.0.0.1", "production", "development", "undefined", "password",
                "username",  "postgres",  "postgresql", "anonymous",   "disabled",  "changeme",
                "registry",  "us-east-1", "us-west-2",  "eu-west-1",   "https://",
        };

        for (size_t i = 0; i < COUNT(words); i++) {
                if (strlen(words[i]) == len && !memcmp(words[i], v, len))
                        return true;
        }
        return false;
}

static bool is_worth_it(const uint8_t *v, size_t len)
{
        uint64_t seen[4] = { 0 };
        unsigned different = 0;

        if (len < NEEDLE_MIN)
                return false;
        for (size_t i = 0; i < len && different < 4; i++) {
                uint64_t bit = UINT64_C(1) << (v[i] & 63);

                different += !(seen[v[i] >> 6] & bit);
                seen[v[i] >> 6] |= bit;
        }
        return different >= 4 && !is_everyday(v, len);
}

static bool same_spelling(const struct needles *n, const struct needle *a, const struct needle *b)
{
        struct spelling left = spelling_of(n, a);
        struct spelling right = spelling_of(n, b);
        int c;

        do {
                c = spell_next(&left);
                if (c != spell_next(&right))
                        return false;
        } while (c >= 0);
        return true;
}

/* Adds @d unless the list is full or a needle since @first is spelled the same. */
static bool add(struct needles *n, struct needle d, size_t first)
{
        size_t len = needle_spell(n, &d, d.head, sizeof(d.head));

        if (len < NEEDLE_MIN)
                return false; /* an end too short to stand alone */
        for (size_t i = first; i < n->count; i++) {
                if (!memcmp(d.head, n->list[i].head, sizeof(d.head)) &&
                    same_spelling(n, &d, &n->list[i]))
                        return false;
        }
        if (n->count == n->cap) {
                n->full = true;
                return false;
        }
        d.next = NEEDLE_NONE;
        n->list[n->count] = d;
        if (len < n->shortest)
                n->shortest = len;
        n->count++;
        return true;
}

/* Cuts the units @from to @to of @d into pieces that name their followers. */
static void add_pieces(struct needles *n, struct needle d, size_t piece, size_t first)
{
        uint32_t end = d.to;
        size_t last = n->count;

        for (uint32_t at = d.from; at < end; at = d.to) {
                size_t before = n->count;

                d.from = at;
                d.to = end - at > piece ? at + (uint32_t)piece : end;
                /* A character of several bytes stays whole. */
                while (d.encoding == ENCODING_JSON && d.to < end &&
                       (n->text[d.at + d.to] & 0xc0) == 0x80 && d.to - at < piece + 3)
                        d.to++;
                /* What would be left is too short for a needle: this one takes it. */
                if (end - d.to < NEEDLE_MIN + 4)
                        d.to = end;
                if (!add(n, d, first))
                        continue;
                if (before > last)
                        n->list[before - 1].next = (uint16_t)before;
        }
}

static void add_base64(struct needles *n, struct needle d, size_t first)
{
        size_t bytes = d.len + d.variant;
        uint32_t total = (uint32_t)base64_total(bytes);
        uint32_t pads = (uint32_t)((3 - bytes % 3) % 3);
        uint32_t known = (uint32_t)(bytes * 8 / 6); /* characters that the value decides */
        uint32_t start = (d.variant * 8U + 5) / 6;
        size_t chain = n->count;

        d.from = start;
        d.to = known;
        add_pieces(n, d, PIECE_SHORT, first);
        for (uint32_t late = ENTRY_STEP; late <= ENTRY_LAST; late += ENTRY_STEP) {
                size_t before = n->count;

                d.from = start + late;
                d.to = known < start + PIECE_SHORT ? known : start + PIECE_SHORT;
                if (chain < n->count && n->list[chain].from == start)
                        d.to = n->list[chain].to;
                if (d.to < d.from + ENTRY_REST || !add(n, d, first))
                        continue;
                if (chain < before)
                        n->list[before].next = n->list[chain].next;
        }
        /* The text may end with the value: one more character, then the padding. */
        if (!pads || known - start > PIECE_SHORT)
                return;
        d.from = start;
        d.to = total;
        add(n, d, first);
        d.to = total + pads;
        add(n, d, first);
}

static void add_encodings(struct needles *n, struct needle d)
{
        static const uint8_t url[] = { UPPER,         0,    UPPER | MARKS, UPPER | FORM, FORM,
                                       UPPER | KEEP_SLASH, KEEP_SLASH };
        static const uint8_t json[] = { 0,     SLASH,         ASCII,        ASCII | UPPER,
                                        HTML,  SLASH | ASCII, HTML | UPPER };
        size_t first = n->count;

        d.to = d.len;
        d.encoding = ENCODING_RAW;
        add_pieces(n, d, PIECE_SHORT, first);
        d.encoding = ENCODING_HEX;
        for (d.variant = 0; d.variant <= UPPER; d.variant++)
                add_pieces(n, d, PIECE_LONG, first);
        d.encoding = ENCODING_URL;
        for (size_t i = 0; i < COUNT(url); i++) {
                d.variant = url[i];
                add_pieces(n, d, PIECE_LONG, first);
        }
        d.encoding = ENCODING_JSON;
        for (size_t i = 0; i < COUNT(json); i++) {
                d.variant = json[i];
                add_pieces(n, d, PIECE_LONG, first);
        }
        for (d.variant = 0; d.variant < 3; d.variant++) {
                d.encoding = ENCODING_BASE64;
                add_base64(n, d, first);
                d.encoding = ENCODING_BASE64URL;
                add_base64(n, d, first);
        }
}

static bool is_border(const uint8_t *line, size_t len)
{
        static const char begin[] = "-----BEGIN ";
        static const char end[] = "-----END ";

        return (len >= sizeof(begin) - 1 && !memcmp(line, begin, sizeof(begin) - 1)) ||
               (len >= sizeof(end) - 1 && !memcmp(line, end, sizeof(end) - 1));
}

static size_t line_len(const uint8_t *v, size_t len)
{
        const uint8_t *end = memchr(v, '\n', len);

        return end ? (size_t)(end - v) : len;
}

/* Each line of a value of several. */
static bool add_lines(struct needles *n, struct needle d)
{
        uint32_t end = d.at + d.len;
        size_t first = n->count;
        bool added = false;

        d.encoding = ENCODING_LINE;
        for (size_t len; d.at < end; d.at += (uint32_t)len + 1) {
                const uint8_t *v = n->text + d.at;

                len = line_len(v, end - d.at);
                d.len = (uint32_t)len;
                while (d.len && (v[d.len - 1] == '\r' || v[d.len - 1] == ' '))
                        d.len--;
                d.to = d.len;
                if (is_border(v, d.len) || !is_worth_it(v, d.len))
                        continue;
                add_pieces(n, d, PIECE_SHORT, n->count - first > 64 ? n->count - 64 : first);
                added = true;
        }
        return added;
}

/* Takes newlines off the end, then PEM's borders off both. */
static void trim(const uint8_t *text, struct needle *d)
{
        const uint8_t *v = text + d->at;
        size_t line = line_len(v, d->len);
        size_t last;

        while (d->len && is_white(v[d->len - 1]))
                d->len--;
        if (line < d->len && is_border(v, line)) {
                d->at += (uint32_t)line + 1;
                d->len -= (uint32_t)line + 1;
                v += line + 1;
        }
        for (last = d->len; last && v[last - 1] != '\n'; last--)
                ;
        if (last && is_border(v + last, d->len - last))
                d->len = (uint32_t)last;
        while (d->len && is_white(v[d->len - 1]))
                d->len--;
}

void needles_init(struct needles *n, const void *text, struct needle *list, size_t cap)
{
        *n = (struct needles){ .text = text, .list = list, .shortest = SIZE_MAX,
                               .cap = cap < NEEDLE_MAX_COUNT ? cap : NEEDLE_MAX_COUNT };
}

bool needles_add(struct needles *n, uint16_t secret, uint32_t at, uint32_t len)
{
        struct needle d = { .at = at, .len = len, .secret = secret };
        bool added = false;

        trim(n->text, &d);
        if (is_worth_it(n->text + d.at, d.len)) {
                add_encodings(n, d);
                added = true;
        }
        if (memchr(n->text + d.at, '\n', d.len) && add_lines(n, d))
                added = true;
        return added;
}
