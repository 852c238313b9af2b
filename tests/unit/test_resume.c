/* tests/unit/test_resume.c - what of an earlier turn's result.json is believed. */
#include "init/resume.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef01234567"
#define RAN "\"agent\":{\"ran\":true}"
#define WHERE "\"repo\":\"https://a.org/r\",\"ref\":\"main\""
#define START "\"start_commit\":\"" ID "\""
#define DIFF "\"diff\":{\"bytes\":12,\"whole\":true}"
#define BEGIN "{\"version\":1," RAN "," WHERE ","

static const struct spec task = { .repo = { .url = "https://a.org/r", .ref = "main" } };

TEST(the_result_of_a_turn_says_where_the_next_one_begins)
{
        static const char json[] = BEGIN START "," DIFF ",\"turn\":4,\"conversation\":{\"bytes\":7}}";
        static const char first[] = BEGIN START "," DIFF ",\"conversation\":{\"bytes\":null}}";
        struct resume_facts f;
        struct spec_error e;

        CHECK(!resume_parse(&task, json, sizeof(json) - 1, &f, &e));
        CHECK(f.turn == 4 && f.diff_bytes == 12 && f.diff_whole && !strcmp(f.start, ID));
        CHECK(f.has_conversation && f.conversation_bytes == 7);
        CHECK(!resume_parse(&task, first, sizeof(first) - 1, &f, &e));
        CHECK(f.turn == 1 && !f.has_conversation);
}

TEST(what_does_not_fit_is_told_with_its_place)
{
        static const struct {
                const char *json, *text, *why;
        } rows[] = {
                { "[]", "of a task", "not an object" },
                { "{}", "of a task", "no version" },
                { "{\"version\":2}", "of a task", "another version" },
                { "{\"version\":1," RAN "," WHERE "," START, "", "torn" },
                { "{\"version\":1,\"agent\":{\"ran\":false}}", "did not run", "no agent" },
                { "{\"version\":1," RAN ",\"repo\":\"https://b.org\"}", "expected https://a.org/r",
                  "another repository" },
                { "{\"version\":1," RAN ",\"repo\":\"https://a.org/r\"}", "ref is null", "no ref" },
                { "{\"version\":1," RAN ",\"repo\":[]}", "repo is null", "no string" },
                { BEGIN DIFF "}", "start_commit", "no start" },
                { BEGIN "\"start_commit\":\"../../etc\"," DIFF "}", "start_commit", "no commit" },
                { BEGIN "\"start_commit\":\"" ID "0\"," DIFF "}", "start_commit", "too long" },
                { BEGIN "\"start_commit\":\"--output=/x\"," DIFF "}", "start_commit", "an option" },
                { BEGIN START "}", "its bytes", "no diff" },
                { BEGIN START ",\"diff\":{\"bytes\":-1}}", "a number", "negative" },
                { BEGIN START ",\"diff\":{\"bytes\":300000000}}", "at most 268435456", "too large" },
                { BEGIN START "," DIFF ",\"turn\":0}", "1 or more", "turn 0" },
                { BEGIN START "," DIFF ",\"turn\":\"2\"}", "a number", "turn as a string" },
                { BEGIN START "," DIFF ",\"turn\":1,\"turn\":2}", "", "a key twice" },
        };
        struct resume_facts f;
        struct spec_error e;

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t len = strlen(rows[i].json);
                const char *json = at_page_end(rows[i].json, len);

                CHECK_ROW(resume_parse(&task, json, len, &f, &e) == -EINVAL, rows[i].why);
                CHECK_ROW(e.line == 1 && e.column && strstr(e.text, rows[i].text), rows[i].why);
        }
}
