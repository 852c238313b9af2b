/* tests/unit/test_git.c - which requests push, and which refs a push names. */
#include "netfilter/git.h"

#include "base/wr.h"
#include "netfilter/glob.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_request_is_read_as_the_most_dangerous_thing_it_could_be)
{
        static const struct {
                const char *method, *path, *query;
                enum git_service service;
        } rows[] = {
                { "GET", "/a/b.git/info/refs", "service=git-upload-pack", GIT_READ },
                { "HEAD", "/a/b.git/info/refs", "service=git-upload-pack", GIT_READ },
                { "GET", "/a/b.git/info/refs", "service=git-receive-pack", GIT_WRITE },
                { "GET", "/a/b.git/info/refs", "", GIT_NONE },
                { "GET", "/a/b.git/info/refs", "service=git-upload-pack&x=1", GIT_ODD },
                { "GET", "/info/refs", "service=git-upload-pack&service=git-receive-pack",
                  GIT_ODD },
                { "GET", "/info/refs", "service=git%2Dreceive-pack", GIT_ODD },
                { "GET", "/info/refs", "%73ervice=git-receive-pack", GIT_ODD },
                { "POST", "/info/refs", "service=git-upload-pack", GIT_ODD },
                { "GET", "/info/refs/", "service=git-receive-pack", GIT_ODD },
                { "GET", "/INFO/REFS", "service=git-receive-pack", GIT_ODD },
                { "GET", "/info/refs;x", "service=git-receive-pack", GIT_ODD },
                { "GET", "/info/refsheet", "service=git-receive-pack", GIT_NONE },
                { "GET", "/myinfo/refs", "service=git-receive-pack", GIT_NONE },
                { "POST", "/a/b.git/git-upload-pack", "", GIT_READ },
                { "GET", "/a/b.git/git-upload-pack", "", GIT_NONE },
                { "PUT", "/a/b.git/git-upload-pack", "", GIT_NONE },
                { "POST", "/a/b.git/xgit-upload-pack", "", GIT_NONE },
                { "POST", "/a/b.git/git-upload-pack/", "", GIT_NONE },
                { "POST", "/a/b.git/info/lfs/objects/batch", "", GIT_READ },
                { "POST", "/a/b.git/info/lfs/locks", "", GIT_NONE },
                { "POST", "/a/b.git/git-receive-pack", "", GIT_WRITE },
                { "POST", "/a/b.git/git-receive-pack/", "", GIT_ODD },
                { "POST", "/a/b.git/git-receive-pack;a=b", "", GIT_ODD },
                { "POST", "/a/b.git/GIT-Receive-Pack", "", GIT_ODD },
                { "POST", "/a/git-receive-pack/git-upload-pack", "", GIT_ODD },
                { "PUT", "/a/b.git/git-receive-pack", "", GIT_ODD },
                { "post", "/a/b.git/git-receive-pack", "", GIT_ODD },
                { "GET", "/", "", GIT_NONE },
                { "POST", "/", "", GIT_NONE },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                size_t n = strlen(rows[i].path);

                CHECK_ROW(git_classify(rows[i].method, strlen(rows[i].method),
                                       at_page_end(rows[i].path, n), n, rows[i].query,
                                       strlen(rows[i].query)) == rows[i].service,
                          rows[i].path);
        }
}

#define ID1 "1111111111111111111111111111111111111111"
#define ID2 "abcdefabcdefabcdefabcdefabcdefabcdefabcd"
#define ID0 "0000000000000000000000000000000000000000"
#define LONG(id) id "000000000000000000000000"
#define REF_MAIN ID1 " " ID2 " refs/heads/main"

static void put_line(struct wr *w, const char *s, size_t len)
{
        static const char hex[] = "0123456789abcdef";
        size_t n = len + 4;

        for (int shift = 12; shift >= 0; shift -= 4)
                wr_char(w, hex[n >> shift & 15]);
        wr_bytes(w, s, len);
}

