/*
 * tests/fuzz/path.c - a path in its normal form is its own normal form, holds no dot
 * segment, no empty one and no byte that needs escaping; a glob that is the path itself matches.
 */
#include "netfilter/glob.h"
#include "netfilter/policy.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static char out[POLICY_PATH_MAX], again[POLICY_PATH_MAX], glob[POLICY_PATH_MAX];
        size_t n, m;

        if (!policy_path(out, &n, (const char *)data, len))
                return 0;
        if (strlen(out) != n || out[0] != '/' || strstr(out, "//") || strstr(out, "/../") ||
            strstr(out, "/./") || strcasestr(out, "%2f") || strcasestr(out, "%5c") ||
            strcasestr(out, "%252e") || strcasestr(out, "%00"))
                abort();
        for (size_t i = 0; i < n; i++) {
                if ((uint8_t)out[i] <= ' ' || (uint8_t)out[i] >= 0x7f || out[i] == '\\')
                        abort();
        }
        if (!policy_path(again, &m, out, n) || m != n || memcmp(out, again, n) != 0)
                abort();
        if (!glob_matches(out, out) || !glob_matches("/*", out) || glob_matches("", out))
                abort();
        memcpy(glob, out, n + 1);
        for (size_t i = 1; i < n && i < 64; i += 3)
                glob[i] = '*';
        if (!glob_matches(glob, out))
                abort();
        return 0;
}
