/*
 * init/egress.h - the way out: airlock-proxy, and the lock that leaves no other.
 *
 * PID 1 starts the proxy in PROVISION, gives it setup's policy, and at the seal the
 * agent's, with which every connection of setup's ends. Locked children get a channel to
 * the proxy. PID 1 itself speaks to it in messages of one size (base/msg.h) and reads
 * nothing from it but their answers. When the proxy ends, the task does.
 */
#ifndef INIT_EGRESS_H
#define INIT_EGRESS_H

#include "base/base.h"
#include "init/lock.h"
#include "init/spec.h"

#include <sys/types.h>

struct task;
enum status;

struct egress {
        int lock_program, proxy_program, notify_program; /* opened; 0: not there */
        pid_t proxy;       /* 0: none runs */
        int control;       /* its channel; -1 */
        uint16_t door;     /* HTTP and SOCKS, on 127.0.0.1; 0 */
        uint16_t notified; /* the notify lock's, on 127.0.0.1; 0 */
        bool own_uid;      /* it has a user of its own */
        bool lost;         /* it ended by itself */
};

/* Steps. */
enum status egress_choose(struct task *t); /* which locks hold for setup and agent */
enum status egress_start(struct task *t);  /* the proxy, with the checkout's policy */
enum status egress_setup(struct task *t);  /* setup's policy */
enum status egress_seal(struct task *t);   /* the agent's policy; nothing of setup's survives */
enum status egress_prove(struct task *t);  /* tries, as the agent would, to get out */

/*
 * A channel to the proxy for a child that is about to be locked, close-on-exec and the
 * caller's; -1 where nothing may leave in this phase. 0 or -errno.
 */
MUST_USE int egress_channel(struct task *t, int *channel);

/* Has the proxy ended? Asks the kernel, not the proxy. */
bool egress_lost(struct task *t);

/* Lets it write its totals and go. Safe when there is none. */
void egress_end(struct task *t);

#endif
