/*
 * init/cache.h - airlock-cache: the container's state after setup, kept for the next task.
 *
 * A short-lived child of PID 1, twice in a task, with PID 1's rights and no network:
 *
 *   airlock-cache restore --dir DIR --parts-fd P --index-fd I --lock-fd L --root / --work DIR
 *                         [--journal FD --journal-start-ms N] [--state STATE] [--stamp] [--ttl S]
 *                         [--wait S] [--proxy FD] [--exclude PATH]…
 *       in PROVISION, after the work tree was checked out and the repository's own spec was
 *       read, before anything of setup ran, and before the proxy's certificate is made known
 *       on a hit (setup may have rewritten the trust stores). Finds the entry for the key
 *       and restores it; else writes down how the tree looks now, for `save`.
 *   airlock-cache save    --dir DIR --index-fd I --root / [--exclude PATH]… [--max-bytes N]
 *                         [--max-total N] [--stamp] [--state STATE] [--placeholders FD]
 *                         [--journal FD --journal-start-ms N]
 *       in SEAL, after every process of setup has ended and the leak scan found nothing.
 *
 *       With --stamp it also leaves a stamp in the root itself (/var/lib/airlock/state.json,
 *       no part of the layer), for who makes an image of the container with the engine's own commit:
 *       `restore` in that image is a hit at once. It takes the stamp away unless it has --stamp too:
 *       at the next start of that container an agent has been in it. Whoever commits after an agent with rights
 *       over the root has worked in it, commits what that agent left.
 *
 *       STATE/auto.sh, what automatic setup would run, is a part of the key; STATE/env, what
 *       setup put into $AIRLOCK_ENV, of the state.
 *
 *       --placeholders has NAME=PLACEHOLDER lines: what setup had in the place of the secrets that
 *       rules inject, and may have written into files. They are kept with the state, and `restore`
 *       tells them to the proxy at the end of --proxy, whose own are others in each task.
 *
 * and what `airlock cache` becomes: ls, key, why, reset (cache_show.c).
 *
 * PID 1 keeps three descriptors for it:
 *   P  a memfd with cache_parts_put()'s records, and "secrets" NUL HEX NUL from airlock-unseal
 *      (its keyed hash of the values) when there are any
 *   I  an empty memfd. It holds a struct cache_report at offset 0 whenever the program has
 *      ended by itself, and behind that what `save` needs to know. Setup must not reach it.
 *   L  DIR/lock, opened O_RDWR|O_CREAT|O_NOFOLLOW|O_CLOEXEC|O_NONBLOCK, mode 0600. A miss
 *      locks the byte that belongs to the key on this open file: whoever gets it builds, and
 *      the others wait for the entry, up to --wait seconds, then build their own. PID 1 holds
 *      it by keeping L open until after `save`. -1: everybody builds.
 *
 * The exclusions are the same for both: output.dir, cache.dir, the state directory, and the
 * work tree's .git. /proc, /sys, /dev and other mounts stay out without being named.
 *
 * Exit status:
 *   0             restored, or stamped: a hit; or saved
 *   CACHE_MISS    nothing was restored, or saved, and nothing was changed: go on with setup, or
 *                 with the task. The report says why
 *   STATUS_AGAIN  restore failed half-way: this root file system is neither the image's nor
 *                 setup's. The entry is gone, so a new container builds. PID 1 ends the task
 *                 with this status; a marker (CACHE_MARKER) in the root makes the same
 *                 container refuse when it is started again. Any other end of `restore` by a
 *                 signal means the same
 *   STATUS_USAGE  the command line
 *
 * After a hit: `git reset --hard` in the work tree (setup may have changed tracked files), then
 * the maintenance script where the report says so. If that fails, the box is as setup left
 * it plus half a maintenance: full setup may run over it once.
 */
#ifndef INIT_CACHE_H
#define INIT_CACHE_H

#include "base/base.h"

#define CACHE_FORMAT "airlock-cache 3"
#define CACHE_ENV_MAX (64 << 10) /* of STATE/env */
#define CACHE_MISS 3
#define CACHE_MARKER ".airlock-restoring"
#define CACHE_MAGIC "ALCACHE1"
#define CACHE_MAX_BYTES (UINT64_C(16) << 30) /* of one layer, when nothing is said */

enum cache_outcome {
        CACHE_NOTHING,  /* the program did not come so far */
        CACHE_RESTORED,
        CACHE_BUILD,    /* a miss, and the lock is ours: others wait for us */
        CACHE_BUILD_OWN, /* a miss, without the lock */
        CACHE_SAVED,
        CACHE_UNSAVED,
        CACHE_BROKEN,   /* the root file system is half restored */
        CACHE_STAMPED,  /* a hit, and nothing to restore: the image is the state */
};

/* PID 1 reads this much at offset 0 of the index. Every string is printable and has its NUL. */
struct cache_report {
        char magic[8];
        uint32_t outcome;
        uint32_t maintenance; /* 1: run it; why is in @locks */
        uint64_t age_s, bytes, entries, ms;
        uint64_t left_out;    /* attributes, owners, devices and sockets */
        char key[72];         /* hex; "" before it is known */
        char reason[400];     /* of a miss, of a layer not saved, of a break; "" */
        char locks[300];      /* "package-lock.json changed"; "no lock file changed" */
        char spare[108];
};
_Static_assert(sizeof(struct cache_report) == 936, "what both ends believe");

/* cache_show.c: the commands for a person. */
int cache_ls(int argc, char **argv);
int cache_key_command(int argc, char **argv);
int cache_why(int argc, char **argv);
int cache_reset(int argc, char **argv);

#endif
