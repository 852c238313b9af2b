/* init/spec_keys.c - a table of keys for each object of the spec. */
#include "init/spec_read.h"

#include <string.h>

/* In the order of the enums of spec.h. */
static const char the_words[][40] = {
        [W_FAILURE] = "fail|continue",
        [W_LEAK] = "fail|remove|warn",
        [W_NET] = "off|limited|full",
        [W_PRESET] = "none|common-dependencies|all",
        [W_LOCK] = "auto|netns|netfilter|notify|closed",
        [W_WIRE] = "auto|responses|chat",
        [W_GIT] = "|read|push",
        [W_FORGE] = "|github|gitea|none",
};

#define AT(field) .at = offsetof(struct spec, field)
#define IN_RULE(field) .at = offsetof(struct spec_rule, field)
#define IN_PLACE(field) .at = offsetof(struct spec_environment, field)
#define GIVEN(field) .given = offsetof(struct spec, field)
#define STRING(n, what, place) { .name = n, .kind = K_STRING, .of = what, place }
#define LIST(n, what, place) { .name = n, .kind = K_LIST, .of = what, place }
#define U32(n, low, high, place) { .name = n, .kind = K_U32, .min = low, .max = high, place }
#define BOOL(n, place) { .name = n, .kind = K_BOOL, place }
#define WORD(n, what, place) { .name = n, .kind = K_WORD, .of = what, place }
#define OBJECT(n, what) { .name = n, .kind = K_OBJECT, .of = what }

#define WEEK 604800

static const struct key top[] = {
        U32("version", 1, 1, AT(version)),
        OBJECT("repo", O_REPO),
        OBJECT("runtimes", O_RUNTIMES),
        { .name = "env", .kind = K_PAIRS, AT(env) },
        OBJECT("secrets", O_SECRETS),
        OBJECT("setup", O_SETUP),
        OBJECT("maintenance", O_MAINTENANCE),
        OBJECT("cache", O_CACHE),
        OBJECT("network", O_NETWORK),
        { .name = "agent", .kind = K_OBJECT, .of = O_AGENT, GIVEN(agent.given) },
        OBJECT("model", O_MODEL),
        STRING("prompt", OF_TEXT, AT(prompt)),
        OBJECT("output", O_OUTPUT),
};
static const struct key repo[] = {
        STRING("url", OF_URL, AT(repo.url)),
        STRING("ref", OF_REF, AT(repo.ref)),
        STRING("dir", OF_PATH, AT(repo.dir)),
        U32("depth", 0, 1000000, AT(repo.depth)),
        BOOL("lfs", AT(repo.lfs)),
        BOOL("submodules", AT(repo.submodules)),
};
#define RUNTIME(n, r) STRING(n, OF_VERSION, AT(runtimes[r]))
static const struct key runtimes[] = {
        RUNTIME("python", RUNTIME_PYTHON), RUNTIME("node", RUNTIME_NODE),
        RUNTIME("ruby", RUNTIME_RUBY),     RUNTIME("rust", RUNTIME_RUST),
        RUNTIME("go", RUNTIME_GO),         RUNTIME("swift", RUNTIME_SWIFT),
        RUNTIME("php", RUNTIME_PHP),       RUNTIME("java", RUNTIME_JAVA),
};
static const struct key secrets[] = {
        STRING("sealed", OF_PATH, AT(secrets.sealed)),
        LIST("names", OF_NAME, AT(secrets.names)),
        STRING("sha256", OF_SHA256, AT(secrets.sha256)),
        WORD("on_leak", W_LEAK, AT(secrets.on_leak)),
        LIST("allow_leak", OF_PATH, AT(secrets.allow_leak)),
        U32("key_timeout_s", 1, 3600, AT(secrets.key_timeout_s)),
        BOOL("key_may_stay", AT(secrets.key_may_stay)),
        BOOL("unlink", AT(secrets.unlink)),
};
#define SETUP_SHARED                                                                     \
        { .name = "auto", .kind = K_BOOL, AT(setup.auto_setup), GIVEN(setup.auto_given) }, \
                STRING("script", OF_TEXT, AT(setup.script)),                             \
                U32("timeout_s", 1, WEEK, AT(setup.timeout_s))
