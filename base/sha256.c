/* base/sha256.c - FIPS 180-4, section 6.2. */
#include "base/sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned n)
{
        return x >> n | x << (32 - n);
}

/* The standard's a to h in round i: not they move from round to round, but what is called so. */
#define V(n) v[((n) - i) % 8]

static void blocks_portable(uint32_t h[static 8], const uint8_t *p, size_t count)
{
        for (; count; count--, p += 64) {
                uint32_t w[64], v[8];

                for (size_t i = 0; i < 16; i++)
                        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
                               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
                for (unsigned i = 16; i < 64; i++) {
                        uint32_t a = w[i - 15], b = w[i - 2];

                        w[i] = w[i - 16] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + w[i - 7] +
                               (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
                }
                memcpy(v, h, sizeof(v));
                for (unsigned i = 0; i < 64; i++) {
                        uint32_t e = V(4), a = V(0);
                        uint32_t t1 = V(7) + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +
                                      ((e & V(5)) ^ (~e & V(6))) + k[i] + w[i];
                        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) +
                                      ((a & V(1)) ^ (a & V(2)) ^ (V(1) & V(2)));

                        V(3) += t1;
                        V(7) = t1 + t2;
                }
                for (unsigned i = 0; i < 8; i++)
                        h[i] += v[i];
        }
}

#undef V

#if defined(__x86_64__)
/* The instructions keep the state as ABEF and CDGH, and do two rounds at a time. */
__attribute__((target("sha,sse4.1,ssse3")))
static void blocks_ni(uint32_t h[static 8], const uint8_t *p, size_t count)
{
        const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
        __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)h);
        __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));
        __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
        __m128i s0 = _mm_alignr_epi8(cdab, efgh, 8), s1 = _mm_blend_epi16(efgh, cdab, 0xf0);

        for (; count; count--, p += 64) {
                const __m128i was0 = s0, was1 = s1;
                __m128i m[4];

#pragma GCC unroll 16
                for (size_t i = 0; i < 16; i++) {
                        __m128i msg;

                        if (i < 4)
                                m[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)
                                        (const void *)(p + 16 * i)), swap);
                        else
                                m[i & 3] = _mm_sha256msg2_epu32(
                                        _mm_add_epi32(_mm_sha256msg1_epu32(m[i & 3],
                                                                           m[(i + 1) & 3]),
                                                      _mm_alignr_epi8(m[(i + 3) & 3],
                                                                      m[(i + 2) & 3], 4)),
                                        m[(i + 3) & 3]);
                        msg = _mm_add_epi32(m[i & 3], _mm_loadu_si128(
                                        (const __m128i *)(const void *)(k + 4 * i)));
                        s1 = _mm_sha256rnds2_epu32(s1, s0, msg);
                        s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(msg, 0x0e));
                }
                s0 = _mm_add_epi32(s0, was0);
                s1 = _mm_add_epi32(s1, was1);
        }
        cdab = _mm_shuffle_epi32(s0, 0x1b); /* FEBA */
        efgh = _mm_shuffle_epi32(s1, 0xb1); /* DCHG */
        _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(cdab, efgh, 0xf0));
        _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(efgh, cdab, 8));
}

static bool has_rounds(void)
{
        unsigned a, b, c, d;

        return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3) &&
               __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#else
#define blocks_ni blocks_portable
static bool has_rounds(void)
{
        return false;
}
#endif

static enum { UNKNOWN, PORTABLE, ROUNDS } how;

void sha256_portable(bool only)
{
        how = only ? PORTABLE : UNKNOWN;
}

static void blocks(uint32_t h[static 8], const uint8_t *p, size_t count)
{
        if (how == UNKNOWN)
                how = has_rounds() ? ROUNDS : PORTABLE;
        if (how == ROUNDS)
                blocks_ni(h, p, count);
        else
                blocks_portable(h, p, count);
}

void sha256_init(struct sha256 *s)
{
        static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

        memcpy(s->h, start, sizeof(start));
        s->len = 0;
}

void sha256_add(struct sha256 *s, const void *bytes, size_t len)
{
        const uint8_t *p = bytes;
        size_t held = s->len % 64;

        s->len += len;
        if (held) {
                size_t take = len < 64 - held ? len : 64 - held;

                memcpy(s->block + held, p, take);
                p += take;
                len -= take;
                if (held + take < 64)
                        return;
                blocks(s->h, s->block, 1);
        }
        blocks(s->h, p, len / 64);
        if (len % 64)
                memcpy(s->block, p + len / 64 * 64, len % 64);
}

void sha256_end(struct sha256 *s, uint8_t out[static SHA256_LEN])
{
        uint64_t bits = s->len * 8;
        size_t held = s->len % 64;

        s->block[held++] = 0x80;
        if (held > 56) {
                memset(s->block + held, 0, 64 - held);
                blocks(s->h, s->block, 1);
                held = 0;
        }
        memset(s->block + held, 0, 56 - held);
        for (unsigned i = 0; i < 8; i++)
                s->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
        blocks(s->h, s->block, 1);
        for (unsigned i = 0; i < SHA256_LEN; i++)
                out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_end_hex(struct sha256 *s, char out[static SHA256_HEX])
{
        uint8_t digest[SHA256_LEN];

        sha256_end(s, digest);
        for (size_t i = 0; i < SHA256_LEN; i++) {
                out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
                out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
        }
        out[SHA256_HEX - 1] = '\0';
}
