/* agent/client.c - the states of a connection, its requests, and what comes back. */
#include "agent/client_inner.h"

#include "agent/rpc.h"
#include "agent/uri.h"
#include "base/clock.h"
#include "base/digits.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RETRY_MS 100         /* between two tries to come back */
#define FIRST_PAUSE_MS 1000  /* between the tries of a first connection; doubled each time */
#define LAST_PAUSE_MS 30000
#define SHORT_MS 1000        /* a connection that lived shorter is not tried again at once */
#define QUIET_MS 40000       /* the server pings every 30 s: after this we ask */
#define SILENT_MS 20000      /* and after so much more it is gone */

enum remote_status client_url(struct client_target *t, const char *url)
{
        *t = (struct client_target){ .in_fd = -1, .out_fd = -1 };
        if (strncmp(url, "unix:", 5) != 0) {
                t->transport = CLIENT_TCP;
                return remote_parse(&t->at, url);
        }
        if (!url[5])
                return REMOTE_SCHEME;
        if (strlen(url + 5) >= sizeof(t->path))
                return REMOTE_LONG;
        t->transport = CLIENT_UNIX;
        memcpy(t->path, url + 5, strlen(url + 5));
        return REMOTE_OK;
}

/* --- requests ----------------------------------------------------------------------------- */

struct client_request *client_request(struct client *c, enum request_kind kind, const char *method)
{
        bool own = kind == REQUEST_HELLO || kind == REQUEST_INFO || kind == REQUEST_MISSED;
        struct client_request *r;

        if (!own && (c->requests >= CLIENT_REQUESTS || c->queued > CLIENT_QUEUE_MAX))
                return NULL;
        r = take_memory(sizeof(*r));
        r->id = ++c->last_id;
        r->kind = kind;
        buf_str(&r->text, "{\"id\":");
        buf_u64(&r->text, r->id);
        buf_fmt(&r->text, ",\"method\":\"%s\",\"params\":", method);
        return r;
}

/* What cannot be sent is answered at once, by the next client_next. */
static void fail(struct client *c, struct client_request *r, int code)
{
        if (!r->failed)
                c->failures++;
        r->failed = true;
        r->code = code;
}

uint64_t client_queue(struct client *c, struct client_request *r)
{
        buf_str(&r->text, "}");
        r->text_len = r->text.len;
        c->queued += r->text_len;
        c->requests++;
        if (c->last)
                c->last->next = r;
        else
                c->first = r;
        c->last = r;
        if (c->state == CLIENT_DEAD)
                fail(c, r, c->down_code);
        return r->id;
}

void client_drop(struct client_request *r)
{
        if (r)
                buf_free(&r->text);
        free(r);
}

void client_forget(struct client *c, struct client_request *r)
{
        struct client_request **at = &c->first, *before = NULL;

        for (; *at != r; at = &(*at)->next)
                before = *at;
        *at = r->next;
        if (c->last == r)
                c->last = before;
        c->requests--;
        if (r->failed)
                c->failures--;
        if (r->text.bytes)
                c->queued -= r->text_len;
        client_drop(r);
}

static struct client_request *find_request(struct client *c, const struct rpc *m)
{
        struct value v = { .type = VALUE_NUMBER, .at = m->id, .len = m->id_len };
        uint64_t id;

        if (!value_u64(&v, &id))
                return NULL;
        for (struct client_request *r = c->first; r; r = r->next)
                if (r->id == id)
                        return (r->framed && r->sent) ? r : NULL;
        return NULL;
}

/* --- states ------------------------------------------------------------------------------- */

static bool comes_back(const struct client *c)
{
        return c->target.transport == CLIENT_TCP || c->target.transport == CLIENT_UNIX;
}

static void try_now(struct client *c)
{
        uint32_t ms = c->target.connect_ms;

        c->due_ms = c->now_ms + (ms ? ms : CLIENT_CONNECT_MS);
        wire_open(c);
}

/* Everything that waits gets its answer: nobody is left without one. */
static void give_up(struct client *c, int code)
{
        wire_close(c, false);
        c->state = comes_back(c) ? CLIENT_IDLE : CLIENT_DEAD;
        c->session[0] = '\0';
        c->end_ms = 0;
        c->ready = false;
        c->down = true;
        c->down_code = code;
        for (struct client_request *r = c->first, *next; r; r = next) {
                next = r->next;
                if (r->kind == REQUEST_CALL || r->kind == REQUEST_WRITE)
                        fail(c, r, code);
                else
                        client_forget(c, r); /* its process is told below */
        }
        for (size_t i = 0; i < CLIENT_PROCESSES; i++)
                if (c->processes[i].number)
                        process_fail(c, &c->processes[i], code, c->why, strlen(c->why));
}

