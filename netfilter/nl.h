/*
 * netfilter/nl.h - netlink: messages into a bounded buffer, and what the kernel says to them.
 *
 * A batch is written straight down: nl_message() closes the message before it, nl_nest()
 * opens an attribute that holds others. What does not fit sets w.full for good, and
 * nl_transact() refuses to send it.
 *
 * The kernel's acks lie in three ways, and nl_judge() believes none of them: an ack of 0
 * for a later message although an earlier one failed; the failure of the commit under the
 * sequence number of the batch's beginning; and an ack of 0 for a batch without an end,
 * of which nothing was done. Hence any error in any answer is a failure, silence is one,
 * and whoever needs certainty reads the result back (nft_verify).
 *
 * The caller owns buffers and descriptors. Nothing here logs or allocates.
 */
#ifndef NETFILTER_NL_H
#define NETFILTER_NL_H

#include "base/rd.h"
#include "base/wr.h"

#include <linux/netlink.h>

#define NL_REPLY_MAX 16384 /* a datagram of answers; dumps come in pages of at most this */

struct nl {
        struct wr w;
        size_t message; /* where the open message begins; w.len when none is open */
        uint32_t seq;   /* of the open or last message */
        uint32_t ack;   /* the message whose ack ends the transaction; 0: none asked for */
};

/* A writer of messages into @buf, which must be aligned for a struct nlmsghdr. */
struct nl nl_of(void *buf, size_t cap);

/* Closes the open message, and begins one whose fixed part is @head. */
void nl_message(struct nl *n, uint16_t type, uint16_t flags, const void *head, size_t head_len);

/* Closes the open message; sizes are right from here on. */
void nl_close(struct nl *n);

/* Asks for the ack of the open message. The last one asked for ends the transaction. */
void nl_ask(struct nl *n);

/* Attributes: bytes as they are, a string with its NUL, numbers in network order. */
void nl_put(struct nl *n, uint16_t type, const void *value, size_t len);
void nl_put_str(struct nl *n, uint16_t type, const char *value);
void nl_put_be32(struct nl *n, uint16_t type, uint32_t value);

/* An attribute that holds others: those put until nl_nested() of the value it returns. */
MUST_USE size_t nl_nest(struct nl *n, uint16_t type);
void nl_nested(struct nl *n, size_t nest);

/* Takes the next attribute off @r. False at the end, and for one that breaks the format. */
bool nl_attribute(struct rd *r, uint16_t *type, struct rd *value);

/* A socket of @protocol (NETLINK_NETFILTER, NETLINK_ROUTE), or -errno. */
MUST_USE int nl_open(int protocol);

/* A copy of the caller's netlink socket @fd, as nl_open() makes them, or -errno. */
MUST_USE int nl_adopt(int fd);

enum nl_verdict {
        NL_WAIT,      /* nothing wrong so far, and the awaited ack is not there */
        NL_DONE,      /* the awaited ack came, and no error with it */
        NL_FAILED,    /* an answer is an error: *@err holds it, negative */
        NL_MALFORMED, /* not netlink */
};

/* Judges one datagram of answers. Pure. */
MUST_USE enum nl_verdict nl_judge(const void *datagram, size_t len, uint32_t ack, int *err);

/*
 * Sends what @n holds and reads every answer. 0; -ETIMEDOUT after @ms; -EMSGSIZE when the
 * buffer was too small; -EPROTO; or the first error that the kernel named.
 */
MUST_USE int nl_transact(int fd, struct nl *n, int ms);

/* The answers to a dump, one message after another. */
struct nl_dump {
        int fd;
        uint32_t seq;
        int64_t deadline_ms;
        void *buf;
        size_t cap;
        struct rd rest; /* of the datagram in buf */
};

/* Sends the one request that @n holds. Its answers go into @buf. 0 or -errno. */
MUST_USE int nl_dump_open(struct nl_dump *d, int fd, struct nl *n, void *buf, size_t cap, int ms);

/* 1 and the message's type and body; 0 at the end; -EINTR when it changed under us; -errno. */
MUST_USE int nl_dump_next(struct nl_dump *d, uint16_t *type, struct rd *body);

#endif
