/* base/tls.c - see tls.h. */
#include "base/tls.h"

#include "base/san.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define ALERT_HANDSHAKE_FAILURE 40
#define ALERT_PROTOCOL_VERSION 70
#define ALERT_NO_APPLICATION_PROTOCOL 120

const char *tls_error_str(enum tls_error error)
{
        switch (error) {
        case TLS_FINE:
                return "no error";
        case TLS_ERR_NAME:
                return "the certificate is for another name";
        case TLS_ERR_DATES:
                return "the certificate is not valid today";
        case TLS_ERR_UNTRUSTED:
                return "no trusted authority vouches for the certificate";
        case TLS_ERR_CERTIFICATE:
                return "the certificate can't be used";
        case TLS_ERR_VERSION:
                return "the peer does not speak TLS 1.2";
        case TLS_ERR_SUITE:
                return "no cipher suite in common";
        case TLS_ERR_ALPN:
                return "the peer does not speak http/1.1";
        case TLS_ERR_REFUSED:
                return "the peer refused with an alert";
        case TLS_ERR_PROTOCOL:
                return "not TLS, or damaged on the way";
        }
        return "unknown";
}

int tls_random_open(struct tls_random *r)
{
        uint8_t seed[48];

        for (size_t got = 0; got < sizeof(seed);) {
                ssize_t n = getrandom(seed + got, sizeof(seed) - got, 0);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                got += (size_t)n;
        }
        br_hmac_drbg_init(&r->drbg, &br_sha256_vtable, seed, sizeof(seed));
        explicit_bzero(seed, sizeof(seed));
        return 0;
}

void tls_random_bytes(struct tls_random *r, void *out, size_t len)
{
        br_hmac_drbg_generate(&r->drbg, out, len);
}

void tls_sessions_wipe(struct tls_sessions *s)
{
        explicit_bzero(s, sizeof(*s));
}

void tls_cache_init(struct tls_cache *c)
{
        explicit_bzero(c, sizeof(*c));
        br_ssl_session_cache_lru_init(&c->lru, c->store, sizeof(c->store));
}

/* AES first where the processor does it, ChaCha20 where it does not. */
static const uint16_t suites_aes[] = {
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};
static const uint16_t suites_chacha[] = {
        BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};

static const char *protocols[] = { "http/1.1" };

/* What both sides have in common. The engine was zeroed by its own _zero function. */
static void engine_init(struct tls *t, struct tls_random *r)
{
        br_ssl_engine_context *e = &t->u.engine;
        uint8_t seed[32];

        br_ssl_engine_set_versions(e, BR_TLS12, BR_TLS12);
        if (br_aes_x86ni_ctr_get_vtable())
                br_ssl_engine_set_suites(e, suites_aes, COUNT(suites_aes));
        else
                br_ssl_engine_set_suites(e, suites_chacha, COUNT(suites_chacha));
        br_ssl_engine_set_default_aes_gcm(e);
        br_ssl_engine_set_default_chapol(e);
        br_ssl_engine_set_default_ec(e);
        br_ssl_engine_set_default_ecdsa(e);
        br_ssl_engine_set_default_rsavrfy(e);
        br_ssl_engine_set_prf_sha256(e, &br_tls12_sha256_prf);
        br_ssl_engine_set_prf_sha384(e, &br_tls12_sha384_prf);
        br_ssl_engine_set_hash(e, br_sha256_ID, &br_sha256_vtable);
        br_ssl_engine_set_hash(e, br_sha384_ID, &br_sha384_vtable);
        br_ssl_engine_set_hash(e, br_sha512_ID, &br_sha512_vtable);
        br_ssl_engine_set_protocol_names(e, protocols, COUNT(protocols));
        br_ssl_engine_add_flags(e, BR_OPT_NO_RENEGOTIATION | BR_OPT_FAIL_ON_ALPN_MISMATCH);
        br_ssl_engine_set_buffers_bidi(e, t->in, sizeof(t->in), t->out, sizeof(t->out));
        /* Our seed is enough; BearSSL must not open /dev/urandom for each connection. */
        tls_random_bytes(r, seed, sizeof(seed));
        br_ssl_engine_inject_entropy(e, seed, sizeof(seed));
        e->rng_os_rand_done = 1;
        explicit_bzero(seed, sizeof(seed));
        t->closing = false;
        t->clear = false;
}

