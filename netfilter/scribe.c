/* netfilter/scribe.c - one line for each record, in a process of its own. */
#include "netfilter/scribe.h"

#include "base/clock.h"
#include "netfilter/apart.h"

#include <string.h>
#include <sys/socket.h>

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
static bool write_line(struct wr *w)
{
        wr_str(w, "}\n");
        return !w->full && write(APART_OWN, w->buf, w->len) == (ssize_t)w->len;
}

static void write_down(void *argument)
{
        uint64_t start_ms = *(const uint64_t *)argument;
        static struct msg_command m;
        static char line[LINE];
        uint64_t room = SCRIBE_BYTES_MAX, lost = 0;
        ssize_t n;

        while ((n = recv(APART_CHANNEL, &m, sizeof(m), MSG_TRUNC)) != 0) {
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
                if (!write_line(&w))
                        return;
        }
        if (lost) {
                struct wr w = wr_of(line, sizeof(line));

                put_event(&w, now_ms() - start_ms, "work", "commands_lost");
                wr_fmt(&w, ",\"count\":%lu", (unsigned long)lost);
                (void)!write_line(&w);
        }
}

int scribe_start(int journal, uint64_t start_ms)
{
        return apart_start("airlock-scribe", journal, write_down, &start_ms);
}
