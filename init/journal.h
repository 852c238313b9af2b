/*
 * init/journal.h - OUT/events.ndjson: one JSON object a line, each line whole.
 *
 *     {"time":"2026-11-21T14:05:09.123Z","ms":1432,"phase":"setup","event":"step",…}
 *
 * `ms` counts from the start of the task. PID 1 is the only writer. A line that the
 * disk has no room for is taken back, so that the file never ends in half of one.
 */
#ifndef INIT_JOURNAL_H
#define INIT_JOURNAL_H

#include "base/clock.h"
#include "base/wr.h"

struct journal {
        int fd;            /* -1: nowhere to write */
        uint64_t start_ms; /* CLOCK_MONOTONIC */
        const char *phase; /* a static string */
        bool failed;       /* a line was lost */
};

/*
 * Appends one event. @fields is the rest of the object, `,"name":value…` as JSON text;
 * "" for none. Keep it below 6 KiB.
 */
void journal_event(struct journal *j, const char *event, const char *fields, size_t len);

/* The common case: one string field. */
void journal_string(struct journal *j, const char *event, const char *key, const char *value);

#endif
