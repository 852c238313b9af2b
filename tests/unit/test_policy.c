/* tests/unit/test_policy.c - what a text lets through, and what it does not. */
#include "netfilter/policy.h"

#include "agent/environments.h"
#include "init/policy_text.h"
#include "netfilter/preset.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t arena[POLICY_ARENA / 8];
static struct policy p;

static enum policy_status load(const char *text, struct policy_error *e)
{
        memset(arena, 0xa5, sizeof(arena)); /* the parser is not to rely on zeros */
        return policy_parse(&p, arena, sizeof(arena), at_page_end(text, strlen(text)),
                            strlen(text), e);
}

static bool loads(const char *text)
{
        struct policy_error e = { 0 };
        enum policy_status s = load(text, &e);

        if (s)
                unit_failed(__FILE__, (int)e.line, e.expected);
        return !s;
}

static struct policy_verdict ask(const char *host, uint16_t port)
{
        struct host h;

        if (host_parse(&h, host, strlen(host)))
                return (struct policy_verdict){ .reason = POLICY_DENY_NAME };
        return policy_host(&p, &h, port);
}

static enum policy_reason resolved(const char *host, uint16_t port, const char *address)
{
        struct policy_verdict v = ask(host, port);
        struct address a;

        CHECK_ROW(!address_parse(&a, address, strlen(address)), address);
        return v.reason ? v.reason : policy_address(&p, &v, &a);
}

static struct policy_request_verdict req(const char *host, uint16_t port, const char *method,
                                         const char *path)
{
        struct policy_verdict v = ask(host, port);
        const char *q = strchr(path, '?');
        size_t n = q ? (size_t)(q - path) : strlen(path);

        return policy_request(&p, &v, method, strlen(method), path, n, q ? q + 1 : NULL,
                              q ? strlen(q + 1) : 0);
}

static enum policy_reason request(const char *host, uint16_t port, const char *method,
                                  const char *path)
{
        return req(host, port, method, path).reason;
}

struct row {
        const char *host;
        uint16_t port;
        enum policy_reason reason;
};

static void check_rows(const struct row *rows, size_t count)
{
        for (size_t i = 0; i < count; i++)
                CHECK_ROW(ask(rows[i].host, rows[i].port).reason == rows[i].reason, rows[i].host);
}

TEST(nothing_is_allowed_before_a_text_was_read_or_after_a_wrong_one)
{
        struct policy_error e;

        policy_init(&p);
        CHECK(ask("a.org", 443).reason == POLICY_DENY_OFF);
        CHECK(loads("mode full\n") && !ask("a.org", 443).reason);
        CHECK(load("mode full\nallow a b\n", &e) == POLICY_WRONG && e.line == 2);
        CHECK(ask("a.org", 443).reason == POLICY_DENY_OFF);
        CHECK(resolved("a.org", 443, "8.8.8.8") == POLICY_DENY_OFF);
        CHECK(request("a.org", 443, "GET", "/") == POLICY_DENY_OFF);
}

TEST(an_empty_list_is_no_permission)
{
        CHECK(loads("mode limited\n"));
        CHECK(ask("a.org", 443).reason == POLICY_DENY_NOT_ALLOWED); /* A9 */
        CHECK(loads("mode off\npreset all\nallow a.org\nrule host=b.org\n"));
        CHECK(ask("a.org", 443).reason == POLICY_DENY_OFF && ask("b.org", 443).reason);
}

TEST(a_pattern_means_what_it_says)
{
        static const struct row rows[] = {
                { "a.org", 443, POLICY_ALLOWED },
                { "A.ORG.", 443, POLICY_ALLOWED },                     /* A2 */
                { "x.y.a.org", 80, POLICY_ALLOWED },
                { "evila.org", 443, POLICY_DENY_NOT_ALLOWED },         /* A4 */
                { "a.org.evil.com", 443, POLICY_DENY_NOT_ALLOWED },    /* A4 */
                { "aXorg.com", 443, POLICY_DENY_NOT_ALLOWED },         /* A14 */
                { "org", 443, POLICY_DENY_NOT_ALLOWED },
                { "a.org", 22, POLICY_DENY_PORT },                     /* E2 */
                { "a.org", 0, POLICY_DENY_PORT },
                { "b.org", 443, POLICY_DENY_NOT_ALLOWED },             /* *.b.org */
                { "x.b.org", 443, POLICY_ALLOWED },
                { "x.y.b.org", 443, POLICY_ALLOWED },
                { "xn--bcher-kva.example", 443, POLICY_ALLOWED },      /* A8 */
                { "b\xc3\xbc" "cher.example", 443, POLICY_ALLOWED },
                { "8.8.8.8", 443, POLICY_DENY_LITERAL },               /* E1 */
                { "9.9.9.9", 443, POLICY_ALLOWED },
                { "9.9.9.10", 443, POLICY_DENY_LITERAL },
                { "2606:4700::1111", 443, POLICY_ALLOWED },
                { "0x9090909", 443, POLICY_DENY_NAME },                /* A5 */
                { "9.9.2313", 443, POLICY_DENY_NAME },
                { "::ffff:9.9.9.9", 443, POLICY_DENY_NAME },
                { "a.org\xe3\x80\x82", 443, POLICY_DENY_NAME },
                { "secret.a.org", 443, POLICY_DENY_DENIED },
                { "x.secret.a.org", 443, POLICY_DENY_DENIED },
                { "d.org", 443, POLICY_DENY_NOT_ALLOWED },
                { "x.d.org", 443, POLICY_DENY_DENIED },
        };

        CHECK(loads("# a comment\n\nmode limited\npreset none\nallow A.org\nallow *.b.org\n"
                    "allow b%C3%BCcher.example\nallow 9.9.9.9\nallow 2606:4700::/32\n"
                    "deny secret.a.org\ndeny *.d.org\n"));
        check_rows(rows, COUNT(rows));
}

