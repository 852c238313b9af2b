/* tests/unit/test_env.c - NAME=value lines, as $AIRLOCK_ENV has them. */
#include "init/env.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_line_sets_a_variable_or_is_counted)
{
        static struct env e;
        static const struct {
                const char *why, *text, *value; /* of A; NULL: it is not set */
                unsigned bad;
        } rows[] = {
                { "plain", "A=1", "1", 0 },
                { "the last one wins", "A=1\nA=2\n", "2", 0 },
                { "export, blanks and a carriage return", "  export A=x y\r\n", "x y", 0 },
                { "one pair of quotes", "A=\"'q'\"", "'q'", 0 },
                { "quotes that differ stay", "A=\"q'", "\"q'", 0 },
                { "nothing is expanded", "A=$B`c`", "$B`c`", 0 },
                { "comments and blank lines", "# A=2\n\n \nA=", "", 0 },
                { "no equals sign", "A=1\nB\n", "1", 2 },
                { "a digit first", "1A=1", NULL, 1 },
                { "a blank before the sign", "A =1", NULL, 1 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].text);
                const char *a;

                e.count = e.len = 0;
                CHECK_ROW(env_add_lines(&e, at_page_end(rows[i].text, n), n) == rows[i].bad,
                          rows[i].why);
                a = env_get(&e, "A");
                CHECK_ROW(a ? rows[i].value && !strcmp(a, rows[i].value) : !rows[i].value,
                          rows[i].why);
        }
}

TEST(a_variable_that_does_not_fit_spoils_the_environment)
{
        static struct env e;
        static char large[ENV_TEXT];

        memset(large, 'x', sizeof(large) - 1);
        env_set(&e, "A", large);
        CHECK(e.full && !e.count && !env_get(&e, "A"));
        e.full = false;
        env_set(&e, "A", "1");
        env_unset(&e, "A");
        CHECK(!e.full && !e.count && !e.vars[0]);
}
