/*
 * netfilter/notify.h - the parts of airlock-notify, which answers the agent's watched calls.
 *
 * The one rule: a call whose safety hangs on the agent's memory (connect) is never let
 * through, because another thread may change that memory after we read it. It is made here,
 * with our copy of the address, on the agent's own socket. What is let through
 * (CALL_CONTINUE) is harmless whatever it finds.
 *
 *   connect, TCP   127.0.0.1:redirect_port, after a CONNECT message told the proxy where to;
 *                  for real when the address is this machine's own, and nobody listened on
 *                  that port before the agent was there
 *   connect, unix  the file that the path is for the agent, opened here; only sockets that
 *                  the task bound itself, or that a process of this pid namespace listens on
 *   socket, UDP    one end of a SOCK_SEQPACKET pair, whose other end answers DNS
 *   socketpair     SOCK_SEQPACKET for SOCK_DGRAM: a datagram socket could write to any path
 *
 * How the agent's socket comes here, best first: taken with pidfd_getfd(2); "held": made here
 * when the agent asked for one (notify_hold_filter), and kept until it is connected, bound
 * or one of too many; else a new one is put in its place, which loses its options.
 *
 * One thread, no allocation, no blocking call but the question to the proxy. Owner of every
 * descriptor: the function that opened it, until it is noted, pending or sent.
 */
#ifndef NETFILTER_NOTIFY_H
#define NETFILTER_NOTIFY_H

#include "netfilter/agent.h"
#include "netfilter/notes.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PENDING_MAX 1024
#define REFUSERS_MAX 512
#define ASK_MS 5000 /* the proxy's time to answer */

#define LOST_MAX 64

/* What a handler answers beside 0 and -errno. */
#define CALL_CONTINUE 0x40000001
#define CALL_ANSWERED 0x40000002 /* already, or later */

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_storage room;
};

/* A connect that waits: for the other side, or for room in a unix server's queue. */
struct pending {
        struct agent agent;
        int fd;            /* the agent's socket */
        int file;          /* what a unix socket's address names, or -1 */
        bool retry;        /* connect again; otherwise it becomes writable */
        union address to;
        socklen_t to_len;
};

/*
 * An answer that came too late: a signal had sent its caller back, who asks again. Only
 * kernels without WAIT_KILLABLE_RECV do that (before 5.19).
 */
struct lost {
        pid_t tid; /* 0: unused */
        uint64_t fd, at;
        int r;
};

struct notifier {
        int listener, proxy; /* proxy: -1 for none, then every name is refused */
        bool off;            /* nothing leaves: only what is local may be connected to */
        bool task_only;      /* unix sockets that the task bound itself, no others */
        uint16_t redirect_port;
        uint16_t http_port;  /* the proxy's other door, 0: none */
        uint8_t others[65536 / 8]; /* a bit for each port that was listened on before */
        bool hold;           /* seen: the agent's streams are made here */
        int route;           /* NETLINK_ROUTE: whose is an address? */
        int diag;            /* NETLINK_SOCK_DIAG: whose is a unix socket? -1: nobody knows */
        struct in_addr own;  /* what getsockname(2) says of a UDP socket */
        struct notes held;   /* streams made here and not connected yet */
        struct notes udp;    /* the agent's ends of pairs */
        struct notes bound;  /* sockets that the agent gave a name */
        struct notes inside; /* files of unix sockets that are the task's, by their inode */
        struct pending pending[PENDING_MAX];
        size_t pending_count;
        int refusers[REFUSERS_MAX]; /* other ends of pairs, when nobody else answers; 0: none */
        size_t refuser_next;
        struct lost lost[LOST_MAX];
        size_t lost_next;
};

struct call {
        struct agent agent;
        int file; /* opened for the agent, closed after the call; -1: none */
        int nr;
        uint64_t arg[6];
};

/* notify_calls.c: answers @c. Returns 0, -errno, or one of the two above. */
MUST_USE int notify_call(struct notifier *n, struct call *c);
/* A pending connect has something to say: its answer, or CALL_CONTINUE for "not yet". */
MUST_USE int notify_pending(struct pending *p);

/* The socket that the agent's descriptor is, as far as we have it. */
struct stream {
        int fd;            /* our duplicate; -1: neither to be taken nor held */
        struct note *note; /* where it is held */
        struct note *udp;  /* it is one end of a pair, and nothing else is set */
};

/* Fills *@s for the call's first argument. -EISCONN: it was held and is connected since. */
MUST_USE int notify_acquire(struct notifier *n, struct call *c, struct stream *s);
/* Puts a new socket in the place of the agent's descriptor and acquires that. */
MUST_USE int notify_replace(struct notifier *n, struct call *c, int domain, int type,
                            struct stream *s);
/* After a connect that returned @r: closes what was taken, lets go of what is connected. */
int notify_release(struct notifier *n, struct stream *s, int r, bool kept);
/*
 * Connects our duplicate @fd of the agent's socket to exactly @to. When the answer comes
 * later (CALL_ANSWERED, *@kept) the pending connect owns @fd.
 */
MUST_USE int notify_connect(struct notifier *n, struct call *c, int fd, const union address *to,
                            socklen_t len, bool *kept);
/* notify_stream.c: connects an INET socket to where the policy wants it. Releases @s. */
MUST_USE int notify_stream(struct notifier *n, struct call *c, struct stream *s,
                           const union address *to);
/* notify_unix.c: the same for a unix socket. */
MUST_USE int notify_unix(struct notifier *n, struct call *c, struct stream *s,
                         const struct sockaddr_un *to, size_t len);

/* notify_udp.c: what the agent does with a socket that is one end of a pair. */
MUST_USE int notify_udp_socket(struct notifier *n, struct call *c);
MUST_USE int notify_udp_pair(struct notifier *n, struct call *c);
MUST_USE int notify_udp_connect(struct note *s, const union address *to);
MUST_USE int notify_udp_call(struct notifier *n, struct call *c, struct note *s);
void notify_udp_refuse(struct notifier *n, size_t refuser);

/* notify_route.c: is @a an address of this machine? Opens the socket for it. */
MUST_USE int notify_route_open(struct notifier *n);
bool notify_is_local(struct notifier *n, const struct msg_address *a);
/* The address that packets to the world would come from. */
void notify_own_address(struct notifier *n);

/* notify_others.c: who listens on TCP now? Called before the agent is there. */
MUST_USE int notify_find_others(struct notifier *n);
bool notify_is_others(const struct notifier *n, uint16_t port);

/* netfilter/notify_diag.c: the unix socket of this network namespace that has a name. */
struct unix_name {
        uint64_t device, inode; /* of the file; or */
        const char *text;       /* an abstract name without its first NUL, else NULL */
        size_t len;
};
/* Its inode; 0: there is none; -errno: nobody can say. */
MUST_USE int notify_diag_find(struct notifier *n, const struct unix_name *name, uint64_t *inode);

/* Addresses of the agent's form, and back. An IPv4-mapped one is an IPv4 one. */
MUST_USE int address_read(struct call *c, uint64_t at, uint64_t len, union address *a);
bool address_of(const union address *a, struct msg_address *to);
socklen_t address_put(const struct msg_address *from, int domain, union address *a);

#endif
