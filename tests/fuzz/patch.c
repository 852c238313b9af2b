/*
 * tests/fuzz/patch.c - whatever the patch: it goes in whole or not at all, and nothing outside
 * the repository or below .git changes. The first byte says which write fails, if one does.
 * A patch seen in shell text lies inside it.
 */
#include "tests/memory_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put(struct memory_files *m, const char *path, const char *text, bool link)
{
        if (memory_put(m, path, text, strlen(text), link) < 0)
                abort();
}

static void fill(struct memory_files *m)
{
        *m = (struct memory_files){ .writes = 0 };
        put(m, "/r/.git/config", "a\n", false);
        put(m, "/r/a", "a\nb\n\nc\n", false);
        put(m, "/r/s/b", "a\r\nb\r\n", false);
        put(m, "/r/s/c", "a", false);
        put(m, "/e/p", "a\n", false);
        put(m, "/r/l", "/e", true);
        put(m, "/r/s/g", "/r/.git", true);
        put(m, "/r/s/k", "/r/a", true);
        put(m, "/r/s/n", "/e/n", true);
}

static bool same_file(struct memory_files *m, const struct memory_file *f)
{
        const struct memory_file *g = memory_find(m, f->path);

        return g && g->link == f->link && g->bytes.len == f->bytes.len &&
               (!g->bytes.len || !memcmp(buf_at(&g->bytes), buf_at(&f->bytes), g->bytes.len));
}

static bool is_holy(const char *path)
{
        const char *end = strrchr(path, '/');

        return strncmp(path, "/r/", 3) != 0 || strstr(path, "/.git/") || !strcmp(end, "/.git");
}

/* What is in @a is in @b as well. */
static void check_same(struct memory_files *a, struct memory_files *b, bool all)
{
        for (size_t i = 0; i < MEMORY_FILES; i++)
                if (a->all[i].path[0] && (all || is_holy(a->all[i].path)) &&
                    !same_file(b, &a->all[i]))
                        abort();
}

static void check_script(const char *s, size_t len)
{
        struct patch_call c;

        if (patch_in_script(&c, s, len) != PATCH_YES)
                return;
        if (c.patch < s || c.len > len || c.patch + c.len > s + len)
                abort();
        if (c.dir && (c.dir < s || c.dir + c.dir_len > s + len || !c.dir_len))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct patch_place place = { "/r", "/r/s" };
        struct memory_files m, before;
        struct patch_files files;
        struct patch_result r;
        char *text;

        if (!len)
                return 0;
        text = malloc(len);
        memcpy(text, data + 1, --len);
        fill(&m);
        fill(&before);
        m.fail_write = data[0] & 7;
        files = memory_files(&m);
        if (patch_apply(&r, text, len, &place, &files)) {
                if (m.fail_write && m.writes >= m.fail_write)
                        abort();
                check_same(&m, &before, false);
                check_same(&before, &m, false);
        } else if (!memmem(buf_at(&r.text), r.text.len, "could not be put back", 21)) {
                check_same(&m, &before, true);
                check_same(&before, &m, true);
        }
        if (!r.text.len)
                abort();
        patch_close(&r);
        check_script(text, len);
        memory_close(&m);
        memory_close(&before);
        free(text);
        return 0;
}
