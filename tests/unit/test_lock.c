/* tests/unit/test_lock.c - id maps, other people's sockets, the sandbox's command line. */
#include "netfilter/idmap.h"
#include "netfilter/lock.h"
#include "netfilter/mounts.h"
#include "netfilter/sandbox_options.h"
#include "tests/unit/unit.h"

#include <string.h>

TEST(a_map_keeps_every_id_its_number)
{
        static const struct {
                const char *why, *text, *map; /* NULL: malformed */
        } rows[] = {
                { "the whole machine", "         0          0 4294967295\n", "0 0 4294967295\n" },
                { "ids from elsewhere", "0 100000 65536\n", "0 0 65536\n" },
                { "extents", "0 1000 1\n1 100000 65536\n", "0 0 1\n1 1 65536\n" },
                { "no newline", "0 0 1", NULL },
                { "two numbers", "0 0\n", NULL },
                { "four numbers", "0 0 1 1\n", NULL },
                { "nothing", "", NULL },
                { "no id", "0 0 0\n", NULL },
                { "a sign", "-1 0 1\n", NULL },
                { "too large", "4294967296 0 1\n", NULL },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                char out[64];
                enum idmap_status s = idmap_identity(
                        at_page_end(rows[i].text, strlen(rows[i].text) + 1), out, sizeof(out));

                CHECK_ROW((s == IDMAP_OK) == (rows[i].map != NULL), rows[i].why);
                CHECK_ROW(s != IDMAP_OK || !strcmp(out, rows[i].map), rows[i].why);
        }
}

TEST(a_map_that_does_not_fit_is_none)
{
        char out[16];

        CHECK(idmap_identity("0 0 1\n5 5 1\n", out, sizeof(out)) == IDMAP_OK);
        CHECK(idmap_identity("0 0 1\n5 5 1\n9 9 1\n", out, sizeof(out)) == IDMAP_TOO_LONG);
}

TEST(a_socket_with_a_path_that_takes_connections_is_found)
{
        static const struct {
                const char *why, *line, *path;
        } rows[] = {
                { "a listener", "0000: 00000002 00000000 00010000 0001 01 7 /run/x y", "/run/x y" },
                { "a datagram socket", "0000: 00000002 00000000 00000000 0002 01 7 /dev/log",
                  "/dev/log" },
                { "an accepted connection", "0000: 00000003 00000000 00000000 0001 03 7 /run/x",
                  NULL },
                { "an abstract name", "0000: 00000002 00000000 00010000 0001 01 7 @/run/x", NULL },
                { "no name", "0000: 00000002 00000000 00010000 0001 01 7", NULL },
                { "the heading", "Num       RefCount Protocol Flags    Type St Inode Path", NULL },
                { "nothing", "", NULL },
        };

        for (size_t i = 0; i < COUNT(rows); i++) {
                const char *path = mounts_unix_path(
                        at_page_end(rows[i].line, strlen(rows[i].line) + 1));

                CHECK_ROW(path ? rows[i].path && !strcmp(path, rows[i].path) : !rows[i].path,
                          rows[i].why);
        }
}

#define W(s) ((char *)(uintptr_t)(s))
#define WORDS(...) (char *[]){ W("sandbox"), __VA_ARGS__, NULL }

static enum sandbox_status parse(struct sandbox_options *o, char **argv)
{
        static char policy[SANDBOX_POLICY_MAX];
        static char *words[16]; /* outlive the statement that named them */
        const char *word;
        enum sandbox_status s;

        for (size_t i = 0; i < COUNT(words) && (words[i] = argv[i]); i++)
                ;
        *o = (struct sandbox_options){ .lock = LOCK_COUNT, .policy = policy };
        s = sandbox_parse(o, words, &word);
        policy[o->policy_len] = '\0';
        return s;
}

TEST(options_become_a_policy)
{
        struct sandbox_options o;

        CHECK(parse(&o, WORDS(W("true"))) == SANDBOX_OK);
        CHECK(o.net == SANDBOX_OFF && !strcmp(o.policy, "mode off\n"));
        CHECK(!strcmp(o.argv[0], "true"));
        CHECK(parse(&o, WORDS(W("--net"), W("limited"), W("--allow=*.example.org"), W("--deny"),
                              W("a b\n%"), W("--preset"), W("none"), W("--"), W("sh"))) ==
              SANDBOX_OK);
        CHECK(o.net == SANDBOX_LIMITED && !strcmp(o.argv[0], "sh"));
        CHECK(!strcmp(o.policy, "allow *.example.org\ndeny a%20b%0A%25\npreset none\n"
                                "mode limited\n"));
}

TEST(a_rule_is_one_line)
{
        struct sandbox_options o;

        CHECK(parse(&o, WORDS(W("--net=full"), W("--rule=host=a.b ports=22\nmode full"),
                              W("true"))) == SANDBOX_OK);
        CHECK(!strcmp(o.policy, "rule host=a.b ports=22\nmode full\n"));
}

TEST(what_is_wrong_on_the_command_line_is_told)
{
        struct sandbox_options o;

        CHECK(parse(&o, WORDS(NULL)) == SANDBOX_NO_COMMAND);
        CHECK(parse(&o, WORDS(W("--"))) == SANDBOX_NO_COMMAND);
        CHECK(parse(&o, WORDS(W("--net"))) == SANDBOX_NO_VALUE);
        CHECK(parse(&o, WORDS(W("--net"), W("on"), W("true"))) == SANDBOX_BAD_VALUE);
        CHECK(parse(&o, WORDS(W("--fs"), W("none"), W("true"))) == SANDBOX_BAD_VALUE);
        CHECK(parse(&o, WORDS(W("--lock"), W("none"), W("true"))) == SANDBOX_BAD_VALUE);
        CHECK(parse(&o, WORDS(W("--allow"), W("a.b"), W("true"))) == SANDBOX_NEEDS_NET);
        CHECK(parse(&o, WORDS(W("--journal"), W("j"), W("true"))) == SANDBOX_NEEDS_NET);
        CHECK(parse(&o, WORDS(W("--no-such-thing-here"), W("x"))) == SANDBOX_UNKNOWN);
        CHECK(parse(&o, WORDS(W("-x"))) == SANDBOX_UNKNOWN);
        CHECK(parse(&o, WORDS(W("--help"))) == SANDBOX_HELP);
        for (int s = SANDBOX_OK; s <= SANDBOX_NEEDS_NET; s++)
                CHECK(sandbox_status_str((enum sandbox_status)s)[0] != '?');
}

TEST(every_lock_is_known_by_its_name)
{
        for (enum lock lock = LOCK_NONE; lock < LOCK_COUNT; lock++)
                CHECK(lock_parse(lock_name(lock)) == lock);
        CHECK(lock_parse("") == LOCK_COUNT && lock_parse("netn") == LOCK_COUNT);
}
