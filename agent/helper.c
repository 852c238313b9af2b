/* agent/helper.c - forked children for long calls, and what they tell. */
#include "agent/helper.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define HEAD 5 /* of a record: the letter, the length */
#define READ_MAX 65536

struct helper {
        bool used, answered, paused;
        uint32_t gen;
        enum helper_kind kind;
        int fd;
        int process;         /* pidfd; -1: this kernel has none */
        struct asker asker;
        struct buf text;     /* records, the last not whole yet */
        char *request_id;    /* of a stream, as JSON; NULL: none */
        size_t request_id_len;
        uint64_t seq;        /* of the stream's last piece */
};

static struct helper helpers[HELPER_COUNT] LARGE_BUFFER;

/* --- in the child --------------------------------------------------------------------------- */

static int put_record(int fd, char letter, const char *bytes, size_t len)
{
        char head[HEAD] = { letter };
        uint32_t n = (uint32_t)len;
        int r;

        memcpy(head + 1, &n, sizeof(n));
        r = write_full(fd, head, sizeof(head));
        return r < 0 ? r : write_full(fd, bytes, len);
}

bool flow_answer(struct flow *to, struct buf *out)
{
        int r = put_record(to->fd, 'r', buf_at(out), out->len);

        to->answered = true;
        buf_drop(out, out->len, SIZE_MAX);
        return !r;
}

bool flow_bytes(struct flow *to, const char *bytes, size_t len)
{
        return !put_record(to->fd, 'd', bytes, len);
}

struct child {
        helper_work *work;    /* one of the two */
        flow_work *streaming;
        void *argument;
};

NORETURN static void run_child(int fd, const struct child *it)
{
        struct buf out = { 0 }, error = { 0 };
        struct flow to;
        sigset_t none;
        int r;

        must_hold(it->work || it->streaming);
        prctl(PR_SET_NAME, "airlock-helper", 0, 0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        signal(SIGPIPE, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        fd = dup2(fd, 3);
        syscall(SYS_close_range, 4U, ~0U, 0U);
        to = (struct flow){ .fd = fd };
        r = it->streaming ? it->streaming(it->argument, &out, &to) : it->work(it->argument, &out);
        if (!r && !to.answered && out.len > HELPER_RESULT_MAX) {
                r = RPC_INTERNAL;
                buf_drop(&out, out.len, SIZE_MAX);
                buf_str(&out, "the result is longer than 64 MiB: ask for less at a time");
        }
        if (!r)
                _exit(!to.answered && put_record(fd, 'r', buf_at(&out), out.len) < 0);
        if (!to.answered)
                buf_put(&error, &r, sizeof(r));
        buf_put(&error, buf_at(&out), out.len);
        _exit(put_record(fd, to.answered ? 'x' : 'e', buf_at(&error), error.len) < 0);
}

/* --- starting one ---------------------------------------------------------------------------- */

static struct helper *take_slot(const struct conn *c, enum helper_kind kind)
{
        if (kind == HELPER_ABROAD && c->abroad >= HELPER_ABROAD_MAX)
                return NULL;
        for (size_t i = 0; i < HELPER_COUNT; i++)
                if (!helpers[i].used)
                        return &helpers[i];
        return NULL;
}

static struct helper *start(struct call *call, enum helper_kind kind, const struct child *it)
{
        struct conn *c = call->conn;
        struct helper *h = take_slot(c, kind);
        struct ev_ref ref = { .kind = EVENT_HELPER };
        int fds[2];
        pid_t pid;

        if (!h || pipe2(fds, O_CLOEXEC) < 0) {
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, h ? errno : EAGAIN);
                return NULL;
        }
        ref.slot = (uint32_t)(h - helpers);
        ref.gen = h->gen;
        pid = fork();
        if (pid == 0)
                run_child(fds[1], it);
        close(fds[1]);
        if (pid < 0 || ev_add(c->server->ev, fds[0], EPOLLIN, ref) < 0) {
                close(fds[0]);
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, EAGAIN);
                return NULL;
        }
        *h = (struct helper){ .used = true, .gen = h->gen, .kind = kind, .fd = fds[0],
                              .process = (int)syscall(SYS_pidfd_open, pid, 0),
                              .asker = conn_asker(c, call->id, call->id_len) };
        c->mutations += kind == HELPER_WRITES;
        c->reads += kind == HELPER_READS;
        c->abroad += kind == HELPER_ABROAD;
        c->owed++;
        return h;
}

void helper_start(struct call *call, enum helper_kind kind, helper_work *work, void *argument)
{
        struct child it = { .work = work, .argument = argument };

        (void)start(call, kind, &it);
}

void helper_stream(struct call *call, const struct value *request_id, flow_work *work,
                   void *argument)
{
        struct child it = { .streaming = work, .argument = argument };
        struct helper *h = start(call, HELPER_ABROAD, &it);

        if (!h)
                return;
        h->request_id_len = request_id->len;
        h->request_id = take_memory(request_id->len + 1);
        memcpy(h->request_id, request_id->at, request_id->len);
}

bool helper_streams(const struct conn *c, const struct value *request_id)
{
        for (size_t i = 0; i < HELPER_COUNT; i++) {
                const struct helper *h = &helpers[i];

                if (h->used && h->request_id && conn_is(&h->asker, c) &&
                    h->request_id_len == request_id->len &&
                    !memcmp(h->request_id, request_id->at, request_id->len))
                        return true;
        }
        return false;
}

/* --- what it tells ---------------------------------------------------------------------------- */

