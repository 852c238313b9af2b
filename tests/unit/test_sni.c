/* tests/unit/test_sni.c - the name in a ClientHello, whole, in pieces, and in bad shape. */
#include "netfilter/sni.h"

#include "base/wr.h"
#include "tests/unit/unit.h"

#include <string.h>

/* What a hello is made of; NULL or 0 leaves a part out. */
struct parts {
        const char *name;
        const char *alpn;
        const char *extra; /* more extensions, as bytes */
        size_t extra_len;
        size_t record; /* bytes of the handshake in each record; 0: all in one */
        bool no_extensions;
};

static void put16(struct wr *w, size_t n)
{
        wr_char(w, (char)(n >> 8));
        wr_char(w, (char)n);
}

static void put_name(struct wr *w, const char *name)
{
        size_t n = strlen(name);

        put16(w, 0);
        put16(w, n + 5);
        put16(w, n + 3);
        wr_char(w, 0);
        put16(w, n);
        wr_bytes(w, name, n);
}

static void put_alpn(struct wr *w, const char *alpn)
{
        size_t n = strlen(alpn);

        put16(w, 16);
        put16(w, n + 2);
        put16(w, n);
        wr_bytes(w, alpn, n);
}

/* The records of one hello into @out; returns their length. */
static size_t hello(char out[4096], const struct parts *p)
{
        char extensions[2048];
        char body[4096];
        struct wr e = wr_of(extensions, sizeof(extensions));
        struct wr b = wr_of(body, sizeof(body));
        struct wr w = wr_of(out, 4096);
        size_t total;

        if (p->name)
                put_name(&e, p->name);
        if (p->alpn)
                put_alpn(&e, p->alpn);
        if (p->extra)
                wr_bytes(&e, p->extra, p->extra_len);
        total = 2 + 32 + 1 + 2 + 2 + 2 + (p->no_extensions ? 0 : 2 + e.len);
        wr_bytes(&b, "\1\0", 2);
        put16(&b, total);
        wr_bytes(&b, "\3\3", 2);
        for (unsigned i = 0; i < 32; i++)
                wr_char(&b, (char)i);
        wr_char(&b, 0);
        wr_bytes(&b, "\0\2\x13\1", 4);
        wr_bytes(&b, "\1\0", 2);
        if (!p->no_extensions) {
                put16(&b, e.len);
                wr_bytes(&b, extensions, e.len);
        }
        for (size_t at = 0; at < b.len;) {
                size_t n = p->record && p->record < b.len - at ? p->record : b.len - at;

                wr_bytes(&w, "\x16\3\1", 3);
                put16(&w, n);
                wr_bytes(&w, body + at, n);
                at += n;
        }
        CHECK(!e.full && !b.full && !w.full);
        return w.len;
}

static enum sni_status parse(struct sni *s, const struct parts *p)
{
        char buf[4096];
        size_t len = hello(buf, p);

        return sni_parse(s, at_page_end(buf, len), len);
}

TEST(a_hello_gives_its_name_and_protocols_however_it_is_cut_into_records)
{
        static const char versions[] = "\0\x2b\0\5\4\3\4\3\3";
        static const size_t records[] = { 0, 1, 2, 5, 39, 100 };

        for (size_t i = 0; i < COUNT(records); i++) {
                struct parts p = { "a.org", "\2h2\x8http/1.1", versions, sizeof(versions) - 1,
                                   records[i], false };
                char buf[4096];
                size_t len = hello(buf, &p);
                struct sni s;

                CHECK(sni_parse(&s, buf, len) == SNI_OK);
                CHECK(s.name_len == 5 && !strcmp(s.name, "a.org") && s.hello_len == len);
                CHECK(s.has_alpn && s.alpn_h2 && s.alpn_http11 && s.tls12 && s.tls13 && !s.ech);
                memcpy(buf + len, "more", 4);
                CHECK(sni_parse(&s, buf, len + 4) == SNI_OK && s.hello_len == len);
                for (size_t n = 0; n < len; n++)
                        CHECK(sni_parse(&s, at_page_end(buf, n), n) == SNI_MORE);
        }
}

TEST(a_hello_without_a_name_or_with_a_hidden_one_is_told_apart)
{
        struct sni s;

        CHECK(!parse(&s, &(struct parts){ .no_extensions = true }) && !s.name_len && s.tls12);
        CHECK(!s.has_alpn && !s.tls13);
        CHECK(!parse(&s, &(struct parts){ .alpn = "\2h2" }) && !s.name_len && !s.alpn_http11);
        CHECK(!parse(&s, &(struct parts){ .name = "o.org", .extra = "\xfe\x0d\0\1x",
                                          .extra_len = 5 }) && s.ech && s.name_len == 5);
        CHECK(!parse(&s, &(struct parts){ .name = "o.org", .extra = "\xff\xce\0\0",
                                          .extra_len = 4 }) && s.ech);
        CHECK(!parse(&s, &(struct parts){ .alpn = "\x9http/1.1x" }) && !s.alpn_http11);
        CHECK(!parse(&s, &(struct parts){ .extra = "\0\x2b\0\3\2\3\4", .extra_len = 7 }) &&
              s.tls13 && !s.tls12);
}

