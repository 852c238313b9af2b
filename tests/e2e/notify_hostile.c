/*
 * tests/e2e/notify_hostile.c - an agent that wants out of the notify lock.
 *
 *   flip S | swap S        for S seconds: other threads change the address, or the descriptor
 *   many N                 N non-blocking connects at once, each echoes
 *   storm N                N connects under a signal every 50 us, each echoes
 *   ways NOTIFIER DOOR     every other way out: a line `ok NAME` or `LEAK NAME` for each
 *   unix PATH              may PATH (@ for abstract) be connected to? 0: yes
 *   exhaust                more sockets, pairs and binds than anybody remembers
 *   orphaned               after NOTIFIER died: does anything still go out?
 *
 * Forbidden is 10.9.9.77, which the test's namespace routes to a wire that it watches.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __aarch64__
#include "arm32.h"
#endif

#define FORBIDDEN "10.9.9.77"

static int leaks;

static void tried(int out, const char *name)
{
        printf("%s %s\n", out ? "LEAK" : "ok", name);
        leaks += out;
        fflush(stdout);
}

static struct sockaddr_in v4(const char *text, int port)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

        inet_pton(AF_INET, text, &a.sin_addr);
        return a;
}

static double now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- racing -------------------------------------------------------------------------------- */

static struct sockaddr_in target;
static volatile int stop, shared_fd = -1;

static void *flip(void *unused)
{
        struct sockaddr_in good = v4("127.0.0.1", 1), evil = v4(FORBIDDEN, 7);

        while (!stop) {
                for (int i = 0; i < 500; i++) {
                        target = good;
                        __asm__ volatile("" ::: "memory"); /* both stores are made */
                        target = evil;
                        __asm__ volatile("" ::: "memory");
                }
                sched_yield(); /* to the notifier, so that more calls are raced */
        }
        return unused;
}

/* The number is, by turns, a TCP socket, a unix one, a pair's end and a file. */
static void *swap(void *unused)
{
        int tcp = -1, un = socket(AF_UNIX, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
        int null = open("/dev/null", O_RDWR);

        while (!stop) {
                tcp = socket(AF_INET, SOCK_STREAM, 0);
                dup2(tcp, shared_fd);
                dup2(un, shared_fd);
                dup2(tcp, shared_fd);
                dup2(udp, shared_fd);
                dup2(null, shared_fd);
                dup2(tcp, shared_fd);
                close(tcp);
                sched_yield();
        }
        return unused;
}

static int race(double seconds, void *(*other)(void *), int descriptors)
{
        pthread_t t;
        unsigned long n = 0, good = 0;
        double end = now() + seconds;

        target = v4(FORBIDDEN, 7);
        shared_fd = fcntl(socket(AF_INET, SOCK_STREAM, 0), F_DUPFD, 500);
        pthread_create(&t, NULL, other, NULL);
        while (now() < end) {
                int fd = descriptors ? shared_fd : socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

                good += !connect(fd, (struct sockaddr *)&target, sizeof(target)) ||
                        errno == EINPROGRESS;
                n++;
                send(fd, "secret", 6, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (!descriptors)
                        close(fd);
        }
        stop = 1;
        pthread_join(t, NULL);
        printf("%lu connects, %lu of them good\n", n, good);
        return n ? 0 : 1;
}

/* --- load ---------------------------------------------------------------------------------- */

static int many(int n)
{
        struct rlimit files;
        struct sockaddr_in a = v4("198.18.0.1", 7);
        int ep = epoll_create1(0), failed = 0, done = 0;
        struct epoll_event e[256];
        double began = now();

        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
        char *said = calloc((size_t)n + 4096, 1);
        for (int i = 0; i < n; i++) {
                int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                struct epoll_event w = { .events = EPOLLOUT | EPOLLIN, .data.fd = fd };

                if (fd < 0 || fd >= n + 4096 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &w) < 0 ||
                    (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS))
                        failed++;
        }
        double connected = now();
        while (done + failed < n) {
                int got = epoll_wait(ep, e, 256, 10000);

                if (got <= 0)
                        break;
                for (int i = 0; i < got; i++) {
                        int fd = e[i].data.fd;
                        char buf[8];

                        if (e[i].events & EPOLLOUT && !said[fd]) {
                                struct epoll_event w = { .events = EPOLLIN, .data.fd = fd };

                                said[fd] = 1;
                                if (send(fd, "hello", 5, MSG_NOSIGNAL) != 5) {
                                        failed++;
                                        close(fd);
                                        continue;
                                }
                                epoll_ctl(ep, EPOLL_CTL_MOD, fd, &w);
                        } else if (e[i].events & EPOLLIN) {
                                if (recv(fd, buf, 8, 0) == 5)
                                        done++;
                                else
                                        failed++;
                                close(fd);
                        } else {
                                failed++;
                                close(fd);
                        }
                }
        }
        printf("%d of %d echoed, %d failed, connects %.0f ms, all %.0f ms\n", done, n, failed,
               (connected - began) * 1e3, (now() - began) * 1e3);
        return done != n;
}

static volatile unsigned long signals;

static void on_alarm(int n)
{
        signals += n > 0;
}

static int storm(int n)
{
        struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { { 0, 0 }, { 0, 0 } };
        struct sockaddr_in a = v4("198.18.0.1", 7);
        int failed = 0, why = 0;

        sigaction(SIGALRM, &sa, NULL);
        setitimer(ITIMER_REAL, &often, NULL);
        for (int i = 0; i < n; i++) {
                char buf[8];
                int fd = socket(AF_INET, SOCK_STREAM, 0), r;

                if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
                    send(fd, "hello", 5, MSG_NOSIGNAL) != 5) {
                        why = errno;
                        failed++;
                } else {
                        while ((r = (int)recv(fd, buf, 8, 0)) < 0 && errno == EINTR)
                                ;
                        failed += r != 5;
                }
                close(fd);
        }
        setitimer(ITIMER_REAL, &never, NULL);
        printf("%d of %d failed (%s), %lu signals\n", failed, n, strerror(why), signals);
        return failed != 0 || !signals;
}

