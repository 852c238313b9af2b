/*
 * netfilter/conn.h - one relayed connection and its states; the proxy that has thousands.
 *
 * FREE     -> GREET     conn_new        a slot and a client
 * GREET    -> SOCKS HEAD door_greet     LISTEN_PROXY: the first byte tells HTTP from SOCKS
 * GREET    -> HEAD PEEK RESOLVE DIAL    door_direct: the kernel told where to
 * GREET    -> DNS       listen.c        DNS over TCP: queries in, answers out
 * SOCKS    -> RESOLVE DIAL              the request is whole and allowed
 * HEAD     -> RESOLVE DIAL EXCHANGE     exchange_request: a request is whole and allowed
 * PEEK     -> RESOLVE DIAL TUNNEL HEAD  door_peek: the first bytes are what they have to be
 * RESOLVE  -> DIAL      conn_dial       the name has addresses that may be dialled
 * DIAL     -> PARENT    conn_connected  only with an upstream proxy
 * DIAL PARENT -> PEEK HEAD TUNNEL EXCHANGE   conn_reached
 * EXCHANGE -> HEAD      exchange_end    the response is over, the client may ask again
 * EXCHANGE -> TUNNEL    exchange_…      101 Switching Protocols
 * any      -> LINGER    conn_linger     the last words are on their way to the client
 * any      -> FREE      conn_close      both fds closed, buffers given back, gen + 1
 *
 * PEEK     -> LOOK      look_begin      a rule wants to see the requests in this TLS
 * HEAD     -> LOOK      door_speak_tls  the client has no TLS and asked us for ours
 * LOOK     -> RESOLVE DIAL              … and one of them was allowed
 * RESOLVE DIAL PARENT -> LOOK           look_reached, look_refused
 *
 * Bytes from the client are up, bytes to it are down. Each way has a buffer behind the
 * reader (in) and one before the writer (out), taken while it holds something; a tunnel
 * has a pipe instead. The slot owns all of it.
 */
#ifndef NETFILTER_CONN_H
#define NETFILTER_CONN_H

#include "base/ev.h"
#include "base/http1.h"
#include "base/msg.h"
#include "netfilter/journal.h"
#include "netfilter/policy.h"
#include "netfilter/pool.h"
#include "netfilter/resolve.h"
#include "netfilter/sock.h"

#define CONN_COUNT 4096
#define CONN_ADDRESSES 8 /* of a name, that we try */
#define CONN_PATH 200    /* bytes of a path, for the journal */

enum ev_kind { EV_CLIENT, EV_SERVER, EV_LISTENER, EV_CHANNEL, EV_RESOLVER, EV_SIGNAL };

enum conn_state {
        CONN_FREE,
        CONN_GREET,
        CONN_SOCKS,
        CONN_HEAD,
        CONN_PEEK,
        CONN_RESOLVE,
        CONN_DIAL,
        CONN_PARENT,
        CONN_EXCHANGE,
        CONN_TUNNEL,
        CONN_LINGER,
        CONN_DNS,
        CONN_LOOK,
        CONN_STATES,
};

/* How it came in, which is also how it is refused. */
enum door { DOOR_HTTP, DOOR_CONNECT, DOOR_SOCKS, DOOR_DIRECT, DOOR_DNS };

/* Deadlines: one queue of timers for each. */
enum deadline {
        WAIT_STEP,   /* 2 s: the next address of a name is tried */
        WAIT_LINGER, /* 5 s: the client takes our last words */
        WAIT_DIAL,   /* 10 s: a connect, an upstream proxy's answer */
        WAIT_HEAD,   /* 30 s: a head, a hello, a greeting */
        WAIT_IDLE,   /* 60 s: the next request on a kept connection */
        WAIT_HALF,   /* 5 min: the open half of a tunnel */
        WAIT_STALL,  /* 10 min: an exchange in which nothing moves */
        WAIT_COUNT,
};

struct side {
        int fd; /* -1: none */
        uint32_t armed;
        bool watched; /* known to epoll */
        bool eof;     /* read its end */
        bool shut;    /* we sent ours */
};

struct body {
        enum http1_body kind;
        bool done, rechunk;
        uint64_t left;
        struct http1_chunked chunked;
};

/* An HTTP request and its response. */
struct exchange {
        struct body request, response;
        bool sent;        /* the request's head is made */
        bool answering;   /* the response's head went on */
        bool keep_client, keep_server;
        bool reused;      /* the server connection had a request before */
        bool websocket;
        bool old_client;  /* HTTP/1.0 */
        uint8_t method_len, path_len;
        uint8_t refs;     /* a push whose refs are checked: index into the readers, 0: none */
        char method[32];
        char path[CONN_PATH];
        unsigned code;
        int rule;
        size_t scanned; /* http1's */
        uint64_t start_ms, up, down;
};

