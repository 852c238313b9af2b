/*
 * netfilter/lock_main.c - airlock-lock: puts a process under a lock, and becomes the
 * command.
 *
 *   airlock-lock --enter LOCK [OPTIONS] -- CMD…   for PID 1, in the child it forked
 *   airlock-lock --apply|--remove netfilter       rules for a network namespace: rules_main.h
 *   airlock-lock --try LOCK                       does it hold here? 0, or 73 and one line
 *   airlock-lock --probe off|limited|full         as the command: tries every way out
 *   sandbox [OPTIONS] -- CMD…                     as argv[0]: `airlock sandbox`
 *
 * --enter's options; a descriptor is closed on exec:
 *
 *   --proxy FD --http-port P     a channel of airlock-proxy's, and the port of its HTTP door
 *                                (netns: made inside; elsewhere it only names the variables)
 *   --port P                     one more port that leads to the proxy where netns has no rules
 *   --notify FD [--hold]         a channel of airlock-notify's; it has a user of its own
 *   --uid U --gid G              become them; groups become just G
 *   --keep-caps HEX              of all five sets; none without it, but under netns with
 *                                a user namespace of its own what sudo and apt need
 *   --new-privs                  no no_new_privs under none and netfilter (a setup session)
 *   --scope                      a Landlock domain: no signals and no ptrace to outside
 *   --fs POLICY --root DIR…      what may be written: landlock.h
 *   --chdir DIR --exec-fd FD     where to go; the program, opened, in place of CMD's search
 *   --journal FD --start-ms N    a scribe writes there what the command tells: scribe.h
 *   --porch URL                  clients of the command come in there, unless it is no ws://: porch.h
 *   --socket FD                  a socket that the command keeps: the agent loop's way to its model
 *   --tell FD                    where a failure is told; silence, then its end, is success
 *   --no-rules                   netns without nf_tables, as on a kernel that has none
 *
 * A failure to enter is one record on --tell, or one line where nobody listens.
 */
#include "base/confine.h"
#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/wr.h"
#include "netfilter/enter.h"
#include "netfilter/mounts.h"
#include "netfilter/porch.h"
#include "netfilter/probe.h"
#include "netfilter/rules_main.h"
#include "netfilter/sandbox.h"
#include "netfilter/scribe.h"
#include "netfilter/unlock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define KEY_SOCKET "/airlock/key" /* a task's key is said there once, to who connects first */

struct options {
        struct enter enter;
        int tell;
        int journal; /* -1: none */
        uint64_t start_ms;
        const char *porch; /* NULL: none */
        char **argv;       /* the command's */
};

static NORETURN void usage(const char *what, const char *text)
{
        die(STATUS_USAGE, "%s%s", what, text);
}

static uint64_t number(const char *what, const char *text, unsigned base, uint64_t max)
{
        uint64_t n = 0;

        for (const char *p = text; *p || p == text; p++) {
                int digit = hex_value(*p);

                if (digit < 0 || (unsigned)digit >= base || n > (max - (unsigned)digit) / base)
                        usage(what, text);
                n = n * base + (unsigned)digit;
        }
        return n;
}

static unsigned decimal(const char *what, const char *text, unsigned max)
{
        return (unsigned)number(what, text, 10, max);
}

/* A descriptor that the command must not inherit. */
static int descriptor(const char *what, const char *text)
{
        int fd = (int)decimal(what, text, INT32_MAX);

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                usage(what, text);
        return fd;
}

static void add_root(struct enter *e, const char *path)
{
        if (e->landlock.root_count == LANDLOCK_ROOTS_MAX)
                usage("--root: too many: ", path);
        e->landlock.roots[e->landlock.root_count++] = path;
}

static void add_port(struct enter *e, const char *text)
{
        if (e->inside.port_count == INSIDE_PORTS_MAX)
                usage("--port: too many: ", text);
        e->inside.ports[e->inside.port_count++] =
                (uint16_t)decimal("--port: not a port: ", text, UINT16_MAX);
}

