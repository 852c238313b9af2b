/* tests/unit/test_utf8.c - the table of RFC 3629, at its ends. */
#include "base/utf8.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_character_has_its_length_and_nothing_else_has_one)
{
        static const struct {
                const char *why, *bytes;
                size_t len;
        } rows[] = {
                { "ASCII", "a", 1 },
                { "first of two bytes", "\xc2\x80", 2 },
                { "last of three", "\xef\xbf\xbf", 3 },
                { "last of all", "\xf4\x8f\xbf\xbf", 4 },
                { "overlong two", "\xc1\xbf", 0 },
                { "overlong three", "\xe0\x9f\xbf", 0 },
                { "overlong four", "\xf0\x8f\xbf\xbf", 0 },
                { "a surrogate", "\xed\xa0\x80", 0 },
                { "above the last", "\xf4\x90\x80\x80", 0 },
                { "a continuation alone", "\x80", 0 },
                { "cut", "\xe2\x82", 0 },
                { "no continuation", "\xe2\x82\x41", 0 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].bytes);

                CHECK_ROW(utf8_len(at_page_end(rows[i].bytes, n), n) == rows[i].len, rows[i].why);
        }
        CHECK(utf8_prefix("ab\xff", 3) == 2 && utf8_prefix("", 0) == 0);
}
