/*
 * netfilter/nft.c - the list of rules as one nf_tables batch.
 *
 * Numbers in attributes are big-endian; what a comparison compares is bytes as they lie in
 * the packet or, for what the kernel keeps (marks, ids, address types), in host order.
 */
#include "netfilter/nft.h"

#include "netfilter/nl.h"
#include "netfilter/rules.h"

#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>
#include <unistd.h>

#define TABLE "airlock"
#define ACK_MS 10000   /* a swap waits for a grace period of the kernel's */
#define BATCH_MAX 65536

/*
 * Of <linux/netfilter.h>, <linux/in.h> and <linux/rtnetlink.h>, which do not go together with
 * each other under every libc.
 */
enum { FAMILY_INET = 1, FAMILY_IPV4 = 2, FAMILY_IPV6 = 10 };
enum { HOOK_FORWARD = 2, HOOK_OUT = 3, HOOK_POSTROUTING = 4 };
enum { LOOPBACK = 1 }; /* the number of lo in every namespace */
enum { PACKET_DROP = 0, PACKET_ACCEPT = 1 };
enum { PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58 };
enum { ROUTE_LOCAL = 2 };
enum { DIRECTION_REPLY = 1, STATE_ESTABLISHED = 2 };
enum { CODE_PROHIBITED_V4 = 13, CODE_PROHIBITED_V6 = 1 };

/*
 * Of our two priorities the first is one of docker's notch less 10: at -100 it redirects
 * 127.0.0.11 to the socket of its resolver. A nat chain must stay above -200.
 */
#define PRIORITY_NAT (-110)
#define PRIORITY_FILTER 0

static const struct {
        const char *name, *type; /* no type: entered from another chain only */
        unsigned hook;
        int priority;
        unsigned policy;
} chains[CHAIN_COUNT] = {
        [CHAIN_NAT] = { "nat_out", "nat", HOOK_OUT, PRIORITY_NAT, PACKET_ACCEPT },
        [CHAIN_OUT] = { "out", "filter", HOOK_OUT, PRIORITY_FILTER, PACKET_DROP },
        [CHAIN_AGENT] = { "agent", NULL, 0, 0, 0 },
        [CHAIN_LEAVE] = { "leave", "filter", HOOK_POSTROUTING, PRIORITY_FILTER, PACKET_DROP },
        [CHAIN_FORWARD] = { "forward", "filter", HOOK_FORWARD, PRIORITY_FILTER, PACKET_DROP },
};

/* What one batch is made of, and how many rules it put into each chain of a family. */
struct build {
        struct nl n;
        const struct nft_plan *plan;
        const struct nft_form *form;
        const struct rules_addresses *local; /* with no_fib */
        uint8_t family;
        unsigned rules[CHAIN_COUNT];
};

static uint32_t batch[BATCH_MAX / 4] LARGE_BUFFER;
static uint32_t answers[NL_REPLY_MAX / 4] LARGE_BUFFER;
static struct rules_addresses local_addresses LARGE_BUFFER;

static void message(struct nl *n, unsigned type, uint16_t flags, uint8_t family)
{
        struct nfgenmsg head = { .nfgen_family = family, .version = NFNETLINK_V0 };

        nl_message(n, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), flags, &head, sizeof(head));
}

/* NFNL_MSG_BATCH_BEGIN or _END; res_id, in network order, says which subsystem. */
static void bracket(struct nl *n, uint16_t type)
{
        struct nfgenmsg head = { .version = NFNETLINK_V0 };
        const uint8_t subsystem[2] = { 0, NFNL_SUBSYS_NFTABLES };

        memcpy(&head.res_id, subsystem, sizeof(subsystem));
        nl_message(n, type, 0, &head, sizeof(head));
}

/* --- expressions ----------------------------------------------------------------------- */

struct expression {
        size_t element, data;
};

static struct expression begin(struct nl *n, const char *name)
{
        struct expression e = { .element = nl_nest(n, NFTA_LIST_ELEM) };

        nl_put_str(n, NFTA_EXPR_NAME, name);
        e.data = nl_nest(n, NFTA_EXPR_DATA);
        return e;
}

