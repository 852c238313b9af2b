/*
 * tests/fuzz/name.c - a name or an address that was accepted is its own normal form, and
 * nothing is both. An address that is public hides no IPv4 address that is not; a range
 * holds its own base, and opens nothing that it does not hold.
 */
#include "netfilter/address.h"
#include "netfilter/name.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_name(const char *s, size_t len)
{
        struct name n, again;

        if (name_parse(&n, s, len))
                return;
        if (!n.len || n.len > NAME_LEN || n.text[n.len] || strlen(n.text) != n.len)
                abort();
        if (strspn(n.text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != n.len)
                abort();
        if (name_parse(&again, n.text, n.len) || !name_equal(&n, &again) ||
            !name_within(&n, &again))
                abort();
}

static void check_address(const struct address *a)
{
        char buf[ADDRESS_TEXT];
        struct wr w = wr_of(buf, sizeof(buf));
        struct address again, inside;

        address_put(&w, a);
        if (w.full || address_parse(&again, buf, w.len) || !address_equal(a, &again))
                abort();
        if (address_special(a) == ADDRESS_PUBLIC && address_embedded(a, &inside) &&
            address_special(&inside) != ADDRESS_PUBLIC)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *s = (const char *)data;
        struct address a;
        struct cidr c;
        struct host h, again;
        char buf[NAME_LEN + 1];
        struct wr w = wr_of(buf, sizeof(buf));

        check_name(s, len);
        if (!address_parse(&a, s, len)) {
                struct name n;

                check_address(&a);
                if (!name_parse(&n, s, len))
                        abort();
        }
        if (len >= 16) {
                a = address_of_v6(data);
                check_address(&a);
        }
        if (!cidr_parse(&c, s, len)) {
                if (!cidr_holds(&c, &c.base))
                        abort();
                if (len >= 16 && cidr_opens(&c, &a) && !cidr_holds(&c, &a))
                        abort();
        }
        if (!host_parse(&h, s, len)) {
                host_put(&w, &h);
                if (w.full || host_parse(&again, buf, w.len) || h.literal != again.literal)
                        abort();
        }
        return 0;
}