/* --- every other way ----------------------------------------------------------------------- */

static int opens(int family, int type, int protocol)
{
        int fd = socket(family, type, protocol);

        if (fd >= 0)
                close(fd);
        return fd >= 0;
}

static void families(void)
{
        static const struct {
                int family, type, protocol;
                const char *name;
        } t[] = {
                { AF_INET, SOCK_RAW, 1, "raw" },           { AF_INET, SOCK_RAW, 255, "raw 255" },
                { AF_INET6, SOCK_RAW, 58, "raw6" },        { AF_INET, SOCK_DGRAM, 1, "ping" },
                { AF_INET6, SOCK_DGRAM, 58, "ping6" },     { AF_INET, SOCK_STREAM, 262, "mptcp" },
                { AF_INET6, SOCK_STREAM, 262, "mptcp6" },  { AF_INET, SOCK_STREAM, 132, "sctp" },
                { AF_INET, SOCK_SEQPACKET, 132, "sctp seqpacket" },
                { AF_INET, SOCK_DGRAM, 136, "udplite" },
                { AF_INET6, SOCK_DGRAM, 136, "udplite6" },
                { AF_INET, SOCK_DCCP, 33, "dccp" },        { AF_PACKET, SOCK_RAW, 0x300, "packet" },
                { AF_PACKET, SOCK_DGRAM, 0x300, "packet dgram" },
                { AF_PACKET, SOCK_PACKET, 0x300, "sock_packet" },
                { 40, SOCK_STREAM, 0, "vsock" },           { 38, SOCK_SEQPACKET, 0, "alg" },
                { 43, SOCK_STREAM, 0, "smc" },             { 44, SOCK_RAW, 0, "xdp" },
                { 30, SOCK_STREAM, 0, "tipc" },            { 21, SOCK_SEQPACKET, 0, "rds" },
                { 41, SOCK_DGRAM, 0, "kcm" },              { 31, SOCK_STREAM, 3, "bluetooth" },
                { 29, SOCK_RAW, 1, "can" },                { 33, SOCK_DGRAM, AF_INET, "rxrpc" },
                { 24, SOCK_DGRAM, 0, "pppox" },            { 42, SOCK_DGRAM, 0, "qrtr" },
                { 45, SOCK_DGRAM, 0, "mctp" },             { 46, SOCK_STREAM, 0, "family 46" },
                { AF_NETLINK, SOCK_RAW, 12, "netlink netfilter" },
                { AF_NETLINK, SOCK_RAW, 4, "netlink sock_diag" },
                { AF_NETLINK, SOCK_RAW, 16, "netlink generic" },
                { AF_NETLINK, SOCK_DGRAM, 15, "netlink uevent" },
                { AF_UNIX, SOCK_DGRAM, 0, "unix datagram" },
                { AF_UNIX, SOCK_RAW, 0, "unix raw" },
        };

        for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
                tried(opens(t[i].family, t[i].type, t[i].protocol), t[i].name);
                tried(opens(t[i].family, t[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, t[i].protocol),
                      t[i].name);
        }
        /* The kernel looks at 32 bits of each argument. */
        tried(syscall(SYS_socket, (1ULL << 40) | AF_INET, (1ULL << 40) | SOCK_RAW, 1ULL) >= 0,
              "raw with high bits");
        for (int i = 0; i < 8; i++) {
                long h[3] = { i & 1 ? 1L << 33 : 0, i & 2 ? 1L << 33 : 0, i & 4 ? 1L << 33 : 0 };

                tried(syscall(SYS_socket, h[0] + AF_UNIX, h[1] + SOCK_DGRAM, h[2]) >= 0,
                      "unix datagram with high bits");
                tried(syscall(SYS_socket, h[0] + AF_INET, h[1] + SOCK_STREAM, h[2] + 262) >= 0,
                      "mptcp with high bits");
                tried(syscall(SYS_socket, h[0] + AF_NETLINK, h[1] + SOCK_RAW, h[2] + 4) >= 0,
                      "netlink with high bits");
                tried(syscall(SYS_socket, h[0] + AF_PACKET, h[1] + SOCK_RAW, h[2] + 768) >= 0,
                      "packet with high bits");
        }
        int p[2];
        tried(!socketpair(AF_UNIX, SOCK_RAW, 0, p), "pair of unix raw");
        tried(!socketpair(30, SOCK_STREAM, 0, p), "tipc pair");
        tried(!opens(AF_NETLINK, SOCK_RAW, 0), "netlink route should work");
}

