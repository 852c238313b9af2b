/*
 * agent/upgrade.h - what the HTTP side of a WebSocket port answers. Pure.
 *
 * One request on a connection: it becomes a WebSocket, or gets an answer and the
 * connection ends. A page in somebody's browser always sends Origin: that is refused
 * before anything else is looked at.
 */
#ifndef AGENT_UPGRADE_H
#define AGENT_UPGRADE_H

#include "agent/jwt.h"
#include "base/base.h"
#include "base/wr.h"

#include <bearssl.h>

enum auth {
        AUTH_NONE,
        AUTH_TOKEN, /* the SHA-256 of what the client must bring */
        AUTH_JWT,
};

struct auth_rule {
        enum auth auth;
        uint8_t token_hash[br_sha256_SIZE];
        struct jwt_rule jwt;
};

enum upgrade_status {
        UPGRADE_MORE,
        UPGRADE_OPEN,   /* answer->status is 101, the rest is WebSocket */
        UPGRADE_ANSWER, /* send it and close */
};

struct upgrade {
        size_t head_len; /* UPGRADE_OPEN: bytes the request took */
        unsigned status;
        const char *text;  /* the body; "" for none */
        bool head;         /* a HEAD request */
        char accept[29];   /* Sec-WebSocket-Accept */
};

/* Reads the request at the start of @buf; *@scanned is 0 at first and then ours. */
MUST_USE enum upgrade_status upgrade_parse(struct upgrade *u, const struct auth_rule *rule,
                                           const char *buf, size_t len, size_t *scanned,
                                           int64_t now_s);

/* Writes the answer, for UPGRADE_OPEN too. */
void upgrade_put(struct wr *w, const struct upgrade *u);

#endif
