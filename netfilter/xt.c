/*
 * netfilter/xt.c - edits legacy packet filter tables: reads one, puts our block of entries in
 * front of OUTPUT's, mends every offset behind it, writes it back.
 *
 * A table is one blob of entries, chain after chain; a chain is known by where it begins, a
 * jump by where it leads. Each entry is a head that matches addresses and the protocol,
 * matches, and a target. IPv4 and IPv6 differ in the head alone.
 */
#include "netfilter/xt.h"

#include "base/digits.h"
#include "base/io.h"
#include "base/wr.h"
#include "netfilter/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

/* After <sys/socket.h>; with <netinet/in.h> they do not go together on every libc. */
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_owner.h>
#include <linux/netfilter/xt_tcpudp.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv4/ipt_REJECT.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <linux/netfilter_ipv6/ip6t_REJECT.h>

#define OURS 0x61697231U /* in nfcache, which the kernel keeps and nobody reads */
#define TABLE_MAX 131072
#define ENTRIES 2048
#define TRIES 5
#define ALIGN8(n) (((n) + 7U) & ~(size_t)7U)

enum { STANDARD_DROP = -NF_DROP - 1, STANDARD_ACCEPT = -NF_ACCEPT - 1 };
enum {
        FORWARD = NF_INET_FORWARD,
        OUT = NF_INET_LOCAL_OUT,
        POSTROUTING = NF_INET_POST_ROUTING,
};

/* The two layouts of a head, as far as we change entries of others. */
static const struct head {
        int socket_family, level;
        unsigned family;
        const char *names;
        size_t len, nfcache, target_offset, next_offset;
} heads[] = {
        { AF_INET, 0 /* SOL_IP */, RULES_V4, "/proc/net/ip_tables_names",
          sizeof(struct ipt_entry),
          offsetof(struct ipt_entry, nfcache), offsetof(struct ipt_entry, target_offset),
          offsetof(struct ipt_entry, next_offset) },
        { AF_INET6, 41 /* SOL_IPV6 */, RULES_V6, "/proc/net/ip6_tables_names",
          sizeof(struct ip6t_entry),
          offsetof(struct ip6t_entry, nfcache), offsetof(struct ip6t_entry, target_offset),
          offsetof(struct ip6t_entry, next_offset) },
};

/* The same for both families, but for the type of what follows. */
_Static_assert(sizeof(struct ipt_replace) == sizeof(struct ip6t_replace), "one layout");
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "one layout");
/* NOLINTNEXTLINE(misc-redundant-expression) */
_Static_assert((int)IPT_SO_SET_REPLACE == (int)IP6T_SO_SET_REPLACE, "one number");

/* One of our rules, before it is bytes. */
struct entry {
        const struct head *head;
        uint8_t proto;
        const struct rules_address *to;
        bool by_lo;
        char matches[512];
        size_t matches_len;
};

/* A head, and the entries behind it: what the kernel gives, and what it takes. */
static union {
        struct ipt_get_entries head;
        char bytes[sizeof(struct ipt_get_entries) + TABLE_MAX];
} old LARGE_BUFFER;
static union {
        struct ipt_replace head;
        char bytes[sizeof(struct ipt_replace) + TABLE_MAX];
} new LARGE_BUFFER;
static struct xt_counters old_counters[ENTRIES] LARGE_BUFFER;
static struct {
        uint32_t from, to;
} moved[ENTRIES] LARGE_BUFFER;
static struct rules_addresses local LARGE_BUFFER;
static bool has_connmark2;
static uint32_t highest_uid;

static char *old_blob(void)
{
        return old.bytes + sizeof(old.head);
}

static char *new_blob(void)
{
        return new.bytes + sizeof(new.head);
}

static const struct rules_address docker_dns = { RULES_V4, 32, { 127, 0, 0, 11 } };

/* --- our entries ------------------------------------------------------------------------ */

