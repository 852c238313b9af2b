/* agent/toolset.c - definitions out, arguments in. */
#include "agent/toolset.h"

#include "agent/rpc.h"

#include <stdlib.h>
#include <string.h>

const char *const tool_environment[] = {
        "NO_COLOR", "1", "TERM", "dumb", "COLORTERM", "", "LANG", "C.UTF-8", "LC_CTYPE", "C.UTF-8",
        "LC_ALL", "C.UTF-8", "PAGER", "cat", "GIT_PAGER", "cat", "GH_PAGER", "cat", "CODEX_CI", "1",
        NULL,
};

/* --- definitions ----------------------------------------------------------------------- */

#define STRING(name, text) "\"" name "\":{\"type\":\"string\",\"description\":\"" text "\"}"
#define NUMBER(name, text) "\"" name "\":{\"type\":\"number\",\"description\":\"" text "\"}"
#define BOOLEAN(name, text) "\"" name "\":{\"type\":\"boolean\",\"description\":\"" text "\"}"
#define YIELD_AND_BUDGET                                                                       \
        NUMBER("yield_time_ms", "How long to wait for output before giving the turn back.") "," \
        NUMBER("max_output_tokens", "Output beyond this many tokens is cut in the middle.")

struct definition {
        const char *name, *description;
        const char *required;   /* JSON: names */
        const char *properties; /* JSON: the inside of the object */
        bool placed;            /* touches an environment */
};

static const struct definition definitions[TOOL_COUNT] = {
        [TOOL_EXEC_COMMAND] = {
                "exec_command",
                "Runs shell text in the repository's sandbox. Returns its output, or a session id "
                "when it is still running.",
                "\"cmd\"",
                STRING("cmd", "Shell text to run.") ","
                STRING("workdir", "Directory to run it in; the repository when left out.") ","
                STRING("shell", "Shell program; the environment's when left out.") ","
                BOOLEAN("login", "Whether the shell is a login shell; true when left out.") ","
                BOOLEAN("tty", "Whether it gets a terminal, and so can be written to; false "
                               "when left out.") ","
                YIELD_AND_BUDGET,
                true,
        },
        [TOOL_WRITE_STDIN] = {
                "write_stdin",
                "Writes to a running session and returns what it has printed since. With no chars "
                "it only waits for output.",
                "\"session_id\"",
                NUMBER("session_id", "The id that exec_command returned.") ","
                STRING("chars", "Text to write; \\\\u0003 interrupts.") ","
                YIELD_AND_BUDGET,
                true,
        },
        [TOOL_SHELL] = {
                "shell",
                "Runs a program in the repository's sandbox and returns its output. Shell text "
                "goes in as [\\\"bash\\\", \\\"-lc\\\", \\\"…\\\"].",
                "\"command\"",
                "\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"description\":"
                "\"The program and its arguments.\"},"
                STRING("workdir", "Directory to run it in; the repository when left out.") ","
                NUMBER("timeout_ms", "It is ended after this time; 10000 when left out."),
                true,
        },
        [TOOL_APPLY_PATCH] = {
                "apply_patch",
                "Edits files with a patch: *** Begin Patch, then for each file *** Add File: PATH "
                "and its lines with + before each, or *** Delete File: PATH, or *** Update File: "
                "PATH (perhaps *** Move to: PATH) and chunks: @@ with perhaps a line to look for, "
                "then lines with a space (context), - (old) or + (new) before each; then *** End "
                "Patch. Paths are relative.",
                "\"input\"",
                STRING("input", "The whole patch."),
                true,
        },
        [TOOL_UPDATE_PLAN] = {
                "update_plan",
                "Shows the plan of the task to the people who watch. At most one step is in "
                "progress.",
                "\"plan\"",
                STRING("explanation", "Why the plan changed.") ","
                "\"plan\":{\"type\":\"array\",\"description\":\"All steps.\",\"items\":{\"type\":"
                "\"object\",\"additionalProperties\":false,\"required\":[\"step\",\"status\"],"
                "\"properties\":{" STRING("step", "What is done.") ",\"status\":{\"type\":"
                "\"string\",\"enum\":[\"pending\",\"in_progress\",\"completed\"]}}}}",
                false,
        },
        [TOOL_VIEW_IMAGE] = {
                "view_image",
                "Shows an image file (PNG, JPEG, GIF or WebP) to you.",
                "\"path\"",
                STRING("path", "The file."),
                true,
        },
};

