/*
 * tests/fuzz/exec_toml.c - what was read can be written, is TOML again, and stays as it is:
 * the second time nothing changes any more.
 */
#include "agent/toml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct toml first, second;

/* All of it, if it has no more members than a call has paths. */
static size_t select_all(const struct toml *t, struct toml_path paths[TOML_PATHS])
{
        size_t n = 0;

        for (uint32_t i = t->nodes[0].first; i; i = t->nodes[i].next) {
                if (n == TOML_PATHS)
                        return 0;
                paths[n++] = (struct toml_path){ .keys = { t->nodes[i].key },
                                                 .lens = { t->nodes[i].key_len }, .count = 1 };
        }
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct toml_path paths[TOML_PATHS];
        struct buf once = { 0 }, again = { 0 };
        size_t n;

        if (!toml_parse(&first, (const char *)data, len)) {
                if (!first.s.wrong || !toml_line(&first))
                        abort();
                return 0;
        }
        n = select_all(&first, paths);
        if (toml_project(&first, paths, n, &once)) {
                if (!toml_parse(&second, buf_at(&once), once.len))
                        abort();
                n = select_all(&second, paths);
                if (!toml_project(&second, paths, n, &again) || again.len != once.len ||
                    memcmp(buf_at(&again), buf_at(&once), once.len) != 0)
                        abort();
        }
        buf_free(&once);
        buf_free(&again);
        return 0;
}
