/*
 * agent/patch.c - a patch worked out in memory, and then written.
 *
 * Every file that the patch names is held once, by its real path, as it was and as it is to
 * be. The hunks change only that; when all of them went well the files are written, those
 * that come before those that go, and a failure goes the same way back.
 */
#include "agent/patch.h"

#include "agent/patch_edit.h"
#include "agent/patch_seek.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOTAL_MAX (64U << 20) /* bytes of all files, before and after */

struct file {
        char *path; /* real, absolute */
        bool known; /* the two below are */
        bool existed;
        bool kept;  /* @before has what it was: it can be put back */
        bool exists;
        bool written; /* on the way of being carried out */
        const char *like; /* a file whose mode a new one takes; NULL */
        struct buf before, after;
};

struct work {
        const struct patch_files *files;
        struct buf root, cwd; /* real, NUL-terminated */
        struct file *all;
        size_t count;
        size_t bytes, effort;
        struct patch_result *result;
};

const char *patch_kind_str(enum patch_kind k)
{
        switch (k) {
        case PATCH_ADD:
                return "add";
        case PATCH_DELETE:
                return "delete";
        case PATCH_UPDATE:
                return "update";
        }
        return "";
}

static const char *text_of(const struct buf *b)
{
        return b->len ? buf_at(b) : "";
}

/* "Failed to VERB NAME: reason" */
static bool failed(struct work *w, const char *what, struct slice name, const char *reason)
{
        struct buf *text = &w->result->text;

        buf_str(text, what);
        buf_str(text, " ");
        buf_put(text, name.at, name.len);
        if (reason) {
                buf_str(text, ": ");
                buf_str(text, reason);
        }
        return false;
}

/* --- names --------------------------------------------------------------------------- */

/* Is @path, absolute, @dir or below it? Then what follows, without a slash before it. */
static const char *below(const char *dir, const char *path)
{
        size_t n = strlen(dir);

        if (n == 1)
                return path + 1; /* the root of all */
        if (strncmp(path, dir, n) != 0 || (path[n] && path[n] != '/'))
                return NULL;
        return path[n] ? path + n + 1 : path + n;
}

/* Some component is .git, in any case: some file systems take them for the same. */
static bool names_git(const char *path)
{
        while (*path) {
                size_t n = strcspn(path, "/");

                if (n == 4 && !strncasecmp(path, ".git", 4))
                        return true;
                path += n + (path[n] == '/');
        }
        return false;
}

/* Adds the components of @name to the path in @out; false: it goes above the root of all. */
static bool add_components(struct buf *out, struct slice name)
{
        const char *p = name.at, *end = name.at + name.len;

        while (p < end) {
                const char *slash = memchr(p, '/', (size_t)(end - p));
                size_t n = (size_t)((slash ? slash : end) - p);

                if (n == 2 && p[0] == '.' && p[1] == '.') {
                        if (!out->len)
                                return false;
                        while (buf_at(out)[--out->len] != '/')
                                ;
                } else if (n && !(n == 1 && p[0] == '.')) {
                        buf_str(out, "/");
                        buf_put(out, p, n);
                }
                p += n + (slash != NULL);
        }
        return true;
}

static void terminate(struct buf *b)
{
        buf_room(b, 1)[0] = '\0';
}

static int resolve(struct work *w, const char *path, struct buf *real)
{
        int r;

        real->len = 0;
        r = w->files->resolve(w->files->ctx, path, real);
        terminate(real);
        if (!r && (!real->len || buf_at(real)[0] != '/' || memchr(buf_at(real), '\0', real->len)))
                return -EIO;
        return r;
}

/*
 * The real path of what will be at @path (absolute, without dots): that of its deepest part
 * that exists, and the rest. With @link the last component is not looked through.
 */
static int real_path(struct work *w, char *path, bool link, struct buf *real)
{
        char *cut = path + strlen(path);
        int r = -ENOENT;

        while (cut > path) {
                if (!link) {
                        char kept = *cut;

                        *cut = '\0';
                        r = resolve(w, path, real);
                        *cut = kept;
                        if (r != -ENOENT)
                                break;
                }
                link = false;
                while (*--cut != '/')
                        ;
        }
        if (cut == path)
                r = resolve(w, "/", real);
        if (r < 0)
                return r;
        if (real->len == 1 && *cut)
                real->len = 0;
        buf_str(real, cut);
        terminate(real);
        return 0;
}

