/* netfilter/preset.c - the text that make has put together. */
#include "netfilter/preset.h"

#include <preset.inc>
