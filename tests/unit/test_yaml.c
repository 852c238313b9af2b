/* tests/unit/test_yaml.c - the YAML that skills are written in, and what they say by it. */
#include "agent/semver.h"
#include "agent/skill.h"
#include "agent/value.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct yaml doc;

/* At a page's end: one byte too many read is the end of the test. */
static bool parses(const char *text)
{
        return yaml_parse(&doc, at_page_end(text, strlen(text)), strlen(text));
}

static void put(struct buf *out, const struct yaml_node *n)
{
        if (n->type == YAML_SCALAR) {
                buf_put(out, n->text, n->len);
                buf_str(out, n->plain ? "" : "\"");
                return;
        }
        buf_str(out, n->type == YAML_MAP ? "{" : "[");
        for (uint32_t i = n->first; i; i = doc.nodes[i].next) {
                buf_put(out, doc.nodes[i].key, doc.nodes[i].key_len);
                buf_str(out, n->type == YAML_MAP ? ":" : "");
                put(out, &doc.nodes[i]);
                buf_str(out, doc.nodes[i].next ? "," : "");
        }
        buf_str(out, n->type == YAML_MAP ? "}" : "]");
}

/* Does it read as @want: {key:plain,key:other"} and [items]? */
static bool reads(const char *text, const char *want)
{
        struct buf b = { 0 };
        bool good = parses(text);

        put(&b, &doc.nodes[0]);
        good = good && b.len == strlen(want) && (!b.len || !memcmp(buf_at(&b), want, b.len));
        buf_free(&b);
        return good;
}

TEST(yaml_reads_as_it_was_meant)
{
        static const struct {
                const char *text, *want;
        } cases[] = {
                { "", "" }, { "a: b", "{a:b}" }, { "a:\nb: ~\n", "{a:,b:~}" },
                { "---\na: b\n...\n", "{a:b}" }, { "\xef\xbb\xbf" "a: b", "{a:b}" },
                { "a: b # c\n# d\n\nc: d#e\n", "{a:b,c:d#e}" }, { "a:\tb", "{a:b}" },
                { "a: b\n  c\n\n  d\n", "{a:b c d}" }, { "a: 'b''\n c'", "{a:b'  c\"}" },
                { "a: \"\\x41\\u00e9\\n\\\n  b\"", "{a:A\xc3\xa9\nb\"}" },
                { "a: |\n  b: c\n  [d\ne: >2-\n   f\n\n  g\n", "{a:b: c [d \",e: f g \"}" },
                { "- a\n- b: c\n  d:\n  - e\n-\n  - f\n- - g\n", "[a,{b:c,d:[e]},[f],[g]]" },
                { "a:\n  b:\n    c: d\n  e: f\ng: h", "{a:{b:{c:d},e:f},g:h}" },
                { "a: [b, {c: d, e}, [f], g: h, 'i':j,\n]\n", "{a:[b,{c:d,e:},[f],{g:h},{i:j}]}" },
                { "a: {}\nb: []", "{a:{},b:[]}" }, { "'a b': c\n\"d\": e", "{a b:c,d:e}" },
                { "a:\r\n  b: c\r\n", "{a:{b:c}}" }, { "a: -b ?c :d\ne: x-y", "{a:-b ?c :d,e:x-y}" },
                { "a: b\na: c", "{a:b,a:c}" },
        };

        for (size_t i = 0; i < COUNT(cases); i++)
                CHECK_ROW(reads(cases[i].text, cases[i].want), cases[i].text);
}

