/*
 * netfilter/sandbox_options.h - the command line of `airlock sandbox`.
 */
#ifndef NETFILTER_SANDBOX_OPTIONS_H
#define NETFILTER_SANDBOX_OPTIONS_H

#include "base/base.h"
#include "netfilter/landlock.h"
#include "netfilter/lock.h"

#define SANDBOX_POLICY_MAX (256 * 1024)

enum sandbox_net { SANDBOX_OFF, SANDBOX_LIMITED, SANDBOX_FULL };

struct sandbox_options {
        enum sandbox_net net;
        enum lock lock;           /* LOCK_COUNT: the strongest that holds */
        struct landlock landlock; /* roots named by --root; the usual ones are not yet there */
        const char *journal;      /* NULL: none */
        bool prove;               /* try every way out before the command starts */
        bool verbose;
        char *policy;             /* of the caller's SANDBOX_POLICY_MAX bytes */
        size_t policy_len;
        char **argv;              /* the command's */
};

enum sandbox_status {
        SANDBOX_OK,
        SANDBOX_HELP,       /* --help was asked for */
        SANDBOX_UNKNOWN,    /* *@word is no option of ours */
        SANDBOX_NO_VALUE,   /* *@word lacks its value */
        SANDBOX_BAD_VALUE,  /* *@word has a value that it does not take */
        SANDBOX_NO_COMMAND,
        SANDBOX_TOO_MUCH,   /* policy or roots are more than fit */
        SANDBOX_NEEDS_NET,  /* *@word makes no sense with --net off */
};

const char *sandbox_status_str(enum sandbox_status s);

/*
 * Reads argv[1…]; @o->policy becomes the policy's text (netfilter/policy.h). On failure
 * *@word is the word at fault, or "". Pure.
 */
MUST_USE enum sandbox_status sandbox_parse(struct sandbox_options *o, char **argv,
                                           const char **word);

#endif
