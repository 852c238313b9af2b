/*
 * tests/fuzz/age_header.c - the header of a hostile age file.
 *
 * Invariants: a header that is taken holds printable ASCII and LF only, ends in a MAC whose
 * base64 is the only one for its bytes, and needs every byte up to the nonce's end and none
 * behind it. Looking for our stanza never finds it malformed then, nor opens one; and the
 * file key alone decides about the MAC. A header that is refused leaves the result alone.
 */
#include "base/base64.h"
#include "secrets/age.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct age_header *h)
{
        char mac[64];
        struct wr w = wr_of(mac, sizeof(mac));

        for (size_t i = 0; i < h->len; i++)
                if (h->start[i] != '\n' && (h->start[i] < 0x20 || h->start[i] > 0x7e))
                        abort();
        wr_char(&w, ' ');
        base64_put_bare(&w, h->mac, sizeof(h->mac));
        wr_char(&w, '\n');
        if (h->mac_text + w.len != h->len || memcmp(h->start + h->mac_text, mac, w.len) != 0 ||
            memcmp(h->start + h->mac_text - 4, "\n---", 4) != 0)
                abort();
        if (h->kinds & AGE_SCRYPT && h->kinds & ~(unsigned)AGE_SCRYPT)
                abort();
}

static void check_keys(const struct age_header *h)
{
        static const uint8_t identity[AGE_KEY_LEN] = { 1, 2, 3 };
        static const uint8_t wrong[AGE_FILE_KEY_LEN] = { 4 };
        uint8_t key[AGE_FILE_KEY_LEN];
        struct age a;

        switch (age_unwrap(h, identity, key)) {
        case AGE_NOT_FOR_US:
        case AGE_BAD_KEY:
                break;
        case AGE_OK: /* nobody knows that identity */
        case AGE_FOREIGN:
        case AGE_VERSION:
        case AGE_MALFORMED:
        case AGE_FORGED:
        case AGE_BROKEN:
                abort();
        }
        if (age_begin(&a, h, wrong) != AGE_FORGED || !a.ended)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct age_header untouched, h, again;

        memset(&untouched, 0x55, sizeof(untouched));
        memcpy(&h, &untouched, sizeof(h));
        if (age_parse(&h, data, size) != AGE_OK) {
                if (memcmp(&h, &untouched, sizeof(h)) != 0)
                        abort();
                return 0;
        }
        if (h.len + AGE_NONCE_LEN > size)
                abort();
        check_text(&h);
        check_keys(&h);
        if (age_parse(&again, data, h.len + AGE_NONCE_LEN) != AGE_OK || again.len != h.len ||
            age_parse(&again, data, h.len + AGE_NONCE_LEN - 1) == AGE_OK)
                abort();
        return 0;
}
