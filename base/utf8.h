/*
 * base/utf8.h - is this UTF-8? (RFC 3629: no overlong forms, no surrogates, at most
 * U+10FFFF.) Pure.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/base.h"

/* Bytes of the well-formed character at the start of @s, 1 to 4; 0 if there is none. */
size_t utf8_len(const char *s, size_t len);

/* Length of the well-formed prefix of @s; @len when all of it is UTF-8. */
size_t utf8_prefix(const char *s, size_t len);

#endif
