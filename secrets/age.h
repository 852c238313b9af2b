/*
 * secrets/age.h - opens and writes age v1 files, for X25519 keys.
 *
 * An age file is a text header (a stanza for each recipient, then a MAC), a nonce, and a
 * payload in sealed chunks of 64 KiB. The header's stanzas each hold the same file key of 16
 * bytes, wrapped for one recipient; MAC and payload hang on that file key alone. So there
 * are three steps to an open file, and a caller who was handed the file key skips the second:
 *
 *      age_parse     the whole header is well-formed; no key needed
 *      age_unwrap    one identity finds its stanza: the file key
 *      age_begin     the header's MAC is right: the payload's key
 *      age_payload   every chunk is right, and the last one is the last
 *
 * Nothing here logs, allocates, draws random numbers or touches a descriptor. The caller
 * owns every buffer and wipes those that held keys or plaintext; what BearSSL leaves on the
 * stack is why this runs on one that is wiped (secrets/arena.h).
 */
#ifndef SECRETS_AGE_H
#define SECRETS_AGE_H

#include "base/wr.h"

#define AGE_KEY_LEN 32      /* an identity or a recipient */
#define AGE_FILE_KEY_LEN 16UL
#define AGE_NONCE_LEN 16    /* between header and chunks; part of neither */
#define AGE_CHUNK (64UL * 1024)
#define AGE_TAG_LEN 16      /* each chunk is that much longer than its plaintext */
#define AGE_STANZA_LEN 108  /* what age_put_stanza appends, at most */
#define AGE_HEADER_LEN 80   /* age_put_start and age_put_end together, at most */

/* Bytes of the sealed payload of @len bytes of plaintext, without the nonce. */
#define AGE_SEALED_LEN(len) \
        ((len) + ((len) ? ((len) + AGE_CHUNK - 1) / AGE_CHUNK : 1) * AGE_TAG_LEN)

enum age_status {
        AGE_OK,
        AGE_FOREIGN,    /* does not start as an age file does */
        AGE_VERSION,    /* another version of the format */
        AGE_MALFORMED,  /* the header breaks the format */
        AGE_NOT_FOR_US, /* well-formed, and no stanza opens with this identity */
        AGE_BAD_KEY,    /* a key or share that makes no secret: a point of low order */
        AGE_FORGED,     /* the header's MAC is wrong: changed, or not this file's key */
        AGE_BROKEN,     /* a chunk was changed, or the payload is cut or has a tail */
};

const char *age_status_str(enum age_status s);

/* Whom a header was made for, by its stanzas' types: bits of age_header.kinds. */
enum age_kind {
        AGE_X25519 = BIT(0),
        AGE_SCRYPT = BIT(1), /* a passphrase */
        AGE_SSH = BIT(2),
        AGE_POST_QUANTUM = BIT(3),
        AGE_HARDWARE = BIT(4), /* p256tag, piv-p256 and their like */
        AGE_OTHER = BIT(5),    /* a plugin's, or grease */
};

/* A header where it lies, in the buffer that age_parse was given. */
struct age_header {
        const uint8_t *start;
        size_t stanzas;  /* where the first stanza starts */
        size_t mac_text; /* how many bytes the MAC covers */
        size_t len;      /* of the header; nonce and chunks follow */
        unsigned kinds;  /* enum age_kind */
        uint8_t mac[32];
        uint8_t nonce[AGE_NONCE_LEN];
};

/* One direction of a payload: the next chunk's number and the key. Holds a secret. */
struct age {
        uint8_t key[32];
        uint64_t chunk;
        bool ended; /* the last chunk went by */
};

void age_wipe(struct age *a);

/*
 * Reads the header at the start of a whole file, and checks all of it, the stanzas for
 * others too. @h points into @buf, and is filled on AGE_OK only.
 */
MUST_USE enum age_status age_parse(struct age_header *h, const void *buf, size_t len);

/*
 * Looks for a stanza that @identity opens. AGE_OK: @file_key is filled. AGE_NOT_FOR_US: try
 * the next identity. AGE_BAD_KEY: give the file up, a stanza in it is a trick.
 */
MUST_USE enum age_status age_unwrap(const struct age_header *h,
                                    const uint8_t identity[static AGE_KEY_LEN],
                                    uint8_t file_key[static AGE_FILE_KEY_LEN]);

/* Checks the MAC and derives the payload's key. @a is wiped unless AGE_OK. */
MUST_USE enum age_status age_begin(struct age *a, const struct age_header *h,
                                   const uint8_t file_key[static AGE_FILE_KEY_LEN]);

/*
 * Opens one chunk in place: its first *@plain_len bytes become plaintext. @last says
 * that the payload ends here; the format seals that fact too, so a cut file is AGE_BROKEN
 * and not a short secret. On failure the chunk is wiped and @a opens nothing more.
 */
MUST_USE enum age_status age_chunk(struct age *a, uint8_t *chunk, size_t len, bool last,
                                   size_t *plain_len);

/*
 * Opens all chunks of a payload, @len bytes after the nonce, in place and moves the
 * plaintext together: the first *@plain_len bytes. On failure all of @buf is wiped.
 */
MUST_USE enum age_status age_payload(struct age *a, uint8_t *buf, size_t len,
                                     size_t *plain_len);

/* The recipient that belongs to an identity. */
void age_recipient(const uint8_t identity[static AGE_KEY_LEN], uint8_t out[static AGE_KEY_LEN]);

/*
 * The writer. A header into an empty @w: age_put_start, age_put_stanza for each recipient
 * with an @ephemeral of its own, age_put_end. @file_key, @ephemeral and @nonce are random
 * bytes, each used for one file only; the nonce is appended too. Then the chunks.
 */
void age_put_start(struct wr *w);
MUST_USE enum age_status age_put_stanza(struct wr *w,
                                        const uint8_t recipient[static AGE_KEY_LEN],
                                        const uint8_t ephemeral[static AGE_KEY_LEN],
                                        const uint8_t file_key[static AGE_FILE_KEY_LEN]);
void age_put_end(struct age *a, struct wr *w, const uint8_t file_key[static AGE_FILE_KEY_LEN],
                 const uint8_t nonce[static AGE_NONCE_LEN]);

/*
 * Seals @len bytes in place: AGE_CHUNK of them, or fewer in the @last chunk, which is empty
 * only when it is the first. AGE_TAG_LEN more bytes are written behind them.
 */
void age_seal(struct age *a, uint8_t *chunk, size_t len, bool last);

#endif
