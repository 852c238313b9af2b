/* agent/turn.c - a turn: ask, run the calls, ask again; see loop.h. */
#include "agent/loop.h"

#include <stdlib.h>
#include <string.h>

#define GUARD_TELL 3U  /* the same call with the same result: the model is told */
#define GUARD_STOP 12U /* and at last stopped */

static const char guard_text[] =
        "The last three calls were the same and gave the same result. Doing it once more will "
        "not change that: find out what is different from what you expect, try another way, or "
        "say what keeps you from going on.";
static const char abort_text[] =
        "<turn_aborted>\nThe user interrupted the previous turn on purpose. Commands that were "
        "running may still run; commands and edits may have been done in part.\n</turn_aborted>";
static const char schema_text[] =
        "The answer has to be one JSON value that fits the schema of this task, without a code "
        "fence and without any other text. Give it again.";

/* --- budgets ---------------------------------------------------------------------------------------------- */

/* True: one is used up, and @f says which. */
static bool over_budget(const struct loop *l, struct failure *f)
{
        const struct loop_options *o = l->o;

        if (o->max_tokens && l->used.total >= o->max_tokens)
                failure_set(f, MODEL_FINE, "over the limit of %llu tokens (%llu were used)",
                            (unsigned long long)o->max_tokens,
                            (unsigned long long)l->used.total);
        else if (o->max_requests && l->requests >= o->max_requests)
                failure_set(f, MODEL_FINE, "over the limit of %u requests", o->max_requests);
        else if (l->end_ms && l->now_ms >= l->end_ms)
                failure_set(f, MODEL_FINE, "over the time limit of %u s", o->timeout_s);
        else if (l->guard_count >= GUARD_STOP)
                failure_set(f, MODEL_FINE, "the same call was made %u times with the same result",
                            l->guard_count);
        else
                return false;
        return true;
}

/* --- one answer --------------------------------------------------------------------------------------------- */

static bool is_call(const struct item *i)
{
        return i->kind == ITEM_CALL || i->kind == ITEM_CUSTOM_CALL;
}

/* Moves it behind the history and tells it. Returns where it begins there. */
static size_t take_answer(struct loop *l)
{
        size_t from = l->history.count;

        history_move(&l->history, &l->model.answer.items);
        for (size_t i = from; i < l->history.count; i++) {
                const struct item *item = &l->history.items[i];
                struct buf text = { 0 };

                if (item->kind == ITEM_REASONING) {
                        item_summary(item, &text);
                        if (text.len)
                                events_reasoning(&l->events, buf_at(&text), text.len);
                } else if (item->kind == ITEM_ASSISTANT) {
                        l->refused = false;
                        item_text(item, &text, &l->refused);
                        if (text.len) {
                                events_message(&l->events, buf_at(&text), text.len);
                                buf_drop(&l->last, l->last.len, 0);
                                buf_put(&l->last, buf_at(&text), text.len);
                        }
                }
                buf_free(&text);
        }
        return from;
}

/* Runs the calls behind @from, in order. Returns how many there were. */
static size_t run_calls(struct loop *l, size_t from)
{
        size_t end = l->history.count, count = 0;

        for (size_t i = from; i < end; i++) {
                if (!is_call(&l->history.items[i]))
                        continue;
                count++;
                if (!l->stop && !(l->end_ms && l->now_ms >= l->end_ms))
                        tools_run(l, i);
        }
        if (history_settle(&l->history))
                l->guard_count = 0;
        if (l->guard_count == GUARD_TELL) {
                history_message(&l->history, "user", guard_text, sizeof(guard_text) - 1);
                events_own(&l->events, "loop_guard", "", 0);
        }
        return count;
}

/* --- the answer that a schema asks for ------------------------------------------------------------------------- */

/* Without a fence around it, which some models can't help. */
static void unfence(struct buf *b)
{
        const char *text = buf_at(b), *lf;
        size_t len = b->len;

        while (len && strchr(" \t\r\n", text[len - 1]))
                len--;
        b->len = len;
        if (len < 7 || memcmp(text, "```", 3) != 0 || memcmp(text + len - 3, "```", 3) != 0)
                return;
        lf = memchr(text, '\n', len);
        if (!lf || (size_t)(lf - text) >= len - 3)
                return;
        b->len = len - 3;
        buf_drop(b, (size_t)(lf - text) + 1, b->cap);
}

static bool fits(struct loop *l)
{
        struct value v;
        struct value_error e;

        unfence(&l->last);
        return !l->refused && value_parse(&v, buf_at(&l->last), l->last.len, &e);
}

/* --- the turn ------------------------------------------------------------------------------------------------------ */

static enum agent_status failed(struct loop *l, enum agent_status status, const char *text)
{
        tools_close(l);
        events_failed(&l->events, text);
        return status;
}

static enum agent_status aborted(struct loop *l)
{
        struct buf fields = { 0 };

        history_settle(&l->history);
        history_message(&l->history, "user", abort_text, sizeof(abort_text) - 1);
        buf_fmt(&fields, ",\"reason\":\"interrupted\",\"signal\":%d", l->stop);
        events_own(&l->events, "turn_aborted", buf_at(&fields), fields.len);
        buf_free(&fields);
        return failed(l, (enum agent_status)(128 + l->stop), "interrupted");
}

static enum agent_status completed(struct loop *l)
{
        tools_close(l);
        events_completed(&l->events, &l->used);
        events_answer(&l->events, buf_at(&l->last), l->last.len);
        return AGENT_DONE;
}

static enum agent_status out_of_budget(struct loop *l, const struct failure *f)
{
        struct buf fields = { 0 };

        buf_str(&fields, ",\"message\":");
        buf_json(&fields, f->text, strlen(f->text));
        events_own(&l->events, "budget", buf_at(&fields), fields.len);
        buf_free(&fields);
        return failed(l, AGENT_BUDGET, f->text);
}

/* Nothing more to do, it says: is the answer one? True: the turn goes on. */
static bool ask_again(struct loop *l, bool *asked)
{
        if (!l->schema.len || fits(l) || *asked)
                return false;
        *asked = true;
        history_message(&l->history, "user", schema_text, sizeof(schema_text) - 1);
        return true;
}

enum agent_status turn_run(struct loop *l)
{
        struct failure f = { .kind = MODEL_FINE };
        bool asked = false;

        events_turn(&l->events);
        for (;;) {
                size_t from;

                if (l->stop)
                        return aborted(l);
                if (over_budget(l, &f))
                        return out_of_budget(l, &f);
                if (!ask(l, &f)) {
                        if (l->stop)
                                return aborted(l);
                        if (over_budget(l, &f) || f.kind == MODEL_FINE)
                                return out_of_budget(l, &f);
                        return failed(l, ask_status(f.kind), f.text);
                }
                from = take_answer(l);
                if (run_calls(l, from))
                        continue;
                if (ask_again(l, &asked))
                        continue;
                if (l->schema.len && !fits(l))
                        return failed(l, AGENT_ANSWER, l->refused
                                              ? "the model refused"
                                              : "the answer is not JSON as --output-schema wants it");
                return completed(l);
        }
}
