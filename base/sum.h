/*
 * base/sum.h - the check sum of a large file, by a child beside us.
 *
 * The sum tells a file from what an accident made of it: a flipped bit, a lost page, an end that
 * is missing. It is no proof of who wrote the file, and no hash could be one where file and sum
 * lie side by side: whoever can change the one can change the other. That is the
 * business of owners and modes (init/cache_entry.h). So this needs no function that withstands
 * a forger, and has one that runs as fast as memory does, everywhere and without any
 * special instruction:
 *
 *   NH, as in UMAC (Black, Halevi, Krawczyk, Krovetz, Rogaway 1999), with words of 64 bits, of
 *   each block of 4096 bytes. Two different blocks have the same 128 bits for one key in 2^64
 *   at most. The key is ours and always the same: accidents don't know it. The last block
 *   is filled up with zeros.
 *   SHA-256 over these results and, at the end, the length of the file.
 *
 * Words are the machine's. A file goes to a machine of the other byte order as a damaged one.
 *
 * A child on another processor reads the same pages while we are still busy with them. It has
 * the caller's rights, touches one descriptor, and ends when the caller does.
 */
#ifndef BASE_SUM_H
#define BASE_SUM_H

#include "base/sha256.h"

#include <sys/types.h>

#define SUM_BLOCK 4096
#define SUM_WORDS (SUM_BLOCK / sizeof(uint64_t))

/* The sum itself: pure. */
struct sum_state {
        uint64_t key[SUM_WORDS];
        struct sha256 all;
        uint64_t len;
};

void sum_init(struct sum_state *s);

/* Whole blocks, each of SUM_WORDS words. */
void sum_blocks(struct sum_state *s, const uint64_t *words, size_t count);

/* What is left of the file, less than a block, in a buffer of one. @s is used up. */
void sum_last(struct sum_state *s, uint64_t words[static SUM_WORDS], size_t len,
              char hex[static SHA256_HEX]);

struct sum {
        int told, result; /* -1: none */
        pid_t pid;
};

/* Starts on @fd, which can be read. -errno, and there is nothing to end. */
MUST_USE int sum_start(struct sum *s, int fd);

/* The file holds @len bytes by now that won't change any more. */
void sum_tell(struct sum *s, uint64_t len);

/* The sum of all that was told; -EIO when it is not to be had. Ends the child in any case. */
MUST_USE int sum_end(struct sum *s, char hex[static SHA256_HEX]);

#endif
