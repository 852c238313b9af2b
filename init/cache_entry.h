/*
 * init/cache_entry.h - the entries of a cache directory.
 *
 *     DIR/lock            locked one byte for each key (cache.h)
 *     DIR/KEY/meta.json   what the entry is; written last, fsynced; its own hash at its end
 *     DIR/KEY/layer.tar   the layer, whose sum and size meta.json knows
 *     DIR/.KEY.N.part/    an entry that is being made; its layer.tar is flocked meanwhile
 *
 * An entry appears whole or not at all: it is made beside its place and renamed. Its layer is
 * not fsynced: after a power cut its sum tells (base/sum.h).
 *
 * Sum and hash are against accidents. They lie beside what they are of, so they say nothing
 * about who wrote it: whoever may write to DIR as our user decides what a hit restores. That is
 * what owners and modes are for: only entries of our own user that nobody else may write to,
 * nor has a second name for, are believed; and what comes out of a layer stays below the
 * root whatever is in it (layer.h).
 *
 * Nor is an entry believed that is older than its time to live by the clock that can be asked:
 * the machine's uptime where it is the same boot, the wall clock where it is not. An entry
 * from the future is a miss.
 *
 * Operations do not log; `why` takes a line for the operator.
 */
#ifndef INIT_CACHE_ENTRY_H
#define INIT_CACHE_ENTRY_H

#include "base/json.h"
#include "base/sha256.h"
#include "base/wr.h"

#define ENTRY_META_MAX (256 << 10)
#define ENTRY_WHY 400

struct entry {
        int dir;        /* of the entry; -1 */
        struct json j;  /* of meta.json, over `text` */
        char text[ENTRY_META_MAX];
        char key[SHA256_HEX], slot[SHA256_HEX], sum[SHA256_HEX];
        uint64_t size, entries, age_s, ttl_s;
        char why[ENTRY_WHY]; /* of a miss */
};

/*
 * Opens the entry @name in @dir. 0: it is one of ours, of this format, with a layer of the right
 * size, and not over @ttl_s seconds (0: its own). -ENOENT: there is none. -ESTALE: too old.
 * -EBADMSG: not to be believed. Then e->why says it and @e may be read as far as it was
 * understood; close it in any case.
 */
MUST_USE int entry_open(struct entry *e, int dir, const char *name, uint64_t ttl_s);
void entry_close(struct entry *e);

/*
 * The same for the stamp that a state left in the root file system itself, which has no layer.
 * @image is what cache_image_hash() says of that root: another one makes the stamp void.
 */
#define ENTRY_STAMP_DIR "var/lib/airlock"
#define ENTRY_STAMP "state.json"
MUST_USE int entry_open_stamp(struct entry *e, int root, const char *image, uint64_t ttl_s);
MUST_USE int entry_write_stamp(int root, const char *meta, size_t len);

/* The layer, to read. -errno. */
MUST_USE int entry_layer(struct entry *e);

/* The value of a key of meta.json's object @object ("parts", "locks"), from @at = 0 on. */
struct entry_pair {
        char name[512], value[SHA256_HEX];
};
bool entry_next(const struct entry *e, const char *object, uint32_t *at, struct entry_pair *p);

/*
 * The bytes of meta.json's @name ("env", "placeholders"), in hex there, into @out. Their number,
 * or -EBADMSG.
 */
MUST_USE ssize_t entry_text(const struct entry *e, const char *name, char *out, size_t cap);

/* Writes the end of the JSON object in @w, which has no comma behind its last member. */
void entry_seal(struct wr *w);

/* The place where a new entry is made. */
struct entry_new {
        int dir, at;    /* DIR, and the part */
        int layer;      /* to write, and to read again */
        char name[128]; /* of the part */
};
MUST_USE int entry_begin(struct entry_new *n, int dir, const char *key);

/*
 * Puts meta.json into it and the whole in the place of @key. 0, or -errno and nothing changed.
 * The new entry is gone after entry_abandon(), which is safe after entry_publish().
 */
MUST_USE int entry_publish(struct entry_new *n, const char *key, const char *meta, size_t len);
void entry_abandon(struct entry_new *n);

/* Removes an entry of ours, or whatever stands at @name if we may. -errno. */
MUST_USE int entry_remove(int dir, const char *name);

/*
 * Removes what is expired, damaged or half made, of ours alone; then the oldest entries while
 * all are over @max_total bytes (0: no limit), but never @keep. Returns how many went.
 */
unsigned entry_prune(int dir, const char *keep, uint64_t max_total);

/* Wall clock, uptime, and which boot; for meta.json and for ages. */
struct entry_clock {
        uint64_t wall_s, boot_s;
        char boot[40];
};
void entry_clock_read(struct entry_clock *c);

/* Is @name that of an entry: 64 hex digits? */
bool entry_is_name(const char *name);

#endif
