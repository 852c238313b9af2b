/* tests/unit/test_dns.c - queries read, answers written, replies doubted. */
#include "netfilter/dns.h"
#include "tests/unit/unit.h"

#include <string.h>

/* The bytes of a literal, without its last NUL. */
#define B(s) s, sizeof(s) - 1

static const char full[] = "\x12\x34\1\0\0\1\0\0\0\0\0\1" /* RD, one question, one extra */
                           "\3WwW\1a\3org\0\0\1\0\1"      /* A IN */
                           "\0\0\x29\x10\0\0\0\0\0\0\0";  /* OPT, 4096 */

TEST(a_query_gives_its_name_and_type)
{
        struct dns_query q;

        CHECK(dns_parse_query(&q, at_page_end(B(full)), sizeof(full) - 1) == DNS_OK);
        CHECK(q.id == 0x1234 && q.type == DNS_TYPE_A && q.class == 1 && q.recursion);
        CHECK(q.edns && q.udp_size == 4096 && !strcmp(q.name.text, "www.a.org"));
        CHECK(q.question_len == 11 && !memcmp(q.question, "\3WwW\1a\3org", 11));
}

TEST(every_prefix_of_a_query_is_short_or_malformed)
{
        struct dns_query q;

        for (size_t n = 0; n < sizeof(full) - 1; n++)
                CHECK(dns_parse_query(&q, at_page_end(full, n), n) ==
                      (n < 12 ? DNS_SHORT : DNS_MALFORMED));
}

TEST(a_hostile_query_is_refused)
{
        static const struct {
                const char *why, *packet;
                size_t len;
                enum dns_status status;
        } rows[] = {
#define HEAD "\0\1\1\0\0\1\0\0\0\0\0\0"
                { "a response", B("\0\1\x81\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"), DNS_DROP },
                { "a response that is short of its question", B("\0\1\x80\0\0\1\0\0\0\0\0\0"),
                  DNS_DROP },
                { "an update", B("\0\1\x28\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1"), DNS_OPCODE },
                { "no question", B("\0\1\1\0\0\0\0\0\0\0\0\0"), DNS_MALFORMED },
                { "two questions", B("\0\1\1\0\0\2\0\0\0\0\0\0\1a\0\0\1\0\1\1b\0\0\1\0\1"),
                  DNS_MALFORMED },
                { "an answer", B("\0\1\1\0\0\1\0\1\0\0\0\0\1a\0\0\1\0\1"), DNS_MALFORMED },
                { "a pointer", B(HEAD "\xc0\x0c\0\1\0\1"), DNS_MALFORMED },
                { "a pointer behind a label", B(HEAD "\1a\xc0\x0c\0\1\0\1"), DNS_MALFORMED },
                { "another kind of label", B(HEAD "\x41" "a\0\0\1\0\1"), DNS_MALFORMED },
                { "bytes behind the end", B(HEAD "\1a\0\0\1\0\1x"), DNS_MALFORMED },
                { "the root", B(HEAD "\0\0\1\0\1"), DNS_NAME },
                { "A1: a NUL", B(HEAD "\xe" "evil\0.allowed1\0\0\1\0\1"), DNS_NAME },
                { "a NUL in a label", B(HEAD "\2a\0\3org\0\0\1\0\1"), DNS_NAME },
                { "a dot in a label", B(HEAD "\5a.org\0\0\1\0\1"), DNS_NAME },
                { "a space", B(HEAD "\3a b\3org\0\0\1\0\1"), DNS_NAME },
                { "bytes over 0x7f", B(HEAD "\2\xc3\xbc\3org\0\0\1\0\1"), DNS_NAME },
                { "a number last", B(HEAD "\1a\1" "1\0\0\1\0\1"), DNS_NAME },
                { "two OPT", B("\0\1\1\0\0\1\0\0\0\0\0\2\1a\0\0\1\0\1"
                               "\0\0\x29\2\0\0\0\0\0\0\0\0\0\x29\2\0\0\0\0\0\0\0"), DNS_MALFORMED },
                { "an OPT with a name", B("\0\1\1\0\0\1\0\0\0\0\0\1\1a\0\0\1\0\1"
                                          "\1a\0\0\x29\2\0\0\0\0\0\0\0"), DNS_MALFORMED },
                { "three extras", B("\0\1\1\0\0\1\0\0\0\0\0\3\1a\0\0\1\0\1"), DNS_MALFORMED },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct dns_query q;

                CHECK_ROW(dns_parse_query(&q, at_page_end(rows[i].packet, rows[i].len),
                                          rows[i].len) == rows[i].status, rows[i].why);
        }
}

