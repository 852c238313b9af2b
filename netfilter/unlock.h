/*
 * netfilter/unlock.h - why a lock does not hold here, and what would change that.
 */
#ifndef NETFILTER_UNLOCK_H
#define NETFILTER_UNLOCK_H

#include "netfilter/lock.h"

/* For an operator: the flag of an engine, or the setting of a host. A static text. */
const char *unlock_hint(enum lock lock);

#endif