static void fast_open(void)
{
        struct sockaddr_in a = v4(FORBIDDEN, 80);
        struct iovec io = { (char[]){ "x" }, 1 };
        struct msghdr h = { .msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &io,
                            .msg_iovlen = 1 };
        struct mmsghdr mm = { .msg_hdr = h };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

        tried(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof(a)) >= 0 ||
                      errno != EOPNOTSUPP, "sendto MSG_FASTOPEN");
        tried(sendmsg(fd, &h, MSG_FASTOPEN) >= 0 || errno != EOPNOTSUPP, "sendmsg MSG_FASTOPEN");
        tried(sendmmsg(fd, &mm, 1, MSG_FASTOPEN) >= 0 || errno != EOPNOTSUPP,
              "sendmmsg MSG_FASTOPEN");
        h.msg_flags = MSG_FASTOPEN;
        tried(sendmsg(fd, &h, MSG_NOSIGNAL) >= 0, "sendmsg with msg_flags");
        tried(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof(a)) >= 0,
              "sendto with a name on a stream");
        setsockopt(fd, IPPROTO_TCP, 30 /* TCP_FASTOPEN_CONNECT */, &one, sizeof(one));
        int high = fcntl(fd, F_DUPFD, 970);
        tried(sendto(high, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof(a)) >= 0,
              "MSG_FASTOPEN by a watched number");
        connect(fd, (struct sockaddr *)&a, sizeof(a)); /* to the proxy at most: the wire tells */
        sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&a, sizeof(a));
        close(fd);
        close(high);
}

