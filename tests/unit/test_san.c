/* tests/unit/test_san.c - addresses in certificates, whole, cut off and made up. */
#include "base/san.h"
#include "netfilter/ca.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1795273445

static const uint8_t address[] = { 10, 1, 2, 3 };

TEST(a_leaf_names_its_address_and_no_other)
{
        static const uint8_t other[] = { 10, 1, 2, 4 };
        static uint8_t leaf[CA_CERTIFICATE];
        static struct tls_random rng;
        static struct ca ca;
        size_t len;

        if (tls_random_open(&rng) || !ca_open(&ca, &rng, NOW))
                abort();
        len = ca_leaf(&ca, "10.1.2.3", NOW, leaf);
        CHECK(san_has_address(at_page_end(leaf, len), len, address, sizeof(address)));
        CHECK(!san_has_address(leaf, len, other, sizeof(other)));
        CHECK(!san_has_address(leaf, len, address, 3));
        for (size_t n = 0; n < len; n++)
                CHECK(!san_has_address(at_page_end(leaf, n), n, address, sizeof(address)));
        len = ca_leaf(&ca, "a.example", NOW, leaf);
        CHECK(!san_has_address(leaf, len, address, sizeof(address)));
}

/* 30 30 a3 30 30: certificate, tbs, extensions, their list, the first of them. */
TEST(an_address_counts_in_an_alt_name_alone)
{
        static const struct {
                const char *bytes, *why;
                bool has;
        } rows[] = {
                { "\x30\x17\x30\x15\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x11"
                  "\x04\x08\x30\x06\x87\x04\x0a\x01\x02\x03", "as it should be", true },
                { "\x30\x17\x30\x15\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x12"
                  "\x04\x08\x30\x06\x87\x04\x0a\x01\x02\x03", "the issuer's names", false },
                { "\x30\x17\x30\x15\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x11"
                  "\x04\x08\x30\x06\x82\x04\x0a\x01\x02\x03", "a DNS name of these bytes", false },
                { "\x30\x17\x30\x15\xa1\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x11"
                  "\x04\x08\x30\x06\x87\x04\x0a\x01\x02\x03", "not in the extensions", false },
                { "\x30\x17\x30\x15\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x11"
                  "\x04\x08\x30\x06\x87\x05\x0a\x01\x02\x03", "one byte longer than it is", false },
                { "\x30\x80\x30\x15\xa3\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x11"
                  "\x04\x08\x30\x06\x87\x04\x0a\x01\x02\x03", "a length that BER has", false },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK(san_has_address(at_page_end(rows[i].bytes, 25), 25, address,
                                      sizeof(address)) == rows[i].has);
}