/* --- the certificate of an address: BearSSL's checks, and the one that it has not --------- */

static struct tls_x509 *x509_of(const br_x509_class **context)
{
        return (struct tls_x509 *)(void *)context;
}

static void chain_start(const br_x509_class **context, const char *name)
{
        struct tls_x509 *x = x509_of(context);

        (void)name;
        x->first = true;
        x->whole = true;
        x->leaf_len = 0;
        x->minimal.vtable->start_chain(&x->minimal.vtable, NULL);
}

static void certificate_start(const br_x509_class **context, uint32_t len)
{
        struct tls_x509 *x = x509_of(context);

        x->minimal.vtable->start_cert(&x->minimal.vtable, len);
}

static void certificate_more(const br_x509_class **context, const unsigned char *bytes,
                             size_t len)
{
        struct tls_x509 *x = x509_of(context);

        if (x->first && len > sizeof(x->leaf) - x->leaf_len) {
                x->whole = false;
        } else if (x->first) {
                memcpy(x->leaf + x->leaf_len, bytes, len);
                x->leaf_len += len;
        }
        x->minimal.vtable->append(&x->minimal.vtable, bytes, len);
}

static void certificate_end(const br_x509_class **context)
{
        struct tls_x509 *x = x509_of(context);

        x->first = false;
        x->minimal.vtable->end_cert(&x->minimal.vtable);
}

static unsigned chain_end(const br_x509_class **context)
{
        struct tls_x509 *x = x509_of(context);
        unsigned error = x->minimal.vtable->end_chain(&x->minimal.vtable);

        if (!error && (!x->whole ||
                       !san_has_address(x->leaf, x->leaf_len, x->address, x->address_len)))
                return BR_ERR_X509_BAD_SERVER_NAME;
        return error;
}

static const br_x509_pkey *chain_key(const br_x509_class *const *context, unsigned *usages)
{
        const struct tls_x509 *x = (const struct tls_x509 *)(const void *)context;
        const br_x509_class *const *minimal = &x->minimal.vtable;

        return (*minimal)->get_pkey(minimal, usages);
}

static const br_x509_class address_class = {
        .context_size = sizeof(struct tls_x509),
        .start_chain = chain_start,
        .start_cert = certificate_start,
        .append = certificate_more,
        .end_cert = certificate_end,
        .end_chain = chain_end,
        .get_pkey = chain_key,
};

/* Is @name an address? Then it is what certificates are compared with. */
static bool for_address(struct tls_x509 *x, const char *name)
{
        x->vtable = &address_class;
        x->address_len = inet_pton(AF_INET, name, x->address) == 1    ? 4
                         : inet_pton(AF_INET6, name, x->address) == 1 ? 16
                                                                      : 0;
        return x->address_len;
}

static struct tls_session *session_find(const struct tls_sessions *s, const char *name,
                                        uint16_t port)
{
        for (size_t i = 0; s && i < COUNT(s->table); i++) {
                const struct tls_session *at = &s->table[i];

                if (at->until_s && at->port == port && !strcmp(at->name, name))
                        return (struct tls_session *)(uintptr_t)at;
        }
        return NULL;
}

void tls_client_init(struct tls *t, struct tls_random *r, const struct tls_trust *trust,
                     const char *name, uint16_t port, uint64_t now_s,
                     const struct tls_sessions *sessions)
{
        br_x509_minimal_context *x = &t->x509.minimal;
        const struct tls_session *known = session_find(sessions, name, port);
        bool address = for_address(&t->x509, name);

        br_ssl_client_zero(&t->u.client);
        engine_init(t, r);
        br_ssl_client_set_default_rsapub(&t->u.client);
        br_x509_minimal_init(x, &br_sha256_vtable, trust->anchors, trust->count);
        br_x509_minimal_set_hash(x, br_sha256_ID, &br_sha256_vtable);
        br_x509_minimal_set_hash(x, br_sha384_ID, &br_sha384_vtable);
        br_x509_minimal_set_hash(x, br_sha512_ID, &br_sha512_vtable);
        br_x509_minimal_set_rsa(x, br_ssl_engine_get_rsavrfy(&t->u.engine));
        br_x509_minimal_set_ecdsa(x, br_ssl_engine_get_ec(&t->u.engine),
                                  br_ssl_engine_get_ecdsa(&t->u.engine));
        br_x509_minimal_set_minrsa(x, 2048 / 8);
        /* BearSSL counts days from the year 0; 1970-01-01 was day 719528. */
        br_x509_minimal_set_time(x, (uint32_t)(now_s / 86400 + 719528),
                                 (uint32_t)(now_s % 86400));
        br_ssl_engine_set_x509(&t->u.engine, address ? &t->x509.vtable : &x->vtable);
        if (known && now_s < known->until_s)
                br_ssl_engine_set_session_parameters(&t->u.engine, &known->parameters);
        /* An address is no SNI (RFC 6066, 3). */
        br_ssl_client_reset(&t->u.client, address ? NULL : name, known && now_s < known->until_s);
}

