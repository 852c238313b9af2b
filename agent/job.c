/*
 * agent/job.c - the table of processes: their pipes, their retained output, their events.
 *
 * The ring holds records: eight bytes that say seq, length and stream, then the output. The
 * oldest fall out when a MiB is held. emit_at walks behind, from record to record.
 */
#include "agent/job.h"

#include "agent/journal.h"
#include "agent/keeper.h"
#include "agent/rpc.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define BUCKETS 4096
#define READ_MAX (128U << 10)
#define EMIT_TURN 16 /* events of one job before the next one's turn */
/*
 * A program that writes 8 KiB at a time as fast as it can would wake us for each, and we the
 * client: two switches of context for what takes a microsecond to copy. So when so much came
 * in so short a time its pipe is made wider, and read by a timer instead of at every write,
 * until a pause brings less than FLOOD_LEAST. What is latest is late by one pause; the
 * end of a pipe is seen at once.
 */
#define FLOOD_BYTES (128U << 10)
#define FLOOD_MS 2
#define FLOOD_PAUSE_NS 100000
#define FLOOD_LEAST (16U << 10)
#define FLOOD_PIPE (256 << 10) /* a pipe has 64 KiB at first; together with JOB_AHEAD and a
                                * read it stays below what is retained */
#define DRAIN_MAX (512U << 10)
#define FLOODS 64 /* at once; more are read as everybody is */

static struct job jobs[JOB_COUNT] LARGE_BUFFER;
static struct job *buckets[BUCKETS] LARGE_BUFFER;
static struct waiter waiters[JOB_WAITERS] LARGE_BUFFER;
static size_t waiter_count;
static uint32_t used_slots; /* those above were never used */
static struct job *free_jobs; /* linked by next */
static char scratch[READ_MAX] LARGE_BUFFER;
static struct ev_ref floods[FLOODS];
static size_t flood_count;
static int flood_timer = -1;

void job_init(struct server *s)
{
        struct ev_ref ref = { .kind = EVENT_FLOOD };

        ev_queue_init(&s->kept_jobs, s->keep_ms);
        ev_queue_init(&s->kept_sessions, s->keep_ms);
        flood_timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (flood_timer < 0 || ev_add(s->ev, flood_timer, EPOLLIN, ref) < 0)
                die_errno(STATUS_AGAIN, errno, "timer");
}

const char *stream_str(enum stream s)
{
        switch (s) {
        case STREAM_STDOUT:
                return "stdout";
        case STREAM_STDERR:
                return "stderr";
        case STREAM_PTY:
                break;
        }
        return "pty";
}

static uint32_t slot_of(const struct job *j)
{
        return (uint32_t)(j - jobs);
}

/* --- the table ------------------------------------------------------------------------------ */

static struct job **bucket_of(const struct session *x, const char *id, size_t len)
{
        uint64_t h = (uintptr_t)x * UINT64_C(0x9e3779b97f4a7c15);

        for (size_t i = 0; i < len; i++)
                h = (h ^ (uint8_t)id[i]) * UINT64_C(0x100000001b3);
        return &buckets[(h ^ h >> 32) % BUCKETS];
}

struct job *job_find(const struct session *x, const char *id, size_t len)
{
        struct job *j = *bucket_of(x, id, len);

        while (j && (j->session != x || j->id_len != len || memcmp(j->id, id, len) != 0))
                j = j->next_hash;
        return j;
}

static struct job *job_of_timer(struct ev_timer *t)
{
        return (struct job *)(void *)((char *)t - offsetof(struct job, timer));
}

static struct job *take_slot(struct server *s)
{
        struct job *j = free_jobs;

        if (!j && used_slots < JOB_COUNT)
                return &jobs[used_slots++];
        if (!j && s->kept_jobs.all.next != &s->kept_jobs.all) {
                job_free(job_of_timer(s->kept_jobs.all.next));
                j = free_jobs;
        }
        if (j)
                free_jobs = j->next;
        return j;
}

