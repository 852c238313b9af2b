/*
 * tests/fuzz/wr.c - what the bounded writer makes of hostile bytes.
 *
 * Invariants: wr_json gives valid UTF-8 with no control byte in it, in quotes, or sets
 * full; wr_plain gives one printable line; neither passes its capacity, which is the
 * first byte of the input.
 */
#include "base/utf8.h"
#include "base/wr.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct wr *w, size_t cap)
{
        if (w->len > cap)
                abort();
        for (size_t i = 0; i < w->len; i++) {
                unsigned char c = (unsigned char)w->buf[i];

                if (c < 0x20 || c == 0x7f)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t cap = size ? (size_t)data[0] * 8 : 0;
        char *out = malloc(cap ? cap : 1);
        struct wr w = wr_of(out, cap);

        if (!out)
                return 0;
        if (size) {
                data++;
                size--;
        }
        wr_json(&w, (const char *)data, size);
        check_line(&w, cap);
        if (!w.full && (w.len < 2 || w.buf[0] != '"' || w.buf[w.len - 1] != '"' ||
                        utf8_prefix(w.buf, w.len) != w.len))
                abort();
        w = wr_of(out, cap);
        wr_plain(&w, (const char *)data, size);
        check_line(&w, cap);
        free(out);
        return 0;
}
