/*
 * base/tls.h - a TLS 1.2 engine between two buffers: BearSSL, told what we want of it.
 *
 * No sockets: the caller moves records between an engine and its peer, and application
 * data between the engine and itself. Every buffer call gives the place to read or write
 * and a second call says how much was used, so nothing is copied.
 *
 *      peer  --> tls_in/tls_in_got   --> engine --> tls_plain/tls_plain_used --> caller
 *      peer <--  tls_out/tls_out_sent <-- engine <-- tls_room/tls_wrote, tls_flush
 *
 * The client side checks chain, name and dates and resumes sessions; the server side has
 * one EC P-256 leaf and a cache of sessions. ECDHE with AEAD only; P-256 and X25519;
 * ALPN is http/1.1. No renegotiation. The fastest implementations that this processor
 * has (AES-NI, PCLMUL, SSE2) are chosen at run time.
 *
 * The caller owns every struct: TLS_SIZE bytes (40 KiB) for an engine, of which a quiet
 * connection touches a quarter. Pages that were never used cost nothing, so engines are
 * best kept in a table that starts as zeroes. After tls_wipe nothing of a connection is
 * left in one.
 */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/base.h"

#include <bearssl.h>

#define TLS_NAME 254     /* bytes of a host name with its NUL */
#define TLS_SESSIONS 64  /* hosts whose session we remember, as a client */
#define TLS_SESSION_S 3600 /* how long */
#define TLS_LEAF 8192    /* bytes of a certificate for an address */

enum tls_state {
        TLS_SHAKING, /* no application data yet */
        TLS_OPEN,
        TLS_CLOSING, /* one side said goodbye; records may be left to send */
        TLS_CLOSED,  /* nothing more in or out; tls_error() says whether that is well */
};

enum tls_error {
        TLS_FINE,
        TLS_ERR_NAME,      /* the certificate is for another name */
        TLS_ERR_DATES,     /* not yet, or no longer valid */
        TLS_ERR_UNTRUSTED, /* no chain to an anchor that we trust */
        TLS_ERR_CERTIFICATE, /* malformed, a weak key, a wrong signature or usage */
        TLS_ERR_VERSION,   /* the peer does not speak TLS 1.2 */
        TLS_ERR_SUITE,     /* no cipher suite, curve or signature in common */
        TLS_ERR_ALPN,      /* the peer does not speak http/1.1 */
        TLS_ERR_REFUSED,   /* the peer ended it with an alert */
        TLS_ERR_PROTOCOL,  /* what the peer sent is not TLS, or forged */
};

/* A sentence that says it, for a journal or the body of a refusal. */
const char *tls_error_str(enum tls_error error);

/* Random bytes for this process: an HMAC-DRBG that the kernel seeds. */
struct tls_random {
        br_hmac_drbg_context drbg;
};

/* Seeds it. 0 or -errno. */
MUST_USE int tls_random_open(struct tls_random *r);
void tls_random_bytes(struct tls_random *r, void *out, size_t len);

/*
 * Sessions that servers gave us, by host and port. The certificate of a host is checked
 * when the session is made and not again while it is remembered, so a change of what we
 * trust must empty the table.
 */
struct tls_sessions {
        struct tls_session {
                br_ssl_session_parameters parameters;
                char name[TLS_NAME];
                uint16_t port;
                uint64_t until_s; /* 0: empty */
        } table[TLS_SESSIONS];
};
void tls_sessions_wipe(struct tls_sessions *s);

/* Sessions that we gave our clients: whoever comes back skips the signature. */
struct tls_cache {
        br_ssl_session_cache_lru lru;
        uint8_t store[8 * 1024]; /* 80 sessions of about 100 bytes */
};
void tls_cache_init(struct tls_cache *c);

/* A chain as BearSSL checks it, and its leaf's address where that is what was asked for. */
struct tls_x509 {
        const br_x509_class *vtable;
        br_x509_minimal_context minimal;
        uint8_t address[16], address_len; /* 0: the name is a DNS name, minimal's to compare */
        bool first;  /* the leaf is what comes now … */
        bool whole;  /* … or came, and fits */
        size_t leaf_len;
        uint8_t leaf[TLS_LEAF];
};

struct tls {
        union {
                br_ssl_engine_context engine; /* the first field of both */
                br_ssl_client_context client;
                br_ssl_server_context server;
        } u;
        struct tls_x509 x509;
        bool closing;
        bool clear; /* no TLS: what follows is used in its place */
        size_t in_at, in_len, out_at, out_len;
        uint8_t in[BR_SSL_BUFSIZE_INPUT];
        uint8_t out[BR_SSL_BUFSIZE_OUTPUT];
};

#define TLS_SIZE sizeof(struct tls)

struct tls_trust {
        const br_x509_trust_anchor *anchors; /* outlive the engine */
        size_t count;
};

/*
 * Starts a client that wants @name (a DNS name or an address in normal form), at @now_s
 * (Unix time, which the dates of the certificates are compared with). @sessions may be NULL.
 */
void tls_client_init(struct tls *t, struct tls_random *r, const struct tls_trust *trust,
                     const char *name, uint16_t port, uint64_t now_s,
                     const struct tls_sessions *sessions);

/* Remembers the session of an open client for the next one. */
void tls_client_keep(struct tls *t, const char *name, uint16_t port, uint64_t now_s,
                     struct tls_sessions *sessions);

/*
 * Starts a server that shows @leaf, whose key is @key. Both are only read by the engine
 * and must outlive its handshake.
 */
void tls_server_init(struct tls *t, struct tls_random *r, const br_x509_certificate *leaf,
                     const br_ec_private_key *key, struct tls_cache *cache);

/* No TLS at all, with the same calls: for a connection that is plain HTTP. */
void tls_clear_init(struct tls *t);

enum tls_state tls_state(const struct tls *t);
enum tls_error tls_error(const struct tls *t);

/* The name that the client asked for (SNI), "" for none; once the handshake is done. */
const char *tls_sni(const struct tls *t);

/* Where bytes from the peer go, and that @n of them are there. NULL: not now, see tls_out. */
uint8_t *tls_in(struct tls *t, size_t *len);
void tls_in_got(struct tls *t, size_t n);

/* Bytes for the peer, and that @n of them are gone. NULL: none. */
const uint8_t *tls_out(struct tls *t, size_t *len);
void tls_out_sent(struct tls *t, size_t n);

/* What the peer said, and that @n bytes of it were taken. NULL: nothing. */
const uint8_t *tls_plain(struct tls *t, size_t *len);
void tls_plain_used(struct tls *t, size_t n);

/* Where what we say goes, and that @n bytes are written. NULL: no room now. */
uint8_t *tls_room(struct tls *t, size_t *len);
void tls_wrote(struct tls *t, size_t n);

/* Makes a record of what was written so far. */
void tls_flush(struct tls *t);

/* Says goodbye: no more application data goes out. */
void tls_close(struct tls *t);

/* Nothing of the connection is left: keys, names, plaintext. */
void tls_wipe(struct tls *t);

#endif
