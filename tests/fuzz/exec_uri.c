/*
 * tests/fuzz/exec_uri.c - a path begins with a slash and holds no NUL; written as a URI and
 * read again it is the same, unless it has dot segments that escapes had hidden.
 */
#include "agent/uri.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        char path[URI_PATH_MAX], again[URI_PATH_MAX], text[URI_ROOM(URI_PATH_MAX)];
        struct wr w = wr_of(text, sizeof(text) - 1);
        enum uri_status s = uri_parse(path, (const char *)data, len);

        if (s != URI_OK) {
                if (!memchr(path, '\0', sizeof(path)))
                        abort();
                uri_error(&w, s, path);
                return 0;
        }
        if (path[0] != '/' || strlen(path) >= URI_PATH_MAX)
                abort();
        if (strstr(path, "/./") || strstr(path, "/../"))
                return 0;
        uri_put(&w, path, strlen(path));
        if (w.full)
                abort();
        if (strlen(path) > 2 && (!strcmp(path + strlen(path) - 2, "/.") ||
                                 !strcmp(path + strlen(path) - 2, "..")))
                return 0;
        if (!strcmp(path, "/.") || uri_parse(again, text, w.len) != URI_OK || strcmp(path, again) != 0)
                if (strcmp(path, "/.") != 0)
                        abort();
        return 0;
}
