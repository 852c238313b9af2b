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
#include "base/confine.h"
#include "init/lock.h"
#include "init/policy_text.h"
#include "init/spec.h"

#include <sys/types.h>

struct task;
enum status;

struct egress {
        int ca;            /* memfd of the proxy's certificate, PEM; 0: not needed */
        pid_t proxy;       /* 0: none runs */
        int control;       /* its channel; -1 */
        pid_t notify;      /* airlock-notify beside a child under that lock; 0 */
        uint16_t door;     /* HTTP and SOCKS, on 127.0.0.1 and ::1; 0 */
        uint16_t redirect; /* where the netfilter lock's rules or the notifier lead; 0 */
        uint16_t dns;      /* where the rules lead queries; 0 */
        bool rules;        /* the rules stand */
        bool own_uid;      /* they have users of their own */
        bool lost;         /* it ended by itself */
};

/* Steps. */
enum status egress_choose(struct task *t); /* which locks hold for setup and agent */
enum status egress_start(struct task *t);  /* the proxy, with the checkout's policy */
enum status egress_trust(struct task *t);  /* its certificate, to the image's clients */
enum status egress_setup(struct task *t);  /* setup's policy */
enum status egress_seal(struct task *t);   /* the agent's policy; nothing of setup's survives */
enum status egress_prove(struct task *t);  /* tries, as the agent would, to get out */

/*
 * What a child needs that is about to be locked; both descriptors are close-on-exec and the
 * caller's, -1 where there is none. 0 or -errno.
 *   channel  to the proxy, for the listeners of a network namespace
 *   notify   to an airlock-notify started for it, which ends with it
 */
struct egress_way {
        int channel, notify;
        bool own_uid; /* the proxy and the notifier are another user */
};
MUST_USE int egress_way(struct task *t, enum lock lock, const struct confine *c,
                        struct egress_way *way);

/*
 * A channel of its own to the proxy, or -1 where nothing may leave; kind as MSG_CHANNEL has
 * it. 0 or -errno.
 */
MUST_USE int egress_channel(struct task *t, unsigned kind, int *channel);

/*
 * REPORT: a channel for one client, who may do what @what says and nothing else. The next call
 * ends the first one's rights. 0 or -errno; *@channel is -1 where no proxy runs.
 */
MUST_USE int egress_only(struct task *t, enum policy_text_for what, int *channel);

/* One of PID 1's children was reaped: was it one that the lock can't do without? */
void egress_reaped(struct task *t, pid_t pid, int wait_status);

/* Has the proxy ended? Asks the kernel, not the proxy. */
bool egress_lost(struct task *t);

/* Lets it write its totals and go. Safe when there is none. */
void egress_end(struct task *t);

#endif
