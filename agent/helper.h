/*
 * agent/helper.h - a call that takes its time, in a forked child.
 *
 * The child writes records to a pipe: a letter, the length of what follows, and that.
 *
 *   r  the result, as JSON               e  an error's number and its text
 *   d  bytes of a stream, after r        x  the stream broke: why; its end is just the end
 *
 * It holds nothing of the server but memory. What it makes of a stream waits in the pipe as
 * long as the connection has no room. A child that works abroad is killed with its
 * connection; one that works on files finishes what it began.
 */
#ifndef AGENT_HELPER_H
#define AGENT_HELPER_H

#include "agent/buf.h"
#include "agent/dispatch.h"

#define HELPER_COUNT 256
#define HELPER_READS_MAX 8    /* of them for one connection's reads: later ones wait */
#define HELPER_ABROAD_MAX 32 /* of them for one connection's http/request */
#define HELPER_RESULT_MAX (64U << 20)

enum helper_kind {
        HELPER_READS,
        HELPER_WRITES, /* later file calls wait for it */
        HELPER_ABROAD,
};

/* Runs in the child: fills @out with the result, or returns an error's number with text there. */
typedef int helper_work(void *argument, struct buf *out);

void helper_start(struct call *call, enum helper_kind kind, helper_work *work, void *argument);

/*
 * The same for a streamed response. The work answers once by flow_answer, which empties
 * @out, and goes on with flow_bytes; both are false when nobody listens any more. An
 * error that it returns after the answer ends the stream with @out as the reason.
 */
struct flow {
        int fd;
        bool answered;
};
typedef int flow_work(void *argument, struct buf *out, struct flow *to);
void helper_stream(struct call *call, const struct value *request_id, flow_work *work,
                   void *argument);
MUST_USE bool flow_answer(struct flow *to, struct buf *out);
MUST_USE bool flow_bytes(struct flow *to, const char *bytes, size_t len);

/* Has this connection a stream of that id? */
bool helper_streams(const struct conn *c, const struct value *request_id);

void helper_event(struct server *s, struct ev_ref ref);
/* The connection has room again: its streams are read. */
void helper_resume(struct conn *c);
/* The connection ended: whoever works abroad for it does too. */
void helper_forget(struct conn *c);

#endif