TEST(deny_wins_over_everything)
{
        static const struct row rows[] = {
                { "a.org", 443, POLICY_DENY_DENIED },
                { "x.a.org", 443, POLICY_DENY_DENIED },
                { "1.2.3.4", 443, POLICY_DENY_DENIED },
                { "64:ff9b::102:304", 443, POLICY_DENY_DENIED },
                { "b.org", 443, POLICY_ALLOWED },
        };

        CHECK(loads("mode full\nallow x.a.org\nrule host=a.org\nrule host=1.2.3.4\n"
                    "deny a.org\ndeny 1.2.3.0/24\n"));
        check_rows(rows, COUNT(rows));
        CHECK(resolved("b.org", 443, "1.2.3.4") == POLICY_DENY_DENIED);
        CHECK(resolved("b.org", 443, "64:ff9b::102:304") == POLICY_DENY_DENIED);
        CHECK(resolved("b.org", 443, "1.2.4.4") == POLICY_ALLOWED);
}

TEST(special_ranges_are_refused_in_every_mode_unless_named)
{
        static const char *const special[] = {
                "127.0.0.1", "10.1.2.3", "169.254.169.254", "100.100.100.200", "168.63.129.16",
                "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
                "198.18.0.1", "::1", "fe80::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe",
                "2002:a00:1::", "ff02::1", "::a00:1",
        };

        for (size_t i = 0; i < COUNT(special); i++) {
                CHECK(loads("mode full\nallow 0.0.0.0/0\nallow ::/0\n"));
                CHECK_ROW(resolved("a.org", 443, special[i]) == POLICY_DENY_ADDRESS, special[i]);
                CHECK_ROW(ask(special[i], 443).reason == POLICY_DENY_ADDRESS, special[i]);
                CHECK(loads("mode limited\npreset all\nallow a.org\n"));
                CHECK_ROW(resolved("a.org", 443, special[i]) == POLICY_DENY_ADDRESS, special[i]);
                CHECK_ROW(ask(special[i], 443).reason == POLICY_DENY_LITERAL, special[i]);
        }
        CHECK(loads("mode limited\nallow a.org\nallow 10.0.0.0/8\nrule host=127.0.0.1 ports=5432\n"
                    "rule host=db.org ports=5432\n"));
        CHECK(resolved("a.org", 443, "10.1.2.3") == POLICY_ALLOWED);
        CHECK(!ask("10.1.2.3", 443).reason && ask("10.1.2.3", 22).reason == POLICY_DENY_PORT);
        CHECK(!ask("127.0.0.1", 5432).reason && ask("127.0.0.1", 443).reason == POLICY_DENY_PORT);
        CHECK(resolved("a.org", 443, "127.0.0.1") == POLICY_DENY_ADDRESS);
        CHECK(resolved("db.org", 5432, "127.0.0.1") == POLICY_ALLOWED);
        CHECK(resolved("db.org", 5432, "10.1.2.3") == POLICY_DENY_ADDRESS);
        CHECK(resolved("a.org", 443, "64:ff9b::a01:203") == POLICY_DENY_ADDRESS);
}

TEST(full_lets_through_any_public_host_and_port)
{
        struct policy_verdict v;

        CHECK(loads("mode full\nrule host=a.org methods=GET\n"));
        v = ask("b.org", 8080);
        CHECK(!v.reason && v.raw && !v.needs_inspection && !v.named && v.rule == -1);
        v = ask("b.org", 443);
        CHECK(!v.reason && !v.raw && !v.needs_inspection);
        v = ask("a.org", 443);
        CHECK(!v.reason && v.needs_inspection && v.rule == 0 && v.named);
        CHECK(!ask("8.8.8.8", 53).reason);
        CHECK(loads("mode full\nmethods GET,HEAD\n"));
        CHECK(ask("b.org", 443).needs_inspection && !ask("b.org", 8080).needs_inspection);
        CHECK(request("b.org", 443, "POST", "/") == POLICY_DENY_METHOD);
}

TEST(preset_all_means_names_on_the_web_ports)
{
        CHECK(loads("mode limited\npreset all\ndeny evil.org\nrule host=git.org ports=22\n"));
        CHECK(!ask("a.org", 443).reason && ask("a.org", 22).reason == POLICY_DENY_NOT_ALLOWED);
        CHECK(ask("evil.org", 443).reason == POLICY_DENY_DENIED);
        CHECK(!ask("git.org", 22).reason && !ask("git.org", 443).reason);
        CHECK(ask("8.8.8.8", 443).reason == POLICY_DENY_LITERAL);
}

TEST(the_most_specific_pattern_decides_alone)
{
        static const struct row rows[] = {
                { "a.org", 443, POLICY_ALLOWED },      /* the allow beside the rule */
                { "a.org", 22, POLICY_ALLOWED },       /* the rule adds a port */
                { "api.a.org", 443, POLICY_ALLOWED },
                { "api.a.org", 80, POLICY_DENY_PORT }, /* the narrower rule hides the allow */
                { "api.a.org", 22, POLICY_DENY_PORT },
                { "x.a.org", 22, POLICY_ALLOWED },
                { "x.api.a.org", 443, POLICY_ALLOWED },
                { "db.b.org", 5432, POLICY_ALLOWED },
                { "db.b.org", 443, POLICY_DENY_PORT },
                { "b.org", 5432, POLICY_DENY_NOT_ALLOWED },
                { "10.1.2.3", 22, POLICY_ALLOWED },
                { "10.1.2.4", 22, POLICY_DENY_PORT },
        };

        CHECK(loads("mode limited\nallow a.org\nrule host=a.org ports=22\n"
                    "rule host=api.a.org ports=443 paths=/v1/*\nrule host=*.b.org ports=5432\n"
                    "rule host=10.1.0.0/16 ports=23\nrule host=10.1.2.3 ports=22\n"));
        check_rows(rows, COUNT(rows));
        CHECK(ask("a.org", 22).raw && !ask("a.org", 443).raw);
        CHECK(ask("api.a.org", 443).needs_inspection && ask("api.a.org", 443).rule == 1);
        CHECK(!ask("x.a.org", 443).needs_inspection);
}