/* The grammar of agent/patch.h, for models that write it as free text. */
static const char patch_custom[] =
        "{\"type\":\"custom\",\"name\":\"apply_patch\",\"description\":\"Edits files with a patch. "
        "The patch is free text: do not wrap it in JSON.\",\"format\":{\"type\":\"grammar\","
        "\"syntax\":\"lark\",\"definition\":\""
        "start: begin hunk+ end\\n"
        "begin: \\\"*** Begin Patch\\\" LF\\n"
        "end: \\\"*** End Patch\\\" LF?\\n"
        "hunk: add | delete | update\\n"
        "add: \\\"*** Add File: \\\" path LF added+\\n"
        "delete: \\\"*** Delete File: \\\" path LF\\n"
        "update: \\\"*** Update File: \\\" path LF move? chunk+\\n"
        "move: \\\"*** Move to: \\\" path LF\\n"
        "chunk: (context | line)+ eof?\\n"
        "context: (\\\"@@\\\" | \\\"@@ \\\" /(.+)/) LF\\n"
        "line: (\\\"+\\\" | \\\"-\\\" | \\\" \\\") /(.*)/ LF\\n"
        "added: \\\"+\\\" /(.*)/ LF\\n"
        "eof: \\\"*** End of File\\\" LF\\n"
        "path: /(.+)/\\n"
        "%import common.LF\\n\"}}";

const char *tool_name(enum tool t)
{
        return definitions[t].name;
}

unsigned toolset_offered(const struct toolset *t)
{
        unsigned offered = t->offered & (BIT(TOOL_COUNT) - 1);

        for (unsigned i = 0; i < TOOL_COUNT; i++)
                if (definitions[i].placed && !t->environment_count)
                        offered &= ~BIT(i);
        return offered;
}

/* Free text has no room for an environment's id. */
static bool is_custom(const struct toolset *t, enum tool tool)
{
        return tool == TOOL_APPLY_PATCH && t->custom_patch && !t->chat && t->environment_count < 2;
}

static void put_environments(struct buf *out, const struct toolset *t)
{
        buf_str(out, ",\"environment_id\":{\"type\":\"string\",\"description\":\"Where; the first "
                     "when left out.\",\"enum\":[");
        for (size_t i = 0; i < t->environment_count; i++) {
                buf_str(out, i ? "," : "");
                buf_json(out, t->environments[i], strlen(t->environments[i]));
        }
        buf_str(out, "]}");
}

static void put_function(struct buf *out, const struct toolset *t, const struct definition *d)
{
        buf_str(out, t->chat ? "{\"type\":\"function\",\"function\":{\"name\":\""
                             : "{\"type\":\"function\",\"name\":\"");
        buf_str(out, d->name);
        buf_str(out, "\",\"description\":\"");
        buf_str(out, d->description);
        buf_str(out, "\",\"strict\":false,\"parameters\":{\"type\":\"object\","
                     "\"additionalProperties\":false,\"required\":[");
        buf_str(out, d->required);
        buf_str(out, "],\"properties\":{");
        buf_str(out, d->properties);
        if (d->placed && t->environment_count > 1)
                put_environments(out, t);
        buf_str(out, t->chat ? "}}}}" : "}}}");
}

void toolset_put(struct buf *out, const struct toolset *t)
{
        unsigned offered = toolset_offered(t);
        bool first = true;

        buf_str(out, "[");
        for (enum tool i = 0; i < TOOL_COUNT; i++) {
                if (!(offered & BIT(i)))
                        continue;
                buf_str(out, first ? "" : ",");
                first = false;
                if (is_custom(t, i))
                        buf_str(out, patch_custom);
                else
                        put_function(out, t, &definitions[i]);
        }
        buf_str(out, "]");
}

bool toolset_find(const struct toolset *t, const char *name, size_t len, enum tool *tool)
{
        unsigned offered = toolset_offered(t);

        for (enum tool i = 0; i < TOOL_COUNT; i++) {
                if (!(offered & BIT(i)) || strlen(tool_name(i)) != len ||
                    memcmp(tool_name(i), name, len) != 0)
                        continue;
                *tool = i;
                return true;
        }
        return false;
}

void put_unsupported(struct buf *out, const char *name, size_t len)
{
        buf_str(out, "unsupported call: ");
        text_clean(out, name, len);
}

/* --- arguments --------------------------------------------------------------------------- */

#define EXEC_YIELD_MS 10000U
#define WRITE_YIELD_MS 250U
#define YIELD_MIN_MS 250U
#define YIELD_MAX_MS 30000U
#define POLL_MIN_MS 5000U
#define POLL_MAX_MS 300000U
#define SHELL_TIMEOUT_MS 10000U
#define SHELL_TIMEOUT_MAX_MS 86400000U
#define BUDGET_MAX (1U << 20) /* tokens */

struct args {
        struct tool_call *c;
        const struct toolset *set;
        struct params p;
        char *text; /* where the next string goes, in the call's memory */
};

