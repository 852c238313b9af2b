/*
 * agent/environments.h - the places in which the agent's commands run: none, this container,
 * or exec-servers elsewhere.
 *
 * Which there are is decided once, from a list (the meaning of Codex's environments.toml, in
 * JSON) or from the value of CODEX_EXEC_SERVER_URL, by pure functions whose errors read as
 * Codex's do. Nothing connects before environment_client is asked for one and uses it.
 *
 *     {"default": "devbox",          an id, "local" or "none"; omitted: "local" when it is
 *                                    included, else none
 *      "include_local": false,       true when omitted
 *      "environments": [
 *        {"id": "devbox", "url": "ws://127.0.0.1:8765", "auth_bearer_token": "…",
 *         "connect_timeout_sec": 10, "initialize_timeout_sec": 10},
 *        {"id": "box2", "program": "ssh", "args": ["dev", "codex exec-server --listen stdio"],
 *         "env": {"A": "1"}, "cwd": "sub"}]}
 *
 * An id is 1 to 64 of A-Z a-z 0-9 - _, but not "local" or "none". base/remote.h has what a
 * spec and this list have in common.
 */
#ifndef AGENT_ENVIRONMENTS_H
#define AGENT_ENVIRONMENTS_H

#include "agent/client.h"
#include "base/base.h"

#define ENVIRONMENTS_MAX 16
#define ENVIRONMENTS_ERROR 512

struct environment {
        char id[REMOTE_ID_MAX + 1];
        bool local; /* its target is the caller's to fill, before its first use */
        struct client_target target;
        struct client *client; /* NULL: not used yet */
};

struct environments_text; /* strings that the targets point to */

struct environments {
        struct environment all[ENVIRONMENTS_MAX];
        size_t count;
        int default_at; /* index, or -1: none */
        struct environments_text *texts;
};

/*
 * The list in @json. @home: where a relative cwd begins (may be NULL: nowhere). 0, or -EINVAL
 * and @error has a sentence.
 */
MUST_USE int environments_parse(struct environments *e, const char *json, size_t len,
                                const char *home, char error[ENVIRONMENTS_ERROR]);

/*
 * By CODEX_EXEC_SERVER_URL: @value NULL or empty (but for white space) means `local`; "none" in any case:
 * no environment at all; else one, `remote`, and no local one. The result as above.
 */
MUST_USE int environments_from_url(struct environments *e, const char *value,
                                   char error[ENVIRONMENTS_ERROR]);

/* The one of that id; without an id the default. NULL: there is none. */
struct environment *environments_find(struct environments *e, const char *id);

/*
 * Its client, opened (not connected) at the first call. NULL for a local one whose target
 * nobody filled.
 */
struct client *environment_client(struct environment *v);

/* Closes every client, as client_close does, and frees all. Safe on zeroes. */
void environments_close(struct environments *e);

#endif