TEST(rules_of_one_host_are_asked_in_order)
{
        CHECK(loads("mode limited\n"
                    "rule host=a.org methods=GET paths=/r/* name=read\n"
                    "rule host=a.org methods=POST paths=/w,/x%2Cy inject=Authorization "
                    "value=Bearer%20%24%7BT%7D\n"
                    "rule host=*.a.org paths=/sub\n"));
        CHECK(req("a.org", 443, "GET", "/r/1").rule == 0 && !request("a.org", 443, "GET", "/r/1"));
        CHECK(req("a.org", 443, "POST", "/w?q").rule == 1);
        CHECK(!request("a.org", 443, "POST", "/w?q"));
        CHECK(!request("a.org", 80, "POST", "/x,y"));
        CHECK(request("a.org", 443, "POST", "/r/1") == POLICY_DENY_METHOD);
        CHECK(request("a.org", 443, "GET", "/w") == POLICY_DENY_PATH);
        CHECK(request("a.org", 443, "get", "/r/1") == POLICY_DENY_METHOD); /* E9 */
        CHECK(ask("a.org", 443).injects && !strcmp(p.rules[1].value, "Bearer ${T}"));
        CHECK(req("x.a.org", 443, "PUT", "/sub").rule == 2); /* *.d before d */
        CHECK(req("x.a.org", 443, "GET", "/r/1").rule == 0);
        CHECK(!ask("x.b.org", 443).injects);
        CHECK(req("a.org", 443, "GET", "/r/1").methods_limited);
}

TEST(a_method_list_binds_the_web_ports_unless_a_rule_says_otherwise)
{
        CHECK(loads("mode limited\nmethods GET,HEAD,OPTIONS\nallow a.org\n"
                    "rule host=b.org methods=POST\nrule host=c.org ports=22\n"
                    "rule host=d.org raw=1\nrule host=e.org ports=8080 methods=GET\n"));
        CHECK(ask("a.org", 443).needs_inspection && !request("a.org", 443, "HEAD", "/"));
        CHECK(request("a.org", 443, "PUT", "/") == POLICY_DENY_METHOD);
        CHECK(request("a.org", 443, "GETX", "/") == POLICY_DENY_METHOD);
        CHECK(request("a.org", 443, "GE", "/") == POLICY_DENY_METHOD);
        CHECK(request("a.org", 443, "", "/") == POLICY_DENY_METHOD);
        CHECK(!request("b.org", 443, "POST", "/") && request("b.org", 443, "GET", "/"));
        CHECK(!ask("c.org", 22).needs_inspection && ask("c.org", 22).raw);
        CHECK(!ask("d.org", 443).needs_inspection && ask("d.org", 443).raw);
        CHECK(ask("e.org", 8080).needs_inspection && !ask("e.org", 8080).raw);
}

TEST(git_read_lets_fetch_through_and_nothing_be_pushed)
{
        static const struct {
                const char *method, *path;
                enum policy_reason reason;
        } rows[] = {
                { "GET", "/a/b.git/info/refs?service=git-upload-pack", POLICY_ALLOWED },
                { "POST", "/a/b.git/git-upload-pack", POLICY_ALLOWED },
                { "POST", "/a/b.git/info/lfs/objects/batch", POLICY_ALLOWED },
                { "GET", "/a/b/archive/main.tar.gz", POLICY_ALLOWED },
                { "GET", "/a/b.git/HEAD", POLICY_ALLOWED },
                { "GET", "/a/b.git/info/refs", POLICY_ALLOWED },
                { "GET", "/a/b.git/info/refs?service=git-receive-pack", POLICY_DENY_GIT },
                { "POST", "/a/b.git/git-receive-pack", POLICY_DENY_GIT },
                { "POST", "/a/b.git/git%2Dreceive-pack", POLICY_DENY_GIT },
                { "POST", "/a/b.git/git-receive-pack?x", POLICY_DENY_GIT },
                { "POST", "/a/b.git/./git-receive-pack", POLICY_DENY_PATH },
                { "POST", "/a/b.git//git-receive-pack", POLICY_DENY_PATH },
                { "POST", "/a/b.git/git-receive-pack%00", POLICY_DENY_PATH },
                { "GET", "/a/b.git/info/refs?service=git-receive%2dpack", POLICY_DENY_GIT },
                { "POST", "/a/b/issues", POLICY_DENY_METHOD },
                { "POST", "/other/c.git/git-upload-pack", POLICY_DENY_PATH },
        };

        CHECK(loads("mode limited\nrule host=g.org git=read paths=/a/*\n"
                    "rule host=p.org git=push branch=airlock/*\n"));
        CHECK(ask("g.org", 443).needs_inspection);
        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(request("g.org", 443, rows[i].method, rows[i].path) == rows[i].reason,
                          rows[i].path);
        CHECK(req("p.org", 443, "POST", "/a/git-receive-pack").check_refs);
        CHECK(!request("p.org", 443, "GET", "/a/info/refs?service=git-receive-pack"));
        CHECK(!req("p.org", 443, "POST", "/a/git-upload-pack").check_refs);
        CHECK(request("p.org", 443, "POST", "/a/git-receive-pack/") == POLICY_DENY_GIT);
        CHECK(!strcmp(p.rules[1].branch, "airlock/*"));
}

TEST(a_path_has_one_normal_form_or_none)
{
        static const struct {
                const char *path, *normal; /* NULL: refused */
        } rows[] = {
                { "/", "/" },
                { "/a/b/", "/a/b/" },
                { "/%61%2D%7e", "/a-~" },
                { "/a%20b%c3%a9", "/a%20b%C3%A9" },
                { "/\xc3\xa9", "/%C3%A9" },
                { "/a%25b", "/a%25b" },
                { "/a%2541", "/a%2541" },
                { "/...", "/..." },
                { "/.a/..b", "/.a/..b" },
                { "/a;b=.", "/a;b=." },
                { "", NULL },
                { "a", NULL },
                { "/..", NULL },
                { "/a/../b", NULL },
                { "/./b", NULL },
                { "/a/.", NULL },
                { "/%2e%2E/b", NULL },
                { "/.%2e", NULL },
                { "/..;/b", NULL },
                { "/a/..;x=y", NULL },
                { "/..%3bx/b", NULL },
                { "//a", NULL },
                { "/a//b", NULL },
                { "/a//", NULL },
                { "/a\\b", NULL },
                { "/a%5cb", NULL },
                { "/a%2fb", NULL },
                { "/a%2Fb", NULL },
                { "/a%00", NULL },
                { "/a%0a", NULL },
                { "/a%7f", NULL },
                { "/a%", NULL },
                { "/a%2", NULL },
                { "/a%zz", NULL },
                { "/%252e%252e/", NULL },
                { "/%252f", NULL },
                { "/%25252e", NULL },
                { "/%252%65/", NULL },
                { "/%25%32e/", NULL },
                { "/%c0%af", NULL },
                { "/\xc0\xae", NULL },
                { "/a b", NULL },
                { "/a?b", NULL },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char out[POLICY_PATH_MAX];
                size_t n = strlen(rows[i].path);
                size_t len = 0;
                bool ok = policy_path(out, &len, at_page_end(rows[i].path, n), n);

                CHECK_ROW(ok == !!rows[i].normal, rows[i].path);
                CHECK_ROW(!ok || (!strcmp(out, rows[i].normal) && len == strlen(out)),
                          rows[i].path);
        }
}

