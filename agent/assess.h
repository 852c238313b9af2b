/*
 * agent/assess.h - what a model thinks of a command: told, never asked for leave. Pure.
 *
 * Before a command that the rules flag, and after one that the seal seems to have stopped,
 * the model gets a second, separate request: no history, no tools, the command as data and
 * an answer by schema. What it says is shown in the journal and the report. It blocks
 * nothing and decides nothing: the command runs whatever comes back, and nothing coming back
 * within the time is an answer too.
 *
 * The command text is hostile: it may hold words to whoever reads it. It goes into the
 * request as one JSON string between marks that the text can't hold, and the instructions
 * say what it is; and what such words could win at most is a wrong line in a journal.
 */
#ifndef AGENT_ASSESS_H
#define AGENT_ASSESS_H

#include "agent/buf.h"

#define ASSESS_MS_DEFAULT 5000U
#define ASSESS_DESCRIPTION_MAX 500U /* characters */
#define ASSESS_COMMAND_MAX 2000U    /* bytes of a command that are shown; the middle is cut */
#define ASSESS_FAILURE_MAX 2000U

enum assess_risk { ASSESS_LOW, ASSESS_MEDIUM, ASSESS_HIGH, ASSESS_RISKS };

enum assess_category {
        ASSESS_DATA_DELETION,
        ASSESS_DATA_EXFILTRATION,
        ASSESS_PRIVILEGE_ESCALATION,
        ASSESS_SYSTEM_MODIFICATION,
        ASSESS_NETWORK_ACCESS,
        ASSESS_RESOURCE_EXHAUSTION,
        ASSESS_COMPLIANCE,
        ASSESS_CATEGORIES,
};
const char *assess_risk_str(enum assess_risk r);         /* "low" */
const char *assess_category_str(enum assess_category c); /* "data_deletion" */

/* --- when ----------------------------------------------------------------------------- */

/*
 * The categories (BIT(enum assess_category)…) for which a rule flags this shell text; 0:
 * none. The rules know words, not meanings: rm -r, git reset --hard, sudo, dd to a device,
 * curl into a shell and the like. What is quoted, substituted or run by -c is looked into.
 * They are meant to notice, not to catch: whoever wants to hide from them can.
 */
unsigned assess_flags(const char *script, size_t len);
unsigned assess_flags_argv(const char *const *argv, size_t argc);

/* Does it look as if the seal had stopped a command that ended so? A guess. */
bool assess_stopped(int exit_code, const char *output, size_t len);

/* --- the question ----------------------------------------------------------------------- */

struct assess_question {
        const char *platform; /* "linux" */
        const char *policy;   /* "workspace-write (network_access=no-network)" */
        const char *const *roots; /* what may be written; sorted and made unique here */
        size_t root_count;
        const char *cwd;
        const char *const *argv;
        size_t argc;
        const char *failure; /* what the seal's stopping looked like; NULL: before the run */
        size_t failure_len;
};

/* "instructions" of the request; a constant. */
extern const char assess_instructions[];
/* The name and the JSON of the schema: strict mode's subset. */
#define ASSESS_SCHEMA_NAME "sandbox_assessment"
extern const char assess_schema[];

/* The text of the one user message. */
void assess_put_question(struct buf *out, const struct assess_question *q);

/* --- the answer ------------------------------------------------------------------------- */

enum assess_outcome {
        ASSESS_SUCCESS,
        ASSESS_PARSE_ERROR, /* the last message was not what the schema says */
        ASSESS_NO_OUTPUT,   /* there was no message */
        ASSESS_MODEL_ERROR, /* the request failed */
        ASSESS_TIMEOUT,
        ASSESS_OUTCOMES,
};
const char *assess_outcome_str(enum assess_outcome o); /* "parse_error" */

struct assessment {
        enum assess_outcome outcome;
        uint64_t ms;
        char description[4 * ASSESS_DESCRIPTION_MAX + 1]; /* the rest only with SUCCESS */
        enum assess_risk risk;
        unsigned categories; /* BIT(enum assess_category)… */
};

/* The text of the last message item (@len 0: none came). Sets the outcome; not the time. */
void assess_parse(struct assessment *a, const char *text, size_t len);

/* The fields of its event, each with a comma before it: `,"status":"success",…`. */
void assess_put_fields(struct buf *out, const struct assessment *a);

/* --- the counters ------------------------------------------------------------------------- */

struct assess_counts {
        uint64_t outcomes[ASSESS_OUTCOMES];
        uint64_t risks[ASSESS_RISKS];
        uint64_t total_ms, max_ms;
};
void assess_count(struct assess_counts *c, const struct assessment *a);
/* `{"success":1,…,"risk":{"low":0,…},"latency_ms":{"total":…,"max":…}}` */
void assess_put_counts(struct buf *out, const struct assess_counts *c);

#endif
