/* tests/unit/test_http1.c - one reading of a message, or none. */
#include "base/http1.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

static struct http1 h;

static enum http1_status request_bytes(const char *s, size_t len)
{
        size_t scanned = 0;

        return http1_parse_request(&h, at_page_end(s, len), len, &scanned);
}

static enum http1_status request(const char *s)
{
        return request_bytes(s, strlen(s));
}

static enum http1_status response(const char *s, const char *method)
{
        size_t scanned = 0;
        size_t len = strlen(s);

        return http1_parse_response(&h, at_page_end(s, len), len, &scanned, method, strlen(method));
}

static bool is(struct http1_text t, const char *s)
{
        return t.len == strlen(s) && !memcmp(t.at, s, t.len);
}

TEST(a_request_gives_its_parts)
{
        CHECK(!request("GET http://A.org:8080/x/y?q=1 HTTP/1.1\r\nHost: other\r\n"
                       "X-One:  a b \r\nConnection: keep-alive\r\n\r\nrest"));
        CHECK(is(h.method, "GET") && h.form == HTTP1_ABSOLUTE && !h.https && h.minor == 1);
        CHECK(is(h.host, "A.org") && h.port == 8080 && is(h.path, "/x/y") && is(h.query, "q=1"));
        CHECK(h.count == 3 && is(http1_header(&h, "x-ONE"), "a b") && h.keep_alive);
        CHECK(h.body == HTTP1_NONE && !memcmp(h.method.at + h.head_len, "rest", 4));
        CHECK(!request("CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"));
        CHECK(h.form == HTTP1_AUTHORITY && h.host_ip6 && is(h.host, "2001:db8::1"));
        CHECK(h.port == 443 && !h.path.at);
        CHECK(!request("GET /p? HTTP/1.0\r\n\r\n"));
        CHECK(h.form == HTTP1_ORIGIN && !h.host.at && h.query.at && !h.query.len && !h.keep_alive);
        CHECK(!request("OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n") && h.form == HTTP1_ASTERISK);
        CHECK(!request("POST HTTPS://a.org?x HTTP/1.1\r\nHost: a.org\r\n"
                       "Content-Length: 12\r\n\r\n"));
        CHECK(h.https && is(h.path, "/") && is(h.query, "x") && h.body == HTTP1_LENGTH);
        CHECK(h.length == 12);
        CHECK(!request("GET //evil/x HTTP/1.1\r\nHost: good\r\n\r\n") && is(h.host, "good"));
        CHECK(is(h.path, "//evil/x"));
}

TEST(every_prefix_of_a_request_asks_for_more)
{
        static const char full[] = "POST http://a.org/x HTTP/1.1\r\nHost: a.org\r\n"
                                   "Transfer-Encoding: chunked\r\n\r\n";
        size_t scanned = 0;

        for (size_t n = 0; n < sizeof(full) - 1; n++) {
                const char *s = at_page_end(full, n);

                CHECK(request_bytes(full, n) == HTTP1_MORE);
                CHECK(http1_parse_request(&h, s, n, &scanned) == HTTP1_MORE);
        }
        CHECK(!http1_parse_request(&h, full, sizeof(full) - 1, &scanned));
        CHECK(!http1_parse_request(&h, full, sizeof(full) - 1, &scanned));
        CHECK(h.body == HTTP1_CHUNKED);
}

#define R "GET / HTTP/1.1\r\nHost: a.org\r\n"
#define P "POST / HTTP/1.1\r\nHost: a.org\r\n"

