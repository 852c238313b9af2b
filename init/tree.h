/*
 * init/tree.h - walks a root file system, and remembers how it looked.
 *
 * A walk stays on the mount that the root is on. It never enters /proc, /sys and /dev, other
 * mounts (bind mounts of single files too), and what the caller excludes. Names come in the
 * order of their bytes, so two walks of one tree meet the same things in the same order.
 *
 * The index is that order written down, one record for each name:
 *
 *     TREE_LEAF name fingerprint        TREE_DIR name fingerprint records… TREE_UP
 *
 * A fingerprint is 64 bits of everything stat tells that can show a change: kind, mode,
 * owner, size, inode, and the times of change to the nanosecond. A file that changed within
 * the clock's own grain before we looked is TREE_RACY: it may change again and show nothing.
 * A later walk that keeps in step with the index sees what is new, changed and gone.
 */
#ifndef INIT_TREE_H
#define INIT_TREE_H

#include "base/rd.h"
#include "base/wr.h"

#include <sys/stat.h>
#include <linux/stat.h>

/*
 * Directories in directories; each holds a descriptor open. What is deeper counts as unchanged
 * where it was there before, and is -E2BIG where it is new.
 */
#define TREE_DEPTH 400
#define TREE_EXCLUDES 32

enum tree_kind { TREE_UP, TREE_LEAF, TREE_DIR, TREE_RACY };

struct tree_excluded {
        uint32_t major, minor;
        uint64_t ino;
};

struct tree {
        int root;        /* directory descriptor; the tree's own */
        uint64_t mount;  /* of the root */
        struct tree_excluded excluded[TREE_EXCLUDES];
        size_t excluded_count;
        char *arena;     /* names of the directories that are being walked */
        size_t used;
        int64_t now_s;   /* when the walk began, for TREE_RACY */
        uint32_t now_ns;
};

/* The names in one directory. */
struct tree_names {
        const uint32_t *at; /* offsets into the arena */
        size_t count;
        size_t before;      /* the arena's use before, for tree_forget() */
};

/* -errno. A zero tree may be closed. */
MUST_USE int tree_open(struct tree *t, const char *root);
void tree_close(struct tree *t);

/* Leaves out what @path leads to now; a path that leads nowhere is no error. */
MUST_USE int tree_exclude(struct tree *t, const char *path);

/* The sorted names in @dirfd, until tree_forget(), in the reverse order. -errno. */
MUST_USE int tree_list(struct tree *t, int dirfd, struct tree_names *n);
void tree_forget(struct tree *t, const struct tree_names *n);

static inline const char *tree_name(const struct tree *t, const struct tree_names *n, size_t i)
{
        return t->arena + n->at[i];
}

/* 0; 1: not part of the tree (excluded, another mount, or gone); -errno. */
MUST_USE int tree_stat(const struct tree *t, int dirfd, const char *name, struct statx *st);

uint64_t tree_fingerprint(const struct statx *st);

/* Opens a directory of the tree by its name in @dirfd. -errno. */
MUST_USE int tree_enter(int dirfd, const char *name);

/*
 * Writes the index of the whole tree to @fd, from its offset on. 0, or -errno: -E2BIG for
 * a tree that is deeper than TREE_DEPTH.
 */
MUST_USE int tree_index(struct tree *t, int fd, uint64_t *count);

/* A record of the index. @name is not a C string. */
struct tree_record {
        enum tree_kind kind;
        const char *name;
        size_t len;
        uint64_t fingerprint;
};

/* False at the end, and where the index is damaged (then r->bad). */
MUST_USE bool tree_next(struct rd *r, struct tree_record *out);

/* Goes on behind what belongs to the directory whose record was read last. */
void tree_skip(struct rd *r);

#endif