static const struct key setup[] = {
        SETUP_SHARED,
        WORD("on_failure", W_FAILURE, AT(setup.on_failure)),
};
static const struct key maintenance[] = { STRING("script", OF_TEXT, AT(maintenance.script)) };
static const struct key cache[] = {
        STRING("dir", OF_PATH, AT(cache.dir)),
        U32("ttl_s", 1, WEEK, AT(cache.ttl_s)),
        BOOL("stamp", AT(cache.stamp)),
};
static const struct key network[] = {
        WORD("setup", W_NET, AT(network.setup)),
        WORD("agent", W_NET, AT(network.agent)),
        { .name = "preset", .kind = K_WORD, .of = W_PRESET, AT(network.preset),
          GIVEN(network.preset_given) },
        LIST("allow", OF_HOST, AT(network.allow)),
        LIST("deny", OF_HOST, AT(network.deny)),
        LIST("methods", OF_METHOD, AT(network.methods)),
        { .name = "rules", .kind = K_RULES },
        STRING("upstream_proxy", OF_HTTP, AT(network.upstream_proxy)),
        STRING("upstream_auth", OF_REFERENCES, AT(network.upstream_auth)),
        STRING("ca_file", OF_PATH, AT(network.ca_file)),
        WORD("lock", W_LOCK, AT(network.lock)),
};
static const struct key agent[] = {
        LIST("command", OF_TEXT, AT(agent.command)),
        U32("timeout_s", 1, WEEK, AT(agent.timeout_s)),
        STRING("user", OF_USER, AT(agent.user)),
        STRING("exec_server", OF_SERVER, AT(agent.exec_server)),
        STRING("token_sha256", OF_SHA256, AT(agent.token_sha256)),
        U32("idle_s", 1, WEEK, AT(agent.idle_s)),
        { .name = "environments", .kind = K_OBJECT, .of = O_PLACES,
          GIVEN(agent.environments.given) },
};
static const struct key places[] = {
        STRING("default", OF_TEXT, AT(agent.environments.first)),
        BOOL("include_local", AT(agent.environments.local)),
        { .name = "environments", .kind = K_PLACES },
};
static const struct key place[] = {
        STRING("id", OF_TEXT, IN_PLACE(id)),
        STRING("url", OF_TEXT, IN_PLACE(url)),
        STRING("auth_bearer_token", OF_REFERENCES, IN_PLACE(token)),
        STRING("program", OF_TEXT, IN_PLACE(program)),
        LIST("args", OF_TEXT, IN_PLACE(args)),
        { .name = "env", .kind = K_PAIRS, IN_PLACE(env) },
        STRING("cwd", OF_PATH, IN_PLACE(cwd)),
        U32("connect_timeout_sec", 1, 86400, IN_PLACE(connect_s)),
        U32("initialize_timeout_sec", 1, 86400, IN_PLACE(initialize_s)),
};
static const struct key model[] = {
        STRING("base_url", OF_HTTP, AT(model.base_url)),
        STRING("name", OF_LINE, AT(model.name)),
        WORD("wire", W_WIRE, AT(model.wire)),
        STRING("key", OF_REFERENCES, AT(model.key)),
        STRING("effort", OF_LINE, AT(model.effort)),
        U32("context_window", 1000, 100000000, AT(model.context_window)),
        U32("max_requests", 1, 1000000, AT(model.max_requests)),
        U32("max_tokens", 1, 4000000000, AT(model.max_tokens)),
        BOOL("assess", AT(model.assess)),
};
static const struct key output[] = {
        STRING("dir", OF_PATH, AT(output.dir)),
        OBJECT("pull_request", O_PULL),
};
static const struct key pull[] = {
        STRING("branch", OF_REF, AT(output.pull.branch)),
        STRING("title", OF_LINE, AT(output.pull.title)),
        STRING("url", OF_HTTP, AT(output.pull.url)),
        STRING("base", OF_REF, AT(output.pull.base)),
        WORD("forge", W_FORGE, AT(output.pull.forge)),
        STRING("api", OF_HTTP, AT(output.pull.api)),
        STRING("token", OF_REFERENCES, AT(output.pull.token)),
        STRING("author", OF_LINE, AT(output.pull.author)),
        STRING("link", OF_HTTP, AT(output.pull.link)),
        BOOL("draft", AT(output.pull.draft)),
        U32("timeout_s", 1, 240, AT(output.pull.timeout_s)),
};
static const struct key rule[] = {
        STRING("host", OF_HOST, IN_RULE(host)),
        LIST("methods", OF_METHOD, IN_RULE(methods)),
        LIST("paths", OF_LINE, IN_RULE(paths)),
        { .name = "ports", .kind = K_PORTS, .min = 1, .max = 65535 },
        WORD("git", W_GIT, IN_RULE(git)),
        STRING("branch", OF_LINE, IN_RULE(git_branch)),
        OBJECT("inject", O_INJECT),
        BOOL("raw", IN_RULE(raw)),
};
static const struct key inject[] = {
        STRING("header", OF_TOKEN, IN_RULE(inject_header)),
        STRING("value", OF_REFERENCES, IN_RULE(inject_value)),
};
/* What a repository may say for itself: it can take away, never grant. */
static const struct key own[] = {
        U32("version", 1, 1, AT(version)),
        OBJECT("runtimes", O_RUNTIMES),
        { .name = "env", .kind = K_PAIRS, AT(env) },
        OBJECT("setup", O_OWN_SETUP),
        OBJECT("maintenance", O_MAINTENANCE),
        OBJECT("network", O_OWN_NETWORK),
};
static const struct key own_setup[] = { SETUP_SHARED };
static const struct key own_network[] = {
        WORD("agent", W_NET, AT(network.agent)),
        LIST("deny", OF_HOST, AT(network.deny)),
};

