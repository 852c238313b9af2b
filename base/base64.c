/* base/base64.c - see base64.h. */
#include "base/base64.h"

#include <endian.h>
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <tmmintrin.h>
#endif

#define FAST OPTIMIZE("O2") __attribute__((noinline))

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define CHUNK 48 /* bytes, a multiple of 3 */

/*
 * Sixteen letters at a time, where the processor has SSSE3: the ways of Wojciech Mula and
 * Alfred Klomp. Both take what they can and leave the rest, or what is no base64, to the
 * tables. Nothing short goes here: a key is not spread over registers that nobody wipes.
 */
#define WIDE_MIN 256

#ifdef __x86_64__
#define SSSE3 __attribute__((target("ssse3"), noinline)) OPTIMIZE("O2")

static bool has_ssse3(void)
{
        static int known; /* 1: no, 2: yes */
        unsigned a, b, c = 0, d;

        if (!known) {
                __get_cpuid(1, &a, &b, &c, &d);
                known = c & bit_SSSE3 ? 2 : 1;
        }
        return known == 2;
}

/* Twelve bytes to sixteen letters. Returns the bytes taken: a multiple of twelve. */
SSSE3 static size_t encode_wide(char *out, const uint8_t *in, size_t len)
{
        const __m128i spread = _mm_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
        /* What is to be added to the six bits: for a-z, ten digits, + and /, then A-Z. */
        const __m128i to_letter = _mm_setr_epi8(71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19,
                                                -16, 65, 0, 0);
        size_t i = 0;

        for (; i + 16 <= len; i += 12, out += 16) {
                __m128i v = _mm_shuffle_epi8(_mm_loadu_si128((const void *)(in + i)), spread);
                __m128i high = _mm_mulhi_epu16(_mm_and_si128(v, _mm_set1_epi32(0x0fc0fc00)),
                                               _mm_set1_epi32(0x04000040));
                __m128i low = _mm_mullo_epi16(_mm_and_si128(v, _mm_set1_epi32(0x003f03f0)),
                                              _mm_set1_epi32(0x01000010));
                __m128i six = _mm_or_si128(high, low);
                __m128i kind = _mm_subs_epu8(six, _mm_set1_epi8(51));

                kind = _mm_or_si128(kind, _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8(26), six),
                                                        _mm_set1_epi8(13)));
                _mm_storeu_si128((void *)out,
                                 _mm_add_epi8(six, _mm_shuffle_epi8(to_letter, kind)));
        }
        return i;
}

/*
 * Sixteen letters to twelve bytes; four more are written behind them, for which there is
 * room as long as eight letters follow. Returns the letters taken: a multiple of sixteen.
 */
SSSE3 static size_t decode_wide(const uint8_t *text, size_t len, uint8_t *out)
{
        /* A bit for each reason why a letter with these upper or lower four bits is none. */
        const __m128i lower = _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                            0x11, 0x13, 0x1a, 0x1b, 0x1b, 0x1b, 0x1a);
        const __m128i upper = _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10,
                                            0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
        /* What is to be added to a letter, by its upper four bits; / has the place before. */
        const __m128i to_six = _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0,
                                             0);
        const __m128i join = _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
        const __m128i slash = _mm_set1_epi8('/'); /* its bits serve as a mask, too */
        size_t i = 0;

        for (; i + 24 <= len; i += 16, out += 12) {
                __m128i v = _mm_loadu_si128((const void *)(text + i));
                __m128i high = _mm_and_si128(_mm_srli_epi32(v, 4), slash);
                __m128i wrong = _mm_and_si128(_mm_shuffle_epi8(lower, _mm_and_si128(v, slash)),
                                              _mm_shuffle_epi8(upper, high));

                if (_mm_movemask_epi8(_mm_cmpgt_epi8(wrong, _mm_setzero_si128())))
                        break;
                high = _mm_add_epi8(_mm_cmpeq_epi8(v, slash), high);
                v = _mm_add_epi8(v, _mm_shuffle_epi8(to_six, high));
                v = _mm_maddubs_epi16(v, _mm_set1_epi32(0x01400140));
                v = _mm_madd_epi16(v, _mm_set1_epi32(0x00011000));
                _mm_storeu_si128((void *)out, _mm_shuffle_epi8(v, join));
        }
        return i;
}
#else
static bool has_ssse3(void)
{
        return false;
}

static size_t encode_wide(char *out, const uint8_t *in, size_t len)
{
        (void)out, (void)in, (void)len;
        return 0;
}

static size_t decode_wide(const uint8_t *text, size_t len, uint8_t *out)
{
        (void)text, (void)len, (void)out;
        return 0;
}
#endif

