/* base/clock.c - reads the clocks; writes a date without libc's time zones. */
#include "base/clock.h"

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

void put_event(struct wr *w, uint64_t ms, const char *phase, const char *event)
{
        wr_str(w, "{\"time\":\"");
        put_time(w);
        wr_fmt(w, "\",\"ms\":%lu,\"phase\":\"%s\",\"event\":\"%s\"", (unsigned long)ms, phase,
               event);
}
