/* netfilter/sandbox_options.c - the command line of `airlock sandbox`. */
#include "netfilter/sandbox_options.h"

#include "base/wr.h"

#include <string.h>

static const char nets[][8] = { [SANDBOX_OFF] = "off", [SANDBOX_LIMITED] = "limited",
                                [SANDBOX_FULL] = "full" };

const char *sandbox_status_str(enum sandbox_status s)
{
        switch (s) {
        case SANDBOX_OK:
                return "fine";
        case SANDBOX_HELP:
                return "help";
        case SANDBOX_UNKNOWN:
                return "unknown option";
        case SANDBOX_NO_VALUE:
                return "a value is missing after";
        case SANDBOX_BAD_VALUE:
                return "not a value for";
        case SANDBOX_NO_COMMAND:
                return "no command: airlock sandbox [OPTIONS] -- COMMAND";
        case SANDBOX_TOO_MUCH:
                return "too many rules or folders";
        case SANDBOX_NEEDS_NET:
                return "needs --net limited or --net full:";
        }
        return "?";
}

/* Everything but what the policy's words may hold as it is becomes %XX. */
static void put_word(struct wr *w, const char *word)
{
        static const char plain[] = "/*?:,.-_~@[]=";
        static const char hex[] = "0123456789ABCDEF";

        for (; *word; word++) {
                unsigned char c = (unsigned char)*word;

                if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    strchr(plain, c)) {
                        wr_char(w, *word);
                        continue;
                }
                wr_char(w, '%');
                wr_char(w, hex[c >> 4]);
                wr_char(w, hex[c & 15]);
        }
}

static void put_line(struct wr *w, const char *keyword, const char *word)
{
        wr_fmt(w, "%s ", keyword);
        put_word(w, word);
        wr_char(w, '\n');
}

/* Options that are a line of the policy, and nothing more. */
static const char *policy_keyword(const char *option)
{
        static const char keywords[][8] = { "allow", "deny", "preset", "methods" };

        for (size_t i = 0; i < COUNT(keywords); i++) {
                if (!strncmp(option, "--", 2) && !strcmp(option + 2, keywords[i]))
                        return keywords[i];
        }
        return NULL;
}

/* A rule's words are separated by blanks, and each of them is encoded by whoever wrote it. */
static void put_rule(struct wr *w, const char *rule)
{
        wr_fmt(w, "rule %.*s\n", (int)strcspn(rule, "\n"), rule);
}

static bool parse_net(const char *value, enum sandbox_net *net)
{
        for (unsigned i = 0; i < COUNT(nets); i++) {
                if (!strcmp(value, nets[i])) {
                        *net = (enum sandbox_net)i;
                        return true;
                }
        }
        return false;
}

/* netfilter's rules would bind everybody in this network, and stay if we were killed. */
static bool parse_lock(const char *value, enum lock *lock)
{
        *lock = lock_parse(value);
        return *lock == LOCK_NETNS || *lock == LOCK_NOTIFY || *lock == LOCK_CLOSED;
}

static enum sandbox_status add_root(struct sandbox_options *o, const char *path)
{
        if (o->landlock.root_count == LANDLOCK_ROOTS_MAX - 8) /* the usual ones follow */
                return SANDBOX_TOO_MUCH;
        o->landlock.roots[o->landlock.root_count++] = path;
        return SANDBOX_OK;
}

static enum sandbox_status set_value(struct sandbox_options *o, struct wr *policy,
                                     const char *name, const char *value)
{
        const char *keyword = policy_keyword(name);
        bool good = true;

        if (keyword)
                put_line(policy, keyword, value);
        else if (!strcmp(name, "--rule"))
                put_rule(policy, value);
        else if (!strcmp(name, "--net"))
                good = parse_net(value, &o->net);
        else if (!strcmp(name, "--fs"))
                good = landlock_parse(value, &o->landlock.fs);
        else if (!strcmp(name, "--root"))
                return add_root(o, value);
        else if (!strcmp(name, "--journal"))
                o->journal = value;
        else if (!strcmp(name, "--lock"))
                good = parse_lock(value, &o->lock);
        else
                return SANDBOX_UNKNOWN;
        return good ? SANDBOX_OK : SANDBOX_BAD_VALUE;
}

static enum sandbox_status set_flag(struct sandbox_options *o, const char *name)
{
        if (!strcmp(name, "--prove"))
                o->prove = true;
        else if (!strcmp(name, "-v") || !strcmp(name, "--verbose"))
                o->verbose = true;
        else if (!strcmp(name, "-h") || !strcmp(name, "--help"))
                return SANDBOX_HELP;
        else
                return SANDBOX_UNKNOWN;
        return SANDBOX_OK;
}

/* One option; *@used is how many words it took. `--net=full` is `--net full`. */
static enum sandbox_status option(struct sandbox_options *o, struct wr *policy, char **argv,
                                  unsigned *used)
{
        enum sandbox_status s = set_flag(o, argv[0]);
        char name[16] = { 0 };
        size_t len = strcspn(argv[0], "=");

        *used = 1;
        if (s != SANDBOX_UNKNOWN)
                return s;
        if (len >= sizeof(name))
                return SANDBOX_UNKNOWN;
        memcpy(name, argv[0], len);
        if (argv[0][len])
                return set_value(o, policy, name, argv[0] + len + 1);
        *used = 2;
        s = set_value(o, policy, name, argv[1] ? argv[1] : "");
        return s != SANDBOX_UNKNOWN && !argv[1] ? SANDBOX_NO_VALUE : s;
}

static enum sandbox_status check(const struct sandbox_options *o, bool rules, const char **word)
{
        *word = "";
        if (!o->argv || !*o->argv)
                return SANDBOX_NO_COMMAND;
        if (o->net != SANDBOX_OFF)
                return SANDBOX_OK;
        *word = rules ? "a rule" : "--journal";
        return rules || o->journal ? SANDBOX_NEEDS_NET : SANDBOX_OK;
}

enum sandbox_status sandbox_parse(struct sandbox_options *o, char **argv, const char **word)
{
        struct wr policy = wr_of(o->policy, SANDBOX_POLICY_MAX - 1);
        unsigned used;

        for (argv++; *argv && **argv == '-'; argv += used) {
                enum sandbox_status s;

                used = 1;
                if (!strcmp(*argv, "--")) {
                        argv++;
                        break;
                }
                *word = *argv;
                s = option(o, &policy, argv, &used);
                if (s != SANDBOX_OK)
                        return s;
        }
        o->argv = argv;
        if (policy.full)
                return SANDBOX_TOO_MUCH;
        used = (unsigned)policy.len;
        wr_fmt(&policy, "mode %s\n", nets[o->net]);
        o->policy_len = policy.len;
        *word = "";
        return policy.full ? SANDBOX_TOO_MUCH : check(o, used, word);
}
