/*
 * tests/fuzz/toolset.c - arguments of a tool are taken or answered, never both; what is taken
 * lies in the call's memory and ends in a NUL. The first byte chooses the tool.
 */
#include "agent/toolset.h"
#include "agent/value.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct tool_call *c, size_t len)
{
        const char *const strings[] = { c->cmd, c->workdir, c->shell, c->chars, c->patch,
                                        c->explanation, c->path };

        for (size_t i = 0; i < COUNT(strings); i++)
                if (strings[i] && strlen(strings[i]) > len)
                        abort();
        for (size_t i = 0; i < c->argc; i++)
                if (strlen(c->argv[i]) > len)
                        abort();
        if (c->argv && c->argv[c->argc])
                abort();
        for (size_t i = 0; i < c->plan_count; i++)
                if (strlen(c->plan[i].step) > len || c->plan[i].status > PLAN_COMPLETED)
                        abort();
        if (c->tool == TOOL_SHELL && !c->argc)
                abort();
        if (c->tool == TOOL_EXEC_COMMAND && (!c->cmd || c->yield_ms < 250 || c->yield_ms > 30000))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const char *const environments[] = { "local", "b" };
        struct toolset set = { .offered = BIT(TOOL_COUNT) - 1, .environments = environments,
                               .environment_count = 2 };
        struct buf error = { 0 };
        struct tool_call c;
        struct value v;
        struct value_error e;
        char *text;
        bool ok;

        if (!len)
                return 0;
        text = malloc(len);
        memcpy(text, data + 1, --len);
        ok = tool_call_parse(&c, &set, data[0] % TOOL_COUNT, data[0] >= 128, text, len, &error);
        if (ok == (error.len > 0) || ok != (c.memory != NULL))
                abort();
        if (ok) {
                check(&c, len);
                if (data[0] < 128 && !value_parse(&v, text, len, &e))
                        abort();
        }
        tool_call_free(&c);
        buf_free(&error);
        free(text);
        return 0;
}
