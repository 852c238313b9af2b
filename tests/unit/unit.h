/*
 * tests/unit/unit.h - a unit test reads like a claim.
 *
 *     TEST(an_empty_list_is_full) { CHECK(list_full(&empty)); }
 *
 * Each test registers itself; unit.c runs them all, compares the open descriptors before
 * and after each, and ends with `N passed, N failed`.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include "base/base.h"

struct unit_test {
        const char *name, *file;
        void (*run)(void);
        struct unit_test *next;
};

void unit_add(struct unit_test *t);
void unit_failed(const char *file, int line, const char *what);

/* A copy of @len bytes that ends where an unmapped page begins; valid until the test ends. */
void *at_page_end(const void *bytes, size_t len);

#define TEST(claim)                                                                    \
        static void claim(void);                                                       \
        __attribute__((constructor)) static void add_##claim(void)                     \
        {                                                                              \
                static struct unit_test t = { #claim, __FILE__, claim, NULL };         \
                unit_add(&t);                                                          \
        }                                                                              \
        static void claim(void)

#define CHECK(condition)                                                               \
        do {                                                                           \
                if (!(condition))                                                      \
                        unit_failed(__FILE__, __LINE__, #condition);                   \
        } while (0)

/* The same for a row of a table: @why names the row. */
#define CHECK_ROW(condition, why)                                                      \
        do {                                                                           \
                if (!(condition))                                                      \
                        unit_failed(__FILE__, __LINE__, why);                          \
        } while (0)

#endif