static void put_zeros(struct wr *w, size_t n)
{
        for (; n; n--)
                wr_char(w, 0);
}

/* A match or a target: size, name, revision, and its data. */
static void put_extension(struct wr *w, const char *name, uint8_t revision, const void *data,
                          size_t len)
{
        union {
                struct xt_entry_match as_match;
                char bytes[sizeof(struct xt_entry_match)];
        } head = { .as_match = { .u.user = { .revision = revision } } };

        head.as_match.u.user.match_size = (uint16_t)(sizeof(head) + ALIGN8(len));
        memcpy(head.as_match.u.user.name, name, strlen(name));
        wr_bytes(w, head.bytes, sizeof(head));
        wr_bytes(w, data, len);
        put_zeros(w, ALIGN8(len) - len);
}

static void add_match(struct entry *e, const char *name, uint8_t revision, const void *data,
                      size_t len)
{
        struct wr w = wr_of(e->matches + e->matches_len, sizeof(e->matches) - e->matches_len);

        put_extension(&w, name, revision, data, len);
        e->matches_len += w.len;
}

static void add_mark(struct entry *e, const char *name, uint32_t mark)
{
        const struct xt_mark_mtinfo1 m = { .mark = mark, .mask = ~0U };

        _Static_assert(sizeof(m) == sizeof(struct xt_connmark_mtinfo1), "one layout");
        add_match(e, name, 1, &m, sizeof(m));
}

/*
 * A socket opened by one of these ids. XT_OWNER_SOCKET would not do for "any process": the
 * kernel's own sockets, which find our neighbours, have it too.
 */
static void add_owner(struct entry *e, uint32_t uid_min, uint32_t uid_max)
{
        const struct xt_owner_match_info m = { .match = XT_OWNER_UID, .uid_min = uid_min,
                                               .uid_max = uid_max };

        add_match(e, "owner", 1, &m, sizeof(m));
}

/* DIRECTION means the original one, and inverted the reply's. */
static void add_answer(struct entry *e)
{
        const struct xt_conntrack_mtinfo3 m = {
                .match_flags = XT_CONNTRACK_STATE | XT_CONNTRACK_DIRECTION,
                .invert_flags = XT_CONNTRACK_DIRECTION,
                .state_mask = XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED),
        };

        add_match(e, "conntrack", 3, &m, sizeof(m));
}

static void add_dns(struct entry *e)
{
        const struct xt_tcp tcp = { .spts = { 0, 0xffff }, .dpts = { 53, 53 } };
        const struct xt_udp udp = { .spts = { 0, 0xffff }, .dpts = { 53, 53 } };

        if (e->proto == IPPROTO_TCP)
                add_match(e, "tcp", 0, &tcp, sizeof(tcp));
        else
                add_match(e, "udp", 0, &udp, sizeof(udp));
}

static void add_neighbour(struct entry *e, uint8_t type)
{
        const struct ip6t_icmp m = { .type = type, .code = { 0, 0xff } };

        e->proto = IPPROTO_ICMPV6;
        add_match(e, "icmp6", 0, &m, sizeof(m));
}

static void put_head4(struct wr *w, const struct entry *e, size_t target_len)
{
        union {
                struct ipt_entry as_entry;
                char bytes[sizeof(struct ipt_entry)];
        } h = { .as_entry = { .ip.proto = e->proto, .nfcache = OURS } };
        size_t target = sizeof(h) + e->matches_len;

        if (e->by_lo) {
                memcpy(h.as_entry.ip.outiface, "lo", 3);
                memset(h.as_entry.ip.outiface_mask, 0xff, 3); /* with its NUL: not lo0 */
        }
        if (e->to) {
                memcpy(&h.as_entry.ip.dst, e->to->bytes, 4);
                memset(&h.as_entry.ip.dmsk, 0xff, e->to->prefix / 8U);
        }
        h.as_entry.target_offset = (uint16_t)target;
        h.as_entry.next_offset = (uint16_t)(target + target_len);
        wr_bytes(w, h.bytes, sizeof(h));
}

