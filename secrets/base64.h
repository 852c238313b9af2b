/*
 * secrets/base64.h - base64 as age wants it: canonical, or not at all. Pure.
 *
 * The standard alphabet; no padding, no white space, no bits left over that are not
 * zero: every sequence of bytes has one encoding.
 */
#ifndef SECRETS_BASE64_H
#define SECRETS_BASE64_H

#include "base/wr.h"

/* Characters that @len bytes take without padding. */
#define BASE64_LEN(len) (((len)*4 + 2) / 3)

/*
 * Decodes all @len characters into @out, which may be @text itself: *@out_len is
 * len * 3 / 4. False, with @out undefined, when they are no canonical base64.
 */
MUST_USE bool base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t *out_len);

/* Appends @len bytes, without padding. */
void base64_put(struct wr *w, const uint8_t *bytes, size_t len);

#endif