/* Options that say what is left to the command; false when @name is none of them. */
static bool set_rights(struct enter *e, const char *name, const char *value)
{
        if (!strcmp(name, "--uid")) {
                e->uid = decimal("--uid: not an id: ", value, UINT32_MAX - 1);
                e->set_ids = true;
        } else if (!strcmp(name, "--gid")) {
                e->gid = decimal("--gid: not an id: ", value, UINT32_MAX - 1);
                e->set_ids = true;
        } else if (!strcmp(name, "--keep-caps")) {
                e->keep_caps = number("--keep-caps: not hexadecimal: ", value, 16, UINT64_MAX);
                e->set_caps = true;
        } else if (!strcmp(name, "--fs")) {
                if (!landlock_parse(value, &e->landlock.fs))
                        usage("--fs: read-only, workspace-write or full: ", value);
        } else if (!strcmp(name, "--root")) {
                add_root(e, value);
        } else {
                return false;
        }
        return true;
}

static bool set_place(struct options *o, const char *name, const char *value)
{
        struct enter *e = &o->enter;

        if (!strcmp(name, "--proxy"))
                e->inside.proxy = descriptor("--proxy: not a descriptor: ", value);
        else if (!strcmp(name, "--notify"))
                e->notify = descriptor("--notify: not a descriptor: ", value);
        else if (!strcmp(name, "--http-port"))
                e->inside.http_port =
                        (uint16_t)decimal("--http-port: not a port: ", value, UINT16_MAX);
        else if (!strcmp(name, "--port"))
                add_port(e, value);
        else if (!strcmp(name, "--chdir"))
                e->chdir = value;
        else if (!strcmp(name, "--tell"))
                o->tell = descriptor("--tell: not a descriptor: ", value);
        else if (!strcmp(name, "--journal"))
                o->journal = descriptor("--journal: not a descriptor: ", value);
        else if (!strcmp(name, "--porch"))
                o->porch = value;
        else if (!strcmp(name, "--start-ms"))
                o->start_ms = number("--start-ms: not a number: ", value, 10, UINT64_MAX);
        else if (!strcmp(name, "--socket"))
                e->socket = descriptor("--socket: not a descriptor: ", value);
        else if (!strcmp(name, "--exec-fd"))
                e->exec_fd = descriptor("--exec-fd: not a descriptor: ", value);
        else
                return false;
        return true;
}

static enum lock lock_named(const char *name)
{
        enum lock lock = lock_parse(name);

        if (lock == LOCK_COUNT)
                usage("no such lock: ", name);
        return lock;
}

/* Options without a value. */
static bool set_flag(struct enter *e, const char *name)
{
        if (!strcmp(name, "--scope"))
                e->landlock.scope = true;
        else if (!strcmp(name, "--new-privs"))
                e->new_privs = true;
        else if (!strcmp(name, "--no-new-privs"))
                e->no_new_privs = true;
        else if (!strcmp(name, "--hold"))
                e->hold = true;
        else if (!strcmp(name, "--no-rules"))
                e->inside.no_rules = true;
        else
                return false;
        return true;
}

static void parse(struct options *o, char **argv)
{
        while (*argv && strcmp(*argv, "--") != 0) {
                if (set_flag(&o->enter, argv[0])) {
                        argv++;
                        continue;
                }
                if (!argv[1])
                        usage("a value is missing after ", *argv);
                if (!set_rights(&o->enter, argv[0], argv[1]) &&
                    !set_place(o, argv[0], argv[1]))
                        usage("unknown option: ", *argv);
                argv += 2;
        }
        if (!*argv || !argv[1])
                usage("no command", "");
        if (o->enter.inside.proxy >= 0 && !o->enter.inside.http_port)
                usage("--proxy: it needs --http-port", "");
        o->argv = argv + 1;
}

static int fail(const struct options *o, int err, const char *stage, enum status status)
{
        struct enter_failure f = { .err = err };

        if (o->tell < 0) {
                log_errno(LOG_ERROR, err, "%s",
                          status == STATUS_LOCK ? stage : o->argv[0]);
                return (int)status;
        }
        memcpy(f.stage, stage, strnlen(stage, sizeof(f.stage) - 1));
        return write_full(o->tell, &f, sizeof(f)) < 0 ? STATUS_LOCK : (int)status;
}

/* Who stays outside, on the command's behalf. */
static int start_others(struct options *o, const char **stage)
{
        if (o->journal >= 0) {
                *stage = "start a scribe";
                o->enter.scribe = scribe_start(o->journal, o->start_ms);
                if (o->enter.scribe < 0)
                        return o->enter.scribe;
        }
        if (o->porch && !strncmp(o->porch, "ws://", 5)) {
                *stage = "listen for clients";
                o->enter.porch = porch_open(o->porch);
                if (o->enter.porch < 0)
                        return o->enter.porch;
        }
        return 0;
}

