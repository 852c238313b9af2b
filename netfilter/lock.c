/* netfilter/lock.c - the names of the locks. */
#include "netfilter/lock.h"

#include <string.h>

static const char names[LOCK_COUNT][12] = { /* in place: nothing to relocate */
        [LOCK_NONE] = "none",     [LOCK_NETNS] = "netns",   [LOCK_NETFILTER] = "netfilter",
        [LOCK_NOTIFY] = "notify", [LOCK_CLOSED] = "closed",
};

const char *lock_name(enum lock lock)
{
        return lock < LOCK_COUNT ? names[lock] : "?";
}

enum lock lock_parse(const char *name)
{
        enum lock lock = LOCK_NONE;

        while (lock < LOCK_COUNT && strcmp(name, names[lock]) != 0)
                lock++;
        return lock;
}
