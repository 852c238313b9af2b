/* secrets/inflate.c - stored, fixed and dynamic blocks. */
#include "secrets/inflate.h"

#include <string.h>

#define FAST_BITS 10

const char *inflate_status_str(enum inflate_status s)
{
        switch (s) {
        case INFLATE_OK:
                return "whole";
        case INFLATE_SHORT:
                return "cut short";
        case INFLATE_MALFORMED:
                return "malformed";
        case INFLATE_STOPPED:
                return "stopped";
        }
        return "?";
}

void inflate_init(struct inflate *z)
{
        z->in_len = 0;
        z->hold = 0;
        z->have = 0;
        z->ended = false;
        z->at = z->given = z->begun = 0;
}

/* --- input ----------------------------------------------------------------------------- */

/* At least @n (at most 32) bits in hold; false: the input has no more. */
static bool want(struct inflate *z, unsigned n)
{
        while (z->have < n) {
                if (!z->in_len && !z->ended) {
                        z->in_len = z->refill(z, &z->in);
                        z->ended = !z->in_len;
                }
                if (!z->in_len)
                        return false;
                z->hold |= (uint64_t)*z->in++ << z->have;
                z->in_len--;
                z->have += 8;
        }
        return true;
}

static unsigned drop(struct inflate *z, unsigned n)
{
        unsigned bits = (unsigned)(z->hold & ((UINT64_C(1) << n) - 1));

        z->hold >>= n;
        z->have -= n;
        return bits;
}

int inflate_byte(struct inflate *z)
{
        return want(z, 8) ? (int)drop(z, 8) : -1;
}

/* --- codes ----------------------------------------------------------------------------- */

static unsigned reversed(unsigned code, unsigned bits)
{
        unsigned r = 0;

        for (; bits; bits--, code >>= 1)
                r = r << 1 | (code & 1);
        return r;
}

/* Canonical codes of these lengths (0: unused). False: more codes than bits. */
static bool huffman_build(struct huffman *h, const uint8_t *lengths, unsigned n)
{
        uint16_t code[16] = { 0 };
        uint16_t offset[16] = { 0 };
        int left = 1;

        memset(h, 0, sizeof(*h));
        for (unsigned i = 0; i < n; i++)
                h->count[lengths[i]]++;
        h->count[0] = 0;
        for (unsigned len = 1; len < 16; len++) {
                left = left * 2 - h->count[len];
                if (left < 0)
                        return false;
                code[len] = (uint16_t)((code[len - 1] + h->count[len - 1]) << 1);
                offset[len] = (uint16_t)(offset[len - 1] + h->count[len - 1]);
        }
        for (unsigned i = 0; i < n; i++) {
                unsigned len = lengths[i];

                if (!len)
                        continue;
                h->symbol[offset[len]++] = (uint16_t)i;
                unsigned at = reversed(code[len]++, len);
                for (; len <= FAST_BITS && at < 1U << FAST_BITS; at += 1U << len)
                        h->fast[at] = (uint16_t)(i << 4 | len);
        }
        return true;
}

/* The next symbol; -1: there is none (the input ended, or no code is like this). */
static int decode(struct inflate *z, const struct huffman *h)
{
        unsigned code = 0, first = 0, index = 0;

        want(z, 15); /* near the end fewer will do */
        unsigned entry = h->fast[z->hold & ((1U << FAST_BITS) - 1)];
        if (entry) {
                if ((entry & 15) > z->have)
                        return -1;
                drop(z, entry & 15);
                return (int)(entry >> 4);
        }
        for (unsigned len = 1; len < 16 && len <= z->have; len++) {
                code |= (unsigned)(z->hold >> (len - 1)) & 1;
                if (code < first + h->count[len]) {
                        drop(z, len);
                        return h->symbol[index + code - first];
                }
                index += h->count[len];
                first = (first + h->count[len]) << 1;
                code <<= 1;
        }
        return -1;
}

/* --- output ---------------------------------------------------------------------------- */

static bool give(struct inflate *z)
{
        bool more = true;

        if (z->at > z->given)
                more = z->emit(z, z->out, z->given, z->at - z->given);
        z->given = z->at;
        if (z->at == sizeof(z->out)) {
                size_t gone = z->at - INFLATE_WINDOW;

                memmove(z->out, z->out + gone, INFLATE_WINDOW);
                z->begun -= z->begun < gone ? z->begun : gone;
                z->at = z->given = INFLATE_WINDOW;
        }
        return more;
}

static bool put(struct inflate *z, uint8_t byte)
{
        z->out[z->at++] = byte;
        return z->at < sizeof(z->out) || give(z);
}

static enum inflate_status copy(struct inflate *z, unsigned distance, unsigned len)
{
        if (distance > z->at - z->begun)
                return INFLATE_MALFORMED;
        while (len--) {
                if (!put(z, z->out[z->at - distance]))
                        return INFLATE_STOPPED;
        }
        return INFLATE_OK;
}

/* --- blocks ---------------------------------------------------------------------------- */

static enum inflate_status ended_or_malformed(const struct inflate *z)
{
        return z->ended && z->have < 15 ? INFLATE_SHORT : INFLATE_MALFORMED;
}

static enum inflate_status stored(struct inflate *z)
{
        unsigned len;

        drop(z, z->have & 7);
        if (!want(z, 32))
                return INFLATE_SHORT;
        len = drop(z, 16);
        if (len != (drop(z, 16) ^ 0xffff))
                return INFLATE_MALFORMED;
        while (len--) {
                int byte = inflate_byte(z);

                if (byte < 0)
                        return INFLATE_SHORT;
                if (!put(z, (uint8_t)byte))
                        return INFLATE_STOPPED;
        }
        return INFLATE_OK;
}

