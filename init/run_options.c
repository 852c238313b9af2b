/* init/run_options.c - the command line of `airlock run`. */
#include "init/run_options.h"

#include "base/digits.h"
#include "base/log.h"

#include <limits.h>
#include <string.h>

static int usage(const char *why, const char *arg)
{
        log_line(LOG_ERROR, "run: %s%s (try 'airlock run --help')", why, arg);
        return STATUS_USAGE;
}

/* From our own programs alone: nothing to complain about. */
uint64_t run_number(const char *s)
{
        uint64_t n;

        return digits_parse(s, UINT64_MAX, &n) ? n : 0;
}

int run_options_parse(struct run_options *o, int argc, char **argv)
{
        const char *fd = NULL;
        const char *mask = NULL;

        *o = (struct run_options){ .spec_fd = -1 };
        for (int i = 1; i < argc; i++) {
                const char **value = NULL;

                if (!strcmp(argv[i], "--box"))
                        value = &o->box;
                else if (!strcmp(argv[i], "--out"))
                        value = &o->out;
                else if (!strcmp(argv[i], "--resume"))
                        value = &o->resume;
                else if (!strcmp(argv[i], "--spec-fd"))
                        value = &fd;
                else if (!strcmp(argv[i], "--programs"))
                        value = &o->programs;
                else if (!strcmp(argv[i], "--inherited-mask"))
                        value = &mask;
                else if (!strcmp(argv[i], "-q") || !strcmp(argv[i], "--quiet"))
                        o->quiet = true;
                else if (argv[i][0] == '-' && argv[i][1])
                        return usage("unknown option ", argv[i]);
                else if (o->spec)
                        return usage("one task at a time; unexpected ", argv[i]);
                else
                        o->spec = argv[i];
                if (!value)
                        continue;
                if (++i == argc)
                        return usage("a directory is missing after ", argv[i - 1]);
                *value = argv[i];
        }
        if (mask)
                o->inherited_mask = run_number(mask);
        if (fd)
                o->spec_fd = (int)run_number(fd);
        if (!o->spec)
                o->spec = "/airlock/task.json";
        return 0;
}

int run_path(const char *path, char *buf)
{
        size_t len = 0;

        if (*path != '/') {
                if (!getcwd(buf, PATH_MAX))
                        return usage("no working directory for ", path);
                len = strlen(buf);
                buf[len++] = '/';
        }
        if (len + strlen(path) >= PATH_MAX)
                return usage("the path is too long: ", path);
        memcpy(buf + len, path, strlen(path) + 1);
        return 0;
}
