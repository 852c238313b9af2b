/* tests/unit/test_toolset.c - what a model is offered, and what becomes of what it sends. */
#include "agent/toolset.h"
#include "agent/value.h"
#include "tests/unit/unit.h"

#include <string.h>

static const char *const one[] = { "local" }, *const two[] = { "local", "big \"box\"" };
static const unsigned everything = BIT(TOOL_COUNT) - 1;

static struct toolset offer(unsigned tools, size_t environments)
{
        return (struct toolset){ .offered = tools, .environment_count = environments,
                                 .environments = environments > 1 ? two : one };
}

/* The definition of that name. */
static struct value definition(const struct value *all, const char *name, bool chat)
{
        struct value_iter i = value_items(all);
        struct value tool, inner, found;

        while (value_next(&i, NULL, &tool)) {
                inner = chat ? value_get(&tool, "function") : tool;
                found = value_get(&inner, "name");
                if (value_is(&found, name))
                        return inner;
        }
        return (struct value){ .type = VALUE_ABSENT };
}

static bool requires(const struct value *tool, const char *name)
{
        struct value parameters = value_get(tool, "parameters");
        struct value required = value_get(&parameters, "required"), item;
        struct value_iter i = value_items(&required);

        return value_next(&i, NULL, &item) && value_is(&item, name);
}

static bool has_parameter(const struct value *tool, const char *name)
{
        struct value parameters = value_get(tool, "parameters");
        struct value properties = value_get(&parameters, "properties");

        return value_get(&properties, name).type == VALUE_OBJECT;
}

TEST(each_tool_is_offered_with_a_schema_that_is_json)
{
        static const char *const needs[TOOL_COUNT] = { "cmd",   "session_id", "command",
                                                       "input", "plan",       "path" };

        for (int chat = 0; chat < 2; chat++) {
                for (size_t n = 1; n <= 2; n++) {
                        struct toolset set = offer(everything, n);
                        struct buf out = { 0 };
                        struct value all = { .type = VALUE_ABSENT };
                        struct value_error e;

                        set.chat = chat;
                        toolset_put(&out, &set);
                        CHECK(value_parse(&all, buf_at(&out), out.len, &e));
                        CHECK(value_count(&all) == TOOL_COUNT);
                        for (enum tool t = 0; t < TOOL_COUNT; t++) {
                                struct value d = definition(&all, tool_name(t), chat);

                                CHECK_ROW(requires(&d, needs[t]), tool_name(t));
                                CHECK_ROW(has_parameter(&d, needs[t]), tool_name(t));
                                CHECK_ROW(has_parameter(&d, "environment_id") ==
                                                  (n == 2 && t != TOOL_UPDATE_PLAN),
                                          tool_name(t));
                        }
                        buf_free(&out);
                }
        }
}

TEST(without_an_environment_only_the_plan_is_left)
{
        struct toolset set = offer(everything, 0);
        enum tool t;

        CHECK(toolset_offered(&set) == BIT(TOOL_UPDATE_PLAN));
        CHECK(!toolset_find(&set, "exec_command", 12, &t) && !toolset_find(&set, "shell", 5, &t));
        CHECK(toolset_find(&set, "update_plan", 11, &t) && t == TOOL_UPDATE_PLAN);
}

TEST(a_patch_is_free_text_only_where_that_can_be)
{
        static const struct {
                const char *why;
                bool chat;
                size_t environments;
                bool custom;
        } rows[] = {
                { "the plain case", false, 1, true },
                { "Chat Completions have no custom tools", true, 1, false },
                { "free text can't name an environment", false, 2, false },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct toolset set = offer(BIT(TOOL_APPLY_PATCH), rows[i].environments);
                struct buf out = { 0 };
                struct value all = { .type = VALUE_ABSENT }, d, type;
                struct value_error e;

                set.custom_patch = true;
                set.chat = rows[i].chat;
                toolset_put(&out, &set);
                CHECK_ROW(value_parse(&all, buf_at(&out), out.len, &e), rows[i].why);
                d = definition(&all, "apply_patch", rows[i].chat);
                type = value_get(&d, "type");
                CHECK_ROW(value_is(&type, "custom") == rows[i].custom, rows[i].why);
                buf_free(&out);
        }
}

