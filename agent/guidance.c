/*
 * agent/guidance.c - AGENTS.md, by way of the exec-server; see loop.h.
 *
 * git runs where the commands run, so nothing it says is believed: agent/guide.h checks each
 * object against its id. Only the commit's own id is taken on trust. In a task PID 1 noted it
 * before setup ran; by ourselves it is what HEAD names.
 */
#include "agent/loop.h"

#include "agent/guide.h"

#include <errno.h>
#include <string.h>

/* What git prints. 0 or -errno; -ENOENT: it failed. */
static int run_git(struct loop *l, const char *const *words, size_t count, struct buf *out)
{
        /* Whoever owns the repository; and objects are what they are, not what replaced them. */
        const char *argv[8] = { "git", "--no-replace-objects", "-c", "safe.directory=*" };
        int r;

        for (size_t i = 0; i < count; i++)
                argv[4 + i] = words[i];
        r = hands_capture(l, argv, out);
        return r < 0 ? -EIO : r ? -ENOENT : 0;
}

static int bring_object(void *ctx, const char *kind, const char *id, struct buf *out)
{
        const char *const words[] = { "cat-file", kind, id };

        return run_git(ctx, words, COUNT(words), out);
}

static int bring_file(void *ctx, const char *path, struct buf *out)
{
        struct loop *l = ctx;
        struct buf whole = { 0 };
        int r;

        buf_str(&whole, l->root);
        buf_str(&whole, "/");
        buf_put(&whole, path, strlen(path) + 1);
        r = hands_reply(l, client_read_file(&l->client, buf_at(&whole)), out);
        buf_free(&whole);
        return r ? -ENOENT : 0;
}

/* The commit to read from; false: there is none. */
static bool find_commit(struct loop *l, char id[65])
{
        static const char *const words[] = { "rev-parse", "--verify", "HEAD^{commit}" };
        struct buf out = { 0 };
        bool ok;

        if (l->o->commit) {
                strncpy(id, l->o->commit, 64);
                id[64] = '\0';
                return true;
        }
        ok = !run_git(l, words, COUNT(words), &out) && out.len > 1 && out.len < 66;
        if (ok) {
                memcpy(id, buf_at(&out), out.len - 1); /* a newline ends it */
                id[out.len - 1] = '\0';
        }
        buf_free(&out);
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
        const struct guide_source source = { l, bring_object, bring_file };
        const char *dir = l->cwd + strlen(l->root);
        struct buf why = { 0 }, text = { 0 };
        struct guide g;
        char commit[65];

        if (!l->has_hands || !find_commit(l, commit))
                return;
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
        guide_close(&g);
        buf_free(&text);
        buf_free(&why);
}