/*
 * The absolute path that @name means, without dots. It is at or below the root, whether the
 * name said that with the root's real name or the one it is known by.
 */
static bool absolute(struct work *w, const struct patch_place *place, struct slice name,
                     struct buf *path)
{
        struct slice cwd = { buf_at(&w->cwd), w->cwd.len };
        const char *inside;

        if (name.at[0] != '/')
                add_components(path, cwd);
        if (!add_components(path, name))
                return false;
        terminate(path);
        inside = below(place->root, text_of(path));
        if (inside && name.at[0] == '/') {
                struct buf moved = { 0 };

                buf_put(&moved, buf_at(&w->root), w->root.len);
                add_components(&moved, (struct slice){ inside, strlen(inside) });
                terminate(&moved);
                buf_free(path);
                *path = moved;
        }
        return below(buf_at(&w->root), text_of(path));
}

static bool outside(struct work *w, const char *what, struct slice name)
{
        return failed(w, what, name, "it is outside of the repository");
}

/* What @path may not be; false: the text says so. */
static bool allowed(struct work *w, const char *path, const char *what, struct slice name)
{
        const char *inside = below(buf_at(&w->root), path);

        if (!inside)
                return outside(w, what, name);
        if (!*inside)
                return failed(w, what, name, "it is the repository itself");
        if (names_git(inside))
                return failed(w, what, name, "nothing below .git may be changed by a patch");
        return true;
}

/* --- the files held ------------------------------------------------------------------- */

static struct file *hold(struct work *w, const char *path)
{
        struct file *f;

        for (size_t i = 0; i < w->count; i++)
                if (!strcmp(w->all[i].path, path))
                        return &w->all[i];
        f = &w->all[w->count++];
        f->path = take_memory(strlen(path) + 1);
        memcpy(f->path, path, strlen(path));
        return f;
}

static struct file *find(struct work *w, const struct patch_place *place, struct slice name,
                         bool link, const char *what)
{
        struct buf path = { 0 }, real = { 0 };
        struct file *f = NULL;
        int r;

        if (!absolute(w, place, name, &path)) {
                outside(w, what, name);
        } else if (allowed(w, text_of(&path), what, name)) {
                r = real_path(w, buf_at(&path), link, &real);
                if (r < 0)
                        failed(w, what, name, strerror(-r));
                else if (allowed(w, text_of(&real), what, name))
                        f = hold(w, text_of(&real));
        }
        buf_free(&path);
        buf_free(&real);
        return f;
}

/* Adds to the bytes held; false: too many. */
static bool room_for(struct work *w, size_t len)
{
        if (len > TOTAL_MAX - w->bytes)
                return false;
        w->bytes += len;
        return true;
}

/*
 * Reads what is there, once. -errno: of -EFBIG and -ELOOP, a link, it is known that they are
 * there. What is not there is no error.
 */
static int load(struct work *w, struct file *f)
{
        struct buf bytes = { 0 };
        int r;

        if (f->known)
                return 0;
        r = w->files->read(w->files->ctx, f->path, &bytes);
        if (!r && (bytes.len > PATCH_FILE_MAX || !room_for(w, 2 * bytes.len)))
                r = -EFBIG;
        if (r)
                buf_free(&bytes);
        if (r && r != -ENOENT && r != -EFBIG && r != -ELOOP)
                return r;
        f->known = true;
        f->existed = f->exists = r != -ENOENT;
        f->kept = !r;
        f->before = bytes;
        buf_put(&f->after, text_of(&bytes), bytes.len);
        return r == -ENOENT ? 0 : r;
}

/* --- the hunks --------------------------------------------------------------------------- */

static void note(struct work *w, enum patch_kind kind, struct slice name)
{
        struct patch_result *r = w->result;

        for (size_t i = 0; i < r->count; i++)
                if (r->changes[i].kind == kind && !strncmp(r->changes[i].path, name.at, name.len) &&
                    !r->changes[i].path[name.len])
                        return;
        r->changes[r->count].kind = kind;
        r->changes[r->count].path = take_memory(name.len + 1);
        memcpy(r->changes[r->count++].path, name.at, name.len);
}

