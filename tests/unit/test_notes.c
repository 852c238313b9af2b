/* tests/unit/test_notes.c - notes about sockets: found while there, the oldest goes first. */
#include "netfilter/notes.h"
#include "tests/unit/unit.h"

static struct notes notes;
static struct note gone;

TEST(a_note_is_found_until_it_is_dropped)
{
        notes_init(&notes, 4);
        CHECK(!notes_find(&notes, 7));
        notes_add(&notes, 7, &gone)->fd = 3;
        CHECK(!gone.inode && notes_find(&notes, 7) && notes_find(&notes, 7)->fd == 3);
        notes_drop(&notes, notes_find(&notes, 7));
        CHECK(!notes_find(&notes, 7));
}

TEST(the_least_recently_used_note_makes_room)
{
        notes_init(&notes, 3);
        for (uint64_t i = 1; i <= 3; i++)
                notes_add(&notes, i, &gone)->fd = (int)i;
        CHECK(notes_find(&notes, 1) != NULL); /* 2 is the oldest now */
        notes_add(&notes, 4, &gone);
        CHECK(gone.inode == 2 && gone.fd == 2);
        CHECK(!notes_find(&notes, 2) && notes_find(&notes, 1));
        CHECK(notes_find(&notes, 3) && notes_find(&notes, 4));
}

TEST(notes_of_one_hash_do_not_hide_each_other)
{
        notes_init(&notes, NOTES_MAX);
        for (uint64_t i = 0; i < 8; i++)
                notes_add(&notes, 5 + i * NOTES_MAX, &gone);
        notes_drop(&notes, notes_find(&notes, 5 + 3 * NOTES_MAX));
        for (uint64_t i = 0; i < 8; i++)
                CHECK(!notes_find(&notes, 5 + i * NOTES_MAX) == (i == 3));
}

/* A plain array says what the table must say, over many random steps. */
TEST(the_table_agrees_with_a_list_by_age)
{
        uint64_t age[16] = { 0 }, seed = 1; /* age[0] is the newest */

        notes_init(&notes, COUNT(age));
        for (unsigned step = 0; step < 20000; step++) {
                uint64_t inode, rnd = seed = seed * 6364136223846793005U + 1;
                struct note *n;
                unsigned at = 0;

                inode = 1 + (rnd >> 40) % 40 * NOTES_MAX / 2;
                while (at < COUNT(age) && age[at] != inode)
                        at++;
                n = notes_find(&notes, inode);
                CHECK(!n == (at == COUNT(age)));
                if (n && (rnd >> 60) == 0) {
                        notes_drop(&notes, n);
                        for (; at + 1 < COUNT(age); at++)
                                age[at] = age[at + 1];
                        age[COUNT(age) - 1] = 0;
                        continue;
                }
                if (!n) {
                        uint64_t last = age[COUNT(age) - 1];

                        notes_add(&notes, inode, &gone);
                        CHECK(gone.inode == last);
                        at = COUNT(age) - 1;
                }
                for (; at; at--)
                        age[at] = age[at - 1];
                age[0] = inode;
        }
}