static void put_head6(struct wr *w, const struct entry *e, size_t target_len)
{
        union {
                struct ip6t_entry as_entry;
                char bytes[sizeof(struct ip6t_entry)];
        } h = { .as_entry = { .ipv6.proto = e->proto, .nfcache = OURS } };
        size_t target = sizeof(h) + e->matches_len;

        if (e->proto)
                h.as_entry.ipv6.flags = IP6T_F_PROTO;
        if (e->by_lo) {
                memcpy(h.as_entry.ipv6.outiface, "lo", 3);
                memset(h.as_entry.ipv6.outiface_mask, 0xff, 3);
        }
        if (e->to) {
                memcpy(&h.as_entry.ipv6.dst, e->to->bytes, 16);
                memset(&h.as_entry.ipv6.dmsk, 0xff, e->to->prefix / 8U);
        }
        h.as_entry.target_offset = (uint16_t)target;
        h.as_entry.next_offset = (uint16_t)(target + target_len);
        wr_bytes(w, h.bytes, sizeof(h));
}

static void put_entry(struct wr *w, const struct entry *e, const char *target, uint8_t revision,
                      const void *data, size_t len)
{
        size_t target_len = sizeof(struct xt_entry_target) + ALIGN8(len);

        if (e->head->family == RULES_V4)
                put_head4(w, e, target_len);
        else
                put_head6(w, e, target_len);
        wr_bytes(w, e->matches, e->matches_len);
        put_extension(w, target, revision, data, len);
        new.head.num_entries++;
}

static void put_standard(struct wr *w, const struct entry *e, int verdict)
{
        put_entry(w, e, XT_STANDARD_TARGET, 0, &verdict, sizeof(verdict));
}

static void put_redirect(struct wr *w, const struct entry *e, uint16_t port)
{
        const uint8_t be[2] = { (uint8_t)(port >> 8), (uint8_t)port };
        struct nf_nat_ipv4_multi_range_compat v4 = { .rangesize = 1 };
        struct nf_nat_range v6 = { .flags = NF_NAT_RANGE_PROTO_SPECIFIED };

        v4.range[0].flags = NF_NAT_RANGE_PROTO_SPECIFIED;
        memcpy(&v4.range[0].min, be, sizeof(be));
        memcpy(&v4.range[0].max, be, sizeof(be));
        memcpy(&v6.min_proto, be, sizeof(be));
        memcpy(&v6.max_proto, be, sizeof(be));
        if (e->head->family == RULES_V4)
                put_entry(w, e, "REDIRECT", 0, &v4, sizeof(v4));
        else
                put_entry(w, e, "REDIRECT", 0, &v6, sizeof(v6));
}

static void put_reject(struct wr *w, const struct entry *e, bool reset)
{
        uint32_t with = e->head->family == RULES_V4
                                ? (uint32_t)(reset ? IPT_TCP_RESET : IPT_ICMP_ADMIN_PROHIBITED)
                                : (uint32_t)(reset ? IP6T_TCP_RESET : IP6T_ICMP6_ADM_PROHIBITED);

        put_entry(w, e, "REJECT", 0, &with, sizeof(with));
}

