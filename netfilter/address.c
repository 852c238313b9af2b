/* netfilter/address.c - addresses: one spelling, and who is special. */
#include "netfilter/address.h"

#include "base/digits.h"

#include <string.h>

const char *address_status_str(enum address_status s)
{
        switch (s) {
        case ADDRESS_OK:
                return "an address";
        case ADDRESS_NOT:
                return "not an address";
        case ADDRESS_ODD:
                return "an address in another than its one spelling";
        }
        return "?";
}

struct address address_of_v4(const uint8_t byte[static 4])
{
        struct address a = { .family = 4 };

        memcpy(a.byte, byte, 4);
        return a;
}

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
static const uint8_t zero[16];

static bool begins(const struct address *a, const uint8_t *prefix, size_t len)
{
        return !memcmp(a->byte, prefix, len);
}

struct address address_of_v6(const uint8_t byte[static 16])
{
        struct address a = { .family = 6 };

        memcpy(a.byte, byte, 16);
        return begins(&a, mapped, 12) ? address_of_v4(byte + 12) : a;
}

bool address_equal(const struct address *a, const struct address *b)
{
        return a->family == b->family && !memcmp(a->byte, b->byte, 16);
}

/* --- reading ---------------------------------------------------------------------- */

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* As the URL standard has it: digits, or 0x and any number of hex digits. */
static bool is_number(const char *s, size_t len)
{
        size_t i = 0;

        if (!len)
                return false;
        if (len >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
                for (i = 2; i < len && hex_value(s[i]) >= 0; i++)
                        ;
                return i == len;
        }
        while (i < len && is_digit(s[i]))
                i++;
        return i == len;
}

/* Would inet_aton or a browser try to read an IPv4 address here? */
static bool ends_in_number(const char *text, size_t len)
{
        size_t start;

        if (len && text[len - 1] == '.')
                len--;
        for (start = len; start > 0 && text[start - 1] != '.'; start--)
                ;
        return is_number(text + start, len - start);
}

/* Digits without a leading zero, at most @max. */
static bool read_decimal(const char *s, size_t len, unsigned max, unsigned *n)
{
        *n = 0;
        if (!len || len > 3 || (len > 1 && s[0] == '0'))
                return false;
        for (size_t i = 0; i < len; i++) {
                if (!is_digit(s[i]))
                        return false;
                *n = *n * 10 + (unsigned)(s[i] - '0');
        }
        return *n <= max;
}

static bool read_v4(struct address *a, const char *text, size_t len)
{
        size_t at = 0;

        *a = (struct address){ .family = 4 };
        for (size_t i = 0; i < 4; i++) {
                size_t start = at;
                unsigned n;

                while (at < len && text[at] != '.')
                        at++;
                if (!read_decimal(text + start, at - start, 255, &n))
                        return false;
                a->byte[i] = (uint8_t)n;
                if (i < 3 && at++ == len)
                        return false;
        }
        return at == len;
}

/* Eight groups of hex, one "::" at most. Whether it is the one spelling, the caller sees. */
static bool read_v6(struct address *a, const char *text, size_t len)
{
        uint8_t out[16] = { 0 };
        size_t groups = 0;
        size_t gap = SIZE_MAX; /* groups before the "::" */
        size_t at = 0;

        if (len >= 2 && text[0] == ':' && text[1] == ':') {
                gap = 0;
                at = 2;
        }
        while (at < len) {
                unsigned value = 0;
                size_t digits = 0;

                while (at < len && digits < 4 && hex_value(text[at]) >= 0) {
                        value = value << 4 | (unsigned)hex_value(text[at++]);
                        digits++;
                }
                if (!digits || groups == 8)
                        return false;
                out[2 * groups] = (uint8_t)(value >> 8);
                out[2 * groups + 1] = (uint8_t)value;
                groups++;
                if (at == len)
                        break;
                if (text[at++] != ':' || at == len)
                        return false;
                if (text[at] == ':') {
                        if (gap != SIZE_MAX)
                                return false;
                        gap = groups;
                        at++;
                }
        }
        if (gap == SIZE_MAX ? groups != 8 : groups > 7)
                return false;
        *a = (struct address){ .family = 6 };
        if (gap == SIZE_MAX)
                gap = groups;
        memcpy(a->byte, out, 2 * gap);
        memcpy(a->byte + 16 - 2 * (groups - gap), out + 2 * gap, 2 * (groups - gap));
        return true;
}

