/*
 * agent/quote.h - words as a shell would have to be given them. Pure.
 */
#ifndef AGENT_QUOTE_H
#define AGENT_QUOTE_H

#include "agent/buf.h"

/* The word as it stands when it is plain, else in single quotes. */
void put_quoted(struct buf *out, const char *word);

/* The words, quoted, with blanks between them. */
void put_words(struct buf *out, const char *const *words, size_t count);

#endif
