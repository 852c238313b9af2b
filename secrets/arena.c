/* secrets/arena.c - locked memory with a stack in it. */
#include "secrets/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* the same everywhere; Linux 5.14 */
#endif

#define STACK (32UL * 1024) /* sealed_open takes 3 KiB of it */
#define GUARD 4096UL

/* Over the reserved range, behind its guard page. 0 or -errno. */
static int map_hidden(uint8_t *at, size_t len)
{
        AUTO_CLOSE int fd = (int)syscall(SYS_memfd_secret, (unsigned)O_CLOEXEC);

        if (fd < 0 || ftruncate(fd, (off_t)len) < 0)
                return -errno;
        /* Populated now: a page that can't be had later would be a SIGBUS. */
        if (mmap(at, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0) ==
            MAP_FAILED)
                return -errno;
        return 0;
}

static int map_private(uint8_t *at, size_t len, bool locked)
{
        if (mmap(at, len, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
                return -errno;
        if (madvise(at, len, MADV_DONTDUMP) < 0)
                return -errno;
        return locked && mlock(at, len) < 0 ? -errno : 0;
}

static int map_kind(uint8_t *at, size_t len, enum arena_kind kind)
{
        switch (kind) {
        case ARENA_HIDDEN:
                return map_hidden(at, len);
        case ARENA_LOCKED:
                return map_private(at, len, true);
        case ARENA_ORDINARY:
                return map_private(at, len, false);
        }
        return -EINVAL;
}

int arena_open(struct arena *a, size_t room, enum arena_kind best, enum arena_kind worst)
{
        size_t page = getauxval(AT_PAGESZ);
        size_t guard = (GUARD + page - 1) / page * page;
        size_t body = (STACK + room + page - 1) / page * page;
        void *map = mmap(NULL, guard + body, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int r = -EINVAL;

        *a = (struct arena){ 0 };
        if (map == MAP_FAILED)
                return -errno;
        for (enum arena_kind kind = best; kind <= worst; kind++) {
                r = map_kind((uint8_t *)map + guard, body, kind);
                a->kind = kind;
                if (!r)
                        break;
        }
        if (r) {
                munmap(map, guard + body);
                *a = (struct arena){ 0 };
                return r;
        }
        a->map = map;
        a->map_len = guard + body;
        a->room = a->used = guard + STACK;
        return 0;
}

void *arena_take(struct arena *a, size_t len)
{
        size_t at = (a->used + 15) & ~(size_t)15;

        if (!a->map || at > a->map_len || len > a->map_len - at)
                return NULL;
        a->used = at + len;
        return a->map + at;
}

struct call {
        void (*fn)(void *arg);
        void *arg;
        bool done;
};

static int run_call(void *p)
{
        struct call *c = p;

        c->fn(c->arg);
        c->done = true;
        return 0; /* clone(2): becomes _exit */
}

int arena_call(const struct arena *a, void (*fn)(void *arg), void *arg)
{
        struct call c = { fn, arg, false };
        int status = 0;
        pid_t pid;

        if (!a->map)
                return -EINVAL;
        /* No signal at its end: the caller's SIGCHLD is about other children. */
        pid = clone(run_call, a->map + a->room, CLONE_VM | CLONE_VFORK, &c);
        if (pid < 0)
                return -errno;
        while (waitpid(pid, &status, __WALL) < 0)
                if (errno != EINTR)
                        return -errno;
        return c.done ? 0 : -ECHILD;
}

void arena_close(struct arena *a)
{
        if (a->map) {
                uint8_t *body = a->map;
                size_t page = getauxval(AT_PAGESZ);
                size_t guard = (GUARD + page - 1) / page * page;

                explicit_bzero(body + guard, a->map_len - guard);
                munmap(a->map, a->map_len);
        }
        *a = (struct arena){ 0 };
}
