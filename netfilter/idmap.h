/*
 * netfilter/idmap.h - the ids of a user namespace: the container's own ones, or just ours.
 *
 * A process that made a user namespace has no ids in it until somebody writes its maps.
 * All of the container's ids need a writer that stayed outside and may (CAP_SETUID,
 * CAP_SETGID, and CAP_SETFCAP for uid 0); the single id of its own anyone may map.
 * Every id keeps its number, so that files belong to whom they belong outside.
 */
#ifndef NETFILTER_IDMAP_H
#define NETFILTER_IDMAP_H

#include "base/base.h"

#include <sys/types.h>

enum idmap_status {
        IDMAP_OK,
        IDMAP_MALFORMED, /* not what user_namespaces(7) says */
        IDMAP_TOO_LONG,  /* more extents than fit into @out */
};

/*
 * From the text of /proc/self/uid_map, seen inside: the map that gives a child namespace
 * the same ids. The result is a C string. Pure.
 */
MUST_USE enum idmap_status idmap_identity(const char *text, char *out, size_t cap);

/* Gives the new namespace of @pid all of our ids. 0 or -errno; nothing half-done. */
MUST_USE int idmap_write(pid_t pid);

/* Gives our own new namespace the one id @uid, the one group @gid. 0 or -errno. */
MUST_USE int idmap_single(uid_t uid, gid_t gid);

/*
 * The two sides of a conversation over @channel: one byte asks, an int32_t answers.
 * idmap_ask: 0 or -errno. idmap_answer: serves the byte that was just read.
 */
MUST_USE int idmap_ask(int channel);
void idmap_answer(int channel, pid_t pid);

#endif
