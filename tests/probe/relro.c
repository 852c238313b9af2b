/*
 * tests/probe/relro.c - is a table of constant pointers really constant?
 *
 * Exit 0: after confine_relro() the kernel refuses to read(2) into the table (EFAULT).
 * 1: it wrote there. With the argument `before`, the call is left out: what musl does.
 */
#include "base/base.h"
#include "base/confine.h"

#include <errno.h>

static const char *const words[] = { "one", "two", "three", "four" };

int main(int argc, char **argv)
{
        int ends[2];
        const char *const *volatile table = words; /* keeps the table a table */
        uintptr_t where;
        ssize_t n;

        (void)argv;
        if (argc == 1)
                confine_relro();
        if (pipe(ends) < 0 || write(ends[1], "????????", sizeof(char *)) < 0)
                return 2;
        where = (uintptr_t)table;
        n = read(ends[0], (void *)where, sizeof(char *)); /* NOLINT(performance-no-int-to-ptr) */
        return n < 0 && errno == EFAULT ? 0 : 1;
}
