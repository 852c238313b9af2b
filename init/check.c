/* init/check.c - `airlock check SPEC`: is it right, and what would it do? */
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/lock.h"
#include "init/program.h"
#include "init/resume.h"
#include "init/spec.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

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

/* Where the repository's files can be seen from here; NULL: nowhere. */
static const char *repository(const struct spec *s, const char *given)
{
        const char *dir = given ? given : s->repo.url ? s->repo.url : s->repo.dir;
        struct stat st;

        if (!strncmp(dir, "file://", 7))
                dir += 7;
        return *dir == '/' || given ? !stat(dir, &st) && S_ISDIR(st.st_mode) ? dir : NULL : NULL;
}

/* airlock-auto reads them; it writes its lines behind ours. */
static void show_auto(struct wr *w, const char *dir)
{
        const char *argv[] = { "airlock-auto", "show", dir, NULL };
        int program = program_open("airlock-auto"), status = 0;
        pid_t pid;

        flush(w);
        pid = program < 0 ? -1 : fork();
        if (!pid) {
                syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
                _exit(STATUS_NOT_FOUND);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
                w->full = true;
}

static void put_auto(struct wr *w, const struct spec *s, const char *given)
{
        const char *dir = repository(s, given);

        if (!spec_auto(s))
                return;
        put_all(w, "; automatic setup");
        if (!dir) {
                put_all(w, ": what the repository's files ask for (--repo DIR shows it)");
                return;
        }
        put_all(w, ", for the files as they are in ", dir, ":");
        show_auto(w, dir);
}

static void put_setup(struct wr *w, const struct spec *s, const char *given)
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
        put_auto(w, s, given);
        if (s->maintenance.script) {
                put_head(w, "maintenance, after a cache hit: ");
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

/* Where the loop's commands run. */
static void put_places(struct wr *w, const struct spec *s)
{
        const struct spec_environment *p = s->agent.environments.items;
        size_t count = s->agent.environments.count;

        if (!s->agent.builtin || !s->agent.environments.given)
                return;
        put_head(w, "           commands run ");
        put_all(w, s->agent.environments.local ? "here" : count ? "" : "nowhere");
        for (size_t i = 0; i < count; i++, p++)
                put_all(w, i || s->agent.environments.local ? ", " : "", "in ", p->id, " (",
                        p->url ? p->url : p->program,
                        p->url ? "; the loop alone gets there" : ", sealed as the agent is",
                        p->token ? ", with a token that the proxy adds)" : ")");
        if (s->agent.environments.first)
                put_all(w, "; by default ", s->agent.environments.first);
}

static void put_work(struct wr *w, const struct spec *s)
{
        put_head(w, "work      ");
        for (size_t i = 0; i < s->agent.command.count; i++) {
                if (s->agent.builtin && !strcmp(s->agent.command.items[i], "--environments"))
                        i++; /* below, in words */
                else
                        put_all(w, " ", s->agent.command.items[i]);
        }
        put_places(w, s);
        if (s->agent.exec_server)
                put_all(w, " an exec-server at ", s->agent.exec_server,
                        s->agent.token_sha256 ? ", for who has the token" : "");
        put_head(w, "           user ");
        put_all(w, s->agent.user ? s->agent.user : "as started");
        put_seconds(w, s->agent.timeout_s);
        if (s->agent.exec_server && strcmp(s->agent.exec_server, "stdio") != 0)
                put_idle(w, s->agent.idle_s);
}

static void put_push(struct wr *w, const struct spec *s)
{
        const char *base = s->output.pull.base;

        if (!s->output.push.count)
                return;
        put_head(w, "push       ");
        put_all(w, s->output.pull.branch, " of ", s->output.pull.url,
                ", if the agent ends with 0 and has changed something");
        put_head(w, "           with ");
        put_all(w, s->output.pull.token, ", which is given to airlock-proxy alone");
        if (s->output.pull.forge == FORGE_NONE)
                return;
        put_head(w, "           opens or updates the pull request \"");
        put_all(w, s->output.pull.title, "\" into ",
                base ? base : s->repo.ref ? s->repo.ref : "the default branch", " by ",
                s->output.pull.api);
}

static void put_turn(struct wr *w, const struct spec *s)
{
        char text[64];
        struct wr t = wr_of(text, sizeof(text));

        if (!s->resume.from)
                return;
        wr_fmt(&t, "turn %u, from ", s->resume.turn);
        put_head(w, "           ");
        put(w, text, t.len);
        put_all(w, s->resume.start, ", the changes of ", s->resume.from,
                s->resume.conversation ? " and its conversation" : "");
}

static void put_plan(struct wr *w, const struct spec *s, const char *given, const char *wrong)
{
        put_all(w, "provision  ", s->repo.url ? s->repo.url : "no repository",
                s->repo.ref ? " at " : "", s->repo.ref ? s->repo.ref : "", " in ", s->repo.dir);
        put_turn(w, s);
        put_secrets(w, s);
        put_setup(w, s, given);
        put_seal(w, s);
        put_work(w, s);
        put_head(w, "report     ");
        put_all(w, s->output.dir);
        put_push(w, s);
        if (wrong) {
                put_head(w, "it can't be run: ");
                put_all(w, wrong);
        }
        put_head(w, "");
        flush(w);
}

int command_check(int argc, char **argv)
{
        char plan[8192];
        struct wr w = wr_of(plan, sizeof(plan));
        const char *given = NULL, *resume = NULL;
        const char *wrong;
        struct spec spec;
        int r, at = 1;

        if (argc == 2 && !strcmp(argv[1], "--help"))
                return help_print("check");
        for (; argc > at + 2; at += 2) {
                if (!strcmp(argv[at], "--repo"))
                        given = argv[at + 1];
                else if (!strcmp(argv[at], "--resume"))
                        resume = argv[at + 1];
                else
                        break;
        }
        if (argc != at + 1) {
                log_line(LOG_ERROR, "usage: airlock check [--repo DIR] [--resume OUT] SPEC|-");
                return STATUS_USAGE;
        }
        r = spec_load(argv[at], &spec);
        if (r)
                return r;
        wrong = spec_model(&spec);
        r = resume ? resume_load(&spec, resume) : 0;
        if (r)
                return r;
        if (!wrong)
                wrong = spec_pull(&spec);
        if (!wrong)
                wrong = spec_injected(&spec);
        put_plan(&w, &spec, given, wrong);
        spec_close(&spec);
        return w.full ? STATUS_OUTPUT : STATUS_OK;
}
