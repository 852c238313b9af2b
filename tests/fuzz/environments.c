/*
 * tests/fuzz/environments.c - a list of places or a URL, whatever it holds: what is taken has ids
 * that differ, and hosts and paths that end no line of HTTP; what is not taken has a sentence.
 */
#include "agent/environments.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look_at(const struct environments *e)
{
        if (e->count > ENVIRONMENTS_MAX || e->default_at < -1 || e->default_at >= (int)e->count)
                abort();
        for (size_t i = 0; i < e->count; i++) {
                const struct environment *v = &e->all[i];

                if (!v->id[0] || v->client || strpbrk(v->id, " \r\n\"\\"))
                        abort();
                for (size_t l = 0; l < i; l++)
                        if (!strcmp(e->all[l].id, v->id))
                                abort();
                if (v->local || v->target.transport == CLIENT_COMMAND)
                        continue;
                if (v->target.transport != CLIENT_TCP || !v->target.at.host[0] ||
                    !v->target.at.port || v->target.at.path[0] != '/' ||
                    strpbrk(v->target.at.host, " \r\n") || strpbrk(v->target.at.path, " \r\n"))
                        abort();
        }
}

static void check(struct environments *e, int r, const char *error)
{
        if ((r < 0) != (error[0] != '\0') || (r < 0 && e->count))
                abort();
        look_at(e);
        environments_close(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static char text[8192];
        char error[ENVIRONMENTS_ERROR];
        struct environments e = { .count = 0 };
        int r;

        if (len >= sizeof(text))
                return 0;
        memcpy(text, data, len);
        text[len] = '\0';
        r = environments_parse(&e, text, len, "/home", error);
        check(&e, r, error);
        memcpy(text, data, len);
        r = environments_from_url(&e, text, error);
        check(&e, r, error);
        return 0;
}
