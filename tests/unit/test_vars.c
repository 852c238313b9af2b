/* tests/unit/test_vars.c - what a sealed file may say, and what it may not. */
#include "secrets/vars.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct vars vars;
static char text[4096];

/* "A=1|B=2": what was read; or the status's text. */
static const char *parsed(const char *source)
{
        static char shown[8192];
        size_t len = strlen(source);
        size_t n = 0;
        enum vars_status s = vars_parse(&vars, at_page_end(source, len), len,
                                        at_page_end(text, len + 1), len + 1);

        if (s != VARS_OK)
                return vars_status_str(s);
        for (size_t i = 0; i < vars.count; i++) {
                const struct var *e = &vars.list[i];
                size_t all = e->name_len + 1 + e->value_len;

                if (n)
                        shown[n++] = '|';
                memcpy(shown + n, vars_name(&vars, e), all);
                n += all;
                CHECK(vars_value(&vars, e)[e->value_len] == '\0');
        }
        shown[n] = '\0';
        return shown;
}

TEST(json_and_dotenv_give_names_and_values)
{
        static const struct {
                const char *why, *source, *want;
                enum vars_status status;
        } rows[] = {
                { "nothing", "", "", VARS_OK },
                { "empty object", " {\n} ", "", VARS_OK },
                { "object", "{\"A\":\"1\", \"b_2\" : \"\"}", "A=1|b_2=", VARS_OK },
                { "escapes", "{\"A\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00\"}",
                  "A=\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", VARS_OK },
                { "lines", "A=1\nB=two words  \r\n\n# no\n  export C=3",
                  "A=1|B=two words|C=3", VARS_OK },
                { "plain text stays", "A=a=b#c \"d\" $e", "A=a=b#c \"d\" $e", VARS_OK },
                { "single quotes", "A='x\ny \\n' # why\nB=2", "A=x\ny \\n|B=2", VARS_OK },
                { "double quotes", "A=\"x\ny\\n\\\"\\\\\\$\\z\"\r\nB=''",
                  "A=x\ny\n\"\\$\\z|B=", VARS_OK },
                { "no equals sign", "A=1\nB\n", NULL, VARS_SYNTAX },
                { "no end", "{\"A\":\"1\"", NULL, VARS_SYNTAX },
                { "a tail", "{\"A\":\"1\"} x", NULL, VARS_SYNTAX },
                { "a comma too many", "{\"A\":\"1\",}", NULL, VARS_SYNTAX },
                { "a raw newline", "{\"A\":\"\n\"}", NULL, VARS_SYNTAX },
                { "half a pair", "{\"A\":\"\\ud83d\"}", NULL, VARS_SYNTAX },
                { "a number", "{\"A\":1}", NULL, VARS_STRING },
                { "an object inside", "{\"A\":{}}", NULL, VARS_STRING },
                { "an open quote", "A='x\nB=1", NULL, VARS_QUOTE },
                { "text behind a quote", "A='x'y", NULL, VARS_QUOTE },
                { "a digit first", "1A=x", NULL, VARS_NAME },
                { "a space", "A B=x", NULL, VARS_NAME },
                { "no name", "=x", NULL, VARS_NAME },
                { "an empty name", "{\"\":\"x\"}", NULL, VARS_NAME },
                { "an equals sign in a name", "{\"A=B\":\"x\"}", NULL, VARS_NAME },
                { "twice", "A=1\nA=2", NULL, VARS_TWICE },
                { "twice, once escaped", "{\"A\":\"1\",\"\\u0041\":\"2\"}",
                  NULL, VARS_TWICE },
                { "a zero byte", "{\"A\":\"x\\u0000y\"}", NULL, VARS_NUL },
                { "a loader's variable", "LD_PRELOAD=/x", NULL, VARS_REFUSED },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *want = rows[i].want ? rows[i].want : vars_status_str(rows[i].status);

                CHECK_ROW(!strcmp(parsed(rows[i].source), want), rows[i].why);
        }
}

TEST(names_that_run_something_are_refused)
{
        static const char *const refused[] = {
                "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "PATH", "IFS", "PS4",
                "SHELLOPTS", "BASHOPTS", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND", "GIT_SSH",
                "GIT_ASKPASS", "NODE_OPTIONS", "PYTHONPATH", "PERL5OPT", "https_proxy",
                "HTTPS_PROXY", "AIRLOCK_ENV", "GLIBC_TUNABLES", "SSL_CERT_FILE", "HOME",
                "GIT_CONFIG_COUNT", "PROMPT_COMMAND", "BASH_FUNC_ls", "RUSTC_WRAPPER",
        };
        static const char *const fine[] = {
                "NPM_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "AWS_SECRET_ACCESS_KEY", "PATHS", "ENVX",
                "DATABASE_URL", "MY_LD_KEY", "GIT_TOKEN", "SSH_KEY", "A", "_x9", "PIP_INDEX_URL",
        };

        for (size_t i = 0; i < COUNT(refused); i++)
                CHECK_ROW(vars_name_refused(refused[i], strlen(refused[i])), refused[i]);
        for (size_t i = 0; i < COUNT(fine); i++)
                CHECK_ROW(!vars_name_refused(fine[i], strlen(fine[i])), fine[i]);
}

TEST(an_error_knows_its_line)
{
        static const char source[] = "A=1\n\nB\nC=3\n";

        CHECK(vars_parse(&vars, source, sizeof(source) - 1, text, sizeof(text)) == VARS_SYNTAX);
        CHECK(vars_line(source, vars.error_at) == 3);
        CHECK(vars_parse(&vars, "ABC=1", 5, text, 4) == VARS_FULL);
}
