/*
 * init/spec_image.h - a spec that was read and checked, handed on as memory.
 *
 * airlock-spec reads JSON; airlock-run and airlock-box, which live longer and may do
 * more, map what it made of it: the struct, its tables and its strings in one piece,
 * each pointer an offset until the reader adds where it put the piece. agent.environments stay
 * behind: spec_model has made words and rules of them. Both ends are the
 * same version of airlock, one execs the other, and the memfd between them is sealed.
 */
#ifndef INIT_SPEC_IMAGE_H
#define INIT_SPEC_IMAGE_H

#include "init/spec.h"

/*
 * Returns a sealed memfd that stays open across exec; -errno. @spec is unchanged.
 */
MUST_USE int spec_image_make(const struct spec *spec);

/*
 * Fills @spec from @fd and leaves the mapping for good: its strings are writable by us
 * alone. 0; -EPROTO when it is not an image of this version; -errno.
 */
MUST_USE int spec_image_open(int fd, struct spec *spec);

#endif