#define TABLE(keys) { keys, COUNT(keys) }
static const struct {
        const struct key *keys;
        size_t count;
} tables[O_COUNT] = {
        [O_TOP] = TABLE(top), [O_REPO] = TABLE(repo), [O_RUNTIMES] = TABLE(runtimes),
        [O_SECRETS] = TABLE(secrets), [O_SETUP] = TABLE(setup),
        [O_MAINTENANCE] = TABLE(maintenance), [O_CACHE] = TABLE(cache),
        [O_NETWORK] = TABLE(network), [O_AGENT] = TABLE(agent), [O_MODEL] = TABLE(model),
        [O_OUTPUT] = TABLE(output), [O_PULL] = TABLE(pull), [O_RULE] = TABLE(rule),
        [O_INJECT] = TABLE(inject), [O_PLACES] = TABLE(places), [O_PLACE] = TABLE(place), [O_OWN] = TABLE(own), [O_OWN_SETUP] = TABLE(own_setup),
        [O_OWN_NETWORK] = TABLE(own_network),
};

static const struct need needs[] = {
        { O_TOP, "", "version" },      { O_OWN, "", "version" },   { O_REPO, "ref", "url" },
        { O_REPO, "depth", "url" },    { O_REPO, "lfs", "url" },   { O_REPO, "submodules", "url" },
        { O_RULE, "", "host" },        { O_RULE, "branch", "git" },
        { O_NETWORK, "upstream_auth", "upstream_proxy" }, { O_INJECT, "", "header" },
        { O_INJECT, "", "value" },     { O_PULL, "title", "branch" },
        { O_PULL, "url", "branch" },
        { O_PULL, "base", "branch" },
        { O_PULL, "forge", "branch" },
        { O_PULL, "api", "branch" },
        { O_PULL, "author", "branch" },
        { O_PULL, "link", "branch" },
        { O_PULL, "draft", "branch" },
        { O_PULL, "timeout_s", "branch" },
        { O_PULL, "token", "branch" },
        { O_PULL, "branch", "token" },
        { O_PLACE, "", "id" },
};

const struct need *spec_needs(size_t *count)
{
        *count = COUNT(needs);
        return needs;
}

const struct key *spec_keys(enum object o, size_t *count)
{
        *count = tables[o].count;
        return tables[o].keys;
}

size_t spec_key_index(enum object o, const char *name)
{
        size_t i = 0;

        while (i < tables[o].count && strcmp(tables[o].keys[i].name, name) != 0)
                i++;
        return i;
}

/* Edits that turn @a into @b, by the two-row method; names are short. */
static unsigned distance(const char *a, const char *b)
{
        unsigned row[17];
        size_t n = strlen(b);

        for (unsigned i = 0; i <= n; i++)
                row[i] = i;
        for (unsigned i = 1; *a; a++, i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (size_t l = 1; l <= n; l++) {
                        unsigned best = diagonal + (*a != b[l - 1]);

                        diagonal = row[l];
                        best = best < row[l] + 1 ? best : row[l] + 1;
                        row[l] = best < row[l - 1] + 1 ? best : row[l - 1] + 1;
                }
        }
        return row[n];
}

const char *spec_key_nearest(enum object o, const char *name)
{
        const char *nearest = NULL;
        unsigned best = 3; /* more edits than two are another word */

        for (size_t i = 0; strlen(name) < 20 && i < tables[o].count; i++) {
                unsigned d = distance(name, tables[o].keys[i].name);

                if (d < best) {
                        best = d;
                        nearest = tables[o].keys[i].name;
                }
        }
        return nearest;
}

const char *spec_words(enum words list)
{
        return the_words[list];
}
