/*
 * tests/fuzz/base64.c - base64 of any length, and text that may be none.
 *
 * Invariants: what base64_encode makes is what base64_put makes of short pieces, and comes
 * back, in place too; a text that is taken is the one text of its bytes; one that is not
 * has its first wrong letter where it is said to be.
 */
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *take(size_t len)
{
        char *p = malloc(len ? len : 1);

        if (!p)
                abort();
        return p;
}

static bool is_letter(uint8_t c)
{
        struct base64 b = { 0 };
        uint8_t three[3];

        base64_take(&b, (char)c, three);
        return b.count == 1;
}

static void there_and_back(const uint8_t *data, size_t size)
{
        size_t letters = BASE64_PADDED(size), len, wrong;
        char *fast = take(letters), *slow = take(letters);
        struct wr w = wr_of(slow, letters);

        base64_put(&w, data, size);
        if (base64_encode(fast, data, size) != letters || w.full || w.len != letters ||
            memcmp(fast, slow, letters) != 0)
                abort();
        if (!base64_decode_padded(fast, letters, fast, &len, &wrong) || len != size ||
            memcmp(fast, data, size) != 0)
                abort();
        free(fast);
        free(slow);
}

static void as_text(const uint8_t *data, size_t size)
{
        size_t room = (size / 4 + 1) * 3, len, wrong;
        char *out = take(room), *again = take(BASE64_PADDED(room));

        if (base64_decode_padded((const char *)data, size, out, &len, &wrong)) {
                if (BASE64_PADDED(len) != size || base64_encode(again, out, len) != size ||
                    memcmp(again, data, size) != 0)
                        abort();
        } else {
                for (size_t i = 0; i < wrong; i++)
                        if (!is_letter(data[i]))
                                abort();
                if (wrong > size || (wrong < size && is_letter(data[wrong])))
                        abort();
        }
        free(out);
        free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        there_and_back(data, size);
        as_text(data, size);
        return 0;
}
