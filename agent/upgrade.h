/*
 * agent/upgrade.h - the HTTP before a WebSocket: what the server's side answers, what the
 * client's side asks. Pure.
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

/* --- the client's side ------------------------------------------------------------------ */

#define UPGRADE_ACCEPT_LEN 28

/*
 * Writes the request for @path at @host ("[::1]:80"), with @token as the bearer unless it is NULL.
 * @accept becomes what the answer must say to the sixteen random bytes @nonce.
 */
void upgrade_put_request(struct wr *w, const char *host, const char *path, const char *token,
                         const uint8_t nonce[16], char accept[UPGRADE_ACCEPT_LEN + 1]);

/*
 * Before that, where airlock-proxy is to connect: CONNECT, and with @tls the wish that it speaks
 * TLS to @host ("[::1]:443"), so that what follows on our side is plain HTTP.
 */
void upgrade_put_connect(struct wr *w, const char *host, bool tls);

struct upgrade_answer {
        size_t head_len; /* UPGRADE_OPEN: bytes the answer took */
        unsigned status; /* UPGRADE_ANSWER: the server's, or 0: what came is not HTTP */
        const char *why; /* in words */
        const char *text; /* the body's first bytes, as far as they are here */
        size_t text_len;
        uint64_t body_len; /* what it will have, as far as that was said */
};

/* UPGRADE_MORE, UPGRADE_OPEN, or UPGRADE_ANSWER: refused. *@scanned is 0 at first. */
MUST_USE enum upgrade_status upgrade_read_answer(struct upgrade_answer *a, const char *accept,
                                                 const char *buf, size_t len, size_t *scanned);

/* The same for the answer to CONNECT: with @tls it has to promise that. */
MUST_USE enum upgrade_status upgrade_read_connect(struct upgrade_answer *a, bool tls,
                                                  const char *buf, size_t len, size_t *scanned);

#endif
