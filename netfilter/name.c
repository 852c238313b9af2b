/* netfilter/name.c - the normal form of a host name; IDNA as far as it is certain. */
#include "netfilter/name.h"

#include "base/utf8.h"

#include <string.h>

const char *name_status_str(enum name_status s)
{
        switch (s) {
        case NAME_OK:
                return "a host name";
        case NAME_EMPTY:
                return "an empty name";
        case NAME_LONG:
                return "a name or label that is too long";
        case NAME_LABEL:
                return "an empty label or a hyphen at a label's end";
        case NAME_BYTE:
                return "a byte that no host name holds";
        case NAME_NUMBER:
                return "a number or an address in another than its one spelling";
        case NAME_IDNA:
                return "letters without one certain xn-- form";
        }
        return "?";
}

/* --- IDNA --------------------------------------------------------------------------- */

/* Letters that stay as they are, by ranges; and upper case with what to add. */
static const struct {
        uint16_t from, to;
} letters[] = {
        { 0x00e0, 0x00f6 }, { 0x00f8, 0x00ff }, /* Latin-1, without sharp s */
        { 0x03ac, 0x03c1 }, { 0x03c3, 0x03ce }, /* Greek, without final sigma */
        { 0x0430, 0x045f },                     /* Cyrillic */
        { 0x05d0, 0x05ea },                     /* Hebrew */
        { 0x0620, 0x063a }, { 0x0641, 0x064a }, /* Arabic, without tatweel */
        { 0x3041, 0x3096 }, { 0x30a1, 0x30fa }, { 0x30fc, 0x30fc }, /* kana */
        { 0x4e00, 0x9fa5 },                     /* CJK, as of Unicode 1.1 */
        { 0xac00, 0xd7a3 },                     /* Hangul */
};
static const struct {
        uint16_t from, to, add;
} capitals[] = {
        { 0x00c0, 0x00d6, 32 }, { 0x00d8, 0x00de, 32 },
        { 0x0386, 0x0386, 38 }, { 0x0388, 0x038a, 37 }, { 0x038c, 0x038c, 64 },
        { 0x038e, 0x038f, 63 }, { 0x0391, 0x03a1, 32 }, { 0x03a3, 0x03ab, 32 },
        { 0x0400, 0x040f, 80 }, { 0x0410, 0x042f, 32 },
};

/* Latin Extended-A comes in pairs; its odd ones out have no certain mapping. 0: none. */
static uint32_t extended_a(uint32_t c)
{
        bool odd_is_upper = (c >= 0x139 && c <= 0x148) || c >= 0x179;

        if (c == 0x178)
                return 0xff;
        if ((c >= 0x130 && c <= 0x133) || c == 0x138 || c == 0x13f || c == 0x140 || c == 0x149 ||
            c == 0x17f)
                return 0;
        return (c & 1) == odd_is_upper ? c + 1 : c;
}

/* The code point in lower case; 0: not one of the letters that every version maps alike. */
static uint32_t map(uint32_t c)
{
        if (c >= 0x100 && c <= 0x17f)
                return extended_a(c);
        for (size_t i = 0; i < COUNT(letters); i++) {
                if (c >= letters[i].from && c <= letters[i].to)
                        return c;
        }
        for (size_t i = 0; i < COUNT(capitals); i++) {
                if (c >= capitals[i].from && c <= capitals[i].to)
                        return c + capitals[i].add;
        }
        return 0;
}

static char lower(char c)
{
        if (c >= 'A' && c <= 'Z')
                return (char)(c - 'A' + 'a');
        return c;
}

