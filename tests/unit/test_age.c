/* tests/unit/test_age.c - sealed here, opened here; one bit more or less, and it is not. */
#include "secrets/sealed.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char identity_text[] =
        "# a comment\n\n"
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0\r\n";
static const char stranger_text[] =
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";
static const uint8_t file_key[AGE_FILE_KEY_LEN] = {
        'Y', 'E', 'L', 'L', 'O', 'W', ' ', 'S', 'U', 'B', 'M', 'A', 'R', 'I', 'N', 'E',
};

/* The format's first test vector: sealed by another program. */
static const char vector[] =
        "age-encryption.org/v1\n"
        "-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n"
        "hjabGXwSLQ9c3S6Lw2i+S2Tu2fiwQHHslbBN6B41FLE\n"
        "--- WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg\n";

static bool first_identity(const char *text, uint8_t out[static AGE_KEY_LEN])
{
        struct rd r = rd_of(text, strlen(text));
        unsigned line = 0;

        return identity_next(&r, &line, out) == IDENTITY_OK;
}

/* @len bytes of @plain sealed for identity_text's owner and @extra others. */
static size_t seal(uint8_t *out, size_t cap, const uint8_t *plain, size_t len, unsigned extra)
{
        static const uint8_t nonce[AGE_NONCE_LEN] = { 7 };
        struct wr w = wr_of(out, cap);
        uint8_t identity[AGE_KEY_LEN];
        uint8_t recipient[AGE_KEY_LEN];
        uint8_t ephemeral[AGE_KEY_LEN] = { 1, 2, 3 };
        struct age a;

        CHECK(first_identity(identity_text, identity));
        age_put_start(&w);
        for (unsigned i = 0; i <= extra; i++) {
                ephemeral[0] = (uint8_t)i;
                /* The last one is ours. */
                if (i < extra)
                        age_recipient(ephemeral, recipient);
                else
                        age_recipient(identity, recipient);
                CHECK(age_put_stanza(&w, recipient, ephemeral, file_key) == AGE_OK);
        }
        age_put_end(&a, &w, file_key, nonce);
        do {
                size_t n = len > AGE_CHUNK ? AGE_CHUNK : len;

                if (n)
                        memcpy(out + w.len, plain, n);
                age_seal(&a, out + w.len, n, n == len);
                w.len += n + AGE_TAG_LEN;
                plain += n;
                len -= n;
        } while (!a.ended);
        CHECK(!w.full);
        return w.len;
}

/* Opens a copy of @file; leaves the struct for whoever wants to know more. */
static enum sealed_status open_with(struct sealed *s, const void *file, size_t len,
                                    const void *key, size_t key_len)
{
        *s = (struct sealed){ .buf = at_page_end(file, len), .len = len, .key = key,
                              .key_len = key_len };
        sealed_open(s);
        return s->status;
}

static bool opens(const void *file, size_t len)
{
        struct sealed s;

        return open_with(&s, file, len, identity_text, sizeof(identity_text) - 1) == SEALED_OK;
}

TEST(a_header_of_another_program_gives_its_file_key)
{
        uint8_t buf[sizeof(vector) - 1 + AGE_NONCE_LEN] = { 0 };
        uint8_t identity[AGE_KEY_LEN];
        uint8_t key[AGE_FILE_KEY_LEN];
        struct age_header h;
        struct age a;

        memcpy(buf, vector, sizeof(vector) - 1);
        CHECK(first_identity(identity_text, identity));
        CHECK(age_parse(&h, at_page_end(buf, sizeof(buf)), sizeof(buf)) == AGE_OK);
        CHECK(age_unwrap(&h, identity, key) == AGE_OK);
        CHECK(!memcmp(key, file_key, sizeof(key)));
        CHECK(age_begin(&a, &h, key) == AGE_OK);
        key[0] ^= 1;
        CHECK(age_begin(&a, &h, key) == AGE_FORGED);
        CHECK(first_identity(stranger_text, identity));
        CHECK(age_unwrap(&h, identity, key) == AGE_NOT_FOR_US);
}