TEST(what_is_no_yaml_is_not_read)
{
        static const char *const bad[] = {
                "a: b: c", "a: - b", "a: b\n- c", "a: [b", "a: [,]", "a: {b", "a: ]", "a: 'b",
                "a: \"b", "a: \"\\q\"", "a: \"\\ud800\"", "a: \"\\x4\"", "a: 'b' c", "a: [b] c",
                "a: @b", "a: `b`", "a: %b", "a: *b", "a: & b", "a\nb: c", "a: b\nc", "a:\n  b: c\n d: e",
                "a:\n\tb: c", "-\ta", "a: b\n---\nc: d", "a: b\n...\nc", "a: > b",
                "a: |\n  b\n c", "\xff", "a: \x01", "a: \x7f", "a: b\xef\xbb\xbf", "a: \"b\n---\nc\"",
                "a: [b\n---\n]", "? ", "a: b\n  c: d", "[a\n: b]", "a: {b: c]}",
        };

        for (size_t i = 0; i < COUNT(bad); i++)
                CHECK_ROW(!parses(bad[i]), bad[i]);
}

TEST(what_is_not_for_this_reader_is_told_apart)
{
        static const char *const beyond[] = {
                "a: &b c", "a: &b c\nd: *b", "a: !!str b", "!t {}", "%YAML 1.1\n---\na: b", "? a\n: b",
                "{[a]: b}", "[a]: b", "a: b\rc: d", "a: \xe2\x80\xa8", "a: \xc2\x85",
        };
        static char deep[2 * YAML_DEPTH + 2], many[3 * YAML_NODES + 3];

        for (size_t i = 0; i < COUNT(beyond); i++)
                CHECK_ROW(!parses(beyond[i]) && doc.beyond, beyond[i]);
        memset(deep, '[', YAML_DEPTH + 1);
        CHECK(!parses(deep) && doc.beyond);
        deep[YAML_DEPTH - 1] = '\0';
        memset(deep + YAML_DEPTH - 1, ']', YAML_DEPTH - 1);
        CHECK(parses(deep));
        for (size_t i = 0; i < sizeof(many) - 3; i += 3)
                memcpy(many + i, "- \n", 3);
        CHECK(!parses(many) && doc.beyond);
}

struct claim {
        const char *text, *name, *description, *brief; /* NULL description: no skill */
};

static bool holds(const struct buf *b, const char *want)
{
        return b->len == strlen(want) && (!b->len || !memcmp(buf_at(b), want, b->len));
}

TEST(a_skill_says_who_it_is)
{
        static const struct claim claims[] = {
                { "---\nname: a  b\ndescription: c\n---\n", "a b", "c", "" },
                { " --- \r\ndescription: >-\r\n  c\r\n  d\r\n---", "folder", "c d", "" },
                { "---\nname: ''\ndescription: c\nmetadata:\n  short-description: 5\n---\n", "folder", "c", "5" },
                { "---\nname: 1\ndescription: c\nmetadata:\nx: [y]\n---\n", "1", "c", "" },
                { "---\ndescription: a: b # c\n---\n", "folder", "a: b", "" },
                { "---\ndescription: it's [a: b\nhint: [x | y] [z]\n---\n", "folder", "it's [a: b", "" },
                { "---\ndescription: **A**: b\n---\n", "folder", "**A**: b", "" },
                { "---\nname: {x: 1}\ndescription: c\n---\n", "{x: 1}", "c", "" },
                { "---\ndescription: |\n  a: b\n  [c\nx: y: z\n---\n", "folder", "a: b [c", "" },
                { "name: a\ndescription: b\n", 0, 0, 0 }, { "---\n---\n", 0, 0, 0 },
                { "---\nname: a\n---\n", 0, 0, 0 }, { "---\ndescription: a\n", 0, 0, 0 },
                { "---\ndescription: ' '\n---\n", 0, 0, 0 }, { "---\ndescription: [a]\n---\n", 0, 0, 0 },
                { "---\ndescription: a\nname: b\nname: c\n---\n", 0, 0, 0 },
                { "---\ndescription: a\nmetadata: b\n---\n", 0, 0, 0 },
                { "---\ndescription: &a b\n---\n", 0, 0, 0 }, { "---\ndescription: !t b: c\n---\n", 0, 0, 0 },
                { "---\ndescription: a: b\n  c\n---\n", 0, 0, 0 }, { "---\ndescription: \"a\": b\n---\n", 0, 0, 0 },
        };

        for (size_t i = 0; i < COUNT(claims); i++) {
                const struct claim *c = &claims[i];
                struct skill s;
                bool good = skill_read(&doc, at_page_end(c->text, strlen(c->text)),
                                       strlen(c->text), "folder", &s);

                CHECK_ROW(good == (c->description != NULL), c->text);
                CHECK_ROW(!good || (holds(&s.name, c->name) && holds(&s.description, c->description) &&
                                    holds(&s.brief, c->brief)), c->text);
                skill_free(&s);
        }
}

