/*
 * agent/conn.h - one client: its bytes, its messages, and what it owes and is owed.
 *
 * FREE -> HEAD      conn_accept   a socket; bytes of an HTTP request
 * FREE -> OPEN      conn_stdio    lines
 * HEAD -> OPEN      conn_head     WebSocket frames
 * OPEN -> CLOSING   conn_finish   what is in out, a Close frame last, then nothing
 * any -> FREE       conn_close    descriptors closed, session detached, gen + 1
 *
 * A message of ours is written straight into the output buffer between conn_begin and
 * conn_end. While a file is being streamed as one long message (conn_busy), what else is
 * written goes behind it; requests and events wait.
 */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include "agent/buf.h"
#include "agent/server.h"
#include "agent/ws.h"

#define CONN_COUNT 256
#define CONN_MESSAGES_MAX (256U << 20) /* held by all unfinished messages of all clients */
#define CONN_OUT_EVENTS (256U << 10)   /* above this no event is added */
#define CONN_OUT_REQUESTS (16U << 20)  /* above this no request is read */
#define CONN_HELD_MAX (16U << 20)      /* requests that wait for a file call before them */

struct session;
struct open_file;

enum conn_state { CONN_FREE, CONN_HEAD, CONN_OPEN, CONN_CLOSING };

struct conn {
        enum conn_state state;
        uint32_t gen;
        struct server *server;
        int in_fd, out_fd; /* the same for a socket */
        bool stdio;
        bool in_is_file; /* stdio: epoll does not know such */
        bool eof;        /* nothing more will come */
        bool text;       /* the message came as text: it has to be UTF-8 */
        bool dirty;      /* in the list of those to flush */
        bool initialized; /* the notification came */
        uint32_t events, out_events; /* what epoll was told */
        struct buf in, message, out;
        struct buf after; /* messages written while a file is on its way */
        struct buf *to;   /* conn_begin: out or after */
        size_t scanned;  /* of the HTTP head, or of the line */
        struct ws ws;
        size_t begun;    /* conn_begin: where the message's head goes */
        int stream_fd;   /* a file that is being sent, or -1 */
        unsigned owed;   /* stdio: answers that the end of input waits for */
        struct session *session;
        struct ev_timer timer; /* the handshake's end, then the next ping */
        struct ev_timer trim;  /* a large output buffer is looked at again */
        unsigned mutations;    /* file calls in helpers that later ones wait for */
        unsigned reads;        /* calls in helpers that change nothing */
        unsigned abroad;       /* http/request helpers */
        struct buf held;       /* what waits for either: length and text */
        struct open_file *handles;
        char peer[80];
        struct conn *next_dirty;
};

/* Who asked, for an answer that comes later. The id is the owner's to free. */
struct asker {
        uint32_t slot, gen;
        char *id;
        size_t id_len;
};

void conn_init(struct server *s);
/* Takes @fd. NULL: full. */
struct conn *conn_accept(struct server *s, int fd, const char *peer);
struct conn *conn_stdio(struct server *s, int in, int out);
void conn_close(struct conn *c);
/* Sends what is owed, then a Close frame with @code, then closes. */
void conn_finish(struct conn *c, unsigned code, const char *why);

void conn_event(struct server *s, struct ev_ref ref, uint32_t events);
/* Reads on, writes events and sends, for every connection that has something to do. */
void conn_flush_dirty(struct server *s);
void conn_mark(struct conn *c);
void conn_timers(struct server *s);
/* SIGTERM: a Close frame for each, as far as it can be sent at once. */
void conn_stop_all(struct server *s);

/* NULL: it is gone. */
struct conn *conn_of(const struct asker *a);
/* Was it @c that asked, whatever its state? */
bool conn_is(const struct asker *a, const struct conn *c);
struct asker conn_asker(const struct conn *c, const char *id, size_t id_len);
void asker_free(struct asker *a);

static inline bool conn_busy(const struct conn *c)
{
        return c->stream_fd >= 0;
}

/* One message: the text goes to the buffer that conn_begin returns. */
struct buf *conn_begin(struct conn *c);
void conn_end(struct conn *c);

/* {"id":…,"result": … } */
struct buf *conn_answer(struct conn *c, const char *id, size_t id_len);
void conn_answered(struct conn *c);
void conn_error(struct conn *c, const char *id, size_t id_len, int code, const char *fmt, ...)
        PRINTF_LIKE(5, 6);
/* The code and text for an errno of the system: process calls map them all to -32603. */
void conn_errno(struct conn *c, const char *id, size_t id_len, int code, int err);

/*
 * Answers with the whole of @fd, from its offset on, as {"dataBase64":"…"}; takes @fd.
 * Nothing of it is held but one piece.
 */
void conn_stream(struct conn *c, const char *id, size_t id_len, int fd);

#endif
