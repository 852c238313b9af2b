/* agent/quote.c - single quotes, where a word needs them. */
#include "agent/quote.h"

#include <string.h>

void put_quoted(struct buf *out, const char *word)
{
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_@%+=:,./-";

        if (*word && !word[strspn(word, plain)]) {
                buf_str(out, word);
                return;
        }
        buf_str(out, "'");
        for (; *word; word++)
                buf_put(out, *word == '\'' ? "'\\''" : word, *word == '\'' ? 4 : 1);
        buf_str(out, "'");
}

void put_words(struct buf *out, const char *const *words, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                buf_str(out, i ? " " : "");
                put_quoted(out, words[i]);
        }
}
