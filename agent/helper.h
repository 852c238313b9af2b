/*
 * agent/helper.h - a file call that takes its time, in a forked child.
 *
 * The child writes its answer to a pipe: a byte 'r' and the result as JSON, or 'e', the
 * number of the error and its text. It holds nothing of the server but memory.
 */
#ifndef AGENT_HELPER_H
#define AGENT_HELPER_H

#include "agent/buf.h"
#include "agent/dispatch.h"

#define HELPER_COUNT 64
#define HELPER_RESULT_MAX (64U << 20)

/* Runs in the child: fills @out with the result, or returns an error's number with text there. */
typedef int helper_work(void *argument, struct buf *out);

void helper_start(struct call *call, bool mutates, helper_work *work, void *argument);
void helper_event(struct server *s, struct ev_ref ref);

#endif
