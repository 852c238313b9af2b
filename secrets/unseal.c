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
 * --withhold A,B: these do not reach the session, which gets UNSEAL_PLACEHOLDER instead. A
 * secret that only rules use is in both lists. --env gets NAME=UNSEAL_PLACEHOLDER lines for
 * what is injected, as $AIRLOCK_ENV has them: programs that refuse to start without a
 * token start, and the proxy writes the real one into their requests.
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
#include "base/log.h"
#include "base/msg.h"
#include "secrets/arena.h"
#include "secrets/filter.h"
#include "secrets/leak.h"
#include "secrets/sealed.h"
#include "secrets/session.h"
#include "secrets/unseal_options.h"
#include "secrets/vars.h"

#include <bearssl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define UNSEAL_PLACEHOLDER "injected-by-airlock"
#define SEALED_MAX (1600UL * 1024) /* armored, for many recipients, of 256 KiB */
#define KEY_ROOM ((size_t)KEY_MAX)
#define EXEC_STRING (128UL * 1024) /* execve(2)'s bound for one variable */
#define PROXY_MS 10000
#define SCAN_MS 120000 /* from ENDED to SCAN */
#define LINE_MAX_BYTES 400
#define CAP(n) (UINT64_C(1) << (n))

struct unseal {
        struct unseal_options o;
        struct arena arena, list, index; /* list: the needles; index: what finds them */
        struct sealed sealed;
        struct vars *vars;         /* in the arena, like everything they point to */
        char *text;
        size_t text_cap;
        enum vars_status vars_status;
        unsigned error_line;
        bool confined;             /* the filter of the opening process held */
        struct needles needles;
        struct search *search;
        struct mask *mask;
        char **envp;
        struct session session;
        const char *phase;         /* for the journal */
};

static LARGE_BUFFER struct unseal unseal;
static LARGE_BUFFER uint8_t sealed_bytes[SEALED_MAX + 1]; /* ciphertext */
static LARGE_BUFFER struct look look;

/* --- the journal -------------------------------------------------------------------------- */

/* `"time":…,"ms":…,"phase":…,"event":EVENT` as init/journal.h has it; the rest is @fields. */
static void journal(const struct unseal *u, const char *event, const struct wr *fields)
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

static void put_string(struct wr *w, const char *key, const char *text, size_t len)
{
        wr_fmt(w, ",\"%s\":", key);
        wr_json(w, text, len);
}

/* --- read --------------------------------------------------------------------------------- */

static void close_arenas(struct unseal *u)
{
        arena_close(&u->index);
        arena_close(&u->list);
        arena_close(&u->arena);
}

static NORETURN void fail(struct unseal *u, enum status status, const char *fmt, ...)
        PRINTF_LIKE(3, 4);
static NORETURN void fail(struct unseal *u, enum status status, const char *fmt, ...)
{
        char text[1024];
        struct wr w = wr_of(text, sizeof(text) - 1);
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap); /* names in it lie in the arena */
        va_end(ap);
        close_arenas(u);
        die(status, "%s", wr_cstr(&w));
}

static const char *sealed_name(const struct unseal *u)
{
        return u->o.sealed ? u->o.sealed : "the sealed file";
}

static void check_digest(struct unseal *u, size_t len)
{
        br_sha256_context c;
        uint8_t digest[32];
        char hex[65];
        struct wr w = wr_of(hex, sizeof(hex));

        if (!u->o.sha256)
                return;
        br_sha256_init(&c);
        br_sha256_update(&c, sealed_bytes, len);
        br_sha256_out(&c, digest);
        for (size_t i = 0; i < sizeof(digest); i++)
                wr_fmt(&w, "%x%x", digest[i] >> 4, digest[i] & 15);
        if (strcasecmp(wr_cstr(&w), u->o.sha256) != 0)
                fail(u, STATUS_SPEC, "%s is not the file that secrets.sha256 names: its digest is "
                     "%s", sealed_name(u), hex);
}

