/*
 * agent/dispatch.h - a message becomes a call.
 */
#ifndef AGENT_DISPATCH_H
#define AGENT_DISPATCH_H

#include "agent/conn.h"
#include "agent/rpc.h"

/* One call: the parameters are decoded into @p, whose error the dispatcher answers. */
struct call {
        struct conn *conn;
        const char *id;
        size_t id_len;
        struct params *p;
};

/*
 * Every call asks this first, its parameters decoded: they were wrong, or it is too early for
 * such a call. True: the error has been answered.
 */
MUST_USE bool call_refused(struct call *call, const char *method);

/* One message of the client; the text is ours to change. */
void dispatch_message(struct conn *c, char *text, size_t len);
/* The helper that later file calls waited for is done: they run now. */
void dispatch_held(struct conn *c);

/* Files. */
void files_call(struct call *call, const char *method);
/* Processes: job.c. */
void job_call(struct call *call, const char *method);
void info_call(struct call *call, const char *method);
void http_call(struct call *call);

/* The user's home. */
const char *info_home(void);
/* The text of environmentInfo. */
void info_put(struct conn *c, struct buf *b);

#endif
