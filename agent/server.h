/*
 * agent/server.h - airlock-exec: who owns what, and who calls whom.
 *
 *     exec.c      the loop: listeners, signals, timers
 *     conn.c      one client's bytes: WebSocket or lines, in and out
 *     dispatch.c  a message becomes a call; the life cycle of a connection
 *     session.c   what outlives a connection: processes, for a while
 *     job.c       a process as clients see it: events in order, retained output
 *     keeper.c    its parent: starts it, reaps what it leaves, kills all of it
 *     files.c     the fs/ calls; tree.c their recursive ones, in a child of their own
 *     watch.c     the fs/watchMissing call
 *     config.c    the environmentConfig/read call
 *     discover.c  the capabilityRoots/discoverV1 call
 *     inventory.c the capabilities/discoverV2 call: skill.c and yaml.c understand what it finds
 *     http.c      the http/request call
 *
 * One process, one thread, level-triggered epoll. A call that can take long either waits in
 * a list (a long poll, a write to a full pipe) or runs in a forked helper, so no client
 * waits for another's, nor for its own. Every buffer has a bound in its module's header.
 *
 * Output goes by need: a job retains what it read, and a connection with room in its buffer
 * takes the next event from the next job that has one. That gives the order (by seq, after
 * the answer to start), and the backpressure: a job that is too far ahead of its client
 * is not read from.
 */
#ifndef AGENT_SERVER_H
#define AGENT_SERVER_H

#include "agent/upgrade.h"
#include "base/base.h"
#include "base/ev.h"

#define PING_MS 30000
#define TRIM_MS 1000 /* after this an empty buffer is given back */
#define HANDSHAKE_MS 30000 /* for the HTTP request of a new connection */

enum event_kind {
        EVENT_SIGNAL,
        EVENT_LISTENER,
        EVENT_PORCH, /* airlock-lock's, in the listener's place */
        EVENT_STDIN, /* --exit-on-stdin-close */
        EVENT_CONN,
        EVENT_CONN_OUT, /* stdio's second descriptor */
        EVENT_JOB_OUT,
        EVENT_JOB_ERR,
        EVENT_JOB_IN,
        EVENT_JOB_KEEPER,
        EVENT_FLOOD, /* a timer: see job.c */
        EVENT_HELPER,
        EVENT_WATCH,
};

struct server {
        int ev;
        int null_fd;
        uint64_t now_ms;
        struct auth_rule auth;
        bool on_network;      /* by an address that processes here may reach too … */
        const char *key_path; /* … and the file of its token, or NULL */
        char *const *environment; /* our own: envPolicy may inherit it */
        bool stopping;
        uint32_t keep_ms;    /* a session without a connection, a process that is closed */
        uint64_t idle_ms;    /* end so long after the last client; 0: never */
        uint64_t idle_since; /* when it went, or when we began */
        unsigned attached;   /* sessions with a connection: clients */
        bool had_client;
        int status; /* the exit status, when stopping */
        struct ev_queue pings, handshakes, trims, kept_sessions, kept_jobs;
};

#endif
