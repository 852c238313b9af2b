/* tests/unit/test_der.c - DER's lengths, integers and times are the shortest ones. */
#include "netfilter/der.h"
#include "tests/unit/unit.h"

#include <string.h>

static bool is(const struct der *w, const char *bytes, size_t len)
{
        return !w->full && w->len == len && !memcmp(w->buf, bytes, len);
}

TEST(a_length_takes_as_many_bytes_as_it_needs)
{
        static const struct {
                size_t len, head;
                const char *bytes;
        } rows[] = {
                { 0, 2, "\x04\x00" },
                { 127, 2, "\x04\x7f" },
                { 128, 3, "\x04\x81\x80" },
                { 255, 3, "\x04\x81\xff" },
                { 256, 4, "\x04\x82\x01\x00" },
                { 1000, 4, "\x04\x82\x03\xe8" },
        };
        static uint8_t buf[1100], content[1000];

        memset(content, 'x', sizeof(content));
        for (size_t i = 0; i < COUNT(rows); i++) {
                struct der w = der_of(buf, sizeof(buf));

                der_value(&w, DER_OCTETS, content, rows[i].len);
                CHECK(w.len == rows[i].head + rows[i].len);
                CHECK(!memcmp(buf, rows[i].bytes, rows[i].head));
                CHECK(!memcmp(buf + rows[i].head, content, rows[i].len));
        }
}

TEST(an_integer_is_positive_and_short)
{
        static const struct {
                const char *from;
                size_t len;
                const char *to;
                size_t to_len;
        } rows[] = {
                { "\x00\x00\x05", 3, "\x02\x01\x05", 3 },
                { "\x80", 1, "\x02\x02\x00\x80", 4 },
                { "\x00\x7f\xff", 3, "\x02\x02\x7f\xff", 4 },
                { "\x00", 1, "\x02\x01\x00", 3 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                uint8_t buf[16];
                struct der w = der_of(buf, sizeof(buf));

                der_integer(&w, (const uint8_t *)rows[i].from, rows[i].len);
                CHECK(is(&w, rows[i].to, rows[i].to_len));
        }
}

TEST(a_time_has_two_digits_of_year_until_2049)
{
        static const struct {
                uint64_t at;
                const char *text;
        } rows[] = {
                { 0, "\x17\x0d" "700101000000Z" },
                { 951782400, "\x17\x0d" "000229000000Z" },
                { 1709164800, "\x17\x0d" "240229000000Z" },
                { 1795273445, "\x17\x0d" "261121150405Z" },
                { 2524607999, "\x17\x0d" "491231235959Z" },
                { 2524608000, "\x18\x0f" "20500101000000Z" },
                { 4107542400, "\x18\x0f" "21000301000000Z" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                uint8_t buf[32];
                struct der w = der_of(buf, sizeof(buf));

                der_time(&w, rows[i].at);
                CHECK_ROW(is(&w, rows[i].text, strlen(rows[i].text)), rows[i].text + 2);
        }
}

TEST(what_does_not_fit_is_full_for_good)
{
        static const uint8_t content[128];
        uint8_t buf[130];
        struct der w = der_of(buf, sizeof(buf));
        size_t outer = der_open(&w, DER_SEQUENCE);

        der_bytes(&w, content, sizeof(content));
        CHECK(!w.full);
        der_close(&w, outer); /* its length needs one byte more than there is */
        CHECK(w.full);
        der_value(&w, DER_OID, "x", 1);
        CHECK(w.full && w.len == 130);
}
