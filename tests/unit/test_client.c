/* tests/unit/test_client.c - the pure parts of the exec-server's client, and the list of places. */
#include "agent/client.h"
#include "agent/environments.h"
#include "agent/upgrade.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

TEST(urls_of_servers_are_read)
{
        static const struct {
                const char *url;
                enum remote_status status;
                const char *host;
                uint16_t port;
                const char *path;
        } rows[] = {
                { "ws://127.0.0.1:8765", REMOTE_OK, "127.0.0.1", 8765, "/" },
                { "ws://[::1]:1", REMOTE_OK, "::1", 1, "/" },
                { "ws://[::1]", REMOTE_OK, "::1", 80, "/" },
                { "ws://box/a/b?c=d", REMOTE_OK, "box", 80, "/a/b?c=d" },
                { "ws://box:7?x", REMOTE_OK, "box", 7, "/?x" },
                { "unix:/run/s", REMOTE_OK, "", 0, "/run/s" },
                { "wss://box", REMOTE_OK, "box", 443, "/" },
                { "wss://[::1]:8/a", REMOTE_OK, "::1", 8, "/a" },
                { "wss://", REMOTE_HOST, NULL, 0, NULL },
                { "http://box", REMOTE_SCHEME, NULL, 0, NULL },
                { "WS://box", REMOTE_SCHEME, NULL, 0, NULL },
                { "unix:", REMOTE_SCHEME, NULL, 0, NULL },
                { "", REMOTE_SCHEME, NULL, 0, NULL },
                { "ws://", REMOTE_HOST, NULL, 0, NULL },
                { "ws://:80", REMOTE_HOST, NULL, 0, NULL },
                { "ws://[", REMOTE_HOST, NULL, 0, NULL },
                { "ws://[::1", REMOTE_HOST, NULL, 0, NULL },
                { "ws://[::1]x", REMOTE_HOST, NULL, 0, NULL },
                { "ws://[]:1", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a:", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a:b", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a:1:2", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a:65536", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a b", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a/\r\nX: y", REMOTE_HOST, NULL, 0, NULL },
                { "ws://u:p@a", REMOTE_HOST, NULL, 0, NULL },
                { "ws://a/#f", REMOTE_HOST, NULL, 0, NULL },
        };
        static char longest[2 * REMOTE_URL_MAX] = "ws://a/";
        struct client_target t;

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK_ROW(client_url(&t, rows[i].url) == rows[i].status, rows[i].url);
                if (rows[i].status != REMOTE_OK)
                        continue;
                CHECK_ROW(!strcmp(t.at.host, rows[i].host) && t.at.port == rows[i].port,
                          rows[i].url);
                CHECK_ROW(!strcmp(t.transport == CLIENT_UNIX ? t.path : t.at.path, rows[i].path),
                          rows[i].url);
                CHECK_ROW(t.at.tls == !strncmp(rows[i].url, "wss", 3), rows[i].url);
        }
        memset(longest + 7, 'x', sizeof(longest) - 8);
        CHECK(client_url(&t, longest) == REMOTE_LONG);
        memset(longest + 5, 'x', sizeof(longest) - 6);
        CHECK(client_url(&t, longest) == REMOTE_LONG);
        memcpy(longest, "unix:", 5);
        CHECK(client_url(&t, longest) == REMOTE_LONG);
}

TEST(a_masked_head_is_a_clients_and_a_bare_one_a_servers)
{
        static const uint8_t mask[4] = { 1, 2, 3, 4 };
        static const size_t lengths[] = { 0, 125, 126, 65535, 65536, WS_FRAME_MAX };
        char head[WS_HEAD_MAX];

        for (size_t i = 0; i < COUNT(lengths); i++) {
                struct ws as_server = { 0 }, as_client = { .server = true };
                struct ws_frame f;
                size_t n = ws_put_masked_head(head, WS_TEXT, true, lengths[i], mask);

                CHECK(ws_parse(&as_server, &f, at_page_end(head, n), n) == WS_OK);
                CHECK(f.len == lengths[i] && f.head_len == n && !memcmp(f.mask, mask, 4));
                CHECK(ws_parse(&as_client, &f, head, n) == WS_MASKED);
                n = ws_put_head(head, WS_TEXT, true, lengths[i]);
                CHECK(ws_parse(&as_server, &f, head, n) == WS_UNMASKED);
                CHECK(ws_parse(&as_client, &f, at_page_end(head, n), n) == WS_OK);
                CHECK(f.len == lengths[i] && f.head_len == n && as_client.server);
        }
}

