/*
 * secrets/secret_io.h - files in and out of `airlock secret`. Steps: they log and end.
 */
#ifndef SECRETS_SECRET_IO_H
#define SECRETS_SECRET_IO_H

#include "base/base.h"

/*
 * Reads all of @path (- or NULL: stdin) into @buf, and dies with @too_long when it is more than
 * @cap bytes. Returns the length.
 */
size_t secret_read(const char *path, void *buf, size_t cap, const char *too_long);

/*
 * Writes all of @buf to @path (NULL or -: stdout), or dies. A regular file is replaced at
 * once or not at all, by a new one of mode @mode; with @only_new an existing one is an error.
 */
void secret_write(const char *path, const void *buf, size_t len, unsigned mode, bool only_new);

/* Whether @path means stdout by default, and that is a terminal. */
bool secret_to_terminal(const char *path);

/* Random bytes, or dies. */
void secret_random(void *buf, size_t len);

#endif
