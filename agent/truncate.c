/* agent/truncate.c - UTF-8 made, halves kept, frames. */
#include "agent/truncate.h"

#include "base/utf8.h"

#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define REPLACEMENT "\xef\xbf\xbd"

/* How many bytes belong to a character that begins at @s and does not end: 1 to 3. */
static size_t broken_len(const unsigned char *s, size_t len)
{
        size_t want = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
        unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
        unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
        size_t n = 1;

        if (s[0] < 0xc2 || s[0] > 0xf4 || len < 2 || s[1] < low || s[1] > high)
                return 1;
        while (n < want - 1 && n < len && (s[n] & 0xc0) == 0x80)
                n++;
        return n;
}

void text_clean(struct buf *out, const char *bytes, size_t len)
{
        while (len) {
                size_t n = utf8_prefix(bytes, len);

                buf_put(out, bytes, n);
                if (n < len) {
                        buf_str(out, REPLACEMENT);
                        n += broken_len((const unsigned char *)bytes + n, len - n);
                }
                bytes += n;
                len -= n;
        }
}

size_t text_tokens(size_t bytes)
{
        return bytes / TOKEN_BYTES + (bytes % TOKEN_BYTES != 0);
}

size_t text_lines(const char *text, size_t len)
{
        size_t n = len && text[len - 1] != '\n';

        for (size_t i = 0; i < len; i++)
                n += text[i] == '\n';
        return n;
}

static bool inside_character(char c)
{
        return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t budget_bytes(struct truncate_budget b)
{
        if (b.unit == TRUNCATE_BYTES)
                return b.n;
        return b.n > SIZE_MAX / TOKEN_BYTES ? SIZE_MAX : b.n * TOKEN_BYTES;
}

static size_t characters(const char *text, size_t len)
{
        size_t n = 0;

        for (size_t i = 0; i < len; i++)
                n += !inside_character(text[i]);
        return n;
}

bool truncate_text(struct buf *out, const char *text, size_t len, struct truncate_budget budget)
{
        size_t keep = budget_bytes(budget);
        size_t head = keep / 2;
        size_t tail;

        if (len <= keep) {
                buf_put(out, text, len);
                return false;
        }
        tail = len - (keep - head);
        while (head && inside_character(text[head]))
                head--;
        while (tail < len && inside_character(text[tail]))
                tail++;
        buf_put(out, text, head);
        buf_str(out, ELLIPSIS);
        if (budget.unit == TRUNCATE_BYTES)
                buf_u64(out, characters(text + head, tail - head));
        else
                buf_u64(out, text_tokens(len - keep));
        buf_str(out, budget.unit == TRUNCATE_BYTES ? " chars truncated" ELLIPSIS
                                                   : " tokens truncated" ELLIPSIS);
        buf_put(out, text + tail, len - tail);
        return true;
}

bool truncate_output(struct buf *out, const char *text, size_t len, struct truncate_budget budget)
{
        if (len > budget_bytes(budget))
                buf_fmt(out,
                        "Warning: truncated output (original token count: %zu)\n"
                        "Total output lines: %zu\n\n",
                        text_tokens(len), text_lines(text, len));
        return truncate_text(out, text, len, budget);
}

/* @places digits behind the point, of a time in milliseconds. */
static void put_seconds(struct buf *out, uint64_t ms, unsigned places)
{
        uint64_t scale = places == 1 ? 10 : 10000;
        uint64_t n = places == 1 ? ms / 100 + (ms % 100 >= 50) : ms * 10;

        buf_u64(out, n / scale);
        buf_str(out, ".");
        for (scale /= 10; scale; scale /= 10)
                buf_u64(out, n / scale % 10);
        buf_str(out, " seconds\n");
}

static void put_hex6(struct buf *out, uint32_t n)
{
        for (int shift = 20; shift >= 0; shift -= 4)
                buf_put(out, &"0123456789abcdef"[n >> shift & 15], 1);
}

void put_exec_answer(struct buf *out, const struct exec_answer *a)
{
        buf_str(out, "Chunk ID: ");
        put_hex6(out, a->chunk);
        buf_str(out, "\nWall time: ");
        put_seconds(out, a->wall_ms, 4);
        if (a->exited)
                buf_fmt(out, "Process exited with code %d\n", a->exit_code);
        else
                buf_fmt(out, "Process running with session ID %d\n", a->session);
        buf_fmt(out, "Original token count: %zu\nOutput:\n",
                text_tokens(a->len + (size_t)a->omitted));
        truncate_output(out, a->output, a->len, a->budget);
}

void put_shell_answer(struct buf *out, const struct shell_answer *a)
{
        struct buf text = { 0 }, cut = { 0 };

        if (a->timeout_ms)
                buf_fmt(&text, "command timed out after %lu milliseconds\n",
                        (unsigned long)a->timeout_ms);
        buf_put(&text, a->output, a->len);
        buf_fmt(out, "Exit code: %d\nWall time: ", a->timeout_ms ? 124 : a->exit_code);
        put_seconds(out, a->wall_ms, 1);
        buf_put(&text, "", 1);
        if (truncate_text(&cut, buf_at(&text), --text.len, a->budget))
                buf_fmt(out, "Total output lines: %zu\n",
                        text_lines(buf_at(&text), text.len));
        buf_str(out, "Output:\n");
        buf_put(out, cut.len ? buf_at(&cut) : "", cut.len);
        buf_free(&text);
        buf_free(&cut);
}
