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
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
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

/*
 * What a network namespace and the rules in one do not hold: families that know nothing of
 * either (a virtual machine's AF_VSOCK), and a ring that opens them without socket(2). The
 * rest asks for capabilities that nobody has there; it is refused all the same.
 */
static void build_netns(void)
{
        static const char *const rings[] = { "io_uring_setup", "io_uring_enter",
                                             "io_uring_register" };
        static const char *const not_allowed[] = {
                "bpf", "perf_event_open", "userfaultfd", "init_module", "finit_module",
                "delete_module", "kexec_load", "kexec_file_load", "open_by_handle_at", "swapon",
                "swapoff", "reboot", "quotactl", "add_key", "request_key", "keyctl",
        };

        for (unsigned f = 0; f < AF_MAX; f++) {
                if (f != AF_UNIX && f != AF_INET && f != AF_INET6 && f != AF_NETLINK &&
                    f != AF_PACKET)
                        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
                                               SCMP_SYS(socket), 1, SCMP_A0_32(SCMP_CMP_EQ, f)),
                              "socket: family");
        }
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                               SCMP_A0_32(SCMP_CMP_GE, AF_MAX)), "socket: later families");
        for (size_t i = 0; i < sizeof(rings) / sizeof(*rings); i++)
                refuse(ENOSYS, rings[i]);
        for (size_t i = 0; i < sizeof(not_allowed) / sizeof(*not_allowed); i++)
                refuse(EPERM, not_allowed[i]);
}

/* In a network that is not its own, the command makes no namespaces and joins none. */
static void build_agent(void)
{
        static const uint64_t spaces[] = { 0x00020000, 0x02000000, 0x04000000, 0x08000000,
                                           0x10000000, 0x20000000, 0x40000000 };

        build_netns();
        refuse(ENOSYS, "clone3"); /* its flags are behind a pointer */
        refuse(EPERM, "setns");
        refuse(EPERM, "unshare");
        for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++)
                check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                       SCMP_A0_64(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i])),
                      "clone: namespaces");
}

static void act(uint32_t action, const char *name, unsigned count, struct scmp_arg_cmp a,
                struct scmp_arg_cmp b, struct scmp_arg_cmp c)
{
        const struct scmp_arg_cmp args[] = { a, b, c };
        int nr = seccomp_syscall_resolve_name(name);

        check(nr, name);
        check(seccomp_rule_add_array(ctx, action, nr, count, args), name);
}

static const struct scmp_arg_cmp any;

static void act0(uint32_t action, const char *name)
{
        act(action, name, 0, any, any, any);
}

static void act1(uint32_t action, const char *name, struct scmp_arg_cmp a)
{
        act(action, name, 1, a, any, any);
}

#define ERR(e) SCMP_ACT_ERRNO((uint32_t)(e))
#define SOCKET_TYPE 0xfu /* the rest of the argument are flags */
#define FAMILIES 46 /* AF_MCTP, 45, is the last that a kernel had when this was written */

/* socket(2): AF_UNIX streams, TCP, UDP, route queries. What another one opens is a way out. */
static void refuse_sockets(void)
{
        static const int inet[] = { AF_INET, AF_INET6 };
        uint32_t family = ERR(EAFNOSUPPORT), protocol = ERR(EPROTONOSUPPORT);
        uint32_t type = ERR(ESOCKTNOSUPPORT);

        for (unsigned f = 0; f < FAMILIES; f++) {
                if (f != AF_UNIX && f != AF_INET && f != AF_INET6 && f != AF_NETLINK)
                        act1(family, "socket", SCMP_A0_32(SCMP_CMP_EQ, f));
        }
        act1(family, "socket", SCMP_A0_32(SCMP_CMP_GE, FAMILIES));
        act(protocol, "socket", 2, SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK),
            SCMP_A2_32(SCMP_CMP_NE, 0), any);
        /* A datagram socket of this family writes to any path, by an address behind a pointer. */
        for (unsigned t = 2; t <= 3; t++)
                act(type, "socket", 2, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
                    SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, t), any);
        act(type, "socketpair", 2, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
            SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_RAW), any);
        act1(ERR(EOPNOTSUPP), "socketpair", SCMP_A0_32(SCMP_CMP_NE, AF_UNIX));
        for (unsigned i = 0; i < sizeof(inet) / sizeof(*inet); i++) {
                struct scmp_arg_cmp is = SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)inet[i]);
                struct scmp_arg_cmp stream = SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, 1);
                struct scmp_arg_cmp datagram = SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, 2);

                for (unsigned t = 0; t <= SOCKET_TYPE; t++) {
                        if (t != SOCK_STREAM && t != SOCK_DGRAM)
                                act(type, "socket", 2, is,
                                    SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, t), any);
                }
                for (unsigned p = 1; p < 6; p++)
                        act(protocol, "socket", 3, is, stream, SCMP_A2_32(SCMP_CMP_EQ, p));
                act(protocol, "socket", 3, is, stream, SCMP_A2_32(SCMP_CMP_GT, 6));
                for (unsigned p = 1; p < 17; p++)
                        act(protocol, "socket", 3, is, datagram, SCMP_A2_32(SCMP_CMP_EQ, p));
                act(protocol, "socket", 3, is, datagram, SCMP_A2_32(SCMP_CMP_GT, 17));
        }
}

