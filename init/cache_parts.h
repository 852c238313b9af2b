/*
 * init/cache_parts.h - what of a spec decides the state that setup makes.
 *
 * Pure. PID 1 calls it with the narrowed spec, `airlock cache why` with the operator's.
 */
#ifndef INIT_CACHE_PARTS_H
#define INIT_CACHE_PARTS_H

#include "base/wr.h"
#include "init/spec.h"

#define CACHE_PARTS_MAX ((size_t)2 * SPEC_MAX)

/*
 * Writes records "NAME" NUL "VALUE" NUL: the repository, both scripts, automatic setup, each
 * runtime and variable, and what setup may reach. No record where the spec says nothing.
 * The secrets' names are in it, their values never.
 */
void cache_parts_put(const struct spec *spec, struct wr *w);

#endif
