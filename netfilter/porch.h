/*
 * netfilter/porch.h - lets clients in to a server under a lock, and nothing of it out.
 *
 * A process of its own, outside of the lock (apart.h). It listens in the network that the
 * container has, and for each client hands the server one end of a pair of unix sockets;
 * between the two it copies bytes, which it does not read. So the server and all it runs
 * hold no socket of that network: with one, even a listening one, shutdown(2) and then
 * connect(2) would lead anywhere. It ends with the server.
 */
#ifndef NETFILTER_PORCH_H
#define NETFILTER_PORCH_H

#include "base/base.h"

/*
 * Listens at @url, ws://IPv4:PORT or ws://[IPv6]:PORT. The server's end of the channel,
 * close-on-exec: each client is a MSG_VISITOR on it. -EINVAL: no such address; -errno.
 */
MUST_USE int porch_open(const char *url);

#endif
