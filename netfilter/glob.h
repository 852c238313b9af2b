/*
 * netfilter/glob.h - '*' is any run of bytes, '/' and '.' too; '?' is one byte. Pure.
 *
 * Paths and refs are matched with it, host names never: their patterns know labels.
 */
#ifndef NETFILTER_GLOB_H
#define NETFILTER_GLOB_H

#include "base/base.h"

/* At most strlen(pattern) * strlen(text) steps. */
bool glob_matches(const char *pattern, const char *text);

#endif
