/* base/confine.c - takes rights away from the calling process. */
#include "base/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define CAP(n) (UINT64_C(1) << (n))

const uint64_t confine_setup_caps =
        CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) |
        CAP(CAP_KILL) | CAP(CAP_SETGID) | CAP(CAP_SETUID) | CAP(CAP_SETPCAP) |
        CAP(CAP_NET_BIND_SERVICE) | CAP(CAP_SYS_CHROOT) | CAP(CAP_AUDIT_WRITE) |
        CAP(CAP_SETFCAP);

struct cap_words {
        struct __user_cap_header_struct head;
        struct __user_cap_data_struct data[2];
};

static int caps_read(struct cap_words *c)
{
        *c = (struct cap_words){ .head = { .version = _LINUX_CAPABILITY_VERSION_3 } };
        return syscall(SYS_capget, &c->head, c->data) < 0 ? -errno : 0;
}

uint64_t confine_permitted(void)
{
        struct cap_words c;

        if (caps_read(&c) < 0)
                return 0;
        return c.data[0].permitted | (uint64_t)c.data[1].permitted << 32;
}

/* Empties what @keep does not hold from the bounding set; needs CAP_SETPCAP. */
static int bound_caps(uint64_t keep)
{
        for (unsigned n = 0; n < 64; n++) {
                int held = prctl(PR_CAPBSET_READ, n, 0, 0, 0);

                if (held < 0)
                        break; /* past the kernel's last capability */
                if (!held || keep & CAP(n))
                        continue;
                /* Without CAP_SETPCAP the set stays, and no_new_privs makes it moot. */
                if (prctl(PR_CAPBSET_DROP, n, 0, 0, 0) < 0 && errno != EPERM)
                        return -errno;
        }
        return 0;
}

/* The system calls themselves: libc's would first stop threads that we do not have. */
static int set_ids(uid_t uid, gid_t gid)
{
        /* setgroups is denied in a user namespace with a single id, where it has no use. */
        if (syscall(SYS_setgroups, 1, &gid) < 0 && errno != EPERM)
                return -errno;
        if (syscall(SYS_setresgid, gid, gid, gid) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
                return -errno;
        return 0;
}

static int keep_caps(uint64_t keep)
{
        struct cap_words c;
        int r = caps_read(&c);

        if (r < 0)
                return r;
        for (unsigned word = 0; word < 2; word++) {
                uint32_t mask = (uint32_t)(keep >> (32 * word));

                c.data[word].permitted &= mask;
                c.data[word].effective &= mask;
                c.data[word].inheritable &= mask;
        }
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
                return -errno;
        return syscall(SYS_capset, &c.head, c.data) < 0 ? -errno : 0;
}

/*
 * exec as uid 0 would fill the sets again from the bounding set. Where that can't be
 * emptied (no CAP_SETPCAP) there was nothing to fill them with that we did not have.
 */
int confine_apply(const struct confine *c, const char **stage)
{
        int r;

        *stage = "bound the capabilities";
        r = bound_caps(c->keep_caps);
        if (r < 0)
                return r;
        if (c->set_ids) {
                *stage = "change the user";
                r = set_ids(c->uid, c->gid);
                if (r < 0)
                        return r;
        }
        *stage = "drop the capabilities";
        r = keep_caps(c->keep_caps);
        if (r < 0)
                return r;
        *stage = "set no_new_privs";
        if (c->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return 0;
}

/* base/link.ld's names for the relocated tables; a build for another libc has none. */
extern char tables_start[] __attribute__((weak, visibility("hidden")));
extern char tables_end[] __attribute__((weak, visibility("hidden")));

void confine_relro(void)
{
        if (tables_start)
                mprotect(tables_start, (uintptr_t)tables_end - (uintptr_t)tables_start, PROT_READ);
}
