/* tests/unit/test_toml.c - what is TOML, and what is left of it when only a part is asked for. */
#include "agent/toml.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct toml doc;

/* At a page's end: one byte too many read is the end of the test. */
static bool parses(const char *text)
{
        return toml_parse(&doc, at_page_end(text, strlen(text)), strlen(text));
}

TEST(what_is_toml_is_read)
{
        static const char *const good[] = {
                "", "\n# c\n", "a=1", "a.b.c = 1\na.b.d = 2", "'a b'.\"\\u00e9\" = ''",
                "a=[]", "a=[1,\n# c\n[2,],{b=1}]", "a={}", "a={b.c=1,d={}}",
                "a=\"\"\"x\"\"\"\"\"", "a='''\n'x'''''", "a=\"\"\"x\\\n   y\"\"\"",
                "[a.b]\n[a]\nc=1", "[[a]]\n[a.b]\n[[a]]\n[a.b]", "[a]\nb.c=1\n[a.b.d]\n",
                "a=1_000\nb=0xf_f\nc=-1.5e+3\nd=inf\ne=+nan", "a=1979-05-27 07:32:00.1-07:00",
                "a=07:32:00\nb=1979-05-27", "a=true\r\nb=false\r\n",
        };

        for (size_t i = 0; i < COUNT(good); i++)
                CHECK_ROW(parses(good[i]), good[i]);
}

TEST(what_is_none_is_not)
{
        static const char *const bad[] = {
                "a", "a=", "=1", "a=1 b=2", "a=1\na=2", "a=tru", "a=01", "a=1__0", "a=_1", "a=1.",
                "a=.5", "a=0x", "a=1e", "a='", "a='\n'", "a=\"\\x\"", "a=\"\\ud800\"", "a=\"\x01\"",
                "a=[1 2]", "a=[,]", "a=[", "a={b=1,}", "a={b=1\n}", "a={b=1,b=2}", "[a]\n[a]",
                "[a", "[[a]", "[]", "a.b=1\n[a]", "a={}\n[a.b]", "a={}\na.b=1", "a=1\n[a.b]",
                "a=[]\n[[a]]", "[[a]]\n[a]", "[a]\n[[a]]", "[a.b]\n[a]\nb.c=1", "a=\"\"\"x\"\"",
                "a=1\r", "# \x01", "\xff", "a=[{b=1,b=2}]", "a=1979-05", "a=12:00", "a='''''''''",
        };

        for (size_t i = 0; i < COUNT(bad); i++)
                CHECK_ROW(!parses(bad[i]), bad[i]);
}

TEST(a_mistake_has_a_line)
{
        CHECK(!parses("a=1\nb=2\nc=\nd=4\n"));
        CHECK(toml_line(&doc) == 3);
}

TEST(every_beginning_ends_without_a_read_too_many)
{
        static const char whole[] = "a=\"\"\"x\\\n y\"\"\"\n[b.'c']\nd={e=[1979-05-27 07:32:00Z]} # f\n";

        for (size_t n = 0; n < sizeof(whole); n++)
                (void)!toml_parse(&doc, at_page_end(whole, n), n);
}

TEST(how_deep_and_how_much_is_bounded)
{
        static char text[TOML_TEXT_MAX + 1];
        size_t n = 0;

        memset(text, '[', 100);
        memcpy(text, "a=", 2);
        CHECK(!toml_parse(&doc, text, 100));
        CHECK(!strcmp(doc.s.wrong, "arrays nested too deep"));
        for (n = 0; n < 200; n += 2)
                memcpy(text + n, "a.", 2);
        memcpy(text + n, "a=1", 3);
        CHECK(!toml_parse(&doc, text, n + 3));
        CHECK(!strcmp(doc.s.wrong, "tables nested too deep"));
        memset(text, '\n', sizeof(text));
        CHECK(toml_parse(&doc, text, sizeof(text) - 1));
        CHECK(!toml_parse(&doc, text, sizeof(text)));
}

