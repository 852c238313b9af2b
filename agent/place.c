/* agent/place.c - from a path to a descriptor, under the rules of a sandbox or none. */
#include "agent/files.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define PROC_MAGIC 0x9fa0

/*
 * /proc/PID/mem is a file too, and /proc/self is us: by it one client could read what another
 * one's session is called, or write to code that no sandbox binds.
 */
static int keep_out_of_memory(int fd)
{
        char path[URI_PATH_MAX];
        struct statfs fs;
        size_t len;
        int r = fstatfs(fd, &fs) < 0 ? -errno : 0;

        if (!r && fs.f_type == PROC_MAGIC) {
                r = path_of_fd(fd, path);
                len = strlen(path);
                if (!r && len > 4 && !strcmp(path + len - 4, "/mem"))
                        r = -EACCES;
        }
        if (r < 0)
                close(fd);
        return r < 0 ? r : fd;
}

bool place_join(char out[URI_PATH_MAX], const char *dir, const char *name)
{
        size_t n = strlen(dir);
        struct wr w = wr_of(out, URI_PATH_MAX);

        wr_fmt(&w, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
        if (w.len == URI_PATH_MAX)
                return false;
        wr_cstr(&w);
        return true;
}

void place_up(char *path)
{
        size_t n = strlen(path);

        while (n > 1 && path[n - 1] == '/')
                n--;
        while (n > 1 && path[n - 1] != '/')
                n--;
        path[n > 1 ? n - 1 : 1] = '\0';
}

static int open_how(int dir, const char *path, int flags, unsigned mode, bool no_links)
{
        struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                                .mode = flags & O_CREAT ? mode : 0,
                                .resolve = no_links ? RESOLVE_NO_SYMLINKS : 0 };
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

        if (fd < 0 && errno == ENOSYS && !no_links)
                fd = openat(dir, path, flags | O_CLOEXEC, mode);
        if (fd < 0)
                return -errno;
        return flags & O_PATH ? (int)fd : keep_out_of_memory((int)fd);
}

static void self_path(char out[32], int fd)
{
        struct wr w = wr_of(out, 31);

        wr_fmt(&w, "/proc/self/fd/%d", fd);
        wr_cstr(&w);
}

int path_of_fd(int fd, char path[URI_PATH_MAX])
{
        char link[32];
        ssize_t n;

        self_path(link, fd);
        n = readlink(link, path, URI_PATH_MAX - 1);
        if (n < 0)
                return -errno;
        path[n] = '\0';
        return path[0] == '/' ? 0 : -EACCES;
}

/* May @name in the directory @dir (NULL: @dir itself) be used so? */
static int judge(const struct grants *g, int dir, const char *name, enum access need)
{
        char path[URI_PATH_MAX + 260];
        size_t len;
        int r = path_of_fd(dir, path);

        if (r < 0)
                return r;
        len = strlen(path);
        if (name) {
                if (len > 1)
                        path[len++] = '/';
                strncpy(path + len, name, 259);
                path[len + 259] = '\0';
        }
        return grants_access(g, path) < need ? -EACCES : 0;
}

int place_open(const struct place *p, int flags, enum access need)
{
        char self[32];
        int r;

        if (!(flags & O_PATH)) /* openat2 is strict */
                flags |= O_NONBLOCK | O_NOCTTY;
        if (!p->grants || p->grants->everything)
                return open_how(AT_FDCWD, p->path, flags, 0, p->no_links);
        AUTO_CLOSE int fd = open_how(AT_FDCWD, p->path, O_PATH, 0, p->no_links);
        if (fd < 0)
                return fd;
        r = judge(p->grants, fd, NULL, need);
        if (r < 0)
                return r;
        if (flags & O_PATH)
                return fd_take(&fd);
        self_path(self, fd);
        r = open(self, flags | O_CLOEXEC);
        return r < 0 ? -errno : keep_out_of_memory(r);
}

int place_parent(const struct place *p, enum access need, char name[256])
{
        char parent[URI_PATH_MAX];
        size_t len = strlen(p->path), n;
        int r;

        while (len > 1 && p->path[len - 1] == '/')
                len--;
        n = len;
        while (n && p->path[n - 1] != '/')
                n--;
        if (len - n == 0 || len - n > 255)
                return len - n ? -ENAMETOOLONG : -EBUSY; /* "/" has no name */
        memcpy(name, p->path + n, len - n);
        name[len - n] = '\0';
        if (!strcmp(name, ".") || !strcmp(name, ".."))
                return -EINVAL;
        memcpy(parent, p->path, n);
        parent[n] = '\0';
        AUTO_CLOSE int dir = open_how(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0, p->no_links);
        if (dir < 0)
                return dir;
        r = p->grants && !p->grants->everything ? judge(p->grants, dir, name, need) : 0;
        return r < 0 ? r : fd_take(&dir);
}

int place_create(const struct place *p)
{
        char name[256];
        int fd;

        if (!p->grants || p->grants->everything)
                return open_how(AT_FDCWD, p->path,
                                O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY, 0666,
                                p->no_links);
        fd = place_open(p, O_WRONLY | O_TRUNC, ACCESS_WRITE);
        if (fd != -ENOENT)
                return fd;
        AUTO_CLOSE int dir = place_parent(p, ACCESS_WRITE, name);
        if (dir < 0)
                return dir;
        /* A link that leads nowhere is not followed here: EEXIST. */
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                    0666);
        return fd < 0 ? -errno : fd;
}
