/*
 * netfilter/lock_main.c - airlock-lock: puts a process under a lock, and becomes the
 * command.
 *
 *   airlock-lock --enter LOCK [OPTIONS] -- CMD…   for PID 1, in the child it forked
 *
 * A failure is one record on --tell, or one line where nobody listens.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "netfilter/enter.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct options {
        struct enter enter;
        int tell;
        char **argv; /* the command's */
};

static NORETURN void usage(const char *what, const char *text)
{
        die(STATUS_USAGE, "%s%s", what, text);
}

static uint64_t number(const char *what, const char *text, unsigned base, uint64_t max)
{
        uint64_t n = 0;

        for (const char *p = text; *p || p == text; p++) {
                unsigned digit = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0')
                               : *p >= 'a' && *p <= 'f' ? (unsigned)(*p - 'a') + 10 : 99;

                if (digit >= base || n > (max - digit) / base)
                        usage(what, text);
                n = n * base + digit;
        }
        return n;
}

static unsigned decimal(const char *what, const char *text, unsigned max)
{
        return (unsigned)number(what, text, 10, max);
}

/* A descriptor that the command must not inherit. */
static int descriptor(const char *what, const char *text)
{
        int fd = (int)decimal(what, text, INT32_MAX);

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                usage(what, text);
        return fd;
}

static void set_option(struct options *o, const char *name, const char *value)
{
        struct enter *e = &o->enter;

        if (!strcmp(name, "--enter")) {
                e->lock = lock_parse(value);
                if (e->lock == LOCK_COUNT)
                        usage("no such lock: ", value);
        } else if (!strcmp(name, "--uid")) {
                e->uid = decimal("--uid: not an id: ", value, UINT32_MAX - 1);
                e->set_ids = true;
        } else if (!strcmp(name, "--gid")) {
                e->gid = decimal("--gid: not an id: ", value, UINT32_MAX - 1);
                e->set_ids = true;
        } else if (!strcmp(name, "--keep-caps")) {
                e->keep_caps = number("--keep-caps: not hexadecimal: ", value, 16, UINT64_MAX);
                e->set_caps = true;
        } else if (!strcmp(name, "--chdir")) {
                e->chdir = value;
        } else if (!strcmp(name, "--tell")) {
                o->tell = descriptor("--tell: not a descriptor: ", value);
        } else if (!strcmp(name, "--exec-fd")) {
                e->exec_fd = descriptor("--exec-fd: not a descriptor: ", value);
        } else {
                usage("unknown option: ", name);
        }
}

static void parse(struct options *o, char **argv)
{
        while (*argv && strcmp(*argv, "--") != 0) {
                if (!argv[1])
                        usage("a value is missing after ", *argv);
                set_option(o, argv[0], argv[1]);
                argv += 2;
        }
        if (!*argv || !argv[1])
                usage("no command", "");
        o->argv = argv + 1;
}

static int fail(const struct options *o, int err, const char *stage, enum status status)
{
        struct enter_failure f = { .err = err };

        if (o->tell < 0) {
                log_errno(LOG_ERROR, err, "%s",
                          status == STATUS_LOCK ? stage : o->argv[0]);
                return (int)status;
        }
        memcpy(f.stage, stage, strnlen(stage, sizeof(f.stage) - 1));
        return write_full(o->tell, &f, sizeof(f)) < 0 ? STATUS_LOCK : (int)status;
}

int main(int argc, char **argv)
{
        struct options o = { .enter = { .exec_fd = -1, .helper = -1, .inside.proxy = -1 }, .tell = -1 };
        const char *stage = "start";
        int r;

        confine_relro();
        log_role("lock");
        if (argc < 2)
                usage("no command", "");
        parse(&o, argv + 1);
        r = enter_lock(&o.enter, &stage);
        if (r < 0)
                return fail(&o, -r, stage, STATUS_LOCK);
        r = enter_exec(&o.enter, o.argv);
        return fail(&o, -r, "exec", r == -ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_EXEC);
}
