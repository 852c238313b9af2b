/* tests/unit/test_resolv.c - resolv.conf as people write it, and the names that follow. */
#include "netfilter/resolv.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct resolv r;

/* The names asked for, with a space before each. */
static const char *candidates(const char *asked)
{
        static char text[1024];
        struct name name, out;

        text[0] = '\0';
        CHECK(name_parse(&name, asked, strlen(asked)) == NAME_OK);
        for (unsigned n = 0; resolv_candidate(&r, &name, n, &out); n++) {
                strcat(text, " ");
                strcat(text, out.text);
        }
        return text;
}

TEST(an_empty_file_says_nothing)
{
        resolv_parse(&r, NULL);
        CHECK(!r.server_count && !r.search_count && !r.timeout_s && !r.attempts && r.ndots == 1);
        resolv_parse(&r, "# nameserver 10.0.0.1\n;search a.example\n\n");
        CHECK(!r.server_count && !r.search_count);
        CHECK(!strcmp(candidates("db"), " db"));
}

TEST(the_file_of_a_pod_is_understood)
{
        resolv_parse(&r, "search default.svc.cluster.local svc.cluster.local\n"
                         "nameserver 10.96.0.10\noptions ndots:5 timeout:2 attempts:3\n");
        CHECK(r.server_count == 1 && r.servers[0].family == 4);
        CHECK(r.ndots == 5 && r.timeout_s == 2 && r.attempts == 3);
        CHECK(!strcmp(candidates("db"),
                      " db.default.svc.cluster.local db.svc.cluster.local db"));
        CHECK(!strcmp(candidates("db.prod"), " db.prod db.prod.default.svc.cluster.local"
                                             " db.prod.svc.cluster.local"));
        CHECK(!strcmp(candidates("a.b.c.d.e.f"), " a.b.c.d.e.f"));
}

TEST(the_last_search_line_wins_and_a_name_with_a_dot_has_none_by_default)
{
        resolv_parse(&r, "domain one.example\nsearch two.example bad..name three.example # x\n");
        CHECK(r.search_count == 2);
        CHECK(!strcmp(candidates("db"), " db.two.example db.three.example db"));
        CHECK(!strcmp(candidates("db.prod"), " db.prod"));
}

TEST(more_than_there_is_room_for_and_nonsense_are_passed_over)
{
        resolv_parse(&r, "nameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver ::1\n"
                         "nameserver x\nnameserver\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n"
                         "search a b c d e f g h i j\n"
                         "options timeout:99999999999999999999 attempts: ndots:x rotate edns0\n");
        CHECK(r.server_count == 3 && r.servers[1].family == 6);
        CHECK(r.search_count == RESOLV_SEARCHES);
        CHECK(r.timeout_s == 30 && !r.attempts && r.ndots == 1);
        resolv_parse(&r, "search a.example\noptions ndots:0\n");
        CHECK(!strcmp(candidates("db"), " db"));
}

TEST(what_is_too_long_with_its_domain_stays_alone)
{
        char text[300] = "search ", *end = text + strlen(text);

        for (int i = 0; i < 24; i++)
                end += strlen(strcpy(end, "abcdefghi."));
        strcpy(end, "org\n");
        resolv_parse(&r, text);
        CHECK(r.search_count == 1);
        CHECK(!strcmp(candidates("averylonglabel"), " averylonglabel averylonglabel"));
}