TEST(a_servers_frame_may_be_as_long_as_a_message)
{
        struct ws w = { .server = true };
        struct ws_frame f;
        char head[WS_HEAD_MAX];
        size_t n = ws_put_head(head, WS_TEXT, false, WS_MESSAGE_MAX);

        CHECK(ws_parse(&w, &f, head, n) == WS_OK);
        n = ws_put_head(head, WS_CONTINUE, true, 1);
        CHECK(ws_parse(&w, &f, head, n) == WS_TOO_LONG);
        w = (struct ws){ .server = true };
        n = ws_put_head(head, WS_TEXT, true, WS_MESSAGE_MAX + 1);
        CHECK(ws_parse(&w, &f, head, n) == WS_TOO_LONG);
}

static enum upgrade_status answered(const char *text, const char *accept,
                                    struct upgrade_answer *a)
{
        size_t scanned = 0, len = strlen(text);

        return upgrade_read_answer(a, accept, at_page_end(text, len), len, &scanned);
}

TEST(what_we_ask_is_what_our_server_lets_in)
{
        static const uint8_t nonce[16] = "0123456789abcdef";
        const struct auth_rule rule = { .auth = AUTH_NONE };
        char accept[UPGRADE_ACCEPT_LEN + 1], text[1024], said[1024];
        struct wr w = wr_of(text, sizeof(text)), v = wr_of(said, sizeof(said) - 1);
        size_t scanned = 0;
        struct upgrade u;
        struct upgrade_answer a;

        upgrade_put_request(&w, "[::1]:80", "/", "secret", nonce, accept);
        CHECK(upgrade_parse(&u, &rule, text, w.len, &scanned, 0) == UPGRADE_OPEN);
        CHECK(!strcmp(u.accept, accept) && u.head_len == w.len);
        CHECK(strstr(text, "\r\nHost: [::1]:80\r\n") && !strstr(text, "Origin"));
        CHECK(strstr(text, "\r\nAuthorization: Bearer secret\r\n"));
        upgrade_put(&v, &u);
        CHECK(answered(wr_cstr(&v), accept, &a) == UPGRADE_OPEN && a.head_len == v.len);
        CHECK(answered(said, "bm90IHRoZSByaWdodCBvbmU9PT0=", &a) == UPGRADE_ANSWER);
        for (size_t n = 0; n < v.len; n++) {
                scanned = 0;
                CHECK(upgrade_read_answer(&a, accept, at_page_end(said, n), n, &scanned) ==
                      UPGRADE_MORE);
        }
}

TEST(a_refused_handshake_says_why)
{
        struct upgrade_answer a;

        CHECK(answered("HTTP/1.1 401 X\r\nContent-Length: 3\r\n\r\nno!", "", &a) ==
              UPGRADE_ANSWER);
        CHECK(a.status == 401 && a.text_len == 3 && !memcmp(a.text, "no!", 3) && a.body_len == 3);
        CHECK(answered("SSH-2.0-x\r\n", "", &a) == UPGRADE_ANSWER && a.status == 0);
        CHECK(answered("HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                       "Sec-WebSocket-Accept: y\r\nSec-WebSocket-Extensions: z\r\n\r\n", "y",
                       &a) == UPGRADE_ANSWER);
        CHECK(strstr(a.why, "extension"));
}

