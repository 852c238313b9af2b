/*
 * netfilter/route.h - the routes of a network namespace that has only a loopback device.
 *
 * One netlink message each, over one socket. They ask for CAP_NET_ADMIN over the namespace.
 */
#ifndef NETFILTER_ROUTE_H
#define NETFILTER_ROUTE_H

#include "base/base.h"

/* Sets the loopback device up: 127.0.0.1 and ::1 are there. 0 or -errno. */
MUST_USE int route_loopback_up(void);

/*
 * Makes every address of @family local: a connect to any of them reaches a socket of this
 * namespace, or is refused at once. 0 or -errno.
 */
MUST_USE int route_all_local(int family);

#endif
