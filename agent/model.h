/*
 * agent/model.h - one request to the model and its answer, for a poll loop.
 *
 * The loop has no way to the network. It has a channel to airlock-proxy: a connection is a
 * socket pair of which the proxy gets one end. What we say on the other is plain HTTP/1.1;
 * the proxy adds the key, speaks TLS where base_url says https, and lets nothing through but
 * this host and its paths.
 *
 *     model_ask(m, body, now)
 *     while (m->state != MODEL_IDLE): poll m->fd for model_events(m) until model_due(m),
 *                                     then model_step(m, revents, now)
 *     m->answer.failure.kind: MODEL_FINE, and m->answer has it all; or why not
 *
 * A connection is kept for the next request. When a kept one turns out to be dead before a
 * byte of the answer came, the request is sent again on a new one, once.
 */
#ifndef AGENT_MODEL_H
#define AGENT_MODEL_H

#include "agent/answer.h"
#include "agent/sse.h"
#include "base/http1.h"

#include <poll.h>

#define MODEL_IDLE_MS 300000      /* nothing came for so long */
#define MODEL_ERROR_BODY (64U << 10) /* of an error: the rest is not read */
#define MODEL_WHOLE_BODY (8U << 20)  /* of an answer that is no stream */

struct model_url {
        bool https;
        char host[256]; /* a name, or an address; IPv6 without brackets */
        uint16_t port;
        char path[512]; /* without a slash at its end: "/v1" */
};
/* http[s]://HOST[:PORT][/PATH]; no user info, query or fragment. */
MUST_USE bool model_url_parse(struct model_url *u, const char *text);

enum model_state {
        MODEL_IDLE,
        MODEL_CONNECT, /* CONNECT was sent */
        MODEL_HEAD,
        MODEL_BODY,
};

struct model {
        const struct model_url *url;
        int channel; /* to the proxy */
        uint32_t idle_ms;
        enum model_state state;
        enum wire wire;
        int fd; /* -1: none */
        bool kept;   /* the connection had a request before */
        bool any;    /* a byte of this answer came */
        bool stream; /* the body is events */
        bool can_switch; /* an unknown path means the other wire */
        bool keeps;  /* the connection may be used again */
        uint64_t due_ms;
        struct buf request, out, in, body; /* request: kept for a second try */
        size_t sent; /* of request */
        size_t scanned;
        struct http1 head;
        char method[8];
        uint64_t left;
        struct http1_chunked chunked;
        struct sse sse;
        struct answer answer;
};

void model_open(struct model *m, const struct model_url *url, int channel);
void model_close(struct model *m);

/* POST of @body, which is taken over and empty then; what m->answer held is gone. */
void model_ask(struct model *m, enum wire wire, bool can_switch, struct buf *body,
               uint64_t now_ms);
/* Breaks off: an abort. The connection is gone. */
void model_stop(struct model *m);

short model_events(const struct model *m);
void model_step(struct model *m, short revents, uint64_t now_ms);

#endif
