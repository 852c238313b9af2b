/* tests/unit/test_name.c - equal hosts are equal bytes, and doubtful ones are refused. */
#include "netfilter/name.h"
#include "tests/unit/unit.h"

#include <string.h>

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff123"
#define L61 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff1"

TEST(a_name_has_one_normal_form)
{
        static const struct {
                const char *text, *normal;
        } rows[] = {
                { "a.org", "a.org" },
                { "A.Org", "a.org" },
                { "a.org.", "a.org" },
                { "localhost", "localhost" },
                { "_dmarc.a-b.x_y.org", "_dmarc.a-b.x_y.org" },
                { "1.2.3.4a", "1.2.3.4a" },
                { "r3---sn-4g5e.example", "r3---sn-4g5e.example" },
                { "XN--BCHER-KVA.example", "xn--bcher-kva.example" },
                { "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" },
                { "B\xc3\x9c" "CHER.example", "xn--bcher-kva.example" },
                { "m\xc3\xbcnchen.de", "xn--mnchen-3ya.de" },
                { "\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
                  "xn--r8jz45g.xn--zckzah" },
                { "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80.\xd1\x80\xd1\x84",
                  "xn--e1afmkfd.xn--p1ai" },
                { "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x9c\xd0\x95\xd0\xa0.\xd0\xa0\xd0\xa4",
                  "xn--e1afmkfd.xn--p1ai" },
                { "\xce\x94\xce\xbf\xce\xba\xce\xb9\xce\xbc\xce\xae", "xn--jxalpdlp" },
                { L63 ".org", L63 ".org" },
                { L63 "." L63 "." L63 "." L61, L63 "." L63 "." L63 "." L61 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct name n;
                size_t len = strlen(rows[i].text);

                CHECK_ROW(!name_parse(&n, at_page_end(rows[i].text, len), len), rows[i].text);
                CHECK_ROW(!strcmp(n.text, rows[i].normal), n.text);
                CHECK_ROW(n.len == strlen(n.text), rows[i].text);
        }
}

TEST(a_doubtful_name_is_refused_for_its_own_reason)
{
        static const struct {
                const char *text;
                size_t len; /* 0: strlen */
                enum name_status status;
                const char *why;
        } rows[] = {
                { "", 0, NAME_EMPTY, "nothing" },
                { ".", 0, NAME_EMPTY, "the root" },
                { "..", 0, NAME_LABEL, "two dots" },
                { "a.org..", 0, NAME_LABEL, "two final dots" },
                { ".a.org", 0, NAME_LABEL, "a dot first" },
                { "a..org", 0, NAME_LABEL, "an empty label" },
                { "-a.org", 0, NAME_LABEL, "a hyphen first" },
                { "a-.org", 0, NAME_LABEL, "a hyphen last" },
                { "evil\0.allowed.com", 17, NAME_BYTE, "A1: a NUL" },
                { "allowed.com\0", 12, NAME_BYTE, "a NUL at the end" },
                { "a b.org", 0, NAME_BYTE, "a space" },
                { " a.org", 0, NAME_BYTE, "a space first" },
                { "a.org\n", 0, NAME_BYTE, "a newline" },
                { "a.org\t", 0, NAME_BYTE, "a tab" },
                { "%65vil.com", 0, NAME_BYTE, "A8: an escape" },
                { "[a.org]", 0, NAME_BYTE, "A3: brackets" },
                { "a.org:443", 0, NAME_BYTE, "A7: a port" },
                { "host:443.allowed.com", 0, NAME_BYTE, "A7: a port inside" },
                { "allowed.com:443:22", 0, NAME_BYTE, "A7: two ports" },
                { "user@a.org", 0, NAME_BYTE, "E11: user info" },
                { "a.org/", 0, NAME_BYTE, "a path" },
                { "a.org#@b.org", 0, NAME_BYTE, "E11" },
                { "a.org\\b", 0, NAME_BYTE, "E11: a backslash" },
                { "*.a.org", 0, NAME_BYTE, "a pattern" },
                { "a.org,b.org", 0, NAME_BYTE, "a list" },
                { "a.1", 0, NAME_NUMBER, "a number last" },
                { "1.2.3.4", 0, NAME_NUMBER, "an address is not a name" },
                { "0x7f.1", 0, NAME_NUMBER, "A5" },
                { "a.0xff.", 0, NAME_NUMBER, "A5: behind the dot" },
                { "2130706433", 0, NAME_NUMBER, "A5" },
                { L63 "4.org", 0, NAME_LONG, "a label of 64" },
                { L63 "." L63 "." L63 "." L63, 0, NAME_LONG, "255 bytes" },
                { "allowed\xe3\x80\x82" "com", 0, NAME_IDNA, "A8: the ideographic dot" },
                { "allowed\xef\xbc\x8e" "com", 0, NAME_IDNA, "A8: the full-width dot" },
                { "allowed\xef\xbd\xa1" "com", 0, NAME_IDNA, "A8: the half-width dot" },
                { "\xef\xbd\x81llowed.com", 0, NAME_IDNA, "A8: a full-width letter" },
                { "stra\xc3\x9f" "e.de", 0, NAME_IDNA, "sharp s: versions disagree" },
                { "\xcf\x82.gr", 0, NAME_IDNA, "final sigma" },
                { "\xc4\xb1.tr", 0, NAME_IDNA, "dotless i" },
                { "\xc4\xb0.tr", 0, NAME_IDNA, "dotted I" },
                { "\xc5\xbf.org", 0, NAME_IDNA, "long s: maps to ASCII" },
                { "\xe2\x84\xaa.org", 0, NAME_IDNA, "the Kelvin sign: maps to ASCII" },
                { "e\xcc\x81.org", 0, NAME_IDNA, "a combining accent" },
                { "a\xe2\x80\x8d" "b.org", 0, NAME_IDNA, "a zero-width joiner" },
                { "a\xc2\xad" "b.org", 0, NAME_IDNA, "a soft hyphen" },
                { "a\xff.org", 0, NAME_IDNA, "not UTF-8" },
                { "a\xc3", 0, NAME_IDNA, "half a character" },
                { "xn--\xc3\xbc.org", 0, NAME_IDNA, "half encoded" },
                { "-\xc3\xbc.org", 0, NAME_LABEL, "a hyphen before a letter" },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = rows[i].len ? rows[i].len : strlen(rows[i].text);
                struct name n = { .len = 7 };

                CHECK_ROW(name_parse(&n, at_page_end(rows[i].text, len), len) == rows[i].status,
                          rows[i].why);
                CHECK_ROW(n.len == 7, rows[i].why);
        }
}

TEST(every_byte_outside_the_alphabet_is_refused)
{
        for (unsigned c = 0; c < 256; c++) {
                char text[] = "a?b.org";
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                bool good = letter || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                struct name n;

                text[1] = (char)c;
                CHECK(!name_parse(&n, text, 7) == good);
        }
}

TEST(a_suffix_ends_at_a_dot)
{
        static const struct {
                const char *name, *suffix;
                bool within;
        } rows[] = {
                { "allowed.com", "allowed.com", true },   { "a.allowed.com", "allowed.com", true },
                { "evilallowed.com", "allowed.com", false }, { "com", "allowed.com", false },
                { "allowed.com.evil.com", "allowed.com", false },
        };
        struct name n, s;

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK(!name_parse(&n, rows[i].name, strlen(rows[i].name)));
                CHECK(!name_parse(&s, rows[i].suffix, strlen(rows[i].suffix)));
                CHECK_ROW(name_within(&n, &s) == rows[i].within, rows[i].name);
        }
}

