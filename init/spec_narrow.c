/* init/spec_narrow.c - what a repository's own file adds, and what this build lacks. */
#include "init/spec_read.h"

#include <errno.h>
#include <string.h>

static void merge_env(struct spec *spec, const struct spec *from, struct spec_pair *all)
{
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

static void merge_deny(struct spec *spec, const struct spec *from, const char **all)
{
        const struct spec_list *a = &spec->network.deny;
        const struct spec_list *b = &from->network.deny;

        if (a->count)
                memcpy(all, a->items, a->count * sizeof(*all));
        if (b->count)
                memcpy(all + a->count, b->items, b->count * sizeof(*all));
        spec->network.deny = (struct spec_list){ all, a->count + b->count };
}

static int merge(struct spec *spec, const struct spec *from)
{
        size_t pairs = spec->env.count + from->env.count;
        size_t hosts = spec->network.deny.count + from->network.deny.count;
        struct spec_pair *env = spec_arena_take(from->arena, pairs * sizeof(*env), 8);
        const char **deny = spec_arena_take(from->arena, hosts * sizeof(*deny), 8);

        if (!env || !deny)
                return -ENOMEM;
        for (size_t i = 0; i < RUNTIME_COUNT; i++) {
                if (!spec->runtimes[i])
                        spec->runtimes[i] = from->runtimes[i];
        }
        merge_env(spec, from, env);
        merge_deny(spec, from, deny);
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
        return 0;
}

int spec_narrow(struct spec *spec, const char *json, size_t len, struct spec_error *error)
{
        struct spec from = {
                .setup.timeout_s = spec->setup.timeout_s,
                .network.agent = spec->network.agent,
        };
        int r = spec_read(&from, O_OWN, spec, json, len, error);

        if (r < 0)
                return r;
        r = merge(spec, &from);
        if (r < 0)
                spec_close(&from);
        return r;
}
