/* base/environ.c - environment variables, overwritten where they lie. */
#include "base/environ.h"

#include <string.h>

unsigned environ_wipe(char **env, const char *name)
{
        size_t len = strlen(name);
        char **keep = env;
        unsigned wiped = 0;

        for (; *env; env++) {
                if (!strncmp(*env, name, len) && (*env)[len] == '=') {
                        explicit_bzero(*env, strlen(*env));
                        wiped++;
                } else {
                        *keep++ = *env;
                }
        }
        *keep = NULL;
        return wiped;
}
