/* secrets/age.c - the age v1 format (C2SP age.md) on BearSSL's primitives. */
#include "secrets/age.h"

#include "base/base64.h"
#include "base/same.h"
#include "base/rd.h"

#include <bearssl.h>
#include <string.h>

#define LINE 64       /* characters of a full line in a stanza's body */
#define LINE_BYTES 48 /* what it decodes to */
#define WRAPPED_LEN (AGE_FILE_KEY_LEN + AGE_TAG_LEN)
#define SEALED_CHUNK (AGE_CHUNK + AGE_TAG_LEN)

static const char format[] = "age-encryption.org/";
static const char version[] = "age-encryption.org/v1";

const char *age_status_str(enum age_status s)
{
        switch (s) {
        case AGE_OK:
                return "right";
        case AGE_FOREIGN:
                return "not an age file";
        case AGE_VERSION:
                return "another version of the age format";
        case AGE_MALFORMED:
                return "malformed header";
        case AGE_NOT_FOR_US:
                return "not sealed for this key";
        case AGE_BAD_KEY:
                return "a key of low order";
        case AGE_FORGED:
                return "wrong header MAC: the header was changed, or the file key is another's";
        case AGE_BROKEN:
                return "damaged payload: changed, cut, or with something behind it";
        }
        return "?";
}

/* --- primitives ------------------------------------------------------------------------ */

/* @salt NULL: none. */
static void hkdf(uint8_t out[static 32], const uint8_t *key, size_t key_len, const uint8_t *salt,
                 size_t salt_len, const char *info)
{
        br_hkdf_context c;

        br_hkdf_init(&c, &br_sha256_vtable, salt ? (const void *)salt : BR_HKDF_NO_SALT, salt_len);
        br_hkdf_inject(&c, key, key_len);
        br_hkdf_flip(&c);
        br_hkdf_produce(&c, info, strlen(info), out, 32);
        explicit_bzero(&c, sizeof(c));
}

/* out = scalar * point. False when that is zero: the point's order is small. */
static bool x25519(uint8_t out[static AGE_KEY_LEN], const uint8_t scalar[static AGE_KEY_LEN],
                   const uint8_t point[static AGE_KEY_LEN])
{
        static const uint8_t zero[AGE_KEY_LEN];

        memcpy(out, point, AGE_KEY_LEN);
        /* Its result says nothing: it is 1 for points of low order too. */
        br_ec_c25519_m31.mul(out, AGE_KEY_LEN, scalar, AGE_KEY_LEN, BR_EC_curve25519);
        return !same_secret(out, zero, AGE_KEY_LEN);
}

void age_recipient(const uint8_t identity[static AGE_KEY_LEN], uint8_t out[static AGE_KEY_LEN])
{
        br_ec_c25519_m31.mulgen(out, identity, AGE_KEY_LEN, BR_EC_curve25519);
}

/* Decrypts in place whether or not the tag is right, so wipes when it is wrong. */
static bool aead_open(const uint8_t key[static 32], const uint8_t nonce[static 12], uint8_t *data,
                      size_t len, const uint8_t tag[static AGE_TAG_LEN])
{
        uint8_t computed[AGE_TAG_LEN];
        bool right;

        br_poly1305_ctmul_run(key, nonce, data, len, NULL, 0, computed, br_chacha20_ct_run, 0);
        right = same_secret(computed, tag, sizeof(computed));
        if (!right)
                explicit_bzero(data, len);
        return right;
}

static void aead_seal(const uint8_t key[static 32], const uint8_t nonce[static 12], uint8_t *data,
                      size_t len, uint8_t tag[static AGE_TAG_LEN])
{
        br_poly1305_ctmul_run(key, nonce, data, len, NULL, 0, tag, br_chacha20_ct_run, 1);
}

/* The key that wraps the file key between an ephemeral and a recipient's key. */
static bool wrap_key(uint8_t out[static 32], const uint8_t scalar[static AGE_KEY_LEN],
                     const uint8_t point[static AGE_KEY_LEN],
                     const uint8_t share[static AGE_KEY_LEN],
                     const uint8_t recipient[static AGE_KEY_LEN])
{
        uint8_t salt[2 * AGE_KEY_LEN];
        uint8_t shared[AGE_KEY_LEN];
        bool right = x25519(shared, scalar, point);

        memcpy(salt, share, AGE_KEY_LEN);
        memcpy(salt + AGE_KEY_LEN, recipient, AGE_KEY_LEN);
        hkdf(out, shared, sizeof(shared), salt, sizeof(salt), "age-encryption.org/v1/X25519");
        explicit_bzero(shared, sizeof(shared));
        return right;
}

