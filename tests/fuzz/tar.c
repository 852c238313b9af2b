/*
 * tests/fuzz/tar.c - heads and maps of an archive that may be anybody's.
 *
 * Invariants: what is read has names inside the tree, stays within the input, and written
 * again reads the same; a shorter input never reads as something else than TAR_MORE or an
 * error; attributes come out of the records whole.
 */
#include "init/tar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
        if (!ok)
                abort();
}

static void check_path(const char *path)
{
        must(path[0] != '/' && strlen(path) <= TAR_PATH);
        for (const char *p = path; *p; p += strcspn(p, "/") + (p[strcspn(p, "/")] == '/')) {
                size_t len = strcspn(p, "/");

                must(len > 0 && len <= TAR_NAME);
                must(!(len == 1 && p[0] == '.') && !(len == 2 && p[0] == '.' && p[1] == '.'));
        }
}

static void check_entry(const struct tar_entry *e, const uint8_t *data, size_t used)
{
        static char again[TAR_HEAD_MAX];
        static struct tar_names names;
        struct wr w = wr_of(again, sizeof(again));
        struct rd r = rd_of(e->xattrs, e->xattrs_len);
        struct tar_entry back;
        struct tar_xattr x;
        size_t n;

        check_path(e->path);
        if (e->type == TAR_HARDLINK)
                check_path(e->link);
        must(e->mode <= 07777 && e->mtime_ns < 1000000000 && used % TAR_BLOCK == 0);
        must(!e->xattrs_len || (e->xattrs >= data && e->xattrs + e->xattrs_len <= data + used));
        while (tar_next_xattr(&r, &x))
                must(x.name[0] && x.value >= data && x.value + x.len <= data + used);
        must(!rd_left(&r));
        tar_put(&w, e);
        if (w.full)
                return; /* with our own records it is longer than we allow */
        must(tar_parse(again, w.len, &back, &names, &n) == TAR_OK && n == w.len);
        must(back.type == e->type && !strcmp(back.path, e->path) && !strcmp(back.link, e->link) &&
             back.mode == e->mode && back.uid == e->uid && back.gid == e->gid &&
             back.mtime == e->mtime && back.mtime_ns == e->mtime_ns && back.size == e->size &&
             back.sparse == e->sparse && back.real_size == e->real_size &&
             back.xattrs_len == e->xattrs_len);
}

static void check_map(const uint8_t *data, size_t size)
{
        static struct tar_extent map[TAR_EXTENTS];
        uint64_t total = size * 3, real = 100000, data_len = 0, end = 0;
        size_t count, used;

        if (tar_parse_map(data, size, total, real, map, &count, &used) != TAR_OK)
                return;
        must(used <= size && count <= TAR_EXTENTS);
        for (size_t i = 0; i < count; i++) {
                must(map[i].at >= end && map[i].at + map[i].len <= real);
                end = map[i].at + map[i].len;
                data_len += map[i].len;
        }
        must(data_len + used == total);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct tar_names names;
        struct tar_entry e;
        size_t used;
        enum tar_status s = tar_parse(data, size, &e, &names, &used);

        must(tar_status_str(s)[0] != '\0');
        if (s == TAR_OK || s == TAR_END) {
                must(used <= size);
                for (size_t n = used / 2; n < used; n += 200)
                        must(tar_parse(data, n, &(struct tar_entry){ 0 }, &(struct tar_names){ "", "" },
                                       &(size_t){ 0 }) == TAR_MORE);
        }
        must(s != TAR_MORE || size < TAR_HEAD_MAX);
        if (s == TAR_OK)
                check_entry(&e, data, used);
        check_map(data, size);
        return 0;
}