void tls_client_keep(struct tls *t, const char *name, uint16_t port, uint64_t now_s,
                     struct tls_sessions *sessions)
{
        struct tls_session *at = session_find(sessions, name, port);
        br_ssl_session_parameters p;

        br_ssl_engine_get_session_parameters(&t->u.engine, &p);
        if (!p.session_id_len || strlen(name) >= sizeof(at->name))
                return;
        /* A resumed session keeps the hour at which its certificate was checked. */
        if (at && now_s < at->until_s && at->parameters.session_id_len == p.session_id_len &&
            !memcmp(at->parameters.session_id, p.session_id, p.session_id_len))
                return;
        if (!at) {
                at = &sessions->table[0];
                for (size_t i = 1; i < COUNT(sessions->table); i++)
                        if (sessions->table[i].until_s < at->until_s)
                                at = &sessions->table[i];
        }
        at->parameters = p;
        memcpy(at->name, name, strlen(name) + 1);
        at->port = port;
        at->until_s = now_s + TLS_SESSION_S;
        explicit_bzero(&p, sizeof(p));
}

void tls_server_init(struct tls *t, struct tls_random *r, const br_x509_certificate *leaf,
                     const br_ec_private_key *key, struct tls_cache *cache)
{
        br_ssl_server_zero(&t->u.server);
        engine_init(t, r);
        br_ssl_engine_add_flags(&t->u.engine, BR_OPT_ENFORCE_SERVER_PREFERENCES);
        br_ssl_server_set_single_ec(&t->u.server, leaf, 1, key, BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
                                    br_ssl_engine_get_ec(&t->u.engine),
                                    br_ecdsa_sign_asn1_get_default());
        br_ssl_server_set_cache(&t->u.server, &cache->lru.vtable);
        br_ssl_server_reset(&t->u.server);
}

void tls_clear_init(struct tls *t)
{
        memset(&t->u, 0, sizeof(t->u));
        t->closing = false;
        t->clear = true;
        t->in_at = t->in_len = 0;
        t->out_at = t->out_len = 0;
}

static bool has_out(const struct tls *t)
{
        size_t len;

        return t->clear ? t->out_at < t->out_len
                        : br_ssl_engine_sendrec_buf(&t->u.engine, &len) != NULL;
}

enum tls_state tls_state(const struct tls *t)
{
        if (!t->clear && br_ssl_engine_current_state(&t->u.engine) & BR_SSL_CLOSED)
                return TLS_CLOSED;
        if (t->closing) /* the peer's goodbye is not waited for */
                return has_out(t) ? TLS_CLOSING : TLS_CLOSED;
        if (t->clear)
                return TLS_OPEN;
        return t->u.engine.application_data == 1 ? TLS_OPEN
               : t->u.engine.application_data    ? TLS_CLOSING
                                                 : TLS_SHAKING;
}

enum tls_error tls_error(const struct tls *t)
{
        int err = t->clear ? BR_ERR_OK : br_ssl_engine_last_error(&t->u.engine);
        bool client = t->u.engine.x509ctx != NULL;

