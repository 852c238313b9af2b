/* tests/bench/us.h - microseconds, and the median of many: for the benches' programs. */
#ifndef TESTS_BENCH_US_H
#define TESTS_BENCH_US_H

#include <stdlib.h>
#include <time.h>

static inline double us_now(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline int us_compare(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

/* Sorts the @n values at @v. */
static inline double us_median(double *v, int n)
{
        qsort(v, (size_t)n, sizeof(*v), us_compare);
        return v[n / 2];
}

#endif