TEST(a_path_glob_is_brought_to_the_same_form)
{
        CHECK(loads("mode limited\nrule host=a.org paths=/%C3%A9%20x/*,/%2561%257e,/q/?\n"));
        CHECK(!request("a.org", 443, "GET", "/%c3%a9%20x/1"));
        CHECK(!request("a.org", 443, "GET", "/a~") && !request("a.org", 443, "GET", "/%61~"));
        CHECK(!request("a.org", 443, "GET", "/q/z"));
        CHECK(request("a.org", 443, "GET", "/q/") == POLICY_DENY_PATH);
        CHECK(request("a.org", 443, "GET", "/q/zz") == POLICY_DENY_PATH);
}

TEST(the_first_wrong_line_refuses_the_text)
{
        static const struct {
                const char *text;
                unsigned line;
        } rows[] = {
                { "", 0 },
                { "allow a.org\n", 0 },
                { "mode limited\nmode full\n", 2 },
                { "mode limitd\n", 1 },
                { "mode  limited\n", 1 },
                { "mode limited \n", 1 },
                { "mode limited\r\n", 1 },
                { " mode limited\n", 1 },
                { "mode\n", 1 },
                { "mode limited\nallow\n", 2 },
                { "mode limited\nallow \n", 2 },
                { "mode limited\nallow a.org b.org\n", 2 },
                { "mode limited\nallow a%0aorg\n", 2 },
                { "mode limited\nallow a%00.org\n", 2 },
                { "mode limited\nallow a+b\n", 2 },
                { "mode limited\nallow %zz\n", 2 },
                { "mode limited\nallow *\n", 2 },
                { "mode limited\nallow *.*.org\n", 2 },
                { "mode limited\nallow a.*.org\n", 2 },
                { "mode limited\nallow *.1.2.3.4\n", 2 },
                { "mode limited\nallow 127.1\n", 2 },
                { "mode limited\nallow 10.0.0.1/8\n", 2 },
                { "mode limited\nallow ::FFFF\n", 2 },
                { "mode limited\nallow a.org:443\n", 2 },
                { "mode limited\npreset some\n", 2 },
                { "mode limited\npreset all\npreset all\n", 3 },
                { "mode limited\nmethods get\n", 2 },
                { "mode limited\nmethods GET,\n", 2 },
                { "mode limited\nmethods GET\nmethods GET\n", 3 },
                { "mode limited\nallowed a.org\n", 2 },
                { "mode limited\nrule\n", 2 },
                { "mode limited\nrule ports=1\n", 2 },
                { "mode limited\nrule host=a.org host=b.org\n", 2 },
                { "mode limited\nrule host=a.org  ports=1\n", 2 },
                { "mode limited\nrule host=a.org ports=0\n", 2 },
                { "mode limited\nrule host=a.org ports=65536\n", 2 },
                { "mode limited\nrule host=a.org ports=022\n", 2 },
                { "mode limited\nrule host=a.org ports=22,\n", 2 },
                { "mode limited\nrule host=a.org ports=\n", 2 },
                { "mode limited\nrule host=a.org paths=a\n", 2 },
                { "mode limited\nrule host=a.org paths=/%25\n", 2 },
                { "mode limited\nrule host=a.org git=write\n", 2 },
                { "mode limited\nrule host=a.org git=read branch=x\n", 2 },
                { "mode limited\nrule host=a.org inject=X\n", 2 },
                { "mode limited\nrule host=a.org value=X\n", 2 },
                { "mode limited\nrule host=a.org inject=X%20Y value=Z\n", 2 },
                { "mode limited\nrule host=a.org inject=X value=%24%7BA\n", 2 },
                { "mode limited\nrule host=a.org inject=X value=%24%7B1%7D\n", 2 },
                { "mode limited\nrule host=a.org inject=X value=a%0D%0AY%3A\n", 2 },
                { "mode limited\nrule host=a.org raw=0\n", 2 },
                { "mode limited\nrule host=a.org raw=1 methods=GET\n", 2 },
                { "mode limited\nrule host=a.org colour=red\n", 2 },
                { "mode limited\nrule host=a.org raw\n", 2 },
                { "mode limited\nupstream https://a:1\n", 2 },
                { "mode limited\nupstream http://a:x\n", 2 },
                { "mode limited\nupstream http://a/b\n", 2 },
                { "mode limited\nupstream http://u%40a:1\n", 2 },
                { "mode limited\nupstream-auth A-B\n", 2 },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct policy_error e = { .line = 99 };

                CHECK_ROW(load(rows[i].text, &e) == POLICY_WRONG, rows[i].text);
                CHECK_ROW(e.line == rows[i].line && e.expected, rows[i].text);
                CHECK_ROW(ask("a.org", 443).reason == POLICY_DENY_OFF, rows[i].text);
        }
}

TEST(an_upstream_proxy_is_read_with_its_port)
{
        CHECK(loads("mode full\nupstream http://Proxy:8080/\nupstream-auth PROXY_KEY"));
        CHECK(!strcmp(p.upstream.name.text, "proxy") && p.upstream_port == 8080);
        CHECK(!strcmp(p.upstream_auth, "PROXY_KEY"));
        CHECK(loads("mode full\nupstream http://[fd00::1]:3128\n") && p.upstream.literal);
        CHECK(loads("mode full\nupstream http://10.0.0.1\n") && p.upstream_port == 80);
}

TEST(the_preset_is_in_normal_form_and_lets_its_hosts_through)
{
        size_t count = 0;
        struct name n;

        for (const char *s = preset_common; *s; s += strcspn(s, "\n") + 1) {
                size_t len = strcspn(s, "\n");

                CHECK(s[len] == '\n' && !name_parse(&n, s, len));
                CHECK_ROW(n.len == len && !memcmp(n.text, s, len), n.text);
                count++;
        }
        CHECK(count >= 71 + 8);
        CHECK(loads("mode limited\npreset common-dependencies\ndeny evil.github.com\n"));
        CHECK(!ask("github.com", 443).reason && !ask("deb.debian.org", 80).reason);
        CHECK(!ask("static.rust-lang.org", 443).reason);
        CHECK(ask("evil.github.com", 443).reason == POLICY_DENY_DENIED);
        CHECK(ask("github.com", 22).reason == POLICY_DENY_PORT);
        CHECK(ask("notgithub.com", 443).reason == POLICY_DENY_NOT_ALLOWED);
}

