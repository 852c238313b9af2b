/*
 * init/spec.c - a table of keys for each object, and one reader for all of them.
 */
#include "init/spec.h"

#include "base/json.h"
#include "base/utf8.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/spec_check.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static_assert(SPEC_DEPTH == JSON_DEPTH, "the reader's depth is the parser's");

/* --- the tables ---------------------------------------------------------------------- */

enum kind { K_STRING, K_LIST, K_U32, K_BOOL, K_WORD, K_OBJECT, K_PAIRS, K_RULES, K_PORTS };

enum object {
        O_TOP, O_REPO, O_RUNTIMES, O_SECRETS, O_SETUP, O_MAINTENANCE, O_CACHE, O_NETWORK,
        O_AGENT, O_MODEL, O_OUTPUT, O_PULL, O_RULE, O_INJECT,
        O_OWN, O_OWN_SETUP, O_OWN_NETWORK, /* of a repository's own file */
        O_COUNT,
};

enum words { W_FAILURE, W_NET, W_PRESET, W_LOCK, W_WIRE, W_GIT };
/* In the order of the enums of spec.h. */
static const char the_words[][40] = {
        [W_FAILURE] = "fail|continue",
        [W_NET] = "off|limited|full",
        [W_PRESET] = "none|common-dependencies|all",
        [W_LOCK] = "auto|netns|netfilter|notify|closed",
        [W_WIRE] = "responses|chat",
        [W_GIT] = "|read|push",
};

/* Names are arrays and not pointers: a static-pie pays 24 bytes for each pointer. */
struct key {
        char name[16];
        uint8_t kind;
        uint8_t of;        /* the string's rule, the words, or the object */
        uint16_t at;       /* where it goes in struct spec, or struct spec_rule */
        uint16_t given;    /* a bool that becomes true; 0: none */
        uint32_t min, max; /* of a number */
};

#define AT(field) .at = offsetof(struct spec, field)
#define IN_RULE(field) .at = offsetof(struct spec_rule, field)
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
        WORD("on_leak", W_FAILURE, AT(secrets.on_leak)),
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
        WORD("lock", W_LOCK, AT(network.lock)),
};
static const struct key agent[] = {
        LIST("command", OF_TEXT, AT(agent.command)),
        U32("timeout_s", 1, WEEK, AT(agent.timeout_s)),
        STRING("user", OF_USER, AT(agent.user)),
        STRING("exec_server", OF_WS, AT(agent.exec_server)),
};
static const struct key model[] = {
        STRING("base_url", OF_HTTP, AT(model.base_url)),
        STRING("name", OF_LINE, AT(model.name)),
        WORD("wire", W_WIRE, AT(model.wire)),
        STRING("key", OF_LINE, AT(model.key)),
};
static const struct key output[] = {
        STRING("dir", OF_PATH, AT(output.dir)),
        OBJECT("pull_request", O_PULL),
};
static const struct key pull[] = {
        STRING("branch", OF_REF, AT(output.branch)),
        STRING("title", OF_LINE, AT(output.title)),
};
static const struct key rule[] = {
        STRING("host", OF_HOST, IN_RULE(host)),
        LIST("methods", OF_METHOD, IN_RULE(methods)),
        LIST("paths", OF_LINE, IN_RULE(paths)),
        { .name = "ports", .kind = K_PORTS, .min = 1, .max = 65535 },
        WORD("git", W_GIT, IN_RULE(git)),
        STRING("branch", OF_LINE, IN_RULE(git_branch)),
        OBJECT("inject", O_INJECT),
};
static const struct key inject[] = {
        STRING("header", OF_LINE, IN_RULE(inject_header)),
        STRING("value", OF_LINE, IN_RULE(inject_value)),
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
        [O_INJECT] = TABLE(inject), [O_OWN] = TABLE(own), [O_OWN_SETUP] = TABLE(own_setup),
        [O_OWN_NETWORK] = TABLE(own_network),
};

const char *spec_runtime_name(enum spec_runtime r)
{
        return runtimes[r].name;
}

