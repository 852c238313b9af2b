/*
 * base/ruleset.h - the kernel's Landlock: rights to files that a process gives up.
 *
 * A ruleset says what is handled (refused unless a rule allows it), gets rules, and is
 * entered for good. Numbers as in the kernel's Documentation/userspace-api/landlock: the
 * build machine's header may be older than the kernel the program meets.
 */
#ifndef BASE_RULESET_H
#define BASE_RULESET_H

#include "base/base.h"

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_MAKES UINT64_C(0x1ff0)        /* remove_*, make_* */
#define FS_REFER (UINT64_C(1) << 13)     /* from ABI 2 on */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* from ABI 3 on */
#define FS_READS (FS_EXECUTE | FS_READ_FILE | FS_READ_DIR)
#define FS_WRITES (FS_WRITE_FILE | FS_MAKES | FS_REFER | FS_TRUNCATE)

#define RULESET_SCOPE_ABI 6 /* Linux 6.12 */

/* The kernel's ABI, 1 or more; 0 when it has no Landlock or does not allow it. */
int landlock_abi(void);

/*
 * A ruleset that handles the rights @fs, all of which the kernel must know; with @scope
 * signals and abstract sockets too, which kernels before RULESET_SCOPE_ABI leave out. A descriptor
 * that the caller closes, or -errno.
 */
MUST_USE int ruleset_new(uint64_t fs, bool scope);

/*
 * Allows @rights at and below @path; a file takes only those that files have. A path that
 * is missing or can't be reached needs no rule. 0 or -errno.
 */
MUST_USE int ruleset_allow(int ruleset, const char *path, uint64_t rights);

/* The same of @rights for devices that are no way to keep or send anything. */
MUST_USE int ruleset_allow_devices(int ruleset, uint64_t rights);

/* Puts the calling thread under it; needs no_new_privs or CAP_SYS_ADMIN. 0 or -errno. */
MUST_USE int ruleset_enter(int ruleset);

#endif
