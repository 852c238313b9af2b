/* agent/conn.c - bytes to messages and back. */
#include "agent/conn.h"

#include "base/base64.h"
#include "agent/dispatch.h"
#include "agent/files.h"
#include "agent/helper.h"
#include "agent/job.h"
#include "agent/session.h"
#include "agent/watch.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define READ_MAX (256U << 10)
#define OUT_KEEP (64U << 10)   /* an output buffer that was empty for a second keeps this */
#define OUT_FIRST (32U << 10)  /* it starts with this much */
#define STREAM_PIECE ((size_t)48 << 10) /* bytes of a file in one frame: 64 KiB as base64 */
#define HEAD_ROOM 4            /* a frame's head for most messages */

static struct conn conns[CONN_COUNT] LARGE_BUFFER;
static char scratch[READ_MAX] LARGE_BUFFER;
static struct conn *dirty_list;
static size_t messages_held; /* bytes in all in and message buffers */

void conn_init(struct server *s)
{
        ev_queue_init(&s->pings, PING_MS);
        ev_queue_init(&s->handshakes, HANDSHAKE_MS);
        ev_queue_init(&s->trims, TRIM_MS);
}

static uint32_t slot_of(const struct conn *c)
{
        return (uint32_t)(c - conns);
}

void conn_mark(struct conn *c)
{
        if (c->dirty)
                return;
        c->dirty = true;
        c->next_dirty = dirty_list;
        dirty_list = c;
}

struct conn *conn_of(const struct asker *a)
{
        struct conn *c = &conns[a->slot];

        return a->id && c->gen == a->gen && c->state == CONN_OPEN ? c : NULL;
}

bool conn_is(const struct asker *a, const struct conn *c)
{
        return &conns[a->slot] == c && a->gen == c->gen;
}

struct asker conn_asker(const struct conn *c, const char *id, size_t id_len)
{
        struct asker a = { slot_of(c), c->gen, take_memory(id_len + 1), id_len };

        memcpy(a.id, id, id_len);
        return a;
}

void asker_free(struct asker *a)
{
        free(a->id);
        *a = (struct asker){ 0 };
}

static struct conn *conn_take(struct server *s)
{
        for (size_t i = 0; i < CONN_COUNT; i++) {
                struct conn *c = &conns[i];
                uint32_t gen = c->gen;

                if (c->state != CONN_FREE || c->dirty)
                        continue;
                *c = (struct conn){ .gen = gen, .server = s, .in_fd = -1, .out_fd = -1,
                                    .stream_fd = -1 };
                return c;
        }
        return NULL;
}

/* Whoever has not said yet what it wants makes room for the next, the oldest first. */
static struct conn *conn_take_anyhow(struct server *s)
{
        struct conn *c = conn_take(s);
        struct ev_timer *oldest = s->handshakes.all.next;

        if (c || oldest == &s->handshakes.all)
                return c;
        conn_close((struct conn *)(void *)((char *)oldest - offsetof(struct conn, timer)));
        return conn_take(s);
}

struct conn *conn_accept(struct server *s, int fd, const char *peer)
{
        struct conn *c = conn_take_anyhow(s);
        struct ev_ref ref = { .kind = EVENT_CONN };

        if (!c)
                return NULL;
        ref.slot = slot_of(c);
        ref.gen = c->gen;
        if (ev_add(s->ev, fd, EPOLLIN, ref) < 0)
                return NULL;
        c->state = CONN_HEAD;
        c->events = EPOLLIN;
        c->in_fd = fd;
        c->out_fd = fd;
        strncpy(c->peer, peer, sizeof(c->peer) - 1);
        ev_arm(&s->handshakes, &c->timer, s->now_ms);
        return c;
}

