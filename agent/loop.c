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
#define ENVIRONMENTS_FILE (256U << 10)
#define WAIT_MAX_MS 60000
#define CHECK_S 60

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
        for (size_t i = 0; i < l->places.count; i++)
                if (l->places.all[i].client)
                        ms = (uint64_t)client_wait_ms(l->places.all[i].client, l->now_ms, (int)ms);
        return (int)ms;
}

/* What was asked for since the last time goes out first; then what is to be watched. */
static unsigned watch_places(struct loop *l, struct pollfd *p, unsigned counts[])
{
        unsigned n = 0;

        for (size_t i = 0; i < l->places.count; i++) {
                struct client *c = l->places.all[i].client;

                counts[i] = 0;
                if (!c)
                        continue;
                client_step(c, NULL, 0, l->now_ms);
                counts[i] = client_poll(c, p + n);
                n += counts[i];
        }
        return n;
}

static void step_places(struct loop *l, const struct pollfd *p, const unsigned counts[])
{
        struct client_event e;

        for (size_t i = 0; i < l->places.count; i++) {
                struct client *c = l->places.all[i].client;

                if (!c)
                        continue;
                client_step(c, p, counts[i], l->now_ms);
                p += counts[i];
                while (client_next(c, &e))
                        hands_event(l, c, &e);
        }
}

bool loop_wait(struct loop *l, uint64_t until_ms)
{
        unsigned counts[ENVIRONMENTS_MAX] = { 0 };
        struct pollfd p[3 + CLIENT_POLL * ENVIRONMENTS_MAX] = { { .fd = l->signals, .events = POLLIN },
                                             { .fd = -1 }, { .fd = -1 } };
        unsigned n = watch_places(l, p + 3, counts);

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
        step_places(l, p + 3, counts);
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

/* Does an exec-server elsewhere need sockets of ours, and files to read for its name? */
static bool needs_sockets(const struct environments *e)
{
        for (size_t i = 0; i < e->count; i++)
                if (e->all[i].target.transport == CLIENT_TCP && !e->all[i].target.channel)
                        return true;
        return false;
}

static void seal(const struct loop *l)
{
        struct confine c = { .no_new_privs = true };
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog filters[] = {
                { COUNT(loop_filter), (struct sock_filter *)(uintptr_t)loop_filter },
                { COUNT(loop_remote_filter), (struct sock_filter *)(uintptr_t)loop_remote_filter },
        };
        const char *stage;
        int r;

        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        r = confine_apply(&c, &stage);
        if (r < 0)
                die_errno(STATUS_LOCK, -r, "%s", stage);
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
                    &filters[needs_sockets(&l->places)]) < 0)
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
        struct transcript_head head = { .wire = l->wire, .wire_known = l->wire_known,
                                        .first = l->first };
        struct buf text = { 0 };

        if (fd < 0)
                return;
        memcpy(head.thread, l->thread, sizeof(head.thread));
        strncpy(head.at, l->o->base_url, sizeof(head.at) - 1);
        strncpy(head.model, l->o->model, sizeof(head.model) - 1);
        transcript_put(&text, &head, &l->history);
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

/*
 * Where commands run: a list, in a file or as it is; or CODEX_EXEC_SERVER_URL, or here. In a
 * task the spec alone decides: setup can set variables too.
 */
static enum agent_status read_environments(struct loop *l)
{
        static char json[ENVIRONMENTS_FILE];
        const char *path = l->o->environments;
        const char *url = l->o->task ? NULL : getenv("CODEX_EXEC_SERVER_URL");
        char error[ENVIRONMENTS_ERROR] = "";
        bool given = path && *path == '{';
        ssize_t n = path && !given ? read_file(AT_FDCWD, path, json, sizeof(json)) : 0;
        int r;

        if (n < 0) {
                log_errno(LOG_ERROR, (int)-n, "--environments %s", path);
                return AGENT_USAGE;
        }
        r = path ? environments_parse(&l->places, given ? path : json,
                                      given ? strlen(path) : (size_t)n, getenv("HOME"), error)
                 : environments_from_url(&l->places, url, error);
        if (r < 0)
                log_line(LOG_ERROR, "%s: %s", given ? "--environments" :
                         path ? path : "CODEX_EXEC_SERVER_URL", error);
        return r < 0 ? AGENT_USAGE : AGENT_DONE;
}

static bool read_resumed(const struct loop_options *o, struct buf *text)
{
        AUTO_CLOSE int fd = o->resume && !o->task ? open(o->resume, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                                                  : -1;

        if (!o->resume)
                return true;
        if (!o->task && fd < 0) {
                log_errno(LOG_ERROR, errno, "--resume %s", o->resume);
                return false;
        }
        return !transcript_read(o->task ? o->resume_fd : fd, o->resume, text);
}

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
        if (!read_resumed(o, &w->resumed))
                return AGENT_USAGE;
        if (open_output("-o", o->last_message, &w->last_message) < 0 ||
            open_output("--save", o->save, &w->save) < 0)
                return AGENT_USAGE;
        if (o->task)
                w->save = o->save_fd;
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
        return read_environments(l);
}