static void add_rules_match(struct entry *e, enum rules_match m, const struct nft_plan *p,
                            const struct rules_address *to, uint8_t neighbour)
{
        switch (m) {
        case MATCH_END:
                break;
        case MATCH_MARKED:
                add_mark(e, "mark", p->mark);
                break;
        case MATCH_OWNED:
                add_owner(e, 0, highest_uid);
                break;
        case MATCH_ROOT:
                add_owner(e, 0, 0);
                break;
        case MATCH_KEPT:
                add_mark(e, "connmark", p->mark);
                break;
        case MATCH_ANSWER:
                add_answer(e);
                break;
        case MATCH_TCP:
                e->proto = IPPROTO_TCP;
                break;
        case MATCH_UDP:
                e->proto = IPPROTO_UDP;
                break;
        case MATCH_DNS:
                add_dns(e);
                break;
        case MATCH_BY_LO:
                e->by_lo = true;
                break;
        case MATCH_LOCAL:
                e->to = to;
                break;
        case MATCH_DOCKER_DNS:
                e->to = &docker_dns;
                break;
        case MATCH_NEIGHBOUR:
                add_neighbour(e, neighbour);
                break;
        }
}

static void put_outcome(struct wr *w, const struct entry *e, enum rules_verdict v,
                        const struct nft_plan *p)
{
        const struct xt_connmark_tginfo1 keep = { .ctmark = p->mark, .ctmask = ~0U,
                                                  .mode = XT_CONNMARK_SET };
        const struct xt_connmark_tginfo2 keep2 = { .ctmark = p->mark, .ctmask = ~0U,
                                                   .mode = XT_CONNMARK_SET };

        switch (v) {
        case VERDICT_KEEP: /* the target goes on to the next entry */
                if (has_connmark2)
                        put_entry(w, e, "CONNMARK", 2, &keep2, sizeof(keep2));
                else
                        put_entry(w, e, "CONNMARK", 1, &keep, sizeof(keep));
                put_standard(w, e, STANDARD_ACCEPT);
                break;
        case VERDICT_ACCEPT:
                put_standard(w, e, STANDARD_ACCEPT);
                break;
        case VERDICT_AGENT: /* its rules stand here instead */
                break;
        case VERDICT_DNS:
                put_redirect(w, e, p->dns_port);
                break;
        case VERDICT_PROXY:
                put_redirect(w, e, p->redirect_port);
                break;
        case VERDICT_RESET:
                put_reject(w, e, true);
                break;
        case VERDICT_PROHIBIT:
                put_reject(w, e, false);
                break;
        }
}

static bool rule_has(const struct rules_rule *r, enum rules_match m)
{
        for (unsigned i = 0; i < RULES_MATCHES && r->match[i] != MATCH_END; i++) {
                if (r->match[i] == m)
                        return true;
        }
        return false;
}

/* @to and @neighbour: for the rules that become one entry for each of those. */
static void put_one(struct wr *w, const struct head *h, const struct rules_rule *r,
                    const struct nft_plan *p, const struct rules_address *to, uint8_t neighbour)
{
        struct entry e = { .head = h };

        if (r->chain == CHAIN_AGENT)
                add_owner(&e, 0, highest_uid);
        for (unsigned i = 0; i < RULES_MATCHES && r->match[i] != MATCH_END; i++)
                add_rules_match(&e, r->match[i], p, to, neighbour);
        put_outcome(w, &e, r->verdict, p);
}

static void put_rule(struct wr *w, const struct head *h, const struct rules_rule *r,
                     const struct nft_plan *p)
{
        if (!rules_apply(r, p) || !(r->families & h->family))
                return;
        if (rule_has(r, MATCH_NEIGHBOUR)) {
                for (uint8_t type = 133; type <= 136; type++)
                        put_one(w, h, r, p, NULL, type);
        } else if (rule_has(r, MATCH_LOCAL)) {
                for (size_t i = 0; i < local.count; i++) {
                        if (local.at[i].family == h->family)
                                put_one(w, h, r, p, &local.at[i], 0);
                }
        } else {
                put_one(w, h, r, p, NULL, 0);
        }
}

static void put_chain(struct wr *w, const struct head *h, enum rules_chain chain,
                      const struct nft_plan *p)
{
        for (size_t i = 0; i < rules_count; i++) {
                if (rules_all[i].chain != chain)
                        continue;
                /* Every packet of CHAIN_AGENT is decided there: it can stand in line. */
                if (rules_all[i].verdict == VERDICT_AGENT)
                        put_chain(w, h, CHAIN_AGENT, p);
                else
                        put_rule(w, h, &rules_all[i], p);
        }
}

