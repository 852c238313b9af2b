/*
 * netfilter/names.h - the virtual network's address book: a name that the policy allows
 * has an address of 198.18.0.0/15, and that address means the name.
 *
 * A name keeps its address for as long as the table holds it. The table is bounded: when
 * it is full, the entry goes that was asked for longest ago, once what we promised the
 * resolver about it (NAMES_TTL_S, and as much again) is over and no connection uses it.
 * A slot's next name gets another address, so a stale address means nothing rather than
 * another name. names_forget() moves every address on in the same way.
 *
 * Knows no policy and touches no descriptor. The tables are the process's.
 */
#ifndef NETFILTER_NAMES_H
#define NETFILTER_NAMES_H

#include "base/base.h"

#define NAMES_COUNT 8192 /* a power of two; 15 rounds of it fit into a /15 */
#define NAMES_TTL_S 60
#define NAMES_LEN 253 /* the longest name, as text without its last dot */

void names_init(void);

/*
 * The address of @name (normalised, @len bytes), in host order; a new entry where there
 * is none. 0: every entry is in use.
 */
uint32_t names_address(const char *name, size_t len, uint64_t now_ms);

/* The name behind an address, NUL-terminated; NULL: it means nothing, or no more. */
const char *names_find(uint32_t address);

/* True for every address of 198.18.0.0/15, given out or not. */
bool names_covers(uint32_t address);

/* A connection uses the address; let go when it ends. Unknown ones are ignored. */
void names_hold(uint32_t address);
void names_release(uint32_t address);

/* A new phase: no address given out so far means anything any more. */
void names_forget(void);

#endif
