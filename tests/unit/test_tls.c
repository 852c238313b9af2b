/*
 * tests/unit/test_tls.c - two engines in one process: a leaf of our own authority, and
 * what a client must refuse.
 */
#include "base/tls.h"
#include "netfilter/anchors.h"
#include "netfilter/ca.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define NOW 1795273445 /* 2026-11-21 */
#define APPLICATION_DATA 23 /* type of a record */

static struct tls_random rng;
static struct ca ca;
static struct anchors anchors;
static struct tls_cache cache;
static struct tls_sessions sessions;
static struct tls client, server;
static uint8_t leaf[CA_CERTIFICATE];
static br_x509_certificate chain;

static void setup(void)
{
        char pem[2048];
        struct wr w = wr_of(pem, sizeof(pem));
        struct anchors_reader r;

        if (tls_random_open(&rng) || !ca_open(&ca, &rng, NOW))
                abort();
        ca_put_pem(&ca, &w);
        memset(&anchors, 0, sizeof(anchors));
        anchors_begin(&r, &anchors);
        anchors_feed(&r, w.buf, w.len);
        anchors_end(&r);
        tls_cache_init(&cache);
        tls_sessions_wipe(&sessions);
}

/* Bytes of one engine to the other, at most @most at a time. */
static bool carry(struct tls *from, struct tls *to, size_t most)
{
        size_t have, room;
        const uint8_t *bytes = tls_out(from, &have);
        uint8_t *space = bytes ? tls_in(to, &room) : NULL;

        if (!space)
                return false;
        have = have < room ? have : room;
        have = have < most ? have : most;
        memcpy(space, bytes, have);
        tls_out_sent(from, have);
        tls_in_got(to, have);
        return true;
}

static void settle_both(size_t most)
{
        for (int i = 0; i < 100000; i++)
                if (!carry(&client, &server, most) && !carry(&server, &client, most))
                        return;
}

static void shake(const char *certified, const char *wanted, uint64_t now_s)
{
        struct tls_trust trust = anchors_trust(&anchors);

        chain = (br_x509_certificate){ leaf, ca_leaf(&ca, certified, NOW, leaf) };
        tls_server_init(&server, &rng, &chain, &ca.leaf.secret, &cache);
        tls_client_init(&client, &rng, &trust, wanted, 443, now_s, &sessions);
        settle_both(1 << 20);
}

static void say(struct tls *t, const char *text)
{
        size_t room;
        uint8_t *space = tls_room(t, &room);

        CHECK(space && room >= strlen(text));
        if (!space)
                return;
        memcpy(space, text, strlen(text));
        tls_wrote(t, strlen(text));
        tls_flush(t);
        settle_both(7);
}

static bool hears(struct tls *t, const char *text)
{
        size_t len;
        const uint8_t *plain = tls_plain(t, &len);
        bool same = plain && len == strlen(text) && !memcmp(plain, text, len);

        if (plain)
                tls_plain_used(t, len);
        return same;
}

TEST(our_authority_is_one_anchor_and_its_leaf_is_believed)
{
        setup();
        CHECK(anchors.count == 1 && anchors.skipped == 0);
        CHECK(anchors.table[0].flags & BR_X509_TA_CA);
        shake("www.example.org", "www.example.org", NOW);
        CHECK(tls_state(&client) == TLS_OPEN && tls_state(&server) == TLS_OPEN);
        CHECK(!strcmp(tls_sni(&server), "www.example.org"));
        say(&client, "GET / HTTP/1.1");
        CHECK(hears(&server, "GET / HTTP/1.1"));
        say(&server, "HTTP/1.1 200 OK");
        CHECK(hears(&client, "HTTP/1.1 200 OK"));
        tls_close(&server);
        settle_both(3);
        CHECK(tls_state(&client) == TLS_CLOSED && tls_error(&client) == TLS_FINE);
        CHECK(tls_state(&server) == TLS_CLOSED && tls_error(&server) == TLS_FINE);
}

TEST(a_name_of_253_bytes_gets_its_leaf)
{
        char name[254] = "";

        setup();
        for (int i = 0; i < 25; i++)
                strcat(name, "abcdefghi.");
        strcat(name, "org");
        CHECK(strlen(name) == 253);
        shake(name, name, NOW);
        CHECK(tls_state(&client) == TLS_OPEN);
}

TEST(a_certificate_is_refused_for_its_name_its_dates_and_its_issuer)
{
        setup();
        shake("www.example.org", "www.example.com", NOW);
        CHECK(tls_state(&client) == TLS_CLOSED && tls_error(&client) == TLS_ERR_NAME);
        shake("www.example.org", "www.example.org", NOW - 2 * 3600);
        CHECK(tls_error(&client) == TLS_ERR_DATES);
        shake("www.example.org", "www.example.org", NOW + CA_LEAF_S + 1);
        CHECK(tls_error(&client) == TLS_ERR_DATES);
        if (!ca_open(&ca, &rng, NOW)) /* another authority of the same shape */
                abort();
        shake("www.example.org", "www.example.org", NOW);
        CHECK(tls_error(&client) == TLS_ERR_UNTRUSTED);
}

