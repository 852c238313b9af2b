/* netfilter/preset.c - the text that make has put together. */
#include "netfilter/preset.h"

const char preset_common[] =
#include <preset.inc>
        ;
