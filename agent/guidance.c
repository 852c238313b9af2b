/*
 * agent/guidance.c - AGENTS.md, by way of the exec-server; see loop.h.
 *
 * git runs where the commands run, so nothing it says is believed: agent/guide.h checks each
 * object against its id. Only the commit's own id is taken on trust. In a task PID 1 noted it
 * before setup ran; by ourselves it is what HEAD names.
 */
#include "agent/loop.h"

#include "agent/guide.h"
#include "base/digits.h"

#include <errno.h>
#include <string.h>

/* One git that brings object after object, for as long as the guide is read. */
struct bringer {
        struct loop *l;
        struct hand *git; /* NULL: not started, or given up */
        struct buf out;   /* what it printed and nobody took yet */
};

static bool start_git(struct bringer *b)
{
        /* Whoever owns the repository; and objects are what they are, not what replaced them. */
        static const char *const argv[] = { "git", "--no-replace-objects", "-c",
                                            "safe.directory=*", "cat-file", "--batch", NULL };

        if (!b->git)
                b->git = hands_program(b->l, argv, &b->out);
        return b->git;
}

static void end_git(struct bringer *b)
{
        if (b->git)
                hands_stop(b->l, b->git);
        b->git = NULL;
        buf_free(&b->out);
}

/*
 * "ID KIND SIZE", at the start of what it printed, and the line's length. 0: nothing whole came,
 * or no object of that kind.
 */
static size_t read_line(struct bringer *b, const char *kind, char id[65], uint64_t *size)
{
        const char *at, *lf = NULL;
        size_t len, kind_len = strlen(kind);

        for (size_t want = 1; !lf && hands_more(b->l, b->git, &b->out, want); want = b->out.len + 1)
                lf = memchr(buf_at(&b->out), '\n', b->out.len);
        at = buf_at(&b->out);
        len = lf ? strspn(at, "0123456789abcdef") : 0;
        if (!len || len > 64 || at[len] != ' ' || strncmp(at + len + 1, kind, kind_len) != 0 ||
            at[len + 1 + kind_len] != ' ')
                return 0;
        memcpy(id, at, len);
        id[len] = '\0';
        at += len + 2 + kind_len;
        return digits_take(&at, GUIDE_OBJECT_MAX, size) && *at == '\n'
                       ? (size_t)(at - buf_at(&b->out)) + 1 : 0;
}

/* The object of that @name and its @id. 0 or -errno; -ENOENT: there is no such one. */
static int bring(struct bringer *b, const char *kind, const char *name, char id[65],
                 struct buf *out)
{
        struct buf line = { 0 };
        uint64_t size = 0;
        size_t head;
        bool asked;

        if (!start_git(b))
                return -EIO;
        buf_fmt(&line, "%s\n", name);
        asked = client_write(b->l->client, b->git->process, buf_at(&line), line.len);
        buf_free(&line);
        head = asked ? read_line(b, kind, id, &size) : 0;
        if (!head || !hands_more(b->l, b->git, &b->out, head + size + 1)) {
                end_git(b); /* whatever else it has to say is no answer any more */
                return head || !asked ? -EIO : -ENOENT;
        }
        buf_put(out, buf_at(&b->out) + head, size);
        buf_drop(&b->out, head + size + 1, SIZE_MAX);
        return 0;
}

static int bring_object(void *ctx, const char *kind, const char *id, struct buf *out)
{
        char same[65];

        return bring(ctx, kind, id, same, out);
}

static int bring_file(void *ctx, const char *path, struct buf *out)
{
        struct loop *l = ((struct bringer *)ctx)->l;
        struct buf whole = { 0 };
        int r;

        buf_str(&whole, l->root);
        buf_str(&whole, "/");
        buf_put(&whole, path, strlen(path) + 1);
        r = hands_reply(l, client_read_file(l->client, buf_at(&whole)), out);
        buf_free(&whole);
        return r ? -ENOENT : 0;
}

/* The commit to read from; false: there is none. */
static bool find_commit(struct bringer *b, char id[65])
{
        const char *noted = b->l->o->commit;
        struct buf unused = { 0 };
        bool ok;

        if (noted) {
                strncpy(id, noted, 64);
                id[64] = '\0';
                return true;
        }
        ok = !bring(b, "commit", "HEAD^{commit}", id, &unused);
        buf_free(&unused);
        return ok;
}

static void tell(struct loop *l, const struct guide *g, const char *commit)
{
        struct buf fields = { 0 };

        buf_fmt(&fields, ",\"commit\":\"%s\",\"files\":[", commit);
        for (size_t i = 0; i < g->file_count; i++) {
                buf_str(&fields, i ? ",{\"path\":" : "{\"path\":");
                buf_json(&fields, g->files[i].path, strlen(g->files[i].path));
                buf_fmt(&fields, ",\"bytes\":%zu,\"cut\":%s}", g->files[i].bytes,
                        g->files[i].cut ? "true" : "false");
        }
        buf_str(&fields, "],\"not_obeyed\":[");
        for (size_t i = 0; i < g->note_count; i++) {
                buf_str(&fields, i ? ",{\"path\":" : "{\"path\":");
                buf_json(&fields, g->notes[i].path, strlen(g->notes[i].path));
                buf_fmt(&fields, ",\"change\":\"%s\"}", guide_change_str(g->notes[i].change));
        }
        buf_str(&fields, "]");
        events_own(&l->events, "instructions", buf_at(&fields), fields.len);
        buf_free(&fields);
}

static void tell_notes(struct loop *l, const struct guide *g)
{
        for (size_t i = 0; i < g->note_count; i++) {
                struct buf text = { 0 };

                buf_fmt(&text, "%s was %s after the start commit: not obeyed", g->notes[i].path,
                        guide_change_str(g->notes[i].change));
                buf_put(&text, "", 1);
                events_error_item(&l->events, buf_at(&text));
                buf_free(&text);
        }
}

static void tell_failure(struct loop *l, const struct buf *why)
{
        struct buf text = { 0 };

        buf_str(&text, "AGENTS.md is left out, it can't be read from the commit: ");
        buf_put(&text, buf_at(why), why->len);
        buf_put(&text, "", 1);
        events_error_item(&l->events, buf_at(&text));
        buf_free(&text);
}

void guidance_add(struct loop *l)
{
        struct bringer b = { .l = l };
        const struct guide_source source = { &b, bring_object, bring_file };
        const char *dir = l->cwd + strlen(l->root);
        struct buf why = { 0 }, text = { 0 };
        struct guide g;
        char commit[65];

        if (!l->is_local || !find_commit(&b, commit)) {
                end_git(&b);
                return;
        }
        dir += *dir == '/';
        if (guide_read(&g, commit, dir, &source, &why)) {
                guide_put(&text, &g, l->cwd);
                if (text.len)
                        history_message(&l->history, "user", buf_at(&text), text.len);
                tell(l, &g, commit);
                tell_notes(l, &g);
        } else if (!l->stop) {
                tell_failure(l, &why);
        }
        end_git(&b);
        guide_close(&g);
        buf_free(&text);
        buf_free(&why);
}