static bool is_name_byte(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The code point of the well-formed character of @n bytes at @s. */
static uint32_t code_point(const char *s, size_t n)
{
        static const uint8_t lead[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
        uint32_t c = (uint8_t)s[0] & lead[n];

        for (size_t i = 1; i < n; i++)
                c = c << 6 | ((uint8_t)s[i] & 0x3f);
        return c;
}

/* A label's code points, mapped. Returns their number, or 0: some has no mapping. */
static size_t map_label(uint32_t points[static NAME_LABEL_LEN], const char *s, size_t len)
{
        size_t count = 0;

        for (size_t at = 0; at < len;) {
                size_t n = utf8_len(s + at, len - at);
                uint32_t c;

                if (!n || count == NAME_LABEL_LEN)
                        return 0;
                c = code_point(s + at, n);
                if (c < 0x80)
                        c = is_name_byte(lower((char)c)) ? (uint32_t)lower((char)c) : 0;
                else
                        c = map(c);
                if (!c)
                        return 0;
                points[count++] = c;
                at += n;
        }
        return count;
}

/* --- Punycode, RFC 3492 ---------------------------------------------------------------- */

enum { PUNY_BASE = 36, PUNY_LOW = 1, PUNY_HIGH = 26, PUNY_SKEW = 38, PUNY_DAMP = 700 };

static uint32_t puny_bias(uint32_t delta, uint32_t points, bool first)
{
        uint32_t k = 0;

        delta = first ? delta / PUNY_DAMP : delta / 2;
        delta += delta / points;
        while (delta > ((PUNY_BASE - PUNY_LOW) * PUNY_HIGH) / 2) {
                delta /= PUNY_BASE - PUNY_LOW;
                k += PUNY_BASE;
        }
        return k + (PUNY_BASE - PUNY_LOW + 1) * delta / (delta + PUNY_SKEW);
}

/* One generalised variable-length integer. */
static void puny_put(struct wr *w, uint32_t n, uint32_t bias)
{
        static const char digits[] = "abcdefghijklmnopqrstuvwxyz0123456789";

        for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
                uint32_t t = k <= bias ? PUNY_LOW : k - bias;

                if (t > PUNY_HIGH)
                        t = PUNY_HIGH;
                if (n < t)
                        break;
                wr_char(w, digits[t + (n - t) % (PUNY_BASE - t)]);
                n = (n - t) / (PUNY_BASE - t);
        }
        wr_char(w, digits[n]);
}

/* At most 63 code points below 2^21: no sum overflows 32 bits. */
static void puny_encode(struct wr *w, const uint32_t *points, uint32_t count)
{
        uint32_t done = 0;
        uint32_t n = 0x80;
        uint32_t bias = 72;
        uint32_t delta = 0;
        uint32_t basic;

        for (uint32_t i = 0; i < count; i++) {
                if (points[i] < 0x80) {
                        wr_char(w, (char)points[i]);
                        done++;
                }
        }
        basic = done;
        if (basic)
                wr_char(w, '-');
        while (done < count) {
                uint32_t next = UINT32_MAX;

                for (uint32_t i = 0; i < count; i++) {
                        if (points[i] >= n && points[i] < next)
                                next = points[i];
                }
                delta += (next - n) * (done + 1);
                n = next;
                for (uint32_t i = 0; i < count; i++) {
                        if (points[i] < n)
                                delta++;
                        if (points[i] != n)
                                continue;
                        puny_put(w, delta, bias);
                        bias = puny_bias(delta, done + 1, done == basic);
                        delta = 0;
                        done++;
                }
                delta++;
                n++;
        }
}

/* --- labels ------------------------------------------------------------------------- */

static enum name_status put_unicode(struct wr *w, const char *s, size_t len)
{
        uint32_t points[NAME_LABEL_LEN] = { 0 };
        size_t count = map_label(points, s, len);
        size_t start = w->len;

        if (!count)
                return NAME_IDNA;
        if (points[0] == '-' || points[count - 1] == '-')
                return NAME_LABEL;
        if (count >= 4 && points[2] == '-' && points[3] == '-')
                return NAME_IDNA; /* reserved for prefixes such as xn-- */
        wr_str(w, "xn--");
        puny_encode(w, points, (uint32_t)count);
        return w->full || w->len - start > NAME_LABEL_LEN ? NAME_LONG : NAME_OK;
}

static enum name_status put_label(struct wr *w, const char *s, size_t len)
{
        bool ascii = true;

        if (!len)
                return NAME_LABEL;
        for (size_t i = 0; i < len; i++) {
                if ((uint8_t)s[i] >= 0x80)
                        ascii = false;
                else if (!is_name_byte(lower(s[i])))
                        return NAME_BYTE;
        }
        if (!ascii)
                return put_unicode(w, s, len);
        if (len > NAME_LABEL_LEN)
                return NAME_LONG;
        if (s[0] == '-' || s[len - 1] == '-')
                return NAME_LABEL;
        for (size_t i = 0; i < len; i++)
                wr_char(w, lower(s[i]));
        return w->full ? NAME_LONG : NAME_OK;
}

enum name_status name_parse(struct name *n, const char *text, size_t len)
{
        struct name got = { 0 };
        struct wr w = wr_of(got.text, NAME_LEN);
        struct address ignored;

        if (len && text[len - 1] == '.')
                len--;
        if (!len)
                return NAME_EMPTY;
        for (size_t at = 0; at <= len;) {
                const char *dot = memchr(text + at, '.', len - at);
                size_t label = dot ? (size_t)(dot - text) - at : len - at;
                enum name_status s;

                if (at)
                        wr_char(&w, '.');
                s = put_label(&w, text + at, label);
                if (s)
                        return s;
                at += label + 1;
        }
        if (w.full)
                return NAME_LONG;
        if (address_parse(&ignored, got.text, w.len) != ADDRESS_NOT)
                return NAME_NUMBER;
        got.len = (uint8_t)w.len;
        *n = got;
        return NAME_OK;
}

bool name_equal(const struct name *a, const struct name *b)
{
        return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

bool name_within(const struct name *name, const struct name *suffix)
{
        size_t rest = (size_t)name->len - suffix->len;

        if (name->len <= suffix->len)
                return name_equal(name, suffix);
        return name->text[rest - 1] == '.' && !memcmp(name->text + rest, suffix->text, suffix->len);
}

bool name_is_private(const struct name *name)
{
        /* RFC 6762 appendix G, RFC 6761, RFC 8375, and what ICANN will never delegate. */
        static const char *const endings[] = { "local", "localhost", "internal", "intranet",
                                               "private", "corp", "home", "lan", "home.arpa",
                                               "localdomain" };

        for (size_t i = 0; i < COUNT(endings); i++) {
                size_t len = strlen(endings[i]);

                if (name->len > len && name->text[name->len - len - 1] == '.' &&
                    !memcmp(name->text + name->len - len, endings[i], len))
                        return true;
        }
        return !memchr(name->text, '.', name->len);
}

enum name_status host_parse(struct host *h, const char *text, size_t len)
{
        struct host got = { .literal = false };
        enum name_status s = NAME_OK;

        switch (address_parse(&got.address, text, len)) {
        case ADDRESS_OK:
                got.literal = true;
                break;
        case ADDRESS_ODD:
                return NAME_NUMBER;
        case ADDRESS_NOT:
                s = name_parse(&got.name, text, len);
                break;
        }
        if (!s)
                *h = got;
        return s;
}

void host_put(struct wr *w, const struct host *h)
{
        if (h->literal)
                address_put(w, &h->address);
        else
                wr_bytes(w, h->name.text, h->name.len);
}
