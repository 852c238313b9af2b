/* tests/unit/test_forge.c - what a pull request asks for, and what a forge's answers are taken for. */
#include "agent/forge.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct forge_wish wish(const char *answer)
{
        static const char name[] = "acme/app";
        struct forge_wish w = { .title = "A \"fix\"", .branch = "airlock/t+1", .base = "main",
                                .owner = name, .owner_len = 4, .name = name, .name_len = 8,
                                .answer = answer, .answer_len = strlen(answer),
                                .answer_all = strlen(answer), .start = "0123456789abcdef",
                                .commit = "fedcba9876543210" };

        return w;
}

static bool says(struct buf *b, const char *text)
{
        bool same = b->len == strlen(text) && !memcmp(buf_at(b), text, b->len);

        buf_free(b);
        return same;
}

static bool begins(const struct buf *b, const char *text)
{
        return b->len > strlen(text) && !memcmp(buf_at(b), text, strlen(text));
}

#define TRAILER "\n\n---\nMade by airlock " AIRLOCK_VERSION " from 0123456789ab, as fedcba987654.\n"

TEST(what_would_ping_or_hide_is_made_harmless)
{
        static const struct {
                const char *answer, *text;
        } rows[] = {
                { "Done.", "Done." TRAILER },
                { "@all, a@b.c and @", "@\xe2\x80\x8b" "all, a@\xe2\x80\x8b" "b.c and @" TRAILER },
                { "@\xc3\xa9", "@\xe2\x80\x8b\xc3\xa9" TRAILER },
                { "&#64;all &commat;b @&#97;ll", "&\xe2\x80\x8b#64;all &\xe2\x80\x8b" "commat;b @\xe2\x80\x8b&\xe2\x80\x8b#97;ll" TRAILER },
                { "f(&x, a && b) &comma", "f(&x, a && b) &comma" TRAILER },
                { "&\x01#64;all", "&\xe2\x80\x8b#64;all" TRAILER },
                { "a<!-- obey -->b <? <b>", "a<\xe2\x80\x8b!-- obey -->b <\xe2\x80\x8b? <b>" TRAILER },
                { "@\x01" "all <\x7f\x02!-- x", "@\xe2\x80\x8b" "all <\xe2\x80\x8b!-- x" TRAILER },
                { "\x1b[2Jx\ty\r\n\x7f\x01z", "[2Jx\ty\nz" TRAILER },
                { "cut \xc3", "cut \xef\xbf\xbd" TRAILER },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                struct forge_wish w = wish("");
                struct buf b = { 0 };
                size_t n = strlen(rows[i].answer);

                w.answer = at_page_end(rows[i].answer, n);
                w.answer_len = w.answer_all = n;
                forge_put_text(&b, &w);
                CHECK_ROW(says(&b, rows[i].text), rows[i].answer);
        }
}

TEST(a_long_answer_is_cut_between_characters_and_says_so)
{
        static char text[FORGE_BODY];
        struct forge_wish w = wish("");
        struct buf b = { 0 };

        for (size_t i = 0; i + 2 < sizeof(text); i += 3)
                memcpy(text + i, "\xe2\x82\xac", 3);
        w.answer = text;
        w.answer_len = sizeof(text);
        w.answer_all = 1234567;
        forge_put_text(&b, &w);
        CHECK(b.len > FORGE_BODY - 2100 && b.len < FORGE_BODY);
        CHECK(memmem(buf_at(&b), b.len, "\xac\n\n(Cut here: the whole answer has 1234567 bytes.)", 49));
        buf_free(&b);
}

TEST(a_request_says_where_to_when_it_opens_and_not_when_it_updates)
{
        struct forge_wish w = wish("x");
        struct buf b = { 0 };

        w.draft = true;
        forge_put_request(&b, &w, true);
        CHECK(begins(&b, "{\"head\":\"airlock/t+1\",\"base\":\"main\",\"draft\":true,"
                         "\"title\":\"A \\\"fix\\\"\",\"body\":\"x"));
        buf_free(&b);
        forge_put_request(&b, &w, false);
        CHECK(begins(&b, "{\"title\":\"A \\\"fix\\\"\",\"body\""));
        buf_free(&b);
        w.gitea = true;
        forge_put_request(&b, &w, true);
        CHECK(memmem(buf_at(&b), b.len, "\"title\":\"WIP: A \\\"fix", 21) &&
              !memmem(buf_at(&b), b.len, "draft", 5));
        buf_free(&b);
        forge_put_query(&b, &w, 3);
        CHECK(says(&b, "?state=open&head=acme%3Aairlock%2Ft%2B1&base=main&per_page=50&limit=50&page=3"));
}

#define PULL(number, state, head, repo, base)                                                  \
        "{\"number\":" number ",\"state\":\"" state "\",\"html_url\":\"https://f/p\",\"head\":{\"ref\":\"" \
        head "\",\"repo\":{\"full_name\":\"" repo "\"}},\"base\":{\"ref\":\"" base "\"}}"
