/*
 * netfilter/nft.h - the netfilter lock by nf_tables: our one table, written over netlink.
 *
 * The plan is what the caller wants; netfilter/rules.c turns it into the list of rules that
 * nf_tables and the legacy ip_tables (xt.h) share. The form is what this kernel has of
 * nf_tables; netfilter.h tries one after the other.
 *
 * One batch puts everything there, or nothing: a process killed half-way leaves what was
 * before. A second application replaces the first, in one batch too: its rules hold within a
 * tenth of a millisecond, and then close(2) waits some for the packets under the old ones,
 * unless the socket is lent.
 * Tables of others are never touched.
 *
 * What the rules do not stop, and a filter or a lost capability must: AF_PACKET sockets
 * (CAP_NET_RAW) pass no output hook, AF_VSOCK is no network of ours, and CAP_NET_ADMIN
 * takes the table away again.
 */
#ifndef NETFILTER_NFT_H
#define NETFILTER_NFT_H

#include "base/base.h"

/*
 * Packets with @mark pass: SO_MARK asks for CAP_NET_ADMIN or, since Linux 5.17, CAP_NET_RAW.
 * Matching a user id instead would let a root agent through: it takes any id.
 */
struct nft_plan {
        bool off;               /* nobody's packets leave, marked or not; nothing redirected */
        uint32_t mark;          /* not 0, unless off */
        uint16_t dns_port;      /* where DNS to any server goes, UDP and TCP; 0: nowhere */
        uint16_t redirect_port; /* where TCP to any other host goes; 0: nowhere */
        /*
         * Answers of our servers to those who connected from outside pass: published ports
         * work. Only answers: the connection must have been begun by the other side.
         */
        bool inbound;
        /*
         * Sockets of uid 0 may ask port 53. dockerd opens such ones inside the container
         * for what 127.0.0.11 was asked, and without this they end at our own resolver.
         * Only for an agent that is not root and can't become it.
         */
        bool root_resolves;
        /*
         * Standard input is the netlink socket to use. Whoever closes the last copy of one by
         * which rules were taken away waits until no packet is under them any more.
         */
        bool lent;
};

/* What the kernel has; all false: everything. */
struct nft_form {
        bool split;  /* tables ip and ip6 in place of inet (no inet nat before Linux 5.2) */
        bool no_v6;  /* with split: only ip; right only where AF_INET6 does not exist */
        bool no_fib; /* own addresses listed one by one: those added later are refused */
        bool no_nat; /* nothing is redirected: programs must know the proxy */
};

/*
 * Puts the rules into this network namespace and reads them back. 0 or -errno:
 *   -EPERM                                    no CAP_NET_ADMIN over this namespace
 *   -EPROTONOSUPPORT -EAFNOSUPPORT            the kernel has no netfilter netlink
 *   -EOPNOTSUPP -ENOENT and others            it lacks something: try another form
 *   -ESTALE                                   it said yes, and the rules are not there
 */
MUST_USE int nft_apply(const struct nft_plan *p, const struct nft_form *f);

/* Are all our chains hooked, closed by policy, and as long as they should be? 0 or -ESTALE. */
MUST_USE int nft_verify(const struct nft_plan *p, const struct nft_form *f);

/* Takes our tables away, whatever their form; having none is fine. 0 or -errno. */
MUST_USE int nft_remove(void);

#endif
