/*
 * init/serve.h - "agent": {"exec_server": …} as PID 1 is to see it: a command like another.
 *
 * Runs in airlock-spec. PID 1 starts airlock-exec by descriptor, with this command line; what
 * a client may do, how long one is waited for, and who is one, is all in it.
 */
#ifndef INIT_SERVE_H
#define INIT_SERVE_H

#include "init/spec.h"

/* Fills in agent.command where there is an exec_server. False: it does not fit. */
MUST_USE bool serve_command(struct spec *s);

#endif
