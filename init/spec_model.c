/*
 * init/spec_model.c - what "model" means: a rule that leads there, and the built-in loop.
 *
 * The rule lets requests below base_url through and nothing else, with the key in them. The
 * built-in loop has a way of its own to it (base/msg.h, CLIENT), so that the commands which
 * the model runs can't ask it in turn. It shares that way with a rule for each of the loop's
 * environments elsewhere: their host and port, with the token in it that the loop itself has
 * never seen. With an agent.command the rule is one like others, and
 * an agent without a network gets this one host.
 */
#include "base/remote.h"
#include "init/policy_text.h"
#include "init/spec_read.h"

#include <string.h>
#include <strings.h>

#define WORDS 26
#define TEXT 1024
#define PLACES_TEXT (64 * 1024)

const char *spec_copy(struct spec *s, const char *text, size_t len)
{
        char *at = spec_arena_take(s->arena, len + 1, 1);

        if (at) {
                memcpy(at, text, len);
                at[len] = '\0';
        }
        return at;
}

struct spec_rule *spec_add_rules(struct spec *s, enum spec_way way, size_t n)
{
        size_t count = s->network.rule_count;
        struct spec_rule *all = spec_arena_take(s->arena, (count + n) * sizeof(*all), 8);

        if (!all)
                return NULL;
        if (count)
                memcpy(all, s->network.rules, count * sizeof(*all));
        for (size_t i = 0; i < n; i++)
                all[count + i] = (struct spec_rule){ .way = way };
        s->network.rules = all;
        s->network.rule_count = count + n;
        return &all[count];
}

/* The key's template: "${NAME}" is what a bearer token is made of. */
static const char *authorization(struct spec *s, const char *key)
{
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "Bearer %s", key);
        return w.full ? NULL : spec_copy(s, text, w.len);
}

static const char *make_rule(struct spec *s)
{
        static const char *const methods[] = { "GET", "POST" };
        const char *url = s->model.base_url, *host, *path;
        struct spec_rule *r = spec_add_rules(s, WAY_MODEL, 1);
        const char **lists = spec_arena_take(s->arena, 3 * sizeof(*lists), 8);
        uint16_t *port = spec_arena_take(s->arena, sizeof(*port), 8);
        char glob[TEXT];
        struct wr g = wr_of(glob, sizeof(glob));
        size_t len;
        unsigned n;

        if (!r || !lists || !port)
                return "model: no room";
        if (!policy_text_repo(url, &host, &len, &n) || strchr(url, '@') || strpbrk(url, "?#"))
                return "model.base_url: expected http[s]://HOST[:PORT][/PATH]";
        *port = (uint16_t)n;
        path = strchr(text_find(url, "://") + 3, '/');
        n = path ? (unsigned)strlen(path) : 0;
        while (n && path[n - 1] == '/')
                n--;
        wr_fmt(&g, "%.*s/*", (int)n, path ? path : "");
        memcpy(lists, methods, sizeof(methods));
        lists[2] = g.full ? NULL : spec_copy(s, glob, g.len);
        r->host = spec_copy(s, host, len);
        r->ports = port;
        r->port_count = 1;
        r->methods = (struct spec_list){ lists, 2 };
        r->paths = (struct spec_list){ lists + 2, 1 };
        if (s->model.key) {
                if (strncmp(url, "https://", 8) != 0)
                        return "model.key: a key goes to an https:// base_url alone";
                r->inject_header = "Authorization";
                r->inject_value = authorization(s, s->model.key);
        }
        return !r->host || !lists[2] || (s->model.key && !r->inject_value) ? "model: too long"
                                                                           : NULL;
}

/* --- environments ------------------------------------------------------------------------ */

/* One that is elsewhere: WebSockets to its host and port, whatever they carry without TLS. */
static bool make_remote(struct spec *s, struct spec_rule *r, const struct spec_environment *p)
{
        static const char *const methods[] = { "GET", "POST" }; /* a WebSocket needs both */
        const char **list = spec_arena_take(s->arena, sizeof(methods), 8);
        uint16_t *port = spec_arena_take(s->arena, sizeof(*port), 8);
        size_t len;
        const char *url = remote_trim(p->url, &len);
        struct remote at;

        url = spec_copy(s, url, len);
        if (!list || !port || !url || remote_parse(&at, url) != REMOTE_OK)
                return false;
        *port = at.port;
        memcpy(list, methods, sizeof(methods));
        r->host = spec_copy(s, at.host, strlen(at.host));
        r->ports = port;
        r->port_count = 1;
        r->name = p->id;
        r->raw = !at.tls;
        if (at.tls)
                r->methods = (struct spec_list){ list, 2 };
        if (p->token) {
                r->inject_header = "Authorization";
                r->inject_value = authorization(s, p->token);
        }
        return r->host && (!p->token || r->inject_value);
}

