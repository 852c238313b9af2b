/*
 * base/same.h - compares what an attacker may guess at: digests, tags, tokens.
 */
#ifndef BASE_SAME_H
#define BASE_SAME_H

#include "base/base.h"

/* Are they equal? Takes a time that does not tell where they differ. */
static inline bool same_secret(const void *a, const void *b, size_t len)
{
        const volatile uint8_t *x = a, *y = b;
        unsigned differ = 0;

        for (size_t i = 0; i < len; i++)
                differ |= (unsigned)(x[i] ^ y[i]);
        return differ == 0;
}

#endif