static void options(void)
{
        uint8_t route[8] = { 131, 7, 4, 10, 9, 9, 77, 0 }; /* loose source route */
        uint8_t segments[24] = { 0, 2, 4, 1, 0, 0, 0, 0, 0xfd, [9] = 9, [23] = 0x77 };
        int fd = socket(AF_INET, SOCK_STREAM, 0), six = socket(AF_INET6, SOCK_STREAM, 0), n = 2;

        tried(!setsockopt(fd, IPPROTO_IP, IP_OPTIONS, route, 8), "source route");
        tried(!setsockopt(six, IPPROTO_IPV6, IPV6_RTHDR, segments, 24), "routing header");
        tried(!setsockopt(six, IPPROTO_IPV6, 6, segments, 24), "2292 options");
        tried(!setsockopt(six, IPPROTO_IPV6, 32, segments, 24), "flow label");
        tried(!setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "v0", 3), "bind to a device");
        tried(!setsockopt(fd, SOL_SOCKET, 62, &n, sizeof(n)), "bind to an interface");
        tried(!setsockopt(fd, IPPROTO_IP, 50, &n, sizeof(n)), "unicast interface");
        /* The kernel looks at 32 bits of each argument. */
        for (int high = 1; high < 4; high++) {
                long level = high & 1 ? 1L << 40 : 0, option = high & 2 ? 1L << 32 : 0;

                tried(!syscall(SYS_setsockopt, six, level + 41, option + 78, &n, sizeof(n)),
                      "freebind with high bits");
                tried(!syscall(SYS_setsockopt, fd, level, option + 4, route, 8),
                      "source route with high bits");
        }
        tried(!setsockopt(fd, SOL_SOCKET, SO_MARK, &n, sizeof(n)), "mark");
        struct group_req group = { .gr_interface = 0 };
        struct sockaddr_in g4 = v4("239.1.2.3", 0);
        struct sockaddr_in6 g6 = { .sin6_family = AF_INET6 };
        struct ip_mreq_source source = { .imr_multiaddr = g4.sin_addr };
        struct ipv6_mreq join = { .ipv6mr_interface = 0 };
        inet_pton(AF_INET6, "ff15::1:2:3", &g6.sin6_addr);
        join.ipv6mr_multiaddr = g6.sin6_addr;
        memcpy(&group.gr_group, &g4, sizeof(g4));
        tried(!setsockopt(fd, 0, MCAST_JOIN_GROUP, &group, sizeof(group)), "join a group");
        tried(!setsockopt(fd, 0, IP_ADD_SOURCE_MEMBERSHIP, &source, sizeof(source)),
              "join a group of a source");
        tried(!setsockopt(fd, 0, IP_ADD_MEMBERSHIP, &source, 8), "add a membership");
        memcpy(&group.gr_group, &g6, sizeof(g6));
        tried(!setsockopt(six, 41, MCAST_JOIN_GROUP, &group, sizeof(group)), "join an IPv6 group");
        tried(!setsockopt(six, 41, IPV6_ADD_MEMBERSHIP, &join, sizeof(join)),
              "add an IPv6 membership");
        /* A server of our own would answer the client's address: on the wire. */
        struct sockaddr_in6 own = { .sin6_family = AF_INET6, .sin6_port = htons(5555) };
        struct sockaddr_in6 foreign = { .sin6_family = AF_INET6 };
        inet_pton(AF_INET6, "fd09::2", &own.sin6_addr);
        inet_pton(AF_INET6, "fd09::77", &foreign.sin6_addr);
        int server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
        n = 1;
        setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &n, sizeof(n));
        fcntl(client, F_SETFL, O_RDWR | O_NONBLOCK);
        tried(!setsockopt(client, 41, 78, &n, sizeof(n)), "IPv6 freebind");
        tried(!setsockopt(client, 0, 15, &n, sizeof(n)), "freebind");
        tried(bind(server, (struct sockaddr *)&own, sizeof(own)) || listen(server, 5),
              "a server of one's own should work");
        bind(client, (struct sockaddr *)&foreign, sizeof(foreign));
        connect(client, (struct sockaddr *)&own, sizeof(own));
        usleep(20000);
        close(client);
        close(server);
        close(fd);
        close(six);
}

