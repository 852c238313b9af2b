/*
 * init/spawn.h - starts one program with exactly what it is given.
 *
 * The child has its own process group (and session, if asked), the signal mask and
 * dispositions that airlock was started with, and three descriptors; every other one
 * is closed. The rights are taken away in the child, before exec, in the order that
 * can't be undone: see base/confine.h.
 */
#ifndef INIT_SPAWN_H
#define INIT_SPAWN_H

#include "base/base.h"
#include "base/confine.h"
#include "init/lock.h"

#include <sys/types.h>

struct spawn {
        char *const *argv; /* argv[0] without a slash is searched in @envp's PATH */
        char *const *envp;
        int program;       /* opened; 0: argv[0] */
        int keep[5];       /* descriptors that stay open beside the three; 0: none */
        int socket;        /* the same for a socket under a lock, which closes all others; 0 */
        const char *cwd;   /* NULL: / */
        int fd[3];         /* -1: /dev/null (stdin) or inherited (stdout, stderr) */
        bool new_session;  /* setsid: no controlling terminal */
        bool terminal;     /* hand the terminal over, if there is one to hand over */
        const struct confine *confine; /* NULL: everything we have */

        /* Under a lock airlock-lock comes in between: it confines itself and becomes argv. */
        enum lock lock;
        int lock_program;  /* opened */
        int channel;       /* to the proxy, for a namespace's listeners; -1: none */
        int notify;        /* to airlock-notify; -1: none */
        bool own_uid;      /* the proxy and the notifier are another user than this child */
        uint16_t door;     /* the proxy's port for programs that know it */
        int journal;       /* where a scribe writes down what it tells; 0: none */
        uint64_t start_ms; /* the journal's */
        const char *porch; /* and the URL of its clients */
};

/* What a child writes when it fails, airlock-lock too (netfilter/enter.h). */
struct spawn_failure {
        int err; /* positive */
        char stage[60];
};

/*
 * Returns the child's pid once its exec succeeded, or -errno of the part that failed,
 * with that part's name in @f ("exec", "chdir", "setuid", …), and no child left.
 */
MUST_USE pid_t spawn(const struct spawn *s, struct spawn_failure *f);

/*
 * What comes before @s->argv on airlock-lock's command line, the "--" included; the
 * descriptors in it are @s's and @tell. Returns the number of words, which point into @l.
 */
struct lock_words {
        char *v[34];
        char text[11][24];
};
size_t spawn_lock_words(const struct spawn *s, int tell, struct lock_words *l);

#endif
