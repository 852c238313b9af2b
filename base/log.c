/* base/log.c - log lines and fatal ends. */
#include "base/log.h"

#include "base/wr.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

static const char *the_role;
static enum log_level the_level = LOG_INFO;
static int the_patience = -1; /* ms; poll(2)'s "for ever" */

void log_role(const char *role)
{
        the_role = role;
}

void log_patience(int ms)
{
        the_patience = ms;
}

void log_level(enum log_level level)
{
        the_level = level;
}

static void put_line(const char *word, int err, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
static void put_line(const char *word, int err, const char *fmt, va_list ap)
{
        char text[LOG_LINE / 2];
        char line[LOG_LINE];
        struct wr t = wr_of(text, sizeof(text));
        struct wr w = wr_of(line, sizeof(line) - 1); /* one for the newline */
        int saved = errno;

        wr_vfmt(&t, fmt, ap);
        if (err) {
                wr_str(&t, ": ");
                wr_str(&t, strerror(err));
        }
        wr_str(&w, "airlock: ");
        if (the_role)
                wr_fmt(&w, "%s: ", the_role);
        if (word)
                wr_fmt(&w, "%s: ", word);
        wr_plain(&w, text, t.len);
        line[w.len++] = '\n';
        if (the_patience >= 0 &&
            poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, the_patience) == 0)
                return;
        /* A log that can't be written has nobody to tell. */
        if (write(STDERR_FILENO, line, w.len) < 0)
                errno = saved;
        errno = saved;
}

static const char *level_word(enum log_level level)
{
        switch (level) {
        case LOG_DEBUG:
                return "debug";
        case LOG_INFO:
                return NULL;
        case LOG_WARN:
                return "warning";
        case LOG_ERROR:
                return "error";
        }
        return NULL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
        va_list ap;

        if (level < the_level)
                return;
        va_start(ap, fmt);
        put_line(level_word(level), 0, fmt, ap);
        va_end(ap);
}

void log_errno(enum log_level level, int err, const char *fmt, ...)
{
        va_list ap;

        if (level < the_level)
                return;
        va_start(ap, fmt);
        put_line(level_word(level), err, fmt, ap);
        va_end(ap);
}

void die(enum status status, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        put_line("fatal", 0, fmt, ap);
        va_end(ap);
        _exit((int)status);
}

void die_errno(enum status status, int err, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        put_line("fatal", err, fmt, ap);
        va_end(ap);
        _exit((int)status);
}
