/* init/spawn.c - fork, take away, exec; the child tells over a pipe what failed. */
#include "init/spawn.h"

#include "base/io.h"
#include "base/wr.h"
#include "init/sig.h"
#include "init/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define START_MS 30000 /* from fork to exec: a file system may hang, PID 1 may not */

static const char *path_of(char *const *envp)
{
        for (; *envp; envp++) {
                if (!strncmp(*envp, "PATH=", 5))
                        return *envp + 5;
        }
        return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/*
 * execvpe(3) by the child's own PATH: musl's would use ours. EACCES is remembered while
 * later folders are tried, so that "found and not executable" is told from "not found".
 */
static int exec_by_path(char *const *argv, char *const *envp)
{
        const char *path = path_of(envp);
        int err = ENOENT;

        if (strchr(argv[0], '/')) {
                execve(argv[0], argv, envp);
                return -errno;
        }
        while (*path) {
                char file[PATH_MAX];
                size_t dir_len = strcspn(path, ":");
                size_t name_len = strlen(argv[0]);

                if (dir_len + 1 + name_len < sizeof(file)) {
                        memcpy(file, path, dir_len);
                        file[dir_len] = '/';
                        memcpy(file + dir_len + 1, argv[0], name_len + 1);
                        execve(dir_len ? file : argv[0], argv, envp);
                        if (errno != ENOENT && errno != ENOTDIR)
                                err = errno;
                }
                path += dir_len;
                path += *path == ':';
        }
        return -err;
}

static int exec_opened(const struct spawn *s)
{
        syscall(SYS_execveat, s->program, "", s->argv, s->envp, AT_EMPTY_PATH);
        return -errno;
}

/*
 * Opened before anything that is not ours runs: an agent with the right to write /dev
 * could put a FIFO there, and every later child would wait in open(2).
 */
static int null_device(void)
{
        static int null = -1;

        if (null < 0)
                null = open("/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        return null;
}

static int arrange_descriptors(const int fd[3])
{
        int from[3];

        /* First above 2, so that no dup2 below overwrites one that is still needed. */
        for (int i = 0; i < 3; i++) {
                int source = fd[i] >= 0 ? fd[i] : i == 0 ? null_device() : i;

                from[i] = source < 0 ? -1 : fcntl(source, F_DUPFD_CLOEXEC, 3);
        }
        for (int i = 0; i < 3; i++) {
                if (from[i] < 0)
                        close(i); /* closed for us: closed for the child */
                else if (dup2(from[i], i) < 0)
                        return -errno;
        }
        return 0;
}

#define WORDS_MAX 66000 /* more than a spec's command can have */

/* @name and a number after it. */
static void put_option(char **words, size_t *n, const char *name, char *text, size_t cap,
                       uint64_t value, bool hex)
{
        struct wr w = wr_of(text, cap - 1);

        wr_fmt(&w, hex ? "%lx" : "%lu", (unsigned long)value);
        wr_cstr(&w);
        words[(*n)++] = (char *)(uintptr_t)name;
        words[(*n)++] = text;
}

/* airlock-lock's command line: see netfilter/lock_main.c. */
size_t spawn_lock_words(const struct spawn *s, int tell, struct lock_words *l)
{
        char **words = l->v;
        const struct confine *c = s->confine;
        size_t n = 0;

        words[n++] = (char *)(uintptr_t)"airlock-lock";
        words[n++] = (char *)(uintptr_t)"--enter";
        words[n++] = (char *)(uintptr_t)lock_name(s->lock);
        if (s->channel >= 0)
                put_option(words, &n, "--proxy", l->text[0], 24, (uint64_t)s->channel, false);
        if (s->notify >= 0) {
                put_option(words, &n, "--notify", l->text[7], 24, (uint64_t)s->notify, false);
                if (s->own_uid)
                        words[n++] = (char *)(uintptr_t)"--hold";
        }
        /* A proxy or notifier of the agent's own user must not get its signals. */
        if (!s->own_uid)
                words[n++] = (char *)(uintptr_t)"--scope";
        if (s->door)
                put_option(words, &n, "--http-port", l->text[1], 24, s->door, false);
        if (c && c->set_ids) {
                put_option(words, &n, "--uid", l->text[2], 24, c->uid, false);
                put_option(words, &n, "--gid", l->text[3], 24, c->gid, false);
        }
        if (c)
                put_option(words, &n, "--keep-caps", l->text[4], 24, c->keep_caps, true);
        if (c && c->no_new_privs)
                words[n++] = (char *)(uintptr_t)"--no-new-privs";
        if (s->journal > 0) {
                put_option(words, &n, "--journal", l->text[8], 24, (uint64_t)s->journal, false);
                put_option(words, &n, "--start-ms", l->text[9], 24, s->start_ms, false);
                words[n++] = (char *)(uintptr_t)"--porch";
                words[n++] = (char *)(uintptr_t)s->porch;
        }
        if (s->program)
                put_option(words, &n, "--exec-fd", l->text[5], 24, (uint64_t)s->program, false);
        if (s->socket)
                put_option(words, &n, "--socket", l->text[10], 24, (uint64_t)s->socket, false);
        put_option(words, &n, "--tell", l->text[6], 24, (uint64_t)tell, false);
        words[n++] = (char *)(uintptr_t)"--";
        return n;
}

static int exec_locked(const struct spawn *s, int tell)
{
        static LARGE_BUFFER char *words[WORDS_MAX];
        struct lock_words l = { .v = { NULL } };
        size_t n = spawn_lock_words(s, tell, &l);
        const int lent[] = { s->channel, s->notify, s->program ? s->program : -1, tell,
                             s->journal ? s->journal : -1, s->socket ? s->socket : -1 };

        for (size_t i = 0; i < COUNT(lent); i++) {
                if (lent[i] >= 0)
                        fcntl(lent[i], F_SETFD, 0);
        }
        memcpy(words, l.v, n * sizeof(*words));
        for (size_t i = 0; s->argv[i]; i++) {
                if (n == WORDS_MAX - 1)
                        return -E2BIG;
                words[n++] = s->argv[i];
        }
        words[n] = NULL;
        syscall(SYS_execveat, s->lock_program, "", words, s->envp, AT_EMPTY_PATH);
        return -errno;
}

static int become(const struct spawn *s, bool terminal, const char **stage)
{
        int r;

        *stage = "start a session";
        if (s->new_session ? setsid() < 0 : setpgid(0, 0) < 0)
                return -errno;
        /* A key that setup left in its session keyring is not the agent's. */
        syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
        if (terminal)
                tty_hand_over();
        *stage = "arrange the descriptors";
        r = arrange_descriptors(s->fd);
        if (r < 0)
                return r;
        if (s->confine && s->lock == LOCKED_NOT) {
                r = confine_apply(s->confine, stage);
                if (r < 0)
                        return r;
        }
        *stage = "enter the working directory";
        return chdir(s->cwd ? s->cwd : "/") < 0 ? -errno : 0;
}

static NORETURN void child(const struct spawn *s, bool terminal, int tell)
{
        struct spawn_failure f = { 0 };
        const char *stage = "start";
        int r = become(s, terminal, &stage);

        if (!r) {
                sig_child_restore();
                for (size_t i = 0; i < COUNT(s->keep) && s->keep[i]; i++)
                        fcntl(s->keep[i], F_SETFD, 0);
                stage = s->lock == LOCKED_NOT ? "exec" : "start airlock-lock";
                r = s->lock != LOCKED_NOT ? exec_locked(s, tell)
                    : s->program          ? exec_opened(s)
                                          : exec_by_path(s->argv, s->envp);
        }
        f.err = -r;
        memcpy(f.stage, stage, strnlen(stage, sizeof(f.stage) - 1));
        r = write_full(tell, &f, sizeof(f));
        _exit(r < 0 ? 2 : 1);
}

pid_t spawn(const struct spawn *s, struct spawn_failure *f)
{
        bool terminal = s->terminal && tty_may_hand_over();
        int tell[2];
        ssize_t n;
        pid_t pid;

        *f = (struct spawn_failure){ 0, "start" };
        null_device();
        if (pipe2(tell, O_CLOEXEC) < 0)
                return -errno;
        pid = _Fork();
        if (!pid)
                child(s, terminal, tell[1]);
        close(tell[1]);
        if (pid < 0) {
                pid = -errno;
                close(tell[0]);
                return pid;
        }
        if (poll(&(struct pollfd){ .fd = tell[0], .events = POLLIN }, 1, START_MS) == 0) {
                kill(pid, SIGKILL);
                *f = (struct spawn_failure){ ETIMEDOUT, "start in time" };
                n = sizeof(*f);
        } else {
                n = read_full(tell[0], f, sizeof(*f));
        }
        close(tell[0]);
        if (n != sizeof(*f))
                return pid; /* the pipe closed by itself: exec */
        f->stage[sizeof(f->stage) - 1] = '\0';
        waitpid(pid, NULL, 0);
        return f->err > 0 ? -f->err : -EIO;
}
