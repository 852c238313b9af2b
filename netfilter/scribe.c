/* netfilter/scribe.c - one line for each record, in a process of its own. */
#include "netfilter/scribe.h"

#include "base/clock.h"
#include "base/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LINE 12288 /* six bytes for each of a record at the worst */

static void put_text(struct wr *w, const char *key, const char *text, size_t cap)
{
        wr_fmt(w, ",\"%s\":", key);
        wr_json(w, text, strnlen(text, cap));
}

void scribe_put(struct wr *w, const struct msg_command *m)
{
        static const struct {
                uint32_t flag;
                char name[10];
        } flags[] = {
                { COMMAND_CUT, "cut" },
                { COMMAND_TTY, "tty" },
                { COMMAND_SANDBOXED, "sandboxed" },
                { COMMAND_ENDED, "ended" },
        };

        put_text(w, "command", m->command, sizeof(m->command));
        put_text(w, "cwd", m->cwd, sizeof(m->cwd));
        if (m->flags & COMMAND_FAILED)
                wr_fmt(w, ",\"exit\":null,\"errno\":%d", m->exit);
        else
                wr_fmt(w, ",\"exit\":%d", m->exit);
        wr_fmt(w, ",\"took_ms\":%lu,\"bytes\":%lu", (unsigned long)m->took_ms,
               (unsigned long)m->bytes);
        for (size_t i = 0; i < COUNT(flags); i++) {
                if (m->flags & flags[i].flag)
                        wr_fmt(w, ",\"%s\":true", flags[i].name);
        }
}

/* False: the line is not in the journal, and half of one may be. */
static bool write_line(int journal, struct wr *w)
{
        wr_str(w, "}\n");
        return !w->full && write(journal, w->buf, w->len) == (ssize_t)w->len;
}

static NORETURN void scribe(int channel, int journal, uint64_t start_ms)
{
        static struct msg_command m;
        static char line[LINE];
        uint64_t room = SCRIBE_BYTES_MAX, lost = 0;
        ssize_t n;

        while ((n = recv(channel, &m, sizeof(m), MSG_TRUNC)) != 0) {
                struct wr w = wr_of(line, sizeof(line));

                if (n != (ssize_t)sizeof(m))
                        break; /* not one of ours: the end of its sender's story */
                put_event(&w, now_ms() - start_ms, "work", "command");
                scribe_put(&w, &m);
                if (w.len > room) {
                        lost++;
                        continue;
                }
                room -= w.len;
                if (!write_line(journal, &w))
                        _exit(1);
        }
        if (lost) {
                struct wr w = wr_of(line, sizeof(line));

                put_event(&w, now_ms() - start_ms, "work", "commands_lost");
                wr_fmt(&w, ",\"count\":%lu", (unsigned long)lost);
                (void)!write_line(journal, &w);
        }
        _exit(0);
}

/* Only these two are left open, as 3 and 4. */
static void keep_two(int *channel, int *journal)
{
        int a = fcntl(*channel, F_DUPFD_CLOEXEC, 10), b = fcntl(*journal, F_DUPFD_CLOEXEC, 10);

        if (a < 0 || b < 0 || dup2(a, 3) < 0 || dup2(b, 4) < 0 ||
            syscall(SYS_close_range, 5U, ~0U, 0U) < 0)
                _exit(1);
        close(STDIN_FILENO);
        close(STDOUT_FILENO); /* whoever reads these waits for their end */
        close(STDERR_FILENO);
        *channel = 3;
        *journal = 4;
}

static NORETURN void become_scribe(int channel, int journal, uint64_t start_ms)
{
        static const struct confine nothing = { .no_new_privs = true };
        const char *stage;
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        setsid();
        prctl(PR_SET_NAME, "airlock-scribe", 0, 0, 0);
        keep_two(&channel, &journal);
        if (confine_apply(&nothing, &stage) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                _exit(1);
        scribe(channel, journal, start_ms);
}

int scribe_start(int journal, uint64_t start_ms)
{
        int ends[2], status = 0;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
                return -errno;
        pid = _Fork();
        if (!pid) { /* a grandchild: whoever the command waits for, it is not the scribe */
                pid = _Fork();
                if (!pid)
                        become_scribe(ends[1], journal, start_ms);
                _exit(pid < 0);
        }
        close(ends[1]);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (pid > 0 && !status)
                return ends[0];
        close(ends[0]);
        return -EAGAIN;
}