static void end(struct nl *n, struct expression e)
{
        nl_nested(n, e.data);
        nl_nested(n, e.element);
}

static void put_meta(struct nl *n, uint32_t key)
{
        struct expression e = begin(n, "meta");

        nl_put_be32(n, NFTA_META_KEY, key);
        nl_put_be32(n, NFTA_META_DREG, NFT_REG_1);
        end(n, e);
}

static void put_payload(struct nl *n, uint32_t base, uint32_t offset, uint32_t len)
{
        struct expression e = begin(n, "payload");

        nl_put_be32(n, NFTA_PAYLOAD_DREG, NFT_REG_1);
        nl_put_be32(n, NFTA_PAYLOAD_BASE, base);
        nl_put_be32(n, NFTA_PAYLOAD_OFFSET, offset);
        nl_put_be32(n, NFTA_PAYLOAD_LEN, len);
        end(n, e);
}

static void put_ct(struct nl *n, uint32_t key, uint16_t reg_attribute)
{
        struct expression e = begin(n, "ct");

        nl_put_be32(n, NFTA_CT_KEY, key);
        nl_put_be32(n, reg_attribute, NFT_REG_1);
        end(n, e);
}

static void put_masked(struct nl *n, const uint8_t *mask, size_t len)
{
        static const uint8_t zeros[16];
        struct expression e = begin(n, "bitwise");
        size_t nest;

        nl_put_be32(n, NFTA_BITWISE_SREG, NFT_REG_1);
        nl_put_be32(n, NFTA_BITWISE_DREG, NFT_REG_1);
        nl_put_be32(n, NFTA_BITWISE_LEN, (uint32_t)len);
        nest = nl_nest(n, NFTA_BITWISE_MASK);
        nl_put(n, NFTA_DATA_VALUE, mask, len);
        nl_nested(n, nest);
        nest = nl_nest(n, NFTA_BITWISE_XOR);
        nl_put(n, NFTA_DATA_VALUE, zeros, len);
        nl_nested(n, nest);
        end(n, e);
}

static void put_cmp(struct nl *n, uint32_t op, const void *value, size_t len)
{
        struct expression e = begin(n, "cmp");
        size_t nest;

        nl_put_be32(n, NFTA_CMP_SREG, NFT_REG_1);
        nl_put_be32(n, NFTA_CMP_OP, op);
        nest = nl_nest(n, NFTA_CMP_DATA);
        nl_put(n, NFTA_DATA_VALUE, value, len);
        nl_nested(n, nest);
        end(n, e);
}

static void put_cmp8(struct nl *n, uint32_t op, uint8_t value)
{
        put_cmp(n, op, &value, sizeof(value));
}

/* A number that the kernel keeps in its own byte order. */
static void put_cmp32(struct nl *n, uint32_t op, uint32_t value)
{
        put_cmp(n, op, &value, sizeof(value));
}

static void put_value(struct nl *n, const void *value, size_t len)
{
        struct expression e = begin(n, "immediate");
        size_t nest;

        nl_put_be32(n, NFTA_IMMEDIATE_DREG, NFT_REG_1);
        nest = nl_nest(n, NFTA_IMMEDIATE_DATA);
        nl_put(n, NFTA_DATA_VALUE, value, len);
        nl_nested(n, nest);
        end(n, e);
}

