/*
 * netfilter/der.h - writes DER (X.690): what a certificate is made of. Pure.
 *
 * A value is opened, filled and closed; closing knows its length and moves it up when
 * the length needs more than one byte. What does not fit sets full for good, as in wr.h.
 *
 *      size_t sequence = der_open(&w, DER_SEQUENCE);
 *      der_oid(&w, oid, sizeof(oid));
 *      der_close(&w, sequence);
 */
#ifndef NETFILTER_DER_H
#define NETFILTER_DER_H

#include "base/base.h"

enum der_tag {
        DER_BOOLEAN = 0x01,
        DER_INTEGER = 0x02,
        DER_BITS = 0x03,
        DER_OCTETS = 0x04,
        DER_OID = 0x06,
        DER_UTF8 = 0x0c,
        DER_UTC_TIME = 0x17,
        DER_GENERAL_TIME = 0x18,
        DER_SEQUENCE = 0x30,
        DER_SET = 0x31,
        DER_IMPLICIT = 0x80,    /* + n: [n] of a primitive type */
        DER_CONSTRUCTED = 0xa0, /* + n: [n] around other values */
};

struct der {
        uint8_t *buf;
        size_t cap, len;
        bool full;
};

struct der der_of(void *buf, size_t cap);

/* Opens a value of @tag; der_close takes what this returned. They nest. */
MUST_USE size_t der_open(struct der *w, unsigned tag);
void der_close(struct der *w, size_t opened);

/* Bytes as they are, inside of an open value. */
void der_bytes(struct der *w, const void *bytes, size_t len);

/* A whole value. */
void der_value(struct der *w, unsigned tag, const void *bytes, size_t len);

/* A positive integer from big-endian bytes; leading zeroes go, a sign byte comes. */
void der_integer(struct der *w, const uint8_t *bytes, size_t len);

/* The second @unix_s as UTCTime, or GeneralizedTime from 2050 on (RFC 5280, 4.1.2.5). */
void der_time(struct der *w, uint64_t unix_s);

#endif
