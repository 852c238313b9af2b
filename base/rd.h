/*
 * base/rd.h - a cursor over untrusted bytes.
 *
 * A read past the end gives zero and turns the cursor bad for good, so a decoder reads
 * straight down and asks `bad` where it matters. Nothing is copied but into the caller's
 * memory; the bytes are the caller's and outlive the cursor.
 */
#ifndef BASE_RD_H
#define BASE_RD_H

#include "base/base.h"

struct rd {
        const uint8_t *at, *end;
        bool bad;
};

static inline struct rd rd_of(const void *bytes, size_t len)
{
        const uint8_t *b = bytes;

        return (struct rd){ b, len ? b + len : b, false };
}

static inline size_t rd_left(const struct rd *r)
{
        return (size_t)(r->end - r->at);
}

/* The next @len bytes where they lie, or NULL. */
static inline const uint8_t *rd_bytes(struct rd *r, size_t len)
{
        const uint8_t *at = r->at;

        if (r->bad || len > rd_left(r)) {
                r->bad = true;
                r->at = r->end;
                return NULL;
        }
        r->at += len;
        return at;
}

static inline uint8_t rd_u8(struct rd *r)
{
        const uint8_t *b = rd_bytes(r, 1);

        return b ? b[0] : 0;
}

static inline uint16_t rd_be16(struct rd *r)
{
        const uint8_t *b = rd_bytes(r, 2);

        return b ? (uint16_t)(b[0] << 8 | b[1]) : 0;
}

static inline uint32_t rd_be24(struct rd *r)
{
        const uint8_t *b = rd_bytes(r, 3);

        return b ? (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2] : 0;
}

static inline uint32_t rd_be32(struct rd *r)
{
        const uint8_t *b = rd_bytes(r, 4);

        return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

/* A cursor over the next @len bytes, which this one skips. Bad when they are not there. */
static inline struct rd rd_sub(struct rd *r, size_t len)
{
        const uint8_t *b = rd_bytes(r, len);

        return b ? rd_of(b, len) : (struct rd){ r->end, r->end, true };
}

#endif
