/*
 * init/spec_model.c - what "model" means: a rule that leads there, and the built-in loop.
 *
 * The rule lets requests below base_url through and nothing else, with the key in them. The
 * built-in loop has a way of its own to it (base/msg.h, CLIENT), so that the commands which
 * the model runs can't ask it in turn. With an agent.command the rule is one like others, and
 * an agent without a network gets this one host.
 */
#include "init/policy_text.h"
#include "init/spec_read.h"

#include <string.h>

#define WORDS 24
#define TEXT 1024

const char *spec_copy(struct spec *s, const char *text, size_t len)
{
        char *at = spec_arena_take(s->arena, len + 1, 1);

        if (at) {
                memcpy(at, text, len);
                at[len] = '\0';
        }
        return at;
}

struct spec_rule *spec_add_rules(struct spec *s, enum spec_way way, size_t more)
{
        size_t count = s->network.rule_count;
        struct spec_rule *all = spec_arena_take(s->arena, (count + more) * sizeof(*all), 8);

        if (!all)
                return NULL;
        if (count)
                memcpy(all, s->network.rules, count * sizeof(*all));
        for (size_t i = 0; i < more; i++)
                all[count + i] = (struct spec_rule){ .way = way };
        s->network.rules = all;
        s->network.rule_count = count + more;
        return &all[count];
}

/* The key's template: "${NAME}" is what a bearer token is made of. */
static const char *authorization(struct spec *s)
{
        char text[TEXT];
        struct wr w = wr_of(text, sizeof(text));

        wr_fmt(&w, "Bearer %s", s->model.key);
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
                r->inject_value = authorization(s);
        }
        return !r->host || !lists[2] || (s->model.key && !r->inject_value) ? "model: too long"
                                                                           : NULL;
}

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

        if (!w.at)
                return "model: no room";
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