static void datagrams(void)
{
        static const int levels[] = { IPPROTO_IP, IPPROTO_IPV6 };
        struct sockaddr_in a = v4(FORBIDDEN, 53);
        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
        struct in_pktinfo pi = { .ipi_ifindex = 2 };
        union {
                struct cmsghdr h;
                char room[CMSG_SPACE(sizeof(pi))];
        } control = { 0 };
        struct iovec io = { (char[]){ "escape" }, 6 };
        struct msghdr h = { .msg_name = &a, .msg_namelen = sizeof(a), .msg_iov = &io,
                            .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof(control) };
        struct mmsghdr mm[2];

        inet_pton(AF_INET6, "fd09::77", &a6.sin6_addr);
        for (int i = 0; i < 2; i++) {
                int fd = socket(i ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), low = dup2(fd, 400);

                control.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(pi)),
                                              .cmsg_level = levels[i], .cmsg_type = 8 };
                memcpy(CMSG_DATA(&control.h), &pi, sizeof(pi));
                for (int j = 0; j < 2; j++) {
                        int s = j ? low : fd;

                        setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "v0", 3);
                        sendto(s, "escape", 6, MSG_NOSIGNAL, i ? (struct sockaddr *)&a6
                               : (struct sockaddr *)&a, i ? sizeof(a6) : sizeof(a));
                        sendmsg(s, &h, MSG_NOSIGNAL);
                        mm[0].msg_hdr = mm[1].msg_hdr = h;
                        sendmmsg(s, mm, 2, MSG_NOSIGNAL);
                        connect(s, i ? (struct sockaddr *)&a6 : (struct sockaddr *)&a,
                                i ? sizeof(a6) : sizeof(a));
                        send(s, "escape", 6, MSG_NOSIGNAL);
                }
                close(fd);
                close(low);
        }
        tried(0, "datagrams: the wire tells");
}

static void rings_and_spaces(void)
{
        char params[120] = { 0 };
        struct sock_filter allow = { 0x06, 0, 0, SECCOMP_RET_ALLOW };
        struct sock_fprog prog = { 1, &allow };

        tried(syscall(SYS_io_uring_setup, 4, params) >= 0 || errno != ENOSYS, "io_uring");
        tried(!unshare(CLONE_NEWNET), "unshare net");
        tried(!unshare(CLONE_NEWUSER), "unshare user");
        tried(!unshare(CLONE_NEWUSER | CLONE_NEWNET), "unshare both");
        tried(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0, "clone user");
        tried(syscall(SYS_clone, CLONE_NEWNET | SIGCHLD, 0, 0, 0, 0) >= 0, "clone net");
        tried(syscall(SYS_clone3, params, 64) >= 0 || errno != ENOSYS, "clone3");
        tried(!setns(open("/proc/1/ns/net", O_RDONLY), 0), "setns");
        tried(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                      &prog) >= 0, "a listener of one's own");
        tried(syscall(SYS_pidfd_getfd, 0, 0, 0) >= 0, "pidfd_getfd");
}

/* i386 and x32: other numbers, other filters. Both kill. */
#ifdef __aarch64__
static void other_abis(void)
{
        int status = arm32_run();

        tried(status != -1 && !WIFSIGNALED(status), "AArch32");
}
#else
static void other_abis(void)
{
        int status;
        pid_t pid = fork();

        if (!pid) {
                long r;

                __asm__ volatile("int $0x80" : "=a"(r) : "a"(359L), "b"(2L), "c"(3L), "d"(1L));
                _exit(r >= 0 ? 1 : 2); /* 359 is socket(2) there */
        }
        waitpid(pid, &status, 0);
        tried(!WIFSIGNALED(status), "i386");
        pid = fork();
        if (!pid)
                _exit(syscall(0x40000000 + 41, AF_INET, SOCK_RAW, 1) >= 0 ? 1 : 2);
        waitpid(pid, &status, 0);
        tried(!WIFSIGNALED(status) && WEXITSTATUS(status) == 1, "x32");
}
#endif

