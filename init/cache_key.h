/*
 * init/cache_key.h - the key of a state, from its named parts.
 *
 * Each part's value is hashed by itself and the key is the hash of all names and hashes in
 * the order of the names, so an entry can say later which part differs. Values are not kept.
 * To what the caller names these are added:
 *   format    of the entries: another one is another key
 *   user      the ids that setup runs as
 *   image     /etc/os-release, the package databases, and the names, sizes and times of the
 *             programs and libraries one level deep in the usual places: a few ms, the same in
 *             every container of one image, on any host. A change that is only deeper than
 *             that, in an image whose package databases stay the same, goes unseen.
 *
 * Lock files (package-lock.json, Cargo.lock, …) are no part of the key: a state is still of
 * use when one changed. They decide whether maintenance has something to do.
 */
#ifndef INIT_CACHE_KEY_H
#define INIT_CACHE_KEY_H

#include "base/sha256.h"
#include "base/wr.h"

#define CACHE_PARTS 1000 /* JSON_KEYS, and room */
#define CACHE_LOCKS 256

struct cache_part {
        const char *name;
        char hash[SHA256_HEX];
};

struct cache_parts {
        struct cache_part at[CACHE_PARTS];
        size_t count;
        char key[SHA256_HEX];
        char slot[SHA256_HEX]; /* of user and repository alone: which states are akin */
};

/* What the image part is for the root file system @root. */
void cache_image_hash(int root, char hash[static SHA256_HEX]);

/*
 * Hashes the records "NAME" NUL "VALUE" NUL in @records, which the parts point into, and adds
 * our own; @image is from cache_image_hash(). -errno: -EINVAL for records that break the form
 * or name a part twice. @p is made anew.
 */
MUST_USE int cache_key_make(struct cache_parts *p, const char *records, size_t len,
                            const char *image);

struct cache_lock {
        char path[512]; /* below the work tree */
        char hash[SHA256_HEX];
};

struct cache_locks {
        struct cache_lock at[CACHE_LOCKS];
        size_t count;
};

/* Finds the lock files in @work, four levels deep; what can't be read is left out. */
void cache_locks_find(struct cache_locks *l, const char *work);

/* `"parts":{…},"locks":{…}` for the entry. */
void cache_key_put(struct wr *w, const struct cache_parts *p, const struct cache_locks *l);

#endif
