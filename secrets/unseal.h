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
        char **envp;               /* room for SESSION_VARS and every secret */
        char hash[65];             /* of the values, hex; "": not asked for */
        struct session session;
        bool ran;                  /* a session did */
        int64_t since_s;           /* CLOCK_REALTIME when the first one began */
        const char *phase;         /* for the journal */
};

/* The program's part for PID 1: its exit status. */
int unseal_main(char **argv);

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

/* The `NAME=PLACEHOLDER` that the proxy gave for @name. */
char *unseal_placeholder(struct unseal *u, const char *name, size_t len);

/* unseal_run.c: runs the session that PID 1 asks for; comes back for the scan. */
#define SESSION_VARS 1100 /* of its environment, without ours */
void unseal_serve(struct unseal *u);

/* unseal_scan.c: the first line of the line file, masked, into @text; the file goes. */
void unseal_take_line(struct unseal *u, char *text, size_t cap);

/* What the process ends with: STATUS_OK, UNSEAL_FOUND, or STATUS_LEAK. */
int unseal_scan(struct unseal *u);

#endif
