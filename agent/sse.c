/* agent/sse.c - see sse.h. */
#include "agent/sse.h"

#include <string.h>

#define KEEP (64U << 10) /* a larger buffer is given back after its event */

static size_t to_line_end(const char *bytes, size_t len)
{
        const char *lf = memchr(bytes, '\n', len);
        const char *cr = memchr(bytes, '\r', lf ? (size_t)(lf - bytes) : len);
        const char *end = cr ? cr : lf;

        return end ? (size_t)(end - bytes) : len;
}

/* A whole line without its end. True: it was blank, and there is an event. */
static bool take_line(struct sse *s)
{
        const char *line = buf_at(&s->line);
        size_t len = s->line.len;

        if (!s->begun && len >= 3 && !memcmp(line, "\xef\xbb\xbf", 3)) {
                line += 3;
                len -= 3;
        }
        s->begun = true;
        if (!len)
                return s->has_data;
        if (len < 4 || memcmp(line, "data", 4) != 0 || (len > 4 && line[4] != ':'))
                return false;
        line += len > 4 ? 5 : 4;
        len -= len > 4 ? 5 : 4;
        if (len && *line == ' ') {
                line++;
                len--;
        }
        if (s->has_data)
                buf_put(&s->data, "\n", 1);
        buf_put(&s->data, line, len);
        s->has_data = true;
        return false;
}

static void forget_event(struct sse *s)
{
        buf_drop(&s->data, s->data.len, KEEP);
        s->has_data = false;
        s->dispatched = false;
}

enum sse_status sse_next(struct sse *s, const char *bytes, size_t len, size_t *used)
{
        size_t at = 0;

        if (s->dispatched)
                forget_event(s);
        while (at < len) {
                size_t n;

                if (s->after_cr && bytes[at] == '\n') {
                        s->after_cr = false;
                        at++;
                        continue;
                }
                s->after_cr = false;
                n = to_line_end(bytes + at, len - at);
                if (s->line.len + n > SSE_EVENT_MAX || s->data.len > SSE_EVENT_MAX) {
                        *used = at;
                        return SSE_LARGE;
                }
                buf_put(&s->line, bytes + at, n);
                at += n;
                if (at == len)
                        break;
                s->after_cr = bytes[at++] == '\r';
                s->dispatched = take_line(s);
                buf_drop(&s->line, s->line.len, KEEP);
                if (s->dispatched) {
                        *used = at;
                        return SSE_EVENT;
                }
        }
        *used = at;
        return SSE_MORE;
}

void sse_free(struct sse *s)
{
        buf_free(&s->line);
        buf_free(&s->data);
        *s = (struct sse){ 0 };
}
