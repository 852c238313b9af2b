/* init/trust.c - see trust.h. */
#include "init/trust.h"

#include "base/base64.h"

#include <bearssl.h>
#include <string.h>

const char *const trust_variables[] = {
        "SSL_CERT_FILE",       /* OpenSSL, Go, Rust's native-certs, Ruby, uv */
        "CURL_CA_BUNDLE",      /* curl, requests */
        "REQUESTS_CA_BUNDLE",  /* python requests, httpx, poetry */
        "PIP_CERT",
        "UV_SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS", /* Node, Electron, yarn */
        "NPM_CONFIG_CAFILE",
        "npm_config_cafile",
        "YARN_HTTPS_CA_FILE_PATH",
        "BUN_CA_BUNDLE_PATH",
        "DENO_CERT",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "AWS_CA_BUNDLE",
        "BUNDLE_SSL_CA_CERT", /* Ruby's bundler */
        "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "HTTPLIB2_CA_CERTS",
        "NIX_SSL_CERT_FILE",
        "HEX_CACERTS_PATH", /* Elixir */
        "PERL_LWP_SSL_CA_FILE",
        "CODEX_CA_CERTIFICATE",
        "CODEX_PROXY_CERT",
        NULL,
};

static const char begin_line[] = "-----BEGIN CERTIFICATE-----";
static const char end_line[] = "-----END CERTIFICATE-----";
static const char ours_line[] = "# airlock: the authority of this task, until it ends\n";

/* The next certificate's base64 in *@text, which moves behind it. False: there is none. */
static bool next_body(const char **text, size_t *len, const char **body, size_t *body_len)
{
        const char *begin = memmem(*text, *len, begin_line, sizeof(begin_line) - 1), *end;
        size_t left;

        if (!begin)
                return false;
        *body = begin + sizeof(begin_line) - 1;
        left = *len - (size_t)(*body - *text);
        end = memmem(*body, left, end_line, sizeof(end_line) - 1);
        if (!end)
                return false;
        *body_len = (size_t)(end - *body);
        *text = end + sizeof(end_line) - 1;
        *len = left - *body_len - (sizeof(end_line) - 1);
        return true;
}

/* Base64 to at most @cap bytes; 0 when it is none, or too long. */
static size_t decode(const char *body, size_t len, uint8_t *out, size_t cap)
{
        struct base64 b = { 0 };
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                uint8_t bytes[3];
                size_t k = base64_take(&b, body[i], bytes);

                if (k > cap - n)
                        return 0;
                memcpy(out + n, bytes, k);
                n += k;
        }
        return base64_whole(&b) ? n : 0;
}

size_t trust_der(const char *pem, size_t len, uint8_t out[static TRUST_CERTIFICATE])
{
        const char *body;
        size_t body_len;

        return next_body(&pem, &len, &body, &body_len)
                       ? decode(body, body_len, out, TRUST_CERTIFICATE)
                       : 0;
}

void trust_put_bundle(struct wr *w, const char *bundle, size_t len, const char *ca, size_t ca_len)
{
        const char *ours;

        while ((ours = memmem(bundle, len, ours_line, sizeof(ours_line) - 1)) != NULL) {
                const char *body;
                size_t body_len;

                wr_bytes(w, bundle, (size_t)(ours - bundle));
                len -= (size_t)(ours - bundle);
                bundle = ours;
                if (!next_body(&bundle, &len, &body, &body_len)) {
                        len = 0; /* cut off in the middle of ours */
                        break;
                }
                if (len && *bundle == '\n') {
                        bundle++;
                        len--;
                }
        }
        wr_bytes(w, bundle, len);
        if (w->len && w->buf[w->len - 1] != '\n')
                wr_char(w, '\n');
        wr_str(w, ours_line);
        wr_bytes(w, ca, ca_len);
        if (ca_len && ca[ca_len - 1] != '\n')
                wr_char(w, '\n');
}

/* --- the subject's hash ----------------------------------------------------------------- */

/* One DER value: its tag, and a cursor over what is inside. */
static uint8_t der_next(struct rd *r, struct rd *inside)
{
        uint8_t tag = rd_u8(r);
        size_t len = rd_u8(r);

        if (len == 0x81)
                len = rd_u8(r);
        else if (len == 0x82)
                len = rd_be16(r);
        else if (len > 0x7f)
                r->bad = true;
        *inside = rd_sub(r, len);
        return tag;
}

static void put_value(struct wr *w, uint8_t tag, const void *bytes, size_t len)
{
        wr_char(w, (char)tag);
        wr_char(w, (char)len);
        wr_bytes(w, bytes, len);
        w->full |= len > 0x7f;
}

