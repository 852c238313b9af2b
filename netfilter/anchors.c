/* netfilter/anchors.c - see anchors.h. */
#include "netfilter/anchors.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char begin_line[] = "-----BEGIN CERTIFICATE-----";
static const char end_line[] = "-----END CERTIFICATE-----";

/* Room for @len bytes that stay, or NULL. */
static uint8_t *text_take(struct anchors *a, size_t len)
{
        uint8_t *at = a->text + a->text_len;

        if (len > sizeof(a->text) - a->text_len)
                return NULL;
        a->text_len += len;
        return at;
}

static uint8_t *text_copy(struct anchors *a, const void *bytes, size_t len)
{
        uint8_t *at = text_take(a, len);

        if (at && len)
                memcpy(at, bytes, len);
        return at;
}

/* The decoder gives the subject in pieces; nothing else is taken meanwhile. */
static void subject_piece(void *reader, const void *bytes, size_t len)
{
        struct anchors_reader *r = reader;

        if (!text_copy(r->into, bytes, len))
                r->full = true;
        else
                r->subject_len += len;
}

void anchors_begin(struct anchors_reader *r, struct anchors *into)
{
        memset(r, 0, sizeof(*r));
        r->into = into;
}

static void certificate_begin(struct anchors_reader *r)
{
        r->inside = true;
        r->full = false;
        r->base64 = (struct base64){ 0 };
        r->subject_at = r->into->text_len;
        r->subject_len = 0;
        br_x509_decoder_init(&r->decoder, subject_piece, r);
}

static bool key_copy(struct anchors *a, br_x509_pkey *to, const br_x509_pkey *from)
{
        to->key_type = from->key_type;
        if (from->key_type == BR_KEYTYPE_RSA) {
                to->key.rsa = from->key.rsa;
                to->key.rsa.n = text_copy(a, from->key.rsa.n, from->key.rsa.nlen);
                to->key.rsa.e = text_copy(a, from->key.rsa.e, from->key.rsa.elen);
                return to->key.rsa.n && to->key.rsa.e;
        }
        to->key.ec = from->key.ec;
        to->key.ec.q = text_copy(a, from->key.ec.q, from->key.ec.qlen);
        return from->key_type == BR_KEYTYPE_EC && to->key.ec.q;
}

/* The certificate is whole: keeps it, or takes back what it left in the table. */
static void certificate_end(struct anchors_reader *r)
{
        struct anchors *a = r->into;
        const br_x509_pkey *key = br_x509_decoder_get_pkey(&r->decoder);
        br_x509_trust_anchor *anchor = &a->table[a->count];

        r->inside = false;
        if (!key || r->full || !r->subject_len || !base64_whole(&r->base64) ||
            a->count == COUNT(a->table) || !key_copy(a, &anchor->pkey, key)) {
                a->text_len = r->subject_at;
                a->skipped++;
                return;
        }
        anchor->dn.data = a->text + r->subject_at;
        anchor->dn.len = r->subject_len;
        anchor->flags = br_x509_decoder_isCA(&r->decoder) ? BR_X509_TA_CA : 0;
        a->count++;
}

static void certificate_drop(struct anchors_reader *r)
{
        if (!r->inside)
                return;
        r->inside = false;
        r->into->text_len = r->subject_at;
        r->into->skipped++;
}

static bool line_is(const struct anchors_reader *r, const char *marker)
{
        size_t n = r->line_len;

        while (n && (r->line[n - 1] == '\r' || r->line[n - 1] == ' ' || r->line[n - 1] == '\t'))
                n--;
        return n == strlen(marker) && !memcmp(r->line, marker, n);
}

static void line_end(struct anchors_reader *r)
{
        bool begin = line_is(r, begin_line), end = line_is(r, end_line);

        if (end && r->inside)
                certificate_end(r);
        else if (r->line_len && r->line[0] == '-')
                certificate_drop(r);
        if (begin)
                certificate_begin(r);
        r->line_len = 0;
}

/* BearSSL's decoder must not be given a byte after an error: it would run on from there. */
static void push(struct anchors_reader *r, const uint8_t *der, size_t len)
{
        if (!r->inside || !len || r->decoder.err)
                return;
        if (r->decoder.decoded)
                r->base64.bad = true; /* something behind the certificate */
        else
                br_x509_decoder_push(&r->decoder, der, len);
}

void anchors_feed(struct anchors_reader *r, const void *bytes, size_t len)
{
        const char *text = bytes;
        uint8_t der[192];
        size_t n = 0;

        for (size_t i = 0; i < len; i++) {
                char c = text[i];

                if (c == '\n') {
                        push(r, der, n);
                        n = 0;
                        line_end(r);
                        continue;
                }
                if (r->line_len < sizeof(r->line))
                        r->line[r->line_len++] = c;
                if (!r->inside || r->line[0] == '-')
                        continue;
                n += base64_take(&r->base64, c, der + n);
                if (n > sizeof(der) - 3) {
                        push(r, der, n);
                        n = 0;
                }
        }
        push(r, der, n);
}

void anchors_end(struct anchors_reader *r)
{
        line_end(r);
        certificate_drop(r);
}

int anchors_load(struct anchors *a, int fd)
{
        struct anchors_reader r;
        char piece[8192];
        ssize_t n;

        anchors_begin(&r, a);
        for (;;) {
                n = read(fd, piece, sizeof(piece));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                anchors_feed(&r, piece, (size_t)n);
        }
        anchors_end(&r);
        return n < 0 ? -errno : 0;
}

int anchors_open_image(void)
{
        static const char *const paths[] = {
                "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Alpine, Arch */
                "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL, Fedora */
                "/etc/pki/tls/certs/ca-bundle.crt",                  /* older ones */
                "/etc/ssl/ca-bundle.pem",                            /* SUSE */
                "/etc/ssl/cert.pem",                                 /* Alpine, OpenBSD */
                "/usr/local/share/certs/ca-root-nss.crt",            /* FreeBSD's ports */
        };

        for (size_t i = 0; i < COUNT(paths); i++) {
                int fd = open(paths[i], O_RDONLY | O_CLOEXEC);

                if (fd >= 0)
                        return fd;
        }
        return -ENOENT;
}

struct tls_trust anchors_trust(const struct anchors *a)
{
        return (struct tls_trust){ a->table, a->count };
}
