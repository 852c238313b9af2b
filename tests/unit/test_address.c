/* tests/unit/test_address.c - one spelling for each address, and every special range. */
#include "netfilter/address.h"
#include "tests/unit/unit.h"

#include <string.h>

static enum address_status parse(struct address *a, const char *s)
{
        return address_parse(a, at_page_end(s, strlen(s)), strlen(s));
}

TEST(an_address_is_read_in_its_one_spelling_and_written_back)
{
        static const char *const spelled[] = {
                "0.0.0.0", "1.2.3.4", "255.255.255.255", "::", "::1", "1::", "fe80::1",
                "2001:db8::1:0:0:1", "2001:db8:0:1:1:1:1:1", "1:2:3:4:5:6:7:8", "64:ff9b::102:304",
                "2001:0:0:1::1", "::102:304", "a::b:0:0:c",
        };
        char buf[ADDRESS_TEXT];
        struct address a;

        for (size_t i = 0; i < COUNT(spelled); i++) {
                struct wr w = wr_of(buf, sizeof(buf));

                CHECK_ROW(parse(&a, spelled[i]) == ADDRESS_OK, spelled[i]);
                address_put(&w, &a);
                CHECK_ROW(!strcmp(wr_cstr(&w), spelled[i]), spelled[i]);
        }
}

TEST(what_somebody_would_read_as_an_address_is_odd_and_the_rest_is_none)
{
        static const struct {
                const char *text, *why;
                enum address_status status;
        } rows[] = {
                { "127.1", "two parts", ADDRESS_ODD },
                { "2130706433", "one decimal number", ADDRESS_ODD },
                { "0x7f000001", "one hex number", ADDRESS_ODD },
                { "0X7F.1", "hex in capitals", ADDRESS_ODD },
                { "0x7f.0.0.0x", "0x alone is zero", ADDRESS_ODD },
                { "017700000001", "octal", ADDRESS_ODD },
                { "0177.0.0.01", "octal parts", ADDRESS_ODD },
                { "01.2.3.4", "a leading zero", ADDRESS_ODD },
                { "1.2.3.4.", "a final dot", ADDRESS_ODD },
                { "1.2.3.256", "too large a part", ADDRESS_ODD },
                { "1.2.3.4.5", "five parts", ADDRESS_ODD },
                { "1..2.3", "an empty part", ADDRESS_ODD },
                { "evil.example.1", "a name that ends in a number", ADDRESS_ODD },
                { "a.0xff", "a name that ends in a hex number", ADDRESS_ODD },
                { "FE80::1", "capitals", ADDRESS_ODD },
                { "fe80::1%eth0", "a zone", ADDRESS_ODD },
                { "::ffff:1.2.3.4%x.allowed.com", "a zone that looks like a name", ADDRESS_ODD },
                { "::ffff:1.2.3.4", "a mapped address", ADDRESS_ODD },
                { "::ffff:102:304", "a mapped address in hex", ADDRESS_ODD },
                { "::1.2.3.4", "a compatible address", ADDRESS_ODD },
                { "64:ff9b::1.2.3.4", "NAT64 with dots", ADDRESS_ODD },
                { "0:0:0:0:0:0:0:1", "zeros written out", ADDRESS_ODD },
                { "1:0:0:2:0:0:0:3", "the longer run of zeros is to go", ADDRESS_ODD },
                { "2001:db8::1:1:1:1:1", "one zero group is not to go", ADDRESS_ODD },
                { "01::", "a leading zero in a group", ADDRESS_ODD },
                { "12345::", "five digits", ADDRESS_ODD },
                { "1::2::3", "two gaps", ADDRESS_ODD },
                { "1:2:3:4:5:6:7:8:9", "nine groups", ADDRESS_ODD },
                { "1:2:3:4:5:6:7::8", "a gap of nothing", ADDRESS_ODD },
                { "1:2:3:4:5:6:7", "seven groups", ADDRESS_ODD },
                { ":", "a colon", ADDRESS_ODD },
                { ":::", "three colons", ADDRESS_ODD },
                { "1:", "a colon at the end", ADDRESS_ODD },
                { "host:443", "a port", ADDRESS_ODD },
                { "[::1]", "brackets", ADDRESS_ODD },
                { "", "nothing", ADDRESS_NOT },
                { "a.org", "a name", ADDRESS_NOT },
                { "1.2.3.4 ", "a space: no name either", ADDRESS_NOT },
                { "1a", "a label that begins with a digit", ADDRESS_NOT },
                { "0xfg", "not hex", ADDRESS_NOT },
                { "1.2.3.4..", "two dots: no name either", ADDRESS_NOT },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct address a = { .family = 9 };

                CHECK_ROW(parse(&a, rows[i].text) == rows[i].status, rows[i].why);
                CHECK_ROW(a.family == 9, rows[i].why);
        }
}

