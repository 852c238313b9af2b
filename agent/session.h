/*
 * agent/session.h - what outlives a connection, for 80 seconds.
 *
 * FREE -> HELD      session_open     attached to the connection that asked
 * HELD -> DETACHED  session_detach   no connection; the timer runs
 * DETACHED -> HELD  session_resume   another connection of the same client
 * any -> FREE       session_close    every process of it is killed
 */
#ifndef AGENT_SESSION_H
#define AGENT_SESSION_H

#include "agent/conn.h"
#include "agent/server.h"

#define SESSION_COUNT 1024
#define SESSION_ID_LEN 36

struct job;

struct session {
        bool used;
        char id[SESSION_ID_LEN + 1];
        struct server *server;
        struct conn *conn; /* NULL: detached */
        struct job *jobs;  /* all of them, newest first */
        struct job *ready, *last_ready; /* those with an event that the client may have now */
        struct ev_timer timer;
};

/* NULL: too many sessions. */
struct session *session_open(struct server *s, struct conn *c);
void session_detach(struct session *x);
/* NULL: there is none of that id. */
struct session *session_find(const char *id, size_t len);
void session_resume(struct session *x, struct conn *c);
void session_close(struct session *x);
void session_timers(struct server *s);
void session_close_all(void);

#endif
