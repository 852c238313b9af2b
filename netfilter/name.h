/*
 * netfilter/name.h - one normal form for host names. Pure.
 *
 * Lower case, without the final dot, labels as they go over the wire (A-labels): equal
 * hosts are equal bytes, and nothing compares a name that did not come out of here.
 *
 * A label is 1 to 63 of a-z 0-9 - _, and neither begins nor ends with a hyphen; a name is
 * at most 253 bytes. A name whose last label is a number (digits, or 0x and hex) is
 * refused: some resolver would read an address. Nothing is unescaped and nothing is cut
 * off: NUL, space, %65, a port, brackets and a second final dot are wrong bytes.
 *
 * IDNA: UTF-8 labels become xn-- labels (RFC 3492) if they consist of letters that every
 * IDNA version maps alike: ASCII, Latin-1 and Latin Extended-A, Greek, Cyrillic, Hebrew,
 * Arabic, kana, CJK, Hangul; upper case becomes lower case. All else is NAME_IDNA, the
 * letters that versions disagree on (sharp s, final sigma, dotless and dotted i),
 * combining marks, full-width letters and the ideographic dots (U+3002, U+FF0E, U+FF61)
 * among them: such a name can be given in its xn-- form. An xn-- label that is given is
 * taken as the bytes it is; it has to be ASCII anyway.
 */
#ifndef NETFILTER_NAME_H
#define NETFILTER_NAME_H

#include "base/base.h"
#include "netfilter/address.h"

#define NAME_LEN 253
#define NAME_LABEL_LEN 63

struct name {
        uint8_t len;
        char text[NAME_LEN + 1]; /* with a NUL behind it */
};

enum name_status {
        NAME_OK,
        NAME_EMPTY,
        NAME_LONG,   /* the name, or one of its labels */
        NAME_LABEL,  /* an empty label, or a hyphen at the end of one */
        NAME_BYTE,   /* a byte that no name holds */
        NAME_NUMBER, /* looks like an address, but is none of the one spelling */
        NAME_IDNA,   /* letters without one certain mapping; or not UTF-8 */
};
const char *name_status_str(enum name_status s);

/* *@n is filled only on NAME_OK. */
MUST_USE enum name_status name_parse(struct name *n, const char *text, size_t len);

bool name_equal(const struct name *a, const struct name *b);
/* @name is @suffix or ends with a dot and @suffix. */
bool name_within(const struct name *name, const struct name *suffix);
/* No public DNS has it: a single label, or one of the endings that local networks use. */
bool name_is_private(const struct name *name);

/* What a client asks for: a host by name, or an address. */
struct host {
        bool literal;
        struct address address; /* if literal */
        struct name name;       /* else */
};

/*
 * A name or an address without port. An IPv6 address comes without its brackets, which
 * base/http1 has taken off. An address in another spelling is NAME_NUMBER.
 */
MUST_USE enum name_status host_parse(struct host *h, const char *text, size_t len);
/* The name or the address in its one spelling, without brackets. */
void host_put(struct wr *w, const struct host *h);

#endif