static size_t read_sealed(struct unseal *u)
{
        AUTO_CLOSE int fd = u->o.sealed ? open(u->o.sealed, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                                        : u->o.sealed_fd;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                fail(u, STATUS_SPEC, "%s: %s", sealed_name(u), strerror(errno));
        if (u->o.sealed && !S_ISREG(st.st_mode))
                fail(u, STATUS_SPEC, "%s is not a file", u->o.sealed);
        n = read_full(fd, sealed_bytes, sizeof(sealed_bytes));
        if (n < 0)
                fail(u, STATUS_AGAIN, "%s can't be read: %s", sealed_name(u), strerror((int)-n));
        if ((size_t)n == sizeof(sealed_bytes))
                fail(u, STATUS_SPEC, "%s is too large: secrets are 256 KiB at most",
                     sealed_name(u));
        check_digest(u, (size_t)n);
        return (size_t)n;
}

/* A second line in /proc/swaps: memory that is not locked may be written to a disk. */
static bool has_swap(void)
{
        char text[1024];
        ssize_t n = read_file(AT_FDCWD, "/proc/swaps", text, sizeof(text));
        const char *end = n > 0 ? strchr(text, '\n') : NULL;

        return n < 0 || (end && end[1]);
}

static void open_arena(struct unseal *u, struct arena *a, size_t room)
{
        int r = arena_open(a, room, u->o.visible ? ARENA_LOCKED : ARENA_HIDDEN, ARENA_ORDINARY);

        if (r < 0)
                fail(u, STATUS_AGAIN, "no memory for secrets: %s", strerror(-r));
        if (a->kind == ARENA_ORDINARY && has_swap())
                fail(u, STATUS_AGAIN, "memory for secrets can't be locked, and this machine "
                     "swaps: raise the container's limit (--ulimit memlock=8388608)");
}

/* Never fails: the arena was made with room for it. */
static void *take(struct unseal *u, struct arena *a, size_t len)
{
        void *at = arena_take(a, len);

        if (!at)
                fail(u, STATUS_AGAIN, "no memory for secrets");
        return at;
}

static void read_key(struct unseal *u, uint8_t *buf)
{
        struct key_source *s = &u->o.key;
        enum key_status status;
        struct key k = { 0 };

        if (!u->o.key_given && !key_source_find(KEY_FROM_STDIN, s))
                fail(u, STATUS_SPEC, "no key: pipe it into stdin (docker run -i), or put a FIFO, "
                     "socket or file at " KEY_PATH);
        status = key_read(&k, s, buf, KEY_ROOM, u->o.key_ms, u->o.leftover_ok);
        if (status != KEY_OK)
                fail(u, status == KEY_LATE || (status == KEY_SYSTEM && k.error != ENOENT)
                                ? STATUS_AGAIN : STATUS_SPEC,
                     "the key from %s: %s%s%s", s->name ? s->name : key_from_str(s->from),
                     key_status_str(status), k.error ? ": " : "",
                     k.error ? strerror(k.error) : "");
        if (s->from == KEY_FROM_ENV)
                log_line(LOG_WARN, "the key came in the variable %s: the engine keeps it, and "
                         "gives it to everyone it execs; prefer stdin", s->name);
        else if (k.remains)
                log_line(LOG_WARN, "the key stays readable at %s: whoever reads it and %s has "
                         "the secrets", s->name, sealed_name(u));
        else if (k.on_disk)
                log_line(LOG_WARN, "the key lay on a disk at %s, which may keep its blocks; a "
                         "tmpfs would not", s->name);
        environ_wipe(environ, ENVIRON_KEY); /* should it be there as well */
        u->sealed.key = buf;
        u->sealed.key_len = k.len;
}

static void read_all(struct unseal *u)
{
        size_t len = read_sealed(u);
        size_t vars = 0;
        uint8_t *key;

        while (environ[vars])
                vars++;
        u->text_cap = len + 1 < VARS_TEXT + 1 ? len + 1 : VARS_TEXT + 1;
        /* The sum of what is taken below; each may be rounded up by 16. */
        open_arena(u, &u->arena, len + KEY_ROOM + u->text_cap + sizeof(*u->vars) +
                   sizeof(*u->search) + sizeof(*u->mask) + SESSION_CHUNK +
                   (vars + VARS_MAX + 1) * sizeof(char *) + 16UL * 16);
        u->sealed.buf = take(u, &u->arena, len);
        u->sealed.len = len;
        memcpy(u->sealed.buf, sealed_bytes, len);
        key = take(u, &u->arena, KEY_ROOM);
        u->text = take(u, &u->arena, u->text_cap);
        u->vars = take(u, &u->arena, sizeof(*u->vars));
        u->search = take(u, &u->arena, sizeof(*u->search));
        u->mask = take(u, &u->arena, sizeof(*u->mask));
        u->session.chunk = take(u, &u->arena, SESSION_CHUNK);
        u->envp = take(u, &u->arena, (vars + VARS_MAX + 1) * sizeof(char *));
        read_key(u, key);
}

/* --- open --------------------------------------------------------------------------------- */

/* On the arena's stack. Hostile bytes are parsed here, with no system call but the last. */
static void open_in_arena(void *arg)
{
        static const uint16_t calls[] = { SYS_exit, SYS_exit_group };
        struct unseal *u = arg;
        struct sealed *s = &u->sealed;

        u->confined = !filter_allow(calls, COUNT(calls));
        if (!u->confined)
                return;
        sealed_open(s);
        explicit_bzero((void *)(uintptr_t)s->key, KEY_ROOM);
        if (s->status != SEALED_OK)
                return;
        u->vars_status = vars_parse(u->vars, s->plain, s->plain_len, u->text, u->text_cap);
        if (u->vars_status != VARS_OK)
                u->error_line = vars_line(s->plain, u->vars->error_at);
        explicit_bzero(s->plain, s->plain_len);
}

static void open_all(struct unseal *u)
{
        char why[600];
        struct wr w = wr_of(why, sizeof(why) - 1);
        int r = arena_call(&u->arena, open_in_arena, u);

        if (r < 0 || !u->confined)
                fail(u, STATUS_AGAIN, "can't open secrets in a process of its own: %s",
                     r < 0 ? strerror(-r) : "no seccomp");
        if (u->sealed.status != SEALED_OK) {
                sealed_explain(&u->sealed, &w);
                fail(u, STATUS_SPEC, "%s: %s", sealed_name(u), wr_cstr(&w));
        }
        if (u->vars_status == VARS_OK)
                return;
        /* Of a text that is none of ours to show, the number of the line, and a name at most. */
        if (u->vars_status == VARS_REFUSED || u->vars_status == VARS_TWICE ||
            u->vars_status == VARS_NUL) {
                const struct var *e = &u->vars->list[u->vars->count];

                wr_fmt(&w, " (%.*s)", (int)e->name_len, vars_name(u->vars, e));
        }
        fail(u, STATUS_SPEC, "%s, opened: line %u: %s%s", sealed_name(u), u->error_line,
             vars_status_str(u->vars_status), wr_cstr(&w));
}

/* --- check -------------------------------------------------------------------------------- */

static void check_list(struct unseal *u, const char *list, const char *what)
{
        const char *name;

        for (size_t len; (len = unseal_next(&list, &name));) {
                if (!vars_find(u->vars, name, len))
                        fail(u, STATUS_SPEC, "%s: no %.*s in it, which %s", sealed_name(u),
                             (int)len, name, what);
        }
}

static void check_names(struct unseal *u)
{
        for (size_t i = 0; i < u->vars->count; i++) {
                const struct var *e = &u->vars->list[i];
                const char *name = vars_name(u->vars, e);

                if (u->o.names && !unseal_lists(u->o.names, name, e->name_len))
                        fail(u, STATUS_SPEC, "%s: %.*s is not in secrets.names", sealed_name(u),
                             (int)e->name_len, name);
                if (e->name_len + e->value_len + 2 > EXEC_STRING &&
                    !unseal_lists(u->o.withhold, name, e->name_len))
                        fail(u, STATUS_SPEC, "%s: %.*s is longer than the 128 KiB that a variable "
                             "may have", sealed_name(u), (int)e->name_len, name);
        }
        check_list(u, u->o.inject, "a rule injects");
}

/* Needles take lists; how many there may be is bounded by what the values look like. */
static size_t needle_room(const struct vars *v)
{
        size_t n = 0;

        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];
                const char *value = vars_value(v, e);

                n += 80 + e->value_len / 20;
                for (size_t c = 0; c < e->value_len; c++)
                        n += value[c] == '\n';
        }
        return n < NEEDLE_MAX_COUNT ? n : NEEDLE_MAX_COUNT;
}

