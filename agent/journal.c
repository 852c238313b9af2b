/* agent/journal.c - commands that ended, told to whoever keeps the journal. */
#include "agent/journal.h"

#include "agent/job.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

static int channel = -1;

int journal_open(int fd)
{
        struct timeval patience = { .tv_sec = 1 };
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -ENOTSOCK;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
                return -errno;
        channel = fd;
        return 0;
}

static bool is_plain(const char *word)
{
        static const char odd[] = " \t\n\"'\\$`&|;<>()*?[]#~!{}";

        for (const char *c = word; *c; c++)
                if (strchr(odd, *c))
                        return false;
        return *word;
}

static void put_word(struct wr *w, const char *word)
{
        bool plain = is_plain(word);

        if (!plain)
                wr_char(w, '\'');
        for (; *word && !w->full; word++) { /* one by one: what is cut is cut late */
                if (*word == '\'')
                        wr_str(w, "'\\''");
                else
                        wr_char(w, *word);
        }
        if (!plain)
                wr_char(w, '\'');
}

bool journal_words(char *out, size_t cap, char *const *argv)
{
        struct wr w = wr_of(out, cap - 1);

        for (size_t i = 0; argv[i] && !w.full; i++) {
                if (i)
                        wr_char(&w, ' ');
                put_word(&w, argv[i]);
        }
        wr_cstr(&w);
        return !w.full;
}

void journal_begin(struct job *j, char *const *argv, const char *cwd)
{
        struct wr w;

        if (channel < 0)
                return;
        j->told = take_memory(sizeof(*j->told));
        if (!journal_words(j->told->command, sizeof(j->told->command), argv))
                j->told->flags |= COMMAND_CUT;
        w = wr_of(j->told->cwd, sizeof(j->told->cwd) - 1);
        wr_bytes(&w, cwd, strnlen(cwd, sizeof(j->told->cwd) - 1));
        wr_cstr(&w);
}

void journal_end(struct job *j, int err)
{
        static bool said;
        struct msg_command *m = j->told;
        bool exited = j->state == JOB_EXITED || j->state == JOB_CLOSED;

        if (!m)
                return;
        m->took_ms = j->server->now_ms - j->started_ms;
        m->bytes = j->bytes;
        m->exit = err ? err : exited ? j->exit_code : STATUS_SIGNAL + 9;
        m->flags |= (err ? COMMAND_FAILED : 0U) | (j->tty ? COMMAND_TTY : 0U) |
                    (j->sandboxed ? COMMAND_SANDBOXED : 0U) |
                    (!err && (j->killed || !exited) ? COMMAND_ENDED : 0U);
        if (send(channel, m, sizeof(*m), MSG_NOSIGNAL) < 0 && !said) {
                said = true;
                log_errno(LOG_WARN, errno, "a command could not be told to the journal");
        }
        free(m);
        j->told = NULL;
}
