/* tests/unit/unit.c - runs every TEST() and counts. */
#include "tests/unit/unit.h"

#include "base/log.h"
#include "base/wr.h"

#include <dirent.h>
#include <string.h>
#include <sys/mman.h>

static struct unit_test *tests;
static unsigned failures; /* of the test that runs */

struct page_end {
        void *map;
        size_t size;
};
static struct page_end page_ends[4096];
static size_t page_end_count;

void unit_add(struct unit_test *t)
{
        t->next = tests;
        tests = t;
}

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
        char line[1024];
        struct wr w = wr_of(line, sizeof(line));
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        if (write(STDOUT_FILENO, line, w.len) < 0)
                _exit(1);
}

void unit_failed(const char *file, int line, const char *what)
{
        failures++;
        say("%s:%d: %s\n", file, line, what);
}

void *at_page_end(const void *bytes, size_t len)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        size_t size = (len + page - 1) / page * page + page;
        char *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (map == MAP_FAILED || mprotect(map + size, page, PROT_NONE) < 0 ||
            page_end_count == COUNT(page_ends))
                die(STATUS_USAGE, "at_page_end: no memory");
        page_ends[page_end_count++] = (struct page_end){ map, size + page };
        if (len)
                memcpy(map + size - len, bytes, len);
        return map + size - len;
}

static unsigned open_descriptors(void)
{
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        if (!d)
                return 0;
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static bool run_one(const struct unit_test *t)
{
        unsigned before = open_descriptors();

        failures = 0;
        t->run();
        while (page_end_count) {
                page_end_count--;
                munmap(page_ends[page_end_count].map, page_ends[page_end_count].size);
        }
        if (open_descriptors() != before)
                unit_failed(t->file, 0, "descriptors leaked");
        if (failures)
                say("not ok - %s\n", t->name);
        return !failures;
}

int main(void)
{
        unsigned passed = 0;
        unsigned failed = 0;

        for (const struct unit_test *t = tests; t; t = t->next) {
                if (run_one(t))
                        passed++;
                else
                        failed++;
        }
        say("unit: %u passed, %u failed\n", passed, failed);
        return failed ? 1 : 0;
}