/* The connection is gone, and with it what must not be asked twice. */
static void sort_requests(struct client *c)
{
        for (struct client_request *r = c->first, *next; r; r = next) {
                next = r->next;
                switch (r->kind) {
                case REQUEST_HELLO:
                case REQUEST_INFO:
                case REQUEST_MISSED:
                        client_forget(c, r);
                        break;
                case REQUEST_START:
                        r->held = r->held || r->framed; /* asked about, if not answered */
                        break;
                case REQUEST_CALL:
                case REQUEST_WRITE:
                        if (r->framed && !r->again && !r->failed)
                                fail(c, r, CLIENT_E_LOST);
                        break;
                }
        }
        for (struct client_request *r = c->first; r; r = r->next) {
                r->sent = false;
                r->framed = 0;
        }
}

static void try_later(struct client *c, uint32_t pause_ms)
{
        if (c->now_ms + pause_ms > c->end_ms) {
                give_up(c, c->session[0] ? CLIENT_E_LOST : CLIENT_E_REFUSED);
                return;
        }
        c->state = CLIENT_WAITING;
        c->due_ms = c->now_ms + pause_ms;
}

void client_broke(struct client *c, const char *fmt, ...)
{
        struct wr w = wr_of(c->why, sizeof(c->why) - 1);
        bool was_open = c->state == CLIENT_OPEN;
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        wire_close(c, false);
        sort_requests(c);
        if (!comes_back(c)) {
                give_up(c, c->session[0] ? CLIENT_E_LOST : CLIENT_E_REFUSED);
        } else if (was_open) {
                c->end_ms = c->now_ms + CLIENT_RECOVERY_MS;
                try_later(c, c->now_ms - c->open_ms < SHORT_MS ? RETRY_MS : 0);
        } else if (c->session[0]) {
                try_later(c, RETRY_MS);
        } else {
                try_later(c, c->pause_ms);
                c->pause_ms = c->pause_ms < LAST_PAUSE_MS / 2 ? 2 * c->pause_ms : LAST_PAUSE_MS;
        }
}

