/*
 * base/confine.h - become a role, and nothing more. One way only.
 */
#ifndef BASE_CONFINE_H
#define BASE_CONFINE_H

#include "base/base.h"

#include <sys/types.h>

/*
 * Capabilities an engine gives its containers by default, less CAP_NET_RAW and
 * CAP_MKNOD: what a setup session may hold at most.
 */
extern const uint64_t confine_setup_caps;

struct confine {
        bool set_ids;
        uid_t uid; /* with set_ids; supplementary groups become just @gid */
        gid_t gid;
        uint64_t keep_caps;  /* bounding, permitted, effective, inheritable: & this */
        bool no_new_privs;
};

/* Applies it to the calling process. -errno, and *@stage names what failed. */
MUST_USE int confine_apply(const struct confine *c, const char **stage);

/* The permitted capabilities of this process; 0 when they can't be read. */
uint64_t confine_permitted(void);

/*
 * Makes the relocated constant tables of this static-pie read-only: in a static program
 * nobody else does. Where they lie is base/link.ld's word. First line of main().
 */
void confine_relro(void);

#endif