TEST(a_mapped_address_from_the_kernel_is_the_ipv4_one)
{
        static const uint8_t six[16] = { [10] = 0xff, 0xff, 10, 1, 2, 3 };
        static const uint8_t four[4] = { 10, 1, 2, 3 };
        struct address a = address_of_v6(six);
        struct address b = address_of_v4(four);

        CHECK(address_equal(&a, &b) && address_special(&a) == ADDRESS_PRIVATE);
}

TEST(every_special_range_is_known_at_both_ends_and_not_beyond)
{
        static const struct {
                const char *text;
                enum address_kind kind;
        } rows[] = {
                { "0.0.0.0", ADDRESS_THIS_NETWORK },
                { "0.255.255.255", ADDRESS_THIS_NETWORK },
                { "1.0.0.0", ADDRESS_PUBLIC },
                { "9.255.255.255", ADDRESS_PUBLIC },
                { "10.0.0.0", ADDRESS_PRIVATE },
                { "10.255.255.255", ADDRESS_PRIVATE },
                { "11.0.0.0", ADDRESS_PUBLIC },
                { "100.63.255.255", ADDRESS_PUBLIC },
                { "100.64.0.0", ADDRESS_SHARED },
                { "100.100.100.200", ADDRESS_METADATA },
                { "100.127.255.255", ADDRESS_SHARED },
                { "100.128.0.0", ADDRESS_PUBLIC },
                { "127.0.0.0", ADDRESS_LOOPBACK },
                { "127.255.255.255", ADDRESS_LOOPBACK },
                { "128.0.0.0", ADDRESS_PUBLIC },
                { "168.63.129.15", ADDRESS_PUBLIC },
                { "168.63.129.16", ADDRESS_METADATA },
                { "169.253.255.255", ADDRESS_PUBLIC },
                { "169.254.0.0", ADDRESS_LINK_LOCAL },
                { "169.254.169.253", ADDRESS_LINK_LOCAL },
                { "169.254.169.254", ADDRESS_METADATA },
                { "169.254.170.2", ADDRESS_METADATA },
                { "169.255.0.0", ADDRESS_PUBLIC },
                { "172.15.255.255", ADDRESS_PUBLIC },
                { "172.16.0.0", ADDRESS_PRIVATE },
                { "172.31.255.255", ADDRESS_PRIVATE },
                { "172.32.0.0", ADDRESS_PUBLIC },
                { "192.0.0.1", ADDRESS_PROTOCOL },
                { "192.0.0.192", ADDRESS_METADATA },
                { "192.0.1.0", ADDRESS_PUBLIC },
                { "192.0.2.1", ADDRESS_DOCUMENTATION },
                { "192.31.196.1", ADDRESS_PROTOCOL },
                { "192.52.193.1", ADDRESS_PROTOCOL },
                { "192.88.99.1", ADDRESS_PROTOCOL },
                { "192.167.255.255", ADDRESS_PUBLIC },
                { "192.168.255.255", ADDRESS_PRIVATE },
                { "192.175.48.1", ADDRESS_PROTOCOL },
                { "198.17.255.255", ADDRESS_PUBLIC },
                { "198.18.0.0", ADDRESS_BENCHMARK },
                { "198.19.255.255", ADDRESS_BENCHMARK },
                { "198.20.0.0", ADDRESS_PUBLIC },
                { "198.51.100.7", ADDRESS_DOCUMENTATION },
                { "203.0.113.7", ADDRESS_DOCUMENTATION },
                { "223.255.255.255", ADDRESS_PUBLIC },
                { "224.0.0.1", ADDRESS_MULTICAST },
                { "239.255.255.255", ADDRESS_MULTICAST },
                { "240.0.0.0", ADDRESS_RESERVED },
                { "255.255.255.255", ADDRESS_RESERVED },
                { "::", ADDRESS_THIS_NETWORK },
                { "::1", ADDRESS_LOOPBACK },
                { "::2", ADDRESS_TRANSLATED },
                { "::a00:1", ADDRESS_TRANSLATED },
                { "::ffff:0:a00:1", ADDRESS_RESERVED },
                { "64:ff9b::a9fe:a9fe", ADDRESS_METADATA },
                { "64:ff9b::7f00:1", ADDRESS_LOOPBACK },
                { "64:ff9b::808:808", ADDRESS_PUBLIC },
                { "64:ff9b:1::808:808", ADDRESS_TRANSLATED },
                { "64:ff9b:0:0:1::", ADDRESS_TRANSLATED },
                { "100::1", ADDRESS_RESERVED },
                { "2001::1", ADDRESS_TRANSLATED },
                { "2001:2::1", ADDRESS_BENCHMARK },
                { "2001:20::1", ADDRESS_PROTOCOL },
                { "2001:1ff:ffff::", ADDRESS_PROTOCOL },
                { "2001:200::1", ADDRESS_PUBLIC },
                { "2001:db8::1", ADDRESS_DOCUMENTATION },
                { "2001:db9::1", ADDRESS_PUBLIC },
                { "2002:a00:1::", ADDRESS_TRANSLATED },
                { "2606:4700::1111", ADDRESS_PUBLIC },
                { "2606:4700::5efe:a00:1", ADDRESS_TRANSLATED },
                { "2620:4f:8000::1", ADDRESS_PROTOCOL },
                { "3fff::1", ADDRESS_DOCUMENTATION },
                { "3fff:1000::1", ADDRESS_PUBLIC },
                { "4000::1", ADDRESS_RESERVED },
                { "5f00::1", ADDRESS_RESERVED },
                { "fc00::1", ADDRESS_PRIVATE },
                { "fd00:ec2::254", ADDRESS_METADATA },
                { "fd20:ce::254", ADDRESS_METADATA },
                { "fdff::1", ADDRESS_PRIVATE },
                { "fe80::1", ADDRESS_LINK_LOCAL },
                { "febf::1", ADDRESS_LINK_LOCAL },
                { "fec0::1", ADDRESS_PRIVATE },
                { "ff02::1", ADDRESS_MULTICAST },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct address a;

                CHECK_ROW(parse(&a, rows[i].text) == ADDRESS_OK, rows[i].text);
                CHECK_ROW(address_special(&a) == rows[i].kind, rows[i].text);
        }
}

