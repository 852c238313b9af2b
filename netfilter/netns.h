/*
 * netfilter/netns.h - a network namespace of the command's own.
 */
#ifndef NETFILTER_NETNS_H
#define NETFILTER_NETNS_H

#include "base/base.h"

/* Leaves the network for an empty one whose loopback is up. 0 or -errno. */
MUST_USE int netns_enter(void);

#endif
