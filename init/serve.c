/* init/serve.c - the exec-server's command line, and the locks that let its clients in. */
#include "init/serve.h"

#include "base/msg.h"
#include "base/wr.h"
#include "init/spec_read.h"

#include <string.h>

#define WORDS_MAX 12

static unsigned bit(enum lock lock)
{
        return 1U << lock;
}

/*
 * netns and closed leave the agent no network to be reached by. A socket in the file system,
 * and a pipe, need none.
 */
unsigned serve_locks(const struct spec *s)
{
        static const enum lock locks[] = {
                [LOCK_NETNS] = LOCKED_NETNS,   [LOCK_NETFILTER] = LOCKED_NETFILTER,
                [LOCK_NOTIFY] = LOCKED_NOTIFY, [LOCK_CLOSED] = LOCKED_CLOSED,
        };
        const char *server = s->agent.exec_server;

        if (s->network.lock != LOCK_AUTO)
                return bit(locks[s->network.lock]);
        if (server && !strncmp(server, "ws:", 3))
                return bit(LOCKED_NETFILTER) | bit(LOCKED_NOTIFY);
        return bit(LOCKED_NETNS) | bit(LOCKED_NETFILTER) | bit(LOCKED_NOTIFY) | bit(LOCKED_CLOSED);
}

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
        size_t n = 0;

        if (!s->agent.exec_server)
                return true;
        if (!words || !idle || !journal)
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
        if (s->agent.token_sha256) {
                words[n++] = "--ws-auth=capability-token";
                words[n++] = "--ws-token-sha256";
                words[n++] = s->agent.token_sha256;
        }
        words[n] = NULL;
        s->agent.command = (struct spec_list){ words, n };
        return true;
}