static int set_nonblocking(int fd)
{
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

struct conn *conn_stdio(struct server *s, int in, int out)
{
        struct conn *c = conn_take(s);
        struct ev_ref ref = { EVENT_CONN, slot_of(c), c->gen };
        struct ev_ref out_ref = { EVENT_CONN_OUT, slot_of(c), c->gen };

        if (set_nonblocking(in) < 0 || set_nonblocking(out) < 0)
                die_errno(STATUS_PROVISION, errno, "stdin, stdout");
        c->state = CONN_OPEN;
        c->stdio = true;
        c->in_fd = in;
        c->out_fd = out;
        c->events = EPOLLIN;
        /* A file can't be watched and never makes us wait. */
        c->in_is_file = ev_add(s->ev, in, EPOLLIN, ref) == -EPERM;
        if (ev_add(s->ev, out, 0, out_ref) < 0 && errno != EPERM)
                die_errno(STATUS_PROVISION, errno, "stdout");
        conn_mark(c);
        return c;
}

void conn_close(struct conn *c)
{
        struct server *s = c->server;

        if (c->state == CONN_FREE)
                return;
        ev_disarm(&c->timer);
        ev_disarm(&c->trim);
        messages_held -= c->in.cap + c->message.cap;
        if (c->stdio) {
                s->stopping = true;
                ev_remove(s->ev, c->in_fd);
                ev_remove(s->ev, c->out_fd);
        } else {
                close(c->in_fd);
        }
        if (c->stream_fd >= 0)
                close(c->stream_fd);
        files_close_all(c);
        watch_forget(c);
        buf_free(&c->in);
        buf_free(&c->message);
        buf_free(&c->out);
        buf_free(&c->held);
        buf_free(&c->after);
        c->state = CONN_FREE;
        helper_forget(c);
        c->gen++;
        job_forget_waiters();
        if (c->session)
                session_detach(c->session);
        c->session = NULL;
}

/* --- out --------------------------------------------------------------------------------- */

struct buf *conn_begin(struct conn *c)
{
        c->to = conn_busy(c) ? &c->after : &c->out;
        if (c->out.len > OUT_FIRST / 4)
                buf_room(&c->out, OUT_FIRST);
        c->begun = c->to->len;
        if (!c->stdio) {
                buf_room(c->to, HEAD_ROOM);
                buf_added(c->to, HEAD_ROOM);
        }
        return c->to;
}

void conn_end(struct conn *c)
{
        char head[WS_HEAD_MAX], *at;
        size_t len, head_len;

        conn_mark(c);
        if (c->stdio) {
                buf_put(c->to, "\n", 1);
                return;
        }
        len = c->to->len - c->begun - HEAD_ROOM;
        head_len = ws_put_head(head, WS_TEXT, true, len);
        if (head_len > HEAD_ROOM)
                buf_room(c->to, head_len - HEAD_ROOM);
        at = buf_at(c->to) + c->begun;
        if (head_len != HEAD_ROOM)
                memmove(at + head_len, at + HEAD_ROOM, len);
        memcpy(at, head, head_len);
        c->to->len = c->begun + head_len + len;
}

struct buf *conn_answer(struct conn *c, const char *id, size_t id_len)
{
        struct buf *b = conn_begin(c);

        buf_str(b, "{\"id\":");
        buf_put(b, id, id_len);
        buf_str(b, ",\"result\":");
        return b;
}

void conn_answered(struct conn *c)
{
        buf_str(c->to, "}");
        conn_end(c);
}

void conn_error(struct conn *c, const char *id, size_t id_len, int code, const char *fmt, ...)
{
        char text[8192];
        struct wr w = wr_of(text, sizeof(text));
        struct buf *b = conn_begin(c);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        buf_fmt(b, "{\"error\":{\"code\":%d,\"message\":", code);
        buf_json(b, text, w.len);
        buf_str(b, "},\"id\":");
        buf_put(b, id, id_len);
        buf_str(b, "}");
        conn_end(c);
}

void conn_errno(struct conn *c, const char *id, size_t id_len, int code, int err)
{
        conn_error(c, id, id_len, code, "%s (os error %d)", strerror(err), err);
}

static void put_control(struct conn *c, enum ws_opcode opcode, const void *payload, size_t len)
{
        char head[WS_HEAD_MAX];

        buf_put(&c->out, head, ws_put_head(head, opcode, true, len));
        buf_put(&c->out, payload, len);
        conn_mark(c);
}

void conn_finish(struct conn *c, unsigned code, const char *why)
{
        uint8_t payload[WS_CONTROL_MAX] = { (uint8_t)(code >> 8), (uint8_t)code };
        size_t len = strnlen(why, sizeof(payload) - 2);

        if (c->state == CONN_OPEN && !c->stdio) {
                memcpy(payload + 2, why, len);
                put_control(c, WS_CLOSE, payload, code ? len + 2 : 0);
        }
        if (c->stream_fd >= 0)
                close(c->stream_fd);
        c->stream_fd = -1;
        c->state = CONN_CLOSING;
        conn_mark(c);
}

void conn_stream(struct conn *c, const char *id, size_t id_len, int fd)
{
        char head[WS_HEAD_MAX];
        struct buf *b = &c->out;
        size_t at;

        must_hold(!conn_busy(c));
        /* The first frame ends with the opening quote; the rest follows as there is room. */
        if (!c->stdio) {
                size_t len = 6 + id_len + 10 + 15;

                buf_put(b, head, ws_put_head(head, WS_TEXT, false, len));
        }
        at = b->len;
        buf_str(b, "{\"id\":");
        buf_put(b, id, id_len);
        buf_str(b, ",\"result\":{\"dataBase64\":\"");
        must_hold(c->stdio || b->len - at == 6 + id_len + 25);
        c->stream_fd = fd;
        conn_mark(c);
}

static void stream_end(struct conn *c)
{
        char head[WS_HEAD_MAX];

        if (!c->stdio)
                buf_put(&c->out, head, ws_put_head(head, WS_CONTINUE, true, 3));
        buf_str(&c->out, c->stdio ? "\"}}\n" : "\"}}");
        close(c->stream_fd);
        c->stream_fd = -1;
        buf_put(&c->out, buf_at(&c->after), c->after.len);
        buf_free(&c->after);
}

/* The next piece of the file. Whole groups of three, or base64 would end in the middle. */
static void stream_more(struct conn *c)
{
        char head[WS_HEAD_MAX];
        size_t len = 0;

        while (len < STREAM_PIECE) {
                ssize_t n = read(c->stream_fd, scratch + len, STREAM_PIECE - len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        conn_finish(c, 1011, "the file can't be read to its end");
                        return;
                }
                if (!n)
                        break;
                len += (size_t)n;
        }
        if (len) {
                if (!c->stdio)
                        buf_put(&c->out, head,
                                ws_put_head(head, WS_CONTINUE, false, BASE64_PADDED(len)));
                buf_base64(&c->out, scratch, len);
        }
        if (len < STREAM_PIECE)
                stream_end(c);
}

/* Sends what the socket takes. False: the connection is over. */
static bool send_out(struct conn *c)
{
        while (c->out.len) {
                ssize_t n = c->stdio ? write(c->out_fd, buf_at(&c->out), c->out.len)
                                     : send(c->out_fd, buf_at(&c->out), c->out.len, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return errno == EAGAIN;
                buf_drop(&c->out, (size_t)n, SIZE_MAX);
        }
        return true;
}

/* --- in ---------------------------------------------------------------------------------- */

static bool may_read(const struct conn *c)
{
        return !conn_busy(c) && c->out.len < CONN_OUT_REQUESTS && c->held.len < CONN_HELD_MAX &&
               c->state != CONN_CLOSING;
}

static void message_in(struct conn *c, enum ws_opcode opcode, char *text, size_t len)
{
        c->text = opcode == WS_TEXT;
        dispatch_message(c, text, len);
}

static void control_in(struct conn *c, const struct ws_frame *f, char *payload)
{
        unsigned code = 1000;

        if (f->opcode == WS_PING) {
                put_control(c, WS_PONG, payload, f->len);
        } else if (f->opcode == WS_CLOSE) {
                if (!ws_close_valid(payload, f->len))
                        code = 1002;
                else if (f->len >= 2)
                        code = (unsigned)(uint8_t)payload[0] << 8 | (uint8_t)payload[1];
                conn_finish(c, f->len || code != 1000 ? code : 0, "");
        }
}

/* One frame at the start of @bytes. Returns what it took; 0: not all of it is here. */
static size_t frame_in(struct conn *c, char *bytes, size_t len)
{
        struct ws w = c->ws;
        struct ws_frame f;
        enum ws_status s = ws_parse(&w, &f, bytes, len);
        char *payload;

        if (s == WS_MORE || (s == WS_OK && len - f.head_len < f.len)) {
                if (s == WS_OK && messages_held + f.len > CONN_MESSAGES_MAX)
                        conn_finish(c, 1013, "too many large messages at once");
                else if (s == WS_OK)
                        (void)buf_room(&c->in, c->in.len ? f.head_len + f.len - len : 0);
                return 0;
        }
        if (s != WS_OK) {
                conn_finish(c, ws_close_code(s), ws_status_str(s));
                return 0;
        }
        c->ws = w;
        payload = bytes + f.head_len;
        ws_unmask(payload, f.len, f.mask, 0);
        if (f.opcode >= WS_CLOSE) {
                control_in(c, &f, payload);
        } else if (f.fin && f.opcode != WS_CONTINUE) {
                message_in(c, f.opcode, payload, f.len);
        } else {
                buf_put(&c->message, payload, f.len);
                if (f.fin) {
                        message_in(c, w.opcode, buf_at(&c->message), c->message.len);
                        if (c->state != CONN_FREE)
                                buf_drop(&c->message, c->message.len, 0);
                }
        }
        return f.head_len + f.len;
}

static size_t line_in(struct conn *c, char *bytes, size_t len)
{
        char *end = memchr(bytes + c->scanned, '\n', len - c->scanned);
        size_t n;

        if (!end) {
                c->scanned = len;
                if (len > WS_MESSAGE_MAX)
                        conn_finish(c, 0, "");
                return 0;
        }
        c->scanned = 0;
        n = (size_t)(end - bytes);
        if (n && bytes[n - 1] == '\r')
                n--;
        for (size_t i = 0; i < n; i++)
                if (bytes[i] != ' ' && bytes[i] != '\t') {
                        dispatch_message(c, bytes, n);
                        break;
                }
        return (size_t)(end - bytes) + 1;
}

static size_t head_in(struct conn *c, char *bytes, size_t len)
{
        struct upgrade u;
        char text[1024];
        struct wr w = wr_of(text, sizeof(text));
        enum upgrade_status s =
                upgrade_parse(&u, &c->server->auth, bytes, len, &c->scanned, time(NULL));

        if (s == UPGRADE_MORE)
                return 0;
        upgrade_put(&w, &u);
        buf_put(&c->out, text, w.len);
        c->scanned = 0;
        if (s == UPGRADE_OPEN) {
                c->state = CONN_OPEN;
                ev_arm(&c->server->pings, &c->timer, c->server->now_ms);
                conn_mark(c);
                return u.head_len;
        }
        conn_finish(c, 0, "");
        return 0;
}

/* Takes whole messages from @bytes as long as there is room for their answers. */
static size_t take_messages(struct conn *c, char *bytes, size_t len)
{
        uint32_t gen = c->gen;
        size_t used = 0, n = 1;

        while (n && used < len && c->gen == gen && may_read(c)) {
                n = c->state == CONN_HEAD ? head_in(c, bytes + used, len - used)
                    : c->stdio            ? line_in(c, bytes + used, len - used)
                                          : frame_in(c, bytes + used, len - used);
                used += n;
        }
        return used;
}

/* What was read earlier and could not be answered then. */
static void take_held(struct conn *c)
{
        size_t before = c->in.cap + c->message.cap, used;
        uint32_t gen = c->gen;

        if (!c->in.len || !may_read(c))
                return;
        used = take_messages(c, buf_at(&c->in), c->in.len);
        if (c->gen != gen)
                return;
        buf_drop(&c->in, used, 0);
        messages_held += c->in.cap + c->message.cap - before;
}

/* A last line without its newline counts. */
static void input_ended(struct conn *c)
{
        c->eof = true;
        if (c->stdio && c->in.len)
                buf_put(&c->in, "\n", 1);
        take_held(c);
        if (c->state != CONN_FREE && !c->stdio)
                conn_finish(c, 0, "");
        conn_mark(c);
}

static void readable(struct conn *c)
{
        size_t before = c->in.cap + c->message.cap, used;
        uint32_t gen = c->gen;
        bool direct = c->in.len == 0;
        size_t room = READ_MAX;
        char *to = scratch;
        ssize_t n;

        if (!direct) {
                to = buf_room(&c->in, 4096);
                room = c->in.cap - c->in.head - c->in.len;
        }
        n = read(c->in_fd, to, room);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n < 0) {
                conn_close(c);
                return;
        }
        if (!n) {
                input_ended(c);
                return;
        }
        if (!direct) {
                buf_added(&c->in, (size_t)n);
                messages_held += c->in.cap + c->message.cap - before;
                take_held(c);
                return;
        }
        used = take_messages(c, scratch, (size_t)n);
        if (c->gen != gen)
                return;
        buf_put(&c->in, scratch + used, (size_t)n - used);
        messages_held += c->in.cap + c->message.cap - before;
}

/* --- the loop's side ------------------------------------------------------------------------ */

static void watch(struct conn *c)
{
        struct server *s = c->server;
        struct ev_ref ref = { EVENT_CONN, slot_of(c), c->gen };
        struct ev_ref out_ref = { EVENT_CONN_OUT, slot_of(c), c->gen };
        uint32_t in = may_read(c) && !c->eof ? EPOLLIN : 0;
        uint32_t out = c->out.len || c->stream_fd >= 0 ? EPOLLOUT : 0;

        if (!c->stdio) {
                in |= out;
        } else if (out != c->out_events) {
                c->out_events = out;
                (void)!ev_change(s->ev, c->out_fd, out, out_ref); /* a file takes it all */
        }
        if (in != c->events && !c->in_is_file) {
                c->events = in;
                (void)!ev_change(s->ev, c->in_fd, in, ref);
        }
}

static bool more_to_do(const struct conn *c, size_t had)
{
        if (conn_busy(c) || had != c->in.len || (c->in_is_file && !c->eof))
                return true;
        return c->state == CONN_OPEN && c->session && c->session->ready;
}

/* Reads on, lets events and files in as there is room, and sends. */
static void flush(struct conn *c)
{
        uint32_t gen = c->gen;

        for (unsigned turn = 0; turn < 64; turn++) {
                size_t had = c->in.len;
                bool was_busy = conn_busy(c);

                if (c->in_is_file && may_read(c) && !c->eof)
                        readable(c);
                dispatch_held(c);
                take_held(c);
                if (c->gen != gen)
                        return;
                while (conn_busy(c) && c->out.len < 4 * STREAM_PIECE)
                        stream_more(c);
                if (c->state == CONN_OPEN && !conn_busy(c) && c->session)
                        job_emit(c->session, c);
                if (!send_out(c)) {
                        conn_close(c);
                        return;
                }
                if (c->abroad)
                        helper_resume(c); /* what it adds marks us again */
                /* Requests waited for a file to end: they have not been looked at yet. */
                if (c->out.len || (!was_busy && !more_to_do(c, had)))
                        break;
                if (turn == 63)
                        conn_mark(c);
        }
        if (c->eof && c->stdio && c->state == CONN_OPEN && !c->owed && !c->in.len)
                conn_finish(c, 0, "");
        if (c->state == CONN_CLOSING && !c->out.len) {
                if (!c->stdio)
                        shutdown(c->out_fd, SHUT_RDWR);
                conn_close(c);
                return;
        }
        if (c->out.cap > OUT_KEEP && !c->trim.next)
                ev_arm(&c->server->trims, &c->trim, c->server->now_ms);
        watch(c);
}

void conn_flush_dirty(struct server *s)
{
        (void)s;
        while (dirty_list) {
                struct conn *c = dirty_list;

                dirty_list = c->next_dirty;
                c->dirty = false;
                if (c->state != CONN_FREE)
                        flush(c);
        }
}

void conn_event(struct server *s, struct ev_ref ref, uint32_t events)
{
        struct conn *c = &conns[ref.slot];

        (void)s;
        if (c->gen != ref.gen || c->state == CONN_FREE)
                return; /* closed earlier in this batch */
        conn_mark(c);
        if (ref.kind == EVENT_CONN_OUT) {
                if (events & EPOLLERR)
                        conn_close(c);
                return;
        }
        if (events & EPOLLERR || (events & EPOLLHUP && !c->stdio)) {
                conn_close(c);
                return;
        }
        if (events & (EPOLLIN | EPOLLHUP) && may_read(c) && !c->eof)
                readable(c);
}

void conn_timers(struct server *s)
{
        struct ev_timer *t;

        while ((t = ev_due(&s->handshakes, s->now_ms)))
                conn_close((struct conn *)(void *)((char *)t - offsetof(struct conn, timer)));
        while ((t = ev_due(&s->trims, s->now_ms))) {
                struct conn *c = (struct conn *)(void *)((char *)t - offsetof(struct conn, trim));

                if (!c->out.len)
                        buf_free(&c->out);
                else
                        ev_arm(&s->trims, &c->trim, s->now_ms);
        }
        while ((t = ev_due(&s->pings, s->now_ms))) {
                struct conn *c = (struct conn *)(void *)((char *)t - offsetof(struct conn, timer));

                ev_arm(&s->pings, &c->timer, s->now_ms);
                if (c->state == CONN_OPEN && !c->out.len)
                        put_control(c, WS_PING, "", 0);
        }
}

void conn_stop_all(struct server *s)
{
        for (size_t i = 0; i < CONN_COUNT; i++)
                if (conns[i].state == CONN_OPEN)
                        conn_finish(&conns[i], 1001, "the server ends");
        conn_flush_dirty(s);
}
