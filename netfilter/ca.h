/*
 * netfilter/ca.h - the authority of one task: made at start, gone at the end.
 *
 * airlock-proxy makes it in memory before it takes its first connection. Its key is never
 * written anywhere; only the certificate leaves, so that the task's clients can trust it.
 * Leaf certificates are made per host when a client comes, all with one shared key, and
 * kept in a bounded table. EC P-256 and SHA-256 throughout.
 *
 * The proxy owns the one struct, 82 KiB. Nothing here logs or touches a descriptor.
 */
#ifndef NETFILTER_CA_H
#define NETFILTER_CA_H

#include "base/tls.h"
#include "base/wr.h"

#define CA_CERTIFICATE 1024 /* bytes at most: a name of 253 in subject and SAN fits */
#define CA_LEAVES 64
#define CA_LEAF_S UINT64_C(86400)
#define CA_SELF_S (30 * UINT64_C(86400))

struct ca_key {
        br_ec_private_key secret;
        uint8_t secret_bytes[32];
        uint8_t point[65]; /* uncompressed */
        uint8_t id[20];    /* SHA-1 of the point: what SKI and AKI say (RFC 5280, 4.2.1.2) */
};

struct ca {
        struct ca_key self, leaf;
        struct tls_random *random;
        char name[40]; /* of the authority, different in each task */
        uint8_t certificate[CA_CERTIFICATE];
        size_t certificate_len;
        struct ca_leaf {
                char name[TLS_NAME];
                uint8_t certificate[CA_CERTIFICATE];
                uint16_t len;
                uint64_t until_s; /* 0: empty */
                uint64_t used;    /* count of the last use: the smallest goes first */
        } leaves[CA_LEAVES];
        uint64_t uses;
};

/* Makes keys and certificate. false: BearSSL made no key, which does not happen. */
MUST_USE bool ca_open(struct ca *ca, struct tls_random *random, uint64_t now_s);

/* The certificate as PEM, about 800 bytes. */
void ca_put_pem(const struct ca *ca, struct wr *w);

/*
 * A certificate for @name (a DNS name in normal form or an IP literal) that is valid from
 * an hour ago until at least six hours from now. Copies it into @out and returns its
 * length; 0 when the name is too long. Its key is ca->leaf.secret.
 */
MUST_USE size_t ca_leaf(struct ca *ca, const char *name, uint64_t now_s,
                        uint8_t out[static CA_CERTIFICATE]);

void ca_wipe(struct ca *ca);

#endif
