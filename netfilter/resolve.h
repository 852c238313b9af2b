/*
 * netfilter/resolve.h - the proxy's own stub resolver: a name in, addresses out.
 *
 * Asks the container's name servers (resolv.conf) for A and AAAA at once, over UDP from a
 * new port with a random id and random case for every try, over TCP when an answer is cut
 * off. The container's /etc/hosts comes first. Answers are kept for their TTL, a minute at
 * most; questions for the same name are asked once. Nobody asks before the policy said
 * yes: a query is a way out too.
 *
 * The caller's loop watches our descriptors (struct ev_ref of the kind given at open)
 * and calls resolve_event and resolve_tick. A lookup that is over is told by a callback.
 */
#ifndef NETFILTER_RESOLVE_H
#define NETFILTER_RESOLVE_H

#include "base/ev.h"
#include "netfilter/resolv.h"
#include "netfilter/sock.h"

#define RESOLVE_ADDRESSES 16
#define RESOLVE_MS 5000      /* all tries together, unless resolv.conf has options for it … */
#define RESOLVE_MS_MAX 30000 /* … and then no more than this */

enum resolve_status {
        RESOLVE_OK,
        RESOLVE_NONE,   /* there is no such name, or no address of it */
        RESOLVE_FAILED, /* no server gave an answer in time */
        RESOLVE_WAIT,   /* the callback will tell */
};
const char *resolve_status_str(enum resolve_status s);

struct resolved {
        enum resolve_status status;
        uint8_t count;
        struct address addresses[RESOLVE_ADDRESSES]; /* IPv4 first */
};

/* Someone who waits for a lookup; lives in the caller's struct, zero when not waiting. */
struct resolve_waiter {
        struct resolve_waiter *next, *prev;
};

/*
 * @conf and @hosts (a text, NULL: none) must outlive us. Without a name server in @conf we ask
 * 127.0.0.1, as libc does; a name that is not there is asked for under its search list.
 *
 * @beside_task: whoever we judge has our addresses too, and may bind to port 53 of one that
 * nobody serves; with a name server like that an allowed name would lead wherever it likes.
 * So none of ours is asked, but for Docker's, whose port is redirected before it gets there.
 */
void resolve_open(int ev, uint8_t kind, const struct resolv *conf, const char *hosts,
                  bool beside_task,
                  void (*done)(struct resolve_waiter *w, const struct resolved *r));

/*
 * RESOLVE_OK, _NONE or _FAILED: *@r is the answer, now. RESOLVE_WAIT: @w is in our hands
 * until the callback or resolve_cancel.
 */
MUST_USE enum resolve_status resolve_start(const struct name *name, struct resolve_waiter *w,
                                           struct resolved *r, uint64_t now_ms);
void resolve_cancel(struct resolve_waiter *w); /* safe on one that does not wait */

void resolve_event(struct ev_ref ref, uint64_t now_ms);
/* Timeouts; returns the milliseconds until it wants to be called again, or @at_most. */
int resolve_tick(uint64_t now_ms, int at_most);

/* A new phase: nothing we learned before counts. Nobody may be waiting. */
void resolve_forget(void);

#endif