/*
 * Options that send a packet elsewhere than connect(2) said, and ask for no capability. A
 * source route names its own first hop (IP_OPTIONS, IPV6_RTHDR and what can hold one); a
 * device is a way around the routes; a server of one's own answers the foreign address that
 * a client was bound to (FREEBIND), on the wire; and joining a group, which a TCP
 * socket may by these names, tells the wire which one.
 */
static void refuse_options(void)
{
        static const struct {
                uint32_t level, option;
        } roads[] = {
                { 0, 4 /* IP_OPTIONS */ },        { 0, 50 /* IP_UNICAST_IF */ },
                { 1, 25 /* SO_BINDTODEVICE */ },  { 1, 62 /* SO_BINDTOIFINDEX */ },
                { 41, 3 /* IPV6_2292HOPOPTS */ }, { 41, 4 /* IPV6_2292DSTOPTS */ },
                { 41, 5 /* IPV6_2292RTHDR */ },   { 41, 6 /* IPV6_2292PKTOPTIONS */ },
                { 41, 32 /* FLOWLABEL_MGR */ },   { 41, 50 /* IPV6_PKTINFO */ },
                { 41, 54 /* IPV6_HOPOPTS */ },    { 41, 55 /* IPV6_RTHDRDSTOPTS */ },
                { 41, 57 /* IPV6_RTHDR */ },      { 41, 59 /* IPV6_DSTOPTS */ },
                { 41, 76 /* IPV6_UNICAST_IF */ },
                { 0, 15 /* IP_FREEBIND */ },      { 41, 78 /* IPV6_FREEBIND */ },
                { 0, 19 /* IP_TRANSPARENT */ },   { 41, 75 /* IPV6_TRANSPARENT */ },
                { 0, 39 /* ADD_SOURCE */ },       { 41, 27 /* IPV6_JOIN_ANYCAST */ },
                { 0, 42 /* MCAST_JOIN_GROUP */ }, { 41, 42 },
                { 0, 46 /* MCAST_JOIN_SOURCE */ }, { 41, 46 },
                { 0, 48 /* MCAST_MSFILTER */ },   { 41, 48 },
        };

        for (size_t i = 0; i < sizeof(roads) / sizeof(*roads); i++)
                act(ERR(EPERM), "setsockopt", 2, SCMP_A1_32(SCMP_CMP_EQ, roads[i].level),
                    SCMP_A2_32(SCMP_CMP_EQ, roads[i].option), any);
}

/*
 * What the notify lock refuses by value; loaded beside notify_filter, whose answer an errno
 * beats. MSG_FASTOPEN connects without connect(2), io_uring without any call, and a new
 * namespace has its own network. PR_SET_DUMPABLE 0 is answered and not done: we could not
 * read the addresses of who hides its memory.
 */
static void build_notify_refuse(void)
{
        static const char *const rings[] = { "io_uring_setup", "io_uring_enter",
                                             "io_uring_register", "clone3" };
        static const uint64_t spaces[] = { CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS,
                                           CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS,
                                           CLONE_NEWCGROUP };
        static const uint64_t clone_time = 0x80; /* CLONE_NEWTIME; a signal number in clone(2) */
        const uint64_t fastopen = 0x20000000;

        refuse_sockets();
        refuse_options();
        act1(ERR(EOPNOTSUPP), "sendto", SCMP_A3_64(SCMP_CMP_MASKED_EQ, fastopen, fastopen));
        act1(ERR(EOPNOTSUPP), "sendmsg", SCMP_A2_64(SCMP_CMP_MASKED_EQ, fastopen, fastopen));
        act1(ERR(EOPNOTSUPP), "sendmmsg", SCMP_A3_64(SCMP_CMP_MASKED_EQ, fastopen, fastopen));
        for (size_t i = 0; i < sizeof(rings) / sizeof(*rings); i++)
                act0(ERR(ENOSYS), rings[i]);
        for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
                act1(ERR(EPERM), "clone", SCMP_A0_64(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
                act1(ERR(EPERM), "unshare", SCMP_A0_64(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]));
        }
        act1(ERR(EPERM), "unshare", SCMP_A0_64(SCMP_CMP_MASKED_EQ, clone_time, clone_time));
        act0(ERR(EPERM), "setns");
        act0(ERR(EPERM), "pidfd_getfd");
        act(ERR(EPERM), "prlimit64", 2, SCMP_A0_32(SCMP_CMP_NE, 0), SCMP_A2_64(SCMP_CMP_NE, 0),
            any);
        act(ERR(0), "prctl", 2, SCMP_A0_32(SCMP_CMP_EQ, 4 /* PR_SET_DUMPABLE */),
            SCMP_A1_64(SCMP_CMP_EQ, 0), any);
}

