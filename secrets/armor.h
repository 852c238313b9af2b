/*
 * secrets/armor.h - an age file as text: strict PEM. Pure.
 *
 * A BEGIN line, base64 in lines of 64 characters of which only the last may be shorter,
 * an END line. Lines end in LF or CRLF; white space may stand on lines before and after. Anything
 * else is refused, so that a file has one meaning.
 */
#ifndef SECRETS_ARMOR_H
#define SECRETS_ARMOR_H

#include "base/wr.h"

#define ARMOR_SPACE_MAX 1024 /* bytes of white space before; one less after */

/* Bytes of the armor around @len bytes, at most. */
#define ARMOR_LEN(len) (((len) + 2) / 3 * 4 + (len) / 48 + 80)

enum armor_status {
        ARMOR_OK,
        ARMOR_BEGIN, /* no right BEGIN line */
        ARMOR_LINE,  /* a line is too long, too short or empty, or not base64 */
        ARMOR_END,   /* no right END line */
        ARMOR_AFTER, /* something follows it */
};

const char *armor_status_str(enum armor_status s);

/* Whether @buf is meant to be armored: its first word starts with five dashes. */
bool armor_is(const void *buf, size_t len);

/* Decodes the whole of @text into @out, which may be @text itself and holds @len bytes. */
MUST_USE enum armor_status armor_parse(const void *text, size_t len, uint8_t *out,
                                       size_t *out_len);

/* Appends the armor of all of these bytes. */
void armor_put(struct wr *w, const uint8_t *bytes, size_t len);

#endif
