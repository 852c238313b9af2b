/*
 * agent/toolset.h - the tools that a model is offered, and the arguments it calls them with.
 * Pure.
 *
 *     exec_command  runs shell text; write_stdin goes on with one that has not ended
 *     shell         an argv, for models that were trained on that; instead of the two above
 *     apply_patch   free text where the wire has such tools, else a function of one string
 *     update_plan   is shown to people and does nothing else
 *     view_image    a file as an image, for models that take images
 *
 * With several environments each tool that touches one takes `environment_id` as well.
 *
 * Whatever a model sends gives a struct tool_call or a text that tells it what was wrong:
 * a call is always answered.
 */
#ifndef AGENT_TOOLSET_H
#define AGENT_TOOLSET_H

#include "agent/buf.h"
#include "agent/truncate.h"

enum tool {
        TOOL_EXEC_COMMAND,
        TOOL_WRITE_STDIN,
        TOOL_SHELL,
        TOOL_APPLY_PATCH,
        TOOL_UPDATE_PLAN,
        TOOL_VIEW_IMAGE,
        TOOL_COUNT,
};

const char *tool_name(enum tool t);

struct toolset {
        unsigned offered;        /* BIT(tool)… */
        bool chat;               /* Chat Completions' nesting; custom tools do not exist there */
        bool custom_patch;       /* the model knows apply_patch as free text */
        const char *const *environments; /* ids, the default first */
        size_t environment_count;        /* 0: none, and no tool that needs one is offered */
};

/* What is offered in the end: without an environment update_plan alone. BIT(tool)… */
unsigned toolset_offered(const struct toolset *t);

/* The JSON array for the request's "tools". The same bytes for the same set, always. */
void toolset_put(struct buf *out, const struct toolset *t);

/* False: no such tool is offered, and the answer is put_unsupported. */
MUST_USE bool toolset_find(const struct toolset *t, const char *name, size_t len, enum tool *tool);
void put_unsupported(struct buf *out, const char *name, size_t len);

enum plan_status { PLAN_PENDING, PLAN_IN_PROGRESS, PLAN_COMPLETED };

struct plan_step {
        const char *step;
        enum plan_status status;
};

/* Strings are NUL-terminated, hold no other NUL, and belong to the call. */
struct tool_call {
        enum tool tool;
        const char *environment; /* one of the set's; NULL: the set has none */

        const char *cmd;         /* exec_command */
        const char *workdir;     /* exec_command, shell; NULL: the default */
        const char *shell;       /* exec_command: a program; NULL: the environment's */
        bool login, tty;         /* exec_command */
        int64_t session;         /* write_stdin */
        const char *chars;       /* write_stdin: bytes, of which some may be NUL */
        size_t chars_len;
        const char **argv;       /* shell: argc words and a NULL */
        size_t argc;
        uint64_t timeout_ms;     /* shell */
        uint64_t yield_ms;       /* exec_command, write_stdin: clamped as section 6 says */
        struct truncate_budget budget;
        const char *patch;       /* apply_patch: bytes */
        size_t patch_len;
        const char *explanation; /* update_plan; NULL */
        struct plan_step *plan;
        size_t plan_count;
        const char *path;        /* view_image */

        char *memory; /* what holds all that; tool_call_free gives it back */
};

/*
 * The arguments, decoded once: JSON for a function, the text itself for a custom tool
 * (@custom). False: @error is what the model is told, and @c holds nothing.
 */
MUST_USE bool tool_call_parse(struct tool_call *c, const struct toolset *t, enum tool tool,
                              bool custom, const char *args, size_t len, struct buf *error);
void tool_call_free(struct tool_call *c);

/*
 * The variables that every command of a model gets, beside its own environment: no colours,
 * no pagers, UTF-8. Pairs "NAME", "value"; NULL ends them.
 */
extern const char *const tool_environment[];

#endif
