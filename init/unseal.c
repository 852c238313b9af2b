/* init/unseal.c - starts the session's parent, and takes its word on what was found. */
#include "init/unseal.h"

#include "base/environ.h"
#include "base/io.h"
#include "base/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define KEY_FD_ENV "AIRLOCK_KEY_FD"
#define LIST_MAX (64 * 1024)
#define WORDS 320

bool unseal_wanted(const struct spec *s)
{
        return s->secrets.sealed;
}

/* Names joined by commas; what does not fit makes the task fail, not the list shorter. */
static void put_names(struct wr *w, const struct spec_list *names)
{
        for (size_t i = 0; i < names->count; i++)
                wr_fmt(w, "%s%s", i ? "," : "", names->items[i]);
}

static bool lists(const struct wr *w, const char *name, size_t len)
{
        for (size_t at = 0; at < w->len;) {
                const char *comma = memchr(w->buf + at, ',', w->len - at);
                size_t n = comma ? (size_t)(comma - w->buf) - at : w->len - at;

                if (n == len && !memcmp(w->buf + at, name, len))
                        return true;
                at += n + 1;
        }
        return false;
}

/* The names in ${NAME} and ${base64:TEXT:NAME} of one template. */
static void put_references(struct wr *w, const char *value)
{
        for (const char *at = value; (at = strstr(at, "${"));) {
                const char *end = strchr(at, '}');
                const char *name = at + 2;

                if (!end)
                        return;
                for (const char *c = name; c < end; c++) {
                        if (*c == ':')
                                name = c + 1;
                }
                if (!lists(w, name, (size_t)(end - name)))
                        wr_fmt(w, "%s%.*s", w->len ? "," : "", (int)(end - name), name);
                at = end;
        }
}

/* What rules inject: the proxy alone gets these. */
static void put_injected(struct wr *w, const struct spec *s)
{
        for (size_t i = 0; i < s->network.rule_count; i++) {
                if (s->network.rules[i].inject_value)
                        put_references(w, s->network.rules[i].inject_value);
        }
}

struct words {
        const char *v[WORDS + 1];
        size_t n;
        char numbers[1024];
        size_t used;
};

static void word(struct words *a, const char *s)
{
        if (a->n == WORDS)
                die(STATUS_PROVISION, "airlock-unseal: over %u words", WORDS);
        a->v[a->n++] = s;
}

static void option(struct words *a, const char *name, uint64_t value)
{
        struct wr w = wr_of(a->numbers + a->used, sizeof(a->numbers) - a->used - 1);

        wr_u64(&w, value);
        word(a, name);
        word(a, wr_cstr(&w));
        a->used += w.len + 1;
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

static void put_spec(struct words *a, const struct spec *s)
{
        static const char on_leak[][8] = { "fail", "remove", "warn" };
        static LARGE_BUFFER char names[LIST_MAX], injected[LIST_MAX];
        struct wr n = wr_of(names, sizeof(names) - 1);
        struct wr i = wr_of(injected, sizeof(injected) - 1);

        word(a, "--sealed");
        word(a, s->secrets.sealed);
        put_names(&n, &s->secrets.names);
        if (n.len) {
                word(a, "--names");
                word(a, wr_cstr(&n));
        }
        if (s->secrets.sha256) {
                word(a, "--sha256");
                word(a, s->secrets.sha256);
        }
        put_injected(&i, s);
        if (i.len) {
                word(a, "--inject");
                word(a, wr_cstr(&i));
                word(a, "--withhold");
                word(a, i.buf);
        }
        word(a, "--on-leak");
        word(a, on_leak[s->secrets.on_leak]);
        for (size_t k = 0; k < s->secrets.allow_leak.count; k++) {
                word(a, "--allow-leak");
                word(a, s->secrets.allow_leak.items[k]);
        }
        if (n.full || i.full)
                die(STATUS_SPEC, "secrets: over 64 KiB of names");
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
                return STATUS_OK;
        case STATUS_LEAK:
                return task_fail(t, STATUS_LEAK, "setup left a secret where the agent could read "
                                 "it (events.ndjson, \"leak\"): %s", text);
        case STATUS_AGAIN:
        case STATUS_SPEC:
                return task_fail(t, (enum status)code, "secrets: %s", text);
        default:
                return task_fail(t, STATUS_SETUP, "airlock-unseal ended before its time: %s", text);
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

enum watch_end unseal_watch(struct task *t, const struct watch *session, int *wait_status,
                            enum status *status)
{
        static LARGE_BUFFER struct words a;
        AUTO_CLOSE int placeholders = memfd_create("placeholders", MFD_CLOEXEC);
        AUTO_CLOSE int channel = -1;
        char line[96];
        struct wr l = wr_of(line, sizeof(line) - 1);
        struct watch w = *session;
        size_t variables = t->env.count;
        enum watch_end end;
        int ends[2], exit_status = 0;

        *status = STATUS_OK;
        a.n = a.used = 0;
        if (placeholders < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
                *status = task_fail(t, STATUS_AGAIN, "airlock-unseal: %s", strerror(errno));
                return WATCH_NO_START;
        }
        AUTO_CLOSE int control = ends[0];
        AUTO_CLOSE int theirs = ends[1];
        if (t->egress.proxy && egress_channel(t, CHANNEL_SECRETS, &channel) < 0) {
                *status = task_fail(t, STATUS_LOCK, "airlock-unseal: no channel to airlock-proxy");
                return WATCH_NO_START;
        }
        word(&a, "airlock-unseal");
        put_spec(&a, &t->spec);
        option(&a, "--control", (uint64_t)theirs);
        option(&a, "--env", (uint64_t)placeholders);
        option(&a, "--journal", (uint64_t)t->journal.fd);
        option(&a, "--journal-start-ms", t->journal.start_ms);
        if (channel >= 0)
                option(&a, "--proxy", (uint64_t)channel);
        wr_fmt(&l, "%s/setup.line", t->state);
        word(&a, "--line-file");
        word(&a, wr_cstr(&l));
        word(&a, "--");
        for (size_t i = 0; session->argv[i]; i++)
                word(&a, session->argv[i]);
        a.v[a.n] = NULL;

        w.what = "airlock-unseal";
        w.argv = (char *const *)(uintptr_t)a.v;
        w.program = t->programs[PROGRAM_UNSEAL];
        w.in = STDIN_FILENO;
        w.control = control;
        w.keep[0] = theirs;
        w.keep[1] = placeholders;
        w.keep[2] = t->journal.fd;
        w.keep[3] = channel > 0 ? channel : 0;
        w.keep[4] = key_descriptor();
        lend_key(&t->env);
        end = watch(t, &w, &exit_status);
        t->env.vars[t->env.count = variables] = NULL;
        environ_wipe(environ, ENVIRON_KEY);
        if (w.keep[4])
                close(w.keep[4]);
        give_up_stdin();
        *wait_status = t->session_status;
        if (end != WATCH_EXITED)
                return end;
        *status = verdict(t, exit_status);
        if (!*status)
                *status = take_placeholders(t, placeholders);
        return end;
}
