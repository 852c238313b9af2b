/* tests/unit/test_truncate.c - what a model reads of a tool's output, to the byte. */
#include "agent/truncate.h"
#include "base/utf8.h"
#include "tests/unit/unit.h"

#include <string.h>

#define GRIN "\xf0\x9f\x98\x80"
#define DOTS "\xe2\x80\xa6"
#define LOST "\xef\xbf\xbd"
#define GRINS GRIN GRIN GRIN GRIN GRIN GRIN GRIN GRIN GRIN GRIN "\nsecond line with text\n"

static bool holds(const struct buf *b, const char *text)
{
        return b->len == strlen(text) && (!b->len || !memcmp(buf_at(b), text, b->len));
}

static bool gives(void (*put)(struct buf *, const void *), const void *what, const char *want)
{
        struct buf out = { 0 };
        bool same;

        put(&out, what);
        same = holds(&out, want);
        buf_free(&out);
        return same;
}

struct cut {
        const char *why, *text;
        struct truncate_budget budget;
        const char *want;
};

static void put_cut(struct buf *out, const void *what)
{
        const struct cut *c = what;
        size_t n = strlen(c->text);

        truncate_text(out, at_page_end(c->text, n), n, c->budget);
}

static void put_cut_output(struct buf *out, const void *what)
{
        const struct cut *c = what;

        truncate_output(out, c->text, strlen(c->text), c->budget);
}

TEST(what_is_over_budget_keeps_its_halves)
{
        static const struct cut rows[] = {
                { "nothing is kept", "abcdef", { TRUNCATE_TOKENS, 0 },
                  DOTS "2 tokens truncated" DOTS },
                { "eight tokens", GRINS, { TRUNCATE_TOKENS, 8 },
                  GRIN GRIN GRIN GRIN DOTS "8 tokens truncated" DOTS " line with text\n" },
                { "twenty bytes, cut inwards", GRINS, { TRUNCATE_BYTES, 20 },
                  GRIN GRIN DOTS "21 chars truncated" DOTS "with text\n" },
                { "just fits", "abcdefgh", { TRUNCATE_TOKENS, 2 }, "abcdefgh" },
                { "one byte over", "abcdefghi", { TRUNCATE_TOKENS, 2 },
                  "abcd" DOTS "1 tokens truncated" DOTS "fghi" },
                { "an odd budget's larger half is the end", "abcdef", { TRUNCATE_BYTES, 3 },
                  "a" DOTS "3 chars truncated" DOTS "ef" },
                { "a tail inside its only character", GRIN GRIN, { TRUNCATE_BYTES, 2 },
                  DOTS "2 chars truncated" DOTS },
                { "a budget beyond all memory", "a", { TRUNCATE_TOKENS, SIZE_MAX }, "a" },
                { "nothing at all", "", { TRUNCATE_TOKENS, 0 }, "" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(gives(put_cut, &rows[i], rows[i].want), rows[i].why);
}

TEST(cut_output_says_how_much_there_was)
{
        static const struct cut rows[] = {
                { "cut", GRINS, { TRUNCATE_TOKENS, 8 },
                  "Warning: truncated output (original token count: 16)\n"
                  "Total output lines: 2\n\n" GRIN GRIN GRIN GRIN DOTS "8 tokens truncated" DOTS
                  " line with text\n" },
                { "whole", "a\n", { TRUNCATE_TOKENS, 8 }, "a\n" },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(gives(put_cut_output, &rows[i], rows[i].want), rows[i].why);
        CHECK(text_lines("", 0) == 0 && text_lines("a", 1) == 1 && text_lines("a\n", 2) == 1);
        CHECK(text_lines("a\n\n", 3) == 2 && text_tokens(0) == 0 && text_tokens(5) == 2);
}

static void put_clean(struct buf *out, const void *what)
{
        const char *s = what;

        text_clean(out, at_page_end(s, strlen(s)), strlen(s));
}

TEST(what_is_no_utf8_becomes_replacement_characters)
{
        static const char *const rows[][3] = {
                { "text", "ab\xc3\xa9", "ab\xc3\xa9" },
                { "a byte of no character", "a\xff" "b", "a" LOST "b" },
                { "continuations alone", "\x80\x80", LOST LOST },
                { "a character that breaks off is one", "\xf0\x9f\x98" "a", LOST "a" },
                { "the same at the end", "\xe2\x82", LOST },
                { "overlong: each byte", "\xe0\x80\x80", LOST LOST LOST },
                { "a surrogate: each byte", "\xed\xa0\x80", LOST LOST LOST },
                { "above the last: each byte", "\xf4\x90\x80\x80", LOST LOST LOST LOST },
                { "two that break off", "\xe2\x82\xe2\x82", LOST LOST },
                { "a lead at the very end", "\xf0", LOST },
        };

        for (size_t i = 0; i < COUNT(rows); i++)
                CHECK_ROW(gives(put_clean, rows[i][1], rows[i][2]), rows[i][0]);
}

static void put_exec(struct buf *out, const void *what)
{
        put_exec_answer(out, what);
}

static void put_shell(struct buf *out, const void *what)
{
        put_shell_answer(out, what);
}

TEST(the_frames_are_what_models_know)
{
        const struct truncate_budget wide = { TRUNCATE_TOKENS, 100 }, slim = { TRUNCATE_TOKENS, 1 };
        const struct exec_answer ended = { .chunk = 0xffa1b2c3, .wall_ms = 1002, .exited = true,
                                           .output = "ok\n", .len = 3, .budget = wide };
        const struct exec_answer running = { .wall_ms = 10000, .session = 1000, .output = "",
                                             .budget = wide };
        const struct exec_answer cut = { .exited = true, .exit_code = 2, .output = "abcdefgh",
                                         .len = 8, .omitted = 4, .budget = slim };
        const struct shell_answer one = { .wall_ms = 449, .exit_code = 1, .output = "no\n",
                                          .len = 3, .budget = wide };
        const struct shell_answer late = { .wall_ms = 1950, .timeout_ms = 1900, .output = "x",
                                           .len = 1, .budget = wide };
        const struct shell_answer much = { .output = "a\nb\nc\nd\n", .len = 8, .budget = slim };

        CHECK(gives(put_exec, &ended, "Chunk ID: a1b2c3\nWall time: 1.0020 seconds\n"
                                      "Process exited with code 0\nOriginal token count: 1\n"
                                      "Output:\nok\n"));
        CHECK(gives(put_exec, &running, "Chunk ID: 000000\nWall time: 10.0000 seconds\n"
                                        "Process running with session ID 1000\n"
                                        "Original token count: 0\nOutput:\n"));
        CHECK(gives(put_exec, &cut, "Chunk ID: 000000\nWall time: 0.0000 seconds\n"
                                    "Process exited with code 2\nOriginal token count: 3\n"
                                    "Output:\nWarning: truncated output (original token count: 2)\n"
                                    "Total output lines: 1\n\nab" DOTS "1 tokens truncated" DOTS
                                    "gh"));
        CHECK(gives(put_shell, &one, "Exit code: 1\nWall time: 0.4 seconds\nOutput:\nno\n"));
        CHECK(gives(put_shell, &late, "Exit code: 124\nWall time: 2.0 seconds\nOutput:\n"
                                      "command timed out after 1900 milliseconds\nx"));
        CHECK(gives(put_shell, &much, "Exit code: 0\nWall time: 0.0 seconds\n"
                                      "Total output lines: 4\nOutput:\na\n" DOTS
                                      "1 tokens truncated" DOTS "d\n"));
}
