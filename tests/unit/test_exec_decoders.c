/* tests/unit/test_exec_decoders.c - what airlock-exec reads from its clients. */
#include "agent/env_policy.h"
#include "agent/grant.h"
#include "agent/jwt.h"
#include "agent/rpc.h"
#include "agent/upgrade.h"
#include "agent/uri.h"
#include "agent/value.h"
#include "agent/ws.h"
#include "base/base64.h"
#include "tests/unit/unit.h"

#include <string.h>

static enum ws_status frame(const char *bytes, size_t len, struct ws_frame *f)
{
        struct ws w = { 0 };

        return ws_parse(&w, f, at_page_end(bytes, len), len);
}

TEST(a_frame_s_head_is_read_whole_or_not_at_all)
{
        static const char head[] = "\x81\xff\0\0\0\0\0\1\0\0mask";
        struct ws_frame f;

        for (size_t n = 0; n < sizeof(head) - 1; n++)
                CHECK(frame(head, n, &f) == WS_MORE);
        CHECK(frame(head, sizeof(head) - 1, &f) == WS_OK);
        CHECK(f.len == 65536 && f.head_len == 14 && f.fin && f.opcode == WS_TEXT);
        CHECK(!memcmp(f.mask, "mask", 4));
}

TEST(frames_that_break_the_rules_are_named)
{
        static const struct {
                const char *bytes;
                size_t len;
                enum ws_status wanted;
                const char *why;
        } rows[] = {
                { "\xc1\x80mask", 6, WS_RESERVED, "a reserved bit" },
                { "\x83\x80mask", 6, WS_RESERVED, "opcode 3" },
                { "\x8b\x80mask", 6, WS_RESERVED, "opcode 11" },
                { "\x81\x01x", 3, WS_UNMASKED, "no mask" },
                { "\x09\x80mask", 6, WS_CONTROL, "a fragmented ping" },
                { "\x89\xfe\0\x7emask", 8, WS_CONTROL, "a long ping" },
                { "\x80\x80mask", 6, WS_SEQUENCE, "a continuation of nothing" },
                { "\x81\xfe\0\x7dmask", 8, WS_LENGTH, "125 in two bytes" },
                { "\x81\xff\0\0\0\0\0\0\xff\xffmask", 14, WS_LENGTH, "65535 in eight" },
                { "\x81\xff\0\0\0\0\1\0\0\1mask", 14, WS_TOO_LONG, "16 MiB and one" },
                { "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffmask", 14, WS_TOO_LONG, "all bits" },
        };
        struct ws_frame f;

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(frame(rows[i].bytes, rows[i].len, &f) == rows[i].wanted, rows[i].why);
}

TEST(fragments_add_up_to_a_limit)
{
        struct ws w = { 0 };
        struct ws_frame f;

        CHECK(ws_parse(&w, &f, "\x01\xff\0\0\0\0\1\0\0\0mask", 14) == WS_OK && w.open);
        CHECK(ws_parse(&w, &f, "\x81\x80mask", 6) == WS_SEQUENCE);
        CHECK(ws_parse(&w, &f, "\x89\x80mask", 6) == WS_OK && w.open);
        for (int i = 0; i < 3; i++)
                CHECK(ws_parse(&w, &f, "\0\xff\0\0\0\0\1\0\0\0mask", 14) == WS_OK);
        CHECK(w.message_len == WS_MESSAGE_MAX);
        CHECK(ws_parse(&w, &f, "\0\x81mask", 6) == WS_TOO_LONG);
        CHECK(ws_parse(&w, &f, "\x80\x80mask", 6) == WS_OK && !w.open);
}

TEST(unmasking_in_pieces_is_unmasking_whole)
{
        char a[37], b[37];
        const uint8_t mask[4] = { 1, 2, 3, 250 };

        for (size_t cut = 0; cut <= sizeof(a); cut++) {
                for (size_t i = 0; i < sizeof(a); i++)
                        a[i] = b[i] = (char)i;
                ws_unmask(a, sizeof(a), mask, 0);
                ws_unmask(b, cut, mask, 0);
                ws_unmask(b + cut, sizeof(b) - cut, mask, cut);
                CHECK(!memcmp(a, b, sizeof(a)));
        }
}

