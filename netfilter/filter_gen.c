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
#include <asm/ioctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
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
/*
 * The kernel looks at 32 bits of an int argument, libseccomp's EQ at 64, whatever _32 in the
 * name of its macros seems to say: TIOCSTI with a bit above them would pass. To refuse one
 * value, compare under this mask; NE and GT refuse the strange ones with the rest.
 */
#define LOW UINT64_C(0xffffffff)
#define FASTOPEN 0x20000000u /* MSG_FASTOPEN */

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

#define AT(n, value) { n, SCMP_CMP_MASKED_EQ, LOW, value }

static void refuse_signal(const char *name, struct scmp_arg_cmp to, unsigned at, uint64_t n)
{
        const struct scmp_arg_cmp args[] = { to, AT(at, n) };
        int nr = seccomp_syscall_resolve_name(name);

        check(nr, name);
        check(seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), nr, 2, args), name);
}

/*
 * What PID 1 heeds from outside, it knows by the sender's pid being 0. So is that of a signal
 * whose description the kernel had no room for: an agent of PID 1's user fills that room, and
 * for these ways of sending the kernel does without; kill(2) always has its description.
 */
static void build_forgeries(void)
{
        static const unsigned heeded[] = { 1 /* HUP */, 2 /* INT */, 3 /* QUIT */, 15 /* TERM */ };

        for (size_t i = 0; i < sizeof(heeded) / sizeof(*heeded); i++) {
                refuse_signal("tkill", (struct scmp_arg_cmp)AT(0, 1), 1, heeded[i]);
                refuse_signal("tgkill", (struct scmp_arg_cmp)AT(1, 1), 2, heeded[i]);
                refuse_signal("rt_sigqueueinfo", (struct scmp_arg_cmp)AT(0, 1), 1, heeded[i]);
                refuse_signal("rt_tgsigqueueinfo", (struct scmp_arg_cmp)AT(1, 1), 2, heeded[i]);
                refuse_signal("pidfd_send_signal", SCMP_A2_64(SCMP_CMP_NE, 0), 1, heeded[i]);
                refuse_signal("fcntl", (struct scmp_arg_cmp)AT(1, 10 /* F_SETSIG */), 2, heeded[i]);
        }
}

/*
 * The guard goes around every agent, whatever its lock. TIOCSTI and TIOCLINUX type into
 * the operator's terminal. prlimit64 asks for no more than the same ids, so an agent of
 * our own user could take PID 1's descriptors, or its processor time. Reading stays.
 */
static void build_guard(void)
{
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                               SCMP_A1_64(SCMP_CMP_MASKED_EQ, LOW, TIOCSTI)),
              "ioctl TIOCSTI");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                               SCMP_A1_64(SCMP_CMP_MASKED_EQ, LOW, TIOCLINUX)),
              "ioctl TIOCLINUX");
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 2,
                               SCMP_A0_32(SCMP_CMP_NE, 0), SCMP_A2_64(SCMP_CMP_NE, 0)),
              "prlimit64 of others");
        build_forgeries();
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

static void refuse_if(int err, const char *name, struct scmp_arg_cmp a)
{
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err),
                               seccomp_syscall_resolve_name(name), 1, a), name);
}

static void refuse_if2(int err, const char *name, struct scmp_arg_cmp a, struct scmp_arg_cmp b)
{
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err),
                               seccomp_syscall_resolve_name(name), 2, a, b), name);
}

static void refuse_if3(int err, const char *name, struct scmp_arg_cmp a, struct scmp_arg_cmp b,
                       struct scmp_arg_cmp c)
{
        check(seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)err),
                               seccomp_syscall_resolve_name(name), 3, a, b, c), name);
}

/* INET is 2 and INET6 is 10: one comparison for both, and for no other family. */
#define IS_INET SCMP_A0_32(SCMP_CMP_MASKED_EQ, ~8u, AF_INET)
#define TYPE(t) SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, t) /* without SOCK_CLOEXEC, SOCK_NONBLOCK */

/*
 * An agent's sockets are AF_UNIX, TCP, UDP, and queries of routes and addresses. All others
 * are roads past the locks: AF_PACKET passes no output hook, AF_VSOCK no network namespace,
 * and MPTCP, SCTP or UDP-Lite are not what a rule for TCP and UDP means. The errno is that of
 * a kernel built without them. libseccomp compares an argument once in a rule, so what
 * is not allowed has to be listed.
 */
