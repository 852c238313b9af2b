/*
 * init/journal.h - OUT/events.ndjson: one JSON object a line, each line whole.
 *
 *     {"time":"2026-11-21T14:05:09.123Z","ms":1432,"phase":"setup","event":"step",…}
 *
 * `ms` counts from the start of the task. The journal itself is in memory, where nothing of
 * the task's reaches it: the proxy and the setup session's parent inherit the descriptor and
 * write to it too. The file is what is shown of it, written by PID 1 as it comes. An agent
 * that may write OUT can change that file, so in the end it is written anew. A line that the
 * disk has no room for is taken back: the file never ends in half of one.
 */
#ifndef INIT_JOURNAL_H
#define INIT_JOURNAL_H

#include "base/clock.h"
#include "base/wr.h"

struct journal {
        int fd;            /* -1: nowhere to write; else the memfd */
        int file;          /* OUT/events.ndjson; -1: shown no more */
        off_t shown;       /* bytes of the one that the other has */
        uint64_t start_ms; /* CLOCK_MONOTONIC */
        const char *phase; /* a static string */
        bool failed;       /* a line was lost */
};

#define JOURNAL_SHOW_MS 1000 /* how late the file may have what others wrote */

/* A new journal, shown in this @file, which it owns, also on failure. 0 or -errno. */
MUST_USE int journal_open(struct journal *j, int file);

/* Writes to the file what it lacks. */
void journal_show(struct journal *j);

/* From now on in this @file, from the first line. */
void journal_show_in(struct journal *j, int file);

/*
 * Appends one event. @fields is the rest of the object, `,"name":value…` as JSON text;
 * "" for none. Keep it below 6 KiB.
 */
void journal_event(struct journal *j, const char *event, const char *fields, size_t len);

/* The common case: one string field. */
void journal_string(struct journal *j, const char *event, const char *key, const char *value);

#endif
