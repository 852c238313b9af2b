/*
 * netfilter/netns.h - a network namespace of the command's own.
 *
 * The command leaves the network for a namespace with a loopback device and nothing
 * else. Without a proxy that is all, and nothing can leave. With one, every address
 * is local, and the proxy's listeners (inside.h) are where connections end.
 *
 * It is made below a user namespace of its own wherever that is allowed: then no
 * privilege is needed, nobody outside can be traced from inside, and no filter needs
 * no_new_privs, so that sudo and apt go on working. Otherwise with CAP_SYS_ADMIN.
 */
#ifndef NETFILTER_NETNS_H
#define NETFILTER_NETNS_H

#include "base/base.h"
#include "netfilter/inside.h"

struct netns {
        int helper;            /* idmap_answer's other end; -1: a helper is forked */
        struct inside *inside; /* NULL: no network at all */
        bool mounts;           /* a mount namespace too, with the user namespace or not */

        /* out: what it became */
        bool own_users; /* a user namespace: CAP_SYS_ADMIN over it, until it is dropped */
        bool all_ids;   /* which holds all of the container's ids, and not only ours */
};

/* 0, or -errno with *@stage naming what failed: the process is of no more use then. */
MUST_USE int netns_enter(struct netns *n, const char **stage);

#endif
