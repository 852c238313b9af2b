/* netfilter/glob.c - a glob without recursion: only the last '*' is ever tried again. */
#include "netfilter/glob.h"

bool glob_matches(const char *pattern, const char *text)
{
        const char *star = NULL; /* behind the last '*' */
        const char *from = NULL; /* where its run may end next */

        for (;;) {
                if (*pattern == '*') {
                        star = ++pattern;
                        from = text;
                } else if (*text ? *pattern == '?' || *pattern == *text : !*pattern) {
                        if (!*text)
                                return true;
                        pattern++;
                        text++;
                } else if (star && *from) {
                        pattern = star;
                        text = ++from;
                } else {
                        return false;
                }
        }
}