static void make_search(struct unseal *u)
{
        size_t room = needle_room(u->vars);
        const struct vars *v = u->vars;
        struct needle *list;

        open_arena(u, &u->list, room * sizeof(*list) + 16);
        list = take(u, &u->list, room * sizeof(*list));
        needles_init(&u->needles, u->text, list, room);
        for (uint16_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                if (!needles_add(&u->needles, i, e->at + e->name_len + 1, e->value_len) &&
                    e->value_len)
                        log_line(LOG_WARN, "secret %.*s is too short or too common to be told from "
                                 "other text: it is neither masked nor searched for",
                                 (int)e->name_len, vars_name(v, e));
        }
        if (u->needles.full)
                fail(u, STATUS_SPEC, "%s: too many secrets, or lines of secrets, to be masked and "
                     "searched for", sealed_name(u));
        room = search_room(&u->needles);
        open_arena(u, &u->index, room + 16);
        search_init(u->search, &u->needles, take(u, &u->index, room));
        mask_init(u->mask, u->search);
}

/* --- hand --------------------------------------------------------------------------------- */

/* A pipe that holds all of it: nobody waits, and what was read is nowhere. */
static int fill_pipe(struct unseal *u)
{
        const char *list = u->o.inject;
        const char *name;
        int fds[2];
        int r = 0;

        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        for (size_t len; !r && (len = unseal_next(&list, &name));) {
                const struct var *e = vars_find(u->vars, name, len);

                r = write_full(fds[1], vars_name(u->vars, e), e->name_len + 1 + e->value_len + 1);
        }
        close(fds[1]);
        if (!r)
                return fds[0];
        close(fds[0]);
        return r;
}

