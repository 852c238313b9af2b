/*
 * netfilter/probe.h - tries every way out, as the command would.
 *
 *   airlock-lock --probe off|limited|full [--quiet] [--pid PID]…
 *
 * Runs in the command's place, confined exactly as the command will be. One line on
 * stdout for each try: `ok NAME DETAIL`, or `LEAK NAME DETAIL` for a way that is open,
 * or for something that must work and does not. Exit status 0, or 73 after any LEAK.
 *
 * Addresses are documentation's (RFC 5737, RFC 3849): nobody's, should one ever get out.
 * What connects there is told from our proxy's refusal by what it answers; in a namespace
 * that has nothing but a loopback device there is nowhere to get.
 */
#ifndef NETFILTER_PROBE_H
#define NETFILTER_PROBE_H

#include "base/base.h"

/* argv[0] is the mode. Returns the exit status. */
MUST_USE int probe_main(char **argv);

#endif