/* What a command prints passes here by the hundred MiB: speed over size. */
FAST size_t base64_encode(char *out, const void *bytes, size_t len)
{
        static char pairs[4096][2]; /* twelve bits to two letters */
        const uint8_t *in = bytes;
        char *start = out;

        if (len >= WIDE_MIN && has_ssse3()) {
                size_t n = encode_wide(out, in, len);

                in += n;
                len -= n;
                out += n / 3 * 4;
        }
        if (!pairs[0][0])
                for (unsigned i = 0; i < 4096; i++) {
                        pairs[i][0] = alphabet[i >> 6];
                        pairs[i][1] = alphabet[i & 63];
                }
        for (; len >= 3; len -= 3, in += 3, out += 4) {
                uint32_t n = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

                memcpy(out, pairs[n >> 12], 2);
                memcpy(out + 2, pairs[n & 4095], 2);
        }
        if (len) {
                uint32_t n = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);

                out[0] = alphabet[n >> 18];
                out[1] = alphabet[n >> 12 & 63];
                out[2] = '=';
                if (len > 1)
                        out[2] = alphabet[n >> 6 & 63];
                out[3] = '=';
                out += 4;
        }
        return (size_t)(out - start);
}

void base64_put_bare(struct wr *w, const void *bytes, size_t len)
{
        const uint8_t *b = bytes;
        char text[BASE64_PADDED(CHUNK)];

        for (size_t n; len; b += n, len -= n) {
                n = len < CHUNK ? len : CHUNK;
                base64_encode(text, b, n);
                wr_bytes(w, text, BASE64_LEN(n));
        }
        explicit_bzero(text, sizeof(text));
}

void base64_put(struct wr *w, const void *bytes, size_t len)
{
        base64_put_bare(w, bytes, len);
        wr_bytes(w, "==", (3 - len % 3) % 3);
}

static uint8_t values[256]; /* NO_LETTER, or the letter's six bits */
#define NO_LETTER 64

static void fill_values(void)
{
        memset(values, NO_LETTER, sizeof(values));
        for (unsigned i = 0; i < 64; i++)
                values[(uint8_t)alphabet[i]] = (uint8_t)i;
}

static int value_of(char c)
{
        if (!values[0])
                fill_values();
        return values[(uint8_t)c] == NO_LETTER ? -1 : values[(uint8_t)c];
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

/* Whole groups of four letters, as far as they go. Returns the number of letters. */
FAST static size_t take_groups(const uint8_t *text, size_t len, uint8_t *out)
{
        static uint32_t placed[4][256]; /* a letter's bits where they belong in three bytes */
        const uint32_t wrong = UINT32_C(1) << 24;
        size_t i = 0;

        if (!placed[0]['B'])
                for (unsigned c = 0; c < 256; c++)
                        for (unsigned at = 0; at < 4; at++) {
                                int value = value_of((char)c);

                                placed[at][c] = value < 0 ? wrong
                                                          : (uint32_t)value << (18 - 6 * at);
                        }
        if (len >= WIDE_MIN && has_ssse3()) {
                i = decode_wide(text, len, out);
                out += i / 4 * 3;
        }
        for (; i + 8 <= len; i += 4, out += 3) { /* @out has room for the next group, too */
                uint32_t n = placed[0][text[i]] | placed[1][text[i + 1]] |
                             placed[2][text[i + 2]] | placed[3][text[i + 3]];

                if (n & wrong)
                        break;
                n = htobe32(n << 8);
                memcpy(out, &n, 4);
        }
        for (; i + 4 <= len; i += 4, out += 3) {
                uint32_t n = placed[0][text[i]] | placed[1][text[i + 1]] |
                             placed[2][text[i + 2]] | placed[3][text[i + 3]];

                if (n & wrong)
                        break;
                out[0] = (uint8_t)(n >> 16);
                out[1] = (uint8_t)(n >> 8);
                out[2] = (uint8_t)n;
        }
        return i;
}

/* The bytes of a last group of two or three letters; 0 when they are none. */
static size_t take_last(const char *text, size_t letters, uint8_t *out)
{
        int a = value_of(text[0]), b = value_of(text[1]);
        int c = letters == 3 ? value_of(text[2]) : 0;

        if (a < 0 || b < 0 || c < 0 || (letters == 2 ? b & 15 : c & 3))
                return 0;
        out[0] = (uint8_t)(a << 2 | b >> 4);
        if (letters == 3)
                out[1] = (uint8_t)(b << 4 | c >> 2);
        return letters - 1;
}

bool base64_decode(const void *text, size_t len, uint8_t *out, size_t *out_len)
{
        size_t i = take_groups(text, len, out), n = i / 4 * 3, last = 0;

        if (len - i == 2 || len - i == 3)
                last = take_last((const char *)text + i, len - i, out + n);
        *out_len = n + last;
        return i == len || last;
}

bool base64_decode_padded(const char *text, size_t len, void *out, size_t *out_len, size_t *wrong)
{
        size_t i = take_groups((const uint8_t *)text, len, out), n = i / 4 * 3, last = 0;
        uint8_t tail[2] = { 0 };

        if (i + 4 == len && text[i + 3] == '=')
                last = take_last(text + i, text[i + 2] == '=' ? 2 : 3, tail);
        for (*wrong = i; *wrong < len && value_of(text[*wrong]) >= 0; ++*wrong)
                ;
        memcpy((uint8_t *)out + n, tail, last);
        *out_len = n + last;
        return i == len || last;
}
