/*
 * netfilter/mounts.h - what a mount namespace of the command's own takes out of its reach.
 *
 * A network namespace leaves abstract sockets behind, but a socket with a path is a file:
 * whoever may open /run/docker.sock or a session bus has the machine behind it. And uid 0,
 * whatever its capabilities, may write what the kernel obeys: /proc/sys/kernel/core_pattern.
 *
 * So every socket that somebody outside listens on is covered by a device that refuses
 * connections, as is every disk that may be read, and those trees become read-only. Folders that are mounted here may hold
 * sockets of another network's, which no list of ours has: they are looked through, nearest
 * first, three deep and 256 folders each, and what answers is covered. A socket made later,
 * outside, or deeper is not seen to, unless it has a well-known name.
 */
#ifndef NETFILTER_MOUNTS_H
#define NETFILTER_MOUNTS_H

#include "base/base.h"

#define MOUNTS_PATHS_MAX 131072

struct mounts {
        char *paths; /* "…" NUL "…" NUL, of the caller's MOUNTS_PATHS_MAX bytes */
        size_t len;
        bool kernel;  /* /proc/sys and /sys are ours to write */
        bool machine; /* sockets are somebody else's business */
};

/*
 * One line of /proc/net/unix, without its newline: the path of a socket that takes
 * connections or datagrams, or NULL. Pure.
 */
const char *mounts_unix_path(const char *line);

/*
 * Leaves a socket out, and does not connect to it: a trial must not take from there what is
 * said only once. The string stays the caller's.
 */
void mounts_spare(const char *path);

/*
 * Finds what is to be covered, before the network is left: afterwards its sockets can't be
 * listed. -EFBIG when they are more than fit; -errno.
 */
MUST_USE int mounts_find(struct mounts *m);

/* Disks and settings alone: for a lock that is asked about each connection to a socket. */
MUST_USE int mounts_find_machine(struct mounts *m);

/* Is there anything to cover? Without, no mount namespace is needed. */
bool mounts_wanted(const struct mounts *m);

/* The first socket or setting that our ids may use, or NULL: where nothing can be covered. */
const char *mounts_reachable(const struct mounts *m);

/* Covers it, in a mount namespace of our own. 0, or -errno with *@path naming which. */
MUST_USE int mounts_cover(const struct mounts *m, const char **path);

/* Makes @path and all below read-only. One that is not there is fine. 0 or -errno. */
MUST_USE int mounts_freeze(const char *path);

#endif
