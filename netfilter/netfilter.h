/*
 * netfilter/netfilter.h - the netfilter lock: the strongest form of it that holds here.
 *
 * Tried in this order, by doing: nf_tables with one inet table; with an ip and an ip6 table;
 * both again without the fib expression; legacy ip_tables and ip6_tables; and, last,
 * nf_tables that only filters, for programs that know the proxy from their environment.
 *
 * The caller has made sure that the namespace is its own (shared.h).
 */
#ifndef NETFILTER_NETFILTER_H
#define NETFILTER_NETFILTER_H

#include "netfilter/nft.h"

/*
 * Puts @p into force in this network namespace, in place of what an earlier call put there.
 * 0; 1 when nothing could be redirected, so that only programs that ask the proxy
 * reach it; -errno, and nothing changed. *@how, a static string, says what holds, or why
 * nothing does and what would allow it.
 */
MUST_USE int netfilter_apply(const struct nft_plan *p, const char **how);

/* Takes it all away again. 0 or -errno with *@why. */
MUST_USE int netfilter_remove(const char **why);

#endif
