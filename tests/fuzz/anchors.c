/*
 * tests/fuzz/anchors.c - a hostile bundle of authorities.
 *
 * Invariants: what is kept has a subject and a key inside of the table's text, and the
 * table is the same however the bundle was cut.
 */
#include "netfilter/anchors.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct anchors whole, cut;

static void inside(const struct anchors *a, const uint8_t *at, size_t len)
{
        if (!at || at < a->text || len > a->text_len || at + len > a->text + a->text_len)
                abort();
}

static void read_in(struct anchors *a, const uint8_t *data, size_t size, size_t step)
{
        struct anchors_reader r;

        memset(a, 0, sizeof(*a));
        anchors_begin(&r, a);
        for (size_t at = 0; at < size; at += step)
                anchors_feed(&r, data + at, size - at < step ? size - at : step);
        anchors_end(&r);
        for (size_t i = 0; i < a->count; i++) {
                const br_x509_trust_anchor *t = &a->table[i];

                inside(a, t->dn.data, t->dn.len);
                if (t->pkey.key_type == BR_KEYTYPE_RSA) {
                        inside(a, t->pkey.key.rsa.n, t->pkey.key.rsa.nlen);
                        inside(a, t->pkey.key.rsa.e, t->pkey.key.rsa.elen);
                } else {
                        inside(a, t->pkey.key.ec.q, t->pkey.key.ec.qlen);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (size > 65536)
                return 0;
        read_in(&whole, data, size, size ? size : 1);
        read_in(&cut, data, size, size % 7 + 1);
        if (whole.count != cut.count || whole.skipped != cut.skipped ||
            whole.text_len != cut.text_len || memcmp(whole.text, cut.text, whole.text_len) != 0)
                abort();
        return 0;
}
