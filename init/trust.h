/*
 * init/trust.h - makes the task's authority known to the programs of the image.
 *
 * What airlock-proxy signs is believed only by clients that know its certificate, and
 * there is no one place for that. So it goes everywhere: a bundle (the image's own
 * authorities and ours) that the environment points at, the image's trust store where it
 * may be written, and a Java trust store.
 *
 * Runs in airlock-trust, a child that lives for this and gets the certificate on stdin:
 *
 *      airlock-trust --dir DIR [--store] < ca.pem > environment
 *
 * writes DIR/ca.pem, DIR/ca-bundle.pem, DIR/cacerts.jks, with --store adds to the trust
 * stores, and prints `NAME=VALUE` lines as env_add_lines takes them. It runs before anything
 * of the task does, with the rights that the setup session will have: nothing here
 * follows a path that the agent could have made.
 */
#ifndef INIT_TRUST_H
#define INIT_TRUST_H

#include "base/rd.h"
#include "base/wr.h"

#define TRUST_BUNDLE (4 << 20) /* bytes of an image's bundle */
#define TRUST_CERTIFICATE 8192

/* Every variable that holds a bundle's path for some client; NULL at the end. */
extern const char *const trust_variables[];

/* The first certificate of a PEM text as DER; its length, or 0. Pure. */
size_t trust_der(const char *pem, size_t len, uint8_t out[static TRUST_CERTIFICATE]);

/*
 * A PEM bundle without the authorities of earlier tasks, and with @ca behind it. Ours are
 * told by the line that stands before them. Pure.
 */
void trust_put_bundle(struct wr *w, const char *bundle, size_t len, const char *ca,
                      size_t ca_len);

/*
 * The number that OpenSSL finds a certificate by in a directory (the hash of its subject),
 * for a subject of UTF8String values such as ours. False: the certificate is malformed. Pure.
 */
MUST_USE bool trust_subject_hash(const uint8_t *der, size_t len, uint32_t *hash);

/*
 * A Java key store (JKS, password "changeit") of all certificates of a PEM text: every JVM
 * since 1.2 reads it. Pure.
 */
void trust_put_jks(struct wr *w, const char *pem, size_t len);

#endif
