/*
 * init/unseal.h - PID 1's side of airlock-unseal: the setup session with its secrets.
 *
 * PID 1 sees no secret. It starts airlock-unseal in PROVISION, before anything of others
 * runs; that opens the file, hands to the proxy what rules inject (so a private repository
 * can be cloned), and waits. In SETUP it is told to start the session, under whatever lock;
 * PID 1 shows what it has masked, ends everyone when the session is over, and reads an exit
 * status. What has to be done in which order: the head of secrets/unseal.c.
 */
#ifndef INIT_UNSEAL_H
#define INIT_UNSEAL_H

#include "base/base.h"

#include <sys/types.h>

struct spec;
struct task;
struct watch;
enum status;
enum watch_end;

struct unsealed {
        bool open;      /* it has opened the file */
        bool found;     /* the scan found values: nothing may be cached */
        pid_t pid;      /* while it waits for an order; 0: it has exited, or is watched */
        int status;     /* wait(2)'s, once it has exited */
        int control;    /* our end of its channel */
        int output;     /* of what it and the session print; -1 */
        char hash[65];  /* keyed, of the values that setup sees; "": nobody asked */
        int placeholders; /* a memfd of NAME=PLACEHOLDER lines, for the cache; 0: none */
        int session_status;     /* wait(2)'s */
        char session_line[200]; /* the line that failed in it, masked */
};

/* Does the task have secrets? */
bool unseal_wanted(const struct spec *s);

/* Steps. */
enum status unseal_start(struct task *t); /* PROVISION: opens the file */
enum status unseal_end(struct task *t);   /* SETUP, where no session is needed */

/*
 * As watch() of @session, which runs with the secrets. *@wait_status is the session's
 * own; a leak and the like have called task_fail(), and *@status is then what the task
 * ends with, else STATUS_OK.
 */
enum watch_end unseal_watch(struct task *t, const struct watch *session, int *wait_status,
                            enum status *status);

/* May a failed session, maintenance, be followed by another one? */
bool unseal_may_run_again(const struct task *t);

/* One of PID 1's children was reaped. */
void unseal_reaped(struct task *t, pid_t pid, int wait_status);

#endif