/* --enter LOCK [OPTIONS] -- CMD…; @argv begins with the lock's name. */
static int enter_main(char **argv)
{
        struct options o = { .enter = { .exec_fd = -1, .helper = -1, .notify = -1,
                                        .scribe = -1, .porch = -1, .inside.proxy = -1 },
                             .tell = -1, .journal = -1 };
        const char *stage = "start";
        int r;

        o.enter.lock = lock_named(argv[0]);
        parse(&o, argv + 1);
        r = start_others(&o, &stage);
        if (!r)
                r = enter_lock(&o.enter, &stage);
        if (r < 0)
                return fail(&o, -r, stage, STATUS_LOCK);
        r = enter_exec(&o.enter, o.argv);
        return fail(&o, -r, "exec", r == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC);
}

/* In the child of --try: enters @lock and says so, or says why not. */
static NORETURN void try_lock(enum lock lock, int channel)
{
        struct enter e = { .lock = lock, .exec_fd = -1, .helper = -1, .notify = channel,
                           .scribe = -1, .porch = -1, .inside.proxy = -1 };
        const char *stage = "start";
        int r = enter_lock(&e, &stage);

        if (r < 0)
                log_errno(LOG_ERROR, -r, "%s does not hold here: %s: it %s", lock_name(lock),
                          stage, unlock_hint(lock));
        if (r < 0 || lock != LOCK_NOTIFY)
                _exit(r < 0 ? STATUS_LOCK : STATUS_OK);
        for (;;)
                pause(); /* our parent plays airlock-notify */
}

/* What airlock-notify needs of a process under its lock: the listener, and its memory. */
static void play_notifier(int channel, pid_t pid)
{
        char path[32];
        struct wr w = wr_of(path, sizeof(path));
        struct msg m = { 0 };
        int listener;

        if (msg_receive(channel, &m, &listener) < 0)
                return; /* the child has said why */
        wr_fmt(&w, "/proc/%d/mem", (int)pid);
        AUTO_CLOSE int memory = open(wr_cstr(&w), O_RDWR | O_CLOEXEC);
        if (memory < 0)
                log_errno(LOG_ERROR, errno, "notify does not hold here: read memory: it %s",
                          unlock_hint(LOCK_NOTIFY));
        kill(pid, memory < 0 ? SIGTERM : SIGKILL);
        close(listener);
}

/* --try LOCK: in a child, which takes what it did with it. */
static int try_main(enum lock lock)
{
        int channel[2], status;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
                die_errno(STATUS_LOCK, errno, "make a channel");
        pid = fork();
        if (pid < 0)
                die_errno(STATUS_LOCK, errno, "fork");
        if (!pid) {
                close(channel[0]);
                try_lock(lock, channel[1]);
        }
        close(channel[1]);
        /* A sibling, as airlock-notify is one: Yama lets an ancestor read what it keeps from us. */
        if (lock == LOCK_NOTIFY) {
                pid_t player = fork();

                if (!player) {
                        play_notifier(channel[0], pid);
                        _exit(0);
                }
                while (player > 0 && waitpid(player, NULL, 0) < 0 && errno == EINTR)
                        ;
                if (player < 0)
                        kill(pid, SIGTERM);
        }
        close(channel[0]);
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return STATUS_LOCK;
        }
        if (WIFSIGNALED(status) && lock == LOCK_NOTIFY && WTERMSIG(status) == SIGKILL)
                return STATUS_OK;
        return WIFEXITED(status) ? WEXITSTATUS(status) : STATUS_LOCK;
}

int main(int argc, char **argv)
{
        confine_relro();
        if (argc && !strcmp(argv[0], "sandbox"))
                return sandbox_main(argv);
        log_role("lock");
        if (argc < 3)
                usage("started by airlock: see ", "airlock(1)");
        if (!strcmp(argv[1], "--enter"))
                return enter_main(argv + 2);
        if (!strcmp(argv[1], "--apply") || !strcmp(argv[1], "--remove"))
                return rules_main(argv + 1);
        if (!strcmp(argv[1], "--try") && argc == 3) {
                mounts_spare(KEY_SOCKET);
                return lock_named(argv[2]) == LOCK_NETFILTER ? rules_try()
                                                             : try_main(lock_named(argv[2]));
        }
        if (!strcmp(argv[1], "--probe"))
                return probe_main(argv + 2);
        usage("unknown option: ", argv[1]);
}