TEST(a_name_has_64_characters)
{
        char text[256];
        struct skill s;

        for (size_t n = 64; n <= 65; n++) {
                struct buf b = { 0 };

                buf_str(&b, "---\ndescription: d\nname: ");
                for (size_t i = 0; i < n; i++)
                        buf_str(&b, "\xc3\xa9");
                buf_str(&b, "\n---\n");
                memcpy(text, buf_at(&b), b.len);
                CHECK(skill_read(&doc, text, b.len, "f", &s) == (n == 64));
                skill_free(&s);
                buf_free(&b);
        }
}

TEST(what_stands_beside_it_is_policy_and_dependencies)
{
        static const struct {
                const char *text, *dependencies, *policy;
        } cases[] = {
                { "", "null", "null" }, { "policy: {}", "null", "{\"allowImplicitInvocation\":null,\"products\":[]}" },
                { "policy:\n  allow_implicit_invocation: False\n  products: [CODEX, 'atlas']\n", "null",
                  "{\"allowImplicitInvocation\":false,\"products\":[\"codex\",\"atlas\"]}" },
                { "dependencies:\n  tools:\n  - type: mcp\n    value: v  w\n    oauth: {callbackPort: 8}\n  - type: x\n",
                  "{\"tools\":[{\"type\":\"mcp\",\"value\":\"v w\",\"description\":null,\"transport\":null,"
                  "\"command\":null,\"url\":null,\"oauthCallbackPort\":8}]}", "null" },
                { "policy: {allow_implicit_invocation: 'true'}", "null", "null" },
                { "policy: {products: [Codex]}", "null", "null" },
                { "policy: {}\npolicy: {}", "null", "null" },
                { "policy: {}\ninterface: {display_name: [a]}", "null", "null" },
                { "policy: {}\ndependencies: {tools: [{type: a, value: b, oauth: {callback_port: 65536}}]}",
                  "null", "null" },
        };

        for (size_t i = 0; i < COUNT(cases); i++) {
                struct buf dependencies = { 0 }, policy = { 0 };

                CHECK_ROW(skill_read_about(&doc, cases[i].text, strlen(cases[i].text), &dependencies, &policy),
                          cases[i].text);
                CHECK_ROW(holds(&dependencies, cases[i].dependencies), cases[i].text);
                CHECK_ROW(holds(&policy, cases[i].policy), cases[i].text);
                buf_free(&dependencies);
                buf_free(&policy);
        }
}

TEST(the_later_version_is_the_greater_one)
{
        static const char *const up[] = { "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-a", "1.0.0-a.1",
                                          "1.0.0-b", "1.0.0", "1.0.0+2", "1.0.0+10", "1.9.0", "1.10.0",
                                          "10.0.0", "2", "abc", "local" };

        for (size_t i = 0; i + 1 < COUNT(up); i++) {
                CHECK_ROW(semver_compare(up[i], up[i + 1]) < 0, up[i]);
                CHECK_ROW(semver_compare(up[i + 1], up[i]) > 0, up[i]);
                CHECK_ROW(semver_compare(up[i], up[i]) == 0, up[i]);
        }
        CHECK(semver_compare("01.0.0", "1.0.0") < 0); /* not a version: by its bytes */
}
