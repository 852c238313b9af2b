/* base/ruleset.c - three system calls of landlock(7). */
#include "base/ruleset.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CREATE_VERSION 1U
#define RULE_PATH_BENEATH 1
#define SCOPE_ALL UINT64_C(3) /* abstract sockets, signals */
#define FS_OF_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE)

struct ruleset_attr {
        uint64_t fs, net, scoped;
};

struct path_attr {
        uint64_t allowed;
        int32_t parent_fd;
} __attribute__((packed));

int landlock_abi(void)
{
        long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

        return abi < 0 ? 0 : (int)abi;
}

int ruleset_new(uint64_t fs, bool scope)
{
        bool scoped = scope && landlock_abi() >= RULESET_SCOPE_ABI;
        struct ruleset_attr attr = { .fs = fs, .scoped = scoped ? SCOPE_ALL : 0 };
        size_t size = scoped ? sizeof(attr) : sizeof(attr.fs);
        int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);

        return fd < 0 ? -errno : fd;
}

int ruleset_allow(int ruleset, const char *path, uint64_t rights)
{
        AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
        struct path_attr rule = { rights, fd };
        struct stat st;

        if (fd < 0)
                return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                rule.allowed &= FS_OF_FILE;
        if (rule.allowed && syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
                return -errno;
        return 0;
}

int ruleset_allow_devices(int ruleset, uint64_t rights)
{
        static const char devices[][16] = {
                "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
                "/dev/tty",  "/dev/ptmx", "/dev/pts",
        };
        int r = 0;

        rights &= FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE;
        for (size_t i = 0; i < COUNT(devices) && !r; i++)
                r = ruleset_allow(ruleset, devices[i], rights);
        return r;
}

int ruleset_enter(int ruleset)
{
        return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
