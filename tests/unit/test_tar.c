/* tests/unit/test_tar.c - a head that is written reads back, and nothing else is believed. */
#include "init/tar.h"
#include "tests/unit/unit.h"

#include <string.h>

static char buf[TAR_HEAD_MAX];
static struct tar_names names;

static enum tar_status round_trip(const struct tar_entry *e, struct tar_entry *back, size_t *used)
{
        struct wr w = wr_of(buf, sizeof(buf));

        tar_put(&w, e);
        CHECK(!w.full && w.len % TAR_BLOCK == 0);
        return tar_parse(at_page_end(buf, w.len), w.len, back, &names, used);
}

static bool same(const struct tar_entry *a, const struct tar_entry *b)
{
        return a->type == b->type && !strcmp(a->path, b->path) && !strcmp(a->link, b->link) &&
               a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
               a->mtime == b->mtime && a->mtime_ns == b->mtime_ns && a->size == b->size &&
               a->sparse == b->sparse && a->real_size == b->real_size &&
               a->xattrs_len == b->xattrs_len &&
               (!a->xattrs_len || !memcmp(a->xattrs, b->xattrs, a->xattrs_len));
}

static char long_path[TAR_PATH + 1], long_link[TAR_PATH + 1];

TEST(every_kind_of_head_reads_back)
{
        static const struct {
                const char *why;
                struct tar_entry e;
        } rows[] = {
                { "a file", { TAR_FILE, "a", "", 0644, 1, 2, 3, 0, 5, false, 5, NULL, 0 } },
                { "the root", { TAR_DIR, "", "", 0755, 0, 0, 0, 0, 0, false, 0, NULL, 0 } },
                { "a directory", { TAR_DIR, "a/b", "", 01777, 0, 0, 9, 1, 0, false, 0, NULL, 0 } },
                { "before 1970", { TAR_FILE, "a", "", 0, 0, 0, -1, 500000000, 0, false, 0, NULL, 0 } },
                { "long before", { TAR_FIFO, "a", "", 0, 0, 0, -99999999999, 0, 0, false, 0, NULL, 0 } },
                { "after 2242", { TAR_FILE, "a", "", 0, 0, 0, 1LL << 40, 999999999, 0, false, 0, NULL, 0 } },
                { "large ids", { TAR_FILE, "a", "", 0, UINT32_MAX, 1 << 21, 0, 0, 0, false, 0, NULL, 0 } },
                { "a large file", { TAR_FILE, "a", "", 0, 0, 0, 0, 0, 1ULL << 40, false, 1ULL << 40, NULL, 0 } },
                { "holes", { TAR_FILE, "a", "", 0, 0, 0, 0, 0, 512, true, 1ULL << 50, NULL, 0 } },
                { "long names", { TAR_SYMLINK, long_path, long_link, 0777, 0, 0, 0, 0, 0, false, 0, NULL, 0 } },
                { "a long hard link", { TAR_HARDLINK, "a", long_path, 0, 0, 0, 0, 0, 0, false, 0, NULL, 0 } },
                { "bytes in a name", { TAR_FILE, "\xff\n=/ 9", "", 0, 0, 0, 0, 0, 0, false, 0, NULL, 0 } },
        };

        memset(long_path, 'p', TAR_PATH);
        memset(long_link, '/', TAR_PATH);
        for (size_t i = 200; i < TAR_PATH - 1; i += 200)
                long_path[i] = '/';
        for (size_t i = 0; i < COUNT(rows); i++) {
                struct tar_entry back;
                size_t used = 0;

                CHECK_ROW(round_trip(&rows[i].e, &back, &used) == TAR_OK, rows[i].why);
                CHECK_ROW(same(&rows[i].e, &back), rows[i].why);
                for (size_t n = 0; n < used; n += n % 512 ? 512 - n % 512 : 511)
                        CHECK_ROW(tar_parse(at_page_end(buf, n), n, &back, &names, &(size_t){ 0 })
                                  == TAR_MORE, rows[i].why);
        }
}

