/* secrets/identity.c - identities, recipients and file keys from text. */
#include "secrets/identity.h"

#include "base/digits.h"
#include "secrets/bech32.h"

#include <string.h>

const char *identity_status_str(enum identity_status s)
{
        switch (s) {
        case IDENTITY_OK:
                return "right";
        case IDENTITY_END:
                return "no key in it";
        case IDENTITY_MALFORMED:
                return "not a key, or a mistyped one";
        case IDENTITY_LOWER:
                return "a secret key is written in upper case";
        case IDENTITY_SWAPPED:
                return "a secret key starts with AGE-SECRET-KEY-1, a recipient with age1, and "
                       "this is the other of the two";
        case IDENTITY_SSH:
                return "ssh keys are not supported: make a key with `airlock secret keygen`, or "
                       "seal with `age` for an age1 recipient beside the ssh key";
        case IDENTITY_POST_QUANTUM:
                return "post-quantum keys are not supported: make an X25519 key with "
                       "`airlock secret keygen`";
        case IDENTITY_PLUGIN:
                return "plugin and hardware keys are not supported: make a key with "
                       "`airlock secret keygen`";
        case IDENTITY_ENCRYPTED:
                return "the identity file is itself sealed: open it with `age -d` and pass the "
                       "result in a pipe to `-i -`";
        }
        return "?";
}

static bool starts(const struct rd *r, const char *text)
{
        size_t len = strlen(text);

        return rd_left(r) >= len && !memcmp(r->at, text, len);
}

static struct rd take_line(struct rd *text)
{
        const uint8_t *lf = memchr(text->at, '\n', rd_left(text));
        struct rd line = rd_sub(text, lf ? (size_t)(lf - text->at) : rd_left(text));

        if (lf)
                rd_u8(text);
        if (rd_left(&line) && line.end[-1] == '\r')
                line.end--;
        return line;
}

/* The next line that says something. False at the end. */
static bool take_word(struct rd *text, unsigned *line, struct rd *word)
{
        while (rd_left(text)) {
                *word = take_line(text);
                (*line)++;
                if (rd_left(word) && word->at[0] != '#')
                        return true;
        }
        return false;
}

static enum identity_status foreign_key(const struct rd *word)
{
        static const struct {
                char start[24];
                enum identity_status status;
        } table[] = {
                { "AGE-SECRET-KEY-PQ-1", IDENTITY_POST_QUANTUM },
                { "AGE-PLUGIN-", IDENTITY_PLUGIN },
                { "-----BEGIN AGE ", IDENTITY_ENCRYPTED },
                { "age-encryption.org/", IDENTITY_ENCRYPTED },
                { "-----BEGIN ", IDENTITY_SSH },
                { "ssh-", IDENTITY_SSH },
                { "ecdsa-", IDENTITY_SSH },
                { "sk-", IDENTITY_SSH },
                { "github:", IDENTITY_SSH },
                { "age1pq1", IDENTITY_POST_QUANTUM },
                { "age1tagpq1", IDENTITY_POST_QUANTUM },
        };

        for (size_t i = 0; i < COUNT(table); i++)
                if (starts(word, table[i].start))
                        return table[i].status;
        /* age1NAME1…: `1` is no character of Bech32, so a second one ends a plugin's name. */
        if (starts(word, "age1") && memchr(word->at + 4, '1', rd_left(word) - 4))
                return IDENTITY_PLUGIN;
        return IDENTITY_MALFORMED;
}

enum identity_status identity_next(struct rd *text, unsigned *line,
                                   uint8_t out[static AGE_KEY_LEN])
{
        enum identity_status s;
        struct rd word;

        explicit_bzero(out, AGE_KEY_LEN);
        if (!take_word(text, line, &word))
                return IDENTITY_END;
        if (starts(&word, "age-secret-key-1"))
                return IDENTITY_LOWER;
        if (bech32_parse((const char *)word.at, rd_left(&word), IDENTITY_PREFIX, out) ==
            BECH32_OK)
                return IDENTITY_OK;
        s = foreign_key(&word);
        return s == IDENTITY_MALFORMED && starts(&word, "age1") ? IDENTITY_SWAPPED : s;
}

enum identity_status recipient_next(struct rd *text, unsigned *line,
                                    uint8_t out[static AGE_KEY_LEN])
{
        struct rd word;

        explicit_bzero(out, AGE_KEY_LEN);
        if (!take_word(text, line, &word))
                return IDENTITY_END;
        if (starts(&word, "AGE-SECRET-KEY-1"))
                return IDENTITY_SWAPPED;
        /* Upper case would be Bech32 too; no age program writes it or takes it. */
        if (starts(&word, "age1") && bech32_parse((const char *)word.at, rd_left(&word),
                                                  RECIPIENT_PREFIX, out) == BECH32_OK)
                return IDENTITY_OK;
        return foreign_key(&word);
}

bool file_key_parse(const void *bytes, size_t len, uint8_t out[static AGE_FILE_KEY_LEN])
{
        const uint8_t *b = bytes;

        if (len == AGE_FILE_KEY_LEN) {
                memcpy(out, b, len);
                return true;
        }
        if (len == 2 * AGE_FILE_KEY_LEN + 1 && b[len - 1] == '\n')
                len--;
        if (len != 2 * AGE_FILE_KEY_LEN)
                return false;
        for (size_t i = 0; i < len; i += 2) {
                int high = hex_value((char)b[i]), low = hex_value((char)b[i + 1]);

                if (high < 0 || low < 0) {
                        explicit_bzero(out, AGE_FILE_KEY_LEN);
                        return false;
                }
                out[i / 2] = (uint8_t)(high << 4 | low);
        }
        return true;
}
