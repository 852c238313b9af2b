/* netfilter/probe.c - tries every way out, as the command would. */
#include "netfilter/probe.h"

#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "netfilter/probe_tries.h"

#include <errno.h>
#include <string.h>

static void report(struct probe *p, bool ok, const char *name, const struct wr *detail)
{
        char line[256];
        struct wr w = wr_of(line, sizeof(line));

        p->leaks += !ok;
        if (ok && p->quiet)
                return;
        wr_fmt(&w, "%s %s ", ok ? "ok" : "LEAK", name);
        wr_plain(&w, detail->buf, detail->len);
        if (w.len == sizeof(line))
                w.len--;
        line[w.len++] = '\n';
        if (write_full(p->quiet ? STDERR_FILENO : STDOUT_FILENO, line, w.len) < 0)
                p->leaks++; /* a proof that nobody can read is none */
}

static bool read_pid(struct probe *p, const char *text)
{
        unsigned n = 0;

        for (; text && *text >= '0' && *text <= '9' && n < 100000000; text++)
                n = n * 10 + (unsigned)(*text - '0');
        if (!text || *text || !n || p->pid_count == PROBE_PIDS_MAX)
                return false;
        p->pids[p->pid_count++] = (int)n;
        return true;
}

static bool parse(struct probe *p, char **argv)
{
        if (!strcmp(argv[0], "off"))
                p->off = true;
        else if (strcmp(argv[0], "limited") != 0 && strcmp(argv[0], "full") != 0)
                return false;
        while (*++argv) {
                if (!strcmp(*argv, "--quiet"))
                        p->quiet = true;
                else if (strcmp(*argv, "--pid") != 0 || !read_pid(p, *++argv))
                        return false;
        }
        return true;
}

int probe_main(char **argv)
{
        static struct probe p;

        if (!parse(&p, argv)) {
                log_line(LOG_ERROR, "--probe off|limited|full [--quiet] [--pid PID]…");
                return STATUS_USAGE;
        }
        probe_look_around(&p);
        for (size_t i = 0; i < probe_try_count; i++) {
                char text[160];
                struct wr detail = wr_of(text, sizeof(text));
                bool ok = probe_tries[i].run(&p, probe_tries[i].argument, &detail);

                report(&p, ok, probe_tries[i].name, &detail);
        }
        return p.leaks ? STATUS_LOCK : STATUS_OK;
}
