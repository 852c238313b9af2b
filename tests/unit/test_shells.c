/* tests/unit/test_shells.c - which session goes when there is no room, and what is kept. */
#include "agent/shells.h"
#include "tests/unit/unit.h"

#include <string.h>

static struct shells table;
static int owners[2 * SHELLS];

static struct shell *add(unsigned n, void **evicted)
{
        struct shell *s = shells_add(&table, &owners[n], evicted);

        shell_output_add(&s->output, "x", 1);
        return s;
}

static void fill(void)
{
        void *evicted;

        table = (struct shells){ 0 };
        for (unsigned i = 0; i < SHELLS; i++) {
                add(i, &evicted);
                CHECK(!evicted);
        }
}

static void empty(void)
{
        for (unsigned i = 0; i < SHELLS; i++)
                if (table.slots[i].id)
                        shells_drop(&table, &table.slots[i]);
        CHECK(!table.count);
}

TEST(a_full_table_gives_up_the_least_recently_used)
{
        void *evicted;
        struct shell *s;

        fill();
        CHECK(shells_use(&table, 1000)->owner == &owners[0]);
        s = add(SHELLS, &evicted);
        CHECK(evicted == &owners[1] && s->id == 1000 + (int)SHELLS && table.count == SHELLS);
        CHECK(!shells_use(&table, 1001) && shells_use(&table, 1000));
        empty();
}

TEST(those_that_exited_go_first_but_not_the_newest)
{
        void *evicted;

        fill();
        shells_use(&table, 1050)->exited = true;
        for (unsigned i = 0; i < SHELLS_PROTECTED; i++) {
                add(SHELLS + i, &evicted);
                CHECK_ROW(evicted == &owners[i], "1050 is among the newest");
        }
        add(2 * SHELLS - 1, &evicted);
        CHECK(evicted == &owners[50]);
        empty();
}

TEST(no_id_comes_back)
{
        void *evicted;
        struct shell *s;

        table = (struct shells){ 0 };
        s = add(0, &evicted);
        CHECK(s->id == 1000);
        shells_drop(&table, s);
        CHECK(add(1, &evicted)->id == 1001 && !shells_use(&table, 1000) && !shells_use(&table, 0));
        empty();
}

TEST(of_much_output_both_ends_are_kept)
{
        static char piece[3 * SHELL_OUTPUT];
        static const char seam[] = "\n[2097152 bytes were not kept]\n";
        static const size_t steps[] = { 1000, 8192, sizeof(piece) };
        const size_t half = SHELL_OUTPUT / 2;

        for (size_t i = 0; i < sizeof(piece); i++)
                piece[i] = (char)(i * 7919 >> 8);
        for (size_t k = 0; k < COUNT(steps); k++) {
                struct shell_output o = { 0 };
                struct buf out = { 0 };

                for (size_t at = 0; at < sizeof(piece); at += steps[k])
                        shell_output_add(&o, piece + at,
                                         sizeof(piece) - at < steps[k] ? sizeof(piece) - at
                                                                       : steps[k]);
                CHECK(shell_output_drain(&o, &out) == sizeof(piece) - SHELL_OUTPUT);
                CHECK(out.len == SHELL_OUTPUT + strlen(seam));
                CHECK(!memcmp(buf_at(&out), piece, half));
                CHECK(!memcmp(buf_at(&out) + half, seam, strlen(seam)));
                CHECK(!memcmp(buf_at(&out) + out.len - half, piece + sizeof(piece) - half, half));
                out.len = 0;
                CHECK(!shell_output_drain(&o, &out) && !out.len);
                buf_free(&out);
        }
}
