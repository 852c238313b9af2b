/* agent/ask.c - one answer of the model's, however many requests it takes; see loop.h. */
#include "agent/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define TRIES_OVERLOADED 3U
#define OVERLOADED_TIMES 10U /* as long as for a broken stream */
#define WAIT_TOTAL_MS 300000U /* of all waits for one answer */
#define RECENT_TOKENS ((size_t)20000) /* of our messages that a compaction keeps word for word */

static const char summary_request[] =
        "The conversation is about to be cut to save space. Write a hand-over for whoever goes "
        "on with it and has only your words: what was asked, what is done and how it was checked, "
        "what is left to do, which files matter, which commands work here, what was found out. "
        "No greeting, no plan to write one: just the hand-over.";
static const char summary_prefix[] =
        "The conversation up to here was cut to save space. Another model worked on this task "
        "before and left this hand-over; the files are as it left them. Go on from here, and do "
        "not do again what is done.\n\n";

/* --- one request ------------------------------------------------------------------------------------ */

static void put_body(struct loop *l, struct buf *body, bool tools)
{
        const struct loop_options *o = l->o;
        struct request r = {
                .wire = l->wire, .model = o->model, .instructions = buf_at(&l->instructions),
                .thread = l->thread, .effort = o->effort, .history = &l->history,
        };

        if (tools) {
                r.tools = buf_at(&l->tools);
                r.tools_len = l->tools.len;
                r.schema_name = l->schema.len ? "result" : NULL;
                r.schema = buf_at(&l->schema);
        }
        request_put(body, &r);
}

/* Sends it and waits for the end. False: a signal. */
static bool request(struct loop *l, bool tools)
{
        struct buf body = { 0 };

        put_body(l, &body, tools);
        l->requests++;
        model_ask(&l->model, l->wire, !l->wire_known, &body, l->now_ms);
        while (l->model.state != MODEL_IDLE)
                if (!loop_wait(l, l->end_ms ? l->end_ms : UINT64_MAX) ||
                    (l->end_ms && l->now_ms >= l->end_ms)) {
                        model_stop(&l->model);
                        return false;
                }
        if (l->model.answer.usage.known) {
                const struct usage *u = &l->model.answer.usage;

                l->used.input += u->input;
                l->used.cached += u->cached;
                l->used.output += u->output;
                l->used.reasoning += u->reasoning;
                l->used.total += u->total;
                l->context = u->total;
                l->context_bytes = l->history.bytes;
        }
        return true;
}

/* --- waiting ------------------------------------------------------------------------------------------ */

static uint32_t any_number(void)
{
        uint32_t n = 0;

        if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n))
                return 500;
        return n;
}

static uint64_t wait_of(const struct failure *f, unsigned tries)
{
        uint64_t ms = retry_backoff_ms(tries, any_number());

        if (f->fixed_wait)
                return f->wait_ms;
        return f->kind == MODEL_BROKEN ? ms : ms * OVERLOADED_TIMES;
}

static void say_retry(struct loop *l, const struct failure *f, unsigned tries, unsigned most,
                      uint64_t ms)
{
        char text[sizeof(f->text) + 96];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct buf fields = { 0 };

        wr_fmt(&w, "%s (try %u of %u in %llu.%u s)", f->text, tries, most,
               (unsigned long long)(ms / 1000), (unsigned)(ms % 1000 / 100));
        events_error(&l->events, wr_cstr(&w));
        buf_fmt(&fields, ",\"attempt\":%u,\"of\":%u,\"wait_ms\":%llu,\"message\":", tries, most,
                (unsigned long long)ms);
        buf_json(&fields, f->text, strlen(f->text));
        events_own(&l->events, "retry", buf_at(&fields), fields.len);
        buf_free(&fields);
}

/* False: no more, *@f says so; or a signal. */
static bool wait_before(struct loop *l, struct failure *f, unsigned tries, uint64_t *waited)
{
        unsigned most = f->kind == MODEL_OVERLOADED && l->o->retries > TRIES_OVERLOADED
                                ? TRIES_OVERLOADED
                                : l->o->retries;
        uint64_t ms = wait_of(f, tries), end;
        size_t len = strlen(f->text);
        struct wr w = wr_of(f->text + len, sizeof(f->text) - len - 1);

        if (tries > most) {
                if (most)
                        wr_fmt(&w, " (after %u tries more)", most);
                wr_cstr(&w);
                return false;
        }
        if (*waited + ms > WAIT_TOTAL_MS) {
                wr_fmt(&w, " (it asks for %llu s; that is too long to wait)",
                       (unsigned long long)(ms / 1000));
                wr_cstr(&w);
                return false;
        }
        *waited += ms;
        say_retry(l, f, tries, most, ms);
        end = l->now_ms + ms;
        while (l->now_ms < end)
                if (!loop_wait(l, end) || (l->end_ms && l->now_ms >= l->end_ms))
                        return false;
        return true;
}

/* --- the context's limit --------------------------------------------------------------------------------- */

static uint64_t context_estimate(const struct loop *l)
{
        if (!l->context || l->history.bytes < l->context_bytes)
                return l->history.bytes / TOKEN_BYTES + l->tools.len / TOKEN_BYTES;
        return l->context + (l->history.bytes - l->context_bytes) / TOKEN_BYTES;
}

static bool near_limit(const struct loop *l)
{
        return l->o->context_window && context_estimate(l) > (uint64_t)l->o->context_window * 9 / 10;
}

