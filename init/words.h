/*
 * init/words.h - the argument vector of one of our own programs, put together.
 *
 * The caller owns the vector and every string but the numbers, which lie here. A word that
 * does not fit ends the process: a list that is shorter than meant would be another command.
 */
#ifndef INIT_WORDS_H
#define INIT_WORDS_H

#include "base/base.h"

struct words {
        const char **v; /* of @cap; NULL behind the last word */
        size_t cap, n;
        char numbers[512];
        size_t used;
};

void words_add(struct words *a, const char *word);
void words_option(struct words *a, const char *name, const char *value); /* NULL: neither */
void words_number(struct words *a, const char *name, uint64_t value); /* NULL: no name */

#endif