void client_refused(struct client *c, int code, const char *fmt, ...)
{
        struct wr w = wr_of(c->why, sizeof(c->why) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        sort_requests(c);
        give_up(c, code);
}

void client_hello(struct client *c)
{
        struct client_request *r = client_request(c, REQUEST_HELLO, "initialize");
        uint32_t ms = c->target.initialize_ms;

        c->state = CLIENT_HELLO;
        c->due_ms = c->now_ms + (ms ? ms : CLIENT_INITIALIZE_MS);
        buf_str(&r->text, "{\"clientName\":\"airlock\",\"resumeSessionId\":");
        if (c->session[0])
                buf_json(&r->text, c->session, strlen(c->session));
        else
                buf_str(&r->text, "null");
        buf_str(&r->text, "}");
        client_queue(c, r);
}

static void opened(struct client *c)
{
        static const char initialized[] = "{\"method\":\"initialized\",\"params\":{}}";

        wire_put(c, initialized, sizeof(initialized) - 1);
        c->state = CLIENT_OPEN;
        c->ready = true;
        c->open_ms = c->now_ms;
        c->due_ms = c->now_ms + QUIET_MS;
        c->end_ms = 0;
        if (c->resumed)
                process_resume(c);
}

void client_open(struct client *c, const struct client_target *t)
{
        *c = (struct client){ .target = *t, .in_fd = -1, .out_fd = -1, .hungry = true };
}

void client_close(struct client *c)
{
        struct timespec pause = { 0, 2000000 };

        if (!c->last_id && !c->child && !c->dying && c->state == CLIENT_IDLE && c->in_fd == 0)
                return; /* a zero client */
        if (c->state == CLIENT_IDLE && c->target.transport == CLIENT_STDIO) {
                c->in_fd = c->target.in_fd; /* never used, and ours */
                c->out_fd = c->target.out_fd;
                c->state = CLIENT_DEAD;
        }
        c->now_ms = now_ms();
        wire_close(c, true);
        while (c->dying > 0) {
                c->now_ms = now_ms();
                wire_bury(c, false);
                if (c->dying > 0)
                        nanosleep(&pause, NULL);
        }
        while (c->first)
                client_forget(c, c->first);
        for (size_t i = 0; i < CLIENT_PROCESSES; i++)
                process_free(c, &c->processes[i]);
        buf_free(&c->shown);
        *c = (struct client){ 0 };
}

void client_connect(struct client *c, uint64_t now)
{
        c->now_ms = now;
        if (c->state != CLIENT_IDLE)
                return;
        c->pause_ms = FIRST_PAUSE_MS;
        c->end_ms = now + c->target.patience_ms;
        try_now(c);
}

/* --- the loop's side ------------------------------------------------------------------------ */

static bool wanted(const struct client *c)
{
        if (c->state == CLIENT_IDLE)
                for (const struct client_request *r = c->first; r; r = r->next)
                        if (!r->failed)
                                return true;
        return false;
}

unsigned client_poll(const struct client *c, struct pollfd fds[CLIENT_POLL])
{
        bool out = c->state == CLIENT_CONNECTING || (c->out.len && !c->mute);
        bool in = c->state >= CLIENT_PROXY && c->hungry;
        unsigned n = 0;

        if (c->in_fd < 0 || c->state == CLIENT_IDLE || c->state >= CLIENT_WAITING)
                return 0;
        if (in || (out && c->in_fd == c->out_fd)) {
                fds[n].fd = c->in_fd;
                fds[n++].events = (short)((in ? POLLIN : 0) |
                                          (out && c->in_fd == c->out_fd ? POLLOUT : 0));
        }
        if (out && c->in_fd != c->out_fd) {
                fds[n].fd = c->out_fd;
                fds[n++].events = POLLOUT;
        }
        return n;
}

int client_wait_ms(const struct client *c, uint64_t now, int at_most)
{
        uint64_t due = UINT64_MAX;

        if (c->down || c->ready || c->failures || wanted(c))
                return 0;
        if (c->state != CLIENT_IDLE && c->state != CLIENT_DEAD)
                due = c->due_ms;
        if (c->dying > 0 || (c->asking && due > now + 20))
                due = now + 20;
        if (due == UINT64_MAX)
                return at_most;
        due = due > now ? due - now : 0;
        return at_most < 0 || due < (uint64_t)at_most ? (int)due : at_most;
}

static void due(struct client *c)
{
        switch (c->state) {
        case CLIENT_IDLE:
        case CLIENT_DEAD:
                break;
        case CLIENT_CONNECTING:
        case CLIENT_PROXY:
                client_broke(c, "connect to %s: no answer",
                             c->target.transport == CLIENT_TCP ? c->target.at.host : c->target.path);
                break;
        case CLIENT_UPGRADE:
                client_broke(c, "the server does not answer the handshake");
                break;
        case CLIENT_HELLO:
                client_broke(c, "the server does not answer initialize");
                break;
        case CLIENT_WAITING:
                try_now(c);
                break;
        case CLIENT_OPEN:
                if (c->mute) {
                        client_broke(c, "the server takes nothing more");
                } else if (!c->hungry || !comes_back(c)) {
                        c->due_ms = c->now_ms + QUIET_MS; /* we did not listen; or can't ask */
                } else if (c->pinged) {
                        client_broke(c, "the server gives no sign of life");
                } else {
                        c->pinged = true;
                        c->due_ms = c->now_ms + SILENT_MS;
                        wire_ping(c);
                }
                break;
        }
}

void client_step(struct client *c, const struct pollfd *fds, unsigned n, uint64_t now)
{
        c->now_ms = now;
        wire_bury(c, false);
        for (unsigned i = 0; i < n; i++)
                if (fds[i].revents && fds[i].fd >= 0 &&
                    (fds[i].fd == c->in_fd || fds[i].fd == c->out_fd))
                        wire_event(c, fds[i].fd, fds[i].revents);
        if (wanted(c))
                client_connect(c, now);
        if (c->asking && c->state == CLIENT_OPEN)
                process_due(c);
        if (c->state != CLIENT_IDLE && c->state != CLIENT_DEAD && now >= c->due_ms)
                due(c);
        wire_send(c);
}

/* --- what comes back ------------------------------------------------------------------------ */

/* A string of the message, unescaped where it lies. */
static const char *text_of(struct client *c, const struct value *v, size_t *len)
{
        char *at;

        *len = 0;
        if (v->type != VALUE_STRING)
                return "";
        at = c->text + (v->at - c->text);
        *len = value_string(v, at);
        return at;
}

/* The same, copied; a text that does not fit is left out. */
static void copy_text(struct client *c, const struct value *v, char *out, size_t cap)
{
        size_t len;
        const char *at = text_of(c, v, &len);

        if (len >= cap || memchr(at, '\0', len))
                len = 0;
        memcpy(out, at, len);
        out[len] = '\0';
}

static void copy_uri(const struct value *v, char *out)
{
        static char path[URI_PATH_MAX] LARGE_BUFFER;
        struct params p = { 0 };

        out[0] = '\0';
        params_uri(&p, v, path);
        if (!p.bad && strlen(path) < CLIENT_PATH)
                memcpy(out, path, strlen(path) + 1);
}

static void read_info(struct client *c, const struct value *info)
{
        struct value shell = value_get(info, "shell"), path = value_get(&shell, "path");
        struct value name = value_get(&shell, "name"), v;
        struct value able = value_get(info, "capabilities");
        struct client_info *i = &c->info;

        *i = (struct client_info){ 0 };
        copy_text(c, &path, i->shell, sizeof(i->shell));
        copy_text(c, &name, i->shell_name, sizeof(i->shell_name));
        v = value_get(info, "executorVersion");
        copy_text(c, &v, i->version, sizeof(i->version));
        v = value_get(&able, "processCloseStdin");
        i->close_stdin = value_true(&v);
        v = value_get(&able, "processResize");
        i->resize = value_true(&v);
        v = value_get(info, "cwd");
        copy_uri(&v, i->cwd);
        v = value_get(info, "userHomeDir");
        copy_uri(&v, i->home);
        v = value_get(info, "tempDir");
        copy_uri(&v, i->tmp);
}

static void hello_answered(struct client *c, const struct value *result)
{
        struct value id = value_get(result, "sessionId");
        struct value info = value_get(result, "environmentInfo");
        bool resumed = c->session[0] != '\0';
        char session[sizeof(c->session)];

        copy_text(c, &id, session, sizeof(session));
        if (!session[0] || (resumed && strcmp(session, c->session) != 0)) {
                client_refused(c, CLIENT_E_REFUSED, "the server gave no session");
                return;
        }
        memcpy(c->session, session, sizeof(session));
        c->resumed = resumed;
        if (info.type == VALUE_OBJECT) {
                read_info(c, &info);
                opened(c);
                return;
        }
        if (resumed) {
                opened(c);
                return;
        }
        /* It is asked behind `initialized`, before anything of the caller's. */
        {
                static const char initialized[] = "{\"method\":\"initialized\",\"params\":{}}";
                struct client_request *r = client_request(c, REQUEST_INFO, "environment/info");

                wire_put(c, initialized, sizeof(initialized) - 1);
                buf_str(&r->text, "null"); /* Codex's takes no object here */
                client_queue(c, r);
        }
}

static void hello_refused(struct client *c, int code, const char *text)
{
        if (code == -32010) {
                client_broke(c, "%s", text); /* the server has not noticed the drop yet */
                return;
        }
        client_refused(c, c->session[0] ? CLIENT_E_LOST : CLIENT_E_REFUSED, "%s", text);
}

/* True: *@e tells the start's outcome. */
static bool start_answered(struct client *c, struct client_event *e, uint32_t number, int code,
                           const char *text)
{
        struct client_process *p = process_of(c, number);

        if (!p)
                return false;
        if (code == RPC_INVALID && p->resent) {
                /* "already exists": the first one was only late. Or it says so once more. */
                p->resent = false;
                process_ask(c, p, p->next - 1);
                return false;
        }
        if (code) {
                process_fail(c, p, code, text, strlen(text));
                return false;
        }
        p->started = true;
        *e = (struct client_event){ .kind = CLIENT_STARTED, .process = number, .text = "" };
        return true;
}

static void answer_write(struct client_event *e)
{
        struct value status = value_get(&e->result, "status");

        if (e->code || status.type != VALUE_STRING || value_is(&status, "accepted"))
                return;
        e->code = CLIENT_E_STDIN;
        e->text = value_is(&status, "stdinClosed") ? "its stdin is closed" : "no such process";
}

static bool answer(struct client *c, struct client_event *e, const struct rpc *m)
{
        struct client_request *r = find_request(c, m);
        struct value code = value_get(&m->error, "code"), message = value_get(&m->error, "message");
        int64_t n = 0;
        enum request_kind kind;
        uint32_t process;
        const char *text = "";

        if (!r)
                return false;
        if (m->result.type == VALUE_ABSENT) {
                size_t len;
                const char *at;

                if (!value_i64(&code, &n) || n > 0 || n < INT32_MIN || !n)
                        n = CLIENT_E_ANSWER;
                at = text_of(c, &message, &len);
                if (len >= sizeof(c->text_copy))
                        len = utf8_prefix(at, sizeof(c->text_copy) - 1);
                memcpy(c->text_copy, at, len);
                c->text_copy[len] = '\0';
                text = c->text_copy;
        }
        kind = r->kind;
        process = r->process;
        *e = (struct client_event){ .kind = CLIENT_ANSWER, .request = r->id, .process = process,
                                    .code = (int)n, .text = text, .result = m->result };
        client_forget(c, r);
        switch (kind) {
        case REQUEST_CALL:
                return true;
        case REQUEST_WRITE:
                answer_write(e);
                return true;
        case REQUEST_START:
                return start_answered(c, e, process, (int)n, text);
        case REQUEST_HELLO:
                if (n)
                        hello_refused(c, (int)n, text);
                else
                        hello_answered(c, &m->result);
                return false;
        case REQUEST_INFO:
                read_info(c, &m->result);
                opened(c);
                return false;
        case REQUEST_MISSED:
                return process_missed(c, e, process, &m->result, (int)n, text);
        }
        return false;
}

/* One message. True: *@e is to be told. */
static bool message_in(struct client *c, struct client_event *e, const char *text, size_t len)
{
        struct rpc m;

        rpc_parse(&m, text, len);
        switch (m.kind) {
        case RPC_RESPONSE:
                return answer(c, e, &m);
        case RPC_NOTIFICATION:
                return c->state == CLIENT_OPEN && process_event(c, e, m.method, &m.params);
        case RPC_REQUEST: {
                struct buf b = { 0 };

                if (m.id_len > CLIENT_TEXT)
                        break;
                /* The protocol lets a server ask a client nothing. */
                buf_fmt(&b, "{\"error\":{\"code\":-32601,\"message\":\"Method not found\"},\"id\":%.*s}",
                        (int)m.id_len, m.id);
                if (c->out.len < CLIENT_MESSAGE_MAX)
                        wire_put(c, buf_at(&b), b.len);
                buf_free(&b);
                return false;
        }
        case RPC_MALFORMED:
                break;
        }
        client_refused(c, CLIENT_E_LOST, "what the server sent is no message: %s at byte %zu",
                       m.what ? m.what : "a long id", m.at);
        return false;
}

static bool failed_next(struct client *c, struct client_event *e)
{
        for (struct client_request *r = c->first; r; r = r->next) {
                if (!r->failed)
                        continue;
                *e = (struct client_event){ .kind = CLIENT_ANSWER, .request = r->id,
                                            .process = r->process, .code = r->code,
                                            .text = c->why };
                client_forget(c, r);
                return true;
        }
        for (size_t i = 0; i < CLIENT_PROCESSES; i++) {
                struct client_process *p = &c->processes[i];

                if (!p->failed)
                        continue;
                memcpy(c->text_copy, p->why, sizeof(p->why));
                *e = (struct client_event){ .kind = CLIENT_LOST, .process = p->number,
                                            .code = p->code, .text = c->text_copy };
                process_free(c, p);
                return true;
        }
        return false;
}

static bool told(struct client *c, struct client_event *e)
{
        if (c->down) {
                c->down = false;
                *e = (struct client_event){ .kind = CLIENT_DOWN, .code = c->down_code,
                                            .text = c->why };
                return true;
        }
        if (c->failures && failed_next(c, e))
                return true;
        if (c->ready) {
                c->ready = false;
                *e = (struct client_event){ .kind = CLIENT_READY, .text = "",
                                            .resumed = c->resumed };
                return true;
        }
        return c->held_count && process_next(c, e);
}

bool client_next(struct client *c, struct client_event *e)
{
        char *text;
        size_t len;

        for (;;) {
                wire_taken(c);
                if (told(c, e))
                        return true;
                if ((c->state != CLIENT_HELLO && c->state != CLIENT_OPEN) ||
                    !wire_message(c, &text, &len)) {
                        wire_send(c);
                        if (!c->down && !c->failures && !c->ready)
                                return false;
                } else if (message_in(c, e, text, len)) {
                        return true;
                }
        }
}