static enum inflate_status repeat(struct inflate *z, unsigned symbol)
{
        static const uint16_t len_base[] = { 3,  4,  5,  6,  7,  8,  9,  10, 11,  13,
                                             15, 17, 19, 23, 27, 31, 35, 43, 51,  59,
                                             67, 83, 99, 115, 131, 163, 195, 227, 258 };
        static const uint8_t len_bits[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0 };
        static const uint16_t far_base[] = { 1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                             33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                             1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289,
                                             16385, 24577 };
        unsigned len, distance;
        int far;

        symbol -= 257;
        if (symbol >= COUNT(len_base))
                return INFLATE_MALFORMED;
        if (!want(z, len_bits[symbol]))
                return INFLATE_SHORT;
        len = len_base[symbol] + drop(z, len_bits[symbol]);
        far = decode(z, &z->distances);
        if (far < 0)
                return ended_or_malformed(z);
        if ((size_t)far >= COUNT(far_base))
                return INFLATE_MALFORMED;
        unsigned far_bits = far < 2 ? 0 : (unsigned)far / 2 - 1;
        if (!want(z, far_bits))
                return INFLATE_SHORT;
        distance = far_base[far] + drop(z, far_bits);
        return copy(z, distance, len);
}

static enum inflate_status coded(struct inflate *z)
{
        for (;;) {
                int symbol = decode(z, &z->literals);
                enum inflate_status s;

                if (symbol < 0)
                        return ended_or_malformed(z);
                if (symbol == 256)
                        return INFLATE_OK;
                if (symbol < 256) {
                        if (!put(z, (uint8_t)symbol))
                                return INFLATE_STOPPED;
                        continue;
                }
                s = repeat(z, (unsigned)symbol);
                if (s != INFLATE_OK)
                        return s;
        }
}

static void fixed_codes(struct inflate *z)
{
        uint8_t lengths[288];

        memset(lengths, 8, 144);
        memset(lengths + 144, 9, 112);
        memset(lengths + 256, 7, 24);
        memset(lengths + 280, 8, 8);
        huffman_build(&z->literals, lengths, 288);
        memset(lengths, 5, 30);
        huffman_build(&z->distances, lengths, 30);
}

/* The lengths of both codes, themselves in a code. */
static enum inflate_status read_lengths(struct inflate *z, uint8_t *lengths, unsigned count)
{
        unsigned n = 0;

        while (n < count) {
                int symbol = decode(z, &z->literals);
                unsigned times, extra;
                uint8_t value = 0;

                if (symbol < 0)
                        return ended_or_malformed(z);
                if (symbol < 16) {
                        lengths[n++] = (uint8_t)symbol;
                        continue;
                }
                extra = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
                if (!want(z, extra))
                        return INFLATE_SHORT;
                times = drop(z, extra) + (symbol == 18 ? 11U : 3U);
                if (symbol == 16 && !n)
                        return INFLATE_MALFORMED;
                if (symbol == 16)
                        value = lengths[n - 1];
                if (times > count - n)
                        return INFLATE_MALFORMED;
                memset(lengths + n, value, times);
                n += times;
        }
        return INFLATE_OK;
}

static enum inflate_status dynamic_codes(struct inflate *z)
{
        static const uint8_t order[] = { 16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                         11, 4,  12, 3, 13, 2, 14, 1, 15 };
        uint8_t lengths[320] = { 0 };
        unsigned literals, distances, codes;
        enum inflate_status s;

        if (!want(z, 14))
                return INFLATE_SHORT;
        literals = 257 + drop(z, 5);
        distances = 1 + drop(z, 5);
        codes = 4 + drop(z, 4);
        if (literals > 286)
                return INFLATE_MALFORMED;
        for (unsigned i = 0; i < codes; i++) {
                if (!want(z, 3))
                        return INFLATE_SHORT;
                lengths[order[i]] = (uint8_t)drop(z, 3);
        }
        if (!huffman_build(&z->literals, lengths, 19))
                return INFLATE_MALFORMED;
        memset(lengths, 0, sizeof(lengths));
        s = read_lengths(z, lengths, literals + distances);
        if (s != INFLATE_OK)
                return s;
        return huffman_build(&z->literals, lengths, literals) &&
                               huffman_build(&z->distances, lengths + literals, distances)
                       ? INFLATE_OK
                       : INFLATE_MALFORMED;
}

static enum inflate_status block(struct inflate *z, unsigned type)
{
        enum inflate_status s;

        switch (type) {
        case 0:
                return stored(z);
        case 1:
                fixed_codes(z);
                return coded(z);
        case 2:
                s = dynamic_codes(z);
                return s == INFLATE_OK ? coded(z) : s;
        default:
                return INFLATE_MALFORMED;
        }
}

enum inflate_status inflate_run(struct inflate *z)
{
        enum inflate_status s = INFLATE_OK;
        bool last = false;

        z->begun = z->at;
        while (s == INFLATE_OK && !last) {
                if (!want(z, 3)) {
                        s = INFLATE_SHORT;
                        break;
                }
                last = drop(z, 1);
                s = block(z, drop(z, 2));
        }
        drop(z, z->have & 7);
        if (s != INFLATE_STOPPED && !give(z))
                s = INFLATE_STOPPED;
        return s;
}
