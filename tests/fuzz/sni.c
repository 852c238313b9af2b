/*
 * tests/fuzz/sni.c - a hello that was accepted is MORE in every shorter piece and the same
 * in every longer one; what is refused stays refused with more bytes behind it.
 */
#include "netfilter/sni.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct sni s, again;
        enum sni_status whole = sni_parse(&s, data, len);
        uint8_t *longer = malloc(len + 16);

        if (!longer)
                abort();
        if (len)
                memcpy(longer, data, len);
        memset(longer + len, 0x16, 16);
        if (whole != SNI_MORE && sni_parse(&again, longer, len + 16) != whole)
                abort();
        free(longer);
        if (whole == SNI_MORE && len >= SNI_HELLO_MAX)
                abort();
        if (whole)
                return 0;
        if (s.hello_len > len || s.hello_len > SNI_HELLO_MAX || s.name[s.name_len])
                abort();
        if (sni_parse(&again, data, s.hello_len) || again.name_len != s.name_len ||
            memcmp(s.name, again.name, s.name_len) != 0)
                abort();
        for (size_t n = 0; n < s.hello_len; n += n < 64 ? 1 : 37) {
                if (sni_parse(&again, data, n) != SNI_MORE)
                        abort();
        }
        return 0;
}
