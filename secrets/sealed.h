/*
 * secrets/sealed.h - opens one sealed file that is whole in memory, in place. Pure.
 *
 * Armored or not, with a list of identities or with the file key: whatever was delivered.
 * Made for arena_call: buffer, key and this struct's scratch belong in the arena.
 */
#ifndef SECRETS_SEALED_H
#define SECRETS_SEALED_H

#include "secrets/age.h"
#include "secrets/armor.h"
#include "secrets/identity.h"

enum sealed_status {
        SEALED_OK,
        SEALED_ARMOR,    /* the armor is wrong; @armor says how */
        SEALED_KEY,      /* the key is none; @key_status and @key_line say where */
        SEALED_FILE,     /* the file does not open; @age says why */
};

struct sealed {
        uint8_t *buf; /* in: the file; out: wiped but for the plaintext */
        size_t len;
        const void *key; /* in: identity text, or a file key */
        size_t key_len;
        bool file_key_only; /* in: the key must be a file key */

        enum sealed_status status;
        enum armor_status armor;
        enum age_status age;
        enum identity_status key_status;
        unsigned key_line;
        unsigned kinds;  /* enum age_kind: whom the file was sealed for */
        uint8_t *plain;  /* on SEALED_OK: in @buf */
        size_t plain_len;
};

/* @sealed is a struct sealed. Unless SEALED_OK nothing of the plaintext is left in @buf. */
void sealed_open(void *sealed);

/*
 * One line about a status that is not SEALED_OK, without anything secret; it names what is
 * missing and the way out.
 */
void sealed_explain(const struct sealed *s, struct wr *w);

#endif
