/* netfilter/ca.c - see ca.h. */
#include "netfilter/ca.h"

#include "base/base64.h"
#include "netfilter/der.h"

#include <arpa/inet.h>
#include <string.h>

#define BACKDATED_S 3600 /* clocks in containers are late or early by a little */
#define RENEW_S UINT64_C(21600)

/* Object identifiers, as DER says them without tag and length. */
static const uint8_t oid_organization[] = { 0x55, 0x04, 0x0a };
static const uint8_t oid_common_name[] = { 0x55, 0x04, 0x03 };
static const uint8_t oid_ec_public_key[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01 };
static const uint8_t oid_p256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
static const uint8_t oid_ecdsa_sha256[] = { 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02 };
static const uint8_t oid_subject_key_id[] = { 0x55, 0x1d, 0x0e };
static const uint8_t oid_key_usage[] = { 0x55, 0x1d, 0x0f };
static const uint8_t oid_alt_name[] = { 0x55, 0x1d, 0x11 };
static const uint8_t oid_basic_constraints[] = { 0x55, 0x1d, 0x13 };
static const uint8_t oid_authority_key_id[] = { 0x55, 0x1d, 0x23 };
static const uint8_t oid_ext_key_usage[] = { 0x55, 0x1d, 0x25 };
static const uint8_t oid_server_auth[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01 };

static bool key_make(struct ca_key *k, struct tls_random *random)
{
        const br_ec_impl *ec = br_ec_get_default();
        br_sha1_context sha1;

        if (br_ec_keygen(&random->drbg.vtable, ec, &k->secret, k->secret_bytes,
                         BR_EC_secp256r1) != sizeof(k->secret_bytes) ||
            br_ec_compute_pub(ec, NULL, k->point, &k->secret) != sizeof(k->point))
                return false;
        br_sha1_init(&sha1);
        br_sha1_update(&sha1, k->point, sizeof(k->point));
        br_sha1_out(&sha1, k->id);
        return true;
}

static void put_attribute(struct der *w, const uint8_t *oid, size_t oid_len, const char *value)
{
        size_t set = der_open(w, DER_SET);
        size_t pair = der_open(w, DER_SEQUENCE);

        der_value(w, DER_OID, oid, oid_len);
        der_value(w, DER_UTF8, value, strlen(value));
        der_close(w, pair);
        der_close(w, set);
}

static void put_name(struct der *w, const char *common_name)
{
        size_t name = der_open(w, DER_SEQUENCE);

        put_attribute(w, oid_organization, sizeof(oid_organization), "airlock");
        put_attribute(w, oid_common_name, sizeof(oid_common_name), common_name);
        der_close(w, name);
}

static void put_algorithm(struct der *w)
{
        size_t algorithm = der_open(w, DER_SEQUENCE);

        der_value(w, DER_OID, oid_ecdsa_sha256, sizeof(oid_ecdsa_sha256));
        der_close(w, algorithm);
}

static void put_public_key(struct der *w, const struct ca_key *k)
{
        size_t info = der_open(w, DER_SEQUENCE);
        size_t algorithm = der_open(w, DER_SEQUENCE);
        size_t bits;

        der_value(w, DER_OID, oid_ec_public_key, sizeof(oid_ec_public_key));
        der_value(w, DER_OID, oid_p256, sizeof(oid_p256));
        der_close(w, algorithm);
        bits = der_open(w, DER_BITS);
        der_bytes(w, "", 1);
        der_bytes(w, k->point, sizeof(k->point));
        der_close(w, bits);
        der_close(w, info);
}

/* An extension up to the octets of its value; *@outer and the result are to be closed. */
static size_t open_extension(struct der *w, const uint8_t *oid, size_t len, bool critical,
                             size_t *outer)
{
        *outer = der_open(w, DER_SEQUENCE);
        der_value(w, DER_OID, oid, len);
        if (critical)
                der_value(w, DER_BOOLEAN, "\xff", 1);
        return der_open(w, DER_OCTETS);
}

static void put_extension(struct der *w, const uint8_t *oid, size_t oid_len, bool critical,
                          const void *value, size_t len)
{
        size_t outer, octets = open_extension(w, oid, oid_len, critical, &outer);

        der_bytes(w, value, len);
        der_close(w, octets);
        der_close(w, outer);
}