static void put_string(struct wr *w, const char *key, const char *value)
{
        if (!value)
                return;
        wr_fmt(w, ",\"%s\":", key);
        wr_json(w, value, strlen(value));
}

static void put_seconds(struct wr *w, const char *key, unsigned seconds)
{
        if (seconds)
                wr_fmt(w, ",\"%s\":%u", key, seconds);
}

static void put_place(struct wr *w, const struct spec_environment *p)
{
        wr_str(w, "{\"id\":");
        wr_json(w, p->id, strlen(p->id));
        put_string(w, "url", p->url);
        put_string(w, "program", p->program);
        put_string(w, "cwd", p->cwd);
        for (size_t i = 0; i < p->args.count; i++) {
                wr_str(w, i ? "," : ",\"args\":[");
                wr_json(w, p->args.items[i], strlen(p->args.items[i]));
        }
        wr_str(w, p->args.count ? "]" : "");
        for (size_t i = 0; i < p->env.count; i++) {
                wr_str(w, i ? "," : ",\"env\":{");
                wr_json(w, p->env.items[i].name, strlen(p->env.items[i].name));
                wr_str(w, ":");
                wr_json(w, p->env.items[i].value, strlen(p->env.items[i].value));
        }
        wr_str(w, p->env.count ? "}" : "");
        put_seconds(w, "connect_timeout_sec", p->connect_s);
        put_seconds(w, "initialize_timeout_sec", p->initialize_s);
        wr_str(w, "}");
}

/* The list as the loop reads it, without tokens: others can see a command line. */
static const char *places_text(struct spec *s)
{
        static char text[PLACES_TEXT];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "{\"include_local\":%s",
               s->agent.environments.local ? "true" : "false");
        put_string(&w, "default", s->agent.environments.first);
        wr_str(&w, ",\"environments\":[");
        for (size_t i = 0; i < s->agent.environments.count; i++) {
                wr_str(&w, i ? "," : "");
                put_place(&w, &s->agent.environments.items[i]);
        }
        wr_str(&w, "]}");
        return w.full ? NULL : spec_copy(s, text, w.len);
}

/* CODEX_EXEC_SERVER_URL in "env" means what it means to Codex. NULL, or what is wrong. */
static const char *read_variable(struct spec *s)
{
        static char wrong[TEXT];
        struct wr w = wr_of(wrong, sizeof(wrong) - 1);
        struct remote_entry e = { .id = "remote" };
        struct spec_environment *p;
        size_t len = 0;

        for (size_t i = 0; i < s->env.count; i++)
                if (!strcmp(s->env.items[i].name, "CODEX_EXEC_SERVER_URL"))
                        e.url = remote_trim(s->env.items[i].value, &len);
        if (!len || s->agent.environments.given)
                return NULL;
        s->agent.environments.given = true;
        s->agent.environments.local = false;
        if (len == 4 && !strncasecmp(e.url, "none", 4))
                return NULL;
        wr_str(&w, "env.CODEX_EXEC_SERVER_URL: ");
        if (remote_entry_wrong(&w, &e))
                return wr_cstr(&w);
        p = spec_arena_take(s->arena, sizeof(*p), 8);
        if (!p)
                return "model: no room";
        *p = (struct spec_environment){ .id = e.id, .url = e.url };
        s->agent.environments.items = p;
        s->agent.environments.count = 1;
        s->agent.environments.first = e.id;
        return NULL;
}

/*
 * Names of the model and of environments may lead to this machine and to private networks, on
 * their ports: the operator wrote them, and only the loop gets there. Of rules that make up
 * an agent's policy nothing like that is made.
 */
static bool open_near(struct spec *s)
{
        size_t before = s->network.rule_count, count = 0, ranges = 0;
        uint16_t *ports = spec_arena_take(s->arena, (before + 1) * sizeof(*ports), 8);
        struct spec_rule *r;

        if (!ports)
                return false;
        for (size_t i = 0; i < before; i++)
                if (s->network.rules[i].way == WAY_MODEL && remote_is_name(s->network.rules[i].host))
                        ports[count++] = s->network.rules[i].ports[0];
        while (remote_near[ranges])
                ranges++;
        if (!count)
                return true;
        r = spec_add_rules(s, WAY_MODEL, ranges);
        for (size_t i = 0; r && i < ranges; i++) {
                r[i].host = remote_near[i];
                r[i].ports = ports;
                r[i].port_count = count;
        }
        return r;
}