static bool is_spelled(const struct address *a, const char *text, size_t len)
{
        char buf[ADDRESS_TEXT];
        struct wr w = wr_of(buf, sizeof(buf));

        address_put(&w, a);
        return w.len == len && !memcmp(buf, text, len);
}

enum address_status address_parse(struct address *a, const char *text, size_t len)
{
        struct address got;

        if (len && memchr(text, ':', len)) {
                if (!read_v6(&got, text, len) || begins(&got, mapped, 12) ||
                    !is_spelled(&got, text, len))
                        return ADDRESS_ODD;
        } else if (ends_in_number(text, len)) {
                if (!read_v4(&got, text, len))
                        return ADDRESS_ODD;
        } else {
                return ADDRESS_NOT;
        }
        *a = got;
        return ADDRESS_OK;
}

/* --- writing ---------------------------------------------------------------------- */

static unsigned group(const struct address *a, size_t i)
{
        return (unsigned)a->byte[2 * i] << 8 | a->byte[2 * i + 1];
}

/* The longest run of two or more zero groups, the first of equals; 8: none. */
static size_t zero_run(const struct address *a, size_t *run_len)
{
        size_t best = 8;

        *run_len = 1;
        for (size_t i = 0; i < 8; i++) {
                size_t n = 0;

                while (i + n < 8 && !group(a, i + n))
                        n++;
                if (n > *run_len) {
                        best = i;
                        *run_len = n;
                }
        }
        return best;
}

void address_put(struct wr *w, const struct address *a)
{
        size_t run_len;
        size_t run = zero_run(a, &run_len);

        if (a->family == 4) {
                wr_fmt(w, "%u.%u.%u.%u", a->byte[0], a->byte[1], a->byte[2], a->byte[3]);
                return;
        }
        for (size_t i = 0; i < 8; i++) {
                if (i == run) {
                        wr_str(w, "::");
                        i += run_len - 1;
                        continue;
                }
                if (i && i != run + run_len)
                        wr_char(w, ':');
                wr_fmt(w, "%x", group(a, i));
        }
}

/* --- judging ---------------------------------------------------------------------- */

static bool is_isatap(const struct address *a)
{
        return (a->byte[8] & 0xfd) == 0 && a->byte[9] == 0 && a->byte[10] == 0x5e &&
               a->byte[11] == 0xfe;
}

bool address_embedded(const struct address *a, struct address *v4)
{
        uint8_t client[4];

        if (a->family != 6)
                return false;
        if (begins(a, mapped, 12) || begins(a, nat64, 12) ||
            (begins(a, zero, 12) && !begins(a, zero, 15)) || is_isatap(a)) {
                *v4 = address_of_v4(a->byte + 12);
                return true;
        }
        if (a->byte[0] == 0x20 && a->byte[1] == 0x02) { /* 6to4 */
                *v4 = address_of_v4(a->byte + 2);
                return true;
        }
        if (begins(a, (const uint8_t[]){ 0x20, 0x01, 0, 0 }, 4)) { /* Teredo: the client's */
                for (size_t i = 0; i < 4; i++)
                        client[i] = a->byte[12 + i] ^ 0xff;
                *v4 = address_of_v4(client);
                return true;
        }
        return false;
}

static const char *const kind_names[] = {
        [ADDRESS_PUBLIC] = "public",
        [ADDRESS_THIS_NETWORK] = "this network",
        [ADDRESS_LOOPBACK] = "loopback",
        [ADDRESS_PRIVATE] = "private",
        [ADDRESS_SHARED] = "shared (carrier NAT)",
        [ADDRESS_LINK_LOCAL] = "link-local",
        [ADDRESS_METADATA] = "cloud metadata",
        [ADDRESS_PROTOCOL] = "protocol assignments",
        [ADDRESS_DOCUMENTATION] = "documentation",
        [ADDRESS_BENCHMARK] = "benchmarking",
        [ADDRESS_MULTICAST] = "multicast",
        [ADDRESS_RESERVED] = "reserved",
        [ADDRESS_TRANSLATED] = "translated IPv4",
};