TEST(every_prefix_of_a_header_is_malformed)
{
        uint8_t buf[sizeof(vector) - 1 + AGE_NONCE_LEN] = { 0 };
        struct age_header h;

        memcpy(buf, vector, sizeof(vector) - 1);
        for (size_t n = 0; n < sizeof(buf); n++)
                CHECK(age_parse(&h, at_page_end(buf, n), n) != AGE_OK);
}

TEST(what_was_sealed_opens_at_every_size_near_a_chunk)
{
        static uint8_t file[4 * AGE_CHUNK];
        static uint8_t plain[3 * AGE_CHUNK];
        static const size_t sizes[] = { 0, 1, AGE_CHUNK - 1, AGE_CHUNK, AGE_CHUNK + 1,
                                        2 * AGE_CHUNK, 2 * AGE_CHUNK + 1 };

        for (size_t i = 0; i < sizeof(plain); i++)
                plain[i] = (uint8_t)(i * 7 + i / 251);
        for (size_t i = 0; i < COUNT(sizes); i++) {
                size_t len = seal(file, sizeof(file), plain, sizes[i], (unsigned)i % 3);
                struct sealed s;

                CHECK(open_with(&s, file, len, identity_text, sizeof(identity_text) - 1) ==
                      SEALED_OK);
                CHECK(s.plain_len == sizes[i] && !memcmp(s.plain, plain, s.plain_len));
                CHECK(open_with(&s, file, len, file_key, sizeof(file_key)) == SEALED_OK);
                CHECK(s.plain_len == sizes[i]);
                CHECK(open_with(&s, file, len, stranger_text, sizeof(stranger_text) - 1) ==
                              SEALED_FILE && s.age == AGE_NOT_FOR_US);
        }
}

TEST(no_single_bit_can_be_changed)
{
        uint8_t file[512];
        size_t len = seal(file, sizeof(file), (const uint8_t *)"secret", 6, 1);
        unsigned opened = 0;

        CHECK(opens(file, len));
        for (size_t bit = 0; bit < len * 8; bit++) {
                struct sealed s = { .buf = file, .len = len, .key = file_key,
                                    .key_len = sizeof(file_key) };
                uint8_t copy[512];

                file[bit / 8] ^= (uint8_t)(1U << bit % 8);
                memcpy(copy, file, len);
                s.buf = copy;
                sealed_open(&s);
                opened += s.status == SEALED_OK;
                file[bit / 8] ^= (uint8_t)(1U << bit % 8);
        }
        CHECK(!opened);
}

TEST(no_byte_can_be_cut_off_or_added)
{
        static uint8_t file[2 * AGE_CHUNK];
        static uint8_t plain[AGE_CHUNK + 3];
        size_t len = seal(file, sizeof(file), plain, 6, 0);

        for (size_t n = 0; n < len; n++)
                CHECK(!opens(file, n));
        CHECK(!opens(file, len + 1));
        len = seal(file, sizeof(file), plain, sizeof(plain), 0);
        CHECK(opens(file, len));
        CHECK(!opens(file, len - 3 - AGE_TAG_LEN)); /* the last chunk as a whole */
}

TEST(nothing_of_a_broken_payload_stays)
{
        static uint8_t file[2 * AGE_CHUNK];
        static uint8_t plain[AGE_CHUNK + 100];
        struct sealed s;
        size_t len;
        unsigned found = 0;

        memset(plain, 'P', sizeof(plain));
        len = seal(file, sizeof(file), plain, sizeof(plain), 0);
        file[len - 1] ^= 1; /* the first chunk is right */
        CHECK(open_with(&s, file, len, file_key, sizeof(file_key)) == SEALED_FILE);
        CHECK(s.age == AGE_BROKEN);
        for (size_t i = 0; i + 4 < s.len; i++)
                found += !memcmp(s.buf + i, "PPPP", 4);
        CHECK(!found);
}