static void hand_to_proxy(struct unseal *u)
{
        struct msg m = { .type = MSG_SECRETS };
        int r, fd;

        if (!u->o.inject)
                return;
        fd = fill_pipe(u);
        if (fd < 0)
                fail(u, fd == -EAGAIN ? STATUS_SPEC : STATUS_AGAIN,
                     "secrets that rules inject: %s",
                     fd == -EAGAIN ? "more than 64 KiB" : strerror(-fd));
        r = msg_ask(u->o.proxy, &m, fd, PROXY_MS);
        close(fd);
        if (r < 0)
                fail(u, STATUS_AGAIN, "airlock-proxy does not take secrets: %s", strerror(-r));
        close(u->o.proxy);
        u->o.proxy = -1;
}

static void write_placeholders(struct unseal *u)
{
        const char *list = u->o.inject;
        const char *name;

        if (u->o.env < 0)
                return;
        for (size_t len; (len = unseal_next(&list, &name));) {
                char line[VARS_NAME_MAX + 64];
                struct wr w = wr_of(line, sizeof(line));

                wr_fmt(&w, "%.*s=" UNSEAL_PLACEHOLDER "\n", (int)len, name);
                if (write_full(u->o.env, line, w.len) < 0)
                        fail(u, STATUS_AGAIN, "the placeholders can't be written");
        }
        close(u->o.env);
        u->o.env = -1;
}

