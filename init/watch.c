/* init/watch.c - stays with one child: output, signals, deadline, and the dead of others. */
#include "base/io.h"
#include "base/msg.h"
#include "init/sig.h"
#include "init/spawn.h"
#include "init/task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define GRACE_MS 5000                    /* between TERM and KILL */
#define KILL_MS 10000
#define LAST_MS 8000                     /* for the report once told to stop: docker waits 10 s */
#define DRAIN_MS 2000                    /* for a slow reader of what the child said last */
#define SCAN_MS (660 * UINT64_C(1000))   /* airlock-unseal has a limit of its own, below this */
#define LOG_MAX (8U << 20)               /* bytes of OUT/setup.log */
#define REAP_MAX 512                     /* dead in a round, before deadlines are looked at */
#define CHUNK 2048                       /* of output, and of a line, at a time */
#define SHOW 4096                        /* PIPE_BUF: what a pipe with room takes at once */

/* A pipe from the child: what was read and is not shown yet, as a line is whole first. */
struct stream {
        int fd;
        bool raw; /* shown unchanged on our stdout */
        char bytes[CHUNK];
        size_t len;
};

struct watching {
        struct task *t;
        const struct watch *w;
        pid_t pid;
        int signals; /* signalfd */
        bool deaf;   /* nothing more comes from airlock-unseal */
        bool stays;  /* it has not exited: it waits for the next order */
        struct stream out, err;
        uint64_t warn_ms, deadline_ms, kill_ms; /* 0: none */
        enum watch_end end;
        bool exited;
        bool crowd; /* more are dead than one round reaps */
        int status;
};

void tail_put(struct tail *t, const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                t->buf[t->total++ % t->cap] = bytes[i];
}

void tail_copy(const struct tail *t, unsigned lines, struct wr *to)
{
        size_t kept = t->total < t->cap ? t->total : t->cap;
        size_t from = t->total - kept;

        if (lines) {
                size_t at = t->total;

                while (at > from) {
                        if (t->buf[(at - 1) % t->cap] == '\n' && at != t->total && !--lines)
                                break;
                        at--;
                }
                from = at;
        }
        for (; from < t->total; from++)
                wr_char(to, t->buf[from % t->cap]);
}

void put_wait_status(struct wr *w, int wait_status)
{
        if (WIFSIGNALED(wait_status))
                wr_fmt(w, "signal %s", sig_name(WTERMSIG(wait_status)));
        else
                wr_fmt(w, "exit %d", WEXITSTATUS(wait_status));
}

static void log_bytes(struct task *t, int fd, const char *bytes, size_t len)
{
        static const char note[] = "[the rest is not kept: the log has reached 8 MiB]\n";

        if (fd < 0 || t->log_len > LOG_MAX)
                return;
        t->log_len += len;
        if (t->log_len > LOG_MAX) {
                bytes = note;
                len = sizeof(note) - 1;
        }
        /* A full disk costs the log, and shows in the result: the result needs it too. */
        if (write_full(fd, bytes, len) < 0)
                t->journal.failed = true;
}

/*
 * Is there room for SHOW bytes, or will there be within @wait_ms? If not we read no more:
 * the child waits, the clock runs.
 */
static bool can_show(int fd, int wait_ms)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        return poll(&p, 1, wait_ms) != 0;
}

/* Is there something to show: a line with its end, or one that the buffer can't hold? */
static bool waits(const struct stream *s)
{
        return s->len && (s->raw || s->len == sizeof(s->bytes) || memchr(s->bytes, '\n', s->len));
}

/*
 * One write, of the lines that fit: a flood of short ones grows by its prefixes. The last
 * line is shown @whole or not at all.
 */
