/* secrets/search.c - the index of four-byte grams, and the walk over the text. */
#include "secrets/search.h"

#include <string.h>

#define GRAM 4
#define LOOKS 8 /* between two branches */

_Static_assert(SEARCH_STRIDE_MAX + GRAM - 1 <= NEEDLE_HEAD, "a head must be looked at whole");

static uint32_t load(const uint8_t *at)
{
        uint32_t bytes;

        memcpy(&bytes, at, sizeof(bytes));
        return bytes;
}

static uint32_t hash(uint32_t bytes, unsigned shift)
{
        return (bytes * UINT32_C(0x9e3779b1)) >> shift;
}

static uint64_t bit_of(const struct search *s, uint32_t bytes)
{
        uint32_t h = hash(bytes, s->shift);

        return s->bits[h >> 6] >> (h & 63) & 1;
}

/* Any needle begins with stride + GRAM - 1 bytes that can be looked at. */
static size_t stride_of(const struct needles *n)
{
        size_t stride;

        if (!n->count)
                return 0;
        stride = n->shortest - (GRAM - 1);
        /* Thousands of needles would fill the table, and every look be a hit. */
        while (stride > NEEDLE_MIN - (GRAM - 1) && stride * n->count > 65536)
                stride--;
        return stride < SEARCH_STRIDE_MAX ? stride : SEARCH_STRIDE_MAX;
}

/* A table of 2^16 to 2^20 bits, of which one in sixteen is set at most, if that will do. */
static unsigned shift_of(size_t grams)
{
        unsigned shift = 16;

        while (shift > 12 && grams << 4 > UINT64_C(1) << (32 - shift))
                shift--;
        return shift;
}

static size_t table_bytes(unsigned shift)
{
        return (size_t)1 << (32 - shift - 3);
}

size_t search_room(const struct needles *n)
{
        size_t grams = n->count * stride_of(n);

        return table_bytes(shift_of(grams)) + grams * sizeof(struct gram);
}

/* Heap sort: in place, no worst case, no copy anywhere else. */
static void sift(struct gram *g, size_t at, size_t count)
{
        for (size_t child; (child = 2 * at + 1) < count; at = child) {
                struct gram swap = g[at];

                if (child + 1 < count && g[child + 1].bytes > g[child].bytes)
                        child++;
                if (g[child].bytes <= swap.bytes)
                        return;
                g[at] = g[child];
                g[child] = swap;
        }
}

static void sort(struct gram *g, size_t count)
{
        for (size_t i = count / 2; i--;)
                sift(g, i, count);
        for (size_t end = count; end > 1;) {
                struct gram swap = g[0];

                end--;
                g[0] = g[end];
                g[end] = swap;
                sift(g, 0, end);
        }
}

void search_init(struct search *s, const struct needles *n, void *room)
{
        uint8_t head[SEARCH_STRIDE_MAX + GRAM];
        size_t stride = stride_of(n);
        unsigned shift = shift_of(n->count * stride);

        *s = (struct search){ .needles = n, .bits = room, .shift = shift, .stride = stride };
        s->grams = (struct gram *)(void *)((char *)room + table_bytes(shift));
        memset(s->bits, 0, table_bytes(shift));
        for (size_t i = 0; i < n->count; i++) {
                needle_spell(n, &n->list[i], head, sizeof(head));
                s->first[head[0] >> 6] |= UINT64_C(1) << (head[0] & 63);
                s->pairs[head[0] << 2 | head[1] >> 6] |= UINT64_C(1) << (head[1] & 63);
                for (size_t o = 0; o < s->stride; o++) {
                        uint32_t bytes = load(head + o);
                        uint32_t h = hash(bytes, shift);

                        s->bits[h >> 6] |= UINT64_C(1) << (h & 63);
                        s->grams[s->count++] = (struct gram){ bytes, (uint16_t)i, (uint8_t)o, 0 };
                }
        }
        sort(s->grams, s->count);
        explicit_bzero(head, sizeof(head));
}