static void put_alt_name(struct der *w, const char *name)
{
        size_t outer, octets = open_extension(w, oid_alt_name, sizeof(oid_alt_name), false, &outer);
        size_t names = der_open(w, DER_SEQUENCE);
        uint8_t address[16];

        if (inet_pton(AF_INET, name, address) == 1)
                der_value(w, DER_IMPLICIT + 7, address, 4);
        else if (inet_pton(AF_INET6, name, address) == 1)
                der_value(w, DER_IMPLICIT + 7, address, 16);
        else
                der_value(w, DER_IMPLICIT + 2, name, strlen(name));
        der_close(w, names);
        der_close(w, octets);
        der_close(w, outer);
}

static void put_key_ids(struct der *w, const struct ca_key *subject, const struct ca_key *issuer)
{
        size_t outer, octets, ids;

        octets = open_extension(w, oid_subject_key_id, sizeof(oid_subject_key_id), false, &outer);
        der_value(w, DER_OCTETS, subject->id, sizeof(subject->id));
        der_close(w, octets);
        der_close(w, outer);
        octets = open_extension(w, oid_authority_key_id, sizeof(oid_authority_key_id), false,
                                &outer);
        ids = der_open(w, DER_SEQUENCE);
        der_value(w, DER_IMPLICIT + 0, issuer->id, sizeof(issuer->id));
        der_close(w, ids);
        der_close(w, octets);
        der_close(w, outer);
}

static void put_ca_extensions(struct der *w)
{
        /* CA:TRUE with no authority below it; keyCertSign and cRLSign. */
        static const uint8_t constraints[] = { 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00 };
        static const uint8_t usage[] = { 0x03, 0x02, 0x01, 0x06 };

        put_extension(w, oid_basic_constraints, sizeof(oid_basic_constraints), true, constraints,
                      sizeof(constraints));
        put_extension(w, oid_key_usage, sizeof(oid_key_usage), true, usage, sizeof(usage));
}

static void put_leaf_extensions(struct der *w, const char *name)
{
        /* CA:FALSE; digitalSignature. */
        static const uint8_t constraints[] = { 0x30, 0x00 };
        static const uint8_t usage[] = { 0x03, 0x02, 0x07, 0x80 };
        size_t outer, octets, usages;

        put_extension(w, oid_basic_constraints, sizeof(oid_basic_constraints), true, constraints,
                      sizeof(constraints));
        put_extension(w, oid_key_usage, sizeof(oid_key_usage), true, usage, sizeof(usage));
        octets = open_extension(w, oid_ext_key_usage, sizeof(oid_ext_key_usage), false, &outer);
        usages = der_open(w, DER_SEQUENCE);
        der_value(w, DER_OID, oid_server_auth, sizeof(oid_server_auth));
        der_close(w, usages);
        der_close(w, octets);
        der_close(w, outer);
        put_alt_name(w, name);
}

/* What is signed: for the authority itself when @name is NULL, for a host otherwise. */
static void put_tbs(struct der *w, struct ca *ca, const char *name, uint64_t from_s,
                    uint64_t to_s)
{
        const struct ca_key *subject = name ? &ca->leaf : &ca->self;
        size_t tbs = der_open(w, DER_SEQUENCE), part, list;
        uint8_t serial[16];

        part = der_open(w, DER_CONSTRUCTED + 0);
        der_value(w, DER_INTEGER, "\x02", 1); /* version 3 */
        der_close(w, part);
        tls_random_bytes(ca->random, serial, sizeof(serial));
        serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
        der_integer(w, serial, sizeof(serial));
        put_algorithm(w);
        put_name(w, ca->name);
        part = der_open(w, DER_SEQUENCE);
        der_time(w, from_s);
        der_time(w, to_s);
        der_close(w, part);
        /* A common name has at most 64 characters; the whole name is in the extension. */
        put_name(w, !name ? ca->name : strlen(name) <= 64 ? name : "a long name");
        put_public_key(w, subject);
        part = der_open(w, DER_CONSTRUCTED + 3);
        list = der_open(w, DER_SEQUENCE);
        if (name)
                put_leaf_extensions(w, name);
        else
                put_ca_extensions(w);
        put_key_ids(w, subject, &ca->self);
        der_close(w, list);
        der_close(w, part);
        der_close(w, tbs);
}

