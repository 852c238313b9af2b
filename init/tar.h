/*
 * init/tar.h - the heads of a tar archive: POSIX ustar, with pax records where it must.
 *
 * Pure: a struct becomes bytes and bytes become a struct. What we write, tar(1), Docker
 * and OCI tools read; what we read is what we write and no more of the format: nothing is
 * guessed, and every archive that some other program made is TAR_FOREIGN or TAR_MALFORMED.
 *
 * A path is relative, without "", "." or ".." in it, at most TAR_PATH long; the root
 * directory itself is "". A sparse file is GNU's format 1.0: its data begin with the map.
 */
#ifndef INIT_TAR_H
#define INIT_TAR_H

#include "base/rd.h"
#include "base/wr.h"

#define TAR_BLOCK 512
#define TAR_PATH 4095
#define TAR_NAME 255            /* one component */
#define TAR_RECORDS (256 << 10) /* bytes of one entry's pax records */
#define TAR_HEAD_MAX (TAR_RECORDS + 2 * TAR_BLOCK)
#define TAR_EXTENTS 16384       /* of one sparse file */
#define TAR_MAP_MAX ((2 * TAR_EXTENTS + 1) * 21 + TAR_BLOCK)

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_DIR, TAR_FIFO };

enum tar_status {
        TAR_OK,
        TAR_MORE,      /* not enough bytes yet: call again with more */
        TAR_END,       /* the two empty blocks */
        TAR_MALFORMED, /* breaks the format */
        TAR_FOREIGN,   /* well-formed, perhaps, but not as we write it */
        TAR_PATHS,     /* a name that leads out of the tree */
};

const char *tar_status_str(enum tar_status s);

struct tar_entry {
        enum tar_type type;
        const char *path, *link; /* link: of TAR_HARDLINK and TAR_SYMLINK, else "" */
        uint32_t mode;           /* the twelve bits */
        uint32_t uid, gid;
        int64_t mtime;           /* seconds; negative before 1970 */
        uint32_t mtime_ns;
        uint64_t size;           /* bytes that follow the head, the map of a sparse file included */
        bool sparse;
        uint64_t real_size;      /* of a sparse file, else the same as @size */
        /* Extended attributes as pax records, for tar_next_xattr(). */
        const uint8_t *xattrs;
        size_t xattrs_len;
};

/*
 * Writes the head of @e: one block, or three and more. Sets full when it does not fit, or
 * when its records are longer than TAR_RECORDS.
 */
void tar_put(struct wr *w, const struct tar_entry *e);

/* One extended attribute as a record; its name has no '=' and is not empty. */
void tar_put_xattr(struct wr *w, const char *name, const void *value, size_t len);

/* The end of an archive: two empty blocks. */
void tar_put_end(struct wr *w);

/* Where tar_parse() puts the strings, which its result points to. */
struct tar_names {
        char path[TAR_PATH + 2], link[TAR_PATH + 2];
};

/*
 * Reads the head at the start of @buf. TAR_OK and TAR_END: it was the first *@used bytes.
 * @e's strings are in @n, its attributes in @buf. TAR_MORE never comes once there are
 * TAR_HEAD_MAX bytes.
 */
MUST_USE enum tar_status tar_parse(const void *buf, size_t len, struct tar_entry *e,
                                   struct tar_names *n, size_t *used);

/* The next attribute from the cursor over e->xattrs; false at the end. @name is a C string. */
struct tar_xattr {
        char name[256];
        const uint8_t *value;
        size_t len;
};
bool tar_next_xattr(struct rd *r, struct tar_xattr *x);

/* --- sparse maps ---------------------------------------------------------------------- */

struct tar_extent {
        uint64_t at, len;
};

/* The map, padded to whole blocks. */
void tar_put_map(struct wr *w, const struct tar_extent *map, size_t count);

/*
 * Reads a map of at most TAR_EXTENTS extents: in order, inside @real_size, and as long
 * together as what is left of @size. The same returns as tar_parse(); TAR_MORE never comes
 * once there are TAR_MAP_MAX bytes or @size.
 */
MUST_USE enum tar_status tar_parse_map(const void *buf, size_t len, uint64_t size,
                                       uint64_t real_size, struct tar_extent *map,
                                       size_t *count, size_t *used);

/* --- whiteouts ------------------------------------------------------------------------- */

#define TAR_WHITEOUT ".wh."
#define TAR_OPAQUE ".wh..wh..opq"

/* Bytes up to the next block. */
static inline size_t tar_pad(uint64_t size)
{
        return (size_t)(-size & (TAR_BLOCK - 1));
}

/* strcmp() of two paths as a walk meets them: a directory, what is in it, its neighbours. */
int tar_path_order(const char *a, const char *b);

#endif