struct conn {
        enum conn_state state;
        uint32_t gen;
        enum door door;
        struct side client, server;
        struct buf *up_in, *up_out, *down_in, *down_out;
        struct pipe up_pipe, down_pipe;
        struct ev_timer timer;
        struct resolve_waiter waiter;
        struct policy_verdict verdict; /* and with it host and port */
        struct host reached;  /* where the server connection goes to … */
        uint16_t reached_port; /* … 0: there is none */
        bool fixed;     /* HTTP to verdict.host alone: transparent, or through CONNECT */
        bool known;     /* verdict is filled */
        bool speak_tls; /* the client asked us to, in its place */
        bool model;     /* MSG_CLIENT: under the model's policy */
        bool told;      /* the client of CONNECT or SOCKS had its yes */
        bool peeked;    /* the first bytes were looked at */
        bool parent;    /* the server is the upstream proxy … */
        bool to_parent; /* … whose name is being resolved */
        bool copying;   /* splice does not work here */
        bool relayed;   /* bytes went both ways: a line for the journal is due */
        uint8_t refused_all; /* enum policy_reason of the addresses left out */
        uint8_t address_count, address_at;
        struct address addresses[CONN_ADDRESSES];
        struct endpoint dialled;
        uint32_t synthetic; /* the virtual address in use, 0: none */
        struct exchange x;
        struct inspect *look; /* NULL: not looked into (look.h) */
        uint8_t look_waits;   /* the phase of it that the deadline is for */
        uint64_t start_ms, up, down;
        uint32_t pid;
        char command[120];
};

#define ACCEPT_RETRY_MS 100
#define LISTENERS 1024

struct listener_slot {
        int fd; /* -1: free */
        enum listener kind;
        uint32_t gen;
        struct endpoint at; /* family 0: unix */
        bool busy;          /* several came at once lately */
        uint64_t last_ms;
};

#define CHANNELS 16

enum channel_for {
        CHANNEL_OF_LOCKS,   /* takes LISTENER and CONNECT */
        CHANNEL_OF_SECRETS, /* takes SECRETS alone: airlock-unseal's */
        CHANNEL_OF_MODEL,   /* takes CLIENT alone: airlock-agent's */
        CHANNEL_OF_CONTROL, /* takes all; its end is ours */
};

struct channel {
        int fd;
        uint32_t gen;
        enum channel_for use;
};

struct proxy {
        int ev;
        uint64_t now_ms;
        struct policy policy;
        void *arenas[2];
        unsigned arena; /* the policy's */
        struct policy model; /* for clients that came by MSG_CLIENT */
        void *model_arena;
        struct ev_queue waits[WAIT_COUNT];
        struct conn *conns;
        uint32_t conn_count, conn_fresh, conn_limit;
        uint32_t free_conns[CONN_COUNT];
        uint32_t free_count;
        bool accepting;
        uint64_t retry_ms; /* not accepting for lack of descriptors: until then */
        bool ended;
        struct listener_slot listeners[LISTENERS];
        uint32_t listener_fresh;
        struct channel channels[CHANNELS];
};

/* The policy that the connection is under. */
static inline const struct policy *conn_policy(const struct proxy *p, const struct conn *c)
{
        return c->model ? &p->model : &p->policy;
}

/* --- conn.c: the table, the sides, the ends ------------------------------------------- */

MUST_USE int conn_open_table(struct proxy *p);
/* A slot for an accepted descriptor, which it owns from now on; NULL: none is free. */
struct conn *conn_new(struct proxy *p, int fd);
void conn_go(struct conn *c, enum conn_state to);
void conn_wait(struct proxy *p, struct conn *c, enum deadline d);
void conn_no_deadline(struct conn *c);

/* Closes both sides, after a line in the journal if one is due. */
void conn_close(struct proxy *p, struct conn *c);
/* The same, and both see a reset. */
void conn_reset(struct proxy *p, struct conn *c);
void conn_reset_all(struct proxy *p);
/* What waits to be sent stays, for the next server. */
void conn_drop_server(struct conn *c);

/* What is armed is told to epoll only when it changes. */
void conn_arm(struct proxy *p, struct conn *c, struct side *s, uint32_t events);
/*
 * A hang-up or an error while we do not read from that side. True: the connection is gone,
 * or the side is no longer watched until it is armed again.
 */
bool conn_lost(struct proxy *p, struct conn *c, struct side *s, uint32_t events);
/* Arms the client, or both, by what the buffers can take and what they hold. */
void conn_arm_client(struct proxy *p, struct conn *c);
void conn_arm_buffers(struct proxy *p, struct conn *c);

/* Reads once. >0, 0: nothing now, or -errno; the end sets eof, and -ENOBUFS means no buffer. */
ssize_t conn_read(struct side *s, struct buf **b);
/* Writes what is pending and gives an empty buffer back. 0 or -errno. */
int conn_flush(struct side *s, struct buf **b);
/* Appends text; false: no room. */
bool conn_put(struct buf **b, const char *text, size_t len);

