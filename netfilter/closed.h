/*
 * netfilter/closed.h - the seccomp filters: the guard around every command, and the lock
 * that is nothing but a filter.
 *
 * The filters are made on the build machine (filter_gen.c). Loading one needs
 * no_new_privs, or CAP_SYS_ADMIN over our user namespace: the caller has seen to that.
 */
#ifndef NETFILTER_CLOSED_H
#define NETFILTER_CLOSED_H

#include "netfilter/lock.h"

/*
 * Loads what belongs to @lock: under every one no typing into the operator's terminal
 * (TIOCSTI) and no limits for PID 1; under closed no socket but AF_UNIX. 0 or -errno.
 */
MUST_USE int closed_load_filters(enum lock lock);

#endif
