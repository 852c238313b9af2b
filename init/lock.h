/*
 * init/lock.h - which lock holds here. airlock-lock knows how; PID 1 asks and chooses.
 *
 * The strongest lock is found by doing it in a child (airlock-lock --try), never by
 * looking at capability bits. Runs in PID 1 and in airlock-spec.
 */
#ifndef INIT_LOCK_H
#define INIT_LOCK_H

#include "base/base.h"

/* From the strongest; the names are those of network.lock and of airlock-lock --enter. */
enum lock {
        LOCKED_NOT,       /* the container's own network */
        LOCKED_NETNS,     /* a network namespace in which every address is the proxy's */
        LOCKED_NETFILTER, /* rules in the container's: what is not the proxy's ends at it */
        LOCKED_NOTIFY,    /* seccomp: a notifier connects for the agent, to the proxy */
        LOCKED_CLOSED,    /* seccomp: no socket but AF_UNIX; enough for "off" alone */
        LOCK_NAMES,
};

const char *lock_name(enum lock lock);

#define LOCK_WHY 400 /* bytes that say why one does not hold */

/*
 * Runs airlock-lock (@program, opened) with @argv, at most 10 s. 0, or -errno with its last
 * line in @why: -EPERM when it said no. @in is its standard input; -1: /dev/null.
 */
MUST_USE int lock_run(int program, char *const *argv, int in, char why[static LOCK_WHY]);

/* Does @lock hold here? The same returns. */
MUST_USE int lock_try(int program, enum lock lock, char why[static LOCK_WHY]);

#endif
