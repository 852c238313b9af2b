/*
 * netfilter/landlock.h - what a command may do to files, and to processes outside.
 *
 * A Landlock domain can only be entered, and only gets narrower. Each kernel knows some
 * of it (its ABI): what it does not know is not enforced, and landlock_say() names that.
 * Entering asks for no_new_privs or CAP_SYS_ADMIN over our user namespace.
 */
#ifndef NETFILTER_LANDLOCK_H
#define NETFILTER_LANDLOCK_H

#include "base/base.h"

#define LANDLOCK_ROOTS_MAX 32

enum fs_policy {
        FS_FULL,            /* what the user may */
        FS_READ_ONLY,       /* nothing is written but devices such as /dev/null */
        FS_WORKSPACE_WRITE, /* writes below the roots only */
};

struct landlock {
        enum fs_policy fs;
        const char *roots[LANDLOCK_ROOTS_MAX]; /* what is missing is left out */
        unsigned root_count;
        bool scope; /* no signals, no abstract sockets, no ptrace to outside */
};

/* "read-only" -> FS_READ_ONLY, …; false for another word. */
bool landlock_parse(const char *word, enum fs_policy *fs);

/* What @l means on a kernel of @abi, in a few words that name what is missing; a static text. */
const char *landlock_say(const struct landlock *l, int abi);

/*
 * Puts the calling process into the domain. 0 or -errno: -EOPNOTSUPP when files were to be
 * protected and this kernel can't; a scope that it does not know is left out.
 */
MUST_USE int landlock_enter(const struct landlock *l);

#endif
