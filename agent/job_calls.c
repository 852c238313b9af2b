/* agent/job_calls.c - process/start, read, write, closeStdin, resize, signal, terminate. */
#include "base/base64.h"
#include "agent/cage.h"
#include "agent/dispatch.h"
#include "agent/env_policy.h"
#include "agent/job.h"
#include "agent/journal.h"
#include "agent/keeper.h"
#include "agent/uri.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define ARGS_MAX 65536
#define ROWS 24
#define COLUMNS 80
#define DEFAULT_PATH "/usr/local/bin:/bin:/usr/bin"

static struct env environment LARGE_BUFFER;
static char *arguments[ARGS_MAX + 1] LARGE_BUFFER;
static struct grants grants LARGE_BUFFER;

/* What process/start asks for, decoded. */
struct start {
        struct value id, argv, env, policy, arg0, sandbox;
        bool tty, pipe_stdin;
        char cwd[URI_PATH_MAX];
};

static bool is_uuid(const struct value *v)
{
        if (v->type != VALUE_STRING || v->len != 36)
                return false;
        for (size_t i = 0; i < 36; i++) {
                bool dash = i == 8 || i == 13 || i == 18 || i == 23;

                if (dash ? v->at[i] != '-' : !strchr("0123456789abcdefABCDEF", v->at[i]))
                        return false;
        }
        return true;
}

static void check_metadata(struct params *p)
{
        struct value m = params_object_or_null(p, "metadata"), thread = value_get(&m, "threadId");

        if (thread.type != VALUE_ABSENT && thread.type != VALUE_NULL && !is_uuid(&thread))
                params_refuse(p, "threadId is no UUID");
}

/* Extras that change what runs: what we do not do is not passed over in silence. */
static void check_extras(struct params *p)
{
        static const char *const objects[] = { "managedNetwork", "networkProxy", "shellSnapshot" };
        struct value list = value_get(p->v, "credentialProviders");

        if (params_bool_or(p, "enforceManagedNetwork", false))
                params_refuse(p, "enforceManagedNetwork is not supported by this server");
        for (size_t i = 0; i < COUNT(objects); i++)
                if (params_object_or_null(p, objects[i]).type == VALUE_OBJECT)
                        params_refuse(p, "%s is not supported by this server", objects[i]);
        if (list.type != VALUE_ABSENT && list.type != VALUE_NULL && value_count(&list))
                params_refuse(p, "credentialProviders is not supported by this server");
}

static void decode_start(struct params *p, struct start *s)
{
        struct value_iter i;
        struct value item;

        s->id = params_string(p, "processId");
        s->argv = params_array(p, "argv");
        params_path(p, "cwd", s->cwd);
        s->env = params_object(p, "env");
        s->tty = params_bool(p, "tty");
        s->pipe_stdin = params_bool_or(p, "pipeStdin", false);
        s->arg0 = params_optional(p, "arg0");
        s->policy = params_object_or_null(p, "envPolicy");
        s->sandbox = params_object_or_null(p, "sandbox");
        check_metadata(p);
        check_extras(p);
        i = value_items(&s->argv);
        while (value_next(&i, NULL, &item))
                if (item.type != VALUE_STRING)
                        params_refuse(p, "invalid type: %s, expected a string",
                                      value_type_str(item.type));
        if (!p->bad && !value_count(&s->argv))
                params_refuse(p, "argv must not be empty");
}

/* The string into @text, with its NUL. False: there is a NUL in it. */
static bool take_string(char **at, const struct value *v, char **text)
{
        size_t n = value_string(v, *text);

        *at = *text;
        (*text)[n] = '\0';
        *text += n + 1;
        return !memchr(*at, '\0', n);
}

/* 0, or an errno. *@nul: a NUL where none can be. */
static int fill_arguments(const struct start *s, char *text, const char **file, bool *nul)
{
        struct value_iter i = value_items(&s->argv);
        struct value item;
        size_t n = 0;

        while (value_next(&i, NULL, &item)) {
                if (n == ARGS_MAX)
                        return E2BIG;
                *nul |= !take_string(&arguments[n++], &item, &text);
        }
        arguments[n] = NULL;
        *file = arguments[0];
        if (s->arg0.type == VALUE_STRING)
                *nul |= !take_string(&arguments[0], &s->arg0, &text);
        return 0;
}

