/*
 * init/page.h - a finished task as one HTML page: airlock-report's.
 *
 * What it shows was written by setup, by the agent and by whoever answered them, so every
 * byte of it is text: markup is escaped, what is not UTF-8 becomes U+FFFD, and characters
 * that a browser would obey rather than show (controls, bidirectional overrides) are
 * written out as U+XXXX. The page has no script, loads nothing, and says so to the browser
 * (Content-Security-Policy). Pure: it writes through a function of the caller's.
 *
 * Order: page_open(), page_event() for each line of events.ndjson, page_file() for each
 * file to be shown, page_close(). Nothing is kept of a line but what the tables need.
 */
#ifndef INIT_PAGE_H
#define INIT_PAGE_H

#include "base/base.h"

#define PAGE_BUFFER 16384

struct page {
        /* Takes @len bytes. They are never more than PAGE_BUFFER. */
        void (*put)(void *to, const char *bytes, size_t len);
        void *to;
        size_t len; /* waiting in buffer */
        char buffer[PAGE_BUFFER];
        uint32_t total_ms; /* of the task, for the bars of the timeline */
};

/* The sections that are made of events; each wants all of them, in order. */
enum page_part {
        PAGE_TIMELINE, /* step */
        PAGE_COMMANDS, /* command, exec: what an exec-server or the agent ran */
        PAGE_NETWORK,  /* net */
        PAGE_PROOF,    /* try */
        PAGE_OTHERS,   /* every other event */
        PAGE_PART_COUNT,
};

enum page_file {
        PAGE_TEXT, /* as it stands */
        PAGE_DIFF, /* added and removed lines in colour */
};

/* The head of the page and the table of @result, the text of result.json (may be bad JSON). */
void page_open(struct page *p, const char *result, size_t len);

/* A section of events; page_event() for each line; and its end. */
void page_part_open(struct page *p, enum page_part part);
void page_event(struct page *p, enum page_part part, const char *line, size_t len);
void page_part_close(struct page *p);

/* A section with the bytes of a file; @whole false says that there was more. */
void page_file(struct page *p, const char *name, enum page_file kind, const char *bytes,
               size_t len, bool whole);

void page_close(struct page *p);

#endif
