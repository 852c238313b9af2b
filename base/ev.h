/*
 * base/ev.h - epoll with references instead of pointers, and timers.
 *
 * An event carries (kind, slot, generation). Whoever handles it compares the generation
 * with that of the slot, so an event that was queued for a thing closed a moment ago, in
 * the same batch, finds another one there and is dropped.
 *
 * Everything is level-triggered: what was not read or written is told again.
 *
 * Timers stand in queues, one for each span of time. What was armed last in a queue is
 * due last, so arming is an append and the next one due is a queue's head. A timer lives
 * in the struct of its owner; a zero timer is not armed. No call here reads a clock:
 * time comes in as now_ms.
 */
#ifndef BASE_EV_H
#define BASE_EV_H

#include "base/base.h"

struct ev_ref {
        uint8_t kind;
        uint32_t slot; /* below 2^24 */
        uint32_t gen;
};

/* A new epoll descriptor, close-on-exec, or -errno. */
MUST_USE int ev_open(void);

/* 0 or -errno. @events: EPOLLIN and the like, 0 for none but hang-up and error. */
MUST_USE int ev_add(int ev, int fd, uint32_t events, struct ev_ref ref);
MUST_USE int ev_change(int ev, int fd, uint32_t events, struct ev_ref ref);
/* The descriptor need not be watched. Closing its last copy does the same. */
void ev_remove(int ev, int fd);

/* What the kernel gave back in epoll_event.data. */
struct ev_ref ev_ref_of(uint64_t data);

struct ev_timer {
        struct ev_timer *next, *prev; /* both NULL: not armed */
        uint64_t due_ms;
};

struct ev_queue {
        struct ev_timer all; /* a ring: its own prev and next when empty */
        uint32_t span_ms;
};

void ev_queue_init(struct ev_queue *q, uint32_t span_ms);

/* Due in the queue's span from now. An armed timer is moved, from any queue. */
void ev_arm(struct ev_queue *q, struct ev_timer *t, uint64_t now_ms);
/* Safe on a timer that is not armed. */
void ev_disarm(struct ev_timer *t);

/* Takes one timer that is due off the queue; NULL: none is. */
struct ev_timer *ev_due(struct ev_queue *q, uint64_t now_ms);

/*
 * Milliseconds until the first timer of the queue is due, but not more than @at_most;
 * -1 is for ever.
 */
int ev_wait_ms(const struct ev_queue *q, uint64_t now_ms, int at_most);

#endif
