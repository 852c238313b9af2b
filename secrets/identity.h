/*
 * secrets/identity.h - keys as people and machines hand them over: text, line by line. Pure.
 *
 * A file of identities or recipients has one key to a line, comments that start with #,
 * and empty lines. What other age programs would take and we do not has a status of its
 * own, whose text names the way out.
 */
#ifndef SECRETS_IDENTITY_H
#define SECRETS_IDENTITY_H

#include "base/rd.h"
#include "secrets/age.h"

#define IDENTITY_PREFIX "age-secret-key-" /* Bech32's prefix ends in that dash */
#define RECIPIENT_PREFIX "age"

enum identity_status {
        IDENTITY_OK,
        IDENTITY_END,          /* no more keys in the text */
        IDENTITY_MALFORMED,    /* not a key of any kind we know, or mistyped */
        IDENTITY_LOWER,        /* a secret key in lower case */
        IDENTITY_SWAPPED,      /* a recipient where an identity belongs, or the reverse */
        IDENTITY_SSH,
        IDENTITY_POST_QUANTUM,
        IDENTITY_PLUGIN,       /* a plugin's, or for a hardware key */
        IDENTITY_ENCRYPTED,    /* an identity file that itself is sealed */
};

const char *identity_status_str(enum identity_status s);

/*
 * The next identity of a text at @text, whose cursor moves behind its line; *@line counts
 * the lines taken. @out is filled on IDENTITY_OK, and wiped otherwise.
 */
MUST_USE enum identity_status identity_next(struct rd *text, unsigned *line,
                                            uint8_t out[static AGE_KEY_LEN]);

/* The same for recipients. */
MUST_USE enum identity_status recipient_next(struct rd *text, unsigned *line,
                                             uint8_t out[static AGE_KEY_LEN]);

/*
 * Whether @bytes are a file key and no text: exactly 16 bytes, or 32 hexadecimal digits with
 * or without a newline behind them. Then it is in @out.
 */
MUST_USE bool file_key_parse(const void *bytes, size_t len, uint8_t out[static AGE_FILE_KEY_LEN]);

#endif
