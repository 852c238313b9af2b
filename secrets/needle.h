/*
 * secrets/needle.h - what a secret value looks like when somebody prints or stores it.
 *
 * For each value: itself; each of its lines; base64 in both alphabets as it stands at any
 * of the three offsets of a longer text, with and without the end's padding; hex; percent
 * and form encoding; JSON strings as the usual libraries escape them. A needle is a few
 * numbers: its bytes are spelled out from the value while they are compared, so that no
 * second copy of a secret exists.
 *
 * What is no needle, because it would hit where nothing leaked:
 *   a value (or line) of less than NEEDLE_MIN bytes, or of less than 4 different ones;
 *   a handful of everyday words ("localhost", "production", see needle.c);
 *   newlines at the end of a value; the BEGIN and END lines around a PEM body.
 * needles_add() says when nothing of a value is searched for; the caller warns by name.
 *
 * Long values become pieces of at most 1024 units, one after the other, so that every
 * buffer has a bound; a masker expects the next piece where the last one ended.
 * Base64 and hex may be wrapped: runs of at most NEEDLE_WRAP white bytes are passed over,
 * but for the first NEEDLE_HEAD bytes, which the search engine needs together. As a line
 * may end there, base64 has needles that start up to 20 characters later, too.
 *
 * Pure. The text and the list are the caller's memory, and hold or derive from secrets:
 * both belong into the arena.
 */
#ifndef SECRETS_NEEDLE_H
#define SECRETS_NEEDLE_H

#include "base/base.h"

#define NEEDLE_MIN 8          /* bytes of a value, a line, a needle */
#define NEEDLE_MAX_COUNT 65535 /* a thousand secrets have some sixty each */
#define NEEDLE_TEXT_MAX 8192  /* bytes of text that a match may cover */
#define NEEDLE_WRAP 16
#define NEEDLE_HEAD 19
#define NEEDLE_NONE UINT16_MAX

enum encoding {
        ENCODING_RAW,
        ENCODING_LINE,
        ENCODING_BASE64,
        ENCODING_BASE64URL,
        ENCODING_HEX,
        ENCODING_URL,
        ENCODING_JSON,
        ENCODING_COUNT,
};

/* "raw", "line", "base64", …: for reports. */
const char *encoding_str(enum encoding e);

struct needle {
        uint32_t at, len;   /* the value in needles.text */
        uint32_t from, to;  /* units of its encoding: bytes, or characters of base64 */
        uint8_t head[4];    /* the first bytes, spelled */
        uint16_t secret;    /* the caller's number */
        uint16_t next;      /* the piece that follows, or NEEDLE_NONE */
        uint8_t encoding;   /* enum encoding */
        uint8_t variant;    /* base64: the offset; else flags of needle.c */
};

struct needles {
        const uint8_t *text;
        struct needle *list;
        size_t count, cap;
        size_t shortest; /* bytes of the shortest needle's spelling; SIZE_MAX: none */
        bool full;       /* the list had no room: not everything is searched for */
};

/* An empty list of room for @cap needles (at most NEEDLE_MAX_COUNT) over values in @text. */
void needles_init(struct needles *n, const void *text, struct needle *list, size_t cap);

/*
 * Adds the needles of the value text[at..at+len), whose number is @secret. False: the value
 * is too short or too common, and nothing of it is searched for.
 */
bool needles_add(struct needles *n, uint16_t secret, uint32_t at, uint32_t len);

enum match {
        MATCH_NO,
        MATCH_PARTIAL, /* all of the text is the needle's beginning */
        MATCH_FULL,
};

/* Is the needle at the start of @text? MATCH_FULL: it is the first *@matched bytes. */
enum match needle_match(const struct needles *n, const struct needle *needle, const void *text,
                        size_t len, size_t *matched);

/* The same for a piece right behind the one before: it may be wrapped anywhere. */
enum match needle_follows(const struct needles *n, const struct needle *needle,
                          const void *text, size_t len, size_t *matched);

/* Spells the needle into @out; returns its length, of which at most @cap were written. */
size_t needle_spell(const struct needles *n, const struct needle *needle, void *out, size_t cap);

#endif
