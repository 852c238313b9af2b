/* init/journal.c - the event log of a task. */
#include "init/journal.h"

#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int journal_open(struct journal *j, int file)
{
        j->file = file;
        j->fd = memfd_create("events", MFD_CLOEXEC);
        return j->fd < 0 ? -errno : 0;
}

/* Line by line: killed in the middle of a longer write, we would leave half of one. */
void journal_show(struct journal *j)
{
        char text[8192]; /* no line is longer */

        while (j->file >= 0) {
                ssize_t n = pread(j->fd, text, sizeof(text), j->shown);
                const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;

                if (!end)
                        return;
                n = end + 1 - text;
                if (write_full(j->file, text, (size_t)n) < 0) {
                        j->failed = true;
                        if (ftruncate(j->file, j->shown) < 0)
                                j->file = -1; /* half a line stands: let it be the last */
                        return;
                }
                j->shown += n;
        }
}

void journal_show_in(struct journal *j, int file)
{
        close(j->file);
        j->file = file;
        j->shown = 0;
        journal_show(j);
}

void journal_event(struct journal *j, const char *event, const char *fields, size_t len)
{
        char line[8192];
        struct wr w = wr_of(line, sizeof(line));

        if (j->fd < 0)
                return;
        put_event(&w, now_ms() - j->start_ms, j->phase, event);
        wr_bytes(&w, fields, len);
        wr_str(&w, "}\n");
        if (w.full || write_full(j->fd, line, w.len) < 0)
                j->failed = true;
        journal_show(j);
}

void journal_string(struct journal *j, const char *event, const char *key, const char *value)
{
        char fields[6144];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"%s\":", key);
        wr_json(&w, value, strnlen(value, 900)); /* six bytes each at the worst */
        journal_event(j, event, fields, w.len);
}
