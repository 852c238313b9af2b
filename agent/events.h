/*
 * agent/events.h - what the loop tells while it runs: JSON lines on stdout, or words for
 * people on stderr and the answer alone on stdout. In a task both: the lines go to a file.
 *
 * The lines are those of `codex exec --json`; what airlock has to say beside them has types
 * that begin with "airlock.". A line is one write, so that
 * what was written is whole whenever we end; its strings are UTF-8 whatever came in.
 */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include "agent/answer.h"
#include "agent/patch.h"
#include "agent/toolset.h"

#define EVENTS_OUTPUT_MAX (1U << 20) /* of a command's output in its event */

struct events {
        int fd;          /* of the JSON lines; -1: none */
        bool human, color, quiet;
        uint64_t items;  /* numbers given out */
        struct buf line;
        bool broken;     /* fd can't be written: said once, then silence */
};

void events_open(struct events *e, int fd, bool human, bool color, bool quiet);
void events_close(struct events *e);

/* The next item's number. */
uint64_t events_item(struct events *e);

void events_thread(struct events *e, const char *thread_id, bool resumed);
void events_turn(struct events *e);

enum item_status { ITEM_RUNNING, ITEM_COMPLETED, ITEM_FAILED, ITEM_DECLINED };

struct command_event {
        uint64_t item;
        const char *command; /* as it was run, quoted for a shell */
        const char *output;
        size_t len;
        bool has_exit;
        int exit_code;
        enum item_status status;
};
void events_command(struct events *e, const struct command_event *c);

void events_message(struct events *e, const char *text, size_t len);
void events_reasoning(struct events *e, const char *text, size_t len);
void events_patch(struct events *e, const struct patch_result *r);
/* started, updated, completed by @how. */
enum plan_event { PLAN_STARTED, PLAN_UPDATED, PLAN_ENDED };
void events_plan(struct events *e, uint64_t item, enum plan_event how,
                 const struct plan_step *steps, size_t count);
/* What the second opinion on a command is: for people alone. */
void events_risk(struct events *e, const char *risk, const char *text);
/* Something went wrong that ends nothing. */
void events_error_item(struct events *e, const char *text);
/* The stream to the model: a retry, mostly. */
void events_error(struct events *e, const char *text);

void events_completed(struct events *e, const struct usage *u);
void events_failed(struct events *e, const char *text);

/* "airlock.TYPE" with @fields: `,"key":value…`, or nothing. */
void events_own(struct events *e, const char *type, const char *fields, size_t len);

/* The answer, on stdout, where it is for people. */
void events_answer(struct events *e, const char *text, size_t len);

#endif