TEST(a_hidden_ipv4_address_is_found)
{
        static const struct {
                const char *six, *four;
        } rows[] = {
                { "64:ff9b::a9fe:a9fe", "169.254.169.254" },
                { "2002:a00:1::", "10.0.0.1" },
                { "2001::f5ff:fffe", "10.0.0.1" }, /* Teredo turns the bits over */
                { "::a00:1", "10.0.0.1" },
                { "2606:4700::5efe:a00:1", "10.0.0.1" },
                { "2606:4700::200:5efe:a00:1", "10.0.0.1" },
        };
        struct address six, four, inside;

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK_ROW(!parse(&six, rows[i].six) && !parse(&four, rows[i].four), rows[i].six);
                CHECK_ROW(address_embedded(&six, &inside) && address_equal(&inside, &four),
                          rows[i].six);
        }
        CHECK(!parse(&six, "2606:4700::1") && !address_embedded(&six, &inside));
}

TEST(a_range_has_no_host_bits_and_holds_what_it_should)
{
        static const struct {
                const char *range, *address;
                bool holds, opens;
        } rows[] = {
                { "10.0.0.0/8", "10.1.2.3", true, true },
                { "10.0.0.0/8", "11.1.2.3", false, false },
                { "10.1.2.3", "10.1.2.3", true, true },
                { "10.1.2.3/32", "10.1.2.4", false, false },
                { "0.0.0.0/0", "10.1.2.3", true, false },
                { "0.0.0.0/0", "8.8.8.8", true, false },
                { "8.0.0.0/6", "10.1.2.3", true, false },
                { "172.16.0.0/13", "172.17.0.1", true, true },
                { "172.0.0.0/11", "172.17.0.1", true, false },
                { "169.254.0.0/16", "169.254.1.1", true, true },
                { "169.254.0.0/16", "169.254.169.254", true, false },
                { "169.254.169.254", "169.254.169.254", true, true },
                { "fc00::/7", "fd12::1", true, true },
                { "fc00::/7", "fd00:ec2::254", true, false },
                { "::/0", "fd12::1", true, false },
                { "::/0", "10.1.2.3", false, false },
                { "fd12:3400::/23", "fd12:3501::1", true, true },
                { "fd12:3400::/23", "fd12:3601::1", false, false },
        };
        static const char *const odd[] = { "10.0.0.1/8", "10.0.0.0/08", "10.0.0.0/33", "10.0.0.0/",
                                           "::/129",     "fd00::1/64",  "10.0.0.0/+8", "10.0/8" };
        struct cidr c;
        struct address a;

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *s = rows[i].range;

                CHECK_ROW(!cidr_parse(&c, at_page_end(s, strlen(s)), strlen(s)), s);
                CHECK_ROW(!parse(&a, rows[i].address), rows[i].address);
                CHECK_ROW(cidr_holds(&c, &a) == rows[i].holds, s);
                CHECK_ROW(!rows[i].opens || cidr_opens(&c, &a), s);
                CHECK_ROW(rows[i].opens || address_special(&a) == ADDRESS_PUBLIC ||
                                  !cidr_opens(&c, &a), s);
        }
        for (size_t i = 0; i < COUNT(odd); i++)
                CHECK_ROW(cidr_parse(&c, odd[i], strlen(odd[i])) == ADDRESS_ODD, odd[i]);
        CHECK(cidr_parse(&c, "a/8", 3) == ADDRESS_NOT);
}
