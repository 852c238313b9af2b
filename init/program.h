/*
 * init/program.h - finds airlock's other programs, relative to airlock itself.
 */
#ifndef INIT_PROGRAM_H
#define INIT_PROGRAM_H

/*
 * Becomes the program @name ("airlock-explain") with @argv: from ../libexec/airlock
 * beside airlock's own folder, else (a build tree) from the folder itself. Returns
 * only when it can't: the exit status, after one line that says where it looked.
 */
int program_exec(const char *name, char **argv);

#endif
