/*
 * netfilter/inside.h - the proxy's listeners inside a network namespace of the command's.
 *
 * The sockets are made by the process that will be the command, belong to its namespace
 * for good, and are handed to the proxy, which lives outside: whoever connects to one
 * talks to the proxy. When the proxy ends they end with it, and connects are refused.
 *
 * Without rules that redirect (nf_tables), connections reach us at the ports that we
 * listen on. Where a port is wanted by a server of the command's own too, we were first:
 * so they are few, and ones that servers under development rarely take.
 */
#ifndef NETFILTER_INSIDE_H
#define NETFILTER_INSIDE_H

#include "base/base.h"

#define INSIDE_PORTS_MAX 32

struct inside {
        int proxy;          /* the channel for LISTENER messages */
        uint16_t http_port; /* of the HTTP and SOCKS door on 127.0.0.1 and ::1 */
        bool no_rules;      /* do without nf_tables, even if it is there (tests) */
        bool redirected;    /* rules send TCP to inside_redirect_port: no list of ports */
        uint16_t ports[INSIDE_PORTS_MAX]; /* besides the usual ones, without rules */
        unsigned port_count;
};

#define INSIDE_DNS_PORT 53

/* Where rules have to send TCP: in a namespace of its own any number is free. */
uint16_t inside_redirect_port(const struct inside *in);

/*
 * Makes the listeners and has the proxy take every one. 0, or -errno with *@stage naming
 * what failed; the sockets made so far are closed.
 */
MUST_USE int inside_listen(struct inside *in, const char **stage);

#endif
