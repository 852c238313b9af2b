/* init/check.c - `airlock check SPEC`: is it right, and what would it do? */
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/lock.h"
#include "init/spec.h"

#include <string.h>

static void put_plan(struct wr *w, const struct spec *s)
{
        const char *missing = spec_unsupported(s);
        int lock = s->network.agent == NET_OFF ? lock_choose() : LOCKED_NOT;

        wr_fmt(w, "provision  %s%s%s in %s\n", s->repo.url ? s->repo.url : "no repository",
               s->repo.ref ? " at " : "", s->repo.ref ? s->repo.ref : "", s->repo.dir);
        wr_fmt(w, "setup      %s, %u s at most, network %s\n",
               s->setup.script ? "the script" : "nothing", s->setup.timeout_s,
               spec_net_name(s->network.setup));
        wr_str(w, "env       ");
        for (size_t i = 0; i < s->env.count; i++)
                wr_fmt(w, " %s", s->env.items[i].name);
        wr_fmt(w, "\nseal       network %s, lock %s\n", spec_net_name(s->network.agent),
               lock < 0 ? "none holds here" : lock_name((enum lock)lock));
        wr_str(w, "work      ");
        for (size_t i = 0; i < s->agent.command.count; i++) {
                wr_char(w, ' ');
                wr_plain(w, s->agent.command.items[i], strlen(s->agent.command.items[i]));
        }
        wr_fmt(w, "\n           user %s, %u s at most\nreport     %s\n",
               s->agent.user ? s->agent.user : "as started", s->agent.timeout_s, s->output.dir);
        if (missing)
                wr_fmt(w, "not in this build: %s\n", missing);
}

int command_check(int argc, char **argv)
{
        static char plan[16384];
        struct wr w = wr_of(plan, sizeof(plan));
        struct spec spec;
        int r;

        if (argc == 2 && !strcmp(argv[1], "--help"))
                return help_print("check");
        if (argc != 2) {
                log_line(LOG_ERROR, "usage: airlock check SPEC|-");
                return STATUS_USAGE;
        }
        r = spec_load(argv[1], &spec);
        if (r)
                return r;
        put_plan(&w, &spec);
        spec_close(&spec);
        return write_full(STDOUT_FILENO, plan, w.len) < 0 ? STATUS_OUTPUT : STATUS_OK;
}