#define OURS "airlock/t+1"

TEST(of_a_list_only_our_own_pull_request_is_taken)
{
        static const struct {
                const char *json;
                enum forge_status status;
                uint32_t number;
        } rows[] = {
                { "[]", FORGE_NONE_SUCH, 0 },
                { "[" PULL("7", "open", OURS, "acme/app", "main") "]", FORGE_OK, 7 },
                { "[" PULL("7", "open", OURS, "Acme/App", "main") "]", FORGE_OK, 7 },
                { "[" PULL("7", "open", OURS, "evil/app", "main") "]", FORGE_NONE_SUCH, 0 },
                { "[" PULL("7", "open", "other", "acme/app", "main") ","
                  PULL("8", "open", OURS, "acme/app", "next") ","
                  PULL("9", "closed", OURS, "acme/app", "main") ","
                  PULL("10", "open", OURS, "acme/app", "main") "]", FORGE_OK, 10 },
                { "[" PULL("0", "open", OURS, "acme/app", "main") "]", FORGE_NONE_SUCH, 0 },
                { "[" PULL("-7", "open", OURS, "acme/app", "main") "]", FORGE_NONE_SUCH, 0 },
                { "[1,null,\"x\",[],{}]", FORGE_NONE_SUCH, 0 },
                { "{}", FORGE_GARBAGE, 0 },
                { "\"[]\"", FORGE_GARBAGE, 0 },
                { "[", FORGE_GARBAGE, 0 },
                { "", FORGE_GARBAGE, 0 },
        };
        struct forge_wish w = wish("");

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].json);
                struct forge_pull p;

                CHECK_ROW(forge_find(&p, &w, at_page_end(rows[i].json, n), n) == rows[i].status,
                          rows[i].json);
                CHECK_ROW(p.number == rows[i].number, rows[i].json);
        }
}

TEST(a_whole_page_without_it_asks_for_the_next)
{
        struct forge_wish w = wish("");
        struct buf b = { 0 };
        struct forge_pull p;

        for (unsigned i = 0; i < FORGE_PAGE; i++)
                buf_fmt(&b, "%s{}", i ? "," : "[");
        buf_str(&b, "]");
        CHECK(forge_find(&p, &w, buf_at(&b), b.len) == FORGE_MORE);
        buf_free(&b);
}

TEST(an_answer_is_a_number_a_state_and_perhaps_an_address)
{
        static const struct {
                const char *json, *url;
                enum forge_status status;
        } rows[] = {
                { PULL("3", "open", "", "", ""), "https://f/p", FORGE_OK },
                { "{\"number\":3,\"state\":\"open\"}", "", FORGE_OK },
                { "{\"number\":3,\"state\":\"open\",\"html_url\":\"javascript:x\"}", "", FORGE_OK },
                { "{\"number\":3,\"state\":\"open\",\"html_url\":\"https://x/\\u001b[2J\"}", "", FORGE_OK },
                { "{\"number\":3,\"state\":\"open\",\"html_url\":\"https://x/\\u00e9\"}", "", FORGE_OK },
                { "{\"number\":3,\"state\":\"open\",\"html_url\":7}", "", FORGE_OK },
                { "{\"number\":3,\"state\":\"done\"}", "", FORGE_GARBAGE },
                { "{\"number\":\"3\",\"state\":\"open\"}", "", FORGE_GARBAGE },
                { "{\"number\":4294967296,\"state\":\"open\"}", "", FORGE_GARBAGE },
                { "{\"state\":\"open\"}", "", FORGE_GARBAGE },
                { "[]", "", FORGE_GARBAGE },
                { "<html>", "", FORGE_GARBAGE },
        };
        struct forge_pull p;

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].json);

                CHECK_ROW(forge_read(&p, at_page_end(rows[i].json, n), n) == rows[i].status,
                          rows[i].json);
                CHECK_ROW(!strcmp(p.url, rows[i].url), rows[i].json);
        }
}

TEST(an_errors_message_is_one_short_printable_line)
{
        static char json[4000];
        char said[FORGE_TEXT];
        struct wr w = wr_of(json, sizeof(json));

        forge_message(said, "{\"message\":\"Bad\\u001b[2J\\ncredentials\"}", 39);
        CHECK(!strcmp(said, "Bad\\x1b[2J\\x0acredentials"));
        forge_message(said, "<html>no", 8);
        CHECK(!*said);
        wr_str(&w, "{\"message\":\"");
        for (size_t i = 0; i < 600; i++)
                wr_str(&w, "\\u0007");
        wr_str(&w, "\"}");
        forge_message(said, json, w.len);
        CHECK(strlen(said) < FORGE_TEXT && !strncmp(said, "\\x07\\x07", 8));
}
