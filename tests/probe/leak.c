/*
 * tests/probe/leak.c - the leak scan by itself, for its tests and its bench.
 *
 *     probe_leak VARS ROOT [SINCE_S [report|remove [ALLOWED…]]]
 *
 * VARS is a plain file of secrets. Prints `hit PATH SECRET ENCODING PLACE FATE` for each
 * finding, `skip PATH WHY`, and a line of totals.
 */
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "secrets/leak.h"
#include "secrets/vars.h"

#include <stdlib.h>
#include <string.h>
#include <fcntl.h>

#define LIST NEEDLE_MAX_COUNT

static struct vars vars;
static char source[VARS_TEXT], text[VARS_TEXT + 1];
static struct needle list[LIST];
static struct needles needles;
static uint64_t room[524288];
static struct search search;
static struct look look;

static void say(const char *fmt, ...) PRINTF_LIKE(1, 2);
static void say(const char *fmt, ...)
{
        static char line[2 * LEAK_PATH];
        struct wr w = wr_of(line, sizeof(line));
        va_list ap;

        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        if (write_full(STDOUT_FILENO, line, w.len) < 0)
                die(STATUS_OUTPUT, "write");
}

static void hit(struct leak *l, const struct leak_hit *h)
{
        static const char *const fates[] = { "stays", "allowed", "removed", "in-the-way" };

        (void)l;
        for (size_t i = 0; i < h->count; i++) {
                const struct var *e = &vars.list[h->found[i].secret];

                say("hit %s %.*s %s %s %s\n", h->path, (int)e->name_len, vars_name(&vars, e),
                    encoding_str((enum encoding)h->found[i].encoding),
                    h->found[i].place ? place_str((enum place)h->found[i].place) : "file",
                    fates[h->fate]);
        }
}

static void skipped(struct leak *l, const char *path, const char *why, int error)
{
        (void)l;
        say("skip %s %s%s%s\n", path, why, error ? ": " : "", error ? strerror(error) : "");
}

int main(int argc, char **argv)
{
        struct leak l = { .look = &look, .hit = hit, .skipped = skipped };
        uint64_t start;
        ssize_t n = argc < 3 ? -1 : read_file(AT_FDCWD, argv[1], source, sizeof(source));

        if (n < 0 || vars_parse(&vars, source, (size_t)n, text, sizeof(text)) != VARS_OK)
                die(STATUS_USAGE, "probe_leak VARS ROOT [SINCE [report|remove [ALLOWED…]]]");
        needles_init(&needles, text, list, LIST);
        for (uint16_t i = 0; i < vars.count; i++)
                needles_add(&needles, i, vars.list[i].at + vars.list[i].name_len + 1,
                            vars.list[i].value_len);
        search_init(&search, &needles, room);
        look_init(&look, &search);
        l.since_s = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
        l.act = argc > 4 && !strcmp(argv[4], "remove") ? LEAK_REMOVE : LEAK_REPORT;
        l.allow = argc > 5 ? (const char *const *)(uintptr_t)(argv + 5) : NULL;
        l.allow_count = argc > 5 ? (size_t)argc - 5 : 0;
        start = now_ms();
        if (leak_walk(&l, argv[2]) < 0)
                die(STATUS_USAGE, "%s can't be opened", argv[2]);
        if (!strcmp(argv[2], "/"))
                leak_ipc(&l);
        say("searched %lu of %lu files, %lu bytes, in %lu ms: %u hits, %u stay, %u skipped\n",
            (unsigned long)l.searched, (unsigned long)l.seen, (unsigned long)look.bytes,
            (unsigned long)(now_ms() - start), l.hits, l.stay, l.skips);
        return l.stay ? STATUS_LEAK : 0;
}
