/* tests/unit/test_sum.c - what is not the same file has not the same sum. */
#include "base/io.h"
#include "base/sum.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static uint64_t words[3 * SUM_WORDS];

/* Of the first @len bytes of @words, which are not touched. */
static void sum_of(size_t len, char *hex)
{
        static uint64_t last[SUM_WORDS];
        struct sum_state s;
        size_t whole = len / SUM_BLOCK;

        memcpy(last, words + whole * SUM_WORDS, len % SUM_BLOCK);
        sum_init(&s);
        sum_blocks(&s, words, whole);
        sum_last(&s, last, len % SUM_BLOCK, hex);
}

static void fill(void)
{
        for (size_t i = 0; i < sizeof(words); i++)
                ((uint8_t *)words)[i] = (uint8_t)(i % 251);
}

/* From the second writing of it, in tests/e2e/cachelab.py. */
TEST(the_sum_is_what_its_header_says)
{
        static const struct {
                size_t len;
                const char *hex;
        } rows[] = {
                { 0, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc" },
                { 4095, "1bfa78b1efac71b626c2c3de6e601e51980c2e6f85f27f00743a927651e9fb5d" },
                { 4096, "773f2ee65fe79c57d13b1d8feebe7f9179bca550642aa2d7296b87bcebaba3e5" },
                { 10000, "64b5098c2cea085957ea4dfd460dcfa99f1b5e2740fc51c7a3b5ef64d5c74cd9" },
        };
        char hex[SHA256_HEX];

        fill();
        for (size_t i = 0; i < COUNT(rows); i++) {
                sum_of(rows[i].len, hex);
                CHECK_ROW(!strcmp(hex, rows[i].hex), hex);
        }
}

TEST(any_flipped_bit_changes_the_sum)
{
        char was[SHA256_HEX], now[SHA256_HEX];

        fill();
        sum_of(SUM_BLOCK + 100, was);
        for (size_t bit = 0; bit < 8 * (SUM_BLOCK + 100); bit += 7) {
                uint8_t *byte = (uint8_t *)words + bit / 8;

                *byte ^= (uint8_t)BIT(bit % 8);
                sum_of(SUM_BLOCK + 100, now);
                CHECK(strcmp(was, now) != 0);
                *byte ^= (uint8_t)BIT(bit % 8);
        }
}

TEST(any_two_words_or_blocks_that_change_places_change_the_sum)
{
        char was[SHA256_HEX], now[SHA256_HEX];

        fill();
        sum_of(2 * SUM_BLOCK, was);
        for (size_t i = 0; i + 1 < 2 * SUM_WORDS; i++) {
                uint64_t w = words[i];

                words[i] = words[i + 1];
                words[i + 1] = w;
                sum_of(2 * SUM_BLOCK, now);
                CHECK(strcmp(was, now) != 0);
                words[i + 1] = words[i];
                words[i] = w;
        }
        memcpy(words + 2 * SUM_WORDS, words, SUM_BLOCK);
        memmove(words, words + SUM_WORDS, (size_t)2 * SUM_BLOCK);
        sum_of(2 * SUM_BLOCK, now);
        CHECK(strcmp(was, now) != 0);
}

TEST(zeros_at_the_end_count)
{
        char was[SHA256_HEX] = "", now[SHA256_HEX];

        memset(words, 0, sizeof(words));
        for (size_t len = 0; len <= 2 * SUM_BLOCK + 1; len++) {
                sum_of(len, now);
                CHECK(strcmp(was, now) != 0);
                memcpy(was, now, sizeof(was));
        }
}

TEST(the_child_has_the_same_sum_however_the_file_was_told)
{
        static const size_t steps[] = { 1, 511, 4096, 4097, 10000 };
        AUTO_CLOSE int fd = memfd_create("file", MFD_CLOEXEC);
        char whole[SHA256_HEX], told[SHA256_HEX];

        fill();
        CHECK(!write_full(fd, words, sizeof(words)));
        sum_of(sizeof(words), whole);
        for (size_t i = 0; i < COUNT(steps); i++) {
                struct sum s;

                CHECK(!sum_start(&s, fd));
                for (size_t at = steps[i]; at < sizeof(words); at += steps[i])
                        sum_tell(&s, at);
                sum_tell(&s, sizeof(words));
                CHECK(!sum_end(&s, told) && !strcmp(whole, told));
        }
}

TEST(of_a_file_that_is_shorter_than_was_told_there_is_no_sum)
{
        AUTO_CLOSE int fd = memfd_create("file", MFD_CLOEXEC);
        char hex[SHA256_HEX];
        struct sum s;

        CHECK(!ftruncate(fd, 5000) && !sum_start(&s, fd));
        sum_tell(&s, 5001);
        CHECK(sum_end(&s, hex) == -EIO);
}
