/*
 * init/spec_load.h - the spec from a file or standard input, with its errors said.
 */
#ifndef INIT_SPEC_LOAD_H
#define INIT_SPEC_LOAD_H

#include "init/spec.h"

/*
 * Reads @path ("-": standard input) into @spec. Returns 0; or STATUS_SPEC after one line
 * on stderr, `PATH:LINE:COL: …` or why the file can't be read.
 */
MUST_USE int spec_load(const char *path, struct spec *spec);

#endif
