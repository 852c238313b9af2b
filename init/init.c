/*
 * init/init.c - `airlock init`: a plain init with tini's flags and meaning.
 *
 * Starts one program, forwards signals to it, reaps whatever ends below us, gives what
 * is left TERM and time when the program has ended, and exits as it did.
 *
 * Nothing here needs /proc, a writable file, a user or a capability. All signals stay
 * blocked from the first system call on and are taken one by one, so there is no
 * handler and no race; between signals the process sleeps in the kernel.
 */
#include "base/digits.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/sig.h"
#include "init/stop.h"
#include "init/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define GRACE_MS 2000
#define GRACE_MAX_S 86400
#define KILL_MS 1000
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define USAGE \
        "usage: airlock init [-s] [-p SIGNAL] [-v] [-w] [-g] [-e STATUS] [-t SECONDS] " \
        "-- COMMAND"

struct init {
        /* as asked for */
        char **argv; /* the program's */
        bool subreaper;
        bool group;
        bool warn_reap;
        int verbosity; /* as tini's: 0 errors, 1 warnings, 2 info, 3 all */
        int parent_signal;
        unsigned grace_ms;
        uint32_t remap[256 / 32]; /* exit statuses that become 0 */

        /* as it is */
        pid_t self;
        pid_t parent;
        pid_t child;
        bool terminal;  /* handed to the child */
        int exec_error; /* written by the child: until exec it shares our memory */
        int status;     /* of the child, as wait gives it */
        bool ended;
};

/*
 * --- The command line ----------------------------------------------------------------
 */
static void usage(const char *what, const char *text) NORETURN;
static void usage(const char *what, const char *text)
{
        log_line(LOG_ERROR, "init: %s%s", what, text);
        log_line(LOG_ERROR, USAGE);
        _exit(STATUS_USAGE);
}

/* A decimal number of at most @max; anything else ends us with a usage line. */
static unsigned number(const char *what, const char *text, unsigned max)
{
        uint64_t n;

        if (!digits_parse(text, max, &n))
                usage(what, *text ? text : "empty");
        return (unsigned)n;
}

static int signal_number(const char *text)
{
        int n = sig_parse(text);

        if (!n)
                usage("-p: no such signal: ", text);
        return n;
}

/* An option that takes a value. */
static void set_value(struct init *in, char option, const char *value)
{
        unsigned n;

        switch (option) {
        case 'p':
                in->parent_signal = signal_number(value);
                break;
        case 'e':
                n = number("-e: not an exit status from 0 to 255: ", value, 255);
                in->remap[n / 32] |= BIT(n % 32);
                break;
        default:
                in->grace_ms = number("-t: not a number of seconds: ", value, GRACE_MAX_S) * 1000;
        }
}

static void set_flag(struct init *in, char option, const char *word)
{
        switch (option) {
        case 's':
                in->subreaper = true;
                break;
        case 'v':
                in->verbosity++;
                break;
        case 'w':
                in->warn_reap = true;
                break;
        case 'g':
                in->group = true;
                break;
        case 'h':
                _exit(help_show("init"));
        case 'l':
                _exit(help_show("license"));
        default:
                usage("unknown option: ", word);
        }
}

/* `-vvg`, `-e143`, or `-e` with @next. Returns how many words were used. */
static int short_options(struct init *in, const char *word, const char *next)
{
        for (const char *p = word + 1; *p; p++) {
                if (*p != 'p' && *p != 'e' && *p != 't') {
                        set_flag(in, *p, word);
                        continue;
                }
                if (p[1]) {
                        set_value(in, *p, p + 1);
                        return 1;
                }
                if (!next)
                        usage("a value is missing after ", word);
                set_value(in, *p, next);
                return 2;
        }
        return 1;
}

/* Engines look for "tini version" in what their --init-path prints. */
static void show_version(const char *name) NORETURN;
static void show_version(const char *name)
{
        static const char tini[] = "tini version 0.19.0 (airlock " AIRLOCK_VERSION ")\n";
        const char *slash = strrchr(name, '/');

        name = slash ? slash + 1 : name;
        if (!strcmp(name, "init") || !strncmp(name, "airlock", 7))
                _exit(help_version());
        _exit(write_full(STDOUT_FILENO, tini, sizeof(tini) - 1) < 0);
}

