/*
 * agent/history.h - the conversation, as the model gets it back. Pure.
 *
 * An item is one JSON text in the Responses API's shape, without what only the server that
 * made it understands (id, status): so it can be sent to any, and Chat Completions' messages
 * are made from it when they are asked for. The texts are ours; the order is the
 * conversation's.
 *
 * Each call has one output, right behind the calls of its answer: history_settle gives the
 * text "aborted" to those that have none, so that an interrupted conversation can go on.
 */
#ifndef AGENT_HISTORY_H
#define AGENT_HISTORY_H

#include "agent/buf.h"
#include "agent/value.h"

enum item_kind {
        ITEM_USER,        /* a message of ours: user, developer, system */
        ITEM_ASSISTANT,   /* a message of the model's */
        ITEM_REASONING,
        ITEM_CALL,        /* function_call */
        ITEM_CUSTOM_CALL, /* custom_tool_call */
        ITEM_OUTPUT,      /* the answer to either */
        ITEM_OTHER,       /* kept and sent back, not understood */
};

struct item {
        enum item_kind kind;
        struct buf json;
};

struct history {
        struct item *items;
        size_t count, cap;
        size_t bytes; /* of all their texts */
};

/* A message of ours. */
void history_message(struct history *h, const char *role, const char *text, size_t len);

/*
 * An item that a server made: what it needs of it, nothing else. False: it is no item, and
 * nothing was added.
 */
MUST_USE bool history_take(struct history *h, const struct value *item);

/* An item that we wrote ourselves once: messages of ours and outputs too. */
MUST_USE bool history_restore(struct history *h, const struct value *item);

/* Items built from Chat Completions' pieces; @id as the model's server named it. */
void history_assistant(struct history *h, const char *text, size_t len);
void history_call(struct history *h, const char *id, size_t id_len, const char *name,
                  size_t name_len, const char *args, size_t args_len);

/* The output of the call at @index; @json: a string or an array of parts, as JSON. */
void history_output(struct history *h, size_t index, const char *json, size_t len);
/* The same with a text. */
void history_output_text(struct history *h, size_t index, const char *text, size_t len);

/* "aborted" for every call without an output. Returns how many there were. */
size_t history_settle(struct history *h);

/* Adds @from's items behind @h's; @from is empty then. */
void history_move(struct history *h, struct history *from);
void history_drop_after(struct history *h, size_t count); /* keeps the first @count */
void history_remove(struct history *h, size_t index);
void history_free(struct history *h);

/* --- reading items -------------------------------------------------------------------------- */

/* The item as a value; its text lives as long as the item. */
struct value item_value(const struct item *i);

/* The text of a message, its parts joined; refusals too, and then *@refused. */
void item_text(const struct item *i, struct buf *out, bool *refused);
/* The summary of a reasoning item. */
void item_summary(const struct item *i, struct buf *out);

struct item_call {
        bool custom;
        struct buf id, name, args; /* decoded */
};
/* False: not a call. The caller frees it in any case. */
MUST_USE bool item_call_of(const struct item *i, struct item_call *c);
void item_call_free(struct item_call *c);

/* --- what is sent ----------------------------------------------------------------------------- */

void history_put_input(const struct history *h, struct buf *out); /* items, joined by commas */
/* The same as messages of Chat Completions, the system message first. */
void history_put_messages(const struct history *h, const char *system, struct buf *out);

/*
 * Drops the oldest tool outputs' texts until @bytes are gone, or there are none: each
 * becomes a note. Returns what was gained.
 */
size_t history_shrink(struct history *h, size_t bytes);

#endif