/* What goes in front of the chain of @hook. Nothing without a plan. */
static void put_block(struct wr *w, const struct head *h, const char *table, unsigned hook,
                      const struct nft_plan *p)
{
        const struct entry every = { .head = h };

        if (!p)
                return;
        if (!strcmp(table, "nat")) {
                if (hook == OUT)
                        put_chain(w, h, CHAIN_NAT, p);
                return;
        }
        if (!strcmp(table, "mangle")) {
                if (hook == POSTROUTING) {
                        put_chain(w, h, CHAIN_LEAVE, p);
                        put_standard(w, &every, STANDARD_DROP);
                }
                return;
        }
        if (hook == OUT)
                put_chain(w, h, CHAIN_OUT, p);
        if (hook == OUT || hook == FORWARD)
                put_standard(w, &every, STANDARD_DROP);
}

/* --- the table around them -------------------------------------------------------------- */

static uint16_t get16(const char *entry, size_t at)
{
        uint16_t n;

        memcpy(&n, entry + at, sizeof(n));
        return n;
}

static bool is_ours(const struct head *h, const char *entry)
{
        uint32_t n;

        memcpy(&n, entry + h->nfcache, sizeof(n));
        return n == OURS;
}

/* The length of the entry at @at of the old table, or 0 when it is none. */
static size_t entry_len(const struct head *h, size_t at, size_t size)
{
        size_t next, target;

        if (size - at < h->len)
                return 0;
        target = get16(old_blob() + at, h->target_offset);
        next = get16(old_blob() + at, h->next_offset);
        if (target < h->len || next < target + sizeof(struct xt_entry_target) ||
            next > size - at)
                return 0;
        return next;
}

static bool find_moved(uint32_t from, size_t count, uint32_t *to)
{
        for (size_t i = 0; i < count; i++) {
                if (moved[i].from == from) {
                        *to = moved[i].to;
                        return true;
                }
        }
        return false;
}

/* Jumps of others lead where they led. -EBADMSG when that place is gone. */
static int mend_jump(const struct head *h, char *entry, size_t count)
{
        size_t target = get16(entry, h->target_offset);
        const size_t verdict = target + sizeof(struct xt_entry_target);
        uint32_t to;
        int32_t v;

        if (entry[target + offsetof(struct xt_entry_target, u.user.name)] ||
            get16(entry, h->next_offset) < verdict + sizeof(v))
                return 0; /* not the standard target */
        memcpy(&v, entry + verdict, sizeof(v));
        if (v < 0)
                return 0; /* a verdict and not a jump */
        if (!find_moved((uint32_t)v, count, &to))
                return -EBADMSG;
        memcpy(entry + verdict, &to, sizeof(to));
        return 0;
}

/*
 * The new table: the old one without our entries, and with our new ones in front of
 * OUTPUT's and FORWARD's. An entry of ours has moved to where the next one stands.
 */
