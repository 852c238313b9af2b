/*
 * tests/fuzz/spec.c - a spec is filled, or zero with an error inside the input;
 * reading it again says the same.
 */
#include "base/utf8.h"
#include "init/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct spec zero;
        struct spec a, b;
        struct spec_error e;
        int r = spec_open(&a, (const char *)data, len, &e);

        if (r == -EINVAL && (memcmp(&a, &zero, sizeof(a)) != 0 || e.line < 1 || e.column < 1 ||
                             e.line > len + 1 || e.column > len + 1 || !e.text[0]))
                abort();
        if (r)
                return 0;
        if (a.version != 1 || a.repo.dir[0] != '/')
                abort();
        if (a.prompt && utf8_prefix(a.prompt, strlen(a.prompt)) != strlen(a.prompt))
                abort();
        if (spec_open(&b, (const char *)data, len, &e) || strcmp(a.repo.dir, b.repo.dir) != 0)
                abort();
        if (spec_narrow(&b, (const char *)data, len, &e) == -EINVAL && !e.text[0])
                abort();
        spec_close(&a);
        spec_close(&b);
        return 0;
}