/* What the session gets in the place of a secret that only rules use. */
static char *placeholder(struct unseal *u, const struct var *e)
{
        static LARGE_BUFFER char text[64 * 1024];
        static size_t used;
        struct wr w = wr_of(text + used, sizeof(text) - used);

        wr_fmt(&w, "%.*s=" UNSEAL_PLACEHOLDER, (int)e->name_len, vars_name(u->vars, e));
        wr_char(&w, '\0');
        if (w.full)
                fail(u, STATUS_SPEC, "the names of injected secrets: more than 64 KiB");
        used += w.len;
        return text + used - w.len;
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

                u->envp[n++] = withheld ? placeholder(u, e) : v->text + e->at;
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

/* --- scan --------------------------------------------------------------------------------- */

/* The first line of the line file, masked, into @text; the file goes. */
static void take_line(struct unseal *u, char *text, size_t cap)
{
        static LARGE_BUFFER uint8_t masked[LINE_MAX_BYTES + MASK_OUT_EXTRA];
        AUTO_CLOSE int fd = u->o.line_file ? open(u->o.line_file, O_RDONLY | O_NOFOLLOW |
                                                  O_NONBLOCK | O_CLOEXEC)
                                           : -1;
        ssize_t n = fd < 0 ? -1 : read_full(fd, u->session.chunk, LINE_MAX_BYTES);
        const uint8_t *end;
        size_t len;

        *text = '\0';
        if (u->o.line_file)
                unlinkat(AT_FDCWD, u->o.line_file, 0);
        if (n <= 0)
                return;
        end = memchr(u->session.chunk, '\n', (size_t)n);
        mask_init(u->mask, u->search);
        len = mask_put(u->mask, u->session.chunk,
                       end ? (size_t)(end - u->session.chunk) : (size_t)n, masked);
        len += mask_end(u->mask, masked + len);
        if (len >= cap)
                len = cap - 1;
        memcpy(text, masked, len);
        text[len] = '\0';
}

/* Tells PID 1, and waits until everybody else is dead. */
static void wait_for_scan(struct unseal *u)
{
        struct msg m = { .type = MSG_ENDED, .error = u->session.wait_status };
        struct pollfd p = { .fd = u->o.control, .events = POLLIN };
        int fd, r;

        take_line(u, m.text, sizeof(m.text));
        r = msg_send(u->o.control, &m, -1);
        if (!r)
                r = poll(&p, 1, SCAN_MS) > 0 ? msg_receive(u->o.control, &m, &fd) : -ETIMEDOUT;
        if (!r && m.type != MSG_SCAN)
                r = -EPROTO;
        if (r < 0)
                fail(u, STATUS_AGAIN, "PID 1 does not say that setup's processes are dead: %s",
                     strerror(-r));
}

static void on_hit(struct leak *l, const struct leak_hit *h)
{
        static const char *const fates[] = { "stays", "allowed", "removed", "not removed" };
        struct unseal *u = &unseal;
        size_t len = strlen(h->path);
        const char *path = len > 1500 ? h->path + len - 1500 : h->path;

        (void)l;
        for (size_t i = 0; i < h->count; i++) {
                const struct var *e = &u->vars->list[h->found[i].secret];
                const char *name = vars_name(u->vars, e);
                const char *as = encoding_str((enum encoding)h->found[i].encoding);
                const char *in = place_str((enum place)h->found[i].place);
                char text[3500];
                struct wr w = wr_of(text, sizeof(text));

                log_line(LOG_WARN, "leak: %s holds the secret %.*s (%s%s%s): %s%s%s", path,
                         (int)e->name_len, name, as, *in ? ", in " : "", in, fates[h->fate],
                         h->error ? ": " : "", h->error ? strerror(h->error) : "");
                put_string(&w, "path", path, strnlen(path, 500));
                put_string(&w, "secret", name, e->name_len);
                put_string(&w, "encoding", as, strlen(as));
                put_string(&w, "in", in, strlen(in));
                put_string(&w, "fate", fates[h->fate], strlen(fates[h->fate]));
                journal(u, "leak", &w);
        }
}

static void on_skip(struct leak *l, const char *path, const char *why, int error)
{
        char text[3500];
        struct wr w = wr_of(text, sizeof(text));

        if (l->skips > 100)
                return; /* the total tells */
        log_line(LOG_WARN, "leak scan: %s: %s%s%s", path, why, error ? ": " : "",
                 error ? strerror(error) : "");
        put_string(&w, "path", path, strnlen(path, 500));
        put_string(&w, "why", why, strlen(why));
        journal(&unseal, "leak_skipped", &w);
}

/* Whether a secret stays where the agent could read it. */
static bool scan(struct unseal *u, int64_t since_s)
{
        struct leak l = {
                .look = &look, .since_s = since_s, .hit = on_hit, .skipped = on_skip,
                .act = u->o.on_leak == ON_LEAK_REMOVE ? LEAK_REMOVE : LEAK_REPORT,
                .allow = u->o.allow, .allow_count = u->o.allow_count,
        };
        uint64_t start = now_ms();
        char text[300];
        struct wr w = wr_of(text, sizeof(text));
        int r;

        u->phase = "seal";
        look_init(&look, u->search);
        look.deadline_ms = start + u->o.scan_s * UINT64_C(1000);
        r = leak_walk(&l, u->o.root);
        if (r < 0)
                fail(u, STATUS_LEAK, "the leak scan can't open %s: %s", u->o.root, strerror(-r));
        leak_ipc(&l);
        wr_fmt(&w, ",\"files\":%lu,\"searched\":%lu,\"bytes\":%lu,\"leaks\":%u,\"stay\":%u,"
               "\"skipped\":%u,\"took_ms\":%lu", (unsigned long)l.seen,
               (unsigned long)l.searched, (unsigned long)look.bytes, l.hits, l.stay, l.skips,
               (unsigned long)(now_ms() - start));
        journal(u, "leak_scan", &w);
        explicit_bzero(&look, sizeof(look));
        return l.stay && u->o.on_leak != ON_LEAK_WARN;
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
        read_all(u);
        open_all(u);
        check_names(u);
        make_search(u);
        hand_to_proxy(u);
        write_placeholders(u);
        if (u->o.unlink_sealed && u->o.sealed && unlink(u->o.sealed) < 0)
                log_errno(LOG_WARN, errno, "%s stays", u->o.sealed);
        make_environment(u);
        journal_opened(u);
        since_s = seconds_now();
        run_session(u);
        wait_for_scan(u);
        leaked = scan(u, since_s);
        close_arenas(u);
        return leaked ? STATUS_LEAK : STATUS_OK;
}
