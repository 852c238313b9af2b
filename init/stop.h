/*
 * init/stop.h - ends every process but us: TERM, a grace period, then KILL.
 *
 * As PID 1 of a pid namespace "every" is kill(-1): atomic against fork, deaf to
 * setsid, double forks and stopped processes, and needing no /proc. Anywhere else
 * kill(-1) would hit strangers, so the targets are our descendants, found through
 * /proc (we are a subreaper: whoever loses its parent becomes our child).
 *
 * Returns as soon as nobody is left; a grace period is never slept through.
 */
#ifndef INIT_STOP_H
#define INIT_STOP_H

#include "base/base.h"

#include <sys/types.h>

/*
 * A process of airlock's own that "everyone" leaves out from now on, until it is reaped
 * or spared no more; at most STOP_SPARED at a time. As PID 1 everybody else is then found
 * through /proc, while the world is stopped.
 */
#define STOP_SPARED 4
void stop_spare(pid_t pid);
void stop_spare_no_more(pid_t pid);
bool stop_is_spared(pid_t pid); /* false: it was reaped */

struct stop_count {
        unsigned reaped;    /* children that were waited for */
        unsigned survivors; /* processes we could not end: another uid, or in D state */
};

/*
 * @grace_ms: time between TERM and KILL; 0 goes straight to KILL.
 * @kill_ms: how long to wait for the killed to be gone.
 * 0 when nobody is left, else -ETIMEDOUT (still dying) or -EPERM (not ours to kill).
 */
MUST_USE int stop_everyone(unsigned grace_ms, unsigned kill_ms, struct stop_count *count);

/*
 * Sends @signal (0: asks only) to everyone, as above. 0 when somebody got it, -ESRCH
 * when there is nobody. Elsewhere than PID 1 also -EPERM when everybody is another
 * user's, and -errno when /proc can't be read.
 */
int stop_signal(int signal);

#endif
