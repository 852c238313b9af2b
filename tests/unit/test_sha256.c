/* tests/unit/test_sha256.c - FIPS 180-4's own examples and BearSSL's answers, by both ways. */
#include "base/sha256.h"
#include "tests/unit/unit.h"

#include <bearssl_hash.h>
#include <string.h>

static const struct {
        const char *text, *hex;
} rows[] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
};

static void hash(const void *bytes, size_t len, size_t split, char *hex)
{
        struct sha256 s;

        sha256_init(&s);
        sha256_add(&s, bytes, split);
        sha256_add(&s, (const char *)bytes + split, len - split);
        sha256_end_hex(&s, hex);
}

static void check_rows(void)
{
        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].text);
                const char *text = at_page_end(rows[i].text, len);

                for (size_t split = 0; split <= len; split++) {
                        char hex[SHA256_HEX];

                        hash(text, len, split, hex);
                        CHECK_ROW(!strcmp(hex, rows[i].hex), rows[i].text);
                }
        }
}

/* Every length to 300, each in three pieces that are others every time. */
static void check_beside_bearssl(void)
{
        uint8_t text[300];
        uint32_t random = 1;

        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (uint8_t)(i * 131 + i / 7);
        for (size_t len = 0; len <= sizeof(text); len++) {
                const uint8_t *at = at_page_end(text, len);
                uint8_t ours[SHA256_LEN], theirs[br_sha256_SIZE];
                br_sha256_context c;
                struct sha256 s;
                size_t a, b;

                random = random * 1664525 + 1013904223;
                a = (random >> 8) % (len + 1);
                b = a + (random >> 20) % (len - a + 1);
                sha256_init(&s);
                sha256_add(&s, at, a);
                sha256_add(&s, at + a, b - a);
                sha256_add(&s, at + b, len - b);
                sha256_end(&s, ours);
                br_sha256_init(&c);
                br_sha256_update(&c, at, len);
                br_sha256_out(&c, theirs);
                CHECK(!memcmp(ours, theirs, sizeof(ours)));
        }
}

TEST(the_standards_examples_hold_in_every_split_and_by_both_ways)
{
        static char long_text[4097];
        char fast[SHA256_HEX], slow[SHA256_HEX];

        memset(long_text, 'a', sizeof(long_text));
        check_rows();
        check_beside_bearssl();
        hash(long_text, sizeof(long_text), 1000, fast);
        sha256_portable(true);
        check_rows();
        check_beside_bearssl();
        hash(long_text, sizeof(long_text), 63, slow);
        CHECK(!strcmp(fast, slow));
        sha256_portable(false);
}
