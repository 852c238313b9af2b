/* tests/unit/test_bech32.c - keys as text, and every way to mistype one. */
#include "secrets/bech32.h"
#include "secrets/identity.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char identity[] =
        "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
static const char recipient[] = "age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm";

TEST(a_key_survives_the_way_there_and_back)
{
        uint8_t key[BECH32_BYTES];
        char text[100];
        struct wr w = wr_of(text, sizeof(text));

        CHECK(bech32_parse(at_page_end(identity, sizeof(identity) - 1), sizeof(identity) - 1,
                           IDENTITY_PREFIX, key) == BECH32_OK);
        CHECK(key[0] == 0x42 && key[31] == 0x42);
        bech32_put(&w, "AGE-SECRET-KEY-", key);
        CHECK(w.len == sizeof(identity) - 1 && !memcmp(text, identity, w.len));
}

TEST(no_character_of_a_key_can_be_another)
{
        static const char others[] = "qp1Zz-";
        uint8_t key[BECH32_BYTES];
        char text[sizeof(recipient)];

        for (size_t i = 0; i < sizeof(recipient) - 1; i++) {
                for (const char *c = others; *c; c++) {
                        memcpy(text, recipient, sizeof(text));
                        if (text[i] == *c)
                                continue;
                        text[i] = *c;
                        CHECK(bech32_parse(text, sizeof(text) - 1, "age", key) != BECH32_OK);
                }
                CHECK(bech32_parse(at_page_end(recipient, i), i, "age", key) != BECH32_OK);
        }
}

TEST(a_wrong_key_has_a_reason)
{
        static const struct {
                const char *why, *text;
                enum bech32_status status;
        } rows[] = {
                { "another prefix",
                  "agf1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm",
                  BECH32_PREFIX },
                { "both cases",
                  "age1Cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm",
                  BECH32_CASE },
                { "b is no character",
                  "age1by0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm",
                  BECH32_CHARACTER },
                { "one short", "age1cy0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euq",
                  BECH32_LENGTH },
                { "two swapped", "age1yc0su9fwf3gf9mw868g5yut09p6nytfmmnktexz2ya5uqg9vl9sss4euqm",
                  BECH32_CHECKSUM },
                { "nothing", "", BECH32_PREFIX },
                { "a prefix", "age1", BECH32_LENGTH },
        };
        uint8_t key[BECH32_BYTES];

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(bech32_parse(rows[i].text, strlen(rows[i].text), "age", key) ==
                                  rows[i].status, rows[i].why);
}

TEST(a_key_of_another_kind_is_named)
{
        static const struct {
                const char *text;
                enum identity_status as_identity, as_recipient;
        } rows[] = {
                { "\n# only a comment\n", IDENTITY_END, IDENTITY_END },
                { "", IDENTITY_END, IDENTITY_END },
                { identity, IDENTITY_OK, IDENTITY_SWAPPED },
                { recipient, IDENTITY_SWAPPED, IDENTITY_OK },
                { "age-secret-key-1gfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpq4egaex",
                  IDENTITY_LOWER, IDENTITY_MALFORMED },
                { "AGE1CY0SU9FWF3GF9MW868G5YUT09P6NYTFMMNKTEXZ2YA5UQG9VL9SSS4EUQM",
                  IDENTITY_MALFORMED, IDENTITY_MALFORMED },
                { "ssh-ed25519 AAAAC3Nz me@here", IDENTITY_SSH, IDENTITY_SSH },
                { "-----BEGIN OPENSSH PRIVATE KEY-----", IDENTITY_SSH, IDENTITY_SSH },
                { "AGE-SECRET-KEY-PQ-1QQQQ", IDENTITY_POST_QUANTUM, IDENTITY_POST_QUANTUM },
                { "age1pq1qqqq", IDENTITY_POST_QUANTUM, IDENTITY_POST_QUANTUM },
                { "AGE-PLUGIN-YUBIKEY-1QQQQ", IDENTITY_PLUGIN, IDENTITY_PLUGIN },
                { "age1yubikey1qqqq", IDENTITY_PLUGIN, IDENTITY_PLUGIN },
                { "-----BEGIN AGE ENCRYPTED FILE-----", IDENTITY_ENCRYPTED, IDENTITY_ENCRYPTED },
                { "age-encryption.org/v1\n", IDENTITY_ENCRYPTED, IDENTITY_ENCRYPTED },
                { "hello", IDENTITY_MALFORMED, IDENTITY_MALFORMED },
                { " AGE-SECRET-KEY-1", IDENTITY_MALFORMED, IDENTITY_MALFORMED },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].text);
                struct rd r = rd_of(at_page_end(rows[i].text, len), len);
                struct rd again = r;
                uint8_t key[AGE_KEY_LEN];
                unsigned line = 0;

                CHECK_ROW(identity_next(&r, &line, key) == rows[i].as_identity, rows[i].text);
                CHECK_ROW(recipient_next(&again, &line, key) == rows[i].as_recipient,
                          rows[i].text);
        }
}