        switch (err) {
        case BR_ERR_OK:
                return TLS_FINE;
        case BR_ERR_X509_BAD_SERVER_NAME:
                return TLS_ERR_NAME;
        case BR_ERR_X509_EXPIRED:
                return TLS_ERR_DATES;
        case BR_ERR_X509_NOT_TRUSTED:
                return TLS_ERR_UNTRUSTED;
        case BR_ERR_UNSUPPORTED_VERSION:
                return TLS_ERR_VERSION;
        case BR_ERR_BAD_VERSION:
                return client ? TLS_ERR_VERSION : TLS_ERR_PROTOCOL;
        case BR_ERR_BAD_CIPHER_SUITE:
        case BR_ERR_RECV_FATAL_ALERT + ALERT_HANDSHAKE_FAILURE:
        case BR_ERR_SEND_FATAL_ALERT + ALERT_HANDSHAKE_FAILURE:
                return TLS_ERR_SUITE;
        case BR_ERR_RECV_FATAL_ALERT + ALERT_PROTOCOL_VERSION:
        case BR_ERR_SEND_FATAL_ALERT + ALERT_PROTOCOL_VERSION:
                return TLS_ERR_VERSION;
        case BR_ERR_RECV_FATAL_ALERT + ALERT_NO_APPLICATION_PROTOCOL:
        case BR_ERR_SEND_FATAL_ALERT + ALERT_NO_APPLICATION_PROTOCOL:
                return TLS_ERR_ALPN;
        default:
                break;
        }
        if (err > BR_ERR_X509_OK && err <= BR_ERR_X509_NOT_TRUSTED)
                return TLS_ERR_CERTIFICATE;
        if (err >= BR_ERR_RECV_FATAL_ALERT && err < BR_ERR_SEND_FATAL_ALERT)
                return TLS_ERR_REFUSED;
        return TLS_ERR_PROTOCOL;
}

const char *tls_sni(const struct tls *t)
{
        return t->u.engine.server_name;
}

uint8_t *tls_in(struct tls *t, size_t *len)
{
        /*
         * False Start (RFC 7918): a browser's first request comes with its Finished. To BearSSL
         * it is out of place until the answer to that has gone out.
         */
        if (!t->clear && tls_state(t) == TLS_SHAKING && has_out(t)) {
                *len = 0;
                return NULL;
        }
        if (!t->clear)
                return br_ssl_engine_recvrec_buf(&t->u.engine, len);
        if (t->in_at == t->in_len)
                t->in_at = t->in_len = 0;
        *len = sizeof(t->in) - t->in_len;
        return *len ? t->in + t->in_len : NULL;
}

void tls_in_got(struct tls *t, size_t n)
{
        if (t->clear)
                t->in_len += n;
        else
                br_ssl_engine_recvrec_ack(&t->u.engine, n);
}

const uint8_t *tls_out(struct tls *t, size_t *len)
{
        if (!t->clear)
                return br_ssl_engine_sendrec_buf(&t->u.engine, len);
        *len = t->out_len - t->out_at;
        return *len ? t->out + t->out_at : NULL;
}

void tls_out_sent(struct tls *t, size_t n)
{
        if (!t->clear) {
                br_ssl_engine_sendrec_ack(&t->u.engine, n);
                return;
        }
        t->out_at += n;
        if (t->out_at == t->out_len)
                t->out_at = t->out_len = 0;
}

const uint8_t *tls_plain(struct tls *t, size_t *len)
{
        if (!t->clear)
                return br_ssl_engine_recvapp_buf(&t->u.engine, len);
        *len = t->in_len - t->in_at;
        return *len ? t->in + t->in_at : NULL;
}

void tls_plain_used(struct tls *t, size_t n)
{
        if (t->clear)
                t->in_at += n;
        else
                br_ssl_engine_recvapp_ack(&t->u.engine, n);
}

uint8_t *tls_room(struct tls *t, size_t *len)
{
        uint8_t *room = NULL;

        *len = 0;
        if (t->closing)
                return NULL;
        if (!t->clear) {
                room = br_ssl_engine_sendapp_buf(&t->u.engine, len);
        } else if (t->out_len < sizeof(t->out)) {
                room = t->out + t->out_len;
                *len = sizeof(t->out) - t->out_len;
        }
        return room;
}

void tls_wrote(struct tls *t, size_t n)
{
        if (t->clear)
                t->out_len += n;
        else if (n)
                br_ssl_engine_sendapp_ack(&t->u.engine, n);
}

void tls_flush(struct tls *t)
{
        if (!t->clear)
                br_ssl_engine_flush(&t->u.engine, 0);
}

void tls_close(struct tls *t)
{
        if (t->closing)
                return;
        if (!t->clear) {
                br_ssl_engine_flush(&t->u.engine, 0);
                br_ssl_engine_close(&t->u.engine);
        }
        t->closing = true;
}

void tls_wipe(struct tls *t)
{
        explicit_bzero(t, sizeof(*t));
}
