/* secrets/filter.c - an allow list as classic BPF. */
#include "secrets/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture's AUDIT_ARCH"
#endif

#define LOAD(field) \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))

int filter_allow(const uint16_t *calls, size_t count)
{
        struct sock_filter ops[FILTER_CALLS + 6] = {
                LOAD(arch),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
                RETURN(SECCOMP_RET_KILL_PROCESS),
                LOAD(nr), /* x32 calls have a high bit: no number of the list */
        };
        struct sock_fprog program = { .filter = ops };
        unsigned short n = 4;

        if (count > FILTER_CALLS)
                return -E2BIG;
        for (size_t i = 0; i < count; i++)
                ops[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i],
                                                        (uint8_t)(count - i), 0);
        ops[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM);
        ops[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
        program.len = n;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
                return -errno;
        return 0;
}
