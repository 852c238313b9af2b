/*
 * init/lock.h - what a process may reach of the network, as far as this build goes:
 * everything, or nothing.
 */
#ifndef INIT_LOCK_H
#define INIT_LOCK_H

#include "base/base.h"

enum lock {
        LOCKED_NOT,    /* the container's own network */
        LOCKED_NETNS,  /* an empty network namespace with its own loopback */
        LOCKED_CLOSED, /* seccomp: no socket but AF_UNIX */
};

const char *lock_name(enum lock lock);

/*
 * The strongest lock for "nothing" that this container allows, found by doing it in a
 * child. Returns it, or -EPERM when neither holds.
 */
MUST_USE int lock_choose(void);

/* Puts the calling process under @lock, before its capabilities go. 0 or -errno. */
MUST_USE int lock_enter(enum lock lock);

/*
 * The filter around every agent, whatever its lock: no typing into the operator's
 * terminal (TIOCSTI), no limits for PID 1 (prlimit). Sets no_new_privs. 0 or -errno.
 */
MUST_USE int lock_guard(void);

/*
 * Tries the ways out from a child under @lock: INET and INET6 connects by stream and
 * datagram, raw and packet sockets, io_uring. 0 when none opened; else -EEXIST with
 * *@way naming the one that did, or -errno when it could not be tried.
 */
MUST_USE int lock_prove(enum lock lock, const char **way);

#endif
