/* secrets/session.c - start, pump, end. */
#include "secrets/session.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define QUIET_MS 100 /* then what is held back is looked at again */
#define LAST_MS 5000 /* for the reader to take the last of the output */
#define LAST_READS 256

/* --- start ------------------------------------------------------------------------------ */

static const char *path_of(char *const *envp)
{
        for (; *envp; envp++) {
                if (!strncmp(*envp, "PATH=", 5))
                        return *envp + 5;
        }
        return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* execvpe(3) by the child's own PATH: libc's would use ours. Returns -errno. */
static int exec_by_path(char *const *argv, char *const *envp)
{
        char file[PATH_MAX];
        int err = ENOENT;

        if (strchr(argv[0], '/')) {
                execve(argv[0], argv, envp);
                return -errno;
        }
        for (const char *path = path_of(envp); *path; path += *path == ':') {
                struct wr w = wr_of(file, sizeof(file) - 1);
                size_t len = strcspn(path, ":");

                wr_fmt(&w, "%.*s%s%s", (int)len, path, len ? "/" : "", argv[0]);
                path += len;
                if (w.full)
                        continue;
                execve(wr_cstr(&w), argv, envp);
                if (errno != ENOENT && errno != ENOTDIR)
                        err = errno;
        }
        return -err;
}

static int exec_opened(const struct session *s)
{
        syscall(SYS_execveat, s->program, "", s->argv, s->envp, AT_EMPTY_PATH);
        return -errno;
}

static int arrange(const struct session *s, int out)
{
        int null = open("/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
            dup2(out, STDERR_FILENO) < 0)
                return -errno;
        syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
        for (size_t i = 0; i < s->pass_count; i++) {
                if (fcntl(s->pass[i], F_SETFD, 0) < 0)
                        return -errno;
        }
        return 0;
}

static NORETURN void child(const struct session *s, int out)
{
        int r = setsid() < 0 ? -errno : 0;

        syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
        if (!r)
                r = arrange(s, out);
        /* A core would hold its environment. */
        if (!r && setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 }) < 0)
                r = -errno;
        if (!r) {
                signal(SIGPIPE, SIG_DFL);
                sigprocmask(SIG_SETMASK, s->signals, NULL);
                if (chdir(s->cwd) < 0)
                        r = -errno;
                else
                        r = s->program >= 0 ? exec_opened(s) : exec_by_path(s->argv, s->envp);
        }
        log_errno(LOG_ERROR, -r, "setup: %s", s->argv[0]);
        _exit(r == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC);
}

int session_start(struct session *s, const char **stage)
{
        int fds[2];

        *stage = "make a pipe";
        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *stage = "fork";
        s->pid = fork();
        if (!s->pid)
                child(s, fds[1]);
        close(fds[1]);
        s->from = fds[0];
        if (s->pid < 0) {
                close(fds[0]);
                return -errno;
        }
        fcntl(s->from, F_SETFL, O_NONBLOCK);
        return 0;
}

/* --- watch ------------------------------------------------------------------------------ */

struct pump {
        struct session *s;
        bool ended;     /* the child */
        uint64_t kill_ms;
        size_t at, len; /* of masked, what is not written yet */
        uint8_t masked[SESSION_CHUNK + MASK_OUT_EXTRA];
};

static LARGE_BUFFER struct pump the_pump;

/* Writes what it can. A reader that is gone gets nothing more, and the child goes on. */
static void push(struct pump *p)
{
        while (p->at < p->len) {
                ssize_t n = write(p->s->to, p->masked + p->at, p->len - p->at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                p->at = n < 0 ? p->len : p->at + (size_t)n;
        }
}

/* Reads once. False: nothing there now, or the end. */
static bool pull(struct pump *p)
{
        struct session *s = p->s;
        ssize_t n = s->from < 0 ? 0 : read(s->from, s->chunk, SESSION_CHUNK);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                if (s->from >= 0)
                        close(s->from);
                s->from = -1;
                return false;
        }
        p->at = 0;
        p->len = masker_put(s->mask, s->chunk, (size_t)n, p->masked);
        push(p);
        return true;
}

static void send_signal(const struct session *s, int n)
{
        if (kill(-s->pid, n) < 0)
                kill(s->pid, n);
}

static void hear(struct pump *p, int signals)
{
        struct signalfd_siginfo info;

        while (read(signals, &info, sizeof(info)) == sizeof(info)) {
                if (info.ssi_signo == SIGCHLD)
                        continue;
                send_signal(p->s, (int)info.ssi_signo);
                send_signal(p->s, SIGCONT);
                if (!p->kill_ms)
                        p->kill_ms = now_ms() + SESSION_GRACE_MS;
        }
        if (waitpid(p->s->pid, &p->s->wait_status, WNOHANG) == p->s->pid)
                p->ended = true;
}

/* Milliseconds until something is due. */
static int patience(struct pump *p)
{
        uint64_t now = now_ms();
        bool held = p->s->mask->len > p->s->mask->shown;

        if (p->kill_ms && now >= p->kill_ms) {
                send_signal(p->s, SIGKILL);
                p->kill_ms = now + SESSION_GRACE_MS;
        }
        if (held)
                return QUIET_MS;
        return p->kill_ms ? (int)(p->kill_ms - now) : -1;
}

/* What it printed last, and what was held back; not what its children still print. */
static void finish(struct pump *p)
{
        uint64_t end = now_ms() + LAST_MS;

        for (unsigned reads = 0;;) {
                struct pollfd room = { .fd = p->s->to, .events = POLLOUT };

                push(p);
                if (p->at < p->len) {
                        if (now_ms() > end)
                                break;
                        poll(&room, 1, 100);
                } else if (reads++ >= LAST_READS || !pull(p)) {
                        break;
                }
        }
        if (p->at == p->len) {
                p->at = 0;
                p->len = masker_end(p->s->mask, p->masked);
                fcntl(p->s->to, F_SETFL, 0);
                push(p);
        }
        if (p->s->from >= 0)
                close(p->s->from);
        p->s->from = -1;
}

int session_watch(struct session *s, int signals)
{
        struct pump *p = &the_pump;

        p->s = s;
        p->ended = false; /* it may be the second session */
        p->kill_ms = p->at = p->len = 0;
        fcntl(s->to, F_SETFL, O_NONBLOCK);
        while (!p->ended) {
                struct pollfd fds[] = {
                        { .fd = signals, .events = POLLIN },
                        { .fd = s->control, .events = POLLIN },
                        { .fd = p->at < p->len ? -1 : s->from, .events = POLLIN },
                        { .fd = p->at < p->len ? s->to : -1, .events = POLLOUT },
                };
                int n = poll(fds, COUNT(fds), patience(p));

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (fds[1].revents & (POLLHUP | POLLERR))
                        return -EPIPE;
                push(p);
                if (n == 0 && p->at == p->len) {
                        p->at = 0;
                        p->len = masker_quiet(s->mask, p->masked);
                        push(p);
                }
                if (fds[2].revents)
                        pull(p);
                if (fds[0].revents)
                        hear(p, signals);
        }
        finish(p);
        return 0;
}
