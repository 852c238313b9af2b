/* init/journal.c - the event log of a task. */
#include "init/journal.h"

#include "base/io.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

uint64_t now_ms(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void put_padded(struct wr *w, unsigned n, unsigned digits)
{
        for (unsigned unit = digits == 3 ? 100 : digits == 4 ? 1000 : 10; unit; unit /= 10)
                wr_char(w, (char)('0' + n / unit % 10));
}

/*
 * gmtime_r(3) would bring the time zone reader and an allocator into PID 1. Days to a
 * date by years that begin in March, so that the leap day is the last: the Gregorian
 * calendar repeats every 400 years, 146097 days.
 */
static void put_date(struct wr *w, uint64_t days)
{
        uint64_t d = days + 719468; /* since 0000-03-01 */
        unsigned era = (unsigned)(d / 146097);
        unsigned of_era = (unsigned)(d % 146097);
        unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
        unsigned month = (5 * of_year + 2) / 153; /* 0 is March */

        put_padded(w, era * 400 + year + (month >= 10), 4);
        wr_char(w, '-');
        put_padded(w, month < 10 ? month + 3 : month - 9, 2);
        wr_char(w, '-');
        put_padded(w, of_year - (153 * month + 2) / 5 + 1, 2);
}

void put_time(struct wr *w)
{
        struct timespec t;
        uint64_t s;

        clock_gettime(CLOCK_REALTIME, &t);
        s = (uint64_t)t.tv_sec;
        put_date(w, s / 86400);
        wr_char(w, 'T');
        put_padded(w, (unsigned)(s / 3600 % 24), 2);
        wr_char(w, ':');
        put_padded(w, (unsigned)(s / 60 % 60), 2);
        wr_char(w, ':');
        put_padded(w, (unsigned)(s % 60), 2);
        wr_char(w, '.');
        put_padded(w, (unsigned)(t.tv_nsec / 1000000), 3);
        wr_char(w, 'Z');
}

void journal_event(struct journal *j, const char *event, const char *fields, size_t len)
{
        char line[8192];
        struct wr w = wr_of(line, sizeof(line));
        struct stat before;

        if (j->fd < 0)
                return;
        wr_str(&w, "{\"time\":\"");
        put_time(&w);
        wr_fmt(&w, "\",\"ms\":%lu,\"phase\":\"%s\",\"event\":\"%s\"",
               (unsigned long)(now_ms() - j->start_ms), j->phase, event);
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