static const char *make_places(struct spec *s, const char **text)
{
        const char *wrong = read_variable(s);
        size_t remotes = 0;
        struct spec_rule *r;

        *text = NULL;
        if (wrong || !s->agent.environments.given)
                return wrong;
        for (size_t i = 0; i < s->agent.environments.count; i++)
                remotes += s->agent.environments.items[i].url != NULL;
        r = spec_add_rules(s, WAY_MODEL, remotes);
        for (size_t i = 0; r && i < s->agent.environments.count; i++)
                if (s->agent.environments.items[i].url &&
                    !make_remote(s, r++, &s->agent.environments.items[i]))
                        return "agent.environments: too long";
        *text = places_text(s);
        return r && *text ? NULL : "agent.environments: too long";
}

/* --- the command line -------------------------------------------------------------------- */

void spec_option(struct spec_line *w, const char *name, const char *value)
{
        if (!value)
                return;
        w->at[w->n++] = name;
        w->at[w->n++] = value;
}

void spec_number(struct spec_line *w, const char *name, unsigned value)
{
        char text[16];
        struct wr t = wr_of(text, sizeof(text));

        wr_u64(&t, value);
        spec_option(w, name, value ? spec_copy(w->spec, text, t.len) : NULL);
}

static const char *make_command(struct spec *s)
{
        static const char *const wires[] = { "auto", "responses", "chat" };
        struct spec_line w = { s, spec_arena_take(s->arena, WORDS * sizeof(*w.at), 8), 0 };
        const char *places, *wrong = make_places(s, &places);

        if (!wrong && !open_near(s))
                wrong = "model: no room";
        if (!w.at || wrong)
                return wrong ? wrong : "model: no room";
        if (!s->model.name)
                return "model.name: missing; the built-in loop needs it";
        if (!s->prompt)
                return "prompt: missing; the built-in loop needs it";
        w.at[w.n++] = "airlock-agent";
        spec_option(&w, "--base-url", s->model.base_url);
        spec_option(&w, "--model", s->model.name);
        spec_option(&w, "--wire", wires[s->model.wire]);
        spec_option(&w, "--effort", s->model.effort);
        spec_number(&w, "--context-window", s->model.context_window);
        spec_number(&w, "--max-requests", s->model.max_requests);
        spec_number(&w, "--max-tokens", s->model.max_tokens);
        spec_option(&w, "--environments", places);
        if (!s->model.assess)
                w.at[w.n++] = "--no-assess";
        w.at[w.n] = NULL;
        s->agent.command = (struct spec_list){ w.at, w.n };
        s->agent.builtin = true;
        return NULL;
}

const char *spec_model(struct spec *s)
{
        const char *wrong;

        if (!s->model.base_url && (s->model.name || s->model.key))
                return "model.base_url: missing";
        if (!s->model.base_url)
                return s->agent.command.count || s->agent.exec_server
                               ? NULL
                               : "agent.command: missing, and so is model, for the built-in loop";
        wrong = make_rule(s);
        if (wrong)
                return wrong;
        if (!s->agent.command.count && !s->agent.exec_server)
                return make_command(s);
        if (s->network.agent == NET_OFF) {
                s->network.agent = NET_LIMITED;
                s->network.model_only = true;
        }
        return NULL;
}

static bool names_secret(const char *text)
{
        return text && text_find(text, "${");
}

const char *spec_injected(const struct spec *s)
{
        if (s->secrets.sealed)
                return NULL;
        if (names_secret(s->model.key))
                return "model.key: \"secrets\" are missing, and it names one";
        if (names_secret(s->network.upstream_auth))
                return "network.upstream_auth: \"secrets\" are missing, and it names one";
        for (size_t i = 0; i < s->network.rule_count; i++) {
                const struct spec_rule *r = &s->network.rules[i];

                if (names_secret(r->inject_value))
                        return r->way == WAY_MODEL
                                       ? "agent.environments: auth_bearer_token: \"secrets\" are missing"
                                       : "network.rules: inject.value: \"secrets\" are missing";
        }
        return NULL;
}
