/* init/check.c - `airlock check SPEC`: is it right, and what would it do? */
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/command.h"
#include "init/lock.h"
#include "init/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static void say_error(const char *path, const struct spec_error *e)
{
        char line[1024];
        struct wr w = wr_of(line, sizeof(line));

        wr_plain(&w, path, strnlen(path, 512));
        wr_fmt(&w, ":%u:%u: %s\n", e->line, e->column, e->text);
        if (write_full(STDERR_FILENO, line, w.len) < 0)
                return; /* nobody to tell */
}

static int load_fd(int fd, const char *path, struct spec *spec)
{
        size_t cap = SPEC_MAX + 1; /* one more byte tells that it is too long */
        char *text = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct spec_error e;
        ssize_t n;
        int r;

        if (text == MAP_FAILED)
                return -ENOMEM;
        n = read_full(fd, text, cap);
        r = n < 0 ? (int)n : spec_open(spec, text, (size_t)n, &e);
        if (n >= 0 && r == -EINVAL)
                say_error(path, &e);
        munmap(text, cap);
        return n >= 0 && r == -EINVAL ? STATUS_SPEC : r;
}

int spec_load(const char *path, struct spec *spec)
{
        bool in = !strcmp(path, "-");
        AUTO_CLOSE int fd = in ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        int r = !in && fd < 0 ? -errno : load_fd(in ? STDIN_FILENO : fd, path, spec);

        if (r < 0) {
                *spec = (struct spec){ .version = 0 };
                log_errno(LOG_ERROR, -r, "%s", path);
                return STATUS_SPEC;
        }
        return r;
}

static void put_plan(struct wr *w, const struct spec *s)
{
        const char *missing = spec_unsupported(s);
        int lock = s->network.agent == NET_OFF ? lock_choose() : LOCKED_NOT;

        wr_fmt(w, "provision  %s%s%s in %s\n", s->repo.url ? s->repo.url : "no repository",
               s->repo.ref ? " at " : "", s->repo.ref ? s->repo.ref : "", s->repo.dir);
        wr_fmt(w, "setup      %s, %u s at most, network %s\n",
               s->setup.script ? "the script" : "nothing", s->setup.timeout_s,
               spec_net_name(s->network.setup));
        wr_str(w, "env       ");
        for (size_t i = 0; i < s->env.count; i++)
                wr_fmt(w, " %s", s->env.items[i].name);
        wr_fmt(w, "\nseal       network %s, lock %s\n", spec_net_name(s->network.agent),
               lock < 0 ? "none holds here" : lock_name((enum lock)lock));
        wr_str(w, "work      ");
        for (size_t i = 0; i < s->agent.command.count; i++) {
                wr_char(w, ' ');
                wr_plain(w, s->agent.command.items[i], strlen(s->agent.command.items[i]));
        }
        wr_fmt(w, "\n           user %s, %u s at most\nreport     %s\n",
               s->agent.user ? s->agent.user : "as started", s->agent.timeout_s, s->output.dir);
        if (missing)
                wr_fmt(w, "not in this build: %s\n", missing);
}

int command_check(int argc, char **argv)
{
        static char plan[16384];
        struct wr w = wr_of(plan, sizeof(plan));
        struct spec spec;
        int r;

        if (argc == 2 && !strcmp(argv[1], "--help"))
                return help_show("check");
        if (argc != 2) {
                log_line(LOG_ERROR, "usage: airlock check SPEC|-");
                return STATUS_USAGE;
        }
        r = spec_load(argv[1], &spec);
        if (r)
                return r;
        put_plan(&w, &spec);
        spec_close(&spec);
        return write_full(STDOUT_FILENO, plan, w.len) < 0 ? STATUS_OUTPUT : STATUS_OK;
}