/* The child's ends are in @l, ours in the job. */
static int open_pty(struct job *j, struct launch *l)
{
        AUTO_CLOSE int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        struct winsize size = { .ws_row = ROWS, .ws_col = COLUMNS };
        int unlock = 0, slave;

        if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
            ioctl(master, TIOCSWINSZ, &size) < 0)
                return -errno;
        slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (slave < 0)
                return -errno;
        j->in = fcntl(master, F_DUPFD_CLOEXEC, 3);
        j->out = fd_take(&master);
        l->in = slave;
        l->out = slave;
        l->err = slave;
        return j->in < 0 ? -EMFILE : 0;
}

static int open_pipe(int *ours, int *theirs, bool we_read)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *ours = fds[we_read ? 0 : 1];
        *theirs = fds[we_read ? 1 : 0];
        fcntl(*ours, F_SETFL, O_NONBLOCK);
        return 0;
}

static int open_pipes(struct job *j, struct launch *l)
{
        int r = open_pipe(&j->out, &l->out, true);

        if (!r)
                r = open_pipe(&j->err, &l->err, true);
        if (!r && j->pipe_stdin)
                r = open_pipe(&j->in, &l->in, false);
        return r;
}

static void close_launch(const struct job *j, const struct launch *l)
{
        if (l->in >= 0 && l->in != j->server->null_fd)
                close(l->in);
        if (l->out >= 0 && l->out != l->in)
                close(l->out);
        if (l->err >= 0 && l->err != l->in)
                close(l->err);
}

static int launch(struct job *j, struct launch *l)
{
        int r = j->tty ? open_pty(j, l) : open_pipes(j, l);

        if (!r) {
                r = keeper_start(l);
                j->keeper = r < 0 ? -1 : r;
        }
        if (r >= 0)
                r = job_watch_keeper(j);
        close_launch(j, l);
        return r;
}

static void start_failed(struct call *call, struct job *j, int err)
{
        journal_end(j, err);
        job_free(j);
        conn_errno(call->conn, call->id, call->id_len, RPC_INTERNAL, err);
}

/* Every byte of the message is enough for all of its strings. */
static void run(struct call *call, struct job *j, struct start *s, const struct grants *g)
{
        struct conn *c = call->conn;
        struct launch l = { .argv = arguments, .envp = environment.list, .cwd = s->cwd,
                            .in = c->server->null_fd, .out = -1, .err = -1, .tty = s->tty,
                            .grants = g };
        char *text = take_memory(s->argv.len + s->arg0.len + 2);
        bool nul = false;
        int r = fill_arguments(s, text, &l.file, &nul);

        l.path = env_value(environment.list, "PATH");
        if (!l.path)
                l.path = env_value(c->server->environment, "PATH");
        if (!l.path)
                l.path = DEFAULT_PATH;
        if (nul) {
                job_free(j);
                conn_error(c, call->id, call->id_len, RPC_INTERNAL,
                           "nul byte found in provided data");
        } else if (r) {
                start_failed(call, j, r);
        } else {
                journal_begin(j, arguments, s->cwd);
                r = launch(j, &l);
                if (r < 0) {
                        start_failed(call, j, -r);
                } else {
                        j->start = conn_asker(c, call->id, call->id_len);
                        c->owed++;
                }
        }
        free(text);
}

static bool build_environment(struct call *call, struct start *s, bool *nul)
{
        struct value none = { .type = VALUE_ABSENT };
        const struct value *policy = s->policy.type == VALUE_OBJECT ? &s->policy : &none;
        size_t cap = 2 * (s->env.len + (policy->type == VALUE_OBJECT ? policy->len : 0)) + 4096;

        for (char *const *e = call->conn->server->environment; *e; e++)
                cap += strlen(*e) + 2;
        environment.text = take_memory(3 * cap);
        environment.cap = 3 * cap;
        return env_build(&environment, call->p, call->conn->server->environment, policy, &s->env,
                         nul);
}

