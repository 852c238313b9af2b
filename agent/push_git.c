/* agent/push_git.c - one git, watched until it ends. */
#include "agent/push.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define WORDS 48
#define SAID_MAX (256U << 10)
#define PIECE 16384

/*
 * Before what a turn asks for. The configuration is PID 1's, in a directory made when the agent
 * was dead; these are what git reads elsewhere, or would ask of the agent's own repository.
 */
static const char *const always[] = {
        "git", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false",
        "-c", "core.commitGraph=false", "-c", "core.multiPackIndex=false",
        "-c", "core.alternateRefsCommand=true", "-c", "credential.helper=",
        "-c", "http.followRedirects=false", "-c", "http.version=HTTP/1.1",
        "-c", "push.followTags=false", "-c", "gc.auto=0",
        "-c", "maintenance.auto=false",
};

struct stream {
        int fd; /* -1: closed */
        struct buf *to;
        bool too_much;
};

static void become_git(const struct git *g, int out, int err)
{
        const char *argv[WORDS + 1] = { NULL };
        size_t n = COUNT(always);
        sigset_t none;
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        memcpy(argv, always, sizeof(always));
        for (const char *const *a = g->argv; *a && n < WORDS; a++)
                argv[n++] = *a;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        if (null < 0 || dup2(null, 0) < 0 || dup2(out >= 0 ? out : g->to >= 0 ? g->to : null, 1) < 0 ||
            dup2(err, 2) < 0)
                _exit(STATUS_NOT_FOUND);
        for (int fd = 3; fd < 1024; fd++)
                close(fd);
        execvp("git", (char *const *)(uintptr_t)argv);
        _exit(STATUS_NOT_FOUND);
}

/* What stands in the pipe. */
static void hear(struct stream *s)
{
        char piece[PIECE];
        ssize_t n = read(s->fd, piece, sizeof(piece));

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) {
                close(s->fd);
                s->fd = -1;
        } else if (!s->to || s->to->len + (size_t)n <= SAID_MAX) {
                if (s->to)
                        buf_put(s->to, piece, (size_t)n);
        } else {
                s->too_much = true;
        }
}

/*
 * Until the child is dead: somebody it started may keep the pipes open, and is PID 1's to end.
 * That a child died may be said of the one before this one, which was killed: so it is asked for.
 * False: it took too long.
 */
static bool attend(struct push *p, int signals, struct stream streams[2], pid_t pid, int *status)
{
        struct signalfd_siginfo info;

        for (;;) {
                uint64_t now = now_ms();
                struct pollfd fds[3 + RELAY_FDS] = {
                        { .fd = signals, .events = POLLIN },
                        { .fd = streams[0].fd, .events = POLLIN },
                        { .fd = streams[1].fd, .events = POLLIN },
                };
                size_t relayed = relay_poll(fds + 3);

                if (now >= p->deadline_ms || streams[0].too_much || streams[1].too_much)
                        return false;
                if (poll(fds, (nfds_t)(3 + relayed), (int)(p->deadline_ms - now)) < 0) {
                        if (errno != EINTR)
                                return false;
                        continue;
                }
                for (size_t i = 0; i < 2; i++) {
                        if (fds[1 + i].revents)
                                hear(&streams[i]);
                }
                relay_step(p, fds + 3, relayed);
                if (fds[0].revents && read(signals, &info, sizeof(info)) == sizeof(info) &&
                    waitpid(pid, status, WNOHANG) == pid)
                        return true;
        }
}

/* What a child that is dead now left in its pipes. */
static void drain(struct stream *s)
{
        while (s->fd >= 0 && !s->too_much &&
               poll(&(struct pollfd){ .fd = s->fd, .events = POLLIN }, 1, 0) > 0)
                hear(s);
        if (s->fd >= 0)
                close(s->fd);
}

static int run(struct push *p, const struct git *g, int signals)
{
        struct stream streams[2] = { { -1, g->out, false }, { -1, g->err, false } };
        int out[2] = { -1, -1 }, err[2], status = -1;
        bool in_time;
        pid_t pid;

        if (pipe2(err, O_CLOEXEC) < 0)
                return -1;
        if (g->out && pipe2(out, O_CLOEXEC) < 0) {
                close(err[0]);
                close(err[1]);
                return -1;
        }
        pid = fork();
        if (!pid)
                become_git(g, out[1], err[1]);
        close(err[1]);
        if (out[1] >= 0)
                close(out[1]);
        streams[0].fd = out[0];
        streams[1].fd = err[0];
        in_time = pid > 0 && attend(p, signals, streams, pid, &status);
        if (pid > 0 && !in_time) {
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
        }
        for (size_t i = 0; i < 2; i++)
                drain(&streams[i]);
        return !in_time || streams[0].too_much || !WIFEXITED(status) ? -1 : WEXITSTATUS(status);
}

int git_run(struct push *p, const struct git *g)
{
        sigset_t child;
        int signals, r;

        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigprocmask(SIG_BLOCK, &child, NULL);
        signals = signalfd(-1, &child, SFD_CLOEXEC);
        if (signals < 0)
                return -1;
        r = run(p, g, signals);
        close(signals);
        return r;
}
