/* tests/unit/test_wr.c - a write fits, or nothing of it is there. */
#include "base/wr.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_write_that_does_not_fit_writes_nothing_for_good)
{
        char buf[4];
        struct wr w = wr_of(buf, sizeof(buf));

        wr_str(&w, "abc");
        wr_str(&w, "de");
        wr_str(&w, "f");
        CHECK(w.full && w.len == 3 && !memcmp(buf, "abc", 3));
        CHECK(!strcmp(wr_cstr(&w), "abc"));
}

TEST(text_is_quoted_for_who_reads_it)
{
        static const struct {
                const char *why, *text, *json, *plain;
        } rows[] = {
                { "nothing", "", "\"\"", "" },
                { "quotes", "\"\\", "\"\\\"\\\\\"", "\"\\" },
                { "control bytes", "\n\x1b\x7f", "\"\\n\\u001b\\u007f\"", "\\x0a\\x1b\\x7f" },
                { "UTF-8", "\xc3\xa9", "\"\xc3\xa9\"", "\xc3\xa9" },
                { "a control byte in UTF-8", "\xc2\x9b" "2J\xc2\xa0", "\"\xc2\x9b" "2J\xc2\xa0\"",
                  "\xc2\\x9b" "2J\xc2\xa0" },
                { "not UTF-8", "\xff", "\"\xef\xbf\xbd\"", "\xff" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char buf[64];
                struct wr w = wr_of(buf, sizeof(buf));

                wr_json(&w, rows[i].text, strlen(rows[i].text));
                CHECK_ROW(!strcmp(wr_cstr(&w), rows[i].json), rows[i].why);
                w = wr_of(buf, sizeof(buf));
                wr_plain(&w, rows[i].text, strlen(rows[i].text));
                CHECK_ROW(!strcmp(wr_cstr(&w), rows[i].plain), rows[i].why);
        }
}
