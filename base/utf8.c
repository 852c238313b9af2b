/* base/utf8.c - UTF-8, by the table of RFC 3629 section 4. */
#include "base/utf8.h"

size_t utf8_len(const char *s, size_t len)
{
        const unsigned char *u = (const unsigned char *)s;
        unsigned char low = 0x80;
        unsigned char high = 0xbf;
        size_t n;

        if (!len)
                return 0;
        if (u[0] < 0x80)
                return 1;
        if (u[0] >= 0xc2 && u[0] <= 0xdf)
                n = 2;
        else if (u[0] >= 0xe0 && u[0] <= 0xef)
                n = 3;
        else if (u[0] >= 0xf0 && u[0] <= 0xf4)
                n = 4;
        else
                return 0;
        if (n > len)
                return 0;
        if (u[0] == 0xe0)
                low = 0xa0; /* else overlong */
        if (u[0] == 0xed)
                high = 0x9f; /* else a surrogate */
        if (u[0] == 0xf0)
                low = 0x90; /* else overlong */
        if (u[0] == 0xf4)
                high = 0x8f; /* else above U+10FFFF */
        if (u[1] < low || u[1] > high)
                return 0;
        for (size_t i = 2; i < n; i++) {
                if ((u[i] & 0xc0) != 0x80)
                        return 0;
        }
        return n;
}

size_t utf8_prefix(const char *s, size_t len)
{
        size_t at = 0;

        while (at < len) {
                size_t n = utf8_len(s + at, len - at);

                if (!n)
                        break;
                at += n;
        }
        return at;
}
