/* base/ev.c - epoll by reference, and queues of timers. */
#include "base/ev.h"

#include <errno.h>
#include <sys/epoll.h>

int ev_open(void)
{
        int fd = epoll_create1(EPOLL_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int control(int ev, int op, int fd, uint32_t events, struct ev_ref ref)
{
        struct epoll_event e = { .events = events };

        e.data.u64 = (uint64_t)ref.gen << 32 | (uint64_t)ref.kind << 24 | (ref.slot & 0xffffff);
        return epoll_ctl(ev, op, fd, &e) < 0 ? -errno : 0;
}

int ev_add(int ev, int fd, uint32_t events, struct ev_ref ref)
{
        return control(ev, EPOLL_CTL_ADD, fd, events, ref);
}

int ev_change(int ev, int fd, uint32_t events, struct ev_ref ref)
{
        return control(ev, EPOLL_CTL_MOD, fd, events, ref);
}

void ev_remove(int ev, int fd)
{
        epoll_ctl(ev, EPOLL_CTL_DEL, fd, NULL);
}

struct ev_ref ev_ref_of(uint64_t data)
{
        return (struct ev_ref){ .gen = (uint32_t)(data >> 32),
                                .kind = (uint8_t)(data >> 24),
                                .slot = (uint32_t)(data & 0xffffff) };
}

void ev_queue_init(struct ev_queue *q, uint32_t span_ms)
{
        q->all.next = &q->all;
        q->all.prev = &q->all;
        q->span_ms = span_ms;
}

void ev_disarm(struct ev_timer *t)
{
        if (!t->next)
                return;
        t->prev->next = t->next;
        t->next->prev = t->prev;
        t->next = NULL;
        t->prev = NULL;
}

void ev_arm(struct ev_queue *q, struct ev_timer *t, uint64_t now_ms)
{
        ev_disarm(t);
        t->due_ms = now_ms + q->span_ms;
        t->prev = q->all.prev;
        t->next = &q->all;
        q->all.prev->next = t;
        q->all.prev = t;
}

struct ev_timer *ev_due(struct ev_queue *q, uint64_t now_ms)
{
        struct ev_timer *t = q->all.next;

        if (t == &q->all || t->due_ms > now_ms)
                return NULL;
        ev_disarm(t);
        return t;
}

int ev_wait_ms(const struct ev_queue *q, uint64_t now_ms, int at_most)
{
        const struct ev_timer *t = q->all.next;
        uint64_t left;

        if (t == &q->all)
                return at_most;
        left = t->due_ms > now_ms ? t->due_ms - now_ms : 0;
        return at_most < 0 || left < (uint64_t)at_most ? (int)left : at_most;
}
