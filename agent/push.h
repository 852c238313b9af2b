/*
 * agent/push.h - airlock-push: what its files share. What it is: base/push.h.
 */
#ifndef AGENT_PUSH_H
#define AGENT_PUSH_H

#include "agent/buf.h"
#include "agent/forge.h"
#include "base/push.h"

#include <poll.h>

#define PUSH_ID 65 /* bytes of an object's name in hex, with its NUL */

struct push {
        /* As the command line says; NULL where nothing was said. */
        const char *url, *branch, *title, *base, *ref, *api, *author, *link;
        bool gitea, forge, draft;
        uint64_t timeout_ms;

        int channel, bundle;
        char start[PUSH_ID];
        uint64_t deadline_ms; /* of this turn */

        /* What came of it: pull_request in result.json. */
        char into[256];        /* the base, as it was found */
        char commit[PUSH_ID];  /* "": none was made */
        bool pushed;
        struct forge_pull pull;
        const char *state;     /* nothing, failed, pushed; or the forge's open, closed */
        char reason[FORGE_TEXT]; /* of a failure */
        char by_hand[1536];    /* and what a person can do now */
};

/* Says what failed, on one line, and keeps it; returns @status. */
int push_fail(struct push *p, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The turns: 0, PUSH_NOTHING, or a status after push_fail. */
MUST_USE int push_branch(struct push *p);
MUST_USE int push_forge(struct push *p);

/*
 * push_git.c: runs git to its end. What it says on stdout comes into @out (NULL: it goes to
 * @to, or nowhere if that is -1), on stderr into @err, @limit bytes of each at most. Meanwhile
 * the relay works. Its exit status; -1: it did not start, was too slow, or said too much.
 */
struct git {
        const char *const *argv; /* without "git" and what every one gets */
        int to;
        struct buf *out, *err;
};
MUST_USE int git_run(struct push *p, const struct git *g);

/*
 * push_relay.c: git's way out, a listener on our loopback. What comes there is handed to airlock-proxy
 * as a connection to the repository's host, whatever it is: the proxy reads and judges it.
 */
#define RELAY_FDS 17
int relay_open(void); /* the port, or -errno */
size_t relay_poll(struct pollfd p[static RELAY_FDS]);
void relay_step(struct push *p, const struct pollfd *fds, size_t count);
void relay_close(void);

#endif
