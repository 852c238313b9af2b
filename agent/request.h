/*
 * agent/request.h - the text of a request to the model, for either wire. Pure.
 *
 * Stateless: every request holds the whole conversation, and the server keeps none of it.
 * What comes first is the same bytes in every request of a thread, so that the server's
 * cache of the prefix works.
 */
#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H

#include "agent/answer.h"

struct request {
        enum wire wire;
        const char *model, *instructions;
        const char *thread;      /* prompt_cache_key; NULL: none */
        const char *effort;      /* of reasoning models; NULL: none */
        const char *schema_name; /* NULL: any text */
        const char *schema;      /* JSON */
        const char *tools;       /* JSON array in the wire's shape; NULL: none */
        size_t tools_len;
        uint32_t max_output;     /* tokens; 0: the server's */
        const struct history *history;
};

void request_put(struct buf *out, const struct request *r);

#endif