TEST(a_name_that_is_not_offered_is_not_found)
{
        struct toolset set = offer(BIT(TOOL_SHELL), 1);
        struct buf out = { 0 };
        enum tool t;

        CHECK(toolset_find(&set, "shell", 5, &t) && t == TOOL_SHELL);
        CHECK(!toolset_find(&set, "shel", 4, &t) && !toolset_find(&set, "", 0, &t));
        CHECK(!toolset_find(&set, "exec_command", 12, &t));
        put_unsupported(&out, "x\xff", 2);
        CHECK(out.len == 22 && !memcmp(buf_at(&out), "unsupported call: x\xef\xbf\xbd", 22));
        buf_free(&out);
}

static bool parse(struct tool_call *c, enum tool tool, const char *json, struct buf *error)
{
        struct toolset set = offer(everything, 2);
        size_t n = strlen(json);

        return tool_call_parse(c, &set, tool, false, at_page_end(json, n), n, error);
}

TEST(arguments_have_their_defaults_and_limits)
{
        static const struct {
                const char *why;
                enum tool tool;
                const char *json;
                uint64_t yield_ms, timeout_ms;
                size_t budget;
        } rows[] = {
                { "exec_command", TOOL_EXEC_COMMAND, "{\"cmd\":\"x\"}", 10000, 0, 10000 },
                { "too short a wait", TOOL_EXEC_COMMAND, "{\"cmd\":\"x\",\"yield_time_ms\":1}", 250,
                  0, 10000 },
                { "below nothing", TOOL_EXEC_COMMAND, "{\"cmd\":\"x\",\"yield_time_ms\":-1}", 250,
                  0, 10000 },
                { "too long", TOOL_EXEC_COMMAND,
                  "{\"cmd\":\"x\",\"yield_time_ms\":99999999,\"max_output_tokens\":5}", 30000, 0,
                  5 },
                { "as models write numbers", TOOL_EXEC_COMMAND,
                  "{\"cmd\":\"x\",\"yield_time_ms\":1000.0,\"max_output_tokens\":\"7\"}", 1000, 0,
                  7 },
                { "null is left out", TOOL_EXEC_COMMAND,
                  "{\"cmd\":\"x\",\"yield_time_ms\":null,\"workdir\":null,\"tty\":null}", 10000, 0,
                  10000 },
                { "a write", TOOL_WRITE_STDIN, "{\"session_id\":1,\"chars\":\"y\"}", 250, 0, 10000 },
                { "a poll", TOOL_WRITE_STDIN, "{\"session_id\":1}", 5000, 0, 10000 },
                { "a long poll", TOOL_WRITE_STDIN,
                  "{\"session_id\":1,\"chars\":\"\",\"yield_time_ms\":400000}", 300000, 0, 10000 },
                { "shell", TOOL_SHELL, "{\"command\":[\"x\"]}", 0, 10000, 10000 },
                { "shell with a time", TOOL_SHELL, "{\"command\":[\"x\"],\"timeout_ms\":5}", 0, 5,
                  10000 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct buf error = { 0 };
                struct tool_call c;

                CHECK_ROW(parse(&c, rows[i].tool, rows[i].json, &error), rows[i].why);
                CHECK_ROW(c.yield_ms == rows[i].yield_ms && c.timeout_ms == rows[i].timeout_ms,
                          rows[i].why);
                CHECK_ROW(c.budget.unit == TRUNCATE_TOKENS && c.budget.n == rows[i].budget,
                          rows[i].why);
                CHECK_ROW(!strcmp(c.environment, "local"), rows[i].why);
                tool_call_free(&c);
                buf_free(&error);
        }
}

TEST(strings_come_unescaped)
{
        struct buf error = { 0 };
        struct tool_call c;

        CHECK(parse(&c, TOOL_EXEC_COMMAND,
                    "{\"cmd\":\"a\\n\\u00e9\",\"workdir\":\"/w\",\"shell\":\"sh\",\"login\":false,"
                    "\"tty\":true,\"environment_id\":\"big \\\"box\\\"\",\"new\":[1]}", &error));
        CHECK(!strcmp(c.cmd, "a\n\xc3\xa9") && !strcmp(c.workdir, "/w") && !strcmp(c.shell, "sh"));
        CHECK(!c.login && c.tty && !strcmp(c.environment, "big \"box\""));
        tool_call_free(&c);
        CHECK(parse(&c, TOOL_SHELL, "{\"command\":[\"a\",\"\",\"\\\"\"]}", &error));
        CHECK(c.argc == 3 && !strcmp(c.argv[2], "\"") && !*c.argv[1] && !c.argv[3]);
        tool_call_free(&c);
        CHECK(parse(&c, TOOL_WRITE_STDIN, "{\"session_id\":1000,\"chars\":\"\\u0000\\u0003\"}",
                    &error));
        CHECK(c.session == 1000 && c.chars_len == 2 && !memcmp(c.chars, "\0\3", 2));
        tool_call_free(&c);
        CHECK(parse(&c, TOOL_UPDATE_PLAN,
                    "{\"explanation\":\"e\",\"plan\":[{\"step\":\"one\",\"status\":\"completed\"},"
                    "{\"status\":\"in_progress\",\"step\":\"two\"}]}", &error));
        CHECK(c.plan_count == 2 && c.plan[0].status == PLAN_COMPLETED && !strcmp(c.explanation, "e"));
        CHECK(!strcmp(c.plan[1].step, "two") && c.plan[1].status == PLAN_IN_PROGRESS);
        tool_call_free(&c);
        CHECK(parse(&c, TOOL_APPLY_PATCH, "{\"input\":\"*\\n\"}", &error));
        CHECK(c.patch_len == 2 && !memcmp(c.patch, "*\n", 2) && !error.len);
        tool_call_free(&c);
        buf_free(&error);
}

TEST(a_custom_call_is_the_patch_itself)
{
        struct toolset set = offer(everything, 1);
        struct buf error = { 0 };
        struct tool_call c;

        CHECK(tool_call_parse(&c, &set, TOOL_APPLY_PATCH, true, at_page_end("{\0", 2), 2, &error));
        CHECK(c.patch_len == 2 && !memcmp(c.patch, "{\0", 2));
        tool_call_free(&c);
}

TEST(wrong_arguments_are_told)
{
        static const struct {
                enum tool tool;
                const char *json, *want;
        } rows[] = {
                { TOOL_EXEC_COMMAND, "{}", "missing field `cmd`" },
                { TOOL_EXEC_COMMAND, "", "EOF while parsing a value at byte 0" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":\"x\"", "EOF while parsing an object at byte 10" },
                { TOOL_EXEC_COMMAND, "[]", "invalid type: sequence, expected a map of parameters" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":[\"x\"]}",
                  "invalid type: sequence, expected a string" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":\"a\\u0000\"}", "`cmd` holds a NUL byte" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":\"a\",\"tty\":1}",
                  "invalid type: number, expected a boolean" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":\"a\",\"yield_time_ms\":1e3}",
                  "`yield_time_ms` is not a whole number" },
                { TOOL_EXEC_COMMAND, "{\"cmd\":\"a\",\"environment_id\":\"moon\"}",
                  "unknown environment_id `moon`" },
                { TOOL_WRITE_STDIN, "{\"chars\":\"a\"}", "missing field `session_id`" },
                { TOOL_WRITE_STDIN, "{\"session_id\":\"\"}", "`session_id` is not a whole number" },
                { TOOL_SHELL, "{\"command\":\"ls\"}", "invalid type: string, expected a sequence" },
                { TOOL_SHELL, "{\"command\":[1]}", "invalid type: number, expected a string" },
                { TOOL_SHELL, "{\"command\":[]}", "`command` is empty" },
                { TOOL_APPLY_PATCH, "{\"patch\":\"x\"}", "missing field `input`" },
                { TOOL_UPDATE_PLAN, "{\"plan\":[{\"step\":\"x\"}]}",
                  "`status` of each step is pending, in_progress or completed" },
                { TOOL_UPDATE_PLAN, "{\"plan\":[1]}", "each step of `plan` needs a string `step`" },
                { TOOL_UPDATE_PLAN,
                  "{\"plan\":[{\"step\":\"x\",\"status\":\"in_progress\"},{\"step\":\"y\","
                  "\"status\":\"in_progress\"}]}",
                  "at most one step can be in_progress" },
                { TOOL_VIEW_IMAGE, "{\"path\":null}", "invalid type: null, expected a string" },
        };
        static const char before[] = "failed to parse function arguments: ";

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct buf error = { 0 };
                struct tool_call c;

                CHECK_ROW(!parse(&c, rows[i].tool, rows[i].json, &error), rows[i].want);
                buf_put(&error, "", 1);
                CHECK_ROW(!strncmp(buf_at(&error), before, strlen(before)) &&
                                  !strcmp(buf_at(&error) + strlen(before), rows[i].want),
                          buf_at(&error));
                CHECK_ROW(!c.memory, rows[i].want);
                buf_free(&error);
        }
}
