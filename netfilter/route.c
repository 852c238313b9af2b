/* netfilter/route.c - rtnetlink: the loopback device, and routes to it. */
#include "netfilter/route.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK 1 /* its number, in every network namespace */

/* Sends the one message @m and reads its ack. A request by itself is answered at once. */
static int ask(struct nlmsghdr *m, size_t len)
{
        union {
                struct nlmsghdr head;
                char bytes[512];
        } answer = { 0 };
        struct nlmsgerr e;
        AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
        struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
        ssize_t n;

        if (fd < 0)
                return -errno;
        m->nlmsg_len = (uint32_t)len;
        m->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
        if (sendto(fd, m, len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
                return -errno;
        n = recv(fd, answer.bytes, sizeof(answer.bytes), 0);
        if (n < 0)
                return -errno;
        if ((size_t)n < sizeof(answer.head) + sizeof(e) || answer.head.nlmsg_type != NLMSG_ERROR)
                return -EPROTO;
        memcpy(&e, answer.bytes + sizeof(answer.head), sizeof(e));
        return e.error;
}

int route_loopback_up(void)
{
        struct {
                struct nlmsghdr head;
                struct ifinfomsg link;
        } m = {
                .head.nlmsg_type = RTM_NEWLINK,
                .link = { .ifi_index = LOOPBACK, .ifi_flags = IFF_UP, .ifi_change = IFF_UP },
        };

        return ask(&m.head, sizeof(m));
}

int route_all_local(int family)
{
        struct {
                struct nlmsghdr head;
                struct rtmsg route;
                struct rtattr out;
                uint32_t device;
        } m = {
                .head = { .nlmsg_type = RTM_NEWROUTE, .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL },
                .route = { .rtm_family = (unsigned char)family, .rtm_table = RT_TABLE_LOCAL,
                           .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_LOCAL,
                           .rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE },
                .out = { .rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_OIF },
                .device = LOOPBACK,
        };

        return ask(&m.head, sizeof(m));
}