static void show(struct watching *g, struct stream *s, bool whole)
{
        char text[SHOW];
        struct wr w = wr_of(text, sizeof(text));
        const char *phase = phase_name(g->t->phase);
        size_t at = 0;

        while (at < s->len) {
                const char *end = memchr(s->bytes + at, '\n', s->len - at);
                size_t n = end ? (size_t)(end - s->bytes) + 1 - at : s->len - at;

                if (w.len + strlen(phase) + 4 + n > sizeof(text) ||
                    (!end && whole && s->len < sizeof(s->bytes)))
                        break;
                wr_fmt(&w, "%s | ", phase);
                wr_bytes(&w, s->bytes + at, n);
                if (!end)
                        wr_char(&w, '\n');
                at += n;
        }
        s->len -= at;
        memmove(s->bytes, s->bytes + at, s->len);
        if (!g->t->quiet && write_full(STDERR_FILENO, text, w.len) < 0)
                g->t->quiet = true; /* nobody listens */
}

static void show_raw(struct watching *g, struct stream *s)
{
        if (!g->t->quiet && write_full(STDOUT_FILENO, s->bytes, s->len) < 0)
                g->t->quiet = true;
        s->len = 0;
}

/*
 * Shows what waits, or reads once. Returns false when there was nothing: the end of the
 * stream, or none now. The caller saw room for one write.
 */
static bool pump(struct watching *g, struct stream *s)
{
        char *to = s->bytes + s->len;
        ssize_t n;

        if (waits(s)) {
                if (s->raw)
                        show_raw(g, s);
                else
                        show(g, s, true);
                return true;
        }
        if (s->fd < 0)
                return false;
        n = read(s->fd, to, sizeof(s->bytes) - s->len);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return false;
        if (n <= 0) {
                close(s->fd);
                s->fd = -1;
                return false;
        }
        s->len += (size_t)n;
        tail_put(&g->t->tail, to, (size_t)n);
        log_bytes(g->t, g->w->answer ? g->t->agent_log : g->t->log, to, (size_t)n);
        if (s->raw)
                tail_put(&g->t->answer, to, (size_t)n);
        return true;
}

/*
 * What it printed last; not what its children still hold the pipe for. A reader may be
 * slow; where nobody reads what we show, the log alone gets it.
 */
static void drain(struct watching *g, struct stream *s)
{
        bool quiet = g->t->quiet;
        uint64_t patience_ends = now_ms() + (g->t->unread ? 0 : DRAIN_MS);

        for (unsigned i = 0; i < 512; i++) {
                uint64_t now = now_ms();
                int wait_ms = now < patience_ends ? (int)(patience_ends - now) : 0;

                g->t->quiet = g->t->quiet ||
                              !can_show(s->raw ? STDOUT_FILENO : STDERR_FILENO, wait_ms);
                if (!pump(g, s))
                        break;
        }
        show(g, s, false);
        g->t->unread = g->t->quiet && !quiet; /* whoever waited once in vain waits no more */
        g->t->quiet = quiet;
}

static void signal_child(const struct watching *g, int n)
{
        /* Its group; the child alone, if it has left that. */
        if (kill(-g->pid, n) < 0)
                kill(g->pid, n);
}

static void end_child(struct watching *g, enum watch_end end, int n)
{
        if (g->kill_ms)
                return; /* being ended already */
        g->end = end;
        g->kill_ms = now_ms() + GRACE_MS;
        signal_child(g, n);
        signal_child(g, SIGCONT);
}

/*
 * From outside our pid namespace si_pid is 0. A process inside could write that 0
 * itself with rt_sigqueueinfo(2), but then only with a negative si_code; or have the
 * kernel send one without a pid (F_SETOWN, F_SETSIG), whose si_code is POLL_IN and such.
 */
static bool from_outside(const struct signalfd_siginfo *s)
{
        return s->ssi_pid == 0 && (s->ssi_code == SI_USER || s->ssi_code == SI_KERNEL ||
                                   s->ssi_code == SI_TKILL);
}