static int compose(const struct head *h, const char *table, const struct ipt_getinfo *info,
                   const struct nft_plan *p)
{
        struct wr w = wr_of(new_blob(), TABLE_MAX);
        size_t count = 0, len;

        memset(&new.head, 0, sizeof(new.head));
        memcpy(new.head.name, table, strlen(table));
        new.head.valid_hooks = info->valid_hooks;
        new.head.num_counters = info->num_entries;
        for (size_t at = 0; at < info->size; at += len) {
                len = entry_len(h, at, info->size);
                if (!len)
                        return -EBADMSG;
                if (count == ENTRIES)
                        return -EFBIG;
                for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++) {
                        if (info->valid_hooks & BIT(hook) && info->hook_entry[hook] == at) {
                                new.head.hook_entry[hook] = (uint32_t)w.len;
                                put_block(&w, h, table, hook, p);
                        }
                        if (info->valid_hooks & BIT(hook) && info->underflow[hook] == at)
                                new.head.underflow[hook] = (uint32_t)w.len;
                }
                moved[count].from = (uint32_t)at;
                moved[count++].to = (uint32_t)w.len;
                if (is_ours(h, old_blob() + at))
                        continue;
                wr_bytes(&w, old_blob() + at, len);
                new.head.num_entries++;
        }
        if (w.full)
                return -EFBIG;
        new.head.size = (uint32_t)w.len;
        for (size_t at = 0; at < w.len; at += get16(new_blob() + at, h->next_offset)) {
                int r = is_ours(h, new_blob() + at) ? 0 : mend_jump(h, new_blob() + at, count);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_table(int fd, const struct head *h, const char *table, struct ipt_getinfo *info)
{
        socklen_t len = sizeof(*info);

        memset(info, 0, sizeof(*info));
        memcpy(info->name, table, strlen(table));
        if (getsockopt(fd, h->level, IPT_SO_GET_INFO, info, &len) < 0)
                return -errno;
        if (info->size > TABLE_MAX || info->num_entries > ENTRIES)
                return -EFBIG;
        memset(&old.head, 0, sizeof(old.head));
        memcpy(old.head.name, table, strlen(table));
        old.head.size = info->size;
        len = (socklen_t)(sizeof(old.head) + info->size);
        return getsockopt(fd, h->level, IPT_SO_GET_ENTRIES, &old, &len) < 0 ? -errno : 0;
}

/* Does the table hold what we wrote? */
static int verify(int fd, const struct head *h, const char *table)
{
        struct ipt_getinfo info;
        int r = read_table(fd, h, table, &info);

        if (r < 0)
                return r;
        for (unsigned hook = 0; hook < NF_INET_NUMHOOKS; hook++) {
                if (info.valid_hooks & BIT(hook) &&
                    info.hook_entry[hook] != new.head.hook_entry[hook])
                        return -ESTALE;
        }
        return info.num_entries == new.head.num_entries && info.size == new.head.size ? 0
                                                                                      : -ESTALE;
}

/* Linux 4.18 has a second revision, and newer iptables-save reads no other. */
static bool asks_connmark2(int fd, const struct head *h)
{
        struct xt_get_revision ask = { .name = "CONNMARK", .revision = 2 };
        socklen_t len = sizeof(ask);

        return !getsockopt(fd, h->level,
                           h->family == RULES_V4 ? IPT_SO_GET_REVISION_TARGET
                                                 : IP6T_SO_GET_REVISION_TARGET,
                           &ask, &len);
}

/*
 * The kernel compares the count of entries that we give back with what it has: another
 * one's change in between is EAGAIN.
 */
static int edit(int fd, const struct head *h, const char *table, const struct nft_plan *p)
{
        int r = -EAGAIN;

        has_connmark2 = asks_connmark2(fd, h);
        for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
                struct ipt_getinfo info;

                r = read_table(fd, h, table, &info);
                if (!r)
                        r = compose(h, table, &info, p);
                if (r < 0)
                        continue;
                new.head.counters = old_counters;
                if (setsockopt(fd, h->level, IPT_SO_SET_REPLACE, &new,
                               (socklen_t)(sizeof(new.head) + new.head.size)) < 0)
                        r = -errno;
                else
                        r = verify(fd, h, table);
        }
        return r;
}

