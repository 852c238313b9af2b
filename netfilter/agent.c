/* netfilter/agent.c - /proc, process_vm_readv(2), pidfd_getfd(2) and the seccomp listener. */
#include "netfilter/agent.h"

#include "base/io.h"
#include "base/wr.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PIDFD_THREAD O_EXCL /* Linux 6.9 */

static int proc = -1;          /* /proc, open for good */
static int root = -1;          /* our own root directory */
static bool no_vm_calls;       /* the engine refuses process_vm_readv(2) */

int agent_init(void)
{
        proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return proc < 0 || root < 0 ? -errno : 0;
}

void agent_done(struct agent *a)
{
        if (a->memory >= 0)
                close(fd_take(&a->memory));
}

bool agent_waits(const struct agent *a)
{
        return !ioctl(a->listener, (int)SECCOMP_IOCTL_NOTIF_ID_VALID, &a->id);
}

/* "TID/@file" below /proc. @cap is enough for every use here. */
static const char *path_of(const struct agent *a, const char *file, int fd, char *buf, size_t cap)
{
        struct wr w = wr_of(buf, cap - 1);

        wr_u64(&w, (uint64_t)a->tid);
        wr_char(&w, '/');
        wr_str(&w, file);
        if (fd >= 0)
                wr_u64(&w, (uint64_t)fd);
        return wr_cstr(&w);
}

static int open_of(const struct agent *a, const char *file, int fd, int flags)
{
        char path[64];
        int r = openat(proc, path_of(a, file, fd, path, sizeof(path)), flags | O_CLOEXEC);

        return r < 0 ? -errno : r;
}

/* Its memory as a file: opened once for each call, checked once to be still the caller's. */
static int open_memory(struct agent *a)
{
        if (a->memory >= 0)
                return 0;
        a->memory = open_of(a, "mem", -1, O_RDWR);
        if (a->memory < 0)
                return a->memory == -ENOENT ? -ESRCH : -EACCES;
        return agent_waits(a) ? 0 : -ESRCH;
}

/* False: go by the file. The process, not the thread, is what is asked for. */
static bool by_call(long n, size_t len, int *r)
{
        if (n < 0 && (errno == EPERM || errno == ENOSYS)) {
                no_vm_calls = true;
                return false;
        }
        *r = n == (ssize_t)len ? 0 : -EFAULT;
        return true;
}

int agent_read(struct agent *a, uint64_t at, void *buf, size_t len)
{
        struct iovec here = { buf, len }, there = { (void *)at, len };
        int r;

        if (!len)
                return 0;
        if (!no_vm_calls && by_call(process_vm_readv(a->tid, &here, 1, &there, 1, 0), len, &r))
                return r;
        r = open_memory(a);
        if (r < 0)
                return r;
        return pread(a->memory, buf, len, (off_t)at) == (ssize_t)len ? 0 : -EFAULT;
}

int agent_write(struct agent *a, uint64_t at, const void *buf, size_t len)
{
        struct iovec here = { (void *)(uintptr_t)buf, len }, there = { (void *)at, len };
        int r;

        if (!len)
                return 0;
        if (!no_vm_calls && by_call(process_vm_writev(a->tid, &here, 1, &there, 1, 0), len, &r))
                return r;
        r = open_memory(a);
        if (r < 0)
                return r;
        return pwrite(a->memory, buf, len, (off_t)at) == (ssize_t)len ? 0 : -EFAULT;
}

/* The number behind @key in @text, a file of /proc; false: there is no such key. */
static bool number_after(const char *text, const char *key, unsigned base, uint64_t *n)
{
        const char *at = strstr(text, key);

        if (!at)
                return false;
        *n = 0;
        for (at += strlen(key); *at >= '0' && *at < (char)('0' + base); at++)
                *n = *n * base + (uint64_t)(*at - '0');
        return true;
}