struct job *job_open(struct session *x, const char *id, size_t len)
{
        struct job *j = take_slot(x->server), **bucket = bucket_of(x, id, len);
        struct wr w;
        uint32_t gen;

        if (!j)
                return NULL;
        gen = j->gen;
        *j = (struct job){ .state = JOB_STARTING, .gen = gen, .server = x->server, .session = x,
                           .keeper = -1, .out = -1, .err = -1, .in = -1,
                           .next_seq = 1, .emit_seq = 1 };
        j->id = take_memory(len + 1);
        memcpy(j->id, id, len);
        j->id_len = len;
        j->json = take_memory(6 * len + 2);
        w = wr_of(j->json, 6 * len + 2);
        wr_json(&w, id, len);
        j->json_len = w.len;
        j->next = x->jobs;
        if (x->jobs)
                x->jobs->prev = j;
        x->jobs = j;
        j->next_hash = *bucket;
        *bucket = j;
        j->started_ms = x->server->now_ms;
        return j;
}

static void close_fd(struct job *j, int *fd)
{
        if (*fd < 0)
                return;
        ev_remove(j->server->ev, *fd);
        close(*fd);
        *fd = -1;
}

static void unready(struct job *j)
{
        struct session *x = j->session;
        struct job **at = &x->ready, *before = NULL;

        if (!j->is_ready)
                return;
        while (*at != j) {
                before = *at;
                at = &(*at)->next_ready;
        }
        *at = j->next_ready;
        if (x->last_ready == j)
                x->last_ready = before;
        j->is_ready = false;
}

static void drop_waiters(struct job *j)
{
        for (size_t i = waiter_count; i-- > 0 && j->waiters;) {
                struct waiter *w = &waiters[i];
                struct conn *c = conn_of(&w->asker);

                if (w->job != slot_of(j) || w->gen != j->gen)
                        continue;
                if (c)
                        conn_error(c, w->asker.id, w->asker.id_len, RPC_INVALID,
                                   "unknown process id %s", j->id);
                asker_free(&w->asker);
                *w = waiters[--waiter_count];
                j->waiters--;
        }
}

void job_free(struct job *j)
{
        struct job **at = bucket_of(j->session, j->id, j->id_len);

        ev_disarm(&j->timer);
        journal_end(j, 0);
        drop_waiters(j);
        unready(j);
        while (*at != j)
                at = &(*at)->next_hash;
        *at = j->next_hash;
        if (j->prev)
                j->prev->next = j->next;
        else
                j->session->jobs = j->next;
        if (j->next)
                j->next->prev = j->prev;
        close_fd(j, &j->out);
        close_fd(j, &j->err);
        close_fd(j, &j->in);
        close_fd(j, &j->keeper); /* the order to kill whoever is left */
        asker_free(&j->start);
        buf_free(&j->ring);
        buf_free(&j->queue);
        free(j->write_ids);
        free(j->id);
        free(j->json);
        j->state = JOB_FREE;
        j->gen++;
        j->next = free_jobs;
        free_jobs = j;
}

/* --- output --------------------------------------------------------------------------------- */

bool job_record(const struct job *j, size_t at, struct record *r)
{
        uint64_t head;

        if (at >= j->ring.len)
                return false;
        memcpy(&head, buf_at(&j->ring) + at, sizeof(head));
        *r = (struct record){ head >> 16, head >> 2 & 0x3fff, (enum stream)(head & 3) };
        return true;
}

static void drop_oldest(struct job *j)
{
        struct record r;
        size_t whole;

        if (!job_record(j, 0, &r))
                return;
        whole = RECORD_HEAD + r.len;
        if (j->emit_at >= whole) {
                j->emit_at -= whole;
        } else { /* nobody is there to get it */
                j->ahead -= r.len;
                j->emit_seq = r.seq + 1;
                j->emit_at = 0;
        }
        j->retained -= r.len;
        buf_drop(&j->ring, whole, SIZE_MAX);
}

