/*
 * netfilter/resolv.h - what /etc/resolv.conf says: whom to ask, how long, under what names.
 * Pure.
 *
 *     nameserver ADDRESS                      the first three
 *     search DOMAIN…  |  domain DOMAIN        the last line of them wins
 *     options timeout:S attempts:N ndots:N    capped as libc caps them: 30, 5 and 15
 *
 * Everything else, and every value that makes no sense, is passed over, as libc does. The file
 * is the container's, which the agent's setup may have written.
 */
#ifndef NETFILTER_RESOLV_H
#define NETFILTER_RESOLV_H

#include "base/rd.h"
#include "netfilter/name.h"

#define RESOLV_SERVERS 3
#define RESOLV_SEARCHES 8

struct resolv {
        struct address servers[RESOLV_SERVERS];
        struct name searches[RESOLV_SEARCHES];
        uint8_t server_count, search_count;
        uint8_t timeout_s, attempts; /* 0: not given */
        uint8_t ndots;               /* 1 unless given */
};

/* @text NULL: an empty file. */
void resolv_parse(struct resolv *r, const char *text);

/*
 * The @n-th name to ask for when a client wants @asked; false: there is no other. A name with
 * a dot in it is what the policy let through and comes first; the search list follows while
 * it has fewer dots than ndots. A single label begins with the list.
 */
MUST_USE bool resolv_candidate(const struct resolv *r, const struct name *asked, unsigned n,
                               struct name *out);

/*
 * For files of this kind, hosts(5) too. The next word of a line, which ends at '\n' or at a
 * comment; false: there is none. *@at moves on.
 */
MUST_USE bool resolv_word(const char **at, struct rd *word);
/* The start of the line after the one that @at is in. */
const char *resolv_line(const char *at);

#endif
