/* tests/unit/test_spec.c - what the spec reader takes, and where it points when not. */
#include "init/spec.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

static const char full[] =
        "{\"version\": 1, \"repo\": {\"url\": \"https://h/a/app.git\", \"ref\": \"main\"},\n"
        " \"env\": {\"CI\": \"1\"}, \"runtimes\": {\"python\": \"3.12\"},\n"
        " \"setup\": {\"script\": \"make\\ntrue\", \"timeout_s\": 60},\n"
        " \"network\": {\"agent\": \"full\", "
        "\"rules\": [{\"host\": \"*.x.org\", \"ports\": [22]}]},\n"
        " \"agent\": {\"command\": [\"sh\", \"-c\", \"true\"]}}";

TEST(a_spec_fills_what_it_says_and_defaults_the_rest)
{
        struct spec s;
        struct spec_error e;

        CHECK(!spec_open(&s, at_page_end(full, sizeof(full) - 1), sizeof(full) - 1, &e));
        CHECK(!strcmp(s.repo.dir, "/workspace/app"));
        CHECK(!strcmp(s.setup.script, "make\ntrue") && s.setup.timeout_s == 60);
        CHECK(s.agent.command.count == 3 && !s.agent.command.items[3] && s.agent.timeout_s == 3600);
        CHECK(s.network.agent == NET_FULL && s.network.rules[0].ports[0] == 22);
        spec_close(&s);
}

TEST(every_prefix_of_a_spec_is_an_error_inside_it)
{
        for (size_t n = 0; n < sizeof(full) - 1; n++) {
                struct spec s;
                struct spec_error e;

                CHECK(spec_open(&s, at_page_end(full, n), n, &e) == -EINVAL);
                CHECK(e.line >= 1 && e.line <= 5 && e.column >= 1 && e.text[0] && !s.arena);
        }
}

TEST(an_error_stands_at_the_token_that_is_wrong)
{
        static const struct {
                const char *why, *json, *text;
                unsigned line, column;
        } rows[] = {
                { "unknown key, with the nearest", "{\"version\":1,\n \"repo\":{\"ulr\":\"x\"}}",
                  "unknown key \"repo.ulr\"; did you mean \"url\"?", 2, 10 },
                { "wrong type", "{\"version\":1,\"prompt\":3}",
                  "prompt: expected a string, found a number", 1, 23 },
                { "a key twice, by an escape", "{\"version\":1,\"versi\\u006fn\":1}",
                  "this key is here a second time", 1, 14 },
                { "no version", "{}", "\"version\" is missing", 1, 1 },
                { "option as url", "{\"version\":1,\"repo\":{\"url\":\"-x\"}}", NULL, 1, 28 },
                { "helper as url", "{\"version\":1,\"repo\":{\"url\":\"ext::sh\"}}", NULL, 1, 28 },
                { "ref with dots",
                  "{\"version\":1,\"repo\":{\"url\":\"/r\",\"ref\":\"a..b\"}}", NULL, 1, 39 },
                { "NUL", "{\"version\":1,\"prompt\":\"\\u0000\"}", NULL, 1, 23 },
                { "two agents",
                  "{\"version\":1,\"agent\":{\"exec_server\":\"stdio\",   \"command\":[\"x\"]}}",
                  "agent: either \"command\" or \"exec_server\"", 1, 48 },
                { "ref without url", "{\"version\":1,\"repo\":{\"ref\":\"x\"}}",
                  "repo: \"url\" is missing", 1, 22 },
                { "names after their use",
                  "{\"version\":1,\"model\":{\"key\":\"${B}\"},\"secrets\":{\"names\":[\"A\"]}}",
                  "secrets.names lacks the name in ${B}", 1, 29 },
                { "a name twice", "{\"version\":1,\"secrets\":{\"names\":[\"A\",\"A\"]}}",
                  "secrets.names: this name is here a second time", 1, 38 },
                { "no directory", "{\"version\":1,\"repo\":{\"url\":\"/\"}}",
                  "repo.url: it names no directory; give \"dir\"", 1, 28 },
                { "header with a blank",
                  "{\"version\":1,\"network\":{\"rules\":"
                  "[{\"host\":\"h\",\"inject\":{\"header\":\"A B\",\"value\":\"x\"}}]}}",
                  "network.rules.inject.header: expected the name of an HTTP header", 1, 65 },
                { "too large",
                  "{\"version\":1,\"agent\":{\"timeout_s\":99999999999999999999}}", NULL, 1, 35 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct spec s;
                struct spec_error e;
                size_t n = strlen(rows[i].json);

                CHECK_ROW(spec_open(&s, at_page_end(rows[i].json, n), n, &e) == -EINVAL,
                          rows[i].why);
                CHECK_ROW(e.line == rows[i].line && e.column == rows[i].column, rows[i].why);
                CHECK_ROW(!rows[i].text || !strcmp(e.text, rows[i].text), rows[i].why);
        }
}

TEST(a_repository_takes_away_and_never_grants)
{
        static const char base[] =
                "{\"version\":1,\"env\":{\"A\":\"op\"},\"network\":{\"agent\":\"limited\"}}";
        static const char *const bad[] = {
                "{\"version\":1,\"network\":{\"agent\":\"full\"}}",
                "{\"version\":1,\"network\":{\"allow\":[\"x.org\"]}}",
                "{\"version\":1,\"secrets\":{}}",
                "{\"version\":1,\"agent\":{\"user\":\"0\"}}",
                "{\"version\":1,\"setup\":{\"timeout_s\":1201}}",
        };
        static const char good[] =
                "{\"version\":1,\"env\":{\"A\":\"repo\",\"B\":\"2\"},"
                "\"network\":{\"agent\":\"off\",\"deny\":[\"x\"]}}";
        struct spec s;
        struct spec_error e;

        CHECK(!spec_open(&s, base, sizeof(base) - 1, &e));
        for (size_t i = 0; i < COUNT(bad); i++)
                CHECK_ROW(spec_narrow(&s, bad[i], strlen(bad[i]), &e) == -EINVAL, bad[i]);
        CHECK(s.network.agent == NET_LIMITED);
        CHECK(!spec_narrow(&s, good, sizeof(good) - 1, &e));
        CHECK(s.network.agent == NET_OFF && s.network.deny.count == 1);
        CHECK(s.env.count == 2 && !strcmp(s.env.items[0].value, "op"));
        spec_close(&s);
}
