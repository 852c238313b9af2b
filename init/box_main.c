/*
 * init/box_main.c - the main of airlock-box: `airlock run` outside a container.
 *
 * The spec was read by airlock-spec, while the host's paths were still there; here it only
 * says which directories stay the host's. airlock-run then is PID 1 of the box, as it would
 * be of any container.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/box.h"
#include "init/program.h"
#include "init/run_options.h"
#include "init/sig.h"
#include "init/spec_image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* The programs, opened while the host's paths are there; they stay open across the exec. */
static const char *pass_programs(char *text, size_t cap)
{
        struct wr w = wr_of(text, cap - 1);
        int fds[PROGRAM_COUNT];

        if (!program_open_all(fds))
                _exit(STATUS_NOT_FOUND);
        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                fcntl(fds[i], F_SETFD, 0);
                wr_fmt(&w, "%s%d", i ? "," : "", fds[i]);
        }
        return wr_cstr(&w);
}

static NORETURN void become_airlock(int airlock, const struct run_options *o, const char *out,
                                    const char *programs)
{
        char number[16];
        struct wr w = wr_of(number, sizeof(number) - 1);
        char mask[24];
        struct wr m = wr_of(mask, sizeof(mask) - 1);
        const char *argv[] = { "airlock", "--inherited-mask", mask, "--spec-fd", number,
                               "--programs", programs, "--out", out, o->spec, o->quiet ? "--quiet" : NULL, NULL };

        wr_u64(&w, (uint64_t)o->spec_fd);
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
        static char cache[PATH_MAX];
        struct box box = { .root = root, .binds = { out, cache }, .bind_count = 1 };
        struct run_options o;
        struct spec spec;
        char list[96];
        const char *programs;
        int status, airlock, r;

        confine_relro();
        status = run_options_parse(&o, argc, argv);
        if (status)
                return status;
        sig_inherited = o.inherited_mask;
        airlock = program_open("airlock-run");
        if (airlock < 0)
                return STATUS_NOT_FOUND;
        r = spec_image_open(o.spec_fd, &spec);
        if (r < 0)
                die_errno(STATUS_PROVISION, -r, "the spec did not arrive (start `airlock run`)");
        status = run_path(o.out ? o.out : spec.output.dir, out);
        if (!status)
                status = run_path(o.box ? o.box : "/", root);
        if (status)
                return status;
        r = make_dirs(out, 0755);
        if (r < 0)
                die_errno(STATUS_OUTPUT, -r, "output.dir %s", out);
        if (spec.cache.dir) {
                status = run_path(spec.cache.dir, cache);
                if (status)
                        return status;
                r = make_dirs(cache, 0755);
                if (r < 0)
                        die_errno(STATUS_PROVISION, -r, "cache.dir %s", cache);
                box.bind_count = 2;
        }
        programs = pass_programs(list, sizeof(list));
        box_enter(&box);
        become_airlock(airlock, &o, out, programs);
}
