/*
 * init/hand.h - a second process that makes small files while the first reads on.
 *
 * To make a small file costs the kernel more than it costs us to find out which, and a
 * restore makes thousands: with two processors, two make them. The helper has our rights, our
 * memory as it was, and our table of descriptors, so a directory that we have open is
 * open for it. It makes new files in directories that nobody else writes to, and nothing else;
 * when we die it dies.
 *
 * Of the two the one that waits for the other never waits long: who finds the list of jobs full
 * does the job himself.
 */
#ifndef INIT_HAND_H
#define INIT_HAND_H

#include "base/base.h"

#include <sys/types.h>

#define HAND_FILE_MAX (64U << 10) /* a larger one is better copied by the kernel */
#define HAND_PATH 184

struct hand_jobs;

struct hand {
        struct hand_jobs *jobs; /* shared with the helper; NULL: there is none */
        pid_t pid;
};

/* A file that is to be made, with the owner that it gets by itself. */
struct hand_file {
        int dir;          /* stays open until hand_done() says so */
        const char *name; /* new in it, and a component */
        const char *path; /* for messages */
        uint32_t mode;    /* the umask must be 0 */
        int64_t mtime;
        uint32_t mtime_ns;
        uint64_t at, size; /* of its contents, in the archive */
};

/* Starts the helper for files from @archive. Without it, or a second processor, @h does nothing. */
void hand_start(struct hand *h, int archive);

/* Gives it a file. 0: do it yourself; else a number for hand_done(). */
uint64_t hand_give(struct hand *h, const struct hand_file *f);

/* The file of that number and all before it are made, or one failed. */
bool hand_done(const struct hand *h, uint64_t number);

/*
 * Waits for all of them. 0, or -errno of the first that failed and its path in @path; -EIO and
 * "" when the helper died.
 */
MUST_USE int hand_wait(struct hand *h, char path[static HAND_PATH]);

/* Ends the helper, whatever it was at. */
void hand_end(struct hand *h);

#endif
