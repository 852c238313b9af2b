/*
 * tests/fuzz/bech32.c - hostile keys, and files of them.
 *
 * Invariants: a key that is taken is what bech32_put makes of its bytes, in one of two
 * cases; one that is refused leaves zeros. Any 32 bytes survive the way there and back, and
 * not with one character changed. A file of keys ends, and counts no more lines than it has.
 */
#include "secrets/bech32.h"
#include "secrets/identity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t len, const char *prefix, const char *upper)
{
        static const uint8_t zeros[BECH32_BYTES];
        uint8_t key[BECH32_BYTES];
        char put[100];
        struct wr w = wr_of(put, sizeof(put));

        memset(key, 0x55, sizeof(key));
        if (bech32_parse(text, len, prefix, key) != BECH32_OK) {
                if (memcmp(key, zeros, sizeof(key)) != 0)
                        abort();
                return;
        }
        bech32_put(&w, prefix, key);
        if (w.len == len && !memcmp(put, text, len))
                return;
        w = wr_of(put, sizeof(put));
        bech32_put(&w, upper, key);
        if (w.len != len || memcmp(put, text, len) != 0)
                abort();
}

static void check_bytes(const uint8_t bytes[static BECH32_BYTES], uint8_t where, uint8_t what)
{
        uint8_t key[BECH32_BYTES];
        char put[100];
        struct wr w = wr_of(put, sizeof(put));

        bech32_put(&w, "age", bytes);
        if (bech32_parse(put, w.len, "age", key) != BECH32_OK ||
            memcmp(key, bytes, sizeof(key)) != 0)
                abort();
        if (put[where % w.len] == (char)what)
                return;
        put[where % w.len] = (char)what;
        if (bech32_parse(put, w.len, "age", key) == BECH32_OK)
                abort();
}

static void check_file(const uint8_t *data, size_t size, bool identities)
{
        struct rd r = rd_of(data, size);
        unsigned lines = 1, line = 0;
        enum identity_status s;
        uint8_t key[AGE_KEY_LEN];

        for (size_t i = 0; i < size; i++)
                lines += data[i] == '\n';
        do {
                size_t left = rd_left(&r);

                s = identities ? identity_next(&r, &line, key) : recipient_next(&r, &line, key);
                if (s != IDENTITY_END && rd_left(&r) >= left)
                        abort();
        } while (s != IDENTITY_END);
        if (line > lines)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t key[AGE_FILE_KEY_LEN];

        check_text((const char *)data, size, "age", "AGE");
        check_text((const char *)data, size, IDENTITY_PREFIX, "AGE-SECRET-KEY-");
        check_file(data, size, true);
        check_file(data, size, false);
        if (file_key_parse(data, size, key) && size != 16 && size != 32 && size != 33)
                abort();
        if (size >= BECH32_BYTES + 2)
                check_bytes(data + 2, data[0], data[1]);
        return 0;
}
