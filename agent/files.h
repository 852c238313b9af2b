/*
 * agent/files.h - the fs/ calls.
 *
 * A path is opened once, and everything after that goes by descriptor. Under a sandbox the
 * descriptor is O_PATH first, and what the kernel says it is (its path by /proc/self/fd) is
 * what gets judged: whatever links stood in the way, and whoever changed them meanwhile.
 *
 * Nothing waits: files are opened non-blocking, and what is no regular file is refused.
 */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include "agent/grant.h"
#include "agent/uri.h"
#include "base/base.h"

struct conn;
struct params;

/* One path of a call, and the rules it is under. */
struct place {
        char path[URI_PATH_MAX];
        const struct grants *grants; /* NULL: none */
        bool no_links;               /* followSymlinks: false */
};

/*
 * Opens what is there for @flags (O_RDONLY, O_WRONLY | O_TRUNC, …): never blocks, never makes
 * a terminal ours. @need is what the sandbox must allow. A descriptor or -errno.
 */
MUST_USE int place_open(const struct place *p, int flags, enum access need);

/* Opens it, or makes it: O_WRONLY, emptied. */
MUST_USE int place_create(const struct place *p);

/*
 * The directory that holds it, O_PATH; its last name into @name. @need is asked of the thing
 * itself. The last component is not looked at.
 */
MUST_USE int place_parent(const struct place *p, enum access need, char name[256]);

/* @dir and @name as one path. False: it would be too long. */
MUST_USE bool place_join(char out[URI_PATH_MAX], const char *dir, const char *name);
/* The directory above; "/" stays. */
void place_up(char *path);

/* What the kernel calls an open descriptor. 0 or -errno. */
MUST_USE int path_of_fd(int fd, char path[URI_PATH_MAX]);

/*
 * The required path @key, and the rules of the call: wrong ones are refused in @p. What the
 * sandbox grants is in one place for all: it holds until the next call of this.
 */
void files_place(struct params *p, const char *key, struct place *place);

/* The connection ends. */
void files_close_all(struct conn *c);

#endif
