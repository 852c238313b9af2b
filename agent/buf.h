/*
 * agent/buf.h - bytes that grow, and are given back.
 *
 * The server's one way to hold what it can't bound beforehand: a message half read, answers
 * not yet taken, output retained. Whoever owns one bounds it; running out of memory ends
 * the program. A zero buf is empty.
 */
#ifndef AGENT_BUF_H
#define AGENT_BUF_H

#include "base/base.h"
#include "base/wr.h"

struct buf {
        char *bytes;
        size_t head, len, cap; /* bytes[head…head + len) are held */
};

/* What is held; NULL where nothing ever was (head is 0 then, but C forbids NULL + 0). */
static inline char *buf_at(const struct buf *b)
{
        return (char *)((uintptr_t)b->bytes + b->head);
}

/* Room for @len bytes behind what is held; buf_added says how many were written there. */
char *buf_room(struct buf *b, size_t len);
void buf_added(struct buf *b, size_t len);

void buf_put(struct buf *b, const void *bytes, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_u64(struct buf *b, uint64_t n);
void buf_i64(struct buf *b, int64_t n);
void buf_json(struct buf *b, const char *bytes, size_t len); /* as wr_json */
void buf_base64(struct buf *b, const void *bytes, size_t len);
void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3); /* at most 4 KiB */

/* Drops @len bytes from the front. An empty buf of more than @keep bytes gives them back. */
void buf_drop(struct buf *b, size_t len, size_t keep);
void buf_free(struct buf *b);

/* malloc that ends the program rather than return NULL; zeroed. */
void *take_memory(size_t len);

#endif
