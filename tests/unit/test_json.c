/* tests/unit/test_json.c - RFC 8259 and nothing beside it. */
#include "base/json.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

TEST(what_is_not_json_is_refused_where_it_stops_being_json)
{
        static const struct {
                const char *why, *text;
                size_t at;
        } rows[] = {
                { "nothing", "", 0 },
                { "blanks", " \n", 2 },
                { "comma at the end", "[1,]", 3 },
                { "a key without quotes", "{a:1}", 1 },
                { "a leading zero", "01", 1 },
                { "no digit behind the point", "1.", 0 },
                { "a plus sign", "+1", 0 },
                { "a longer word", "truex", 4 },
                { "a second document", "{}{}", 2 },
                { "the wrong bracket", "[1}", 2 },
                { "a control byte", "\"a\nb\"", 2 },
                { "an unknown escape", "\"\\x\"", 1 },
                { "half a pair", "\"\\ud800\"", 1 },
                { "an overlong slash", "\"\xc0\xaf\"", 1 },
                { "a key twice, by an escape", "{\"a\":1,\"\\u0061\":2}", 7 },
                { "33 deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 32 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct json j;
                struct json_error e;
                size_t n = strlen(rows[i].text);

                CHECK_ROW(json_open(&j, at_page_end(rows[i].text, n), n, &e) == -EINVAL,
                          rows[i].why);
                CHECK_ROW(e.at == rows[i].at && e.what && !j.tokens, rows[i].why);
        }
}

TEST(strings_mean_what_their_escapes_say)
{
        static const struct {
                const char *why, *text, *means;
        } rows[] = {
                { "nothing", "\"\"", "" },
                { "each short escape", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
                { "one to three bytes", "\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac" },
                { "a surrogate pair", "\"\\ud83e\\udd80\"", "\xf0\x9f\xa6\x80" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct json j;
                struct json_error e;
                char out[64];

                CHECK_ROW(!json_open(&j, rows[i].text, strlen(rows[i].text), &e), rows[i].why);
                CHECK_ROW(json_string(&j, 0, out) == strlen(rows[i].means), rows[i].why);
                CHECK_ROW(!strcmp(out, rows[i].means), rows[i].why);
                json_close(&j);
        }
}

TEST(a_number_is_digits_and_no_string_of_them)
{
        static const struct {
                const char *text;
                bool is;
        } rows[] = {
                { "0", true },    { "4294967295", true }, { "4294967296", false },
                { "-1", false },  { "1.0", false },       { "1e2", false },
                { "\"7\"", false }, { "\"\"", false },    { "null", false },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct json j;
                struct json_error e;
                uint32_t n = 0;

                CHECK_ROW(!json_open(&j, rows[i].text, strlen(rows[i].text), &e), rows[i].text);
                CHECK_ROW(json_u32(&j, 0, UINT32_MAX, &n) == rows[i].is, rows[i].text);
                json_close(&j);
        }
}
