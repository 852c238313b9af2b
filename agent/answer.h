/*
 * agent/answer.h - one answer of the model's, put together from the events of a stream. Pure.
 *
 * Responses: what output_item.done brings is the truth, and response.completed ends it; the
 * deltas before are for people who watch. Chat Completions: pieces are joined, a call by its
 * index and id, and [DONE] or a finish_reason ends it. Both give the same items.
 *
 * Unknown events and members are passed over. A stream that ends without its end is
 * MODEL_BROKEN, and what came of it is dropped by the caller with the whole struct.
 */
#ifndef AGENT_ANSWER_H
#define AGENT_ANSWER_H

#include "agent/history.h"
#include "agent/retry.h"

#define ANSWER_CALLS 128 /* in one answer */

enum wire { WIRE_RESPONSES_API, WIRE_CHAT_API };

struct usage {
        bool known;
        uint64_t input, cached, output, reasoning, total;
};

struct chat_call {
        uint64_t index;
        struct buf id, name, args;
};

struct answer {
        enum wire wire;
        struct history items;
        struct usage usage;
        bool ended;             /* the last event was there */
        bool cut;               /* … and said that the model was stopped */
        struct failure failure; /* kind MODEL_FINE: none */
        struct buf text;        /* live text of the message under way */
        /* Chat Completions */
        struct buf said;
        struct chat_call *calls;
        size_t call_count;
        bool finished; /* finish_reason was there: only [DONE] and usage may follow */
};

/* One event's data. False: a->failure says why, and nothing more is to be read. */
MUST_USE bool answer_take(struct answer *a, const char *data, size_t len);

/* A body that is no stream, from servers that don't stream: one whole response. */
MUST_USE bool answer_take_whole(struct answer *a, const char *body, size_t len);

/* The bytes are over. False: they should not be. */
MUST_USE bool answer_end(struct answer *a);

void answer_free(struct answer *a);

#endif
