/* secrets/secret_io.c - whole files in, whole files out. */
#include "secrets/secret_io.h"

#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static bool is_standard(const char *path)
{
        return !path || !strcmp(path, "-");
}

size_t secret_read(const char *path, void *buf, size_t cap, const char *too_long)
{
        const char *name = is_standard(path) ? "stdin" : path;
        AUTO_CLOSE int fd = is_standard(path) ? dup(STDIN_FILENO)
                                              : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n = fd < 0 ? -errno : read_full(fd, buf, cap);
        ssize_t more = 0;
        char byte = 0;

        if (n == (ssize_t)cap)
                more = read_full(fd, &byte, 1);
        if (n < 0 || more < 0)
                die_errno(STATUS_SPEC, (int)-(n < 0 ? n : more), "%s", name);
        if (more)
                die(STATUS_SPEC, "%s: %s", name, too_long);
        return (size_t)n;
}

bool secret_to_terminal(const char *path)
{
        return !path && isatty(STDOUT_FILENO);
}

/* Beside @path under a name of its own, then renamed over it: never half a file. */
static int replace(const char *path, const void *buf, size_t len, unsigned mode)
{
        char beside[PATH_MAX];
        struct wr w = wr_of(beside, sizeof(beside) - 1);
        int r;

        wr_fmt(&w, "%s.%u.part", path, (unsigned)getpid());
        if (w.full)
                return -ENAMETOOLONG;
        wr_cstr(&w);
        AUTO_CLOSE int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

        if (fd < 0)
                return -errno;
        r = write_full(fd, buf, len);
        if (!r && fsync(fd) < 0 && errno != EINVAL)
                r = -errno;
        if (!r && rename(beside, path) < 0)
                r = -errno;
        if (r)
                unlink(beside);
        return r;
}

static int write_new(const char *path, const void *buf, size_t len, unsigned mode)
{
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        int r;

        if (fd < 0)
                return -errno;
        r = write_full(fd, buf, len);
        if (!r && fsync(fd) < 0 && errno != EINVAL)
                r = -errno;
        if (r)
                unlink(path);
        return r;
}

/* A device, a FIFO, or what a link names: there is nothing to rename over. */
static int write_through(const char *path, const void *buf, size_t len)
{
        AUTO_CLOSE int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY);
        int r = fd < 0 ? -errno : write_full(fd, buf, len);

        if (r && fd >= 0 && ftruncate(fd, 0) < 0)
                return r; /* not a file: nothing of it stays there */
        return r;
}

void secret_write(const char *path, const void *buf, size_t len, unsigned mode, bool only_new)
{
        struct stat st;
        int r;

        if (is_standard(path))
                r = write_full(STDOUT_FILENO, buf, len);
        else if (only_new)
                r = write_new(path, buf, len, mode);
        else if (!lstat(path, &st) && !S_ISREG(st.st_mode))
                r = write_through(path, buf, len);
        else
                r = replace(path, buf, len, mode);
        if (r == -EEXIST && only_new)
                die(STATUS_OUTPUT, "%s exists, and a key is never overwritten", path);
        if (r)
                die_errno(STATUS_OUTPUT, -r, "write %s", is_standard(path) ? "stdout" : path);
}

void secret_random(void *buf, size_t len)
{
        char *at = buf;

        while (len) {
                ssize_t n = getrandom(at, len, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        die_errno(STATUS_AGAIN, errno, "get random numbers");
                at += n;
                len -= (size_t)n;
        }
}
