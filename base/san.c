/* base/san.c - see san.h. */
#include "base/san.h"

#include "base/rd.h"

#include <string.h>

enum { DER_OCTETS = 0x04, DER_OID = 0x06, DER_SEQUENCE = 0x30, DER_EXTENSIONS = 0xa3,
       NAME_ADDRESS = 0x87 };

/* The next value of @r: its tag, and its bytes in *@value; 0: none, or no DER. */
static uint8_t next_value(struct rd *r, struct rd *value)
{
        uint8_t tag = rd_u8(r), first = rd_u8(r);
        size_t len = first;
        const uint8_t *at;

        if (first == 0x81)
                len = rd_u8(r);
        else if (first == 0x82)
                len = rd_be16(r);
        else if (first > 0x7f) /* no length, or more than a certificate has */
                r->bad = true;
        at = rd_bytes(r, len);
        *value = rd_of(at, at ? len : 0);
        return r->bad ? 0 : tag;
}

static bool enter(struct rd *r, uint8_t tag)
{
        struct rd value;
        bool there = next_value(r, &value) == tag;

        *r = value;
        return there;
}

/* One Extension: is it subjectAltName, and is the address among its names? */
static bool extension_has(struct rd extension, const uint8_t *address, size_t address_len)
{
        static const uint8_t alt_name[] = { 0x55, 0x1d, 0x11 };
        struct rd value;

        if (next_value(&extension, &value) != DER_OID || rd_left(&value) != sizeof(alt_name) ||
            memcmp(value.at, alt_name, sizeof(alt_name)) != 0)
                return false;
        while (rd_left(&extension)) { /* "critical" may stand before the names */
                if (next_value(&extension, &value) != DER_OCTETS)
                        continue;
                if (!enter(&value, DER_SEQUENCE))
                        return false;
                while (rd_left(&value)) {
                        struct rd name;

                        if (next_value(&value, &name) == NAME_ADDRESS &&
                            rd_left(&name) == address_len &&
                            !memcmp(name.at, address, address_len))
                                return true;
                }
                return false;
        }
        return false;
}

bool san_has_address(const void *certificate, size_t len, const uint8_t *address,
                     size_t address_len)
{
        struct rd r = rd_of(certificate, len), extension;
        uint8_t tag;

        for (int depth = 0; depth < 2; depth++) /* Certificate, TBSCertificate */
                if (!enter(&r, DER_SEQUENCE))
                        return false;
        do
                tag = next_value(&r, &extension);
        while (tag && tag != DER_EXTENSIONS);
        if (!tag || !enter(&extension, DER_SEQUENCE))
                return false;
        r = extension;
        while (rd_left(&r)) {
                if (next_value(&r, &extension) == DER_SEQUENCE &&
                    extension_has(extension, address, address_len))
                        return true;
        }
        return false;
}
