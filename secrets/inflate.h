/*
 * secrets/inflate.h - reads DEFLATE (RFC 1951) as a stream, of any length, in fixed memory.
 *
 * For the leak scan: gzip, zlib (git's loose objects), git's packs and zip files hold what
 * setup wrote where a plain search can't see it. Checksums are not compared: whoever looks
 * for something that should not be there takes what it can get.
 *
 * Bytes come from refill() and go to emit(); both belong to the struct that holds this one
 * as its first member, and which they may cast back to. Nothing else is called.
 */
#ifndef SECRETS_INFLATE_H
#define SECRETS_INFLATE_H

#include "base/base.h"

#define INFLATE_WINDOW 32768
#define INFLATE_OUT (INFLATE_WINDOW * 5)

enum inflate_status {
        INFLATE_OK,
        INFLATE_SHORT,     /* the input ended inside */
        INFLATE_MALFORMED,
        INFLATE_STOPPED,   /* emit() wanted no more */
};

const char *inflate_status_str(enum inflate_status s);

struct huffman {
        uint16_t fast[1024]; /* by the next ten bits: symbol << 4 | length; 0: longer */
        uint16_t count[16], symbol[288];
};

struct inflate {
        /* The next bytes, which stay until the next call; 0: the end. */
        size_t (*refill)(struct inflate *z, const uint8_t **bytes);
        /*
         * out[kept..kept+fresh) is new; the @kept bytes before it were given earlier. False:
         * stop.
         */
        bool (*emit)(struct inflate *z, const uint8_t *out, size_t kept, size_t fresh);

        const uint8_t *in;
        size_t in_len;
        uint64_t hold; /* bits taken from the input and not used */
        unsigned have;
        bool ended;
        size_t at, given; /* bytes in out; of these, given to emit() */
        size_t begun;     /* where in out this stream starts: copies reach no further back */
        struct huffman literals, distances;
        uint8_t out[INFLATE_OUT];
};

/* Everything but the two functions is set to a start. */
void inflate_init(struct inflate *z);

/* The next byte of the input, outside of a stream; -1: there is none. */
int inflate_byte(struct inflate *z);

/* One stream from the input's next byte. What it wrote was given to emit(), on failure too. */
MUST_USE enum inflate_status inflate_run(struct inflate *z);

#endif
