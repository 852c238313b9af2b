/*
 * netfilter/pool.h - buffers and pipes for bytes that are on their way.
 *
 * A connection takes one while bytes are pending and gives it back when there are none,
 * so a thousand quiet connections hold nothing. Both are bounded; taking may fail.
 */
#ifndef NETFILTER_POOL_H
#define NETFILTER_POOL_H

#include "base/base.h"

#define BUF_LEN ((size_t)36 * 1024) /* a head of 32 KiB, and what we add to it */
#define BUF_COUNT 1024

struct buf {
        uint8_t *bytes;
        uint32_t from, to; /* what is pending */
        struct buf *next;  /* in the list of free ones */
};

/* Reserves the addresses; pages come with use. 0 or -errno. */
MUST_USE int pool_open(void);

/* An empty buffer, or NULL. */
MUST_USE struct buf *buf_take(void);
/* Gives it back and forgets it; NULL is fine. What it held is not wiped: buf_wipe. */
void buf_give(struct buf **b);
void buf_wipe(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
        return b ? b->to - b->from : 0;
}

/* Where more can be put, and how much; moves what is pending to the front if need be. */
uint8_t *buf_room(struct buf *b, size_t *room);
static inline void buf_put(struct buf *b, size_t n)
{
        b->to += (uint32_t)n;
}
static inline void buf_used(struct buf *b, size_t n)
{
        b->from += (uint32_t)n;
        if (b->from == b->to) {
                b->from = 0;
                b->to = 0;
        }
}

/* A pipe's two ends, non-blocking; {-1, -1} for none. */
struct pipe {
        int out, in; /* read from out, write to in */
        uint32_t pending;
};

/* An empty pipe. 0 or -errno. */
MUST_USE int pipe_take(struct pipe *p);
/* Gives an empty one back, closes one that holds bytes. Safe on none. */
void pipe_give(struct pipe *p);

#endif
