/*
 * secrets/unseal.c - what airlock-unseal does for PID 1: secrets for the setup session, and
 * nobody else, for as long as it runs.
 *
 * What happens, in this order:
 *
 *   read    the sealed file (its digest compared), then the key, into an arena
 *   open    decrypt and parse, on the arena's stack, under a filter that lets nothing
 *           through but the end of the process
 *   check   names against the spec's list
 *   hand    what rules inject to the proxy; placeholders for it to --env
 *   wait    for PID 1: all of the above is done before a repository is cloned
 *   start   the session: forked from the ordinary stack, its environment in the arena
 *   watch   with few rights and no way to a network or a program: output through the masker
 *   scan    when PID 1 says that nobody else is left: what did setup write?
 *   wipe    and exit
 *
 * What PID 1 must do.
 *   1. Before it touches stdin: fork, give the child the rights of the setup session (its
 *      user and capabilities, no other; all of its own where airlock-lock will need them for
 *      a locked session, and then they are given up once that has started), and exec
 *      airlock-unseal. Then open /dev/null as its own stdin, and wipe the key's variable from
 *      its own environment (base/environ.h).
 *   2. stdout and stderr are a pipe that PID 1 shows and keeps as the setup log: lines of our
 *      log, and all that the session prints, masked (--output). --control is a
 *      SOCK_SEQPACKET end, --journal the journal's, which PID 1 writes to as well.
 *   3. On OPENED: go on with the task. When the session is due: LEND what a lock needs, RUN.
 *      Where none is due: SCAN, which then only ends us.
 *   4. A time limit or a stop: TERM to airlock-unseal, which passes it on and ends the session
 *      after SESSION_GRACE_MS. KILL only after that: then there is no scan, and the task fails.
 *   5. On ENDED: end or freeze everyone but airlock-unseal (and the proxy, and whoever is
 *      airlock's), send SCAN; or another RUN, where the first said that it might follow.
 *   6. Wait for the exit: 0 nothing was found; UNSEAL_FOUND something was, and it was removed,
 *      allowed, or only warned about: nothing may be cached; 72 a leak; 75 and 78 as in
 *      base/log.h, after one line of log. Anything else, and a signal: 75, the task ends.
 *   7. Only then read $AIRLOCK_ENV and save a cache; the line file was read and removed.
 *
 * --name A: all that the file may hold, one by one. --template TEXT: what a rule injects; the
 * names in it go to --proxy in MSG_SECRETS and do not reach the session, which gets the
 * proxy's placeholders instead (--inject A,B and --withhold A,B do one without the other).
 * --env gets NAME=PLACEHOLDER lines for what is injected,
 * as $AIRLOCK_ENV has them: programs that refuse to start without a token start, and the
 * proxy writes the real one into their requests.
 *
 * No user of its own: a setup session of root may become any user and end any process, so
 * one would keep nothing out; and the scan must read what everyone wrote. What keeps others
 * out is that the process is not dumpable, and that setup has no CAP_SYS_PTRACE. Ended by
 * setup, it takes the task with it.
 *
 * A scan that could not see everything (--scan-timeout-s, files that can't be opened) says so,
 * file by file, in the log and the journal; it does not fail for that.
 *
 * Masking in the agent's phase: nobody but the proxy holds a value then, so only an answer
 * that repeats an injected one could bring it in, and there the proxy masks it. Setup's
 * leftovers are what the scan is for; what allow_leak or a warning leaves, the agent can read
 * and so can print, and nobody is left who would know it.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/msg.h"
#include "secrets/unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define PLACEHOLDERS_MAX (64UL * 1024)
#define PROXY_MS 10000

static LARGE_BUFFER struct unseal unseal;

/* --- the journal -------------------------------------------------------------------------- */

void journal(const struct unseal *u, const char *event, const struct wr *fields)
{
        char line[4096];
        struct wr w = wr_of(line, sizeof(line));

        if (u->o.journal < 0)
                return;
        wr_str(&w, "{\"time\":\"");
        put_time(&w);
        wr_fmt(&w, "\",\"ms\":%lu,\"phase\":\"%s\",\"event\":\"%s\"",
               (unsigned long)(now_ms() - u->o.journal_start_ms), u->phase, event);
        wr_bytes(&w, fields->buf, fields->len);
        wr_str(&w, "}\n");
        if (fields->full || w.full || write_full(u->o.journal, line, w.len) < 0)
                log_line(LOG_WARN, "%s: the journal could not be written", u->phase);
}

void put_string(struct wr *w, const char *key, const char *text, size_t len)
{
        wr_fmt(w, ",\"%s\":", key);
        wr_json(w, text, len);
}

/* --- the end ------------------------------------------------------------------------------- */

void unseal_close(struct unseal *u)
{
        arena_close(&u->index);
        arena_close(&u->list);
        arena_close(&u->arena);
}

void fail(struct unseal *u, enum status status, const char *fmt, ...)
{
        char text[1024];
        struct wr w = wr_of(text, sizeof(text) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap); /* names in it lie in the arena */
        va_end(ap);
        unseal_close(u);
        die(status, "%s", wr_cstr(&w));
}

