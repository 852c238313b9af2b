/*
 * agent/patch_main.h - the program apply_patch: agent/patch.h for who has a shell.
 *
 * It is airlock-agent under another name: libexec/airlock/path holds a link of that name, and
 * the exec-server puts that directory first in the PATH of what it runs.
 *
 *     apply_patch '*** Begin Patch …'        or        apply_patch < FILE
 *
 * Paths are relative to where it is started, and end at the repository around that: the
 * nearest directory above with a .git, or else that directory itself. A file is replaced by
 * a new one in one step, but for one with several names or another owner: it is written in
 * place and keeps them.
 *
 * Exit status: 0 done; 1 not applied, and stderr says why; 2 usage.
 */
#ifndef AGENT_PATCH_MAIN_H
#define AGENT_PATCH_MAIN_H

#include "base/base.h"

/* Is that the name we were started by? */
bool patch_is_name(const char *argv0);

int patch_main(int argc, char **argv);

#endif
