/*
 * init/layer.h - what setup changed, as a tar in the form of an OCI layer; and back.
 *
 * Saved: every name that is new or whose fingerprint differs from the index, with its
 * mode, owner, times to the nanosecond, hard links, holes, user.* attributes, POSIX ACLs and
 * capabilities; and a whiteout for every name that is gone. Sockets, devices and other
 * attributes are left out and counted. The order is a walk's (tree.h), each path once.
 *
 * Restored: only an archive in that very order, so no name comes twice and no name leads
 * through one that the archive made a link. Every parent is opened one component at a time,
 * no link followed, no mount crossed, below the root's descriptor: there is no way out.
 *
 * layer_check() reads the whole archive first: its sum, every head, every name against the tree
 * that is there, room on the disk. Nothing that has a name is changed. What fails in
 * layer_restore() after that is the machine's fault, and leaves a root file system that nobody
 * may use.
 *
 * Nothing may run in the tree meanwhile. One save or restore for each process: the buffers
 * are static. Nothing here logs; `why` takes a line for the operator.
 */
#ifndef INIT_LAYER_H
#define INIT_LAYER_H

#include "base/sum.h"
#include "init/tree.h"

#include <time.h>

#define LAYER_WHY 320

struct layer_count {
        uint64_t entries, bytes; /* heads and whiteouts; bytes of the archive */
        uint64_t data;           /* of the files in it, on disk */
        uint64_t whiteouts;
        uint64_t sockets, devices, attributes; /* left out when it was saved */
        uint64_t owners;                       /* restored as ourselves */
        bool has_root;             /* the layer says how the root itself is */
        struct timespec root_time; /* then its time, which was set */
        char sum[SHA256_HEX];
        char why[LAYER_WHY]; /* of a failure: "/usr/x: No space left on device" */
};

/*
 * Writes the difference between the tree and its @index to @fd, a file of its own, at most
 * @limit bytes.
 * -errno: -EFBIG over the limit; -ESTALE when something changed meanwhile; -EILSEQ for a name
 * that no OCI layer can hold. @fd has a part of it then.
 */
MUST_USE int layer_save(struct tree *t, struct rd index, int fd, uint64_t limit,
                        struct layer_count *c);

/*
 * Reads @fd from its start. 0, -EBADMSG with c->why, or -errno. Large files are copied
 * meanwhile, as files without a name: layer_restore() names them, layer_forget() drops them.
 */
MUST_USE int layer_check(int fd, int root, struct layer_count *c);
void layer_forget(void);

/* The same archive, now for good. Any failure leaves the tree unusable. */
MUST_USE int layer_restore(int fd, int root, struct layer_count *c);

#endif
