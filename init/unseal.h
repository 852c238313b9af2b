/*
 * init/unseal.h - PID 1's side of airlock-unseal: the setup session with its secrets.
 *
 * PID 1 sees no secret: it starts airlock-unseal in the place of the session, shows what
 * that has masked, ends everyone when the session is over, and reads an exit status. What
 * it has to do, and in which order: the head of secrets/unseal.c.
 */
#ifndef INIT_UNSEAL_H
#define INIT_UNSEAL_H

#include "init/task.h"

/* Does the task have secrets? */
bool unseal_wanted(const struct spec *s);

/*
 * As watch() of @session, which is to run with the secrets. *@wait_status is the session's
 * own; a leak, a key that never came and the like have called task_fail(), and *@status is
 * then what the task ends with, else STATUS_OK.
 */
enum watch_end unseal_watch(struct task *t, const struct watch *session, int *wait_status,
                            enum status *status);

#endif
