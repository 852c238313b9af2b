/* tests/unit/test_mask.c - secrets in text are found, in every spelling, however split. */
#include "secrets/mask.h"
#include "tests/unit/unit.h"

#include <string.h>

#define LIST 512

static struct needle list[LIST];
static struct needles needles;
static uint64_t room[131072];
static struct search search;
static struct masker mask;
static char out[256 * 1024];

/* A masker for these values; they must stay. */
static void use(const char *const *values, size_t count)
{
        static char text[8192];
        uint32_t at = 0;

        needles_init(&needles, text, list, LIST);
        for (size_t i = 0; i < count; i++) {
                size_t len = strlen(values[i]);

                memcpy(text + at, values[i], len);
                needles_add(&needles, (uint16_t)i, at, (uint32_t)len);
                at += (uint32_t)len;
        }
        search_init(&search, &needles, room);
        masker_init(&mask, &search);
}

static void use_one(const char *value)
{
        use(&value, 1);
}

/* @text in pieces cut before each position of @cuts (a bit mask for the first 64 bytes). */
static const char *masked_cut(const char *text, size_t first, size_t second)
{
        size_t len = strlen(text);
        size_t n;

        masker_init(&mask, &search);
        n = masker_put(&mask, at_page_end(text, first), first, out);
        n += masker_put(&mask, text + first, second - first, out + n);
        n += masker_put(&mask, text + second, len - second, out + n);
        n += masker_end(&mask, out + n);
        out[n] = '\0';
        return out;
}

static const char *masked(const char *text)
{
        return masked_cut(text, 0, 0);
}

