/*
 * base/san.h - does a certificate name this address? Pure.
 *
 * BearSSL compares DNS names alone, and https://10.0.0.5/ is answered with an iPAddress.
 * Only DER is read, and of it no more than the way to subjectAltName (RFC 5280, 4.2.1.6).
 * The caller has the signature checked: a forged certificate gets its answer here too.
 */
#ifndef BASE_SAN_H
#define BASE_SAN_H

#include "base/base.h"

/* @address: the 4 or 16 bytes of an address. False also for what is no certificate. */
MUST_USE bool san_has_address(const void *certificate, size_t len, const uint8_t *address,
                              size_t address_len);

#endif
