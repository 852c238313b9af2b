#include "netfilter/shared.h"
int shared_netns(const char **why) { *why = ""; return 0; }