TEST(a_proxy_is_asked_to_connect_and_has_to_promise_tls)
{
        static const struct {
                const char *said;
                bool tls;
                enum upgrade_status status;
                const char *why;
        } rows[] = {
                { "HTTP/1.1 200 OK\r\n\r\n", false, UPGRADE_OPEN, "" },
                { "HTTP/1.1 200 OK\r\nx-airlock-tls: yes\r\n\r\n", true, UPGRADE_OPEN, "" },
                { "HTTP/1.1 200 OK\r\n\r\n", true, UPGRADE_ANSWER, "speaks no TLS" },
                { "HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno", false, UPGRADE_ANSWER,
                  "does not connect" },
                { "HTTP/1.1 101 X\r\n\r\n", false, UPGRADE_ANSWER, "" },
                { "\5\1", false, UPGRADE_ANSWER, "HTTP" },
                { "HTTP/1.1 200", false, UPGRADE_MORE, "" },
        };
        char text[400];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct upgrade_answer a;

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t scanned = 0, len = strlen(rows[i].said);

                CHECK_ROW(upgrade_read_connect(&a, rows[i].tls, at_page_end(rows[i].said, len), len,
                                               &scanned) == rows[i].status, rows[i].said);
                CHECK_ROW(strstr(a.why, rows[i].why), a.why);
        }
        upgrade_put_connect(&w, "[::1]:443", true);
        CHECK(!strcmp(wr_cstr(&w), "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"
                                   "X-Airlock-TLS: yes\r\n\r\n"));
        w.len = 0;
        upgrade_put_connect(&w, "h:80", false);
        CHECK(!strcmp(wr_cstr(&w), "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"));
}

/* --- environments --------------------------------------------------------------------------- */

static char error[ENVIRONMENTS_ERROR];

static int parse(struct environments *e, const char *json)
{
        return environments_parse(e, at_page_end(json, strlen(json)), strlen(json), "/home/x",
                                  error);
}

TEST(a_list_of_environments_is_read)
{
        struct environments e;
        struct environment *v;

        CHECK(!parse(&e, "{\"default\": \"box-2\", \"environments\": ["
                         "{\"id\": \"devbox\", \"url\": \" ws://127.0.0.1:8765 \","
                         " \"auth_bearer_token\": \"t\", \"connect_timeout_sec\": 2.5,"
                         " \"initialize_timeout_sec\": 7},"
                         "{\"id\": \"box-2\", \"program\": \"ssh\", \"args\": [\"dev\", \"a b\"],"
                         " \"env\": {\"A\": \"1\", \"PATH\": \"/x\"}, \"cwd\": \"sub\"}]}"));
        CHECK(e.count == 3 && e.all[0].local && !strcmp(e.all[0].id, "local"));
        v = environments_find(&e, "devbox");
        CHECK(v && v->target.transport == CLIENT_TCP && v->target.at.port == 8765);
        CHECK(v && !strcmp(v->target.token, "t") && v->target.connect_ms == 2500);
        CHECK(v && v->target.initialize_ms == 7000);
        v = environments_find(&e, NULL);
        CHECK(v && !strcmp(v->id, "box-2") && v->target.transport == CLIENT_COMMAND);
        CHECK(v && !strcmp(v->target.argv[0], "ssh") && !strcmp(v->target.argv[2], "a b"));
        CHECK(v && !v->target.argv[3] && !strcmp(v->target.cwd, "/home/x/sub"));
        CHECK(v && !strcmp(v->target.env[0], "A=1") && !strcmp(v->target.env[1], "PATH=/x"));
        for (size_t i = 2; v && v->target.env[i]; i++)
                CHECK(strncmp(v->target.env[i], "PATH=", 5) != 0);
        CHECK(!environments_find(&e, "nobody"));
        CHECK(!environment_client(&e.all[0])); /* nobody gave it descriptors */
        environments_close(&e);
        environments_close(&e);
}

