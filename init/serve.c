/* init/serve.c - the exec-server's command line. */
#include "init/serve.h"

#include "base/msg.h"
#include "base/wr.h"
#include "init/spec_read.h"

#include <string.h>

#define WORDS_MAX 16

static const char *number(struct spec *s, uint64_t n)
{
        char *text = spec_arena_take(s->arena, 24, 1);
        struct wr w = wr_of(text, 23);

        if (!text)
                return NULL;
        wr_u64(&w, n);
        return wr_cstr(&w);
}

bool serve_command(struct spec *s)
{
        const char **words = spec_arena_take(s->arena, WORDS_MAX * sizeof(*words), 8);
        const char *idle = number(s, s->agent.idle_s), *journal = number(s, JOURNAL_FD);
        const char *porch = number(s, PORCH_FD);
        size_t n = 0;

        if (!s->agent.exec_server)
                return true;
        if (!words || !idle || !journal || !porch)
                return false;
        words[n++] = "airlock-exec";
        words[n++] = "--listen";
        words[n++] = s->agent.exec_server;
        words[n++] = "--journal-fd";
        words[n++] = journal;
        if (strcmp(s->agent.exec_server, "stdio") != 0) {
                words[n++] = "--idle-exit";
                words[n++] = idle;
        }
        if (!strncmp(s->agent.exec_server, "ws:", 3)) {
                words[n++] = "--porch-fd";
                words[n++] = porch;
        }
        if (s->agent.token_sha256) {
                words[n++] = "--ws-auth=capability-token";
                words[n++] = "--ws-token-sha256";
                words[n++] = s->agent.token_sha256;
        }
        words[n] = NULL;
        s->agent.command = (struct spec_list){ words, n };
        return true;
}
