/*
 * netfilter/rules.c - the netfilter lock's one list of rules.
 *
 * Why it is this list:
 *
 * - Marked packets are the proxy's. Their connection gets the mark too, because not every
 *   packet of it has a socket: the kernel's own resets and ICMP errors have none, and what
 *   a closed socket still had to send lost its owner. MATCH_KEPT lets those pass.
 * - DNS is redirected before local addresses are accepted: Docker's resolver, 127.0.0.11, is
 *   local, forwards to the world, and so is a tunnel. Its own socket sits on
 *   127.0.0.11 and another port, hence MATCH_DOCKER_DNS.
 * - A local address is known by routing, never by the device lo: behind the nat hook a
 *   redirected packet still names the device that it would have left by. But a socket
 *   may be bound to a device, and then even a packet to 127.0.0.1 goes out by it, with all
 *   that it says, to the router. So the last hook, which sees the true device, lets nothing
 *   but the proxy's packets go by another one than lo.
 * - The split by owner: what a process sends is answered when it is refused, so that nothing
 *   hangs. What the kernel sends by itself goes to local addresses, to the proxy's
 *   connections, or to find the neighbours without which the proxy loses IPv6.
 */
#include "netfilter/rules.h"

#include "netfilter/nl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#define DUMP_MS 2000

enum when {
        WHEN_ON = 1,
        WHEN_DNS = 2,
        WHEN_REDIRECT = 4,
        WHEN_INBOUND = 8,
        WHEN_ROOT_RESOLVES = 16,
};

const struct rules_rule rules_all[] = {
        { CHAIN_NAT, WHEN_ON, RULES_BOTH, { MATCH_MARKED }, VERDICT_ACCEPT },
        { CHAIN_NAT, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_UDP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_NAT, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_TCP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_NAT, WHEN_DNS, RULES_BOTH, { MATCH_UDP, MATCH_DNS }, VERDICT_DNS },
        { CHAIN_NAT, WHEN_DNS, RULES_BOTH, { MATCH_TCP, MATCH_DNS }, VERDICT_DNS },
        { CHAIN_NAT, WHEN_REDIRECT, RULES_BOTH, { MATCH_LOCAL }, VERDICT_ACCEPT },
        { CHAIN_NAT, WHEN_REDIRECT, RULES_BOTH, { MATCH_TCP }, VERDICT_PROXY },

        { CHAIN_OUT, WHEN_ON, RULES_BOTH, { MATCH_MARKED }, VERDICT_KEEP },
        { CHAIN_OUT, WHEN_INBOUND, RULES_BOTH, { MATCH_ANSWER }, VERDICT_ACCEPT },
        { CHAIN_OUT, 0, RULES_BOTH, { MATCH_OWNED }, VERDICT_AGENT },
        { CHAIN_OUT, WHEN_ON, RULES_BOTH, { MATCH_KEPT }, VERDICT_ACCEPT },
        { CHAIN_OUT, 0, RULES_BOTH, { MATCH_LOCAL }, VERDICT_ACCEPT },
        { CHAIN_OUT, WHEN_ON, RULES_V6, { MATCH_NEIGHBOUR }, VERDICT_ACCEPT },

        { CHAIN_LEAVE, 0, RULES_BOTH, { MATCH_BY_LO }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_ON, RULES_BOTH, { MATCH_MARKED }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_INBOUND, RULES_BOTH, { MATCH_ANSWER }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_UDP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_TCP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_ON, RULES_BOTH, { MATCH_KEPT }, VERDICT_ACCEPT },
        { CHAIN_LEAVE, WHEN_ON, RULES_V6, { MATCH_NEIGHBOUR }, VERDICT_ACCEPT },

        { CHAIN_AGENT, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_UDP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_AGENT, WHEN_ROOT_RESOLVES, RULES_BOTH,
          { MATCH_ROOT, MATCH_TCP, MATCH_DNS }, VERDICT_ACCEPT },
        { CHAIN_AGENT, 0, RULES_V4, { MATCH_DOCKER_DNS, MATCH_TCP }, VERDICT_RESET },
        { CHAIN_AGENT, 0, RULES_V4, { MATCH_DOCKER_DNS }, VERDICT_PROHIBIT },
        { CHAIN_AGENT, 0, RULES_BOTH, { MATCH_LOCAL }, VERDICT_ACCEPT },
        { CHAIN_AGENT, 0, RULES_BOTH, { MATCH_TCP }, VERDICT_RESET },
        { CHAIN_AGENT, 0, RULES_BOTH, { MATCH_END }, VERDICT_PROHIBIT },
};
const size_t rules_count = COUNT(rules_all);