TEST(an_address_is_compared_with_the_certificates_addresses_and_is_no_sni)
{
        static const char *const pairs[][2] = {
                { "10.1.2.4", "10.1.2.3" },       { "10.1.2.3", "::ffff:10.1.2.3" },
                { "fd00::1", "fd00::2" },         { "www.example.org", "10.1.2.3" },
                { "10.1.2.3", "www.example.org" },
        };

        setup();
        shake("10.1.2.3", "10.1.2.3", NOW);
        CHECK(tls_state(&client) == TLS_OPEN && !*tls_sni(&server));
        shake("fd00::1", "fd00::1", NOW);
        CHECK(tls_state(&client) == TLS_OPEN && !*tls_sni(&server));
        for (size_t i = 0; i < COUNT(pairs); i++) {
                shake(pairs[i][0], pairs[i][1], NOW);
                CHECK(tls_state(&client) == TLS_CLOSED && tls_error(&client) == TLS_ERR_NAME);
        }
        /* The right address, and nobody who vouches for it. */
        if (!ca_open(&ca, &rng, NOW))
                abort();
        shake("10.1.2.3", "10.1.2.3", NOW);
        CHECK(tls_error(&client) == TLS_ERR_UNTRUSTED);
}

/* A record of application data that the client's engine would only make later. */
static size_t put_early(uint8_t *to, const char *text)
{
        static uint8_t room[256];
        const br_sslrec_out_class **out = &client.u.engine.out.vtable;
        size_t len = strlen(text);
        uint8_t *record;

        memcpy(room + 64, text, len);
        record = (*out)->encrypt(out, APPLICATION_DATA, BR_TLS12, room + 64, &len);
        memcpy(to, record, len);
        return len;
}

TEST(a_request_may_come_with_the_last_flight_of_the_handshake)
{
        static uint8_t flight[4096];
        size_t len = 0, at = 0, n;
        struct tls_trust trust;
        const uint8_t *out;
        uint8_t *in;

        setup();
        trust = anchors_trust(&anchors);
        chain = (br_x509_certificate){ leaf, ca_leaf(&ca, "a.org", NOW, leaf) };
        tls_server_init(&server, &rng, &chain, &ca.leaf.secret, &cache);
        tls_client_init(&client, &rng, &trust, "a.org", 443, NOW, &sessions);
        while (carry(&client, &server, 9999))
                ;
        while (carry(&server, &client, 9999))
                ;
        for (; (out = tls_out(&client, &n)) != NULL; len += n) {
                memcpy(flight + len, out, n);
                tls_out_sent(&client, n);
        }
        len += put_early(flight + len, "GET / HTTP/1.1");
        while (at < len) {
                in = tls_in(&server, &n);
                if (!in && !carry(&server, &client, 9999))
                        break;
                if (!in)
                        continue;
                n = n < len - at ? n : len - at;
                memcpy(in, flight + at, n);
                at += n;
                tls_in_got(&server, n);
        }
        CHECK(at == len && tls_error(&server) == TLS_FINE);
        CHECK(hears(&server, "GET / HTTP/1.1"));
        settle_both(9999);
        CHECK(tls_state(&client) == TLS_OPEN);
}

TEST(a_session_is_resumed_without_a_certificate_and_forgotten_in_time)
{
        size_t full = 0, resumed = 0, len;

        setup();
        for (int round = 0; round < 2; round++) {
                struct tls_trust trust = anchors_trust(&anchors);
                size_t *bytes = round ? &resumed : &full;

                chain = (br_x509_certificate){ leaf, ca_leaf(&ca, "a.org", NOW, leaf) };
                tls_server_init(&server, &rng, &chain, &ca.leaf.secret, &cache);
                tls_client_init(&client, &rng, &trust, "a.org", 443, NOW, &sessions);
                for (int i = 0; i < 100; i++) {
                        if (tls_out(&server, &len))
                                *bytes += len;
                        if (!carry(&client, &server, 9999) && !carry(&server, &client, 9999))
                                break;
                }
                CHECK(tls_state(&client) == TLS_OPEN);
                tls_client_keep(&client, "a.org", 443, NOW, &sessions);
        }
        CHECK(resumed < full / 2);
        CHECK(sessions.table[0].until_s == NOW + TLS_SESSION_S || sessions.table[1].until_s);
}

TEST(a_forged_record_ends_the_connection)
{
        size_t room;
        uint8_t *space;

        setup();
        shake("a.org", "a.org", NOW);
        space = tls_in(&server, &room);
        memcpy(space, "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 5);
        tls_in_got(&server, 5);
        space = tls_in(&server, &room);
        memcpy(space, "0123456789abcdef0123456789abcdef", room < 32 ? room : 32);
        tls_in_got(&server, room < 32 ? room : 32);
        CHECK(tls_state(&server) == TLS_CLOSED && tls_error(&server) == TLS_ERR_PROTOCOL);
}

TEST(a_leaf_is_made_once_for_each_name_until_it_is_old)
{
        static uint8_t a[CA_CERTIFICATE], b[CA_CERTIFICATE];
        size_t n;

        setup();
        n = ca_leaf(&ca, "a.org", NOW, a);
        CHECK(n && ca_leaf(&ca, "a.org", NOW + 3600, b) == n && !memcmp(a, b, n));
        for (int i = 0; i < CA_LEAVES; i++) {
                char name[] = "a0.org";

                name[0] = (char)('a' + i / 10);
                name[1] = (char)('0' + i % 10);
                CHECK(ca_leaf(&ca, name, NOW, b));
        }
        CHECK(ca_leaf(&ca, "a.org", NOW, b) && memcmp(a, b, n) != 0); /* it was pushed out */
        n = ca_leaf(&ca, "a.org", NOW, a);
        CHECK(ca_leaf(&ca, "a.org", NOW + 20 * 3600, b) && memcmp(a, b, n) != 0);
}

TEST(without_tls_the_same_calls_carry_plain_bytes)
{
        tls_clear_init(&client);
        tls_clear_init(&server);
        say(&client, "hello");
        CHECK(hears(&server, "hello"));
        tls_close(&server);
        CHECK(tls_state(&server) == TLS_CLOSED && tls_error(&server) == TLS_FINE);
}
