/*
 * netfilter/rules.h - what the netfilter lock lets pass, as one list.
 *
 * The list is written once, here; nft.c and xt.c only translate it. A rule says which
 * chain it is in, for which plans and families, what a packet must look like (all
 * matches hold) and what becomes of it. The first rule that fits decides.
 *
 *   CHAIN_NAT    first packets of connections that leave us; falls through to accept
 *   CHAIN_OUT    every packet that leaves us; falls through to drop
 *   CHAIN_AGENT  the part of CHAIN_OUT for packets that still have a process's socket
 *   CHAIN_LEAVE  every packet with the device that it really leaves by; falls through to drop
 *   CHAIN_FORWARD  packets that come in to go out again: none, and so all are dropped
 *
 * Pure, but for rules_addresses(), which asks the kernel.
 */
#ifndef NETFILTER_RULES_H
#define NETFILTER_RULES_H

#include "netfilter/nft.h"

enum rules_chain {
        CHAIN_NAT,
        CHAIN_OUT,
        CHAIN_AGENT,
        CHAIN_LEAVE,
        CHAIN_FORWARD,
        CHAIN_COUNT,
};

enum rules_match {
        MATCH_END,
        MATCH_MARKED,     /* the socket's mark is the plan's */
        MATCH_OWNED,      /* a process still holds the socket */
        MATCH_ROOT,       /* ... and opened it as uid 0 */
        MATCH_KEPT,       /* the connection had a marked packet */
        MATCH_ANSWER,     /* to what somebody outside began */
        MATCH_TCP,
        MATCH_UDP,
        MATCH_DNS,        /* port 53 of the protocol matched before */
        MATCH_BY_LO,      /* leaves by the loopback device, and so stays; CHAIN_LEAVE only */
        MATCH_LOCAL,      /* one of this machine's own addresses */
        MATCH_DOCKER_DNS, /* 127.0.0.11, Docker's own resolver */
        MATCH_NEIGHBOUR,  /* ICMPv6 router and neighbour discovery */
};

enum rules_verdict {
        VERDICT_ACCEPT,
        VERDICT_KEEP,     /* accept, and remember that the connection is marked */
        VERDICT_AGENT,    /* go to CHAIN_AGENT and never come back */
        VERDICT_DNS,      /* redirect to the plan's dns_port */
        VERDICT_PROXY,    /* redirect to the plan's redirect_port */
        VERDICT_RESET,    /* answer with a TCP reset */
        VERDICT_PROHIBIT, /* answer with ICMP: administratively prohibited */
};

#define RULES_MATCHES 4

struct rules_rule {
        enum rules_chain chain;
        unsigned when;     /* WHEN_ bits: all of them must be true of the plan */
        unsigned families; /* RULES_V4 | RULES_V6; a rule of both families is one in inet */
        enum rules_match match[RULES_MATCHES]; /* up to MATCH_END */
        enum rules_verdict verdict;
};

enum { RULES_V4 = 1, RULES_V6 = 2, RULES_BOTH = 3 };

extern const struct rules_rule rules_all[];
extern const size_t rules_count;

/* Is this rule part of the plan? */
bool rules_apply(const struct rules_rule *r, const struct nft_plan *p);

/* The own addresses, for where the kernel can't be asked for each packet. */
#define RULES_ADDRESSES 64

struct rules_address {
        unsigned family;  /* RULES_V4 or RULES_V6 */
        uint8_t prefix;   /* bits of bytes that count */
        uint8_t bytes[16];
};

struct rules_addresses {
        size_t count;
        struct rules_address at[RULES_ADDRESSES];
};

/* 127.0.0.0/8, ::1 and every address of this network namespace. 0; -E2BIG; -errno. */
MUST_USE int rules_addresses(struct rules_addresses *a);

/* NULL for a plan that can be carried out, or what is wrong with it. */
const char *rules_wrong(const struct nft_plan *p);

#endif
