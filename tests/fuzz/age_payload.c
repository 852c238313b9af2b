/*
 * tests/fuzz/age_payload.c - a payload is whole and unchanged, or nothing of it is left.
 *
 * The input is taken twice. As chunks: nobody has the key, so nothing opens. As plaintext,
 * repeated up to a few chunks: what was sealed opens to itself; with one bit flipped, a byte
 * cut off or one added it does not, and the buffer is zeros. The first three bytes say how
 * long and where.
 */
#include "secrets/age.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PLAIN_MAX (3UL * AGE_CHUNK)

static const struct age fresh = { .key = { 1, 2, 3 } };
static uint8_t plain[PLAIN_MAX];
static uint8_t sealed[AGE_SEALED_LEN(PLAIN_MAX) + 1];
static uint8_t copy[sizeof(sealed)];

static size_t seal(size_t len)
{
        struct age a = fresh;
        size_t out = 0, at = 0;

        do {
                size_t n = len - at > AGE_CHUNK ? AGE_CHUNK : len - at;

                memcpy(sealed + out, plain + at, n);
                at += n;
                age_seal(&a, sealed + out, n, at == len);
                out += n + AGE_TAG_LEN;
        } while (at < len);
        if (out != AGE_SEALED_LEN(len))
                abort();
        return out;
}

/* @buf must not open, and must be empty then. */
static void must_break(uint8_t *buf, size_t len)
{
        struct age a = fresh;
        size_t n;

        if (age_payload(&a, buf, len, &n) != AGE_BROKEN || !a.ended)
                abort();
        for (size_t i = 0; i < len; i++)
                if (buf[i])
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct age a = fresh;
        size_t len, out, n, where;

        if (size < 3)
                return 0;
        len = (size_t)(data[0] << 8 | data[1]) * 3 % (PLAIN_MAX + 1);
        where = (size_t)(data[1] << 8 | data[2]);
        data += 3;
        size -= 3;
        memcpy(copy, data, size < sizeof(copy) ? size : sizeof(copy));
        must_break(copy, size < sizeof(copy) ? size : sizeof(copy));

        for (size_t i = 0; i < len; i++)
                plain[i] = size ? data[i % size] : 0;
        out = seal(len);
        memcpy(copy, sealed, out);
        if (age_payload(&a, copy, out, &n) != AGE_OK || n != len || memcmp(copy, plain, n) != 0)
                abort();

        memcpy(copy, sealed, out);
        copy[where * 7 % out] ^= (uint8_t)(1U << where % 8);
        must_break(copy, out);
        memcpy(copy, sealed, out);
        must_break(copy, out - 1);
        memcpy(copy, sealed, out);
        must_break(copy, out + 1);
        return 0;
}