/* It has an event that its client does not have yet. */
static void ready(struct job *j)
{
        struct session *x = j->session;

        if (!x->conn || j->state == JOB_STARTING || j->emit_seq == j->next_seq)
                return;
        conn_mark(x->conn);
        if (j->is_ready)
                return;
        j->is_ready = true;
        j->next_ready = NULL;
        if (x->ready)
                x->last_ready->next_ready = j;
        else
                x->ready = j;
        x->last_ready = j;
}

/* Nobody to send it to: it counts as sent. */
static void skip_events(struct job *j)
{
        unready(j);
        j->emit_at = j->ring.len;
        j->emit_seq = j->next_seq;
        j->ahead = 0;
}

static void add_output(struct job *j, enum stream stream, const char *bytes, size_t len)
{
        j->bytes += len;
        while (len) {
                size_t n = len < JOB_CHUNK_MAX ? len : JOB_CHUNK_MAX;
                uint64_t head = j->next_seq++ << 16 | (uint64_t)n << 2 | (uint64_t)stream;

                j->last_output = j->next_seq - 1;
                buf_put(&j->ring, &head, sizeof(head));
                buf_put(&j->ring, bytes, n);
                j->retained += n;
                j->ahead += n;
                bytes += n;
                len -= n;
                while (j->retained > JOB_RETAINED)
                        drop_oldest(j);
        }
        if (!j->session->conn)
                skip_events(j);
}

static void news(struct job *j);

/* Watches a pipe as long as the client keeps up. */
static void watch_output(struct job *j)
{
        bool want = j->ahead < JOB_AHEAD && !j->floods;
        struct ev_ref ref = { EVENT_JOB_OUT, slot_of(j), j->gen };

        if (j->out >= 0 && want != j->reading_out) {
                j->reading_out = want;
                (void)!ev_change(j->server->ev, j->out, want ? EPOLLIN : 0, ref);
        }
        ref.kind = EVENT_JOB_ERR;
        if (j->err >= 0 && want != j->reading_err) {
                j->reading_err = want;
                (void)!ev_change(j->server->ev, j->err, want ? EPOLLIN : 0, ref);
        }
}

static void closed(struct job *j)
{
        struct buf fitted = { 0 };

        if (j->state != JOB_EXITED || j->out >= 0 || j->err >= 0)
                return;
        journal_end(j, 0);
        j->state = JOB_CLOSED;
        j->closed_seq = j->next_seq++;
        close_fd(j, &j->in);
        buf_free(&j->queue);
        free(j->write_ids);
        j->write_ids = NULL;
        j->write_id_count = 0;
        if (j->ring.cap > 2 * j->ring.len + 256) {
                buf_put(&fitted, buf_at(&j->ring), j->ring.len);
                buf_free(&j->ring);
                j->ring = fitted;
        }
        ev_arm(&j->server->kept_jobs, &j->timer, j->server->now_ms);
        if (!j->session->conn)
                skip_events(j);
}

/* One read. False: the pipe is at its end, or empty. */
static bool read_pipe(struct job *j, int *fd, enum stream stream)
{
        ssize_t n = read(*fd, scratch, sizeof(scratch));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) { /* a pty says EIO */
                close_fd(j, fd);
                return false;
        }
        add_output(j, stream, scratch, (size_t)n);
        return true;
}

static enum stream out_stream(const struct job *j)
{
        return j->tty ? STREAM_PTY : STREAM_STDOUT;
}

static bool may_drain(const struct job *j, uint64_t end)
{
        return j->ahead < JOB_AHEAD && j->bytes < end;
}

/*
 * What stands in the pipes already, unless the client is too far behind. Not more: where there
 * is no client somebody may write as fast as we read.
 */
static void drain(struct job *j)
{
        uint64_t end = j->bytes + DRAIN_MAX;

        while (j->out >= 0 && may_drain(j, end) && read_pipe(j, &j->out, out_stream(j)))
                ;
        while (j->err >= 0 && may_drain(j, end) && read_pipe(j, &j->err, STREAM_STDERR))
                ;
}