static int long_option(struct init *in, const char *name, const char *word, const char *next)
{
        if (!strcmp(word, "--version"))
                show_version(name);
        if (!strcmp(word, "--help"))
                _exit(help_show("init"));
        if (!strncmp(word, "--grace=", 8)) {
                set_value(in, 't', word + 8);
                return 1;
        }
        if (strcmp(word, "--grace") != 0)
                usage("unknown option: ", word);
        if (!next)
                usage("a value is missing after ", word);
        set_value(in, 't', next);
        return 2;
}

static void read_options(struct init *in, int argc, char **argv)
{
        int at = 1;

        while (at < argc && argv[at][0] == '-' && argv[at][1]) {
                const char *next = at + 1 < argc ? argv[at + 1] : NULL;

                if (!strcmp(argv[at], "--")) {
                        at++;
                        break;
                }
                if (argv[at][1] == '-')
                        at += long_option(in, argv[0], argv[at], next);
                else
                        at += short_options(in, argv[at], next);
        }
        if (at >= argc)
                usage("no command to run", "");
        in->argv = argv + at;
}

/* Behind --init there is no way to pass flags; hence tini's variables, and one more. */
static void read_environment(struct init *in)
{
        const char *verbosity = getenv("TINI_VERBOSITY");
        const char *grace = getenv("AIRLOCK_GRACE");

        in->subreaper = getenv("TINI_SUBREAPER") != NULL;
        in->group = getenv("TINI_KILL_PROCESS_GROUP") != NULL;
        if (verbosity)
                in->verbosity = (int)number("TINI_VERBOSITY: not a number: ", verbosity, 100);
        if (grace)
                in->grace_ms =
                        number("AIRLOCK_GRACE: not a number of seconds: ", grace, GRACE_MAX_S) *
                        1000;
}

