/* agent/transcript.c - see transcript.h. */
#include "agent/transcript.h"

#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

void transcript_put(struct buf *out, const struct transcript_head *head, const struct history *h)
{
        buf_str(out, "{\"airlock\":1,\"thread\":");
        buf_json(out, head->thread, strlen(head->thread));
        buf_str(out, ",\"model\":");
        buf_json(out, head->model, strlen(head->model));
        if (head->wire_known) {
                buf_fmt(out, ",\"wire\":\"%s\",\"at\":",
                        head->wire == WIRE_CHAT_API ? "chat" : "responses");
                buf_json(out, head->at, strlen(head->at));
        }
        buf_fmt(out, ",\"first\":%zu}\n", head->first);
        for (size_t i = 0; i < h->count; i++) {
                buf_put(out, buf_at(&h->items[i].json), h->items[i].json.len);
                buf_str(out, "\n");
        }
}

/* "" where there is none, or no room for it. */
static void take_text(const struct value *v, char *to, size_t cap)
{
        if (v->type == VALUE_STRING && v->len < cap)
                to[value_string(v, to)] = '\0';
}

static bool take_head(struct transcript_head *head, const struct value *v)
{
        struct value mark = value_get(v, "airlock"), thread = value_get(v, "thread");
        struct value wire = value_get(v, "wire"), first = value_get(v, "first");
        struct value url = value_get(v, "at"), model = value_get(v, "model");
        uint64_t version = 0, n = 0;

        *head = (struct transcript_head){ .wire = WIRE_RESPONSES_API };
        if (!value_u64(&mark, &version) || version != 1 || thread.type != VALUE_STRING ||
            thread.len != 36 || memchr(thread.at, '\\', 36) || !value_u64(&first, &n))
                return false;
        memcpy(head->thread, thread.at, 36);
        head->first = n;
        head->wire_known = wire.type == VALUE_STRING;
        take_text(&url, head->at, sizeof(head->at));
        take_text(&model, head->model, sizeof(head->model));
        if (value_is(&wire, "chat"))
                head->wire = WIRE_CHAT_API;
        return true;
}

bool transcript_take(const struct buf *text, struct transcript_head *head, struct history *h,
                     size_t *line)
{
        const char *at = buf_at(text), *end = at + text->len;

        for (*line = 1; at < end || *line == 1; ++*line) {
                const char *lf = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
                struct value v;
                struct value_error e;
                bool ok = lf && value_parse(&v, at, (size_t)(lf - at), &e);

                if (ok)
                        ok = *line == 1 ? take_head(head, &v) : history_restore(h, &v);
                if (!ok) {
                        history_free(h);
                        return false;
                }
                at = lf + 1;
        }
        if (head->first > h->count) {
                history_free(h);
                *line = 1;
                return false;
        }
        history_settle(h);
        return true;
}

int transcript_read(int fd, const char *name, struct buf *text)
{
        struct transcript_head head;
        struct history h = { 0 };
        size_t line;
        ssize_t n;

        do {
                n = read_full(fd, buf_room(text, 65536), 65536);
                if (n < 0) {
                        log_errno(LOG_ERROR, (int)-n, "%s", name);
                        return -1;
                }
                buf_added(text, (size_t)n);
        } while (n == 65536 && text->len <= TRANSCRIPT_MAX);
        if (text->len > TRANSCRIPT_MAX) {
                log_errno(LOG_ERROR, EFBIG, "%s", name);
                return -1;
        }
        if (transcript_take(text, &head, &h, &line)) {
                history_free(&h);
                return 0;
        }
        log_line(LOG_ERROR, "%s:%zu: expected %s", name, line,
                 line == 1 ? "the first line of a conversation that airlock kept"
                           : "a whole item of a conversation");
        return -1;
}