static bool parses(struct value *v, const char *text)
{
        struct value_error e;
        size_t n = strlen(text);

        return value_parse(v, at_page_end(text, n), n, &e);
}

TEST(the_longest_plain_string_is_found_again_and_no_other_taken_for_it)
{
        char text[600], out[600];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct value v, inner, x;

        wr_str(&w, "{\"short\":\"quite\",\"in\":[{\"long\":\"");
        for (int i = 0; i < 200; i++)
                wr_char(&w, 'x');
        wr_str(&w, "\",\"escaped\":\"");
        for (int i = 0; i < 200; i++)
                wr_char(&w, 'y');
        wr_str(&w, "\\\"\",\"wide\":\"\xc3\xa9\"}],\"last\":1}");
        CHECK(parses(&v, wr_cstr(&w)));
        CHECK(v.plain_end - v.plain_at == 200 && *v.plain_at == 'x' && *v.plain_end == '"');
        x = value_get(&v, "last");
        CHECK(x.type == VALUE_NUMBER && x.len == 1);
        x = value_get(&v, "short");
        CHECK(value_string(&x, out) == 5 && !memcmp(out, "quite", 5));
        x = value_get(&v, "in");
        CHECK(value_count(&x) == 1);
        {
                struct value_iter i = value_items(&x);

                CHECK(value_next(&i, NULL, &inner));
        }
        x = value_get(&inner, "long");
        CHECK(x.at == v.plain_at && x.len == 200 && value_string(&x, out) == 200 && out[199] == 'x');
        x = value_get(&inner, "escaped");
        CHECK(value_string(&x, out) == 201 && out[199] == 'y' && out[200] == '"');
        x = value_get(&inner, "wide");
        CHECK(value_string(&x, out) == 2);
}

TEST(json_is_checked_and_then_walked)
{
        struct value v, x;
        char out[64];
        uint64_t u;
        int64_t i;

        CHECK(parses(&v, " {\"a\": [1, {\"b\":\"]}\\\"\"}], \"\\u0063\":-5 , \"d\":null,\"e\":true} "));
        x = value_get(&v, "c");
        CHECK(value_i64(&x, &i) && i == -5 && !value_u64(&x, &u));
        x = value_get(&v, "a");
        CHECK(x.type == VALUE_ARRAY && value_count(&x) == 2);
        x = value_get(&v, "d");
        CHECK(x.type == VALUE_NULL);
        x = value_get(&v, "e");
        CHECK(value_true(&x));
        CHECK(value_get(&v, "zz").type == VALUE_ABSENT);
        CHECK(parses(&v, "\"\\ud83d\\ude00\\n\\/\\\\\""));
        CHECK(value_string(&v, out) == 7 && !memcmp(out, "\xf0\x9f\x98\x80\n/\\", 7));
        CHECK(parses(&v, "18446744073709551615") && value_u64(&v, &u) && u == UINT64_MAX);
        CHECK(parses(&v, "18446744073709551616") && !value_u64(&v, &u));
        CHECK(parses(&v, "-9223372036854775808") && value_i64(&v, &i) && i == INT64_MIN);
        CHECK(parses(&v, "9223372036854775808") && !value_i64(&v, &i));
}

TEST(what_is_no_json_is_refused)
{
        static const char *const bad[] = {
                "",      "{",      "{}{}",    "[1,]",     "{\"a\"}",  "{\"a\":}", "{a:1}", "01",
                "1.",    "1e",     "-",       "tru",      "\"",       "\"\\x\"",  "\"\n\"", "\"\\ud800\"",
                "[1}",   "{\"a\":1,}", "\"\xff\"", "nul",  "\"\\u12\"", "+1",      "[1 2]", "{\"a\" 1}",
        };
        struct value v;

        for (size_t i = 0; i < COUNT(bad); i++)
                CHECK_ROW(!parses(&v, bad[i]), bad[i]);
}