TEST(names_that_may_be_resolved_are_those_with_some_port)
{
        static const struct {
                const char *name;
                enum policy_reason reason;
        } rows[] = {
                { "a.org", POLICY_ALLOWED },          { "db.org", POLICY_ALLOWED },
                { "evil.org", POLICY_DENY_NOT_ALLOWED }, { "x.a.org", POLICY_DENY_DENIED },
                { "only.deny.org", POLICY_DENY_DENIED },
        };
        struct name n;

        CHECK(loads("mode limited\nallow a.org\nrule host=db.org ports=5432\ndeny x.a.org\n"
                    "deny deny.org\n"));
        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK(!name_parse(&n, rows[i].name, strlen(rows[i].name)));
                CHECK_ROW(policy_name(&p, &n) == rows[i].reason, rows[i].name);
        }
        CHECK(loads("mode full\n") && !policy_name(&p, &n));
        CHECK(loads("mode off\n") && policy_name(&p, &n) == POLICY_DENY_OFF);
}

TEST(tables_that_are_full_refuse_the_text)
{
        static char text[POLICY_TEXT_MAX + 64];
        struct policy_error e;
        struct wr w = wr_of(text, sizeof(text) - 1);

        wr_str(&w, "mode limited\n");
        for (unsigned i = 0; i < POLICY_PATTERNS; i++)
                wr_fmt(&w, "allow h%u.org\n", i);
        CHECK(loads(wr_cstr(&w)) && !ask("h4095.org", 443).reason && ask("h4096.org", 443).reason);
        wr_str(&w, "allow one.more\n");
        CHECK(load(wr_cstr(&w), &e) == POLICY_LARGE && e.line == POLICY_PATTERNS + 2);
        w = wr_of(text, sizeof(text) - 1);
        wr_str(&w, "mode limited\n");
        for (unsigned i = 0; i < POLICY_RULES; i++)
                wr_fmt(&w, "rule host=h.org ports=%u\n", i + 1);
        CHECK(loads(wr_cstr(&w)) && ask("h.org", 1024).rule == 1023);
        wr_str(&w, "rule host=h.org\n");
        CHECK(load(wr_cstr(&w), &e) == POLICY_LARGE);
        w = wr_of(text, sizeof(text) - 1);
        wr_str(&w, "mode limited\n");
        for (unsigned i = 0; i < POLICY_CIDRS; i++)
                wr_fmt(&w, "allow 8.8.%u.%u\n", i / 256, i % 256);
        CHECK(loads(wr_cstr(&w)));
        wr_str(&w, "allow 9.9.9.9\n");
        CHECK(load(wr_cstr(&w), &e) == POLICY_LARGE);
        memset(text, '#', sizeof(text));
        CHECK(policy_parse(&p, arena, sizeof(arena), text, sizeof(text), &e) == POLICY_LARGE);
        CHECK(policy_parse(&p, arena, 1000, "mode full", 9, &e) == POLICY_LARGE);
}

TEST(a_denial_is_explained_in_printable_words)
{
        static const struct {
                enum policy_reason reason;
                uint16_t port;
                const char *part;
        } rows[] = {
                { POLICY_DENY_NOT_ALLOWED, 443, "\"allow\": [\"a.org\"]" },
                { POLICY_DENY_NOT_ALLOWED, 22,
                  "\"rules\": [{\"host\": \"a.org\", \"ports\": [22]}]" },
                { POLICY_DENY_PORT, 22, "\"ports\": [22]" },
                { POLICY_DENY_METHOD, 443, "\"methods\": [\"PO%22%0AST\"]" },
                { POLICY_DENY_PATH, 443, "\"paths\": [\"/x%FF\"]" },
                { POLICY_DENY_GIT, 443, "\"git\": \"push\"" },
                { POLICY_DENY_DENIED, 443, "deny wins" },
        };
        struct host h;

        CHECK(loads("mode limited\n") && !host_parse(&h, "a.org", 5));
        for (unsigned r = 0; r < POLICY_REASONS; r++) {
                char buf[1024];
                struct wr w = wr_of(buf, sizeof(buf));

                policy_explain(&w, &p, (enum policy_reason)r, &h, 8443, "PO\"\nST", 6, "/x\xff", 3);
                CHECK(w.len && !w.full && buf[w.len - 1] == '.');
                for (size_t i = 0; i < w.len; i++)
                        CHECK(buf[i] >= ' ' && buf[i] < 0x7f);
                CHECK(strlen(policy_reason_str((enum policy_reason)r)) > 1);
        }
        for (size_t i = 0; i < COUNT(rows); i++) {
                char buf[1024];
                struct wr w = wr_of(buf, sizeof(buf));

                policy_explain(&w, &p, rows[i].reason, &h, rows[i].port, "PO\"\nST", 6,
                               "/x\xff", 3);
                CHECK_ROW(strstr(wr_cstr(&w), rows[i].part), buf);
        }
}

TEST(a_rule_has_a_name_for_the_journal)
{
        char buf[128];
        struct wr w = wr_of(buf, sizeof(buf));

        CHECK(loads("mode limited\nrule host=*.a.org name=the%20api\nrule host=*.B.org\n"));
        policy_put_rule(&w, &p, 0);
        wr_char(&w, '|');
        policy_put_rule(&w, &p, 1);
        wr_char(&w, '|');
        policy_put_rule(&w, &p, -1);
        CHECK(!strcmp(wr_cstr(&w), "the api|rule 2 *.b.org|-"));
}

/* --- init/policy_text.c: what it writes, this parser reads ------------------------------- */

static const char *text_of(struct wr *w, const char *json, enum policy_text_for phase)
{
        struct spec s;
        struct spec_error e;

        if (spec_open(&s, json, strlen(json), &e)) {
                unit_failed(__FILE__, __LINE__, e.text);
                return "";
        }
        policy_text_put(w, &s, phase);
        spec_close(&s);
        return wr_cstr(w);
}

