/*
 * init/tty.h - hands the terminal to the child's process group, and takes it back.
 *
 * Nothing here fails loudly: no tty, a closed stdin, a revoked or foreign terminal are
 * all ordinary for an init. If we were started in the background the foreground is
 * never stolen.
 */
#ifndef INIT_TTY_H
#define INIT_TTY_H

#include "base/base.h"

#include <sys/types.h>

/* Before fork, in the parent: may the child have the terminal on stdin? */
bool tty_may_hand_over(void);

/*
 * In the child, after setpgid(0, 0) and before its signals are restored: makes its
 * process group the foreground group of the terminal on stdin.
 */
void tty_hand_over(void);

/* In the parent: the terminal to @group; to our own group if @group still has it. */
void tty_give(pid_t group);
void tty_take_back(pid_t group);

#endif
