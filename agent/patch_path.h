/*
 * agent/patch_path.h - the directory with the program apply_patch, for the PATH of commands.
 *
 * It is "path" beside the exec-server's own program: agent/patch_main.h has what is in it.
 */
#ifndef AGENT_PATCH_PATH_H
#define AGENT_PATCH_PATH_H

/* Puts it first in our PATH, if there is one. */
void patch_add_path(void);

/* That directory; NULL: patch_add_path found none. */
const char *patch_path(void);

#endif
