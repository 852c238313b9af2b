/* init/unseal.c - starts the session's parent, and takes its word on what was found. */
#include "init/unseal.h"

#include "base/environ.h"
#include "base/io.h"
#include "base/msg.h"
#include "init/spawn.h"
#include "init/task.h"
#include "init/words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define KEY_FD_ENV "AIRLOCK_KEY_FD"
#define LIST_MAX (64 * 1024)
#define WORDS 8192
#define OPEN_S 30 /* over the key's own limit, where it gives up with a better line */
#define END_S 10

bool unseal_wanted(const struct spec *s)
{
        return s->secrets.sealed;
}

/* AIRLOCK_KEY_FD: the descriptor that the engine, or runc --preserve-fds, left for us. */
static int key_descriptor(void)
{
        const char *text = getenv(KEY_FD_ENV);
        int n = 0;

        for (; text && *text >= '0' && *text <= '9' && n < 65536; text++)
                n = n * 10 + (*text - '0');
        return text && !*text && n > 2 && fcntl(n, F_GETFD) >= 0 ? n : 0;
}

static void put_list(struct words *a, const char *name, const struct spec_list *list)
{
        for (size_t i = 0; i < list->count; i++) {
                words_add(a, name);
                words_add(a, list->items[i]);
        }
}

static void put_spec(struct words *a, const struct spec *s)
{
        static const char on_leak[][8] = { "fail", "remove", "warn" };

        words_add(a, "--sealed");
        words_add(a, s->secrets.sealed);
        if (s->secrets.sha256) {
                words_add(a, "--sha256");
                words_add(a, s->secrets.sha256);
        }
        for (size_t i = 0; i < s->network.rule_count; i++) {
                if (s->network.rules[i].inject_value) {
                        words_add(a, "--template");
                        words_add(a, s->network.rules[i].inject_value);
                }
        }
        if (s->network.upstream_auth) {
                words_add(a, "--template");
                words_add(a, s->network.upstream_auth);
        }
        words_add(a, "--on-leak");
        words_add(a, on_leak[s->secrets.on_leak]);
        if (s->secrets.key_may_stay)
                words_add(a, "--key-leftover-ok");
        if (s->secrets.unlink)
                words_add(a, "--unlink-sealed");
        put_list(a, "--name", &s->secrets.names);
        put_list(a, "--allow-leak", &s->secrets.allow_leak);
}

/*
 * The key's variable goes to the child as the kernel gave it to us, without a copy; then
 * it is overwritten here.
 */
static void lend_key(struct env *env)
{
        for (char **e = environ; *e; e++) {
                if ((!strncmp(*e, ENVIRON_KEY "=", sizeof(ENVIRON_KEY)) ||
                     !strncmp(*e, KEY_FD_ENV "=", sizeof(KEY_FD_ENV))) && env->count < ENV_VARS)
                        env->vars[env->count++] = *e;
        }
        env->vars[env->count] = NULL;
}

/* What setup's leftovers, or a leak, did to the task; the last line of its log says why. */
static enum status verdict(struct task *t, int wait_status)
{
        char text[400];
        struct wr w = wr_of(text, sizeof(text) - 1);
        int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;

        tail_copy(&t->tail, 1, &w);
        while (w.len && w.buf[w.len - 1] == '\n')
                w.len--;
        wr_cstr(&w);
        switch (code) {
        case STATUS_OK:
        case UNSEAL_FOUND:
                t->unseal.found = code == UNSEAL_FOUND;
                return STATUS_OK;
        case STATUS_LEAK:
                return task_fail(t, STATUS_LEAK, "setup left a secret where the agent could read "
                                 "it (events.ndjson, \"leak\"): %s", text);
        case STATUS_SPEC:
                return task_fail(t, STATUS_SPEC, "secrets: %s", text);
        case STATUS_AGAIN:
                return task_fail(t, STATUS_AGAIN, "secrets: %s", text);
        default:
                return task_fail(t, STATUS_AGAIN, "secrets: airlock-unseal ended before its time: "
                                 "%s", text);
        }
}

static enum status take_placeholders(struct task *t, int fd)
{
        static LARGE_BUFFER char text[LIST_MAX];
        ssize_t n = pread(fd, text, sizeof(text), 0);

