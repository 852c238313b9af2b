/* netfilter/notes.c - a hash table with a list by age through it; links are places + 1. */
#include "netfilter/notes.h"

#include <string.h>

static uint16_t *head(struct notes *t, uint64_t inode)
{
        return &t->heads[inode % NOTES_MAX];
}

static uint16_t place(const struct notes *t, const struct note *n)
{
        return (uint16_t)(n - t->at + 1);
}

void notes_init(struct notes *t, size_t cap)
{
        memset(t->heads, 0, sizeof(t->heads));
        t->cap = (uint16_t)(cap < 1 ? 1 : cap > NOTES_MAX ? NOTES_MAX : cap);
        t->count = t->newest = t->oldest = t->free = 0;
}

static void unlink_age(struct notes *t, struct note *n)
{
        *(n->newer ? &t->at[n->newer - 1].older : &t->newest) = n->older;
        *(n->older ? &t->at[n->older - 1].newer : &t->oldest) = n->newer;
}

static void make_newest(struct notes *t, struct note *n)
{
        n->newer = 0;
        n->older = t->newest;
        *(t->newest ? &t->at[t->newest - 1].newer : &t->oldest) = place(t, n);
        t->newest = place(t, n);
}

struct note *notes_find(struct notes *t, uint64_t inode)
{
        for (uint16_t p = *head(t, inode); p; p = t->at[p - 1].chain) {
                struct note *n = &t->at[p - 1];

                if (n->inode != inode)
                        continue;
                if (t->newest != p) {
                        unlink_age(t, n);
                        make_newest(t, n);
                }
                return n;
        }
        return NULL;
}

void notes_drop(struct notes *t, struct note *n)
{
        uint16_t *link = head(t, n->inode), self = place(t, n);

        while (*link && *link != self)
                link = &t->at[*link - 1].chain;
        *link = n->chain;
        unlink_age(t, n);
        n->inode = 0;
        n->chain = t->free;
        t->free = self;
}

static struct note *unused(struct notes *t)
{
        struct note *n;

        if (!t->free)
                return &t->at[t->count++];
        n = &t->at[t->free - 1];
        t->free = n->chain;
        return n;
}

struct note *notes_add(struct notes *t, uint64_t inode, struct note *evicted)
{
        struct note *n;

        *evicted = (struct note){ .fd = -1 };
        if (!t->free && t->count == t->cap) {
                n = &t->at[t->oldest - 1];
                *evicted = *n;
                notes_drop(t, n);
        }
        n = unused(t);
        *n = (struct note){ .inode = inode, .fd = -1, .chain = *head(t, inode) };
        *head(t, inode) = place(t, n);
        make_newest(t, n);
        return n;
}
