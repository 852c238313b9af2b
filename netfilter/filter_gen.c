/*
 * netfilter/filter_gen.c - writes the agent's seccomp filters as C arrays.
 *
 * Runs on the build machine with libseccomp; the shipped program carries the BPF and
 * no library. Usage: filter_gen x86_64|aarch64 > filter.h
 *
 * The closed lock's refuses every road to a network that starts with a system call. Each errno
 * is the one that lets ordinary programs fall back. A foreign ABI (i386, x32) kills:
 * its call numbers would mean something else.
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIOCSTI 0x5412u   /* asm-generic/ioctls.h */
#define TIOCLINUX 0x541cu

static scmp_filter_ctx ctx;

static void check(int r, const char *what)
{
        if (r >= 0)
                return;
        fprintf(stderr, "filter_gen: %s: %s\n", what, strerror(-r));
        exit(1);
}

static void refuse(int err, const char *name)
{
        int nr = seccomp_syscall_resolve_name(name);

        /* libseccomp knows fewer calls than the kernel on old build machines. */
        if (nr == __NR_SCMP_ERROR) {
                fprintf(stderr, "filter_gen: unknown system call %s\n", name);
                exit(1);
        }
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err), nr, 0), name);
}

/*
 * The guard goes around every agent, whatever its lock. TIOCSTI and TIOCLINUX type into
 * the operator's terminal. prlimit64 asks for no more than the same ids, so an agent of
 * our own user could take PID 1's descriptors, or its processor time.
 */
static void build_guard(void)
{
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                               SCMP_A1_32(SCMP_CMP_EQ, TIOCSTI)),
              "ioctl TIOCSTI");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                               SCMP_A1_32(SCMP_CMP_EQ, TIOCLINUX)),
              "ioctl TIOCLINUX");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1,
                               SCMP_A0_32(SCMP_CMP_EQ, 1)),
              "prlimit64 of PID 1");
}

static void build_closed(void)
{
        static const char *const no_such_call[] = {
                "io_uring_setup", "io_uring_enter", "io_uring_register", "clone3",
        };
        static const char *const not_allowed[] = {
                "setns", "unshare", "bpf", "perf_event_open", "userfaultfd", "keyctl",
                "add_key", "request_key", "init_module", "finit_module", "delete_module",
                "kexec_load", "kexec_file_load", "open_by_handle_at", "mount", "umount2",
                "move_mount", "fsopen", "fsmount", "open_tree", "pivot_root", "swapon",
                "swapoff", "reboot", "quotactl", "process_vm_writev",
        };

        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1,
                               SCMP_A0_32(SCMP_CMP_NE, AF_UNIX)), "socket");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socketpair), 1,
                               SCMP_A0_32(SCMP_CMP_NE, AF_UNIX)), "socketpair");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x10000000, 0x10000000)),
              "clone: user namespace");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                               SCMP_A0_64(SCMP_CMP_MASKED_EQ, 0x40000000, 0x40000000)),
              "clone: network namespace");
        for (size_t i = 0; i < sizeof(no_such_call) / sizeof(*no_such_call); i++)
                refuse(ENOSYS, no_such_call[i]);
        for (size_t i = 0; i < sizeof(not_allowed) / sizeof(*not_allowed); i++)
                refuse(EPERM, not_allowed[i]);
}

static void allow(const char *name)
{
        int nr = seccomp_syscall_resolve_name(name);

        /* The generic architectures never had the older ones of these. */
        if (nr < 0)
                return;
        check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0), name);
}

/*
 * airlock-proxy once it runs: sockets of four kinds, pipes to splice through, the clock. What
 * else it asks for is EPERM; a program or a process would be somebody else's code.
 */
static void build_proxy(void)
{
        static const char *const allowed[] = {
                "read", "readv", "write", "writev", "close", "lseek", "splice", "pipe2", "fcntl",
                "epoll_wait", "epoll_pwait", "epoll_ctl", "accept4", "connect", "shutdown",
                "recvfrom", "recvmsg", "sendto", "sendmsg", "getsockopt", "setsockopt",
                "getsockname", "getpeername", "madvise", "getrandom", "clock_gettime",
                "rt_sigreturn", "restart_syscall", "exit", "exit_group",
        };
        static const char *const fatal[] = { "execve", "execveat", "fork", "vfork", "clone",
                                             "clone3", "ptrace" };
        static const int families[] = { AF_INET, AF_INET6 };

        for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
                allow(allowed[i]);
        for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++) {
                int nr = seccomp_syscall_resolve_name(fatal[i]);

                if (nr >= 0)
                        check(seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, nr, 0), fatal[i]);
        }
        for (size_t i = 0; i < 2; i++) {
                check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                       SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)families[i]),
                                       SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_STREAM)),
                      "socket: stream");
                check(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                       SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)families[i]),
                                       SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM)),
                      "socket: datagram");
        }
}

static void print(const char *name)
{
        struct sock_filter op;
        FILE *bpf = tmpfile();

        if (!bpf)
                check(-errno, "tmpfile");
        check(seccomp_export_bpf(ctx, fileno(bpf)), "export");
        rewind(bpf);
        printf("static const struct sock_filter %s[] = {\n", name);
        while (fread(&op, sizeof(op), 1, bpf) == 1)
                printf("        { 0x%04x, %u, %u, 0x%08xU },\n", op.code, op.jt, op.jf, op.k);
        printf("};\n");
        fclose(bpf);
}

static void generate(uint32_t arch, const char *name, uint32_t otherwise, void (*build)(void))
{
        ctx = seccomp_init(otherwise);
        if (!ctx)
                check(-ENOMEM, "init");
        if (arch != seccomp_arch_native()) {
                check(seccomp_arch_add(ctx, arch), "arch");
                check(seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE), "native arch");
        }
        check(seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "badarch");
        build();
        print(name);
        seccomp_release(ctx);
}

int main(int argc, char **argv)
{
        uint32_t arch = argc == 2 ? seccomp_arch_resolve_name(argv[1]) : 0;

        if (!arch) {
                fprintf(stderr, "usage: filter_gen x86_64|aarch64\n");
                return 2;
        }
        printf("/* Written by netfilter/filter_gen.c. */\n");
        generate(arch, "guard_filter", SCMP_ACT_ALLOW, build_guard);
        generate(arch, "closed_filter", SCMP_ACT_ALLOW, build_closed);
        generate(arch, "proxy_filter", SCMP_ACT_ERRNO(EPERM), build_proxy);
        return 0;
}