TEST(the_default_is_local_when_it_is_there)
{
        static const struct {
                const char *json;
                size_t count;
                const char *id; /* NULL: none */
        } rows[] = {
                { "{}", 1, "local" },
                { "{\"include_local\": false}", 0, NULL },
                { "{\"default\": \"NONE\"}", 1, NULL },
                { "{\"default\": \"local\"}", 1, "local" },
                { "{\"environments\": [{\"id\": \"a\", \"url\": \"ws://h\"}]}", 2, "local" },
                { "{\"include_local\": false, \"environments\": [{\"id\": \"a\", "
                  "\"url\": \"ws://h\"}]}", 1, NULL },
                { "{\"environments\": [{\"id\": \"Local\", \"url\": \"ws://h\"}]}", 2, "local" },
        };
        struct environments e;

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK_ROW(!parse(&e, rows[i].json) && e.count == rows[i].count, rows[i].json);
                CHECK_ROW(!environments_find(&e, NULL) == !rows[i].id, rows[i].json);
                if (rows[i].id)
                        CHECK_ROW(!strcmp(environments_find(&e, NULL)->id, rows[i].id),
                                  rows[i].json);
                environments_close(&e);
        }
}

#define ONE(members) "{\"environments\": [{" members "}]}"
#define A "\"id\": \"a\", "
#define LONG_ID "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

TEST(a_wrong_list_of_environments_is_said_as_codex_says_it)
{
        static const struct {
                const char *json, *said;
        } rows[] = {
                { ONE(A "\"url\": \"ws://h\", \"program\": \"x\""),
                  "environment `a` must set exactly one of url or program" },
                { ONE("\"id\": \"a\""), "environment `a` must set exactly one of url or program" },
                { ONE(A "\"url\": \"http://h\""),
                  "environment url `http://h` must use ws:// or wss://" },
                { ONE(A "\"url\": \"unix:/x\""),
                  "environment url `unix:/x` must use ws:// or wss://" },
                { ONE(A "\"url\": \"  \""), "environment url cannot be empty" },
                { ONE(A "\"url\": \"wss://h:0\""), "environment url `wss://h:0` has no valid host" },
                { ONE(A "\"program\": \" \""), "environment `a` program cannot be empty" },
                { ONE("\"id\": \"local\", \"url\": \"ws://h\""),
                  "environment id `local` is reserved" },
                { ONE("\"id\": \"none\", \"url\": \"ws://h\""),
                  "environment id `none` is reserved" },
                { ONE("\"id\": \"\", \"url\": \"ws://h\""), "environment id cannot be empty" },
                { ONE("\"id\": \" a\", \"url\": \"ws://h\""),
                  "environment id ` a` must not contain surrounding whitespace" },
                { ONE("\"id\": \"a b\", \"url\": \"ws://h\""),
                  "environment id `a b` must contain only ASCII letters, numbers, '-' or '_'" },
                { ONE("\"id\": \"" LONG_ID "\", \"url\": \"ws://h\""),
                  "environment id `" LONG_ID "` cannot be longer than 64 characters" },
                { "{\"environments\": [{" A "\"url\": \"ws://h\"}, {" A "\"url\": \"ws://h\"}]}",
                  "environment id `a` is duplicated" },
                { "{\"default\": \"x\"}", "default environment `x` is not configured" },
                { "{\"default\": \"local\", \"include_local\": false}",
                  "default environment `local` is not configured" },
                { "{\"default\": \"\"}", "default environment id cannot be empty" },
                { ONE(A "\"url\": \"ws://h\", \"cwd\": \"x\""),
                  "environment `a` args, env, and cwd require program" },
                { ONE(A "\"program\": \"x\", \"connect_timeout_sec\": 1"),
                  "environment `a` connect_timeout_sec requires url" },
                { ONE(A "\"program\": \"x\", \"auth_bearer_token\": \"t\""),
                  "environment `a` auth_bearer_token requires url" },
                { ONE(A "\"url\": \"ws://h\", \"bogus\": 1"), "unknown field `bogus`" },
                { ONE(A A "\"url\": \"ws://h\""), "duplicate field `id`" },
                { ONE("\"url\": \"ws://h\""), "missing field `id`" },
                { ONE(A "\"url\": 7"), "invalid type: number for `url`" },
                { ONE(A "\"url\": \"ws://h\", \"connect_timeout_sec\": -1"),
                  "`connect_timeout_sec` is not a number of seconds" },
                { ONE(A "\"url\": \"ws://h\", \"auth_bearer_token\": \"a\\r\\nX: y\""),
                  "auth_bearer_token has bytes" },
                { ONE(A "\"url\": \"ws://h\\u0000x\""), "`url` holds a NUL" },
                { ONE(A "\"program\": \"x\", \"args\": [1]"), "args has an item" },
                { ONE(A "\"program\": \"x\", \"env\": {\"A=B\": \"\"}"), "env has a member" },
                { "{\"bogus\": 1}", "unknown field `bogus`" },
                { "{\"environments\": [1]}", "an environment is number" },
                { "{\"environments\": {}}", "`environments` an array" },
                { "[]", "the list of environments is sequence" },
                { "{", "the list of environments: " },
        };
        struct environments e;

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK_ROW(parse(&e, rows[i].json) < 0 && e.count == 0, rows[i].json);
                CHECK_ROW(!strncmp(error, "exec-server protocol error: ", 28), error);
                CHECK_ROW(strstr(error, rows[i].said), error);
        }
}