/* Feeds in pieces of @step; the updates' refs are collected with commas between. */
static enum git_status feed(struct git_push *g, const char *bytes, size_t len, size_t step,
                            char refs[4096], size_t *rest)
{
        struct wr w = wr_of(refs, 4095);
        enum git_status s = GIT_MORE;

        git_push_init(g);
        for (size_t at = 0; at < len;) {
                size_t n = step < len - at ? step : len - at;
                size_t used;
                struct git_update u;

                s = git_push_next(g, step > 50 ? at_page_end(bytes + at, n) : bytes + at, n,
                                  &used, &u);
                CHECK(used <= n && (used || s != GIT_MORE));
                at += used;
                *rest = len - at;
                if (s == GIT_UPDATE) {
                        if (w.len)
                                wr_char(&w, ',');
                        wr_str(&w, u.ref);
                        if (u.deletes)
                                wr_char(&w, '-');
                        if (u.creates)
                                wr_char(&w, '+');
                } else if (s != GIT_MORE) {
                        break;
                }
        }
        wr_cstr(&w);
        return s;
}

TEST(a_push_names_its_refs_however_its_bytes_arrive)
{
        static const char first[] = REF_MAIN "\0report-status side-band-64k agent=git/2";
        char buf[1024];
        struct wr w = wr_of(buf, sizeof(buf));

        put_line(&w, "shallow " ID1, 48);
        put_line(&w, first, sizeof(first) - 1);
        put_line(&w, ID1 " " ID0 " refs/heads/old\n", 97);
        put_line(&w, ID0 " " ID2 " refs/tags/v1", 94);
        put_line(&w, LONG(ID1) " " LONG(ID2) " refs/heads/sha256", 147);
        wr_str(&w, "0000PACKdata");
        CHECK(!w.full);
        for (size_t step = 1; step <= w.len; step++) {
                struct git_push g;
                char refs[4096];
                size_t rest;

                CHECK(feed(&g, buf, w.len, step, refs, &rest) == GIT_DONE);
                CHECK_ROW(!strcmp(refs, "refs/heads/main,refs/heads/old-,refs/tags/v1+,"
                                        "refs/heads/sha256"), refs);
                CHECK(rest == 8);
        }
}

TEST(a_probe_is_a_list_without_commands)
{
        struct git_push g;
        char refs[4096];
        size_t rest;

        CHECK(feed(&g, "0000", 4, 1, refs, &rest) == GIT_DONE && !*refs && !rest);
        for (size_t n = 1; n < 4; n++)
                CHECK(feed(&g, "0000", n, 1, refs, &rest) == GIT_MORE);
}

TEST(a_list_that_a_server_could_read_otherwise_is_refused)
{
        static const struct {
                const char *why, *line;
                size_t len;
                enum git_status status;
        } rows[] = {
                { "a push certificate", "push-cert\0caps", 14, GIT_SIGNED },
                { "half a certificate's word", "push-certx", 10, GIT_SIGNED },
                { "no ids", "refs/heads/main", 15, GIT_MALFORMED },
                { "a tab for a space", ID1 "\t" ID2 " refs/heads/main", 97, GIT_MALFORMED },
                { "a ref outside refs/", ID1 " " ID2 " HEAD", 86, GIT_MALFORMED },
                { "no ref", ID1 " " ID2 " ", 82, GIT_MALFORMED },
                { "two dots", ID1 " " ID2 " refs/heads/../x", 97, GIT_MALFORMED },
                { "two slashes", ID1 " " ID2 " refs//heads/x", 95, GIT_MALFORMED },
                { "a slash last", ID1 " " ID2 " refs/heads/", 93, GIT_MALFORMED },
                { "a space in the ref", ID1 " " ID2 " refs/heads/a b", 96, GIT_MALFORMED },
                { "a newline in the ref", ID1 " " ID2 " refs/heads/a\nb", 96, GIT_MALFORMED },
                { "two newlines at the end", ID1 " " ID2 " refs/heads/a\n\n", 96, GIT_MALFORMED },
                { "a colon", ID1 " " ID2 " refs/heads/a:b", 96, GIT_MALFORMED },
                { "a star", ID1 " " ID2 " refs/heads/a*", 95, GIT_MALFORMED },
                { "a bad id", "x" ID1 ID2 " refs/heads/a", 93, GIT_MALFORMED },
                { "a shallow line that is none", "shallow x", 9, GIT_MALFORMED },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char buf[512];
                struct wr w = wr_of(buf, sizeof(buf));
                struct git_push g;
                char refs[4096];
                size_t rest, used;
                struct git_update u;

                put_line(&w, rows[i].line, rows[i].len);
                wr_str(&w, "0000");
                CHECK_ROW(feed(&g, buf, w.len, w.len, refs, &rest) == rows[i].status, rows[i].why);
                CHECK_ROW(git_push_next(&g, "0000", 4, &used, &u) == rows[i].status && !used,
                          rows[i].why);
        }
}

