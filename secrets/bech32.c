/* secrets/bech32.c - Bech32 of 32 bytes. */
#include "secrets/bech32.h"

#include <string.h>

#define SUM_LEN 6                              /* characters of the checksum */
#define DATA_LEN ((BECH32_BYTES * 8 + 4) / 5)  /* of the bytes: 52, with 4 bits of padding */

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

const char *bech32_status_str(enum bech32_status s)
{
        switch (s) {
        case BECH32_OK:
                return "right";
        case BECH32_PREFIX:
                return "does not start as such a key does";
        case BECH32_CASE:
                return "mixes upper and lower case";
        case BECH32_CHARACTER:
                return "holds a character that no such key has";
        case BECH32_LENGTH:
                return "is not of the right length";
        case BECH32_CHECKSUM:
                return "has a wrong checksum: mistyped or cut";
        case BECH32_PADDING:
                return "ends in bits that are not zero";
        }
        return "?";
}

static bool is_upper(char c)
{
        return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
        return c >= 'a' && c <= 'z';
}

static char lower(char c)
{
        if (is_upper(c))
                c |= 0x20;
        return c;
}

/* The BCH code over GF(32): one more symbol. */
static uint32_t sum_add(uint32_t sum, uint32_t symbol)
{
        static const uint32_t generator[] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                              0x2a1462b3 };
        uint32_t top = sum >> 25;

        sum = (sum & 0x1ffffff) << 5 ^ symbol;
        for (unsigned i = 0; i < COUNT(generator); i++)
                if (top >> i & 1)
                        sum ^= generator[i];
        return sum;
}

/* The prefix goes in as the high bits of each character, a zero, the low bits of each. */
static uint32_t sum_of(const char *prefix, const uint8_t symbols[static DATA_LEN])
{
        uint32_t sum = 1;

        for (const char *p = prefix; *p; p++)
                sum = sum_add(sum, (uint32_t)(unsigned char)lower(*p) >> 5);
        sum = sum_add(sum, 0);
        for (const char *p = prefix; *p; p++)
                sum = sum_add(sum, (unsigned char)lower(*p) & 31);
        for (size_t i = 0; i < DATA_LEN; i++)
                sum = sum_add(sum, symbols[i]);
        return sum;
}

static bool has_prefix(const char *text, size_t len, const char *prefix)
{
        size_t n = strlen(prefix);

        if (len <= n || text[n] != '1')
                return false;
        for (size_t i = 0; i < n; i++)
                if (lower(text[i]) != prefix[i])
                        return false;
        return true;
}

static bool mixes_case(const char *text, size_t len)
{
        bool upper_seen = false, lower_seen = false;

        for (size_t i = 0; i < len; i++) {
                upper_seen |= is_upper(text[i]);
                lower_seen |= is_lower(text[i]);
        }
        return upper_seen && lower_seen;
}

/* 52 symbols of 5 bits to 32 bytes; the 4 bits that are left must be zero. */
static bool symbols_to_bytes(const uint8_t symbols[static DATA_LEN],
                             uint8_t out[static BECH32_BYTES])
{
        uint32_t bits = 0;
        unsigned held = 0;

        for (size_t i = 0; i < DATA_LEN; i++) {
                bits = bits << 5 | symbols[i];
                held += 5;
                if (held >= 8) {
                        held -= 8;
                        *out++ = (uint8_t)(bits >> held);
                        bits &= (1U << held) - 1;
                }
        }
        return !bits;
}

static void bytes_to_symbols(const uint8_t bytes[static BECH32_BYTES],
                             uint8_t symbols[static DATA_LEN])
{
        uint32_t bits = 0;
        unsigned held = 0;

        for (size_t i = 0; i < BECH32_BYTES; i++) {
                bits = bits << 8 | bytes[i];
                held += 8;
                while (held >= 5) {
                        held -= 5;
                        *symbols++ = bits >> held & 31;
                }
                bits &= (1U << held) - 1;
        }
        *symbols = (uint8_t)(bits << (5 - held) & 31);
}

static enum bech32_status parse(const char *text, size_t len, const char *prefix,
                                uint8_t symbols[static DATA_LEN], uint8_t *out)
{
        uint8_t tail[SUM_LEN];
        uint32_t sum;
        size_t skip = strlen(prefix) + 1;

        if (!has_prefix(text, len, prefix))
                return BECH32_PREFIX;
        if (mixes_case(text, len))
                return BECH32_CASE;
        if (len - skip != DATA_LEN + SUM_LEN)
                return BECH32_LENGTH;
        for (size_t i = 0; i < DATA_LEN + SUM_LEN; i++) {
                char c = lower(text[skip + i]);
                const char *at = c ? strchr(alphabet, c) : NULL;

                if (!at)
                        return BECH32_CHARACTER;
                *(i < DATA_LEN ? &symbols[i] : &tail[i - DATA_LEN]) = (uint8_t)(at - alphabet);
        }
        sum = sum_of(prefix, symbols);
        for (size_t i = 0; i < SUM_LEN; i++)
                sum = sum_add(sum, tail[i]);
        if (sum != 1)
                return BECH32_CHECKSUM;
        return symbols_to_bytes(symbols, out) ? BECH32_OK : BECH32_PADDING;
}

enum bech32_status bech32_parse(const char *text, size_t len, const char *prefix,
                                uint8_t out[static BECH32_BYTES])
{
        uint8_t symbols[DATA_LEN];
        enum bech32_status s = parse(text, len, prefix, symbols, out);

        explicit_bzero(symbols, sizeof(symbols));
        if (s != BECH32_OK)
                explicit_bzero(out, BECH32_BYTES);
        return s;
}

static void put_symbol(struct wr *w, unsigned symbol, bool upper)
{
        char c = alphabet[symbol];

        if (upper && is_lower(c))
                c ^= 0x20;
        wr_char(w, c);
}

void bech32_put(struct wr *w, const char *prefix, const uint8_t bytes[static BECH32_BYTES])
{
        bool upper = is_upper(prefix[0]);
        uint8_t symbols[DATA_LEN];
        uint32_t sum;

        bytes_to_symbols(bytes, symbols);
        sum = sum_of(prefix, symbols);
        for (size_t i = 0; i < SUM_LEN; i++)
                sum = sum_add(sum, 0);
        sum ^= 1;
        wr_str(w, prefix);
        wr_char(w, '1');
        for (size_t i = 0; i < DATA_LEN; i++)
                put_symbol(w, symbols[i], upper);
        for (size_t i = 0; i < SUM_LEN; i++)
                put_symbol(w, sum >> (5 * (SUM_LEN - 1 - i)) & 31, upper);
        explicit_bzero(symbols, sizeof(symbols));
}
