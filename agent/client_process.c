/*
 * agent/client_process.c - the events of each process, in the order of their seq.
 *
 * What comes in its turn goes straight through; what comes before its turn is held. After a
 * resume, an answer to process/read is taken apart into the same held events, and the next
 * in turn follows from there.
 */
#include "agent/client_inner.h"

#include <stdlib.h>
#include <string.h>

#define MISSED_PIECE (64U << 10) /* bytes of output in one answer about what was missed */
#define STARTING_PAUSE_MS 20  /* until a process that is still starting is asked about again */
#define STARTING_MS 5000      /* Codex's server can forget to settle it: then it is lost */

struct client_process *process_of(struct client *c, uint32_t number)
{
        struct client_process *p = &c->processes[number % CLIENT_PROCESSES];

        return number && p->number == number ? p : NULL;
}

static void drop_first(struct client *c, struct client_process *p)
{
        struct client_held *h = p->held;

        p->held = h->next;
        if (!p->held)
                p->last_held = NULL;
        p->held_bytes -= h->len;
        c->held_count--;
        free(h);
}

void process_free(struct client *c, struct client_process *p)
{
        while (p->held)
                drop_first(c, p);
        if (p->failed)
                c->failures--;
        c->asking -= p->ask_ms != 0;
        *p = (struct client_process){ 0 };
}

void process_fail(struct client *c, struct client_process *p, int code, const char *why,
                  size_t len)
{
        if (p->failed)
                return;
        if (len >= sizeof(p->why))
                len = sizeof(p->why) - 1;
        memcpy(p->why, why, len);
        p->why[len] = '\0';
        p->code = code;
        p->failed = true;
        c->failures++;
}

/* Puts a copy where its seq belongs; one that is there already stays. */
static void hold(struct client *c, struct client_process *p, const struct client_held *event,
                 const char *bytes)
{
        static const char why[] = "the server sends its events out of order without end";
        struct client_held **at = &p->held, *h;

        if (p->held_bytes + event->len > CLIENT_HELD_MAX || c->held_count > CLIENT_HELD_COUNT) {
                process_fail(c, p, CLIENT_E_LOST, why, sizeof(why) - 1);
                return;
        }
        if (p->last_held && p->last_held->seq < event->seq)
                at = &p->last_held->next;
        while (*at && (*at)->seq < event->seq)
                at = &(*at)->next;
        if (*at && (*at)->seq == event->seq)
                return;
        h = take_memory(sizeof(*h) + event->len);
        *h = *event;
        if (bytes)
                memcpy(h->bytes, bytes, event->len);
        h->next = *at;
        *at = h;
        if (!h->next)
                p->last_held = h;
        p->held_bytes += h->len;
        c->held_count++;
}

/* --- what a message says ------------------------------------------------------------------ */

static bool stream_of(const struct value *v, enum client_stream *stream)
{
        static const char *const names[] = { "stdout", "stderr", "pty" };

        for (size_t i = 0; i < COUNT(names); i++)
                if (value_is(v, names[i])) {
                        *stream = (enum client_stream)i;
                        return true;
                }
        return false;
}

static struct client_process *named(struct client *c, const struct value *params)
{
        struct value id = value_get(params, "processId");
        struct value digits = { .type = VALUE_NUMBER, .at = id.at, .len = id.len };
        uint64_t n;

        if (id.type != VALUE_STRING || !value_u64(&digits, &n) || n > UINT32_MAX)
                return NULL;
        return process_of(c, (uint32_t)n);
}

/* An output event, or a chunk of an answer to read. */
static bool read_chunk(struct client *c, const struct value *v, struct client_held *h,
                       const char **bytes)
{
        enum { SEQ, STREAM, CHUNK, KEYS };
        static const char *const keys[KEYS] = { "seq", "stream", "chunk" };
        struct value members[KEYS];

        value_members(v, keys, members, KEYS);
        *h = (struct client_held){ .kind = CLIENT_OUTPUT };
        return value_u64(&members[SEQ], &h->seq) && stream_of(&members[STREAM], &h->stream) &&
               client_bytes(c, &members[CHUNK], bytes, &h->len);
}

