/*
 * agent/patch_seek.h - where a chunk's lines are in a file. Pure.
 *
 * Models quote from memory: so four passes, each over the whole range before the next, and
 * the first hit wins: the same bytes; the same but for blanks at the end; at both ends; and
 * with typographic dashes, quotes and blanks read as plain ones.
 */
#ifndef AGENT_PATCH_SEEK_H
#define AGENT_PATCH_SEEK_H

#include "agent/patch_parse.h"

/* Bytes compared in one patch: what a hostile one may cost, 1 to 3 s. */
#define PATCH_EFFORT (256U << 20)

/* The line's text; line numbers are indices. */
struct lines {
        struct slice *at;
        size_t count;
};

/*
 * The first place at or behind @start where @pattern stands in @file; with @eof only where it
 * is the file's end. An empty pattern is at @start. False: nowhere, or *@effort, which each
 * comparison lessens, came to 0.
 */
MUST_USE bool patch_seek(const struct lines *file, const struct lines *pattern, size_t start,
                         bool eof, size_t *effort, size_t *found);

#endif