TEST(capabilities_come_once_and_lines_have_a_length)
{
        static const char *const heads[] = { "0001", "0002", "0003", "0004", "00-1", "0x10", " 005",
                                             "+005" };
        char buf[512];
        struct wr w = wr_of(buf, sizeof(buf));
        struct git_push g;
        char refs[4096];
        size_t rest;

        put_line(&w, REF_MAIN, strlen(REF_MAIN));
        put_line(&w, REF_MAIN "\0caps", strlen(REF_MAIN) + 5);
        CHECK(feed(&g, buf, w.len, 7, refs, &rest) == GIT_MALFORMED);
        for (size_t i = 0; i < COUNT(heads); i++)
                CHECK_ROW(feed(&g, heads[i], 4, 4, refs, &rest) == GIT_MALFORMED, heads[i]);
        CHECK(feed(&g, "ffff", 4, 4, refs, &rest) == GIT_LIMIT);
}

TEST(a_list_without_end_reaches_a_limit)
{
        char line[256];
        struct wr w = wr_of(line, sizeof(line));
        struct git_push g;
        enum git_status s = GIT_UPDATE;
        size_t total = 0;

        git_push_init(&g);
        put_line(&w, REF_MAIN, strlen(REF_MAIN));
        while (s == GIT_UPDATE) {
                struct git_update u;
                size_t used;

                s = git_push_next(&g, line, w.len, &used, &u);
                total += used;
        }
        CHECK(s == GIT_LIMIT && total <= GIT_LIST_MAX);
}

TEST(a_branch_pattern_means_branches_unless_it_names_refs)
{
        static const struct {
                const char *pattern, *ref;
                bool matches;
        } rows[] = {
                { "airlock/*", "refs/heads/airlock/task-1", true },
                { "airlock/*", "refs/heads/airlock", false },
                { "airlock/*", "refs/tags/airlock/x", false },
                { "main", "refs/heads/main", true },
                { "main", "refs/heads/main2", false },
                { "main", "refs/heads/x/main", false },
                { "*", "refs/heads/a/b", true },
                { "*", "refs/tags/v1", false },
                { "refs/tags/*", "refs/tags/v1", true },
                { "refs/*", "refs/heads/main", true },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(git_ref_matches(rows[i].pattern, rows[i].ref) == rows[i].matches,
                          rows[i].pattern);
}

TEST(a_glob_matches_all_or_nothing)
{
        static const struct {
                const char *pattern, *text;
                bool matches;
        } rows[] = {
                { "", "", true },        { "", "a", false },       { "*", "", true },
                { "*", "a/b.c", true },  { "a*", "a", true },      { "a*b", "ab", true },
                { "a*b", "axxbxb", true }, { "a*b", "axxbx", false }, { "**", "x", true },
                { "?", "", false },      { "?", "a", true },       { "a?c", "abc", true },
                { "*a*b*c*", "xxaxbxcx", true }, { "*a*b*c*", "xxaxcxbx", false },
                { "/a/*", "/a", false }, { "/a/*", "/a/", true },  { "/a", "/a/", false },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(glob_matches(rows[i].pattern, rows[i].text) == rows[i].matches,
                          rows[i].pattern);
}
