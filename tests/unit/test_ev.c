/* tests/unit/test_ev.c - references survive the kernel, timers come when they are due. */
#include "base/ev.h"
#include "tests/unit/unit.h"

#include <sys/epoll.h>

TEST(a_reference_comes_back_whole)
{
        struct ev_ref ref = { .kind = 200, .slot = 0xabcdef, .gen = 0xfffffffe };
        struct epoll_event e;
        int ends[2], ev = ev_open();

        CHECK(ev >= 0 && !pipe(ends));
        CHECK(!ev_add(ev, ends[1], EPOLLOUT, ref));
        CHECK(epoll_wait(ev, &e, 1, 0) == 1);
        struct ev_ref got = ev_ref_of(e.data.u64);

        CHECK(got.kind == ref.kind && got.slot == ref.slot && got.gen == ref.gen);
        CHECK(!ev_change(ev, ends[1], 0, ref) && epoll_wait(ev, &e, 1, 0) == 0);
        ev_remove(ev, ends[1]);
        close(ends[0]);
        CHECK(epoll_wait(ev, &e, 1, 0) == 0);
        close(ends[1]);
        close(ev);
}

TEST(timers_are_due_in_the_order_they_were_armed)
{
        struct ev_queue q;
        struct ev_timer a = { 0 }, b = { 0 };

        ev_queue_init(&q, 100);
        CHECK(ev_wait_ms(&q, 0, -1) == -1 && !ev_due(&q, 1000));
        ev_arm(&q, &a, 1000);
        ev_arm(&q, &b, 1050);
        CHECK(ev_wait_ms(&q, 1000, -1) == 100 && ev_wait_ms(&q, 1000, 30) == 30);
        CHECK(!ev_due(&q, 1099));
        ev_arm(&q, &a, 1060); /* moved behind b */
        CHECK(ev_due(&q, 1160) == &b && ev_due(&q, 1160) == &a && !ev_due(&q, 9999));
}

TEST(a_disarmed_timer_never_comes)
{
        struct ev_queue q;
        struct ev_timer a = { 0 };

        ev_queue_init(&q, 5);
        ev_disarm(&a);
        ev_arm(&q, &a, 0);
        ev_disarm(&a);
        ev_disarm(&a);
        CHECK(!ev_due(&q, 100) && ev_wait_ms(&q, 100, 7) == 7);
}