static void notifier(pid_t pid)
{
        char path[64];
        struct rlimit none = { 0, 0 };
        struct iovec io = { path, 8 }, there = { (void *)0x1000, 8 };
        int fd;

        tried(!ptrace(PTRACE_ATTACH, pid, 0, 0), "ptrace the notifier");
        tried(!ptrace(PTRACE_SEIZE, pid, 0, 0), "seize the notifier");
        for (int i = 0; i < 5; i++) {
                static const char *const file[] = { "mem", "environ", "maps", "fd/3", "auxv" };

                snprintf(path, sizeof(path), "/proc/%d/%s", pid, file[i]);
                fd = open(path, i ? O_RDONLY : O_RDWR);
                tried(fd >= 0, path);
                if (fd >= 0)
                        close(fd);
        }
        tried(process_vm_readv(pid, &io, 1, &there, 1, 0) >= 0 || errno == EFAULT, "read it");
        tried(!syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, &none, NULL), "prlimit");
        tried(!syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, &none, NULL), "prlimit of a parent");
        fd = (int)syscall(SYS_pidfd_open, pid, 0);
        tried(fd >= 0 && syscall(SYS_pidfd_getfd, fd, 3, 0) >= 0, "its descriptors");
        if (getenv("SIGNALS_REFUSED")) {
                tried(!kill(pid, SIGSTOP), "SIGSTOP");
                tried(!kill(pid, SIGKILL), "SIGKILL");
        }
}

static void addresses(int door)
{
        static const char *const far[] = { "10.9.9.1", "10.9.9.3", "224.0.0.1", "255.255.255.255",
                                           "10.9.9.255", "169.254.169.254", FORBIDDEN };
        struct sockaddr_in a;
        int fd;

        for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++) {
                a = v4(far[i], 80);
                fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                connect(fd, (struct sockaddr *)&a, sizeof(a));
                send(fd, "x", 1, MSG_NOSIGNAL);
                close(fd);
        }
        a = v4("127.0.0.1", door);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        tried(!connect(fd, (struct sockaddr *)&a, sizeof(a)), "the notifier's door, unannounced");
        close(fd);
        /* Docker's resolver listens on a loopback address. */
        int server = socket(AF_INET, SOCK_STREAM, 0), got;
        socklen_t len = sizeof(a);
        a = v4("127.0.0.11", 0);
        bind(server, (struct sockaddr *)&a, sizeof(a));
        listen(server, 5);
        getsockname(server, (struct sockaddr *)&a, &len);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&a, sizeof(a));
        usleep(50000);
        fcntl(server, F_SETFL, O_RDWR | O_NONBLOCK);
        got = accept(server, NULL, NULL);
        tried(got >= 0, "127.0.0.11");
        close(fd);
        close(server);
}

static void odd_arguments(void)
{
        static char deep[1 << 16];
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        struct iovec *io = calloc(1024, sizeof(*io));
        struct msghdr h = { .msg_iov = io, .msg_iovlen = 1024 };
        struct sockaddr_in a = v4("198.18.0.1", 7);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);

        memset(un.sun_path, '/', sizeof(un.sun_path));
        tried(!connect(fd, (struct sockaddr *)&un, sizeof(un)), "a path of slashes");
        for (unsigned i = 0; i + 3 < sizeof(un.sun_path); i += 3)
                memcpy(un.sun_path + i, "../", 3);
        tried(!connect(fd, (struct sockaddr *)&un, sizeof(un)), "a path of dots");
        memset(deep, 'x', sizeof(deep));
        tried(!connect(fd, (struct sockaddr *)deep, sizeof(deep)), "a length of 64 KiB");
        tried(!connect(fd, (struct sockaddr *)deep, (socklen_t)-1), "a length of -1");
        tried(!connect(fd, NULL, 16), "no address");
        tried(!connect(fd, (struct sockaddr *)-1L, 16), "an address of the kernel");
        tried(!connect(1 << 30, (struct sockaddr *)&a, 16), "a descriptor out of range");
        for (int i = 0; i < 1024; i++)
                io[i] = (struct iovec){ deep, sizeof(deep) };
        sendmsg(udp, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
        recvmsg(udp, (struct msghdr *)-8L, MSG_DONTWAIT);
        recvfrom(udp, deep, 10, MSG_DONTWAIT, (struct sockaddr *)8, (socklen_t *)8);
        getsockname(udp, (struct sockaddr *)8, (socklen_t *)8);
        setsockopt(udp, 0, 0, (void *)8, 1 << 30);
        /* An address at the end of a page whose neighbour is not there. */
        char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(page + 4096, 4096);
        memcpy(page + 4096 - 8, &a, 8);
        int tcp = socket(AF_INET, SOCK_STREAM, 0);
        tried(!connect(tcp, (struct sockaddr *)(page + 4096 - 8), 16) || errno != EFAULT,
              "half an address");
        memcpy(page + 4096 - 16, &a, 16);
        tried(connect(tcp, (struct sockaddr *)(page + 4096 - 16), 16) < 0,
              "a whole one should work");
        close(tcp);
        close(fd);
        close(udp);
}