static bool hunk_add(struct work *w, const struct patch_place *place, const struct patch_hunk *h)
{
        static const char what[] = "Failed to write file";
        struct file *f = find(w, place, h->path, false, what);
        struct slice body = h->body, line;
        int r;

        if (!f)
                return false;
        r = load(w, f);
        if (r && r != -EFBIG)
                return failed(w, what, h->path, strerror(-r));
        if (h->body.len > PATCH_FILE_MAX || !room_for(w, h->body.len))
                return failed(w, what, h->path, strerror(EFBIG));
        f->after.len = 0;
        while (slice_line(&body, &line)) {
                buf_put(&f->after, line.at + 1, line.len - 1);
                buf_str(&f->after, "\n");
        }
        f->exists = true;
        note(w, PATCH_ADD, h->path);
        return true;
}

static bool hunk_delete(struct work *w, const struct patch_place *place,
                        const struct patch_hunk *h)
{
        static const char what[] = "Failed to delete file";
        struct file *f = find(w, place, h->path, true, what);
        int r;

        if (!f)
                return false;
        r = load(w, f);
        if (!r && !f->exists)
                r = -ENOENT;
        if (r && r != -EFBIG && r != -ELOOP)
                return failed(w, what, h->path, strerror(-r));
        f->exists = false;
        note(w, PATCH_DELETE, h->path);
        return true;
}

/* The source's new contents go to the target, and the source goes. */
static bool move(struct work *w, const struct patch_place *place, const struct patch_hunk *h,
                 struct file *from)
{
        static const char what[] = "Failed to write file";
        struct file *to = find(w, place, h->move_to, false, what);
        struct buf swap;
        int r;

        if (!to || to == from)
                return to;
        r = load(w, to);
        if (r && r != -EFBIG)
                return failed(w, what, h->move_to, strerror(-r));
        swap = to->after;
        to->after = from->after;
        from->after = swap;
        to->exists = true;
        from->exists = false;
        if (!to->existed)
                to->like = from->existed ? from->path : from->like;
        return true;
}

static bool hunk_update(struct work *w, const struct patch_place *place,
                        const struct patch_hunk *h, struct patch_reader *r)
{
        static const char what[] = "Failed to read file to update";
        struct file *f = find(w, place, h->path, false, what);
        struct buf fresh = { 0 };
        int err;

        if (!f)
                return false;
        err = load(w, f);
        if (!err && !f->exists)
                err = -ENOENT;
        if (err)
                return failed(w, what, h->path, strerror(-err));
        if (!patch_edit(&fresh, text_of(&f->after), f->after.len, r, h->path, &w->effort,
                        &w->result->text)) {
                buf_free(&fresh);
                return false;
        }
        buf_free(&f->after);
        f->after = fresh;
        if (fresh.len > PATCH_FILE_MAX || !room_for(w, fresh.len))
                return failed(w, "Failed to write file", h->path, strerror(EFBIG));
        if (h->move_to.at && !move(w, place, h, f))
                return false;
        note(w, PATCH_UPDATE, h->move_to.at ? h->move_to : h->path);
        return true;
}

static bool work_out(struct work *w, const struct patch_place *place, const char *text, size_t len)
{
        struct patch_reader r;
        struct patch_hunk h;
        bool ok = patch_open(&r, text, len, &w->result->text);

        while (ok && patch_next_hunk(&r, &h, &w->result->text)) {
                switch (h.kind) {
                case PATCH_ADD:
                        ok = hunk_add(w, place, &h);
                        break;
                case PATCH_DELETE:
                        ok = hunk_delete(w, place, &h);
                        break;
                case PATCH_UPDATE:
                        ok = hunk_update(w, place, &h, &r);
                        break;
                }
        }
        return ok;
}

/* --- the disk ------------------------------------------------------------------------------- */

static struct slice shown(struct work *w, const struct file *f)
{
        const char *inside = below(buf_at(&w->root), f->path);

        return (struct slice){ inside, strlen(inside) };
}

static bool same_bytes(const struct buf *a, const struct buf *b)
{
        return a->len == b->len && (!a->len || !memcmp(buf_at(a), buf_at(b), a->len));
}