#define SPEC(repo, network) \
        "{\"version\": 1, \"repo\": {\"url\": \"" repo "\"}, \"setup\": {\"auto\": false}," \
        " \"network\": {" network "}, \"agent\": {\"command\": [\"true\"]}}"

TEST(a_spec_becomes_a_text_that_means_the_same)
{
        static const char json[] = SPEC("https://git.org/a/b.git",
                "\"setup\": \"limited\", \"agent\": \"limited\","
                "\"preset\": \"common-dependencies\","
                "\"allow\": [\"*.x.org\", \"9.9.9.9\"], \"deny\": [\"evil.x.org\"],"
                "\"methods\": [\"GET\", \"HEAD\"],"
                "\"rules\": [{\"host\": \"api.org\", \"methods\": [\"GET\", \"POST\"],"
                " \"paths\": [\"/a,b/*\", \"/c d\"],"
                " \"inject\": {\"header\": \"Authorization\", \"value\": \"Bearer ${T}\"}},"
                " {\"host\": \"ssh.org\", \"ports\": [22, 2222]},"
                " {\"host\": \"push.org\", \"git\": \"push\", \"branch\": \"airlock/*\"},"
                " {\"host\": \"db.org\", \"ports\": [5432], \"raw\": true}],"
                "\"upstream_proxy\": \"http://proxy:8080\","
                "\"upstream_auth\": \"${PROXY_LOGIN}\"");
        char buf[8192];
        struct wr w = wr_of(buf, sizeof(buf));

        CHECK(loads(text_of(&w, json, POLICY_TEXT_AGENT)));
        CHECK(p.mode == POLICY_LIMITED && p.preset == POLICY_PRESET_COMMON && p.rule_count == 4);
        CHECK(!ask("a.x.org", 443).reason && ask("x.org", 443).reason);
        CHECK(ask("evil.x.org", 443).reason == POLICY_DENY_DENIED && !ask("9.9.9.9", 443).reason);
        CHECK(!request("api.org", 443, "POST", "/a,b/c"));
        CHECK(!request("api.org", 443, "GET", "/c%20d"));
        CHECK(!strcmp(p.rules[0].inject, "Authorization"));
        CHECK(!strcmp(p.rules[0].value, "Bearer ${T}"));
        CHECK(!ask("ssh.org", 2222).reason && ask("ssh.org", 443).reason);
        CHECK(p.rules[2].git == POLICY_GIT_PUSH && !strcmp(p.rules[2].branch, "airlock/*"));
        CHECK(p.rules[3].raw && !ask("db.org", 5432).reason);
        CHECK(!strcmp(p.upstream_auth, "PROXY_LOGIN"));
        CHECK(p.upstream_port == 8080 && ask("git.org", 443).reason);
        CHECK(request("github.com", 443, "POST", "/") == POLICY_DENY_METHOD);

        w = wr_of(buf, sizeof(buf));
        CHECK(loads(text_of(&w, json, POLICY_TEXT_SETUP)));
        CHECK(!request("git.org", 443, "POST", "/a/b.git/git-upload-pack"));
        CHECK(request("git.org", 443, "POST", "/a/b.git/git-receive-pack") == POLICY_DENY_GIT);
}

/* What the loop's --environments says, and the policy for its channel in @w. */
static const char *places_of(struct wr *w, const char *json, enum policy_text_for phase)
{
        static char said[4096];
        struct spec s;
        struct spec_error e;
        const char *wrong;

        if (spec_open(&s, json, strlen(json), &e)) {
                unit_failed(__FILE__, __LINE__, e.text);
                return "";
        }
        wrong = spec_model(&s);
        said[0] = '\0';
        for (size_t i = 1; !wrong && i < s.agent.command.count; i++)
                if (!strcmp(s.agent.command.items[i - 1], "--environments"))
                        strncpy(said, s.agent.command.items[i], sizeof(said) - 1);
        policy_text_put(w, &s, phase);
        if (wrong)
                strncpy(said, wrong, sizeof(said) - 1);
        spec_close(&s);
        wr_cstr(w);
        return said;
}

#define PLACES(env, agent) \
        "{\"version\": 1, \"env\": {" env "}, \"prompt\": \"p\", \"agent\": {" agent "}," \
        " \"model\": {\"base_url\": \"https://m.org/v1\", \"name\": \"m\"}}"

TEST(environments_become_the_loop_s_list_and_a_rule_each)
{
        static const char json[] = PLACES("", "\"environments\": {\"default\": \"a\", \"environments\": ["
                "{\"id\": \"a\", \"url\": \" wss://a.org/x \", \"auth_bearer_token\": \"${T}\"},"
                "{\"id\": \"b\", \"url\": \"ws://10.0.0.5:8765\", \"initialize_timeout_sec\": 7},"
                "{\"id\": \"c\", \"program\": \"s\\\"h\", \"args\": [\"-c\", \"\"],"
                " \"env\": {\"A\": \"1\"}, \"cwd\": \"/w\"}]}");
        char buf[8192], error[ENVIRONMENTS_ERROR];
        struct wr w = wr_of(buf, sizeof(buf));
        struct environments e;
        const char *said = places_of(&w, json, POLICY_TEXT_MODEL);

        CHECK(!environments_parse(&e, said, strlen(said), NULL, error));
        CHECK(e.count == 4 && e.default_at == 1 && e.all[0].local);
        CHECK(!strcmp(e.all[1].id, "a") && e.all[1].target.at.tls && !e.all[1].target.token);
        CHECK(e.all[2].target.at.port == 8765 && e.all[2].target.initialize_ms == 7000);
        CHECK(!strcmp(e.all[3].target.argv[0], "s\"h") && !*e.all[3].target.argv[2]);
        environments_close(&e);
        CHECK(!strstr(said, "${T}")); /* a command line is everybody's to read */

        CHECK(loads(buf) && p.rule_count == 3 + 7);
        CHECK(!resolved("m.org", 443, "10.1.2.3") && !resolved("a.org", 443, "::1"));
        CHECK(!resolved("m.org", 443, "fd00::1") && !resolved("a.org", 443, "100.64.1.1"));
        CHECK(resolved("m.org", 443, "169.254.169.254") && resolved("m.org", 443, "fe80::1"));
        CHECK(resolved("m.org", 443, "100.100.100.200") && ask("10.1.2.3", 8765).reason);
        CHECK(!strcmp(p.rules[1].name, "a") && !strcmp(p.rules[1].value, "Bearer ${T}"));
        CHECK(ask("a.org", 443).injects && ask("a.org", 80).reason && ask("a.org", 8765).reason);
        CHECK(!request("a.org", 443, "GET", "/x") && request("a.org", 443, "PUT", "/x"));
        CHECK(ask("10.0.0.5", 8765).raw && !ask("10.0.0.5", 8765).reason);
        CHECK(ask("10.0.0.5", 22).reason && ask("10.0.0.6", 8765).reason);

        w = wr_of(buf, sizeof(buf)); /* and nobody else gets there */
        places_of(&w, json, POLICY_TEXT_AGENT);
        CHECK(loads(buf) && p.rule_count == 0 && p.mode == POLICY_OFF);
}

