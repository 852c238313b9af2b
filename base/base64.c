/* base/base64.c - see base64.h. */
#include "base/base64.h"

static char digit(unsigned n)
{
        static const char digits[] =
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

        return digits[n & 63];
}

void base64_put(struct wr *w, const void *bytes, size_t len)
{
        const uint8_t *b = bytes;

        for (size_t i = 0; i < len; i += 3) {
                unsigned n = (unsigned)b[i] << 16;
                char text[4];

                if (i + 1 < len)
                        n |= (unsigned)b[i + 1] << 8;
                if (i + 2 < len)
                        n |= b[i + 2];
                text[0] = digit(n >> 18);
                text[1] = digit(n >> 12);
                text[2] = '=';
                if (i + 1 < len)
                        text[2] = digit(n >> 6);
                text[3] = '=';
                if (i + 2 < len)
                        text[3] = digit(n);
                wr_bytes(w, text, sizeof(text));
        }
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