static void set_log_level(int verbosity)
{
        static const char levels[] = { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

        log_level((enum log_level)levels[verbosity < 3 ? verbosity : 3]);
}

/*
 * --- Ourselves -----------------------------------------------------------------------
 */
/* The parent may have died before prctl: then nobody would ever tell us. */
static void heed_parent(const struct init *in)
{
        if (prctl(PR_SET_PDEATHSIG, in->parent_signal) < 0)
                log_errno(LOG_WARN, errno, "init: ask for a signal when the parent dies");
        else if (getppid() != in->parent)
                kill(in->self, in->parent_signal);
}

static void become_reaper(const struct init *in)
{
        if (in->self == 1)
                return;
        if (!in->subreaper)
                log_line(LOG_WARN, "init: not PID 1, so a subreaper (-s says that you know)");
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                log_errno(LOG_WARN, errno, "init: orphans will not be reaped");
}

static void close_from(int first)
{
        if (!syscall(SYS_close_range, first, ~0U, 0))
                return;
        for (int fd = first; fd < 1024; fd++) /* before Linux 5.9 */
                close(fd);
}

/*
 * What the child was to inherit is the child's now. A closed 0, 1 or 2 becomes
 * /dev/null, lest a file that we open gets its number and our log lines.
 */
static void let_go(void)
{
        close_from(3);
        if (chdir("/") < 0)
                log_errno(LOG_DEBUG, errno, "init: leave the working directory");
        for (int fd = 0; fd <= 2; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        break;
}

/*
 * --- The child, from vfork to exec: in our memory, on our stack ----------------------
 */

/*
 * As execvp does it in glibc: a script without #! is the shell's. A function of its
 * own, because pages of our stack that the child touched stay ours.
 */
static __attribute__((noinline)) void exec_script(char *path, char **argv)
{
        static char shell[] = "/bin/sh";
        char *words[256];
        size_t n = 0;

        while (argv[n])
                n++;
        if (n + 2 > COUNT(words))
                return;
        words[0] = shell;
        words[1] = path;
        memcpy(words + 2, argv + 1, n * sizeof(*words)); /* with the NULL */
        execve(shell, words, environ);
        errno = ENOEXEC;
}

static void exec_path(char *path, char **argv)
{
        execve(path, argv, environ);
        if (errno == ENOEXEC)
                exec_script(path, argv);
}

/* One directory of PATH. Says whether to go on; EACCES is remembered, as by a shell. */
static bool exec_below(const char *dir, size_t len, char **argv, bool *denied)
{
        static LARGE_BUFFER char path[PATH_MAX]; /* on the stack, all of it would be touched */
        struct wr w = wr_of(path, sizeof(path) - 1);

        wr_bytes(&w, dir, len);
        if (len)
                wr_char(&w, '/');
        wr_str(&w, argv[0]);
        if (w.full)
                return true;
        wr_cstr(&w);
        exec_path(path, argv);
        if (errno == EACCES)
                *denied = true;
        return errno == EACCES || errno == ENOENT || errno == ENOTDIR;
}

static void exec_search(char **argv)
{
        const char *dirs = getenv("PATH");
        bool denied = false;

        errno = ENOENT;
        if (!*argv[0])
                return;
        if (strchr(argv[0], '/')) {
                exec_path(argv[0], argv);
                return;
        }
        if (!dirs)
                dirs = DEFAULT_PATH;
        for (;;) {
                size_t len = strcspn(dirs, ":");

                if (!exec_below(dirs, len, argv, &denied))
                        return;
                if (!dirs[len])
                        break;
                dirs += len + 1;
        }
        errno = denied ? EACCES : ENOENT;
}

/* Sockets passed to us are the program's: sd_listen_fds(3) compares the number. */
static void set_listen_pid(pid_t ours)
{
        static char text[32];
        char was[32];
        struct wr w = wr_of(text, sizeof(text) - 1);
        struct wr old = wr_of(was, sizeof(was) - 1);

        wr_fmt(&w, "LISTEN_PID=%d", getpid());
        wr_cstr(&w);
        wr_fmt(&old, "LISTEN_PID=%d", ours);
        for (char **e = environ; *e; e++)
                if (!strcmp(*e, wr_cstr(&old)))
                        *e = text;
}

static void child(struct init *in) NORETURN;
static void child(struct init *in)
{
        set_listen_pid(in->self);
        setpgid(0, 0);
        if (in->terminal)
                tty_hand_over();
        sig_child_restore();
        exec_search(in->argv);
        in->exec_error = errno;
        _exit(errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC);
}

/*
 * vfork: our memory is not copied, so none of it becomes dirty, and what the child
 * wrote into exec_error is here when it returns. Nothing may be on this frame that
 * changes after it.
 */
static __attribute__((noinline)) pid_t start(struct init *in)
{
        pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork) */

        if (!pid)
                child(in); /* NOLINT(clang-analyzer-unix.Vfork): it only execs or exits */
        return pid;
}

/*
 * --- The loop ------------------------------------------------------------------------
 */
static void send(const struct init *in, int signal)
{
        if (kill(in->group ? -in->child : in->child, signal) < 0 && errno != ESRCH)
                log_errno(LOG_WARN, errno, "init: forward %s", sig_name(signal));
}

/*
 * Not forwarded: what speaks of us alone. A fault of our own never comes here (the
 * kernel ends us), but one that somebody sent does, and is passed on like any other.
 */
static bool is_ours(const struct init *in, int signal, const siginfo_t *info)
{
        if (signal == SIGTTIN || signal == SIGTTOU)
                return true;
        return signal == SIGPIPE && info->si_pid == in->self; /* our log's reader has gone */
}

/* Elsewhere than PID 1 a shell waits for us: Ctrl-Z must stop us with the program. */
static void stop_with_child(const struct init *in)
{
        if (!in->terminal || in->self == 1)
                return;
        tty_take_back(in->child);
        kill(in->self, SIGSTOP);
        /* fg gave the terminal to our group; after bg it is somebody else's. */
        if (tty_may_hand_over())
                tty_give(in->child);
        kill(-in->child, SIGCONT);
}

/* Everything that has ended: one SIGCHLD may stand for thousands. */
static void reap(struct init *in)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG | (in->terminal ? WUNTRACED : 0))) > 0) {
                if (WIFSTOPPED(status)) {
                        if (pid == in->child)
                                stop_with_child(in);
                        continue;
                }
                if (pid == in->child) {
                        in->status = status;
                        in->ended = true;
                } else if (in->warn_reap) {
                        log_line(LOG_WARN, "init: reaped orphan %d", pid);
                }
        }
}

