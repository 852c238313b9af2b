/*
 * secrets/look.h - looks for secrets in the bytes of one file, and inside of what it packs:
 * gzip, a zlib stream (git's loose objects), a git pack, a zip file. Other compression (xz,
 * zstd, bzip2, lz4) is named and not opened: the image's own tools are setup's, too, by then.
 * Packed files inside of packed files are not opened.
 *
 * Objects of a pack that are differences show the text they add, in runs of at most 127
 * bytes; what they take over stands in the object that they refer to.
 *
 * Reads with pread(2) and seeks past holes; the descriptor is the caller's. The struct is
 * large, and its buffers hold what the file held: static, wiped at the end.
 */
#ifndef SECRETS_LOOK_H
#define SECRETS_LOOK_H

#include "secrets/inflate.h"
#include "secrets/search.h"

#define LOOK_FINDINGS 64 /* different ones of one file; of more there is no need */
#define LOOK_CHUNK (256UL * 1024)

enum place {
        PLACE_FILE,   /* its bytes as they are */
        PLACE_GZIP,
        PLACE_ZLIB,
        PLACE_PACK,   /* an object of a git pack */
        PLACE_ZIP,
        PLACE_NAME,   /* the file's own name */
        PLACE_LINK,   /* where a symbolic link points */
        PLACE_XATTR,  /* an extended attribute */
        PLACE_MEMORY, /* System V shared memory or messages */
};

/* "" for the file itself, else "gzip", "git pack", …. */
const char *place_str(enum place p);

struct finding {
        uint16_t secret;
        uint8_t encoding; /* enum encoding */
        uint8_t place;    /* enum place */
};

struct look {
        struct inflate z; /* the first member: its functions cast back */
        const struct search *search;
        uint64_t bytes_max, unpacked_max; /* of one file */
        uint64_t deadline_ms;             /* 0: none */

        /* What the last file held. */
        struct finding found[LOOK_FINDINGS];
        size_t count;
        bool cut;         /* a bound was met: not all of it was looked at */
        const char *unopened; /* how it is packed, where we can't open that; or NULL */
        uint64_t bytes;   /* looked at, of all files; holes are none */

        int fd;
        uint64_t at, unpacked;
        enum place place;
        uint8_t buf[NEEDLE_TEXT_MAX + LOOK_CHUNK];
};

void look_init(struct look *l, const struct search *s);

/* The deadline is over. */
bool look_is_late(const struct look *l);

/* Forgets the findings of the file before. */
void look_clear(struct look *l);

/* Adds what @bytes hold. */
void look_bytes(struct look *l, const void *bytes, size_t len, enum place place);

/* Adds what the file holds; @sparse: ask for holes. 0 or -errno of a read. */
MUST_USE int look_file(struct look *l, int fd, uint64_t size, bool sparse);

#endif
