/* secrets/base64.c - strict base64 without padding. */
#include "secrets/base64.h"

#define NOT_BASE64 64

static unsigned value_of(uint8_t c)
{
        if (c >= 'A' && c <= 'Z')
                return (unsigned)c - 'A';
        if (c >= 'a' && c <= 'z')
                return (unsigned)c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return (unsigned)c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : NOT_BASE64;
}

bool base64_decode(const uint8_t *text, size_t len, uint8_t *out, size_t *out_len)
{
        uint32_t bits = 0;
        unsigned held = 0; /* how many of them are not written yet */
        size_t n = 0;

        if (len % 4 == 1)
                return false;
        for (size_t i = 0; i < len; i++) {
                unsigned v = value_of(text[i]);

                if (v == NOT_BASE64)
                        return false;
                bits = bits << 6 | v;
                held += 6;
                if (held >= 8) {
                        held -= 8;
                        out[n++] = (uint8_t)(bits >> held);
                        bits &= (1U << held) - 1;
                }
        }
        *out_len = n;
        return !bits;
}

void base64_put(struct wr *w, const uint8_t *bytes, size_t len)
{
        static const char alphabet[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint32_t bits = 0;
        unsigned held = 0;

        for (size_t i = 0; i < len; i++) {
                bits = bits << 8 | bytes[i];
                held += 8;
                while (held >= 6) {
                        held -= 6;
                        wr_char(w, alphabet[bits >> held & 63]);
                }
                bits &= (1U << held) - 1;
        }
        if (held)
                wr_char(w, alphabet[bits << (6 - held) & 63]);
}
