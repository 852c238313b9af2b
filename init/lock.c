/* init/lock.c - closes a process's network, and tries whether it is closed. */
#include "init/lock.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <filter.h> /* generated: guard_filter, closed_filter */

const char *lock_name(enum lock lock)
{
        switch (lock) {
        case LOCKED_NOT:
                return "none";
        case LOCKED_NETNS:
                return "netns";
        case LOCKED_CLOSED:
                return "closed";
        }
        return "?";
}

/* An empty network namespace, with its loopback up: local servers go on working. */
static int enter_netns(void)
{
        struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

        if (unshare(CLONE_NEWNET) < 0)
                return -errno;
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
                return -errno;
        return 0;
}

static int load_filter(const struct sock_filter *filter, unsigned short len)
{
        /* The kernel reads it and never writes; its type does not say so. */
        struct sock_fprog program = { len, (struct sock_filter *)(uintptr_t)filter };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

int lock_guard(void)
{
        return load_filter(guard_filter, COUNT(guard_filter));
}

static int enter_closed(void)
{
        /* Abstract sockets of others live in our namespace: leave it, where that is allowed. */
        if (unshare(CLONE_NEWNET) < 0 && errno != EPERM && errno != EINVAL && errno != ENOSYS)
                return -errno;
        return load_filter(closed_filter, COUNT(closed_filter));
}

int lock_enter(enum lock lock)
{
        switch (lock) {
        case LOCKED_NOT:
                return 0;
        case LOCKED_NETNS:
                return enter_netns();
        case LOCKED_CLOSED:
                return enter_closed();
        }
        return -EINVAL;
}

/* Runs @probe in a child under @lock. Returns its answer, 0 to 99; or -errno. */
static int in_child(enum lock lock, int (*probe)(void))
{
        int status;
        pid_t pid = _Fork();

        if (pid < 0)
                return -errno;
        if (!pid) {
                if (lock_enter(lock) < 0)
                        _exit(100);
                _exit(probe ? probe() : 0);
        }
        while (waitpid(pid, &status, 0) < 0) {
                if (errno != EINTR)
                        return -errno;
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) == 100)
                return -EPERM;
        return WEXITSTATUS(status);
}

int lock_choose(void)
{
        if (in_child(LOCKED_NETNS, NULL) == 0)
                return LOCKED_NETNS;
        if (in_child(LOCKED_CLOSED, NULL) == 0)
                return LOCKED_CLOSED;
        return -EPERM;
}

/* Documentation addresses (RFC 5737, RFC 3849): nobody's, should one ever get out. */
static bool connects(int family, int type)
{
        static const struct in6_addr doc6 = { { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } };
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        } to = { 0 };
        AUTO_CLOSE int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return false;
        if (family == AF_INET) {
                to.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53),
                                              .sin_addr.s_addr = htonl(0xc0000201) };
                return !connect(fd, &to.any, sizeof(to.v4)) || errno == EINPROGRESS;
        }
        to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(53),
                                       .sin6_addr = doc6 };
        return !connect(fd, &to.any, sizeof(to.v6)) || errno == EINPROGRESS;
}

/* A packet socket is harmless in a namespace that has no interface but lo. */
static bool sends_packets(void)
{
        struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_halen = 6 };
        AUTO_CLOSE int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return false;
        for (int i = 2; i < 64; i++) { /* 1 is lo, in every namespace */
                to.sll_ifindex = i;
                if (!bind(fd, (struct sockaddr *)&to, sizeof(to)))
                        return true;
        }
        return false;
}

static bool raw_reaches(void)
{
        return connects(AF_INET, SOCK_RAW);
}

static bool rings(void)
{
        struct {
                uint32_t words[30];
        } params = { 0 };
        long fd = syscall(SYS_io_uring_setup, 1, &params);

        if (fd < 0)
                return false;
        close((int)fd);
        return true;
}

static bool stream4(void)
{
        return connects(AF_INET, SOCK_STREAM);
}
static bool datagram4(void)
{
        return connects(AF_INET, SOCK_DGRAM);
}
static bool stream6(void)
{
        return connects(AF_INET6, SOCK_STREAM);
}
static bool datagram6(void)
{
        return connects(AF_INET6, SOCK_DGRAM);
}

/*
 * The datagram connects come first: they only ask the routing table, so a lock that
 * does not hold is found before anything is sent.
 */
static const struct {
        const char *name;
        bool (*open)(void);
        unsigned locks; /* under which it must fail */
} ways[] = {
        { "IPv4 datagram", datagram4, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        { "IPv6 datagram", datagram6, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        { "IPv4 stream", stream4, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        { "IPv6 stream", stream6, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        { "IPv4 raw", raw_reaches, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        { "packet socket", sends_packets, BIT(LOCKED_NETNS) | BIT(LOCKED_CLOSED) },
        /* A ring's sockets live in the namespace too: harmless under netns. */
        { "io_uring", rings, BIT(LOCKED_CLOSED) },
};

static enum lock probed;

static int try_ways(void)
{
        for (unsigned i = 0; i < COUNT(ways); i++) {
                if (ways[i].locks & BIT(probed) && ways[i].open())
                        return (int)i + 1;
        }
        return 0;
}

int lock_prove(enum lock lock, const char **way)
{
        int r;

        probed = lock;
        r = in_child(lock, try_ways);
        if (r <= 0)
                return r;
        *way = ways[r - 1].name;
        return -EEXIST;
}