/* --- finding -------------------------------------------------------------------------- */

struct best {
        enum match match;
        struct hit hit;
};

/* The needle @needle may start at @at: is it better than what we have? */
static void consider(const struct search *s, const uint8_t *text, size_t len, size_t at,
                     uint16_t needle, bool more, struct best *b)
{
        size_t matched = 0;
        enum match m;

        if (b->match != MATCH_NO && at > b->hit.at)
                return;
        m = needle_match(s->needles, &s->needles->list[needle], text + at, len - at, &matched);
        if (m == MATCH_NO || (m == MATCH_PARTIAL && !more))
                return;
        if (b->match == MATCH_NO || at < b->hit.at)
                *b = (struct best){ .hit = { .at = at } };
        if (m == MATCH_PARTIAL || b->match == MATCH_NO)
                b->match = m;
        if (m == MATCH_FULL && matched > b->hit.len) {
                b->hit.len = matched;
                b->hit.needle = needle;
        } else if (!b->hit.len) {
                b->hit.needle = needle;
        }
}

/* The bytes at @look are some needle's, at some offset. */
static void look(const struct search *s, const uint8_t *text, size_t len, size_t look_at,
                 size_t from, bool more, struct best *b)
{
        uint32_t bytes = load(text + look_at);
        size_t low = 0;
        size_t high = s->count;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (s->grams[mid].bytes < bytes)
                        low = mid + 1;
                else
                        high = mid;
        }
        for (; low < s->count && s->grams[low].bytes == bytes; low++) {
                size_t offset = s->grams[low].offset;

                if (look_at >= from + offset)
                        consider(s, text, len, look_at - offset, s->grams[low].needle, more, b);
        }
}

static bool may_begin(const struct search *s, const uint8_t *at, size_t have)
{
        if (have == 1)
                return s->first[at[0] >> 6] >> (at[0] & 63) & 1;
        return s->pairs[at[0] << 2 | at[1] >> 6] >> (at[1] & 63) & 1;
}

/* Starts so near the end that no look behind them fits: begun needles, none whole. */
static void near_end(const struct search *s, const uint8_t *text, size_t len, size_t from,
                     struct best *b)
{
        for (size_t at = from; at < len && b->match == MATCH_NO; at++) {
                size_t have = len - at < GRAM ? len - at : GRAM;

                if (!may_begin(s, text + at, have))
                        continue;
                for (size_t i = 0; i < s->needles->count; i++) {
                        if (!memcmp(s->needles->list[i].head, text + at, have))
                                consider(s, text, len, at, (uint16_t)i, true, b);
                }
        }
}

/* The first look from @at on whose bit is set; or where looks no longer fit. */
static size_t skip(const struct search *s, const uint8_t *text, size_t len, size_t at)
{
        size_t stride = s->stride;

        while (at + (LOOKS - 1) * stride + GRAM <= len) {
                uint64_t any = 0;

                for (size_t i = 0; i < LOOKS; i++)
                        any |= bit_of(s, load(text + at + i * stride));
                if (any)
                        break;
                at += LOOKS * stride;
        }
        while (at + GRAM <= len && !bit_of(s, load(text + at)))
                at += stride;
        return at;
}

enum match search_next(const struct search *s, const void *text, size_t len, size_t from,
                       bool more, struct hit *hit)
{
        struct best b = { .match = MATCH_NO };
        size_t at = from + s->stride - 1;

        if (!s->stride || from >= len)
                return MATCH_NO;
        for (;;) {
                at = skip(s, text, len, at);
                if (at + GRAM > len)
                        break;
                /* Starts that this look covers lie behind all those of earlier ones. */
                look(s, text, len, at, from, more, &b);
                if (b.match != MATCH_NO)
                        break;
                at += s->stride;
        }
        if (b.match == MATCH_NO && more) {
                at -= s->stride - 1;
                near_end(s, text, len, at > from ? at : from, &b);
        }
        *hit = b.hit;
        return b.match;
}
