/*
 * tests/fuzz/vars.c - names and values out of hostile text.
 *
 * Invariants: the text that comes out is NAME=VALUE NUL, one after the other, with names
 * that are names, not refused and different; it is never longer than the source and one
 * byte. What was read, written as JSON with every byte of ASCII escaped, reads the same.
 */
#include "secrets/vars.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vars first, second;

static void check(const struct vars *v)
{
        size_t at = 0;

        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                if (e->at != at || strlen(v->text + at) != e->name_len + 1 + e->value_len ||
                    v->text[at + e->name_len] != '=' || !e->name_len ||
                    vars_name_refused(vars_name(v, e), e->name_len) ||
                    vars_find(v, vars_name(v, e), e->name_len) != e)
                        abort();
                at += e->name_len + e->value_len + 2;
        }
        if (at != v->len)
                abort();
}

static size_t as_json(char *out, const struct vars *v)
{
        size_t n = (size_t)sprintf(out, "{");

        for (size_t i = 0; i < v->count; i++) {
                const struct var *e = &v->list[i];

                n += (size_t)sprintf(out + n, "%s\"%.*s\":\"", i ? "," : "", (int)e->name_len,
                                     vars_name(v, e));
                for (const char *c = vars_value(v, e); *c; c++)
                        n += (size_t)sprintf(out + n, *c & 0x80 ? "%c" : "\\u%04x",
                                             (unsigned char)*c);
                n += (size_t)sprintf(out + n, "\"");
        }
        return n + (size_t)sprintf(out + n, "}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *text = malloc(size + 1);
        char *json = malloc(size * 8 + 64);
        char *again = malloc(size * 8 + 64);
        size_t len;

        if (text && json && again &&
            vars_parse(&first, data, size, text, size + 1) == VARS_OK) {
                check(&first);
                len = as_json(json, &first);
                if (vars_parse(&second, json, len, again, len + 1) != VARS_OK ||
                    second.len != first.len || memcmp(text, again, first.len) != 0)
                        abort();
        } else if (first.error_at > size) {
                abort();
        }
        free(text);
        free(json);
        free(again);
        return 0;
}
