/*
 * tests/fuzz/san.c - a certificate that is said to name an address has its bytes, tagged as
 * one; and it has to be there as a whole.
 */
#include "base/san.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const uint8_t address[] = { 127, 0, 0, 1 }, tagged[] = { 0x87, 4, 127, 0, 0, 1 };

        if (!san_has_address(data, len, address, sizeof(address)))
                return 0;
        if (!memmem(data, len, tagged, sizeof(tagged)))
                abort();
        for (size_t n = 0; n < 16; n++)
                if (san_has_address(data, n, address, sizeof(address)))
                        abort();
        return 0;
}