/* A TCP socket will do on Linux; gVisor wants a raw one, for which it asks CAP_NET_RAW too. */
static int open_socket(const struct head *h)
{
        int fd = socket(h->socket_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);

        if (fd < 0 && errno != EAFNOSUPPORT)
                fd = socket(h->socket_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd < 0 ? -errno : fd;
}

static bool is_missing(int r)
{
        return r == -ENOPROTOOPT || r == -ENOENT || r == -EAFNOSUPPORT;
}

/* The next number of a line of /proc/self/uid_map. */
static uint64_t number_of(const char **at)
{
        uint64_t n;

        *at += strspn(*at, " ");
        return digits_take(at, UINT32_MAX, &n) ? n : 0;
}

/*
 * `inside outside count`: no process has an id outside of it, and the kernel takes no
 * other for a bound. Packets of a stranger to it count as nobody's.
 */
static int read_highest_uid(void)
{
        char map[4096];
        const char *at = map;
        ssize_t n = read_file(AT_FDCWD, "/proc/self/uid_map", map, sizeof(map));

        if (n < 0)
                return (int)n;
        highest_uid = 0;
        while (*at) {
                uint64_t line[3], last;

                for (size_t i = 0; i < COUNT(line); i++)
                        line[i] = number_of(&at);
                last = line[0] + line[2] - 1;
                if (last <= UINT32_MAX && last > highest_uid)
                        highest_uid = (uint32_t)last;
                for (; *at && *at != '\n'; at++)
                        ;
                at += *at == '\n';
        }
        return 0;
}

/* Filters first: between two tables everything is refused, and nothing is open. */
int xt_apply(const struct nft_plan *p)
{
        bool no_nat = false;
        int r;

        if (rules_wrong(p))
                return -EINVAL;
        r = read_highest_uid();
        if (!r)
                r = rules_addresses(&local);
        for (size_t i = 0; !r && i < COUNT(heads); i++) {
                AUTO_CLOSE int fd = open_socket(&heads[i]);

                if (fd == -EAFNOSUPPORT)
                        continue; /* a family that nobody has needs no lock */
                r = fd < 0 ? fd : edit(fd, &heads[i], "filter", p);
                if (!r)
                        r = edit(fd, &heads[i], "mangle", p);
        }
        for (size_t i = 0; !r && i < COUNT(heads); i++) {
                AUTO_CLOSE int fd = open_socket(&heads[i]);

                if (fd == -EAFNOSUPPORT)
                        continue;
                r = fd < 0 ? fd : edit(fd, &heads[i], "nat", p);
                if (is_missing(r)) {
                        no_nat = true;
                        r = 0;
                }
        }
        return r ? r : !p->off && no_nat;
}

/* Is the table there? To ask for one makes the kernel create it. */
static bool is_loaded(const struct head *h, const char *table)
{
        const size_t len = strlen(table);
        char names[256];
        ssize_t n = read_file(AT_FDCWD, h->names, names, sizeof(names));

        for (const char *line = names; n > 0 && *line; line = strchr(line, '\n') + 1) {
                if (!strncmp(line, table, len) && line[len] == '\n')
                        return true;
                if (!strchr(line, '\n'))
                        break;
        }
        return false;
}

static int remove_from(int fd, const struct head *h, const char *table)
{
        struct ipt_getinfo info;
        int r = is_loaded(h, table) ? read_table(fd, h, table, &info) : -ENOENT;

        for (size_t at = 0, len; !r && at < info.size; at += len) {
                len = entry_len(h, at, info.size);
                if (!len)
                        return -EBADMSG;
                if (is_ours(h, old_blob() + at))
                        return edit(fd, h, table, NULL);
        }
        return is_missing(r) ? 0 : r;
}

int xt_remove(void)
{
        static const char *const tables[] = { "nat", "mangle", "filter" };
        int r = 0;

        for (size_t i = 0; !r && i < COUNT(heads); i++) {
                AUTO_CLOSE int fd = open_socket(&heads[i]);

                if (fd == -EAFNOSUPPORT)
                        continue;
                if (fd < 0)
                        return fd;
                for (size_t t = 0; !r && t < COUNT(tables); t++)
                        r = remove_from(fd, &heads[i], tables[t]);
        }
        return r;
}