bool rules_apply(const struct rules_rule *r, const struct nft_plan *p)
{
        unsigned is = 0;

        if (!p->off)
                is |= WHEN_ON | (p->dns_port ? WHEN_DNS : 0) |
                      (p->redirect_port ? WHEN_REDIRECT : 0) |
                      (p->root_resolves ? WHEN_ROOT_RESOLVES : 0);
        if (p->inbound)
                is |= WHEN_INBOUND;
        return !(r->when & ~is);
}

const char *rules_wrong(const struct nft_plan *p)
{
        if (p->off)
                return NULL;
        /* Every packet without a mark has the mark 0. */
        return p->mark ? NULL : "a mark of 0 would let every packet pass";
}

static int add_address(struct rules_addresses *a, unsigned family, unsigned prefix,
                       const uint8_t *bytes, size_t len)
{
        struct rules_address *to = &a->at[a->count];

        if (a->count == RULES_ADDRESSES)
                return -E2BIG;
        *to = (struct rules_address){ .family = family, .prefix = (uint8_t)prefix };
        memcpy(to->bytes, bytes, len);
        a->count++;
        return 0;
}

/* Is it an address of loopback's, which the list begins with? */
static bool covered(const struct rules_addresses *a, const uint8_t *bytes, size_t len)
{
        return len == 4 ? bytes[0] == a->at[0].bytes[0] : !memcmp(bytes, a->at[1].bytes, len);
}

/* One RTM_NEWADDR: IFA_LOCAL is ours where a peer's IFA_ADDRESS stands beside it. */
static int add_message(struct rules_addresses *a, struct rd *body)
{
        const uint8_t *b = rd_bytes(body, sizeof(struct ifaddrmsg)), *found = NULL;
        struct ifaddrmsg m;
        struct rd value;
        uint16_t type;
        size_t len;

        if (!b)
                return -EPROTO;
        memcpy(&m, b, sizeof(m));
        if (m.ifa_family != AF_INET && m.ifa_family != AF_INET6)
                return 0;
        len = m.ifa_family == AF_INET ? 4 : 16;
        while (nl_attribute(body, &type, &value)) {
                if (rd_left(&value) != len)
                        continue;
                if (type == IFA_LOCAL || (type == IFA_ADDRESS && !found))
                        found = rd_bytes(&value, len);
        }
        if (body->bad)
                return -EPROTO;
        if (found && covered(a, found, len))
                return 0;
        return found ? add_address(a, len == 4 ? RULES_V4 : RULES_V6, (unsigned)len * 8, found,
                                   len)
                     : 0;
}

int rules_addresses(struct rules_addresses *a)
{
        static const uint8_t v4_loopback[4] = { 127 }, v6_loopback[16] = { [15] = 1 };
        static LARGE_BUFFER uint32_t answers[NL_REPLY_MAX / 4];
        struct ifaddrmsg all = { .ifa_family = AF_UNSPEC };
        uint32_t request[16];
        struct nl n = nl_of(request, sizeof(request));
        struct nl_dump d;
        struct rd body;
        uint16_t type;
        int r;

        a->count = 0;
        r = add_address(a, RULES_V4, 8, v4_loopback, sizeof(v4_loopback));
        if (!r)
                r = add_address(a, RULES_V6, 128, v6_loopback, sizeof(v6_loopback));
        if (r < 0)
                return r;
        AUTO_CLOSE int fd = nl_open(NETLINK_ROUTE);
        if (fd < 0)
                return fd;
        nl_message(&n, RTM_GETADDR, NLM_F_DUMP, &all, sizeof(all));
        r = nl_dump_open(&d, fd, &n, answers, sizeof(answers), DUMP_MS);
        while (!r && (r = nl_dump_next(&d, &type, &body)) > 0)
                r = type == RTM_NEWADDR ? add_message(a, &body) : 0;
        return r;
}
