/*
 * netfilter/notify_udp.c - what the agent takes for a UDP socket.
 *
 * It never holds one: an IP_PKTINFO in a sendmsg(2) would send a packet past any rule, and
 * lies behind a pointer. It gets one end of a SOCK_SEQPACKET pair, which keeps datagrams
 * apart and ignores addresses; on the other end the proxy answers questions about names.
 * The end has a number that the filter watches, so that the calls by which programs learn
 * about addresses can be answered here. That is compatibility alone.
 */
#include "netfilter/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define NUMBERS 64 /* in each of the two ranges that the filter watches */
#define FIRST_PORT 40000 /* what getsockname(2) says of a socket without a port */

/* A free number of its that the filter watches; -1: none, then any has to do. */
static int free_number(const struct call *c)
{
        static const int last[] = { 1023, 4095 };

        for (size_t range = 0; range < COUNT(last); range++) {
                for (int fd = last[range]; fd > last[range] - NUMBERS; fd--) {
                        if (!agent_has(&c->agent, fd))
                                return fd;
                }
        }
        return -1;
}

/* The other end goes to the proxy; without one, we refuse every question ourselves. */
static int give_other_end(struct notifier *n, int *end)
{
        static const struct msg pair = { .type = MSG_LISTENER, .kind = LISTEN_DNS_PAIR };
        int *slot = &n->refusers[n->refuser_next];

        if (n->proxy >= 0)
                return msg_send(n->proxy, &pair, *end);
        if (*slot)
                close(*slot);
        *slot = fd_take(end);
        n->refuser_next = (n->refuser_next + 1) % REFUSERS_MAX;
        return 0;
}

int notify_udp_socket(struct notifier *n, struct call *c)
{
        int ends[2], r, flags = (int)c->arg[1];
        struct note *s, evicted;
        struct stat st;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        AUTO_CLOSE int agents = ends[0];
        AUTO_CLOSE int other = ends[1];
        if (flags & SOCK_NONBLOCK)
                fcntl(agents, F_SETFL, O_RDWR | O_NONBLOCK);
        if (fstat(agents, &st) < 0)
                return -errno;
        r = give_other_end(n, &other);
        if (r < 0)
                return r;
        s = notes_add(&n->udp, st.st_ino, &evicted);
        s->domain = (uint16_t)c->arg[0];
        r = agent_put(&c->agent, agents, free_number(c), flags, true);
        /* EBADF: its limit of descriptors is below our numbers. */
        if (r == -EBADF)
                r = agent_put(&c->agent, agents, -1, flags, true);
        if (r >= 0)
                return CALL_ANSWERED;
        notes_drop(&n->udp, s);
        return r;
}

int notify_udp_pair(struct notifier *n, struct call *c)
{
        int ends[2], numbers[2], r, flags = (int)c->arg[1];

        (void)n;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (flags & SOCK_NONBLOCK), 0, ends) <
            0)
                return -errno;
        AUTO_CLOSE int first = ends[0];
        AUTO_CLOSE int second = ends[1];
        numbers[0] = agent_put(&c->agent, first, -1, flags, false);
        if (numbers[0] < 0)
                return numbers[0];
        numbers[1] = agent_put(&c->agent, second, -1, flags, false);
        if (numbers[1] < 0)
                return numbers[1];
        r = agent_write(&c->agent, c->arg[3], numbers, sizeof(numbers));
        return r < 0 ? r : 0;
}

int notify_udp_connect(struct note *s, const union address *to)
{
        struct msg_address peer;

        if (to->any.sa_family == AF_UNSPEC) {
                s->connected = false;
                s->peer = (struct msg_address){ 0 };
                return 0;
        }
        if (!address_of(to, &peer) || to->any.sa_family != s->domain)
                return -EAFNOSUPPORT;
        /* Programs order addresses by what can be reached: ours are all IPv4. */
        if (peer.family == AF_INET6 && peer.port != 53 &&
            !IN6_IS_ADDR_LOOPBACK(&to->v6.sin6_addr))
                return -ENETUNREACH;
        s->peer = peer;
        s->connected = true;
        return 0;
}

/* A sockaddr at @at with its length at @len_at, as the kernel fills them. */
static int put_address(struct call *c, const struct note *s, const struct msg_address *from,
                       uint64_t at, uint64_t len_at)
{
        union address a;
        socklen_t len = address_put(from, s->domain, &a);
        uint32_t room = 0;
        int r = agent_read(&c->agent, len_at, &room, sizeof(room));

        if (r < 0)
                return r;
        r = agent_write(&c->agent, at, &a, room < len ? room : len);
        return r < 0 ? r : agent_write(&c->agent, len_at, &len, sizeof(len));
}

static int own_name(struct notifier *n, struct call *c, const struct note *s)
{
        struct msg_address own = s->bound;

        if (!own.family && s->connected && s->peer.family == AF_INET) {
                own = (struct msg_address){ .family = AF_INET, .bytes = { 127, 0, 0, 1 } };
                if (s->peer.bytes[0] != 127)
                        memcpy(own.bytes, &n->own, 4);
        }
        if (!own.port && (s->connected || s->bound.family))
                own.port = (uint16_t)(FIRST_PORT + s->inode % 20000);
        return put_address(c, s, &own, c->arg[1], c->arg[2]);
}

