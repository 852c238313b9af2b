/*
 * secrets/unseal.c - the main of airlock-unseal: secrets for the setup session, and nobody
 * else, for as long as it runs.
 *
 * What happens, in this order:
 *
 *   read    the sealed file (its digest compared), then the key, into an arena
 *   open    decrypt and parse, on the arena's stack, under a filter that lets nothing
 *           through but the end of the process
 *   check   names against the spec's list
 *   hand    what rules inject to the proxy; placeholders for it to --env
 *   start   the session: forked from the ordinary stack, its environment in the arena
 *   watch   with few rights and no way to a network or a program: output through the masker
 *   scan    when PID 1 says that nobody else is left: what did setup write?
 *   wipe    and exit
 *
 * What PID 1 must do.
 *   1. Before it touches stdin: fork, give the child the rights of the setup session (its
 *      user and capabilities, no other), its environment and working directory, the lock of
 *      setup as part of COMMAND (`airlock-lock --enter … -- bash …`; descriptors that this
 *      needs: --pass), and exec airlock-unseal. Then open /dev/null as its own stdin, and
 *      wipe the key's variable from its own environment (base/environ.h).
 *   2. fd 2 of it is PID 1's stderr: lines of the log. --output is the pipe that PID 1 shows
 *      and keeps as the setup log; everything in it is masked. --control is a
 *      SOCK_SEQPACKET end, --journal the journal's descriptor (O_APPEND).
 *   3. A time limit or a stop: TERM to airlock-unseal, which passes it on and ends the session
 *      after SESSION_GRACE_MS. KILL only after that: then there is no scan, and the task fails.
 *   4. On ENDED: end or freeze everyone but airlock-unseal (and the proxy, and whoever is
 *      airlock's), close the output pipe when it has been read, send SCAN.
 *   5. Wait for the exit: 0 nothing found, or it was removed, allowed, or only warned about;
 *      72 a leak; 75 and 78 as in base/log.h, after one line of log. Anything else, and a
 *      signal: 71, the task ends. Without ENDED before it there was no session.
 *   6. Only then read $AIRLOCK_ENV and save a cache; the line file was read and removed.
 *
 * --names A,B: all that the file may hold. --inject A,B: these go to --proxy in MSG_SECRETS;
 * --withhold A,B: these do not reach the session, which gets the proxy's placeholders
 * instead (so they are in both lists). --env gets NAME=PLACEHOLDER lines for what is injected,
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
 * that repeats an injected one could bring it in; that is the proxy's to refuse. Setup's
 * leftovers are what the scan is for.
 */
#include "base/clock.h"
#include "base/confine.h"
#include "base/environ.h"
#include "base/io.h"
#include "base/msg.h"
#include "secrets/filter.h"
#include "secrets/leak.h"
#include "secrets/unseal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>

#define PLACEHOLDERS_MAX (64 * 1024)
#define PROXY_MS 10000
#define CAP(n) (UINT64_C(1) << (n))

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

/* The `NAME=PLACEHOLDER` that the proxy gave for @name. */
static char *placeholder(struct unseal *u, const char *name, size_t len)
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
                const char *line = placeholder(u, name, len);

                if (write_full(u->o.env, line, strlen(line)) < 0 ||
                    write_full(u->o.env, "\n", 1) < 0)
                        fail(u, STATUS_AGAIN, "the placeholders can't be written");
        }
        close(u->o.env);
        u->o.env = -1;
}

/* A variable that held a key, or says where one was. */
static bool is_about_the_key(const struct unseal *u, const char *var)
{
        const char *const names[] = {
                KEY_FD_ENV, ENVIRON_KEY, u->o.key.from == KEY_FROM_ENV ? u->o.key.name : "",
        };

        for (size_t i = 0; i < COUNT(names); i++) {
                size_t len = strlen(names[i]);

                if (len && !strncmp(var, names[i], len) && var[len] == '=')
                        return true;
        }
        return false;
}

/* Our own environment, and the secrets over it. */
static void make_environment(struct unseal *u)
{
        const struct vars *v = u->vars;
        size_t n = 0;

        for (char **e = environ; *e; e++) {
                if (!vars_find(v, *e, strcspn(*e, "=")) && !is_about_the_key(u, *e))
                        u->envp[n++] = *e;
        }
        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];
                bool withheld = unseal_lists(u->o.withhold, vars_name(v, e), e->name_len);

                u->envp[n++] = withheld ? placeholder(u, vars_name(v, e), e->name_len)
                                        : v->text + e->at;
        }
        u->envp[n] = NULL;
}

