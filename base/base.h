/*
 * base/base.h - the few macros that every file may use, and nothing else.
 */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BIT(n) (1U << (n))
#define MUST_USE __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* For the few loops that every byte passes through: speed over size. Clang has no such thing. */
#ifdef __clang__
#define OPTIMIZE(level)
#else
#define OPTIMIZE(level) __attribute__((optimize(level)))
#endif

/* Ends the program at once where going on would be worse. assert(3) brings printf along. */
static inline void must_hold(bool condition)
{
        if (!condition)
                __builtin_trap();
}

/*
 * A static buffer so large that most programs never touch all of it. It goes behind every
 * small variable, so that an idle init dirties no page for its sake.
 */
#define LARGE_BUFFER __attribute__((section(".bss.zz_large")))

/* A descriptor that closes itself when its name goes out of scope; -1 is none. */
static inline void auto_close(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}
#define AUTO_CLOSE __attribute__((cleanup(auto_close)))

/* Gives the descriptor away: the caller owns it, @fd forgets it. */
static inline int fd_take(int *fd)
{
        int taken = *fd;

        *fd = -1;
        return taken;
}

#endif
