/*
 * tests/fuzz/model_sse.c - a stream gives the same events however it is cut, none larger
 * than it was, and what comes of them is JSON that can be sent back.
 */
#include "agent/answer.h"
#include "agent/sse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* All events of the stream, each with its length before it. */
static void read_all(const char *bytes, size_t len, size_t piece, struct buf *events)
{
        struct sse s = { 0 };

        while (len) {
                size_t n = piece && piece < len ? piece : len;

                while (n) {
                        size_t used;
                        enum sse_status status = sse_next(&s, bytes, n, &used);

                        if (used > n || status == SSE_LARGE)
                                abort();
                        if (status == SSE_EVENT) {
                                buf_fmt(events, "%zu:", s.data.len);
                                buf_put(events, buf_at(&s.data), s.data.len);
                        } else if (used != n) {
                                abort();
                        }
                        bytes += used;
                        len -= used;
                        n -= used;
                }
        }
        sse_free(&s);
}

static void must_parse(const struct buf *b)
{
        struct value v;
        struct value_error e;

        if (!value_parse(&v, buf_at(b), b->len, &e))
                abort();
}

/* The conversation that the stream would leave, sent back over both wires. */
static void answer_all(const char *bytes, size_t len, enum wire wire)
{
        struct answer a = { .wire = wire };
        struct sse s = { 0 };
        struct buf out = { 0 };

        while (len) {
                size_t used;

                if (sse_next(&s, bytes, len, &used) == SSE_EVENT &&
                    !answer_take(&a, buf_at(&s.data), s.data.len)) {
                        if (a.failure.kind == MODEL_FINE || !a.failure.text[0])
                                abort();
                        break;
                }
                bytes += used;
                len -= used;
        }
        if (!answer_end(&a) && a.failure.kind == MODEL_FINE)
                abort();
        history_settle(&a.items);
        if (history_settle(&a.items))
                abort();
        for (size_t i = 0; i < a.items.count; i++)
                must_parse(&a.items.items[i].json);
        buf_str(&out, "[");
        history_put_messages(&a.items, "s", &out);
        buf_str(&out, "]");
        must_parse(&out);
        buf_free(&out);
        sse_free(&s);
        answer_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *bytes = (const char *)data;
        struct buf whole = { 0 }, pieces = { 0 };

        if (!len)
                return 0;
        read_all(bytes + 1, len - 1, 0, &whole);
        read_all(bytes + 1, len - 1, data[0] % 7 + 1, &pieces);
        if (whole.len != pieces.len ||
            (whole.len && memcmp(buf_at(&whole), buf_at(&pieces), whole.len) != 0))
                abort();
        buf_free(&whole);
        buf_free(&pieces);
        answer_all(bytes + 1, len - 1, data[0] & 0x80 ? WIRE_CHAT_API : WIRE_RESPONSES_API);
        return 0;
}
