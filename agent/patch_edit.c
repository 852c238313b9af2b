/* agent/patch_edit.c - find where each chunk goes, then write the file anew, front to back. */
#include "agent/patch_edit.h"

#include "agent/patch_seek.h"
#include "agent/truncate.h"

#include <stdlib.h>
#include <string.h>

#define LINES_MAX (1U << 20) /* of a file */

/* One chunk that found its place. */
struct change {
        size_t at, old_count; /* lines of the file that go */
        struct slice body;    /* of the chunk: its "+" and context lines come */
        size_t new_count;     /* of them, counted from the first */
        size_t order;         /* in the patch */
};

struct edit {
        struct lines file;
        bool crlf; /* every line of the file ends so */
        struct change *changes;
        size_t count, room;
        size_t pos; /* where the next chunk is looked for */
};

/* Every newline has a CR before it, and there is one. */
static bool is_crlf(const char *text, size_t len)
{
        const char *end = text + len, *p = text, *newline;

        while (p < end && (newline = memchr(p, '\n', (size_t)(end - p)))) {
                if (newline == text || newline[-1] != '\r')
                        return false;
                p = newline + 1;
        }
        return p > text;
}

/* Lines where they lie: all of a CR LF file without their CR; of another one with. */
static bool split(struct edit *e, const char *text, size_t len)
{
        const char *end = text + len;
        size_t lines = text_lines(text, len);

        if (lines > LINES_MAX)
                return false;
        e->crlf = is_crlf(text, len);
        e->file.at = take_memory((lines + 1) * sizeof(*e->file.at));
        for (const char *p = text; p < end;) {
                const char *newline = memchr(p, '\n', (size_t)(end - p));
                struct slice *line = &e->file.at[e->file.count++];

                *line = (struct slice){ p, (size_t)((newline ? newline : end) - p) };
                if (newline && e->crlf)
                        line->len--;
                p = newline ? newline + 1 : end;
        }
        return true;
}

/* The old or the new lines of a chunk, without their first bytes. */
static struct lines side(const struct patch_chunk *c, char other)
{
        struct lines l = { take_memory((c->old_lines + c->new_lines) * sizeof(*l.at)), 0 };
        struct slice body = c->body, line;

        while (slice_line(&body, &line)) {
                if (line.len && line.at[0] == other)
                        continue;
                if (line.len) {
                        line.at++;
                        line.len--;
                }
                l.at[l.count++] = line;
        }
        return l;
}

static bool last_is_empty(const struct lines *l)
{
        return l->count && !l->at[l->count - 1].len;
}

static void add_change(struct edit *e, struct change c)
{
        c.order = e->count;
        if (e->count == e->room) {
                struct change *old = e->changes;

                e->room = e->room ? 2 * e->room : 16;
                e->changes = take_memory(e->room * sizeof(*e->changes));
                if (old)
                        memcpy(e->changes, old, e->count * sizeof(*old));
                free(old);
        }
        e->changes[e->count++] = c;
}

/* Lines that come and none that go: to the end, before a last line that is empty. */
static void append(struct edit *e, const struct patch_chunk *c)
{
        size_t at = e->file.count - last_is_empty(&e->file);

        add_change(e, (struct change){ at, 0, c->body, c->new_lines, 0 });
}

static bool find_context(struct edit *e, const struct patch_chunk *c, struct slice name,
                         size_t *effort, struct buf *why)
{
        struct slice wanted = c->context;
        struct lines one = { &wanted, 1 };
        size_t found;

        if (!wanted.at)
                return true;
        if (patch_seek(&e->file, &one, e->pos, false, effort, &found)) {
                e->pos = found + 1;
                return true;
        }
        buf_str(why, "Failed to find context '");
        buf_put(why, wanted.at, wanted.len);
        buf_str(why, "' in ");
        buf_put(why, name.at, name.len);
        return false;
}