/* With a network, and no token between, it could be our client: then nothing would bind it. */
static bool may_come_back(const struct server *s, struct wr *why)
{
        bool token = s->auth.auth != AUTH_NONE && (!s->key_path || access(s->key_path, R_OK) < 0);

        if (!grants.network || grants.everything || !s->on_network || token)
                return false;
        wr_str(why, "it has a network, and could become a client of this server without any: the "
                    "server has to ask for a token (--ws-token-sha256)");
        return true;
}

static bool decode_sandbox(struct call *call, const struct start *s, bool *refused)
{
        char why[512];
        struct wr w = wr_of(why, sizeof(why));
        struct grant_places places = { getenv("TMPDIR") };

        *refused = false;
        if (s->sandbox.type != VALUE_OBJECT)
                return false;
        if (!grants_parse(&grants, &s->sandbox, &places, &w) || !cage_settle(&grants, &w)) {
                params_refuse(call->p, "%.*s", (int)w.len, why);
                return true;
        }
        if (!call->p->bad && (!cage_possible(&grants, &w) || may_come_back(call->conn->server, &w))) {
                conn_error(call->conn, call->id, call->id_len, RPC_INTERNAL,
                           "the sandbox can't be enforced here: %.*s", (int)w.len, why);
                *refused = true;
        }
        return true;
}

static void start(struct call *call)
{
        struct conn *c = call->conn;
        static struct start s LARGE_BUFFER;
        bool nul = false, sandboxed, refused, fits;
        struct job *j;
        char *id;
        size_t len;

        decode_start(call->p, &s);
        fits = build_environment(call, &s, &nul);
        sandboxed = decode_sandbox(call, &s, &refused);
        if (refused || call_refused(call, "process/start")) {
                free(environment.text);
                return;
        }
        id = take_memory(s.id.len + 1);
        len = value_string(&s.id, id);
        if (job_find(c->session, id, len)) {
                conn_error(c, call->id, call->id_len, RPC_INVALID, "process %.*s already exists",
                           (int)len, id);
        } else if (!fits) {
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, E2BIG);
        } else if (nul) {
                conn_error(c, call->id, call->id_len, RPC_INTERNAL,
                           "nul byte found in provided data");
        } else if (!(j = job_open(c->session, id, len))) {
                conn_errno(c, call->id, call->id_len, RPC_INTERNAL, EAGAIN);
        } else {
                j->tty = s.tty;
                j->pipe_stdin = s.pipe_stdin && !s.tty;
                j->sandboxed = sandboxed && (!grants.everything || !grants.network);
                run(call, j, &s, j->sandboxed ? &grants : NULL);
        }
        free(id);
        free(environment.text);
}

/* The job that the parameter names; NULL: none. */
static struct job *named(struct call *call, const struct value *id)
{
        char *text = take_memory(id->len + 1);
        size_t len = value_string(id, text);
        struct job *j = job_find(call->conn->session, text, len);

        free(text);
        return j;
}

static void unknown(struct call *call, const struct value *id, const char *fmt)
{
        char text[1024];
        size_t n = id->len <= sizeof(text) ? value_string(id, text) : 0;

        conn_error(call->conn, call->id, call->id_len, RPC_INVALID,
                   fmt ? "process id %.*s is starting" : "unknown process id %.*s", (int)n, text);
}

static void read_output(struct call *call)
{
        struct conn *c = call->conn;
        struct value id = params_string(call->p, "processId");
        struct waiter w = { .after_seq = params_u64_or(call->p, "afterSeq", 0),
                            .max_bytes = params_u64_or(call->p, "maxBytes", UINT64_MAX) };
        uint64_t wait_ms = params_u64_or(call->p, "waitMs", 0);
        struct job *j;

        if (call_refused(call, "process/read"))
                return;
        j = named(call, &id);
        if (!j || j->state == JOB_STARTING) {
                unknown(call, &id, j ? "starting" : NULL);
                return;
        }
        if (!wait_ms || job_has_news(j, w.after_seq)) {
                job_answer_read(j, c, call->id, call->id_len, w.after_seq, w.max_bytes);
                return;
        }
        w.deadline_ms = wait_ms < UINT64_MAX / 2 ? c->server->now_ms + wait_ms : UINT64_MAX - 1;
        w.asker = conn_asker(c, call->id, call->id_len);
        if (!job_wait(j, w)) {
                asker_free(&w.asker);
                conn_error(c, call->id, call->id_len, RPC_INTERNAL, "too many requests wait");
        }
}