/* The process of the thread, for kernels whose descriptors of processes are not of threads. */
static pid_t leader(const struct agent *a)
{
        char text[512];
        AUTO_CLOSE int fd = open_of(a, "status", -1, O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
        uint64_t pid = 0;

        text[n > 0 ? n : 0] = '\0';
        return number_after(text, "\nTgid:\t", 10, &pid) ? (pid_t)pid : -1;
}

int agent_take(const struct agent *a, int fd)
{
        AUTO_CLOSE int process = (int)syscall(SYS_pidfd_open, a->tid, PIDFD_THREAD);
        int r;

        if (process < 0 && errno == EINVAL)
                process = (int)syscall(SYS_pidfd_open, leader(a), 0);
        if (process < 0)
                return -errno;
        r = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
        return r < 0 ? -errno : r;
}

int agent_socket(const struct agent *a, int fd, uint64_t *inode)
{
        static const char prefix[] = "socket:[";
        char path[64], target[64];
        ssize_t n = readlinkat(proc, path_of(a, "fd/", fd, path, sizeof(path)), target,
                               sizeof(target) - 1);

        if (fd < 0 || n < 0)
                return fd < 0 || errno == ENOENT ? -EBADF : -EACCES;
        target[n] = '\0';
        if (strncmp(target, prefix, sizeof(prefix) - 1) != 0)
                return -ENOTSOCK;
        *inode = 0;
        for (const char *p = target + sizeof(prefix) - 1; *p >= '0' && *p <= '9'; p++)
                *inode = *inode * 10 + (uint64_t)(*p - '0');
        return 0;
}

bool agent_has(const struct agent *a, int fd)
{
        char path[64], one[1];

        return readlinkat(proc, path_of(a, "fd/", fd, path, sizeof(path)), one, 1) >= 0;
}

int agent_flags(const struct agent *a, int fd, int *flags)
{
        char text[256];
        uint64_t value;
        AUTO_CLOSE int info = open_of(a, "fdinfo/", fd, O_RDONLY);
        ssize_t n = info < 0 ? info : read(info, text, sizeof(text) - 1);

        if (n <= 0)
                return -EBADF;
        text[n] = '\0';
        if (!number_after(text, "\nflags:\t", 8, &value))
                return -EBADF;
        *flags = (int)value;
        return 0;
}

/* The device of the mount @id: `ID PARENT MAJOR:MINOR …` is its line in the list. */
static bool mount_device(uint64_t id, uint64_t *device)
{
        static char text[65536] LARGE_BUFFER;
        ssize_t n = read_file(proc, "self/mountinfo", text + 1, sizeof(text) - 1);
        char line[24] = "\n";
        struct wr w = wr_of(line + 1, sizeof(line) - 2);
        uint64_t major, minor;
        char *at;

        text[0] = '\n';
        wr_u64(&w, id);
        wr_char(&w, ' ');
        at = n > 0 ? strstr(text, wr_cstr(&w) - 1) : NULL;
        at = at ? strchr(at + 1, ' ') : NULL;
        at = at ? strchr(at + 1, ' ') : NULL;
        if (!at || !number_after(at, " ", 10, &major) || !number_after(at, ":", 10, &minor))
                return false;
        *device = (minor & 0xff) | (major & 0xfff) << 8 | (minor & ~UINT64_C(0xff)) << 12;
        return true;
}

bool agent_file_id(int fd, uint64_t *device, uint64_t *inode)
{
        char path[64] = "self/fdinfo/", text[256];
        struct wr w = wr_of(path, sizeof(path) - 1);
        uint64_t mount;
        ssize_t n;

        wr_str(&w, "self/fdinfo/");
        wr_u64(&w, (uint64_t)fd);
        n = read_file(proc, wr_cstr(&w), text, sizeof(text));
        return n > 0 && number_after(text, "\nino:\t", 10, inode) &&
               number_after(text, "\nmnt_id:\t", 10, &mount) && mount_device(mount, device);
}

/* Before Linux 5.14 these are two calls, and a signal between them costs a descriptor. */
static int put_then_answer(const struct agent *a, struct seccomp_notif_addfd *add)
{
        struct seccomp_notif_resp resp = { .id = a->id };
        int r;

        add->flags &= ~(uint32_t)SECCOMP_ADDFD_FLAG_SEND;
        r = ioctl(a->listener, (int)SECCOMP_IOCTL_NOTIF_ADDFD, add);
        resp.val = r;
        if (r < 0 || ioctl(a->listener, (int)SECCOMP_IOCTL_NOTIF_SEND, &resp) < 0)
                return -errno;
        return r;
}

int agent_put(const struct agent *a, int fd, int at, int flags, bool answer)
{
        struct seccomp_notif_addfd add = {
                .id = a->id,
                .flags = (at >= 0 ? SECCOMP_ADDFD_FLAG_SETFD : 0U) |
                         (answer ? SECCOMP_ADDFD_FLAG_SEND : 0U),
                .srcfd = (uint32_t)fd,
                .newfd = at >= 0 ? (uint32_t)at : 0,
                .newfd_flags = flags & O_CLOEXEC ? O_CLOEXEC : 0,
        };
        int r = ioctl(a->listener, (int)SECCOMP_IOCTL_NOTIF_ADDFD, &add);

        if (r < 0 && errno == EINVAL && answer)
                return put_then_answer(a, &add);
        return r < 0 ? -errno : r;
}

static int open_path(int at, const char *path, uint64_t resolve)
{
        struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = resolve };
        long r = syscall(SYS_openat2, at, path, &how, sizeof(how));

        return r < 0 ? -errno : (int)r;
}

