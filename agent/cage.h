/*
 * agent/cage.h - makes a sandbox object hold for a process.
 *
 * Files by Landlock, which only knows what is allowed. A part that may do less than what is
 * around it (.git inside a workspace) needs a mount namespace besides: it is covered by a
 * read-only mount of itself, or by nothing at all. Network by a seccomp filter that leaves
 * no socket but AF_UNIX.
 */
#ifndef AGENT_CAGE_H
#define AGENT_CAGE_H

#include "agent/grant.h"
#include "base/base.h"
#include "base/wr.h"

/*
 * Puts the real paths of what exists in the place of its names. False: @why says that a
 * link on the way to something writable could have been made inside the sandbox itself.
 */
MUST_USE bool cage_settle(struct grants *g, struct wr *why);

/* Does any of it ask for namespaces? */
bool cage_needs_namespaces(const struct grants *g);

/* Can this be enforced here? False: @why says what is missing. Tried once, then remembered. */
MUST_USE bool cage_possible(const struct grants *g, struct wr *why);

/* Confines the calling process, for good. 0, or -errno with *@stage saying what failed. */
MUST_USE int cage_enter(const struct grants *g, const char **stage);

#endif
