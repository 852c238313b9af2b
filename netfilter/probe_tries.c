/* netfilter/probe_tries.c - the table of tries; those that begin with a socket. */
#include "netfilter/probe_tries.h"

#include "base/io.h"
#include "base/rd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h> /* for the next */
#include <linux/errqueue.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define PATIENCE_MS 3000 /* for an answer that should come; one that should not costs 50 */
#define CONNECT_MS 1000  /* whatever ends here ends at once */
#define ECHO_MS 50
#define DEVICES_MAX 64

enum { /* numbers that libc's headers lack */
        PROTO_MPTCP = 262,
        PROTO_UDPLITE = 136,
        PROTO_SCTP = 132,
        PROTO_DCCP = 33,
        TYPE_DCCP = 6,
        FAMILY_VSOCK = 40,
};

union address {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
};

/* --- where we are ---------------------------------------------------------------------- */

/* Devices that are down stay so: setting one up takes CAP_NET_ADMIN. */
static bool only_loopback_is_up(void)
{
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return false;
        for (int i = 1; i <= DEVICES_MAX; i++) {
                struct ifreq device = { .ifr_ifindex = i };

                if (ioctl(fd, SIOCGIFNAME, &device) < 0)
                        continue;
                if (ioctl(fd, SIOCGIFFLAGS, &device) < 0 ||
                    ((device.ifr_flags & IFF_UP) && !(device.ifr_flags & IFF_LOOPBACK)))
                        return false;
        }
        return true;
}

/* A namespace's own table of devices; more than we counted means that it is the machine's. */
static bool has_few_devices(void)
{
        char text[8192];
        ssize_t n = read_file(AT_FDCWD, "/proc/self/net/dev", text, sizeof(text));
        unsigned lines = 0;

        for (ssize_t i = 0; i < n; i++)
                lines += text[i] == '\n';
        return n > 0 && lines < DEVICES_MAX / 2;
}

static void add_pid(struct probe *p, int pid)
{
        for (unsigned i = 0; i < p->pid_count; i++) {
                if (p->pids[i] == pid)
                        return;
        }
        if (pid > 0 && pid != getpid() && p->pid_count < PROBE_PIDS_MAX)
                p->pids[p->pid_count++] = pid;
}

/* No other lock says EACCES to a socket that must be there for one's own servers. */
static bool is_closed(void)
{
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        return fd < 0 && errno == EACCES;
}

void probe_look_around(struct probe *p)
{
        p->no_inet = is_closed();
        p->alone = has_few_devices() && only_loopback_is_up();
        add_pid(p, 1);
        add_pid(p, getppid());
}

/* --- streams --------------------------------------------------------------------------- */

static socklen_t documentation(int family, uint16_t port, union address *a)
{
        static const struct in6_addr doc6 = { { { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } } };

        memset(a, 0, sizeof(*a));
        if (family == AF_INET) {
                a->v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port),
                                              .sin_addr.s_addr = htonl(0xc6336401) };
                return sizeof(a->v4);
        }
        a->v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(port),
                                       .sin6_addr = doc6 };
        return sizeof(a->v6);
}

static bool wait_for(int fd, short events, int ms)
{
        struct pollfd p = { .fd = fd, .events = events };
        int r;

        do
                r = poll(&p, 1, ms);
        while (r < 0 && errno == EINTR);
        return r > 0;
}

/*
 * Was it somebody outside who said no? An ICMP error names its sender, and only our own
 * addresses can be bound to. False for errors that never left the kernel.
 */