const char *address_kind_str(enum address_kind k)
{
        return kind_names[k];
}

struct range {
        uint64_t base; /* the top 32 or 64 bits */
        uint8_t bits;
        uint8_t kind;
};

#define V4(a, b, c, d) (((uint64_t)(a) << 24) | ((b) << 16) | ((c) << 8) | (d))
#define V6(a, b, c, d) \
        (((uint64_t)(a) << 48) | ((uint64_t)(b) << 32) | ((uint64_t)(c) << 16) | (d))

/* The first that matches counts. */
static const struct range v4_ranges[] = {
        { V4(169, 254, 169, 254), 32, ADDRESS_METADATA },
        { V4(169, 254, 170, 0), 24, ADDRESS_METADATA }, /* container credentials */
        { V4(100, 100, 100, 200), 32, ADDRESS_METADATA },
        { V4(168, 63, 129, 16), 32, ADDRESS_METADATA }, /* looks public, is the host */
        { V4(192, 0, 0, 192), 32, ADDRESS_METADATA },
        { V4(0, 0, 0, 0), 8, ADDRESS_THIS_NETWORK },
        { V4(10, 0, 0, 0), 8, ADDRESS_PRIVATE },
        { V4(100, 64, 0, 0), 10, ADDRESS_SHARED },
        { V4(127, 0, 0, 0), 8, ADDRESS_LOOPBACK },
        { V4(169, 254, 0, 0), 16, ADDRESS_LINK_LOCAL },
        { V4(172, 16, 0, 0), 12, ADDRESS_PRIVATE },
        { V4(192, 0, 0, 0), 24, ADDRESS_PROTOCOL },
        { V4(192, 0, 2, 0), 24, ADDRESS_DOCUMENTATION },
        { V4(192, 31, 196, 0), 24, ADDRESS_PROTOCOL },  /* AS112 */
        { V4(192, 52, 193, 0), 24, ADDRESS_PROTOCOL },  /* AMT */
        { V4(192, 88, 99, 0), 24, ADDRESS_PROTOCOL },   /* 6to4 relays */
        { V4(192, 168, 0, 0), 16, ADDRESS_PRIVATE },
        { V4(192, 175, 48, 0), 24, ADDRESS_PROTOCOL },  /* AS112 */
        { V4(198, 18, 0, 0), 15, ADDRESS_BENCHMARK },
        { V4(198, 51, 100, 0), 24, ADDRESS_DOCUMENTATION },
        { V4(203, 0, 113, 0), 24, ADDRESS_DOCUMENTATION },
        { V4(224, 0, 0, 0), 4, ADDRESS_MULTICAST },
        { V4(240, 0, 0, 0), 4, ADDRESS_RESERVED },
};

/* Those that need more than 64 bits are in special_v6. */
static const struct range v6_ranges[] = {
        { V6(0x0064, 0xff9b, 0x0001, 0), 48, ADDRESS_TRANSLATED }, /* local NAT64 */
        { V6(0x0064, 0xff9b, 0, 0), 64, ADDRESS_TRANSLATED },
        { V6(0x2002, 0, 0, 0), 16, ADDRESS_TRANSLATED }, /* 6to4 */
        { V6(0x2001, 0, 0, 0), 32, ADDRESS_TRANSLATED }, /* Teredo */
        { V6(0x2001, 0x0002, 0, 0), 48, ADDRESS_BENCHMARK },
        { V6(0x2001, 0, 0, 0), 23, ADDRESS_PROTOCOL }, /* with ORCHID, AMT, drones */
        { V6(0x2001, 0x0db8, 0, 0), 32, ADDRESS_DOCUMENTATION },
        { V6(0x2620, 0x004f, 0x8000, 0), 48, ADDRESS_PROTOCOL }, /* AS112 */
        { V6(0x3ffe, 0, 0, 0), 16, ADDRESS_RESERVED },           /* the former 6bone */
        { V6(0x3fff, 0, 0, 0), 20, ADDRESS_DOCUMENTATION },
        { V6(0xfd00, 0x0ec2, 0, 0), 32, ADDRESS_METADATA },
        { V6(0xfc00, 0, 0, 0), 7, ADDRESS_PRIVATE },
        { V6(0xfe80, 0, 0, 0), 10, ADDRESS_LINK_LOCAL },
        { V6(0xfec0, 0, 0, 0), 10, ADDRESS_PRIVATE }, /* site-local */
        { V6(0xff00, 0, 0, 0), 8, ADDRESS_MULTICAST },
};

