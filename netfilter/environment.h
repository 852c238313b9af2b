/*
 * netfilter/environment.h - the command's environment: ours, with the proxy's variables.
 */
#ifndef NETFILTER_ENVIRONMENT_H
#define NETFILTER_ENVIRONMENT_H

#include "base/base.h"

/*
 * The environment to exec with: environ, in which http_proxy, HTTPS_PROXY, ALL_PROXY and
 * NO_PROXY in both cases name the proxy at 127.0.0.1:@port. Port 0: environ itself. NULL
 * when there are too many variables. Static memory, one at a time.
 */
MUST_USE char *const *environment_with_proxy(uint16_t port);

#endif