/* --- a flood -------------------------------------------------------------------------------- */

/* Goes off once, for all of them; with none of them never. The last time counts as seen. */
static void set_flood_timer(void)
{
        struct itimerspec pause = { .it_value.tv_nsec = flood_count ? FLOOD_PAUSE_NS : 0 };

        timerfd_settime(flood_timer, 0, &pause, NULL);
}

static void add_flood(struct job *j)
{
        floods[flood_count++] = (struct ev_ref){ EVENT_FLOOD, slot_of(j), j->gen };
        j->floods = true;
}

/* An event brought @len bytes: is it a flood by now? */
static void count_flood(struct job *j, uint64_t len)
{
        if (j->server->now_ms - j->flood_ms > FLOOD_MS) {
                j->flood_ms = j->server->now_ms;
                j->flood_bytes = 0;
        }
        j->flood_bytes += len;
        if (j->flood_bytes < FLOOD_BYTES || j->floods || flood_count == FLOODS || j->tty)
                return;
        if (!j->widened && j->out >= 0)
                (void)fcntl(j->out, F_SETPIPE_SZ, FLOOD_PIPE); /* refused: as wide as it is */
        j->widened = true;
        add_flood(j);
        if (flood_count == 1)
                set_flood_timer();
}

/* The pause is over: what came, and whether it goes on like this. */
void job_flood_event(void)
{
        size_t count = flood_count;

        flood_count = 0;
        for (size_t i = 0; i < count; i++) {
                struct job *j = &jobs[floods[i].slot];
                uint64_t before = j->bytes;

                if (j->gen != floods[i].gen || j->state == JOB_FREE)
                        continue;
                j->floods = false;
                drain(j);
                if (j->bytes - before >= FLOOD_LEAST)
                        add_flood(j);
                else
                        j->flood_bytes = 0;
                closed(j);
                watch_output(j);
                news(j);
        }
        set_flood_timer();
}

static void output_event(struct job *j, enum event_kind kind)
{
        uint64_t before = j->bytes;

        if (kind == EVENT_JOB_OUT && j->out >= 0)
                (void)read_pipe(j, &j->out, out_stream(j));
        else if (kind == EVENT_JOB_ERR && j->err >= 0)
                (void)read_pipe(j, &j->err, STREAM_STDERR);
        count_flood(j, j->bytes - before);
        closed(j);
        watch_output(j);
        news(j);
}

static size_t put_output(struct job *j, struct buf *b)
{
        struct record r;

        if (!job_record(j, j->emit_at, &r))
                return 0;
        buf_str(b, "{\"method\":\"process/output\",\"params\":{\"processId\":");
        buf_put(b, j->json, j->json_len);
        buf_str(b, ",\"seq\":");
        buf_u64(b, r.seq);
        buf_str(b, ",\"stream\":\"");
        buf_str(b, stream_str(r.stream));
        buf_str(b, "\",\"chunk\":\"");
        buf_base64(b, buf_at(&j->ring) + j->emit_at + RECORD_HEAD, r.len);
        buf_str(b, "\"}}");
        j->emit_at += RECORD_HEAD + r.len;
        return r.len;
}

static void put_event(struct job *j, struct conn *c)
{
        struct buf *b = conn_begin(c);

        if (j->emit_seq == j->exited_seq || j->emit_seq == j->closed_seq) {
                bool exited = j->emit_seq == j->exited_seq;

                buf_str(b, exited ? "{\"method\":\"process/exited\",\"params\":{\"processId\":"
                                  : "{\"method\":\"process/closed\",\"params\":{\"processId\":");
                buf_put(b, j->json, j->json_len);
                buf_str(b, ",\"seq\":");
                buf_u64(b, j->emit_seq);
                if (exited)
                        buf_fmt(b, ",\"exitCode\":%d,\"sandboxDenied\":%s", j->exit_code,
                                j->denied ? "true" : "false");
                buf_str(b, "}}");
        } else {
                j->ahead -= put_output(j, b);
        }
        j->emit_seq++;
        conn_end(c);
}