TEST(a_hello_that_can_be_read_in_two_ways_is_malformed)
{
        static const struct {
                const char *why, *extra;
                size_t len;
                const char *name;
        } rows[] = {
                { "two server_name extensions", "\0\0\0\x6\0\4\0\0\1b", 10, "a.org" },
                { "two names in one", "\0\0\0\xa\0\x8\0\0\1a\0\0\1b", 14, NULL },
                { "another type of name", "\0\0\0\x6\0\4\1\0\1a", 10, NULL },
                { "an empty name", "\0\0\0\5\0\3\0\0\0", 9, NULL },
                { "an empty server_name", "\0\0\0\0", 4, NULL },
                { "a list shorter than its extension", "\0\0\0\x7\0\4\0\0\1ax", 11, NULL },
                { "a list longer than its extension", "\0\0\0\6\0\5\0\0\1a", 10, NULL },
                { "a name longer than its list", "\0\0\0\6\0\4\0\0\2a", 10, NULL },
                { "two ALPN extensions", "\0\x10\0\5\0\3\2h2\0\x10\0\5\0\3\2h2", 18, NULL },
                { "an empty protocol", "\0\x10\0\3\0\1\0", 7, NULL },
                { "a protocol longer than its list", "\0\x10\0\5\0\3\3h2", 9, NULL },
                { "an odd list of versions", "\0\x2b\0\4\3\3\4\3", 8, NULL },
                { "two lists of versions", "\0\x2b\0\3\2\3\4\0\x2b\0\3\2\3\4", 14, NULL },
                { "an extension longer than the rest", "\0\x17\0\1", 4, NULL },
                { "half an extension", "\0", 1, NULL },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct parts p = { .name = rows[i].name, .extra = rows[i].extra,
                                   .extra_len = rows[i].len };
                struct sni s = { .name_len = 77 };

                CHECK_ROW(parse(&s, &p) == SNI_MALFORMED, rows[i].why);
                CHECK_ROW(s.name_len == 77, rows[i].why);
        }
}

TEST(what_is_not_tls_is_known_by_its_first_bytes)
{
        static const char *const others[] = { "GET / HTTP/1.1\r\n", "SSH-2.0-x", "\x80\x2e\1\3\1",
                                              "\x16\2\0", "\x17\3\3", "\x15\3\1" };
        struct sni s;

        for (size_t i = 0; i < COUNT(others); i++) {
                size_t n = strlen(others[i]);

                CHECK_ROW(sni_parse(&s, at_page_end(others[i], n), n) == SNI_NOT_TLS, others[i]);
        }
        CHECK(sni_parse(&s, "\x16", 1) == SNI_MORE && sni_parse(&s, "", 0) == SNI_MORE);
}

TEST(a_broken_frame_is_malformed)
{
        static const struct {
                const char *why;
                size_t at;
                char byte;
        } rows[] = {
                { "a record without bytes", 4, 0 },   { "a record over 16 KiB", 3, 0x41 },
                { "another message", 5, 2 },          { "a hello over 16 KiB", 6, 1 },
                { "a hello of almost 64 KiB", 7, 0x7f }, { "version 2", 9, 2 },
                { "a session id of 33", 43, 33 },     { "no cipher suites", 45, 0 },
                { "half a cipher suite", 45, 3 },     { "no compression method", 48, 0 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char buf[4096];
                size_t len = hello(buf, &(struct parts){ .name = "a.org" });
                struct sni s;

                buf[rows[i].at] = rows[i].byte;
                CHECK_ROW(sni_parse(&s, at_page_end(buf, len), len) == SNI_MALFORMED, rows[i].why);
        }
}

TEST(a_hello_that_never_ends_is_malformed_at_the_limit)
{
        static char buf[SNI_HELLO_MAX + 8];
        struct wr w = wr_of(buf, sizeof(buf));
        struct sni s;

        wr_bytes(&w, "\x16\3\1\x40\0\1\0\x3f\xfc\3\3", 11);
        w.len = sizeof(buf);
        CHECK(sni_parse(&s, buf, 11) == SNI_MORE);
        buf[43] = 0; /* no session id; then suites that fill the rest */
        buf[44] = 0x3f;
        buf[45] = (char)0xd0;
        buf[46 + 0x3fd0] = 1; /* a compression method would follow, over the limit */
        CHECK(sni_parse(&s, buf, 16000) == SNI_MORE);
        CHECK(sni_parse(&s, buf, sizeof(buf)) == SNI_MALFORMED);
}

TEST(a_message_behind_the_hello_in_its_record_is_malformed)
{
        char buf[4096];
        size_t len = hello(buf, &(struct parts){ .name = "a.org" });
        struct sni s;

        buf[4]++;
        buf[len] = 1;
        CHECK(sni_parse(&s, buf, len + 1) == SNI_MALFORMED);
}
