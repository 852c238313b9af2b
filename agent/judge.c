/* agent/judge.c - one question at a time, and what came of each. */
#include "agent/judge.h"

#include "agent/loop.h"

#include <string.h>

#define FAILURE_BYTES 500U /* of the end of a stopped command's output */

static const char *policy_of(const struct loop_options *o)
{
        if (o->task)
                return "sealed container (network_access=as the task's policy allows)";
        switch (o->sandbox) {
        case LOOP_READ_ONLY:
                return "read-only";
        case LOOP_WORKSPACE_WRITE:
                return "workspace-write (network_access=no-network)";
        case LOOP_FULL_ACCESS:
                break;
        }
        return "danger-full-access";
}

static void put_flags(struct buf *out, unsigned flags)
{
        bool first = true;

        buf_str(out, "[");
        for (enum assess_category c = ASSESS_DATA_DELETION; c < ASSESS_CATEGORIES; c++) {
                if (!(flags & BIT(c)))
                        continue;
                buf_fmt(out, "%s\"%s\"", first ? "" : ",", assess_category_str(c));
                first = false;
        }
        buf_str(out, "]");
}

static void tell(struct loop *l, const struct question *q, const struct assessment *a)
{
        struct buf fields = { 0 };

        buf_fmt(&fields, ",\"item\":\"item_%llu\",\"when\":\"%s\",\"flags\":",
                (unsigned long long)q->item, q->after ? "after" : "before");
        put_flags(&fields, q->flags);
        assess_put_fields(&fields, a);
        events_own(&l->events, "assessment", buf_at(&fields), fields.len);
        buf_free(&fields);
        if (a->outcome == ASSESS_SUCCESS)
                events_risk(&l->events, assess_risk_str(a->risk), a->description);
}

/* --- the request -------------------------------------------------------------------------- */

static void send_first(struct loop *l)
{
        struct judge *j = &l->judge;
        struct history one = { 0 };
        struct buf body = { 0 };
        struct request r = { .wire = l->wire, .model = l->o->model,
                             .instructions = assess_instructions, .effort = l->o->effort,
                             .schema_name = ASSESS_SCHEMA_NAME, .schema = assess_schema,
                             .history = &one };

        history_message(&one, "user", buf_at(&j->queue[0].text), j->queue[0].text.len);
        request_put(&body, &r);
        history_free(&one);
        j->began_ms = l->now_ms;
        model_ask(&j->model, l->wire, false, &body, l->now_ms);
}

static enum assess_outcome take_answer(struct judge *j, struct assessment *a)
{
        struct answer *got = &j->model.answer;
        struct buf text = { 0 };

        if (got->usage.known)
                j->tokens += got->usage.total;
        if (got->failure.kind != MODEL_FINE)
                return ASSESS_MODEL_ERROR;
        for (size_t i = 0; i < got->items.count; i++)
                if (got->items.items[i].kind == ITEM_ASSISTANT) {
                        text.len = 0;
                        item_text(&got->items.items[i], &text, NULL);
                }
        assess_parse(a, text.len ? buf_at(&text) : "", text.len);
        buf_free(&text);
        return a->outcome;
}

/* The first of the queue is done with; the next one goes out. */
static void finish(struct loop *l, bool late)
{
        struct judge *j = &l->judge;
        struct assessment a = { .ms = l->now_ms - j->began_ms };

        if (late)
                model_stop(&j->model);
        a.outcome = late ? ASSESS_TIMEOUT : take_answer(j, &a);
        assess_count(&j->counts, &a);
        tell(l, &j->queue[0], &a);
        buf_free(&j->queue[0].text);
        memmove(j->queue, j->queue + 1, --j->count * sizeof(*j->queue));
        if (j->count && j->on)
                send_first(l);
}

void judge_step(struct loop *l, short revents)
{
        struct judge *j = &l->judge;

        if (!j->count)
                return;
        if (j->model.state != MODEL_IDLE)
                model_step(&j->model, revents, l->now_ms);
        if (j->model.state == MODEL_IDLE)
                finish(l, false);
        else if (l->now_ms >= j->began_ms + ASSESS_MS_DEFAULT)
                finish(l, true);
}

uint64_t judge_due_ms(const struct judge *j)
{
        return j->count ? j->began_ms + ASSESS_MS_DEFAULT : UINT64_MAX;
}

/* --- questions ------------------------------------------------------------------------------ */

static unsigned flags_of(const struct hand *h)
{
        size_t argc = 0;

        while (h->argv[argc])
                argc++;
        return assess_flags_argv((const char *const *)h->argv, argc);
}

static void ask_about(struct loop *l, const struct hand *h, const struct assess_question *q,
                      bool after)
{
        struct judge *j = &l->judge;
        const char *const roots[] = { l->root, "/tmp" };
        struct assess_question whole = *q;
        bool some = !l->o->task && l->o->sandbox == LOOP_WORKSPACE_WRITE;
        struct question *at = &j->queue[j->count];

        if (j->count == JUDGE_QUEUE) {
                j->left_out++;
                return;
        }
        whole.platform = "linux";
        whole.policy = policy_of(l->o);
        whole.roots = roots;
        whole.root_count = some ? COUNT(roots) : 0;
        whole.cwd = h->cwd;
        whole.argv = (const char *const *)h->argv;
        while (h->argv[whole.argc])
                whole.argc++;
        *at = (struct question){ .item = h->item, .after = after, .flags = flags_of(h) };
        assess_put_question(&at->text, &whole);
        if (j->count++ == 0)
                send_first(l);
}

void judge_before(struct loop *l, const struct hand *h)
{
        struct assess_question q = { .argc = 0 };

        if (l->judge.on && flags_of(h))
                ask_about(l, h, &q, false);
}

void judge_after(struct loop *l, const struct hand *h, const char *output, size_t len)
{
        struct assess_question q = { .argc = 0 };
        struct buf failure = { 0 };
        size_t n = len < FAILURE_BYTES ? len : FAILURE_BYTES;

        if (!l->judge.on || !h->exited ||
            !(h->denied || assess_stopped(h->exit_code, output, len)))
                return;
        buf_str(&failure, "failed in sandbox: ");
        buf_put(&failure, output + len - n, n);
        q.failure = buf_at(&failure);
        q.failure_len = failure.len;
        ask_about(l, h, &q, true);
        buf_free(&failure);
}

void judge_end(struct loop *l)
{
        struct judge *j = &l->judge;
        struct buf fields = { 0 };

        if (!j->on)
                return;
        while (j->count && loop_wait(l, judge_due_ms(j)))
                ;
        j->on = false;
        while (j->count) /* a signal: nobody waits any more */
                finish(l, true);
        buf_str(&fields, ",\"counts\":");
        assess_put_counts(&fields, &j->counts);
        buf_fmt(&fields, ",\"left_out\":%llu,\"tokens\":%llu", (unsigned long long)j->left_out,
                (unsigned long long)j->tokens);
        events_own(&l->events, "assessments", buf_at(&fields), fields.len);
        buf_free(&fields);
        model_close(&j->model);
}
