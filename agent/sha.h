/*
 * agent/sha.h - SHA-1 (the WebSocket handshake asks for it), SHA-256 and HMAC-SHA-256.
 * Pure; whole messages at once, at most 16 MiB.
 */
#ifndef AGENT_SHA_H
#define AGENT_SHA_H

#include "base/base.h"

#define SHA1_LEN 20
#define SHA256_LEN 32

void sha1(uint8_t out[SHA1_LEN], const void *bytes, size_t len);
void sha256(uint8_t out[SHA256_LEN], const void *bytes, size_t len);
void hmac_sha256(uint8_t out[SHA256_LEN], const void *key, size_t key_len, const void *bytes,
                 size_t len);

/* Equality in a time that does not depend on where they differ. */
MUST_USE bool same_secret(const void *a, const void *b, size_t len);

#endif
