/*
 * netfilter/notify_route.c - asks the kernel's routing table whose an address is.
 *
 * Binding a socket to it would be a shorter question, and would say yes to every address
 * where net.ipv4.ip_nonlocal_bind is set.
 */
#include "netfilter/notify.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>

int notify_route_open(struct notifier *n)
{
        n->route = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        return n->route < 0 ? -errno : 0;
}

struct question {
        struct nlmsghdr head;
        struct rtmsg route;
        struct rtattr to;
        uint8_t address[16];
};

/* The answer's message, in @buf; NULL: an error, or no answer. */
static const struct rtmsg *ask(int fd, const struct question *q, void *buf, size_t cap)
{
        const struct nlmsghdr *head = buf;
        ssize_t got;

        if (send(fd, q, q->head.nlmsg_len, 0) < 0)
                return NULL;
        do
                got = recv(fd, buf, cap, 0);
        while (got < 0 && errno == EINTR);
        if (got < (ssize_t)(sizeof(*head) + sizeof(struct rtmsg)) ||
            head->nlmsg_type != RTM_NEWROUTE)
                return NULL;
        return (const struct rtmsg *)(head + 1);
}

static bool is_routed_here(struct notifier *n, const struct msg_address *a)
{
        size_t len = a->family == AF_INET ? 4 : 16;
        struct question q = {
                .head = { .nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(q.route)) + RTA_LENGTH(len)),
                          .nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST },
                .route = { .rtm_family = (uint8_t)a->family, .rtm_dst_len = (uint8_t)(len * 8) },
                .to = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = RTA_DST },
        };
        _Alignas(struct nlmsghdr) char buf[1024];
        const struct rtmsg *r;

        memcpy(q.address, a->bytes, len);
        r = ask(n->route, &q, buf, sizeof(buf));
        return r && r->rtm_type == RTN_LOCAL;
}

/*
 * 127.0.0.11 is Docker's resolver, which would carry any question out; the virtual network's
 * addresses, 198.18.0.0/15, are the proxy's. Neither is ours, whatever the table says. And
 * fe80::/10 is ours on one device and a neighbour's on another.
 */
bool notify_is_local(struct notifier *n, const struct msg_address *a)
{
        static const uint8_t docker[4] = { 127, 0, 0, 11 };

        if (a->family == AF_INET) {
                if (!memcmp(a->bytes, docker, 4))
                        return false;
                if (a->bytes[0] == 127)
                        return true;
                if (a->bytes[0] == 198 && (a->bytes[1] & 0xfe) == 18)
                        return false;
        } else if (a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80) {
                return false;
        }
        return is_routed_here(n, a);
}

/* connect(2) on a UDP socket sends nothing, it only looks the route up. */
void notify_own_address(struct notifier *n)
{
        struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(9) };
        socklen_t len = sizeof(any);
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        any.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, nobody's (RFC 5737) */
        n->own.s_addr = htonl(INADDR_LOOPBACK);
        if (fd >= 0 && !connect(fd, (struct sockaddr *)&any, sizeof(any)) &&
            !getsockname(fd, (struct sockaddr *)&any, &len))
                n->own = any.sin_addr;
}