TEST(the_variable_of_the_spec_means_what_it_means_to_codex)
{
        static const struct {
                const char *json, *said;
        } rows[] = {
                { PLACES("", ""), "" },
                { PLACES("\"CODEX_EXEC_SERVER_URL\": \" \"", ""), "" },
                { PLACES("\"CODEX_EXEC_SERVER_URL\": \" NONE \"", ""),
                  "{\"include_local\":false,\"environments\":[]}" },
                { PLACES("\"CODEX_EXEC_SERVER_URL\": \"ws://h\"", ""),
                  "{\"include_local\":false,\"default\":\"remote\",\"environments\":"
                  "[{\"id\":\"remote\",\"url\":\"ws://h\"}]}" },
                { PLACES("\"CODEX_EXEC_SERVER_URL\": \"none\"", "\"environments\": {}"),
                  "{\"include_local\":true,\"environments\":[]}" },
                { PLACES("\"CODEX_EXEC_SERVER_URL\": \"unix:/x\"", ""),
                  "env.CODEX_EXEC_SERVER_URL: environment url `unix:/x` must use ws:// or wss://" },
        };
        char buf[8192];

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct wr w = wr_of(buf, sizeof(buf));
                const char *said = places_of(&w, rows[i].json, POLICY_TEXT_MODEL);

                CHECK_ROW(!strcmp(said, rows[i].said), said);
        }
}

TEST(the_repository_can_be_fetched_in_provision_and_setup_alone)
{
        static const struct {
                const char *url, *host;
                uint16_t port;
        } rows[] = {
                { SPEC("https://h.org/a.git", "\"setup\": \"off\""), "h.org", 443 },
                { SPEC("https://u:p@h.org:8443/a.git", "\"setup\": \"off\""), "h.org", 8443 },
                { SPEC("http://h.org/a.git", "\"setup\": \"off\""), "h.org", 80 },
                { SPEC("ssh://git@h.org/a.git", "\"setup\": \"off\""), "h.org", 22 },
                { SPEC("ssh://git@h.org:2222/a.git", "\"setup\": \"off\""), "h.org", 2222 },
                { SPEC("git@h.org:a/b.git", "\"setup\": \"off\""), "h.org", 22 },
                { SPEC("git://h.org/a.git", "\"setup\": \"off\""), "h.org", 9418 },
        };
        static const char *const none[] = { "/a/b.bundle", "file:///a/b", "b.bundle", "http:///x",
                                            "ssh://h:0/x", "ssh://h:99999/x", "ssh://h:1x/",
                                            "https://[::1/x", "https://[::1]x/", "ext://x" };
        char buf[8192];

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct wr w = wr_of(buf, sizeof(buf));

                CHECK_ROW(loads(text_of(&w, rows[i].url, POLICY_TEXT_PROVISION)), rows[i].url);
                CHECK_ROW(!ask(rows[i].host, rows[i].port).reason, rows[i].url);
                CHECK_ROW(ask("other.org", rows[i].port).reason, rows[i].url);
                w = wr_of(buf, sizeof(buf));
                CHECK(loads(text_of(&w, rows[i].url, POLICY_TEXT_SETUP)) && p.mode == POLICY_OFF);
                w = wr_of(buf, sizeof(buf));
                CHECK(loads(text_of(&w, rows[i].url, POLICY_TEXT_AGENT)) && p.mode == POLICY_OFF);
        }
        for (size_t i = 0; i < COUNT(none); i++) {
                const char *host;
                size_t len;
                unsigned port;

                CHECK_ROW(!policy_text_repo(none[i], &host, &len, &port), none[i]);
                CHECK(policy_text_repo("ssh://git@[fd00::1]:2222/x", &host, &len, &port));
                CHECK(len == 7 && !memcmp(host, "fd00::1", len) && port == 2222);
        }
}

/* --- init/spec_pull.c ------------------------------------------------------------------------ */

#define PULL_SPEC(url, more, pull)                                                             \
        "{\"version\": 1, \"repo\": {\"url\": \"" url "\"" more "}, \"secrets\": {\"sealed\": \"/s\"}," \
        " \"agent\": {\"command\": [\"true\"]}, \"output\": {\"pull_request\": {\"branch\": \"a/1\"," \
        " \"token\": \"${T}\"" pull "}}}"

/* What is wrong, or NULL with the text for @phase in @w. */
static const char *pull_text(struct wr *w, const char *json, enum policy_text_for phase)
{
        struct spec s;
        struct spec_error e;
        const char *wrong;

        if (spec_open(&s, json, strlen(json), &e)) {
                unit_failed(__FILE__, __LINE__, e.text);
                return "";
        }
        wrong = spec_pull(&s);
        policy_text_put(w, &s, phase);
        CHECK(wrong || s.output.push.count > 12);
        spec_close(&s);
        wr_cstr(w);
        return wrong;
}

