/*
 * netfilter/look.h - the seam between the proxy's loop and netfilter/inspect.h.
 *
 * A connection that a rule wants to look into takes one of LOOKS slots when its
 * ClientHello is there, and holds it until it ends (CONN_LOOK; DIAL and its like in
 * between). Slots are large and reserved once; what they touched is given back to the kernel
 * but for a few, so a quiet proxy has none of it.
 */
#ifndef NETFILTER_LOOK_H
#define NETFILTER_LOOK_H

#include "netfilter/conn.h"
#include "netfilter/inspect.h"
#include "netfilter/proxy_options.h"

#define LOOKS 512 /* at a time; the next one is refused (limit) */

/*
 * Before the proxy is confined: makes the task's authority, writes its certificate where the
 * options say, reads whom we trust upstream. A step: ends the process when it can't.
 */
void look_open(const struct proxy_options *o);

/* Was our certificate handed to anybody who tells the clients of it? */
bool look_is_known(void);

/* The client's hello is in up_in, and its name is the host's; or plain HTTP (conn.model, conn.speak_tls). */
void look_begin(struct proxy *p, struct conn *c);
void look_event(struct proxy *p, struct conn *c, bool client, uint32_t events);
/* The server is there, or it is refused. */
void look_reached(struct proxy *p, struct conn *c);
void look_refused(struct proxy *p, struct conn *c, enum policy_reason reason, const char *detail);
void look_late(struct proxy *p, struct conn *c);
/* Gives the slot back. */
void look_drop(struct conn *c);
/* The same, after a line for what was still under way: a WebSocket may have been open for hours. */
void look_cut(struct proxy *p, struct conn *c);

/* Another phase: no session of the old one is resumed, on either side. */
void look_forget(void);

/* What rules inject: `NAME=VALUE` NUL … 0 or -errno. */
MUST_USE int look_secrets(const char *list, size_t len);
/* Those of an earlier task, `NAME=PLACEHOLDER` NUL …, for secrets that are loaded. -EFBIG. */
MUST_USE int look_aliases(const char *list, size_t len);
/* `NAME=PLACEHOLDER` NUL …, what the agent may hold in their place. */
void look_put_placeholders(struct wr *w);
/* A placeholder is in a head that goes over plain HTTP. */
bool look_foreign(const struct http1 *h);

#endif
