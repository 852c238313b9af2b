/*
 * netfilter/address.h - IPv4 and IPv6 addresses: read, written, and judged. Pure.
 *
 * One address has one spelling here: dotted quad without leading zeros, or RFC 5952.
 * Whatever else some resolver would take for an address (127.1, 0x7f000001, 017700000001,
 * fe80::1%lo, ::ffff:127.0.0.1, 1.2.3.4.) is ADDRESS_ODD, so that nobody mistakes it for
 * a name and no two of us read it differently.
 *
 * An IPv4 address may hide in an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo,
 * ISATAP). address_of_v6 turns a mapped one into IPv4, because that is what the kernel does with
 * it; the others stay IPv6, and address_special and address_embedded look inside.
 */
#ifndef NETFILTER_ADDRESS_H
#define NETFILTER_ADDRESS_H

#include "base/base.h"
#include "base/wr.h"

#define ADDRESS_TEXT 46 /* the longest spelling, its NUL included */

struct address {
        uint8_t family;   /* 4 or 6; 0: no address */
        uint8_t byte[16]; /* network order; an IPv4 address is the first four, the rest 0 */
};

enum address_status {
        ADDRESS_OK,
        ADDRESS_NOT, /* nothing that anybody would read as an address: perhaps a name */
        ADDRESS_ODD, /* somebody would, but it is not the one spelling: refuse it */
};
const char *address_status_str(enum address_status s);

/*
 * Reads one spelling, without brackets, port or zone. *@a is filled only on ADDRESS_OK.
 * What holds a colon or ends in a number is never ADDRESS_NOT.
 */
MUST_USE enum address_status address_parse(struct address *a, const char *text, size_t len);

struct address address_of_v4(const uint8_t byte[static 4]);
struct address address_of_v6(const uint8_t byte[static 16]);
bool address_equal(const struct address *a, const struct address *b);

/* The one spelling; address_parse reads it back. IPv6 without brackets. */
void address_put(struct wr *w, const struct address *a);

/* True and *@v4: the IPv4 address that an IPv6 address carries to a translator or tunnel. */
bool address_embedded(const struct address *a, struct address *v4);

/*
 * Why an address is not the public internet. IANA's special-purpose registries, the
 * metadata services of the clouds by their own addresses, multicast, and all of IPv6 that
 * is not global unicast. For a NAT64 address: the kind of the address inside. 6to4, Teredo
 * and ISATAP are refused as they are: nothing that is alive needs them.
 */
enum address_kind {
        ADDRESS_PUBLIC,
        ADDRESS_THIS_NETWORK, /* 0.0.0.0/8, :: */
        ADDRESS_LOOPBACK,
        ADDRESS_PRIVATE,    /* RFC 1918, fc00::/7, fec0::/10 */
        ADDRESS_SHARED,     /* 100.64.0.0/10 */
        ADDRESS_LINK_LOCAL,
        ADDRESS_METADATA,   /* 169.254.169.254 and its like */
        ADDRESS_PROTOCOL,   /* IETF protocol assignments, AS112, relays */
        ADDRESS_DOCUMENTATION,
        ADDRESS_BENCHMARK, /* 198.18.0.0/15, ours too */
        ADDRESS_MULTICAST,
        ADDRESS_RESERVED,   /* 240.0.0.0/4, broadcast, unassigned IPv6 */
        ADDRESS_TRANSLATED, /* carries an IPv4 address by a dead or a local scheme */
};
const char *address_kind_str(enum address_kind k); /* "private" */
enum address_kind address_special(const struct address *a);

/* An address range: ADDRESS/BITS, no bit set behind the prefix; or an address alone. */
struct cidr {
        struct address base;
        uint8_t bits;
};

/* The returns of address_parse; "10.0.0.1/8" and "10.0.0.0/08" are ADDRESS_ODD. */
MUST_USE enum address_status cidr_parse(struct cidr *c, const char *text, size_t len);
bool cidr_holds(const struct cidr *c, const struct address *a);

/*
 * Does naming @c mean @a, if @a is special? Only when the whole range is of @a's kind:
 * 10.0.0.0/8 opens 10.1.2.3, but 0.0.0.0/0 opens nothing private and
 * 169.254.0.0/16 not the metadata service, which goes by its address alone.
 */
bool cidr_opens(const struct cidr *c, const struct address *a);

#endif
