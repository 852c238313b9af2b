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
 * What PID 1 of a task starts, and its place in the list. Each is opened before anything of
 * others runs, and by airlock-box before the host's paths are gone.
 */
enum program {
        PROGRAM_SPEC,
        PROGRAM_LOCK,
        PROGRAM_PROXY,
        PROGRAM_NOTIFY,
        PROGRAM_TRUST,
        PROGRAM_UNSEAL,
        PROGRAM_CACHE,
        PROGRAM_AUTO,
        PROGRAM_AGENT,
        PROGRAM_EXEC,
        PROGRAM_PUSH,
        PROGRAM_COUNT,
};

/* Fills @fds with descriptors for execveat(2); false after a line for each that is missing. */
MUST_USE bool program_open_all(int fds[static PROGRAM_COUNT]);

/*
 * Opens the program @name for fexecve(3): the same places, and ../../bin for airlock
 * itself. A close-on-exec descriptor, or -1 after one line.
 */
int program_open(const char *name);

#endif
