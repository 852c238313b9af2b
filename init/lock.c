/* init/lock.c - asks airlock-lock, in a child, with a deadline. */
#include "init/lock.h"

#include "base/io.h"
#include "base/log.h"
#include "init/child.h"
#include "init/sig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define RUN_MS 10000
#define END_MS 500 /* from its last word to its end */

const char *lock_name(enum lock lock)
{
        static const char names[LOCK_NAMES][10] = {
                [LOCKED_NOT] = "none",           [LOCKED_NETNS] = "netns",
                [LOCKED_NETFILTER] = "netfilter", [LOCKED_NOTIFY] = "notify",
                [LOCKED_CLOSED] = "closed",
        };

        return lock < LOCK_NAMES ? names[lock] : "?";
}

static NORETURN void child(int program, char *const *argv, int in, int out)
{
        if (in < 0)
                in = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(in, STDIN_FILENO);
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
        sig_child_restore();
        syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
        _exit(STATUS_NOT_FOUND);
}

/* The last line, without its newline and the program's name. */
static void last_line(char *text, size_t len)
{
        static const char name[] = "airlock: lock: error: ";
        char *line = text;

        while (len && text[len - 1] == '\n')
                len--;
        text[len] = '\0';
        if (strrchr(text, '\n'))
                line = strrchr(text, '\n') + 1;
        if (!strncmp(line, name, sizeof(name) - 1))
                line += sizeof(name) - 1;
        memmove(text, line, strlen(line) + 1);
}

/* Until the end of the output, or the deadline. */
static size_t hear(int fd, char *text, size_t cap)
{
        struct pollfd p = { .fd = fd, .events = POLLIN };
        size_t len = 0;
        ssize_t n;

        while (len < cap && poll(&p, 1, RUN_MS) > 0) {
                n = read(fd, text + len, cap - len);
                if (n <= 0)
                        break;
                len += (size_t)n;
        }
        return len;
}

int lock_run(int program, char *const *argv, int in, char why[static LOCK_WHY])
{
        int status = 0;
        int ends[2];
        pid_t pid;

        why[0] = '\0';
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        pid = _Fork();
        if (!pid)
                child(program, argv, in, ends[1]);
        close(ends[1]);
        if (pid < 0) {
                status = -errno;
                close(ends[0]);
                return status;
        }
        last_line(why, hear(ends[0], why, LOCK_WHY - 1));
        close(ends[0]);
        /* Done, or overdue: either way it ends now. A lock that holds has closed its output. */
        status = child_end(pid, END_MS);
        if (WIFEXITED(status) && !WEXITSTATUS(status))
                return 0;
        return WIFEXITED(status) && WEXITSTATUS(status) == STATUS_LOCK ? -EPERM : -EIO;
}

int lock_try(int program, enum lock lock, char why[static LOCK_WHY])
{
        char *argv[] = { (char[]){ "airlock-lock" }, (char[]){ "--try" },
                         (char *)(uintptr_t)lock_name(lock), NULL };

        return lock_run(program, argv, -1, why);
}