void job_emit(struct session *x, struct conn *c)
{
        while (x->ready && c->out.len < CONN_OUT_EVENTS) {
                struct job *j = x->ready;

                x->ready = j->next_ready;
                j->is_ready = false;
                for (unsigned n = 0; n < EMIT_TURN && j->emit_seq < j->next_seq &&
                                     c->out.len < CONN_OUT_EVENTS;
                     n++)
                        put_event(j, c);
                watch_output(j);
                ready(j);
        }
}

void job_attach(struct session *x)
{
        for (struct job *j = x->jobs; j; j = j->next) {
                skip_events(j);
                watch_output(j);
        }
}

/* --- those who wait ------------------------------------------------------------------------- */

bool job_has_news(const struct job *j, uint64_t after_seq)
{
        return j->state == JOB_CLOSED || j->last_output > after_seq ||
               (j->state == JOB_EXITED && j->exited_seq > after_seq);
}

static void put_chunks(struct job *j, struct buf *b, uint64_t after_seq, uint64_t max_bytes,
                       uint64_t *next_seq)
{
        struct record r;
        uint64_t sum = 0;
        bool first = true;

        *next_seq = j->next_seq;
        for (size_t at = 0; job_record(j, at, &r); at += RECORD_HEAD + r.len) {
                if (r.seq <= after_seq)
                        continue;
                if (!first && (sum > max_bytes || r.len > max_bytes - sum)) {
                        *next_seq = r.seq;
                        return;
                }
                buf_str(b, first ? "{\"seq\":" : ",{\"seq\":");
                buf_u64(b, r.seq);
                buf_fmt(b, ",\"stream\":\"%s\",\"chunk\":\"", stream_str(r.stream));
                buf_base64(b, buf_at(&j->ring) + at + RECORD_HEAD, r.len);
                buf_str(b, "\"}");
                sum += r.len;
                first = false;
        }
}

/*
 * An exit or close whose seq lies behind what is returned is still told: a client takes
 * both as facts, the seq of either follows from nextSeq.
 */
void job_answer_read(struct job *j, struct conn *c, const char *id, size_t id_len,
                     uint64_t after_seq, uint64_t max_bytes)
{
        struct buf *b = conn_answer(c, id, id_len);
        bool exited = j->state == JOB_EXITED || j->state == JOB_CLOSED;
        uint64_t next_seq;

        buf_str(b, "{\"chunks\":[");
        put_chunks(j, b, after_seq, max_bytes, &next_seq);
        buf_str(b, "],\"nextSeq\":");
        buf_u64(b, next_seq);
        buf_fmt(b, ",\"exited\":%s,\"exitCode\":", exited ? "true" : "false");
        if (exited)
                buf_i64(b, j->exit_code);
        else
                buf_str(b, "null");
        buf_fmt(b, ",\"closed\":%s,\"failure\":null,\"sandboxDenied\":%s}",
                j->state == JOB_CLOSED ? "true" : "false", j->denied ? "true" : "false");
        conn_answered(c);
}

bool job_wait(struct job *j, struct waiter w)
{
        if (waiter_count == JOB_WAITERS)
                return false;
        w.job = slot_of(j);
        w.gen = j->gen;
        waiters[waiter_count++] = w;
        j->waiters++;
        return true;
}

static bool gone(const struct waiter *w)
{
        return !conn_of(&w->asker);
}

/* Does the waiter get its answer now? */
static bool is_due(const struct job *j, const struct waiter *w)
{
        if (w->write)
                return j->written >= w->place || j->in < 0;
        return w->deadline_ms <= j->server->now_ms || job_has_news(j, w->after_seq);
}