static void finish(struct helper *h)
{
        struct conn *c = conn_of(&h->asker);

        if (c) {
                c->owed -= c->owed > 0;
                c->mutations -= h->kind == HELPER_WRITES && c->mutations;
                c->reads -= h->kind == HELPER_READS && c->reads;
                c->abroad -= h->kind == HELPER_ABROAD && c->abroad;
        }
        if (h->process >= 0) {
                if (h->kind == HELPER_ABROAD)
                        syscall(SYS_pidfd_send_signal, h->process, SIGKILL, NULL, 0);
                close(h->process);
        }
        close(h->fd);
        buf_free(&h->text);
        asker_free(&h->asker);
        free(h->request_id);
        h->used = false;
        h->gen++;
        if (c)
                dispatch_held(c);
}

static void put_error(struct helper *h, struct conn *c, const char *bytes, size_t len)
{
        int code = RPC_INTERNAL;

        if (len >= sizeof(code))
                memcpy(&code, bytes, sizeof(code));
        conn_error(c, h->asker.id, h->asker.id_len, code, "%.*s",
                   len > sizeof(code) ? (int)(len - sizeof(code)) : 0, bytes + sizeof(code));
        h->answered = true;
        free(h->request_id); /* a stream that never began has no end */
        h->request_id = NULL;
}

/* One piece of a stream; with @end its last, and @bytes say why it broke. */
static void put_delta(struct helper *h, struct conn *c, const char *bytes, size_t len, bool end)
{
        struct buf *b = conn_begin(c);

        buf_str(b, "{\"method\":\"http/request/bodyDelta\",\"params\":{\"requestId\":\"");
        buf_put(b, h->request_id, h->request_id_len);
        buf_str(b, "\",\"seq\":");
        buf_u64(b, ++h->seq);
        buf_str(b, ",\"deltaBase64\":\"");
        if (!end)
                buf_base64(b, bytes, len);
        buf_str(b, end ? "\",\"done\":true,\"error\":" : "\",\"done\":false,\"error\":");
        if (end && len)
                buf_json(b, bytes, len);
        else
                buf_str(b, "null");
        buf_str(b, "}}");
        conn_end(c);
}

static void record(struct helper *h, struct conn *c, char letter, const char *bytes, size_t len)
{
        if (letter == 'r') {
                buf_put(conn_answer(c, h->asker.id, h->asker.id_len), bytes, len);
                conn_answered(c);
                h->answered = true;
        } else if (letter == 'e') {
                put_error(h, c, bytes, len);
        } else if (h->request_id && h->answered) {
                put_delta(h, c, bytes, len, letter == 'x');
                if (letter == 'x') {
                        free(h->request_id);
                        h->request_id = NULL;
                }
        }
}

static bool has_room(const struct conn *c)
{
        return !conn_busy(c) && c->out.len < CONN_OUT_EVENTS;
}

/* The whole records of what was read, as long as the connection takes them. */
static void tell(struct helper *h, struct conn *c)
{
        while (h->text.len >= HEAD && (!h->request_id || has_room(c))) {
                uint32_t len;

                memcpy(&len, buf_at(&h->text) + 1, sizeof(len));
                if (h->text.len - HEAD < len)
                        return;
                record(h, c, *buf_at(&h->text), buf_at(&h->text) + HEAD, len);
                buf_drop(&h->text, HEAD + len, READ_MAX);
        }
}

static void ended(struct helper *h, struct conn *c)
{
        static const char died[] = "the helper died";

        if (!h->answered)
                conn_error(c, h->asker.id, h->asker.id_len, RPC_INTERNAL, died);
        else if (h->request_id)
                put_delta(h, c, died, h->text.len ? sizeof(died) - 1 : 0, true);
        finish(h);
}

static void pause_reading(struct helper *h, const struct conn *c, bool paused)
{
        struct ev_ref ref = { EVENT_HELPER, (uint32_t)(h - helpers), h->gen };

        if (h->paused == paused)
                return;
        h->paused = paused;
        (void)!ev_change(c->server->ev, h->fd, paused ? 0 : EPOLLIN, ref);
}

void helper_event(struct server *s, struct ev_ref ref)
{
        struct helper *h = &helpers[ref.slot];
        struct conn *c;
        ssize_t n;

        (void)s;
        if (h->gen != ref.gen || !h->used)
                return;
        c = conn_of(&h->asker);
        if (c && h->request_id) {
                tell(h, c); /* nothing whole is left when the end is read */
                if (!has_room(c)) {
                        pause_reading(h, c, true);
                        return;
                }
        }
        n = read(h->fd, buf_room(&h->text, READ_MAX), READ_MAX);
        if (n < 0 && errno == EINTR)
                return;
        if (!c || h->text.len > HELPER_RESULT_MAX + HEAD + READ_MAX) {
                finish(h); /* a child that still writes dies of SIGPIPE */
                return;
        }
        if (n > 0) {
                buf_added(&h->text, (size_t)n);
                tell(h, c);
        } else {
                ended(h, c);
        }
}

void helper_resume(struct conn *c)
{
        for (size_t i = 0; i < HELPER_COUNT && has_room(c); i++) {
                struct helper *h = &helpers[i];

                if (!h->used || !h->request_id || !conn_of(&h->asker) || !conn_is(&h->asker, c))
                        continue;
                tell(h, c);
                if (has_room(c))
                        pause_reading(h, c, false);
        }
}

void helper_forget(struct conn *c)
{
        if (!c->abroad)
                return;
        for (size_t i = 0; i < HELPER_COUNT; i++)
                if (helpers[i].used && helpers[i].kind == HELPER_ABROAD &&
                    conn_is(&helpers[i].asker, c))
                        finish(&helpers[i]);
}
