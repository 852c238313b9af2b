/*
 * agent/loop.c - the main of airlock-agent: what is opened beforehand, the seal, the end.
 *
 * What it needs it has before the seal: files, the channel, the exec-server. After it there
 * is no way to get more.
 */
#include "agent/loop.h"

#include "agent/client_options.h"
#include "agent/patch_main.h"
#include "agent/repo_root.h"
#include "agent/transcript.h"
#include "agent/way.h"
#include "base/clock.h"
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <filter.h> /* generated: loop_filter */

#define SCHEMA_MAX (1U << 20)
#define WAIT_MAX_MS 60000

static struct loop the_loop;

/* --- waiting -------------------------------------------------------------------------------------------- */

static void hear(struct loop *l)
{
        struct signalfd_siginfo s;

        while (read(l->signals, &s, sizeof(s)) == (ssize_t)sizeof(s))
                if (!l->stop)
                        l->stop = (int)s.ssi_signo;
}

static int patience(const struct loop *l, uint64_t until_ms)
{
        uint64_t ms = until_ms > l->now_ms ? until_ms - l->now_ms : 0;

        if (judge_due_ms(&l->judge) < l->now_ms + ms)
                ms = judge_due_ms(&l->judge) > l->now_ms ? judge_due_ms(&l->judge) - l->now_ms : 0;
        if (l->model.state != MODEL_IDLE && l->model.due_ms < l->now_ms + ms)
                ms = l->model.due_ms > l->now_ms ? l->model.due_ms - l->now_ms : 0;
        if (ms > WAIT_MAX_MS)
                ms = WAIT_MAX_MS;
        return l->has_hands ? client_wait_ms(&l->client, l->now_ms, (int)ms) : (int)ms;
}

bool loop_wait(struct loop *l, uint64_t until_ms)
{
        struct pollfd p[3 + CLIENT_POLL] = { { .fd = l->signals, .events = POLLIN },
                                             { .fd = -1 }, { .fd = -1 } };
        struct client_event e;
        unsigned n = 0;

        if (l->has_hands) { /* what was asked for since the last time goes out first */
                client_step(&l->client, NULL, 0, l->now_ms);
                n = client_poll(&l->client, p + 3);
        }
        if (l->model.state != MODEL_IDLE)
                p[1] = (struct pollfd){ .fd = l->model.fd, .events = model_events(&l->model) };
        if (l->judge.model.state != MODEL_IDLE)
                p[2] = (struct pollfd){ .fd = l->judge.model.fd,
                                        .events = model_events(&l->judge.model) };
        if (poll(p, 3 + n, patience(l, until_ms)) < 0)
                for (size_t i = 0; i < COUNT(p); i++)
                        p[i].revents = 0;
        l->now_ms = now_ms();
        if (p[0].revents)
                hear(l);
        if (l->model.state != MODEL_IDLE)
                model_step(&l->model, p[1].revents, l->now_ms);
        judge_step(l, p[2].revents);
        if (l->has_hands) {
                client_step(&l->client, p + 3, n, l->now_ms);
                while (client_next(&l->client, &e))
                        hands_event(l, &e);
        }
        return !l->stop;
}

/* --- before the seal -------------------------------------------------------------------------------------- */

struct places {
        char root[PATH_MAX], cwd[PATH_MAX];
        bool git;
};

/* The repository; the directory itself where there is none. */
static bool find_root(struct places *p)
{
        size_t n;

        if (!getcwd(p->cwd, sizeof(p->cwd)))
                return false;
        n = repo_root_len(p->cwd);
        p->git = n;
        memcpy(p->root, p->cwd, n ? n : strlen(p->cwd));
        return true;
}

static int read_schema(const char *path, struct buf *out)
{
        struct value v;
        struct value_error e;
        ssize_t n = read_file(AT_FDCWD, path, buf_room(out, SCHEMA_MAX), SCHEMA_MAX);

        if (n < 0) {
                log_errno(LOG_ERROR, (int)-n, "--output-schema %s", path);
                return -1;
        }
        buf_added(out, (size_t)n);
        if (!value_parse(&v, buf_at(out), out->len, &e) || v.type != VALUE_OBJECT) {
                log_line(LOG_ERROR, "--output-schema %s: not a JSON object", path);
                return -1;
        }
        buf_put(out, "", 1); /* a C string for the request … */
        out->len--;          /* … of the same length */
        return 0;
}

/* Opened now, written at the end. -1: none is wanted. */
static int open_output(const char *option, const char *path, int *fd)
{
        *fd = -1;
        if (!path)
                return 0;
        *fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
        if (*fd >= 0)
                return 0;
        log_errno(LOG_ERROR, errno, "%s %s", option, path);
        return -1;
}