/* The string, with a NUL behind it. */
static const char *unescape(struct args *a, const struct value *v, size_t *len)
{
        char *at = a->text;

        *len = value_string(v, at);
        at[*len] = '\0';
        a->text += *len + 1;
        return at;
}

static const char *as_text(struct args *a, const char *key, const struct value *v)
{
        size_t len;
        const char *s = unescape(a, v, &len);

        if (memchr(s, '\0', len))
                params_refuse(&a->p, "`%s` holds a NUL byte", key);
        return s;
}

static const char *text(struct args *a, const char *key)
{
        struct value v = params_string(&a->p, key);

        return as_text(a, key, &v);
}

static const char *text_or_null(struct args *a, const char *key)
{
        struct value v = params_optional(&a->p, key);

        return v.type == VALUE_STRING ? as_text(a, key, &v) : NULL;
}

/* Models write 1000.0 where they mean 1000, and numbers in quotes. */
static bool read_number(const struct value *v, int64_t *n)
{
        struct value whole = *v;
        const char *point = memchr(v->at, '.', v->len);

        if (v->type != VALUE_NUMBER && v->type != VALUE_STRING)
                return false;
        whole.type = VALUE_NUMBER;
        if (point) {
                whole.len = (size_t)(point - v->at);
                for (const char *p = point + 1; p < v->at + v->len; p++)
                        if (*p < '0' || *p > '9')
                                return false;
        }
        return whole.len && value_i64(&whole, n);
}

static int64_t number(struct args *a, const char *key, bool required, int64_t otherwise)
{
        struct value v = value_get(a->p.v, key);
        int64_t n;

        if (v.type == VALUE_ABSENT || v.type == VALUE_NULL) {
                if (required)
                        params_refuse(&a->p, "missing field `%s`", key);
                return otherwise;
        }
        if (read_number(&v, &n))
                return n;
        params_refuse(&a->p, "`%s` is not a whole number", key);
        return otherwise;
}

static uint64_t clamped(struct args *a, const char *key, uint64_t otherwise, uint64_t min,
                        uint64_t max)
{
        int64_t n = number(a, key, false, (int64_t)otherwise);

        return n < (int64_t)min ? min : n > (int64_t)max ? max : (uint64_t)n;
}

static void take_budget(struct args *a)
{
        a->c->budget = (struct truncate_budget){
                TRUNCATE_TOKENS,
                (size_t)clamped(a, "max_output_tokens", TRUNCATE_TOKENS_DEFAULT, 0, BUDGET_MAX),
        };
}

static void take_environment(struct args *a)
{
        const struct toolset *t = a->set;
        const char *id = t->environment_count > 1 ? text_or_null(a, "environment_id") : NULL;

        a->c->environment = t->environment_count ? t->environments[0] : NULL;
        if (!id)
                return;
        for (size_t i = 0; i < t->environment_count; i++) {
                if (strcmp(id, t->environments[i]) != 0)
                        continue;
                a->c->environment = t->environments[i];
                return;
        }
        params_refuse(&a->p, "unknown environment_id `%.*s`", 64, id);
}

static void take_exec_command(struct args *a)
{
        struct tool_call *c = a->c;

        c->cmd = text(a, "cmd");
        c->workdir = text_or_null(a, "workdir");
        c->shell = text_or_null(a, "shell");
        c->login = params_bool_or(&a->p, "login", true);
        c->tty = params_bool_or(&a->p, "tty", false);
        c->yield_ms = clamped(a, "yield_time_ms", EXEC_YIELD_MS, YIELD_MIN_MS, YIELD_MAX_MS);
        take_budget(a);
}

static void take_write_stdin(struct args *a)
{
        struct tool_call *c = a->c;
        struct value chars = params_optional(&a->p, "chars");

        c->session = number(a, "session_id", true, 0);
        c->chars = "";
        if (chars.type == VALUE_STRING)
                c->chars = unescape(a, &chars, &c->chars_len);
        c->yield_ms = clamped(a, "yield_time_ms", WRITE_YIELD_MS,
                              c->chars_len ? YIELD_MIN_MS : POLL_MIN_MS,
                              c->chars_len ? YIELD_MAX_MS : POLL_MAX_MS);
        take_budget(a);
}

static void take_shell(struct args *a)
{
        struct tool_call *c = a->c;
        struct value command = params_array(&a->p, "command"), word;
        struct value_iter i = value_items(&command);

        while (!a->p.bad && value_next(&i, NULL, &word)) {
                if (word.type == VALUE_STRING)
                        c->argv[c->argc++] = as_text(a, "command", &word);
                else
                        params_refuse(&a->p, "invalid type: %s, expected a string",
                                      value_type_str(word.type));
        }
        if (!a->p.bad && !c->argc)
                params_refuse(&a->p, "`command` is empty");
        c->workdir = text_or_null(a, "workdir");
        c->timeout_ms = clamped(a, "timeout_ms", SHELL_TIMEOUT_MS, 1, SHELL_TIMEOUT_MAX_MS);
        take_budget(a);
}

