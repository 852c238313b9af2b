/*
 * base/remote.h - an environment of the agent's: what it may be called, where it may be. Pure.
 *
 * The task's spec and the agent loop read the same list (the meaning of Codex's
 * environments.toml), each in its own way; what is wrong with an entry is said here, in the
 * words that Codex has for it.
 */
#ifndef BASE_REMOTE_H
#define BASE_REMOTE_H

#include "base/base.h"
#include "base/wr.h"

#define REMOTE_URL_MAX 1024
#define REMOTE_ID_MAX 64

struct remote {
        bool tls;      /* wss:// */
        uint16_t port; /* 80 and 443 where none is given */
        char host[256]; /* a name, or an address without brackets */
        char path[REMOTE_URL_MAX]; /* of the request, with its query; "/" at least */
};

enum remote_status {
        REMOTE_OK,
        REMOTE_SCHEME, /* not ws:// or wss:// */
        REMOTE_HOST,   /* no host, or not a port, or bytes that no URL has */
        REMOTE_LONG,
};
const char *remote_status_str(enum remote_status s); /* "must use ws:// or wss://" */

/* Reads ws[s]://HOST[:PORT][/PATH]. On failure *@r is zero. */
MUST_USE enum remote_status remote_parse(struct remote *r, const char *url);

/* One entry of the list, as far as its keys bind each other. NULL and false: not given. */
struct remote_entry {
        const char *id, *url, *program;
        bool args, env, cwd, token, connect;
};

/* True: it is wrong, and @w has the sentence. @e->url may have white space around it. */
MUST_USE bool remote_entry_wrong(struct wr *w, const struct remote_entry *e);

/*
 * Where a name that the operator wrote down may lead beside the public internet: this machine
 * and private networks, as ranges up to NULL. Not to link-local addresses, where metadata is.
 */
extern const char *const remote_near[];

/* A name, and not an address, whose meaning needs no range. */
bool remote_is_name(const char *host);

/* @text without the white space around it: begins at the result and has @len bytes. */
const char *remote_trim(const char *text, size_t *len);

#endif
