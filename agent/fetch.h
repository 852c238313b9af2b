/*
 * agent/fetch.h - one HTTP/1.1 request, made in a helper; the response as it comes.
 *
 * Through the proxy of our environment, where there is one: policy is its business, and the
 * lock's where no variable names it. We speak no TLS: https is asked of airlock-proxy, which
 * checks the server's certificate and encrypts for us (X-Airlock-TLS in its answer to CONNECT
 * says that it will). Any other proxy's tunnel is not used, and without one https is refused.
 */
#ifndef AGENT_FETCH_H
#define AGENT_FETCH_H

#include "agent/buf.h"
#include "base/base.h"
#include "base/http1.h"

#define FETCH_URL_MAX 8192

struct fetch {
        char method[33], url[FETCH_URL_MAX];
        struct buf headers; /* "name: value\r\n" each */
        struct buf own;     /* the same, of those that no other server may see */
        struct buf body;
        uint64_t timeout_ms; /* for all of it; 0: none */
        bool follow;
        const char *http_proxy, *https_proxy; /* URLs; NULL: none */
        int (*dial)(const char *host, const char *port, uint64_t deadline_ms); /* dial.h */
        int channel; /* in its place: to airlock-proxy, of which we are a client (base/msg.h) */
};

/* Who gets the response. False: it can't take more. */
struct fetch_sink {
        bool (*head)(void *argument, const struct http1 *h);
        bool (*body)(void *argument, const char *bytes, size_t len);
        void *argument;
};

enum fetch_end {
        FETCH_DONE,
        FETCH_FAILED, /* before the head */
        FETCH_BROKEN, /* after it */
};

/*
 * A connection to the host of @url, an https one, by such a channel: what is said there is
 * plain HTTP. -1: @why says what failed.
 */
MUST_USE int fetch_tunnel(int channel, const char *url, uint64_t timeout_ms, struct buf *why);

/* @why says what failed. @f is used up: a redirect changes it. */
MUST_USE enum fetch_end fetch(struct fetch *f, const struct fetch_sink *sink, struct buf *why);

#endif
