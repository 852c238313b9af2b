/*
 * agent/client_inner.h - what the files of the client tell each other; agent/client.h is
 * for everybody else.
 */
#ifndef AGENT_CLIENT_INNER_H
#define AGENT_CLIENT_INNER_H

#include "agent/client.h"

enum request_kind {
        REQUEST_CALL,  /* the caller's own */
        REQUEST_WRITE, /* to a process: waits for its start */
        REQUEST_START,
        REQUEST_HELLO,  /* ours: initialize */
        REQUEST_INFO,   /* ours: environment/info, when initialize did not tell */
        REQUEST_MISSED, /* ours: process/read after a resume */
};

struct client_request {
        struct client_request *next;
        uint64_t id;
        enum request_kind kind;
        uint32_t process; /* 0: none */
        bool again;       /* may be sent twice */
        bool sent;        /* all of it is in the output buffer, or gone */
        bool held;        /* START, cut off: whether it happened is being asked */
        bool failed;      /* its answer is the error below */
        int code;
        size_t framed;    /* bytes of the text that are in the output buffer */
        size_t text_len;
        struct buf text;
};

/* An event that waits for those before it. */
struct client_held {
        struct client_held *next;
        uint64_t seq;
        enum client_kind kind; /* OUTPUT, EXITED, CLOSED */
        enum client_stream stream;
        int exit_code;
        bool sandbox_denied;
        size_t len;
        char bytes[];
};

/* --- client.c: states and requests --- */

/* The connection broke; @why is for the operator. Tried again, or the end. */
void client_broke(struct client *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* It can't be had: no use in trying again. */
void client_refused(struct client *c, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The pipe or socket is connected (and upgraded): say hello. */
void client_hello(struct client *c);

/*
 * A new request whose text is still to be written to ->text: {"id":N,"method":M,"params": is
 * there. NULL: no room. client_queue ends it and puts it in the queue.
 */
struct client_request *client_request(struct client *c, enum request_kind kind,
                                      const char *method);
uint64_t client_queue(struct client *c, struct client_request *r);
/* Frees one that is not in the queue; NULL is fine. */
void client_drop(struct client_request *r);
/* Takes it out of the queue and frees it. */
void client_forget(struct client *c, struct client_request *r);

/* --- client_wire.c: bytes --- */

/* Becomes the target's program between these two; returns only an errno. */
int wire_exec(const struct client_target *t, int in, int out);
void wire_open(struct client *c);
/* The socket's or pipes' end. @goodbye: with a Close frame. */
void wire_close(struct client *c, bool goodbye);
/* A child that was told to end is reaped when it did; @force: SIGKILL now, and wait. */
void wire_bury(struct client *c, bool force);
void wire_event(struct client *c, int fd, short events);
/* Frames what waits, as far as there is room, and sends. */
void wire_send(struct client *c);
/* A small message of our own that no request is. */
void wire_put(struct client *c, const char *text, size_t len);
void wire_ping(struct client *c);
/* The next whole message; false: not here yet, or the connection broke. */
bool wire_message(struct client *c, char **text, size_t *len);
/* The last one is no longer needed. */
void wire_taken(struct client *c);

/* --- client_process.c: events --- */

struct client_process *process_of(struct client *c, uint32_t number);
void process_free(struct client *c, struct client_process *p);
/* It is lost for good, which client_next tells. */
void process_fail(struct client *c, struct client_process *p, int code, const char *why,
                  size_t len);
/* One notification. True: *@e is an event that can be told now. */
bool process_event(struct client *c, struct client_event *e, const char *method,
                   const struct value *params);
/* One that was held and whose turn it is. */
bool process_next(struct client *c, struct client_event *e);
/* After a resume: asks what was missed. */
void process_resume(struct client *c);
/* Those whose start the server had not settled are asked about again when that is due. */
void process_due(struct client *c);
/* Asks it of one. */
void process_ask(struct client *c, const struct client_process *p, uint64_t after_seq);
/* The answer to that; with a @code it is an error. True: *@e is to be told. */
bool process_missed(struct client *c, struct client_event *e, uint32_t number,
                    const struct value *result, int code, const char *text);

#endif
