/*
 * netfilter/enter.h - the one order in which a process is confined, under every lock.
 *
 * Runs in the process that will be the command: what is taken away here is gone for
 * good, and the last step is an exec in place. Nothing here logs: a failure is an
 * errno and the name of its stage, and the process is of no more use.
 */
#ifndef NETFILTER_ENTER_H
#define NETFILTER_ENTER_H

#include "base/base.h"
#include "netfilter/lock.h"

#include <sys/types.h>

struct enter {
        enum lock lock;
        bool set_ids;       /* become @uid and @gid */
        uid_t uid;
        gid_t gid;
        uint64_t keep_caps; /* of all five sets */
        const char *chdir;  /* NULL: stay */
        int exec_fd;        /* the program, opened; -1: argv[0] by PATH */
};

/* What --tell writes. The stage is NUL-terminated; "exec": only that failed. */
struct enter_failure {
        int err; /* positive */
        char stage[60];
};

/* Confines the calling process. 0, or -errno with *@stage naming what failed. */
MUST_USE int enter_lock(const struct enter *e, const char **stage);

/* Becomes the command. Returns -errno: -ENOENT when it was not found. */
MUST_USE int enter_exec(const struct enter *e, char *const *argv);

#endif
