/*
 * init/report_main.c - airlock-report: OUT as one page, OUT/report.html.
 *
 * A person runs it after the task, where OUT is. Files in OUT may have been written by the
 * agent: each is opened without following a link, must be a regular file, and is read up to
 * a bound.
 */
#include "base/confine.h"
#include "base/io.h"
#include "base/log.h"
#include "base/wr.h"
#include "init/page.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define SHOWN_MAX ((size_t)4 << 20)   /* of each file */
#define EVENTS_MAX ((size_t)16 << 20) /* of events.ndjson */
#define NAME "report.html"

static const char help[] =
        "usage: airlock report [-o FILE|-] OUT\n"
        "\n"
        "Makes one page of a task's results, OUT/report.html: the outcome, a timeline, what\n"
        "asked for the network and what it was told, the proof of the seal, commands, answer,\n"
        "diff and logs. One file, no script, nothing loaded: it can be mailed or archived.\n"
        "\n"
        "  -o FILE   write it to FILE; - is standard output\n"
        "  --help    this text\n"
        "\n"
        "Exit status: 0; 2 for a wrong command line; 74 when OUT can't be read or FILE not\n"
        "be written.\n";

struct file {
        const char *bytes; /* a mapping, or "" */
        size_t len;
        bool whole, there;
};

static LARGE_BUFFER struct page page;

static void put(void *to, const char *bytes, size_t len)
{
        int r = write_full(*(const int *)to, bytes, len);

        if (r < 0)
                die_errno(STATUS_OUTPUT, -r, "the page can't be written");
}

/*
 * A copy of the file, so that one that shrinks while we read can't hurt; what is no regular
 * file is not there.
 */
static struct file load(int dir, const char *name, size_t max)
{
        struct file f = { "", 0, true, false };
        AUTO_CLOSE int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;
        size_t size;
        ssize_t n;
        char *to;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return f;
        f.there = true;
        size = (uint64_t)st.st_size < max ? (size_t)st.st_size : max;
        if (!size)
                return f;
        to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (to == MAP_FAILED)
                die_errno(STATUS_OUTPUT, errno, "%s", name);
        n = read_full(fd, to, size);
        if (n < 0)
                die_errno(STATUS_OUTPUT, (int)-n, "%s", name);
        f.bytes = to;
        f.len = (size_t)n;
        f.whole = (uint64_t)st.st_size <= max;
        return f;
}

static void put_events(const struct file *f, enum page_part part)
{
        const char *at = f->bytes, *last = f->bytes + f->len;

        page_part_open(&page, part);
        while (at < last) {
                const char *end = memchr(at, '\n', (size_t)(last - at));

                if (!end)
                        end = last;
                page_event(&page, part, at, (size_t)(end - at));
                at = end + 1;
        }
        page_part_close(&page);
}

static void write_page(int dir)
{
        static const struct {
                char name[16];
                enum page_file kind;
        } files[] = {
                { "answer.md", PAGE_TEXT },
                { "changes.diff", PAGE_DIFF },
                { "since-last.diff", PAGE_DIFF },
                { "setup.log", PAGE_TEXT },
                { "agent.log", PAGE_TEXT },
        };
        struct file result = load(dir, "result.json", SHOWN_MAX);
        struct file events = load(dir, "events.ndjson", EVENTS_MAX);

        page_open(&page, result.bytes, result.len);
        for (size_t i = 0; i < COUNT(files); i++) {
                struct file f;

                if (i == 3) /* logs go last: they are the longest */
                        for (unsigned part = 0; part < PAGE_PART_COUNT; part++)
                                put_events(&events, (enum page_part)part);
                f = load(dir, files[i].name, SHOWN_MAX);
                if (f.there)
                        page_file(&page, files[i].name, files[i].kind, f.bytes, f.len, f.whole);
        }
        page_close(&page);
}

/* The page goes over an old one when it is whole: through memory. */
static void write_whole(int out, const char *path)
{
        AUTO_CLOSE int fd = memfd_create("page", MFD_CLOEXEC);
        const char *slash = path ? strrchr(path, '/') : NULL;
        const char *name = slash ? slash + 1 : path ? path : NAME;
        char folder[PATH_MAX] = ".";
        struct stat st;
        void *bytes;
        int dir = out, r;

        if (slash && (size_t)(slash - path) + 2 < sizeof(folder)) {
                memcpy(folder, path, (size_t)(slash - path) + 1);
                folder[slash - path + 1] = '\0';
        }
        if (path)
                dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                die_errno(STATUS_OUTPUT, errno, "%s", folder);
        if (fd < 0)
                die_errno(STATUS_OUTPUT, errno, "memfd_create");
        page.to = &fd;
        write_page(out);
        if (fstat(fd, &st) < 0)
                die_errno(STATUS_OUTPUT, errno, "the page");
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
                die_errno(STATUS_OUTPUT, errno, "the page");
        r = write_file(dir, name, bytes, (size_t)st.st_size);
        if (r < 0)
                die_errno(STATUS_OUTPUT, -r, "%s", path ? path : "OUT/" NAME);
}

static int usage(const char *what, const char *word)
{
        log_line(LOG_ERROR, "report: %s%s (try 'airlock report --help')", what, word);
        return STATUS_USAGE;
}

int main(int argc, char **argv)
{
        const char *path = NULL;
        int i = 1, out, to_stdout = STDOUT_FILENO;

        confine_relro();
        for (; i < argc && argv[i][0] == '-'; i++) {
                if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
                        return write_full(STDOUT_FILENO, help, sizeof(help) - 1) < 0
                                       ? STATUS_OUTPUT
                                       : STATUS_OK;
                if (strcmp(argv[i], "-o") != 0)
                        return usage("unknown option ", argv[i]);
                if (++i == argc)
                        return usage("-o needs a file", "");
                path = argv[i];
        }
        if (i + 1 != argc)
                return usage(i == argc ? "OUT is missing" : "one OUT at a time", "");
        out = open(argv[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (out < 0)
                die_errno(STATUS_OUTPUT, errno, "%s", argv[i]);
        if (faccessat(out, "events.ndjson", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                die(STATUS_OUTPUT, "%s: no events.ndjson in it: this is no task's output",
                    argv[i]);
        page.put = put;
        if (path && !strcmp(path, "-")) {
                page.to = &to_stdout;
                write_page(out);
        } else {
                write_whole(out, path);
        }
        return STATUS_OK;
}