TEST(attributes_read_back_one_by_one)
{
        static const uint8_t value[] = "1 2=\n\0x";
        struct tar_entry e = { .path = "a", .link = "" }, back;
        char records[1000];
        struct wr w = wr_of(records, sizeof(records));
        struct tar_xattr x;
        struct rd r;
        size_t used;

        tar_put_xattr(&w, "user.a", value, sizeof(value));
        tar_put_xattr(&w, "security.capability", "", 0);
        e.xattrs = (uint8_t *)records;
        e.xattrs_len = w.len;
        CHECK(round_trip(&e, &back, &used) == TAR_OK && same(&e, &back));
        r = rd_of(back.xattrs, back.xattrs_len);
        CHECK(tar_next_xattr(&r, &x) && !strcmp(x.name, "user.a") && x.len == sizeof(value) &&
              !memcmp(x.value, value, x.len));
        CHECK(tar_next_xattr(&r, &x) && !strcmp(x.name, "security.capability") && !x.len);
        CHECK(!tar_next_xattr(&r, &x));
}

TEST(any_byte_that_changes_is_noticed)
{
        struct tar_entry e = { .path = "a/b", .link = "", .mode = 0644 }, back;
        size_t used;

        CHECK(round_trip(&e, &back, &used) == TAR_OK && used == TAR_BLOCK);
        for (size_t i = 0; i < used; i++) {
                buf[i] ^= 1;
                CHECK(tar_parse(buf, used, &back, &names, &(size_t){ 0 }) != TAR_OK);
                buf[i] ^= 1;
        }
}

TEST(paths_are_in_the_order_of_a_walk)
{
        static const char *const sorted[] = { "", "a", "a/b", "a/b/c", "a/\x01", "a\x01", "a-b",
                                              "a-b/c", "aa", "\xff" };

        CHECK(tar_path_order("a/\x01", "a/b") < 0);
        for (size_t i = 0; i < COUNT(sorted); i++)
                for (size_t j = 0; j < COUNT(sorted); j++) {
                        int want = i < j ? -1 : i > j, got = tar_path_order(sorted[i], sorted[j]);

                        if ((i == 4) != (j == 4))
                                continue; /* that one is among a's own, see above */
                        CHECK_ROW((got > 0) - (got < 0) == want, sorted[i]);
                }
}

TEST(a_map_of_holes_reads_back_and_must_add_up)
{
        static const struct tar_extent map[] = { { 0, 10 }, { 4096, 512 }, { 9999, 0 } };
        struct tar_extent back[TAR_EXTENTS];
        struct wr w = wr_of(buf, sizeof(buf));
        size_t count, used;

        tar_put_map(&w, map, COUNT(map));
        CHECK(w.len == TAR_BLOCK);
        CHECK(tar_parse_map(at_page_end(buf, w.len), w.len, w.len + 522, 9999, back, &count, &used)
              == TAR_OK);
        CHECK(count == COUNT(map) && used == TAR_BLOCK && !memcmp(back, map, sizeof(map)));
        CHECK(tar_parse_map(buf, w.len, w.len + 521, 9999, back, &count, &used) == TAR_MALFORMED);
        CHECK(tar_parse_map(buf, w.len, w.len + 522, 9998, back, &count, &used) == TAR_MALFORMED);
        CHECK(tar_parse_map(buf, 11, w.len + 522, 9999, back, &count, &used) == TAR_MORE);
        CHECK(tar_parse_map("2\n5\n5\n4\n5\n", 10, 522, 99, back, &count, &used) == TAR_MALFORMED);
        CHECK(tar_parse_map("99999\n", 6, 522, 99, back, &count, &used) == TAR_FOREIGN);
}

TEST(the_end_is_two_empty_blocks)
{
        struct wr w = wr_of(buf, sizeof(buf));
        struct tar_entry e;
        size_t used;

        tar_put_end(&w);
        CHECK(tar_parse(buf, w.len, &e, &names, &used) == TAR_END && used == 1024);
        CHECK(tar_parse(buf, 512, &e, &names, &used) == TAR_MORE);
        buf[1023] = 1;
        CHECK(tar_parse(buf, w.len, &e, &names, &used) == TAR_MALFORMED);
}