const char *spec_runtime_variable(enum spec_runtime r)
{
        static const char names[RUNTIME_COUNT][26] = {
                [RUNTIME_PYTHON] = "CODEX_ENV_PYTHON_VERSION",
                [RUNTIME_NODE] = "CODEX_ENV_NODE_VERSION",
                [RUNTIME_RUBY] = "CODEX_ENV_RUBY_VERSION",
                [RUNTIME_RUST] = "CODEX_ENV_RUST_VERSION",
                [RUNTIME_GO] = "CODEX_ENV_GO_VERSION",
                [RUNTIME_SWIFT] = "CODEX_ENV_SWIFT_VERSION",
                [RUNTIME_PHP] = "CODEX_ENV_PHP_VERSION",
                [RUNTIME_JAVA] = "CODEX_ENV_JAVA_VERSION",
        };

        return names[r];
}

const char *spec_net_name(enum spec_net mode)
{
        static const char names[][8] = { "off", "limited", "full" };

        return names[mode];
}

/* --- the arena ----------------------------------------------------------------------- */

/* The first bytes of a mapping; a merge chains the repository's behind the operator's. */
struct spec_arena {
        struct spec_arena *older;
        size_t size, used;
};

static void *arena_take(struct spec_arena *a, size_t size, size_t align)
{
        size_t at = (a->used + align - 1) / align * align;

        if (size > a->size || at > a->size - size) /* arena_open counted: a bug of ours */
                die(STATUS_SPEC, "the spec needs more memory than was counted for it");
        a->used = at + size;
        return (char *)a + at;
}

/*
 * Enough for every string of @j unescaped, a table entry for every token, and what
 * defaults and a merge of @more entries add. Untouched pages cost nothing.
 */
