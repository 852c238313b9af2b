/*
 * base/base64.h - base64 (RFC 4648, section 4): a credential in a header, a certificate
 * in PEM. Pure.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/wr.h"

/* The text of @len bytes, with its padding and no line breaks. */
void base64_put(struct wr *w, const void *bytes, size_t len);

/* The bytes behind a base64 text that comes in pieces. A zeroed struct is a new one. */
struct base64 {
        uint32_t bits;
        unsigned count;  /* of the group's four characters */
        unsigned padded; /* how many of them were = */
        bool bad;
};

/*
 * Takes one character and gives the bytes that it completes, 0 to 3 of them, in @out.
 * White space is skipped. Anything else that is not base64 makes it bad for good.
 */
size_t base64_take(struct base64 *b, char c, uint8_t out[static 3]);

/* True when the text ended with a whole group. */
bool base64_whole(const struct base64 *b);

#endif
