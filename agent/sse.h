/*
 * agent/sse.h - server-sent events: bytes in, one data text after the other out. Pure.
 *
 * Lines end in LF, CR or CR LF; `data:` lines of one event are joined by LF; a blank line
 * ends the event. Comments and all other fields are passed over: what an event is stands in
 * its data. Nothing is read out of half an event, so a character may be torn anywhere.
 */
#ifndef AGENT_SSE_H
#define AGENT_SSE_H

#include "agent/buf.h"

#define SSE_EVENT_MAX (32U << 20) /* bytes of a line, or of an event's data */

enum sse_status {
        SSE_MORE,  /* all bytes are used */
        SSE_EVENT, /* data holds one event's, until the next call; more bytes may be left */
        SSE_LARGE, /* an event is over SSE_EVENT_MAX: an error for good */
};

struct sse {
        struct buf line, data;
        bool has_data;  /* data may be empty and still an event's */
        bool after_cr;  /* an LF that comes now belongs to it */
        bool begun;     /* a byte order mark may only come before this */
        bool dispatched; /* data is the last event's: not ours any more */
};

MUST_USE enum sse_status sse_next(struct sse *s, const char *bytes, size_t len, size_t *used);
void sse_free(struct sse *s);

#endif
