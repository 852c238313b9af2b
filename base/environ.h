/*
 * base/environ.h - a variable that must not stay in /proc/PID/environ.
 *
 * unsetenv(3) takes a pointer out of a list; the bytes stay where the kernel put them at the
 * start of the process, and there everybody who may look sees them.
 */
#ifndef BASE_ENVIRON_H
#define BASE_ENVIRON_H

#include "base/base.h"

/* The variable that may hold a task's key: whoever sees it overwrites it. */
#define ENVIRON_KEY "AIRLOCK_KEY"

/*
 * Overwrites each `@name=value` of @env (the process's own environ) with NULs, in place,
 * and takes it out of the list. Returns how many there were.
 */
unsigned environ_wipe(char **env, const char *name);

#endif
