/*
 * netfilter/notify_enter.h - enters the notify lock: from then on, the calls that could
 * reach a network wait for airlock-notify's answer.
 *
 * Runs in the process that becomes the agent, after it has given up its ids and
 * capabilities and before it execs. The filters go through exec and fork. When
 * airlock-notify is gone, every watched call fails with ENOSYS.
 *
 *     agent's process                         airlock-notify --listener FD …
 *       hold = !notify_can_take()               (FD is the other end of the channel)
 *       notify_enter(channel, hold) ---------> receives the listener
 *       close(channel), exec                    answers
 */
#ifndef NETFILTER_NOTIFY_ENTER_H
#define NETFILTER_NOTIFY_ENTER_H

#include "base/base.h"

/*
 * May a process with this one's ids and capabilities take a descriptor out of another
 * (pidfd_getfd(2))? Tried on a child that is made for it. False where the notifier has a user
 * of its own: ask only when it has not.
 */
bool notify_can_take(void);

/*
 * Sets no_new_privs, installs the filters and sends the listener as MSG_LISTENER over
 * @channel, a SOCK_SEQPACKET whose other end airlock-notify has. @hold: it will make the sockets,
 * because it can't take them. Returns 0 or -errno; after a failure the process must not
 * run the agent. No descriptor is left behind.
 */
MUST_USE int notify_enter(int channel, bool hold);

#endif