TEST(json_is_as_deep_as_it_may_be)
{
        char text[2 * VALUE_DEPTH + 3] = "";
        struct value v;

        memset(text, '[', VALUE_DEPTH);
        memset(text + VALUE_DEPTH, ']', VALUE_DEPTH);
        CHECK(parses(&v, text));
        memset(text, '[', VALUE_DEPTH + 1);
        memset(text + VALUE_DEPTH + 1, ']', VALUE_DEPTH + 1);
        CHECK(!parses(&v, text));
}

TEST(messages_are_classified_strictly)
{
        static const struct {
                const char *text;
                enum rpc_kind kind;
        } rows[] = {
                { "{\"id\":1,\"method\":\"x\"}", RPC_REQUEST },
                { "{\"id\":\"a\",\"method\":\"x\",\"params\":null}", RPC_REQUEST },
                { "{\"method\":\"x\"}", RPC_NOTIFICATION },
                { "{\"id\":1,\"result\":null}", RPC_RESPONSE },
                { "{\"id\":1,\"error\":{\"code\":1,\"message\":\"\"}}", RPC_RESPONSE },
                { "{\"id\":1,\"error\":{}}", RPC_MALFORMED },
                { "{\"id\":null,\"method\":\"x\"}", RPC_MALFORMED },
                { "{\"id\":1.0,\"method\":\"x\"}", RPC_MALFORMED },
                { "{\"id\":1,\"method\":5}", RPC_MALFORMED },
                { "{\"id\":-0,\"method\":\"x\"}", RPC_MALFORMED },
                { "{\"id\":1}", RPC_MALFORMED },
                { "[]", RPC_MALFORMED },
                { "{", RPC_MALFORMED },
        };
        struct rpc r;

        for (size_t i = 0; i < COUNT(rows); i++) {
                rpc_parse(&r, rows[i].text, strlen(rows[i].text));
                CHECK_ROW(r.kind == rows[i].kind, rows[i].text);
        }
        rpc_parse(&r, "{\"method\":\"m\",\"id\":\"q\\\"\"}", 25);
        CHECK(r.id_len == 5 && !memcmp(r.id, "\"q\\\"\"", 5) && !strcmp(r.method, "m"));
}

TEST(uris_become_paths)
{
        static const struct {
                const char *uri, *path; /* NULL: refused */
        } rows[] = {
                { "file:///a/b", "/a/b" },       { "FILE:/a", "/a" },
                { "file:a", "/a" },              { "file://localhost/a", "/a" },
                { "file://LOCALHOST/a", "/a" },  { "file:///a/../b/./c", "/b/c" },
                { "file:///a/%2e%2E/b", "/b" },  { "file:///..", "/" },
                { "file:///a//b", "/a//b" },     { "file:///a/..//b", "//b" },
                { "file:///a%2Fb", "/a/b" },     { "file:///%FF%41", "/\xff" "A" },
                { "file:///a b", "/a b" },       { "file:///%zz%", "/%zz%" },
                { "file:///a\\b", "/a/b" },      { "file:", "/" },
                { "file:///a/.", "/a/" },        { "file:///a\tb", "/ab" },
                { "/a", NULL },                  { "http://x", NULL },
                { "file://h/a", NULL },          { "file:///a?", NULL },
                { "file:///a#b", NULL },         { "file:///%00", NULL },
                { "", NULL },                    { ":", NULL },
        };
        char path[URI_PATH_MAX];

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].uri);
                enum uri_status s = uri_parse(path, at_page_end(rows[i].uri, n), n);

                CHECK_ROW(rows[i].path ? s == URI_OK && !strcmp(path, rows[i].path) : s != URI_OK,
                          rows[i].uri);
        }
}

static enum access access_to(const char *sandbox, const char *path)
{
        static struct grants g;
        struct grant_places places = { "/var/tmp" };
        struct value v;
        char why[256];
        struct wr w = wr_of(why, sizeof(why));