/* Written by Python's base64, json and urllib.parse, not by us. */
static const struct {
        const char *why, *value, *text;
} spellings[] = {
                { "token: raw",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr+t/t0ken=VAL&9?x" },
                { "token: hex",
                  "s3cr+t/t0ken=VAL&9?x",
                  "733363722b742f74306b656e3d56414c26393f78" },
                { "token: HEX",
                  "s3cr+t/t0ken=VAL&9?x",
                  "733363722B742F74306B656E3D56414C26393F78" },
                { "token: quote",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr%2Bt%2Ft0ken%3DVAL%269%3Fx" },
                { "token: quote /",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr%2Bt/t0ken%3DVAL%269%3Fx" },
                { "token: quote_plus",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr%2Bt%2Ft0ken%3DVAL%269%3Fx" },
                { "token: JSON",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr+t/t0ken=VAL&9?x" },
                { "token: JSON ascii",
                  "s3cr+t/t0ken=VAL&9?x",
                  "s3cr+t/t0ken=VAL&9?x" },
                { "token: base64 behind 0, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3g=" },
                { "token: base64url behind 0, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3g=" },
                { "token: base64 behind 0, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3h+" },
                { "token: base64url behind 0, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3h-" },
                { "token: base64 behind 0, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3h+fg==" },
                { "token: base64url behind 0, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "czNjcit0L3Qwa2VuPVZBTCY5P3h-fg==" },
                { "token: base64 behind 1, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94" },
                { "token: base64url behind 1, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94" },
                { "token: base64 behind 1, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94fg==" },
                { "token: base64url behind 1, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94fg==" },
                { "token: base64 behind 1, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94fn4=" },
                { "token: base64url behind 1, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YXMzY3IrdC90MGtlbj1WQUwmOT94fn4=" },
                { "token: base64 behind 2, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk/eA==" },
                { "token: base64url behind 2, before 0",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk_eA==" },
                { "token: base64 behind 2, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk/eH4=" },
                { "token: base64url behind 2, before 1",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk_eH4=" },
                { "token: base64 behind 2, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk/eH5+" },
                { "token: base64url behind 2, before 2",
                  "s3cr+t/t0ken=VAL&9?x",
                  "YWJzM2NyK3QvdDBrZW49VkFMJjk_eH5-" },
                { "lines: raw",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z" },
                { "lines: hex",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "6c696e65206f6e6520697320c3a90a6c696e652074776f3a203c2271223e5c20656e64097a" },
                { "lines: HEX",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "6C696E65206F6E6520697320C3A90A6C696E652074776F3A203C2271223E5C20656E64097A" },
                { "lines: quote",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line%20one%20is%20%C3%A9%0Aline%20two%3A%20%3C%22q%22%3E%5C%20end%09z" },
                { "lines: quote /",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line%20one%20is%20%C3%A9%0Aline%20two%3A%20%3C%22q%22%3E%5C%20end%09z" },
                { "lines: quote_plus",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line+one+is+%C3%A9%0Aline+two%3A+%3C%22q%22%3E%5C+end%09z" },
                { "lines: JSON",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line one is \303\251\\nline two: <\\\"q\\\">\\\\ end\\tz" },
                { "lines: JSON ascii",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "line one is \\u00e9\\nline two: <\\\"q\\\">\\\\ end\\tz" },
                { "lines: base64 behind 0, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI+XCBlbmQJeg==" },
                { "lines: base64url behind 0, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI-XCBlbmQJeg==" },
                { "lines: base64 behind 0, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI+XCBlbmQJen4=" },
                { "lines: base64url behind 0, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI-XCBlbmQJen4=" },
                { "lines: base64 behind 0, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI+XCBlbmQJen5+" },
                { "lines: base64url behind 0, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "bGluZSBvbmUgaXMgw6kKbGluZSB0d286IDwicSI-XCBlbmQJen5-" },
                { "lines: base64 behind 1, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXo=" },
                { "lines: base64url behind 1, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXo=" },
                { "lines: base64 behind 1, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXp+" },
                { "lines: base64url behind 1, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXp-" },
                { "lines: base64 behind 1, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXp+fg==" },
                { "lines: base64url behind 1, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWxpbmUgb25lIGlzIMOpCmxpbmUgdHdvOiA8InEiPlwgZW5kCXp-fg==" },
                { "lines: base64 behind 2, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6" },
                { "lines: base64url behind 2, before 0",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6" },
                { "lines: base64 behind 2, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6fg==" },
                { "lines: base64url behind 2, before 1",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6fg==" },
                { "lines: base64 behind 2, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6fn4=" },
                { "lines: base64url behind 2, before 2",
                  "line one is \303\251\012line two: <\"q\">\\ end\011z",
                  "YWJsaW5lIG9uZSBpcyDDqQpsaW5lIHR3bzogPCJxIj5cIGVuZAl6fn4=" },
};

TEST(every_spelling_is_masked)
{
        for (size_t i = 0; i < COUNT(spellings); i++) {
                const char *got, *stars;

                use_one(spellings[i].value);
                got = masked(spellings[i].text);
                stars = strstr(got, "***");
                /* Characters of base64 that neighbours decide, too, may stay. */
                CHECK_ROW(stars, spellings[i].why);
                if (strstr(spellings[i].why, "base64"))
                        CHECK_ROW(stars - got <= 3 && strlen(stars) <= 3 + 6, spellings[i].why);
                else
                        CHECK_ROW(!strcmp(got, "***"), spellings[i].why);
        }
}

TEST(a_secret_is_masked_wherever_writes_split_it)
{
        static const char text[] = "<tok3n-abcdefgh> tok3n-abcdefgX dG9rM24tYWJjZGVmZ2g= tok3n-abc";
        char whole[128];

        use_one("tok3n-abcdefgh");
        strcpy(whole, masked(text));
        CHECK(!strcmp(whole, "<***> tok3n-abcdefgX *** tok3n-abc"));
        for (size_t first = 0; first < sizeof(text); first++) {
                for (size_t second = first; second < sizeof(text); second++)
                        CHECK_ROW(!strcmp(masked_cut(text, first, second), whole), "split");
        }
}

TEST(a_secret_is_found_at_every_place_of_every_text)
{
        static const char token[] = "tok3n-abcdefghijklmnopqrstuvwx";
        size_t len = sizeof(token) - 1;

        use_one(token);
        for (size_t size = 0; size < 300; size += 7) {
                char *text = at_page_end(out, size);

                for (size_t at = 0; at + len <= size; at++) {
                        struct hit hit;

                        memset(text, 't', size);
                        memcpy(text + at, token, len);
                        CHECK(search_next(&search, text, size, 0, false, &hit) == MATCH_FULL &&
                              hit.at == at && hit.len == len);
                        CHECK(search_next(&search, text, size, at + 1, false, &hit) == MATCH_NO);
                }
        }
}

TEST(ordinary_output_is_not_held_back)
{
        use_one("tok3n-abcdefgh");
        CHECK(masker_put(&mask, "hello\n", 6, out) == 6);
        CHECK(masker_put(&mask, "tick t", 6, out) == 5); /* "t" may begin it */
        CHECK(masker_put(&mask, "ock", 3, out) == 3 + 1);
}

TEST(the_longest_wins_and_masks_side_by_side_are_one)
{
        static const char *const values[] = { "abcd1234", "abcd1234-efgh5678", "zyxw9876" };

        use(values, COUNT(values));
        CHECK(!strcmp(masked("abcd1234-efgh5678"), "***"));
        CHECK(!strcmp(masked("abcd1234-efgh567"), "***-efgh567"));
        CHECK(!strcmp(masked("abcd1234zyxw9876 zyxw9876"), "*** ***"));
}

TEST(short_and_common_values_mask_nothing)
{
        static const char *const none[] = { "", "{", "abc1234", "aaaaaaaaaaaa", "00000000",
                                            "localhost", "production", "\n\n\n\n\n\n\n\n\n\n",
                                            "abcdefg\n\n\n", "ababababab" };

        for (size_t i = 0; i < COUNT(none); i++) {
                needles_init(&needles, none[i], list, LIST);
                CHECK_ROW(!needles_add(&needles, 0, 0, (uint32_t)strlen(none[i])), none[i]);
                CHECK_ROW(needles.count == 0 || *none[i] != 'a', none[i]);
        }
        use_one("localhost");
        CHECK(!strcmp(masked("on localhost"), "on localhost"));
}

static const char pem[] =
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n"
        "AAAAC3NzaC1lZDI1NTE5AAAAIHp0aGlzIGlzIG5vdCBhIGtleSBhdCBhbGwhISEh\n"
        "c2hvcnQ0\n"
        "-----END PRIVATE KEY-----\n";

TEST(lines_of_a_value_are_masked_alone_and_pem_borders_are_not)
{
        use_one(pem);
        CHECK(!strcmp(masked(pem),
                      "-----BEGIN PRIVATE KEY-----\n***\n-----END PRIVATE KEY-----\n"));
        CHECK(!strcmp(masked("x AAAAC3NzaC1lZDI1NTE5AAAAIHp0aGlzIGlzIG5vdCBhIGtleSBhdCBhbGwh"
                             "ISEh y"),
                      "x *** y"));
        CHECK(!strcmp(masked("> c2hvcnQ0\r\n"), "> ***\r\n"));
        CHECK(!strcmp(masked("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----"));
}

TEST(wrapped_base64_and_hex_are_masked)
{
        /* base64(1) breaks its lines after 76 characters, openssl after 64, xxd -p after 60. */
        static const char *const texts[] = {
                "cXdlcnR5dWlvcC1hc2RmZ2hqa2wtenhjdmJubS0wMTIzNDU2Nzg5LXF3ZXJ0eXVpb3AtYXNkZmdo\n"
                "amtsLXp4Y3Zibm0tMDEyMzQ1Njc4OQ==",
                "cXdlcnR5dWlvcC1hc2RmZ2hqa2wtenhjdmJubS0wMTIzNDU2Nzg5LXF3ZXJ0eXVp\r\n"
                "b3AtYXNkZmdoamtsLXp4Y3Zibm0tMDEyMzQ1Njc4OQ==",
                "7177657274797569 6f702d6173646667686a6b6c2d7a786376626e6d2d30\n"
                "313233343536373839"
                "2d71776572747975696f702d6173646667686a6b6c2d7a7863\n"
                "76626e6d2d30313233343536373839",
        };

        use_one("qwertyuiop-asdfghjkl-zxcvbnm-0123456789-qwertyuiop-asdfghjkl-zxcvbnm-0123456789");
        CHECK(!strcmp(masked(texts[0]), "***"));
        CHECK(!strcmp(masked(texts[1]), "***"));
        CHECK(strstr(masked("cXdlc\nnR5dWlvcC1hc2RmZ2hqa2wtenhjdmJubS0wMTIzNDU2Nzg5LXF3ZXJ0eXVpb3A"
                            "tYXNkZmdoamtsLXp4Y3Zibm0tMDEyMzQ1Njc4OQ=="), "***"));
        CHECK(strlen(out) < 20);
        CHECK(!strcmp(masked("7177657274797569 6f"), "7177657274797569 6f"));
}

TEST(a_long_value_is_masked_in_pieces_that_make_one_mask)
{
        static char value[6001], text[9001];
        uint32_t x = 1;

        for (size_t i = 0; i < sizeof(value) - 1; i++) {
                x = x * 1103515245U + 12345;
                value[i] = (char)('!' + x / 65536 % 90);
        }
        use_one(value);
        CHECK(!strcmp(masked(value), "***"));
        for (size_t i = 0; i < needles.count; i++) {
                size_t len = needle_spell(&needles, &needles.list[i], text, sizeof(text) - 1);

                CHECK(len >= NEEDLE_MIN && len < NEEDLE_TEXT_MAX);
                text[len] = '\0';
                CHECK_ROW(!strcmp(masked(text), "***"), text);
        }
}

TEST(a_quiet_stream_shows_a_short_beginning_and_masks_the_rest)
{
        size_t n;

        use_one("tok3n-abcdefghijklmnop");
        CHECK(masker_put(&mask, "a tok3n-", 8, out) == 2);
        CHECK(masker_quiet(&mask, out) == 6 && !memcmp(out, "tok3n-", 6));
        CHECK(masker_quiet(&mask, out) == 0);
        n = masker_put(&mask, "abcdefghijklmnop b", 18, out);
        CHECK(n == 5 && !memcmp(out, "*** b", 5));
        /* 16 bytes of it are no accident. */
        CHECK(masker_put(&mask, "tok3n-abcdefghij", 16, out) == 0);
        CHECK(masker_quiet(&mask, out) == 0);
        n = masker_end(&mask, out);
        CHECK(n == 3 && !memcmp(out, "***", 3));
}

TEST(without_secrets_everything_passes)
{
        use(NULL, 0);
        CHECK(!strcmp(masked("anything"), "anything"));
        masker_wipe(&mask);
}
