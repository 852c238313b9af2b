/*
 * init/box.h - namespaces of our own, for a task outside a container (`run --box`).
 *
 * The box is a mount, pid, ipc and uts namespace (and a user namespace when we are not
 * root) over a private, in-memory upper layer: the root file system below is read and
 * never changed, and nothing is left behind, however the box ends.
 */
#ifndef INIT_BOX_H
#define INIT_BOX_H

#include "base/base.h"

#define BOX_BINDS 4

struct box {
        const char *root;             /* directory that becomes /; "/" is the host's own */
        const char *binds[BOX_BINDS]; /* host directories that stay the host's, same path */
        size_t bind_count;
};

/*
 * Returns only in the new PID 1, inside the box, with the working directory /. The
 * caller's process stays outside as its parent: it forwards signals, waits, and exits
 * with the box's status. Dies with STATUS_PROVISION, and a line that names the right or
 * setting that would allow it, when a namespace or mount is refused.
 */
void box_enter(const struct box *box);

#endif