/* /proc/self is whoever looks, and that would be us. */
static const char *as_agent(const struct agent *a, const char *path, char *buf, size_t cap)
{
        static const char self[] = "/proc/self/", thread[] = "/proc/thread-self/";
        struct wr w = wr_of(buf, cap - 1);
        size_t skip = !strncmp(path, self, sizeof(self) - 1)       ? sizeof(self) - 1
                      : !strncmp(path, thread, sizeof(thread) - 1) ? sizeof(thread) - 1
                                                                   : 0;
        if (!skip)
                return path;
        wr_str(&w, "/proc/");
        wr_u64(&w, (uint64_t)a->tid);
        wr_char(&w, '/');
        wr_str(&w, path + skip);
        return wr_cstr(&w);
}

/*
 * Links like /proc/N/fd/M are followed only when the path names them itself: one that is
 * reached through another link could be ours.
 */
int agent_open(const struct agent *a, const char *path)
{
        char buf[PATH_MAX];
        const char *named = as_agent(a, path, buf, sizeof(buf));
        AUTO_CLOSE int top = open_of(a, "root", -1, O_PATH | O_DIRECTORY);
        struct stat theirs, ours;
        uint64_t magic = named == path ? RESOLVE_NO_MAGICLINKS : 0;

        if (top < 0)
                return top;
        if (fstat(top, &theirs) < 0 || fstat(root, &ours) < 0)
                return -errno;
        if (*named != '/') {
                AUTO_CLOSE int cwd = open_of(a, "cwd", -1, O_PATH | O_DIRECTORY);

                if (cwd < 0)
                        return cwd;
                /* Below another root, ".." and links out of here would be resolved in ours. */
                if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev)
                        magic |= RESOLVE_BENEATH;
                return open_path(cwd, named, magic);
        }
        if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev)
                return open_path(root, named, magic);
        return open_path(top, named, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

void agent_command(const struct agent *a, char *text, size_t cap)
{
        AUTO_CLOSE int fd = open_of(a, "cmdline", -1, O_RDONLY);
        ssize_t n = fd < 0 ? 0 : read(fd, text, cap - 1);

        text[n > 0 ? n : 0] = '\0';
        for (ssize_t i = 0; i < n; i++) {
                if (!text[i])
                        text[i] = i + 1 < n ? ' ' : '\0';
        }
}
