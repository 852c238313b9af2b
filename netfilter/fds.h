/*
 * netfilter/fds.h - inherited descriptors: which of them may the command keep?
 */
#ifndef NETFILTER_FDS_H
#define NETFILTER_FDS_H

#include "base/base.h"

/*
 * Sets close-on-exec on every descriptor above 2 that is no pipe and no regular file: a
 * socket of before is a way out of any lock, and so may be a device, a folder or a
 * namespace. 0; -ESOCKTNOSUPPORT when one of 0 to 2 is a network socket, which can't be
 * taken away; -errno.
 */
MUST_USE int fds_keep_harmless(void);

#endif
