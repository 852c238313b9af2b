/*
 * tests/fuzz/armor.c - hostile armor.
 *
 * Invariants: armor that is taken is what armor_put makes of the bytes in it, but for
 * CRLF and the white space around; in place and elsewhere it decodes to the same. And any
 * bytes survive the way there and back.
 */
#include "secrets/armor.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_space(uint8_t c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether @text is @canonical but for CRLF, and space around it. */
static bool same_text(const uint8_t *text, size_t len, const struct wr *canonical)
{
        size_t i = 0, c = 0;

        while (i < len && is_space(text[i]))
                i++;
        while (c < canonical->len) {
                if (i < len && text[i] == '\r' && canonical->buf[c] == '\n')
                        i++;
                if (i == len) /* the last newline may be missing */
                        return c + 1 == canonical->len;
                if (text[i++] != (uint8_t)canonical->buf[c++])
                        return false;
        }
        while (i < len && is_space(text[i]))
                i++;
        return i == len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *out = malloc(size + 1), *in_place = malloc(size + 1);
        char *text = malloc(ARMOR_LEN(size));
        struct wr w = wr_of(text, ARMOR_LEN(size));
        enum armor_status s;
        size_t n = 0, m = 0;

        if (!out || !in_place || !text)
                abort();
        s = armor_parse(data, size, out, &n);
        memcpy(in_place, data, size);
        if (armor_parse(in_place, size, in_place, &m) != s)
                abort();
        if (s == ARMOR_OK) {
                if (n != m || memcmp(out, in_place, n) != 0 || !armor_is(data, size))
                        abort();
                armor_put(&w, out, n);
                if (w.full || !same_text(data, size, &w))
                        abort();
        }
        w = wr_of(text, ARMOR_LEN(size));
        armor_put(&w, data, size);
        free(out);
        out = malloc(w.len);
        if (w.full || !out || armor_parse(text, w.len, out, &n) != ARMOR_OK || n != size ||
            memcmp(out, data, n) != 0)
                abort();
        free(out);
        free(in_place);
        free(text);
        return 0;
}