        if (n < 0 || (size_t)n == sizeof(text) || env_add_lines(&t->env, text, (size_t)n))
                return task_fail(t, STATUS_SETUP, "the placeholders of injected secrets");
        return STATUS_OK;
}

/* Nothing but the key's reader touches stdin; from here on nobody does. */
static void give_up_stdin(void)
{
        AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null >= 0)
                dup2(null, STDIN_FILENO);
}

/* --- open -------------------------------------------------------------------------------- */

/* A locked session needs what airlock-lock needs, so its parent has that until it started it. */
static const struct confine *rights(const struct task *t)
{
        return t->setup_lock == LOCKED_NOT ? &t->setup_confine : NULL;
}

static enum status open_file(struct task *t, int theirs, int placeholders, int channel)
{
        static LARGE_BUFFER const char *v[WORDS];
        struct words a = { .v = v, .cap = WORDS };
        char line[96];
        struct wr l = wr_of(line, sizeof(line) - 1);
        size_t variables = t->env.count;
        int key = key_descriptor();
        struct watch w = {
                .what = "airlock-unseal", .argv = (char *const *)(uintptr_t)v,
                .program = t->programs[PROGRAM_UNSEAL], .in = STDIN_FILENO, .out = -1,
                .keep = { theirs, placeholders, t->journal.fd, channel > 0 ? channel : 0, key },
                .new_session = true, .timeout_s = t->spec.secrets.key_timeout_s + OPEN_S, .confine = rights(t), .env = &t->env,
                .unseal = true,
        };
        enum watch_end end;
        int status = 0;

        words_add(&a, "airlock-unseal");
        put_spec(&a, &t->spec);
        words_number(&a, "--control", (uint64_t)theirs);
        words_number(&a, "--env", (uint64_t)placeholders);
        words_number(&a, "--journal", (uint64_t)t->journal.fd);
        words_number(&a, "--key-timeout-ms", t->spec.secrets.key_timeout_s * UINT64_C(1000));
        words_number(&a, "--journal-start-ms", t->journal.start_ms);
        if (channel >= 0)
                words_number(&a, "--proxy", (uint64_t)channel);
        wr_fmt(&l, "%s/setup.line", t->state);
        words_add(&a, "--line-file");
        words_add(&a, wr_cstr(&l));
        if (t->spec.cache.dir)
                words_add(&a, "--hash");
        lend_key(&t->env);
        end = watch(t, &w, &status);
        t->env.vars[t->env.count = variables] = NULL;
        environ_wipe(environ, ENVIRON_KEY);
        if (key)
                close(key);
        give_up_stdin();
        if (end == WATCH_EXITED && t->unseal.open)
                return take_placeholders(t, placeholders);
        if (end == WATCH_STOPPED)
                return task_fail(t, STATUS_KILLED, "stopped from outside while the secrets were "
                                 "opened");
        if (end == WATCH_EXITED && status)
                return verdict(t, status);
        return task_fail(t, STATUS_AGAIN, "secrets: airlock-unseal did not open them");
}

enum status unseal_start(struct task *t)
{
        int placeholders;
        AUTO_CLOSE int channel = -1;
        int ends[2];