/* What is left of @text for "a/b c/d": two paths, a.b and c.d. */
static const char *cut(const char *text, const char *wanted)
{
        static struct buf out;
        static struct toml_path paths[4];
        size_t count = 0;

        memset(paths, 0, sizeof(paths));
        for (const char *at = wanted; *at; at += *at == ' ') {
                for (; *at && *at != ' '; at += *at == '/') {
                        size_t n = strcspn(at, "/ ");

                        paths[count].keys[paths[count].count] = at;
                        paths[count].lens[paths[count].count++] = n;
                        at += n;
                }
                count++;
        }
        buf_free(&out);
        if (!parses(text))
                return doc.s.wrong;
        if (!toml_project(&doc, paths, count, &out))
                return "nothing";
        buf_put(&out, "", 1);
        return buf_at(&out);
}

TEST(what_was_asked_for_is_left)
{
        static const struct {
                const char *text, *wanted, *left;
        } cases[] = {
                { "a=1\nb=2", "b", "b = 2\n" },
                { "a=1", "b", "nothing" },
                { "[a]\nb=1\nc=2\n[a.d]\ne=3", "a/c a/d", "[a]\nc = 2\n\n[a.d]\ne = 3\n" },
                { "a={b=1,c={d='x'}}", "a", "[a]\nb = 1\n\n[a.c]\nd = 'x'\n" },
                { "a.b.c=1", "a/b", "[a.b]\nc = 1\n" },
                { "a=5", "a/b/c", "a = 5\n" }, /* it hides what a weaker layer has there */
                { "[a]\nb=1", "a/x", "[a]\n" },
                { "[a]", "a", "[a]\n" },
                { "[[a]]\nb=1\n[a.c]\nd=2\n[[a]]", "a",
                  "[[a]]\nb = 1\n\n[a.c]\nd = 2\n\n[[a]]\n" },
                { "\"x y\".\"\\n\"=[ 1, # c\n 2]", "x/y x y", "nothing" },
                { "[\"\\n\"]\n''='v'", "\n", "[\"\\n\"]\n\"\" = 'v'\n" },
                { "a=1\n[b]\nc=1", "a a/b b/c b", "a = 1\n\n[b]\nc = 1\n" },
        };

        for (size_t i = 0; i < COUNT(cases); i++)
                CHECK_ROW(!strcmp(cut(cases[i].text, cases[i].wanted), cases[i].left),
                          cases[i].text);
}

TEST(strings_are_decoded_one_or_many)
{
        char out[64];
        size_t len;
        struct toml_strings i;

        CHECK(parses("a='x\\y'\nb=\"\\u00e9\\n\"\nc=\"\"\"z\"\"\"\nd=[ 'p', # q\n \"r\", ]\ne=['s', 1]\nf=[]\n"));
        CHECK(toml_string(toml_get(&doc, doc.nodes, "a", 1), out, &len) && len == 3 && !memcmp(out, "x\\y", 3));
        CHECK(toml_string(toml_get(&doc, doc.nodes, "b", 1), out, &len) && len == 3 &&
              !memcmp(out, "\xc3\xa9\n", 3));
        CHECK(!toml_string(toml_get(&doc, doc.nodes, "c", 1), out, &len));
        i = toml_strings(toml_get(&doc, doc.nodes, "d", 1));
        CHECK(toml_strings_next(&i, out, &len) && len == 1 && out[0] == 'p');
        CHECK(toml_strings_next(&i, out, &len) && len == 1 && out[0] == 'r');
        CHECK(!toml_strings_next(&i, out, &len) && !i.wrong);
        i = toml_strings(toml_get(&doc, doc.nodes, "e", 1));
        CHECK(toml_strings_next(&i, out, &len) && !toml_strings_next(&i, out, &len) && i.wrong);
        i = toml_strings(toml_get(&doc, doc.nodes, "f", 1));
        CHECK(!toml_strings_next(&i, out, &len) && !i.wrong);
        i = toml_strings(toml_get(&doc, doc.nodes, "a", 1));
        CHECK(!toml_strings_next(&i, out, &len) && i.wrong);
}

TEST(a_member_can_be_forgotten)
{
        for (const char *gone = "a"; *gone; gone = *gone == 'a' ? "b" : *gone == 'b' ? "c" : "") {
                CHECK(parses("a=1\nb=2\n[c]\nd=3"));
                toml_forget(&doc, gone);
                toml_forget(&doc, "none");
                CHECK(!toml_get(&doc, doc.nodes, gone, 1));
                CHECK(!!toml_get(&doc, doc.nodes, "a", 1) + !!toml_get(&doc, doc.nodes, "b", 1) +
                              !!toml_get(&doc, doc.nodes, "c", 1) == 2);
        }
}
