/* init/spec.c - one reader for every object of the spec; its keys are in spec_keys.c. */
#include "init/spec.h"

#include "base/json.h"
#include "base/remote.h"
#include "base/utf8.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/spec_read.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#define PLACES_MAX 16 /* what the loop takes: agent/environments.h */

static_assert(SPEC_DEPTH == JSON_DEPTH, "the reader's depth is the parser's");

/* --- the arena ----------------------------------------------------------------------- */

void *spec_arena_take(struct spec_arena *a, size_t size, size_t align)
{
        size_t at = (a->used + align - 1) / align * align;

        if (size > a->size || at > a->size - size) /* arena_open counted wrong */
                return NULL;
        a->used = at + size;
        return (char *)a + at;
}

/*
 * Enough for every string of @j unescaped, a table entry for every token, the rules that are
 * made of them, and what defaults and a merge of @more entries add. Untouched pages cost nothing.
 */
static struct spec_arena *arena_open(const struct json *j, size_t len, size_t more)
{
        size_t size = 16384 + 3 * len + (j->count + more) * (8 * sizeof(struct spec_rule) + 16);
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

/* A string with ${NAME} in it: names can be checked when all of the spec is read. */
struct reference {
        struct reference *next;
        const char *text;
        uint32_t v;
};

struct reader {
        const struct json *json;
        struct spec *spec;
        bool no_memory;
        struct reference *references;
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

static void *take(struct reader *r, size_t size, size_t align)
{
        void *p = spec_arena_take(r->spec->arena, size, align);

        r->no_memory |= !p;
        return p;
}

static bool want_type(struct reader *r, uint32_t v, enum json_type wanted)
{
        enum json_type found = r->json->tokens[v].type;

        return found == wanted || fail(r, v, "%s: expected %s, found %s", r->path,
                                       json_type_str(wanted), json_type_str(found));
}

/* The string, unescaped into the arena. NULL: it holds a NUL, or there is no room. */
static const char *take_string(struct reader *r, uint32_t v)
{
        const struct json_token *t = &r->json->tokens[v];
        char *s = take(r, t->end - t->start + 1, 1);
        size_t len;

        if (!s)
                return NULL;
        len = json_string(r->json, v, s);
        if (memchr(s, '\0', len)) {
                fail(r, v, "%s: a string can't hold \\u0000", r->path);
                return NULL;
        }
        return s;
}

static bool keep_reference(struct reader *r, uint32_t v, const char *text)
{
        struct reference *new = take(r, sizeof(*new), 8);

        if (!new)
                return false;
        *new = (struct reference){ r->references, text, v };
        r->references = new;
        return true;
}

static bool read_string(struct reader *r, uint32_t v, enum spec_rule_of of, const char **out)
{
        const char *expected;

        if (!want_type(r, v, JSON_STRING))
                return false;
        *out = take_string(r, v);
        if (!*out)
                return false;
        if (of == OF_REFERENCES && !keep_reference(r, v, *out))
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
        out->items = take(r, (size + 1) * sizeof(*out->items), 8);
        if (!out->items)
                return false;
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
        const char *words = spec_words(list);
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
        out->items = take(r, size * sizeof(*out->items), 8);
        if (!out->items)
                return false;
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
        out->ports = take(r, size * sizeof(*out->ports), 8);
        if (!out->ports)
                return false;
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
        s->network.rules = take(r, r->json->tokens[v].size * sizeof(struct spec_rule), 8);
        if (!s->network.rules)
                return false;
        for (uint32_t i = json_first(r->json, v); i; i = json_next(r->json, i)) {
                struct spec_rule *out = &s->network.rules[s->network.rule_count++];

                if (!read_object(r, i, O_RULE, out))
                        return false;
        }
        return true;
}

static bool read_places(struct reader *r, uint32_t v)
{
        struct spec_environment *all;
        size_t size = r->json->tokens[v].size;

        if (!want_type(r, v, JSON_ARRAY))
                return false;
        all = take(r, size * sizeof(*all), 8);
        if (!all)
                return false;
        r->spec->agent.environments.items = all;
        for (uint32_t i = json_first(r->json, v); i; i = json_next(r->json, i)) {
                if (!read_object(r, i, O_PLACE, &all[r->spec->agent.environments.count]))
                        return false;
                r->spec->agent.environments.count++;
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
        case K_PLACES:
                return read_places(r, v);
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

static bool has_key(enum object o, const char *name)
{
        size_t count;

        spec_keys(o, &count);
        return spec_key_index(o, name) < count;
}

static bool refuse_key(struct reader *r, uint32_t v, enum object o, const char *name)
{
        const char *dot = *r->path ? "." : "";
        const char *nearest = spec_key_nearest(o, name);
        size_t shown = utf8_prefix(name, strnlen(name, 40));

        if ((o == O_OWN && has_key(O_TOP, name)) || (o == O_OWN_SETUP && has_key(O_SETUP, name)) ||
            (o == O_OWN_NETWORK && has_key(O_NETWORK, name)))
                return fail(r, v,
                            "a repository can't grant \"%s%s%s\": the operator's spec decides",
                            r->path, dot, name);
        return fail(r, v, "unknown key \"%s%s%.*s\"%s%s%s", r->path, dot, (int)shown, name,
                    nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                    nearest ? "\"?" : "");
}

/* Each key's token, by its index in the table; 0: it is not there. */
struct seen {
        uint32_t key[KEYS_MAX];
};

static bool read_key(struct reader *r, uint32_t key, enum object o, void *base, struct seen *seen)
{
        const char *name = take_string(r, key);
        size_t len = strlen(r->path);
        struct wr w = wr_of(r->path, sizeof(r->path) - 1);
        const struct key *keys;
        size_t count;
        size_t i;
        bool ok;

        if (!name)
                return false;
        keys = spec_keys(o, &count);
        i = spec_key_index(o, name);
        if (i == count)
                return refuse_key(r, key, o, name);
        seen->key[i] = key;
        w.len = len;
        wr_fmt(&w, "%s%s", len ? "." : "", keys[i].name);
        wr_cstr(&w);
        ok = read_value(r, json_value(key), &keys[i], base) && check_narrower(r, json_value(key));
        r->path[len] = '\0';
        return ok;
}

/* --- what takes two keys to see ------------------------------------------------------ */

static uint32_t seen_key(const struct seen *seen, enum object o, const char *name)
{
        return seen->key[spec_key_index(o, name)];
}

static bool check_needs(struct reader *r, uint32_t v, enum object o, const struct seen *seen)
{
        size_t count;
        const struct need *need = spec_needs(&count);

        for (; count--; need++) {
                uint32_t key = v;

                if (need->object != o || seen_key(seen, o, need->needs))
                        continue;
                if (*need->key) {
                        key = seen_key(seen, o, need->key);
                        if (!key)
                                continue;
                }
                return fail(r, key, "%s%s\"%s\" is missing", r->path, *r->path ? ": " : "",
                            need->needs);
        }
        return true;
}

/* /workspace/<last part of the url without .git>, as git clone would name it. */
static const char *default_dir(struct reader *r)
{
        const char *url = r->spec->repo.url;
        char *out;
        const char *end;
        const char *start;
        struct wr w;

        end = url + strlen(url);
        while (end > url && end[-1] == '/')
                end--;
        for (start = end; start > url && !strchr("/:", start[-1]); start--)
                ;
        if (end - start > 4 && !memcmp(end - 4, ".git", 4))
                end -= 4;
        else if (end - start > 7 && !memcmp(end - 7, ".bundle", 7))
                end -= 7;
        out = take(r, (size_t)(end - start) + 16, 1);
        if (!out)
                return NULL;
        w = wr_of(out, (size_t)(end - start) + 16);
        wr_fmt(&w, "/workspace/%.*s", (int)(end - start), start);
        return wr_cstr(&w);
}

static bool check_repo(struct reader *r, const struct seen *seen)
{
        struct spec *s = r->spec;

        if (s->repo.dir || !s->repo.url)
                return true;
        s->repo.dir = default_dir(r);
        return s->repo.dir && (!spec_check(OF_PATH, s->repo.dir) ||
                               fail(r, json_value(seen_key(seen, O_REPO, "url")),
                                    "repo.url: it names no directory; give \"dir\""));
}

static bool check_secrets(struct reader *r, const struct seen *seen)
{
        const struct spec_list *names = &r->spec->secrets.names;
        uint32_t list = json_value(seen_key(seen, O_SECRETS, "names"));
        uint32_t v = list;

        if (names->count > JSON_KEYS)
                return fail(r, list, "secrets.names: more than 1024 names");
        for (size_t i = 0; i < names->count; i++) {
                v = i ? json_next(r->json, v) : json_first(r->json, list);
                for (size_t l = 0; l < i; l++) {
                        if (!strcmp(names->items[i], names->items[l]))
                                return fail(r, v, "secrets.names: this name is here a second time");
                }
        }
        return true;
}

/* Whoever reaches it runs commands. */
static bool check_server(struct reader *r, const struct seen *seen)
{
        const char *at = r->spec->agent.exec_server;
        uint32_t server = seen_key(seen, O_AGENT, "exec_server");
        uint32_t token = seen_key(seen, O_AGENT, "token_sha256");
        uint32_t idle = seen_key(seen, O_AGENT, "idle_s");

        if (!server && (token || idle))
                return fail(r, token ? token : idle, "agent: \"exec_server\" is missing");
        if (!server || spec_is_private(at))
                return !token || strcmp(at, "stdio") != 0 ||
                       fail(r, token, "agent.token_sha256: whoever holds stdio needs no token");
        return token || fail(r, server,
                             "agent.exec_server: others can reach this address: "
                             "\"token_sha256\" is missing");
}

/* Of an url that is right. */
static bool is_tls(const char *url)
{
        size_t len;

        return !strncmp(remote_trim(url, &len), "wss:", 4);
}

/* One place, and those before it. */
static bool check_place(struct reader *r, uint32_t v, const struct seen *seen,
                        const struct spec_environment *p)
{
        struct remote_entry e = { p->id, p->url, p->program, p->args.items, p->env.items,
                                  p->cwd, p->token, p->connect_s };
        char text[sizeof(r->error->text)];
        struct wr w = wr_of(text, sizeof(text) - 1);

        if (remote_entry_wrong(&w, &e))
                return fail(r, v, "%s: %s", r->path, wr_cstr(&w));
        for (size_t i = 0; i < r->spec->agent.environments.count; i++)
                if (!strcmp(r->spec->agent.environments.items[i].id, p->id))
                        return fail(r, v, "%s: environment id `%s` is duplicated", r->path, p->id);
        return !p->token || is_tls(p->url) ||
               fail(r, seen_key(seen, O_PLACE, "auth_bearer_token"),
                    "%s: a token goes to a wss:// url alone", r->path);
}

static bool check_places(struct reader *r, uint32_t v, const struct seen *seen)
{
        const char *first = r->spec->agent.environments.first;
        uint32_t given = seen_key(seen, O_PLACES, "default");
        bool known = !first || !strcasecmp(first, "none") ||
                     (!strcmp(first, "local") && r->spec->agent.environments.local);

        for (size_t i = 0; !known && i < r->spec->agent.environments.count; i++)
                known = !strcmp(first, r->spec->agent.environments.items[i].id);
        if (first && !*first)
                return fail(r, given, "%s: default environment id cannot be empty", r->path);
        if (!known)
                return fail(r, given, "%s: default environment `%s` is not configured", r->path,
                            first);
        return r->spec->agent.environments.count + r->spec->agent.environments.local <= PLACES_MAX ||
               fail(r, v, "%s: more than %d environments", r->path, PLACES_MAX);
}

static bool check_agent(struct reader *r, const struct seen *seen)
{
        const struct spec_list *argv = &r->spec->agent.command;
        uint32_t command = seen_key(seen, O_AGENT, "command");
        uint32_t server = seen_key(seen, O_AGENT, "exec_server");
        uint32_t places = seen_key(seen, O_AGENT, "environments");

        if (places && (command || server))
                return fail(r, places, "agent.environments: of the built-in loop alone, so neither "
                                       "\"command\" nor \"exec_server\" beside it");

        if (command && server)
                return fail(r, command > server ? command : server,
                            "agent: either \"command\" or \"exec_server\"");
        if (command && (!argv->count || !*argv->items[0]))
                return fail(r, json_value(command) + !!argv->count,
                            "agent.command: the program's name is missing");
        return check_server(r, seen);
}

static bool check_rule(struct reader *r, const struct seen *seen, const struct spec_rule *rule)
{
        bool looks = rule->methods.items || rule->paths.items || rule->git != GIT_UNSET ||
                     rule->inject_header;

        if (rule->raw && looks)
                return fail(r, seen_key(seen, O_RULE, "raw"),
                            "%s: \"raw\" passes everything through unseen: no \"methods\", "
                            "\"paths\", \"git\" or \"inject\" beside it", r->path);
        return !rule->git_branch || rule->git == GIT_PUSH ||
               fail(r, seen_key(seen, O_RULE, "branch"),
                    "%s: \"branch\" goes with \"git\": \"push\"", r->path);
}

/* "${NAME}" and nothing else: what policy_text.c and spec_pull.c rely on. */
static bool is_one_secret(const char *s)
{
        return !strncmp(s, "${", 2) && !strpbrk(s + 2, "${:") &&
               strchr(s, '}') == s + strlen(s) - 1;
}

static bool check_pull(struct reader *r, const struct seen *seen)
{
        const char *token = r->spec->output.pull.token;

        return !token || is_one_secret(token) ||
               fail(r, json_value(seen_key(seen, O_PULL, "token")),
                    "output.pull_request.token: \"${NAME}\", a secret that holds the token alone");
}

static bool check_network(struct reader *r, const struct seen *seen)
{
        const char *auth = r->spec->network.upstream_auth;

        return !auth || is_one_secret(auth) ||
               fail(r, json_value(seen_key(seen, O_NETWORK, "upstream_auth")),
                    "network.upstream_auth: \"${NAME}\", a secret that holds user:password");
}

static bool check_object(struct reader *r, uint32_t v, enum object o, const void *base,
                         const struct seen *seen)
{
        if (!check_needs(r, v, o, seen))
                return false;
        if (o == O_REPO)
                return check_repo(r, seen);
        if (o == O_SECRETS)
                return check_secrets(r, seen);
        if (o == O_AGENT)
                return check_agent(r, seen);
        if (o == O_PLACES)
                return check_places(r, v, seen);
        if (o == O_PLACE)
                return check_place(r, v, seen, base);
        if (o == O_NETWORK)
                return check_network(r, seen);
        if (o == O_PULL)
                return check_pull(r, seen);
        return o != O_RULE || check_rule(r, seen, base);
}

static bool read_object(struct reader *r, uint32_t v, enum object o, void *base)
{
        struct seen seen = { { 0 } };

        if (!want_type(r, v, JSON_OBJECT))
                return false;
        for (uint32_t k = json_first(r->json, v); k; k = json_next(r->json, k)) {
                if (!read_key(r, k, o, base, &seen))
                        return false;
        }
        return check_object(r, v, o, base, &seen);
}

/* Where the spec lists secrets, every ${NAME} is one of them. */
static bool check_references(struct reader *r)
{
        const struct spec_list *names = &r->spec->secrets.names;

        for (const struct reference *ref = r->references; names->count && ref; ref = ref->next) {
                for (const char *at = text_find(ref->text, "${"); at; at = text_find(at, "${")) {
                        size_t len = strcspn(at += 2, "}");
                        size_t i = 0;

                        for (const char *c = at; c < at + len;) /* behind the last colon */
                                if (*c++ == ':') {
                                        len -= (size_t)(c - at);
                                        at = c;
                                }

                        while (i < names->count && (strncmp(names->items[i], at, len) != 0 ||
                                                    names->items[i][len]))
                                i++;
                        if (i == names->count)
                                return fail(r, ref->v, "secrets.names lacks the name in ${%.*s}",
                                            len < 64 ? (int)len : 64, at);
                }
        }
        return true;
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

int spec_read(struct spec *spec, enum object o, const struct spec *operator, const char *json,
              size_t len, struct spec_error *error)
{
        size_t more = operator ? operator->env.count + operator->network.deny.count : 0;
        struct json j;
        struct reader r = { .json = &j, .spec = spec, .operator= operator, .error = error };
        int result = json_of(&j, json, len, error);

        if (!result) {
                spec->arena = arena_open(&j, len, more);
                r.no_memory = !spec->arena;
                if (r.no_memory || !read_object(&r, 0, o, spec) || !check_references(&r))
                        result = r.no_memory ? -ENOMEM : -EINVAL;
                json_close(&j);
        }
        if (result < 0)
                spec_close(spec);
        return result;
}

int spec_open(struct spec *spec, const char *json, size_t len, struct spec_error *error)
{
        int r;

        *spec = (struct spec){
                .setup.timeout_s = 1200,
                .cache.ttl_s = 43200,
                .secrets.key_timeout_s = 60,
                .network = { .setup = NET_FULL, .agent = NET_OFF },
                .agent = { .timeout_s = 3600, .idle_s = 600, .environments.local = true },
                .model.assess = true,
                .output = { .dir = "/airlock/out", .pull.timeout_s = 120 },
                .resume.turn = 1,
        };
        r = spec_read(spec, O_TOP, NULL, json, len, error);
        if (!r && !spec->repo.dir)
                spec->repo.dir = "/workspace";
        return r;
}
