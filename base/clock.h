/*
 * base/clock.h - the two clocks. Only main loops read them; the rest is told the time.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/wr.h"

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t now_ms(void);

/* Writes the UTC time with milliseconds, RFC 3339. */
void put_time(struct wr *w);

/*
 * Begins a line of a task's journal: the time, the task's milliseconds @ms, @phase, @event. The rest
 * of the object, `,"name":value…}` and a newline, is the caller's.
 */
void put_event(struct wr *w, uint64_t ms, const char *phase, const char *event);

#endif
