/*
 * secrets/arena.h - the one place where a program keeps what must not be found later.
 *
 * One mapping, sized at its start: a stack for the cryptography and room for keys and
 * plaintext. It stays out of swap and core files where the kernel lets it, and is wiped as a
 * whole. arena_call runs a function on that stack, in a process that shares our memory
 * and nothing else that could keep a copy: what BearSSL leaves behind dies with the arena,
 * and the registers with the process.
 */
#ifndef SECRETS_ARENA_H
#define SECRETS_ARENA_H

#include "base/base.h"

/* What the memory is, the best first. */
enum arena_kind {
        ARENA_HIDDEN,   /* memfd_secret(2): not even the kernel maps it. Shared across fork! */
        ARENA_LOCKED,   /* mlock(2), not in cores; /proc/PID/mem and a scanner see it */
        ARENA_ORDINARY, /* not in cores; may be swapped */
};

struct arena {
        uint8_t *map; /* a page nobody may touch, the stack, then the room */
        size_t map_len;
        size_t room, used; /* offsets in @map */
        enum arena_kind kind;
};

/*
 * Makes an arena with @room bytes to take: of the kind @best, or a lesser one down to
 * @worst. A test that looks for leaks sets @best to ARENA_LOCKED. 0 or -errno, with @a empty.
 */
MUST_USE int arena_open(struct arena *a, size_t room, enum arena_kind best,
                        enum arena_kind worst);

/* @len bytes of zeros, aligned to 16, that live until arena_close; NULL: no room. */
void *arena_take(struct arena *a, size_t len);

/*
 * Runs fn(arg) on the arena's stack and waits for its end. @fn shares all memory but not
 * the registers; it must not fork, and its descriptors and signal dispositions are copies.
 * 0 or -errno; -ECHILD: it was killed.
 */
MUST_USE int arena_call(const struct arena *a, void (*fn)(void *arg), void *arg);

/* Wipes and unmaps. Safe on an arena that is zero or was closed. */
void arena_close(struct arena *a);

#endif
