/* secrets/sealed.c - from a sealed file and a key to the plaintext. */
#include "secrets/sealed.h"

#include <string.h>

/* The file key, by the first identity that a stanza opens with. */
static enum age_status find_file_key(struct sealed *s, const struct age_header *h,
                                     uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        struct rd text = rd_of(s->key, s->key_len);
        enum age_status status = AGE_NOT_FOR_US;
        uint8_t identity[AGE_KEY_LEN];
        unsigned keys = 0;

        /* To the end even when one opened: a broken key file is a broken key file. */
        for (;; keys++) {
                s->key_status = identity_next(&text, &s->key_line, identity);
                if (s->key_status != IDENTITY_OK)
                        break;
                if (status == AGE_NOT_FOR_US)
                        status = age_unwrap(h, identity, file_key);
        }
        explicit_bzero(identity, sizeof(identity));
        if (s->key_status != IDENTITY_END || !keys)
                s->status = SEALED_KEY;
        else
                s->status = SEALED_FILE;
        return status;
}

static void open_payload(struct sealed *s, const struct age_header *h,
                         const uint8_t file_key[static AGE_FILE_KEY_LEN])
{
        size_t start = h->len + AGE_NONCE_LEN;
        struct age a;

        s->age = age_begin(&a, h, file_key);
        if (s->age == AGE_OK)
                s->age = age_payload(&a, s->buf + start, s->len - start, &s->plain_len);
        age_wipe(&a);
        s->plain = s->buf + start;
        s->status = s->age == AGE_OK ? SEALED_OK : SEALED_FILE;
}

void sealed_open(void *sealed)
{
        struct sealed *s = sealed;
        uint8_t file_key[AGE_FILE_KEY_LEN] = { 0 };
        struct age_header h;

        s->status = SEALED_FILE;
        if (armor_is(s->buf, s->len)) {
                s->armor = armor_parse(s->buf, s->len, s->buf, &s->len);
                if (s->armor != ARMOR_OK) {
                        s->status = SEALED_ARMOR;
                        return;
                }
        }
        s->age = age_parse(&h, s->buf, s->len);
        if (s->age != AGE_OK)
                return;
        s->kinds = h.kinds;
        if (!file_key_parse(s->key, s->key_len, file_key)) {
                if (s->file_key_only) {
                        s->key_status = IDENTITY_MALFORMED;
                        s->status = SEALED_KEY;
                } else {
                        s->age = find_file_key(s, &h, file_key);
                }
                if (s->status == SEALED_KEY || s->age != AGE_OK) {
                        explicit_bzero(file_key, sizeof(file_key));
                        return;
                }
        }
        open_payload(s, &h, file_key);
        explicit_bzero(file_key, sizeof(file_key));
}

/* The file is right and the key is right; they do not belong together. */
static void explain_recipients(unsigned kinds, struct wr *w)
{
        wr_str(w, "not sealed for this key");
        if (kinds & AGE_SCRYPT)
                wr_str(w, "; it is sealed with a passphrase (scrypt), which is not supported: "
                          "open it with `age -d` and seal it again with `-r age1…`");
        if (kinds & AGE_SSH)
                wr_str(w, "; it is sealed for an ssh key, which is not supported: seal it for an "
                          "age1 recipient as well");
        if (kinds & AGE_POST_QUANTUM)
                wr_str(w, "; it is sealed for a post-quantum key, which is not supported: seal it "
                          "for an X25519 recipient (`airlock secret keygen`)");
        if (kinds & AGE_HARDWARE)
                wr_str(w, "; it is sealed for a hardware key, which is not supported: seal it for "
                          "an age1 recipient as well");
}

void sealed_explain(const struct sealed *s, struct wr *w)
{
        switch (s->status) {
        case SEALED_OK:
                break;
        case SEALED_ARMOR:
                wr_fmt(w, "damaged armor: %s", armor_status_str(s->armor));
                break;
        case SEALED_KEY:
                if (s->file_key_only)
                        wr_str(w, "not a file key: 16 bytes, or 32 hexadecimal digits");
                else if (s->key_status == IDENTITY_END)
                        wr_str(w, "the key is empty: no line AGE-SECRET-KEY-1…");
                else
                        wr_fmt(w, "line %u of the key: %s", s->key_line,
                               identity_status_str(s->key_status));
                break;
        case SEALED_FILE:
                if (s->age == AGE_NOT_FOR_US)
                        explain_recipients(s->kinds, w);
                else
                        wr_str(w, age_status_str(s->age));
                break;
        }
}
