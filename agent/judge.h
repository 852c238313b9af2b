/*
 * agent/judge.h - the second opinion on commands: requests of their own, beside the others.
 *
 * agent/assess.h says what is asked and why nothing depends on it. A question goes out while
 * the command that it is about already runs, over a connection of its own; one at a time,
 * each with ASSESS_MS_DEFAULT from when it is sent, and JUDGE_QUEUE at most wait. At the end
 * of the turn those still out have their time, and no more. Their requests and tokens are
 * counted apart from the turn's.
 */
#ifndef AGENT_JUDGE_H
#define AGENT_JUDGE_H

#include "agent/assess.h"
#include "agent/model.h"

#define JUDGE_QUEUE 16U

struct question {
        struct buf text;    /* the message */
        uint64_t item;      /* of the command in the events */
        bool after;         /* it was stopped; else: a rule flagged it */
        unsigned flags;
};

struct judge {
        bool on;
        struct model model;
        struct question queue[JUDGE_QUEUE]; /* the first is the one that was sent */
        size_t count;
        uint64_t began_ms;
        uint64_t left_out; /* the queue was full */
        uint64_t tokens;
        struct assess_counts counts;
};

struct loop;
struct hand;

/* A command was started; asks when a rule flags it. */
void judge_before(struct loop *l, const struct hand *h);

/* It has ended; asks when it looks as if the seal had stopped it. */
void judge_after(struct loop *l, const struct hand *h, const char *output, size_t len);

/* Something may have happened on its connection, or its time be over. */
void judge_step(struct loop *l, short revents);

/* When judge_step is due at the latest; UINT64_MAX: nothing is out. */
uint64_t judge_due_ms(const struct judge *j);

/* Waits for those that are out, and tells the totals. */
void judge_end(struct loop *l);

#endif
