/*
 * secrets/bech32.h - AGE-SECRET-KEY-1… and age1… to 32 bytes, and back. Pure.
 *
 * Bech32 (BIP 173) without its limit of 90 characters. The checksum covers the prefix,
 * so a recipient does not pass for an identity. What held key bytes on the way is wiped.
 */
#ifndef SECRETS_BECH32_H
#define SECRETS_BECH32_H

#include "base/wr.h"

#define BECH32_BYTES 32 /* the only length age has */

enum bech32_status {
        BECH32_OK,
        BECH32_PREFIX,    /* another prefix, or none */
        BECH32_CASE,      /* upper and lower case mixed */
        BECH32_CHARACTER, /* not of the alphabet */
        BECH32_LENGTH,    /* not 32 bytes */
        BECH32_CHECKSUM,  /* mistyped */
        BECH32_PADDING,   /* the bits that carry nothing are not zero */
};

const char *bech32_status_str(enum bech32_status s);

/*
 * Decodes @len characters whose prefix is @prefix (in lower case, without the `1`). Either
 * case will do for @text, a mixture will not. @out is wiped unless BECH32_OK.
 */
MUST_USE enum bech32_status bech32_parse(const char *text, size_t len, const char *prefix,
                                         uint8_t out[static BECH32_BYTES]);

/* Appends the encoding; @prefix tells its case. */
void bech32_put(struct wr *w, const char *prefix, const uint8_t bytes[static BECH32_BYTES]);

#endif
