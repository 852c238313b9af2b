/* base/base64.c - see base64.h. */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put_bare(struct wr *w, const void *bytes, size_t len)
{
        const uint8_t *b = bytes;
        uint32_t bits = 0;
        unsigned held = 0; /* how many of them are not written yet */

        for (size_t i = 0; i < len; i++) {
                bits = bits << 8 | b[i];
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

void base64_put(struct wr *w, const void *bytes, size_t len)
{
        base64_put_bare(w, bytes, len);
        wr_bytes(w, "==", (3 - len % 3) % 3);
}

static int value_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return c - 'A';
        if (c >= 'a' && c <= 'z')
                return c - 'a' + 26;
        if (c >= '0' && c <= '9')
                return c - '0' + 52;
        return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t base64_take(struct base64 *b, char c, uint8_t out[static 3])
{
        int value = value_of(c);
        size_t bytes;

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || b->bad)
                return 0;
        if (c == '=' && b->count >= 2) {
                b->padded++;
                value = 0;
        } else if (value < 0 || b->padded) {
                b->bad = true; /* no digit, or one behind the padding */
                return 0;
        }
        b->bits = b->bits << 6 | (unsigned)value;
        if (++b->count < 4)
                return 0;
        bytes = 3 - b->padded;
        for (size_t i = 0; i < 3; i++)
                out[i] = (uint8_t)(b->bits >> (16 - 8 * i));
        b->bits = 0;
        b->count = 0;
        return bytes; /* padded stays: nothing may follow */
}

bool base64_whole(const struct base64 *b)
{
        return !b->bad && !b->count;
}

bool base64_decode(const void *text, size_t len, uint8_t *out, size_t *out_len)
{
        const char *t = text;
        uint32_t bits = 0;
        unsigned held = 0;
        size_t n = 0;

        if (len % 4 == 1)
                return false;
        for (size_t i = 0; i < len; i++) {
                int value = value_of(t[i]);

                if (value < 0)
                        return false;
                bits = bits << 6 | (unsigned)value;
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
