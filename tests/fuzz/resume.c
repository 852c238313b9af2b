/*
 * tests/fuzz/resume.c - an earlier turn's result.json: either all that a follow-up needs of
 * it is there and within its bounds, or a place and one line say why not.
 */
#include "init/resume.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct resume_facts *f)
{
        size_t n = strlen(f->start);

        if ((n != 40 && n != 64) || strspn(f->start, "0123456789abcdef") != n)
                abort();
        if (!f->turn || f->turn > RESUME_TURNS_MAX || f->diff_bytes > RESUME_DIFF_MAX ||
            f->conversation_bytes > RESUME_CONVERSATION_MAX)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        static const struct spec specs[] = {
                { .version = 1 },
                { .repo = { .url = "https://example.org/app.git", .ref = "main" } },
        };
        struct resume_facts facts;
        struct spec_error e;

        for (size_t i = 0; i < COUNT(specs) && len < RESUME_RESULT_MAX; i++) {
                int r = resume_parse(&specs[i], (const char *)data, len, &facts, &e);

                if (!r)
                        check(&facts);
                else if (!e.line || !e.column || !e.text[0] || strlen(e.text) >= sizeof(e.text))
                        abort();
        }
        return 0;
}