TEST(a_name_of_more_than_255_bytes_is_malformed)
{
        char packet[512] = HEAD;
        size_t at = 12;
        struct dns_query q;

        for (unsigned i = 0; i < 4; i++) {
                packet[at++] = 63;
                memset(packet + at, 'a', 63);
                at += 63;
        }
        memcpy(packet + at, "\0\0\1\0\1", 5);
        CHECK(dns_parse_query(&q, packet, at + 5) == DNS_MALFORMED);
        packet[12 + 192] = 61; /* 255 in all */
        memcpy(packet + 12 + 192 + 62, "\0\0\1\0\1", 5);
        CHECK(dns_parse_query(&q, packet, 12 + 192 + 62 + 5) == DNS_OK && q.name.len == 253);
}

static struct dns_query asked(const char *packet, size_t len)
{
        struct dns_query q;

        CHECK(dns_parse_query(&q, packet, len) == DNS_OK);
        return q;
}

static bool wrote(struct wr *w, const char *want, size_t len)
{
        return !w->full && w->len == len && !memcmp(w->buf, want, len);
}

TEST(an_answer_echoes_the_question_byte_by_byte)
{
        char buf[DNS_MESSAGE];
        struct dns_query q = asked(B(full));
        struct wr w = wr_of(buf, sizeof(buf));

        dns_put_a(&w, &q, (const uint8_t[]){ 198, 18, 0, 1 }, 60);
        CHECK(wrote(&w, B("\x12\x34\x81\x80\0\1\0\1\0\0\0\1\3WwW\1a\3org\0\0\1\0\1"
                          "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\0\1"
                          "\0\0\x29\4\xd0\0\0\0\0\0\0")));
        w = wr_of(buf, sizeof(buf));
        q.edns = false;
        dns_put_empty(&w, &q, DNS_NXDOMAIN);
        CHECK(wrote(&w, B("\x12\x34\x81\x83\0\1\0\0\0\0\0\0\3WwW\1a\3org\0\0\1\0\1")));
        CHECK(dns_parse_query(&q, B("\0\7\x29\0\0\1\0\0\0\0\0\0")) == DNS_OPCODE);
        w = wr_of(buf, sizeof(buf));
        dns_put_empty(&w, &q, DNS_NOTIMP);
        CHECK(wrote(&w, B("\0\7\x81\x84\0\0\0\0\0\0\0\0")));
        w = wr_of(buf, 20);
        dns_put_empty(&w, &q, DNS_NOTIMP);
        CHECK(!w.full);
        q = asked(B(full));
        w = wr_of(buf, 20);
        dns_put_empty(&w, &q, DNS_NOERROR);
        CHECK(w.full);
}

TEST(a_ptr_question_is_about_an_address)
{
        static const struct {
                const char *name, *address; /* NULL: none */
        } rows[] = {
                { "1.0.18.198.in-addr.arpa", "198.18.0.1" },
                { "255.2.3.4.in-addr.arpa", "4.3.2.255" },
                { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa",
                  "fe80::1" },
                { "0.18.198.in-addr.arpa", NULL },
                { "x.1.0.18.198.in-addr.arpa", NULL },
                { "01.0.18.198.in-addr.arpa", NULL },
                { "256.0.18.198.in-addr.arpa", NULL },
                { "in-addr.arpa", NULL },
                { "1.0.18.198.in-addr.arpa.evil.org", NULL },
                { "g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa",
                  NULL },
                { "0.ip6.arpa", NULL },
        };
        char buf[DNS_MESSAGE];
        struct wr w = wr_of(buf, sizeof(buf));
        struct dns_query q = { .type = DNS_TYPE_PTR, .class = 1 };
        struct name n;
        struct address a, want;

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *t = rows[i].address;

                CHECK(!name_parse(&q.name, rows[i].name, strlen(rows[i].name)));
                CHECK_ROW(dns_ptr_address(&q, &a) == !!t, rows[i].name);
                CHECK_ROW(!t || (!address_parse(&want, t, strlen(t)) && address_equal(&a, &want)),
                          rows[i].name);
        }
        q = asked(B("\0\1\1\0\0\1\0\0\0\0\0\0\1" "1\1" "0\2" "18\3" "198\7in-addr"
                    "\4arpa\0\0\x0c\0\1"));
        CHECK(dns_ptr_address(&q, &a));
        CHECK(!name_parse(&n, "a.org", 5));
        dns_put_ptr(&w, &q, &n, 5);
        CHECK(w.len > 17 && !memcmp(w.buf + w.len - 17,
                                    "\0\x0c\0\1\0\0\0\5\0\7\1a\3org", 17));
}