static bool said_outside(int fd)
{
        union address offender;
        union {
                struct cmsghdr align;
                char bytes[256];
        } control;
        char byte;
        struct iovec io = { &byte, 1 };
        struct msghdr h = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes) };
        const struct cmsghdr *c;
        const struct sock_extended_err *e;

        if (recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
                return false;
        c = CMSG_FIRSTHDR(&h);
        if (!c || c->cmsg_len < CMSG_LEN(sizeof(*e) + sizeof(offender.v4)))
                return false;
        e = (const struct sock_extended_err *)(const void *)CMSG_DATA(c);
        if (e->ee_origin != SO_EE_ORIGIN_ICMP && e->ee_origin != SO_EE_ORIGIN_ICMP6)
                return false;
        memset(&offender, 0, sizeof(offender));
        memcpy(&offender, e + 1, e->ee_origin == SO_EE_ORIGIN_ICMP ? sizeof(offender.v4)
                                                                   : sizeof(offender.v6));
        offender.v4.sin_port = 0; /* where the other family has it too */
        AUTO_CLOSE int own = socket(offender.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        return own >= 0 && bind(own, &offender.any, sizeof(offender.v6)) < 0 &&
               errno == EADDRNOTAVAIL;
}

static void ask_who_said_no(int fd, int family)
{
        int on = 1;

        if (family == AF_INET)
                setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
        else
                setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

/* 0 once connected, or an errno; ETIMEDOUT: it left, and nobody said anything. */
static int connects(int fd, const union address *to, socklen_t len)
{
        int err = 0;
        socklen_t size = sizeof(err);

        if (!connect(fd, &to->any, len))
                return 0;
        if (errno != EINPROGRESS)
                return errno;
        if (!wait_for(fd, POLLOUT, CONNECT_MS))
                return ETIMEDOUT;
        return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 ? errno : err;
}

/*
 * Somebody took the connection. In a namespace that is alone it was one of us. Elsewhere it
 * must be our proxy, which denies by name or says nothing at all.
 */
static bool judge_connected(const struct probe *p, int fd, struct wr *detail)
{
        static const char ask[] = "GET / HTTP/1.1\r\nHost: 198.51.100.1\r\n\r\n";
        char answer[1024];
        ssize_t n;

        if (p->alone) {
                wr_str(detail, "ends inside");
                return true;
        }
        if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0 || !wait_for(fd, POLLIN, PATIENCE_MS))
                n = -1;
        else
                n = recv(fd, answer, sizeof(answer) - 1, 0);
        if (n <= 0) {
                wr_str(detail, "taken, and ended without a word");
                return true;
        }
        answer[n] = '\0';
        if (strcasestr(answer, "x-airlock-denied")) {
                wr_str(detail, "denied by the proxy");
                return true;
        }
        wr_str(detail, "somebody answered");
        return false;
}

static bool stream_to(const struct probe *p, int protocol, const union address *to, socklen_t len,
                      struct wr *detail)
{
        AUTO_CLOSE int fd =
                socket(to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        int err = fd < 0 ? errno : 0;

        if (fd >= 0) {
                ask_who_said_no(fd, to->any.sa_family);
                err = connects(fd, to, len);
        }
        if (!err)
                return judge_connected(p, fd, detail);
        probe_say_errno(detail, err);
        if (fd < 0 || (err != ETIMEDOUT && !said_outside(fd)))
                return true;
        wr_str(detail, err == ETIMEDOUT ? ": it left" : ", said somebody outside");
        return p->alone;
}

static bool stream(const struct probe *p, int family, struct wr *detail)
{
        union address to;
        socklen_t len = documentation(family, 80, &to);

        return stream_to(p, 0, &to, len, detail);
}

static bool stream_of(const struct probe *p, int protocol, struct wr *detail)
{
        union address to;
        socklen_t len = documentation(AF_INET, 80, &to);

        return stream_to(p, protocol, &to, len, detail);
}

static bool mapped(const struct probe *p, int argument, struct wr *detail)
{
        union address to;
        socklen_t len = documentation(AF_INET6, 80, &to);

        (void)argument;
        to.v6.sin6_addr = (struct in6_addr){ { { [10] = 0xff, 0xff, 198, 51, 100, 1 } } };
        return stream_to(p, 0, &to, len, detail);
}

/* Each cloud has its own address for what an instance may know and hold. */
static bool metadata(const struct probe *p, int argument, struct wr *detail)
{
        static const uint32_t addresses[] = { 0xa9fea9fe, 0x646464c8, 0xa83f8110, 0xc00000c0 };
        union address to;
        socklen_t len = documentation(AF_INET, 80, &to);

        (void)argument;
        for (size_t i = 0; i < COUNT(addresses); i++) {
                struct wr words = wr_of(detail->buf, detail->cap);

                to.v4.sin_addr.s_addr = htonl(addresses[i]);
                if (!stream_to(p, 0, &to, len, &words)) {
                        *detail = words;
                        return false;
                }
                *detail = words;
        }
        return true;
}

/* The first data goes along with the SYN: no connect() takes place. */
static bool fast_open(const struct probe *p, int argument, struct wr *detail)
{
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval patience = { CONNECT_MS / 1000, 0 };
        union address to;
        socklen_t len = documentation(AF_INET, 80, &to);

        (void)argument;
        if (fd >= 0)
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        if (fd >= 0 && sendto(fd, "", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &to.any, len) >= 0)
                return judge_connected(p, fd, detail);
        probe_say_errno(detail, errno); /* with SO_SNDTIMEO a connect that hangs says EINPROGRESS */
        return errno != EINPROGRESS && errno != EAGAIN;
}

/* --- datagrams, names ------------------------------------------------------------------ */

/*
 * Under notify a datagram socket is an AF_UNIX one, made to look like what was asked for. It
 * knows SIOCUNIXFILE all the same, which others have never heard of.
 */
static bool is_replaced(int fd)
{
        AUTO_CLOSE int file = ioctl(fd, 0x89e0 /* SIOCUNIXFILE */);

        return file >= 0 || errno == EPERM || errno == ENOENT;
}

/* Nobody's port: an error must come back, or nothing may have been sent. */
static bool judge_sent(int fd, struct wr *detail)
{
        char byte;

        if (wait_for(fd, POLLIN | POLLERR, ECHO_MS) && recv(fd, &byte, 1, MSG_DONTWAIT) < 0) {
                probe_say_errno(detail, errno);
                if (!said_outside(fd))
                        return true;
                wr_str(detail, ", said somebody outside");
                return false;
        }
        wr_str(detail, "sent, and nobody said no");
        return false;
}

static bool datagram_of(const struct probe *p, int family, int protocol, struct wr *detail)
{
        AUTO_CLOSE int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
        union address to;
        socklen_t len = documentation(family, 443, &to);
        static const char echo[16] = { 8 }; /* an ICMP echo request, for ping sockets */

        if (fd >= 0)
                ask_who_said_no(fd, family);
        if (fd < 0 || connect(fd, &to.any, len) < 0 ||
            (!p->alone && !is_replaced(fd) && send(fd, echo, sizeof(echo), MSG_NOSIGNAL) < 0)) {
                probe_say_errno(detail, errno);
                return true;
        }
        if (!p->alone && !is_replaced(fd))
                return judge_sent(fd, detail);
        wr_str(detail, p->alone ? "ends inside" : "replaced");
        return true;
}

static bool datagram(const struct probe *p, int family, struct wr *detail)
{
        return datagram_of(p, family, 0, detail);
}

static bool datagram_protocol(const struct probe *p, int protocol, struct wr *detail)
{
        return datagram_of(p, AF_INET, protocol, detail);
}

/* A question for a name that nobody has asked for, ever. Returns its length. */
static size_t put_question(uint8_t *packet)
{
        static const char hex[] = "0123456789abcdef";
        static const uint8_t rest[] = { 7, 'i', 'n', 'v', 'a', 'l', 'i', 'd', 0, 0, 1, 0, 1 };
        uint8_t nonce[18];
        size_t n = 12;

        memset(packet, 0, 12);
        if (getrandom(nonce, sizeof(nonce), 0) != sizeof(nonce))
                memset(nonce, 7, sizeof(nonce));
        packet[0] = nonce[16];
        packet[1] = nonce[17];
        packet[2] = 1; /* recursion desired */
        packet[5] = 1; /* one question */
        packet[n++] = 32;
        for (size_t i = 0; i < 16; i++) {
                packet[n++] = (uint8_t)hex[nonce[i] >> 4];
                packet[n++] = (uint8_t)hex[nonce[i] & 15];
        }
        memcpy(packet + n, rest, sizeof(rest));
        return n + sizeof(rest);
}

/* Does the answer to @question hold an address that is not one of our synthetic ones? */
static bool names_somebody(const uint8_t *answer, size_t len, size_t question)
{
        struct rd r = rd_of(answer, len);
        unsigned count;

        rd_bytes(&r, 6);
        count = rd_be16(&r);
        rd_bytes(&r, question - 8);
        if (!count || r.bad)
                return false;
        rd_bytes(&r, 10); /* a pointer to the name, type, class, time to live */
        if (rd_be16(&r) != 4)
                return true;
        return (rd_be32(&r) & 0xfffe0000) != 0xc6120000; /* 198.18.0.0/15 */
}

static bool names(const struct probe *p, int address, struct wr *detail)
{
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        uint8_t packet[512];
        size_t question = put_question(packet);
        union address to;
        socklen_t len = documentation(AF_INET, 53, &to);
        ssize_t n = -1;

        to.v4.sin_addr.s_addr = htonl((uint32_t)address);
        if (fd >= 0 && !connect(fd, &to.any, len) && send(fd, packet, question, MSG_NOSIGNAL) > 0 &&
            wait_for(fd, POLLIN, p->off ? ECHO_MS : PATIENCE_MS))
                n = recv(fd, packet, sizeof(packet), 0);
        if (n < 0) {
                wr_str(detail, "nobody answers");
                return p->off || p->no_inet;
        }
        if (p->off && !p->alone && !is_replaced(fd)) {
                wr_str(detail, "somebody answers");
                return false;
        }
        wr_fmt(detail, "answered with code %u", packet[3] & 15);
        return !names_somebody(packet, (size_t)n, question);
}

/* --- other sockets --------------------------------------------------------------------- */

/* Bound to a network namespace: harmless in one that is alone. */
static bool opens(const struct probe *p, int family, int type, int protocol, struct wr *detail)
{
        AUTO_CLOSE int fd = socket(family, type | SOCK_CLOEXEC, protocol);

        probe_say_errno(detail, fd < 0 ? errno : 0);
        return fd < 0 || p->alone;
}

static bool raw(const struct probe *p, int family, struct wr *detail)
{
        return opens(p, family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6,
                     detail);
}

static bool packets(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return opens(p, AF_PACKET, SOCK_DGRAM, 0, detail);
}

static bool dccp(const struct probe *p, int argument, struct wr *detail)
{
        (void)argument;
        return opens(p, AF_INET, TYPE_DCCP, PROTO_DCCP, detail);
}

/* Other families: each by its number, of every type. */
static bool families(const struct probe *p, int argument, struct wr *detail)
{
        static const uint8_t numbers[] = { 3, 9, 15, 21, 24, 27, 29, 30, 31, 37, 39, 41, 42, 43,
                                           44, 45 };
        static const uint8_t types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET };

        (void)argument;
        for (size_t i = 0; i < COUNT(numbers) * COUNT(types) && !p->alone; i++) {
                AUTO_CLOSE int fd = socket(numbers[i / COUNT(types)],
                                           types[i % COUNT(types)] | SOCK_CLOEXEC, 0);

                if (fd >= 0) {
                        wr_fmt(detail, "family %u opened", numbers[i / COUNT(types)]);
                        return false;
                }
        }
        wr_str(detail, p->alone ? "bound to the namespace" : "none opens");
        return true;
}

/* The host of a virtual machine: no network namespace is between us and it. */
static bool vsock(const struct probe *p, int argument, struct wr *detail)
{
        AUTO_CLOSE int stream = socket(FAMILY_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int err = errno;

        (void)p;
        (void)argument;
        probe_say_errno(detail, stream < 0 ? err : 0);
        return stream < 0;
}

/* A change that changes nothing, for which CAP_NET_ADMIN is asked all the same. */
static bool network_admin(const struct probe *p, int argument, struct wr *detail)
{
        struct {
                struct nlmsghdr head;
                struct ifinfomsg link;
        } m = { .head = { .nlmsg_len = sizeof(m), .nlmsg_type = RTM_NEWLINK,
                          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
                .link.ifi_index = 1 };
        struct {
                struct nlmsghdr head;
                struct nlmsgerr error;
        } answer = { 0 };
        AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        (void)p;
        (void)argument;
        if (fd < 0 || send(fd, &m, sizeof(m), 0) < 0 ||
            recv(fd, &answer, sizeof(answer), 0) < (ssize_t)sizeof(answer.head)) {
                probe_say_errno(detail, errno);
                return true;
        }
        probe_say_errno(detail, -answer.error.error);
        return answer.error.error != 0;
}

static const char engine_paths[] =
        "/run/docker.sock\0" "/var/run/docker.sock\0" "/run/containerd/containerd.sock\0"
        "/run/podman/podman.sock\0" "/run/crio/crio.sock\0" "/run/buildkit/buildkitd.sock\0"
        "/run/dbus/system_bus_socket\0" "/var/run/dbus/system_bus_socket\0"
        "/run/systemd/private\0" "/run/k3s/containerd/containerd.sock\0"
        "/run/snapd.socket\0" "/run/libvirt/libvirt-sock\0";
static const char session_paths[] = "bus\0" "systemd/private\0" "podman/podman.sock\0"
                                    "docker.sock\0" "containerd/containerd.sock\0";

static bool reaches(const char *path)
{
        AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        union address a = { .path.sun_family = AF_UNIX };
        size_t len = strlen(path);

        if (fd < 0 || len >= sizeof(a.path.sun_path))
                return false;
        memcpy(a.path.sun_path, path, len);
        return !connect(fd, &a.any, sizeof(a.path)) || errno == EAGAIN;
}

static bool engines(const struct probe *p, int argument, struct wr *detail)
{
        (void)p;
        (void)argument;
        for (const char *s = engine_paths; *s; s += strlen(s) + 1) {
                if (reaches(s)) {
                        wr_str(detail, s);
                        return false;
                }
        }
        for (const char *s = session_paths; *s; s += strlen(s) + 1) {
                char path[64];
                struct wr w = wr_of(path, sizeof(path));

                wr_fmt(&w, "/run/user/%u/%s", getuid(), s);
                if (reaches(wr_cstr(&w))) {
                        wr_str(detail, path);
                        return false;
                }
        }
        wr_str(detail, "none in reach");
        return true;
}

/* A device that makes packets of bytes: somebody else might route them. */
static bool tunnel(const struct probe *p, int argument, struct wr *detail)
{
        AUTO_CLOSE int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        struct ifreq device = { .ifr_flags = 0x1001 /* IFF_TUN | IFF_NO_PI */ };

        (void)argument;
        if (fd >= 0 && !ioctl(fd, 0x400454caUL /* TUNSETIFF */, &device)) {
                wr_str(detail, "made a device");
                return p->alone;
        }
        probe_say_errno(detail, errno);
        return true;
}

/* Whoever may write these runs a program of his choice as root, outside. Only opened. */
static bool kernel_settings(const struct probe *p, int argument, struct wr *detail)
{
        static const char paths[][36] = { "/proc/sys/kernel/core_pattern",
                                          "/proc/sys/kernel/modprobe", "/sys/kernel/uevent_helper" };

        (void)p;
        (void)argument;
        for (size_t i = 0; i < COUNT(paths); i++) {
                AUTO_CLOSE int fd = open(paths[i], O_WRONLY | O_CLOEXEC);

                if (fd >= 0) {
                        wr_fmt(detail, "may write %s", paths[i]);
                        return false;
                }
        }
        probe_say_errno(detail, errno);
        return true;
}

/* --- what must work -------------------------------------------------------------------- */

static bool echoes(int client, int server)
{
        char byte = 'x';

        return send(client, &byte, 1, MSG_NOSIGNAL) == 1 && wait_for(server, POLLIN, PATIENCE_MS) &&
               recv(server, &byte, 1, 0) == 1;
}

static bool serves(union address *at, socklen_t len, struct wr *detail)
{
        AUTO_CLOSE int server = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        AUTO_CLOSE int client = socket(at->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(*at);

        if (server < 0 || client < 0 || bind(server, &at->any, len) < 0 || listen(server, 1) < 0 ||
            getsockname(server, &at->any, &size) < 0 || connect(client, &at->any, size) < 0) {
                probe_say_errno(detail, errno);
                return false;
        }
        AUTO_CLOSE int taken = accept(server, NULL, NULL);
        if (taken < 0 || !echoes(client, taken)) {
                wr_str(detail, "connected, and no byte came through");
                return false;
        }
        wr_str(detail, "works");
        return true;
}

static bool own_server(const struct probe *p, int family, struct wr *detail)
{
        union address at;
        socklen_t len = documentation(family, 0, &at);

        if (p->no_inet) {
                wr_str(detail, "not under this lock");
                return true;
        }
        if (family == AF_INET)
                at.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        else
                at.v6.sin6_addr = in6addr_loopback;
        if (serves(&at, len, detail))
                return true;
        /* Docker's default network has no ::1. */
        return family == AF_INET6;
}

static bool own_unix(const struct probe *p, int named, struct wr *detail)
{
        union address at = { .path.sun_family = AF_UNIX };
        struct wr w = wr_of(at.path.sun_path, sizeof(at.path.sun_path));
        bool ok;

        (void)p;
        if (!named) /* a name of the kernel's choice */
                return serves(&at, sizeof(sa_family_t), detail);
        wr_fmt(&w, "/tmp/.airlock-probe-%d", (int)getpid());
        ok = serves(&at, sizeof(at.path), detail);
        unlink(at.path.sun_path);
        return ok || access("/tmp", W_OK) < 0 || errno == EACCES || errno == EROFS;
}

static bool own_pair(const struct probe *p, int argument, struct wr *detail)
{
        int pair[2];
        bool ok;

        (void)p;
        (void)argument;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
                probe_say_errno(detail, errno);
                return false;
        }
        ok = echoes(pair[0], pair[1]);
        close(pair[0]);
        close(pair[1]);
        wr_str(detail, ok ? "works" : "no byte came through");
        return ok;
}

/* The digits at the end of a proxy's URL; 0 without any. */
static uint16_t port_of(const char *url)
{
        const char *colon = url ? strrchr(url, ':') : NULL;
        unsigned port = 0;

        for (const char *p = colon ? colon + 1 : ""; *p >= '0' && *p <= '9' && port < 6554; p++)
                port = port * 10 + (unsigned)(*p - '0');
        return (uint16_t)port;
}

/* The door that the environment names must be there, and must deny a name it never heard. */
static bool proxy_door(const struct probe *p, int argument, struct wr *detail)
{
        static const char ask[] = "GET http://probe.invalid/ HTTP/1.1\r\n"
                                  "Host: probe.invalid\r\n\r\n";
        uint16_t port = port_of(getenv("http_proxy"));
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        union address to;
        socklen_t len = documentation(AF_INET, port, &to);
        char answer[512];
        ssize_t n;

        (void)argument;
        if (p->off || !port) {
                wr_str(detail, "none here");
                return true;
        }
        to.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (fd < 0 || connect(fd, &to.any, len) < 0 ||
            send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) < 0 ||
            !wait_for(fd, POLLIN, PATIENCE_MS)) {
                probe_say_errno(detail, errno);
                return false;
        }
        n = recv(fd, answer, sizeof(answer) - 1, 0);
        answer[n > 0 ? n : 0] = '\0';
        wr_fmt(detail, "%.*s", (int)strcspn(answer, "\r\n"), answer);
        return n > 0 && !strncmp(answer, "HTTP/1.", 7);
}

/*
 * Datagram connects come first: they only ask the routing table, so a lock that does not
 * hold is found before anything is sent.
 */
const struct probe_try probe_tries[] = {
        { "ipv4-datagram", datagram, AF_INET },
        { "ipv6-datagram", datagram, AF_INET6 },
        { "udplite", datagram_protocol, PROTO_UDPLITE },
        { "ping", datagram_protocol, IPPROTO_ICMP },
        { "ipv4-stream", stream, AF_INET },
        { "ipv6-stream", stream, AF_INET6 },
        { "mapped-stream", mapped, 0 },
        { "mptcp", stream_of, PROTO_MPTCP },
        { "sctp", stream_of, PROTO_SCTP },
        { "dccp", dccp, 0 },
        { "fast-open", fast_open, 0 },
        { "metadata", metadata, 0 },
        { "dns", names, (int)0xc6336435 },           /* 198.51.100.53 */
        { "dns-of-docker", names, (int)0x7f00000b }, /* 127.0.0.11 */
        { "ipv4-raw", raw, AF_INET },
        { "ipv6-raw", raw, AF_INET6 },
        { "packet", packets, 0 },
        { "vsock", vsock, 0 },
        { "other-families", families, 0 },
        { "network-admin", network_admin, 0 },
        { "tunnel", tunnel, 0 },
        { "kernel-settings", kernel_settings, 0 },
        { "io-uring", probe_ring, 0 },
        { "engine-sockets", engines, 0 },
        { "inherited", probe_inherited, 0 },
        { "new-network", probe_namespace, CLONE_NEWNET },
        { "new-users", probe_namespace, CLONE_NEWUSER | CLONE_NEWNET },
        { "join", probe_join, 0 },
        { "trace", probe_trace, 0 },
        { "read-memory", probe_read_memory, 0 },
        { "open-memory", probe_open_memory, 0 },
        { "borrow", probe_borrow, 0 },
        { "signal", probe_signal, 0 },
        { "type-ahead", probe_type_ahead, 0 },
        { "own-server", own_server, AF_INET },
        { "own-server-6", own_server, AF_INET6 },
        { "own-unix", own_unix, 0 },
        { "own-unix-path", own_unix, 1 },
        { "own-pair", own_pair, 0 },
        { "proxy-door", proxy_door, 0 },
};
const size_t probe_try_count = COUNT(probe_tries);
