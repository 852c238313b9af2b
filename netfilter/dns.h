/*
 * netfilter/dns.h - DNS messages: the queries we answer, and the ones we ask. Pure.
 *
 * First half, for the responder that the task sees: one question comes in, an answer that
 * we make up goes out; nothing is forwarded. Second half, for the proxy's own stub: an
 * A or AAAA query goes to the container's resolver, and its reply is read strictly.
 *
 * No I/O, no clock, no randomness: ids and case bits are the caller's. The two bytes of
 * length that TCP puts before a message are the caller's too.
 */
#ifndef NETFILTER_DNS_H
#define NETFILTER_DNS_H

#include "base/base.h"
#include "base/wr.h"
#include "netfilter/address.h"
#include "netfilter/name.h"

#define DNS_MESSAGE 1232 /* bytes: what we send at most, and announce by EDNS */
#define DNS_TYPE_A 1
#define DNS_TYPE_CNAME 5
#define DNS_TYPE_PTR 12
#define DNS_TYPE_AAAA 28
#define DNS_TYPE_OPT 41

enum dns_rcode {
        DNS_NOERROR = 0,
        DNS_FORMERR = 1,
        DNS_SERVFAIL = 2,
        DNS_NXDOMAIN = 3,
        DNS_NOTIMP = 4,
        DNS_REFUSED = 5,
};

enum dns_status {
        DNS_OK,
        DNS_SHORT,     /* ends before its end; no id, no answer */
        DNS_DROP,      /* a response, not a query: say nothing */
        DNS_OPCODE,    /* answer NOTIMP */
        DNS_MALFORMED, /* answer FORMERR */
        DNS_NAME,      /* a well-formed question for a name that no host has: NXDOMAIN */
};
const char *dns_status_str(enum dns_status s);

struct dns_query {
        uint16_t id, type, class;
        bool recursion;    /* RD, echoed */
        bool edns;         /* an OPT record came, so one goes back */
        uint16_t udp_size; /* the client's, 512 to 4096 */
        uint8_t question_len;
        uint8_t question[255]; /* QNAME as it came, echoed byte by byte */
        struct name name;      /* the same, normal form */
};

/*
 * Reads one query: one question without compression, no answers, at most one additional
 * record of any kind but OPT, at most one OPT. On DNS_OK all of *@q is filled; on
 * DNS_NAME all but name; on DNS_OPCODE and DNS_MALFORMED id and recursion alone, which is
 * what dns_put_empty needs; otherwise nothing.
 */
MUST_USE enum dns_status dns_parse_query(struct dns_query *q, const void *packet, size_t len);

/* The whole answer, header included. The writer is empty before; full: does not fit. */
void dns_put_a(struct wr *w, const struct dns_query *q, const uint8_t address[static 4],
               uint32_t ttl_s);
void dns_put_ptr(struct wr *w, const struct dns_query *q, const struct name *name,
                 uint32_t ttl_s);
/* No record: DNS_NOERROR (the name is there, this type is not), DNS_NXDOMAIN, … */
void dns_put_empty(struct wr *w, const struct dns_query *q, enum dns_rcode rcode);

/* The address that a PTR question is about; false: it asks for something else. */
bool dns_ptr_address(const struct dns_query *q, struct address *a);

/* ---- the stub ---- */

#define DNS_REPLY_ADDRESSES 8
#define DNS_REPLY_RECORDS 64 /* answers looked at */
#define DNS_REPLY_ALIASES 8  /* CNAMEs followed */

/*
 * A query for @type (A or AAAA) with RD and EDNS. Bit n of @case_bits (NULL: none)
 * turns the n-th byte of the name into upper case, if it is a letter: the reply has
 * to echo it (the "0x20" trick), so a forger has more to guess.
 */
void dns_put_query(struct wr *w, uint16_t id, const struct name *name, uint16_t type,
                   const uint8_t case_bits[32]);

struct dns_reply {
        enum dns_rcode rcode; /* NOERROR with count 0: no such record */
        size_t count;
        struct address addresses[DNS_REPLY_ADDRESSES]; /* the rest is left out */
        uint32_t ttl_s;                                /* the smallest on the way */
};

enum dns_reply_status {
        DNS_REPLY_OK,
        DNS_REPLY_OTHER,     /* not the answer to @query (id, question, flags): wait on */
        DNS_REPLY_TRUNCATED, /* ask again over TCP */
        DNS_REPLY_BAD,       /* ours, but broken or an alias chain too long */
};
const char *dns_reply_status_str(enum dns_reply_status s);

/*
 * Reads the reply to @query, the very bytes that dns_put_query wrote. Counts addresses
 * only of the name asked for or of the alias chain that starts there, of the type and
 * class asked for. *@r is filled only on DNS_REPLY_OK.
 */
MUST_USE enum dns_reply_status dns_parse_reply(struct dns_reply *r, const void *query,
                                               size_t query_len, const void *packet,
                                               size_t len);

#endif
