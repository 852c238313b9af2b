/* init/program.c - runs a sibling program. */
#include "init/program.h"

#include "base/log.h"
#include "base/wr.h"
#include "init/sig.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

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

static const char *const beside[] = { "/../libexec/airlock/", "/", "/../../bin/" };

static const char *join(char *path, size_t cap, const char *folder, size_t len, size_t i,
                        const char *name)
{
        struct wr w = wr_of(path, cap - 1);

        wr_bytes(&w, folder, len);
        wr_fmt(&w, "%s%s", beside[i], name);
        return wr_cstr(&w);
}

static void say_missing(const char *name, const char *folder, size_t len)
{
        log_line(LOG_ERROR, "%s is neither in ../libexec/airlock nor beside us in %.*s", name,
                 (int)len, folder);
}

int program_exec(const char *name, char **argv, uint64_t mask)
{
        char folder[PATH_MAX];
        char path[PATH_MAX + 64];
        size_t len = own_folder(folder, sizeof(folder));

        sig_mask(mask);
        for (size_t i = 0; i < COUNT(beside); i++)
                execve(join(path, sizeof(path), folder, len, i, name), argv, environ);
        say_missing(name, folder, len);
        return STATUS_NOT_FOUND;
}

int program_open(const char *name)
{
        char folder[PATH_MAX];
        char path[PATH_MAX + 64];
        size_t len = own_folder(folder, sizeof(folder));

        for (size_t i = 0; i < COUNT(beside); i++) {
                int fd = open(join(path, sizeof(path), folder, len, i, name),
                              O_PATH | O_CLOEXEC);

                if (fd >= 0)
                        return fd;
        }
        say_missing(name, folder, len);
        return -1;
}

bool program_open_all(int fds[static PROGRAM_COUNT])
{
        static const char names[PROGRAM_COUNT][16] = {
                [PROGRAM_SPEC] = "airlock-spec",     [PROGRAM_LOCK] = "airlock-lock",
                [PROGRAM_PROXY] = "airlock-proxy",   [PROGRAM_NOTIFY] = "airlock-notify",
                [PROGRAM_TRUST] = "airlock-trust",   [PROGRAM_UNSEAL] = "airlock-unseal",
                [PROGRAM_CACHE] = "airlock-cache",   [PROGRAM_AUTO] = "airlock-auto",
                [PROGRAM_AGENT] = "airlock-agent",   [PROGRAM_EXEC] = "airlock-exec",
                [PROGRAM_PUSH] = "airlock-push",
        };
        bool all = true;

        for (size_t i = 0; i < PROGRAM_COUNT; i++) {
                fds[i] = program_open(names[i]);
                all &= fds[i] >= 0;
        }
        return all;
}