static void loop(struct init *in)
{
        siginfo_t info;

        while (!in->ended) {
                int n = sig_wait(SIG_ALL, &info, -1);

                if (n == SIGCHLD)
                        reap(in);
                else if (!is_ours(in, n, &info))
                        send(in, n);
        }
}

/*
 * --- The end -------------------------------------------------------------------------
 */
static int exit_status(const struct init *in)
{
        int n = WIFSIGNALED(in->status) ? STATUS_SIGNAL + WTERMSIG(in->status)
                                        : WEXITSTATUS(in->status);

        return in->remap[n / 32] & BIT(n % 32) ? 0 : n;
}

/*
 * Kubernetes shows the operator what stands in this file. Only if it is there, and only
 * for ends that the program could not explain itself.
 */
static __attribute__((noinline)) void write_termination_log(const struct init *in,
                                                            const char *reason)
{
        char text[1024];
        struct wr w = wr_of(text, sizeof(text));
        AUTO_CLOSE int fd = open("/dev/termination-log",
                                 O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return;
        wr_str(&w, "{\"program\":");
        wr_json(&w, in->argv[0], strnlen(in->argv[0], 256));
        wr_str(&w, ",\"reason\":");
        wr_json(&w, reason, strlen(reason));
        wr_fmt(&w, ",\"exit\":%d}\n", exit_status(in));
        if (w.full || ftruncate(fd, 0) < 0 || write_full(fd, text, w.len) < 0)
                log_line(LOG_DEBUG, "init: /dev/termination-log can't be written");
}

static void tell_end(const struct init *in)
{
        if (in->exec_error) {
                log_errno(LOG_ERROR, in->exec_error, "init: exec %s", in->argv[0]);
                write_termination_log(in, strerror(in->exec_error));
        } else if (WIFSIGNALED(in->status)) {
                log_line(LOG_INFO, "init: %s ended by %s", in->argv[0],
                         sig_name(WTERMSIG(in->status)));
                write_termination_log(in, sig_name(WTERMSIG(in->status)));
        } else {
                log_line(LOG_INFO, "init: %s exited with %d", in->argv[0],
                         WEXITSTATUS(in->status));
        }
}

static void stop_leftovers(const struct init *in)
{
        struct stop_count count;
        int r = stop_everyone(in->grace_ms, KILL_MS, &count);

        if (r < 0)
                log_errno(LOG_WARN, -r, "init: %u processes outlived SIGKILL", count.survivors);
        else if (in->warn_reap && count.reaped)
                log_line(LOG_WARN, "init: reaped %u processes that were left", count.reaped);
}

int command_init(int argc, char **argv)
{
        static struct init in = { .verbosity = 1, .grace_ms = GRACE_MS };

        in.parent = getppid();
        in.self = getpid();
        log_level(LOG_WARN);
        read_environment(&in);
        read_options(&in, argc, argv);
        set_log_level(in.verbosity);
        if (in.parent_signal)
                heed_parent(&in);
        become_reaper(&in);
        prctl(PR_SET_DUMPABLE, 0);
        sig_init(true);
        in.terminal = tty_may_hand_over();
        in.child = start(&in);
        if (in.child < 0)
                die_errno(STATUS_CANNOT_EXEC, errno, "init: fork");
        let_go();
        log_line(LOG_DEBUG, "init: %s is process %d", in.argv[0], in.child);
        loop(&in);
        if (in.terminal)
                tty_take_back(in.child);
        tell_end(&in);
        stop_leftovers(&in);
        return exit_status(&in);
}
