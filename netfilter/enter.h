/*
 * netfilter/enter.h - the one order in which a process is confined, under every lock.
 *
 * Runs in the process that will be the command: what is taken away here is gone for
 * good, and the last step is an exec in place. Nothing here logs: a failure is an
 * errno and the name of its stage, and the process is of no more use.
 *
 *   1  descriptors that lead out are closed
 *   2  the lock's namespaces, routes, and listeners for the proxy
 *   3  mounts: sockets of others covered, .git and our own programs read-only
 *   4  no_new_privs, unless the user namespace is our own and holds every id
 *   5  the Landlock domain, then the seccomp filters: both ask for 4, or for a capability
 *   6  bounding set, ids, capabilities
 *   7  working directory, notify's filter (it watches calls), environment, exec
 */
#ifndef NETFILTER_ENTER_H
#define NETFILTER_ENTER_H

#include "base/base.h"
#include "netfilter/inside.h"
#include "netfilter/landlock.h"
#include "netfilter/lock.h"

#include <sys/types.h>

struct enter {
        enum lock lock;
        struct inside inside;     /* proxy -1: no network. http_port 0: no proxy variables */
        struct landlock landlock;
        bool set_ids;             /* become @uid and @gid */
        uid_t uid;
        gid_t gid;
        bool set_caps;            /* else none; the usual ones in a user namespace of our own */
        uint64_t keep_caps;       /* of all five sets */
        bool no_new_privs;        /* even where the lock can do without */
        bool new_privs;           /* no_new_privs is left out wherever the lock can do without */
        const char *chdir;        /* NULL: stay */
        pid_t parent;             /* 0, or: end when this parent does */
        int helper;               /* idmap_answer's other end, or -1 */
        int notify;               /* airlock-notify's channel, for its lock; or -1 */
        bool hold;                /* airlock-notify has another user: it can take no sockets */
        char *variables;          /* more of the environment, as environment.h has them; or NULL */
        int scribe, porch;        /* the command's at JOURNAL_FD and PORCH_FD; or -1 */
        int exec_fd;              /* the program, opened; -1: argv[0] by PATH */
        int socket;               /* PID 1's gift to the command, which it keeps; 0: none */
};

/* What --tell writes. The stage is NUL-terminated; "exec": only that failed. */
struct enter_failure {
        int err; /* positive */
        char stage[60];
};

/* Confines the calling process. 0, or -errno with *@stage naming what failed. */
MUST_USE int enter_lock(struct enter *e, const char **stage);

/* Becomes the command. Returns -errno: -ENOENT when it was not found. */
MUST_USE int enter_exec(const struct enter *e, char *const *argv);

#endif
