/* agent/transcript.c - see transcript.h. */
#include "agent/transcript.h"

#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void transcript_put(struct buf *out, const char *thread, enum wire wire, bool wire_known,
                    const struct history *h, size_t first)
{
        buf_str(out, "{\"airlock\":1,\"thread\":");
        buf_json(out, thread, strlen(thread));
        if (wire_known)
                buf_fmt(out, ",\"wire\":\"%s\"", wire == WIRE_CHAT_API ? "chat" : "responses");
        buf_fmt(out, ",\"first\":%zu}\n", first);
        for (size_t i = 0; i < h->count; i++) {
                buf_put(out, buf_at(&h->items[i].json), h->items[i].json.len);
                buf_str(out, "\n");
        }
}

static bool take_head(struct transcript_head *head, const struct value *v)
{
        struct value mark = value_get(v, "airlock"), thread = value_get(v, "thread");
        struct value wire = value_get(v, "wire"), first = value_get(v, "first");
        uint64_t version = 0, n = 0;

        *head = (struct transcript_head){ .wire = WIRE_RESPONSES_API };
        if (!value_u64(&mark, &version) || version != 1 || thread.type != VALUE_STRING ||
            thread.len != 36 || memchr(thread.at, '\\', 36) || !value_u64(&first, &n))
                return false;
        memcpy(head->thread, thread.at, 36);
        head->first = n;
        head->wire_known = wire.type == VALUE_STRING;
        if (value_is(&wire, "chat"))
                head->wire = WIRE_CHAT_API;
        return true;
}

bool transcript_take(const struct buf *text, struct transcript_head *head, struct history *h)
{
        const char *at = buf_at(text), *end = at + text->len;
        bool first = true;

        while (at < end) {
                const char *lf = memchr(at, '\n', (size_t)(end - at));
                struct value v;
                struct value_error e;
                bool ok = lf && value_parse(&v, at, (size_t)(lf - at), &e);

                if (ok)
                        ok = first ? take_head(head, &v) : history_restore(h, &v);
                if (!ok) {
                        history_free(h);
                        return false;
                }
                first = false;
                at = lf + 1;
        }
        if (first || head->first > h->count) {
                history_free(h);
                return false;
        }
        history_settle(h);
        return true;
}

int transcript_read(const char *path, struct buf *text)
{
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        struct transcript_head head;
        struct history h = { 0 };
        int r = fd < 0 ? -errno : 0;

        while (!r) {
                ssize_t n = read_full(fd, buf_room(text, 65536), 65536);

                if (n < 0)
                        r = (int)n;
                else
                        buf_added(text, (size_t)n);
                if (text->len > TRANSCRIPT_MAX)
                        r = -EFBIG;
                if (n < 65536)
                        break;
        }
        if (r < 0) {
                log_errno(LOG_ERROR, -r, "--resume %s", path);
                return -1;
        }
        if (transcript_take(text, &head, &h)) {
                history_free(&h);
                return 0;
        }
        log_line(LOG_ERROR, "--resume %s: not a whole conversation that --save has written", path);
        return -1;
}