static bool read_event(struct client *c, struct client_held *h, const char **bytes,
                       const char *method, const struct value *params)
{
        struct value seq, code, denied;
        int64_t n = 0;

        *bytes = NULL;
        if (!strcmp(method, "process/output"))
                return read_chunk(c, params, h, bytes);
        seq = value_get(params, "seq");
        code = value_get(params, "exitCode");
        denied = value_get(params, "sandboxDenied");
        *h = (struct client_held){ .kind = CLIENT_CLOSED };
        if (!value_u64(&seq, &h->seq))
                return false;
        if (!strcmp(method, "process/closed"))
                return true;
        h->kind = CLIENT_EXITED;
        h->sandbox_denied = value_true(&denied);
        if (strcmp(method, "process/exited") != 0 || !value_i64(&code, &n) || n < INT32_MIN ||
            n > INT32_MAX)
                return false;
        h->exit_code = (int)n;
        return true;
}

/* Its turn has come. */
static void tell(struct client *c, struct client_event *e, struct client_process *p,
                 const struct client_held *h, const char *bytes)
{
        *e = (struct client_event){ .kind = h->kind, .process = p->number, .text = "",
                                    .stream = h->stream, .bytes = bytes, .len = h->len,
                                    .exit_code = h->exit_code,
                                    .sandbox_denied = h->sandbox_denied };
        p->next++;
        if (h->kind == CLIENT_EXITED)
                p->exited = true;
        if (h->kind == CLIENT_CLOSED)
                process_free(c, p);
}

bool process_event(struct client *c, struct client_event *e, const char *method,
                   const struct value *params)
{
        struct client_process *p = named(c, params);
        struct client_held h;
        const char *bytes;

        if (!p || p->failed || !read_event(c, &h, &bytes, method, params) || h.seq < p->next)
                return false;
        if (h.seq > p->next || !p->started || p->held) {
                hold(c, p, &h, bytes);
                return false;
        }
        tell(c, e, p, &h, bytes);
        return true;
}

bool process_next(struct client *c, struct client_event *e)
{
        for (size_t i = 0; i < CLIENT_PROCESSES; i++) {
                struct client_process *p = &c->processes[i];
                struct client_held *h = p->held;

                if (!h || !p->started || p->failed || h->seq > p->next)
                        continue;
                /* Its bytes live until the next call: they move to a buffer of ours. */
                buf_drop(&c->shown, c->shown.len, 0);
                buf_put(&c->shown, h->bytes, h->len);
                if (h->seq < p->next) {
                        drop_first(c, p);
                        return process_next(c, e);
                }
                {
                        struct client_held copy = *h;

                        drop_first(c, p);
                        tell(c, e, p, &copy, c->shown.len ? buf_at(&c->shown) : NULL);
                }
                return true;
        }
        return false;
}

/* --- after a resume ----------------------------------------------------------------------- */

/* A piece at a time: a connection that keeps breaking still gets on. */
void process_ask(struct client *c, const struct client_process *p, uint64_t after)
{
        struct client_request *r = client_request(c, REQUEST_MISSED, "process/read");

        r->process = p->number;
        buf_fmt(&r->text, "{\"processId\":\"%u\",\"afterSeq\":%llu,\"maxBytes\":%u,\"waitMs\":0}",
                p->number, (unsigned long long)after, MISSED_PIECE);
        client_queue(c, r);
}

static struct client_request *start_of(struct client *c, uint32_t number)
{
        for (struct client_request *r = c->first; r; r = r->next)
                if (r->kind == REQUEST_START && r->process == number)
                        return r;
        return NULL;
}

void process_resume(struct client *c)
{
        for (size_t i = 0; i < CLIENT_PROCESSES; i++) {
                struct client_process *p = &c->processes[i];
                const struct client_request *r = p->number ? start_of(c, p->number) : NULL;

                c->asking -= p->ask_ms != 0;
                p->ask_ms = 0;
                if (p->number && !p->failed && (!r || r->held))
                        process_ask(c, p, p->next - 1);
        }
}