TEST(a_hostile_request_is_refused_for_its_own_reason)
{
        static const struct {
                const char *text, *why;
                enum http1_status status;
        } rows[] = {
                { "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "an empty line first", HTTP1_LINE },
                { "GET /\r\n\r\n", "HTTP/0.9", HTTP1_LINE },
                { "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "two spaces", HTTP1_LINE },
                { "GET / x HTTP/1.1\r\nHost: a\r\n\r\n", "a space in the target", HTTP1_LINE },
                { "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "a space at the end", HTTP1_LINE },
                { " GET / HTTP/1.1\r\nHost: a\r\n\r\n", "a space first", HTTP1_LINE },
                { "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "a tab", HTTP1_LINE },
                { "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "another version", HTTP1_VERSION },
                { "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "another minor", HTTP1_VERSION },
                { "GET / http/1.1\r\nHost: a\r\n\r\n", "a lower-case version", HTTP1_VERSION },
                { "GET / HTTP/01.1\r\nHost: a\r\n\r\n", "a long version", HTTP1_VERSION },
                { "PRI * HTTP/2.0\r\n\r\n", "E7: HTTP/2's preface", HTTP1_VERSION },
                { "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "no token", HTTP1_METHOD },
                { "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", "long",
                  HTTP1_METHOD },
                { "GET x HTTP/1.1\r\nHost: a\r\n\r\n", "no form", HTTP1_TARGET },
                { "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "E11: ftp", HTTP1_TARGET },
                { "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", "one slash", HTTP1_TARGET },
                { "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "no host", HTTP1_TARGET },
                { "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "E11: user info", HTTP1_TARGET },
                { "GET http://good#@evil/ HTTP/1.1\r\nHost: a\r\n\r\n", "E11: #@", HTTP1_TARGET },
                { "GET http://good\\@evil/ HTTP/1.1\r\nHost: a\r\n\r\n", "E11: \\", HTTP1_TARGET },
                { "GET /\\evil HTTP/1.1\r\nHost: a\r\n\r\n", "a backslash", HTTP1_TARGET },
                { "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", "a fragment", HTTP1_TARGET },
                { "GET http://a:0/ HTTP/1.1\r\nHost: a\r\n\r\n", "port 0", HTTP1_TARGET },
                { "GET http://a:65979/ HTTP/1.1\r\nHost: a\r\n\r\n", "A7: wraps", HTTP1_TARGET },
                { "GET http://a:+443/ HTTP/1.1\r\nHost: a\r\n\r\n", "A7: +443", HTTP1_TARGET },
                { "GET http://a:0443/ HTTP/1.1\r\nHost: a\r\n\r\n", "0443", HTTP1_TARGET },
                { "GET http://a:443:22/ HTTP/1.1\r\nHost: a\r\n\r\n", "A7: two", HTTP1_TARGET },
                { "GET http://[a.org]/ HTTP/1.1\r\nHost: a\r\n\r\n", "A3", HTTP1_TARGET },
                { "GET http://[::1%25lo]/ HTTP/1.1\r\nHost: a\r\n\r\n", "A6: zone", HTTP1_TARGET },
                { "GET http://[::1/ HTTP/1.1\r\nHost: a\r\n\r\n", "no bracket", HTTP1_TARGET },
                { "GET http://[::1]x/ HTTP/1.1\r\nHost: a\r\n\r\n", "behind it", HTTP1_TARGET },
                { "GET http://a]/ HTTP/1.1\r\nHost: a\r\n\r\n", "a bracket", HTTP1_TARGET },
                { "GET http://::1/ HTTP/1.1\r\nHost: a\r\n\r\n", "no brackets", HTTP1_TARGET },
                { "GET a.org:443 HTTP/1.1\r\nHost: a\r\n\r\n", "authority for GET", HTTP1_TARGET },
                { "GET * HTTP/1.1\r\nHost: a\r\n\r\n", "* for GET", HTTP1_TARGET },
                { "CONNECT a.org HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT, no port", HTTP1_TARGET },
                { "CONNECT a.org: HTTP/1.1\r\nHost: a\r\n\r\n", "empty port", HTTP1_TARGET },
                { "CONNECT http://a.org/ HTTP/1.1\r\nHost: a\r\n\r\n", "a URL", HTTP1_TARGET },
                { "CONNECT u@a.org:443 HTTP/1.1\r\nHost: a\r\n\r\n", "user", HTTP1_TARGET },
                { "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", "a path", HTTP1_TARGET },
                { "GET / HTTP/1.1\nHost: a\r\n\r\n", "E8: bare LF", HTTP1_NEWLINE },
                { "GET / HTTP/1.1\rHost: a\r\n\r\n", "E8: bare CR", HTTP1_NEWLINE },
                { R "X: a\rb\r\n\r\n", "E8: CR in a value", HTTP1_NEWLINE },
                { R "X: a\n\r\n", "E8: LF after a value", HTTP1_NEWLINE },
                { R "X: a\r\r\n\r\n", "CR CR LF", HTTP1_NEWLINE },
                { R "X: a\vb\r\n\r\n", "E8: VT", HTTP1_CONTROL },
                { R "X: a\x7f\r\n\r\n", "DEL", HTTP1_CONTROL },
                { "\x16\3\1\2\1", "E17: TLS", HTTP1_CONTROL },
                { R "Transfer-Encoding:\tchunked\r\n\r\n", "E8: tab before", HTTP1_CONTROL },
                { R "Transfer-Encoding: chunked\t\r\n\r\n", "E8: tab behind", HTTP1_CONTROL },
                { R "Transfer-Encoding: chunked \t \r\n\r\n", "E8: tab between", HTTP1_CONTROL },
                { R " X: a\r\n\r\n", "E8: folded", HTTP1_FOLDED },
                { R "\tX: a\r\n\r\n", "E8: folded by a tab", HTTP1_FOLDED },
                { "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "folded first", HTTP1_FOLDED },
                { R "X : a\r\n\r\n", "E8: space before the colon", HTTP1_NAME },
                { R "X\t: a\r\n\r\n", "E8: tab before the colon", HTTP1_NAME },
                { R "X\r\n\r\n", "no colon", HTTP1_NAME },
                { R ": a\r\n\r\n", "no name", HTTP1_NAME },
                { R "X(: a\r\n\r\n", "no token", HTTP1_NAME },
                { R "\xc3\xa9: a\r\n\r\n", "a letter outside ASCII", HTTP1_NAME },
                { P "Content_Length: 5\r\n\r\n", "an imitation", HTTP1_NAME },
                { P "TRANSFER_encoding: chunked\r\n\r\n", "an imitation", HTTP1_NAME },
                { "GET / HTTP/1.1\r\n\r\n", "no Host", HTTP1_HOST },
                { R "Host: b.org\r\n\r\n", "E5: two Hosts", HTTP1_HOST },
                { R "Host: a.org\r\n\r\n", "two equal Hosts", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost:\r\n\r\n", "an empty Host", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "a space", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "a list", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "user info", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost: a/x\r\n\r\n", "a path", HTTP1_HOST },
                { "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "a bad port", HTTP1_HOST },
                { "GET http://a/ HTTP/1.1\r\nHost: b@c\r\n\r\n", "absolute, bad Host", HTTP1_HOST },
                { P "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "E8: twice", HTTP1_LENGTHS },
                { P "Content-Length: 5, 5\r\n\r\n", "E8: a list", HTTP1_LENGTHS },
                { P "Content-Length: +5\r\n\r\n", "E8: plus", HTTP1_LENGTHS },
                { P "Content-Length: -1\r\n\r\n", "minus", HTTP1_LENGTHS },
                { P "Content-Length: 0x5\r\n\r\n", "hex", HTTP1_LENGTHS },
                { P "Content-Length: 05\r\n\r\n", "a leading zero", HTTP1_LENGTHS },
                { P "Content-Length: 5 5\r\n\r\n", "a space inside", HTTP1_LENGTHS },
                { P "Content-Length:\r\n\r\n", "nothing", HTTP1_LENGTHS },
                { P "Content-Length: 18446744073709551621\r\n\r\n", "wraps", HTTP1_LENGTHS },
                { P "Transfer-Encoding: gzip, chunked\r\n\r\n", "two codings", HTTP1_CODING },
                { P "Transfer-Encoding: xchunked\r\n\r\n", "another", HTTP1_CODING },
                { P "Transfer-Encoding: chunked, identity\r\n\r\n", "not last", HTTP1_CODING },
                { P "Transfer-Encoding: \"chunked\"\r\n\r\n", "quoted", HTTP1_CODING },
                { P "Transfer-Encoding: chunked;q=1\r\n\r\n", "parameters", HTTP1_CODING },
                { P "Transfer-Encoding:\r\n\r\n", "nothing", HTTP1_CODING },
                { P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "twice",
                  HTTP1_CODING },
                { "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1.0",
                  HTTP1_CODING },
                { P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "E8: CL.TE",
                  HTTP1_BOTH },
                { P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", "E8: TE.CL",
                  HTTP1_BOTH },
                { P "Connection: Content-Length\r\nContent-Length: 5\r\n\r\n", "E8", HTTP1_HOPS },
                { P "Connection: close, transfer-encoding\r\n\r\n", "hop", HTTP1_HOPS },
                { R "Connection: x\r\nConnection: host\r\n\r\n", "host as a hop", HTTP1_HOPS },
                { R "Expect: 200-ok\r\n\r\n", "another Expect", HTTP1_EXPECT },
                { "CONNECT a:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "body", HTTP1_LENGTHS },
                { "CONNECT a:443 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "body",
                  HTTP1_CODING },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(request(rows[i].text) == rows[i].status, rows[i].text);
        CHECK(request_bytes(R "X: a\0b\r\n\r\n", sizeof(R) + 9) == HTTP1_CONTROL);
        CHECK(request_bytes("CONNECT evil\0.allowed.com:443 HTTP/1.1\r\n\r\n", 42) ==
              HTTP1_CONTROL);
}

TEST(a_head_has_limits)
{
        static char big[HTTP1_HEAD_MAX + 64];
        struct wr w = wr_of(big, sizeof(big));

        wr_str(&w, R);
        for (size_t i = 0; i < HTTP1_HEADERS - 1; i++)
                wr_str(&w, "a: b\r\n");
        wr_str(&w, "\r\n");
        CHECK(!request_bytes(big, w.len) && h.count == HTTP1_HEADERS);
        w.len -= 2;
        wr_str(&w, "a: b\r\n\r\n");
        CHECK(request_bytes(big, w.len) == HTTP1_TOO_LONG);
        memset(big, 'a', sizeof(big));
        memcpy(big, R "X: ", sizeof(R) + 2);
        CHECK(request_bytes(big, HTTP1_HEAD_MAX) == HTTP1_MORE);
        CHECK(request_bytes(big, HTTP1_HEAD_MAX + 1) == HTTP1_TOO_LONG);
        memcpy(big + HTTP1_HEAD_MAX - 4, "\r\n\r\n", 4);
        CHECK(!request_bytes(big, HTTP1_HEAD_MAX) && h.head_len == HTTP1_HEAD_MAX);
}

TEST(a_request_says_what_it_wants_of_the_connection)
{
        CHECK(!request(R "Connection: close\r\n\r\n") && !h.keep_alive);
        CHECK(!request(R "Connection: x, CLOSE\r\n\r\n") && !h.keep_alive);
        CHECK(!request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") && h.keep_alive);
        CHECK(!request(P "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n") && h.expect_continue);
        CHECK(!request(R "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n") && h.websocket);
        CHECK(!request(R "Upgrade: websocket\r\n\r\n") && !h.websocket && !h.upgrades);
        CHECK(!request(R "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n") && h.upgrades);
        CHECK(!h.websocket);
        CHECK(!request(R "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n") && !h.websocket);
        CHECK(!request(P "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n") && !h.websocket);
        CHECK(!request(R "X-HTTP-Method-Override: DELETE\r\n\r\n") && h.overrides_method);
        CHECK(!request(R "x_http_method: DELETE\r\n\r\n") && h.overrides_method);
        CHECK(!request(R "X-Method: DELETE\r\n\r\n") && !h.overrides_method);
        CHECK(!request(R "X-Original-URL: /x\r\n\r\n") && h.overrides_path);
        CHECK(!request(R "x_rewrite-url: /x\r\n\r\n") && h.overrides_path && !h.overrides_method);
        CHECK(!request(R "X-Original: /x\r\n\r\n") && !h.overrides_path);
}

TEST(a_response_is_framed_by_its_request_and_code)
{
        static const struct {
                const char *text, *method;
                enum http1_body body;
                bool keep_alive;
        } rows[] = {
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", HTTP1_LENGTH, true },
                { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", HTTP1_NONE, true },
                { "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", "HEAD", HTTP1_NONE, true },
                { "HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", HTTP1_CHUNKED,
                  true },
                { "HTTP/1.1 200 OK\r\n\r\n", "GET", HTTP1_UNTIL_CLOSE, false },
                { "HTTP/1.0 200 OK\r\n\r\n", "GET", HTTP1_UNTIL_CLOSE, false },
                { "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", HTTP1_LENGTH, false },
                { "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "GET", HTTP1_NONE, false },
                { "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "GET", HTTP1_NONE, true },
                { "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", "GET", HTTP1_NONE, true },
                { "HTTP/1.1 100 Go\r\n\r\n", "POST", HTTP1_NONE, true },
                { "HTTP/1.1 101 Up\r\n\r\n", "GET", HTTP1_TUNNEL, false },
                { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "CONNECT", HTTP1_TUNNEL, false },
                { "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", "CONNECT", HTTP1_LENGTH, true },
        };
        static const struct {
                const char *text;
                enum http1_status status;
        } bad[] = {
                { "HTTP/1.1 20 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/1.1 2000 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/1.1  200 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/1.1 099 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/1.1 600 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/1.1 200OK\r\n\r\n", HTTP1_LINE },
                { "ICY 200 OK\r\n\r\n", HTTP1_LINE },
                { "HTTP/2.0 200 OK\r\n\r\n", HTTP1_VERSION },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                  HTTP1_LENGTHS },
                { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                  HTTP1_BOTH },
                { "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_CODING },
                { "HTTP/1.1 200 OK\nX: y\r\n\r\n", HTTP1_NEWLINE },
                { "HTTP/1.1 100 Go\r\nContent-Length: 5\r\n\r\n", HTTP1_LENGTHS },
                { "HTTP/1.1 103 Go\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP1_LENGTHS },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                CHECK_ROW(!response(rows[i].text, rows[i].method), rows[i].text);
                CHECK_ROW(h.body == rows[i].body && h.keep_alive == rows[i].keep_alive,
                          rows[i].text);
        }
        for (size_t i = 0; i < COUNT(bad); i++)
                CHECK_ROW(response(bad[i].text, "GET") == bad[i].status, bad[i].text);
}

static const char *rewritten(bool absolute, const char *authority, const char *const *drop,
                             bool close)
{
        static char buf[2048];
        struct wr w = wr_of(buf, sizeof(buf));

        if (h.code)
                http1_put_status_line(&w, &h);
        else
                http1_put_request_line(&w, &h, absolute, authority);
        http1_put_headers(&w, &h, drop);
        http1_put_end(&w, &h, close);
        return wr_cstr(&w);
}

TEST(a_head_is_written_anew_without_what_ends_here)
{
        static const char *const drop[] = { "authorization", NULL };

        CHECK(!request("POST http://A.org/x?y HTTP/1.1\r\nHost: b\r\nProxy-Authorization: s\r\n"
                       "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                       "Accept:   */*  \r\nAuthorization: mine\r\nContent-Length: 3\r\n"
                       "Expect: 100-continue\r\n\r\n"));
        CHECK(!strcmp(rewritten(false, "a.org", drop, false),
                      "POST /x?y HTTP/1.1\r\nHost: a.org\r\nAccept: */*\r\nContent-Length: 3\r\n"
                      "Expect: 100-continue\r\n\r\n"));
        CHECK(!strcmp(rewritten(true, NULL, drop, true),
                      "POST http://A.org/x?y HTTP/1.1\r\nHost: A.org\r\nAccept: */*\r\n"
                      "Content-Length: 3\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n"));
        CHECK(!request("GET http://[::1]:81/ HTTP/1.0\r\n\r\n"));
        CHECK(!strcmp(rewritten(false, NULL, NULL, false),
                      "GET / HTTP/1.0\r\nHost: [::1]:81\r\n\r\n"));
        CHECK(!request("OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n"));
        CHECK(!strcmp(rewritten(false, NULL, NULL, false),
                      "OPTIONS * HTTP/1.1\r\nHost: a.org\r\n\r\n"));
        CHECK(!strcmp(rewritten(true, NULL, NULL, false),
                      "OPTIONS http://a.org HTTP/1.1\r\nHost: a.org\r\n\r\n"));
        CHECK(!request(R "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Key: k\r\n\r\n"));
        CHECK(!strcmp(rewritten(false, NULL, NULL, false),
                      "GET / HTTP/1.1\r\nHost: a.org\r\nSec-WebSocket-Key: k\r\n"
                      "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
        CHECK(!response("HTTP/1.0 200 Fine\r\nContent-Length: 7\r\nX: y\r\n\r\n", "HEAD"));
        CHECK(!strcmp(rewritten(false, NULL, NULL, true),
                      "HTTP/1.1 200 Fine\r\nX: y\r\nContent-Length: 7\r\n"
                      "Connection: close\r\n\r\n"));
        CHECK(!response("HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
                        "GET"));
        CHECK(!strcmp(rewritten(false, NULL, NULL, false),
                      "HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
}

/* The body that comes out of the decoder, fed in pieces of @step; what is left in *rest. */
static enum http1_status decode(const char *s, size_t len, size_t step, char out[256],
                                size_t *rest)
{
        struct http1_chunked c;
        struct wr w = wr_of(out, 255);
        enum http1_status status = HTTP1_MORE;

        http1_chunked_init(&c);
        *rest = len;
        for (size_t at = 0; at < len && (status == HTTP1_MORE || status == HTTP1_OK);) {
                size_t n = step < len - at ? step : len - at;
                struct http1_text piece;
                size_t used;

                status = http1_chunk_next(&c, s + at, n, &used, &piece);
                if (status == HTTP1_OK)
                        wr_bytes(&w, piece.at, piece.len);
                CHECK(used <= n && (used == n || status != HTTP1_MORE));
                at += used;
                *rest = len - at;
        }
        wr_cstr(&w);
        return status;
}

TEST(a_chunked_body_is_read_however_its_bytes_arrive)
{
        static const char body[] = "4;a=b\r\nWiki\r\n00A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\nNEXT";

        for (size_t step = 1; step < sizeof(body); step++) {
                char out[256];
                size_t rest;

                CHECK(decode(body, sizeof(body) - 1, step, out, &rest) == HTTP1_DONE);
                CHECK(!strcmp(out, "Wiki0123456789") && rest == 4);
        }
        for (size_t n = 0; n < sizeof(body) - 5; n++) {
                char out[256];
                size_t rest;
                enum http1_status s = decode(body, n, n ? n : 1, out, &rest);

                CHECK(s == HTTP1_MORE || s == HTTP1_OK);
        }
}

TEST(a_malformed_chunk_is_refused)
{
        static const struct {
                const char *text, *why;
        } rows[] = {
                { "\r\n", "no size" },           { "g\r\n", "no hex" },
                { "-1\r\n", "minus" },           { "+1\r\n", "plus" },
                { "0x1\r\n", "a prefix" },       { " 1\r\n", "a space first" },
                { "1 \r\n", "a space behind" },  { "1\t;a\r\n", "a tab" },
                { "1\n", "bare LF" },            { "1\rx", "bare CR" },
                { "1;a\n", "bare LF in an extension" }, { "1;a\rb", "bare CR in an extension" },
                { "1;\1\r\n", "a control byte" }, { "1\r\nab\r\n", "more data than said" },
                { "1\r\na\n", "bare LF behind data" }, { "1\r\na1\r\n", "no newline" },
                { "0000000000000001\r\n", "16 digits" }, { "0\r\n\n", "bare LF at the end" },
                { "0\r\nX: y\n", "bare LF in a trailer" },
                { "0\r\n folded\r\n", "a folded trailer" },
                { "0\r\nX\1: y\r\n", "a control byte in a trailer" },
        };
        char out[256];
        size_t rest;

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(decode(rows[i].text, strlen(rows[i].text), 1, out, &rest) == HTTP1_CHUNK,
                          rows[i].why);
}

TEST(extensions_and_trailers_have_limits)
{
        static char big[HTTP1_TRAILERS_MAX + 64];
        char out[256];
        size_t rest;

        memset(big, 'a', sizeof(big));
        memcpy(big, "1;", 2);
        CHECK(decode(big, 300, 300, out, &rest) == HTTP1_TOO_LONG);
        memcpy(big, "0\r\n", 3);
        CHECK(decode(big, sizeof(big), sizeof(big), out, &rest) == HTTP1_TOO_LONG);
        for (size_t i = 3; i + 5 < sizeof(big); i += 5)
                memcpy(big + i, "a:b\r\n", 5);
        CHECK(decode(big, sizeof(big), sizeof(big), out, &rest) == HTTP1_TOO_LONG);
}
