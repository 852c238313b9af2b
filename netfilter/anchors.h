/*
 * netfilter/anchors.h - whom we trust upstream: a PEM bundle as BearSSL's trust anchors.
 *
 * Read once, before the proxy is confined and before anything of the task has run, so that
 * nobody in the container can add to it later. RSA and EC keys; what is in a certificate
 * beside subject and key is not kept: Debian's bundle of 140 becomes 70 KiB. Certificates
 * that BearSSL can't read are skipped and counted.
 *
 * The caller owns the struct, which starts as zeroes; its pages are touched as it fills.
 * The bundle may be hostile (an image may bring anything): the reader is bounded.
 */
#ifndef NETFILTER_ANCHORS_H
#define NETFILTER_ANCHORS_H

#include "base/base64.h"
#include "base/tls.h"

#define ANCHORS 512
#define ANCHORS_TEXT (320 * 1024) /* bytes of subjects and keys */

struct anchors {
        br_x509_trust_anchor table[ANCHORS];
        size_t count;
        size_t skipped; /* unreadable, or more than fit */
        uint8_t text[ANCHORS_TEXT];
        size_t text_len;
};

/* One PEM file on its way in, in pieces of any size. */
struct anchors_reader {
        struct anchors *into;
        br_x509_decoder_context decoder;
        struct base64 base64;
        char line[32]; /* how the current line began */
        size_t line_len;
        size_t subject_at, subject_len; /* in into->text */
        bool inside;                    /* between BEGIN and END */
        bool full;                      /* the subject did not fit */
};

void anchors_begin(struct anchors_reader *r, struct anchors *into);
void anchors_feed(struct anchors_reader *r, const void *bytes, size_t len);
/* The end of the file. A certificate without its END line is skipped. */
void anchors_end(struct anchors_reader *r);

/* Adds the bundle behind @fd, from where it stands to its end. 0 or -errno. */
MUST_USE int anchors_load(struct anchors *a, int fd);

/*
 * Opens the bundle of this image, where Debian, Alpine, RHEL, SUSE and OpenBSD have it.
 * Returns a descriptor, or -ENOENT when there is none.
 */
MUST_USE int anchors_open_image(void);

/* For tls_client_init. */
struct tls_trust anchors_trust(const struct anchors *a);

#endif
