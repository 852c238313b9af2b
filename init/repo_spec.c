/* init/repo_spec.c - a child parses, PID 1 takes only what narrows. */
#include "init/repo_spec.h"

#include "base/digits.h"
#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DENY_MAX 4096

static bool is_name(const char *s)
{
        static const char alpha[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
        size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

        return n && !s[n] && strchr(alpha, *s);
}

static unsigned number_of(const char *s)
{
        uint64_t n;

        return digits_parse(s, UINT32_MAX, &n) ? (unsigned)n : 0;
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

static bool take_deny(struct spec *s, const char *pattern)
{
        static LARGE_BUFFER const char *all[DENY_MAX];
        struct spec_list *deny = &s->network.deny;

        if (deny->count == DENY_MAX)
                return false;
        if (deny->items != all && deny->count)
                memcpy(all, deny->items, deny->count * sizeof(*all));
        all[deny->count] = pattern;
        *deny = (struct spec_list){ all, deny->count + 1 };
        return true;
}

static bool take_record(struct task *t, const char *key, const char *value)
{
        struct spec *s = &t->spec;

        if (!strncmp(key, "runtime.", 8))
                return take_runtime(s, key + 8, value);
        if (!strncmp(key, "env.", 4))
                return take_env(t, key + 4, value);
        if (!strcmp(key, "deny"))
                return take_deny(s, value);
        if (!strcmp(key, "setup.script")) {
                if (!s->setup.script)
                        s->setup.script = value;
        } else if (!strcmp(key, "setup.timeout")) {
                unsigned n = number_of(value);

                if (n && n < s->setup.timeout_s)
                        s->setup.timeout_s = n;
        } else if (!strcmp(key, "setup.auto")) {
                if (!s->setup.auto_given)
                        s->setup.auto_setup = *value == '1';
                s->setup.auto_given = true;
        } else if (!strcmp(key, "maintenance")) {
                if (!s->maintenance.script)
                        s->maintenance.script = value;
        } else if (!strcmp(key, "network")) {
                unsigned mode = number_of(value);

                if (mode >= (unsigned)s->network.agent)
                        return true;
                /* Off, but for the model that the operator gave the agent. */
                s->network.model_only = !mode && !s->agent.builtin && s->model.base_url;
                s->network.agent = s->network.model_only ? NET_LIMITED : mode;
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

/* What the child wrote, copied: nobody can change it any more. Never unmapped: the spec
 * points into it. */
static enum status take_file(struct task *t, int fd)
{
        struct stat st;
        char *own;
        ssize_t n;

        if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > REPO_SPEC_RECORDS)
                return task_fail(t, STATUS_SPEC, ".airlock.json: its reader failed");
        own = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        n = own == MAP_FAILED ? -1 : pread(fd, own, (size_t)st.st_size, 0);
        if (n != st.st_size)
                return task_fail(t, STATUS_PROVISION, ".airlock.json: can't be taken over");
        return take_records(t, own, (size_t)n);
}

enum status repo_spec_apply(struct task *t, int fd)
{
        static const struct confine nobody = { .no_new_privs = true };
        char number[16];
        struct wr w = wr_of(number, sizeof(number) - 1);
        char *argv[] = { (char[]){ "airlock-spec" }, (char[]){ "narrow" }, number, NULL };
        AUTO_CLOSE int records = memfd_create("records", MFD_CLOEXEC);
        struct watch run = { .what = ".airlock.json's reader", .argv = argv, .in = fd,
                             .out = records, .program = t->programs[PROGRAM_SPEC], .keep = { t->spec_fd },
                             .new_session = true, .timeout_s = 15, .lock = LOCKED_CLOSED,
                             .confine = &nobody, .env = &t->env };
        struct stat st;
        int status = 0;

        if (fstat(fd, &st) < 0 || st.st_size > SPEC_MAX)
                return task_fail(t, STATUS_SPEC, ".airlock.json: larger than 1 MiB");
        wr_u64(&w, (uint64_t)t->spec_fd);
        wr_cstr(&w);
        if (records < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return task_fail(t, STATUS_PROVISION, ".airlock.json: %s", strerror(errno));
        if (watch(t, &run, &status) != WATCH_EXITED || status)
                return task_fail(t, STATUS_SPEC, ".airlock.json: its reader failed");
        return take_file(t, records);
}
