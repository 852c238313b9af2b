/*
 * tests/fuzz/chunk.c - a chunked body gives the same bytes and ends at the same place
 * however it is cut; encoded anew, it decodes to them. The first byte is the size of a piece.
 */
#include "base/http1.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Returns how the body ends; its bytes go to @out, what was used to *@end. */
static enum http1_status decode(const char *s, size_t len, size_t step, struct wr *out, size_t *end)
{
        struct http1_chunked c;
        enum http1_status status = HTTP1_MORE;
        size_t at = 0;

        http1_chunked_init(&c);
        while (at < len && (status == HTTP1_MORE || status == HTTP1_OK)) {
                size_t n = step < len - at ? step : len - at;
                struct http1_text piece;
                size_t used;

                status = http1_chunk_next(&c, s + at, n, &used, &piece);
                if (used > n || (status == HTTP1_MORE && used != n) || (!used && n))
                        abort();
                if (status == HTTP1_OK) {
                        if (!piece.len || piece.at < s + at || piece.at + piece.len > s + at + used)
                                abort();
                        wr_bytes(out, piece.at, piece.len);
                }
                at += used;
        }
        *end = at;
        return status == HTTP1_OK ? HTTP1_MORE : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *s = (const char *)data + 1;
        size_t step = len ? data[0] + 1U : 1;
        char *a = malloc(len + 1), *b = malloc(len + 1), *c = malloc(2 * len + 64);
        struct wr whole = wr_of(a, len + 1), pieces = wr_of(b, len + 1), again;
        size_t end, other;
        enum http1_status status;

        if (len--) {
                status = decode(s, len, len + 1, &whole, &end);
                if (decode(s, len, step, &pieces, &other) != status || end != other)
                        abort();
                if (whole.full || whole.len != pieces.len || memcmp(a, b, whole.len) != 0)
                        abort();
                again = wr_of(c, 2 * len + 64);
                if (whole.len) {
                        http1_put_chunk(&again, whole.len);
                        wr_bytes(&again, a, whole.len);
                        wr_str(&again, "\r\n");
                }
                wr_str(&again, HTTP1_LAST_CHUNK);
                pieces = wr_of(b, whole.len);
                if (again.full || decode(c, again.len, 7, &pieces, &end) != HTTP1_DONE ||
                    end != again.len || pieces.len != whole.len || memcmp(a, b, whole.len) != 0)
                        abort();
        }
        free(a);
        free(b);
        free(c);
        return 0;
}
