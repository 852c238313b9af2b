/* netfilter/fds.c - closes inherited descriptors that lead out. */
#include "netfilter/fds.h"

#include "base/digits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CLOEXEC_RANGE 4U /* close_range(2): CLOSE_RANGE_CLOEXEC */

static bool harmless(int fd)
{
        struct stat st;

        return !fstat(fd, &st) && (S_ISFIFO(st.st_mode) || S_ISREG(st.st_mode));
}

static bool leads_out(int fd)
{
        int domain;
        socklen_t len = sizeof(domain);

        return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain != AF_UNIX;
}

/* The kernel's getdents64(2) record; opendir(3) would allocate. */
struct entry {
        uint64_t inode;
        int64_t next;
        uint16_t len;
        uint8_t type;
        char name[];
};

/* -1 for "." and "..". */
static int number(const char *name)
{
        uint64_t n;

        return digits_parse(name, INT32_MAX, &n) ? (int)n : -1;
}

static void look_at(int fd)
{
        if (fd > STDERR_FILENO && !harmless(fd))
                fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int look_at_all(int dir)
{
        union {
                struct entry align;
                char bytes[2048];
        } list;
        long n;

        while ((n = syscall(SYS_getdents64, dir, list.bytes, sizeof(list.bytes))) > 0) {
                for (long at = 0; at < n;) {
                        const struct entry *e = (const struct entry *)(list.bytes + at);

                        look_at(number(e->name));
                        at += e->len;
                }
        }
        return n < 0 ? -errno : 0;
}

int fds_keep_harmless(void)
{
        for (int fd = 0; fd <= STDERR_FILENO; fd++) {
                if (leads_out(fd))
                        return -ESOCKTNOSUPPORT;
        }
        AUTO_CLOSE int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0)
                return look_at_all(dir);
        /* Without /proc nobody can tell: the command gets none of them. */
        return syscall(SYS_close_range, 3U, ~0U, CLOEXEC_RANGE) < 0 ? -errno : 0;
}