/* Not until nobody is dead: where they fork faster than we reap, that is never. */
static void reap(struct watching *g)
{
        int status;
        pid_t pid;

        g->crowd = true;
        for (unsigned n = 0; n < REAP_MAX && !g->exited; n++) {
                pid = waitpid(-1, &status, WNOHANG);
                g->crowd = pid > 0;
                if (pid <= 0)
                        return;
                egress_reaped(g->t, pid, status);
                unseal_reaped(g->t, pid, status);
                if (pid == g->pid) {
                        g->exited = true;
                        g->status = status;
                }
        }
}

/*
 * Told to stop while the results are written, perhaps for the second time (a signal to
 * the process group comes to us and to who forwards it): they are not thrown away.
 */
static void hurry(struct watching *g)
{
        uint64_t last = now_ms() + LAST_MS;

        if (g->t->report_end_ms > last)
                g->t->report_end_ms = last;
        if (g->deadline_ms > g->t->report_end_ms)
                g->deadline_ms = g->t->report_end_ms;
}

static void hear(struct watching *g, const struct signalfd_siginfo *s)
{
        int n = (int)s->ssi_signo;

        if (n == SIGCHLD)
                return; /* reap() looks for itself */
        if (!from_outside(s)) {
                char fields[128];
                struct wr w = wr_of(fields, sizeof(fields));

                g->t->ignored_signals++;
                wr_fmt(&w, ",\"signal\":\"%s\",\"pid\":%u,\"uid\":%u", sig_name(n), s->ssi_pid,
                       s->ssi_uid);
                if (g->t->ignored_signals <= 100) /* a storm must not fill the disk */
                        journal_event(&g->t->journal, "signal_ignored", fields, w.len);
                return;
        }
        switch (n) {
        case SIGTERM:
        case SIGINT:
        case SIGQUIT:
        case SIGHUP:
                g->t->stop_signal = n;
                if (g->t->phase == PHASE_REPORT)
                        hurry(g);
                else
                        end_child(g, WATCH_STOPPED, n);
                return;
        case SIGIO: /* whoever has a socket can order them of the kernel (F_SETOWN) */
        case SIGURG:
        case SIGTTIN:
        case SIGTTOU:
        case SIGTSTP:
        case SIGPIPE:
                return;
        default:
                signal_child(g, n);
        }
}

static void drain_signals(struct watching *g)
{
        struct signalfd_siginfo s[8];
        ssize_t n;

        while ((n = read(g->signals, s, sizeof(s))) > 0) {
                for (size_t i = 0; i < (size_t)n / sizeof(*s); i++)
                        hear(g, &s[i]);
        }
        reap(g);
}

/* What is due now; returns milliseconds until the next, or -1. */
static int keep_deadlines(struct watching *g)
{
        uint64_t now = now_ms();
        /* The proxy writes to the journal, and says nothing to us. */
        uint64_t next = g->t->egress.proxy ? now + JOURNAL_SHOW_MS : UINT64_MAX;

        if (g->warn_ms && now >= g->warn_ms) {
                log_line(LOG_WARN, "%s: %s has used 80 %% of its %u s", phase_name(g->t->phase),
                         g->w->what, g->w->timeout_s);
                g->warn_ms = 0;
        }
        if (g->deadline_ms && now >= g->deadline_ms) {
                g->deadline_ms = 0;
                end_child(g, WATCH_TIMEOUT, SIGTERM);
        }
        if (g->kill_ms && now >= g->kill_ms) {
                signal_child(g, SIGKILL);
                g->kill_ms = now + GRACE_MS; /* it may have forked or be in D state */
        }
        if (g->warn_ms && g->warn_ms < next)
                next = g->warn_ms;
        if (g->deadline_ms && g->deadline_ms < next)
                next = g->deadline_ms;
        if (g->kill_ms && g->kill_ms < next)
                next = g->kill_ms;
        return next == UINT64_MAX ? -1 : next - now > 60000 ? 60000 : (int)(next - now);
}

/*
 * The session with the secrets is over: everyone but its parent and the proxy ends, and
 * then that parent may look for what was left behind.
 */
