/*
 * netfilter/rules_main.h - the netfilter lock's command lines.
 *
 *   --apply netfilter --mark M --http-port P --dns-port D --redirect-port R [--off]
 *                     [--inbound] [--root-resolves] [--shared] [--lent]
 *   --remove netfilter
 *
 * The rules bind everybody in this network namespace, and stay when we have gone. One that
 * is shared with others is refused, unless --shared says that they are meant too. --lent: nft.h.
 */
#ifndef NETFILTER_RULES_MAIN_H
#define NETFILTER_RULES_MAIN_H

#include "base/base.h"

/* argv[0] is --apply or --remove. 0; STATUS_LOCK or STATUS_USAGE after one line. */
MUST_USE int rules_main(char **argv);

/* Makes a table of another name and takes it away again. 0, or STATUS_LOCK after one line. */
MUST_USE int rules_try(void);

#endif