static void build_sockets(void)
{
        _Static_assert(AF_UNIX == 1 && AF_INET == 2 && AF_INET6 == 10 && AF_NETLINK == 16,
                       "the ranges below stand between these");
        for (unsigned family = 0; family < AF_NETLINK; family++) {
                if (family != AF_UNIX && family != AF_INET && family != AF_INET6)
                        refuse_if(EAFNOSUPPORT, "socket", SCMP_A0_32(SCMP_CMP_EQ, family));
        }
        refuse_if(EAFNOSUPPORT, "socket", SCMP_A0_32(SCMP_CMP_GT, AF_NETLINK));
        refuse_if(EAFNOSUPPORT, "socketpair", SCMP_A0_32(SCMP_CMP_NE, AF_UNIX));
        /* Audit's clients take this for a kernel without audit: sudo and useradd go on. */
        refuse_if2(EPROTONOSUPPORT, "socket", SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK),
                   SCMP_A2_32(SCMP_CMP_NE, 0 /* NETLINK_ROUTE */));

        /* What the kernel says without CAP_NET_RAW. */
        refuse_if2(EPERM, "socket", IS_INET, TYPE(SOCK_RAW));
        refuse_if2(ESOCKTNOSUPPORT, "socket", IS_INET, TYPE(0));
        for (unsigned type = SOCK_RAW + 1; type <= 0xf; type++)
                refuse_if2(ESOCKTNOSUPPORT, "socket", IS_INET, TYPE(type));
        for (unsigned protocol = 1; protocol < IPPROTO_TCP; protocol++)
                refuse_if3(EPROTONOSUPPORT, "socket", IS_INET, TYPE(SOCK_STREAM),
                           SCMP_A2_32(SCMP_CMP_EQ, protocol));
        refuse_if3(EPROTONOSUPPORT, "socket", IS_INET, TYPE(SOCK_STREAM),
                   SCMP_A2_32(SCMP_CMP_GT, IPPROTO_TCP));
        for (unsigned protocol = 1; protocol < IPPROTO_UDP; protocol++)
                refuse_if3(EPROTONOSUPPORT, "socket", IS_INET, TYPE(SOCK_DGRAM),
                           SCMP_A2_32(SCMP_CMP_EQ, protocol));
        refuse_if3(EPROTONOSUPPORT, "socket", IS_INET, TYPE(SOCK_DGRAM),
                   SCMP_A2_32(SCMP_CMP_GT, IPPROTO_UDP));

        /* A connect(2) that is none. Who asks for it falls back to one. */
        refuse_if(EOPNOTSUPP, "sendto", SCMP_A3_32(SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN));
        refuse_if(EOPNOTSUPP, "sendmsg", SCMP_A2_32(SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN));
        refuse_if(EOPNOTSUPP, "sendmmsg", SCMP_A3_32(SCMP_CMP_MASKED_EQ, FASTOPEN, FASTOPEN));
}

/*
 * Asking for it (all ones) and what emulators and debuggers set stay: PER_LINUX32, UNAME26,
 * ADDR_NO_RANDOMIZE. The rest weakens the memory of a program that is started later.
 */
static void build_personality(void)
{
        const uint32_t top = 1u << 31;

        for (unsigned bit = 19; bit < 31; bit++)
                refuse_if(EPERM, "personality",
                          SCMP_A0_32(SCMP_CMP_MASKED_EQ, top | 1u << bit, 1u << bit));
        for (unsigned bit = 0; bit < 31; bit++)
                refuse_if(EPERM, "personality",
                          SCMP_A0_32(SCMP_CMP_MASKED_EQ, top | 1u << bit, top));
}

/*
 * The filter under the netns lock. A namespace that the agent makes inside of its own
 * network lies inside the lock, so those it may have: bwrap, sudo and browsers do.
 */
static void build_netns(void)
{
        static const char *const no_such_call[] = {
                "io_uring_setup", "io_uring_enter", "io_uring_register",
        };
        static const char *const not_allowed[] = {
                "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
                "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load",
                "open_by_handle_at", "swapon", "swapoff", "reboot", "quotactl",
        };

        build_guard();
        build_sockets();
        build_personality();
        for (size_t i = 0; i < sizeof(no_such_call) / sizeof(*no_such_call); i++)
                refuse(ENOSYS, no_such_call[i]);
        for (size_t i = 0; i < sizeof(not_allowed) / sizeof(*not_allowed); i++)
                refuse(EPERM, not_allowed[i]);
}

/*
 * The filter under every other lock: no new namespaces, whose networks would know nothing of
 * the lock. clone3 hides its flags behind a pointer; every libc falls back to clone.
 */
static void build_agent(void)
{
        static const uint32_t spaces[] = {
                CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
        };

        static const struct {
                uint32_t level, option;
        } devices[] = {
                { SOL_SOCKET, SO_BINDTODEVICE }, { SOL_SOCKET, SO_BINDTOIFINDEX },
                { IPPROTO_IP, IP_UNICAST_IF }, { IPPROTO_IPV6, 76 /* IPV6_UNICAST_IF */ },
        };

        build_netns();
        refuse(ENOSYS, "clone3");
        /* What goes out by a device of its own choosing is dropped: better said than waited for. */
        for (size_t i = 0; i < sizeof(devices) / sizeof(*devices); i++)
                refuse_if2(EPERM, "setsockopt",
                           SCMP_A1_64(SCMP_CMP_MASKED_EQ, LOW, devices[i].level),
                           SCMP_A2_64(SCMP_CMP_MASKED_EQ, LOW, devices[i].option));
        refuse(EPERM, "setns");
        for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++) {
                struct scmp_arg_cmp flag = SCMP_A0_32(SCMP_CMP_MASKED_EQ, spaces[i], spaces[i]);

                refuse_if(EPERM, "clone", flag);
                refuse_if(EPERM, "unshare", flag);
        }
        /* CLONE_NEWTIME: in clone(2) the same bit is part of a signal's number. */
        refuse_if(EPERM, "unshare", SCMP_A0_32(SCMP_CMP_MASKED_EQ, 0x80, 0x80));
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
                act(ERR(EPERM), "setsockopt", 2,
                    SCMP_A1_64(SCMP_CMP_MASKED_EQ, LOW, roads[i].level),
                    SCMP_A2_64(SCMP_CMP_MASKED_EQ, LOW, roads[i].option), any);
}