/*
 * A name's canonical form, as X509_NAME_canon makes it: values in lower case, runs of
 * white space one space, each set one after the other without the sequence around them.
 */
static bool put_canonical(struct wr *w, struct rd name)
{
        while (rd_left(&name) && !name.bad) {
                char value[128], pair[200], inner[256];
                struct wr v = wr_of(value, sizeof(value)), p = wr_of(pair, sizeof(pair)),
                          n = wr_of(inner, sizeof(inner));
                struct rd set, sequence, oid, text;

                if (der_next(&name, &set) != 0x31 || der_next(&set, &sequence) != 0x30 ||
                    rd_left(&set) || der_next(&sequence, &oid) != 0x06 ||
                    der_next(&sequence, &text) != 0x0c || text.bad)
                        return false;
                while (rd_left(&text)) {
                        char c = (char)rd_u8(&text);

                        if (c >= 'A' && c <= 'Z')
                                c = (char)(c - 'A' + 'a');
                        if (c != ' ' || (v.len && value[v.len - 1] != ' '))
                                wr_char(&v, c);
                }
                put_value(&p, 0x06, oid.at, rd_left(&oid));
                put_value(&p, 0x0c, value, v.len);
                put_value(&n, 0x30, pair, p.len);
                put_value(w, 0x31, inner, n.len);
                if (v.full || p.full || n.full)
                        return false;
        }
        return !name.bad && !w->full;
}

bool trust_subject_hash(const uint8_t *der, size_t len, uint32_t *hash)
{
        struct rd r = rd_of(der, len), certificate, tbs, part;
        uint8_t digest[br_sha1_SIZE];
        br_sha1_context sha1;
        char canonical[512];
        struct wr w = wr_of(canonical, sizeof(canonical));

        if (der_next(&r, &certificate) != 0x30 || der_next(&certificate, &tbs) != 0x30)
                return false;
        /* version, serial, algorithm, issuer, validity; then the subject */
        for (int i = 0; i < 5; i++)
                der_next(&tbs, &part);
        if (der_next(&tbs, &part) != 0x30 || tbs.bad || !put_canonical(&w, part))
                return false;
        br_sha1_init(&sha1);
        br_sha1_update(&sha1, canonical, w.len);
        br_sha1_out(&sha1, digest);
        *hash = (uint32_t)digest[3] << 24 | (uint32_t)digest[2] << 16 | (uint32_t)digest[1] << 8 |
                digest[0];
        return true;
}

/* --- Java ---------------------------------------------------------------------------------- */

static void put_be(struct wr *w, uint64_t n, int bytes)
{
        while (bytes--)
                wr_char(w, (char)(n >> (8 * bytes)));
}

static void put_utf(struct wr *w, const char *text)
{
        put_be(w, strlen(text), 2);
        wr_str(w, text);
}

void trust_put_jks(struct wr *w, const char *pem, size_t len)
{
        static const char password[] = "changeit";
        uint8_t der[TRUST_CERTIFICATE], digest[br_sha1_SIZE];
        const char *body;
        size_t body_len, count = 0, start = w->len;
        br_sha1_context sha1;

        put_be(w, 0xfeedfeed, 4);
        put_be(w, 2, 4); /* version */
        put_be(w, 0, 4); /* how many: known at the end */
        while (next_body(&pem, &len, &body, &body_len)) {
                size_t n = decode(body, body_len, der, sizeof(der));
                char alias[24];
                struct wr a = wr_of(alias, sizeof(alias));

                if (!n)
                        continue;
                wr_fmt(&a, "authority-%zu", count++);
                put_be(w, 2, 4); /* a trusted certificate */
                put_utf(w, wr_cstr(&a));
                put_be(w, 0, 8); /* its date */
                put_utf(w, "X.509");
                put_be(w, n, 4);
                wr_bytes(w, der, n);
        }
        if (w->full)
                return;
        for (int i = 0; i < 4; i++)
                w->buf[start + 8 + (size_t)i] = (char)(count >> (24 - 8 * i));
        br_sha1_init(&sha1);
        for (const char *p = password; *p; p++) {
                br_sha1_update(&sha1, "", 1);
                br_sha1_update(&sha1, p, 1);
        }
        br_sha1_update(&sha1, "Mighty Aphrodite", 16); /* so the format has it */
        br_sha1_update(&sha1, w->buf + start, w->len - start);
        br_sha1_out(&sha1, digest);
        wr_bytes(w, digest, sizeof(digest));
}