static int open_signals(void)
{
        sigset_t set;

        signal(SIGPIPE, SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* --- the seal ------------------------------------------------------------------------------------------------ */

static void seal(void)
{
        struct confine c = { .no_new_privs = true };
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog filter = { COUNT(loop_filter),
                                     (struct sock_filter *)(uintptr_t)loop_filter };
        const char *stage;
        int r;

        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        r = confine_apply(&c, &stage);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "%s", stage);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
                die_errno(STATUS_LOCK, errno, "seccomp filter");
}

/* --- the end -------------------------------------------------------------------------------------------------------- */

static void save_file(int fd, const char *what, const char *bytes, size_t len)
{
        int r = fd < 0 ? 0 : ftruncate(fd, 0) < 0 ? -errno : write_full(fd, bytes, len);

        if (r < 0)
                log_errno(LOG_ERROR, -r, "%s", what);
}

static void save(struct loop *l, int fd)
{
        struct buf text = { 0 };

        if (fd < 0)
                return;
        transcript_put(&text, l->thread, l->wire, l->wire_known, &l->history, l->first);
        save_file(fd, "--save", buf_at(&text), text.len);
        buf_free(&text);
}

static void save_answer(struct loop *l, int fd)
{
        if (fd >= 0 && !l->last.len)
                log_line(LOG_WARN, "no answer: %s is empty", l->o->last_message);
        save_file(fd, "-o", l->last.len ? buf_at(&l->last) : "", l->last.len);
}

static void journal_totals(struct loop *l)
{
        struct buf fields = { 0 };

        buf_fmt(&fields, ",\"requests\":%llu,\"tokens\":%llu,\"ms\":%llu,\"wire\":\"%s\"",
                (unsigned long long)l->requests, (unsigned long long)l->used.total,
                (unsigned long long)(l->now_ms - l->start_ms),
                l->wire == WIRE_CHAT_API ? "chat" : "responses");
        events_own(&l->events, "totals", buf_at(&fields), fields.len);
        buf_free(&fields);
}

/* --- main ------------------------------------------------------------------------------------------------------------- */

struct opened {
        int last_message, save;
        struct model_url url;
        struct places places;
        struct buf resumed;
};

/* What can be wrong with the command line, before anything is started. */
static enum agent_status open_all(struct loop *l, struct opened *w)
{
        const struct loop_options *o = l->o;

        w->last_message = w->save = -1;
        if (!model_url_parse(&w->url, o->base_url)) {
                log_line(LOG_ERROR, "--base-url %s: not http[s]://HOST[:PORT][/PATH]", o->base_url);
                return AGENT_USAGE;
        }
        if (o->schema && read_schema(o->schema, &l->schema) < 0)
                return AGENT_USAGE;
        if (o->resume && transcript_read(o->resume, &w->resumed) < 0)
                return AGENT_USAGE;
        if (open_output("-o", o->last_message, &w->last_message) < 0 ||
            open_output("--save", o->save, &w->save) < 0)
                return AGENT_USAGE;
        if (o->cd && chdir(o->cd) < 0) {
                log_errno(LOG_ERROR, errno, "--cd %s", o->cd);
                return AGENT_USAGE;
        }
        if (!find_root(&w->places)) {
                log_errno(LOG_ERROR, errno, "where are we");
                return AGENT_FAILED;
        }
        if (!w->places.git && !o->no_git_needed && !o->task) {
                log_line(LOG_ERROR, "%s is not in a git repository; --skip-git-repo-check goes on "
                                    "all the same", w->places.cwd);
                return AGENT_FAILED;
        }
        l->root = w->places.root;
        l->cwd = w->places.cwd;
        return AGENT_DONE;
}

static enum agent_status start_all(struct loop *l, struct opened *w)
{
        struct client_target target = { .transport = CLIENT_STDIO };
        int channel, fd;

        l->signals = open_signals();
        channel = l->o->task ? fcntl(l->o->channel, F_DUPFD_CLOEXEC, 3) : way_proxy(l->o, &w->url);
        if (channel < 0) {
                log_errno(LOG_ERROR, channel == -1 ? errno : -channel, "start airlock-proxy");
                return AGENT_UNREACHABLE;
        }
        if (l->o->task) {
                close(l->o->channel);
                unsetenv("AIRLOCK_LOOP");
        }
        model_open(&l->model, &w->url, channel);
        model_open(&l->judge.model, &w->url, channel);
        l->judge.on = !l->o->no_assess;
        fd = way_exec(l->o);
        if (fd < 0) {
                log_errno(LOG_ERROR, -fd, "start airlock-exec");
                return AGENT_NO_EXEC;
        }
        if (l->o->exec_fd >= 0)
                close(l->o->exec_fd);
        target.in_fd = target.out_fd = fd;
        client_open(&l->client, &target);
        l->has_hands = true;
        return AGENT_DONE;
}

static enum agent_status run(struct loop *l)
{
        struct opened w = { .save = -1 };
        enum agent_status status = open_all(l, &w);

        if (!status)
                status = start_all(l, &w);
        if (status)
                return status;
        seal();
        l->start_ms = l->now_ms = now_ms();
        if (l->o->timeout_s)
                l->end_ms = l->start_ms + UINT64_C(1000) * l->o->timeout_s;
        if (!hands_open(l) && !l->stop) {
                log_line(LOG_ERROR, "the exec-server does not answer: %s", l->client.why);
                return AGENT_NO_EXEC;
        }
        brief(l, &w.resumed);
        status = turn_run(l);
        hands_end(l);
        judge_end(l);
        journal_totals(l);
        save_answer(l, w.last_message);
        save(l, w.save);
        client_close(&l->client);
        model_close(&l->model);
        return status;
}

int main(int argc, char **argv)
{
        static struct loop_options o;
        struct loop *l = &the_loop;
        bool color;
        int r;

        confine_relro();
        if (patch_is_name(argv[0]))
                return patch_main(argc, argv);
        if (argc && !strcmp(argv[0], "exec-client"))
                return client_main(argc, argv);
        log_role("agent");
        r = loop_options(&o, argc, argv);
        if (r)
                return r > 0 ? AGENT_DONE : -r;
        color = o.color == LOOP_COLOR_ALWAYS ||
                (o.color == LOOP_COLOR_AUTO && isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
        l->o = &o;
        if (o.task)
                fcntl(o.events_fd, F_SETFD, FD_CLOEXEC);
        events_open(&l->events, o.task ? o.events_fd : o.json ? STDOUT_FILENO : -1,
                    o.task || !o.json, color, o.quiet);
        return (int)run(l);
}
