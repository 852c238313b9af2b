/*
 * agent/patch_parse.h - the grammar of a patch, read in place. Pure; nothing is allocated.
 *
 * A reader goes down the text once: hunk after hunk, and inside an update chunk after chunk.
 * Everything it gives is a slice of the text. patch_check has been down all of it first, so
 * whoever applies a patch meets no error of the grammar half-way.
 *
 * Lenient where models err: blanks around the whole text and around headers, a here-document's
 * marks left on, lines that end in CR LF, a first chunk without its @@, an empty line that
 * should have been a blank.
 */
#ifndef AGENT_PATCH_PARSE_H
#define AGENT_PATCH_PARSE_H

#include "agent/patch.h"

struct slice {
        const char *at;
        size_t len;
};

struct patch_reader {
        const char *at, *end; /* the lines between the first and the last */
        unsigned line;        /* number of the one that begins at @at; the first of all is 1 */
};

struct patch_hunk {
        enum patch_kind kind;
        struct slice path;
        struct slice move_to; /* .at NULL: it stays */
        struct slice body;    /* add: the lines, each with its "+" */
};

struct patch_chunk {
        struct slice context; /* .at NULL: none */
        struct slice body;    /* the lines with their first bytes; an empty one is context */
        size_t old_lines, new_lines;
        bool end_of_file;
};

/* Finds the patch in the text. False: @why has the whole error. */
MUST_USE bool patch_open(struct patch_reader *r, const char *text, size_t len, struct buf *why);

/*
 * The next hunk; an update's chunks must be taken by patch_next_chunk before the next. False:
 * there is none, or (@why grew) it is not one.
 */
bool patch_next_hunk(struct patch_reader *r, struct patch_hunk *h, struct buf *why);
bool patch_next_chunk(struct patch_reader *r, struct patch_chunk *c, bool first, struct buf *why);

/* Goes down all of it. @why is empty at first. False: it says what is wrong. */
MUST_USE bool patch_check(const char *text, size_t len, struct buf *why);

/* The next line of @s, which moves past it: without its end, CR LF or LF. False: no more. */
bool slice_line(struct slice *s, struct slice *line);

#endif