TEST(a_push_may_write_one_branch_of_one_repository_and_its_token_is_in_no_other_policy)
{
        static const char json[] = PULL_SPEC("https://github.com/acme/app.git", ", \"ref\": \"main\"", "");
        char buf[8192];
        struct wr w = wr_of(buf, sizeof(buf));

        CHECK(!pull_text(&w, json, POLICY_TEXT_PUSH) && loads(buf));
        CHECK(p.rule_count == 1 && !strcmp(p.rules[0].branch, "refs/heads/a/1"));
        CHECK(!strcmp(p.rules[0].value, "Basic ${base64:x-access-token:T}"));
        CHECK(!request("github.com", 443, "POST", "/acme/app.git/git-receive-pack"));
        CHECK(request("github.com", 443, "POST", "/acme/other.git/git-receive-pack"));
        CHECK(ask("api.github.com", 443).reason || request("api.github.com", 443, "GET",
                                                           "/repos/acme/app/pulls"));
        w = wr_of(buf, sizeof(buf));
        CHECK(!pull_text(&w, json, POLICY_TEXT_FORGE) && loads(buf));
        CHECK(p.rule_count == 1 && !strcmp(p.rules[0].value, "Bearer ${T}"));
        CHECK(!request("api.github.com", 443, "PATCH", "/repos/acme/app/pulls/7"));
        CHECK(!request("api.github.com", 443, "POST", "/repos/acme/app/pulls"));
        CHECK(request("api.github.com", 443, "DELETE", "/repos/acme/app/pulls/7"));
        CHECK(request("api.github.com", 443, "GET", "/repos/acme/app"));
        CHECK(request("api.github.com", 443, "POST", "/repos/acme/app/pullsx"));
        CHECK(ask("github.com", 443).reason);
        for (enum policy_text_for phase = POLICY_TEXT_PROVISION; phase < POLICY_TEXT_PUSH; phase++) {
                w = wr_of(buf, sizeof(buf));
                CHECK(!pull_text(&w, json, phase) && !strstr(buf, "inject"));
        }
}

TEST(what_the_operator_opened_is_open_to_the_push_at_its_port_alone)
{
        static const char json[] =
                "{\"version\": 1, \"repo\": {\"url\": \"https://f.org:8443/a/b.git\"},"
                " \"secrets\": {\"sealed\": \"/s\"}, \"agent\": {\"command\": [\"true\"]},"
                " \"network\": {\"allow\": [\"n.org\", \"fd00::/8\", \"10.0.0.0/8\"], \"rules\": ["
                "  {\"host\": \"172.16.0.0/12\", \"ports\": [8443]}, {\"host\": \"192.168.1.1\"}]},"
                " \"output\": {\"pull_request\": {\"branch\": \"a/1\", \"token\": \"${T}\","
                " \"forge\": \"gitea\"}}}";
        static const enum policy_text_for both[] = { POLICY_TEXT_PUSH, POLICY_TEXT_FORGE };
        char buf[8192];

        for (size_t i = 0; i < COUNT(both); i++) {
                struct wr w = wr_of(buf, sizeof(buf));

                CHECK(!pull_text(&w, json, both[i]) && loads(buf));
                CHECK(p.rule_count == 4 && ask("n.org", 443).reason && ask("10.1.1.1", 443).reason);
                CHECK(!ask("10.1.1.1", 8443).reason && !ask("172.16.0.1", 8443).reason);
                CHECK(ask("192.168.1.1", 8443).reason && !ask("f.org", 8443).reason);
        }
}

TEST(a_pull_request_that_cant_be_made_is_refused_with_the_way_out)
{
        static const struct {
                const char *json, *says;
        } rows[] = {
                { PULL_SPEC("https://codeberg.org/a/b", "", ""), NULL },
                { PULL_SPEC("https://h.org:8443/x/a/.b.git", "", ",\"forge\":\"gitea\""), NULL },
                { PULL_SPEC("https://h.org/b.git", "", ",\"forge\":\"none\""), NULL },
                { PULL_SPEC("git@h.org:a/b.git", "", ",\"url\":\"https://github.com/a/b.git\""), NULL },
                { PULL_SPEC("git@github.com:a/b.git", "", ""), "https" },
                { PULL_SPEC("http://github.com/a/b.git", "", ""), "https" },
                { PULL_SPEC("https://u:p@github.com/a/b.git", "", ""), "https" },
                { PULL_SPEC("https://github.com/a/../b.git", "", ""), "https" },
                { PULL_SPEC("https://github.com/a/./b.git", "", ""), "https" },
                { PULL_SPEC("https://github.com/a/b$(x).git", "", ""), "https" },
                { PULL_SPEC("https://github.com/", "", ""), "https" },
                { PULL_SPEC("https://github.com/b.git", "", ""), "OWNER/NAME" },
                { PULL_SPEC("https://h.org/a/b.git", "", ""), "forge" },
                { PULL_SPEC("https://github.com/a/b", ",\"lfs\":true", ""), "lfs" },
                { PULL_SPEC("https://github.com/a/b", ",\"ref\":\"a/1\"", ""), "branch" },
                { PULL_SPEC("https://github.com/a/b", "", ",\"base\":\"a/1\""), "branch" },
                { PULL_SPEC("https://github.com/a/b", "", ",\"base\":\"$(x)\""), "base" },
                { PULL_SPEC("https://github.com/a/b", "", ",\"author\":\"me\""), "author" },
                { PULL_SPEC("https://github.com/a/b", "", ",\"author\":\"me <a@b> <c@d>\""), "author" },
                { PULL_SPEC("https://github.com/a/b", "", ",\"api\":\"http://x\""), "api" },
        };
        char buf[8192];

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct wr w = wr_of(buf, sizeof(buf));
                const char *wrong = pull_text(&w, rows[i].json, POLICY_TEXT_PUSH);

                CHECK_ROW(rows[i].says ? wrong && strstr(wrong, rows[i].says) : !wrong, rows[i].json);
        }
}

/* How long one takes: POLICY_BENCH=1. The load of the machine decides no test. */
TEST(a_decision_is_the_same_each_time)
{
        struct timespec from, to;
        struct host hit, miss;
        unsigned allowed = 0;
        double ns;

        CHECK(loads("mode limited\npreset common-dependencies\nallow 10.0.0.0/8\n"));
        CHECK(!host_parse(&hit, "a.b.c.d.files.github.com", 24));
        CHECK(!host_parse(&miss, "a.b.c.d.files.example.com", 25));
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (unsigned i = 0; i < 20000; i++)
                allowed += !policy_host(&p, i & 1 ? &hit : &miss, 443).reason;
        clock_gettime(CLOCK_MONOTONIC, &to);
        CHECK(allowed == 10000);
        ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
        if (getenv("POLICY_BENCH")) {
                char buf[64];
                struct wr w = wr_of(buf, sizeof(buf));

                wr_fmt(&w, "policy_host: %u ns\n", (unsigned)(ns / 20000));
                CHECK(write(STDOUT_FILENO, buf, w.len) > 0);
        }
}
