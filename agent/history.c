/* agent/history.c - see history.h. */
#include "agent/history.h"

#include <stdlib.h>
#include <string.h>

#define SHRUNK "[output removed to save space]"
#define SHRINK_MIN 256 /* bytes of an item: smaller ones give nothing */

/* --- the list --------------------------------------------------------------------------------- */

static struct buf *add(struct history *h, enum item_kind kind)
{
        if (h->count == h->cap) {
                size_t cap = h->cap ? 2 * h->cap : 64;
                struct item *items = take_memory(cap * sizeof(*items));

                if (h->count)
                        memcpy(items, h->items, h->count * sizeof(*items));
                free(h->items);
                h->items = items;
                h->cap = cap;
        }
        h->items[h->count] = (struct item){ .kind = kind };
        return &h->items[h->count++].json;
}

static void added(struct history *h)
{
        h->bytes += h->items[h->count - 1].json.len;
}

void history_move(struct history *h, struct history *from)
{
        for (size_t i = 0; i < from->count; i++) {
                struct buf *b = add(h, from->items[i].kind);

                *b = from->items[i].json;
                added(h);
        }
        free(from->items);
        *from = (struct history){ 0 };
}

void history_remove(struct history *h, size_t index)
{
        h->bytes -= h->items[index].json.len;
        buf_free(&h->items[index].json);
        h->count--;
        memmove(h->items + index, h->items + index + 1,
                (h->count - index) * sizeof(*h->items));
}

void history_drop_after(struct history *h, size_t count)
{
        while (h->count > count)
                history_remove(h, h->count - 1);
}

void history_free(struct history *h)
{
        history_drop_after(h, 0);
        free(h->items);
        *h = (struct history){ 0 };
}

/* --- making items ------------------------------------------------------------------------------ */

static void put_message(struct history *h, enum item_kind kind, const char *role,
                        const char *type, const char *text, size_t len)
{
        struct buf *b = add(h, kind);

        buf_fmt(b, "{\"type\":\"message\",\"role\":\"%s\",\"content\":[{\"type\":\"%s\",\"text\":",
                role, type);
        buf_json(b, text, len);
        buf_str(b, "}]}");
        added(h);
}

void history_message(struct history *h, const char *role, const char *text, size_t len)
{
        put_message(h, ITEM_USER, role, "input_text", text, len);
}

void history_assistant(struct history *h, const char *text, size_t len)
{
        put_message(h, ITEM_ASSISTANT, "assistant", "output_text", text, len);
}

void history_call(struct history *h, const char *id, size_t id_len, const char *name,
                  size_t name_len, const char *args, size_t args_len)
{
        struct buf *b = add(h, ITEM_CALL);

        buf_str(b, "{\"type\":\"function_call\",\"call_id\":");
        buf_json(b, id, id_len);
        buf_str(b, ",\"name\":");
        buf_json(b, name, name_len);
        buf_str(b, ",\"arguments\":");
        buf_json(b, args, args_len);
        buf_str(b, "}");
        added(h);
}

/* The value as it stands in its text, quotes and all. */
static void put_raw(struct buf *b, const struct value *v)
{
        size_t quote = v->type == VALUE_STRING;

        buf_put(b, v->at - quote, v->len + 2 * quote);
}

static void put_member(struct buf *b, const char *key, const struct value *v)
{
        if (v->type == VALUE_ABSENT)
                return;
        buf_fmt(b, ",\"%s\":", key);
        put_raw(b, v);
}

/* Parts of a message: text and refusal, without annotations and log probabilities. */
static void put_parts(struct buf *b, const struct value *content)
{
        struct value_iter i = value_items(content);
        struct value part;
        bool first = true;

        if (content->type == VALUE_STRING) {
                buf_str(b, "{\"type\":\"output_text\",\"text\":");
                put_raw(b, content);
                buf_str(b, "}");
                return;
        }
        while (content->type == VALUE_ARRAY && value_next(&i, NULL, &part)) {
                struct value type = value_get(&part, "type");
                bool refusal = value_is(&type, "refusal");
                struct value text = value_get(&part, refusal ? "refusal" : "text");

                if (text.type != VALUE_STRING)
                        continue;
                buf_str(b, first ? "" : ",");
                buf_fmt(b, "{\"type\":\"%s\"", refusal ? "refusal" : "output_text");
                put_member(b, refusal ? "refusal" : "text", &text);
                buf_str(b, "}");
                first = false;
        }
}

