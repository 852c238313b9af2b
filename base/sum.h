/*
 * base/sum.h - the SHA-256 of a file, by a child beside us.
 *
 * The hash of a layer costs as much processor time as reading or writing it. A child on
 * another processor reads the same pages while we are still busy with them. It has the
 * caller's rights, touches one descriptor, and ends when the caller does.
 */
#ifndef BASE_SUM_H
#define BASE_SUM_H

#include "base/sha256.h"

#include <sys/types.h>

struct sum {
        int told, result; /* -1: none */
        pid_t pid;
};

/* Starts on @fd, which can be read. -errno, and there is nothing to end. */
MUST_USE int sum_start(struct sum *s, int fd);

/* The file holds @len bytes by now that won't change any more. */
void sum_tell(struct sum *s, uint64_t len);

/* The hash of all that was told; -EIO when it is not to be had. Ends the child in any case. */
MUST_USE int sum_end(struct sum *s, char hex[static SHA256_HEX]);

#endif
