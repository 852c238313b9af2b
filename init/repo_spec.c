/* init/repo_spec.c - a child parses, PID 1 takes only what narrows. */
#include "init/repo_spec.h"

#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * The records, each "KEY\0VALUE\0", in any order:
 *   runtime.NAME  env.NAME  setup.script  setup.timeout  setup.auto  maintenance  network
 * and, when the file is wrong, one "error" alone.
 */
#define RECORDS_MAX (SPEC_MAX << 1)

static void put_record(struct wr *w, const char *prefix, const char *name, const char *value)
{
        wr_str(w, prefix);
        wr_bytes(w, name, strlen(name) + 1);
        wr_bytes(w, value, strlen(value) + 1);
}

static void put_number(struct wr *w, const char *key, unsigned n)
{
        char text[16];
        struct wr t = wr_of(text, sizeof(text) - 1);

        wr_u64(&t, n);
        put_record(w, "", key, wr_cstr(&t));
}

static void put_spec(struct wr *w, const struct spec *s)
{
        for (unsigned i = 0; i < RUNTIME_COUNT; i++) {
                if (s->runtimes[i])
                        put_record(w, "runtime.", spec_runtime_name(i), s->runtimes[i]);
        }
        for (size_t i = 0; i < s->env.count; i++)
                put_record(w, "env.", s->env.items[i].name, s->env.items[i].value);
        if (s->setup.script)
                put_record(w, "", "setup.script", s->setup.script);
        put_number(w, "setup.timeout", s->setup.timeout_s);
        if (s->setup.auto_given)
                put_number(w, "setup.auto", s->setup.auto_setup);
        if (s->maintenance.script)
                put_record(w, "", "maintenance", s->maintenance.script);
        put_number(w, "network", s->network.agent);
}

/* One of the variables after the operator's @from that is not a repository's to set? */
static bool names_reserved(const struct spec *s, size_t from, struct spec_error *error)
{
        struct wr e = wr_of(error->text, sizeof(error->text) - 1);

        for (size_t i = from; i < s->env.count; i++) {
                if (!env_is_reserved(s->env.items[i].name))
                        continue;
                wr_fmt(&e, "env.%s: only the operator's spec may set it", s->env.items[i].name);
                wr_cstr(&e);
                return true;
        }
        return false;
}

static NORETURN void child(struct task *t, int fd, struct wr *w, size_t *len)
{
        static const struct confine nobody = { .no_new_privs = true };
        struct spec_error error = { 0 };
        const char *stage;
        size_t operators = t->spec.env.count;
        char *json = mmap(NULL, SPEC_MAX + 1, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        ssize_t n;

        alarm(10);
        if (lock_enter(LOCKED_CLOSED) < 0 || confine_apply(&nobody, &stage) < 0 ||
            json == MAP_FAILED)
                _exit(2);
        n = pread(fd, json, SPEC_MAX + 1, 0);
        if (n < 0)
                _exit(2);
        if (spec_narrow(&t->spec, json, (size_t)n, &error) < 0 ||
            names_reserved(&t->spec, operators, &error)) {
                char text[400];
                struct wr e = wr_of(text, sizeof(text) - 1);

                wr_str(&e, ".airlock.json:");
                if (error.line)
                        wr_fmt(&e, "%u:%u:", error.line, error.column);
                wr_fmt(&e, " %s", error.text);
                put_record(w, "", "error", wr_cstr(&e));
        } else {
                put_spec(w, &t->spec);
        }
        *len = w->full ? 0 : w->len;
        _exit(0);
}

static bool is_name(const char *s)
{
        static const char alpha[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        return n && !s[n] && strchr(alpha, *s);
}

static unsigned number_of(const char *s)
{
        unsigned n = 0;

        for (; *s >= '0' && *s <= '9' && n < 100000000; s++)
                n = n * 10 + (unsigned)(*s - '0');
        return n;
}

static bool take_runtime(struct spec *s, const char *name, const char *value)
{
        for (unsigned i = 0; i < RUNTIME_COUNT; i++) {
                if (strcmp(name, spec_runtime_name(i)) != 0)
                        continue;
                if (!s->runtimes[i])
                        s->runtimes[i] = value;
                return true;
        }
        return false;
}

/* The operator's variables stay as they are; the repository's go before them. */
static bool take_env(struct task *t, const char *name, const char *value)
{
        if (!is_name(name) || env_is_reserved(name))
                return false;
        if (!env_get(&t->env, name))
                env_set(&t->env, name, value);
        return true;
}

static bool take_record(struct task *t, const char *key, const char *value)
{
        struct spec *s = &t->spec;

        if (!strncmp(key, "runtime.", 8))
                return take_runtime(s, key + 8, value);
        if (!strncmp(key, "env.", 4))
                return take_env(t, key + 4, value);
        if (!strcmp(key, "setup.script")) {
                if (!s->setup.script)
                        s->setup.script = value;
        } else if (!strcmp(key, "setup.timeout")) {
                unsigned n = number_of(value);

                if (n && n < s->setup.timeout_s)
                        s->setup.timeout_s = n;
        } else if (!strcmp(key, "setup.auto")) {
                if (!s->setup.auto_given)
                        s->setup.auto_setup = s->setup.auto_given = *value == '1';
        } else if (!strcmp(key, "maintenance")) {
                if (!s->maintenance.script)
                        s->maintenance.script = value;
        } else if (!strcmp(key, "network")) {
                unsigned mode = number_of(value);

                if (mode < (unsigned)s->network.agent)
                        s->network.agent = mode;
        } else {
                return false;
        }
        return true;
}

static enum status take_records(struct task *t, const char *p, size_t len)
{
        const char *end = p + len;

        while (p < end) {
                const char *key = p;
                const char *value = memchr(key, '\0', (size_t)(end - key));

                value = value ? value + 1 : end;
                p = memchr(value, '\0', (size_t)(end - value));
                if (!p)
                        return task_fail(t, STATUS_SPEC, ".airlock.json: torn record");
                p++;
                if (!strcmp(key, "error"))
                        return task_fail(t, STATUS_SPEC, "%s", value);
                if (!take_record(t, key, value))
                        return task_fail(t, STATUS_SPEC, ".airlock.json: unknown record %s", key);
        }
        return STATUS_OK;
}

enum status repo_spec_apply(struct task *t, int fd)
{
        struct stat st;
        size_t *len;
        char *shared;
        int status = 0;
        pid_t pid;

        if (fstat(fd, &st) < 0 || st.st_size > SPEC_MAX)
                return task_fail(t, STATUS_SPEC, ".airlock.json: larger than 1 MiB");
        /* Shared with the child; from its end on only ours, and never unmapped: the spec
         * points into it. */
        shared = mmap(NULL, RECORDS_MAX + sizeof(*len), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
                return task_fail(t, STATUS_PROVISION, ".airlock.json: %s", strerror(errno));
        len = (size_t *)(void *)(shared + RECORDS_MAX);
        pid = _Fork();
        if (!pid) {
                struct wr w = wr_of(shared, RECORDS_MAX);

                child(t, fd, &w, len);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status || !*len || *len > RECORDS_MAX)
                return task_fail(t, STATUS_SPEC, ".airlock.json: its reader failed");
        return take_records(t, shared, *len);
}
