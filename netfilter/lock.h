/*
 * netfilter/lock.h - the names of the locks, strongest first.
 */
#ifndef NETFILTER_LOCK_H
#define NETFILTER_LOCK_H

#include "base/base.h"

enum lock {
        LOCK_NONE,      /* the network that is there */
        LOCK_NETNS,     /* a network namespace of its own, where every address is ours */
        LOCK_NETFILTER, /* rules in the container's network namespace */
        LOCK_NOTIFY,    /* seccomp notifications, answered by airlock-notify */
        LOCK_CLOSED,    /* seccomp: no socket but AF_UNIX */
        LOCK_COUNT,
};

const char *lock_name(enum lock lock);

/* "netns" -> LOCK_NETNS; LOCK_COUNT for a name that is none. */
enum lock lock_parse(const char *name);

#endif
