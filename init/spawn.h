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
        int keep;          /* a descriptor that stays open beside the three; 0: none */
        const char *cwd;   /* NULL: / */
        int fd[3];         /* -1: /dev/null (stdin) or inherited (stdout, stderr) */
        bool new_session;  /* setsid: no controlling terminal */
        bool terminal;     /* hand the terminal over, if there is one to hand over */
        enum lock lock;    /* the network as this child sees it */
        const struct confine *confine; /* NULL: everything we have */
};

/*
 * Returns the child's pid once its exec succeeded, or -errno of the part that failed,
 * with *@stage naming that part ("exec", "chdir", "setuid", …), and no child left.
 */
MUST_USE pid_t spawn(const struct spawn *s, const char **stage);

#endif
