/*
 * init/command.h - the front commands of airlock, one function each.
 *
 * Each takes its own argv (argv[0] is the command's name) and returns the process's
 * exit status.
 */
#ifndef INIT_COMMAND_H
#define INIT_COMMAND_H

int command_init(int argc, char **argv);   /* init.c: a plain init, tini's flags */
int command_check(int argc, char **argv);  /* check.c: explain a spec; airlock-spec */
int command_doctor(int argc, char **argv); /* doctor.c: what holds here; the same */

/*
 * The text for `airlock CMD --help` on stdout; NULL: airlock's own. In airlock help_show()
 * becomes airlock-spec, where help_print() (help.c) has the texts.
 */
int help_show(const char *command);
int help_print(const char *command);
int help_version(void);

#endif
