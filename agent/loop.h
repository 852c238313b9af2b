/*
 * agent/loop.h - airlock-agent: who owns what, and who calls whom.
 *
 *     loop.c          main: options, what is opened beforehand, the seal, the end
 *     loop_options.c  the command line
 *     way.c           the children: the exec-server, and outside a task the proxy
 *     brief.c         the first messages, the tools that are offered
 *     turn.c          a turn: ask, run the calls, ask again; budgets; the loop guard
 *     ask.c           one answer of the model's, however many requests it takes
 *     tools.c         what a tool call becomes
 *     hands.c         commands and files, by way of the exec-server
 *     guidance.c      AGENTS.md from the start commit
 *     judge.c         what the model thinks of a command, beside the turn
 *     model.c         one request over the channel to the proxy
 *     events.c        what is told on stdout and stderr
 *
 * Everything pure is in sse, answer, history, request, retry, and in what the tools are made
 * of: toolset, patch, truncate, shells, guide.
 *
 * The process: one thread, no file but those opened at its start, no socket but a pair, no
 * program and no child; seccomp sees to it. It asks the model through a channel to
 * airlock-proxy and touches the world through airlock-exec. It holds no key.
 *
 * Whoever waits calls loop_wait, which is the one place where time passes: it moves bytes of
 * both, hears signals, and comes back after each round. A signal ends every wait: loop->stop
 * is looked at after each.
 */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include "agent/client.h"
#include "agent/environments.h"
#include "agent/events.h"
#include "agent/judge.h"
#include "agent/loop_options.h"
#include "agent/model.h"
#include "agent/request.h"
#include "agent/shells.h"
#include "agent/toolset.h"

/* What airlock-agent ends with, beside 128 + n for a signal. */
enum agent_status {
        AGENT_DONE = 0,
        AGENT_FAILED = 1,       /* the turn failed, in no way that has a number below */
        AGENT_USAGE = 2,
        AGENT_BUDGET = 5,       /* requests, tokens or time */
        AGENT_UNREACHABLE = 6,  /* no connection, 5xx, broken streams: after every try */
        AGENT_KEY = 7,          /* 401, 403 */
        AGENT_QUOTA = 8,        /* 429 that does not pass */
        AGENT_RATE = 9,         /* 429 that did not pass in time */
        AGENT_CONTEXT = 10,     /* too long, even when compacted */
        AGENT_ANSWER = 11,      /* cut off, refused, not what --output-schema asks for */
        AGENT_NO_EXEC = 12,     /* the exec-server could not be had */
};

#define HANDS 128 /* = CLIENT_PROCESSES */

/* A command that was started. */
struct hand {
        uint32_t process; /* the client's number; 0: a free slot */
        struct client *client;
        bool tty, started, exited, closed, told; /* told: its last event is out */
        char *failed;     /* it did not start, or was lost: why */
        int exit_code;
        bool denied;
        uint64_t exited_ms;
        uint64_t item;
        char *command;    /* for events */
        char **argv;      /* the same in words, NULL at its end; one block of memory … */
        char *cwd;        /* … with this */
        struct shell *shell;      /* its session; NULL: none yet */
        struct shell_output fresh; /* without a session: printed since the last look */
        struct shell_output all;  /* of its whole life, for its last event */
        struct buf *capture;      /* one of our own: its output goes there, no event tells of it */
};

/* A request to the exec-server that is waited for. */
struct reply {
        uint64_t request; /* 0: none */
        struct client *client;
        bool done;
        int code;
        int error;        /* the system's, if the server told; 0 */
        struct buf bytes; /* the decoded file, or the path */
};

struct loop {
        const struct loop_options *o;
        struct events events;
        struct model model;
        struct judge judge;
        struct environments places; /* in which commands run; what is used is connected then */
        struct client *client;      /* of the place that the call under way is for */
        struct hand hands[HANDS];
        struct reply reply;
        uint64_t now_ms, start_ms, end_ms; /* end_ms: --timeout; 0: none */

        struct history history;
        size_t first;     /* messages at the front that compaction keeps */
        struct toolset toolset;
        struct buf tools; /* its JSON, for the wire in use */
        struct shells shells;
        struct usage used;        /* of the turn */
        uint64_t requests;
        uint64_t context;         /* tokens of the last request and its answer … */
        size_t context_bytes;     /* … when the history had that many bytes */
        struct buf schema;        /* JSON; empty: none */
        struct buf last;          /* text of the last message */
        struct buf instructions;
        const char *root, *cwd;   /* of the repository; where the work happens */
        struct buf sandbox;       /* JSON for commands; empty: none, the container is the box */
        uint64_t plan_item;
        struct tool_call plan;    /* the last update_plan */
        uint64_t guard_hash;      /* of the last call and its output */
        unsigned guard_count;
        uint32_t chunks;          /* answers of exec_command so far */
        int signals;              /* signalfd */
        int stop;                 /* the signal that ends us; 0 */
        enum wire wire;
        char thread[37];
        bool wire_known;
        bool has_hands;           /* there is a place for commands at least */
        bool is_local;            /* the default one is our own exec-server */
        bool refused;             /* the last message was a refusal */
        bool planned;             /* plan holds one */
};

/* Waits for something to happen, at most until @until_ms; false: a signal wants the end. */
bool loop_wait(struct loop *l, uint64_t until_ms);

/* --- brief.c */
/* The first messages and the tools; or the conversation that goes on. Then the prompt. */
void brief(struct loop *l, const struct buf *resumed);

/* --- turn.c */
/* The whole conversation with the prompt: one turn. */
enum agent_status turn_run(struct loop *l);

/* --- ask.c */
/*
 * Sends the conversation until there is an answer, which is in l->model.answer then. Retries,
 * the other wire, and compaction are all in here. False: *@f says why; or l->stop.
 */
MUST_USE bool ask(struct loop *l, struct failure *f);
enum agent_status ask_status(enum model_error kind);

/* --- tools.c */
/* Does what the call at @index of the history says and adds its output. */
void tools_run(struct loop *l, size_t index);
void tools_close(struct loop *l);

/* --- guidance.c */
/* The repository's own instructions, as a message. */
void guidance_add(struct loop *l);

/* --- hands.c */
/*
 * Makes the place of that id (NULL: the default one) the one that the next calls are for, and
 * connects it the first time. False: @why.
 */
bool hands_open(struct loop *l, const char *id, struct buf *why);
void hands_event(struct loop *l, struct client *c, const struct client_event *e);
/* Starts it; NULL: @why. */
struct hand *hands_start(struct loop *l, const struct client_command *cmd, const char *shown,
                         struct buf *why);
/* A program of our own to talk with: what it prints goes to @out. NULL: it could not be. */
struct hand *hands_program(struct loop *l, const char *const *argv, struct buf *out);
/* Waits until @out has @want bytes. False: they do not come. */
bool hands_more(struct loop *l, struct hand *h, const struct buf *out, size_t want);
/* Ends it; @h is free then. */
void hands_stop(struct loop *l, struct hand *h);
/* Waits until it has ended, or @ms are over, or a signal came. */
void hands_wait(struct loop *l, struct hand *h, uint64_t ms);
bool hand_over(const struct hand *h);
/* Its last event, once, when it is over. */
void hands_tell(struct loop *l, struct hand *h);
void hands_drop(struct loop *l, struct hand *h);
/* Ends those that are left. */
void hands_end(struct loop *l);
/* The answer to a request; its code. -ECANCELED: a signal. */
int hands_reply(struct loop *l, uint64_t request, struct buf *bytes);
extern const struct patch_files hands_files; /* .ctx is to be the loop */

#endif