/* Before a receive that is let through: the kernel leaves the address where we put it. */
static int put_sender(struct call *c, const struct note *s, uint64_t at, uint64_t room)
{
        union address a;
        socklen_t len = address_put(&s->peer, s->domain, &a);

        if (at && room && s->peer.family)
                return agent_write(&c->agent, at, &a, room < len ? room : len);
        return 0;
}

static int before_recvfrom(struct call *c, const struct note *s)
{
        uint32_t room = 0;

        if (c->arg[4] && c->arg[5] && !agent_read(&c->agent, c->arg[5], &room, sizeof(room)) &&
            put_sender(c, s, c->arg[4], room) < 0)
                return -EFAULT;
        return CALL_CONTINUE;
}

/* The two members of struct msghdr that matter here. */
struct name_of_message {
        uint64_t at;
        uint32_t len;
};

static int before_recvmsg(struct call *c, const struct note *s)
{
        struct name_of_message name = { 0 };

        if (!agent_read(&c->agent, c->arg[1], &name, sizeof(name)))
                return put_sender(c, s, name.at, name.len) < 0 ? -EFAULT : CALL_CONTINUE;
        return CALL_CONTINUE;
}

/* Who is written to is who will answer. */
static void learn_peer(struct call *c, struct note *s, uint64_t at, uint64_t len)
{
        union address a;
        struct msg_address peer;

        if (at && !s->connected && !address_read(c, at, len, &a) && address_of(&a, &peer))
                s->peer = peer;
}

static int on_sendmsg(struct call *c, struct note *s)
{
        struct name_of_message name = { 0 };

        if (!agent_read(&c->agent, c->arg[1], &name, sizeof(name)))
                learn_peer(c, s, name.at, name.len);
        return CALL_CONTINUE;
}

static int put_option(struct call *c, int value)
{
        uint32_t room = 0, len = sizeof(value);
        int r = agent_read(&c->agent, c->arg[4], &room, sizeof(room));

        if (r < 0)
                return r;
        r = agent_write(&c->agent, c->arg[3], &value, room < len ? room : len);
        return r < 0 ? r : agent_write(&c->agent, c->arg[4], &len, sizeof(len));
}

static int on_getsockopt(struct call *c, const struct note *s)
{
        int level = (int)c->arg[1], option = (int)c->arg[2];

        if (level == IPPROTO_IP || level == IPPROTO_IPV6 || level == IPPROTO_UDP)
                return put_option(c, 0);
        if (level != SOL_SOCKET)
                return CALL_CONTINUE;
        if (option == SO_TYPE)
                return put_option(c, SOCK_DGRAM);
        if (option == SO_DOMAIN)
                return put_option(c, s->domain);
        return option == SO_PROTOCOL ? put_option(c, IPPROTO_UDP) : CALL_CONTINUE;
}

static int on_setsockopt(const struct call *c)
{
        int level = (int)c->arg[1], option = (int)c->arg[2];

        if (level == IPPROTO_IP || level == IPPROTO_IPV6 || level == IPPROTO_UDP)
                return 0;
        return level == SOL_SOCKET && (option == SO_REUSEPORT || option == SO_BROADCAST)
                       ? 0 : CALL_CONTINUE;
}

static int on_bind(struct call *c, struct note *s)
{
        union address a;
        int r = address_read(c, c->arg[1], (uint32_t)c->arg[2], &a);

        if (r < 0)
                return r;
        if (!address_of(&a, &s->bound) || a.any.sa_family != s->domain)
                return -EAFNOSUPPORT;
        return 0;
}

int notify_udp_call(struct notifier *n, struct call *c, struct note *s)
{
        switch (c->nr) {
        case SYS_bind:
                return on_bind(c, s);
        case SYS_setsockopt:
                return on_setsockopt(c);
        case SYS_getsockopt:
                return on_getsockopt(c, s);
        case SYS_getsockname:
                return own_name(n, c, s);
        case SYS_getpeername:
                return s->connected ? put_address(c, s, &s->peer, c->arg[1], c->arg[2])
                                    : -ENOTCONN;
        case SYS_recvfrom:
                return before_recvfrom(c, s);
        case SYS_recvmsg:
                return before_recvmsg(c, s);
        case SYS_sendto:
                learn_peer(c, s, c->arg[4], (uint32_t)c->arg[5]);
                return CALL_CONTINUE;
        case SYS_sendmsg:
                return on_sendmsg(c, s);
        default:
                return CALL_CONTINUE;
        }
}

/*
 * With no proxy there are no names: the question goes back as the answer NXDOMAIN, the one
 * that every resolver takes at once for final.
 */
void notify_udp_refuse(struct notifier *n, size_t refuser)
{
        uint8_t q[512];
        ssize_t len = recv(n->refusers[refuser], q, sizeof(q), MSG_DONTWAIT);

        if (len <= 0 && !(len < 0 && errno == EAGAIN)) {
                close(n->refusers[refuser]);
                n->refusers[refuser] = 0;
        }
        if (len < 12 || q[2] & 0x80)
                return;
        q[2] = (uint8_t)(q[2] | 0x80);        /* an answer */
        q[3] = (uint8_t)((q[3] & 0x70) | 0x83); /* recursion available, NXDOMAIN */
        send(n->refusers[refuser], q, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}
