/* tests/unit/test_digits.c - what is a number, and where it ends. */
#include "base/digits.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_number_is_digits_up_to_the_maximum_and_nothing_else)
{
        static const struct {
                const char *text;
                uint64_t max;
                bool fine;
                uint64_t n;
                const char *why;
        } rows[] = {
                { "0", 0, true, 0, "nothing is smaller" },
                { "65535", 65535, true, 65535, "the maximum itself" },
                { "65536", 65535, false, 0, "one more" },
                { "007", 9, true, 7, "leading zeros" },
                { "18446744073709551615", UINT64_MAX, true, UINT64_MAX, "all 64 bits" },
                { "18446744073709551616", UINT64_MAX, false, 0, "65 bits" },
                { "9", 5, false, 0, "a digit above the maximum" },
                { "", 9, false, 0, "empty" },
                { "-1", 9, false, 0, "a sign" },
                { " 1", 9, false, 0, "a blank" },
                { "1 ", 9, false, 0, "a blank behind" },
                { "0x1", 9, false, 0, "hexadecimal" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].text);
                uint64_t n = 42;

                CHECK_ROW(digits_parse(at_page_end(rows[i].text, len + 1), rows[i].max, &n) ==
                                  rows[i].fine && n == rows[i].n, rows[i].why);
        }
}

TEST(taking_a_number_stops_behind_it_or_does_not_move)
{
        const char *text = "12:999", *at = text;
        uint64_t n;

        CHECK(digits_take(&at, 99, &n) && n == 12 && at == text + 2);
        CHECK(!digits_take(&at, 99, &n) && n == 0 && at == text + 2);
        at++;
        CHECK(!digits_take(&at, 99, &n) && n == 0 && at == text + 3);
        CHECK(digits_take(&at, 999, &n) && n == 999 && !*at);
}

TEST(hex_digits_are_those_of_both_cases)
{
        static const char digits[] = "0123456789abcdefABCDEF";

        for (int c = 0; c < 256; c++) {
                const char *at = c ? strchr(digits, c) : NULL;
                long want = !at ? -1 : at - digits > 15 ? at - digits - 6 : at - digits;

                CHECK(hex_value((char)c) == want);
        }
}
