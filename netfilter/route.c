/* netfilter/route.c - rtnetlink: the loopback device, and routes to it. */
#include "netfilter/route.h"

#include "base/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
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

int route_all_out(int family)
{
        struct {
                struct nlmsghdr head;
                struct rtmsg route;
                struct rtattr out;
                uint32_t device;
                struct rtattr source;
                uint32_t address;
        } m = {
                .head = { .nlmsg_type = RTM_NEWROUTE, .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL },
                .route = { .rtm_family = (unsigned char)family, .rtm_table = RT_TABLE_MAIN,
                           .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST,
                           .rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE },
                .out = { .rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_OIF },
                .device = LOOPBACK,
                .source = { .rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = RTA_PREFSRC },
                .address = htonl(INADDR_LOOPBACK),
        };

        /* IPv4 would choose no source: 127.0.0.1 is none for other scopes than the host. */
        return ask(&m.head, family == AF_INET ? sizeof(m) : offsetof(__typeof__(m), source));
}

static void add(struct route_own *own, int family, const void *bytes)
{
        if (own->count == ROUTE_OWN_MAX)
                return;
        own->at[own->count].family = family;
        memcpy(own->at[own->count++].bytes, bytes, family == AF_INET ? 4 : 16);
}

static void find_own_v4(struct route_own *own)
{
        AUTO_CLOSE int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct ifreq list[ROUTE_OWN_MAX] = { 0 };
        struct ifconf all = { .ifc_len = sizeof(list), .ifc_req = list };

        if (fd < 0 || ioctl(fd, SIOCGIFCONF, &all) < 0)
                return;
        for (size_t i = 0; i < (size_t)all.ifc_len / sizeof(list[0]); i++) {
                struct sockaddr_in at;

                memcpy(&at, &list[i].ifr_addr, sizeof(at));
                if (ntohl(at.sin_addr.s_addr) >> 24 != 127)
                        add(own, AF_INET, &at.sin_addr);
        }
}

/* Lower-case, as the kernel writes it; other characters count as 0. */
static uint8_t digit(char c)
{
        return (uint8_t)(c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0);
}

/* if_inet6: 32 hexadecimal digits begin each line. */
static void find_own_v6(struct route_own *own)
{
        static char text[8192];
        ssize_t n = read_file(AT_FDCWD, "/proc/self/net/if_inet6", text, sizeof(text));

        for (const char *line = text; n > 0 && line && strlen(line) > 32;) {
                struct in6_addr a;

                for (size_t i = 0; i < 16; i++)
                        a.s6_addr[i] = (uint8_t)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
                if (!IN6_IS_ADDR_LOOPBACK(&a) && !IN6_IS_ADDR_LINKLOCAL(&a))
                        add(own, AF_INET6, &a);
                line = strchr(line, '\n');
                line = line ? line + 1 : NULL;
        }
}

void route_find_own(struct route_own *own)
{
        own->count = 0;
        find_own_v4(own);
        find_own_v6(own);
}

static int add_address(int family, const uint8_t *bytes)
{
        struct {
                struct nlmsghdr head;
                struct ifaddrmsg address;
                struct rtattr local;
                uint8_t bytes[16];
        } m = {
                .head = { .nlmsg_type = RTM_NEWADDR, .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL },
                .address = { .ifa_family = (unsigned char)family,
                             .ifa_prefixlen = family == AF_INET ? 32 : 128,
                             .ifa_flags = family == AF_INET ? 0 : IFA_F_NODAD,
                             .ifa_index = LOOPBACK },
                .local = { .rta_len = RTA_LENGTH(family == AF_INET ? 4 : 16),
                           .rta_type = IFA_LOCAL },
        };
        size_t len = family == AF_INET ? 4 : 16;

        memcpy(m.bytes, bytes, len);
        return ask(&m.head, offsetof(__typeof__(m), bytes) + len);
}

/* IPv6 may be switched off in a new namespace: its addresses are nobody's there then. */
int route_add_own(const struct route_own *own)
{
        for (unsigned i = 0; i < own->count; i++) {
                int r = add_address(own->at[i].family, own->at[i].bytes);

                if (r < 0 && r != -EEXIST && own->at[i].family == AF_INET)
                        return r;
        }
        return 0;
}
