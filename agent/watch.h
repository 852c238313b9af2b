/*
 * agent/watch.h - fs/watchMissing: says once that a path which was not there may be there now.
 *
 * By inotify, on directories only: the deepest one that exists tells of what appears in it,
 * those above tell when they are moved away. Each is watched before what it holds is looked
 * at, so nothing appears unseen between the two. A link on the way, a file system whose
 * changes the kernel does not see, a limit: then the answer is that nothing is watched, and
 * the client looks for itself. A message too many is allowed, one too few is not.
 *
 * A watch belongs to its connection, and ends with it or with its message.
 */
#ifndef AGENT_WATCH_H
#define AGENT_WATCH_H

#include "agent/dispatch.h"

#define WATCH_PATHS 64   /* in one call */
#define WATCH_COUNT 64   /* of one connection … */
#define WATCH_MARKS 2048 /* … and names and directories in all of them */

void watch_missing(struct call *call);
void watch_event(struct server *s);
/* The connection ends. */
void watch_forget(const struct conn *c);

#endif