static void header_mac(uint8_t out[static 32], const uint8_t *text, size_t len,
                       const uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        br_hmac_key_context k;
        br_hmac_context c;
        uint8_t key[32];

        hkdf(key, file_key, AGE_FILE_KEY_LEN, NULL, 0, "header");
        br_hmac_key_init(&k, &br_sha256_vtable, key, sizeof(key));
        br_hmac_init(&c, &k, 0);
        br_hmac_update(&c, text, len);
        br_hmac_out(&c, out);
        explicit_bzero(key, sizeof(key));
        explicit_bzero(&k, sizeof(k));
        explicit_bzero(&c, sizeof(c));
}

/* --- the header ------------------------------------------------------------------------ */

struct stanza {
        struct rd type, arg; /* arg: the first one after the type */
        unsigned args;       /* how many come after the type */
        uint8_t body[LINE_BYTES]; /* its last line that was not empty */
        size_t body_len;          /* of all lines */
};

/* Up to the next @stop, which is skipped; bad when there is none. */
static struct rd take_until(struct rd *r, uint8_t stop)
{
        const uint8_t *at = r->bad ? NULL : memchr(r->at, stop, rd_left(r));
        struct rd part = rd_sub(r, at ? (size_t)(at - r->at) : SIZE_MAX);

        rd_u8(r);
        return part;
}

static bool starts(const struct rd *r, const char *text)
{
        size_t len = strlen(text);

        return rd_left(r) >= len && !memcmp(r->at, text, len);
}

static bool is(const struct rd *r, const char *text)
{
        return rd_left(r) == strlen(text) && starts(r, text);
}

/* The next word of a line and the space behind it. An argument is 33 to 126, never empty. */
static bool take_argument(struct rd *line, struct rd *arg)
{
        bool more = memchr(line->at, ' ', rd_left(line));

        *arg = more ? take_until(line, ' ') : rd_sub(line, rd_left(line));
        for (const uint8_t *c = arg->at; c < arg->end; c++)
                if (*c < 33 || *c > 126)
                        return false;
        /* A space with nothing behind it would be an empty argument. */
        return rd_left(arg) && !(more && !rd_left(line));
}

static bool take_arguments(struct rd *line, struct stanza *s)
{
        if (!take_argument(line, &s->type))
                return false;
        for (s->args = 0; rd_left(line); s->args++) {
                struct rd arg;

                if (!take_argument(line, &arg))
                        return false;
                if (!s->args)
                        s->arg = arg;
        }
        return true;
}

/* Full lines of base64, then one that is shorter, and may be empty. */
static bool take_body(struct rd *r, struct stanza *s)
{
        for (s->body_len = 0;;) {
                struct rd line = take_until(r, '\n');
                size_t n;

                if (line.bad || rd_left(&line) > LINE ||
                    !base64_decode(line.at, rd_left(&line), s->body, &n))
                        return false;
                s->body_len += n;
                if (rd_left(&line) < LINE)
                        return true;
        }
}

static bool take_stanza(struct rd *r, struct stanza *s)
{
        struct rd line = take_until(r, '\n');

        *s = (struct stanza){ 0 };
        rd_bytes(&line, 3); /* the arrow: our caller saw it */
        return !line.bad && take_arguments(&line, s) && take_body(r, s);
}

static bool at_stanza(const struct rd *r)
{
        return starts(r, "-> ");
}

static enum age_kind kind_of(const struct rd *type)
{
        static const struct {
                char type[20];
                enum age_kind kind;
        } kinds[] = {
                { "X25519", AGE_X25519 },
                { "scrypt", AGE_SCRYPT },
                { "ssh-ed25519", AGE_SSH },
                { "ssh-rsa", AGE_SSH },
                { "mlkem768x25519", AGE_POST_QUANTUM },
                { "mlkem768p256tag", AGE_POST_QUANTUM },
                { "p256tag", AGE_HARDWARE },
                { "piv-p256", AGE_HARDWARE },
        };

        for (size_t i = 0; i < COUNT(kinds); i++)
                if (is(type, kinds[i].type))
                        return kinds[i].kind;
        return AGE_OTHER;
}

/* The share of an X25519 stanza; false when the stanza is not as every one of them is. */
static bool x25519_share(const struct stanza *s, uint8_t share[static AGE_KEY_LEN])
{
        size_t n;

        return s->args == 1 && rd_left(&s->arg) == BASE64_LEN(AGE_KEY_LEN) &&
               base64_decode(s->arg.at, rd_left(&s->arg), share, &n) &&
               s->body_len == WRAPPED_LEN;
}