static void session_ended(struct watching *g)
{
        struct task *t = g->t;
        struct msg scan = { .type = MSG_SCAN };
        int r;

        g->deadline_ms = now_ms() + SCAN_MS;
        g->warn_ms = 0;
        stop_spare(g->pid);
        r = stop_everyone(0, KILL_MS, &t->setup_left);
        if (!stop_is_spared(g->pid))
                g->exited = true; /* and reaped there; its status is lost, as its word is */
        stop_spare_no_more(g->pid);
        if (g->exited)
                unseal_reaped(t, g->pid, g->status = STATUS_SETUP << 8);
        else if (t->unseal.session_status && unseal_may_run_again(t))
                g->exited = g->stays = true;
        else if (r < 0 || msg_send(t->unseal.control, &scan, -1) < 0)
                end_child(g, WATCH_EXITED, SIGKILL);
}

static void hear_unseal(struct watching *g)
{
        struct unsealed *u = &g->t->unseal;
        struct msg m = { 0 };
        int fd, r = msg_receive(u->control, &m, &fd);

        if (fd >= 0)
                close(fd);
        if (r == 0 && m.type == MSG_OPENED && !u->open) {
                memcpy(u->hash, m.text, sizeof(u->hash) - 1);
                u->open = g->exited = g->stays = true;
        } else if (r == 0 && m.type == MSG_ENDED && u->open) {
                u->session_status = m.error;
                memcpy(u->session_line, m.text, sizeof(u->session_line));
                session_ended(g);
        } else {
                g->deaf = true; /* its exit says why */
        }
}

static void watch_loop(struct watching *g)
{
        reap(g);
        while (!g->exited) {
                bool shown = g->t->quiet || can_show(STDERR_FILENO, 0);
                bool shown_raw = g->t->quiet || can_show(STDOUT_FILENO, 0);
                bool more;
                struct pollfd p[] = {
                        { .fd = g->signals, .events = POLLIN },
                        { .fd = g->out.fd, .events = POLLIN },
                        { .fd = g->err.fd, .events = POLLIN },
                        { .fd = -1, .events = POLLOUT },
                        { .fd = g->w->unseal && !g->deaf ? g->t->unseal.control : -1,
                          .events = POLLIN },
                };

                if (!shown_raw) {
                        p[1].fd = -1;
                        p[3].fd = STDOUT_FILENO;
                }
                if (!shown) {
                        p[2].fd = -1;
                        p[3].fd = STDERR_FILENO;
                }
                more = (shown_raw && waits(&g->out)) || (shown && waits(&g->err));
                if (poll(p, COUNT(p), more || g->crowd ? 0 : keep_deadlines(g)) < 0 && errno != EINTR)
                        break;
                if (shown_raw && (p[1].revents || waits(&g->out)))
                        pump(g, &g->out);
                if (shown && (p[2].revents || waits(&g->err)))
                        pump(g, &g->err);
                if (p[4].revents && !g->exited)
                        hear_unseal(g);
                drain_signals(g);
                journal_show(&g->t->journal);
                keep_deadlines(g);
                if (g->t->egress.lost)
                        end_child(g, WATCH_LOST, SIGKILL);
        }
}

static int make_pipe(struct stream *s, int *child_end)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        s->fd = fds[0];
        *child_end = fds[1];
        return 0;
}