static void take_apply_patch(struct args *a)
{
        struct value input = params_string(&a->p, "input");

        a->c->patch = unescape(a, &input, &a->c->patch_len);
}

static enum plan_status plan_status(struct args *a, const struct value *step)
{
        static const char *const words[] = {
                [PLAN_PENDING] = "pending",
                [PLAN_IN_PROGRESS] = "in_progress",
                [PLAN_COMPLETED] = "completed",
        };
        struct value v = value_get(step, "status");

        for (enum plan_status i = 0; i < COUNT(words); i++)
                if (value_is(&v, words[i]))
                        return i;
        params_refuse(&a->p, "`status` of each step is pending, in_progress or completed");
        return PLAN_PENDING;
}

static void take_update_plan(struct args *a)
{
        struct tool_call *c = a->c;
        struct value plan = params_array(&a->p, "plan"), item;
        struct value_iter i = value_items(&plan);
        unsigned active = 0;

        while (!a->p.bad && value_next(&i, NULL, &item)) {
                struct value step = value_get(&item, "step");

                if (step.type != VALUE_STRING) {
                        params_refuse(&a->p, "each step of `plan` needs a string `step`");
                        break;
                }
                c->plan[c->plan_count].step = as_text(a, "step", &step);
                c->plan[c->plan_count].status = plan_status(a, &item);
                active += c->plan[c->plan_count++].status == PLAN_IN_PROGRESS;
        }
        if (active > 1)
                params_refuse(&a->p, "at most one step can be in_progress");
        c->explanation = text_or_null(a, "explanation");
}

static void take(struct args *a)
{
        switch (a->c->tool) {
        case TOOL_EXEC_COMMAND:
                take_exec_command(a);
                break;
        case TOOL_WRITE_STDIN:
                take_write_stdin(a);
                break;
        case TOOL_SHELL:
                take_shell(a);
                break;
        case TOOL_APPLY_PATCH:
                take_apply_patch(a);
                break;
        case TOOL_UPDATE_PLAN:
                take_update_plan(a);
                break;
        case TOOL_VIEW_IMAGE:
                a->c->path = text(a, "path");
                break;
        case TOOL_COUNT:
                break;
        }
        if (definitions[a->c->tool].placed)
                take_environment(a);
}

/* Room for each word or step, and behind them for every string unescaped with its NUL. */
static void take_room(struct args *a, const struct value *v, size_t len)
{
        struct value command = value_get(v, "command"), plan = value_get(v, "plan");
        size_t words = value_count(&command) + 1, steps = value_count(&plan);
        size_t words_size = words * sizeof(*a->c->argv);
        size_t steps_size = steps * sizeof(*a->c->plan);
        char *memory = take_memory(words_size + steps_size + len + 16);

        a->c->memory = memory;
        a->c->argv = (const char **)(void *)memory;
        a->c->plan = (struct plan_step *)(void *)(memory + words_size);
        a->text = memory + words_size + steps_size;
}

static void parse_json(struct args *a, const char *json, size_t len)
{
        struct value v = { .type = VALUE_ABSENT };
        struct value_error e;

        if (!value_parse(&v, json, len, &e)) {
                a->p = params_of(&v);
                params_refuse(&a->p, "%s at byte %zu", e.what, e.at);
                return;
        }
        a->p = params_of(&v);
        take_room(a, &v, len);
        if (!a->p.bad)
                take(a);
        a->p.v = NULL; /* @v ends here */
}

static void take_text(struct args *a, const char *bytes, size_t len)
{
        a->p.bad = false;
        a->c->memory = take_memory(len + 1);
        memcpy(a->c->memory, bytes, len);
        a->c->patch = a->c->memory;
        a->c->patch_len = len;
        a->c->environment = a->set->environment_count ? a->set->environments[0] : NULL;
}

bool tool_call_parse(struct tool_call *c, const struct toolset *t, enum tool tool, bool custom,
                     const char *args, size_t len, struct buf *error)
{
        struct args a = { .c = c, .set = t };

        *c = (struct tool_call){ .tool = tool };
        if (custom && tool == TOOL_APPLY_PATCH)
                take_text(&a, args, len);
        else
                parse_json(&a, args, len);
        if (!a.p.bad)
                return true;
        buf_str(error, "failed to parse function arguments: ");
        buf_str(error, a.p.error);
        tool_call_free(c);
        return false;
}

void tool_call_free(struct tool_call *c)
{
        free(c->memory);
        *c = (struct tool_call){ .memory = NULL };
}