/* Writes and signs a certificate. Returns its length, 0 when it does not fit. */
static size_t certify(struct ca *ca, const char *name, uint64_t from_s, uint64_t to_s,
                      uint8_t out[static CA_CERTIFICATE])
{
        struct der w = der_of(out, CA_CERTIFICATE);
        size_t certificate = der_open(&w, DER_SEQUENCE), start = w.len, bits, signature_len;
        uint8_t hash[br_sha256_SIZE], signature[80];
        br_sha256_context sha256;

        put_tbs(&w, ca, name, from_s, to_s);
        if (w.full)
                return 0;
        br_sha256_init(&sha256);
        br_sha256_update(&sha256, out + start, w.len - start);
        br_sha256_out(&sha256, hash);
        signature_len = br_ecdsa_sign_asn1_get_default()(br_ec_get_default(), &br_sha256_vtable,
                                                         hash, &ca->self.secret, signature);
        put_algorithm(&w);
        bits = der_open(&w, DER_BITS);
        der_bytes(&w, "", 1);
        der_bytes(&w, signature, signature_len);
        der_close(&w, bits);
        der_close(&w, certificate);
        return w.full || !signature_len ? 0 : w.len;
}

bool ca_open(struct ca *ca, struct tls_random *random, uint64_t now_s)
{
        struct wr w = wr_of(ca->name, sizeof(ca->name));
        uint8_t mark[4];

        memset(ca, 0, sizeof(*ca));
        ca->random = random;
        if (!key_make(&ca->self, random) || !key_make(&ca->leaf, random))
                return false;
        tls_random_bytes(random, mark, sizeof(mark));
        wr_str(&w, "airlock task CA ");
        for (size_t i = 0; i < sizeof(mark); i++) {
                wr_char(&w, "0123456789abcdef"[mark[i] >> 4]);
                wr_char(&w, "0123456789abcdef"[mark[i] & 15]);
        }
        wr_cstr(&w);
        ca->certificate_len =
                certify(ca, NULL, now_s - BACKDATED_S, now_s + CA_SELF_S, ca->certificate);
        return ca->certificate_len != 0;
}

void ca_put_pem(const struct ca *ca, struct wr *w)
{
        wr_str(w, "-----BEGIN CERTIFICATE-----\n");
        for (size_t at = 0; at < ca->certificate_len; at += 48) {
                size_t left = ca->certificate_len - at;

                base64_put(w, ca->certificate + at, left < 48 ? left : 48);
                wr_char(w, '\n');
        }
        wr_str(w, "-----END CERTIFICATE-----\n");
}

/* The leaf of @name, or the slot that a new one goes into. */
static struct ca_leaf *leaf_slot(struct ca *ca, const char *name)
{
        struct ca_leaf *oldest = &ca->leaves[0];

        for (size_t i = 0; i < COUNT(ca->leaves); i++) {
                struct ca_leaf *at = &ca->leaves[i];

                if (at->until_s && !strcmp(at->name, name))
                        return at;
                if (at->used < oldest->used)
                        oldest = at;
        }
        oldest->until_s = 0;
        return oldest;
}

size_t ca_leaf(struct ca *ca, const char *name, uint64_t now_s,
               uint8_t out[static CA_CERTIFICATE])
{
        struct ca_leaf *leaf;

        if (strlen(name) >= sizeof(leaf->name))
                return 0;
        leaf = leaf_slot(ca, name);
        if (!leaf->until_s || leaf->until_s < now_s + RENEW_S) {
                leaf->until_s = 0;
                leaf->len = (uint16_t)certify(ca, name, now_s - BACKDATED_S, now_s + CA_LEAF_S,
                                              leaf->certificate);
                if (!leaf->len)
                        return 0;
                memcpy(leaf->name, name, strlen(name) + 1);
                leaf->until_s = now_s + CA_LEAF_S;
        }
        leaf->used = ++ca->uses;
        memcpy(out, leaf->certificate, leaf->len);
        return leaf->len;
}

void ca_wipe(struct ca *ca)
{
        explicit_bzero(ca, sizeof(*ca));
}
