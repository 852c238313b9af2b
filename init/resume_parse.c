/* init/resume_parse.c - is this the result of a turn that can be followed? See resume.h. */
#include "init/resume.h"

#include "base/json.h"
#include "base/wr.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define STRING_MAX 8192 /* as long as a url or ref of a spec can be */
#define SHOWN 60        /* bytes of a value in a message */

struct reading {
        struct json j;
        struct spec_error *error;
        bool bad;
};

static void wrong(struct reading *r, uint32_t at, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void wrong(struct reading *r, uint32_t at, const char *fmt, ...)
{
        struct wr w = wr_of(r->error->text, sizeof(r->error->text) - 1);
        va_list ap;

        if (r->bad)
                return;
        r->bad = true;
        va_start(ap, fmt);
        wr_vfmt(&w, fmt, ap);
        va_end(ap);
        wr_cstr(&w);
        json_position(r->j.text, json_at(&r->j, at), &r->error->line, &r->error->column);
}

/* The value of @key in @object; 0: it is not there, or null. */
static uint32_t find(const struct reading *r, uint32_t object, const char *key)
{
        uint32_t v = json_find(&r->j, object, key);

        return v && r->j.tokens[v].type != JSON_NULL ? v : 0;
}

/* A number, or @missing where there is none. */
static uint32_t take_number(struct reading *r, uint32_t object, const char *key, uint32_t max,
                            uint32_t missing)
{
        uint32_t v = find(r, object, key), n = missing;

        if (v && !json_u32(&r->j, v, max, &n))
                wrong(r, v, "%s: expected a number, at most %u", key, max);
        return n;
}

static bool is_true(const struct reading *r, uint32_t object, const char *key)
{
        uint32_t v = find(r, object, key);

        return v && r->j.tokens[v].type == JSON_BOOL && json_true(&r->j, v);
}

/* Decoded, with a NUL; NULL: no string, too long, or with a NUL in it. */
static const char *take_string(const struct reading *r, uint32_t v)
{
        static char text[6 * STRING_MAX + 1];
        const struct json_token *t = &r->j.tokens[v];

        if (!v || t->type != JSON_STRING || t->end - t->start >= sizeof(text) ||
            json_string(&r->j, v, text) != strlen(text))
                return NULL;
        return text;
}

/* Both turns have to mean the same repository, from the same place on. */
static void compare(struct reading *r, const char *key, const char *ours)
{
        uint32_t v = find(r, 0, key);
        const char *theirs = take_string(r, v);
        bool same = !v && !ours;
        char shown[2][4 * SHOWN + 1];
        struct wr a = wr_of(shown[0], sizeof(shown[0]) - 1);
        struct wr b = wr_of(shown[1], sizeof(shown[1]) - 1);

        if (theirs && ours)
                same = !strcmp(theirs, ours);
        if (same)
                return;
        theirs = theirs ? theirs : "null";
        ours = ours ? ours : "null";
        wr_plain(&a, theirs, strnlen(theirs, SHOWN));
        wr_plain(&b, ours, strnlen(ours, SHOWN));
        wrong(r, v, "%s is %s: expected %s, as in the task", key, wr_cstr(&a), wr_cstr(&b));
}

static void take_start(struct reading *r, struct resume_facts *f)
{
        uint32_t v = find(r, 0, "start_commit");
        const char *id = take_string(r, v);
        size_t len = id ? strspn(id, "0123456789abcdef") : 0;

        if (!id || id[len] || (len != 40 && len != 64))
                wrong(r, v, "start_commit: expected a commit's id: without one there is nothing to "
                            "compare with");
        else
                memcpy(f->start, id, len + 1);
}

static void take_all(struct reading *r, const struct spec *spec, struct resume_facts *f)
{
        uint32_t diff = find(r, 0, "diff"), talk = find(r, 0, "conversation");

        if (r->j.tokens[0].type != JSON_OBJECT ||
            take_number(r, 0, "version", UINT32_MAX, 0) != 1)
                wrong(r, 0, "expected the result of a task, of version 1");
        f->turn = take_number(r, 0, "turn", RESUME_TURNS_MAX, 1);
        if (!is_true(r, find(r, 0, "agent"), "ran"))
                wrong(r, find(r, 0, "agent"), "the agent did not run: turn %u left nothing to go "
                                              "on from", f->turn);
        compare(r, "repo", spec->repo.url);
        compare(r, "ref", spec->repo.ref);
        take_start(r, f);
        f->diff_bytes = take_number(r, diff, "bytes", RESUME_DIFF_MAX, UINT32_MAX);
        if (!diff || f->diff_bytes == UINT32_MAX)
                wrong(r, diff, "diff: expected its bytes");
        f->diff_whole = is_true(r, diff, "whole");
        f->conversation_bytes = talk ? take_number(r, talk, "bytes", RESUME_CONVERSATION_MAX, 0) : 0;
        f->has_conversation = f->conversation_bytes;
        if (!f->turn)
                wrong(r, 0, "turn: expected 1 or more");
}

int resume_parse(const struct spec *spec, const char *json, size_t len,
                 struct resume_facts *facts, struct spec_error *error)
{
        struct reading r = { .error = error };
        struct json_error e;
        int err;

        *facts = (struct resume_facts){ .turn = 0 };
        *error = (struct spec_error){ .line = 0 };
        err = json_open(&r.j, json, len, &e);
        if (err == -EINVAL) {
                struct wr w = wr_of(error->text, sizeof(error->text) - 1);

                json_position(json, e.at, &error->line, &error->column);
                wr_str(&w, e.what);
                wr_cstr(&w);
        }
        if (err)
                return err;
        take_all(&r, spec, facts);
        json_close(&r.j);
        return r.bad ? -EINVAL : 0;
}
