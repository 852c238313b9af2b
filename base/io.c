/* base/io.c - whole reads, whole writes, whole files. */
#include "base/io.h"

#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int write_full(int fd, const void *buf, size_t len)
{
        const char *p = buf;

        while (len) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

ssize_t read_full(int fd, void *buf, size_t cap)
{
        char *p = buf;
        size_t len = 0;

        while (len < cap) {
                ssize_t n = read(fd, p + len, cap - len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (!n)
                        break;
                len += (size_t)n;
        }
        return (ssize_t)len;
}

ssize_t copy_inside(int from, off_t *at, int to, size_t len)
{
        ssize_t n;

        do
                n = copy_file_range(from, at, to, NULL, len, 0);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
                return n;
        return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM ||
                               errno == EBADF ? -EXDEV : -errno;
}

ssize_t read_file(int dirfd, const char *path, char *buf, size_t cap)
{
        AUTO_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read_full(fd, buf, cap);
        if (n < 0)
                return n;
        if ((size_t)n == cap)
                return -EFBIG;
        buf[n] = '\0';
        return n;
}

static int fill_file(int dirfd, const char *name, const void *buf, size_t len)
{
        int r;

        /* A new file: what stands there may be another's FIFO or link. */
        if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
                return -errno;
        AUTO_CLOSE int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

        if (fd < 0)
                return -errno;
        r = write_full(fd, buf, len);
        if (r < 0)
                return r;
        return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

int write_file(int dirfd, const char *name, const void *buf, size_t len)
{
        char beside[NAME_MAX + 1];
        struct wr w = wr_of(beside, sizeof(beside) - 1);
        int r;

        wr_fmt(&w, ".%s.part", name);
        if (w.full)
                return -ENAMETOOLONG;
        r = fill_file(dirfd, wr_cstr(&w), buf, len);
        if (!r && renameat(dirfd, beside, dirfd, name) < 0)
                r = -errno;
        if (r < 0)
                unlinkat(dirfd, beside, 0);
        return r;
}

int seal_file(int fd)
{
        const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

        return fcntl(fd, F_ADD_SEALS, all) < 0 ? -errno : 0;
}

int sealed_file(const char *name, const void *buf, size_t len)
{
        AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int r = fd < 0 ? -errno : write_full(fd, buf, len);

        if (!r && lseek(fd, 0, SEEK_SET) < 0)
                r = -errno;
        if (!r)
                r = seal_file(fd);
        return r ? r : fd_take(&fd);
}

int make_dirs(const char *path, unsigned mode)
{
        char copy[PATH_MAX];
        size_t len = strlen(path);

        if (len >= sizeof(copy))
                return -ENAMETOOLONG;
        memcpy(copy, path, len + 1);
        for (char *p = copy + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        if (mkdir(copy, mode) < 0) {
                struct stat st;

                if (errno != EEXIST)
                        return -errno;
                if (stat(copy, &st) < 0)
                        return -errno;
                if (!S_ISDIR(st.st_mode))
                        return -ENOTDIR;
        }
        return 0;
}
