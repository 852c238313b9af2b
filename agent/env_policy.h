/*
 * agent/env_policy.h - the environment of a process, from what a client sent. Pure.
 */
#ifndef AGENT_ENV_POLICY_H
#define AGENT_ENV_POLICY_H

#include "agent/rpc.h"

#define ENV_MAX 8192 /* variables */

struct env {
        size_t count;
        char *list[ENV_MAX + 1]; /* NULL-terminated "NAME=value" */
        char *text;              /* where they stand; the caller's */
        size_t len, cap;
};

/* Case-insensitive, with * and ?. */
bool env_glob(const char *pattern, const char *name, size_t name_len);

/*
 * Fills @e from @own (our environment), the policy object (or absent) and @env. Parameters
 * that are wrong are refused in @p. False: it does not fit, or a NUL is in it (*@nul).
 */
MUST_USE bool env_build(struct env *e, struct params *p, char *const *own,
                        const struct value *policy, const struct value *env, bool *nul);

/* The value of the variable, or NULL. */
const char *env_value(char *const *list, const char *name);

#endif
