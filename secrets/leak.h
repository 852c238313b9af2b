/*
 * secrets/leak.h - walks over everything that setup may have written, and looks for secrets.
 *
 * Every regular file below "/" whose status changed since a moment (ctime: nobody but the
 * owner of the clock can turn it back), on every mounted file system but the kernel's own
 * views (proc, sys, cgroups, …): its bytes, what is packed in it (secrets/look.h), its name
 * and its extended attributes; the targets of symbolic links, the names of the rest; and
 * what outlives processes as files do: message queues, System V shared memory, keys.
 *
 * Needs a still world: setup's processes are dead or frozen. A file with several names is
 * searched under the first and, when it must go, removed under all that come later; the
 * first LEAK_LINKS of them are remembered, the rest searched again. Directories are open
 * one below the other, LEAK_DEPTH of them at most.
 *
 * What can't be opened, is too deep or too long is told to skipped(), never passed over in
 * silence; whether that is a failure is the caller's business.
 */
#ifndef SECRETS_LEAK_H
#define SECRETS_LEAK_H

#include "secrets/look.h"

#define LEAK_DEPTH 512
#define LEAK_PATH (32 * 1024)
#define LEAK_LINKS 16384
#define LEAK_CLOCK_S 2 /* a file system's clock may be that coarse */

enum leak_act {
        LEAK_REPORT,
        LEAK_REMOVE,
};

enum leak_fate {
        LEAK_STAYS,
        LEAK_ALLOWED, /* on the list of deliberate cases */
        LEAK_REMOVED,
        LEAK_IN_THE_WAY, /* should have been removed and could not be; error */
};

struct leak_hit {
        const char *path;
        const struct finding *found;
        size_t count;
        enum leak_fate fate;
        int error;
};

struct leak {
        /* In: */
        struct look *look;
        int64_t since_s;           /* CLOCK_REALTIME when setup began */
        enum leak_act act;
        const char *const *allow;  /* paths; one that ends in / stands for all below */
        size_t allow_count;
        void (*hit)(struct leak *l, const struct leak_hit *h);
        void (*skipped)(struct leak *l, const char *path, const char *why, int error);

        /* Out: */
        uint64_t seen, searched; /* files */
        unsigned hits;           /* files in which something was found and is not allowed */
        unsigned stay;           /* of these, still there */
        unsigned allowed;        /* others, that are */
        unsigned skips;
};

/* Walks. 0, or -errno when @root (all of it: "/") can't even be opened. */
MUST_USE int leak_walk(struct leak *l, const char *root);

/* leak_ipc.c: System V shared memory and message queues. */
void leak_ipc(struct leak *l);

/*
 * The kernel's keys in the user's own keyrings, which outlive every process of his. Nothing
 * where keys can't be had: there nobody left one.
 */
void leak_keys(struct leak *l);

/*
 * The messages of the POSIX queue @name: taken out, looked at, and put back in their order.
 * 0 or -errno; -E2BIG before any was taken.
 */
MUST_USE int look_queue(struct look *l, const char *name);

#endif
