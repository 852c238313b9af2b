/*
 * agent/repo_root.h - which repository a directory is in.
 */
#ifndef AGENT_REPO_ROOT_H
#define AGENT_REPO_ROOT_H

#include "base/base.h"

/*
 * How many bytes of @cwd, an absolute path, name the nearest directory at or above it that
 * holds a .git, file or directory; 0: none does.
 */
size_t repo_root_len(const char *cwd);

#endif
