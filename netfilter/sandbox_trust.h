/*
 * netfilter/sandbox_trust.h - makes the sandbox's command believe the proxy's certificates.
 *
 * Where a rule looks into TLS (methods, paths), airlock-proxy signs what the command sees
 * with an authority of this run. airlock-trust writes the files that clients read and tells
 * the variables that point at them. Both go with the sandbox.
 */
#ifndef NETFILTER_SANDBOX_TRUST_H
#define NETFILTER_SANDBOX_TRUST_H

#include "base/base.h"

#include <sys/types.h>

#define SANDBOX_TRUST_MAX 16384 /* of variables, and of a certificate */

struct sandbox_trust {
        char folder[64];                   /* "": none */
        char variables[SANDBOX_TRUST_MAX]; /* "NAME=VALUE" NUL …, and one NUL more */
};

/*
 * Takes the certificate that the proxy has written to the pipe @from, if any, and has the
 * program @airlock_trust make files of it in a new folder. 0, also when there is no
 * certificate; -errno, and then the folder is gone again.
 */
MUST_USE int sandbox_trust_open(struct sandbox_trust *t, int from, const char *airlock_trust);

/* Removes the folder. */
void sandbox_trust_close(struct sandbox_trust *t);

#endif
