/* netfilter/landlock.c - a Landlock domain for one command. */
#include "netfilter/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/*
 * linux/landlock.h of a build machine may be older than the kernel the program meets.
 * Numbers as in the kernel's Documentation/userspace-api/landlock.
 */
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_ABI_1_WRITES (FS_WRITE_FILE | UINT64_C(0x1ff0)) /* remove_*, make_* */
#define FS_REFER (UINT64_C(1) << 13)
#define FS_TRUNCATE (UINT64_C(1) << 14)
#define SCOPE_ALL UINT64_C(3) /* abstract sockets, signals */
#define RULE_PATH_BENEATH 1
#define CREATE_VERSION 1U

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

bool landlock_parse(const char *word, enum fs_policy *fs)
{
        static const char words[][16] = {
                [FS_FULL] = "full",
                [FS_READ_ONLY] = "read-only",
                [FS_WORKSPACE_WRITE] = "workspace-write",
        };

        for (unsigned i = 0; i < COUNT(words); i++) {
                if (!strcmp(word, words[i])) {
                        *fs = (enum fs_policy)i;
                        return true;
                }
        }
        return false;
}

const char *landlock_say(const struct landlock *l, int abi)
{
        if (!abi)
                return "no Landlock in this kernel: files and processes outside are as open as "
                       "their modes";
        if (l->fs != FS_FULL && abi < 2)
                return "Landlock ABI 1: files can't be moved between folders, and truncate(2) "
                       "is not held back";
        if (l->fs != FS_FULL && abi < 3)
                return "Landlock ABI 2: truncate(2) is not held back";
        if (l->scope && abi < 6)
                return "Landlock before ABI 6: signals and abstract sockets of others are not "
                       "held back, ptrace is";
        return "Landlock: everything asked for";
}

static uint64_t writes(int abi)
{
        return FS_ABI_1_WRITES | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0);
}

/* What is missing needs no rule. A file takes only the rights that files have. */
static int allow(int ruleset, const char *path, uint64_t rights)
{
        AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
        struct path_attr rule = { rights, fd };
        struct stat st;

        if (fd < 0)
                return errno == ENOENT || errno == EACCES || errno == ENOTDIR ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                rule.allowed &= FS_WRITE_FILE | FS_TRUNCATE;
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
                return -errno;
        return 0;
}

/* Devices that are no way to keep or send anything. */
static int allow_devices(int ruleset, uint64_t rights)
{
        static const char devices[][16] = {
                "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
                "/dev/tty",  "/dev/ptmx", "/dev/pts",
        };
        int r = 0;

        for (size_t i = 0; i < COUNT(devices) && !r; i++)
                r = allow(ruleset, devices[i], rights & (FS_WRITE_FILE | FS_TRUNCATE));
        return r;
}

static int allow_writes(int ruleset, const struct landlock *l, uint64_t rights)
{
        int r = allow_devices(ruleset, rights);

        for (unsigned i = 0; i < l->root_count && !r && l->fs == FS_WORKSPACE_WRITE; i++)
                r = allow(ruleset, l->roots[i], rights);
        return r;
}

/* Any domain keeps ptrace inside: without scopes, one right that is given back at once. */
static int fill(int ruleset, const struct landlock *l, uint64_t rights)
{
        if (!rights)
                return 0;
        return l->fs == FS_FULL ? allow(ruleset, "/", rights) : allow_writes(ruleset, l, rights);
}

int landlock_enter(const struct landlock *l)
{
        int abi = l->scope || l->fs != FS_FULL ? landlock_abi() : 0;
        struct ruleset_attr attr = { 0 };
        size_t size = abi >= 6 ? sizeof(attr) : sizeof(attr.fs);
        int r;

        if (l->fs != FS_FULL && !abi)
                return -EOPNOTSUPP;
        if (l->fs != FS_FULL)
                attr.fs = writes(abi);
        else if (l->scope && abi >= 2 && abi < 6)
                attr.fs = FS_REFER;
        if (l->scope && abi >= 6)
                attr.scoped = SCOPE_ALL;
        if (!attr.fs && !attr.scoped)
                return 0;
        AUTO_CLOSE int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
        if (fd < 0)
                return -errno;
        r = fill(fd, l, attr.fs);
        if (!r && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
                r = -errno;
        return r;
}