static void put_verdict(struct nl *n, uint32_t code, const char *chain)
{
        struct expression e = begin(n, "immediate");
        size_t data, verdict;

        nl_put_be32(n, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        data = nl_nest(n, NFTA_IMMEDIATE_DATA);
        verdict = nl_nest(n, NFTA_DATA_VERDICT);
        nl_put_be32(n, NFTA_VERDICT_CODE, code);
        if (chain)
                nl_put_str(n, NFTA_VERDICT_CHAIN, chain);
        nl_nested(n, verdict);
        nl_nested(n, data);
        end(n, e);
}

static void put_counter(struct nl *n)
{
        end(n, begin(n, "counter"));
}

static void put_redirect(struct nl *n, uint16_t port)
{
        const uint8_t be[2] = { (uint8_t)(port >> 8), (uint8_t)port };
        struct expression e;

        put_value(n, be, sizeof(be));
        e = begin(n, "redir");
        nl_put_be32(n, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
        nl_put_be32(n, NFTA_REDIR_REG_PROTO_MAX, NFT_REG_1);
        end(n, e);
}

/* icmpx, one code for both families, exists in tables of both only. */
static void put_reject(struct build *b, bool reset)
{
        uint32_t type = b->family == FAMILY_INET ? NFT_REJECT_ICMPX_UNREACH
                                                 : NFT_REJECT_ICMP_UNREACH;
        uint8_t code = b->family == FAMILY_INET   ? NFT_REJECT_ICMPX_ADMIN_PROHIBITED
                       : b->family == FAMILY_IPV4 ? CODE_PROHIBITED_V4
                                                  : CODE_PROHIBITED_V6;
        struct expression e;

        put_counter(&b->n);
        e = begin(&b->n, "reject");
        nl_put_be32(&b->n, NFTA_REJECT_TYPE, reset ? NFT_REJECT_TCP_RST : type);
        if (!reset)
                nl_put(&b->n, NFTA_REJECT_ICMP_CODE, &code, sizeof(code));
        end(&b->n, e);
}

static void put_proto(struct nl *n, uint8_t proto)
{
        put_meta(n, NFT_META_L4PROTO);
        put_cmp8(n, NFT_CMP_EQ, proto);
}

/* In a table of both families an address only means something behind this. */
static void put_family(struct build *b, uint8_t family)
{
        if (b->family != FAMILY_INET)
                return;
        put_meta(&b->n, NFT_META_NFPROTO);
        put_cmp8(&b->n, NFT_CMP_EQ, family);
}

static void put_address(struct build *b, const struct rules_address *a)
{
        size_t len = a->family == RULES_V4 ? 4 : 16;
        uint8_t mask[16] = { 0 };

        put_family(b, a->family == RULES_V4 ? FAMILY_IPV4 : FAMILY_IPV6);
        put_payload(&b->n, NFT_PAYLOAD_NETWORK_HEADER, a->family == RULES_V4 ? 16 : 24,
                    (uint32_t)len);
        if (a->prefix < len * 8) { /* whole bytes: our list has no other prefix */
                memset(mask, 0xff, a->prefix / 8U);
                put_masked(&b->n, mask, len);
        }
        put_cmp(&b->n, NFT_CMP_EQ, a->bytes, len);
}

static void put_local(struct nl *n)
{
        struct expression e = begin(n, "fib");

        nl_put_be32(n, NFTA_FIB_DREG, NFT_REG_1);
        nl_put_be32(n, NFTA_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
        nl_put_be32(n, NFTA_FIB_FLAGS, NFTA_FIB_F_DADDR);
        end(n, e);
        put_cmp32(n, NFT_CMP_EQ, ROUTE_LOCAL);
}

/* Conntrack states are a set of bits. */
static void put_answer(struct nl *n)
{
        const uint32_t established = STATE_ESTABLISHED;
        const uint32_t none = 0;
        uint8_t mask[4];

        put_ct(n, NFT_CT_DIRECTION, NFTA_CT_DREG);
        put_cmp8(n, NFT_CMP_EQ, DIRECTION_REPLY);
        put_ct(n, NFT_CT_STATE, NFTA_CT_DREG);
        memcpy(mask, &established, sizeof(mask));
        put_masked(n, mask, sizeof(mask));
        put_cmp(n, NFT_CMP_NEQ, &none, sizeof(none));
}

/* --- rules ------------------------------------------------------------------------------- */

/* @a stands for MATCH_LOCAL where each address needs a rule of its own. */
static void put_match(struct build *b, enum rules_match m, const struct rules_address *a)
{
        static const struct rules_address docker = { RULES_V4, 32, { 127, 0, 0, 11 } };
        static const uint8_t dns[2] = { 0, 53 };
        struct nl *n = &b->n;

        switch (m) {
        case MATCH_END:
                break;
        case MATCH_MARKED:
                put_meta(n, NFT_META_MARK);
                put_cmp32(n, NFT_CMP_EQ, b->plan->mark);
                break;
        case MATCH_OWNED: /* true of every id, and of no packet without a socket's file */
                put_meta(n, NFT_META_SKUID);
                put_cmp32(n, NFT_CMP_GTE, 0);
                break;
        case MATCH_ROOT:
                put_meta(n, NFT_META_SKUID);
                put_cmp32(n, NFT_CMP_EQ, 0);
                break;
        case MATCH_KEPT:
                put_ct(n, NFT_CT_MARK, NFTA_CT_DREG);
                put_cmp32(n, NFT_CMP_EQ, b->plan->mark);
                break;
        case MATCH_ANSWER:
                put_answer(n);
                break;
        case MATCH_TCP:
                put_proto(n, PROTO_TCP);
                break;
        case MATCH_UDP:
                put_proto(n, PROTO_UDP);
                break;
        case MATCH_DNS:
                put_payload(n, NFT_PAYLOAD_TRANSPORT_HEADER, 2, sizeof(dns));
                put_cmp(n, NFT_CMP_EQ, dns, sizeof(dns));
                break;
        case MATCH_BY_LO:
                put_meta(n, NFT_META_OIF);
                put_cmp32(n, NFT_CMP_EQ, LOOPBACK);
                break;
        case MATCH_LOCAL:
                if (a)
                        put_address(b, a);
                else
                        put_local(n);
                break;
        case MATCH_DOCKER_DNS:
                put_address(b, &docker);
                break;
        case MATCH_NEIGHBOUR: /* types 133 to 136 */
                put_proto(n, PROTO_ICMPV6);
                put_payload(n, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1);
                put_cmp8(n, NFT_CMP_GTE, 133);
                put_cmp8(n, NFT_CMP_LTE, 136);
                break;
        }
}

static void put_outcome(struct build *b, enum rules_verdict v)
{
        struct nl *n = &b->n;

        switch (v) {
        case VERDICT_KEEP:
                put_value(n, &b->plan->mark, sizeof(b->plan->mark));
                put_ct(n, NFT_CT_MARK, NFTA_CT_SREG);
                put_verdict(n, PACKET_ACCEPT, NULL);
                break;
        case VERDICT_ACCEPT:
                put_verdict(n, PACKET_ACCEPT, NULL);
                break;
        case VERDICT_AGENT:
                put_verdict(n, (uint32_t)NFT_GOTO, chains[CHAIN_AGENT].name);
                break;
        case VERDICT_DNS:
                put_redirect(n, b->plan->dns_port);
                break;
        case VERDICT_PROXY:
                put_redirect(n, b->plan->redirect_port);
                break;
        case VERDICT_RESET:
                put_reject(b, true);
                break;
        case VERDICT_PROHIBIT:
                put_reject(b, false);
                break;
        }
}

static void put_rule(struct build *b, const struct rules_rule *r, const struct rules_address *a)
{
        size_t list;

        message(&b->n, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, b->family);
        nl_put_str(&b->n, NFTA_RULE_TABLE, TABLE);
        nl_put_str(&b->n, NFTA_RULE_CHAIN, chains[r->chain].name);
        list = nl_nest(&b->n, NFTA_RULE_EXPRESSIONS);
        for (unsigned i = 0; i < RULES_MATCHES && r->match[i] != MATCH_END; i++)
                put_match(b, r->match[i], a);
        put_outcome(b, r->verdict);
        nl_nested(&b->n, list);
        b->rules[r->chain]++;
}

static unsigned families_of(uint8_t family)
{
        return family == FAMILY_IPV4 ? RULES_V4 : family == FAMILY_IPV6 ? RULES_V6 : RULES_BOTH;
}

/* The rule, or one for each own address. */
static void put_rules(struct build *b, const struct rules_rule *r)
{
        bool local = false;

        for (unsigned i = 0; i < RULES_MATCHES && r->match[i] != MATCH_END; i++)
                local |= r->match[i] == MATCH_LOCAL;
        if (!local || !b->form->no_fib) {
                put_rule(b, r, NULL);
                return;
        }
        for (size_t i = 0; i < b->local->count; i++) {
                if (b->local->at[i].family & families_of(b->family))
                        put_rule(b, r, &b->local->at[i]);
        }
}

/* By form and not by plan: one plan's chains take another one's rules. */
static bool has_chain(const struct build *b, enum rules_chain c)
{
        return c != CHAIN_NAT || !b->form->no_nat;
}

static void put_chain(struct build *b, enum rules_chain c)
{
        size_t hook;

        message(&b->n, NFT_MSG_NEWCHAIN, NLM_F_CREATE, b->family);
        nl_put_str(&b->n, NFTA_CHAIN_TABLE, TABLE);
        nl_put_str(&b->n, NFTA_CHAIN_NAME, chains[c].name);
        if (!chains[c].type)
                return;
        hook = nl_nest(&b->n, NFTA_CHAIN_HOOK);
        nl_put_be32(&b->n, NFTA_HOOK_HOOKNUM, chains[c].hook);
        nl_put_be32(&b->n, NFTA_HOOK_PRIORITY, (uint32_t)chains[c].priority);
        nl_nested(&b->n, hook);
        nl_put_be32(&b->n, NFTA_CHAIN_POLICY, chains[c].policy);
        nl_put_str(&b->n, NFTA_CHAIN_TYPE, chains[c].type);
}

static void put_table_message(struct nl *n, unsigned type, uint16_t flags, uint8_t family)
{
        message(n, type, flags, family);
        nl_put_str(n, NFTA_TABLE_NAME, TABLE);
}

/* Takes every rule out of a chain. */
static void put_flush(struct build *b, enum rules_chain c)
{
        message(&b->n, NFT_MSG_DELRULE, 0, b->family);
        nl_put_str(&b->n, NFTA_RULE_TABLE, TABLE);
        nl_put_str(&b->n, NFTA_RULE_CHAIN, chains[c].name);
}

/* A new table; or, with @refill, one that is there: it gets our policies and our rules. */
static void put_table(struct build *b, uint8_t family, bool refill)
{
        b->family = family;
        memset(b->rules, 0, sizeof(b->rules));
        put_table_message(&b->n, NFT_MSG_NEWTABLE, NLM_F_CREATE | (refill ? 0 : NLM_F_EXCL),
                          family);
        for (enum rules_chain c = 0; c < CHAIN_COUNT; c++) {
                if (!has_chain(b, c))
                        continue;
                put_chain(b, c);
                if (refill)
                        put_flush(b, c);
        }
        for (size_t i = 0; i < rules_count; i++) {
                const struct rules_rule *r = &rules_all[i];

                if (rules_apply(r, b->plan) && has_chain(b, r->chain) &&
                    r->families & families_of(family))
                        put_rules(b, r);
        }
        nl_ask(&b->n);
}

/* The families of a form, one after the other. False behind the last. */
static bool family_at(const struct nft_form *f, unsigned i, uint8_t *family)
{
        if (i >= (f->split && !f->no_v6 ? 2U : 1U))
                return false;
        *family = !f->split ? FAMILY_INET : i ? FAMILY_IPV6 : FAMILY_IPV4;
        return true;
}

static int begin_build(struct build *b, const struct nft_plan *p, const struct nft_form *f)
{
        *b = (struct build){ .n = nl_of(batch, sizeof(batch)), .plan = p, .form = f,
                             .local = &local_addresses };
        if (rules_wrong(p))
                return -EINVAL;
        return f->no_fib ? rules_addresses(&local_addresses) : 0;
}

/* --- reading back -------------------------------------------------------------------------- */

static bool is_str(struct rd value, const char *s)
{
        size_t len = strlen(s) + 1;
        const uint8_t *b = rd_left(&value) == len ? rd_bytes(&value, len) : NULL;

        return b && !memcmp(b, s, len);
}

/* The attributes of one chain or rule; those of a chain and of a rule have other numbers. */
struct found {
        bool ours;
        enum rules_chain chain; /* CHAIN_COUNT: none that we know */
        bool hooked;
        uint32_t hook, policy;
        int32_t priority;
};

static void read_hook(struct found *f, struct rd value)
{
        uint16_t type;
        struct rd v;

        f->hooked = true;
        while (nl_attribute(&value, &type, &v)) {
                if (type == NFTA_HOOK_HOOKNUM)
                        f->hook = rd_be32(&v);
                if (type == NFTA_HOOK_PRIORITY)
                        f->priority = (int32_t)rd_be32(&v);
        }
}

static struct found read_found(struct rd *body, bool is_rule)
{
        const uint16_t table = NFTA_RULE_TABLE; /* a chain's has the same number */
        const uint16_t chain = is_rule ? NFTA_RULE_CHAIN : NFTA_CHAIN_NAME;
        struct found f = { .chain = CHAIN_COUNT };
        struct rd value;
        uint16_t type;

        rd_bytes(body, sizeof(struct nfgenmsg));
        while (nl_attribute(body, &type, &value)) {
                if (type == table)
                        f.ours = is_str(value, TABLE);
                for (enum rules_chain c = 0; type == chain && c < CHAIN_COUNT; c++) {
                        if (is_str(value, chains[c].name))
                                f.chain = c;
                }
                if (!is_rule && type == NFTA_CHAIN_HOOK)
                        read_hook(&f, value);
                if (!is_rule && type == NFTA_CHAIN_POLICY)
                        f.policy = rd_be32(&value);
        }
        return f;
}

static bool is_right_chain(const struct found *f)
{
        if (!f->hooked || !chains[f->chain].type)
                return f->hooked == (chains[f->chain].type != NULL);
        return f->hook == chains[f->chain].hook && f->policy == chains[f->chain].policy &&
               f->priority == chains[f->chain].priority;
}

/* Counts what our table of this family holds, by chain. 0, -ESTALE or -errno. */
static int count_back(int fd, uint8_t family, bool of_rules, unsigned counts[CHAIN_COUNT])
{
        uint32_t request[32];
        struct nl n = nl_of(request, sizeof(request));
        struct nl_dump d;
        struct rd body;
        uint16_t type;
        int r;

        memset(counts, 0, CHAIN_COUNT * sizeof(*counts));
        message(&n, of_rules ? NFT_MSG_GETRULE : NFT_MSG_GETCHAIN, NLM_F_DUMP, family);
        if (of_rules)
                nl_put_str(&n, NFTA_RULE_TABLE, TABLE);
        r = nl_dump_open(&d, fd, &n, answers, sizeof(answers), ACK_MS);
        if (r < 0)
                return r;
        while ((r = nl_dump_next(&d, &type, &body)) > 0) {
                struct found f = read_found(&body, of_rules);

                if (!f.ours)
                        continue;
                if (f.chain == CHAIN_COUNT || (!of_rules && !is_right_chain(&f)))
                        return -ESTALE;
                counts[f.chain]++;
        }
        return r;
}

/* The batch once more, unsent: it knows how many rules there should be. */
static int verify_family(int fd, struct build *b, uint8_t family)
{
        unsigned held[CHAIN_COUNT] = { 0 }, rules[CHAIN_COUNT] = { 0 };
        int r = count_back(fd, family, false, held);

        if (!r)
                r = count_back(fd, family, true, rules);
        if (r < 0)
                return r;
        b->n = nl_of(batch, sizeof(batch));
        put_table(b, family, false);
        for (enum rules_chain c = 0; c < CHAIN_COUNT; c++) {
                if (held[c] != has_chain(b, c) || rules[c] != b->rules[c])
                        return -ESTALE;
        }
        return 0;
}

static int verify(int fd, struct build *b)
{
        uint8_t family;
        int r = 0;

        for (unsigned i = 0; !r && family_at(b->form, i, &family); i++)
                r = verify_family(fd, b, family);
        return r;
}

int nft_verify(const struct nft_plan *p, const struct nft_form *f)
{
        struct build b;
        int r = begin_build(&b, p, f);

        if (r < 0)
                return r;
        AUTO_CLOSE int fd = nl_open(NETLINK_NETFILTER);
        return fd < 0 ? fd : verify(fd, &b);
}

/* --- applying ------------------------------------------------------------------------------ */

static const uint8_t every_family[] = { FAMILY_INET, FAMILY_IPV4, FAMILY_IPV6 };

/* Which of our tables are there, as bits of every_family; or -errno. */
static int find_tables(int fd)
{
        uint32_t request[16];
        struct nl n = nl_of(request, sizeof(request));
        struct nl_dump d;
        struct rd body, value;
        uint16_t type;
        int r, there = 0;

        message(&n, NFT_MSG_GETTABLE, NLM_F_DUMP, 0);
        r = nl_dump_open(&d, fd, &n, answers, sizeof(answers), ACK_MS);
        if (r < 0)
                return r;
        while ((r = nl_dump_next(&d, &type, &body)) > 0) {
                uint8_t family = rd_u8(&body);

                rd_bytes(&body, sizeof(struct nfgenmsg) - 1);
                while (nl_attribute(&body, &type, &value)) {
                        for (unsigned i = 0; i < COUNT(every_family); i++) {
                                if (type == NFTA_TABLE_NAME && is_str(value, TABLE) &&
                                    family == every_family[i])
                                        there |= 1 << i;
                        }
                }
        }
        return r < 0 ? r : there;
}

static void put_no_tables(struct nl *n, int there)
{
        for (unsigned i = 0; i < COUNT(every_family); i++) {
                if (there & 1 << i)
                        put_table_message(n, NFT_MSG_DELTABLE, 0, every_family[i]);
        }
}

/* The tables of our form, as find_tables() gives them. */
static int tables_of(const struct nft_form *f)
{
        uint8_t family;
        int bits = 0;

        for (unsigned i = 0; family_at(f, i, &family); i++) {
                for (unsigned k = 0; k < COUNT(every_family); k++)
                        bits |= family == every_family[k] ? 1 << k : 0;
        }
        return bits;
}

/* One batch, and a look at what came of it. */
static int commit(int fd, struct build *b, int remove, bool refill)
{
        uint8_t family;
        int r;

        b->n = nl_of(batch, sizeof(batch));
        bracket(&b->n, NFNL_MSG_BATCH_BEGIN);
        put_no_tables(&b->n, remove);
        for (unsigned i = 0; family_at(b->form, i, &family); i++)
                put_table(b, family, refill);
        bracket(&b->n, NFNL_MSG_BATCH_END);
        r = nl_transact(fd, &b->n, ACK_MS);
        return r < 0 ? r : verify(fd, b);
}

/*
 * Where a table or a chain goes, the kernel waits milliseconds for the packets that are on
 * their way through it. So tables of the right form only get other rules; what
 * somebody else changed about them, or another form, is swapped for new ones.
 *
 * Without NLM_F_EXCL a table that appeared a moment ago would get every rule twice.
 */
int nft_apply(const struct nft_plan *p, const struct nft_form *f)
{
        struct build b;
        int there, r = begin_build(&b, p, f);

        if (r < 0)
                return r;
        AUTO_CLOSE int fd = p->lent ? nl_adopt(STDIN_FILENO) : nl_open(NETLINK_NETFILTER);
        if (fd < 0)
                return fd;
        there = find_tables(fd);
        if (there < 0)
                return there;
        if (there == tables_of(f) && !commit(fd, &b, 0, true))
                return 0;
        return commit(fd, &b, there, false);
}

int nft_remove(void)
{
        AUTO_CLOSE int fd = nl_open(NETLINK_NETFILTER);
        struct nl n = nl_of(batch, sizeof(batch));
        int there;

        if (fd < 0)
                return fd;
        there = find_tables(fd);
        if (there <= 0)
                return there;
        bracket(&n, NFNL_MSG_BATCH_BEGIN);
        put_no_tables(&n, there);
        nl_ask(&n);
        bracket(&n, NFNL_MSG_BATCH_END);
        return nl_transact(fd, &n, ACK_MS);
}