TEST(the_variable_decides_when_there_is_no_list)
{
        static const struct {
                const char *value, *id;
                size_t count;
        } rows[] = {
                { NULL, "local", 1 },         { "", "local", 1 },  { " \t", "local", 1 },
                { "none", NULL, 0 },          { "None ", NULL, 0 }, { " NONE", NULL, 0 },
                { "ws://h:1", "remote", 1 },  { " ws://h:1\n", "remote", 1 },
        };
        struct environments e;

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *why = rows[i].value ? rows[i].value : "(unset)";

                CHECK_ROW(!environments_from_url(&e, rows[i].value, error), why);
                CHECK_ROW(e.count == rows[i].count, why);
                CHECK_ROW(!environments_find(&e, NULL) == !rows[i].id, why);
                if (rows[i].id)
                        CHECK_ROW(!strcmp(environments_find(&e, NULL)->id, rows[i].id), why);
                environments_close(&e);
        }
        CHECK(environments_from_url(&e, "http://h", error) < 0);
        CHECK(!strcmp(error, "exec-server protocol error: environment url `http://h` must use "
                             "ws:// or wss://"));
}

TEST(an_environment_that_nobody_uses_is_not_connected_to)
{
        struct environments e;
        struct client *c;

        CHECK(!parse(&e, "{\"environments\": [{\"id\": \"a\", \"program\": \"/bin/false\"},"
                         "{\"id\": \"b\", \"url\": \"ws://127.0.0.1:1\"}]}"));
        for (size_t i = 1; i < e.count; i++) {
                c = environment_client(&e.all[i]);
                CHECK(c && c->state == CLIENT_IDLE && c->in_fd == -1 && !c->child);
                client_step(c, NULL, 0, 1);
                CHECK(c->state == CLIENT_IDLE && client_wait_ms(c, 1, -1) == -1);
                CHECK(environment_client(&e.all[i]) == c);
        }
        environments_close(&e);
}

TEST(more_environments_than_there_is_room_for_are_refused)
{
        char json[4096];
        struct wr w = wr_of(json, sizeof(json));
        struct environments e;

        wr_str(&w, "{\"environments\": [");
        for (int i = 0; i < ENVIRONMENTS_MAX; i++)
                wr_fmt(&w, "%s{\"id\": \"e%d\", \"url\": \"ws://h\"}", i ? "," : "", i);
        wr_str(&w, "]}");
        CHECK(environments_parse(&e, json, w.len, NULL, error) < 0);
        CHECK(strstr(error, "more than 16"));
}
