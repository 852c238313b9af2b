/* agent/answer.c - see answer.h. */
#include "agent/answer.h"

#include <stdlib.h>
#include <string.h>

/* Strings of these events end up in names and ids: what is longer is nonsense. */
#define NAME_MAX_LEN 512

static void add_string(struct buf *out, const struct value *v)
{
        if (v->type == VALUE_STRING)
                buf_added(out, value_string(v, buf_room(out, v->len)));
}

static uint64_t number(const struct value *v, const char *key)
{
        struct value n = value_get(v, key);
        uint64_t out = 0;

        return value_u64(&n, &out) ? out : 0;
}

/* Both wires', by their two sets of names. */
static void take_usage(struct answer *a, const struct value *u)
{
        bool chat = a->wire == WIRE_CHAT_API;
        struct value in, out;

        if (u->type != VALUE_OBJECT)
                return;
        in = value_get(u, chat ? "prompt_tokens_details" : "input_tokens_details");
        out = value_get(u, chat ? "completion_tokens_details" : "output_tokens_details");
        a->usage = (struct usage){
                .known = true,
                .input = number(u, chat ? "prompt_tokens" : "input_tokens"),
                .output = number(u, chat ? "completion_tokens" : "output_tokens"),
                .total = number(u, "total_tokens"),
                .cached = number(&in, "cached_tokens"),
                .reasoning = number(&out, "reasoning_tokens"),
        };
        if (!a->usage.total)
                a->usage.total = a->usage.input + a->usage.output;
}

static bool fail(struct answer *a, const struct value *error)
{
        failure_of_event(&a->failure, error);
        return false;
}

/* --- Responses ----------------------------------------------------------------------------------- */

static void take_output(struct answer *a, const struct value *response)
{
        struct value output = value_get(response, "output"), item;
        struct value_iter i = value_items(&output);

        while (output.type == VALUE_ARRAY && value_next(&i, NULL, &item))
                if (!history_take(&a->items, &item))
                        continue;
}

static void complete(struct answer *a, const struct value *response)
{
        struct value usage = value_get(response, "usage");

        take_usage(a, &usage);
        if (!a->items.count)
                take_output(a, response);
        a->ended = true;
}

static bool incomplete(struct answer *a, const struct value *response)
{
        struct value details = value_get(response, "incomplete_details");
        struct value reason = value_get(&details, "reason");
        struct value usage = value_get(response, "usage");

        take_usage(a, &usage);
        a->cut = true;
        failure_set(&a->failure, MODEL_ANSWER, "the model's answer was cut off: %.*s",
                    reason.type == VALUE_STRING && reason.len < NAME_MAX_LEN ? (int)reason.len : 7,
                    reason.type == VALUE_STRING && reason.len < NAME_MAX_LEN ? reason.at
                                                                             : "unknown");
        return false;
}

static bool take_response_event(struct answer *a, const struct value *v)
{
        struct value type = value_get(v, "type");
        struct value response = value_get(v, "response");
        struct value part;

        if (value_is(&type, "response.output_text.delta") ||
            value_is(&type, "response.refusal.delta")) {
                part = value_get(v, "delta");
                add_string(&a->text, &part);
        } else if (value_is(&type, "response.output_item.done")) {
                part = value_get(v, "item");
                buf_free(&a->text);
                if (!history_take(&a->items, &part))
                        return true; /* of a kind that has no meaning to us */
        } else if (value_is(&type, "response.completed")) {
                complete(a, &response);
        } else if (value_is(&type, "response.incomplete")) {
                return incomplete(a, &response);
        } else if (value_is(&type, "response.failed")) {
                part = value_get(&response, "error");
                return fail(a, part.type == VALUE_OBJECT ? &part : &response);
        } else if (value_is(&type, "error")) {
                part = value_get(v, "error");
                return fail(a, part.type == VALUE_OBJECT ? &part : v);
        }
        return true;
}

/* --- Chat Completions ----------------------------------------------------------------------------- */

static struct chat_call *new_call(struct answer *a, uint64_t index)
{
        if (a->call_count == ANSWER_CALLS)
                return NULL;
        if (!a->calls)
                a->calls = take_memory(ANSWER_CALLS * sizeof(*a->calls));
        a->calls[a->call_count] = (struct chat_call){ .index = index };
        return &a->calls[a->call_count++];
}

/*
 * Which call a piece belongs to. Some servers give every call the index 0: then another id
 * begins another call.
 */
static struct chat_call *call_of(struct answer *a, uint64_t index, const struct value *id)
{
        for (size_t i = a->call_count; i > 0; i--) {
                struct chat_call *c = &a->calls[i - 1];
                struct buf text = { 0 };
                bool other;

                if (c->index != index)
                        continue;
                add_string(&text, id);
                other = text.len && c->id.len && (text.len != c->id.len ||
                        memcmp(buf_at(&text), buf_at(&c->id), text.len) != 0);
                buf_free(&text);
                return other ? new_call(a, index) : c;
        }
        return new_call(a, index);
}

