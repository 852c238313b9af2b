/*
 * secrets/session.h - the setup session as airlock-unseal's child, and its masked output.
 *
 * The child has a session and a kernel keyring session of its own, /dev/null as stdin, one
 * pipe as stdout and stderr, no core file, and what it is told to inherit. What it prints
 * goes through the masker and on at once; while the reader has no room, the child waits.
 */
#ifndef SECRETS_SESSION_H
#define SECRETS_SESSION_H

#include "base/msg.h"
#include "secrets/mask.h"

#include <signal.h>
#include <sys/types.h>

#define SESSION_CHUNK 16384

struct session {
        /* In: */
        const char *cwd;
        char *const *argv, *const *envp; /* argv[0] is searched in envp's PATH */
        int program;                     /* opened, in place of that search; -1 */
        int pass[LEND_COUNT];            /* descriptors to inherit */
        size_t pass_count;
        const sigset_t *signals;         /* its signal mask */
        struct masker *mask;
        uint8_t *chunk;                  /* SESSION_CHUNK bytes for what it prints, unmasked */
        int control;                     /* whose end is ours, too */
        int to;                          /* where the masked output goes */

        /* Out: */
        pid_t pid;
        int from;        /* the pipe from it */
        int wait_status;
};

/* Starts the child. 0, or -errno with *@stage. What can't be exec'd prints so and is 126/127. */
MUST_USE int session_start(struct session *s, const char **stage);

/*
 * Stays with it until it ends: passes its output, and TERM, INT, QUIT and HUP, after which it
 * has SESSION_GRACE_MS. @signals is a signalfd of these and SIGCHLD. 0; -EPIPE: the other
 * side of @control is gone.
 */
#define SESSION_GRACE_MS 4000
MUST_USE int session_watch(struct session *s, int signals);

#endif
