/*
 * netfilter/sni.h - the name, and little more, of a TLS ClientHello. Pure.
 *
 * The hello may be spread over several records, and records over several reads: the
 * caller collects the bytes from the start of the stream and asks again. TLS 1.0 to 1.3
 * in their record format; SSL 2 hellos are SNI_NOT_TLS. The hello must be the first
 * message, and the only one up to its last record's end.
 *
 * Browsers send a made-up encrypted_client_hello (GREASE) that nobody can tell from a real
 * one. A hello with ech is answered by a TLS server of our own, which ignores it; passed
 * through, its name would prove nothing.
 */
#ifndef NETFILTER_SNI_H
#define NETFILTER_SNI_H

#include "base/base.h"

#define SNI_HELLO_MAX 16384 /* bytes from the first record's header to the hello's end */

enum sni_status {
        SNI_OK,
        SNI_MORE,      /* a ClientHello so far */
        SNI_NOT_TLS,   /* the first bytes are another protocol's */
        SNI_MALFORMED, /* TLS, but broken, ambiguous (two names) or longer than the maximum */
};
const char *sni_status_str(enum sni_status s);

struct sni {
        char name[256];  /* as it stands there, with a NUL behind it; for host_parse */
        size_t name_len; /* 0: no server_name */
        bool ech;        /* encrypted_client_hello: the name is an outer one */
        bool has_alpn, alpn_h2, alpn_http11;
        bool tls12, tls13;  /* the client can speak them */
        size_t hello_len;   /* bytes of the stream that the hello and its records took */
};

/* Looks at the first @len bytes of a stream. *@s is filled only on SNI_OK. */
MUST_USE enum sni_status sni_parse(struct sni *s, const void *bytes, size_t len);

#endif
