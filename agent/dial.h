/*
 * agent/dial.h - a connection that answers in time, to the first address of a name that gives one.
 *
 * Apart from fetch.c: who has a channel to airlock-proxy needs no resolver.
 */
#ifndef AGENT_DIAL_H
#define AGENT_DIAL_H

#include "base/base.h"

/* A nonblocking socket, or -errno; @deadline_ms 0: none. */
MUST_USE int dial(const char *host, const char *port, uint64_t deadline_ms);

#endif
