/* agent/patch_parse.c - lines, headers, chunks. */
#include "agent/patch_parse.h"

#include <string.h>

#define BEGIN "*** Begin Patch"
#define END "*** End Patch"
#define ADD "*** Add File: "
#define DELETE "*** Delete File: "
#define UPDATE "*** Update File: "
#define MOVE "*** Move to: "
#define END_OF_FILE "*** End of File"

static bool is_blank(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct slice trim(struct slice s)
{
        while (s.len && is_blank(s.at[0])) {
                s.at++;
                s.len--;
        }
        while (s.len && is_blank(s.at[s.len - 1]))
                s.len--;
        return s;
}

static bool equals(struct slice s, const char *text)
{
        return s.len == strlen(text) && !memcmp(s.at, text, s.len);
}

/* True: *@s is what follows @prefix. */
static bool skip_prefix(struct slice *s, const char *prefix)
{
        size_t n = strlen(prefix);

        if (s->len < n || memcmp(s->at, prefix, n) != 0)
                return false;
        s->at += n;
        s->len -= n;
        return true;
}

bool slice_line(struct slice *s, struct slice *line)
{
        const char *newline;
        size_t used;

        if (!s->len)
                return false;
        newline = memchr(s->at, '\n', s->len);
        line->at = s->at;
        line->len = newline ? (size_t)(newline - s->at) : s->len;
        used = line->len + (newline != NULL);
        if (newline && line->len && line->at[line->len - 1] == '\r')
                line->len--;
        s->at += used;
        s->len -= used;
        return true;
}

/* The last line of @s, which loses it and the newline before it. */
static struct slice cut_last(struct slice *s)
{
        const char *newline = memrchr(s->at, '\n', s->len);
        const char *start = newline ? newline + 1 : s->at;
        struct slice line = { start, (size_t)(s->at + s->len - start) };

        s->len = (size_t)(start - s->at);
        return line;
}

/* --- errors ---------------------------------------------------------------------------- */

static bool wrong_patch(struct buf *why, const char *what)
{
        buf_str(why, "invalid patch: ");
        buf_str(why, what);
        return false;
}

/* @what, with the line in the place of its one '%'. */
static bool wrong_hunk(struct buf *why, unsigned number, const char *what, struct slice line)
{
        const char *mark = strchr(what, '%');

        buf_fmt(why, "invalid hunk at line %u, ", number);
        buf_put(why, what, mark ? (size_t)(mark - what) : strlen(what));
        if (!mark)
                return false;
        buf_put(why, line.at, line.len);
        buf_str(why, mark + 1);
        return false;
}

/* --- the reader ------------------------------------------------------------------------- */

static struct slice rest(const struct patch_reader *r)
{
        return (struct slice){ r->at, (size_t)(r->end - r->at) };
}

static bool peek(const struct patch_reader *r, struct slice *line)
{
        struct slice s = rest(r);

        return slice_line(&s, line);
}

static void advance(struct patch_reader *r)
{
        struct slice s = rest(r), line;

        slice_line(&s, &line);
        r->at = s.at;
        r->line++;
}

/* <<EOF, <<'EOF' or <<"EOF" on the first line and EOF at the end of the last. */
static void unwrap(struct slice *s)
{
        struct slice inner = *s, first, last;
        size_t lines = 1;

        for (size_t i = 0; i < s->len; i++)
                lines += s->at[i] == '\n';
        if (lines < 4 || !slice_line(&inner, &first))
                return;
        last = cut_last(&inner);
        if (!equals(first, "<<EOF") && !equals(first, "<<'EOF'") && !equals(first, "<<\"EOF\""))
                return;
        if (last.len < 3 || memcmp(last.at + last.len - 3, "EOF", 3) != 0)
                return;
        *s = trim(inner);
}

bool patch_open(struct patch_reader *r, const char *text, size_t len, struct buf *why)
{
        struct slice s = trim((struct slice){ text, len }), first = { text, 0 }, last;

        if (len > PATCH_TEXT_MAX)
                return wrong_patch(why, "It is larger than 4 MiB");
        unwrap(&s);
        slice_line(&s, &first);
        if (!equals(trim(first), BEGIN))
                return wrong_patch(why, "The first line of the patch must be '" BEGIN "'");
        last = s.len ? cut_last(&s) : s;
        if (!equals(trim(last), END))
                return wrong_patch(why, "The last line of the patch must be '" END "'");
        *r = (struct patch_reader){ s.at, s.at + s.len, 2 };
        return true;
}

/* A path that the rest can work with. */
static bool good_path(struct slice path, unsigned line, struct buf *why)
{
        if (!path.len)
                return wrong_hunk(why, line, "the path is empty", path);
        if (path.len >= PATCH_PATH_MAX)
                return wrong_hunk(why, line, "the path is longer than 4095 bytes", path);
        if (memchr(path.at, '\0', path.len))
                return wrong_hunk(why, line, "the path holds a NUL byte", path);
        return true;
}

static void take_added(struct patch_reader *r, struct patch_hunk *h)
{
        struct slice line;

        h->body.at = r->at;
        while (peek(r, &line) && line.len && line.at[0] == '+')
                advance(r);
        h->body.len = (size_t)(r->at - h->body.at);
}

static bool take_move(struct patch_reader *r, struct patch_hunk *h, struct buf *why)
{
        struct slice line;

        if (!peek(r, &line) || !skip_prefix(&line, MOVE))
                return true;
        if (!good_path(line, r->line, why))
                return false;
        h->move_to = line;
        advance(r);
        return true;
}

bool patch_next_hunk(struct patch_reader *r, struct patch_hunk *h, struct buf *why)
{
        struct slice line, header;
        unsigned at = r->line;

        *h = (struct patch_hunk){ .kind = PATCH_ADD };
        if (!peek(r, &line))
                return false;
        header = h->path = trim(line);
        if (skip_prefix(&h->path, ADD))
                h->kind = PATCH_ADD;
        else if (skip_prefix(&h->path, DELETE))
                h->kind = PATCH_DELETE;
        else if (skip_prefix(&h->path, UPDATE))
                h->kind = PATCH_UPDATE;
        else
                return wrong_hunk(why, at,
                                  "'%' is not a valid hunk header. Valid hunk headers: '" ADD
                                  "{path}', '" DELETE "{path}', '" UPDATE "{path}'", header);
        if (!good_path(h->path, at, why))
                return false;
        advance(r);
        if (h->kind == PATCH_ADD)
                take_added(r, h);
        return h->kind != PATCH_UPDATE || take_move(r, h, why);
}

/* One line of a chunk. False: it is none. */
static bool count_line(struct patch_chunk *c, struct slice line)
{
        char mark = ' ';

        if (line.len)
                mark = line.at[0];
        if (mark != ' ' && mark != '+' && mark != '-')
                return false;
        c->old_lines += mark != '+';
        c->new_lines += mark != '-';
        return true;
}

static bool take_body(struct patch_reader *r, struct patch_chunk *c, struct buf *why)
{
        struct slice line = { r->at, 0 };
        unsigned lines = 0;

        c->body.at = r->at;
        for (; peek(r, &line); advance(r), lines++) {
                if (equals(line, END_OF_FILE) && lines) {
                        c->end_of_file = true;
                        break;
                }
                if (equals(line, END_OF_FILE))
                        break;
                if (count_line(c, line))
                        continue;
                if (!lines)
                        return wrong_hunk(why, r->line,
                                          "Unexpected line found in update hunk: '%'. Every line "
                                          "should start with ' ' (context line), '+' (added "
                                          "line), or '-' (removed line)", line);
                break;
        }
        if (!lines)
                return wrong_hunk(why, r->line, "Update hunk does not contain any lines", line);
        c->body.len = (size_t)(r->at - c->body.at);
        if (c->end_of_file)
                advance(r);
        return true;
}

bool patch_next_chunk(struct patch_reader *r, struct patch_chunk *c, bool first, struct buf *why)
{
        struct slice line;

        *c = (struct patch_chunk){ .old_lines = 0 };
        while (peek(r, &line) && !trim(line).len)
                advance(r);
        if (!peek(r, &line) || line.at[0] == '*')
                return false;
        c->context = line;
        if (equals(line, "@@")) {
                c->context.at = NULL;
                advance(r);
        } else if (skip_prefix(&c->context, "@@ ")) {
                advance(r);
        } else if (first) {
                c->context.at = NULL;
        } else {
                return wrong_hunk(why, r->line,
                                  "Expected update hunk to start with a @@ context marker, got: "
                                  "'%'", line);
        }
        return take_body(r, c, why);
}

/* The chunks of one update. */
static bool check_update(struct patch_reader *r, const struct patch_hunk *h, unsigned at,
                         struct buf *why)
{
        struct patch_chunk c;
        bool first = true;

        while (patch_next_chunk(r, &c, first, why))
                first = false;
        if (why->len)
                return false;
        return !first || wrong_hunk(why, at, "Update file hunk for path '%' is empty", h->path);
}

bool patch_check(const char *text, size_t len, struct buf *why)
{
        struct patch_reader r;
        struct patch_hunk h;
        unsigned hunks = 0, at;

        if (!patch_open(&r, text, len, why))
                return false;
        for (at = r.line; patch_next_hunk(&r, &h, why); at = r.line) {
                if (h.kind == PATCH_UPDATE && !check_update(&r, &h, at, why))
                        return false;
                if (++hunks > PATCH_FILES_MAX)
                        return wrong_patch(why, "It holds more than 1024 hunks");
        }
        if (!why->len && !hunks)
                buf_str(why, "No files were modified.");
        return !why->len;
}
