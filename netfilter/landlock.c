/* netfilter/landlock.c - a Landlock domain for one command. */
#include "netfilter/landlock.h"

#include "base/ruleset.h"

#include <errno.h>
#include <string.h>

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
        return FS_WRITE_FILE | FS_MAKES | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0);
}

static int allow_writes(int ruleset, const struct landlock *l, uint64_t rights)
{
        int r = ruleset_allow_devices(ruleset, rights);

        for (unsigned i = 0; i < l->root_count && !r && l->fs == FS_WORKSPACE_WRITE; i++)
                r = ruleset_allow(ruleset, l->roots[i], rights);
        return r;
}

/* Any domain keeps ptrace inside: without scopes, one right that is given back at once. */
static int fill(int ruleset, const struct landlock *l, uint64_t rights)
{
        if (!rights)
                return 0;
        return l->fs == FS_FULL ? ruleset_allow(ruleset, "/", rights) : allow_writes(ruleset, l, rights);
}

int landlock_enter(const struct landlock *l)
{
        int abi = l->scope || l->fs != FS_FULL ? landlock_abi() : 0;
        uint64_t rights = 0;
        int r;

        if (l->fs != FS_FULL && !abi)
                return -EOPNOTSUPP;
        if (l->fs != FS_FULL)
                rights = writes(abi);
        else if (l->scope && abi >= 2 && abi < 6)
                rights = FS_REFER;
        if (!rights && !(l->scope && abi >= 6))
                return 0;
        AUTO_CLOSE int fd = ruleset_new(rights, l->scope);
        if (fd < 0)
                return fd;
        r = fill(fd, l, rights);
        return r ? r : ruleset_enter(fd);
}
