/*
 * netfilter/environment.h - the command's environment: ours, with the proxy's variables.
 */
#ifndef NETFILTER_ENVIRONMENT_H
#define NETFILTER_ENVIRONMENT_H

#include "base/base.h"

/*
 * The environment to exec with: environ; with a @port, variables in it that name the proxy at
 * 127.0.0.1:@port (http_proxy, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in both cases); and
 * those of @more, "NAME=VALUE" NUL … NUL, or NULL. NULL when there are too many. Static
 * memory, one at a time.
 */
MUST_USE char *const *environment_with(uint16_t port, char *more);

#endif