/* Who will start the others' programs, once somebody wants them: after the seal we can't. */
static enum agent_status start_programs(struct loop *l)
{
        for (size_t i = 0; i < l->places.count; i++) {
                struct client_target *t = &l->places.all[i].target;
                int fd;

                if (t->transport != CLIENT_COMMAND)
                        continue;
                fd = way_program(t);
                if (fd < 0) {
                        log_errno(LOG_ERROR, -fd, "start %s", t->argv[0]);
                        return AGENT_NO_EXEC;
                }
                t->transport = CLIENT_STDIO;
                t->in_fd = t->out_fd = fd;
        }
        return AGENT_DONE;
}

/* Our own exec-server, if commands may run here; what is elsewhere waits for its first use. */
static enum agent_status start_local(struct loop *l)
{
        struct environment *v = environments_find(&l->places, "local");
        int fd;

        l->has_hands = l->places.count != 0;
        if (v) {
                fd = way_exec(l->o);
                if (fd < 0) {
                        log_errno(LOG_ERROR, -fd, "start airlock-exec");
                        return AGENT_NO_EXEC;
                }
                v->target.transport = CLIENT_STDIO;
                v->target.in_fd = v->target.out_fd = fd;
                l->is_local = l->places.default_at >= 0 && &l->places.all[l->places.default_at] == v;
        }
        if (l->o->exec_fd >= 0)
                close(l->o->exec_fd);
        return start_programs(l);
}

/* Exec-servers that airlock-proxy connects to, in our place. */
static size_t find_remotes(struct loop *l, struct client_target *remotes[ENVIRONMENTS_MAX])
{
        size_t n = 0;

        for (size_t i = 0; i < l->places.count; i++) {
                struct client_target *t = &l->places.all[i].target;

                if (!l->places.all[i].local && t->transport == CLIENT_TCP &&
                    (l->o->task || t->at.tls))
                        remotes[n++] = t;
        }
        return n;
}

static enum agent_status start_all(struct loop *l, struct opened *w)
{
        struct client_target *remotes[ENVIRONMENTS_MAX];
        struct way way = { .model = &w->url, .key_env = l->o->key_env,
                           .ca_bundle = l->o->ca_bundle, .upstream = l->o->upstream,
                           .remotes = (const struct client_target *const *)remotes,
                           .remote_count = find_remotes(l, remotes) };
        int channel;

        l->signals = open_signals();
        channel = l->o->task ? fcntl(l->o->channel, F_DUPFD_CLOEXEC, 3) : way_proxy(&way);
        if (channel < 0) {
                log_errno(LOG_ERROR, channel == -1 ? errno : -channel, "start airlock-proxy");
                return AGENT_UNREACHABLE;
        }
        if (l->o->task) {
                close(l->o->channel);
                unsetenv("AIRLOCK_LOOP");
        }
        for (size_t i = 0; i < way.remote_count; i++)
                remotes[i]->channel = channel;
        model_open(&l->model, &w->url, channel);
        model_open(&l->judge.model, &w->url, channel);
        l->judge.on = !l->o->no_assess;
        return start_local(l);
}

static enum agent_status run(struct loop *l)
{
        struct opened w = { .save = -1 };
        struct buf why = { 0 };
        enum agent_status status = open_all(l, &w);

        if (!status)
                status = start_all(l, &w);
        if (status)
                return status;
        seal(l);
        l->start_ms = l->now_ms = now_ms();
        if (l->o->timeout_s)
                l->end_ms = l->start_ms + UINT64_C(1000) * l->o->timeout_s;
        if (l->is_local && !hands_open(l, NULL, &why) && !l->stop) {
                log_line(LOG_ERROR, "%.*s", (int)why.len, buf_at(&why));
                return AGENT_NO_EXEC;
        }
        brief(l, &w.resumed);
        status = turn_run(l);
        hands_end(l);
        judge_end(l);
        journal_totals(l);
        save_answer(l, w.last_message);
        save(l, w.save);
        environments_close(&l->places);
        model_close(&l->model);
        return status;
}

/*
 * What `airlock run --resume` asks before anything else: is stdin a conversation? @name is what
 * it is called. Nothing but that can be done here.
 */
static int check_conversation(const char *name)
{
        struct buf text = { 0 };

        alarm(CHECK_S);
        seal(&the_loop);
        return transcript_read(STDIN_FILENO, name, &text) < 0 ? AGENT_USAGE : AGENT_DONE;
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
        if (argc == 2 && !strcmp(argv[0], "check-conversation"))
                return check_conversation(argv[1]);
        log_role("agent");
        r = loop_options(&o, argc, argv);
        if (r)
                return r > 0 ? AGENT_DONE : -r;
        color = o.color == LOOP_COLOR_ALWAYS ||
                (o.color == LOOP_COLOR_AUTO && isatty(STDERR_FILENO) && !getenv("NO_COLOR"));
        l->o = &o;
        for (size_t i = 0; o.task && i < 3; i++)
                fcntl((int[]){ o.events_fd, o.save_fd, o.resume_fd }[i], F_SETFD, FD_CLOEXEC);
        events_open(&l->events, o.task ? o.events_fd : o.json ? STDOUT_FILENO : -1,
                    o.task || !o.json, color, o.quiet);
        return (int)run(l);
}