static void not_found(const struct lines *old, struct slice name, struct buf *why)
{
        buf_str(why, "Failed to find expected lines in ");
        buf_put(why, name.at, name.len);
        buf_str(why, ":");
        for (size_t i = 0; i < old->count; i++) {
                buf_str(why, "\n");
                buf_put(why, old->at[i].at, old->at[i].len);
        }
}

/* A chunk may end in an empty line that the file does not have: the second try is without. */
static bool find_lines(struct edit *e, const struct patch_chunk *c, struct slice name,
                       size_t *effort, struct buf *why)
{
        struct lines old = side(c, '+'), fresh = side(c, '-');
        struct lines shorter = { old.at, old.count - last_is_empty(&old) };
        size_t taken = old.count, new_count = fresh.count, found;
        bool ok = patch_seek(&e->file, &old, e->pos, c->end_of_file, effort, &found);

        if (!ok && shorter.count < old.count) {
                taken = shorter.count;
                new_count -= last_is_empty(&fresh);
                ok = patch_seek(&e->file, &shorter, e->pos, c->end_of_file, effort, &found);
        }
        if (ok) {
                add_change(e, (struct change){ found, taken, c->body, new_count, 0 });
                e->pos = found + taken;
        } else {
                not_found(&old, name, why);
        }
        free(old.at);
        free(fresh.at);
        return ok;
}

static bool place_chunks(struct edit *e, struct patch_reader *r, struct slice name,
                         size_t *effort, struct buf *why)
{
        struct patch_chunk c;

        for (bool first = true; patch_next_chunk(r, &c, first, why); first = false) {
                if (!find_context(e, &c, name, effort, why))
                        return false;
                if (!c.old_lines)
                        append(e, &c);
                else if (!find_lines(e, &c, name, effort, why))
                        return false;
        }
        return !why->len;
}

/* By place; those of one place stay in the patch's order. */
static int compare(const void *a, const void *b)
{
        const struct change *c = a, *d = b;

        if (c->at != d->at)
                return c->at < d->at ? -1 : 1;
        return c->order < d->order ? -1 : 1;
}

static void put_line(struct buf *out, const struct edit *e, struct slice line)
{
        buf_put(out, line.at, line.len);
        buf_str(out, e->crlf ? "\r\n" : "\n");
}

/* Context stays as the file has it, however loosely the patch quoted it. */
static void put_new(struct buf *out, const struct edit *e, const struct change *c)
{
        struct slice body = c->body, line;
        size_t put = 0, old = 0;

        while (put < c->new_count && slice_line(&body, &line)) {
                char mark = ' ';

                if (line.len) {
                        mark = line.at[0];
                        line.at++;
                        line.len--;
                }
                if (mark == ' ' && old < c->old_count)
                        line = e->file.at[c->at + old];
                old += mark != '+';
                if (mark == '-')
                        continue;
                put_line(out, e, line);
                put++;
        }
}

static void put_file(struct buf *out, const struct edit *e)
{
        size_t at = 0;

        for (size_t i = 0; i < e->count; i++) {
                const struct change *c = &e->changes[i];

                while (at < c->at)
                        put_line(out, e, e->file.at[at++]);
                put_new(out, e, c);
                if (at < c->at + c->old_count)
                        at = c->at + c->old_count;
        }
        while (at < e->file.count)
                put_line(out, e, e->file.at[at++]);
}

bool patch_edit(struct buf *out, const char *old, size_t len, struct patch_reader *r,
                struct slice name, size_t *effort, struct buf *why)
{
        struct edit e = { .pos = 0 };
        bool ok = split(&e, old, len);

        if (!ok)
                buf_fmt(why, "A file of more than %u lines can't be updated", LINES_MAX);
        ok = ok && place_chunks(&e, r, name, effort, why);
        if (ok) {
                if (e.count)
                        qsort(e.changes, e.count, sizeof(*e.changes), compare);
                put_file(out, &e);
        }
        free(e.file.at);
        free(e.changes);
        return ok;
}
