/* init/journal.c - the event log of a task. */
#include "init/journal.h"

#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void journal_event(struct journal *j, const char *event, const char *fields, size_t len)
{
        char line[8192];
        struct wr w = wr_of(line, sizeof(line));
        struct stat before;

        if (j->fd < 0)
                return;
        put_event(&w, now_ms() - j->start_ms, j->phase, event);
        wr_bytes(&w, fields, len);
        wr_str(&w, "}\n");
        if (w.full || fstat(j->fd, &before) < 0) {
                j->failed = true;
                return;
        }
        if (write_full(j->fd, line, w.len) < 0) {
                j->failed = true;
                if (ftruncate(j->fd, before.st_size) < 0)
                        j->fd = -1; /* half a line stands: let it be the last */
        }
}

void journal_string(struct journal *j, const char *event, const char *key, const char *value)
{
        char fields[6144];
        struct wr w = wr_of(fields, sizeof(fields));

        wr_fmt(&w, ",\"%s\":", key);
        wr_json(&w, value, strnlen(value, 900)); /* six bytes each at the worst */
        journal_event(j, event, fields, w.len);
}
