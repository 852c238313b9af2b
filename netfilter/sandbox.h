/*
 * netfilter/sandbox.h - `airlock sandbox`: one command under the seal, outside a task.
 *
 *   sandbox          stays outside: answers for ids, forwards signals, waits
 *    |- airlock-proxy  when there is a network to filter
 *    `- the command    confined by enter.h, ended when we are
 *
 * The locks are tried by doing, the strongest first, each in a child of its own; when
 * none holds the command does not run.
 */
#ifndef NETFILTER_SANDBOX_H
#define NETFILTER_SANDBOX_H

#include "base/base.h"

/* argv[0] is "sandbox". Returns the exit status: the command's, 128+n, or airlock's own. */
int sandbox_main(char **argv);

#endif