/* --- the stub ---------------------------------------------------------------------- */

static size_t query_for(char query[512], const char *name, uint16_t type)
{
        struct wr w = wr_of(query, 512);
        struct name n;

        CHECK(!name_parse(&n, name, strlen(name)));
        dns_put_query(&w, 0x4142, &n, type, NULL);
        CHECK(!w.full);
        return w.len;
}

TEST(a_query_of_ours_is_read_as_what_was_asked)
{
        static const uint8_t bits[32] = { 0x15 };
        char buf[512];
        struct wr w = wr_of(buf, sizeof(buf));
        struct dns_query q;
        struct name n;

        CHECK(!name_parse(&n, "abc.org", 7));
        dns_put_query(&w, 0x4142, &n, DNS_TYPE_AAAA, bits);
        q = asked(buf, w.len);
        CHECK(q.id == 0x4142 && q.type == DNS_TYPE_AAAA && q.recursion && q.edns);
        CHECK(name_equal(&q.name, &n) && !memcmp(q.question, "\3AbC\3Org", 9));
}

#define ASKED "\x41\x42\x81\x80\0\1\0" /* then the number of answers and four zeros */
#define QUESTION "\0\0\0\0\1w\1a\3org\0\0\1\0\1"
#define A_RECORD(owner, last) owner "\0\1\0\1\0\0\0\x3c\0\4\x5d\xb8\xd8" last
#define CNAME(owner, len, target) owner "\0\5\0\1\0\0\0\x1e\0" len target

