/*
 * netfilter/notes.h - what airlock-notify remembers about the agent's sockets, by inode.
 *
 * A table of fixed size whose least recently used note makes room for a new one: an agent
 * that opens sockets without end costs itself what we knew about its oldest. Pure: the
 * descriptors in the notes are the caller's to close.
 */
#ifndef NETFILTER_NOTES_H
#define NETFILTER_NOTES_H

#include "base/base.h"
#include "base/msg.h"

#define NOTES_MAX 4096

struct note {
        uint64_t inode;             /* 0: unused */
        struct msg_address peer;    /* where it was connected to, or wrote to last */
        struct msg_address bound;
        int fd;                     /* our duplicate of the socket, or -1 */
        uint16_t domain, type;
        bool connected;
        uint16_t chain;             /* next of the same hash; these three are places + 1 */
        uint16_t newer, older;
};

struct notes {
        uint16_t cap, count;
        uint16_t newest, oldest, free; /* places + 1 */
        uint16_t heads[NOTES_MAX];     /* by hash: place + 1 */
        struct note at[NOTES_MAX];
};

/* @t is zero, or is made so. It will hold at most @cap notes, 1 to NOTES_MAX. */
void notes_init(struct notes *t, size_t cap);

/* The note of @inode, which is now the newest; NULL: none. Valid until the next add. */
struct note *notes_find(struct notes *t, uint64_t inode);

/*
 * A new note of @inode: zero but for its inode and fd -1. There must be none of this inode.
 * *@evicted is the note that made room for it, its inode 0 when none did.
 */
struct note *notes_add(struct notes *t, uint64_t inode, struct note *evicted);

void notes_drop(struct notes *t, struct note *n);

#endif