static void say_status(struct call *call, const char *status)
{
        buf_fmt(conn_answer(call->conn, call->id, call->id_len), "{\"status\":\"%s\"}", status);
        conn_answered(call->conn);
}

static uint64_t hash_of(const struct value *v)
{
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < v->len; i++)
                h = (h ^ (uint8_t)v->at[i]) * UINT64_C(0x100000001b3);
        return h;
}

static size_t write_ids_known(const struct job *j)
{
        return j->write_id_count < JOB_WRITE_IDS ? j->write_id_count : JOB_WRITE_IDS;
}

/* Was this write delivered before? */
static bool is_repeated(const struct job *j, uint64_t write_id)
{
        for (size_t i = 0; i < write_ids_known(j); i++)
                if (j->write_ids[i] == write_id)
                        return true;
        return false;
}

static void remember(struct job *j, uint64_t write_id)
{
        size_t known = write_ids_known(j);

        if (j->write_id_count < JOB_WRITE_IDS && !(j->write_id_count & (j->write_id_count - 1))) {
                size_t room = j->write_id_count ? 2 * j->write_id_count : 1;
                uint64_t *more = take_memory(room * sizeof(*more));

                memcpy(more, j->write_ids ? j->write_ids : more, known * sizeof(*more));
                free(j->write_ids);
                j->write_ids = more;
        }
        j->write_ids[j->write_id_count++ % JOB_WRITE_IDS] = write_id;
}

static void deliver(struct call *call, struct job *j, uint64_t write_id, const char *bytes,
                    size_t len)
{
        struct conn *c = call->conn;
        struct waiter w = { .write = true };

        remember(j, write_id);
        job_input(j, bytes, len);
        if (j->queue.len <= JOB_QUEUE_SOFT) {
                say_status(call, "accepted");
                return;
        }
        w.place = j->queued - JOB_QUEUE_SOFT;
        w.asker = conn_asker(c, call->id, call->id_len);
        if (!job_wait(j, w)) {
                asker_free(&w.asker);
                say_status(call, "accepted"); /* it is queued, after all */
        }
}

/* What is answered at once; NULL: it has to be delivered. */
static const char *at_once(const struct job *j, uint64_t write_id)
{
        if (!j)
                return "unknownProcess";
        if (j->state == JOB_STARTING)
                return "starting";
        if (is_repeated(j, write_id))
                return "accepted";
        if ((!j->tty && !j->pipe_stdin) || (j->in_ends && j->state == JOB_ALIVE))
                return "stdinClosed";
        return j->in < 0 ? "accepted" : NULL; /* by nobody: it has exited, or let go of its input */
}

/* The text is decoded where it stands: the message is ours. */
static void write_input(struct call *call)
{
        struct conn *c = call->conn;
        struct value id = params_string(call->p, "processId");
        struct value chunk = params_string(call->p, "chunk");
        struct value write_id = params_string(call->p, "writeId");
        uint64_t h = hash_of(&write_id);
        char *text = (char *)(uintptr_t)chunk.at;
        size_t len = 0, at;
        const char *status;
        struct job *j;

        if (!call->p->bad && !write_id.len)
                params_refuse(call->p, "writeId must not be empty");
        if (!call->p->bad) {
                /* Base64 has no letter that JSON must escape, but "\/" may stand for '/'. */
                size_t n = value_string(&chunk, text);

                if (!base64_decode_padded(text, n, text, &len, &at))
                        params_refuse(call->p, "invalid base64 at offset %zu", at);
        }
        if (call_refused(call, "process/write"))
                return;
        j = named(call, &id);
        status = at_once(j, h);
        if (status)
                say_status(call, status);
        else if (j->queue.len + len > JOB_QUEUE_HARD)
                conn_error(c, call->id, call->id_len, RPC_INTERNAL,
                           "the process does not read: %zu bytes wait already", j->queue.len);
        else
                deliver(call, j, h, text, len);
}