static bool take_message(struct history *h, const struct value *item)
{
        struct value content = value_get(item, "content");
        struct value role = value_get(item, "role");
        struct buf *b;

        if (role.type != VALUE_ABSENT && !value_is(&role, "assistant"))
                return false;
        b = add(h, ITEM_ASSISTANT);
        buf_str(b, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
        put_parts(b, &content);
        buf_str(b, "]}");
        return true;
}

static bool take_call(struct history *h, const struct value *item, bool custom)
{
        struct value id = value_get(item, "call_id");
        struct value name = value_get(item, "name");
        struct value args = value_get(item, custom ? "input" : "arguments");
        struct buf *b;

        if (id.type != VALUE_STRING || name.type != VALUE_STRING)
                return false;
        b = add(h, custom ? ITEM_CUSTOM_CALL : ITEM_CALL);
        buf_fmt(b, "{\"type\":\"%s\"", custom ? "custom_tool_call" : "function_call");
        put_member(b, "call_id", &id);
        put_member(b, "name", &name);
        if (args.type == VALUE_STRING) {
                put_member(b, custom ? "input" : "arguments", &args);
        } else { /* an object where a string belongs: some servers do */
                buf_fmt(b, ",\"%s\":", custom ? "input" : "arguments");
                buf_json(b, args.type == VALUE_ABSENT ? "" : args.at, args.len);
        }
        buf_str(b, "}");
        return true;
}

static void take_members(struct buf *b, const struct value *item, bool keep_all)
{
        static const char *const of_reasoning[] = { "type", "summary", "content",
                                                    "encrypted_content" };
        struct value_iter i = value_items(item);
        struct value key, v;
        bool first = true;

        buf_str(b, "{");
        while (value_next(&i, &key, &v)) {
                bool keep = keep_all && !value_is(&key, "id") && !value_is(&key, "status");

                for (size_t k = 0; k < COUNT(of_reasoning) && !keep_all; k++)
                        keep |= value_is(&key, of_reasoning[k]) && v.type != VALUE_NULL;
                if (!keep)
                        continue;
                buf_str(b, first ? "" : ",");
                put_raw(b, &key);
                buf_str(b, ":");
                put_raw(b, &v);
                first = false;
        }
        buf_str(b, "}");
}

bool history_take(struct history *h, const struct value *item)
{
        struct value type = value_get(item, "type");

        if (item->type != VALUE_OBJECT || type.type != VALUE_STRING)
                return false;
        if (value_is(&type, "message")) {
                if (!take_message(h, item))
                        return false;
        } else if (value_is(&type, "function_call") || value_is(&type, "custom_tool_call")) {
                if (!take_call(h, item, value_is(&type, "custom_tool_call")))
                        return false;
        } else if (value_is(&type, "reasoning")) {
                take_members(add(h, ITEM_REASONING), item, false);
        } else {
                take_members(add(h, ITEM_OTHER), item, true);
        }
        added(h);
        return true;
}

bool history_restore(struct history *h, const struct value *item)
{
        struct value type = value_get(item, "type"), role = value_get(item, "role");
        struct value id = value_get(item, "call_id");
        bool output = value_is(&type, "function_call_output") ||
                      value_is(&type, "custom_tool_call_output");
        struct buf *b;

        if (!output && (!value_is(&type, "message") || value_is(&role, "assistant")))
                return history_take(h, item);
        if (item->type != VALUE_OBJECT || (output ? id.type : role.type) != VALUE_STRING)
                return false;
        b = add(h, output ? ITEM_OUTPUT : ITEM_USER);
        buf_put(b, item->at, item->len);
        added(h);
        return true;
}

void history_output(struct history *h, size_t index, const char *json, size_t len)
{
        struct value call = item_value(&h->items[index]);
        struct value id = value_get(&call, "call_id");
        bool custom = h->items[index].kind == ITEM_CUSTOM_CALL;
        struct buf *b = add(h, ITEM_OUTPUT);

        buf_fmt(b, "{\"type\":\"%s\"",
                custom ? "custom_tool_call_output" : "function_call_output");
        put_member(b, "call_id", &id);
        buf_str(b, ",\"output\":");
        buf_put(b, json, len);
        buf_str(b, "}");
        added(h);
}

void history_output_text(struct history *h, size_t index, const char *text, size_t len)
{
        struct buf json = { 0 };

        buf_json(&json, text, len);
        history_output(h, index, buf_at(&json), json.len);
        buf_free(&json);
}

static bool answered(const struct history *h, size_t index)
{
        struct value call = item_value(&h->items[index]);
        struct value id = value_get(&call, "call_id");

        for (size_t i = index + 1; i < h->count; i++) {
                struct value v, other;

                if (h->items[i].kind != ITEM_OUTPUT)
                        continue;
                v = item_value(&h->items[i]);
                other = value_get(&v, "call_id");
                if (other.len == id.len && !memcmp(other.at, id.at, id.len))
                        return true;
        }
        return false;
}

size_t history_settle(struct history *h)
{
        size_t count = h->count, settled = 0;

        for (size_t i = 0; i < count; i++) {
                if ((h->items[i].kind != ITEM_CALL && h->items[i].kind != ITEM_CUSTOM_CALL) ||
                    answered(h, i))
                        continue;
                history_output_text(h, i, "aborted", 7);
                settled++;
        }
        return settled;
}

size_t history_shrink(struct history *h, size_t bytes)
{
        size_t gained = 0;

        for (size_t i = 0; i < h->count && gained < bytes; i++) {
                struct buf *b = &h->items[i].json, smaller = { 0 };
                struct value v, id, type;

                if (h->items[i].kind != ITEM_OUTPUT || b->len < SHRINK_MIN)
                        continue;
                v = item_value(&h->items[i]);
                id = value_get(&v, "call_id");
                type = value_get(&v, "type");
                buf_str(&smaller, "{\"type\":");
                put_raw(&smaller, &type);
                put_member(&smaller, "call_id", &id);
                buf_str(&smaller, ",\"output\":\"" SHRUNK "\"}");
                gained += b->len - smaller.len;
                h->bytes -= b->len - smaller.len;
                buf_free(b);
                *b = smaller;
        }
        return gained;
}

/* --- reading items ------------------------------------------------------------------------------ */

struct value item_value(const struct item *i)
{
        struct value v;
        struct value_error e;

        /* We wrote it: it is JSON. */
        if (!value_parse(&v, buf_at(&i->json), i->json.len, &e))
                v = (struct value){ 0 };
        return v;
}

static void add_string(struct buf *out, const struct value *v)
{
        if (v->type == VALUE_STRING)
                buf_added(out, value_string(v, buf_room(out, v->len)));
}

void item_text(const struct item *i, struct buf *out, bool *refused)
{
        struct value v = item_value(i);
        struct value content = value_get(&v, "content"), part;
        struct value_iter parts = value_items(&content);

        while (content.type == VALUE_ARRAY && value_next(&parts, NULL, &part)) {
                struct value text = value_get(&part, "text");
                struct value refusal = value_get(&part, "refusal");

                add_string(out, &text);
                add_string(out, &refusal);
                if (refused && refusal.type == VALUE_STRING)
                        *refused = true;
        }
}

void item_summary(const struct item *i, struct buf *out)
{
        struct value v = item_value(i);
        struct value summary = value_get(&v, "summary"), part;
        struct value_iter parts = value_items(&summary);

        while (summary.type == VALUE_ARRAY && value_next(&parts, NULL, &part)) {
                struct value text = value_get(&part, "text");

                if (out->len && text.type == VALUE_STRING)
                        buf_str(out, "\n\n");
                add_string(out, &text);
        }
}

bool item_call_of(const struct item *i, struct item_call *c)
{
        struct value v = item_value(i);
        struct value id = value_get(&v, "call_id");
        struct value name = value_get(&v, "name");
        struct value args = value_get(&v, i->kind == ITEM_CUSTOM_CALL ? "input" : "arguments");

        *c = (struct item_call){ .custom = i->kind == ITEM_CUSTOM_CALL };
        if (i->kind != ITEM_CALL && i->kind != ITEM_CUSTOM_CALL)
                return false;
        add_string(&c->id, &id);
        add_string(&c->name, &name);
        add_string(&c->args, &args);
        return true;
}

void item_call_free(struct item_call *c)
{
        buf_free(&c->id);
        buf_free(&c->name);
        buf_free(&c->args);
}

/* --- what is sent --------------------------------------------------------------------------------- */

void history_put_input(const struct history *h, struct buf *out)
{
        for (size_t i = 0; i < h->count; i++) {
                if (i)
                        buf_str(out, ",");
                buf_put(out, buf_at(&h->items[i].json), h->items[i].json.len);
        }
}

/* One assistant message: what it said, and all its calls, belong together there. */
struct pending {
        struct buf text, calls;
        bool any;
};

static void flush(struct pending *p, struct buf *out)
{
        if (!p->any)
                return;
        buf_str(out, ",{\"role\":\"assistant\",\"content\":");
        if (p->text.len || !p->calls.len)
                buf_json(out, buf_at(&p->text), p->text.len);
        else
                buf_str(out, "null");
        if (p->calls.len) {
                buf_str(out, ",\"tool_calls\":[");
                buf_put(out, buf_at(&p->calls), p->calls.len);
                buf_str(out, "]");
        }
        buf_str(out, "}");
        buf_free(&p->text);
        buf_free(&p->calls);
        p->any = false;
}

static void put_chat_call(struct pending *p, const struct item *i)
{
        struct item_call c;
        struct buf wrapped = { 0 };

        if (item_call_of(i, &c)) {
                if (c.custom) {
                        buf_str(&wrapped, "{\"input\":");
                        buf_json(&wrapped, buf_at(&c.args), c.args.len);
                        buf_str(&wrapped, "}");
                }
                buf_str(&p->calls, p->calls.len ? ",{\"id\":" : "{\"id\":");
                buf_json(&p->calls, buf_at(&c.id), c.id.len);
                buf_str(&p->calls, ",\"type\":\"function\",\"function\":{\"name\":");
                buf_json(&p->calls, buf_at(&c.name), c.name.len);
                buf_str(&p->calls, ",\"arguments\":");
                buf_json(&p->calls, buf_at(c.custom ? &wrapped : &c.args),
                         c.custom ? wrapped.len : c.args.len);
                buf_str(&p->calls, "}}");
                p->any = true;
        }
        buf_free(&wrapped);
        item_call_free(&c);
}

/* A tool message holds text alone: an image follows as a message of ours. */
static void put_chat_output(struct buf *out, const struct item *i, struct buf *images)
{
        struct value v = item_value(i);
        struct value id = value_get(&v, "call_id");
        struct value output = value_get(&v, "output"), part;
        struct value_iter parts = value_items(&output);

        buf_str(out, ",{\"role\":\"tool\"");
        put_member(out, "tool_call_id", &id);
        buf_str(out, ",\"content\":");
        if (output.type == VALUE_STRING) {
                put_raw(out, &output);
        } else {
                buf_str(out, "\"The image follows.\"");
                while (output.type == VALUE_ARRAY && value_next(&parts, NULL, &part)) {
                        struct value url = value_get(&part, "image_url");

                        if (url.type != VALUE_STRING)
                                continue;
                        buf_str(images, images->len ? "," : "");
                        buf_str(images, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
                        put_raw(images, &url);
                        buf_str(images, "}}");
                }
        }
        buf_str(out, "}");
}

static void put_chat_user(struct buf *out, const struct item *i)
{
        struct value v = item_value(i);
        struct value role = value_get(&v, "role");
        struct buf text = { 0 };

        item_text(i, &text, NULL);
        /* developer is a word of one vendor's: everybody knows system. */
        buf_fmt(out, ",{\"role\":\"%s\",\"content\":",
                value_is(&role, "developer") || value_is(&role, "system") ? "system" : "user");
        buf_json(out, buf_at(&text), text.len);
        buf_str(out, "}");
        buf_free(&text);
}

static void flush_images(struct buf *images, struct buf *out)
{
        if (!images->len)
                return;
        buf_str(out, ",{\"role\":\"user\",\"content\":[");
        buf_put(out, buf_at(images), images->len);
        buf_str(out, "]}");
        buf_free(images);
}

void history_put_messages(const struct history *h, const char *system, struct buf *out)
{
        struct pending p = { 0 };
        struct buf images = { 0 };

        buf_str(out, "{\"role\":\"system\",\"content\":");
        buf_json(out, system, strlen(system));
        buf_str(out, "}");
        for (size_t i = 0; i < h->count; i++) {
                const struct item *item = &h->items[i];

                if (item->kind != ITEM_OUTPUT && item->kind != ITEM_REASONING)
                        flush_images(&images, out);
                switch (item->kind) {
                case ITEM_ASSISTANT:
                        if (p.calls.len)
                                flush(&p, out);
                        item_text(item, &p.text, NULL);
                        p.any = true;
                        break;
                case ITEM_CALL:
                case ITEM_CUSTOM_CALL:
                        put_chat_call(&p, item);
                        break;
                case ITEM_OUTPUT:
                        flush(&p, out);
                        put_chat_output(out, item, &images);
                        break;
                case ITEM_USER:
                        flush(&p, out);
                        put_chat_user(out, item);
                        break;
                case ITEM_REASONING:
                case ITEM_OTHER:
                        break;
                }
        }
        flush(&p, out);
        flush_images(&images, out);
}
