/*
 * netfilter/policy_tables.h - what policy_parse.c builds and policy.c looks into.
 *
 * All of it lies in the caller's arena. Names are found by a hash over their bytes from
 * the last to the first, so that one walk over a host name gives every suffix its hash.
 */
#ifndef NETFILTER_POLICY_TABLES_H
#define NETFILTER_POLICY_TABLES_H

#include "netfilter/policy.h"

#include <string.h>

#define PATTERN_SLOTS 8192 /* a power of two, twice POLICY_PATTERNS */
#define POLICY_PORTS 8192  /* of all rules together */

enum {
        PATTERN_ALLOW_SELF = 1,
        PATTERN_ALLOW_SUBS = 2,
        PATTERN_DENY_SELF = 4,
        PATTERN_DENY_SUBS = 8,
};

struct policy_pattern {
        const char *name; /* normal form, without "*."; not NUL-terminated */
        int32_t self;     /* first rule on d, which its subdomains obey too; -1: none */
        int32_t subs;     /* first rule on *.d */
        uint8_t len, flags;
};

struct policy_cidr {
        struct cidr range;
        uint8_t flags; /* PATTERN_…_SELF */
        int32_t self;
};

struct policy_tables {
        uint16_t slots[PATTERN_SLOTS]; /* index + 1 of a pattern, 0: free */
        size_t pattern_count, cidr_count, rule_count, port_count, string_len;
        struct policy_cidr cidrs[POLICY_CIDRS];
        struct policy_rule rules[POLICY_RULES];
        struct policy_pattern patterns[POLICY_PATTERNS];
        uint16_t ports[POLICY_PORTS];
        char strings[POLICY_STRINGS];
};
_Static_assert(sizeof(struct policy_tables) <= POLICY_ARENA, "POLICY_ARENA is too small");

#define PATTERN_HASH 2166136261U /* of no byte */

static inline uint32_t pattern_hash(uint32_t hash, char c)
{
        return (hash ^ (uint8_t)c) * 16777619U;
}

/* The slot of this name, or the free one where it belongs. */
static inline size_t pattern_slot(const struct policy_tables *t, const char *name, size_t len,
                                  uint32_t hash)
{
        size_t slot = (hash ^ hash >> 15) % PATTERN_SLOTS;

        while (t->slots[slot]) {
                const struct policy_pattern *e = &t->patterns[t->slots[slot] - 1];

                if (e->len == len && !memcmp(e->name, name, len))
                        break;
                slot = (slot + 1) % PATTERN_SLOTS;
        }
        return slot;
}

static inline const struct policy_pattern *pattern_find(const struct policy_tables *t,
                                                        const char *name, size_t len,
                                                        uint32_t hash)
{
        size_t slot = pattern_slot(t, name, len, hash);

        return t->slots[slot] ? &t->patterns[t->slots[slot] - 1] : NULL;
}

/* Shared with the parser, which brings path globs to the form of policy_path. */
bool policy_unescape(const char *s, size_t len, unsigned *byte); /* "%2f" at @s */
bool policy_is_unreserved(unsigned c);
void policy_put_escape(struct wr *w, unsigned byte);

#endif