static void answer_waiter(struct job *j, struct waiter *w)
{
        struct conn *c = conn_of(&w->asker);

        if (!w->write) {
                job_answer_read(j, c, w->asker.id, w->asker.id_len, w->after_seq, w->max_bytes);
                return;
        }
        buf_str(conn_answer(c, w->asker.id, w->asker.id_len), "{\"status\":\"accepted\"}");
        conn_answered(c);
}

/* One waiter: true when it is gone from the list. */
static bool settle(size_t i)
{
        struct waiter *w = &waiters[i];
        struct job *j = &jobs[w->job];
        bool dead = gone(w);

        if (!dead && !is_due(j, w))
                return false;
        if (!dead)
                answer_waiter(j, w);
        asker_free(&w->asker);
        j->waiters--;
        waiters[i] = waiters[--waiter_count];
        return true;
}

static void news(struct job *j)
{
        ready(j);
        for (size_t i = 0; i < waiter_count && j->waiters;)
                if (&jobs[waiters[i].job] != j || !settle(i))
                        i++;
}

void job_forget_waiters(void)
{
        for (size_t i = 0; i < waiter_count;)
                if (!gone(&waiters[i]) || !settle(i))
                        i++;
}

int job_wait_ms(uint64_t now_ms, int at_most)
{
        uint64_t first = UINT64_MAX;

        for (size_t i = 0; i < waiter_count; i++)
                if (!waiters[i].write && waiters[i].deadline_ms < first)
                        first = waiters[i].deadline_ms;
        if (first == UINT64_MAX)
                return at_most;
        if (first <= now_ms)
                return 0;
        return at_most < 0 || first - now_ms < (uint64_t)at_most ? (int)(first - now_ms) : at_most;
}

void job_timers(struct server *s)
{
        struct ev_timer *t;

        for (size_t i = 0; i < waiter_count;)
                if (waiters[i].write || waiters[i].deadline_ms > s->now_ms || !settle(i))
                        i++;
        while ((t = ev_due(&s->kept_jobs, s->now_ms)))
                job_free(job_of_timer(t));
}

/* --- input ---------------------------------------------------------------------------------- */

static void input_gone(struct job *j)
{
        close_fd(j, &j->in);
        buf_free(&j->queue);
        j->writing = false;
}

