/* tests/unit/test_arena.c - an arena keeps what was done in it, and then nothing does. */
#include "secrets/age.h"
#include "secrets/arena.h"
#include "secrets/sealed.h"
#include "base/environ.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

struct job {
        uint8_t *on_stack;
        unsigned runs;
        pid_t pid;
};

static void note(void *arg)
{
        struct job *j = arg;
        uint8_t here;

        j->on_stack = &here;
        j->runs++;
        j->pid = getpid();
}

static void end_badly(void *arg)
{
        (void)arg;
        kill(getpid(), SIGKILL); /* raise(3) would ask libc who we are: our parent */
}

TEST(a_call_runs_on_the_arenas_stack_and_shares_our_memory)
{
        for (enum arena_kind kind = ARENA_HIDDEN; kind <= ARENA_ORDINARY; kind++) {
                struct arena a;
                struct job *j;

                CHECK(!arena_open(&a, 5000, kind, ARENA_ORDINARY) && a.kind >= kind);
                j = arena_take(&a, sizeof(*j));
                CHECK(j && !j->runs && (uintptr_t)j % 16 == 0);
                CHECK(!arena_call(&a, note, j) && !arena_call(&a, note, j));
                CHECK(j->runs == 2 && j->pid != getpid());
#ifndef __SANITIZE_ADDRESS__ /* which has a stack of its own for variables */
                CHECK(j->on_stack > a.map && j->on_stack < a.map + a.room);
#endif
                CHECK(arena_call(&a, end_badly, NULL) == -ECHILD);
                CHECK(!arena_take(&a, 100000) && arena_take(&a, 100));
                arena_close(&a);
                CHECK(!a.map);
                arena_close(&a);
                CHECK(!arena_take(&a, 1) && arena_call(&a, note, NULL) == -EINVAL);
        }
}

TEST(a_call_needs_nobodys_sigchld)
{
        struct sigaction ignore = { .sa_handler = SIG_IGN };
        struct sigaction before;
        struct arena a;
        struct job *j;

        CHECK(!sigaction(SIGCHLD, &ignore, &before));
        CHECK(!arena_open(&a, sizeof(*j), ARENA_ORDINARY, ARENA_ORDINARY));
        j = arena_take(&a, sizeof(*j));
        CHECK(!arena_call(&a, note, j) && j->runs == 1);
        arena_close(&a);
        CHECK(!sigaction(SIGCHLD, &before, NULL));
}

TEST(a_variable_is_overwritten_where_it_lies)
{
        char key[] = "AIRLOCK_KEY=value", other[] = "AIRLOCK_KEYS=value", twice[] = "AIRLOCK_KEY=";
        char *env[] = { key, other, twice, NULL };
        static const char zeros[sizeof(key)];

        CHECK(environ_wipe(env, ENVIRON_KEY) == 2);
        CHECK(env[0] == other && !env[1] && !memcmp(key, zeros, sizeof(key)));
        CHECK(!strcmp(other, "AIRLOCK_KEYS=value") && !twice[0]);
}

#ifndef __GLIBC__ /* whose lazy binding saves vector registers on the stack */
/*
 * What the arena is for. BearSSL leaves the payload's key on the stack it ran on: the scan
 * finds it there when that was ours, and not when it was the arena's.
 */
struct opening {
        struct age_header h;
        struct age a;
        enum age_status status;
};

static void begin(void *arg)
{
        static const uint8_t file_key[AGE_FILE_KEY_LEN] = { 1, 2, 3, 4 };
        struct opening *o = arg;

        o->status = age_begin(&o->a, &o->h, file_key);
}

static const uint8_t *header_of(struct wr *w)
{
        static const uint8_t file_key[AGE_FILE_KEY_LEN] = { 1, 2, 3, 4 };
        static const uint8_t nonce[AGE_NONCE_LEN] = { 5 };
        uint8_t recipient[AGE_KEY_LEN] = { 9 };
        struct age a;

        age_put_start(w);
        if (age_put_stanza(w, recipient, recipient, file_key) != AGE_OK)
                return NULL;
        age_put_end(&a, w, file_key, nonce);
        age_wipe(&a);
        return (const uint8_t *)w->buf;
}

/* How often @key lies in the 16 KiB of stack below our caller. */
static __attribute__((noinline)) unsigned on_our_stack(const uint8_t *key)
{
        const volatile uint8_t *here = (const volatile uint8_t *)__builtin_frame_address(0);
        unsigned found = 0;

        for (const volatile uint8_t *p = here - 16384; p < here; p++) {
                size_t same = 0;

                /* 16 bytes: no copy of it all is made to look for it */
                while (same < 16 && p[same] == key[same])
                        same++;
                found += same == 16;
        }
        return found;
}

static __attribute__((noinline)) void clean_stack(void)
{
        uint8_t space[24576];

        explicit_bzero(space, sizeof(space));
}

TEST(what_a_cipher_leaves_behind_is_in_the_arena)
{
        static char text[512];
        static struct opening o;
        struct wr w = wr_of(text, sizeof(text));
        struct opening *inside;
        struct arena a;

        CHECK(header_of(&w) && age_parse(&o.h, text, w.len) == AGE_OK);
        clean_stack();
        begin(&o);
        CHECK(o.status == AGE_OK && on_our_stack(o.a.key));

        CHECK(!arena_open(&a, sizeof(*inside), ARENA_LOCKED, ARENA_ORDINARY));
        inside = arena_take(&a, sizeof(*inside));
        inside->h = o.h;
        clean_stack();
        CHECK(!arena_call(&a, begin, inside) && inside->status == AGE_OK);
        CHECK(!memcmp(inside->a.key, o.a.key, sizeof(o.a.key)));
        CHECK(!on_our_stack(o.a.key));
        arena_close(&a);
}

TEST(half_of_the_stack_is_never_touched)
{
        static const char key[] =
                "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n";
        static char text[512];
        struct wr w = wr_of(text, sizeof(text));
        struct sealed *s;
        struct arena a;
        size_t at = 4096; /* behind the guard page */

        CHECK(header_of(&w));
        CHECK(!arena_open(&a, sizeof(*s), ARENA_ORDINARY, ARENA_ORDINARY));
        s = arena_take(&a, sizeof(*s));
        *s = (struct sealed){ .buf = (uint8_t *)text, .len = w.len, .key = key,
                              .key_len = sizeof(key) - 1 };
        CHECK(!arena_call(&a, sealed_open, s) && s->age == AGE_NOT_FOR_US);
        while (at < a.room && !a.map[at])
                at++;
        CHECK(a.room - at > 500 && a.room - at < (a.room - 4096) / 2);
        arena_close(&a);
}
#endif
