/*
 * netfilter/agent.h - the process that waits in a watched call: its memory, its descriptors,
 * its working directory. Everything here is read with the rights of the agent's own user.
 *
 * What is read may change the moment after: nothing that was looked at may be looked at
 * again by the kernel on the agent's behalf. And the process may die, and its number be
 * another's: call agent_waits() after the last read and before anything is done.
 *
 * Operations: 0 or a count, or -errno.
 */
#ifndef NETFILTER_AGENT_H
#define NETFILTER_AGENT_H

#include "base/base.h"

#include <sys/types.h>

struct agent {
        int listener;
        uint64_t id; /* of the notification */
        pid_t tid;   /* the calling thread */
        int memory;  /* /proc/TID/mem, or -1 while not opened */
};

/* Opens /proc for good. Before the first of the others. */
MUST_USE int agent_init(void);

/* Closes what the others opened. */
void agent_done(struct agent *a);

/* Does the call still wait for us? */
bool agent_waits(const struct agent *a);

/* All @len bytes at the agent's address @at, or -EFAULT, or -EACCES when it may not be read. */
MUST_USE int agent_read(struct agent *a, uint64_t at, void *buf, size_t len);
MUST_USE int agent_write(struct agent *a, uint64_t at, const void *buf, size_t len);

/* A duplicate of its descriptor @fd; -EPERM where that is not allowed. */
MUST_USE int agent_take(const struct agent *a, int fd);

/* The inode of the socket that is its descriptor @fd; -EBADF, -ENOTSOCK. */
MUST_USE int agent_socket(const struct agent *a, int fd, uint64_t *inode);

/* Has it a descriptor of this number? */
bool agent_has(const struct agent *a, int fd);

/* The flags of its descriptor @fd, as of open(2). */
MUST_USE int agent_flags(const struct agent *a, int fd, int *flags);

/*
 * Puts our @fd into its table: at @at, closing what was there, or where there is room when
 * that is -1. With @answer its call returns the number at once. Returns the number.
 */
MUST_USE int agent_put(const struct agent *a, int fd, int at, int flags, bool answer);

/*
 * Opens the file that @path is for the agent, with O_PATH: its root, its working directory,
 * and itself as /proc/self.
 */
MUST_USE int agent_open(const struct agent *a, const char *path);

/*
 * What the kernel's lists call the file that @fd is: not always what stat(2) says, on an
 * overlay for one. False: nobody knows.
 */
bool agent_file_id(int fd, uint64_t *device, uint64_t *inode);

/* Its command line into @text, as one line; empty when nobody knows. */
void agent_command(const struct agent *a, char *text, size_t cap);

#endif