/* A helper that is inside, too, has nothing to give that we could not open ourselves. */
static int ways(pid_t pid, int door)
{
        families();
        fast_open();
        options();
        datagrams();
        rings_and_spaces();
        other_abis();
        notifier(pid);
        addresses(door);
        odd_arguments();
        return leaks != 0;
}

static int unix_connect(const char *path)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        socklen_t len = sizeof(a);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;
        char got[16] = "";

        strcpy(a.sun_path, path);
        if (*path == '@') {
                a.sun_path[0] = '\0';
                len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        }
        r = connect(fd, (struct sockaddr *)&a, len);
        printf("%s\n", r ? strerror(errno) : "connected");
        if (!r && recv(fd, got, 15, 0) > 0)
                printf("%s\n", got);
        return r != 0;
}

static int exhaust(void)
{
        struct sockaddr_in any = v4("127.0.0.1", 0), a = v4("198.18.0.1", 7);
        struct rlimit files;
        char buf[8];
        int fd;

        getrlimit(RLIMIT_NOFILE, &files);
        files.rlim_cur = files.rlim_max < 20000 ? files.rlim_max : 20000;
        setrlimit(RLIMIT_NOFILE, &files);
        for (int i = 0; i < 6000; i++)
                socket(AF_INET, SOCK_STREAM, 0);
        for (int i = 0; i < 200; i++)
                socket(AF_INET, SOCK_DGRAM, 0);
        for (int i = 0; i < 6000; i++) {
                fd = socket(i % 2 ? AF_INET : AF_UNIX, SOCK_STREAM, 0);
                bind(fd, (struct sockaddr *)&any, sizeof(any));
                close(fd);
        }
        /* The very first socket is long forgotten; it works, by the last resort. */
        for (int i = 0; i < 2; i++) {
                fd = i ? socket(AF_INET, SOCK_STREAM, 0) : 3;
                tried(connect(fd, (struct sockaddr *)&a, sizeof(a)) ||
                              send(fd, "hello", 5, 0) != 5 || recv(fd, buf, 8, 0) != 5,
                      i ? "a new socket" : "a forgotten one");
        }
        return leaks != 0;
}

static int orphaned(pid_t pid)
{
        struct sockaddr_in a = v4(FORBIDDEN, 80), b = v4("198.18.0.1", 7);
        int fd = socket(AF_INET, SOCK_STREAM, 0), r;

        if (pid && kill(pid, SIGKILL) < 0)
                return 2;
        usleep(100000);
        r = connect(fd, (struct sockaddr *)&a, sizeof(a));
        tried(!r || errno != ENOSYS, "connect");
        r = connect(fd, (struct sockaddr *)&b, sizeof(b));
        tried(!r || errno != ENOSYS, "connect again");
        tried(opens(AF_INET, SOCK_DGRAM, 0), "a datagram socket");
        tried(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof(a)) >= 0, "fast open");
        return leaks != 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";
        const char *arg = argc > 2 ? argv[2] : "0";

        signal(SIGPIPE, SIG_IGN);
        if (!strcmp(what, "flip"))
                return race(atof(arg), flip, 0);
        if (!strcmp(what, "swap"))
                return race(atof(arg), swap, 1);
        if (!strcmp(what, "many"))
                return many(atoi(arg));
        if (!strcmp(what, "storm"))
                return storm(atoi(arg));
        if (!strcmp(what, "ways"))
                return ways(atoi(arg), argc > 3 ? atoi(argv[3]) : 0);
        if (!strcmp(what, "unix"))
                return unix_connect(arg);
        if (!strcmp(what, "exhaust"))
                return exhaust();
        if (!strcmp(what, "orphaned"))
                return orphaned(atoi(arg));
        return 2;
}
