/*
 * tests/fuzz/dns.c - what is accepted as a query has a host's name and asks for it; every
 * query can be answered, and the answer is no query. A reply to a question of ours
 * yields at most eight addresses of the family asked for (or mapped ones), and none when short.
 */
#include "netfilter/dns.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_query(const uint8_t *data, size_t len)
{
        struct dns_query q, again;
        enum dns_status s = dns_parse_query(&q, data, len);
        char buf[DNS_MESSAGE];
        struct wr w = wr_of(buf, sizeof(buf));
        struct address a;

        if (s == DNS_SHORT || s == DNS_DROP)
                return;
        dns_put_empty(&w, &q, DNS_REFUSED);
        if (w.full || dns_parse_query(&again, buf, w.len) != DNS_DROP)
                abort();
        if (s != DNS_OK)
                return;
        if (name_parse(&again.name, q.name.text, q.name.len) || !name_equal(&again.name, &q.name) ||
            q.question_len != q.name.len + 2)
                abort();
        w = wr_of(buf, sizeof(buf));
        dns_put_a(&w, &q, data, 1);
        if (w.full)
                abort();
        if (dns_ptr_address(&q, &a) && a.family != 4 && a.family != 6)
                abort();
        w = wr_of(buf, sizeof(buf));
        dns_put_query(&w, q.id, &q.name, q.type, len >= 32 ? data : NULL);
        if (w.full || dns_parse_query(&again, buf, w.len) || !name_equal(&again.name, &q.name))
                abort();
}

static void check_reply(const uint8_t *data, size_t len)
{
        static const char name[] = "www.a.org";
        char query[512];
        struct wr w = wr_of(query, sizeof(query));
        struct wr p;
        uint8_t *packet = malloc(len + 512);
        struct dns_reply r = { .count = 0 };
        struct name n;
        enum dns_reply_status s;
        size_t question;

        if (!packet || name_parse(&n, name, sizeof(name) - 1))
                abort();
        dns_put_query(&w, 7, &n, data[0] & 1 ? DNS_TYPE_A : DNS_TYPE_AAAA, NULL);
        question = w.len - 12 - 11;
        /* header with the input's answer count, the question as asked, then the input */
        p = wr_of(packet, len + 512);
        wr_bytes(&p, "\0\7\x81\x80\0\1\0", 7);
        wr_bytes(&p, data, 1);
        wr_bytes(&p, "\0\0\0\0", 4);
        wr_bytes(&p, query + 12, question);
        wr_bytes(&p, data + 1, len - 1);
        s = dns_parse_reply(&r, query, w.len, packet, p.len);
        if (s == DNS_REPLY_OTHER || r.count > DNS_REPLY_ADDRESSES)
                abort();
        for (size_t i = 0; i < r.count; i++) {
                uint8_t family = r.addresses[i].family;

                if (family != 4 && (family != 6 || (data[0] & 1)))
                        abort();
        }
        if (len < 16 && r.count)
                abort();
        (void)!dns_parse_reply(&r, query, w.len, data, len);
        free(packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        check_query(data, len);
        if (len)
                check_reply(data, len);
        return 0;
}
