/*
 * init/cgroup.h - what the engine allows this container, and whether it hit the wall.
 *
 * Reads the cgroup files of version 2, else version 1, as the container sees them below
 * /sys/fs/cgroup. A file that is not there leaves its number at CGROUP_UNKNOWN.
 */
#ifndef INIT_CGROUP_H
#define INIT_CGROUP_H

#include "base/base.h"

#define CGROUP_UNKNOWN UINT64_MAX

struct cgroup {
        unsigned version;      /* 1, 2; 0: none found */
        uint64_t memory_max;   /* bytes; unlimited is CGROUP_UNKNOWN too */
        uint64_t memory_peak;  /* bytes */
        uint64_t pids_max;
        uint64_t oom_kills;    /* since the cgroup was made */
};

void cgroup_read(struct cgroup *c);

#endif