static enum age_status parse_stanzas(struct age_header *h, struct rd *r)
{
        unsigned count = 0;

        for (; at_stanza(r); count++) {
                uint8_t share[AGE_KEY_LEN];
                enum age_kind kind;
                struct stanza s;

                if (!take_stanza(r, &s))
                        return AGE_MALFORMED;
                kind = kind_of(&s.type);
                if (kind == AGE_X25519 && !x25519_share(&s, share))
                        return AGE_MALFORMED;
                h->kinds |= kind;
        }
        /* Whoever knows the passphrase is the only author: nobody else may be let in. */
        return !count || (h->kinds & AGE_SCRYPT && count > 1) ? AGE_MALFORMED : AGE_OK;
}

/* `--- MAC`; the MAC covers everything before its space. */
static bool parse_mac(struct age_header *h, struct rd *r)
{
        struct rd line = take_until(r, '\n');
        size_t n;

        if (!starts(&line, "--- "))
                return false;
        h->mac_text = (size_t)(line.at - h->start) + 3;
        rd_bytes(&line, 4);
        return rd_left(&line) == BASE64_LEN(sizeof(h->mac)) &&
               base64_decode(line.at, rd_left(&line), h->mac, &n);
}

enum age_status age_parse(struct age_header *h, const void *buf, size_t len)
{
        struct age_header found = { .start = buf };
        struct rd r = rd_of(buf, len);
        struct rd line;
        const uint8_t *nonce;
        enum age_status s;

        if (!starts(&r, format))
                return AGE_FOREIGN;
        line = take_until(&r, '\n');
        if (!is(&line, version))
                return line.bad ? AGE_MALFORMED : AGE_VERSION;
        found.stanzas = (size_t)(r.at - found.start);
        s = parse_stanzas(&found, &r);
        if (s != AGE_OK)
                return s;
        if (!parse_mac(&found, &r))
                return AGE_MALFORMED;
        found.len = (size_t)(r.at - found.start);
        nonce = rd_bytes(&r, AGE_NONCE_LEN);
        if (!nonce)
                return AGE_MALFORMED;
        memcpy(found.nonce, nonce, AGE_NONCE_LEN);
        *h = found;
        return AGE_OK;
}

/* One stanza, known to be a well-formed X25519 one. */
static enum age_status unwrap_one(const struct stanza *s,
                                  const uint8_t identity[static AGE_KEY_LEN],
                                  const uint8_t recipient[static AGE_KEY_LEN],
                                  uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        static const uint8_t nonce[12]; /* each of these keys is used once */
        uint8_t share[AGE_KEY_LEN];
        uint8_t key[32];
        enum age_status status = AGE_NOT_FOR_US;

        if (!x25519_share(s, share))
                return AGE_MALFORMED;
        memcpy(file_key, s->body, AGE_FILE_KEY_LEN);
        if (!wrap_key(key, identity, share, share, recipient))
                status = AGE_BAD_KEY;
        else if (aead_open(key, nonce, file_key, AGE_FILE_KEY_LEN, s->body + AGE_FILE_KEY_LEN))
                status = AGE_OK;
        explicit_bzero(key, sizeof(key));
        if (status != AGE_OK)
                explicit_bzero(file_key, AGE_FILE_KEY_LEN);
        return status;
}

enum age_status age_unwrap(const struct age_header *h,
                           const uint8_t identity[static AGE_KEY_LEN],
                           uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        struct rd r = rd_of(h->start + h->stanzas, h->len - h->stanzas);
        enum age_status status = AGE_NOT_FOR_US;
        uint8_t recipient[AGE_KEY_LEN];

        age_recipient(identity, recipient);
        while (status == AGE_NOT_FOR_US && at_stanza(&r)) {
                struct stanza s;

                if (!take_stanza(&r, &s))
                        return AGE_MALFORMED; /* the caller changed the buffer */
                if (kind_of(&s.type) == AGE_X25519)
                        status = unwrap_one(&s, identity, recipient, file_key);
        }
        return status;
}

/* --- the payload ----------------------------------------------------------------------- */

void age_wipe(struct age *a)
{
        explicit_bzero(a, sizeof(*a));
        a->ended = true;
}

static void payload_key(struct age *a, const uint8_t file_key[static AGE_FILE_KEY_LEN],
                        const uint8_t nonce[static AGE_NONCE_LEN])
{
        *a = (struct age){ 0 };
        hkdf(a->key, file_key, AGE_FILE_KEY_LEN, nonce, AGE_NONCE_LEN, "payload");
}

