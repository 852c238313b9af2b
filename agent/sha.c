/* agent/sha.c - FIPS 180-4 and RFC 2104, as short as they go. */
#include "agent/sha.h"

#include <string.h>

static uint32_t left(uint32_t x, unsigned n)
{
        return x << n | x >> (32 - n);
}

static uint32_t right(uint32_t x, unsigned n)
{
        return x >> n | x << (32 - n);
}

static uint32_t word(const uint8_t *b)
{
        return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void block_1(uint32_t h[8], const uint8_t *in)
{
        uint32_t w[80] = { 0 }, a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

        for (unsigned i = 0; i < 80; i++) {
                uint32_t f, k, t;

                w[i] = i < 16 ? word(in + 4 * i)
                              : left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
                if (i < 20) {
                        f = (b & c) | (~b & d);
                        k = 0x5a827999;
                } else if (i < 40) {
                        f = b ^ c ^ d;
                        k = 0x6ed9eba1;
                } else if (i < 60) {
                        f = (b & c) | (b & d) | (c & d);
                        k = 0x8f1bbcdc;
                } else {
                        f = b ^ c ^ d;
                        k = 0xca62c1d6;
                }
                t = left(a, 5) + f + e + k + w[i];
                e = d;
                d = c;
                c = left(b, 30);
                b = a;
                a = t;
        }
        h[0] += a;
        h[1] += b;
        h[2] += c;
        h[3] += d;
        h[4] += e;
}

static const uint32_t k256[64] = {
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

static void block_256(uint32_t h[8], const uint8_t *in)
{
        uint32_t w[64], v[8];

        memcpy(v, h, sizeof(v));
        for (unsigned i = 0; i < 64; i++) {
                uint32_t t1, t2;

                if (i < 16) {
                        w[i] = word(in + 4 * i);
                } else {
                        uint32_t x = w[i - 15], y = w[i - 2];

                        w[i] = w[i - 16] + w[i - 7] + (right(x, 7) ^ right(x, 18) ^ x >> 3) +
                               (right(y, 17) ^ right(y, 19) ^ y >> 10);
                }
                t1 = v[7] + (right(v[4], 6) ^ right(v[4], 11) ^ right(v[4], 25)) +
                     ((v[4] & v[5]) ^ (~v[4] & v[6])) + k256[i] + w[i];
                t2 = (right(v[0], 2) ^ right(v[0], 13) ^ right(v[0], 22)) +
                     ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
                memmove(v + 1, v, 7 * sizeof(v[0]));
                v[0] = t1 + t2;
                v[4] += t1;
        }
        for (unsigned i = 0; i < 8; i++)
                h[i] += v[i];
}

struct hash {
        uint32_t h[8];
        uint8_t rest[64];
        uint64_t len;
        void (*block)(uint32_t h[8], const uint8_t *in);
};

static void hash_add(struct hash *s, const void *bytes, size_t len)
{
        const uint8_t *in = bytes;

        for (; len; len--) {
                s->rest[s->len++ % 64] = *in++;
                if (s->len % 64 == 0)
                        s->block(s->h, s->rest);
        }
}

static void hash_end(struct hash *s, uint8_t *out, size_t out_len)
{
        uint64_t bits = s->len * 8;
        uint8_t tail[8];

        for (unsigned i = 0; i < 8; i++)
                tail[i] = (uint8_t)(bits >> (56 - 8 * i));
        hash_add(s, "\x80", 1);
        while (s->len % 64 != 56)
                hash_add(s, "", 1);
        hash_add(s, tail, 8);
        for (size_t i = 0; i < out_len; i++)
                out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
        explicit_bzero(s, sizeof(*s));
}

static struct hash start_256(void)
{
        return (struct hash){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                     0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
                              .block = block_256 };
}

void sha1(uint8_t out[SHA1_LEN], const void *bytes, size_t len)
{
        struct hash s = { .h = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 },
                          .block = block_1 };

        hash_add(&s, bytes, len);
        hash_end(&s, out, SHA1_LEN);
}

void sha256(uint8_t out[SHA256_LEN], const void *bytes, size_t len)
{
        struct hash s = start_256();

        hash_add(&s, bytes, len);
        hash_end(&s, out, SHA256_LEN);
}

void hmac_sha256(uint8_t out[SHA256_LEN], const void *key, size_t key_len, const void *bytes,
                 size_t len)
{
        uint8_t block[64] = { 0 }, inner[SHA256_LEN];
        struct hash s = start_256();

        if (key_len > sizeof(block))
                sha256(block, key, key_len);
        else if (key_len)
                memcpy(block, key, key_len);
        for (size_t i = 0; i < sizeof(block); i++)
                block[i] ^= 0x36;
        hash_add(&s, block, sizeof(block));
        hash_add(&s, bytes, len);
        hash_end(&s, inner, sizeof(inner));
        s = start_256();
        for (size_t i = 0; i < sizeof(block); i++)
                block[i] ^= 0x36 ^ 0x5c;
        hash_add(&s, block, sizeof(block));
        hash_add(&s, inner, sizeof(inner));
        hash_end(&s, out, SHA256_LEN);
        explicit_bzero(block, sizeof(block));
}

bool same_secret(const void *a, const void *b, size_t len)
{
        const volatile uint8_t *x = a, *y = b;
        unsigned differ = 0;

        for (size_t i = 0; i < len; i++)
                differ |= (unsigned)(x[i] ^ y[i]);
        return differ == 0;
}
