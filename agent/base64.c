/* agent/base64.c - three bytes to four letters and back. */
#include "agent/base64.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Output passes here by the hundred MiB: the one place that asks for speed over size. */
__attribute__((optimize("O3"))) size_t exec_base64_put(char *out, const void *bytes, size_t len)
{
        static char pairs[4096][2]; /* twelve bits to two letters */
        const uint8_t *in = bytes;
        char *start = out;

        if (!pairs[0][0])
                for (unsigned i = 0; i < 4096; i++) {
                        pairs[i][0] = letters[i >> 6];
                        pairs[i][1] = letters[i & 63];
                }
        for (; len >= 3; len -= 3, in += 3, out += 4) {
                uint32_t n = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

                __builtin_memcpy(out, pairs[n >> 12], 2);
                __builtin_memcpy(out + 2, pairs[n & 4095], 2);
        }
        if (len) {
                uint32_t n = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);

                out[0] = letters[n >> 18];
                out[1] = letters[n >> 12 & 63];
                out[2] = len > 1 ? letters[n >> 6 & 63] : '=';
                out[3] = '=';
                out += 4;
        }
        return (size_t)(out - start);
}

/* The letter's six bits, or 64. */
static unsigned bits_of(char c)
{
        if (c >= 'A' && c <= 'Z')
                return (unsigned)(c - 'A');
        if (c >= 'a' && c <= 'z')
                return (unsigned)(c - 'a') + 26;
        if (c >= '0' && c <= '9')
                return (unsigned)(c - '0') + 52;
        return c == '+' ? 62 : c == '/' ? 63 : 64;
}

/* What four letters with one or two '=' at their end hold; 0: they are wrong. */
static size_t parse_tail(uint8_t out[2], const char *text)
{
        unsigned a = bits_of(text[0]), b = bits_of(text[1]), c = bits_of(text[2]);

        if (a > 63 || b > 63 || text[3] != '=')
                return 0;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (text[2] == '=')
                return b & 15 ? 0 : 1;
        if (c > 63 || c & 3)
                return 0;
        out[1] = (uint8_t)(b << 4 | c >> 2);
        return 2;
}

__attribute__((optimize("O3"))) bool exec_base64_parse(void *out, size_t *out_len, const char *text,
                                                  size_t len, size_t *at)
{
        static uint8_t table[256];
        uint8_t *to = out, tail[2];
        size_t i = 0, n;

        if (!table[0])
                for (unsigned c = 0; c < 256; c++)
                        table[c] = (uint8_t)bits_of((char)c);
        for (; i + 4 <= len; i += 4) {
                const uint8_t *in = (const uint8_t *)text + i;
                unsigned a = table[in[0]], b = table[in[1]], c = table[in[2]], d = table[in[3]];

                if ((a | b | c | d) & 64)
                        break;
                *to++ = (uint8_t)(a << 2 | b >> 4);
                *to++ = (uint8_t)(b << 4 | c >> 2);
                *to++ = (uint8_t)(c << 6 | d);
        }
        if (i + 4 == len && (n = parse_tail(tail, text + i)) > 0) {
                for (size_t k = 0; k < n; k++)
                        *to++ = tail[k];
                i = len;
        }
        *out_len = (size_t)(to - (uint8_t *)out);
        *at = i;
        while (*at < len && bits_of(text[*at]) < 64)
                (*at)++;
        return i == len;
}
