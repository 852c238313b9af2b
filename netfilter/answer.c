/*
 * netfilter/answer.c - the task's name server.
 *
 * A name that the policy allows has an address of the virtual network, any other does not
 * exist. Nothing is forwarded: what the task asks for never leaves, and no answer carries
 * more than one address of ours. Records but A and PTR are empty, so that clients go on to
 * A at once and find no HTTPS record with keys for an encrypted hello.
 */
#include "netfilter/conn.h"

#include "netfilter/dns.h"
#include "netfilter/names.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define QUERIES 32 /* of one socket in one turn */
#define RECENT 16  /* refused names that were written lately */

/*
 * Where mode full or preset all lets any name through, the search list of resolv.conf would
 * make github.com.cluster.local an existing name before github.com was asked for.
 */
static struct name searches[RESOLV_SEARCHES];
static size_t search_count;

static struct recent {
        uint64_t ms;
        struct name name;
} recents[RECENT];
static size_t recent_next;

void answer_open(const struct resolv *conf)
{
        memcpy(searches, conf->searches, sizeof(searches));
        search_count = conf->search_count;
}

/* Is it allowed because the policy has its name? */
static bool is_named(const struct proxy *p, const struct name *name)
{
        struct host h = { .name = *name };
        struct policy_verdict v = policy_host(&p->policy, &h, 443);

        return v.reason == POLICY_ALLOWED && v.named;
}

static bool by_search_list(const struct proxy *p, const struct name *name)
{
        if (is_named(p, name))
                return false;
        if (!memchr(name->text, '.', name->len))
                return true;
        for (size_t i = 0; i < search_count; i++)
                if (name_within(name, &searches[i]))
                        return true;
        return false;
}

/* A resolver asks for A and AAAA, often twice: one line tells it. */
static bool said_lately(struct proxy *p, const struct name *name)
{
        for (size_t i = 0; i < RECENT; i++)
                if (recents[i].ms && p->now_ms - recents[i].ms < 2000 &&
                    name_equal(&recents[i].name, name))
                        return true;
        recents[recent_next].ms = p->now_ms ? p->now_ms : 1;
        recents[recent_next].name = *name;
        recent_next = (recent_next + 1) % RECENT;
        return false;
}

static void report(struct proxy *p, const struct name *name, enum policy_reason reason,
                   const char *detail)
{
        struct host h = { .name = *name };
        struct net_event e = { .door = "dns", .host = &h, .reason = reason, .detail = detail,
                               .rule = -1 };

        if (!said_lately(p, name))
                journal_net(&e, &p->policy, p->now_ms);
}

static void answer_ptr(struct wr *w, const struct dns_query *q)
{
        struct address a;
        struct endpoint e = { 0 };
        const char *text;
        struct name name;

        if (dns_ptr_address(q, &a)) {
                e.address = a;
                text = names_find(endpoint_v4(&e));
                if (text && name_parse(&name, text, strlen(text)) == NAME_OK) {
                        dns_put_ptr(w, q, &name, NAMES_TTL_S);
                        return;
                }
        }
        dns_put_empty(w, q, DNS_NXDOMAIN);
}

static void put_a(struct wr *w, const struct dns_query *q, uint32_t address)
{
        uint8_t bytes[4] = { (uint8_t)(address >> 24), (uint8_t)(address >> 16),
                             (uint8_t)(address >> 8), (uint8_t)address };

        if (q->type == DNS_TYPE_A)
                dns_put_a(w, q, bytes, NAMES_TTL_S);
        else
                dns_put_empty(w, q, DNS_NOERROR);
}

/* RFC 6761 6.3: the asker itself, for images without /etc/hosts. */
static bool is_localhost(const struct proxy *p, const struct name *name)
{
        static const struct name localhost = { .len = 9, .text = "localhost" };

        return name_within(name, &localhost) && !is_named(p, name);
}

static void answer_name(struct proxy *p, struct wr *w, const struct dns_query *q)
{
        enum policy_reason reason = policy_name(&p->policy, &q->name);
        uint32_t address;

        if (is_localhost(p, &q->name)) {
                put_a(w, q, INADDR_LOOPBACK);
                return;
        }
        if (reason != POLICY_ALLOWED || by_search_list(p, &q->name)) {
                if (reason != POLICY_ALLOWED)
                        report(p, &q->name, reason, NULL);
                dns_put_empty(w, q, DNS_NXDOMAIN);
                return;
        }
        address = q->type == DNS_TYPE_A
                          ? names_address(q->name.text, q->name.len, p->now_ms)
                          : INADDR_ANY;
        if (!address && q->type == DNS_TYPE_A) {
                report(p, &q->name, POLICY_DENY_LIMIT, "every virtual address is in use");
                dns_put_empty(w, q, DNS_SERVFAIL);
                return;
        }
        put_a(w, q, address);
}