static bool is_held(const struct client_process *p, uint64_t seq)
{
        for (const struct client_held *h = p->held; h && h->seq <= seq; h = h->next)
                if (h->seq == seq)
                        return true;
        return false;
}

static void lost_output(struct client *c, struct client_process *p)
{
        static const char why[] = "the server dropped output while the connection was gone";

        process_fail(c, p, CLIENT_E_LOST, why, sizeof(why) - 1);
}

/*
 * The last answer of several: nothing more was missed but exit and end, which have no chunk. The
 * one number below the next that is nobody's is the exit's.
 */
static void merge_end(struct client *c, struct client_process *p, const struct value *result,
                      uint64_t next)
{
        struct value exited = value_get(result, "exited"), closed = value_get(result, "closed");
        struct value code = value_get(result, "exitCode"), denied = value_get(result, "sandboxDenied");
        struct client_held end = { .kind = CLIENT_EXITED, .sandbox_denied = value_true(&denied) };
        struct client_held last = { .kind = CLIENT_CLOSED, .seq = next - 1 };
        int64_t n = 0;

        if (value_true(&exited) && !value_i64(&code, &n)) {
                lost_output(c, p);
                return;
        }
        end.exit_code = (int)n;
        if (value_true(&closed) && next > p->next)
                hold(c, p, &last, NULL);
        for (uint64_t seq = p->next; seq < next && !p->failed; seq++) {
                if (is_held(p, seq))
                        continue;
                if (!value_true(&exited) || p->exited || end.seq) {
                        lost_output(c, p);
                        return;
                }
                end.seq = seq;
                hold(c, p, &end, NULL);
        }
}

/* Takes what a read told, and asks for more as long as there is. */
static void merge(struct client *c, struct client_process *p, const struct value *result)
{
        struct value chunks = value_get(result, "chunks"), v = value_get(result, "nextSeq"), item;
        struct value_iter i = value_items(&chunks);
        struct client_held h;
        uint64_t next, told = 0;
        const char *bytes;

        if (chunks.type != VALUE_ARRAY || !value_u64(&v, &next)) {
                lost_output(c, p);
                return;
        }
        while (value_next(&i, NULL, &item))
                if (read_chunk(c, &item, &h, &bytes) && h.seq >= p->next && h.seq > told) {
                        told = h.seq;
                        hold(c, p, &h, bytes);
                }
        if (told && !p->failed)
                process_ask(c, p, told);
        else if (!p->failed)
                merge_end(c, p, result, next);
}

static void still_starting(struct client *c, struct client_process *p)
{
        static const char why[] = "the connection broke while it was started, and the server "
                                  "does not say whether it runs";

        if (!p->lost_ms)
                p->lost_ms = c->now_ms + STARTING_MS;
        if (c->now_ms >= p->lost_ms) {
                process_fail(c, p, CLIENT_E_LOST, why, sizeof(why) - 1);
        } else if (!p->ask_ms) {
                p->ask_ms = c->now_ms + STARTING_PAUSE_MS;
                c->asking++;
        }
}

void process_due(struct client *c)
{
        for (size_t i = 0; i < CLIENT_PROCESSES && c->asking; i++) {
                struct client_process *p = &c->processes[i];

                if (!p->ask_ms || c->now_ms < p->ask_ms)
                        continue;
                c->asking--;
                p->ask_ms = 0;
                process_ask(c, p, p->next - 1);
        }
}

bool process_missed(struct client *c, struct client_event *e, uint32_t number,
                    const struct value *result, int code, const char *text)
{
        struct client_process *p = process_of(c, number);
        struct client_request *r = start_of(c, number);

        if (!p || p->failed)
                return false;
        if (code && !p->started && strstr(text, "starting")) {
                still_starting(c, p);
                return false;
        }
        if (code && r) {
                r->held = false; /* it never came to a start: now it does */
                p->resent = true;
                return false;
        }
        if (code) {
                process_fail(c, p, code, text, strlen(text));
                return false;
        }
        merge(c, p, result);
        if (r)
                client_forget(c, r);
        if (p->started)
                return false;
        p->started = true;
        *e = (struct client_event){ .kind = CLIENT_STARTED, .process = number, .text = "" };
        return true;
}
