/*
 * netfilter/route.h - the routes of a network namespace that has only a loopback device.
 *
 * One netlink message each. They ask for CAP_NET_ADMIN over the namespace.
 */
#ifndef NETFILTER_ROUTE_H
#define NETFILTER_ROUTE_H

#include "base/base.h"

#define ROUTE_OWN_MAX 16

/* The addresses that this machine is known by, for its own servers to be reached at. */
struct route_own {
        struct {
                int family;
                uint8_t bytes[16];
        } at[ROUTE_OWN_MAX];
        unsigned count;
};

/* Those of the namespace we are in, less loopback and link-local; what can't be read is none. */
void route_find_own(struct route_own *own);

/* Gives them to the loopback device. 0 or -errno. */
MUST_USE int route_add_own(const struct route_own *own);

/* Sets the loopback device up: 127.0.0.1 and ::1 are there. 0 or -errno. */
MUST_USE int route_loopback_up(void);

/*
 * Makes every address of @family local: a connect to any of them reaches a socket of this
 * namespace, or is refused at once. 0 or -errno.
 */
MUST_USE int route_all_local(int family);

/*
 * Makes the loopback device the way to everywhere: what rules do not redirect on its way
 * out comes back in and is dropped. 0 or -errno.
 */
MUST_USE int route_all_out(int family);

#endif
