/* init/check.c - `airlock check SPEC`: is it right, and what would it do? */
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/lock.h"
#include "init/program.h"
#include "init/spec.h"

#include <string.h>

/* --- the plan ---------------------------------------------------------------------- */

/* Written as it grows: a plan is as long as its spec, and never cut. */
static void flush(struct wr *w)
{
        if (write_full(STDOUT_FILENO, w->buf, w->len) < 0)
                w->full = true; /* ends as STATUS_OUTPUT */
        w->len = 0;
}

static void put(struct wr *w, const char *s, size_t len)
{
        while (len) {
                size_t n = len < 512 ? len : 512;

                if (w->cap - w->len < 4 * n) /* \xHH */
                        flush(w);
                wr_plain(w, s, n);
                s += n;
                len -= n;
        }
}

static void put_list(struct wr *w, const char *const *list)
{
        for (; *list; list++)
                put(w, *list, strlen(*list));
}

#define put_all(w, ...) put_list(w, (const char *const[]){ __VA_ARGS__, NULL })

/* The end of one line, and the head of the next. */
static void put_head(struct wr *w, const char *head)
{
        if (w->cap - w->len < 64)
                flush(w);
        wr_fmt(w, "\n%s", head);
}

static void put_script(struct wr *w, const char *script)
{
        size_t line;

        script += strspn(script, "\n");
        line = strcspn(script, "\n");
        put(w, script, line);
        if (script[line] && script[line + 1])
                put_all(w, " ...");
}

static void put_seconds(struct wr *w, unsigned seconds)
{
        char text[40];
        struct wr t = wr_of(text, sizeof(text));

        wr_fmt(&t, ", %u s at most", seconds);
        put(w, text, t.len);
}

static void put_secrets(struct wr *w, const struct spec *s)
{
        static const char on_leak[][8] = { "fail", "remove", "warn" };

        if (!s->secrets.sealed)
                return;
        put_head(w, "secrets    of ");
        put_all(w, s->secrets.sealed, s->secrets.names.count ? ":" : ": whatever is in it");
        for (size_t i = 0; i < s->secrets.names.count; i++)
                put_all(w, " ", s->secrets.names.items[i]);
        put_all(w, ", on a leak: ", on_leak[s->secrets.on_leak]);
}

static void put_setup(struct wr *w, const struct spec *s)
{
        put_head(w, "runtimes  ");
        for (enum spec_runtime r = 0; r < RUNTIME_COUNT; r++) {
                if (s->runtimes[r])
                        put_all(w, " ", spec_runtime_name(r), " ", s->runtimes[r]);
        }
        put_head(w, "env       ");
        for (size_t i = 0; i < s->env.count; i++)
                put_all(w, " ", s->env.items[i].name);
        put_head(w, "setup      network ");
        put_all(w, spec_net_name(s->network.setup));
        /* It is locked only where a policy was asked for; netfilter's rules bind all phases. */
        if (s->network.setup == NET_FULL)
                put_all(w, " (but under netfilter unlocked: programs that ignore http_proxy go "
                           "straight out, DNS and UDP too",
                        s->network.deny.items ? ", and \"deny\" does not bind them)" : ")");
        put_seconds(w, s->setup.timeout_s);
        put_all(w, s->setup.script ? ": " : ", no script");
        if (s->setup.script)
                put_script(w, s->setup.script);
        if (s->maintenance.script) {
                put_head(w, "maintenance (runs on a cache hit; this build has no cache) ");
                put_script(w, s->maintenance.script);
        }
}

static void put_seal(struct wr *w, const struct spec *s)
{
        static const char demands[][10] = { "auto", "netns", "netfilter", "notify", "closed" };
        char why[LOCK_WHY];
        int program = program_open("airlock-lock");
        enum lock lock = LOCKED_NETNS;

        while (lock < LOCK_NAMES && program >= 0 && lock_try(program, lock, why) < 0)
                lock++;
        if (lock == LOCKED_CLOSED && s->network.agent != NET_OFF)
                lock = LOCK_NAMES;
        put_head(w, "seal       network ");
        put_all(w, spec_net_name(s->network.agent), ", lock ",
                lock == LOCK_NAMES ? "none holds here" : lock_name(lock));
        if (s->network.lock != LOCK_AUTO)
                put_all(w, ", demanded: ", demands[s->network.lock]);
}

static void put_idle(struct wr *w, unsigned seconds)
{
        char text[64];
        struct wr t = wr_of(text, sizeof(text));

        wr_fmt(&t, ", until no client was there for %u s", seconds);
        put(w, text, t.len);
}

static void put_work(struct wr *w, const struct spec *s)
{
        put_head(w, "work      ");
        for (size_t i = 0; i < s->agent.command.count; i++)
                put_all(w, " ", s->agent.command.items[i]);
        if (s->agent.exec_server)
                put_all(w, " an exec-server at ", s->agent.exec_server,
                        s->agent.token_sha256 ? ", for who has the token" : "");
        put_head(w, "           user ");
        put_all(w, s->agent.user ? s->agent.user : "as started");
        put_seconds(w, s->agent.timeout_s);
        if (s->agent.exec_server && strcmp(s->agent.exec_server, "stdio") != 0)
                put_idle(w, s->agent.idle_s);
}

static void put_plan(struct wr *w, const struct spec *s, const char *wrong)
{
        const char *missing = spec_unsupported_nth(s, 0);

        put_all(w, "provision  ", s->repo.url ? s->repo.url : "no repository",
                s->repo.ref ? " at " : "", s->repo.ref ? s->repo.ref : "", " in ", s->repo.dir);
        put_secrets(w, s);
        put_setup(w, s);
        put_seal(w, s);
        put_work(w, s);
        put_head(w, "report     ");
        put_all(w, s->output.dir);
        if (wrong) {
                put_head(w, "it can't be run: ");
                put_all(w, wrong);
        }
        if (missing)
                put_head(w, "this build can't run it: ");
        for (size_t i = 1; missing; i++) {
                const char *next = spec_unsupported_nth(s, i);

                put_all(w, missing, next ? ", " : "");
                missing = next;
        }
        put_head(w, "");
        flush(w);
}

int command_check(int argc, char **argv)
{
        char plan[8192];
        struct wr w = wr_of(plan, sizeof(plan));
        const char *wrong;
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
        wrong = spec_model(&spec);
        put_plan(&w, &spec, wrong);
        spec_close(&spec);
        return w.full ? STATUS_OUTPUT : STATUS_OK;
}
