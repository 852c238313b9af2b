/*
 * agent/keeper.h - a process's parent, one for each.
 *
 * A child of the server that is the subreaper of what it starts: whoever daemonizes, leaves
 * the group or the session, ends up as its child and nobody else's. So "all of it" can be
 * killed, however deep it hid, and nothing of another process is touched. It also reaps, so
 * it alone may signal by number: a pid it has not reaped can't be somebody else's.
 *
 * It talks over a SEQPACKET pair, one struct keeper_word a packet; from us it takes one byte
 * orders. Our end closing, for whatever reason, is the order to kill everything and end.
 */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H

#include "base/base.h"

#include <sys/types.h>

struct grants;

struct launch {
        char *const *argv, *const *envp;
        const char *file; /* what to run: a path, or a name for PATH */
        const char *path; /* PATH to look in */
        const char *cwd;
        int in, out, err; /* the child's; with @tty all three are the slave */
        bool tty;
        const struct grants *grants; /* NULL: no sandbox */
};

enum keeper_what {
        KEEPER_STARTED, /* value: the leader's pid */
        KEEPER_FAILED,  /* value: an errno; nothing runs, the keeper ends */
        KEEPER_EXITED,  /* value: the leader's wait status */
};

struct keeper_word {
        int32_t what, value;
        char stage[56]; /* KEEPER_FAILED inside a sandbox: what could not be done; else "" */
};

enum keeper_order { KEEPER_INTERRUPT = 'i', KEEPER_KILL = 'k' };

/* The server's end (non-blocking, close-on-exec), or -errno. @l's descriptors stay the caller's. */
MUST_USE int keeper_start(const struct launch *l);

void keeper_tell(int keeper, enum keeper_order order);

#endif
