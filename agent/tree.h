/*
 * agent/tree.h - list, walk, copy and remove what may be much. They run in a helper.
 *
 * Each returns 0 with the result's JSON in @out, or the number of an error with its text.
 */
#ifndef AGENT_TREE_H
#define AGENT_TREE_H

#include "agent/buf.h"
#include "agent/files.h"

struct walk {
        struct place root;
        uint64_t max_depth, max_directories, max_entries;
        bool follow, prune_hidden;
};

struct copy {
        struct place from, to;
        bool recursive;
};

struct removal {
        struct place place;
        bool recursive, force;
};

/* The names in one directory. */
int tree_list(void *place, struct buf *out);
/* The same; TREE_MORE, and @out is of no use: there are more than @max. */
#define TREE_MORE 1
int tree_list_some(const struct place *place, size_t max, struct buf *out);

int tree_walk(void *walk, struct buf *out);
int tree_copy(void *copy, struct buf *out);
int tree_remove(void *removal, struct buf *out);

/* The file: URI of a path, as a JSON string. */
void tree_put_uri(struct buf *b, const char *path);

/* The code and text of a file call's errno. */
int files_error(struct buf *out, int err);

#endif
