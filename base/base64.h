/*
 * base/base64.h - base64 (RFC 4648, section 4): a credential in a header, a certificate
 * in PEM, the lines of an age file, what the exec-server's clients send. Pure.
 *
 * base64_take() reads what other programs wrote, as it comes; the other readers are for
 * formats in which every sequence of bytes has one text and no other.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/wr.h"

/* The text of @len bytes, with its padding and no line breaks. */
void base64_put(struct wr *w, const void *bytes, size_t len);

/* The same without padding: BASE64_LEN(len) characters. */
void base64_put_bare(struct wr *w, const void *bytes, size_t len);
#define BASE64_LEN(len) (((len)*4 + 2) / 3)

/*
 * The fast one: writes BASE64_PADDED(len) characters to @out, without a NUL, and returns
 * their number.
 */
size_t base64_encode(char *out, const void *bytes, size_t len);
#define BASE64_PADDED(len) (((len) + 2) / 3 * 4)

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

/*
 * Decodes all @len characters, canonical and bare: no padding, no white space, no bits left
 * over that are not zero. @out may be @text itself; *@out_len is len * 3 / 4. False, with
 * @out undefined, when they are anything else.
 */
MUST_USE bool base64_decode(const void *text, size_t len, uint8_t *out, size_t *out_len);

/*
 * The same for a text that has its padding. When it fails *@wrong is the offset of the
 * first character that can't be where it is.
 */
MUST_USE bool base64_decode_padded(const char *text, size_t len, void *out, size_t *out_len,
                                   size_t *wrong);

#endif
