/* tests/unit/test_trust.c - bundles, subject hashes and Java stores, by known examples. */
#include "init/trust.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

/* O=airlock, CN=airlock task CA 12ab; `openssl x509 -hash` says cd6d0d20. */
static const char pem[] =
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBuDCCAV2gAwIBAgIUH7cZkpPcvfqxWI3dJuiMSwpmy0QwCgYIKoZIzj0EAwIw\n"
        "MTEQMA4GA1UECgwHYWlybG9jazEdMBsGA1UEAwwUYWlybG9jayB0YXNrIENBIDEy\n"
        "YWIwHhcNMjYxMTIxMTYzNzU5WhcNMjYxMTIzMTYzNzU5WjAxMRAwDgYDVQQKDAdh\n"
        "aXJsb2NrMR0wGwYDVQQDDBRhaXJsb2NrIHRhc2sgQ0EgMTJhYjBZMBMGByqGSM49\n"
        "AgEGCCqGSM49AwEHA0IABL2xmU2S/p++dHtLDyD0CeCy39fuwh8B+h7/Oo5LLEzc\n"
        "DGdIhWQxDoSTPDcnoHe9UZFtNf2VbAnLm3amtFshjuijUzBRMB0GA1UdDgQWBBTk\n"
        "KEq0B8rcWXnZk0Gv8lBLHD4yPDAfBgNVHSMEGDAWgBTkKEq0B8rcWXnZk0Gv8lBL\n"
        "HD4yPDAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCIfn5n96j8\n"
        "HkxTORANvXsRFNKvEdkw+7TYW4gFWO1tUwIhAPze0ngEHT32+668Z3wWF0+KQv+O\n"
        "9p1DzQ9RcJvllnuO\n"
        "-----END CERTIFICATE-----\n";

TEST(the_hash_is_openssls)
{
        static uint8_t der[TRUST_CERTIFICATE];
        size_t len = trust_der(pem, sizeof(pem) - 1, der);
        uint32_t hash = 0;

        CHECK(len > 300);
        CHECK(trust_subject_hash(der, len, &hash) && hash == 0xcd6d0d20);
        for (size_t n = 0; n < 200; n++)
                CHECK(!trust_subject_hash(at_page_end(der, n), n, &hash));
}

TEST(an_authority_of_an_earlier_task_makes_room_for_ours)
{
        char once[2048], twice[2048];
        struct wr w = wr_of(once, sizeof(once)), again = wr_of(twice, sizeof(twice));

        trust_put_bundle(&w, "# the image's\nA\n", 16, pem, sizeof(pem) - 1);
        CHECK(!w.full && !strncmp(once, "# the image's\nA\n# airlock", 25));
        trust_put_bundle(&again, once, w.len, pem, sizeof(pem) - 1);
        CHECK(w.len == again.len && !memcmp(once, twice, w.len));
        /* … also when it was cut off in the middle */
        again = wr_of(twice, sizeof(twice));
        trust_put_bundle(&again, once, w.len - 100, pem, sizeof(pem) - 1);
        CHECK(w.len == again.len && !memcmp(once, twice, w.len));
}

TEST(what_stands_behind_ours_stays)
{
        char text[4096], out[4096];
        struct wr w = wr_of(text, sizeof(text)), o = wr_of(out, sizeof(out));

        trust_put_bundle(&w, "", 0, pem, sizeof(pem) - 1);
        wr_str(&w, "B\n");
        trust_put_bundle(&o, text, w.len, pem, sizeof(pem) - 1);
        CHECK(o.len == w.len && !strncmp(out, "B\n# airlock", 11));
}

TEST(a_java_store_counts_its_certificates)
{
        static char two[2 * sizeof(pem)], out[8192];
        struct wr t = wr_of(two, sizeof(two)), w = wr_of(out, sizeof(out));

        wr_str(&t, pem);
        wr_str(&t, pem);
        trust_put_jks(&w, two, t.len);
        CHECK(!w.full && !memcmp(out, "\xfe\xed\xfe\xed\0\0\0\2\0\0\0\2\0\0\0\2\0\x0b"
                                      "authority-0", 29));
        w = wr_of(out, 100);
        trust_put_jks(&w, two, t.len);
        CHECK(w.full);
}