TEST(a_private_name_has_one_label_or_a_local_ending)
{
        static const char *const private[] = { "db", "metadata.google.internal", "a.local",
                                               "x.home.arpa", "localhost", "a.b.corp" };
        static const char *const public[] = { "a.org", "internal.example", "local.org",
                                              "xlocal.net", "a.arpa", "home.arpa.org" };
        struct name n;

        for (size_t i = 0; i < COUNT(private); i++) {
                CHECK(name_parse(&n, private[i], strlen(private[i])) == NAME_OK);
                CHECK(name_is_private(&n));
                CHECK(name_parse(&n, public[i], strlen(public[i])) == NAME_OK);
                CHECK(!name_is_private(&n));
        }
}

TEST(a_host_is_a_name_or_an_address_in_its_one_spelling)
{
        struct host h;

        CHECK(!host_parse(&h, "A.org", 5) && !h.literal && !strcmp(h.name.text, "a.org"));
        CHECK(!host_parse(&h, "1.2.3.4", 7) && h.literal && h.address.family == 4);
        CHECK(!host_parse(&h, "fe80::1", 7) && h.literal && h.address.family == 6);
        CHECK(host_parse(&h, "127.1", 5) == NAME_NUMBER);
        CHECK(host_parse(&h, "::ffff:7f00:1", 13) == NAME_NUMBER);
        CHECK(host_parse(&h, "a.org:80", 8) == NAME_NUMBER);
        CHECK(host_parse(&h, "", 0) == NAME_EMPTY);
}