TEST(a_share_of_low_order_is_a_trick)
{
        uint8_t zero[AGE_KEY_LEN] = { 0 };
        uint8_t one[AGE_KEY_LEN] = { 1 };
        char buf[256];
        struct wr w = wr_of(buf, sizeof(buf));

        CHECK(age_put_stanza(&w, zero, one, file_key) == AGE_BAD_KEY);
        CHECK(age_put_stanza(&w, one, one, file_key) == AGE_BAD_KEY);
        CHECK(!w.len);
}

TEST(a_payload_ends_once)
{
        static uint8_t file[2 * AGE_CHUNK];
        size_t len = seal(file, sizeof(file), (const uint8_t *)"secret", 6, 0);
        struct age_header h;
        struct age a;
        size_t n, at;

        CHECK(age_parse(&h, file, len) == AGE_OK && age_begin(&a, &h, file_key) == AGE_OK);
        at = h.len + AGE_NONCE_LEN;
        CHECK(age_chunk(&a, file + at, len - at, true, &n) == AGE_OK && n == 6);
        CHECK(age_chunk(&a, file + at, AGE_TAG_LEN, true, &n) == AGE_BROKEN);
}

TEST(an_empty_chunk_behind_a_full_one_is_broken)
{
        static uint8_t chunks[AGE_CHUNK + 2 * AGE_TAG_LEN];
        struct age writer = { .key = { 3 } };
        struct age reader = writer;
        size_t n;

        age_seal(&writer, chunks, AGE_CHUNK, false);
        age_seal(&writer, chunks + AGE_CHUNK + AGE_TAG_LEN, 0, true);
        CHECK(age_payload(&reader, chunks, sizeof(chunks), &n) == AGE_BROKEN);
}

TEST(who_else_a_file_is_for_is_said)
{
        static const struct {
                const char *stanza;
                const char *word;
        } rows[] = {
                { "-> scrypt bGFsYWxhbGFsYWxhbGFsYQ 10\n\n", "passphrase" },
                { "-> ssh-ed25519 abcd efgh\n\n", "ssh" },
                { "-> mlkem768x25519 abcd\n\n", "post-quantum" },
                { "-> p256tag abcd\n\n", "hardware" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                static const char mac[] = "--- WyJp9F/9FOZh7gJdheq2WIJcwHgYc8NIVh3ddwhrcNg\n"
                                          "0123456789abcdef";
                char file[300];
                char said[600];
                struct wr w = wr_of(file, sizeof(file));
                struct wr t = wr_of(said, sizeof(said));
                struct sealed s;

                wr_fmt(&w, "age-encryption.org/v1\n%s%s", rows[i].stanza, mac);
                CHECK(open_with(&s, file, w.len, stranger_text, sizeof(stranger_text) - 1) ==
                              SEALED_FILE && s.age == AGE_NOT_FOR_US);
                sealed_explain(&s, &t);
                CHECK_ROW(strstr(wr_cstr(&t), rows[i].word), rows[i].word);
        }
}

TEST(a_raw_file_key_is_16_bytes_or_32_digits)
{
        uint8_t key[AGE_FILE_KEY_LEN];

        CHECK(file_key_parse("YELLOW SUBMARINE", 16, key) && !memcmp(key, file_key, 16));
        CHECK(file_key_parse("59454c4c4f57205355424d4152494E45\n", 33, key));
        CHECK(!memcmp(key, file_key, 16));
        CHECK(!file_key_parse("59454c4c4f57205355424d4152494E4g", 32, key));
        CHECK(!file_key_parse("59454c4c4f57205355424d4152494E45 ", 33, key));
        CHECK(!file_key_parse("", 0, key) && !file_key_parse("YELLOW SUBMARIN", 15, key));
}
