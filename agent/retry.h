/*
 * agent/retry.h - what an error of the model's server means, and how long to wait. Pure.
 *
 * Every way in which a request can fail ends in one of these, with a sentence for people.
 * What is worth trying again says so by its kind alone.
 */
#ifndef AGENT_RETRY_H
#define AGENT_RETRY_H

#include "agent/buf.h"
#include "agent/value.h"
#include "base/http1.h"

enum model_error {
        MODEL_FINE,
        /* Worth another try. */
        MODEL_BROKEN,     /* no connection, a stream that broke, a status for "later" */
        MODEL_OVERLOADED, /* the server says so: a longer wait, and few tries */
        MODEL_RATE,       /* 429 that passes by itself */
        /* Another request may do. */
        MODEL_CONTEXT,    /* the conversation is too long for the model */
        MODEL_NO_WIRE,    /* the server does not know this path: try the other wire */
        /* For good. */
        MODEL_QUOTA,      /* 429 that does not pass: no money, a plan's limit */
        MODEL_KEY,        /* 401, 403 */
        MODEL_UNKNOWN,    /* 404: no such model */
        MODEL_REQUEST,    /* 400 and the like */
        MODEL_POLICY,     /* airlock's own proxy refused it */
        MODEL_ANSWER,     /* what came is no answer: not JSON, not events, cut off, refused */
};

struct failure {
        enum model_error kind;
        uint64_t wait_ms; /* the server named it; 0: it did not */
        bool fixed_wait;  /* wait_ms counts, even 0 */
        char text[1024];  /* one line of UTF-8 */
};

static inline bool failure_retries(enum model_error k)
{
        return k == MODEL_BROKEN || k == MODEL_OVERLOADED || k == MODEL_RATE;
}

/* A failure of our own making, e.g. a connection that could not be had. */
void failure_set(struct failure *f, enum model_error kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * A response whose status is not 200: its head, the first bytes of its body, and the Unix
 * time for dates. @can_switch: an unknown path may mean the wrong wire.
 */
void failure_of_response(struct failure *f, const struct http1 *h, const char *body, size_t len,
                         uint64_t now_s, bool can_switch);

/*
 * An error inside a stream: the object that has code and message (or type, param), or a
 * bare text.
 */
void failure_of_event(struct failure *f, const struct value *error);

/* 200 ms, doubled each time, times 0.9 to 1.1 by @random; @attempt from 1. */
uint64_t retry_backoff_ms(unsigned attempt, uint32_t random);

/* "… try again in 1.5s" and its like. False: it does not say. */
bool retry_in_text(const char *text, size_t len, uint64_t *ms);

/* Seconds or an HTTP date (RFC 9110, the fixed form) as milliseconds from @now_s on. */
bool retry_after_value(const char *text, size_t len, uint64_t now_s, uint64_t *ms);

#endif