/*
 * What the notify lock refuses by value; loaded beside notify_filter, whose answer an errno
 * beats. An AF_UNIX datagram socket writes to any path, by an address behind a pointer; a
 * pair of them is answered by airlock-notify. PR_SET_DUMPABLE 0 is answered and not done: we
 * could not read the addresses of who hides its memory.
 */
static void build_notify_refuse(void)
{
        build_agent();
        refuse_options();
        for (unsigned t = SOCK_DGRAM; t <= SOCK_RAW; t++)
                refuse_if2(ESOCKTNOSUPPORT, "socket", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX), TYPE(t));
        refuse_if(ESOCKTNOSUPPORT, "socketpair", TYPE(SOCK_RAW));
        refuse(EPERM, "pidfd_getfd");
        act(ERR(0), "prctl", 2, SCMP_A0_32(SCMP_CMP_EQ, 4 /* PR_SET_DUMPABLE */),
            SCMP_A1_64(SCMP_CMP_EQ, 0), any);
}

/*
 * What airlock-notify answers. Calls that only need it on the sockets it made in the place
 * of UDP ones are watched at their numbers alone, 960 to 1023, and 4032 to 4095 for
 * programs that have all of those open: all others stay as fast as they were, and nothing
 * but compatibility hangs on the number.
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
        for (size_t i = 0; i < sizeof(emulated) / sizeof(*emulated); i++) {
                act1(SCMP_ACT_NOTIFY, emulated[i], SCMP_A0_32(SCMP_CMP_MASKED_EQ, 0xffffffc0, 960));
                act1(SCMP_ACT_NOTIFY, emulated[i],
                     SCMP_A0_32(SCMP_CMP_MASKED_EQ, 0xffffffc0, 4032));
        }
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
                "read", "write", "pread64", "pwrite64", "close", "ppoll", "fcntl",
                "fstat", "openat2", "readlinkat", "process_vm_readv", "process_vm_writev",
                "pidfd_open", "pidfd_getfd", "socket", "socketpair", "bind", "connect",
                "getsockname", "getpeername", "getsockopt", "setsockopt", "sendmsg", "recvmsg",
                "sendto", "recvfrom", "shutdown", "clock_gettime", "exit_group",
                "restart_syscall", "rt_sigreturn",
        };
        static const uint32_t ioctls[] = { SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
                                           SECCOMP_IOCTL_NOTIF_ID_VALID,
                                           SECCOMP_IOCTL_NOTIF_ADDFD };

        for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
                act0(SCMP_ACT_ALLOW, needed[i]);
        /* aarch64 has only ppoll; a rule for a call that is not there would be an error. */
        if (seccomp_arch_exist(ctx, SCMP_ARCH_X86_64) == 0)
                act0(SCMP_ACT_ALLOW, "poll");
        for (size_t i = 0; i < sizeof(ioctls) / sizeof(*ioctls); i++)
                act1(SCMP_ACT_ALLOW, "ioctl", SCMP_A1_64(SCMP_CMP_MASKED_EQ, LOW, ioctls[i]));
        /* /proc/N/mem is opened for writing; nothing is created or cut. */
        act1(SCMP_ACT_ALLOW, "openat",
             SCMP_A2_32(SCMP_CMP_MASKED_EQ, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0));
}

/*
 * airlock-agent once it runs: descriptors that it has, a pair of sockets, memory, the clock.
 * What else it asks for is EPERM: no file, no other socket, no program.
 */
static void build_loop(void)
{
        static const char *const allowed[] = {
                "read", "readv", "write", "writev", "close", "lseek", "ftruncate", "fcntl",
                "poll", "ppoll", "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown",
                "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "getrandom",
                "clock_gettime", "rt_sigprocmask", "rt_sigreturn", "restart_syscall", "exit",
                "exit_group",
        };

        for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
                allow(allowed[i]);
        act1(SCMP_ACT_ALLOW, "socketpair", SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));
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
        generate(arch, "proxy_filter", SCMP_ACT_ERRNO(EPERM), build_proxy);
        generate(arch, "loop_filter", SCMP_ACT_ERRNO(EPERM), build_loop);
        generate(arch, "notify_refuse_filter", SCMP_ACT_ALLOW, build_notify_refuse);
        generate(arch, "notify_filter", SCMP_ACT_ALLOW, build_notify);
        generate(arch, "notify_hold_filter", SCMP_ACT_ALLOW, build_notify_hold);
        generate(arch, "notifier_filter", SCMP_ACT_KILL_PROCESS, build_notifier);
        return 0;
}
