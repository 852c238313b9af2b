/*
 * base/io.h - reads and writes that are whole, or an error.
 *
 * Operations: 0 or a count, or -errno; EINTR is retried. Descriptors are the
 * caller's.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/base.h"

/* All of @len bytes, or -errno; -EPIPE and the like leave a part written. */
MUST_USE int write_full(int fd, const void *buf, size_t len);

/* Reads until @cap bytes or the end. Returns the bytes read, or -errno. */
MUST_USE ssize_t read_full(int fd, void *buf, size_t cap);

/*
 * Copies up to @len bytes within the kernel, from @at in one file (NULL: its offset) to the offset
 * of the other. The bytes copied, 0 at the end of @from; -EXDEV for every reason why these two
 * files need read and write.
 */
MUST_USE ssize_t copy_inside(int from, off_t *at, int to, size_t len);

/*
 * Reads the whole file @path (below @dirfd, AT_FDCWD for the working directory) as a
 * C string of less than @cap bytes. Returns its length; -EFBIG when it is longer.
 */
MUST_USE ssize_t read_file(int dirfd, const char *path, char *buf, size_t cap);

/*
 * Makes @name in @dirfd hold exactly these bytes: written beside it, fsynced, renamed
 * over it. On failure the old file stands and nothing else is left.
 */
MUST_USE int write_file(int dirfd, const char *name, const void *buf, size_t len);

/*
 * A memfd that holds these bytes, close-on-exec, its offset at 0, and sealed: what one
 * reader checked, the next one reads. -errno on failure.
 */
MUST_USE int sealed_file(const char *name, const void *buf, size_t len);

/* Seals a memfd made with MFD_ALLOW_SEALING against every change. 0 or -errno. */
MUST_USE int seal_file(int fd);

/* mkdir -p with @mode for what is missing. An existing directory is fine. */
MUST_USE int make_dirs(const char *path, unsigned mode);

#endif
