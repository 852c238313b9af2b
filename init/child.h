/*
 * init/child.h - waits for one child that is to end by itself, and soon.
 *
 * Woken by its end where the kernel has pidfd_open (Linux 5.3), which no filter of an engine
 * refuses; elsewhere it looks each 2 ms. Runs in PID 1 and in airlock-spec.
 */
#ifndef INIT_CHILD_H
#define INIT_CHILD_H

#include "base/base.h"

#include <sys/types.h>

/*
 * Reaps @pid, which is killed after @ms. Its wait status; one that even then does not end,
 * being stuck in the kernel, counts as killed.
 */
int child_end(pid_t pid, unsigned ms);

#endif
