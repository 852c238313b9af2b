/*
 * agent/job.h - a process as its clients see it.
 *
 * FREE -> STARTING   job_start      keeper forked; nobody may know its events yet
 * STARTING -> ALIVE  job_started    the program runs, start was answered
 * ALIVE -> EXITED    job_exited     the leader was reaped; its pipes may still be held
 * EXITED -> CLOSED   job_closed     pipes at their end; retained for 80 s
 * any -> FREE        job_free
 */
#ifndef AGENT_JOB_H
#define AGENT_JOB_H

#include "agent/buf.h"
#include "agent/conn.h"
#include "agent/session.h"

#define JOB_COUNT 16384          /* the closed that are retained too: the oldest go first */
#define JOB_CHUNK_MAX 8192       /* bytes of one output event */
#define JOB_RETAINED (1U << 20)  /* bytes of output that can be read again */
#define JOB_AHEAD (256U << 10)   /* bytes read that the client has not taken */
#define JOB_QUEUE_SOFT (1U << 20)   /* input above this: the answer waits */
#define JOB_QUEUE_HARD (64U << 20)  /* and above this it is an error */
#define JOB_WRITE_IDS 16384      /* remembered, the newest */
#define JOB_WAITERS 65536        /* requests of all clients that wait for something */

enum job_state { JOB_FREE, JOB_STARTING, JOB_ALIVE, JOB_EXITED, JOB_CLOSED };

struct msg_command;

struct job {
        enum job_state state;
        uint32_t gen;
        struct server *server;
        struct session *session;
        struct job *next, *prev;             /* in the session */
        struct job *next_ready;              /* in its list of the ready */
        struct job *next_hash;
        char *id, *json; /* as bytes, and as a JSON string */
        size_t id_len, json_len;
        bool is_ready, tty, pipe_stdin, killed, reading_out, reading_err, writing;
        bool sandboxed, denied;
        bool floods, widened; /* it writes so fast that its pipe is read by the clock */
        bool in_ends; /* when the queue is written, so is all input */
        int keeper, out, err, in; /* a pty's master is out; -1: none */
        pid_t pid;
        int exit_code;
        unsigned waiters;
        struct asker start;   /* STARTING: who asked */
        struct buf ring;      /* records: see job.c */
        size_t retained;      /* bytes of output in it */
        size_t emit_at;       /* offset in the ring of what the client has not got */
        size_t ahead;         /* bytes of output from there on */
        uint64_t last_output; /* seq of the newest record */
        uint64_t next_seq, emit_seq, exited_seq, closed_seq;
        struct buf queue;     /* input on its way */
        uint64_t queued, written; /* bytes ever, so that a waiter knows its place */
        uint64_t *write_ids;  /* hashes; a ring */
        size_t write_id_count;
        uint64_t started_ms, bytes;
        uint64_t flood_ms, flood_bytes; /* since then so much came */
        struct msg_command *told; /* for the journal; NULL: none, or it has it */
        struct ev_timer timer;
};

enum stream { STREAM_STDOUT, STREAM_STDERR, STREAM_PTY };
const char *stream_str(enum stream s);

/* What stands before each piece of output in the ring. */
struct record {
        uint64_t seq;
        size_t len;
        enum stream stream;
};
/* The record at offset @at of the ring; false: there is none. */
bool job_record(const struct job *j, size_t at, struct record *r);
#define RECORD_HEAD sizeof(uint64_t)

void job_init(struct server *s);
/* NULL: none of that id in this session. */
struct job *job_find(const struct session *x, const char *id, size_t len);
/* A new one, STARTING; NULL: the table is full of living ones. */
struct job *job_open(struct session *x, const char *id, size_t len);
void job_free(struct job *j);
/* Its keeper was started: from here on it is watched. */
MUST_USE int job_watch_keeper(struct job *j);
/* Adds input; the queue is flushed as far as the program reads. */
void job_input(struct job *j, const void *bytes, size_t len);
/* No more will be added: the program sees the end of its input behind what is queued. */
void job_input_ends(struct job *j);

/* A request that waits for news of @j: an answer to read, or room in its queue. */
struct waiter {
        struct asker asker;
        uint32_t job, gen;
        bool write;
        uint64_t after_seq, max_bytes, deadline_ms; /* a read's */
        uint64_t place; /* a write's: answered when so much was written */
};
/* Takes the asker. False: too many wait. */
MUST_USE bool job_wait(struct job *j, struct waiter w);
/* A connection ended: what it waited for is forgotten. */
void job_forget_waiters(void);
/* Answers @a with what a read gives now. */
void job_answer_read(struct job *j, struct conn *c, const char *id, size_t id_len,
                     uint64_t after_seq, uint64_t max_bytes);
bool job_has_news(const struct job *j, uint64_t after_seq);
void job_event(struct server *s, struct ev_ref ref, uint32_t events);
void job_timers(struct server *s);
/* The pause that a flood of output is given is over. */
void job_flood_event(void);
/* Milliseconds until a waiter is due, at most @at_most (-1: for ever). */
int job_wait_ms(uint64_t now_ms, int at_most);

/* The connection has room: writes the next events of its session. */
void job_emit(struct session *x, struct conn *c);
/* A client came: it gets what happens from now on. */
void job_attach(struct session *x);
/* The session ends: everything is killed and forgotten. */
void job_end_all(struct session *x);

#endif
