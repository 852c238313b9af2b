/* init/program.c - runs a sibling program. */
#include "init/program.h"

#include "base/log.h"
#include "base/wr.h"
#include "init/sig.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

extern char **environ;

/* Our own folder: by /proc, or without it by the path we were started with. */
static size_t own_folder(char *buf, size_t cap)
{
        ssize_t n = readlink("/proc/self/exe", buf, cap - 1);
        const char *path = (const char *)getauxval(AT_EXECFN);
        const char *slash;

        if (n <= 0 && path) {
                n = (ssize_t)strnlen(path, cap - 1);
                memcpy(buf, path, (size_t)n);
        }
        buf[n > 0 ? n : 0] = '\0';
        slash = strrchr(buf, '/');
        return slash ? (size_t)(slash - buf) : 0;
}

int program_exec(const char *name, char **argv)
{
        static const char *const beside[] = { "/../libexec/airlock/", "/" };
        char folder[PATH_MAX];
        char path[PATH_MAX + 64];
        size_t len = own_folder(folder, sizeof(folder));

        sig_mask(sig_inherited);
        for (size_t i = 0; i < COUNT(beside); i++) {
                struct wr w = wr_of(path, sizeof(path) - 1);

                wr_bytes(&w, folder, len);
                wr_fmt(&w, "%s%s", beside[i], name);
                execve(wr_cstr(&w), argv, environ);
        }
        log_line(LOG_ERROR, "%s is neither in ../libexec/airlock nor beside airlock in %.*s", name,
                 (int)len, folder);
        return STATUS_NOT_FOUND;
}