TEST(a_reply_is_only_believed_when_it_answers_the_question)
{
        static const struct {
                const char *why, *packet;
                size_t len;
                enum dns_reply_status status;
                size_t count;
                enum dns_rcode rcode;
        } rows[] = {
                { "one address", B(ASKED "\1" QUESTION A_RECORD("\xc0\x0c", "\x22")),
                  DNS_REPLY_OK, 1, DNS_NOERROR },
                { "two addresses", B(ASKED "\2" QUESTION A_RECORD("\xc0\x0c", "\x22")
                                     A_RECORD("\1W\1A\3ORG\0", "\x23")), DNS_REPLY_OK, 2, 0 },
                { "an alias and its address",
                  B(ASKED "\2" QUESTION CNAME("\xc0\x0c", "\4", "\1b\xc0\x0e")
                    A_RECORD("\xc0\x25", "\x22")), DNS_REPLY_OK, 1, 0 },
                { "the other way round",
                  B(ASKED "\2" QUESTION A_RECORD("\1b\1a\3org\0", "\x22")
                    CNAME("\xc0\x0c", "\4", "\1b\xc0\x0e")), DNS_REPLY_OK, 1, 0 },
                { "an address of somebody else", B(ASKED "\1" QUESTION
                                                   A_RECORD("\1x\3org\0", "\x22")),
                  DNS_REPLY_OK, 0, 0 },
                { "no such name", B("\x41\x42\x81\x83\0\1\0\0" QUESTION), DNS_REPLY_OK, 0,
                  DNS_NXDOMAIN },
                { "a record of another class", B(ASKED "\1" QUESTION
                                                 "\xc0\x0c\0\1\0\3\0\0\0\x3c\0\4\1\2\3\4"),
                  DNS_REPLY_OK, 0, 0 },
                { "another id", B("\x41\x43\x81\x80\0\1\0\0" QUESTION), DNS_REPLY_OTHER, 0, 0 },
                { "a query", B("\x41\x42\1\0\0\1\0\0" QUESTION), DNS_REPLY_OTHER, 0, 0 },
                { "another name", B(ASKED "\0\0\0\0\0\1x\1a\3org\0\0\1\0\1"), DNS_REPLY_OTHER, 0,
                  0 },
                { "another case", B(ASKED "\0\0\0\0\0\1W\1a\3org\0\0\1\0\1"), DNS_REPLY_OTHER, 0,
                  0 },
                { "another type", B(ASKED "\0\0\0\0\0\1w\1a\3org\0\0\x1c\0\1"), DNS_REPLY_OTHER, 0,
                  0 },
                { "no question", B("\x41\x42\x81\x82\0\0\0\0\0\0\0\0"), DNS_REPLY_OTHER, 0, 0 },
                { "truncated", B("\x41\x42\x83\x80\0\1\0\0" QUESTION), DNS_REPLY_TRUNCATED, 0, 0 },
                { "an address of three bytes", B(ASKED "\1" QUESTION
                                                 "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\3\1\2\3"),
                  DNS_REPLY_BAD, 0, 0 },
                { "an answer that is not there", B(ASKED "\1" QUESTION), DNS_REPLY_BAD, 0, 0 },
                { "a pointer to itself", B(ASKED "\1" QUESTION A_RECORD("\xc0\x19", "\1")),
                  DNS_REPLY_BAD, 0, 0 },
                { "a pointer into the header", B(ASKED "\1" QUESTION A_RECORD("\xc0\x02", "\1")),
                  DNS_REPLY_BAD, 0, 0 },
                { "a pointer forward", B(ASKED "\1" QUESTION A_RECORD("\xc0\x40", "\1")),
                  DNS_REPLY_BAD, 0, 0 },
                { "an alias of itself", B(ASKED "\1" QUESTION CNAME("\xc0\x0c", "\2", "\xc0\x0c")),
                  DNS_REPLY_BAD, 0, 0 },
                { "an alias with more behind it",
                  B(ASKED "\1" QUESTION CNAME("\xc0\x0c", "\4", "\1b\0x")), DNS_REPLY_BAD, 0, 0 },
        };
        char query[512];
        size_t query_len = query_for(query, "w.a.org", DNS_TYPE_A);

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct dns_reply r = { .count = 99 };
                const void *packet = at_page_end(rows[i].packet, rows[i].len);
                enum dns_reply_status s =
                        dns_parse_reply(&r, query, query_len, packet, rows[i].len);

                CHECK_ROW(s == rows[i].status, rows[i].why);
                CHECK_ROW(s || (r.count == rows[i].count && r.rcode == rows[i].rcode), rows[i].why);
                CHECK_ROW(!s || r.count == 99, rows[i].why);
                for (size_t n = 0; !s && rows[i].count && n < rows[i].len; n++)
                        CHECK(dns_parse_reply(&r, query, query_len, rows[i].packet, n));
        }
}

TEST(a_reply_gives_its_addresses_up_to_a_bound_and_the_smallest_ttl)
{
        char query[512];
        char packet[1024];
        size_t query_len = query_for(query, "w.a.org", DNS_TYPE_AAAA);
        struct wr w = wr_of(packet, sizeof(packet));
        struct dns_reply r;

        wr_bytes(&w, B("\x41\x42\x81\x80\0\1\0\x0c\0\0\0\0\1w\1a\3org\0\0\x1c\0\1"));
        for (unsigned i = 0; i < 12; i++) {
                wr_bytes(&w, B("\xc0\x0c\0\x1c\0\1\0\0\0"));
                wr_char(&w, (char)(60 - i));
                wr_bytes(&w, B("\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0"));
                wr_char(&w, (char)i);
        }
        CHECK(!dns_parse_reply(&r, query, query_len, packet, w.len));
        CHECK(r.count == DNS_REPLY_ADDRESSES && r.ttl_s == 49);
        CHECK(r.addresses[0].family == 4 && address_special(&r.addresses[0]) == ADDRESS_PRIVATE);
}
