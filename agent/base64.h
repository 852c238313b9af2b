/*
 * agent/base64.h - standard base64 with padding (RFC 4648, section 4). Pure.
 *
 * Strict: no white space, no missing padding, no stray bits in the last letter.
 */
#ifndef AGENT_BASE64_H
#define AGENT_BASE64_H

#include "base/base.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4) /* letters for n bytes */

/* Writes BASE64_LEN(len) letters to @out, without a NUL. Returns their number. */
size_t exec_base64_put(char *out, const void *bytes, size_t len);

/*
 * Decodes @text into @out of len / 4 * 3 bytes, which may be @text itself. False: it is
 * not base64; *@at is then the offset of the first letter that is wrong.
 */
MUST_USE bool exec_base64_parse(void *out, size_t *out_len, const char *text, size_t len, size_t *at);

#endif
