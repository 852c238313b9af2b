/*
 * init/program.h - finds airlock's other programs, relative to airlock itself.
 */
#ifndef INIT_PROGRAM_H
#define INIT_PROGRAM_H

#include "base/base.h"

/*
 * Becomes the program @name ("airlock-spec") with @argv and the signal mask @mask: from
 * ../libexec/airlock beside airlock's own folder, else (a build tree) from the folder
 * itself. Returns only when it can't: the exit status, after one line that says where it looked.
 */
int program_exec(const char *name, char **argv, uint64_t mask);

/*
 * Opens the program @name for fexecve(3): the same places, and ../../bin for airlock
 * itself. A close-on-exec descriptor, or -1 after one line.
 */
int program_open(const char *name);

#endif
