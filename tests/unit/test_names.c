/* tests/unit/test_names.c - an address means one name, or nothing. */
#include "base/wr.h"
#include "netfilter/names.h"
#include "tests/unit/unit.h"

#include <string.h>

static uint32_t address(const char *name, uint64_t now_ms)
{
        return names_address(name, strlen(name), now_ms);
}

static uint32_t numbered(unsigned n, uint64_t now_ms)
{
        char name[32];
        struct wr w = wr_of(name, sizeof(name));

        wr_fmt(&w, "n%u.example", n);
        return names_address(name, w.len, now_ms);
}

TEST(a_name_keeps_its_address_and_the_address_its_name)
{
        names_init();
        uint32_t a = address("a.example", 0), b = address("b.example", 0);

        CHECK(a && b && a != b && names_covers(a) && names_covers(b));
        CHECK(address("a.example", 500000) == a);
        CHECK(!strcmp(names_find(a), "a.example") && !strcmp(names_find(b), "b.example"));
        CHECK(!names_find(a + NAMES_COUNT) && !names_find(0x7f000001) && !names_find(b + 1));
        CHECK(address("a.exampl", 0) != a && address("a.example.", 0) != a);
        CHECK(!address("", 0));
        names_forget();
}

TEST(forgetting_makes_every_address_mean_nothing_and_never_another_name)
{
        names_init();
        uint32_t a = address("a.example", 0);

        names_forget();
        CHECK(!names_find(a));
        uint32_t b = address("b.example", 0);

        CHECK(b != a && !names_find(a) && !strcmp(names_find(b), "b.example"));
        CHECK(address("a.example", 0) != a);
        names_forget();
}

TEST(a_full_table_gives_up_only_what_is_old_and_unused)
{
        names_init();
        uint32_t held = numbered(0, 0), old = numbered(1, 0);

        names_hold(held);
        for (unsigned n = 2; n < NAMES_COUNT - 1; n++)
                CHECK(numbered(n, 1000));
        CHECK(!address("late.example", 2000)); /* all are young */
        uint32_t late = address("late.example", 120000);

        CHECK(late && late != old && !names_find(old));
        CHECK(!strcmp(names_find(late), "late.example"));
        CHECK(!strcmp(names_find(held), "n0.example"));
        CHECK(!address("later.example", 120000)); /* held, and the rest a second younger */
        names_release(held);
        CHECK(address("later.example", 120000) && !names_find(held));
        names_forget();
}
