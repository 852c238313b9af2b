/* agent/shells.c - the table of sessions, and output that is kept at both ends. */
#include "agent/shells.h"

#define HALF (SHELL_OUTPUT / 2)
#define FIRST_ID 1000

void shell_output_add(struct shell_output *o, const void *bytes, size_t len)
{
        const char *p = bytes;
        size_t n = HALF - o->head.len < len ? HALF - o->head.len : len;

        buf_put(&o->head, p, n);
        p += n;
        len -= n;
        if (len > HALF) {
                o->omitted += len - HALF;
                p += len - HALF;
                len = HALF;
        }
        if (o->tail.len + len > HALF) {
                n = o->tail.len + len - HALF;
                o->omitted += n;
                buf_drop(&o->tail, n, SHELL_OUTPUT);
        }
        buf_put(&o->tail, p, len);
}

uint64_t shell_output_drain(struct shell_output *o, struct buf *out)
{
        uint64_t omitted = o->omitted;

        buf_put(out, o->head.bytes ? buf_at(&o->head) : NULL, o->head.len);
        if (omitted)
                buf_fmt(out, "\n[%lu bytes were not kept]\n", (unsigned long)omitted);
        buf_put(out, o->tail.bytes ? buf_at(&o->tail) : NULL, o->tail.len);
        shell_output_free(o);
        return omitted;
}

void shell_output_free(struct shell_output *o)
{
        buf_free(&o->head);
        buf_free(&o->tail);
        o->omitted = 0;
}

static struct shell *find(struct shells *t, int64_t id)
{
        for (unsigned i = 0; i < SHELLS; i++)
                if (t->slots[i].id && t->slots[i].id == id)
                        return &t->slots[i];
        return NULL;
}

/* How many were used after @s. */
static unsigned newer(const struct shells *t, const struct shell *s)
{
        unsigned n = 0;

        for (unsigned i = 0; i < SHELLS; i++)
                n += t->slots[i].id && t->slots[i].used > s->used;
        return n;
}

/* Of a full table: some slot is not protected. */
static struct shell *oldest(struct shells *t)
{
        struct shell *found = NULL;

        for (unsigned i = 0; i < SHELLS; i++) {
                struct shell *s = &t->slots[i];

                if (newer(t, s) < SHELLS_PROTECTED)
                        continue;
                if (!found || s->exited > found->exited ||
                    (s->exited == found->exited && s->used < found->used))
                        found = s;
        }
        return found ? found : &t->slots[0];
}

static struct shell *free_slot(struct shells *t)
{
        for (unsigned i = 0; i < SHELLS; i++)
                if (!t->slots[i].id)
                        return &t->slots[i];
        return NULL;
}

struct shell *shells_add(struct shells *t, void *owner, void **evicted)
{
        struct shell *s = free_slot(t);

        *evicted = NULL;
        if (!s) {
                s = oldest(t);
                *evicted = s->owner;
                shells_drop(t, s);
        }
        t->last_id = t->last_id ? t->last_id + 1 : FIRST_ID;
        *s = (struct shell){ .id = t->last_id, .used = ++t->uses, .owner = owner };
        t->count++;
        return s;
}

struct shell *shells_use(struct shells *t, int64_t id)
{
        struct shell *s = find(t, id);

        if (s)
                s->used = ++t->uses;
        return s;
}

void shells_drop(struct shells *t, struct shell *s)
{
        shell_output_free(&s->output);
        *s = (struct shell){ 0 };
        t->count--;
}

void put_unknown_shell(struct buf *out, int64_t id)
{
        buf_str(out, "write_stdin failed: Unknown process id ");
        buf_i64(out, id);
}
