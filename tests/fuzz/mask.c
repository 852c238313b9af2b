/*
 * tests/fuzz/mask.c - a stream with secrets in it, cut anywhere.
 *
 * The input's first bytes choose the secret (its length and bytes come from a small
 * alphabet, so that it repeats itself) and the cuts. Invariants: as many bytes come out as
 * went in, the secret is not among them, and the cuts make no difference.
 */
#include "netfilter/inject.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mask mask;
static uint8_t text[4096], once[4096], cut[4096];

static size_t run(size_t size, size_t step, size_t cap, const uint8_t *secret, size_t len,
                  uint8_t *out)
{
        static const uint8_t stars[16] = "****************";
        size_t total = 0;

        mask_init(&mask);
        if (!mask_add(&mask, secret, stars, len) || !mask_add(&mask, "ddd", "---", 3))
                abort();
        for (size_t at = 0; at < size;) {
                size_t n = size - at < step ? size - at : step, used;

                total += mask_run(&mask, text + at, n, &used, out + total, cap);
                at += used;
        }
        for (size_t n = 1; n; total += n)
                n = mask_end(&mask, out + total, cap);
        return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t secret[16];
        size_t len;

        if (size < 8 || size > 2048)
                return 0;
        len = 2 + data[0] % 6;
        for (size_t i = 0; i < len; i++)
                secret[i] = (uint8_t)('a' + data[1 + i] % 2);
        for (size_t i = 0; i < size; i++)
                text[i] = (uint8_t)('a' + data[i] % 4);
        if (run(size, size, sizeof(once) / 2, secret, len, once) != size ||
            run(size, 1 + data[7] % 5, 32, secret, len, cut) != size)
                abort();
        if (memcmp(once, cut, size) != 0 || memmem(once, size, secret, len) ||
            memmem(once, size, "ddd", 3))
                abort();
        return 0;
}
