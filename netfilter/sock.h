/*
 * netfilter/sock.h - the proxy's sockets: an address and a port, and calls that take them.
 *
 * Operations: a descriptor or 0, or -errno. Every socket is non-blocking and close-on-exec.
 */
#ifndef NETFILTER_SOCK_H
#define NETFILTER_SOCK_H

#include "base/base.h"
#include "netfilter/address.h"

#include <sys/socket.h>

struct endpoint {
        struct address address; /* family 0: unknown, or a unix socket */
        uint16_t port;          /* host order */
};

/* What sockets to the outside carry (SO_MARK), so that our own lock lets them pass. 0: none. */
void sock_mark(uint32_t mark);

/* A socket to the outside; type SOCK_STREAM or SOCK_DGRAM. A stream has TCP_NODELAY. */
MUST_USE int sock_outside(const struct address *a, int type);
/* 0 when connected or under way. */
MUST_USE int sock_connect(int fd, const struct endpoint *to);
/* How a connect is doing: 0, it is there; -EALREADY, under way; -errno, it failed. */
MUST_USE int sock_progress(int fd, const struct endpoint *to);
/* The error that a connect under way ended with: 0, or -errno. */
MUST_USE int sock_error(int fd);

/* For one that somebody else made. */
MUST_USE int sock_nonblocking(int fd);

/* A listener of ours. */
MUST_USE int sock_listen(const struct endpoint *at);
MUST_USE int sock_listen_unix(const char *path);
MUST_USE int sock_bind_udp(const struct endpoint *at);

/* An accepted connection: TCP_NODELAY and keepalive, if it is TCP. */
void sock_tune(int fd);

/* getsockname, getpeername, and where a redirected connection was going. */
MUST_USE int sock_local(int fd, struct endpoint *e);
MUST_USE int sock_peer(int fd, struct endpoint *e);
MUST_USE int sock_original(int fd, struct endpoint *e);

/* Closes so that the other side sees a reset. */
void sock_reset(int fd);

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* The IPv4 address in host order; 0 for another kind. */
uint32_t endpoint_v4(const struct endpoint *e);
/* 1.2.3.4:80 and [::1]:80. */
void endpoint_put(struct wr *w, const struct endpoint *e);
/* "1.2.3.4:80", "[::1]:80", ":80" and "80" (127.0.0.1). False: none of these. */
MUST_USE bool endpoint_parse(struct endpoint *e, const char *text);
socklen_t endpoint_to(const struct endpoint *e, struct sockaddr_storage *s);
void endpoint_of(struct endpoint *e, const struct sockaddr_storage *s);

#endif
