/* netfilter/git.c - git's requests and the refs that a push names. */
#include "netfilter/git.h"

#include "base/rd.h"
#include "netfilter/glob.h"

#include <string.h>
#include <strings.h>

const char *git_status_str(enum git_status s)
{
        switch (s) {
        case GIT_MORE:
                return "more to come";
        case GIT_UPDATE:
                return "a ref update";
        case GIT_DONE:
                return "the end of the list";
        case GIT_MALFORMED:
                return "not a list of ref updates";
        case GIT_LIMIT:
                return "too long a list of ref updates";
        case GIT_SIGNED:
                return "a signed push, which cannot be read";
        }
        return "?";
}

/* --- requests ------------------------------------------------------------------------ */

struct part {
        const char *at;
        size_t len;
};

static bool is(struct part p, const char *s)
{
        return p.len == strlen(s) && !memcmp(p.at, s, p.len);
}

/* Begins with @s, in any case: what a lenient server may take for it. */
static bool resembles(struct part p, const char *s)
{
        return p.len >= strlen(s) && !strncasecmp(p.at, s, strlen(s));
}

static bool ends_with(struct part p, const char *s)
{
        size_t n = strlen(s);

        return p.len >= n && !memcmp(p.at + p.len - n, s, n);
}

/* Takes the last segment off @path; empty ones at the end are skipped. */
static struct part last_segment(struct part *path)
{
        size_t end = path->len;
        size_t start;

        while (end && path->at[end - 1] == '/')
                end--;
        for (start = end; start && path->at[start - 1] != '/'; start--)
                ;
        path->len = start;
        return (struct part){ path->at + start, end - start };
}

enum git_service git_classify(const char *method, size_t method_len, const char *path,
                              size_t path_len, const char *query, size_t query_len)
{
        struct part m = { method, method_len };
        struct part whole = { path, path_len };
        struct part q = { query, query_len };
        struct part rest = whole;
        struct part last = last_segment(&rest);
        struct part before = rest;
        bool get = is(m, "GET") || is(m, "HEAD");

        if (resembles(last, "refs") && resembles(last_segment(&before), "info")) {
                if (!ends_with(whole, "/info/refs"))
                        return last.len == 4 || last.at[4] == ';' ? GIT_ODD : GIT_NONE;
                if (!query_len)
                        return get ? GIT_NONE : GIT_ODD;
                if (get && is(q, "service=git-upload-pack"))
                        return GIT_READ;
                return get && is(q, "service=git-receive-pack") ? GIT_WRITE : GIT_ODD;
        }
        if (git_is_push(method, method_len, path, path_len))
                return GIT_WRITE;
        for (rest = whole; rest.len;) {
                if (resembles(last_segment(&rest), "git-receive-pack"))
                        return GIT_ODD;
        }
        if (is(m, "POST") && (ends_with(whole, "/git-upload-pack") ||
                              ends_with(whole, "/info/lfs/objects/batch")))
                return GIT_READ;
        return GIT_NONE;
}

bool git_is_push(const char *method, size_t method_len, const char *path, size_t path_len)
{
        return is((struct part){ method, method_len }, "POST") &&
               ends_with((struct part){ path, path_len }, "/git-receive-pack");
}

/* --- the command list ------------------------------------------------------------------ */

void git_push_init(struct git_push *g)
{
        *g = (struct git_push){ .ended = false };
}

