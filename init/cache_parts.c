/* init/cache_parts.c - a spec as the cache sees it. */
#include "init/cache_parts.h"

#include <string.h>

static void put(struct wr *w, const char *prefix, const char *name, const char *value)
{
        if (!value)
                return;
        wr_str(w, prefix);
        wr_bytes(w, name, strlen(name) + 1);
        wr_bytes(w, value, strlen(value) + 1);
}

static void put_list(struct wr *w, const char *name, const struct spec_list *list)
{
        if (!list->count)
                return;
        wr_bytes(w, name, strlen(name) + 1);
        for (size_t i = 0; i < list->count; i++)
                wr_fmt(w, "%s\n", list->items[i]);
        wr_char(w, '\0');
}

/* All rules as one part: two may name the same host. */
static void put_rules(struct wr *w, const struct spec_rule *rules, size_t count)
{
        static const char name[] = "network.rules";

        if (!count)
                return;
        wr_bytes(w, name, sizeof(name));
        for (const struct spec_rule *r = rules; r < rules + count; r++) {
                wr_fmt(w, "%s\n git %d %s\n inject %s\n raw %d\n", r->host, r->git,
                       r->git_branch ? r->git_branch : "",
                       r->inject_header ? r->inject_header : "", r->raw);
                for (size_t i = 0; i < r->methods.count; i++)
                        wr_fmt(w, " method %s\n", r->methods.items[i]);
                for (size_t i = 0; i < r->paths.count; i++)
                        wr_fmt(w, " path %s\n", r->paths.items[i]);
                for (size_t i = 0; i < r->port_count; i++)
                        wr_fmt(w, " port %u\n", r->ports[i]);
        }
        wr_char(w, '\0');
}

/* In full mode the lists decide nothing. */
static void put_network(struct wr *w, const struct spec *s)
{
        put(w, "", "network.setup", spec_net_name(s->network.setup));
        put(w, "", "network.upstream_proxy", s->network.upstream_proxy);
        put(w, "", "network.ca_file", s->network.ca_file);
        if (s->network.setup != NET_LIMITED)
                return;
        put(w, "", "network.preset", s->network.preset == PRESET_NONE ? "none"
                        : s->network.preset == PRESET_COMMON ? "common-dependencies" : "all");
        put_list(w, "network.allow", &s->network.allow);
        put_list(w, "network.deny", &s->network.deny);
        put_list(w, "network.methods", &s->network.methods);
        put_rules(w, s->network.rules, s->network.rule_count);
}

void cache_parts_put(const struct spec *s, struct wr *w)
{
        put(w, "", "repo.url", s->repo.url);
        put(w, "", "repo.dir", s->repo.dir);
        put(w, "", "setup.auto", spec_auto(s) ? "true" : "false");
        put(w, "", "setup.script", s->setup.script);
        put(w, "", "maintenance.script", s->maintenance.script);
        for (unsigned i = 0; i < RUNTIME_COUNT; i++)
                put(w, "runtimes.", spec_runtime_name(i), s->runtimes[i]);
        for (size_t i = 0; i < s->env.count; i++)
                put(w, "env.", s->env.items[i].name, s->env.items[i].value);
        put_list(w, "secrets.names", &s->secrets.names);
        put_network(w, s);
}