/*
 * What airlock-notify answers. Calls that only need it on the sockets it made in the place
 * of UDP ones are watched at their numbers alone, 960 to 1023: all others stay as fast as
 * they were, and nothing but compatibility hangs on the number.
 */
static void build_notify(void)
{
        static const char *const emulated[] = {
                "setsockopt", "getsockopt", "getsockname", "getpeername",
                "recvfrom", "recvmsg", "sendto", "sendmsg",
        };
        static const unsigned inet[] = { AF_INET, AF_INET6 };

        act0(SCMP_ACT_NOTIFY, "connect");
        act0(SCMP_ACT_NOTIFY, "bind");
        for (size_t i = 0; i < 2; i++)
                act(SCMP_ACT_NOTIFY, "socket", 2, SCMP_A0_32(SCMP_CMP_EQ, inet[i]),
                    SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_DGRAM), any);
        act(SCMP_ACT_NOTIFY, "socketpair", 2, SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX),
            SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, SOCK_DGRAM), any);
        for (size_t i = 0; i < sizeof(emulated) / sizeof(*emulated); i++)
                act1(SCMP_ACT_NOTIFY, emulated[i], SCMP_A0_32(SCMP_CMP_MASKED_EQ, 0xffffffc0, 960));
}

/* The same where pidfd_getfd(2) is refused: airlock-notify then makes the sockets itself. */
static void build_notify_hold(void)
{
        static const struct {
                unsigned family, type;
        } made[] = {
                { AF_INET, SOCK_STREAM },
                { AF_INET6, SOCK_STREAM },
                { AF_UNIX, SOCK_STREAM },
                { AF_UNIX, SOCK_SEQPACKET },
        };

        build_notify();
        act0(SCMP_ACT_NOTIFY, "listen");
        for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
                act(SCMP_ACT_NOTIFY, "socket", 2, SCMP_A0_32(SCMP_CMP_EQ, made[i].family),
                    SCMP_A1_32(SCMP_CMP_MASKED_EQ, SOCKET_TYPE, made[i].type), any);
}

/* airlock-notify itself: anything else ends it, and with it the task. */
static void build_notifier(void)
{
        static const char *const needed[] = {
                "read", "write", "pread64", "pwrite64", "close", "ioctl", "ppoll", "fcntl",
                "fstat", "openat2", "readlinkat", "process_vm_readv", "process_vm_writev",
                "pidfd_open", "pidfd_getfd", "socket", "socketpair", "bind", "connect",
                "getsockname", "getpeername", "getsockopt", "setsockopt", "sendmsg", "recvmsg",
                "sendto", "recvfrom", "shutdown", "clock_gettime", "exit_group",
                "restart_syscall", "rt_sigreturn",
        };

        for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
                act0(SCMP_ACT_ALLOW, needed[i]);
        /* aarch64 has only ppoll; a rule for a call that is not there would be an error. */
        if (seccomp_arch_exist(ctx, SCMP_ARCH_X86_64) == 0)
                act0(SCMP_ACT_ALLOW, "poll");
        /* /proc/N/mem is opened for writing; nothing is created or cut. */
        act1(SCMP_ACT_ALLOW, "openat",
             SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0));
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
        check(seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2), "binary tree");
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
        generate(arch, "netns_filter", SCMP_ACT_ALLOW, build_netns);
        generate(arch, "agent_filter", SCMP_ACT_ALLOW, build_agent);
        generate(arch, "notify_refuse_filter", SCMP_ACT_ALLOW, build_notify_refuse);
        generate(arch, "notify_filter", SCMP_ACT_ALLOW, build_notify);
        generate(arch, "notify_hold_filter", SCMP_ACT_ALLOW, build_notify_hold);
        generate(arch, "notifier_filter", SCMP_ACT_KILL_PROCESS, build_notifier);
        return 0;
}