static struct spec_arena *arena_open(const struct json *j, size_t len, size_t more)
{
        size_t size = 4096 + 3 * len + (j->count + more) * (sizeof(struct spec_rule) + 16);
        struct spec_arena *a = mmap(NULL, size, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (a == MAP_FAILED)
                return NULL;
        *a = (struct spec_arena){ .size = size, .used = sizeof(*a) };
        return a;
}

void spec_close(struct spec *spec)
{
        while (spec->arena) {
                struct spec_arena *older = spec->arena->older;

                munmap(spec->arena, spec->arena->size);
                spec->arena = older;
        }
        *spec = (struct spec){ .version = 0 };
}

/* --- the reader ---------------------------------------------------------------------- */

struct reader {
        const struct json *json;
        struct spec *spec;
        const struct spec *operator; /* when a repository's file is read; else NULL */
        struct spec_error *error;
        char path[96]; /* "network.rules" */
};

static bool read_object(struct reader *r, uint32_t v, enum object o, void *base);

static void fail_at(const struct json *j, size_t at, struct spec_error *e, const char *fmt,
                    va_list ap) PRINTF_LIKE(4, 0);
static void fail_at(const struct json *j, size_t at, struct spec_error *e, const char *fmt,
                    va_list ap)
{
        char raw[sizeof(e->text)];
        struct wr w = wr_of(raw, sizeof(raw));
        struct wr plain = wr_of(e->text, sizeof(e->text) - 1);

        wr_vfmt(&w, fmt, ap);
        wr_plain(&plain, raw, w.len);
        wr_cstr(&plain);
        json_position(j->text, at, &e->line, &e->column);
}

static bool fail(struct reader *r, uint32_t v, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool fail(struct reader *r, uint32_t v, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fail_at(r->json, json_at(r->json, v), r->error, fmt, ap);
        va_end(ap);
        return false;
}

static bool want_type(struct reader *r, uint32_t v, enum json_type wanted)
{
        enum json_type found = r->json->tokens[v].type;

        return found == wanted || fail(r, v, "%s: expected %s, found %s", r->path,
                                       json_type_str(wanted), json_type_str(found));
}

/* The string, unescaped into the arena. NULL: it holds a NUL. */
static const char *take_string(struct reader *r, uint32_t v)
{
        const struct json_token *t = &r->json->tokens[v];
        char *s = arena_take(r->spec->arena, t->end - t->start + 1, 1);
        size_t len = json_string(r->json, v, s);

        if (memchr(s, '\0', len)) {
                fail(r, v, "%s: a string can't hold \\u0000", r->path);
                return NULL;
        }
        return s;
}

static bool read_string(struct reader *r, uint32_t v, enum spec_rule_of of, const char **out)
{
        const char *expected;

        if (!want_type(r, v, JSON_STRING))
                return false;
        *out = take_string(r, v);
        if (!*out)
                return false;
        expected = spec_check(of, *out);
        return !expected || fail(r, v, "%s: expected %s", r->path, expected);
}

/* NULL-terminated, so that a list can be an argv. */
static bool read_list(struct reader *r, uint32_t v, enum spec_rule_of of, struct spec_list *out)
{
        size_t size = r->json->tokens[v].size;

        if (!want_type(r, v, JSON_ARRAY))
                return false;
        out->items = arena_take(r->spec->arena, (size + 1) * sizeof(*out->items), 8);
        for (uint32_t i = json_first(r->json, v); i; i = json_next(r->json, i)) {
                if (!read_string(r, i, of, &out->items[out->count++]))
                        return false;
        }
        return true;
}

static bool read_u32(struct reader *r, uint32_t v, uint32_t min, uint32_t max, uint32_t *n)
{
        if (!want_type(r, v, JSON_NUMBER))
                return false;
        if (json_u32(r->json, v, max, n) && *n >= min)
                return true;
        if (min == max)
                return fail(r, v, "%s: this airlock reads only %u", r->path, min);
        return fail(r, v, "%s: expected a whole number from %u to %u", r->path, min, max);
}

static bool read_word(struct reader *r, uint32_t v, enum words list, unsigned *out)
{
        const char *words = the_words[list];
        const char *s;
        unsigned n = 0;

        if (!read_string(r, v, OF_TEXT, &s))
                return false;
        for (const char *w = words;; n++) {
                size_t len = strcspn(w, "|");

                if (len && len == strlen(s) && !memcmp(w, s, len)) {
                        *out = n;
                        return true;
                }
                if (!w[len])
                        break;
                w += len + 1;
        }
        return fail(r, v, "%s: expected one of %s", r->path, words + (*words == '|'));
}

static bool read_pairs(struct reader *r, uint32_t v, struct spec_pairs *out)
{
        size_t size = r->json->tokens[v].size;

        if (!want_type(r, v, JSON_OBJECT))
                return false;
        out->items = arena_take(r->spec->arena, size * sizeof(*out->items), 8);
        for (uint32_t k = json_first(r->json, v); k; k = json_next(r->json, k)) {
                struct spec_pair *p = &out->items[out->count++];

                if (!read_string(r, k, OF_NAME, &p->name) ||
                    !read_string(r, json_value(k), OF_TEXT, &p->value))
                        return false;
        }
        return true;
}

static bool read_ports(struct reader *r, uint32_t v, struct spec_rule *out)
{
        size_t size = r->json->tokens[v].size;

        if (!want_type(r, v, JSON_ARRAY))
                return false;
        out->ports = arena_take(r->spec->arena, size * sizeof(*out->ports), 8);
        for (uint32_t i = json_first(r->json, v); i; i = json_next(r->json, i)) {
                uint32_t port;

                if (!read_u32(r, i, 1, 65535, &port))
                        return false;
                out->ports[out->port_count++] = (uint16_t)port;
        }
        return true;
}

static bool read_rules(struct reader *r, uint32_t v)
{
        struct spec *s = r->spec;

        if (!want_type(r, v, JSON_ARRAY))
                return false;
        s->network.rules = arena_take(s->arena,
                                      r->json->tokens[v].size * sizeof(struct spec_rule), 8);
        for (uint32_t i = json_first(r->json, v); i; i = json_next(r->json, i)) {
                struct spec_rule *out = &s->network.rules[s->network.rule_count++];

                if (!read_object(r, i, O_RULE, out))
                        return false;
                if (!out->host)
                        return fail(r, i, "%s: a rule needs \"host\"", r->path);
                if (!out->inject_header != !out->inject_value)
                        return fail(r, i, "%s: inject needs \"header\" and \"value\"", r->path);
                if (out->git_branch && out->git != GIT_PUSH)
                        return fail(r, i, "%s: \"branch\" goes with \"git\": \"push\"", r->path);
        }
        return true;
}

static bool read_value(struct reader *r, uint32_t v, const struct key *k, void *base)
{
        void *at = (char *)base + k->at;

        if (k->given)
                *(bool *)((char *)base + k->given) = true;
        switch ((enum kind)k->kind) {
        case K_STRING:
                return read_string(r, v, (enum spec_rule_of)k->of, at);
        case K_LIST:
                return read_list(r, v, (enum spec_rule_of)k->of, at);
        case K_U32:
                return read_u32(r, v, k->min, k->max, at);
        case K_BOOL:
                if (!want_type(r, v, JSON_BOOL))
                        return false;
                *(bool *)at = json_true(r->json, v);
                return true;
        case K_WORD:
                return read_word(r, v, (enum words)k->of, at);
        case K_OBJECT:
                return read_object(r, v, (enum object)k->of, base);
        case K_PAIRS:
                return read_pairs(r, v, at);
        case K_RULES:
                return read_rules(r, v);
        case K_PORTS:
                return read_ports(r, v, base);
        }
        return false;
}

/* A repository may only take away: checked where the value stands, for its position. */
static bool check_narrower(struct reader *r, uint32_t v)
{
        const struct spec *op = r->operator;

        if (!op)
                return true;
        if (!strcmp(r->path, "network.agent") && r->spec->network.agent > op->network.agent)
                return fail(r, v, "%s: a repository can't grant more than the operator's \"%s\"",
                            r->path, spec_net_name(op->network.agent));
        if (!strcmp(r->path, "setup.timeout_s") && r->spec->setup.timeout_s > op->setup.timeout_s)
                return fail(r, v, "%s: a repository can't grant more than the operator's %u",
                            r->path, op->setup.timeout_s);
        return true;
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

static const struct key *find_key(enum object o, const char *name)
{
        for (size_t i = 0; i < tables[o].count; i++) {
                if (!strcmp(tables[o].keys[i].name, name))
                        return &tables[o].keys[i];
        }
        return NULL;
}

static bool refuse_key(struct reader *r, uint32_t v, enum object o, const char *name)
{
        const char *dot = *r->path ? "." : "";
        const char *nearest = NULL;
        unsigned best = 3; /* more edits than two are another word */
        size_t shown = strlen(name) < 40 ? strlen(name) : 40;

        if ((o == O_OWN && find_key(O_TOP, name)) || (o == O_OWN_SETUP && find_key(O_SETUP, name)) ||
            (o == O_OWN_NETWORK && find_key(O_NETWORK, name)))
                return fail(r, v, "a repository can't grant \"%s%s%s\": the operator's spec decides",
                            r->path, dot, name);
        shown = utf8_prefix(name, shown);
        for (size_t i = 0; strlen(name) < 20 && i < tables[o].count; i++) {
                unsigned d = distance(name, tables[o].keys[i].name);

                if (d < best) {
                        best = d;
                        nearest = tables[o].keys[i].name;
                }
        }
        if (nearest)
                return fail(r, v, "unknown key \"%s%s%.*s\"; did you mean \"%s\"?", r->path, dot,
                            (int)shown, name, nearest);
        return fail(r, v, "unknown key \"%s%s%.*s\"", r->path, dot, (int)shown, name);
}

static bool read_key(struct reader *r, uint32_t key, enum object o, void *base)
{
        const char *name = take_string(r, key);
        size_t len = strlen(r->path);
        struct wr w = wr_of(r->path, sizeof(r->path) - 1);
        const struct key *k;
        bool ok;

        if (!name)
                return false;
        k = find_key(o, name);
        if (!k)
                return refuse_key(r, key, o, name);
        w.len = len;
        wr_fmt(&w, "%s%s", len ? "." : "", k->name);
        wr_cstr(&w);
        ok = read_value(r, json_value(key), k, base) && check_narrower(r, json_value(key));
        r->path[len] = '\0';
        return ok;
}

static bool read_object(struct reader *r, uint32_t v, enum object o, void *base)
{
        if (!want_type(r, v, JSON_OBJECT))
                return false;
        for (uint32_t k = json_first(r->json, v); k; k = json_next(r->json, k)) {
                if (!read_key(r, k, o, base))
                        return false;
        }
        return true;
}

/* --- what takes two keys to see ------------------------------------------------------ */

static bool known_secret(const struct spec *s, const char *name, size_t len)
{
        for (size_t i = 0; i < s->secrets.names.count; i++) {
                const char *n = s->secrets.names.items[i];

                if (strlen(n) == len && !memcmp(n, name, len))
                        return true;
        }
        return !s->secrets.names.count;
}

/* Every ${NAME} of @text is a name, and a secret that the spec lists (if it lists any). */
static bool check_references(struct reader *r, const char *text, const char *key)
{
        for (const char *at = text ? strstr(text, "${") : NULL; at; at = strstr(at, "${")) {
                size_t len = strcspn(at += 2, "}");
                bool name = len && at[len] && !(*at >= '0' && *at <= '9');

                for (size_t i = 0; name && i < len; i++)
                        name = at[i] == '_' || (at[i] >= '0' && at[i] <= '9') ||
                               ((at[i] | 32) >= 'a' && (at[i] | 32) <= 'z');
                if (!name)
                        return fail(r, 0, "%s: expected ${NAME}", key);
                if (!known_secret(r->spec, at, len))
                        return fail(r, 0, "%s: a reference to a name that secrets.names lacks", key);
        }
        return true;
}

static bool check_whole(struct reader *r)
{
        struct spec *s = r->spec;

        if (!s->version)
                return fail(r, 0, "\"version\": 1 is missing");
        if (!s->repo.url && (s->repo.ref || s->repo.depth || s->repo.lfs || s->repo.submodules))
                return fail(r, 0, "repo: \"url\" is missing");
        if (s->agent.command.items && s->agent.exec_server)
                return fail(r, 0, "agent: either \"command\" or \"exec_server\"");
        if (s->agent.command.items && (!s->agent.command.count || !*s->agent.command.items[0]))
                return fail(r, 0, "agent.command: the program's name is missing");
        if (s->output.title && !s->output.branch)
                return fail(r, 0, "output.pull_request: \"branch\" is missing");
        for (size_t i = 0; i < s->network.rule_count; i++) {
                if (!check_references(r, s->network.rules[i].inject_value, "network.rules.inject.value"))
                        return false;
        }
        return check_references(r, s->model.key, "model.key");
}

/* /workspace/<last part of the url without .git>, as git clone would name it. */
static const char *default_dir(struct spec *s)
{
        const char *end;
        const char *start;
        struct wr w;

        if (!s->repo.url)
                return "/workspace";
        end = s->repo.url + strlen(s->repo.url);
        while (end > s->repo.url && end[-1] == '/')
                end--;
        for (start = end; start > s->repo.url && !strchr("/:", start[-1]); start--)
                ;
        if (end - start > 4 && !memcmp(end - 4, ".git", 4))
                end -= 4;
        else if (end - start > 7 && !memcmp(end - 7, ".bundle", 7))
                end -= 7;
        w = wr_of(arena_take(s->arena, (size_t)(end - start) + 16, 1), (size_t)(end - start) + 16);
        wr_fmt(&w, "/workspace/%.*s", (int)(end - start), start);
        return wr_cstr(&w);
}

/* --- the interface ------------------------------------------------------------------- */

static int json_of(struct json *j, const char *text, size_t len, struct spec_error *error)
{
        struct json_error e = { .at = 0 };
        int r;

        *error = (struct spec_error){ .line = 1, .column = 1 };
        if (len > SPEC_MAX) {
                e.what = "longer than 1 MiB";
                r = -EINVAL;
        } else {
                r = json_open(j, text, len, &e);
        }
        if (r == -EINVAL) {
                struct wr w = wr_of(error->text, sizeof(error->text) - 1);

                wr_str(&w, e.what);
                wr_cstr(&w);
                json_position(text, e.at, &error->line, &error->column);
        }
        return r;
}

int spec_open(struct spec *spec, const char *json, size_t len, struct spec_error *error)
{
        struct json j;
        struct reader r = { .json = &j, .spec = spec, .error = error };
        int result;

        *spec = (struct spec){
                .setup = { .auto_setup = true, .timeout_s = 1200 },
                .cache.ttl_s = 43200,
                .network = { .setup = NET_FULL, .agent = NET_OFF },
                .agent.timeout_s = 3600,
                .output.dir = "/airlock/out",
        };
        result = json_of(&j, json, len, error);
        if (result < 0) {
                *spec = (struct spec){ .version = 0 };
                return result;
        }
        spec->arena = arena_open(&j, len, 0);
        if (!spec->arena)
                result = -ENOMEM;
        else if (!read_object(&r, 0, O_TOP, spec) || !check_whole(&r))
                result = -EINVAL;
        else if (!spec->repo.dir)
                spec->repo.dir = default_dir(spec);
        json_close(&j);
        if (!result && spec_check(OF_PATH, spec->repo.dir)) { /* from a url that ends in .. */
                struct wr w = wr_of(error->text, sizeof(error->text) - 1);

                wr_str(&w, "repo: the url names no directory; give \"dir\"");
                wr_cstr(&w);
                result = -EINVAL;
        }
        if (result < 0)
                spec_close(spec);
        return result;
}

static void merge_env(struct spec *spec, const struct spec *from)
{
        size_t total = spec->env.count + from->env.count;
        struct spec_pair *all = arena_take(from->arena, total * sizeof(*all), 8);
        size_t count = spec->env.count;

        if (count)
                memcpy(all, spec->env.items, count * sizeof(*all));
        for (size_t i = 0; i < from->env.count; i++) {
                bool there = false;

                for (size_t l = 0; l < spec->env.count; l++)
                        there |= !strcmp(spec->env.items[l].name, from->env.items[i].name);
                if (!there)
                        all[count++] = from->env.items[i];
        }
        spec->env = (struct spec_pairs){ all, count };
}

static void merge_deny(struct spec *spec, const struct spec *from)
{
        const struct spec_list *a = &spec->network.deny;
        const struct spec_list *b = &from->network.deny;
        const char **all = arena_take(from->arena, (a->count + b->count + 1) * sizeof(*all), 8);

        if (a->count)
                memcpy(all, a->items, a->count * sizeof(*all));
        if (b->count)
                memcpy(all + a->count, b->items, b->count * sizeof(*all));
        spec->network.deny = (struct spec_list){ all, a->count + b->count };
}

static void merge(struct spec *spec, const struct spec *from)
{
        for (size_t i = 0; i < RUNTIME_COUNT; i++) {
                if (!spec->runtimes[i])
                        spec->runtimes[i] = from->runtimes[i];
        }
        merge_env(spec, from);
        merge_deny(spec, from);
        if (!spec->setup.script)
                spec->setup.script = from->setup.script;
        if (!spec->maintenance.script)
                spec->maintenance.script = from->maintenance.script;
        if (from->setup.auto_given && !spec->setup.auto_given) {
                spec->setup.auto_setup = from->setup.auto_setup;
                spec->setup.auto_given = true;
        }
        spec->setup.timeout_s = from->setup.timeout_s;
        spec->network.agent = from->network.agent;
        from->arena->older = spec->arena;
        spec->arena = from->arena;
}

int spec_narrow(struct spec *spec, const char *json, size_t len, struct spec_error *error)
{
        struct json j;
        struct spec from = {
                .setup.timeout_s = spec->setup.timeout_s,
                .network.agent = spec->network.agent,
        };
        struct reader r = { .json = &j, .spec = &from, .operator= spec, .error = error };
        int result = json_of(&j, json, len, error);

        if (result < 0)
                return result;
        from.arena = arena_open(&j, len, spec->env.count + spec->network.deny.count);
        if (!from.arena)
                result = -ENOMEM;
        else if (!read_object(&r, 0, O_OWN, &from) || !check_whole(&r))
                result = -EINVAL;
        json_close(&j);
        if (result < 0)
                spec_close(&from);
        else
                merge(spec, &from);
        return result;
}

const char *spec_unsupported(const struct spec *s)
{
        const struct {
                bool asked;
                const char *key;
        } all[] = {
                { s->secrets.sealed || s->secrets.sha256 || s->secrets.names.items, "secrets" },
                { s->setup.auto_given && s->setup.auto_setup, "setup.auto" },
                { s->cache.dir, "cache.dir" },
                { s->network.setup == NET_LIMITED, "network.setup" },
                { s->network.agent == NET_LIMITED, "network.agent" },
                { s->network.preset_given, "network.preset" },
                { s->network.allow.items, "network.allow" },
                { s->network.deny.count, "network.deny" },
                { s->network.methods.items, "network.methods" },
                { s->network.rules, "network.rules" },
                { s->network.upstream_proxy, "network.upstream_proxy" },
                { s->network.lock == LOCK_NETFILTER || s->network.lock == LOCK_NOTIFY,
                  "network.lock" },
                { s->agent.exec_server, "agent.exec_server" },
                { s->model.base_url || s->model.name || s->model.key, "model" },
                { s->output.branch, "output.pull_request" },
                { !s->agent.command.count, "an agent without agent.command" },
        };

        for (size_t i = 0; i < COUNT(all); i++) {
                if (all[i].asked)
                        return all[i].key;
        }
        return NULL;
}