/* The answer to a packet; 0 bytes: none. */
static size_t answer(struct proxy *p, const uint8_t *packet, size_t len, uint8_t *out,
                     size_t cap)
{
        struct wr w = wr_of(out, cap);
        struct dns_query q = { 0 };

        switch (dns_parse_query(&q, packet, len)) {
        case DNS_OK:
                if (q.type == DNS_TYPE_PTR)
                        answer_ptr(&w, &q);
                else
                        answer_name(p, &w, &q);
                break;
        case DNS_SHORT:
        case DNS_DROP:
                return 0;
        case DNS_OPCODE:
                dns_put_empty(&w, &q, DNS_NOTIMP);
                break;
        case DNS_MALFORMED:
                dns_put_empty(&w, &q, DNS_FORMERR);
                break;
        case DNS_NAME:
                dns_put_empty(&w, &q, DNS_NXDOMAIN);
                break;
        }
        return w.full ? 0 : w.len;
}

/* The answer goes out from the address that was asked: under netns that is any address. */
union control {
        struct cmsghdr align;
        char bytes[256];
};

/* The one control message that comes, turned into the one that goes. Its length. */
static socklen_t from_where(const struct msghdr *in, union control *out)
{
        const struct cmsghdr *c = CMSG_FIRSTHDR(in);
        struct cmsghdr *o = &out->align;

        if (c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
                struct in_pktinfo i;

                memcpy(&i, CMSG_DATA(c), sizeof(i));
                i.ipi_ifindex = 0;
                /* Where it was sent to; ipi_spec_dst is ours of that network. */
                i.ipi_spec_dst = i.ipi_addr;
                *o = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(i)),
                                       .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO };
                memcpy(CMSG_DATA(o), &i, sizeof(i));
                return CMSG_SPACE(sizeof(i));
        }
        if (c && c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
                struct in6_pktinfo i;

                memcpy(&i, CMSG_DATA(c), sizeof(i));
                *o = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(i)),
                                       .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO };
                memcpy(CMSG_DATA(o), &i, sizeof(i));
                return CMSG_SPACE(sizeof(i));
        }
        return 0;
}

static bool answer_one(struct proxy *p, int fd)
{
        uint8_t packet[DNS_MESSAGE], out[DNS_MESSAGE];
        struct sockaddr_storage from;
        struct iovec io = { packet, sizeof(packet) };
        union control in_control, out_control;
        struct msghdr in = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &io,
                             .msg_iovlen = 1, .msg_control = in_control.bytes,
                             .msg_controllen = sizeof(in_control) };
        ssize_t n = recvmsg(fd, &in, 0);
        struct msghdr reply = { .msg_name = &from, .msg_iov = &io, .msg_iovlen = 1 };

        if (n < 0)
                return false;
        io = (struct iovec){ out, answer(p, packet, (size_t)n, out, sizeof(out)) };
        if (!io.iov_len)
                return true;
        reply.msg_namelen = in.msg_namelen;
        reply.msg_control = out_control.bytes;
        reply.msg_controllen = from_where(&in, &out_control);
        if (!reply.msg_controllen)
                reply.msg_control = NULL;
        /* No room, or nobody there: a resolver asks again. */
        return sendmsg(fd, &reply, MSG_NOSIGNAL) >= 0 || errno != EBADF;
}

void answer_udp(struct proxy *p, struct listener_slot *l)
{
        for (int i = 0; i < QUERIES; i++)
                if (!answer_one(p, l->fd))
                        return;
}

bool answer_pair(struct proxy *p, struct listener_slot *l)
{
        uint8_t packet[DNS_MESSAGE], out[DNS_MESSAGE];

        for (int i = 0; i < QUERIES; i++) {
                ssize_t n = recv(l->fd, packet, sizeof(packet), 0);
                size_t len;

                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                if (!n) { /* its end, or an empty datagram: hang-up tells them apart */
                        return false;
                }
                len = answer(p, packet, (size_t)n, out, sizeof(out));
                if (len && send(l->fd, out, len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
                        return false;
        }
        return true;
}

void answer_tcp(struct proxy *p, struct conn *c)
{
        uint8_t out[2 + DNS_MESSAGE];

        while (buf_len(c->up_in) >= 2 && !c->down_out) {
                const uint8_t *at = c->up_in->bytes + c->up_in->from;
                size_t len = (size_t)at[0] << 8 | at[1], n;

                if (buf_len(c->up_in) < 2 + len)
                        break;
                n = answer(p, at + 2, len, out + 2, sizeof(out) - 2);
                buf_used(c->up_in, 2 + len);
                out[0] = (uint8_t)(n >> 8);
                out[1] = (uint8_t)n;
                if (!n || !conn_put(&c->down_out, (char *)out, 2 + n) ||
                    conn_flush(&c->client, &c->down_out) < 0) {
                        conn_close(p, c);
                        return;
                }
        }
        if (!buf_len(c->up_in))
                buf_give(&c->up_in);
        if (c->client.eof && !c->down_out)
                conn_close(p, c);
        else
                conn_arm_buffers(p, c);
}