/* --- start and watch ---------------------------------------------------------------------- */

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

static int catch_signals(sigset_t *before)
{
        sigset_t ours;

        sigemptyset(&ours);
        sigaddset(&ours, SIGCHLD);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGQUIT);
        sigaddset(&ours, SIGHUP);
        signal(SIGPIPE, SIG_IGN);
        if (sigprocmask(SIG_BLOCK, &ours, before) < 0)
                return -errno;
        return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * What is left to do reads files of everyone, removes some, and passes bytes on. A
 * descriptor limit for the walk: not before the session has its own.
 */
static void keep_few_rights(struct unseal *u)
{
        static const uint16_t calls[] = {
                SYS_read, SYS_write, SYS_pread64, SYS_close, SYS_openat, SYS_fcntl, SYS_lseek,
                SYS_fstat, SYS_newfstatat, SYS_statx, SYS_fstatfs, SYS_getdents64,
                SYS_readlinkat, SYS_flistxattr, SYS_fgetxattr, SYS_unlinkat, SYS_ftruncate,
                SYS_ppoll, SYS_wait4, SYS_kill, SYS_sendmsg, SYS_recvmsg, SYS_clock_gettime,
                SYS_shmctl, SYS_shmat, SYS_shmdt, SYS_msgctl, SYS_msgrcv, SYS_munmap,
                SYS_exit_group, SYS_exit, SYS_rt_sigreturn, SYS_rt_sigprocmask,
                SYS_restart_syscall, /* poll goes on with it after a stop */
#ifdef SYS_open
                SYS_open, SYS_poll, SYS_unlink, SYS_readlink, SYS_stat, SYS_lstat,
#endif
        };
        struct confine few = {
                .keep_caps = CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER) |
                             CAP(CAP_KILL) | CAP(CAP_IPC_OWNER),
                .no_new_privs = true,
        };
        struct rlimit files;
        const char *stage = "raise the number of descriptors";
        int r = 0;

        if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < LEAK_DEPTH + 32 &&
            files.rlim_cur < files.rlim_max) {
                files.rlim_cur = files.rlim_max;
                setrlimit(RLIMIT_NOFILE, &files); /* if not, deep directories are told of */
        }
        r = confine_apply(&few, &stage);
        if (!r) {
                stage = "filter system calls";
                r = filter_allow(calls, COUNT(calls));
        }
        if (r < 0) {
                kill(-u->session.pid, SIGKILL);
                kill(u->session.pid, SIGKILL);
                fail(u, STATUS_AGAIN, "%s: %s", stage, strerror(-r));
        }
}

static int64_t seconds_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        return t.tv_sec;
}

static void run_session(struct unseal *u)
{
        struct session *s = &u->session;
        const char *stage;
        sigset_t before;
        int signals = catch_signals(&before);
        int r;

        s->argv = u->o.command;
        s->envp = u->envp;
        s->pass = u->o.pass;
        s->pass_count = u->o.pass_count;
        s->signals = &before;
        s->mask = u->mask;
        s->control = u->o.control;
        s->to = u->o.output;
        r = signals < 0 ? signals : session_start(s, &stage);
        if (r < 0)
                fail(u, STATUS_AGAIN, "start the setup session: %s", strerror(-r));
        for (size_t i = 0; i < u->o.pass_count; i++)
                close(u->o.pass[i]);
        keep_few_rights(u);
        r = session_watch(s, signals);
        if (r < 0) {
                kill(-s->pid, SIGKILL);
                fail(u, STATUS_AGAIN, "watch the setup session: %s",
                     r == -EPIPE ? "PID 1 is gone" : strerror(-r));
        }
        close(u->o.output);
}

int main(int argc, char **argv)
{
        struct unseal *u = &unseal;
        int64_t since_s;
        bool leaked;
        int r;

        (void)argc;
        confine_relro();
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        log_role("unseal");
        log_patience(100);
        u->phase = "setup";
        r = unseal_options_parse(&u->o, argv);
        if (r)
                return r;
        unseal_open(u);
        hand_to_proxy(u);
        write_placeholders(u);
        if (u->o.unlink_sealed && u->o.sealed && unlink(u->o.sealed) < 0)
                log_errno(LOG_WARN, errno, "%s stays", u->o.sealed);
        make_environment(u);
        journal_opened(u);
        since_s = seconds_now();
        run_session(u);
        unseal_wait_for_scan(u);
        leaked = unseal_scan(u, since_s);
        unseal_close(u);
        return leaked ? STATUS_LEAK : STATUS_OK;
}
