/*
 * tests/fuzz/model_error.c - whatever a server sends as its error, there is one line of
 * text for people and a wait that is no longer than a day; a kept conversation is read
 * back whole or not at all.
 */
#include "agent/retry.h"
#include "agent/transcript.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS UINT64_C(86400000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct failure *f)
{
        size_t n = strlen(f->text);

        if (!n || f->kind == MODEL_FINE || f->wait_ms > DAY_MS)
                abort();
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)f->text[i] < 0x20 || f->text[i] == 0x7f)
                        abort();
}

static void response(const char *bytes, size_t len)
{
        static struct http1 h;
        struct failure f;
        size_t scanned = 0;

        if (http1_parse_response(&h, bytes, len, &scanned, "POST", 4) != HTTP1_OK)
                return;
        if (h.code == 200)
                return;
        failure_of_response(&f, &h, bytes + h.head_len, len - h.head_len, 1700000000, len & 1);
        check(&f);
        if (utf8_prefix(bytes, len) == len && utf8_prefix(f.text, strlen(f.text)) != strlen(f.text))
                abort();
}

static void conversation(const char *bytes, size_t len)
{
        struct buf text = { 0 }, again = { 0 };
        struct transcript_head head, same;
        struct history h = { 0 }, second = { 0 };
        size_t line;

        buf_put(&text, bytes, len);
        if (transcript_take(&text, &head, &h, &line)) {
                head.thread[36] = '\0';
                transcript_put(&again, &head, &h);
                if (!transcript_take(&again, &same, &second, &line) || second.count != h.count ||
                    same.first != head.first || same.wire_known != head.wire_known)
                        abort();
        } else if (h.count) {
                abort();
        }
        history_free(&h);
        history_free(&second);
        buf_free(&text);
        buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        const char *bytes = (const char *)data;
        struct failure f;
        struct value v;
        struct value_error e;
        uint64_t ms;

        if (retry_in_text(bytes, len, &ms) && ms > DAY_MS)
                abort();
        if (retry_after_value(bytes, len, 1700000000, &ms) && ms > DAY_MS)
                abort();
        response(bytes, len);
        if (value_parse(&v, bytes, len, &e)) {
                failure_of_event(&f, &v);
                check(&f);
        }
        conversation(bytes, len);
        return 0;
}
