/*
 * netfilter/apart.h - a process beside the one that enters a lock, and outside of it.
 */
#ifndef NETFILTER_APART_H
#define NETFILTER_APART_H

#include "base/base.h"

#define APART_CHANNEL 3 /* where such a process finds its end of the channel */
#define APART_OWN 4     /* and the one descriptor that it works with */

/*
 * Starts @work in a process that is left to init: without capabilities, not to be traced, deaf
 * to signals, with just the two descriptors. The other end of the channel, SOCK_SEQPACKET
 * and close-on-exec; -errno. @own stays the caller's.
 */
MUST_USE int apart_start(const char *name, int own, void (*work)(void *argument), void *argument);

#endif