/* Decides by host and port; false: refused already. */
bool conn_decide(struct proxy *p, struct conn *c, const struct host *h, uint16_t port);
/* Says no in the way of the door, writes the line, ends the connection or the request. */
void conn_refuse(struct proxy *p, struct conn *c, enum policy_reason reason,
                 const char *detail);
/* Journal line for the connection as a whole. */
void conn_report(struct proxy *p, struct conn *c, enum policy_reason reason,
                 const char *detail);
/* down_out's bytes are the last; then the end. */
void conn_linger(struct proxy *p, struct conn *c);
/* The client took some of them, or said more that nobody reads. */
void conn_linger_event(struct proxy *p, struct conn *c);

/* --- dial.c: to the server ------------------------------------------------------------- */

/* Gets a server connection for c->verdict; ends in conn_reached or a refusal. */
void conn_reach(struct proxy *p, struct conn *c);
void conn_resolved(struct proxy *p, struct conn *c, const struct resolved *r);
void conn_dial_event(struct proxy *p, struct conn *c);
void conn_dial_late(struct proxy *p, struct conn *c);
void conn_parent_event(struct proxy *p, struct conn *c);

/* --- door.c: how a connection begins --------------------------------------------------- */

void door_greet(struct proxy *p, struct conn *c);
void door_socks(struct proxy *p, struct conn *c);
void door_peek(struct proxy *p, struct conn *c);
/* A transparent connection to @to. */
void door_direct(struct proxy *p, struct conn *c, const struct endpoint *to);
/* The name behind a virtual address; false: there is none, and the client was told. */
bool door_synthetic(struct proxy *p, struct conn *c, const struct endpoint *to, struct host *h);
/*
 * CONNECT with X-Airlock-TLS: from here on the client speaks plain HTTP to us, and we TLS to
 * the host, whose certificate we check. Each request is judged as if it had been looked into.
 */
void door_speak_tls(struct proxy *p, struct conn *c);
/* The server is there: what the door promised comes next. */
void conn_reached(struct proxy *p, struct conn *c);

/* --- exchange.c: HTTP ------------------------------------------------------------------ */

/* Bytes, a server, or room are there: go on as far as possible. */
void exchange_pump(struct proxy *p, struct conn *c);
/* Answers a request with a refusal. Ends the connection unless it may go on. */
void exchange_refuse(struct proxy *p, struct conn *c, enum policy_reason reason,
                     const char *detail);
void exchange_init(struct conn *c);
/* Lets go of what it holds outside the slot. */
void exchange_drop(struct conn *c);

/* --- tunnel.c -------------------------------------------------------------------------- */

void tunnel_begin(struct proxy *p, struct conn *c);
/* @client: the event was on the client's side. */
void tunnel_event(struct proxy *p, struct conn *c, bool client, uint32_t events);

/* --- answer.c: DNS --------------------------------------------------------------------- */

void answer_udp(struct proxy *p, struct listener_slot *l);
/* False: the other end is gone. */
bool answer_pair(struct proxy *p, struct listener_slot *l);
void answer_tcp(struct proxy *p, struct conn *c);
void answer_open(const struct resolv *conf);

/* --- listen.c -------------------------------------------------------------------------- */

/* Takes the descriptor over, also on failure. */
MUST_USE int listen_add(struct proxy *p, int fd, enum listener kind);
void listen_event(struct proxy *p, struct ev_ref ref, uint32_t events);
/* A client that was handed to us: its socket, which is ours from now on. */
void listen_client(struct proxy *p, int fd);
/* Stops or goes on accepting. */
void listen_accepting(struct proxy *p, bool on);
/* Is this a listener of ours? A connection there would come round again. */
bool listen_is_own(const struct proxy *p, const struct endpoint *e);
/* The connection from that loopback port is meant for @m->to. */
void listen_expect(struct proxy *p, const struct msg *m);
/* Resets what waits to be accepted, drops queries that wait, forgets who was expected. */
void listen_drop_waiting(struct proxy *p);

/* --- control.c ------------------------------------------------------------------------- */

MUST_USE int control_open(struct proxy *p);
MUST_USE int control_add(struct proxy *p, int fd, enum channel_for use);
void control_event(struct proxy *p, struct ev_ref ref);
/* Replaces the policy: every connection is reset, every name forgotten. 0 or -errno. */
MUST_USE int control_policy(struct proxy *p, const char *text, size_t len, const char *phase,
                            struct policy_error *e);
/* The same from a file of NAME=VALUE lines; their placeholders go into @out unless NULL. */
MUST_USE int control_secrets_file(const char *path, const char *out);
/* The secret's value, NUL-terminated, or NULL. */
const char *control_secret(const char *name);

#endif