enum age_status age_begin(struct age *a, const struct age_header *h,
                          const uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        uint8_t mac[32];

        header_mac(mac, h->start, h->mac_text, file_key);
        if (!same_secret(mac, h->mac, sizeof(mac))) {
                age_wipe(a);
                return AGE_FORGED;
        }
        payload_key(a, file_key, h->nonce);
        return AGE_OK;
}

/* 11 bytes of counter, big end first, and whether this is the last: then the next one. */
static void next_nonce(struct age *a, uint8_t nonce[static 12], bool last)
{
        memset(nonce, 0, 12);
        for (unsigned i = 0; i < 8; i++)
                nonce[10 - i] = (uint8_t)(a->chunk >> (8 * i));
        nonce[11] = last;
        a->chunk++;
        a->ended = last;
}

enum age_status age_chunk(struct age *a, uint8_t *chunk, size_t len, bool last,
                          size_t *plain_len)
{
        bool fits = last ? len >= AGE_TAG_LEN && len <= SEALED_CHUNK : len == SEALED_CHUNK;
        /* Only an empty payload has an empty chunk: else a file could be written two ways. */
        bool empty = len == AGE_TAG_LEN && a->chunk;
        uint8_t nonce[12];

        if (!a->ended && fits && !empty) {
                next_nonce(a, nonce, last);
                *plain_len = len - AGE_TAG_LEN;
                if (aead_open(a->key, nonce, chunk, *plain_len, chunk + *plain_len))
                        return AGE_OK;
        }
        explicit_bzero(chunk, len);
        age_wipe(a);
        return AGE_BROKEN;
}

enum age_status age_payload(struct age *a, uint8_t *buf, size_t len, size_t *plain_len)
{
        size_t plain = 0;
        size_t at = 0;

        for (bool last = false; !last;) {
                size_t left = len - at;
                size_t take = left > SEALED_CHUNK ? SEALED_CHUNK : left;
                size_t n = 0;

                last = left <= SEALED_CHUNK;
                if (age_chunk(a, buf + at, take, last, &n) != AGE_OK) {
                        explicit_bzero(buf, len);
                        return AGE_BROKEN;
                }
                memmove(buf + plain, buf + at, n);
                plain += n;
                at += take;
        }
        explicit_bzero(buf + plain, len - plain);
        *plain_len = plain;
        return AGE_OK;
}

/* --- the writer ------------------------------------------------------------------------ */

void age_put_start(struct wr *w)
{
        wr_str(w, version);
        wr_char(w, '\n');
}

enum age_status age_put_stanza(struct wr *w, const uint8_t recipient[static AGE_KEY_LEN],
                               const uint8_t ephemeral[static AGE_KEY_LEN],
                               const uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        static const uint8_t nonce[12];
        uint8_t body[WRAPPED_LEN];
        uint8_t share[AGE_KEY_LEN];
        uint8_t key[32];
        bool right;

        age_recipient(ephemeral, share);
        right = wrap_key(key, ephemeral, recipient, share, recipient);
        if (right) {
                memcpy(body, file_key, AGE_FILE_KEY_LEN);
                aead_seal(key, nonce, body, AGE_FILE_KEY_LEN, body + AGE_FILE_KEY_LEN);
                wr_str(w, "-> X25519 ");
                base64_put_bare(w, share, sizeof(share));
                wr_char(w, '\n');
                base64_put_bare(w, body, sizeof(body));
                wr_char(w, '\n');
        }
        explicit_bzero(key, sizeof(key));
        return right ? AGE_OK : AGE_BAD_KEY;
}

void age_put_end(struct age *a, struct wr *w, const uint8_t file_key[static AGE_FILE_KEY_LEN],
                 const uint8_t nonce[static AGE_NONCE_LEN])
{
        uint8_t mac[32];

        wr_str(w, "---");
        header_mac(mac, (const uint8_t *)w->buf, w->len, file_key);
        wr_char(w, ' ');
        base64_put_bare(w, mac, sizeof(mac));
        wr_char(w, '\n');
        wr_bytes(w, nonce, AGE_NONCE_LEN);
        payload_key(a, file_key, nonce);
}

void age_seal(struct age *a, uint8_t *chunk, size_t len, bool last)
{
        uint8_t nonce[12];

        next_nonce(a, nonce, last);
        aead_seal(a->key, nonce, chunk, len, chunk + len);
}