static int start(struct watching *g, struct spawn_failure *f)
{
        const struct watch *w = g->w;
        AUTO_CLOSE int out = -1;
        AUTO_CLOSE int err = -1;
        AUTO_CLOSE int channel = -1;
        AUTO_CLOSE int notify = -1;
        struct spawn s = {
                .argv = w->argv, .envp = w->env->vars, .cwd = w->cwd,
                .program = w->program, .socket = w->socket,
                .fd = { w->in, w->out, -1 }, .new_session = w->new_session,
                .terminal = w->terminal, .confine = w->confine, .lock = w->lock,
                .lock_program = g->t->programs[PROGRAM_LOCK], .door = g->t->egress.door,
        };

        if (w->tells) {
                s.porch = w->tells;
                s.journal = g->t->journal.fd;
                s.start_ms = g->t->journal.start_ms;
        }
        for (size_t i = 0, n = 0; i < COUNT(s.keep); i++) {
                if (w->keep[i])
                        s.keep[n++] = w->keep[i];
        }
        *f = (struct spawn_failure){ 0, "make a pipe" };
        if (!w->terminal) {
                int r = make_pipe(&g->err, &err);

                if (!r && w->answer)
                        r = make_pipe(&g->out, &out);
                if (r < 0)
                        return r;
                s.fd[2] = err;
                if (w->out < 0)
                        s.fd[1] = w->answer ? out : err;
        }
        if (w->lock != LOCKED_NOT) {
                struct egress_way way;
                int r = egress_way(g->t, w->lock, w->confine, &way);

                *f = (struct spawn_failure){ 0, "open a way to airlock-proxy" };
                if (r < 0)
                        return r;
                channel = way.channel;
                notify = way.notify;
                s.own_uid = way.own_uid;
        }
        s.channel = channel;
        s.notify = notify;
        return spawn(&s, f);
}

int watch_no_start(struct task *t, const struct watch *w, int err, const char *stage)
{
        bool exec = !strcmp(stage, "exec");
        enum status status = exec || w->lock == LOCKED_NOT ? STATUS_PROVISION : STATUS_LOCK;

        task_fail(t, status, "%s: %s: %s: %s", w->what, w->argv[0], stage, strerror(err));
        if (status == STATUS_LOCK)
                return STATUS_LOCK;
        return err == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC;
}

/* Stays with airlock-unseal again, which is started or, meanwhile, was reaped. */
static pid_t adopt(struct watching *g)
{
        struct unsealed *u = &g->t->unseal;
        pid_t pid = u->pid;

        g->err.fd = u->output;
        u->output = -1;
        g->exited = !pid;
        g->status = u->status;
        return pid;
}

enum watch_end watch(struct task *t, const struct watch *w, int *wait_status)
{
        struct watching g = {
                .t = t, .w = w, .end = WATCH_EXITED, .signals = -1,
                .out = { .fd = -1, .raw = w->answer }, .err = { .fd = -1 },
        };
        struct spawn_failure f = { 0, "listen for signals" };
        uint64_t start_ms = now_ms();

        g.signals = sig_fd(SIG_ALL);
        g.pid = g.signals < 0 ? g.signals : w->unseal && t->unseal.open ? adopt(&g) : start(&g, &f);
        t->tail.total = 0;
        if (g.pid < 0) {
                *wait_status = watch_no_start(t, w, -g.pid, f.stage) << 8;
                g.end = WATCH_NO_START;
        } else {
                if (w->timeout_s) {
                        g.deadline_ms = start_ms + w->timeout_s * UINT64_C(1000);
                        g.warn_ms = start_ms + w->timeout_s * UINT64_C(800);
                }
                if (t->report_end_ms && g.deadline_ms > t->report_end_ms)
                        g.deadline_ms = t->report_end_ms;
                watch_loop(&g);
                drain(&g, &g.out);
                drain(&g, &g.err);
                if (g.end == WATCH_LOST)
                        task_fail(t, STATUS_LOCK,
                                  "airlock-proxy or airlock-notify ended by itself, and %s with it",
                                  w->what);
                *wait_status = g.status;
        }
        if (g.stays) {
                t->unseal.pid = g.pid;
                t->unseal.output = g.err.fd;
                g.err.fd = -1;
        }
        if (g.out.fd >= 0)
                close(g.out.fd);
        if (g.err.fd >= 0)
                close(g.err.fd);
        if (g.signals >= 0)
                close(g.signals);
        return g.end;
}
