/*
 * netfilter/xt.h - the netfilter lock by the legacy ip_tables and ip6_tables: second choice,
 * for kernels without nf_tables.
 *
 * A legacy table is read whole and replaced whole. Rules that others put there stay, behind
 * ours: our list goes to the front of OUTPUT (and of FORWARD, and of POSTROUTING in mangle, the
 * one table that can drop there) as a block of entries, which carry a number of ours in a
 * field that the kernel keeps and does not use, so that a second application finds and
 * replaces them. The counters of others start anew. A table that is too large, or in which a
 * jump can't be followed, is refused and left as it was.
 *
 * Unlike nf_tables, there are six tables and six transactions (filter, mangle and nat, IPv4
 * and IPv6). Filter comes first: a process killed between them leaves everything refused.
 * Another program that replaces a table at the same moment is noticed by the count of
 * entries alone, as with every user of this interface.
 *
 * Local addresses are listed one by one; those added later are refused.
 */
#ifndef NETFILTER_XT_H
#define NETFILTER_XT_H

#include "netfilter/nft.h"

/*
 * 0; 1 when the nat tables are missing, so that nothing is redirected; -errno, after which
 * the tables are as open or closed as they were, or more closed:
 *   -EPERM           no CAP_NET_ADMIN
 *   -ENOPROTOOPT -ENOENT -EINVAL   no legacy tables, or one without what the rules need
 *   -EFBIG -EBADMSG  a table of others that we can't keep
 */
MUST_USE int xt_apply(const struct nft_plan *p);

/* Takes our entries out. Tables that are not there are fine. 0 or -errno. */
MUST_USE int xt_remove(void);

#endif
