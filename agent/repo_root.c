/* agent/repo_root.c - upwards until there is a .git. */
#include "agent/repo_root.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

size_t repo_root_len(const char *cwd)
{
        static const char mark[] = "/.git";
        char path[PATH_MAX + sizeof(mark)];
        size_t len = strnlen(cwd, PATH_MAX);
        struct stat st;

        while (len && len < PATH_MAX) {
                memcpy(path, cwd, len);
                memcpy(path + len, mark, sizeof(mark));
                if (!lstat(path, &st))
                        return len;
                while (cwd[--len] != '/')
                        ;
        }
        return 0;
}