        if (!parses(&v, sandbox) || !grants_parse(&g, &v, &places, &w))
                return (enum access)9;
        return grants_access(&g, path);
}

TEST(the_most_specific_grant_decides)
{
        static const char box[] =
                "{\"permissions\":{\"type\":\"managed\",\"network\":\"restricted\",\"file_system\":{"
                "\"type\":\"restricted\",\"entries\":["
                "{\"path\":{\"type\":\"special\",\"value\":{\"kind\":\"root\"}},\"access\":\"read\"},"
                "{\"path\":{\"type\":\"special\",\"value\":{\"kind\":\"project_roots\"}},\"access\":"
                "\"write\"},{\"path\":{\"type\":\"special\",\"value\":{\"kind\":\"project_roots\","
                "\"subpath\":\".git\"}},\"access\":\"read\"},{\"path\":{\"type\":\"path\",\"path\":"
                "\"file:///etc\"},\"access\":\"none\"},{\"path\":{\"type\":\"special\",\"value\":{"
                "\"kind\":\"tmpdir\"}},\"access\":\"write\"}]}},\"workspaceRoots\":[\"file:///w/s\"]}";

        CHECK(access_to(box, "/") == ACCESS_READ);
        CHECK(access_to(box, "/w/s") == ACCESS_WRITE);
        CHECK(access_to(box, "/w/s/x") == ACCESS_WRITE);
        CHECK(access_to(box, "/w/sx") == ACCESS_READ);
        CHECK(access_to(box, "/w/s/.git/x") == ACCESS_READ);
        CHECK(access_to(box, "/w/s/.gitx") == ACCESS_WRITE);
        CHECK(access_to(box, "/etc/passwd") == ACCESS_NONE);
        CHECK(access_to(box, "/var/tmp/x") == ACCESS_WRITE);
        CHECK(access_to("{}", "/") == (enum access)9);
        CHECK(access_to("{\"permissions\":{\"type\":\"disabled\"}}", "/x") == ACCESS_WRITE);
        CHECK(access_to("{\"permissions\":{\"type\":\"other\"}}", "/x") == (enum access)9);
}

TEST(globs_ignore_case)
{
        CHECK(env_glob("*KEY*", "my_key_2", 8) && env_glob("a?c", "ABC", 3));
        CHECK(!env_glob("a?c", "ac", 2) && !env_glob("*KEY", "KEYS", 4) && env_glob("*", "", 0));
        CHECK(env_glob("a*b*c", "aXbYbZc", 7) && !env_glob("", "a", 1));
}

TEST(a_token_is_good_for_its_time_and_place)
{
        /* HS256 with 32 times 's': {"alg":"HS256"} . {"exp":2000,"iss":"me"} */
        static const char token[] = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjIwMDAsImlzcyI6Im1lIn0."
                                    "NBKmET890kDbSFz3gdkSJjZ6-6OKp7cK8CqEXce2K6U";
        static const char key[] = "ssssssssssssssssssssssssssssssss";
        struct jwt_rule rule = { key, 32, "me", NULL, 30 };
        size_t n = sizeof(token) - 1;

        CHECK(jwt_check(&rule, token, n, 1000) == JWT_OK);
        CHECK(jwt_check(&rule, token, n, 2030) == JWT_OK);
        CHECK(jwt_check(&rule, token, n, 2031) == JWT_EXPIRED);
        rule.issuer = "you";
        CHECK(jwt_check(&rule, token, n, 1000) == JWT_ISSUER);
        rule.issuer = NULL;
        rule.audience = "x";
        CHECK(jwt_check(&rule, token, n, 1000) == JWT_AUDIENCE);
        rule.audience = NULL;
        CHECK(jwt_check(&(struct jwt_rule){ key, 31, "me", NULL, 30 }, token, n, 1000) ==
              JWT_INVALID);
        for (size_t cut = 0; cut < n; cut += 7)
                CHECK(jwt_check(&rule, at_page_end(token, cut), cut, 1000) == JWT_INVALID);
}
