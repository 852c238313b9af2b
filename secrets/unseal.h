/*
 * secrets/unseal.h - what the parts of airlock-unseal share; unseal.c says what happens.
 *
 * The steps log and end the process themselves: see base/log.h for the exit statuses.
 */
#ifndef SECRETS_UNSEAL_H
#define SECRETS_UNSEAL_H

#include "base/log.h"
#include "secrets/arena.h"
#include "secrets/sealed.h"
#include "secrets/session.h"
#include "secrets/unseal_options.h"
#include "secrets/vars.h"

struct unseal {
        struct unseal_options o;
        struct arena arena, list, index; /* list: the needles; index: what finds them */
        struct sealed sealed;
        struct vars *vars;         /* in the arena, like everything they point to */
        char *text;
        size_t text_cap;
        enum vars_status vars_status;
        unsigned error_line;
        bool confined;             /* the filter of the opening process held */
        struct needles needles;
        struct search *search;
        struct masker *mask;
        char **envp;
        struct session session;
        const char *phase;         /* for the journal */
};

/* Wipes every arena. */
void unseal_close(struct unseal *u);

/* Wipes, logs one line, exits. What the line names may lie in an arena. */
void fail(struct unseal *u, enum status status, const char *fmt, ...)
        PRINTF_LIKE(3, 4) NORETURN;

/* For messages: the path, or words for it. */
const char *sealed_name(const struct unseal *u);

/* `"time":…,"ms":…,"phase":…,"event":EVENT` as init/journal.h has it; the rest is @fields. */
void journal(const struct unseal *u, const char *event, const struct wr *fields);

/* `,"KEY":"TEXT"` */
void put_string(struct wr *w, const char *key, const char *text, size_t len);

/* unseal_open.c: read, open and check; then vars, search and mask are ready. */
void unseal_open(struct unseal *u);

/* unseal_scan.c: tells PID 1 that the session ended, and waits until everybody is dead. */
void unseal_wait_for_scan(struct unseal *u);

/* Whether a secret stays where the agent could read it. @since_s: when setup began. */
bool unseal_scan(struct unseal *u, int64_t since_s);

#endif
