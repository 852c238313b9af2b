/*
 * init/box_main.c - the main of airlock-box: `airlock run` outside a container.
 *
 * The spec is read here, while the host's paths are still there, and handed to
 * airlock-run as a descriptor; that then is PID 1 of the box, as it would be of any container.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/box.h"
#include "init/program.h"
#include "init/run_options.h"
#include "init/sig.h"
#include "init/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

/* A copy of the spec that outlives its path; open across the exec. */
static int copy_spec(const char *path)
{
        static char text[SPEC_MAX + 1];
        AUTO_CLOSE int in = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
                                              : dup(STDIN_FILENO);
        int copy = memfd_create("task.json", 0);
        ssize_t n = in < 0 ? -errno : read_full(in, text, sizeof(text));
        int r = n < 0 ? (int)n : copy < 0 ? -errno : write_full(copy, text, (size_t)n);

        if (r < 0)
                die_errno(STATUS_SPEC, -r, "%s", path);
        lseek(copy, 0, SEEK_SET);
        return copy;
}

/* The spec is checked before anything is made for it. */
static void check_spec(int fd, const char *name, struct spec *spec)
{
        const char *missing;
        int status = spec_load_fd(fd, name, spec);

        if (status)
                _exit(status);
        missing = spec_unsupported(spec);
        if (missing)
                die(STATUS_SPEC, "%s: %s: not in this build", name, missing);
        lseek(fd, 0, SEEK_SET);
}

/* /dev/null as stdin when the spec came from there: the agent gets nothing half-read. */
static void replace_stdin(void)
{
        AUTO_CLOSE int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        if (null >= 0)
                dup2(null, STDIN_FILENO);
}

static NORETURN void become_airlock(int airlock, const struct run_options *o, const char *out,
                                    int spec_fd)
{
        char number[16];
        struct wr w = wr_of(number, sizeof(number) - 1);
        char mask[24];
        struct wr m = wr_of(mask, sizeof(mask) - 1);
        const char *argv[] = { "airlock", "--inherited-mask", mask, "--spec-fd", number, "--out",
                               out, o->spec, o->quiet ? "--quiet" : NULL, NULL };

        wr_u64(&w, (uint64_t)spec_fd);
        wr_cstr(&w);
        wr_u64(&m, o->inherited_mask);
        wr_cstr(&m);
        fexecve(airlock, (char *const *)(uintptr_t)argv, environ);
        die_errno(STATUS_PROVISION, errno, "start airlock in the box");
}

int main(int argc, char **argv)
{
        static char root[PATH_MAX];
        static char out[PATH_MAX];
        struct box box = { .root = root, .binds = { out }, .bind_count = 1 };
        struct run_options o;
        struct spec spec;
        int status, airlock, spec_fd, r;

        confine_relro();
        status = run_options_parse(&o, argc, argv);
        if (status)
                return status;
        sig_inherited = o.inherited_mask;
        airlock = program_open("airlock-run");
        if (airlock < 0)
                return STATUS_NOT_FOUND;
        spec_fd = copy_spec(o.spec);
        check_spec(spec_fd, o.spec, &spec);
        status = run_path(o.out ? o.out : spec.output.dir, out);
        if (!status)
                status = run_path(o.box ? o.box : "/", root);
        if (status)
                return status;
        r = make_dirs(out, 0755);
        if (r < 0)
                die_errno(STATUS_OUTPUT, -r, "output.dir %s", out);
        if (!strcmp(o.spec, "-"))
                replace_stdin();
        box_enter(&box);
        become_airlock(airlock, &o, out, spec_fd);
}
