/* agent/session.c - the table of sessions. */
#include "agent/session.h"

#include "agent/job.h"

#include <string.h>
#include <sys/random.h>

static struct session sessions[SESSION_COUNT] LARGE_BUFFER;

/* A random UUID, version 4. */
static void make_id(char id[SESSION_ID_LEN + 1])
{
        uint8_t b[16];
        size_t at = 0;

        while (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
                ;
        b[6] = (uint8_t)((b[6] & 15) | 0x40);
        b[8] = (uint8_t)((b[8] & 63) | 0x80);
        for (size_t i = 0; i < sizeof(b); i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        id[at++] = '-';
                id[at++] = "0123456789abcdef"[b[i] >> 4];
                id[at++] = "0123456789abcdef"[b[i] & 15];
        }
        id[at] = '\0';
}

struct session *session_open(struct server *s, struct conn *c)
{
        struct session *free_one = NULL;

        for (size_t i = 0; i < SESSION_COUNT && !free_one; i++)
                if (!sessions[i].used)
                        free_one = &sessions[i];
        if (!free_one) {
                struct ev_timer *oldest = s->kept_sessions.all.next;

                if (oldest == &s->kept_sessions.all)
                        return NULL;
                free_one = (struct session *)(void *)((char *)oldest -
                                                      offsetof(struct session, timer));
                session_close(free_one);
        }
        *free_one = (struct session){ .used = true, .server = s, .conn = c };
        s->attached++;
        s->had_client = true;
        make_id(free_one->id);
        return free_one;
}

static void leave(struct session *x)
{
        if (!x->conn)
                return;
        x->conn = NULL;
        x->server->attached--;
        x->server->idle_since = x->server->now_ms;
}

void session_detach(struct session *x)
{
        leave(x);
        if (x->server->stopping)
                return;
        /* What nobody waits for any more is retained and not queued. */
        job_attach(x);
        ev_arm(&x->server->kept_sessions, &x->timer, x->server->now_ms);
}

struct session *session_find(const char *id, size_t len)
{
        for (size_t i = 0; i < SESSION_COUNT; i++)
                if (sessions[i].used && len == SESSION_ID_LEN &&
                    !memcmp(sessions[i].id, id, SESSION_ID_LEN))
                        return &sessions[i];
        return NULL;
}

void session_resume(struct session *x, struct conn *c)
{
        ev_disarm(&x->timer);
        x->conn = c;
        x->server->attached++;
        job_attach(x);
}

void session_close(struct session *x)
{
        ev_disarm(&x->timer);
        job_end_all(x);
        if (x->conn)
                x->conn->session = NULL;
        leave(x);
        x->used = false;
}

void session_timers(struct server *s)
{
        struct ev_timer *t;

        while ((t = ev_due(&s->kept_sessions, s->now_ms)))
                session_close(
                        (struct session *)(void *)((char *)t - offsetof(struct session, timer)));
}

void session_close_all(void)
{
        for (size_t i = 0; i < SESSION_COUNT; i++)
                if (sessions[i].used)
                        session_close(&sessions[i]);
}