static uint64_t top(const struct address *a, size_t bytes)
{
        uint64_t n = 0;

        for (size_t i = 0; i < bytes; i++)
                n = n << 8 | a->byte[i];
        return n;
}

static enum address_kind look_up(const struct range *ranges, size_t count, uint64_t value,
                                 unsigned width, enum address_kind otherwise)
{
        for (size_t i = 0; i < count; i++) {
                if (!((value ^ ranges[i].base) >> (width - ranges[i].bits)))
                        return (enum address_kind)ranges[i].kind;
        }
        return otherwise;
}

static enum address_kind special_v4(const struct address *a)
{
        return look_up(v4_ranges, COUNT(v4_ranges), top(a, 4), 32, ADDRESS_PUBLIC);
}

static enum address_kind special_v6(const struct address *a)
{
        static const uint8_t gce[16] = { 0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54 };
        struct address inside;

        if (begins(a, zero, 15) && a->byte[15] <= 1)
                return a->byte[15] ? ADDRESS_LOOPBACK : ADDRESS_THIS_NETWORK;
        if (begins(a, nat64, 12) || begins(a, mapped, 12)) {
                inside = address_of_v4(a->byte + 12);
                return special_v4(&inside);
        }
        if (begins(a, gce, 16))
                return ADDRESS_METADATA;
        if (begins(a, zero, 12) || is_isatap(a))
                return ADDRESS_TRANSLATED;
        return look_up(v6_ranges, COUNT(v6_ranges), top(a, 8), 64,
                       (a->byte[0] & 0xe0) == 0x20 ? ADDRESS_PUBLIC : ADDRESS_RESERVED);
}

enum address_kind address_special(const struct address *a)
{
        if (a->family == 4)
                return special_v4(a);
        return a->family == 6 ? special_v6(a) : ADDRESS_RESERVED;
}

/* --- ranges ------------------------------------------------------------------------ */

static unsigned width(const struct address *a)
{
        return a->family == 4 ? 32 : 128;
}

static uint8_t host_mask(const struct cidr *c, size_t byte)
{
        size_t first = 8 * byte;

        if (first >= c->bits)
                return 0xff;
        return first + 8 <= c->bits ? 0 : (uint8_t)(0xff >> (c->bits - first));
}

static struct address last_of(const struct cidr *c)
{
        struct address last = c->base;

        for (size_t i = 0; i < width(&c->base) / 8; i++)
                last.byte[i] |= host_mask(c, i);
        return last;
}

enum address_status cidr_parse(struct cidr *c, const char *text, size_t len)
{
        const char *slash = len ? memchr(text, '/', len) : NULL;
        size_t head = slash ? (size_t)(slash - text) : len;
        struct cidr got = { .bits = 0 };
        enum address_status s = address_parse(&got.base, text, head);
        unsigned bits;

        if (s)
                return s;
        bits = width(&got.base);
        if (slash && !read_decimal(slash + 1, len - head - 1, bits, &bits))
                return ADDRESS_ODD;
        got.bits = (uint8_t)bits;
        for (size_t i = 0; i < width(&got.base) / 8; i++) {
                if (got.base.byte[i] & host_mask(&got, i))
                        return ADDRESS_ODD;
        }
        *c = got;
        return ADDRESS_OK;
}

bool cidr_holds(const struct cidr *c, const struct address *a)
{
        if (a->family != c->base.family)
                return false;
        for (size_t i = 0; 8 * i < c->bits; i++) {
                if ((a->byte[i] ^ c->base.byte[i]) & (uint8_t)~host_mask(c, i))
                        return false;
        }
        return true;
}

bool cidr_opens(const struct cidr *c, const struct address *a)
{
        enum address_kind kind = address_special(a);
        struct address last = last_of(c);

        return cidr_holds(c, a) && address_special(&c->base) == kind &&
               address_special(&last) == kind;
}
