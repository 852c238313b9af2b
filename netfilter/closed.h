/*
 * netfilter/closed.h - the seccomp filters: the guard around every command, and the lock
 * that is nothing but a filter.
 *
 * The filters are made on the build machine (filter_gen.c). Loading one needs
 * no_new_privs, or CAP_SYS_ADMIN over our user namespace: the caller has seen to that.
 */
#ifndef NETFILTER_CLOSED_H
#define NETFILTER_CLOSED_H

#include "base/base.h"

/* No typing into the operator's terminal (TIOCSTI), no limits for PID 1. 0 or -errno. */
MUST_USE int closed_guard(void);

/*
 * Leaves others' abstract sockets behind with their network namespace, where that is
 * allowed. 0 or -errno.
 */
MUST_USE int closed_enter(void);

/* No socket but AF_UNIX, from here on. 0 or -errno. */
MUST_USE int closed_filter_load(void);

#endif
