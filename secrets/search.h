/*
 * secrets/search.h - finds needles in text, at near the speed of memory.
 *
 * Every needle's first bytes are indexed four at a time, so a text is only looked at every
 * `stride` bytes: no needle fits between two looks. A look is a load, a multiplication and
 * one bit of a table (8 KiB for a few secrets), independent of the look before; only where
 * the bit is set does a binary search ask which needles have these four bytes, and where.
 *
 * Pure. The index is made of secrets' bytes: its memory is the caller's (the arena).
 */
#ifndef SECRETS_SEARCH_H
#define SECRETS_SEARCH_H

#include "secrets/needle.h"

#define SEARCH_STRIDE_MAX 16

struct gram {
        uint32_t bytes;
        uint16_t needle;
        uint8_t offset;
        uint8_t unused;
};

struct search {
        const struct needles *needles;
        struct gram *grams;
        size_t count;
        size_t stride; /* 0: there is nothing to find */
        uint64_t *bits;
        unsigned shift; /* of a hash, to a bit's number */
        uint64_t first[4];    /* the bytes that needles begin with */
        uint64_t pairs[1024]; /* the two bytes: most ends of a text are told by these */
};

/* The bytes of memory that search_init() asks for. */
size_t search_room(const struct needles *n);

/* The index of @n, in @room of search_room(n) bytes, aligned to 8. @n and its list must stay. */
void search_init(struct search *s, const struct needles *n, void *room);

struct hit {
        size_t at, len;
        uint16_t needle;
};

/*
 * The first place at or after @from where a needle is found, and there the longest one:
 * MATCH_FULL and *@hit. With @more (the text goes on behind @len) a place where a needle
 * has only begun counts too: MATCH_PARTIAL, hit->at, and hit->len of the longest needle
 * that is whole there (0: none).
 */
enum match search_next(const struct search *s, const void *text, size_t len, size_t from,
                       bool more, struct hit *hit);

#endif
