/*
 * netfilter/shared.h - is this network namespace ours alone?
 *
 * Rules for a whole namespace hit everybody in it: the host (--network host), the other
 * containers of a pod, a service mesh's sidecar, which moreover would be an open proxy on
 * loopback. So whoever is about to apply the netfilter lock asks here first.
 *
 * The answer is evidence, not proof. To be asked early, when nobody but the caller runs
 * in this container: then every socket that is not ours is somebody else's.
 */
#ifndef NETFILTER_SHARED_H
#define NETFILTER_SHARED_H

#include "base/base.h"

/* 0: nothing says so. 1: shared, and *@why, a static string, says with whom. -errno. */
MUST_USE int shared_netns(const char **why);

#endif
