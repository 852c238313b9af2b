/* agent/buf.c - bytes that grow. */
#include "agent/buf.h"

#include "base/base64.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

void *take_memory(size_t len)
{
        void *p = calloc(1, len ? len : 1);

        if (!p)
                die(STATUS_AGAIN, "out of memory");
        return p;
}

char *buf_room(struct buf *b, size_t len)
{
        /* Twice as much, even when moving would do: else it would be moved again at once. */
        size_t cap = b->cap ? 2 * b->cap : 256;
        char *bytes;

        if (b->bytes && len <= b->cap - b->head - b->len)
                return b->bytes + b->head + b->len;
        if (b->bytes && b->head && len <= b->cap - b->len && b->head >= b->len) {
                memmove(b->bytes, b->bytes + b->head, b->len);
                b->head = 0;
                return b->bytes + b->len;
        }
        while (cap - b->len < len)
                cap *= 2;
        bytes = malloc(cap);
        if (!bytes)
                die(STATUS_AGAIN, "out of memory");
        if (b->bytes)
                memcpy(bytes, b->bytes + b->head, b->len);
        free(b->bytes);
        b->bytes = bytes;
        b->head = 0;
        b->cap = cap;
        return bytes + b->len;
}

void buf_added(struct buf *b, size_t len)
{
        b->len += len;
}

void buf_put(struct buf *b, const void *bytes, size_t len)
{
        if (!len)
                return;
        memcpy(buf_room(b, len), bytes, len);
        b->len += len;
}

void buf_str(struct buf *b, const char *s)
{
        buf_put(b, s, strlen(s));
}

void buf_u64(struct buf *b, uint64_t n)
{
        struct wr w = wr_of(buf_room(b, 20), 20);

        wr_u64(&w, n);
        b->len += w.len;
}

void buf_i64(struct buf *b, int64_t n)
{
        if (n < 0)
                buf_put(b, "-", 1);
        buf_u64(b, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void buf_json(struct buf *b, const char *bytes, size_t len)
{
        struct wr w = wr_of(buf_room(b, 6 * len + 2), 6 * len + 2);

        wr_json(&w, bytes, len);
        b->len += w.len;
}

void buf_base64(struct buf *b, const void *bytes, size_t len)
{
        b->len += base64_encode(buf_room(b, BASE64_PADDED(len)), bytes, len);
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
        struct wr w = wr_of(buf_room(b, TEXT_MAX), TEXT_MAX);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        b->len += w.len;
}

void buf_drop(struct buf *b, size_t len, size_t keep)
{
        b->head += len;
        b->len -= len;
        if (b->len)
                return;
        b->head = 0;
        if (b->cap > keep)
                buf_free(b);
}

void buf_free(struct buf *b)
{
        free(b->bytes);
        *b = (struct buf){ 0 };
}