/* An extension: Codex's server can't end a command's input. Twice is as good as once. */
static void close_stdin(struct call *call)
{
        struct value id = params_string(call->p, "processId");
        struct job *j;

        if (call_refused(call, "process/closeStdin"))
                return;
        j = named(call, &id);
        if (!j) {
                say_status(call, "unknownProcess");
        } else if (j->state == JOB_STARTING) {
                say_status(call, "starting");
        } else if (!j->pipe_stdin || j->tty) {
                say_status(call, "stdinClosed");
        } else {
                job_input_ends(j);
                say_status(call, "accepted");
        }
}

/* An extension too: the kernel tells the foreground group, by SIGWINCH. */
static void resize(struct call *call)
{
        struct value id = params_string(call->p, "processId");
        uint64_t rows = params_u64(call->p, "rows"), columns = params_u64(call->p, "columns");
        struct winsize size = { .ws_row = (uint16_t)rows, .ws_col = (uint16_t)columns };
        struct job *j;

        if (!call->p->bad && (!rows || rows > UINT16_MAX || !columns || columns > UINT16_MAX))
                params_refuse(call->p, "rows and columns are 1 to 65535");
        if (call_refused(call, "process/resize"))
                return;
        j = named(call, &id);
        if (j && j->tty && j->out >= 0)
                (void)ioctl(j->out, TIOCSWINSZ, &size);
        buf_str(conn_answer(call->conn, call->id, call->id_len), "{}");
        conn_answered(call->conn);
}

static void interrupt(struct call *call)
{
        struct value id = params_string(call->p, "processId");
        struct value which = params_string(call->p, "signal");
        struct job *j;

        if (!call->p->bad && !value_is(&which, "interrupt"))
                params_refuse(call->p, "unknown variant `%.*s`, expected `interrupt`",
                              (int)(which.len < 64 ? which.len : 64), which.at);
        if (call_refused(call, "process/signal"))
                return;
        j = named(call, &id);
        /* On a terminal to the foreground's group, whoever it is. */
        if (j && j->state == JOB_ALIVE && !(j->tty && ioctl(j->out, TIOCSIG, SIGINT) == 0))
                keeper_tell(j->keeper, KEEPER_INTERRUPT);
        buf_str(conn_answer(call->conn, call->id, call->id_len), "{}");
        conn_answered(call->conn);
}

/*
 * What has exited but is held open by others is ended too: they are all of this process. What
 * is closed is left alone, though: a daemon that was started on purpose has let go of its pipes.
 */
static void terminate(struct call *call)
{
        struct value id = params_string(call->p, "processId");
        bool running;
        struct job *j;

        if (call_refused(call, "process/terminate"))
                return;
        j = named(call, &id);
        running = j && (j->state == JOB_ALIVE || j->state == JOB_STARTING);
        if (j && j->state != JOB_CLOSED && j->keeper >= 0) {
                j->killed = true;
                keeper_tell(j->keeper, KEEPER_KILL);
        }
        buf_fmt(conn_answer(call->conn, call->id, call->id_len), "{\"running\":%s}",
                running ? "true" : "false");
        conn_answered(call->conn);
}

void job_call(struct call *call, const char *method)
{
        static const struct {
                char method[20];
                void (*run)(struct call *call);
        } calls[] = {
                { "process/start", start },       { "process/read", read_output },
                { "process/write", write_input }, { "process/signal", interrupt },
                { "process/terminate", terminate }, { "process/closeStdin", close_stdin },
                { "process/resize", resize },
        };

        for (size_t i = 0; i < COUNT(calls); i++)
                if (!strcmp(method, calls[i].method))
                        calls[i].run(call);
}