static bool take_call(struct answer *a, const struct value *piece)
{
        struct value id = value_get(piece, "id");
        struct value function = value_get(piece, "function");
        struct value name = value_get(&function, "name");
        struct value args = value_get(&function, "arguments");
        struct chat_call *c = call_of(a, number(piece, "index"), &id);

        if (!c) {
                failure_set(&a->failure, MODEL_ANSWER, "over %u calls in one answer of the model",
                            ANSWER_CALLS);
                return false;
        }
        if (!c->id.len && id.len < NAME_MAX_LEN)
                add_string(&c->id, &id);
        if (!c->name.len && name.len < NAME_MAX_LEN)
                add_string(&c->name, &name);
        if (args.type == VALUE_OBJECT)
                buf_put(&c->args, args.at, args.len);
        else
                add_string(&c->args, &args);
        return true;
}

static bool take_delta(struct answer *a, const struct value *delta)
{
        struct value content = value_get(delta, "content");
        struct value refusal = value_get(delta, "refusal");
        struct value calls = value_get(delta, "tool_calls"), piece;
        struct value_iter i = value_items(&calls);

        add_string(&a->said, &content);
        add_string(&a->text, &content);
        add_string(&a->said, &refusal);
        while (calls.type == VALUE_ARRAY && value_next(&i, NULL, &piece))
                if (!take_call(a, &piece))
                        return false;
        return true;
}

/* A call without an id gets one: the output must name it. */
static void make_items(struct answer *a)
{
        if (a->said.len)
                history_assistant(&a->items, buf_at(&a->said), a->said.len);
        for (size_t i = 0; i < a->call_count; i++) {
                struct chat_call *c = &a->calls[i];

                if (!c->id.len)
                        buf_fmt(&c->id, "call_%zu", i);
                history_call(&a->items, buf_at(&c->id), c->id.len, buf_at(&c->name), c->name.len,
                             c->args.len ? buf_at(&c->args) : "{}", c->args.len ? c->args.len : 2);
        }
}

static bool chat_end(struct answer *a)
{
        if (a->ended)
                return true;
        a->ended = true;
        make_items(a);
        return true;
}

static bool take_finish(struct answer *a, const struct value *reason)
{
        if (reason->type != VALUE_STRING)
                return true;
        a->finished = true;
        /* "stop" though there are calls: the calls are right. */
        if ((value_is(reason, "length") || value_is(reason, "content_filter"))) {
                a->cut = true;
                failure_set(&a->failure, MODEL_ANSWER, "the model's answer was cut off: %.*s",
                            (int)reason->len, reason->at);
                return false;
        }
        return true;
}

static bool take_choice(struct answer *a, const struct value *v, const char *key)
{
        struct value choices = value_get(v, "choices"), choice, delta, reason;
        struct value_iter i = value_items(&choices);

        if (choices.type != VALUE_ARRAY || !value_next(&i, NULL, &choice))
                return true;
        delta = value_get(&choice, key);
        reason = value_get(&choice, "finish_reason");
        return take_delta(a, &delta) && take_finish(a, &reason);
}

static bool take_chunk(struct answer *a, const struct value *v)
{
        struct value error = value_get(v, "error");
        struct value usage = value_get(v, "usage");

        if (error.type == VALUE_OBJECT || error.type == VALUE_STRING)
                return fail(a, &error);
        take_usage(a, &usage);
        return take_choice(a, v, "delta");
}

/* --- both ------------------------------------------------------------------------------------------- */

bool answer_take(struct answer *a, const char *data, size_t len)
{
        struct value v;
        struct value_error e;

        if (len == 6 && !memcmp(data, "[DONE]", 6))
                return a->wire != WIRE_CHAT_API || chat_end(a);
        if (!value_parse(&v, data, len, &e) || v.type != VALUE_OBJECT) {
                failure_set(&a->failure, MODEL_BROKEN,
                            "an event of the model's stream is not JSON (byte %zu)", e.at);
                return false;
        }
        return a->wire == WIRE_CHAT_API ? take_chunk(a, &v) : take_response_event(a, &v);
}

bool answer_take_whole(struct answer *a, const char *body, size_t len)
{
        struct value v, usage, status, error;
        struct value_error e;

        if (!value_parse(&v, body, len, &e) || v.type != VALUE_OBJECT) {
                failure_set(&a->failure, MODEL_ANSWER, "the model's server sent neither events nor "
                            "JSON: is this an OpenAI-compatible base URL?");
                return false;
        }
        error = value_get(&v, "error");
        if (error.type == VALUE_OBJECT || error.type == VALUE_STRING)
                return fail(a, &error);
        if (a->wire == WIRE_CHAT_API) {
                usage = value_get(&v, "usage");
                take_usage(a, &usage);
                return take_choice(a, &v, "message") && chat_end(a);
        }
        status = value_get(&v, "status");
        if (value_is(&status, "incomplete"))
                return incomplete(a, &v);
        complete(a, &v);
        return true;
}

bool answer_end(struct answer *a)
{
        if (a->wire == WIRE_CHAT_API && a->finished)
                return chat_end(a); /* some never say [DONE] */
        if (a->ended)
                return true;
        failure_set(&a->failure, MODEL_BROKEN, "the stream closed before %s",
                    a->wire == WIRE_CHAT_API ? "[DONE]" : "response.completed");
        return false;
}

void answer_free(struct answer *a)
{
        history_free(&a->items);
        buf_free(&a->text);
        buf_free(&a->said);
        for (size_t i = 0; i < a->call_count; i++) {
                buf_free(&a->calls[i].id);
                buf_free(&a->calls[i].name);
                buf_free(&a->calls[i].args);
        }
        free(a->calls);
        *a = (struct answer){ 0 };
}
