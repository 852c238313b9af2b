/*
 * base/log.h - one line for each event, on stderr; and the ways a program ends.
 *
 * A line is one write(2) of at most LOG_LINE bytes: `airlock: ROLE: LEVEL: TEXT`,
 * with ROLE and LEVEL left out when they say nothing. Bytes that a terminal would
 * obey are shown as \xHH. Nothing here allocates or fails.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/base.h"

#define LOG_LINE 4096

/*
 * Exit statuses of every airlock program. 1 to 125 of a program that airlock
 * started are passed on; the numbers below are airlock's own word on a task.
 */
enum status {
        STATUS_OK = 0,
        STATUS_USAGE = 2,       /* the command line is wrong */
        STATUS_PROVISION = 70,  /* checkout, mounts, runtimes */
        STATUS_SETUP = 71,      /* the setup script failed */
        STATUS_LEAK = 72,       /* setup wrote a secret where the agent could read it */
        STATUS_LOCK = 73,       /* the policy asked for can't be enforced or proved here */
        STATUS_OUTPUT = 74,     /* the results can't be written, or the push was refused */
        STATUS_AGAIN = 75,      /* network or quota: the same task may succeed later */
        STATUS_DEADLINE = 76,   /* the agent ran into its time limit */
        STATUS_KILLED = 77,     /* the engine or the operator stopped the task */
        STATUS_SPEC = 78,       /* the task spec is wrong */
        STATUS_CANNOT_EXEC = 126, /* the command was found and can't be run */
        STATUS_NOT_FOUND = 127,   /* the command was not found */
        STATUS_SIGNAL = 128,      /* + n: the command died of signal n */
};

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Names the program's part in every line from here on; a static string or NULL. */
void log_role(const char *role);

/* Lines below @level are dropped. LOG_INFO at start. */
void log_level(enum log_level level);

/*
 * Lines that stderr has no room for within @ms are dropped. Without this a write waits
 * for ever, which only a process may do that nobody waits for.
 */
void log_patience(int ms);

void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same with `: strerror(err)` behind it; @err is positive. */
void log_errno(enum log_level level, int err, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Logs `fatal: …` and exits with @status at once, without atexit handlers. */
void die(enum status status, const char *fmt, ...) PRINTF_LIKE(2, 3) NORETURN;
void die_errno(enum status status, int err, const char *fmt, ...) PRINTF_LIKE(3, 4) NORETURN;

#endif
