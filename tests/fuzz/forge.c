/*
 * tests/fuzz/forge.c - whatever a forge answers, and whatever an agent says.
 *
 * Invariants: what is taken from an answer is a number, open or closed, and an address of
 * printable ASCII; what a list gives is open. A message is printable. An answer of the agent's
 * becomes a text of bounded length, well-formed, without control bytes, pings and comments.
 */
#include "agent/forge.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_pull(const struct forge_pull *p)
{
        if (!p->number || (strcmp(p->state, "open") != 0 && strcmp(p->state, "closed") != 0))
                abort();
        if (*p->url && strncmp(p->url, "http", 4) != 0)
                abort();
        for (const char *c = p->url; *c; c++)
                if (*c <= ' ' || *c > '~')
                        abort();
}

static void check_text(const struct buf *b)
{
        const char *s = buf_at(b);

        if (b->len > FORGE_BODY || utf8_prefix(s, b->len) != b->len || memmem(s, b->len, "<!", 2) ||
            memmem(s, b->len, "&#", 2) || memmem(s, b->len, "&commat", 7))
                abort();
        for (size_t i = 0; i + 1 < b->len; i++) {
                unsigned char next = (unsigned char)(s[i + 1] | 0x20);

                if (((unsigned char)s[i] < ' ' && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f ||
                    (s[i] == '@' && next >= 'a' && next <= 'z'))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *text = (const char *)data;
        struct forge_wish w = { .title = "t", .branch = "b", .base = "m", .owner = "o", .owner_len = 1,
                                .name = "o/n", .name_len = 3, .answer = text, .answer_len = len,
                                .answer_all = len, .start = "1", .commit = "2" };
        char said[FORGE_TEXT];
        struct forge_pull p;
        struct buf b = { 0 };

        if (forge_read(&p, text, len) == FORGE_OK)
                check_pull(&p);
        if (forge_find(&p, &w, text, len) == FORGE_OK) {
                check_pull(&p);
                if (strcmp(p.state, "open") != 0)
                        abort();
        }
        forge_message(said, text, len);
        for (const char *c = said; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        abort();
        forge_put_text(&b, &w);
        check_text(&b);
        buf_free(&b);
        return 0;
}
