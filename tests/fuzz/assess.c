/*
 * tests/fuzz/assess.c - command text can't leave its quotes in the question, rules read any
 * text, and an answer is taken only when it can be shown.
 */
#include "agent/assess.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_question(const char *text, size_t len)
{
        static const char end[] = "</command_data>\n";
        const char *argv[] = { "sh", "-c", text };
        struct assess_question q = { .platform = "linux", .policy = "read-only", .cwd = text,
                                     .argv = argv, .argc = 3, .failure = text,
                                     .failure_len = len };
        struct buf out = { 0 };
        size_t lines = 0;

        assess_put_question(&out, &q);
        for (size_t i = 0; i < out.len; i++) {
                unsigned char c = (unsigned char)buf_at(&out)[i];

                lines += c == '\n';
                if ((c < 0x20 && c != '\n') || c == 0x7f)
                        abort();
        }
        if ((lines != 8 && lines != 9) ||
            memmem(buf_at(&out), out.len, end, sizeof(end) - 1) !=
                    buf_at(&out) + out.len - (sizeof(end) - 1))
                abort();
        buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct assessment a = { .ms = 0 };
        char *text = malloc(len + 1);

        memcpy(text, data, len);
        text[len] = '\0';
        if (assess_flags(text, len) >= BIT(ASSESS_CATEGORIES))
                abort();
        assess_stopped(1, text, len);
        assess_parse(&a, text, len);
        if (a.outcome == ASSESS_SUCCESS) {
                if (!a.description[0] || a.risk >= ASSESS_RISKS ||
                    a.categories >= BIT(ASSESS_CATEGORIES))
                        abort();
                for (const char *p = a.description; *p; p++)
                        if ((unsigned char)*p < 0x20 || *p == 0x7f)
                                abort();
        } else if (a.description[0] || a.categories) {
                abort();
        }
        check_question(text, strlen(text));
        free(text);
        return 0;
}
