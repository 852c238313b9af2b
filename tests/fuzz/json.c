/*
 * tests/fuzz/json.c - an error lies inside the input; a tree that was accepted can
 * be written out again, and what is written parses to the same tree.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "base/wr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void put(struct wr *w, const struct json *j, uint32_t v);

static void put_string(struct wr *w, const struct json *j, uint32_t v)
{
        const struct json_token *t = &j->tokens[v];
        char *s = malloc(t->end - t->start + 1);
        size_t n;

        if (!s)
                abort();
        n = json_string(j, v, s);
        if (n > t->end - t->start || s[n] || utf8_prefix(s, n) != n)
                abort();
        wr_json(w, s, n);
        free(s);
}

static void put_items(struct wr *w, const struct json *j, uint32_t v, bool object)
{
        uint32_t count = 0;

        wr_char(w, object ? '{' : '[');
        for (uint32_t i = json_first(j, v); i; i = json_next(j, i)) {
                if (i <= v || i >= j->count)
                        abort();
                if (count++)
                        wr_char(w, ',');
                put(w, j, i);
                if (object) {
                        wr_char(w, ':');
                        put(w, j, json_value(i));
                }
        }
        if (count != j->tokens[v].size)
                abort();
        wr_char(w, object ? '}' : ']');
}

static void put(struct wr *w, const struct json *j, uint32_t v)
{
        const struct json_token *t = &j->tokens[v];

        if (t->type == JSON_STRING)
                put_string(w, j, v);
        else if (t->type == JSON_OBJECT || t->type == JSON_ARRAY)
                put_items(w, j, v, t->type == JSON_OBJECT);
        else
                wr_bytes(w, j->text + t->start, t->end - t->start);
}

static struct wr written(const struct json *j, size_t len)
{
        char *out = malloc(6 * len + 16);

        if (!out)
                abort();
        struct wr w = wr_of(out, 6 * len + 16);
        put(&w, j, 0);
        if (w.full)
                abort();
        return w;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct json a, b;
        struct json_error e;
        struct wr first, second;
        int r = json_open(&a, (const char *)data, len, &e);

        if (r == -EINVAL && (e.at > len || !e.what || a.tokens))
                abort();
        if (r)
                return 0;
        first = written(&a, len);
        if (json_open(&b, first.buf, first.len, &e) || b.count != a.count)
                abort();
        for (size_t i = 0; i < a.count; i++) {
                const struct json_token *s = &a.tokens[i];
                const struct json_token *t = &b.tokens[i];

                if (s->type != t->type || s->size != t->size || s->next != t->next ||
                    s->last != t->last)
                        abort();
        }
        second = written(&b, first.len);
        if (first.len != second.len || memcmp(first.buf, second.buf, first.len) != 0)
                abort();
        free(first.buf);
        free(second.buf);
        json_close(&a);
        json_close(&b);
        return 0;
}
