/*
 * secrets/filter.h - a seccomp filter that lets a list of system calls through.
 *
 * Made at run time: a handful of comparisons. Everything else fails with EPERM, and a call
 * of a foreign ABI ends the process. One way only; sets no_new_privs.
 */
#ifndef SECRETS_FILTER_H
#define SECRETS_FILTER_H

#include "base/base.h"

#define FILTER_CALLS 96

/* For the calling task alone: with CLONE_VM the others keep what they have. 0 or -errno. */
MUST_USE int filter_allow(const uint16_t *calls, size_t count);

#endif