/* 1: something was done; 0: there is nothing to do; or -errno. */
static int carry_out(struct work *w, struct file *f, bool removals)
{
        const struct patch_files *files = w->files;
        int r;

        if (f->exists == removals || (!f->exists && !f->existed))
                return 0;
        if (f->exists && f->existed && f->kept && same_bytes(&f->before, &f->after))
                return 0;
        if (f->exists)
                r = files->write(files->ctx, f->path, text_of(&f->after), f->after.len, f->like);
        else
                r = files->remove(files->ctx, f->path);
        return r < 0 ? r : 1;
}

static int put_back(struct work *w, struct file *f)
{
        const struct patch_files *files = w->files;

        if (!f->existed)
                return files->remove(files->ctx, f->path);
        if (!f->kept)
                return -EFBIG;
        return files->write(files->ctx, f->path, text_of(&f->before), f->before.len, NULL);
}

/* Those already written go back; what can't is named. */
static void undo(struct work *w)
{
        struct buf *text = &w->result->text;
        bool first = true;

        for (size_t i = w->count; i-- > 0;) {
                struct file *f = &w->all[i];
                struct slice name;

                if (!f->written || !put_back(w, f))
                        continue;
                name = shown(w, f);
                buf_str(text, first ? "\nThese files could not be put back: " : ", ");
                buf_put(text, name.at, name.len);
                first = false;
        }
        if (first)
                buf_str(text, "\nNo file was changed.");
}

static bool write_all(struct work *w)
{
        for (int removals = 0; removals < 2; removals++) {
                for (size_t i = 0; i < w->count; i++) {
                        struct file *f = &w->all[i];
                        int r = carry_out(w, f, removals);

                        if (r < 0) {
                                failed(w,
                                       removals ? "Failed to delete file" : "Failed to write file",
                                       shown(w, f), strerror(-r));
                                undo(w);
                                return false;
                        }
                        f->written |= r;
                }
        }
        return true;
}

static void put_summary(struct patch_result *r)
{
        static const enum patch_kind order[] = { PATCH_ADD, PATCH_UPDATE, PATCH_DELETE };
        static const char letters[] = "AMD";

        buf_str(&r->text, "Success. Updated the following files:\n");
        for (size_t k = 0; k < COUNT(order); k++) {
                for (size_t i = 0; i < r->count; i++) {
                        if (r->changes[i].kind != order[k])
                                continue;
                        buf_put(&r->text, &letters[k], 1);
                        buf_str(&r->text, " ");
                        buf_str(&r->text, r->changes[i].path);
                        buf_str(&r->text, "\n");
                }
        }
}

/* --- the whole ----------------------------------------------------------------------------- */

static bool open_place(struct work *w, const struct patch_place *place)
{
        struct slice cwd = { place->cwd, strlen(place->cwd) };
        struct slice root = { place->root, strlen(place->root) };
        int r = resolve(w, place->root, &w->root);

        if (r < 0)
                return failed(w, "Failed to find the repository", root, strerror(-r));
        r = resolve(w, place->cwd, &w->cwd);
        if (r < 0)
                return failed(w, "Failed to find the directory", cwd, strerror(-r));
        return below(buf_at(&w->root), buf_at(&w->cwd)) ||
               outside(w, "Failed to work in", cwd);
}

static void work_free(struct work *w)
{
        for (size_t i = 0; i < w->count; i++) {
                free(w->all[i].path);
                buf_free(&w->all[i].before);
                buf_free(&w->all[i].after);
        }
        free(w->all);
        buf_free(&w->root);
        buf_free(&w->cwd);
}

bool patch_apply(struct patch_result *r, const char *text, size_t len,
                 const struct patch_place *place, const struct patch_files *files)
{
        struct work w = { .files = files, .effort = PATCH_EFFORT, .result = r };

        *r = (struct patch_result){ .ok = false };
        if (!patch_check(text, len, &r->text))
                return false;
        w.all = take_memory(sizeof(*w.all) * 2 * PATCH_FILES_MAX);
        r->changes = take_memory(PATCH_FILES_MAX * sizeof(*r->changes));
        r->ok = open_place(&w, place) && work_out(&w, place, text, len) && write_all(&w);
        if (r->ok)
                put_summary(r);
        work_free(&w);
        return r->ok;
}

void patch_close(struct patch_result *r)
{
        for (size_t i = 0; i < r->count; i++)
                free(r->changes[i].path);
        free(r->changes);
        buf_free(&r->text);
        *r = (struct patch_result){ .ok = false };
}
