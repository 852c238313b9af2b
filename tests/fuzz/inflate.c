/*
 * tests/fuzz/inflate.c - hostile DEFLATE.
 *
 * Invariants: what is given out is one unbroken text whose end `kept` bytes before the
 * fresh ones repeat; it is the same whether the input comes a byte or all at a time; a
 * status other than OK comes with the same text. At most a million bytes are asked for.
 */
#include "secrets/inflate.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOST 1000000

struct source {
        struct inflate z;
        const uint8_t *bytes;
        size_t len, step;
        uint8_t text[MOST + INFLATE_OUT];
        size_t text_len;
};

static struct source whole, bytewise;

static size_t refill(struct inflate *z, const uint8_t **bytes)
{
        struct source *s = (struct source *)z;
        size_t n = s->len < s->step ? s->len : s->step;

        *bytes = s->bytes;
        s->bytes += n;
        s->len -= n;
        return n;
}

static bool emit(struct inflate *z, const uint8_t *out, size_t kept, size_t fresh)
{
        struct source *s = (struct source *)z;

        if (kept > s->text_len || kept + fresh > INFLATE_OUT || !fresh ||
            memcmp(out, s->text + s->text_len - kept, kept) != 0)
                abort();
        memcpy(s->text + s->text_len, out + kept, fresh);
        s->text_len += fresh;
        return s->text_len < MOST;
}

static enum inflate_status run(struct source *s, const uint8_t *data, size_t size, size_t step)
{
        s->z.refill = refill;
        s->z.emit = emit;
        s->bytes = data;
        s->len = size;
        s->step = step;
        s->text_len = 0;
        inflate_init(&s->z);
        return inflate_run(&s->z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        enum inflate_status a = run(&whole, data, size, size);
        enum inflate_status b = run(&bytewise, data, size, 1);

        if (a != b || whole.text_len != bytewise.text_len ||
            memcmp(whole.text, bytewise.text, whole.text_len) != 0)
                abort();
        return 0;
}
