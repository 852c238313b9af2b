/*
 * agent/shells.h - the commands that run on after their call, and what they print. Pure.
 *
 * exec_command gives the model a session id when the command has not ended in time;
 * write_stdin comes back with it. The table holds SHELLS of them, by how long ago each was
 * last used. Time comes in as a counter of uses: nothing here reads a clock.
 *
 * The loop owns what a session is (its environment, its process id there): the table keeps a
 * pointer to it.
 */
#ifndef AGENT_SHELLS_H
#define AGENT_SHELLS_H

#include "agent/buf.h"

#define SHELLS 64U
#define SHELLS_WARN 60U      /* from here on the model is told to end some */
#define SHELLS_PROTECTED 8U  /* the most recently used are never evicted */
#define SHELL_OUTPUT (1U << 20)

/* What is printed between two reads: the first half MiB, and the last. */
struct shell_output {
        struct buf head, tail;
        uint64_t omitted; /* bytes of the middle, gone */
};
void shell_output_add(struct shell_output *o, const void *bytes, size_t len);
/* Adds what was kept to @out, empties @o, and returns how many bytes were not kept. */
uint64_t shell_output_drain(struct shell_output *o, struct buf *out);
void shell_output_free(struct shell_output *o);

struct shell {
        int id; /* 0: a free slot */
        bool exited;
        uint64_t used; /* when, counted in uses */
        void *owner;
        struct shell_output output;
};

struct shells {
        struct shell slots[SHELLS];
        unsigned count;
        int last_id;
        uint64_t uses;
};

/*
 * A new session, just used. When the table is full the least recently used one goes, exited
 * ones first and never one of the SHELLS_PROTECTED newest: then *@evicted is its owner, whose
 * process the caller ends; else NULL. Ids begin at 1000 and are not used again.
 */
struct shell *shells_add(struct shells *t, void *owner, void **evicted);

/* The session, just used; NULL: there is none of that id. */
struct shell *shells_use(struct shells *t, int64_t id);

/* Frees the slot and its output. */
void shells_drop(struct shells *t, struct shell *s);

/* "Unknown process id 7" for the model. */
void put_unknown_shell(struct buf *out, int64_t id);

#endif