        if (!unseal_wanted(&t->spec))
                return STATUS_OK;
        placeholders = t->unseal.placeholders = memfd_create("placeholders", MFD_CLOEXEC);
        if (placeholders < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return task_fail(t, STATUS_AGAIN, "airlock-unseal: %s", strerror(errno));
        t->unseal.control = ends[0];
        AUTO_CLOSE int theirs = ends[1];
        if (egress_channel(t, CHANNEL_SECRETS, &channel) < 0)
                return task_fail(t, STATUS_LOCK, "airlock-unseal: no channel to airlock-proxy");
        return open_file(t, theirs, placeholders, channel);
}

void unseal_reaped(struct task *t, pid_t pid, int wait_status)
{
        if (!pid || pid != t->unseal.pid)
                return;
        t->unseal.pid = 0;
        t->unseal.status = wait_status;
}

/* --- the session --------------------------------------------------------------------------- */

static int lend(struct task *t, int fd, uint32_t number)
{
        struct msg m = { .type = MSG_LEND, .kind = number };

        return msg_send(t->unseal.control, &m, fd);
}

/* The descriptors of a locked session, and their numbers in it as airlock-lock's words. */
static int lend_lock(struct task *t, const struct watch *w, int told, struct lock_words *l,
                     size_t *count)
{
        struct egress_way way;
        int r = egress_way(t, w->lock, w->confine, &way);
        AUTO_CLOSE int channel = way.channel;
        AUTO_CLOSE int notify = way.notify;
        struct spawn s = { .lock = w->lock, .confine = w->confine, .door = t->egress.door,
                           .own_uid = way.own_uid,
                           .channel = channel < 0 ? -1 : LEND_FIRST,
                           .notify = notify < 0 ? -1 : LEND_FIRST + 1 };

        *count = spawn_lock_words(&s, LEND_FIRST + 2, l);
        if (!r)
                r = lend(t, t->programs[PROGRAM_LOCK], LEND_PROGRAM);
        if (!r && channel >= 0)
                r = lend(t, channel, LEND_FIRST);
        if (!r && notify >= 0)
                r = lend(t, notify, LEND_FIRST + 1);
        return r ? r : lend(t, told, LEND_FIRST + 2);
}

static int write_string(int fd, const char *s)
{
        return write_full(fd, s, strlen(s) + 1);
}

/* MSG_RUN, as base/msg.h has it. */
static int order(struct task *t, const struct watch *w, int told)
{
        struct msg m = { .type = MSG_RUN, .kind = unseal_may_run_again(t) };
        AUTO_CLOSE int fd = memfd_create("session", MFD_CLOEXEC);
        struct lock_words l = { .v = { NULL } };
        size_t n = 0;
        int r = fd < 0 ? -errno : 0;

        if (!r && w->lock != LOCKED_NOT)
                r = lend_lock(t, w, told, &l, &n);
        if (!r)
                r = write_string(fd, w->cwd);
        for (size_t i = 0; i < n && !r; i++)
                r = write_string(fd, l.v[i]);
        for (char *const *a = w->argv; *a && !r; a++)
                r = write_string(fd, *a);
        if (!r)
                r = write_string(fd, "");
        for (char *const *e = w->env->vars; *e && !r; e++)
                r = write_string(fd, *e);
        return r ? r : msg_send(t->unseal.control, &m, fd);
}

enum watch_end unseal_watch(struct task *t, const struct watch *session, int *wait_status,
                            enum status *status)
{
        AUTO_CLOSE int told = memfd_create("told", MFD_CLOEXEC);
        struct spawn_failure f = { 0 };
        struct watch w = *session;
        enum watch_end end;
        int exit_status = 0;
        /* Its death meanwhile shows here, too; watch() takes its last words. */
        int r = order(t, session, told);

        *status = STATUS_OK;
        if (r < 0 && r != -EPIPE) {
                *status = task_fail(t, STATUS_AGAIN, "secrets: tell airlock-unseal what to run: %s",
                                    strerror(-r));
                return WATCH_NO_START;
        }
        w.what = "airlock-unseal";
        w.unseal = true;
        end = watch(t, &w, &exit_status);
        *wait_status = t->unseal.session_status;
        if (end != WATCH_EXITED)
                return end;
        if (pread(told, &f, sizeof(f), 0) == sizeof(f)) {
                f.stage[sizeof(f.stage) - 1] = '\0';
                *wait_status = watch_no_start(t, session, f.err, f.stage) << 8;
                return WATCH_NO_START;
        }
        if (!t->unseal.pid)
                *status = verdict(t, exit_status);
        return end;
}

bool unseal_may_run_again(const struct task *t)
{
        return t->cache.hit && (t->spec.setup.script || t->auto_found) &&
               t->spec.setup.on_failure == FAILURE_FAIL;
}

enum status unseal_end(struct task *t)
{
        struct msg scan = { .type = MSG_SCAN };
        struct watch w = { .what = "airlock-unseal", .unseal = true, .timeout_s = END_S };
        int status = 0;

        if (!unseal_wanted(&t->spec) || msg_send(t->unseal.control, &scan, -1) < 0 ||
            (watch(t, &w, &status) == WATCH_EXITED && status))
                return unseal_wanted(&t->spec) ? verdict(t, status ? status : t->unseal.status)
                                               : STATUS_OK;
        return STATUS_OK;
}