/* The last messages of ours, as many as are worth keeping word for word: the first of them. */
static size_t recent_from(const struct loop *l)
{
        size_t from = l->history.count, bytes = 0;

        for (size_t i = l->history.count; i-- > l->first;) {
                if (l->history.items[i].kind != ITEM_USER)
                        continue;
                bytes += l->history.items[i].json.len;
                if (bytes > RECENT_TOKENS * TOKEN_BYTES)
                        break;
                from = i;
        }
        return from;
}

static void replace_history(struct loop *l, const char *summary, size_t len)
{
        struct buf text = { 0 };
        size_t from = recent_from(l);

        for (size_t i = l->history.count; i-- > l->first;)
                if (i < from || l->history.items[i].kind != ITEM_USER)
                        history_remove(&l->history, i);
        buf_str(&text, summary_prefix);
        buf_put(&text, summary, len);
        history_message(&l->history, "user", buf_at(&text), text.len);
        buf_free(&text);
        l->context = 0;
}

static void say_compaction(struct loop *l, size_t before, const char *how)
{
        struct buf fields = { 0 };

        buf_fmt(&fields, ",\"how\":\"%s\",\"bytes_before\":%zu,\"bytes_after\":%zu", how, before,
                l->history.bytes);
        events_own(&l->events, "compaction", buf_at(&fields), fields.len);
        buf_free(&fields);
}

/* Lets the model write what matters, and goes on with that. False: it did not. */
static bool compact(struct loop *l)
{
        size_t before = l->history.bytes, count = l->history.count;
        struct buf summary = { 0 };
        bool ok;

        history_message(&l->history, "user", summary_request, sizeof(summary_request) - 1);
        ok = request(l, false) && l->model.answer.failure.kind == MODEL_FINE;
        history_drop_after(&l->history, count);
        for (size_t i = 0; ok && i < l->model.answer.items.count; i++)
                if (l->model.answer.items.items[i].kind == ITEM_ASSISTANT) {
                        buf_drop(&summary, summary.len, 0);
                        item_text(&l->model.answer.items.items[i], &summary, NULL);
                }
        ok = ok && summary.len;
        if (ok) {
                replace_history(l, buf_at(&summary), summary.len);
                say_compaction(l, before, "summary");
        }
        buf_free(&summary);
        return ok;
}

/* Half of what there is, or what there is. */
static bool shrink(struct loop *l)
{
        size_t before = l->history.bytes;

        if (!history_shrink(&l->history, before / 2))
                return false;
        l->context = 0;
        say_compaction(l, before, "outputs");
        return true;
}

/* --- the answer --------------------------------------------------------------------------------------------- */

static void switch_wire(struct loop *l)
{
        static const char fields[] = ",\"wire\":\"chat\"";

        l->wire = WIRE_CHAT_API;
        l->wire_known = true;
        l->toolset.chat = true;
        buf_drop(&l->tools, l->tools.len, 0);
        toolset_put(&l->tools, &l->toolset);
        events_own(&l->events, "wire", fields, sizeof(fields) - 1);
}

/* What can be done about it without waiting; each once. */
struct remedies {
        bool compacted, shrunk;
};

static bool remedy(struct loop *l, const struct failure *f, struct remedies *done)
{
        if (f->kind == MODEL_NO_WIRE && !l->wire_known) {
                switch_wire(l);
                return true;
        }
        if (f->kind != MODEL_CONTEXT)
                return false;
        if (!done->shrunk) {
                done->shrunk = true;
                if (shrink(l))
                        return true;
        }
        if (!done->compacted) {
                done->compacted = true;
                return compact(l);
        }
        return false;
}

static bool out_of_requests(const struct loop *l)
{
        return l->o->max_requests && l->requests >= l->o->max_requests;
}

bool ask(struct loop *l, struct failure *f)
{
        struct remedies done = { .compacted = false };
        unsigned tries = 0;
        uint64_t waited = 0;

        failure_set(f, MODEL_CONTEXT, "the conversation is too long and could not be cut");
        if (near_limit(l)) {
                done.compacted = true;
                if (!compact(l) && (l->stop || !shrink(l)))
                        return false;
        }
        for (;;) {
                if (out_of_requests(l)) {
                        failure_set(f, MODEL_FINE, "over the limit of %u requests",
                                    l->o->max_requests);
                        return false;
                }
                if (!request(l, true))
                        return false;
                *f = l->model.answer.failure;
                if (f->kind == MODEL_FINE) {
                        l->wire_known = true;
                        return true;
                }
                if (remedy(l, f, &done))
                        continue;
                if (!failure_retries(f->kind) || !wait_before(l, f, ++tries, &waited))
                        return false;
        }
}

enum agent_status ask_status(enum model_error kind)
{
        switch (kind) {
        case MODEL_BROKEN:
        case MODEL_OVERLOADED:
                return AGENT_UNREACHABLE;
        case MODEL_RATE:
                return AGENT_RATE;
        case MODEL_QUOTA:
                return AGENT_QUOTA;
        case MODEL_KEY:
                return AGENT_KEY;
        case MODEL_CONTEXT:
                return AGENT_CONTEXT;
        case MODEL_ANSWER:
                return AGENT_ANSWER;
        case MODEL_FINE:
        case MODEL_NO_WIRE:
        case MODEL_UNKNOWN:
        case MODEL_REQUEST:
        case MODEL_POLICY:
                break;
        }
        return AGENT_FAILED;
}
