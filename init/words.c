/* init/words.c - words behind words. */
#include "init/words.h"

#include "base/log.h"
#include "base/wr.h"

void words_add(struct words *a, const char *word)
{
        if (a->n + 1 >= a->cap)
                die(STATUS_PROVISION, "%s: too many words", a->v[0]);
        a->v[a->n++] = word;
        a->v[a->n] = NULL;
}

void words_option(struct words *a, const char *name, const char *value)
{
        if (!value)
                return;
        words_add(a, name);
        words_add(a, value);
}

void words_number(struct words *a, const char *name, uint64_t value)
{
        struct wr w = wr_of(a->numbers + a->used, sizeof(a->numbers) - a->used - 1);

        wr_u64(&w, value);
        if (name)
                words_add(a, name);
        words_add(a, wr_cstr(&w));
        a->used += w.len + 1;
}