static bool is_hex(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* The four digits before a line; false: other bytes. */
static bool line_length(const char *s, uint32_t *n)
{
        *n = 0;
        for (size_t i = 0; i < 4; i++) {
                if (!is_hex(s[i]))
                        return false;
                *n = *n << 4 | (uint32_t)(s[i] <= '9' ? s[i] - '0' : (s[i] | 0x20) - 'a' + 10);
        }
        return true;
}

/* What git's own check-ref-format takes, a little less: no byte that means two things. */
static bool is_ref(const char *s, size_t len)
{
        if (len < 6 || len > GIT_REF_LEN || memcmp(s, "refs/", 5) != 0 || s[len - 1] == '/' ||
            s[len - 1] == '.')
                return false;
        for (size_t i = 0; i < len; i++) {
                unsigned char c = (unsigned char)s[i];

                if (c <= ' ' || c == 0x7f || strchr("~^:?*[\\", c))
                        return false;
                if ((c == '/' || c == '.') && i && (s[i - 1] == '.' || s[i - 1] == '/'))
                        return false; /* "//", "..", "/.", "./" */
                if (c == '{' && s[i - 1] == '@')
                        return false;
        }
        return true;
}

/* An object id, up to a space; its bytes, zeros alone or not. */
static bool read_id(struct rd *r, size_t len, char id[65], bool *zeros)
{
        const char *s = (const char *)rd_bytes(r, len);

        if (!s)
                return false;
        *zeros = true;
        for (size_t i = 0; i < len; i++) {
                if (!is_hex(s[i]))
                        return false;
                *zeros = *zeros && s[i] == '0';
        }
        memcpy(id, s, len);
        id[len] = '\0';
        return rd_u8(r) == ' ';
}

static enum git_status read_command(struct git_push *g, size_t len, struct git_update *u)
{
        const char *nul = memchr(g->line, '\0', len);
        struct git_update got = { .deletes = false };
        size_t end = nul ? (size_t)(nul - g->line) : len;
        size_t id_len = len > 64 && is_hex(g->line[40]) ? 64 : 40;
        struct rd r = rd_of(g->line, end);

        if (nul && g->caps_seen)
                return GIT_MALFORMED; /* a server would take its second capabilities */
        g->caps_seen = true;
        if (!read_id(&r, id_len, got.old_id, &got.creates) ||
            !read_id(&r, id_len, got.new_id, &got.deletes))
                return GIT_MALFORMED;
        if (!is_ref((const char *)r.at, rd_left(&r)))
                return rd_left(&r) > GIT_REF_LEN ? GIT_LIMIT : GIT_MALFORMED;
        memcpy(got.ref, r.at, rd_left(&r));
        *u = got;
        return GIT_UPDATE;
}

/* A whole line stands in g->line. */
static enum git_status read_line(struct git_push *g, struct git_update *u)
{
        size_t len = g->line_len;

        if (len && g->line[len - 1] == '\n')
                len--;
        if (len >= 9 && !memcmp(g->line, "push-cert", 9))
                return GIT_SIGNED;
        if (len >= 8 && !memcmp(g->line, "shallow ", 8)) {
                for (size_t i = 8; i < len; i++) {
                        if (!is_hex(g->line[i]))
                                return GIT_MALFORMED;
                }
                return len == 48 || len == 72 ? GIT_MORE : GIT_MALFORMED;
        }
        return read_command(g, len, u);
}

/* The four digits are there: how long is the line? */
static enum git_status begin_line(struct git_push *g)
{
        uint32_t n;

        if (!line_length(g->line, &n) || (n > 0 && n < 5))
                return GIT_MALFORMED;
        if (!n)
                return GIT_DONE;
        if (n - 4 > sizeof(g->line))
                return GIT_LIMIT;
        g->line_want = n - 4;
        g->line_len = 0;
        return GIT_MORE;
}

static enum git_status take(struct git_push *g, const char *bytes, size_t len, size_t *used,
                            struct git_update *u)
{
        while (*used < len) {
                size_t want = (g->line_want ? g->line_want : 4) - g->line_len;
                size_t n = want < len - *used ? want : len - *used;
                enum git_status s = GIT_MORE;

                if (g->total + n > GIT_LIST_MAX)
                        return GIT_LIMIT;
                memcpy(g->line + g->line_len, bytes + *used, n);
                g->line_len += (uint32_t)n;
                g->total += (uint32_t)n;
                *used += n;
                if (n < want)
                        return GIT_MORE;
                if (!g->line_want) {
                        s = begin_line(g);
                } else {
                        s = read_line(g, u);
                        g->line_want = g->line_len = 0;
                }
                if (s != GIT_MORE)
                        return s;
        }
        return GIT_MORE;
}

enum git_status git_push_next(struct git_push *g, const char *bytes, size_t len, size_t *used,
                              struct git_update *u)
{
        *used = 0;
        if (!g->ended) {
                g->end = take(g, bytes, len, used, u);
                g->ended = g->end != GIT_MORE && g->end != GIT_UPDATE;
        }
        return g->end;
}

bool git_ref_matches(const char *pattern, const char *ref)
{
        if (!strncmp(pattern, "refs/", 5))
                return glob_matches(pattern, ref);
        return !strncmp(ref, "refs/heads/", 11) && glob_matches(pattern, ref + 11);
}
