/* tests/unit/test_base64.c - base64 there and back, and what is none. */
#include "base/base64.h"
#include "tests/unit/unit.h"

#include <string.h>

static size_t decode(const char *text, uint8_t *out, bool *whole)
{
        struct base64 b = { 0 };
        size_t n = 0;

        for (; *text; text++) {
                uint8_t bytes[3];
                size_t k = base64_take(&b, *text, bytes);

                memcpy(out + n, bytes, k);
                n += k;
        }
        *whole = base64_whole(&b);
        return n;
}

TEST(base64_of_rfc_4648_there_and_back)
{
        static const char *const rows[][2] = {
                { "", "" },         { "f", "Zg==" },     { "fo", "Zm8=" },
                { "foo", "Zm9v" },  { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
                { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char text[16];
                uint8_t bytes[16];
                struct wr w = wr_of(text, sizeof(text));
                bool whole;
                size_t n;

                base64_put(&w, rows[i][0], strlen(rows[i][0]));
                CHECK_ROW(!strcmp(wr_cstr(&w), rows[i][1]), rows[i][1]);
                n = decode(rows[i][1], bytes, &whole);
                CHECK_ROW(whole && n == strlen(rows[i][0]) && !memcmp(bytes, rows[i][0], n),
                          rows[i][1]);
        }
}

TEST(what_is_not_base64_is_bad)
{
        static const char *const rows[] = { "Zg=", "Zg", "Z===", "=", "Zg==Zg==", "Z g%", "Zm9vY" };

        for (size_t i = 0; i < COUNT(rows); i++) {
                uint8_t bytes[32];
                bool whole;

                (void)decode(rows[i], bytes, &whole);
                CHECK_ROW(!whole, rows[i]);
        }
}

TEST(bare_base64_is_canonical_or_refused)
{
        static const struct {
                const char *text;
                const char *bytes; /* NULL: refused */
                const char *why;
        } rows[] = {
                { "", "", "nothing" },
                { "Zg", "f", "one byte" },
                { "Zm8", "fo", "two bytes" },
                { "Zm9v", "foo", "three bytes" },
                { "Zh", NULL, "bits left over" },
                { "Zm9", NULL, "bits left over, two of them" },
                { "Z", NULL, "six bits are no byte" },
                { "Zg==", NULL, "padding" },
                { "Zm 9v", NULL, "white space" },
                { "Zm-_", NULL, "another alphabet" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].text), n = 0;
                char *text = at_page_end(rows[i].text, len);
                char again[16];
                struct wr w = wr_of(again, sizeof(again));
                bool fine = base64_decode(text, len, (uint8_t *)text, &n); /* in place */

                CHECK_ROW(fine == !!rows[i].bytes, rows[i].why);
                if (!fine || !rows[i].bytes)
                        continue;
                CHECK_ROW(n == strlen(rows[i].bytes) && !memcmp(text, rows[i].bytes, n),
                          rows[i].why);
                base64_put_bare(&w, text, n);
                CHECK_ROW(w.len == len && w.len == BASE64_LEN(n) &&
                          !memcmp(again, rows[i].text, len), rows[i].why);
        }
}

TEST(padded_base64_goes_there_and_back_for_every_length)
{
        char bytes[64], text[BASE64_PADDED(64)];
        size_t len, wrong;

        for (size_t n = 0; n <= 20; n++) {
                char *back;

                for (size_t i = 0; i < n; i++)
                        bytes[i] = (char)(i * 37 + n);
                CHECK(base64_encode(text, bytes, n) == BASE64_PADDED(n));
                back = at_page_end(text, BASE64_PADDED(n));
                CHECK(base64_decode_padded(back, BASE64_PADDED(n), back, &len, &wrong));
                CHECK(len == n && !memcmp(bytes, back, n));
        }
}

TEST(padded_base64_is_strict_and_says_where)
{
        static const struct {
                const char *text;
                size_t wrong;
        } rows[] = {
                { "A", 1 },    { "AA", 2 },       { "AAA", 3 },  { "A===", 1 },
                { "AA=A", 2 }, { "AAA=AAAA", 3 }, { "AB==", 2 }, { "AAB=", 3 },
                { "A A=", 1 }, { "AA-_", 2 },     { "====", 0 }, { "AAAA=", 4 },
        };
        char out[16];
        size_t len, wrong;

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(!base64_decode_padded(rows[i].text, strlen(rows[i].text), out, &len,
                                                &wrong) &&
                          wrong == rows[i].wrong, rows[i].text);
}

#define LONG 700 /* bytes: long enough for what takes sixteen letters at a time */

/* What the tables make of it: base64_put encodes short pieces. */
static size_t slow_encode(char *text, const char *bytes, size_t len)
{
        struct wr w = wr_of(text, BASE64_PADDED(LONG));

        base64_put(&w, bytes, len);
        return w.full ? 0 : w.len;
}

TEST(long_base64_is_what_short_pieces_make)
{
        static char bytes[LONG], slow[BASE64_PADDED(LONG)], fast[BASE64_PADDED(LONG)];

        for (size_t i = 0; i < LONG; i++)
                bytes[i] = (char)(i * i * 31 + (i >> 3) * 17);
        for (size_t n = 200; n <= LONG; n++) {
                size_t letters = BASE64_PADDED(n), len, wrong;
                char *text, *out;

                CHECK(base64_encode(fast, at_page_end(bytes + LONG - n, n), n) == letters);
                CHECK(slow_encode(slow, bytes + LONG - n, n) == letters);
                CHECK(!memcmp(fast, slow, letters));
                text = at_page_end(fast, letters);
                CHECK(base64_decode_padded(text, letters, text, &len, &wrong)); /* in place */
                CHECK(len == n && !memcmp(text, bytes + LONG - n, n));
                out = at_page_end(slow, n); /* not a byte is written behind it */
                CHECK(base64_decode_padded(fast, letters, out, &len, &wrong));
                CHECK(len == n && !memcmp(out, bytes + LONG - n, n));
                out = at_page_end(slow, n);
                CHECK(base64_decode(fast, BASE64_LEN(n), (uint8_t *)out, &len));
                CHECK(len == n && !memcmp(out, bytes + LONG - n, n));
        }
}

TEST(long_base64_refuses_each_byte_that_is_no_letter_wherever_it_stands)
{
        static char text[512], out[512];
        size_t len, wrong;

        for (unsigned c = 0; c < 256; c++)
                for (size_t at = 0; at < sizeof(text); at += at < 64 || at > 440 ? 1 : 37) {
                        struct base64 b = { 0 };
                        uint8_t three[3];
                        bool letter, fine;

                        memset(text, 'Q', sizeof(text));
                        text[at] = (char)c;
                        base64_take(&b, (char)c, three);
                        letter = !b.bad && b.count == 1;
                        fine = base64_decode_padded(text, sizeof(text), out, &len, &wrong);
                        /* The one = that may be there: three letters, the last of them Q. */
                        CHECK(fine == letter || (c == '=' && at + 1 == sizeof(text)));
                        if (!fine)
                                CHECK(wrong == at);
                }
}