static void write_queue(struct job *j)
{
        struct ev_ref ref = { EVENT_JOB_IN, slot_of(j), j->gen };

        while (j->queue.len && j->in >= 0) {
                ssize_t n = write(j->in, buf_at(&j->queue), j->queue.len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        break;
                if (n < 0) {
                        input_gone(j);
                        break;
                }
                j->written += (uint64_t)n;
                buf_drop(&j->queue, (size_t)n, 4096);
        }
        if (j->in_ends && !j->queue.len && j->in >= 0)
                input_gone(j);
        if (j->in >= 0 && j->writing != (j->queue.len > 0)) {
                j->writing = j->queue.len > 0;
                (void)!ev_change(j->server->ev, j->in, j->writing ? EPOLLOUT : 0, ref);
        }
}

void job_input(struct job *j, const void *bytes, size_t len)
{
        buf_put(&j->queue, bytes, len);
        j->queued += len;
        write_queue(j);
}

void job_input_ends(struct job *j)
{
        j->in_ends = true;
        write_queue(j);
}

static void input_event(struct job *j, uint32_t events)
{
        if (events & EPOLLERR && !j->tty)
                input_gone(j);
        else
                write_queue(j);
        news(j);
}

/* --- the keeper's words ----------------------------------------------------------------------- */

int job_watch_keeper(struct job *j)
{
        struct ev_ref ref = { EVENT_JOB_KEEPER, slot_of(j), j->gen };

        return ev_add(j->server->ev, j->keeper, EPOLLIN, ref);
}

static void failed(struct job *j, int err, const char *stage)
{
        struct conn *c = conn_of(&j->start);

        if (c) {
                c->owed -= c->owed > 0;
                if (stage[0])
                        conn_error(c, j->start.id, j->start.id_len, RPC_INTERNAL,
                                   "the sandbox can't be enforced here: %s: %s (os error %d)",
                                   stage, strerror(err), err);
                else
                        conn_errno(c, j->start.id, j->start.id_len, RPC_INTERNAL, err);
        }
        journal_end(j, err);
        job_free(j);
}

static void started(struct job *j, pid_t pid)
{
        struct conn *c = conn_of(&j->start);
        struct ev_ref ref = { EVENT_JOB_OUT, slot_of(j), j->gen };
        int ev = j->server->ev;

        j->state = JOB_ALIVE;
        j->pid = pid;
        j->reading_out = true;
        j->reading_err = true;
        if (ev_add(ev, j->out, EPOLLIN, ref) < 0)
                close_fd(j, &j->out);
        ref.kind = EVENT_JOB_ERR;
        if (j->err >= 0 && ev_add(ev, j->err, EPOLLIN, ref) < 0)
                close_fd(j, &j->err);
        ref.kind = EVENT_JOB_IN;
        if (j->in >= 0 && ev_add(ev, j->in, 0, ref) < 0)
                close_fd(j, &j->in);
        if (c) {
                struct buf *b = conn_answer(c, j->start.id, j->start.id_len);

                c->owed -= c->owed > 0;
                buf_str(b, "{\"processId\":");
                buf_put(b, j->json, j->json_len);
                buf_fmt(b, ",\"sandboxType\":\"%s\"}", j->sandboxed ? "linuxSeccomp" : "none");
                conn_answered(c);
        }
        asker_free(&j->start);
}

static void exited(struct job *j, int status)
{
        j->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_SIGNAL + WTERMSIG(status);
        drain(j);
        j->state = JOB_EXITED;
        j->exited_seq = j->next_seq++;
        input_gone(j);
        if (j->killed) { /* nobody is left who would write */
                close_fd(j, &j->out);
                close_fd(j, &j->err);
        }
        if (!j->session->conn)
                skip_events(j);
        closed(j);
        watch_output(j);
        news(j);
}

/* False: the job is gone. */
static bool keeper_says(struct job *j, const struct keeper_word *word)
{
        switch ((enum keeper_what)word->what) {
        case KEEPER_STARTED:
                started(j, word->value);
                break;
        case KEEPER_FAILED:
                failed(j, word->value ? word->value : EAGAIN, word->stage);
                return false;
        case KEEPER_EXITED:
                exited(j, word->value);
                break;
        }
        return true;
}

static void keeper_event(struct job *j)
{
        struct keeper_word word;
        uint32_t gen = j->gen;

        for (;;) {
                ssize_t n = recv(j->keeper, &word, sizeof(word), MSG_DONTWAIT);

                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                if (n == (ssize_t)sizeof(word)) {
                        word.stage[sizeof(word.stage) - 1] = '\0';
                        if (!keeper_says(j, &word))
                                return;
                        continue;
                }
                break;
        }
        if (j->gen != gen)
                return;
        /* It ended: nobody is left, or somebody killed it. */
        close_fd(j, &j->keeper);
        if (j->state == JOB_STARTING)
                failed(j, ECHILD, "");
        else if (j->state == JOB_ALIVE)
                exited(j, SIGKILL);
}

void job_event(struct server *s, struct ev_ref ref, uint32_t events)
{
        struct job *j = &jobs[ref.slot];

        (void)s;
        if (j->gen != ref.gen || j->state == JOB_FREE)
                return; /* freed earlier in this batch */
        if (ref.kind == EVENT_JOB_KEEPER)
                keeper_event(j);
        else if (ref.kind == EVENT_JOB_IN)
                input_event(j, events);
        else
                output_event(j, (enum event_kind)ref.kind);
}

void job_end_all(struct session *x)
{
        for (struct job *j = x->jobs, *next; j; j = next) {
                next = j->next;
                job_free(j);
        }
}