const char *sealed_name(const struct unseal *u)
{
        return u->o.sealed ? u->o.sealed : "the sealed file";
}

/* --- hand --------------------------------------------------------------------------------- */

/*
 * What the proxy shows in the place of each secret, `NAME=PLACEHOLDER` NUL …: of the same
 * shape, and another for each task. It writes them over the values in the memfd itself.
 */
static LARGE_BUFFER char placeholders[PLACEHOLDERS_MAX + 1];

static int fill_memory(struct unseal *u)
{
        const char *list = u->o.inject;
        const char *name;
        size_t total = 0;
        int fd = memfd_create("secrets", MFD_CLOEXEC);
        int r = fd < 0 ? -errno : 0;

        for (size_t len; !r && (len = unseal_next(&list, &name));) {
                const struct var *e = vars_find(u->vars, name, len);

                total += e->name_len + 1 + e->value_len + 1;
                r = total > PLACEHOLDERS_MAX
                            ? -E2BIG
                            : write_full(fd, vars_name(u->vars, e),
                                         e->name_len + 1 + e->value_len + 1);
        }
        if (!r && lseek(fd, 0, SEEK_SET) == 0)
                return fd;
        if (fd >= 0 && ftruncate(fd, 0) == 0)
                close(fd);
        return r;
}

static void hand_to_proxy(struct unseal *u)
{
        struct msg m = { .type = MSG_SECRETS };
        int r, fd;

        if (!u->o.inject)
                return;
        if (u->o.proxy < 0)
                fail(u, STATUS_SPEC, "a rule injects %s, and network.setup and network.agent are "
                     "off", u->o.inject);
        fd = fill_memory(u);
        if (fd < 0)
                fail(u, fd == -E2BIG ? STATUS_SPEC : STATUS_AGAIN,
                     "secrets that rules inject: %s",
                     fd == -E2BIG ? "more than 64 KiB" : strerror(-fd));
        r = msg_ask(u->o.proxy, &m, fd, PROXY_MS);
        if (!r && pread(fd, placeholders, PLACEHOLDERS_MAX, 0) < 0)
                r = -errno;
        close(fd);
        if (r < 0)
                fail(u, STATUS_AGAIN, "airlock-proxy does not take secrets: %s", strerror(-r));
        close(u->o.proxy);
        u->o.proxy = -1;
}

char *unseal_placeholder(struct unseal *u, const char *name, size_t len)
{
        for (char *p = placeholders; *p; p += strlen(p) + 1) {
                if (!strncmp(p, name, len) && p[len] == '=')
                        return p;
        }
        fail(u, STATUS_AGAIN, "airlock-proxy gave no placeholder for %.*s", (int)len, name);
}

static void write_placeholders(struct unseal *u)
{
        const char *list = u->o.inject;
        const char *name;

        if (u->o.env < 0)
                return;
        for (size_t len; (len = unseal_next(&list, &name));) {
                const char *line = unseal_placeholder(u, name, len);

                if (write_full(u->o.env, line, strlen(line)) < 0 ||
                    write_full(u->o.env, "\n", 1) < 0)
                        fail(u, STATUS_AGAIN, "the placeholders can't be written");
        }
        close(u->o.env);
        u->o.env = -1;
}

/* --- main ----------------------------------------------------------------------------------- */

static void journal_opened(struct unseal *u)
{
        static const char *const kinds[] = { "hidden", "locked", "ordinary" };
        char text[3000];
        struct wr w = wr_of(text, sizeof(text));

        put_string(&w, "memory", kinds[u->arena.kind], strlen(kinds[u->arena.kind]));
        wr_str(&w, ",\"names\":[");
        for (size_t i = 0; i < u->vars->count && w.len < sizeof(text) - 600; i++) {
                const struct var *e = &u->vars->list[i];

                wr_str(&w, i ? "," : "");
                wr_json(&w, vars_name(u->vars, e), e->name_len);
        }
        wr_fmt(&w, "],\"count\":%lu", (unsigned long)u->vars->count);
        journal(u, "secrets", &w);
}

static void tell_opened(struct unseal *u)
{
        struct msg m = { .type = MSG_OPENED };
        int r;

        memcpy(m.text, u->hash, sizeof(u->hash));
        r = msg_send(u->o.control, &m, -1);
        if (r < 0)
                fail(u, STATUS_AGAIN, "tell PID 1 that the secrets are open: %s", strerror(-r));
}

int unseal_main(char **argv)
{
        struct unseal *u = &unseal;
        int r;

        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        log_role("unseal");
        log_patience(100);
        u->phase = "provision";
        r = unseal_options_parse(&u->o, argv);
        if (r)
                return r;
        unseal_open(u);
        hand_to_proxy(u);
        write_placeholders(u);
        if (u->o.unlink_sealed && u->o.sealed && unlink(u->o.sealed) < 0)
                log_errno(LOG_WARN, errno, "%s stays", u->o.sealed);
        journal_opened(u);
        tell_opened(u);
        unseal_serve(u);
        r = u->ran ? unseal_scan(u) : STATUS_OK;
        unseal_close(u);
        return r;
}
